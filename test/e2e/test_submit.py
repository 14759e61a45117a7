"""Submitting: any body, every header, names and idempotency keys."""

import hashlib
import json

import pytest


def test_a_submit_answers_202_with_the_handle_and_the_job(api, queue):
    answer = api.call("POST", f"/v1/queues/{queue}/jobs", b"hello", {"Content-Type": "text/plain"})
    job = answer.json()
    assert answer.status == 202
    assert answer.header("location") == f"/v1/jobs/{job['id']}"
    assert answer.header("retry-after") == "1"
    assert answer.header("content-type") == "application/json"
    assert set(job) >= {"id", "queue", "state", "done", "revision", "attempt", "progress", "message", "created", "updated",
                        "error", "result"}
    assert (job["queue"], job["state"], job["done"], job["attempt"]) == (queue, "ready", False, 0)
    assert job["error"] is None and job["result"] is None and job["progress"] is None and job["message"] is None


def test_a_handle_is_32_characters_of_lower_case_base32_and_never_the_same(api, queue):
    ids = {api.submit(queue)["id"] for _ in range(200)}
    assert len(ids) == 200
    assert all(len(i) == 32 and set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789") for i in ids)


def test_times_are_rfc_3339_utc(api, queue):
    import datetime
    job = api.submit(queue)
    for field in ("created", "updated"):
        assert job[field].endswith("Z")
        told = datetime.datetime.fromisoformat(job[field].replace("Z", "+00:00"))
        assert abs((datetime.datetime.now(datetime.timezone.utc) - told).total_seconds()) < 60


def test_time_counts_from_now_after_a_rest_whichever_thread_is_asked(fresh):
    import datetime
    server = fresh("--threads", "2")
    assert server.api.call("PUT", "/v1/stream/rest").status == 201
    conns = [server.open() for _ in range(4)]
    for conn in conns:  # none is new when it counts: a new one would wake the thread that keeps the time
        assert conn.call("GET", "/v1/stream/rest").status == 200
    for conn in conns:
        # Held on its own thread to the end; the thread that keeps the time sleeps meanwhile.
        assert conn.call("GET", "/v1/stream/rest?offset=now&live=long-poll&wait=500ms").status == 204
        before = datetime.datetime.now(datetime.timezone.utc)
        job = conn.call("POST", "/v1/queues/rest/jobs", {}, b"").json()
        created = datetime.datetime.fromisoformat(job["created"].replace("Z", "+00:00"))
        assert (before - created).total_seconds() < 0.2


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff\r\n\r\n" * 50, bytes(range(256)) * 256, b"a" * (1 << 20), b"b" * ((1 << 20) + 1)],
                         ids=["empty", "one", "binary", "64KiB", "1MiB", "1MiB+1"])
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_body_arrives_at_the_worker_as_it_was(server, api, queue, body, chunked):
    parts = [body[at:at + 7000] for at in range(0, len(body), 7000)] if chunked else body
    with server.open() as conn:
        answer = conn.call("POST", f"/v1/queues/{queue}/jobs", {"Content-Type": "x/y; z=1"}, parts, chunked)
    assert answer.status == 202, answer
    lease = api.claim_one(queue)
    assert lease.id == answer.json()["id"]
    assert lease.body == body
    assert lease.fields.header("content-type") == "x/y; z=1"


def test_a_post_without_framing_headers_is_an_empty_body(server, api, queue):
    with server.open() as conn:
        assert conn.call("POST", f"/v1/queues/{queue}/jobs").status == 202
    assert api.claim_one(queue).body == b""


