"""Claiming: both forms, preference among queues, batches, fairness, attempt ids, lost hand-offs."""

import json
import time

import pytest

from bide_client import lease_of, leases_of, request_bytes


def claim_bytes(queues, wait="30s", **more):
    body = json.dumps({"queues": queues, "max": 1, "wait": wait, "lease": "60s", "worker": "w", **more}).encode()
    return request_bytes("POST", "/v1/claim", {"Content-Type": "application/json"}, body)


def waiter(server, queues, **more):
    conn = server.open()
    conn.send(claim_bytes(queues, **more))
    return conn


def test_the_json_claim_tells_all_about_the_job(api, queue):
    job = api.submit(queue, b"\x00body", {"Content-Type": "a/b", "Job-Priority": "7", "Job-Max-Attempts": "3"})
    lease, = api.claim(queue)
    fields = lease.fields
    assert set(fields) >= {"id", "queue", "token", "attempt", "deadline", "content_type", "size", "headers", "body_base64"}
    assert (fields["id"], fields["queue"], fields["attempt"]) == (job["id"], queue, 1)
    assert (fields["content_type"], fields["size"], lease.body) == ("a/b", 5, b"\x00body")
    assert len(fields["token"]) == 13
    assert all(isinstance(value, str) for value in fields["headers"].values())
    now = api.job(job["id"])
    assert (now["state"], now["attempt"]) == ("running", 1)
    assert now["deadline"] >= fields["deadline"]  # the lease counts from the moment the bytes were with the worker's socket


def test_the_one_job_claim_has_the_body_as_its_own(api, queue):
    job = api.submit(queue, b"raw\x00bytes", {"Content-Type": "a/b"})
    answer = api.call("POST", f"/v1/queues/{queue}/claim?wait=30s", b"", {"Job-Worker": "shell"})
    assert (answer.status, answer.body, answer.header("content-type")) == (200, b"raw\x00bytes", "a/b")
    assert (answer.header("job-id"), answer.header("job-queue"), answer.header("job-attempt")) == (job["id"], queue, "1")
    assert len(answer.header("job-token")) == 13 and answer.header("job-deadline").endswith("Z")


def test_claiming_is_never_a_get(server, api, queue):
    api.submit(queue)
    for path in ("/v1/claim", f"/v1/queues/{queue}/claim"):
        answer = api.get(path)
        assert (answer.status, answer.problem) == (405, "method-not-allowed") and "POST" in answer.header("allow")
    assert api.queue(queue)["counts"]["ready"] == 1


@pytest.mark.parametrize("wait", ["0", "50ms"])
def test_an_empty_claim_is_204_when_the_wait_ends(api, queue, wait):
    for answer in (api.call("POST", f"/v1/queues/{queue}/claim?wait={wait}", b""),
                   api.call("POST", "/v1/claim", {"queues": [queue], "wait": wait})):
        assert (answer.status, answer.body) == (204, b"") and answer.header("cache-control") == "no-store"


def test_an_empty_claim_is_not_answered_before_its_time(api, queue):
    before = time.monotonic()
    assert api.claim(queue, wait="250ms") == []
    assert time.monotonic() - before >= 0.249


def test_a_parked_claim_gets_the_job_when_it_comes(server, api, queue):
    conn = waiter(server, [queue])
    server.until_waiting(queue, 1)
    job = api.submit(queue, b"x")
    lease, = leases_of(conn.answer())
    assert lease.id == job["id"]


def test_queues_are_served_in_the_order_of_preference(api, queue):
    for name in ("c", "a", "b", "a"):
        api.submit(f"{queue}.{name}", name.encode())
    got = [api.claim(f"{queue}.a", f"{queue}.b", f"{queue}.c")[0].body for _ in range(4)]
    assert got == [b"a", b"a", b"b", b"c"]


def test_a_batch_is_filled_across_queues_in_the_order_of_preference(api, queue):
    for name in ("b", "a", "b"):
        api.submit(f"{queue}.{name}", name.encode())
    assert [lease.body for lease in api.claim(f"{queue}.a", f"{queue}.b", most=10)] == [b"a", b"b", b"b"]


