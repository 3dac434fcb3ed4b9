//! Copies of requests: from what was written to what runs.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::Problem,
    written,
};
use super::{Direction, RouteCompiler};
use crate::policy::{Mirror, mirror::Compare};

impl RouteCompiler<'_, '_> {
    pub(super) fn mirror(&mut self, written: &written::MirrorPolicy, node: &Node) -> Option<Mirror> {
        self.all.features.insert("mirror");
        self.forwards("mirror", node);
        let known = self.all.upstreams.get(written.upstream.0.as_str()).map(|(place, _)| *place);
        if known.is_none() {
            self.unknown_upstream(&written.upstream.0, node.place([Field("upstream")]));
        }
        let share = written.percent.map_or(10_000, |share| share.of_ten_thousand);
        if share == 0 {
            let problem = Problem::error("empty-policy", node.place([Field("percent")]), "this copies nothing");
            self.all.problems.push(problem.help("raise `percent`, or remove the policy"));
        }
        let methods = self.methods(written.methods.as_ref(), node);
        let mut remove = self.header_names(written.remove.as_ref(), node, "remove");
        for (index, name) in remove.iter().enumerate() {
            self.changeable(name, node.place([Field("remove"), Item(index)]), Direction::Request);
        }
        if written.credentials != Some(written::MirrorCredentials::Keep) {
            remove.extend(["authorization", "cookie"].map(str::to_owned));
        }
        let mark = written.mark.as_ref().map_or("x-mirror", |name| &name.0).to_ascii_lowercase();
        self.changeable(&mark, node.place([Field("mark")]), Direction::Request);
        let compare = written.compare.as_ref().zip(node.get("compare")).map(|(compare, node)| Compare {
            fields: self.header_names(compare.headers.as_ref(), node, "headers"),
            body: compare.body.map_or(64 << 10, |size| size.bytes),
            ignore: self.pointers(compare.ignore.as_ref(), node),
        });
        Some(Mirror {
            upstream: known?,
            share,
            methods,
            body: written.body.map_or(64 << 10, |size| size.bytes),
            remove,
            mark,
            compare,
        })
    }

    /// JSON Pointers (RFC 6901) in parts.
    fn pointers(&mut self, written: Option<&written::OneOrMany<String>>, node: &Node) -> Vec<Vec<String>> {
        let mut pointers = Vec::new();
        for (index, text) in written.iter().flat_map(|texts| &texts.0).enumerate() {
            let at = node.place([Field("ignore"), Item(index)]);
            match text.strip_prefix('/') {
                Some(rest) => {
                    let part = |part: &str| part.replace("~1", "/").replace("~0", "~");
                    self.once(&mut pointers, rest.split('/').map(part).collect(), text, at);
                }
                None => {
                    let message = format!("`{text}` is no JSON Pointer: it does not begin with a slash");
                    let problem = Problem::error("bad-pointer", at, message);
                    self.all.problems.push(problem.help(format!("write `/{text}`, parts with slashes between")));
                }
            }
        }
        pointers
    }
}
