# shellcheck shell=bash
# stress.sh idle: what a crowd of idle connections costs the busy ones.

readonly BUSY=64                          # wrk's connections
readonly BODY_BYTES=1024
CONNECTIONS=100000 SOURCES=20 ROUNDS=5 RUN_S=5
SOURCE_LIST=

make_files_idle() { make_file small.bin $BODY_BYTES; }

load() { inside timeout $(($1 + 20)) wrk -t1 -c$BUSY -d "${1}s" "http://$ADDRESS/small.bin"; }

# measure: sets RATE (requests/s) and CPU_US (of the server core, by request).
measure() {
    local started idle busy_us requests
    started=$(wall_us) idle=$(idle_us "$SERVER_CORE")
    load "$RUN_S" >"$SCRATCH/wrk.out"
    busy_us=$(( $(wall_us) - started - ($(idle_us "$SERVER_CORE") - idle) ))
    if grep -qE 'Socket errors|Non-2xx' "$SCRATCH/wrk.out"; then
        cat "$SCRATCH/wrk.out" >&2
        die "wrk saw errors, so the run doesn't count"
    fi
    requests=$(awk '/requests in/ { print $1 }' "$SCRATCH/wrk.out")
    (( ${requests:-0} > 0 )) || die "the server answered no request"
    RATE=$(awk '/^Requests\/sec:/ { print $2 }' "$SCRATCH/wrk.out")
    CPU_US=$(awk -v busy_us="$busy_us" -v n="$requests" 'BEGIN { printf "%.3f", busy_us / n }')
}

# A fresh server: without the crowd, then with it, then the crowd's request.
one_round() {
    local alone
    # Room for both; the crowd would rightly make way for the busy ones.
    start_server --max-connections $((CONNECTIONS + 2 * BUSY))
    load 1 >/dev/null
    measure
    alone="$RATE $CPU_US $(rss_kib "$SERVER_PID")"
    start_crowd idle idle --sources "$SOURCE_LIST" --connections "$CONNECTIONS" --paths /small.bin \
        --hold 86400 --limit $((CROWD_OPENS_S + RUN_S + 30 + CROWD_ENDS_S))
    measure
    echo "$alone $RATE $CPU_US $(rss_kib "$SERVER_PID")" >"$SCRATCH/round"
    end_crowd idle
    stop_server
    echo "$(<"$SCRATCH/round") $(crowd_figure idle opened connections) $(crowd_figure idle 'done' answered)" \
        "$(crowd_figure idle 'done' failed) $(crowd_figure idle 'done' lost)" >>"$SCRATCH/results"
    tail -1 "$SCRATCH/results" | awk '{ printf "  without: %s requests/s, %s µs, %d KiB; with: %s requests/s, %s µs, %d KiB\n", $1, $2, $3, $4, $5, $6 }'
}

run_idle() {
    local round
    # Longer, and the server would rightly end the idle connections (75 s).
    (( RUN_S <= 30 )) || die "--seconds=$RUN_S: idle takes 30 at most"
    SOURCE_LIST=$(add_sources)
    for (( round = 1; round <= ROUNDS; round++ )); do
        step "round $round of $ROUNDS"
        one_round
    done
}

# column N FORMAT
column() { awk -v n="$1" '{ print $n }' "$SCRATCH/results" | spread "$2"; }
# ratio A B: spread of the rounds' quotients.
ratio() { awk -v a="$1" -v b="$2" '{ print $a / $b }' "$SCRATCH/results" | spread %.3f; }

report_idle() {
    head_of_report "$BUSY busy connections, without and with $CONNECTIONS idle ones"
    echo "- wrk (1 thread, $RUN_S s a run), $BODY_BYTES bytes; crowd from $SOURCES addresses, one request before and one after"
    echo "- CPU: the server core's time that was neither idle, iowait nor steal, by request"
    echo "- medians of $ROUNDS rounds (min–max), each with a fresh server"
    echo
    echo "| | without | with | ratio |"
    echo "| --- | ---: | ---: | ---: |"
    echo "| requests/s | $(column 1 %.0f) | $(column 4 %.0f) | $(ratio 4 1) |"
    echo "| server core µs/request | $(column 2 %.2f) | $(column 5 %.2f) | $(ratio 5 2) |"
    echo "| server VmRSS, KiB | $(column 3 %.0f) | $(column 6 %.0f) | $(ratio 6 3) |"
    echo
    echo "| round | idle connections | answered | failed | lost while idle | KiB/connection |"
    echo "| ---: | ---: | ---: | ---: | ---: | ---: |"
    awk '{ printf "| %d | %d | %d | %d | %d | %s |\n", NR, $7, $8, $9, $10, $7 ? sprintf("%.2f", ($6 - $3) / $7) : "-" }' "$SCRATCH/results"
}
