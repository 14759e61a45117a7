"""What a stream keeps, and whom it wakes: retention, records with a key or a time of their own, and readers who pick."""
import json

import pytest

from bide_streams import JSON, TEXT, append, make, path, poll, read, tail  # noqa: F401

KEYS = {**TEXT, "Record-Key": "k"}


def keyed(key, **more):
    return {**TEXT, "Record-Key": key, **more}


def records(api, path, query=""):
    return api.ok("GET", f"{path}?format=records&{query}").json()


# --- starts

def test_the_last_records(api, path):
    make(api, path)
    for i in range(10):
        append(api, path, b"%d" % i)
    assert read(api, path, query="tail=3").body == b"789"
    assert read(api, path, query="tail=0").body == b""
    assert read(api, path, query="tail=99").body == b"0123456789"
    assert read(api, path, query="limit=4").body == b"0123"


def test_from_a_time_on(server, api, path):
    make(api, path)
    append(api, path, b"old")
    first = records(api, path)[0]["timestamp"]
    server.eventually(lambda: api.ok("GET", "/v1/info") and _later(api, path, first), "the clock moves on")
    append(api, path, b"new")
    second = records(api, path)[-1]["timestamp"]
    assert read(api, path, query=f"at={first}").body.startswith(b"old")
    assert read(api, path, query=f"at={second}").body.lstrip(b".") == b"new"  # the last of them may be as young
    assert read(api, path, query="at=2100-01-01T00:00:00Z").body == b""
    assert read(api, path, query="at=2001-01-01T00:00:00Z").body.startswith(b"old")


def _later(api, path, first):
    append(api, path, b".")
    return records(api, path)[-1]["timestamp"] > first


@pytest.mark.parametrize("query", ["tail=x", "at=yesterday", "tail=1&at=2001-01-01T00:00:00Z", "offset=-1&tail=1", "key=",
                                   "key=" + "k" * 1025, "offset=now&live=sse&key=k", "offset=-1&live=sse&min_bytes=3",
                                   "offset=-1&live=long-poll&key=k&min_bytes=3"])
def test_a_start_or_pick_that_makes_no_sense_is_400(api, path, query):
    make(api, path)
    assert api.get(f"{path}?{query}").problem == "bad-request"


# --- keys

def test_records_with_a_key_are_read_alone(api, path):
    make(api, path)
    append(api, path, b"a1", keyed("a"))
    append(api, path, b"-")
    append(api, path, b"b1", keyed("b"))
    append(api, path, b"a2", keyed("a"))
    assert read(api, path, query="key=a").body == b"a1a2"
    answer = read(api, path, query="key=c")
    assert answer.body == b"" and tail(answer) == tail(read(api, path))
    assert read(api, path, query="key=a&limit=1").body == b"a1"


def test_whoever_waits_for_a_key_is_woken_by_it_alone(server, api, path):
    make(api, path)
    first = poll(server, path, query="&key=a")
    other = poll(server, path, query="&key=b")
    append(api, path, b"nobody's", keyed("c"))
    append(api, path, b"for a", keyed("a"))
    assert first.answer().body == b"for a"
    append(api, path, b"for b", keyed("b"))
    assert other.answer().body == b"for b"


def test_a_keys_cursor_moves_on_though_nothing_matched(server, api, path):
    make(api, path)
    place = tail(read(api, path))
    before = server.parked()
    conn = server.ask("GET", f"{path}?offset={place}&live=long-poll&key=a&wait=1s")
    server.until_parked(before + 1)
    append(api, path, b"x", keyed("b"))
    answer = conn.answer()
    assert answer.status == 204
    assert tail(answer) == tail(read(api, path))


def test_closing_ends_a_wait_for_a_key(server, api, path):
    make(api, path)
    waiting = poll(server, path, query="&key=a")
    append(api, path, b"", {"Stream-Closed": "true"})
    answer = waiting.answer()
    assert answer.status == 204 and answer.header("stream-closed") == "true"


def test_deleting_ends_a_wait_for_a_key(server, api, path):
    make(api, path)
    waiting = poll(server, path, query="&key=a")
    api.ok("DELETE", path, status=204)
    assert waiting.answer().status == 404


def test_many_wait_for_keys_of_one_stream(server, api, path):
    make(api, path)
    waiting = [poll(server, path, query=f"&key=u{i % 7}") for i in range(21)]
    append(api, path, b"hello", keyed("u3"))
    assert [conn.answer().body for conn in waiting[3::7]] == [b"hello"] * 3
    for i in (0, 1, 2, 4, 5, 6):
        append(api, path, b"bye", keyed(f"u{i}"))
        assert [conn.answer().body for conn in waiting[i::7]] == [b"bye"] * 3


# --- amounts

