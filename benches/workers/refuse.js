// What one would write to refuse a request that nothing takes: it is read first, since it may have too many fields, and the answer
// says as much as Postern's. No route, no Wasm.
export default {
  fetch(request) {
    const { host, pathname } = new URL(request.url);
    const address = request.cf?.clientIp ?? "";
    let size = 0;
    request.headers.forEach((value, name) => {
      size += name.length + value.length + 4;
    });
    if (size > 65536) return new Response(null, { status: 431 });
    if (request.method === "TRACE" || pathname === "/taken" || host === address) return new Response("taken");
    const random = crypto.getRandomValues(new Uint8Array(16));
    const detail = "No route takes this request.";
    const request_id = random.toHex?.() ?? Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const body = JSON.stringify({ type: "urn:postern:problem:no-route", title: "No route", status: 404, detail, request_id });
    const headers = { "content-type": "application/problem+json", "cache-control": "no-store", "content-length": `${body.length}` };
    return new Response(body, { status: 404, headers });
  },
};
