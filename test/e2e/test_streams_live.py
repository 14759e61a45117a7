"""Streams that are followed: caches, readers who wait at the end, servers that leave or are killed."""

import datetime
import json
import threading
import time

import pytest

from bide_server import SLOW
from bide_streams import JSON, TEXT, TOKEN, append, make, numbered, path, poll, read, tail  # noqa: F401 (path is a fixture)


# --- caches

def test_an_etag_spares_the_bytes_until_something_changes(api, path):
    make(api, path, TEXT, b"x")
    tag = read(api, path).header("etag")
    for sent in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        same = api.call("GET", path, headers={"If-None-Match": sent})
        assert (same.status, same.body, same.header("etag")) == (304, b"", tag)
    assert api.get(path, {"If-None-Match": '"other"'}).status == 200
    append(api, path, b"y")
    grown = api.get(path, {"If-None-Match": tag})
    assert grown.status == 200 and grown.header("etag") != tag
    append(api, path, b"", {"Stream-Closed": "true"})
    closed = api.get(path, {"If-None-Match": grown.header("etag")})
    assert closed.status == 200 and closed.header("stream-closed") == "true"


def test_what_may_be_kept_is_said(api, path):
    make(api, path, TEXT, b"x")
    assert read(api, path).header("cache-control") == "public, max-age=60, stale-while-revalidate=300"
    assert api.get(path, {"Authorization": "Bearer x"}).header("cache-control").startswith("private, ")
    assert read(api, path, tail(read(api, path))).header("cache-control") == "no-cache"
    api.ok("DELETE", path, status=204)
    make(api, path, {**TEXT, "Stream-TTL": "30"}, b"x")
    assert read(api, path).header("cache-control") == "public, max-age=15"  # so that a reader behind a cache keeps it alive


def test_what_is_asked_from_the_end_may_not_be_kept(server, api, path):
    make(api, path, TEXT, b"x")
    assert read(api, path, "now").header("cache-control") == "no-store"
    conns = [poll(server, path, "now"), poll(server, path, "now")]
    append(api, path, b"y")
    for conn in conns:
        got = conn.answer()
        assert (got.body, got.header("cache-control"), got.header("etag")) == (b"y", "no-store", None)


def test_an_answer_is_kept_for_less_than_the_stream_lives(api, path):
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=20)
    make(api, path, {**TEXT, "Stream-Expires-At": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}, b"x")
    assert 0 < int(read(api, path).header("cache-control").removeprefix("public, max-age=")) < 19


def test_every_answer_says_what_browsers_want(server, api, path):
    answers = [make(api, path), append(api, path, b"x"), read(api, path), api.ok("HEAD", path), append(api, path, b"", status=400),
               api.get(f"{path}?offset=bad"), api.get(f"{path}?offset=now&live=long-poll&wait=0"), api.get(path + "/none"),
               api.ok("DELETE", path, status=204)]
    for answer in answers:
        assert answer.header("x-content-type-options") == "nosniff", answer
        assert answer.header("cross-origin-resource-policy") == "cross-origin", answer


def test_pages_may_send_and_read_the_fields_of_streams(fresh):
    server = fresh("--cors-origin", "*")
    asked = server.api.call("OPTIONS", "/v1/stream/x", headers={"Origin": "http://a", "Access-Control-Request-Method": "PUT"})
    assert {"stream-ttl", "producer-id", "stream-seq"} <= set(asked.header("access-control-allow-headers").lower().split(", "))
    exposed = server.api.call("PUT", "/v1/stream/x", b"", TEXT).header("access-control-expose-headers").lower().split(", ")
    assert {"stream-next-offset", "stream-cursor", "stream-up-to-date", "stream-closed", "etag", "producer-epoch"} <= set(exposed)


# --- waiting

def test_a_reader_is_held_until_something_is_appended(server, api, path):
    start = tail(make(api, path))
    conn = poll(server, path, start)
    server.pulse()
    assert conn.quiet()
    end = tail(append(api, path, b"news"))
    got = conn.answer()
    assert (got.status, got.body, tail(got), got.header("preference-applied")) == (200, b"news", end, "wait=30")
    assert got.header("stream-up-to-date") == "true" and got.header("stream-cursor").isdigit() and got.header("etag")


def test_what_is_there_already_is_answered_at_once(api, path):
    make(api, path, TEXT, b"old")
    got = read(api, path, "-1", "live=long-poll")
    assert got.body == b"old" and got.header("preference-applied") is None and got.header("stream-cursor").isdigit()


