"""Consumers of a group: one joins, one leaves, while a producer goes on; every record is read, and none read twice.

A client is given as two classes. `Producer(server)`: send(topic, partition, value), flush(), close(). `Consumer(server, group, topic,
member, **more)`: poll() → values, commit(), close(), and commit_soon() where the other cannot be called when partitions are revoked; it
calls member.assigned(partitions) and, before they are lost and with the commit still possible, member.revoked(partitions)."""

import threading

PARTITIONS, AHEAD, STAGE = 6, 1000, 200


class Seen:
    """What members have read. Who waits for something is told of every change."""

    def __init__(self):
        self.changed = threading.Condition()
        self.times = {}
        self.count = 0
        self.over = False

    def add(self, values):
        with self.changed:
            for value in values:
                self.times[int(value)] = self.times.get(int(value), 0) + 1
                self.count += 1
            self.changed.notify_all()

    def until(self, condition, members=()):
        def met():
            for member in members:
                if member.error:
                    raise member.error
            return condition()

        with self.changed:
            self.changed.wait_for(met, 55) or self.fail(members)

    def fail(self, members):
        raise AssertionError(f"{self.count} records read, members have {[sorted(m.has) for m in members]}")


class Member(threading.Thread):
    def __init__(self, make, seen):
        super().__init__(daemon=True)
        self.make, self.seen = make, seen
        self.has, self.read, self.leave, self.error, self.consumer = set(), 0, False, None, None

    def run(self):
        try:
            self.consumer = self.make(self)
            while not self.leave:
                values = self.consumer.poll()
                self.read += len(values)
                self.seen.add(values)
            self.consumer.commit()
            self.consumer.close()
        except Exception as error:
            self.error = error
            self.seen.add([])

    def assigned(self, partitions):
        self.has |= set(partitions)

    def revoked(self, partitions):
        if partitions and self.consumer:
            getattr(self.consumer, "commit_soon", self.consumer.commit)()
        self.has -= set(partitions)

    def end(self):
        self.leave = True
        self.join(30)
        if self.error:
            raise self.error


class Writer(threading.Thread):
    def __init__(self, *args):
        super().__init__(daemon=True)
        self.args, self.error = args, None
        self.start()

    def run(self):
        try:
            produce(*self.args)
        except Exception as error:
            self.error = error

    def end(self):
        self.join(30)
        if self.error:
            raise self.error


def produce(make, topic, seen, sent):
    producer = make()
    while not seen.over:
        producer.send(topic, sent[0] % PARTITIONS, b"%d" % sent[0])
        sent[0] += 1
        if sent[0] % 50 == 0:
            producer.flush()
            seen.until(lambda: sent[0] < seen.count + AHEAD or seen.over)
    producer.flush()
    producer.close()


def rebalances(server, topic, Producer, Consumer, **more):
    """`topic`, which is there, has PARTITIONS, and the group is called as it is."""
    seen, sent = Seen(), [0]

    def member():
        new = Member(lambda member: Consumer(server, topic, topic, member, **more), seen)
        new.start()
        return new

    writer = Writer(lambda: Producer(server), topic, seen, sent)
    first = member()
    seen.until(lambda: seen.count >= STAGE, [first])
    second = member()
    both = [first, second]
    seen.until(lambda: second.has and len(first.has) + len(second.has) == PARTITIONS, both)
    before = first.read, second.read
    seen.until(lambda: first.read > before[0] + STAGE and second.read > before[1] + STAGE, both)
    first.end()
    seen.until(lambda: len(second.has) == PARTITIONS, [second])
    alone = second.read
    seen.until(lambda: second.read > alone + STAGE, [second])
    with seen.changed:
        seen.over = True
        seen.changed.notify_all()
    writer.end()
    seen.until(lambda: len(seen.times) == sent[0], [second])
    second.end()
    twice = sum(1 for times in seen.times.values() if times > 1)
    if twice:
        raise AssertionError(f"{twice} of {sent[0]} records were read twice")
