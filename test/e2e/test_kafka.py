"""Topics over the Kafka door: by hand for what a client library would hide, and by clients that others wrote: kcat (librdkafka),
kafka-python, and confluent-kafka where it is installed."""

import struct
import subprocess
import time

import pytest

from bide_kafka import (
    FETCH,
    LIST_OFFSETS,
    METADATA,
    api_versions,
    fetch,
    fetch_in_session,
    fetched_in_session,
    flexible,
    frame,
    kafka_server,
    kafka_servers,
    metadata,
    name_of_test,
    produce,
    string,
)

kafka_python = pytest.importorskip("kafka")
from kafka.record.default_records import DefaultRecordBatchBuilder  # noqa: E402

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CLIENT_S = 60


server = kafka_server()
fresh = kafka_servers()
topic = name_of_test()


def kcat(server, *arguments, stdin=b""):
    done = subprocess.run(["kcat", "-b", server.kafka, *arguments], input=stdin, capture_output=True, timeout=CLIENT_S)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


NOW_MS = int(time.time() * 1000)  # what is older than a topic keeps is let go at once


def batch(*values, key=None, time_ms=NOW_MS):
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for n, value in enumerate(values):
        builder.append(n, time_ms + n, key, value, [])
    return bytes(builder.build())


def produced(body):
    """Of an answer to Produce 3 about one partition: error, base offset."""
    (count, length) = struct.unpack(">ih", body[:6])
    assert count == 1
    (count, partition, error, base, time_ms) = struct.unpack(">iihqq", body[6 + length : 32 + length])
    assert count == 1
    return error, base


def fetched(body):
    """Of an answer to Fetch 4 about one partition: error, high watermark, records."""
    (_, count, length) = struct.unpack(">iih", body[:10])
    assert count == 1
    at = 10 + length
    (count, partition, error, high, stable, aborted, size) = struct.unpack(">iihqqii", body[at : at + 34])
    assert (count, aborted) == (1, -1) and size == len(body) - at - 34
    return error, high, body[at + 34 :]


def made(server, topic):
    """A topic that is there."""
    with server.open_kafka() as conn:
        conn.send(metadata(1, topic)).answer()
    return topic


# -- by hand


def test_a_batch_is_given_back_as_it_came_but_for_its_place(server, topic):
    made(server, topic)
    one, two = batch(b"one"), batch(b"two", b"three")
    with server.open_kafka() as conn:
        assert produced(conn.send(produce(1, topic, 0, one)).answer()[1]) == (0, 0)
        assert produced(conn.send(produce(2, topic, 0, two)).answer()[1]) == (0, 1)
        error, high, records = fetched(conn.send(fetch(3, topic, 0, 0)).answer()[1])
        assert (error, high) == (0, 3)
        assert records == one[:12] + bytes(4) + one[16:] + struct.pack(">q", 1) + two[8:12] + bytes(4) + two[16:]
        # From within a batch that batch comes, and nothing before it.
        error, high, records = fetched(conn.send(fetch(4, topic, 0, 2)).answer()[1])
        assert records[:8] == struct.pack(">q", 1)
        assert fetched(conn.send(fetch(5, topic, 0, 3)).answer()[1]) == (0, 3, b"")
        assert fetched(conn.send(fetch(6, topic, 0, 4)).answer()[1])[0] == 1
        assert fetched(conn.send(fetch(7, topic, 4, 0)).answer()[1])[0] == 3
        assert fetched(conn.send(fetch(8, "nowhere", 0, 0)).answer()[1])[0] == 3


def topics_told(body, version):
    """Of an answer to Metadata 0 or 1: {name: (error, partitions)}."""
    (brokers,) = struct.unpack(">i", body[:4])
    at = 4
    for _ in range(brokers):
        (length,) = struct.unpack(">h", body[at + 4 : at + 6])
        at += 6 + length + 4 + (2 if version else 0)  # no rack
    at += 4 if version else 0
    (topics,) = struct.unpack(">i", body[at : at + 4])
    at, told = at + 4, {}
    for _ in range(topics):
        error, length = struct.unpack(">hh", body[at : at + 4])
        name = body[at + 4 : at + 4 + length].decode()
        at += 4 + length + (1 if version else 0)
        (partitions,) = struct.unpack(">i", body[at : at + 4])
        at += 4
        for _ in range(partitions):
            (replicas,) = struct.unpack(">i", body[at + 10 : at + 14])
            at += 14 + 4 * replicas
            (replicas,) = struct.unpack(">i", body[at : at + 4])
            at += 4 + 4 * replicas
        told[name] = (error, partitions)
    assert at == len(body)
    return told


