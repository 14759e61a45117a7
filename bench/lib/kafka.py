"""`bench kafka`: producers, consumers, latency, waits, memory and starting, beside Apache Kafka, synced and not."""

import collections
import re
import statistics
import time

import generator
import kafka_servers
import kafka_tables
import machine
import servers
from kafka_servers import BideKafka, BideKafkaUnsynced, Kafka, KafkaSynced

KINDS = (BideKafka, BideKafkaUnsynced, Kafka, KafkaSynced)
CASES = ("start", "load", "waits", "clients", "idle")

# Producers of ready-made batches: 16 KB each, as clients make them when there is much to send; and single records.
PRODUCE_MODES = (("one-100", "1 partition, records of 100 B, 16 KB a batch", {"clients": 4, "depth": 5, "streams": 1, "records": 150, "body_bytes": 100}),
                 ("one-1k", "1 partition, records of 1 KB, 16 KB a batch", {"clients": 4, "depth": 5, "streams": 1, "records": 16, "body_bytes": 1000}),
                 ("many-100", "16 partitions, records of 100 B, 16 KB a batch", {"clients": 4, "depth": 5, "streams": 16, "records": 150, "body_bytes": 100}),
                 ("many-1k", "16 partitions, records of 1 KB, 16 KB a batch", {"clients": 4, "depth": 5, "streams": 16, "records": 16, "body_bytes": 1000}),
                 ("small", "16 partitions, 64 producers, one record of 100 B each",
                  {"clients": 64, "depth": 1, "streams": 16, "records": 1, "body_bytes": 100}))
READ_MODES = (("1k", "records of 1 KB", {"records": 16, "body_bytes": 1000}), ("100", "records of 100 B", {"records": 150, "body_bytes": 100}))
READ_PARTITIONS = 16
LATENCY_RATE = 1000
SYNCED_KAFKA_RATE = 200  # what it can keep up with
CLIENT_SIZES = (100, 1000)
CLIENT_PARTITIONS = 16


class Plan:
    def __init__(self, quick, runs):
        self.runs = runs or (1 if quick else 3)
        self.duration_ms = 300 if quick else 600
        self.warmup_ms = 200
        self.warm_first_ms = 500 if quick else 3000  # what is compiled as it runs gets its time first
        self.latency_ms = 700 if quick else 1500
        self.read_bytes = 50000000 if quick else 200000000
        self.client_bytes = {100: 20000000 if quick else 100000000, 1000: 50000000 if quick else 200000000}
        self.waiters = 1000 if quick else 5000
        self.rounds = 3
        self.idle = (0, 1, 100, 1000) if quick else (0, 1, 100, 10000)
        self.idle_ms = 1000 if quick else 3000
        self.start_bytes = 20000000 if quick else 200000000


def rotate(items, by):
    items = list(items)
    by %= max(1, len(items))
    return items[by:] + items[:by]


def figures():
    return collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))


