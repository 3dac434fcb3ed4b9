// What the glue does when things end badly: a crash of the core, clients that vanish, requests that the runtime refuses.
//
// The core is played by the test: an instance whose exports write the commands that a case needs. Run with `node --test`.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { playModules } from "./modules.mjs";

let played;
globalThis.playedCore = {
  initSync: () => played.exports,
  load: () => played.lives++,
  reset: () => played.reset(),
};
playModules({
  "postern-bindgen":
    "const core = globalThis.playedCore;" +
    "export const initSync = () => core.initSync(), load = () => core.load(), __wbg_reset_state = () => core.reset();",
  "./gateway.bin": "export default new ArrayBuffer(0);",
  "./postern_bg.wasm": "export default undefined;",
});
const { Core } = await import("../glue/core.js");
const { answer } = await import("../glue/exchange.js");

const FETCH = 1;
const FROM_NOTHING = 16;
const ANSWER = 3;
const TAKE = 7;
const SLEEP = 8;
const AFTERWARDS = 9;
const PUMPED = 10;
const CLAIM = 20;
const PEEK = 21;
const COPY = 22;
const COPIED = 23;
const STAY = 24;
const END = 2;
const READ = 5;
const AFTER_THE_BODY = 61;
const COLLECT = 40;
const PUBLISH = 41;
const RECALL = 50;
const KEEP = 51;
const KEPT = 52;
const WRITE = 90;
const FINISH = 91;
const MADE = 92;
// The runtime's own; what Node has in its place keeps a piece, which is no matter here.
globalThis.IdentityTransformStream ??= TransformStream;

beforeEach(() => {
  mock.restoreAll();
  mock.timers.reset();
  mock.method(console, "error", () => {});
});

test("a request is fetched with its fields and the edits, and the response handed on as it is", async () => {
  const upstream = new Response("body");
  const fetch = mock.method(globalThis, "fetch", async () => upstream);
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 2, 1, "x-a", "ä", 3, "x-b", ""]),
    resume: () => say(0, [ANSWER, 200, 3, 0]),
  });
  const request = new Request("http://g/", { headers: { "x-b": "1", "x-c": "2" } });
  assert.equal(await answer(core, request), upstream);
  const [url, { headers, method, redirect }] = fetch.mock.calls[0].arguments;
  assert.deepEqual([url, method, redirect], ["http://o/p", "GET", "manual"]);
  assert.deepEqual([...headers], [["x-a", "ä"], ["x-c", "2"]]);
  assert.equal(core.waiting.size, 0);
});

test("a crash answers 500, and the next request finds a new instance", async () => {
  const core = play({
    begin: () => {
      if (played.lives === 1) throw new WebAssembly.RuntimeError("unreachable");
      return say(0, [ANSWER, 204, 0, 0]);
    },
  });
  const response = await answer(core, new Request("http://g/"));
  assert.equal(response.status, 500);
  assert.equal((await response.json()).type, "urn:postern:problem:internal");
  assert.equal((await answer(core, new Request("http://g/"))).status, 204);
  assert.equal(played.lives, 2);
});

test("a request that waits during a crash gets 500 and never enters the new instance", async () => {
  let arrive;
  mock.method(globalThis, "fetch", () => new Promise((resolve) => (arrive = resolve)));
  const core = play({
    begin: () => {
      if (arrive !== undefined) throw new WebAssembly.RuntimeError("unreachable");
      return say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/", 0]);
    },
    resume: () => assert.fail("the number is not of this instance"),
  });
  const waits = answer(core, new Request("http://g/"));
  assert.equal((await answer(core, new Request("http://g/"))).status, 500);
  arrive(new Response());
  assert.equal((await waits).status, 500);
  assert.equal(played.lives, 2);
});

test("what the runtime refuses to send is an outcome, not a crash", async () => {
  mock.method(globalThis, "fetch", async () => assert.fail("not sent"));
  const outcomes = [];
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/", 1, 1, "x-a", "a\u0000b"]),
    resume: (number, call, status) => {
      outcomes.push([number, call, status]);
      return say(0, [ANSWER, 502, 0, 0]);
    },
  });
  assert.equal((await answer(core, new Request("http://g/"))).status, 502);
  assert.deepEqual(outcomes, [[7, 0, 5]]);
  assert.equal(played.lives, 1);
});

