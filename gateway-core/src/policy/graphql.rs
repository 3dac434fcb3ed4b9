//! Keeps requests from a GraphQL upstream that ask for too much, or for what nobody may have.

use super::{Departure, Flow, Visit};
use crate::answer;
use crate::error::Error;
use crate::graphql::document::{Document, Most, Wrong};
use crate::graphql::measure::{self, Costs, Unmeasured};
use crate::graphql::persisted::{self, Persisted};
use crate::graphql::request::{self, Asked, KnownAs, response_form, whole};
use crate::graphql::{Kind, Operation, RESPONSE, Refusal};
use crate::http::{Body, Headers, Response};
use crate::json::{self, Json};
use crate::platform::Platform;
use crate::validation::{is_plain, refused};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is taken by a GraphQL upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graphql {
    /// Policies of the same name share what clients have brought.
    #[serde(rename = "n")]
    pub name: String,
    /// How much is taken.
    #[serde(rename = "l")]
    pub limits: Limits,
    /// What fields cost.
    #[serde(rename = "c")]
    pub costs: Costs,
    /// Whether clients may ask for the schema.
    #[serde(rename = "i")]
    pub introspection: bool,
    /// What operations may do.
    #[serde(rename = "k")]
    pub kinds: Vec<Kind>,
    /// Whether queries may come by `GET`.
    #[serde(rename = "g")]
    pub get: bool,
    /// The fields of the root that may be asked for, as `Query.orders` or `Mutation.*`; empty: all.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Those that may not.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Documents that are known by what they are called.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub persisted: Option<Persisted>,
}

/// How much is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fields in each other.
    #[serde(rename = "d")]
    pub depth: u64,
    /// What a request costs, all of its operations together.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Fields with another name.
    #[serde(rename = "a")]
    pub aliases: u64,
    /// Fields of the root.
    #[serde(rename = "r")]
    pub root_fields: u64,
    /// Directives.
    #[serde(rename = "v")]
    pub directives: u64,
    /// Tokens of a document.
    #[serde(rename = "t")]
    pub tokens: u32,
    /// Bytes of a document.
    #[serde(rename = "b")]
    pub document: u64,
    /// Operations in one request; 1: none in a list.
    #[serde(rename = "o")]
    pub batch: u64,
    /// Bytes of a body.
    #[serde(rename = "m")]
    pub body: u64,
}

/// What a document asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    name: String,
    kind: Kind,
    cost: u64,
    spelling: Option<String>,
}

/// A document that is meant.
enum Meant<'a> {
    /// The request has brought it.
    Brought(Cow<'a, str>),
    /// It is known.
    Known(Rc<str>),
}

impl Meant<'_> {
    fn text(&self) -> &str {
        match self {
            Meant::Brought(text) => text,
            Meant::Known(text) => text,
        }
    }
}

/// A document that is meant and not there.
#[derive(Debug, Clone, Copy)]
enum Absent {
    /// The client is to bring it.
    NotFound,
    /// Nobody knows documents by their names here.
    NotSupported,
}

impl Graphql {
    /// Whether a request may go on.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let method = visit.memo.method.as_deref().unwrap_or(&visit.line.method);
        let reads = match method {
            "POST" => false,
            "GET" | "HEAD" if self.get => true,
            "OPTIONS" => return Ok(Flow::Respond(answer::options(&self.methods()))),
            _ => return Err(Error::MethodNotAllowed { allow: self.methods() }),
        };
        let malformed = |reason: String| Error::Graphql(Refusal::Malformed(reason));
        let query = visit.query.clone();
        let bytes = if reads {
            if !visit.has_no_body() {
                return Err(malformed("A query by GET has no body.".to_owned()));
            }
            Bytes::new()
        } else {
            if Asked::is_in(query.as_deref()) {
                let reason = "What is asked for stands in the body, and nothing of it in the address.";
                return Err(malformed(reason.to_owned()));
            }
            is_readable(visit.headers)?;
            visit.read_body(self.limits.body).await?
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("The body is not UTF-8.".to_owned()))?;
        let parts = match reads {
            true => Vec::new(),
            false => json::read(text, &json::Limits::USUAL).map_err(|why| refused(why, &json::Limits::USUAL))?,
        };
        let json = Json::new(text, &parts);
        let is_batch = json.kind(0) == json::Kind::List;
        let asked = if reads {
            vec![Asked::from_query(query.as_deref().unwrap_or_default())]
        } else if is_batch {
            json.items(0).take(self.most_at_once()).map(|item| Asked::from_json(json, item)).collect()
        } else {
            vec![Asked::from_json(json, 0)]
        };
        let asked = asked.into_iter().collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        self.is_taken_at_once(asked.len(), is_batch)?;

