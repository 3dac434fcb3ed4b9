// What follows from what was counted of routes over time: sums, shares, percentiles.
//
// `series` is what api.js makes of `GET series`: `{ step, times, bounds, routes, refusals }`, with the intervals of each route by its name.

/** The intervals of a route, or of all of them together. */
export function intervals(series, route) {
  if (route !== undefined) return series.routes.get(route) ?? series.times.map(() => sum([]));
  return series.times.map((_, index) => sum([...series.routes.values()].map((all) => all[index])));
}

/** Several intervals as one. */
export function sum(intervals) {
  const all = { requests: 0, statuses: [0, 0, 0, 0, 0], refused: 0, durations: [] };
  for (const one of intervals) {
    all.requests += one.requests;
    all.refused += one.refused;
    one.statuses.forEach((count, index) => (all.statuses[index] += count));
    one.durations.forEach((count, index) => (all.durations[index] = (all.durations[index] ?? 0) + count));
  }
  return all;
}

/** How many failed. */
export const failed = (interval) => interval.statuses[4];

/** A share of the requests; `NaN` where there were none. */
export const part = (interval, count) => (interval.requests > 0 ? count / interval.requests : NaN);

/** How long so great a share took at most, in milliseconds: within its class, evenly spread. `null`: there was none. */
export function percentile({ durations }, bounds, share) {
  let left = share * durations.reduce((all, count) => all + count, 0);
  if (left === 0) return null;
  for (const [index, count] of durations.entries()) {
    if (count > 0 && left <= count) {
      // Beyond the last bound nothing is known but that.
      if (index >= bounds.length) return bounds.at(-1);
      const below = index === 0 ? 0 : bounds[index - 1];
      return below + (bounds[index] - below) * (left / count);
    }
    left -= count;
  }
  return bounds.at(-1);
}

/** The names of the routes with the most requests, and those of the others that had any. */
export function busiest(series, most) {
  const totals = [...series.routes].map(([name, all]) => [name, sum(all).requests]).filter(([, requests]) => requests > 0);
  totals.sort(([one, requests], [other, more]) => more - requests || (one < other ? -1 : 1));
  // By name: a route that overtakes another one keeps its colour.
  return { names: totals.slice(0, most).map(([name]) => name).sort(), others: totals.slice(most).map(([name]) => name) };
}
