// The Wasm instance, and the few ways in which text and numbers cross into it.
//
// wasm-bindgen's glue makes the instance and serves what the core rarely asks for. The hot calls below go to the exports
// directly: their arguments are numbers, and all text passes through one buffer each way.

import { __wbg_reset_state, initSync, load } from "postern-bindgen";

export class Core {
  // What there is to do, as lines; their grammar is in src/http.rs.
  commands = "";

  constructor(module, artefact, env) {
    this.module = module;
    this.artefact = artefact;
    this.env = env;
    // Counts instances, so that a request of an instance that has crashed is told from those of its successor.
    this.life = 1;
    this.start(initSync({ module }));
  }

  start(exports) {
    this.exports = exports;
    load(new Uint8Array(this.artefact), this.env);
    this.input = 0;
    this.capacity = 0;
    this.look();
    this.makeRoom(FIRST_ROOM);
  }

  // A panic leaves the instance as it was in mid-thought: nothing in it can be relied on.
  restart() {
    this.life++;
    __wbg_reset_state();
    this.start(initSync());
  }

  // Takes a request: 0 when the commands hold the answer, else the number to come back with.
  begin(text, hasBody) {
    return this.read(this.exports.begin(this.write(text), hasBody, Date.now()));
  }

  // Takes what a call brought: a response's status and fields, or the code of a failure and what is known of it.
  resume(number, call, status, text) {
    return this.read(this.exports.resume(number, call, status, this.write(text), Date.now()));
  }

  forget(number) {
    this.exports.forget(number);
  }

  // The body in memory of the answer that the commands hold.
  body() {
    return this.bytes.slice(this.output[2], this.output[2] + this.output[3]);
  }

  // The body in memory of a call.
  bodyOf(number, call) {
    this.exports.body(number, call);
    if (this.output.length === 0) this.look();
    return this.body();
  }

  write(text) {
    // UTF-8 takes at most three bytes for each of a string's units.
    if (text.length * 3 > this.capacity) this.makeRoom(text.length * 3);
    return encoder.encodeInto(text, this.room).written;
  }

  read(number) {
    // Memory that has grown is another buffer, and this one is empty.
    if (this.output.length === 0) this.look();
    const [start, length] = this.output;
    this.commands = decoder.decode(this.bytes.subarray(start, start + length));
    return number;
  }

  makeRoom(size) {
    this.input = this.exports.input(size);
    this.capacity = size;
    this.look();
  }

  look() {
    const { buffer } = this.exports.memory;
    this.bytes = new Uint8Array(buffer);
    this.output = new Uint32Array(buffer, this.exports.output(), 4);
    this.room = new Uint8Array(buffer, this.input, this.capacity);
  }
}

const FIRST_ROOM = 16384;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
