"""Runs every client in every case and prints the matrix. `run.sh` says how; this file owns what is run and what is right.

Each cell has a home of its own, whose sessions are sealed files, with an STS stand-in of its own; what only speaks S3 gets
moto's, through a front that notes who signed. Nothing outside loopback can be reached while the cells run.
"""
import base64
import fcntl
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INSTALLED = HERE / ".installed"
VENV = Path(os.environ.get("KEYROLE_TEST_VENV", ROOT / "tests/.venv"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
KEYROLE = Path(os.environ.get("KEYROLE", TARGET / "debug/keyrole")).resolve()
STAND_IN = TARGET / "debug/examples/sts-stand-in"
AWS2 = os.environ.get("KEYROLE_TEST_AWS2", "/usr/bin/aws")

# Seconds. Somebody who thinks for longer than Go waits; more than anything else takes.
THINKING, PATIENCE = 62, 300
# At most so many cells work at once; those that only let time pass do not count.
WORKERS = threading.Semaphore(os.cpu_count() or 2)


class Missing(Exception):
    """A client that cannot be had here, and why."""


class Red(Exception):
    """What is wrong in a cell."""


def check(is_right, problem):
    if not is_right:
        raise Red(problem)


# Installing. Each function gives the version.


def output(*words, timeout=600, **options):
    streams = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    try:
        return subprocess.run(words, check=True, timeout=timeout, **streams, **options).stdout.strip()
    except FileNotFoundError:
        raise Missing(f"there is no {words[0]}") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or error.stdout.strip() or "?").splitlines()[-1]
        raise Missing(f"{Path(words[0]).name}: {last[:160]}") from None


def debian(package):
    return output("dpkg-query", "--show", "--showformat", "${Version}", package).split("-")[0].split("+")[0]


def python_packages(client, *requirements):
    """Installs Python packages into a directory of the client's own, as some exclude each other."""
    directory = INSTALLED / client
    stamp = directory / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(requirements):
        shutil.rmtree(directory, ignore_errors=True)
        pip = VENV / "bin/pip"
        output(pip, "install", "--quiet", "--disable-pip-version-check", "--target", directory, *requirements)
        stamp.write_text("\n".join(requirements))
    return requirements[0].split("==")[1]


def javascript():
    """Installs the two packages beside a copy of the program, as Node looks for packages beside a program."""
    packages = ["@aws-sdk/client-sts", "@aws-sdk/credential-providers"]
    directory = INSTALLED / "js"
    manifest = directory / "node_modules" / packages[0] / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != JAVASCRIPT:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "package.json").write_text("{}")
        npm = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        output(*npm, *[f"{package}@{JAVASCRIPT}" for package in packages], cwd=directory)
    shutil.copy(HERE / "js-client.mjs", directory)
    return JAVASCRIPT


def go(name, package):
    """Builds a Go program from the sources in Debian's packages."""
    version = debian(package)
    env = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(INSTALLED / "go-cache")}
    output("go", "build", "-o", INSTALLED / name, f"{name}-client.go", cwd=HERE, env=env)
    return version


def locked(lock_file, crate):
    lines = lock_file.read_text().splitlines()
    return lines[lines.index(f'name = "{crate}"') + 1].split('"')[1]


def rust():
    output("cargo", "build", "--quiet", "--locked", "--example", "rust-client", cwd=ROOT)
    return locked(ROOT / "Cargo.lock", "aws-config")


def rust_old():
    output("cargo", "build", "--quiet", "--locked", "--target-dir", INSTALLED / "rust-old", cwd=HERE / "rust-old")
    return locked(HERE / "rust-old/Cargo.lock", "aws-config")


def java():
    """A Python package of Amazon's has the SDK in a jar, under another name."""
    python_packages("java", "sagemaker-feature-store-pyspark==2.2.2", "--no-deps")
    output("javac", "-cp", JAR, "-d", INSTALLED / "java", HERE / "JavaClient.java")
    version = "smfs.shaded.software.amazon.awssdk.core.util.VersionInfo"
    return re.search('"([0-9.]+)"', output("javap", "-constants", "-cp", JAR, version)).group(1)


