//! From the arguments of a tool to a request.

use super::{Argument, BodyArgument, Tool};
use crate::errand;
use crate::http::percent_encode;
use crate::json::{Json, Kind};
use crate::json_rpc;
use crate::policy::openapi::Segment;
use crate::schema::{Finding, Schemas};
use crate::validation::parameter::{Place, Style};
use bytes::Bytes;

/// The request that a tool asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Path and query.
    pub target: String,
    /// The parameters that are header fields.
    pub fields: Vec<(String, String)>,
    /// The body and its type.
    pub body: Option<(String, Bytes)>,
}

/// How many things that are wrong are told.
const MOST: usize = 10;

impl Tool {
    /// The request for these arguments. `part` is an object of `json`; `None`: there are no arguments.
    ///
    /// # Errors
    /// What is wrong with the arguments, for the model to read.
    pub fn build(&self, schemas: &Schemas, json: Json<'_>, part: Option<u32>) -> Result<Built, Vec<String>> {
        let wrong = self.check(schemas, json, part);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let values: Vec<Option<u32>> =
            self.arguments.iter().map(|argument| member(json, part, &argument.argument)).collect();
        let given = || self.arguments.iter().zip(&values).filter_map(|(argument, value)| Some((argument, (*value)?)));
        let mut target = self.base.clone();
        for segment in &self.path {
            target.push('/');
            match segment {
                Segment::Literal(text) => target.push_str(text),
                Segment::Parameter { before, name, after } => {
                    let value = given().find(|(argument, _)| argument.place == Place::Path && argument.name == *name);
                    let value = value.map(|(argument, value)| {
                        delimited(argument, json, value, ",", &|text: &str| percent_encode(text))
                    });
                    let whole = format!("{before}{}{after}", value.unwrap_or_default());
                    // They would lead to another place.
                    if matches!(whole.as_str(), "" | "." | "..") {
                        return Err(vec![format!("`{name}` cannot be `{whole}`")]);
                    }
                    target.push_str(&whole);
                }
            }
        }
        let mut pairs: Vec<String> = Vec::new();
        for (argument, value) in given().filter(|(argument, _)| argument.place == Place::Query) {
            query(argument, json, value, &mut pairs);
        }
        if !pairs.is_empty() {
            target.push('?');
            target.push_str(&pairs.join("&"));
        }
        let fields = given().filter(|(argument, _)| argument.place == Place::Header);
        let fields = fields.map(|(argument, value)| {
            (argument.name.clone(), delimited(argument, json, value, ",", &|text| text.to_owned()))
        });
        let fields = fields.collect();
        let body = self.body.as_ref().and_then(|body| body.write(json, part));
        Ok(Built { target, fields, body })
    }

    fn check(&self, schemas: &Schemas, json: Json<'_>, part: Option<u32>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut judge = |name: &str, schema, value| match json_rpc::check(schemas, schema, json, value, MOST) {
            Ok(findings) => wrong.extend(findings.into_iter().map(|finding| told(name, &finding))),
            Err(_) => wrong.push(format!("`{name}` takes too long to check")),
        };
        let mut missing = Vec::new();
        for argument in &self.arguments {
            match member(json, part, &argument.argument) {
                Some(value) => judge(&argument.argument, argument.schema, Some(value)),
                None if argument.required => missing.push(argument.argument.as_str()),
                None => {}
            }
        }
        match &self.body {
            Some(BodyArgument { argument: None, required, schema, .. }) if *required || !is_empty(json, part) => {
                judge("", *schema, part);
            }
            Some(BodyArgument { argument: None, .. }) => {}
            Some(BodyArgument { argument: Some(name), required, schema, .. }) => match member(json, part, name) {
                Some(value) => judge(name, *schema, Some(value)),
                None if *required => missing.push(name),
                None => {}
            },
            None => {}
        }
        wrong.extend(missing.into_iter().map(|name| format!("`{name}` is missing")));
        let takes_all = self.body.as_ref().is_some_and(|body| body.argument.is_none());
        if let Some(part) = part.filter(|_| !takes_all) {
            let body = self.body.as_ref().and_then(|body| body.argument.as_deref());
            let unknown = json.members(part).map(|(name, _)| json.text(name)).filter(|name| {
                body != Some(name.as_ref()) && !self.arguments.iter().any(|argument| argument.argument == *name)
            });
            wrong.extend(unknown.map(|name| format!("there is no argument `{name}`")));
        }
        wrong.truncate(MOST);
        wrong
    }
}

