"""HTTP behaviour around the requests: pipelining, 100-continue, HEAD, CORS, problem documents, slow senders and readers."""

import json
import os

import pytest

from bide_client import Closed, request_bytes
from bide_server import SANITIZED

# -- pipelining


def test_pipelined_answers_come_in_the_order_of_the_requests(server, api, queue):
    with server.open() as conn:
        for n in range(200):
            conn.ask("POST", f"/v1/queues/{queue}/jobs", body=b"%d" % n)
        ids = [conn.answer().json()["id"] for _ in range(200)]
    leases = []
    while len(leases) < 200:
        leases += api.claim(queue, most=100)
    assert [lease.id for lease in leases] == ids
    assert [lease.body for lease in leases] == [b"%d" % n for n in range(200)]


def test_a_parked_request_in_the_middle_holds_back_what_follows(server, api, queue):
    job = api.submit(queue)
    with server.open() as conn:
        conn.ask("GET", "/v1/info").ask("GET", f"/v1/jobs/{job['id']}?wait=30s").ask("GET", "/healthz").ask("GET", "/v1/nothing")
        assert conn.answer().json()["name"] == "bide"
        server.until_parked(1)
        assert conn.quiet()
        api.done(api.claim_one(queue), b"r")
        assert conn.answer().json()["state"] == "done"
        assert conn.answer().status == 200
        assert conn.answer().status == 404


def test_several_parked_in_one_pipeline_are_answered_in_order_whatever_order_they_end_in(server, api, queue):
    jobs = [api.submit(queue)["id"] for _ in range(5)]
    leases = {lease.id: lease for lease in api.claim(queue, most=5)}
    with server.open() as conn:
        for job in jobs:
            conn.ask("GET", f"/v1/jobs/{job}/result?wait=30s")
        server.until_parked(1)
        for job in reversed(jobs):
            assert conn.quiet()
            api.done(leases[job], job.encode())
        assert [conn.answer().body.decode() for _ in jobs] == jobs


def test_more_pipelined_than_the_server_holds_is_read_as_it_goes_on(server, api, queue):
    job = api.submit(queue)
    with server.open() as conn:
        conn.ask("GET", f"/v1/jobs/{job['id']}?wait=30s")
        for _ in range(1000):
            conn.ask("GET", "/healthz")
        server.until_parked(1)
        api.done(api.claim_one(queue))
        assert conn.answer().json()["done"] is True
        assert {conn.answer().status for _ in range(1000)} == {200}


def test_a_submit_and_a_wait_for_it_cannot_be_mixed_up_between_connections(server, api, queue):
    conns = [server.open() for _ in range(20)]
    for round_ in range(10):
        for n, conn in enumerate(conns):
            conn.ask("POST", f"/v1/queues/{queue}.{n}/jobs", {"Content-Type": f"n/{n}"}, b"%d/%d" % (n, round_))
        for n, conn in enumerate(conns):
            assert conn.answer().json()["queue"] == f"{queue}.{n}"
            assert conn.call("POST", f"/v1/queues/{queue}.{n}/claim?wait=0", body=b"").body == b"%d/%d" % (n, round_)


# -- 100-continue


def test_100_continue_is_sent_when_the_body_is_wanted(server, api, queue):
    with server.open() as conn:
        conn.send(b"POST /v1/queues/%s/jobs HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" % queue.encode())
        assert conn.head().status == 100
        conn.send(b"hello")
        assert conn.answer().status == 202
    assert api.claim_one(queue).body == b"hello"


def test_a_request_refused_by_its_head_gets_no_100(server, queue):
    for path, status in ((f"/v1/queues/{queue}/nothing", 404), (f"/v1/jobs/{'a' * 32}/result", 405)):
        with server.open() as conn:
            conn.send(b"POST %s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 500000\r\n\r\n" % path.encode())
            answer = conn.answer()
            assert (answer.status, answer.interim) == (status, [])


def test_an_unknown_expectation_is_417_with_a_problem(server, queue):
    with server.open() as conn:
        answer = conn.call("POST", f"/v1/queues/{queue}/jobs", {"Expect": "tea"}, b"x")
        assert (answer.status, answer.problem) == (417, "expectation-failed")


# -- HEAD, OPTIONS, CORS