def test_no_topics_are_all_in_the_oldest_version_and_none_since(fresh):
    server = fresh()
    none, null = struct.pack(">i", 0), struct.pack(">i", -1)
    with server.open_kafka() as conn:
        assert topics_told(conn.send(frame(METADATA, 0, 1, none)).answer()[1], 0) == {}
        made(server, "t")
        assert topics_told(conn.send(frame(METADATA, 0, 2, none)).answer()[1], 0) == {"t": (0, 4)}
        assert topics_told(conn.send(frame(METADATA, 1, 3, none)).answer()[1], 1) == {}
        assert topics_told(conn.send(frame(METADATA, 1, 4, null)).answer()[1], 1) == {"t": (0, 4)}
        names = struct.pack(">i", 4) + b"".join(string(name) for name in ("new", "t", "no name", "new"))
        assert topics_told(conn.send(frame(METADATA, 1, 5, names)).answer()[1], 1) == {
            "new": (0, 4),
            "t": (0, 4),
            "no name": (17, 0),
        }


def test_offsets_as_the_oldest_clients_ask(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        conn.send(produce(1, topic, 0, batch(b"a", b"b", b"c"))).answer()
        for at, offset in ((-1, 3), (-2, 0), (NOW_MS + 1, 1)):
            ask = struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">iiqi", 1, 0, at, 1)
            body = conn.send(frame(LIST_OFFSETS, 0, 2, ask)).answer()[1]
            assert struct.unpack(">iihiq", body[-22:]) == (1, 0, 0, 1, offset)


def test_offsets_as_where_a_log_lies_in_two_places(server, topic):
    made(server, topic)
    name = bytes([len(topic) + 1]) + topic.encode()
    with server.open_kafka() as conn:
        conn.send(produce(1, topic, 0, batch(b"a", b"b", b"c"))).answer()
        for version, at, offset, epoch in ((8, -4, 0, 0), (9, -5, -1, -1), (9, -3, 2, 0)):
            ask = struct.pack(">ibb", -1, 0, 2) + name + struct.pack(">biiqbbb", 2, 0, -1, at, 0, 0, 0)
            body = conn.send(flexible(LIST_OFFSETS, version, 2, ask)).answer()[1]
            error, _, found, found_epoch = struct.unpack(">hqqi", body[-25:-3])
            assert (error, found, found_epoch) == (0, offset, epoch)


def test_a_batch_behind_what_makes_its_topic_finds_it(server, topic):
    with server.open_kafka() as conn:
        conn.send(metadata(1, topic) + produce(2, topic, 0, batch(b"a")) + fetch(3, topic, 0, 0))
        assert conn.answer()[0] == 1
        assert produced(conn.answer()[1]) == (0, 0)
        assert len(fetched(conn.answer()[1])[2]) > 0


