//! What messages must be like, as users write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{HeaderName, MediaRange, Named, OneOrMany, PlainPath, Size, Token};

/// Refuses requests whose body or parameters are not as their JSON Schemas say.
///
/// Schemas stand here, or in files that `$ref` names relative to this one (`$ref: schemas/order.yaml#/$defs/order`); all of
/// them are compiled with the configuration, and nothing is fetched. A body is read only where it has a schema, as far as
/// `limit` and the limits of the route go, and is handed on byte for byte. It must be sent without a content coding, since
/// what cannot be read cannot be checked: anything else is refused with 415.
///
/// What is refused is told in problem details whose `errors` name each place: `in` (`body`, `query`, `header`, `path`, `cookie`),
/// `name`, `pointer` (a JSON Pointer into the body or the value), `keyword` and `message`. Nothing of the values is repeated.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path: /orders
///     method: POST
///     upstream: origin
///     policies:
///       - validate:
///           query: { dry_run: { schema: { type: boolean } } }
///           body:
///             schema:
///               type: object
///               required: [item]
///               properties: { item: { type: string, minLength: 1 }, count: { type: integer, minimum: 1 } }
///               additionalProperties: false
/// ```
///
/// ```text
/// POST /orders  content-type: application/json  {"item":"pen","count":2}  → 200
/// POST /orders  content-type: application/json  {"item":"pen","count":0}  → 400
/// POST /orders  content-type: application/json  {"count":2}               → 400
/// POST /orders  content-type: text/plain        pen                       → 415
/// POST /orders?dry_run=maybe  content-type: application/json  {"item":"pen"}  → 400
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidatePolicy {
    /// The body. Default: it is not looked at.
    pub body: Option<BodySchema>,
    /// Parameters of the route's path, by name.
    pub path: Option<Named<String, ParameterSchema>>,
    /// Parameters of the query, by name.
    #[schemars(extend("examples" = [{"page": {"schema": {"type": "integer", "minimum": 1}}}]))]
    pub query: Option<Named<String, ParameterSchema>>,
    /// Header fields, by name.
    pub headers: Option<Named<HeaderName, ParameterSchema>>,
    /// Cookies, by name.
    pub cookies: Option<Named<Token, ParameterSchema>>,
    /// What happens to parameters of the query that `query` does not name. Default: `pass`.
    #[schemars(extend("default" = "pass"))]
    pub unknown_query: Option<Unknown>,
    /// What schemas are written in that do not say so themselves by `$schema`. Default: `2020-12`.
    #[schemars(extend("default" = "2020-12"))]
    pub draft: Option<SchemaDraft>,
    /// Whether `format` is checked. Default: `annotate`.
    #[schemars(extend("default" = "annotate"))]
    pub formats: Option<Formats>,
    /// Files for the addresses that schemas refer to: nothing is fetched.
    #[schemars(extend("examples" = [{"https://example.com/schemas/money.json": "schemas/money.json"}]))]
    pub remotes: Option<Named<String, String>>,
    /// The status of a refusal: 400, or 422 (Unprocessable Content). What is no JSON is always refused with 400. Default: 400.
    #[schemars(extend("default" = 400))]
    pub status: Option<ValidationStatus>,
    /// How many errors a refusal lists at most. Default: 10.
    #[schemars(extend("default" = 10), range(min = 1, max = 100))]
    pub errors: Option<u16>,
    /// Two members of one name in an object, of which readers may take either. Default: `refuse`; with `allow` both are checked.
    #[schemars(extend("default" = "refuse"))]
    pub duplicate_keys: Option<DuplicateKeys>,
}

/// What a body must be like.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodySchema {
    /// Its schema.
    pub schema: InlineSchema,
    /// The kinds that are taken; others are refused with 415. `application/x-www-form-urlencoded` is read as an object of its
    /// fields. Default: `application/json` and `application/*+json`.
    #[schemars(extend("default" = ["application/json", "application/*+json"]))]
    pub content_types: Option<OneOrMany<MediaRange>>,
    /// Whether there must be a body. Default: `true`.
    #[schemars(extend("default" = true))]
    pub required: Option<bool>,
    /// How much of it is read; more is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
}