def terraform():
    """Takes the provider from a directory of providers, or lets Terraform fetch it."""
    directory = INSTALLED / "terraform"
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "terraform-client.tf", directory)
    found = [Path(found) for pattern in ("usr/share/terraform/plugins", "usr/local/share/terraform/plugins", "opt/*")
             for found in Path("/").glob(f"{pattern}/*/hashicorp/aws")]
    plugins = [f"-plugin-dir={found[0].parents[2]}"] if found else []
    output("terraform", "init", "-input=false", "-no-color", *plugins, cwd=directory, timeout=300)
    provider = re.search('version *= "([0-9.]+)"', (directory / ".terraform.lock.hcl").read_text()).group(1)
    program = json.loads(output("terraform", "version", "-json", cwd=directory))["terraform_version"]
    return f"{program}, provider {provider}"


def php():
    raise Missing("the SDK is in none of Debian's packages")


JAVASCRIPT = "3.1169.0"
JAR = INSTALLED / "java/feature_store_pyspark/jars/sagemaker-feature-store-spark-sdk-3.1.jar"
CLASS_PATH = f"{JAR}:{INSTALLED / 'java'}:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"
STS_COMMAND = ["sts", "get-caller-identity", "--endpoint-url", "ENDPOINT"]


@dataclass
class Client:
    """A row: how a client is had and run, and what it makes of us."""

    title: str
    # Gives the version.
    install: callable
    # The program; it gets the numbers of sessions, of calls in each and of seconds between them.
    program: list
    # What follows the numbers; ENDPOINT stands for the stand-in's.
    command: list = field(default_factory=list)
    packages: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    service: str = "sts"
    # What becomes of our stderr: `shown` to the user, or `lost`.
    error: str = "shown"
    # Goes on without credentials after a failure.
    goes_on: bool = False
    # Seconds after which it gives up.
    patience: int | None = None
    # How many sessions "20 at once" means.
    at_once: int = 20
    # How many processes of its own run us at the same time.
    processes: int = 1
    # Seconds that a session lasts that ends soon. keyrole prints nothing in its last minute, so the first call has the rest.
    lifetime: int = 80
    # Too much to fetch for every change.
    is_large: bool = False
    # What the other tests install anyway, so that it is an error if it cannot be had.
    is_required: bool = False


def python_program(name):
    return ["python3", HERE / f"{name}-client.py"]


COMMANDS = ["sh", HERE / "commands-client.sh"]
RCLONE = ["rclone", "cat", ":s3:bucket/object", "--config", "", "--s3-provider", "Other", "--s3-env-auth", "--s3-region",
          "eu-west-1", "--s3-endpoint", "ENDPOINT", "--retries", "1"]
GO_V1 = "golang-github-aws-aws-sdk-go-dev"
GO_V2 = "golang-github-aws-aws-sdk-go-v2-dev"
MINIO = "golang-github-minio-minio-go-v7-dev"