@pytest.mark.parametrize("path", ["/v1/info", "/healthz", "/metrics", "/v1/queues", "/v1/openapi.json", "/problems/fenced"])
def test_head_answers_like_get_without_a_body(server, api, path):
    with server.open() as conn:
        head = conn.call("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.header("content-type") == api.get(path).header("content-type")
        assert conn.call("GET", "/healthz").status == 200


def test_head_of_a_missing_thing_is_404_without_a_body(server):
    with server.open() as conn:
        head = conn.call("HEAD", f"/v1/jobs/{'a' * 32}")
        assert (head.status, head.body) == (404, b"")
        assert conn.call("GET", "/healthz").status == 200


def test_options_tells_the_methods_and_405_too(api, queue):
    answer = api.call("OPTIONS", f"/v1/queues/{queue}/jobs")
    assert answer.status in (200, 204) and {"POST", "OPTIONS"} <= {m.strip() for m in answer.header("allow").split(",")}
    answer = api.call("PATCH", f"/v1/queues/{queue}/jobs", b"{}")
    assert answer.status == 405 and "POST" in answer.header("allow")


def test_without_cors_origin_no_cors_header_is_sent(api):
    for answer in (api.get("/v1/info", {"Origin": "https://x.example"}),
                   api.call("OPTIONS", "/v1/info", headers={"Origin": "https://x.example", "Access-Control-Request-Method": "GET"})):
        assert answer.header("access-control-allow-origin") is None


def test_cors_for_the_configured_origin(fresh, queue):
    origin = "https://app.example"
    server = fresh("--cors-origin", origin, "--sync", "os")
    preflight = server.api.call("OPTIONS", f"/v1/queues/{queue}/jobs", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "job-priority, prefer"})
    assert preflight.status in (200, 204)
    assert preflight.header("access-control-allow-origin") == origin
    assert "POST" in preflight.header("access-control-allow-methods")
    allowed = preflight.header("access-control-allow-headers").lower()
    assert allowed == "*" or all(name in allowed for name in ("job-priority", "prefer", "content-type", "idempotency-key", "job-token"))
    if allowed != "*":
        paths = server.api.ok("GET", "/v1/openapi.json").json()["paths"].values()
        told = {parameter["name"].lower() for path in paths for verb in path.values() for parameter in verb["parameters"]
                if parameter["in"] == "header"}
        assert told <= set(allowed.split(", "))
    answer = server.api.call("POST", f"/v1/queues/{queue}/jobs", b"x", {"Origin": origin})
    assert answer.header("access-control-allow-origin") == origin
    assert "location" in answer.header("access-control-expose-headers").lower()
    assert server.api.get("/v1/nothing", {"Origin": origin}).header("access-control-allow-origin") == origin
    other = server.api.get("/v1/info", {"Origin": "https://evil.example"}).header("access-control-allow-origin")
    assert other in (None, origin)


# -- answers


def test_every_problem_is_a_document_with_a_type_that_can_be_read(api, queue):
    api.submit(queue)
    lease = api.claim_one(queue)
    problems = [api.get("/v1/nothing"), api.call("DELETE", "/v1/info"), api.get(f"/v1/jobs/{lease.id}?wait=x"),
                api.verb(lease, "done", b"", token="0" * 13), api.call("POST", "/v1/claim", b"{")]
    for answer in problems:
        document = answer.json()
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("cache-control") == "no-store"
        assert set(document) >= {"type", "title", "status"} and document["status"] == answer.status
        told = api.get(document["type"])
        assert told.status == 200 and told.header("content-type").startswith("text/plain") and len(told.body) > 20
    assert api.get("/problems/no-such-problem").status == 404


def test_what_a_client_sent_comes_back_in_a_problem_only_as_json_text(api):
    for path in ("/v1/%22%3Cscript%3E", "/v1/queues/%22%7D/jobs?x=%0d%0aA:b", "/v1/jobs?state=%22%0d%0a%00"):
        answer = api.get(path)
        assert answer.status >= 400 and isinstance(json.loads(answer.body), dict)
        assert not [name for name, _ in answer.headers if name == "a"]


def test_a_job_type_with_line_breaks_cannot_be_made(server, api, queue):
    """What a client may put into a stored header comes back in an answer's head, so it must not hold what ends a line."""
    with server.open() as conn:
        conn.send(b"POST /v1/queues/%s/jobs HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\x0b\x01X: y\r\nContent-Length: 0\r\n\r\n" % queue.encode())
        assert conn.answer().status == 400
    assert api.claim_one(queue) is None


def test_dates_are_sent(api):
    from email.utils import parsedate_to_datetime
    assert parsedate_to_datetime(api.get("/v1/info").header("date"))


# -- slow senders


