"""Runs race.c against the server: the wait that parks against the event that ends it, 10⁵ rounds and more."""

import os
import subprocess

import pytest

from bide_server import SANITIZED, SOAK

RACE = os.environ.get("BIDE_RACE")
ROUNDS = 5000 if SANITIZED else 2_000_000 if SOAK else 100_000

pytestmark = pytest.mark.skipif(not RACE, reason="BIDE_RACE is not set: run through ctest")


def race(server, mode, rounds):
    ended = subprocess.run([RACE, str(server.port), mode, str(rounds)], capture_output=True, text=True)
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0, ended.stderr
    server.until_parked(0)  # who waited for a key until the end has just left
    for queue in server.api.ok("GET", "/v1/queues").json()["queues"]:
        if queue["queue"].startswith("race"):
            assert queue["counts"]["done"] == queue["totals"]["submitted"] and queue["waiting_workers"] == 0


def test_no_wait_is_lost_between_two_threads(fresh):
    race(fresh("--sync", "os", "--threads", "2"), "park", ROUNDS)


def test_no_wait_is_lost_on_one_thread(fresh):
    race(fresh("--sync", "os", "--threads", "1"), "park", ROUNDS // 5)


def test_no_wait_is_lost_behind_a_synced_journal(fresh):
    race(fresh("--threads", "2"), "park", ROUNDS // 20)


def test_no_job_is_lost_with_a_worker_that_left(fresh):
    race(fresh("--sync", "os", "--threads", "2"), "gone", ROUNDS // 5)


def test_no_record_is_lost_between_two_threads(fresh):
    race(fresh("--sync", "os", "--threads", "2"), "stream", ROUNDS)


def test_no_record_is_lost_behind_a_synced_journal(fresh):
    race(fresh("--threads", "2"), "stream", ROUNDS // 20)
