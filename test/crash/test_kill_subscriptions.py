"""kill -9 again and again while streams are worked on by a webhook and by a worker that claims: every record reaches both, and
nothing is acked that neither has seen."""

import http.client
import random
import threading
import time

from bide_client import Api
from bide_receiver import DONE, Receiver
from bide_server import SANITIZED, SLOW, SOAK
from bide_streams import JSON, numbered, tail
from test_kill import seed

STREAMS, KILLS = 4, 100 if SOAK else 3 if SANITIZED else 6
LEASE_MS = 1000 * SLOW
AWAY = (OSError, http.client.HTTPException)  # the server is being killed, or is not up yet


def stream(n):
    return f"/v1/stream/e/{n}"


def at(name, below=""):
    return f"/v1/stream/__ds/subscriptions/{name}{below}"


class Life:
    """A writer, a webhook's receiver and a worker, none of whom gives up. `seen`: by subscription and stream, what was read."""

    def __init__(self, server):
        self.server, self.over, self.lock = server, threading.Event(), threading.Lock()
        self.written = [0] * STREAMS
        self.seen = {name: [set() for _ in range(STREAMS)] for name in ("hook", "pull")}
        self.receiver = Receiver(usual=self.called)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.write, self.work)]

    def set_up(self):
        api = self.server.api
        for n in range(STREAMS):
            api.ok("PUT", stream(n), b"[]", JSON, 201)
        api.ok("PUT", "/v1/stream/wake", b"[]", JSON, 201)
        common = {"pattern": "e/*", "lease_ttl_ms": LEASE_MS}
        api.ok("PUT", at("hook"), {"type": "webhook", "webhook": {"url": self.receiver.url}, **common}, status=201)
        api.ok("PUT", at("pull"), {"type": "pull-wake", "wake_stream": "wake", **common}, status=201)

    def start(self):
        self.set_up()
        for thread in self.threads:
            thread.start()
        return self

    def forever(self, step):
        api = Api(self.server.address)
        while not self.over.is_set():
            try:
                step(api)
            except AWAY:
                api.close()
                self.over.wait(0.01)
        api.close()

    def write(self):
        """Each stream's records are 0, 1, 2 …; an append is repeated until it is acknowledged, and taken once."""
        def step(api):
            n = min(range(STREAMS), key=lambda i: self.written[i])
            body = b'{"n":%d}' % self.written[n]
            answer = api.call("POST", stream(n), body, {**numbered("w", 0, self.written[n]), **JSON})
            if answer.status in (200, 204):
                self.written[n] += 1

        self.forever(step)

    def read(self, api, name, link):
        """All from what is acked up to the tail that was told, and how far that is."""
        n, at_end = int(link["path"].split("/")[1]), link["acked_offset"]
        while at_end < link["tail_offset"]:
            answer = api.ok("GET", f"{stream(n)}?offset={at_end}&format=records")
            with self.lock:
                self.seen[name][n] |= {record["value"]["n"] for record in answer.json()}
            at_end = tail(answer)
        return at_end

    def called(self, post):
        api = Api(self.server.address)
        try:
            for link in post.json["streams"]:
                self.read(api, "hook", link)
        except AWAY:
            return 500, b""
        finally:
            api.close()
        return DONE

    def work(self):
        def step(api):
            claim = api.call("POST", at("pull", "/claim"), {"worker": "w"})
            if claim.status != 200:
                self.over.wait(0.01)
                return
            claim = claim.json()
            acks = [{"stream": link["path"], "offset": self.read(api, "pull", link)} for link in claim["streams"]]
            body = {"wake_id": claim["wake_id"], "generation": claim["generation"], "acks": acks, "done": True}
            api.call("POST", at("pull", "/ack"), body, {"Authorization": f"Bearer {claim['token']}"})

        self.forever(step)

    def until_written(self, more):
        goal, deadline = sum(self.written) + more, time.monotonic() + 60 * SLOW
        while sum(self.written) < goal:
            assert time.monotonic() < deadline, "the writer makes no headway"
            self.over.wait(0.005)

    def acked_unseen(self):
        """What is acked and was never read by whom it was for: must be none, at any moment."""
        wrong = []
        for name in self.seen:
            for link in self.server.api.ok("GET", at(name)).json()["streams"]:
                n = int(link["path"].split("/")[1])
                acked = int(link["acked_offset"].split("_")[1], 16)
                with self.lock:
                    wrong += [(name, n, record) for record in range(acked) if record not in self.seen[name][n]]
        return wrong

    def all_seen(self):
        with self.lock:
            return all(seen[n] == set(range(self.written[n])) for seen in self.seen.values() for n in range(STREAMS))

    def all_acked(self):
        return all(tail(self.server.api.ok("HEAD", f"/v1/stream/{link['path']}")) == link["acked_offset"]
                   for name in self.seen for link in self.server.api.ok("GET", at(name)).json()["streams"])


def test_killed_under_subscriptions_every_record_is_worked_on(fresh):
    server = fresh("--segment-size", "2M")
    life = Life(server).start()
    rng = random.Random(seed())
    for _ in range(KILLS):
        life.until_written(rng.randrange(20, 200))
        server.kill9()
        server.start()
        assert not life.acked_unseen()
    life.until_written(50)
    finish(server, life)
    assert server.stop() == 0
    life.receiver.close()


def finish(server, life):
    """The writer ends; the others have the rest of it before their leases have run out a few times."""
    life.over.set()
    for thread in life.threads:
        thread.join(20 * SLOW)
    life.over.clear()
    worker = threading.Thread(target=life.work, daemon=True)
    worker.start()
    server.eventually(life.all_seen, "every record reached both", within_s=70)
    server.eventually(life.all_acked, "all is acked", within_s=70)
    assert not life.acked_unseen()
    life.over.set()
    worker.join(20 * SLOW)
    print(f"{sum(life.written)} records, {life.receiver.posts.qsize()} webhooks")
