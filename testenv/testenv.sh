#!/usr/bin/env bash
# A lab for xdphttpd: a veth pair whose outer end stays here and whose inner
# end lives in a network namespace; between them, if asked for, a long path.
# See README.md beside this file.
set -euo pipefail

SCRIPT=$(readlink -f "${BASH_SOURCE[0]}")
readonly SCRIPT
readonly STATE_DIR=/run/xdphttpd-testenv   # one file an environment, and `current`
readonly DEFAULT_NAME=veth0
readonly INNER=veth0                       # the inner end's name in every namespace
readonly SETTLE_TRIES=5                    # pings of at most 1 s each before setup gives up

NAME=      # the environment: also the outer device's and the namespace's name
NUMBER=    # N of 10.11.N.0/24 and fd00:11:N::/64
QUEUES=    # RX and TX queues of both ends
MTU=       # bytes, of both ends

# shellcheck source=testenv/wan.sh
. "${SCRIPT%/*}/wan.sh"

usage() {
    cat <<USAGE
Usage: ${0##*/} [--name=NAME] COMMAND [OPTIONS] [ARGUMENTS]

Commands:
  setup [OPTIONS]         make the environment (1 queue, MTU 1500), unless it is there
  reset [OPTIONS]         make it anew; what isn't given stays as it was
  teardown                remove it
  status                  list all environments
  exec [--] COMMAND...    run COMMAND inside; its exit code is passed on
  enter                   start a shell inside
  ping [ARGUMENTS...]     ping the outer end from inside
  tcpdump [ARGUMENTS...]  watch the inner end
  stats                   counters of both ends, and of the relay
  vars                    the environment as name=value lines, for scripts
  alias                   print the alias t: eval \$(${0##*/} alias)
  help                    this text

Options of setup and reset, as --mtu=3000 or --mtu 3000:
  --queues=N              queues of both ends
  --mtu=BYTES             of both ends
A long path between them, in each direction; 0 takes an option back:
  --delay=TIME            time on the way, such as 25ms: half the round trip
  --jitter=TIME           up to so much more, in order all the same
  --loss=SHARE            frames that vanish, such as 1%
  --reorder=SHARE[:TIME]  frames that are held back, by up to TIME (2ms)
  --duplicate=SHARE       frames that arrive twice
  --corrupt=SHARE         frames of which a bit is flipped
  --rate=RATE             bits a second, such as 100mbit
  --queue=TIME|BYTES      what waits for the rate before more is dropped (100ms)
  --seed=N                the random choices follow from this (1)
A router between them, with a network on either side:
  --path-mtu=BYTES        drops what is larger, and says so by ICMP
  --black-hole            doesn't say so

NAME names the environment, its outer device and its namespace. Without --name
the commands mean the environment set up last, or $DEFAULT_NAME.
USAGE
}

die() { echo "testenv: $*" >&2; exit 1; }
note() { echo "testenv: $*" >&2; }

# need TOOL PACKAGE: fails unless TOOL is there.
need() {
    command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"
}

check_prerequisites() {
    [[ $EUID -eq 0 ]] || die "needs root: sudo $SCRIPT $COMMAND"
    need ip iproute2
    need ping iputils-ping
    need ethtool ethtool
    need flock util-linux
    mkdir -p "$STATE_DIR"
}

# Changes to the set of environments happen one at a time.
lock() {
    exec {LOCK_FD}>"$STATE_DIR/.lock"
    flock --timeout 60 "$LOCK_FD" || die "another testenv.sh holds $STATE_DIR/.lock"
}

# --- names, addresses, state -------------------------------------------------

check_name() {
    # 15 bytes is the kernel's limit for a device name (IFNAMSIZ - 1).
    [[ $1 =~ ^[A-Za-z][A-Za-z0-9_-]{0,14}$ && ! $1 =~ ^(lo|all|default|current)$ ]] ||
        die "--name=$1: a device name of 1 to 15 letters, digits, - or _ is needed"
}

# check_number OPTION VALUE LOWEST HIGHEST
check_number() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || (( $2 < $3 || $2 > $4 )); then
        die "$1=$2: a number from $3 to $4 is needed"
    fi
}

state_file() { echo "$STATE_DIR/$1.env"; }

select_name() {
    if [[ -z $NAME && -r $STATE_DIR/current ]]; then
        NAME=$(<"$STATE_DIR/current")
    fi
    NAME=${NAME:-$DEFAULT_NAME}
    check_name "$NAME"
}

# Reads NAME's state into NUMBER, QUEUES, MTU and WAN; false if there is none.
read_state() {
    local file key value
    WAN=()
    file=$(state_file "$NAME")
    [[ -r $file ]] || return 1
    while IFS='=' read -r key value; do
        case $key in
            number) NUMBER=$value ;;
            queues) QUEUES=$value ;;
            mtu) MTU=$value ;;
            *) [[ -z $key ]] || WAN[$key]=$value ;;
        esac
    done <"$file"
}

