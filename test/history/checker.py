"""Goes over a history and says what a log must never do. Pure: operations in (history.py), findings out.

What happened to a value, its *fate*, is `ok`, `fail` or `info`. In a transaction it is the transaction's: `ok` when a commit was
acknowledged, `fail` when none was ever asked for, or the server refused it for good, else `info`. Only `ok` must be there; only `fail`
must not; what is `info` may be there or not, but what is seen of it must be whole, and stay.

What was asked to be deleted may be gone, from the moment it was asked for, and excuses whoever does not see it.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict

COMMITTED = "read_committed"


class Txn:
    def __init__(self):
        self.sends, self.commits = [], []

    @property
    def fate(self):
        kinds = {op["type"] for op in self.commits}
        return "ok" if "ok" in kinds else "info" if "info" in kinds else "fail"


class View:
    """A history as the rules look at it."""

    def __init__(self, ops):
        self.ops = ops
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

    def excused(self, key, offset):
        return offset < self.deleted[key] if offset is not None else self.deleted[key] > 0

    def between(self, isolation, key, low, high):
        """Offsets in [low, high) which hold a record that somebody saw, and that was not to be deleted."""
        offsets = self.visible[COMMITTED if isolation == COMMITTED else "any"].get(key, [])
        return offsets[bisect_left(offsets, max(low, self.deleted[key])) : bisect_left(offsets, high)]


# --- the rules: each gives a text for everything it finds ------------------------------------------------------------------------


def lost(view):
    """An acknowledged record that nobody saw where it was acknowledged, though somebody saw further."""
    for send, offset in view.acknowledged():
        key, value = send["key"], send["value"]
        if offset is None or view.excused(key, offset) or not view.seen[key]:
            continue
        if offset < max(view.seen[key]) and value not in view.seen[key].get(offset, ()):
            yield f"{value} at {key} {offset}: acknowledged, and seen up to {max(view.seen[key])} without it"


def missing(view):
    """An acknowledged record that is not there in the end."""
    for isolation, by_key in view.final.items():
        there = {key: set(records.values()) for key, records in by_key.items()}
        for send, offset in view.acknowledged():
            key, value = send["key"], send["value"]
            if value not in there.get(key, ()) and not view.excused(key, offset):
                yield f"{value} at {key} {offset}: acknowledged, and {isolation} reads to the end without it"


def duplicate(view):
    """A value at two places, of a producer that promises once."""
    for value, places in view.places.items():
        if len(places) > 1 and value in view.sends and view.sends[value]["mode"] != "plain":
            yield f"{value} of {view.sends[value]['life']}: at {sorted(places)}"


def inconsistent(view):
    """Two values at one offset, for two readers or for a reader and the one who wrote."""
    told = defaultdict(set)
    for key, by_offset in view.seen.items():
        for offset, values in by_offset.items():
            told[key, offset] |= values
    for send in view.sends.values():
        if send["type"] == "ok" and send.get("offset") is not None:
            told[send["key"], send["offset"]].add(send["value"])
    for (key, offset), values in told.items():
        if len(values) > 1:
            yield f"{key} {offset}: {sorted(values)}"


def unknown(view):
    """A value that nobody sent, or sent elsewhere."""
    for value, places in view.places.items():
        send = view.sends.get(value)
        for key, offset in places:
            if not send or send["key"] != key:
                yield f"{value[:200]} at {key} {offset}: {'sent to ' + send['key'] if send else 'nobody sent it'}"


def aborted(view):
    """A reader of what is committed saw what was aborted; or anyone what certainly was not written."""
    for op in view.of["poll"]:
        for key, records in op.get("records", {}).items():
            for offset, value in records:
                send = view.sends.get(value)
                if not send or view.fate(send) != "fail":
                    continue
                if op["isolation"] == COMMITTED or send["type"] == "fail":
                    yield f"{value} at {key} {offset}: seen by {op['life']}, {'of ' + send['txn'] if send.get('txn') else 'failed'}"


def torn(view):
    """Of a transaction, a part is there in the end and a part is not."""
    final = view.final.get(COMMITTED)
    if final is None:
        return
    there = {value for records in final.values() for value in records.values()}
    for name, txn in view.txns.items():
        must = [send for send in txn.sends if send["type"] != "fail" and not view.excused(send["key"], send.get("offset"))]
        gone = [send["value"] for send in must if send["value"] not in there]
        if gone and len(gone) < len(must):
            yield f"{name}: {len(must) - len(gone)} of {len(must)} are there, not {gone[:5]}"


class Position:
    """Where one consumer is in one partition."""

    def __init__(self, last=None, since=None, before=None):
        self.last = last  # the offset it has passed
        self.since = since  # nothing has come yet since a rebalance gave it, then
        self.before = before  # what it had passed when it was its own the last time


def steps(view):
    """Each record polled, with where its consumer was before: (poll, key, offset, Position)."""
    places, lost = defaultdict(dict), defaultdict(dict)  # life → key → Position; what it had before a rebalance
    for op in sorted(view.ops, key=lambda op: op["end"] or op["start"]):  # a rebalance is told amid a poll, before its records
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


def nonmonotonic_poll(view):
    """A consumer that goes on goes back. What it was never given counts, too: it may not read that at all."""
    for op, key, offset, place in steps(view):
        if place is None:
            yield f"{op['life']}: {key} {offset}, which is not its own"
        elif place.last is not None and offset <= place.last:
            yield f"{op['life']}: {key} {offset} behind {place.last}"


def skipped(view):
    """A consumer that goes on passes over a record that others, who may see no more than it, saw."""
    for op, key, offset, place in steps(view):
        if place and place.last is not None:
            over = view.between(op["isolation"], key, place.last + 1, offset)
            if over:
                yield f"{op['life']}: {key} {place.last} → {offset}, over {len(over)} records: {over[:5]}"


def nonmonotonic_send(view):
    """What one producer sent to one partition lies in another order."""
    last = {}
    for send in view.of["send"]:
        offset = send.get("offset")
        if offset is None and send["mode"] != "plain" and len(view.places[send["value"]]) == 1:
            offset = next(iter(view.places[send["value"]]))[1]
        if offset is None or view.fate(send) == "fail":
            continue
        before = last.get((send["life"], send["key"]))
        if before and offset <= before[0]:
            yield f"{send['life']}: {send['value']} at {send['key']} {offset}, and {before[1]} before it at {before[0]}"
        last[send["life"], send["key"]] = (offset, send["value"])


def resumed(view):
    """The first record after a rebalance, and what the group had committed: (poll, key, offset, commits, Position)."""
    groups = {op["life"]: op["group"] for op in view.of["assigned"]}
    for op, key, offset, place in steps(view):
        if place and place.since is not None:
            yield op, key, offset, view.commits[groups[op["life"]]][key], place


def forgotten_commit(view):
    """A group begins again before what it had committed; or in the end the server knows of less."""
    for op, key, offset, commits, place in resumed(view):
        known = max((at for at, _, end in commits if end is not None and end < place.since), default=0)
        if offset < known:
            yield f"{op['life']}: {key} from {offset}, and {known} was committed"
    for op in view.of["committed"]:
        for key, commits in view.commits[op["group"]].items():
            known = max((at for at, _, end in commits if end is not None), default=0)
            told = op["offsets"].get(key) or 0
            if told < known:
                yield f"{op['group']}: {key} {told} in the end, and {known} was committed"


def invented_commit(view):
    """A group begins again behind what it had committed, so that nobody in it read what is between; or the server knows of more.

    Whom a partition is given again may go on where it was: kafka-python does."""
    for op, key, offset, commits, place in resumed(view):
        best = max((at for at, start, _ in commits if at <= offset and start < op["end"]), default=0)
        if place.before is not None and place.before < offset:
            best = max(best, place.before + 1)
        over = view.between(op["isolation"], key, best, offset)
        if over:
            yield f"{op['life']}: {key} from {offset}, over {len(over)} records from {over[0]} on; {best} was committed"
    for op in view.of["committed"]:
        for key, told in op["offsets"].items():
            if told and told not in {at for at, _, _ in view.commits[op["group"]][key]}:
                yield f"{op['group']}: {key} {told} in the end, and nobody committed that"


def made(view):
    """What is there in the end of records made of others: (group, key, offset) of the source → values."""
    there = defaultdict(set)
    for records in view.final.get(COMMITTED, {}).values():
        for value in records.values():
            send = view.sends.get(value)
            if send and send.get("source"):
                there[tuple(send["source"])].add(value)
    return there


def processed_twice(view):
    """Exactly once: two committed records made of one."""
    for source, values in made(view).items():
        if len(values) > 1:
            yield f"{source}: {sorted(values)}"


def unprocessed(view):
    """Exactly once: what lies before a group's committed offset, and of which nothing was made."""
    there = made(view)
    groups = {tuple(send["source"])[0] for send in view.sends.values() if send.get("source")}
    for op in view.of["committed"]:
        if op["group"] in groups:
            for key, told in op["offsets"].items():
                gone = [at for at in view.between(COMMITTED, key, 0, told or 0) if (op["group"], key, at) not in there]
                if gone:
                    yield f"{op['group']}: {key} up to {told}, and nothing made of {gone[:5]}"


