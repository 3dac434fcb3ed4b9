// The store of caches: the platform's Cache API, under addresses that nobody asks for.
//
// What the core has written of a response stands in one field. The platform is told only for how long to keep it: its own rules
// for HTTP are not those that the core has decided by.

const NAME = "postern";
const RECORD = "postern-record";

// What is stored under a key: what the core has written of it, and the stored response.
export async function recall(key) {
  const cache = await caches.open(NAME);
  const stored = await cache.match(address(key));
  const record = stored?.headers.get(RECORD);
  if (typeof record === "string") return { status: 200, bytes: record, stored };
  stored?.body?.cancel().catch(() => {});
  return { status: 404, bytes: "" };
}

// Stores a body. Comes when all of it is there.
export async function keep(key, record, seconds, body, coding) {
  const headers = { [RECORD]: record, "cache-control": `max-age=${seconds}` };
  // The body's bytes are those of this coding, and the runtime must neither add nor remove one.
  if (coding) headers["content-encoding"] = coding;
  const cache = await caches.open(NAME);
  await cache.put(address(key), new Response(body, { headers }));
  return { status: 200, bytes: "" };
}

export async function forget(key) {
  const cache = await caches.open(NAME);
  await cache.delete(address(key));
  return { status: 200, bytes: "" };
}

// The body to store of what an attempt brought, and its content coding. Where the client is to have it as well, each gets a stream.
export function body(attempt, shared) {
  const { response } = attempt;
  const coding = response.headers.get("content-encoding");
  if (!shared || response.body === null) return [response.body, coding];
  const [theirs, ours] = response.body.tee();
  attempt.response = new Response(theirs, response);
  return [ours, coding];
}

function address(key) {
  return `https://cache.postern.invalid/${key}`;
}
