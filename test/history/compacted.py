"""What compaction may do to a partition, and the rules about that.

A record there has a key, which is called its *name* here, and may be null: then it stands for that nothing has that name any more.
Compaction leaves out a record once there is a newer one of its name, and a null one when its time is over; nothing else, and for
good. So a hole, an offset at which there was a record, says something: from when on there may be one follows from what was sent.

The rules look at *full* reads, by a reader that is new, from the beginning to the end. What was passed on the way may have
been replaced before the end was reached; but then what it was replaced by comes later in the same read, unless that one was null and
its time has come since. An older one of the name beside a tombstone that is gone can thus be only when the read took that long.
"""

from bisect import bisect_right
from collections import defaultdict
from functools import cached_property
from math import inf


class Compacted:
    """Of each partition that is compacted, what is known to be there with a name."""

    def __init__(self, view):
        self.view = view
        self.config = {key: op for op in view.of["compacts"] for key in op["keys"]}  # with lag_ns, null_ns
        self.named = defaultdict(list)  # (key, name) → its sends that may have come about
        self.placed = defaultdict(list)  # (key, name) → [(offset, send)], the lowest first
        self.gone_from = defaultdict(dict)  # key → offset → the earliest time at which there may be a hole
        self.ghosts = defaultdict(lambda: inf)  # (key, name) → when a null one that nobody saw may have come and gone
        for send in view.sends.values():
            if send["key"] in self.config and send["type"] != "fail":
                self._place(send)
        for at, placed in self.placed.items():
            placed.sort(key=lambda place: place[0])
            self._look_at(at, placed)

    def _place(self, send):
        key, name = send["key"], send["name"]
        offsets = {offset for of, offset in self.view.places.get(send["value"], ()) if of == key}
        if send["type"] == "ok" and send.get("offset") is not None:
            offsets.add(send["offset"])
        self.placed[key, name] += [(offset, send) for offset in offsets]
        if self.view.fate(send) == "fail":
            return
        self.named[key, name].append(send)
        elsewhere = not offsets or send["mode"] == "plain" and send["type"] == "info"
        if send.get("null") and elsewhere:
            self.ghosts[key, name] = min(self.ghosts[key, name], self.null_until(send))

    def _look_at(self, at, placed):
        key, newer = at[0], self.ghosts[at]
        for offset, send in reversed(placed):
            # Of what is not known to be committed, nothing need stay.
            fate = self.view.fate(send)
            sure = fate == "ok" or fate == "info" and (key, offset) in self.view.committed_seen
            gone = min(newer, self.null_until(send) if send.get("null") else inf) if sure else 0
            self.gone_from[key][offset] = max(gone, send["start"] + self.config[key]["lag_ns"])
            if fate != "fail":
                newer = min(newer, self.view.asked(send))

    @cached_property
    def unshown(self):
        return list(full_reads(self.view))

    def null_until(self, send):
        return self.view.asked(send) + self.config[send["key"]]["null_ns"]

    def is_gone(self, key, offset, at):
        """There may be a hole at that time."""
        return self.gone_from.get(key, {}).get(offset, inf) <= at

    def may_be_gone(self, send, offset, at):
        key = send["key"]
        if key not in self.config:
            return False
        if offset is not None:
            return self.is_gone(key, offset, at)
        offsets = [offset for of, offset in self.view.places.get(send["value"], ()) if of == key]
        if offsets:
            return any(self.is_gone(key, offset, at) for offset in offsets)
        # Nobody knows where it lies: another one may lie behind it if it was not over before.
        others = (other for other in self.named[key, send["name"]] if other is not send)
        newer = any(self.view.fate(other) == "info" or self.view.known(other) > send["start"] for other in others)
        return newer or bool(send.get("null")) and self.null_until(send) <= at


