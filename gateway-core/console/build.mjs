// Makes of the console what the core carries: bundled and minified.
//
//   node gateway-core/console/build.mjs           writes gateway-core/console/built/
//   node gateway-core/console/build.mjs --check   fails when that is out of date
//
// What is built is committed, so that nobody needs Node to build the gateway.

import { build } from "esbuild";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const here = new URL("./", import.meta.url);
const built = new URL("built/", here);
const path = (name) => decodeURIComponent(new URL(name, here).pathname);

const options = { bundle: true, minify: true, write: false, format: "esm", target: ["es2023", "chrome120", "firefox121", "safari17"], legalComments: "none", charset: "utf8" };
const bundled = async (entry) => Buffer.from((await build({ ...options, entryPoints: [path(entry)] })).outputFiles[0].contents);
const files = {
  "index.html": Buffer.from(readFileSync(new URL("index.html", here), "utf8").replaceAll(/\n\s+/g, "\n")),
  "console.css": await bundled("console.css"),
  "console.js": await bundled("main.js"),
};

let [size, packed] = [0, 0];
const stale = [];
for (const [name, bytes] of Object.entries(files)) {
  const file = new URL(name, built);
  if (!existsSync(file) || !readFileSync(file).equals(bytes)) {
    stale.push(name);
    if (!process.argv.includes("--check")) {
      mkdirSync(built, { recursive: true });
      writeFileSync(file, bytes);
    }
  }
  const small = gzipSync(bytes, { level: 9 }).length;
  console.log(`${name}: ${bytes.length} bytes, gzipped ${small}`);
  size += bytes.length;
  packed += small;
}
console.log(`all: ${size} bytes, gzipped ${packed}`);
if (process.argv.includes("--check") && stale.length > 0) {
  console.error(`out of date: ${stale.join(", ")}; run \`make console\` and commit what it writes`);
  process.exit(1);
}
