"""A job's output: written by its worker while it runs, followed by whoever has the handle, closed when the job is over."""

import re

import pytest

from bide_streams import JSON, TEXT, poll, read, tail
from test_streams_sse import Follower

BINARY = {"Content-Type": "application/octet-stream"}
START = "0000000000000000_0000000000000000"


def output(job_id):
    return f"/v1/jobs/{job_id}/output"


def write(api, lease, data, headers=TEXT, status=204):
    answer = api.verb(lease, "output", data, headers)
    assert answer.status == status, answer
    return answer


def running(api, queue, **headers):
    """A job's id, and the lease of its worker."""
    job = api.submit(queue, b"x", headers)
    return job["id"], api.claim_one(queue)


def whole(api, job_id):
    """All that is there, and whether it is closed."""
    answer = read(api, output(job_id), "-1")
    return answer.body, answer.header("stream-closed") == "true"


def follow_all(server, job_id, offset="-1"):
    """By long-poll until it is closed, on connections of its own: what was told, answer by answer."""
    told = []
    with server.open() as conn:
        while True:
            answer = conn.call("GET", f"{output(job_id)}?offset={offset}&live=long-poll&wait=30s")
            assert answer.status in (200, 204), answer
            told += [answer.body] if answer.body else []
            offset = tail(answer)
            if answer.header("stream-closed") == "true":
                return told


# --- writing and reading

def test_it_is_read_as_streams_are(api, queue):
    job_id, lease = running(api, queue)
    first = write(api, lease, b"one\n")
    second = write(api, lease, b"two\n")
    assert tail(first) < tail(second)
    answer = read(api, output(job_id), "-1")
    assert answer.body == b"one\ntwo\n" and answer.header("content-type") == "text/plain"
    assert answer.header("stream-up-to-date") == "true" and answer.header("stream-closed") is None
    assert read(api, output(job_id), tail(first)).body == b"two\n"
    head = api.ok("HEAD", output(job_id))
    assert tail(head) == tail(second) and head.header("content-type") == "text/plain"
    again = api.get(f"{output(job_id)}?offset=-1", {"If-None-Match": answer.header("etag")})
    assert again.status == 304
    api.done(lease, b"result")
    assert whole(api, job_id) == (b"one\ntwo\n", True)
    assert api.ok("HEAD", output(job_id)).header("stream-closed") == "true"
    last = api.ok("GET", f"{output(job_id)}?offset={tail(second)}&live=long-poll", status=204)
    assert last.header("stream-closed") == "true"


def test_without_a_content_type_it_is_text(api, queue):
    job_id, lease = running(api, queue)
    before = read(api, output(job_id), "-1")
    assert before.body == b"" and before.header("content-type") == "text/plain; charset=utf-8" and tail(before) == START
    write(api, lease, b"x", {})
    assert api.ok("HEAD", output(job_id)).header("content-type") == "text/plain; charset=utf-8"
    assert read(api, output(job_id), START).body == b"x"


def test_messages_of_json(api, queue):
    job_id, lease = running(api, queue)
    write(api, lease, b'[{"a":1},2]', JSON)
    write(api, lease, b'"three"', JSON)
    assert read(api, output(job_id), "-1").json() == [{"a": 1}, 2, "three"]


def test_the_first_append_says_what_it_is(api, queue):
    _, lease = running(api, queue)
    write(api, lease, b"\0\1", BINARY)
    assert api.verb(lease, "output", b"text", TEXT).problem == "content-type"


def test_a_long_piece(api, queue):
    job_id, lease = running(api, queue)
    piece = bytes(range(256)) * 8192  # 2 MiB: a file of its own
    write(api, lease, piece, BINARY)
    write(api, lease, b"end", BINARY)
    first = read(api, output(job_id), "-1")
    assert first.body == piece and read(api, output(job_id), tail(first)).body == b"end"


def test_a_repeated_append_is_taken_once(api, queue):
    job_id, lease = running(api, queue)
    for seq in (0, 1, 1, 0):
        numbered = {**TEXT, "Producer-Id": "w", "Producer-Epoch": "0", "Producer-Seq": str(seq)}
        answer = api.verb(lease, "output", b"%d" % seq, numbered)
        assert answer.status in (200, 204), answer
    assert whole(api, job_id) == (b"01", False)
    gap = api.verb(lease, "output", b"3", {**TEXT, "Producer-Id": "w", "Producer-Epoch": "0", "Producer-Seq": "3"})
    assert gap.problem == "producer-gap" and gap.header("producer-expected-seq") == "2"


def test_what_makes_no_sense(api, queue):
    job_id, lease = running(api, queue)
    assert api.call("POST", output(job_id), b"x", TEXT).problem == "bad-request"  # no token
    assert api.verb(lease, "output", b"", TEXT).problem == "bad-request"
    assert api.verb(lease, "output", b"x", {**TEXT, "Stream-Closed": "true"}).problem == "bad-request"
    assert api.call("PUT", output(job_id), b"x", TEXT).status == 405
    assert api.call("DELETE", output(job_id)).status == 405
    assert api.get(output("0" * 32)).problem == "not-found"
    assert api.get(output("nonsense")).problem == "not-found"
    assert api.get(f"{output(job_id)}?live=long-poll").problem == "bad-request"
    assert whole(api, job_id) == (b"", False)


