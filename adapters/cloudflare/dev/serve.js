#!/usr/bin/env node
// Runs the built Worker on workerd, as `postern dev` and the tests need it: byte for byte, with nothing in between.
//
//   serve.js --port N --bundle DIR --artefact FILE [--variables FILE] [--store FILE] [--instances N] [--apart]
//            [--binding NAME=ADDRESS|FILE]…
//
// Out: `ready http://127.0.0.1:PORT` when it listens; `reloaded …` when, after the line `reload` on standard input, the
// artefact and the variables of now are served; `failed …` when they could not be. Ends with its standard input or on
// SIGTERM, and workerd with it. What the Worker logs goes to standard error.
//
// More instances than one are isolates of their own, each on a port of its own (`instance http://127.0.0.1:PORT`), whose limits
// are counted by the same objects: what a deployment is, in one process.
//
// Instances that are apart have a Cache API each, as data centres have.
//
// The store is a JSON object: what stands under which key.
//
// A binding leads to whatever listens at an address (`--binding ORDERS=http://127.0.0.1:9001`), or to a second Worker, made of a
// module (`--binding ORDERS=worker.js`).
//
// Not Miniflare, whose proxies in front of and behind the Worker touch headers and encodings. Country and data centre are
// unknown here, unless the request says so in a field that only this server knows (facts.js), in the terms of `request.cf`:
//
//   curl -H 'postern-dev-cf: {"country": "DE", "colo": "FRA", "clientIp": "192.0.2.1"}' …
//
// A field postern-dev-counters breaks the counters (facts.js says how), on the first instance, which has them.

import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "8080" },
    bundle: { type: "string", default: "build/worker" },
    artefact: { type: "string", default: "build/gateway.bin" },
    variables: { type: "string" },
    store: { type: "string" },
    instances: { type: "string", default: "1" },
    apart: { type: "boolean", default: false },
    binding: { type: "string", multiple: true, default: [] },
  },
});
const { default: workerd } = createRequire(import.meta.url)("workerd");
const folder = mkdtempSync(join(tmpdir(), "postern-worker-"));
const instances = Number(options.instances);
// Of the instances, the first one's first.
const ports = Array.from({ length: instances }, (_, at) => (at === 0 ? options.port : "0"));
const bindings = options.binding.map((written) => {
  const [name, ...target] = written.split("=");
  return { name, target: target.join("=") };
});
let running;
// One order at a time.
let orders = Promise.resolve();

process.on("exit", end);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => process.exit(0));
const input = createInterface({ input: process.stdin });
input.on("close", () => process.exit(0));
input.on("line", (line) => {
  if (line.trim() === "reload") orders = orders.then(reload);
});
orders = orders.then(serve);

async function serve() {
  try {
    await start();
    for (const other of ports.slice(1)) console.log(`instance http://127.0.0.1:${other}`);
    console.log(`ready http://127.0.0.1:${ports[0]}`);
  } catch (error) {
    console.log(`failed ${error.message}`);
    process.exit(1);
  }
}

async function reload() {
  try {
    await stop();
    await start();
    console.log(`reloaded http://127.0.0.1:${ports[0]}`);
  } catch (error) {
    console.log(`failed ${error.message}`);
  }
}

async function start() {
  // Cap'n Proto embeds only what lies beside it.
  for (const name of ["index.js", "postern_bg.wasm"]) copyFileSync(join(options.bundle, name), join(folder, name));
  for (const name of ["facts.js", "cache.js", "store.js"]) copyFileSync(join(import.meta.dirname, name), join(folder, name));
  if (options.store === undefined) writeFileSync(join(folder, "store.json"), "{}");
  else copyFileSync(options.store, join(folder, "store.json"));
  copyFileSync(options.artefact, join(folder, "gateway.bin"));
  bindings.forEach(({ target }, at) => isAddress(target) || copyFileSync(target, join(folder, `bound${at}.js`)));
  const path = join(folder, "worker.capnp");
  writeFileSync(path, configuration(), { mode: 0o600 });
  const child = spawn(workerd, ["serve", path, "--experimental", "--control-fd=3"], {
    stdio: ["ignore", 2, 2, "pipe"],
  });
  running = child;
  let heard = 0;
  await new Promise((listening, failed) => {
    child.once("error", failed);
    child.once("exit", (code, signal) => failed(new Error(`workerd has ended (${signal ?? `exit code ${code}`})`)));
    createInterface({ input: child.stdio[3] }).on("line", (line) => {
      const message = JSON.parse(line);
      if (message.event !== "listen") return;
      ports[Number(message.socket.slice("http".length))] = message.port;
      if (++heard === instances) listening();
    });
  });
  child.removeAllListeners("exit");
  child.once("exit", (code, signal) => {
    if (child !== running) return;
    console.log(`failed workerd has ended (${signal ?? `exit code ${code}`})`);
    process.exit(1);
  });
}