        let mut meant = Vec::with_capacity(asked.len());
        for one in &asked {
            match self.meant(visit, one).await? {
                Ok(found) => meant.push(found),
                Err(absent) => return Ok(Flow::Respond(absent.answer(visit.headers))),
            }
        }
        let mut all = Operation { name: String::new(), kind: Kind::Query, cost: 0, key: None };
        for (number, (one, document)) in asked.iter().zip(&meant).enumerate() {
            let checked = self.check(document.text(), one, reads, matches!(document, Meant::Known(_)))?;
            if number > 0 {
                all.name.push(',');
            }
            all.name.push_str(&checked.name);
            all.kind = all.kind.max(checked.kind);
            all.cost = all.cost.saturating_add(checked.cost);
            if !is_batch && checked.kind == Kind::Query {
                all.key =
                    checked.spelling.as_deref().and_then(|spelling| key(spelling, &checked.name, one, visit.headers));
            }
        }
        if let Some(most) = self.limits.cost.filter(|most| all.cost > *most) {
            return Err(too_much(format!("This costs {}, and at most {most} is taken.", all.cost)));
        }
        for (one, document) in asked.iter().zip(&meant) {
            if let (Some(KnownAs::Hash(hash)), Meant::Brought(text)) = (&one.known_as, document) {
                self.keep(visit, hash, text).await;
            }
        }
        if meant.iter().any(|document| matches!(document, Meant::Known(_))) {
            self.spell_out(visit, &asked, &meant, is_batch);
        }
        visit.platform.watch().note(|record| record.operation = Some((all.name.clone(), all.kind)));
        visit.memo.operation = Some(Rc::new(all));
        Ok(Flow::Continue)
    }

    fn methods(&self) -> Vec<String> {
        let known: &[&str] = if self.get { &["GET", "HEAD", "POST", "OPTIONS"] } else { &["POST", "OPTIONS"] };
        known.iter().map(|method| (*method).to_owned()).collect()
    }

    /// One more than are taken is enough to see that there are too many.
    fn most_at_once(&self) -> usize {
        usize::try_from(self.limits.batch.saturating_add(1)).unwrap_or(usize::MAX)
    }

    fn is_taken_at_once(&self, number: usize, is_batch: bool) -> Result<(), Error> {
        match (is_batch, self.limits.batch) {
            (true, 1) => Err(too_much("Several operations at once are not taken here.".to_owned())),
            (true, most) if number as u64 > most => {
                Err(too_much(format!("There are more than {most} operations at once.")))
            }
            _ if number == 0 => {
                Err(Error::Graphql(Refusal::Malformed("There is no operation in the list.".to_owned())))
            }
            _ => Ok(()),
        }
    }

    /// The document that a request means.
    async fn meant<'a, P: Platform>(
        &self,
        visit: &Visit<'_, P>,
        asked: &Asked<'a>,
    ) -> Result<Result<Meant<'a>, Absent>, Error> {
        let malformed = |reason: &str| Err(Error::Graphql(Refusal::Malformed(reason.to_owned())));
        let registered = self.persisted.as_ref().and_then(|persisted| persisted.registered.as_ref());
        let automatic = self.persisted.as_ref().and_then(|persisted| persisted.automatic);
        match (&asked.query, &asked.known_as) {
            (None, None) => malformed("There is no `query`."),
            (Some(_), Some(KnownAs::Id(_))) => malformed("There is a `query`, and another document is named."),
            (Some(text), Some(KnownAs::Hash(hash))) if persisted::sha256(text.as_bytes()) != *hash => {
                malformed("The hash is not that of `query`.")
            }
            (Some(text), _) => Ok(Ok(Meant::Brought(text.clone()))),
            (None, Some(name)) => {
                if let Some(text) = registered.and_then(|registered| registered.documents.get(name.name())) {
                    return Ok(Ok(Meant::Known(Rc::clone(text))));
                }
                let (Some(automatic), KnownAs::Hash(hash)) = (automatic, name) else {
                    return match (registered, name) {
                        (None, KnownAs::Hash(_)) => Ok(Err(Absent::NotSupported)),
                        (Some(_), _) | (None, KnownAs::Id(_)) => {
                            Err(Error::Graphql(Refusal::Forbidden("There is no document of this name.".to_owned())))
                        }
                    };
                };
                if let Some(text) = visit.graphql.get(&self.name, hash) {
                    return Ok(Ok(Meant::Known(text)));
                }
                if automatic.shared
                    && let Some(text) = self.recall(visit, hash).await
                {
                    visit.graphql.put(&self.name, hash, &text);
                    return Ok(Ok(Meant::Known(text.into())));
                }
                Ok(Err(Absent::NotFound))
            }
        }
    }

    /// What a document asks for, if that may be asked for.
    ///
    /// # Errors
    /// Where it may not.
    pub fn check(&self, text: &str, asked: &Asked<'_>, reads: bool, is_known: bool) -> Result<Checked, Error> {
        let malformed = |reason: String| Error::Graphql(Refusal::Malformed(reason));
        let forbidden = |reason: String| Error::Graphql(Refusal::Forbidden(reason));
        let limits = &self.limits;
        if text.len() as u64 > limits.document {
            return Err(too_much(format!("The document is longer than the {} bytes that are taken.", limits.document)));
        }
        let nesting = u32::try_from(limits.depth.saturating_mul(2).saturating_add(32)).unwrap_or(u32::MAX);
        let document = Document::read(text, Most { tokens: limits.tokens, nesting }).map_err(|wrong| match wrong {
            Wrong::Syntax { .. } => malformed(format!("The document cannot be read: {wrong}.")),
            Wrong::Tokens => too_much(format!("The document has more than {} tokens.", limits.tokens)),
            Wrong::Nesting => too_much(format!("Something stands deeper in the document than {nesting} levels.")),
        })?;
        let Some(operation) = document.operation(asked.operation.as_deref()) else {
            return Err(malformed("The document has no such operation, or several, and none is named.".to_owned()));
        };
        let kind = operation.kind;
        if !self.kinds.contains(&kind) {
            return Err(forbidden(format!("There is no {} here.", kind.as_str())));
        }
        // GraphQL over HTTP: what changes something never comes by GET.
        if reads && kind != Kind::Query {
            return Err(Error::MethodNotAllowed { allow: vec!["POST".to_owned(), "OPTIONS".to_owned()] });
        }
        let registered = self.persisted.as_ref().and_then(|persisted| persisted.registered.as_ref());
        let is_only = registered.is_some_and(|registered| registered.only) && !is_known;
        let spelling = (is_only || cfg!(feature = "cache") && kind == Kind::Query).then(|| document.canonical());
        if let (Some(registered), true, Some(spelling)) = (registered, is_only, &spelling)
            && !registered.spellings.contains(&persisted::sha256(spelling.as_bytes()))
        {
            return Err(forbidden("Only documents that are registered are taken here.".to_owned()));
        }
        let variables = asked.variables.as_deref().unwrap_or("{}");
        let parts = json::read(variables, &json::Limits::USUAL).map_err(|why| refused(why, &json::Limits::USUAL))?;
        let variables = Json::new(variables, &parts);
        // Many arguments may ask, for as many variables.
        let values = OnceCell::new();
        let number = |name: &str| {
            let members = || variables.members(0).map(|(member, value)| (variables.text(member), value));
            let values: &BTreeMap<_, _> = values.get_or_init(|| members().collect());
            let value = *values.get(name)?;
            // Text that looks like a number is taken for one by some.
            whole(variables.raw(value))
                .filter(|_| matches!(variables.kind(value), json::Kind::Number | json::Kind::Text))
        };
        let measure = measure::measure(&document, operation, &self.costs, &number).map_err(|why| {
            malformed(match why {
                Unmeasured::Cycle(name) => format!("The fragment `{name}` uses itself."),
                Unmeasured::Unknown(name) => format!("There is no fragment `{name}`."),
            })
        })?;
        for (what, number, most) in [
            ("fields in each other", measure.depth, limits.depth),
            ("aliases", measure.aliases, limits.aliases),
            ("fields of the root", measure.root_fields, limits.root_fields),
            ("directives", measure.directives, limits.directives),
        ] {
            if number > most {
                return Err(too_much(format!("There are {number} {what}, and at most {most} are taken.")));
            }
        }
        if measure.introspects && !self.introspection {
            return Err(forbidden("The schema cannot be asked for here.".to_owned()));
        }
        if !(self.allow.is_empty() && self.deny.is_empty()) {
            let named = |list: &[String], field: &str| {
                list.iter().any(|known| {
                    let (root, name) = known.split_once('.').unwrap_or(("", known));
                    root == kind.root() && (name == "*" || name == field)
                })
            };
            let fields = measure::root_fields(&document, operation);
            // What everything has is no field of anybody's.
            let mut fields = fields.into_iter().filter(|field| *field != "__typename");
            let refused =
                fields.find(|field| named(&self.deny, field) || !self.allow.is_empty() && !named(&self.allow, field));
            if let Some(field) = refused {
                return Err(forbidden(format!("`{}.{field}` cannot be asked for here.", kind.root())));
            }
        }
        Ok(Checked { name: operation.name.to_owned(), kind, cost: measure.cost, spelling })
    }

    /// Keeps a document that a client has brought with its hash.
    async fn keep<P: Platform>(&self, visit: &mut Visit<'_, P>, hash: &str, text: &str) {
        let Some(automatic) = self.persisted.as_ref().and_then(|persisted| persisted.automatic) else { return };
        if visit.graphql.get(&self.name, hash).is_some() {
            return;
        }
        visit.graphql.put(&self.name, hash, text);
        #[cfg(feature = "cache")]
        if automatic.shared {
            use super::Deferred;
            use super::cache::Keeping;
            let key = persisted::key(&self.name, hash);
            let most = self.limits.document;
            let reach = crate::platform::Reach::Location;
            let item = crate::platform::Item { key: &key, record: RECORD, seconds: automatic.seconds, most, reach };
            let body = Body::Bytes(Bytes::copy_from_slice(text.as_bytes()));
            let (_, ticket) = visit.platform.keep(&item, body, false).await;
            let keeping = ticket.map(|ticket| Deferred::Keep(Keeping { ticket, flight: None }));
            visit.memo.deferred.extend(keeping);
        }
        #[cfg(not(feature = "cache"))]
        let _ = automatic.shared;
    }

    /// Looks for a document that another instance has been brought.
    #[cfg(feature = "cache")]
    async fn recall<P: Platform>(&self, visit: &Visit<'_, P>, hash: &str) -> Option<String> {
        let key = persisted::key(&self.name, hash);
        let (_, body) = visit.platform.recall(&key, crate::platform::Reach::Location).await.ok()??;
        let most = usize::try_from(self.limits.document).unwrap_or(usize::MAX);
        let bytes = crate::pump::read(visit.platform, body, most).await.ok()?;
        let text = String::from_utf8(bytes.into()).ok()?;
        // Whatever the store holds: it is the document only if the hash says so.
        (persisted::sha256(text.as_bytes()) == hash).then_some(text)
    }

    #[cfg(not(feature = "cache"))]
    async fn recall<P: Platform>(&self, _: &Visit<'_, P>, _: &str) -> Option<String> {
        None
    }

    /// Hands on what was called by a name as if the client had written it out: by POST, since it may be too long for an address.
    fn spell_out<P: Platform>(
        &self,
        visit: &mut Visit<'_, P>,
        asked: &[Asked<'_>],
        meant: &[Meant<'_>],
        is_batch: bool,
    ) {
        let mut body = Vec::new();
        if is_batch {
            body.push(b'[');
        }
        for (number, (one, document)) in asked.iter().zip(meant).enumerate() {
            if number > 0 {
                body.push(b',');
            }
            one.write(document.text(), &mut body);
        }
        if is_batch {
            body.push(b']');
        }
        *visit.query = request::others(visit.query.as_deref());
        visit.headers.forget_body();
        visit.headers.set("content-type", "application/json");
        visit.headers.set("content-length", body.len().to_string());
        *visit.body = Body::Bytes(body.into());
        visit.memo.method = Some("POST".to_owned());
    }

    /// Refusals become GraphQL responses for clients that ask for these.
    pub fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) {
        let response = &mut *departure.response;
        let is_problem = response.headers.media_type() == "application/problem+json";
        let Some(form) = departure.scope.view.headers.and_then(response_form) else { return };
        let Body::Bytes(problem) = &response.body else { return };
        if departure.from_upstream || !is_problem {
            return;
        }
        let Ok(serde_json::Value::Object(mut problem)) = serde_json::from_slice(problem) else { return };
        let message = problem.remove("detail").unwrap_or_default();
        let kind = problem.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
        let code = kind.rsplit(':').next().unwrap_or_default().replace('-', "_").to_ascii_uppercase();
        problem.insert("code".to_owned(), code.into());
        let errors = serde_json::json!({ "errors": [{ "message": message, "extensions": problem }] });
        let body = Bytes::from(errors.to_string());
        departure.platform.watch().translated();
        response.headers.set("content-type", form);
        response.headers.set("content-length", body.len().to_string());
        response.body = Body::Bytes(body);
    }
}

