"""What must live through a restart, and what must not live for ever: the disk's room comes back."""

import pytest

from bide_server import SANITIZED

MIB = 1 << 20

# -- through a restart


@pytest.fixture(params=["kill9", "stop"])
def again(request, fresh):
    """A server and a function that ends it one way or the other and starts it again."""
    server = fresh("--segment-size", "2M")

    def restart():
        getattr(server, request.param)()
        server.start()

    return server, restart


def test_jobs_in_every_state_are_as_they_were(again):
    server, restart = again
    api, ids = server.api, {}
    ids["done"] = api.submit("q", b"1")["id"]
    api.done(api.claim_one("q"), b"result", "a/b")
    ids["failed"] = api.submit("q", b"2")["id"]
    api.fail(api.claim_one("q"), error={"title": "no", "status": 418}, retry=False)
    ids["running"] = api.submit("q", b"3", {"Content-Type": "c/d"})["id"]
    lease = api.claim_one("q")
    api.beat(lease, progress=0.5, message="half")
    ids["canceled"] = api.submit("q", b"4")["id"]
    api.ok("DELETE", f"/v1/jobs/{ids['canceled']}")
    ids["delayed"] = api.submit("q", b"5", {"Job-Delay": "1h"})["id"]
    ids["ready"] = api.ok("PUT", "/v1/queues/q/jobs/named", b"6", status=202).json()["id"]
    before = {state: api.job(job) for state, job in ids.items()}
    assert {state: job["state"] for state, job in before.items()} == {state: state for state in ids}
    restart()
    api = server.api
    assert {state: api.job(job) for state, job in ids.items()} == before
    answer = api.get(f"/v1/jobs/{ids['done']}/result")
    assert (answer.body, answer.header("content-type")) == (b"result", "a/b")
    assert api.get(f"/v1/jobs/{ids['failed']}/result").status == 418
    assert api.get(f"/v1/jobs/{ids['running']}/body", {"Job-Token": lease.token}).body == b"3"
    api.done(lease, b"after")
    assert api.claim_one("q").body == b"6"


def test_a_forgotten_job_stays_forgotten(again):
    server, restart = again
    job = server.api.submit("q")["id"]
    server.api.ok("DELETE", f"/v1/jobs/{job}?forget=true", status=204)
    restart()
    assert server.api.get(f"/v1/jobs/{job}").status == 404
    assert server.api.claim_one("q") is None


def test_keys_and_names_are_remembered(again):
    server, restart = again
    job = server.api.submit("q", b"x", {"Idempotency-Key": '"k"'})["id"]
    named = server.api.ok("PUT", "/v1/queues/q/jobs/n", b"y", status=202).json()["id"]
    restart()
    assert server.api.submit("q", b"x", {"Idempotency-Key": '"k"'})["id"] == job
    assert server.api.call("POST", "/v1/queues/q/jobs", b"z", {"Idempotency-Key": '"k"'}).status == 422
    assert server.api.ok("PUT", "/v1/queues/q/jobs/n", b"y", status=202).json()["id"] == named
    assert server.api.call("PUT", "/v1/queues/q/jobs/n", b"z").status == 409


def test_a_lease_that_ended_while_the_server_was_away_is_over(again):
    server, restart = again
    server.api.submit("q")
    stale = server.api.claim_one("q", lease="300ms")
    restart()
    fresh_lease = server.api.claim_one("q", wait="10s")
    assert (fresh_lease.id, fresh_lease.attempt) == (stale.id, 2)
    assert server.api.verb(stale, "done", b"x").problem == "fenced"


def test_delays_leases_and_cancel_after_run_on(again):
    server, restart = again
    delayed = server.api.submit("d", b"", {"Job-Delay": "400ms"})["id"]
    canceled = server.api.submit("c", b"", {"Cancel-After": "400ms"})["id"]
    retained = server.api.submit("r", b"", {"Job-Retain": "400ms"})["id"]
    server.api.done(server.api.claim_one("r"), b"short")
    restart()
    assert server.api.claim_one("d", wait="10s").id == delayed
    assert server.api.job(canceled, "?wait=10s")["state"] == "canceled"
    server.eventually(lambda: server.api.get(f"/v1/jobs/{retained}/result").status in (404, 410), "retention over")


def test_priorities_and_order_are_as_they_were(again):
    server, restart = again
    for n in range(20):
        server.api.submit("q", b"%02d" % n, {"Job-Priority": str(n % 3)})
    restart()
    got = [lease.body for lease in server.api.claim("q", most=20)]
    assert got == sorted((b"%02d" % n for n in range(20)), key=lambda b: (int(b) % 3, b))


