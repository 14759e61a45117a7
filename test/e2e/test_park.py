"""Parked waits: who leaves is gone at once, memory comes back, descriptors run out."""

import resource
import socket

import pytest

from bide_client import Conn, request_bytes
from bide_server import SANITIZED, SLOW

LEAVE = ["close", "reset", "finish_sending"]


def gone(server, count):
    server.eventually(lambda: server.parked() <= count, f"parked waits down to {count}")


@pytest.mark.parametrize("leave", LEAVE)
def test_who_leaves_while_parked_on_a_job_is_gone_at_once(server, api, queue, leave):
    job, before = api.submit(queue), server.parked()
    conns = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s") for _ in range(20)]
    server.until_parked(before + 20)
    for conn in conns:
        getattr(conn, leave)()
    gone(server, before)
    api.done(api.claim_one(queue))


@pytest.mark.parametrize("leave", LEAVE)
def test_who_leaves_while_parked_on_a_claim_is_gone_at_once(server, api, queue, leave):
    conns = [server.ask("POST", f"/v1/queues/{queue}/claim?wait=50s", body=b"") for _ in range(20)]
    server.until_waiting(queue, 20)
    for conn in conns:
        getattr(conn, leave)()
    server.until_waiting(queue, 0)
    job = api.submit(queue)
    lease = api.claim_one(queue, wait="10s")
    assert (lease.id, lease.attempt) == (job["id"], 1)


@pytest.mark.parametrize("leave", LEAVE)
def test_who_leaves_with_more_requests_in_the_pipeline_is_gone_too(server, api, queue, leave):
    job, before = api.submit(queue), server.parked()
    conn = server.open()
    for _ in range(200):
        conn.ask("GET", f"/v1/jobs/{job['id']}?wait=50s")
    server.until_parked(before + 1)
    getattr(conn, leave)()
    gone(server, before)


def test_one_who_left_does_not_disturb_the_others_on_the_same_job(server, api, queue):
    job, before = api.submit(queue), server.parked()
    conns = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s") for _ in range(30)]
    server.until_parked(before + 30)
    for n, conn in enumerate(conns):
        if n % 3 != 1:
            getattr(conn, LEAVE[n % 2])()
    gone(server, before + 10)
    api.done(api.claim_one(queue))
    assert {conn.answer().json()["state"] for conn in conns[1::3]} == {"done"}


def test_leaving_at_the_moment_of_the_answer_harms_nobody(server, api, queue):
    for _ in range(100):
        job = api.submit(queue)
        leaving = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s") for _ in range(3)]
        staying = server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s")
        lease = api.claim_one(queue)
        leaving[0].reset()
        api.done(lease, b"r")
        leaving[1].reset()
        assert staying.answer().json()["done"] is True
        leaving[2].close()
        staying.close()


def raised_descriptor_limit(wanted):
    """Raises this process's limit towards `wanted`; how many connections a test may open then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted + 500 if hard == resource.RLIM_INFINITY else min(wanted + 500, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return min(wanted, max(soft, limit) - 500)


def park_many(server, target, count):
    request, conns = request_bytes("GET", target), []
    for _ in range(count):
        sock = socket.create_connection(server.address)
        sock.sendall(request)
        conns.append(sock)
    server.until_parked(count)
    return conns


def test_ten_thousand_parked_and_closed_leave_nothing(fresh):
    count = raised_descriptor_limit(10000)
    server = fresh("--sync", "os")
    job = server.api.submit("q")
    idle_kib, idle_fds, after_kib = server.status_kib("RssAnon"), server.fd_count(), []
    for leave_by_reset in (False, True, False):
        conns = park_many(server, f"/v1/jobs/{job['id']}?wait=55s", count)
        parked_kib = server.status_kib("RssAnon")
        for sock in conns:
            if leave_by_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        gone(server, 0)
        server.eventually(lambda: server.fd_count() <= idle_fds + 2, "descriptors closed")
        after_kib.append(server.status_kib("RssAnon"))
    server.api.done(server.api.claim_one("q"))
    print(f"{count} parked: {(parked_kib - idle_kib) * 1024 / count:.0f} B each; idle {idle_kib} KiB, after {after_kib} KiB")
    if not SANITIZED:
        assert (parked_kib - idle_kib) * 1024 / count <= 1024
        assert after_kib[-1] <= after_kib[0] + 1024, "each round of parking keeps memory"


def test_ten_thousand_parked_are_all_answered(fresh):
    count = raised_descriptor_limit(10000)
    server = fresh("--sync", "os")
    job = server.api.submit("q")
    conns = park_many(server, f"/v1/jobs/{job['id']}?wait=55s", count)
    server.api.done(server.api.claim_one("q"), b"r")
    for sock in conns:
        sock.settimeout(10 * SLOW)
        told = sock.recv(65536)
        assert told.startswith(b"HTTP/1.1 200 ") and b'"state":"done"' in told
        sock.close()


def test_no_descriptors_left_and_the_parked_go_on(fresh):
    """One thread floods connections until the server has no descriptor left; who is parked stays parked and is answered."""
    server = fresh("--sync", "os", "--threads", "1", prefix=["prlimit", "--nofile=256:256"])
    api = server.api
    server.pulse()  # its connection, too, must be there before there are none to be had
    job, other = api.submit("q"), api.submit("other")
    parked = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=55s") for _ in range(150)]
    claims = [server.ask("POST", "/v1/queues/later/claim?wait=55s", body=b"") for _ in range(20)]
    server.until_parked(170)
    flood = [server.ask("GET", f"/v1/jobs/{other['id']}?wait=55s") for _ in range(200)]
    for _ in range(50):
        server.pulse()
    assert server.fd_count() <= 256
    assert all(conn.quiet() for conn in parked + claims)

    api.done(api.claim_one("q"), b"r")
    assert {conn.answer().json()["state"] for conn in parked} == {"done"}
    given = api.submit("later")
    assert claims[0].answer().header("job-id") == given["id"]

    for conn in parked + flood:
        conn.close()
    with Conn(server.address) as conn:
        assert conn.call("GET", "/healthz").status == 200
    late = server.ask("GET", f"/v1/jobs/{other['id']}?wait=55s")
    server.until_parked(1)
    api.done(api.claim_one("other"))
    assert late.answer().json()["done"] is True
