"""aio.py HOST:PORT PREFIX [CHECK…]: aiokafka against the server there. In the check of a group whoever reads or writes has a loop of
its own, which runs while it is asked for something."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

import groups
from tap import Order, RECORDS, TIME, equal, main, record, that


class Producer:
    def __init__(self, server):
        self.loop = asyncio.new_event_loop()
        self.sent = []
        self.producer = self.loop.run_until_complete(self.started(server))

    @staticmethod
    async def started(server):
        producer = AIOKafkaProducer(bootstrap_servers=server, linger_ms=2)
        await producer.start()
        return producer

    def send(self, topic, partition, value):
        self.sent.append(self.loop.run_until_complete(self.producer.send(topic, value, partition=partition)))

    def flush(self):
        if self.sent:
            self.loop.run_until_complete(asyncio.gather(*self.sent))
        self.sent = []

    def close(self):
        self.loop.run_until_complete(self.producer.stop())


class Consumer(aiokafka.ConsumerRebalanceListener):
    def __init__(self, server, group, topic, member):
        self.loop = asyncio.new_event_loop()
        self.member = member
        self.consumer = self.loop.run_until_complete(self.started(server, group, topic))

    async def started(self, server, group, topic):
        flags = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "heartbeat_interval_ms": 300, "max_poll_records": 50}
        consumer = AIOKafkaConsumer(bootstrap_servers=server, group_id=group, **flags)
        consumer.subscribe([topic], listener=self)
        self.consumer = consumer
        await consumer.start()
        return consumer

    def poll(self):
        found = self.loop.run_until_complete(self.consumer.getmany(timeout_ms=100))
        return [one.value for records in found.values() for one in records]

    def commit(self):
        self.loop.run_until_complete(self.consumer.commit())

    def commit_soon(self):
        pass  # the listener below has done it

    def close(self):
        self.loop.run_until_complete(self.consumer.stop())

    async def on_partitions_revoked(self, revoked):
        if revoked:
            await self.consumer.commit()
        self.member.revoked(revoked)

    async def on_partitions_assigned(self, assigned):
        self.member.assigned(assigned)


class Checks:
    def __init__(self, server, prefix):
        self.server, self.prefix = server, prefix

    async def topic(self, name, partitions):
        topic = f"{self.prefix}-{name}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.server)
        await admin.start()
        await admin.create_topics([NewTopic(topic, partitions, 1)])
        equal(len((await admin.describe_topics([topic]))[0]["partitions"]), partitions, "partitions")
        that(topic in await admin.list_topics(), "it is not listed")
        await admin.close()
        return topic

    def producer(self, **flags):
        return AIOKafkaProducer(bootstrap_servers=self.server, **flags)

    def consumer(self, *topics, **flags):
        flags = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **flags}
        return AIOKafkaConsumer(*topics, bootstrap_servers=self.server, **flags)

    async def there_and_back(self, name, **flags):
        topic, order = await self.topic(name, 3), Order()
        async with self.producer(linger_ms=50, **flags) as producer:
            sent = []
            for i in range(RECORDS):
                key, value, headers, timestamp = record(i)
                sent.append(await producer.send(topic, value, key, i % 3, timestamp, headers))
            offsets = [one.offset for one in await asyncio.gather(*sent)]
        async with self.consumer(topic) as consumer:
            while not order.all():
                one = await consumer.getone()
                equal(one.offset, offsets[order.next[one.partition]], "its offset")
                order.take(one.partition, (one.key, one.value, one.headers, one.timestamp))

    async def resume(self):
        topic = await self.topic("resume", 1)
        partition = TopicPartition(topic, 0)
        async with self.producer() as producer:
            for n in range(100):
                await (await producer.send(topic, b"%d" % n))
        async with self.consumer(topic, group_id=topic) as consumer:
            for n in range(60):
                equal(int((await consumer.getone()).value), n, "read")
                if n == 49:
                    await consumer.commit({partition: OffsetAndMetadata(50, "half of it")})
            equal(await consumer.committed(partition), 50, "committed")
        async with self.consumer(topic, group_id=topic) as consumer:
            for n in range(50, 100):
                equal(int((await consumer.getone()).value), n, "read")

    def group(self):
        topic = asyncio.run(self.topic("group", groups.PARTITIONS))
        groups.rebalances(self.server, topic, Producer, Consumer)

    async def read_until(self, topic, last, isolation):
        numbers = []
        async with self.consumer(topic, isolation_level=isolation) as consumer:
            while last not in numbers:
                numbers.append(int((await consumer.getone()).value))
        return numbers

    async def abort(self):
        topic = await self.topic("abort", 1)
        async with self.producer(transactional_id=topic) as producer:
            for numbers, commit in ([0, 1], True), ([2, 3], False), ([4], True):
                await producer.begin_transaction()
                for n in numbers:
                    await producer.send_and_wait(topic, b"%d" % n)
                await (producer.commit_transaction() if commit else producer.abort_transaction())
        equal(await self.read_until(topic, 4, "read_committed"), [0, 1, 4], "read_committed")
        equal(await self.read_until(topic, 4, "read_uncommitted"), [0, 1, 2, 3, 4], "read_uncommitted")

    async def txn_offsets(self):
        topic = await self.topic("txn-offsets", 1)
        partition = TopicPartition(topic, 0)
        async with self.producer(transactional_id=topic) as producer, self.consumer(group_id=topic) as consumer:
            for commit in False, True:
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"0")
                await producer.send_offsets_to_transaction({partition: 3}, topic)
                await (producer.commit_transaction() if commit else producer.abort_transaction())
                equal(await consumer.committed(partition), 3 if commit else None, "committed")

    async def fence(self):
        topic = await self.topic("fence", 1)
        before, after = self.producer(transactional_id=topic), self.producer(transactional_id=topic)
        await before.start()
        await before.begin_transaction()
        await before.send_and_wait(topic, b"0")
        await after.start()
        try:
            await before.commit_transaction()
        except (ProducerFenced, KafkaError):
            pass
        else:
            raise AssertionError("who was taken over from commits")
        async with after.transaction():
            await after.send_and_wait(topic, b"1")
        equal(await self.read_until(topic, 1, "read_committed"), [1], "read")
        await after.stop()

    async def offsets(self):
        topic = await self.topic("offsets", 1)
        partition = TopicPartition(topic, 0)
        async with self.producer() as producer, self.consumer() as consumer:
            for n in range(20):
                await producer.send_and_wait(topic, b"%d" % n, timestamp_ms=TIME + n * 1000)
            equal((await consumer.beginning_offsets([partition]))[partition], 0, "earliest")
            equal((await consumer.end_offsets([partition]))[partition], 20, "latest")
            equal((await consumer.offsets_for_times({partition: TIME + 4500}))[partition].offset, 5, "behind a time")


def program(tap, server, prefix):
    checks = Checks(server, prefix)

    def check(name, function, *args, **flags):
        tap.check(name, lambda: asyncio.run(function(*args, **flags)))

    check("topic", checks.topic, "topic", 3)
    for codec in "none", "gzip", "snappy", "lz4", "zstd":
        check(codec, checks.there_and_back, codec, compression_type=None if codec == "none" else codec)
    check("idempotent", checks.there_and_back, "idempotent", enable_idempotence=True)
    check("acks=1", checks.there_and_back, "acks", acks=1)
    check("resume", checks.resume)
    tap.check("group", checks.group)
    for name in "abort", "txn-offsets", "fence", "offsets":
        check(name, getattr(checks, name.replace("-", "_")))


if __name__ == "__main__":
    main(program, aiokafka.__version__)
