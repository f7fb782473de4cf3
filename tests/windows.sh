#!/bin/sh
# Runs keyrole.exe under Wine: Credential Manager with tokens of 4,000 bytes, locks, the prompt on a console, TLS, refresh
# ahead. Installs the Rust target, mingw-w64 and Wine where they are missing (Debian's packages, as root or through sudo).
# Takes three minutes after the first time, two of them waiting for a session to grow old; not a part of CI.
#
#   tests/windows.sh            KEYROLE=PATH tests another keyrole.exe
set -eu
exec </dev/null
cd "$(dirname "$0")/.."

say() { echo "tests/windows.sh: $*"; }
fail() { echo "tests/windows.sh: $*" >&2; exit 1; }

target=x86_64-pc-windows-gnu

# A program that shows that a package is there, and the package.
missing_packages() {
    for pair in python3:python3 wine:wine /usr/lib/wine/wine64:wine64 x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
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
    apt="$as_root apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
    # shellcheck disable=SC2086
    { $apt update && $apt install -y --no-install-recommends "$@"; } >"$dir/log" 2>&1 || { tail -n 20 "$dir/log" >&2; fail "apt-get failed"; }
}

clean_up() {
    # Ends what still runs in this prefix, and nothing else.
    ! command -v wineserver >/dev/null || wineserver -k || true
    rm -rf "$dir"
}

PATH="$PATH:$HOME/.cargo/bin"
command -v cargo >/dev/null || fail "there is no cargo; please install Rust"
dir=$(mktemp -d)
# No offer to install Mono or Gecko, and no word on what Wine does not have; WINEDEBUG=+all shows everything.
export WINEPREFIX="$dir/prefix" WINEDLLOVERRIDES=mscoree,mshtml= WINEDEBUG="${WINEDEBUG:--all,err-all}"
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

missing=$(missing_packages)
# shellcheck disable=SC2086
[ -z "$missing" ] || install_packages $missing
[ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"

out=${CARGO_TARGET_DIR:-target}
if [ -z "${KEYROLE:-}" ]; then
    # Wine lists credentials at addresses that are not aligned, which only a debug build minds.
    cargo build --quiet --locked --bin keyrole --target "$target" \
        --config 'profile.dev.package.windows-native-keyring-store.debug-assertions=false'
    KEYROLE=$out/$target/debug/keyrole.exe
fi
cargo build --quiet --locked --example sts-stand-in
cp "$KEYROLE" "$dir/keyrole.exe"

wineboot --init >"$dir/log" 2>&1 || { tail -n 20 "$dir/log" >&2; fail "Wine does not start"; }
# Wine before 8.16 lacks the library that Rust takes random numbers from.
if [ ! -e "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" ]; then
    cat >"$dir/random.c" <<'C'
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return RtlGenRandom(data, size); }
C
    x86_64-w64-mingw32-gcc -shared -o "$dir/bcryptprimitives.dll" "$dir/random.c" -ladvapi32
fi
# Runs a program as those SDKs do that want no window: its console is there, and nobody sees it.
cat >"$dir/windowless.c" <<'C'
#include <windows.h>
int main(void) {
    STARTUPINFOA start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION child;
    DWORD code = 99;
    char line[] = "keyrole.exe get prod";
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, CREATE_NO_WINDOW, NULL, NULL, &start, &child)) return 98;
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, &code);
    return code;
}
C
x86_64-w64-mingw32-gcc -o "$dir/windowless.exe" "$dir/windowless.c"

say "$(wine --version), $(cd "$dir" && wine keyrole.exe --version | tr -d '\r')"
python3 - "$dir" "$out/debug/examples/sts-stand-in" <<'PY'
import json, os, pty, select, shutil, signal, ssl, subprocess, sys, time, tty, urllib.request
from pathlib import Path

# More than anything takes on a busy machine.
PATIENCE = 60
# A session of 200 s is expiring while it has between 75 and 60 s left.
LIFETIME, AGE = 200, 128
# What a program that Ctrl-C has ended exits with, as cmd.exe shows it.
CONTROL_C_EXIT = 0xC000013A - 2**32
QUESTION = "MFA code for arn:aws:iam::111122223333:mfa/me:"

