#!/usr/bin/env bash
# nginx and xdphttpd in turn, on one veth and the same cores: a small file over
# 64 keep-alive connections. The server has core 0, wrk in the namespace core 1.
#
# usage: sudo scripts/bench.sh [--pairs=N] [--seconds=N] [--only=nginx|xdphttpd]
#   PAIRS, SECONDS_PER_RUN   the same from the environment (5 pairs, 5 s)
#   XDPHTTPD_ARGS            further options for xdphttpd
#   NGINX_SENDFILE           on or off; off is the faster by a quarter at this
#                            size (read and writev against cork, writev,
#                            sendfile and uncork), so it is what we compare with
# The table goes to stdout and to target/bench/small.md.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

readonly ENVIRONMENT=bench0
readonly SERVER_CORE=0 CLIENT_CORE=1      # nginx.conf below names core 0 as the mask 1
readonly CONNECTIONS=64
readonly BODY_BYTES=1024
readonly REPORT=$REPO/target/bench/small.md
PAIRS=${PAIRS:-5}
RUN_S=${SECONDS_PER_RUN:-5}
NGINX_SENDFILE=${NGINX_SENDFILE:-off}
SERVERS=(nginx xdphttpd)

SCRATCH=
SERVER_PID=
LAB_IS_OURS=
ADDRESS=
URL=

# shellcheck disable=SC2317 # called by trap
clean_up() {
    local code=$?
    trap '' INT TERM HUP
    if [[ -n $SERVER_PID ]]; then stop "$SERVER_PID"; fi
    if [[ -n $LAB_IS_OURS ]]; then "$TESTENV" teardown --name="$ENVIRONMENT" >/dev/null || true; fi
    if [[ -n $SCRATCH ]]; then rm -rf "$SCRATCH"; fi
    exit "$code"
}

inside() { "$TESTENV" exec --name="$ENVIRONMENT" -- "$@"; }

# --- the servers -------------------------------------------------------------

# nginx as one would tune it for this: a worker on the server core, files kept
# open, no log, connections that never have to be made again.
write_nginx_conf() {
    cat >"$SCRATCH/nginx.conf" <<CONF
user root;
daemon off;
pid $SCRATCH/nginx.pid;
error_log stderr error;
worker_processes 1;
worker_cpu_affinity 1;
events {
    use epoll;
    multi_accept on;
    worker_connections 4096;
}
http {
    types { text/html html; application/octet-stream bin; }
    access_log off;
    sendfile $NGINX_SENDFILE;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=1024 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path $SCRATCH/nginx-body;
    proxy_temp_path $SCRATCH/nginx-proxy;
    fastcgi_temp_path $SCRATCH/nginx-fastcgi;
    uwsgi_temp_path $SCRATCH/nginx-uwsgi;
    scgi_temp_path $SCRATCH/nginx-scgi;
    server {
        listen $ADDRESS:80 backlog=4096;
        root $SCRATCH/www;
    }
}
CONF
}

start_nginx() {
    # Offloads on, and nothing on the device that would take them away.
    ethtool -K "$ENVIRONMENT" tx on >/dev/null
    inside ethtool -K veth0 tx on >/dev/null
    ! ip link show dev "$ENVIRONMENT" | grep -qw 'xdp[a-z]*' || die "an XDP program is still on $ENVIRONMENT"
    taskset -c $SERVER_CORE nginx -p "$SCRATCH" -c "$SCRATCH/nginx.conf" -e stderr &
    SERVER_PID=$!
    local deadline=$((SECONDS + READY_TIMEOUT_S))
    until inside curl -s --noproxy '*' --max-time 1 -o /dev/null "$URL"; do
        kill -0 "$SERVER_PID" 2>/dev/null || die "nginx ended before it was ready"
        (( SECONDS < deadline )) || die "nginx isn't ready after $READY_TIMEOUT_S s"
        sleep 0.1
    done
}

