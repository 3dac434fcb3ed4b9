// What can be changed while the gateway runs, and what was.

import { h } from "../dom.js";
import { ago, moment, span } from "../format.js";
import { chip, field, given, panel, select, table } from "../parts.js";

export function changes(app) {
  const within = app.data.session?.value?.effective_within_ms;
  return [
    app.mayWrite
      ? h("p", { class: "hint", "data-key": "within" }, `A change is in effect in every instance after ${span(within)} at most.`)
      : h("p", { class: "note", "data-key": "read-only" }, chip("idle", "read only"), " This token may look, but not change anything."),
    app.mayWrite && h("div", { class: "columns", "data-key": "forms" }, purge(app), revoke(app)),
    maintenance(app),
    keys(app),
    audit(app),
  ];
}

function purge(app) {
  const { form } = app;
  const kinds = [["urls", "these URLs"], ["prefixes", "what begins with"], ["tags", "what has these tags"], ["everything", "everything"]];
  return panel({ id: "purge", title: "Purge caches" },
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      const lines = form.purge.split("\n").map((line) => line.trim()).filter(Boolean);
      app.propose("purge", { ...(form.kind === "everything" ? { everything: true } : { [form.kind]: lines }), soft: form.soft });
    } },
      field({ id: "purge-kind", label: "Take back" }, select({ id: "purge-kind", value: form.kind, options: kinds, onchange: (kind) => { form.kind = kind; app.set({}); } })),
      form.kind !== "everything" && field({ id: "purge-what", label: "One a line" }, h("textarea", {
        id: "purge-what", rows: 3, required: true, spellcheck: "false", autocapitalize: "off", value: form.purge, oninput: (event) => (form.purge = event.target.value),
        placeholder: { urls: "https://shop.example/catalogue", prefixes: "https://shop.example/images/", tags: "product-7" }[form.kind],
      })),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: form.soft, onchange: (event) => (form.soft = event.target.checked) }), " Soft: stale from now on, but not gone"),
      h("div", { class: "actions" }, h("button", { type: "submit" }, "Purge …"))));
}

function revoke(app) {
  const { form } = app;
  const kinds = [["prefix", "every key shown as"], ["key", "this very key"], ["hash", "the key with this SHA-256"]];
  return panel({ id: "revoke", title: "Revoke an API key" },
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      app.propose("revoke", { [form.by]: form.key.trim() });
    } },
      field({ id: "revoke-by", label: "Refuse" }, select({ id: "revoke-by", value: form.by, options: kinds, onchange: (by) => { form.by = by; app.set({}); } })),
      field({ id: "revoke-key", label: { prefix: "Its first characters, as logs show them", key: "The key; only its hash is kept", hash: "64 hexadecimal digits" }[form.by] }, h("input", {
        id: "revoke-key", type: form.by === "key" ? "password" : "text", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off",
        minlength: form.by === "prefix" ? 4 : undefined, pattern: form.by === "hash" ? "[0-9a-f]{64}" : undefined,
        value: form.key, oninput: (event) => (form.key = event.target.value),
      })),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "danger" }, "Revoke …"))));
}

function maintenance(app) {
  const { length, total } = app.data.routes?.value ?? [];
  const hint = `In maintenance, every request of a route is answered with 503.${total > length ? ` These are the first ${length} of ${total}.` : ""}`;
  return panel({ id: "maintenance", title: "Routes", hint }, given(app.data.routes, (rows) => table({
    id: "maintenance-table", caption: "Routes and whether they are in maintenance", rows, key: (row) => row.name, empty: "This configuration has no routes.",
    columns: [
      { name: "Route", main: true, cell: (row) => row.name },
      { name: "Path", wide: true, cell: (row) => h("code", {}, row.paths.join(", ")) },
      { name: "Does", cell: (row) => row.upstream ? `→ ${row.upstream}` : row.action },
      { name: "Policies", wide: true, cell: (row) => row.policies.join(", ") || "–" },
      { name: "State", cell: ({ maintenance }) => maintenance
        ? chip("warn", `maintenance, by ${maintenance.by} ${ago(maintenance.since, app.now)}`, maintenance.reason ?? undefined) : chip("good", "answers") },
      ...(app.mayWrite ? [{ name: "Change", number: true, cell: (row) => h("button", {
        type: "button", class: "small", "aria-label": row.maintenance ? `End maintenance of ${row.name}` : `Begin maintenance of ${row.name}`,
        onclick: () => app.propose(row.maintenance ? "end_maintenance" : "begin_maintenance", { route: row.name }),
      }, row.maintenance ? "End" : "Maintenance") }] : []),
    ],
  })));
}

function keys(app) {
  return panel({ id: "keys", title: "Revoked keys" }, given(app.data.keys, (rows) => table({
    id: "keys-table", caption: "API keys that were revoked here", rows, key: (row) => row.id, empty: "No key was revoked here.",
    columns: [
      { name: "Key", main: true, cell: (row) => h("code", {}, row.kind === "prefix" ? `${row.id} …` : row.id) },
      { name: "Kind", cell: (row) => row.kind },
      { name: "By", cell: (row) => row.by },
      { name: "Reason", wide: true, cell: (row) => row.reason ?? "–" },
      { name: "Since", number: true, cell: (row) => ago(row.since, app.now) },
      ...(app.mayWrite ? [{ name: "Change", number: true, cell: (row) => h("button", {
        type: "button", class: "small", "aria-label": `Restore ${row.id}`, onclick: () => app.propose("restore", { id: row.id }) }, "Restore") }] : []),
    ],
  })));
}

function audit(app) {
  return panel({ id: "audit", title: "Audit log", hint: "Newest first." }, given(app.data.audit, (rows) => table({
    id: "audit-table", caption: "What was changed, and by whom", rows, key: (row) => String(row.sequence), empty: "Nothing was changed yet.",
    columns: [
      { name: "When", cell: (row) => h("time", { title: moment(row.at) }, ago(row.at, app.now)) },
      { name: "What", main: true, cell: (row) => [row.action.replaceAll("_", " "), " ", h("code", {}, row.subject)] },
      { name: "By", cell: (row) => row.from ? `${row.by} from ${row.from}` : row.by },
      { name: "Reason", wide: true, cell: (row) => row.reason ?? "–" },
      { name: "Outcome", cell: (row) => row.failed ? chip("bad", row.failed) : chip("good", "done") },
    ],
  })));
}
