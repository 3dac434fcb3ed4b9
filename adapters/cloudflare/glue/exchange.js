// One request: packs it for the core, does what the core says, and comes back with what happened.
//
// Most requests need one fetch, and all of this is arranged so that they make few calls into the runtime and few promises.

import * as shelf from "./shelf.js";

// The commands of src/http.rs.
const FETCH = 1;
const END = 2;
const ANSWER = 3;
const READ = 5;
const LOOKUP = 6;
const TAKE = 7;
const SLEEP = 8;
const AFTERWARDS = 9;
const PUMPED_BODY = 10;
const CLAIM = 20;
const PEEK = 21;
const COPY = 22;
const COPIED = 23;
const STAY = 24;
const BOARD = 30;
const COLLECT = 40;
const PUBLISH = 41;
// Those of src/shelf.rs, and what they say of a body.
const RECALL = 50;
const KEEP = 51;
const KEPT = 52;
const FORGET = 53;
const SHARED = 1;
const WAITS = 2;
const GLOBAL = 4;
const ADMIT = 60;
const AFTER_THE_BODY = 61;
// Those for a body that is made while it is sent.
const WRITE = 90;
const FINISH = 91;
const MADE = 92;
// Those of src/versions.rs.
const ROLL_OUT = 70;
const ARTEFACT = 71;
const KEEP_ARTEFACT = 72;
// What a fetch is to send and to read.
const STREAM = 1;
const BYTES = 2;
const LIMITED = 4;
const EVERYTHING = 8;
const FROM_NOTHING = 16;
const PUMPED = 32;
const BOUND = 64;
const WATCHED = 128;
// From here on, an answer's source is a call that found it in the store.
const STORED = 2 ** 31;
const HELD = 256;
const RELAYED = 512;
const LAST = 1024;
// Kinds of edits.
const SET = 1;
const APPEND = 2;
// Why a call brought no response.
const RESET = 1;
const TIMEOUT = 2;
const BODY_TOO_LARGE = 3;
const CLIENT_GONE = 4;
const FORBIDDEN = 5;
const BODY_REFUSED = 6;
const BODY_STALLED = 7;
// How late, in milliseconds, a timer may be.
const GRACE = 30_000;
// How long reading a body or looking into the store may take before a request counts as gone.
const PATIENCE = 300_000;
// How long counting may take before it has failed.
const COUNTING = 2_000;

export function answer(core, request, ctx) {
  const { cf } = request;
  let text = `${request.method}\n${request.url}\n`;
  // Plain workerd tells the peer here; in production the edge puts it into CF-Connecting-IP, which clients cannot forge there.
  text += cf ? `${cf.clientIp ?? ""}\n${cf.country ?? ""}\n${cf.colo ?? ""}\n` : "\n\n\n";
  if (core.readsCertificates) text += certificate(cf?.tlsClientAuth);
  text += pack(request.headers);
  try {
    const number = core.begin(text, request.body !== null);
    return number === 0 ? reply(core, request, ctx, undefined) : carryOn(new Exchange(core, request, ctx, number));
  } catch (error) {
    return crash(core, error);
  }
}

// The client's certificate, where Cloudflare has verified it: fingerprint, subject, issuer, serial number. One that has been
// revoked is nobody's. Names may hold anything, and what could be taken for the next line makes it unreadable.
function certificate(auth) {
  if (auth?.certVerified !== "SUCCESS" || auth.certRevoked === "1") return "\n";
  const subject = auth.certSubjectDNRFC2253 || auth.certSubjectDN;
  const issuer = auth.certIssuerDNRFC2253 || auth.certIssuerDN;
  const facts = [auth.certFingerprintSHA256, subject, issuer, auth.certSerial];
  const readable = facts.every((fact) => typeof fact === "string" && !/[\0\n]/.test(fact));
  return readable ? `${facts.join("\0")}\n` : "\n";
}

// Goes on until the core has an answer.
async function carryOn(exchange) {
  const { core, request, ctx } = exchange;
  try {
    for (;;) {
      exchange.perform();
      if (exchange.number === 0) return reply(core, request, ctx, exchange.attempts);
      await exchange.proceed();
    }
  } catch (error) {
    return crash(core, error);
  } finally {
    exchange.leave?.();
  }
}

