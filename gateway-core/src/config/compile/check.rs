//! Checks of targets: one question, and an interval that leaves time for the answers.

use super::super::{
    node::{Node, Step::Field},
    problem::Problem,
    written,
};
use super::{Compile, show_duration};
use crate::{
    template::{Piece, Template},
    upstream::{
        TargetRule,
        check::{AT_ONCE, CheckRules, Probe, Sought},
    },
};

impl Compile<'_> {
    pub(super) fn check(
        &mut self,
        written: &written::Check,
        targets: &[TargetRule],
        node: &Node,
    ) -> Option<Box<CheckRules>> {
        self.features.insert("checks");
        let probe = match (&written.http, &written.grpc) {
            (Some(http), None) => self.http_check(http, node.get("http")?)?,
            (None, Some(grpc)) => {
                Probe::Grpc { service: grpc.service.clone().unwrap_or_default(), web: grpc.web.unwrap_or(false) }
            }
            (Some(_), Some(_)) | (None, None) => {
                if !node.damaged {
                    let problem = Problem::error("bad-check", node.head(), "what are the targets asked?");
                    self.problems.push(problem.help("write one of `http: { path: /health }` and `grpc: {}`"));
                }
                return None;
            }
        };
        let rules = CheckRules {
            probe,
            headers: self.check_headers(written, node)?,
            interval: written.interval.map_or(10_000, |time| time.milliseconds),
            timeout: written.timeout.map_or(2_000, |time| time.milliseconds),
            healthy: written.healthy_after.unwrap_or(2),
            unhealthy: written.unhealthy_after.unwrap_or(3),
        };
        if rules.interval < SHORTEST {
            let at = node.place([Field("interval")]);
            let problem = Problem::error("bad-check", at, "checks are made once in a second at most");
            self.problems.push(problem.help("write `1s` or more"));
        }
        if rules.timeout == 0 || rules.timeout > rules.interval {
            let at = node.entry("timeout").or(node.entry("interval")).map_or(node.at, |entry| entry.value.at);
            let (timeout, interval) = (show_duration(rules.timeout), show_duration(rules.interval));
            let message = format!("an answer may take {timeout}, and the next check comes after {interval}");
            let problem = Problem::error("conflicting-fields", at, message);
            self.problems.push(problem.help("write a `timeout` above 0 that is no longer than `interval`"));
        } else if rules.longest_round(targets.len()) > rules.interval {
            let (round, interval) = (show_duration(rules.longest_round(targets.len())), show_duration(rules.interval));
            let message = format!(
                "targets are asked {AT_ONCE} at a time, so when none of the {} answers a round takes {round}, and the next \
                 one is to begin after {interval}",
                targets.len()
            );
            let problem = Problem::warning("check-too-slow", node.head(), message);
            self.problems.push(problem.help(format!("shorten `timeout`, or raise `interval` to {round}")));
        }
        Some(Box::new(rules))
    }

    fn http_check(&mut self, written: &written::HttpCheck, node: &Node) -> Option<Probe> {
        let method = written.method.as_ref().map_or("GET", |method| &method.0).to_owned();
        let sought = [node.entry("contains"), node.entry("matches")].into_iter().flatten().next();
        if let (Some(entry), "HEAD") = (sought, method.as_str()) {
            let problem = Problem::error("conflicting-fields", entry.name_at, "the answer to `HEAD` has no body");
            self.problems.push(problem.help("ask with `GET`"));
        }
        let body = match (&written.contains, &written.matches) {
            (None, None) => None,
            (Some(text), None) => Some(Sought::Contains(text.clone())),
            (None, Some(regex)) => Some(Sought::Matches(self.regex(&regex.0, node.place([Field("matches")]))?)),
            (Some(_), Some(_)) => {
                let at = node.entry("matches").map_or(node.at, |entry| entry.name_at);
                let problem = Problem::error("conflicting-fields", at, "a body is looked at in one way");
                self.problems.push(problem.help("remove `contains` or `matches`"));
                return None;
            }
        };
        let statuses = written.statuses.as_ref().map_or_else(
            || vec![(200, 299)],
            |statuses| statuses.0.iter().map(|statuses| (statuses.first, statuses.last)).collect(),
        );
        Some(Probe::Http { method, path: written.path.0.clone(), statuses, body })
    }

    /// Nobody has sent a request, so values can only be the platform's.
    fn check_headers(&mut self, written: &written::Check, node: &Node) -> Option<Vec<(String, Template)>> {
        let mut headers = Vec::new();
        for (name, value) in written.headers.iter().flat_map(|headers| &headers.0) {
            let at = node.place([Field("headers"), Field(&name.0)]);
            if matches!(
                name.0.to_ascii_lowercase().as_str(),
                "host" | "content-length" | "transfer-encoding" | "connection" | "te" | "upgrade"
            ) {
                let problem =
                    Problem::error("forbidden-header", at, format!("the header `{}` cannot be changed", name.0));
                self.problems.push(problem.help("the platform writes it"));
            }
            let template = self.template(&value.0, at)?;
            if !template.pieces().iter().all(|piece| matches!(piece.base(), Piece::Text(_) | Piece::Reference(_))) {
                let problem =
                    Problem::error("bad-check", at, "a check belongs to no request, so it has no values of one");
                self.problems.push(problem.help("write a text, or `${secret:NAME}`"));
            }
            headers.push((name.0.to_ascii_lowercase(), template));
        }
        Some(headers)
    }
}

/// The shortest interval, in milliseconds.
const SHORTEST: u64 = 1_000;
