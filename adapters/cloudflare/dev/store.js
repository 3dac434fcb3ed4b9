// In development only: what stands behind the binding POSTERN_STORE, since plain workerd brings no KV of its own. Answers the
// runtime's own client as KV does, with the values of a file.

import values from "store.json";

export default {
  fetch(request) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method !== "GET") return new Response("this store can only be read", { status: 405 });
    return Object.hasOwn(values, key) ? new Response(values[key]) : new Response(null, { status: 404 });
  },
};
