"""What clients do, for as long as they are let: each role is a loop over *lives*, in each of which a client is made, works, and is
closed or left. All of it is written into the history."""

import random
import struct
import threading
from collections import defaultdict
from contextlib import contextmanager

from bide_kafka import KafkaConn, frame, string
from client import COMPRESSIONS, Abortable, Broken
from history import Poll, named, pack

COMMITTED, RAW = "read_committed", "read_uncommitted"
MOST_UNANSWERED = 200
POLL_S = 0.2
DELETE_RECORDS = 21


class Context:
    """One client process: who it is, where it writes, and whether it goes on."""

    def __init__(self, library, recorder, address, topics, seed):
        self.library, self.recorder, self.address, self.topics = library, recorder, address, topics
        self.server = f"{address[0]}:{address[1]}"
        self.name, self.rng, self.stop = recorder.process, random.Random(seed), threading.Event()
        self.lives = self.values = 0
        self.lies = False

    def goes_on(self):
        return not self.stop.is_set()

    def pause(self, seconds):
        self.stop.wait(seconds)

    def life(self):
        self.lives += 1
        return f"{self.name}.{self.lives}"

    def writer(self, mode, *txn_id):
        """Half of them compress: then what is compacted is opened, and compressed again."""
        compressed = self.library.HEADERS and self.rng.random() < 0.5
        more = {"compression": self.rng.choice(COMPRESSIONS)} if compressed else {}
        return self.library.Writer(self.server, mode, *txn_id, **more)

    def keys(self, *topics):
        return [f"{topic}/{n}" for topic in topics for n in range(self.topics[topic])]

    def value(self):
        self.values += 1
        return f"{self.name}:{self.values}"

    @contextmanager
    def kept(self, client):
        """Closes it in the end, which may fail as everything else."""
        try:
            yield client
        finally:
            try:
                client.close()
            except Broken:
                pass

    @contextmanager
    def lived(self):
        """A life that may end with a broken client; then there is another one."""
        try:
            yield
        except (Broken, Abortable) as error:
            self.recorder.note("broken", error=str(error))
            self.pause(0.1)


def size_of(rng, key):
    """What goes into `cut` is the most by far, and most of it is deleted again: so the journal's segments come to be tidied."""
    size = rng.choice((10, 100, 100, 1000, 1000, 4000, 20_000 if rng.random() < 0.2 else 500))
    return size * 10 if key.startswith("cut/") else size


def name_of(rng):
    """Some names are written all the time, others rarely: their tombstones live long enough to go."""
    return f"hot-{rng.randrange(20)}" if rng.random() < 0.6 else f"cold-{rng.randrange(600)}"


def send(ctx, writer, life, mode, key, **more):
    value, null = ctx.value(), False
    if key.startswith("keyed/"):
        name = name_of(ctx.rng)
        null = ctx.library.HEADERS and ctx.rng.random() < (0.1 if name.startswith("hot") else 0.5)
        value = named(value, name, null)
        more.update(name=name, null=null)
    op = ctx.recorder.invoke("send", life=life, mode=mode, key=key, value=value, **more)

    def done(kind, offset, error):
        told = {} if offset is None else {"offset": offset}
        ctx.recorder.end(op, kind, **told, **({"error": error} if error else {}))

    own = {"name": more["name"], "header": value if ctx.library.HEADERS else None} if "name" in more else {}
    writer.send(key, None if null else pack(value, size_of(ctx.rng, key)), done, **own)


# --- those who write -----------------------------------------------------------------------------------------------------------


def produce(ctx, mode):
    keys = ctx.keys("log", "cut", "source", "keyed")
    while ctx.goes_on():
        with ctx.lived(), ctx.kept(ctx.writer(mode)) as writer:
            life = ctx.life()
            for _ in range(ctx.rng.randrange(300, 3000)):
                if not ctx.goes_on():
                    break
                if writer.left < MOST_UNANSWERED:
                    send(ctx, writer, life, mode, ctx.rng.choice(keys))
                writer.serve()
                ctx.pause(ctx.rng.choice((0, 0.005, 0.02)))
            writer.flush()


def transact(ctx):
    """Transactions under one id; sometimes a new producer takes the id over amid one, and the old one tries to commit it."""
    while ctx.goes_on():
        with ctx.lived(), ctx.kept(ctx.writer("transactional", ctx.name)) as writer:
            writer.start()
            life = ctx.life()
            for count in range(ctx.rng.randrange(20, 100)):
                if not ctx.goes_on():
                    break
                txn = f"{life}-{count}"
                begin(ctx, writer, life, txn)
                choice = ctx.rng.random()
                if choice < 0.03:
                    take_over(ctx, writer, txn)
                    break
                end(ctx, writer, txn, commit=choice < 0.8)


