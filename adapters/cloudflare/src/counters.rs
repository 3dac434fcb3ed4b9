//! Counters that an object keeps as text: the core's pure step, from text to text.

use gateway_core::platform::Timestamp;
use gateway_core::quota::{self, Order, Rule};
use gateway_core::record;

/// Does what is ordered: decision, time, durability and counters, a line for each. Counters that nothing has changed are those that
/// were given.
pub fn decide(order: &[u8], kept: &[u8], now: Timestamp) -> Option<String> {
    #[cfg(feature = "cache")]
    if let Some(step) = crate::shelf::mark(order, kept, now) {
        return Some(step);
    }
    let order: Order = record::read(order).ok()?;
    let (step, next) = quota::perform_on_kept_text(&order, kept, now).ok()?;
    let decision = serde_json::to_string(&step.decision).ok()?;
    let kept = next.as_deref().or_else(|| str::from_utf8(kept).ok())?;
    // The glue's numbers are exact up to here, and nobody waits longer.
    let until = step.until.min(1 << 53);
    let durable = u8::from(order.rules.iter().any(Rule::is_durable));
    Some(format!("{decision}\n{until}\n{durable}\n{kept}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn counters_go_from_text_to_text() {
        let order = r#"{"r":[{"w":{"limit":1,"per":60000,"sliding":false}}],"a":{"t":{"c":1,"m":1,"p":0,"l":0}}}"#;
        let first = decide(order.as_bytes(), b"", 60_000).expect("an order");
        let lines: Vec<&str> = first.split('\n').collect();
        assert_eq!(lines[..3], [r#"{"g":1,"w":0,"s":[{"r":0,"t":60000}]}"#, "120000", "1"]);
        let second = decide(order.as_bytes(), lines[3].as_bytes(), 60_001).expect("an order");
        assert!(second.starts_with(r#"{"g":null,"w":59999,"#), "{second}");
        assert_eq!(second.split('\n').nth(3), Some(lines[3]), "who is refused takes nothing");
        assert!(decide(order.as_bytes(), b"something else", 60_001).expect("an order").starts_with(r#"{"g":1,"#));
        assert_eq!(decide(b"nonsense", b"", 0), None);
    }
}
