//! What is done once under a key: who does it, until when, and what came of it.
//!
//! [`perform`] is one pure step, the same in every place that keeps claims. Stores that cannot do it in one step elect who
//! may ([`elected`]).

pub mod elected;

use crate::platform::Timestamp;
use crate::record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the keeper of a claim is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Takes the claim, unless somebody holds it or something came of it.
    #[serde(rename = "b")]
    Begin {
        /// A hash of what is to be done: the same key with another one is refused.
        #[serde(rename = "p")]
        payload: String,
        /// Names whoever asks.
        #[serde(rename = "t")]
        token: u64,
        /// For how many milliseconds it is held before whoever took it counts as gone.
        #[serde(rename = "l")]
        lease: u64,
        /// For how many milliseconds it is remembered that whoever took it is gone; `None`: the next one takes it.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        remember_loss: Option<u64>,
    },
    /// Says what came of it.
    #[serde(rename = "f")]
    Finish {
        /// As it was taken.
        #[serde(rename = "p")]
        payload: String,
        /// As it was taken.
        #[serde(rename = "t")]
        token: u64,
        /// What came of it.
        #[serde(rename = "o")]
        outcome: Outcome,
        /// For how many milliseconds it is remembered.
        #[serde(rename = "k")]
        keep: u64,
    },
    /// Gives the claim up as if it had never been taken.
    #[serde(rename = "r")]
    Release {
        /// As it was taken.
        #[serde(rename = "t")]
        token: u64,
    },
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The claim is taken: whoever asked does it.
    #[serde(rename = "y")]
    Yours,
    /// Somebody else does it.
    #[serde(rename = "h")]
    Held {
        /// For so many milliseconds more, at most.
        #[serde(rename = "f")]
        for_another: u64,
    },
    /// This came of it.
    #[serde(rename = "o")]
    Over(Outcome),
    /// Something else was, or is being, done under this key.
    #[serde(rename = "x")]
    Other,
    /// What was said of it is remembered.
    #[serde(rename = "n")]
    Noted,
    /// It had been taken by somebody else by then.
    #[serde(rename = "l")]
    Lost,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// This answer.
    #[serde(rename = "a")]
    Answer(Answer),
    /// An answer that was too long to be remembered, or that has no end.
    #[serde(rename = "l")]
    TooLong {
        /// Its status.
        #[serde(rename = "s")]
        status: u16,
    },
    /// Nobody knows: whoever did it was lost on the way.
    #[serde(rename = "u")]
    Unknown,
}

/// An answer that is given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    #[serde(rename = "s")]
    pub status: u16,
    /// Names and values of its fields, each byte of a value as the character of its number.
    #[serde(rename = "h")]
    pub fields: Vec<(String, String)>,
    /// The body.
    #[serde(rename = "b", serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub body: Bytes,
}

/// What is kept under a key: a text that only this module reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    #[serde(rename = "p")]
    payload: String,
    #[serde(rename = "s")]
    state: State,
    /// From then on it says nothing any more.
    #[serde(rename = "u")]
    until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[serde(rename = "h")]
    Held {
        #[serde(rename = "t")]
        token: u64,
        /// From then on, whoever took it counts as gone.
        #[serde(rename = "l")]
        lease: Timestamp,
    },
    #[serde(rename = "o")]
    Over(Outcome),
}

/// What a keeper has to do after an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// For whoever asked.
    pub verdict: Verdict,
    /// To be kept in the place of what was there; `None`: nothing.
    pub kept: Option<Kept>,
}

