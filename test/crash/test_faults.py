"""A disk that is full, slow or broken (BIDE_FAULTS, and a small file system of its own where one may be mounted)."""

import os
import subprocess
import time

import pytest

from bide_client import Closed
from bide_server import SLOW, Died

IO_ERROR = 74
LOST = (Closed, ConnectionError, OSError)

# -- a sync that fails is the end


def submit_until_it_breaks(server, most=200):
    """The handles that were acknowledged before the server broke, and the answer that was none."""
    acknowledged = {}
    for n in range(most):
        body = b"job-%d" % n
        try:
            answer = server.api.call("POST", "/v1/queues/q/jobs", body)
        except LOST as error:
            return acknowledged, repr(error)
        if answer.status != 202:
            assert (answer.status, answer.problem) == (503, "storage-failed"), answer
            return acknowledged, answer
        acknowledged[answer.json()["id"]] = body
    raise AssertionError(f"{most} submits and no sync failed")


@pytest.mark.parametrize("nth", range(1, 11))
@pytest.mark.parametrize("fault", ["sync:fail", "write:short"])
def test_a_failed_commit_ends_the_server_with_74_and_what_was_acknowledged_is_there(fresh, fault, nth):
    """The n-th fdatasync fails, or the n-th write stops half way: no second try, no further acknowledgement."""
    server = fresh("--segment-size", "2M", faults=f"{fault}@{nth}", start=False)
    try:
        server.start()
    except Died as died:
        assert died.code == IO_ERROR, died
        acknowledged = {}
    else:
        acknowledged, _ = submit_until_it_breaks(server)
        assert server.wait_exit() == IO_ERROR
        assert server.stderr().strip()
    server.faults = None
    server.start()
    for handle, body in acknowledged.items():
        assert server.api.job(handle)["state"] == "ready"
    given = {lease.id: lease.body for lease in server.api.claim("q", most=500)}
    assert acknowledged.items() <= given.items()
    assert len(given) <= len(acknowledged) + 1


def test_everyone_who_waits_is_answered_with_an_error_when_a_sync_fails(fresh):
    server = fresh("--segment-size", "2M", start=False)
    server.start()
    job = server.api.submit("q")["id"]
    server.stop()
    server.faults = "sync:fail@6"
    server.start()
    waits = [server.ask("GET", f"/v1/jobs/{job}?wait=50s") for _ in range(10)] + \
            [server.ask("POST", "/v1/queues/other/claim?wait=50s", body=b"") for _ in range(10)]
    server.until_parked(20)
    submit_until_it_breaks(server)
    for conn in waits:
        answer = conn.answer()
        assert (answer.status, answer.problem) == (503, "storage-failed") and answer.says_close, answer
    assert server.wait_exit() == IO_ERROR


def test_a_failed_sync_under_a_wide_load_acknowledges_nothing_that_is_lost(fresh):
    server = fresh("--segment-size", "2M", faults="sync:fail@20,sync:delay=5ms", start=False)
    server.start()
    conns, acknowledged, broken = [server.open() for _ in range(16)], [], False
    while not broken:
        for n, conn in enumerate(conns):
            try:
                conn.ask("POST", "/v1/queues/q/jobs", body=b"%d" % n)
            except LOST:
                broken = True
        for conn in conns:
            try:
                answer = conn.answer()
                acknowledged += [answer.json()["id"]] if answer.status == 202 else []
                broken = broken or answer.status != 202
            except LOST:
                broken = True
    assert server.wait_exit() == IO_ERROR
    server.faults = None
    server.start()
    assert all(server.api.job(handle)["state"] == "ready" for handle in acknowledged)


# -- a slow disk


def test_nothing_is_said_before_it_is_durable(fresh):
    server = fresh(faults="sync:delay=250ms")
    for _ in range(3):
        before = time.monotonic()
        server.api.submit("q")
        assert time.monotonic() - before >= 0.24