@pytest.mark.parametrize("part", [b"G", b"GET /v1/info HT", b"GET /v1/info HTTP/1.1\r\nHost: a\r\nX-A: b", b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r"])
def test_a_head_that_does_not_come_is_408(fresh, part):
    server = fresh("--header-timeout", "200ms", "--idle-timeout", "60s", "--sync", "os")
    conn = server.open().send(part)
    answer = conn.answer()
    assert (answer.status, answer.problem) == (408, "timeout") and answer.says_close
    assert conn.ended()


def test_a_head_that_comes_drop_by_drop_is_408_all_the_same(fresh):
    """The time counts from the first byte, not from the last one: drops do not stretch it."""
    server = fresh("--header-timeout", "300ms", "--sync", "os")
    conn = server.open().send(b"GET /v1/info HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    drops = 0
    while conn.quiet():
        conn.send(b"x")
        server.pulse()
        drops += 1
        assert drops < 10000
    assert conn.answer().status == 408


@pytest.mark.parametrize("rest", [b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal"], ids=["sized", "chunked"])
def test_a_body_that_does_not_come_is_408_and_makes_no_job(fresh, rest):
    server = fresh("--body-timeout", "200ms", "--sync", "os")
    conn = server.open().send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: a\r\n" + rest)
    answer = conn.answer()
    assert (answer.status, answer.problem) == (408, "timeout") and answer.says_close
    assert conn.ended()
    assert server.api.claim_one("q") is None


def test_a_slow_but_steady_body_is_taken(fresh):
    server = fresh("--body-timeout", "1s", "--sync", "os")
    conn = server.open().send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n")
    for _ in range(60):
        server.api.claim_one("other", wait="25ms")
        conn.send(b"x")
    assert conn.answer().status == 202
    assert server.api.claim_one("q").body == b"x" * 60


def test_an_idle_connection_is_closed_without_a_word_and_a_parked_one_is_not(fresh):
    server = fresh("--idle-timeout", "200ms", "--header-timeout", "60s", "--sync", "os")
    job = server.api.submit("q")
    parked = server.ask("GET", f"/v1/jobs/{job['id']}?wait=30s")
    silent, used = server.open(), server.open()
    assert used.call("GET", "/healthz").status == 200
    assert used.ended() and silent.ended()
    lease = server.api.claim_one("other", wait="400ms") or server.api.claim_one("q")
    assert parked.quiet()
    server.api.done(lease)
    assert parked.answer().json()["done"] is True


# -- slow readers


@pytest.mark.skipif(SANITIZED, reason="memory is the sanitizer's")
def test_a_reader_that_reads_nothing_costs_no_memory(fresh):
    server = fresh("--sync", "os")
    server.api.submit("q")
    lease = server.api.claim_one("q")
    result = os.urandom(1 << 20) * 64
    server.api.done(lease, result)
    before = server.status_kib("RssAnon")
    conns = [server.open(receive_buffer=4096).ask("GET", f"/v1/jobs/{lease.id}/result") for _ in range(20)]
    for conn in conns:
        conn.head()
    for _ in range(20):
        server.pulse()
    grown = server.status_kib("RssAnon") - before
    assert grown < 20 * 512, f"{grown} KiB for 20 slow readers of 64 MiB"
    assert conns[0].body(len(result)) == result
    for conn in conns[1:]:
        conn.reset()
    server.eventually(lambda: server.info()["connections"] <= 4, "slow readers gone")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_gone_in_the_middle_of_its_answer_frees_what_it_held(fresh, leave):
    server = fresh("--sync", "os")
    for _ in range(5):
        server.api.submit("q")
        lease = server.api.claim_one("q")
        server.api.done(lease, b"x" * (32 << 20))
        conn = server.open().ask("GET", f"/v1/jobs/{lease.id}/result")
        assert conn.head().status == 200 and conn.body(1 << 20) == b"x" * (1 << 20)
        server.api.ok("DELETE", f"/v1/jobs/{lease.id}?forget=true", status=204)
        getattr(conn, leave)()
    server.eventually(lambda: server.info()["connections"] <= 2, "they are gone")
    server.eventually(lambda: server.disk_bytes() < 150 << 20, "what was forgotten under a reader is gone with the reader")


def test_a_result_forgotten_while_it_is_read_is_read_to_its_end(fresh):
    server = fresh("--sync", "os")
    server.api.submit("q")
    lease = server.api.claim_one("q")
    result = os.urandom(1 << 20) * 32
    server.api.done(lease, result)
    conn = server.open(receive_buffer=65536).ask("GET", f"/v1/jobs/{lease.id}/result")
    assert conn.head().status == 200
    server.api.ok("DELETE", f"/v1/jobs/{lease.id}?forget=true", status=204)
    assert conn.body(len(result)) == result


def test_a_reader_that_takes_nothing_for_too_long_is_cut(fresh):
    server = fresh("--write-timeout", "300ms", "--sync", "os")
    server.api.submit("q")
    lease = server.api.claim_one("q")
    server.api.done(lease, b"x" * (64 << 20))
    conn = server.open(receive_buffer=4096).ask("GET", f"/v1/jobs/{lease.id}/result")
    server.pulse()  # which has a connection of its own
    before = server.info()["connections"]
    server.eventually(lambda: server.info()["connections"] < before, "the slow reader cut")
    with pytest.raises((Closed, ConnectionError)):
        conn.answer()


@pytest.mark.skipif(SANITIZED, reason="memory is the sanitizer's")
def test_one_who_asks_and_asks_and_never_reads_is_held_back(fresh):
    """Requests in a pipeline whose answers nobody reads: the server stops reading, so it is the sender that blocks."""
    server = fresh("--sync", "os")
    before = server.status_kib("RssAnon")
    conn = server.open(receive_buffer=4096)
    conn.sock.setblocking(False)
    batch, sent = request_bytes("GET", "/metrics") * 200, 0
    blocked = 0
    while blocked < 50 and sent < 200_000_000:
        try:
            sent += conn.sock.send(batch)
            blocked = 0
        except BlockingIOError:
            blocked += 1
            server.pulse()
    assert blocked == 50, f"the server read {sent} bytes of requests without end"
    grown = server.status_kib("RssAnon") - before
    assert grown < 4096, f"{grown} KiB"
    conn.reset()
