// Clients of the service of examples/grpc, for tests/e2e/grpc.rs: npm @connectrpc/connect-web, and @connectrpc/connect-node for gRPC
// and for streams of the client's.
//
//   node shop-client.mjs DESCRIPTORS PROTOCOL BASE
//
// Calls it by `connect`, `connect-json`, `connect-streams`, `grpc-web` or `grpc`, and prints what came as JSON.

import { readFileSync } from "node:fs";
import { toJson } from "@bufbuild/protobuf";
import { createConnectTransport as createNodeTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { calls, client } from "./shop-calls.mjs";

const [, , descriptors, protocol, baseUrl] = process.argv;
const transport = {
  connect: () => createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true }),
  "connect-json": () => createConnectTransport({ baseUrl }),
  "connect-streams": () => createNodeTransport({ baseUrl, httpVersion: "1.1" }),
  "grpc-web": () => createGrpcWebTransport({ baseUrl }),
  grpc: () => createGrpcTransport({ baseUrl }),
}[protocol]();
const { registry, shop } = client(readFileSync(descriptors), transport);
const seen = await calls({ registry, shop });

async function* three() {
  for (const id of [1n, 2n, 3n]) yield { id };
}

if (protocol === "connect-streams" || protocol === "grpc") {
  seen.imported = toJson(registry.getMessage("shop.v1.ImportOrdersResponse"), await shop.importOrders(three()));
}
if (protocol === "grpc") {
  // The second is asked for when the first has been answered.
  let answered;
  const first = new Promise((resolve) => (answered = resolve));
  async function* two() {
    yield { id: 1n };
    await first;
    yield { id: 2n };
  }
  const tracked = async () => {
    const events = [];
    for await (const { what } of shop.trackOrders(two())) {
      events.push(what);
      answered();
    }
    return events;
  };
  seen.tracked = await tracked().catch((error) => error.rawMessage);
}

console.log(JSON.stringify(seen));
process.exit(0);
