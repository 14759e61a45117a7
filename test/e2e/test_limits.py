"""Every limit is a setting, and every limit has a test: what is over it is refused with the right word, and room that is made is used."""

import time

import pytest

from bide_client import Closed, request_bytes
from bide_server import SLOW


@pytest.fixture
def limited(fresh):
    """A server with one setting changed."""
    return lambda *flags: fresh("--sync", "os", *flags)


def refused(answer, status, problem):
    assert (answer.status, answer.problem) == (status, problem), answer
    if status in (429, 503, 507):
        assert int(answer.header("retry-after")) >= 1


# -- what is kept


@pytest.mark.parametrize("flag,status,problem", [("--max-jobs", 503, "server-full"), ("--max-queue-jobs", 429, "queue-full")])
def test_jobs(limited, flag, status, problem):
    api = limited(flag, "10").api
    for _ in range(10):
        api.submit("q")
    refused(api.call("POST", "/v1/queues/q/jobs", b""), status, problem)
    lease = api.claim_one("q")
    api.done(lease, b"work goes on")
    api.ok("DELETE", f"/v1/jobs/{lease.id}?forget=true", status=204)
    api.submit("q")
    refused(api.call("POST", "/v1/queues/q/jobs", b""), status, problem)
    if flag == "--max-queue-jobs":
        api.submit("other")


def test_a_repeated_submit_is_answered_even_when_it_is_full(limited):
    api = limited("--max-jobs", "3").api
    first = api.submit("q", b"x", {"Idempotency-Key": '"k"'})
    api.submit("q")
    api.submit("q")
    assert api.submit("q", b"x", {"Idempotency-Key": '"k"'})["id"] == first["id"]


def test_queues(limited):
    api = limited("--max-queues", "5").api
    for n in range(5):
        api.submit(f"q{n}")
    refused(api.call("POST", "/v1/queues/q5/jobs", b""), 503, "server-full")
    api.submit("q0")


def test_claims(limited):
    server = limited("--max-claims", "5")
    conns = [server.ask("POST", "/v1/queues/q/claim?wait=50s", body=b"") for _ in range(5)]
    until_claims(server, 5)
    refused(server.api.call("POST", "/v1/queues/q/claim?wait=50s", b""), 503, "server-full")
    conns.pop().close()
    until_claims(server, 4)
    conns.append(server.ask("POST", "/v1/queues/q/claim?wait=50s", body=b""))
    until_claims(server, 5)
    server.api.submit("q")
    until_claims(server, 4)
    assert [conn.answer().status for conn in conns if not conn.quiet()] == [200]


def test_connections(limited):
    server = limited("--max-connections", "20", "--threads", "2")
    job = server.api.submit("q")
    parked = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=55s") for _ in range(18)]
    until_parked(server, 18)
    over = [server.ask("GET", "/healthz") for _ in range(5)]
    told = []
    for conn in over:
        try:
            told.append(conn.answer())
        except (Closed, ConnectionError):
            told.append(None)
        conn.close()
    assert told[-1] is None or told[-1].status == 503, told
    for answer in told:
        if answer and answer.status != 200:
            refused(answer, 503, "server-full")
            assert answer.says_close
    for conn in parked[:5]:
        conn.close()
    until_parked(server, 13)
    with server.open() as conn:
        assert conn.call("GET", "/healthz").status == 200
    server.api.done(server.api.claim_one("q"))
    assert all(conn.answer().json()["done"] for conn in parked[5:])


# -- what a request may be


def test_a_body_whether_it_was_announced_or_not(limited):
    server = limited("--max-body", "100000")
    with server.open() as conn:
        conn.send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
        refused(conn.answer(), 413, "too-large")
        assert conn.ended()
    with server.open() as conn:
        conn.send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(101):
                conn.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        refused(conn.answer(), 413, "too-large")
        assert conn.ended()
    server.api.submit("q", b"x" * 100000)


def test_a_json_body(server):
    """JSON is read into memory, so it has a limit of its own, far below that of a job's body."""
    with server.open() as conn:
        conn.send(b"POST /v1/claim HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n")
        refused(conn.answer(), 413, "too-large")


def test_header_fields(limited):
    server = limited("--max-header-count", "10")
    with server.open() as conn:
        assert conn.call("GET", "/healthz", {f"X-{n}": "x" for n in range(9)}).status == 200
        refused(conn.call("GET", "/healthz", {f"X-{n}": "x" for n in range(10)}), 431, "headers-too-large")


