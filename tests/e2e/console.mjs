// The console, used by somebody in a real browser, for tests/e2e/console.rs.
//
//   node console.mjs FACTS
//
// FACTS is JSON: where the gateway is, its tokens, and what the test has sent through it. Every check that fails is told; none that fails
// ends the others of its part.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { open } from "./chromium.mjs";

const facts = JSON.parse(process.argv[2]);
const { gateway, admin, write, read, sent } = facts;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = ["overview", "upstreams", "callers", "requests", "errors", "explain", "changes"];
// Longer than anything takes to be told, and to be in effect.
const PATIENCE = 60_000;

const browsers = new Set();

/** A browser at the page, with an eye on all that it does. */
async function begin() {
  const browser = await open();
  browsers.add(browser);
  const page = await browser.newPage();
  const seen = { requests: [], complaints: [] };
  page.on("request", (request) => seen.requests.push(request));
  page.on("console", (message) => {
    const where = message.location()?.url ?? "";
    if (message.type() === "error" || message.type() === "warn") seen.complaints.push(`${message.text()} ${where}`);
  });
  page.on("pageerror", (error) => seen.complaints.push(`${error.stack ?? error}`));
  page.setDefaultTimeout(PATIENCE);
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(`${gateway}${admin}/console`);
  await page.waitForSelector("#token");
  return { page, seen };
}

/** Nothing went elsewhere, no token stood in an address, nothing went wrong that was not meant to (`refused`: answers that the test provoked). */
function behaved({ seen }, refused = []) {
  for (const request of seen.requests) {
    const url = request.url();
    // The icon stands in the page itself.
    assert.ok(url.startsWith(`${gateway}${admin}/`) || url.startsWith("data:image/svg+xml,"), `a request to ${url}`);
    assert.ok(!url.includes(write) && !url.includes(read), `a token in ${url}`);
  }
  const complaints = seen.complaints.filter((text) => !refused.some((status) => text.includes(`status of ${status} `)));
  assert.deepEqual(complaints, []);
}

async function signIn(page, token) {
  await page.type("#token", token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#session");
}

async function go(page, view) {
  await page.evaluate((view) => (location.hash = view), view);
  await page.waitForSelector(`main[data-key=${view}]`);
  await page.waitForFunction(() => !document.querySelector("main .loading"));
}

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);

/** The cell of a table by its row and column. */
const cell = (page, row, column) => page.$$eval("tr", (rows, row, column) => {
  const found = rows.find((one) => one.dataset.key === row);
  return [...(found?.children ?? [])].find((one) => one.dataset.label === column)?.textContent;
}, row, column);

const until = (page, what, check, ...given) => page.waitForFunction(check, { timeout: PATIENCE, polling: 200 }, ...given).catch((error) => {
  throw new Error(`${what}: ${error.message}`);
});

