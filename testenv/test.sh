#!/usr/bin/env bash
# Tests of testenv.sh. They run in network and mount namespaces of their own,
# so they neither see nor touch the environments of this machine.
set -euo pipefail

HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
readonly HERE
readonly T=$HERE/testenv.sh

[[ $EUID -eq 0 ]] || { echo "testenv/test.sh: needs root: sudo $0" >&2; exit 1; }

if [[ ${1:-} != --isolated ]]; then
    # shellcheck source=scripts/common.sh
    . "$HERE/../scripts/common.sh"
    build_relay
    exec unshare --net --mount --propagation private "$0" --isolated
fi
mount -t tmpfs tmpfs /run     # its own state and namespace names
mount -t sysfs sysfs /sys     # /sys/class/net of its own network namespace
mount -t bpf bpf /sys/fs/bpf  # where ip link keeps what it loads
ip link set lo up
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

# --- assertions --------------------------------------------------------------

fail() { echo "FAILED: $CASE: $*" >&2; exit 1; }

# capture COMMAND...: stdout and stderr into OUT, exit code into CODE.
capture() { CODE=0; OUT=$("$@" 2>&1) || CODE=$?; }

expect_code() { [[ $CODE -eq $1 ]] || fail "exit code $CODE, expected $1: $OUT"; }
expect_out() { [[ $OUT == *"$1"* ]] || fail "expected '$1' in: $OUT"; }
expect_equal() { [[ $1 == "$2" ]] || fail "'$1' isn't '$2'"; }

expect_nothing_left() {
    expect_equal "$(ip -br link | awk '{ print $1 }' | xargs)" lo
    expect_equal "$(ip netns list)" ""
    expect_equal "$(ls /run/xdphttpd-testenv)" ""
}

# reads VARIABLE: what vars says of the environment set up last.
reads() { "$T" vars | sed -n "s/^$1=//p"; }

# counted DIRECTION COUNTER: what the relay has counted.
counted() { "$T" stats | sed -n "s/^$1 .*\b$2=\([0-9]*\).*/\1/p"; }

expect_between() { (( $2 <= $1 && $1 <= $3 )) || fail "$1 isn't from $2 to $3"; }

