#!/usr/bin/env python3
"""Clients of both doors work on a server that is killed every few seconds; then their history is checked.

    run.py [--time 120] [--seed N] [--folder DIR] [--few] [--only ROLE,…] [--days kill,stop,cut]
           [--flags "--sync 20ms"] [--faults sync:delay=20ms] [--plant tail|lie|forget]

`--days`: what befalls the server; it is killed, stands still for some seconds, or its connections are cut all the time. In the end
it is killed once more and started again, and everything is read. `--few`: as many clients as fit a short test. Those for Java take
part where BIDE_HISTORY_JAVA, in the environment, is their classpath. `--plant` makes the server lose what it had acknowledged, or delete
what is compacted when it is much, or a client lie: the checker must find that.
"""

import argparse
import collections
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../e2e")]
sys.dont_write_bytecode = True

from bide_kafka import KafkaServer  # noqa: E402
from bide_relay import Relay  # noqa: E402
from bide_server import SLOW  # noqa: E402
from checker import judge  # noqa: E402
from client_rdkafka import NEW_GROUPS  # noqa: E402
from final import Final  # noqa: E402
from compacted import left_out  # noqa: E402
from history import Recorder, load  # noqa: E402
from view import View  # noqa: E402

TOPICS = {"log": 3, "cut": 2, "source": 3, "made": 2, "keyed": 2}  # something for every member of a group
SEGMENT_BYTES = 2 << 20  # the least there may be, so that checkpoints are made, and the tidier has work
FLAGS = ("--segment-size", str(SEGMENT_BYTES), "--compaction-interval", "50ms")
ALL = {
    "rdkafka": "plain idempotent transact follow follow-raw read-all read-all-raw join join join-raw join-new join-new join-static join-static process process"
    " delete",
    "kafka_python": "plain idempotent transact follow follow-raw join join-raw process",
    "http": "plain follow read-all",
    "java": "plain transact follow read-all join join-new process",
}
FEW = {"rdkafka": "idempotent transact follow read-all join process delete", "kafka_python": "plain follow-raw join-raw", "http": "plain follow read-all"}
FORGETS = {"cleanup.policy": "compact,delete", "retention.bytes": "20000"}
HEADER = 64  # bytes of a segment before its first entry
PROGRESS_S, LEAVE_S = 90 * SLOW, 60


class Client:
    """A process that takes part."""

    def __init__(self, run, library, role, number):
        self.name = f"{library}-{role}-{number}"
        self.path = os.path.join(run.folder, f"{self.name}.jsonl")
        self.stderr = open(os.path.join(run.folder, f"{self.name}.stderr"), "w")
        lie = ["lie"] if run.plant == "lie" and role == "follow" and library != "http" else []
        port = run.server.port if library == "http" else run.port
        command = [sys.executable, os.path.join(HERE, "worker.py"), library, role, self.name, run.folder, str(port)]
        self.process = subprocess.Popen(command + [f"{run.seed}/{self.name}"] + lie, stdin=subprocess.PIPE, stderr=self.stderr)
        self.read = self.part = None
        self.progress_at = 0

    def look(self):
        """Reads on in what it writes: when was it last told that something was done?"""
        if self.read is None:
            if not os.path.exists(self.path):
                return
            self.read, self.part = open(self.path), ""
        *whole, self.part = (self.part + self.read.read()).split("\n")
        for text in whole:
            line = json.loads(text)
            if line["type"] == "ok" and "f" not in line and line.get("records") != {}:
                self.progress_at = line["t"]

    def leave(self, deadline):
        """Its exit code; one that hangs is killed, and what it did not hear is unknown."""
        try:
            return self.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it says where, in its .stderr
            self.process.wait()
            return "hangs"


