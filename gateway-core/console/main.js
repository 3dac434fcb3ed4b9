// The console of a gateway: signs in, asks the admin interface again and again, and shows what it says.
//
// There is one state, `app`; views make elements of it, and `show` brings the page into their shape.

import { ask, RANGES, Refused, RESOURCES } from "./api.js";
import { become, h, s } from "./dom.js";
import { clock } from "./format.js";
import { confirm } from "./changing.js";
import { select } from "./parts.js";
import { callers } from "./views/callers.js";
import { changes } from "./views/changes.js";
import { explain } from "./views/explain.js";
import { overview } from "./views/overview.js";
import { errors, requests } from "./views/requests.js";
import { upstreams } from "./views/upstreams.js";

/** By their fragment: what a view is called, what makes it, and what it reads. */
const VIEWS = {
  overview: { name: "Overview", make: overview, reads: ["series", "routes", "upstreams", "limits"] },
  upstreams: { name: "Upstreams", make: upstreams, reads: ["upstreams"] },
  callers: { name: "Callers and limits", make: callers, reads: ["limits", "consumers"] },
  requests: { name: "Live requests", make: requests, reads: ["routes"], tail: "requests" },
  errors: { name: "Errors", make: errors, reads: ["routes"], tail: "errors" },
  explain: { name: "Explain", make: explain, reads: [] },
  changes: { name: "Changes", make: changes, reads: ["session", "routes", "keys", "audit"] },
};

const EVERY = 5000;
const TAIL_EVERY = 2000;
const KEPT = 500;
const STORED = "postern-token";

const app = {
  token: sessionStorage.getItem(STORED) ?? undefined,
  remember: true,
  refused: undefined,
  view: "overview",
  width: 0,
  range: "10s",
  route: undefined,
  cursor: undefined,
  paused: false,
  // How far the gateway's clock is ahead of this one.
  ahead: 0,
  updated: undefined,
  data: {},
  tables: new Set(),
  opened: new Set(),
  tails: { requests: tail(), errors: tail() },
  explanation: { form: { method: "GET", url: "", headers: "", client_address: "" }, running: false, error: undefined, value: undefined },
  form: { kind: "urls", purge: "", soft: false, by: "prefix", key: "" },

  get now() {
    return Date.now() + this.ahead;
  },
  get mayWrite() {
    return this.data.session?.value?.may.includes("write") ?? false;
  },
  set(values) {
    Object.assign(this, values);
    draw();
  },
  toggleTable(id) {
    toggle(this.tables, id);
    draw();
  },
  open(id) {
    toggle(this.opened, id);
    draw();
  },
  filter(kind, name, value) {
    this.tails[kind] = { ...tail(), filters: { ...this.tails[kind].filters, [name]: value } };
    draw();
    follow();
  },
  watch(filters) {
    this.tails.requests = { ...tail(), filters };
    location.hash = "requests";
  },
  explain: explainIt,
  propose(change, details) {
    confirm(change, details, async (request, done) => {
      const said = await asked(request.method, request.path, request);
      notify(`${done} In effect everywhere within ${Math.ceil(said.effective_within_ms / 1000)} s.`);
      if (change === "revoke") this.form.key = "";
      await refresh();
    });
  },
};

function tail() {
  return { filters: {}, value: undefined, error: undefined, after: undefined, sampled: undefined, dropped: 0, missed: 0 };
}

function toggle(set, item) {
  if (!set.delete(item)) set.add(item);
}

// Asking.

async function asked(method, path, options) {
  const { token } = app;
  try {
    return await ask(token, method, path, options);
  } catch (error) {
    if (error.status === 401 && token === app.token) signOut(error);
    throw error;
  }
}

/** Reads what the view shows. What fails says so where it would stand, and the rest goes on. */
async function refresh() {
  if (!app.token) return;
  const wanted = [...new Set([...(app.data.session?.value ? [] : ["session"]), ...VIEWS[app.view].reads])];
  const { range, token } = app;
  await Promise.all(wanted.map(async (name) => {
    const [path, query, shape = (said) => said] = RESOURCES[name];
    try {
      const said = await asked("GET", path, { query: query?.(app) });
      // What nobody asks for any more.
      if (token !== app.token || (name === "series" && range !== app.range)) return;
      if (said.now) app.ahead = said.now - Date.now();
      app.data[name] = { value: shape(said, app) };
      app.updated = Date.now();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (token === app.token) app.data[name] = { value: app.data[name]?.value, error };
    }
    draw();
  }));
}

