// The owner of the configuration's versions: one Durable Object for the whole deployment, which runs the core's own step, and keeps
// the artefacts.

import { DurableObject } from "cloudflare:workers";
import { gateway } from "./gateway.js";

export class Versions extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS standing (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
    this.sql.exec(
      "CREATE TABLE IF NOT EXISTS pieces (version TEXT, number INTEGER, bytes BLOB NOT NULL, PRIMARY KEY (version, number)) WITHOUT ROWID",
    );
    const [row] = this.sql.exec("SELECT text FROM standing WHERE id = 1");
    this.standing = row?.text ?? "";
  }

  // Everything in here happens at once: nothing waits, so no other order comes in between. The runtime holds the answer back until
  // what has changed is written.
  perform(order) {
    const core = gateway(this.env);
    let step;
    try {
      step = core.rollOut(order, this.standing);
    } catch (error) {
      if (core.thinks) core.restart();
      throw error;
    }
    const { verdict, kept, forget } = step;
    if (kept !== "") {
      this.sql.exec("INSERT OR REPLACE INTO standing (id, text) VALUES (1, ?)", kept);
      // Only what is written down counts.
      this.standing = kept;
    }
    for (const version of forget) this.sql.exec("DELETE FROM pieces WHERE version = ?", version);
    return verdict;
  }

  // In pieces, since a row has at most two megabytes.
  keep(version, bytes) {
    this.ctx.storage.transactionSync(() => {
      this.sql.exec("DELETE FROM pieces WHERE version = ?", version);
      for (let at = 0, number = 0; at < bytes.byteLength; at += PIECE, number++) {
        const piece = bytes.slice(at, at + PIECE);
        this.sql.exec("INSERT INTO pieces (version, number, bytes) VALUES (?, ?, ?)", version, number, piece);
      }
    });
  }

  // All of an artefact, or nothing.
  artefact(version) {
    const rows = [...this.sql.exec("SELECT bytes FROM pieces WHERE version = ? ORDER BY number", version)];
    const whole = new Uint8Array(rows.reduce((length, { bytes }) => length + bytes.byteLength, 0));
    let at = 0;
    for (const { bytes } of rows) {
      whole.set(new Uint8Array(bytes), at);
      at += bytes.byteLength;
    }
    return whole;
  }
}

const PIECE = 1 << 20;
