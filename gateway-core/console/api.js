// Asks the admin interface, which stands one level above this page. The token goes into a header and nowhere else.

const ROOT = new URL("../", document.baseURI);

/** Why nothing came: what the gateway said, or that it did not say anything. */
export class Refused extends Error {
  constructor(status, title, detail) {
    super(`${title} ${detail}`);
    Object.assign(this, { status, title, detail });
  }
}

/** Asks; gives what the answer says. `path` is relative; `{}` in it are filled by `parts`, `query` leaves out what is empty. */
export async function ask(token, method, path, { parts = [], query = {}, body } = {}) {
  let place = 0;
  const url = new URL(path.replaceAll("{}", () => encodeURIComponent(parts[place++])), ROOT);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") url.searchParams.set(name, value);
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(15_000) });
  } catch (error) {
    throw new Refused(0, "The gateway does not answer.", error.name === "TimeoutError" ? "Nothing came within 15 seconds." : "Is the network there?");
  }
  const text = await response.text();
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    throw new Refused(response.status, `Status ${response.status}.`, "The answer is no JSON: something else than the admin interface is here.");
  }
  if (response.ok) return said;
  throw new Refused(response.status, `${said.title ?? `Status ${response.status}`}.`, said.detail ?? "");
}

/** What each view reads: how, and into which shape. */
export const RESOURCES = {
  session: ["session"],
  series: ["series", (app) => ({ resolution: app.range }), filled],
  routes: ["routes", () => ({ limit: 500 }), (said) => Object.assign(said.routes, { total: said.total })],
  upstreams: ["upstreams", undefined, (said) => said.upstreams],
  consumers: ["consumers", () => ({ limit: 20 })],
  limits: ["limits", () => ({ limit: 50 }), (said) => said.limits],
  keys: ["keys", undefined, (said) => said.revoked],
  audit: ["audit", () => ({ limit: 50 }), (said) => said.entries.toReversed()],
};

// The numbers of routes on an even grid of intervals: where nothing came, nothing was said.
function filled({ now, step_ms: step, bounds_ms: bounds, series, refusals }, app) {
  const end = Math.floor(now / step) * step;
  const size = Math.round(RANGES[app.range].span / step);
  const times = Array.from({ length: size }, (_, index) => end - (size - 1 - index) * step);
  const routes = new Map();
  for (const { route, points } of series) {
    const intervals = times.map(() => NOTHING);
    for (const point of points) {
      const index = Math.round((point.at - times[0]) / step);
      if (index >= 0 && index < size) intervals[index] = point;
    }
    routes.set(route ?? "", intervals);
  }
  return { now, step, bounds, times, routes, refusals };
}

const NOTHING = Object.freeze({ requests: 0, statuses: [0, 0, 0, 0, 0], refused: 0, durations: [], duration_ms: 0 });

/** How far charts look back. */
export const RANGES = {
  "10s": { span: 15 * 60_000, text: "15 min" },
  "10m": { span: 24 * 3_600_000, text: "24 h" },
};