impl BodyArgument {
    fn write(&self, json: Json<'_>, part: Option<u32>) -> Option<(String, Bytes)> {
        let value = match &self.argument {
            Some(name) => Some(member(json, part, name)?),
            None if !self.required && is_empty(json, part) => return None,
            None => part,
        };
        let text = match (self.form, value) {
            (false, value) => value.map_or("{}", |value| json.whole(value)).to_owned(),
            (true, value) => {
                let mut pairs = Vec::new();
                for (name, value) in value.into_iter().flat_map(|value| json.members(value)) {
                    let name = errand::encode(&json.text(name));
                    let items = if json.kind(value) == Kind::List { json.items(value).collect() } else { vec![value] };
                    pairs
                        .extend(items.into_iter().map(|item| format!("{name}={}", errand::encode(&plain(json, item)))));
                }
                pairs.join("&")
            }
        };
        Some((self.media_type.clone(), text.into()))
    }
}

fn member(json: Json<'_>, part: Option<u32>, name: &str) -> Option<u32> {
    let mut members = json.members(part?);
    members.find(|(known, _)| json.text(*known) == name).map(|(_, value)| value)
}

fn is_empty(json: Json<'_>, part: Option<u32>) -> bool {
    part.is_none_or(|part| json.members(part).next().is_none())
}

fn told(name: &str, finding: &Finding) -> String {
    let Finding { pointer, message, .. } = finding;
    if name.is_empty() && pointer.is_empty() {
        format!("the arguments: {message}")
    } else if name.is_empty() {
        format!("`{pointer}` {message}")
    } else if pointer.is_empty() {
        format!("`{name}` {message}")
    } else {
        format!("`{name}{pointer}` {message}")
    }
}

/// A value as text: what a string says, of anything else its JSON.
fn plain(json: Json<'_>, part: u32) -> String {
    match json.kind(part) {
        Kind::Text => json.text(part).into_owned(),
        Kind::Null => String::new(),
        Kind::Bool | Kind::Number | Kind::List | Kind::Object | Kind::Name => json.raw(part).to_owned(),
    }
}

