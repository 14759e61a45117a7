"""Streams: made, appended to, read, waited on, closed, deleted, over HTTP as the Durable Streams protocol has them."""

import itertools
import json
import os
import re
import threading
import time

import pytest

from bide_server import SLOW

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


# --- making

def test_a_stream_is_made_once_and_confirmed_after_that(api, server, path):
    first = make(api, path)
    assert first.header("location") == f"http://{server.address[0]}:{server.port}{path}"
    assert first.header("content-type") == "text/plain" and TOKEN.fullmatch(tail(first))
    again = make(api, path, status=200)
    assert tail(again) == tail(first) and again.header("location") is None


@pytest.mark.parametrize("other", [{"Content-Type": "text/html"}, {**TEXT, "Stream-TTL": "60"}, {**TEXT, "Stream-Closed": "true"},
                                   {**TEXT, "Stream-Expires-At": "2100-01-01T00:00:00Z"}, JSON])
def test_another_configuration_at_the_same_path_is_409(api, path, other):
    make(api, path)
    assert make(api, path, other, status=409).problem == "conflict"


def test_without_a_content_type_it_holds_bytes(api, path):
    assert make(api, path, {}).header("content-type") == "application/octet-stream"


def test_the_body_of_a_put_is_the_first_content(api, path):
    made = make(api, path, TEXT, b"first")
    got = read(api, path)
    assert got.body == b"first" and tail(got) == tail(made)
    make(api, path, TEXT, b"second", status=200)
    assert read(api, path).body == b"first"


def test_a_stream_may_be_closed_from_the_start(api, path):
    assert make(api, path, {**TEXT, "Stream-Closed": "TRUE"}, b"all").header("stream-closed") == "true"
    got = read(api, path)
    assert (got.body, got.header("stream-closed"), got.header("stream-up-to-date")) == (b"all", "true", "true")
    refused = append(api, path, b"more", status=409)
    assert (refused.problem, refused.header("stream-closed"), tail(refused)) == ("stream-closed", "true", tail(got))


@pytest.mark.parametrize("value", ["false", "yes", "1", ""])
def test_only_true_closes(api, path, value):
    assert make(api, path, {**TEXT, "Stream-Closed": value}).header("stream-closed") is None


@pytest.mark.parametrize("headers", [
    {"Stream-TTL": "060"}, {"Stream-TTL": "+60"}, {"Stream-TTL": "6.0"}, {"Stream-TTL": "6e1"}, {"Stream-TTL": "-1"}, {"Stream-TTL": ""},
    {"Stream-TTL": "99999999999999999999"}, {"Stream-Expires-At": "tomorrow"}, {"Stream-Expires-At": "2030-02-29T00:00:00Z"},
    {"Stream-Expires-At": "2030-01-01T24:00:00Z"}, {"Stream-Expires-At": "2030-01-01T00:00:00"}, {"Stream-Expires-At": "2030-01-01"},
    {"Stream-Expires-At": "2030-01-01T00:00:00Zz"}, {"Stream-TTL": "60", "Stream-Expires-At": "2030-01-01T00:00:00Z"}])
def test_a_life_that_makes_no_sense_is_400(api, path, headers):
    assert make(api, path, {**TEXT, **headers}, status=400).problem == "bad-request"


@pytest.mark.parametrize("sent,told", [("2100-02-28T23:59:59.5Z", "2100-02-28T23:59:59.500Z"),
                                       ("2096-02-29T01:00:00+02:30", "2096-02-28T22:30:00.000Z"),
                                       ("2100-01-01t00:00:00z", "2100-01-01T00:00:00.000Z")])
def test_head_tells_when_it_expires(api, path, sent, told):
    make(api, path, {**TEXT, "Stream-Expires-At": sent})
    assert api.ok("HEAD", path).header("stream-expires-at") == told


