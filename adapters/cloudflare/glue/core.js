// The Wasm instance, and the few ways in which text and numbers cross into it.
//
// wasm-bindgen's glue makes the instance and serves what the core rarely asks for. The hot calls below go to the exports
// directly: their arguments are numbers, and all text passes through one buffer each way.

import { __wbg_reset_state, initSync, load } from "postern-bindgen";

export class Core {
  // The exchanges that wait, by the core's number.
  waiting = new Map();
  // Whether it was entered and has not come back: after an error, that it has crashed.
  thinks = false;
  // Counts instances, so that a request of an instance that has crashed is told from those of its successor.
  life = 0;

  constructor(module, artefact, env) {
    this.artefact = artefact;
    this.env = env;
    this.start(initSync({ module }));
  }

  // A panic leaves the instance as it was in mid-thought: nothing in it can be relied on.
  restart() {
    __wbg_reset_state();
    this.start(initSync());
  }

  start(exports) {
    this.exports = exports;
    this.thinks = false;
    this.life++;
    this.waiting.clear();
    load(new Uint8Array(this.artefact), this.env);
    this.readsCertificates = exports.reads_certificates() !== 0;
    this.hasChecks = exports.has_checks() !== 0;
    this.makeRoom(FIRST_ROOM);
  }

  // Takes a request: 0 when the commands hold the answer, else the number to come back with.
  begin(text, hasBody) {
    const length = this.write(text);
    this.thinks = true;
    return this.read(this.exports.begin(length, hasBody, Date.now()));
  }

  // Takes what a call brought: a response's status and fields, a status and bytes, or the code of a failure and what is
  // known of it.
  resume(number, call, status, text) {
    this.waiting.delete(number);
    const length = text === "" ? 0 : typeof text === "string" ? this.write(text) : this.writeBytes(text);
    this.thinks = true;
    return this.read(this.exports.resume(number, call, status, length, Date.now()));
  }

  // Begins what a reply has left to do.
  settle(number) {
    this.thinks = true;
    return this.read(this.exports.settle(number, Date.now()));
  }

  // Begins to check all targets that are due, of which so much is known.
  check(kept) {
    const length = this.write(kept);
    this.thinks = true;
    return this.read(this.exports.check(length, Date.now()));
  }

  // Changes counters as ordered: the decision, until when the new ones say something, whether they must survive, and
  // what they are.
  decide(order, kept) {
    const [decision, until, durable, counters] = this.perform("decide", order, kept);
    if (counters === undefined) throw new Error(UNREADABLE);
    return { decision, until: Number(until), durable: durable === "1", counters };
  }

  // Does what the keeper of a claim is ordered to do: the verdict, until when what is kept says something, and what that is.
  claim(order, before) {
    const [verdict, until, kept] = this.perform("claim", order, before);
    if (kept === undefined) throw new Error(UNREADABLE);
    return { verdict, until: Number(until), kept };
  }

  // Does what the owner of the versions is ordered to do: the verdict, what is to be kept ("" where nothing has changed), and the
  // versions to forget.
  rollOut(order, before) {
    if (this.exports.roll_out === undefined) throw new Error("this Worker was built without rollout");
    const [verdict, kept, forget] = this.perform("roll_out", order, before);
    if (forget === undefined) throw new Error(UNREADABLE);
    return { verdict, kept, forget: forget === "" ? [] : forget.split(" ") };
  }

  // Has an order performed on what was kept; gives the lines that come of it.
  perform(what, order, kept) {
    this.refresh();
    const size = (order.length + kept.length) * 3;
    if (size > this.capacity) this.makeRoom(size);
    const { written } = encoder.encodeInto(order, this.room);
    const behind = kept === "" ? 0 : encoder.encodeInto(kept, this.room.subarray(written)).written;
    this.thinks = true;
    this.read(this.exports[what](written, behind, Date.now()) ?? 0);
    return this.text.split("\n");
  }

