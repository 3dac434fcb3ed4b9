// Traffic, latency, errors and refusals over time, per route; and what somebody should look at.

import { chart, spark } from "../chart.js";
import { h } from "../dom.js";
import { ago, count, milliseconds, rate, share, span } from "../format.js";
import * as history from "../history.js";
import { chip, given, panel, table } from "../parts.js";

const STYLES = ["s0", "s1", "s2", "s3", "s4"];

export function overview(app) {
  return given(app.data.series, (shown) => [tiles(app, shown), attention(app, shown), charts(app, shown), routes(app, shown), refusals(app, shown)]);
}

function tiles(app, shown) {
  const intervals = history.intervals(shown, app.route);
  const all = history.sum(intervals);
  // The last interval is not over, and what it has is still being told.
  const latest = history.sum(intervals.slice(-4, -1));
  const over = `in ${span(shown.times.length * shown.step)}`;
  const targets = (app.data.upstreams?.value ?? []).flatMap((upstream) => upstream.targets);
  const usable = targets.filter((target) => target.state === "in_rotation").length;
  const tile = (id, name, value, beside, values, style) => h("div", { class: "tile", "data-key": id }, h("dt", {}, name),
    h("dd", { class: "number", id: `tile-${id}` }, value), values && h("dd", { class: "trend" }, spark(values.slice(0, -1), style)), h("dd", { class: "beside" }, beside));
  return h("dl", { class: "tiles", "data-key": "tiles" },
    tile("traffic", "Requests", [rate(latest.requests / (3 * shown.step) * 1000), h("small", {}, " /s")], [h("b", { id: "total-requests" }, count(all.requests)), ` ${over}`], intervals.map((one) => one.requests), "s0"),
    tile("errors", "Errors (5xx)", share(history.part(all, history.failed(all))), `${count(history.failed(all))} ${over}`, intervals.map(history.failed), "s1"),
    tile("refusals", "Refused", share(history.part(all, all.refused)), `${count(all.refused)} ${over}`, intervals.map((one) => one.refused), "s3"),
    tile("latency", "Latency, p99", milliseconds(history.percentile(all, shown.bounds, 0.99) ?? NaN), `p50 ${milliseconds(history.percentile(all, shown.bounds, 0.5) ?? NaN)}`,
      intervals.map((one) => history.percentile(one, shown.bounds, 0.99)), "s2"),
    tile("targets", "Targets up", targets.length ? [usable, h("small", {}, ` / ${targets.length}`)] : "–",
      targets.length === 0 ? "no upstreams" : usable === targets.length ? "all in rotation" : `${targets.length - usable} out of rotation`));
}

/** What is not as it should be, worst first. */
function attention(app, shown) {
  const found = [];
  for (const { name, breaker, targets } of app.data.upstreams?.value ?? []) {
    if (breaker && breaker.state !== "closed") found.push(["bad", `The breaker of upstream ${name} is ${breaker.state.replace("_", " ")}`, "#upstreams"]);
    for (const target of targets) {
      if (target.state !== "in_rotation") found.push([target.state === "drained" ? "warn" : "bad", `Target ${target.name} of upstream ${name} is ${target.state}`, "#upstreams"]);
    }
  }
  for (const [name, intervals] of shown.routes) {
    const lately = history.sum(intervals.slice(-Math.max(2, Math.round(300_000 / shown.step))));
    const part = history.part(lately, history.failed(lately));
    if (part >= 0.01 && lately.requests >= 20) found.push([part >= 0.05 ? "bad" : "warn", `Route ${name || NO_ROUTE}: ${share(part)} failed lately`, "#errors"]);
  }
  for (const { limit, caller, share: used } of app.data.limits?.value ?? []) {
    if (used >= 0.9) found.push([used >= 1 ? "bad" : "warn", `Limit ${limit}: ${caller} has used ${share(used)}`, "#callers"]);
  }
  for (const { name, maintenance } of app.data.routes?.value ?? []) {
    if (maintenance) found.push(["warn", `Route ${name} is in maintenance`, "#changes"]);
  }
  found.sort(([one], [other]) => (one === other ? 0 : one === "bad" ? -1 : 1));
  const most = 8;
  return h("section", { class: "attention", "data-key": "attention", "aria-label": "Needs attention" },
    found.length === 0 ? h("p", { class: "calm" }, chip("good", "Nothing needs attention"))
      : h("ul", {}, found.slice(0, most).map(([kind, text, to]) => h("li", { "data-key": text }, h("a", { href: to }, chip(kind, text)))),
        found.length > most && h("li", { "data-key": "more" }, `and ${found.length - most} more`)));
}

function charts(app, shown) {
  const width = Math.round((app.width >= 880 ? (app.width - 12) / 2 : app.width) - 26);
  // What is under way would look like a slump.
  const times = shown.times.slice(0, -1);
  const { traffic, latency, errors, refusals, told } = app.route === undefined ? ofAll(shown) : ofRoute(shown, app.route);
  const one = (id, title, unit, format, series, empty) => chart({
    id, title, unit, format, times, width, empty, series: series.map((line) => ({ ...line, values: line.values.slice(0, -1) })),
    cursor: app.cursor, onCursor: (moment) => app.set({ cursor: moment }), asTable: app.tables.has(id), onTable: () => app.toggleTable(id),
  });
  return h("div", { class: "charts", "data-key": "charts" },
    one("traffic", "Traffic", "requests/s", rate, traffic, "No requests in this time."),
    one("latency", "Latency", told, milliseconds, latency, "No requests in this time."),
    one("errors", "Errors", "answers of 5xx, per s", rate, errors, "No errors in this time."),
    one("refusals", "Refusals", "by the gateway, per s", rate, refusals, "Nothing was refused in this time."));
}

