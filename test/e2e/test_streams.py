"""Streams: made, appended to, read, closed, deleted, over HTTP as the Durable Streams protocol has them."""

import os
import time

import pytest

from bide_streams import JSON, TEXT, TOKEN, append, make, numbered, path, poll, read, tail  # noqa: F401 (path is a fixture)


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
    {"Stream-TTL": "060"}, {"Stream-TTL": "+60"}, {"Stream-TTL": "6.0"}, {"Stream-TTL": "6e1"}, {"Stream-TTL": "-1"},
    {"Stream-TTL": ""},
    {"Stream-TTL": "99999999999999999999"}, {"Stream-TTL": "9007199254740991"}, {"Stream-TTL": "3162240001"}, {"Stream-Expires-At": "tomorrow"}, {"Stream-Expires-At": "2030-02-29T00:00:00Z"},
    {"Stream-Expires-At": "2030-01-01T24:00:00Z"}, {"Stream-Expires-At": "2030-01-01T00:00:00"},
    {"Stream-Expires-At": "2030-01-01"},
    {"Stream-Expires-At": "2030-01-01T00:00:00Zz"}, {"Stream-TTL": "60", "Stream-Expires-At": "2030-01-01T00:00:00Z"}])
def test_a_life_that_makes_no_sense_is_400(api, path, headers):
    assert make(api, path, {**TEXT, **headers}, status=400).problem == "bad-request"


@pytest.mark.parametrize("sent,told", [("2100-02-28T23:59:59.5Z", "2100-02-28T23:59:59.500Z"),
                                       ("2096-02-29T01:00:00+02:30", "2096-02-28T22:30:00.000Z"),
                                       ("2100-01-01t00:00:00z", "2100-01-01T00:00:00.000Z")])
def test_head_tells_when_it_expires(api, path, sent, told):
    make(api, path, {**TEXT, "Stream-Expires-At": sent})
    assert api.ok("HEAD", path).header("stream-expires-at") == told


@pytest.mark.parametrize("path", ["__ds", "__ds/x", "%5f_ds/x", "_%5Fds"])
@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "HEAD", "DELETE"])
def test_no_stream_is_below_the_reserved_segment(api, method, path):
    answer = api.call(method, f"/v1/stream/{path}", b"x" if method in ("PUT", "POST") else None, TEXT)
    assert answer.status == 404


# --- paths

@pytest.mark.parametrize("bad", ["a//b", "a/", "a/./b", "a/../b", "%2e%2e/a", ".", "a%2fb", "a%0ab", "a%7f", "a%zz", "a%00",
                                 "a" * 1025,
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
    ({}, b"x", 400), (TEXT, b"", 400), ({"Content-Type": "text/html"}, b"x", 409), (JSON, b"1", 409),
    ({"Stream-Seq": "a" * 300, **TEXT}, b"x", 400)])
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
    (b'{"a":1}', [{"a": 1}]), (b"[1,2]", [1, 2]), (b"[[1,2],[3]]", [[1, 2], [3]]), (b"[[[1]]]", [[[1]]]), (b' "x" ', ["x"]),
    (b"null", [None]),
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
    {"Producer-Id": "p"}, {"Producer-Epoch": "0", "Producer-Seq": "0"},
    {"Producer-Id": "", "Producer-Epoch": "0", "Producer-Seq": "0"},
    {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "1a"},
    {"Producer-Id": "p", "Producer-Epoch": "-1", "Producer-Seq": "0"},
    {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "9007199254740992"},
    {"Producer-Id": "p" * 257, "Producer-Epoch": "0", "Producer-Seq": "0"},
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
    assert append(api, path, b"end", numbered("p", 0, 0), status=204).header("stream-closed") == "true"  # taken before that
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