test("two lines of one name are both in an answer of the gateway's own", async () => {
  const core = play({ begin: () => say(0, [ANSWER, 200, 0, 3, 2, "x-a", "1", 2, "set-cookie", "a", 2, "set-cookie", "b"]) });
  const { headers } = await answer(core, new Request("http://g/"));
  assert.deepEqual(headers.getSetCookie(), ["a", "b"]);
  assert.equal(headers.get("x-a"), "1");
});

test("the first to vanish are forgotten when their time is over, the others at once", async () => {
  mock.timers.enable({ apis: ["Date", "setTimeout"] });
  mock.method(globalThis, "fetch", () => new Promise(() => {}));
  const forgotten = [];
  let last = 0;
  const core = play({
    begin: () => say(++last, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/", 0]),
    forget: (number) => forgotten.push(number),
  });
  const come = () => {
    const client = new AbortController();
    answer(core, new Request("http://g/", { signal: client.signal }));
    return client;
  };
  for (let n = 0; n < 500; n++) come().abort();
  assert.equal(core.waiting.size, 500);
  assert.deepEqual(forgotten, []);

  const client = come();
  assert.equal(core.waiting.size, 501);
  client.abort();
  assert.deepEqual(forgotten, [501]);

  mock.timers.tick(60_000);
  for (let n = 0; n < 250; n++) come().abort();
  assert.ok(core.waiting.size <= 500, `${core.waiting.size} wait`);
  assert.ok(forgotten.length >= 250, `${forgotten.length} are forgotten`);
});

test("the owner of counters is an object for its share of the keys, and what it decides comes back", async () => {
  const asked = [];
  const namespace = {
    idFromName: (name) => name,
    get: (id) => ({ take: async (key, order) => (asked.push([id, key, order]), "decided") }),
  };
  const told = [];
  const core = play(
    {
      begin: () => say(7, [TAKE, 0, "global/abcdef", "{}"]),
      resume: (number, call, status, length) => {
        told.push([status, new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length))]);
        return told.length === 1 ? say(8, [TAKE, 1, "FRA/abcdef", "{}"]) : say(0, [ANSWER, 204, 0, 0]);
      },
    },
    { POSTERN_COUNTERS: namespace },
  );
  assert.equal((await answer(core, new Request("http://g/"))).status, 204);
  assert.deepEqual(asked, [["global/ab", "global/abcdef", "{}"], ["FRA/a", "FRA/abcdef", "{}"]]);
  assert.deepEqual(told, [[200, "decided"], [200, "decided"]]);
});

test("an owner that is not there or does not answer is a failure of counting", async () => {
  mock.timers.enable({ apis: ["Date", "setTimeout"] });
  const silent = { idFromName: (name) => name, get: () => ({ take: () => new Promise(() => {}) }) };
  for (const env of [{}, { POSTERN_COUNTERS: silent }]) {
    const outcomes = [];
    const core = play(
      {
        begin: () => say(7, [TAKE, 0, "global/abcdef", "{}"]),
        resume: (number, call, status) => {
          outcomes.push(status);
          return say(0, [ANSWER, 200, 0, 0]);
        },
      },
      env,
    );
    const response = answer(core, new Request("http://g/"));
    mock.timers.tick(2_000);
    assert.equal((await response).status, 200);
    assert.deepEqual(outcomes, [1]);
  }
});

test("a request that must wait for its turn waits", async () => {
  mock.timers.enable({ apis: ["Date", "setTimeout"] });
  let resumed = false;
  const core = play({
    begin: () => say(7, [SLEEP, 0, 250]),
    resume: () => {
      resumed = true;
      return say(0, [ANSWER, 200, 0, 0]);
    },
  });
  const response = answer(core, new Request("http://g/"));
  mock.timers.tick(249);
  await Promise.resolve();
  assert.equal(resumed, false);
  mock.timers.tick(1);
  assert.equal((await response).status, 200);
});