/// What is written beside a document in the platform's store: in printable ASCII.
#[cfg(feature = "cache")]
const RECORD: &str = "{}";

impl Absent {
    /// What Apollo's clients know: the same query comes again with its document.
    fn answer<S>(self, asked: &Headers) -> Response<S> {
        let (message, code) = match self {
            Absent::NotFound => ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND"),
            Absent::NotSupported => ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED"),
        };
        let errors = serde_json::json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
        let body = Bytes::from(errors.to_string());
        let mut headers = Headers::new();
        headers.set("content-type", response_form(asked).unwrap_or("application/json"));
        headers.set("cache-control", "private, no-store");
        headers.set("content-length", body.len().to_string());
        Response { status: 200, headers, body: Body::Bytes(body) }
    }
}

fn too_much(reason: String) -> Error {
    Error::Graphql(Refusal::TooMuch(reason))
}

/// Whether a body is JSON in UTF-8, by all that its fields say: a reader behind us must not read another text.
fn is_readable(headers: &Headers) -> Result<(), Error> {
    let unsupported = || Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] };
    if headers.all("content-type").count() != 1 || headers.media_type() != "application/json" {
        return Err(unsupported());
    }
    let parameters = headers.text("content-type").unwrap_or_default().split(';').skip(1);
    let charset = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    if charset.is_some_and(|(_, charset)| !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Err(unsupported());
    }
    if is_plain(headers) { Ok(()) } else { Err(Error::UnsupportedContentCoding) }
}

/// What a query is known by where answers are stored.
#[cfg(feature = "cache")]
fn key(spelling: &str, name: &str, asked: &Asked<'_>, headers: &Headers) -> Option<String> {
    use crate::cache::{canonical, key::write};
    let mut text = String::new();
    write(&mut text, Some(spelling));
    write(&mut text, Some(name));
    for object in [&asked.variables, &asked.extensions] {
        let spelt =
            object.as_deref().map(|object| canonical::json(object.as_bytes()).unwrap_or_else(|| object.to_owned()));
        write(&mut text, spelt.as_deref().filter(|spelt| *spelt != "{}"));
    }
    // Servers answer in another form, with another status, and seldom say so in `Vary`.
    write(&mut text, Some(if response_form(headers) == Some(RESPONSE) { "new" } else { "old" }));
    Some(persisted::sha256(text.as_bytes()))
}

#[cfg(not(feature = "cache"))]
fn key(_: &str, _: &str, _: &Asked<'_>, _: &Headers) -> Option<String> {
    let _ = RESPONSE;
    None
}
