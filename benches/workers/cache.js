// A cache as one writes it by hand on the Cache API, in front of the plain pass-through: the platform's own rules, no Vary, no
// coalescing, and ten minutes whatever the origin says.
export default {
  async fetch(request, env, ctx) {
    const cache = await caches.open("by-hand");
    const found = await cache.match(request);
    if (found !== undefined) return found;
    const received = await fetch(request);
    const response = new Response(received.body, received);
    response.headers.set("cache-control", "max-age=600");
    ctx.waitUntil(cache.put(request, response.clone()));
    return response;
  },
};
