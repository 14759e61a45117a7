"""kafka_python.py HOST:PORT PREFIX [CHECK…]: kafka-python, as Debian has it (2.0) and as published today, against the server there."""

import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

import groups
from tap import Order, RECORDS, Skip, TIME, equal, main, record, that

since_3 = int(kafka.__version__.split(".")[0]) >= 3


def committed_at(offset, metadata=""):
    fields = {"offset": offset, "metadata": metadata, "leader_epoch": -1}
    return OffsetAndMetadata(**{name: fields[name] for name in OffsetAndMetadata._fields})


class Producer:
    def __init__(self, server):
        self.producer = KafkaProducer(bootstrap_servers=server, linger_ms=2)

    def send(self, topic, partition, value):
        self.producer.send(topic, value, partition=partition)

    def flush(self):
        self.producer.flush()

    def close(self):
        self.producer.close()


class Consumer(kafka.ConsumerRebalanceListener):
    def __init__(self, server, group, topic, member, **more):
        self.member = member
        flags = {"group_id": group, "enable_auto_commit": False, "auto_offset_reset": "earliest", "max_poll_records": 50, **more}
        self.consumer = KafkaConsumer(bootstrap_servers=server, **flags)
        if since_3:  # in whose listeners nothing may wait
            self.commit_soon = self.consumer.commit_async
        self.consumer.subscribe([topic], listener=self)

    def poll(self):
        return [one.value for records in self.consumer.poll(100).values() for one in records]

    def commit(self):
        self.consumer.commit()

    def close(self):
        self.consumer.close()

    def on_partitions_assigned(self, assigned):
        self.member.assigned(assigned)

    def on_partitions_revoked(self, revoked):
        self.member.revoked(revoked)