# shortest_us: the shortest round trip that ping has in OUT.
shortest_us() {
    [[ $OUT =~ min/avg/max/mdev\ =\ ([0-9]+)\.([0-9]{3})/ ]] || fail "no round trips in: $OUT"
    echo $(( BASH_REMATCH[1] * 1000 + 10#${BASH_REMATCH[2]} ))
}

# Until the process is gone; 10 s should do on any machine.
expect_end_of() {
    timeout 10 sh -c "while kill -0 '$1' 2>/dev/null; do sleep 0.05; done" || fail "process $1 is still there"
}

queues() { find "/sys/class/net/$1/queues" -maxdepth 1 -name "$2-*" | wc -l; }

# --- cases -------------------------------------------------------------------

test_setup_gives_both_ends_their_addresses() {
    capture "$T" setup
    expect_code 0
    expect_out "Environment veth0 is ready: veth0 10.11.1.1 here, veth0 10.11.1.2 in namespace veth0, 1 queue, MTU 1500"
    expect_equal "$(ip -br addr show dev veth0 scope global | awk '{ print $2, $3, $4 }')" \
        "UP 10.11.1.1/24 fd00:11:1::1/64"
    expect_equal "$(ip -n veth0 -br addr show dev veth0 scope global | awk '{ print $2, $3, $4 }')" \
        "UP 10.11.1.2/24 fd00:11:1::2/64"
}

test_setup_is_idempotent() {
    "$T" setup >/dev/null
    local before after
    before=$(cat /sys/class/net/veth0/ifindex)
    capture "$T" setup
    expect_code 0
    expect_out "Environment veth0 is already there"
    after=$(cat /sys/class/net/veth0/ifindex)
    expect_equal "$after" "$before"
}

test_setup_of_another_shape_is_refused() {
    "$T" setup >/dev/null
    capture "$T" setup --queues=2
    expect_code 1
    expect_out "environment veth0 exists with 1 queue, MTU 1500; to change it: $T reset --name=veth0 --queues=2 --mtu=1500"
    expect_equal "$(queues veth0 rx)" 1
}

test_ping_works_in_both_directions_and_families() {
    "$T" setup >/dev/null
    capture "$T" ping -c 1
    expect_code 0
    expect_out "1 packets transmitted, 1 received"
    capture "$T" exec -- ping -c 1 -W 1 fd00:11:1::1
    expect_out "1 received"
    capture ping -c 1 -W 1 10.11.1.2
    expect_out "1 received"
    capture ping -c 1 -W 1 fd00:11:1::2
    expect_out "1 received"
}

test_exec_passes_exit_code_arguments_and_output() {
    "$T" setup >/dev/null
    capture "$T" exec -- sh -c 'exit 42'
    expect_code 42
    capture "$T" exec -- printf '%s|' 'a b' --name=x -- c
    expect_code 0
    expect_equal "$OUT" 'a b|--name=x|--|c|'
    capture "$T" exec printf '%s|' --queues=1
    expect_equal "$OUT" '--queues=1|'
    expect_equal "$(echo through | "$T" exec -- cat)" through
    capture "$T" exec
    expect_code 1
    expect_out "a command is needed"
}

test_enter_starts_a_shell_inside() {
    "$T" setup >/dev/null
    expect_equal "$(echo "ip -o -4 addr show dev veth0 | awk '{ print \$4 }'" | SHELL=/bin/sh "$T" enter)" 10.11.1.2/24
}

test_queues_and_mtu_hold_on_both_ends() {
    "$T" setup --queues=2 --mtu=3000 >/dev/null
    expect_equal "$(queues veth0 rx) $(queues veth0 tx)" "2 2"
    # ip netns exec gives the namespace's own /sys.
    expect_equal "$("$T" exec -- sh -c 'ls /sys/class/net/veth0/queues | xargs')" "rx-0 rx-1 tx-0 tx-1"
    expect_equal "$(cat /sys/class/net/veth0/mtu) $("$T" exec -- cat /sys/class/net/veth0/mtu)" "3000 3000"
    capture "$T" ping -c 1 -M "do" -s 2972
    expect_code 0
    expect_out "2980 bytes from 10.11.1.1"
}

test_reset_keeps_number_and_shape_unless_told() {
    "$T" setup --name=first >/dev/null
    "$T" setup --name=second --mtu=2000 >/dev/null
    capture "$T" reset --name=second --queues=2
    expect_code 0
    expect_out "second 10.11.2.1 here, veth0 10.11.2.2 in namespace second, 2 queues, MTU 2000"
    expect_equal "$(queues second rx) $(cat /sys/class/net/second/mtu)" "2 2000"
}

test_two_environments_at_once() {
    "$T" setup --name=first >/dev/null
    "$T" setup --name=second >/dev/null
    expect_equal "$("$T" vars --name=first | grep outer_ip4) $("$T" --name=second vars | grep outer_ip4)" \
        "outer_ip4=10.11.1.1 outer_ip4=10.11.2.1"
    # The last one set up is the default.
    expect_equal "$("$T" exec -- ip -o -4 addr show dev veth0 | awk '{ print $4 }')" 10.11.2.2/24
    capture "$T" ping --name=first -c 1
    expect_out "1 received"
    "$T" teardown --name=first >/dev/null
    capture "$T" ping --name=second -c 1
    expect_out "1 received"
    # The lowest free network is taken again.
    capture "$T" setup --name=third
    expect_out "third 10.11.1.1 here"
}

test_a_network_in_use_is_left_alone() {
    ip link add other type veth peer name other-peer
    ip addr add 10.11.1.7/24 dev other
    capture "$T" setup
    expect_code 0
    expect_out "veth0 10.11.2.1 here"
}

test_status_lists_every_environment() {
    capture "$T" status
    expect_code 0
    expect_out "No environments"
    "$T" setup --name=first >/dev/null
    "$T" setup --name=second --queues=2 >/dev/null
    capture "$T" status
    expect_out "  outer  first  10.11.1.1/24 fd00:11:1::1/64  mtu 1500, queues 1, xdp none"
    expect_out "second (current)"
    expect_out "  inner  veth0  10.11.2.2/24 fd00:11:2::2/64  mtu 1500, queues 2, xdp none"
    capture "$T" status --name=first
    [[ $OUT != *second* ]] || fail "--name didn't select: $OUT"
}

test_status_shows_attached_xdp() {
    command -v clang >/dev/null || fail "clang is missing: apt-get install clang"
    clang -O2 -g -target bpf -c -x c - -o "$SCRATCH/pass.o" <<'C'
__attribute__((section("xdp"), used)) int pass_all(void *ctx) { return 2; /* XDP_PASS */ }
char text[] __attribute__((section("license"), used)) = "GPL";
C
    "$T" setup >/dev/null
    ip link set dev veth0 xdpdrv obj "$SCRATCH/pass.o" sec xdp
    capture "$T" status
    expect_out "xdp native (pass_all, id "
    ip link set dev veth0 xdpdrv off
    ip link set dev veth0 xdpgeneric obj "$SCRATCH/pass.o" sec xdp
    capture "$T" status
    expect_out "xdp generic (pass_all, id "
}

test_stats_and_tcpdump_show_traffic() {
    "$T" setup >/dev/null
    capture "$T" stats
    expect_code 0
    expect_out "== outer end: veth0 =="
    expect_out "== inner end: veth0 =="
    expect_out "rx_queue_0_xdp_packets: 0"
    # Two packets and no more: an echo request and its reply.
    "$T" tcpdump -c 2 --immediate-mode icmp >"$SCRATCH/dump" 2>"$SCRATCH/dump.err" &
    local dump=$!
    timeout 10 sh -c "until grep -qs 'listening on' '$SCRATCH/dump.err'; do sleep 0.05; done"
    "$T" ping -c 1 >/dev/null
    wait "$dump"
    OUT=$(<"$SCRATCH/dump")
    expect_out "10.11.1.2 > 10.11.1.1: ICMP echo request"
    expect_out "10.11.1.1 > 10.11.1.2: ICMP echo reply"
}

test_alias_runs_the_script_from_anywhere() {
    "$T" setup >/dev/null
    expect_equal "$("$T" alias)" "alias t=$T"
    # As the README has it: unquoted, in another directory, with a relative path.
    OUT=$(cd "$HERE" && bash -c 'shopt -s expand_aliases
        eval $(./testenv.sh alias)
        cd / && eval "t exec -- echo inside"')
    expect_equal "$OUT" inside
    mkdir "$SCRATCH/a b"
    cp "$T" "$HERE/wan.sh" "$SCRATCH/a b/"
    OUT=$(cd "$SCRATCH/a b" && bash -c 'shopt -s expand_aliases
        eval $(./testenv.sh alias)
        eval "t vars" | head -1')
    expect_equal "$OUT" name=veth0
}

test_teardown_removes_everything_twice() {
    "$T" setup >/dev/null
    capture "$T" teardown
    expect_code 0
    expect_out "Environment veth0 is removed"
    expect_nothing_left
    capture "$T" teardown
    expect_code 0
    expect_out "Environment veth0 doesn't exist: nothing to do"
}

test_failed_setup_leaves_nothing() {
    # A ping that never answers fails late, when all the devices exist.
    mkdir -p "$SCRATCH/bin"
    printf '#!/bin/sh\nexit 1\n' >"$SCRATCH/bin/ping"
    chmod +x "$SCRATCH/bin/ping"
    capture env PATH="$SCRATCH/bin:$PATH" "$T" setup
    expect_code 1
    expect_out "10.11.1.2 doesn't answer ping from the outer end"
    expect_out "setup of veth0 failed: removing what was made of it"
    expect_nothing_left
}

test_what_the_kernel_refuses_leaves_nothing() {
    # The devices come second: the namespace exists by then.
    mkdir -p "$SCRATCH/refuse"
    # shellcheck disable=SC2016 # $1 and $2 are the stand-in's own
    printf '#!/bin/sh\n[ "$1 $2" = "link add" ] && { echo refused >&2; exit 2; }\nexec "%s" "$@"\n' \
        "$(command -v ip)" >"$SCRATCH/refuse/ip"
    chmod +x "$SCRATCH/refuse/ip"
    capture env PATH="$SCRATCH/refuse:$PATH" "$T" setup
    expect_code 2
    expect_out "refused"
    expect_nothing_left
}

test_interrupted_setup_leaves_nothing() {
    mkdir -p "$SCRATCH/slow"
    printf '#!/bin/sh\necho >"%s/pinging"\nsleep 1\nexit 1\n' "$SCRATCH" >"$SCRATCH/slow/ping"
    chmod +x "$SCRATCH/slow/ping"
    env PATH="$SCRATCH/slow:$PATH" "$T" setup 2>/dev/null &
    local setup=$!
    timeout 10 sh -c "until [ -e '$SCRATCH/pinging' ]; do sleep 0.05; done"
    kill -TERM "$setup"
    CODE=0; wait "$setup" || CODE=$?
    OUT=
    expect_code 143
    expect_nothing_left
}

test_what_is_not_ours_is_never_touched() {
    ip link add veth0 type veth peer name peer
    capture "$T" setup
    expect_code 1
    expect_out "a device named veth0 exists and isn't an environment"
    capture "$T" teardown
    expect_code 0
    ip link show dev veth0 >/dev/null || fail "somebody else's device is gone"
    ip netns add mine
    capture "$T" setup --name=mine
    expect_code 1
    expect_out "a namespace named mine exists and isn't an environment"
    [[ -e /run/netns/mine ]] || fail "somebody else's namespace is gone"
    ip netns del mine
}

test_a_broken_environment_heals() {
    "$T" setup >/dev/null
    ip link del veth0
    capture "$T" exec -- true
    expect_code 1
    expect_out "environment veth0 is broken"
    capture "$T" status
    expect_out "broken: device or namespace is gone"
    capture "$T" setup
    expect_code 0
    expect_out "environment veth0 was incomplete: making it anew"
    expect_out "Environment veth0 is ready"
}

test_bad_command_lines_get_one_clear_line() {
    local line
    while IFS='|' read -r line expected; do
        # shellcheck disable=SC2086 # the line is a list of words
        capture "$T" $line
        expect_code 1
        expect_out "$expected"
        expect_equal "$(wc -l <<<"$OUT")" 1
    done <<'LINES'
frobnicate|unknown command 'frobnicate'
setup --name=too-long-for-a-device|--name=too-long-for-a-device: a device name of 1 to 15
setup --name=../x|a device name of 1 to 15
setup --name=|a device name of 1 to 15
setup --queues=0|--queues=0: a number from 1 to 4096 is needed
setup --queues=two|a number from 1 to 4096 is needed
setup --mtu=576|--mtu=576: a number from 1280 to 65535 is needed
setup extra|setup: unexpected 'extra'
teardown --mtu=1500|all options but --name go with setup and reset only
ping --name=nowhere|there is no environment nowhere
status --loss=1%|all options but --name go with setup and reset only
setup --delay|--delay: a value is needed
setup --delay 25|--delay=25: a time such as 25ms, 100us or 1.5s is needed
setup --jitter=-1ms|--jitter=-1ms: a time such as
setup --loss 101%|--loss=101%: a share from 0% to 100% is needed
setup --loss=1|--loss=1: a share
setup --reorder=2%:|--reorder=2%:: a share from 0% to 100%, and a time as in 30%:2ms, is needed
setup --rate 100|--rate=100: a rate such as 500kbit, 100mbit or 1gbit is needed
setup --rate=1mbit --queue 1x|--queue=1x: a time such as 100ms or bytes such as 64KiB is needed
setup --queue 100ms|--queue goes with --rate
setup --seed=1|--seed goes with --delay, --jitter
setup --seed=x --loss=1%|--seed=x: a number is needed
setup --path-mtu=500|--path-mtu=500: a number from 576 to 65535 is needed
setup --path-mtu=1600|--path-mtu=1600: no more than the ends' MTU, 1500
setup --black-hole|--black-hole goes with --path-mtu
setup --black-hole=yes|--black-hole=yes: takes no value
setup extra --delay=1ms|setup: unexpected 'extra'
LINES
    capture "$T"
    expect_code 2
    expect_out "Usage:"
    capture "$T" help
    expect_code 0
    expect_out "teardown"
}

test_without_root_it_says_so() {
    # A copy, since the checkout may be in a directory that others can't read.
    install -D -m 755 -t "$SCRATCH/open" "$T" "$HERE/wan.sh"
    chmod 755 "$SCRATCH"
    capture setpriv --reuid=65534 --regid=65534 --clear-groups "$SCRATCH/open/testenv.sh" setup
    expect_code 1
    expect_equal "$OUT" "testenv: needs root: sudo $SCRATCH/open/testenv.sh setup"
}

test_a_missing_tool_is_named_with_its_package() {
    mkdir -p "$SCRATCH/few"
    local tool
    for tool in bash ip ping flock mkdir readlink; do ln -sf "$(command -v $tool)" "$SCRATCH/few/"; done
    capture env PATH="$SCRATCH/few" bash "$T" setup
    expect_code 1
    expect_equal "$OUT" "testenv: ethtool is missing: apt-get install ethtool"
}

test_setup_needs_no_locked_memory() {
    capture bash -c "ulimit -l 64 && '$T' setup"
    expect_code 0
    expect_out "Environment veth0 is ready"
}

# --- a long path -------------------------------------------------------------

test_a_delay_holds_in_both_directions() {
    capture "$T" setup --delay 25ms --seed=7
    expect_code 0
    expect_out "1 queue, MTU 1500, --delay=25ms --seed=7"
    capture "$T" ping -c 10 -i 0.1 -W 5
    expect_out "10 received"
    # The shortest, since a busy machine makes any one of them long.
    expect_between "$(shortest_us)" 50000 75000
    capture "$T" exec -- ping -c 2 -W 5 fd00:11:1::1
    expect_out "2 received"
    capture ping -c 10 -i 0.1 -W 5 10.11.1.2
    expect_between "$(shortest_us)" 50000 75000
}

test_shares_are_about_as_asked() {
    "$T" setup --loss 20% --duplicate 10% --reorder 30%:1ms --corrupt 5% >/dev/null
    # Without room for a time stamp: ping believes spoilt ones, since it sees
    # answers before any checksum is looked at, and waits accordingly.
    timeout 60 "$T" ping -c 2000 -i 0.001 -s 0 -W 1 -q &>/dev/null
    local frames
    frames=$(counted to_outer frames)
    expect_between "$frames" 2000 2100
    expect_between "$(counted to_outer lost)" $((frames * 15 / 100)) $((frames * 25 / 100))
    frames=$((frames - $(counted to_outer lost)))
    expect_between "$(counted to_outer duplicated)" $((frames * 6 / 100)) $((frames * 14 / 100))
    expect_between "$(counted to_outer reordered)" $((frames * 24 / 100)) $((frames * 36 / 100))
    expect_between "$(counted to_outer corrupted)" $((frames * 2 / 100)) $((frames * 8 / 100))
    # What arrived is answered, and the answers are lost as often.
    frames=$(counted to_inner frames)
    expect_between "$(counted to_inner lost)" $((frames * 15 / 100)) $((frames * 25 / 100))
}

test_everything_can_be_lost_and_everything_spoilt() {
    local impairment
    for impairment in --loss=100% --corrupt=100%; do
        "$T" setup "$impairment" >/dev/null
        capture "$T" ping -c 20 -i 0.01 -W 1
        expect_code 1
        expect_out "20 packets transmitted, 0 received"
        "$T" teardown >/dev/null
    done
}

test_duplicates_arrive_twice() {
    "$T" setup --duplicate=100% >/dev/null
    capture "$T" ping -c 1 -W 5
    # One answer ends it, so the others are looked for on the wire.
    expect_out "1 received"
    # Two requests, so two answers, so four.
    expect_between "$(counted to_inner frames)" 2 20
}

test_a_rate_spaces_frames_and_its_queue_overflows() {
    # 1,442 bytes take 11.5 ms; ten of them fit into the queue.
    "$T" setup --rate 1mbit --queue 15KB >/dev/null
    capture "$T" ping -c 3 -i 0.1 -s 1400 -W 5
    expect_out "3 received"
    expect_between "$(shortest_us)" 23072 60000
    expect_equal "$(counted to_outer queue_drops)" 0
    capture "$T" ping -c 100 -l 100 -s 1400 -W 2 -q
    expect_between "$(counted to_outer queue_drops)" 50 95
}

test_bytes_survive_a_bad_path() {
    "$T" setup --delay 2ms --loss 1% --reorder 5% --duplicate 2% --corrupt 1% --rate 200mbit >/dev/null
    head -c 1000000 /dev/urandom >"$SCRATCH/sent"
    timeout 60 nc -N -l 10.11.1.1 9000 <"$SCRATCH/sent" >/dev/null &
    local server=$!
    timeout 10 sh -c 'until ss -Hltn "sport = 9000" | grep -q .; do sleep 0.05; done'
    "$T" exec -- timeout 60 nc -d 10.11.1.1 9000 >"$SCRATCH/received"
    wait "$server"
    cmp "$SCRATCH/sent" "$SCRATCH/received" || fail "other bytes arrived"
    # No super-frames, or there would be fewer.
    expect_between "$(counted to_inner frames)" 690 5000
    expect_equal "$(counted to_inner refused) $(counted to_outer refused)" "0 0"
    expect_between "$(counted to_inner lost)" 1 100
}

test_status_and_vars_know_the_path() {
    "$T" setup --name=first >/dev/null
    capture "$T" vars
    [[ $OUT != *relay* && $OUT != *delay* ]] || fail "a path that nobody asked for: $OUT"
    "$T" setup --name=second --delay=1ms --loss 1% --path-mtu 1400 --black-hole >/dev/null
    capture "$T" status --name=second
    expect_out "  inner  veth0  10.12.2.2/24 fd00:12:2::2/64  mtu 1500"
    expect_out "  relay  pid $(reads relay_pid): --delay=1ms --loss=1%"
    expect_out "  router --path-mtu=1400 --black-hole"
    expect_equal "$(reads delay) $(reads loss) $(reads path-mtu) $(reads black-hole)" "1ms 1% 1400 yes"
}

test_reset_keeps_the_path_unless_told() {
    "$T" setup --delay 1ms --loss 1% --rate=10mbit --queue 50ms --seed 3 >/dev/null
    capture "$T" setup --delay 1ms --loss 1% --rate=10mbit --queue=50ms --seed 3
    expect_out "Environment veth0 is already there"
    capture "$T" setup --delay 2ms
    expect_code 1
    expect_out "veth0 exists with 1 queue, MTU 1500, --delay=1ms --loss=1% --rate=10mbit --queue=50ms --seed=3; to change it: $T reset --name=veth0 --queues=1 --mtu=1500 --delay=2ms"
    capture "$T" reset --loss 0 --delay 2ms
    expect_code 0
    expect_out "MTU 1500, --delay=2ms --rate=10mbit --queue=50ms --seed=3"
    # A mistake leaves the environment as it is.
    capture "$T" reset --rate 0 --queue=10ms
    expect_code 1
    expect_out "--queue goes with --rate"
    capture "$T" ping -c 1 -W 5
    expect_out "1 received"
    capture "$T" reset --rate 0 --delay 0ms
    expect_code 0
    expect_out "1 queue, MTU 1500"
    expect_equal "$(reads relay_pid)" ""
    [[ $OUT != *seed* && ! -e /run/netns/veth0.relay ]] || fail "the path is still there: $OUT"
}

test_teardown_ends_the_relay() {
    "$T" setup --delay 1ms --path-mtu 1280 >/dev/null
    local relay
    relay=$(reads relay_pid)
    kill -0 "$relay" || fail "there is no process $relay"
    capture "$T" teardown
    expect_code 0
    expect_nothing_left
    expect_end_of "$relay"
}

test_the_relay_ends_with_its_devices() {
    local relay
    "$T" setup --delay 1ms >/dev/null
    relay=$(reads relay_pid)
    ip link del veth0
    expect_end_of "$relay"
    capture "$T" reset
    expect_code 0
    relay=$(reads relay_pid)
    ip netns del veth0
    expect_end_of "$relay"
}

test_the_relay_outlives_a_pulled_cable() {
    "$T" setup --delay 1ms >/dev/null
    ip link set dev veth0 down
    capture ping -c 1 -W 1 10.11.1.2
    expect_code 2
    ip link set dev veth0 up
    # The kernel takes its time to see that there is a link again.
    timeout 20 sh -c "until '$T' ping -c 1 -W 1 >/dev/null; do :; done" || fail "no way back"
    capture "$T" status
    expect_out "  relay  pid "
}

test_a_relay_that_has_died_is_seen_and_replaced() {
    "$T" setup --delay 1ms >/dev/null
    local relay
    relay=$(reads relay_pid)
    kill -KILL "$relay"
    expect_end_of "$relay"
    capture "$T" status
    expect_out "  relay  has ended, so nothing passes"
    capture "$T" exec -- true
    expect_code 0
    expect_out "the relay of veth0 has ended, so nothing passes: $T reset --name=veth0"
    capture "$T" setup --delay 1ms
    expect_code 0
    expect_out "environment veth0 was incomplete: making it anew"
    capture "$T" ping -c 1 -W 5
    expect_out "1 received"
}

test_a_process_that_is_not_the_relay_is_left_alone() {
    "$T" setup --delay 1ms >/dev/null
    local relay other
    relay=$(reads relay_pid)
    sleep 60 &
    other=$!
    # As if the relay had died and its number had been given out again.
    echo "$other" >/run/xdphttpd-testenv/veth0.relay.pid
    "$T" teardown >/dev/null
    kill -0 "$other" || fail "somebody else's process is gone"
    kill "$other"
    # Its devices being gone, the relay is too.
    expect_end_of "$relay"
    expect_nothing_left
}

test_a_relay_that_does_not_start_leaves_nothing() {
    capture env XDPHTTPD_RELAY="$SCRATCH/nowhere" "$T" setup --delay 1ms
    expect_code 1
    expect_out "the relay isn't built: cargo build --release --example relay"
    printf '#!/bin/sh\necho "no such luck" >&2\nexit 1\n' >"$SCRATCH/broken"
    chmod +x "$SCRATCH/broken"
    capture env XDPHTTPD_RELAY="$SCRATCH/broken" "$T" setup --delay 1ms
    expect_code 1
    expect_out "the relay doesn't start: no such luck"
    expect_nothing_left
}

# --- a router ----------------------------------------------------------------

# expect_too_big ADDRESS SAYS COMMAND...: that a packet of 1,428 bytes to it does
# not pass, and one of 1,228 does.
expect_too_big() {
    local address=$1 says=$2
    shift 2
    capture "$@" ping -c 1 -W 1 -M "do" -s 1400 "$address"
    expect_code 1
    expect_out "0 received"
    [[ -n $says && $OUT == *"$says"* || -z $says && $OUT != *mtu* ]] || fail "expected '$says' in: $OUT"
    capture "$@" ping -c 1 -W 5 -M "do" -s 1200 "$address"
    expect_out "1 received"
}

test_a_small_path_mtu_is_told() {
    "$T" setup --path-mtu 1280 >/dev/null
    capture "$T" ping -c 1 -M "do" -s 1200 -W 5
    expect_out "1 received"
    expect_too_big 10.11.1.1 "Frag needed and DF set (mtu = 1280)" "$T" exec --
    expect_too_big 10.12.1.2 "Frag needed and DF set (mtu = 1280)" env
    expect_too_big fd00:11:1::1 "Packet too big: mtu=1280" "$T" exec --
    expect_too_big fd00:12:1::2 "Packet too big: mtu=1280" env
    # What may be fragmented is.
    capture ping -c 1 -W 5 -M dont -s 1400 10.12.1.2
    expect_out "1 received"
    # The links themselves are as wide as ever.
    expect_equal "$(cat /sys/class/net/veth0/mtu) $("$T" exec -- cat /sys/class/net/veth0/mtu)" "1500 1500"
}

test_a_black_hole_says_nothing() {
    "$T" setup --path-mtu=1280 --black-hole >/dev/null
    expect_too_big 10.11.1.1 "" "$T" exec --
    expect_too_big 10.12.1.2 "" env
    expect_too_big fd00:11:1::1 "" "$T" exec --
    expect_too_big fd00:12:1::2 "" env
}

test_relay_and_router_together() {
    "$T" setup --path-mtu=1000 --delay 10ms --queues=2 >/dev/null
    capture "$T" ping -c 5 -i 0.1 -W 5
    expect_between "$(shortest_us)" 20000 45000
    capture "$T" exec -- ping -c 1 -W 1 -M "do" -s 1200 10.11.1.1
    expect_out "Frag needed and DF set (mtu = 1000)"
    # IPv6 has no links below 1,280 bytes.
    capture "$T" exec -- ping -c 1 -W 5 -s 1200 fd00:11:1::1
    expect_out "1 received"
    "$T" teardown >/dev/null
    expect_nothing_left
}

# --- all of them, each from a clean slate ------------------------------------

clean_slate() {
    local ns dev
    for ns in $(ip netns list | awk '{ print $1 }'); do ip netns del "$ns"; done
    for dev in $(ip -br link | awk -F'[ @]' '$1 != "lo" { print $1 }'); do ip link del dev "$dev" 2>/dev/null || true; done
    rm -rf /run/xdphttpd-testenv
}

count=0
for CASE in $(compgen -A function test_); do
    clean_slate
    "$CASE"
    echo "ok   ${CASE#test_}"
    count=$((count + 1))
done
clean_slate
echo "testenv: $count tests passed"