write_state() {
    printf '%s\n' "number=$NUMBER" "queues=$QUEUES" "mtu=$MTU" >"$(state_file "$NAME")"
    wan_lines >>"$(state_file "$NAME")"
}

require_environment() {
    read_state || die "there is no environment $NAME: set it up with: $SCRIPT setup --name=$NAME"
    is_whole || die "environment $NAME is broken (device or namespace is gone): $SCRIPT reset --name=$NAME"
    relay_is_well || note "the relay of $NAME has ended, so nothing passes: $SCRIPT reset --name=$NAME"
}

has_namespace() { [[ -e /run/netns/$1 ]]; }
has_device() { ip link show dev "$1" &>/dev/null; }
is_whole() {
    local hop
    has_device "$NAME" && has_namespace "$NAME" && ip -n "$NAME" link show dev "$INNER" &>/dev/null || return
    for hop in $(hops); do has_namespace "$hop" || return; done
}

# Addresses by host: 1 is the outer end, 2 the inner.
ip4() { echo "10.$(side "$1").$NUMBER.$1"; }
ip6() { echo "fd00:$(side "$1"):$NUMBER::$1"; }
network4() { echo "10.$(side "$1").$NUMBER.0/24"; }
network6() { echo "fd00:$(side "$1"):$NUMBER::/64"; }
side() { if has_router && [[ $1 == 2 || $1 == 253 ]]; then echo 12; else echo 11; fi; }
has_ip6() { [[ -d /proc/sys/net/ipv6 ]]; }

