# shellcheck shell=bash
# shellcheck disable=SC2034 # clients are ended by lab.sh
# The two servers of scripts/wan.sh: `ours` on port 80, the kernel's TCP beneath
# nginx on another. To be sourced after lab.sh.

readonly NGINX_PORT=8088
readonly STATS_EVERY_S=1

declare -A SERVERS=()                      # process ids, by ours or kernel

# url ours|kernel FILE
url() {
    case $1 in
        ours) echo "http://$ADDRESS/$2" ;;
        kernel) echo "http://$ADDRESS:$NGINX_PORT/$2" ;;
    esac
}

# stop_server ours|kernel
stop_server() {
    local code=0 pid=${SERVERS[$1]}
    stop "$pid"
    wait "$pid" || code=$?
    unset "SERVERS[$1]"
    (( code == 0 )) || die "the server ($1) ended with status $code"
}

# --- ours --------------------------------------------------------------------

# start_ours CONGESTION
start_ours() {
    # Before it starts, or the line of the one before would do for ready.
    : >"$SCRATCH/ours.log"
    taskset -c "$SERVER_CORE" "$BIN" -d "$ENVIRONMENT" --root "$WWW" --cores "$SERVER_CORE" \
        --stats $STATS_EVERY_S --congestion "$1" "${OURS_OPTIONS[@]}" >>"$SCRATCH/ours.log" &
    SERVERS[ours]=$!
    wait_ready "${SERVERS[ours]}" "$SCRATCH/ours.log" || die "see what xdphttpd said above"
    grep "^$READY" "$SCRATCH/ours.log" >"$SCRATCH/ours.ready"
}

# repairs LOG: segments sent again, and how many of them in vain, of the last
# report in the server's log; false if that doesn't say.
repairs() {
    awk '/^stats / { line = "" }
         /^ *recovery: / { line = $0 }
         END {
             if (!match(line, /[0-9]+ segments? sent again/)) exit 1
             again = substr(line, RSTART, RLENGTH)
             if (!match(line, /[0-9]+ in vain/)) exit 1
             print again + 0, substr(line, RSTART, RLENGTH) + 0
         }' "$1"
}

# Prints the repairs of the running server, which all downloads so far are in.
repairs_of_ours() {
    sleep $((2 * STATS_EVERY_S))           # the next report is the first to know of them
    repairs "$SCRATCH/ours.log" ||
        die "the server's last statistics have no line 'recovery: N segments sent again …, M in vain': it knows none, or nothing was repaired"
}

# --- the kernel's ------------------------------------------------------------

# nginx as one would have it for files of any size, without a log.
write_nginx_conf() {
    cat >"$SCRATCH/nginx.conf" <<CONF
user root;
daemon off;
pid $SCRATCH/nginx.pid;
error_log stderr error;
worker_processes 1;
events { worker_connections 1024; }
http {
    types { application/octet-stream bin; }
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    client_body_temp_path $SCRATCH/nginx-body;
    proxy_temp_path $SCRATCH/nginx-proxy;
    fastcgi_temp_path $SCRATCH/nginx-fastcgi;
    uwsgi_temp_path $SCRATCH/nginx-uwsgi;
    scgi_temp_path $SCRATCH/nginx-scgi;
    server {
        listen $ADDRESS:$NGINX_PORT;
        root $WWW;
    }
}
CONF
}

# start_kernel CONGESTION
start_kernel() {
    # By the route, so that nothing else on this machine is concerned.
    ip route replace "$CLIENT/32" dev "$ENVIRONMENT" proto static scope link src "$ADDRESS" congctl "$1" ||
        die "the kernel has no congestion control $1: modprobe tcp_$1"
    taskset -c "$SERVER_CORE" nginx -p "$SCRATCH" -c "$SCRATCH/nginx.conf" -e stderr &
    SERVERS[kernel]=$!
    await_kernel "$1"
    touch "$SCRATCH/nginx.used"
}

# await_kernel CONGESTION: until nginx takes connections, and what they use is
# seen to be that.
await_kernel() {
    local deadline=$((SECONDS + READY_TIMEOUT_S)) found='' idle
    until [[ -n $found ]]; do
        kill -0 "${SERVERS[kernel]}" 2>/dev/null || die "nginx ended before it was ready"
        (( SECONDS < deadline )) || die "nginx isn't ready after $READY_TIMEOUT_S s"
        # A connection without a request, for as long as it takes to look at it.
        # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
        inside bash -c 'exec 3<>"/dev/tcp/$1/$2" && read -r -t 3 -u 3' - "$ADDRESS" $NGINX_PORT 2>/dev/null &
        idle=$!
        CURLS[idle]=$idle
        while kill -0 "$idle" 2>/dev/null && [[ -z $found ]]; do
            sleep 0.05
            found=$(ss -tinH state established src "$ADDRESS:$NGINX_PORT" | awk '/^[[:space:]]/ { print $1; exit }')
        done
        kill "$idle" 2>/dev/null || true
        wait "$idle" 2>/dev/null || true
        unset 'CURLS[idle]'
    done
    [[ $found == "$1" ]] || die "the kernel uses $found, not $1, for connections to $CLIENT"
}

# What the kernel has learned of the path must not help or hinder the next download.
forget_path() {
    # It fails if there is nothing to forget.
    ip tcp_metrics flush "$CLIENT" &>/dev/null || true
    inside ip tcp_metrics flush "$ADDRESS" &>/dev/null || true
}
