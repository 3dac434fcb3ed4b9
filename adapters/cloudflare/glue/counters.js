// The owner of counters: a Durable Object for each share of the keys, which runs the core's own step, one order after
// another. More objects own the ledgers of all instances: one for each, such as the sums of what they have counted.
//
// Counters are in memory. Those that must outlive an eviction are written as well, and the runtime holds the answer back until
// they are.

import { DurableObject } from "cloudflare:workers";
import { gateway } from "./gateway.js";

export class Counters extends DurableObject {
  // By key, the one used longest ago first.
  known = new Map();
  cleans = false;
  // The ledger, once it has been read.
  ledger = undefined;

  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(
      "CREATE TABLE IF NOT EXISTS counters (key TEXT PRIMARY KEY, until INTEGER NOT NULL, counters TEXT NOT NULL) WITHOUT ROWID",
    );
  }

  // Everything in here happens at once: nothing waits, so no other order comes in between.
  take(key, order) {
    const core = gateway(this.env);
    const before = this.read(key);
    let step;
    try {
      step = core.decide(order, before);
    } catch (error) {
      if (core.thinks) core.restart();
      throw error;
    }
    const { decision, until, durable, counters } = step;
    this.known.delete(key);
    this.known.set(key, { until, durable, counters });
    // What refuses changes nothing, and storing costs.
    if (durable && counters !== before) this.write(key, until, counters);
    if (this.known.size > MOST) this.makeRoom();
    return decision;
  }

  // Adds to the ledger; with nothing to add, only tells it. The runtime holds the answer back until it is written.
  collect(name, added) {
    if (this.ledger === undefined) {
      this.sql.exec("CREATE TABLE IF NOT EXISTS sums (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
      this.ledger = [...this.sql.exec("SELECT text FROM sums ORDER BY id")].map(({ text }) => text).join("");
    }
    if (added !== "") {
      const core = gateway(this.env);
      let ledger;
      try {
        ledger = core.merge(name, this.ledger, added);
      } catch (error) {
        if (core.thinks) core.restart();
        throw error;
      }
      this.keep(ledger);
      // Not before it is written: whoever hears that it failed adds the same again.
      this.ledger = ledger;
      return "";
    }
    return this.ledger;
  }

  // In pieces, since a row has at most two megabytes.
  keep(ledger) {
    this.ctx.storage.transactionSync(() => {
      let id = 0;
      for (const piece of pieces(ledger)) this.sql.exec("INSERT OR REPLACE INTO sums (id, text) VALUES (?, ?)", ++id, piece);
      this.sql.exec("DELETE FROM sums WHERE id > ?", id);
    });
  }

  read(key) {
    const known = this.known.get(key);
    if (known !== undefined) return known.counters;
    const [row] = this.sql.exec("SELECT counters FROM counters WHERE key = ?", key);
    return row?.counters ?? "";
  }

  write(key, until, counters) {
    this.sql.exec("INSERT OR REPLACE INTO counters (key, until, counters) VALUES (?, ?, ?)", key, until, counters);
    if (this.cleans) return;
    this.cleans = true;
    const { storage } = this.ctx;
    this.ctx.waitUntil(storage.getAlarm().then((at) => (at === null ? storage.setAlarm(Date.now() + HOUR) : undefined)));
  }

  // What still says something is not forgotten, only put away.
  makeRoom() {
    const now = Date.now();
    for (const [key, { until, durable, counters }] of this.known) {
      if (!durable && until > now) this.write(key, until, counters);
      this.known.delete(key);
      if (this.known.size <= MOST / 2) return;
    }
  }

  alarm() {
    this.cleans = false;
    this.sql.exec("DELETE FROM counters WHERE until <= ?", Date.now());
    const [{ left }] = this.sql.exec("SELECT COUNT(*) AS left FROM counters");
    if (left > 0) return this.ctx.storage.setAlarm(Date.now() + HOUR);
  }
}

// A text cut so that each piece is a text of at most a megabyte, however it is written.
function* pieces(text) {
  for (let at = 0, end; at < text.length; at = end) {
    end = Math.min(at + PIECE, text.length);
    // Not between the halves of what is one character.
    if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
    yield text.slice(at, end);
  }
}

// A unit of a text has at most three bytes.
const PIECE = Math.floor((1 << 20) / 3);
// Objects share an isolate's memory.
const MOST = 4096;
const HOUR = 3_600_000;
