#!/usr/bin/env bash
# Installs, builds, sets up the lab and serves www/ on its veth0 until Ctrl-C.
# usage: sudo scripts/run.sh [--once] [xdphttpd's options...]
#   --once  end after the fetch, having compared it with the file
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

readonly ENVIRONMENT=veth0
ONCE=
SERVER_PID=
LAB_IS_OURS=
LOG=

# shellcheck disable=SC2317 # called by trap
# Stops the server and removes what this script made; keeps the exit code.
clean_up() {
    local code=$?
    trap '' INT TERM HUP
    if [[ -n $SERVER_PID ]]; then stop "$SERVER_PID"; fi
    if [[ -n $LAB_IS_OURS ]]; then "$TESTENV" teardown --name="$ENVIRONMENT" || true; fi
    rm -f "$LOG"
    exit "$code"
}

set_up_lab() {
    if "$TESTENV" vars --name="$ENVIRONMENT" &>/dev/null; then
        echo "The lab is there already, so it stays when this ends."
    else
        LAB_IS_OURS=1
        "$TESTENV" setup --name="$ENVIRONMENT"
    fi
}

# The server gets a session of its own, so that Ctrl-C reaches this script
# alone and arrives there as one SIGTERM.
start_server() {
    LOG=$(mktemp)
    cd "$REPO"
    setsid "$BIN" -d "$ENVIRONMENT" --root www "$@" > >(tee -i "$LOG") &
    SERVER_PID=$!
    wait_ready "$SERVER_PID" "$LOG" || die "see what it said above"
}

# The address that the ready line names, which knows about --port.
server_url() {
    local url
    url=$(sed -n "s/^$READY\(http:[^ ]*\).*/\1/p" "$LOG" | head -1)
    echo "${url:-http://$(testenv_var "$ENVIRONMENT" outer_ip4)/}"
}

# from_namespace CURL-ARGUMENTS...: fails unless the answer is a success.
from_namespace() {
    "$TESTENV" exec --name="$ENVIRONMENT" -- curl -sS --fail-with-body --noproxy '*' --max-time 10 "$@"
}

# Waits for the server to end by itself or by Ctrl-C, and exits as it did.
serve_on() {
    trap 'stop "$SERVER_PID"' INT TERM HUP
    local code=0
    wait "$SERVER_PID" || code=$?
    # A trapped signal ends the first wait; the second has the server's status.
    if (( code > 128 )); then
        code=0
        wait "$SERVER_PID" || code=$?
    fi
    SERVER_PID=
    exit "$code"
}

main() {
    if [[ ${1:-} == --once ]]; then ONCE=1; shift; fi
    require_root
    step "install what is missing"
    "$REPO/scripts/install.sh"
    find_cargo
    step "build"
    cargo_build build --release --locked
    [[ -x $BIN ]] || die "the build made no $BIN"

    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    step "set up the lab"
    set_up_lab
    step "serve www/"
    start_server "$@"
    local url
    url=$(server_url)
    step "fetch $url from the namespace"
    from_namespace -i "$url"
    if [[ -n $ONCE ]]; then
        from_namespace "$url" | cmp - "$REPO/www/index.html" || die "the answer isn't www/index.html"
        step "stop"
        kill -TERM "$SERVER_PID"
    else
        step "serving $url until Ctrl-C; fetch it with: sudo testenv/testenv.sh exec -- curl -i $url"
    fi
    serve_on
}

main "$@"
