// hono with its proxy helper, one route for all.
import { Hono } from "hono";
import { proxy } from "hono/proxy";

const app = new Hono();
app.all("*", (c) => proxy(c.req.url, c.req.raw));
export default app;