// Does what an answer of the instance's `life` has left to do. What its calls brought keeps its numbers; an answer can have two such
// rests, which number their own calls alike, so each has a list of its own.
async function settle(core, life, request, ctx, number, attempts = [], writer = undefined) {
  try {
    if (life !== core.life) throw new Error("the gateway was restarted meanwhile");
    const exchange = new Exchange(core, request, ctx, core.settle(number));
    exchange.writer = writer;
    exchange.before = attempts;
    exchange.attempts = attempts.slice();
    // It is done also when the client is gone.
    exchange.listens = true;
    for (;;) {
      exchange.perform();
      if (exchange.number === 0) return;
      await exchange.proceed();
    }
  } catch (error) {
    writer?.abort(error).catch(() => {});
    crash(core, error);
  }
}

// Checks all targets that are due, of which so much is known; gives the core's lines.
export async function check(core, ctx, kept) {
  // Nobody has sent a request, but somebody may ask for one's signal.
  const exchange = new Exchange(core, new Request("http://check.invalid/"), ctx, core.check(kept));
  for (;;) {
    exchange.perform();
    if (exchange.number === 0) return core.text;
    await exchange.proceed();
  }
}

class Exchange {
  // By the call's number.
  attempts = [];
  // When none of them can be under way any more.
  deadline = 0;
  listens = false;
  // Ends the wish to be carried on although the client goes away.
  leave = undefined;
  // Whether what it does is to be done once, and so to its end.
  claims = false;
  // The attempts of the exchange that this one settles.
  before = undefined;
  // Takes the body of the answer, where this exchange makes it.
  writer = undefined;

  constructor(core, request, ctx, number) {
    this.core = core;
    this.life = core.life;
    this.request = request;
    this.ctx = ctx;
    // The core's number for this request while it waits for us.
    this.number = number;
  }

  // Has the core forget this request when its client goes away; the runtime ends the fetches.
  listen() {
    if (this.listens) return;
    this.listens = true;
    const { core, life, request } = this;
    request.signal.addEventListener("abort", () => {
      if (life === core.life && this.leave === undefined) core.forget(this.number);
    });
  }

  // Waits for what one of the attempts brings, and tells the core.
  async proceed() {
    const { core } = this;
    core.wait(this);
    const attempt = this.attempts.length === 1 ? this.attempts[0] : await this.next();
    let status, text;
    try {
      const response = await attempt.promise;
      status = response.status;
      if (attempt instanceof Fetching) {
        attempt.response = attempt.watch === undefined ? response : watched(core, response, attempt);
        text = attempt.readsAll ? pack(response.headers) : hopByHop(status, response.headers);
      } else {
        text = response.bytes;
        attempt.response = response.stored;
        attempt.packed = response.packed;
      }
    } catch (error) {
      status = attempt.givenUp ?? classify(error);
      text = attempt.givenUp === undefined ? String(error) : "ended by the gateway";
    }
    attempt.promise = undefined;
    if (this.life !== core.life) throw new Error("the gateway was restarted meanwhile");
    this.number = core.resume(this.number, attempt.call, status, text);
  }

  // Does what the commands say, up to the answer.
  perform() {
    const { core } = this;
    while (core.at < core.end) {
      switch (core.number()) {
        case FETCH:
          this.fetch();
          break;
        case READ:
          this.read();
          break;
        case LOOKUP:
          this.lookup();
          break;
        case TAKE:
          this.count();
          break;
        case ADMIT:
          this.admit();
          break;
        case SLEEP:
          this.sleep();
          break;
        case COLLECT:
          this.take(core.number(), collected(core.env, core.string(), core.string()));
          break;
        case PUBLISH:
          this.take(core.number(), published(core.env, core.number(), core.string(), core.string()));
          break;
        case BOARD:
          this.board();
          break;
        case ROLL_OUT:
          this.take(core.number(), rolledOut(core.env, core.string()));
          break;
        case ARTEFACT:
          this.take(core.number(), artefact(core.env, core.string()));
          break;
        case KEEP_ARTEFACT:
          this.keepArtefact();
          break;
        case CLAIM:
          this.claim();
          break;
        case PEEK:
          this.peek();
          break;
        case COPY:
          this.copy();
          break;
        case COPIED:
          this.copied();
          break;
        case RECALL:
          this.recall();
          break;
        case KEEP:
          this.keep();
          break;
        case KEPT:
          this.kept();
          break;
        case FORGET:
          this.forget();
          break;
        case WRITE:
          this.write();
          break;
        case FINISH:
          this.finish(core.number() === 1);
          break;
        case STAY:
          this.stay();
          break;
        case END:
          this.attempts[core.number()].end();
          break;
        default:
          // The answer, for which `reply` looks.
          core.at--;
          return;
      }
    }
  }

