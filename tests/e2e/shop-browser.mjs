// What shop-page.mjs bundles into its page: npm @connectrpc/connect-web, in a browser.

import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { calls, client } from "./shop-calls.mjs";

globalThis.callAll = async (protocol, baseUrl) => {
  const transport = {
    connect: () => createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true }),
    "connect-json": () => createConnectTransport({ baseUrl }),
    "grpc-web": () => createGrpcWebTransport({ baseUrl }),
  }[protocol]();
  const descriptors = new Uint8Array(await (await fetch("/descriptors")).arrayBuffer());
  return calls(client(descriptors, transport));
};
