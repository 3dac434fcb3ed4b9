// The service of examples/grpc (npm @connectrpc/connect-node), for tests/e2e/grpc.rs: gRPC, gRPC-Web and Connect.
//
//   node shop.mjs DESCRIPTORS
//
// Prints `ready HTTP1 HTTP2`, two addresses: the first speaks gRPC-Web and Connect, the second, in HTTP/2 without TLS, gRPC as
// well. Watching an order gives one event at once, and another for each line `next` of its input; watching the order 100000 gives
// as many. The order 404 is not there, and the order 504 takes for ever. Ends when its input does.

import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import { createInterface } from "node:readline";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(process.argv[2])));
const Shop = registry.getService("shop.v1.Shop");
const message = (name, value) => create(registry.getMessage(`shop.v1.${name}`), value);
const order = (id, rest = {}) => message("Order", { id, customer: "eve", status: 1, ...rest });

let wake = [];
let passes = 0;
const next = () => (passes > 0 ? passes-- : new Promise((resolve) => wake.push(resolve)));

const methods = {
  async getOrder({ id, customer }, context) {
    context.responseHeader.set("x-total-count", "5");
    context.responseTrailer.set("x-served-by", "shop");
    if (id === 404n) {
      const Item = registry.getMessage("shop.v1.Item");
      const details = [{ desc: Item, value: { name: "pen", count: 2 } }];
      throw new ConnectError("there is no order 404: \u{1F937}", Code.NotFound, undefined, details);
    }
    if (id === 504n) await new Promise((_, fail) => context.signal.addEventListener("abort", () => fail(context.signal.reason)));
    const labels = {
      tenant: context.requestHeader.get("x-tenant-id") ?? "",
      protocol: context.protocolName,
      deadline: String(context.timeoutMs() !== undefined),
    };
    return order(id, { customer: customer || "eve", labels });
  },
  listOrders: ({ status, pageSize }) => message("ListOrdersResponse", { orders: status.map((one) => order(BigInt(pageSize), { status: one })) }),
  createOrder: (request) => request.order,
  cancelOrder: ({ id, reason }) => order(id, { labels: { reason } }),
  countOrders: () => message("CountOrdersResponse", { count: 18446744073709551615n }),
  async *watchOrder({ id }) {
    if (id === 100000n) {
      for (let number = 0; number < 100000; number++) yield message("OrderEvent", { what: `event ${number}`, order: order(id) });
      return;
    }
    yield message("OrderEvent", { what: "first" });
    await next();
    yield message("OrderEvent", { what: "second" });
    if (id === 9n) throw new ConnectError("too late", Code.Aborted);
  },
  async importOrders(orders) {
    let taken = 0;
    for await (const _ of orders) taken++;
    return message("ImportOrdersResponse", { taken });
  },
  async *trackOrders(orders) {
    for await (const { id } of orders) yield message("OrderEvent", { what: `order ${id}` });
  },
};

const adapter = () => connectNodeAdapter({ routes: (router) => router.service(Shop, methods) });
const servers = [http.createServer(adapter()), http2.createServer(adapter())];
await Promise.all(servers.map((server) => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))));
console.log(`ready ${servers.map((server) => `127.0.0.1:${server.address().port}`).join(" ")}`);

createInterface({ input: process.stdin })
  .on("line", () => (wake.length > 0 ? wake.shift()() : passes++))
  .on("close", () => process.exit(0));