  fetch() {
    const { core, request } = this;
    const call = core.number();
    const timeout = core.number();
    this.deadline = Math.max(this.deadline, Date.now() + timeout + GRACE);
    const limit = core.number() * 2 ** 32 + core.number();
    const flags = core.number();
    // What has no body to break off, and nothing to follow it, ends with its request: a signal costs about a tenth of a whole request.
    const attempt = new Fetching(call, timeout, (flags & (LAST | STREAM | WATCHED)) !== LAST);
    this.attempts[call] = attempt;
    const pump = flags & PUMPED ? core.number() : 0;
    if (pump !== 0) attempt.stop = () => this.life === core.life && core.exports.stop(pump);
    const [idle, whole] = flags & WATCHED ? [core.number(), core.number()] : [0, 0];
    if (flags & RELAYED) attempt.sockets = { most: core.number(), idle: core.number() };
    attempt.readsAll = (flags & EVERYTHING) !== 0;
    const method = core.string();
    const url = core.string();
    const binding = flags & BOUND ? core.string() : undefined;
    try {
      const headers = edit(core, flags & FROM_NOTHING ? new Headers() : new Headers(request.headers));
      const init = { headers, redirect: "manual" };
      if (attempt.controller !== undefined) init.signal = attempt.controller.signal;
      const way = binding === undefined ? globalThis : bound(core.env, binding);
      if (flags & HELD) {
        // What goes through a pipe must not be unpacked.
        attempt.packed = true;
        init.encodeResponseBody = "manual";
      }
      if (idle + whole > 0) {
        // Decoded, a body would have another length.
        init.encodeResponseBody = "manual";
        if (method !== "HEAD") attempt.watch = { idle, whole };
      }
      if (pump === 0 && flags & STREAM && (method === "GET" || method === "HEAD")) {
        // Only a copy of the request may carry a body here.
        attempt.wait(way.fetch(new Request(url, request), init));
        return;
      }
      let body = null;
      if (flags & STREAM) {
        body = idle > 0 ? patient(request, idle, attempt) : request.body;
        if (flags & LIMITED) body = limited(body, limit, attempt);
      } else if (flags & BYTES) body = core.bodyOf(this.number, call);
      if (pump !== 0) body = pumped(core, body, pump, request, () => attempt.giveUp(BODY_REFUSED));
      init.method = method;
      init.body = body;
      attempt.wait(way.fetch(url, init));
    } catch (error) {
      // What the runtime refuses is an outcome too.
      attempt.stop?.();
      attempt.promise = Promise.reject(error);
    }
  }

  read() {
    const { core, request, attempts } = this;
    const [call, source, limit] = [core.number(), core.number(), core.number()];
    if (source === 0) return this.take(call, whole(request.body, limit));
    const origin = attempts[source - 1];
    this.take(call, whole(decoded(origin), limit));
    this.attempts[call].end = function () {
      // Whoever gives the reading up wants no more of what is read.
      if (this.promise !== undefined) origin.end();
      letGo.call(this);
    };
  }

  // A piece of the body that is made. It has been written when the client's side has taken it.
  write() {
    const { core, writer } = this;
    const call = core.number();
    const piece = core.bodyOf(this.number, call);
    const written = writer === undefined ? Promise.reject(new Error("nobody reads it")) : writer.write(piece);
    this.take(call, written.then(() => ({ status: 200, bytes: "" })));
  }

  // The end of that body. A client sees of one that is broken off that it is not whole.
  finish(whole) {
    const { writer } = this;
    if (writer === undefined) return;
    this.writer = undefined;
    const ended = whole ? writer.close() : writer.abort(new Error("the gateway broke off the body"));
    ended.catch(() => {});
  }

  lookup() {
    const { core } = this;
    this.take(core.number(), value(core.env, core.string()));
  }

  count() {
    const { core } = this;
    this.take(core.number(), counted(core.env, core.string(), core.string()));
  }

  admit() {
    const { core } = this;
    this.take(core.number(), admitted(core.env, core.string(), core.string()));
  }

  // What is to be done once is done, also when nobody is there any more to hear of it.
  claim() {
    const { core } = this;
    this.stay();
    this.claims = true;
    this.take(core.number(), claimed(core.env, core.string(), core.string()));
  }

