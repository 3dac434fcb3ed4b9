//! Writes a request as a line of text: JSON, or one of the formats that servers have always written.

use super::field::{self, Choice, SCHEMA, Said};
use super::moment;
use super::rules::Format;
use super::watch::Record;
use std::io::Write;

/// One line, without its end. Whatever a client sends stays on it.
pub fn write(record: &Record, format: Format, choice: Choice<'_>) -> Vec<u8> {
    match format {
        Format::Json => json(record, choice, |said| said),
        Format::Common => common(record, choice).into_bytes(),
        Format::Combined => {
            let mut line = common(record, choice);
            let referer = record.request_headers.iter().find(|(place, _)| *place == usize::MAX);
            for value in [referer.map(|(_, value)| value.as_str()), record.user_agent.as_deref()] {
                line.push_str(" \"");
                escape(value.unwrap_or("-"), &mut line);
                line.push('"');
            }
            line.into_bytes()
        }
    }
}

/// One line of JSON that is short whatever a client sends: [`BRIEF`] says how short.
#[cfg(feature = "admin")]
pub fn brief(record: &Record, choice: Choice<'_>) -> Vec<u8> {
    let (bytes, items) = BRIEF;
    json(record, choice, |said| said.cut(bytes, items))
}

/// So many bytes of each text, and so many items of each list, stand in a [`brief`] line.
#[cfg(feature = "admin")]
pub const BRIEF: (usize, usize) = (256, 16);

fn json<'r>(record: &'r Record, choice: Choice<'_>, shown: impl Fn(Said<'r>) -> Said<'r>) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    line.extend_from_slice(b"{\"schema\":");
    text(SCHEMA, &mut line);
    field::describe(record, choice, |name, said| {
        line.push(b',');
        text(name, &mut line);
        line.push(b':');
        value(&shown(said), &mut line);
    });
    line.push(b'}');
    line
}

/// Writes a value as JSON.
pub fn value(said: &Said<'_>, out: &mut Vec<u8>) {
    match said {
        Said::Text(said) => text(said, out),
        Said::Made(said) => text(said, out),
        // Writing into a Vec cannot fail.
        Said::Number(number) => drop(write!(out, "{number}")),
        Said::Seconds(milliseconds) => seconds(*milliseconds, out),
        Said::List(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                value(item, out);
            }
            out.push(b']');
        }
        Said::Map(members) => {
            out.push(b'{');
            for (place, (name, member)) in members.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                text(name, out);
                out.push(b':');
                value(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Writes milliseconds as seconds: `0.012`.
pub fn seconds(milliseconds: u64, out: &mut Vec<u8>) {
    let (whole, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    // Writing into a Vec cannot fail.
    let _ = if rest == 0 { write!(out, "{whole}") } else { write!(out, "{whole}.{rest:03}") };
}

/// Writes a text as JSON.
pub fn text(text: &str, out: &mut Vec<u8>) {
    // Writing a text into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// `host ident user [time] "method target protocol" status bytes`. The protocol of the client's side is known to the platform
/// only; readers of these formats want one, so it is always the same.
fn common(record: &Record, choice: Choice<'_>) -> String {
    let mut line = record.client.map_or_else(|| "-".to_owned(), |address| address.to_canonical().to_string());
    line.push_str(" - ");
    match &record.consumer {
        // A space would be the next column.
        Some(name) => name
            .chars()
            .for_each(|c| if c == ' ' { line.push('_') } else { escape(c.encode_utf8(&mut [0; 4]), &mut line) }),
        None => line.push('-'),
    }
    line.push_str(&format!(" [{}] \"", moment::common(record.began)));
    escape(&record.method, &mut line);
    line.push(' ');
    escape(record.path.as_deref().unwrap_or("-"), &mut line);
    if let Some(query) = &record.query {
        line.push('?');
        escape(&field::redacted(query, choice.query), &mut line);
    }
    let size = record.response_size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    line.push_str(&format!(" HTTP/1.1\" {} {size}", record.status));
    line
}

/// Writes what would end a column or a line as Apache does.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| out.push_str(&format!("\\x{b:02x}")))
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::Fields;
    use super::*;
    use crate::http::Scheme;

    const NOTHING_SHOWN: Choice<'static> =
        Choice { fields: Fields::none(), request_headers: &[], response_headers: &[], query: &[], attributes: &[] };

    fn record() -> Record {
        let mut record = Record::new("id".to_owned(), 1_709_251_199_999, "GET", Scheme::Https, "a.example:8443");
        record.path = Some("/a\"b".to_owned());
        record.query = Some("q=secret".to_owned());
        record.client = "192.0.2.1".parse().ok();
        record.user_agent = Some("curl\n\"x\"".to_owned());
        record.status = 200;
        record.ended += 1_012;
        record
    }

    #[test]
    fn a_line_of_json_says_what_is_known() {
        let line = write(&record(), Format::Json, Choice { fields: Fields::default(), ..NOTHING_SHOWN });
        let expected = r#"{"schema":"postern.access/1","timestamp":"2024-02-29T23:59:59.999Z","postern.request_id":"id","http.request.method":"GET","url.scheme":"https","server.address":"a.example","server.port":8443,"url.path":"/a\"b","url.query":"q=REDACTED","http.response.status_code":200,"http.server.request.duration":1.012,"client.address":"192.0.2.1","user_agent.original":"curl\n\"x\""}"#;
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }

    #[cfg(feature = "admin")]
    #[test]
    fn a_brief_line_is_short_whatever_a_client_sends() {
        let mut long = record();
        (long.user_agent, long.path) = (Some("ä".repeat(30_000)), Some("/\u{1}".repeat(30_000)));
        long.query = Some("a&".repeat(30_000));
        long.authority = "a".repeat(30_000);
        long.method = "M".repeat(30_000);
        long.limits = vec![("limit".to_owned(), super::super::watch::LimitOutcome::Admitted); 1_000];
        let line = brief(&long, Choice { fields: Fields::default(), ..NOTHING_SHOWN });
        let line = String::from_utf8(line).expect("text");
        assert!(line.len() < 8_000, "{}", line.len());
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["user_agent.original"], format!("{}…", "ä".repeat(128)));
        let choice = Choice { fields: Fields::default(), ..NOTHING_SHOWN };
        assert_eq!(brief(&record(), choice), write(&record(), Format::Json, choice));
    }

    #[test]
    fn older_formats_stay_on_their_line() {
        let line = write(&record(), Format::Combined, NOTHING_SHOWN);
        let expected =
            r#"192.0.2.1 - - [29/Feb/2024:23:59:59 +0000] "GET /a\"b?q=REDACTED HTTP/1.1" 200 - "-" "curl\x0a\"x\"""#;
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }
}
