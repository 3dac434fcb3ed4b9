// What the Cache API stands on in the development server: a store in memory that speaks the protocol in which workerd asks its cache.
// `PUT` brings a whole HTTP response as a message, `GET` asks for one, `PURGE` takes it away.

// By name of the cache and address, the one stored longest ago first.
const kept = new Map();
let size = 0;

export default {
  async fetch(request) {
    const key = `${request.headers.get("cf-cache-namespace") ?? ""} ${request.url}`;
    switch (request.method) {
      case "GET":
        return find(key);
      case "PUT":
        return store(key, new Uint8Array(await request.arrayBuffer()));
      case "PURGE":
        return new Response(null, { status: drop(key) ? 200 : 404 });
      default:
        return new Response(null, { status: 405 });
    }
  },
};

function find(key) {
  const found = kept.get(key);
  if (found === undefined || found.until <= Date.now()) {
    drop(key);
    return new Response(null, { status: 504, headers: { "cf-cache-status": "MISS" } });
  }
  const headers = new Headers(found.headers);
  headers.set("cf-cache-status", "HIT");
  return new Response(found.body, { status: found.status, headers, encodeBody: "manual" });
}

function store(key, message) {
  const end = headEnd(message);
  if (end < 0) return new Response(null, { status: 400 });
  const [first, ...lines] = new TextDecoder().decode(message.subarray(0, end)).split("\r\n");
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  const value = (name) => headers.find(([found]) => found.toLowerCase() === name)?.[1];
  // Whatever the head says of chunks: they are those of this request, and taken apart already.
  const body = message.subarray(end + 4);
  const seconds = Number(/max-age=(\d+)/.exec(value("cache-control") ?? "")?.[1] ?? 0);
  const length = Number(value("content-length") ?? body.length);
  // What broke off is not stored.
  if (body.length !== length) return new Response(null, { status: 400 });
  drop(key);
  const status = Number(first.split(" ")[1]);
  const own = headers.filter(([name]) => !/^(transfer-encoding|connection)$/i.test(name));
  kept.set(key, { status, headers: own, body, until: Date.now() + seconds * 1000 });
  size += body.length;
  for (const old of kept.keys()) {
    if (size <= MOST) break;
    drop(old);
  }
  return new Response(null, { status: 204 });
}

function drop(key) {
  const found = kept.get(key);
  if (found !== undefined) size -= found.body.length;
  return kept.delete(key);
}

function headEnd(bytes) {
  for (let at = 0; at + 3 < bytes.length; at++) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return -1;
}

// In bytes of bodies.
const MOST = 256 << 20;
