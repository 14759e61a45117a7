"""Streams that are followed by events (live=sse): exact bytes, what may stand in a text, readers who are slow, many or late."""

import base64
import json
import threading
import time

import pytest

from bide_client import Closed
from bide_server import SLOW
from bide_streams import JSON, TEXT, append, make, path, read, tail  # noqa: F401 (path is a fixture)

BINARY = {"Content-Type": "application/octet-stream"}
GONE = (Closed, ConnectionError)


class Follower:
    """An answer that goes on, read event by event as the format says."""

    def __init__(self, server, path, offset="-1", query="", headers=None, receive_buffer=None):
        self.conn = server.open(receive_buffer).ask("GET", f"{path}?offset={offset}&live=sse{query}", headers)
        self.conn.methods.clear()
        self.text = b""
        self.place, self.end = offset, False

    def head(self):
        answer = self.conn.head()
        assert answer.status == 200 and answer.header("content-type") == "text/event-stream", answer
        return answer

    def chunk(self):
        deadline = time.monotonic() + 30 * SLOW
        size = int(self.conn._until(b"\r\n", deadline), 16)
        data = self.conn._exactly(size, deadline)
        assert self.conn._exactly(2, deadline) == b"\r\n"
        self.end = size == 0
        return data

    def event(self):
        """(name, data) of the next event; None when the answer has ended."""
        while b"\n\n" not in self.text:
            self.text += self.chunk()
            if self.end:
                assert not self.text, self.text
                return None
        event, self.text = self.text.split(b"\n\n", 1)
        lines = event.split(b"\n")
        assert b"\r" not in event and lines[0].startswith(b"event: ") and all(line[:5] == b"data:" for line in lines[1:]), event
        data = b"\n".join(line[6:] if line[5:6] == b" " else line[5:] for line in lines[1:])
        name = lines[0][7:].decode()
        if name != "control":
            return name, data
        control = json.loads(data)
        assert set(control) <= {"streamNextOffset", "streamCursor", "upToDate", "streamClosed"}
        assert ("streamCursor" in control) != control.get("streamClosed", False)
        self.place = control["streamNextOffset"]
        return name, control

    def data(self):
        """The next data event's bytes, and the control event that comes behind it."""
        name, data = self.event()
        assert name == "data", (name, data)
        name, control = self.event()
        assert name == "control"
        return data, control

    def control(self):
        name, control = self.event()
        assert name == "control", (name, control)
        return control

    def over(self):
        assert self.event() is None
        return True


def follow(server, path, offset="now", query="&wait=30s", **more):
    """One that has caught up with an empty rest, and is parked."""
    before = server.parked()
    follower = Follower(server, path, offset, query, **more)
    follower.head()
    assert follower.control()["upToDate"]
    server.until_parked(before + 1)
    return follower


def all_at_once(api, path, query="&wait=0"):
    return api.get(f"{path}?offset=-1&live=sse{query}")


# --- what is said

def test_the_bytes_are_the_protocols(api, path):
    end = tail(make(api, path, {**TEXT, "Stream-Closed": "true"}, b"one\ntwo"))
    got = all_at_once(api, path)
    assert got.body == (b"event: data\ndata:one\ndata:two\n\n"
                        b'event: control\ndata:{"streamNextOffset":"%s","upToDate":true,"streamClosed":true}\n\n' % end.encode())
    assert got.header("content-length") is None and got.header("transfer-encoding") == "chunked"
    assert got.header("cache-control") == "no-cache" and got.header("stream-sse-data-encoding") is None
    assert got.header("x-accel-buffering") == "no"
    assert got.header("x-content-type-options") == "nosniff"


def test_what_is_there_comes_first_and_then_what_is_appended(server, api, path):
    make(api, path, TEXT, b"a ")
    append(api, path, b"b")
    follower = Follower(server, path, "-1", "&wait=30s")
    assert follower.head().header("preference-applied") == "wait=30"
    data, control = follower.data()
    assert data == b"a b" and control["upToDate"] and control["streamCursor"].isdigit()
    server.until_parked(1)
    for i in range(5):
        end = tail(append(api, path, b"%d" % i))
        data, control = follower.data()
        assert data == b"%d" % i and control["upToDate"] and control["streamNextOffset"] == end
    server.pulse()
    assert follower.conn.quiet() and server.parked() == 1
    assert server.metrics()['bide_waits_kind{kind="stream"}'] == 1


