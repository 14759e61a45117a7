"""Runs the real server for a test: start, stop, kill, start again on the same directory and port, look inside.

Nothing here waits for time to pass: a start waits for the `listening` line, an end waits on the process (pidfd), and
`eventually` waits for a condition by asking the server a short blocking question between two looks.
"""

import os
import re
import select
import signal
import subprocess
import time

from bide_client import Api, Conn, request_bytes

BIN = os.environ.get("BIDE_BIN") or os.path.join(os.path.dirname(__file__), "../../build/release/bide")
SANITIZED = bool(os.environ.get("BIDE_SANITIZE"))
SOAK = os.environ.get("BIDE_SOAK") == "1"
SLOW = 5 if SANITIZED else 1  # a sanitizer makes everything slower; bounds on time are stretched by this

START_S, STOP_S = 30.0 * SLOW, 20.0 * SLOW


def clean_environment(**more):
    """This process's environment without what would configure a server, and with what is asked for."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("BIDE_")}, **more}


class Died(Exception):
    """The server ended instead of saying that it listens. `code` is its exit code, `stderr` what it said."""

    def __init__(self, code, stderr):
        super().__init__(f"server ended with {code}: {stderr[-2000:]}")
        self.code, self.stderr = code, stderr


class Server:
    """One server process on one data directory."""

    def __init__(self, data, *flags, faults=None, prefix=(), env=None):
        self.data, self.flags, self.faults, self.prefix = str(data), list(flags), faults, list(prefix)
        self.env, self.port, self.process, self.api, self.clock = dict(env or {}), 0, None, None, None
        self.stderr_path = self.data.rstrip("/") + ".stderr"

    # -- life and death

    def start(self, *more):
        """Starts and waits until it listens; raises Died if it ends instead. Again on the same port after an end."""
        command = self.prefix + [BIN, "serve", "--data", self.data, "--http", f"127.0.0.1:{self.port}"] + self.flags + list(more)
        env = clean_environment(**self.env)
        if self.faults:
            env["BIDE_FAULTS"] = self.faults
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=env)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.said = b""
        self.port = self.said_port("http")
        self.address = ("127.0.0.1", self.port)
        self.api, self.clock = Api(self.address), None
        return self

    def said_port(self, door):
        """The port in the `listening` line of a door, which may have been said already."""
        out, deadline = self.process.stdout, time.monotonic() + START_S
        while True:
            if found := re.search(rb"^listening %s 127\.0\.0\.1:(\d+)\n" % door.encode(), self.said, re.M):
                return int(found[1])
            if not select.select([out], [], [], max(0, deadline - time.monotonic()))[0]:
                self.kill9()
                raise AssertionError(f"no `listening` line in {START_S} s: {self.said!r} {self.stderr()}")
            data = os.read(out.fileno(), 4096)
            if not data:
                code = self.wait_exit()
                raise Died(code, self.stderr())
            self.said += data

    def wait_exit(self, timeout=STOP_S):
        """Waits for the end of the process and returns its exit code (negative: the signal)."""
        if not select.select([self.pidfd], [], [], timeout)[0]:
            raise AssertionError(f"server did not end in {timeout} s: {self.stderr()}")
        code = self.process.wait()
        os.close(self.pidfd)
        self.pidfd = None
        self.process.stdout.close()
        if self.api:
            self.api.close()
        return code

    @property
    def running(self):
        return self.process is not None and self.pidfd is not None

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self, timeout=STOP_S):
        self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def kill9(self):
        self.signal(signal.SIGKILL)
        return self.wait_exit()

    def restart(self, *more):
        if self.running:
            self.stop()
        return self.start(*more)

    def stderr(self):
        with open(self.stderr_path, errors="replace") as file:
            return file.read()

    # -- connections

    def open(self, receive_buffer=None):
        return Conn(self.address, receive_buffer)

    def ask(self, method, target, headers=None, body=None):
        """A new connection with one request on its way."""
        return self.open().ask(method, target, headers, body)

    # -- looking inside

    def info(self):
        return self.api.ok("GET", "/v1/info").json()

    def metrics(self):
        """All samples of /metrics: {'name{labels}': value}."""
        lines = self.api.ok("GET", "/metrics").body.decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}

    def parked(self):
        return self.info()["waits"]["parked"]

    def status_kib(self, field):
        """A size from /proc/PID/status, such as RssAnon or VmHWM, in KiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(rf"^{field}:\s+(\d+) kB", file.read(), re.M)[1])

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def switches(self):
        """How often its threads have gone to sleep: who sleeps and is not woken makes no system call."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/status") as file:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])
        return total

    def disk_bytes(self):
        """What the data directory takes on the disk, in blocks really there."""
        total = 0
        for folder, _, files in os.walk(self.data):
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total

    # -- waiting for something that has no answer of its own

    def pulse(self):
        """A question that the server answers in a few milliseconds: an empty claim that runs into its deadline."""
        self.clock = self.clock or self.open()
        self.clock.send(request_bytes("POST", "/v1/queues/pulse/claim?wait=5ms", body=b""))
        assert self.clock.answer().status == 204

    def eventually(self, condition, what, within_s=10.0):
        """Looks again after every pulse until the condition holds; returns what it gave."""
        deadline = time.monotonic() + within_s * SLOW
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
            self.pulse()
        return value

    def until_parked(self, count):
        return self.eventually(lambda: self.parked() >= count, f"{count} waits parked")

    def waiting_workers(self, queue):
        """Claims parked on a queue; a queue that nobody has used yet has none."""
        answer = self.api.get(f"/v1/queues/{queue}")
        return 0 if answer.status == 404 else answer.json()["waiting_workers"]

    def until_waiting(self, queue, count):
        self.eventually(lambda: self.waiting_workers(queue) == count, f"{count} claims parked on {queue}")
