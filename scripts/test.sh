#!/usr/bin/env bash
# Installs, builds and runs every test; ends at the first failure.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

require_root
(( $# == 0 )) || die "takes no arguments; for single tests: cargo test NAME"

step "install what is missing"
"$REPO/scripts/install.sh"
find_cargo

step "build the tests"
cargo_build test --no-run --locked

step "cargo test, as root: privileged tests make namespaces of their own"
(cd "$REPO" && XDPHTTPD_REQUIRE_ROOT=1 cargo test --locked)

step "the lab's tests"
"$REPO/testenv/test.sh"

step "build the release"
cargo_build build --release --locked
[[ -x $BIN ]] || die "the build made no $BIN"

step "smoke test: scripts/run.sh --once"
"$REPO/scripts/run.sh" --once

step "all tests passed"