def test_forks_and_subscriptions_are_told_to_be_missing(api, path):
    assert make(api, path, {"Stream-Forked-From": "/v1/stream/x"}, status=501).problem == "not-implemented"
    assert api.get("/v1/stream/__ds/subscriptions/x").status == 501
    make(api, path)
    assert api.get(f"{path}?offset=-1&live=sse").status == 501


# --- paths

@pytest.mark.parametrize("bad", ["a//b", "a/", "a/./b", "a/../b", "%2e%2e/a", ".", "a%2fb", "a%0ab", "a%7f", "a%zz", "a%00", "a" * 1025,
                                 "a/" * 512 + "b"])
def test_a_path_that_makes_no_sense_is_400(server, bad):
    for method in ("PUT", "GET", "HEAD", "POST", "DELETE"):
        with server.open() as conn:
            assert conn.call(method, f"/v1/stream/{bad}", body=b"").status == 400, (method, bad)


def test_the_same_path_may_be_written_in_several_ways(api, path):
    make(api, path + "/a%20b%C3%A9", TEXT, b"x")
    assert read(api, path + "/%61%20b%c3%a9").body == b"x"
    assert api.get(path + "/a%20b").status == 404
    assert api.get(path).status == 404 and api.get(path + "/a%20b%C3%A9/c").status == 404


def test_the_longest_path(api):
    longest = "/v1/stream/" + "a/" * 511 + "bb"
    make(api, longest)
    assert api.ok("DELETE", longest, status=204)


# --- appending and reading

def test_appends_are_read_in_order_from_any_place(api, path):
    places = [tail(make(api, path))]
    for part in (b"one", b"two", b"three"):
        places.append(tail(append(api, path, part)))
    assert places == sorted(places) and len(set(places)) == 4 and all(TOKEN.fullmatch(p) for p in places)
    for i, place in enumerate(places):
        got = read(api, path, place)
        assert got.body == b"".join((b"one", b"two", b"three")[i:])
        assert tail(got) == places[3] and got.header("stream-up-to-date") == "true" and got.header("stream-closed") is None
        assert got.header("content-type") == "text/plain"
    for start in (None, "-1"):
        assert read(api, path, start).body == b"onetwothree"


def test_reading_from_now_tells_the_end_and_nothing_else(api, path):
    made = make(api, path, TEXT, b"old")
    now = read(api, path, "now")
    assert (now.body, tail(now), now.header("cache-control"), now.header("etag")) == (b"", tail(made), "no-store", None)
    assert now.header("stream-up-to-date") == "true"
    append(api, path, b"new")
    assert read(api, path, tail(now)).body == b"new"


@pytest.mark.parametrize("offset", ["", "0", "0,1", "0%201", "-2", "NOW", "0000000000000001_000000000000000", "a=b", "..%2f",
                                    "0000000000000001-0000000000000000", "000000000000000A_0000000000000000", "%00",
                                    "0000000000000001_0000000000000000&offset=-1", "-1&offset=-1", "now&offset=now"])
def test_an_offset_that_makes_no_sense_is_400(api, path, offset):
    make(api, path)
    assert api.get(f"{path}?offset={offset}").status == 400


@pytest.mark.parametrize("query", ["live=long-poll", "live=sse2&offset=-1", "live=&offset=-1", "max_bytes=0", "limit=0", "limit=x",
                                   "live=long-poll&offset=-1&wait=x"])
def test_a_query_that_makes_no_sense_is_400(api, path, query):
    make(api, path)
    assert api.get(f"{path}?{query}").status == 400


def test_bytes_come_back_as_they_were(api, path):
    make(api, path, {})
    everything = bytes(range(256)) * 3
    append(api, path, everything, {"Content-Type": "application/octet-stream"})
    assert read(api, path).body == everything


@pytest.mark.parametrize("headers,body,problem", [
    ({}, b"x", 400), (TEXT, b"", 400), ({"Content-Type": "text/html"}, b"x", 409), (JSON, b"1", 409), ({"Stream-Seq": "a" * 300, **TEXT}, b"x", 400)])
