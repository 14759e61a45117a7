"""Groups whose partitions the server assigns (KIP-848), by frames: what members are told, over restarts too."""

import collections
import json
import re
import struct
import subprocess

from bide_kafka import flexible, kafka_servers, metadata
from bide_server import BIN, clean_environment

HEARTBEAT, DESCRIBE, LIST_GROUPS, COMMIT, DESCRIBE_CLASSIC, DELETE_GROUPS = 68, 69, 16, 8, 15, 42
FENCED, UNKNOWN_MEMBER, NOT_FOUND, NON_EMPTY = 82, 25, 69, 68
FENCED_EPOCH, UNRELEASED, NO_ASSIGNOR, STALE, BAD_REGEX, INVALID, MAX_SIZE, TOO_LARGE = 110, 111, 112, 113, 128, 42, 81, 10


fresh = kafka_servers()


# --- bytes ---


def number(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def text(value):
    return b"\0" if value is None else number(len(value) + 1) + value.encode()


def array(items, each):
    return b"\0" if items is None else number(len(items) + 1) + b"".join(map(each, items))


def places_bytes(places):
    by_topic = collections.defaultdict(list)
    for topic_id, partition in sorted(places):
        by_topic[topic_id].append(partition)
    return array(list(by_topic), lambda t: t + array(by_topic[t], lambda p: struct.pack(">i", p)) + b"\0")


class Body:
    """An answer of a flexible version, read from its start."""

    def __init__(self, body):
        self.body, self.at = body, 0
        assert self.number() == 0, "tagged fields of the header"

    def take(self, form):
        values = struct.unpack_from(">" + form, self.body, self.at)
        self.at += struct.calcsize(">" + form)
        return values if len(values) > 1 else values[0]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def bytes(self, count):
        self.at += count
        return self.body[self.at - count : self.at]

    def text(self):
        length = self.number()
        return self.bytes(length - 1).decode() if length else None

    def array(self, each):
        return [each() for _ in range(self.number() - 1)]

    def places(self, named=False):
        told = set()

        def topic():
            topic_id = self.bytes(16)
            if named:
                self.text()
            told.update((topic_id, p) for p in self.array(lambda: self.take("i")))
            self.number()

        self.array(topic)
        self.number()
        return told


# --- a member ---


class Member:
    def __init__(self, server, name, group="readers", **says):
        self.conn, self.group, self.id, self.epoch, self.says = server.open_kafka(), group, name, 0, says
        self.has, self.told = set(), set()

    def ask(self, key, version, message):
        return Body(self.conn.send(flexible(key, version, 1, message)).answer()[1])

    def beat(self, epoch=None, owned=None, version=1, **says):
        message = text(self.group) + text(self.id) + struct.pack(">i", self.epoch if epoch is None else epoch)
        message += text(says.get("instance", self.says.get("instance"))) + text(None)
        message += struct.pack(">i", says.get("rebalance", -1)) + array(says.get("topics"), text)
        message += text(says.get("regex")) if version > 0 else b""
        message += text(says.get("assignor")) + (b"\0" if owned is None else places_bytes(owned)) + b"\0"
        body = self.ask(HEARTBEAT, version, message)
        _, error = body.take("ih")
        body.text()
        member, told_epoch, self.interval = body.text(), *body.take("ii")
        if error == 0:
            self.id, self.epoch = member, told_epoch
            if body.take("b") == 1:
                self.told = body.places()
                self.has |= self.told
        return error

    def join(self, **more):
        self.has, self.told = set(), set()
        says = {"rebalance": 10000, "topics": ["t"], **self.says, **more}
        return self.beat(0, set(), **says)

    def obey(self):
        self.has &= self.told
        return self.beat(owned=self.has)

    def commit(self, offset, epoch=None):
        message = text(self.group) + struct.pack(">i", self.epoch if epoch is None else epoch) + text(self.id) + text(None)
        message += array(["t"], lambda t: text(t) + array([0], lambda p: struct.pack(">iqi", p, offset, -1) + text("") + b"\0") + b"\0")
        body = self.ask(COMMIT, 9, message + b"\0")
        body.take("i")
        (error,) = body.array(lambda: (body.text(), body.array(lambda: (body.take("ih"), body.number())[0][1]), body.number())[1][0])
        return error

    def describe(self):
        body = self.ask(DESCRIBE, 1, array([self.group], text) + b"\0\0")
        body.take("i")

        def member():
            told = {"id": body.text(), "instance": body.text(), "rack": body.text(), "epoch": body.take("i")}
            told |= {"client": body.text(), "host": body.text(), "topics": body.array(body.text), "regex": body.text()}
            told |= {"assigned": body.places(named=True), "target": body.places(named=True), "type": body.take("b")}
            body.number()
            return told

        def group():
            error = body.take("h")
            body.text()
            told = {"error": error, "group": body.text(), "state": body.text(), "epochs": body.take("ii")}
            told |= {"assignor": body.text(), "members": body.array(member)}
            return told

        (told,) = body.array(group)
        return told


def with_topic(server, name="t"):
    with server.open_kafka() as conn:
        conn.send(metadata(1, name)).answer()
    return server


def two_in(server, **says):
    a, b = Member(server, "a", **says), Member(server, "b")
    assert (a.join(), b.join()) == (0, 0) and len(a.has) == 4 and not b.has
    assert a.beat() == 0 and len(a.told) == 2 and a.obey() == 0 and b.beat() == 0
    assert len(b.has) == 2 and not a.has & b.has
    return a, b


# --- tests ---


def test_partitions_move_and_members_outlive_a_crash(fresh):
    server = with_topic(fresh())
    a, b = Member(server, "a"), Member(server, "b")
    assert a.join() == 0 and a.interval == 5000
    assert b.join() == 0
    assert a.beat() == 0 and len(a.told) == 2 and len(a.has) == 4
    assert a.commit(7) == 0, "before it gives up"
    told = a.describe()
    assert told["state"] == "Reconciling" and told["assignor"] == "uniform" and told["epochs"] == (2, 2)
    assert [(m["id"], m["epoch"], len(m["assigned"]), len(m["target"])) for m in told["members"]] == [("a", 1, 2, 2), ("b", 2, 0, 2)]
    server.kill9()
    server.start()
    for member in (a, b):
        member.conn = server.open_kafka()
    assert b.beat() == 0 and not b.has, "a has not given up yet"
    assert a.obey() == 0 and a.epoch == 2
    assert b.beat() == 0 and len(b.has) == 2 and not a.has & b.has
    assert a.commit(8, epoch=1) == 0, "it has had that partition since then"
    assert b.commit(9, epoch=1) == STALE and a.commit(9, epoch=3) == STALE and a.commit(9) == 0
    assert a.describe()["state"] == "Stable"
    assert b.beat(-1) == 0 and b.epoch == -1
    assert b.beat(3) == UNKNOWN_MEMBER
    assert a.beat() == 0 and len(a.has) == 4


def test_a_static_member_takes_its_place_again(fresh):
    server = with_topic(fresh())
    a, b = two_in(server, instance="one")
    again = Member(server, "a2", instance="one")
    assert again.join() == UNRELEASED
    assert a.beat(-2) == 0 and a.epoch == -2
    assert [m["epoch"] for m in b.describe()["members"]] == [-2, 2]
    server.kill9()
    server.start()
    again.conn, b.conn, a.conn = server.open_kafka(), server.open_kafka(), server.open_kafka()
    assert again.join() == 0 and again.has == a.has
    assert b.beat() == 0 and b.epoch == 2, "nobody else has noticed"
    assert a.beat(2) == FENCED


def test_what_a_request_must_have(fresh):
    server = with_topic(fresh())
    m = Member(server, "m")
    assert m.beat(0, set(), topics=["t"]) == INVALID, "a rebalance timeout"
    assert m.beat(0, None, topics=["t"], rebalance=1000) == INVALID, "what it owns"
    assert m.beat(0, set(), rebalance=1000) == INVALID, "what it subscribes to"
    assert m.beat(-2) == INVALID, "an instance"
    assert m.beat(-3) == INVALID
    assert m.beat(1) == UNKNOWN_MEMBER
    assert m.join(assignor="none") == NO_ASSIGNOR
    assert m.join(topics=None, regex="(") == BAD_REGEX
    m.id = ""
    assert m.join() == INVALID, "an id, from version 1 on"
    assert m.join(version=0) == 0 and m.id, "before, the server makes one"
    assert m.beat(5) == FENCED_EPOCH


def test_topics_by_expression_come_and_grow(fresh):
    server = with_topic(fresh(), "logs.a")
    m = Member(server, "m", topics=None, regex=r"logs\..*")
    assert m.join() == 0 and len(m.has) == 4
    with_topic(server, "logs.b")
    with_topic(server, "other")
    assert m.beat() == 0 and len(m.has) == 8


def test_limits(fresh):
    server = with_topic(
        fresh("--max-group-members", "1", "--max-group-topics", "2", "--max-group-regex", "4", "--max-group-partitions", "4",
              "--max-group-member-bytes", "1K", "--group-consumer-heartbeat-interval", "1s")
    )
    m = Member(server, "m")
    assert m.join(topics=["t", "u", "v"]) == TOO_LARGE
    assert m.join(regex="aaaaa") == TOO_LARGE
    assert m.join(topics=["t" * 249, "u" * 900]) == TOO_LARGE
    assert m.join(topics=["t", "u"]) == 0 and m.interval == 1000
    assert Member(server, "n").join() == MAX_SIZE
    with_topic(server, "u")
    assert m.beat() == MAX_SIZE, "eight partitions"


def test_who_is_silent_is_out(fresh):
    server = with_topic(fresh("--group-consumer-session-timeout", "500ms"))
    a, b = Member(server, "a"), Member(server, "b")
    assert (a.join(), b.join()) == (0, 0)

    def has_all():
        assert b.beat() == 0
        return len(b.has) == 4

    server.eventually(has_all, "the other's partitions")
    assert a.beat() == UNKNOWN_MEMBER


def test_groups_are_shown(fresh):
    server = with_topic(fresh())
    a, _ = two_in(server, instance="one")
    body = a.ask(LIST_GROUPS, 5, array(["Stable"], text) + array(["consumer"], text) + b"\0")
    body.take("ih")
    assert body.array(lambda: (body.text(), body.text(), body.text(), body.text(), body.number())[:4]) == [
        ("readers", "consumer", "Stable", "consumer")
    ]
    body = a.ask(LIST_GROUPS, 5, array([], text) + array(["classic"], text) + b"\0")
    body.take("ih")
    assert body.array(lambda: None) == []
    body = a.ask(DESCRIBE_CLASSIC, 5, array(["readers"], text) + b"\0\0")
    body.take("i")
    assert body.number() == 2 and (body.take("h"), body.text(), body.text()) == (0, "readers", "Dead")
    body = a.ask(DELETE_GROUPS, 2, array(["readers"], text) + b"\0")
    body.take("i")
    assert body.array(lambda: (body.text(), body.take("h"), body.number())[1]) == [NON_EMPTY]
    assert Member(server, "x", group="none").describe()["error"] == NOT_FOUND

    def run(*args):
        environment = clean_environment(BIDE_SERVER=f"http://127.0.0.1:{server.port}")
        done = subprocess.run([BIN, *args], capture_output=True, text=True, env=environment, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("groups").splitlines()[1].split() == ["readers", "consumer", "stable", "uniform", "2", "2", "0"]
    told = json.loads(run("group", "info", "readers", "--json"))
    assert told["type"] == "consumer" and [m["instance"] for m in told["members"]] == ["one", None]
    assert sum(len(t["partitions"]) for m in told["members"] for t in m["assigned"]) == 4
    assert re.search(r"one\s+2\s+a$", run("group", "info", "readers"), re.M)
    metrics = server.metrics()
    assert metrics["bide_group_consumers"] == 2 and metrics["bide_group_assignments_total"] == 2