/// A value with something between its parts (OpenAPI 3.1 §4.8.12.3, `simple` and the like).
fn delimited(
    argument: &Argument,
    json: Json<'_>,
    value: u32,
    between: &str,
    encode: &dyn Fn(&str) -> String,
) -> String {
    if argument.style == Style::Json {
        return encode(json.whole(value));
    }
    let parts: Vec<String> = match json.kind(value) {
        Kind::List => json.items(value).map(|item| encode(&plain(json, item))).collect(),
        Kind::Object => {
            let sign = if argument.explode { "=" } else { between };
            let members = json.members(value);
            members
                .map(|(name, value)| format!("{}{sign}{}", encode(&json.text(name)), encode(&plain(json, value))))
                .collect()
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => vec![encode(&plain(json, value))],
    };
    parts.join(between)
}

/// A parameter of the query, in its style.
fn query(argument: &Argument, json: Json<'_>, value: u32, pairs: &mut Vec<String>) {
    let name = percent_encode(&argument.name);
    let kind = json.kind(value);
    match (argument.style, kind) {
        // There is no way to write it that is not a text.
        (_, Kind::Null) => {}
        (Style::Deep, Kind::Object) => {
            for (member, value) in json.members(value) {
                pairs.push(format!(
                    "{name}%5B{}%5D={}",
                    percent_encode(&*json.text(member)),
                    percent_encode(&*plain(json, value))
                ));
            }
        }
        (Style::Delimited, Kind::List) if argument.explode => {
            pairs.extend(json.items(value).map(|item| format!("{name}={}", percent_encode(&*plain(json, item)))));
        }
        (Style::Delimited, Kind::Object) if argument.explode => {
            for (member, value) in json.members(value) {
                pairs.push(format!("{}={}", percent_encode(&*json.text(member)), percent_encode(&*plain(json, value))));
            }
        }
        (style, _) => {
            let between = match style {
                Style::Spaces => "%20",
                Style::Pipes => "%7C",
                Style::Delimited | Style::Deep | Style::Json => ",",
            };
            pairs.push(format!(
                "{name}={}",
                delimited(argument, json, value, between, &|text: &str| percent_encode(text))
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Limits};
    use crate::schema::SchemaId;

    fn argument(name: &str, place: Place, style: Style, explode: bool) -> Argument {
        Argument {
            argument: name.to_owned(),
            name: name.to_owned(),
            place,
            required: place == Place::Path,
            style,
            explode,
            schema: SchemaId(0),
        }
    }

    fn tool(arguments: Vec<Argument>, body: Option<BodyArgument>) -> Tool {
        let (before, after) = (String::new(), ".json".to_owned());
        Tool {
            name: "t".to_owned(),
            definition: String::new(),
            method: "GET".to_owned(),
            base: "/v1".to_owned(),
            path: vec![
                Segment::Literal("pets".to_owned()),
                Segment::Parameter { before: before.clone(), name: "id".to_owned(), after: before },
                Segment::Parameter { before: String::new(), name: "kind".to_owned(), after },
            ],
            arguments,
            body,
            headers: Vec::new(),
            output: None,
        }
    }

    fn build(tool: &Tool, text: &str) -> Result<Built, Vec<String>> {
        let parts = json::read(text, &Limits::USUAL).expect("it is JSON");
        // A block without schemas finds nothing wrong.
        tool.build(&Schemas::new(Bytes::new()), Json::new(text, &parts), Some(0))
    }

    #[test]
    fn arguments_become_what_the_document_says() {
        use Place::{Header, Path, Query};
        let simple = |name, place| argument(name, place, Style::Delimited, false);
        let tool = tool(
            vec![
                simple("id", Path),
                simple("kind", Path),
                argument("a", Query, Style::Delimited, true),
                argument("b", Query, Style::Delimited, false),
                argument("c", Query, Style::Pipes, false),
                argument("d", Query, Style::Deep, true),
                argument("e", Query, Style::Json, false),
                argument("f", Query, Style::Delimited, true),
                simple("x-h", Header),
            ],
            None,
        );
        for (text, target) in [
            (r#"{"id":"a/b ?","kind":1}"#, "/v1/pets/a%2Fb%20%3F/1.json"),
            (r#"{"id":[1,"x,y"],"kind":""}"#, "/v1/pets/1,x%2Cy/.json"),
            (
                r#"{"id":1,"kind":1,"a":[1,"&"],"b":[1,"&"],"c":["p","q"]}"#,
                "/v1/pets/1/1.json?a=1&a=%26&b=1,%26&c=p%7Cq",
            ),
            (r#"{"id":1,"kind":1,"d":{"x":1,"y z":"="}}"#, "/v1/pets/1/1.json?d%5Bx%5D=1&d%5By%20z%5D=%3D"),
            (r#"{"id":1,"kind":1,"e":{"x":[1]},"f":{"k":"v"}}"#, "/v1/pets/1/1.json?e=%7B%22x%22%3A%5B1%5D%7D&k=v"),
            (r#"{"id":1,"kind":1,"a":null,"b":true}"#, "/v1/pets/1/1.json?b=true"),
        ] {
            assert_eq!(build(&tool, text).map(|built| built.target).as_deref(), Ok(target), "{text}");
        }
        let built = build(&tool, r#"{"id":1,"kind":1,"x-h":["a","b"]}"#).expect("a request");
        assert_eq!(built.fields, [("x-h".to_owned(), "a,b".to_owned())]);
    }

    #[test]
    fn a_path_leads_nowhere_else_and_nothing_is_guessed() {
        let tool = tool(
            vec![
                argument("id", Place::Path, Style::Delimited, false),
                argument("kind", Place::Path, Style::Delimited, false),
            ],
            None,
        );
        for (text, why) in [
            (r#"{"id":"..","kind":1}"#, "`id` cannot be `..`"),
            (r#"{"id":".","kind":1}"#, "`id` cannot be `.`"),
            (r#"{"id":"","kind":1}"#, "`id` cannot be ``"),
            (r#"{"id":1}"#, "`kind` is missing"),
            (r#"{"id":1,"kind":1,"more":1}"#, "there is no argument `more`"),
        ] {
            assert_eq!(build(&tool, text), Err(vec![why.to_owned()]), "{text}");
        }
    }

    #[test]
    fn a_body_is_one_argument_or_all_of_them() {
        let body = |argument: Option<&str>, required, form| BodyArgument {
            argument: argument.map(str::to_owned),
            required,
            media_type: "t/x".to_owned(),
            form,
            schema: SchemaId(0),
        };
        let path = || {
            vec![
                argument("id", Place::Path, Style::Delimited, false),
                argument("kind", Place::Path, Style::Delimited, false),
            ]
        };
        let built = |tool: &Tool, text: &str| {
            let body = build(tool, text).expect("a request").body;
            body.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned())
        };
        let named = tool(path(), Some(body(Some("body"), true, false)));
        assert_eq!(built(&named, r#"{"id":1,"kind":1,"body": {"a": 1.10}}"#).as_deref(), Some(r#"{"a": 1.10}"#));
        assert_eq!(build(&named, r#"{"id":1,"kind":1}"#), Err(vec!["`body` is missing".to_owned()]));
        let mut whole = tool(Vec::new(), Some(body(None, false, false)));
        whole.path.truncate(1);
        assert_eq!(built(&whole, r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(built(&whole, "{}"), None);
        let mut form = tool(Vec::new(), Some(body(None, true, true)));
        form.path.truncate(1);
        assert_eq!(
            built(&form, r#"{"a b":"1&2","l":[1,2],"o":{"x":1}}"#).as_deref(),
            Some("a+b=1%262&l=1&l=2&o=%7B%22x%22%3A1%7D")
        );
    }
}