def test_an_append_that_does_not_fit_changes_nothing(api, path, headers, body, problem):
    made = make(api, path)
    append(api, path, body, headers, status=problem)
    assert tail(api.ok("HEAD", path)) == tail(made)


def test_a_content_type_is_compared_without_case(api, path):
    make(api, path)
    append(api, path, b"x", {"content-type": "TEXT/PLAIN"})


def test_nothing_at_a_path_is_404_for_everything_but_put(api, path):
    for method, query in (("GET", ""), ("GET", "?offset=now&live=long-poll"), ("HEAD", ""), ("POST", ""), ("DELETE", "")):
        answer = api.call(method, path + query, b"x" if method == "POST" else None, TEXT)
        assert answer.status == 404, (method, query)
        if method != "HEAD":
            assert answer.problem == "not-found" and "stream" in answer.json()["detail"]


def test_another_method_is_405_and_tells_which_there_are(api, path):
    answer = api.call("PATCH", path)
    assert answer.status == 405 and set(answer.header("allow").split(", ")) == {"PUT", "POST", "GET", "HEAD", "DELETE", "OPTIONS"}


def test_long_bodies_are_one_record_each_and_read_alone(api, path):
    long_one = bytes(range(256)) * 8192  # 2 MiB
    make(api, path, {})
    for part in (b"before", long_one, b"after", b"wards"):
        append(api, path, part, {"Content-Type": "application/octet-stream"})
    parts, place = [], "-1"
    while True:
        got = read(api, path, place)
        parts.append(got.body)
        place = tail(got)
        if got.header("stream-up-to-date"):
            break
    assert parts == [b"before", long_one, b"afterwards"]


def test_a_long_body_that_was_not_taken_leaves_nothing_behind(fresh):
    server = fresh()
    api, long_one = server.api, b"x" * (1 << 21)

    def blobs():
        return sum(len(files) for _, _, files in os.walk(f"{server.data}/blobs"))

    make(api, "/v1/stream/a")
    append(api, "/v1/stream/a", long_one, numbered("p", 0, 0), status=200)
    assert blobs() == 1
    append(api, "/v1/stream/a", long_one, numbered("p", 0, 0), status=204)
    append(api, "/v1/stream/a", long_one, {"Content-Type": "text/html"}, status=409)
    append(api, "/v1/stream/a", long_one, {}, status=400)
    append(api, "/v1/stream/none", long_one, status=404)
    make(api, "/v1/stream/a", TEXT, long_one, status=200)
    make(api, "/v1/stream/a", JSON, long_one, status=413)
    with server.open() as conn:
        assert conn.call("POST", "/v1/stream/a", JSON, [long_one], chunked=True).status == 413
    server.eventually(lambda: blobs() == 1, "what nobody names is removed")
    assert read(api, "/v1/stream/a").body == long_one
    api.ok("DELETE", "/v1/stream/a", status=204)
    server.eventually(lambda: blobs() == 0, "what was deleted is removed")


def test_an_answer_is_cut_between_appends_only(api, path):
    make(api, path)
    for _ in range(6):
        append(api, path, b"x" * 300_000)
    first = read(api, path)
    assert len(first.body) == 900_000 and first.header("stream-up-to-date") is None
    assert len(read(api, path, tail(first)).body) == 900_000
    assert len(read(api, path, query="max_bytes=1").body) == 300_000
    assert len(read(api, path, query="max_bytes=700000").body) == 600_000
    assert len(read(api, path, query="limit=1").body) == 300_000
    assert len(read(api, path, query="limit=2&max_bytes=999999999").body) == 600_000


def test_a_closed_stream_says_so_at_its_end_only(api, path):
    make(api, path)
    append(api, path, b"one")
    append(api, path, b"two", {**TEXT, "Stream-Closed": "true"})
    part = read(api, path, query="limit=1")
    assert part.body == b"one" and part.header("stream-closed") is None and part.header("stream-up-to-date") is None
    rest = read(api, path, tail(part))
    assert rest.body == b"two" and rest.header("stream-closed") == "true"
    end = read(api, path, tail(rest))
    assert end.body == b"" and end.header("stream-closed") == "true" and tail(end) == tail(rest)