def full_reads(view):
    """Each full read that does not show what it must of a name: (operation, key, latest, shown).

    `latest` and `shown`, which is None where nothing is, are (offset, send): what had been acknowledged before the read began, and is
    before its end; and the last one that was read."""
    polls = defaultdict(list)
    for op in view.of["poll"]:
        polls[op["life"]].append(op)
    known = [
        (view.known(send), offset, send)
        for placed in view.compacted.placed.values()
        for offset, send in placed
        if view.fate(send) == "ok"
    ]
    known.sort(key=lambda item: item[0])
    latest, n = {}, 0  # (key, name) → [(offset, send)], those that were the latest ones, the highest last
    for op in view.of["full"]:
        while n < len(known) and known[n][0] < op["start"]:
            _, offset, send = known[n]
            before = latest.setdefault((send["key"], send["name"]), [])
            if not before or before[-1][0] < offset:
                before.append((offset, send))
            n += 1
        if op["type"] == "ok":
            yield from unshown(view, op, latest, shown_by(view, polls[op["life"]]))


def shown_by(view, polls):
    shown = {}
    for op in polls:
        for key, records in op.get("records", {}).items():
            for offset, value in records:
                send = view.sends.get(value)
                if send and send["key"] == key:
                    shown[key, send.get("name")] = (offset, send)
    return shown


def unshown(view, op, latest, shown):
    for (key, name), known in latest.items():
        reached = op["reached"].get(key, 0)
        before = known[: bisect_right([offset for offset, _ in known], reached - 1)]
        if before and (key, name) not in shown or before and shown[key, name][0] < before[-1][0]:
            if not replaced(view, op, key, name, before[-1], reached):
                yield op, key, before[-1], shown.get((key, name))


def replaced(view, op, key, name, latest, reached):
    """By a newer one that the read need not show: it came behind the read's end, or is null and its time was over."""
    compacted = view.compacted
    if compacted.ghosts[key, name] <= op["end"]:
        return True
    for offset, send in compacted.placed[key, name]:
        if offset > latest[0] and view.fate(send) != "fail" and view.asked(send) < op["end"]:
            if offset >= reached or send.get("null") and compacted.null_until(send) <= op["end"]:
                return True
    return False


# --- the rules -------------------------------------------------------------------------------------------------------------------


def text(op, key, latest, more):
    offset, send = latest
    return f"{op['life']}: {send['name']} of {key}: {send['value']} at {offset} was acknowledged, and {more}"


def vanished(view):
    """A full read shows nothing of a name, though it has a value."""
    for op, key, latest, shown in view.compacted.unshown:
        if not shown and not latest[1].get("null"):
            yield text(op, key, latest, "nothing is there")


def stale(view):
    """The last that a full read shows of a name is not the latest: an older one lives, perhaps since a tombstone went before it."""
    for op, key, latest, shown in view.compacted.unshown:
        took_long = latest[1].get("null") and op["end"] - op["start"] >= view.compacted.config[key]["null_ns"]
        if shown and not took_long:
            yield text(op, key, latest, f"{shown[1]['value']} at {shown[0]} is the last one there")


def early(view):
    """A full read does not show a null record, though its time is not over."""
    for op, key, latest, shown in view.compacted.unshown:
        if not shown and latest[1].get("null") and view.compacted.null_until(latest[1]) > op["end"]:
            yield text(op, key, latest, f"is gone {(op['end'] - view.asked(latest[1])) / 1e9:.3f} s after it was sent")


def returned(view):
    """A full read shows a record over which another reader had gone, where it was not any more."""
    passed = defaultdict(dict)  # key → offset → the earliest time at which someone had passed over a hole
    for op, key, offset, place in view.steps():
        if key in view.compacted.config and place and place.last is not None:
            for over in view.seen_between(op["isolation"], key, place.last + 1, offset):
                passed[key][over] = min(op["end"], passed[key].get(over, inf))
    began = {op["life"]: op["start"] for op in view.of["full"]}
    for op in view.of["poll"]:
        for key, records in op.get("records", {}).items():
            for offset, value in records:
                if passed[key].get(offset, inf) < began.get(op["life"], 0):
                    yield f"{op['life']}: {value} at {key} {offset}, and there had been nothing"


def left_out(view):
    """What compaction has taken away: how many records in all, and how many names after their tombstones."""
    there = view.final.get("read_committed", {})
    records = names = 0
    for (key, _), placed in view.compacted.placed.items():
        sure = [(offset, send) for offset, send in placed if view.fate(send) == "ok"]
        gone = [send for offset, send in sure if offset not in there.get(key, ())]
        records += len(gone)
        names += bool(sure and len(gone) == len(sure) and sure[-1][1].get("null"))
    return records, names
