// Changes: what each of them asks of the gateway, and the question before it.

import { h } from "./dom.js";

/** By name: what it is called, what it will do, and the request. */
const CHANGES = {
  purge: {
    title: "Purge caches", verb: "Purge", tell: ({ everything, soft, ...what }) => `${everything ? "Everything" : Object.values(what).flat().join("\n")}\n${soft ? "becomes stale" : "is gone"} in every cache.`,
    done: "Purged.", request: (details, body) => ({ method: "POST", path: "purge", body: { ...details, ...body } }),
  },
  drain: {
    title: "Drain a target", verb: "Drain", tell: ({ upstream, target }) => `${target} of ${upstream} gets no more requests. What is under way goes on.`,
    done: "Drained.", request: ({ upstream, target }, body) => ({ method: "PUT", path: "upstreams/{}/targets/{}/drain", parts: [upstream, target], body }),
  },
  undrain: {
    title: "Return a target", verb: "Return", tell: ({ upstream, target }) => `${target} of ${upstream} gets requests again.`,
    done: "Returned.", request: ({ upstream, target }) => ({ method: "DELETE", path: "upstreams/{}/targets/{}/drain", parts: [upstream, target] }),
  },
  begin_maintenance: {
    title: "Begin maintenance", verb: "Begin", danger: true, tell: ({ route }) => `Every request of ${route} is answered with 503.`, retries: true,
    done: "Maintenance begins.", request: ({ route }, body) => ({ method: "PUT", path: "routes/{}/maintenance", parts: [route], body }),
  },
  end_maintenance: {
    title: "End maintenance", verb: "End", tell: ({ route }) => `${route} answers again.`,
    done: "Maintenance ends.", request: ({ route }) => ({ method: "DELETE", path: "routes/{}/maintenance", parts: [route] }),
  },
  revoke: {
    title: "Revoke an API key", verb: "Revoke", danger: true, tell: ({ key, hash, prefix }) => key ? "The key that you typed is refused." : `${hash ?? `Every key that begins with ${prefix}`} is refused.`,
    done: "Revoked.", request: (details, body) => ({ method: "POST", path: "keys/revoke", body: { ...details, ...body } }),
  },
  restore: {
    title: "Restore an API key", verb: "Restore", tell: ({ id }) => `${id} is taken again.`,
    done: "Restored.", request: (details, body) => ({ method: "POST", path: "keys/restore", body: { ...details, ...body } }),
  },
};

/** Asks whether a change is meant, and why; then has it performed with its request. What the gateway refuses stands in the question. */
export function confirm(name, details, perform) {
  const change = CHANGES[name];
  const takesReason = change.request.length > 1;
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: change.danger ? "danger" : "main" }, change.verb);
  const input = (id, label, properties) => h("div", { class: "field" }, h("label", { for: id }, label), h("input", { id, name: id, autocomplete: "off", ...properties }));
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    const { reason, retry } = form.elements;
    const body = { ...(reason?.value && { reason: reason.value }), ...(retry?.value && { retry_after: Number(retry.value) }) };
    go.disabled = true;
    failure.hidden = true;
    try {
      await perform(change.request(details, body), change.done);
      dialog.close();
    } catch (error) {
      failure.replaceChildren(h("strong", {}, error.title ?? "This page has an error."), " ", error.detail ?? error.message);
      failure.hidden = false;
    } finally {
      go.disabled = false;
    }
  } },
    h("h2", { id: "question" }, change.title), h("pre", {}, change.tell(details)),
    takesReason && input("reason", "Reason, for the audit log", { maxlength: 200 }),
    change.retries && input("retry", "Clients should come back after, s", { type: "number", min: 1, max: 604_800 }),
    failure,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  const dialog = h("dialog", { "aria-labelledby": "question" }, form);
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  (form.elements.reason ?? go).focus();
}
