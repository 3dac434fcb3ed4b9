// A gateway that is played: the console with made-up numbers, to work on the page without building anything, and for the pictures in
// docs/console/.
//
//   node gateway-core/console/sample.mjs [PORT]          prints the page's address; the tokens are `write` and `read`
//   node gateway-core/console/sample.mjs --pictures      takes the pictures anew

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const here = new URL("./", import.meta.url);
const CORE = readFileSync(new URL("../src/console.rs", here), "utf8");
// As the core has it.
const POLICY = /const POLICY: &str = "([^"]*)"/.exec(CORE)[1].replaceAll(/\\\n\s*/g, "");
const BOUNDS = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];
// Name, requests per second, usual latency, share of failures, share of refusals.
const ROUTES = [
  ["catalogue", 42, 30, 0.0004, 0], ["orders", 11, 90, 0.004, 0.012], ["search", 8, 180, 0.002, 0], ["images", 25, 8, 0, 0],
  ["checkout", 2.1, 260, 0.03, 0.01], ["login", 0.8, 140, 0, 0.08], ["reports", 0.1, 700, 0, 0], [null, 0.6, 1, 0, 1],
];
const PATHS = { catalogue: ["/catalogue/7", "/catalogue"], orders: ["/orders", "/orders/1234"], search: ["/search"], images: ["/images/a.webp"], checkout: ["/checkout"], login: ["/login"] };

// The same numbers for the same place and time.
const chance = (a, b) => {
  const x = Math.sin(a * 127.1 + b * 311.7) * 43_758.5453;
  return x - Math.floor(x);
};

export function play() {
  const state = { drained: new Map(), maintained: new Map(), revoked: [], audit: [], lines: [], sequence: 0 };
  const gateway = createServer(async (request, response) => {
    const url = new URL(request.url, "http://gateway.invalid");
    if (url.pathname === "/_admin/console") return response.writeHead(308, { location: "console/" }).end();
    if (url.pathname.startsWith("/_admin/console/")) return page(url.pathname.slice("/_admin/console/".length), response);
    let text = "";
    for await (const chunk of request) text += chunk;
    const [status, said] = answer(state, request, url, text ? JSON.parse(text) : {});
    response.writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json" });
    response.end(JSON.stringify(said));
  });
  for (let number = 0; number < 60; number++) come(state, Date.now() - (60 - number) * 300);
  const timer = setInterval(() => come(state, Date.now()), 400);
  gateway.on("close", () => clearInterval(timer));
  return gateway;
}