def test_whoever_waits_for_a_key_while_others_records_go_hears_of_them_at_most(server, api, path):
    make(api, path, {**TEXT, "Stream-Max-Bytes": "1"})
    waiting, writers = poll(server, path, query="&key=a"), [server.open() for _ in range(8)]
    for _ in range(20):
        for writer in writers:
            writer.ask("POST", path, TEXT, b"nobody's")
        assert [writer.answer().status for writer in writers] == [204] * 8
    append(api, path, b"for a", keyed("a"))
    answer = waiting.answer()
    assert (answer.status, answer.body) == (200, b"for a") or answer.problem == "gone"


def test_a_search_for_a_key_ends_with_its_time_and_tells_that_there_is_more(server, api, path):
    make(api, path, body=b"x" * 700000)
    for _ in range(2):
        append(api, path, b"x" * 700000)
    answer = api.ok("GET", f"{path}?offset=-1&live=long-poll&key=a&wait=0", status=204)
    assert answer.header("stream-up-to-date") is None and tail(answer) < tail(api.ok("HEAD", path))
    append(api, path, b"", {"Stream-Closed": "true"})
    answer = api.ok("GET", f"{path}?offset=-1&live=long-poll&key=a&wait=30s", status=204)
    assert answer.header("stream-up-to-date") == answer.header("stream-closed") == "true" and tail(answer) == tail(api.ok("HEAD", path))


def test_so_many_bytes_are_waited_for(server, api, path):
    make(api, path)
    waiting = poll(server, path, query="&min_bytes=400")
    for _ in range(3):
        append(api, path, b"x" * 100)
    assert waiting.answer().body == b"x" * 300  # with what records need besides


@pytest.mark.parametrize("query", ["", "&format=records", "&max_bytes=100"])
def test_whoever_waits_for_so_many_bytes_asks_no_more_until_they_are_there(server, api, path, query):
    make(api, path)
    append(api, path, b"x" * 100)
    waiting = [server.ask("GET", f"{path}?offset=-1&live=long-poll&wait=30s&min_bytes=5000{query}") for _ in range(40)]
    server.until_parked(40)
    before = server.metrics()["bide_commands_total"]
    for _ in range(20):
        append(api, path, b"x" * 50)  # with some 70 more each
    assert server.metrics()["bide_commands_total"] - before < 200 or "max_bytes" in query
    append(api, path, b"y" * 5000)
    assert all(conn.answer().body.endswith((b"y" * 5000, b'"}]')) for conn in waiting)


def test_what_is_there_at_the_deadline_is_told(server, api, path):
    make(api, path)
    append(api, path, b"little")
    answer = api.ok("GET", f"{path}?offset=-1&live=long-poll&min_bytes=100000&wait=500ms")
    assert answer.body == b"little"


# --- who waits

def test_an_append_tells_how_many_it_woke(server, api, path):
    make(api, path)
    assert append(api, path, b"x").header("stream-woken") == "0"
    waiting = [poll(server, path) for _ in range(3)]
    assert append(api, path, b"y").header("stream-woken") == "3"
    assert [conn.answer().body for conn in waiting] == [b"y"] * 3


def test_what_nobody_waits_for_need_not_be_kept(server, api, path):
    make(api, path)
    unheard = append(api, path, b"x", {**TEXT, "Record-Keep": "waiting"})
    assert unheard.header("stream-woken") == "0" and read(api, path).body == b""
    waiting = poll(server, path)
    append(api, path, b"y", {**TEXT, "Record-Keep": "waiting"})
    assert waiting.answer().body == b"y" and read(api, path).body == b"y"


@pytest.mark.parametrize("headers", [{"Stream-Closed": "true"}, {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}])
def test_what_need_not_be_kept_neither_closes_nor_is_numbered(api, path, headers):
    make(api, path)
    assert append(api, path, b"x", {**TEXT, "Record-Keep": "waiting", **headers}, status=400).problem == "bad-request"


# --- what is kept

def test_a_record_replaces_the_last_with_its_key(fresh, path):
    server = fresh()
    api = server.api
    make(api, path)
    append(api, path, b"a1", keyed("a", **{"Record-Replace": "true"}))
    place = tail(append(api, path, b"b1", keyed("b", **{"Record-Replace": "true"})))
    append(api, path, b"a2", keyed("a", **{"Record-Replace": "true"}))
    append(api, path, b"a3", keyed("a", **{"Record-Replace": "true"}))
    assert read(api, path).body == b"b1a3"
    assert read(api, path, place).body == b"a3"
    server.kill9()
    api = server.start().api
    assert read(api, path).body == b"b1a3"
    append(api, path, b"b2", keyed("b", **{"Record-Replace": "true"}))
    assert read(api, path).body == b"a3b2"


