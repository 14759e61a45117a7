"""A worker with a lease: beats, ends, retries, fencing, and a worker killed at each step."""

import pytest

VERBS = ["beat", "done", "fail", "release"]


@pytest.fixture
def lease(api, queue):
    api.submit(queue, b"work", {"Job-Max-Attempts": "3"})
    return api.claim_one(queue)


def refused(answer, status, problem):
    assert (answer.status, answer.problem) == (status, problem), answer


# -- beats


def test_a_beat_tells_progress_and_message(api, lease):
    told = api.beat(lease, progress=0.75, message="frame 75 of 100")
    assert set(told) >= {"deadline", "cancel", "drain"} and told["cancel"] is False and told["drain"] is False
    job = api.job(lease.id)
    assert (job["progress"], job["message"], job["state"]) == (0.75, "frame 75 of 100", "running")
    api.beat(lease, progress=1)
    assert api.job(lease.id)["progress"] == 1


def test_a_beat_extends_the_lease_counted_from_now(server, api, queue):
    api.submit(queue)
    lease = api.claim_one(queue, lease="1s")
    before = api.job(lease.id)["deadline"]
    extended = api.beat(lease, lease="120s")["deadline"]
    assert extended > before and api.job(lease.id)["deadline"] == extended
    assert api.claim(queue, wait="1300ms") == []  # the first lease would be over
    api.done(lease)


def test_an_empty_beat_extends_by_the_lease_it_has(api, queue):
    api.submit(queue)
    lease = api.claim_one(queue, lease="1s")
    for _ in range(4):
        assert api.claim(queue, wait="400ms") == []
        api.beat(lease)
    api.done(lease)


def test_a_beat_can_shorten_the_lease(api, queue, lease):
    api.beat(lease, lease="200ms")
    assert api.claim_one(queue, wait="10s").attempt == 2


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"progress":2}', b'{"progress":-0.1}', b'{"progress":"half"}', b'{"message":5}',
                                  b'{"lease":"0"}', b'{"lease":"x"}', b'{"progress":1e400}', b'{"message":"\xff"}'])
def test_a_beat_that_makes_no_sense_is_400_and_changes_nothing(api, lease, body):
    before = api.job(lease.id)
    refused(api.verb(lease, "beat", body), 400, "bad-request")
    assert api.job(lease.id) == before


# -- ends


def test_done_stores_the_result_once_and_the_identical_one_again_is_fine(api, lease):
    api.done(lease, b"result", "a/b")
    api.done(lease, b"result", "a/b")
    refused(api.verb(lease, "done", b"other", {"Content-Type": "a/b"}), 409, "already-done")
    answer = api.get(f"/v1/jobs/{lease.id}/result")
    assert (answer.body, answer.header("content-type")) == (b"result", "a/b")


def test_a_large_result_repeated_identically_is_fine_and_a_different_one_is_not(api, lease):
    big = b"r" * (3 << 20)
    api.done(lease, big)
    api.done(lease, big)
    refused(api.verb(lease, "done", big[:-1] + b"x", {"Content-Type": "application/octet-stream"}), 409, "already-done")
    assert api.get(f"/v1/jobs/{lease.id}/result").body == big


def test_after_done_nothing_else_is_taken(api, lease):
    api.done(lease, b"r")
    for verb in ("fail", "release", "beat"):
        answer = api.verb(lease, verb, b"{}")
        assert answer.status == 409 and answer.problem in ("already-done", "fenced", "conflict"), (verb, answer)
    assert api.job(lease.id)["state"] == "done"


def test_fail_without_retry_is_final(api, queue, lease):
    api.fail(lease, error="broken", retry=False)
    job = api.job(lease.id)
    assert (job["state"], job["done"], job["error"]) == ("failed", True, "broken")
    assert job["counts"]["failures"] == 1
    assert api.claim_one(queue) is None


def test_fail_is_retried_until_the_attempts_are_used_up(api, queue, lease):
    attempts = []
    while lease:
        attempts.append(lease.attempt)
        api.fail(lease, error=f"no {lease.attempt}", retry=True, delay="0s")
        lease = api.claim_one(queue, wait="10s") if len(attempts) < 3 else api.claim_one(queue)
    job, = api.ok("GET", f"/v1/jobs?queue={queue}").json()["jobs"]
    assert attempts == [1, 2, 3]
    assert (job["state"], job["attempt"], job["error"]) == ("failed", 3, "no 3")
    assert api.queue(queue)["totals"]["retries"] == 2


