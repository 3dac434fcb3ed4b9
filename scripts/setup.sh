#!/usr/bin/env bash
# Installs what Postern is built with: pinned, nothing global, each tool once per machine.
#
#   scripts/setup.sh [rust] [wasm-bindgen] [node] [spin-host]     (all of them when none is named)
#
# Tools that several clones can share live in ${POSTERN_CACHE:-~/.cache/postern}; npm packages in node_modules. A step
# that has nothing to do costs milliseconds, so every make target runs it. Two clones may run it at the same time.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
cache=${POSTERN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postern}
# npm must not run on the Node that it is about to replace.
PATH=${PATH//"$root/node_modules/.bin:"/}

main() {
    local wanted=("$@") step
    [ ${#wanted[@]} -gt 0 ] || wanted=(rust wasm-bindgen node spin-host)

    require_programs "${wanted[@]}"
    mkdir -p "$cache/locks"
    for step in "${wanted[@]}"; do
        case $step in
        rust) install_rust ;;
        wasm-bindgen) install_wasm_bindgen ;;
        node) install_node_packages ;;
        spin-host) install_spin_host ;;
        *) fail "setup.sh knows no step \`$step\`: rust, wasm-bindgen, node, spin-host" ;;
        esac
    done
}

# --- what the machine must bring --------------------------------------------------------------------------------------

# Says everything that is missing at once, so that nobody installs one thing to learn of the next.
require_programs() {
    local missing=0
    case ":$PATH:" in
    *":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
    *) PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin" && export PATH ;;
    esac

    have git || lacks "git" "your system's package manager has it: apt install git, dnf install git, brew install git"
    have rustup || lacks "rustup" "https://rustup.rs says how to install it; then open a new terminal"
    have cc || lacks "a C compiler (cc)" "apt install build-essential, dnf install gcc, xcode-select --install"
    case " $* " in *" node "*)
        if ! have node; then
            lacks "Node.js 18 or later" "https://nodejs.org, or your system's package manager"
        elif [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 18 ]; then
            lacks "Node.js 18 or later (found $(node --version))" "https://nodejs.org, or your system's package manager"
        fi
        have npm || lacks "npm" "it comes with Node.js from https://nodejs.org; on Debian: apt install npm"
        ;;
    esac
    [ "$missing" -eq 0 ] || exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

lacks() {
    printf 'postern: missing: %s\n         get it:  %s\n' "$1" "$2" >&2
    missing=1
}

# --- the steps --------------------------------------------------------------------------------------------------------

install_rust() {
    rust_is_complete || with_lock rust complete_rust
}

rust_is_complete() {
    local sysroot target
    sysroot=$(rustup run "$(toml_value rust-toolchain.toml channel)" rustc --print sysroot 2>/dev/null) || return 1
    for target in $(toml_list rust-toolchain.toml targets); do
        [ -d "$sysroot/lib/rustlib/$target/lib" ] || return 1
    done
    [ -x "$sysroot/bin/cargo-fmt" ] && [ -x "$sysroot/bin/cargo-clippy" ]
}

# rustup does none of this by itself where RUSTUP_AUTO_INSTALL=0 is set.
complete_rust() {
    local channel target component options=()
    channel=$(toml_value rust-toolchain.toml channel)
    rust_is_complete && return
    say "completing Rust $channel as rust-toolchain.toml wants it"
    if rustup run "$channel" rustc --version >/dev/null 2>&1; then
        # shellcheck disable=SC2046 # one argument each
        rustup target add --toolchain "$channel" $(toml_list rust-toolchain.toml targets)
        # shellcheck disable=SC2046
        rustup component add --toolchain "$channel" $(toml_list rust-toolchain.toml components)
    else
        for target in $(toml_list rust-toolchain.toml targets); do options+=(--target "$target"); done
        for component in $(toml_list rust-toolchain.toml components); do options+=(--component "$component"); done
        rustup toolchain install "$channel" --profile minimal --no-self-update "${options[@]}"
    fi
}

