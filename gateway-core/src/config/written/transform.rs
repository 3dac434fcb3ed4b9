//! What changes requests and responses, and what takes their place, as users write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{
    Cidr, Duration, HeaderName, JsonPath, MediaRange, Method, Moment, Named, OneOrMany, OpenApiDocument, PlainPath,
    Query, Size, Template, Token, Unknown, format, number_or_text,
};

/// Changes requests and responses besides their header fields: method and status, query, cookies and bodies.
///
/// Responses are changed where an upstream has made them. A body that is changed is read as far as `limit` goes, and gets a right
/// `Content-Length` and `Content-Type`; its `ETag` becomes a weak one, and digests of the old body go. The upstream is asked for
/// an answer that can be read (without `Range`, and packed by gzip at the most); one that comes in Brotli all the same is read and
/// leaves in gzip or plain, one that is packed in another way is refused with 502. Bodies are read and written in UTF-8; a `charset` that says otherwise
/// says so then. With `stream`, a body is changed item by item as it comes, and nobody keeps the whole of it. Bodies that no policy
/// changes are never read.
///
/// Paths have dots between their steps: `user.name`, `items.0`, and `items.*.price` for every item. `\` takes the meaning from
/// what comes after it: `a\.b` is one name.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path: /orders
///     upstream: origin
///     policies:
///       - transform:
///           request:
///             query: { rename: { q: search }, remove: debug }
///             body:
///               edit:
///                 - default: { currency: EUR }
///                 - set: { client: "{client.address}", source.route: "{route.name}" }
///           response:
///             status: { "404": 410 }
///             body:
///               edit: [{ remove: items.*.cost }, { rename: { items.*.name: title } }]
/// ```
///
/// ```text
/// GET /orders?q=pens&debug=1  → 200
/// POST /orders  content-type: application/json  {"item":"pen"}  → 200
/// POST /orders  content-type: application/json  {"item":  → 400
/// POST /orders  content-type: text/plain  pen  → 200
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformPolicy {
    /// On the way to the upstream.
    pub request: Option<RequestTransform>,
    /// On the way to the client.
    pub response: Option<ResponseTransform>,
}

/// Changes to requests.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestTransform {
    /// Methods, and what they become. What becomes `GET` or `HEAD` loses its body.
    #[schemars(extend("examples" = [{"PUT": "PATCH"}]))]
    pub method: Option<Named<Method, Method>>,
    /// Parameters of the query.
    pub query: Option<QueryEdits>,
    /// Cookies.
    pub cookies: Option<CookieEdits>,
    /// The body.
    pub body: Option<BodyTransform>,
}

/// Changes to responses of an upstream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseTransform {
    /// Statuses, and what they become: `404`, or `5xx` for all that begin alike. The first that fits counts. What becomes 204,
    /// 205 or 304 loses its body.
    #[schemars(extend("examples" = [{"404": 410, "5xx": 503}]))]
    pub status: Option<Named<AnswerStatus, NewStatus>>,
    /// The cookies that are set.
    pub cookies: Option<SetCookieEdits>,
    /// The body.
    pub body: Option<BodyTransform>,
}

/// The status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 200, "maximum" = 599))]
pub struct NewStatus(pub u16);

/// Changes to the parameters of a query, in this order. What nobody changes keeps its spelling.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryEdits {
    /// Only these stay. Default: all.
    pub keep: Option<OneOrMany<String>>,
    /// Takes all of these names away.
    pub remove: Option<OneOrMany<String>>,
    /// Gives them another name, in their places.
    pub rename: Option<Named<String, String>>,
    /// Replaces all of this name by one with this value, where there is any.
    pub replace: Option<Named<String, Template>>,
    /// Replaces all of this name by one with this value.
    #[schemars(extend("examples" = [{"tenant": "{token.claims.tenant}"}]))]
    pub set: Option<Named<String, Template>>,
    /// Adds one where there is none of this name.
    #[schemars(extend("examples" = [{"limit": "50"}]))]
    pub default: Option<Named<String, Template>>,
    /// Adds one more.
    pub append: Option<Named<String, Template>>,
}

