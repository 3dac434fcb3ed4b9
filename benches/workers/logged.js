// A pass-through that writes what an access log says of it on the console, by hand: what the line itself costs, whoever writes it.
export default {
  async fetch(request) {
    const begun = Date.now();
    const { host, pathname } = new URL(request.url);
    const response = await fetch(request);
    const seconds = (Date.now() - begun) / 1_000;
    const line = {
      schema: "by-hand/1",
      timestamp: new Date(begun).toISOString(),
      "postern.request_id": crypto.randomUUID(),
      "http.request.method": request.method,
      "url.scheme": "http",
      "server.address": host,
      "url.path": pathname,
      "http.route": "all",
      "http.response.status_code": response.status,
      "http.server.request.duration": seconds,
      "client.address": request.cf?.clientIp,
      "user_agent.original": request.headers.get("user-agent"),
      "postern.upstream": "origin",
      "postern.attempts": [{ target: host, status: response.status, duration: seconds }],
    };
    console.log(JSON.stringify(line));
    return response;
  },
};
