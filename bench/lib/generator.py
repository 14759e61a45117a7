"""bide-bench as seen from Python: one measurement per call, or a conversation over its stdin for `park`."""

import json
import re
import subprocess

from servers import Broken, child_setup

TIMEOUT_SECONDS = 150

program = None  # set by bench/run


def arguments(command, server, options):
    words = [program, command]
    if server:
        words += ["--peer", options.pop("driver", server.driver), "--port", str(server.port), "--pid", str(server.pid)]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    return words


def measure(command, server=None, **options):
    whom = server.name if server else "this machine"
    try:
        done = subprocess.run(arguments(command, server, options), capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
                              preexec_fn=child_setup, check=False)
    except subprocess.TimeoutExpired:
        raise Broken(f"{command} against {whom}: no end after {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        raise Broken(f"{command} against {whom}: {done.stderr.strip()[:600]}")
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Broken(f"{command} against {whom} said: {done.stdout.strip()[:300]}") from None


def usage():
    return subprocess.run([program], capture_output=True, text=True, check=False).stderr


def has(command):
    """Whether bide-bench was built with it."""
    return f" {command} " in usage()


def library_version():
    """Of the librdkafka that bide-bench has; None: it has none."""
    found = re.search(r"librdkafka (\d+\.\d+\.\d+)", usage())
    return found and found.group(1)


class Conversation:
    """A generator that keeps its connections while we think: write a command, read its figures."""

    def __init__(self, server, **options):
        self.server = server
        self.process = subprocess.Popen(arguments("park", server, options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, preexec_fn=child_setup)

    def write(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read() tells why

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Broken(f"park against {self.server.name}: {self.process.stderr.read().strip()[:600]}")
        return json.loads(line)

    def ask(self, command):
        self.write(command)
        return self.read()

    def close(self):
        self.process.kill()
        self.process.communicate()
