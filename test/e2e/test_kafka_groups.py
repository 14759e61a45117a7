"""Groups of Kafka consumers over the Kafka door: kcat (librdkafka), kafka-python, confluent-kafka where it is installed, and
frames by hand for what a client library would hide."""

import collections
import signal
import struct
import subprocess
import threading
import time

import pytest

from bide_kafka import frame, kafka_server, kafka_servers, name_of_test, string
from bide_server import BIN, clean_environment

kafka_python = pytest.importorskip("kafka")
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition  # noqa: E402

CLIENT_S = 60
JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 11, 12, 14
MEMBER_ID_REQUIRED, NOT_COORDINATOR, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID = 79, 16, 27, 25


server = kafka_server()
fresh = kafka_servers()
topic = name_of_test()


def consumer_of(server, topic, group, **options):
    return KafkaConsumer(
        topic, bootstrap_servers=server.kafka, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
        heartbeat_interval_ms=100, retry_backoff_ms=50, reconnect_backoff_ms=20, reconnect_backoff_max_ms=100, **options
    )


def write(server, topic, values):
    producer = KafkaProducer(bootstrap_servers=server.kafka)
    for n, value in enumerate(values):
        producer.send(topic, value, partition=n % 4)
    producer.flush(CLIENT_S)
    producer.close()


def numbers(first, last):
    return [b"%d" % n for n in range(first, last)]


def read(consumer, count):
    """So many records, or what came within the deadline."""
    got, deadline = [], time.monotonic() + CLIENT_S
    while len(got) < count and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200).values():
            got += [record.value for record in records]
    return got


# -- by clients