def test_a_5_mib_body_goes_to_a_blob_and_comes_back_by_body_url(api, queue):
    body = hashlib.sha256(b"seed").digest() * (5 * 1024 * 1024 // 32)
    job = api.submit(queue, body, {"Content-Type": "video/x"})
    lease, = api.claim(queue)
    assert lease.id == job["id"] and "body_base64" not in lease.fields
    assert lease.fields["size"] == len(body) and lease.fields["content_type"] == "video/x"
    assert lease.fields["body_url"] == f"/v1/jobs/{job['id']}/body"
    got = api.ok("GET", lease.fields["body_url"], headers={"Job-Token": lease.token})
    assert got.body == body and got.header("content-type") == "video/x"


def test_the_body_is_only_for_the_holder_of_the_token(api, queue):
    job = api.submit(queue, b"secret")
    path = f"/v1/jobs/{job['id']}/body"
    assert api.get(path).problem == "bad-request"
    assert api.get(path, {"Job-Token": "0" * 13}).problem == "fenced"
    lease = api.claim_one(queue)
    assert api.get(path, {"Job-Token": lease.token}).body == b"secret"


def test_a_body_cut_short_makes_no_job(server, api, queue):
    for kind in ("close", "reset"):
        conn = server.open()
        conn.send(b"POST /v1/queues/%s/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf" % queue.encode())
        getattr(conn, kind)()
        conn = server.open()
        conn.send(b"POST /v1/queues/%s/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal" % queue.encode())
        getattr(conn, kind)()
    whole = api.submit(queue, b"whole")
    jobs = api.ok("GET", f"/v1/jobs?queue={queue}").json()["jobs"]
    assert [j["id"] for j in jobs] == [whole["id"]]


def test_a_delayed_job_is_given_to_a_waiting_worker_when_its_time_comes(api, queue):
    job = api.submit(queue, b"", {"Job-Delay": "300ms"})
    assert job["state"] == "delayed"
    assert api.claim_one(queue) is None
    lease = api.claim_one(queue, wait="10s")
    assert lease.id == job["id"]


def test_a_delay_passes_in_the_order_of_times_not_of_submits(api, queue):
    late = api.submit(queue, b"", {"Job-Delay": "600ms"})
    soon = api.submit(queue, b"", {"Job-Delay": "200ms"})
    assert [api.claim_one(queue, wait="10s").id for _ in range(2)] == [soon["id"], late["id"]]


def test_smaller_priority_numbers_go_first_and_equal_ones_in_order(api, queue):
    plan = [("1000", "c"), ("5", "a"), (None, "d"), ("4294967295", "z"), ("0", "first"), ("5", "b")]
    for priority, name in plan:
        api.submit(queue, name.encode(), {"Job-Priority": priority} if priority else {})
    order = [lease.body.decode() for lease in api.claim(queue, most=10)]
    assert order == ["first", "a", "b", "c", "d", "z"]


@pytest.mark.parametrize("header,value", [
    ("Job-Delay", "soon"), ("Job-Delay", "-1"), ("Job-Delay", "5 s"), ("Job-Delay", ""), ("Job-Delay", "99999999999999999999"),
    ("Job-Priority", "-1"), ("Job-Priority", "4294967296"), ("Job-Priority", "1.5"), ("Job-Priority", "high"),
    ("Job-Max-Attempts", "0"), ("Job-Max-Attempts", "x"), ("Job-Lease", "forever"), ("Job-Lease", "0"), ("Job-Retain", "1y"),
    ("Cancel-After", "never"), ("Idempotency-Key", "k" * 257)])
def test_a_header_that_makes_no_sense_is_400_and_makes_no_job(api, queue, header, value):
    answer = api.call("POST", f"/v1/queues/{queue}/jobs", b"x", {header: value})
    assert (answer.status, answer.problem) == (400, "bad-request"), answer
    assert api.claim_one(queue) is None


@pytest.mark.parametrize("value,seconds", [("2", 2), ("3s", 3), ("1500ms", 1.5), ("5m", 300), ("2h", 7200), ("7d", 604800)])
def test_a_lease_takes_every_form_of_duration(api, queue, value, seconds):
    import datetime
    api.submit(queue, b"", {"Job-Lease": value})
    answer = api.call("POST", f"/v1/queues/{queue}/claim?wait=0", b"")
    deadline = datetime.datetime.fromisoformat(answer.header("job-deadline").replace("Z", "+00:00"))
    left = (deadline - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    assert seconds - 1.5 < left <= seconds + 1.5


def test_cancel_after_cancels_a_job_nobody_took(api, queue):
    job = api.submit(queue, b"", {"Cancel-After": "200ms"})
    after = api.job(job["id"], "?wait=10s")
    assert (after["state"], after["done"]) == ("canceled", True)
    assert api.claim_one(queue) is None


def test_cancel_after_cancels_a_running_job_and_its_worker_learns_it(api, queue):
    job = api.submit(queue, b"", {"Cancel-After": "300ms"})
    lease = api.claim_one(queue)
    assert api.job(job["id"], "?wait=10s")["state"] == "canceled"
    assert api.beat(lease)["cancel"] is True


def test_cancel_after_does_nothing_to_a_finished_job(server, api, queue):
    job = api.submit(queue, b"", {"Cancel-After": "200ms"})
    api.done(api.claim_one(queue), b"in time")
    other = api.submit(queue, b"", {"Cancel-After": "400ms"})
    assert api.job(other["id"], "?wait=10s")["state"] == "canceled"
    assert api.job(job["id"])["state"] == "done"


def test_the_same_idempotency_key_gives_the_same_handle(api, queue):
    headers = {"Idempotency-Key": '"k-1"', "Content-Type": "text/plain"}
    first = api.submit(queue, b"once", headers)
    again = api.submit(queue, b"once", headers)
    assert again["id"] == first["id"]
    lease = api.claim_one(queue)
    assert api.submit(queue, b"once", headers)["id"] == first["id"]
    api.done(lease, b"r")
    answer = api.call("POST", f"/v1/queues/{queue}/jobs", b"once", headers)
    assert answer.status in (200, 202) and answer.json()["id"] == first["id"]
    assert api.claim_one(queue) is None
    assert api.queue(queue)["totals"]["submitted"] == 1


@pytest.mark.parametrize("body,headers", [(b"other", {}), (b"once", {"Job-Priority": "1"}), (b"once", {"Content-Type": "b/c"})],
                         ids=["body", "priority", "type"])
def test_the_same_idempotency_key_with_a_different_request_is_422(api, queue, body, headers):
    first = {"Idempotency-Key": '"k-2"', "Content-Type": "text/plain"}
    api.submit(queue, b"once", first)
    answer = api.call("POST", f"/v1/queues/{queue}/jobs", body, {**first, **headers})
    assert (answer.status, answer.problem) == (422, "idempotency-mismatch")


def test_a_large_body_is_compared_too_under_an_idempotency_key(api, queue):
    headers, body = {"Idempotency-Key": '"k-3"'}, b"z" * (2 << 20)
    first = api.submit(queue, body, headers)
    assert api.submit(queue, body, headers)["id"] == first["id"]
    assert api.call("POST", f"/v1/queues/{queue}/jobs", body[:-1] + b"y", headers).status == 422


def test_the_same_key_at_the_same_time_on_two_connections_makes_one_job(server, api, queue):
    conns = [server.open() for _ in range(8)]
    for conn in conns:
        conn.ask("POST", f"/v1/queues/{queue}/jobs", {"Idempotency-Key": '"race"'}, b"one")
    assert len({conn.answer().json()["id"] for conn in conns}) == 1
    assert len(api.claim(queue, most=10)) == 1


def test_put_under_a_name_repeats_to_the_same_handle_and_differs_to_409(api, queue):
    path = f"/v1/queues/{queue}/jobs/nightly-2026.11"
    first = api.ok("PUT", path, b"a", status=202)
    job = first.json()
    assert job["name"] == "nightly-2026.11" and first.header("location") == f"/v1/jobs/{job['id']}"
    assert api.ok("PUT", path, b"a", status=202).json()["id"] == job["id"]
    differs = api.call("PUT", path, b"b")
    assert (differs.status, differs.problem) == (409, "conflict")
    assert api.job(job["id"])["name"] == "nightly-2026.11"
    lease, = api.claim(queue)
    assert lease.fields["headers"]["name"] == "nightly-2026.11"


def test_the_same_name_in_two_queues_is_two_jobs(api, queue):
    one = api.ok("PUT", f"/v1/queues/{queue}/jobs/n", b"a", status=202).json()
    two = api.ok("PUT", f"/v1/queues/{queue}.b/jobs/n", b"a", status=202).json()
    assert one["id"] != two["id"]


@pytest.mark.parametrize("name", ["x" * 129, "a%2Fb", "a%20b", "%00", "a%0Ab", "%ff"])
def test_a_bad_queue_or_job_name_is_refused(api, queue, name):
    for answer in (api.call("POST", f"/v1/queues/{name}/jobs", b""), api.call("PUT", f"/v1/queues/{queue}/jobs/{name}", b"")):
        assert answer.status in (400, 404) and answer.problem, answer


def test_a_queue_name_may_not_begin_with_a_dot_and_may_have_128_characters(api):
    assert api.call("POST", "/v1/queues/.hidden/jobs", b"").status in (400, 404)
    assert api.submit("n" * 128)["queue"] == "n" * 128


def test_submit_that_prefers_to_wait_answers_with_the_result_itself(server, api, queue):
    conn = server.ask("POST", f"/v1/queues/{queue}/jobs", {"Prefer": "wait=20"}, b"in")
    lease = api.claim_one(queue, wait="10s")
    assert conn.quiet()
    api.done(lease, b"<out>", "text/x-result")
    answer = conn.answer()
    assert (answer.status, answer.body, answer.header("content-type")) == (200, b"<out>", "text/x-result")
    assert answer.header("location") == f"/v1/jobs/{lease.id}"
    assert answer.header("preference-applied") == "wait=20"


def test_submit_that_prefers_to_wait_answers_202_at_the_deadline(api, queue):
    answer = api.call("POST", f"/v1/queues/{queue}/jobs?wait=50ms", b"in")
    assert answer.status == 202 and answer.json()["state"] == "ready" and answer.header("location")
    answer = api.call("POST", f"/v1/queues/{queue}/jobs", b"in", {"Prefer": "wait=1"})
    assert answer.status == 202 and answer.header("preference-applied") == "wait=1"


def test_submit_that_prefers_to_wait_tells_failure_as_the_workers_problem(server, api, queue):
    conn = server.ask("POST", f"/v1/queues/{queue}/jobs", {"Prefer": "wait=20", "Job-Max-Attempts": "1"}, b"in")
    lease = api.claim_one(queue, wait="10s")
    api.fail(lease, error={"type": "/x", "title": "no codec", "status": 415}, retry=False)
    answer = conn.answer()
    assert (answer.status, answer.header("job-state")) == (415, "failed")
    assert answer.json()["title"] == "no codec"


def test_a_client_that_left_while_its_submit_waited_comes_back_with_the_handle(server, api, queue):
    conn = server.ask("POST", f"/v1/queues/{queue}/jobs", {"Prefer": "wait=20"}, b"in")
    lease = api.claim_one(queue, wait="10s")
    conn.reset()
    api.done(lease, b"kept")
    assert api.get(f"/v1/jobs/{lease.id}/result").body == b"kept"


def test_preferences_other_than_wait_and_nonsense_are_ignored(api, queue):
    for prefer in ("respond-async", "wait=abc", "wait", 'foo="bar, wait=3"', "return=minimal, handling=lenient"):
        answer = api.call("POST", f"/v1/queues/{queue}/jobs", b"", {"Prefer": prefer})
        assert answer.status == 202, (prefer, answer)


def test_the_job_json_survives_any_text_in_names_and_types(api, queue):
    job = api.submit(queue, b"", {"Content-Type": 'text/plain; q="\\"<>&\x80\xff'.encode("latin-1").decode("latin-1")})
    lease, = api.claim(queue)
    assert lease.id == job["id"]
    assert json.loads(api.get(f"/v1/jobs/{job['id']}").body)["id"] == job["id"]


def test_the_client_gone_before_its_answer_leaves_a_whole_job_or_none(server, api, queue):
    before = server.info()["connections"]
    for _ in range(50):
        server.ask("POST", f"/v1/queues/{queue}/jobs", body=b"left").reset()
    server.eventually(lambda: server.info()["connections"] <= before + 1, "abandoned connections gone")
    marker = api.submit(queue, b"marker", {"Job-Priority": "4294967295"})
    leases = api.claim(queue, most=100)
    assert leases[-1].id == marker["id"] and all(lease.body == b"left" for lease in leases[:-1])
