"""Before and after a history: the topics, and the reading of everything to the end, by librdkafka."""

import time

from client_rdkafka import Reader, common
from confluent_kafka.admin import AdminClient, NewTopic

from bide_server import SLOW
from history import Poll

END_S = 60 * SLOW
READERS = ("readers", "raw-readers", "new-readers", "static-readers")
GROUPS = {**{group: ("log", "cut", "keyed") for group in READERS}, "makers": ("source",)}

LAG_MS, NULL_MS = 300, 1500
COMPACTED = {  # all the time, and so that it is seen when something goes too early
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "min.compaction.lag.ms": str(LAG_MS + 10),  # clocks are read in turns, and in milliseconds
    "delete.retention.ms": str(NULL_MS + 10),
}


class Final:
    def __init__(self, server, topics, recorder):
        self.server, self.topics, self.recorder = server, topics, recorder

    def keys(self, *topics):
        return [f"{topic}/{n}" for topic in topics or self.topics for n in range(self.topics[topic])]

    def make_topics(self, keyed=None):
        admin = AdminClient(common(self.server))
        config = {name: {"retention.ms": "-1"} for name in self.topics} | {"keyed": COMPACTED | (keyed or {})}
        for future in admin.create_topics([NewTopic(name, n, 1, config=config[name]) for name, n in self.topics.items()]).values():
            future.result(END_S)
        self.recorder.note("compacts", keys=self.keys("keyed"), lag_ns=LAG_MS * 1_000_000, null_ns=NULL_MS * 1_000_000)

    def read(self):
        for isolation in ("read_committed", "read_uncommitted"):
            self._read(isolation)
        for group, topics in GROUPS.items():
            reader = Reader(self.server, "read_committed", group)
            self.recorder.note("committed", group=group, offsets=reader.committed(self.keys(*topics)))
            reader.close()

    def _read(self, isolation):
        """Until the end is reached, as those who read everything see it; what is still open must be over by its own time."""
        life, deadline = f"final-{isolation}", time.monotonic() + END_S
        reader = Reader(self.server, isolation)
        raw = Reader(self.server, "read_uncommitted")
        ends = {key: raw.ends(key) for key in self.keys()}
        positions = {key: first for key, (first, _) in ends.items()}
        op = self.recorder.invoke("full", life=life, isolation=isolation)
        self.recorder.note("assign", life=life, positions=positions)
        reader.assign(positions)
        while any(reader.ended.get(key, 0) < end for key, (_, end) in ends.items()) and time.monotonic() < deadline:
            polled = Poll(self.recorder, life, isolation, final=True)
            reader.poll(0.2, polled.take)
            polled.end()
        self.recorder.end(op, "ok", reached=reader.ended)
        self.recorder.note("ends", life=life, isolation=isolation, ends=ends, reached=reader.ended)
        reader.close()
        raw.close()
