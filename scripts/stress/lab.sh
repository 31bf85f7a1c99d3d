# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# The lab of scripts/stress.sh and what its figures share. To be sourced after
# scripts/common.sh.

readonly ENVIRONMENT=${STRESS_LAB:-stress0}
readonly SERVER_CORE=0 CLIENT_CORE=1
readonly CROWD=$REPO/target/release/examples/crowd
readonly FLOOD=$REPO/target/release/examples/flood
readonly STATS_EVERY_S=1
readonly CROWD_OPENS_S=120                # a crowd that isn't there by then won't be
readonly CROWD_ENDS_S=180                 # nor has it ended this long after the order

CONNECTIONS='' SOURCES='' ROUNDS='' RUN_S=''      # each figure has its own defaults
SCRATCH=
WWW=
SERVER_PID=
declare -A PIDS=()                        # crowds, floods and samplers, by name
LAB_IS_OURS=
ADDRESS=
OPEN='' ACCEPTED='' CLOSED=''              # connections, of the server's last report

# shellcheck disable=SC2317 # called by trap
clean_up() {
    local code=$? name
    trap '' INT TERM HUP
    for name in "${!PIDS[@]}"; do stop "${PIDS[$name]}"; done
    if [[ -n $SERVER_PID ]]; then stop "$SERVER_PID"; fi
    if [[ -n $LAB_IS_OURS ]]; then "$TESTENV" teardown --name="$ENVIRONMENT" >/dev/null || true; fi
    if [[ -n $SCRATCH ]]; then rm -rf "$SCRATCH"; fi
    exit "$code"
}

prepare() {
    (( $(nproc) >= 2 )) || die "needs two cores: one for the server, one for the clients"
    "$REPO/scripts/install.sh" --bench
    find_cargo
    cargo_build build --release --locked
    cargo_build build --release --locked --example crowd --example flood
    [[ -x $BIN && -x $CROWD && -x $FLOOD ]] || die "the build made no $BIN, $CROWD or $FLOOD"
    ! "$TESTENV" vars --name="$ENVIRONMENT" &>/dev/null ||
        die "environment $ENVIRONMENT is in use; if nobody uses it: $TESTENV teardown --name=$ENVIRONMENT"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # Whatever is started from here on is a client, unless it says otherwise.
    taskset -cp $CLIENT_CORE $$ >/dev/null
    LAB_IS_OURS=1
    "$TESTENV" setup --name="$ENVIRONMENT"
    ADDRESS=$(testenv_var "$ENVIRONMENT" outer_ip4)
    inside sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
    SCRATCH=$(mktemp -d)
    WWW=$SCRATCH/www
    mkdir "$WWW"
}

# inside COMMAND...: in the namespace.
inside() { "$TESTENV" exec --name="$ENVIRONMENT" -- "$@"; }

# background NAME COMMAND...: in the namespace, in the background; its output
# goes to NAME.out, its standard input never ends.
background() {
    local name=$1
    shift
    rm -f "$SCRATCH/$name.order"
    mkfifo "$SCRATCH/$name.order"
    "$TESTENV" exec --name="$ENVIRONMENT" -- "$@" <>"$SCRATCH/$name.order" >"$SCRATCH/$name.out" &
    PIDS[$name]=$!
}

# finish NAME: waits for its end; what it returned.
finish() {
    local code=0
    wait "${PIDS[$1]}" || code=$?
    unset "PIDS[$1]"
    return $code
}

# make_file PATH BYTES
make_file() { head -c "$2" /dev/urandom >"$WWW/$1"; }

# Gives the namespace so many addresses more and lists them: a.b.c.3,a.b.c.4,…
add_sources() {
    local host list=()
    for (( host = 3; host < 3 + SOURCES; host++ )); do
        inside ip addr add "${ADDRESS%.*}.$host/32" dev veth0
        list+=("${ADDRESS%.*}.$host")
    done
    (IFS=,; echo "${list[*]}")
}

# --- the server --------------------------------------------------------------

# start_server [OPTION...]: with those, and then XDPHTTPD_ARGS.
start_server() {
    # shellcheck disable=SC2086 # XDPHTTPD_ARGS is a list of words
    taskset -c $SERVER_CORE "$BIN" -d "$ENVIRONMENT" --root "$WWW" --cores $SERVER_CORE \
        --stats $STATS_EVERY_S "$@" ${XDPHTTPD_ARGS:-} >"$SCRATCH/xdphttpd.log" &
    SERVER_PID=$!
    wait_ready "$SERVER_PID" "$SCRATCH/xdphttpd.log" || die "see what xdphttpd said above"
    grep "^$READY" "$SCRATCH/xdphttpd.log" >"$SCRATCH/xdphttpd.ready"
}

