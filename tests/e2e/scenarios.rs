//! What the gateway does, file by file.

fn main() -> std::process::ExitCode {
    postern_tests::harness::main(|scenario| !scenario.id.starts_with("contract/"))
}
