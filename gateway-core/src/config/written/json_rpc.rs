//! JSON-RPC, as users write it: what is taken of it, and plain requests that become calls.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{InlineSchema, JsonTemplate, Named, OneOrMany, Query, Size};

/// Looks into JSON-RPC 2.0: what is no message is refused, methods are allowed or not, and batches are split into single calls.
///
/// The policies behind it are for one call at a time: each call of a batch passes them, and the upstream, alone, with its own
/// body and its own `{json_rpc.method}` (in templates, in expressions, and as a part of the key of a limit). The policies before it
/// are for the whole request, so `authenticate` belongs there. The answers are put together in the order of the calls;
/// notifications have none, and where nothing else came the answer is 204. What this policy or one behind it refuses becomes
/// an error object: -32700 for what is no JSON, -32600 for what is no message, -32601 for methods that are not taken, -32602 for
/// parameters that are not as `params` says, -32000 for what another policy has refused, and -32603 where there is no answer.
///
/// ```yaml
/// upstreams:
///   node: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: rpc
///     path: /rpc
///     method: POST
///     upstream: node
///     policies:
///       - json_rpc: { methods: { allow: ["eth_*", net_version], deny: eth_sign }, max_batch: 10 }
/// ```
///
/// ```text
/// POST /rpc  content-type: application/json  {"jsonrpc":"2.0","method":"eth_call","id":1}   → 200
/// POST /rpc  content-type: application/json  {"jsonrpc":"2.0","method":"eth_sign","id":1}   → 200
/// POST /rpc  content-type: text/plain        {"jsonrpc":"2.0","method":"eth_call","id":1}   → 415
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonRpcPolicy {
    /// The methods that are taken.
    pub methods: Option<RpcMethods>,
    /// What the parameters of methods must be like, by the methods' names, which may end in `*`; the first that fits counts. A
    /// call without parameters has none: an empty object.
    #[schemars(extend("examples" = [{"eth_call": {"schema": {"type": "array", "minItems": 1}}}]))]
    pub params: Option<Named<String, RpcParams>>,
    /// What becomes of batches. Default: `split`.
    #[schemars(extend("default" = "split"))]
    pub batch: Option<RpcBatch>,
    /// How many messages a batch may have. Default: 20.
    #[schemars(extend("default" = 20), range(min = 1, max = 1000))]
    pub max_batch: Option<u32>,
    /// How many calls of a batch go on at a time. Default: 4. Workers wait for six connections at once.
    #[schemars(extend("default" = 4), range(min = 1, max = 32))]
    pub parallel: Option<u32>,
    /// What becomes of notifications: messages without `id`, which nobody answers. Default: `pass`.
    #[schemars(extend("default" = "pass"))]
    pub notifications: Option<super::Unknown>,
    /// Which status errors of JSON-RPC have: `ok` says 200, as most servers do, `http` says 400, and 404 for methods that are not
    /// taken. What other policies refuse keeps its own status. Default: `ok`.
    #[schemars(extend("default" = "ok"))]
    pub errors: Option<RpcErrors>,
    /// How much of a request is read, and of each answer in a batch; more is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
    /// How deep lists and objects may stand in each other. Default: 32.
    #[schemars(extend("default" = 32), range(min = 2, max = 1000))]
    pub depth: Option<u32>,
}

/// Names of methods; each may end in `*`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RpcMethods {
    /// Only these. Default: all.
    #[schemars(extend("examples" = [["eth_*", "net_version"]]))]
    pub allow: Option<OneOrMany<String>>,
    /// Not these, even if `allow` names them.
    #[schemars(extend("examples" = ["eth_sign"]))]
    pub deny: Option<OneOrMany<String>>,
}

/// What parameters must be like.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RpcParams {
    /// The schema of `params`.
    pub schema: InlineSchema,
}

/// What becomes of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RpcBatch {
    /// Each call goes on alone.
    Split,
    /// They go on as they are, when every message in them may. Nothing behind can ask for the method then.
    Pass,
    /// They are refused with -32600.
    Refuse,
}

/// Which status errors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RpcErrors {
    /// 200
    Ok,
    /// 400, and 404 for methods that are not taken.
    Http,
}

/// Has a route call a stored method of the JSON-RPC server that its upstream is. Clients send plain requests, and get the result.
///
/// The call is posted to the path that would be forwarded (after `rewrite` and the like), without the client's query.
///
/// ```yaml
/// upstreams:
///   node: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: balance
///     path: /accounts/{account}/balance
///     upstream: node
///     rewrite: /
///     json_rpc:
///       method: eth_getBalance
///       params: ["{account}", '{request.query.block | default: "latest"}']
///       errors: { "-32001": 404 }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonRpcCall {
    /// The method.
    #[schemars(extend("examples" = ["eth_getBalance"]))]
    pub method: String,
    /// Its parameters: a list or an object whose texts are templates, in which `{body.user.id}` is a part of the client's JSON
    /// body. A text that is nothing but one such part becomes that part with its own type. Default: none.
    #[schemars(extend("examples" = [["{account}", "latest"], {"id": "{id | number}"}]))]
    pub params: Option<JsonTemplate>,
    /// What of the result the client gets: a JMESPath expression. Default: all of it.
    #[schemars(extend("examples" = ["balance.amount"]))]
    pub result: Option<Query>,
    /// Whether it is a notification: nobody waits for a result, and the client gets 204. Default: `false`.
    #[schemars(extend("default" = false))]
    pub notification: Option<bool>,
    /// The statuses of errors, by their codes. Default: 400 for -32602, 502 for all others.
    #[schemars(extend("examples" = [{"-32001": 404, "-32005": 429}]))]
    pub errors: Option<Named<String, RpcErrorStatus>>,
    /// How much of the client's body and of the answer is read. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
}

/// The status of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct RpcErrorStatus(#[schemars(range(min = 400, max = 599))] pub u16);
