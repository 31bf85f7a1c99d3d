# shellcheck shell=bash
# stress.sh soak: full load for long, nothing wrong, nothing that grows.

readonly SETTLED_S=60                     # memory before this is the caches filling
CONNECTIONS=64 SOURCES=20 RUN_S=600
readonly PROCESSES=4
# Small files often, large ones now and then: each path is as likely as the
# others, and 16 MiB are most of the bytes all the same.
readonly PATHS=/1k.bin,/1k.bin,/1k.bin,/1k.bin,/1k.bin,/1k.bin,/1k.bin,/1k.bin,/20k.bin,/20k.bin,/20k.bin,/20k.bin,/20k.bin,/100k.bin,/100k.bin,/100k.bin,/100k.bin,/1m.bin,/1m.bin,/16m.bin
readonly ANSWER_S=60                      # for one answer, of the largest file too
readonly ALL_CLOSED_S=30                      # what is in TIME-WAIT in the end is gone by then

make_files_soak() {
    make_file 1k.bin 1024
    make_file 20k.bin 20000
    make_file 100k.bin 102400
    make_file 1m.bin 1048576
    make_file 16m.bin 16777216
}

run_soak() {
    start_server
    step "$CONNECTIONS clients in $PROCESSES processes, $RUN_S s"
    start_sampling rss.soak
    start_crowd verify verify --sources "$(add_sources)" --connections "$CONNECTIONS" \
        --per-process $(( (CONNECTIONS + PROCESSES - 1) / PROCESSES )) --paths $PATHS \
        --patience $ANSWER_S --hold "$RUN_S" --limit $((RUN_S + CROWD_ENDS_S))
    # Its order comes from --hold.
    finish verify || true
    grep -q '^done ' "$SCRATCH/verify.out" || die "the clients gave no figures"
    echo "  verify: $(grep '^done ' "$SCRATCH/verify.out")"
    stop_sampling
    await_closed
    TROUBLES=$(last_troubles)
    stop_server
}

# Sets OPEN, ACCEPTED and CLOSED once nothing is open, or after ALL_CLOSED_S.
await_closed() {
    local deadline=$((SECONDS + ALL_CLOSED_S))
    # The next report is the first to know of the end.
    sleep $((2 * STATS_EVERY_S))
    read_connections
    while (( OPEN > 0 && SECONDS < deadline )); do
        sleep "$STATS_EVERY_S"
        read_connections
    done
}

# Minimum, maximum and slope of the memory once settled, from the samples.
memory() {
    local from=$SETTLED_S
    # A short run has no settled part: then its second half.
    (( RUN_S > 2 * SETTLED_S )) || from=$((RUN_S / 2))
    awk -v from="$from" '
        NR > from { n++; x = NR; y = $1; sx += x; sy += y; sxx += x * x; sxy += x * y
                    if (n == 1 || y < low) low = y
                    if (n == 1 || y > high) high = y }
        END { d = n * sxx - sx * sx
              slope = d ? (n * sxy - sx * sy) / d : 0
              printf "| VmRSS after %d s, MiB | %.1f–%.1f |\n", from, low / 1024, high / 1024
              printf "| its slope, KiB/min | %.1f |\n", slope * 60 }' "$SCRATCH/rss.soak"
}

report_soak() {
    local verdict=no
    (( ACCEPTED == CLOSED + OPEN )) && verdict=yes
    head_of_report "$RUN_S s of requests without pause, every body compared"
    echo "- $CONNECTIONS clients in $PROCESSES processes from $SOURCES addresses; 1 to 50 requests a connection, half of them ended by Connection: close"
    echo "- files of 1 KiB (8 of 20), 20 kB (5), 100 KiB (4), 1 MiB (2), 16 MiB (1)"
    echo
    echo "| | |"
    echo "| --- | ---: |"
    echo "| requests answered byte-exact | $(crowd_figure verify 'done' requests) |"
    echo "| bytes of bodies | $(crowd_figure verify 'done' body_bytes) |"
    echo "| connections opened by the clients | $(crowd_figure verify 'done' connections) |"
    echo "| requests or connections failed | $(crowd_figure verify 'done' failed) |"
    echo "| slowest answer, ms | $(crowd_figure verify 'done' answer_max_ms) |"
    memory
    echo "| connections accepted / closed / open at the end | $ACCEPTED / $CLOSED / $OPEN |"
    echo "| accepted = closed + open | $verdict |"
    echo "| drops and troubles | ${TROUBLES:-none} |"
}