def test_kcat_reads_on_where_the_group_has_come(server, topic):
    def kcat(count):
        done = subprocess.run(
            ["kcat", "-b", server.kafka, "-G", topic, "-X", "auto.offset.reset=earliest", "-c", str(count), topic],
            capture_output=True, timeout=CLIENT_S,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.split()

    write(server, topic, numbers(0, 100))
    first = kcat(60)
    assert sorted(first + kcat(40), key=int) == numbers(0, 100)


def test_consumers_come_and_go_while_records_are_written(server, topic):
    """Every record is read, and, since each commits what it has read before it gives a partition up, none twice."""
    seen, lock, total, stop = collections.Counter(), threading.Lock(), 3000, threading.Event()

    class Reader(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.leave = threading.Event()
            self.assigned = threading.Event()
            self.error = None

        def run(self):
            try:
                self.consume()
            except Exception as error:  # told by the test
                self.error = error

        def consume(self):
            consumer = consumer_of(server, topic, topic, max_poll_records=50)
            reader = self

            class Listener(kafka_python.ConsumerRebalanceListener):
                def on_partitions_revoked(self, revoked):
                    pass

                def on_partitions_assigned(self, assigned):
                    if assigned:
                        reader.assigned.set()

            consumer.subscribe([topic], listener=Listener())
            while not self.leave.is_set() and not stop.is_set():
                batches = consumer.poll(timeout_ms=100)
                if not batches:
                    continue
                consumer.commit()
                with lock:
                    seen.update(record.value for records in batches.values() for record in records)
            consumer.close(autocommit=False)

    write(server, topic, numbers(0, 4))
    readers = [Reader()]
    readers[0].start()
    assert readers[0].assigned.wait(CLIENT_S)
    for n in range(4, total, 500):
        write(server, topic, numbers(n, min(n + 500, total)))
        readers.append(Reader())
        readers[-1].start()
        if len(readers) > 3:
            readers[len(readers) - 3].leave.set()
    deadline = time.monotonic() + CLIENT_S
    while len(seen) < total and time.monotonic() < deadline and not any(reader.error for reader in readers):
        stop.wait(0.05)
    stop.set()
    for reader in readers:
        reader.join(CLIENT_S)
    failures = [reader.error for reader in readers if reader.error]
    # A commit that a rebalance has overtaken is refused, as it must be: what it was about is then read by another one.
    assert all(type(error).__name__ == "CommitFailedError" for error in failures), failures
    assert sorted(seen, key=int) == numbers(0, total)
    assert failures or max(seen.values()) == 1


def test_members_and_offsets_outlive_a_kill(fresh, topic):
    server = fresh()
    write(server, topic, numbers(0, 40))
    consumer = consumer_of(server, topic, "g", session_timeout_ms=30000)
    assert sorted(read(consumer, 40), key=int) == numbers(0, 40)
    consumer.commit()
    before = consumer._coordinator.generation()
    for round in range(1, 4):
        server.kill9()
        server.start()
        write(server, topic, numbers(40 * round, 40 * round + 40))
        # The same member, with what it had in hand; nothing is read twice.
        assert sorted(read(consumer, 40), key=int) == numbers(40 * round, 40 * round + 40)
        consumer.commit()
        deadline = time.monotonic() + CLIENT_S
        while consumer._coordinator.generation().generation_id == before.generation_id and time.monotonic() < deadline:
            assert not consumer.poll(timeout_ms=50)
        after = consumer._coordinator.generation()
        assert after.member_id == before.member_id
        assert after.generation_id == before.generation_id + 1
        before = after
    consumer.close(autocommit=False)
    server.kill9()
    server.start()
    admin = KafkaAdminClient(bootstrap_servers=server.kafka)
    offsets = admin.list_consumer_group_offsets("g")
    assert sum(offset.offset for offset in offsets.values()) == 160
    admin.close()


def test_metadata_beside_an_offset_comes_back(server, topic):
    write(server, topic, numbers(0, 4))
    consumer = KafkaConsumer(bootstrap_servers=server.kafka, group_id=topic, enable_auto_commit=False)
    place = TopicPartition(topic, 2)
    consumer.assign([place])
    consumer.commit({place: OffsetAndMetadata(1, "so far: äöü")})
    assert consumer.committed(place, metadata=True) == OffsetAndMetadata(1, "so far: äöü")
    with pytest.raises(kafka_python.errors.OffsetMetadataTooLargeError):
        consumer.commit({place: OffsetAndMetadata(1, "x" * 4097)})
    consumer.close(autocommit=False)


def test_groups_are_listed_described_and_deleted(server, topic):
    write(server, topic, numbers(0, 4))
    consumer = consumer_of(server, topic, topic)
    assert len(read(consumer, 4)) == 4
    consumer.commit()
    admin = KafkaAdminClient(bootstrap_servers=server.kafka)
    assert (topic, "consumer") in admin.list_consumer_groups()
    (described,) = admin.describe_consumer_groups([topic])
    assert (described.state, described.protocol) == ("Stable", "range")
    (member,) = described.members
    assert member.client_host == "/127.0.0.1" and member.member_metadata.subscription == [topic]
    assert member.member_assignment.assignment == [(topic, [0, 1, 2, 3])]
    (refused,) = admin.delete_consumer_groups([topic])
    assert refused[1] is kafka_python.errors.NonEmptyGroupError
    consumer.close(autocommit=False)
    (deleted,) = admin.delete_consumer_groups([topic])
    assert deleted[1] is kafka_python.errors.NoError
    (gone,) = admin.delete_consumer_groups([topic])
    assert gone[1] is kafka_python.errors.GroupIdNotFoundError
    (described,) = admin.describe_consumer_groups([topic])
    assert described.state == "Dead"
    admin.close()


def test_a_topics_end_takes_its_offsets_along(server, topic):
    write(server, topic, numbers(0, 4))
    consumer = consumer_of(server, topic, topic)
    assert len(read(consumer, 4)) == 4
    consumer.commit()
    consumer.close(autocommit=False)
    admin = KafkaAdminClient(bootstrap_servers=server.kafka)
    assert len(admin.list_consumer_group_offsets(topic)) == 4
    admin.delete_topics([topic])
    assert admin.list_consumer_group_offsets(topic) == {}
    admin.close()


# -- over HTTP, and by the command line


def test_groups_over_http(server, topic):
    write(server, topic, numbers(0, 8))
    consumer = consumer_of(server, topic, topic)
    assert len(read(consumer, 8)) == 8
    consumer.commit()
    write(server, topic, numbers(8, 12))
    told = server.api.call("GET", f"/v1/groups/{topic}").json()
    assert (told["group"], told["state"], told["protocol"]) == (topic, "stable", "range")
    (member,) = told["members"]
    assert member["leader"] and member["host"] == "/127.0.0.1" and member["instance"] is None
    assert [(o["topic"], o["partition"], o["offset"], o["end"], o["lag"]) for o in told["offsets"]] == [
        (topic, n, 2, 3, 1) for n in range(4)
    ]
    reset = b'{"topic": "%s", "to": "earliest"}' % topic.encode()
    refused = server.api.call("PATCH", f"/v1/groups/{topic}", reset, {"Content-Type": "application/json"})
    assert refused.status == 409
    assert server.api.call("DELETE", f"/v1/groups/{topic}").status == 409
    consumer.close(autocommit=False)

    def offsets():
        return [o["offset"] for o in server.api.call("GET", f"/v1/groups/{topic}").json()["offsets"]]

    def patch(body):
        return server.api.call("PATCH", f"/v1/groups/{topic}", body.encode(), {"Content-Type": "application/json"}).status

    assert patch(f'{{"topic": "{topic}", "to": "earliest"}}') == 204 and offsets() == [0, 0, 0, 0]
    assert patch(f'{{"topic": "{topic}", "to": "latest"}}') == 204 and offsets() == [3, 3, 3, 3]
    assert patch(f'{{"topic": "{topic}", "to": "1", "partition": 2}}') == 204 and offsets() == [3, 3, 1, 3]
    assert patch(f'{{"topic": "{topic}", "to": "1", "partition": 4}}') == 404
    assert patch('{"topic": "none", "to": "1"}') == 404
    assert patch(f'{{"topic": "{topic}", "to": "soon"}}') == 400
    assert patch(f'{{"topic": "{topic}"}}') == 400
    listed = server.api.call("GET", "/v1/groups?limit=1000").json()
    assert listed["next"] is None
    assert {"group": topic, "state": "empty", "members": 0, "offsets": 4}.items() <= next(
        group for group in listed["groups"] if group["group"] == topic
    ).items()
    assert server.api.call("DELETE", f"/v1/groups/{topic}").status == 204
    assert server.api.call("DELETE", f"/v1/groups/{topic}").status == 404
    assert server.api.call("GET", f"/v1/groups/{topic}").status == 404


def test_groups_are_listed_in_pages(fresh, topic):
    server = fresh()
    write(server, topic, numbers(0, 4))
    for n in range(5):
        body = b'{"topic": "%s", "to": "latest"}' % topic.encode()
        assert server.api.call("PATCH", f"/v1/groups/g%20{n}", body, {"Content-Type": "application/json"}).status == 204
    found, after = [], ""
    while after is not None:
        page = server.api.call("GET", f"/v1/groups?limit=2{after and '&after=' + after}").json()
        assert len(page["groups"]) <= 2
        found += [group["group"] for group in page["groups"]]
        after = page["next"]
    assert found == [f"g {n}" for n in range(5)]


def test_groups_by_the_command_line(server, topic):
    environment = clean_environment(BIDE_SERVER=f"http://127.0.0.1:{server.port}")

    def run(*arguments):
        done = subprocess.run([BIN, *arguments], env=environment, capture_output=True, timeout=CLIENT_S)
        return done.returncode, done.stdout.decode()

    write(server, topic, numbers(0, 8))
    consumer = consumer_of(server, topic, topic)
    assert len(read(consumer, 8)) == 8
    consumer.commit()
    code, told = run("group", "info", topic)
    assert code == 0 and "(leads)" in told and "stable" in told
    assert run("group", "reset", topic, "--topic", topic, "--to", "earliest")[0] not in (0, 2)
    consumer.close(autocommit=False)
    assert run("group", "reset", topic, "--topic", topic, "--to", "earliest") == (0, "")
    told = run("group", "info", topic)[1]
    rows = [line.split() for line in told.splitlines() if line.startswith(topic)]
    assert rows == [[topic, str(n), "0", "2", "2"] for n in range(4)]
    (row,) = [line.split() for line in run("groups")[1].splitlines() if line.startswith(topic)]
    assert row[1:4] + row[5:] == ["classic", "empty", "-", "0", "4"]
    assert run("group", "delete", topic) == (0, "")
    assert run("group", "info", topic)[0] not in (0, 2)
    for wrong in ("group", "group info", "group reset g", "group info g --to 1", "group drop g", "groups x"):
        assert run(*wrong.split())[0] == 2


# -- confluent-kafka


@pytest.fixture
def confluent():
    return pytest.importorskip("confluent_kafka")


def confluent_consumer(confluent, server, group, **options):
    settings = {"bootstrap.servers": server.kafka, "group.id": group, "auto.offset.reset": "earliest",
                "enable.auto.commit": False, "heartbeat.interval.ms": 100}
    return confluent.Consumer({**settings, **{name.replace("_", "."): value for name, value in options.items()}})


def take(consumer, count):
    got, deadline = [], time.monotonic() + CLIENT_S
    while len(got) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            got.append(message.value())
    return got


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_confluent_divides_and_divides_again(server, topic, confluent, strategy):
    topic = f"{topic}{strategy}"
    write(server, topic, numbers(0, 40))
    first = confluent_consumer(confluent, server, topic, partition_assignment_strategy=strategy)
    first.subscribe([topic])
    assert len(take(first, 40)) == 40
    first.commit(asynchronous=False)
    second = confluent_consumer(confluent, server, topic, partition_assignment_strategy=strategy)
    second.subscribe([topic])
    deadline = time.monotonic() + CLIENT_S
    while (len(first.assignment()), len(second.assignment())) != (2, 2) and time.monotonic() < deadline:
        assert not first.poll(0.05) and not second.poll(0.05)
    assert sorted(p.partition for p in first.assignment() + second.assignment()) == [0, 1, 2, 3]
    second.close()
    while len(first.assignment()) != 4 and time.monotonic() < deadline:
        first.poll(0.05)
    write(server, topic, numbers(40, 80))
    assert sorted(take(first, 40), key=int) == numbers(40, 80)
    first.close()


def test_confluent_static_members_come_back_without_a_rebalance(server, topic, confluent):
    write(server, topic, numbers(0, 8))
    stays = confluent_consumer(confluent, server, topic, group_instance_id="stays")
    rebalances = []
    stays.subscribe([topic], on_assign=lambda _, partitions: rebalances.append(len(partitions)))
    goes = confluent_consumer(confluent, server, topic, group_instance_id="goes")
    goes.subscribe([topic])
    deadline = time.monotonic() + CLIENT_S
    while (len(stays.assignment()), len(goes.assignment())) != (2, 2) and time.monotonic() < deadline:
        stays.poll(0.05), goes.poll(0.05)
    before, had = len(rebalances), goes.assignment()
    goes.close()  # says nothing: a static member does not leave
    goes = confluent_consumer(confluent, server, topic, group_instance_id="goes")
    goes.subscribe([topic])
    while not goes.assignment() and time.monotonic() < deadline:
        stays.poll(0.05), goes.poll(0.05)
    assert goes.assignment() == had and len(rebalances) == before
    goes.close()
    stays.close()


# -- by hand


def join(correlation, group, member="", session_ms=10000, rebalance_ms=60000):
    protocols = struct.pack(">i", 1) + string("p") + struct.pack(">i", 1) + b"x"
    return frame(JOIN_GROUP, 4, correlation,
                 string(group) + struct.pack(">ii", session_ms, rebalance_ms) + string(member) + string("test") + protocols)


def text_at(body, at):
    (length,) = struct.unpack(">h", body[at : at + 2])
    return body[at + 2 : at + 2 + length].decode(), at + 2 + length


def joined(body):
    """Of an answer to JoinGroup 4: error, generation, member."""
    (error, generation) = struct.unpack(">hi", body[4:10])
    at = 10
    for _ in range(3):  # protocol, leader, member
        text, at = text_at(body, at)
    return error, generation, text


def new_member(conn, group):
    error, _, member = joined(conn.send(join(1, group)).answer()[1])
    assert error == MEMBER_ID_REQUIRED
    return member


def leader_of(conn, group):
    member = new_member(conn, group)
    error, generation, _ = joined(conn.send(join(2, group, member)).answer()[1])
    assert error == 0
    return member, generation


def beat(conn, group, generation, member):
    message = string(group) + struct.pack(">i", generation) + string(member)
    (_, error) = struct.unpack(">ih", conn.send(frame(HEARTBEAT, 1, 3, message)).answer()[1])
    return error


def test_a_client_that_leaves_waits_no_more(fresh):
    server = fresh()
    with server.open_kafka() as one, server.open_kafka() as two:
        leader_of(one, "g")
        two.send(join(2, "g", new_member(two, "g")))
        server.until_parked_kafka(1)
        two.sock.close()
        server.until_parked_kafka(0)
        assert server.metrics()["bide_group_members"] == 2  # it may come back as who it is


def test_a_rebalance_waits_for_the_rebalance_timeout_and_no_longer(fresh):
    server = fresh()
    with server.open_kafka() as one, server.open_kafka() as two:
        member = new_member(one, "g")
        assert joined(one.send(join(2, "g", member, session_ms=6000, rebalance_ms=1000)).answer()[1])[0] == 0
        began = time.monotonic()
        second = new_member(two, "g")
        error, generation, _ = joined(two.send(join(2, "g", second, rebalance_ms=1000)).answer()[1])
        assert (error, generation) == (0, 2)
        assert time.monotonic() - began >= 0.9
        assert beat(one, "g", 1, member) == UNKNOWN_MEMBER_ID


def test_who_waits_is_told_when_the_server_leaves(fresh):
    server = fresh("--drain", "0.2s")
    with server.open_kafka() as one, server.open_kafka() as two:
        leader_of(one, "g")
        two.send(join(2, "g", new_member(two, "g")))
        server.until_parked_kafka(1)
        server.signal(signal.SIGTERM)
        assert joined(two.answer()[1])[0] == NOT_COORDINATOR
        assert server.wait_exit() == 0, server.stderr()


def test_after_a_kill_members_are_known_by_their_ids(fresh):
    server = fresh()
    with server.open_kafka() as one:
        member, generation = leader_of(one, "g")
    server.kill9()
    server.start()
    with server.open_kafka() as one:
        assert beat(one, "g", generation, "test-01234567-89ab-cdef-0123-456789abcdef") == UNKNOWN_MEMBER_ID
        assert beat(one, "g", generation, member) == REBALANCE_IN_PROGRESS
        assert joined(one.send(join(4, "g", member)).answer()[1]) == (0, generation + 1, member)


def test_limits_of_groups(fresh):
    server = fresh("--max-groups", "1", "--max-group-members", "1", "--group-min-session-timeout", "5s")
    with server.open_kafka() as conn:
        leader_of(conn, "g")
        assert joined(conn.send(join(3, "h", new_member(conn, "h"))).answer()[1])[0] == 81
        assert joined(conn.send(join(4, "g", new_member(conn, "g"))).answer()[1])[0] == 81
        assert joined(conn.send(join(5, "g", session_ms=4999)).answer()[1])[0] == 26
        assert joined(conn.send(join(6, "")).answer()[1])[0] == 24


def test_what_holds_for_groups_is_told(fresh):
    server = fresh("--group-consumer-session-timeout", "7s", "--group-consumer-heartbeat-interval", "2s")
    with server.open_kafka() as conn:
        asked = struct.pack(">ib", 1, 32) + string("nobody") + struct.pack(">i", -1)
        body = conn.send(frame(32, 0, 1, asked)).answer()[1]
    told = b"".join(
        string(f"consumer.{key}") + string(value) + b"\1\0\0"  # to be read only
        for key, value in (("heartbeat.interval.ms", "2000"), ("session.timeout.ms", "7000"))
    )
    assert body == struct.pack(">iihhb", 0, 1, 0, -1, 32) + string("nobody") + struct.pack(">i", 2) + told