  // Is carried on although the client goes away. With it end only calls to upstreams, unless it is about what is done once.
  stay() {
    if (this.leave !== undefined) return;
    this.ctx.waitUntil(new Promise((leave) => (this.leave = leave)));
    this.request.signal.addEventListener("abort", () => {
      if (this.claims) return;
      for (const attempt of this.attempts) {
        if (attempt instanceof Fetching && attempt.promise !== undefined) attempt.giveUp(CLIENT_GONE);
      }
    });
  }

  keepArtefact() {
    const { core } = this;
    const call = core.number();
    this.take(call, keptArtefact(core.env, core.string(), core.bodyOf(this.number, call)));
  }

  peek() {
    const { core } = this;
    const [call, source, limit] = [core.number(), core.number(), core.number()];
    const { packed, watch, response } = this.attempts[source - 1];
    const [mine, theirs] = this.tee(source);
    const read = whole(decoded({ packed, watch, response: { body: mine, headers: response.headers } }), limit).then((read) => {
      if (read.status === 200) theirs?.cancel().catch(() => {});
      return read;
    });
    this.take(call, read);
  }

  copy() {
    const { core } = this;
    const [call, source, limit] = [core.number(), core.number(), core.number()];
    const [mine] = this.tee(source);
    const copy = whole(mine, limit);
    // Whoever wants it hears of it; nobody may.
    copy.catch(() => {});
    this.attempts[call] = { call, promise: undefined, copy, end: letGo };
  }

  copied() {
    const { core } = this;
    const [call, copy] = [core.number(), core.number()];
    this.take(call, this.before[copy].copy);
  }

  // Two streams of the body of a response; the second one takes its place.
  tee(source) {
    const attempt = this.attempts[source - 1];
    const { response } = attempt;
    if (response.body === null) return [null, null];
    const [mine, theirs] = response.body.tee();
    const { status, statusText, headers } = response;
    // What was not decoded when it came is not encoded when it goes.
    const init = attempt.watch === undefined && !attempt.packed ? response : { status, statusText, headers, encodeBody: "manual" };
    attempt.response = new Response(theirs, init);
    return [mine, theirs];
  }

  sleep() {
    const { core } = this;
    this.take(core.number(), passed(core.number()));
  }

  board() {
    const { core } = this;
    this.take(core.number(), found(core.env, core.string()));
  }

  recall() {
    const { core } = this;
    const [call, flags] = [core.number(), core.number()];
    this.take(call, shelf.recall(core.string(), far(core.env, flags), (promise) => this.ctx.waitUntil(promise.catch(() => {}))));
  }

  // Begins to store a body. Nobody waits for it before the answer is sent, unless it is in memory.
  keep() {
    const { core, attempts } = this;
    const [call, source, seconds, flags] = [core.number(), core.number(), core.number(), core.number()];
    const most = core.number();
    const [key, record] = [core.string(), core.string()];
    const all = far(core.env, flags);
    if (flags & WAITS) {
      const bytes = core.bodyOf(this.number, call);
      return this.take(call, shelf.keep(key, record, seconds, { bytes, coding: null, coded: true }, all));
    }
    const origin = attempts[source - 1];
    const kept = shelf.keep(key, record, seconds, shelf.body(origin, flags & SHARED, most), all);
    // Whoever wants no more of it must not end what is being stored.
    origin.end = letGo;
    attempts[call] = { call, promise: undefined, kept, end: letGo };
    this.ctx.waitUntil(kept.catch(() => {}));
  }

  kept() {
    const { core } = this;
    this.take(core.number(), this.attempts[core.number()].kept);
  }

  forget() {
    const { core } = this;
    const [call, flags] = [core.number(), core.number()];
    this.take(call, shelf.forget(core.string(), far(core.env, flags)));
  }

  take(call, promise) {
    this.attempts[call] = { call, promise, end: letGo };
    this.deadline = Math.max(this.deadline, Date.now() + PATIENCE);
  }

  // The attempt that has news first.
  async next() {
    const underWay = this.attempts.filter((attempt) => attempt.promise !== undefined);
    if (underWay.length === 1) return underWay[0];
    return Promise.race(underWay.map((attempt) => attempt.promise.then(() => attempt, () => attempt)));
  }
}

// One fetch on its way.
class Fetching {
  // While it is under way.
  promise = undefined;
  response = undefined;
  readsAll = false;
  // Whether the response's body is as it was sent, whatever its encoding.
  packed = false;
  // How long the response's body may take.
  watch = undefined;
  // What may pass through a WebSocket, where anybody looks.
  sockets = undefined;
  // Ends the change of the body that it sends.
  stop = undefined;
  // Ends the waiting for it, where it has no controller.
  refuse = undefined;
  // Why we ended it ourselves. The error that the fetch ends with is not the object that it was aborted with.
  givenUp = undefined;

