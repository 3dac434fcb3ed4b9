//! What users write: the reference of the configuration, and the source of its JSON Schema.
//!
//! Every doc comment here is shown by editors and in the reference. Nothing here runs: `compile.rs` turns it into what does.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::format;

mod admin;
mod cache;
mod check;
mod compose;
mod consumer;
mod credential;
mod graphql;
mod grpc;
mod idempotency;
mod json_rpc;
mod limit;
mod login;
mod mcp;
mod mirror;
mod policy;
mod rollout;
mod signed;
mod soap;
mod telemetry;
mod token;
mod transform;
mod upstream;
mod validation;

pub use self::admin::*;
pub use self::cache::*;
pub use self::check::*;
pub use self::compose::*;
pub use self::consumer::*;
pub use self::credential::*;
pub use self::graphql::*;
pub use self::grpc::*;
pub use self::idempotency::*;
pub use self::json_rpc::*;
pub use self::limit::*;
pub use self::login::*;
pub use self::mcp::*;
pub use self::mirror::*;
pub use self::policy::*;
pub use self::rollout::*;
pub use self::signed::*;
pub use self::soap::*;
pub use self::telemetry::*;
pub use self::token::*;
pub use self::transform::*;
pub use self::upstream::*;
pub use self::validation::*;

/// A Postern configuration, or a part of one that another file includes.
///
/// YAML, TOML and JSON have the same shape; in YAML, aliases repeat a value and `<<` merges maps. The smallest one that does something:
///
/// ```yaml
/// upstreams:
///   origin:
///     targets:
///       - url: http://127.0.0.1:9000
/// routes:
///   - name: files
///     path: /files/{*rest}
///     strip_prefix: /files
///     upstream: origin
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Configuration")]
pub struct File {
    /// The address of this schema, for editors. Postern does not read it.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// Files of the same shape that belong to this one, relative to it. What they define is put together; the routes of
    /// this file come first, then those of the included files in this order. A file that several include is read once, with the
    /// `defaults` of the first of them.
    #[schemars(extend("examples" = [["routes/team-a.yaml"]]))]
    pub include: Option<OneOrMany<String>>,
    /// Codes of warnings that are fine in this file. `routes[].allow` does the same for one route.
    #[schemars(extend("examples" = [["unused-upstream"]]))]
    pub allow: Option<OneOrMany<WarningCode>>,
    /// What is believed about who calls.
    pub client: Option<Client>,
    /// How upstreams are told about the client. Default: `x-forwarded`.
    #[schemars(extend("default" = "x-forwarded"))]
    pub forwarded: Option<Forwarded>,
    /// The name of this gateway in the `Via` field of requests (RFC 9110 §7.6.3). Default: `postern`.
    #[schemars(extend("default" = "postern"))]
    pub via: Option<Token>,
    /// The status for a host that no route knows: 404, or 421 (Misdirected Request). Default: 404.
    #[schemars(extend("default" = 404))]
    pub unknown_host: Option<UnknownHost>,
    /// The largest requests that are taken.
    pub limits: Option<Limits>,
    /// What the gateway tells of itself. Default: nothing but what goes wrong.
    pub telemetry: Option<Telemetry>,
    /// Versions of the configuration that need no deployment. Default: there are none.
    pub rollout: Option<Rollout>,
    /// The admin interface. Default: none.
    pub admin: Option<Admin>,
    /// Where requests can be sent, by name.
    pub upstreams: Option<Named<Name, Upstream>>,
    /// In whose name the gateway tells upstreams who is calling.
    pub identity: Option<Identity>,
    /// Who may call, and by which credentials they are known.
    pub consumers: Option<Vec<Consumer>>,
    /// Where consumers are looked for that do not stand here. Default: nowhere.
    #[schemars(extend("examples" = ["store", {"store": {"hold": "10s"}}]))]
    pub consumers_from: Option<ConsumersFrom>,
    /// Where limits are counted, where that can be chosen.
    #[schemars(extend("examples" = [{"spin": {"redis": "${secret:REDIS_URL}"}}]))]
    pub counters: Option<CountersFrom>,
    /// What each route of this file, and of those that it includes, has unless its group or the route itself says otherwise: what a
    /// group's `defaults` are for its routes. Policies come before those of the group, which come before those of the route. An
    /// included file may have `defaults` of its own for its routes, and they win over these as a group's do.
    #[schemars(extend("examples" = [{"policies": [{"security_headers": {}}], "timeouts": {"total": "20s"}}]))]
    pub defaults: Option<Defaults>,
    /// What is done to the gateway's own answers where no route takes a request: 404, 405, 421 and the answer to `OPTIONS`.
    /// Default: nothing.
    #[schemars(extend("examples" = [{"policies": [{"cors": {"origins": "https://app.example.com"}}]}]))]
    pub unmatched: Option<Unmatched>,
    /// What happens to which requests. The order is by rank, not by position: `priority`, then the most specific host,
    /// path, method, the number of conditions, and only then the position in the file.
    pub routes: Option<Vec<Route>>,
    /// Routes that have something in common.
    pub groups: Option<Vec<Group>>,
}

