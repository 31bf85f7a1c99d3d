# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# What the scripts beside this file share. To be sourced, after `set -euo pipefail`.

REPO=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
TESTENV=$REPO/testenv/testenv.sh
BIN=$REPO/target/release/xdphttpd
readonly REPO TESTENV BIN

# The first words of the line that the server prints once a request would succeed.
readonly READY='xdphttpd ready: '
readonly READY_TIMEOUT_S=10
# The server finishes responses in flight for at most 5 s; then it is stuck.
readonly STOP_TIMEOUT_S=15

die() { echo "${0##*/}: $*" >&2; exit 1; }
step() { printf '\n==> %s\n' "$*"; }
require_root() { [[ $EUID -eq 0 ]] || die "needs root (network namespaces, XDP): sudo $0"; }

# --- cargo, under sudo too ---------------------------------------------------

home_of() { getent passwd "$1" | cut -d: -f6; }

# Puts cargo on PATH. sudo resets PATH and HOME, so rustup's usual places are
# looked at: the invoking user's home, then root's.
#
# BUILDER is the user to build as: whoever called sudo, if the toolchain and
# the checkout are theirs, so that nothing in either becomes root's.
find_cargo() {
    local user home
    BUILDER=$(id -un)
    for user in "${SUDO_USER:-}" "$BUILDER" root; do
        [[ -n $user ]] || continue
        home=$(home_of "$user")
        [[ -x $home/.cargo/bin/cargo ]] || continue
        export PATH=$home/.cargo/bin:$PATH RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
        if [[ $EUID -eq 0 && $(stat -c %U "$REPO") == "$user" && $user != root ]]; then
            BUILDER=$user
            # Both users must see one registry, or all would be built twice.
            export CARGO_HOME=$home/.cargo
        fi
        break
    done
    command -v cargo >/dev/null ||
        die "cargo isn't installed: get Rust from https://rustup.rs (curl https://sh.rustup.rs -sSf | sh), then run this again"
    check_rust_version
}

check_rust_version() {
    local needed found
    needed=$(sed -n 's/^rust-version *= *"\([^"]*\)".*/\1/p' "$REPO/Cargo.toml")
    found=$(cd "$REPO" && as_builder rustc --version | awk '{ print $2 }')
    [[ $(printf '%s\n' "$needed" "$found" | sort -V | head -1) == "$needed" ]] ||
        die "Rust $needed or newer is needed, this is $found: rustup update stable"
}

# as_builder COMMAND...: runs it as BUILDER, here or through runuser.
as_builder() {
    if [[ $BUILDER == "$(id -un)" ]]; then
        "$@"
    else
        runuser -u "$BUILDER" -- env HOME="$(home_of "$BUILDER")" PATH="$PATH" \
            CARGO_HOME="$CARGO_HOME" RUSTUP_HOME="$RUSTUP_HOME" "$@"
    fi
}

# cargo as BUILDER, in the repository.
cargo_build() {
    if [[ $BUILDER != root && -d $REPO/target ]]; then
        # What an earlier build as root left would stop this one.
        chown -R --from=root "$BUILDER" "$REPO/target"
    fi
    (cd "$REPO" && as_builder cargo "$@")
}

# Builds what testenv.sh needs for a long path between the lab's ends.
build_relay() {
    find_cargo
    cargo_build build --release --locked --example relay
}

# --- processes and addresses -------------------------------------------------

# wait_ready PID LOG: until the server's ready line is in LOG; false if it ends
# or takes too long, with one line on stderr that says which.
wait_ready() {
    local deadline=$((SECONDS + READY_TIMEOUT_S))
    until grep -q "^$READY" "$2"; do
        kill -0 "$1" 2>/dev/null || { echo "the server ended before it was ready" >&2; return 1; }
        (( SECONDS < deadline )) || { echo "the server isn't ready after $READY_TIMEOUT_S s" >&2; return 1; }
        sleep 0.1
    done
}

# stop PID: SIGTERM, a bounded wait, then SIGKILL. The caller may `wait` for the status.
stop() {
    local deadline=$((SECONDS + STOP_TIMEOUT_S))
    kill -TERM "$1" 2>/dev/null || return 0
    while kill -0 "$1" 2>/dev/null; do
        if (( SECONDS >= deadline )); then
            echo "process $1 is still there $STOP_TIMEOUT_S s after SIGTERM: killing it" >&2
            kill -KILL "$1"
            # Without a number it would be, in a trap, the status of before.
            return 0
        fi
        sleep 0.05
    done
}

# testenv_var ENVIRONMENT NAME: one value of the lab's state.
testenv_var() { "$TESTENV" vars --name="$1" | sed -n "s/^$2=//p"; }

# --- measuring ---------------------------------------------------------------

# idle_us CORE: microseconds in which CORE had nothing to do, or was the
# hypervisor's, so far: idle, iowait and steal of proc_stat(5).
#
# Busy time is the wall clock less these. The busy columns themselves (user,
# system, softirq) are sampled by the timer tick on many kernels and miss up to
# half of a load that comes in bursts; idle time is measured exactly.
idle_us() {
    awk -v cpu="cpu$1" -v hz="$(getconf CLK_TCK)" \
        '$1 == cpu { printf "%.0f", ($5 + $6 + $9) * 1e6 / hz }' /proc/stat
}

wall_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# rss_kib PID: its resident memory, KiB.
rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }

cpu_model() { sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1; }