test("what an answer leaves to do is done behind it", async () => {
  const order = [];
  const namespace = { idFromName: (name) => name, get: () => ({ take: async () => (order.push("counted"), "{}") }) };
  const core = play(
    {
      begin: () => say(0, [AFTERWARDS, 9, ANSWER, 200, 0, 0]),
      settle: (number) => (order.push(`settle ${number}`), say(10, [TAKE, 0, "global/ab", "{}"])),
      resume: () => (order.push("over"), say(0, [])),
    },
    { POSTERN_COUNTERS: namespace },
  );
  let rest;
  const response = await answer(core, new Request("http://g/"), { waitUntil: (promise) => (rest = promise) });
  assert.equal(response.status, 200);
  await rest;
  assert.deepEqual(order, ["settle 9", "counted", "over"]);
});

test("what was counted goes to the object that owns the sums", async () => {
  const heard = [];
  const namespace = { idFromName: (name) => name, get: (name) => ({ collect: async (ledger, added) => (heard.push(name, ledger, added), "sums") }) };
  const core = play(
    {
      begin: () => say(7, [COLLECT, 0, "sums", "added"]),
      resume: (number, call, status, length) => {
        heard.push(status, new TextDecoder().decode(core.room.slice(0, length)));
        return say(0, [ANSWER, 200, 0, 0]);
      },
    },
    { POSTERN_COUNTERS: namespace },
  );
  await answer(core, new Request("http://g/"));
  assert.deepEqual(heard, ["metrics", "sums", "added", 200, "sums"]);
});

test("a batch goes to a queue as it is, all or nothing, and points go to a dataset", async () => {
  const heard = [];
  const env = {
    LINES: { sendBatch: async (messages) => heard.push(messages) },
    FULL: { sendBatch: async () => Promise.reject(new Error("too many requests")) },
    POINTS: { writeDataPoint: (point) => heard.push(point) },
  };
  const lines = Array.from({ length: 100 }, (_, at) => ({ at }));
  const outcomes = [];
  let step = 0;
  const commands = [
    [PUBLISH, 0, 0, "LINES", JSON.stringify(lines)],
    [PUBLISH, 1, 1, "POINTS", JSON.stringify([{ indexes: ["a"], blobs: [], doubles: [1] }])],
    [PUBLISH, 2, 0, "FULL", JSON.stringify(lines)],
    [PUBLISH, 3, 0, "NOTHING", "[]"],
  ];
  const core = play(
    {
      begin: () => say(7, commands[step]),
      resume: (number, call, status) => {
        outcomes.push(status);
        return ++step < commands.length ? say(7, commands[step]) : say(0, [ANSWER, 200, 0, 0]);
      },
    },
    env,
  );
  await answer(core, new Request("http://g/"));
  // The core cuts batches: what is told of one is then told of all of it.
  assert.equal(heard[0].length, 100);
  assert.deepEqual(heard[0][99], { body: { at: 99 }, contentType: "json" });
  assert.deepEqual(heard[1], { indexes: ["a"], blobs: [], doubles: [1] });
  // What refuses, or is not bound, is a failure that the core hears of.
  assert.equal(outcomes.length, 4);
  assert.ok(outcomes[0] === 404 && outcomes[1] === 404 && outcomes[2] < 100 && outcomes[3] < 100);
});