/// What is believed about who calls.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Proxies in front of the gateway, as ranges of addresses. What they say in `X-Forwarded-*` and `Forwarded` is believed
    /// and continued; from anybody else those fields are replaced. Default: nobody.
    #[schemars(extend("examples" = [["10.0.0.0/8", "2001:db8::/32"]]))]
    pub trusted_proxies: Option<OneOrMany<Cidr>>,
    /// Where clients' certificates come from, for `client_certificate`, tokens that are bound to one, and
    /// `{client.certificate.…}`. A proxy that passes certificates on must take out what clients send under that name
    /// (RFC 9440 §2.4). Default: `platform`.
    #[schemars(extend("default" = "platform"))]
    pub certificate_from: Option<CertificateFrom>,
}

/// How upstreams are told about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both forms.
    Both,
    /// Not at all; those fields are removed.
    None,
}

/// The largest requests that are taken. Sizes are bytes: `512`, `8KiB`, `10MB`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Path and query together; more is refused with 414. Default: `8KiB`.
    #[schemars(extend("default" = "8KiB"))]
    pub target: Option<Size>,
    /// All header names and values together; more is refused with 431. Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub headers: Option<Size>,
    /// The number of header lines; more are refused with 431. Default: 100.
    #[schemars(extend("default" = 100), range(min = 1))]
    pub header_count: Option<u32>,
    /// The body, where no route says otherwise; more is refused with 413. Default: no limit of our own.
    pub body: Option<Size>,
}

/// How long an answer may take: `500ms`, `10s`, `5m`, `1h`. Later is answered with 504.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// From sending a request to the head of its response. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub attempt: Option<Duration>,
    /// All attempts together. Default: `60s`.
    #[schemars(extend("default" = "60s"))]
    pub total: Option<Duration>,
    /// How long a body may stand still. A response's is cut off then, and the upstream's connection ended; a request's is answered
    /// with 408. Bodies that are watched pass through the gateway's memory chunk by chunk, instead of past it. Default: nobody looks,
    /// and the platform's own limits hold.
    #[schemars(extend("examples" = ["10s"]))]
    pub idle: Option<Duration>,
}

/// What is done to the answers to requests that no route takes. Requests that cannot be read at all are answered without it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unmatched {
    /// Policies that dress answers: `cors`, `error_pages`, `headers` (of the `response`), `security_headers`; and `rate_limit`, since
    /// whoever looks for what is not there asks often. A preflight is answered by this `cors` only where no route would take the
    /// request that it announces.
    pub policies: Option<Vec<Policy>>,
}

/// Routes that have something in common.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What this group is called, for people.
    pub name: String,
    /// What each route of the group has unless it says otherwise itself. `timeouts` and `limits` are taken value by
    /// value, `headers`, `query` and `cookies` name by name, and `policies` come before those of the route; but of `cache`, `cors`,
    /// `csrf`, `error_pages`, `graphql`, `idempotency`, `json_rpc` and `security_headers`, which a route has once only, that of the
    /// route comes in the place of the group's. A limit among the policies counts for each route by itself, unless it has a `name`.
    pub defaults: Option<Defaults>,
    /// The routes.
    pub routes: Option<Vec<Route>>,
}

