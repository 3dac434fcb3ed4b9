//! What every adapter's port must do, file by file.

fn main() -> std::process::ExitCode {
    postern_tests::harness::main(|scenario| scenario.id.starts_with("contract/"))
}
