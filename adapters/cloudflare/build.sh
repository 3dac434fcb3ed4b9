#!/usr/bin/env bash
# Builds the Workers bundle: build/worker/index.js and postern_bg.wasm. What is up to date costs a second.
#
#   adapters/cloudflare/build.sh [--configured]
#
# POSTERN_FEATURES="es256 login" builds these abilities only (Cargo.toml lists them all), "" none of them: a smaller module. A
# configuration that needs another is refused when it is loaded, with its name. POSTERN_OUT: another folder for what is built.
#
# --configured compiles the configuration beside them as well (POSTERN_CONFIG, or else the quick start's): wrangler.toml
# calls it so. The development server brings its own.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH="$PWD/node_modules/.bin:$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
out=${POSTERN_OUT:-build/worker}

main() {
    local target=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/postern_cloudflare.wasm
    [ -f "$target" ] || echo "postern: building the Worker (once, some minutes)" >&2
    # Without SIMD, the comparison of memory runs byte by byte.
    RUSTFLAGS="-C target-feature=+simd128" \
        cargo build --quiet --release --target wasm32-unknown-unknown --package postern-cloudflare \
        ${POSTERN_FEATURES+--no-default-features --features "$POSTERN_FEATURES"}
    mkdir -p "$out"

    local inputs=("$target" adapters/cloudflare/glue/*.js adapters/cloudflare/build.sh Cargo.lock package-lock.json)
    if is_older "$out/index.js" "${inputs[@]}"; then
        bundle "$target"
    fi
    if [ "${1:-}" = --configured ]; then
        cargo run --quiet --profile tool --package postern -- \
            compile --config "${POSTERN_CONFIG:-examples/quickstart/gateway.yaml}" --out build/gateway.bin
        cp build/gateway.bin "$out/gateway.bin"
    fi
}

bundle() {
    local bindgen=${POSTERN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postern}/tools/wasm-bindgen-cli-$(bindgen_version)/bin/wasm-bindgen
    [ -x "$bindgen" ] || {
        echo "postern: wasm-bindgen is not there yet: make setup" >&2
        exit 1
    }
    local scratch
    scratch=$(mktemp -d build/worker-XXXXXX)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$scratch'" EXIT

    # No wasm-opt: docs/decisions/0051-no-wasm-opt.md.
    "$bindgen" "$1" --target web --no-typescript --omit-default-module-path --experimental-reset-state-function \
        --remove-name-section --remove-producers-section --out-dir "$scratch" --out-name postern
    # Names stay, for whoever reads a stack trace.
    esbuild adapters/cloudflare/glue/entry.js --bundle --minify-whitespace --minify-syntax --format=esm --target=es2024 --log-level=warning \
        --alias:postern-bindgen="./$scratch/postern.js" --external:cloudflare:workers --external:./gateway.bin --external:./postern_bg.wasm \
        --outfile="$scratch/index.js"
    # The bundle's first file comes last: whoever finds it finds the other.
    mv -f "$scratch/postern_bg.wasm" "$out/postern_bg.wasm"
    mv -f "$scratch/index.js" "$out/index.js"
}

is_older() {
    local file=$1 other
    shift
    [ -f "$file" ] || return 0
    for other in "$@"; do [ "$file" -nt "$other" ] || return 0; done
    return 1
}

bindgen_version() { awk '$0 == "name = \"wasm-bindgen\"" { getline; gsub(/version = |"/, ""); print }' Cargo.lock; }

main "$@"