/// What the routes of a group share, or those of a file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// As in a route.
    pub priority: Option<i32>,
    /// As in a route.
    pub host: Option<OneOrMany<HostPattern>>,
    /// As in a route.
    pub method: Option<OneOrMany<Method>>,
    /// As in a route.
    pub headers: Option<Named<HeaderName, Match>>,
    /// As in a route.
    pub query: Option<Named<String, Match>>,
    /// As in a route.
    pub cookies: Option<Named<Token, Match>>,
    /// As in a route.
    pub scheme: Option<Scheme>,
    /// As in a route.
    pub client_address: Option<OneOrMany<Cidr>>,
    /// As in a route.
    pub country: Option<OneOrMany<Country>>,
    /// As in a route.
    pub data_centre: Option<OneOrMany<DataCentre>>,
    /// As in a route; a route with an action of its own does not take it.
    pub upstream: Option<Name>,
    /// As in a route.
    pub host_header: Option<HostHeader>,
    /// As in a route.
    pub timeouts: Option<Timeouts>,
    /// As in a route.
    pub limits: Option<RouteLimits>,
    /// As in a route.
    pub websocket: Option<WebSocket>,
    /// As in a route; they come before those of the route, save where the route has its own of what stands once only: see the
    /// `defaults` of a group.
    pub policies: Option<Vec<Policy>>,
    /// As in a route, and in addition to what the route allows.
    pub allow: Option<OneOrMany<WarningCode>>,
}

/// Whether WebSockets are handed on, or within which limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WebSocket {
    /// Whether they are; their messages pass without the gateway.
    Switch(bool),
    /// They are, and the gateway looks at their messages.
    Limits(WebSocketLimits),
}

/// What may pass through a WebSocket: the gateway takes each message and hands it on, which costs what it costs. On Workers; Spin has no
/// WebSockets.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketLimits {
    /// How many bytes a message may have, in either direction; a longer one ends both sides with the code 1009. Default: as many
    /// as the platform takes.
    #[schemars(extend("examples" = ["64KiB"]))]
    pub max_message: Option<Size>,
    /// How long may pass without a message in either direction; then both sides are ended with the code 1001. Pings are answered by the
    /// platform and are no messages. Default: as long as the platform lets it.
    #[schemars(extend("examples" = ["5m"]))]
    pub idle: Option<Duration>,
}

