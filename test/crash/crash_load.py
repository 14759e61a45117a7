"""Clients and workers that go on while their server is killed under them, and write down all they were told.

What must hold however often and whenever the server is killed:
  1. every acknowledged submit is there afterwards, with the body that was sent;
  2. a key submitted again and again, as its answers got lost, makes one job;
  3. every acknowledged `done` stays, with exactly its result; no job ever shows two results;
  4. nothing is done with a result that no worker sent.
"""

import json
import random
import threading
from collections import defaultdict

from bide_client import Closed, Conn, leases_of
from bide_server import SLOW

QUEUE = "load"
LOST = (Closed, ConnectionError, TimeoutError, OSError)


class Load:
    def __init__(self, server, seed, submitters=4, workers=4, pollers=2):
        self.server, self.seed = server, seed
        self.up, self.stop_submits, self.stop_all = threading.Event(), threading.Event(), threading.Event()
        self.lock, self.news = threading.Lock(), threading.Condition()
        self.events = 0  # acknowledgements of all kinds
        self.ids, self.sent = {}, {}  # key → handle, key → body
        self.tried, self.acknowledged, self.seen = defaultdict(set), {}, {}  # handle → results
        self.problems = []
        plan = [(self.submit, n) for n in range(submitters)] + [(self.work, n) for n in range(workers)] + \
               [(self.poll, n) for n in range(pollers)]
        self.threads = [threading.Thread(target=self.guarded, args=(role, n), name=role.__name__, daemon=True) for role, n in plan]

    # -- running

    def start(self):
        self.up.set()
        for thread in self.threads:
            thread.start()
        return self

    def guarded(self, role, n):
        try:
            role(n, random.Random(f"{self.seed}/{role.__name__}/{n}"))
        except Exception as error:  # a thread's failure is the test's
            self.problem(f"{role.__name__} {n}: {error!r}")

    def problem(self, text):
        with self.news:
            self.problems.append(text)
            self.news.notify_all()

    def goes_on(self):
        return not self.stop_all.is_set()

    def happened(self):
        with self.news:
            self.events += 1
            self.news.notify_all()

    def until_more(self, count):
        """Waits for so many more acknowledgements."""
        with self.news:
            target = self.events + count
            ok = self.news.wait_for(lambda: self.events >= target or self.problems, timeout=60 * SLOW)
        assert not self.problems, self.problems
        assert ok, f"the load stands still at {self.events}"

    def kill_and_restart(self):
        self.up.clear()
        self.server.kill9()
        self.server.start()
        self.up.set()

    def finish(self):
        """No more submits; the workers do what is left; then all end."""
        self.stop_submits.set()

        def all_done():
            assert not self.problems, self.problems
            counts = self.server.api.queue(QUEUE)["counts"]
            return not self.submitting() and not any(counts[s] for s in ("ready", "delayed", "offered", "running"))

        self.server.eventually(all_done, "all jobs done", within_s=60)
        self.stop_all.set()
        for thread in self.threads:
            thread.join(timeout=30 * SLOW)
        assert not self.problems, self.problems

    def submitting(self):
        return any(thread.is_alive() for thread in self.threads if thread.name == "submit")

    def session(self, goes_on):
        """Connections to the server, one after the other, as long as the role goes on."""
        while goes_on():
            if not self.up.wait(timeout=60 * SLOW):
                raise AssertionError("the server did not come back")
            try:
                with Conn(self.server.address) as conn:
                    yield conn
            except LOST:
                pass

    # -- roles: each repeats what it did not hear an answer to

    def submit(self, n, rng):
        count, todo = 0, []  # `todo`: what was sent and not yet acknowledged

        def goes_on():
            return todo or not self.stop_submits.is_set()

        for conn in self.session(goes_on):
            try:
                while goes_on():
                    if not todo:
                        size = rng.choice([0, 20, 200, 2000, 2000, 100_000 if count % 20 == 0 else 300, 1_200_000 if count % 60 == 0 else 50])
                        todo.append((f"{n}-{count}", f"{n}-{count}|".encode() + rng.randbytes(size)))
                        count += 1
                    self.submit_one(conn, *todo[0])
                    todo.pop()
            except LOST:
                pass

    def submit_one(self, conn, key, body):
        with self.lock:
            self.sent[key] = body
        answer = conn.call("POST", f"/v1/queues/{QUEUE}/jobs", {"Idempotency-Key": f'"{key}"', "Job-Max-Attempts": "100000"}, body)
        assert answer.status == 202, answer
        with self.lock:
            self.ids[key] = answer.json()["id"]
        self.happened()

    def work(self, n, rng):
        count, todo = 0, []
        for conn in self.session(self.goes_on):
            try:
                while self.goes_on():
                    if not todo:
                        todo = self.claim(conn, f"{n}-{count}")
                        count += 1
                    while todo:
                        self.end_one(conn, rng, todo[0])
                        todo.pop(0)
            except LOST:
                pass

    def claim(self, conn, attempt_id):
        body = {"queues": [QUEUE], "max": 4, "wait": "100ms", "lease": "2s", "worker": attempt_id, "attempt_id": attempt_id}
        answer = conn.call("POST", "/v1/claim", {"Content-Type": "application/json"}, json.dumps(body).encode())
        assert answer.status in (200, 204), answer
        leases = leases_of(answer)
        for lease in leases:
            if lease.body is None:
                got = conn.call("GET", lease.fields["body_url"], {"Job-Token": lease.token})
                lease.body = got.body if got.status == 200 else None
        return [lease for lease in leases if lease.body is not None]

    def end_one(self, conn, rng, lease):
        key = lease.body.split(b"|", 1)[0].decode()
        with self.lock:
            if self.sent.get(key) != lease.body:
                raise AssertionError(f"{lease.id} has a body that nobody sent: {lease.body[:60]!r}")
        verb = rng.choices(["done", "fail", "release", "drop", "beat"], [85, 4, 4, 2, 5])[0]
        token = {"Job-Token": lease.token}
        if verb == "drop":
            return
        if verb in ("fail", "release"):
            answer = conn.call("POST", f"/v1/jobs/{lease.id}/{verb}", token, b'{"delay":"0s"}')
            assert answer.status in (204, 409), answer
            return
        if verb == "beat":
            answer = conn.call("POST", f"/v1/jobs/{lease.id}/beat", token, b'{"progress":0.5}')
            assert answer.status in (200, 409), answer
        self.done(conn, lease, token, f"{key}|{lease.attempt}|{lease.token}|".encode() * rng.choice([1, 1, 1, 100]))

    def done(self, conn, lease, token, result):
        with self.lock:
            self.tried[lease.id].add(result)
        answer = conn.call("POST", f"/v1/jobs/{lease.id}/done", token, result)
        assert answer.status in (204, 409), answer
        if answer.status == 204:
            with self.lock:
                if self.acknowledged.setdefault(lease.id, result) != result:
                    raise AssertionError(f"{lease.id} was done twice with different results, both acknowledged")
            self.happened()

    def poll(self, n, rng):
        for conn in self.session(self.goes_on):
            try:
                while self.goes_on():
                    with self.lock:
                        known = list(self.ids.values())[-200:]
                        handle = rng.choice(known) if known else "a" * 32
                        was_done = handle in self.acknowledged or handle in self.seen
                    answer = conn.call("GET", f"/v1/jobs/{handle}/result?wait=50ms")
                    if known:
                        self.saw(handle, answer, was_done)
            except LOST:
                pass

    def saw(self, handle, answer, was_done):
        assert answer.status in (200, 202), f"acknowledged {handle}: {answer}"
        if answer.status == 202:
            assert not was_done, f"{handle} was done and is not"
            return
        with self.lock:
            if answer.body not in self.tried[handle]:
                raise AssertionError(f"{handle} has a result nobody sent: {answer.body[:80]!r}")
            if self.seen.setdefault(handle, answer.body) != answer.body:
                raise AssertionError(f"{handle} changed its result")

    # -- accounting

    def account(self):
        """Every acknowledgement is held against what the server says now."""
        api = self.server.api
        assert set(self.ids) == set(self.sent), "a submit was never acknowledged"
        assert len(set(self.ids.values())) == len(self.ids), "two keys share a handle"
        for key, handle in self.ids.items():
            answer = api.get(f"/v1/jobs/{handle}/result")
            assert answer.status == 200, f"{key} {handle}: {answer}"
            self.saw(handle, answer, True)
            assert answer.body.startswith(key.encode() + b"|")
            assert self.acknowledged.get(handle, answer.body) == answer.body, f"{handle}: not the acknowledged result"
        told = api.queue(QUEUE)
        assert told["totals"]["submitted"] == told["counts"]["done"] == len(self.ids), told
