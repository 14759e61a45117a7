"""Waiting for a job: until it is done, until anything changed, until a stage; one handle or many."""

import time

import pytest


def wait_on(server, job, query):
    return server.ask("GET", f"/v1/jobs/{job['id']}?{query}")


def test_short_polling_answers_at_once(api, queue):
    job = api.submit(queue)
    for query in ("", "?wait=0", "?wait=0s"):
        assert api.job(job["id"], query) == api.job(job["id"])


def test_a_wait_is_held_until_the_job_is_done(server, api, queue):
    job = api.submit(queue)
    conn = wait_on(server, job, "wait=30s")
    server.until_parked(1)
    lease = api.claim_one(queue)
    api.beat(lease, progress=0.5)
    server.pulse()
    assert conn.quiet()  # neither the claim nor the progress ends a wait for the end
    api.done(lease, b"123")
    told = conn.answer()
    assert told.status == 200 and told.header("preference-applied") == "wait=30"
    after = told.json()
    assert (after["state"], after["done"], after["attempt"]) == ("done", True, 1)
    assert after["result"] == {"size": 3, "content_type": "application/octet-stream", "url": f"/v1/jobs/{job['id']}/result"}


def test_a_wait_on_a_finished_job_does_not_wait(api, queue):
    job = api.submit(queue)
    api.done(api.claim_one(queue))
    before = time.monotonic()
    assert api.job(job["id"], "?wait=30s")["done"] is True
    assert time.monotonic() - before < 5


def test_a_wait_that_runs_out_answers_with_the_present_state_not_before_its_time(api, queue):
    job = api.submit(queue)
    before = time.monotonic()
    answer = api.get(f"/v1/jobs/{job['id']}?wait=250ms")
    took = time.monotonic() - before
    assert answer.status == 200 and answer.json()["state"] == "ready"
    assert took >= 0.249, f"answered {took} s after it was asked to wait 0.25 s"


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_every_end_ends_the_wait(server, api, queue, end):
    job = api.submit(queue, b"", {"Job-Max-Attempts": "1"})
    conn = wait_on(server, job, "wait=30s")
    server.until_parked(1)
    if end == "failed":
        api.fail(api.claim_one(queue), error="broken")
    else:
        api.ok("DELETE", f"/v1/jobs/{job['id']}")
    after = conn.answer().json()
    assert (after["state"], after["done"]) == (end, True)
    assert after["error"] == ("broken" if end == "failed" else None)


def test_a_retry_does_not_end_the_wait(server, api, queue):
    job = api.submit(queue)
    conn = wait_on(server, job, "wait=30s")
    server.until_parked(1)
    api.fail(api.claim_one(queue), error="once", delay="0s")
    lease = api.claim_one(queue, wait="10s")
    assert conn.quiet() and lease.attempt == 2
    api.done(lease)
    assert conn.answer().json()["attempt"] == 2


@pytest.mark.parametrize("query,prefer,told", [
    ("?wait=100s", None, "wait=55"), ("?wait=55s", None, "wait=55"), ("?wait=7", None, "wait=7"), ("", "wait=9", "wait=9"),
    ("", "wait=4000000000", "wait=55"), ("?wait=3s", "wait=9", "wait=3"), ("", 'respond-async, wait=8', "wait=8")])
def test_the_applied_wait_is_told_and_capped_and_the_query_wins(server, api, queue, query, prefer, told):
    job = api.submit(queue)
    conn = server.ask("GET", f"/v1/jobs/{job['id']}{query}", {"Prefer": prefer} if prefer else {})
    server.until_parked(1)
    api.ok("DELETE", f"/v1/jobs/{job['id']}")
    assert conn.answer().header("preference-applied") == told


@pytest.mark.parametrize("wait", ["abc", "-1", "30x", "1e3", "99999999999999999999", "%00", "5%20s"])
def test_a_wait_that_makes_no_sense_is_400(api, queue, wait):
    job = api.submit(queue)
    answer = api.get(f"/v1/jobs/{job['id']}?wait={wait}")
    assert (answer.status, answer.problem) == (400, "bad-request"), (wait, answer)