def test_json_comes_as_arrays(server, api, path):
    make(api, path, JSON, b'[{"a":"x\\n\\nevent: control"},\r\n 2]')
    follower = Follower(server, path)
    follower.head()
    assert json.loads(follower.data()[0]) == [{"a": "x\n\nevent: control"}, 2]
    append(api, path, b'{\n"b":\r3}', JSON)
    assert json.loads(follower.data()[0]) == [{"b": 3}]


def test_other_types_are_base64(server, api, path):
    every = bytes(range(256))
    make(api, path, BINARY, every)
    follower = Follower(server, path)
    assert follower.head().header("stream-sse-data-encoding") == "base64"
    assert base64.b64decode(follower.data()[0].replace(b"\n", b""), validate=True) == every
    append(api, path, b"Hello", BINARY)
    assert follower.data()[0] == b"SGVsbG8="


@pytest.mark.parametrize("attack", [
    b"x\n\nevent: control\ndata:{\"injected\":true}\n\n", b"x\r\n\r\nevent: control\r\ndata:{}\r\n\r\n", b"\r\revent: data\rdata: y\r\r",
    b"\n", b"\r", b"\r\n", b" leading\n  more", b"data: x", b": comment\nid: 7\nretry: 1", b"\0\n\0", "ü\u2028\u0085\n".encode()])
def test_no_text_gets_out_of_its_event(server, api, path, attack):
    lines = attack.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    make(api, path, TEXT, attack)
    follower = Follower(server, path)
    follower.head()
    assert follower.data()[0] == lines
    server.until_parked(1)
    append(api, path, attack)
    assert follower.data()[0] == lines
    append(api, path, b"", {"Stream-Closed": "true"})
    assert follower.control()["streamClosed"] and follower.over()


def test_requests_that_make_no_sense(api, path):
    make(api, path, TEXT, b"x")
    assert api.get(f"{path}?live=sse").status == 400
    assert api.get(f"{path}?live=SSE&offset=-1").status == 400
    assert api.get(f"{path}?live=sse&offset=x").status == 400
    assert api.get(f"{path}?live=sse&offset=-1&wait=x").status == 400
    assert api.get(f"{path}/none?live=sse&offset=now").status == 404
    old = tail(read(api, path))
    api.ok("DELETE", path, status=204)
    make(api, path)
    assert api.get(f"{path}?live=sse&offset={old}").status == 410


