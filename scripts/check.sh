#!/usr/bin/env bash
# Everything about the code that a machine can judge without running it: `make check`.
#
#   scripts/check.sh [format] [lints] [dependencies] [imports] [documentation] [scripts]     (all when none is named)
#
# Goes on after a failure, so that one run shows everything there is to mend. `features` is done only where it is named.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

source scripts/native.sh

format() {
    local status=0
    cargo fmt --all --check || status=1
    # These are workspaces of their own.
    cargo fmt --manifest-path tests/spin-host/Cargo.toml --check || status=1
    cargo fmt --manifest-path scripts/core-alone/Cargo.toml --check || status=1
    cargo fmt --manifest-path fuzz/Cargo.toml --check || status=1
    return $status
}

lints() {
    local status=0
    clippy "${native[@]}" --package postern-benches --all-targets || status=1
    # What the core is without its features must stay whole.
    clippy --package gateway-core --no-default-features || status=1
    # What exists in Wasm only; the adapter for Spin is the same natively.
    clippy --package postern-cloudflare --all-targets --target wasm32-unknown-unknown || status=1
    # What of the benchmarks runs in Wasm.
    clippy --package postern-benches --lib --example loading --example signatures --example limits --example transcoding --target wasm32-unknown-unknown || status=1
    # The fuzz targets, against the versions of the workspace and without the library that runs them.
    cp Cargo.lock fuzz/Cargo.lock
    CUSTOM_LIBFUZZER_PATH=$PWD/libnone.a clippy --manifest-path fuzz/Cargo.toml --target-dir "$(target)" || status=1
    return $status
}

# Each ability alone, as POSTERN_FEATURES may have it: some minutes.
features() {
    local status=0 feature
    for feature in $(awk -F'"' '/^default = \[/ { for (at = 2; at <= NF; at += 2) print $at }' gateway-core/Cargo.toml); do
        clippy --package gateway-core --no-default-features --features "$feature" || status=1
    done
    return $status
}

clippy() { cargo clippy --quiet "$@" -- -D warnings; }

# Architecture, decision 13: the core knows no platform; decision 14: what a crate costs in Wasm.
dependencies() {
    local status=0
    # The platforms, async runtimes and IO belong to the adapters and the tools.
    forbid gateway-core "$(tree gateway-core --all-features)" \
        worker worker-sys wasm-bindgen js-sys web-sys spin-sdk wasip2 wasip3 wit-bindgen wasmtime \
        tokio async-std smol futures-executor hyper reqwest mio socket2 || status=1
    # The clock and the dice come through the port. chrono comes with jwt-compact, as types without a clock: the clock would
    # bring iana-time-zone.
    forbid gateway-core "$(tree gateway-core --all-features)" \
        iana-time-zone time jiff getrandom rand instant web-time || status=1
    # With `compile`, the parser of expressions brings uuid, without dice; what runs has neither.
    forbid gateway-core "$(tree gateway-core)" uuid cel antlr4rust || status=1
    # Heavier in Wasm than everything else together, and not needed: 820, 217 and 53 KB.
    forbid gateway-core "$(tree gateway-core --all-features)" regex url http || status=1
    # Nothing that only tools need may reach an adapter; nor one platform the other's.
    forbid postern-cloudflare "$(tree postern-cloudflare --target wasm32-unknown-unknown)" \
        regex url schemars saphyr toml jsonc-parser clap cel antlr4rust uuid spin-sdk wasip3 tokio || status=1
    forbid postern-spin "$(tree postern-spin --target wasm32-wasip2)" \
        regex url schemars saphyr toml jsonc-parser clap cel antlr4rust uuid worker wasm-bindgen js-sys tokio || status=1
    return $status
}

tree() { cargo tree --package "$1" --edges normal --prefix none --format '{p}' "${@:2}" | awk '{ print $1 }' | sort -u; }

forbid() {
    local package=$1 found=$2 name status=0
    shift 2
    [ -n "$found" ] || return 1
    for name in "$@"; do
        if grep -qx -- "$name" <<<"$found"; then
            printf '%s may not depend on %s; it does:\n' "$package" "$name"
            cargo tree --package "$package" --edges normal --all-features --target all --invert "$name" 2>/dev/null | head -20
            status=1
        fi
    done
    return $status
}

# The whole core, as a Wasm module of its own, asks nothing of a host: neither a clock nor dice nor a socket slipped in.
imports() {
    # The versions of the workspace.
    cp Cargo.lock scripts/core-alone/Cargo.lock
    cargo build --quiet --manifest-path scripts/core-alone/Cargo.toml --target wasm32-unknown-unknown \
        --target-dir "$(target)" || return 1
    # shellcheck disable=SC2016 # these are JavaScript's
    node --input-type=module --eval '
        import { readFileSync } from "node:fs";
        const core = new WebAssembly.Module(readFileSync(process.argv[1]));
        const [imports, exports] = [WebAssembly.Module.imports(core), WebAssembly.Module.exports(core)];
        for (const { module, name } of imports) console.error(`the core imports ${module}.${name}`);
        process.exit(imports.length > 0 || !exports.some(({ name }) => name === "answer") ? 1 : 0);
    ' "$(target)/wasm32-unknown-unknown/debug/core_alone.wasm"
}

target() { echo "${CARGO_TARGET_DIR:-target}"; }

# Generated files say what the code says.
documentation() {
    local status=0
    # The schema, the reference and the pages of the policies: `make docs` writes them.
    cargo test --quiet "${native[@]}" --test cli -- generated || status=1
    # What the core carries of the console is what its sources make.
    PATH="$PWD/node_modules/.bin:$PATH" node gateway-core/console/build.mjs --check >/dev/null || status=1
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --package gateway-core --all-features || status=1
    return $status
}

scripts() {
    local status=0 file
    while read -r file; do
        case $file in
        *.js | *.mjs | *.cjs) node --check "$file" || status=1 ;;
        *.sh | .ci/run) bash -n "$file" || status=1 ;;
        esac
    done < <(git ls-files)
    if command -v shellcheck >/dev/null; then
        git ls-files '*.sh' .ci/run | xargs -r shellcheck --exclude=SC2155 || status=1
    fi
    return $status
}

failed=()
[ $# -gt 0 ] || set -- format lints dependencies imports documentation scripts
for part in "$@"; do
    printf 'check: %s\n' "$part"
    "$part" || failed+=("$part")
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'check: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