  // Ends as soon as it is over, or else with its request.
  constructor(call, timeout, ends) {
    this.call = call;
    this.timeout = timeout;
    this.controller = ends ? new AbortController() : undefined;
  }

  // Never cleared: that would cost as much again, and a timer ends with its request.
  wait(arrives) {
    if (this.controller !== undefined) {
      this.promise = arrives;
      setTimeout(expire, this.timeout, this);
      return;
    }
    this.promise = new Promise((resolve, reject) => {
      this.refuse = reject;
      setTimeout(expire, this.timeout, this);
      arrives.then(resolve, reject);
    });
  }

  giveUp(why) {
    this.givenUp = why;
    this.controller?.abort();
    this.stop?.();
    this.refuse?.();
  }

  end() {
    this.stop?.();
    this.promise?.catch(() => {});
    this.promise = undefined;
    this.controller?.abort();
    this.response?.body?.cancel().catch(() => {});
  }
}

// Nobody waits for it any more, nor for what it found.
function letGo() {
  this.promise?.catch(() => {});
  this.promise = undefined;
  this.response?.body?.cancel().catch(() => {});
}

// Comes when that time has passed.
function passed(milliseconds) {
  return new Promise((awake) => setTimeout(awake, milliseconds, { status: 200, bytes: "" }));
}

// The body of what an attempt brought, without its content coding: the runtime has undone that, unless it was told to leave it.
function decoded({ response, packed, watch }) {
  const { body, headers } = response;
  const asItCame = body !== null && (packed || watch !== undefined);
  return asItCame && headers.get("content-encoding") === "gzip" ? body.pipeThrough(new DecompressionStream("gzip")) : body;
}

// A whole body, unless it is longer than the limit.
async function whole(body, limit) {
  if (body === null) return { status: 200, bytes: "" };
  const reader = body.getReader();
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > limit) {
      reader.cancel().catch(() => {});
      return { status: BODY_TOO_LARGE, bytes: "" };
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return { status: 200, bytes };
}

// The namespace that the caches of all data centres share, where it is asked for. Nobody fails for want of it: then each has its own.
function far(env, flags) {
  return flags & GLOBAL ? env.POSTERN_CACHE : undefined;
}

// A value in the key-value store. The shortest that it can be held elsewhere, so that a key is soon revoked.
async function value(env, key) {
  const store = env.POSTERN_STORE;
  if (store === undefined) throw new Error("no KV namespace is bound as POSTERN_STORE in wrangler.toml");
  const found = await store.get(key, { type: "arrayBuffer", cacheTtl: 30 });
  return found === null ? { status: 404, bytes: "" } : { status: 200, bytes: new Uint8Array(found) };
}

// The object of this name, of the class that is bound.
function object(env, binding, name) {
  const namespace = env[binding];
  if (namespace === undefined) throw new Error(`no Durable Object is bound as ${binding} in wrangler.toml`);
  return namespace.get(namespace.idFromName(name));
}

// What an object or a binding answers, or this problem where it takes too long.
function soon(promise, problem) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(problem)), COUNTING);
    promise.then(resolve, reject);
  });
}

// Has the owner of a key's counters do what is ordered. Keys are spread over a fixed number of objects, each of which takes
// about a thousand orders a second.
async function counted(env, key, order) {
  const digits = key.startsWith("global/") ? 2 : 1;
  const share = key.slice(0, key.indexOf("/") + 1 + digits);
  return { status: 200, bytes: await soon(object(env, "POSTERN_COUNTERS", share).take(key, order), "the counters do not answer") };
}

// Whether the Rate Limiting binding of this name admits the key once more, if there is such a binding.
async function admitted(env, name, key) {
  const limiter = env[name];
  if (typeof limiter?.limit !== "function") return { status: 404, bytes: "" };
  const { success } = await soon(limiter.limit({ key }), "the binding does not answer");
  return { status: success ? 200 : 429, bytes: "" };
}

// Has the owner of a ledger add to it, or say what it is.
async function collected(env, ledger, added) {
  const owner = object(env, "POSTERN_COUNTERS", ledger === "sums" ? "metrics" : ledger);
  return { status: 200, bytes: await soon(owner.collect(ledger, added), `the owner of the ${ledger} does not answer`) };
}

