// node limits.mjs MODULE KIND: prints the nanoseconds of thread CPU time that one decision takes, the middle of seven rounds.
import { readFileSync } from "node:fs";

const [module, kind] = process.argv.slice(2);
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)), {});
exports.prepare(+kind);
const TIMES = 1_000_000;
exports.decide(TIMES);
const rounds = Array.from({ length: 7 }, () => {
  const before = process.threadCpuUsage();
  exports.decide(TIMES);
  const { user, system } = process.threadCpuUsage(before);
  return ((user + system) * 1_000) / TIMES;
});
console.log(rounds.sort((a, b) => a - b)[3].toFixed(1));
