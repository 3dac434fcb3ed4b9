// Requests as they come, and those that failed.

import { h } from "../dom.js";
import { clock, count, milliseconds, moment, share } from "../format.js";
import { chip, field, given, kindOf, panel, select, table } from "../parts.js";

export function requests(app) {
  return list(app, "requests", "Live requests", "Nothing has come yet that fits.");
}

export function errors(app) {
  return list(app, "errors", "Recent errors", "Nothing has failed.");
}

function list(app, kind, title, empty) {
  const tail = app.tails[kind];
  const told = [
    tail.sampled !== undefined && tail.sampled < 1 && `${share(tail.sampled)} of all requests are shown`,
    tail.dropped > 0 && `${count(tail.dropped)} were left out, since there were too many at once`,
    tail.missed > 0 && `${count(tail.missed)} went by unseen`,
  ];
  return panel({
    id: kind, title, unnamed: true, hint: ["Newest first", kind === "errors" && "answers of 5xx", ...told].filter(Boolean).join("; ") + ".",
  }, filters(app, kind, tail), given(tail, (lines) => table({
    id: `${kind}-table`, caption: title, rows: lines.slice(0, SHOWN), key: ({ sequence }) => `${kind}-${sequence}`, empty,
    columns: [
      { name: "Time", cell: ({ record }) => h("time", { title: moment(record.timestamp), datetime: record.timestamp }, clock(record.timestamp)) },
      { name: "Status", cell: ({ record }) => chip(kindOf(record["http.response.status_code"]), String(record["http.response.status_code"])) },
      { name: "Request", main: true, wide: true, cell: ({ sequence, record }) => h("button", {
        type: "button", class: "link path", "aria-expanded": String(app.opened.has(`${kind}-${sequence}`)), onclick: () => app.open(`${kind}-${sequence}`),
      }, h("b", {}, record["http.request.method"]), " ", record["url.path"] ?? "(unreadable)", record["url.query"] && h("span", { class: "hint" }, `?${record["url.query"]}`)) },
      { name: "Route", cell: ({ record }) => record["http.route"] ?? "–" },
      { name: "Took", number: true, cell: ({ record }) => milliseconds(record["http.server.request.duration"] * 1000) },
      { name: "Consumer", cell: ({ record }) => record["postern.consumer"] ?? "–" },
      { name: "What happened", wide: true, cell: ({ record }) => happened(record) },
    ],
    below: ({ sequence, record }) => app.opened.has(`${kind}-${sequence}`) && details(record),
  })));
}

// More rows than that cost the browser more than they tell.
const SHOWN = 100;

function filters(app, kind, tail) {
  const set = (name) => (event) => app.filter(kind, name, event.target.value.trim());
  const text = (name, label, properties) => field({ id: `${kind}-${name}`, label },
    h("input", { id: `${kind}-${name}`, type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off", value: tail.filters[name] ?? "", onchange: set(name), ...properties }));
  const routes = (app.data.routes?.value ?? []).map((route) => route.name);
  return h("form", { class: "filters", "aria-label": "Show only", onsubmit: (event) => event.preventDefault() },
    field({ id: `${kind}-route`, label: "Route" }, select({ id: `${kind}-route`, value: tail.filters.route ?? "", options: [["", "all"], ...routes], onchange: (value) => app.filter(kind, "route", value) })),
    text("status", "Status", { placeholder: "404 or 4xx", pattern: "[1-5]([0-9]{2}|xx)", size: 8 }),
    text("slower_than", "Slower than, ms", { inputmode: "numeric", pattern: "[0-9]+", size: 8 }),
    text("consumer", "Consumer", { size: 12 }),
    text("path_prefix", "Path begins with", { placeholder: "/", size: 14 }));
}

function happened(record) {
  const parts = [
    record["postern.problem"], record["postern.policy"] && `by ${record["postern.policy"]}`,
    record["postern.upstream"] && `→ ${record["postern.upstream"]}`,
    record["postern.attempts"]?.length > 1 && `${record["postern.attempts"].length} attempts`,
    record["postern.cache.status"] && `cache ${record["postern.cache.status"]}`,
  ];
  return parts.filter(Boolean).join(" · ") || "–";
}

function details(record) {
  const text = (value) => typeof value === "object" ? JSON.stringify(value) : String(value);
  return h("dl", { class: "facts" }, Object.entries(record).map(([name, value]) => h("div", { "data-key": name }, h("dt", {}, name), h("dd", {}, text(value)))));
}