def test_a_revision_wait_ends_at_any_change(server, api, queue):
    job = api.submit(queue)
    seen, revision = [], job["revision"]

    def change_after(action):
        nonlocal revision
        conn = wait_on(server, job, f"wait=30s&revision={revision}")
        server.until_parked(1)
        value = action()
        after = conn.answer().json()
        assert after["revision"] > revision
        revision = after["revision"]
        seen.append((after["state"], after["progress"], after["message"]))
        return value

    # The claim passes through `offered`; the wait may end there or at `running`.
    lease = change_after(lambda: api.claim_one(queue))
    assert seen.pop()[0] in ("offered", "running")
    revision = api.job(job["id"], "?wait=10s&until=started")["revision"]
    change_after(lambda: api.beat(lease, progress=0.25))
    change_after(lambda: api.beat(lease, progress=0.5, message="half"))
    change_after(lambda: api.done(lease, b"r"))
    assert [s[:2] for s in seen[:2]] == [("running", 0.25), ("running", 0.5)]
    assert seen[1][2] == "half" and seen[2][0] == "done"


def test_a_revision_in_the_past_is_answered_at_once(api, queue):
    job = api.submit(queue)
    lease = api.claim_one(queue)
    api.beat(lease, progress=0.1)
    before = time.monotonic()
    after = api.job(job["id"], f"?wait=30s&revision={job['revision']}")
    assert after["revision"] > job["revision"] and after["progress"] == 0.1
    assert time.monotonic() - before < 5


def test_a_beat_that_changes_nothing_is_no_new_revision(api, queue):
    job = api.submit(queue)
    lease = api.claim_one(queue)
    api.beat(lease, progress=0.3, message="m")
    revision = api.job(job["id"])["revision"]
    api.beat(lease)
    assert api.job(job["id"])["revision"] == revision
    after = api.job(job["id"], f"?wait=100ms&revision={revision}")
    assert after["revision"] == revision


def test_revisions_never_go_back_and_survive_a_restart(fresh, queue):
    server = fresh()
    job = server.api.submit(queue)
    lease = server.api.claim_one(queue)
    server.api.beat(lease, progress=0.5)
    before = server.api.job(job["id"])
    server.kill9()
    server.start()
    after = server.api.job(job["id"])
    assert after["revision"] >= before["revision"]
    server.api.done(lease, b"x")
    assert server.api.job(job["id"], f"?wait=10s&revision={before['revision']}")["state"] == "done"


def test_a_wait_until_started_ends_when_a_worker_has_it(server, api, queue):
    job = api.submit(queue)
    conn = wait_on(server, job, "wait=30s&until=started")
    server.until_parked(1)
    lease = api.claim_one(queue)
    after = conn.answer().json()
    assert after["state"] == "running" and after["done"] is False and lease.id == job["id"]


def test_a_wait_until_started_ends_also_when_it_never_will(server, api, queue):
    job = api.submit(queue)
    conn = wait_on(server, job, "wait=30s&until=started")
    server.until_parked(1)
    api.ok("DELETE", f"/v1/jobs/{job['id']}")
    assert conn.answer().json()["state"] == "canceled"


def test_an_unknown_stage_or_revision_is_400(api, queue):
    job = api.submit(queue)
    for query in ("until=sometime", "revision=x", "revision=-1", "revision=99999999999999999999999"):
        assert api.get(f"/v1/jobs/{job['id']}?wait=1s&{query}").status == 400, query


def test_many_waits_on_one_handle_are_all_answered(server, api, queue):
    job = api.submit(queue)
    conns = [wait_on(server, job, "wait=30s") for _ in range(200)]
    server.until_parked(200)
    api.done(api.claim_one(queue), b"all")
    assert {conn.answer().json()["state"] for conn in conns} == {"done"}
    for conn in conns:
        conn.close()


def test_each_wait_is_answered_for_its_own_job(server, api, queue):
    jobs = [api.submit(queue, b"%d" % n) for n in range(50)]
    conns = {job["id"]: wait_on(server, job, "wait=30s") for job in jobs}
    server.until_parked(50)
    leases = api.claim(queue, most=50)
    for lease in reversed(leases):
        api.done(lease, b"r" + lease.body)
        told = conns[lease.id].answer().json()
        assert told["id"] == lease.id and told["done"]
    assert all(conn.quiet() for conn in conns.values())


# -- many handles


def many(server, ids, mode, wait="30s"):
    body = b'{"ids":[%s],"mode":"%s","wait":"%s"}' % (
        b",".join(b'"%s"' % i.encode() for i in ids), mode.encode(), wait.encode())
    return server.ask("POST", "/v1/jobs/wait", {"Content-Type": "application/json"}, body)


