# shellcheck shell=bash
# shellcheck disable=SC2153 # NAME, NUMBER, STATE_DIR are testenv.sh's
# What may lie between the two ends of an environment: a relay that treats
# frames as a long path would, and a router with a small MTU. Sourced by
# testenv.sh.

# Its own path, since the checkout may be built elsewhere.
RELAY=${XDPHTTPD_RELAY:-${SCRIPT%/testenv/*}/target/release/examples/relay}
readonly RELAY
readonly IMPAIRMENTS=(delay jitter loss reorder duplicate corrupt rate)  # each asks for the relay
readonly WAN_OPTIONS=("${IMPAIRMENTS[@]}" queue seed path-mtu black-hole)
readonly RELAY_TRIES=100                   # of 50 ms each, for it to start, report or end

declare -A GIVEN=()                        # what the command line says of the options above
declare -A WAN=()                          # what holds for the environment

# --- options -----------------------------------------------------------------

readonly NUMBER_RE='[0-9]{1,9}(\.[0-9]{1,9})?'
readonly TIME_RE="(0|$NUMBER_RE(us|ms|s))"
readonly SHARE_RE="(0|(100|[0-9]{1,2}(\.[0-9]{1,9})?)%)"

# expect OPTION VALUE PATTERN WHAT: fails unless VALUE has that form.
expect() { [[ $2 =~ ^$3$ ]] || die "--$1=$2: $4 is needed"; }

# give OPTION VALUE: takes an option of the command line, without its dashes.
give() {
    case $1 in
        delay | jitter) expect "$1" "$2" "$TIME_RE" "a time such as 25ms, 100us or 1.5s" ;;
        loss | duplicate | corrupt) expect "$1" "$2" "$SHARE_RE" "a share from 0% to 100%" ;;
        reorder) expect "$1" "$2" "$SHARE_RE(:$TIME_RE)?" "a share from 0% to 100%, and a time as in 30%:2ms," ;;
        rate) expect "$1" "$2" "(0|$NUMBER_RE(kbit|mbit|gbit))" "a rate such as 500kbit, 100mbit or 1gbit" ;;
        queue) expect "$1" "$2" "($TIME_RE|[0-9]{1,10}(B|KB|MB|KiB|MiB)?)" "a time such as 100ms or bytes such as 64KiB" ;;
        seed) expect "$1" "$2" '[0-9]{1,18}' "a number" ;;
        # IPv4 hosts take 576 bytes and more (RFC 791 section 3.2).
        path-mtu) [[ $2 == 0 ]] || check_number --path-mtu "$2" 576 65535 ;;
        black-hole) ;;
    esac
    GIVEN[$1]=$2
}

# any_of OPTIONS...: whether one of them holds.
any_of() {
    local option
    for option in "$@"; do [[ -z ${WAN[$option]:-} ]] || return 0; done
    return 1
}

# wan_options OPTIONS...: those that hold, as --delay=25ms and so on in one line.
wan_options() {
    local option words=()
    for option in "$@"; do
        case ${WAN[$option]:-} in
            '') ;;
            yes) words+=("--$option") ;;
            *) words+=("--$option=${WAN[$option]}") ;;
        esac
    done
    echo "${words[*]}"
}

# What holds, as lines of the state file.
wan_lines() {
    local option
    for option in "${WAN_OPTIONS[@]}"; do
        [[ -z ${WAN[$option]:-} ]] || echo "$option=${WAN[$option]}"
    done
}

# Adds what is given to what holds. A zero takes back.
merge_wan() {
    local option
    for option in "${!GIVEN[@]}"; do
        if [[ ${GIVEN[$option]} =~ ^0+(\.0+)?(us|ms|s|%|kbit|mbit|gbit)?(:.*)?$ && $option != seed ]]; then
            unset "WAN[$option]"
        else
            WAN[$option]=${GIVEN[$option]}
        fi
    done
    needs_one_of queue rate
    needs_one_of seed "${IMPAIRMENTS[@]}"
    needs_one_of black-hole path-mtu
    if has_relay; then check_relay; fi
    if any_of black-hole; then need nft nftables; fi
    # What a router can't send on, its neighbours never send.
    if has_router && (( WAN[path-mtu] > MTU )); then die "--path-mtu=${WAN[path-mtu]}: no more than the ends' MTU, $MTU"; fi
}

# needs_one_of OPTION OTHERS...: OPTION alone is a mistake, or a remainder.
needs_one_of() {
    local option=$1 others
    shift
    if any_of "$@"; then return; fi
    others=$(printf ', --%s' "$@")
    [[ -z ${GIVEN[$option]:-} ]] || die "--$option goes with ${others:2}"
    unset "WAN[$option]"
}

has_relay() { any_of "${IMPAIRMENTS[@]}"; }
has_router() { any_of path-mtu; }

# The namespaces on the way, as seen from the outer end. An environment's name
# has no dot, so these are nobody's environment.
hops() {
    if has_relay; then echo "$NAME.relay"; fi
    if has_router; then echo "$NAME.router"; fi
}

# --- the relay ---------------------------------------------------------------

relay_pid_file() { echo "$STATE_DIR/$NAME.relay.pid"; }
relay_log() { echo "$STATE_DIR/$NAME.relay.log"; }

relay_options() { wan_options "${IMPAIRMENTS[@]}" queue seed; }

check_relay() {
    [[ -x $RELAY ]] ||
        die "the relay isn't built: cargo build --release --example relay, in ${SCRIPT%/testenv/*}"
}

# Prints the relay's process id; false if it isn't there. Numbers are used
# again: it is the relay if it lives in the relay's namespace.
relay_pid() {
    local pid
    [[ -r $(relay_pid_file) ]] || return 1
    pid=$(<"$(relay_pid_file)")
    [[ -n $pid && /proc/$pid/ns/net -ef /run/netns/$NAME.relay ]] || return 1
    echo "$pid"
}

# Frames meet the relay as a network card would send and receive them: no
# super-frames and all checksums made, or a flipped bit would go unnoticed.
make_frames_plain() {
    local hop
    ethtool -K "$NAME" tx off tso off gso off >/dev/null
    within "$NAME" ethtool -K "$INNER" tx off tso off gso off >/dev/null
    for hop in $(hops); do
        within "$hop" ethtool -K outer gro off tx off tso off gso off >/dev/null
        within "$hop" ethtool -K inner gro off tx off tso off gso off >/dev/null
    done
}

# The relay's devices are a wire: nothing comes from them but what passes.
configure_relay() {
    local dev
    for dev in outer inner; do
        if has_ip6; then
            within "$NAME.relay" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$dev/disable_ipv6"
        fi
        ip -n "$NAME.relay" link set dev "$dev" up
    done
}

# start_relay OPTIONS...
start_relay() {
    local try pid log priority=(chrt --fifo 1)
    # On a busy machine frames would else leave milliseconds late. Where it isn't
    # allowed, they do.
    "${priority[@]}" true 2>/dev/null || priority=()
    log=$(relay_log)
    : >"$log"
    # A session of its own, since Ctrl-C isn't for it; and without the lock, since
    # it stays.
    setsid "${priority[@]}" ip netns exec "$NAME.relay" "$RELAY" outer inner "$@" \
        </dev/null >"$log" 2>&1 {LOCK_FD}>&- &
    pid=$!
    echo "$pid" >"$(relay_pid_file)"
    for (( try = 0; try < RELAY_TRIES; try++ )); do
        ! grep -qx 'relay ready' "$log" || return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    note "the relay doesn't start: $(head -1 "$log")"
    return 1
}

stop_relay() {
    local try pid
    if pid=$(relay_pid); then
        kill -TERM "$pid"
        for (( try = 0; try < RELAY_TRIES; try++ )); do
            relay_pid >/dev/null || break
            sleep 0.05
        done
        if relay_pid >/dev/null; then kill -KILL "$pid"; fi
    fi
    rm -f "$(relay_pid_file)"
}

# Has it begin with its options: what the checks of setup sent is not counted.
begin_impairments() {
    local options
    read -ra options <<<"$(relay_options)"
    stop_relay
    start_relay "${options[@]}"
}

relay_line() {
    local pid
    if pid=$(relay_pid); then
        echo "  relay  pid $pid: $(relay_options)"
    else
        echo "  relay  has ended, so nothing passes: see $(relay_log); reset helps"
    fi
}

# Whether all is well with the relay, if there should be one.
relay_is_well() { ! has_relay || relay_pid >/dev/null; }

# Prints what the relay has counted so far.
relay_stats() {
    local log pid seen try
    log=$(relay_log)
    pid=$(relay_pid) || { tail -2 "$log"; return; }
    seen=$(wc -l <"$log")
    kill -USR1 "$pid"
    for (( try = 0; try < RELAY_TRIES; try++ )); do
        (( $(wc -l <"$log") < seen + 2 )) || break
        sleep 0.05
    done
    tail -n "+$(( seen + 1 ))" "$log"
}

# --- the router --------------------------------------------------------------

# The router has host 254 towards the outer end and 253 towards the inner one,
# which has a network of its own then.
#
# A route that says a smaller MTU is to a forwarder what a narrower link behind
# it is (RFC 1191 section 4): both ends' own links stay as wide as they are.
configure_router() {
    local mtu=${WAN[path-mtu]} router=$NAME.router
    within "$router" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    if has_ip6; then within "$router" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'; fi
    ip -n "$router" link set dev lo up
    configure_end "$router" outer 254
    configure_end "$router" inner 253
    limit_route "$mtu" outer 254
    limit_route "$mtu" inner 253
    # Specific ones: load tools refuse to run where there is a default route.
    ip route add "$(network4 2)" via "$(ip4 254)" dev "$NAME"
    ip -n "$NAME" route add "$(network4 1)" via "$(ip4 253)" dev "$INNER"
    if has_ip6; then
        ip -6 route add "$(network6 2)" via "$(ip6 254)" dev "$NAME"
        ip -n "$NAME" -6 route add "$(network6 1)" via "$(ip6 253)" dev "$INNER"
    fi
    if any_of black-hole; then forget_to_tell; fi
}

# limit_route MTU DEVICE HOST: the router's way to the network that HOST is in.
limit_route() {
    local ip6_mtu=$(( $1 < 1280 ? 1280 : $1 ))      # IPv6 goes no lower (RFC 8200 section 5)
    ip -n "$NAME.router" route replace "$(network4 "$3")" dev "$2" proto kernel scope link \
        src "$(ip4 "$3")" mtu lock "$1"
    if has_ip6; then
        ip -n "$NAME.router" -6 route replace "$(network6 "$3")" dev "$2" proto kernel metric 256 mtu lock "$ip6_mtu"
    fi
}

# A path MTU black hole (RFC 2923 section 2.1): what is too big is dropped, and
# the router's word on it as well.
forget_to_tell() {
    within "$NAME.router" nft -f - <<'NFT'
table inet black_hole {
    chain output {
        type filter hook output priority filter
        icmp type destination-unreachable icmp code frag-needed drop
        icmpv6 type packet-too-big drop
    }
}
NFT
}
