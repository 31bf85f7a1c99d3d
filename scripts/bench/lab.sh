# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# The lab of scripts/bench.sh: preparation, the link, what a run leaves behind.
# To be sourced after scripts/common.sh.

readonly ENVIRONMENT=${BENCH_LAB:-bench0}
readonly SERVER_CORE=0 CLIENT_CORE=1       # servers.sh names core 0 as nginx's mask 1
readonly CROWD=$REPO/target/release/examples/crowd
readonly PACED=$REPO/target/release/examples/paced
readonly RAW_TOOL=$REPO/target/release/examples/raw
# Tried in turn where the device's own largest is refused; 3506 is veth's limit
# for an XDP program that takes no fragments.
readonly LARGE_MTUS=(64000 32000 16000 9000 3506)

SCRATCH=
WWW=
SERVER_PID=
LOAD_PID=                                  # what runs beside a load: a crowd, or bare frames
LAB_IS_OURS=
ADDRESS=
URL=
IDLE_SOURCE_LIST=
LARGEST_MTU=                               # once it is known

# shellcheck disable=SC2317 # called by trap
clean_up() {
    local code=$?
    trap '' INT TERM HUP
    if [[ -n $LOAD_PID ]]; then stop "$LOAD_PID"; fi
    if [[ -n $SERVER_PID ]]; then stop "$SERVER_PID"; fi
    # Settings of the device, the namespace and its addresses go with them.
    if [[ -n $LAB_IS_OURS ]]; then "$TESTENV" teardown --name="$ENVIRONMENT" >/dev/null || true; fi
    if [[ -n $SCRATCH ]]; then rm -rf "$SCRATCH"; fi
    exit "$code"
}

prepare() {
    (( $(nproc) >= 2 )) || die "needs two cores: one for the server, one for the clients"
    "$REPO/scripts/install.sh" --bench
    # lighttpd and nginx live where only root looks.
    PATH=$PATH:/usr/sbin
    find_cargo
    cargo_build build --release --locked --bins --example crowd --example paced --example raw
    [[ -x $BIN && -x $CROWD && -x $PACED && -x $RAW_TOOL ]] ||
        die "the build made no $BIN, $CROWD, $PACED or $RAW_TOOL"
    ! "$TESTENV" vars --name="$ENVIRONMENT" &>/dev/null ||
        die "environment $ENVIRONMENT is in use; if no other bench runs: $TESTENV teardown --name=$ENVIRONMENT"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # Whatever is started from here on is a client, unless it says otherwise.
    taskset -cp $CLIENT_CORE $$ >/dev/null
    # For ten thousand connections, in servers and clients.
    ulimit -n "$(ulimit -Hn)"
    LAB_IS_OURS=1
    "$TESTENV" setup --name="$ENVIRONMENT"
    ADDRESS=$(testenv_var "$ENVIRONMENT" outer_ip4)
    prepare_clients
    SCRATCH=$(mktemp -d)
    WWW=$SCRATCH/www
    mkdir "$WWW"
    head -c "$SMALL_BYTES" /dev/urandom >"$WWW/small.bin"
    head -c "$MEDIUM_BYTES" /dev/urandom >"$WWW/medium.bin"
    head -c "$LARGE_BYTES" /dev/urandom >"$WWW/large.bin"
    : >"$SCRATCH/results"
}

# Ports enough for connections that live for one request, and addresses for
# those that are idle; in the namespace only.
prepare_clients() {
    local host list=()
    inside sysctl -qw net.ipv4.ip_local_port_range='1024 65535' net.ipv4.tcp_tw_reuse=1
    for (( host = 3; host < 3 + IDLE_SOURCES; host++ )); do
        inside ip addr add "${ADDRESS%.*}.$host/32" dev veth0
        list+=("${ADDRESS%.*}.$host")
    done
    IDLE_SOURCE_LIST=$(IFS=,; echo "${list[*]}")
}

# inside COMMAND...: in the namespace.
inside() { ip netns exec "$ENVIRONMENT" "$@"; }

# --- the link ----------------------------------------------------------------

# set_mtu BYTES: of both ends; no XDP program is there to object.
set_mtu() {
    ip link set dev "$ENVIRONMENT" mtu "$1"
    inside ip link set dev veth0 mtu "$1"
}

# What the kernel's TCP gains by: whole segments of 64 KiB, checksums left out.
turn_offloads_on() {
    ethtool -K "$ENVIRONMENT" tx on sg on tso on gso on >/dev/null
    inside ethtool -K veth0 tx on sg on tso on gso on >/dev/null
    ! ip link show dev "$ENVIRONMENT" | grep -qw 'xdp[a-z]*' || die "an XDP program is still on $ENVIRONMENT"
}

# Sets LARGEST_MTU: the device's, or the largest of some that xdphttpd takes.
find_largest_mtu() {
    local mtu most
    [[ -z $LARGEST_MTU ]] || return 0
    most=$(ip -d link show dev "$ENVIRONMENT" | sed -n 's/.* maxmtu \([0-9]*\).*/\1/p')
    (( ${most:-0} > 0 )) || die "the largest MTU of $ENVIRONMENT isn't known"
    LARGEST_MTU=$most
    [[ " ${SERVERS[*]} " == *" xdphttpd "* ]] || return 0
    for mtu in "$most" "${LARGE_MTUS[@]}"; do
        LARGEST_MTU=$mtu
        set_mtu "$mtu"
        start_xdphttpd
        if [[ -z $REFUSED ]]; then
            stop_server xdphttpd
            return 0
        fi
    done
    die "xdphttpd takes none of the MTUs $most ${LARGE_MTUS[*]}"
}

# mac outer|inner: the hardware address of that end.
mac() {
    case $1 in
        outer) ip -o link show dev "$ENVIRONMENT" ;;
        inner) inside ip -o link show dev veth0 ;;
    esac | sed -n 's/.*link\/ether \([^ ]*\).*/\1/p'
}
