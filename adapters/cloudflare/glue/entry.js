// The Worker's entry: one gateway per isolate, and the objects that count, keep and check for all of them.

import { answer, crash, whoChecks } from "./exchange.js";
import { gateway } from "./gateway.js";

export { Checks } from "./checks.js";
export { Claims } from "./claims.js";
export { Counters } from "./counters.js";
export { Versions } from "./versions.js";

export default {
  fetch(request, env, ctx) {
    let core;
    try {
      core = gateway(env);
    } catch (error) {
      return crash(undefined, error);
    }
    return answer(core, request, ctx);
  },

  // Sees to it that targets are checked also before the first request, and should the alarm ever be lost.
  scheduled(_, env, ctx) {
    if (gateway(env).hasChecks) ctx.waitUntil(whoChecks(env).wake());
  },
};