/// What a parameter must be like.
///
/// Its text is read as what `type` says: with `integer`, `7` is a number; with `array`, `a,b` or `x=a&x=b` is a list. A
/// parameter that is no list and is given twice is refused.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterSchema {
    /// Its schema. It should say `type`, so that one knows how to read the text.
    pub schema: InlineSchema,
    /// Whether it must be there. Default: `false`; what stands in the path always is.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
    /// How lists and objects are written, in the words of OpenAPI. Default: `form` in the query and in cookies, `simple` elsewhere.
    pub style: Option<ParameterStyle>,
    /// Whether each item and property stands by itself: `x=a&x=b` instead of `x=a,b`. Default: `true` with `form` in the
    /// query, else `false`: in cookies, what OpenAPI says of it is not how they are written.
    pub explode: Option<bool>,
}

/// How lists and objects are written in parameters (OpenAPI 3.1 §4.8.12.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParameterStyle {
    /// `x=a,b`, or `x=a&x=b`.
    Form,
    /// `a,b`
    Simple,
    /// `x=a%20b`
    SpaceDelimited,
    /// `x=a|b`
    PipeDelimited,
    /// `x[name]=a`
    DeepObject,
}

/// Holds requests against the operations of an OpenAPI document (3.0 or 3.1), and the answers of the upstream if asked.
///
/// For each operation its parameters in path, query, header fields and cookies are checked in their styles, and its body by its
/// media type: JSON and forms by their schemas, other kinds by their type alone. Problem details are those of `validate`. What
/// the document says of security is not enforced here: that is for `authenticate`, and `postern check` tells where it is missing.
/// A `discriminator` says nothing that `oneOf` and `anyOf` would not.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: pets
///     path_prefix: /v1
///     upstream: origin
///     policies:
///       - openapi:
///           document:
///             openapi: 3.1.0
///             info: { title: Pets, version: 1.0.0 }
///             servers: [{ url: https://api.example.com/v1 }]
///             paths:
///               /pets/{id}:
///                 get:
///                   parameters:
///                     - { name: id, in: path, required: true, schema: { type: integer } }
///                   responses: { "200": { description: A pet } }
/// ```
///
/// ```text
/// GET /v1/pets/7      → 200
/// GET /v1/pets/seven  → 400
/// PUT /v1/pets/7      → 405
/// GET /v1/dogs        → 404
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenApiPolicy {
    /// The file with the document, relative to this one; or the document itself.
    #[schemars(extend("examples" = ["api/openapi.yaml"]))]
    pub document: OpenApiDocument,
    /// What stands before the document's paths in those that clients ask for. Default: the path of its first server.
    pub base_path: Option<PlainPath>,
    /// What happens to requests that the document does not know: `refuse` answers 404 and 405. Default: `refuse`.
    #[schemars(extend("default" = "refuse"))]
    pub unknown: Option<Unknown>,
    /// What happens to parameters of the query that an operation does not name. Default: `pass`.
    #[schemars(extend("default" = "pass"))]
    pub unknown_query: Option<Unknown>,
    /// What happens to answers of the upstream that are not as the document says: `report` writes a note into the log, `refuse`
    /// answers 502. Default: they are not looked at. Of an answer that does not say how long it is, `report` reads nothing.
    pub responses: Option<ResponseHandling>,
    /// Whether `format` is checked. Default: `annotate`.
    #[schemars(extend("default" = "annotate"))]
    pub formats: Option<Formats>,
    /// How much of a body is read; more is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
    /// The status of a refusal: 400, or 422 (Unprocessable Content). Default: 400.
    #[schemars(extend("default" = 400))]
    pub status: Option<ValidationStatus>,
    /// How many errors a refusal lists at most. Default: 10.
    #[schemars(extend("default" = 10), range(min = 1, max = 100))]
    pub errors: Option<u16>,
    /// Two members of one name in an object, of which readers may take either. Default: `refuse`; with `allow` both are checked.
    #[schemars(extend("default" = "refuse"))]
    pub duplicate_keys: Option<DuplicateKeys>,
}