def test_a_parked_worker_hears_of_a_job_only_when_it_is_durable(fresh):
    server = fresh(faults="sync:delay=250ms")
    worker = server.ask("POST", "/v1/queues/q/claim?wait=30s", body=b"")
    server.until_waiting("q", 1)
    before = time.monotonic()
    submit = server.ask("POST", "/v1/queues/q/jobs", body=b"x")
    assert worker.answer().status == 200
    assert time.monotonic() - before >= 0.24
    assert submit.answer().status == 202


def test_one_sync_serves_many(fresh):
    server = fresh(faults="sync:delay=50ms")
    conns, before = [server.open() for _ in range(64)], time.monotonic()
    for conn in conns:
        conn.ask("POST", "/v1/queues/q/jobs", body=b"x")
    assert {conn.answer().status for conn in conns} == {202}
    assert time.monotonic() - before < 64 * 0.05 / 2 * SLOW, "each submit had a sync of its own"


def test_waiting_and_looking_go_on_while_the_disk_is_busy(fresh):
    """A sync blocks those who asked for it and nobody else: an expiry in between comes in time."""
    server = fresh(faults="sync:delay=500ms")
    for _ in range(2):
        server.api.submit("q")  # the server learns that this disk is slow
    submit = server.ask("POST", "/v1/queues/q/jobs", body=b"x")
    with server.open() as conn:
        assert conn.call("GET", "/healthz").status == 200
    assert submit.quiet(), "/healthz waited for the disk"
    assert submit.answer().status == 202


# -- a full disk, injected


@pytest.mark.parametrize("body", [8000, 2 << 20], ids=["entries", "blobs"])
def test_a_write_that_finds_no_room_is_507_and_nothing_acknowledged_is_lost(fresh, body):
    server = fresh("--segment-size", "2M", faults="write:enospc@3-6")
    acknowledged, refused, after = {}, 0, 0
    deadline = time.monotonic() + 30 * SLOW
    while after < 20:
        assert time.monotonic() < deadline, f"{refused} refused, {len(acknowledged)} taken"
        sent = b"%08d" % (len(acknowledged) + refused) * (body // 8)
        answer = server.api.call("POST", "/v1/queues/q/jobs", sent)
        if answer.status == 202:
            acknowledged[answer.json()["id"]] = sent
            after += refused > 0
        else:
            assert (answer.status, answer.problem) == (507, "no-space") and int(answer.header("retry-after")) >= 1, answer
            refused += 1
            server.pulse()
    print(f"{refused} refused, {len(acknowledged)} taken")
    server.kill9()
    server.faults = None
    server.start()
    given = {}
    while lease := server.api.claim_one("q"):
        given[lease.id] = lease.body
    assert given == acknowledged


# -- a full disk, real


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "bide-test", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"may not mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Takes all the room that is left; returns the file."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"f" * size)
            except OSError:
                pass
    return path


def submit_until_full(api, body, most=5000):
    count = 0
    while (answer := api.call("POST", "/v1/queues/q/jobs", body)).status == 202:
        count += 1
        assert count < most, "the disk is full and submits go on"
    assert (answer.status, answer.problem) == (507, "no-space") and int(answer.header("retry-after")) >= 1, answer
    return count