CLIENTS = {
    "cli1": Client(
        "AWS CLI v1", lambda: output(VENV / "bin/aws", "--version").split()[0].split("/")[1],
        COMMANDS, [VENV / "bin/aws", *STS_COMMAND], is_required=True),
    "cli2": Client(
        "AWS CLI v2", lambda: output(AWS2, "--version").split()[0].split("/")[1], COMMANDS, [AWS2, *STS_COMMAND],
        is_required=True),
    "boto3": Client(
        "boto3", lambda: output(VENV / "bin/python", "-c", "import boto3; print(boto3.__version__)"),
        [VENV / "bin/python", HERE / "boto3-client.py"], is_required=True),
    "aiobotocore": Client(
        "aiobotocore", lambda: python_packages("aiobotocore", "aiobotocore==3.10.0"), python_program("aiobotocore")),
    "js": Client("JavaScript v3", javascript, ["node", INSTALLED / "js/js-client.mjs"], error="lost"),
    "go-v2": Client(
        "Go v2", lambda: go("go-v2", GO_V2), [INSTALLED / "go-v2"], packages=["golang-go", GO_V2], patience=60),
    "go-v1": Client(
        "Go v1", lambda: go("go-v1", GO_V1), [INSTALLED / "go-v1"], packages=["golang-go", GO_V1], patience=60),
    "rclone": Client(
        "rclone (Go v1)", lambda: debian("rclone"), COMMANDS, RCLONE, ["rclone"], service="s3"),
    "minio": Client(
        "minio-go", lambda: go("minio", MINIO), [INSTALLED / "minio"], packages=["golang-go", MINIO], service="s3",
        error="lost"),
    "ruby": Client(
        "Ruby v3", lambda: debian("ruby-aws-sdk-core"), ["ruby", HERE / "ruby-client.rb"], packages=["ruby-aws-sdk-core"]),
    "rust": Client("Rust", rust, [TARGET / "debug/examples/rust-client"], patience=21, is_required=True),
    "rust-old": Client("Rust, old", rust_old, [INSTALLED / "rust-old/debug/rust-old"], patience=5),
    "pyarrow17": Client(
        "pyarrow 17 (C++ 1.11.285)", lambda: python_packages("pyarrow17", "pyarrow==17.0.0", "numpy<2"),
        python_program("pyarrow"), service="s3", error="lost", goes_on=True),
    "pyarrow": Client(
        "pyarrow (newer C++)", lambda: python_packages("pyarrow", "pyarrow==26.0.1"), python_program("pyarrow"),
        service="s3", error="lost", goes_on=True),
    "duckdb": Client(
        "DuckDB (C++ 1.11.702)",
        lambda: python_packages("duckdb", "duckdb==1.5.5", "duckdb-extension-httpfs==1.5.5", "duckdb-extension-aws==1.5.5"),
        python_program("duckdb"), service="s3", error="lost"),
    "awscrt": Client(
        "awscrt", lambda: python_packages("awscrt", "awscrt==0.38.1"), python_program("awscrt"), error="lost"),
    "java": Client(
        "Java v2", java, ["java", "-cp", CLASS_PATH, "JavaClient"], packages=["libslf4j-java"],
        error="lost", is_large=True),
    "terraform": Client(
        "Terraform", terraform, COMMANDS,
        ["terraform", f"-chdir={INSTALLED / 'terraform'}", "plan", "-input=false", "-no-color", "-lock=false",
         "-refresh-only", "-var=endpoint=ENDPOINT"],
        error="lost", patience=60, at_once=1, processes=2, lifetime=120, is_large=True),
    "php": Client("PHP v3", php, []),
}
for name in "aiobotocore", "pyarrow17", "pyarrow", "duckdb", "awscrt":
    CLIENTS[name].env = {"PYTHONPATH": str(INSTALLED / name)}


# The rig.