/// Refuses JSON bodies that are larger in some way than their readers expect.
///
/// Looks at bodies whose `Content-Type` is JSON, and at those without one; others pass unread (`request_rules` says which
/// kinds are taken at all). What is no JSON is refused with 400, what is too long with 413, all else that is too much with 400.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: api
///     path_prefix: /api
///     upstream: origin
///     policies:
///       - json_limits: { depth: 3, keys: 10, size: 64KiB }
/// ```
///
/// ```text
/// POST /api  content-type: application/json  {"a":[{}]}    → 200
/// POST /api  content-type: application/json  {"a":[[[]]]}  → 400
/// POST /api  content-type: application/json  {"a":1,"a":2} → 400
/// POST /api  content-type: application/json  {"a":         → 400
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonLimitsPolicy {
    /// How deep lists and objects may stand in each other; `[]` is 1. Default: 32.
    #[schemars(extend("default" = 32), range(min = 1, max = 1000))]
    pub depth: Option<u32>,
    /// Members of one object. Default: 1000.
    #[schemars(extend("default" = 1000))]
    pub keys: Option<u32>,
    /// Items of one list. Default: 10000.
    #[schemars(extend("default" = 10000))]
    pub items: Option<u32>,
    /// Characters of one string. Default: no limit but `size`.
    pub string: Option<u32>,
    /// Characters of one member's name. Default: 256.
    #[schemars(extend("default" = 256))]
    pub key: Option<u32>,
    /// Two members of one name in an object, of which readers may take either. Default: `refuse`.
    #[schemars(extend("default" = "refuse"))]
    pub duplicate_keys: Option<DuplicateKeys>,
    /// The whole body; more is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub size: Option<Size>,
}

/// What happens to what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// It is refused.
    Refuse,
    /// It goes on.
    Pass,
}

/// What happens to answers that are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResponseHandling {
    /// The log hears of them.
    Report,
    /// The client gets 502 instead.
    Refuse,
}

/// What `format` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Formats {
    /// It is a remark for readers, as JSON Schema has it.
    Annotate,
    /// It is checked: `date-time`, `date`, `time`, `duration`, `email`, `hostname`, `ipv4`, `ipv6`, `uri`, `uri-reference`, `uuid`,
    /// `json-pointer`, `relative-json-pointer`, and of OpenAPI `byte`, `int32` and `int64`.
    Assert,
}

/// A draft of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SchemaDraft {
    /// The current one.
    #[serde(rename = "2020-12")]
    Draft202012,
    /// The one that most older schemas are written in.
    #[serde(rename = "draft-07")]
    Draft7,
}

/// What happens to objects with two members of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateKeys {
    /// They are refused.
    Refuse,
    /// They are taken.
    Allow,
}

/// The status for a request that is not as its schemas say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("enum" = [400, 422]))]
pub struct ValidationStatus(pub u16);

/// A JSON Schema. It is compiled from the tree, so nothing of it is kept here.
#[derive(Debug, Clone)]
pub struct InlineSchema;

impl<'de> Deserialize<'de> for InlineSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for InlineSchema {
    fn schema_name() -> Cow<'static, str> {
        "InlineSchema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A JSON Schema: a map of keywords, `true` or `false`. `$ref` names files relative to this one.",
            "anyOf": [{ "type": "object" }, { "type": "boolean" }],
            "examples": [{ "$ref": "schemas/order.yaml" }],
        })
    }
}

/// An OpenAPI document, or the file that it stands in.
#[derive(Debug, Clone)]
pub struct OpenApiDocument;

impl<'de> Deserialize<'de> for OpenApiDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for OpenApiDocument {
    fn schema_name() -> Cow<'static, str> {
        "OpenApiDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file with an OpenAPI document (YAML, JSON or TOML), relative to this one; or the document itself.",
            "anyOf": [{ "type": "string" }, { "type": "object" }],
            "examples": ["api/openapi.yaml"],
        })
    }
}
