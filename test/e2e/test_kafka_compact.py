"""Compacted topics: much more is written than is kept, the disk shows it, and of each key the last value is there, for Kafka clients
and over HTTP, also after a crash."""

import pytest

from bide_kafka import KafkaServer

confluent = pytest.importorskip("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

CLIENT_S = 30
KEYS = 200
ROUNDS = 600
VALUE_BYTES = 1000
COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "200",
}


@pytest.fixture
def server(tmp_path):
    running = KafkaServer(tmp_path / "data", "--segment-size", "2M", "--compaction-interval", "50ms").start()
    yield running
    if running.running:
        running.kill9()


def make(server, name, **more):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    topic = NewTopic(name, 1, 1, config=COMPACTED | {key.replace("_", "."): value for key, value in more.items()})
    for future in admin.create_topics([topic]).values():
        future.result(CLIENT_S)


def producer_of(server, **more):
    settings = {"bootstrap.servers": server.kafka, "linger.ms": 5, "batch.num.messages": 100}
    return confluent.Producer(settings | {key.replace("_", "."): value for key, value in more.items()})


def failed(error, _):
    assert error is None, error


def everything(server, topic):
    """All records of a topic up to its end, as (offset, key, value)."""
    consumer = confluent.Consumer(
        {
            "bootstrap.servers": server.kafka,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([confluent.TopicPartition(topic, 0, 0)])
    records = []
    while True:
        message = consumer.poll(CLIENT_S)
        assert message is not None, "nothing came"
        if message.error():
            assert message.error().code() == confluent.KafkaError._PARTITION_EOF, message.error()
            break
        records.append((message.offset(), message.key(), message.value()))
    consumer.close()
    assert [r[0] for r in records] == sorted({r[0] for r in records})
    return records


def over_http(server, topic):
    records, target = [], f"/v1/stream/{topic}/0?offset=-1&format=records"
    while True:
        answer = server.api.ok("GET", target)
        records += answer.json()
        if answer.header("Stream-Up-To-Date"):
            return records
        target = f"/v1/stream/{topic}/0?format=records&offset={answer.header('Stream-Next-Offset')}"


def last_of(records):
    last = {}
    for _, key, value in records:
        last[key] = value
    return {key: value for key, value in last.items() if value is not None}


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip", "lz4", "snappy"])
def test_much_is_written_and_little_is_kept(server, compression):
    make(server, "cache")
    producer = producer_of(server, compression_type=compression)
    rounds = ROUNDS if compression == "none" else ROUNDS // 10
    padding = "x" * VALUE_BYTES
    for i in range(rounds):
        for k in range(KEYS):
            producer.produce("cache", key=f"key-{k}", value=f"{i}:{padding}", on_delivery=failed)
        producer.poll(0)
        if i % 10 == 9:
            assert producer.flush(CLIENT_S) == 0
    for k in range(KEYS):  # what nobody reads for long: the last ones, left alone until more comes
        producer.produce("cache", key="end", value=str(k), on_delivery=failed)
    assert producer.flush(CLIENT_S) == 0
    want = {f"key-{k}".encode(): f"{rounds - 1}:{padding}".encode() for k in range(KEYS)} | {b"end": str(KEYS - 1).encode()}

    def few():
        return len(everything(server, "cache")) < 3 * KEYS

    server.eventually(few, "the topic is compacted", within_s=30)
    assert last_of(everything(server, "cache")) == want
    if compression == "none":
        written = rounds * KEYS * VALUE_BYTES
        server.eventually(lambda: server.disk_bytes() < written // 3, "the disk shows it", within_s=30)
    server.kill9()
    server.restart()
    assert last_of(everything(server, "cache")) == want
    http = {}
    for record in over_http(server, "cache"):
        http[record["key"]] = record["value"]
    assert http == {key.decode(): value.decode() for key, value in want.items()}
    assert server.metrics()["bide_compactions_failed_total"] == 0


def test_what_is_deleted_goes_for_good(server):
    make(server, "cache")
    producer = producer_of(server)
    for k in range(50):
        producer.produce("cache", key=f"key-{k}", value="there", on_delivery=failed)
    assert producer.flush(CLIENT_S) == 0
    for k in range(0, 50, 2):
        producer.produce("cache", key=f"key-{k}", value=None, on_delivery=failed)
    assert producer.flush(CLIENT_S) == 0

    def ends():
        producer.produce("cache", key="end", value="x", on_delivery=failed)
        assert producer.flush(CLIENT_S) == 0
        records = everything(server, "cache")
        assert last_of(records).keys() >= {f"key-{k}".encode() for k in range(1, 50, 2)}
        return not any(value is None for _, _, value in records)

    server.eventually(ends, "null values have gone", within_s=30)
    assert last_of(everything(server, "cache")).keys() == {f"key-{k}".encode() for k in range(1, 50, 2)} | {b"end"}


def test_transactions_and_compaction(server):
    make(server, "cache")
    producer = producer_of(server, transactional_id="writer")
    producer.init_transactions(CLIENT_S)
    for i in range(40):
        producer.begin_transaction()
        for k in range(10):
            producer.produce("cache", key=f"key-{k}", value=str(i), on_delivery=failed)
        if i % 2:
            producer.flush(CLIENT_S)
            producer.abort_transaction(CLIENT_S)
        else:
            producer.commit_transaction(CLIENT_S)

    def ends():
        producer.begin_transaction()
        producer.produce("cache", key="end", value="x", on_delivery=failed)
        producer.commit_transaction(CLIENT_S)
        records = everything(server, "cache")
        assert {k: v for k, v in last_of(records).items() if k != b"end"} == {f"key-{k}".encode(): b"38" for k in range(10)}
        return len(records) < 20

    server.eventually(ends, "the topic is compacted", within_s=30)
    server.kill9()
    server.restart()
    assert {k: v for k, v in last_of(everything(server, "cache")).items() if k != b"end"} == {
        f"key-{k}".encode(): b"38" for k in range(10)
    }


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4"])
def test_every_record_needs_a_key(server, compression):
    make(server, "cache")
    producer = producer_of(server, compression_type=compression)
    errors = []
    producer.produce("cache", key=None, value="x" * 500, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(CLIENT_S) == 0
    assert [error.code() for error in errors] == [confluent.KafkaError.INVALID_RECORD]
    producer.produce("cache", key="k", value="x" * 500, on_delivery=failed)
    assert producer.flush(CLIENT_S) == 0
    assert len(everything(server, "cache")) == 1


def test_killed_amid_compaction(server):
    """Every acknowledged value that is the last of its key is there, or a later one of the same producer."""
    make(server, "cache")
    acked, number = {}, 0

    def told(error, message):
        if error is None:
            acked[message.key()] = max(acked.get(message.key(), 0), int(message.value()))

    for _ in range(6):
        producer = producer_of(server, enable_idempotence=True, compression_type="lz4")
        done = server.metrics()["bide_compactions_total"]
        while server.metrics()["bide_compactions_total"] < done + 3:
            for k in range(50):
                number += 1
                producer.produce("cache", key=f"key-{k}", value=str(number), on_delivery=told)
            producer.poll(0)
            while len(producer) > 2000:
                producer.poll(0.1)
        server.kill9()
        producer.purge()
        producer.poll(0)
        del producer
        server.restart()
        last = last_of(everything(server, "cache"))
        assert last.keys() >= acked.keys()
        assert all(int(last[key]) >= value for key, value in acked.items())
    assert server.metrics()["bide_compactions_failed_total"] == 0
