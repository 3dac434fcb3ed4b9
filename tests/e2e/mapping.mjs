// A second implementation of protobuf and its JSON (npm @bufbuild/protobuf), for tests/e2e/mapping.rs.
//
//   node mapping.mjs DESCRIPTORS MESSAGE
//
// Reads lines `BASE64 JSON`, a message in both forms. Answers each with such a line: the bytes made of the JSON, and the JSON made
// of the bytes; or with `error` and why.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createFileRegistry, fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(process.argv[2])));
const schema = registry.getMessage(process.argv[3]);

for await (const line of createInterface({ input: process.stdin })) {
  const [bytes, json] = [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)];
  try {
    const made = Buffer.from(toBinary(schema, fromJsonString(schema, json, { registry }))).toString("base64");
    const written = toJsonString(schema, fromBinary(schema, Buffer.from(bytes, "base64")), { registry });
    console.log(`${made} ${written}`);
  } catch (error) {
    console.log(`error ${error}`);
  }
}