def test_header_bytes(limited):
    server = limited("--max-header-bytes", "2K")
    with server.open() as conn:
        assert conn.call("GET", "/healthz", {"X": "x" * 1900}).status == 200
        refused(conn.call("GET", "/healthz", {"X": "x" * 2100}), 431, "headers-too-large")


def test_the_target(limited):
    server = limited("--max-target-bytes", "512")
    with server.open() as conn:
        assert conn.call("GET", "/healthz?" + "x" * 490).status == 200
        refused(conn.call("GET", "/healthz?" + "x" * 520), 414, "uri-too-long")


def test_the_pipeline(limited):
    """The engine reads no further while so many are unanswered; nothing is refused, and everything is answered in the end."""
    server = limited("--max-pipeline", "4")
    job = server.api.submit("q")
    with server.open() as conn:
        for _ in range(100):
            conn.ask("GET", f"/v1/jobs/{job['id']}?wait=50s")
        until_parked(server, 4)
        for _ in range(5):
            server.pulse()
        assert server.parked() == 4
        server.api.done(server.api.claim_one("q"))
        assert {conn.answer().json()["state"] for _ in range(100)} == {"done"}


def test_the_longest_wait_and_the_one_without_a_word(limited):
    server = limited("--max-wait", "2s", "--default-wait", "100ms")
    assert server.api.call("POST", "/v1/queues/q/claim", b"").status == 204
    assert server.api.call("POST", "/v1/claim", {"queues": ["q"]}).status == 204
    job = server.api.submit("q")
    answer = server.api.get(f"/v1/jobs/{job['id']}?wait=30s")
    assert answer.header("preference-applied") == "wait=2" and answer.json()["done"] is False


# -- how long things last


def test_the_delivery_lease(limited):
    """A worker that takes its connection's word but not its bytes loses the offer, and no attempt is counted."""
    server = limited("--delivery-lease", "300ms")
    lazy = server.open(receive_buffer=4096)
    lazy.send(request_bytes("POST", "/v1/queues/q/claim?wait=30s", body=b""))
    until_claims(server, 1)
    job = server.api.submit("q", b"x" * (32 << 20))
    assert lazy.head().status == 200
    eager = server.api.claim_one("q", wait="10s")
    assert (eager.id, eager.attempt) == (job["id"], 1)
    assert server.api.job(job["id"])["counts"]["lost_handoffs"] == 1
    server.api.done(eager, b"r")
    lazy.close()


def test_a_worker_that_reads_slowly_but_steadily_keeps_its_offer(limited):
    """A large body may take far longer than the delivery lease, which is for those who take nothing."""
    server = limited("--delivery-lease", "300ms")
    job, body = server.api.submit("q", b"x" * (32 << 20)), b""
    conn = server.open(receive_buffer=65536)
    conn.send(request_bytes("POST", "/v1/queues/q/claim?lease=60s", body=b""))
    told = conn.head()
    for _ in range(16):
        assert server.api.claim_one("q", wait="60ms") is None, "given to another while it was being read"
        body += conn.body(2 << 20)
    assert body == b"x" * (32 << 20)
    server.eventually(lambda: server.api.job(job["id"])["state"] == "running", "leased when all was read")
    done = server.api.call("POST", f"/v1/jobs/{job['id']}/done", b"r", {"Job-Token": told.header("job-token")})
    assert done.status == 204, done


def test_the_tombstone(limited):
    server = limited("--tombstone", "400ms")
    job = server.api.submit("q", b"", {"Job-Retain": "100ms"})["id"]
    server.api.done(server.api.claim_one("q"), b"r")
    seen = []

    def is_404():
        status = server.api.get(f"/v1/jobs/{job}/result").status
        if seen[-1:] != [status]:
            seen.append(status)
        return status == 404

    server.eventually(is_404, "404")
    assert seen in ([200, 410, 404], [410, 404]), seen


def test_the_back_off(limited):
    server = limited("--retry-base", "20ms", "--retry-cap", "100ms")
    server.api.submit("q", b"", {"Job-Max-Attempts": "8"})
    for attempt in range(1, 9):
        lease = server.api.claim_one("q", wait="5s")
        assert lease.attempt == attempt
        server.api.fail(lease, error="again")
    assert server.api.queue("q")["counts"]["failed"] == 1


def until_parked(server, count):
    server.eventually(lambda: server.parked() == count, f"{count} waits parked")


def until_claims(server, count):
    """Without `eventually`, whose pulse is a claim itself and would take one of the few places."""
    deadline = time.monotonic() + 10 * SLOW
    while server.info()["waits"]["claims"] != count:
        assert time.monotonic() < deadline, f"not {count} claims parked"