/// Changes to the cookies of a request, in this order.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CookieEdits {
    /// Only these stay. Default: all.
    pub keep: Option<OneOrMany<Token>>,
    /// Takes these away.
    pub remove: Option<OneOrMany<Token>>,
    /// Gives them another name.
    pub rename: Option<Named<Token, Token>>,
    /// Replaces all of this name by one with this value, where there is any.
    pub replace: Option<Named<Token, Template>>,
    /// Replaces all of this name by one with this value.
    pub set: Option<Named<Token, Template>>,
    /// Adds one where there is none of this name.
    pub default: Option<Named<Token, Template>>,
    /// Adds one more.
    pub append: Option<Named<Token, Template>>,
}

/// Changes to the cookies that a response sets, in this order. `links` changes their domains and paths.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCookieEdits {
    /// Only these are set. Default: all.
    pub keep: Option<OneOrMany<Token>>,
    /// These are not set.
    pub remove: Option<OneOrMany<Token>>,
    /// These get another name.
    pub rename: Option<Named<Token, Token>>,
    /// Sets one, in the place of all of this name.
    #[schemars(extend("examples" = [{"region": "{client.country}", "seen": {"value": "{time.seconds}", "max_age": "30d"}}]))]
    pub set: Option<Named<Token, NewCookie>>,
    /// Sets one where the response sets none of this name.
    pub default: Option<Named<Token, NewCookie>>,
    /// Sets one more.
    pub append: Option<Named<Token, NewCookie>>,
}

/// A cookie that a response sets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NewCookie {
    /// Its value. The rest is as browsers keep it safest: for the whole host, until they are closed, by TLS only, and not for scripts.
    Value(Template),
    /// All of it.
    Whole(WholeCookie),
}

/// A cookie with its attributes (RFC 6265 §4.1).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WholeCookie {
    /// Its value. What a cookie cannot hold is percent-encoded where it comes from a request or a response.
    pub value: Template,
    /// Below which path it is sent back. Default: `/`.
    #[schemars(extend("default" = "/"))]
    pub path: Option<PlainPath>,
    /// To which domain and those below it. Default: to this host only.
    #[schemars(extend("examples" = ["example.com"]))]
    pub domain: Option<String>,
    /// How long it is kept; `0s` has browsers forget it. Default: until the browser is closed.
    pub max_age: Option<CookieAge>,
    /// Whether it is sent by TLS only. Default: `true`.
    #[schemars(extend("default" = true))]
    pub secure: Option<bool>,
    /// Whether scripts of the page are kept from it. Default: `true`.
    #[schemars(extend("default" = true))]
    pub http_only: Option<bool>,
    /// Whether it is sent with requests that other sites have caused. Default: `lax`.
    #[schemars(extend("default" = "lax"))]
    pub same_site: Option<SameSite>,
}

/// How long a cookie is kept: a number and `s`, `m`, `h` or `d`; `0s` has browsers forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]+[smhd]$", "examples" = ["15m", "30d", "0s"]))]
pub struct CookieAge {
    /// The length.
    pub seconds: u64,
}

/// With which requests of other sites a cookie is sent (RFC 6265bis §4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// With none.
    Strict,
    /// With those that take the user here.
    Lax,
    /// With all.
    None,
}

/// What becomes of bodies: first `query`, then `template`, then `edit`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyTransform {
    /// How the body is written. Default: `json`.
    #[schemars(extend("default" = "json"))]
    pub from: Option<BodyFormat>,
    /// How it is written then. Default: `json`.
    #[schemars(extend("default" = "json"))]
    pub to: Option<NewFormat>,
    /// The kinds of bodies that are changed. Default: `application/json` and `application/*+json`, or what belongs to `from` and
    /// `stream`.
    pub content_types: Option<OneOrMany<MediaRange>>,
    /// What happens to bodies of other kinds: they `pass`, or are refused (415 for a request, 502 for a response). Default: `pass`.
    #[schemars(extend("default" = "pass"))]
    pub others: Option<OtherBodies>,
    /// Of responses: the statuses with which they are changed. Default: `2xx`.
    #[schemars(extend("default" = ["2xx"], "examples" = [["2xx", 404]]))]
    pub statuses: Option<OneOrMany<AnswerStatus>>,
    /// How much is read: of the whole body, or of one item of a `stream`. More is refused (413 for a request, 502 for a response;
    /// a stream breaks off). What repeats names that stand there once (CSV, lists as XML) may become 16 times as long. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
    /// Whether the body is a stream of values, each of which is changed as soon as it has come: `lines` of JSON, or `events` as
    /// servers send them (`text/event-stream`). Default: it is one value.
    pub stream: Option<StreamKind>,
    /// What happens to an item of a `stream` that is no JSON or too long: the stream breaks off (`fail`), or the item is left out
    /// (`drop`), or goes on as it is (`pass`; never what is too long). Default: `fail`.
    #[schemars(extend("default" = "fail"))]
    pub invalid: Option<InvalidItem>,
    /// A JMESPath expression, whose answer takes the place of the value.
    pub query: Option<Query>,
    /// What takes the place of the value: any value whose texts are templates, in which `{body.user.id}` is a part of the old one. A
    /// text that is nothing but one such part becomes that part with its own type, and is left out where there is none.
    #[schemars(extend("examples" = [{"id": "{body.user.id}", "name": "{body.user.first} {body.user.last}"}]))]
    pub template: Option<JsonTemplate>,
    /// Changes by path, one after another.
    pub edit: Option<Vec<BodyEdit>>,
}

