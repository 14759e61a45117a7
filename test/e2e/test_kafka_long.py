"""What a topic takes: batches much longer than 1 MiB, written, read, kept over a crash, found by time, read over HTTP; and times."""

import os
import pathlib

import pytest

from bide_kafka import KafkaServer, fetch

confluent = pytest.importorskip("confluent_kafka")
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # noqa: E402

CLIENT_S = 30
MIB = 1 << 20


@pytest.fixture
def server(tmp_path):
    running = KafkaServer(tmp_path / "data", "--max-message", "16M").start()
    yield running
    if running.running:
        running.kill9()


def make(server, name, **config):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    topic = NewTopic(name, 1, 1, config={key.replace("_", "."): value for key, value in config.items()})
    for future in admin.create_topics([topic]).values():
        future.result(CLIENT_S)


def produce(server, topic, value, **more):
    errors = []
    settings = {"bootstrap.servers": server.kafka, "message.max.bytes": 64 * MIB}
    producer = confluent.Producer(settings | {key.replace("_", "."): value for key, value in more.items()})
    producer.produce(topic, key="k", value=value, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(CLIENT_S) == 0
    return errors[0]


def values(server, topic, count, **more):
    settings = {"bootstrap.servers": server.kafka, "group.id": "reader", "enable.auto.commit": False, "check.crcs": True}
    consumer = confluent.Consumer(settings | {key.replace("_", "."): value for key, value in more.items()})
    consumer.assign([confluent.TopicPartition(topic, 0, 0)])
    got = []
    while len(got) < count:
        message = consumer.poll(CLIENT_S)
        assert message is not None and not message.error(), message and message.error()
        got.append(message.value())
    times = consumer.offsets_for_times([confluent.TopicPartition(topic, 0, 1)], CLIENT_S)
    consumer.close()
    assert times[0].offset == 0
    return got


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_long_batches(server, compression):
    make(server, "long", max_message_bytes=str(12 * MIB))
    sent = [os.urandom(5 * MIB), b"short", os.urandom(10 * MIB), b"x" * (20 * MIB)]
    if compression == "none":
        sent.pop()
    for value in sent:
        assert produce(server, "long", value, compression_type=compression) is None
    assert values(server, "long", len(sent)) == sent
    # What a client wants at most does not keep it from the first batch there is.
    assert values(server, "long", len(sent), fetch_message_max_bytes=1000) == sent
    server.kill9()
    server.restart()
    assert values(server, "long", len(sent)) == sent
    place, got = "-1", b""
    while len(got) < sum(map(len, sent)):
        answer = server.api.ok("GET", f"/v1/stream/long/0?offset={place}")
        got += answer.body
        place = answer.header("Stream-Next-Offset")
    assert got == b"".join(sent)


def test_what_is_too_long_is_told_so(server):
    make(server, "usual")
    make(server, "long", max_message_bytes=str(2 * MIB))
    too_large = confluent.KafkaError.MSG_SIZE_TOO_LARGE
    assert produce(server, "usual", os.urandom(MIB + 100)).code() == too_large
    assert produce(server, "usual", os.urandom(MIB - 1000)) is None
    assert produce(server, "long", os.urandom(2 * MIB + 100)).code() == too_large
    assert produce(server, "long", os.urandom(2 * MIB - 1000)) is None
    # More than the server takes cannot be set.
    admin = AdminClient({"bootstrap.servers": server.kafka})
    resource = ConfigResource(ConfigResource.Type.TOPIC, "long", set_config={"max.message.bytes": str(16 * MIB + 1)})
    with pytest.raises(confluent.KafkaException) as refused:
        for future in admin.alter_configs([resource]).values():
            future.result(CLIENT_S)
    assert refused.value.args[0].code() == confluent.KafkaError.INVALID_CONFIG
    with pytest.raises(confluent.KafkaException):
        make(server, "longer", max_message_bytes=str(17 * MIB))


def test_a_time_too_far_off_is_told_so(server):
    make(server, "timed", message_timestamp_difference_max_ms="60000")
    errors = []
    producer = confluent.Producer({"bootstrap.servers": server.kafka})
    for timestamp in (1_000_000_000_000, 4_000_000_000_000, 0):  # long ago, far off, now
        producer.produce("timed", "x", timestamp=timestamp, on_delivery=lambda error, _: errors.append(error and error.code()))
        assert producer.flush(CLIENT_S) == 0
    assert errors == [confluent.KafkaError.INVALID_TIMESTAMP] * 2 + [None]


def segment_with(server, mark):
    """The journal's file that these bytes are in, and where."""
    for path in (pathlib.Path(server.data) / "journal").glob("*.seg"):
        data = path.read_bytes()
        if mark in data:
            return path, data.index(mark)
    raise AssertionError("not in the journal")


SIZES = (3000, 20_000, 700_000, 10 * MIB)  # read; seen where it lies; longer than one write; longer than is read at once


@pytest.mark.parametrize("size", SIZES)
def test_a_damaged_one_is_not_sent(server, size):
    make(server, "long", max_message_bytes=str(12 * MIB))
    value = os.urandom(size)
    assert produce(server, "long", value) is None
    with server.open_kafka() as conn:
        assert len(conn.send(fetch(1, "long", 0, 0, max_bytes=64 * MIB)).answer()[1]) > len(value)
    mark = value[size * 4 // 5 :][:64]
    path, at = segment_with(server, mark)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([mark[0] ^ 1]))
    with server.open_kafka() as conn:
        assert conn.send(fetch(1, "long", 0, 0, max_bytes=64 * MIB)).ended()
    assert server.api.call("GET", "/v1/stream/long/0?offset=-1").status == 503


@pytest.mark.parametrize("size", SIZES)
def test_one_that_is_cut_off_is_not_sent(server, size):
    """As when the disk does not give its bytes any more, which a mapped file tells in another way than one that is read."""
    make(server, "long", max_message_bytes=str(12 * MIB))
    value = os.urandom(size)
    assert produce(server, "long", value) is None
    path, at = segment_with(server, value[:64])
    os.truncate(path, at + size // 2)
    with server.open_kafka() as conn:
        assert conn.send(fetch(1, "long", 0, 0, max_bytes=64 * MIB)).ended()
    assert server.api.call("GET", "/v1/stream/long/0?offset=-1").status == 503
