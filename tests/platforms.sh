#!/bin/sh
# Type-checks keyrole for the platforms that the tests do not run on: macOS and Windows. Installs the Rust targets where they
# are missing; needs no compiler for either, as nothing is linked.
set -eu
exec </dev/null
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# In place of a C compiler and an archiver: makes the empty file that it is asked for.
cat >"$dir/cc" <<'SH'
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in -o) : >"$2"; shift ;; *.a) : >"$1" ;; esac
    shift
done
SH
chmod +x "$dir/cc"

for target in aarch64-apple-darwin x86_64-apple-darwin x86_64-pc-windows-gnu; do
    [ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"
    name=$(echo "$target" | tr - _)
    env "CC_$name=$dir/cc" "AR_$name=$dir/cc" cargo check --quiet --locked --target "$target" --target-dir "${CARGO_TARGET_DIR:-target}/platforms"
    echo "tests/platforms.sh: $target: ok"
done
