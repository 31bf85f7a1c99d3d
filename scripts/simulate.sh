#!/usr/bin/env bash
# The server core against simulated peers, on both cores as fast as they go: one
# seed a world, drawn and judged by tests/sim. Ends at the first seed that
# fails, with what was wrong and the command that replays only that one.
#
# usage: scripts/simulate.sh [--trace] [--strict] [--go-on] [N [FIRST]]
#   N, FIRST    how many seeds (10000), and the first (1)
#   --trace     prints every frame; for one seed
#   --strict    bears none of the known faults (tests/sim/known.rs)
#   --go-on     runs all seeds and names all that fail
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

# Slower than this, a night's run would not see much.
readonly LEAST_RATIO=100

OPTIONS=()
while [[ ${1:-} == --* ]]; do
    case $1 in
        --trace) export XDPHTTPD_TRACE=1 ;;
        --strict) export XDPHTTPD_STRICT=1 ;;
        --go-on) export XDPHTTPD_GO_ON=1 ;;
        *) die "no such option: $1" ;;
    esac
    OPTIONS+=("$1")
    shift
done
(( $# <= 2 )) || die "usage: simulate.sh [--trace] [--strict] [--go-on] [N [FIRST]]"
export XDPHTTPD_SEEDS=${1:-10000} XDPHTTPD_FIRST_SEED=${2:-1}
for number in "$XDPHTTPD_SEEDS" "$XDPHTTPD_FIRST_SEED"; do
    [[ $number =~ ^[0-9]+$ ]] || die "not a number: $number"
done

find_cargo
step "simulate $XDPHTTPD_SEEDS seeds from $XDPHTTPD_FIRST_SEED ${OPTIONS[*]}"
cd "$REPO"
SAID=$(mktemp)
trap 'rm -f "$SAID"' EXIT
RUST_BACKTRACE=0 cargo test --release --locked --quiet --test simulation -- \
    --nocapture --exact every_seed_keeps_what_the_server_promises | tee "$SAID"
ratio=$(sed -n 's/.*: \([0-9]*\) times as fast$/\1/p' "$SAID")
(( ratio >= LEAST_RATIO )) || die "virtual time passes only $ratio times as fast as real time"