/** A line for each of the busiest routes. */
function ofAll(shown) {
  const { names, others } = history.busiest(shown, STYLES.length);
  const rest = shown.times.map((_, index) => history.sum(others.map((name) => shown.routes.get(name)[index])));
  const of = (value) => [
    ...names.map((name, index) => ({ name: name || NO_ROUTE, style: STYLES[index], values: shown.routes.get(name).map(value) })),
    ...(others.length > 0 ? [{ name: `${others.length} others`, style: "other", values: rest.map(value) }] : []),
  ];
  const perSecond = (value) => of((one) => value(one) / shown.step * 1000);
  return {
    traffic: perSecond((one) => one.requests),
    latency: of((one) => history.percentile(one, shown.bounds, 0.95)),
    told: "p95, until the answer begins",
    errors: perSecond(history.failed).filter(says),
    refusals: perSecond((one) => one.refused).filter(says),
  };
}

/** What one route consists of. */
function ofRoute(shown, route) {
  const all = history.intervals(shown, route);
  const perSecond = (name, style, value) => ({ name, style, values: all.map((one) => value(one) / shown.step * 1000) });
  const statuses = [["2xx", "s0", 1], ["3xx", "s2", 2], ["4xx", "s3", 3], ["5xx", "s1", 4]];
  const shares = [["p50", "s0", 0.5], ["p95", "s2", 0.95], ["p99", "s3", 0.99]];
  return {
    traffic: statuses.map(([name, style, index]) => perSecond(name, style, (one) => one.statuses[index])).filter(says),
    latency: shares.map(([name, style, part]) => ({ name, style, values: all.map((one) => history.percentile(one, shown.bounds, part)) })),
    told: "until the answer begins",
    errors: [perSecond("5xx", "s1", history.failed)].filter(says),
    refusals: [perSecond("refused", "s3", (one) => one.refused)].filter(says),
  };
}

const says = (line) => line.values.some((value) => value > 0);

function routes(app, shown) {
  const known = new Map((app.data.routes?.value ?? []).map((route) => [route.name, route]));
  const names = new Set([...shown.routes.keys(), ...known.keys()]);
  const rows = [...names].map((name) => ({ name, intervals: shown.routes.get(name) ?? [], all: history.sum(shown.routes.get(name) ?? []) }));
  rows.sort((one, other) => other.all.requests - one.all.requests || (one.name < other.name ? -1 : 1));
  const seconds = shown.times.length * shown.step / 1000;
  const time = (part) => ({ all }) => milliseconds(history.percentile(all, shown.bounds, part) ?? NaN);
  const choose = (name) => app.set({ route: app.route === name ? undefined : name });
  return panel({ id: "routes", title: "Routes", hint: "Choose one to see what it consists of." }, table({
    id: "routes-table", caption: "Routes, and what they did in this time", rows, key: ({ name }) => `route-${name}`, empty: "This configuration has no routes.",
    columns: [
      { name: "Route", main: true, cell: ({ name }) => [
        h("button", { type: "button", class: "link", "aria-pressed": String(app.route === name), onclick: () => choose(name) }, name || NO_ROUTE),
        known.get(name)?.maintenance && [" ", chip("warn", "maintenance")]] },
      { name: "Requests", number: true, cell: ({ all }) => count(all.requests) },
      { name: "per s", number: true, cell: ({ all }) => rate(all.requests / seconds) },
      { name: "Trend", cell: ({ intervals }) => spark(intervals.map((one) => one.requests).slice(0, -1)) },
      { name: "4xx", number: true, cell: ({ all }) => count(all.statuses[3]) },
      { name: "5xx", number: true, cell: ({ all }) => marked(all, history.failed(all)) },
      { name: "Refused", number: true, cell: ({ all }) => count(all.refused) },
      { name: "p50", number: true, cell: time(0.5) },
      { name: "p95", number: true, cell: time(0.95) },
      { name: "p99", number: true, cell: time(0.99) },
    ],
  }));
}

function refusals(app, shown) {
  const rows = shown.refusals.filter((row) => app.route === undefined || (row.route ?? "") === app.route);
  return panel({ id: "refused", title: "Why requests were refused", hint: "In the last hour, most frequent first." }, table({
    id: "refused-table", caption: "Refusals by problem, policy and route", rows, key: (row) => `${row.problem} ${row.policy} ${row.route}`, empty: "Nothing was refused.",
    columns: [
      { name: "Problem", main: true, cell: (row) => h("code", {}, row.problem) },
      { name: "Policy", cell: (row) => row.policy ?? "–" },
      { name: "Route", cell: (row) => row.route ?? NO_ROUTE },
      { name: "Count", number: true, cell: (row) => count(row.count) },
      { name: "Last", number: true, cell: (row) => ago(row.last, app.now) },
    ],
  }));
}

function marked(all, number) {
  const part = history.part(all, number);
  return number === 0 ? "0" : h("span", { class: part >= 0.01 && "bad-text" }, `${count(number)} (${share(part)})`);
}

const NO_ROUTE = "(no route)";