class S3Front(ThreadingHTTPServer):
    """Stands before moto: notes which access key signed each request, and refuses what nobody signed."""

    daemon_threads = True
    moto = None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.signers = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Request(BaseHTTPRequestHandler):
    """One request on its way to moto."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        signer = re.search("Credential=([A-Z0-9]+)/", self.headers.get("Authorization", ""))
        is_signed = signer and self.headers.get("X-Amz-Security-Token")
        self.server.signers.append(signer.group(1) if is_signed else None)
        if is_signed:
            moto = http.client.HTTPConnection(S3Front.moto)
            moto.request(self.command, self.path, body, dict(self.headers))
            answer = moto.getresponse()
            status, headers, text = answer.status, answer.getheaders(), answer.read()
        else:
            status, headers, text = 403, [], b"<Error><Code>AccessDenied</Code><Message>nobody signed this</Message></Error>"
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), len(text))
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(text)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else text)

    do_GET = do_HEAD = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


def start_moto():
    """Starts moto's server, with one object; it ends when its stdin does."""
    server = (
        "import logging, sys; logging.getLogger('werkzeug').setLevel(logging.ERROR)\n"
        "from moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); server.start()\n"
        "print('%s:%d' % server.get_host_and_port(), flush=True); sys.stdin.read(); server.stop()\n")
    moto = subprocess.Popen([VENV / "bin/python", "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    S3Front.moto = moto.stdout.readline().strip()
    for path, body in ("/bucket", None), ("/bucket/object", b"an object"):
        urllib.request.urlopen(urllib.request.Request(f"http://{S3Front.moto}{path}", body, method="PUT")).read()
    return moto


class Run:
    """A run of the client. It has no terminal, or a new one with a shell between that stays when the client has ended."""

    SHELL = 'out=$1; shift; "$@" >"$out" 2>&1; echo "$?"; read -r _ <go'

    def __init__(self, cell, words, on_terminal):
        self.screen, self.changed, self.go = "", threading.Condition(), None
        self.out = Path(tempfile.mkstemp(dir=cell.home)[1])
        if on_terminal:
            self.go = cell.home / "go"
            os.mkfifo(self.go)
            ours, theirs = pty.openpty()
            shell = ["setsid", "--ctty", "--wait", "sh", "-c", self.SHELL, "sh", self.out, *words]
            self.process = subprocess.Popen(shell, env=cell.env, cwd=cell.home, stdin=theirs, stdout=subprocess.PIPE)
            os.close(theirs)
            self.terminal = ours
            threading.Thread(target=self.read_screen, daemon=True).start()
        else:
            with self.out.open("wb") as out:
                self.process = subprocess.Popen(words, env=cell.env, cwd=cell.home, stdin=subprocess.DEVNULL, stdout=out,
                                                stderr=out, start_new_session=True)
        self.watchdog = threading.Timer(PATIENCE, self.kill)
        self.watchdog.start()

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def read_screen(self):
        while True:
            try:
                chunk = os.read(self.terminal, 4096)
            except OSError:
                chunk = b""
            with self.changed:
                self.screen += chunk.decode(errors="replace")
                self.changed.notify_all()
            if not chunk:
                return

    def expect(self, text):
        with self.changed:
            found = self.changed.wait_for(lambda: text in self.screen or self.process.poll() is not None, PATIENCE)
        check(found and text in self.screen, f"no {text!r} on the terminal; {self.said()}")

    def has_ended(self):
        return self.process.poll() is not None

    def type(self, text):
        os.write(self.terminal, text.encode())

    def end(self):
        """Waits for the client's end and gives its exit code."""
        code = self.process.stdout.readline() if self.go else self.process.wait()
        self.watchdog.cancel()
        check(code not in (b"", -signal.SIGKILL), f"it hangs; {self.said()}")
        return int(code)

    def close(self):
        """Ends the terminal's shell, and what hangs."""
        self.watchdog.cancel()
        self.kill()
        self.process.wait()
        if self.go:
            self.process.stdout.close()

    def said(self):
        text = self.out.read_text(errors="replace").strip()
        return f"it said: {text[-1500:]}" + (f"; on the terminal: {self.screen[-500:]}" if self.screen else "")


class Cell:
    """A client in a case: a home directory, the stand-ins, and what is checked in most cases."""

    PROMPT = "MFA code for "

    def __init__(self, client, mfa):
        self.client, self.mfa, self.runs, self.is_working = client, mfa, [], True
        WORKERS.acquire()
        self.home = Path(tempfile.mkdtemp(prefix="keyrole-client."))
        (self.home / "key").write_bytes(base64.b64encode(os.urandom(32)))
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "CARGO_HOME") if name in os.environ},
            "HOME": str(self.home), "USER": "tester", "TERM": "xterm", "LANG": "C.UTF-8", "AWS_PROFILE": "prod",
            "AWS_EC2_METADATA_DISABLED": "true", "CHECKPOINT_DISABLE": "1",
            "KEYROLE_STORE": "file", "KEYROLE_FILE_KEY_FILE": str(self.home / "key"), **client.env,
        }
        words = [STAND_IN, "--home", self.home, "--keyrole", KEYROLE, "--exit-with-parent", *(["--mfa"] if mfa else [])]
        self.stand_in = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check("listening" in self.stand_in.stdout.readline(), "the stand-in does not start")
        with (self.home / ".aws/config").open("a") as config:
            # The last section is `prod`.
            config.write("duration_seconds = 900\n")
        self.sts = (self.home / "endpoint").read_text().strip()
        self.s3 = S3Front() if client.service == "s3" else None
        self.env["ENDPOINT"] = self.s3.url if self.s3 else self.sts

    def start(self, sessions=1, calls=1, pause=0, on_terminal=False):
        command = [self.env["ENDPOINT"].join(str(word).split("ENDPOINT")) for word in self.client.command]
        words = [*map(str, self.client.program), str(sessions), str(calls), str(pause), *command]
        self.runs.append(Run(self, words, on_terminal))
        return self.runs[-1]

    def rest(self):
        """Lets others work from now on, as this cell lets time pass."""
        if self.is_working:
            self.is_working = False
            WORKERS.release()

    def close(self):
        for run in self.runs:
            run.close()
        self.rest()
        self.stand_in.stdin.close()
        self.stand_in.wait()
        if self.s3:
            self.s3.shutdown()
            self.s3.server_close()
        shutil.rmtree(self.home, ignore_errors=True)

    def control(self, method, path):
        return urllib.request.urlopen(urllib.request.Request(self.sts + path, method=method)).read().decode()

    def await_helpers(self, number):
        """Waits until so many keyroles run in the session of the last run."""

        def is_ours(stat):
            try:
                _, name, session = re.match(r"(\d+) \((.*)\) \S+ \d+ \d+ (\d+)", stat.read_text()).groups()
            except OSError:
                return False
            return name == KEYROLE.name[:15] and int(session) == self.runs[-1].process.pid

        deadline = time.monotonic() + PATIENCE
        while sum(map(is_ours, Path("/proc").glob("[0-9]*/stat"))) < number:
            check(time.monotonic() < deadline and not self.runs[-1].has_ended(), f"not run; {self.runs[-1].said()}")
            time.sleep(0.05)

    def calls(self, action):
        return [call for call in json.loads(self.control("GET", "/_calls")) if call["action"] == action]

    def signers(self):
        """The access keys that signed the client's own requests, in their order; None for a request that nobody signed."""
        if self.s3:
            return list(self.s3.signers)
        return [call["access_key_id"] for call in self.calls("GetCallerIdentity")]

    def await_signers(self, number):
        deadline = time.monotonic() + PATIENCE
        while len(self.signers()) < number:
            check(time.monotonic() < deadline and not self.runs[-1].has_ended(), f"no request; {self.runs[-1].said()}")
            time.sleep(0.05)

    def key(self):
        """The access key of the session that is cached."""
        words = [KEYROLE, "get", "prod", "--no-prompt"]
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, start_new_session=True)
        check(done.returncode == 0, f"no session is kept: {done.stderr}")
        return json.loads(done.stdout)["AccessKeyId"]

    def log(self):
        path = self.home / ".local/state/keyrole/keyrole.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def type_code(self, run):
        run.type(self.control("GET", "/_code") + "\n")

    def check_prompts(self, run, number=1):
        check(run.screen.count(self.PROMPT) == number, f"{run.screen.count(self.PROMPT)} prompts; {run.said()}")

    def check_works(self, run):
        code = run.end()
        check(code == 0, f"it ended with {code}; {run.said()}")

    def check_signed(self, number):
        """At least so many requests, all signed by the cached session, the only one."""
        signers = self.signers()
        check(len(signers) >= number and set(signers) == {self.key()}, f"{self.key()} is cached, and it was {signers} that signed")
        self.check_made(1)

    def check_made(self, roles):
        """So many sessions of the role were made, and one MFA session if it takes one."""
        made = [sum(call["status"] == 200 for call in self.calls(action)) for action in ("GetSessionToken", "AssumeRole")]
        check(made == [int(self.mfa), roles], f"{made} calls of GetSessionToken and AssumeRole")