def begin(ctx, writer, life, txn):
    keys = ctx.keys("log", "cut", "keyed")
    writer.begin()
    for _ in range(ctx.rng.randrange(1, 20)):
        send(ctx, writer, life, "transactional", ctx.rng.choice(keys), txn=txn)
        writer.serve()
        ctx.pause(ctx.rng.choice((0, 0, 0.02)))


def end(ctx, writer, txn, commit):
    """Ends a transaction; one that can only be aborted is. Whether it was committed is told."""
    if commit:
        op = ctx.recorder.invoke("commit", txn=txn)
        try:
            writer.commit()
            ctx.recorder.end(op, "ok")
            return True
        except (Abortable, Broken) as error:
            ctx.recorder.end(op, "info", error=str(error))
            if isinstance(error, Broken):
                raise
    op = ctx.recorder.invoke("abort", txn=txn)
    writer.abort()
    ctx.recorder.end(op, "ok")
    return False


def take_over(ctx, old, txn):
    """Once the new one has started, the old one's commit must be refused: that refusal is final."""
    with ctx.kept(ctx.writer("transactional", ctx.name)) as new:
        new.start()
        op = ctx.recorder.invoke("commit", txn=txn, taken_over=True)
        try:
            old.commit()
            ctx.recorder.end(op, "ok")
        except (Abortable, Broken) as error:
            ctx.recorder.end(op, "fail" if getattr(error, "fenced", False) else "info", error=str(error))


# --- those who read -----------------------------------------------------------------------------------------------------------------


def passed(records):
    return {key: polled[-1][0] + 1 for key, polled in records.items()}


def follow(ctx, isolation):
    """Reads partitions that it chooses itself, from where it left off, or from somewhere before."""
    keys = ctx.keys("log", "cut", "source", "made", "keyed")
    at = {key: 0 for key in keys}
    while ctx.goes_on():
        with ctx.lived(), ctx.kept(ctx.library.Reader(ctx.server, RAW if ctx.lies else isolation)) as reader:
            life = ctx.life()
            for _ in range(ctx.rng.randrange(1, 8)):
                chosen = {key: at[key] for key in keys if ctx.rng.random() < 0.7} or dict(at)
                ctx.recorder.note("assign", life=life, positions=chosen)
                reader.assign(chosen)
                for _ in range(ctx.rng.randrange(5, 60)):
                    if not ctx.goes_on():
                        return
                    polled = Poll(ctx.recorder, life, isolation)
                    reader.poll(POLL_S, polled.take)
                    at.update(passed(polled.end()))
                    if ctx.rng.random() < 0.03:
                        seek(ctx, reader, life, {ctx.rng.choice(list(chosen)): 100}, at)


def seek(ctx, reader, life, back, at):
    positions = {key: max(0, at[key] - ctx.rng.randrange(most)) for key, most in back.items()}
    at.update(positions)
    ctx.recorder.note("seek", life=life, positions=positions)
    reader.seek(positions)


def read_all(ctx, isolation):
    """Reads what is compacted from the beginning to the end, again and again."""
    keys = ctx.keys("keyed")
    while ctx.goes_on():
        ctx.pause(ctx.rng.uniform(0, 1))
        with ctx.lived(), ctx.kept(ctx.library.Reader(ctx.server, isolation)) as reader:
            life = ctx.life()
            op = ctx.recorder.invoke("full", life=life, isolation=isolation)
            positions = dict.fromkeys(keys, 0)
            ctx.recorder.note("assign", life=life, positions=positions)
            reader.assign(positions)
            while ctx.goes_on() and len(reader.ended) < len(keys):
                polled = Poll(ctx.recorder, life, isolation)
                reader.poll(POLL_S, polled.take)
                polled.end()
            if len(reader.ended) == len(keys):
                ctx.recorder.end(op, "ok", reached=reader.ended)


class Member:
    """A reader in a group, that knows what is its own, and what it has read of it."""

    def __init__(self, ctx, isolation, group, topics, **more):
        self.ctx, self.isolation, self.group, self.life = ctx, isolation, group, ctx.life()
        self.own, self.at, self.polled = set(), {}, None
        self.reader = ctx.library.Reader(ctx.server, isolation, group, self.changed, **more)
        self.reader.subscribe(topics)

    def changed(self, kind, keys):
        """Is told in the middle of a poll: what came before it ends there, and goes to nobody, since it may not be its own any more."""
        polled, self.polled = self.polled, None
        if polled:
            polled.end()
        self.ctx.recorder.note(kind, life=self.life, group=self.group, keys=keys)
        self.own = self.own | set(keys) if kind == "assigned" else self.own - set(keys)
        self.at = {key: at for key, at in self.at.items() if key in self.own and key not in keys}
        if polled:
            self.polled = Poll(self.ctx.recorder, self.life, self.isolation)

    def poll(self):
        self.polled = Poll(self.ctx.recorder, self.life, self.isolation)
        self.reader.poll(POLL_S, lambda *record: self.polled.take(*record))
        polled, self.polled = self.polled, None
        records = polled.end()
        self.at.update(passed(records))
        return records

    def close(self):
        self.reader.close()