start_xdphttpd() {
    # --cores pins the workers; taskset keeps every other thread off the client's core.
    # shellcheck disable=SC2086 # XDPHTTPD_ARGS is a list of words
    taskset -c $SERVER_CORE "$BIN" -d "$ENVIRONMENT" --root "$SCRATCH/www" --cores $SERVER_CORE ${XDPHTTPD_ARGS:-} >"$SCRATCH/xdphttpd.log" &
    SERVER_PID=$!
    wait_ready "$SERVER_PID" "$SCRATCH/xdphttpd.log" || die "see what xdphttpd said above"
    head -1 "$SCRATCH/xdphttpd.log" >"$SCRATCH/xdphttpd.ready"
}

stop_server() {
    stop "$SERVER_PID"
    wait "$SERVER_PID" || die "the server ended with status $?"
    SERVER_PID=
}

# --- one run -----------------------------------------------------------------

check_body() {
    local sum
    sum=$(inside curl -sS --fail --noproxy '*' --max-time 5 "$URL" | sha256sum)
    [[ $sum == "$(sha256sum <"$SCRATCH/www/small.bin")" ]] || die "$1 sent a body that isn't the file"
}

load() { inside timeout $((${1} + 20)) taskset -c $CLIENT_CORE wrk -t1 -c$CONNECTIONS -d "${1}s" "$URL"; }

# measure SERVER: appends "SERVER requests/s µs/request" to the results.
measure() {
    local server=$1 started idle busy_us requests rate cpu_us
    "start_$server"
    check_body "$server"
    load 1 >/dev/null
    started=$(wall_us) idle=$(idle_us $SERVER_CORE)
    load "$RUN_S" >"$SCRATCH/wrk.out"
    busy_us=$(( $(wall_us) - started - ($(idle_us $SERVER_CORE) - idle) ))
    stop_server
    if grep -qE 'Socket errors|Non-2xx' "$SCRATCH/wrk.out"; then
        cat "$SCRATCH/wrk.out" >&2
        die "$server: wrk saw errors, so the run doesn't count"
    fi
    requests=$(awk '/requests in/ { print $1 }' "$SCRATCH/wrk.out")
    rate=$(awk '/^Requests\/sec:/ { print $2 }' "$SCRATCH/wrk.out")
    (( ${requests:-0} > 0 )) || die "$server answered no request"
    cpu_us=$(awk -v busy_us="$busy_us" -v n="$requests" 'BEGIN { printf "%.3f", busy_us / n }')
    printf '%s %s %s\n' "$server" "$rate" "$cpu_us" >>"$SCRATCH/results"
    echo "  $server: $rate requests/s, $cpu_us µs of the server core a request"
}

# --- the report --------------------------------------------------------------