impl Kept {
    /// From when on this says the same as nothing.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// Does what is ordered.
pub fn perform(order: &Order, kept: Option<Kept>, now: Timestamp) -> Step {
    let kept = kept.filter(|kept| now < kept.until);
    match order {
        Order::Begin { payload, token, lease, remember_loss } => match kept {
            None => {
                let end = now.saturating_add(*lease);
                let until = end.saturating_add(remember_loss.unwrap_or(0));
                let state = State::Held { token: *token, lease: end };
                Step { verdict: Verdict::Yours, kept: Some(Kept { payload: payload.clone(), state, until }) }
            }
            Some(kept) if kept.payload != *payload => Step { verdict: Verdict::Other, kept: Some(kept) },
            Some(kept) => {
                let verdict = match &kept.state {
                    State::Held { lease, .. } if now < *lease => Verdict::Held { for_another: lease - now },
                    State::Held { .. } => Verdict::Over(Outcome::Unknown),
                    State::Over(outcome) => Verdict::Over(outcome.clone()),
                };
                Step { verdict, kept: Some(kept) }
            }
        },
        Order::Finish { payload, token, outcome, keep } => match kept {
            // Forgotten is not taken: what comes late is still worth keeping.
            None => Step { verdict: Verdict::Noted, kept: Some(over(payload, outcome, *keep, now)) },
            Some(kept) if kept.is_of(*token) => {
                Step { verdict: Verdict::Noted, kept: Some(over(&kept.payload, outcome, *keep, now)) }
            }
            Some(kept) => Step { verdict: Verdict::Lost, kept: Some(kept) },
        },
        Order::Release { token } => match kept {
            Some(kept) if !kept.is_of(*token) => Step { verdict: Verdict::Lost, kept: Some(kept) },
            Some(_) | None => Step { verdict: Verdict::Noted, kept: None },
        },
    }
}

fn over(payload: &str, outcome: &Outcome, keep: u64, now: Timestamp) -> Kept {
    let state = State::Over(outcome.clone());
    Kept { payload: payload.to_owned(), state, until: now.saturating_add(keep) }
}

impl Kept {
    fn is_of(&self, owner: u64) -> bool {
        matches!(self.state, State::Held { token, .. } if token == owner)
    }
}

/// What a keeper that stores text does: from text to text. Gives three lines: the verdict, until when what is to be kept says
/// something (0: nothing is to be kept), and what is to be kept. `None`: the order cannot be read. What was kept by another
/// version counts as nothing.
pub fn perform_in_text(order: &[u8], kept: &[u8], now: Timestamp) -> Option<String> {
    let order: Order = record::read(order).ok()?;
    let kept: Option<Kept> = record::read(kept).ok();
    let Step { verdict, kept } = perform(&order, kept, now);
    let verdict = serde_json::to_string(&verdict).ok()?;
    let Some(kept) = kept else { return Some(format!("{verdict}\n0\n")) };
    // Numbers in JavaScript are exact up to here, and nobody waits longer.
    let until = kept.until.min(1 << 53);
    Some(format!("{verdict}\n{until}\n{}", serde_json::to_string(&kept).ok()?))
}

fn write_bytes<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn read_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map(Bytes::from).map_err(|_| de::Error::custom("a body that is not Base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: u64 = 1_000;
    const LOSS: u64 = 50_000;

    fn begin(token: u64, payload: &str, remember_loss: Option<u64>) -> Order {
        Order::Begin { payload: payload.to_owned(), token, lease: LEASE, remember_loss }
    }

    fn finish(token: u64) -> Order {
        Order::Finish { payload: "p".to_owned(), token, outcome: answer(), keep: 10_000 }
    }

    fn answer() -> Outcome {
        let fields = vec![("x-a".to_owned(), "\u{e9}".to_owned())];
        Outcome::Answer(Answer { status: 201, fields, body: Bytes::from_static(b"\0\xffmade") })
    }

    /// A keeper, by the text that it keeps.
    #[derive(Default)]
    struct Keeper(String);

    impl Keeper {
        fn ask(&mut self, order: &Order, now: Timestamp) -> Verdict {
            let order = serde_json::to_string(order).expect("plain values");
            let said = perform_in_text(order.as_bytes(), self.0.as_bytes(), now).expect("an order");
            let lines: Vec<&str> = said.split('\n').collect();
            assert_eq!(lines.len(), 3, "{said}");
            self.0 = lines[2].to_owned();
            serde_json::from_str(lines[0]).expect("a verdict")
        }
    }

    #[test]
    fn the_first_does_it_and_the_others_get_what_came_of_it() {
        let mut keeper = Keeper::default();
        assert_eq!(keeper.ask(&begin(1, "p", None), 0), Verdict::Yours);
        assert_eq!(keeper.ask(&begin(2, "p", None), 10), Verdict::Held { for_another: LEASE - 10 });
        assert_eq!(keeper.ask(&begin(3, "q", None), 10), Verdict::Other);
        assert_eq!(keeper.ask(&finish(2), 20), Verdict::Lost);
        assert_eq!(keeper.ask(&finish(1), 20), Verdict::Noted);
        assert_eq!(keeper.ask(&begin(2, "p", None), 5_000), Verdict::Over(answer()));
        assert_eq!(keeper.ask(&begin(3, "q", None), 5_000), Verdict::Other);
        assert_eq!(keeper.ask(&Order::Release { token: 1 }, 5_000), Verdict::Lost, "what is over is over");
        assert_eq!(keeper.ask(&begin(3, "q", None), 10_020), Verdict::Yours, "and is forgotten in the end");
    }

    #[test]
    fn whoever_is_gone_holds_nothing_for_longer_than_the_lease() {
        let mut keeper = Keeper::default();
        keeper.ask(&begin(1, "p", None), 0);
        assert_eq!(keeper.ask(&begin(2, "p", None), LEASE), Verdict::Yours);
        assert_eq!(keeper.ask(&finish(1), LEASE + 1), Verdict::Lost);
        assert_eq!(keeper.ask(&Order::Release { token: 2 }, LEASE + 2), Verdict::Noted);
        assert_eq!(keeper.ask(&begin(3, "p", None), LEASE + 2), Verdict::Yours, "at once");

        let mut keeper = Keeper::default();
        keeper.ask(&begin(1, "p", Some(LOSS)), 0);
        assert_eq!(keeper.ask(&begin(2, "p", Some(LOSS)), LEASE), Verdict::Over(Outcome::Unknown));
        assert_eq!(keeper.ask(&finish(1), LEASE + 1), Verdict::Noted, "who was only late is heard");
        assert_eq!(keeper.ask(&begin(2, "p", Some(LOSS)), LEASE + 2), Verdict::Over(answer()));
        let mut keeper = Keeper::default();
        keeper.ask(&begin(1, "p", Some(LOSS)), 0);
        assert_eq!(keeper.ask(&begin(2, "p", Some(LOSS)), LEASE + LOSS), Verdict::Yours);
    }

    #[test]
    fn what_nobody_can_read_is_no_order_and_no_claim() {
        let order = serde_json::to_string(&begin(1, "p", None)).expect("plain values");
        assert_eq!(perform_in_text(b"nonsense", b"", 0), None);
        assert!(perform_in_text(order.as_bytes(), b"nonsense", 0).expect("an order").starts_with("\"y\"\n1000\n"));
    }
}
