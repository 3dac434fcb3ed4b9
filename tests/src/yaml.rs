//! YAML to a JSON value, so that a scenario's inline configuration can be handed on as JSON.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Reads one document. Plain scalars become null, booleans and numbers (`7`, `0.5`) as in YAML's core schema.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = Value::Null;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let line = span.start.line();
        let value = match event {
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Map(map, key @ None)) = open.last_mut() {
                    if map.contains_key(text.as_ref()) {
                        return Err(format!("line {line}: `{text}` stands twice"));
                    }
                    *key = Some(text.into_owned());
                    continue;
                }
                scalar(&text, style)
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Map(map, _)) => Value::Object(map),
                None => continue,
            },
            Event::Alias(_) => return Err(format!("line {line}: aliases are not for scenarios")),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        match open.last_mut() {
            None => root = value,
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => {
                let key = key.take().ok_or_else(|| format!("line {line}: a key must be a text"))?;
                map.insert(key, value);
            }
        }
    }
    Ok(root)
}

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => match (text.parse::<i64>(), text.split_once('.')) {
            (Ok(number), _) => number.into(),
            (Err(_), Some((whole, fraction))) if digits(whole) && digits(fraction) => {
                text.parse::<f64>().map_or_else(|_| text.into(), Value::from)
            }
            (Err(_), _) => text.into(),
        },
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
