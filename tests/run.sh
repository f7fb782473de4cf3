#!/bin/sh
# Installs what the tests need, then runs them all. Arguments go to `cargo test`.
#
# Programs come from Debian's packages (as root, or through sudo), Python packages go to tests/.venv. Needs no terminal,
# no running service and no input. Without root it names what is missing and ends.
set -eu
exec </dev/null
cd "$(dirname "$0")/.."

say() { echo "tests/run.sh: $*"; }
fail() { echo "tests/run.sh: $*" >&2; exit 1; }

# The AWS CLI v2, which is no Python package; `aws` on PATH may be version 1.
cli_v2() {
    for aws in ${KEYROLE_TEST_AWS2:+"$KEYROLE_TEST_AWS2"} /usr/bin/aws /usr/local/bin/aws; do
        case $("$aws" --version 2>/dev/null) in aws-cli/2*) echo "$aws"; return ;; esac
    done
}

# A program that shows that a package is there, and the package.
missing_packages() {
    for pair in cc:gcc dbus-run-session:dbus faketime:faketime fish:fish gnome-keyring-daemon:gnome-keyring go:golang-go \
        hyperfine:hyperfine keepassxc:keepassxc kwalletd5:libkf5wallet-bin node:nodejs \
        ip:iproute2 keyctl:keyutils pinentry-curses:pinentry-curses Xvfb:xvfb xdotool:xdotool zenity:zenity kdialog:kdialog \
        musl-gcc:musl-tools oathtool:oathtool secret-tool:libsecret-tools \
        setpriv:util-linux strace:strace tinyproxy:tinyproxy tmux:tmux valgrind:valgrind; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
    # KWallet's Secret Service exchanges its keys with this.
    ls /usr/lib/*/qca-qt5/crypto/libqca-ossl.so >/dev/null 2>&1 || echo libqca-qt5-2-plugins
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3 python3-venv
    [ -n "$(cli_v2)" ] || echo awscli
}

install_packages() {
    if [ "$(id -u)" = 0 ]; then
        as_root='env DEBIAN_FRONTEND=noninteractive'
    elif sudo -n true 2>/dev/null; then
        as_root='sudo -n env DEBIAN_FRONTEND=noninteractive'
    else
        fail "neither root nor a sudo that needs no password; please install: $*"
    fi
    command -v apt-get >/dev/null || fail "there is no apt-get here; please install what Debian calls: $*"
    say "installing $*"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    apt="$as_root apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
    # shellcheck disable=SC2086
    { $apt update && $apt install -y --no-install-recommends "$@"; } >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "apt-get failed"; }
}

PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"
command -v cargo >/dev/null || fail "there is no cargo; please install Rust"

missing=$(missing_packages)
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing
    missing=$(missing_packages)
    # shellcheck disable=SC2086
    [ -z "$missing" ] || fail "installed, and still not there:" $missing
fi

venv=${KEYROLE_TEST_VENV:-$PWD/tests/.venv}
if ! cmp -s tests/requirements.txt "$venv/installed"; then
    say "installing Python packages into $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt "$venv/installed"
fi

KEYROLE_TEST_VENV=$venv KEYROLE_TEST_AWS2=$(cli_v2)
export PATH KEYROLE_TEST_VENV KEYROLE_TEST_AWS2
cargo test --locked --workspace "$@"
