//! Services that are asked whether a request may pass.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::Problem,
    written,
};
use super::{Direction, RouteCompiler};
use crate::{
    policy::{
        ForwardAuth,
        forward_auth::{Cache, OnFailure},
    },
    route::Matcher,
    template::Template,
    upstream::{HostHeader, Target, TargetRule, Timeouts, Upstream},
};

impl RouteCompiler<'_, '_> {
    pub(super) fn forward_auth(
        &mut self,
        written: &written::ForwardAuthPolicy,
        node: &Node,
        paths: &[Matcher],
    ) -> Option<ForwardAuth> {
        let upstream = self.service(written, node);
        let path = match &written.path {
            Some(path) => {
                let at = node.place([Field("path")]);
                let template = self.text(&path.0, at, paths)?;
                self.rooted(&template, &path.0, at, "the query of the request is sent as it is");
                Some(template)
            }
            None => None,
        };
        let shown = match &written.request_headers {
            Some(_) => self.header_names(written.request_headers.as_ref(), node, "request_headers"),
            None => vec!["authorization".to_owned(), "cookie".to_owned()],
        };
        for (index, name) in shown.iter().enumerate() {
            self.changeable(name, node.place([Field("request_headers"), Item(index)]), Direction::Request);
        }
        let taken = self.header_names(written.response_headers.as_ref(), node, "response_headers");
        for (index, name) in taken.iter().enumerate() {
            self.changeable(name, node.place([Field("response_headers"), Item(index)]), Direction::Request);
        }
        let given = self.header_names(written.client_headers.as_ref(), node, "client_headers");
        for (index, name) in given.iter().enumerate() {
            self.changeable(name, node.place([Field("client_headers"), Item(index)]), Direction::Response);
        }
        let refusal = match &written.refusal_headers {
            Some(_) => self.header_names(written.refusal_headers.as_ref(), node, "refusal_headers"),
            None => ForwardAuth::REFUSAL.map(str::to_owned).to_vec(),
        };
        let cache = match &written.cache {
            Some(cache) => {
                let at = node.place([Field("cache"), Field("key")]);
                let key = match &cache.key {
                    Some(key) => self.text(&key.0, at, paths)?,
                    None => self.all.template(WHOLE_REQUEST, at)?,
                };
                if let (Some(body), Some(cache)) = (node.entry("body"), node.entry("cache")) {
                    let message = "an answer on one body would count for another";
                    let problem = Problem::error("conflicting-fields", cache.name_at, message);
                    let problem = problem.related(body.name_at, "the service gets to see bodies");
                    self.all.problems.push(problem.help("keep one of `cache` and `body`"));
                }
                Some(Cache { key, time: cache.time.milliseconds })
            }
            None => None,
        };
        let lower = |name: &written::HeaderName| name.0.to_ascii_lowercase();
        let caller = written.caller.as_ref();
        let mut policy = ForwardAuth {
            upstream: upstream?,
            path,
            method: written.method.as_ref().map_or("GET", |method| &method.0).to_owned(),
            shown,
            body: written.body.map(|size| size.bytes),
            taken,
            given,
            refusal,
            timeout: written.timeout.map_or(5_000, |timeout| timeout.milliseconds),
            on_failure: match written.on_failure {
                None | Some(written::AuthFailure::Refuse) => OnFailure::Refuse,
                Some(written::AuthFailure::Allow) => OnFailure::Allow,
            },
            cache,
            subject: caller.and_then(|caller| caller.subject.as_ref()).map(lower),
            consumer: caller.and_then(|caller| caller.consumer.as_ref()).map(lower),
            context: 0,
        };
        let place = self.all.services.iter().position(|known| *known == policy).unwrap_or_else(|| {
            self.all.services.push(policy.clone());
            self.all.services.len() - 1
        });
        policy.context = u32::try_from(place).unwrap_or(u32::MAX);
        Some(policy)
    }

    /// Whom to ask: an upstream, or an address that becomes one of its own.
    fn service(&mut self, written: &written::ForwardAuthPolicy, node: &Node) -> Option<u32> {
        match (&written.upstream, &written.url) {
            (Some(name), None) => {
                let known = self.all.upstreams.get(name.0.as_str()).map(|(place, _)| *place);
                if known.is_none() {
                    self.unknown_upstream(&name.0, node.place([Field("upstream")]));
                }
                known
            }
            (None, Some(url)) => {
                let at = node.place([Field("url")]);
                let template = self.all.constant(&url.0, at)?;
                if let Some(known) = template.as_literal() {
                    if let Err(message) = Target::parse(known) {
                        self.all.problems.push(Problem::error("bad-url", at, message));
                        return None;
                    }
                    self.clear_text(known, at);
                }
                Some(self.all.unnamed_upstream(template))
            }
            (Some(_), Some(_)) => {
                if let (Some(upstream), Some(url)) = (node.entry("upstream"), node.entry("url")) {
                    self.both(upstream.name_at, "upstream", url.name_at, "url");
                }
                None
            }
            (None, None) => {
                if !node.damaged {
                    let problem = Problem::error("empty-policy", node.head(), "this policy asks nobody");
                    self.all.problems.push(problem.help("name an `upstream`, or write its `url`"));
                }
                None
            }
        }
    }
}

impl super::Compile<'_> {
    /// An upstream that stands in no list of the configuration; the same address is the same upstream.
    fn unnamed_upstream(&mut self, url: Template) -> u32 {
        let targets = vec![TargetRule::plain(url)];
        let place = self.unnamed.iter().position(|known| known.targets == targets).unwrap_or_else(|| {
            let name = targets.iter().map(|target| target.url.to_string()).collect();
            let (timeouts, host) = (Timeouts::default(), HostHeader::Target);
            self.unnamed.push(Upstream { name, targets, timeouts, host, credentials: Vec::new(), rules: None });
            self.unnamed.len() - 1
        });
        u32::try_from(self.upstreams.len() + place).unwrap_or(u32::MAX)
    }
}

/// What an answer depends on where nobody says: all that the service is told.
const WHOLE_REQUEST: &str =
    "{request.method} {request.scheme}://{request.host}{request.path}?{request.query} {client.address}";