/** Presses Tab until this has the focus. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 150; presses++) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector), selector)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${selector} cannot be reached by Tab`);
}

const ask = (method, path, token, body) => fetch(`${gateway}${path}`, {
  method, headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body && { "content-type": "application/json" }) }, body: body && JSON.stringify(body),
});

const PARTS = {
  /** Without a token there is a page, and nothing else. */
  async "nothing without the credential"() {
    const session = await begin();
    const { page } = session;
    assert.equal(await page.$("main table, nav"), null);
    await page.type("#token", "a guess");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#refused");
    assert.equal(await page.$("#session"), null);
    assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
    behaved(session, [401]);
  },

  /** Whoever may only look sees the same, but no buttons; and would be refused. */
  async "a token that may only read"() {
    const session = await begin();
    const { page } = session;
    await signIn(page, read);
    assert.match(await text(page, "#session"), /read only/);
    await go(page, "upstreams");
    await page.waitForSelector("main table");
    assert.equal(await page.$("main td button"), null);
    await go(page, "changes");
    await page.waitForSelector("[data-key=maintenance] table");
    assert.equal(await page.$("[data-key=forms], [data-key=maintenance] td button"), null);
    assert.match(await text(page, "[data-key=read-only]"), /may look/);
    behaved(session);
    const target = encodeURIComponent(facts.targets[0]);
    for (const [method, path, body] of [
      ["POST", "purge", { everything: true }], ["PUT", `upstreams/shop/targets/${target}/drain`], ["PUT", "routes/orders/maintenance"], ["POST", "keys/revoke", { prefix: facts.key.slice(0, 8) }],
    ]) {
      assert.equal((await ask(method, `${admin}/${path}`, undefined, body)).status, 401, `${method} ${path} without a token`);
      assert.equal((await ask(method, `${admin}/${path}`, read, body)).status, 403, `${method} ${path} with a token that may read`);
    }
    const { upstreams } = await (await ask("GET", `${admin}/upstreams`, read)).json();
    assert.ok(upstreams.every(({ targets }) => targets.every(({ drain }) => drain === null)), "nothing is drained");
    const { routes } = await (await ask("GET", `${admin}/routes`, read)).json();
    assert.ok(routes.every(({ maintenance }) => maintenance === null), "no route is in maintenance");
  },

  /** The numbers are those of what was sent. */
  async "the traffic that the test made"() {
    const session = await begin();
    const { page } = session;
    await signIn(page, write);
    for (const [route, requests] of Object.entries(sent)) {
      await until(page, `${requests} requests of ${route}`, (route, requests) => {
        const row = document.querySelector(`tr[data-key="route-${route}"]`);
        return [...(row?.children ?? [])].find((one) => one.dataset.label === "Requests")?.textContent === String(requests);
      }, route, requests);
    }
    assert.equal(await cell(page, "route-broken", "5xx"), `${sent.broken} (100 %)`);
    assert.equal(await cell(page, "route-private", "Refused"), String(facts.refused));
    // The charts have lines, axes with figures, and a legend that names the routes.
    for (const id of ["traffic", "latency", "errors", "refusals"]) await page.waitForSelector(`svg[data-chart=${id}]`);
    const legend = await page.$$eval("[data-key=traffic] .legend .name", (names) => names.map((name) => name.textContent));
    assert.ok(legend.includes("orders") && legend.includes("broken"), `the legend has ${legend}`);
    assert.ok(await page.$$eval("svg[data-chart=traffic] .label", (labels) => labels.length) >= 5, "the axes have labels");
    const styles = await page.$$eval("svg[data-chart=traffic] .line", (lines) => lines.map((line) => getComputedStyle(line).strokeDasharray));
    assert.equal(new Set(styles).size, styles.length, "lines differ in their dashes, too");
    // One route, and what it consists of.
    await page.click("tr[data-key=route-broken] button");
    await until(page, "only the chosen route", () => document.querySelector("[data-key=errors] .legend .name")?.textContent === "5xx");
    await page.select("#route", "*");
    // The numbers, as a table.
    await page.click("[data-key=traffic] .chart-head button");
    await page.waitForSelector("[data-key=traffic] .chart-table td");
    await page.click("[data-key=traffic] .chart-head button");
    // A day.
    await page.click("[data-key='10m']");
    await until(page, "the day", (requests) => document.querySelector('tr[data-key="route-orders"] td')?.textContent === requests, String(sent.orders));

    await go(page, "requests");
    await until(page, "a request in the tail", () => document.querySelectorAll("[data-key=requests-table] tbody tr").length > 3);
    await page.type("#requests-path_prefix", "/broken");
    await page.keyboard.press("Enter");
    await until(page, "only what fits", () => {
      const paths = [...document.querySelectorAll("[data-key=requests-table] .path")];
      return paths.length > 0 && paths.every((path) => path.textContent.includes("/broken"));
    });
    await page.click("[data-key=requests-table] .path");
    await page.waitForSelector(".below .facts");
    await go(page, "errors");
    await until(page, "errors", () => document.querySelector("[data-key=errors-table] tbody")?.textContent.includes("/broken"));
    await go(page, "callers");
    await until(page, "the consumer", () => document.querySelector("[data-key=consumers-table]")?.textContent.includes("alice"));
    assert.equal(await cell(page, "alice", "Requests"), String(facts.alice));
    await until(page, "the limit", () => document.querySelector("[data-key=limits-table]")?.textContent.includes("scarce"));
    behaved(session);
  },

  /** From the token to the explanation without a mouse. */
  async "by keyboard alone"() {
    const session = await begin();
    const { page } = session;
    assert.equal(await page.evaluate(() => document.activeElement.id), "token", "the token is asked for");
    await page.keyboard.type(write);
    await page.keyboard.press("Enter");
    await page.waitForSelector("svg[data-chart=traffic]");
    // The first Tab of a page offers the way past the navigation.
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement.classList.contains("skip")));
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.localName), "h1");
    // The cursor of a chart.
    await tabTo(page, "svg[data-chart=traffic]");
    const before = Number(await page.$eval("svg[data-chart=traffic]", (chart) => chart.getAttribute("aria-valuenow")));
    await page.keyboard.press("ArrowLeft");
    await until(page, "the cursor moves", (before) => Number(document.querySelector("svg[data-chart=traffic]").getAttribute("aria-valuenow")) === before - 1, before);
    assert.match(await page.$eval("svg[data-chart=traffic]", (chart) => chart.getAttribute("aria-valuetext")), /^\d\d:\d\d:\d\d: .*orders/);
    await page.keyboard.press("Escape");
    // What has the focus keeps it while numbers come in.
    await new Promise((resolve) => setTimeout(resolve, 6000));
    assert.equal(await page.evaluate(() => document.activeElement.dataset.chart), "traffic");
    await page.evaluate(() => document.querySelector("main h1").focus());
    for (let presses = 0; presses < 12 && !(await page.evaluate(() => document.activeElement.hash === "#explain")); presses++) {
      await page.keyboard.down("Shift");
      await page.keyboard.press("Tab");
      await page.keyboard.up("Shift");
    }
    await page.keyboard.press("Enter");
    await page.waitForSelector("main[data-key=explain]");
    await tabTo(page, "#explain-url");
    await page.keyboard.type("http://shop.example/orders/7?a=b");
    await tabTo(page, "#explain-headers");
    await page.keyboard.type("X-Test: yes");
    await tabTo(page, "button.main");
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-key=way]");
    const way = await text(page, "[data-key=way]");
    assert.ok(way.includes("orders") && way.includes("shop") && way.includes("/orders/7?a=b"), way);
    assert.ok((await text(page, "[data-key=candidates-table]")).includes("takes it"));
    // One that goes nowhere.
    await page.$eval("#explain-url", (input) => input.select());
    await page.type("#explain-url", "http://shop.example/nothing");
    await page.keyboard.press("Enter");
    await until(page, "no route", () => document.querySelector("[data-key=way]")?.textContent.includes("none takes it"));
    behaved(session);
  },

  /** Purge, drain, maintenance, revoke: each is asked about once more, has an effect, and stands in the audit log. */
  async "changes"() {
    const session = await begin();
    const { page } = session;
    await signIn(page, write);
    const within = (await (await ask("GET", `${admin}/session`, write)).json()).effective_within_ms;
    // In the instance that was told, at once; in others, within this time.
    const eventually = async (what, find, wanted) => {
      const deadline = Date.now() + within + 1000;
      let found = await find();
      while (JSON.stringify(found) !== JSON.stringify(wanted) && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        found = await find();
      }
      assert.deepEqual(found, wanted, what);
    };
    const confirm = async (reason) => {
      await page.waitForSelector("dialog[open]");
      if (reason) await page.type("#reason", reason);
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => !document.querySelector("dialog"));
    };

    // What is stored comes from the cache, until it is taken back.
    const stored = async () => (await fetch(`${gateway}/cached/a`)).text();
    await stored();
    await eventually("it is stored", async () => (await stored()) === (await stored()), true);
    const kept = await stored();
    await go(page, "changes");
    await page.type("#purge-what", `${gateway}/cached/a`);
    await page.click("[data-key=purge] button[type=submit]");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => !document.querySelector("dialog"));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(await stored(), kept, "whoever steps back changes nothing");
    await page.click("[data-key=purge] button[type=submit]");
    await confirm("wrong price");
    await until(page, "it says so", () => document.querySelector(".notice")?.textContent.includes("Purged"));
    const { entries } = await (await ask("GET", `${admin}/audit`, write)).json();
    assert.deepEqual(entries.map(({ subject }) => subject), [`url ${gateway}/cached/a`], "what was typed is what is purged, once");
    await eventually("it is fetched anew", async () => (await stored()) !== kept, true);

    // A target gets no more requests, and gets them again.
    const target = facts.targets[0];
    const served = async () => {
      const answers = await Promise.all(Array.from({ length: 12 }, () => fetch(`${gateway}/orders/1`)));
      return [...new Set(answers.map((answer) => answer.headers.get("x-target")))].sort();
    };
    assert.deepEqual(await served(), ["one", "two"]);
    await go(page, "upstreams");
    await page.click(`button[aria-label="Drain ${target} of shop"]`);
    await confirm("disk is full");
    await until(page, "it is drained", (target) => document.querySelector(`tr[data-key="${target}"]`)?.textContent.includes("drained"), target);
    await eventually("it gets no requests", served, ["two"]);
    await page.click(`button[aria-label="Return ${target} of shop"]`);
    await confirm();
    await until(page, "it is back", (target) => document.querySelector(`tr[data-key="${target}"]`)?.textContent.includes("in rotation"), target);
    await eventually("it gets requests again", served, ["one", "two"]);

    // A route is in maintenance.
    await go(page, "changes");
    await page.click("button[aria-label='Begin maintenance of orders']");
    await confirm("moving house");
    await until(page, "it is in maintenance", () => document.querySelector("tr[data-key=orders]")?.textContent.includes("maintenance, by"));
    const status = async () => (await fetch(`${gateway}/orders/1`)).status;
    await eventually("it answers 503", status, 503);
    await page.click("button[aria-label='End maintenance of orders']");
    await confirm();
    await eventually("it answers", status, 200);

    // A key is refused.
    const call = async () => (await fetch(`${gateway}/private`, { headers: { "x-api-key": facts.key } })).status;
    assert.equal(await call(), 200);
    await page.select("#revoke-by", "key");
    await page.waitForSelector("#revoke-key[type=password]");
    await page.type("#revoke-key", facts.key);
    await page.click("[data-key=revoke] button[type=submit]");
    await confirm("lost laptop");
    await until(page, "it is revoked", () => document.querySelector("[data-key=keys] tbody tr"));
    await eventually("it is refused", call, 401);
    assert.ok(!(await text(page, "body")).includes(facts.key), "the key is not shown");
    await page.click("[data-key=keys] td button");
    await confirm();
    await eventually("it is taken", call, 200);

    await until(page, "the audit log", () => document.querySelectorAll("[data-key=audit-table] tbody tr").length >= 7);
    const audit = await text(page, "[data-key=audit-table]");
    for (const word of ["purge", "drain", "undrain", "maintenance", "revoke", "restore", "wrong price", "disk is full", "moving house", "lost laptop", "operator"]) {
      assert.ok(audit.includes(word), `the audit log tells of ${word}: ${audit}`);
    }

    // Whoever comes back is still there; whoever has signed out is not.
    await page.reload();
    await page.waitForSelector("#session");
    assert.ok(!page.url().includes(write));
    await page.click(".who button");
    await page.waitForSelector("#token");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.equal(await page.$("main table"), null);
    behaved(session);
  },

  /** No serious violation, in light and dark, on a desk and on a phone; and nothing stands out of the screen. */
  async "for everybody"() {
    const session = await begin();
    const { page } = session;
    const judge = async (where) => {
      // As a debugger would: the page's own policy keeps scripts out.
      const { violations } = await page.evaluate(`${AXE}; axe.run(document, { resultTypes: ["violations"] })`);
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`), []);
      const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide[0] <= wide[1], `${where}: ${wide[0]} px wide on ${wide[1]}`);
    };
    for (const scheme of ["light", "dark"]) {
      for (const [width, height] of [[1280, 900], [360, 740]]) {
        await page.setViewport({ width, height });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        await page.evaluate(() => document.querySelector(".who button")?.click());
        await page.waitForSelector("#token");
        await judge(`sign-in, ${scheme}, ${width}`);
        await signIn(page, write);
        for (const view of VIEWS) {
          await go(page, view);
          if (view === "overview") await page.waitForSelector("svg[data-chart=traffic]");
          if (view === "explain") {
            await page.$eval("#explain-url", (input) => input.select());
            await page.type("#explain-url", "http://shop.example/orders/7");
            await page.keyboard.press("Enter");
            await page.waitForSelector("[data-key=way]").catch(async (error) => {
              const typed = await page.$eval("#explain-url", (input) => input.value);
              throw new Error(`${scheme}, ${width}: no way is shown for "${typed}" (${error.message}), but ${await text(page, "main")}`);
            });
          }
          if (view === "requests") {
            await page.waitForSelector("[data-key=requests-table] .path");
            // Not where it was a moment ago: rows come in.
            await page.$eval("[data-key=requests-table] .path", (path) => path.ariaExpanded === "true" || path.click());
            await page.waitForSelector(".below .facts");
          }
          await judge(`${view}, ${scheme}, ${width}`);
          if (view === "changes") {
            await page.click("button[aria-label='Begin maintenance of orders']");
            await page.waitForSelector("dialog[open]");
            await judge(`dialog, ${scheme}, ${width}`);
            await page.keyboard.press("Escape");
            await page.waitForFunction(() => !document.querySelector("dialog"));
          }
        }
      }
    }
    behaved(session);
  },
};

let failed = 0;
for (const [name, part] of Object.entries(PARTS)) {
  if (facts.only && facts.only !== name) continue;
  try {
    await part();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`failed: ${name}: ${error.stack}`);
  }
  for (const browser of browsers) await browser.close();
  browsers.clear();
}
process.exit(failed === 0 ? 0 : 1);
