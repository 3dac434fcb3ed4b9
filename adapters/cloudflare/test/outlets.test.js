// Lines of the access log reach a real queue, and points a dataset's binding, under Miniflare, which has both.
//
// Needs the built Worker and the tool; without them it says so and is skipped.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../../..");
const bundle = join(root, "build/worker");
const tool = join(root, process.env.CARGO_TARGET_DIR ?? "target", "debug/postern");
const missing = [join(bundle, "postern_bg.wasm"), tool].find((file) => !existsSync(file));

test("lines reach a queue, and points a dataset", { skip: missing && `${missing} is not built` }, async () => {
  const { Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const options = convertV4MiniflareOptions({
    workers: [
      {
        name: "gateway",
        modules: [
          { type: "ESModule", path: "index.js", contents: readFileSync(join(bundle, "index.js"), "utf8") },
          { type: "CompiledWasm", path: "postern_bg.wasm", contents: readFileSync(join(bundle, "postern_bg.wasm")) },
          { type: "Data", path: "gateway.bin", contents: artefact() },
        ],
        compatibilityDate: "2026-11-17",
        compatibilityFlags: ["no_nodejs_compat", "no_nodejs_compat_v2"],
        durableObjects: {
          POSTERN_COUNTERS: { className: "Counters", useSQLite: true },
          POSTERN_CLAIMS: { className: "Claims", useSQLite: true },
        },
        queueProducers: { LINES: { queueName: "lines" } },
        analyticsEngineDatasets: { POINTS: { dataset: "points" } },
      },
      {
        name: "reader",
        modules: true,
        script: `
          const read = [];
          export default {
            queue: (batch) => { read.push(...batch.messages.map((message) => message.body)); },
            fetch: () => Response.json(read),
          };`,
        compatibilityDate: "2026-11-17",
        queueConsumers: { lines: { maxBatchTimeout: 0 } },
      },
    ],
  });
  const gateway = new Miniflare(options);
  try {
    for (let at = 0; at < 3; at++) {
      const response = await gateway.dispatchFetch(`http://gateway.test/${at}?token=secret`);
      assert.equal(response.status, 200);
      await response.text();
    }
    const reader = await gateway.getWorker("reader");
    let lines = [];
    for (let round = 0; round < 100 && lines.length < 3; round++) {
      await new Promise((passed) => setTimeout(passed, 100));
      lines = await (await reader.fetch("http://reader.test/")).json();
    }
    assert.deepEqual(lines.map((line) => line["url.path"]).sort(), ["/0", "/1", "/2"]);
    assert.ok(lines.every((line) => line.schema === "postern.access/1" && line["url.query"] === "token=REDACTED"));
  } finally {
    await gateway.dispose();
  }
});

function artefact() {
  const folder = mkdtempSync(join(tmpdir(), "postern-outlets-"));
  try {
    const configuration = {
      allow: "binding-unavailable",
      telemetry: { logs: { to: [{ queue: "LINES" }, { analytics: "POINTS" }], batch: { interval: "50ms" } } },
      routes: [{ name: "all", path_prefix: "/", respond: {} }],
    };
    writeFileSync(join(folder, "gateway.json"), JSON.stringify(configuration));
    execFileSync(tool, ["compile", "--config", join(folder, "gateway.json"), "--out", join(folder, "gateway.bin")]);
    return readFileSync(join(folder, "gateway.bin"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
