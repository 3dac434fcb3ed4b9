#!/bin/sh
# Builds the Spin component: build/spin/gateway.wasm. Quick when nothing has changed. `spin build` runs it, too.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target="${CARGO_TARGET_DIR:-$root/target}"
built="$target/wasm32-wasip2/release/postern_spin.wasm"
[ -f "$built" ] || echo "postern: building the component (once, some minutes)" >&2
# POSTERN_FEATURES="es256 login" builds these abilities only (Cargo.toml lists them all), "" none of them.
cargo build --quiet --release --target wasm32-wasip2 --package postern-spin \
    ${POSTERN_FEATURES+--no-default-features --features "$POSTERN_FEATURES"}
mkdir -p build/spin
# The old file's time stays when nothing has changed, for those who watch it.
cmp -s "$built" build/spin/gateway.wasm || { cp "$built" build/spin/gateway.wasm.new && mv build/spin/gateway.wasm.new build/spin/gateway.wasm; }
