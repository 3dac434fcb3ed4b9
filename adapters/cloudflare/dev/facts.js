// In front of the Worker in development only: lets a test say where its request comes from. Requests that do not are
// handed on as they are.

import gateway from "./index.js";

export { Checks, Claims, Counters } from "./index.js";

export default {
  fetch(request, env, ctx) {
    const facts = request.headers.get("postern-dev-cf");
    if (facts !== null) {
      request = new Request(request, { cf: { ...request.cf, ...JSON.parse(facts) } });
      request.headers.delete("postern-dev-cf");
    }
    return gateway.fetch(request, env, ctx);
  },

  scheduled: gateway.scheduled,
};
