//! Calls of gRPC services, as users write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{OneOrMany, Size};

/// Has a route call methods of the gRPC services that its upstream has. Clients speak JSON over HTTP, Connect, gRPC-Web or, where the
/// platform can end an answer with trailers, gRPC.
///
/// JSON clients find methods by their `google.api.http` annotations, compared with the path that would be forwarded (after
/// `strip_prefix` and the like): of several that match, the one that names a verb, then, segment by segment, a literal before
/// `*` before `**`. Where none takes the path the answer is 404, where only the method of HTTP does not fit 405. Every other
/// client, and JSON where there is no annotation, uses the method's own path, `/package.Service/Method`, with POST.
///
/// ```yaml
/// upstreams:
///   users: { targets: [{ url: "http://127.0.0.1:50051" }] }
/// routes:
///   - name: users
///     path: /v1/{*rest}
///     upstream: users
///     grpc: { protos: users.proto, dialect: grpc_web }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// Files that hold a `FileDescriptorSet`, relative to this one, with everything that they import: `buf build -o
    /// users.binpb`, or `protoc --include_imports -o users.binpb users.proto`. Excludes `protos`.
    #[schemars(extend("examples" = ["users.binpb"]))]
    pub descriptors: Option<OneOrMany<String>>,
    /// `.proto` files, relative to this one, which are compiled with the configuration. What Google publishes as
    /// `google/protobuf/…`, `google/api/annotations.proto`, `google/api/httpbody.proto`, `google/rpc/status.proto` and
    /// `google/rpc/error_details.proto` is known.
    #[schemars(extend("examples" = ["protos/users.proto"]))]
    pub protos: Option<OneOrMany<String>>,
    /// The folders, relative to this file, in which `import` looks, and from which `protos` have their names. Default: the
    /// folders of the `protos`.
    #[schemars(extend("examples" = ["protos"]))]
    pub imports: Option<OneOrMany<String>>,
    /// The services that can be called (`users.v1.Users`), or single methods of them (`users.v1.Users/Get`). Default: every
    /// service of the descriptors, or of the `protos` (and not of what they import).
    #[schemars(extend("examples" = ["users.v1.Users", ["users.v1.Users/Get", "users.v1.Users/List"]]))]
    pub services: Option<OneOrMany<String>>,
    /// What the upstream speaks.
    pub dialect: GrpcDialect,
    /// Which methods take JSON at their own path. Default: `unannotated`.
    #[schemars(extend("default" = "unannotated"))]
    pub plain_paths: Option<GrpcPlainPaths>,
    /// How the messages of a method that gives many are written to a JSON client whose `Accept` names none of these. Default: `array`.
    #[schemars(extend("default" = "array"))]
    pub stream: Option<GrpcStream>,
    /// How messages become JSON, where the mapping of proto3 leaves a choice.
    pub json: Option<GrpcJson>,
    /// What of a JSON client's header fields are metadata, and the other way round. The metadata of other clients are handed on
    /// whole.
    pub metadata: Option<GrpcMetadata>,
    /// Who may call: clients that speak JSON over HTTP, Connect, gRPC-Web or gRPC; everybody else gets 415. gRPC cannot be answered on
    /// Workers, where nothing stands behind a body. Default: all of them.
    #[schemars(extend("examples" = ["json", ["json", "grpc_web"]]))]
    pub clients: Option<OneOrMany<GrpcClient>>,
    /// How many bytes one message may have, and so the whole body of a request of one message: more is refused with 413, or in an
    /// answer with 502. How many messages there are is not limited. Default: `4MiB`.
    #[schemars(extend("default" = "4MiB"))]
    pub max_message: Option<Size>,
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcDialect {
    /// gRPC over HTTP/2, which ends in trailers. Workers have neither; Spin has both, over TLS.
    Grpc,
    /// gRPC-Web, as most gRPC servers offer it beside gRPC. On both platforms.
    GrpcWeb,
    /// Connect. On both platforms.
    Connect,
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcClient {
    /// JSON over HTTP.
    Json,
    /// Connect.
    Connect,
    /// gRPC-Web, also in Base64.
    GrpcWeb,
    /// gRPC.
    Grpc,
}

/// Which methods take JSON at their own path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcPlainPaths {
    /// Those without an annotation.
    Unannotated,
    /// Every one.
    All,
    /// None.
    None,
}

/// How many messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcStream {
    /// As one JSON array (`application/json`).
    Array,
    /// One line of JSON for each (`application/x-ndjson`).
    Lines,
    /// One server-sent event for each (`text/event-stream`), and one called `end` behind them.
    Events,
}

/// How messages become JSON, where the mapping of proto3 leaves a choice.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcJson {
    /// How enums are written; both are read. Default: `name`.
    #[schemars(extend("default" = "name"))]
    pub enums: Option<GrpcEnums>,
    /// How fields are called; both are read. Default: `json`.
    #[schemars(extend("default" = "json"))]
    pub names: Option<GrpcNames>,
    /// Whether fields without presence are written when they have their default. Default: `omit`.
    #[schemars(extend("default" = "omit"))]
    pub defaults: Option<GrpcDefaults>,
    /// How 64-bit numbers are written; both are read. JavaScript rounds such numbers. Default: `text`.
    #[schemars(extend("default" = "text"))]
    pub wide_numbers: Option<GrpcWideNumbers>,
    /// What happens to members and parameters that no field has the name of, and to names that no enum has. Default: `refuse`.
    #[schemars(extend("default" = "refuse"))]
    pub unknown: Option<GrpcUnknown>,
}

/// How enums are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcEnums {
    /// By name.
    Name,
    /// By number.
    Number,
}

/// How fields are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcNames {
    /// `displayName`, or what the field's `json_name` says.
    Json,
    /// `display_name`, as in the `.proto` file.
    Original,
}

/// Whether fields without presence are written when they have their default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcDefaults {
    /// They are left out.
    Omit,
    /// They are written.
    Write,
}

/// How 64-bit numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcWideNumbers {
    /// As texts, which keeps every digit.
    Text,
    /// As numbers.
    Number,
}

/// What happens to members and parameters that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrpcUnknown {
    /// The request is refused with 400.
    Refuse,
    /// They are ignored.
    Ignore,
}

/// What of header fields are metadata, and the other way round: names, or beginnings with `*` behind them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcMetadata {
    /// Fields of requests that become metadata. `User-Agent`, `Via`, and what tells of the client, always do. Default:
    /// `authorization`, `traceparent`, `tracestate`, `x-request-id`.
    #[schemars(extend("examples" = [["authorization", "x-tenant-*"]]))]
    pub request: Option<OneOrMany<MetadataName>>,
    /// Metadata, before or behind the messages, that become fields of answers; of many messages only those before. Default: none.
    #[schemars(extend("examples" = [["x-total-count"]]))]
    pub response: Option<OneOrMany<MetadataName>>,
}

/// The name of a header field, or the beginning of names with `*` behind it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^[A-Za-z0-9!#$%&'+.^_`|~-]+\\*?$", "examples" = ["x-request-id", "x-app-*"]))]
pub struct MetadataName(pub String);