def test_a_record_lives_as_long_as_it_says(server, api, path):
    make(api, path)
    append(api, path, b"short", {**TEXT, "Record-TTL": "1"})
    place = tail(append(api, path, b"long"))
    append(api, path, b"short", {**TEXT, "Record-TTL": "1"})
    server.eventually(lambda: read(api, path).body == b"long", "what had a second is gone")
    assert read(api, path, place).body == b""
    assert read(api, path, place).header("stream-up-to-date") == "true"


def test_old_records_go(server, api, path):
    make(api, path, {**TEXT, "Stream-Max-Age": "1"})
    start = tail(read(api, path))
    append(api, path, b"old")
    server.eventually(lambda: read(api, path).body == b"", "what is older than a second is gone")
    append(api, path, b"new")
    assert read(api, path).body == b"new"
    gone = api.get(f"{path}?offset={start}")
    assert gone.status == 410 and gone.header("stream-earliest-offset")
    assert read(api, path, gone.header("stream-earliest-offset")).body == b"new"
    head = api.ok("HEAD", path)
    assert head.header("stream-max-age") == "1" and head.header("stream-earliest-offset") == gone.header("stream-earliest-offset")


def test_no_more_is_kept_than_is_said(api, path):
    make(api, path, {**TEXT, "Stream-Max-Bytes": "10000"})
    for i in range(200):
        append(api, path, b"%04d" % i + b"x" * 996)
    kept = read(api, path).body
    assert kept.endswith(b"0199" + b"x" * 996) and 5000 <= len(kept) <= 11000


def test_space_is_given_back_while_it_is_read(fresh, path):
    server = fresh("--segment-size", "4MiB")
    api = server.api
    make(api, path, {"Content-Type": "application/octet-stream", "Stream-Max-Bytes": str(2 << 20)})
    kind = {"Content-Type": "application/octet-stream"}
    seen = 0
    for i in range(160):
        append(api, path, bytes([i]) * (512 << 10), kind)
        last = read(api, path, query="tail=1").body
        assert last == bytes([i]) * (512 << 10)
        seen = max(seen, server.disk_bytes()) if i > 60 else 0
    assert seen < 60 << 20, f"{seen} bytes for 2 MiB kept, of 80 MiB written"


@pytest.mark.parametrize("headers", [{"Stream-Max-Age": "0"}, {"Stream-Max-Age": "x"}, {"Stream-Max-Bytes": "0"},
                                     {"Stream-Max-Bytes": "-1"}])
def test_a_retention_that_makes_no_sense_is_400(api, path, headers):
    assert make(api, path, {**TEXT, **headers}, status=400).problem == "bad-request"


@pytest.mark.parametrize("headers", [{"Record-Replace": "true"}, {"Record-TTL": "0"}, {"Record-TTL": "x"},
                                     {"Record-Keep": "ever"}, {"Record-Key": "k" * 1025}, {"Record-Key": ""},
                                     {"Record-Key": "k", "Record-Replace": "yes"}])
def test_a_record_that_makes_no_sense_is_400(api, path, headers):
    make(api, path)
    assert append(api, path, b"x", {**TEXT, **headers}, status=400).problem == "bad-request"


def test_one_record_replaces_one(api, path):
    make(api, path, JSON)
    head = {**JSON, "Record-Key": "k", "Record-Replace": "true"}
    assert append(api, path, b"[1,2]", head, status=400).problem == "bad-request"
    append(api, path, b"[1]", head)
    append(api, path, b"{}", head)
    assert json.loads(read(api, path).body) == [{}]


def test_a_long_record_has_no_key(api, path):
    make(api, path)
    assert append(api, path, b"x" * (2 << 20), KEYS, status=413).problem == "too-large"


# --- gathering

def test_many_small_appends_lie_together_and_are_read_as_before(fresh, path):
    server = fresh()
    make(server.api, path)
    places = [tail(append(server.api, path, b"%05d" % i)) for i in range(700)]
    whole = b"".join(b"%05d" % i for i in range(700))
    assert read(server.api, path).body == whole
    for i in (0, 1, 255, 256, 300, 511, 512, 698):
        assert read(server.api, path, places[i]).body == whole[5 * (i + 1):]
        assert read(server.api, path, places[i], "limit=1").body == b"%05d" % (i + 1)
    server.kill9()
    server.start()
    assert read(server.api, path).body == whole
    assert read(server.api, path, places[300]).body == whole[5 * 301:]


def test_whoever_has_left_is_not_counted(server, api, path):
    make(api, path)
    staying, leaving = poll(server, path), poll(server, path)
    leaving.close()
    parked = server.parked
    server.eventually(lambda: parked() == 1, "the one that left is seen to have left")
    assert append(api, path, b"y").header("stream-woken") == "1"
    assert staying.answer().body == b"y"
