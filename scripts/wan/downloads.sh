# shellcheck shell=bash
# Files and downloads of scripts/wan.sh. To be sourced after servers.sh.

declare -A CURLS=()                        # process ids of clients, by name
FAILED=0                                   # downloads that failed or weren't their file

# make_file NAME BYTES: of random content, with its sum.
make_file() {
    head -c "$2" /dev/urandom >"$WWW/$1"
    sha256sum <"$WWW/$1" >"$SCRATCH/sums/$1"
}

# begin NAME SERVER FILE LIMIT_S: a client in the background.
begin() {
    rm -f "$SCRATCH/got.$1"
    taskset -c "$CLIENT_CORE" ip netns exec "$ENVIRONMENT" \
        curl -sS --fail --noproxy '*' --max-time "$4" -o "$SCRATCH/got.$1" \
        -w '%{time_total} %{size_download}\n' "$(url "$2" "$3")" >"$SCRATCH/curl.$1" 2>"$SCRATCH/curl.$1.err" &
    CURLS[$1]=$!
}

# end NAME: waits for it; what curl returned.
end() {
    local code=0
    wait "${CURLS[$1]}" || code=$?
    unset "CURLS[$1]"
    return $code
}

# is_exact NAME FILE: whether what came is the file.
is_exact() { [[ $(sha256sum <"$SCRATCH/got.$1") == "$(<"$SCRATCH/sums/$2")" ]]; }

# note_failure NAME SERVER FILE WHY
note_failure() {
    FAILED=$((FAILED + 1))
    echo "  FAILED: $3 from $2: $4; $(xargs <"$SCRATCH/curl.$1"), $(xargs <"$SCRATCH/curl.$1.err")" >&2
}

# Seconds that the download NAME took.
seconds_of() { awk '{ print $1 }' "$SCRATCH/curl.$1"; }

# at_once ROW SERVER REP LIMIT_S FILE...: downloads all of them together; the
# time is that of the last one.
at_once() {
    local row=$1 server=$2 rep=$3 limit_s=$4 file code failed=0 seconds
    shift 4
    forget_path
    for file in "$@"; do begin "$file" "$server" "$file" "$limit_s"; done
    for file in "$@"; do
        code=0
        end "$file" || code=$?
        if (( code != 0 )); then
            note_failure "$file" "$server" "$file" "curl returned $code"
        elif ! is_exact "$file" "$file"; then
            note_failure "$file" "$server" "$file" "it isn't the file"
        else
            continue
        fi
        failed=$((failed + 1))
    done
    seconds=$(for file in "$@"; do seconds_of "$file"; done | sort -g | tail -1)
    record run "$row" "$server" "$rep" "$seconds" "$failed"
    echo "  $server: $row: $seconds s, $failed failed"
    (cd "$SCRATCH" && rm -f got.*)
}

# one_by_one ROW SERVER REP LIMIT_S FILE TIMES: over a connection each; the time
# is the mean, for a lost packet must not hide in the middle of the others.
one_by_one() {
    local row=$1 server=$2 rep=$3 limit_s=$4 file=$5 times=$6 time code failed=0 seconds
    forget_path
    for (( time = 1; time <= times; time++ )); do
        begin "$time" "$server" "$file" "$limit_s"
        code=0
        end "$time" || code=$?
        if (( code != 0 )); then
            note_failure "$time" "$server" "$file" "curl returned $code"
        elif ! is_exact "$time" "$file"; then
            note_failure "$time" "$server" "$file" "it isn't the file"
        else
            continue
        fi
        failed=$((failed + 1))
    done
    seconds=$(for (( time = 1; time <= times; time++ )); do seconds_of "$time"; done |
        awk '{ sum += $1 } END { printf "%.6f", sum / NR }')
    record run "$row" "$server" "$rep" "$seconds" "$failed"
    echo "  $server: $row: $seconds s, $failed failed"
    (cd "$SCRATCH" && rm -f got.*)
}

# in_turn CONGESTION COMMAND...: REPS times with the kernel and with ours, of
# which the one that was second goes first next time. COMMAND is also told the
# server, the repetition and the congestion control.
in_turn() {
    local congestion=$1 rep server order=(kernel ours)
    shift
    for (( rep = 1; rep <= REPS; rep++ )); do
        step "$congestion, repetition $rep of $REPS"
        for server in "${order[@]}"; do
            "start_$server" "$congestion"
            "$@" "$server" "$rep" "$congestion"
            stop_server "$server"
        done
        order=("${order[1]}" "${order[0]}")
    done
}
