"""The checker is proven: a history that may be passes; with one fault planted, that one is found, and nothing that has no part in it."""

import copy

import pytest

from checker import COMMITTED, RULES, check
from history import Recorder, load

RAW = "read_uncommitted"


class Story:
    """Builds a history. Time goes on by one with each operation."""

    def __init__(self):
        self.ops, self.now = [], 0

    def add(self, f, kind="ok", **fields):
        self.now += 10
        op = {"f": f, "type": kind, "process": fields.get("life", "p"), "start": self.now, "end": self.now + 5, **fields}
        self.ops.append(op)
        return op

    def send(self, value, key, offset, mode="idempotent", kind="ok", **fields):
        place = {} if offset is None else {"offset": offset}
        return self.add("send", kind, life=fields.pop("life", mode), mode=mode, key=key, value=value, **place, **fields)

    def txn(self, name, sends, commit="ok", **fields):
        for value, key, offset in sends:
            self.send(value, key, offset, "transactional", txn=name, **fields)
        if commit:
            self.add("commit", commit, txn=name)
        else:
            self.add("abort", txn=name)

    def poll(self, life, isolation, key, *records, **fields):
        return self.add("poll", life=life, isolation=isolation, records={key: [list(record) for record in records]}, **fields)


LOG = {  # what lies in the partitions, in the end
    "a/0": {0: "i1", 1: "i2", 2: "p1", 3: "t1", 4: "x1", 7: "t3", 9: "i3"},  # 5, 6, 8: markers
    "a/1": {0: "t2", 2: "u1", 4: "i4"},
    "d/0": {0: "d0", 1: "d1", 2: "d2", 3: "d3"},
    "out/0": {0: "o0", 1: "o2", 3: "o4"},
    "k/0": {1: "b1", 3: "c1", 9: "a3", 10: "e1", 12: "z2"},  # compacted: a value's letter is its name; 4, 7, 8: aborted, markers
    "k/1": {1: "g1"},
}
FULL = {  # what was there before, as full reads saw it
    "full-1": {"k/0": {1: "b1", 2: "q1", 3: "c1", 5: "a2", 6: "q2", 9: "a3", 10: "e1", 11: "z1", 12: "z2"}, "k/1": {0: "f1", 1: "g1", 2: "f2"}},
    "full-2": {"k/0": {1: "b1", 3: "c1", 6: "q2", 9: "a3", 10: "e1", 11: "z1", 12: "z2"}, "k/1": {0: "f1", 1: "g1", 2: "f2"}},
    "full-3": {key: LOG[key] for key in ("k/0", "k/1")},
}
NULL = ("q2", "f2")
ABORTED = {("a/0", 4)}
DELETED = 2  # of d/0


def of(key, isolation, low=0, high=100):
    return [(at, value) for at, value in LOG[key].items() if low <= at < high and (isolation == RAW or (key, at) not in ABORTED)]


def write(story):
    story.send("i1", "a/0", 0)
    story.send("i2", "a/0", 1)
    story.send("p1", "a/0", 2, "plain")
    story.txn("T1", [("t1", "a/0", 3), ("t2", "a/1", 0)])
    story.txn("T2", [("x1", "a/0", 4)], commit=None)
    story.txn("T3", [("t3", "a/0", 7)])
    story.txn("T4", [("u1", "a/1", None)], commit="info")
    story.send("i3", "a/0", 9)
    story.send("i4", "a/1", 4)
    story.send("never", "a/1", None, "plain", kind="info")
    story.send("failed", "a/1", None, "plain", kind="fail")
    for n in range(4):
        story.send(f"d{n}", "d/0", n, life="deletes")
    story.add("delete", "ok", key="d/0", before=DELETED)


