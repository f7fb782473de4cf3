#!/bin/sh
# Measures what keyrole costs: a hit against an empty static program of the same toolchain, instructions, memory, a
# config of 1,000 profiles, a miss over TLS, and the Secret Service against secret-tool. Ratios within one run count;
# the milliseconds are this machine's.
#
#   tests/bench.sh              needs hyperfine, valgrind, dbus, gnome-keyring, libsecret-tools, /usr/bin/time
set -eu
cd "$(dirname "$0")/.."

for tool in hyperfine valgrind cargo; do
    command -v "$tool" >/dev/null || { echo "bench: $tool is missing; tests/run.sh installs it" >&2; exit 1; }
done
unset AWS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION || true

target="$(uname -m)-unknown-linux-musl"
if [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
    set -- --target "$target"
    out="${CARGO_TARGET_DIR:-target}/$target/release"
    flags="-C target-feature=+crt-static -C relocation-model=static"
else
    echo "bench: the target $target is not installed; measuring a dynamic build instead" >&2
    set --
    target=$(rustc -vV | sed -n 's/^host: //p')
    out="${CARGO_TARGET_DIR:-target}/release"
    flags=""
fi
cargo build --quiet --release "$@"
cargo build --quiet --example sts-stand-in
stand_in="${CARGO_TARGET_DIR:-target}/debug/examples/sts-stand-in"
keyrole=$(realpath "$out/keyrole")

work=$(mktemp -d)
trap 'kill $pid 2>/dev/null; HOME=$work "$keyrole" logout prod >/dev/null 2>&1; rm -rf "$work"' EXIT
echo 'fn main() {}' >"$work/empty.rs"
# shellcheck disable=SC2086
rustc --target "$target" -C opt-level=s -C panic=abort -C lto=fat -C codegen-units=1 -C strip=symbols $flags \
    -o "$work/empty" "$work/empty.rs"

"$stand_in" --tls --home "$work" --keyrole "$keyrole" >"$work/ready" &
pid=$!
until [ -s "$work/endpoint" ]; do kill -0 $pid; sleep 0.05; done

run() { env -i HOME="$work" PATH="$PATH" USER=bench "$@"; }
run "$keyrole" get prod >/dev/null
time_of() { run hyperfine --style none --shell none --warmup 50 --runs 1000 --export-json "$work/times.json" "$@" >/dev/null
    python3 - "$work/times.json" <<'PY'
import json, sys
for result in json.load(open(sys.argv[1]))["results"]:
    times = sorted(result["times"])
    name = result["command"].split("/")[-1]
    print(f"  {name:32} median {times[len(times) // 2] * 1000:6.3f} ms   fastest {times[0] * 1000:6.3f} ms")
PY
}

echo "binary: $(stat -c %s "$keyrole") bytes, $target"
echo "hit, kernel keyring, against an empty program and true:"
time_of "$work/empty" "$keyrole get prod" "$(command -v true)"
instructions=$(run valgrind --tool=callgrind --callgrind-out-file=/dev/null "$keyrole" get prod 2>&1 >/dev/null |
    sed -n 's/.*Collected : //p')
echo "instructions of a hit: $instructions"
[ -x /usr/bin/time ] && echo "resident, kB: $(run /usr/bin/time -f %M "$keyrole" get prod 2>&1 >/dev/null)"

for n in $(seq 1000); do
    printf '[profile p%s]\nregion = eu-west-1\noutput = json\nrole_arn = arn:aws:iam::444455556666:role/Role%s\nsource_profile = base\n' "$n" "$n"
done >>"$work/.aws/config"
echo "hit with 1,000 more profiles in the config:"
time_of "$keyrole get prod"

echo "miss over TLS on loopback, signature checked by the stand-in:"
run hyperfine --style none --shell none --warmup 3 --runs 50 --export-json "$work/times.json" \
    "$keyrole get prod --refresh" >/dev/null
python3 - "$work/times.json" <<'PY'
import json, sys
result = json.load(open(sys.argv[1]))["results"][0]
times = sorted(result["times"])
print(f"  median {times[len(times) // 2] * 1000:.1f} ms wall, {(result['user'] + result['system']) * 1000:.1f} ms CPU of keyrole's own")
PY

if command -v gnome-keyring-daemon >/dev/null && command -v secret-tool >/dev/null; then
    echo "hit, Secret Service (gnome-keyring), against secret-tool:"
    mkdir -m 700 "$work/run"
    run XDG_RUNTIME_DIR="$work/run" KEYROLE_STORE=secret-service dbus-run-session -- sh -c '
        printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
        printf secret | secret-tool store --label=bench bench bench
        "$1" get prod >/dev/null
        hyperfine --style none --shell none --warmup 10 --runs 200 --export-json "$2/times.json" \
            "$1 get prod" "secret-tool lookup bench bench" >/dev/null' sh "$keyrole" "$work"
    python3 - "$work/times.json" <<'PY'
import json, sys
for result in json.load(open(sys.argv[1]))["results"]:
    times = sorted(result["times"])
    print(f"  {result['command'].split('/')[-1]:32} median {times[len(times) // 2] * 1000:6.3f} ms")
PY
fi
