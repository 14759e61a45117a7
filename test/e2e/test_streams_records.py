"""Reading with format=records: every record with its place, its time and its value, however it is read."""

import base64
import datetime
import json

import pytest

from bide_streams import JSON, TEXT, append, make, path, poll, read, tail  # noqa: F401

BYTES = {"Content-Type": "application/octet-stream"}


def records(answer):
    assert answer.header("content-type") == "application/json" and answer.header("stream-content-type")
    return answer.json()


def values(answer):
    return [record["value"] for record in records(answer)]


def test_each_record_tells_its_place_its_time_and_its_value(api, path):
    start = tail(make(api, path, JSON))
    append(api, path, b'[{"a": [1, 2]}, "text"]', JSON)
    end = tail(append(api, path, b"null", JSON))
    answer = read(api, path, query="format=records")
    first, second, third = records(answer)
    assert [one["value"] for one in (first, second, third)] == [{"a": [1, 2]}, "text", None]
    assert [one["key"] for one in (first, second, third)] == [None] * 3
    assert (first["offset"], first["next"], second["next"], third["next"]) == (start, second["offset"], third["offset"], end)
    assert tail(answer) == end and answer.header("stream-up-to-date") == "true"
    assert answer.header("stream-content-type") == "application/json"
    times = [datetime.datetime.fromisoformat(one["timestamp"].replace("Z", "+00:00")) for one in (first, second, third)]
    assert times[0] == times[1] <= times[2]
    # The server's clock is its own since it started.
    assert abs(times[0] - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=10)


def test_any_records_offset_is_one_to_read_from(api, path):
    make(api, path, JSON)
    append(api, path, b"[0,1,2]", JSON)
    append(api, path, b"[3,4]", JSON)
    for n, record in enumerate(records(read(api, path, query="format=records"))):
        assert values(read(api, path, record["offset"], "format=records")) == list(range(n, 5))
        assert read(api, path, record["next"]).json() == list(range(n + 1, 5))


@pytest.mark.parametrize("headers", [TEXT, BYTES])
def test_what_is_no_text_is_base64(api, path, headers):
    make(api, path, headers)
    parts = [b"text", "zwölf\n\"".encode(), b"\xff\xfe", b"\x00", bytes(range(256))]
    for part in parts:
        append(api, path, part, headers)
    told = values(read(api, path, query="format=records"))
    assert [one.encode() if isinstance(one, str) else base64.b64decode(one["base64"]) for one in told] == parts
    assert [isinstance(one, str) for one in told] == [True, True, False, True, False]


def test_nothing_is_an_empty_array(api, path):
    make(api, path)
    assert records(read(api, path, query="format=records")) == []
    assert records(read(api, path, "now", "format=records")) == []


def test_a_long_record_tells_its_size_and_is_read_alone(api, path):
    start = tail(make(api, path))
    append(api, path, b"before")
    append(api, path, b"x" * 1_500_000)
    append(api, path, b"after")
    place, found = start, []
    for _ in range(3):
        answer = read(api, path, place, "format=records")
        found += records(answer)
        place = tail(answer)
        if answer.header("stream-up-to-date"):
            break
    assert [one.get("value", one.get("size")) for one in found] == ["before", 1_500_000, "after"]
    assert found[1]["timestamp"] is None and "value" not in found[1]
    assert read(api, path, found[1]["offset"]).body == b"x" * 1_500_000


def test_who_waits_is_told_in_the_form_that_was_asked_for(server, path):
    make(server.api, path, JSON)
    before = server.parked()
    waiting = [server.ask("GET", f"{path}?offset=now&live=long-poll&wait=30s{form}") for form in
               ("", "&format=records", "", "&format=records")]
    server.until_parked(before + 4)
    end = tail(append(server.api, path, b"[1,2]", JSON))
    answers = [conn.answer() for conn in waiting]
    for answer in answers:
        assert answer.status == 200 and tail(answer) == end and answer.header("stream-cursor")
    assert [answers[0].json(), answers[2].json()] == [[1, 2]] * 2
    assert [values(answers[1]), values(answers[3])] == [[1, 2]] * 2


def test_a_long_record_wakes_whoever_waits(server, path):
    make(server.api, path)
    waiting = poll(server, path, query="&format=records")
    append(server.api, path, b"x" * 1_500_000)
    assert [one["size"] for one in records(waiting.answer())] == [1_500_000]


def test_followers_are_told_in_the_form_that_was_asked_for(server, path):
    make(server.api, path, BYTES)
    append(server.api, path, b"\xff", BYTES)
    before = server.parked()
    waiting = [server.ask("GET", f"{path}?offset=-1&live=sse&wait=30s{form}") for form in ("&format=records", "")]
    server.until_parked(before + 2)
    append(server.api, path, b"live", BYTES)
    append(server.api, path, b"y" * 1_500_000, BYTES)
    append(server.api, path, b"", {"Stream-Closed": "true"})
    objects, plain = [conn.answer() for conn in waiting]
    assert objects.header("stream-content-type") == BYTES["Content-Type"] and plain.header("stream-content-type") is None
    assert objects.header("stream-sse-data-encoding") is None and plain.header("stream-sse-data-encoding") == "base64"
    told = [record for line in objects.body.decode().split("\n") if line.startswith("data:[") for record in json.loads(line[5:])]
    assert [one.get("value", one.get("size")) for one in told] == [{"base64": "/w=="}, "live", 1_500_000]
    assert '"streamClosed":true' in objects.body.decode()


def test_the_first_bytes_of_a_forked_record(api, path):
    start = tail(make(api, path))
    append(api, path, b"abcdef")
    make(api, path + "/f", {"Stream-Forked-From": path, "Stream-Fork-Offset": start, "Stream-Fork-Sub-Offset": "3"})
    assert values(read(api, path + "/f", query="format=records")) == ["abc"]


def test_it_may_be_kept_as_other_answers_are(api, path):
    make(api, path, body=b"x")
    answer = read(api, path, query="format=records")
    again = api.get(f"{path}?format=records", {"If-None-Match": answer.header("etag")})
    assert again.status == 304 and again.body == b""


def test_other_formats_are_refused(api, path):
    make(api, path)
    for form in ("", "x", "record"):
        assert api.get(f"{path}?format={form}").problem == "bad-request"
