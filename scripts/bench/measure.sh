# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # cores and paths are lab.sh's, the load is classes.sh's
# One run of scripts/bench.sh: a server under a load, its bodies compared before
# and after. To be sourced after lab.sh, classes.sh and servers.sh.

readonly WARM_S=1
readonly TRIAL_S=2
readonly LOAD_SPARE_S=20                   # a client that takes so much longer is ended
readonly CROWD_OPENS_S=60                  # ten thousand that aren't there by then won't be
readonly BODY_S=10                         # for one body

# measure CLASS MTU ROUND SERVER: appends a line to the results.
measure() {
    local server=$4 before after load figures
    start_server "$server"
    if [[ -n $REFUSED ]]; then
        record "$@" refused
        echo "  $server: refused ($REFUSED)"
        return
    fi
    check_body "$server"
    if [[ $LOADER == wrk_beside_idle ]]; then open_crowd "$server"; fi
    "load_$LOADER" $WARM_S
    before="$(wall_us) $(core_times "$SERVER_CORE") $(core_times "$CLIENT_CORE")"
    "load_$LOADER" "$RUN_S"
    after="$(wall_us) $(core_times "$SERVER_CORE") $(core_times "$CLIENT_CORE")"
    if [[ -n $LOAD_PID ]]; then close_crowd "$server"; fi
    check_body "$server"
    stop_server "$server"
    # On its own, or its failure would go unseen.
    load=$("figures_$LOADER")
    figures=$(figures "$before" "$after" "$load")
    record "$@" "$figures"
    awk -v server="$server" '{ printf "  %s: %.0f requests/s, p99 %.0f µs, %.2f µs of the server core a request\n",
        server, $1, $4, $5 + $6 + $7 }' <<<"$figures"
}

# record CLASS MTU ROUND SERVER FIGURES: what report.py reads.
record() { tr ' ' '\t' <<<"$*" >>"$SCRATCH/results"; }

# Sets SENDFILE as nginx is the faster under this load. For small files that is off,
# by a tenth and more (read and writev against cork, writev, sendfile and uncork);
# for larger ones it depends on the processor and on who is waiting for whom, so
# both are tried.
choose_sendfile() {
    local way load rate best=0 chosen=off
    SENDFILE=${NGINX_SENDFILE:-off}
    if [[ -n ${NGINX_SENDFILE:-} || $LOADER != wrk ]] || (( BODY_BYTES <= SMALL_BYTES )); then return; fi
    for way in off on; do
        SENDFILE=$way
        start_server nginx
        check_body nginx
        load_wrk $WARM_S
        load_wrk $TRIAL_S
        load=$(figures_wrk)
        stop_server nginx
        rate=$(awk '{ printf "%d", $3 / $2 / 1e6 }' <<<"$load")
        echo "  nginx, sendfile $way, tried for $TRIAL_S s: $rate MB/s"
        if (( rate > best )); then best=$rate chosen=$way; fi
    done
    SENDFILE=$chosen
}

# Dies unless what SERVER sends is the file; sets HEAD_BYTES to its head's length.
check_body() {
    HEAD_BYTES=$(inside curl -sS --fail --noproxy '*' --max-time $BODY_S -o "$SCRATCH/body" \
        -w '%{size_header}' "$URL") || die "$1 didn't send $FILE"
    cmp -s "$SCRATCH/body" "$WWW/$FILE" || die "$1 sent a body that isn't $FILE"
}

# --- loads, each as load_NAME SECONDS and figures_NAME -----------------------

# figures_NAME prints "REQUESTS SECONDS BODY-BYTES P50-µs P99-µs" of the last load.

load_wrk() {
    inside timeout $(($1 + LOAD_SPARE_S)) taskset -c "$CLIENT_CORE" wrk -t1 -c"$CONNECTIONS" -d "${1}s" \
        --timeout ${BODY_S}s -s "$REPO/scripts/bench/wrk.lua" "${@:2}" "$URL" >"$SCRATCH/wrk.out"
}
load_wrk_closing() { load_wrk "$1" -H 'Connection: close'; }
load_wrk_beside_idle() { load_wrk "$1"; }

# Bodies by what came less the heads, so that those that were under way in the
# end count for as much as there was of them.
figures_wrk() {
    grep -q '^wrk .* connect=0 read=0 write=0 status=0 timeout=0 ' "$SCRATCH/wrk.out" ||
        { cat "$SCRATCH/wrk.out" >&2; die "wrk saw errors, so the run doesn't count"; }
    awk -v head="$HEAD_BYTES" -v body="$BODY_BYTES" '/^wrk / {
        for (i = 2; i <= NF; i++) { split($i, pair, "="); v[pair[1]] = pair[2] }
        if (!v["requests"]) exit 1
        bytes = v["bytes"] - v["requests"] * head
        printf "%.1f %.6f %.0f %d %d", bytes / body, v["took_us"] / 1e6, bytes, v["p50_us"], v["p99_us"] }' "$SCRATCH/wrk.out" ||
        die "not one request was answered"
}
figures_wrk_closing() { figures_wrk; }
figures_wrk_beside_idle() { figures_wrk; }