/// How bodies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// JSON.
    Json,
    /// XML: an element is a member by its name, attributes have `@` before theirs, text beside them is `#text`, elements of one
    /// name are a list, and `#` holds all in order where text stands between elements.
    Xml,
    /// What an HTML form sends (`application/x-www-form-urlencoded`): an object of its fields; a name that comes twice has a list.
    Form,
    /// What an HTML form with files sends (`multipart/form-data`): likewise, and files as objects of `filename`, `type` and
    /// `content` in Base64.
    Multipart,
    /// Comma-separated values (`text/csv`): a list of objects, with the names of the first line.
    Csv,
}

/// How bodies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NewFormat {
    /// JSON.
    Json,
    /// XML. An object with one member is that element; anything else stands in one called `root`.
    Xml,
}

/// What happens to bodies of other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtherBodies {
    /// They go on as they are.
    Pass,
    /// They are refused.
    Refuse,
}

/// Where the values of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// One in each line: `application/x-ndjson`, `application/jsonl` and their like.
    Lines,
    /// One in the data of each server-sent event.
    Events,
}

/// What happens to an item that is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvalidItem {
    /// The stream breaks off.
    Fail,
    /// It is left out.
    Drop,
    /// It goes on as it is.
    Pass,
}

/// One change. What a path does not lead to is left alone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyEdit {
    /// These go.
    Remove(OneOrMany<JsonPath>),
    /// Members get another name, and keep their places.
    Rename(Named<JsonPath, String>),
    /// Values go elsewhere; objects on the way there are made. One whose new place cannot be made stays where it is.
    Move(Named<JsonPath, JsonPath>),
    /// Values come here, in the place of what is there; objects on the way there are made. `items.-` is behind the last item, and
    /// makes the list where there is none.
    Set(JsonValues),
    /// Values come here where something is, and take its place.
    Replace(JsonValues),
    /// Values come here where nothing or `null` is; what is on the way there is made.
    Default(JsonValues),
    /// Only these stay.
    Pick(OneOrMany<JsonPath>),
}

/// Any value whose texts are templates. It is compiled from the tree, so nothing of it is kept here.
#[derive(Debug, Clone)]
pub struct JsonTemplate;

impl<'de> Deserialize<'de> for JsonTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for JsonTemplate {
    fn schema_name() -> Cow<'static, str> {
        "JsonTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Any value. Its texts are templates, in which `{body.user.id}` is a part of the body.",
            "anyOf": [
                { "type": "object" }, { "type": "array" }, { "type": "string" }, { "type": "number" }, { "type": "boolean" },
            ],
            "examples": [{ "id": "{body.user.id}", "tags": "{body.tags}", "by": "{consumer.name}" }],
        })
    }
}

/// Values by path. They are compiled from the tree, so nothing of them is kept here.
#[derive(Debug, Clone)]
pub struct JsonValues;

impl<'de> Deserialize<'de> for JsonValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for JsonValues {
    fn schema_name() -> Cow<'static, str> {
        "JsonValues".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Values by path. Texts in them are templates, in which `{body.user.id}` is a part of the body.",
            "type": "object",
            "examples": [{ "client": "{client.address}", "source.route": "{route.name}", "retries": 3 }],
        })
    }
}

/// A status (`404`), or all that begin alike (`5xx`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerStatus {
    /// This one.
    One(u16),
    /// Those that begin with this digit.
    Class(u16),
}