def join(ctx, isolation, group, **more):
    while ctx.goes_on():
        with ctx.lived(), ctx.kept(Member(ctx, isolation, group, ["log", "cut", "keyed"], **more)) as member:
            for _ in range(ctx.rng.randrange(30, 300)):
                if not ctx.goes_on():
                    return
                member.poll()
                if member.at and ctx.rng.random() < 0.3:
                    commit(ctx, member)


def commit(ctx, member):
    offsets = dict(member.at)
    op = ctx.recorder.invoke("offsets", group=member.group, offsets=offsets)
    try:
        member.reader.commit(offsets)
        ctx.recorder.end(op, "ok")
        member.at = {key: at for key, at in member.at.items() if offsets.get(key) != at}
    except Broken as error:  # as after a rebalance; the member goes on
        ctx.recorder.end(op, "info", error=str(error))


# --- those who read and write: exactly once ------------------------------------------------------------------------------------------


def process(ctx, group):
    """Makes one record of each in `source`, in transactions that commit the offsets, too."""
    while ctx.goes_on():
        with ctx.lived(), ctx.kept(ctx.writer("transactional", ctx.name)) as writer:
            writer.start()
            life = ctx.life()
            with ctx.kept(Member(ctx, COMMITTED, group, ["source"])) as member:
                for count in range(ctx.rng.randrange(20, 200)):
                    if not ctx.goes_on():
                        return
                    if records := member.poll():
                        process_once(ctx, writer, life, member, f"{life}-{count}", records)


def process_once(ctx, writer, life, member, txn, records):
    keys, offsets = ctx.keys("made"), passed(records)
    starts = {key: polled[0][0] for key, polled in records.items()}
    writer.begin()
    try:
        for key, polled in records.items():
            for offset, _ in polled:
                source = [member.group, key, offset]
                send(ctx, writer, life, "transactional", ctx.rng.choice(keys), txn=txn, source=source)
        op = ctx.recorder.invoke("txn-offsets", txn=txn, group=member.group, offsets=offsets)
        writer.offsets(member.reader, offsets)
        ctx.recorder.end(op, "ok")
    except Abortable:  # as after a rebalance
        end(ctx, writer, txn, commit=False)
        raise
    if not end(ctx, writer, txn, commit=ctx.rng.random() < 0.85):
        mine = {key: at for key, at in starts.items() if key in member.own}
        ctx.recorder.note("seek", life=member.life, positions=mine)
        member.reader.seek(mine)


# --- those who delete ---------------------------------------------------------------------------------------------------------------------


def delete(ctx):
    keys, low = ctx.keys("cut"), defaultdict(int)
    with ctx.kept(ctx.library.Reader(ctx.server, RAW)) as reader:
        while ctx.goes_on():
            ctx.pause(ctx.rng.uniform(0.3, 2))
            key = ctx.rng.choice(keys)
            with ctx.lived():
                first, behind = reader.ends(key)
                before = ctx.rng.randrange(max(low[key], first), behind + 1)
                op = ctx.recorder.invoke("delete", key=key, before=before)
                try:
                    kind, error = delete_records(ctx.address, key, before)
                except (OSError, EOFError) as lost:
                    kind, error = "info", str(lost)
                ctx.recorder.end(op, kind, error=error)
                low[key] = before


def delete_records(address, key, before):
    topic, partition = key.rsplit("/", 1)
    message = struct.pack(">i", 1) + string(topic) + struct.pack(">iiqi", 1, int(partition), before, 10_000)
    with KafkaConn(address) as conn:
        _, answer = conn.send(frame(DELETE_RECORDS, 1, 1, message)).answer()
    error = struct.unpack(">h", answer[-2:])[0]
    return "ok" if error == 0 else "info", error


STICKY = {"partition.assignment.strategy": "cooperative-sticky"}  # of those that stay, nothing is taken away

ROLES = {
    "plain": lambda ctx: produce(ctx, "plain"),
    "idempotent": lambda ctx: produce(ctx, "idempotent"),
    "transact": transact,
    "follow": lambda ctx: follow(ctx, COMMITTED),
    "follow-raw": lambda ctx: follow(ctx, RAW),
    "read-all": lambda ctx: read_all(ctx, COMMITTED),
    "read-all-raw": lambda ctx: read_all(ctx, RAW),
    "join": lambda ctx: join(ctx, COMMITTED, "readers"),
    "join-raw": lambda ctx: join(ctx, RAW, "raw-readers"),
    "join-new": lambda ctx: join(ctx, COMMITTED, "new-readers", member={"group.protocol": "consumer"}),
    "join-static": lambda ctx: join(ctx, COMMITTED, "static-readers", member={**STICKY, "group.instance.id": ctx.name}),
    "process": lambda ctx: process(ctx, "makers"),
    "delete": delete,
}
