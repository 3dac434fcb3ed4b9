//! A route that sends SOAP messages, 1.1 or 1.2: JSON in front of an upstream that speaks XML.
//!
//! The envelope is rendered from a template, whose values are escaped; what stands in the `Body` of the answer becomes JSON by the
//! mapping of [`shape::xml`](crate::shape::xml), a fault a problem. Messages with attachments are refused: nobody would see them.

use crate::error::Error;
use crate::forward::Forward;
use crate::gateway::Substitute;
use crate::http::Body;
use crate::json::Kind;
use crate::shape::blueprint::Blueprint;
use crate::shape::rules::most_made;
use crate::shape::{Path, Step, Value, xml};
use crate::template::{Fill, Template};
use crate::translate::{Answered, Asked, Failure, Wanted, status_of, strange, untranslatable, written};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;

/// A message, and what becomes of its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Soap {
    /// To whom, and under which path.
    #[serde(rename = "f")]
    pub forward: Forward,
    /// Which SOAP.
    #[serde(rename = "s")]
    pub version: Version,
    /// What the message is for; `None`: it does not say.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Template>,
    /// What stands in its `Header`, if it has one.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Content>,
    /// What stands in its `Body`.
    #[serde(rename = "c")]
    pub content: Content,
    /// Whether they say something of the request's body.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_body: bool,
    /// How many bytes of that are read.
    #[serde(rename = "l")]
    pub request_limit: u64,
    /// How many bytes of the answer are read.
    #[serde(rename = "m")]
    pub answer_limit: u64,
    /// Whether prefixes and declarations of namespaces stay.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_namespaces: bool,
    /// What is a list, however many there are: paths from the `Body` on.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<Path>,
    /// What of the `Body` the client gets.
    #[serde(rename = "w", default)]
    pub wanted: Wanted,
    /// Statuses by the codes of faults, without their prefixes.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<(String, u16)>,
    /// Whether the client gets to see the details of faults.
    #[serde(rename = "t", default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_details: bool,
}

/// Which SOAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// SOAP 1.1 (W3C Note of May 2000).
    #[serde(rename = "1.1")]
    One,
    /// SOAP 1.2 (W3C Recommendation of April 2007).
    #[serde(rename = "1.2")]
    Two,
}

impl Version {
    /// Its number.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::One => "1.1",
            Version::Two => "1.2",
        }
    }

    /// The namespace of its envelope.
    pub fn namespace(self) -> &'static str {
        match self {
            Version::One => "http://schemas.xmlsoap.org/soap/envelope/",
            Version::Two => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Version::One => "text/xml",
            Version::Two => "application/soap+xml",
        }
    }

    fn of(namespace: &str) -> Option<Self> {
        [Version::One, Version::Two].into_iter().find(|version| version.namespace() == namespace)
    }
}

/// What stands in a part of the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// XML with values in it, which are escaped.
    Xml(Template),
    /// A value that becomes XML.
    Json(Blueprint),
}

impl Content {
    /// The templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Content::Xml(template) => vec![template],
            Content::Json(blueprint) => blueprint.templates(),
        }
    }

    fn render(&self, source: &dyn Fill, most: usize) -> Result<String, Error> {
        let impossible = || untranslatable("there is a character in it that XML has no place for");
        match self {
            Content::Xml(template) => {
                let is_bad = Cell::new(false);
                let text = template.render_with(source, |text, out| {
                    let mut escaped = Vec::new();
                    is_bad.set(is_bad.get() || xml::text(text, true, &mut escaped).is_err());
                    out.push_str(&String::from_utf8_lossy(&escaped));
                });
                if is_bad.get() { Err(impossible()) } else { Ok(text) }
            }
            Content::Json(blueprint) => {
                let mut out = Vec::new();
                if let Some(value) = blueprint.build(source) {
                    xml::write_content(&value, most, &mut out).map_err(|wrong| untranslatable(wrong.tell()))?;
                }
                String::from_utf8(out).map_err(|_| impossible())
            }
        }
    }
}

