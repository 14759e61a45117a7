"""confluent.py HOST:PORT PREFIX [CHECK…]: confluent-kafka, as Debian has it (1.7) and as published today, against the server there."""

import confluent_kafka
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaException, Producer as KafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

import groups
from tap import Order, RECORDS, Skip, TIME, equal, main, record, that

version = confluent_kafka.version()
version = version if isinstance(version, str) else version[0]
since_2 = version >= "2"
has = {name: hasattr(AdminClient, name) for name in ("delete_records", "list_offsets", "describe_cluster", "incremental_alter_configs")}


def raised(message):
    if message.error():
        raise KafkaException(message.error())
    return message


class Producer:
    def __init__(self, server):
        self.producer = KafkaProducer({"bootstrap.servers": server, "linger.ms": 2})

    def send(self, topic, partition, value):
        self.producer.produce(topic, value, partition=partition)

    def flush(self):
        equal(self.producer.flush(30), 0, "unsent")

    def close(self):
        self.flush()


class Consumer:
    def __init__(self, server, group, topic, member, **more):
        self.member = member
        flags = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", **more}
        self.consumer = KafkaConsumer({"bootstrap.servers": server, **flags})
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked)

    def poll(self):
        message = self.consumer.poll(0.1)
        return [raised(message).value()] if message else []

    def commit(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != confluent_kafka.KafkaError._NO_OFFSET:
                raise

    def close(self):
        self.consumer.close()

    def assigned(self, consumer, partitions):
        self.member.assigned([one.partition for one in partitions])

    def revoked(self, consumer, partitions):
        self.member.revoked([one.partition for one in partitions])


class Checks:
    def __init__(self, server, prefix):
        self.server, self.prefix = server, prefix
        self.admin = AdminClient({"bootstrap.servers": server})

    def topic(self, name, partitions, **more):
        topic = f"{self.prefix}-{name}"
        self.admin.create_topics([NewTopic(topic, partitions, 1, **more)], operation_timeout=20)[topic].result(20)
        return topic

    def producer(self, **more):
        return KafkaProducer({"bootstrap.servers": self.server, **more})

    def consumer(self, **more):
        flags = {"group.id": f"{self.prefix}-nobody", "auto.offset.reset": "earliest", "enable.auto.commit": False, **more}
        return KafkaConsumer({"bootstrap.servers": self.server, **flags})

    def filled(self, name, partitions, records):
        topic = self.topic(name, partitions)
        producer = self.producer()
        for i in range(records):
            producer.produce(topic, b"%d" % i, partition=i % partitions, timestamp=TIME + i * 1000)
        equal(producer.flush(30), 0, "unsent")
        return topic

    # --- records ---------------------------------------------------------------------------------------------------------
    def there_and_back(self, name, **flags):
        topic = self.topic(name, 3)
        producer, sent = self.producer(**{"linger.ms": 50, **flags}), {}

        def told(i):
            def report(error, message):
                sent[i] = str(error) if error else message.offset()

            return report

        for i in range(RECORDS):
            key, value, headers, timestamp = record(i)
            producer.produce(topic, value, key, i % 3, on_delivery=told(i), timestamp=timestamp, headers=headers)
        equal(producer.flush(30), 0, "unsent")
        consumer, order = self.consumer(), Order()
        consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
        while not order.all():
            for one in consumer.consume(100, 0.2):
                raised(one)
                equal(one.offset(), sent[order.next[one.partition()]], "its offset")
                order.take(one.partition(), (one.key(), one.value(), one.headers(), one.timestamp()[1]))
        consumer.close()

    def resume(self, name="resume", **more):
        topic = self.filled(name, 1, 100)
        flags = {"group.id": topic, **more}
        consumer = self.consumer(**flags)
        consumer.subscribe([topic])
        for n in range(60):
            self.next(consumer, n)
            if n == 49:
                kept = TopicPartition(topic, 0, 50)
                if since_2:
                    kept = TopicPartition(topic, 0, 50, metadata="half of it")
                consumer.commit(offsets=[kept], asynchronous=False)
        committed = consumer.committed([TopicPartition(topic, 0)], 20)[0]
        equal(committed.offset, 50, "committed")
        equal(getattr(committed, "metadata", "half of it"), "half of it", "its metadata")
        consumer.close()
        consumer = self.consumer(**flags)
        consumer.subscribe([topic])
        for n in range(50, 100):
            self.next(consumer, n)
        consumer.close()

    @staticmethod
    def next(consumer, n):
        message = None
        while not message:
            message = consumer.poll(1)
        equal(int(raised(message).value()), n, "read")

    def group(self, name, **more):
        groups.rebalances(self.server, self.topic(name, groups.PARTITIONS), Producer, Consumer, **more)

    # --- transactions ----------------------------------------------------------------------------------------------------
    def transactional(self, name):
        producer = self.producer(**{"transactional.id": f"{self.prefix}-{name}"})
        producer.init_transactions(20)
        return producer

    def read_all(self, topic, isolation):
        consumer, found, end = self.consumer(**{"isolation.level": isolation, "enable.partition.eof": True}), [], False
        consumer.assign([TopicPartition(topic, 0, 0)])
        while not end:
            message = consumer.poll(1)
            if message is None:
                continue
            end = message.error() and message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
            if not end:
                found.append(int(raised(message).value()))
        consumer.close()
        return found

    def transaction(self, producer, topic, numbers, commit):
        producer.begin_transaction()
        for n in numbers:
            producer.produce(topic, b"%d" % n, partition=0)
        equal(producer.flush(20), 0, "unsent")
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)

    def commit(self):
        producer, topic = self.transactional("commit"), self.topic("commit", 1)
        producer.begin_transaction()
        producer.produce(topic, b"0", partition=0)
        equal(producer.flush(20), 0, "unsent")
        equal(self.read_all(topic, "read_committed"), [], "read of an open one")
        producer.commit_transaction(20)
        equal(self.read_all(topic, "read_committed"), [0], "read")

    def abort(self):
        producer, topic = self.transactional("abort"), self.topic("abort", 1)
        self.transaction(producer, topic, [0, 1], True)
        self.transaction(producer, topic, [2, 3], False)
        self.transaction(producer, topic, [4], True)
        equal(self.read_all(topic, "read_committed"), [0, 1, 4], "read_committed")
        equal(self.read_all(topic, "read_uncommitted"), [0, 1, 2, 3, 4], "read_uncommitted")

    def txn_offsets(self):
        producer, topic = self.transactional("txn-offsets"), self.topic("txn-offsets", 1)
        consumer = self.consumer(**{"group.id": topic})
        for commit in False, True:
            producer.begin_transaction()
            producer.produce(topic, b"0", partition=0)
            producer.send_offsets_to_transaction([TopicPartition(topic, 0, 3)], consumer.consumer_group_metadata(), 20)
            (producer.commit_transaction if commit else producer.abort_transaction)(20)
            offset = consumer.committed([TopicPartition(topic, 0)], 20)[0].offset
            equal(offset, 3 if commit else confluent_kafka.OFFSET_INVALID, "committed")
        consumer.close()

    def fence(self):
        before, topic = self.transactional("fence"), self.topic("fence", 1)
        before.begin_transaction()
        before.produce(topic, b"0", partition=0)
        equal(before.flush(20), 0, "unsent")
        after = self.transactional("fence")
        try:
            before.commit_transaction(20)
        except KafkaException as error:
            that(error.args[0].fatal(), f"not fenced: {error}")
        else:
            raise AssertionError("who was taken over from commits")
        self.transaction(after, topic, [1], True)
        equal(self.read_all(topic, "read_committed"), [1], "read")

    # --- administration --------------------------------------------------------------------------------------------------
    def partitions_of(self, topic):
        return len(self.admin.list_topics(topic, 20).topics[topic].partitions)

    def topics(self):
        topic = self.topic("topic", 3)
        that(topic in self.admin.list_topics(timeout=20).topics, "it is not listed")
        equal(self.partitions_of(topic), 3, "partitions")
        try:
            self.topic("topic", 3)
        except KafkaException as error:
            equal(error.args[0].code(), confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS, "made twice")
            return
        raise AssertionError("made twice")

    def partitions(self):
        topic = self.topic("partitions", 2)
        self.admin.create_partitions([NewPartitions(topic, 5)])[topic].result(20)
        equal(self.partitions_of(topic), 5, "partitions")

    def described(self, topic):
        resource = ConfigResource("topic", topic)
        return {name: one.value for name, one in self.admin.describe_configs([resource])[resource].result(20).items()}

    def configs(self):
        topic = self.topic("configs", 1, config={"retention.ms": "3600000"})
        equal(self.described(topic)["retention.ms"], "3600000", "retention.ms")
        resource = ConfigResource("topic", topic, set_config={"cleanup.policy": "compact"})
        self.admin.alter_configs([resource])[resource].result(20)
        equal(self.described(topic)["cleanup.policy"], "compact", "cleanup.policy")
        if has["incremental_alter_configs"]:
            how = confluent_kafka.admin.AlterConfigOpType.APPEND
            entry = confluent_kafka.admin.ConfigEntry("cleanup.policy", "delete", incremental_operation=how)
            resource = ConfigResource("topic", topic, incremental_configs=[entry])
            self.admin.incremental_alter_configs([resource])[resource].result(20)
            equal(self.described(topic)["cleanup.policy"], "compact,delete", "cleanup.policy")

    def offsets(self):
        topic, consumer = self.filled("offsets", 1, 20), self.consumer()
        partition = TopicPartition(topic, 0)
        equal(consumer.get_watermark_offsets(partition, 20), (0, 20), "first and last")
        equal(consumer.offsets_for_times([TopicPartition(topic, 0, TIME + 4500)], 20)[0].offset, 5, "behind a time")
        consumer.close()
        if has["list_offsets"]:
            spec = confluent_kafka.admin.OffsetSpec
            for which, wanted in (spec.earliest(), 0), (spec.latest(), 20), (spec.max_timestamp(), 19):
                equal(self.admin.list_offsets({partition: which})[partition].result(20).offset, wanted, str(which))

    def groups(self):
        topic = self.filled("groups", 2, 20)
        consumer = self.consumer(**{"group.id": topic, "client.id": "a client"})
        consumer.subscribe([topic])
        while not consumer.assignment():
            consumer.poll(0.1)
        consumer.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
        group = self.admin.list_groups(topic, 20)[0]
        equal([member.client_id for member in group.members], ["a client"], "members")
        if not since_2:
            consumer.close()
            return
        listed = self.admin.list_consumer_groups(states={confluent_kafka.ConsumerGroupState.STABLE}).result(20)
        that(topic in [one.group_id for one in listed.valid], "it is not listed")
        described = self.admin.describe_consumer_groups([topic])[topic].result(20)
        equal(len(described.members[0].assignment.topic_partitions), 2, "its partitions")
        consumer.close()
        asked = confluent_kafka.ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0)])
        equal(self.admin.list_consumer_group_offsets([asked])[topic].result(20).topic_partitions[0].offset, 4, "committed")
        changed = confluent_kafka.ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0, 9)])
        self.admin.alter_consumer_group_offsets([changed])[topic].result(20)
        equal(self.admin.list_consumer_group_offsets([asked])[topic].result(20).topic_partitions[0].offset, 9, "altered")
        self.admin.delete_consumer_groups([topic])[topic].result(20)
        that(topic not in [one.group_id for one in self.admin.list_consumer_groups().result(20).valid], "it is still there")

    def log_dirs(self):
        raise Skip("no version asks")

    def delete_records(self):
        if not has["delete_records"]:
            raise Skip("this version does not ask")
        partition = TopicPartition(self.filled("delete-records", 1, 20), 0, 5)
        equal(self.admin.delete_records([partition])[partition].result(20).low_watermark, 5, "low watermark")
        consumer = self.consumer()
        equal(consumer.get_watermark_offsets(partition, 20), (5, 20), "first and last")
        consumer.close()

    def delete_topic(self):
        topic = self.filled("delete-topic", 2, 10)
        self.admin.delete_topics([topic], operation_timeout=20)[topic].result(20)
        that(topic not in self.admin.list_topics(timeout=20).topics, "it is still there")

    def everything(self):
        if not has["describe_cluster"]:
            raise Skip("this version does not ask")
        equal(len(self.admin.describe_cluster(include_authorized_operations=True).result(20).nodes), 1, "nodes")
        topic = self.topic("everything", 3)
        names = confluent_kafka.TopicCollection([topic])
        described = self.admin.describe_topics(names, include_authorized_operations=True)[topic].result(20)
        equal(len(described.partitions), 3, "partitions")
        resource = ConfigResource("broker", str(described.partitions[0].leader.id))
        that(self.admin.describe_configs([resource])[resource].result(20), "the broker has no configuration")


