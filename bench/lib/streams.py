"""`bench streams`: appends, readers that are parked at the end, fan-out, long reads, what streams cost in memory, push beside pull."""

import collections
import os
import statistics
import time

import generator
import servers
import streams_tables

KINDS = (servers.Bide, servers.Durable, servers.Redis, servers.Nchan, servers.Nats)
FANOUT_KINDS = (servers.Floor, servers.FloorEvents, servers.BytesFloor, servers.BytesFloorWritev)
CASES = ("latency", "fanout", "append", "catchup", "memory", "pull", "restart")

LATENCY_KINDS = (servers.Bide, servers.Durable, servers.Redis, servers.Nchan)
LATENCY_RATE = 100
DURABLE_RATE = 20  # what it can keep up with
LATENCY_MODES = ((1, "one reader"), (100, "100 readers, each on a stream of its own"))

# (key, server, driver of `park`)
FANOUTS = {"long": (("bide", servers.Bide, "bide-stream"), ("nchan", servers.Nchan, "nchan"), ("floor", servers.Floor, "floor")),
           "sse": (("bide", servers.Bide, "bide-sse"), ("nchan", servers.Nchan, "nchan-sse"),
                   ("floor", servers.FloorEvents, "floor-sse"))}

APPEND_MODES = (("1-100", "1 client, 100 B", {"clients": 1, "streams": 1, "body_bytes": 100}),
                ("1-10k", "1 client, 10 KB", {"clients": 1, "streams": 1, "body_bytes": 10000}),
                ("64-100", "64 clients, a stream each, 100 B", {"clients": 64, "streams": 64, "body_bytes": 100}),
                ("64-100-one", "64 clients, one stream, 100 B", {"clients": 64, "streams": 1, "body_bytes": 100}),
                ("64-10k-one", "64 clients, one stream, 10 KB", {"clients": 64, "streams": 1, "body_bytes": 10000}))

CATCHUP_KINDS = (servers.Bide, servers.Durable, servers.Redis)
BIG_APPEND = 1000000  # what the protocol's own server is filled by: its appends are slow, and its readers see only bytes

PULL_STYLES = (("short-1000", "short polling, each second", {"style": "short", "interval_ms": 1000}),
               ("short-100", "short polling, each 100 ms", {"style": "short", "interval_ms": 100}),
               ("long", "long polling", {"style": "long"}),
               ("sse", "events (SSE)", {"style": "sse"}))
PULL_FIGURES = ("requests_per_event", "bytes_per_event", "cpu_us_per_event")


class Plan:
    def __init__(self, quick, runs):
        self.runs = runs or (1 if quick else 3)
        self.waiters = 5000 if quick else 15000
        self.rounds = 3
        self.duration_ms = 300 if quick else 500
        self.latency_ms = 1000 if quick else 1500
        self.warmup_ms = 100 if quick else 150
        self.catchup_bytes = {10000: 30000000 if quick else 100000000, 100: 2000000 if quick else 10000000}
        self.streams = 100000 if quick else 1000000
        self.stream_waiters = 2000 if quick else 10000
        self.pull_ms = 2000
        self.pull_runs = max(1, self.runs - 1)
        self.pull_rate = 100
        self.pull_burst = 50
        self.pull_readers = 20
        self.pull_slow = 10
        self.restart_records = (50000, 50000) if quick else (500000, 1000000)
        self.restart_streams = 1000


def rotate(items, by):
    items = list(items)
    by %= max(1, len(items))
    return items[by:] + items[:by]


def figures():
    return collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))