def test_with_the_disk_full_submits_are_507_and_work_goes_on_and_room_is_taken_up_again(fresh, small_disk):
    server = fresh("--segment-size", "2M", data=small_disk / "data")
    api = server.api
    for n in range(60):
        api.submit("work", b"%d" % n)
    leases = api.claim("work", most=30)
    wait = server.ask("GET", f"/v1/jobs/{leases[0].id}?wait=50s")
    server.until_parked(1)
    filler = fill(small_disk)
    print(f"{submit_until_full(api, b'x' * 10000)} more submits taken")

    for lease in leases:  # what was begun can be ended, and what is there can be looked at, waited for and let go
        api.beat(lease, progress=0.5)
        api.done(lease, b"result of " + lease.body)
    assert wait.answer().json()["state"] == "done"
    assert api.get(f"/v1/jobs/{leases[3].id}/result").body == b"result of 3"
    more = api.claim("work", most=10)
    assert len(more) == 10
    api.fail(more[0], error="x", retry=False)
    api.release(more[1])
    api.ok("DELETE", f"/v1/jobs/{more[2].id}")
    assert api.call("POST", "/v1/queues/q/jobs", b"x" * 10000).status == 507
    assert api.call("POST", "/v1/queues/q/jobs", b"x" * (2 << 20)).status == 507
    assert api.get("/readyz").status in (200, 503)

    os.unlink(filler)
    server.eventually(lambda: api.call("POST", "/v1/queues/q/jobs", b"again").status == 202, "submits again")
    server.kill9()
    server.start()
    assert server.api.queue("work")["counts"]["done"] == 30
    assert server.api.get(f"/v1/jobs/{leases[29].id}/result").body == b"result of 29"


def test_killed_with_the_disk_full_it_starts_and_forgetting_makes_room(fresh, small_disk):
    server = fresh("--segment-size", "2M", data=small_disk / "data")
    submit_until_full(server.api, b"y" * 100000)
    ids = []
    while leases := server.api.claim("q", most=50):
        for lease in leases:
            ids.append(lease.id)
    server.kill9()
    server.start()
    api = server.api
    counts = api.queue("q")["counts"]  # whom the last claims reached was not yet written down: those are still offered
    assert counts["running"] + counts["offered"] == len(ids)
    for handle in ids[:-2]:
        api.ok("DELETE", f"/v1/jobs/{handle}?forget=true", status=204)
    server.eventually(lambda: api.call("POST", "/v1/queues/q/jobs", b"y" * 100000).status == 202, "forgetting made room")


def test_a_large_upload_that_does_not_fit_is_507_and_leaves_no_trace(fresh, small_disk):
    server = fresh("--segment-size", "2M", data=small_disk / "data")
    with server.open() as conn:
        conn.send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n")
        try:
            for _ in range(64):
                conn.send(b"u" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = conn.answer()
        assert (answer.status, answer.problem) == (507, "no-space"), answer
    blobs = small_disk / "data" / "blobs"
    server.eventually(lambda: not any(path.is_file() for path in blobs.rglob("*")), "the upload's room given back")
    server.api.submit("q", b"small")


def test_a_full_disk_at_the_first_start_is_told(fresh, small_disk, tmp_path):
    (small_disk / "data").mkdir()
    (tmp_path / "elsewhere").symlink_to(small_disk / "data")  # so that what it says has room
    fill(small_disk)
    with pytest.raises(Died) as died:
        fresh("--segment-size", "2M", data=tmp_path / "elsewhere")
    assert died.value.code > 0 and died.value.stderr.strip()


# -- memory


@pytest.mark.parametrize("nth", [1, 3, 10, 30, 100, 300, 1000])
def test_an_allocation_that_fails_costs_one_request_at_most(fresh, nth):
    server = fresh("--sync", "os", faults=f"alloc:fail@{nth}", start=False)
    try:
        server.start()
    except Died as died:
        assert died.code > 0, f"a crash for want of memory: {died}"
        return
    acknowledged, failed = [], 0
    for n in range(100):
        try:
            answer = server.api.call("POST", "/v1/queues/q/jobs", b"%d" % n)
            if answer.status == 202:
                acknowledged.append(answer.json()["id"])
            else:
                assert answer.status in (500, 503), answer
                failed += 1
        except LOST:
            failed += 1
    assert failed <= 1 and server.running
    assert all(server.api.job(handle)["state"] == "ready" for handle in acknowledged)
    server.kill9()
    server.faults = None
    server.start()
    assert all(server.api.job(handle)["state"] == "ready" for handle in acknowledged)
