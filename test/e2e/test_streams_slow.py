"""Readers of streams who are slow, or take nothing at all: what they cost, what they get, and that nobody else notices."""

import base64
import contextlib
import itertools
import json
import time

import pytest

from bide_server import SLOW
from bide_streams import JSON, TEXT, append, make, read, tail

MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}
RECORD = 50_000
# How many readers, and how many requests of each: their answers are more than sockets take.
STALLED = {"sse": (200, 1), "catch-up": (200, 8), "records": (30, 32), "long record": (200, 1)}


def fill(server, path, headers, records):
    make(server.api, path, headers)
    with server.open() as conn:
        for batch in iter(lambda: list(itertools.islice(records, 64)), []):
            for record in batch:
                conn.ask("POST", path, headers, record)
            for _ in batch:
                assert conn.answer().status == 204


def delays(server, path, count=60):
    """How long it takes from an append to the reader who waits for it, each time."""
    took, place = [], tail(make(server.api, path))
    with server.open() as reader, server.open() as writer:
        for _ in range(count):
            reader.ask("GET", f"{path}?offset={place}&live=long-poll&wait=20s")
            server.pulse()
            before = time.monotonic()
            writer.ask("POST", path, TEXT, b"x")
            answer = reader.answer()
            took.append(time.monotonic() - before)
            assert answer.status == 200 and writer.answer().status == 204
            place = tail(answer)
    return sorted(took)


def stall(server, target, pipelined=1):
    conn = server.open(receive_buffer=4096)
    for _ in range(pipelined):
        conn.ask("GET", target)
    return conn


def sent(server):
    return server.metrics()["bide_http_sent_bytes_total"]


def until_still(server):
    """Until a second's pulses brought the others nothing: who stalls has been paused."""
    def is_still():
        before = sent(server)
        for _ in range(40):
            server.pulse()
        # Pulses and looks at the metrics are all that is sent.
        return sent(server) - before < 200_000

    server.eventually(is_still, "readers who take nothing are paused", 30)


