"""Results: whole and in ranges, every end of a job, retention, cancel and forget."""

import os

import pytest


def finished(api, queue, result=b"0123456789", content_type="text/plain", headers=None):
    job = api.submit(queue, b"", headers)
    api.done(api.claim_one(queue), result, content_type)
    return f"/v1/jobs/{job['id']}/result"


def test_a_result_is_the_workers_bytes_and_type(api, queue):
    answer = api.get(finished(api, queue, b"\x00\xffresult\r\n", "image/x; a=b"))
    assert (answer.status, answer.body, answer.header("content-type")) == (200, b"\x00\xffresult\r\n", "image/x; a=b")
    assert answer.header("accept-ranges") == "bytes"
    assert answer.header("content-length") == "10"


@pytest.mark.parametrize("size", [0, 1, 65536, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_a_result_of_any_size_comes_back_whole(api, queue, size):
    result = os.urandom(size)
    assert api.get(finished(api, queue, result)).body == result


def test_a_chunked_result_is_taken_too(server, api, queue):
    job = api.submit(queue)
    lease = api.claim_one(queue)
    with server.open() as conn:
        answer = conn.call("POST", f"/v1/jobs/{job['id']}/done", {"Job-Token": lease.token}, [b"ab", b"cd" * 1000], chunked=True)
        assert answer.status == 204
    assert api.get(f"/v1/jobs/{job['id']}/result").body == b"ab" + b"cd" * 1000


def test_a_result_can_be_waited_for(server, api, queue):
    job = api.submit(queue)
    conn = server.ask("GET", f"/v1/jobs/{job['id']}/result?wait=30s")
    server.until_parked(1)
    api.done(api.claim_one(queue), b"here", "a/b")
    answer = conn.answer()
    assert (answer.status, answer.body, answer.header("content-type")) == (200, b"here", "a/b")
    assert answer.header("preference-applied") == "wait=30"


def test_a_large_result_reaches_all_who_wait_for_it(server, api, queue):
    job, result = api.submit(queue), os.urandom(3 << 20)
    conns = [server.ask("GET", f"/v1/jobs/{job['id']}/result?wait=30s") for _ in range(5)]
    server.until_parked(5)
    api.done(api.claim_one(queue), result)
    assert all(conn.answer().body == result for conn in conns)


@pytest.mark.parametrize("query", ["", "?wait=50ms"])
def test_a_result_not_there_at_the_deadline_is_202(api, queue, query):
    job = api.submit(queue)
    answer = api.get(f"/v1/jobs/{job['id']}/result{query}")
    assert answer.status == 202
    assert answer.header("location") == f"/v1/jobs/{job['id']}/result" or answer.header("location") == f"/v1/jobs/{job['id']}"
    assert int(answer.header("retry-after")) >= 1


@pytest.mark.parametrize("spec,start,end", [("0-0", 0, 0), ("2-4", 2, 4), ("5-", 5, 9), ("-3", 7, 9), ("0-99", 0, 9), ("-99", 0, 9),
                                            ("9-9", 9, 9)])
def test_a_range_is_206_with_its_bytes(api, queue, spec, start, end):
    path = finished(api, queue)
    answer = api.get(path, {"Range": f"bytes={spec}"})
    assert (answer.status, answer.body) == (206, b"0123456789"[start:end + 1])
    assert answer.header("content-range") == f"bytes {start}-{end}/10"


@pytest.mark.parametrize("spec", ["10-", "10-20", "-0"])
def test_a_range_beyond_the_end_is_416(api, queue, spec):
    answer = api.get(finished(api, queue), {"Range": f"bytes={spec}"})
    assert (answer.status, answer.problem) == (416, "range-not-satisfiable")
    assert answer.header("content-range") == "bytes */10"


@pytest.mark.parametrize("spec", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=", "bytes", "bytes=--1", "bytes=1-2-3"])
def test_a_range_that_is_none_is_ignored(api, queue, spec):
    answer = api.get(finished(api, queue), {"Range": spec})
    assert (answer.status, answer.body) == (200, b"0123456789")


def test_several_ranges_are_answered_whole_or_as_multipart(api, queue):
    answer = api.get(finished(api, queue), {"Range": "bytes=0-1,4-5"})
    assert answer.status == 200 and answer.body == b"0123456789" or \
        answer.status == 206 and answer.header("content-type").startswith("multipart/byteranges")


@pytest.mark.parametrize("start,end", [(0, 9), (1048570, 1048590), (3000000, 3145727)])
def test_ranges_of_a_large_result(api, queue, start, end):
    result = os.urandom(3 << 20)
    answer = api.get(finished(api, queue, result), {"Range": f"bytes={start}-{end}"})
    assert answer.status == 206 and answer.body == result[start:end + 1]


def test_head_has_the_headers_of_get_and_no_body(server, api, queue):
    path = finished(api, queue)
    got = api.get(path)
    with server.open() as conn:
        head = conn.call("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        for name in ("content-length", "content-type", "accept-ranges"):
            assert head.header(name) == got.header(name)
        assert conn.call("GET", path).body == b"0123456789"  # nothing of a body was left on the way


def test_a_failed_job_answers_with_the_problem_the_worker_stored(api, queue):
    job = api.submit(queue, b"", {"Job-Max-Attempts": "1"})
    problem = {"type": "https://example.org/codec", "title": "no codec", "status": 422, "detail": "vp9", "extra": [1, {"a": None}]}
    api.fail(api.claim_one(queue), error=problem, retry=False)
    answer = api.get(f"/v1/jobs/{job['id']}/result")
    assert (answer.status, answer.header("job-state")) == (422, "failed")
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json() == problem
    assert answer.header("cache-control") == "no-store"
    assert api.job(job["id"])["error"] == problem


@pytest.mark.parametrize("error", ["just text \"quoted\" \u00e9\u4e2d\U0001f600", {"status": 200}, {"status": 999, "title": "t"}, None])
def test_a_failed_job_without_a_usable_status_is_500(api, queue, error):
    job = api.submit(queue, b"", {"Job-Max-Attempts": "1"})
    api.fail(api.claim_one(queue), error=error)
    answer = api.get(f"/v1/jobs/{job['id']}/result")
    assert (answer.status, answer.header("job-state")) == (500, "failed"), answer
    assert answer.header("content-type") == "application/problem+json" and answer.json()
    if error is not None:
        assert api.job(job["id"])["error"] == error


def test_a_result_wait_ends_when_the_job_fails_or_is_canceled(server, api, queue):
    for end in ("fail", "cancel"):
        job = api.submit(queue)
        conn = server.ask("GET", f"/v1/jobs/{job['id']}/result?wait=30s")
        server.until_parked(1)
        if end == "fail":
            api.fail(api.claim_one(queue), error="e", retry=False)
            assert (conn.answer().status) == 500
        else:
            api.ok("DELETE", f"/v1/jobs/{job['id']}")
            answer = conn.answer()
            assert (answer.status, answer.header("job-state"), answer.problem) == (410, "canceled", "canceled")


def test_cancel_is_immediate_idempotent_and_final(api, queue):
    job = api.submit(queue)
    for _ in range(3):
        assert api.ok("DELETE", f"/v1/jobs/{job['id']}").json()["state"] == "canceled"
    assert api.claim_one(queue) is None
    answer = api.get(f"/v1/jobs/{job['id']}/result")
    assert (answer.status, answer.header("job-state")) == (410, "canceled")


def test_a_delayed_job_can_be_canceled(api, queue):
    job = api.submit(queue, b"", {"Job-Delay": "1h"})
    assert api.ok("DELETE", f"/v1/jobs/{job['id']}").json()["state"] == "canceled"


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_finished_job_cannot_be_canceled(api, queue, end):
    job = api.submit(queue)
    lease = api.claim_one(queue)
    api.done(lease, b"r") if end == "done" else api.fail(lease, error="x", retry=False)
    answer = api.call("DELETE", f"/v1/jobs/{job['id']}")
    assert (answer.status, answer.problem) == (409, "conflict")
    assert api.job(job["id"])["state"] == end


def test_forget_drops_the_record(api, queue):
    path = finished(api, queue)
    job = path.rsplit("/", 1)[0]
    assert api.call("DELETE", job + "?forget=true").status == 204
    for gone in (api.get(job), api.get(path), api.call("DELETE", job), api.get(job + "?wait=10s")):
        assert (gone.status, gone.problem) == (404, "not-found")
    assert api.ok("GET", f"/v1/jobs?queue={queue}").json()["jobs"] == []


def test_forget_cancels_what_is_not_finished_and_its_waits_end(server, api, queue):
    job = api.submit(queue)
    conn = server.ask("GET", f"/v1/jobs/{job['id']}?wait=30s")
    server.until_parked(1)
    assert api.call("DELETE", f"/v1/jobs/{job['id']}?forget=true").status == 204
    answer = conn.answer()
    assert answer.status in (404, 410) or answer.json()["state"] == "canceled"
    assert api.get(f"/v1/jobs/{job['id']}").status == 404


def test_forgetting_a_running_job_fences_its_worker(api, queue):
    job = api.submit(queue)
    lease = api.claim_one(queue)
    assert api.call("DELETE", f"/v1/jobs/{job['id']}?forget=true").status == 204
    assert api.verb(lease, "done", b"late").status in (404, 409)
    assert api.get(f"/v1/jobs/{job['id']}").status == 404


def test_a_name_and_a_key_are_free_again_after_forget(api, queue):
    first = api.ok("PUT", f"/v1/queues/{queue}/jobs/n", b"a", status=202).json()
    api.ok("DELETE", f"/v1/jobs/{first['id']}?forget=true", status=204)
    second = api.ok("PUT", f"/v1/queues/{queue}/jobs/n", b"b", status=202).json()
    assert second["id"] != first["id"]


def test_past_retention_the_result_is_410(server, api, queue):
    path = finished(api, queue, headers={"Job-Retain": "1s"})
    assert api.get(path).status == 200
    gone = server.eventually(lambda: (a := api.get(path)).status != 200 and a, "retention over")
    assert (gone.status, gone.problem) == (410, "gone"), gone


def test_retention_counts_from_the_end_not_from_the_submit(server, api, queue):
    job = api.submit(queue, b"", {"Job-Retain": "1s"})
    other = api.submit(queue, b"", {"Job-Delay": "1200ms"})
    lease = api.claim_one(queue)
    assert lease.id == job["id"]
    assert api.claim_one(queue, wait="10s").id == other["id"]  # more than the retention has passed
    api.done(lease, b"still here")
    assert api.get(f"/v1/jobs/{job['id']}/result").body == b"still here"


def test_unknown_foreign_and_misspelt_handles_are_404(api, queue):
    real = api.submit(queue)["id"]
    for handle in ("a" * 32, "0" * 32, real[:-1], real + "a", real.upper(), "x", "..", "%2e%2e", real[::-1], "a" * 31 + "%00"):
        for path in (f"/v1/jobs/{handle}", f"/v1/jobs/{handle}/result", f"/v1/jobs/{handle}?wait=10s"):
            answer = api.get(path)
            assert answer.status in (400, 404) and answer.problem in ("not-found", "bad-request"), (path, answer)
        assert api.call("DELETE", f"/v1/jobs/{handle}").status in (400, 404, 405)


def test_a_handle_of_another_server_is_404(fresh, api, queue):
    foreign = fresh("--sync", "os").api.submit(queue)["id"]
    assert api.get(f"/v1/jobs/{foreign}").status == 404
    assert api.call("DELETE", f"/v1/jobs/{foreign}").status == 404
    assert api.call("POST", f"/v1/jobs/{foreign}/done", b"x", {"Job-Token": "0" * 13}).status == 404
