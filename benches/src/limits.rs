//! One decision of a limit that an instance counts itself, with so many keys alive: the same in native code and in Wasm.

use gateway_core::quota::table::Table;
use gateway_core::quota::{Rule, State, check};

/// Keys that are alive, and a limit.
#[derive(Debug)]
pub struct Live {
    rule: Rule,
    table: Table<State>,
    places: Vec<u64>,
    next: usize,
    now: u64,
}

/// How many keys.
pub const KEYS: usize = 100_000;

impl Live {
    /// All keys have been asked for once. 0: a token bucket, 1: a sliding window.
    pub fn new(kind: usize) -> Self {
        let rule = match kind {
            0 => Rule::Bucket { rate: 100, per: 1_000, burst: 100 },
            _ => Rule::Window { limit: 100, per: 1_000, sliding: true },
        };
        let table = Table::new(7, 1 << 17);
        let places = (0..KEYS).map(|key| table.place(&key.to_le_bytes())).collect();
        let mut live = Self { rule, table, places, next: 0, now: 1_750_000_000_000 };
        live.decide(KEYS);
        live
    }

    /// So many decisions, over all keys in turn, a thousand in a millisecond; gives how many were admitted.
    pub fn decide(&mut self, times: usize) -> usize {
        let mut admitted = 0;
        for time in 0..times {
            self.next = (self.next + 7_919) % KEYS;
            self.now += u64::from(time % 1_000 == 0);
            let (rule, now) = (&self.rule, self.now);
            admitted += usize::from(self.table.change(self.places[self.next], |state| check(rule, state, now, 1)));
        }
        admitted
    }
}