def read(story):
    story.add("assign", life="r1", positions={"a/0": 0, "a/1": 0, "d/0": 0})
    story.poll("r1", COMMITTED, "a/0", *of("a/0", COMMITTED, 0, 4))
    story.poll("r1", COMMITTED, "a/0", *of("a/0", COMMITTED, 4))
    story.poll("r1", COMMITTED, "a/1", *of("a/1", COMMITTED))
    story.poll("r1", COMMITTED, "d/0", *of("d/0", COMMITTED, 1))
    story.add("seek", life="r1", positions={"a/0": 1})
    story.poll("r1", COMMITTED, "a/0", *of("a/0", COMMITTED, 1))


def read_in_a_group(story):
    story.add("assigned", life="g1", group="g", keys=["a/0"])
    story.poll("g1", RAW, "a/0", *of("a/0", RAW, 0, 2))
    story.add("offsets", group="g", offsets={"a/0": 2})
    story.poll("g1", RAW, "a/0", *of("a/0", RAW, 2, 4))
    story.add("offsets", "info", group="g", offsets={"a/0": 4})
    story.add("revoked", life="g1", group="g", keys=["a/0"])
    story.add("assigned", life="g2", group="g", keys=["a/0"])
    story.poll("g2", RAW, "a/0", *of("a/0", RAW, 4))
    story.add("offsets", group="g", offsets={"a/0": 10})


def process(story):
    """Makes one record of each in a/1; the second in a transaction that is aborted, and then again."""
    story.add("assigned", life="e1", group="e", keys=["a/1"])
    story.poll("e1", COMMITTED, "a/1", *of("a/1", COMMITTED, 0, 4))
    for name, commit, done, sends in (
        ("E1", "ok", 1, [("o0", 0, 0)]),
        ("E2", None, 3, [("xo2", 2, None)]),
        ("E3", "ok", 5, [("o2", 2, 1), ("o4", 4, 3)]),
    ):
        for value, source, offset in sends:
            story.send(value, "out/0", offset, "transactional", txn=name, source=["e", "a/1", source], life="eos")
        story.add("txn-offsets", txn=name, group="e", offsets={"a/1": done})
        if commit:
            story.add("commit", commit, txn=name)
        else:
            story.add("abort", txn=name)
            story.add("seek", life="e1", positions={"a/1": 2})
            story.poll("e1", COMMITTED, "a/1", *of("a/1", COMMITTED, 2))


def named(value, offset, **more):
    return {"key": "k/0", "offset": offset, "name": value[0], "null": value in NULL, **more}


def compact(story):
    story.add("compacts", keys=["k/0", "k/1"], lag_ns=20, null_ns=200)
    story.send("a1", **named("a1", 0, mode="plain"))
    story.send("b1", **named("b1", 1, mode="plain"))
    story.send("q1", **named("q1", 2, mode="transactional", txn="K1"))
    story.send("c1", **named("c1", 3, mode="transactional", txn="K1"))
    story.add("commit", txn="K1")
    story.send("a2", **named("a2", 5, mode="plain"))
    story.send("q2", **named("q2", 6))
    story.send("b2", **named("b2", 7, mode="transactional", txn="K2"))
    story.add("abort", txn="K2")
    story.send("a3", **named("a3", 9, mode="plain"))
    for offset, value in enumerate(("e1", "z1", "z2"), 10):
        story.send(value, **named(value, offset))
    for offset, value in enumerate(("f1", "g1", "f2")):
        story.send(value, **named(value, offset, key="k/1"))
    read_all(story, "full-1", COMMITTED)
    read_all(story, "full-2", COMMITTED)
    story.now += 300
    read_all(story, "full-3", RAW)


def read_all(story, life, isolation):
    op = story.add("full", life=life, isolation=isolation, reached={"k/0": 13, "k/1": 3})
    story.add("assign", life=life, positions={"k/0": 0, "k/1": 0})
    for key, records in FULL[life].items():
        story.poll(life, isolation, key, *records.items())
    op["end"] = story.now + 6


