#!/bin/sh
# The host's own tests: its modules, and the program with the component of probe/.
set -eu
cd "$(dirname "$0")"
export CARGO_TARGET_DIR="${POSTERN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postern}/spin-host-target"
cargo build --quiet --release --locked --target wasm32-wasip2 --package postern-spin-probe
POSTERN_SPIN_PROBE="$CARGO_TARGET_DIR/wasm32-wasip2/release/postern_spin_probe.wasm" \
    cargo test --quiet --release --locked --package postern-spin-host "$@"
