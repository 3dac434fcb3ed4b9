//! XML as JSON, and back, so that nothing is lost on the way there and back but what nobody should rely on.
//!
//! - An element is a member by its name: `<a>x</a>` is `{"a": "x"}`. With neither attributes nor elements in it, it is its text.
//! - Attributes are members with `@` before their names: `<a b="1"/>` is `{"a": {"@b": "1"}}`.
//! - Text beside attributes is `#text`: `<a b="1">x</a>` is `{"a": {"@b": "1", "#text": "x"}}`.
//! - Elements of one name are a list: `<a><b>1</b><b>2</b></a>` is `{"a": {"b": ["1", "2"]}}`.
//! - Where the order says something that this cannot, because text stands between elements, or elements of one name are not
//!   next to each other, `#` is a list of all in order: `<a>x<b/>y</a>` is `{"a": {"#": ["x", {"b": ""}, "y"]}}`.
//!
//! Not kept: comments, processing instructions, the declaration, and space between elements. A document type is refused: nobody
//! expands what it defines. Back from JSON, a number or `true` is its text, `null` an empty element, a list in a list elements
//! called `item`; what cannot be the name of an element is refused.

use super::rules::{Wrong, too_long};
use super::value::Value;
use crate::json::Kind;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use std::borrow::Cow;
use std::collections::BTreeSet;

const DEEPEST: usize = 64;

/// An element whose end has not come yet.
struct Open {
    name: String,
    attributes: Vec<(String, String)>,
    content: Vec<Content>,
}

enum Content {
    Text(String),
    Element(String, Value<'static>),
}

/// Reads a document.
pub fn read(text: &str) -> Result<Value<'static>, Wrong> {
    let wrong = |reason: String| Err(Wrong::Malformed(reason));
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    loop {
        let at = reader.buffer_position();
        let broken = || Err(Wrong::Malformed(format!("The body is not XML from byte {at} on.")));
        let Ok(event) = reader.read_event() else { return broken() };
        let (piece, may_stand_outside) = match event {
            Event::Start(start) => {
                if open.len() >= DEEPEST {
                    return wrong(format!("Elements stand deeper in each other than {DEEPEST} levels."));
                }
                let Some(element) = begun(&start).filter(|_| !(open.is_empty() && root.is_some())) else {
                    return broken();
                };
                open.push(element);
                continue;
            }
            Event::Empty(start) => {
                let Some(element) = begun(&start).filter(|_| !(open.is_empty() && root.is_some())) else {
                    return broken();
                };
                close(element, &mut open, &mut root);
                continue;
            }
            Event::End(_) => {
                let Some(element) = open.pop() else { return broken() };
                close(element, &mut open, &mut root);
                continue;
            }
            Event::Text(text) => {
                let text = text.xml10_content().into_owned();
                let is_space = text.trim_matches([' ', '\t', '\n', '\r']).is_empty();
                (text, is_space)
            }
            Event::CData(text) => (text.xml10_content().into_owned(), false),
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref() {
                    Ok(Some(c)) => Some(c),
                    Ok(None) => match reference.xml10_content().as_ref() {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => None,
                    },
                    Err(_) => None,
                };
                let Some(character) = character.filter(|c| is_character(*c)) else { return broken() };
                (character.to_string(), false)
            }
            Event::DocType(_) => return wrong("A document type is not taken.".to_owned()),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            Event::Eof => break,
        };
        if !piece.chars().all(is_character) {
            return broken();
        }
        match open.last_mut() {
            Some(inner) => match inner.content.last_mut() {
                Some(Content::Text(text)) => text.push_str(&piece),
                _ => inner.content.push(Content::Text(piece)),
            },
            None if may_stand_outside => {}
            None => return broken(),
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => wrong("The body ends before its XML does.".to_owned()),
    }
}

fn begun(start: &BytesStart<'_>) -> Option<Open> {
    let name = start.name().as_ref().to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let key = attribute.key.as_ref().to_owned();
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned();
        if !is_name(&key) || !value.chars().all(is_character) {
            return None;
        }
        attributes.push((key, value));
    }
    is_name(&name).then_some(Open { name, attributes, content: Vec::new() })
}