/// What happens to which requests: conditions, exactly one action (`upstream`, `compose`, `batch`, `redirect`, `respond`, `publish`, `serve`, `mcp` or `purge`), and policies.
///
/// A route without conditions takes every request. Different conditions must all hold; in a list, one is enough.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What the route is called: in logs, in `postern explain`, in `{route.name}`. Every route has its own.
    pub name: Name,
    /// A route with a higher priority is tried before all with a lower one, however specific those are. Default: 0.
    #[schemars(extend("default" = 0))]
    pub priority: Option<i32>,

    /// The host asked for: exact (`api.example.com`), or `*.example.com` for one or more labels before it.
    pub host: Option<OneOrMany<HostPattern>>,
    /// The whole path, segment by segment: text, `{name}` for any one segment, `{name:int}` for one of a kind
    /// (`int`, `uuid`, `hex`, `alpha`, `alnum`, `slug`, `date`), and at the end `{*name}` for all that follows, at least
    /// one character.
    pub path: Option<OneOrMany<PathPattern>>,
    /// A path that starts with these whole segments, which may be parameters: `/files` takes `/files`, `/files/` and
    /// `/files/x`, not `/filesystem`. Excludes `path`.
    pub path_prefix: Option<OneOrMany<PathPrefix>>,
    /// A path in which this regular expression is found; its named groups are parameters. Excludes `path` and
    /// `path_prefix`. The least specific kind of path.
    pub path_regex: Option<OneOrMany<Regex>>,
    /// The method, in its own spelling. `GET` takes `HEAD` too.
    pub method: Option<OneOrMany<Method>>,
    /// Header fields of the request, by name.
    #[schemars(extend("examples" = [{"x-beta": "present", "x-version": {"prefix": "2."}}]))]
    pub headers: Option<Named<HeaderName, Match>>,
    /// Parameters of the query, by name.
    pub query: Option<Named<String, Match>>,
    /// Cookies, by name.
    pub cookies: Option<Named<Token, Match>>,
    /// How the client reached the gateway.
    pub scheme: Option<Scheme>,
    /// The client's address, as ranges.
    #[schemars(extend("examples" = [["10.0.0.0/8", "2001:db8::/32"]]))]
    pub client_address: Option<OneOrMany<Cidr>>,
    /// The client's country, where the platform knows it.
    pub country: Option<OneOrMany<Country>>,
    /// The platform's data centre that took the request, where the platform tells.
    pub data_centre: Option<OneOrMany<DataCentre>>,
    /// A request that meets all conditions of this entry, or of one entry in a list of them, is not for this route.
    pub not: Option<OneOrMany<Conditions>>,

    /// Action: forward to the upstream of this name.
    pub upstream: Option<Name>,
    /// Takes these segments from the start of the path before forwarding; of several, the longest that fits. Each path of the route has
    /// to begin with one of them. The upstream is told in `X-Forwarded-Prefix`.
    #[schemars(extend("examples" = ["/files", ["/v1", "/v2"]]))]
    pub strip_prefix: Option<OneOrMany<PlainPath>>,
    /// Puts these segments at the start of the path before forwarding, after `strip_prefix`.
    pub add_prefix: Option<PlainPath>,
    /// The path to forward to, instead of the one received; excludes `strip_prefix` and `add_prefix`. What was matched of the path
    /// stands in it as it was matched; any other value, such as `{request.query.name}`, is percent-encoded as a part of one segment, and
    /// a request that would make it a segment of dots is refused (400, `bad-target`).
    #[schemars(extend("examples" = ["/objects/{rest}"]))]
    pub rewrite: Option<Template>,
    /// Replaces what a regular expression finds in the path, everywhere; excludes the other three.
    #[schemars(extend("examples" = [{"find": "^/v[0-9]+/(?<rest>.*)$", "replace": "/api/${rest}"}]))]
    pub rewrite_regex: Option<RewriteRegex>,
    /// The `Host` that the upstream sees, instead of what the upstream's own `host` says. On Workers and on Spin it is always the
    /// target's own; `X-Forwarded-Host` has the one that the client asked for.
    pub host_header: Option<HostHeader>,
    /// How long an answer may take, instead of what the upstream says.
    pub timeouts: Option<Timeouts>,
    /// The largest requests that this route takes.
    pub limits: Option<RouteLimits>,
    /// Whether `Upgrade: websocket` is handed on, where the platform can; or what may pass through a WebSocket then. Default:
    /// `true`.
    #[schemars(extend("default" = true))]
    pub websocket: Option<WebSocket>,
    /// Calls methods of the gRPC services that the upstream has, instead of handing requests on as they are. Excludes `websocket`.
    pub grpc: Option<Grpc>,
    /// Calls a method of the JSON-RPC server that the upstream is, instead of handing requests on as they are. Excludes `websocket`.
    pub json_rpc: Option<JsonRpcCall>,
    /// Asks the upstream a GraphQL query that stands here, instead of handing requests on as they are. Excludes `websocket`, `grpc`,
    /// `soap`, and what changes the path.
    pub graphql: Option<GraphqlQuery>,
    /// Sends the upstream a SOAP message, instead of handing requests on as they are. Excludes `websocket`, `grpc`, `graphql`, and
    /// what changes the path.
    pub soap: Option<Soap>,

    /// Action: send the client elsewhere.
    pub redirect: Option<Redirect>,
    /// Action: answer from here.
    pub respond: Option<Respond>,
    /// Action: answer with something that the gateway knows.
    pub publish: Option<Publish>,
    /// Action: answer with what the gateway knows of itself. Nothing of it is there unless a route serves it; policies say
    /// who may see it.
    pub serve: Option<Serve>,
    /// Action: serve tools by the Model Context Protocol.
    pub mcp: Option<Box<Mcp>>,
    /// Action: take back what caches have stored. The body says what, as JSON: `{"urls": […], "prefixes": […], "tags": […]}` or
    /// `{"everything": true}`; with `"soft": true` it is only stale from then on. Such a route needs an `authenticate` or a
    /// `forward_auth`. See `docs/caching.md`.
    pub purge: Option<Purge>,
    /// Action: answer from several calls.
    pub compose: Option<Compose>,
    /// Action: answer several requests in one, each by the routes and policies of this gateway.
    pub batch: Option<Batch>,

    /// What is done to requests on their way in, in this order, and to responses on their way out, in reverse.
    pub policies: Option<Vec<Policy>>,
    /// Codes of warnings that are fine for this route.
    pub allow: Option<OneOrMany<WarningCode>>,
}