def test_an_old_client_gets_a_connection_that_closes(server, api, path):
    make(api, path, {**TEXT, "Stream-Closed": "true"}, b"x")
    with server.open() as conn:
        conn.send(f"GET {path}?offset=-1&live=sse HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        got = conn.answer()
        assert got.header("connection") == "close" and got.header("transfer-encoding") is None
        assert got.body.startswith(b"event: data\ndata:x\n\nevent: control\n")


def test_requests_behind_it_wait_for_its_end(server, api, path):
    make(api, path, TEXT, b"x")
    with server.open() as conn:
        for query in ("live=sse&wait=0", "", "live=sse&wait=100ms", ""):
            conn.ask("GET", f"{path}?offset=-1&{query}")
        events, plain, more, last = (conn.answer() for _ in range(4))
    assert events.body == more.body and events.body.startswith(b"event: data\ndata:x\n\n")
    assert plain.body == last.body == b"x"


def test_pages_may_read_how_the_data_is_encoded(fresh):
    server = fresh("--cors-origin", "*")
    make(server.api, "/v1/stream/x", BINARY)
    got = all_at_once(server.api, "/v1/stream/x")
    assert got.header("access-control-allow-origin") == "*"
    assert "stream-sse-data-encoding" in got.header("access-control-expose-headers").lower()


# --- how it ends

def test_a_closed_stream_ends_the_answer_behind_its_last_control(server, api, path):
    make(api, path, TEXT, b"x")
    end = tail(append(api, path, b"y", {**TEXT, "Stream-Closed": "true"}))
    follower = Follower(server, path, end)
    follower.head()
    assert follower.control() == {"streamNextOffset": end, "upToDate": True, "streamClosed": True} and follower.over()
    assert follower.conn.call("GET", path).body == b"xy"  # the connection goes on


@pytest.mark.parametrize("last", [b"last", b""])
def test_closing_ends_those_who_follow(server, api, path, last):
    make(api, path, TEXT, b"x")
    followers = [follow(server, path) for _ in range(3)]
    end = tail(append(api, path, last, {**TEXT, "Stream-Closed": "true"}))
    for follower in followers:
        control = follower.data() if last else (b"", follower.control())
        assert control == (last, {"streamNextOffset": end, "upToDate": True, "streamClosed": True}) and follower.over()
    assert server.parked() == 0


def test_deleting_ends_those_who_follow(server, api, path):
    make(api, path, TEXT, b"x")
    follower = follow(server, path)
    api.ok("DELETE", path, status=204)
    assert follower.over() and api.get(f"{path}?offset={follower.place}&live=sse").status == 404
    make(api, path)
    assert api.get(f"{path}?offset={follower.place}&live=sse").status == 410


def test_it_ends_when_its_time_is_over(server, api, path):
    end = tail(make(api, path, TEXT, b"x"))
    before = time.monotonic()
    follower = Follower(server, path, "-1", "&wait=300ms")
    follower.head()
    assert follower.data()[1]["streamNextOffset"] == end and follower.over()
    assert 0.299 <= time.monotonic() - before < 20
    append(api, path, b"y")
    again = Follower(server, path, follower.place, "&wait=0")
    again.head()
    assert again.data()[0] == b"y" and again.over()


def test_one_that_does_not_wait_hears_all_there_is(server, api, path):
    make(api, path)
    for i in range(40):
        append(api, path, b"%d" % (i % 10) * 10000)
    follower = Follower(server, path, "-1", "&wait=0")
    follower.head()
    seen, events, control = b"", 0, {}
    while not control.get("upToDate"):
        data, control = follower.data()
        seen, events = seen + data, events + 1
    assert follower.over() and seen == b"".join(b"%d" % (i % 10) * 10000 for i in range(40)) and events > 1


def test_a_cursor_never_stands_still(server, api, path):
    make(api, path, TEXT, b"x")
    cursor = 0
    for _ in range(5):
        follower = Follower(server, path, "-1", f"&wait=0&cursor={cursor}")
        follower.head()
        now = int(follower.data()[1]["streamCursor"])
        assert now > cursor
        cursor = now


def test_a_reader_who_left_is_forgotten(server, api, path):
    make(api, path)
    first, second, third = (follow(server, path) for _ in range(3))
    first.conn.reset()
    third.conn.close()
    server.eventually(lambda: server.parked() == 1, "those who left are off the board")
    append(api, path, b"x")
    assert second.data()[0] == b"x"


def test_a_server_that_leaves_ends_the_answers(fresh):
    server = fresh("--drain", "200ms")
    make(server.api, "/v1/stream/x", TEXT, b"x")
    followers = [follow(server, "/v1/stream/x") for _ in range(3)]
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert all(follower.over() for follower in followers)
    stopping.join()


def test_readers_go_on_behind_a_killed_server(fresh):
    server = fresh()
    place = tail(make(server.api, "/v1/stream/x", TEXT, b"a"))
    seen = b""
    for i in range(3):
        follower = follow(server, "/v1/stream/x", place)
        append(server.api, "/v1/stream/x", b"%d" % i)
        seen += follower.data()[0]
        server.kill9()
        with pytest.raises(GONE):
            follower.event()
        server.start()
        append(server.api, "/v1/stream/x", b"+")
        late = Follower(server, "/v1/stream/x", follower.place, "&wait=0")
        late.head()
        seen += late.data()[0]
        place = late.place
    assert seen == b"0+1+2+" and read(server.api, "/v1/stream/x").body == b"a" + seen


# --- how much, how many

@pytest.mark.parametrize("headers", [TEXT, BINARY])
def test_a_long_record_is_one_event(server, api, path, headers):
    long_one = b"".join(b" line %d\r\n" % i for i in range(250000))
    make(api, path, headers, b"first")
    live = follow(server, path)
    end = tail(append(api, path, long_one, headers))
    append(api, path, b"third", headers)
    late = Follower(server, path)
    late.head()

    def decoded(data):
        return base64.b64decode(data.replace(b"\n", b""), validate=True) if headers is BINARY else data

    wanted = long_one if headers is BINARY else long_one.replace(b"\r\n", b"\n")
    assert decoded(late.data()[0]) == b"first"
    for follower in (live, late):
        data, control = follower.data()
        assert decoded(data) == wanted and control["streamNextOffset"] == end
        assert decoded(follower.data()[0]) == b"third"
    append(api, path, b"fourth", headers)
    for follower in (live, late):
        assert decoded(follower.data()[0]) == b"fourth"


def test_many_hear_every_append_in_order(server, api, path):
    make(api, path, JSON)
    followers = [Follower(server, path, "now", "&wait=50s") for _ in range(150)]
    for follower in followers:
        follower.head()
        follower.control()
    server.until_parked(len(followers))
    for i in range(40):
        append(api, path, b"[%d,%d]" % (2 * i, 2 * i + 1), JSON)
    for follower in followers:
        seen = []
        while len(seen) < 80:
            seen += json.loads(follower.data()[0])
        assert seen == list(range(80))
    assert server.parked() == len(followers)


def test_both_kinds_of_waits_hang_at_one_stream(server, api, path):
    place = tail(make(api, path))
    follower = follow(server, path)
    for i in range(10):
        poll = server.ask("GET", f"{path}?offset={place}&live=long-poll&wait=30s")
        server.until_parked(2)
        append(api, path, b"%d" % i)
        got = poll.answer()
        place = tail(got)
        assert got.body == b"%d" % i and follower.data()[0] == got.body and follower.place == place
        poll.close()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_no_append_is_lost_between_reading_and_following(fresh, threads):
    server = fresh("--threads", threads, "--sync", "os")
    make(server.api, "/v1/stream/race")
    rounds, failures = 1500 // SLOW, []

    def follow_it(wait):
        try:
            seen, place = b"", "-1"
            while not seen.endswith(b"end"):
                follower = Follower(server, "/v1/stream/race", place, f"&wait={wait}")
                follower.head()
                while (event := follower.event()) is not None:
                    seen += event[1] if event[0] == "data" else b""
                    if seen.endswith(b"end") and event[0] == "control":
                        break
                place = follower.place
                follower.conn.close()
            assert seen == b"".join(b"%d;" % i for i in range(rounds)) + b"end"
        except BaseException as error:  # told by the thread that waits
            failures.append(error)

    following = [threading.Thread(target=follow_it, args=(wait,)) for wait in ("50s", "50s", "20ms", "3ms")]
    for one in following:
        one.start()
    with server.open() as conn:
        for i in range(rounds):
            assert conn.call("POST", "/v1/stream/race", TEXT, b"%d;" % i).status == 204
        conn.call("POST", "/v1/stream/race", TEXT, b"end")
    for one in following:
        one.join(60)
    assert not failures, failures
    server.eventually(lambda: server.parked() == 0, "nobody is left")


def test_a_slow_reader_gets_everything_and_costs_little(fresh):
    server = fresh("--sync", "os")
    record = bytes(i % 95 + 32 for i in range(50000))
    total = 24 << 20
    make(server.api, "/v1/stream/long")
    with server.open() as conn:
        for _ in range(total // len(record)):
            conn.ask("POST", "/v1/stream/long", TEXT, record)
        for _ in range(total // len(record)):
            assert conn.answer().status == 204
    append(server.api, "/v1/stream/long", b"!" * (4 << 20))
    server.pulse()
    before = server.status_kib("VmHWM")
    followers = [Follower(server, "/v1/stream/long", "-1", "&wait=50s", receive_buffer=4096) for _ in range(12)]
    for follower in followers:
        follower.head()
        assert follower.data()[0].startswith(record)
    slow, seen, control = followers[0], 50000, {}
    while not control.get("upToDate"):
        data, control = slow.data()
        seen += len(data)
    assert data == b"!" * (4 << 20) and seen == total // len(record) * len(record) + len(data)
    # The eleven others have read next to nothing, and the server has made next to nothing for them.
    assert SLOW > 1 or server.status_kib("VmHWM") - before < 8 * 1024


def test_readers_that_stop_reading_are_cut_and_others_go_on(fresh):
    server = fresh("--sync", "os", "--write-timeout", "1s")
    make(server.api, "/v1/stream/x", BINARY)
    stalled = [follow(server, "/v1/stream/x", receive_buffer=4096) for _ in range(20)]
    good = follow(server, "/v1/stream/x")
    server.pulse()
    before, most, sent = server.status_kib("RssAnon"), 0, 0
    while server.parked() > 1 or sent < 60:
        append(server.api, "/v1/stream/x", b"%02d" % (sent % 100) * 50000, BINARY)
        assert base64.b64decode(good.data()[0]) == b"%02d" % (sent % 100) * 50000
        most = max(most, server.status_kib("RssAnon"))
        sent += 1
    # 20 readers, with one event and 32 KiB each.
    assert SLOW > 1 or most - before < 20 * 256 + 4 * 1024
    server.eventually(lambda: server.metrics()["bide_connections"] <= 4, "those who stall are cut")
    for follower in stalled:
        with pytest.raises(GONE):
            while follower.event():
                pass
    append(server.api, "/v1/stream/x", b"still", BINARY)
    assert good.data()[0] == base64.b64encode(b"still")
