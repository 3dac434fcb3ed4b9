// What several views are made of: panels, tables, marks of a state, and what stands there while there is nothing to show.

import { h, s } from "./dom.js";

/** A part of a page with a heading; `unnamed` where the page's own says the same. */
export function panel({ id, title, hint, tools, unnamed }, ...children) {
  return h("section", { class: "panel", "data-key": id, "aria-labelledby": `${id}-title` },
    h("div", { class: "panel-head" }, h("h2", { id: `${id}-title`, class: unnamed && "hidden" }, title), hint && h("p", { class: "hint" }, hint), tools), children);
}

/**
 * Rows with columns `{ name, cell, number, main, wide }`: `number` aligns figures, `main` heads the row. On narrow screens, each row stands
 * by itself, and its cells say what they are. `below` gives what stands under a row, over its whole width. `even`: columns as wide as those
 * of the next table.
 */
export function table({ id, caption, columns, rows, key, empty, below, even }) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const style = (column) => [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || undefined;
  return h("div", { class: "scroll", "data-key": id, tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: even ? "stack even" : "stack" },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: style(column) }, column.name)))),
      h("tbody", {}, rows.map((row, index) => {
        const name = key(row, index);
        const more = below?.(row);
        return [
          h("tr", { "data-key": name }, columns.map((column) => h(column.main ? "th" : "td", { scope: column.main && "row", class: style(column), "data-label": column.name }, column.cell(row)))),
          more && h("tr", { class: "below", "data-key": `${name} below` }, h("td", { colspan: columns.length }, more)),
        ];
      }))));
}

/** A state, told by a shape and a word as well as by its colour: `good`, `warn`, `bad`, `idle`. */
export function chip(kind, text, title) {
  const shapes = { good: "M2 6.5l2.5 2.5L10 3", warn: "M6 1.5L11 10.5H1Z", bad: "M2.5 2.5l7 7M9.5 2.5l-7 7", idle: "M2 6H10" };
  return h("span", { class: `chip ${kind}`, title },
    s("svg", { viewBox: "0 0 12 12", width: 10, height: 10, "aria-hidden": "true" }, s("path", { d: shapes[kind] })), text);
}

/** The kind of a status: 2xx is good, and so on. */
export function kindOf(status) {
  return status >= 500 ? "bad" : status >= 400 ? "warn" : status >= 300 ? "idle" : "good";
}

/** How much of something is used up: a bar, and the words beside it. A `plain` one only compares. */
export function meter(part, text, label, plain) {
  const filled = Math.max(0, Math.min(1, Number.isFinite(part) ? part : 0));
  const kind = plain ?? (filled >= 1 ? "bad" : filled >= 0.9 ? "warn" : "good");
  return h("span", { class: "meter" },
    s("svg", { class: kind, viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": label },
      s("rect", { class: "rest", width: 100, height: 8 }), s("rect", { class: "part", width: (filled * 100).toFixed(1), height: 8 })),
    h("span", { class: "number" }, text));
}

/** What a resource gives, or why there is nothing: it is on its way, it was refused, it failed. What was there before stays. */
export function given(resource, show) {
  const { value, error } = resource ?? {};
  if (value === undefined && error === undefined) return h("p", { class: "empty loading", role: "status" }, "Loading …");
  return [
    error && h("p", { class: "failure", role: "alert", "data-key": "failure" }, h("strong", {}, error.title), " ", error.detail,
      value !== undefined && " What follows is older."),
    value !== undefined && show(value),
  ];
}

/** Something to fill in. */
export function field({ id, label, hint }, control) {
  return h("div", { class: "field", "data-key": `field-${id}` }, h("label", { for: id }, label), control, hint && h("p", { class: "hint", id: `${id}-hint` }, hint));
}

/** One of several. `options`: texts, or pairs of a value and what is shown. */
export function select({ id, value, options, onchange, label }) {
  return h("select", { id, "aria-label": label, onchange: (event) => onchange(event.target.value), value },
    options.map((option) => Array.isArray(option) ? option : [option, option]).map(([key, text]) => h("option", { value: key, "data-key": key || "any", selected: key === value }, text)));
}
