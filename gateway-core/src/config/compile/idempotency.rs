//! What is done once: from what was written to what runs.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::Problem,
    written,
};
use super::{RouteCompiler, show_duration};
use crate::{
    policy::{Idempotency, idempotency::Unknown},
    upstream::{Timeouts, is_safe},
};

/// What fits into a row of a Durable Object, in Base64 and with its head.
const LONGEST_ANSWER: u64 = 1 << 20;

impl RouteCompiler<'_, '_> {
    pub(super) fn idempotency(&mut self, written: &written::IdempotencyPolicy, node: &Node) -> Idempotency {
        self.all.features.insert("idempotency");
        self.forwards("idempotency", node);
        let mut methods = self.methods(written.methods.as_ref(), node);
        for (index, method) in methods.iter().enumerate().filter(|(_, method)| is_safe(method)) {
            let message = format!("`{method}` asks for nothing but an answer, so it may be sent as often as one likes");
            let at = node.place([Field("methods"), Item(index)]);
            self.all.problems.push(Problem::error("safe-method", at, message).help("remove it"));
        }
        if written.methods.is_none() {
            methods = vec!["POST".to_owned(), "PATCH".to_owned()];
        }
        let total = self.total();
        let lease = written.lease.map_or(total.saturating_add(30_000), |lease| lease.milliseconds);
        if lease < total {
            let message = format!(
                "a request may take {}, but counts as lost after {}, so that it could be made twice",
                show_duration(total),
                show_duration(lease)
            );
            let problem = Problem::error("short-lease", node.place([Field("lease")]), message);
            self.all.problems.push(problem.help("raise `lease`, or lower the time that requests have"));
        }
        let answer = written.answer.map_or(64 << 10, |size| size.bytes);
        if answer > LONGEST_ANSWER {
            let problem =
                Problem::error("limit-too-high", node.place([Field("answer")]), "answers this long are not kept");
            self.all.problems.push(problem.help("write `1MiB` or less"));
        }
        let fields = written.headers.as_ref().map(|_| self.header_names(written.headers.as_ref(), node, "headers"));
        Idempotency {
            header: written.header.as_ref().map_or("idempotency-key", |name| &name.0).to_ascii_lowercase(),
            methods,
            required: written.required.unwrap_or(false),
            body: written.body.map_or(1 << 20, |size| size.bytes),
            answer,
            fields,
            keep: written.ttl.map_or(86_400_000, |ttl| ttl.milliseconds),
            lease,
            wait: match written.concurrent {
                None => 10_000,
                Some(written::Concurrent::Wait(wait)) => wait.milliseconds,
                Some(written::Concurrent::Refuse) => 0,
            },
            repeat: match &written.repeat_statuses {
                None => vec![429, 502, 503, 504],
                Some(statuses) => statuses.0.iter().map(|status| status.0).collect(),
            },
            unknown: match written.when_unknown {
                None | Some(written::WhenUnknown::Repeat) => Unknown::Repeat,
                Some(written::WhenUnknown::Refuse) => Unknown::Refuse,
            },
            opens_on_failure: written.on_failure == Some(written::LimitFailure::Open),
        }
    }

    /// How long a request of this route may take, in milliseconds.
    fn total(&self) -> u64 {
        let own = &self.defined.written;
        if let Some(compose) = &own.compose {
            return compose.timeout.map_or(30_000, |timeout| timeout.milliseconds);
        }
        let of = |name: &written::Name| self.all.upstreams.get(name.0.as_str()).map(|(_, timeouts)| timeouts.total);
        let base = own.upstream.as_ref().and_then(of).unwrap_or(Timeouts::default().total);
        let total = own.timeouts.as_ref().and_then(|own| own.total).map_or(base, |total| total.milliseconds);
        // Where the upstream has failed, another one is asked, with times of its own.
        let upstreams = &self.all.loaded.upstreams;
        let first = own.upstream.as_ref().and_then(|name| upstreams.iter().find(|known| known.name == name.0));
        let other = first.and_then(|first| first.written.fallback.as_ref()?.upstream.as_ref()).and_then(of);
        total.saturating_add(other.unwrap_or(0))
    }

    /// A policy that has no meaning where nothing is forwarded.
    pub(super) fn forwards(&mut self, kind: &str, node: &Node) {
        // A composition has what this needs of an upstream: an answer, and somebody who may have done what was asked for.
        let composes = kind == "idempotency" && self.defined.written.compose.is_some();
        if self.defined.written.upstream.is_none() && !composes && !self.defined.node.damaged {
            let message = format!("`{kind}` is for routes that forward, and this one does not");
            let problem = Problem::error("needs-upstream", node.head(), message);
            self.all.problems.push(problem.help("remove it, or forward with `upstream`"));
        }
    }
}