impl Soap {
    /// The templates of the message.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let contents = self.header.iter().chain([&self.content]).flat_map(Content::templates);
        self.action.iter().chain(contents)
    }

    /// What the upstream is sent.
    ///
    /// # Errors
    /// Where the request holds what no message can.
    pub fn request<S>(&self, asked: &Asked<'_>) -> Result<Substitute<S>, Error> {
        let most = most_made(self.request_limit);
        let (action, envelope) = asked.fill(self.reads_body, |source| {
            let action = self.action.as_ref().map(|action| action.render_with(source, |text, out| out.push_str(text)));
            if action
                .as_ref()
                .is_some_and(|action| action.contains(|c: char| c == '"' || c == '\\' || !c.is_ascii_graphic()))
            {
                return Err(untranslatable("the action of the message is no address"));
            }
            let namespace = self.version.namespace();
            let header = match &self.header {
                Some(header) => format!("<soap:Header>{}</soap:Header>", header.render(source, most)?),
                None => String::new(),
            };
            let content = self.content.render(source, most)?;
            let envelope = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soap:Envelope xmlns:soap=\"{namespace}\">{header}\
                 <soap:Body>{content}</soap:Body></soap:Envelope>"
            );
            Ok((action, envelope))
        })?;
        let media_type = self.version.media_type();
        let action = action.unwrap_or_default();
        let content_type = match self.version {
            Version::Two if !action.is_empty() => format!("{media_type}; charset=utf-8; action=\"{action}\""),
            Version::One | Version::Two => format!("{media_type}; charset=utf-8"),
        };
        let mut headers = asked.fields(&content_type, media_type, envelope.len());
        if self.version == Version::One {
            // SOAP 1.1 §6.1.1: there must be one, in quotes.
            headers.set("soapaction", format!("\"{action}\""));
        }
        Ok(Substitute { target: self.forward.path.apply(&asked.scope)?, headers, body: Body::Bytes(envelope.into()) })
    }

    /// What the client gets.
    ///
    /// # Errors
    /// Where there is a fault.
    pub fn answer(&self, answered: &Answered) -> Result<Vec<u8>, Error> {
        let Answered { status, headers, body } = answered;
        let none = |what: &str| strange(*status, format!("the answer to a SOAP message {what}"));
        let media_type = headers.media_type();
        if media_type.starts_with("multipart/") || media_type == "application/xop+xml" {
            let reason = "the answer to a SOAP message has attachments, which are not taken".to_owned();
            return Err(Error::UntranslatableResponse { reason });
        }
        if body.is_empty() && *status < 400 {
            // SOAP 1.2 part 2 §7.5.1.2: one way, and nothing comes back.
            return Ok(b"null".to_vec());
        }
        let text = std::str::from_utf8(body).map_err(|_| none("is not UTF-8"))?;
        let mut root = xml::read(text).map_err(|wrong| none(&format!("is not XML: {}", wrong.tell())))?;
        let Value::Object(members) = &mut root else { return Err(none("is not an envelope")) };
        let Some((name, envelope)) = members.pop() else { return Err(none("is not an envelope")) };
        let (prefix, local) = split(&name);
        let version = namespace(&envelope, prefix).as_deref().and_then(Version::of);
        let (Some(version), "Envelope") = (version, local) else { return Err(none("is not an envelope")) };
        let content = child(&envelope, "Body").ok_or_else(|| none("has no body"))?;
        if let Some(fault) = child(&content, "Fault") {
            return Err(self.failure(version, &fault));
        }
        if *status >= 400 {
            return Err(none("is an error, and no fault"));
        }
        let mut content = if self.keeps_namespaces { content } else { stripped(content) };
        if content.kind() == Kind::Text {
            content = Value::Object(Vec::new());
        }
        self.lists.iter().for_each(|path| make_list(&mut content, path.steps()));
        Ok(written(&self.wanted.of(content)?))
    }

    /// A fault as a problem. What it means is told by the most special of its codes that has a rule.
    fn failure(&self, version: Version, fault: &Value<'static>) -> Error {
        let text = |value: Option<Value<'static>>| value.and_then(plain).unwrap_or_default();
        let (code, special, reason, detail) = match version {
            Version::One => {
                let code = text(child(fault, "faultcode"));
                (code, String::new(), text(child(fault, "faultstring")), child(fault, "detail"))
            }
            Version::Two => {
                let code = child(fault, "Code");
                let special = code.as_ref().and_then(|code| child(&child(code, "Subcode")?, "Value"));
                let code = text(code.as_ref().and_then(|code| child(code, "Value")));
                let reason =
                    child(fault, "Reason").and_then(|reason| child(&reason, "Text")).map(|reason| match reason {
                        // One for each language: the first is as good as any.
                        Value::List(mut all) if !all.is_empty() => all.swap_remove(0),
                        other => other,
                    });
                (code, text(special), text(reason), child(fault, "Detail"))
            }
        };
        let (code, special) = (split(code.trim()).1.to_owned(), split(special.trim()).1.to_owned());
        // SOAP 1.1 §4.4.1: what stands behind a dot is more special.
        let general = code.split('.').next().unwrap_or_default();
        let status = status_of(&self.statuses, [special.as_str(), code.as_str(), general]);
        let status = status.unwrap_or(if matches!(general, "Client" | "Sender") { 400 } else { 502 });
        let mut members = serde_json::Map::new();
        let mut told = |name: &str, value: serde_json::Value| members.insert(name.to_owned(), value);
        told("code", code.into());
        if !special.is_empty() {
            told("subcode", special.into());
        }
        if let (true, Some(detail)) = (self.tells_details, detail) {
            let detail = if self.keeps_namespaces { detail } else { stripped(detail) };
            told("details", serde_json::from_str(&detail.to_text()).unwrap_or_default());
        }
        let detail = if reason.is_empty() { "The call has failed.".to_owned() } else { reason };
        Error::CallFailed(Box::new(Failure { status, detail, members }))
    }
}

