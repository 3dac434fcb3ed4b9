//! What HTML forms send, as an object of their fields: `application/x-www-form-urlencoded` and `multipart/form-data`.
//!
//! The crates that read the latter bring `http` and asynchronous streams, for which the core has no use; what is here is the
//! grammar of RFC 2046 §5.1.1 over bytes in memory.

use super::rules::Wrong;
use super::value::Value;
use crate::http::decode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Reads a form. A name that stands there several times has a list.
pub fn form(text: &str) -> Value<'static> {
    let mut fields = Fields::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.add(decode(name).into_owned(), Value::Text(decode(value).into_owned().into()));
    }
    Value::Object(fields.members)
}

/// How many parts are read at most.
const MOST: usize = 1_000;

/// Reads the parts of a form (RFC 7578). A field is a string; a file is an object of its `filename`, its `type` and its
/// `content` in Base64.
pub fn multipart(bytes: &[u8], content_type: &str) -> Result<Value<'static>, Wrong> {
    let wrong = |reason: &str| Err(Wrong::Malformed(reason.to_owned()));
    let Some(boundary) = parameter(content_type, "boundary").filter(|name| !name.is_empty() && name.len() <= 70) else {
        return wrong("The Content-Type names no boundary.");
    };
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // The first one may stand at the very beginning; what is before it is for nobody.
    let mut rest = match bytes.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => match finder.find(bytes) {
            Some(at) => &bytes[at + delimiter.len()..],
            None => return wrong("The body does not hold its boundary."),
        },
    };
    let mut fields = Fields::default();
    for _ in 0..MOST {
        if rest.starts_with(b"--") {
            return Ok(Value::Object(fields.members));
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let Some(part) = rest[padding..].strip_prefix(b"\r\n") else {
            return wrong("Something stands behind a boundary on its line.");
        };
        let Some(end) = finder.find(part).or_else(|| part.starts_with(&delimiter.as_bytes()[2..]).then_some(0)) else {
            return wrong("The body ends without its last boundary.");
        };
        let (whole, behind) = part.split_at(end);
        rest = behind.strip_prefix(delimiter.as_bytes()).unwrap_or(&behind[(delimiter.len() - 2).min(behind.len())..]);
        let Some((name, value)) = part_of(whole) else { return wrong("A part is no field of a form.") };
        fields.add(name, value);
    }
    wrong("The form has too many parts.")
}

/// A part: its header fields, an empty line, its content.
fn part_of(whole: &[u8]) -> Option<(String, Value<'static>)> {
    let (head, content) = match memmem::find(whole, b"\r\n\r\n") {
        Some(at) => (&whole[..at], &whole[at + 4..]),
        // A part without content may end with the empty line's own line break, which is the boundary's.
        None => (whole.strip_suffix(b"\r\n")?, &b""[..]),
    };
    let head = std::str::from_utf8(head).ok()?;
    let field = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = field("content-disposition")?;
    let kind = disposition.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("form-data") {
        return None;
    }
    let name = parameter(disposition, "name")?;
    let value = match (parameter(disposition, "filename"), std::str::from_utf8(content)) {
        (None, Ok(text)) => Value::Text(text.to_owned().into()),
        (filename, _) => {
            let text = |text: &str| Value::Text(text.to_owned().into());
            let mut members: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
            members.extend(filename.map(|filename| ("filename".into(), Value::Text(filename.into()))));
            members.extend(field("content-type").map(|media_type| ("type".into(), text(media_type))));
            members.push(("content".into(), Value::Text(STANDARD.encode(content).into())));
            Value::Object(members)
        }
    };
    Some((name, value))
}

/// A parameter of a field, in quotes or without. Browsers write quotes in names as `%22`.
fn parameter(field: &str, wanted: &str) -> Option<String> {
    let mut rest = field.split_once(';')?.1;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (mut value, mut end, mut characters) = (String::new(), None, quoted.char_indices());
                while let Some((at, c)) = characters.next() {
                    match c {
                        '"' => {
                            end = Some(at + 1);
                            break;
                        }
                        // Only what must be escaped is: file names of Windows hold backslashes.
                        '\\' if quoted[at + 1..].starts_with(['"', '\\']) => value.push(characters.next()?.1),
                        c => value.push(c),
                    }
                }
                (value, &quoted[end?..])
            }
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.split_once(';')?.1;
    }
}

/// Members in the order in which they came, and where each name is: a client chooses how many there are.
#[derive(Default)]
struct Fields {
    members: Vec<(Cow<'static, str>, Value<'static>)>,
    places: BTreeMap<String, usize>,
}

impl Fields {
    /// One more member; the second of a name makes a list.
    fn add(&mut self, name: String, value: Value<'static>) {
        match self.places.get(&name).and_then(|place| self.members.get_mut(*place)) {
            None => {
                self.places.insert(name.clone(), self.members.len());
                self.members.push((name.into(), value));
            }
            Some((_, Value::List(items))) => items.push(value),
            Some((_, first)) => {
                let before = std::mem::replace(first, Value::NULL);
                *first = Value::List(vec![before, value]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_objects() {
        for (text, expected) in
            [("a=1&b=x+y%26&a=2&c&a=3", r#"{"a":["1","2","3"],"b":"x y&","c":""}"#), ("", "{}"), ("&=1", r#"{"":"1"}"#)]
        {
            assert_eq!(form(text).to_text(), expected, "{text}");
        }
    }

    /// It would not end in anybody's time if each name were looked for among all that came before.
    #[test]
    fn a_form_of_very_many_names_is_read() {
        let names = 200_000;
        let text: String = (0..names).map(|name| format!("{name:x}&")).collect();
        let Value::Object(members) = form(&format!("{text}{text}")) else { panic!("a form is an object") };
        assert_eq!(members.len(), names);
        assert!(members.iter().all(|(_, value)| matches!(value, Value::List(items) if items.len() == 2)));
    }

    #[test]
    fn parts_become_members() {
        let kind = "multipart/form-data; charset=utf-8; boundary=\"b o\"";
        let read = |text: &str| multipart(text.as_bytes(), kind).map(|value| value.to_text());
        let text = "preamble\r\n--b o\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n--b o \r\n\
                    content-type: text/plain\r\nCONTENT-DISPOSITION: form-data; filename=\"C:\\x \\\"y\\\".txt\"; name=f\r\n\r\nhi\r\n\
                    --b o\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--b o--\r\nepilogue";
        let expected = r#"{"a":["1\r\n2",""],"f":{"filename":"C:\\x \"y\".txt","type":"text/plain","content":"aGk="}}"#;
        assert_eq!(read(text).as_deref(), Ok(expected));
        assert_eq!(read("--b o--").as_deref(), Ok("{}"));
        for text in [
            "",
            "--b o",
            "--b o\r\n",
            "--b ox\r\n\r\n--b o--",
            "--b o\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
            "--b o\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b o--",
            "--b o\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--b o--",
            "--b o\r\n\r\n--b o--",
        ] {
            assert!(matches!(read(text), Err(Wrong::Malformed(_))), "{text:?}: {:?}", read(text));
        }
        assert!(multipart(b"", "multipart/form-data").is_err());
    }
}