# Sets NUMBER to the lowest one that no environment and no route here uses.
allocate_number() {
    local used
    used=$(sed -n 's/^number=//p' "$STATE_DIR"/*.env 2>/dev/null || true)
    for NUMBER in {1..254}; do
        grep -qx "$NUMBER" <<<"$used" && continue
        is_unused "$(network4 1)" && is_unused "$(network4 2)" && return
    done
    die "no free network left in 10.11.0.0/16"
}

is_unused() { [[ -z $(ip -4 addr show to "$1"; ip -4 route show root "$1") ]]; }

# --- setup and teardown ------------------------------------------------------

# within NAMESPACE COMMAND...: runs it there, or here if NAMESPACE is empty.
within() {
    local namespace=$1
    shift
    if [[ -n $namespace ]]; then ip netns exec "$namespace" "$@"; else "$@"; fi
}

# at outer|inner COMMAND...: runs it where that end lives.
at() {
    local end=$1
    shift
    if [[ $end == inner ]]; then within "$NAME" "$@"; else "$@"; fi
}

device() { if [[ $1 == inner ]]; then echo "$INNER"; else echo "$NAME"; fi; }

# link NAMESPACE DEVICE PEER-NAMESPACE PEER: a veth pair between the two.
link() {
    within "$1" ip link add dev "$2" mtu "$MTU" numtxqueues "$QUEUES" numrxqueues "$QUEUES" type veth \
        peer name "$4" mtu "$MTU" numtxqueues "$QUEUES" numrxqueues "$QUEUES" netns "$3"
}

# configure_end NAMESPACE DEVICE HOST: addresses and link state of one end.
configure_end() {
    local namespace=$1 dev=$2 host=$3 setting
    if has_ip6; then
        # No duplicate address detection and no router traffic: addresses work
        # at once and captures show only what the test sends.
        for setting in disable_ipv6 accept_dad accept_ra router_solicitations; do
            within "$namespace" sh -c "echo 0 >/proc/sys/net/ipv6/conf/$dev/$setting"
        done
    fi
    within "$namespace" ip addr add "$(ip4 "$host")/24" dev "$dev"
    within "$namespace" ip link set dev "$dev" up
    if has_ip6; then
        within "$namespace" ip addr add "$(ip6 "$host")/64" dev "$dev" nodad
    fi
}

make_environment() {
    local namespace='' dev=$NAME hop
    ip netns add "$NAME"
    for hop in $(hops); do
        ip netns add "$hop"
        link "$namespace" "$dev" "$hop" outer
        namespace=$hop dev=inner
    done
    link "$namespace" "$dev" "$NAME" "$INNER"
    ip -n "$NAME" link set dev lo up
    configure_end '' "$NAME" 1
    configure_end "$NAME" "$INNER" 2
    if has_router; then configure_router; fi
    if has_relay; then
        make_frames_plain
        configure_relay
        start_relay             # a plain wire so far, for the checks
    fi
    check_reach
    if has_relay; then begin_impairments; fi
}

check_reach() {
    wait_for_ping outer "$(ip4 2)"
    wait_for_ping inner "$(ip4 1)"
    if has_ip6; then
        wait_for_ping outer "$(ip6 2)"
        wait_for_ping inner "$(ip6 1)"
    else
        note "this kernel has no IPv6: environment $NAME has IPv4 only"
    fi
}

# wait_for_ping outer|inner ADDRESS
wait_for_ping() {
    local try
    for (( try = 0; try < SETTLE_TRIES; try++ )); do
        at "$1" ping -n -q -c 1 -W 1 "$2" &>/dev/null && return
        sleep 0.1
    done
    note "$2 doesn't answer ping from the $1 end: is a firewall in the way?"
    return 1
}

# Removes whatever there is of NAME and forgets it.
remove_environment() {
    local namespace
    stop_relay
    if has_device "$NAME"; then ip link del dev "$NAME"; fi
    for namespace in $(hops) "$NAME"; do
        if has_namespace "$namespace"; then ip netns del "$namespace"; fi
    done
    rm -f "$(relay_log)" "$(state_file "$NAME")"
    if [[ -r $STATE_DIR/current && $(<"$STATE_DIR/current") == "$NAME" ]]; then
        rm -f "$STATE_DIR/current"
    fi
}

undo_setup() {
    set +e
    note "setup of $NAME failed: removing what was made of it"
    remove_environment
}

cmd_setup() {
    local queues=${QUEUES:-1} mtu=${MTU:-1500} wanted
    wanted=$(want "$queues" "$mtu"; options)
    lock
    if read_state; then
        if ! is_whole || ! relay_is_well; then
            note "environment $NAME was incomplete: making it anew"
            remove_environment
        elif [[ $wanted == "$(options)" ]]; then
            echo "$NAME" >"$STATE_DIR/current"
            echo "Environment $NAME is already there: $(describe)"
            return
        else
            die "environment $NAME exists with $(shape); to change it: $SCRIPT reset --name=$NAME $wanted"
        fi
        WAN=()
    fi
    want "$queues" "$mtu"
    create
}

# want QUEUES MTU: the shape to make: these, and what is given for the path.
want() {
    QUEUES=$1 MTU=$2
    merge_wan
}

# Makes NAME of the shape in QUEUES, MTU and WAN, all or nothing.
create() {
    local namespace
    # What has no state file isn't ours, so it is never removed.
    has_device "$NAME" && die "a device named $NAME exists and isn't an environment: choose another --name"
    for namespace in "$NAME" $(hops); do
        has_namespace "$namespace" && die "a namespace named $namespace exists and isn't an environment: choose another --name"
    done
    [[ -n $NUMBER ]] || allocate_number
    trap undo_setup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    write_state                 # first, so that even after kill -9 teardown knows what is ours
    make_environment
    echo "$NAME" >"$STATE_DIR/current"
    trap - EXIT INT TERM HUP
    echo "Environment $NAME is ready: $(describe)"
}

cmd_teardown() {
    lock
    if ! read_state; then
        echo "Environment $NAME doesn't exist: nothing to do"
        return
    fi
    local pids=
    if has_namespace "$NAME"; then pids=$(ip netns pids "$NAME" | xargs); fi
    [[ -z $pids ]] || note "still running in $NAME, now without its network: process $pids"
    remove_environment
    echo "Environment $NAME is removed"
}

cmd_reset() {
    local queues=$QUEUES mtu=$MTU has_state=
    lock
    if read_state; then has_state=1; fi
    queues=${queues:-${QUEUES:-1}} mtu=${mtu:-${MTU:-1500}}
    (want "$queues" "$mtu")     # a mistake is found before anything is gone
    [[ -z $has_state ]] || remove_environment
    want "$queues" "$mtu"
    create
}

# --- looking at it -----------------------------------------------------------

shape() {
    local path
    path=$(wan_options "${WAN_OPTIONS[@]}")
    echo "$QUEUES queue$([[ $QUEUES == 1 ]] || echo s), MTU $MTU${path:+, $path}"
}

# The shape as options.
options() {
    local path
    path=$(wan_options "${WAN_OPTIONS[@]}")
    echo "--queues=$QUEUES --mtu=$MTU${path:+ $path}"
}

describe() {
    echo "$NAME $(ip4 1) here, $INNER $(ip4 2) in namespace $NAME, $(shape)"
}

# Reads ip -d link and says, for instance, "native (xdp_sock_prog, id 12)" or "none":
# the mode is a word of the first line, the program has a line of its own.
xdp_summary() {
    awk 'BEGIN { mode["xdp"] = "native"; mode["xdpgeneric"] = "generic"; mode["xdpoffload"] = "offloaded" }
         NR == 1 { for (i = 1; i <= NF; i++) if ($i in mode) found = mode[$i] }
         $1 == "prog/xdp" { program = $5 ", id " $3 }
         END { if (found) print found " (" program ")"; else print "none" }'
}

# link_line outer|inner: addresses, MTU, queues and XDP as the kernel has them.
link_line() {
    local end=$1 dev addresses mtu queues xdp
    dev=$(device "$end")
    addresses=$(at "$end" ip -o addr show dev "$dev" scope global | awk '{ printf "%s ", $4 }')
    mtu=$(at "$end" ip -o link show dev "$dev" | grep -o 'mtu [0-9]*')
    queues=$(at "$end" ethtool -l "$dev" | awk '/^RX:/ { current = $2 } END { print current }')
    xdp=$(at "$end" ip -d link show dev "$dev" | xdp_summary)
    printf '  %-6s %-6s %s %s, queues %s, xdp %s\n' "$end" "$dev" "$addresses" "$mtu" "$queues" "$xdp"
}

cmd_status() {
    local file current=none found=0
    [[ -r $STATE_DIR/current ]] && current=$(<"$STATE_DIR/current")
    for file in "$STATE_DIR"/*.env; do
        [[ -e $file ]] || continue
        NAME=$(basename "$file" .env)
        [[ -z $ONLY || $ONLY == "$NAME" ]] || continue
        found=1
        read_state
        echo "$NAME$([[ $NAME == "$current" ]] && echo ' (current)')"
        if is_whole; then
            link_line outer
            link_line inner
            if has_relay; then relay_line; fi
            if has_router; then echo "  router $(wan_options path-mtu black-hole)"; fi
        else
            echo "  broken: device or namespace is gone; reset or teardown helps"
        fi
    done
    (( found )) || echo "No environments${ONLY:+ named $ONLY}: make one with: $SCRIPT setup"
}

cmd_vars() {
    require_environment
    printf '%s\n' "name=$NAME" "queues=$QUEUES" "mtu=$MTU" \
        "outer_ip4=$(ip4 1)" "inner_ip4=$(ip4 2)" "outer_ip6=$(ip6 1)" "inner_ip6=$(ip6 2)"
    wan_lines
    if has_relay; then printf '%s\n' "relay_pid=$(relay_pid)" "relay_log=$(relay_log)"; fi
}

cmd_stats() {
    require_environment
    local end dev
    for end in outer inner; do
        dev=$(device "$end")
        echo "== $end end: $dev =="
        at "$end" ip -s link show dev "$dev"
        at "$end" ethtool -S "$dev"
    done
    if has_relay; then
        echo "== relay =="
        relay_stats
    fi
}

# --- working inside ----------------------------------------------------------

cmd_exec() {
    (( $# )) || die "exec: a command is needed, as in: $SCRIPT exec -- curl http://10.11.1.1/"
    require_environment
    exec ip netns exec "$NAME" "$@"
}

cmd_enter() { cmd_exec "${SHELL:-/bin/bash}"; }

cmd_ping() {
    require_environment
    # A later -c on ping's command line overrides the first.
    cmd_exec ping -c 3 "$@" "$(ip4 1)"
}

cmd_tcpdump() {
    need tcpdump tcpdump
    cmd_exec tcpdump -n -e -i "$INNER" "$@"
}

# --- command line ------------------------------------------------------------

cmd_alias() {
    local command
    command=$([[ $EUID -eq 0 ]] || printf 'sudo ')$(printf '%q' "$SCRIPT")
    printf 'alias t=%q\n' "$command"
}

# Options stand anywhere before the first word that isn't ours; what follows
# the command from there on (or from --) is its own.
parse() {
    COMMAND='' ARGS=()
    while (( $# )); do
        case ${1%%=*} in
            -- ) shift; break ;;
            -h | --help) COMMAND=help ;;
            --black-hole) [[ $1 != *=* ]] || die "$1: takes no value"; give black-hole yes ;;
            --name | --queues | --mtu | --delay | --jitter | --loss | --reorder | --duplicate | --corrupt | \
                --rate | --queue | --seed | --path-mtu)
                if [[ $1 == *=* ]]; then
                    set_option "${1%%=*}" "${1#*=}"
                else
                    (( $# > 1 )) || die "$1: a value is needed"
                    set_option "$1" "$2"
                    shift
                fi ;;
            *) [[ -z $COMMAND ]] || break; COMMAND=$1 ;;
        esac
        shift
    done
    ARGS=("$@")
}

set_option() {
    case $1 in
        --name) NAME=$2; check_name "$NAME" ;;
        --queues) QUEUES=$2; check_number --queues "$QUEUES" 1 4096 ;;
        # Below 1280 bytes a link can't carry IPv6 (RFC 8200 section 5).
        --mtu) MTU=$2; check_number --mtu "$MTU" 1280 65535 ;;
        *) give "${1#--}" "$2" ;;
    esac
}

main() {
    parse "$@"
    case $COMMAND in
        help) usage; exit ;;
        alias) cmd_alias; exit ;;
        '') usage >&2; exit 2 ;;
        setup | reset) ;;
        teardown | status | enter | exec | ping | tcpdump | stats | vars)
            [[ -z $QUEUES$MTU${!GIVEN[*]} ]] || die "all options but --name go with setup and reset only" ;;
        *) die "unknown command '$COMMAND'; ${0##*/} help lists them" ;;
    esac
    case $COMMAND in
        exec | ping | tcpdump) ;;
        *) (( ${#ARGS[@]} == 0 )) || die "$COMMAND: unexpected '${ARGS[0]}'" ;;
    esac
    check_prerequisites
    ONLY=$NAME                  # status lists every environment unless one was named
    select_name
    "cmd_$COMMAND" "${ARGS[@]}"
}

main "$@"