/// What is replaced in a path.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewriteRegex {
    /// What is looked for.
    pub find: Regex,
    /// What comes in its place: `$1` or `${name}` for what a group has found, `$$` for a dollar sign.
    pub replace: String,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// As in a route.
    pub host: Option<OneOrMany<HostPattern>>,
    /// As in a route.
    pub path: Option<OneOrMany<PathPattern>>,
    /// As in a route.
    pub path_prefix: Option<OneOrMany<PathPrefix>>,
    /// As in a route.
    pub path_regex: Option<OneOrMany<Regex>>,
    /// As in a route.
    pub method: Option<OneOrMany<Method>>,
    /// As in a route.
    pub headers: Option<Named<HeaderName, Match>>,
    /// As in a route.
    pub query: Option<Named<String, Match>>,
    /// As in a route.
    pub cookies: Option<Named<Token, Match>>,
    /// As in a route.
    pub scheme: Option<Scheme>,
    /// As in a route.
    pub client_address: Option<OneOrMany<Cidr>>,
    /// As in a route.
    pub country: Option<OneOrMany<Country>>,
    /// As in a route.
    pub data_centre: Option<OneOrMany<DataCentre>>,
}

/// What a value must be like.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// It is there, whatever it is.
    Present,
    /// It is not there.
    Absent,
    /// It is exactly this.
    Exact(String),
    /// It is exactly one of these.
    Any(OneOrMany<String>),
    /// It starts with this.
    Prefix(String),
    /// This regular expression is found in it.
    Regex(Regex),
}

/// How a client reaches the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// The largest requests that a route takes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteLimits {
    /// The body; more is refused with 413. A declared length is refused at once, what comes in chunks as soon as it grows over
    /// the limit on its way to the upstream or to a policy that reads it. Default: what the `limits` of the whole configuration say.
    pub body: Option<Size>,
    /// Path and query together; more is refused with 414. Default: what the `limits` of the whole configuration say.
    pub target: Option<Size>,
    /// All header names and values together; more is refused with 431. Default: what the `limits` of the whole configuration say.
    pub headers: Option<Size>,
    /// The number of header lines; more are refused with 431. Default: what the `limits` of the whole configuration say.
    #[schemars(range(min = 1))]
    pub header_count: Option<u32>,
}

/// Sends the client elsewhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Where to: a whole address, or a path on the same host.
    #[schemars(extend("examples" = ["https://{request.host}/new/{rest}"]))]
    pub to: Template,
    /// The status: 301, 302, 303, 307 or 308. Default: 302.
    #[schemars(extend("default" = 302))]
    pub status: Option<RedirectStatus>,
    /// Whether the query of the request is put at the end. Default: `keep`.
    #[schemars(extend("default" = "keep"))]
    pub query: Option<RedirectQuery>,
}

/// What becomes of a query in a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedirectQuery {
    /// It is put at the end of the new address.
    Keep,
    /// It is left out.
    Drop,
}

/// Answers from here.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The status. Default: 200.
    #[schemars(extend("default" = 200), range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// Header fields of the answer.
    #[schemars(extend("examples" = [{"content-type": "text/plain"}]))]
    pub headers: Option<Named<HeaderName, OneOrMany<Template>>>,
    /// The body. Default: none.
    #[schemars(extend("examples" = ["hello {name}"]))]
    pub body: Option<Template>,
}

/// A value, or a list of them.
#[derive(Debug, Clone)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Many(Vec<T>),
            One(T),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Many(many) => many,
            Either::One(one) => vec![one],
        }))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// Values by name, in the order in which they are written.
#[derive(Debug, Clone)]
pub struct Named<K, T>(pub Vec<(K, T)>);

impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for Named<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<K, T>(std::marker::PhantomData<(K, T)>);
        impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> de::Visitor<'de> for InOrder<K, T> {
            type Value = Named<K, T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Named(pairs))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

impl<K: JsonSchema, T: JsonSchema> JsonSchema for Named<K, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}_{}", K::schema_name(), T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = generator.subschema_for::<K>();
        let values = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "propertyNames": names, "additionalProperties": values })
    }
}