impl JsonSchema for AnswerStatus {
    fn schema_name() -> Cow<'static, str> {
        "AnswerStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status (`404`), or all that begin alike (`5xx`).",
            "type": ["integer", "string"],
            "minimum": 200,
            "maximum": 599,
            "pattern": "^[2-5]([0-9][0-9]|xx)$",
            "examples": [404, "5xx"],
        })
    }
}

impl<'de> Deserialize<'de> for AnswerStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, |status: u16| format::answer_status(&status.to_string()), format::answer_status)
    }
}

/// Makes what an upstream says of its own address right for clients: `Location`, cookies, addresses in JSON.
///
/// An address begins otherwise where what stands in `replace` is its own beginning, up to the end of a segment: of
/// `http://10.0.0.1:9000/two`, `/two/x` fits and `/twofold` does not. Only what an upstream has answered is changed.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: files
///     path_prefix: /files
///     strip_prefix: /files
///     upstream: origin
///     policies:
///       - links:
///           replace: { "http://127.0.0.1:9000": "https://{request.host}/files", /: /files }
///           cookie_paths: { /: /files }
///           cookie_domains: { internal.example: "{request.host}" }
///           json: [self, items.*.href]
/// ```
///
/// ```text
/// GET /files/a  → 200
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinksPolicy {
    /// What addresses begin with, and what they begin with then; the first that fits counts.
    pub replace: Option<Named<String, Template>>,
    /// The fields of responses that hold an address. Default: `location` and `content-location`.
    #[schemars(extend("default" = ["location", "content-location"]))]
    pub fields: Option<OneOrMany<HeaderName>>,
    /// Domains of cookies, and what they become. One that becomes nothing goes: the cookie is the host's own then.
    pub cookie_domains: Option<Named<String, Template>>,
    /// What paths of cookies begin with, and what they begin with then.
    pub cookie_paths: Option<Named<String, Template>>,
    /// Where addresses are in JSON bodies. Such bodies are read, as `transform` reads them. Default: nowhere.
    pub json: Option<OneOrMany<JsonPath>>,
    /// How much of such a body is read. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
}

/// Gives refusals and failures bodies of your own, in the kind that the client asks for.
///
/// What the gateway answers by itself is a problem (RFC 9457). A page takes its place, in the kind that `Accept` likes best among
/// those that the page has; who asks for `application/problem+json`, or for nothing that the page has, gets the problem. In pages,
/// `{problem.title}`, `{problem.detail}`, `{problem.request_id}` and `{problem.type}` are what the problem says, and
/// `{response.status}` is the status. What fills an HTML page is escaped. A route has one such policy, which sees every response.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path: /orders
///     upstream: origin
///     policies:
///       - error_pages:
///           pages:
///             - status: [401, 403]
///               json: { error: { code: forbidden, message: "{problem.detail}" } }
///               html: "<!doctype html><title>{problem.title}</title><p>Please log in. ({problem.request_id})"
///             - json: { error: { code: "{response.status | number}", message: "{problem.title}" } }
///       - authenticate: { any_of: { api_key: {} } }
/// ```
///
/// ```text
/// GET /orders  accept: text/html  → 401  content-type: text/html; charset=utf-8
/// GET /orders  accept: application/json  → 401  content-type: application/json
/// GET /orders  accept: application/problem+json  → 401  content-type: application/problem+json
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorPagesPolicy {
    /// Pages by status; the first that fits counts.
    pub pages: OneOrMany<ErrorPage>,
    /// Whether an upstream's own answers from 400 on get a page too. Default: `false`.
    #[schemars(extend("default" = false))]
    pub upstream: Option<bool>,
}

/// A page in several kinds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorPage {
    /// For which statuses: `404`, `5xx`. Default: all from 400 on.
    pub status: Option<OneOrMany<AnswerStatus>>,
    /// As JSON: any value whose texts are templates.
    pub json: Option<JsonTemplate>,
    /// The media type of the JSON. Default: `application/json`.
    #[schemars(extend("default" = "application/json"))]
    pub json_type: Option<MediaRange>,
    /// As HTML.
    pub html: Option<Template>,
    /// As text.
    pub text: Option<Template>,
}

