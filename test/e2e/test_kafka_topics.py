"""Topics over HTTP and by the command line: made, looked at, altered, deleted; and appends whose partition the key chooses, held
against a client of the Kafka protocol."""

import json
import struct
import subprocess

import pytest

from bide_kafka import KafkaServer, kafka_server, name_of_test, produce
from bide_server import BIN, clean_environment

kafka_python = pytest.importorskip("kafka")
from kafka import KafkaConsumer, TopicPartition  # noqa: E402
from kafka.partitioner.default import murmur2  # noqa: E402
from kafka.record.default_records import DefaultRecordBatchBuilder  # noqa: E402

CLIENT_S = 60
BYTES = {"Content-Type": "application/octet-stream"}


server = kafka_server("--max-partitions", "20", "--topic-partitions", "3")
topic = name_of_test()


def change(server, method, topic, **what):
    return server.api.call(method, f"/v1/topics/{topic}", json.dumps(what).encode(), {"Content-Type": "application/json"})


def look(server, topic):
    return server.api.call("GET", f"/v1/topics/{topic}").json()


def append(server, path, value, key=None):
    headers = BYTES | ({"Record-Key": key} if key else {})
    return server.api.call("POST", f"/v1/stream/{path}", value, headers)


def test_made_altered_deleted(server, topic):
    made = change(server, "PUT", topic, partitions=2, settings={"retention.ms": "60000"})
    assert made.status == 201 and made.header("Location") == f"/v1/topics/{topic}"
    assert change(server, "PUT", topic, partitions=2, settings={"retention.ms": "60000"}).status == 200
    assert change(server, "PUT", topic).status == 200
    assert change(server, "PUT", topic, partitions=3).status == 409
    assert change(server, "PUT", topic, settings={"retention.ms": "1"}).status == 409
    told = look(server, topic)
    assert (told["topic"], told["settings"]) == (topic, {"retention.ms": "60000"})
    assert [(p["partition"], p["earliest"], p["end"]) for p in told["partitions"]] == [(0, 0, 0), (1, 0, 0)]
    changed = change(server, "PATCH", topic, partitions=4, settings={"max.message.bytes": "2000"}, unset=["retention.ms"])
    assert changed.status == 204
    told = look(server, topic)
    assert told["settings"] == {"max.message.bytes": "2000"} and len(told["partitions"]) == 4
    assert change(server, "PATCH", topic, partitions=4).status == 204
    assert append(server, f"{topic}/0", b"x" * 3000).status == 413
    assert server.api.call("DELETE", f"/v1/topics/{topic}").status == 204
    assert server.api.call("GET", f"/v1/topics/{topic}").status == 404
    assert server.api.call("DELETE", f"/v1/topics/{topic}").status == 404
    assert change(server, "PATCH", topic, partitions=4).status == 404


def test_what_makes_no_sense_is_refused_whole(server, topic):
    assert change(server, "PUT", topic, partitions=21).status == 400
    assert change(server, "PUT", topic, settings={"no.such": "1"}).status == 400
    assert change(server, "PUT", topic, settings={"retention.ms": 5}).status == 400
    assert change(server, "PUT", topic, unset=["retention.ms"]).status == 400
    assert change(server, "PUT", "__jobs").status == 400
    assert change(server, "PUT", "a%20b").status == 400
    assert server.api.call("GET", f"/v1/topics/{topic}").status == 404
    assert change(server, "PUT", topic).status == 201
    assert len(look(server, topic)["partitions"]) == 3
    # Either all of it is done or nothing.
    assert change(server, "PATCH", topic, partitions=2, settings={"retention.ms": "1"}).status == 400
    assert change(server, "PATCH", topic, partitions=5, settings={"retention.ms": "x"}).status == 400
    told = look(server, topic)
    assert told["settings"] == {} and len(told["partitions"]) == 3
    server.api.call("PUT", f"/v1/stream/{topic}-s/1", b"", {"Content-Type": "text/plain"})
    assert change(server, "PUT", f"{topic}-s").status == 409