function stop() {
  const child = running;
  running = undefined;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  return new Promise((ended) => {
    child.once("exit", ended);
    child.kill("SIGKILL");
  });
}

function end() {
  running?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

function configuration() {
  const variables = options.variables === undefined ? {} : JSON.parse(readFileSync(options.variables, "utf8"));
  const values = Object.entries(variables).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);
  // Counters outlive a reload.
  const counters = join(folder, "counters");
  mkdirSync(counters, { recursive: true });
  const numbers = [...ports.keys()];
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ${numbers.map((at) => `(name = "gateway${at}", worker = .gateway${at}),`).join("\n    ")}
    ${numbers.filter((at) => at === 0 || options.apart).map((at) => `(name = "cache${at}", worker = .cache),`).join("\n    ")}
    (name = "store", worker = .store),
    (name = "shared", worker = .store),
    ${bindings.map(({ target }, at) => bound(target, at)).join("\n    ")}
    (name = "counters", disk = (path = ${text(counters)}, writable = true)),
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [
    ${numbers.map((at) => `(name = "http${at}", address = "127.0.0.1:${ports[at]}", http = (), service = "gateway${at}"),`).join("\n    ")}
  ],
);

const cache :Workerd.Worker = (
  modules = [(name = "cache.js", esModule = embed "cache.js")],
  compatibilityDate = "2026-11-17",
);

const store :Workerd.Worker = (
  modules = [(name = "store.js", esModule = embed "store.js"), (name = "store.json", json = embed "store.json")],
  compatibilityDate = "2026-11-17",
);
${numbers.map((at) => worker(at, values)).join("")}`;
}

function isAddress(target) {
  return target.startsWith("http://");
}

function bound(target, at) {
  if (isAddress(target)) return `(name = "bound${at}", external = (address = ${text(new URL(target).host)}, http = ())),`;
  const module = `(name = "worker.js", esModule = embed "bound${at}.js")`;
  return `(name = "bound${at}", worker = (modules = [${module}], compatibilityDate = "2026-11-17")),`;
}

// The first instance has the objects.
function worker(at, values) {
  const objects = `
  durableObjectNamespaces = [
    (className = "Counters", uniqueKey = "postern-counters", enableSql = true),
    (className = "Checks", uniqueKey = "postern-checks", enableSql = true),
    (className = "Claims", uniqueKey = "postern-claims", enableSql = true),
    (className = "Versions", uniqueKey = "postern-versions", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "counters"),`;
  const services = bindings.map(({ name }, at) => `(name = ${text(name)}, service = "bound${at}")`);
  const namespace = (name) => `durableObjectNamespace = (className = "${name}", serviceName = "gateway0")`;
  const owners = [
    `(name = "POSTERN_COUNTERS", ${namespace("Counters")})`,
    `(name = "POSTERN_CHECKS", ${namespace("Checks")})`,
    `(name = "POSTERN_CLAIMS", ${namespace("Claims")})`,
    `(name = "POSTERN_VERSIONS", ${namespace("Versions")})`,
    '(name = "POSTERN_STORE", kvNamespace = "store")',
    '(name = "POSTERN_CACHE", kvNamespace = "shared")',
  ];
  return `
const gateway${at} :Workerd.Worker = (
  modules = [
    (name = "facts.js", esModule = embed "facts.js"),
    (name = "index.js", esModule = embed "index.js"),
    (name = "postern_bg.wasm", wasm = embed "postern_bg.wasm"),
    (name = "gateway.bin", data = embed "gateway.bin"),
  ],
  compatibilityDate = "2026-11-17",
  compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
  cacheApiOutbound = "cache${options.apart ? at : 0}",
  bindings = [${[...values, ...services, ...owners].join(", ")}],${at === 0 ? objects : ""}
);
`;
}

// A string as Cap'n Proto writes it; bytes, because its escapes know no code points.
function text(value) {
  let literal = "";
  for (const byte of Buffer.from(value)) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    literal += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${literal}"`;
}
