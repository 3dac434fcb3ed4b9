// Lines over time, with axes, units and a legend that shows the values under the cursor.
//
// Lines differ in dash and mark as well as in colour. The cursor is moved with the pointer or with the arrow keys, and stands at the same
// moment in all charts. Whoever cannot see it, or wants the numbers, has them as a table.

import { h, s } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 156;
const EDGE = { left: 46, right: 12, top: 10, bottom: 22 };

/**
 * A chart.
 *
 * - `id`, `title`, `unit`: what it is; `format`: how its values are written
 * - `times`: the moments, at even distances, oldest first; `series`: `{ name, values, style }`, with `null` where nothing is known
 * - `width`: in CSS pixels; `cursor`: the moment that is looked at; `onCursor`: called with another one
 * - `asTable`, `onTable`: whether the numbers are shown instead
 */
export function chart({ id, title, unit, format, times, series, width, cursor, onCursor, asTable, onTable, empty }) {
  const last = times.length - 1;
  const at = cursor === undefined ? last : nearest(times, cursor);
  const known = series.filter((line) => line.values.some((value) => value !== null));
  const heading = h("div", { class: "chart-head" },
    h("h2", { id: `${id}-title` }, title, " ", h("span", { class: "unit" }, unit)),
    h("button", { type: "button", class: "quiet", "aria-pressed": String(asTable), "aria-label": `${title}: show as table`, onclick: onTable }, "Table"));
  if (known.length === 0) {
    return h("figure", { class: "panel chart", "data-key": id }, heading, h("p", { class: "empty chart-empty" }, empty ?? "No requests in this time."));
  }
  const legend = h("ul", { class: "legend" }, known.map((line) => h("li", { "data-key": line.name },
    swatch(line.style), h("span", { class: "name", title: line.name }, line.name), h("span", { class: "number" }, format(line.values[at] ?? NaN)))));
  return h("figure", { class: "panel chart", "data-key": id }, heading,
    asTable ? table(title, times, known, format) : plot({ id, title, unit, format, times, known, width, at, cursor, onCursor }), legend);
}

function plot({ id, title, unit, format, times, known, width, at, cursor, onCursor }) {
  const last = times.length - 1;
  const inner = { width: Math.max(60, width - EDGE.left - EDGE.right), height: HEIGHT - EDGE.top - EDGE.bottom };
  const highest = Math.max(...known.flatMap((line) => line.values.filter((value) => Number.isFinite(value))), 0);
  const steps = ticks(highest);
  const top = steps.at(-1);
  const x = (index) => EDGE.left + (last === 0 ? inner.width : (index / last) * inner.width);
  const y = (value) => EDGE.top + inner.height * (1 - Math.min(value, top) / top);
  const spoken = known.map((line) => `${line.name} ${format(line.values[at] ?? NaN)}`).join(", ");
  const move = (index) => onCursor(times[Math.max(0, Math.min(last, index))]);
  return s("svg", {
    class: "plot", viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "slider", tabindex: 0, "data-chart": id,
    "aria-labelledby": `${id}-title`, "aria-valuemin": 0, "aria-valuemax": last, "aria-valuenow": at, "aria-valuetext": `${clock(times[at])}: ${spoken}`,
    onpointermove: (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      move(Math.round(((event.clientX - box.left) / box.width * width - EDGE.left) / inner.width * last));
    },
    onpointerleave: () => onCursor(undefined),
    onblur: () => onCursor(undefined),
    onkeydown: (event) => {
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, PageUp: at - 10, PageDown: at + 10 }[event.key];
      if (to !== undefined) move(to);
      else if (event.key === "Escape") onCursor(undefined);
      else return;
      event.preventDefault();
    },
  },
    steps.map((step) => s("g", { "data-key": `y${step}` },
      s("line", { class: step === 0 ? "axis" : "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(step), y2: y(step) }),
      s("text", { class: "label", x: EDGE.left - 6, y: y(step) + 3.5, "text-anchor": "end" }, brief(format(step))))),
    moments(times, inner.width).map(({ index, text }) => s("g", { "data-key": `x${text}` },
      s("line", { class: "axis", x1: x(index), x2: x(index), y1: HEIGHT - EDGE.bottom, y2: HEIGHT - EDGE.bottom + 4 }),
      s("text", { class: "label", x: Math.min(x(index), width - 16), y: HEIGHT - 5, "text-anchor": "middle" }, text))),
    known.map((line) => s("g", { class: `line ${line.style}`, "data-key": line.name },
      s("path", { d: path(line.values, x, y) }),
      alone(line.values).map((index) => s("circle", { class: "dot", cx: x(index), cy: y(line.values[index]), r: 1.5 })),
      Number.isFinite(line.values[at]) && mark(line.style, x(at), y(line.values[at])))),
    cursor !== undefined && s("g", { class: "cursor", "data-key": "cursor" },
      s("line", { x1: x(at), x2: x(at), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }),
      s("text", { class: "label", x: Math.min(Math.max(x(at), EDGE.left + 24), width - EDGE.right - 24), y: 8, "text-anchor": "middle" }, clock(times[at]))));
}

function table(title, times, known, format) {
  const rows = times.map((time, index) => ({ time, index })).reverse();
  return h("div", { class: "scroll chart-table", tabindex: 0, role: "region", "aria-label": `${title}, as table` },
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), known.map((line) => h("th", { scope: "col", class: "number" }, line.name)))),
      h("tbody", {}, rows.map(({ time, index }) => h("tr", { "data-key": String(time) }, h("th", { scope: "row" }, clock(time)),
        known.map((line) => h("td", { class: "number" }, line.values[index] === null ? "–" : format(line.values[index]))))))));
}