def program(tap, server, prefix):
    checks = Checks(server, prefix)
    tap.check("topic", checks.topics)
    for codec in "none", "gzip", "snappy", "lz4", "zstd":
        tap.check(codec, lambda codec=codec: checks.there_and_back(codec, **{"compression.type": codec}))
    tap.check("idempotent", lambda: checks.there_and_back("idempotent", **{"enable.idempotence": True}))
    tap.check("acks=1", lambda: checks.there_and_back("acks", acks=1))
    tap.check("resume", checks.resume)
    tap.check("group", lambda: checks.group("group"))
    sticky = {"partition.assignment.strategy": "cooperative-sticky"}
    tap.check("cooperative", lambda: checks.group("cooperative", **sticky))
    if since_2:
        tap.check("consumer-resume", lambda: checks.resume("consumer-resume", **{"group.protocol": "consumer"}))
        tap.check("consumer-group", lambda: checks.group("consumer-group", **{"group.protocol": "consumer"}))
    tap.check("commit", checks.commit)
    tap.check("abort", checks.abort)
    tap.check("txn-offsets", checks.txn_offsets)
    tap.check("fence", checks.fence)
    for name in "configs", "offsets", "groups", "log-dirs", "partitions", "delete-records", "delete-topic", "everything":
        tap.check(name, getattr(checks, name.replace("-", "_")))


if __name__ == "__main__":
    main(program, f"{version} with librdkafka {confluent_kafka.libversion()[0]}")
