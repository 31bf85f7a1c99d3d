# shellcheck shell=bash
# stress.sh flood: downloads while SYNs come from invented addresses.

readonly BODY_BYTES=102400
readonly CURLS=250                        # transfers of one curl: it takes 300 at most
readonly CURL_S=10                        # for one transfer, handshake included
CONNECTIONS=500 RUN_S=15

make_files_flood() { make_file page.bin $BODY_BYTES; }

# write_config FILE FIRST LAST: curl's list of transfers.
write_config() {
    local number
    for (( number = $2; number <= $3; number++ )); do
        printf 'url = "http://%s/page.bin"\noutput = "%s/body.%d"\n' "$ADDRESS" "$SCRATCH" "$number"
    done >"$1"
}

# wave NAME: all downloads at once, each on a connection of its own. Appends
# "NAME GOOD p50 p90 p99 max" (seconds, of all) to the results.
wave() {
    local name=$1 first last part curls=() good
    rm -f "$SCRATCH"/body.* "$SCRATCH"/times.*
    for (( first = 1; first <= CONNECTIONS; first += CURLS )); do
        last=$((first + CURLS - 1 < CONNECTIONS ? first + CURLS - 1 : CONNECTIONS))
        part=$SCRATCH/curl.$first
        write_config "$part" "$first" "$last"
        inside timeout $((3 * CURL_S)) curl -sS --fail --noproxy '*' --parallel --parallel-immediate \
            --parallel-max $CURLS --connect-timeout $CURL_S --max-time $CURL_S -H 'Connection: close' \
            -w '%{time_total}\n' -K "$part" >"$SCRATCH/times.$first" 2>>"$SCRATCH/curl.errors" &
        curls+=($!)
    done
    # A transfer that failed isn't counted below, and that is its report.
    for part in "${curls[@]}"; do wait "$part" || true; done
    good=$(good_bodies)
    cat "$SCRATCH"/times.* >"$SCRATCH/times"
    echo "$name $good $(for q in 0.5 0.9 0.99 1; do quantile $q <"$SCRATCH/times"; done | xargs) $(rss_kib "$SERVER_PID")" >>"$SCRATCH/results"
    echo "  $name: $good of $CONNECTIONS in full, slowest $(quantile 1 <"$SCRATCH/times") s"
}

good_bodies() {
    local want
    want=$(sha256sum <"$WWW/page.bin")
    find "$SCRATCH" -name 'body.*' -exec sha256sum {} + | awk -v want="${want%% *}" '$1 == want' | wc -l
}

run_flood() {
    local deadline started idle number=1
    start_server
    step "without the flood"
    wave before
    step "with it, at least $RUN_S s"
    start_sampling rss.flood
    started=$(wall_us) idle=$(idle_us "$SERVER_CORE")
    background flood "$FLOOD" --server "$ADDRESS:80" --sources 10.128.0.0/9 --seconds $((RUN_S + 4 * CURL_S)) \
        ${FLOOD_RATE:+--rate "$FLOOD_RATE"}
    deadline=$((SECONDS + RUN_S))
    sleep 1
    # The flood goes on until the last wave is over.
    while (( SECONDS < deadline )) && kill -0 "${PIDS[flood]}" 2>/dev/null; do
        wave "flood-$((number++))"
    done
    echo end >"$SCRATCH/flood.order"
    finish flood || die "the flood failed"
    BUSY_SHARE=$(awk -v wall=$(( $(wall_us) - started )) -v idle=$(( $(idle_us "$SERVER_CORE") - idle )) \
        'BEGIN { printf "%.0f", 100 * (wall - idle) / wall }')
    echo "  flood: $(<"$SCRATCH/flood.out")"
    stop_sampling
    step "after it"
    sleep 1
    wave after
    sleep $((STATS_EVERY_S + 1))
    read_connections
    TROUBLES=$(last_troubles)
    stop_server
}

report_flood() {
    head_of_report "$CONNECTIONS downloads at a time under a SYN flood"
    echo "- flood: $(sed 's/^done //' "$SCRATCH/flood.out"), sources 10.128.0.0/9, from the core that the clients have"
    echo "- $BODY_BYTES bytes a download, curl, a connection each, at most $CURL_S s; good: byte-exact"
    echo "- server core busy during the flood: $BUSY_SHARE %; server VmRSS then: at most $(mib "$(quantile 1 <"$SCRATCH/rss.flood")") MiB"
    echo "- last report: $OPEN connections, $ACCEPTED accepted, $CLOSED closed${TROUBLES:+; $TROUBLES}"
    echo
    echo "| wave | good of $CONNECTIONS | p50 s | p90 s | p99 s | max s | VmRSS MiB |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    awk '{ printf "| %s | %d | %s | %s | %s | %s | %.1f |\n", $1, $2, $3, $4, $5, $6, $7 / 1024 }' "$SCRATCH/results"
    echo
    awk '$1 ~ /^flood-/ { n++; good += $2 } END { printf "During the flood: %d of %d good.\n", good, n * '"$CONNECTIONS"' }' "$SCRATCH/results"
}
