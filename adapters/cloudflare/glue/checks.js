// Who checks targets: one Durable Object for the whole deployment, woken up by its own alarm. Instances ask it what it has found.
//
// The core decides who is asked when, and what is made of the answers. Here it is kept, and the alarm set.

import { DurableObject } from "cloudflare:workers";
import { check, crash } from "./exchange.js";
import { gateway } from "./gateway.js";

export class Checks extends DurableObject {
  checking = false;

  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS boards (key TEXT PRIMARY KEY, board TEXT NOT NULL) WITHOUT ROWID");
  }

  // What was found of an upstream's targets, or "". The core is left alone here: it may be in the middle of a check.
  async board(key) {
    await this.wake();
    const [row] = this.sql.exec("SELECT board FROM boards WHERE key = ?", key);
    return row?.board ?? "";
  }

  // Has the first alarm set, or another in the place of one that was lost.
  async wake() {
    const { storage } = this.ctx;
    if (!this.checking && (await storage.getAlarm()) === null) await storage.setAlarm(Date.now());
  }

  async alarm() {
    const core = gateway(this.env);
    this.checking = true;
    let next;
    try {
      const rows = [...this.sql.exec("SELECT key, board FROM boards")];
      const kept = rows.map(({ key, board }) => `${key} ${board}`).join("\n");
      const [time, ...boards] = (await check(core, this.ctx, kept)).split("\n");
      next = Number(time);
      for (const line of boards) this.keep(line);
    } catch (error) {
      crash(core, error);
      next = Date.now() + PAUSE;
    } finally {
      this.checking = false;
    }
    // Without anything to check, nobody is woken up again.
    if (next > 0) await this.ctx.storage.setAlarm(next);
  }

  keep(line) {
    const cut = line.indexOf(" ");
    const [key, board] = [line.slice(0, cut), line.slice(cut + 1)];
    this.sql.exec("INSERT OR REPLACE INTO boards (key, board) VALUES (?, ?)", key, board);
  }
}

// After something that should not have happened.
const PAUSE = 10_000;