  // Adds to a ledger of all instances: what is to be kept.
  merge(ledger, kept, added) {
    this.refresh();
    const size = (ledger.length + kept.length + added.length) * 3;
    if (size > this.capacity) this.makeRoom(size);
    const name = encoder.encodeInto(ledger, this.room).written;
    const before = kept === "" ? 0 : encoder.encodeInto(kept, this.room.subarray(name)).written;
    const { written } = encoder.encodeInto(added, this.room.subarray(name + before));
    if (this.exports.merge === undefined) throw new Error("this Worker was built without telemetry");
    this.thinks = true;
    this.read(this.exports.merge(name, before, written) ?? 0);
    return this.text;
  }

  // Remembers who waits, so that it can be forgotten when nobody does: a client that goes away ends its request's code
  // without a word.
  //
  // Most never do, and listening for it costs more than the core's whole decision. So the first few are given up when
  // they are well past their time, and only the others listen.
  wait(exchange) {
    const { waiting } = this;
    if (waiting.size >= FEW) {
      exchange.listen();
      this.sweep();
      this.sweep();
    }
    waiting.set(exchange.number, exchange);
  }

  // Looks at whoever has not been looked at for longest.
  sweep() {
    for (const [number, exchange] of this.waiting) {
      this.waiting.delete(number);
      if (exchange.deadline < Date.now()) this.exports.forget(number);
      else this.waiting.set(number, exchange);
      return;
    }
  }

  forget(number) {
    if (this.waiting.delete(number)) this.exports.forget(number);
  }

  // The body in memory of a call.
  bodyOf(number, call) {
    this.exports.body(number, call);
    this.refresh();
    return this.body();
  }

  // The body in memory of the answer that the commands hold.
  body() {
    const start = this.output[4];
    return this.bytes.slice(start, start + this.output[5]);
  }

  // What comes out for a chunk of a body that changes on its way; undefined where the body breaks off.
  pump(number, chunk) {
    const length = this.writeBytes(chunk);
    this.thinks = true;
    return this.read(this.exports.pump(number, length)) === 0 ? undefined : this.body();
  }

  // What comes out at its end.
  drain(number) {
    this.thinks = true;
    return this.read(this.exports.drain(number)) === 0 ? undefined : this.body();
  }

  write(text) {
    this.refresh();
    // UTF-8 takes at most three bytes for each of a string's units.
    if (text.length * 3 > this.capacity) this.makeRoom(text.length * 3);
    return encoder.encodeInto(text, this.room).written;
  }

  writeBytes(bytes) {
    this.refresh();
    if (bytes.length > this.capacity) this.makeRoom(bytes.length);
    this.room.set(bytes);
    return bytes.length;
  }

  read(number) {
    this.thinks = false;
    this.refresh();
    const { output, bytes } = this;
    this.at = output[0] >>> 2;
    this.end = this.at + output[1];
    this.text = output[3] === 0 ? "" : decoder.decode(bytes.subarray(output[2], output[2] + output[3]));
    this.cut = 0;
    return number;
  }

  // The next of the commands' numbers.
  number() {
    return this.numbers[this.at++];
  }

  peek() {
    return this.numbers[this.at];
  }

  // The next of their texts: among the numbers stands its length.
  string() {
    const from = this.cut;
    this.cut += this.numbers[this.at++];
    return this.text.slice(from, this.cut);
  }

  makeRoom(size) {
    this.input = this.exports.input(size);
    this.capacity = size;
    this.look();
  }

  // Memory that has grown is another buffer, and this one is empty. It may grow in any call, also in one that nothing is read from.
  refresh() {
    if (this.output.length === 0) this.look();
  }

  look() {
    const { buffer } = this.exports.memory;
    this.bytes = new Uint8Array(buffer);
    this.numbers = new Uint32Array(buffer);
    this.output = new Uint32Array(buffer, this.exports.output(), 6);
    this.room = new Uint8Array(buffer, this.input, this.capacity);
  }
}

const UNREADABLE = "this order cannot be read; is the Worker of another version?";
const FEW = 500;
const FIRST_ROOM = 16384;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
