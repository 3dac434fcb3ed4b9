// The Worker's entry: one gateway per isolate, and the objects that count and keep for all of them.

import { answer, crash } from "./exchange.js";
import { gateway } from "./gateway.js";

export { Claims } from "./claims.js";
export { Counters } from "./counters.js";

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
};
