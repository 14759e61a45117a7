"""Goes over a history and says what a log must never do. Pure: operations in (history.py), findings out.

What happened to a value, its *fate*, is `ok`, `fail` or `info`. In a transaction it is the transaction's: `ok` when a commit was
acknowledged, `fail` when none was ever asked for, or the server refused it for good, else `info`. Only `ok` must be there; only `fail`
must not; what is `info` may be there or not, but what is seen of it must be whole, and stay.

What was asked to be deleted may be gone, from the moment it was asked for, and excuses whoever does not see it; so may a record of a
compacted partition for which there is a newer one (compacted.py).
"""

from bisect import bisect_right
from collections import defaultdict

from compacted import early, returned, stale, vanished
from view import COMMITTED, View

# --- the rules: each gives a text for everything it finds ------------------------------------------------------------------------


def lost(view):
    """An acknowledged record that nobody saw where it was acknowledged, though somebody saw further."""
    highest = {key: max(by_offset) for key, by_offset in view.seen.items()}
    for send, offset in view.acknowledged():
        key, value = send["key"], send["value"]
        if offset is None or offset >= highest.get(key, 0) or view.excused(send, offset):
            continue
        if value not in view.seen[key].get(offset, ()):
            yield f"{value} at {key} {offset}: acknowledged, and seen up to {highest[key]} without it"


def missing(view):
    """An acknowledged record that is not there in the end."""
    for isolation, by_key in view.final.items():
        there = {key: set(records.values()) for key, records in by_key.items()}
        for send, offset in view.acknowledged():
            key, value = send["key"], send["value"]
            if value not in there.get(key, ()) and not view.excused(send, offset):
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
        must = [send for send in txn.sends if send["type"] != "fail" and not view.excused(send, send.get("offset"))]
        gone = [send["value"] for send in must if send["value"] not in there]
        if gone and len(gone) < len(must):
            yield f"{name}: {len(must) - len(gone)} of {len(must)} are there, not {gone[:5]}"


def nonmonotonic_poll(view):
    """A consumer that goes on goes back. What it was never given counts, too: it may not read that at all."""
    for op, key, offset, place in view.steps():
        if place is None:
            yield f"{op['life']}: {key} {offset}, which is not its own"
        elif place.last is not None and offset <= place.last:
            yield f"{op['life']}: {key} {offset} behind {place.last}"


def skipped(view):
    """A consumer that goes on passes over a record that others, who may see no more than it, saw."""
    for op, key, offset, place in view.steps():
        if place and place.last is not None:
            over = view.between(op["isolation"], key, place.last + 1, offset, op["end"])
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
    for op, key, offset, place in view.steps():
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
        over = view.between(op["isolation"], key, best, offset, op["end"])
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
                gone = [at for at in view.between(COMMITTED, key, 0, told or 0, view.until) if (op["group"], key, at) not in there]
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
    "vanished": vanished,
    "stale": stale,
    "early": early,
    "returned": returned,
}


def check(ops):
    """What was found: rule → texts; empty when the history is one that may be."""
    return judge(View(ops))


def judge(view):
    found = {name: list(rule(view)) for name, rule in RULES.items()}
    return {name: texts for name, texts in found.items() if texts}
