//! What a client asks for: GraphQL over HTTP, with what Apollo's clients and the draft on persisted documents add to it.
//!
//! Strict, because another reader stands behind us: what it could take from another place than we do is refused.

use crate::http;
use crate::json::{self, Json, Kind};
use crate::shape::Value;
use std::borrow::Cow;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The document.
    pub query: Option<Cow<'a, str>>,
    /// Which of its operations is meant.
    pub operation: Option<Cow<'a, str>>,
    /// A JSON object.
    pub variables: Option<Cow<'a, str>>,
    /// A JSON object, without what says which document is meant.
    pub extensions: Option<Cow<'a, str>>,
    /// What the document is called, where it is called something.
    pub known_as: Option<KnownAs>,
}

/// What a document is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownAs {
    /// The SHA-256 of its text (Apollo's automatic persisted queries).
    Hash(String),
    /// Whatever it is called (GraphQL over HTTP, persisted documents).
    Id(String),
}

impl KnownAs {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            KnownAs::Hash(name) | KnownAs::Id(name) => name,
        }
    }
}

/// The parameters of a request.
const PARAMETERS: [&str; 5] = ["query", "operationName", "variables", "extensions", "documentId"];

/// Whether a name is one of those for servers that ignore case, and only for them.
fn is_misspelt(name: &str) -> bool {
    !PARAMETERS.contains(&name) && PARAMETERS.iter().any(|known| json::is_same_without_case(name, known))
}

/// The longest name of a document.
const LONGEST_NAME: usize = 256;

impl<'a> Asked<'a> {
    /// Reads what a query of an address says.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn from_query(query: &'a str) -> Result<Self, String> {
        for name in http::parameter_names(query) {
            let first = name.split(['[', '.']).next().unwrap_or_default();
            if name != first && PARAMETERS.contains(&first) || is_misspelt(first) {
                return Err(format!("The parameter `{first}` is written in a way that servers read differently."));
            }
        }
        let one = |name: &'static str| {
            let mut values = http::parameters(query, name);
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(format!("The parameter `{name}` stands there twice.")),
                (value, None) => Ok(value.filter(|value| !value.is_empty())),
            }
        };
        let mut asked = Asked { query: one("query")?, operation: one("operationName")?, ..Asked::default() };
        if let Some(variables) = one("variables")?.filter(|text| text.trim() != "null") {
            object(&variables, "variables")?;
            asked.variables = Some(variables);
        }
        if let Some(extensions) = one("extensions")?.filter(|text| text.trim() != "null") {
            object(&extensions, "extensions")?;
            asked.extend(extensions)?;
        }
        if let Some(id) = one("documentId")? {
            asked.name(KnownAs::Id(id.into_owned()))?;
        }
        Ok(asked)
    }

    /// Whether the query of an address says something that belongs into the body.
    pub fn is_in(query: Option<&str>) -> bool {
        let names = query.map(http::parameter_names).into_iter().flatten();
        let mut firsts = names.map(|name| name.split(['[', '.']).next().unwrap_or_default().to_owned());
        firsts.any(|first| PARAMETERS.contains(&first.as_str()) || is_misspelt(&first))
    }

    /// Reads what a body says, or a part of one.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn from_json(json: Json<'a>, part: u32) -> Result<Self, String> {
        if json.kind(part) != Kind::Object {
            return Err("The body is not a GraphQL request: a JSON object with `query`.".to_owned());
        }
        let mut asked = Asked::default();
        for (name, value) in json.members(part) {
            let name = json.text(name);
            let kind = json.kind(value);
            let wrong = |what: &str| Err(format!("`{name}` is not {what}."));
            if kind == Kind::Null && PARAMETERS.contains(&name.as_ref()) {
                continue;
            }
            match (name.as_ref(), kind) {
                ("query", Kind::Text) => asked.query = Some(json.text(value)),
                ("operationName", Kind::Text) => {
                    asked.operation = Some(json.text(value)).filter(|name| !name.is_empty());
                }
                ("variables", Kind::Object) => asked.variables = Some(json.raw(value).into()),
                ("extensions", Kind::Object) => asked.extend(json.raw(value).into())?,
                ("documentId", Kind::Text) => asked.name(KnownAs::Id(json.text(value).into_owned()))?,
                ("query" | "operationName" | "documentId", _) => return wrong("a string"),
                ("variables" | "extensions", _) => return wrong("an object"),
                // What we do not know another one may know, and take a document from there.
                _ => return wrong("a part of a GraphQL request"),
            }
        }
        Ok(asked)
    }

    /// Takes the extensions, and from them what says which document is meant.
    fn extend(&mut self, text: Cow<'a, str>) -> Result<(), String> {
        let bad =
            || "`extensions.persistedQuery` is not what names a document: `version` 1 and `sha256Hash`.".to_owned();
        let parts = json::read(&text, &json::Limits::USUAL).map_err(|_| "`extensions` is not JSON.".to_owned())?;
        let json = Json::new(&text, &parts);
        let mut rest = Value::new(json);
        rest.open();
        let Value::Object(members) = &mut rest else { return Err("`extensions` is not an object.".to_owned()) };
        let Some(at) = members.iter().position(|(name, _)| name == "persistedQuery") else {
            self.extensions = (!members.is_empty()).then_some(text);
            return Ok(());
        };
        let (_, persisted) = members.remove(at);
        let member = |name: &str| persisted.get(&[crate::shape::Step::Name(name.to_owned())]);
        let version = member("version").and_then(Value::into_plain);
        let hash = member("sha256Hash").filter(|hash| hash.kind() == Kind::Text).and_then(Value::into_plain);
        let Some(hash) = hash.filter(|_| version.as_deref() == Some("1")) else { return Err(bad()) };
        let hash = hash.into_owned();
        self.extensions = (!members.is_empty()).then(|| rest.to_text().into());
        self.name(KnownAs::Hash(hash))
    }

    fn name(&mut self, name: KnownAs) -> Result<(), String> {
        if self.known_as.is_some() {
            return Err("The document is named twice.".to_owned());
        }
        if name.name().is_empty() || name.name().len() > LONGEST_NAME {
            return Err(format!("The name of a document has 1 to {LONGEST_NAME} characters."));
        }
        self.known_as = Some(name);
        Ok(())
    }

    /// The same request as a body, with this document.
    pub fn write(&self, query: &str, out: &mut Vec<u8>) {
        let text = |text: &str| Value::Text(text.to_owned().into());
        let raw = |raw: &str| Value::Raw(raw.to_owned().into());
        let mut members = vec![("query".into(), text(query))];
        members.extend(self.operation.as_deref().map(|name| ("operationName".into(), text(name))));
        members.extend(self.variables.as_deref().map(|variables| ("variables".into(), raw(variables))));
        members.extend(self.extensions.as_deref().map(|extensions| ("extensions".into(), raw(extensions))));
        Value::Object(members).write(out);
    }
}

