// What clients of the service of examples/grpc do, in Node and in a browser: calls of several kinds, and what came of them.

import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";

/// A client of the service that these descriptors declare.
export function client(descriptors, transport) {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  return { registry, shop: createClient(registry.getService("shop.v1.Shop"), transport) };
}

export async function calls({ registry, shop }) {
  const shown = (message) => toJson(registry.getMessage(message.$typeName), message);
  const seen = {};
  const got = await shop.getOrder({ id: 7n }, {
    headers: { "x-tenant-id": "acme" },
    timeoutMs: 20_000,
    onHeader: (fields) => {
      seen.header = fields.get("x-total-count");
      seen.trailer = fields.get("x-served-by");
    },
    onTrailer: (fields) => (seen.trailer ??= fields.get("x-served-by")),
  });
  const failed = await shop.getOrder({ id: 404n }).then(() => undefined, (error) => error);
  const events = [];
  for await (const event of shop.watchOrder({ id: 7n })) events.push(event.what);
  const aborted = await (async () => {
    for await (const _ of shop.watchOrder({ id: 9n }));
  })().then(() => undefined, (error) => error);
  const count = await shop.countOrders({});
  const late = await shop.getOrder({ id: 504n }, { timeoutMs: 300 }).then(() => undefined, (error) => ConnectError.from(error));
  return {
    got: shown(got),
    ...seen,
    failed: {
      code: Code[failed.code],
      message: failed.rawMessage,
      details: failed.findDetails(registry.getMessage("shop.v1.Item")).map(shown),
    },
    events,
    aborted: Code[aborted.code],
    count: shown(count),
    late: Code[late.code],
  };
}
