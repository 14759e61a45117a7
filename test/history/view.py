"""A history as the rules look at it: its operations by what they are, what became of each value, who saw what where."""

from bisect import bisect_left, bisect_right
from collections import defaultdict

from compacted import Compacted

COMMITTED = "read_committed"


class Txn:
    def __init__(self):
        self.sends, self.commits = [], []

    @property
    def fate(self):
        kinds = {op["type"] for op in self.commits}
        return "ok" if "ok" in kinds else "info" if "info" in kinds else "fail"


class Position:
    """Where one consumer is in one partition."""

    def __init__(self, last=None, since=None, before=None):
        self.last = last  # the offset it has passed
        self.since = since  # nothing has come yet since a rebalance gave it, then
        self.before = before  # what it had passed when it was its own the last time


class View:
    """A history as the rules look at it."""

    def __init__(self, ops):
        self.ops = ops
        self.until = max((op["end"] or op["start"] for op in ops), default=0)
        self.of = defaultdict(list)  # f → operations
        for op in ops:
            self.of[op["f"]].append(op)
        self.txns = defaultdict(Txn)
        self.deleted = defaultdict(int)  # key → nothing before it must be there
        self.sends = {}  # value → its send
        for op in self.of["send"]:
            self.sends[op["value"]] = op
            if op.get("txn"):
                self.txns[op["txn"]].sends.append(op)
        for op in self.of["commit"]:
            self.txns[op["txn"]].commits.append(op)
        for op in self.of["delete"]:
            self.deleted[op["key"]] = max(self.deleted[op["key"]], op["before"])
        self._look_at_polls()
        self._look_at_offsets()
        self.compacted = Compacted(self)

    def _look_at_polls(self):
        self.seen = defaultdict(lambda: defaultdict(set))  # key → offset → values, by any reader
        self.places = defaultdict(set)  # value → (key, offset)
        self.final = {}  # isolation → key → {offset: value}
        visible = {COMMITTED: defaultdict(set), "any": defaultdict(set)}
        for op in self.of["poll"]:
            final = self.final.setdefault(op["isolation"], defaultdict(dict)) if op.get("final") else None
            for key, records in op.get("records", {}).items():
                for offset, value in records:
                    self.seen[key][offset].add(value)
                    self.places[value].add((key, offset))
                    visible["any"][key].add(offset)
                    if op["isolation"] == COMMITTED:
                        visible[COMMITTED][key].add(offset)
                    if final is not None:
                        final[key][offset] = value
        self.committed_seen = {(key, offset) for key, offsets in visible[COMMITTED].items() for offset in offsets}
        self.visible = {level: {key: sorted(offsets) for key, offsets in by_key.items()} for level, by_key in visible.items()}

    def _look_at_offsets(self):
        """What groups committed, by hand or in transactions: group → key → (offset, asked at, acknowledged at or None)."""
        self.commits = defaultdict(lambda: defaultdict(list))
        for op in self.of["offsets"]:
            if op["type"] != "fail":
                self._committed(op, op["start"], op["end"] if op["type"] == "ok" else None)
        for op in self.of["txn-offsets"]:
            txn = self.txns[op["txn"]]
            if op["type"] != "fail" and txn.fate != "fail":
                ended = [commit["end"] for commit in txn.commits if commit["type"] == "ok"]
                self._committed(op, min(commit["start"] for commit in txn.commits), ended[0] if ended else None)

    def _committed(self, op, start, end):
        for key, offset in op["offsets"].items():
            self.commits[op["group"]][key].append((offset, start, end))

    def fate(self, send):
        if send["type"] == "fail" or not send.get("txn"):
            return send["type"]
        return self.txns[send["txn"]].fate

    def acknowledged(self):
        """Sends that must be there: (send, offset or None)."""
        for send in self.sends.values():
            if self.fate(send) == "ok" and (send["type"] == "ok" or send.get("txn")):
                yield send, send.get("offset")

    def asked(self, send):
        """Before then it could not be there for all; of a transaction, before its commit was asked for."""
        commits = self.txns[send["txn"]].commits if send.get("txn") else ()
        return min((commit["start"] for commit in commits if commit["type"] != "fail"), default=send["start"])

    def known(self, send):
        """From when on it must be there, of one whose fate is `ok`."""
        commits = self.txns[send["txn"]].commits if send.get("txn") else ()
        return min((commit["end"] for commit in commits if commit["type"] == "ok"), default=send["end"])

    def excused(self, send, offset):
        """It need not be there in the end: it was to be deleted, or compaction may have left it out."""
        return self._deleted(send["key"], offset) or self.compacted.may_be_gone(send, offset, self.until)

    def _deleted(self, key, offset):
        return offset < self.deleted[key] if offset is not None else self.deleted[key] > 0

    def between(self, isolation, key, low, high, at):
        """Offsets in [low, high) which hold a record that somebody saw, and that could not be gone at that time."""
        return [offset for offset in self.seen_between(isolation, key, low, high) if not self.compacted.is_gone(key, offset, at)]

    def seen_between(self, isolation, key, low, high):
        offsets = self.visible[COMMITTED if isolation == COMMITTED else "any"].get(key, [])
        return offsets[bisect_left(offsets, max(low, self.deleted[key])) : bisect_left(offsets, high)]

    def steps(self):
        """Each record polled, with where its consumer was before: (poll, key, offset, Position)."""
        places, lost = defaultdict(dict), defaultdict(dict)  # life → key → Position; what it had before a rebalance
        for op in sorted(self.ops, key=lambda op: op["end"] or op["start"]):  # a rebalance is told amid a poll, before its records
            mine = places[op.get("life")]
            if op["f"] in ("assign", "seek"):
                if op["f"] == "assign":
                    mine.clear()
                mine.update({key: Position(offset - 1) for key, offset in op["positions"].items()})
            elif op["f"] == "assigned":
                before = lost[op["life"]]
                mine.update({key: Position(since=op["start"], before=before.get(key)) for key in op["keys"]})
            elif op["f"] == "revoked":
                for key in op["keys"]:
                    place = mine.pop(key, None)
                    lost[op["life"]][key] = place and (place.before if place.last is None else place.last)
            elif op["f"] == "poll":
                for key, records in op.get("records", {}).items():
                    for offset, _ in records:
                        yield op, key, offset, mine.get(key)
                        mine[key] = Position(offset)