/// The prefix of a name, empty where it has none, and the rest.
fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

/// The namespace that an element declares for a prefix.
fn namespace(element: &Value<'_>, prefix: &str) -> Option<String> {
    let name = if prefix.is_empty() { "@xmlns".to_owned() } else { format!("@xmlns:{prefix}") };
    Some(element.get(&[Step::Name(name)])?.into_plain()?.into_owned())
}

/// The first element of this local name in another one; several of it are a list.
fn child(element: &Value<'static>, local: &str) -> Option<Value<'static>> {
    let Value::Object(members) = element else { return None };
    let here = members.iter().find(|(name, _)| split(name).1 == local && !name.starts_with('@'));
    let ordered = || {
        let (_, list) = members.iter().find(|(name, _)| name == "#")?;
        let Value::List(items) = list else { return None };
        items.iter().find_map(|item| child(item, local))
    };
    here.map(|(_, value)| value.clone()).or_else(ordered)
}

/// The text of an element, whatever its attributes.
fn plain(element: Value<'static>) -> Option<String> {
    match element {
        Value::Text(text) => Some(text.into_owned()),
        other => Some(other.get(&[Step::Name("#text".to_owned())])?.into_plain()?.into_owned()),
    }
}

/// The same without prefixes and declarations of namespaces. What is `xsi:nil` is `null`; elements whose names become the same
/// are a list.
fn stripped(value: Value<'static>) -> Value<'static> {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(stripped).collect()),
        Value::Object(members) => {
            let is_nil = members.iter().any(|(name, value)| {
                name.strip_prefix('@').is_some_and(|name| matches!(split(name), (prefix, "nil") if !prefix.is_empty()))
                    && matches!(value, Value::Text(text) if text == "true" || text == "1")
            });
            if is_nil {
                return Value::NULL;
            }
            let mut kept: Vec<(std::borrow::Cow<'static, str>, Value<'static>)> = Vec::with_capacity(members.len());
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            for (name, value) in members {
                if name == "@xmlns" || name.starts_with("@xmlns:") {
                    continue;
                }
                let name = match name.strip_prefix('@') {
                    Some(name) => format!("@{}", split(name).1),
                    None => split(&name).1.to_owned(),
                };
                let value = stripped(value);
                match places.get(&name).and_then(|place| kept.get_mut(*place)) {
                    Some((_, known)) => join(known, value),
                    None => {
                        places.insert(name.clone(), kept.len());
                        kept.push((name.into(), value));
                    }
                }
            }
            match kept.as_slice() {
                [] => Value::Text("".into()),
                [(name, _)] if name == "#text" => kept.swap_remove(0).1,
                _ => Value::Object(kept),
            }
        }
        other => other,
    }
}

fn join(known: &mut Value<'static>, more: Value<'static>) {
    let before = std::mem::replace(known, Value::NULL);
    let mut all = match before {
        Value::List(items) => items,
        one => vec![one],
    };
    match more {
        Value::List(items) => all.extend(items),
        one => all.push(one),
    }
    *known = Value::List(all);
}

