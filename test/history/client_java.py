"""Kafka's own client for Java: one JVM a process, which is spoken to in lines (java/Bridge.java). BIDE_HISTORY_JAVA is its classpath."""

import base64
import itertools
import os
import queue
import subprocess
import threading
import time

from client import BACKOFF_MS, BLOCK_S, FETCH_BYTES, HEARTBEAT_MS, MOST_AT_ONCE, SESSION_MS, TRANSACTION_MS
from client import Abortable, Broken

HEADERS = True
NONE = "-"
LAST = ("ok", "error", "sent", "unknown")
COMMON = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": BACKOFF_MS, "metadata.max.age.ms": 5000}
FLAGS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off")


class Jvm:
    def __init__(self):
        command = ["java", *FLAGS, "-cp", os.environ["BIDE_HISTORY_JAVA"], "Bridge"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.numbers, self.told, self.lock = itertools.count(1), {}, threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            number, *fields = line.decode().rstrip("\n").split("\t")
            told = self.told.pop(int(number), None) if fields[0] in LAST else self.told.get(int(number))
            if told:  # else nobody waits for it any more
                told(fields)

    def ask(self, told, *fields):
        """`told` is called with each answer, on another thread."""
        number = next(self.numbers)
        self.told[number] = told
        line = "\t".join(map(str, (number, *fields))) + "\n"
        with self.lock:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        return number


jvm = None


class Client:
    """`kind` is producer or consumer."""

    names = itertools.count(1)

    def __init__(self, kind, conf):
        global jvm
        jvm = jvm or Jvm()
        self.name = f"{kind}-{next(self.names)}"
        self.call(kind, *(f"{key}={value}" for key, value in {**COMMON, **conf}.items()))

    def call(self, verb, *args, each=None):
        """Each answer but the last one is given to `each`, on this thread."""
        answers, deadline = queue.Queue(), time.monotonic() + BLOCK_S
        number = jvm.ask(answers.put, verb, self.name, *args)
        try:
            while True:
                kind, *fields = answers.get(timeout=max(0, deadline - time.monotonic()))
                if kind == "ok":
                    return
                if kind == "error":
                    self.fail(*fields)
                each(kind, *fields)
        except queue.Empty as error:
            raise Broken(f"no end of {verb}") from error
        finally:
            jvm.told.pop(number, None)

    def fail(self, kind, error):
        raise Broken(error, fenced=kind == "fenced")

    def close(self):
        self.call("close", each=lambda *_: None)


def places(offsets):
    return (f"{key}={offset}" for key, offset in offsets.items())


class Writer(Client):
    def __init__(self, server, mode, txn_id=None, compression="none"):
        self.left, self.broken, self.lock = 0, None, threading.Condition()
        conf = {"bootstrap.servers": server, "acks": "all", "linger.ms": 5, "request.timeout.ms": 10_000, "max.block.ms": BLOCK_S * 1000}
        conf.update({"delivery.timeout.ms": 30_000, "enable.idempotence": str(mode != "plain").lower()})
        conf["compression.type"] = compression
        if mode == "plain":
            conf["max.in.flight.requests.per.connection"] = 1
        if mode == "transactional":
            conf.update({"transactional.id": txn_id, "transaction.timeout.ms": TRANSACTION_MS})
        super().__init__("producer", conf)

    def fail(self, kind, error):
        if kind == "abortable":
            raise Abortable(error)
        super().fail(kind, error)

    def start(self):
        try:
            self.call("init")
        except Abortable as error:
            raise Broken(error) from error

    def send(self, key, data, done, name=None, header=None):
        def told(fields):
            kind, *more = fields
            if kind == "sent":
                done("ok", None if more[0] == NONE else int(more[0]), None)
            else:
                done("info", None, more[-1])
                if kind == "error":  # of the call itself
                    self.broken = more[-1]
            with self.lock:
                self.left -= 1
                self.lock.notify()

        with self.lock:
            self.left += 1
        value = NONE if data is None else base64.b64encode(data).decode()
        jvm.ask(told, "send", self.name, key, name or NONE, header or NONE, value)

    def serve(self):
        if self.broken:
            raise Broken(self.broken)

    def flush(self):
        with self.lock:
            if not self.lock.wait_for(lambda: self.left == 0, BLOCK_S):
                raise Broken("no end of what was sent")

    def begin(self):
        self.call("begin")

    def commit(self):
        self.call("end")

    def abort(self):
        try:
            self.call("abort")
        except Abortable as error:
            raise Broken(error) from error

    def offsets(self, reader, offsets):
        self.call("offsets", reader.name, *places(offsets))


class Reader(Client):
    """`changed` is called with "assigned" or "revoked", and the keys, when a rebalance says so. `member`: more of its settings."""

    def __init__(self, server, isolation, group=None, changed=None, member=()):
        self.changed, self.take, self.ended = changed, None, {}
        conf = {"bootstrap.servers": server, "isolation.level": isolation, "enable.auto.commit": "false", "auto.offset.reset": "earliest"}
        conf.update({"fetch.max.wait.ms": 200, "fetch.max.bytes": FETCH_BYTES, "max.poll.records": MOST_AT_ONCE})
        conf.update({"default.api.timeout.ms": BLOCK_S * 1000 // 2, "request.timeout.ms": BLOCK_S * 1000 // 2})
        if group:
            classic = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
            conf.update({"group.id": group, **({} if "group.protocol" in member else classic), **dict(member)})
        super().__init__("consumer", conf)

    def assign(self, positions):
        self.call("assign", *places(positions))

    def seek(self, positions):
        self.call("seek", *places(positions))

    def subscribe(self, topics):
        self.call("subscribe", *topics)

    def poll(self, seconds, take):
        """Gives each record to take(key, offset, bytes), after all that `changed` is told."""
        self.take = take
        self.call("poll", int(seconds * 1000), each=self._told)

    def _told(self, kind, *fields):
        if kind == "record":
            key, offset, name, header, value = fields
            data = None if value == NONE else base64.b64decode(value)
            self.take(key, int(offset), data, *(None if text == NONE else text for text in (name, header)))
        elif kind == "ended":
            self.ended[fields[0]] = int(fields[1])
        else:
            self.changed(kind, [key for key in fields[0].split(",") if key])

    def commit(self, offsets):
        self.call("commit", *places(offsets))

    def close(self):
        self.call("close", each=self._told)
