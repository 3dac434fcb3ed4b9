// One request: packs it for the core, does what the core says, and comes back with what happened.

// The codes of src/http.rs.
const RESET = 1;
const TIMEOUT = 2;
const BODY_TOO_LARGE = 3;
const FORBIDDEN = 5;
// Ours alone: nobody hears of it.
const ABANDONED = 99;

export function answer(core, request) {
  const exchange = new Exchange(core, request);
  const { cf } = request;
  const head =
    `${request.method}\n${request.url}\n` +
    // Plain workerd tells the peer here; in production the edge puts it into CF-Connecting-IP, which clients cannot forge there.
    `${cf?.clientIp ?? ""}\n${cf?.country ?? ""}\n${cf?.colo ?? ""}\n`;
  const response = exchange.enter(() => core.begin(head + pack(request.headers), request.body !== null));
  if (response !== undefined) return response;

  // When the client goes away, this code ends without a word, save for this event. The runtime ends the fetches.
  request.signal.addEventListener("abort", () => exchange.vanish());
  return new Promise((resolve) => {
    exchange.resolve = resolve;
  });
}

class Exchange {
  // The core's number for this request while it waits for us.
  number = 0;
  calls = [];
  resolve = undefined;

  constructor(core, request) {
    this.core = core;
    this.life = core.life;
    this.request = request;
  }

  // Lets the core think. Gives the response if there is one now.
  enter(think) {
    try {
      if (this.life !== this.core.life) throw new Error("the gateway was restarted meanwhile");
      this.number = think();
    } catch (error) {
      this.number = 0;
      console.error(`postern: ${error?.stack ?? error}`);
      if (this.life === this.core.life) this.core.restart();
      return failure();
    }
    try {
      return this.perform(this.core.commands.split("\n"));
    } catch (error) {
      // The runtime refuses to build the response that the core wants.
      console.error(`postern: ${error?.stack ?? error}`);
      this.vanish();
      return failure();
    }
  }

  come(call, status, text) {
    // Answered already, or gone.
    if (this.number === 0) return;
    const response = this.enter(() => this.core.resume(this.number, call, status, text));
    if (response !== undefined) this.resolve(response);
  }

  vanish() {
    if (this.number !== 0 && this.life === this.core.life) this.core.forget(this.number);
    this.number = 0;
  }

  // Does what the lines say; those of edits belong to the line before them.
  perform(lines) {
    for (let at = 0; at < lines.length; ) {
      const line = lines[at++];
      const from = at;
      while (at < lines.length && EDITS.includes(lines[at][0])) at++;
      switch (line[0]) {
        case "F":
          this.fetch(line.slice(1).split("\0"), lines, from, at);
          break;
        case "A":
          this.abort(+line.slice(1));
          break;
        case "R":
          return this.reply(line.slice(1).split("\0"), lines, from, at);
        case "!":
          return failure();
      }
    }
  }

  fetch([call, method, url, timeout, limit, body], lines, from, to) {
    const attempt = new Attempt(+timeout);
    this.calls[call] = attempt;
    // Taken now: the core shows something else next time.
    const memory = body === "b" ? this.core.bodyOf(this.number, +call) : null;
    this.send(attempt, method, url, limit, body === "s", memory, lines, from, to).then(
      (response) => {
        attempt.arrive(response);
        this.come(+call, response.status, pack(response.headers));
      },
      (error) => {
        attempt.arrive(undefined);
        if (attempt.givenUp === undefined) this.come(+call, classify(error), String(error));
        else this.come(+call, attempt.givenUp, "ended by the gateway");
      },
    );
  }

  // Async, so that whatever the runtime refuses is an outcome too.
  async send(attempt, method, url, limit, streams, memory, lines, from, to) {
    const { request } = this;
    const { signal } = attempt.controller;
    const headers = edit(new Headers(request.headers), lines, from, to);
    if (streams && (method === "GET" || method === "HEAD")) {
      // Only a copy of the request may carry a body here.
      return fetch(new Request(url, request), { headers, signal, redirect: "manual" });
    }
    const body = !streams ? memory : limit === "" ? request.body : limited(request.body, +limit, attempt);
    return fetch(url, { method, headers, body, signal, redirect: "manual" });
  }

  abort(call) {
    const attempt = this.calls[call];
    attempt.giveUp(ABANDONED);
    attempt.response?.body?.cancel();
  }

  reply([status, call], lines, from, to) {
    if (call === "") {
      const body = this.core.body();
      const headers = edit(new Headers(), lines, from, to);
      return new Response(body.length === 0 ? null : body, { status: +status, headers });
    }
    const { response } = this.calls[call];
    // Untouched: the runtime's own response goes on as it is.
    if (from === to && response.status === +status) return response;
    const headers = edit(new Headers(response.headers), lines, from, to);
    const { body, statusText, webSocket } = response;
    return new Response(body, { status: +status, statusText, headers, webSocket });
  }
}

// One fetch on its way.
class Attempt {
  controller = new AbortController();
  response = undefined;
  // Why we ended it ourselves. The error that the fetch ends with is not the object that it was aborted with.
  givenUp = undefined;

  constructor(timeout) {
    this.timer = setTimeout(() => this.giveUp(TIMEOUT), timeout);
  }

  arrive(response) {
    clearTimeout(this.timer);
    this.response = response;
  }

  giveUp(why) {
    clearTimeout(this.timer);
    this.givenUp = why;
    this.controller.abort();
  }
}

const EDITS = ["=", "+", "-"];

function pack(headers) {
  let text = "";
  headers.forEach((value, name) => {
    text += `${name}\0${value}\n`;
  });
  return text;
}

function edit(headers, lines, from, to) {
  for (let at = from; at < to; at++) {
    const line = lines[at];
    const end = line.indexOf("\0");
    switch (line[0]) {
      case "=":
        headers.set(line.slice(1, end), line.slice(end + 1));
        break;
      case "+":
        headers.append(line.slice(1, end), line.slice(end + 1));
        break;
      case "-":
        headers.delete(line.slice(1));
        break;
    }
  }
  return headers;
}

// Counts a body of unknown length as it passes. One that is too long ends the attempt and then stands still: a stream
// that ends in an error is sent as if it were complete.
function limited(body, limit, attempt) {
  let left = limit;
  const count = new TransformStream({
    transform(chunk, controller) {
      left -= chunk.byteLength;
      if (left >= 0) return controller.enqueue(chunk);
      attempt.giveUp(BODY_TOO_LARGE);
      return new Promise(() => {});
    },
  });
  return body.pipeThrough(count);
}

// workerd says "Network connection lost." for a refused connection, one that was reset, and an answer that is not HTTP;
// so nobody can say that nothing reached the upstream.
function classify(error) {
  if (error instanceof TypeError) return FORBIDDEN;
  return RESET;
}

// For when there is no core to say it: the problem `internal` of gateway-core/src/error.rs.
function failure() {
  const problem = {
    type: "urn:postern:problem:internal",
    title: "Internal error",
    status: 500,
    detail: "The gateway could not handle the request.",
    request_id: crypto.randomUUID().replaceAll("-", ""),
  };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return new Response(JSON.stringify(problem), { status: 500, headers });
}