def test_the_handle_of_a_plain_submit_polled_after_kill_and_restart_gives_the_result(fresh):
    server = fresh()
    job = server.api.submit("q", b"video")["id"]
    lease = server.api.claim_one("q")
    server.kill9()
    server.start()
    poll = server.ask("GET", f"/v1/jobs/{job}/result?wait=30s")
    server.until_parked(1)
    server.api.done(lease, b"transcoded")
    assert poll.answer().body == b"transcoded"


def test_a_large_body_and_result_are_there(again):
    server, restart = again
    body, result = b"b" * (2 * MIB), b"r" * (3 * MIB)
    job = server.api.submit("q", body)["id"]
    restart()
    lease = server.api.claim_one("q")
    assert lease.body == body
    server.api.done(lease, result)
    restart()
    assert server.api.get(f"/v1/jobs/{job}/result").body == result


def test_many_restarts_change_nothing(fresh):
    server = fresh("--segment-size", "2M")
    ids = [server.api.submit("q", b"%d" % n)["id"] for n in range(50)]
    before, size = [server.api.job(job) for job in ids], server.disk_bytes()
    for n in range(20):
        server.kill9() if n % 2 else server.stop()
        server.start()
    assert [server.api.job(job) for job in ids] == before
    assert server.disk_bytes() < size + 8 * MIB, "every start leaves something behind"


# -- room


def run_through(server, megabytes, finish):
    """Sends so many MiB of bodies and results through, in jobs of 2 × 64 KiB; `finish(api, job)` says what ends the record."""
    api, half = server.api, bytes(range(256)) * 256
    for n in range(megabytes * 8):
        job = api.submit("q", half, {"Job-Retain": "0s"} if finish is None else {})["id"]
        lease = api.claim_one("q")
        assert lease.id == job
        api.done(lease, half)
        if finish:
            finish(api, job)


@pytest.mark.parametrize("way", ["retain", "forget"])
def test_finished_jobs_give_their_room_back(fresh, way):
    megabytes = 10 if SANITIZED else 60
    server = fresh("--segment-size", "2M", "--sync", "os")
    keep = server.api.submit("keep", b"kept" * 1000)["id"]
    before = server.disk_bytes()
    run_through(server, megabytes, None if way == "retain" else
                lambda api, job: api.ok("DELETE", f"/v1/jobs/{job}?forget=true", status=204))
    grown = server.eventually(lambda: (g := server.disk_bytes() - before) < 16 * MIB and g + 1, "room given back")
    print(f"{megabytes} MiB through, {grown // MIB} MiB left")
    server.kill9()
    server.start()
    assert server.api.claim_one("keep").body == b"kept" * 1000
    assert server.disk_bytes() - before < 20 * MIB
    assert server.api.job(keep)["state"] == "running"


def test_old_jobs_that_live_do_not_hold_the_room_of_dead_ones(fresh):
    """One open job in each segment: what lives is carried over, the segments go."""
    server = fresh("--segment-size", "2M", "--sync", "os")
    before, keep = server.disk_bytes(), []
    for n in range(6 if SANITIZED else 40):
        keep.append((server.api.submit("keep", b"%d" % n * 100)["id"], b"%d" % n * 100))
        run_through(server, 1, lambda api, job: api.ok("DELETE", f"/v1/jobs/{job}?forget=true", status=204))
    server.eventually(lambda: server.disk_bytes() - before < 16 * MIB, "room given back", within_s=20)
    server.kill9()
    server.start()
    leases = server.api.claim("keep", most=100)
    assert [(lease.id, lease.body) for lease in leases] == keep


def test_forgotten_blobs_give_their_room_back_also_after_a_kill(fresh):
    server = fresh("--segment-size", "2M")
    before = server.disk_bytes()
    for n in range(8):
        job = server.api.submit("q", b"b" * (4 * MIB))["id"]
        server.api.done(server.api.claim_one("q"), b"r" * (4 * MIB))
        server.api.ok("DELETE", f"/v1/jobs/{job}?forget=true", status=204)
        if n == 4:
            server.kill9()
            server.start()
    server.eventually(lambda: server.disk_bytes() - before < 8 * MIB, "blobs gone")


@pytest.mark.skipif(SANITIZED, reason="memory is the sanitizer's")
def test_finished_jobs_give_their_memory_back(fresh):
    server = fresh("--segment-size", "2M", "--sync", "os")

    def thousands():
        for _ in range(3):
            with server.open() as conn:
                for _ in range(500):
                    conn.ask("POST", "/v1/queues/q/jobs", {"Job-Retain": "0s"}, b"x" * 50)
                for _ in range(500):
                    assert conn.answer().status == 202
            for _ in range(5):
                for lease in server.api.claim("q", most=100):
                    server.api.ok("DELETE", f"/v1/jobs/{lease.id}?forget=true", status=204)

    thousands()
    before = server.status_kib("RssAnon")
    for _ in range(4):
        thousands()
    assert server.status_kib("RssAnon") - before < 2048