function page(name, response) {
  const kinds = { css: "text/css", js: "text/javascript", html: "text/html; charset=utf-8" };
  const file = name === "" ? "index.html" : name === "console.js" ? "main.js" : name;
  try {
    const bytes = readFileSync(new URL(file, here));
    response.writeHead(200, { "content-type": kinds[file.split(".").at(-1)], "content-security-policy": POLICY });
    response.end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

function answer(state, request, url, body) {
  const now = Date.now();
  const token = (request.headers.authorization ?? "").replace("Bearer ", "");
  const may = { write: ["read", "write"], read: ["read"] }[token];
  const problem = (status, title, detail) => [status, { type: "about:blank", title, status, detail, request_id: "0".repeat(32) }];
  if (!may) return problem(401, "Unauthorized", "This is no token of the admin interface.");
  const path = url.pathname.slice("/_admin/".length).split("/").map(decodeURIComponent);
  if (request.method !== "GET" && path[0] !== "explain" && !may.includes("write")) return problem(403, "Forbidden", "This token may only look.");
  const change = (action, subject) => {
    state.audit.push({ sequence: state.audit.length + 1, at: now, by: "operator", from: "203.0.113.4", action, subject, reason: body.reason ?? null, request_id: "0".repeat(32), failed: null });
    return [200, { action, subject, effective_within_ms: 5000, request_id: "0".repeat(32) }];
  };
  const noted = { since: now, by: "operator", reason: body.reason ?? null };
  const begins = request.method === "PUT";
  switch (path[0]) {
    case "session":
      return [200, { name: token === "write" ? "operator" : "viewer", may, version: "0.1.0", configuration: "9f3a1c22d07b5e81", now, effective_within_ms: 5000, known: { since: now, problem: null } }];
    case "series":
      return [200, series(now, url.searchParams.get("resolution"))];
    case "routes":
      if (path.length === 1) return [200, { routes: routes(state), total: ROUTES.length - 1, next: null }];
      if (begins) state.maintained.set(path[1], { ...noted, retry_after: body.retry_after ?? null });
      else state.maintained.delete(path[1]);
      return change(begins ? "maintenance" : "maintenance_over", path[1]);
    case "upstreams":
      if (path.length === 1) return [200, { scope: "instance", upstreams: upstreams(state, now) }];
      if (begins) state.drained.set(`${path[1]} ${path[3]}`, noted);
      else state.drained.delete(`${path[1]} ${path[3]}`);
      return change(begins ? "drain" : "undrain", `${path[1]} ${path[3]}`);
    case "consumers":
      return [200, { scope: "all", window_ms: 3_600_000, consumers: [["acme", 48_210, 31, 120], ["globex", 22_114, 4, 0], ["initech", 9012, 0, 311], ["umbrella", 412, 0, 2], ["hooli", 37, 0, 0]]
        .map(([consumer, requests, errors, refused], place) => ({ consumer, requests, errors, refused, last: now - 1000 - place * 9000 })) }];
    case "limits":
      return [200, { scope: "all", limits: [["sign-in", "minute", "203.0.113.9", "login", 5, 5, 21_000], ["per-consumer", "day", "acme", "orders", 9980, 10_000, 25_200_000], ["per-consumer", "minute", "initech", "search", 51, 60, 12_000]]
        .map(([limit, rule, caller, route, used, of, left]) => ({ limit, rule, caller, route, used, of, remaining: of - used, share: used / of, resets: now + left, at: now - 1000 })) }];
    case "requests":
    case "errors":
      return [200, lines(state, path[0], url.searchParams)];
    case "keys":
      if (path[1] === "revoke") state.revoked.push({ ...noted, id: body.prefix ?? "6b1f0c…", kind: body.prefix ? "prefix" : "key" });
      if (path[1] === "restore") state.revoked = state.revoked.filter(({ id }) => id !== body.id);
      return path.length === 1 ? [200, { revoked: state.revoked }] : change(path[1], body.prefix ?? body.id ?? "a key");
    case "purge":
      return change("purge", [...(body.urls ?? []), ...(body.prefixes ?? []), ...(body.tags ?? [])].join(" ") || "everything");
    case "audit":
      return [200, { entries: state.audit, next: state.audit.length }];
    case "explain":
      return [200, explanation(body)];
    default:
      return problem(404, "Not Found", "There is nothing of this name.");
  }
}

function series(now, resolution) {
  const [step, size] = resolution === "10m" ? [600_000, 144] : [10_000, 90];
  const end = Math.floor(now / step) * step;
  const of = ([route, perSecond, latency, failing, refusing], place) => {
    const points = Array.from({ length: size }, (_, index) => {
      const at = end - (size - 1 - index) * step;
      const wave = 1 + 0.25 * Math.sin(index / 14 + place) + 0.12 * (chance(index, place) - 0.5);
      const trouble = route === "checkout" && index > size - 24 && index < size - 9 ? 5 : 1;
      const requests = Math.round(perSecond * wave * (index === size - 1 ? 0.4 : 1) * step / 1000);
      const errors = Math.min(requests, Math.round(requests * failing * trouble * (0.6 + 0.8 * chance(place, index))));
      const refused = Math.round(requests * refusing * (route === null ? 1 : 0.6 + 0.8 * chance(index, place + 9)));
      const durations = Array(BOUNDS.length + 1).fill(0);
      for (let part = 0; part < 40; part++) {
        const took = latency * (0.5 + (part / 40) ** 3 * 1.6 * (0.9 + 0.2 * chance(index, part))) * Math.sqrt(trouble);
        const place = BOUNDS.findIndex((bound) => bound >= took);
        durations[place < 0 ? BOUNDS.length : place] += requests;
      }
      return { at, requests, statuses: [0, requests - errors - refused, 0, refused, errors], refused, durations, duration_ms: requests * latency };
    });
    return { route, points };
  };
  const refusals = [["login", "rate_limit", "rate-limited", 431], [null, null, "no-route", 320], ["orders", "authenticate", "invalid-token", 144], ["checkout", "validate", "invalid-body", 12]];
  return {
    scope: "all", now, step_ms: step, bounds_ms: BOUNDS, series: ROUTES.map(of),
    refusals: refusals.map(([route, policy, problem, count], place) => ({ route, policy, problem, count, last: now - 2000 - place ** 4 * 7000 })),
  };
}

function routes(state) {
  return ROUTES.filter(([name]) => name).map(([name], rank) => ({
    name, rank, paths: [`/${name}/{rest*}`], conditions: [], action: "forward", upstream: name === "images" ? "cdn" : "shop",
    policies: name === "images" ? ["cache"] : ["authenticate", "rate_limit"], maintenance: state.maintained.get(name) ?? null,
  }));
}

function upstreams(state, now) {
  const target = (upstream, name, more = {}) => {
    const drain = state.drained.get(`${upstream} ${name}`) ?? null;
    const usual = { name, url: `http://${name}`, weight: 1, priority: 0, state: "in_rotation", until: null, under_way: name.length % 4, share: 1, check: { at: now - 4000, ill: false, contrary: 0 } };
    return { ...usual, ...more, drain, ...(drain && { state: "drained" }) };
  };
  return [
    { name: "shop", balance: "least_requests", breaker: { state: "closed", until: null }, targets: [target("shop", "10.0.0.1:8080"), target("shop", "10.0.0.2:8080"), target("shop", "10.0.0.3:8080", { state: "ejected", until: now + 22_000, share: 0.2 })] },
    { name: "cdn", balance: "round_robin", breaker: null, targets: [target("cdn", "cdn.example", { check: null })] },
  ];
}

function come(state, at) {
  const number = ++state.sequence;
  const pick = (list, salt) => list[Math.floor(chance(number, salt) * list.length)];
  const route = pick(Object.keys(PATHS), 1);
  const lot = chance(number, 2);
  const [status, problem, policy] = lot < 0.05 ? [503, "upstream-failed"] : lot < 0.1 ? [429, "rate-limited", "rate_limit"] : lot < 0.14 ? [401, "invalid-token", "authenticate"] : [200];
  const reached = status === 200 || status === 503;
  state.lines.push({ sequence: number, record: {
    schema: "postern.access/1", timestamp: new Date(at).toISOString(), "postern.request_id": number.toString(16).padStart(32, "0"),
    "http.request.method": chance(number, 3) < 0.2 ? "POST" : "GET", "url.scheme": "https", "server.address": "shop.example", "url.path": pick(PATHS[route], 4),
    ...(route === "search" && { "url.query": "q=REDACTED" }), "http.route": route, "http.response.status_code": status,
    "http.server.request.duration": Math.round(chance(number, 5) ** 2 * 600) / 1000, ...(problem && { "postern.problem": problem, "error.type": problem }),
    "client.address": `203.0.113.${number % 200}`, ...(status !== 401 && { "postern.consumer": pick(["acme", "globex", "initech"], 6) }), ...(policy && { "postern.policy": policy }),
    ...(reached && { "postern.upstream": route === "images" ? "cdn" : "shop", "postern.attempts": [{ "server.address": "10.0.0.1", "server.port": 8080, "http.response.status_code": status, "http.client.request.duration": 0.031 }] }),
    ...(route === "images" && { "postern.cache.status": chance(number, 7) < 0.6 ? "hit" : "miss" }),
  } });
  state.lines.splice(0, state.lines.length - 500);
}

function lines(state, kind, asked) {
  const status = asked.get("status");
  const fits = ({ sequence, record }) => sequence > Number(asked.get("after") ?? 0)
    && (kind === "requests" || record["http.response.status_code"] >= 500)
    && (!asked.get("route") || record["http.route"] === asked.get("route"))
    && (!asked.get("consumer") || record["postern.consumer"] === asked.get("consumer"))
    && (!status || String(record["http.response.status_code"]).startsWith(status.replaceAll("x", "")))
    && record["http.server.request.duration"] * 1000 >= Number(asked.get("slower_than") ?? 0)
    && record["url.path"].startsWith(asked.get("path_prefix") ?? "");
  return { scope: "all", requests: state.lines.filter(fits).slice(-Number(asked.get("limit") ?? 100)), next: state.sequence, missed: 0, sampled: 0.25, dropped: 0 };
}

function explanation({ method, url }) {
  if (!url.includes("/orders")) {
    const { host, pathname, protocol } = new URL(url);
    const answer = { status: 404, headers: [{ edit: "set", name: "content-type", value: "application/problem+json" }], body: "{}" };
    return { request: { method, scheme: protocol.slice(0, -1), host, path: pathname, query: null, client_address: null }, candidates: [], match: null, upstream: null, answer, log: [], placeholders: [] };
  }
  const { host, pathname, search, protocol } = new URL(url);
  return {
    request: { method, scheme: protocol.slice(0, -1), host, path: pathname, query: search.slice(1) || null, client_address: "127.0.0.1" },
    candidates: [{ rank: 0, route: "orders-beta", path: "/orders/{id}", unmet: "the header `x-beta` is missing" }, { rank: 1, route: "orders", path: "/orders/{id}", unmet: null }],
    match: { route: "orders", path: "/orders/{id}", parameters: { id: "7" }, calls: null },
    upstream: {
      name: "shop", targets: ["http://10.0.0.1:8080", "http://10.0.0.2:8080"], method, url: `http://10.0.0.1:8080/v2${pathname}${search}`, host: null, timeout_ms: 5000,
      headers: [{ edit: "set", name: "x-forwarded-for", value: "127.0.0.1" }, { edit: "remove", name: "cookie", value: null }], response_headers: [],
    },
    answer: null, log: [], placeholders: [],
  };
}

// What docs/console.md shows.
const PICTURES = [
  ["overview", "light", 1280, 900], ["overview", "dark", 1280, 900], ["overview", "light", 360, 780], ["requests", "light", 1280, 620], ["requests", "dark", 360, 780],
  ["callers", "light", 1280, 500], ["upstreams", "light", 1280, 460], ["explain", "light", 1280, 800], ["changes", "light", 1280, 800],
];

async function pictures(address) {
  const { open } = await import("../../tests/e2e/chromium.mjs");
  for (const [view, scheme, width, height] of PICTURES) {
    const browser = await open();
    const page = await browser.newPage();
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.goto(`${address}#${view}`);
    await page.waitForSelector("#token");
    await page.type("#token", "write");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#session");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    if (view === "explain") {
      await page.type("#explain-url", "https://shop.example/orders/7");
      await page.keyboard.press("Enter");
      await page.waitForSelector("[data-key=way]");
    }
    if (view === "changes") {
      await page.click("button[aria-label='Begin maintenance of reports']");
      await page.type("#reason", "the warehouse is moved");
    }
    if (view === "overview" && width > 700) {
      await page.$eval("svg[data-chart=latency]", (chart) => chart.focus());
      for (let left = 0; left < 14; left++) await page.keyboard.press("ArrowLeft");
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    const name = width < 700 ? `${view}-phone.png` : scheme === "dark" ? `${view}-dark.png` : `${view}.png`;
    await page.screenshot({ path: decodeURIComponent(new URL(`../../docs/console/${name}`, here).pathname) });
    await browser.close();
  }
}

if (process.argv[1] === decodeURIComponent(new URL(import.meta.url).pathname)) {
  const gateway = play();
  const port = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 0);
  gateway.listen(port, "127.0.0.1", async () => {
    const address = `http://127.0.0.1:${gateway.address().port}/_admin/console/`;
    if (!process.argv.includes("--pictures")) return console.log(address);
    await pictures(address);
    gateway.close();
    gateway.closeAllConnections();
  });
}