class Run:
    def __init__(self, folder, seed=None, few=False, plant=None, only=None, days=("kill",), flags=(), faults=None):
        self.folder, self.plant = str(folder), plant
        self.seed = seed if seed is not None else random.SystemRandom().randrange(1 << 32)
        self.rng, self.stop = random.Random(self.seed), threading.Event()
        chosen, self.only = FEW if few else ALL, only
        self.roles = {library: [role for role in roles.split() if self.takes_part(library, role)] for library, roles in chosen.items()}
        flags = FLAGS + (("--sync", "os") if plant == "tail" else ()) + tuple(flags)
        self.server = KafkaServer(os.path.join(self.folder, "data"), *flags, faults=faults)
        self.recorder = Recorder(os.path.join(self.folder, "run.jsonl"), "run")
        self.days, self.stops, self.relay = days, 0, None
        self.kills, self.checkpoints, self.problems, self.clients = 0, set(), [], []
        self.segments = self.written = self.compactions = 0  # in the end; in all

    def takes_part(self, library, role):
        knows = os.environ.get("BIDE_HISTORY_JAVA") if library == "java" else NEW_GROUPS or role != "join-new"
        return knows and (not self.only or role in self.only)

    def begin(self):
        with open(os.path.join(self.folder, "topics.json"), "w") as file:
            json.dump(TOPICS, file)
        if "cut" in self.days:
            self.stand_between()
        self.server.start()
        self.final = Final(f"127.0.0.1:{self.port}", TOPICS, self.recorder)
        self.final.make_topics(FORGETS if self.plant == "forget" else None)
        self.topics_end = journal_end(self.server.data)
        for library, roles in self.roles.items():
            self.clients += [Client(self, library, role, n) for n, role in enumerate(roles)]

    @property
    def port(self):
        return self.relay.port if self.relay else self.server.kafka_port

    # -- bad days

    def stand_between(self):
        """Clients come through a relay, which breaks each of their connections sooner or later."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.server.kafka_port = free.getsockname()[1]
        means = (2_000, 50_000, 1_000_000)  # bytes of answers: writers are told little, readers much
        self.relay = Relay(self.server.kafka_port, [int(self.rng.expovariate(1 / self.rng.choice(means))) for _ in range(100_000)])
        self.server.flags += ["--advertise", f"127.0.0.1:{self.relay.port}"]

    def stand_still(self):
        """As a machine that is moved to another: longer than a session, sometimes."""
        self.stops += 1
        self.recorder.note("stop")
        self.server.signal(signal.SIGSTOP)
        self.stop.wait(self.rng.choice((0.5, 3, 8, 12)))
        self.server.signal(signal.SIGCONT)
        self.recorder.note("go on")

    def kill(self):
        self.kills += 1
        try:
            self.checkpoints.add(os.stat(os.path.join(self.server.data, "checkpoint")).st_ino)
        except FileNotFoundError:
            pass
        self.count_compactions(self.server.metrics())
        self.recorder.note("kill")
        self.server.kill9()
        if self.plant == "tail":
            lose_tail(self.server.data, self.topics_end)
        self.stop.wait(self.rng.choice((0, 0, self.rng.uniform(0, 0.5))))
        self.server.start()
        self.recorder.note("start")

    def count_compactions(self, metrics):
        self.compactions += metrics["bide_compactions_total"]
        if metrics["bide_compactions_failed_total"]:
            self.problems.append("a compaction failed")

    def bad_days(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.stop.wait(min(left, self.rng.choice((self.rng.uniform(0.2, 2), self.rng.uniform(2, 7)))))
            day = self.rng.choice(self.days)
            if day == "kill":
                self.kill()
            elif day == "stop":
                self.stand_still()

    def all_go_on(self):
        """Since the last start, each client was told that something was done."""
        since, deadline = time.monotonic_ns(), time.monotonic() + PROGRESS_S
        while True:
            for client in self.clients:
                client.look()
            late = [client.name for client in self.clients if client.progress_at < since]
            if not late:
                return
            if time.monotonic() > deadline:
                self.problems.append(f"no progress in {PROGRESS_S} s: {late}")
                return
            self.stop.wait(0.2)

    # -- the end

    def end(self):
        deadline = time.monotonic() + (5 if self.plant else LEAVE_S) * SLOW  # what was planted may hang a client
        for client in self.clients:
            client.process.stdin.close()  # so it is told
        for client in self.clients:
            code = client.leave(deadline)
            if code != 0:
                self.problems.append(f"{client.name} ended with {code}")
        self.kill()
        self.final.read()
        metrics = self.server.metrics()
        self.count_compactions(metrics)
        self.segments, self.written = metrics["bide_journal_segments"], metrics["bide_journal_end_bytes"] // SEGMENT_BYTES + 1
        if self.server.stop() != 0:
            self.problems.append("the server did not leave in good order")

    def go(self, seconds):
        self.begin()
        try:
            self.all_go_on()  # or nothing happens in a short run on a machine that has much to do
            self.bad_days(seconds)
            if self.relay:
                self.relay.limits.clear()  # from here on, none is cut
            if not self.plant:
                self.all_go_on()
            self.end()
        finally:
            for client in self.clients:
                client.process.kill()
            if self.server.running:
                self.server.kill9()
        self.ops = load([client.path for client in self.clients] + [os.path.join(self.folder, "run.jsonl")])
        view = View(self.ops)
        self.found, self.left_out = judge(view), left_out(view)
        if not self.plant and view.compacted.placed and 0 in self.left_out:
            self.problems.append(f"compaction is not shown: {self.left_out[0]} records are gone, {self.left_out[1]} names")
        return self


def journal_end(data):
    """The last segment that is written to, and how far."""
    folder = os.path.join(data, "journal")
    for name in sorted((name for name in os.listdir(folder) if name.endswith(".seg")), reverse=True):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            written = len(file.read().rstrip(b"\0"))
        if written > HEADER:  # else it was made ready for what comes
            return path, written


def lose_tail(data, topics_end, most=512 << 10):
    """Zeroes the end of the journal, but for the topics, as a disk that had not kept it would: the next start takes that for a torn
    end."""
    path, written = journal_end(data)
    start = max(HEADER, written - most, topics_end[1] if path == topics_end[0] else 0)
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(bytes(written - start))


def summary(run):
    """What was done, in lines: an operation with how it ended."""
    counts = collections.Counter((op["f"], op["type"]) for op in run.ops)
    rows = [f"{'':14}{'ok':>9}{'fail':>9}{'unknown':>9}"]
    for f in ("send", "commit", "abort", "txn-offsets", "offsets", "poll", "delete"):
        rows.append(f"{f:14}" + "".join(f"{counts[f, kind]:>9}" for kind in ("ok", "fail", "info")))
    read = sum(len(records) for op in run.ops if op["f"] == "poll" for records in op.get("records", {}).values())
    rows.append(f"{read} records read; {counts['assigned', 'ok']} assignments by rebalances, {counts['assign', 'ok']} by readers")
    rows.append(f"{len(run.clients)} clients, {counts['broken', 'ok']} lives of them broken; {run.kills} kills, {run.stops} stops, "
                f"{len(run.checkpoints)} checkpoints or more; {run.segments:.0f} segments of {run.written:.0f} left")
    full, (records, names) = counts["full", "ok"], run.left_out
    rows.append(f"{run.compactions:.0f} compactions or more left out {records} records, and {names} names; {full} full reads")
    return rows


def report(run, most=20):
    print("\n".join(summary(run)))
    for rule, texts in run.found.items():
        print(f"\nFOUND {rule}: {len(texts)}")
        print("\n".join(f"  {text}" for text in texts[:most]))
    for problem in run.problems:
        print(f"\nPROBLEM {problem}")
    if not run.found and not run.problems:
        print("nothing found")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=float, default=120)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--folder")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="ROLE,…")
    parser.add_argument("--days", type=lambda text: text.split(","), metavar="kill,stop,cut", default=["kill"])
    parser.add_argument("--flags", type=str.split, default=[], help="of the server, as '--sync 20ms'")
    parser.add_argument("--faults", help="of the server, as sync:delay=20ms")
    parser.add_argument("--plant", choices=("tail", "lie", "forget"))
    args = parser.parse_args()
    folder = args.folder or tempfile.mkdtemp(prefix="history-")
    os.makedirs(folder, exist_ok=True)
    options = vars(args)
    seconds = options.pop("time")
    run = Run(**{**options, "folder": folder})
    print(f"seed {run.seed}, in {folder}", flush=True)
    report(run.go(seconds))
    sys.exit(1 if run.found or run.problems else 0)


if __name__ == "__main__":
    main()