test("an object checks by its alarm, keeps what was found, and is woken up by instances and by cron", async () => {
  let next = 12345;
  const seen = [];
  play({
    check: (length) => {
      if (next === undefined) throw new WebAssembly.RuntimeError("unreachable");
      seen.push(new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length)));
      return say(7, [FETCH, 0, 1000, 0, 0, FROM_NOTHING, "GET", "http://a/health", 0]);
    },
    resume: (number, call, status) => {
      const text = next === 0 ? "0" : `${next}\nkey {"status":${status}}`;
      say(0, []);
      tell(text);
      return 0;
    },
  });
  const { default: entry, Checks } = await import("../glue/entry.js");
  mock.method(globalThis, "fetch", async () => new Response(null, { status: 503 }));
  const { ctx, alarms } = objectStorage();
  const env = { POSTERN_CHECKS: { idFromName: (name) => name, get: () => object } };
  const object = new Checks(ctx, env);
  // Nobody has woken it up yet; whoever asks does, and so does cron.
  assert.equal(await object.board("key"), "");
  assert.equal(alarms.length, 1);
  const waits = [];
  ctx.forget();
  entry.scheduled({}, env, { waitUntil: (promise) => waits.push(promise) });
  await Promise.all(waits);
  assert.equal(alarms.length, 2);
  await object.alarm();
  assert.deepEqual([alarms.at(-1), await object.board("key")], [12345, '{"status":503}']);
  await object.alarm();
  assert.deepEqual(seen, ["", 'key {"status":503}']);
  // Without anything to check, nobody is woken up again.
  next = 0;
  const before = alarms.length;
  await object.alarm();
  assert.equal(alarms.length, before);
  // After a crash it is, a while later.
  next = undefined;
  await object.alarm();
  assert.equal(alarms.length, before + 1);
  assert.ok(alarms.at(-1) > Date.now() + 9_000);
});

// What an object has of the platform: a table of boards, and one alarm.
function objectStorage() {
  const boards = new Map();
  const alarms = [];
  let alarm = null;
  const exec = (statement, key, board) => {
    if (statement.startsWith("SELECT key")) return [...boards].map(([key, board]) => ({ key, board }));
    if (statement.startsWith("SELECT board")) return boards.has(key) ? [{ board: boards.get(key) }] : [];
    if (statement.startsWith("INSERT")) boards.set(key, board);
    return [];
  };
  const storage = {
    sql: { exec },
    getAlarm: async () => alarm,
    setAlarm: async (at) => alarms.push((alarm = at)),
  };
  return { ctx: { storage, forget: () => (alarm = null) }, alarms };
}

// Writes the text that the core tells in the end.
function tell(text) {
  const bytes = new TextEncoder().encode(text);
  const { buffer } = played.memory;
  new Uint8Array(buffer, TEXT).set(bytes);
  new Uint32Array(buffer, OUTPUT).set([NUMBERS, 0, TEXT, bytes.length, 0, 0]);
}

test("a body changes on its way, and ends when the core breaks it off", async () => {
  mock.method(globalThis, "fetch", async () => new Response(chunks("a", "b"), { headers: { "x-a": "1" } }));
  const asked = [];
  const changing = (push, drain) =>
    play({
      begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 0]),
      resume: () => say(0, [PUMPED, 5, ANSWER, 200, 3, 0]),
      pump: (number, length) => {
        const text = new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length));
        asked.push([number, text]);
        return push(text);
      },
      drain: (number) => drain(number),
      stop: (number) => asked.push([number, "stopped"]),
    });
  const twice = changing((text) => show(text + text), () => show("!"));
  const response = await answer(twice, new Request("http://g/"));
  assert.deepEqual([response.headers.get("x-a"), await response.text()], ["1", "aabb!"]);
  assert.deepEqual(asked, [[5, "a"], [5, "b"]]);
  const broken = await answer(changing((text) => (text === "b" ? 0 : show(text)), () => show("")), new Request("http://g/"));
  await assert.rejects(broken.text(), /broke off/);
  const late = await answer(changing(show, () => 0), new Request("http://g/"));
  await assert.rejects(late.text(), /broke off/);
});

test("a body that nobody reads on, or whose client went away, is let go", async () => {
  mock.method(globalThis, "fetch", async () => new Response(chunks("a", "b")));
  const stopped = [];
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 0]),
    resume: () => say(0, [PUMPED, 5 + stopped.length, ANSWER, 200, 3, 0]),
    pump: () => show("x"),
    drain: () => show(""),
    stop: (number) => stopped.push(number),
  });
  const response = await answer(core, new Request("http://g/"));
  await response.body.cancel();
  const client = new AbortController();
  await answer(core, new Request("http://g/", { signal: client.signal }));
  client.abort();
  assert.deepEqual(stopped, [5, 6]);
});