def test_its_path_is_nobody_elses(api, queue):
    job_id, lease = running(api, queue)
    write(api, lease, b"x")
    path = f"/v1/stream/__jobs/{job_id}"
    for method, body in (("GET", None), ("PUT", b""), ("POST", b"y"), ("DELETE", None)):
        assert api.call(method, path, body, TEXT).problem == "bad-request", method
    assert api.call("PUT", "/v1/stream/test/fork", b"", {"Stream-Forked-From": path}).problem == "bad-request"
    assert api.call("GET", "/v1/stream/%5f_jobs/" + job_id).problem == "bad-request"
    assert job_id not in api.ok("GET", "/v1/streams").body.decode()


# --- following

def test_two_who_wait_before_the_first_word(server, api, queue):
    job_id = api.submit(queue, b"x")["id"]
    waiting = poll(server, output(job_id), "-1")
    follower = Follower(server, output(job_id), "-1", "&wait=30s")
    assert follower.head().header("stream-sse-data-encoding") is None
    assert follower.control()["upToDate"] and follower.place == START
    server.until_parked(2)
    lease = api.claim_one(queue)
    server.pulse()
    assert waiting.quiet()
    write(api, lease, b"hello\n")
    first = waiting.answer()
    assert first.status == 200 and first.body == b"hello\n" and first.header("content-type") == "text/plain"
    assert follower.data()[0] == b"hello\n"
    waiting.ask("GET", f"{output(job_id)}?offset={tail(first)}&live=long-poll&wait=30s")
    server.until_parked(2)
    write(api, lease, b"world\n")
    second = waiting.answer()
    assert second.body == b"world\n" and follower.data()[0] == b"world\n"
    waiting.ask("GET", f"{output(job_id)}?offset={tail(second)}&live=long-poll&wait=30s")
    server.until_parked(2)
    api.done(lease, b"")
    last = waiting.answer()
    assert last.status == 204 and last.header("stream-closed") == "true"
    assert follower.control()["streamClosed"] and follower.over()
    waiting.close()


def test_events_begun_before_it_was_known_that_it_is_no_text(server, api, queue):
    job_id = api.submit(queue, b"x")["id"]
    follower = Follower(server, output(job_id), "-1", "&wait=30s")
    follower.head()
    follower.control()
    server.until_parked(1)
    write(api, api.claim_one(queue), b"\0\xff", BINARY)
    assert follower.over()  # comes back, and hears how it is written
    follower = Follower(server, output(job_id), follower.place, "&wait=0")
    assert follower.head().header("stream-sse-data-encoding") == "base64"
    assert follower.data()[0] == b"AP8="


@pytest.mark.parametrize("live", ["long-poll", "sse"])
def test_an_end_without_a_word(server, api, queue, live):
    job_id = api.submit(queue, b"x")["id"]
    before = server.parked()
    conn = server.ask("GET", f"{output(job_id)}?offset=-1&live={live}&wait=30s")
    server.until_parked(before + 1)
    api.ok("DELETE", f"/v1/jobs/{job_id}")
    answer = conn.answer()
    if live == "sse":
        assert answer.body.endswith(b'"streamClosed":true}\n\n')
    else:
        assert answer.status == 204 and answer.header("stream-closed") == "true"
    assert whole(api, job_id) == (b"", True)
    conn.close()


def test_forgotten(server, api, queue):
    job_id, lease = running(api, queue)
    write(api, lease, b"x")
    waiting = poll(server, output(job_id))
    api.ok("DELETE", f"/v1/jobs/{job_id}?forget=true", status=204)
    # Canceled first: that closed it, and then there was nothing to come back to.
    last = waiting.answer()
    assert last.status == 204 and last.header("stream-closed") == "true"
    assert api.get(output(job_id)).problem == "not-found"
    assert api.verb(lease, "output", b"y", TEXT).problem == "not-found"
    waiting.close()


# --- who may write, and until when

def test_an_old_worker_is_fenced(server, api, queue):
    job_id = api.submit(queue, b"x")["id"]
    old = api.claim_one(queue, lease="1s")
    write(api, old, b"one ")
    new = server.eventually(lambda: api.claim_one(queue, wait="1s"), "the lease runs out")
    assert api.verb(old, "output", b"stale", TEXT).problem == "fenced"
    write(api, new, b"two")
    assert whole(api, job_id) == (b"one two", False)
    assert api.job(job_id)["attempt"] == 2


def test_a_retry_goes_on_in_it_and_the_last_failure_closes_it(server, api, queue):
    job_id, lease = running(api, queue, **{"Job-Max-Attempts": "2"})
    write(api, lease, b"first ")
    waiting = poll(server, output(job_id))
    api.fail(lease, error="no", retry=True, delay="0")
    server.pulse()
    assert waiting.quiet()
    lease = api.claim_one(queue, wait="5s")
    write(api, lease, b"second")
    assert waiting.answer().body == b"second"
    api.fail(lease, error="no", retry=True, delay="0")
    assert whole(api, job_id) == (b"first second", True)
    assert api.verb(lease, "output", b"late", TEXT).problem == "already-done"
    api.ok("POST", f"/v1/queues/{queue}/kick", {"n": 1})
    assert whole(api, job_id) == (b"", False)
    lease = api.claim_one(queue)
    write(api, lease, b"anew")
    assert whole(api, job_id) == (b"anew", False)
    waiting.close()


