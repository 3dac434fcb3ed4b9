// A limit as one writes it by hand: a token bucket in a Durable Object, asked with every request, before the plain pass-through.
import { DurableObject } from "cloudflare:workers";

const RATE = 1_000_000;
const BURST = 1_000_000;

export class Counters extends DurableObject {
  buckets = new Map();

  take(key) {
    const now = Date.now();
    const { tokens, since } = this.buckets.get(key) ?? { tokens: BURST, since: now };
    const full = Math.min(BURST, tokens + ((now - since) * RATE) / 1000);
    if (full < 1) return { admitted: false, remaining: 0 };
    this.buckets.set(key, { tokens: full - 1, since: now });
    return { admitted: true, remaining: Math.floor(full - 1) };
  }
}

export default {
  async fetch(request, env) {
    const key = request.headers.get("cf-connecting-ip") ?? "127.0.0.1";
    const { admitted, remaining } = await env.POSTERN_COUNTERS.get(env.POSTERN_COUNTERS.idFromName(key)).take(key);
    const standing = `"per-second";r=${remaining};t=1`;
    if (!admitted) return new Response("Too many requests", { status: 429, headers: { "retry-after": "1", ratelimit: standing } });
    const received = await fetch(request);
    const response = new Response(received.body, received);
    response.headers.set("ratelimit", standing);
    response.headers.set("ratelimit-policy", `"per-second";q=${BURST};w=1`);
    return response;
  },
};
