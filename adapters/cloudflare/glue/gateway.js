// The gateway of this isolate, made when the first request comes: there is no environment before that, and the time for
// starting is short.

import artefact from "./gateway.bin";
import module from "./postern_bg.wasm";
import { Core } from "./core.js";

let core;

export function gateway(env) {
  core ??= new Core(module, artefact, env);
  return core;
}
