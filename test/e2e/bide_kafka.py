"""Frames of the Kafka protocol by hand, and a server with that door open."""

import socket
import struct

import pytest

from bide_client import ANSWER_S
from bide_server import Server

API_VERSIONS, METADATA, PRODUCE, FETCH, LIST_OFFSETS = 18, 3, 0, 1, 2


def string(text):
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text)) + text.encode()


def frame(key, version, correlation, message=b"", client="test"):
    """A whole request, of a version that is not flexible."""
    body = struct.pack(">hhi", key, version, correlation) + string(client) + message
    return struct.pack(">i", len(body)) + body


def flexible(key, version, correlation, message):
    """The same of a version that is flexible; the message brings its own tagged fields."""
    body = struct.pack(">hhi", key, version, correlation) + string("test") + b"\0" + message
    return struct.pack(">i", len(body)) + body


def api_versions(correlation, version=0):
    return frame(API_VERSIONS, version, correlation)


def metadata(correlation, *topics, create=True):
    names = b"".join(string(topic) for topic in topics)
    return frame(METADATA, 4, correlation, struct.pack(">i", len(topics)) + names + struct.pack(">?", create))


def produce(correlation, topic, partition, batch, acks=-1, version=3):
    message = string(None) + struct.pack(">hii", acks, 10000, 1) + string(topic) + struct.pack(">iii", 1, partition, len(batch))
    return frame(PRODUCE, version, correlation, message + batch)


def batch_of(codec, records, count=1):
    """One batch of magic 2 around these bytes, with its checksum."""
    from kafka.record.util import calc_crc32c

    tail = struct.pack(">hiqqqhii", codec, count - 1, 0, 0, -1, -1, -1, count) + records
    return struct.pack(">qiib", 0, len(tail) + 9, -1, 2) + struct.pack(">I", calc_crc32c(tail)) + tail


def fetch(correlation, topic, partition, offset, wait_ms=0, min_bytes=1, max_bytes=1 << 20):
    message = struct.pack(">iiiib", -1, wait_ms, min_bytes, max_bytes, 0) + struct.pack(">i", 1) + string(topic)
    return frame(FETCH, 4, correlation, message + struct.pack(">iiqi", 1, partition, offset, max_bytes))


def fetch_in_session(correlation, session, epoch, topics=None, wait_ms=0):
    """A Fetch of version 11: the offset of each partition of each topic that is new in the session."""
    message = struct.pack(">iiiibii", -1, wait_ms, 1, 1 << 20, 0, session, epoch) + struct.pack(">i", len(topics or {}))
    for topic, partitions in (topics or {}).items():
        message += string(topic) + struct.pack(">i", len(partitions))
        for partition, offset in partitions.items():
            message += struct.pack(">iiqqi", partition, -1, offset, -1, 1 << 20)
    return frame(FETCH, 11, correlation, message + struct.pack(">i", 0) + string(""))


def fetched_in_session(body):
    """Of its answer: error, session, and {(topic, partition): (error, high watermark, bytes of records)}."""
    _, error, session, topics = struct.unpack(">ihii", body[:14])
    at, told = 14, {}
    for _ in range(topics):
        (length,) = struct.unpack(">h", body[at : at + 2])
        topic = body[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (count,) = struct.unpack(">i", body[at : at + 4])
        at += 4
        for _ in range(count):
            partition, bad, high = struct.unpack(">ihq", body[at : at + 14])
            (aborted,) = struct.unpack(">i", body[at + 30 : at + 34])
            at += 34 + 16 * max(aborted, 0) + 4
            (size,) = struct.unpack(">i", body[at : at + 4])
            at += 4 + size
            told[topic, partition] = (bad, high, size)
    assert at == len(body)
    return error, session, told


class KafkaConn:
    """A raw connection. Nothing is sent or read but by a call."""

    def __init__(self, address, receive_buffer=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def end(self):
        """Says that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def answer(self):
        """The next answer: its correlation id, and what follows it."""
        (size,) = struct.unpack(">i", self._read(4))
        body = self._read(size)
        return struct.unpack(">i", body[:4])[0], body[4:]

    def quiet(self):
        """Nothing has come, and the connection stands. To be asked only when something else tells that it would have."""
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) is None
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(ANSWER_S)

    def ended(self):
        """Waits for the server to end the connection; no answer may come before."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


class KafkaServer(Server):
    """A server that listens for Kafka clients, too."""

    def __init__(self, data, *flags, **options):
        super().__init__(data, *flags, **options)
        self.kafka_port = 0

    def start(self, *more):
        super().start("--kafka", f"127.0.0.1:{self.kafka_port}", *more)
        self.kafka_port = self.said_port("kafka")
        return self

    @property
    def kafka(self):
        return f"127.0.0.1:{self.kafka_port}"

    def open_kafka(self, receive_buffer=None):
        return KafkaConn(("127.0.0.1", self.kafka_port), receive_buffer)

    def parked_kafka(self):
        return self.metrics()["bide_kafka_parked"]

    def until_parked_kafka(self, count):
        return self.eventually(lambda: self.parked_kafka() == count, f"{count} requests of Kafka clients parked")


# -- fixtures


def kafka_server(*flags):
    """A fixture: one server for all tests of a file, which must outlive them."""

    @pytest.fixture(scope="module")
    def server(tmp_path_factory):
        running = KafkaServer(tmp_path_factory.mktemp("bide") / "data", *flags).start()
        yield running
        assert running.running, f"the server died: {running.stderr()}"
        assert running.stop() == 0, running.stderr()

    return server


def kafka_servers():
    """A fixture: makes servers, of the flags it is called with, for one test."""

    @pytest.fixture
    def make_servers(tmp_path):
        made = []

        def make(*flags):
            made.append(KafkaServer(tmp_path / f"data{len(made)}", *flags).start())
            return made[-1]

        yield make
        for one in made:
            if one.running:
                one.kill9()

    return make_servers


def name_of_test():
    """A fixture: a topic's name that no other test has."""

    @pytest.fixture
    def topic(request):
        return "".join(c if c.isalnum() else "-" for c in request.node.name)[:200]

    return topic