def test_any_of_many_ends_with_the_first(server, api, queue):
    jobs = [api.submit(queue)["id"] for _ in range(5)]
    conn = many(server, jobs, "any")
    server.until_parked(1)
    leases = api.claim(queue, most=5)
    api.done(leases[3], b"x")
    told = conn.answer().json()
    assert told["done"] is True
    assert [job["id"] for job in told["jobs"]] == [leases[3].id]
    assert set(told["pending"]) == set(jobs) - {leases[3].id}


def test_all_of_many_ends_with_the_last(server, api, queue):
    jobs = [api.submit(queue)["id"] for _ in range(5)]
    conn = many(server, jobs, "all")
    server.until_parked(1)
    for lease in api.claim(queue, most=4):
        api.done(lease)
    server.pulse()
    assert conn.quiet()
    api.done(api.claim_one(queue))
    told = conn.answer().json()
    assert told["done"] is True and told["pending"] == []
    assert {job["id"] for job in told["jobs"]} == set(jobs)


def test_many_at_the_deadline_tell_what_is_pending(api, queue):
    jobs = [api.submit(queue)["id"] for _ in range(3)]
    api.done(api.claim_one(queue))
    told = api.ok("POST", "/v1/jobs/wait", {"ids": jobs, "mode": "all", "wait": "50ms"}).json()
    assert told["done"] is False
    assert [job["id"] for job in told["jobs"]] == [jobs[0]] and set(told["pending"]) == set(jobs[1:])


@pytest.mark.parametrize("mode", ["any", "all"])
def test_many_already_done_are_answered_at_once(api, queue, mode):
    jobs = [api.submit(queue)["id"] for _ in range(2)]
    for lease in api.claim(queue, most=2):
        api.done(lease)
    before = time.monotonic()
    told = api.ok("POST", "/v1/jobs/wait", {"ids": jobs, "mode": mode, "wait": "30s"}).json()
    assert told["done"] is True and time.monotonic() - before < 5


def test_unknown_handles_among_many_are_missing_and_count_as_done(api, queue):
    job = api.submit(queue)["id"]
    unknown = "a" * 32
    told = api.ok("POST", "/v1/jobs/wait", {"ids": [job, unknown], "mode": "any", "wait": "30s"}).json()
    assert told["missing"] == [unknown] and told["done"] is True
    told = api.ok("POST", "/v1/jobs/wait", {"ids": [job, unknown], "mode": "all", "wait": "50ms"}).json()
    assert told["missing"] == [unknown] and told["done"] is False and told["pending"] == [job]


def test_the_same_handle_twice_among_many_is_no_harm(server, api, queue):
    job = api.submit(queue)["id"]
    conn = many(server, [job, job], "all")
    server.until_parked(1)
    api.done(api.claim_one(queue))
    assert conn.answer().json()["done"] is True


def test_a_hundred_handles_in_one_wait(server, api, queue):
    jobs = [api.submit(queue)["id"] for _ in range(100)]
    conn = many(server, jobs, "all")
    server.until_parked(1)
    for lease in api.claim(queue, most=100):
        api.done(lease)
    for lease in api.claim(queue, most=100):
        api.done(lease)
    told = conn.answer().json()
    assert told["done"] is True and len(told["jobs"]) == 100


def test_a_wait_on_many_that_left_leaves_nothing_behind(server, api, queue):
    jobs = [api.submit(queue)["id"] for _ in range(20)]
    before = server.parked()
    conns = [many(server, jobs, "all") for _ in range(20)]
    server.until_parked(before + 1)
    for conn in conns:
        conn.reset()
    server.eventually(lambda: server.parked() <= before, "waits on many gone")
    for lease in api.claim(queue, most=20):
        api.done(lease)


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b'{"ids":"x"}', b'{"ids":[1]}', b'{"ids":[],"mode":"some"}', b'{"ids":["a"],"mode":1}', b'{"ids":[',
    b'{"ids":["' + b"a" * 32 + b'"],"wait":"long"}', b'{"ids":["' + b"a" * 32 + b'"],"mode":"both"}', b"\xff\xfe", b"null"])
def test_nonsense_as_a_wait_on_many_is_400(api, body):
    answer = api.call("POST", "/v1/jobs/wait", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and answer.problem == "bad-request", answer
