"""kill -9 under load, again and again, with every acknowledgement accounted for."""

import os
import random
import subprocess

import pytest

from bide_server import BIN, SANITIZED, SOAK, clean_environment
from crash_load import Load

KILLS = 200 if SOAK else 4 if SANITIZED else 10


def seed():
    value = int(os.environ.get("BIDE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"BIDE_SEED={value}")
    return value


@pytest.mark.parametrize("sync", ["always", "20ms", "os"])
def test_killed_under_load_nothing_acknowledged_is_lost(fresh, sync):
    """A killed process loses nothing it has written, so the loose modes of syncing must keep every promise here, too."""
    server = fresh("--sync", sync, "--segment-size", "2M")
    load = Load(server, seed()).start()
    rng = random.Random(load.seed)
    for _ in range(KILLS if sync == "always" else KILLS // 2):
        load.until_more(rng.randrange(20, 250))
        load.kill_and_restart()
    load.until_more(50)
    load.finish()
    load.account()
    assert server.stop() == 0
    server.start()
    load.account()
    print(f"{len(load.ids)} jobs, {load.events} acknowledgements")


def test_killed_while_it_recovers(fresh):
    """Killed before it even listens, several times: recovery changes nothing that a second recovery needs."""
    server = fresh("--segment-size", "2M")
    load = Load(server, seed()).start()
    load.until_more(600)
    rng = random.Random(load.seed)
    load.up.clear()
    server.kill9()
    for _ in range(8):
        kill_in_recovery(server, rng)
    server.start()
    load.up.set()
    load.until_more(50)
    load.finish()
    load.account()


def kill_in_recovery(server, rng):
    """Starts the program and kills it after it has opened a random number of files, seen through /proc."""
    process = subprocess.Popen([BIN, "serve", "--data", server.data, "--http", "127.0.0.1:0", *server.flags],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment())
    looks = rng.randrange(1, 200)
    while looks and process.poll() is None:
        try:
            os.listdir(f"/proc/{process.pid}/fd")
        except FileNotFoundError:
            break
        looks -= 1
    process.kill()
    process.wait()
    process.stdout.close()


def test_killed_between_a_large_upload_and_its_answer(fresh):
    """Blobs of bodies whose job was never made are gone after the next start; those of acknowledged jobs are there."""
    server = fresh("--segment-size", "2M")
    kept = server.api.submit("q", b"k" * (3 << 20))["id"]
    for _ in range(5):
        conn = server.open()
        conn.send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n" + b"u" * (5 << 20))
        server.pulse()
        server.kill9()
        server.start()
    jobs = server.api.ok("GET", "/v1/jobs?queue=q").json()["jobs"]
    assert [job["id"] for job in jobs] == [kept]
    assert server.api.claim_one("q").body == b"k" * (3 << 20)
    assert server.disk_bytes() < 10 << 20, "the rest of the uploads is still there"
