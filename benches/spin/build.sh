#!/bin/sh
# Builds the components to measure against: build/spin/hello.wasm, reads.wasm and proxy.wasm.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target="${CARGO_TARGET_DIR:-$root/target}"
# The stack: as in adapters/spin/build.rs.
RUSTFLAGS="-Clink-arg=-zstack-size=65536" CARGO_TARGET_DIR="$target" \
    cargo build --quiet --release --locked --target wasm32-wasip2 --examples
mkdir -p "$root/build/spin"
for name in hello reads proxy; do
    cp "$target/wasm32-wasip2/release/examples/$name.wasm" "$root/build/spin/$name.wasm"
done
