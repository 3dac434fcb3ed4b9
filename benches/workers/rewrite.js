// A rewritten path, three edits of the request and two of the response, no policy and no table of routes.
export default {
  async fetch(request) {
    const url = new URL(request.url);
    url.pathname = `/internal${url.pathname}`;
    const upstream = new Request(url, request);
    upstream.headers.set("x-tenant", "bench");
    upstream.headers.append("x-tag", "edge");
    upstream.headers.delete("x-debug");
    const received = await fetch(upstream, { redirect: "manual" });
    const response = new Response(received.body, received);
    response.headers.set("x-content-type-options", "nosniff");
    response.headers.delete("x-origin-secret");
    return response;
  },
};
