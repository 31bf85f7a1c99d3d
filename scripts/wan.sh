#!/usr/bin/env bash
# xdphttpd and nginx, that is the kernel's TCP, on bad paths: the same lab, the
# same files and the same congestion control, in turn by repetition. Every
# download is compared with its file.
#
# usage: sudo scripts/wan.sh CASE [--reps=N] [--seed=N] [--ours='OPTIONS'] [--seconds=N]
#   veth      a bare veth, 5 % loss both ways: three downloads of 20 MB at a time
#   gigabyte  1 GiB through loss, reordering, duplicates and flipped bits; ours only
#   loss      20 ms round trip, 1 % loss both ways: 3 MB and 30 MB
#   clean     50 ms round trip, 100 Mbit/s: 14 kB, 100 kB, 10 MB and 100 MB
#   long      200 ms round trip, 0.1 % loss: 10 MB, small files, repairs in vain
#   reorder   20 ms round trip, 30 % of the frames late by up to 2 ms: 30 MB
#   fair      two downloads from each server at a time through 50 Mbit/s
#   all       these in this order
#
#   --reps     repetitions, of both servers each (5; gigabyte: 1)
#   --seed     the relay's random choices follow from this (1)
#   --ours     further options for xdphttpd
#   --seconds  fair: how long (30)
#   WAN_LAB    from the environment: the lab's name, wa0 if unset
# The tables go to stdout and to target/bench/wan-CASE.md. The exit code is 1 if
# a download failed, or wasn't its file, in whatever case; targets that are
# missed are in the table.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=scripts/wan/lab.sh
. "$REPO/scripts/wan/lab.sh"
# shellcheck source=scripts/wan/servers.sh
. "$REPO/scripts/wan/servers.sh"
# shellcheck source=scripts/wan/downloads.sh
. "$REPO/scripts/wan/downloads.sh"
# shellcheck source=scripts/wan/cases.sh
. "$REPO/scripts/wan/cases.sh"

readonly CASES=(veth gigabyte loss clean long reorder fair)
CHILD=

usage() { sed -n 's/^# \{0,1\}//; /^usage:/,/^The tables/p' "${BASH_SOURCE[0]}" | sed '/^The tables/d'; }

# number OPTION VALUE HIGHEST: VALUE, if it is one from 1 on.
number() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || (( $2 > $3 )); then
        die "$1=$2: a number from 1 to $3 is needed"
    fi
    echo "$2"
}

# shellcheck disable=SC2034 # the cases use what is set here
parse() {
    local argument option value
    for argument in "$@"; do
        option=${argument%%=*} value=${argument#*=}
        case $argument in
            --reps=*) REPS=$(number "$option" "$value" 99) ;;
            --seed=*) SEED=$(number "$option" "$value" 999999999) ;;
            --seconds=*) FAIR_S=$(number "$option" "$value" 600) ;;
            --ours=*) read -ra OURS_OPTIONS <<<"$value" ;;
            *) die "unknown argument '$argument'; $(usage)" ;;
        esac
    done
}

# Each case in a process of its own, so that one that dies leaves the others.
run_all() {
    local one code=0
    trap 'stop_child; exit 130' INT
    trap 'stop_child; exit 143' TERM HUP
    for one in "${CASES[@]}"; do
        "$0" "$one" "$@" &
        CHILD=$!
        wait "$CHILD" || { echo "wan.sh: case $one ended with status $?" >&2; code=1; }
        CHILD=
    done
    exit "$code"
}

# It takes its lab down itself, and is waited for.
stop_child() {
    [[ -n $CHILD ]] || return 0
    kill -TERM "$CHILD" 2>/dev/null || true
    wait "$CHILD" || true
}

main() {
    local one=${1:-} report
    if [[ " ${CASES[*]} all " != *" $one "* || -z $one ]]; then
        usage >&2
        exit 2
    fi
    shift
    parse "$@"
    require_root
    if [[ $one == all ]]; then run_all "$@"; fi
    prepare
    "case_$one"
    step "result"
    report=$REPO/target/bench/wan-$one.md
    mkdir -p "${report%/*}"
    write_report "$one" | tee "$report"
    (( FAILED == 0 )) || die "$FAILED of the downloads failed or weren't their file"
}

main "$@"
