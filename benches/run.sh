#!/usr/bin/env bash
# Measures what the gateway costs, beside what it would cost without one. docs/benchmarks.md says how, and what came out.
#
#   benches/run.sh [--quick] [--write] [PART…]      a wrong PART lists them; --write puts the numbers into the documentation
#
# The Workers bundle and the Spin component must be built (`make bench` sees to that). What is not installed is named,
# and its part is left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --quiet --release --package postern-benches --bin postern-bench
exec "${CARGO_TARGET_DIR:-target}/release/postern-bench" "$@"