here = Path(sys.argv[1])
env = {name: value for name, value in os.environ.items() if name.startswith("WINE")}
env |= {"HOME": str(here), "PATH": os.environ["PATH"], "TERM": "xterm"}
home = next(path for path in (here / "prefix/drive_c/users").iterdir() if path.name != "Public")
state = home / "AppData/Local/keyrole/data"
exe = "Z:" + str(here / "keyrole.exe").replace("/", "\\")
user_dir = f"C:\\users\\{home.name}"


def passed(what):
    print(f"ok    {what}", flush=True)


def fail(what):
    sys.exit(f"tests/windows.sh: failed: {what}")


def check(is_right, what, seen=""):
    passed(what) if is_right else fail(f"{what}: {seen!r}")


def wait_until(is_done, what):
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        if time.monotonic() > deadline:
            fail(f"gave up waiting: {what}")
        time.sleep(0.01)


def control(method, path):
    context = ssl.create_default_context(cafile=home / "ca.pem")
    request = urllib.request.Request((home / "endpoint").read_text().strip() + path, method=method)
    return urllib.request.urlopen(request, context=context).read().decode()


def count(action):
    """The calls that have reached STS, whatever it answered."""
    return sum(call["action"] == action for call in json.loads(control("GET", "/_calls")))


def start(*words, **more):
    """Starts a program without a console."""
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen(["wine", *words], cwd=here, env=env | more, start_new_session=True, **pipes)


def run(*words, **more):
    process = start(*words, **more)
    process.out, process.err = process.communicate(timeout=PATIENCE)
    process.err = process.err.decode()
    return process


def get(*words, **more):
    return run("keyrole.exe", "get", *words, **more)


def fails(process, code, *texts):
    seen = (process.returncode, process.out, process.err)
    right = process.returncode == code and not process.out and all(text in process.err for text in texts)
    check(right, f"exits {code}: {texts[0]}", seen)


def forget():
    """Lets a code be used again, here and at STS, and forgets every session."""
    control("POST", "/_reset_codes")
    run("keyrole.exe", "logout", "--all")
    shutil.rmtree(state, ignore_errors=True)


def keyroles():
    """The processes that run `keyrole.exe get` now, as Linux numbers them."""
    def words(process):
        try:
            return (process / "cmdline").read_bytes().split(b"\0")[:2]
        except OSError:
            return []

    return [int(process.name) for process in Path("/proc").glob("[0-9]*")
            if words(process) == [b"keyrole.exe", b"get"] and Path(os.readlink(process / "cwd")) == here]


class Console:
    """`keyrole get prod` on a console, which Wine makes of a terminal; stdout and stderr go to files."""

    number = 0

    def __init__(self, **more):
        Console.number += 1
        self.files = [f"console{Console.number}.{stream}" for stream in ("out", "err")]
        out, err = self.files
        line = f"keyrole.exe get prod >{out} 2>{err} & call echo ended with %^errorlevel%"
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            # Wine makes lines of the keys itself, and echoes them.
            tty.setraw(0)
            os.chdir(here)
            os.execvpe("wine", ["wine", "cmd", "/c", line], env | more)
        self.screen = ""

    def expect(self, text, times=1):
        deadline = time.monotonic() + PATIENCE
        while self.screen.count(text) < times:
            if not select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                fail(f"no {text!r} on the console: {self.screen!r}")
            try:
                self.screen += os.read(self.terminal, 4096).decode()
            except OSError:
                fail(f"the console was closed without {text!r}: {self.screen!r}")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def end(self):
        self.expect("ended with ")
        try:
            while more := os.read(self.terminal, 4096):
                self.screen += more.decode()
        except OSError:
            pass  # the terminal has gone
        self.returncode = int(self.screen.split("ended with ")[1].split()[0].split("\x1b")[0])
        os.waitpid(self.pid, 0)
        os.close(self.terminal)
        self.out, self.err = ((here / name).read_text() for name in self.files)
        return self