def unfinished(view):
    """The end was not reached: what is there cannot be read, or something open holds readers up."""
    for op in view.of["ends"]:
        for key, (first, end) in op["ends"].items():
            if op.get("reached", {}).get(key, 0) < end:
                yield f"{op['isolation']}: {key} read up to {op.get('reached', {}).get(key)} of {end}"


def undeleted(view):
    """Records whose deletion was acknowledged, read in the end."""
    done = defaultdict(int)
    for op in view.of["delete"]:
        if op["type"] == "ok":
            done[op["key"]] = max(done[op["key"]], op["before"])
    for isolation, by_key in view.final.items():
        for key, records in by_key.items():
            left = sorted(records)[: bisect_right(sorted(records), done[key] - 1)]
            if left:
                yield f"{isolation}: {key} {left[:5]}, and everything before {done[key]} was deleted"


RULES = {
    "lost": lost,
    "missing": missing,
    "duplicate": duplicate,
    "inconsistent": inconsistent,
    "unknown": unknown,
    "aborted": aborted,
    "torn": torn,
    "nonmonotonic-poll": nonmonotonic_poll,
    "skipped": skipped,
    "nonmonotonic-send": nonmonotonic_send,
    "forgotten-commit": forgotten_commit,
    "invented-commit": invented_commit,
    "processed-twice": processed_twice,
    "unprocessed": unprocessed,
    "unfinished": unfinished,
    "undeleted": undeleted,
}


def check(ops):
    """What was found: rule → texts; empty when the history is one that may be."""
    view = View(ops)
    found = {name: list(rule(view)) for name, rule in RULES.items()}
    return {name: texts for name, texts in found.items() if texts}
