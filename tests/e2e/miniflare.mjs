// The built Worker on Miniflare, with what plain workerd does not have, for tests/e2e/miniflare.rs.
//
//   node miniflare.mjs ARTEFACT
//
// Prints `ready ADDRESS`, then does what each line of its input says, and prints the word once it is done: `put KEY VALUE` writes
// into the KV namespace, `delete KEY` takes away. Ends when its input does.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const built = new URL("../../build/worker/", import.meta.url);
const module = (type, path, from = new URL(path, built)) => ({ type, path, contents: readFileSync(from) });
const options = {
  host: "127.0.0.1",
  port: 0,
  modules: [
    module("ESModule", "index.js"),
    module("CompiledWasm", "postern_bg.wasm"),
    module("Data", "gateway.bin", process.argv[2]),
  ],
  compatibilityDate: "2026-11-17",
  compatibilityFlags: ["no_nodejs_compat", "no_nodejs_compat_v2"],
  kvNamespaces: ["POSTERN_STORE"],
  durableObjects: { POSTERN_COUNTERS: { className: "Counters", useSQLite: true } },
  ratelimits: { LOGIN_LIMIT: { namespace_id: "1001", simple: { limit: 5, period: 60 } } },
};
const miniflare = new Miniflare(convertV4MiniflareOptions(options));
console.log(`ready ${(await miniflare.ready).host}`);
const store = await miniflare.getKVNamespace("POSTERN_STORE");
for await (const line of createInterface({ input: process.stdin })) {
  const [word, key, ...value] = line.split(" ");
  if (word === "put") await store.put(key, value.join(" "));
  if (word === "delete") await store.delete(key);
  console.log(word);
}
await miniflare.dispose();
