"""The tables of `bench kafka`. Ratios say how many times better bide is, or how much worse: above 1 is better for bide."""

import kafka_servers
from tables import Table, clean, middle, number, ratio, spread, time_text

LABELS = {kind.name: kind.label for kind in (kafka_servers.BideKafka, kafka_servers.BideKafkaUnsynced, kafka_servers.Kafka,
                                             kafka_servers.KafkaSynced)}
SYNCED = {"bide": "yes", "bide-os": "no", "kafka": "no", "kafka-synced": "yes"}


def tables(bench):
    made = [produce(bench), clients(bench), read(bench), latency(bench), wake(bench), idle(bench), memory(bench), start(bench)]
    return [table for table in made if table.rows]


def summary(bench):
    """What matters of all of it, for the README."""
    table = Table("bide, synced, beside Apache Kafka on the same machine: how many times better bide is",
                  ["", "bide", "Kafka, its defaults: not synced", "", "Kafka, `log.flush.interval.messages=1`", ""])
    for text, group, mode, figure, show, compare in SUMMARY:
        mode = bench.plan.idle[-1] if mode == "most" else mode
        by_name = getattr(bench, group)[mode] if mode in getattr(bench, group) else {}
        if "bide" not in by_name:
            continue
        cells = [show(by_name["bide"][figure])]
        for name in ("kafka", "kafka-synced"):
            cells += [show(by_name[name][figure]), compare(by_name, name, figure)] if name in by_name else ["", ""]
        table.row(text.format(plan=bench.plan, most=bench.plan.idle[-1]), *cells)
    return table


def rows(by_name):
    return [(name, by_name[name]) for name in LABELS if name in by_name]


def bide_of(by_name, name):
    """Who is compared with whom: each with bide as it is, its twin that does not sync with nobody."""
    return by_name["bide"] if "bide" in by_name and name in ("kafka", "kafka-synced") else {}


def more(by_name, name, figure):
    """More is better: bide's figure by theirs."""
    bide = bide_of(by_name, name)
    return ratio(bide[figure], by_name[name][figure]) if bide else "–"


def less(by_name, name, figure):
    """Less is better: theirs by bide's."""
    bide = bide_of(by_name, name)
    return ratio(by_name[name][figure], bide[figure]) if bide else "–"


def produce(bench):
    import kafka
    table = Table("Producers, acks=all, 4 connections with 5 requests under way each (64 with one, where it says so)",
                  ["", "synced", "records/s", "MB/s", "bide to it", "server CPU, s a million", "to bide", "p50", "p99"])
    for mode, text, _ in kafka.PRODUCE_MODES:
        by_name = bench.produce[mode] if mode in bench.produce else {}
        if by_name:
            table.section(text)
        for name, row in rows(by_name):
            table.row(LABELS[name], SYNCED[name], spread(row["per_second"]), middle(row["mb_per_second"]), more(by_name, name, "per_second"),
                      middle(row["cpu_s_per_million"]), less(by_name, name, "cpu_s_per_million"), time_text(row["p50_us"]),
                      time_text(row["p99_us"]))
    return table


CLIENT_MODES = tuple((f"{client}-{style}-{size}", f"{label}, {'writing' if style == 'produce' else 'reading'} records of {text}")
                     for client, label in (("librdkafka", "librdkafka"), ("java", "Kafka's own tools, in Java"))
                     for style in ("produce", "consume") for size, text in ((100, "100 B"), (1000, "1 KB")))


def clients(bench):
    import kafka
    table = Table(f"Clients as they are, at their defaults, {kafka.CLIENT_PARTITIONS} partitions: one process as fast as it can",
                  ["", "synced", "records/s", "MB/s", "bide to it", "server CPU, s a million", "to bide"])
    for mode, text in CLIENT_MODES:
        by_name = bench.clients[mode] if mode in bench.clients else {}
        if by_name:
            table.section(text)
        for name, row in rows(by_name):
            table.row(LABELS[name], SYNCED[name], middle(row["per_second"]), middle(row["mb_per_second"]), more(by_name, name, "per_second"),
                      middle(row["cpu_s_per_million"]), less(by_name, name, "cpu_s_per_million"))
    return table