# Must be the very version of the wasm-bindgen library, which Cargo.lock knows.
install_wasm_bindgen() {
    local version home
    version=$(awk '$0 == "name = \"wasm-bindgen\"" { getline; gsub(/version = |"/, ""); print }' Cargo.lock)
    [ -n "$version" ] || fail "Cargo.lock names no wasm-bindgen"
    home=$cache/tools/wasm-bindgen-cli-$version
    [ -x "$home/bin/wasm-bindgen" ] && return
    with_lock "wasm-bindgen-$version" build_wasm_bindgen "$version" "$home"
}

build_wasm_bindgen() {
    local version=$1 home=$2 scratch program
    [ -x "$home/bin/wasm-bindgen" ] && return # another clone built it while this one waited
    say "building wasm-bindgen $version (once per machine, some minutes)"
    scratch=$(mktemp -d "$cache/tools-XXXXXX")
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$scratch'" EXIT
    # Without --locked: the published lock file is older than this compiler likes.
    cargo install --quiet --root "$scratch" --version "=$version" wasm-bindgen-cli
    mkdir -p "$home/bin"
    # The one that is looked for comes last, each by an atomic rename.
    for program in "$scratch"/bin/*; do
        [ "${program##*/}" = wasm-bindgen ] || mv -f "$program" "$home/bin/"
    done
    mv -f "$scratch/bin/wasm-bindgen" "$home/bin/"
    rm -rf "$scratch"
    trap - EXIT
}

install_node_packages() {
    local stamp=node_modules/.postern-installed wanted
    wanted=$(git hash-object package-lock.json)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    with_lock "npm-$(printf %s "$root" | git hash-object --stdin | cut -c1-16)" run_npm "$stamp" "$wanted"
}

run_npm() {
    local stamp=$1 wanted=$2
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    say "installing npm packages into node_modules"
    # wrangler wants a newer Node than may be here; the packages bring their own, so npm's warnings about it say nothing.
    npm ci --no-audit --no-fund --loglevel=error

    # Where npm does not run install scripts, the package `node` has not fetched its program yet.
    if ! node_modules/.bin/node --version >/dev/null 2>&1; then
        (cd node_modules/node && node installArchSpecificPackage.js) >/dev/null
        ln -sf ../node/bin/node node_modules/.bin/node
    fi
    node_modules/.bin/node --version >/dev/null ||
        fail "node_modules/.bin/node does not run; remove node_modules and try again, with npm's install scripts allowed"
    # Its launcher is a script that wants a Node on PATH.
    PATH="$root/node_modules/.bin:$PATH" node_modules/.bin/workerd --version >/dev/null ||
        fail "node_modules/.bin/workerd does not run: https://github.com/cloudflare/workerd lists the systems it supports"
    printf '%s\n' "$wanted" >"$stamp"
}

# An installed `spin` serves as well, but the tests always run on the repository's host.
install_spin_host() {
    tests/spin-host/build.sh >/dev/null
}

# --- helpers ----------------------------------------------------------------------------------------------------------

# Runs a command while no other clone holds the lock. It saves double work only: whatever the commands leave in the
# cache gets there by a rename, so that a lock that was wrongly taken for abandoned does no harm.
with_lock() {
    local lock=$cache/locks/$1 holder waited=0 status=0
    shift
    until mkdir "$lock" 2>/dev/null; do
        holder=$(cat "$lock/pid" 2>/dev/null || true)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -rf "$lock" # its holder died
        elif [ -z "$holder" ] && [ "$waited" -gt 10 ]; then
            rm -rf "$lock" # its holder died before it wrote its name
        else
            [ "$waited" -ne 2 ] || say "waiting for another set-up on this machine (process ${holder:-?})"
            waited=$((waited + 1))
            sleep 0.5
        fi
    done
    echo $$ >"$lock/pid"
    # Not `("$@") || …`: there, bash would go on after a failing command.
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    rm -rf "$lock"
    [ "$status" -eq 0 ] || exit "$status"
}

toml_value() { sed -n "s/^$2 *= *\"\(.*\)\".*/\1/p" "$1"; }

toml_list() { sed -n "s/^$2 *= *\[\(.*\)\].*/\1/p" "$1" | tr -d '",'; }

say() { printf 'postern: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

main "$@"
