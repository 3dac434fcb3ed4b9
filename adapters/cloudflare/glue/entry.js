// The Worker's entry: one gateway per isolate, made when the first request comes.

import artefact from "./gateway.bin";
import module from "./postern_bg.wasm";
import { Core } from "./core.js";
import { answer, crash } from "./exchange.js";

let core;

export default {
  fetch(request, env) {
    try {
      // Not at start-up: there is no environment yet, and the time for starting is short.
      core ??= new Core(module, artefact, env);
    } catch (error) {
      return crash(undefined, error);
    }
    return answer(core, request);
  },
};
