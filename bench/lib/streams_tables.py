"""The tables of `bench streams`."""

import servers
from tables import Table, clean, middle, number, ratio, spread, time_text

LABELS = {"bide": "bide", "durable": servers.Durable.label, "redis": "Redis streams, `appendfsync always`",
          "nchan": servers.Nchan.label, "nats": servers.Nats.label, "floor": servers.Floor.label,
          "bytes-sendfile": servers.BytesFloor.label, "bytes-writev": servers.BytesFloorWritev.label}
SYNCED = {"bide": "yes", "durable": "yes", "redis": "yes", "nchan": "no", "nats": "no"}


def tables(bench):
    made = [latency(bench), fanout(bench), append(bench), catchup(bench), memory(bench), restart(bench), pull(bench), slow(bench)]
    return [table for table in made if table.rows]


def milli(values_us):
    return [None if value is None else value / 1000 for value in values_us]


def size_text(values):
    """Bytes in the unit that suits them."""
    values = clean(values)
    if not values:
        return "n/a"
    value = sorted(values)[len(values) // 2]
    for unit, step in (("MB", 1e6), ("KB", 1e3)):
        if abs(value) >= step:
            return f"{number(value / step)} {unit}"
    return f"{number(round(value))} B"


def latency(bench):
    import streams
    table = Table(f"A durable append, {streams.LATENCY_RATE}/s: it is due → the parked reader has it",
                  ["", "synced", "p50", "to the machine's", "p99", "to the machine's", "p99.9", "CPU an append"])
    for mode, text in streams.LATENCY_MODES:
        by_name = bench.latency[mode] if mode in bench.latency else {}
        if not by_name:
            continue
        table.section(text)
        least = by_name["both"]
        for name, label in LABELS.items():
            if name not in by_name:
                continue
            row = by_name[name]
            label += f" ({streams.DURABLE_RATE}/s)" if name == "durable" else ""
            table.row(label, SYNCED[name], spread(row["p50_us"], "µs"), ratio(row["p50_us"], least["p50_us"]), spread(row["p99_us"], "µs"),
                      ratio(row["p99_us"], least["p99_us"]), time_text(row["p999_us"]), middle(row["cpu_us"], "µs"))
        table.row("the machine: 64 B sent, 4 KiB synced, answered", "yes", spread(least["p50_us"], "µs"), "–", spread(least["p99_us"], "µs"),
                  "–", "", "")
        table.row("of that `fdatasync` alone", "yes", spread(by_name["fdatasync"]["p50_us"], "µs"), "", spread(by_name["fdatasync"]["p99_us"], "µs"),
                  "", "", "")
        table.row("and loopback alone", "", spread(by_name["loopback"]["p50_us"], "µs"), "", spread(by_name["loopback"]["p99_us"], "µs"),
                  "", "", "")
    return table


def fanout(bench):
    table = Table(f"One append, {bench.plan.waiters:,} readers of the stream: sent → the last has it",
                  ["", "last", "to the floor", "p50", "CPU a reader", "bytes of an answer"])
    for style, text in (("long", "long polls"), ("sse", "events (SSE, EventSource)")):
        by_name = bench.fanout[style] if style in bench.fanout else {}
        if by_name:
            table.section(text)
        floor = by_name["floor"]["last_us"] if "floor" in by_name else []
        for name in [name for name in LABELS if name in by_name]:
            row = by_name[name]
            table.row(LABELS[name], spread(milli(row["last_us"]), "ms"), ratio(row["last_us"], floor), time_text(row["p50_us"]),
                      middle(row["cpu_us"], "µs"), middle(row["answer_bytes"]))
    return table


def append(bench):
    import streams
    table = Table("Appends, each acknowledged before the client's next", ["", "synced", "appends/s", "bide to it", "CPU an append", "to bide",
                                                                           "p50", "p99"])
    for mode, text, _ in streams.APPEND_MODES:
        by_name = bench.append[mode] if mode in bench.append else {}
        bide = by_name["bide"] if "bide" in by_name else {}
        if by_name:
            table.section(text)
        for name in [name for name in LABELS if name in by_name]:
            row = by_name[name]
            table.row(LABELS[name], SYNCED[name], spread(row["per_second"]), ratio(bide.get("per_second", []), row["per_second"]),
                      spread(row["cpu_us"], "µs"), ratio(row["cpu_us"], bide.get("cpu_us", [])), time_text(row["p50_us"]),
                      time_text(row["p99_us"]))
    return table


def catchup(bench):
    table = Table("A long stream read from its start by one reader", ["", "MB/s", "to the floor", "server CPU a MB", "requests"])
    for body_bytes, total_bytes in bench.plan.catchup_bytes.items():
        by_name = bench.catchup[body_bytes] if body_bytes in bench.catchup else {}
        if by_name:
            table.section(f"{total_bytes / 1e6:.0f} MB, appended {body_bytes:,} B at a time")
        floor = by_name["bytes-sendfile"]["mb_per_second"] if "bytes-sendfile" in by_name else []
        for name in [name for name in LABELS if name in by_name]:
            row = by_name[name]
            label = LABELS[name] + (" (1 MB at a time)" if name == "durable" else "")
            table.row(label, spread(row["mb_per_second"]), ratio(row["mb_per_second"], floor), middle(row["cpu_us_per_mb"], "µs"),
                      middle(row["requests"]))
    return table


def memory(bench):
    plan = bench.plan
    table = Table(f"{plan.streams:,} streams with a record of 100 B each, {plan.stream_waiters:,} of them waited on",
                  ["", "user memory a stream", "user memory a wait, connection included", "streams made a second"])
    for name in [name for name in LABELS if name in bench.memory]:
        row = bench.memory[name]
        label = LABELS[name] if row["streams"] == plan.streams else f"{LABELS[name]} ({row['streams']:,} streams)"
        table.row(label, f"{number(row['stream_bytes'])} B", f"{number(row['wait_bytes'])} B", number(row["per_second"]))
    if table.rows:
        table.note("Bytes of records that lie in the journal's files, and in the kernel's cache of them, are not user memory; Redis "
                   "keeps its records in memory, and they are counted.")
    return table


def restart(bench):
    table = Table("bide killed (`kill -9`) and started again: until it answers", ["kept", "time", "CPU", "files"])
    for row in bench.restart:
        table.row(row["what"], f"{number(row['seconds'])} s", f"{number(row['cpu_seconds'])} s", f"{number(row['journal_bytes'] / 1e6)} MB")
    return table


def pull(bench):
    import streams
    plan = bench.plan
    table = Table(f"Push beside pull: {plan.pull_rate} appends of 100 B a second and each second a burst of {plan.pull_burst}, "
                  f"{plan.pull_readers} readers, each gets every record, once and in order",
                  ["", "requests an event", "bytes an event", "acknowledged → known, p50", "p99", "fell between two polls", "their p99",
                   "server CPU an event"])
    for style, label, _ in streams.PULL_STYLES:
        row = bench.pull["small"][style] if "small" in bench.pull and style in bench.pull["small"] else None
        if not row:
            continue
        got = [gap is not None and count and 100 * gap / count for gap, count in zip(row["gap_count"], row["delay_count"])]
        table.row(label, middle(row["requests_per_event"]), middle(row["bytes_per_event"]), time_text(row["delay_p50_us"]),
                  time_text(row["delay_p99_us"]), middle(got, "%"), time_text(row["gap_p99_us"]) if clean(row["gap_p99_us"]) else "–",
                  middle(row["cpu_us_per_event"], "µs"))
    if table.rows:
        table.note("0 µs: the reader had it no later than the writer its acknowledgement.")
    return table


def slow(bench):
    import streams
    plan = bench.plan
    table = Table(f"The same with 10 KB, and {plan.pull_slow} readers that are ten times too slow beside the {plan.pull_readers}",
                  ["", "p99 without the slow", "with them", "a slow one, when the writer ends", "its worst delay", "lost",
                   "has all, when it is slow no longer", "server memory a slow reader", "the kernel's"])
    for style, label, _ in streams.PULL_STYLES:
        row = bench.pull["slow"][style] if "slow" in bench.pull and style in bench.pull["slow"] else None
        if not row:
            continue
        alone = bench.pull["alone"][style]
        table.row(label, time_text(alone["delay_p99_us"]), time_text(row["delay_p99_us"]), middle(row["behind"]) + " records behind",
                  time_text(row["slow_max_us"]), "none" if clean(row["behind"]) else "n/a",
                  "after " + middle(row["caught_up_ms"], "ms"), size_text(minus(row["user_bytes"], alone["user_bytes"], plan.pull_slow)),
                  size_text(minus(row["kernel_bytes"], alone["kernel_bytes"], plan.pull_slow)))
    return table


def minus(with_slow, alone, slow_count):
    """A slow reader's share: what was measured beside them, already divided by them, less what was there without them."""
    return [None if a is None or b is None else max(0, a - b / slow_count) for a, b in zip(with_slow, alone)]
