"""`bench park`: 15,000 parked waits: what they cost, how fast one is woken, how fast all are."""

import collections
import statistics

import generator
import servers
import silence
from tables import Table, clean, middle, ratio, spread, time_text

KINDS = (servers.Bide, servers.Redis, servers.RedisMemory, servers.Nchan, servers.Beanstalkd)
FANOUT_KINDS = (servers.Bide, servers.Nchan, servers.Floor)
DURABLE = {"bide": "yes", "redis": "yes", "beanstalkd": "yes", "floor": ""}
WAKE_RATE = 1000
PARK_FIGURES = ("wait_bytes", "all_bytes", "park_seconds", "silence_calls", "silence_cpu_us", "silence_repolled", "wake_p50_us",
                "wake_p90_us", "wake_p99_us", "wake_p999_us", "wake_max_us", "wake_cpu_us")
FANOUT_FIGURES = ("last_us", "p50_us", "cpu_us", "answer_bytes")


class Plan:
    def __init__(self, quick, runs):
        self.runs = runs or (2 if quick else 5)
        self.waiters = 5000 if quick else 15000
        self.silence_seconds = 3 if quick else 10
        self.wakes = 1000 if quick else 3000
        self.rounds = 3 if quick else 5


def rotate(items, by):
    items = list(items)
    by %= max(1, len(items))
    return items[by:] + items[:by]


def scaled(values_us):
    """Microseconds as milliseconds, gaps kept."""
    return [None if value is None else value / 1000 for value in values_us]


