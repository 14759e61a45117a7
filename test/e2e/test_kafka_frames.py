"""The Kafka door's connections: frames whole and broken, order, limits, deadlines, the end. None of this needs a topic."""

import struct

import pytest

from bide_kafka import API_VERSIONS, KafkaConn, api_versions, frame, kafka_server, kafka_servers, metadata
from bide_server import Died, Server


server = kafka_server()
kafka = kafka_servers()


def offered(body):
    """Of an answer to ApiVersions 0: its error, and {key: (first, last)}."""
    error, count = struct.unpack(">hi", body[:6])
    rows = [struct.unpack(">hhh", body[6 + 6 * i : 12 + 6 * i]) for i in range(count)]
    assert len(body) == 6 + 6 * count
    return error, {key: (first, last) for key, first, last in rows}


def test_it_is_shut_unless_asked_for(tmp_path):
    server = Server(tmp_path / "data").start()
    try:
        assert b"kafka" not in server.said
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--kafka", "nonsense"], "is not ADDR:PORT"),
        (["--kafka", "*:0"], "say it with --advertise"),
        (["--kafka", "0.0.0.0:0"], "say it with --advertise"),
        (["--kafka", "127.0.0.1:0", "--advertise", "nowhere"], "is not HOST:PORT"),
        (["--kafka", "127.0.0.1:0", "--advertise", "host:0"], "is not HOST:PORT"),
        (["--kafka", "127.0.0.1:0", "--advertise", "0.0.0.0:1"], "say it with --advertise"),
    ],
)
def test_what_cannot_be_listened_to_or_told_is_a_usage_error(tmp_path, flags, words):
    with pytest.raises(Died) as died:
        Server(tmp_path / "data", *flags).start()
    assert died.value.code == 2 and words in died.value.stderr


def test_a_port_in_use_is_told(server, tmp_path):
    with pytest.raises(Died) as died:
        Server(tmp_path / "data", "--kafka", server.kafka).start()
    assert died.value.code == 1 and "in use" in died.value.stderr


def broken_total(server):
    return sum(value for name, value in server.metrics().items() if name.startswith("bide_kafka_broken_total"))


def test_what_is_offered(server):
    with server.open_kafka() as conn:
        correlation, body = conn.send(api_versions(7)).answer()
    error, keys = offered(body)
    assert (correlation, error) == (7, 0)
    assert keys[API_VERSIONS] == (0, 4)
    # What old clients look for exactly.
    for key, version in ((0, 0), (0, 3), (0, 7), (1, 4), (1, 10), (22, 0), (17, 0), (17, 1), (36, 0), (2, 1)):
        assert keys[key][0] <= version <= keys[key][1], (key, version)


def test_a_version_nobody_knows_is_answered_with_what_is(server):
    with server.open_kafka() as conn:
        for version in (5, 99, 32767, -1):
            correlation, body = conn.send(api_versions(version & 0xFF, version)).answer()
            assert correlation == version & 0xFF
            assert offered(body) == (35, {API_VERSIONS: (0, 4)})
        assert offered(conn.send(api_versions(1)).answer()[1])[0] == 0


def test_answers_come_in_the_order_of_the_requests(server):
    with server.open_kafka() as conn:
        conn.send(b"".join(api_versions(n) for n in range(500)))
        assert [conn.answer()[0] for _ in range(500)] == list(range(500))


def test_frames_may_come_byte_by_byte(server):
    with server.open_kafka() as conn:
        for byte in api_versions(1) + api_versions(2):
            conn.send(bytes([byte]))
        assert [conn.answer()[0], conn.answer()[0]] == [1, 2]


