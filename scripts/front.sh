#!/usr/bin/env bash
# What becomes of small files while a mount beneath the root is slow or hangs:
# their rate, latency and cost beside a download from a mount that yields 1 MB/s,
# and beside a mount that answers nothing while requests wait for it, each between
# two times alone, on one running server; it has core 0, its clients and the
# mount's program core 1. Then 100 MiB from that mount, whole, beside the fixed rate; how
# long a file that was changed, deleted or made is not seen so; and last the server's
# memory while a thousand clients download 1 GiB each, slowly.
#
# usage: sudo scripts/front.sh [--rounds=N] [--seconds=N]
#   --rounds    each of which is: alone, one trouble, alone, the other (12)
#   --seconds   of a load, of which each of these has two (2): 64 keep-alive
#               connections with wrk, and 20,000 requests/s at even distances,
#               each timed from when it was due
#
#   XDPHTTPD_ARGS   further options for xdphttpd
#   BENCH_LAB       the lab's name, bench0 if unset
# The tables go to stdout and to target/bench/front.md, all figures beside it. A
# download that was not at its pace or not the file, and a request to the mount that
# hangs that was answered with anything but 504, end the run.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=scripts/bench/classes.sh
. "$REPO/scripts/bench/classes.sh"
# shellcheck source=scripts/bench/lab.sh
. "$REPO/scripts/bench/lab.sh"
# shellcheck source=scripts/bench/servers.sh
. "$REPO/scripts/bench/servers.sh"
# shellcheck source=scripts/bench/measure.sh
. "$REPO/scripts/bench/measure.sh"
# shellcheck source=scripts/front/mount.sh
. "$REPO/scripts/front/mount.sh"

readonly TROUBLES=(download hang)
readonly FILE_TIMEOUT_S=2
readonly STALE_SAMPLES=20
readonly SLOW_DOWNLOADS=1000 SLOW_S=20
readonly WHOLE_WINDOWS=10 WHOLE_WINDOW_S=9  # fewer seconds than the whole download takes
ROUNDS=12
RUN_S=2
WINDOW=0                                   # number of the one that is measured
GIVEN_ARGS=${XDPHTTPD_ARGS:-}
REPORT=$REPO/target/bench/front             # with an ending each

usage() { sed -n 's/^# \{0,1\}//; /^usage:/,/^The table/p' "${BASH_SOURCE[0]}" | sed '/^The table/d'; }

parse() {
    local argument value
    for argument in "$@"; do
        value=${argument#*=}
        case $argument in
            --rounds=*) ROUNDS=$value ;;
            --seconds=*) RUN_S=$value ;;
            --help) usage; exit 0 ;;
            *) die "unknown argument '$argument'; $(usage)" ;;
        esac
    done
    [[ $ROUNDS =~ ^[1-9][0-9]?$ ]] || die "--rounds=$ROUNDS: a number from 1 to 99 is needed"
    # The slow download is 100 MiB at most.
    [[ $RUN_S =~ ^([1-9]|[123][0-9]|40)$ ]] || die "--seconds=$RUN_S: a number from 1 to 40 is needed"
}

# measure_window CONDITION: both loads under it.
measure_window() {
    WINDOW=$((WINDOW + 1))
    "begin_$1"
    describe a
    measure_load "$1" wrk "$RUN_S"
    describe f
    measure_load "$1" paced "$RUN_S"
    "end_$1"
}

# 100 MiB at the mount's pace, and the fixed rate all the while.
measure_whole() {
    local window
    describe f
    begin_whole
    for (( window = 1; window <= WHOLE_WINDOWS; window++ )); do
        WINDOW=$((WINDOW + 1))
        measure_load whole paced $WHOLE_WINDOW_S
        kill -0 "$LOAD_PID" 2>/dev/null || die "the download ended before the load beside it"
    done
    end_whole
}

# How long changes are not seen, by default.
measure_staleness() {
    ip netns exec "$ENVIRONMENT" python3 -B "$REPO/scripts/front/staleness.py" \
        "$ADDRESS" "$WWW" "$SCRATCH/orders" $STALE_SAMPLES >"$SCRATCH/staleness"
}

