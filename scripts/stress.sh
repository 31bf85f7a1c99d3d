#!/usr/bin/env bash
# What the server bears, each figure from a lab of its own: the server has core
# 0, all clients, in the namespace, core 1.
#
# usage: sudo scripts/stress.sh idle  [--connections=N] [--sources=N] [--rounds=N] [--seconds=N]
#        sudo scripts/stress.sh flood [--connections=N] [--seconds=N]
#        sudo scripts/stress.sh slow  [--connections=N] [--sources=N] [--seconds=N]
#        sudo scripts/stress.sh soak  [--connections=N] [--sources=N] [--seconds=N]
#
#   idle   requests/s of 64 busy connections and the server's memory, without
#          and with a crowd (100,000) of idle ones, which must all answer in the end
#   flood  500 downloads at a time while SYNs come as fast as they can
#   slow   a request every 200 ms while a crowd drips heads (5,000) and another
#          reads no answers (5,000)
#   soak   every kind of request without pause, every body compared; memory by
#          the second, and the connections counted in the end
#
#   XDPHTTPD_ARGS   further options for xdphttpd, such as --max-connections N
#   STRESS_LAB      the lab's name, stress0 if unset
#   FLOOD_RATE      flood: SYNs a second at most
# The table goes to stdout and to target/bench/stress-*.md.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=scripts/stress/lab.sh
. "$REPO/scripts/stress/lab.sh"

usage() { sed -n 's/^# \{0,1\}//; /^usage:/,/^$/p' "${BASH_SOURCE[0]}" | sed '/^$/d'; }

# number OPTION VALUE LOWEST HIGHEST: VALUE, if it is one.
number() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || (( $2 < $3 || $2 > $4 )); then
        die "$1=$2: a number from $3 to $4 is needed"
    fi
    echo "$2"
}

# shellcheck disable=SC2034 # the figures use what is set here
parse() {
    local argument option value
    for argument in "$@"; do
        option=${argument%%=*} value=${argument#*=}
        case $option in
            --connections) CONNECTIONS=$(number "$option" "$value" 1 1000000) ;;
            # The lab's network has 254 hosts, two of them its ends.
            --sources) SOURCES=$(number "$option" "$value" 1 252) ;;
            --rounds) ROUNDS=$(number "$option" "$value" 1 99) ;;
            --seconds) RUN_S=$(number "$option" "$value" 1 86400) ;;
            *) die "unknown argument '$argument'; $(usage)" ;;
        esac
    done
}

main() {
    local figure=${1:-}
    case $figure in
        idle | flood | slow | soak) shift ;;
        *) usage >&2; exit 2 ;;
    esac
    # shellcheck disable=SC1090 # one of the four
    . "$REPO/scripts/stress/$figure.sh"
    parse "$@"
    require_root
    prepare
    "make_files_$figure"
    "run_$figure"
    step "result"
    mkdir -p "$REPO/target/bench"
    "report_$figure" | tee "$REPO/target/bench/stress-$figure.md"
}

main "$@"
