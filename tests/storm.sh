#!/bin/sh
# Measures a storm: 1, 20, 100 and 1,000 processes that all want the same role at once and have nothing cached, on two
# cores, with the static release binary. One call must be made and all must be served; anything else fails. Then what
# refresh ahead costs the caller. Takes two and a half minutes, most of them waiting for a session to grow old.
#
#   tests/storm.sh              needs python3 and hyperfine, and a kernel keyring; KEYROLE=PATH measures another binary
#   tests/storm.sh 50 5000      other numbers of callers, and no refresh ahead
set -eu
cd "$(dirname "$0")/.."

for tool in cargo python3; do
    command -v "$tool" >/dev/null || { echo "storm: $tool is missing; tests/run.sh installs it" >&2; exit 1; }
done
out=${CARGO_TARGET_DIR:-target}
if [ -z "${KEYROLE:-}" ]; then
    # As install.sh builds it.
    target="$(uname -m)-unknown-linux-musl"
    if [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
        name=$(echo "$target" | tr - _)
        command -v musl-gcc >/dev/null || export "CC_$name=cc" "CFLAGS_$name=-U_FORTIFY_SOURCE"
        cargo build --quiet --locked --release --bin keyrole --target "$target"
        KEYROLE=$out/$target/release/keyrole
    else
        echo "storm: the target $target is not installed; measuring a dynamic build, which is larger" >&2
        cargo build --quiet --locked --release --bin keyrole
        KEYROLE=$out/release/keyrole
    fi
fi
cargo build --quiet --locked --example sts-stand-in

exec python3 - "$(realpath "$KEYROLE")" "$out/debug/examples/sts-stand-in" "$@" <<'PY'
import json, os, shutil, ssl, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

# More than any storm takes.
PATIENCE = 120
# A session of 200 s is expiring while it has between 75 and 60 s left.
LIFETIME, AGE = 200, 128

keyrole, stand_in, *arguments = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
home = Path(tempfile.mkdtemp(prefix="storm."))
env = {"HOME": str(home), "PATH": os.environ["PATH"], "USER": "storm", "KEYROLE_STORE": "keyutils"}
problems = []


def check(is_right, problem):
    if not is_right:
        problems.append(problem)


def wait_until(is_done, what):
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        if time.monotonic() > deadline:
            sys.exit(f"storm: gave up: {what}")
        time.sleep(0.005)


def control(method, path):
    context = ssl.create_default_context(cafile=home / "ca.pem")
    request = urllib.request.Request((home / "endpoint").read_text().strip() + path, method=method)
    return urllib.request.urlopen(request, context=context).read()


def calls():
    return sum(call["action"] == "AssumeRole" for call in json.loads(control("GET", "/_calls")))


def run(*words):
    return subprocess.run([keyrole, *words], env=env, capture_output=True, text=True, start_new_session=True)


def resident(pid):
    """The largest resident size so far, in kB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def waiters(pids):
    """Those of these processes that the kernel lists as waiting for a lock."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return pids & {int(line[5]) for line in lines if line[1] == "->"}


def storm(number):
    run("logout", "prod")
    before = calls()
    control("POST", "/_hold")
    answers, errors = home / "answers", home / "errors"
    for path in answers, errors:
        path.write_text("")
    # All append to one file: each answer is one write, so none is torn.
    with answers.open("ab") as out, errors.open("ab") as err:
        began = time.monotonic()
        streams = dict(stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        callers = [subprocess.Popen([keyrole, "get", "prod"], env=env, start_new_session=True, **streams)
                   for _ in range(number)]
    pids = {caller.pid for caller in callers}
    wait_until(lambda: calls() > before and len(waiters(pids)) == number - 1, f"of {number} not all wait")
    waiting = waiters(pids)
    started = time.monotonic() - began
    largest = max(map(resident, waiting), default=0)
    holder = max(map(resident, pids - waiting))
    released = time.monotonic()
    control("POST", "/_release")
    codes = [caller.wait(PATIENCE) for caller in callers]
    served = time.monotonic() - released
    made = calls() - before
    failed = sum(code != 0 for code in codes)
    said = errors.read_text()
    keys = {json.loads(line)["AccessKeyId"] for line in answers.read_text().splitlines()}
    documents = len(answers.read_text().splitlines())
    check(made == 1, f"{number} callers made {made} calls")
    check(failed == 0 and not said, f"of {number} callers {failed} failed: {said[:500]}")
    check((documents, len(keys)) == (number, 1), f"{number} callers got {documents} answers with {len(keys)} keys")
    check(largest <= 2048, f"a waiter of {number} had {largest} kB")
    memory = f"{largest:,} kB" if number > 1 else "-"
    print(f"| {number:>7,} | {made:>10} | {failed:>6} | {started:>14.2f} s | {served:>14.3f} s "
          f"| {memory:>14} | {holder:>6,} kB |", flush=True)


def refresh_ahead(issued):
    time.sleep(max(0, issued + AGE - time.monotonic()))
    run("get", "fresh")
    # The renewal is held at STS, so that the session is an expiring one for every caller.
    before = calls()
    control("POST", "/_hold")
    subprocess.run(
        ["hyperfine", "--style", "none", "--shell", "none", "--warmup", "20", "--runs", "1000", "--export-json",
         home / "times", f"{keyrole} get fresh", f"{keyrole} get old"], env=env, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    wait_until(lambda: calls() > before, "nothing was renewed ahead")
    made = calls() - before
    control("POST", "/_release")
    check(made == 1, f"1,020 expiring hits made {made} calls")
    results = json.loads((home / "times").read_text())["results"]
    fresh, old = (result["median"] * 1000 for result in results)
    print(f"\nhit, median of 1,000: {fresh:.3f} ms; hit that starts a refresh ahead: {old:.3f} ms; "
          f"the caller pays {old - fresh:.3f} ms")


sts = subprocess.Popen([stand_in, "--tls", "--home", home, "--keyrole", keyrole, "--exit-with-parent"],
                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
try:
    wait_until((home / "endpoint").exists, "the stand-in does not start")
    config = home / ".aws/config"
    prod = config.read_text().split("[profile prod]\n")[1]
    for number, name in enumerate(["old", "fresh"]):
        with config.open("a") as file:
            file.write(f"\n[profile {name}]\n{prod}duration_seconds = {900 + number}\n")
    has_hyperfine = shutil.which("hyperfine") is not None
    with_refresh = has_hyperfine and not arguments
    if with_refresh:
        # An STS whose clock is slow makes a session that ends early.
        control("POST", f"/_clock?offset={LIFETIME - 900}")
        issued = time.monotonic()
        first = run("get", "old")
        check(first.returncode == 0, f"no session that ends early: {first.stderr}")
        control("POST", "/_clock?offset=0")
    print("| callers | STS calls | errors | until all wait | all served after | largest waiter | the caller of STS |")
    print("|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for number in map(int, arguments or [1, 20, 100, 1000]):
        storm(number)
    if with_refresh:
        refresh_ahead(issued)
    elif not has_hyperfine:
        print("storm: without hyperfine nothing is said of refresh ahead")
finally:
    for name in "prod", "old", "fresh":
        run("logout", name)
    sts.stdin.close()
    sts.wait()
    shutil.rmtree(home, ignore_errors=True)
for problem in problems:
    print(f"storm: {problem}", file=sys.stderr)
sys.exit(bool(problems))
PY