/** Reads the requests that came since the last time. */
async function follow() {
  const kind = VIEWS[app.view].tail;
  const current = app.tails[kind];
  if (!app.token || !current || current.asking) return;
  current.asking = true;
  try {
    const said = await asked("GET", kind, { query: { ...current.filters, after: current.after, limit: 200 } });
    const lines = said.requests.toReversed();
    if (said.next >= (current.after ?? 0)) Object.assign(current, { value: [...lines, ...(current.value ?? [])].slice(0, KEPT) });
    // The numbers began anew: so does the list.
    else current.value = lines;
    Object.assign(current, { after: said.next, error: undefined, sampled: said.sampled, dropped: said.dropped, missed: current.missed + said.missed });
    app.updated = Date.now();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    current.error = error;
  } finally {
    current.asking = false;
    draw();
  }
}

async function explainIt() {
  const { form } = app.explanation;
  const headers = form.headers.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const colon = line.indexOf(":");
    return colon > 0 ? [line.slice(0, colon).trim(), line.slice(colon + 1).trim()] : [line, ""];
  });
  const body = { method: form.method, url: form.url, headers, ...(form.client_address && { client_address: form.client_address }) };
  app.set({ explanation: { ...app.explanation, running: true } });
  try {
    const value = await asked("POST", "explain", { body });
    app.set({ explanation: { form, running: false, value } });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    app.set({ explanation: { form, running: false, error } });
  }
}

// Signing in and out.

async function signIn(token) {
  app.set({ signing: true, refused: undefined });
  try {
    const session = await ask(token, "GET", "session");
    if (app.remember) sessionStorage.setItem(STORED, token);
    app.ahead = session.now - Date.now();
    app.set({ token, signing: false, data: { session: { value: session } } });
    arrive();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    app.set({ signing: false, refused: error });
  }
}

function signOut(refused) {
  sessionStorage.removeItem(STORED);
  app.opened.clear();
  app.set({ token: undefined, refused, data: {}, tails: { requests: tail(), errors: tail() }, explanation: { ...app.explanation, value: undefined, error: undefined } });
  document.querySelector("#token")?.focus();
}

// Showing.

let drawn = false;

/** Shows the state before the next frame. */
function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    show();
  });
}

function show() {
  const root = document.querySelector("#app");
  const view = VIEWS[app.view];
  document.title = app.token ? `${view.name} · Postern` : "Postern";
  // As wide as what stands in `main`, which has edges of its own.
  const edge = innerWidth <= 700 ? 24 : 32;
  app.width = Math.max(280, Math.min(document.documentElement.clientWidth, 1440) - edge);
  become(root, h("div", { id: "app" }, app.token ? [bar(), page(view)] : login(), h("p", { class: "notice", role: "status", "data-key": "notice" }, app.notice ?? "")));
}

function bar() {
  const session = app.data.session?.value;
  const main = () => document.querySelector("main h1")?.focus();
  return [
    h("a", { class: "skip", href: "#main", "data-key": "skip", onclick: (event) => { event.preventDefault(); main(); } }, "To the content"),
    h("header", { class: "top", "data-key": "top" }, h("div", {},
      h("div", { class: "brand" }, gate(), "Postern"),
      h("nav", { class: "views", "aria-label": "Views" }, Object.entries(VIEWS).map(([id, { name }]) => h("a", { href: `#${id}`, "data-key": id, "aria-current": app.view === id && "page" }, name))),
      h("div", { class: "who" },
        session && h("span", { class: "hint", id: "session", title: `Postern ${session.version}, configuration ${session.configuration}` }, `${session.name} · ${app.mayWrite ? "may change" : "read only"}`),
        h("button", { type: "button", class: "quiet", onclick: () => signOut() }, "Sign out")))),
  ];
}

