//! Tools by the Model Context Protocol, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Address, HostName, Method, Name, Named, OneOrMany, OpenApiDocument, OriginRule, PlainPath, Scope, Size};

/// Action: serves tools by the Model Context Protocol (streamable HTTP; 2025-11-25, and down to 2024-11-05).
///
/// Tools are operations that other routes of this gateway answer, as an OpenAPI document or the services of a route with `grpc`
/// describe them. Calling one makes a request to this gateway, with the caller's own fields and address: it finds a route as any
/// request does, and passes its policies. See `docs/mcp.md`.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: pets
///     path_prefix: /pets
///     upstream: origin
///   - name: tools
///     path: /mcp
///     mcp:
///       tools:
///         openapi:
///           openapi: 3.1.0
///           info: { title: Pets, version: 1.0.0 }
///           paths:
///             /pets/{id}:
///               get:
///                 operationId: getPet
///                 summary: One pet by its number
///                 parameters:
///                   - { name: id, in: path, required: true, schema: { type: integer } }
///                 responses: { "200": { description: A pet } }
/// ```
///
/// ```text
/// POST /mcp  content-type: application/json  {"jsonrpc":"2.0","id":1,"method":"ping"}        → 200
/// POST /mcp  content-type: application/json  {"jsonrpc":"2.0","id":1,"method":"tools/list"}  → 200
/// POST /mcp  content-type: application/json  {"jsonrpc":"2.0","method":"notifications/initialized"}  → 202
/// GET /mcp  → 405
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mcp {
    /// Where the tools come from.
    pub tools: OneOrMany<McpTools>,
    /// What the server is called. Default: the name of the route.
    pub name: Option<String>,
    /// What people see instead of its name.
    pub title: Option<String>,
    /// Its version. Default: `1`.
    #[schemars(extend("default" = "1"))]
    pub version: Option<String>,
    /// What a model should know before it uses the tools.
    pub instructions: Option<String>,
    /// How many tools are listed at once; the others come with a cursor. Default: 100.
    #[schemars(extend("default" = 100), range(min = 1, max = 1000))]
    pub page_size: Option<u32>,
    /// How much of a request is read; more is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub max_request: Option<Size>,
    /// How many bytes a tool can give; a longer answer is an error of the tool. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub max_answer: Option<Size>,
    /// The origins whose pages may call: `https://app.example.com`, `https://*.example.com`, `http://localhost:*`, `{ regex: … }`. A
    /// request of any other page is refused with 403, so that no page whose name leads here can use what a user's browser reaches
    /// (DNS rebinding); programs that say no `Origin` are let in. Default: the hosts of the route itself, where it names any.
    pub origins: Option<OneOrMany<OriginRule>>,
    /// The host that the routes of the tools have, with a port if need be. Default: the one that was asked for.
    #[schemars(extend("examples" = ["api.example.com"]))]
    pub host: Option<HostName>,
    /// Who gives out tokens for this route: told in refusals, and published under `/.well-known/oauth-protected-resource` before
    /// the path of the route (RFC 9728), where clients look for it. An `authenticate` says which tokens are taken.
    pub authorization: Option<McpAuthorization>,
}

/// Where tools come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpTools {
    /// An OpenAPI document (3.0 or 3.1), whose operations are tools. Excludes `grpc`.
    pub openapi: Option<OpenApiDocument>,
    /// A route with `grpc`, whose methods are tools: those that take one message and give one. The route has to take the methods' own
    /// paths, `/package.Service/Method`.
    #[schemars(extend("examples" = ["shop"]))]
    pub grpc: Option<Name>,
    /// What stands before the paths in those that are asked for. Default: the path of the document's first server; of methods the
    /// `strip_prefix` of their route.
    pub base_path: Option<PlainPath>,
    /// The operations that are tools, by their `operationId` (of methods `Service.Method`); each may end in `*`. Default: all.
    pub operations: Option<McpOperations>,
    /// Only operations with one of these tags (of methods, the services).
    pub tags: Option<OneOrMany<String>>,
    /// Only operations with one of these methods in HTTP. Default: `GET`, `POST`, `PUT`, `PATCH` and `DELETE`.
    #[schemars(extend("examples" = ["GET"]))]
    pub methods: Option<OneOrMany<Method>>,
    /// What stands before the names of the tools.
    #[schemars(extend("examples" = ["shop_"]))]
    pub prefix: Option<String>,
    /// What is told of single tools instead of what the document says, by `operationId`.
    #[schemars(extend("examples" = [{"getPet": {"name": "get_pet", "description": "One pet by its number."}}]))]
    pub overrides: Option<Named<String, McpOverride>>,
}

/// Names of operations; each may end in `*`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpOperations {
    /// Only these.
    pub allow: Option<OneOrMany<String>>,
    /// Not these, even if `allow` names them.
    pub deny: Option<OneOrMany<String>>,
}

/// What is told of a tool.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpOverride {
    /// Its name, without `prefix`.
    pub name: Option<String>,
    /// What people see instead of its name.
    pub title: Option<String>,
    /// What a model should know of it.
    pub description: Option<String>,
    /// Whether it changes nothing. Default: with `GET`.
    pub read_only: Option<bool>,
    /// Whether it may change or remove what is there, rather than only add to it. Default: with `PUT`, `PATCH` and `DELETE`; of `POST`
    /// nothing is said.
    pub destructive: Option<bool>,
    /// Whether doing it twice changes no more than doing it once. Default: with `PUT` and `DELETE`.
    pub idempotent: Option<bool>,
}

/// Who gives out tokens (RFC 9728).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpAuthorization {
    /// The authorisation servers: their issuers.
    #[schemars(extend("examples" = ["https://idp.example.com"]))]
    pub servers: OneOrMany<Address>,
    /// The scopes that there are.
    pub scopes: Option<OneOrMany<Scope>>,
    /// The address of this route, as clients know it. Default: by what they have asked for.
    #[schemars(extend("examples" = ["https://mcp.example.com/mcp"]))]
    pub resource: Option<Address>,
    /// What people see when they are asked to consent.
    pub name: Option<String>,
}