def test_retry_is_the_default_and_backs_off(api, queue, lease):
    api.fail(lease, error="once")
    assert api.job(lease.id)["state"] == "delayed"
    assert api.claim_one(queue) is None
    assert api.claim_one(queue, wait="15s").attempt == 2


def test_a_delay_given_with_fail_is_kept(api, queue, lease):
    api.fail(lease, error="later", delay="1h")
    assert api.job(lease.id)["state"] == "delayed"
    assert api.claim_one(queue, wait="50ms") is None


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"retry":"yes"}', b'{"delay":"x"}', b'{"delay":-1}', b'{"error":5}'])
def test_a_fail_that_makes_no_sense_is_400_and_changes_nothing(api, lease, body):
    refused(api.verb(lease, "fail", body), 400, "bad-request")
    assert api.job(lease.id)["state"] == "running"


def test_an_empty_fail_is_a_failure_without_a_word(api, lease):
    assert api.verb(lease, "fail").status == 204
    assert api.job(lease.id)["counts"]["failures"] == 1


def test_release_gives_back_and_is_not_counted_as_an_attempt(api, queue, lease):
    for count in range(1, 6):  # more often than there are attempts
        api.release(lease)
        lease = api.claim_one(queue, wait="10s")
        assert lease.attempt == 1
        assert api.job(lease.id)["counts"]["releases"] == count
    api.release(lease, delay="1h")
    assert api.job(lease.id)["state"] == "delayed"
    assert api.queue(queue)["totals"]["releases"] == 6


def test_kick_makes_failed_jobs_ready_again(api, queue):
    for _ in range(3):
        api.submit(queue, b"", {"Job-Max-Attempts": "1"})
        api.fail(api.claim_one(queue), error="x")
    assert api.ok("POST", f"/v1/queues/{queue}/kick", {"n": 2}).json() == {"kicked": 2}
    assert api.queue(queue)["counts"]["failed"] == 1 and api.queue(queue)["counts"]["ready"] == 2
    assert len(api.claim(queue, most=10)) == 2
    assert api.ok("POST", f"/v1/queues/{queue}/kick", {"n": 100}).json() == {"kicked": 1}
    assert api.ok("POST", f"/v1/queues/{queue}/kick", {"n": 100}).json() == {"kicked": 0}


def test_a_kicked_job_wakes_a_parked_worker_and_can_be_done(server, api, queue):
    job = api.submit(queue, b"", {"Job-Max-Attempts": "1"})
    api.fail(api.claim_one(queue), error="x")
    conn = server.ask("POST", f"/v1/queues/{queue}/claim?wait=30s", body=b"")
    server.until_waiting(queue, 1)
    api.ok("POST", f"/v1/queues/{queue}/kick", {"n": 1})
    answer = conn.answer()
    assert answer.header("job-id") == job["id"]
    done = api.call("POST", f"/v1/jobs/{job['id']}/done", b"at last", {"Job-Token": answer.header("job-token")})
    assert done.status == 204 and api.get(f"/v1/jobs/{job['id']}/result").body == b"at last"


@pytest.mark.parametrize("body", [b"{", b'{"n":-1}', b'{"n":"x"}', b"[]"])
def test_a_kick_that_makes_no_sense_is_400(api, queue, body):
    api.submit(queue)
    refused(api.call("POST", f"/v1/queues/{queue}/kick", body), 400, "bad-request")


# -- fencing


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_token_is_400(api, lease, verb):
    refused(api.call("POST", f"/v1/jobs/{lease.id}/{verb}", b"{}"), 400, "bad-request")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("token", ["0" * 13, "x", "a" * 13, "z" * 500, "{changed}", "{upper}"])
def test_a_foreign_token_is_fenced_and_nothing_changes(api, lease, verb, token):
    changed = ("b" if lease.token[0] != "b" else "c") + lease.token[1:]
    token = token.format(changed=changed, upper=lease.token.upper())
    if token == lease.token:
        return
    before = api.job(lease.id)
    answer = api.verb(lease, verb, b"{}", token=token)
    assert answer.status in (400, 409) and answer.problem in ("fenced", "bad-request"), answer
    assert api.job(lease.id) == before
    api.done(lease)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("loss", ["timeout", "release", "fail"])
