#!/usr/bin/env bash
# Runs a gateway here with an origin behind it: `make dev`, `make spin`. Ctrl-C ends both.
#
#   scripts/dev.sh workers|spin [CONFIG] [PORT]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runtime=$1
config=${2:-examples/quickstart/gateway.yaml}
port=${3:-8080}
pids=()

main() {
    [ -x "${CARGO_TARGET_DIR:-target}/tool/postern" ] || echo "postern: building the tool (once, some minutes)" >&2
    cargo build --quiet --profile tool --package postern
    trap 'stop; exit 0' INT # Ctrl-C is how it ends
    trap 'stop; exit 143' TERM HUP
    trap stop EXIT

    # The example's own origin; with another configuration, the origins are yours.
    if [ "$config" = examples/quickstart/gateway.yaml ]; then
        node examples/quickstart/origin.js 9000 &
        pids+=($!)
    fi
    "${CARGO_TARGET_DIR:-target}/tool/postern" dev --config "$config" --port "$port" --runtime "$runtime" > >(show) &
    pids+=($!)

    # Whichever ends first ends both.
    while sleep 0.2; do
        for pid in "${pids[@]}"; do
            kill -0 "$pid" 2>/dev/null || {
                wait "$pid" && exit 0
                exit 1
            }
        done
    done
}

# Programs read `ready`; people want to know what to do with it.
show() {
    trap '' INT TERM HUP # it ends when there is no more to show
    local what address
    while read -r what address; do
        echo "$what $address"
        [ "$what" = ready ] && [ "$config" = examples/quickstart/gateway.yaml ] && cat <<TRY

Try it:
  curl $address/files/hello.txt
  curl -i $address/hello/you
  curl -X POST -d 'some data' '$address/api/echo?a=1'

Edit $config: the gateway reloads by itself. Ctrl-C stops everything.

TRY
    done
    return 0
}

stop() {
    trap '' INT TERM HUP
    trap - EXIT
    local pid
    for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
    wait
}

main
