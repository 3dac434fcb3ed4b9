// The keeper of a claim: a Durable Object for each key of what is done once, which runs the core's own step.
//
// What is kept is written, and the runtime holds the answer back until it is. An object whose claim says nothing any more
// leaves nothing behind.

import { DurableObject } from "cloudflare:workers";
import { gateway } from "./gateway.js";

export class Claims extends DurableObject {
  // Everything in here happens at once: nothing waits, so no other order comes in between.
  claim(order) {
    const { storage } = this.ctx;
    const core = gateway(this.env);
    const before = storage.kv.get(KEPT) ?? "";
    let step;
    try {
      step = core.claim(order, before);
    } catch (error) {
      if (core.thinks) core.restart();
      throw error;
    }
    const { verdict, until, kept } = step;
    if (kept !== before) {
      // What is given up is forgotten by the same alarm.
      storage.kv.put(KEPT, kept);
      storage.kv.put(UNTIL, until);
      storage.setAlarm(Math.max(until, Date.now()));
    }
    return verdict;
  }

  // It may have been taken anew in the moment in which it was over.
  alarm() {
    const { storage } = this.ctx;
    const until = storage.kv.get(UNTIL) ?? 0;
    return until > Date.now() ? storage.setAlarm(until) : storage.deleteAll();
  }
}

const KEPT = "kept";
const UNTIL = "until";
