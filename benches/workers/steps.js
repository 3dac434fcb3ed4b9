// What a gateway cannot do without, one thing after the other: STEP says how many of them. No Wasm, no decision.
export default {
  async fetch(request) {
    // 1: another URL, redirects handed on.
    const url = `http://origin${request.url.slice(request.url.indexOf("/", 8))}`;
    const init = { method: request.method, headers: request.headers, body: request.body, redirect: "manual" };
    let timer;
    if (STEP >= 2) {
      // The request's edits that every request needs.
      const headers = new Headers(request.headers);
      headers.append("via", "1.1 steps");
      headers.set("x-forwarded-for", "127.0.0.1");
      headers.set("x-forwarded-proto", "http");
      headers.set("x-forwarded-host", "steps.example");
      init.headers = headers;
    }
    if (STEP >= 3) {
      // A time limit.
      const controller = new AbortController();
      timer = setTimeout(() => controller.abort(), 30_000);
      init.signal = controller.signal;
    }
    // The client's address, where it is in no field.
    if (STEP >= 4) init.headers.set("x-forwarded-for", request.cf?.clientIp ?? "");
    if (STEP >= 5) {
      // Every field of the request, as text that can cross into Wasm at once.
      let text = "";
      request.headers.forEach((value, name) => {
        text += `${name}\0${value}\n`;
      });
      if (text.length > 65536) return new Response(null, { status: 431 });
    }
    const response = await fetch(url, init);
    clearTimeout(timer);
    return response;
  },
};