def test_pipelined_batches_are_appended_in_order(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        conn.send(b"".join(produce(n, topic, 0, batch(b"%d" % n)) for n in range(100)))
        answers = [conn.answer() for _ in range(100)]
    assert [(c, produced(body)) for c, body in answers] == [(n, (0, n)) for n in range(100)]


def batches_of(records):
    """[(base offset, how many offsets)] of batches one behind the other."""
    told = []
    while records:
        base, length = struct.unpack(">qi", records[:12])
        assert 12 + length <= len(records), "whole batches only"
        told.append((base, struct.unpack(">i", records[23:27])[0] + 1))
        records = records[12 + length :]
    return told


def test_very_many_small_batches_are_given_back_each_once_from_wherever(server, topic):
    made(server, topic)
    count = 2000
    with server.open_kafka() as conn:
        for first in range(0, count, 50):
            conn.send(b"".join(produce(n, topic, 0, batch(b"a", b"b")) for n in range(first, first + 50)))
            assert [produced(conn.answer()[1]) for _ in range(50)] == [(0, 2 * n) for n in range(first, first + 50)]
        for start in (0, 1, 2, 777, 1998, 3999):
            at = start
            while at < 2 * count:
                batches = batches_of(fetched(conn.send(fetch(1, topic, 0, at, max_bytes=20_000)).answer()[1])[2])
                assert batches == [(2 * (at // 2) + 2 * n, 2) for n in range(len(batches))] and batches
                at = batches[-1][0] + 2


def test_a_topic_is_found_by_its_id_as_long_as_it_is_there(server, topic):
    from kafka.admin import NewTopic

    def metadata_id():
        """Metadata 10 by name."""
        name = topic.encode()
        message = b"\x02" + bytes(16) + bytes([len(name) + 1]) + name + bytes(5)
        body = conn.send(flexible(METADATA, 10, 1, message)).answer()[1]
        return body[body.index(name) + len(name) :][:16]

    def fetch_id(topic_id, offset):
        """Fetch 13: the error of its one partition, and what it has."""
        partition = struct.pack(">iiqiqi", 0, -1, offset, -1, -1, 1 << 20) + b"\x00"
        message = struct.pack(">iiiibii", -1, 0, 1, 1 << 20, 0, 0, -1) + b"\x02" + topic_id + b"\x02" + partition + b"\x00"
        body = conn.send(flexible(FETCH, 13, 2, message + b"\x01\x01\x00")).answer()[1]
        assert body[12:28] == topic_id and body[:11] == bytes(11)
        return struct.unpack(">h", body[33:35])[0], body

    admin = kafka_python.KafkaAdminClient(bootstrap_servers=server.kafka)
    admin.create_topics([NewTopic(topic, 1, 1)])
    with server.open_kafka() as conn:
        conn.send(produce(1, topic, 0, batch(b"first life"))).answer()
        first = metadata_id()
        error, body = fetch_id(first, 0)
        assert error == 0 and b"first life" in body
        admin.delete_topics([topic])
        assert fetch_id(first, 0)[0] == 100
        admin.create_topics([NewTopic(topic, 1, 1)])
        assert metadata_id() != first
        assert fetch_id(first, 0)[0] == 100
    admin.close()


def broken_batches():
    good = batch(b"value")
    two = batch(b"a") + batch(b"b")
    yield "nothing", b"", 87
    yield "damaged", good[:-1] + bytes([good[-1] ^ 1]), 2
    yield "cut-off", good[:-1], 2
    yield "head-alone", good[:60], 2
    yield "two-batches", two, 87
    yield "old-magic", good[:16] + b"\x01" + good[17:], 43


@pytest.mark.parametrize("name, records, error", broken_batches(), ids=[row[0] for row in broken_batches()])
def test_what_is_no_batch_is_refused_and_the_connection_goes_on(server, topic, name, records, error):
    made(server, topic)
    with server.open_kafka() as conn:
        assert produced(conn.send(produce(1, topic, 0, records)).answer()[1]) == (error, -1)
        assert produced(conn.send(produce(2, topic, 0, batch(b"good"))).answer()[1]) == (0, 0)


def test_who_wants_no_answer_gets_none_and_learns_of_an_error_by_the_end(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        conn.send(produce(1, topic, 0, batch(b"a"), acks=0) + produce(2, topic, 0, batch(b"b")))
        correlation, body = conn.answer()
        assert (correlation, produced(body)) == (2, (0, 1))
        assert conn.send(produce(3, topic, 99, batch(b"c"), acks=0)).ended()


def test_acks_that_there_are_not(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        assert produced(conn.send(produce(1, topic, 0, batch(b"a"), acks=2)).answer()[1]) == (21, -1)


def test_a_fetch_waits_until_something_is_there(server, topic):
    made(server, topic)
    with server.open_kafka() as reader, server.open_kafka() as writer:
        reader.send(fetch(1, topic, 0, 0, wait_ms=30000))
        server.until_parked_kafka(1)
        writer.send(produce(1, topic, 1, batch(b"elsewhere"))).answer()
        assert reader.quiet()
        writer.send(produce(2, topic, 0, batch(b"here"))).answer()
        error, high, records = fetched(reader.answer()[1])
        assert (error, high) == (0, 1) and b"here" in records
    server.until_parked_kafka(0)


def test_a_fetch_waits_for_as_many_bytes_as_it_wants(server, topic):
    made(server, topic)
    one = batch(bytes(1000))
    with server.open_kafka() as reader, server.open_kafka() as writer:
        reader.send(fetch(1, topic, 0, 0, wait_ms=30000, min_bytes=3 * len(one)))
        for n in range(2):
            server.until_parked_kafka(1)
            writer.send(produce(n, topic, 0, one)).answer()
        server.until_parked_kafka(1)
        assert reader.quiet()
        writer.send(produce(3, topic, 0, one)).answer()
        assert len(fetched(reader.answer()[1])[2]) == 3 * len(one)
        # At its deadline it has what is there.
        reader.send(fetch(2, topic, 0, 2, wait_ms=50, min_bytes=3 * len(one)))
        assert len(fetched(reader.answer()[1])[2]) == len(one)


def test_at_its_deadline_a_fetch_is_answered_without_records(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        assert fetched(conn.send(fetch(1, topic, 0, 0, wait_ms=50)).answer()[1]) == (0, 0, b"")


def test_a_request_behind_a_waiting_fetch_ends_its_wait(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        conn.send(fetch(1, topic, 0, 0, wait_ms=30000))
        server.until_parked_kafka(1)
        conn.send(api_versions(2))
        correlation, body = conn.answer()
        assert (correlation, fetched(body)) == (1, (0, 0, b""))
        assert conn.answer()[0] == 2
        # All in one piece.
        conn.send(fetch(3, topic, 0, 0, wait_ms=30000) + fetch(4, topic, 0, 0, wait_ms=30000) + api_versions(5))
        assert [conn.answer()[0] for _ in range(3)] == [3, 4, 5]
    server.until_parked_kafka(0)


def test_who_leaves_waits_no_longer(server, topic):
    made(server, topic)
    for leave in ("close", "end"):
        conn = server.open_kafka()
        conn.send(fetch(1, topic, 0, 0, wait_ms=30000))
        server.until_parked_kafka(1)
        if leave == "end":
            assert conn.end().ended()
        conn.sock.close()
        server.until_parked_kafka(0)


def test_a_waiting_fetch_hears_that_its_topic_is_gone(server, topic):
    made(server, topic)
    with server.open_kafka() as conn:
        conn.send(fetch(1, topic, 0, 0, wait_ms=30000))
        server.until_parked_kafka(1)
        admin = kafka_python.KafkaAdminClient(bootstrap_servers=server.kafka)
        admin.delete_topics([topic])
        admin.close()
        assert fetched(conn.answer()[1])[0] == 3


def test_waits_are_answered_when_the_server_leaves(fresh):
    server = fresh("--drain", "0s")
    made(server, "t")
    with server.open_kafka() as conn:
        conn.send(fetch(1, "t", 0, 0, wait_ms=30000))
        server.until_parked_kafka(1)
        server.signal(15)
        assert fetched(conn.answer()[1]) == (0, 0, b"")
        assert conn.ended()
    assert server.wait_exit() == 0


def test_a_reader_who_takes_nothing_is_cut_and_keeps_nothing(fresh):
    server = fresh("--write-timeout", "300ms")
    made(server, "t")
    with server.open_kafka() as conn:
        for n in range(8):
            conn.send(produce(n, "t", 0, batch(bytes(900_000)))).answer()
    with server.open_kafka(receive_buffer=4096) as conn:
        conn.send(b"".join(fetch(n, "t", 0, 0, max_bytes=10 << 20) for n in range(50)))
        server.eventually(lambda: server.metrics()["bide_kafka_timeouts_total"] == 1, "cut")
    server.eventually(lambda: server.metrics()["bide_kafka_connections"] == 0, "closed")
    with server.open_kafka() as conn:
        assert len(fetched(conn.send(fetch(1, "t", 0, 0, max_bytes=10 << 20)).answer()[1])[2]) > 8 * 900_000


def test_a_slow_reader_gets_long_batches_as_they_were(server, topic):
    long = batch(bytes(range(256)) * 3500)
    with server.open_kafka() as conn, server.open_kafka(receive_buffer=4096) as slow:
        conn.send(metadata(1, topic)).answer()
        for n in range(5):
            conn.send(produce(2 + n, topic, 0, long)).answer()
        slow.send(fetch(1, topic, 0, 0, max_bytes=10 << 20) + fetch(2, topic, 0, 3, max_bytes=10 << 20))
        for offset, count in ((0, 5), (3, 2)):
            error, high, records = fetched(slow.answer()[1])
            assert (error, high, len(records)) == (0, 5, count * len(long))
            for n in range(count):
                one = records[n * len(long) : (n + 1) * len(long)]
                assert one[:8] == struct.pack(">q", offset + n) and one[12:] == b"\0\0\0\0" + long[16:]


def test_a_session_names_its_partitions_once(server, topic):
    with server.open_kafka() as reader, server.open_kafka() as writer:
        writer.send(metadata(1, topic)).answer()
        reader.send(fetch_in_session(1, 0, 0, {topic: {0: 0, 1: 0, 2: 0, 3: 0}}))
        error, session, told = fetched_in_session(reader.answer()[1])
        assert error == 0 and session > 0 and len(told) == 4
        before = server.parked_kafka()
        reader.send(fetch_in_session(2, session, 1, wait_ms=30000))
        server.until_parked_kafka(before + 1)
        writer.send(produce(2, topic, 3, batch(b"a"))).answer()
        assert fetched_in_session(reader.answer()[1]) == (0, session, {(topic, 3): (0, 1, len(batch(b"a")))})
        reader.send(fetch_in_session(3, session, 2, {topic: {3: 1}}, wait_ms=50))
        assert fetched_in_session(reader.answer()[1]) == (0, session, {})
        # Its topic goes while it waits; and is told so until it is taken out.
        reader.send(fetch_in_session(4, session, 3, wait_ms=30000))
        server.until_parked_kafka(before + 1)
        admin = kafka_python.KafkaAdminClient(bootstrap_servers=server.kafka)
        admin.delete_topics([topic])
        admin.close()
        assert fetched_in_session(reader.answer()[1])[2][topic, 0][0] == 3
        with server.open_kafka() as other:
            other.send(fetch_in_session(5, session, 4))
            assert fetched_in_session(other.answer()[1])[0] == 70


def test_as_many_fetch_sessions_as_there_may_be(fresh):
    server = fresh("--max-fetch-sessions", "1", "--threads", "1")
    with server.open_kafka() as one, server.open_kafka() as two:
        one.send(metadata(1, "t")).answer()
        assert fetched_in_session(one.send(fetch_in_session(2, 0, 0, {"t": {0: 0}})).answer()[1])[1] > 0
        error, session, told = fetched_in_session(two.send(fetch_in_session(3, 0, 0, {"t": {0: 0}})).answer()[1])
        assert (error, session, len(told)) == (0, 0, 1)
        server.eventually(lambda: server.metrics()["bide_kafka_fetch_sessions"] == 1, "counted")
        one.sock.close()
        server.eventually(lambda: server.metrics()["bide_kafka_fetch_sessions"] == 0, "it ends with its connection")
        assert fetched_in_session(two.send(fetch_in_session(4, 0, 0, {"t": {0: 0}})).answer()[1])[1] > 0


def test_whatever_it_asks_for_a_fetch_has_a_limit(fresh):
    server = fresh("--max-fetch", "64K")
    made(server, "t")
    with server.open_kafka() as conn:
        for n in range(8):
            conn.send(produce(n, "t", 0, batch(bytes(40_000)))).answer()
        assert len(fetched(conn.send(fetch(1, "t", 0, 0, max_bytes=10 << 20)).answer()[1])[2]) < 3 * 40_000


def test_what_was_acknowledged_is_there_after_a_crash(fresh):
    server = fresh()
    made(server, "t")
    with server.open_kafka() as conn:
        for n in range(20):
            assert produced(conn.send(produce(n, "t", n % 4, batch(b"%d" % n))).answer()[1]) == (0, n // 4)
    server.kill9()
    server.start()
    with server.open_kafka() as conn:
        for partition in range(4):
            error, high, records = fetched(conn.send(fetch(1, "t", partition, 0)).answer()[1])
            assert (error, high) == (0, 5)
            assert produced(conn.send(produce(2, "t", partition, batch(b"more"))).answer()[1]) == (0, 5)


# -- kcat


def test_kcat_lists_the_server_and_its_topics(server, topic):
    made(server, topic)
    said = kcat(server, "-L").decode()
    assert f"broker 1 at {server.kafka} (controller)" in said
    assert f'topic "{topic}" with 4 partitions:' in said


@pytest.mark.parametrize("codec", CODECS)
def test_kcat_writes_and_reads(server, topic, codec):
    lines = b"".join(b"key%d:line %d\n" % (n, n) for n in range(500))
    kcat(server, "-P", "-t", topic, "-K:", "-z", codec, "-p", "0", stdin=lines)
    assert kcat(server, "-C", "-t", topic, "-K:", "-e", "-q", "-p", "0") == lines
    assert kcat(server, "-C", "-t", topic, "-K:", "-e", "-q", "-p", "0", "-o", "490", "-c", "1") == b"key490:line 490\n"
    assert kcat(server, "-C", "-t", topic, "-K:", "-e", "-q", "-p", "0", "-o", "-1") == b"key499:line 499\n"


def test_kcat_is_told_where_to_come(fresh):
    server = fresh("--advertise", "localhost:9")
    assert "broker 1 at localhost:9" in kcat(server, "-L").decode()


# -- kafka-python


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_kafka_python_writes_and_reads(server, topic, codec):
    producer = kafka_python.KafkaProducer(bootstrap_servers=server.kafka, acks="all", compression_type=codec)
    sent = [producer.send(topic, b"value %d" % n, key=b"key", partition=1, timestamp_ms=NOW_MS + n) for n in range(100)]
    assert [one.get(CLIENT_S).offset for one in sent] == list(range(100))
    producer.close()
    consumer = kafka_python.KafkaConsumer(bootstrap_servers=server.kafka, consumer_timeout_ms=CLIENT_S * 1000)
    place = kafka_python.TopicPartition(topic, 1)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    records = [next(consumer) for _ in range(100)]
    assert [(r.offset, r.key, r.value, r.timestamp) for r in records] == [
        (n, b"key", b"value %d" % n, NOW_MS + n) for n in range(100)
    ]
    assert consumer.beginning_offsets([place]) == {place: 0}
    assert consumer.end_offsets([place]) == {place: 100}
    found = consumer.offsets_for_times({place: NOW_MS + 50})[place]
    assert (found.offset, found.timestamp) == (50, NOW_MS + 50)
    assert consumer.offsets_for_times({place: NOW_MS + 5000}) == {place: None}
    assert consumer.partitions_for_topic(topic) == {0, 1, 2, 3}
    consumer.close()


def test_kafka_python_makes_grows_describes_and_deletes_topics(server, topic):
    from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

    admin = kafka_python.KafkaAdminClient(bootstrap_servers=server.kafka)
    admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "1000"})])
    with pytest.raises(kafka_python.errors.TopicAlreadyExistsError):
        admin.create_topics([NewTopic(topic, 2, 1)])
    with pytest.raises(kafka_python.errors.InvalidTopicError):
        admin.create_topics([NewTopic("no name", 2, 1)])
    with pytest.raises(kafka_python.errors.InvalidConfigurationError):
        admin.create_topics([NewTopic(topic + "2", 2, 1, topic_configs={"no.such": "1"})])
    admin.create_partitions({topic: NewPartitions(3)})
    assert len(admin.describe_topics([topic])[0]["partitions"]) == 3
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    (answer,) = admin.describe_configs([resource])
    values = {config[0]: config[1] for config in answer.resources[0][4]}
    assert values["retention.ms"] == "1000" and values["cleanup.policy"] == "delete"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "2000"})])
    (answer,) = admin.describe_configs([resource])
    assert {config[0]: config[1] for config in answer.resources[0][4]}["retention.ms"] == "2000"
    admin.delete_topics([topic])
    assert topic not in admin.list_topics()
    admin.close()


def test_topics_are_not_made_where_that_is_not_wanted(fresh):
    server = fresh("--auto-create-topics", "no")
    assert "Unknown topic" in kcat(server, "-L", "-t", "nowhere").decode()
    with server.open_kafka() as conn:
        conn.send(metadata(1, "nowhere")).answer()
    assert 'topic "nowhere"' not in kcat(server, "-L").decode()


# -- confluent-kafka


@pytest.fixture
def confluent():
    return pytest.importorskip("confluent_kafka")


@pytest.mark.parametrize("codec", CODECS)
def test_confluent_writes_and_reads_idempotently(server, topic, confluent, codec):
    producer = confluent.Producer(
        {"bootstrap.servers": server.kafka, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5}
    )
    offsets = []
    for n in range(1000):
        producer.produce(
            topic, b"value %d" % n, key=b"key", partition=0, on_delivery=lambda error, message: offsets.append(message.offset())
        )
    assert producer.flush(CLIENT_S) == 0
    assert offsets == list(range(1000))
    consumer = confluent.Consumer({"bootstrap.servers": server.kafka, "group.id": "nobody", "enable.auto.commit": False})
    consumer.assign([confluent.TopicPartition(topic, 0, 0)])
    got = []
    while len(got) < 1000:
        message = consumer.poll(CLIENT_S)
        assert message is not None and not message.error(), message and message.error()
        got.append(message.value())
    assert got == [b"value %d" % n for n in range(1000)]
    consumer.close()
