// What the object that owns a ledger keeps, in a database that refuses what the runtime's would: a row of more than two megabytes.
//
// The core is played by the test. Run with `node --test`.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { playModules } from "./modules.mjs";

playModules({ "./gateway.js": "export const gateway = () => globalThis.playedCore;" });
const { Counters } = await import("../glue/counters.js");
globalThis.playedCore = { merge: (name, kept, added) => (added === "less" ? "short" : kept + added) };

test("a ledger of any length is kept in rows of at most a megabyte, and read back whole", () => {
  const storage = database();
  const object = new Counters({ storage }, {});
  // The first moves it so that halves of characters stand where a piece could end.
  const added = ["a", "\u{1f600}".repeat(400_000), "é".repeat(900_000), "end"];
  for (const more of added) assert.equal(object.collect("sums", more), "");
  assert.ok(object.collect("sums", "") === added.join(""));
  assert.ok(storage.rows().length > 3);
  for (const text of storage.rows()) assert.ok(Buffer.byteLength(text) <= 1 << 20 && text.isWellFormed());
  // Who takes its place finds the same.
  assert.ok(new Counters({ storage }, {}).collect("sums", "") === added.join(""));
  // What is shorter leaves nothing of the longer.
  object.collect("sums", "less");
  assert.deepEqual(storage.rows(), ["short"]);
});

test("a ledger that was kept in one row is read as it always was", () => {
  const storage = database();
  storage.sql.exec("CREATE TABLE sums (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
  storage.sql.exec("INSERT INTO sums (id, text) VALUES (1, ?)", "x".repeat(1_900_000));
  const object = new Counters({ storage }, {});
  object.collect("sums", "y");
  assert.ok(new Counters({ storage }, {}).collect("sums", "") === `${"x".repeat(1_900_000)}y`);
});

test("what could not be written down is not added, and can be added again", () => {
  const storage = database();
  const object = new Counters({ storage }, {});
  object.collect("activity", "1");
  storage.fails = true;
  const more = "2".repeat(1_000_000);
  for (let round = 0; round < 3; round++) assert.throws(() => object.collect("activity", more), /full/);
  assert.deepEqual([object.collect("activity", ""), storage.rows()], ["1", ["1"]]);
  storage.fails = false;
  object.collect("activity", more);
  assert.ok(object.collect("activity", "") === `1${more}`);
});

// What an object has of the platform. Where writing fails, it does so after the first row.
function database() {
  const tables = new DatabaseSync(":memory:");
  const exec = (statement, ...values) => {
    if (values.some((value) => typeof value === "string" && Buffer.byteLength(value) > 2_000_000)) {
      throw new Error("string or blob too big: SQLITE_TOOBIG");
    }
    if (storage.fails && statement.startsWith("INSERT") && values[0] > 1) throw new Error("database or disk is full");
    return tables.prepare(statement).all(...values);
  };
  const transactionSync = (change) => {
    tables.exec("BEGIN");
    try {
      const made = change();
      tables.exec("COMMIT");
      return made;
    } catch (error) {
      tables.exec("ROLLBACK");
      throw error;
    }
  };
  const rows = () => exec("SELECT text FROM sums ORDER BY id").map(({ text }) => text);
  const storage = { fails: false, sql: { exec }, transactionSync, rows };
  return storage;
}