# The cases. Each gives the word that stands in the matrix.


def role(cell):
    """A role without MFA."""
    run = cell.start()
    cell.check_works(run)
    cell.check_signed(1)
    return "ok"


def mfa(cell):
    """A role with MFA: the prompt is on the terminal, all else is the SDK's."""
    run = cell.start(on_terminal=True)
    run.expect(cell.PROMPT)
    cell.type_code(run)
    cell.check_works(run)
    cell.check_prompts(run)
    cell.check_signed(1)
    return "ok"


def refresh(cell):
    """The session ends while the client lives; its next call is signed by another one."""
    # An STS whose clock is slow makes a session that ends early.
    lifetime = cell.client.lifetime
    cell.control("POST", f"/_clock?offset={lifetime - 900}")
    first = cell.key()
    cell.control("POST", "/_clock?offset=0")
    run = cell.start(calls=2, pause=lifetime + 1)
    cell.await_signers(1)
    cell.rest()
    cell.check_works(run)
    signers = cell.signers()
    second = [key for key in signers if key != first]
    check(signers[0] == first and second and set(second) == {cell.key()}, f"first {first}, then {cell.key()}; {signers} signed")
    check(signers == [first] * (len(signers) - len(second)) + second, f"it went back to the old session: {signers}")
    cell.check_made(2)
    return "ok"