function page(view) {
  const routes = [...new Set([...(app.data.routes?.value ?? []).map((route) => route.name)])];
  const stale = app.updated && Date.now() - app.updated > 4 * EVERY;
  return h("main", { id: "main", "data-key": app.view },
    h("div", { class: "title", "data-key": "title" }, h("h1", { tabindex: -1 }, view.name),
      h("span", { class: `state${stale ? " bad-text" : ""}`, id: "state" }, app.view === "explain" ? "" : app.paused ? "paused" : app.updated ? `${stale ? "not since" : "as of"} ${clock(app.updated)}` : ""),
      h("div", { class: "tools" },
        app.view === "overview" && [
          select({ id: "route", label: "Route", value: app.route ?? ALL, options: [[ALL, "all routes"], ...routes, ...(app.route !== undefined && !routes.includes(app.route) ? [[app.route, app.route || "(no route)"]] : [])],
            onchange: (route) => app.set({ route: route === ALL ? undefined : route }) }),
          h("div", { role: "group", "aria-label": "How far back", class: "chips" }, Object.entries(RANGES).map(([range, { text }]) => h("button", {
            type: "button", class: "small", "data-key": range, "aria-pressed": String(app.range === range), onclick: () => choose(range) }, text))),
        ],
        app.view !== "explain" && h("button", { type: "button", class: "small", "aria-pressed": String(app.paused), onclick: pause }, app.paused ? "Resume" : "Pause"))),
    app.data.session?.error && h("p", { class: "failure", role: "alert", "data-key": "session-error" }, h("strong", {}, app.data.session.error.title), " ", app.data.session.error.detail),
    view.make(app));
}

// No route has such a name.
const ALL = "*";

function choose(range) {
  app.set({ range, cursor: undefined, data: { ...app.data, series: undefined } });
  refresh();
}

function pause() {
  app.set({ paused: !app.paused });
  if (!app.paused) refresh();
}

function login() {
  return h("main", { id: "main", "data-key": "login" }, h("section", { class: "panel login" },
    h("form", { onsubmit: (event) => { event.preventDefault(); signIn(event.target.elements.token.value.trim()); } },
      h("h1", { class: "brand" }, gate(), "Postern console"),
      app.refused && h("p", { class: "failure", role: "alert", id: "refused" }, h("strong", {}, app.refused.title), " ", app.refused.detail),
      h("div", { class: "field" }, h("label", { for: "token" }, "Token of the admin interface"),
        h("input", { id: "token", name: "token", type: "password", required: true, autocomplete: "off", "aria-describedby": "token-hint" }),
        h("p", { class: "hint", id: "token-hint" }, "It is sent to this gateway alone, in a header.")),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: app.remember, onchange: (event) => (app.remember = event.target.checked) }), " Keep it until this tab is closed"),
      h("button", { type: "submit", class: "main", disabled: app.signing }, app.signing ? "Signing in …" : "Sign in"))));
}

function gate() {
  return s("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, s("path", { d: "M2 15V7a6 6 0 0 1 12 0v8h-4V8a2 2 0 0 0-4 0v7z" }));
}

let silence;

function notify(text) {
  clearTimeout(silence);
  app.set({ notice: text });
  silence = setTimeout(() => app.set({ notice: undefined }), 8000);
}

// What makes it go.

function arrive() {
  const view = location.hash.slice(1);
  app.set({ view: Object.hasOwn(VIEWS, view) ? view : "overview", cursor: undefined });
  refresh();
  follow();
}

addEventListener("hashchange", () => {
  arrive();
  // Whoever hears the page, or uses it by keyboard, begins with what is new: at once, before anybody is somewhere else in it.
  show();
  document.querySelector("main h1")?.focus();
  document.querySelector(".views [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
});
addEventListener("resize", draw);
document.addEventListener("visibilitychange", () => document.hidden || app.paused || refresh());
const watched = (work) => () => document.hidden || app.paused || work();
setInterval(watched(refresh), EVERY);
setInterval(watched(follow), TAIL_EVERY);
setInterval(draw, 1000);
arrive();
show();
document.querySelector("#token")?.focus();