def test_a_wait_that_runs_out_is_204_with_a_place_to_go_on(api, path):
    end = tail(make(api, path, TEXT, b"x"))
    before = time.monotonic()
    got = api.ok("GET", f"{path}?offset=now&live=long-poll&wait=200ms", status=204)
    assert time.monotonic() - before >= 0.199
    assert tail(got) == end and got.header("stream-up-to-date") == "true" and got.header("stream-cursor").isdigit()
    assert got.header("stream-closed") is None and got.header("cache-control") == "no-store"


@pytest.mark.parametrize("prefer,query,said", [("wait=9", "", "wait=9"), (None, "&wait=100s", "wait=55"), (None, "", None)])
def test_the_applied_wait_is_told_when_one_was_asked_for(server, api, path, prefer, query, said):
    make(api, path)
    conn = server.ask("GET", f"{path}?offset=now&live=long-poll{query}", {"Prefer": prefer} if prefer else {})
    server.until_parked(1)
    append(api, path, b"x")
    assert conn.answer().header("preference-applied") == said


def test_closing_ends_the_wait(server, api, path):
    end = tail(make(api, path, TEXT, b"x"))
    conn = poll(server, path)
    append(api, path, b"", {"Stream-Closed": "true"})
    got = conn.answer()
    assert (got.status, tail(got), got.header("stream-closed"), got.header("stream-up-to-date")) == (204, end, "true", "true")
    before = time.monotonic()
    again = api.ok("GET", f"{path}?offset={end}&live=long-poll&wait=30s", status=204)
    assert again.header("stream-closed") == "true" and time.monotonic() - before < 5


def test_the_last_append_and_the_end_come_together(server, api, path):
    make(api, path)
    conn = poll(server, path)
    append(api, path, b"last", {**TEXT, "Stream-Closed": "true"})
    got = conn.answer()
    assert (got.status, got.body, got.header("stream-closed")) == (200, b"last", "true")


def test_deleting_ends_the_wait_with_404(server, api, path):
    make(api, path)
    conn = poll(server, path)
    api.ok("DELETE", path, status=204)
    assert conn.answer().problem == "not-found"


def test_looking_at_it_and_what_changes_nothing_end_no_wait(server, api, path):
    make(api, path)
    conn = poll(server, path)
    append(api, path, b"", status=400)
    append(api, path, b"x", {"Content-Type": "text/html"}, status=409)
    api.ok("HEAD", path)
    make(api, path, status=200)
    server.pulse()
    assert conn.quiet()
    append(api, path, b"x")
    assert conn.answer().body == b"x"


def test_all_who_wait_hear_the_same(server, api, path):
    make(api, path, JSON)
    far = 10 ** 9
    queries = ["", "", "", "&cursor=5", f"&cursor={far}", f"&cursor={far}", "&cursor=junk"]
    conns = [poll(server, path, "now", query) for query in queries]
    assert server.metrics()['bide_waits_kind{kind="stream"}'] == len(conns)
    append(api, path, b'[1,{"a":2}]', JSON)
    answers = [conn.answer() for conn in conns]
    assert {a.body for a in answers} == {b'[1,{"a":2}]'} and len({tail(a) for a in answers}) == 1
    cursors = [int(a.header("stream-cursor")) for a in answers]
    assert len({cursors[i] for i in (0, 1, 2, 3, 6)}) == 1 and cursors[4] > far and cursors[5] > far
    assert server.parked() == 0


def test_a_long_record_reaches_all_who_wait(server, api, path):
    make(api, path)
    conns = [poll(server, path) for _ in range(3)]
    long_one = b"0123456789abcdef" * 131072
    end = tail(append(api, path, long_one))
    for conn in conns:
        got = conn.answer()
        assert got.body == long_one and tail(got) == end and got.header("stream-cursor").isdigit()


def test_a_cursor_never_stands_still(api, path):
    make(api, path, TEXT, b"x")
    cursor = 0
    for _ in range(5):
        now = int(read(api, path, "-1", f"live=long-poll&cursor={cursor}").header("stream-cursor"))
        assert now > cursor
        cursor = now
    none = api.ok("GET", f"{path}?offset=now&live=long-poll&wait=1ms&cursor={cursor}", status=204)
    assert int(none.header("stream-cursor")) > cursor


def test_a_reader_who_left_is_forgotten(server, api, path):
    make(api, path)
    conns = [poll(server, path) for _ in range(2)]
    conns.pop().reset()
    server.eventually(lambda: server.parked() == 1, "the one who left is off the board")
    append(api, path, b"x")
    assert conns[0].answer().body == b"x"


