// hono with a thousand routes of the measured table; each rewrites its path and makes the edits that Postern makes. With a KEY, callers
// show a token that it has signed, and each has a token bucket.
import { Hono } from "hono";
import { jwt } from "hono/jwt";
import { proxy } from "hono/proxy";

const app = new Hono();
if (KEY !== undefined) {
  const buckets = new Map();
  app.use(jwt({ secret: KEY, alg: "ES256" }));
  app.use(async (c, next) => {
    const { sub } = c.get("jwtPayload");
    const now = Date.now();
    // 1,000,000 a second.
    const { left, at } = buckets.get(sub) ?? { left: 1e6, at: now };
    const tokens = Math.min(1e6, left + (now - at) * 1e3);
    if (tokens < 1) return c.json({ title: "Too many requests", status: 429 }, 429);
    buckets.set(sub, { left: tokens - 1, at: now });
    await next();
  });
}
app.use(async (c, next) => {
  await next();
  c.res.headers.set("x-content-type-options", "nosniff");
  c.res.headers.delete("x-origin-secret");
});
for (let place = 0; place < 1000; place++) {
  const name = `route-${String(place).padStart(6, "0")}`;
  const base = `/service-${String(Math.floor(place / 4)).padStart(5, "0")}`;
  const rest = ["/v1/orders", "/v1/orders/:id", "/v1/orders/:id/lines/:line", "/files/*"][place % 4];
  app.get(base + rest, async (c) => {
    const url = new URL(c.req.url);
    url.pathname = `/internal${url.pathname}`;
    const headers = new Headers(c.req.raw.headers);
    headers.set("x-route", name);
    headers.set("x-tenant", "bench");
    headers.append("x-tag", "edge");
    headers.delete("x-debug");
    const response = await proxy(url, { method: c.req.method, headers, body: c.req.raw.body });
    response.headers.set("x-matched-route", name);
    return response;
  });
}
export default app;