@pytest.mark.parametrize("kind", STALLED)
def test_many_who_stall_cost_little_are_noticed_by_nobody_and_are_cut(fresh, kind):
    server = fresh("--sync", "os", "--write-timeout", "6s" if SLOW == 1 else "12s")
    readers, requests = STALLED[kind]
    readers //= SLOW
    if kind == "long record":
        make(server.api, "/v1/stream/long", BINARY)
        append(server.api, "/v1/stream/long", b"0123456789abcdef" * (100 * MIB // 16), BINARY)
    else:
        fill(server, "/v1/stream/long", TEXT, (b"%05d" % i * (RECORD // 5) for i in range(100 * MIB // RECORD)))
    unhindered = delays(server, "/v1/stream/before")
    before, most = server.status_kib("RssAnon"), 0

    query = {"sse": "&live=sse&wait=50s", "records": "&format=records"}.get(kind, "")
    conns = [stall(server, f"/v1/stream/long?offset=-1{query}", requests) for _ in range(readers)]
    until_still(server)
    most = server.status_kib("RssAnon")
    hindered = delays(server, "/v1/stream/beside")
    most = max(most, server.status_kib("RssAnon"))
    print(f"{kind}: {(most - before) / readers:.1f} KiB a reader; to another one {unhindered[30]:.6f} s, {hindered[30]:.6f} s")
    # An event of 64 KiB as base64 or JSON, and its neighbourhood; of 100 MiB.
    assert SLOW > 1 or most - before < readers * 256
    assert hindered[45] < 10 * unhindered[45] + 0.05 * SLOW

    server.eventually(lambda: server.metrics()["bide_http_timeouts_total"] >= readers, "all who stall are cut", 30)
    server.eventually(lambda: server.metrics()["bide_connections"] <= 3, "and gone", 30)
    with contextlib.suppress(ConnectionError):
        while conns[0].sock.recv(MIB):
            pass  # and then the end
    append(server.api, "/v1/stream/long", b"still", BINARY if kind == "long record" else TEXT)


def test_requests_of_one_who_takes_nothing_are_not_even_read(fresh):
    server, looks = fresh("--sync", "os"), itertools.count(1)
    fill(server, "/v1/stream/long", TEXT, (b"x" * RECORD for _ in range(40)))

    def asked():
        """Requests the server has read, but for these looks."""
        return server.metrics()["bide_http_requests_total"] - next(looks)

    before = asked()
    conn = stall(server, "/v1/stream/long?offset=-1", 2000)
    assert conn.head().status == 200
    while (read_so_far := asked()) != asked():
        pass
    # As many as may be unanswered, and a few whose answers have begun.
    assert read_so_far - before < 64 + 40


def text_of(i):
    return b"%06d," % i * (i % 9000)


RECORDS_OF = {
    "text": (TEXT, text_of),
    "json": (JSON, lambda i: json.dumps([{"n": i, "text": "x" * (i % 700)}] * (i % 40 + 1)).encode()),
    "short": (TEXT, lambda i: b"%d;" % i),
    "binary": (BINARY, lambda i: bytes(range(256)) * (i % 300 + 1)),
}


@pytest.mark.parametrize("form", ["", "&format=records", "&limit=333"])
@pytest.mark.parametrize("kind", RECORDS_OF)
def test_what_is_taken_slowly_is_what_is_taken_at_once(fresh, kind, form):
    """Long bodies are made again for readers who were paused: in turns, by several, from several places."""
    headers, record_of = RECORDS_OF[kind]
    server = fresh("--sync", "os")
    count = 30_000 if kind == "short" else 400
    fill(server, "/v1/stream/x", headers, (record_of(i) for i in range(1, count)))
    targets, place = [], "-1"
    while len(targets) < 6:
        targets.append(f"/v1/stream/x?offset={place}{form}")
        at_once = server.api.ok("GET", targets[-1])
        place = tail(at_once)
        if at_once.header("stream-up-to-date"):
            break
    wanted = [server.api.ok("GET", target).body for target in targets]
    assert max(map(len, wanted)) > (64 << 10) or form == "&limit=333" or kind == "short"

    conns = [server.open(receive_buffer=4096) for _ in range(3)]
    for shift, conn in enumerate(conns):
        for i in range(len(targets) * 3):
            conn.ask("GET", targets[(i + shift) % len(targets)])
    server.pulse()
    for i in range(len(targets) * 3):
        for shift, conn in enumerate(conns):
            assert conn.answer().body == wanted[(i + shift) % len(targets)]


def test_one_who_takes_a_little_now_and_then_is_not_cut(fresh):
    server = fresh("--sync", "os", "--write-timeout", "1s")
    make(server.api, "/v1/stream/long", BINARY)
    body = b"0123456789abcdef" * (24 * MIB // 16)
    append(server.api, "/v1/stream/long", body, BINARY)
    conn = stall(server, "/v1/stream/long?offset=-1")
    began, seen = time.monotonic(), bytearray()
    conn.head()
    while len(seen) < len(body):
        seen += conn.body(min(1 * MIB, len(body) - len(seen)))
        for _ in range(20):  # tenths of a second
            server.pulse()
    assert seen == body and time.monotonic() - began > 2


def test_a_slow_follower_gets_every_event(fresh):
    server = fresh("--sync", "os")
    records = [b"%04d" % i * 5000 for i in range(300)]
    fill(server, "/v1/stream/x", BINARY, iter(records))
    conns = [stall(server, "/v1/stream/x?offset=-1&live=sse&wait=20s") for _ in range(4)]
    server.pulse()
    append(server.api, "/v1/stream/x", b"", {"Stream-Closed": "true"})
    for conn in conns:
        events = conn.answer().body.split(b"\n\n")
        data = [event.split(b"\n", 1)[1].replace(b"data:", b"").replace(b"\n", b"") for event in events if b"event: data" in event]
        assert b"".join(base64.b64decode(part, validate=True) for part in data) == b"".join(records)
    assert read(server.api, "/v1/stream/x").header("stream-closed") is None
