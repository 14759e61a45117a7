"""A history: all that clients of the Kafka door did and were told, one line of JSON for each thing that happened.

An operation begins with `invoke` and ends with

  ok     the server said that it was done
  fail   it is certain that it was not done, and never will be
  info   nobody knows: the connection broke, the answer did not come, the client died

and one that has no end is an `info`, too. What is only noted (a rebalance, a kill) is one line that is `ok`. Each process writes a
file of its own; times are of the system's monotonic clock, which all processes share, so the files together are one history.

The operations, `f`, and what is in them. A key is "topic/partition"; a `life` is one producer or consumer from its making to its end.

  compacts      keys: partitions that are compacted; lag_ns, null_ns: how long a record, a null one, stays at least
  send          life, mode (plain, idempotent, transactional), key, value; name: the record's own key, null: it has no bytes; txn; source: the record it was made of, [group, key, offset];
                ok: offset, where the client was told one
  commit, abort txn
  txn-offsets   txn, group, offsets {key: offset}
  assign        life, positions {key: offset}: reads from there, and nothing else
  seek          life, positions
  assigned      life, group, keys: by a rebalance;  revoked
  poll          life, isolation, records {key: [[offset, value], …]};  final: it was the reading after all was over
  offsets       group, offsets {key: offset}: committed by a consumer
  committed     group, offsets: what the server says in the end
  full          life, isolation: reads everything from the beginning on;  ok: reached {key: end}
  ends          isolation, ends {key: [first, end]}: what there was to read in the end
  delete        key, before
"""

import hashlib
import json
import threading
import time
from collections import defaultdict


class Recorder:
    """Writes one process's part. May be called from any thread."""

    def __init__(self, path, process):
        self.process, self.count, self.lock = process, 0, threading.Lock()
        self.file = open(path, "a", buffering=1)

    def _write(self, op, kind, fields):
        line = {"t": time.monotonic_ns(), "process": self.process, "op": op, "type": kind, **fields}
        with self.lock:
            self.file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def invoke(self, f, **fields):
        """Returns the operation's number, for its end."""
        with self.lock:
            self.count += 1
            op = self.count
        self._write(op, "invoke", {"f": f, **fields})
        return op

    def end(self, op, kind, **fields):
        self._write(op, kind, fields)

    def note(self, f, **fields):
        with self.lock:
            self.count += 1
            op = self.count
        self._write(op, "ok", {"f": f, **fields})


def lines(paths):
    for path in paths:
        with open(path) as file:
            for line in file:
                if line.endswith("\n"):  # the last one of a process that was killed may be cut
                    yield json.loads(line)


def load(paths):
    """The operations in the order they began: one dict each, of all its fields, its `type`, and when it began and ended."""
    found = {}
    for line in lines(paths):
        name, t = (line["process"], line.pop("op")), line.pop("t")
        if line["type"] == "invoke":
            found[name] = {**line, "type": "info", "start": t, "end": None}
        else:
            op = found.setdefault(name, {"start": t})
            op.update(line, end=t)
    return sorted(found.values(), key=lambda op: op["start"])


# --- what a record holds: its value, and bytes behind it that follow from the value ------------------------------------------------
#
# The value of one with a key ends in that. A header says it, too, and alone if the record is null.

HEADER, NULL = "value", "!"


def named(value, name, null):
    return f"{value}@{name}{NULL if null else ''}"


def name_of(value):
    return value.removesuffix(NULL).partition("@")[2] or None


def _padding(value, size):
    block = hashlib.sha256(value.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def pack(value, size):
    return value.encode() + b"|" + _padding(value, size)


def unpack(data):
    """The value; of bytes that were not written so, a text that no value is."""
    value, _, padding = data.partition(b"|")
    text = value.decode(errors="replace")
    return text if padding == _padding(text, len(padding)) else f"damaged: {data[:40]!r}"


def value_of(data, name, header):
    """The value, where bytes, key and header are of one; a text that no value is, where they are not."""
    value = unpack(data) if data is not None else header or "nothing"
    if value.endswith(NULL) == (data is None) and name_of(value) == name and header in (None, value):
        return value
    return f"damaged: {name} {header} {value}"


class Poll:
    """One poll: what has come of it, in the order in which the client was told."""

    def __init__(self, recorder, life, isolation, **more):
        self.recorder, self.records = recorder, defaultdict(list)
        self.op = recorder.invoke("poll", life=life, isolation=isolation, **more)

    def take(self, key, offset, data, name=None, header=None):
        self.records[key].append([offset, value_of(data, name, header)])

    def end(self):
        self.recorder.end(self.op, "ok", records=self.records)
        return self.records
