//! GraphQL, as users write it: what is taken by an upstream that speaks it, and queries that routes ask.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, JsonPath, JsonTemplate, Named, OneOrMany, Query, RootField, Size, Template};

/// Has a route ask a query that the configuration holds: REST in front of GraphQL. The document is checked with the configuration,
/// its variables come from the request, and the answer is a part of `data`, or a problem. `docs/graphql.md` says more.
///
/// ```yaml
/// upstreams:
///   shop: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: order
///     path: /orders/{id}
///     method: GET
///     upstream: shop
///     graphql:
///       document: "query Order($id: ID!, $items: Int = 10) { order(id: $id) { id items(first: $items) { name } } }"
///       variables: { id: "{id}", items: "{request.query.items}" }
///       pick: order
///       errors: { ORDER_LOCKED: 423 }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphqlQuery {
    /// The query or mutation. Excludes `file`.
    #[schemars(extend("examples" = ["query Order($id: ID!) { order(id: $id) { id } }"]))]
    pub document: Option<String>,
    /// A file that holds it, relative to this one.
    #[schemars(extend("examples" = ["queries/order.graphql"]))]
    pub file: Option<String>,
    /// Which of the document's operations is asked, where it has several.
    pub operation: Option<String>,
    /// The path that the upstream is asked under. Default: `/graphql`.
    #[schemars(extend("default" = "/graphql"))]
    pub path: Option<Template>,
    /// The variables of the query, by name without `$`: any values whose texts are templates, in which `{body.user.id}` is a part
    /// of the request's JSON body. A text that is nothing but one hole is left out where nothing fills it, so that the query's own
    /// default counts; where it needs a value the request is refused with 400. Parameters of the path come decoded.
    #[schemars(extend("examples" = [{"id": "{id}", "first": "{request.query.limit}", "input": "{body}"}]))]
    pub variables: Option<Named<String, JsonTemplate>>,
    /// What texts become, where the declaration in the query does not say it: `Int`, `Float` and `Boolean` do, and all other types
    /// are strings.
    #[schemars(extend("examples" = [{"filter": "json", "total": "float"}]))]
    pub types: Option<Named<String, GraphqlType>>,
    /// What of `data` the client gets. Default: all of it.
    #[schemars(extend("examples" = ["order", "orders.nodes"]))]
    pub pick: Option<JsonPath>,
    /// A JMESPath expression over `data`, or over what was picked, whose answer the client gets.
    pub query: Option<Query>,
    /// The status for errors, by their `extensions.code`; of several errors the first that has one counts. `UNAUTHENTICATED`
    /// is 401, `FORBIDDEN` 403, `NOT_FOUND` 404 and `BAD_USER_INPUT` 400 where nothing else is said.
    #[schemars(extend("examples" = [{"ORDER_LOCKED": 423, "RATE_LIMITED": 429}]))]
    pub errors: Option<Named<String, FailureStatus>>,
    /// The status for all other errors. Default: 400 where the server itself answers 400, as it does to variables of another type, else
    /// 502.
    pub other_errors: Option<FailureStatus>,
    /// What happens where there are data and errors: they are errors (`refuse`), or the client gets the data (`allow`). Default:
    /// `refuse`.
    #[schemars(extend("default" = "refuse"))]
    pub partial: Option<GraphqlPartial>,
    /// What a client gets where what is picked is `null`: a problem with this status, or with `pass` the `null` itself. Default: 404.
    #[schemars(extend("default" = 404))]
    pub nothing: Option<GraphqlNothing>,
    /// How many bytes of a request's body are read, where variables name it. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub max_request: Option<Size>,
    /// How many bytes an answer may have; a longer one is a 502. Default: `4MiB`.
    #[schemars(extend("default" = "4MiB"))]
    pub max_response: Option<Size>,
}

/// What texts become in the variables of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphqlType {
    /// A string.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// What it says, read as JSON.
    Json,
}

