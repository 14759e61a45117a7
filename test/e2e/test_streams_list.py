"""Listing streams: order, pages, prefixes, and what is told of each."""

import urllib.parse

import pytest

from bide_streams import JSON, append, make, path, poll, tail  # noqa: F401


def listed(api, **query):
    return api.ok("GET", "/v1/streams?" + urllib.parse.urlencode(query)).json()


def pages(api, prefix, limit):
    found, after = [], "0"
    while after:
        page = listed(api, prefix=prefix, limit=limit, after=after)
        assert len(page["streams"]) <= limit
        found += page["streams"]
        after = page["next"]
    return found


def name(path):
    return path.removeprefix("/v1/stream/")


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_pages_hold_every_stream_once_and_in_order(api, path, limit):
    paths = [f"{name(path)}/{n}" for n in (5, 1, 4, 2, 3, 9, 0, 8, 7, 6)]
    for one in paths:
        make(api, "/v1/stream/" + one)
    assert [one["path"] for one in pages(api, name(path) + "/", limit)] == paths
    assert listed(api, prefix=name(path) + "/")["next"] is None


def test_what_is_told_of_a_stream(api, path):
    answer = make(api, path, {**JSON, "Stream-TTL": "60"})
    end = tail(append(api, path, b"[1,2,3]", JSON))
    append(api, path, b"", {"Stream-Closed": "true"})
    make(api, path + "/x", {"Stream-Expires-At": "2100-01-02T03:04:05Z"})
    one, other = listed(api, prefix=name(path))["streams"]
    assert one.pop("created").endswith("Z") and one.pop("bytes") > 0
    assert one == {"path": name(path), "url": path, "content_type": "application/json", "earliest_offset": tail(answer),
                   "next_offset": end, "records": 3, "waits": 0, "closed": True, "ttl": 60, "max_age": None, "max_bytes": None,
                   "expires_at": None}
    assert (other["closed"], other["ttl"], other["expires_at"]) == (False, None, "2100-01-02T03:04:05.000Z")
    assert (other["records"], other["bytes"]) == (0, 0)


def test_who_waits_at_a_stream_is_counted(server, path):
    make(server.api, path)
    waiting = [poll(server, path) for _ in range(3)]
    assert [one["waits"] for one in listed(server.api, prefix=name(path))["streams"]] == [3]
    waiting.pop().close()
    server.eventually(lambda: listed(server.api, prefix=name(path))["streams"][0]["waits"] == 2, "one has left")
    append(server.api, path, b"x")
    assert [conn.answer().status for conn in waiting] == [200] * 2
    assert listed(server.api, prefix=name(path))["streams"][0]["waits"] == 0


def test_the_url_of_any_path_leads_there(api, path):
    for odd in ("a%20b", "%C3%A4%3F", "%FF%FE", "a%25b~c"):
        make(api, f"{path}/{odd}")
    for one in pages(api, name(path) + "/", 2):
        assert tail(api.ok("HEAD", one["url"])) == one["next_offset"]


def test_deleted_streams_are_not_listed_and_outlive_nothing(api, path):
    for n in range(4):
        make(api, f"{path}/{n}")
    first = listed(api, prefix=name(path), limit=2)
    for n in (1, 2):
        api.ok("DELETE", f"{path}/{n}", status=204)
    rest = listed(api, prefix=name(path), after=first["next"])
    assert [one["path"] for one in rest["streams"]] == [f"{name(path)}/3"]
    assert [one["path"] for one in pages(api, name(path), 1)] == [f"{name(path)}/{n}" for n in (0, 3)]


def test_a_page_has_a_size_however_long_paths_are(api, path):
    long = [f"{name(path)}/{n:04}{'x' * 900}" for n in range(700)]
    for one in long:
        make(api, "/v1/stream/" + one)
    answer = api.ok("GET", f"/v1/streams?prefix={name(path)}&limit=1000")
    assert len(answer.body) < 1_100_000 and answer.json()["next"]
    assert [one["path"] for one in pages(api, name(path), 1000)] == long


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=x", "after=-1", "prefix=%zz"])
def test_what_makes_no_sense(api, query):
    assert api.get(f"/v1/streams?{query}").problem == "bad-request"


def test_more_than_a_page_may_hold_is_a_page(api):
    assert api.get("/v1/streams?limit=100000").status == 200
    assert api.call("POST", "/v1/streams", b"").status == 405
