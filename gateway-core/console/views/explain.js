// Type a request, see the way it would go.

import { h } from "../dom.js";
import { milliseconds } from "../format.js";
import { chip, field, kindOf, panel, table } from "../parts.js";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export function explain(app) {
  const { form, running, error, value } = app.explanation;
  const text = (name, properties) => h(name === "headers" ? "textarea" : "input", {
    id: `explain-${name}`, name, spellcheck: "false", autocomplete: "off", autocapitalize: "off", value: form[name],
    oninput: (event) => (form[name] = event.target.value), ...properties,
  });
  const result = [
    error && h("p", { class: "failure", role: "alert" }, h("strong", {}, error.title), " ", error.detail),
    value && [way(value), candidates(value), sent(value), answer(value), assumed(value)],
  ];
  return [
    panel({ id: "explain", title: "Explain a request", hint: "Nothing is sent to an upstream: the gateway says what it would do." },
      h("form", { class: "explain-form", onsubmit: (event) => { event.preventDefault(); app.explain(); } },
        field({ id: "explain-method", label: "Method" }, h("select", { id: "explain-method", name: "method", value: form.method, onchange: (event) => (form.method = event.target.value) },
          METHODS.map((method) => h("option", { value: method, "data-key": method, selected: method === form.method }, method)))),
        field({ id: "explain-url", label: "URL, with scheme and host" }, text("url", { type: "url", required: true, placeholder: "https://api.example.com/orders/7" })),
        field({ id: "explain-headers", label: "Header fields, one a line" }, text("headers", { rows: 3, placeholder: "Accept: application/json" })),
        field({ id: "explain-client_address", label: "Client's address" }, text("client_address", { type: "text", placeholder: "127.0.0.1" })),
        h("div", { class: "actions" }, h("button", { type: "submit", class: "main", disabled: running }, running ? "Asking …" : "Explain")))),
    h("div", { id: "explanation", "aria-live": "polite", "data-key": "explanation" }, result),
  ];
}

/** In one line: what becomes of it. */
function way({ request, match, upstream, answer }) {
  const step = (title, text) => h("li", {}, h("span", { class: "hint" }, title), h("b", {}, text));
  return panel({ id: "way", title: "The way it goes", tools: answer?.status && chip(kindOf(answer.status), String(answer.status)) },
    h("ol", { class: "way" },
      request && step("Request", `${request.method} ${request.path}`),
      step("Route", match ? match.route : "none takes it"),
      match?.calls && step("Calls", match.calls),
      upstream ? step("Upstream", upstream.name ?? "–") : step("Answer", answer ? `${answer.status}, from the gateway itself` : "none"),
      upstream && step("Sent", `${upstream.method} ${upstream.url}`)));
}

function candidates({ candidates, match }) {
  return panel({ id: "candidates", title: "Routes that were asked", hint: "In this order." }, table({
    id: "candidates-table", caption: "Candidates", rows: candidates, key: (row, index) => `${index}`, empty: "No route has such a host and path.",
    columns: [
      { name: "Route", main: true, cell: (row) => row.route },
      { name: "Path", cell: (row) => h("code", {}, row.path) },
      { name: "Outcome", cell: (row) => row.unmet ? chip("idle", "does not fit") : row.route === match?.route ? chip("good", "takes it") : chip("idle", "not asked") },
      { name: "Why not", wide: true, cell: (row) => row.unmet ?? "–" },
    ],
  }));
}

function sent({ match, upstream }) {
  const parameters = Object.entries(match?.parameters ?? {});
  if (!upstream && parameters.length === 0) return undefined;
  return panel({ id: "sent", title: "What is sent" },
    h("dl", { class: "facts" },
      parameters.map(([name, value]) => fact(`parameter ${name}`, value)),
      upstream && [
        fact("request", `${upstream.method} ${upstream.url}`), upstream.host && fact("host", upstream.host),
        upstream.targets && fact("targets", upstream.targets.join(", ")), upstream.timeout_ms && fact("timeout", milliseconds(upstream.timeout_ms)),
        upstream.headers.map((edit, index) => fact(`${edit.edit} field`, edited(edit), `h${index}`)),
        (upstream.response_headers ?? []).map((edit, index) => fact(`${edit.edit} field of the answer`, edited(edit), `r${index}`)),
      ]));
}

function answer({ upstream, answer, log }) {
  const notes = log.map(({ problem, detail }, index) => fact(problem, detail, `l${index}`));
  if ((upstream || !answer) && notes.length === 0) return undefined;
  return panel({ id: "answered", title: "What the gateway says itself" }, h("dl", { class: "facts" },
    !upstream && answer && [fact("status", String(answer.status)), answer.headers.map((edit, index) => fact("field", edited(edit), `a${index}`)), answer.body && fact("body", answer.body)], notes));
}

function assumed({ placeholders }) {
  return placeholders.length > 0 && panel({ id: "assumed", title: "What was assumed" },
    h("dl", { class: "facts" }, placeholders.map(({ reference, value }) => fact(reference, value))));
}

const edited = ({ name, value }) => (value === null || value === undefined ? name : `${name}: ${value}`);

function fact(name, value, key = name) {
  return h("div", { "data-key": key }, h("dt", {}, name), h("dd", {}, value));
}