// Hands a batch to a queue, or its points to a dataset.
async function published(env, kind, name, batch) {
  const binding = env[name];
  if (binding === undefined) throw new Error(`nothing is bound as ${name} in wrangler.toml`);
  const items = JSON.parse(batch);
  if (kind === 1) {
    for (const point of items) binding.writeDataPoint(point);
  } else {
    // All or nothing: the core hands over no more than is taken at once.
    await binding.sendBatch(items.map((body) => ({ body, contentType: "json" })));
  }
  return { status: 404, bytes: "" };
}

// What checks have found of an upstream's targets.
async function found(env, key) {
  const board = await soon(whoChecks(env).board(key), "whoever checks targets does not answer");
  return board === "" ? { status: 404, bytes: "" } : { status: 200, bytes: board };
}

// The one object that checks targets, for all instances.
export function whoChecks(env) {
  return object(env, "POSTERN_CHECKS", "all");
}

// Another Worker, or the network with a certificate of ours. A `TypeError`, because that is what the runtime refuses with.
function bound(env, name) {
  const way = env[name];
  if (typeof way?.fetch === "function") return way;
  throw new TypeError(`no service or certificate is bound as ${name} in wrangler.toml`);
}

// Has the keeper of a claim do what is ordered: an object for each key.
async function claimed(env, key, order) {
  return { status: 200, bytes: await soon(object(env, "POSTERN_CLAIMS", key).claim(order), "the keeper of the claim does not answer") };
}

// The one object that owns the configuration's versions.
function owner(env) {
  return object(env, "POSTERN_VERSIONS", "all");
}

async function rolledOut(env, order) {
  return { status: 200, bytes: await soon(owner(env).perform(order), "the owner of the versions does not answer") };
}

async function artefact(env, version) {
  const bytes = await owner(env).artefact(version);
  return bytes.byteLength === 0 ? { status: 404, bytes: "" } : { status: 200, bytes };
}

async function keptArtefact(env, version, bytes) {
  await owner(env).keep(version, bytes);
  return { status: 404, bytes: "" };
}

function expire(attempt) {
  if (attempt.response === undefined) attempt.giveUp(TIMEOUT);
}

function reply(core, request, ctx, attempts) {
  const { life } = core;
  if (core.peek() === AFTERWARDS) {
    core.number();
    const number = core.number();
    // Not at once: the answer still stands where its commands would.
    ctx.waitUntil(Promise.resolve().then(() => settle(core, life, request, ctx, number, attempts)));
  }
  let made;
  if (core.peek() === MADE) {
    core.number();
    made = core.number();
  }
  let ends;
  if (core.peek() === AFTER_THE_BODY) {
    core.number();
    const number = core.number();
    ends = () => settle(core, life, request, ctx, number, attempts);
  }
  let pump = 0;
  if (core.peek() === PUMPED_BODY) {
    core.number();
    pump = core.number();
  }
  if (core.number() !== ANSWER) return failure();
  const status = core.number();
  const source = core.number();
  if (made !== undefined) return makes(core, request, ctx, made, attempts, status, ends);
  if (source >= STORED) {
    const { response, packed } = attempts[source - STORED];
    const body = pump === 0 ? response.body : pumped(core, response.body, pump, request);
    if (ends !== undefined) ctx.waitUntil(Promise.resolve().then(ends));
    return new Response(body, { status, headers: fields(core), encodeBody: packed ? "manual" : "automatic" });
  }
  if (source >= 3) {
    const { response, packed, watch, sockets } = attempts[source - 3];
    const waits = ends !== undefined && response.body !== null;
    if (ends !== undefined && !waits) ctx.waitUntil(Promise.resolve().then(ends));
    // Untouched: the runtime's own response goes on as it is.
    if (pump === 0 && !waits && sockets === undefined && core.peek() === 0 && response.status === status) return response;
    const { statusText } = response;
    let { webSocket } = response;
    if (webSocket && sockets !== undefined) webSocket = relayed(webSocket, sockets);
    let body = pump === 0 ? response.body : pumped(core, response.body, pump, request);
    if (waits) {
      // The length is that of what was sent, which the runtime may have unpacked.
      const asItCame = packed || watch !== undefined || !response.headers.has("content-encoding");
      body = toItsEnd(body, pump === 0 && asItCame ? response.headers.get("content-length") : null, ctx, ends);
    }
    const headers = edit(core, new Headers(response.headers));
    if (watch === undefined && !packed) return new Response(body, { status, statusText, headers, webSocket });
    return new Response(body, { status, statusText, headers, webSocket, encodeBody: "manual" });
  }
  if (ends !== undefined) ctx.waitUntil(Promise.resolve().then(ends));
  if (pump !== 0) {
    const body = pumped(core, request.body, pump, request);
    return new Response(body, { status, headers: fields(core) });
  }
  const body = source === 2 ? request.body : source === 1 ? core.body() : null;
  return new Response(body, { status, headers: fields(core) });
}

