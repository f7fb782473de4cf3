#!/bin/sh
# Builds keyrole and installs it for this user.
#
#   ./install.sh             to ~/.local/bin
#   ./install.sh --to DIR    to another directory
#   ./install.sh --try       and then show it at work, in a temporary home, against a stand-in for AWS
#
# Needs Rust and a C compiler, and no root. On Linux it makes a static binary where it can: that starts five times faster.
set -eu

say() { printf '%s\n' "$@"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

# --- the build -------------------------------------------------------------------------------------------------------

needs() {
    command -v cargo >/dev/null || PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null || fail "Rust is missing; https://rustup.rs installs it for you alone"
    command -v cc >/dev/null || fail "a C compiler is missing (Debian, Ubuntu: apt-get install gcc libc6-dev)"
}

has_target() { ls "$(rustc --print target-libdir --target "$1" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; }

musl="$(uname -m)-unknown-linux-musl"

# Prints the target for a static binary, if there is one and Rust has it or can get it.
static_target() {
    [ "$(uname -s)" = Linux ] || return 0
    has_target "$musl" || { command -v rustup >/dev/null && timeout 120 rustup target add "$musl" >/dev/null 2>&1; } || return 0
    ! has_target "$musl" || say "$musl"
}

build() {
    target=$(static_target)
    directory=$(cargo metadata --locked --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    if [ -n "$target" ]; then
        say "Building keyrole for $target, a static binary. This takes a few minutes."
        # ring's C files call nothing of libc's, so any C compiler will do. Fortified calls would be glibc's.
        name=$(say "$target" | tr - _)
        if ! command -v musl-gcc >/dev/null; then
            export "CC_$name=cc" "CFLAGS_$name=-U_FORTIFY_SOURCE"
        fi
        if cargo build --quiet --locked --release --bin keyrole --target "$target"; then
            built=$directory/$target/release/keyrole
            return
        fi
        say "That did not work; an ordinary build follows. musl-tools (Debian, Ubuntu) may be what is missing."
    else
        say "Building keyrole, dynamically linked. This takes a few minutes."
        [ "$(uname -s)" != Linux ] || say "It would start faster as a static binary: rustup target add $musl"
    fi
    cargo build --quiet --locked --release --bin keyrole
    built=$directory/release/keyrole
}

# --- the installation ------------------------------------------------------------------------------------------------

# Replaces a file in one step, so that a keyrole that is running goes on undisturbed.
put() {
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
}

# The man page and the completions, where the shells look for those of a program in PREFIX/bin.
put_pages() {
    share=${to%/bin}/share
    page=$(mktemp)
    "$keyrole" man >"$page"
    put "$page" "$share/man/man1/keyrole.1" 644
    "$keyrole" completions bash >"$page"
    put "$page" "$share/bash-completion/completions/keyrole" 644
    "$keyrole" completions fish >"$page"
    put "$page" "$share/fish/vendor_completions.d/keyrole.fish" 644
    "$keyrole" completions zsh >"$page"
    put "$page" "$share/zsh/site-functions/_keyrole" 644
    rm -f "$page"
}

install_it() {
    keyrole=$to/keyrole
    put "$built" "$keyrole" 755
    say "Installed $keyrole ($("$keyrole" --version))."
    case $to in */bin) put_pages; say "The man page and the completions are in ${to%/bin}/share." ;; esac
    case $keyrole in *[!A-Za-z0-9/._+,@-]*)
        say "Note: some AWS SDKs cannot run a program from a path like this one. Make a link from a path without" \
            "spaces and special characters, and write that into credential_process." ;;
    esac
    case :$PATH: in *":$to:"*) ;; *) say "Note: $to is not on your PATH. credential_process does not need it; you might." ;; esac
}

# --- the show --------------------------------------------------------------------------------------------------------

# Runs a command in the temporary home, with nothing of this user's AWS settings.
at_home() {
    env -i HOME="$home" PATH="$PATH" USER=me LANG=C.UTF-8 \
        ${XDG_RUNTIME_DIR:+XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR"} \
        ${DBUS_SESSION_BUS_ADDRESS:+DBUS_SESSION_BUS_ADDRESS="$DBUS_SESSION_BUS_ADDRESS"} "$@"
}

clean_up() {
    at_home "$keyrole" logout prod admin >/dev/null 2>&1 || true
    # The stand-in ends with its standard input, which this is.
    exec 9>&-
    rm -rf "$home"
}

masked() { sed -E 's/("(SecretAccessKey|SessionToken)":"...)[^"]*/\1***/g'; }

microseconds() {
    case $(date +%N) in
        *[!0-9]* | '') perl -MTime::HiRes=time -e 'printf "%d\n", time * 1e6' ;;
        *) say "$(($(date +%s%N) / 1000))" ;;
    esac
}

