// Clients of the service of examples/grpc, for tests/e2e/grpc.rs: npm @connectrpc/connect-web, and @connectrpc/connect-node for gRPC.
//
//   node shop-client.mjs DESCRIPTORS PROTOCOL BASE
//
// Calls it by `connect`, `connect-json`, `grpc-web` or `grpc`, and prints what came as JSON.

import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

const [, , descriptors, protocol, baseUrl] = process.argv;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const transport = {
  connect: () => createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true }),
  "connect-json": () => createConnectTransport({ baseUrl }),
  "grpc-web": () => createGrpcWebTransport({ baseUrl }),
  grpc: () => createGrpcTransport({ baseUrl }),
}[protocol]();
const shop = createClient(registry.getService("shop.v1.Shop"), transport);
const shown = (message) => toJson(registry.getMessage(message.$typeName), message);

const headers = {};
const got = await shop.getOrder({ id: 7n }, {
  headers: { "x-tenant-id": "acme" },
  timeoutMs: 20_000,
  onHeader: (fields) => (headers.header = fields.get("x-total-count")),
  onTrailer: (fields) => (headers.trailer = fields.get("x-served-by")),
});
const failed = await shop.getOrder({ id: 404n }).then(() => undefined, (error) => error);
const events = [];
for await (const event of shop.watchOrder({ id: 7n })) events.push(event.what);
const aborted = await (async () => {
  for await (const _ of shop.watchOrder({ id: 9n }));
})().then(() => undefined, (error) => error);
const count = await shop.countOrders({});
const late = await shop.getOrder({ id: 504n }, { timeoutMs: 300 }).then(() => undefined, (error) => ConnectError.from(error));

console.log(JSON.stringify({
  got: shown(got),
  ...headers,
  failed: {
    code: Code[failed.code],
    message: failed.rawMessage,
    details: failed.findDetails(registry.getMessage("shop.v1.Item")).map(shown),
  },
  events,
  aborted: Code[aborted.code],
  count: shown(count),
  late: Code[late.code],
}));
process.exit(0);