test("a body is made while it is sent, piece by piece, and its end says whether it is whole", async () => {
  const heard = [];
  const making = (ends) =>
    play({
      begin: () => say(0, [MADE, 9, ANSWER, 200, 0, 1, 2, "x-a", "1"]),
      settle: () => say(10, [WRITE, 0]),
      body: (_, call) => show(call === 0 ? "one" : "two"),
      resume: (_, call, status) => {
        heard.push([call, status]);
        if (status !== 200) return say(0, [FINISH, 0]);
        return call === 0 ? say(11, [WRITE, 1]) : say(0, ends);
      },
    });
  const context = () => ({ waitUntil: (promise) => (context.rest = promise) });
  const response = await answer(making([FINISH, 1]), new Request("http://g/"), context());
  assert.deepEqual([response.status, response.headers.get("x-a"), await response.text()], [200, "1", "onetwo"]);
  await context.rest;
  assert.deepEqual(heard.splice(0), [[0, 200], [1, 200]]);
  const broken = await answer(making([FINISH, 0]), new Request("http://g/"), context());
  await assert.rejects(broken.text(), /broke off/);
  await context.rest;
  heard.splice(0);
  const left = await answer(making([FINISH, 1]), new Request("http://g/"), context());
  await left.body.cancel();
  await context.rest;
  assert.notEqual(heard.at(-1)[1], 200);
});

test("a request whose body cannot be changed ends its fetch, and the core hears why", async () => {
  mock.method(globalThis, "fetch", (_, { body, signal }) => {
    body.pipeTo(new WritableStream()).catch(() => {});
    return new Promise((_, fail) => signal.addEventListener("abort", () => fail(new Error("aborted"))));
  });
  let heard;
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 1 | 32, 9, "POST", "http://o/p", 0]),
    resume: (number, call, status) => {
      heard = [number, call, status];
      return say(0, [ANSWER, 400, 0, 0]);
    },
    pump: () => 0,
  });
  const response = await answer(core, new Request("http://g/", { method: "POST", body: "x" }));
  assert.deepEqual([response.status, heard], [400, [7, 0, 6]]);
});

test("the two rests of an answer number their calls alike and do not meet", async () => {
  mock.method(globalThis, "fetch", async () => new Response("stored"));
  const namespace = { idFromName: (name) => name, get: () => ({ take: async () => "{}" }) };
  const told = [];
  const core = play(
    {
      begin: () => say(0, [AFTERWARDS, 8, AFTER_THE_BODY, 9, ANSWER, 204, 0, 0]),
      // One renews what is stored, the other gives a place back.
      settle: (number) => say(number + 10, number === 8 ? [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 0] : [TAKE, 0, "global/ab", "{}"]),
      resume: (number, call, status, length) => {
        told.push([number, call, new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length)).trim()]);
        return number === 18 && call === 0 ? say(18, [READ, 1, 1, 99]) : say(0, []);
      },
    },
    { POSTERN_COUNTERS: namespace },
  );
  const rests = [];
  await answer(core, new Request("http://g/"), { waitUntil: (promise) => rests.push(promise) });
  await Promise.all(rests);
  assert.deepEqual(told.filter(([, call]) => call === 1), [[18, 1, "stored"]]);
  assert.equal(told.length, 3);
});

test("what an answer of a crashed instance leaves to do is nobody's", async () => {
  let crashes = false;
  const core = play({
    begin: () => {
      if (crashes) throw new WebAssembly.RuntimeError("unreachable");
      return say(0, [AFTERWARDS, 9, ANSWER, 200, 0, 0]);
    },
    settle: () => assert.fail("the number is not of this instance"),
  });
  let rest;
  await answer(core, new Request("http://g/"), {
    waitUntil: (promise) => {
      rest = promise;
      crashes = true;
      answer(core, new Request("http://g/"), {});
    },
  });
  await rest;
  assert.equal(played.lives, 2);
});

