"""What the tests of streams have in common."""

import itertools
import re

import pytest

TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}
TOKEN = re.compile(r"[0-9a-f]{16}_[0-9a-f]{16}")
counter = itertools.count(1)


@pytest.fixture
def path():
    """The path of a stream of the test's own."""
    return f"/v1/stream/test/s{next(counter)}"


def make(api, path, headers=TEXT, body=b"", status=201):
    return api.ok("PUT", path, body, headers, status)


def append(api, path, body, headers=TEXT, status=204):
    return api.ok("POST", path, body, headers, status)


def read(api, path, offset=None, query=""):
    mark = f"?offset={offset}" if offset is not None else "?"
    return api.ok("GET", f"{path}{mark}&{query}")


def tail(answer):
    return answer.header("stream-next-offset")


def poll(server, path, offset="now", query=""):
    """A reader who waits at the end: on a connection of its own, and parked already when this returns."""
    before = server.parked()
    conn = server.ask("GET", f"{path}?offset={offset}&live=long-poll&wait=30s{query}")
    server.until_parked(before + 1)
    return conn


def numbered(producer, epoch, seq, **more):
    return {**TEXT, "Producer-Id": producer, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq), **more}
