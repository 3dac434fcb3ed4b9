// Who calls most, and which limits are nearly used up.

import { h } from "../dom.js";
import { ago, count, share, span } from "../format.js";
import { given, meter, panel, table } from "../parts.js";

export function callers(app) {
  const back = app.data.consumers?.value?.window_ms;
  return [
    panel({ id: "limits", title: "Limits near exhaustion", hint: "Used to at least four fifths, the fullest first." }, given(app.data.limits, (rows) => table({
      id: "limits-table", caption: "Limits and how much of them is used", rows, key: (row) => `${row.limit} ${row.rule} ${row.caller} ${row.route}`, empty: "No limit is near its end.",
      columns: [
        { name: "Limit", main: true, cell: (row) => row.rule && row.rule !== row.limit ? `${row.limit} / ${row.rule}` : row.limit },
        { name: "Caller", cell: (row) => row.caller },
        { name: "Route", cell: (row) => row.route },
        { name: "Used", cell: (row) => meter(row.share, share(row.share), `${row.limit}: ${share(row.share)} used`) },
        { name: "Left", number: true, cell: (row) => `${count(row.remaining)} of ${count(row.of)}` },
        { name: "There again", number: true, cell: (row) => ago(row.resets, app.now) },
        { name: "Seen", number: true, cell: (row) => ago(row.at, app.now) },
      ],
    }))),
    panel({ id: "consumers", title: "Top consumers", hint: back && `By requests, in the last ${span(back)}.` }, given(app.data.consumers, ({ consumers }) => {
      const most = Math.max(...consumers.map((row) => row.requests), 1);
      return table({
        id: "consumers-table", caption: "Consumers by requests", rows: consumers, key: (row) => row.consumer, empty: "Nobody has been identified in this time.",
        columns: [
          { name: "Consumer", main: true, cell: (row) => h("button", {
            type: "button", class: "link", "aria-label": `${row.consumer}: show requests`,
            onclick: () => app.watch({ consumer: row.consumer }),
          }, row.consumer) },
          { name: "Requests", cell: (row) => meter(row.requests / most, count(row.requests), `${count(row.requests)} requests`, "plain") },
          { name: "Errors", number: true, cell: (row) => count(row.errors) },
          { name: "Refused", number: true, cell: (row) => count(row.refused) },
          { name: "Last seen", number: true, cell: (row) => ago(row.last, app.now) },
        ],
      });
    })),
  ];
}
