#!/usr/bin/env bash
# The whole suite: `make test`. What the tests run on must be built; the Makefile sees to it.
#
#   scripts/test.sh [all|conformance]
#
# Goes on after a failure and ends with one line that counts everything.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
cache=${POSTERN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postern}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()

source scripts/native.sh

main() {
    case ${1:-all} in
    all)
        # The Makefile has built what runs in the runtimes, and the tool that they are started with comes with its own tests.
        run env POSTERN_RUNTIMES=1 POSTERN_BUILT=1 cargo test --no-fail-fast "${native[@]}"
        # The conversions of the Workers adapter, inside Wasm, in Node.
        run env CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$(wasm_bindgen)/wasm-bindgen-test-runner" \
            cargo test --no-fail-fast --package postern-cloudflare --target wasm32-unknown-unknown
        # Its glue, against a core that a test plays.
        run node --test "adapters/cloudflare/test/*.test.js"
        ;;
    conformance)
        run cargo test --no-fail-fast --package postern-tests --test contract --test fidelity --test cache_suite -- --nocapture
        ;;
    *)
        echo "test.sh knows no suite '$1': all, conformance" >&2
        exit 2
        ;;
    esac
    report
}

run() {
    printf '\n$ %s\n' "$*"
    "$@" 2>&1 | tee -a "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$*")
}

wasm_bindgen() {
    printf '%s/tools/wasm-bindgen-cli-%s/bin' "$cache" \
        "$(awk '$0 == "name = \"wasm-bindgen\"" { getline; gsub(/version = |"/, ""); print }' Cargo.lock)"
}

report() {
    local command
    printf '\n'
    # What failed said why long before the end.
    awk '/^---- .* ----$/ { shown = 1 } /^failures:$/ { shown = 0 } shown' "$log"
    for command in ${failed[@]+"${failed[@]}"}; do printf 'failed: %s\n' "$command"; done
    # `test result: ok. 12 passed; 0 failed; 1 ignored; …`, once for each test program.
    awk '/^test result: / {
            for (field = 1; field < NF; field++) {
                if ($(field + 1) ~ /^passed/) passed += $field
                if ($(field + 1) ~ /^failed/) broken += $field
                if ($(field + 1) ~ /^ignored/) skipped += $field
            }
        }
        END { printf "%d passed, %d failed, %d skipped\n", passed, broken, skipped; exit !passed }' "$log" || exit 1
    [ ${#failed[@]} -eq 0 ]
}

main "$@"
