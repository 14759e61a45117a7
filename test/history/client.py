"""What a client of a history can do, whatever library it is made of (client_rdkafka.py, client_kafka_python.py, client_java.py).

A Writer has start (of a transactional one), send, serve, flush, begin, commit, abort, offsets, close; a Reader has assign, seek,
subscribe, poll, commit, close. Keys are "topic/partition". What goes wrong is told in one of two ways, or is kept quiet because the
library tries again by itself.
"""

import threading

from kafka import codec

TRANSACTION_MS, SESSION_MS, HEARTBEAT_MS, BACKOFF_MS = 10_000, 6_000, 1_000, 300
MOST_AT_ONCE = 200  # records of one poll
FETCH_BYTES = 300_000  # the answer to one fetch: short enough to come through where connections are cut
COMPRESSIONS = tuple(name for name in ("gzip", "snappy", "lz4", "zstd") if getattr(codec, f"has_{name}")())  # that all can read
BLOCK_S = 20  # longest call; what takes longer is given up, and its outcome unknown


class Abortable(Exception):
    """The transaction can only be aborted."""


class Broken(Exception):
    """The client is of no more use. `fenced`: since another one has its transactional id."""

    def __init__(self, error, fenced=False):
        super().__init__(repr(error))
        self.fenced = fenced


def split(key):
    topic, _, partition = key.rpartition("/")
    return topic, int(partition)


def within(seconds, call, *args):
    """The outcome of a call that may never come back. A thread that hangs is left behind: the client is not used any more."""
    outcome = []

    def run():
        try:
            outcome.append((call(*args), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise Broken(TimeoutError(getattr(call, "__name__", call)))
    value, error = outcome[0]
    if error:
        raise error
    return value
