// In development only: what stands behind the bindings POSTERN_STORE and POSTERN_CACHE, since plain workerd brings no KV of its own.
// Answers the runtime's own client as KV does: with the values of a file, and with what was written since, for as long as it lives.

import values from "store.json";

const kept = new Map(Object.entries(values).map(([key, value]) => [key, { value, until: Infinity }]));

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const key = decodeURIComponent(url.pathname.slice(1));
    switch (request.method) {
      case "GET": {
        const found = kept.get(key);
        return found?.until > Date.now() ? new Response(found.value) : new Response(null, { status: 404 });
      }
      case "PUT": {
        const seconds = Number(url.searchParams.get("expiration_ttl") ?? Infinity);
        kept.set(key, { value: await request.arrayBuffer(), until: Date.now() + seconds * 1000 });
        return new Response(null);
      }
      case "DELETE":
        kept.delete(key);
        return new Response(null);
      default:
        return new Response("this is no store of that kind", { status: 405 });
    }
  },
};