def test_canceled(server, api, queue):
    job_id, lease = running(api, queue)
    write(api, lease, b"x")
    waiting = poll(server, output(job_id))
    api.ok("DELETE", f"/v1/jobs/{job_id}")
    last = waiting.answer()
    assert last.status == 204 and last.header("stream-closed") == "true"
    assert api.verb(lease, "output", b"late", TEXT).problem == "canceled"
    assert whole(api, job_id) == (b"x", True)
    waiting.close()


def test_gone_with_its_job(fresh):
    server = fresh("--tombstone", "1h")
    api = server.api
    job_id, lease = running(api, "q", **{"Job-Retain": "1s"})
    write(api, lease, b"x")
    api.done(lease, b"")
    assert whole(api, job_id) == (b"x", True)
    server.eventually(lambda: api.get(output(job_id)).status == 410, "it expires")
    assert api.get(output(job_id)).problem == "gone"
    server.kill9()
    server.start()
    assert server.api.get(output(job_id)).problem == "gone"


def test_as_long_as_it_may_be(fresh):
    server = fresh("--max-output-bytes", "4K")
    api = server.api
    job_id, lease = running(api, "q")
    write(api, lease, b"a" * 3000)
    answer = api.verb(lease, "output", b"b" * 3000, TEXT)
    assert answer.status == 413 and answer.problem == "output-full"
    answer = api.verb(lease, "output", b"b" * 5000, TEXT)  # not even taken in
    assert answer.status == 413 and answer.problem == "output-full"
    write(api, lease, b"c" * 500)
    with server.open() as conn:
        answer = conn.call("POST", output(job_id), {"Job-Token": lease.token}, [b"d" * 3000] * 2, chunked=True)
        assert answer.status == 413 and answer.problem == "too-large"
    api.beat(lease)
    api.done(lease, b"result")
    assert whole(api, job_id) == (b"a" * 3000 + b"c" * 500, True)
    assert api.get("/problems/output-full").status == 200


def test_as_many_streams_as_there_may_be(fresh):
    server = fresh("--max-streams", "1")
    api = server.api
    api.ok("PUT", "/v1/stream/a", b"", TEXT, 201)
    job_id, lease = running(api, "q")
    assert api.verb(lease, "output", b"x", TEXT).problem == "server-full"
    assert whole(api, job_id) == (b"", False)
    api.ok("DELETE", "/v1/stream/a", status=204)
    write(api, lease, b"x")


# --- over crashes

def test_it_holds_over_a_crash(fresh):
    server = fresh()
    job_id, lease = running(server.api, "q")
    end = tail(write(server.api, lease, b"one\n"))
    server.kill9()
    server.start()
    api = server.api
    assert whole(api, job_id) == (b"one\n", False)
    waiting = poll(server, output(job_id), end)
    write(api, lease, b"two\n")
    assert waiting.answer().body == b"two\n"
    waiting.close()
    api.done(lease, b"result")
    server.kill9()
    server.start()
    assert whole(server.api, job_id) == (b"one\ntwo\n", True)
    assert server.api.ok("GET", f"/v1/jobs/{job_id}/result").body == b"result"


def test_followed_over_crashes_to_the_end(fresh):
    """Whoever comes back with his place hears everything once, whatever the server goes through; so does a worker's repeat."""
    server = fresh()
    job_id, lease = running(server.api, "q", **{"Job-Lease": "10m"})
    told, offset, sse, place = b"", "-1", b"", "-1"
    for seq in range(12):
        numbered = {**TEXT, "Producer-Id": "w", "Producer-Epoch": "0", "Producer-Seq": str(seq)}
        for _ in range(2):  # repeated, as after an answer that was lost
            assert server.api.verb(lease, "output", b"line %d\n" % seq, numbered).status in (200, 204)
        if seq % 4 == 1:
            server.kill9()
            server.start()
        answer = server.api.get(f"{output(job_id)}?offset={offset}&live=long-poll&wait=30s")
        told, offset = told + answer.body, tail(answer)
        follower = Follower(server, output(job_id), place, "&wait=0")
        follower.head()
        sse, place = sse + follower.data()[0], follower.place
        follower.conn.close()
    server.api.done(lease, b"")
    expected = b"".join(b"line %d\n" % seq for seq in range(12))
    assert told == sse == expected
    assert follow_all(server, job_id, offset) == []
    assert b"".join(follow_all(server, job_id)) == expected


def test_the_metrics_count_it_among_the_streams(fresh):
    server = fresh()
    _, lease = running(server.api, "q")
    write(server.api, lease, b"x")
    assert re.search(r"^bide_streams 1$", server.api.ok("GET", "/metrics").body.decode(), re.M)