def test_every_truncation_ends_cleanly(server):
    whole = api_versions(5)
    for length in range(len(whole)):
        with server.open_kafka() as conn:
            assert conn.send(whole[:length]).end().ended()
    with server.open_kafka() as conn:
        assert conn.send(whole).end().answer()[0] == 5
        assert conn.ended()


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">i", 0),
        struct.pack(">i", 7),
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">i", (100 << 20) + 1),
        frame(999, 0, 1),
        frame(-1, 0, 1),
        frame(7, 0, 1),  # ControlledShutdown: nobody's but brokers'
        frame(3, 13, 1),
        frame(3, -1, 1),
        frame(3, 1, 1, b"\x7f\xff\xff\xff"),  # as many topics as there are numbers
        frame(3, 1, 1, struct.pack(">i", 1) + b"\x00\x09no"),
        frame(API_VERSIONS, 3, 1, b"\x00\x02a\x09b\x00\x00"),
        struct.pack(">i", 9) + struct.pack(">hhib", API_VERSIONS, 0, 1, 0),
    ],
)
def test_what_makes_no_sense_ends_the_connection_behind_what_was_asked_before(server, broken):
    before = broken_total(server)
    with server.open_kafka() as conn:
        conn.send(api_versions(1) + broken)
        assert conn.answer()[0] == 1
        assert conn.ended()
    # Figures are told at the end of a turn.
    server.eventually(lambda: broken_total(server) == before + 1, "counted")


def test_bytes_behind_a_request_are_left_alone(server):
    """librdkafka 2.15 writes three too many when it asks for all topics."""
    with server.open_kafka() as conn:
        short, long = (conn.send(frame(3, 1, 1, struct.pack(">i", 0) + more)).answer() for more in (b"", b"\0\1\0"))
        assert short == long


def test_long_frames_are_taken_when_what_they_ask_for_is_offered(kafka):
    server = kafka("--max-frame", "128K")
    long = frame(3, 1, 2, struct.pack(">i", 2) + b"\x00\x02no\xff\xff" + bytes(100 << 10))
    for unknown in (long[:4] + b"\x7f\xff\x00\x00", long[:4] + b"\x00\x03\x7f\xff"):
        with server.open_kafka() as conn:
            assert conn.send(unknown).ended()  # before the rest of it has come
    with server.open_kafka() as conn:
        conn.send(api_versions(1) + long)
        assert conn.answer()[0] == 1
        assert conn.ended()  # it was read, and is broken inside
    with server.open_kafka() as conn:
        conn.send(api_versions(1) + struct.pack(">i", (128 << 10) + 1))
        assert conn.answer()[0] == 1
        assert conn.ended()


def test_long_requests_wait_for_memory(kafka):
    server = kafka("--kafka-memory", "256K", "--threads", "1")
    body = frame(3, 1, 7, struct.pack(">i", 2) + struct.pack(">h", 30000) + bytes(30000) + b"\xff\xff")[4:]
    long = struct.pack(">i", 200 << 10) + body
    with server.open_kafka() as one, server.open_kafka() as two, server.open_kafka() as other:
        one.send(long)
        server.eventually(lambda: server.metrics()["bide_kafka_received_bytes_total"] == len(long), "one has begun")
        two.send(long)
        server.eventually(lambda: server.metrics()["bide_kafka_held"] == 1, "the other waits")
        assert other.send(api_versions(3)).answer()[0] == 3  # short ones do not
        one.sock.close()
        server.eventually(lambda: server.metrics()["bide_kafka_held"] == 0, "its turn")
        two.send(bytes((200 << 10) - len(body)))
        assert two.ended()  # it was read, and is broken inside


def test_who_sends_byte_by_byte_does_not_keep_the_memory_from_others(kafka):
    server = kafka("--kafka-memory", "256K", "--threads", "1", "--body-timeout", "500ms")
    long = struct.pack(">i", 200 << 10) + frame(3, 1, 7, struct.pack(">i", 0) + bytes(8))[4:]
    with server.open_kafka() as slow, server.open_kafka() as other:
        slow.send(long)
        other.send(long)
        server.eventually(lambda: server.metrics()["bide_kafka_held"] == 1, "one waits")
        sent = 0
        while server.metrics()["bide_kafka_held"] == 1:
            try:
                slow.send(b"\0")  # often enough not to be cut for silence
                sent += 1
            except (BrokenPipeError, ConnectionResetError):
                break
        assert sent > 10
        other.send(bytes((200 << 10) - len(long) + 4))
        assert other.answer()[0] == 7
        assert slow.ended()
    server.eventually(lambda: server.metrics()["bide_kafka_timeouts_total"] == 1, "counted")