def test_a_claim_on_several_queues_wakes_for_each(server, api, queue):
    for n in range(3):
        conn = waiter(server, [f"{queue}.{i}" for i in range(3)])
        server.until_waiting(f"{queue}.{n}", 1)
        job = api.submit(f"{queue}.{n}")
        assert leases_of(conn.answer())[0].id == job["id"]
        assert [api.get(f"/v1/queues/{queue}.{i}").json().get("waiting_workers", 0) for i in range(3)] == [0, 0, 0]


def test_a_batch_takes_what_is_there_and_never_more_than_asked(api, queue):
    ids = [api.submit(queue)["id"] for _ in range(10)]
    first, second, third = (api.claim(queue, most=4) for _ in range(3))
    assert [len(first), len(second), len(third)] == [4, 4, 2]
    assert [lease.id for lease in first + second + third] == ids
    assert len({lease.token for lease in first + second + third}) == 10


def test_a_batch_does_not_wait_to_be_full(server, api, queue):
    conn = waiter(server, [queue], max=100)
    server.until_waiting(queue, 1)
    api.submit(queue)
    assert len(leases_of(conn.answer())) == 1


def test_waiters_are_served_first_come_first_served(server, api, queue):
    conns = []
    for count in range(1, 9):
        conns.append(waiter(server, [queue]))
        server.until_waiting(queue, count)
    for n, conn in enumerate(conns):
        job = api.submit(queue, b"%d" % n)
        lease, = leases_of(conn.answer())
        assert (lease.id, lease.body) == (job["id"], b"%d" % n)
        assert all(later.quiet() for later in conns[n + 1:])


def test_a_waiter_that_left_is_passed_over(server, api, queue):
    conns = []
    for count in range(1, 4):
        conns.append(waiter(server, [queue]))
        server.until_waiting(queue, count)
    conns[0].close()
    conns[1].reset()
    server.until_waiting(queue, 1)
    job = api.submit(queue)
    lease, = leases_of(conns[2].answer())
    assert (lease.id, lease.attempt) == (job["id"], 1)


def test_a_waiter_that_came_back_is_last(server, api, queue):
    first = waiter(server, [queue], wait="100ms")
    server.until_waiting(queue, 1)
    second = waiter(server, [queue])
    assert leases_of(first.answer()) == []
    first.send(claim_bytes([queue]))
    server.until_waiting(queue, 2)
    job = api.submit(queue)
    assert leases_of(second.answer())[0].id == job["id"]
    assert first.quiet()


def test_an_attempt_id_repeated_returns_the_same_jobs_and_tokens(api, queue):
    for _ in range(3):
        api.submit(queue, b"x")
    first = api.claim(queue, most=2, attempt_id="try-1")
    again = api.claim(queue, most=2, attempt_id="try-1")
    assert [(l.id, l.token, l.attempt, l.body) for l in first] == [(l.id, l.token, l.attempt, l.body) for l in again]
    other = api.claim(queue, most=2, attempt_id="try-2")
    assert len(other) == 1 and other[0].id not in {l.id for l in first}


def test_an_attempt_id_whose_answer_never_arrived_is_repeated_on_a_new_connection(server, api, queue):
    job = api.submit(queue)
    conn = server.open()
    conn.send(claim_bytes([queue], attempt_id="lost"))
    server.eventually(lambda: api.queue(queue)["counts"]["ready"] == 0, "the job was taken")
    conn.reset()
    lease, = api.claim(queue, attempt_id="lost", wait="10s")
    assert (lease.id, lease.attempt) == (job["id"], 1)
    api.done(lease, b"r")


def test_an_attempt_id_survives_a_restart(fresh, queue):
    server = fresh()
    server.api.submit(queue)
    first, = server.api.claim(queue, attempt_id="over-restart")
    server.kill9()
    server.start()
    again, = server.api.claim(queue, attempt_id="over-restart")
    assert (again.id, again.token) == (first.id, first.token)
    server.api.done(again, b"r")


def test_attempt_ids_of_finished_jobs_are_not_given_again(api, queue):
    api.submit(queue)
    lease, = api.claim(queue, attempt_id="once")
    api.done(lease)
    assert api.claim(queue, attempt_id="once") == []


