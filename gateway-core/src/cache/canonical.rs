//! One spelling for bodies that mean the same, so that they share a key: JSON without insignificant white space, members in
//! order of their names.
//!
//! What could be read in two ways (names that stand twice, or are written with escapes) has no other spelling than its own: a
//! cache that takes two bodies for one would hand out the answer to the other.

use std::fmt::Write;

/// The canonical spelling; `None`: it is not JSON, or not safe to bring into one.
pub fn json(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader { rest: text };
    let value = reader.value(DEEPEST)?;
    reader.space();
    if reader.rest.is_empty() { Some(value) } else { None }
}

/// How deep lists and objects may stand in each other.
const DEEPEST: usize = 64;

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, token: char) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, deep: usize) -> Option<String> {
        self.space();
        match self.rest.as_bytes().first()? {
            b'{' => self.object(deep.checked_sub(1)?),
            b'[' => self.list(deep.checked_sub(1)?),
            b'"' => self.string().map(str::to_owned),
            _ => self.scalar().map(str::to_owned),
        }
    }

    fn object(&mut self, deep: usize) -> Option<String> {
        self.eat('{');
        let mut members: Vec<(&str, String)> = Vec::new();
        if !self.eat('}') {
            loop {
                self.space();
                let name = self.string()?;
                if name.contains('\\') || !self.eat(':') {
                    return None;
                }
                members.push((name, self.value(deep)?));
                if self.eat('}') {
                    break;
                }
                if !self.eat(',') {
                    return None;
                }
            }
        }
        members.sort_by_key(|(name, _)| *name);
        if members.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
            return None;
        }
        let mut text = String::from("{");
        for (at, (name, value)) in members.iter().enumerate() {
            // A String takes whatever is written.
            let _ = write!(text, "{}{name}:{value}", if at == 0 { "" } else { "," });
        }
        text.push('}');
        Some(text)
    }

    fn list(&mut self, deep: usize) -> Option<String> {
        self.eat('[');
        let mut text = String::from("[");
        if !self.eat(']') {
            loop {
                text.push_str(&self.value(deep)?);
                if self.eat(']') {
                    break;
                }
                if !self.eat(',') {
                    return None;
                }
                text.push(',');
            }
        }
        text.push(']');
        Some(text)
    }

    /// With its quotes, as it is written.
    fn string(&mut self) -> Option<&'a str> {
        let inner = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        let end = inner.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        let (string, rest) = self.rest.split_at(end + 2);
        self.rest = rest;
        // Whoever reads a raw control character reads something of their own.
        if string.bytes().any(|byte| byte < 0x20) { None } else { Some(string) }
    }

    /// A number or a word, as it is written: `1.0` and `1` are two.
    fn scalar(&mut self) -> Option<&'a str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (scalar, rest) = self.rest.split_at(end);
        self.rest = rest;
        // serde_json knows which of these are JSON.
        serde_json::from_str::<serde::de::IgnoredAny>(scalar).ok().map(|_| scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_spelt_the_same() {
        for (body, canonical) in [
            (
                "{ \"b\" : [1, 2 ,\n3], \"a\": {\"y\":null,\"x\":\"a b\"} }",
                Some("{\"a\":{\"x\":\"a b\",\"y\":null},\"b\":[1,2,3]}"),
            ),
            (" [] ", Some("[]")),
            ("{}", Some("{}")),
            ("\"a\\\"b\"", Some("\"a\\\"b\"")),
            ("1.0", Some("1.0")),
            ("-0", Some("-0")),
            ("true", Some("true")),
        ] {
            assert_eq!(json(body.as_bytes()).as_deref(), canonical, "{body}");
        }
        assert_ne!(json(b"1.0"), json(b"1"));
        assert_ne!(json(b"12345678901234567890123"), json(b"12345678901234567890124"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_left_as_it_is() {
        for body in [
            "",
            "{\"a\":1,\"a\":2}",
            "{\"\\u0061\":1}",
            "{\"a\":1,}",
            "[1 2]",
            "{a:1}",
            "nul",
            "01",
            "1 2",
            "\"",
            "\"a\nb\"",
            "+1",
        ] {
            assert_eq!(json(body.as_bytes()), None, "{body}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(json(deep.as_bytes()), None);
    }
}
