#!/usr/bin/env bash
# Instructions of one keep-alive GET of 1 KiB through the whole sans-IO core, from
# received frame to sent frame, by valgrind: on a noisy machine they repeat where
# nanoseconds do not. Fails when one is more than 5 % above what is noted in
# benches/instructions.txt.
#
# usage: scripts/instructions.sh [--write]
#   --write   note what is counted now
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

readonly NOTED=$REPO/benches/instructions.txt
readonly REQUESTS=2000 CONNECTIONS=64
# benches/segment.rs has two tables, and two orders of requests in each.
readonly ROUNDS=4
readonly MOST_PERCENT=105
WRITE=

case $#:${1:-} in
    0:) ;;
    1:--write) WRITE=1 ;;
    *) die "usage: scripts/instructions.sh [--write]" ;;
esac
command -v valgrind >/dev/null || die "valgrind isn't installed: sudo scripts/install.sh"
find_cargo

# The benchmark's executable, built.
benchmark() {
    cargo_build bench --locked --bench segment --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"name":"segment".*"executable":"\([^"]*\)".*/\1/p' | tail -1
}

# count OPTION...: instructions of one request. Only those within the loop that
# hands frames to the stack are counted: not those of the clients.
count() {
    local said
    said=$(valgrind --tool=callgrind --toggle-collect='*give_all*' --callgrind-out-file=/dev/null \
        "$BENCHMARK" --few $CONNECTIONS --many $CONNECTIONS --rounds 1 --requests $REQUESTS "$@" 2>&1)
    awk -v requests=$((REQUESTS * ROUNDS)) '
        /Collected/ { printf "%.0f\n", $NF / requests; found = 1 }
        END { exit !found }' <<<"$said" || die "valgrind says no count: $said"
}

# judge NAME COUNT: against what is noted.
judge() {
    local before
    before=$(awk -v name="$1" '$1 == name { print $2 }' "$NOTED")
    [[ -n $before ]] || die "$NOTED has no $1: scripts/instructions.sh --write"
    echo "$1: $2 instructions, $before are noted"
    (( $2 * 100 <= before * MOST_PERCENT )) ||
        die "$1: more than 5 % above the $before noted; profile it, or note it with --write and say why"
}

step "build the benchmark"
BENCHMARK=$(benchmark)
[[ -x $BENCHMARK ]] || die "the benchmark does not build: cargo bench --bench segment --no-run"
step "count"
# The ACK of an answer rides on the next request, or comes before it.
RIDING=$(count --riding)
ALONE=$(count)
if [[ -n $WRITE ]]; then
    printf '%s\n' "# Instructions of a keep-alive GET of 1 KiB; made by scripts/instructions.sh --write" \
        "get $RIDING" "get-after-ack $ALONE" >"$NOTED"
    cat "$NOTED"
else
    judge get "$RIDING"
    judge get-after-ack "$ALONE"
fi
