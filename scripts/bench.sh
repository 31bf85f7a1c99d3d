#!/usr/bin/env bash
# nginx, h2o, lighttpd and xdphttpd in turn, on one veth and the same cores, and
# what bare frames over that veth could do at most. The server has core 0, its
# clients in the namespace have core 1.
#
# usage: sudo scripts/bench.sh [--classes=LIST] [--servers=LIST] [--pairs=N] [--seconds=N] [--mtus=LIST]
#   a   1 KiB, 64 keep-alive connections
#   b   1 KiB, 1,000 keep-alive connections
#   c   1 KiB, a connection for each request, 64 at a time
#   d   100 KiB, 16 keep-alive connections, at every MTU
#   e   10 MiB, 8 keep-alive connections, at every MTU
#   f   1 KiB at a fixed 20,000 requests/s: latency from when each was due
#   g   1 KiB, 64 keep-alive connections beside 10,000 idle ones
#
#   --classes   those to measure (a,b,c,d,e,f,g)
#   --servers   in turn, the order another in each round (nginx,h2o,lighttpd,xdphttpd,raw);
#               raw are the bare frames
#   --pairs     rounds, each of which has every server once (5)
#   --seconds   of one run, after one of warming up (5)
#   --mtus      of d and e (1500,9000,largest); one that xdphttpd refuses is shown so
#
#   PAIRS, SECONDS_PER_RUN   the same from the environment
#   XDPHTTPD_ARGS            further options for xdphttpd
#   NGINX_SENDFILE           on or off; without it the faster one, for (d) and (e) by trial
#   BENCH_LAB                the lab's name, bench0 if unset
# The table goes to stdout and to target/bench/bench.md, a plot and all figures
# beside it; with --classes they are bench-CLASSES.*. A server whose body isn't
# the file, before or after its run, ends the bench.
# The quick one: scripts/bench.sh --classes=a --servers=nginx,xdphttpd
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=scripts/bench/classes.sh
. "$REPO/scripts/bench/classes.sh"
# shellcheck source=scripts/bench/lab.sh
. "$REPO/scripts/bench/lab.sh"
# shellcheck source=scripts/bench/servers.sh
. "$REPO/scripts/bench/servers.sh"
# shellcheck source=scripts/bench/measure.sh
. "$REPO/scripts/bench/measure.sh"
# shellcheck source=scripts/bench/raw.sh
. "$REPO/scripts/bench/raw.sh"

readonly ALL_SERVERS=(nginx h2o lighttpd xdphttpd raw)
CLASSES=("${ALL_CLASSES[@]}")
SERVERS=("${ALL_SERVERS[@]}")
MTUS=(1500 9000 largest)
PAIRS=${PAIRS:-5}
RUN_S=${SECONDS_PER_RUN:-5}
SENDFILES=                                 # what was chosen for nginx, for the report
REPORT=$REPO/target/bench/bench             # with an ending each

usage() { sed -n 's/^# \{0,1\}//; /^usage:/,/^The table/p' "${BASH_SOURCE[0]}" | sed '/^The table/d'; }

parse() {
    local argument value mtu
    for argument in "$@"; do
        value=${argument#*=}
        case $argument in
            --classes=*) CLASSES=() ; read -ra CLASSES <<<"${value//,/ }"; REPORT+=-${value//,/} ;;
            --servers=*) read -ra SERVERS <<<"${value//,/ }" ;;
            --mtus=*) read -ra MTUS <<<"${value//,/ }" ;;
            --pairs=*) PAIRS=$value ;;
            --seconds=*) RUN_S=$value ;;
            --help) usage; exit 0 ;;
            *) die "unknown argument '$argument'; $(usage)" ;;
        esac
    done
    all_of --classes "${ALL_CLASSES[*]}" "${CLASSES[@]}"
    all_of --servers "${ALL_SERVERS[*]}" "${SERVERS[@]}"
    for mtu in "${MTUS[@]}"; do
        [[ $mtu == largest || $mtu =~ ^[1-9][0-9]{2,4}$ ]] || die "--mtus: $mtu is neither an MTU nor 'largest'"
    done
    [[ $PAIRS =~ ^[1-9][0-9]?$ ]] || die "--pairs=$PAIRS: a number from 1 to 99 is needed"
    [[ $RUN_S =~ ^[1-9][0-9]?$ ]] || die "--seconds=$RUN_S: a number from 1 to 99 is needed"
    [[ ${NGINX_SENDFILE:-on} =~ ^(on|off)$ ]] || die "NGINX_SENDFILE=$NGINX_SENDFILE: on or off is needed"
}