/// What happens where there are data and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphqlPartial {
    /// They are errors.
    Refuse,
    /// The client gets the data.
    Allow,
}

/// What a client gets where there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum GraphqlNothing {
    /// A problem with this status.
    Status(FailureStatus),
    /// What there is.
    Pass(GraphqlPass),
}

/// What there is, even if it is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphqlPass {
    /// 200, and `null`.
    Pass,
}

/// The status of a failure: 400 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 400, "maximum" = 599))]
pub struct FailureStatus(pub u16);

/// Stands before a GraphQL upstream: refuses requests that ask for too much or for what nobody may have, and knows documents by
/// their hashes.
///
/// Requests come by POST as JSON, or queries by GET (GraphQL over HTTP). Their documents are read and measured without a schema;
/// fragments count each time that they are used. The operation's name, kind and cost are `{graphql.operation}`, `{graphql.kind}` and
/// `{graphql.cost}` from there on, in the log, and as key and cost of limits. A `cache` behind this policy stores queries by what they
/// ask for, whether they come by GET or by POST, and never a mutation. Refusals are GraphQL responses for clients whose `Accept`
/// names `application/graphql-response+json` or `application/json`, and problem details for others. `docs/graphql.md` says more.
///
/// ```yaml
/// upstreams:
///   shop: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: graphql
///     path: /graphql
///     upstream: shop
///     policies:
///       - graphql:
///           limits: { depth: 4, cost: 500, aliases: 2 }
///           costs: { fields: { search: 50 } }
///           root_fields: { deny: Mutation.dropAll }
///       - rate_limit: { key: client_address, cost: graphql, limits: 1000 per minute, scope: instance }
/// ```
///
/// ```text
/// POST /graphql  content-type: application/json  {"query":"{ orders(first: 20) { id } }"}  → 200
/// GET /graphql?query=%7Borders%7Bid%7D%7D  → 200
/// POST /graphql  content-type: application/json  {"query":"{ a { b { c { d { e } } } } }"}  → 400
/// POST /graphql  content-type: application/json  {"query":"{ orders(first: 1000) { id customer { id } } }"}  → 400
/// POST /graphql  content-type: application/json  {"query":"{ __schema { types { name } } }"}  → 403
/// POST /graphql  content-type: application/json  {"query":"mutation { dropAll }"}  → 403
/// POST /graphql  content-type: application/json  {"query":"{ orders("}  → 400  content-type: application/problem+json
/// POST /graphql  content-type: application/json  accept: application/json  {"query":"{ orders("}  → 400  content-type: application/json
/// GET /graphql?query=mutation%7Bcancel%7D  → 405
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphqlPolicy {
    /// How much is taken. What is more is refused with 400.
    pub limits: Option<GraphqlLimits>,
    /// What fields cost, for `limits.cost`, for limits on requests and for `{graphql.cost}`.
    pub costs: Option<GraphqlCosts>,
    /// Whether clients may ask for the schema (`__schema`, `__type`). Default: `false`, they are refused with 403.
    #[schemars(extend("default" = false))]
    pub introspection: Option<bool>,
    /// What operations may do; others are refused with 403. Default: all three.
    #[schemars(extend("default" = ["query", "mutation", "subscription"]))]
    pub operations: Option<OneOrMany<GraphqlKind>>,
    /// Whether queries are taken by GET. Whatever changes something never is. Default: `true`.
    #[schemars(extend("default" = true))]
    pub get: Option<bool>,
    /// The fields of the root that may be asked for; others are refused with 403. Default: all.
    pub root_fields: Option<GraphqlRootFields>,
    /// Documents that clients name instead of sending them. Default: none.
    pub persisted: Option<GraphqlPersisted>,
}

