#!/usr/bin/env bash
# Sets up what the Makefile needs; does nothing, quickly, when it is there already.
#
#   scripts/setup.sh environment    .venv with the project (editable) and its tested dependencies
#   scripts/setup.sh xrootd         XRootD's server and client, from Debian, when run as root
#   scripts/setup.sh servers        the same and all other programs that the tests run, likewise, and .venv-rucio
#                                   with a Rucio server
#
# PYTHON=… chooses the interpreter of the environment. Ends with 1 and says what to do when something cannot be had.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv
readonly stamp=$venv/set-up
readonly rucio_venv=.venv-rucio
readonly rucio_wants=tests/servers/rucio.txt
readonly oldest=3.11

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

apt_install() {
    echo "Installing $* with apt-get"
    local log
    log=$(mktemp)
    if ! { DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# The tests start servers of their own, on loopback: a service that comes with a package is not started, here and now.
hold_services() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
}

# Nor is one that listens on all interfaces when the machine starts the next time.
disable_services() {
    if [[ " $* " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
        systemctl --quiet disable prometheus.service || true
    fi
}

may_apt() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null
}

recent_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${oldest/./, }))" 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        recent_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version $oldest or later."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13; do
        if recent_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "No Python of version $oldest or later was found." \
        "Install one (Debian 12: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3 …"
}

make_venv() {
    local python=$1 where=$2 package
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if ! may_apt || ! apt_install "$package" || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            fail "$python cannot make a virtual environment. Run as root: apt-get install $package"
        fi
    fi
    "$python" -m venv --clear "$where"
}

set_up_environment() {
    local here wanted
    here=$(pwd)
    # Scripts in an environment name its place, so a checkout that was moved needs another one.
    wanted=$(printf '%s\n' "$here" && cat pyproject.toml constraints.txt | cksum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && recent_enough "$venv/bin/python"; then
        return
    fi
    if [ -n "${PYTHON:-}" ] || [ ! -f "$stamp" ] || [ "$(head -n 1 "$stamp")" != "$here" ] ||
        ! recent_enough "$venv/bin/python"; then
        local python
        python=$(find_python)
        echo "Making $venv with $("$python" --version)"
        make_venv "$python" "$venv"
    fi
    echo "Installing packages into $venv (a minute or two the first time)"
    rm -f "$stamp"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
        --editable '.[dev]' || fail "pip could not install the packages; see above."
    printf '%s\n' "$wanted" >"$stamp"
}

# Rucio's server wants other versions of some packages than the program, so it lives apart.
set_up_rucio() {
    local here wanted python
    here=$(pwd)
    wanted=$(printf '%s\n' "$here" && cksum <"$rucio_wants")
    if [ -f "$rucio_venv/set-up" ] && [ "$(cat "$rucio_venv/set-up")" = "$wanted" ] &&
        recent_enough "$rucio_venv/bin/python"; then
        return
    fi
    python=$(find_python)
    echo "Making $rucio_venv with a Rucio server (half a minute)"
    make_venv "$python" "$rucio_venv"
    "$rucio_venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --requirement "$rucio_wants" || fail "pip could not install the packages of $rucio_wants; see above."
    printf '%s\n' "$wanted" >"$rucio_venv/set-up"
}

is_there() {
    case $1 in
    */*) compgen -G "$1" >/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

# Takes pairs of a program, or a file, and the Debian package that brings it; installs what is missing.
set_up_programs() {
    local pair programs=() packages=()
    for pair in "$@"; do
        if ! is_there "${pair%%:*}"; then
            programs+=("${pair%%:*}")
            packages+=(${pair#*:})
        fi
    done
    if [ ${#programs[@]} -eq 0 ]; then
        return
    fi
    if may_apt && hold_services && apt_install "${packages[@]}"; then
        disable_services "${packages[@]}"
        return
    fi
    fail "Programs are missing: ${programs[*]}." \
        "Install them as root, then try again: apt-get install ${packages[*]}"
}

readonly xrootd=(xrootd:xrootd-server xrdfs:xrootd-client)
readonly servers=(
    "${xrootd[@]}"
    "/usr/lib/*/libXrdAccSciTokens-5.so:xrootd-scitokens-plugins"
    openssl:openssl
    systemd-analyze:systemd
    chromium:chromium
    chromedriver:chromium-driver
    pg_ctlcluster:postgresql
    mariadbd:mariadb-server
    prometheus:prometheus
    "/usr/sbin/apache2:apache2-bin"
    "gfal-ls:gfal2-util-scripts gfal2-plugin-xrootd gfal2-plugin-file"
)

compile_modules() {
    # An editable installation is not compiled, and where Python may not write bytecode it would be at every start.
    "$venv/bin/python" -m compileall -q actors engine storage cli dynamo_consistency
}

case "${1:-}" in
environment) set_up_environment && compile_modules ;;
xrootd) set_up_programs "${xrootd[@]}" ;;
servers)
    set_up_programs "${servers[@]}"
    set_up_rucio
    ;;
*) fail "usage: scripts/setup.sh environment|xrootd|servers" ;;
esac
