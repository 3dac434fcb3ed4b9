# The packages that run on the machine itself, and are built together, so that the core is compiled once for all of them.
# shellcheck shell=bash disable=SC2034 # for those that read this
native=(--package gateway-core --package postern --package postern-spin --package postern-tests --all-features)