stop_server() {
    local code=0
    stop "$SERVER_PID"
    wait "$SERVER_PID" || code=$?
    SERVER_PID=
    (( code == 0 )) || die "the server ended with status $code"
}

# start_sampling NAME: the server's memory in KiB, once a second, into NAME.
start_sampling() {
    (while rss_kib "$SERVER_PID" 2>/dev/null; do sleep 1; done >"$SCRATCH/$1") &
    PIDS[sampler]=$!
}

stop_sampling() {
    stop "${PIDS[sampler]}"
    finish sampler || true
}

# Sets OPEN, ACCEPTED and CLOSED from the server's last report.
read_connections() {
    local counts
    counts=$(sed -n 's/.* \([0-9]*\) connections\{0,1\} (\([0-9]*\) accepted, \([0-9]*\) closed.*/\1 \2 \3/p' \
        "$SCRATCH/xdphttpd.log" | tail -1)
    [[ -n $counts ]] || die "the server reported no connections"
    read -r OPEN ACCEPTED CLOSED <<<"$counts"
}

# The last report's line of drops and troubles, if it had one.
last_troubles() {
    awk '/^stats / { troubles = "" } /drops and troubles/ { troubles = $0 } END { print troubles }' \
        "$SCRATCH/xdphttpd.log" | sed 's/^ *drops and troubles: //'
}

# --- crowds ------------------------------------------------------------------

# start_crowd NAME MODE OPTIONS...: returns when all connections are there or
# have failed.
start_crowd() {
    local name=$1 mode=$2 deadline=$((SECONDS + CROWD_OPENS_S))
    shift 2
    background "$name" "$CROWD" "$mode" --server "$ADDRESS:80" --root "$WWW" "$@"
    until grep -q '^opened ' "$SCRATCH/$name.out"; do
        kill -0 "${PIDS[$name]}" 2>/dev/null || die "the $name crowd ended before it was there"
        (( SECONDS < deadline )) || die "the $name crowd isn't there after $CROWD_OPENS_S s"
        sleep 0.1
    done
    echo "  $name: $(grep '^opened ' "$SCRATCH/$name.out")"
}

# end_crowd NAME: gives it its order and waits for its figures.
end_crowd() {
    local name=$1
    echo go >"$SCRATCH/$name.order"
    # Its code says that something failed; the figures say what.
    finish "$name" || true
    grep -q '^done ' "$SCRATCH/$name.out" || die "the $name crowd gave no figures"
    echo "  $name: $(grep '^done ' "$SCRATCH/$name.out")"
}

# crowd_figure NAME opened|done FIGURE
crowd_figure() { sed -n "s/^$2 \(.* \)\{0,1\}$3=\([^ ]*\).*/\2/p" "$SCRATCH/$1.out"; }

# --- the report --------------------------------------------------------------

# quantile Q: of the numbers on stdin, one a line; 0.5 is the median.
quantile() {
    sort -g | awk -v q="$1" '{ v[NR] = $1 } END { if (NR) print v[int((NR - 1) * q + 0.5) + 1]; else print "-" }'
}

# spread FORMAT: median and range of the numbers on stdin.
spread() {
    sort -g | awk -v format="$1" '{ v[NR] = $1 }
        END { middle = (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2
              printf "**" format "** (" format "–" format ")", middle, v[1], v[NR] }'
}

mib() { awk -v kib="$1" 'BEGIN { printf "%.1f", kib / 1024 }'; }

# head_of_report TITLE
head_of_report() {
    echo "# $1"
    echo
    echo "- $(date -u '+%Y-%m-%d %H:%M UTC'), Linux $(uname -r), $(cpu_model), $(nproc --all) cores"
    echo "- server on core $SERVER_CORE, clients on core $CLIENT_CORE, one veth, MTU 1500"
    echo "- xdphttpd --cores $SERVER_CORE${XDPHTTPD_ARGS:+ $XDPHTTPD_ARGS}: $(sed "s/^$READY//; s/, root .*//" "$SCRATCH/xdphttpd.ready")"
}
