"""Listing jobs and queues: filters, order, pages, counts."""

import pytest


def listed(api, query):
    return api.ok("GET", f"/v1/jobs?{query}").json()


def pages(api, query, limit):
    found, after = [], ""
    while True:
        page = listed(api, f"{query}&limit={limit}{after}")
        assert len(page["jobs"]) <= limit
        found += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def test_newest_first(api, queue):
    ids = [api.submit(queue)["id"] for _ in range(5)]
    assert [job["id"] for job in listed(api, f"queue={queue}")["jobs"]] == ids[::-1]


@pytest.mark.parametrize("limit", [1, 2, 7, 23, 24, 100])
def test_pages_hold_every_job_once(api, queue, limit):
    ids = [api.submit(queue)["id"] for _ in range(23)]
    assert pages(api, f"queue={queue}", limit) == ids[::-1]


def test_jobs_submitted_between_two_pages_disturb_nothing(api, queue):
    ids = [api.submit(queue)["id"] for _ in range(6)]
    first = listed(api, f"queue={queue}&limit=3")
    api.submit(queue)
    rest = listed(api, f"queue={queue}&limit=10&after={first['next']}")
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids[::-1]


def one_in_each_state(api, queue):
    ids = {}
    ids["done"] = api.submit(queue)["id"]
    api.done(api.claim_one(queue))
    ids["failed"] = api.submit(queue)["id"]
    api.fail(api.claim_one(queue), error="x", retry=False)
    ids["running"] = api.submit(queue)["id"]
    assert api.claim_one(queue)
    ids["canceled"] = api.submit(queue)["id"]
    api.ok("DELETE", f"/v1/jobs/{ids['canceled']}")
    ids["delayed"] = api.submit(queue, b"", {"Job-Delay": "1h"})["id"]
    ids["ready"] = api.submit(queue)["id"]
    return ids


def test_each_state_can_be_asked_for(api, queue):
    ids = one_in_each_state(api, queue)
    for state, job_id in ids.items():
        jobs = listed(api, f"queue={queue}&state={state}")["jobs"]
        assert [(job["id"], job["state"]) for job in jobs] == [(job_id, state)]
    assert len(listed(api, f"queue={queue}")["jobs"]) == len(ids)


def test_the_queue_counts_by_state(api, queue):
    one_in_each_state(api, queue)
    told = api.queue(queue)
    assert told["queue"] == queue and told["paused"] is False
    assert told["counts"] == {"delayed": 1, "ready": 1, "offered": 0, "running": 1, "done": 1, "failed": 1, "canceled": 1}
    totals = told["totals"]
    assert (totals["submitted"], totals["done"], totals["failed"], totals["canceled"]) == (6, 1, 1, 1)
    assert told["oldest_ready_age"] is not None and told["oldest_ready_age"] >= 0
    assert told["waiting_workers"] == 0 and set(told["rates"]) >= {"submitted", "done"}


def test_a_queue_tells_its_waiting_workers(server, api, queue):
    conns = [server.ask("POST", f"/v1/queues/{queue}/claim?wait=30s", body=b"") for _ in range(3)]
    server.until_waiting(queue, 3)
    for conn in conns:
        conn.close()
    server.eventually(lambda: (a := api.get(f"/v1/queues/{queue}")).status == 404 or a.json()["waiting_workers"] == 0,
                      "no worker waits")


def test_all_queues_are_listed(api, queue):
    for name in (queue + ".a", queue + ".b"):
        api.submit(name)
    names = [entry["queue"] for entry in api.ok("GET", "/v1/queues").json()["queues"]]
    assert {queue + ".a", queue + ".b"} <= set(names) and len(names) == len(set(names))


def test_queues_come_in_pages_by_name(api, queue):
    names = sorted(f"{queue}.{n}" for n in range(7))
    for name in reversed(names):
        api.submit(name)
    found, after = [], queue
    while after is not None:
        page = api.ok("GET", f"/v1/queues?limit=3&after={after}").json()
        assert len(page["queues"]) <= 3
        found += [entry["queue"] for entry in page["queues"]]
        after = page["next"]
    assert [name for name in found if name.startswith(queue + ".")] == names and found == sorted(found)


def test_a_page_stays_a_page_however_much_its_jobs_have_to_say(api, queue):
    ids = [api.submit(queue, b"", {"Job-Max-Attempts": "1"})["id"] for _ in range(400)]
    while leases := api.claim(queue, most=100):
        for lease in leases:
            api.beat(lease, message="m" * 1000)
            api.fail(lease, error="e" * 4000, retry=False)
    assert len(api.ok("GET", f"/v1/jobs?queue={queue}&limit=1000").body) < 1_200_000
    assert pages(api, f"queue={queue}", 1000) == ids[::-1]


def test_a_queue_nobody_used_is_empty_or_unknown(api, queue):
    answer = api.get(f"/v1/queues/{queue}")
    assert answer.status == 404 or sum(answer.json()["counts"].values()) == 0


@pytest.mark.parametrize("query", ["state=sleeping", "limit=0", "limit=-1", "limit=x", "limit=99999999999999999999", "after=%00",
                                   "queue=.x", "queue=a%2Fb"])
def test_a_question_that_makes_no_sense_is_400(api, query):
    answer = api.get(f"/v1/jobs?{query}")
    assert answer.status == 400 and answer.problem == "bad-request", answer


def test_a_list_over_a_large_limit_is_cut_not_refused_or_refused_with_400(api, queue):
    api.submit(queue)
    answer = api.get(f"/v1/jobs?queue={queue}&limit=100000")
    assert answer.status == 400 or len(answer.json()["jobs"]) == 1


def test_counts_survive_a_restart(fresh, queue):
    server = fresh()
    one_in_each_state(server.api, queue)
    before = server.api.queue(queue)
    order = pages(server.api, f"queue={queue}", 4)
    server.kill9()
    server.start()
    after = server.api.queue(queue)
    assert after["counts"] == before["counts"] and after["totals"] == before["totals"]
    assert pages(server.api, f"queue={queue}", 4) == order