def failure(cell):
    """A code is needed, and there is no terminal to ask on."""
    run = cell.start()
    code = run.end()
    said = run.out.read_text(errors="replace")
    # SDKs put line breaks, quotes and frames of their own around it.
    words = " ".join(re.sub(r"[│|\\\"]|\\n", " ", said).split())
    error = "keyrole: error: profile `prod` needs an MFA code, but there is no terminal to ask on"
    hint = "keyrole: hint: run `keyrole login prod` in a terminal, then retry"
    is_shown = error in words and hint in words
    check(code != 0, f"it ended with 0; {run.said()}")
    check(set(cell.signers()) <= {None}, f"signed by {cell.signers()}")
    check(bool(cell.signers()) == cell.client.goes_on, f"went on unsigned: {cell.signers()}; {run.said()}")
    check(is_shown == (cell.client.error == "shown"), f"error and hint shown: {is_shown}; {run.said()}")
    check(any("no terminal" in line.get("error", "") for line in cell.log()), f"nothing in the log: {cell.log()}")
    return "ok" if is_shown else "unsigned" if cell.signers() else "lost"


def cancel(cell):
    """The prompt is cancelled. Some clients run us again at once; nobody is asked again."""
    run = cell.start(on_terminal=True)
    run.expect(cell.PROMPT)
    cell.await_helpers(cell.client.processes)
    run.type("\x04")
    code = run.end()
    check(code != 0, f"it ended with 0; {run.said()}")
    check(set(cell.signers()) <= {None}, f"signed by {cell.signers()}")
    cell.check_prompts(run)
    return "ok"


def at_once(cell):
    """Twenty sessions at once share one prompt."""
    sessions = cell.client.at_once
    run = cell.start(sessions=sessions, on_terminal=True)
    run.expect(cell.PROMPT)
    cell.type_code(run)
    cell.check_works(run)
    cell.check_prompts(run)
    cell.check_signed(sessions)
    return "ok"


def thinking(cell):
    """Somebody thinks for a minute. A client that gives up before that has its session at the next call."""
    run = cell.start(on_terminal=True)
    run.expect(cell.PROMPT)
    cell.rest()
    time.sleep(THINKING)
    cell.type_code(run)
    code = run.end()
    patience = cell.client.patience
    check((code == 0) == (patience is None), f"it ended with {code}; {run.said()}")
    deadline = time.monotonic() + PATIENCE
    while not any(line["event"] == "issued" and "role_arn" in line for line in cell.log()):
        check(time.monotonic() < deadline, f"the code led to no session; {run.said()}")
        time.sleep(0.05)
    before = len(cell.signers())
    cell.check_works(cell.start())
    cell.check_prompts(run)
    check(patience is None or set(cell.signers()[:before]) <= {None}, f"it had given up, and signed: {cell.signers()}")
    is_told = "did not wait for the code; the session is kept" in run.screen
    check(is_told == (patience is not None), f"told that it gave up: {is_told}; {run.said()}")
    del (cell.s3.signers if cell.s3 else [])[:before if patience else 0]
    cell.check_signed(1)
    return f"kept ({patience} s)" if patience else "ok"


# What waits comes first, so that the rest is done meanwhile. The matrix has them in the order of `COLUMNS`.
CASES = {"refresh": refresh, "60 s": thinking, "role": role, "MFA": mfa, "failure": failure, "cancel": cancel, "at once": at_once}
COLUMNS = ["role", "MFA", "refresh", "failure", "cancel", "at once", "60 s"]
WITHOUT_MFA = {"role", "refresh"}


