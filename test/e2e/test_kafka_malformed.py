"""Frames that no client sends: every key and version that is offered, cut at every byte, with lengths and counts that cannot be, and
batches that become very large when they are decompressed. The server lives on, takes no memory for them, and says why it ends a
connection."""

import gzip
import pathlib
import random
import re
import socket
import struct
import zlib

import pytest

from bide_kafka import api_versions, batch_of, frame, kafka_server, produce
from bide_server import SANITIZED

pytest.importorskip("kafka")  # for the checksum of a batch

FRAMES = pathlib.Path(__file__).parent.parent / "vectors" / "kafka" / "frames.txt"
HEADER_BYTES = 8  # key, version, correlation id
GROWTH_KIB = 96 << 10
ANSWER_S = 20


server = kafka_server("--max-answer", "64M")


def recorded():
    """The shortest request of each key and version that a published client sent."""
    found = {}
    for line in FRAMES.read_text().splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == "request":
            key, request = (int(words[1]), int(words[2])), bytes.fromhex(words[3])
            if len(request) < len(found.get(key, request + b"x")):
                found[key] = request
    return found


def offered(server):
    with server.open_kafka() as conn:
        body = conn.send(api_versions(1)).answer()[1]
    count = struct.unpack(">i", body[2:6])[0]
    return [struct.unpack(">hhh", body[6 + 6 * n : 12 + 6 * n]) for n in range(count)]


def ends(server, request):
    """Sends it and something behind it, and that it is all; whatever is answered, the connection must come to its end."""
    with socket.create_connection(("127.0.0.1", server.kafka_port), timeout=ANSWER_S) as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass


def sized(rest):
    return struct.pack(">i", len(rest)) + rest


def broken_total(server):
    return sum(value for name, value in server.metrics().items() if name.startswith("bide_kafka_broken_total"))


class Bounded:
    """What is done within leaves the server alive, and with about as much memory as before."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.before = self.server.status_kib("VmRSS")

    def __exit__(self, *failed):
        if any(failed):
            return
        assert self.server.running, self.server.stderr()
        assert SANITIZED or self.server.status_kib("VmHWM") < self.before + GROWTH_KIB
        with self.server.open_kafka() as conn:
            assert conn.send(api_versions(7)).answer()[0] == 7


def samples(server):
    """A request of every key and version that is offered: as recorded, or else a head and zeros."""
    known = recorded()
    for key, first, last in offered(server):
        for version in range(first, last + 1):
            yield known.get((key, version), frame(key, version, 1, bytes(60)))


def test_every_key_and_version_cut_at_every_byte(server):
    before = broken_total(server)
    count = 0
    with Bounded(server):
        for request in samples(server):
            for length in range(1, min(len(request) - 4, 160)):
                ends(server, sized(request[4 : 4 + length]))
                count += 1
            ends(server, request[: len(request) // 2])
    assert count > 5000
    server.eventually(lambda: broken_total(server) > before + count / 4, "many of them are no requests")


@pytest.mark.parametrize("number", [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\x07", b"\x80\x00\x00\x00", b"\x7f\xff"])
def test_lengths_and_counts_that_cannot_be(server, number):
    chance = random.Random(number)
    with Bounded(server):
        for request in samples(server):
            body = request[4:]
            places = range(HEADER_BYTES, min(len(body), 200))
            for at in chance.sample(places, min(12, len(places))):
                ends(server, sized(body[:at] + number + body[at + len(number) :]))
    ends(server, number)


def bombs():
    """Much that is the same, small: a gigabyte of zeros, or the promise of one."""
    layer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    yield 1, b"".join(layer.compress(zeros) for _ in range(512)) + layer.flush()
    yield 1, gzip.compress(gzip.compress(bytes(64 << 20)))
    yield 2, b"\xff\xff\xff\xff\x0f" + bytes(100)  # snappy: so long, it says
    yield 2, b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, 0x7FFFFFFF) + bytes(100)
    yield 3, b"\x04\x22\x4d\x18\x68\x70" + struct.pack("<Q", 1 << 40) + b"\x00" + bytes(100)
    yield 4, b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", 0x7FFFFFFF) + b"\x02\x00\x00\x00" * 30
    yield 4, b"\x28\xb5\x2f\xfd\x00\xff" + bytes(100)


@pytest.mark.parametrize("policy", ["delete", "compact"])
def test_what_becomes_large_when_it_is_decompressed(server, policy):
    topic = f"bombs-{policy}"
    body = b'{"partitions":1,"settings":{"cleanup.policy":"%s"}}' % policy.encode()
    assert server.api.call("PUT", f"/v1/topics/{topic}", body, {"Content-Type": "application/json"}).status == 201
    with Bounded(server):
        for codec, records in bombs():
            with server.open_kafka() as conn:
                conn.sock.settimeout(ANSWER_S)
                conn.send(produce(1, topic, 0, batch_of(codec, records), version=7))
                correlation, answer = conn.answer()
                assert answer
        # Whoever reads over HTTP is told, or given what there is; none of it is taken for records.
        for offset in ("-1", "now"):
            server.api.call("GET", f"/v1/stream/{topic}/0?offset={offset}")


def test_short_questions_with_long_answers(server):
    """The same thing asked for a hundred thousand times in one request."""
    body = b'{"partitions":1000}'
    assert server.api.call("PUT", "/v1/topics/wide", body, {"Content-Type": "application/json"}).status == 201
    many = 100_000
    before = server.metrics()['bide_kafka_broken_total{reason="memory"}']
    questions = (
        frame(3, 1, 1, struct.pack(">i", many) + b"\x00\x04wide" * many),  # Metadata
        frame(32, 0, 1, struct.pack(">i", many) + b"\x02\x00\x04wide\xff\xff\xff\xff" * many),  # DescribeConfigs
        frame(15, 0, 1, struct.pack(">i", many * 10) + b"\x00\x01g" * many * 10),  # DescribeGroups
    )
    for question in questions:
        ends(server, question)
    assert server.running, server.stderr()
    assert SANITIZED or server.status_kib("VmHWM") < 1 << 20
    # Figures are told at the end of a turn.
    server.eventually(lambda: server.metrics()['bide_kafka_broken_total{reason="memory"}'] > before, "counted")


def test_the_reason_is_told(server):
    def counted(reason):
        return server.metrics()[f'bide_kafka_broken_total{{reason="{reason}"}}']

    for reason, request, told in (
        ("length", b"GET / HTTP/1.1\r\n\r\n", r"a request cannot have 1195725856 bytes"),
        ("unknown", frame(999, 0, 1), r"key 999 in version 0, which is not offered"),
        ("unknown", frame(3, 99, 1), r"key 3 \(metadata\) in version 99"),
        ("malformed", frame(3, 1, 1, b"\x00\x00\x00\x01"), r'metadata 1 of "test" of \d+ bytes cannot be read'),
    ):
        before = counted(reason)
        ends(server, request)
        server.eventually(lambda: counted(reason) == before + 1, "counted")
        # One is told a second: the next one that can be tells of this reason, too.
        server.eventually(lambda: ends(server, request) or re.search(told, server.stderr()), "told")
    assert re.search(r"Kafka client 127\.0\.0\.1:\d+: connection ended: .*\(and \d+ others\)", server.stderr())
