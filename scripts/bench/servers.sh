# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with those who source it; SERVER_CORE and the like are lab.sh's
# The servers of scripts/bench.sh, each as one would tune it for these loads:
# one process on the server's core, no log, connections that never have to be
# made anew, room for ten thousand of them, sendfile where it pays. To be sourced
# after lab.sh.

readonly KEEP_S=3600                       # a connection may idle so long
readonly MOST_CONNECTIONS=16384
SENDFILE=off                               # of nginx, on or off
REFUSED=                                   # why the server doesn't take this link, if it doesn't

# start_server SERVER; sets REFUSED if it won't have the link as it is.
start_server() {
    REFUSED=
    if [[ $1 != xdphttpd ]]; then
        turn_offloads_on
        "write_conf_$1"
    fi
    "start_$1"
}

# start_on_core COMMAND...: in the background, as SERVER_PID.
start_on_core() {
    taskset -c "$SERVER_CORE" "$@" &
    SERVER_PID=$!
}

# await_answer: until the server that was started answers.
await_answer() {
    local deadline=$((SECONDS + READY_TIMEOUT_S))
    until inside curl -s --noproxy '*' --max-time 1 -o /dev/null "$URL"; do
        kill -0 "$SERVER_PID" 2>/dev/null || die "the server ended before it was ready"
        (( SECONDS < deadline )) || die "the server isn't ready after $READY_TIMEOUT_S s"
        sleep 0.1
    done
}

# stop_server SERVER. How the others end is their business: lighttpd sometimes says 1
# when it had ten thousand connections.
stop_server() {
    local code=0
    stop "$SERVER_PID"
    wait "$SERVER_PID" || code=$?
    SERVER_PID=
    [[ $1 != xdphttpd ]] || (( code == 0 )) || die "xdphttpd ended with status $code"
}

# --- xdphttpd ----------------------------------------------------------------

# --cores pins the workers; taskset keeps every other thread off the client's core.
start_xdphttpd() {
    REFUSED=
    # Before it starts, or the line of the one before would do for ready.
    : >"$SCRATCH/xdphttpd.log"
    # shellcheck disable=SC2086 # XDPHTTPD_ARGS is a list of words
    start_on_core "$BIN" -d "$ENVIRONMENT" --root "$WWW" --cores "$SERVER_CORE" ${XDPHTTPD_ARGS:-} \
        >>"$SCRATCH/xdphttpd.log" 2>"$SCRATCH/xdphttpd.err"
    if wait_ready "$SERVER_PID" "$SCRATCH/xdphttpd.log" 2>"$SCRATCH/not-ready"; then
        # In generic mode frames are copied once more: not what is measured here.
        grep -q "^$READY.*, native" "$SCRATCH/xdphttpd.log" || refuse "not in native mode"
        grep "^$READY" "$SCRATCH/xdphttpd.log" >"$SCRATCH/xdphttpd.ready"
    elif grep -qi mtu "$SCRATCH/xdphttpd.err"; then
        refuse "$(grep -i -m1 mtu "$SCRATCH/xdphttpd.err")"
    else
        cat "$SCRATCH/xdphttpd.err" "$SCRATCH/not-ready" >&2
        die "xdphttpd didn't start"
    fi
}

# refuse REASON: takes the server for one that doesn't take this link.
refuse() {
    REFUSED=$1
    stop "$SERVER_PID"
    wait "$SERVER_PID" || true             # it said no: that is its status
    SERVER_PID=
}

# --- nginx -------------------------------------------------------------------

# Files kept open; no header and body in two segments (tcp_nopush). Without
# sendfile it reads 128 KiB at a time, twice of which is more than a window. Which
# of the two is the faster is found by trial (choose_sendfile).
write_conf_nginx() {
    cat >"$SCRATCH/nginx.conf" <<CONF
user root;
daemon off;
pid $SCRATCH/nginx.pid;
error_log stderr error;
worker_processes 1;
worker_cpu_affinity 1;
worker_rlimit_nofile $(ulimit -Hn);
events {
    use epoll;
    multi_accept on;
    worker_connections $MOST_CONNECTIONS;
}
http {
    types { application/octet-stream bin; }
    access_log off;
    sendfile $SENDFILE;
    output_buffers 2 128k;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout ${KEEP_S}s;
    open_file_cache max=1024 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path $SCRATCH/nginx-body;
    proxy_temp_path $SCRATCH/nginx-proxy;
    fastcgi_temp_path $SCRATCH/nginx-fastcgi;
    uwsgi_temp_path $SCRATCH/nginx-uwsgi;
    scgi_temp_path $SCRATCH/nginx-scgi;
    server {
        listen $ADDRESS:80 backlog=4096;
        root $WWW;
    }
}
CONF
}

start_nginx() {
    start_on_core nginx -p "$SCRATCH" -c "$SCRATCH/nginx.conf" -e stderr
    await_answer
}

# --- h2o ---------------------------------------------------------------------

# One thread, which is as many as the core bears; files are sent with pread and
# writev, there is no choice in this version, and its backlog is the kernel's.
write_conf_h2o() {
    cat >"$SCRATCH/h2o.conf" <<CONF
user: root
num-threads: 1
max-connections: $MOST_CONNECTIONS
http1-request-timeout: $KEEP_S
error-log: /dev/stderr
pid-file: $SCRATCH/h2o.pid
listen:
  host: $ADDRESS
  port: 80
hosts:
  default:
    paths:
      /:
        file.dir: $WWW
CONF
}

start_h2o() {
    start_on_core h2o -m worker -c "$SCRATCH/h2o.conf" 2>"$SCRATCH/h2o.err"
    await_answer
}

# --- lighttpd ----------------------------------------------------------------

# Without workers, so that one process has the core; it takes half as many
# connections as files. Small files are read and
# written with their heads in one call, whatever the backend; larger ones go by
# sendfile. What it knows of a file stands until inotify says otherwise.
write_conf_lighttpd() {
    # Half as many connections as descriptors, its own choice, would be too few for (g)
    # where the limit is 20,000.
    cat >"$SCRATCH/lighttpd.conf" <<CONF
server.document-root = "$WWW"
server.bind = "$ADDRESS"
server.port = 80
server.pid-file = "$SCRATCH/lighttpd.pid"
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.stat-cache-engine = "inotify"
server.max-fds = $(ulimit -Hn)
server.max-connections = $(($(ulimit -Hn) - 1000))
server.listen-backlog = 4096
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = $KEEP_S
server.max-read-idle = $KEEP_S
mimetype.assign = (".bin" => "application/octet-stream")
CONF
}

start_lighttpd() {
    start_on_core lighttpd -D -f "$SCRATCH/lighttpd.conf" 2>"$SCRATCH/lighttpd.err"
    await_answer
}