def test_a_reader_goes_on_from_answer_to_answer(server, api, path):
    place = tail(make(api, path))
    seen = b""
    with server.open() as conn:
        for i in range(20):
            conn.ask("GET", f"{path}?offset={place}&live=long-poll&wait=20s")
            if i % 2:
                server.until_parked(1)
            append(api, path, b"%d," % i)
            got = conn.answer()
            seen, place = seen + got.body, tail(got)
    assert seen == b"".join(b"%d," % i for i in range(20))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_no_append_is_lost_between_reading_and_parking(fresh, threads):
    server = fresh("--threads", threads, "--sync", "os")
    make(server.api, "/v1/stream/race")
    rounds, readers, failures = 1500 // SLOW, 3, []

    def follow():
        try:
            seen, place = b"", "-1"
            with server.open() as conn:
                while not seen.endswith(b"end"):
                    got = conn.call("GET", f"/v1/stream/race?offset={place}&live=long-poll&wait=10s")
                    assert got.status == 200, got  # a wake that is missed runs into its deadline: 204
                    seen, place = seen + got.body, tail(got)
            assert seen == b"".join(b"%d;" % i for i in range(rounds)) + b"end"
        except BaseException as error:  # told by the thread that waits
            failures.append(error)

    following = [threading.Thread(target=follow) for _ in range(readers)]
    for one in following:
        one.start()
    with server.open() as conn:
        for i in range(rounds):
            assert conn.call("POST", "/v1/stream/race", TEXT, b"%d;" % i).status == 204
        conn.call("POST", "/v1/stream/race", TEXT, b"end")
    for one in following:
        one.join(60)
    assert not failures, failures
    assert server.parked() == 0


# --- the server's own end

def test_a_server_that_leaves_tells_those_who_wait(fresh):
    server = fresh("--drain", "200ms")
    make(server.api, "/v1/stream/x", TEXT, b"x")
    conn = poll(server, "/v1/stream/x")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    got = conn.answer()
    stopping.join()
    assert got.status == 204 and got.header("stream-up-to-date") == "true" and TOKEN.fullmatch(tail(got))


def test_streams_outlive_a_killed_server(fresh):
    server = fresh()
    api = server.api
    long_one = b"L" * (1 << 21)
    make(api, "/v1/stream/a", {**TEXT, "Stream-TTL": "3600"}, b"first ")
    append(api, "/v1/stream/a", b"second ", numbered("p", 2, 0), status=200)
    place = tail(append(api, "/v1/stream/a", b"third ", {**TEXT, "Stream-Seq": "k"}))
    make(api, "/v1/stream/long")
    append(api, "/v1/stream/long", long_one)
    make(api, "/v1/stream/json", JSON, b"[1,[2]]")
    make(api, "/v1/stream/closed", {**TEXT, "Stream-Closed": "true"}, b"all")
    make(api, "/v1/stream/deleted")
    api.ok("DELETE", "/v1/stream/deleted", status=204)
    server.kill9()
    api = server.start().api
    assert read(api, "/v1/stream/a").body == b"first second third "
    assert api.ok("HEAD", "/v1/stream/a").header("stream-ttl") == "3600"
    assert read(api, "/v1/stream/a", place).body == b""
    assert append(api, "/v1/stream/a", b"second ", numbered("p", 2, 0), status=204)
    assert append(api, "/v1/stream/a", b"x", numbered("p", 1, 0), status=403)
    assert append(api, "/v1/stream/a", b"x", {**TEXT, "Stream-Seq": "k"}, status=409).problem == "sequence"
    append(api, "/v1/stream/a", b"fourth", numbered("p", 2, 1), status=200)
    assert read(api, "/v1/stream/a", place).body == b"fourth"
    assert read(api, "/v1/stream/long").body == long_one
    assert read(api, "/v1/stream/json").json() == [1, [2]]
    assert append(api, "/v1/stream/closed", b"x", status=409).problem == "stream-closed"
    assert api.get("/v1/stream/deleted").status == 404


def test_what_was_acknowledged_under_a_kill_is_there(fresh):
    server = fresh()
    make(server.api, "/v1/stream/k", JSON)
    acknowledged = 0
    for _ in range(3):
        sent, conn = [], server.open()
        for i in range(acknowledged, acknowledged + 40):
            conn.ask("POST", "/v1/stream/k", JSON, b"%d" % i)
            sent.append(i)
        for _ in range(25):
            assert conn.answer().status == 204
        server.kill9()
        server.start()
        kept = json.loads(read(server.api, "/v1/stream/k").body)
        assert kept[:acknowledged + 25] == list(range(acknowledged + 25))
        assert kept == list(range(len(kept)))  # nothing twice, nothing left out
        acknowledged = len(kept)