# --- closing and deleting

def test_closing_may_be_repeated_and_appending_to_it_not(api, path):
    make(api, path)
    end = append(api, path, b"x")
    for headers in ({}, {"Content-Type": "application/json"}, {}):
        closed = append(api, path, b"", {"Stream-Closed": "true", **headers})
        assert closed.header("stream-closed") == "true" and tail(closed) == tail(end)
    for headers in (TEXT, {**TEXT, "Stream-Closed": "true"}, {"Content-Type": "text/html"}):
        refused = append(api, path, b"y", headers, status=409)
        assert (refused.problem, refused.header("stream-closed"), tail(refused)) == ("stream-closed", "true", tail(end))
    assert api.ok("HEAD", path).header("stream-closed") == "true"
    assert read(api, path).body == b"x"


def test_an_offset_of_a_stream_that_was_there_before_is_410(api, path):
    old = tail(make(api, path, TEXT, b"old"))
    api.ok("DELETE", path, status=204)
    assert api.get(path).status == 404
    start = tail(make(api, path, TEXT))
    append(api, path, b"new")
    for query in (f"?offset={old}", f"?offset={old}&live=long-poll"):
        gone = api.get(path + query)
        assert (gone.status, gone.problem, gone.header("stream-earliest-offset")) == (410, "gone", start)
    assert read(api, path, start).body == b"new"


def test_head_tells_how_it_stands_and_no_cache_keeps_it(api, path):
    make(api, path, {**TEXT, "Stream-TTL": "3600"})
    end = tail(append(api, path, b"x"))
    head = api.ok("HEAD", path)
    assert head.body == b"" and tail(head) == end and head.header("content-type") == "text/plain"
    assert head.header("stream-ttl") == "3600" and head.header("cache-control") == "no-store" and head.header("stream-closed") is None


# --- life

def gone_within(server, path, seconds):
    server.eventually(lambda: server.api.call("HEAD", path).status == 404, f"{path} expires", within_s=seconds)


def test_a_stream_nobody_uses_is_gone_after_its_ttl(server, api, path):
    made = time.monotonic()
    make(api, path, {**TEXT, "Stream-TTL": "1"})
    gone_within(server, path, 10)
    assert time.monotonic() - made >= 0.95
    make(api, path, JSON)  # the path is free again


def test_a_stream_is_gone_when_its_time_has_come(server, api, path):
    at = time.time() + 1.2
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03}Z"
    make(api, path, {**TEXT, "Stream-Expires-At": stamp})
    gone_within(server, path, 10)


def test_reading_keeps_a_stream_and_looking_does_not(server, api, path):
    make(api, path, {**TEXT, "Stream-TTL": "2"})
    start = time.monotonic()
    server.eventually(lambda: read(api, path, "now") and time.monotonic() - start > 3, "three seconds of reading", within_s=10)
    gone_within(server, path, 10)


def test_a_reader_who_waits_hears_that_the_stream_has_expired(server, api, path):
    make(api, path, {**TEXT, "Stream-TTL": "1"})
    assert poll(server, path).answer().status == 404


# --- JSON

@pytest.mark.parametrize("sent,kept", [
    (b'{"a":1}', [{"a": 1}]), (b"[1,2]", [1, 2]), (b"[[1,2],[3]]", [[1, 2], [3]]), (b"[[[1]]]", [[[1]]]), (b' "x" ', ["x"]), (b"null", [None]),
    (b"[[]]", [[]]), (b'[{"a":[1,{"b":"]"}]},"\\",[", 1.5e3]', [{"a": [1, {"b": "]"}]}, '",[', 1500.0])])