/// A text with rules of its own, which `format.rs` knows by the name of the type.
macro_rules! texts {
    ($($(#[$attribute:meta])* $name:ident;)*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(transparent)]
        $(#[$attribute])*
        pub struct $name(pub String);
    )*};
}

texts! {
    /// A name: letters, digits, `-`, `_` and `.`, starting with a letter or a digit.
    #[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    Name;
    /// The code of a warning, as `postern check` prints it.
    #[schemars(transform = warning_codes)]
    WarningCode;
    /// A token (RFC 9110 §5.6.2): letters, digits and ``!#$%&'*+-.^_`|~``.
    #[schemars(extend("pattern" = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    Token;
    /// The name of a header field. Upper and lower case are the same.
    #[schemars(extend("pattern" = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    HeaderName;
    /// A method, in its own spelling: `GET`, `POST`, `PATCH`, or one of your own.
    #[schemars(extend("pattern" = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "examples" = ["GET", "POST"]))]
    Method;
    /// A host: exact, or `*.` and a host for all names below it, or an address.
    #[schemars(extend("examples" = ["api.example.com", "*.example.com", "127.0.0.1", "[::1]"]))]
    HostPattern;
    /// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
    #[schemars(extend("examples" = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"]))]
    Cidr;
    /// A path, segment by segment, with parameters: `/users/{id:int}`, `/files/{*rest}`.
    #[schemars(extend("pattern" = "^/", "examples" = ["/users/{id:int}", "/files/{*rest}"]))]
    PathPattern;
    /// The start of a path, in whole segments; they may be parameters: `/files`, `/users/{id}`.
    #[schemars(extend("pattern" = "^/", "examples" = ["/files"]))]
    PathPrefix;
    /// The start of a path, in whole segments and without parameters: `/files`.
    #[schemars(extend("pattern" = "^/[^{}]*$", "examples" = ["/files"]))]
    PlainPath;
    /// A place in a JSON value: steps with dots between, `user.name`, `items.0`, `items.*.price` for every item. `\` takes the
    /// meaning from what comes after it: `a\.b` is one name.
    #[schemars(extend("examples" = ["user.name", "items.*.price"]))]
    JsonPath;
    /// A JMESPath expression: what it gives takes the place of the value. Members come out in the order of their names.
    #[schemars(extend("examples" = ["{ids: items[?price > `5`].id, total: sum(items[].price)}"]))]
    Query;
    /// The name of a step: letters, digits and `_`, starting with a letter or `_`.
    #[schemars(extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]*$", "examples" = ["user"]))]
    StepName;
    /// A field of the root of a GraphQL schema: `Query.orders`, or `Mutation.*` for all of a kind.
    #[schemars(extend("pattern" = "^(Query|Mutation|Subscription)\\.([_A-Za-z][_0-9A-Za-z]*|\\*)$", "examples" = ["Query.orders", "Mutation.*"]))]
    RootField;
    /// A regular expression, without look-around and back-references.
    #[schemars(extend("format" = "regex", "examples" = ["^/v[0-9]+/"]))]
    Regex;
    /// Text with values in it: `{name}` for a parameter of the path, `{request.method}`, `{request.scheme}`,
    /// `{request.host}`, `{request.path}`, `{request.query}`, `{request.headers.NAME}`, `{request.query.NAME}`,
    /// `{request.cookies.NAME}`, `{client.address}`, `{client.country}`, `{client.data_centre}`, `{client.certificate.subject}`,
    /// `{client.certificate.issuer}`, `{client.certificate.fingerprint}`, `{client.certificate.serial}`, `{route.name}`,
    /// `{consumer.name}`, `{consumer.groups}`, `{consumer.credential}` (the prefix of a key, a user name), `{token.subject}`,
    /// `{token.issuer}`, `{token.scopes}`, `{token.claims.NAME}`, `{upstream.name}`, `{time.seconds}`, `{time.iso}`, `{time.http}`, behind a
    /// `graphql` policy `{graphql.operation}`, `{graphql.kind}` and `{graphql.cost}`, on
    /// the way back `{response.status}` and `{response.headers.NAME}`; `${env:NAME}` and `${secret:NAME}` for what the platform holds; `${test:VALUE}` for
    /// a value that looks like a secret and opens nothing; `{{` and `}}` for the braces themselves. Something can be made of a value:
    /// `{consumer.name | upper}` and `lower` (the letters of ASCII; others stay), `trim`, `url_encode`, `url_decode`, `base64`, `sha256`,
    /// `html`, `number` (nothing, unless it is one), `truncate: 8`, `before: ","`, `after: " "`, and `default: "none"` where there is
    /// nothing.
    #[schemars(extend("examples" = ["{client.address}"]))]
    Template;
    /// An address with `http` or `https`, a host, and perhaps a port and a path: `http://127.0.0.1:9000/base`. It may name
    /// what the platform holds: `${env:ORIGIN_URL}`.
    #[schemars(extend("examples" = ["http://127.0.0.1:9000", "https://api.example.com/v1", "${env:ORIGIN_URL}"]))]
    TargetUrl;
    /// The `Host` that an upstream sees: `target` for the target's own, `keep` for the one the client asked for, or a
    /// fixed name. Workers and Spin send the target's own whatever stands here, and `postern check` says so (`host-override`).
    #[schemars(extend("examples" = ["target", "keep", "internal.example.com"]))]
    HostHeader;
    /// A host, perhaps with a port: `api.example.com`, `127.0.0.1:8080`.
    #[schemars(extend("examples" = ["api.example.com"]))]
    HostName;
    /// An origin as browsers write it: `https://app.example.com`, with the port where it is not the usual one. `*` in front
    /// of a host stands for one or more labels, as a port for any port, and alone for every origin; `null` is what pages
    /// without an origin send.
    #[schemars(extend("examples" = ["https://app.example.com", "https://*.example.com", "http://localhost:*", "*"]))]
    Origin;
    /// A media type, or many: `application/json`, `text/*`, `application/*+json`.
    #[schemars(extend("pattern" = "^[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]+|\\*|\\*\\+[A-Za-z0-9-]+)$", "examples" = ["application/json", "text/*"]))]
    MediaRange;
    /// The SHA-256 of a key: 64 hexadecimal digits in lower case.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    KeyHash;
    /// The first characters of a key: letters, digits, `-` and `_`, at most 16.
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]{1,16}$", "examples" = ["pk_7fQ2"]))]
    KeyPrefix;
    /// A user name, without colons.
    #[schemars(extend("pattern" = "^[^:]+$"))]
    Username;
    /// What a password is checked against, as `postern password hash` prints it: `pbkdf2-sha256$iterations$salt$hash`.
    #[schemars(extend("pattern" = "^pbkdf2-sha256\\$[0-9]+\\$[A-Za-z0-9+/=]+\\$[A-Za-z0-9+/=]+$"))]
    PasswordHash;
    /// The identifier of a signing key, as it stands in signed requests: printable ASCII without quotes.
    #[schemars(extend("pattern" = "^[ !#-\\[\\]-~]+$", "examples" = ["alice-2026"]))]
    KeyId;
    /// What a signature can cover of a request (RFC 9421 §2): `@method`, `@target-uri`, `@authority`, `@scheme`,
    /// `@request-target`, `@path`, `@query`, or a field's name in lower case; with parameters as in a signature:
    /// `"@query-param";name="id"`.
    #[schemars(extend("examples" = ["@method", "content-digest", "\"@query-param\";name=\"id\""]))]
    CoveredComponent;
    /// A distinguished name (RFC 4514): who a certificate is for or from, the most special part first.
    #[schemars(extend("examples" = ["CN=orders,OU=Billing,O=Acme"]))]
    DistinguishedName;
    /// The SHA-256 of a whole certificate in DER: 64 hexadecimal digits, perhaps with colons between, as `openssl x509
    /// -fingerprint -sha256` prints it.
    #[schemars(extend("pattern" = "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"))]
    Fingerprint;
    /// A few words, without quotes.
    #[schemars(extend("pattern" = "^[ !#-\\[\\]-~]+$"))]
    Realm;
    /// What a token is good for (RFC 6749 §3.3).
    #[schemars(extend("pattern" = "^[!#-\\[\\]-~]+$", "examples" = ["orders:read"]))]
    Scope;
    /// A condition in the Common Expression Language: `claims.tenant == request.parameters.tenant`. What it can ask about
    /// stands in `docs/expressions.md`.
    #[schemars(extend("examples" = ["claims.tenant == request.parameters.tenant", "request.method == \"GET\" || \"admin\" in consumer.groups"]))]
    Expression;
    /// An address that the gateway itself asks: with `https`, a host, and perhaps a port, a path and a query. It may name
    /// what the platform holds: `${env:ISSUER}/keys`.
    #[schemars(extend("examples" = ["https://idp.example.com/jwks.json", "${env:ISSUER}/keys"]))]
    Address;
    /// How a token is signed (RFC 7518 §3.1, RFC 8037).
    #[schemars(extend("enum" = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]))]
    AlgorithmName;
    /// The name of a binding in `wrangler.toml`: letters, digits and `_`.
    #[schemars(extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]*$", "examples" = ["ORDERS"]))]
    BindingName;
    /// A country's two letters (ISO 3166-1): `DE`.
    #[schemars(extend("pattern" = "^[A-Z]{2}$", "examples" = ["DE", "FR"]))]
    Country;
    /// So many in a time: a number, `per`, and `second`, `minute`, `hour`, `day`, `week`, `month` or a duration.
    #[schemars(extend("pattern" = "^[0-9][0-9,_]* per [a-z0-9]+$", "examples" = ["100 per second", "5,000 per hour", "20 per 10s"]))]
    Rate;
    /// A time zone: `UTC`, hours and minutes ahead of it (`+05:30`), or a name of the IANA data base, whose changes are known up to
    /// the year 2049.
    #[schemars(extend("examples" = ["UTC", "Europe/Berlin", "+05:30"]))]
    TimeZone;
    /// A data centre by the platform's name: `FRA`.
    #[schemars(extend("pattern" = "^[A-Z0-9]+$", "examples" = ["FRA"]))]
    DataCentre;
    /// A JSON Pointer (RFC 6901): `/usage/total_tokens`, `/items/0/price`.
    #[schemars(extend("examples" = ["/usage/total_tokens"]))]
    Pointer;
    /// The address of a Redis: `redis://host:6379`, with `${env:NAME}` and `${secret:NAME}`.
    #[schemars(extend("examples" = ["${secret:REDIS_URL}", "redis://127.0.0.1:6379"]))]
    RedisUrl;
}

/// A length of time: a number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]+(ms|s|m|h)$", "examples" = ["500ms", "10s", "5m", "1h"]))]
pub struct Duration {
    /// The length.
    pub milliseconds: u64,
}

/// A length of time, or none (`0s`): a number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]+(ms|s|m|h)$", "examples" = ["0s", "500ms", "10s"]))]
pub struct AnyDuration {
    /// The length.
    pub milliseconds: u64,
}

/// A moment: a date (`2027-01-31`, which is its first moment in UTC), or a date and a time (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]{4}-[0-9]{2}-[0-9]{2}", "examples" = ["2027-01-31", "2027-01-31T18:00:00+01:00"]))]
pub struct Moment {
    /// Since the Unix epoch.
    pub milliseconds: u64,
}

/// What is read from a text into a number.
macro_rules! numbers {
    ($($kind:ident { $unit:ident } by $read:path;)*) => {
        $(impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let $unit = $read(&text).map_err(|wrong| de::Error::custom(wrong.message))?;
                Ok(Self { $unit })
            }
        })*
    };
}

