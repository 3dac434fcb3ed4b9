// The public suite of tests for HTTP caches (npm: http-cache-tests), as far as it is run from here.
//
//   cache-suite.mjs origin         its origin, on a free port of 127.0.0.1, which it prints; ends with its standard input
//   cache-suite.mjs run URL        its client, against the cache at this address in front of that origin; prints for each test its
//                                  suite, kind and result, as JSON

import http from "node:http";
import fetch from "node-fetch";
import handleConfig from "http-cache-tests/server/handle-config.mjs";
import handleState from "http-cache-tests/server/handle-state.mjs";
import handleTest from "http-cache-tests/server/handle-test.mjs";
import { getResults, runTests } from "http-cache-tests/client/runner.mjs";
import { determineTestResult } from "http-cache-tests/lib/display.mjs";
import suites from "http-cache-tests/tests/index.mjs";
import surrogate from "http-cache-tests/tests/surrogate-control.mjs";

// How the suite writes that a test depends on one that failed.
const UNTRIED = "⚪️";

const [what, base] = process.argv.slice(2);
if (what === "origin") origin();
else if (what === "run") await run();
else throw new Error(`it knows no \`${what}\``);

function origin() {
  const handlers = { config: handleConfig, state: handleState, test: handleTest };
  // Its own server listens on every address.
  const server = http.createServer((request, response) => {
    const [, kind, ...rest] = new URL(request.url, "http://origin").pathname.split("/");
    const handler = handlers[kind];
    if (handler) return handler(rest, request, response);
    response.statusCode = 404;
    response.end();
  });
  // What it has to say of the tests is not for us.
  const { log } = console;
  console.log = () => {};
  server.listen(0, "127.0.0.1", () => log(server.address().port));
  process.stdin.resume().on("end", () => process.exit(0));
}

async function run() {
  const all = [...suites, surrogate];
  await runTests(all, fetch, false, base.replace(/\/$/, ""));
  const results = getResults();
  // By the suite's own judgement. What depends on something that this cache does not do says nothing of it, and is left out.
  const judge = (id) => determineTestResult(all, id, results)[2];
  const tests = all.flatMap(({ id: suite, tests }) =>
    tests
      .filter(({ id }) => id in results && judge(id) !== UNTRIED)
      .map(({ id, kind = "required" }) => {
        const passed = results[id] === true;
        return { suite, id, kind, passed, why: passed ? "" : results[id].join(": ") };
      }),
  );
  console.log(JSON.stringify(tests));
  process.exit(0);
}