fn close(element: Open, open: &mut [Open], root: &mut Option<Value<'static>>) {
    let name = element.name.clone();
    let value = value_of(element);
    match open.last_mut() {
        Some(outer) => outer.content.push(Content::Element(name, value)),
        None => *root = Some(Value::Object(vec![(name.into(), value)])),
    }
}

fn value_of(element: Open) -> Value<'static> {
    let Open { attributes, mut content, .. } = element;
    let has_elements = content.iter().any(|content| matches!(content, Content::Element(..)));
    if has_elements {
        content.retain(|content| match content {
            Content::Text(text) => !text.trim_matches([' ', '\t', '\n', '\r']).is_empty(),
            Content::Element(..) => true,
        });
    }
    let mut members: Vec<(Cow<'static, str>, Value<'static>)> =
        attributes.into_iter().map(|(name, value)| (format!("@{name}").into(), Value::Text(value.into()))).collect();
    if !has_elements {
        let text = content.into_iter().filter_map(|content| match content {
            Content::Text(text) => Some(text),
            Content::Element(..) => None,
        });
        let text: String = text.collect();
        if members.is_empty() {
            return Value::Text(text.into());
        }
        if !text.is_empty() {
            members.push(("#text".into(), Value::Text(text.into())));
        }
        return Value::Object(members);
    }
    if is_ordered(&content) {
        let items = content.into_iter().map(|content| match content {
            Content::Text(text) => Value::Text(text.into()),
            Content::Element(name, value) => Value::Object(vec![(name.into(), value)]),
        });
        members.push(("#".into(), Value::List(items.collect())));
        return Value::Object(members);
    }
    let mut lists: Vec<(String, Vec<Value<'static>>)> = Vec::new();
    for content in content {
        let Content::Element(name, value) = content else { continue };
        match lists.last_mut() {
            Some((last, values)) if *last == name => values.push(value),
            _ => lists.push((name, vec![value])),
        }
    }
    members.extend(lists.into_iter().map(|(name, mut values)| {
        let value = if values.len() == 1 { values.pop().unwrap_or(Value::NULL) } else { Value::List(values) };
        (name.into(), value)
    }));
    Value::Object(members)
}

/// Whether the order of what is in an element would be lost in an object.
fn is_ordered(content: &[Content]) -> bool {
    let (mut last, mut known) = (None, BTreeSet::new());
    for content in content {
        let Content::Element(name, _) = content else { return true };
        if last != Some(name) && !known.insert(name) {
            return true;
        }
        last = Some(name);
    }
    false
}

/// Writes a value as a document of not much more than `most` bytes. An object with one member is that element; anything else stands in
/// one called `root`.
pub fn write(value: &Value<'_>, most: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
    out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let value = opened(value);
    match value.as_ref() {
        Value::Object(members) => match members.as_slice() {
            [(name, inner)] if is_name(name) && inner.kind() != Kind::List => element(name, inner, most, out),
            _ => element("root", value.as_ref(), most, out),
        },
        other => element("root", other, most, out),
    }
}

/// Writes the members of an object as elements, one after another.
#[cfg(feature = "soap")]
pub fn write_content(value: &Value<'_>, most: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
    match opened(value).as_ref() {
        Value::Object(members) => members.iter().try_for_each(|(name, value)| member(name, value, most, out)),
        other => text(&other.clone().into_plain().unwrap_or_default(), false, out),
    }
}