def read(bench):
    import kafka
    table = Table(f"A topic of {kafka.READ_PARTITIONS} partitions read from its start by one consumer, {bench.plan.read_bytes / 1e6:.0f} MB",
                  ["", "MB/s", "bide to it", "server CPU a MB", "to bide", "requests"])
    for mode, text, _ in kafka.READ_MODES:
        by_name = bench.read[mode] if mode in bench.read else {}
        if by_name:
            table.section(text)
        for name, row in rows(by_name):
            table.row("Kafka" if name == "kafka" else LABELS[name], spread(row["mb_per_second"]), more(by_name, name, "mb_per_second"),
                      middle(row["cpu_us_per_mb"], "µs"), less(by_name, name, "cpu_us_per_mb"), middle(row["requests"]))
    return table


def latency(bench):
    import kafka
    table = Table(f"{kafka.LATENCY_RATE:,} records of 100 B a second, acks=all, one consumer that waits: a record is due → the consumer has it",
                  ["", "synced", "p50", "to bide", "p99", "to bide", "p99.9", "acknowledged, p50", "server CPU a record"])
    by_name = bench.latency["tail"] if "tail" in bench.latency else {}
    for name, row in rows(by_name):
        label = LABELS[name] + (f" ({kafka.SYNCED_KAFKA_RATE}/s)" if name == "kafka-synced" else "")
        table.row(label, SYNCED[name], spread(row["p50_us"], "µs"), less(by_name, name, "p50_us"), spread(row["p99_us"], "µs"),
                  less(by_name, name, "p99_us"), time_text(row["p999_us"]), time_text(row["ack_p50_us"]), middle(row["cpu_us"], "µs"))
    return table


def milli(values_us):
    return [None if value is None else value / 1000 for value in values_us]


def wake(bench):
    table = Table(f"{bench.plan.waiters:,} connections with one Fetch each at the end of the same partition; one record is written: "
                  "sent → the last has it", ["", "synced", "last", "to bide", "p50", "server CPU a wake", "to bide", "user memory a wait"])
    by_name = bench.wake["wake"] if "wake" in bench.wake else {}
    for name, row in rows(by_name):
        table.row(LABELS[name], SYNCED[name], spread(milli(row["last_us"]), "ms"), less(by_name, name, "last_us"), time_text(row["p50_us"]),
                  middle(row["cpu_us"], "µs"), less(by_name, name, "cpu_us"),
                  size_text(row["wait_bytes"]) if name.startswith("bide") else "–")
    if table.rows:
        table.note("What a wait takes of Java's heap cannot be told from outside; the server's memory is in a table below.")
    return table