/// How much is taken of a GraphQL client.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphqlLimits {
    /// Fields that stand in each other; those of the root are 1. Default: 15.
    #[schemars(extend("default" = 15), range(min = 1))]
    pub depth: Option<u32>,
    /// What a request costs, by `costs`; all operations of a list together. Default: anything.
    pub cost: Option<u64>,
    /// Fields that are given another name. Default: 30.
    #[schemars(extend("default" = 30))]
    pub aliases: Option<u32>,
    /// Fields of the root. Default: 20.
    #[schemars(extend("default" = 20), range(min = 1))]
    pub root_fields: Option<u32>,
    /// Directives. Default: 50.
    #[schemars(extend("default" = 50))]
    pub directives: Option<u32>,
    /// Tokens of a document, as the specification counts them. Default: 5000.
    #[schemars(extend("default" = 5000), range(min = 1))]
    pub tokens: Option<u32>,
    /// How long a document may be. Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub document: Option<Size>,
    /// Operations in one request, as a list. Default: 1, lists are refused.
    #[schemars(extend("default" = 1), range(min = 1))]
    pub batch: Option<u32>,
    /// How long a body may be; a longer one is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub body: Option<Size>,
}

/// What fields cost. A field costs what is said of it, and what is in it as often as there are things of its kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphqlCosts {
    /// A field in which others are asked for. Default: 1.
    #[schemars(extend("default" = 1))]
    pub object: Option<u32>,
    /// A field in which nothing is. Default: 0.
    #[schemars(extend("default" = 0))]
    pub leaf: Option<u32>,
    /// Fields by name; `Type.name` is for those of the root (`Query.orders`), and of fragments on that type.
    #[schemars(extend("examples" = [{"search": 50, "Query.orders": 5}]))]
    pub fields: Option<Named<String, u32>>,
    /// The arguments that say how many things a field gives. Default: `first`, `last` and `limit`.
    #[schemars(extend("default" = ["first", "last", "limit"]))]
    pub sizes: Option<OneOrMany<String>>,
    /// How many things a field gives where no argument says so. Default: 1.
    #[schemars(extend("examples" = [{"items": 20}]))]
    pub assumed: Option<Named<String, u32>>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphqlKind {
    /// It asks.
    Query,
    /// It changes something.
    Mutation,
    /// It asks to be told.
    Subscription,
}

/// The fields of the root that may be asked for, as `Query.orders`, or `Mutation.*` for all of a kind. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphqlRootFields {
    /// Only these. Default: all.
    #[schemars(extend("examples" = [["Query.orders", "Query.me", "Mutation.*"]]))]
    pub allow: Option<OneOrMany<RootField>>,
    /// Not these.
    #[schemars(extend("examples" = ["Mutation.dropAll"]))]
    pub deny: Option<OneOrMany<RootField>>,
}

/// Documents that clients name instead of sending them: by `extensions.persistedQuery` as Apollo's clients do, or by `documentId`.
/// The upstream gets them written out, by POST.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphqlPersisted {
    /// Documents that clients bring once with their SHA-256, and then name by it (Apollo's automatic persisted queries), and
    /// who keeps them. Default: none are kept.
    pub automatic: Option<GraphqlStore>,
    /// How long the platform's store keeps them. Default: `24h`.
    #[schemars(extend("default" = "24h"))]
    pub ttl: Option<Duration>,
    /// Files with documents, relative to this one: Apollo's manifests, JSON objects from a name to a document, or `.graphql` files,
    /// whose documents are named by the SHA-256 of the file's text.
    #[schemars(extend("examples" = ["persisted-queries.json", ["queries/orders.graphql", "queries/me.graphql"]]))]
    pub documents: Option<OneOrMany<String>>,
    /// Whether only those of `documents` are taken, by name or written out; others are refused with 403. Default: `false`.
    #[schemars(extend("default" = false))]
    pub only: Option<bool>,
}

/// Who keeps the documents that clients bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphqlStore {
    /// Each instance, as long as it lives: 1 MiB of them.
    Instance,
    /// The store of the platform's cache as well, so that instances share them.
    Shared,
}