report() {
    echo "# $BODY_BYTES bytes over $CONNECTIONS keep-alive connections"
    echo
    echo "- $(date -u '+%Y-%m-%d %H:%M UTC'), Linux $(uname -r), $(cpu_model), $(nproc) cores"
    echo "- server on core $SERVER_CORE, wrk (1 thread, $RUN_S s a run) on core $CLIENT_CORE, one veth, MTU 1500"
    echo "- $(nginx -v 2>&1 | sed 's/nginx version: //'), $(sysctl -n net.ipv4.tcp_congestion_control), sendfile $NGINX_SENDFILE, tx offloads on, no XDP"
    if [[ -r $SCRATCH/xdphttpd.ready ]]; then
        echo "- xdphttpd --cores $SERVER_CORE${XDPHTTPD_ARGS:+ $XDPHTTPD_ARGS}: $(sed "s/^$READY//" "$SCRATCH/xdphttpd.ready")"
    fi
    echo "- CPU: the server core's time that was neither idle, iowait nor steal, by request"
    echo
    python3 - "$SCRATCH/results" <<'PYTHON'
import sys
from statistics import median

runs = {"nginx": [], "xdphttpd": []}
for line in open(sys.argv[1]):
    server, rate, cpu_us = line.split()
    runs[server].append((float(rate), float(cpu_us)))
present = [name for name in runs if runs[name]]
pairs = list(zip(runs["nginx"], runs["xdphttpd"]))


def ratio(column):
    return [ours[column] / theirs[column] if theirs[column] else float("nan") for theirs, ours in pairs]


def row(*cells):
    print("| " + " | ".join(cells) + " |")


head = ["pair"]
for name in present:
    head += [f"{name} req/s", f"{name} CPU µs/req"]
if pairs:
    head += ["req/s ratio", "CPU ratio"]
row(*head)
row(*["---"] + ["---:"] * (len(head) - 1))

columns = []
for name in present:
    columns += [([run[0] for run in runs[name]], "{:,.0f}"), ([run[1] for run in runs[name]], "{:.2f}")]
if pairs:
    columns += [(ratio(0), "{:.2f}"), (ratio(1), "{:.2f}")]
for pair in range(len(columns[0][0])):
    row(str(pair + 1), *(form.format(values[pair]) for values, form in columns))
row("**median**", *(f"**{form.format(median(values))}**" for values, form in columns))
row("min–max", *(f"{form.format(min(values))}–{form.format(max(values))}" for values, form in columns))
PYTHON
}

# --- all of it ---------------------------------------------------------------

parse() {
    local argument
    for argument in "$@"; do
        case $argument in
            --pairs=*) PAIRS=${argument#*=} ;;
            --seconds=*) RUN_S=${argument#*=} ;;
            --only=nginx | --only=xdphttpd) SERVERS=("${argument#*=}") ;;
            *) die "unknown argument '$argument'; usage: $0 [--pairs=N] [--seconds=N] [--only=nginx|xdphttpd]" ;;
        esac
    done
    [[ $PAIRS =~ ^[1-9][0-9]?$ ]] || die "--pairs=$PAIRS: a number from 1 to 99 is needed"
    [[ $NGINX_SENDFILE =~ ^(on|off)$ ]] || die "NGINX_SENDFILE=$NGINX_SENDFILE: on or off is needed"
    [[ $RUN_S =~ ^[1-9][0-9]?$ ]] || die "--seconds=$RUN_S: a number from 1 to 99 is needed"
}

prepare() {
    "$REPO/scripts/install.sh" --bench
    if [[ " ${SERVERS[*]} " == *" xdphttpd "* ]]; then
        find_cargo
        cargo_build build --release --locked
        [[ -x $BIN ]] || die "the build made no $BIN"
    fi
    (( $(nproc) >= 2 )) || die "needs two cores: one for the server, one for wrk"
    ! "$TESTENV" vars --name="$ENVIRONMENT" &>/dev/null ||
        die "environment $ENVIRONMENT is in use; if no other bench runs: $TESTENV teardown --name=$ENVIRONMENT"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    LAB_IS_OURS=1
    "$TESTENV" setup --name="$ENVIRONMENT"
    ADDRESS=$(testenv_var "$ENVIRONMENT" outer_ip4)
    URL=http://$ADDRESS/small.bin
    SCRATCH=$(mktemp -d)
    mkdir "$SCRATCH/www"
    head -c $BODY_BYTES /dev/urandom >"$SCRATCH/www/small.bin"
    write_nginx_conf
}

main() {
    parse "$@"
    require_root
    prepare
    local pair server
    for (( pair = 1; pair <= PAIRS; pair++ )); do
        step "pair $pair of $PAIRS"
        for server in "${SERVERS[@]}"; do measure "$server"; done
        # The other one goes first next time, so that drift favours neither.
        if (( ${#SERVERS[@]} == 2 )); then SERVERS=("${SERVERS[1]}" "${SERVERS[0]}"); fi
    done
    step "result"
    mkdir -p "${REPORT%/*}"
    report | tee "$REPORT"
}

main "$@"