def size_text(values):
    """Bytes in the unit that suits them."""
    values = clean(values)
    if not values:
        return "n/a"
    value = sorted(values)[len(values) // 2]
    for unit, step in (("MB", 1e6), ("KB", 1e3)):
        if value >= step:
            return f"{number(value / step)} {unit}"
    return f"{number(max(0, round(value)))} B"


def idle(bench):
    table = Table("One consumer waits on partitions into which nobody writes, asking again each 500 ms: server CPU a second",
                  ["", "bide", "Kafka", "to bide", "bytes a second, bide", "Kafka"])
    for partitions in bench.plan.idle:
        by_name = bench.idle[partitions] if partitions in bench.idle else {}
        if not by_name:
            continue
        text = f"{partitions:,} partition{'' if partitions == 1 else 's'}" if partitions else "nobody waits"
        cells = [cpu_text(by_name[name]["cpu_ms"]) if name in by_name else "n/a" for name in ("bide", "kafka")]
        both = "bide" in by_name and "kafka" in by_name
        table.row(text, *cells, less(by_name, "kafka", "cpu_ms") if both else "–",
                  *[middle(by_name[name]["bytes"]) if name in by_name else "n/a" for name in ("bide", "kafka")])
    return table


def cpu_text(values_ms):
    values = clean(values_ms)
    if not values:
        return "n/a"
    return f"{number(values[0])} ms" if values[0] >= 1 else f"{number(values[0] * 1000)} µs"


def memory(bench):
    table = Table("User memory (heap, stacks) of the server, and all that is resident, files it has mapped included",
                  ["", "user, bide", "Kafka", "to bide", "resident, bide", "Kafka", "to bide"])
    for mode, text in (("idle", "just started"), ("parked", f"{bench.plan.waiters:,} connections wait"), ("load", "after the load above")):
        by_name = bench.memory[mode] if mode in bench.memory else {}
        if "bide" not in by_name and "kafka" not in by_name:
            continue
        cells = []
        for figure in ("user_bytes", "resident_bytes"):
            cells += [size_text(by_name[name][figure]) if name in by_name else "n/a" for name in ("bide", "kafka")]
            cells.append(less(by_name, "kafka", figure) if "kafka" in by_name else "–")
        table.row(text, *cells)
    return table


def start(bench):
    table = Table("From the start of the process to the first answer to Metadata", ["", "bide", "Kafka", "to bide", "CPU, bide", "Kafka"])
    kept = f"{bench.plan.start_bytes / 1e6:.0f} MB in 16 partitions"
    for mode, text in (("empty", "for the first time"), ("stopped", f"{kept}, after a stop"), ("killed", f"{kept}, after `kill -9`")):
        by_name = bench.start[mode] if mode in bench.start else {}
        if not by_name:
            continue
        cells = [spread([1000 * value for value in by_name[name]["seconds"]], "ms") if name in by_name else "n/a" for name in ("bide", "kafka")]
        table.row(text, *cells, less(by_name, "kafka", "seconds") if "kafka" in by_name else "–",
                  *[middle([1000 * value for value in by_name[name]["cpu_seconds"]], "ms") if name in by_name else "n/a"
                    for name in ("bide", "kafka")])
    if table.rows:
        table.note("Kafka that was killed waits until the session of the process before it is over (`broker.session.timeout.ms`, 9 s).")
    return table


def seconds_text(values):
    return time_text([None if value is None else value * 1e6 for value in values])


SUMMARY = (
    ("written, 16 partitions, records of 100 B, 16 KB a batch: records/s", "produce", "many-100", "per_second", middle, more),
    ("the same: server CPU, seconds a million records", "produce", "many-100", "cpu_s_per_million", middle, less),
    ("the same with records of 1 KB: MB/s", "produce", "many-1k", "mb_per_second", middle, more),
    ("1 partition, records of 1 KB: MB/s", "produce", "one-1k", "mb_per_second", middle, more),
    ("64 producers, one record of 100 B at a time: records/s", "produce", "small", "per_second", middle, more),
    ("Kafka's own producer in Java, records of 100 B: records/s", "clients", "java-produce-100", "per_second", middle, more),
    ("librdkafka, writing records of 100 B: records/s", "clients", "librdkafka-produce-100", "per_second", middle, more),
    ("read from the start, records of 1 KB: MB/s", "read", "1k", "mb_per_second", middle, more),
    ("a record is due → the consumer has it, p50", "latency", "tail", "p50_us", time_text, less),
    ("the same, p99", "latency", "tail", "p99_us", time_text, less),
    ("{plan.waiters:,} wait on one partition; written → the last has it", "wake", "wake", "last_us", time_text, less),
    ("a consumer waits on {most:,} partitions: server CPU a second", "idle", "most", "cpu_ms", cpu_text, less),
    ("user memory, just started", "memory", "idle", "user_bytes", size_text, less),
    ("start to first Metadata, nothing kept", "start", "empty", "seconds", seconds_text, less),
    ("the same after `kill -9`, with what was written", "start", "killed", "seconds", seconds_text, less),
)
