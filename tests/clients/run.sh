#!/bin/sh
# Runs the clients of AWS that people have against keyrole and prints a matrix: a row for each client, a column for each case.
#
#   tests/clients/run.sh             all that can be had on this machine; the others have a dash and the reason
#   tests/clients/run.sh NAME...     only these; an unknown name lists them all
#   tests/clients/run.sh js "case=at once"
#                                    these, in this case only
#   tests/clients/run.sh --ci        all but Java and Terraform, which are large
#   KEYROLE=PATH tests/clients/run.sh
#                                    another binary than the debug build
#
# A client comes from Debian's packages (as root, or through sudo), from PyPI, npm or Cargo's registry, and is kept in
# tests/clients/.installed. Then nothing is fetched any more: where the kernel allows it, the cells run in a network namespace
# of their own, which has only loopback. Two minutes of a run are two sessions that end and somebody who thinks for a minute.
set -eu
exec </dev/null
cd "$(dirname "$0")/../.."

PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"
KEYROLE_TEST_VENV=${KEYROLE_TEST_VENV:-$PWD/tests/.venv}
export PATH KEYROLE_TEST_VENV
# Some machines preset them; not every client takes them.
unset AWS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE

# boto3, the AWS CLI and moto are the other tests' too.
[ -x "$KEYROLE_TEST_VENV/bin/moto_server" ] || tests/run.sh --no-run
[ -n "${KEYROLE:-}" ] || cargo build --quiet --locked --bin keyrole
cargo build --quiet --locked --example sts-stand-in

matrix="python3 -u tests/clients/matrix.py"
$matrix install "$@"
for unshare in 'unshare --net' 'unshare --map-root-user --net'; do
    # shellcheck disable=SC2086
    if $unshare true 2>/dev/null; then exec $unshare $matrix run "$@"; fi
done
echo "tests/clients/run.sh: no network namespace can be made here; the clients are trusted to stay on loopback" >&2
exec $matrix run "$@"
