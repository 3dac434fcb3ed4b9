// node transcoding.mjs MODULE CONFIGURATION DESCRIPTORS ORDER ANSWER ROUNDS: what a call of about 1 KB each way costs in Wasm and in
// JavaScript; for each a line with its name, the least and the middle of several rounds, in microseconds of CPU for one call.
import { readFileSync } from "node:fs";

const [module, configuration, descriptors, order, answered, rounds] = process.argv.slice(2);
globalThis.DESCRIPTORS = readFileSync(descriptors).toString("hex");
const { call, answer } = await import("./workers/transcoder.js");

const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)), {});
const bytes = readFileSync(configuration);
// Making room may grow the memory, which gives it another buffer.
const room = exports.room(bytes.length);
new Uint8Array(exports.memory.buffer).set(bytes, room);
if (exports.load() !== 1) throw new Error("the configuration does not load");

const [json, frames] = [readFileSync(order, "utf8"), new Uint8Array(readFileSync(answered))];
// Both make the same of it.
const made = call("/v1/customers/eve/orders", json);
if (made.length < 300 || JSON.parse(answer(frames)).items.length !== 16) throw new Error("a wrong answer is worth nothing");
const script = (times) => {
  let done = 0;
  for (let i = 0; i < times; i++) {
    if (call("/v1/customers/eve/orders", json).length === made.length && answer(frames) !== undefined) done++;
  }
  return done;
};

const TIMES = 5_000;
for (const [name, run] of [["Wasm", exports.run], ["JavaScript", script]]) {
  const costs = [];
  for (let round = 0; round < +rounds + 1; round++) {
    const before = process.threadCpuUsage();
    if (run(TIMES) !== TIMES) throw new Error(`${name}: a call failed`);
    const { user, system } = process.threadCpuUsage(before);
    if (round > 0) costs.push((user + system) / TIMES);
  }
  costs.sort((a, b) => a - b);
  console.log(`${name}\t${costs[0]}\t${costs[costs.length >> 1]}`);
}
