//! What templates make of a value: `{name | lower | default: "nobody"}`.

use crate::consumer::hex;
use crate::http::{percent_decode, percent_encode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;

/// One of them. Each takes text and gives text; but for `default`, nothing stays nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// `lower`: the letters of ASCII as small ones. The tables for all the others would be in every module.
    Lower,
    /// `upper`: the letters of ASCII as capitals.
    Upper,
    /// `trim`: without space around it.
    Trim,
    /// `url_encode`: as it can stand in a query or in a segment of a path.
    UrlEncode,
    /// `url_decode`: what `%XX` stands for, as in parameters of the path, which stay as they were matched.
    UrlDecode,
    /// `base64`
    Base64,
    /// `sha256`: in lower-case hexadecimal.
    Sha256,
    /// `html`: as it can stand in HTML.
    Html,
    /// `number`: nothing, unless it is a number as JSON writes it.
    Number,
    /// `truncate: 8`: its first characters.
    Truncate(usize),
    /// `before: ","`: what stands before the first of these; all of it where there is none.
    Before(String),
    /// `after: " "`: what stands behind the first of these; nothing where there is none.
    After(String),
    /// `default: "none"`: this, where there is nothing.
    Default(String),
}

const PLAIN: [(&str, Function); 9] = [
    ("lower", Function::Lower),
    ("upper", Function::Upper),
    ("trim", Function::Trim),
    ("url_encode", Function::UrlEncode),
    ("url_decode", Function::UrlDecode),
    ("base64", Function::Base64),
    ("sha256", Function::Sha256),
    ("html", Function::Html),
    ("number", Function::Number),
];

impl Function {
    /// Reads one, with its argument in quotes or without.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name.trim(), Some(unquote(argument.trim())?)),
            None => (text.trim(), None),
        };
        if let Some((_, function)) = PLAIN.iter().find(|(known, _)| *known == name) {
            return match argument {
                None => Ok(function.clone()),
                Some(_) => Err(format!("`{name}` takes nothing behind a colon")),
            };
        }
        let argument = |example| argument.ok_or_else(|| format!("`{name}` needs something: `{name}: {example}`"));
        Ok(match name {
            "truncate" => {
                let length = argument("8")?;
                Function::Truncate(length.parse().map_err(|_| format!("`{length}` is not a number of characters"))?)
            }
            "before" => Function::Before(argument("\",\"")?.to_owned()),
            "after" => Function::After(argument("\" \"")?.to_owned()),
            "default" => Function::Default(argument("\"none\"")?.to_owned()),
            "" => {
                return Err(
                    "`|` stands before nothing; write what is to be made of the value, as in `{id | lower}`".to_owned()
                );
            }
            _ => {
                let known: Vec<_> = PLAIN.iter().map(|(known, _)| format!("`{known}`")).collect();
                return Err(format!(
                    "there is no `{name}`; what can be made of a value is {}, `truncate: …`, `before: …`, `after: …` and \
                     `default: …`",
                    known.join(", ")
                ));
            }
        })
    }

    fn apply<'a>(&self, text: Cow<'a, str>) -> Option<Cow<'a, str>> {
        Some(match self {
            Function::Lower => text.to_ascii_lowercase().into(),
            Function::Upper => text.to_ascii_uppercase().into(),
            Function::Trim => text.trim().to_owned().into(),
            Function::UrlEncode => percent_encode(&*text).into(),
            Function::UrlDecode => String::from_utf8_lossy(&percent_decode(&text)).into_owned().into(),
            Function::Base64 => STANDARD.encode(text.as_bytes()).into(),
            Function::Sha256 => hex(&Sha256::digest(text.as_bytes())).into(),
            Function::Html => {
                let mut out = String::with_capacity(text.len() + 16);
                html(&text, &mut out);
                out.into()
            }
            Function::Number => return is_number(&text).then_some(text),
            Function::Truncate(most) => match text.char_indices().nth(*most) {
                Some((end, _)) => text[..end].to_owned().into(),
                None => text,
            },
            Function::Before(mark) => match text.find(mark.as_str()) {
                Some(at) => text[..at].to_owned().into(),
                None => text,
            },
            Function::After(mark) => text.split_once(mark.as_str())?.1.to_owned().into(),
            Function::Default(_) => text,
        })
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Truncate(most) => write!(f, "truncate: \"{most}\""),
            Function::Before(mark) => write!(f, "before: \"{mark}\""),
            Function::After(mark) => write!(f, "after: \"{mark}\""),
            Function::Default(text) => write!(f, "default: \"{text}\""),
            plain => f.write_str(PLAIN.iter().find(|(_, known)| known == plain).map_or("", |(name, _)| name)),
        }
    }
}

/// One after the other. The empty text is nothing.
pub fn apply<'a>(value: Option<Cow<'a, str>>, functions: &'a [Function]) -> Option<Cow<'a, str>> {
    functions.iter().fold(value, |value, function| match (value.filter(|text| !text.is_empty()), function) {
        (Some(text), function) => function.apply(text),
        (None, Function::Default(text)) => Some(text.into()),
        (None, _) => None,
    })
}

/// The parts of a hole, with `|` between; what stands in quotes is not looked at.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == '|' && !quoted
    })
}

fn unquote(text: &str) -> Result<&str, String> {
    let inner = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or_else(|| format!("`{text}` lacks a quote at its end"))?,
        None => text,
    };
    if inner.contains('"') {
        return Err("a quote cannot stand in what is given to a function".to_owned());
    }
    Ok(inner)
}

/// Text as it can stand anywhere in HTML, in quotes too.
pub fn html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// Whether it is a number as JSON writes it (RFC 8259 §6).
pub fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_a_value() {
        for (value, functions, expected) in [
            ("ÄB", "lower", Some("Äb")),
            ("äb", "upper", Some("äB")),
            (" a ", "trim", Some("a")),
            ("a b/ä", "url_encode", Some("a%20b%2F%C3%A4")),
            ("a%20b%zz", "url_decode", Some("a b%zz")),
            ("a", "base64", Some("YQ==")),
            ("", "sha256", None),
            ("<a href=\"x\">'&", "html", Some("&lt;a href=&quot;x&quot;&gt;&#39;&amp;")),
            ("-1.5e+3", "number", Some("-1.5e+3")),
            ("01", "number", None),
            ("1.", "number", None),
            ("- 1", "number", None),
            ("äbc", "truncate: 2", Some("äb")),
            ("ab", "truncate: 5", Some("ab")),
            ("a,b,c", "before: \",\"", Some("a")),
            ("a", "before: \",\"", Some("a")),
            ("Bearer x y", "after: \" \"", Some("x y")),
            ("Bearer", "after: \" \"|default: none", Some("none")),
            ("", "default: \"a | b\"|upper", Some("A | B")),
            ("  ", "trim|default: x", Some("x")),
        ] {
            let functions: Vec<_> = parts(functions).map(|text| Function::parse(text).expect("one")).collect();
            assert_eq!(apply(Some(value.into()), &functions).as_deref(), expected, "{value} {functions:?}");
        }
    }
}