def end(story):
    for isolation in (COMMITTED, RAW):
        life = f"final-{isolation}"
        full = story.add("full", life=life, isolation=isolation, reached={"k/0": 13, "k/1": 3})
        story.add("assign", life=life, positions={key: 0 for key in LOG} | {"d/0": DELETED})
        for key in LOG:
            story.poll(life, isolation, key, *of(key, isolation, DELETED if key == "d/0" else 0), final=True)
        ends = {"a/0": 10, "a/1": 5, "d/0": 4, "out/0": 4, "k/0": 13, "k/1": 3}
        full["end"] = story.now + 6
        story.add("ends", life=life, isolation=isolation, ends={key: [0, at] for key, at in ends.items()}, reached=ends)
    story.add("committed", group="g", offsets={"a/0": 10})
    story.add("committed", group="e", offsets={"a/1": 5})


def good():
    story = Story()
    for part in (write, read, read_in_a_group, process, compact, end):
        part(story)
    return story.ops


def test_a_history_that_may_be_passes():
    assert check(good()) == {}


# --- one fault each ----------------------------------------------------------------------------------------------------------------


def find(ops, f, nth=0, **fields):
    return [op for op in ops if op["f"] == f and all(op.get(name) == value for name, value in fields.items())][nth]


def polls(ops, key, **fields):
    for op in ops:
        if op["f"] == "poll" and key in op["records"] and all(op.get(name) == value for name, value in fields.items()):
            yield op["records"][key]


def unsee(ops, *values, **fields):
    """Nobody whom `fields` describe saw these."""
    for key in LOG:
        for records in polls(ops, key, **fields):
            records[:] = [record for record in records if record[1] not in values]


def lost_below_the_highest(ops):
    unsee(ops, "i2")


def lost_at_the_end(ops):
    unsee(ops, "i3")
    for op in ops:
        if op["f"] == "ends":
            op["ends"]["a/0"], op["reached"]["a/0"] = [0, 8], 8
    find(ops, "offsets", offsets={"a/0": 10})["offsets"]["a/0"] = find(ops, "committed", group="g")["offsets"]["a/0"] = 8


def lost_of_a_transaction(ops):
    unsee(ops, "t3")


def hidden_from_those_who_read_what_is_committed(ops):
    unsee(ops, "i4", isolation=COMMITTED)


def twice(ops):
    for records in polls(ops, "a/0"):
        if records[-1][0] == 9:
            records.append([10, "i1"])


def two_values_for_two_readers(ops):
    next(polls(ops, "a/1", life="r1"))[-1][1] = "never"


def another_than_was_acknowledged(ops):
    """The outcome of the other one is unknown, so that it may be there; only not at this offset."""
    find(ops, "send", value="never")["key"] = "a/0"
    for records in polls(ops, "a/0"):
        records[:] = [[at, "never" if value == "p1" else value] for at, value in records]


def one_that_nobody_sent(ops):
    for records in polls(ops, "a/1"):
        if records[-1][0] == 4:
            records.append([6, "who?"])


def in_another_partition(ops):
    for records in polls(ops, "a/1"):
        if records[-1][0] == 4:
            records.append([6, "p1"])


def read_though_aborted(ops):
    next(polls(ops, "a/0", life="r1", final=None))[:] = [list(record) for record in of("a/0", RAW, 0, 5)]


def read_though_failed(ops):
    for records in polls(ops, "a/1", isolation=RAW, final=True):
        records.append([6, "failed"])


def read_though_never_to_be_committed(ops):
    """No commit was ever asked for: the producer was taken over."""
    ops[:] = [op for op in ops if not (op["f"] == "commit" and op["txn"] == "T3")]


def a_part_of_an_unknown_one(ops):
    find(ops, "commit", txn="T1")["type"] = "info"
    unsee(ops, "t2", isolation=COMMITTED)
    unsee(ops, "o0", "xo2", "o2", "o4")  # and so nobody made anything of it
    for op in ops[:]:
        if op.get("txn", "").startswith("E") or op.get("group") == "e" or op.get("life") == "e1":
            ops.remove(op)


def goes_back(ops):
    list(polls(ops, "a/0", life="r1"))[1][:0] = [[1, "i2"], [2, "p1"], [3, "t1"]]


def repeats_the_last(ops):
    records = list(polls(ops, "a/0", life="g2"))[0]
    records.append(list(records[-1]))


