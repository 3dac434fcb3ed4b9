// Numbers, durations and moments as people read them. Figures keep their width, so that columns stay aligned.

/** A count: `7`, `1,204`, `48.2 k`, `3.10 M`. */
export function count(number) {
  if (!Number.isFinite(number)) return "–";
  if (Math.abs(number) < 10_000) return Math.round(number).toLocaleString("en");
  const [size, unit] = Math.abs(number) < 1e6 ? [1e3, "k"] : Math.abs(number) < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return `${digits(number / size, 3)} ${unit}`;
}

/** A rate in so many per second: `0`, `0.02`, `3.1`, `412`. */
export function rate(number) {
  if (!Number.isFinite(number)) return "–";
  if (number === 0) return "0";
  if (number < 0.01) return "<0.01";
  if (number < 1) return String(Number(number.toPrecision(2)));
  return number < 10 ? digits(number, 2) : count(number);
}

/** A share of 1 in percent: `0 %`, `0.04 %`, `12 %`. */
export function share(number) {
  if (!Number.isFinite(number)) return "–";
  if (number === 0) return "0 %";
  if (number < 0.0001) return "<0.01 %";
  // What is nearly all of it is not all of it.
  const percent = number > 0.99 && number < 1 ? Math.min(99.9, number * 100) : number * 100;
  return `${percent < 10 || percent === 99.9 || (percent > 99 && percent < 100) ? trimmed(digits(percent, percent < 1 ? 3 : percent < 10 ? 2 : 3)) : Math.round(percent)} %`;
}

/** Milliseconds: `<1 ms`, `42 ms`, `1.31 s`, `2 min`. */
export function milliseconds(number) {
  if (number === Infinity) return "∞";
  if (!Number.isFinite(number)) return "–";
  if (number > 0 && number < 1) return "<1 ms";
  if (number < 1000) return `${Math.round(number)} ms`;
  return number < 60_000 ? `${digits(number / 1000, 3)} s` : span(number);
}

/** A longer time: `42 s`, `5 min`, `3 h`, `2 d`. */
export function span(number) {
  if (!Number.isFinite(number)) return "–";
  const seconds = Math.max(0, Math.round(number / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400 && seconds !== 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** How long ago, or in how long. */
export function ago(moment, now) {
  const passed = now - moment;
  if (!Number.isFinite(passed)) return "–";
  return passed < 0 ? `in ${span(-passed)}` : `${span(passed)} ago`;
}

/** A time of day: `14:03:22`, or `14:03`. */
export function clock(moment, withSeconds = true) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return "–";
  const part = (number) => String(number).padStart(2, "0");
  const text = `${part(date.getHours())}:${part(date.getMinutes())}`;
  return withSeconds ? `${text}:${part(date.getSeconds())}` : text;
}

/** The same with its date, for titles. */
export function moment(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : date.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}

/** Milliseconds since the epoch, from a number or from RFC 3339. */
export function toMoment(value) {
  return typeof value === "number" ? value : Date.parse(value);
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

function digits(number, figures) {
  const before = Math.max(1, Math.floor(Math.log10(Math.abs(number) || 1)) + 1);
  return number.toFixed(Math.max(0, figures - before));
}