def test_listed_in_pages(tmp_path):
    server = KafkaServer(tmp_path / "data").start()
    for n in range(5):
        assert change(server, "PUT", f"t{n}", partitions=n + 1).status == 201
    found, after = [], ""
    while after is not None:
        page = server.api.call("GET", f"/v1/topics?limit=2{after and '&after=' + after}").json()
        assert len(page["topics"]) <= 2
        found += [(row["topic"], row["partitions"]) for row in page["topics"]]
        after = page["next"]
    assert found == [(f"t{n}", n + 1) for n in range(5)]
    assert server.stop() == 0


def test_the_key_chooses_the_partition(server, topic):
    change(server, "PUT", topic, partitions=7)
    keys = [f"key-{n}" for n in range(40)]
    for key in keys:
        done = append(server, topic, key.encode(), key)
        assert done.status == 204
        assert int(done.header("Stream-Partition")) == (murmur2(key.encode()) & 0x7FFFFFFF) % 7
    # Without one they go round.
    assert sorted(int(append(server, topic, b"none").header("Stream-Partition")) for _ in range(7)) == list(range(7))
    consumer = KafkaConsumer(bootstrap_servers=server.kafka, auto_offset_reset="earliest", consumer_timeout_ms=CLIENT_S * 1000)
    consumer.assign([TopicPartition(topic, n) for n in range(7)])
    got = [next(consumer) for _ in range(47)]
    consumer.close()
    assert sorted((r.key or b"", r.value) for r in got) == sorted([(k.encode(), k.encode()) for k in keys] + [(b"", b"none")] * 7)
    assert all(r.partition == (murmur2(r.key) & 0x7FFFFFFF) % 7 for r in got if r.key)
    assert append(server, f"{topic}-other", b"x").status == 404


def test_a_compacted_topic_wants_a_key(server, topic):
    change(server, "PUT", topic, settings={"cleanup.policy": "compact"})
    assert append(server, topic, b"x").status == 400
    assert append(server, f"{topic}/0", b"x").status == 400
    assert append(server, topic, b"x", "k").status == 204


def test_a_compacted_topic_tells_which_records_lack_a_key(server, topic):
    change(server, "PUT", topic, settings={"cleanup.policy": "compact"})
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for n, key in enumerate((b"k", None, b"", None)):
        builder.append(n, 1000, key, b"x", [])
    with server.open_kafka() as conn:
        body = conn.send(produce(1, topic, 0, bytes(builder.build()), version=8)).answer()[1]
    (error,) = struct.unpack(">h", body[14 + len(topic) :][:2])
    errors = b"".join(struct.pack(">ih", n, -1) for n in (1, 3))
    assert error == 87
    assert struct.pack(">i", 2) + errors in body


def test_by_the_command_line(server, topic):
    environment = clean_environment(BIDE_SERVER=f"http://127.0.0.1:{server.port}")

    def run(*arguments):
        done = subprocess.run([BIN, *arguments], env=environment, capture_output=True, timeout=CLIENT_S)
        return done.returncode, done.stdout.decode()

    assert run("topic", "create", topic, "--partitions", "2", "--set", "retention.ms=60000") == (0, "")
    assert run("topic", "create", topic) == (0, "")
    assert run("topic", "create", topic, "-p", "5")[0] not in (0, 2)
    append(server, f"{topic}/1", b"hello")
    code, told = run("topic", "info", topic)
    assert code == 0 and "retention.ms=60000" in told
    assert [line.split()[:4] for line in told.splitlines()[-2:]] == [["0", "0", "0", "0"], ["1", "0", "1", "1"]]
    assert json.loads(run("topic", "info", topic, "--json")[1])["partitions"][1]["end"] == 1
    (row,) = [line.split() for line in run("topics")[1].splitlines() if line.split()[0] == topic]
    assert row[1:3] == ["2", "1"] and row[-1] == "retention.ms=60000"
    assert run("topic", "alter", topic, "-p", "3", "--set", "cleanup.policy=compact", "--unset", "retention.ms") == (0, "")
    (row,) = [line.split() for line in run("topics")[1].splitlines() if line.split()[0] == topic]
    assert row[1] == "3" and row[-1] == "cleanup.policy=compact"
    assert run("topic", "delete", topic) == (0, "")
    assert run("topic", "info", topic)[0] not in (0, 2)
    wrong = "topic", "topic info", "topic drop t", "topic alter t", "topic create t --unset a", "topic info t -p 1"
    for words in (*wrong, "topic create t --set x", "topics x"):
        assert run(*words.split())[0] == 2
