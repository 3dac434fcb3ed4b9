// A page that calls the service of examples/grpc from another origin, in a real browser, for tests/e2e/grpc.rs.
//
//   node shop-page.mjs DESCRIPTORS
//
// Prints the origin of the page. For each line `PROTOCOL BASE` of its input it prints what the page saw there, as JSON: `allowed` from
// that origin, and `refused` from another one (the same page by another name). Ends when its input does.

import { readFileSync } from "node:fs";
import http from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { open } from "./chromium.mjs";

const descriptors = readFileSync(process.argv[2]);
const entryPoints = [fileURLToPath(new URL("shop-browser.mjs", import.meta.url))];
const bundle = await build({ entryPoints, bundle: true, format: "iife", target: "es2022", write: false });
const files = {
  "/": ["text/html", "<!doctype html><title>shop</title><script src=script></script>"],
  "/script": ["text/javascript", bundle.outputFiles[0].contents],
  "/descriptors": ["application/octet-stream", descriptors],
};
const server = http.createServer((request, response) => {
  const [kind, body] = files[request.url] ?? ["text/plain", ""];
  response.writeHead(request.url in files ? 200 : 404, { "content-type": kind }).end(body);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address();
const browser = await open();

async function visit(host, protocol, base) {
  const page = await browser.newPage();
  await page.goto(`http://${host}:${port}/`);
  const seen = await page.evaluate((protocol, base) => callAll(protocol, base).catch(String), protocol, base);
  await page.close();
  return seen;
}

console.log(`http://127.0.0.1:${port}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [protocol, base] = line.split(" ");
  const allowed = await visit("127.0.0.1", protocol, base);
  const refused = await visit("localhost", protocol, base);
  console.log(JSON.stringify({ allowed, refused }));
}
await browser.close();
process.exit(0);
