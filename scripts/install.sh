#!/usr/bin/env bash
# Installs from Debian what the build, the lab and the tests need, if it is
# missing, and checks that Rust is there. --bench adds the benchmark's tools.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

readonly BUILD=(gcc libc6-dev clang llvm libclang-dev m4 make pkg-config libelf-dev zlib1g-dev
    linux-libc-dev ca-certificates)
readonly LAB=(iproute2 iputils-ping ethtool tcpdump util-linux procps)
readonly TESTS=(curl wget aria2 netcat-openbsd nftables python3 valgrind chromium)
readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_MARK='# made by xdphttpd scripts/install.sh'

is_installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# install_missing PACKAGE...
install_missing() {
    local package missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    (( ${#missing[@]} )) || return 0
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt_update_once
    apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install: ${missing[*]}"
}

UPDATED=
apt_update_once() {
    [[ -z $UPDATED ]] || return 0
    apt-get update -q >/dev/null || die "apt-get update failed: is there a network?"
    UPDATED=1
}

# The benchmark's servers run as private processes. Their packages would start
# services now and at every boot: policy-rc.d forbids the one, `disable` ends
# the other. A server that is already here stays as it is.
install_servers() {
    local server package missing=()
    for server in nginx h2o lighttpd; do
        [[ -x $(PATH=$PATH:/usr/sbin command -v "$server") ]] || missing+=("$server")
    done
    (( ${#missing[@]} )) || return 0
    forbid_starts "${missing[@]}"
    trap allow_starts EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for server in "${missing[@]}"; do
        package=$server
        if [[ $server == nginx ]]; then package=nginx-light; fi
        install_missing "$package"
        if command -v systemctl >/dev/null; then
            systemctl disable "$server.service" &>/dev/null || echo "could not disable $server.service: see to it" >&2
        fi
    done
    allow_starts
    trap - EXIT INT TERM HUP
}

# forbid_starts SERVICE...
forbid_starts() {
    local names
    allow_starts                            # what a killed run may have left
    [[ ! -e $POLICY ]] || mv "$POLICY" "$POLICY.xdphttpd-saved"
    names=$(IFS='|'; echo "$*")
    # shellcheck disable=SC2016 # $1 is the policy's own
    printf '%s\n' '#!/bin/sh' "$POLICY_MARK" 'case $1 in' "    $names) exit 101 ;;" 'esac' 'exit 0' >"$POLICY"
    chmod 755 "$POLICY"
}

allow_starts() {
    if grep -qsF "$POLICY_MARK" "$POLICY"; then rm -f "$POLICY"; fi
    [[ ! -e $POLICY.xdphttpd-saved ]] || mv "$POLICY.xdphttpd-saved" "$POLICY"
}

main() {
    local bench=
    case ${1:-} in
        '') ;;
        --bench) bench=1 ;;
        *) die "unknown argument '$1'; usage: $0 [--bench]" ;;
    esac
    require_root
    command -v apt-get >/dev/null ||
        die "no apt-get here; install by your own means: ${BUILD[*]} ${LAB[*]} ${TESTS[*]}"
    local packages=("${BUILD[@]}" "${LAB[@]}" "${TESTS[@]}")
    # clang -target bpf looks for the 32-bit stub headers on amd64 only.
    [[ $(dpkg --print-architecture) == amd64 ]] && packages+=(gcc-multilib)
    install_missing "${packages[@]}"
    if [[ -n $bench ]]; then
        install_missing wrk
        install_servers
    fi
    find_cargo
    echo "all there: $(as_builder cargo --version)"
}

main "$@"