test("who gives up reading a body gives up the body", async () => {
  let ended;
  const body = new ReadableStream({ cancel: () => (ended = "cancelled") });
  mock.method(globalThis, "fetch", async (_, { signal }) => {
    signal.addEventListener("abort", () => (ended = "aborted"));
    return new Response(body);
  });
  mock.timers.enable({ apis: ["setTimeout"] });
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 0]),
    resume: (number, call) => {
      if (number === 7) return say(8, [READ, 1, 1, 99, SLEEP, 2, 50]);
      assert.deepEqual([number, call], [8, 2], "the time is over");
      return say(0, [END, 1, ANSWER, 504, 0, 0]);
    },
  });
  const waits = answer(core, new Request("http://g/"));
  await new Promise(setImmediate);
  mock.timers.tick(60);
  assert.equal((await waits).status, 504);
  assert.equal(ended, "aborted");
});

test("a body that nobody sends any more is not changed any more", async () => {
  for (const url of ["http://o/p", "no url"]) {
    mock.method(globalThis, "fetch", (url) => {
      new URL(url);
      return new Promise(() => {});
    });
    mock.timers.enable({ apis: ["setTimeout"] });
    const stopped = [];
    const core = play({
      begin: () => say(7, [FETCH, 0, 1000, 0, 0, 1 | 32, 9, "POST", url, 0]),
      resume: () => say(0, [END, 0, ANSWER, 504, 0, 0]),
      stop: (number) => stopped.push(number),
    });
    // The promise of a fetch that is given up is rejected by the runtime; the time limit is what tells here.
    const waits = answer(core, new Request("http://g/", { method: "POST", body: new ReadableStream(), duplex: "half" }));
    await new Promise(setImmediate);
    mock.timers.tick(2000);
    assert.equal(stopped[0], 9, url);
    if (url === "no url") assert.equal((await waits).status, 504);
    mock.timers.reset();
    mock.restoreAll();
  }
});

test("whoever holds a place is carried on when the client goes away, and only the call to the upstream ends", async () => {
  mock.method(globalThis, "fetch", () => new Promise(() => {}));
  mock.timers.enable({ apis: ["setTimeout"] });
  let heard;
  const core = play({
    // The last call of its request, which has no controller.
    begin: () => say(7, [STAY, FETCH, 0, 30_000, 0, 0, 1024, "GET", "http://o/p", 0]),
    resume: (number, call, status) => {
      heard = [number, call, status];
      return say(0, [ANSWER, 499, 0, 0]);
    },
    forget: () => assert.fail("it is carried on"),
  });
  const leaving = new AbortController();
  const promises = [];
  const request = new Request("http://g/", { signal: leaving.signal });
  const response = answer(core, request, { waitUntil: (promise) => promises.push(promise) });
  assert.equal(promises.length, 1);
  leaving.abort();
  assert.equal((await response).status, 499);
  await promises[0];
  assert.deepEqual(heard, [7, 0, 4]);
});

// A body of these chunks.
function chunks(...texts) {
  return ReadableStream.from(texts.map((text) => new TextEncoder().encode(text)));
}

// Shows a body in memory, and says that there is one.
function show(text) {
  const bytes = new TextEncoder().encode(text);
  const { buffer } = played.memory;
  new Uint8Array(buffer, TEXT).set(bytes);
  new Uint32Array(buffer, OUTPUT).set([NUMBERS, 0, 0, 0, TEXT, bytes.length]);
  return 1;
}
test("the keeper of a claim is an object of its own, and whoever holds one is carried on", async () => {
  const asked = [];
  const namespace = {
    idFromName: (name) => name,
    get: (id) => ({ claim: async (order) => (asked.push([id, order]), "yours") }),
  };
  const core = play(
    {
      begin: () => say(7, [CLAIM, 0, "abcdef", "{}"]),
      resume: () => say(0, [ANSWER, 204, 0, 0]),
    },
    { POSTERN_CLAIMS: namespace },
  );
  const promises = [];
  const response = answer(core, new Request("http://g/"), { waitUntil: (promise) => promises.push(promise) });
  assert.equal(promises.length, 1, "from the moment at which the claim is asked for");
  assert.equal((await response).status, 204);
  await promises[0];
  assert.deepEqual(asked, [["abcdef", "{}"]]);
});