// An answer whose body is made while it is sent. The pipe holds nothing: a piece is written when it has been read.
function makes(core, request, ctx, number, attempts, status, ends) {
  const headers = fields(core);
  const { readable, writable } = new IdentityTransformStream();
  const { life } = core;
  // Not at once: the answer still stands where its commands would.
  const made = Promise.resolve().then(() => settle(core, life, request, ctx, number, attempts, writable.getWriter()));
  ctx.waitUntil(ends === undefined ? made : made.then(ends));
  return new Response(readable, { status, headers });
}

// The body of a response through a pipe of the runtime's own, which moves the bytes by itself and tells when it has ended: all of
// it was taken, it broke off, or the client has gone away.
function toItsEnd(body, length, ctx, ends) {
  const { readable, writable } = passage(length);
  ctx.waitUntil(body.pipeTo(writable).then(ends, ends));
  return readable;
}

// Applies the edits that the commands name next.
function edit(core, headers) {
  let refusal;
  for (let count = core.number(); count > 0; count--) {
    const kind = core.number();
    const name = core.string();
    const value = core.string();
    try {
      if (kind === SET) headers.set(name, value);
      else if (kind === APPEND) headers.append(name, value);
      else headers.delete(name);
    } catch (error) {
      // Not before all are read: other commands may follow.
      refusal = error;
    }
  }
  if (refusal !== undefined) throw refusal;
  return headers;
}

// Fields made from nothing. An object is what the runtime reads fastest, but it has no place for two lines of one name.
function fields(core) {
  const { at, cut } = core;
  const object = { __proto__: null };
  for (let count = core.number(); count > 0; count--) {
    core.number();
    const name = core.string();
    if (name in object) {
      core.at = at;
      core.cut = cut;
      return edit(core, new Headers());
    }
    object[name] = core.string();
  }
  return object;
}

function pack(headers) {
  let text = "";
  headers.forEach((value, name) => {
    text += `${name}\0${value}\n`;
  });
  return text;
}

// Every field, if one of them is for this hop only; else none, since nobody reads the others. A sender has to name such
// fields in `Connection`, save for two that proxies use.
function hopByHop(status, headers) {
  const connection = headers.get("connection");
  const names = connection !== null && !/^(keep-alive|close)$/i.test(connection);
  return names || status === 407 || headers.has("proxy-connection") ? pack(headers) : "";
}

// Has a body pass through the core, chunk by chunk. `refuse` is told where the core breaks off a body that is being sent, which
// then stands still, since a request whose stream ends in an error is sent as if it were complete.
function pumped(core, body, number, request, refuse) {
  const { life } = core;
  const isOver = () => life !== core.life;
  const forget = () => {
    if (!isOver()) core.exports.stop(number);
  };
  // A client that goes away ends its request's code without a word.
  request.signal.addEventListener("abort", forget);
  const step = (ask, controller) => {
    let out;
    try {
      if (!isOver()) out = ask();
    } catch (error) {
      crash(core, error);
    }
    if (out === undefined) {
      if (refuse === undefined) throw new Error("the gateway broke off the body");
      refuse();
      return new Promise(() => {});
    }
    if (out.length > 0) controller.enqueue(out);
  };
  const change = new TransformStream({
    transform: (chunk, controller) => step(() => core.pump(number, chunk), controller),
    flush: (controller) => step(() => core.drain(number), controller),
    cancel: forget,
  });
  return (body ?? new Blob([]).stream()).pipeThrough(change);
}

