"""Very many open jobs, and a restart. BIDE_SOAK=1 makes it a million."""

import select
import time

from bide_client import request_bytes
from bide_server import SANITIZED, SLOW, SOAK

COUNT = 1_000_000 if SOAK else 10_000 if SANITIZED else 200_000


def count_in(tail, data, mark):
    """How often the mark ends in `data`; `tail` is what came before it."""
    return (tail[-(len(mark) - 1):] + data).count(mark)


def submit_pipelined(server, queue, count):
    """Keeps a pipeline full in both directions at once; every answer must be 202."""
    conn = server.open()
    sock, one = conn.sock, request_bytes("POST", f"/v1/queues/{queue}/jobs", body=b"0123456789abcdef")
    sock.setblocking(False)
    batch, sent, tail = one * 500, 0, b""
    total, accepted, answered = len(one) * count, 0, 0
    while answered < count:
        readable, writable, _ = select.select([sock], [sock] if sent < total else [], [], 30 * SLOW)
        assert readable or writable, f"stands still at {answered} of {count}"
        if writable:
            at = sent % len(one)
            sent += sock.send(batch[at:at + min(len(batch) - at, total - sent)])
        if readable:
            data = sock.recv(1 << 20)
            assert data, "connection ended"
            accepted += count_in(tail, data, b"HTTP/1.1 202 ")
            answered += count_in(tail, data, b"HTTP/1.1 ")
            tail = (tail + data)[-16:]
    assert accepted == count
    conn.close()


def test_very_many_open_jobs_and_a_restart(fresh):
    server = fresh("--sync", "100ms")
    begin = time.monotonic()
    submit_pipelined(server, "many", COUNT)
    print(f"{COUNT} submits in {time.monotonic() - begin:.1f} s, resident {server.status_kib('VmRSS') // 1024} MiB, "
          f"on disk {server.disk_bytes() >> 20} MiB")
    assert server.api.queue("many")["counts"]["ready"] == COUNT
    for leave in (server.kill9, server.stop):
        leave()
        begin = time.monotonic()
        server.start()
        print(f"started with {COUNT} open jobs in {time.monotonic() - begin:.2f} s")
        assert server.api.queue("many")["counts"]["ready"] == COUNT
    leases = server.api.claim("many", most=100)
    assert len(leases) == 100 and {lease.body for lease in leases} == {b"0123456789abcdef"}
    for lease in leases:
        server.api.done(lease, b"r")
    after = server.api.queue("many")["counts"]
    assert (after["ready"], after["done"]) == (COUNT - 100, 100)
