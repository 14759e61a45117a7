"""test/vectors/http.txt: each vector whole, cut in two at every byte, and byte by byte. The answers must be the same.

The server runs with one loop thread. A question on a second connection, answered after the first part of a vector was sent,
therefore proves that the first part was read before the second one leaves: the cuts are real.
"""

import os
import re

import pytest

from bide_client import Closed, request_bytes
from bide_server import SANITIZED

FILE = os.path.join(os.path.dirname(__file__), "../vectors/http.txt")
PROBE = request_bytes("GET", "/healthz")
CUT_ALL_BYTES = 400  # longer vectors are cut at their edges and at some points between


class Vector:
    def __init__(self, name, data, expected):
        self.name, self.data, self.expected = name, data, expected
        self.methods = [m.decode() for m in re.findall(rb"(?:^|\r\n|\n|hello)(HEAD|GET|POST|DELETE)", data)] or ["GET"]

    def cuts(self):
        size = len(self.data)
        if size <= CUT_ALL_BYTES:
            return range(1, size)
        return sorted({*range(1, 120), *range(size - 40, size), *range(120, size - 40, max(1, size // 40))})


def unescape(text):
    plain = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    out, at = bytearray(), 0
    while at < len(text):
        if text[at] != "\\":
            out += text[at].encode("latin-1")
            at += 1
        elif text[at + 1] == "x":
            out.append(int(text[at + 2:at + 4], 16))
            at += 4
        else:
            out += plain[text[at + 1]]
            at += 2
    return bytes(out)


def vectors():
    with open(FILE, encoding="latin-1", newline="\n") as file:
        blocks = re.split(r"\n\s*\n", file.read())
    for block in blocks:
        lines = block.strip("\n").split("\n")
        data, expected = bytearray(), []
        for line in lines[1:]:
            if line.startswith("> "):
                data += unescape(line[2:])
            elif line.startswith(">*"):
                count, text = line[2:].split(" ", 1)
                data += unescape(text) * int(count)
            elif line.startswith("< "):
                status, fate = line[2:].split()
                expected.append(({int(s) for s in status.split("|")}, fate))
            else:
                assert line.startswith("#"), line
        if data:
            assert expected, lines[0]
            yield Vector(lines[0].lstrip("# "), bytes(data), expected)


VECTORS = list(vectors())


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    from bide_server import Server
    server = Server(tmp_path_factory.mktemp("vectors") / "data", "--threads", "1", "--sync", "os", "--max-body", "1048576").start()
    server.second = server.open()
    yield server
    assert server.running and server.stop() == 0, server.stderr()


def barrier(server):
    """Everything sent to the one loop thread before this was read by it when this returns."""
    server.second.send(PROBE)
    assert server.second.answer(method="GET").status == 200


def send_pieces(server, conn, pieces):
    """Sends until all is sent or the server has ended the connection, which it may before it has all of a bad request."""
    for n, piece in enumerate(pieces):
        if n:
            barrier(server)
        try:
            conn.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            return


def play(server, vector, pieces):
    """Plays a vector and returns what came: [(status, problem, fate)]; fails where it is not what is expected."""
    came = []
    with server.open() as conn:
        send_pieces(server, conn, pieces)
        for n, (statuses, fate) in enumerate(vector.expected):
            method = vector.methods[n] if n < len(vector.methods) else "GET"
            try:
                answer = conn.answer(method=method)
            except (Closed, ConnectionResetError) as error:
                if came and came[-1][2] == "closed":
                    break
                raise AssertionError(f"{vector.name}: no answer: {error!r}") from error
            assert answer.status in statuses, f"{vector.name}: expected {statuses}, got {answer}"
            if answer.status >= 400 and method != "HEAD":
                assert answer.problem, f"{vector.name}: no problem document: {answer}"
            closes = answer.says_close
            if fate != "any":
                assert closes == (fate == "close"), f"{vector.name}: should {fate}: {answer}"
            came.append((answer.status, answer.problem, "closed" if closes else "kept"))
        if came[-1][2] == "closed":
            conn.ended()
        else:
            conn.send(PROBE)
            assert conn.answer(method="GET").status == 200, f"{vector.name}: the next request is not understood"
    return came


def test_there_are_enough_vectors():
    assert len(VECTORS) >= 80
    assert len({vector.name for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_whole(strict, vector):
    play(strict, vector, [vector.data])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_cut_in_two_at_every_byte(strict, vector):
    whole = play(strict, vector, [vector.data])
    for cut in list(vector.cuts())[::7 if SANITIZED else 1]:
        got = play(strict, vector, [vector.data[:cut], vector.data[cut:]])
        assert got == whole, f"{vector.name}: cut at {cut} ({vector.data[:cut][-20:]!r} | {vector.data[cut:][:20]!r})"


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(v.data) <= CUT_ALL_BYTES], ids=lambda v: v.name)
def test_byte_by_byte(strict, vector):
    whole = play(strict, vector, [vector.data])
    assert play(strict, vector, [vector.data[at:at + 1] for at in range(len(vector.data))]) == whole


def test_the_server_is_as_it_was_before(strict):
    """Nothing of all this is left: no connection, no parked wait."""
    strict.eventually(lambda: strict.info()["connections"] <= 4, "connections of the vectors gone")
    assert strict.parked() == 0
