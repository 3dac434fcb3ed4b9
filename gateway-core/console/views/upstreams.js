// Upstreams: which targets there are, how they are, and why one is not used.

import { h } from "../dom.js";
import { ago, clock, moment, share } from "../format.js";
import { chip, given, panel, table } from "../parts.js";

export function upstreams(app) {
  return [
    h("p", { class: "hint", "data-key": "scope" }, "As the instance that answered sees it; what checks and people have said holds for all of them."),
    given(app.data.upstreams, (all) => all.length === 0 ? h("p", { class: "empty panel" }, "This configuration has no upstreams.") : all.map((upstream) => one(app, upstream))),
  ];
}

function one(app, { name, balance, breaker, targets }) {
  const usable = targets.filter((target) => target.state === "in_rotation").length;
  return panel({
    id: `upstream-${name}`, title: name, hint: balance.replaceAll("_", " "),
    tools: h("span", { class: "chips" }, chip(usable === 0 ? "bad" : usable < targets.length ? "warn" : "good", `${usable} of ${targets.length} in rotation`),
      breaker && chip({ open: "bad", half_open: "warn", closed: "good" }[breaker.state], `breaker ${breaker.state.replace("_", " ")}`, breaker.until && `until ${moment(breaker.until)}`)),
  }, table({
    id: `targets-${name}`, even: true, caption: `Targets of ${name}`, rows: targets, key: (target) => target.name, empty: "No targets.",
    columns: [
      { name: "Target", main: true, cell: (target) => [h("code", {}, target.name), target.url.endsWith(`//${target.name}`) ? "" : h("span", { class: "hint" }, ` ${target.url}`)] },
      { name: "State", cell: (target) => chip({ in_rotation: "good", drained: "warn" }[target.state] ?? "bad", target.state.replace("_", " ")) },
      { name: "Why", wide: true, cell: (target) => why(target, app.now) },
      { name: "Checked", number: true, cell: (target) => target.check ? ago(target.check.at, app.now) : "–" },
      { name: "Under way", number: true, cell: (target) => target.under_way },
      { name: "Weight", number: true, cell: (target) => target.weight },
      { name: "Priority", number: true, cell: (target) => target.priority },
      { name: "Share", number: true, cell: (target) => share(target.share) },
      ...(app.mayWrite ? [{ name: "Change", number: true, cell: (target) => h("button", {
        type: "button", class: "small", "aria-label": `${target.drain ? "Return" : "Drain"} ${target.name} of ${name}`,
        onclick: () => app.propose(target.drain ? "undrain" : "drain", { upstream: name, target: target.name }),
      }, target.drain ? "Return" : "Drain") }] : []),
    ],
  }));
}

function why({ state, until, drain, check }, now) {
  const back = until ? `, back at ${clock(until)}` : "";
  if (drain) return `by ${drain.by} ${ago(drain.since, now)}${drain.reason ? `: ${drain.reason}` : ""}`;
  if (state === "ejected") return `its answers failed${back}`;
  if (state === "ill") return `checks failed${check ? `; ${check.contrary} good since` : ""}${back}`;
  return "–";
}