def is_not_its_own(ops):
    at = ops.index(find(ops, "revoked"))
    ops.insert(at + 1, {**copy.deepcopy(find(ops, "poll", life="g1")), "records": {"a/1": [[0, "t2"]]}})


def skips_within_a_poll(ops):
    next(polls(ops, "a/0", life="r1")).pop(1)


def skips_between_polls(ops):
    list(polls(ops, "a/0", life="r1"))[1].pop(0)


def skips_after_an_assignment(ops):
    next(polls(ops, "a/1", life="r1")).pop(0)


def skips_what_is_not_committed_though_it_reads_that(ops):
    list(polls(ops, "a/0", life="g2"))[0].pop(0)
    ops.insert(ops.index(find(ops, "poll", life="g2")), {**find(ops, "poll", life="g2"), "f": "seek", "positions": {"a/0": 4}})


def sent_in_another_order(ops):
    """i1 and i2 changed places."""
    find(ops, "send", value="i1")["offset"], find(ops, "send", value="i2")["offset"] = 1, 0
    for records in polls(ops, "a/0"):
        records[:] = [[at, {"i1": "i2", "i2": "i1"}.get(value, value)] for at, value in records]


def begins_before_what_was_committed(ops):
    list(polls(ops, "a/0", life="g2"))[0][:0] = [list(record) for record in of("a/0", RAW, 0, 4)]


def knows_of_less_in_the_end(ops):
    find(ops, "committed", group="g")["offsets"]["a/0"] = 4


def forgot_the_group(ops):
    find(ops, "committed", group="g")["offsets"].clear()


def begins_behind_what_was_committed(ops):
    list(polls(ops, "a/0", life="g2"))[0].pop(0)


def took_offsets_of_what_was_aborted(ops):
    """E2 was aborted, and a new member goes on behind it."""
    at = ops.index(find(ops, "commit", txn="E3"))
    ops[at + 1 : at + 1] = [
        {"f": "assigned", "type": "ok", "process": "e2", "life": "e2", "group": "e", "keys": ["a/1"], "start": 9000, "end": 9000},
        {**copy.deepcopy(find(ops, "poll", life="e1")), "life": "e2", "start": 9001, "end": 9002, "records": {"a/1": [[4, "i4"]]}},
    ]
    find(ops, "commit", txn="E3")["type"] = "fail"
    unsee(ops, "o2", "o4", isolation=COMMITTED)
    find(ops, "committed", group="e")["offsets"]["a/1"] = 1


def knows_of_more_in_the_end(ops):
    find(ops, "committed", group="g")["offsets"]["a/0"] = 11


def made_twice(ops):
    send = find(ops, "send", value="o2")
    ops.insert(ops.index(send), {**send, "value": "o2again", "offset": 0, "key": "out/1"})
    ops.append({**find(ops, "poll", isolation=COMMITTED, final=True), "life": "f", "records": {"out/1": [[0, "o2again"]]}})
    ops.insert(-1, {**find(ops, "assign", life="r1"), "life": "f", "positions": {"out/1": 0}})
    ops.append({**ops[-1], "isolation": RAW, "life": "f2"})
    ops.insert(-1, {**find(ops, "assign", life="r1"), "life": "f2", "positions": {"out/1": 0}})


def made_nothing_of_it(ops):
    ops.remove(find(ops, "send", value="o4"))
    unsee(ops, "o4")


def does_not_reach_the_end(ops):
    find(ops, "ends", isolation=COMMITTED)["reached"]["a/1"] = 3


def is_still_there(ops):
    records = next(polls(ops, "d/0", life=f"final-{RAW}"))
    records.insert(0, [1, "d1"])
    find(ops, "assign", life=f"final-{RAW}")["positions"]["d/0"] = 0


# Of what is compacted.


def of_full(ops, life, key):
    return next(polls(ops, key, life=life))


def shows_nothing_of_a_name(ops):
    of_full(ops, "full-1", "k/0")[-2:] = []