/// The value with its members or items to be seen, and no copy of what has them already.
fn opened<'v, 'a>(value: &'v Value<'a>) -> Cow<'v, Value<'a>> {
    match value {
        Value::Part(..) => {
            let mut value = value.clone();
            value.open();
            Cow::Owned(value)
        }
        Value::Raw(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => Cow::Borrowed(value),
    }
}

fn element(name: &str, value: &Value<'_>, most: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
    // A list has its name once, and an element for each item twice.
    if out.len() + 2 * name.len() > most {
        return Err(too_long(most));
    }
    if !is_name(name) {
        return Err(Wrong::Malformed(format!("`{}` cannot be the name of an element.", short(name))));
    }
    let value = opened(value);
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    match value.as_ref() {
        Value::Object(members) => {
            for (name, value) in members {
                let Some(name) = name.strip_prefix('@') else { continue };
                if !is_name(name) {
                    return Err(Wrong::Malformed(format!("`{}` cannot be the name of an attribute.", short(name))));
                }
                out.push(b' ');
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"=\"");
                text(&value.clone().into_plain().unwrap_or_default(), true, out)?;
                out.push(b'"');
            }
            out.push(b'>');
            for (name, value) in members {
                match name.as_ref() {
                    name if name.starts_with('@') => {}
                    "#text" => text(&value.clone().into_plain().unwrap_or_default(), false, out)?,
                    "#" => ordered(value, most, out)?,
                    name => member(name, value, most, out)?,
                }
            }
        }
        Value::List(items) => {
            out.push(b'>');
            items.iter().try_for_each(|item| element("item", item, most, out))?;
        }
        other => {
            out.push(b'>');
            text(&other.clone().into_plain().unwrap_or_default(), false, out)?;
        }
    }
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    Ok(())
}

/// A list is as many elements of the name.
fn member(name: &str, value: &Value<'_>, most: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
    match opened(value).as_ref() {
        Value::List(items) => items.iter().try_for_each(|item| element(name, item, most, out)),
        other => element(name, other, most, out),
    }
}

fn ordered(value: &Value<'_>, most: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
    let value = opened(value);
    let Value::List(items) = value.as_ref() else { return element("item", &value, most, out) };
    for item in items {
        match opened(item).as_ref() {
            Value::Object(members) => members.iter().try_for_each(|(name, value)| member(name, value, most, out))?,
            other => text(&other.clone().into_plain().unwrap_or_default(), false, out)?,
        }
    }
    Ok(())
}

