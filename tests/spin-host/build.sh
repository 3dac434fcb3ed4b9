#!/bin/sh
# Builds the host once per machine and version of its sources, and prints where it is. Instant when it is there.
set -eu
cd "$(dirname "$0")"
cache="${POSTERN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postern}"

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
version=$(find Cargo.toml Cargo.lock src wit -type f | LC_ALL=C sort | while read -r file; do
    echo "$file"
    cat "$file"
done | sha256 | cut -c1-16)
binary="$cache/spin-host-$version/postern-spin-host"

if [ ! -x "$binary" ]; then
    # Takes about ten minutes of CPU time the first time and a minute after a change; standard output is for the path.
    target="$cache/spin-host-target"
    CARGO_TARGET_DIR="$target" cargo build --release --locked --package postern-spin-host >&2
    mkdir -p "$(dirname "$binary")"
    cp "$target/release/postern-spin-host" "$binary.$$"
    mv "$binary.$$" "$binary"
fi
echo "$binary"
