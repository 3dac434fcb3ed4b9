//! `postern-bench`: see `benches/run.sh`.

use postern_benches::run::{self, Setup};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("postern-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), String> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("benches/ has no parent")?;
    if arguments.first().is_some_and(|first| first == "count") {
        let arguments: Vec<_> = arguments[1..].iter().map(String::as_str).collect();
        return run::count(&Setup::new(root, true)?, &arguments);
    }
    let mut flag = |name: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != name);
        arguments.len() < before
    };
    let (quick, write) = (flag("--quick"), flag("--write"));
    run::run(Setup::new(root, quick)?, &arguments, write)
}
