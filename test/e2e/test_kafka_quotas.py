"""How much a second Kafka clients may send and be sent, and how they hear of it."""

import struct
import time

import pytest

from bide_kafka import PRODUCE, api_versions, fetch, frame, kafka_servers, metadata, produce

pytest.importorskip("kafka")
from kafka.record.default_records import DefaultRecordBatchBuilder  # noqa: E402

RATE = 20 << 10
HEAD_BYTES = 18  # of a frame of the client "test"
WAIT_MS = 200  # what there is more than a second may have is worth that


limited = kafka_servers()


def batch(size):
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 1700000000000, None, bytes(size), [])
    return bytes(builder.build())


LONG = batch(RATE + RATE * WAIT_MS // 1000)


def produced(body):
    """Throttle time, from the end of an answer to Produce 3."""
    return struct.unpack(">i", body[-4:])[0]


def fetched(body):
    """Throttle time, and how long the answer to Fetch 4 is."""
    return struct.unpack(">i", body[:4])[0], len(body)


def ask_behind(conn, request):
    """The answer to a request, and how long it took until the next one was taken up."""
    began = time.monotonic()
    conn.send(request)
    body = conn.answer()[1]
    conn.send(api_versions(9)).answer()
    return body, (time.monotonic() - began) * 1000


def test_who_sends_too_much_waits(limited):
    server = limited("--produce-byte-rate", str(RATE))
    with server.open_kafka() as conn, server.open_kafka() as other:
        conn.send(metadata(1, "t")).answer()
        body, took_ms = ask_behind(conn, produce(2, "t", 0, LONG))
        # It had a second's worth in advance; a little more was paid for while the answer was made.
        assert 0 < WAIT_MS - 150 <= produced(body) <= WAIT_MS + 50
        assert took_ms >= produced(body) - 1
        # On whichever connection, but not for another client, nor what is read.
        assert produced(other.send(produce(3, "t", 0, batch(RATE))).answer()[1]) > 0
        with server.open_kafka() as stranger:
            request = frame(PRODUCE, 3, 4, produce(4, "t", 0, batch(100))[HEAD_BYTES:], client="stranger")
            assert produced(stranger.send(request).answer()[1]) == 0
            assert fetched(stranger.send(fetch(5, "t", 0, 0)).answer()[1])[0] == 0
        # Nor is who wants no answer let off.
        began = time.monotonic()
        other.send(produce(6, "t", 0, LONG, acks=0) + api_versions(7))
        assert other.answer()[0] == 7
        assert (time.monotonic() - began) * 1000 > WAIT_MS
    server.eventually(lambda: server.metrics()["bide_kafka_throttled_total"] >= 3, "counted")


def test_who_reads_too_much_waits(limited):
    server = limited("--fetch-byte-rate", str(RATE))
    with server.open_kafka() as conn:
        conn.send(metadata(1, "t")).answer()
        for n in range(2):
            assert produced(conn.send(produce(2, "t", 0, LONG)).answer()[1]) == 0
        # No more than a second's worth, but for the first batch.
        body, took_ms = ask_behind(conn, fetch(3, "t", 0, 0))
        wait_ms, size = fetched(body)
        assert 0 < WAIT_MS - 150 <= wait_ms <= WAIT_MS + 50 and len(LONG) < size < 2 * len(LONG)
        assert took_ms >= wait_ms - 1
        assert fetched(conn.send(fetch(4, "t", 0, 2)).answer()[1])[0] == 0


def test_waiting_ends_with_the_server(limited):
    server = limited("--produce-byte-rate", "1")
    with server.open_kafka() as conn:
        conn.send(metadata(1, "t")).answer()
        assert produced(conn.send(produce(2, "t", 0, LONG)).answer()[1]) == 30000
        conn.send(api_versions(3))
        server.signal(15)
        assert conn.ended()
        assert server.wait_exit() == 0


def test_of_so_many_clients_rates_are_known(limited):
    server = limited("--produce-byte-rate", "100", "--max-quota-clients", "2")
    waits = []
    with server.open_kafka() as first:
        first.send(metadata(1, "t")).answer()
    for client in ("a", "b", "c", "a"):
        with server.open_kafka() as conn:
            request = frame(PRODUCE, 3, 4, produce(4, "t", 0, batch(100))[HEAD_BYTES:], client=client)
            waits.append(produced(conn.send(request).answer()[1]))
    assert all(wait > 200 for wait in waits)
    # The first one had been forgotten: what it had sent before is not held against it.
    assert abs(waits[3] - waits[0]) < 200