/// What stands in an element, one by one, where its order says something.
fn in_order<'v>(
    members: &'v mut [(std::borrow::Cow<'static, str>, Value<'static>)],
) -> impl Iterator<Item = &'v mut Value<'static>> {
    let ordered = members.iter_mut().filter(|(name, _)| name == "#");
    ordered.flat_map(|(_, list)| if let Value::List(items) = list { items.as_mut_slice() } else { &mut [] })
}

/// Makes a list of what is at a place, whether there is none, one or many; in lists on the way, in each of their items.
fn make_list(value: &mut Value<'static>, steps: &[Step]) {
    let Some((step, rest)) = steps.split_first() else {
        if value.kind() != Kind::List {
            let one = std::mem::replace(value, Value::NULL);
            *value = Value::List(vec![one]);
        }
        return;
    };
    match (value, step) {
        (Value::List(items), Step::Every) => items.iter_mut().for_each(|item| make_list(item, rest)),
        (Value::List(items), Step::Name(_)) => items.iter_mut().for_each(|item| make_list(item, steps)),
        (Value::Object(members), Step::Every) => members.iter_mut().for_each(|(_, member)| make_list(member, rest)),
        (Value::Object(members), Step::Name(name)) => match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, member)) => make_list(member, rest),
            // Those that stand between others are still where they were: the list is beside that.
            None if rest.is_empty() => {
                let list = Value::List(in_order(members).filter_map(|item| item.get(&steps[..1])).collect());
                members.push((name.clone().into(), list));
            }
            None => in_order(members).for_each(|item| make_list(item, steps)),
        },
        // An element with nothing in it has none of these either.
        (value @ Value::Text(_), Step::Name(name)) if rest.is_empty() => {
            if matches!(value, Value::Text(text) if text.is_empty()) {
                *value = Value::Object(vec![(name.clone().into(), Value::List(Vec::new()))]);
            }
        }
        (Value::Part(..) | Value::Raw(_) | Value::Text(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;
    use bytes::Bytes;

    fn soap() -> Soap {
        Soap {
            forward: Forward {
                upstream: 0,
                path: crate::forward::PathChange::Keep,
                host: None,
                timeouts: None,
                websocket: None,
            },
            version: Version::One,
            action: None,
            header: None,
            content: Content::Xml(Template::literal("")),
            reads_body: false,
            request_limit: 1 << 20,
            answer_limit: 0,
            keeps_namespaces: false,
            lists: Vec::new(),
            wanted: Wanted::default(),
            statuses: vec![("InvalidId".to_owned(), 404), ("Client".to_owned(), 422), ("Server.Busy".to_owned(), 503)],
            tells_details: true,
        }
    }

    fn answer(soap: &Soap, status: u16, body: &str) -> Result<String, Error> {
        let mut headers = Headers::new();
        headers.set("content-type", "text/xml");
        let answered = Answered { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
        soap.answer(&answered).map(|out| String::from_utf8(out).expect("it is text"))
    }

    fn envelope(version: Version, body: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"{}\"><e:Header><x/></e:Header><e:Body>{body}</e:Body></e:Envelope>",
            version.namespace()
        )
    }

    #[test]
    fn what_is_in_a_body_becomes_json() {
        let xml = r#"<m:R xmlns:m="urn:m" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><m:o i:type="m:O" m:id="7"><m:n>x</m:n>
            <m:z i:nil="true"/></m:o><p:o xmlns:p="urn:p">y</p:o><m:e/></m:R>"#;
        let text = envelope(Version::One, xml);
        let stripped = r#"{"R":{"o":[{"@type":"m:O","@id":"7","n":"x","z":null},"y"],"e":""}}"#;
        assert_eq!(answer(&soap(), 200, &text).as_deref(), Ok(stripped));
        let path = |path: &str| Path::parse(path).expect("a path");
        let wanted = |pick: &str| Wanted { pick: Some(path(pick)), ..Wanted::default() };
        let picks = Soap { wanted: wanted("R.o.0.n"), ..soap() };
        assert_eq!(answer(&picks, 200, &text).as_deref(), Ok("\"x\""));
        let keeps = Soap { keeps_namespaces: true, wanted: wanted("m:R.m:e"), ..soap() };
        assert_eq!(answer(&keeps, 200, &text).as_deref(), Ok("\"\""));
        let lists = Soap { lists: vec![path("R.o.n"), path("R.e.item"), path("R.more")], ..soap() };
        let listed = r#"{"R":{"o":[{"@type":"m:O","@id":"7","n":["x"],"z":null},"y"],"e":{"item":[]},"more":[]}}"#;
        assert_eq!(answer(&lists, 200, &text).as_deref(), Ok(listed));
        assert_eq!(answer(&soap(), 200, &envelope(Version::Two, "")).as_deref(), Ok("{}"));
        let mixed = envelope(Version::One, "<R><i>1</i><x/><i><j>2</j></i></R>");
        let lists = Soap { lists: vec![path("R.i.j"), path("R.i"), path("R.k")], ..soap() };
        let listed = r##"{"R":{"#":[{"i":"1"},{"x":""},{"i":{"j":["2"]}}],"i":["1",{"j":["2"]}],"k":[]}}"##;
        assert_eq!(answer(&lists, 200, &mixed).as_deref(), Ok(listed));
        assert_eq!(answer(&soap(), 202, "").as_deref(), Ok("null"));
    }

    /// It would not end in anybody's time if each name were looked for among all that came before.
    #[test]
    fn a_message_of_very_many_elements_is_read() {
        let many = 100_000;
        let elements: String = (0..many).map(|name| format!("<p:a{name:x}/><q:a{name:x}/>")).collect();
        let text = answer(&soap(), 200, &envelope(Version::One, &elements)).expect("it is a message");
        assert_eq!(text.matches(r#":["",""]"#).count(), many);
    }

    #[test]
    fn faults_of_both_versions_become_problems() {
        let one = |code: &str| {
            format!(
                "<e:Fault><faultcode>{code}</faultcode><faultstring>no &lt;order&gt;</faultstring><detail><d>1</d></detail></e:Fault>"
            )
        };
        let two = |code: &str, special: &str| {
            format!(
                "<e:Fault><e:Code><e:Value>{code}</e:Value><e:Subcode><e:Value>{special}</e:Value></e:Subcode></e:Code>\
                 <e:Reason><e:Text xml:lang=\"en\">no &lt;order&gt;</e:Text><e:Text xml:lang=\"de\">y</e:Text></e:Reason><e:Detail><d>1</d></e:Detail></e:Fault>"
            )
        };
        for (version, fault, status, code) in [
            (Version::One, one("e:Client"), 422, "Client"),
            (Version::One, one("e:Client.InvalidId"), 422, "Client.InvalidId"),
            (Version::One, one("m:InvalidId"), 404, "InvalidId"),
            (Version::One, one("Server.Busy"), 503, "Server.Busy"),
            (Version::One, one("e:Server"), 502, "Server"),
            (Version::Two, two("e:Sender", "m:InvalidId"), 404, "Sender"),
            (Version::Two, two("e:Sender", "m:Other"), 400, "Sender"),
            (Version::Two, two("e:Receiver", "m:Other"), 502, "Receiver"),
        ] {
            let Err(Error::CallFailed(failure)) = answer(&soap(), 500, &envelope(version, &fault)) else {
                panic!("{fault} is a fault")
            };
            assert_eq!((failure.status, failure.detail.as_str()), (status, "no <order>"), "{fault}");
            assert_eq!(failure.members["code"], code, "{fault}");
            assert_eq!(failure.members["details"], serde_json::json!({ "d": "1" }), "{fault}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_told_apart() {
        for (status, body, expected) in [
            (200, "<a/>", None),
            (200, "{}", None),
            (200, "<Envelope xmlns=\"urn:other\"><Body/></Envelope>", None),
            (200, "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"/>", None),
            (503, "busy", Some(503)),
            (404, "<html/>", Some(404)),
        ] {
            match (answer(&soap(), status, body), expected) {
                (Err(Error::UntranslatableResponse { .. }), None) => {}
                (Err(Error::CallFailed(failure)), Some(status)) => assert_eq!(failure.status, status, "{body}"),
                (other, _) => panic!("{body}: {other:?}"),
            }
        }
        let mut headers = Headers::new();
        headers.set("content-type", "Multipart/Related; type=\"text/xml\"; boundary=b");
        let answered = Answered { status: 200, headers, body: Bytes::from_static(b"--b\r\n") };
        let Err(Error::UntranslatableResponse { reason }) = soap().answer(&answered) else { panic!("it is refused") };
        assert!(reason.contains("attachments"), "{reason}");
    }
}