test("a body that is looked at is whole, or as it was", async () => {
  for (const [limit, status, read] of [[8, 200, "01234567"], [7, 3, ""]]) {
    mock.method(globalThis, "fetch", async () => new Response("01234567", { headers: { "x-a": "1" } }));
    const told = [];
    const core = play({
      begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 0]),
      resume: (number, call, status, length) => {
        if (call === 0) return say(8, [PEEK, 1, 1, limit]);
        told.push(status, new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length)));
        return say(0, [ANSWER, 200, 3, 0]);
      },
    });
    const response = await answer(core, new Request("http://g/"));
    assert.deepEqual(told, [status, read]);
    assert.equal(response.headers.get("x-a"), "1");
    if (status === 3) assert.equal(await response.text(), "01234567");
  }
});

test("a body is copied while it passes, for what the answer leaves to do", async () => {
  for (const [limit, copy] of [[8, [200, "01234567"]], [7, [3, ""]]]) {
    mock.method(globalThis, "fetch", async () => new Response("01234567"));
    const told = [];
    const core = play({
      begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/p", 0]),
      resume: (number, call, status, length) => {
        if (number === 7) return say(0, [COPY, 1, 1, limit, AFTERWARDS, 9, ANSWER, 200, 3, 0]);
        told.push(status, new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length)));
        return say(0, []);
      },
      settle: () => say(10, [COPIED, 0, 1]),
    });
    let rest;
    const response = await answer(core, new Request("http://g/"), { waitUntil: (promise) => (rest = promise) });
    assert.equal(await response.text(), "01234567");
    await rest;
    assert.deepEqual(told, copy);
  }
});

test("what a cache has stored is answered with fields of its own, and what it has not is a miss", async () => {
  const stored = { k: new Response("body", { headers: { "postern-record": "{}", "cache-control": "max-age=9" } }) };
  shelf.match = async (url) => stored[url.split("/").at(-1)];
  const told = [];
  const core = play({
    begin: () => say(7, [RECALL, 0, 0, "none"]),
    resume: (number, call, status, length) => {
      told.push([status, new TextDecoder().decode(new Uint8Array(played.memory.buffer, 0x10000, length))]);
      return told.length === 1 ? say(8, [RECALL, 1, 0, "k"]) : say(0, [ANSWER, 200, 2 ** 31 + 1, 1, 2, "x-a", "1"]);
    },
  });
  const response = await answer(core, new Request("http://g/"));
  assert.deepEqual(told, [[404, ""], [200, "{}"]]);
  assert.equal(await response.text(), "body");
  assert.deepEqual([response.headers.get("x-a"), response.headers.has("postern-record")], ["1", false]);
});

test("what is stored goes to the client as well, and is waited for behind the answer", async () => {
  const stored = [];
  shelf.put = async (url, response) => stored.push([url, response.headers.get("postern-record"), await response.text()]);
  mock.method(globalThis, "fetch", async () => new Response("body", { headers: { "x-a": "1" } }));
  let over = false;
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/", 0]),
    resume: (number) => {
      if (number === 7) return say(0, [KEEP, 1, 1, 60, 1, 100, "k", "{}", AFTERWARDS, 9, ANSWER, 200, 3, 0]);
      over = stored.length === 1;
      return say(0, []);
    },
    settle: () => say(10, [KEPT, 2, 1]),
  });
  const rest = [];
  const response = await answer(core, new Request("http://g/"), { waitUntil: (promise) => rest.push(promise) });
  assert.deepEqual([await response.text(), response.headers.get("x-a")], ["body", "1"]);
  await Promise.all(rest);
  assert.deepEqual(stored, [["https://cache.postern.invalid/k", "{}", "body"]]);
  assert.ok(over);
});

