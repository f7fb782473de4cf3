#!/bin/sh
# Measures what a person waits for between the last digit of the code and the document, when STS is 100 ms away: a relay
# holds back everything for 50 ms each way, and a new connection for a round trip. TLS, MFA, GetSessionToken, AssumeRole,
# nothing cached. Fails above 240 ms where the connection was there before the code was typed.
#
#   tests/rtt.sh                needs python3; KEYROLE=PATH measures another binary
#   tests/rtt.sh 25             so many prompts instead of 10
set -eu
cd "$(dirname "$0")/.."

for tool in cargo python3; do
    command -v "$tool" >/dev/null || { echo "rtt: $tool is missing; tests/run.sh installs it" >&2; exit 1; }
done
out=${CARGO_TARGET_DIR:-target}
if [ -z "${KEYROLE:-}" ]; then
    cargo build --quiet --locked --release --bin keyrole
    KEYROLE=$out/release/keyrole
fi
cargo build --quiet --locked --example sts-stand-in

exec python3 - "$(realpath "$KEYROLE")" "$out/debug/examples/sts-stand-in" "$@" <<'PY'
import os, pty, queue, re, select, shutil, socket, ssl, subprocess, sys, tempfile, threading, time, urllib.request
from pathlib import Path

ONE_WAY, BAR = 0.050, 240
# More than anything takes.
PATIENCE = 30

keyrole, stand_in, *arguments = sys.argv[1:]
runs = int(arguments[0]) if arguments else 10
home = Path(tempfile.mkdtemp(prefix="rtt."))


class Relay:
    """Stands STS 100 ms away."""

    def __init__(self, port):
        self.port, self.answered, self.connections = port, threading.Event(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.port))
            for side in client, server:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The kernel has completed the handshake already, which would have taken a round trip.
            self.carry(client, server, time.monotonic() + 2 * ONE_WAY)
            self.carry(server, client, 0)

    def carry(self, source, sink, ready):
        bytes_ = queue.Queue()

        def read():
            while True:
                try:
                    data = source.recv(65536)
                except OSError:
                    data = b""
                bytes_.put((max(time.monotonic(), ready) + ONE_WAY, data))
                if not data:
                    return

        def write():
            while True:
                due, data = bytes_.get()
                time.sleep(max(0, due - time.monotonic()))
                try:
                    if not data:
                        return sink.shutdown(socket.SHUT_WR)
                    sink.sendall(data)
                except OSError:
                    return

        for work in read, write:
            threading.Thread(target=work, daemon=True).start()


def control(method, path):
    context = ssl.create_default_context(cafile=home / "ca.pem")
    request = urllib.request.Request((home / "endpoint").read_text().strip() + path, method=method)
    return urllib.request.urlopen(request, context=context).read().decode().strip()


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def read_until(fd, text):
    seen, deadline = b"", time.monotonic() + PATIENCE
    while text not in seen:
        if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit(f"rtt: no {text!r} in {seen!r}")
        seen += os.read(fd, 4096)


def milliseconds(is_warm):
    """Types one code, and gives how long the document took and how many connections were made."""
    control("POST", "/_reset_codes")
    shutil.rmtree(home / ".local", ignore_errors=True)
    before = relay.connections
    reader, writer = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        os.dup2(writer, 1)
        # Nothing is kept, so that every run asks for everything.
        env = {"HOME": str(home), "PATH": os.environ["PATH"], "USER": "rtt", "TERM": "xterm", "KEYROLE_STORE": "none"}
        os.execve(keyrole, [keyrole, "get", "prod"], env)
    os.close(writer)
    read_until(terminal, b"MFA code for ")
    if is_warm:
        # The thread that makes the connection ends when that is there.
        deadline = time.monotonic() + PATIENCE
        while relay.connections == before or threads(pid) > 1:
            if time.monotonic() > deadline:
                sys.exit("rtt: the connection is not made")
            time.sleep(0.005)
    code = control("GET", "/_code")
    os.write(terminal, (code[:5]).encode())
    start = time.monotonic()
    os.write(terminal, (code[5:] + "\n").encode())
    read_until(reader, b"\n")
    took = (time.monotonic() - start) * 1000
    os.close(reader)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit("rtt: keyrole failed")
    os.close(terminal)
    return took, relay.connections - before


def report(what, is_warm):
    results = [milliseconds(is_warm) for _ in range(runs)]
    times = sorted(took for took, _ in results)
    connections = max(count for _, count in results)
    print(f"{what:44} median {times[len(times) // 2]:4.0f} ms   slowest {times[-1]:4.0f} ms   connections {connections}")
    return times[len(times) // 2]


server = subprocess.Popen([stand_in, "--tls", "--mfa", "--exit-with-parent", "--home", home, "--keyrole", keyrole],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
try:
    deadline = time.monotonic() + PATIENCE
    while not (home / "endpoint").exists():
        if time.monotonic() > deadline:
            sys.exit("rtt: the stand-in does not start")
        time.sleep(0.01)
    port = int((home / "endpoint").read_text().rsplit(":", 1)[1])
    relay = Relay(port)
    config = home / ".aws/config"
    config.write_text(config.read_text().replace(f":{port}", f":{relay.listener.getsockname()[1]}"))
    median = report("the connection was there before the code", True)
    report("the code was typed at once", False)
    if median > BAR:
        sys.exit(f"rtt: more than {BAR} ms")
finally:
    server.terminate()
    server.wait()
    shutil.rmtree(home, ignore_errors=True)
PY