def run_cell(name, case, results):
    cell = None
    try:
        cell = Cell(CLIENTS[name], case not in WITHOUT_MFA)
        results[name, case] = CASES[case](cell)
    except Exception as error:  # whatever goes wrong is this cell's
        results[name, case] = "FAIL"
        print(f"{name}, {case}: {'' if isinstance(error, Red) else type(error).__name__ + ': '}{error}\n", flush=True)
    finally:
        if cell:
            cell.close()


def loopback_up():
    """Turns loopback on in a new network namespace."""
    siocsifflags, iff_up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sh22x", b"lo", iff_up))
        except PermissionError:
            # Not in a namespace of our own.
            pass


def install(names):
    """Installs the clients, and writes down the versions, or why there are none."""
    INSTALLED.mkdir(exist_ok=True)
    packages = sorted({package for name in names for package in CLIENTS[name].packages})
    lacking = [package for package in packages if subprocess.run(["dpkg-query", "-s", package], capture_output=True).returncode]
    if lacking:
        print(f"installing {' '.join(lacking)}", flush=True)
        apt = [*([] if os.getuid() == 0 else ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q",
               "-o", "DPkg::Lock::Timeout=300"]
        try:
            output(*apt, "update")
            output(*apt, "install", "-y", "--no-install-recommends", *lacking)
        except (Missing, subprocess.TimeoutExpired) as why:
            print(f"not installed: {why}")

    def known(name):
        try:
            return {"version": CLIENTS[name].install()}
        except (Missing, OSError, subprocess.TimeoutExpired) as why:
            return {"missing": str(why)}

    with ThreadPoolExecutor(4) as pool:
        known = dict(zip(names, pool.map(known, names)))
    (INSTALLED / "versions.json").write_text(json.dumps(known))


def main(arguments):
    step, *names = arguments
    cases = [name.removeprefix("case=") for name in names if name.startswith("case=")] or list(CASES)
    names = [name for name in names if not name.startswith("case=")]
    if names == ["--ci"]:
        names = [name for name, client in CLIENTS.items() if not client.is_large]
    unknown = [name for name in [*names, *cases] if name not in CLIENTS and name not in CASES]
    if unknown:
        sys.exit(f"no such client: {' '.join(unknown)}; there are {' '.join(CLIENTS)}")
    names = names or list(CLIENTS)
    if step == "install":
        install(names)
        return
    loopback_up()
    known = json.loads((INSTALLED / "versions.json").read_text())
    moto = start_moto()
    results, threads = {}, []
    for case in CASES:
        for name in names:
            if case in cases and "version" in known[name]:
                threads.append(threading.Thread(target=run_cell, args=(name, case, results)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # On a machine with much else to do, an SDK may run out of its own patience. What fails twice, and alone, is wrong.
    for name, case in [cell for cell, word in results.items() if word == "FAIL"]:
        run_cell(name, case, results)
        if results[name, case] != "FAIL":
            results[name, case] += ", 2nd"
    moto.stdin.close()
    moto.wait()
    show(names, [column for column in COLUMNS if column in cases], known, results)
    lacking = [name for name in names if CLIENTS[name].is_required and "missing" in known[name]]
    sys.exit(int("FAIL" in results.values() or bool(lacking)))


def show(names, columns, known, results):
    colours = sys.stdout.isatty()
    print(f"{'':40}" + "".join(f"{column:<13}" for column in columns))
    for name in names:
        title = f"{CLIENTS[name].title} {known[name].get('version', '')}"
        print(f"{title:40}", end="")
        if "missing" in known[name]:
            print(f"{'FAIL' if CLIENTS[name].is_required else '–'} {known[name]['missing']}")
            continue
        for column in columns:
            word = results[name, column]
            colour = "\x1b[31m" if word == "FAIL" else "\x1b[32m"
            print(f"{colour}{word:<13}\x1b[0m" if colours else f"{word:<13}", end="")
        print()
    if any(word.endswith(", 2nd") for word in results.values()):
        print("2nd: only the second try, alone, was as it should be; what the first one did is above.")
    print("lost: the client keeps our error to itself; the log has it. unsigned: it goes on without credentials, and S3 refuses.\n"
          "kept: it gives up after so long, says the terminal; what the prompt led to is kept, and the next run is a hit.")


if __name__ == "__main__":
    main(sys.argv[1:])