fn object(text: &str, name: &str) -> Result<(), String> {
    match json::read(text, &json::Limits::USUAL) {
        Ok(parts) if Json::new(text, &parts).kind(0) == Kind::Object => Ok(()),
        Ok(_) | Err(_) => Err(format!("The parameter `{name}` is not a JSON object.")),
    }
}

/// A number of JSON as a number of things; `None` where it is none.
pub fn whole(raw: &str) -> Option<u64> {
    if raw.starts_with('-') {
        return Some(0);
    }
    // GraphQL takes `1e3` and `10.0` for whole numbers as well. What is too large is as large as can be.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is no less than nothing, and `as` stops at the largest"
    )]
    raw.parse::<u64>().ok().or_else(|| raw.parse::<f64>().ok().map(|number| number.ceil() as u64))
}

/// The query of an address without what belongs to GraphQL.
pub fn others(query: Option<&str>) -> Option<String> {
    let pairs = query?.split('&').filter(|pair| {
        let name = http::decode(pair.split_once('=').map_or(*pair, |(name, _)| name));
        !pair.is_empty() && !PARAMETERS.contains(&name.as_ref())
    });
    let pairs: Vec<&str> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// Whether an answer has data, and tells of no error.
pub fn has_no_errors(body: &[u8]) -> bool {
    let limits = json::Limits { duplicates: true, ..json::Limits::USUAL };
    let Some(text) = std::str::from_utf8(body).ok() else { return false };
    let Ok(parts) = json::read(text, &limits) else { return false };
    let json = Json::new(text, &parts);
    let is_there = |wanted: &str| {
        let mut members = json.members(0).filter(|(name, _)| json.text(*name) == wanted);
        members.any(|(_, value)| json.kind(value) != Kind::Null)
    };
    json.kind(0) == Kind::Object && is_there("data") && !is_there("errors")
}

/// What answer a client wants, by its `Accept`: the media type of a GraphQL response, or `None` for none of these.
pub fn response_form(headers: &http::Headers) -> Option<&'static str> {
    let wants = |wanted: &str| {
        http::list(headers, "accept").any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|range| range.eq_ignore_ascii_case(wanted));
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            named && !weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        })
    };
    [super::RESPONSE, "application/json"].into_iter().find(|form| wants(form))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_json(text: &str) -> Result<Asked<'static>, String> {
        let parts = json::read(text, &json::Limits::USUAL).expect("it is JSON");
        let asked = Asked::from_json(Json::new(text, &parts), 0)?;
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Ok(Asked {
            query: owned(asked.query),
            operation: owned(asked.operation),
            variables: owned(asked.variables),
            extensions: owned(asked.extensions),
            known_as: asked.known_as,
        })
    }

    #[test]
    fn bodies_and_queries_say_the_same() {
        let body = r#"{"query":"{a}","operationName":"Q","variables":{"a":[1]},
            "extensions":{"x":1,"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#;
        let query = "query=%7Ba%7D&operationName=Q&variables=%7B%22a%22:[1]%7D&other=1\
            &extensions={\"x\":1,\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"ab\"}}";
        let expected = Asked {
            query: Some("{a}".into()),
            operation: Some("Q".into()),
            variables: Some("{\"a\":[1]}".into()),
            extensions: Some("{\"x\":1}".into()),
            known_as: Some(KnownAs::Hash("ab".into())),
        };
        assert_eq!(from_json(body).as_ref(), Ok(&expected));
        assert_eq!(Asked::from_query(query).as_ref(), Ok(&expected));
        let mut out = Vec::new();
        expected.write("{b}", &mut out);
        let written = r#"{"query":"{b}","operationName":"Q","variables":{"a":[1]},"extensions":{"x":1}}"#;
        assert_eq!(String::from_utf8_lossy(&out), written);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in [
            "[]",
            r#"{"query":1}"#,
            r#"{"query":["{a}"]}"#,
            r#"{"variables":"{}"}"#,
            r#"{"variables":[]}"#,
            r#"{"id":"x"}"#,
            r#"{"Query":"{a}"}"#,
            r#"{"extensions":{"persistedQuery":{"version":2,"sha256Hash":"a"}}}"#,
            r#"{"extensions":{"persistedQuery":null}}"#,
            r#"{"documentId":"a","extensions":{"persistedQuery":{"version":1,"sha256Hash":"a"}}}"#,
            r#"{"documentId":""}"#,
        ] {
            assert!(from_json(body).is_err(), "{body}");
        }
        assert_eq!(from_json(r#"{"query":null,"operationName":"","extensions":{}}"#), Ok(Asked::default()));
        for query in [
            "query={a}&query={b}",
            "query[]={a}",
            "query.x=1",
            "query={a}&Query={b}",
            "QUERY={a}",
            "query={a}&operationname=x",
            "query={a}&Exten%C5%BFions[x]=1",
            "variables=1",
            "variables=[]",
            "extensions={",
        ] {
            assert!(Asked::from_query(query).is_err(), "{query}");
        }
        assert!(Asked::from_query("query={a}&queries=1&trace=1").is_ok());
        assert!(Asked::is_in(Some("x=1&%71uery={a}")));
        assert!(Asked::is_in(Some("variables[a]=1")));
        assert!(Asked::is_in(Some("Query={a}")));
        assert!(Asked::is_in(Some("documentID=a")));
        assert!(!Asked::is_in(Some("x=query&querying=1")));
    }

    #[test]
    fn numbers_of_things_are_never_too_small() {
        for (raw, number) in
            [("0", 0), ("7", 7), ("-3", 0), ("1e3", 1_000), ("10.0", 10), ("2.5", 3), ("1e400", u64::MAX)]
        {
            assert_eq!(whole(raw), Some(number), "{raw}");
        }
        assert_eq!(whole("true"), None);
    }

    #[test]
    fn the_form_of_an_answer_is_what_accept_names() {
        for (accept, form) in [
            ("application/graphql-response+json, application/json;q=0.9", Some(super::super::RESPONSE)),
            ("application/json", Some("application/json")),
            ("application/graphql-response+json;q=0, application/json; q=0.5", Some("application/json")),
            ("*/*", None),
            ("application/problem+json", None),
        ] {
            let headers = http::Headers::from_block(format!("accept\0{accept}\n").into_bytes());
            assert_eq!(response_form(&headers), form, "{accept}");
        }
    }
}