def test_an_array_is_taken_apart_one_level_deep(api, path, sent, kept):
    make(api, path, JSON)
    append(api, path, sent, JSON)
    assert read(api, path).json() == kept


def test_json_appends_are_read_as_one_array(api, path):
    make(api, path, JSON, b'[{"n":0}]')
    middle = tail(append(api, path, b"[1, 2]", JSON))
    append(api, path, b'"three"', JSON)
    got = read(api, path)
    assert got.body == b'[{"n":0},1,2,"three"]' and got.header("content-type") == "application/json"
    assert read(api, path, middle).body == b'["three"]'
    for offset in ("now", tail(got)):
        assert read(api, path, offset).body == b"[]"


@pytest.mark.parametrize("body", [b"{", b"[1,]", b"[] []", b"nul", b"'a'", b"\xff", b"[]", b" ", b"[ ]", b"[" * 200 + b"]" * 200])
def test_what_is_not_json_or_nothing_is_400(api, path, body):
    made = make(api, path, JSON)
    assert append(api, path, body, JSON, status=400).problem == "bad-request"
    assert tail(api.ok("HEAD", path)) == tail(made)


def test_a_place_within_an_append_is_a_place(api, path):
    start = tail(make(api, path, JSON, b"[0,1,2]"))
    number = start.split("_")[0]
    for i in range(4):
        assert read(api, path, f"{number}_{i:016x}").json() == [0, 1, 2][i:]


def test_an_empty_array_makes_an_empty_stream(api, path):
    make(api, path, JSON, b"[]")
    assert read(api, path).body == b"[]"


def test_parameters_of_the_type_do_not_matter_for_json(api, path):
    typed = {"Content-Type": "Application/JSON; charset=utf-8"}
    make(api, path, typed)
    append(api, path, b"[1,2]", typed)
    assert read(api, path).json() == [1, 2]


@pytest.mark.parametrize("chunked", [False, True])
def test_json_that_is_too_long_is_413_and_changes_nothing(server, api, path, chunked):
    made = make(api, path, JSON)
    body = b'"' + b"x" * (1 << 20) + b'"'
    with server.open() as conn:
        answer = conn.call("POST", path, JSON, [body] if chunked else body, chunked=chunked)
    assert (answer.status, answer.problem) == (413, "too-large") and "JSON" in answer.json()["detail"]
    assert tail(api.ok("HEAD", path)) == tail(made)


def test_too_many_records_at_once_are_413(api, path):
    made = make(api, path, JSON)
    assert append(api, path, b"[" + b"1," * 100_000 + b"1]", JSON, status=413).problem == "too-large"
    assert append(api, path, b"[" + b"1," * 99_000 + b"1]", JSON, status=204)
    assert len(read(api, path, tail(made)).json()) == 99_001


def test_many_small_records_that_are_too_long_with_all_their_frames_are_413(api, path):
    made = make(api, path, JSON)
    assert append(api, path, b"[" + b'"1234567",' * 99_000 + b"1]", JSON, status=413).problem == "too-large"
    assert tail(api.ok("HEAD", path)) == tail(made)


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_bodies_about_as_long_as_the_journal_takes_them(api, path, size):
    make(api, path)
    append(api, path, b"x" * size)
    append(api, path, b"y")
    got = read(api, path)
    assert got.body == b"x" * size and read(api, path, tail(got)).body == b"y"


def test_the_longest_json_that_is_taken(api, path):
    make(api, path, JSON)
    body = b'"' + b"x" * ((1 << 20) - 2) + b'"'
    append(api, path, body, JSON)
    assert read(api, path).body == b"[" + body + b"]"


# --- writers who number their appends

def numbered(producer, epoch, seq, **more):
    return {**TEXT, "Producer-Id": producer, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq), **more}


def told(answer):
    return answer.header("producer-epoch"), answer.header("producer-seq")


