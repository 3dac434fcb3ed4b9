//! The admin interface: from what was written to what runs.

use std::collections::HashMap;

use super::super::{
    document,
    node::Step::{Field, Item},
    problem::Problem,
    written,
};
use super::{Compile, hosts, telemetry::BUCKETS};
use crate::{
    admin::{Access, ActivityRules, Rules, SHORTEST_TOKEN, TokenRule},
    path,
    route::{
        Host, Matcher,
        pattern::{Segment, Tail},
    },
    telemetry::rules::{self, Metrics},
    template::Template,
};

impl Compile<'_> {
    /// The interface, and what has to be observed for it.
    pub(super) fn admin(&mut self, telemetry: &mut Option<Box<rules::Rules>>) -> Option<Box<Rules>> {
        let settings = &self.loaded.settings;
        let (written, node) = (settings.written.admin.as_ref()?, settings.node.get("admin")?);
        self.features.extend(["admin", "telemetry"]);
        let at = node.place([Field("path")]);
        let path = path::normalise(&written.path.0).map(|path| path.trim_end_matches('/').to_owned());
        let path = match path {
            Ok(path) if path.is_empty() => {
                let problem = Problem::error("bad-path", at, "the admin interface would answer every request");
                self.problems.push(problem.help("give it a path of its own, such as `/_postern`"));
                return None;
            }
            Ok(path) => path,
            Err(invalid) => {
                self.problems.push(Problem::error("bad-path", at, invalid.to_string()));
                return None;
            }
        };
        let hosts = hosts(written.host.as_ref());
        let hosts = if hosts.is_empty() { vec![Host::Any] } else { hosts };
        let mut tokens = Vec::new();
        let mut names = HashMap::new();
        for (index, token) in written.tokens.iter().enumerate() {
            let name_at = node.place([Field("tokens"), Item(index), Field("name")]);
            if let Some(first) = names.insert(token.name.0.as_str(), name_at) {
                let problem =
                    Problem::error("same-name", name_at, format!("there is already a token called `{}`", token.name.0));
                self.problems.push(problem.related(first, "the first is here").help("give each its own name"));
            }
            let at = node.place([Field("tokens"), Item(index), Field("token")]);
            let Some(secret) = self.secret(&token.token.0, at) else { continue };
            if secret.as_literal().is_some_and(|known| known.len() < SHORTEST_TOKEN) {
                let message = format!("this token is shorter than {SHORTEST_TOKEN} characters");
                let problem = Problem::error("weak-secret", at, message);
                self.problems.push(problem.help("take 32 random bytes: `openssl rand -base64 32`"));
            }
            tokens.push(TokenRule {
                name: token.name.0.clone(),
                secret,
                access: match token.access {
                    None | Some(written::AdminAccess::Read) => Access::Read,
                    Some(written::AdminAccess::Write) => Access::Write,
                },
            });
        }
        let interval = self.interval(written.interval, 5_000, node.place([Field("interval")]));
        let via = settings.written.via.as_ref().map_or("postern", |via| &via.0).to_owned();
        let observed = telemetry.get_or_insert_with(|| {
            let resource = vec![("service.name".to_owned(), Template::literal(via))];
            Box::new(rules::Rules { resource, ..rules::Rules::default() })
        });
        observed.activity = Some(ActivityRules { sample: written.sample.unwrap_or(1.0), interval });
        let unsaid = || Metrics {
            otlp: false,
            shared: true,
            interval: 10_000,
            buckets: BUCKETS.to_vec(),
            series: 2_000,
            by_consumer: false,
        };
        observed.metrics.get_or_insert_with(unsaid).shared = true;
        self.document = document::write(self.loaded);
        Some(Box::new(Rules { path, hosts, tokens }))
    }

    /// Routes that never get what is below the path of the interface.
    pub(super) fn hidden_by_admin(&mut self, admin: &Rules, routes: &[super::RunningRoute]) {
        if !admin.hosts.contains(&Host::Any) {
            return;
        }
        let own: Vec<&str> = admin.path.split('/').skip(1).collect();
        for running in routes.iter().filter(|route| !route.accompanies) {
            let is_below = |matcher: &Matcher| {
                let Matcher::Path(pattern) = matcher else { return false };
                let begins = own
                    .iter()
                    .zip(&pattern.segments)
                    .all(|(own, segment)| matches!(segment, Segment::Literal(text) if text == own));
                let is_longer = pattern.segments.len() >= own.len();
                begins && is_longer && matches!(pattern.tail, Tail::Exact | Tail::CatchAll(_) | Tail::Prefix)
            };
            let paths = &running.ranked.route.paths;
            let Some(defined) = self.loaded.routes.get(running.from) else { continue };
            let is_allowed =
                defined.written.allow.iter().flat_map(|codes| &codes.0).any(|code| code.0 == "unreachable-route");
            if !paths.is_empty() && paths.iter().all(is_below) && !is_allowed {
                let message = format!(
                    "the route `{}` is never reached: the admin interface answers below `{}`",
                    defined.name, admin.path
                );
                let problem = Problem::warning("unreachable-route", defined.name_at, message);
                self.problems.push(problem.help("give the admin interface another path, or a host of its own"));
            }
        }
    }
}