def passes_over_the_last_of_a_name(ops):
    of_full(ops, "full-2", "k/0").remove([10, "e1"])


def has_lost_the_last_of_a_name(ops):
    unsee(ops, "e1")


def ends_without_the_last_of_a_name(ops):
    unsee(ops, "g1", final=True)


def shows_an_older_one(ops):
    of_full(ops, "full-2", "k/0").remove([12, "z2"])


def shows_what_was_deleted_when_the_tombstone_is_gone(ops):
    of_full(ops, "full-3", "k/1").insert(0, [0, "f1"])


def tombstone_goes_before_its_time(ops):
    of_full(ops, "full-2", "k/1")[:] = [[1, "g1"]]


def goes_before_the_lag_is_over(ops):
    find(ops, "compacts")["lag_ns"] = 400


def shows_again_what_was_replaced(ops):
    of_full(ops, "full-3", "k/0").insert(2, [5, "a2"])


def holds_another_value_than_before(ops):
    of_full(ops, "full-3", "k/0")[2][1] = "a2"


def shows_what_was_aborted(ops):
    of_full(ops, "full-1", "k/0").insert(5, [7, "b2"])


PLANTED = [
    ("lost", lost_below_the_highest, {"missing"}),
    ("missing", lost_at_the_end, set()),
    ("lost", lost_of_a_transaction, {"missing"}),
    ("missing", hidden_from_those_who_read_what_is_committed, set()),
    ("duplicate", twice, set()),
    ("inconsistent", two_values_for_two_readers, set()),
    ("inconsistent", another_than_was_acknowledged, {"lost", "missing"}),
    ("unknown", one_that_nobody_sent, set()),
    ("unknown", in_another_partition, set()),
    ("aborted", read_though_aborted, {"skipped"}),
    ("aborted", read_though_failed, set()),
    ("aborted", read_though_never_to_be_committed, set()),
    ("torn", a_part_of_an_unknown_one, set()),
    ("nonmonotonic-poll", goes_back, set()),
    ("nonmonotonic-poll", repeats_the_last, set()),
    ("nonmonotonic-poll", is_not_its_own, set()),
    ("skipped", skips_within_a_poll, set()),
    ("skipped", skips_between_polls, set()),
    ("skipped", skips_after_an_assignment, set()),
    ("skipped", skips_what_is_not_committed_though_it_reads_that, set()),
    ("nonmonotonic-send", sent_in_another_order, set()),
    ("forgotten-commit", begins_before_what_was_committed, set()),
    ("forgotten-commit", knows_of_less_in_the_end, set()),
    ("forgotten-commit", forgot_the_group, set()),
    ("invented-commit", begins_behind_what_was_committed, set()),
    ("invented-commit", took_offsets_of_what_was_aborted, set()),
    ("invented-commit", knows_of_more_in_the_end, set()),
    ("processed-twice", made_twice, set()),
    ("unprocessed", made_nothing_of_it, set()),
    ("unfinished", does_not_reach_the_end, set()),
    ("undeleted", is_still_there, set()),
    ("vanished", shows_nothing_of_a_name, set()),
    ("vanished", passes_over_the_last_of_a_name, {"skipped", "returned"}),
    ("lost", has_lost_the_last_of_a_name, {"missing", "vanished"}),
    ("missing", ends_without_the_last_of_a_name, {"vanished"}),
    ("stale", shows_an_older_one, set()),
    ("stale", shows_what_was_deleted_when_the_tombstone_is_gone, set()),
    ("early", tombstone_goes_before_its_time, set()),
    ("skipped", goes_before_the_lag_is_over, set()),
    ("returned", shows_again_what_was_replaced, set()),
    ("inconsistent", holds_another_value_than_before, set()),
    ("aborted", shows_what_was_aborted, set()),
]


@pytest.mark.parametrize("rule, plant, with_it", PLANTED, ids=lambda x: getattr(x, "__name__", None))
def test_a_planted_fault_is_found(rule, plant, with_it):
    ops = copy.deepcopy(good())
    plant(ops)
    assert set(check(ops)) == {rule} | with_it