def test_a_claim_parked_before_a_restart_is_asked_again_after(fresh, queue):
    server = fresh()
    conn = waiter(server, [queue])
    server.until_waiting(queue, 1)
    server.kill9()
    assert conn.ended()
    server.start()
    job = server.api.submit(queue)
    assert server.api.claim_one(queue).id == job["id"]


# -- the lost hand-off: the offer stands, the bytes were never taken


def test_a_waiter_that_dies_before_its_offer_is_delivered_costs_no_attempt(server, api, queue):
    """The body is far larger than what the sockets hold, so the offer cannot be delivered to one who reads nothing."""
    conn = server.open(receive_buffer=4096)
    conn.send(request_bytes("POST", f"/v1/queues/{queue}/claim?wait=30s", body=b""))
    server.until_waiting(queue, 1)
    body = b"0123456789abcdef" * (2 << 20)
    job = api.submit(queue, body)
    conn.head()
    assert api.job(job["id"])["state"] == "offered"
    following = server.ask("POST", f"/v1/queues/{queue}/claim?wait=30s", body=b"")
    server.until_waiting(queue, 1)
    conn.reset()
    lease = lease_of(following.answer())
    assert (lease.id, lease.attempt) == (job["id"], 1) and lease.body == body
    counts = api.job(job["id"])["counts"]
    assert counts == {"timeouts": 0, "failures": 0, "releases": 0, "lost_handoffs": 1}
    assert api.queue(queue)["totals"]["lost_handoffs"] == 1
    api.done(lease)


def test_a_lost_hand_off_without_another_waiter_is_ready_again(server, api, queue):
    conn = server.open(receive_buffer=4096)
    conn.send(request_bytes("POST", f"/v1/queues/{queue}/claim?wait=30s", body=b""))
    server.until_waiting(queue, 1)
    job = api.submit(queue, b"x" * (32 << 20))
    conn.head()
    conn.reset()
    server.eventually(lambda: api.job(job["id"])["state"] == "ready", "ready again")
    told = api.job(job["id"])
    assert (told["attempt"], told["counts"]["lost_handoffs"]) == (0, 1)
    assert api.claim_one(queue).attempt == 1


def test_jobs_offered_to_many_who_leave_all_reach_the_one_who_stays(server, api, queue):
    """Eight leave at any moment around the submits; what they were given and did not take comes to the ninth."""
    for _ in range(20):
        leaving = [waiter(server, [queue], lease="1s") for _ in range(8)]
        server.until_waiting(queue, 8)
        ids = {api.submit(queue)["id"] for _ in range(2)}
        for conn in leaving:
            conn.reset()
        got = set()
        while ids - got:
            leases = api.claim(queue, wait="10s", most=10)
            assert leases, f"lost: {ids - got}"
            for lease in leases:
                api.done(lease)
                got.add(lease.id)
        assert got == ids


# -- asking wrongly


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"{}", b'{"queues":[]}', b'{"queues":"q"}', b'{"queues":[1]}', b'{"queues":[".x"]}', b'{"queues":["a/b"]}',
    b'{"queues":["a"],"max":0}', b'{"queues":["a"],"max":-1}', b'{"queues":["a"],"max":"x"}', b'{"queues":["a"],"max":1e99}',
    b'{"queues":["a"],"wait":"soon"}', b'{"queues":["a"],"wait":-1}', b'{"queues":["a"],"lease":"0"}', b'{"queues":["a"],"lease":[]}',
    b'{"queues":["a"],"worker":5}', b'{"queues":["a"],"attempt_id":{}}', b'{"queues":["a"]} trailing', b'{"queues":["a\x00b"]}',
    b'{"queues":["\xff"]}', b'{"queues":["a"],"attempt_id":"' + b"x" * 129 + b'"}', b"[" * 100000, b'{"queues":["' + b"q" * 129 + b'"]}'])
def test_nonsense_as_a_claim_is_400_and_takes_no_job(server, api, body):
    answer = api.call("POST", "/v1/claim", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and answer.problem == "bad-request", answer


def test_the_form_with_numbers_for_durations_is_the_same(api, queue):
    api.submit(queue)
    lease, = leases_of(api.call("POST", "/v1/claim", {"queues": [queue], "wait": 0, "lease": 60}))
    api.done(lease)