numbers! {
    Duration { milliseconds } by format::duration;
    AnyDuration { milliseconds } by format::any_duration;
    Moment { milliseconds } by format::moment;
    CookieAge { seconds } by format::cookie_age;
}

/// A number of bytes: a plain number, or a number and `KB`, `MB`, `GB` (thousands) or `KiB`, `MiB`, `GiB` (1024s).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number.
    pub bytes: u64,
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: a plain number, or a number and `KB`, `MB`, `GB` (thousands) or `KiB`, `MiB`, `GiB` (1024s).",
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)?$",
            "examples": [512, "8KiB", "10MB"],
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, |bytes| Ok(Self { bytes }), |text| Ok(Self { bytes: format::size(text)? }))
    }
}

/// Reads a number, or a text that stands for something in its place.
fn number_or_text<'de, D: Deserializer<'de>, N: Deserialize<'de>, T>(
    deserializer: D,
    number: impl FnOnce(N) -> Result<T, format::Wrong>,
    text: impl FnOnce(&str) -> Result<T, format::Wrong>,
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<N> {
        Number(N),
        Text(String),
    }
    let read = match Either::deserialize(deserializer)? {
        Either::Number(value) => number(value),
        Either::Text(value) => text(&value),
    };
    read.map_err(|wrong| de::Error::custom(wrong.message))
}

/// A whole number that must be one of a few.
macro_rules! statuses {
    ($($(#[$attribute:meta])* $name:ident: $($value:literal)*;)*) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        $(#[$attribute])*
        #[schemars(extend("enum" = [$($value),*]))]
        pub struct $name(pub u16);
    )*};
}

statuses! {
    /// The status of a redirect.
    RedirectStatus: 301 302 303 307 308;
    /// The status for a host that no route knows.
    UnknownHost: 404 421;
    /// The status of a request that a limit refuses.
    LimitStatus: 403 429 503;
}

fn warning_codes(schema: &mut Schema) {
    let codes: Vec<_> = super::problem::WARNINGS.iter().map(|warning| warning.code).collect();
    schema.insert("enum".to_owned(), codes.into());
}
