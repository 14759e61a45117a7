"""Counts the system calls of processes that should make none."""

import os
import re
import shutil
import subprocess
import tempfile
import time

ATTACH_SECONDS = 1.0  # strace interrupts a sleeping call when it attaches: what comes of that is not the server's


def perf_works():
    if not shutil.which("perf"):
        return False
    probe = subprocess.run(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"], capture_output=True, text=True,
                           check=False)
    return probe.returncode == 0 and re.search(r"^\d+,", probe.stderr, re.M) is not None


class Perf:
    """perf's counter of the raw_syscalls tracepoint: costs the process nothing while it sleeps."""

    name = "perf stat"

    def __init__(self, pids, seconds):
        command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", ",".join(map(str, pids)), "sleep", str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def count(self):
        _, errors = self.process.communicate()
        match = re.search(r"^(\d+|<not counted>),", errors, re.M)
        if not match:
            return None
        return 0 if match.group(1).startswith("<") else int(match.group(1))  # "not counted": it never ran


class Strace:
    """strace on all threads; lines within the first second after attaching are left out."""

    name = "strace"

    def __init__(self, pids, seconds):
        handle, self.path = tempfile.mkstemp(prefix="bide-bench-strace-")
        os.close(handle)
        command = ["strace", "-f", "-q", "-ttt", "-o", self.path]
        for pid in pids:
            command += ["-p", str(pid)]
        self.start = time.time()
        self.deadline = time.monotonic() + ATTACH_SECONDS + seconds
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def count(self):
        time.sleep(max(0.0, self.deadline - time.monotonic()))
        attached = self.process.poll() is None
        self.process.terminate()
        self.process.communicate()
        with open(self.path, errors="replace") as trace:
            lines = [line.split(None, 2) for line in trace]
        os.unlink(self.path)
        if not attached:
            return None
        begin = self.start + ATTACH_SECONDS
        return sum(1 for words in lines if len(words) == 3 and float(words[1]) >= begin and "resumed>" not in words[2])


def tracer():
    """The counter that works on this machine, or None."""
    if perf_works():
        return Perf
    if shutil.which("strace"):
        return Strace
    return None
