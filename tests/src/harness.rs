//! Turns a folder of scenarios into tests, one for each scenario and platform: `cargo test --test scenarios -- spin`.

use crate::Platform;
use crate::batch::Batch;
use crate::in_process::{self, InProcess};
use crate::play::{Stage, play};
use crate::scenario::Scenario;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;

/// Runs every scenario of `tests/scenarios` that `wanted` says, on every platform.
pub fn main(wanted: impl Fn(&Scenario) -> bool) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of a scenario's time is waiting: for a runtime to start, for a limit to pass.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(3 * cores);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let scenarios = match Scenario::read_all(&folder) {
        Ok(scenarios) => scenarios.into_iter().filter(|scenario| wanted(scenario)).collect::<Vec<_>>(),
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| scenario.runs_on(Platform::Test)).cloned() {
        let name = format!("{} on the test platform", scenario.id);
        trials.push(Trial::test(name, move || in_this_process(&scenario).map_err(Failed::from)));
    }
    for platform in Platform::REAL {
        let there = scenarios.iter().filter(|scenario| scenario.runs_on(platform)).cloned().collect();
        for batch in Batch::plan(platform, there) {
            for scenario in batch.scenarios() {
                let (batch, id) = (batch.clone(), scenario.id.clone());
                let name = format!("{id} on {platform}");
                trials.push(Trial::test(name, move || batch.play(&id).map_err(Failed::from)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn in_this_process(scenario: &Scenario) -> Result<(), String> {
    let scenario = scenario.bind(&in_process::places(scenario))?;
    let stage = Stage::default();
    let gateway = InProcess::load(&scenario, &stage)?;
    play(&scenario, Platform::Test, &stage, &gateway)
}