def test_a_repeated_append_is_taken_once(api, path):
    make(api, path)
    first = append(api, path, b"a", numbered("p", 0, 0), status=200)
    assert told(first) == ("0", "0")
    assert told(append(api, path, b"b", numbered("p", 0, 1), status=200)) == ("0", "1")
    for seq in (0, 1):
        again = append(api, path, b"other", numbered("p", 0, seq), status=204)
        assert told(again) == ("0", "1")
    assert read(api, path).body == b"ab"


def test_a_gap_is_told_with_what_is_missing(api, path):
    make(api, path)
    for before, sent in ((None, 1), (0, 2)):
        if before is not None:
            append(api, path, b"a", numbered("p", 0, before), status=200)
        gap = append(api, path, b"x", numbered("p", 0, sent), status=409)
        assert (gap.problem, gap.header("producer-expected-seq"), gap.header("producer-received-seq")) == \
            ("producer-gap", str(sent - 1), str(sent))


def test_an_epoch_that_is_over_is_403(api, path):
    make(api, path)
    append(api, path, b"a", numbered("p", 0, 0), status=200)
    assert append(api, path, b"x", numbered("p", 1, 1), status=400).problem == "bad-request"
    append(api, path, b"b", numbered("p", 1, 0), status=200)
    fenced = append(api, path, b"x", numbered("p", 0, 1), status=403)
    assert fenced.problem == "producer-fenced" and fenced.header("producer-epoch") == "1"
    assert read(api, path).body == b"ab"


def test_producers_do_not_know_of_each_other(api, path):
    make(api, path)
    for name in ("p", "q", "p q"):
        append(api, path, b"1", numbered(name, 3, 0), status=200)
        append(api, path, b"2", numbered(name, 3, 1), status=200)
    assert read(api, path).body == b"121212"


@pytest.mark.parametrize("headers", [
    {"Producer-Id": "p"}, {"Producer-Epoch": "0", "Producer-Seq": "0"}, {"Producer-Id": "", "Producer-Epoch": "0", "Producer-Seq": "0"},
    {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "1a"}, {"Producer-Id": "p", "Producer-Epoch": "-1", "Producer-Seq": "0"},
    {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "9007199254740992"}, {"Producer-Id": "p" * 257, "Producer-Epoch": "0", "Producer-Seq": "0"},
    {"Producer-Id": "p", "Producer-Epoch": "1e3", "Producer-Seq": "0"}])
def test_producers_who_make_no_sense_are_400(api, path, headers):
    make(api, path)
    append(api, path, b"x", {**TEXT, **headers}, status=400)


def test_a_producer_may_close_and_repeat_that(api, path):
    make(api, path)
    append(api, path, b"a", numbered("p", 0, 0), status=200)
    closing = numbered("p", 0, 1, **{"Stream-Closed": "true"})
    assert append(api, path, b"end", closing, status=200).header("stream-closed") == "true"
    assert append(api, path, b"end", closing, status=204).header("stream-closed") == "true"
    assert append(api, path, b"more", numbered("p", 0, 2), status=409).problem == "stream-closed"
    assert append(api, path, b"more", numbered("q", 0, 0), status=409).problem == "stream-closed"
    assert read(api, path).body == b"aend"


def test_stream_seq_must_go_up_byte_by_byte(api, path):
    make(api, path)
    for seq, status in (("09", 204), ("10", 204), ("10", 409), ("2", 204), ("10", 409), ("2a", 204), ("2B", 409), ("2", 409)):
        answer = append(api, path, b"x", {**TEXT, "Stream-Seq": seq}, status)
        assert answer.problem == (None if status == 204 else "sequence")
    assert read(api, path).body == b"xxxx"


def test_two_writers_with_the_same_sequence_one_wins(server, path):
    make(server.api, path)
    conns = [server.ask("POST", path, {**TEXT, "Stream-Seq": "1"}, b"x") for _ in range(8)]
    assert sorted(conn.answer().status for conn in conns) == [204] + [409] * 7
    assert read(server.api, path).body == b"x"


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
    assert read(api, path).header("cache-control") == "public, max-age=30"


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