class Streams:
    def __init__(self, plan, directory, kinds, say):
        self.plan = plan
        self.directory = directory
        self.kinds = kinds
        self.say = say
        self.cases = CASES
        # figures[mode][server][figure] = one value a run, None where it failed: ratios are taken within a run
        self.latency, self.fanout, self.append, self.catchup, self.pull = (figures() for _ in range(5))
        self.memory = collections.defaultdict(dict)
        self.restart = []
        self.answer_bytes = {}
        self.prefixes = 0
        self.failures = []

    def run(self):
        for case in self.cases:
            began = time.monotonic()
            self.say(case)
            getattr(self, "run_" + case)()
            self.say(f"  {case} took {time.monotonic() - began:.0f} s")

    # ---- what all cases need ----

    def prefix(self):
        """Streams that no other measurement has seen."""
        self.prefixes += 1
        return f"b{self.prefixes}"

    def chosen(self, kinds):
        return [kind for kind in kinds if kind in self.kinds]

    def failed(self, broken):
        self.failures.append(str(broken))
        self.say(f"  FAILED: {broken}")

    def attempt(self, step, *arguments, **options):
        """A measurement, or None with the reason noted: one that fails does not end the others."""
        try:
            return step(*arguments, **options)
        except servers.Broken as broken:
            self.failed(broken)
            return None

    def measure(self, command, server, **options):
        return self.attempt(generator.measure, command, server, prefix=self.prefix(), **options)

    def together(self, kinds, step):
        """The servers side by side, fresh for each run: step(started, run). (One of them loses its way with many streams open.)"""
        for run in range(self.plan.runs):
            started = servers.start_all(self.chosen(kinds), self.directory, self.say if run == 0 else str)
            try:
                step(started, run)
            finally:
                for server in started.values():
                    server.stop()

    # ---- append → a parked reader has it ----

    def run_latency(self):
        self.together(LATENCY_KINDS, self.latency_once)

    def latency_once(self, started, run):
        for mode, _ in LATENCY_MODES:
            # The machine itself takes its turn among them.
            for name in rotate(["machine", *started], run):
                if name == "machine":
                    self.latency_machine(mode)
                else:
                    self.latency_server(mode, started[name])

    def latency_machine(self, mode):
        known = generator.measure("facts", dir=self.directory, rate=LATENCY_RATE, duration_ms=self.plan.latency_ms)
        for name in ("fdatasync", "loopback", "both"):
            for figure in ("p50_us", "p99_us"):
                self.latency[mode][name][figure].append(known[name][figure])
        self.say(f"  {mode:3} streams  the machine  p50 {known['both']['p50_us']:.0f} µs, p99 {known['both']['p99_us']:.0f} µs to sync and answer")

    def latency_server(self, mode, server):
        result = self.measure("tail", server, streams=mode, duration_ms=self.plan.latency_ms,
                              rate=DURABLE_RATE if server.name == "durable" else LATENCY_RATE)
        row = self.latency[mode][server.name]
        for figure in ("p50_us", "p99_us", "p999_us"):
            row[figure].append(result and result["delay"][figure])
        row["cpu_us"].append(result and result["cpu_us"])
        if result:
            self.say(f"  {mode:3} streams  {server.name:12} p50 {row['p50_us'][-1]:.0f} µs, p99 {row['p99_us'][-1]:.0f} µs, "
                     f"{row['cpu_us'][-1]:.0f} µs CPU")

    # ---- one append → thousands of readers ----

    def run_fanout(self):
        for run in range(self.plan.runs):
            for style, players in FANOUTS.items():
                # The floor writes as many bytes as bide's answer has, so bide goes first in the first run.
                for key, kind, driver in rotate([player for player in players if player[1] in self.kinds], run):
                    self.fanout_one(style, key, kind, driver)

    def fanout_one(self, style, key, kind, driver):
        if issubclass(kind, servers.Floor):
            kind.answer_bytes = self.answer_bytes.get(style, 400)
        row = {}
        for server in servers.start_all([kind], self.directory, self.say).values():
            row = self.attempt(self.fanout_measure, server, driver) or {}
            server.stop()
        if row and key == "bide":
            self.answer_bytes[style] = row["answer_bytes"]
        for figure in ("last_us", "p50_us", "cpu_us", "answer_bytes"):
            self.fanout[style][key][figure].append(row.get(figure))
        if row:
            self.say(f"  {style:4} {key:6} last after {row['last_us'] / 1000:.1f} ms, {row['cpu_us']:.2f} µs CPU each, "
                     f"{row['answer_bytes']} B answers")

    def fanout_measure(self, server, driver):
        talk = generator.Conversation(server, driver=driver, waiters=self.plan.waiters)
        try:
            talk.ask(f"prepare {self.plan.rounds}")
            result = talk.ask(f"fanout {self.plan.rounds}")
        finally:
            talk.close()
        return {"last_us": statistics.median(result["last_us"]), "p50_us": result["wake"]["p50_us"],
                "cpu_us": statistics.median(result["cpu_us_per_wake"]), "answer_bytes": result["answer_bytes"]}

    # ---- appends a second ----

    def run_append(self):
        self.together(KINDS, self.append_once)

    def append_once(self, started, run):
        for mode, text, options in APPEND_MODES:
            for name in rotate(started, run):
                result = self.measure("append", started[name], duration_ms=self.plan.duration_ms, warmup_ms=self.plan.warmup_ms, **options)
                row = self.append[mode][name]
                for figure in ("per_second", "cpu_us", "own_cpu_us"):
                    row[figure].append(result and result[figure])
                for figure in ("p50_us", "p99_us"):
                    row[figure].append(result and result["latency"][figure])
                if result:
                    self.say(f"  {text:34} {name:12} {row['per_second'][-1]:8,.0f}/s, {row['cpu_us'][-1]:7.1f} µs CPU, "
                             f"p50 {row['p50_us'][-1]:.0f} µs, p99 {row['p99_us'][-1]:.0f} µs; {result['checked']:,} checked")

    # ---- a long stream read from its start ----

    def run_catchup(self):
        for body_bytes, total_bytes in self.plan.catchup_bytes.items():
            kinds = self.chosen(CATCHUP_KINDS)
            for floor in (servers.BytesFloor, servers.BytesFloorWritev):
                floor.records, floor.body_bytes = total_bytes // body_bytes, body_bytes
            if body_bytes < 1000 and servers.Durable in kinds:
                kinds.remove(servers.Durable)
            started = servers.start_all(kinds + self.chosen((servers.BytesFloor, servers.BytesFloorWritev)), self.directory, self.say)
            try:
                self.catchup_kind(started, body_bytes, total_bytes)
            finally:
                for server in started.values():
                    server.stop()

    def catchup_kind(self, started, body_bytes, total_bytes):
        what = {}
        for name, server in started.items():
            size = BIG_APPEND if name == "durable" else body_bytes
            what[name] = {"prefix": "long", "records": total_bytes // size, "body_bytes": size}
            if not isinstance(server, servers.Floor) and not self.attempt(generator.measure, "fill", server, **what[name]):
                what.pop(name)
        for run in range(self.plan.runs):
            for name in rotate(what, run):
                result = self.attempt(generator.measure, "read", started[name], **what[name])
                row = self.catchup[body_bytes][name]
                for figure in ("mb_per_second", "cpu_us_per_mb", "own_cpu_us_per_mb", "requests"):
                    row[figure].append(result and result[figure])
                if result:
                    self.say(f"  {body_bytes:6} B appends  {name:14} {result['mb_per_second']:7,.0f} MB/s, {result['cpu_us_per_mb']:,.0f} µs CPU "
                             f"a MB, {result['requests']} requests; {result['bytes'] / 1e6:.0f} MB checked")

    # ---- memory, and starting again with all these streams ----

    def run_memory(self):
        for kind in self.chosen((servers.Bide, servers.Redis)):
            for server in servers.start_all([kind], self.directory, self.say).values():
                try:
                    self.memory_one(server)
                finally:
                    server.stop()

    def memory_one(self, server):
        # The other's records lie in memory, and take their time: a fifth of them tells as much.
        streams = self.plan.streams if server.name == "bide" else self.plan.streams // 5
        result = self.measure("idle", server, streams=streams, waiters=self.plan.stream_waiters)
        if not result:
            return
        result["streams"] = streams
        self.memory[server.name] = result
        self.say(f"  {server.name:6} {result['stream_bytes']:.0f} B a stream, {result['wait_bytes']:.0f} B a wait with its connection, "
                 f"{result['per_second']:,.0f} streams/s made; {result['woken']} woken, each by its own append and nobody else")
        if server.name == "bide":
            self.attempt(self.restart_one, server, f"{self.plan.streams:,} streams with a record each", ())

    # ---- starting again after kill -9 ----

    def run_restart(self):
        for server in servers.start_all(self.chosen((servers.Bide,)), self.directory, self.say).values():
            try:
                self.attempt(self.restart_sizes, server)
            finally:
                server.stop()

    def restart_sizes(self, server):
        total = total_streams = 0
        kept = []
        for records in self.plan.restart_records:
            what = {"prefix": self.prefix(), "streams": self.plan.restart_streams // 2, "records": records}
            generator.measure("fill", server, **what)
            kept.append(what)
            total += records
            total_streams += self.plan.restart_streams // 2
            self.restart_one(server, f"{total:,} records of 100 B in {total_streams:,} streams", kept)

    def restart_one(self, server, text, kept):
        """Killed, started: how long until it answers, and whether it has it all."""
        server.kill()
        journal_bytes = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(server.directory) for name in names)
        began = time.monotonic()
        server.run()
        seconds = time.monotonic() - began
        cpu_seconds = servers.cpu_seconds(server.pid)
        for what in kept:
            generator.measure("read", server, **what)
        self.restart.append({"what": text, "seconds": seconds, "cpu_seconds": cpu_seconds, "journal_bytes": journal_bytes})
        self.say(f"  kill -9 with {text}: answers again after {seconds:.2f} s, {cpu_seconds:.2f} s CPU; {journal_bytes / 1e6:,.0f} MB of files")

    # ---- push beside pull ----

    def run_pull(self):
        for server in servers.start_all(self.chosen((servers.Bide,)), self.directory, self.say).values():
            try:
                for run in range(self.plan.pull_runs):
                    for style, _, options in rotate(PULL_STYLES, run):
                        self.pull_style(server, style, options)
            finally:
                server.stop()

    def pull_style(self, server, style, options):
        common = {"rate": self.plan.pull_rate, "burst": self.plan.pull_burst, "duration_ms": self.plan.pull_ms,
                  "clients": self.plan.pull_readers, **options}
        for mode, more in (("small", {"body_bytes": 100}), ("alone", {"body_bytes": 10000}),
                           ("slow", {"body_bytes": 10000, "slow": self.plan.pull_slow})):
            result = self.measure("pull", server, **common, **more)
            row = self.pull[mode][style]
            for figure in PULL_FIGURES + ("behind", "caught_up_ms", "user_bytes", "kernel_bytes"):
                row[figure].append(result and result[figure])
            for name in ("delay", "gap", "slow"):
                for figure in ("count", "p50_us", "p99_us", "max_us"):
                    row[f"{name}_{figure}"].append(result and result[name].get(figure))
            if result:
                slow = f"; slow: worst {row['slow_max_us'][-1] / 1e6:.2f} s, none lost" if mode == "slow" else ""
                self.say(f"  {style:10} {mode:5} {result['requests_per_event']:.2f} requests, {result['bytes_per_event']:.0f} B an event, "
                         f"p50 {row['delay_p50_us'][-1] / 1000:.2f} ms, p99 {row['delay_p99_us'][-1] / 1000:.2f} ms{slow}")

    # ---- what comes of it ----

    def tables(self):
        return streams_tables.tables(self)

    def seen(self):
        """Servers that took part."""
        return {name for mode in self.append.values() for name in mode}

    def results(self):
        return {"plan": vars(self.plan), "failures": self.failures, "latency": self.latency, "fanout": self.fanout, "append": self.append,
                "catchup": self.catchup, "memory": self.memory, "pull": self.pull, "restart": self.restart}
