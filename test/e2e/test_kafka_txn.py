"""Transactions over the Kafka door, by librdkafka where confluent-kafka is installed: exactly once through aborts, a takeover and a
crash; and what lies in a partition then, read over HTTP."""

import pytest

from bide_kafka import KafkaServer

confluent = pytest.importorskip("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

CLIENT_S = 30
PARTITIONS = 2


@pytest.fixture
def server(tmp_path):
    running = KafkaServer(tmp_path / "data").start()
    yield running
    if running.running:
        running.kill9()


def make(server, *names):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        future.result(CLIENT_S)


def writer(server, name):
    producer = confluent.Producer({"bootstrap.servers": server.kafka, "transactional.id": name, "transaction.timeout.ms": 60000})
    producer.init_transactions(CLIENT_S)
    return producer


def everything(server, topic, isolation="read_committed"):
    """All values in a topic, up to its end."""
    consumer = confluent.Consumer(
        {
            "bootstrap.servers": server.kafka,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([confluent.TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
    values, ended = [], set()
    while len(ended) < PARTITIONS:
        message = consumer.poll(CLIENT_S)
        assert message is not None, "nothing came"
        if message.error():
            assert message.error().code() == confluent.KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
        else:
            values.append(message.value().decode())
    consumer.close()
    return values


def test_committed_is_read_and_aborted_is_not(server):
    make(server, "t")
    producer = writer(server, "w")
    producer.begin_transaction()
    for n in range(10):
        producer.produce("t", b"lost %d" % n)
    assert producer.flush(CLIENT_S) == 0
    assert everything(server, "t") == []
    assert len(everything(server, "t", "read_uncommitted")) == 10
    producer.abort_transaction(CLIENT_S)
    producer.begin_transaction()
    for n in range(10):
        producer.produce("t", b"kept %d" % n)
    producer.commit_transaction(CLIENT_S)
    assert sorted(everything(server, "t")) == [f"kept {n}" for n in range(10)]
    assert len(everything(server, "t", "read_uncommitted")) == 20


def test_what_is_consumed_is_committed_with_what_is_made_of_it(server):
    make(server, "in", "out")
    producer = confluent.Producer({"bootstrap.servers": server.kafka})
    for n in range(300):
        producer.produce("in", b"%d" % n)
    assert producer.flush(CLIENT_S) == 0
    consumer = confluent.Consumer(
        {"bootstrap.servers": server.kafka, "group.id": "work", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    consumer.subscribe(["in"])
    producer = writer(server, "w")
    done = tries = 0
    while done < 300:
        messages = consumer.consume(50, CLIENT_S)
        assert messages and not any(message.error() for message in messages)
        producer.begin_transaction()
        for message in messages:
            producer.produce("out", message.value())
        ends = {message.partition(): message.offset() + 1 for message in messages}
        producer.send_offsets_to_transaction(
            [confluent.TopicPartition("in", partition, end) for partition, end in ends.items()],
            consumer.consumer_group_metadata(),
            CLIENT_S,
        )
        tries += 1
        if tries % 2:
            producer.abort_transaction(CLIENT_S)
            for partition in ends:
                first = min(message.offset() for message in messages if message.partition() == partition)
                consumer.seek(confluent.TopicPartition("in", partition, first))
        else:
            producer.commit_transaction(CLIENT_S)
            done += len(messages)
    ends = consumer.committed([confluent.TopicPartition("in", n) for n in range(PARTITIONS)], CLIENT_S)
    # Of a partition to which the producer chose to send nothing, nothing is committed.
    assert sum(max(place.offset, 0) for place in ends) == 300
    consumer.close()
    assert sorted(map(int, everything(server, "out"))) == list(range(300))


def test_who_takes_over_fences_who_was_there(server):
    make(server, "t")
    first = writer(server, "w")
    first.begin_transaction()
    first.produce("t", b"first")
    assert first.flush(CLIENT_S) == 0
    second = writer(server, "w")
    with pytest.raises(confluent.KafkaException) as fenced:
        first.commit_transaction(CLIENT_S)
    assert fenced.value.args[0].code() == confluent.KafkaError._FENCED
    second.begin_transaction()
    second.produce("t", b"second")
    second.commit_transaction(CLIENT_S)
    assert everything(server, "t") == ["second"]


def test_a_crash_keeps_what_was_committed_and_nothing_else(server, tmp_path):
    make(server, "t")
    producer = writer(server, "w")
    producer.begin_transaction()
    producer.produce("t", b"kept")
    producer.commit_transaction(CLIENT_S)
    producer.begin_transaction()
    producer.produce("t", b"open")
    assert producer.flush(CLIENT_S) == 0
    server.kill9()
    again = KafkaServer(tmp_path / "data").start()
    try:
        assert everything(again, "t") == ["kept"]
        producer = writer(again, "w")
        producer.begin_transaction()
        producer.produce("t", b"next")
        producer.commit_transaction(CLIENT_S)
        assert sorted(everything(again, "t")) == ["kept", "next"]
    finally:
        assert again.stop() == 0, again.stderr()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_partition_is_a_stream_over_http(server, codec):
    make(server, "t")
    producer = confluent.Producer(
        {"bootstrap.servers": server.kafka, "transactional.id": "w", "compression.type": codec, "linger.ms": 50}
    )
    producer.init_transactions(CLIENT_S)
    producer.begin_transaction()
    for n in range(20):
        producer.produce("t", b"value %d;" % n, key=b"key", partition=0)
    producer.commit_transaction(CLIENT_S)
    answer = server.ask("GET", "/v1/stream/t/0?offset=-1").answer()
    assert answer.status == 200 and answer.body == b"".join(b"value %d;" % n for n in range(20))
    of_bytes = {"Content-Type": "application/octet-stream"}
    assert server.ask("POST", "/v1/stream/t/0", of_bytes, b"over http").answer().status == 204
    assert server.ask("POST", "/v1/stream/t/0", {**of_bytes, "Stream-Closed": "true"}).answer().status == 409
    assert server.ask("DELETE", "/v1/stream/t/0").answer().status == 409
    assert everything(server, "t")[-1] == "over http"
