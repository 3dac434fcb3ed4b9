//! How other versions are rolled out: shares that grow, and times that can be kept.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::Problem,
    written,
};
use super::{Compile, show_duration};
use crate::rollout::Rules;

impl Compile<'_> {
    /// The rules, where versions are rolled out at all.
    pub(super) fn rollout(&mut self) -> Option<Rules> {
        let settings = &self.loaded.settings;
        let (written, node) = (settings.written.rollout.as_ref()?, settings.node.get("rollout")?);
        self.features.extend(["rollout", "admin", "telemetry"]);
        if settings.written.admin.is_none() {
            let message = "versions come in through the admin interface, and there is none";
            let problem = Problem::error("rollout-without-admin", node.head(), message);
            self.problems.push(problem.help("add `admin`: docs/admin.md shows one"));
        }
        let steps = written.steps.clone().unwrap_or_default();
        for (at, pair) in steps.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                let place = node.place([Field("steps"), Item(at + 1)]);
                let message = format!("after {} % come {} %: shares only grow", pair[0], pair[1]);
                self.problems.push(Problem::error("bad-rollout", place, message).help("write them in ascending order"));
            }
        }
        if let (Some(percent), Some(first)) = (written.percent, steps.first()) {
            let problem = Problem::error(
                "conflicting-fields",
                node.place([Field("percent")]),
                format!("a version is tried for {percent} % of all callers at first, or for {first} %"),
            );
            self.problems.push(problem.help("leave `percent` out: the first of the `steps` says it"));
        }
        let rollback = written.rollback.clone().unwrap_or_default();
        let rules = node.get("rollback");
        Some(Rules {
            interval: self.between(written.interval, 10_000, node.get("interval"), (1_000, 300_000)),
            percent: written.percent.unwrap_or(10),
            steps,
            step_time: self.between(written.step_time, 300_000, node.get("step_time"), (1_000, 7 * 86_400_000)),
            // Four digits are more than anybody can tell apart.
            margin: (rollback.margin.unwrap_or(0.01) * 10_000.0).round().clamp(0.0, 10_000.0) as u32,
            min_requests: rollback.min_requests.unwrap_or(100),
            window: {
                let place = rules.and_then(|rules| rules.get("window"));
                self.between(rollback.window, 300_000, place, (10_000, 86_400_000))
            },
            keep: written.keep.unwrap_or(5),
            identity: match &written.identity {
                None => vec!["authorization".to_owned()],
                Some(names) => names.0.iter().map(|name| name.0.to_ascii_lowercase()).collect(),
            },
        })
    }

    /// A time, in milliseconds, that is neither too short nor too long.
    fn between(
        &mut self,
        written: Option<written::Duration>,
        usual: u64,
        node: Option<&Node>,
        (shortest, longest): (u64, u64),
    ) -> u64 {
        let time = written.map_or(usual, |time| time.milliseconds);
        if let Some(node) = node.filter(|_| !(shortest..=longest).contains(&time)) {
            let message = format!("{} is not a time that can be kept here", show_duration(time));
            let help = format!("write `{}` to `{}`", show_duration(shortest), show_duration(longest));
            self.problems.push(Problem::error("bad-rollout", node.at, message).help(help));
        }
        time
    }
}