# all_of OPTION KNOWN WORD...: dies unless there are words and all are known.
all_of() {
    local option=$1 known=$2 word
    shift 2
    (( $# )) || die "$option: which ones?"
    for word in "$@"; do
        [[ " $known " == *" $word "* ]] || die "$option: '$word' is none of $known"
    done
}

# measure_class CLASS MTU: all rounds of it.
measure_class() {
    local round server order=("${SERVERS[@]}")
    describe "$1"
    set_mtu "$2"
    if [[ " ${SERVERS[*]} " == *" nginx "* ]]; then
        step "($1) $TITLE, MTU $2"
        choose_sendfile
        SENDFILES+=" $1/$2 $SENDFILE,"
    fi
    for (( round = 1; round <= PAIRS; round++ )); do
        step "($1) MTU $2, round $round of $PAIRS"
        for server in "${order[@]}"; do
            if [[ $server != raw ]]; then
                measure "$1" "$2" "$round" "$server"
            elif [[ $RAW != none ]]; then
                measure_raw "$1" "$2" "$round"
            fi
        done
        # Another one goes first next time, so that drift favours none.
        order=("${order[@]:1}" "${order[0]}")
    done
}

measure_all() {
    local class mtu
    for class in "${CLASSES[@]}"; do
        for mtu in $(mtus_of "$class"); do
            if [[ $mtu == largest ]]; then
                find_largest_mtu
                mtu=$LARGEST_MTU
                # Already measured under its number.
                [[ " ${MTUS[*]} " != *" $mtu "* ]] || continue
            fi
            measure_class "$class" "$mtu"
        done
    done
}

# What a reader has to know of the run, above the tables.
head_of_report() {
    local server
    echo "# The bench: ${SERVERS[*]}"
    echo
    echo "- $(date -u '+%Y-%m-%d %H:%M UTC'), Linux $(uname -r), $(cpu_model), $(nproc --all) cores"
    echo "- server on core $SERVER_CORE, clients on core $CLIENT_CORE, one veth, $PAIRS rounds of $RUN_S s for each, in turn; medians (min–max)"
    for server in "${SERVERS[@]}"; do
        if [[ $server != raw ]]; then echo "- $(version_of "$server")"; fi
    done
    echo "- the kernel's servers: $(sysctl -n net.ipv4.tcp_congestion_control), offloads on, no XDP on the device"
    echo "- MB/s are of bodies; CPU is the server core's time that was neither idle nor the hypervisor's, by request; latency from wrk, of (f) from when a request was due"
    echo "- every server's bodies were compared with the files before and after each run"
    echo
}

# version_of SERVER: and what is particular to it in this run.
version_of() {
    case $1 in
        nginx) echo "$(nginx -v 2>&1 | sed 's/nginx version: //'), sendfile by class and MTU:${SENDFILES%,}" ;;
        h2o) h2o --version | sed -n '1s/ version /\//p' ;;
        lighttpd) echo "$(lighttpd -v | sed -n '1s/ .*//p'); (g) beside $LIGHTTPD_IDLE_CONNECTIONS, the most it takes with this limit of open files" ;;
        xdphttpd) echo "xdphttpd --cores $SERVER_CORE${XDPHTTPD_ARGS:+ $XDPHTTPD_ARGS}: $(sed "s/^$READY//; s/, root .*//" "$SCRATCH/xdphttpd.ready")" ;;
    esac
}

main() {
    parse "$@"
    require_root
    prepare
    measure_all
    touch "$SCRATCH/xdphttpd.ready"         # if it took no link of them all
    step "result"
    mkdir -p "${REPORT%/*}"
    cp "$SCRATCH/results" "$REPORT.tsv"
    { head_of_report; python3 -B "$REPO/scripts/bench/report.py" "$REPORT.tsv"; } | tee "$REPORT.md"
    python3 -B "$REPO/scripts/bench/plot.py" "$REPORT.tsv" >"$REPORT.svg"
    echo
    echo "also: $REPORT.svg, $REPORT.tsv"
}

main "$@"
