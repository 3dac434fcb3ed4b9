// The store of caches: the platform's Cache API, under addresses that nobody asks for; where asked, KV behind it, which all data
// centres share.
//
// What the core has written of a response stands in one field. The platform is told only for how long to keep it: its own rules
// for HTTP are not those that the core has decided by.

const NAME = "postern";
const RECORD = "postern-record";
// What KV takes: values of 25 MiB, for a minute at least.
const LONGEST = 25 << 20;
const SHORTEST = 60;

// What is stored under a key: what the core has written of it, and the stored response. `far` is the namespace that all share, or
// undefined; `waits` is told what goes on when the answer is sent.
export async function recall(key, far, waits) {
  const cache = await opened();
  const stored = await cache.match(address(key));
  const record = stored?.headers.get(RECORD);
  if (typeof record === "string") return { status: 200, bytes: record, stored };
  stored?.body?.cancel().catch(() => {});
  return (far && (await fetched(cache, key, far, waits))) ?? { status: 404, bytes: "" };
}

// Stores a body, as `body` gives it. Comes when all of it is there, or when it is too long to be stored, which is no failure.
export async function keep(key, record, seconds, { bytes, coding, coded, count }, far) {
  const everywhere = far !== undefined && seconds >= SHORTEST;
  const [near, other] = everywhere ? twice(bytes) : [bytes];
  const cache = await opened();
  const ended = await Promise.allSettled([
    cache.put(address(key), new Response(near, described(record, seconds, coding, coded))),
    everywhere ? sent(key, record, seconds, { bytes: other, coding, coded }, far) : undefined,
  ]);
  const failed = ended.find(({ status }) => status === "rejected");
  if (failed !== undefined) {
    // Of a body of unknown length that breaks off, what has come may count as all of it.
    await forget(key, everywhere ? far : undefined);
    if (!count?.exceeded) throw failed.reason;
  }
  return { status: 200, bytes: "" };
}

export async function forget(key, far) {
  const cache = await opened();
  await Promise.all([cache.delete(address(key)), far?.delete(key)]);
  return { status: 200, bytes: "" };
}

// The body to store of what an attempt brought, up to so many bytes, its content coding, and whether its bytes come in that coding;
// otherwise the runtime undoes and does it. Where the client is to have it as well, each gets a stream.
export function body(attempt, shared, most) {
  const { response } = attempt;
  const coding = response.headers.get("content-encoding");
  const coded = attempt.packed === true || attempt.watch !== undefined;
  if (response.body === null) return { bytes: null, coding, coded };
  // The core has looked at a length that was declared, and the runtime holds the body to it.
  const count = response.headers.has("content-length") ? undefined : { left: most, exceeded: false };
  const whole = (bytes) => ({ bytes: count === undefined ? bytes : counted(bytes, count), coding, coded, count });
  if (!shared) return whole(response.body);
  const [theirs, ours] = response.body.tee();
  attempt.response = new Response(theirs, coded ? manual(response) : response);
  return whole(ours);
}

// Breaks a body off that is too long; whoever has the other half of it gets all.
function counted(bytes, count) {
  const counting = new TransformStream({
    transform(chunk, controller) {
      count.left -= chunk.byteLength;
      if (count.left >= 0) return controller.enqueue(chunk);
      count.exceeded = true;
      controller.error(new RangeError("the body is too long to be stored"));
    },
  });
  return bytes.pipeThrough(counting);
}

// --- the namespace that all data centres share ------------------------------------------------------------------------

// A value there is a line of our own, one that the core has written, and the body: one value, so that nobody finds half of it.
async function sent(key, record, seconds, { bytes, coding, coded }, far) {
  const until = Date.now() + seconds * 1000;
  const head = new TextEncoder().encode(`${JSON.stringify({ until, coding, coded })}\n${record}\n`);
  const { readable, writable } = new TransformStream();
  const written = fill(writable, head, bytes);
  const stored = far.put(key, readable, { expirationTtl: seconds });
  // Whichever fails first says why; the other's end is then no news.
  written.catch(() => {});
  await Promise.all([stored, written]);
}

async function fetched(cache, key, far, waits) {
  const value = await far.get(key, { type: "stream" });
  if (value === null) return undefined;
  const parted = await part(value);
  if (parted === undefined) return undefined;
  const { until, coding, coded, record, body } = parted;
  const seconds = Math.floor((until - Date.now()) / 1000);
  const [ours, theirs] = body.tee();
  if (seconds > 0) waits(cache.put(address(key), new Response(theirs, described(record, seconds, coding, coded))));
  else theirs.cancel().catch(() => {});
  return { status: 200, bytes: record, stored: new Response(ours, described(record, seconds, coding, coded)), packed: coded };
}

// Takes the two lines from a value's beginning; undefined: it is none of ours.
async function part(value) {
  const reader = value.getReader();
  let begun = new Uint8Array(0);
  for (;;) {
    const first = begun.indexOf(LINE_FEED);
    const second = first < 0 ? -1 : begun.indexOf(LINE_FEED, first + 1);
    if (second >= 0) {
      const text = new TextDecoder();
      const { until, coding, coded } = JSON.parse(text.decode(begun.subarray(0, first)));
      const record = text.decode(begun.subarray(first + 1, second));
      const { readable, writable } = new TransformStream();
      reader.releaseLock();
      fill(writable, begun.subarray(second + 1), value).catch(() => {});
      return { until, coding, coded, record, body: readable };
    }
    const { done, value: more } = begun.length > LONGEST_HEAD ? { done: true } : await reader.read();
    if (done) {
      reader.cancel().catch(() => {});
      return undefined;
    }
    const all = new Uint8Array(begun.length + more.length);
    all.set(begun);
    all.set(more, begun.length);
    begun = all;
  }
}

// Writes some bytes, and then a body: a stream, bytes, or none.
async function fill(writable, head, body) {
  const writer = writable.getWriter();
  if (head.length > 0) await writer.write(head);
  if (body instanceof ReadableStream) {
    writer.releaseLock();
    return body.pipeTo(writable);
  }
  if (body?.length > 0) await writer.write(body);
  return writer.close();
}

function twice(body) {
  return body instanceof ReadableStream ? body.tee() : [body, body];
}

// Opened once, for every request of the isolate.
let cache;
async function opened() {
  return (cache ??= await caches.open(NAME));
}

function described(record, seconds, coding, coded) {
  const headers = { [RECORD]: record, "cache-control": `max-age=${seconds}` };
  if (coding) headers["content-encoding"] = coding;
  return { headers, encodeBody: coded ? "manual" : "automatic" };
}

function manual({ status, statusText, headers }) {
  return { status, statusText, headers, encodeBody: "manual" };
}

function address(key) {
  return `https://cache.postern.invalid/${key}`;
}

const LINE_FEED = 10;
// Of what stands before a body; the core's records are shorter.
const LONGEST_HEAD = 256 << 10;