def test_idle_connections_and_slow_senders_are_cut(kafka):
    server = kafka("--kafka-idle-timeout", "100ms", "--body-timeout", "150ms")
    with server.open_kafka() as idle, server.open_kafka() as slow, server.open_kafka() as slower:
        slow.send(api_versions(1)[:2])
        slower.send(api_versions(1)[:10])
        assert idle.ended() and slow.ended() and slower.ended()
    server.eventually(lambda: server.metrics()["bide_kafka_timeouts_total"] == 2, "counted")


def test_a_reader_who_takes_nothing_is_cut(kafka):
    server = kafka("--write-timeout", "300ms", "--output-buffer", "16K")
    with server.open_kafka(receive_buffer=4096) as conn:
        conn.sock.settimeout(None)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                conn.send(b"".join(api_versions(n) for n in range(1000)))
    server.eventually(lambda: server.metrics()["bide_kafka_connections"] == 0, "closed")
    assert server.metrics()["bide_kafka_timeouts_total"] == 1


def test_who_leaves_many_long_answers_unread_is_cut(kafka):
    server = kafka("--kafka-memory", "1M", "--threads", "1", "--output-buffer", "64K")
    body = b'{"partitions":1000}'
    assert server.api.call("PUT", "/v1/topics/wide", body, {"Content-Type": "application/json"}).status == 201

    def ask(correlation, topics):
        return metadata(correlation, *["wide"] * topics, create=False)

    with server.open_kafka(receive_buffer=4096) as greedy, server.open_kafka() as other:
        greedy.send(b"".join(ask(n, 10) for n in range(32)))  # 300 KB each
        server.eventually(lambda: server.metrics()['bide_kafka_broken_total{reason="memory"}'] == 1, "it has asked for too much")
        assert len(other.send(ask(7, 60)).answer()[1]) > 1 << 20  # alone, and taken
    server.eventually(lambda: server.metrics()["bide_kafka_connections"] == 0, "closed")
    assert server.metrics()['bide_kafka_broken_total{reason="memory"}'] == 1


def test_as_many_connections_as_there_may_be(kafka):
    server = kafka("--max-connections", "2")
    with server.open_kafka() as one, server.open_kafka() as two:
        assert one.send(api_versions(1)).answer()[0] == 1
        assert two.send(api_versions(2)).answer()[0] == 2
        with server.open_kafka() as three:
            assert three.ended()
        metrics = server.metrics()
        server.eventually(lambda: server.metrics()["bide_kafka_connections_refused_total"] == 1, "counted")
        metrics = server.metrics()
        assert metrics["bide_kafka_connections"] == 2
        assert metrics["bide_kafka_requests_total"] == 2


def test_idle_connections_close_when_the_server_leaves(kafka):
    server = kafka()
    with server.open_kafka() as conn, server.open_kafka() as half:
        assert conn.send(api_versions(1)).answer()[0] == 1
        half.send(api_versions(1)[:6])
        came = len(api_versions(1)) + 6
        server.eventually(lambda: server.metrics()["bide_kafka_received_bytes_total"] == came, "the half of it is there")
        server.signal(15)
        assert conn.ended()
        assert half.send(api_versions(1)[6:]).answer()[0] == 1  # what had begun is answered
        assert half.ended()
        assert server.wait_exit() == 0


def test_what_is_not_enabled_is_said(server):
    with server.open_kafka() as conn:
        assert conn.send(frame(17, 1, 1, b"\x00\x05PLAIN")).answer() == (1, struct.pack(">hi", 34, 0))
        assert struct.unpack(">ih", conn.send(frame(29, 0, 2, b"\x02\xff\xff\xff\xff\xff\xff\x01\x01")).answer()[1][:6]) == (0, 54)


def test_a_connection_opened_by_name(server):
    """The address told is the one it listens at; a client that came by it is let in."""
    with KafkaConn(("localhost", server.kafka_port)) as conn:
        assert conn.send(api_versions(3)).answer()[0] == 3
