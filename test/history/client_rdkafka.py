"""librdkafka, by confluent-kafka 1.7 or newer."""

import os
import time

import confluent_kafka as rd

from client import BACKOFF_MS, BLOCK_S, FETCH_BYTES, HEARTBEAT_MS, MOST_AT_ONCE, SESSION_MS, TRANSACTION_MS
from client import Abortable, Broken, split, within
from history import HEADER

MODES = ("plain", "idempotent", "transactional")
HEADERS = True
ISOLATIONS = ("read_committed", "read_uncommitted")
NEW_GROUPS = rd.libversion()[1] >= 0x020C0000  # knows group.protocol=consumer (KIP-848) as it is released


def common(server):
    debug = os.environ.get("RDKAFKA_DEBUG")
    return {
        **({"debug": debug} if debug else {"log_level": 0}),
        "bootstrap.servers": server,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": BACKOFF_MS,
        "topic.metadata.refresh.interval.ms": 5000,
    }


def raised(error):
    """What a call's error means for who called."""
    error = error.args[0]
    if error.code() == rd.KafkaError._FENCED:
        raise Broken(error, fenced=True)
    if error.txn_requires_abort():
        raise Abortable(error)
    raise Broken(error)


class Writer:
    def __init__(self, server, mode, txn_id=None, compression="none"):
        self.broken, self.left = None, 0
        conf = {**common(server), "acks": "all", "linger.ms": 5, "error_cb": self._error}
        conf.update({"message.timeout.ms": 30_000, "compression.type": compression})
        if mode == "plain":
            conf.update({"max.in.flight": 1, "enable.idempotence": False})
        elif mode == "idempotent":
            conf.update({"enable.idempotence": True})
        else:
            del conf["message.timeout.ms"]
            conf.update({"transactional.id": txn_id, "transaction.timeout.ms": TRANSACTION_MS})
        self.producer = rd.Producer(conf)

    def _error(self, error):
        if error.fatal():
            self.broken = error

    def _again(self, call, *args):
        """librdkafka wants some calls repeated when their time was not enough. In 2.16, send_offsets_to_transaction may never
        come back: AddOffsetsToTxn is answered, and TxnOffsetCommit never sent."""
        deadline = time.monotonic() + BLOCK_S
        while time.monotonic() < deadline:
            try:
                return within(BLOCK_S, call, *args, 1.0)
            except rd.KafkaException as error:
                if not error.args[0].retriable():
                    raised(error)
        raise Broken("no end of it")

    def start(self):
        self._again(self.producer.init_transactions)

    def send(self, key, data, done, name=None, header=None):
        topic, partition = split(key)
        self.left += 1

        def delivered(error, message):
            self.left -= 1
            if error:
                done("info", None, str(error))
            else:
                done("ok", message.offset() if message.offset() >= 0 else None, None)

        try:
            headers = [(HEADER, header)] if header else None
            self.producer.produce(topic, data, name, partition=partition, on_delivery=delivered, headers=headers)
        except (BufferError, rd.KafkaException) as error:  # it was not even taken
            self.left -= 1
            done("fail", None, repr(error))
            self.broken = self.broken or error

    def serve(self):
        """Takes up what was answered."""
        try:
            self.producer.poll(0)
        except rd.KafkaException as error:  # a fatal one
            raise Broken(error) from error
        if self.broken:
            raise Broken(self.broken)

    def flush(self):
        try:
            self.producer.flush(BLOCK_S)
        except rd.KafkaException as error:
            raise Broken(error) from error

    def begin(self):
        try:
            self.producer.begin_transaction()
        except rd.KafkaException as error:
            raised(error)

    def commit(self):
        self._again(self.producer.commit_transaction)

    def abort(self):
        self._again(self.producer.abort_transaction)

    def offsets(self, reader, offsets):
        group = reader.consumer.consumer_group_metadata()
        places = [rd.TopicPartition(*split(key), at) for key, at in offsets.items()]
        self._again(self.producer.send_offsets_to_transaction, places, group)

    def close(self):
        try:
            self.producer.purge()
            self.producer.flush(1.0)
        except (rd.KafkaException, SystemError) as error:  # a fatal one, said once more; purge forgets to return it
            raise Broken(error) from error


class Reader:
    """`changed` is called with "assigned" or "revoked", and the keys, when a rebalance says so. `member`: more of its settings."""

    def __init__(self, server, isolation, group=None, changed=None, member=()):
        self.changed, self.ended = changed, {}
        classic = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
        self.consumer = rd.Consumer(
            {
                **common(server),
                **({} if "group.protocol" in member else classic),
                **dict(member),
                "group.id": group or "nobody",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": group is None,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 200,
                "message.max.bytes": FETCH_BYTES,
                "fetch.max.bytes": FETCH_BYTES,
            }
        )

    def assign(self, positions):
        self.consumer.assign([rd.TopicPartition(*split(key), at) for key, at in positions.items()])

    def seek(self, positions):
        for key, at in positions.items():
            try:
                self.consumer.seek(rd.TopicPartition(*split(key), at))
            except rd.KafkaException as error:
                raise Broken(error) from error

    def subscribe(self, topics):
        def tell(kind):
            return lambda _, places: self.changed(kind, [f"{place.topic}/{place.partition}" for place in places])

        self.consumer.subscribe(topics, on_assign=tell("assigned"), on_revoke=tell("revoked"))

    def poll(self, seconds, take):
        """Gives each record to take(key, offset, bytes), in order with what `changed` is told. `ended`: where the end was reached."""
        for _ in range(MOST_AT_ONCE):
            try:
                message = self.consumer.poll(seconds)
            except rd.KafkaException as error:
                raise Broken(error) from error
            if message is None:
                return
            self._take(message, take)
            seconds = 0

    def _take(self, message, take):
        key = f"{message.topic()}/{message.partition()}"
        if not message.error():
            name, header = message.key(), dict(message.headers() or ()).get(HEADER)
            take(key, message.offset(), message.value(), name and name.decode(), header and header.decode())
        elif message.error().code() == rd.KafkaError._PARTITION_EOF:
            self.ended[key] = message.offset()
        elif message.error().fatal():
            raise Broken(message.error())

    def commit(self, offsets):
        """Raises when it is not known to be done."""
        places = [rd.TopicPartition(*split(key), at) for key, at in offsets.items()]
        try:
            done = self.consumer.commit(offsets=places, asynchronous=False)
        except rd.KafkaException as error:
            raise Broken(error) from error
        for place in done:
            if place.error:
                raise Broken(place.error)

    def committed(self, keys):
        places = self.consumer.committed([rd.TopicPartition(*split(key)) for key in keys], BLOCK_S)
        return {f"{place.topic}/{place.partition}": place.offset for place in places if place.offset >= 0}

    def ends(self, key):
        """The first offset, and the one behind the last."""
        try:
            return self.consumer.get_watermark_offsets(rd.TopicPartition(*split(key)), BLOCK_S)
        except rd.KafkaException as error:
            raise Broken(error) from error

    def close(self):
        self.consumer.close()
