#!/usr/bin/env bash
# Runs fuzz targets for a while, from their corpus on.
#
# usage: scripts/fuzz.sh TARGET|all SECONDS
#   TARGET                   a target of fuzz/: frames, established, cookie_acks,
#                            scoreboard, http_requests, range, resolve,
#                            accept_encoding
#   SECONDS                  time for each of them
#   FUZZ_KEEP=1              adds to fuzz/corpus the fewest inputs found that
#                            cover what it doesn't; the others stay in target/fuzz
# Prints executions and time of each target. What makes one fail is kept in
# fuzz/artifacts/TARGET. Needs cargo-fuzz; the stable toolchain will do, for
# RUSTC_BOOTSTRAP lets it take the flags that the coverage needs.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

# The packet path has no unsafe code, so that no sanitizer is worth its time.
readonly SANITIZER=none
# One input must not take longer, nor be longer.
readonly INPUT_TIMEOUT_S=10
readonly INPUT_MAX_BYTES=4096

usage() { die "usage: scripts/fuzz.sh TARGET|all SECONDS; targets: ${targets[*]}"; }

# fuzz COMMAND TARGET ARGUMENT...: cargo-fuzz, in the repository.
fuzz() {
    local command=$1
    shift
    (cd "$REPO" && RUSTC_BOOTSTRAP=1 cargo fuzz "$command" --sanitizer "$SANITIZER" "$@")
}

# run TARGET: a line with executions and seconds; false if an input failed.
run() {
    local target=$1 found=$REPO/target/fuzz/$1 log=$REPO/target/fuzz/$1.log status=0
    mkdir -p "$found"
    fuzz run "$target" "$found" "$REPO/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout="$INPUT_TIMEOUT_S" -max_len="$INPUT_MAX_BYTES" \
        -print_final_stats=1 >"$log" 2>&1 || status=$?
    awk -v target="$target" -v status="$status" '
        /^stat::number_of_executed_units:/ { executions = $2 }
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
        /^Done / { seconds = $(NF - 1) }
        END { printf "%-12s %d executions, %s s, coverage %d: %s\n", target, executions,
              seconds == "" ? "?" : seconds, coverage, status == 0 ? "passed" : "FAILED" }' "$log"
    if (( status != 0 )); then
        tail -40 "$log" >&2
        return 1
    fi
    if [[ ${FUZZ_KEEP:-0} == 1 ]]; then
        fuzz run "$target" "$REPO/fuzz/corpus/$target" "$found" -- \
            -set_cover_merge=1 -use_counters=0 -max_len="$INPUT_MAX_BYTES" >>"$log" 2>&1
    fi
}

find_cargo
command -v cargo-fuzz >/dev/null || die "cargo-fuzz isn't installed: cargo install --locked cargo-fuzz"
mapfile -t targets < <(cd "$REPO" && cargo fuzz list)
(( $# == 2 )) || usage
[[ $2 =~ ^[1-9][0-9]*$ ]] || usage
seconds=$2
if [[ $1 != all ]]; then
    [[ " ${targets[*]} " == *" $1 "* ]] || usage
    targets=("$1")
fi

failed=()
for target in "${targets[@]}"; do
    step "$target for $seconds s"
    fuzz build "$target" >&2
    run "$target" || failed+=("$target")
done
(( ${#failed[@]} == 0 )) || die "failed: ${failed[*]}; the inputs are in fuzz/artifacts"
