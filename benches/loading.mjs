// node loading.mjs MODULE WAY INPUT PATH: loads a table once in a fresh instance of the Wasm module, as a cold start
// does; prints the microseconds of thread CPU time that the copy into its memory and the loading took, and how many
// routes there are.
import { readFileSync } from "node:fs";

const [module, way, input, path] = process.argv.slice(2);
const compiled = new WebAssembly.Module(readFileSync(module));
const bytes = readFileSync(input);
const tail = new TextEncoder().encode(path);

const before = process.threadCpuUsage();
const { exports } = new WebAssembly.Instance(compiled, {});
const room = exports.room(bytes.length + tail.length);
const memory = new Uint8Array(exports.memory.buffer);
memory.set(bytes, room);
memory.set(tail, room + bytes.length);
const routes = exports.run(+way, tail.length);
const { user, system } = process.threadCpuUsage(before);
console.log(user + system, routes);