class Checks:
    def __init__(self, server, prefix):
        self.server, self.prefix = server, prefix
        self.admin = KafkaAdminClient(bootstrap_servers=server)

    def topic(self, name, partitions, **more):
        topic = f"{self.prefix}-{name}"
        self.admin.create_topics([NewTopic(topic, partitions, 1, **more)])
        return topic

    def producer(self, **more):
        return KafkaProducer(bootstrap_servers=self.server, **more)

    def consumer(self, **more):
        flags = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **more}
        return KafkaConsumer(bootstrap_servers=self.server, **flags)

    def filled(self, name, partitions, records):
        topic = self.topic(name, partitions)
        producer = self.producer()
        for i in range(records):
            producer.send(topic, b"%d" % i, partition=i % partitions, timestamp_ms=TIME + i * 1000)
        producer.flush()
        producer.close()
        return topic

    # --- records ---------------------------------------------------------------------------------------------------------
    def there_and_back(self, name, **flags):
        topic = self.topic(name, 3)
        try:
            producer = self.producer(linger_ms=50, **flags)
        except AssertionError as error:
            raise Skip(f"its codec is not installed: {error}")
        sent = []
        for i in range(RECORDS):
            key, value, headers, timestamp = record(i)
            sent.append(producer.send(topic, value, key, headers, i % 3, timestamp))
        producer.flush()
        offsets = [one.get(20).offset for one in sent]
        producer.close()
        consumer, order = self.consumer(), Order()
        consumer.assign([TopicPartition(topic, p) for p in range(3)])
        while not order.all():
            for records in consumer.poll(1000).values():
                for one in records:
                    equal(one.offset, offsets[order.next[one.partition]], "its offset")
                    order.take(one.partition, (one.key, one.value, one.headers, one.timestamp))
        consumer.close()

    def idempotent(self):
        if "enable_idempotence" not in KafkaProducer.DEFAULT_CONFIG:
            raise Skip("this version has no idempotence")
        self.there_and_back("idempotent", enable_idempotence=True)

    def resume(self):
        topic = self.filled("resume", 1, 100)
        partition = TopicPartition(topic, 0)
        flags = {"group_id": topic, "max_poll_records": 10}
        consumer, n = self.consumer(**flags), 0
        consumer.subscribe([topic])
        while n < 60:
            for one in consumer.poll(1000).get(partition, []):
                equal(int(one.value), n, "read")
                n += 1
            if n == 50:
                consumer.commit({partition: committed_at(50, "half of it")})
        equal(consumer.committed(partition, metadata=True)[:2], (50, "half of it"), "committed")
        consumer.close()
        consumer, n = self.consumer(**flags), 50
        consumer.subscribe([topic])
        while n < 100:
            for one in consumer.poll(1000).get(partition, []):
                equal(int(one.value), n, "read")
                n += 1
        consumer.close()

    def group(self, name, **more):
        groups.rebalances(self.server, self.topic(name, groups.PARTITIONS), Producer, Consumer, **more)

    def short_polls(self):
        """Polls that end before it has joined, heard of its topic, and joined again; between them it is busy with something else."""
        for milliseconds in 1, 5, 20, 5, 20:
            topic = self.topic(f"short-polls-{time.monotonic_ns()}", 6)
            consumer = self.consumer(group_id=topic)
            consumer.subscribe([topic])
            end = time.monotonic() + 10
            while len(consumer.assignment()) < 6:
                that(time.monotonic() < end, "it waits for partitions")
                consumer.poll(milliseconds)
                time.sleep(0.001)
            consumer.close()

    def cooperative(self):
        raise Skip("this version reads twice, at Apache Kafka, too" if since_3 else "this version has no such way of dividing")

    # --- transactions ----------------------------------------------------------------------------------------------------
    def transactional(self, name):
        if "transactional_id" not in KafkaProducer.DEFAULT_CONFIG:
            raise Skip("this version has no transactions")
        producer = self.producer(transactional_id=f"{self.prefix}-{name}")
        producer.init_transactions()
        return producer

    def read_all(self, topic, isolation):
        partition, found = TopicPartition(topic, 0), []
        consumer = self.consumer(isolation_level=isolation)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        while consumer.position(partition) < end:
            found += [int(one.value) for one in consumer.poll(1000).get(partition, [])]
        consumer.close()
        return found

    def transaction(self, producer, topic, numbers, commit):
        producer.begin_transaction()
        for n in numbers:
            producer.send(topic, b"%d" % n, partition=0)
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()

    def commit(self):
        producer, topic = self.transactional("commit"), self.topic("commit", 1)
        producer.begin_transaction()
        producer.send(topic, b"0", partition=0).get(20)
        equal(self.read_all(topic, "read_committed"), [], "read of an open one")
        producer.commit_transaction()
        equal(self.read_all(topic, "read_committed"), [0], "read")
        producer.close()

    def abort(self):
        producer, topic = self.transactional("abort"), self.topic("abort", 1)
        self.transaction(producer, topic, [0, 1], True)
        self.transaction(producer, topic, [2, 3], False)
        self.transaction(producer, topic, [4], True)
        producer.close()
        equal(self.read_all(topic, "read_committed"), [0, 1, 4], "read_committed")
        equal(self.read_all(topic, "read_uncommitted"), [0, 1, 2, 3, 4], "read_uncommitted")

    def txn_offsets(self):
        producer, topic = self.transactional("txn-offsets"), self.topic("txn-offsets", 1)
        partition = TopicPartition(topic, 0)
        for commit in False, True:
            producer.begin_transaction()
            producer.send(topic, b"0", partition=0)
            producer.send_offsets_to_transaction({partition: committed_at(3)}, topic)
            (producer.commit_transaction if commit else producer.abort_transaction)()
            consumer = self.consumer(group_id=topic)
            equal(consumer.committed(partition), 3 if commit else None, "committed")
            consumer.close()
        producer.close()

    def fence(self):
        before, topic = self.transactional("fence"), self.topic("fence", 1)
        before.begin_transaction()
        before.send(topic, b"0", partition=0).get(20)
        after = self.transactional("fence")
        try:
            before.commit_transaction()
        except kafka.errors.KafkaError:
            pass
        else:
            raise AssertionError("who was taken over from commits")
        self.transaction(after, topic, [1], True)
        equal(self.read_all(topic, "read_committed"), [1], "read")

    # --- administration --------------------------------------------------------------------------------------------------
    def topics(self):
        topic = self.topic("topic", 3)
        that(topic in self.admin.list_topics(), "it is not listed")
        described = self.admin.describe_topics([topic])[0]
        equal(len(described["partitions"]), 3, "partitions")
        try:
            self.topic("topic", 3)
        except TopicAlreadyExistsError:
            return
        raise AssertionError("made twice")

    def partitions(self):
        topic = self.topic("partitions", 2)
        self.admin.create_partitions({topic: NewPartitions(5)})
        equal(len(self.admin.describe_topics([topic])[0]["partitions"]), 5, "partitions")

    def described(self, topic):
        answers = self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        if isinstance(answers, dict):  # since 3
            configs = next(iter(answers.values()))
            return {name: one["value"] if isinstance(one, dict) else one for name, one in dict(configs[topic]).items()}
        return {one[0]: one[1] for one in answers[0].resources[0][4]}

    def configs(self):
        topic = self.topic("configs", 1, topic_configs={"retention.ms": "3600000"})
        equal(self.described(topic)["retention.ms"], "3600000", "retention.ms")
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": "compact"})])
        equal(self.described(topic)["cleanup.policy"], "compact", "cleanup.policy")

    def offsets(self):
        partition = TopicPartition(self.filled("offsets", 1, 20), 0)
        consumer = self.consumer()
        equal(consumer.beginning_offsets([partition])[partition], 0, "earliest")
        equal(consumer.end_offsets([partition])[partition], 20, "latest")
        found = consumer.offsets_for_times({partition: TIME + 4500})[partition]
        equal((found.offset, found.timestamp), (5, TIME + 5000), "behind a time")
        consumer.close()

    def groups(self):
        topic = self.filled("groups", 2, 20)
        consumer = self.consumer(group_id=topic, client_id="a client")
        consumer.subscribe([topic])
        while not consumer.assignment():
            consumer.poll(100)
        consumer.commit({TopicPartition(topic, 0): committed_at(4)})
        listed = self.admin.list_groups() if hasattr(self.admin, "list_groups") else self.admin.list_consumer_groups()
        that(topic in str(listed), "it is not listed")
        describe = getattr(self.admin, "describe_groups", None) or self.admin.describe_consumer_groups
        that("a client" in str(describe([topic])), "its member is not described")
        consumer.close()
        fetch = getattr(self.admin, "list_group_offsets", None) or self.admin.list_consumer_group_offsets
        offsets = fetch(topic)
        offsets = offsets.get(topic, offsets) if since_3 else offsets
        equal(offsets[TopicPartition(topic, 0)].offset, 4, "committed")
        delete = getattr(self.admin, "delete_groups", None) or self.admin.delete_consumer_groups
        delete([topic])
        listed = self.admin.list_groups() if hasattr(self.admin, "list_groups") else self.admin.list_consumer_groups()
        that(topic not in str(listed), "it is still there")

    def log_dirs(self):
        topic = self.filled("log-dirs", 1, 20)
        if not hasattr(self.admin, "describe_log_dirs"):
            raise Skip("this version does not ask")
        that(topic in str(self.admin.describe_log_dirs()), "its log is not described")

    def delete_records(self):
        partition = TopicPartition(self.filled("delete-records", 1, 20), 0)
        if not hasattr(self.admin, "delete_records"):
            raise Skip("this version does not ask")
        self.admin.delete_records({partition: 5})
        consumer = self.consumer()
        equal(consumer.beginning_offsets([partition])[partition], 5, "earliest")
        consumer.close()

    def delete_topic(self):
        topic = self.filled("delete-topic", 2, 10)
        self.admin.delete_topics([topic])
        that(topic not in self.admin.list_topics(), "it is still there")

    def everything(self):
        that("brokers" in str(self.admin.describe_cluster()), "no brokers")
        self.admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])


def program(tap, server, prefix):
    checks = Checks(server, prefix)
    tap.check("topic", checks.topics)
    for codec in "none", "gzip", "snappy", "lz4", "zstd":
        tap.check(codec, lambda codec=codec: checks.there_and_back(codec, compression_type=None if codec == "none" else codec))
    tap.check("idempotent", checks.idempotent)
    tap.check("acks=1", lambda: checks.there_and_back("acks", acks=1, **({"enable_idempotence": False} if since_3 else {})))
    tap.check("resume", checks.resume)
    tap.check("group", lambda: checks.group("group"))
    tap.check("short-polls", checks.short_polls)
    tap.check("cooperative", checks.cooperative)
    tap.check("commit", checks.commit)
    tap.check("abort", checks.abort)
    tap.check("txn-offsets", checks.txn_offsets)
    tap.check("fence", checks.fence)
    for name in "configs", "offsets", "groups", "log-dirs", "partitions", "delete-records", "delete-topic", "everything":
        tap.check(name, getattr(checks, name.replace("-", "_")))


if __name__ == "__main__":
    main(program, kafka.__version__)
