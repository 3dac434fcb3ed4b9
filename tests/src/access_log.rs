//! Holds lines of the access log against the schema in the documentation, which is what readers of logs go by.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The configuration with an access log on the console, where it says nothing of that itself.
pub fn observed(gateway: &Value) -> Value {
    let mut gateway = gateway.clone();
    if let Value::Object(members) = &mut gateway
        && !members.contains_key("telemetry")
    {
        members
            .insert("telemetry".to_owned(), json!({ "logs": { "with": ["postern.costs", "network.peer.address"] } }));
    }
    gateway
}

/// Whether a configuration has the log on the console, whole and as JSON.
pub fn is_whole(gateway: &Value) -> bool {
    let logs = &gateway["telemetry"]["logs"];
    let on_console = match &logs["to"] {
        Value::Null => true,
        Value::Array(sinks) => sinks.contains(&json!("console")),
        sink => *sink == json!("console"),
    };
    let usual = ["format", "sample", "fields", "without"].iter().all(|name| logs[*name].is_null());
    logs.is_object() && on_console && usual
}

/// Reads one line and holds it against the schema.
pub fn read(line: &str) -> Result<Value, String> {
    static SCHEMA: OnceLock<Result<jsonschema::Validator, String>> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let schema: Value = serde_json::from_str(include_str!("../../docs/access-log.schema.json"))
            .map_err(|error| error.to_string())?;
        jsonschema::validator_for(&schema).map_err(|error| error.to_string())
    });
    let line: Value = serde_json::from_str(line).map_err(|error| format!("{error} in the access log: {line}"))?;
    let wrong: Vec<_> = schema.as_ref()?.iter_errors(&line).map(|error| error.to_string()).collect();
    if wrong.is_empty() {
        Ok(line)
    } else {
        Err(format!("the access log is not as its schema says: {wrong:?} in {line}"))
    }
}

/// Every line of the access log among all that was written.
pub fn read_all(written: &str) -> Result<Vec<Value>, String> {
    // The last one may not be whole yet.
    let whole = written.rfind('\n').map_or("", |end| &written[..end]);
    whole.lines().filter(|line| line.starts_with(r#"{"schema":"postern.access"#)).map(read).collect()
}

/// What of a line is not as expected: texts that begin with `~` are regular expressions, `null` is what is not there.
pub fn differences(line: &Value, expected: &BTreeMap<String, Value>) -> Vec<String> {
    let fits = |name: &str, expected: &Value| match (line.get(name), expected) {
        (found, Value::Null) => found.is_none(),
        (Some(found), Value::String(text)) if text.starts_with('~') => {
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            regex_lite::Regex::new(&text[1..]).is_ok_and(|regex| regex.is_match(&found))
        }
        (found, expected) => found == Some(expected),
    };
    let wrong = expected.iter().filter(|(name, expected)| !fits(name, expected));
    wrong.map(|(name, expected)| format!("{name} is {:?}, not {expected}", line.get(name))).collect()
}