/// Writes a text, escaped.
pub fn text(text: &str, in_attribute: bool, out: &mut Vec<u8>) -> Result<(), Wrong> {
    if let Some(c) = text.chars().find(|c| !is_character(*c)) {
        return Err(Wrong::Malformed(format!("XML has no place for the character U+{:04X}.", u32::from(c))));
    }
    for piece in escape(text).split_inclusive(['\r', '\n', '\t']) {
        // Readers would make other white space of these.
        let (plain, special) = match piece.as_bytes().last() {
            Some(b'\r') => (&piece[..piece.len() - 1], "&#13;"),
            Some(b'\n') if in_attribute => (&piece[..piece.len() - 1], "&#10;"),
            Some(b'\t') if in_attribute => (&piece[..piece.len() - 1], "&#9;"),
            _ => (piece, ""),
        };
        out.extend_from_slice(plain.as_bytes());
        out.extend_from_slice(special.as_bytes());
    }
    Ok(())
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

/// XML 1.0 §2.2.
fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// XML 1.0 §2.3, with the colon of namespaces.
fn is_name(name: &str) -> bool {
    let starts = |c: char| {
        matches!(c, ':' | 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
            | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
            | '\u{10000}'..='\u{EFFFF}')
    };
    let goes_on = |c: char| {
        starts(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    };
    name.starts_with(starts) && name.chars().all(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Json, Limits};

    fn written(value: &Value<'_>) -> Result<String, Wrong> {
        let mut out = Vec::new();
        write(value, 1_000, &mut out)?;
        let text = String::from_utf8(out).expect("it is text");
        Ok(text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("the declaration").to_owned())
    }

    #[test]
    fn documents_become_objects_and_documents_again() {
        for (xml, json) in [
            ("<a></a>", r#"{"a":""}"#),
            ("<a>x &lt;&#65; y</a>", r#"{"a":"x <A y"}"#),
            (r#"<a b="1" c="&quot;&#10;"></a>"#, r#"{"a":{"@b":"1","@c":"\"\n"}}"#),
            (r#"<a b="1">x</a>"#, r##"{"a":{"@b":"1","#text":"x"}}"##),
            ("<a><b>1</b><b>2</b><c></c></a>", r#"{"a":{"b":["1","2"],"c":""}}"#),
            ("<a><b>1</b><c></c><b>2</b></a>", r##"{"a":{"#":[{"b":"1"},{"c":""},{"b":"2"}]}}"##),
            ("<p>x<b>y</b> z</p>", r##"{"p":{"#":["x",{"b":"y"}," z"]}}"##),
            (r#"<s:e xmlns:s="u"><s:b> </s:b></s:e>"#, r#"{"s:e":{"@xmlns:s":"u","s:b":" "}}"#),
        ] {
            let value = read(xml).expect(xml);
            assert_eq!(value.to_text(), json, "{xml}");
            let again = written(&value).expect("it was XML");
            assert_eq!(read(&again).expect("it is XML").to_text(), json, "{again}");
        }
        // What is not kept, and what is the same.
        let xml = "<?xml version=\"1.0\"?>\n<!-- c --><a>\n <b/>\n <?p i?><c><![CDATA[<x>]]>y</c>\n</a>\n";
        assert_eq!(read(xml).expect("XML").to_text(), r#"{"a":{"b":"","c":"<x>y"}}"#);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        for xml in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a b='1' b='2'/>",
            "<a b=1/>",
            "<a>&nbsp;</a>",
            "<a>&#0;</a>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<a>\u{1}</a>",
            "<1/>",
            &deep,
        ] {
            assert!(matches!(read(xml), Err(Wrong::Malformed(_))), "{xml}: {:?}", read(xml));
        }
    }

    /// It would not end in anybody's time if each name were compared with all before it.
    #[test]
    fn an_element_of_very_many_names_is_read() {
        let many = 100_000;
        let elements: String = (0..many).map(|name| format!("<a{name:x}/>")).collect();
        let attributes: String = (0..many).map(|name| format!(" a{name:x}=''")).collect();
        for (xml, is_ordered) in [
            (format!("<a>{elements}</a>"), false),
            (format!("<a>{elements}<a0/></a>"), true),
            (format!("<a{attributes}/>"), false),
        ] {
            let Ok(Value::Object(root)) = read(&xml) else { panic!("it is XML") };
            let [(_, Value::Object(members))] = root.as_slice() else { panic!("there is one element") };
            assert_eq!(members.len(), if is_ordered { 1 } else { many });
        }
        assert!(read(&format!("<a{attributes} a0=''/>")).is_err());
    }

    /// A name of a list stands there once, and before and behind each of its items afterwards.
    #[test]
    fn a_document_is_not_much_longer_than_it_may_be() {
        let json = format!(r#"{{"{}":[{}1]}}"#, "a".repeat(100), "1,".repeat(100));
        let parts = json::read(&json, &Limits::USUAL).expect("it is JSON");
        for (most, fits) in [(100 * 210, true), (100 * 200, false), (0, false)] {
            let mut out = Vec::new();
            let written = write(&Value::new(Json::new(&json, &parts)), most, &mut out);
            assert_eq!(written.is_ok(), fits, "{most}");
            assert!(out.len() <= most + 300, "{most}");
        }
    }

    #[test]
    fn json_becomes_a_document() {
        for (json, xml) in [
            (
                r#"{"a":{"n":1.50,"t":true,"z":null,"l":[1,[2,3]]}}"#,
                "<a><n>1.50</n><t>true</t><z></z><l>1</l><l><item>2</item><item>3</item></l></a>",
            ),
            (r#"{"a":1,"b":2}"#, "<root><a>1</a><b>2</b></root>"),
            (r#"[1,"<"]"#, "<root><item>1</item><item>&lt;</item></root>"),
            (r#"{"a":[1]}"#, "<root><a>1</a></root>"),
            ("\"x\\ry\"", "<root>x&#13;y</root>"),
        ] {
            let parts = json::read(json, &Limits::USUAL).expect("it is JSON");
            assert_eq!(written(&Value::new(Json::new(json, &parts))).as_deref(), Ok(xml), "{json}");
        }
        for json in [r#"{"a b":1}"#, r#"{"a":{"@1":1}}"#, r#"{"a":"\u0000"}"#, r##"{"a":{"#":[{"1":1}]}}"##] {
            let parts = json::read(json, &Limits::USUAL).expect("it is JSON");
            assert!(matches!(written(&Value::new(Json::new(json, &parts))), Err(Wrong::Malformed(_))), "{json}");
        }
    }
}