class Park:
    def __init__(self, plan, directory, kinds, say):
        self.plan = plan
        self.directory = directory
        self.kinds = kinds
        self.say = say
        self.tracer = silence.tracer()
        self.labels = {kind.name: kind.label for kind in KINDS + FANOUT_KINDS}
        # figures[server][figure] = one value a run, None where it failed: ratios are taken within a run
        self.figures = collections.defaultdict(lambda: collections.defaultdict(list))
        self.fanout = collections.defaultdict(lambda: collections.defaultdict(list))
        self.answer_bytes = None
        self.failures = []

    def run(self):
        for run in range(self.plan.runs):
            self.say(f"run {run + 1} of {self.plan.runs}")
            self.run_park(run)
            self.run_fanout(run)

    def failed(self, broken):
        self.failures.append(str(broken))
        self.say(f"  FAILED: {broken}")

    # ---- parked, silent, woken one at a time ----

    def run_park(self, run):
        started = servers.start_all([kind for kind in KINDS if kind in self.kinds], self.directory, self.say if run == 0 else str)
        row = {name: {} for name in started}
        talks = {}
        try:
            for name in rotate(started, run):
                talks[name] = generator.Conversation(started[name], waiters=self.plan.waiters)
                self.attempt(talks, name, self.park, row[name])
            self.silent(started, talks, row)
            for name in rotate(started, run):
                if name != "beanstalkd" and name in talks:
                    self.attempt(talks, name, self.wake, row[name])
        finally:
            for talk in talks.values():
                talk.close()
            for server in started.values():
                server.stop()
        for name, figures in row.items():
            for key in PARK_FIGURES:
                self.figures[name][key].append(figures.get(key))

    def attempt(self, talks, name, step, row):
        """A step with one server; when it fails, that server is out of this run."""
        try:
            step(name, talks[name], row)
        except servers.Broken as broken:
            self.failed(broken)
            talks.pop(name).close()

    def park(self, name, talk, row):
        waiters = self.plan.waiters
        prepared = talk.ask(f"prepare {waiters}")
        parked = talk.ask("park")
        row["wait_bytes"] = (parked["parked_bytes"] - prepared["prepared_bytes"]) / waiters
        row["all_bytes"] = (parked["parked_bytes"] - prepared["empty_bytes"]) / waiters
        row["park_seconds"] = parked["park_seconds"]
        self.say(f"  parked  {name:18} {row['wait_bytes']:8.0f} B a wait, {row['all_bytes']:8.0f} B with what it waits for, "
                 f"all parked in {parked['park_seconds']:.2f} s")

    def silent(self, started, talks, row):
        seconds = self.plan.silence_seconds
        counters = {name: self.tracer(started[name].pids(), seconds) for name in talks} if self.tracer else {}
        for talk in talks.values():
            talk.write(f"silence {seconds * 1000}")
        for name in list(talks):
            calls = counters[name].count() if counters else None
            row[name]["silence_calls"] = calls
            self.attempt(talks, name, self.silent_read, row[name])

    def silent_read(self, name, talk, row):
        quiet = talk.read()
        row["silence_cpu_us"] = quiet["cpu_us"]
        row["silence_repolled"] = quiet["repolled"]
        calls = row["silence_calls"]
        self.say(f"  silent  {name:18} {'n/a' if calls is None else calls} system calls, {quiet['cpu_us'] / 1000:.2f} ms CPU in "
                 f"{self.plan.silence_seconds} s")

    def wake(self, name, talk, row):
        woken = talk.ask(f"wake {WAKE_RATE} {self.plan.wakes}")
        for key in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us"):
            row["wake_" + key] = woken["wake"][key]
        row["wake_cpu_us"] = woken["cpu_us_per_wake"]
        self.say(f"  woken   {name:18} p50 {woken['wake']['p50_us']:.0f} µs, p99 {woken['wake']['p99_us']:.0f} µs, "
                 f"{woken['cpu_us_per_wake']:.1f} µs CPU each")

    # ---- all on one handle ----

    def run_fanout(self, run):
        kinds = [kind for kind in FANOUT_KINDS if kind in self.kinds]
        # The floor writes as many bytes as bide's answer has, so bide goes first in the first run.
        for kind in rotate(kinds, run):
            servers.Floor.answer_bytes = self.answer_bytes or servers.Floor.answer_bytes
            for server in servers.start_all([kind], self.directory, self.say if run == 0 else str).values():
                row = {}
                try:
                    row = self.fanout_one(server)
                except servers.Broken as broken:
                    self.failed(broken)
                finally:
                    server.stop()
                for key in FANOUT_FIGURES:
                    self.fanout[server.name][key].append(row.get(key))

    def fanout_one(self, server):
        talk = generator.Conversation(server, waiters=self.plan.waiters)
        try:
            talk.ask(f"prepare {self.plan.rounds}")
            result = talk.ask(f"fanout {self.plan.rounds}")
        finally:
            talk.close()
        row = {"last_us": statistics.median(result["last_us"]), "p50_us": result["wake"]["p50_us"],
               "cpu_us": statistics.median(result["cpu_us_per_wake"]), "answer_bytes": result["answer_bytes"]}
        if server.name == "bide":
            self.answer_bytes = result["answer_bytes"]
        self.say(f"  fan-out {server.name:18} last after {row['last_us'] / 1000:.1f} ms, {row['cpu_us']:.2f} µs CPU each, "
                 f"{row['answer_bytes']} B answers")
        return row

    # ---- tables ----

    def tables(self):
        return [table for table in (self.table_memory(), self.table_wake(), self.table_fanout()) if table.rows]

    def table_memory(self):
        seconds = self.plan.silence_seconds
        table = Table(f"{self.plan.waiters:,} parked waits", ["", "user memory a wait, connection included", "to bide",
                                                              "with the job, list or channel", f"system calls in {seconds} s",
                                                              f"CPU in {seconds} s"])
        bide = self.figures["bide"]["wait_bytes"] if "bide" in self.figures else []
        for name, figures in self.figures.items():
            table.row(self.labels[name], spread(figures["wait_bytes"], "B"), ratio(figures["wait_bytes"], bide),
                      middle(figures["all_bytes"], "B"), middle(figures["silence_calls"]),
                      middle(scaled(figures["silence_cpu_us"]), "ms"))
        return table

    def table_wake(self):
        table = Table(f"One job done at a time, {WAKE_RATE:,}/s, among {self.plan.waiters:,} parked: done is due → its waiter has the answer",
                      ["", "durable", "p50", "p99", "p99 to bide", "p99.9", "CPU a wake", "CPU to bide"])
        bide = self.figures.get("bide", {})
        for name, figures in self.figures.items():
            if not clean(figures["wake_p50_us"]):
                continue
            table.row(self.labels[name], DURABLE.get(name, "no"), spread(figures["wake_p50_us"], "µs"), spread(figures["wake_p99_us"], "µs"),
                      ratio(figures["wake_p99_us"], bide.get("wake_p99_us", [])), time_text(figures["wake_p999_us"]),
                      middle(figures["wake_cpu_us"], "µs"), ratio(figures["wake_cpu_us"], bide.get("wake_cpu_us", [])))
        return table

    def table_fanout(self):
        table = Table(f"{self.plan.waiters:,} waits on one handle: done → the last has the answer",
                      ["", "last answered", "to the floor", "p50", "CPU a wake", "bytes of an answer"])
        floor = self.fanout["floor"]["last_us"] if "floor" in self.fanout else []
        for name in [kind.name for kind in FANOUT_KINDS if kind.name in self.fanout]:
            figures = self.fanout[name]
            table.row(self.labels[name], spread(scaled(figures["last_us"]), "ms"), ratio(figures["last_us"], floor),
                      time_text(figures["p50_us"]), middle(figures["cpu_us"], "µs"), middle(figures["answer_bytes"]))
        return table

    def seen(self):
        """Servers that took part."""
        return set(self.figures) & set(self.fanout)

    def results(self):
        return {"waiters": self.plan.waiters, "runs": self.plan.runs, "silence_seconds": self.plan.silence_seconds,
                "tracer": self.tracer.name if self.tracer else None, "failures": self.failures, "park": self.figures, "fanout": self.fanout}
