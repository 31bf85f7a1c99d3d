# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # cores and paths are lab.sh's, the load is classes.sh's
# What the device carries at most, by bare frames of the same sizes from an
# AF_XDP socket on the server's core; measured in turn with the servers. To be
# sourced after measure.sh.

readonly RAW_REFUSED_EXIT=3

# measure_raw CLASS MTU ROUND
measure_raw() {
    local code=0 figures
    "raw_$RAW" "$2" || code=$?
    if (( code == RAW_REFUSED_EXIT )); then
        record "$@" raw refused
        echo "  raw: $(<"$SCRATCH/raw.out")"
        return
    fi
    (( code == 0 )) || die "bare frames failed with status $code"
    figures=$(figures_raw "$2")
    record "$@" raw "$figures"
    awk '{ printf "  raw: %.0f frames/s\n", $1 }' <<<"$figures"
}

# Frames as large as the link takes, one way: what bodies are sent in.
raw_transmit() {
    timeout $((RUN_S + LOAD_SPARE_S)) taskset -c "$SERVER_CORE" "$RAW_TOOL" transmit --device "$ENVIRONMENT" \
        --to "$(mac inner)" --frame-bytes $(($1 + 14)) --seconds "$RUN_S" >"$SCRATCH/raw.out"
}

# A frame like a request comes, one like its answer goes.
raw_echo() {
    local code=0 deadline=$((SECONDS + READY_TIMEOUT_S))
    : >"$SCRATCH/raw.out"
    start_on_core "$RAW_TOOL" echo --device "$ENVIRONMENT" --address "$ADDRESS" \
        --answer-bytes "$ANSWER_FRAME_BYTES" --seconds "$RUN_S" >>"$SCRATCH/raw.out"
    until grep -q '^ready' "$SCRATCH/raw.out"; do
        kill -0 "$SERVER_PID" 2>/dev/null || die "the echo ended before it was ready"
        (( SECONDS < deadline )) || die "the echo isn't ready after $READY_TIMEOUT_S s"
        sleep 0.1
    done
    ip netns exec "$ENVIRONMENT" timeout $((RUN_S + LOAD_SPARE_S)) taskset -c "$CLIENT_CORE" \
        "$RAW_TOOL" transmit --device veth0 --to "$(mac outer)" --server "$ADDRESS:80" \
        --frame-bytes "$REQUEST_FRAME_BYTES" --seconds $((RUN_S + 1)) >"$SCRATCH/feed.out" &
    LOAD_PID=$!
    wait "$SERVER_PID" || code=$?
    SERVER_PID=
    wait "$LOAD_PID" || die "the frames for the echo didn't come: $(<"$SCRATCH/feed.out")"
    LOAD_PID=
    return $code
}

# figures_raw MTU: "frames/s MB/s", of what TCP could carry in these frames.
figures_raw() {
    local payload=$(($1 + 14 - FRAME_HEADERS_BYTES))
    if [[ $RAW == echo ]]; then payload=$BODY_BYTES; fi
    awk -v payload="$payload" '/^done / {
        for (i = 2; i <= NF; i++) { split($i, pair, "="); v[pair[1]] = pair[2] }
        rate = v["frames"] / v["seconds"]
        printf "%.1f %.2f", rate, rate * payload / 1e6 }' "$SCRATCH/raw.out"
}