def test_a_stale_token_is_fenced_and_the_new_holder_is_untouched(api, queue, verb, loss):
    api.submit(queue)
    stale = api.claim_one(queue, lease="100ms" if loss == "timeout" else "60s")
    if loss == "release":
        api.release(stale)
    elif loss == "fail":
        api.fail(stale, delay="0s")
    holder = api.claim_one(queue, wait="10s")
    assert holder.id == stale.id and holder.token != stale.token
    before = api.job(holder.id)
    refused(api.verb(stale, verb, b"{}"), 409, "fenced")
    assert api.job(holder.id) == before
    api.done(holder, b"mine")
    assert api.get(f"/v1/jobs/{holder.id}/result").body == b"mine"
    assert api.verb(stale, "done", b"stale").status == 409
    assert api.get(f"/v1/jobs/{holder.id}/result").body == b"mine"


@pytest.mark.parametrize("verb", VERBS)
def test_the_token_of_one_job_is_fenced_at_another(api, queue, verb):
    api.submit(queue)
    api.submit(queue)
    one, two = api.claim(queue, most=2)
    refused(api.verb(one, verb, b"{}", token=two.token), 409, "fenced")
    api.done(one)
    api.done(two)


def test_a_stale_worker_with_a_large_result_is_fenced_too(api, queue):
    api.submit(queue)
    stale = api.claim_one(queue, lease="100ms")
    holder = api.claim_one(queue, wait="10s")
    refused(api.verb(stale, "done", b"s" * (3 << 20)), 409, "fenced")
    api.done(holder, b"mine")
    assert api.get(f"/v1/jobs/{holder.id}/result").body == b"mine"


# -- cancel


def test_a_cancel_is_told_by_the_next_beat(api, lease):
    api.ok("DELETE", f"/v1/jobs/{lease.id}")
    assert api.beat(lease)["cancel"] is True
    assert api.beat(lease, progress=0.9)["cancel"] is True
    assert api.job(lease.id)["state"] == "canceled"


@pytest.mark.parametrize("verb", ["done", "fail", "release"])
def test_completion_after_cancel_is_refused(api, queue, lease, verb):
    api.ok("DELETE", f"/v1/jobs/{lease.id}")
    refused(api.verb(lease, verb, b"{}"), 409, "canceled")
    job = api.job(lease.id)
    assert job["state"] == "canceled" and job["result"] is None
    assert api.claim_one(queue) is None


def test_a_canceled_job_is_not_given_again_when_its_lease_ends(api, queue):
    api.submit(queue)
    lease = api.claim_one(queue, lease="100ms")
    api.ok("DELETE", f"/v1/jobs/{lease.id}")
    assert api.claim_one(queue, wait="400ms") is None
    assert api.job(lease.id)["state"] == "canceled"


# -- leases


def test_a_lease_that_ends_gives_the_job_to_the_next_and_counts_a_timeout(server, api, queue):
    job = api.submit(queue)
    api.claim_one(queue, lease="100ms")
    second = api.claim_one(queue, wait="10s")
    assert (second.id, second.attempt) == (job["id"], 2)
    assert api.job(job["id"])["counts"] == {"timeouts": 1, "failures": 0, "releases": 0, "lost_handoffs": 0}
    assert api.queue(queue)["totals"]["timeouts"] == 1
    api.done(second)


def test_attempts_used_up_by_timeouts_end_in_failed(api, queue):
    job = api.submit(queue, b"", {"Job-Max-Attempts": "2", "Job-Lease": "100ms"})
    for attempt in (1, 2):
        answer = api.call("POST", f"/v1/queues/{queue}/claim?wait=10s", b"")
        assert answer.header("job-attempt") == str(attempt)
    after = api.job(job["id"], "?wait=10s")
    assert (after["state"], after["counts"]["timeouts"]) == ("failed", 2)
    assert after["error"] is not None


# -- pause


def test_a_paused_queue_gives_nothing_and_resumes_with_what_waits(server, api, queue):
    api.submit(queue)
    assert api.ok("PATCH", f"/v1/queues/{queue}", {"paused": True}).json()["paused"] is True
    assert api.claim_one(queue, wait="50ms") is None
    conn = server.ask("POST", f"/v1/queues/{queue}/claim?wait=30s", body=b"")
    server.until_waiting(queue, 1)
    api.submit(queue)
    server.pulse()
    assert conn.quiet()
    assert api.ok("PATCH", f"/v1/queues/{queue}", {"paused": False}).json()["paused"] is False
    assert conn.answer().status == 200