test("what turns out too long is not stored, and the client gets all of it", async () => {
  for (const [most, length, left] of [[10, undefined, 0], [12, undefined, 1], [10, "12", 1]]) {
    const stored = new Map();
    shelf.put = async (url, { body }) => {
      stored.set(url, "");
      // As a runtime does for which what has come of a body is all of it.
      for await (const chunk of body) stored.set(url, stored.get(url) + chunk.length);
    };
    shelf.delete = async (url) => stored.delete(url);
    const pieces = ReadableStream.from([1, 2, 3].map(() => new Uint8Array(4)));
    const headers = length === undefined ? {} : { "content-length": length };
    mock.method(globalThis, "fetch", async () => new Response(pieces, { headers }));
    const told = [];
    const core = play({
      begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/", 0]),
      resume: (number, call, status) => {
        if (number === 7) return say(0, [KEEP, 1, 1, 60, 1, most, "k", "{}", AFTERWARDS, 9, ANSWER, 200, 3, 0]);
        told.push(status);
        return say(0, []);
      },
      settle: () => say(10, [KEPT, 2, 1]),
    });
    const rest = [];
    const response = await answer(core, new Request("http://g/"), { waitUntil: (promise) => rest.push(promise) });
    assert.equal((await response.arrayBuffer()).byteLength, 12);
    await Promise.all(rest);
    assert.equal(stored.size, left, `${most} ${length}`);
    assert.deepEqual(told, [200]);
  }
});

test("nothing is left of a body that breaks off while it is stored", async () => {
  const stored = new Map();
  shelf.put = async (url, { body }) => {
    stored.set(url, "");
    for await (const chunk of body) stored.set(url, stored.get(url) + chunk.length);
  };
  shelf.delete = async (url) => stored.delete(url);
  async function* breaking() {
    yield new Uint8Array(4);
    throw new Error("reset");
  }
  mock.method(globalThis, "fetch", async () => new Response(ReadableStream.from(breaking())));
  const told = [];
  const core = play({
    begin: () => say(7, [FETCH, 0, 1000, 0, 0, 0, "GET", "http://o/", 0]),
    resume: (number, call, status) => {
      if (number === 7) return say(0, [KEEP, 1, 1, 60, 1, 100, "k", "{}", AFTERWARDS, 9, ANSWER, 200, 3, 0]);
      told.push(status);
      return say(0, []);
    },
    settle: () => say(10, [KEPT, 2, 1]),
  });
  const rest = [];
  const response = await answer(core, new Request("http://g/"), { waitUntil: (promise) => rest.push(promise) });
  await assert.rejects(response.arrayBuffer());
  await Promise.allSettled(rest);
  assert.deepEqual([stored.size, told], [0, [1]]);
});

test("a store that fails says so, and nothing breaks", async () => {
  shelf.match = () => Promise.reject(new Error("there is none"));
  const told = [];
  const core = play({
    begin: () => say(7, [RECALL, 0, 0, "k"]),
    resume: (number, call, status) => (told.push(status), say(0, [ANSWER, 204, 0, 0])),
  });
  assert.equal((await answer(core, new Request("http://g/"))).status, 204);
  assert.deepEqual(told, [1]);
});

// A core whose exports are these; those that a case does not need are not called.
function play(exports, env = {}) {
  const memory = new WebAssembly.Memory({ initial: 4 });
  played = {
    lives: 0,
    memory,
    reset() {},
    exports: { memory, input: () => 0x10000, output: () => OUTPUT, reads_certificates: () => 0, has_checks: () => 1, stop: () => {}, ...exports },
  };
  return new Core(undefined, new ArrayBuffer(0), env);
}

// Writes commands as src/http.rs does, texts among the numbers, and gives the number.
function say(number, commands) {
  const numbers = commands.map((part) => (typeof part === "string" ? part.length : part));
  const text = new TextEncoder().encode(commands.filter((part) => typeof part === "string").join(""));
  const { buffer } = played.memory;
  new Uint32Array(buffer, NUMBERS).set(numbers);
  new Uint8Array(buffer, TEXT).set(text);
  new Uint32Array(buffer, OUTPUT).set([NUMBERS, numbers.length, TEXT, text.length, 0, 0]);
  return number;
}

// The platform's cache, which an isolate opens once: a case says what it does.
const shelf = {};
globalThis.caches = { open: async () => shelf };

const OUTPUT = 0;
const NUMBERS = 0x100;
const TEXT = 0x8000;
