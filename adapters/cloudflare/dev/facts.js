// In front of the Worker in development only: lets a test say where its request comes from, and how the counters break down.
// Requests that say neither are handed on as they are.

import gateway, { Counters as Sound } from "./index.js";

export { Checks, Claims, Versions } from "./index.js";

// `fail`: they throw. `hang`: they never answer. `none`: they work again. `evict`: each object of now is thrown out when it is asked
// next, with all that it has in memory, and a new one takes its place.
let breakdown = "none";
let life = 0;

export class Counters extends Sound {
  born = life;

  take(key, order) {
    if (breakdown === "fail") throw new Error("broken down by a test");
    if (breakdown === "hang") return new Promise(() => {});
    if (this.born < life) this.ctx.abort("evicted by a test");
    return super.take(key, order);
  }
}

export default {
  fetch(request, env, ctx) {
    const order = request.headers.get("postern-dev-counters");
    if (order === "evict") life++;
    else if (order !== null) breakdown = order;
    if (order !== null) return new Response(null, { status: 204 });
    const facts = request.headers.get("postern-dev-cf");
    if (facts !== null) {
      request = new Request(request, { cf: { ...request.cf, ...JSON.parse(facts) } });
      request.headers.delete("postern-dev-cf");
    }
    return gateway.fetch(request, env, ctx);
  },

  scheduled: gateway.scheduled,
};