def test_a_pause_lets_running_jobs_finish_and_survives_a_restart(fresh, queue):
    server = fresh()
    server.api.submit(queue)
    server.api.submit(queue)
    lease = server.api.claim_one(queue)
    server.api.ok("PATCH", f"/v1/queues/{queue}", {"paused": True})
    server.kill9()
    server.start()
    assert server.api.queue(queue)["paused"] is True
    server.api.done(lease, b"r")
    assert server.api.claim_one(queue) is None
    server.api.ok("PATCH", f"/v1/queues/{queue}", {"paused": False})
    assert server.api.claim_one(queue) is not None


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"paused":"yes"}', b'{"paused":1}', b"[]"])
def test_a_patch_that_makes_no_sense_is_400(api, queue, body):
    api.submit(queue)
    refused(api.call("PATCH", f"/v1/queues/{queue}", body), 400, "bad-request")


# -- a worker killed at each step


def finish_by_another(api, queue, job_id, attempt):
    lease = api.claim_one(queue, wait="10s")
    assert (lease.id, lease.attempt) == (job_id, attempt)
    api.done(lease, b"second")
    assert api.get(f"/v1/jobs/{job_id}/result").body == b"second"


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_worker_killed_after_its_claim(server, api, queue, leave):
    job = api.submit(queue)
    conn = server.ask("POST", f"/v1/queues/{queue}/claim?lease=200ms", body=b"")
    assert conn.answer().status == 200
    server.eventually(lambda: api.job(job["id"])["state"] == "running", "the server knows that it has it")
    getattr(conn, leave)()
    finish_by_another(api, queue, job["id"], 2)


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_worker_killed_after_a_beat_it_did_not_hear(server, api, queue, leave):
    job = api.submit(queue)
    lease = api.claim_one(queue, lease="200ms")
    conn = server.ask("POST", f"/v1/jobs/{job['id']}/beat", {"Job-Token": lease.token}, b'{"progress":0.5}')
    getattr(conn, leave)()
    finish_by_another(api, queue, job["id"], 2)


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("size", [1000, 4 << 20], ids=["small", "blob"])
def test_a_worker_killed_in_the_middle_of_its_result(server, api, queue, leave, size):
    job = api.submit(queue)
    lease = api.claim_one(queue, lease="300ms")
    conn = server.open()
    head = f"POST /v1/jobs/{job['id']}/done HTTP/1.1\r\nHost: x\r\nJob-Token: {lease.token}\r\nContent-Length: {size}\r\n\r\n"
    conn.send(head.encode() + b"h" * (size // 2))
    server.pulse()
    getattr(conn, leave)()
    assert api.job(job["id"])["done"] is False
    finish_by_another(api, queue, job["id"], 2)


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_worker_killed_after_its_whole_result_was_sent(server, api, queue, leave):
    """The answer is never read; the result counts or, if the bytes were dropped on the way, another does the job."""
    job = api.submit(queue)
    lease = api.claim_one(queue, lease="1s")
    conn = server.ask("POST", f"/v1/jobs/{job['id']}/done", {"Job-Token": lease.token}, b"first")
    getattr(conn, leave)()
    other = api.claim_one(queue, wait="1500ms")
    if other:
        api.done(other, b"second")
    assert api.get(f"/v1/jobs/{job['id']}/result?wait=10s").body == (b"second" if other else b"first")


def test_a_worker_that_asks_again_after_an_answer_it_did_not_hear(server, api, lease):
    conn = server.ask("POST", f"/v1/jobs/{lease.id}/done", {"Job-Token": lease.token}, b"r")
    server.eventually(lambda: api.job(lease.id)["done"], "done")
    conn.reset()
    assert api.verb(lease, "done", b"r").status == 204


def test_verbs_at_a_job_nobody_holds_are_fenced(api, queue):
    job = api.submit(queue)
    for verb in VERBS:
        refused(api.call("POST", f"/v1/jobs/{job['id']}/{verb}", b"{}", {"Job-Token": "0" * 13}), 409, "fenced")


def test_verbs_at_an_unknown_job_are_404(api):
    for verb in VERBS:
        refused(api.call("POST", f"/v1/jobs/{'a' * 32}/{verb}", b"{}", {"Job-Token": "0" * 13}), 404, "not-found")
