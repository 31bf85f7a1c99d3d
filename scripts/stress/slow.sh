# shellcheck shell=bash
# stress.sh slow: how a request fares among clients that hold on to the server.

readonly PROBE_EVERY_US=200000
readonly PROBE_S=5                        # a probe that takes longer has failed
readonly LARGE_BYTES=10485760
CONNECTIONS=5000 SOURCES=20 RUN_S=60      # so many of each kind

make_files_slow() {
    make_file small.bin 1024
    make_file large.bin $LARGE_BYTES
}

# probe NAME SECONDS: a request every 200 ms; "0 SECONDS" or "1 SECONDS" (it
# failed) for each into NAME.
probe() {
    local name=$1 next failed took
    local end=$(( $(wall_us) + $2 * 1000000 ))
    next=$(wall_us)
    while (( next < end )); do
        failed=0
        rm -f "$SCRATCH/probe.body"
        took=$(inside curl -sS --fail --noproxy '*' --connect-timeout $PROBE_S --max-time $PROBE_S \
            -o "$SCRATCH/probe.body" -w '%{time_total}' "http://$ADDRESS/small.bin") || failed=1
        cmp -s "$SCRATCH/probe.body" "$WWW/small.bin" || failed=1
        echo "$failed ${took:-$PROBE_S}" >>"$SCRATCH/$name"
        next=$((next + PROBE_EVERY_US))
        sleep_until "$next"
    done
}

# sleep_until US: of the wall clock.
sleep_until() {
    local left=$(( $1 - $(wall_us) ))
    if (( left > 0 )); then sleep "$(awk -v us=$left 'BEGIN { print us / 1e6 }')"; fi
}

run_slow() {
    local sources common
    sources=$(add_sources)
    common=(--sources "$sources" --connections "$CONNECTIONS" --reopen --hold 86400
        --limit $((2 * CROWD_OPENS_S + RUN_S + CROWD_ENDS_S)))
    start_server
    step "without the crowds"
    probe probes.without $((RUN_S < 15 ? RUN_S : 15))
    RSS_WITHOUT=$(rss_kib "$SERVER_PID")
    step "with them, $RUN_S s"
    start_crowd drip drip --paths /small.bin "${common[@]}"
    start_crowd noread noread --paths /large.bin "${common[@]}"
    start_sampling rss.slow
    probe probes.with "$RUN_S"
    stop_sampling
    end_crowd drip
    end_crowd noread
    stop_server
}

# probe_row LABEL NAME RSS-KIB
probe_row() {
    local q figures=()
    for q in 0.5 0.99 1; do
        figures+=("$(awk '{ print $2 * 1000 }' "$SCRATCH/$2" | quantile $q)")
    done
    echo "| $1 | $(wc -l <"$SCRATCH/$2") | $(awk '{ n += $1 } END { print n + 0 }' "$SCRATCH/$2") |" \
        "${figures[0]} | ${figures[1]} | ${figures[2]} | $(mib "$3") |"
}

# crowd_row NAME
crowd_row() {
    echo "| $1 | $(crowd_figure "$1" opened connections) | $(crowd_figure "$1" opened failed) |" \
        "$(crowd_figure "$1" 'done' ended) | $(crowd_figure "$1" 'done' reopened) | $(crowd_figure "$1" 'done' open) |"
}

report_slow() {
    head_of_report "A request every $((PROBE_EVERY_US / 1000)) ms among $CONNECTIONS dripping and $CONNECTIONS unread connections"
    echo "- drip: a byte of a head every 3 s; unread: a GET for $LARGE_BYTES bytes, SO_RCVBUF 4096, never read"
    echo "- both from $SOURCES addresses; a connection that the server ends is replaced"
    echo "- probe: curl, 1024 bytes, a connection each, at most $PROBE_S s, body compared"
    echo
    echo "| crowds | probes | failed | median ms | p99 ms | max ms | VmRSS MiB |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    probe_row without probes.without "$RSS_WITHOUT"
    probe_row with probes.with "$(quantile 1 <"$SCRATCH/rss.slow")"
    echo
    echo "| crowd | opened | refused | ended by the server | reopened | open at the end |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: |"
    crowd_row drip
    crowd_row noread
}
