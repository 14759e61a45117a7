"""A short history that was acknowledged step by step, and what may be seen of it after its files were damaged.

After each acknowledged step the expected state is written down. A server that starts on damaged files may show the state after
any number of steps, a prefix of the history; it may refuse to start (65); it may never show anything else.
"""

import os
import random
import shutil

from bide_client import Closed
from bide_server import Died, Server

CORRUPT = 65
# Synced, since only then an entry can prove that those before it were on the disk, and damage is told from a torn tail.
FLAGS = ("--segment-size", "2M", "--threads", "1")


class History:
    """Runs the steps on a server and keeps, for each step, the state after it and where the journal then ended."""

    def __init__(self, server, steps=12, seed=1):
        self.server, self.rng = server, random.Random(seed)
        self.bodies, self.state = {}, {}  # handle → body; handle → what a client sees
        self.states, self.ends = [{}], []
        self.kept = {"done": None, "failed": None}
        for n in range(steps):
            (self.submit, self.submit, self.finish, self.submit, self.cancel, self.submit, self.give_up)[n % 7](n)
        server.kill9()
        self.file = self.journal_file()

    def took(self, step):
        self.states.append(dict(self.state))
        self.ends.append(self.end_of(self.journal_file()))

    def submit(self, n):
        body = b"body-%03d-" % n + self.rng.randbytes(self.rng.randrange(10, 120)).hex().encode()
        handle = self.server.api.submit("q", body)["id"]
        self.bodies[handle], self.state[handle] = body, ("open",)
        self.took("submit")

    def finish(self, n):
        lease = self.server.api.claim_one("q")
        result = b"result-%03d-" % n + self.rng.randbytes(30).hex().encode()
        self.server.api.done(lease, result)
        self.state[lease.id] = ("done", result)
        self.took("finish")

    def cancel(self, n):
        handle = next(h for h, s in self.state.items() if s == ("open",))
        self.server.api.ok("DELETE", f"/v1/jobs/{handle}")
        self.state[handle] = ("canceled",)
        self.took("cancel")

    def give_up(self, n):
        lease = self.server.api.claim_one("q")
        self.server.api.fail(lease, error=f"error-{n}", retry=False)
        self.state[lease.id] = ("failed", f"error-{n}")
        self.took("give up")

    # -- the files

    def journal_file(self):
        """The file in which the newest body of the history lies."""
        newest = list(self.bodies.values())[-1]
        for folder, _, names in os.walk(self.server.data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    if newest in file.read():
                        return os.path.relpath(os.path.join(folder, name), self.server.data)
        raise AssertionError("no file holds the newest body")

    def end_of(self, name):
        """The end of what was written: segments are filled with zeros ahead."""
        with open(os.path.join(self.server.data, name), "rb") as file:
            return len(file.read().rstrip(b"\0"))

    def damaged(self, where, change, name=None):
        """A copy of the directory in `where` with one file's bytes changed by `change(bytes) → bytes`."""
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(self.server.data, where)
        path = os.path.join(where, name or self.file)
        with open(path, "rb") as file:
            data = change(bytearray(file.read()))
        with open(path, "wb") as file:
            file.write(data)
        return where

    # -- what is seen

    def seen(self, api):
        """The state as a client sees it: as in `states`; ("unreadable",) for what the server says it cannot read."""
        seen = {}
        for handle in self.bodies:
            answer = api.get(f"/v1/jobs/{handle}")
            if answer.status == 404:
                continue
            job = answer.json()
            if job["state"] == "done":
                got = api.get(f"/v1/jobs/{handle}/result")
                seen[handle] = ("done", got.body) if got.status == 200 else ("unreadable",)
                assert got.status == 200 or got.status >= 500, got
            elif job["state"] == "failed":
                seen[handle] = ("failed", job["error"])
            else:
                seen[handle] = ("canceled",) if job["state"] == "canceled" else ("open",)
        self.check_bodies(api)
        return seen

    def check_bodies(self, api):
        """What workers are given is what was submitted."""
        while True:
            try:
                answer = api.call("POST", "/v1/queues/q/claim?wait=0&lease=1h", b"")
            except (Closed, ConnectionError):
                return  # cut rather than wrong
            if answer.status != 200:
                assert answer.status == 204 or answer.status >= 500, answer
                return
            assert answer.body == self.bodies[answer.header("job-id")], "a worker was given wrong bytes"

    def steps_seen(self, seen):
        """The last step whose state this is; fails when there is none."""
        for count in range(len(self.states) - 1, -1, -1):
            if agrees(seen, self.states[count]):
                return count
        raise AssertionError(f"no prefix of the history: {seen}")

    def try_start(self, data, *flags):
        """Starts on damaged files: (steps seen or None when refused, what was said)."""
        server = Server(data, *FLAGS, *flags)
        try:
            server.start()
        except Died as died:
            assert died.code == CORRUPT, died
            assert any(c.isdigit() for c in died.stderr), f"no position told: {died.stderr}"
            return None, died.stderr
        try:
            return self.steps_seen(self.seen(server.api)), server.stderr()
        finally:
            server.kill9()
            os.unlink(server.stderr_path)


def agrees(seen, expected):
    return seen.keys() == expected.keys() and all(seen[h] == ("unreadable",) or seen[h] == expected[h] for h in seen)
