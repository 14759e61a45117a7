"""What is checked, one line each on stdout: `ok NAME`, `not ok NAME WHY`, `skip NAME WHY`; and what the checks of all clients share."""

import os
import random
import sys
import threading
import traceback

SECONDS = 60
TIME = 1_700_000_000_000
RECORDS = 120


class Skip(Exception):
    pass


class Tap:
    """Checks by name, each with a deadline. What still runs behind it is left behind, and ends with the program."""

    def __init__(self):
        self.checks = {}

    def check(self, name, function, *args):
        self.checks[name] = (function, args)

    def run(self, wanted):
        good = True
        for name, (function, args) in self.checks.items():
            if wanted and name not in wanted:
                continue
            how, why = self.how(function, args)
            good = good and how != "not ok"
            print(how, name, " ".join(why.split())[:400], flush=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0 if good else 1)  # whatever threads a client has left

    @staticmethod
    def how(function, args):
        outcome = ["not ok", f"not within {SECONDS} s"]

        def run():
            try:
                function(*args)
                outcome[:] = "ok", ""
            except Skip as skip:
                outcome[:] = "skip", str(skip)
            except BaseException as error:
                traceback.print_exc()
                outcome[:] = "not ok", f"{type(error).__name__}: {error}"

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(SECONDS)
        return tuple(outcome)


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:200]} instead of {str(wanted)[:200]}")


def that(condition, what):
    if not condition:
        raise AssertionError(what)


def record(i):
    """The i-th of a topic of three partitions: key, value, headers, timestamp; without a key, without a value, with many headers or
    none, short and long."""
    key = None if i % 7 == 0 else f"key {i}".encode()
    size = 200_000 if i == 50 else i * 37 % 1500
    value = None if i % 11 == 1 and key else bytes([i]) * (size // 2) + random.Random(i).randbytes(size - size // 2)
    headers = [("same name", f"header {h} of {i}".encode()) for h in range(i % 4)]
    if i % 5 == 0:
        headers += [("empty", b"")]
    return key, value, headers, TIME + i


class Order:
    """Records as they come, held against those that were sent."""

    def __init__(self):
        self.next = [0, 1, 2]

    def take(self, partition, came):
        i = self.next[partition]
        self.next[partition] += 3
        key, value, headers, timestamp = came
        equal((key, value, [tuple(header) for header in headers or []], timestamp), record(i), f"record {i}")

    def all(self):
        return sum(self.next) >= 3 * RECORDS + 3


def main(program, version):
    """`program(tap, server, prefix)` names its checks; those on the command line are run, or all."""
    print("version", version, flush=True)
    tap = Tap()
    program(tap, sys.argv[1], sys.argv[2])
    tap.run(sys.argv[3:])
