"""kafka-python: 2.0, as Debian has it, knows neither idempotence nor transactions; 3.0 and newer do."""

import threading

import kafka
from kafka import errors
from kafka.structs import OffsetAndMetadata, TopicPartition

from client import BACKOFF_MS, BLOCK_S, FETCH_BYTES, HEARTBEAT_MS, MOST_AT_ONCE, SESSION_MS, TRANSACTION_MS
from client import Abortable, Broken, split, within
from history import HEADER

OLD = "enable_idempotence" not in kafka.KafkaProducer.DEFAULT_CONFIG
MODES = ("plain",) if OLD else ("plain", "idempotent", "transactional")
HEADERS = True
ISOLATIONS = ("read_uncommitted",) if OLD else ("read_committed", "read_uncommitted")
FENCED = tuple(getattr(errors, name) for name in ("ProducerFencedError", "InvalidProducerEpochError") if hasattr(errors, name))
COMMON = {"reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": BACKOFF_MS, "metadata_max_age_ms": 5000}
# 2.0 asks by trial and error which version the server is of, and takes it for an old one if it dies meanwhile.
VERSION = {"api_version": (2, 5, 0)} if OLD else {}


def make(kind, **conf):
    try:
        return within(BLOCK_S, lambda: kind(**COMMON, **VERSION, **conf))
    except (errors.KafkaError, OSError, AssertionError) as error:  # the server is away
        raise Broken(error) from error


def places(offsets):
    rest = OffsetAndMetadata._fields[2:]  # newer ones have the leader's epoch, too
    return {TopicPartition(*split(key)): OffsetAndMetadata(at, "", *(-1 for _ in rest)) for key, at in offsets.items()}


class Writer:
    def __init__(self, server, mode, txn_id=None, compression="none"):
        self.left, self.lock = 0, threading.Lock()
        conf = {"acks": "all", "linger_ms": 5, "request_timeout_ms": 10_000, "max_block_ms": BLOCK_S * 1000}
        conf["compression_type"] = None if compression == "none" else compression
        if mode == "plain":
            conf.update(max_in_flight_requests_per_connection=1, retries=1_000_000)
        if not OLD:
            conf.update(enable_idempotence=mode != "plain", delivery_timeout_ms=30_000)
        if mode == "transactional":
            conf.update(transactional_id=txn_id, transaction_timeout_ms=TRANSACTION_MS)
        self.producer = make(kafka.KafkaProducer, bootstrap_servers=server, **conf)

    def _call(self, call, *args):
        try:
            return within(BLOCK_S, call, *args)
        except FENCED as error:
            raise Broken(error, fenced=True) from error
        except errors.KafkaError as error:
            raise Abortable(error) from error

    def start(self):
        try:
            self._call(self.producer.init_transactions)
        except Abortable as error:
            raise Broken(error) from error

    def send(self, key, data, done, name=None, header=None):
        topic, partition = split(key)
        named = {"key": name.encode(), "headers": [(HEADER, header.encode())]} if name else {}
        try:
            future = within(BLOCK_S, lambda: self.producer.send(topic, data, partition=partition, **named))
        except Broken:
            done("info", None, "it hangs")
            raise
        except (errors.KafkaError, AssertionError) as error:  # it was not even taken
            done("fail", None, repr(error))
            return
        self._more(1)

        def delivered(told):
            self._more(-1)
            done("ok", told.offset if told.offset >= 0 else None, None)

        def failed(error):
            self._more(-1)
            done("info", None, repr(error))

        future.add_callback(delivered)
        future.add_errback(failed)

    def _more(self, count):
        with self.lock:  # answers come on a thread of the library's
            self.left += count

    def serve(self):
        pass

    def flush(self):
        try:
            within(BLOCK_S + 1, self.producer.flush, BLOCK_S)
        except errors.KafkaError as error:
            raise Broken(error) from error

    def begin(self):
        self._call(self.producer.begin_transaction)

    def commit(self):
        self._call(self.producer.commit_transaction)

    def abort(self):
        try:
            self._call(self.producer.abort_transaction)
        except Abortable as error:
            raise Broken(error) from error

    def offsets(self, reader, offsets):
        self._call(self.producer.send_offsets_to_transaction, places(offsets), reader.consumer.group_metadata())

    def close(self):
        try:
            within(5, self.producer.close, 1)
        except errors.KafkaError as error:
            raise Broken(error) from error


class Listener(kafka.ConsumerRebalanceListener):
    def __init__(self, changed):
        self.changed = changed

    def on_partitions_assigned(self, assigned):
        self.changed("assigned", [f"{topic}/{partition}" for topic, partition in assigned])

    def on_partitions_revoked(self, revoked):
        self.changed("revoked", [f"{topic}/{partition}" for topic, partition in revoked])


class Reader:
    """`changed` is called with "assigned" or "revoked", and the keys, when a rebalance says so."""

    def __init__(self, server, isolation, group=None, changed=None):
        self.changed = changed
        conf = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "request_timeout_ms": 15_000}
        conf.update(fetch_max_wait_ms=200, fetch_max_bytes=FETCH_BYTES)
        if not OLD:
            conf["isolation_level"] = isolation
        if group:
            conf.update(group_id=group, session_timeout_ms=SESSION_MS, heartbeat_interval_ms=HEARTBEAT_MS)
        self.consumer = make(kafka.KafkaConsumer, bootstrap_servers=server, **conf)

    def _call(self, call, *args, **named):
        try:
            return within(BLOCK_S, lambda: call(*args, **named))
        except errors.KafkaError as error:
            raise Broken(error) from error

    def assign(self, positions):
        self.consumer.assign([TopicPartition(*split(key)) for key in positions])
        self.seek(positions)

    def seek(self, positions):
        for key, at in positions.items():
            self._call(self.consumer.seek, TopicPartition(*split(key)), at)

    def subscribe(self, topics):
        self.consumer.subscribe(topics, listener=Listener(self.changed))

    def poll(self, seconds, take):
        """Gives each record to take(key, offset, bytes), after all that `changed` is told."""
        polled = self._call(self.consumer.poll, timeout_ms=int(seconds * 1000), max_records=MOST_AT_ONCE)
        for of, records in polled.items():
            for record in records:
                name, header = record.key, dict(record.headers).get(HEADER)
                if not OLD or name is None or name[0] != 0:  # 2.0 gives out the markers of transactions, too
                    name, header = name and name.decode(), header and header.decode()
                    take(f"{of.topic}/{of.partition}", record.offset, record.value, name, header)

    def commit(self, offsets):
        """Raises when it is not known to be done."""
        self._call(self.consumer.commit, places(offsets))

    def close(self):
        self._call(self.consumer.close)
