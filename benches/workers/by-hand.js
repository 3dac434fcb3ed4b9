// What the measured configuration makes Postern do for one route, written by hand: the rewritten path, four edits of the
// request and three of the response, `Via` and `X-Forwarded-*`, a time limit.
export default {
  async fetch(request) {
    const url = new URL(request.url);
    const host = url.host;
    url.pathname = `/internal${url.pathname}`;
    const headers = new Headers(request.headers);
    headers.set("x-route", "by-hand");
    headers.set("x-tenant", "bench");
    headers.append("x-tag", "edge");
    headers.delete("x-debug");
    headers.append("via", "1.1 by-hand");
    headers.set("x-forwarded-for", request.headers.get("cf-connecting-ip") ?? "127.0.0.1");
    headers.set("x-forwarded-proto", "http");
    headers.set("x-forwarded-host", host);
    const controller = new AbortController();
    request.signal.addEventListener("abort", () => controller.abort());
    const timer = setTimeout(() => controller.abort(), 30_000);
    const init = { method: request.method, headers, body: request.body, redirect: "manual", signal: controller.signal };
    const received = await fetch(url, init);
    clearTimeout(timer);
    const response = new Response(received.body, received);
    response.headers.set("x-content-type-options", "nosniff");
    response.headers.set("x-matched-route", "by-hand");
    response.headers.delete("x-origin-secret");
    return response;
  },
};