load_paced() {
    inside timeout $(($1 + LOAD_SPARE_S)) taskset -c "$CLIENT_CORE" "$PACED" --server "$ADDRESS:80" --root "$WWW" \
        --path "/$FILE" --rate "$PACED_RATE" --connections "$CONNECTIONS" --seconds "$1" >"$SCRATCH/paced.out" ||
        die "not every request of the fixed rate was answered: $(<"$SCRATCH/paced.out")"
}

figures_paced() {
    awk -v body="$BODY_BYTES" '/^done / {
        for (i = 2; i <= NF; i++) { split($i, pair, "="); v[pair[1]] = pair[2] }
        printf "%d %.6f %.0f %s %s", v["answered"], v["seconds"], v["answered"] * body, v["p50_us"], v["p99_us"] }' "$SCRATCH/paced.out"
}

# open_crowd SERVER: opens the idle connections, which ask once each; they live
# until close_crowd.
open_crowd() {
    local deadline=$((SECONDS + CROWD_OPENS_S)) life crowd=$IDLE_CONNECTIONS
    # It takes half as many connections as the 20,000 files a process may have.
    if [[ $1 == lighttpd ]]; then crowd=$LIGHTTPD_IDLE_CONNECTIONS; fi
    life=$((WARM_S + RUN_S + LOAD_SPARE_S))
    rm -f "$SCRATCH/crowd.order"
    mkfifo "$SCRATCH/crowd.order"
    # Without a shell between, so that it is the crowd that is stopped if need be.
    ip netns exec "$ENVIRONMENT" "$CROWD" idle --server "$ADDRESS:80" --root "$WWW" \
        --paths "/$FILE" --sources "$IDLE_SOURCE_LIST" --connections "$crowd" --per-process "$IDLE_PER_PROCESS" --hold $life \
        --limit $((life + 2 * CROWD_OPENS_S)) <>"$SCRATCH/crowd.order" >"$SCRATCH/crowd.out" &
    LOAD_PID=$!
    until grep -q '^opened ' "$SCRATCH/crowd.out"; do
        kill -0 "$LOAD_PID" 2>/dev/null || die "the idle connections ended before they were there"
        (( SECONDS < deadline )) || die "the idle connections aren't there after $CROWD_OPENS_S s"
        sleep 0.1
    done
}

# close_crowd SERVER: each of them asks once more, and must be answered with the file.
close_crowd() {
    local code=0
    echo go >"$SCRATCH/crowd.order"
    wait "$LOAD_PID" || code=$?
    LOAD_PID=
    (( code == 0 )) || die "$1 lost idle connections: $(xargs <"$SCRATCH/crowd.out")"
}

# --- the cores' time ---------------------------------------------------------

# core_times CORE: µs of user, system, softirq, idle and stolen time so far; irq
# counts as softirq, and what the hypervisor stole as idle too.
core_times() {
    awk -v cpu="cpu$1" -v hz="$(getconf CLK_TCK)" '$1 == cpu { us = 1e6 / hz
        printf "%.0f %.0f %.0f %.0f %.0f", ($2 + $3) * us, $4 * us, ($7 + $8) * us, ($5 + $6 + $9) * us, $9 * us }' /proc/stat
}

# figures BEFORE AFTER LOAD: "requests/s MB/s p50 p99 user system softirq
# client-idle stolen", the three in µs of the server's core by request; the last
# of the core that was robbed more.
#
# Busy time is the wall clock less idle time, which is measured exactly; user,
# system and softirq are sampled by the tick on many kernels and say only
# how it is divided.
figures() {
    awk -v before="$1" -v after="$2" -v load_line="$3" 'BEGIN {
        split(before, b, " "); split(after, a, " "); split(load_line, l, " ")
        wall = a[1] - b[1]
        for (i = 2; i <= 11; i++) d[i] = a[i] - b[i]
        busy = wall - d[5]; if (busy < 0) busy = 0
        sampled = d[2] + d[3] + d[4]; if (sampled == 0) sampled = 1
        idle = (d[10] - d[11]) / wall; if (idle > 1) idle = 1
        stolen = d[6] > d[11] ? d[6] : d[11]
        printf "%.1f %.2f %s %s", l[1] / l[2], l[3] / l[2] / 1e6, l[4], l[5]
        for (i = 2; i <= 4; i++) printf " %.3f", busy * d[i] / sampled / l[1]
        printf " %.3f %.3f\n", idle, stolen / wall }'
}
