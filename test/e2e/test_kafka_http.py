"""What Kafka clients wrote, read over HTTP: committed records only, as they were given, and waits that end with the marker."""

import json

import pytest

from bide_kafka import KafkaServer
from test_streams_sse import Follower

confluent = pytest.importorskip("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

CLIENT_S = 30
PARTITION = "/v1/stream/t/0"


@pytest.fixture
def server(tmp_path):
    running = KafkaServer(tmp_path / "data").start()
    admin = AdminClient({"bootstrap.servers": running.kafka})
    for future in admin.create_topics([NewTopic("t", 1, 1)]).values():
        future.result(CLIENT_S)
    yield running
    if running.running:
        running.kill9()


class Writer:
    def __init__(self, server, name):
        self.producer = confluent.Producer({"bootstrap.servers": server.kafka, "transactional.id": name})
        self.producer.init_transactions(CLIENT_S)

    def write(self, *values, key=None):
        self.producer.begin_transaction()
        for value in values:
            self.producer.produce("t", value, key)
        assert self.producer.flush(CLIENT_S) == 0

    def end(self, commit):
        (self.producer.commit_transaction if commit else self.producer.abort_transaction)(CLIENT_S)


def plain(server, value, **more):
    producer = confluent.Producer({"bootstrap.servers": server.kafka})
    producer.produce("t", value, **more)
    assert producer.flush(CLIENT_S) == 0


def read(server, place="-1", query=""):
    return server.api.ok("GET", f"{PARTITION}?offset={place}{query}")


def poll(server, place, query=""):
    before = server.parked()
    conn = server.open().ask("GET", f"{PARTITION}?offset={place}&live=long-poll{query}")
    server.until_parked(before + 1)
    return conn


def test_what_is_not_committed_is_not_read(server):
    one, two = Writer(server, "one"), Writer(server, "two")
    plain(server, b"a")
    one.write(b"lost", b"lost")
    plain(server, b"b")  # behind what is open: not told yet
    two.write(b"c")
    two.end(True)
    answer = read(server)
    assert answer.body == b"a" and answer.header("Stream-Up-To-Date") == "true"
    place = answer.header("Stream-Next-Offset")
    head = server.api.call("HEAD", PARTITION)
    assert head.header("Stream-Next-Offset") == place
    assert read(server, "now").header("Stream-Next-Offset") == place
    one.end(False)
    assert read(server, place).body == b"bc"
    assert read(server).body == b"abc"
    assert server.api.ok("GET", f"{PARTITION}?tail=3").body in (b"bc", b"c", b"abc")
    server.kill9()
    server.restart()
    assert read(server).body == b"abc"


def test_a_wait_ends_with_the_commit_and_not_with_an_abort(server):
    writer = Writer(server, "w")
    plain(server, b"a", key=b"k")
    place = read(server).header("Stream-Next-Offset")
    waits = [poll(server, place), poll(server, place), poll(server, place, "&key=k"), poll(server, place, "&min_bytes=10")]
    writer.write(b"lost" * 100, key=b"k")
    server.pulse()
    assert server.parked() == len(waits)
    writer.end(False)
    server.pulse()
    assert server.parked() >= len(waits) - 1  # who counts bytes looks for himself
    server.until_parked(len(waits))
    writer.write(b"kept" * 100, key=b"k")
    server.pulse()
    assert server.parked() == len(waits)
    writer.end(True)
    for conn in waits:
        answer = conn.answer()
        assert answer.status == 200 and answer.body == b"kept" * 100
        assert answer.header("Stream-Up-To-Date") == "true"


def test_who_begins_amid_what_was_aborted_waits(server):
    writer = Writer(server, "w")
    writer.write(b"lost")
    writer.end(False)
    conn = poll(server, "-1")
    plain(server, b"a")
    answer = conn.answer()
    assert answer.status == 200 and answer.body == b"a"
    answer = server.api.call("GET", f"{PARTITION}?offset=-1&live=long-poll&wait=0")
    assert answer.status == 200 and answer.body == b"a"


def test_events_come_with_the_commit(server):
    writer = Writer(server, "w")
    follower = Follower(server, PARTITION, query="&format=records")
    follower.head()
    assert follower.event()[0] == "control"
    writer.write(b"lost")
    writer.end(False)
    writer.write(b"one", b"two")
    writer.end(True)
    while True:
        name, data = follower.event()
        if name == "data":
            break
        assert name == "control"
    assert [record["value"] for record in json.loads(data)] == ["one", "two"]
    follower.conn.close()


def test_records_are_told_as_they_were_given(server):
    headers = [("a", b"1"), ("a", b"2"), ("n", None), ("b", b"\xff")]
    plain(server, b"value", key=b"key", headers=headers, timestamp=1_700_000_000_123)
    plain(server, None, key=b"\xfe\xff", timestamp=1_700_000_000_456)
    plain(server, b"\x00\xff")
    first, second, third = read(server, query="&format=records").json()
    assert first["key"] == "key" and first["value"] == "value"
    assert first["timestamp"] == "2023-11-14T22:13:20.123Z"
    assert first["headers"] == [
        {"key": "a", "value": "1"},
        {"key": "a", "value": "2"},
        {"key": "n", "value": None},
        {"key": "b", "value": {"base64": "/w=="}},
    ]
    assert second["key"] == {"base64": "/v8="} and second["value"] is None and second["headers"] == []
    assert second["timestamp"] == "2023-11-14T22:13:20.456Z"
    assert third["key"] is None and third["value"] == {"base64": "AP8="}
    assert first["next"] == second["offset"] and second["next"] == third["offset"]
    assert read(server, query="&key=key&format=records").json() == [first]
