# Everything that people and machines do with this repository. `make` alone lists it.
#
# A fresh machine needs git, rustup, a C compiler and Node ≥ 18 with npm: scripts/setup.sh installs the rest, pinned, into
# node_modules and a cache folder of the project's own. Every target is incremental: what is up to date costs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export POSTERN_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/postern
# The newer Node of node_modules, and a cargo that rustup has put outside PATH.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

CONFIG ?= $(or $(POSTERN_CONFIG),examples/quickstart/gateway.yaml)
PORT ?= 8080
POSTERN := cargo run --quiet --profile tool --package postern --

##@ Run it

.PHONY: dev
dev: workers ## run the gateway on the Workers runtime, with an example origin (CONFIG=…, PORT=8080)
	@scripts/dev.sh workers "$(CONFIG)" "$(PORT)"

.PHONY: spin
spin: component ## run it on Spin: an installed `spin`, or else the repository's own host
	@command -v spin >/dev/null || scripts/setup.sh spin-host
	@scripts/dev.sh spin "$(CONFIG)" "$(PORT)"

##@ Build it

.PHONY: build
build: workers component artefact ## build the Workers bundle, the Spin component and the configuration, for wrangler and spin

.PHONY: workers
workers: setup-workers ## build the Workers bundle: build/worker
	@adapters/cloudflare/build.sh

.PHONY: component
component: setup-rust ## build the Spin component: build/spin/gateway.wasm
	@adapters/spin/build.sh

.PHONY: artefact
artefact: setup-rust ## compile the configuration: build/gateway.bin (CONFIG=…)
	@$(POSTERN) compile --config "$(CONFIG)" --out build/gateway.bin

.PHONY: docs
docs: setup-rust ## write the generated documentation: the JSON Schema, the configuration reference, a page for each policy
	@$(POSTERN) schema > docs/.schema.new && mv docs/.schema.new docs/gateway.schema.json
	@$(POSTERN) reference > docs/.reference.new && mv docs/.reference.new docs/configuration.md
	@$(POSTERN) reference --policies docs/policies

.PHONY: console
console: setup-workers ## bundle the console's page, as the core carries it: gateway-core/console/built
	@node gateway-core/console/build.mjs

##@ Prove it

.PHONY: test
test: setup workers component ## run the whole suite, both real runtimes included
	@scripts/test.sh

.PHONY: check
check: setup-workers ## format, lints, dependency bans, documentation up to date
	@scripts/check.sh

.PHONY: conformance
conformance: setup workers component ## only what the standards ask: the port contract and the fidelity of forwarding
	@scripts/test.sh conformance

.PHONY: bench
bench: setup workers component ## measure, beside what it would cost without a gateway: docs/benchmarks.md says how
	@benches/run.sh

##@ Around it

.PHONY: setup
setup: ## install the pinned tools; every target does it by itself
	@scripts/setup.sh

.PHONY: setup-workers
setup-workers:
	@scripts/setup.sh rust wasm-bindgen node

.PHONY: setup-rust
setup-rust:
	@scripts/setup.sh rust

.PHONY: clean
clean: ## remove what was built here; the tools in the cache folder stay
	rm -rf build target fuzz/target .wrangler

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nTools are kept in %s (POSTERN_CACHE=… puts them elsewhere).\n' "$(POSTERN_CACHE)"
