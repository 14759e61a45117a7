"""The gap between two polls: connections that break at any byte, a server that is killed, or leaves, and comes back. Whoever asks
again from its last offset gets every record once, in order."""

import json
import random
import threading
import time

import pytest

from bide_client import Closed, Conn
from bide_relay import Relay
from bide_server import SLOW
from bide_streams import JSON, make, numbered, tail

BROKEN = (Closed, ConnectionError, TimeoutError)
RECORDS, ENDS = 300, 6
PATH = "/v1/stream/gap"


class Asker:
    """One who asks by a connection for as long as that stands, and then by another."""

    def __init__(self, port):
        self.port, self.conn, self.broken, self.deadline = port, None, 0, time.monotonic() + 60 * SLOW

    def ask(self, method, target, headers=None, body=None):
        """The answer, or None when there was no whole one, or the server is not ready."""
        assert time.monotonic() < self.deadline, "it takes too long"
        try:
            self.conn = self.conn or Conn(("127.0.0.1", self.port))
            answer = self.conn.call(method, target, headers, body)
            if answer.says_close:
                self.close()
            return None if answer.status == 503 else answer
        except BROKEN:
            self.broken += 1
            self.close()
            return None

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None


class Parts:
    """A writer and readers on threads of their own; `progress` wakes whoever waits for how far they are."""

    def __init__(self):
        self.progress, self.failures, self.threads = threading.Condition(), [], []

    def begin(self, part, *args):
        def run():
            try:
                part(*args)
            except BaseException as error:  # told by the thread that waits
                self.failures.append(error)
            with self.progress:
                self.progress.notify_all()

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def write(self, port):
        asker = Asker(port)
        for i in range(RECORDS):
            headers = {**numbered("writer", 0, i), **JSON}
            while not (answer := asker.ask("POST", PATH, headers, b"[%d]" % i)):
                pass
            assert answer.status in (200, 204), answer
        asker.close()

    def read(self, port, query, seen, askers):
        asker, place, cursor = Asker(port), "-1", ""
        askers.append(asker)
        while len(seen) < RECORDS:
            answer = asker.ask("GET", f"{PATH}?offset={place}{query}{cursor}")
            if not answer:
                continue
            assert answer.status in (200, 204), answer
            place = tail(answer)
            if told := answer.header("stream-cursor"):
                cursor = f"&cursor={told}"
            if answer.status == 200:
                with self.progress:
                    seen += json.loads(answer.body)
                    self.progress.notify_all()
        asker.close()

    def until(self, condition):
        with self.progress:
            assert self.progress.wait_for(lambda: self.failures or condition(), 60 * SLOW)
        assert not self.failures, self.failures


@pytest.mark.parametrize("end", ["killed", "leaves"])
def test_every_record_comes_once_and_in_order(fresh, end):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = fresh("--drain", "100ms")
    make(server.api, PATH, JSON)
    # From within a head to some answers on.
    relay = Relay(server.port, [int(40 * 200 ** chance.random()) for _ in range(5000)])
    parts, askers = Parts(), []
    queries = ["&live=long-poll&wait=2s", "&live=long-poll&wait=0", "&limit=1", ""]
    seen = [[] for _ in queries]
    for query, records in zip(queries, seen):
        parts.begin(parts.read, relay.port, query, records, askers)
    parts.begin(parts.write, relay.port)
    for i in range(1, ENDS + 1):
        parts.until(lambda: len(seen[0]) >= i * RECORDS // (ENDS + 1))
        if end == "killed":
            server.kill9()
        else:
            assert server.stop() == 0
        server.start()
    for thread in parts.threads:
        thread.join(60 * SLOW)
    relay.close()
    assert not parts.failures, parts.failures
    assert all(records == list(range(RECORDS)) for records in seen)
    assert all(asker.broken > 5 for asker in askers), [asker.broken for asker in askers]