# Of a server that has done nothing else.
measure_memory() {
    local before most=0 now
    truncate -s 1G "$WWW/huge.bin"
    start_server xdphttpd
    before=$(rss_kib "$SERVER_PID")
    as_client python3 -B "$REPO/scripts/front/slow.py" "$ADDRESS" /huge.bin $SLOW_DOWNLOADS $SLOW_S >"$SCRATCH/slow"
    while kill -0 "$LOAD_PID" 2>/dev/null; do
        now=$(rss_kib "$SERVER_PID")
        (( now <= most )) || most=$now
        sleep 0.2
    done
    end_client 0
    stop_server xdphttpd
    awk -v before="$before" -v most="$most" -v count=$SLOW_DOWNLOADS -v seconds=$SLOW_S '{
        printf "%d downloads of 1 GiB at a time for %d s, of which each got %.2f to %.2f MB: VmRSS %.0f MiB before, %.0f at most\n",
            count, seconds, $1 / 1e6, $2 / 1e6, before / 1024, most / 1024 }' "$SCRATCH/slow" >"$SCRATCH/memory"
}

# measure_load CONDITION LOADER SECONDS: appends a line to the results.
measure_load() {
    local before after load figures
    before="$(wall_us) $(core_times "$SERVER_CORE") $(core_times "$CLIENT_CORE")"
    "load_$2" "$3"
    after="$(wall_us) $(core_times "$SERVER_CORE") $(core_times "$CLIENT_CORE")"
    # On its own, or its failure would go unseen.
    load=$("figures_$2")
    figures=$(figures "$before" "$after" "$load")
    record "$WINDOW" "$1" "$2" "$figures"
    awk -v what="$1, $2" '{ printf "  %s: %.0f requests/s, p99 %.0f µs, %.2f µs of the server core a request\n",
        what, $1, $4, $5 + $6 + $7 }' <<<"$figures"
}

measure_rounds() {
    local round first
    for (( round = 1; round <= ROUNDS; round++ )); do
        step "round $round of $ROUNDS"
        # The other one goes first next time, so that drift favours none.
        first=$((round % 2))
        measure_window alone
        measure_window "${TROUBLES[1 - first]}"
        measure_window alone
        measure_window "${TROUBLES[first]}"
    done
    measure_window alone
}

# start_site: and what it sends is the file.
start_site() {
    start_server xdphttpd
    [[ -z $REFUSED ]] || die "xdphttpd refused this link: $REFUSED"
    describe a
    check_body xdphttpd
    load_wrk $WARM_S
}

head_of_report() {
    echo "# Small files beside a mount in trouble"
    echo
    echo "- $(date -u '+%Y-%m-%d %H:%M UTC'), Linux $(uname -r), $(cpu_model), $(nproc --all) cores"
    echo "- server on core $SERVER_CORE, clients and the mount's program on core $CLIENT_CORE, one veth, one server process; $ROUNDS times each for $RUN_S s, alone before and after; medians (min–max)"
    echo "- xdphttpd --cores $SERVER_CORE --file-timeout $FILE_TIMEOUT_S${GIVEN_ARGS:+ $GIVEN_ARGS}: $(sed "s/^$READY//; s/, root .*//" "$SCRATCH/xdphttpd.ready")"
    echo "- $SMALL_BYTES bytes over $CONNECTIONS connections: as fast as they come, and at a fixed $PACED_RATE requests/s, timed from when each was due; CPU is the server core's time that was neither idle nor the hypervisor's, by request"
    echo "- download: $DOWNLOAD_BYTES bytes from a FUSE mount that yields $DOWNLOAD_RATE bytes/s, compared as far as it came; and whole"
    echo "- hang: a FUSE mount that answers no look-up, $WAITING requests waiting for it at any time, each for another name and 504 in the end"
    echo
}

main() {
    parse "$@"
    require_root
    prepare
    XDPHTTPD_ARGS="--file-timeout $FILE_TIMEOUT_S $GIVEN_ARGS"
    mount_files
    start_site
    measure_rounds
    step "$DOWNLOAD_BYTES bytes from the mount, whole"
    measure_whole
    step "changes, of which the server is not told"
    measure_staleness
    describe a
    check_body xdphttpd
    stop_server xdphttpd
    step "memory"
    measure_memory
    step "result"
    mkdir -p "${REPORT%/*}"
    cp "$SCRATCH/results" "$REPORT.tsv"
    { head_of_report; python3 -B "$REPO/scripts/front/report.py" "$REPORT.tsv"
      echo; echo "## From a change to the first answer that knows of it, $STALE_SAMPLES times each, asked every 2 ms"; echo
      cat "$SCRATCH/staleness"; echo; echo "## Memory"; echo; cat "$SCRATCH/memory"; } | tee "$REPORT.md"
}

main "$@"
