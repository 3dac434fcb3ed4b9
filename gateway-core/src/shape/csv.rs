//! Comma-separated values (RFC 4180): a list of objects, whose members' names stand in the first line.

use super::rules::{Wrong, too_long};
use super::value::Value;
use csv_core::{ReadFieldResult, Reader};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Reads all records. Every value is a string; no name stands twice, and every record has as many fields as there are names. The names,
/// which stand there once and in what is made with each record, may take `most` bytes.
pub fn read(bytes: &[u8], most: usize) -> Result<Value<'static>, Wrong> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let wrong = |reason: String| Err(Wrong::Malformed(reason));
    let mut names: Option<Vec<String>> = None;
    let (mut records, mut length, mut made) = (Vec::new(), 0, 0);
    let mut fields: Vec<String> = Vec::new();
    // A field is never longer than what is left.
    let mut out = vec![0; bytes.len() + 1];
    let (mut reader, mut rest, mut filled) = (Reader::new(), bytes, 0);
    loop {
        let (result, read, written) = reader.read_field(rest, &mut out[filled..]);
        rest = &rest[read..];
        filled += written;
        let is_last = match result {
            // Nothing more comes: an empty input says so.
            ReadFieldResult::InputEmpty => continue,
            ReadFieldResult::OutputFull => return wrong("A field is longer than the body.".to_owned()),
            ReadFieldResult::End => break,
            ReadFieldResult::Field { record_end } => record_end,
        };
        let Ok(field) = std::str::from_utf8(&out[..filled]) else { return wrong("The body is not UTF-8.".to_owned()) };
        fields.push(field.to_owned());
        filled = 0;
        if !is_last {
            continue;
        }
        let record = std::mem::take(&mut fields);
        let Some(names) = &names else {
            let mut known = BTreeSet::new();
            if let Some(name) = record.iter().find(|name| !known.insert(name.as_str())) {
                return wrong(format!("Two columns are called `{name}`."));
            }
            length = record.iter().map(String::len).sum();
            names = Some(record);
            continue;
        };
        if record.len() != names.len() {
            let (number, found, wanted) = (records.len() + 1, record.len(), names.len());
            return wrong(format!("The record {number} has {found} fields, and there are {wanted} columns."));
        }
        made += length;
        if made > most {
            return Err(too_long(most));
        }
        let members = names.iter().zip(record);
        let members = members.map(|(name, value)| (Cow::Owned(name.clone()), Value::Text(value.into())));
        records.push(Value::Object(members.collect()));
    }
    Ok(Value::List(records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_objects() {
        let plain = |text: &str| read(text.as_bytes(), 100).map(|value| value.to_text());
        for (text, expected) in [
            ("a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n", r#"[{"a":"1","b":"x, \"y\"\nz"}]"#),
            ("\u{feff}a,b\n1,\n,2", r#"[{"a":"1","b":""},{"a":"","b":"2"}]"#),
            ("a\n\n1\n", r#"[{"a":"1"}]"#),
            ("a,b", "[]"),
            ("", "[]"),
        ] {
            assert_eq!(plain(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["a,b\n1", "a,b\n1,2,3", "a,a\n1,2"] {
            assert!(matches!(plain(text), Err(Wrong::Malformed(_))), "{text}");
        }
        assert!(read(b"a\n\xff", 100).is_err());
    }

    /// It would not end in anybody's time if each name were compared with all before it.
    #[test]
    fn a_table_of_very_many_columns_is_read() {
        let columns = 200_000;
        let names: Vec<String> = (0..columns).map(|column| format!("{column:x}")).collect();
        let line = names.join(",");
        let Ok(Value::List(records)) = read(format!("{line}\n{line}\n").as_bytes(), usize::MAX) else {
            panic!("it is a table")
        };
        assert!(matches!(records.as_slice(), [Value::Object(members)] if members.len() == columns));
        assert!(read(format!("{line},0\n").as_bytes(), usize::MAX).is_err());
    }

    /// A long name before very many records would take more memory than there is.
    #[test]
    fn names_are_not_repeated_without_end() {
        let table = format!("{}\n{}", "a".repeat(100), "1\n".repeat(100));
        assert!(read(table.as_bytes(), 10_000).is_ok());
        assert!(matches!(read(table.as_bytes(), 9_999), Err(Wrong::Malformed(_))));
    }
}