/** A small line without axes, for rows of tables. */
export function spark(values, style = "s0") {
  const [width, height] = [72, 18];
  const top = Math.max(...values.filter(Number.isFinite), 0);
  const x = (index) => 1 + (index / Math.max(1, values.length - 1)) * (width - 2);
  const y = (value) => height - 2 - (top === 0 ? 0 : (value / top) * (height - 4));
  return s("svg", { class: `spark line ${style}`, viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, s("path", { d: path(values, x, y) }));
}

/** What a line looks like, for its legend. */
function swatch(style) {
  return s("svg", { class: `swatch line ${style}`, viewBox: "0 0 22 10", width: 22, height: 10, "aria-hidden": "true" }, s("path", { d: "M1 5H21" }), mark(style, 11, 5));
}

function mark(style, x, y) {
  const shapes = {
    s0: `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z`,
    s1: `M${x - 3} ${y - 3}h6v6h-6Z`,
    s2: `M${x} ${y - 4}l4 7h-8Z`,
    s3: `M${x} ${y - 4}l4 4l-4 4l-4 -4Z`,
    s4: `M${x} ${y + 4}l4 -7h-8Z`,
    other: `M${x - 3} ${y - 1}h6v2h-6Z`,
  };
  return s("path", { class: "mark", d: shapes[style] ?? shapes.other });
}

function path(values, x, y) {
  let pen = "M";
  let drawn = "";
  values.forEach((value, index) => {
    if (Number.isFinite(value)) {
      drawn += `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    } else {
      pen = "M";
    }
  });
  return drawn;
}

// The places of values that have no neighbours: a line would not show them.
function alone(values) {
  return values.flatMap((value, index) => Number.isFinite(value) && !Number.isFinite(values[index - 1]) && !Number.isFinite(values[index + 1]) ? [index] : []);
}

function nearest(times, moment) {
  let best = 0;
  times.forEach((time, index) => {
    if (Math.abs(time - moment) < Math.abs(times[best] - moment)) best = index;
  });
  return best;
}

/** `1.50 s` is `1.5 s` on an axis. */
function brief(text) {
  return text.replace(/\.(\d*?)0+(?=$| )/, (_, left) => (left ? `.${left}` : ""));
}

/** Round numbers from 0 to at least this one, at most five of them. */
function ticks(highest) {
  if (!(highest > 0)) return [0, 1];
  const raw = highest / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= raw * 0.999);
  return Array.from({ length: Math.ceil(highest / step - 0.001) + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

/** Where the time axis is labelled: at round times, as many as there is room for. */
function moments(times, width) {
  const [from, to] = [times[0], times.at(-1)];
  const minutes = [1, 2, 5, 10, 15, 30, 60, 120, 360, 720].find((minutes) => (to - from) / (minutes * 60_000) <= width / 64) ?? 1440;
  const step = minutes * 60_000;
  const shift = new Date(from).getTimezoneOffset() * 60_000;
  const found = [];
  for (let moment = Math.ceil((from - shift) / step) * step + shift; moment <= to; moment += step) {
    const index = (moment - from) / (to - from) * (times.length - 1);
    if (Number.isFinite(index)) found.push({ index, text: clock(moment, false) });
  }
  return found;
}