// The client's end of a WebSocket whose messages pass through here, none of them longer than is allowed, nor too long after the one
// before. The runtime answers pings by itself and shows none.
function relayed(upstream, { most, idle }) {
  const [theirs, client] = Object.values(new WebSocketPair());
  let timer;
  let over = false;
  const close = (socket, code, reason) => {
    try {
      // These two may not be sent: there was no code, or no closing at all.
      if (code === 1005) socket.close();
      else socket.close(code === 1006 ? 1011 : code, reason);
    } catch {
      // It is closed.
    }
  };
  const end = (code, reason) => {
    over = true;
    clearTimeout(timer);
    close(client, code, reason);
    close(upstream, code, reason);
  };
  const awake = () => {
    if (idle === 0) return;
    clearTimeout(timer);
    timer = setTimeout(end, idle, 1001, "no message came for too long");
  };
  for (const [from, to] of [[client, upstream], [upstream, client]]) {
    from.accept();
    from.binaryType = "arraybuffer";
    from.addEventListener("message", ({ data }) => {
      if (over) return;
      // Each UTF-16 unit is at least one byte of UTF-8 and at most three.
      const length = typeof data !== "string" ? data.byteLength : data.length * 3 <= most ? 0 : bytesOf(data);
      if (length > most) return end(1009, "the message is too long");
      awake();
      try {
        to.send(data);
      } catch {
        end(1011, "the other side is gone");
      }
    });
    from.addEventListener("close", ({ code, reason }) => {
      if (!over) end(code, reason);
    });
    from.addEventListener("error", () => {
      if (!over) end(1011, "the other side is gone");
    });
  }
  awake();
  return theirs;
}

function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}

// A response whose body is ended when it stands still, or takes too long as a whole.
function watched(core, response, attempt) {
  const { body, status, statusText, headers } = response;
  if (body === null || status === 101) return response;
  const { idle, whole } = attempt.watch;
  const { life } = core;
  const through = passage(headers.get("content-length"));
  const until = whole > 0 ? Date.now() + whole : undefined;
  move(body, through.writable, idle, until).catch((error) => {
    // Whatever else ends a body is not ours to tell of.
    if (error instanceof Late && life === core.life) core.exports.broke_off(error.idle);
    attempt.controller.abort();
  });
  return new Response(through.readable, { status, statusText, headers, encodeBody: "manual" });
}

// A request's body that ends its attempt when it stands still, and then goes on standing still.
function patient(request, idle, attempt) {
  const through = passage(request.headers.get("content-length"));
  move(request.body, through.writable, idle, undefined, () => {
    attempt.giveUp(BODY_STALLED);
    return new Promise(() => {});
  }).catch(() => {});
  return through.readable;
}

// With a length, because a body without one is sent in chunks.
function passage(length) {
  return length === null ? new IdentityTransformStream() : new FixedLengthStream(Number(length));
}

// Moves a body by hand: only then is it known whether the sender keeps us waiting, or the receiver.
async function move(readable, writable, idle, until, late) {
  const reader = readable.getReader();
  const writer = writable.getWriter();
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), idle, until);
      if (done) break;
      await within(writer.write(value), 0, until);
    }
    await writer.close();
  } catch (error) {
    if (error instanceof Late && late !== undefined) await late();
    reader.cancel(error).catch(() => {});
    writer.abort(error).catch(() => {});
    throw error;
  }
}

class Late extends Error {
  constructor(idle) {
    super("the body took too long");
    this.idle = idle;
  }
}

async function within(promise, idle, until) {
  const left = until === undefined ? Infinity : Math.max(until - Date.now(), 0);
  if (idle === 0 && left === Infinity) return promise;
  const isIdle = idle > 0 && idle <= left;
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Late(isIdle ? idle : 0)), isIdle ? idle : left);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Counts a body of unknown length as it passes. One that is too long ends the attempt and then stands still: a stream
// that ends in an error is sent as if it were complete.
function limited(body, limit, attempt) {
  let left = limit;
  const count = new TransformStream({
    transform(chunk, controller) {
      left -= chunk.byteLength;
      if (left >= 0) return controller.enqueue(chunk);
      attempt.giveUp(BODY_TOO_LARGE);
      return new Promise(() => {});
    },
  });
  return body.pipeThrough(count);
}

// workerd says "Network connection lost." for a refused connection, one that was reset, and an answer that is not HTTP;
// so nobody can say that nothing reached the upstream.
function classify(error) {
  return error instanceof TypeError ? FORBIDDEN : RESET;
}

// A panic, or a response that the runtime refuses to build.
export function crash(core, error) {
  console.error(`postern: ${error?.stack ?? error}`);
  if (core?.thinks) core.restart();
  return failure();
}

// For when there is no core to say it: the problem `internal` of gateway-core/src/error.rs.
function failure() {
  const problem = {
    type: "urn:postern:problem:internal",
    title: "Internal error",
    status: 500,
    detail: "The gateway could not handle the request.",
    request_id: crypto.randomUUID().replaceAll("-", ""),
  };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return new Response(JSON.stringify(problem), { status: 500, headers });
}
