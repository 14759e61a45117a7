"""Runs the client commands for a test: to their end, or beside it, with what they say read line by line, or on a terminal.

Nothing here waits for time to pass. `Program` is read until it has said what is expected or has ended; `Gate` is how a test and
the commands that `bide work` starts speak to each other: each says "I am here" and waits until it is let on.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from bide_server import BIN, SLOW, clean_environment

END_S = 30.0 * SLOW  # no command in a test takes longer

OK, FAILED, USAGE, NOT_FOUND, NOT_ALLOWED, CONFLICT, TIMED_OUT, UNREACHABLE = range(8)
JOB_FAILED, CANCELED, EXPIRED = 10, 11, 12


class Said:
    """How a command ended and what it said."""

    def __init__(self, code, out, err):
        self.code, self.bytes, self.out, self.err = code, out, out.decode(errors="replace"), err.decode(errors="replace")

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return self.out.splitlines()

    def __repr__(self):
        return f"<code {self.code} out {self.out[:2000]!r} err {self.err[:2000]!r}>"


def url_of(server):
    return server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"


def environment(server, **more):
    names = {"BIDE_SERVER": url_of(server)} if server else {}
    return clean_environment(**names, **more)


def bide(server, *words, stdin=b"", env=None, cwd=None):
    """Runs a command to its end; whatever its exit code."""
    ended = subprocess.run([BIN, *map(str, words)], input=stdin, capture_output=True, timeout=END_S, cwd=cwd,
                           env=environment(server, **(env or {})))
    return Said(ended.returncode, ended.stdout, ended.stderr)


def ok(server, *words, **more):
    said = bide(server, *words, **more)
    assert said.code == OK, f"{words}: {said}"
    return said


def submit(server, queue, text="", *options):
    """Submits and returns the handle."""
    return ok(server, "submit", queue, "--text", text, *options).out.strip()


class Program:
    """A command that runs beside the test. `terminal`: its stderr is one, with "all" its stdin and stdout as well."""

    def __init__(self, server, *words, stdin=None, terminal=None, size=(24, 80), env=None):
        self.master = slave = None
        on_terminal = {"TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": ""} if terminal else {}
        env = environment(server, **{**on_terminal, **(env or {})})
        if terminal:
            self.master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        both = slave if terminal == "all" else None
        self.process = subprocess.Popen([BIN, *map(str, words)], env=env, stdin=both or stdin or subprocess.DEVNULL,
                                        stdout=both or subprocess.PIPE, stderr=slave or subprocess.PIPE, start_new_session=True)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.sources = {}
        for name, file in (("out", self.process.stdout), ("err", self.process.stderr)):
            if file:
                self.sources[file.fileno()] = name
        if terminal:
            os.close(slave)
            self.sources[self.master] = "screen"
        self.text = {name: b"" for name in self.sources.values()}

    def _read(self, deadline):
        """Takes in what there is; False when everything has ended."""
        if not self.sources:
            return False
        ready = select.select(list(self.sources), [], [], max(0, deadline - time.monotonic()))[0]
        assert ready, f"nothing more came within {END_S} s; so far {self.text}"
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:  # a terminal whose other side is closed
                data = b""
            if data:
                self.text[self.sources[fd]] += data
            else:
                del self.sources[fd]
        return True

    def until(self, pattern, name="err"):
        """Reads until the pattern is there; returns the match."""
        deadline = time.monotonic() + END_S
        while not (found := re.search(pattern.encode() if isinstance(pattern, str) else pattern, self.text[name], re.M)):
            assert self._read(deadline), f"{pattern!r} was never said: {self.text}"
        return found

    def type(self, keys):
        os.write(self.master, keys)

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self):
        """Waits for the end; everything that was said is in the answer."""
        deadline = time.monotonic() + END_S
        while self._read(deadline):
            pass
        assert select.select([self.pidfd], [], [], max(0, deadline - time.monotonic()))[0], "it does not end"
        self.close()
        return Said(self.process.returncode, self.text.get("out", b""), self.text.get("err", b""))

    def close(self):
        if self.pidfd is None:
            return
        if not select.select([self.pidfd], [], [], 0)[0]:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for file in (self.process.stdout, self.process.stderr):
            if file:
                file.close()
        if self.master is not None:
            os.close(self.master)
        os.close(self.pidfd)
        self.pidfd = self.master = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Gate:
    """Two pipes with names. In a shell command HERE tells the process's number and the attempt, and WAIT waits to be let on."""

    def __init__(self, folder):
        self.fds = []
        for name in ("here", "on"):
            path = os.path.join(str(folder), name)
            os.mkfifo(path)
            self.fds.append(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            setattr(self, name, path)
        self.buffer = b""

    @property
    def env(self):
        return {"GATE_HERE": self.here, "GATE_ON": self.on}

    def arrived(self):
        """The words of the next one who says that it is there."""
        deadline = time.monotonic() + END_S
        while b"\n" not in self.buffer:
            assert select.select([self.fds[0]], [], [], max(0, deadline - time.monotonic()))[0], "nobody came to the gate"
            self.buffer += os.read(self.fds[0], 4096)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().split()

    def open(self, count=1):
        """Lets so many on, those who come later as well."""
        os.write(self.fds[1], b"on\n" * count)

    def close(self):
        for fd in self.fds:
            os.close(fd)


HERE = 'echo "$$ $BIDE_ATTEMPT" >"$GATE_HERE"'
WAIT = 'read -r on <"$GATE_ON"'


def until_gone(pid_words):
    """Waits until the process that arrived at a gate has ended."""
    try:
        fd = os.pidfd_open(int(pid_words[0]))
    except ProcessLookupError:
        return
    ended = select.select([fd], [], [], END_S)[0]
    os.close(fd)
    assert ended, "the command was not ended"
