// A method of gRPC for clients of JSON, as one writes it by hand with npm @bufbuild/protobuf: one path, no metadata, no deadline, no
// details of errors. DESCRIPTORS are those of the service, in hexadecimal.
import { create, createFileRegistry, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const set = Uint8Array.from(DESCRIPTORS.match(/../g), (pair) => parseInt(pair, 16));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
const Order = registry.getMessage("shop.v1.Order");
const CreateOrderRequest = registry.getMessage("shop.v1.CreateOrderRequest");

// What the service is sent.
export function call(path, json) {
  const customer = decodeURIComponent(path.match(/^\/v1\/customers\/([^/]+)\/orders$/)[1]);
  const order = fromJson(Order, JSON.parse(json));
  order.customer = customer;
  const message = toBinary(CreateOrderRequest, create(CreateOrderRequest, { order }));
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  return frame;
}

// What the client is answered.
export function answer(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(1);
  const trailers = new TextDecoder().decode(bytes.subarray(10 + length));
  if (bytes[0] !== 0 || bytes[5 + length] !== 0x80 || !/^grpc-status: ?0\r$/m.test(trailers)) return undefined;
  return JSON.stringify(toJson(Order, fromBinary(Order, bytes.subarray(5, 5 + length))));
}

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = call(pathname, await request.text());
    const headers = { "content-type": "application/grpc-web+proto", accept: "application/grpc-web+proto", "x-grpc-web": "1" };
    const received = await fetch("http://origin/shop.v1.Shop/CreateOrder", { method: "POST", headers, body });
    const json = answer(new Uint8Array(await received.arrayBuffer()));
    if (json === undefined) return new Response(null, { status: 502 });
    return new Response(json, { headers: { "content-type": "application/json" } });
  },
};