/// Answers 503 while there is work on what is behind, with `Retry-After`.
///
/// `error_pages` gives the answer a face. With `active: "${env:MAINTENANCE}"` it is switched on and off where the platform keeps
/// its values, without another configuration.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path: /orders
///     upstream: origin
///     policies:
///       - maintenance: { from: 2020-01-01, retry_after: 10m, allow: 192.0.2.0/24 }
///   - name: later
///     path: /later
///     upstream: origin
///     policies:
///       - maintenance: { from: 2120-01-01T02:00:00Z, until: 2120-01-01T03:00:00Z }
/// ```
///
/// ```text
/// GET /orders  → 503  retry-after: 600
/// GET /later   → 200
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenancePolicy {
    /// Whether it is on: it is off where this is `false`, `off`, `no`, `0` or nothing. Default: `true`.
    #[schemars(extend("default" = "true", "examples" = ["${env:MAINTENANCE}"]))]
    pub active: Option<Switch>,
    /// When it begins. Default: it has.
    pub from: Option<Moment>,
    /// When it is over; `Retry-After` says so. Default: never.
    pub until: Option<Moment>,
    /// When clients should come back, where `until` does not say. Default: nothing is said.
    pub retry_after: Option<Duration>,
    /// Addresses that are let through.
    pub allow: Option<OneOrMany<Cidr>>,
}

/// Something that is on or off: `true`, `false`, or what the platform holds.
#[derive(Debug, Clone)]
pub struct Switch(pub String);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Bool(bool),
            Text(String),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Bool(value) => value.to_string(),
            Either::Text(text) => text,
        }))
    }
}

impl JsonSchema for Switch {
    fn schema_name() -> Cow<'static, str> {
        "Switch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let template = generator.subschema_for::<Template>();
        json_schema!({
            "description": "Something that is on or off: `true`, `false`, or what the platform holds, `${env:NAME}`.",
            "anyOf": [{ "type": "boolean" }, template],
        })
    }
}

/// Answers as an OpenAPI document (3.0 or 3.1) says that an upstream would: with its examples, or with values that fit its schemas.
///
/// The first success of an operation is the usual answer. `Prefer: code=404` asks for another one, `Prefer: example=NAME` for an
/// example by its name, and `Accept` for another type. What the document does not know goes on to the route's action, so that an
/// upstream may answer what it can already.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: pets
///     path_prefix: /v1
///     upstream: origin
///     policies:
///       - mock:
///           document:
///             openapi: 3.1.0
///             info: { title: Pets, version: 1.0.0 }
///             servers: [{ url: https://api.example.com/v1 }]
///             paths:
///               /pets/{id}:
///                 get:
///                   responses:
///                     "200":
///                       description: A pet
///                       content: { application/json: { example: { id: 7, name: Rex } } }
///                     "404": { description: None }
/// ```
///
/// ```text
/// GET /v1/pets/7                    → 200  content-type: application/json
/// GET /v1/pets/7  prefer: code=404  → 404
/// GET /v1/dogs                      → 200
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MockPolicy {
    /// The file with the document, relative to this one; or the document itself.
    #[schemars(extend("examples" = ["api/openapi.yaml"]))]
    pub document: OpenApiDocument,
    /// What stands before the document's paths in those that clients ask for. Default: the path of its first server.
    pub base_path: Option<PlainPath>,
    /// What happens to requests that the document does not know: `refuse` answers 404 and 405. Default: `pass`.
    #[schemars(extend("default" = "pass"))]
    pub unknown: Option<Unknown>,
}

/// Tells clients that what they use is going away, in `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link`, and refuses it
/// with 410 once it is gone, if asked.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: v1
///     path_prefix: /v1
///     upstream: origin
///     policies:
///       - deprecation: { since: 2026-01-01, sunset: 2120-06-30, successor: /v2 }
///   - name: v0
///     path_prefix: /v0
///     upstream: origin
///     policies:
///       - deprecation: { sunset: 2020-06-30, after_sunset: refuse, about: https://example.com/v0 }
/// ```
///
/// ```text
/// GET /v1/orders  → 200  deprecation: @1767225600
/// GET /v1/orders  → 200  sunset: Sun, 30 Jun 2120 00:00:00 GMT
/// GET /v0/orders  → 410  link: <https://example.com/v0>; rel="deprecation"
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeprecationPolicy {
    /// Since when nobody should begin to use it any more; may lie in the future.
    pub since: Option<Moment>,
    /// When it will be gone.
    pub sunset: Option<Moment>,
    /// Where to read about it: an address, or a path.
    pub about: Option<String>,
    /// What takes its place: an address, or a path.
    pub successor: Option<String>,
    /// What happens to requests after `sunset`. Default: `pass`.
    #[schemars(extend("default" = "pass"))]
    pub after_sunset: Option<OtherBodies>,
}