# Prints the microseconds since $1, over $2 runs, in milliseconds.
milliseconds() { say "$(($(microseconds) - $1)) $2" | awk '{ printf "%.1f ms\n", $1 / $2 / 1000 }'; }

start_stand_in() {
    say "" "Building the stand-in for AWS: like AWS it checks signatures and MFA codes. This takes a minute or two."
    cargo build --quiet --locked --example sts-stand-in
    stand_in=$directory/debug/examples/sts-stand-in
    home=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' HUP INT TERM
    mkfifo "$home/alive" "$home/ready"
    "$stand_in" --home "$home" --keyrole "$keyrole" --exit-with-parent <"$home/alive" >"$home/ready" &
    exec 9>"$home/alive"
    read -r _ <"$home/ready" || fail "the stand-in did not start"
    read -r url <"$home/endpoint"
    sed -n '/^\[profile prod\]/,$p' "$home/.aws/config" |
        sed "s/prod/admin/; \$a mfa_serial = arn:aws:iam::111122223333:mfa/me" >"$home/admin"
    { echo; cat "$home/admin"; } >>"$home/.aws/config"
}

try_it() {
    start_stand_in
    say "" "~/.aws/config of a temporary home:" ""
    sed 's/^./    &/' "$home/.aws/config"

    say "" '$ keyrole get prod'
    start=$(microseconds)
    first=$(at_home "$keyrole" get prod)
    took=$(milliseconds "$start" 1)
    say "$first" | masked
    say "A miss, $took: keyrole has assumed the role and put the session into the keyring."

    say "" '$ keyrole get prod'
    second=$(at_home "$keyrole" get prod)
    say "$second" | masked
    if [ "$first" = "$second" ]; then
        start=$(microseconds)
        at_home sh -c 'for _ in 0 1 2 3 4 5 6 7 8 9; do for _ in 0 1 2 3 4 5 6 7 8 9; do "$0" get prod; done; done' \
            "$keyrole" >/dev/null
        say "A hit, $(milliseconds "$start" 100) on average of 100: no network, no lock, no daemon."
    else
        say "Another miss: no keyring can be reached here, as in many containers, and keyrole writes no secrets to files."
    fi

    code=$("$stand_in" --code)
    say "" "\$ keyrole get admin --mfa-code $code"
    at_home "$keyrole" get admin --mfa-code "$code" | masked
    say "Without --mfa-code it asks on the terminal, once for all roles and programs."

    if [ "$first" = "$second" ]; then
        say "" '$ keyrole status'
        at_home "$keyrole" status
    fi

    say "" "\$ aws sts get-caller-identity --profile prod"
    if ! command -v aws >/dev/null; then
        say "The AWS CLI is not installed; this is where it would say that it is the role."
    else
        # Older CLIs do not know a profile's `endpoint_url`.
        at_home aws sts get-caller-identity --profile prod --endpoint-url "$url" --output json ||
            say "The AWS CLI failed; keyrole is installed all the same."
    fi
    say "" "The temporary home and its sessions are removed again."
}

# --- what is to be done ----------------------------------------------------------------------------------------------

to=$HOME/.local/bin
try=no
while [ $# -gt 0 ]; do
    case $1 in
        --to) [ $# -gt 1 ] || fail "--to needs a directory"; to=$2; shift ;;
        --to=*) to=${1#--to=} ;;
        --try) try=yes ;;
        -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit ;;
        *) fail "unknown argument $1; there are --to DIR, --try and --help" ;;
    esac
    shift
done
case $to in '') fail "--to needs a directory" ;; /*) ;; *) to=$PWD/$to ;; esac
[ "$to" = / ] || to=${to%/}
cd "$(dirname "$0")"

needs
build
install_it
if [ $try = yes ]; then
    try_it
else
    say "" "Now, in ~/.aws/config:" "" "    [profile prod]" "    credential_process = $keyrole get prod" \
        "    keyrole_role_arn = arn:aws:iam::444455556666:role/Admin" "    keyrole_source_profile = base" \
        "" "./install.sh --try shows it at work."
fi
