# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with those who source it; SCRATCH, WWW and the like are lab.sh's
# The mount of scripts/front.sh, and the trouble that it makes. To be sourced after
# the files of scripts/bench.

readonly TROUBLED=$REPO/target/release/examples/troubled
readonly DOWNLOAD_BYTES=$((100 * 1024 * 1024))
readonly DOWNLOAD_RATE=1000000             # bytes/s
readonly WAITING=32                        # requests to the mount that hangs, at any time
readonly BEGUN_S=0.3                       # after so long a trouble has begun
readonly SPARE_S=2                         # that it lasts longer than both loads take
readonly MOUNT_S=10                        # to be mounted, or to obey
ASKED=                                     # requests to the mount that hangs, in all
MOUNT_PID=
ORDERS=                                    # the descriptor that its commands go to

# shellcheck disable=SC2317 # called by trap
clean_up_front() {
    local code=$?
    set +e
    if [[ -n $MOUNT_PID ]]; then
        # With the end of its orders it unmounts; were it killed, nobody would.
        exec {ORDERS}>&-
        wait "$MOUNT_PID" || umount -l "$WWW/jfs"
    fi
    (exit "$code")
    clean_up
}

# Mounts a file system without trouble at /jfs.
mount_files() {
    cargo_build build --release --locked --example troubled
    [[ -x $TROUBLED ]] || die "the build made no $TROUBLED"
    mkdir "$WWW/jfs"
    mkfifo "$SCRATCH/orders"
    taskset -c "$CLIENT_CORE" "$TROUBLED" "$WWW/jfs" <"$SCRATCH/orders" >"$SCRATCH/troubled.out" &
    MOUNT_PID=$!
    exec {ORDERS}>"$SCRATCH/orders"
    trap clean_up_front EXIT
    await_answers 1
    order put large.bin 1 $DOWNLOAD_BYTES
}

# order WORD...: has it done.
order() {
    local answers
    answers=$(wc -l <"$SCRATCH/troubled.out")
    echo "$*" >&"$ORDERS"
    await_answers $((answers + 1))
    [[ $(tail -n 1 "$SCRATCH/troubled.out") == ok ]] || die "the mount's program: $(tail -n 1 "$SCRATCH/troubled.out")"
}

# await_answers COUNT
await_answers() {
    local deadline=$((SECONDS + MOUNT_S))
    until (( $(wc -l <"$SCRATCH/troubled.out") >= $1 )); do
        kill -0 "$MOUNT_PID" 2>/dev/null || die "the mount's program has ended"
        (( SECONDS < deadline )) || die "the mount's program doesn't answer after $MOUNT_S s"
        sleep 0.02
    done
}

# as_client COMMAND...: in the namespace, in the background, off the server's core.
as_client() {
    ip netns exec "$ENVIRONMENT" taskset -c "$CLIENT_CORE" "$@" &
    LOAD_PID=$!
}

# end_client STATUS: waits for it; dies if it ended in another way.
end_client() {
    local code=0
    wait "$LOAD_PID" || code=$?
    LOAD_PID=
    (( code == $1 )) || die "the mount's client ended with status $code"
}

# --- the conditions, each as begin_NAME and end_NAME --------------------------

begin_alone() { :; }
end_alone() { :; }

# download MOST-SECONDS: of the large file, in the background.
download() {
    order trouble read large.bin rate $DOWNLOAD_RATE
    as_client curl -s --noproxy '*' --max-time "$1" -o "$SCRATCH/large" \
        -w '%{http_code} %{size_download} %{speed_download}\n' "http://$ADDRESS/jfs/large.bin" >"$SCRATCH/download"
    sleep $BEGUN_S
}

# end_download_as STATUS: of curl; what came is what the file begins with, at the mount's pace.
end_download_as() {
    local status bytes speed
    end_client "$1"
    read -r status bytes speed <"$SCRATCH/download"
    order heal
    if [[ $status != 200 ]] || ! cmp -s -n "$bytes" "$SCRATCH/large" "$WWW/jfs/large.bin"; then
        die "the download, status $status, isn't the file"
    fi
    # Always a chunk or two behind.
    (( speed > DOWNLOAD_RATE * 7 / 10 && speed <= DOWNLOAD_RATE )) ||
        die "the download had $speed bytes/s, not $DOWNLOAD_RATE"
    echo "  the download: $bytes bytes, $speed bytes/s"
}

# A download that outlasts both loads. curl says 28: there wasn't time for all.
begin_download() { download $((2 * RUN_S + SPARE_S)); }
end_download() { end_download_as 28; }

begin_whole() { download $((2 * DOWNLOAD_BYTES / DOWNLOAD_RATE)); }
end_whole() {
    end_download_as 0
    (( $(stat -c %s "$SCRATCH/large") == DOWNLOAD_BYTES )) || die "the download isn't whole"
}

# So many names that they are asked for until both loads are over.
begin_hang() {
    ASKED=$(( WAITING * ((2 * RUN_S + SPARE_S) / FILE_TIMEOUT_S + 1) ))
    order trouble lookup '*' hang
    as_client curl -s --no-progress-meter --noproxy '*' -Z --parallel-immediate --parallel-max $WAITING \
        -o /dev/null -w '%{http_code}\n' "http://$ADDRESS/jfs/[1-$ASKED]" >"$SCRATCH/waiting"
    sleep $BEGUN_S
}

end_hang() {
    local ended
    end_client 0
    order heal
    ended=$(grep -c '^504$' "$SCRATCH/waiting" || true)
    (( ended == ASKED )) || die "of $ASKED requests to the mount that hangs $ended ended in 504"
    echo "  waited in vain meanwhile: $ended requests"
}
