#!/bin/sh
# Writes hot-functions.ld: the functions that a hit and a waiter run through, so that the linker puts them side by side. A
# page of a program is mapped with the fifteen around it; scattered over the binary, these functions would take twice
# the memory and a fifth more time. A name that is no longer there does no harm, so this is run when the figures of
# tests/bench.sh and tests/storm.sh have become worse, and not for every change.
#
#   tests/hot-functions.sh      needs valgrind, python3 and the static target
set -eu
cd "$(dirname "$0")/.."

target="$(uname -m)-unknown-linux-musl"
CARGO_PROFILE_RELEASE_STRIP=false cargo build --quiet --release --target "$target"
cargo build --quiet --example sts-stand-in
out=${CARGO_TARGET_DIR:-target}
keyrole=$(realpath "$out/$target/release/keyrole")

work=$(mktemp -d)
pid=
trap 'kill $pid 2>/dev/null; HOME=$work "$keyrole" logout prod >/dev/null 2>&1; rm -rf "$work"' EXIT
"$out/debug/examples/sts-stand-in" --tls --home "$work" --keyrole "$keyrole" >"$work/ready" &
pid=$!
until [ -s "$work/endpoint" ]; do kill -0 $pid; sleep 0.05; done

run() { env -i HOME="$work" PATH="$PATH" USER=bench KEYROLE_CALL_TIMEOUT=4 "$@"; }
traced() { run valgrind -q --tool=callgrind --dump-instr=yes --callgrind-out-file="$work/$1" "$keyrole" get prod >/dev/null 2>&1; }
run "$keyrole" get prod >/dev/null
traced hit
run "$keyrole" logout prod >/dev/null 2>&1
# Somebody else holds the lock for longer than this one waits.
for lock in "$work"/.local/state/keyrole/locks/*; do flock -x "$lock" sleep 30 & done
traced waiter || true

nm -S -n --defined-only "$keyrole" >"$work/symbols"
python3 - "$work/symbols" "$work/hit" "$work/waiter" >hot-functions.ld <<'PY'
import bisect, re, sys

functions = []
for line in open(sys.argv[1]):
    words = line.split()
    if len(words) == 4 and words[2] in "tTwW":
        functions.append((int(words[0], 16), int(words[1], 16), words[3]))
starts = [start for start, _, _ in functions]

hot = set()
for path in sys.argv[2:]:
    address = 0
    for line in open(path):
        # An instruction's address, absolute or relative to the one before.
        found = re.match(r"(0x[0-9a-f]+|[+-]\d+|\*) ", line)
        if not found:
            continue
        word = found.group(1)
        address = int(word, 16) if word.startswith("0x") else address + int(word) if word != "*" else address
        index = bisect.bisect(starts, address) - 1
        if index >= 0 and address < starts[index] + max(functions[index][1], 1):
            hot.add(functions[index][2])


def pattern(name):
    """Replaces what changes from build to build, the hashes, and what a linker script cannot hold."""
    name = re.sub(r"17h[0-9a-f]{16}E(\.llvm\.\d+)?$", "17h*", name)
    name = re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name)
    return re.sub(r"\.\d+$", "*", name).replace("$", "?")


print("/* Made by tests/hot-functions.sh: what a hit and a waiter run through stands side by side. */")
print("SECTIONS {\n  .text.hot : {")
for name in sorted(map(pattern, hot)):
    print(f"    *(.text.{name})")
print("  }\n}\nINSERT BEFORE .text;")
PY
wc -l hot-functions.ld
