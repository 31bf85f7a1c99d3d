# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153 # what is set here is used by those who source it; REPO is common.sh's
# The lab of scripts/wan.sh: preparation, the path, what a case leaves behind.
# To be sourced after scripts/common.sh.

readonly ENVIRONMENT=${WAN_LAB:-wa0}
readonly SERVER_CORE=0 CLIENT_CORE=1       # the relay, if there is one, has the clients' core

REPS=                                      # each case has its own default
SEED=1
OURS_OPTIONS=()

SCRATCH=
WWW=
ADDRESS=                                   # the servers'
CLIENT=
LAB_IS_OURS=
LAB_OPTIONS=()
LOSS_PERCENT=                              # of lose_both_ways, if it was called

# shellcheck disable=SC2317 # called by trap
clean_up() {
    local code=$? name
    trap '' INT TERM HUP
    for name in "${!CURLS[@]}"; do stop "${CURLS[$name]}"; done
    for name in "${!SERVERS[@]}"; do stop "${SERVERS[$name]}"; done
    # The route with the kernel's congestion control goes with the device.
    if [[ -n $LAB_IS_OURS ]]; then "$TESTENV" teardown --name="$ENVIRONMENT" >/dev/null || true; fi
    if [[ -n $SCRATCH ]]; then rm -rf "$SCRATCH"; fi
    exit "$code"
}

prepare() {
    (( $(nproc) >= 2 )) || die "needs two cores: one for the servers, one for the clients"
    "$REPO/scripts/install.sh" --bench
    find_cargo
    cargo_build build --release --locked
    build_relay
    [[ -x $BIN ]] || die "the build made no $BIN"
    ! "$TESTENV" vars --name="$ENVIRONMENT" &>/dev/null ||
        die "environment $ENVIRONMENT is in use; if nobody uses it: $TESTENV teardown --name=$ENVIRONMENT"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    SCRATCH=$(mktemp -d)
    WWW=$SCRATCH/www
    mkdir "$WWW" "$SCRATCH/sums"
    : >"$SCRATCH/results"
}

# inside COMMAND...: in the namespace of the clients.
inside() { ip netns exec "$ENVIRONMENT" "$@"; }

# make_lab OPTION...: those of testenv.sh setup.
make_lab() {
    local relay_pid
    LAB_OPTIONS=("$@")
    LAB_IS_OURS=1
    "$TESTENV" setup --name="$ENVIRONMENT" "$@"
    ADDRESS=$(testenv_var "$ENVIRONMENT" outer_ip4)
    CLIENT=$(testenv_var "$ENVIRONMENT" inner_ip4)
    relay_pid=$(testenv_var "$ENVIRONMENT" relay_pid)
    if [[ -n $relay_pid ]]; then taskset -cp $CLIENT_CORE "$relay_pid" >/dev/null; fi
    write_nginx_conf
}

# lose_both_ways PERCENT: of the frames on a bare veth, each drawn by itself, at
# the clients' end, so that it is the same for every server.
#
# A frame that leaves is not dropped there: its sender would be told, and would
# not take it for lost on the way (TCP tries again at once). It is sent down
# a blind alley instead. What must be single frames on a wire must not come as
# super-frames here.
lose_both_ways() {
    LOSS_PERCENT=$1
    ethtool -K "$ENVIRONMENT" tso off gso off gro off >/dev/null
    inside ethtool -K veth0 tso off gso off gro off >/dev/null
    inside ip link add dev alley type veth peer name alley-end
    inside ip link set dev alley up
    inside nft -f - <<NFT
table netdev path {
    counter came { }
    counter came_lost { }
    counter left { }
    counter left_lost { }
    chain coming {
        type filter hook ingress device "veth0" priority 0; policy accept;
        ip protocol tcp counter name came numgen random mod 100 < $1 counter name came_lost drop
    }
    chain leaving {
        type filter hook egress device "veth0" priority 0; policy accept;
        ip protocol tcp counter name left numgen random mod 100 < $1 counter name left_lost fwd to "alley"
    }
}
NFT
}

# What became of the frames on the way, a line for each direction.
path_counters() {
    if [[ -n $LOSS_PERCENT ]]; then
        inside nft list counters netdev | awk '
            $1 == "counter" { name = $2 } $1 == "packets" { n[name] = $2 }
            END { printf "to the clients %d frames, %d lost\n", n["came"], n["came_lost"]
                  printf "to the servers %d frames, %d lost\n", n["left"], n["left_lost"] }'
    else
        "$TESTENV" stats --name="$ENVIRONMENT" | sed '1,/^== relay ==/d'
    fi
}

# --- the report --------------------------------------------------------------

# record WORD...: a line for the report, its words parted by tabs.
record() { (IFS=$'\t'; echo "$*") >>"$SCRATCH/results"; }

# target ROW KIND VALUE: what a row of the table has to reach (see report.py).
target() { record target "$@"; }

# write_report CASE
write_report() {
    echo "# $1: $TITLE"
    echo
    echo "- $(date -u '+%Y-%m-%d %H:%M UTC'), Linux $(uname -r), $(cpu_model), $(nproc --all) cores"
    if [[ -n $LOSS_PERCENT ]]; then
        echo "- one veth, MTU 1500, no offloads of segmentation; of TCP's frames $LOSS_PERCENT % lost each way (nftables at the clients' end)"
    else
        echo "- testenv.sh setup ${LAB_OPTIONS[*]} (shares and times are of each way)"
    fi
    path_counters | sed 's/^/- on the way: /'
    echo "- servers on core $SERVER_CORE, clients and relay on core $CLIENT_CORE; $REPS repetitions"
    if [[ -r $SCRATCH/nginx.used ]]; then
        echo "- kernel: $(nginx -v 2>&1 | sed 's/nginx version: //'), sendfile on, congestion control by the route to the clients, no metrics kept, tcp_wmem $(sysctl -n net.ipv4.tcp_wmem | xargs)"
    fi
    echo "- ours: xdphttpd --cores $SERVER_CORE${OURS_OPTIONS[*]:+ ${OURS_OPTIONS[*]}}: $(sed "s/^$READY//; s/, root .*//" "$SCRATCH/ours.ready")"
    echo "- every body compared with its file by sha256; medians and min–max of the repetitions"
    echo
    python3 "$REPO/scripts/wan/report.py" "$SCRATCH/results"
}
