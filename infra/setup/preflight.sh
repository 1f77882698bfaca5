#!/usr/bin/env bash
# Says what this machine lacks before anything is built, with the command that brings it.
#
#   infra/setup/preflight.sh [--install]     --install: let apt-get bring what is missing (root only)
set -euo pipefail

PYTHON=${PYTHON:-python3.11}
packages=()   # Debian packages that would help
problems=()   # what no package mends

lacks() { ! command -v "$1" >/dev/null 2>&1; }

check_machine() {
    local system machine
    system=$(uname -s) machine=$(uname -m)
    if [[ $system != Linux || $machine != x86_64 ]]; then
        problems+=("this is $system on $machine; the pinned binaries (Triton, Envoy, Consul) are built for Linux on x86_64")
    fi
}

check_python() {
    if lacks "$PYTHON"; then
        packages+=(python3.11 python3.11-venv)
    elif ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
        problems+=("$PYTHON is $("$PYTHON" -V 2>&1), Python 3.11 is needed; name one with: make PYTHON=/path/to/python3.11")
    elif ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        packages+=(python3.11-venv)
    fi
}

# Consul and a few programs of the tests come as Debian packages, unpacked into .runtime/ (nothing is installed into the system).
check_debian() {
    [[ -x .runtime/bin/consul || -n ${BMASE_BINARY_CONSUL:-} ]] && return
    if lacks apt-get || lacks dpkg-deb; then
        problems+=("apt-get or dpkg-deb is missing: Consul is taken from Debian. Point BMASE_BINARY_CONSUL at a consul of your own")
    elif [[ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]]; then
        packages+=(debian-archive-keyring)
    fi
}

check_tools() {
    lacks make && packages+=(make)
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || packages+=(ca-certificates)
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    echo "installing: $*"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

check_machine
check_python
check_debian
check_tools || true

if ((${#packages[@]})) && [[ ${1:-} == --install && $(id -u) == 0 ]] && ! lacks apt-get; then
    install "${packages[@]}"
    exec "$0"   # once more, without --install: what is still missing is named
fi
((${#packages[@]})) && problems+=("missing here, on Debian 12 run: apt-get install ${packages[*]}")
if ((${#problems[@]})); then
    printf 'error: %s\n' "${problems[@]}" >&2
    exit 1
fi