class KafkaBench:
    def __init__(self, plan, directory, kinds, say):
        self.plan = plan
        self.directory = directory
        self.kinds = [kind for kind in KINDS if kind in kinds]
        self.say = say
        self.cases = CASES
        # figures[mode][server][figure] = one value a run, None where it failed: ratios are taken within a run
        self.produce, self.read, self.latency, self.wake, self.clients, self.idle, self.memory, self.start = (figures() for _ in range(8))
        self.took_part = set()
        self.left_out = {}
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
        """Topics that no other measurement has seen."""
        self.prefixes += 1
        return f"b{self.prefixes}"

    def attempt(self, step, *arguments, **options):
        """A measurement, or None with the reason noted: one that fails does not end the others."""
        try:
            return step(*arguments, **options)
        except servers.Broken as broken:
            self.failures.append(str(broken))
            self.say(f"  FAILED: {broken}")
            return None

    def measure(self, command, server, **options):
        options.setdefault("prefix", self.prefix())
        return self.attempt(generator.measure, command, server, driver="kafka", **options)

    def start_all(self, kinds):
        """What is there, and is started; what is not is said once, and left out from then on."""
        started = {}
        for kind in [kind for kind in kinds if kind.name not in self.left_out]:
            try:
                server = kind(self.directory)
                started[kind.name] = server.start()
                self.took_part.add(kind.name)
            except (servers.Missing, servers.Broken) as missing:
                self.left_out[kind.name] = str(missing)
                self.say(f"left out: {missing}")
                server.stop()
        return started

    def stop(self, started):
        for server in started.values():
            server.stop()

    # ---- producers, consumers, latency ----

    def run_load(self):
        started = self.start_all(self.kinds)
        try:
            for name, server in started.items():
                self.memory["idle"][name]["user_bytes"].append(kafka_servers.user_bytes(server.pid))
                self.memory["idle"][name]["resident_bytes"].append(kafka_servers.resident_bytes(server.pid))
            self.warm(started)
            for run in range(self.plan.runs):
                for mode, text, options in PRODUCE_MODES:
                    for name in rotate(started, run):
                        self.produce_one(started[name], mode, text, options)
                for name in rotate(started, run):
                    self.latency_one(started[name])
            self.read_all(started)
            for name, server in started.items():
                self.memory["load"][name]["user_bytes"].append(kafka_servers.user_bytes(server.pid))
                self.memory["load"][name]["resident_bytes"].append(kafka_servers.resident_bytes(server.pid))
        finally:
            self.stop(started)

    def warm(self, started):
        """A broker that has only just started is slower than one that has run for a while; so is a topic that has only just been made."""
        for server in started.values():
            for mode, _, options in (PRODUCE_MODES[2], PRODUCE_MODES[4]):
                self.measure("kafka-produce", server, prefix="warm-" + mode, duration_ms=self.plan.warm_first_ms // 2, warmup_ms=0, **options)
            for mode, _, options in PRODUCE_MODES:
                self.measure("kafka-produce", server, prefix="p-" + mode, duration_ms=100, warmup_ms=0, **options)
            self.measure("kafka-tail", server, rate=SYNCED_KAFKA_RATE, duration_ms=500, warmup_ms=0)

    def produce_one(self, server, mode, text, options):
        result = self.measure("kafka-produce", server, prefix="p-" + mode, duration_ms=self.plan.duration_ms, warmup_ms=self.plan.warmup_ms,
                              **options)
        row = self.produce[mode][server.name]
        for figure in ("per_second", "mb_per_second", "cpu_s_per_million", "own_cpu_s_per_million"):
            row[figure].append(result and result[figure])
        for figure in ("p50_us", "p99_us"):
            row[figure].append(result and result["latency"].get(figure))
        if result:
            self.say(f"  {text:52} {server.name:13} {result['per_second']:10,.0f}/s, {result['mb_per_second']:6.1f} MB/s, "
                     f"{result['cpu_s_per_million']:7.2f} s CPU a million; {result['checked']:,} checked")

    def latency_one(self, server):
        rate = SYNCED_KAFKA_RATE if server.name == "kafka-synced" else LATENCY_RATE
        result = self.measure("kafka-tail", server, rate=rate, duration_ms=self.plan.latency_ms, warmup_ms=self.plan.warmup_ms)
        row = self.latency["tail"][server.name]
        for figure in ("p50_us", "p99_us", "p999_us"):
            row[figure].append(result and result["delay"][figure])
        row["ack_p50_us"].append(result and result["ack"]["p50_us"])
        row["cpu_us"].append(result and result["cpu_us"])
        if result:
            self.say(f"  {rate}/s {server.name:13} p50 {row['p50_us'][-1]:.0f} µs, p99 {row['p99_us'][-1]:.0f} µs, {row['cpu_us'][-1]:.0f} µs CPU")

    def read_all(self, started):
        """Synced or not is the same for whoever reads."""
        readers = {name: server for name, server in started.items() if name in ("bide", "kafka")}
        for mode, _, options in READ_MODES:
            for server in readers.values():
                self.measure("kafka-produce", server, prefix="read-" + mode, clients=4, depth=5, streams=READ_PARTITIONS,
                             total=self.plan.read_bytes // options["body_bytes"], **options)
            for run in range(self.plan.runs):
                for name in rotate(readers, run):
                    result = self.measure("kafka-read", readers[name], prefix="read-" + mode, streams=READ_PARTITIONS)
                    row = self.read[mode][name]
                    for figure in ("mb_per_second", "per_second", "cpu_us_per_mb", "requests"):
                        row[figure].append(result and result[figure])
                    if result:
                        self.say(f"  read {mode:4} {name:13} {result['mb_per_second']:6.0f} MB/s, {result['cpu_us_per_mb']:.0f} µs CPU a MB, "
                                 f"{result['requests']} requests")

    # ---- thousands of waits ----

    def run_waits(self):
        if not kafka_servers.files_allow(self.plan.waiters + 500):
            self.say(f"  left out: {self.plan.waiters} connections are more than may be open here (ulimit -n)")
            return
        started = self.start_all([kind for kind in self.kinds if kind is not BideKafkaUnsynced])
        try:
            for run in range(self.plan.runs):
                for name in rotate(started, run):
                    if run == 0 or name != "kafka-synced":  # which takes its time
                        self.wake_one(started[name], run)
        finally:
            self.stop(started)

    def wake_one(self, server, run):
        result = self.measure("kafka-wake", server, waiters=self.plan.waiters, rounds=self.plan.rounds)
        row = self.wake["wake"][server.name]
        row["last_us"].append(result and statistics.median(result["last_us"]))
        row["cpu_us"].append(result and statistics.median(result["cpu_us_per_wake"]))
        row["p50_us"].append(result and result["wake"]["p50_us"])
        if result:
            if run == 0:  # later ones find memory that earlier ones left
                row["wait_bytes"].append((result["parked_bytes"] - result["empty_bytes"]) / self.plan.waiters)
                self.memory["parked"][server.name]["user_bytes"].append(result["parked_bytes"])
                self.memory["parked"][server.name]["resident_bytes"].append(kafka_servers.resident_bytes(server.pid))
            self.say(f"  {self.plan.waiters} waits {server.name:13} last after {row['last_us'][-1] / 1000:.1f} ms, {row['cpu_us'][-1]:.2f} µs CPU each")

    # ---- one who waits where nothing happens ----

    def run_idle(self):
        for kind in [kind for kind in self.kinds if kind in (BideKafka, Kafka)]:
            started = self.start_all([kind])
            try:
                for server in started.values():
                    # Nobody waits: not the first, since one that has only just started still has things to do.
                    for partitions in sorted(self.plan.idle, key=lambda count: count or 2):
                        self.idle_one(server, partitions)
            finally:
                self.stop(started)

    def idle_one(self, server, partitions):
        if server.name == "kafka" and not kafka_servers.files_allow(partitions + 2000):
            self.say(f"  left out: Kafka with {partitions} partitions has more open files than may be (ulimit -n)")
            return
        result = self.measure("kafka-idle", server, streams=partitions, duration_ms=self.plan.idle_ms)
        row = self.idle[partitions][server.name]
        row["cpu_ms"].append(result and result["cpu_ms_per_second"])
        row["bytes"].append(result and result["bytes_per_second"])
        if result:
            self.say(f"  waiting on {partitions:6} partitions {server.name:13} {result['cpu_ms_per_second']:.2f} ms CPU a second, "
                     f"{result['bytes_per_second']:.0f} B a second")

    # ---- starting ----

    def run_start(self):
        for run in range(self.plan.runs):
            for kind in rotate([kind for kind in self.kinds if kind in (BideKafka, Kafka)], run):
                started = self.start_all([kind])
                try:
                    for server in started.values():
                        self.attempt(self.start_one, server, run)
                finally:
                    self.stop(started)

    def start_one(self, server, run):
        """For the first time; stopped with something in it; and, where that takes long only once, killed."""
        self.started_one(server, "empty")
        self.measure("kafka-produce", server, prefix="kept", clients=4, depth=5, streams=16, records=16, body_bytes=1000,
                     total=self.plan.start_bytes // 1000)
        for mode, end in (("stopped", server.terminate), ("killed", server.kill)):
            if mode == "killed" and run > 0 and server.name != "bide":
                continue
            end()
            server.run()
            self.started_one(server, mode)

    def started_one(self, server, mode):
        row = self.start[mode][server.name]
        row["seconds"].append(server.seconds)
        row["cpu_seconds"].append(servers.cpu_seconds(server.pid))
        self.say(f"  {server.name:6} {mode:8} first Metadata after {row['seconds'][-1]:.3f} s, {row['cpu_seconds'][-1]:.3f} s CPU")

    # ---- clients that others wrote ----

    def run_clients(self):
        library = generator.has("kafka-client")
        if not library:
            self.say("left out: bide-bench was built without librdkafka")
        started = self.start_all(self.kinds)
        try:
            self.warm(started)
            for size in CLIENT_SIZES:
                total = self.plan.client_bytes[size] // size
                for name, server in started.items():
                    if library:
                        self.library_one(server, size, total)
                if "kafka" in self.took_part:
                    for server in [server for name, server in started.items() if name != "bide-os"]:
                        self.attempt(self.java_one, server, size, total)
        finally:
            self.stop(started)

    def client_row(self, mode, server, per_second, mb_per_second, cpu):
        row = self.clients[mode][server.name]
        row["per_second"].append(per_second)
        row["mb_per_second"].append(mb_per_second)
        row["cpu_s_per_million"].append(cpu)
        self.say(f"  {mode:22} {server.name:13} {per_second:10,.0f}/s, {mb_per_second:6.1f} MB/s, {cpu:6.2f} s CPU a million")

    def library_one(self, server, size, total):
        what = {"prefix": f"lib-{size}", "streams": CLIENT_PARTITIONS, "body_bytes": size, "total": total}
        for style in ("produce", "consume"):
            if style == "consume" and server.name not in ("bide", "kafka"):
                continue
            result = self.measure("kafka-client", server, style=style, **what)
            if result:
                self.client_row(f"librdkafka-{style}-{size}", server, result["per_second"], result["mb_per_second"],
                                result["cpu_s_per_million"])

    def java_one(self, server, size, total):
        """Kafka's own tools. They count from their start on, so what Java needs to get going is in it, for all alike."""
        topic, address = f"java-{size}", f"127.0.0.1:{server.port}"
        generator.measure("kafka-produce", server, driver="kafka", prefix=topic, streams=CLIENT_PARTITIONS, body_bytes=size, clients=1,
                          records=1, total=1)
        cpu = servers.cpu_seconds(server.pid)
        said = kafka_servers.java_tool("ProducerPerformance", "--topic", topic, "--num-records", str(total), "--record-size", str(size),
                                       "--throughput", "-1", "--producer-props", f"bootstrap.servers={address}", "acks=all")
        cpu = servers.cpu_seconds(server.pid) - cpu
        last = said.strip().splitlines()[-1]
        found = re.search(r"^(\d+) records sent, ([\d.,]+) records/sec", last)
        if not found or int(found.group(1)) != total:
            raise servers.Broken(f"ProducerPerformance said: {last[:300]}")
        per_second = float(found.group(2).replace(",", ""))
        self.client_row(f"java-produce-{size}", server, per_second, per_second * size / 1e6, cpu / (total / 1e6))
        if server.name in ("bide", "kafka"):
            self.java_consume(server, topic, size, total)

    def java_consume(self, server, topic, size, total):
        cpu = servers.cpu_seconds(server.pid)
        said = kafka_servers.java_tool("ConsumerPerformance", "--bootstrap-server", f"127.0.0.1:{server.port}", "--topic", topic,
                                       "--messages", str(total))
        cpu = servers.cpu_seconds(server.pid) - cpu
        lines = [line.split(", ") for line in said.strip().splitlines() if ", " in line]
        row = dict(zip(lines[0], lines[-1])) if len(lines) >= 2 else {}
        count = int(row.get("data.consumed.in.nMsg", 0))
        milliseconds = float(row.get("fetch.time.ms", 0))
        if count < total or milliseconds <= 0:
            raise servers.Broken(f"ConsumerPerformance said: {said.strip()[-300:]}")
        per_second = count * 1000 / milliseconds
        self.client_row(f"java-consume-{size}", server, per_second, per_second * size / 1e6, cpu / (count / 1e6))

    # ---- what comes of it ----

    def tables(self):
        return kafka_tables.tables(self)

    def seen(self):
        """Servers that took part."""
        return self.took_part

    page = "doc/kafka.md"  # where all of them go; the README gets the summary

    def summary(self):
        return kafka_tables.summary(self)

    def versions(self):
        """Of whom it was measured beside, and with."""
        found = {"Apache Kafka": Kafka.version(), "Java": machine.version_of("java", "-version"), "librdkafka": generator.library_version()}
        return {name: version for name, version in found.items() if version}

    def complete(self):
        """What kept it from being the whole comparison, or None."""
        return "; ".join(self.left_out.values()) or None

    def results(self):
        return {"plan": vars(self.plan), "failures": self.failures, "left_out": self.left_out, "produce": self.produce, "read": self.read,
                "latency": self.latency, "wake": self.wake, "clients": self.clients, "idle": self.idle, "memory": self.memory,
                "start": self.start}