sts = subprocess.Popen(
    [sys.argv[2], "--tls", "--mfa", "--token-bytes", "4000", "--home", home, "--keyrole", exe, "--exit-with-parent"],
    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
try:
    wait_until((home / "endpoint").exists, "the stand-in does not start")
    code = lambda: control("GET", "/_code")
    wrong = lambda: f"{(int(code()) + 500_000) % 1_000_000:06}"
    config = home / ".aws/config"
    text = config.read_text().replace("ca_bundle = /", "ca_bundle = Z:/")
    prod = text.split("[profile prod]\n")[1]
    keys = dict(line.split(" = ") for line in (home / ".aws/credentials").read_text().splitlines()[1:])
    (home / "keys.json").write_text(json.dumps({
        "Version": 1, "AccessKeyId": keys["aws_access_key_id"], "SecretAccessKey": keys["aws_secret_access_key"]}))
    (home / "loop.cmd").write_text(f"@{exe} get loop\r\n")
    source = lambda name: prod.replace("source_profile = base", f"source_profile = {name}")
    text += f"""
[profile old]
{prod}duration_seconds = 900
[profile other]
{prod}duration_seconds = 901
[profile piped]
{source("process")}mfa_process = type {user_dir}\\code.txt
mfa_serial = arn:aws:iam::111122223333:mfa/me
[profile process]
credential_process = type "{user_dir}\\keys.json"
[profile loop]
{source("looped")}
[profile looped]
credential_process = {user_dir}\\loop.cmd
"""
    # As Notepad writes it.
    config.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())

    fails(get("nope"), 2, "profile `nope` is not in", "hint: add `[profile nope]`")
    fails(get("prod"), 4, "profile `prod` needs an MFA code, but there is no terminal to ask on", "keyrole login prod")
    windowless = run("windowless.exe")
    fails(windowless, 4, "profile `prod` needs an MFA code, but its console has no window that anybody sees")

    old = get("old", "--mfa-code", code())
    check(old.returncode == 0, "a code on the command line", old.err)
    calls = count("AssumeRole")

    first = get("other")
    document = json.loads(first.out)
    check(len(document["SessionToken"]) >= 4000, "a miss prints a token of 4,000 bytes")
    check(first.out.endswith(b"}\n") and first.out.count(b"\n") == 1 and len(first.out) < 8000 and not first.err,
          "the document is one line that ends with a line feed", first.err)
    check(get("other").out == first.out and count("AssumeRole") == calls + 1,
          "a hit prints the same document and calls nobody")
    registry = run("reg", "query", r"HKCU\Software\Wine\Credential Manager").out.decode()
    parts = [line.split("Generic: ")[1].strip() for line in registry.splitlines() if "+1.keyrole" in line]
    check(len(parts) == 3, "each of the three sessions is kept in parts", registry)
    for part in parts:
        run("reg", "delete", rf"HKCU\Software\Wine\Credential Manager\Generic: {part}", "/f")
    torn = get("other", "--no-prompt")
    fails(torn, 4, "profile `other` needs an MFA code")
    passed("an entry with a part missing is a miss")

    forget()
    login = run("keyrole.exe", "login", "prod", "other", "--mfa-code", code())
    check(login.returncode == 0 and "prod: ready" in login.err and "other: ready" in login.err, "login", login.err)
    status = run("keyrole.exe", "status")
    check(status.returncode == 0 and b"wincred" in status.out and b"other" in status.out, "status", status.out)
    doctor = run("keyrole.exe", "doctor", "--offline", "prod")
    check(doctor.returncode == 1 and b"byte order mark" in doctor.out, "doctor finds the mark of Notepad", doctor.out.decode())
    config.write_bytes(config.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    doctor = run("keyrole.exe", "doctor", "--offline", "prod")
    check(doctor.returncode == 0 and b"every SDK understands" in doctor.out, "doctor --offline", doctor.out.decode())
    passed_on = run("cmd", "/c", f"{exe} get prod")
    check(passed_on.out == get("prod").out, "cmd.exe runs the line of the profile", passed_on.err)
    logout = run("keyrole.exe", "logout", "prod")
    check("logged out, with the MFA session" in logout.err, "logout", logout.err)
    fails(get("prod", "--no-prompt"), 4, "profile `prod` needs an MFA code, but it was told not to ask")
    everything = run("keyrole.exe", "logout", "--all")
    check("1 cached session removed" in everything.err, "logout --all", everything.err)
    check(run("keyrole.exe", "status").returncode == 3, "status exits 3 when nothing is cached")

    forget()
    (home / "code.txt").write_text(code())
    piped = get("piped")
    check(piped.returncode == 0, "a source's credential_process and an mfa_process run by cmd.exe", piped.err)
    fails(get("loop"), 2, "profile `loop` needs itself: `loop` → `loop`")

    forget()
    get("prod", "--mfa-code", code())
    before = count("AssumeRole")
    control("POST", "/_hold")
    both = [start("keyrole.exe", "get", "other") for _ in range(2)]
    wait_until(lambda: count("AssumeRole") > before, "nobody calls STS")
    control("POST", "/_release")
    answers = [process.communicate(timeout=PATIENCE) for process in both]
    check(answers[0] == answers[1] and answers[0][0] and count("AssumeRole") == before + 1, "two at once make one call", answers)

    forget()
    console = Console()
    console.expect("profile prod, role Admin in account 444455556666")
    for times, typed in enumerate(["123", wrong(), code()], 1):
        console.expect(QUESTION, times)
        console.type(f"{typed}\r")
    console.end()
    check(console.returncode == 0 and json.loads(console.out)["SessionToken"] and not console.err, "the prompt on a console")
    check("a code is six digits" in console.screen and "AWS rejected the code (attempt 1 of 3)" in console.screen,
          "a wrong code asks again", console.screen)

    forget()
    console = Console()
    console.expect(QUESTION)
    console.type("\x1a\r")
    fails(console.end(), 4, "the prompt for the MFA code was closed (end of input)")

    console = Console(KEYROLE_PROMPT_TIMEOUT="1")
    console.expect(QUESTION)
    console.type("12")
    fails(console.end(), 4, "nobody gave the MFA code within 1 s")

    asking = Console()
    asking.expect(QUESTION)
    [holder] = keyroles()
    waiting = Console()
    waiting.expect("keyrole: waiting for keyrole (pid ")
    waiting.expect("asking for an MFA code since ")
    # Wine makes Ctrl-C of the signal; of the key on a terminal it makes nothing.
    os.kill(holder, signal.SIGINT)
    fails(asking.end(), CONTROL_C_EXIT, "the prompt for the MFA code was cancelled")
    fails(waiting.end(), 4, "the prompt for the MFA code was cancelled")
    passed("who waits reads the holder's note, and shares its refusal")

    forget()
    # An STS whose clock is slow makes a session that ends early.
    control("POST", f"/_clock?offset={LIFETIME - 900}")
    issued = time.monotonic()
    old = get("old", "--mfa-code", code())
    control("POST", "/_clock?offset=0")
    time.sleep(max(0, issued + AGE - time.monotonic()))
    before = count("AssumeRole")
    control("POST", "/_hold")
    # It ends although the renewal does not, so the renewal does not have its stdout. Of stderr this says nothing: Wine gives
    # that of Linux to every child.
    expiring = subprocess.run(["wine", "keyrole.exe", "get", "old"], cwd=here, env=env, start_new_session=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    made = count("AssumeRole") - before
    check(expiring.stdout == old.out and made <= 1, "an expiring session is printed at once", made)
    wait_until(lambda: count("AssumeRole") > before, "nothing is renewed ahead")
    control("POST", "/_release")
    wait_until(lambda: get("old").out != old.out, "the renewed session is not found")
    check(count("AssumeRole") == before + 1, "a process of its own renews it")
finally:
    sts.stdin.close()
    sts.wait()
PY
say "all passed"
