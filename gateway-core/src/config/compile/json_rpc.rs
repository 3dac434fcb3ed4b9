//! JSON-RPC: from what was written to what runs.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
        Value,
    },
    problem::{Problem, Span},
    schemas::{Draft, Reading, Way},
    written,
};
use super::{RouteCompiler, Seen, validation::MOST_BYTES};
use crate::{
    expression::Variable,
    forward::Forward,
    json_rpc::RpcCall,
    policy::{
        Authorize, JsonRpc, Policy,
        json_rpc::{Batch, Statuses},
        limit::KeyPart,
    },
    route::Matcher,
    shape::query::Query,
};

impl<'a> RouteCompiler<'_, 'a> {
    pub(super) fn json_rpc(&mut self, written: &written::JsonRpcPolicy, node: &'a Node) -> JsonRpc {
        self.all.features.extend(["json_rpc", "shaping", "validation", "regex"]);
        let methods = written.methods.as_ref();
        let mut list = |names: Option<&written::OneOrMany<String>>, field: &'static str| {
            let mut all = Vec::new();
            for (index, name) in names.iter().flat_map(|names| &names.0).enumerate() {
                let at = node.place([Field("methods"), Field(field), Item(index)]);
                self.rpc_name(name, at);
                self.once(&mut all, name.clone(), name, at);
            }
            all
        };
        let allow = list(methods.and_then(|methods| methods.allow.as_ref()), "allow");
        let deny = list(methods.and_then(|methods| methods.deny.as_ref()), "deny");
        for name in deny.iter().filter(|name| allow.contains(name)) {
            let message = format!("`{name}` is both allowed and denied");
            let at = node.place([Field("methods"), Field("deny")]);
            self.all.problems.push(Problem::error("conflicting-fields", at, message).help("keep one of the two"));
        }
        let reading = Reading { draft: Draft::Draft202012, formats: false, way: Way::Any };
        let mut params = Vec::new();
        for entry in node.get("params").map(Node::entries).unwrap_or_default() {
            self.rpc_name(&entry.name, entry.name_at);
            let Some(schema) = entry.value.get("schema") else { continue };
            let schema = self.all.schemas.inline(schema, reading, self.all.problems);
            params.push((entry.name.clone(), schema));
        }
        JsonRpc {
            bytes: written.limit.map_or(MOST_BYTES, |size| size.bytes),
            depth: written.depth.unwrap_or(32),
            batch: match written.batch {
                None | Some(written::RpcBatch::Split) => Batch::Split(written.parallel.unwrap_or(4)),
                Some(written::RpcBatch::Pass) => Batch::Pass,
                Some(written::RpcBatch::Refuse) => Batch::Refuse,
            },
            most: written.max_batch.unwrap_or(20) as usize,
            allow,
            deny,
            params,
            notifications: written.notifications != Some(written::Unknown::Refuse),
            statuses: match written.errors {
                None | Some(written::RpcErrors::Ok) => Statuses::Ok,
                Some(written::RpcErrors::Http) => Statuses::Http,
            },
        }
    }

    fn rpc_name(&mut self, name: &str, at: Span) {
        let inner = name.strip_suffix('*').unwrap_or(name);
        if name.is_empty() || inner.contains('*') || name.chars().any(char::is_control) {
            let problem = Problem::error("bad-method", at, format!("`{name}` names no method"));
            self.all.problems.push(problem.help("write a method's name, or the beginning of some: `eth_*`"));
        }
    }

    /// Who asks for the method of a call must stand behind the policy that finds it, and that must look at each call.
    pub(super) fn rpc_method_is_known(&mut self, policies: &[Policy]) {
        let mut passes = None;
        for policy in policies {
            let asks = match policy {
                Policy::JsonRpc(policy) => {
                    passes = Some(policy.batch == Batch::Pass);
                    continue;
                }
                Policy::Limit(limit) => limit.key.contains(&KeyPart::RpcMethod),
                Policy::Authorize(Authorize { expressions, .. }) => {
                    expressions.iter().any(|expression| expression.asks_for(|asked| asked == Variable::RpcMethod))
                }
                _ => false,
            };
            if !asks {
                continue;
            }
            let entries = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
            let named = entries.iter().flat_map(Node::entries).find(|entry| asks_for_method(&entry.value));
            let at = named.map_or(self.defined.name_at, |entry| entry.name_at);
            match passes {
                None => {
                    let message = "this asks for the method of a call before anybody has read it";
                    let problem = Problem::error("method-unknown", at, message);
                    self.all.problems.push(problem.help("put the policy `json_rpc` before it"));
                }
                Some(true) => {
                    let message = "batches pass as they are here, so the method of their calls is not known";
                    let problem = Problem::error("method-unknown", at, message);
                    self.all.problems.push(problem.help("write `batch: split` or `batch: refuse` in `json_rpc`"));
                }
                Some(false) => {}
            }
        }
    }

    pub(super) fn rpc_call(
        &mut self,
        forward: Forward,
        written: &written::JsonRpcCall,
        paths: &[Matcher],
    ) -> Option<RpcCall> {
        let node = self.defined.node.get("json_rpc")?;
        self.all.features.extend(["json_rpc", "shaping", "validation", "regex"]);
        if written.method.is_empty() || written.method.chars().any(char::is_control) {
            let message = format!("`{}` names no method", written.method);
            self.all.problems.push(Problem::error("bad-method", node.place([Field("method")]), message));
        }
        let params = match node.get("params") {
            None => None,
            Some(params) if matches!(params.value, Value::List(_) | Value::Map(_)) => {
                Some(self.blueprint(params, paths, Seen { response: false, documents: &["body"] })?)
            }
            Some(params) => {
                let message = "the parameters of a call are a list or an object";
                let problem = Problem::error("bad-value", params.at, message);
                self.all.problems.push(problem.help("put it in a list"));
                return None;
            }
        };
        let result = written.result.as_ref().and_then(|query| Query::parse(&query.0).ok());
        if result.is_some() {
            self.all.features.insert("queries");
        }
        let notification = written.notification.unwrap_or(false);
        for name in ["result", "errors"] {
            if let Some(entry) = node.entry(name).filter(|_| notification) {
                let problem = Problem::error("conflicting-fields", entry.name_at, "a notification has no answer");
                self.all.problems.push(problem.help("remove it, or `notification`"));
            }
        }
        let mut errors = Vec::new();
        for (code, status) in written.errors.iter().flat_map(|errors| &errors.0) {
            match code.parse::<i64>() {
                Ok(number) => errors.push((number, status.0)),
                Err(_) => {
                    let at = node.get("errors").and_then(|errors| errors.entry(code)).map_or(node.at, |e| e.name_at);
                    let problem = Problem::error("bad-code", at, format!("`{code}` is no code of JSON-RPC"));
                    self.all.problems.push(problem.help("write a whole number, such as `\"-32001\"`"));
                }
            }
        }
        Some(RpcCall {
            forward,
            method: written.method.clone(),
            params,
            result,
            notification,
            errors,
            bytes: written.limit.map_or(MOST_BYTES, |size| size.bytes),
        })
    }
}

/// Whether the name stands somewhere in it.
fn asks_for_method(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains("json_rpc.method") || text == "json_rpc_method",
        Value::List(items) => items.iter().any(asks_for_method),
        Value::Map(entries) => entries.iter().any(|entry| asks_for_method(&entry.value)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => false,
    }
}