def test_every_rule_has_a_fault_planted():
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


# --- what may be, though it looks bad ------------------------------------------------------------------------------------------------


def plain_twice(ops):
    """A producer without an id may write twice when it did not hear the answer."""
    for records in polls(ops, "a/0"):
        if records[-1][0] == 9:
            records.append([10, "p1"])


def unknown_is_not_there(ops):
    """A commit without an answer, and nothing of it is there."""
    unsee(ops, "u1")
    ops[:] = [op for op in ops if op.get("group") != "e" and op.get("life") not in ("e1", "eos")]
    unsee(ops, "o0", "o2", "o4")


def deleted_while_read(ops):
    """A reader that was behind passes over what was deleted meanwhile, even if no answer to the deletion came."""
    find(ops, "delete")["type"] = "info"
    next(polls(ops, "d/0", life="r1"))[:] = [[3, "d3"]]
    find(ops, "delete")["before"] = 3
    for op in ops:
        if op["f"] == "assign" and op["life"].startswith("final"):
            op["positions"]["d/0"] = 2


def commit_without_an_answer_was_taken(ops):
    list(polls(ops, "a/0", life="g2"))[0][:] = [list(record) for record in of("a/0", RAW, 4)]


def commit_without_an_answer_was_not_taken(ops):
    list(polls(ops, "a/0", life="g2"))[0][:] = [list(record) for record in of("a/0", RAW, 2)]


def goes_on_when_it_is_given_again(ops):
    """A member whose partition is given to it again need not begin with what was committed."""
    for op in ops:
        if op.get("life") == "g2":
            op["life"] = "g1"
    ops.remove(find(ops, "offsets", type="info"))


def replaced_while_read(ops):
    """A full read passed the old one by before it went, and its tombstone after that one's time."""
    find(ops, "full", life="full-3")["start"] = find(ops, "full", life="full-2")["end"] + 1
    of_full(ops, "full-3", "k/1").insert(0, [0, "f1"])


def tombstone_without_an_answer(ops):
    """Nobody has seen it, but it may have done its work, and gone."""
    send = find(ops, "send", value="g1")
    ops.insert(ops.index(send) + 1, {**send, "value": "g2", "null": True, "type": "info", "end": None})
    del ops[ops.index(send) + 1]["offset"]
    unsee(ops, "g1", final=True)
    of_full(ops, "full-3", "k/1").clear()


def replaced_behind_the_end(ops):
    """A full read ends before a record that replaced one which it did not see any more."""
    find(ops, "full", life="full-1")["reached"]["k/0"] = 12
    of_full(ops, "full-1", "k/0")[-2:] = []


MAY_BE = [
    replaced_while_read,
    tombstone_without_an_answer,
    replaced_behind_the_end,
    plain_twice,
    unknown_is_not_there,
    deleted_while_read,
    commit_without_an_answer_was_taken,
    commit_without_an_answer_was_not_taken,
    goes_on_when_it_is_given_again,
]


@pytest.mark.parametrize("change", MAY_BE)
def test_what_may_be_passes(change):
    ops = copy.deepcopy(good())
    change(ops)
    assert check(ops) == {}


def test_a_history_comes_back_from_its_files(tmp_path):
    first, second = Recorder(tmp_path / "a", "a"), Recorder(tmp_path / "b", "b")
    begun = first.invoke("send", life="l", mode="plain", key="t/0", value="v")
    second.note("kill")
    first.end(begun, "ok", offset=7)
    first.invoke("commit", txn="T")
    with open(tmp_path / "b", "a") as file:
        file.write('{"t": 1, "process": "b", "op": 2, "ty')  # killed while it wrote
    sent, killed, committed = load([tmp_path / "a", tmp_path / "b"])
    assert (sent["type"], sent["offset"], sent["value"], sent["f"]) == ("ok", 7, "v", "send") and sent["start"] < sent["end"]
    assert killed["type"] == "ok" and killed["start"] == killed["end"]
    assert committed["type"] == "info" and committed["end"] is None
