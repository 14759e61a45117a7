"""Forks of streams: what the public suite does not ask."""
import pytest

from bide_streams import TEXT, append, make, path, read, tail  # noqa: F401


def fork_of(path, **more):
    return {"Stream-Forked-From": path, **more}


def test_a_fork_outlives_its_source_and_a_crash(fresh, path):
    server = fresh()
    make(server.api, path, TEXT, b"one")
    append(server.api, path, b"two")
    make(server.api, path + "/f", fork_of(path))
    append(server.api, path + "/f", b"three")
    server.api.ok("DELETE", path, status=204)
    server.kill9()
    server.start()
    assert read(server.api, path + "/f").body == b"onetwothree"
    assert server.api.get(path).problem == "gone"
    server.api.ok("DELETE", path + "/f", status=204)
    assert server.api.get(path).status == 404
    make(server.api, path, TEXT, b"new")


def test_a_fork_is_confirmed_after_its_source_was_deleted(api, path):
    place = tail(make(api, path, TEXT, b"one"))
    append(api, path, b"two")
    asked = fork_of(path, **{"Stream-Fork-Offset": place})
    make(api, path + "/f", asked)
    api.ok("DELETE", path, status=204)
    assert tail(make(api, path + "/f", asked, status=200)) == tail(read(api, path + "/f"))
    assert make(api, path + "/g", asked, status=409).problem == "conflict"
    make(api, path + "/f", fork_of(path, **{"Stream-Fork-Offset": place, "Stream-TTL": "9"}), status=409)


def test_a_fork_within_a_long_record_has_its_first_bytes(api, path):
    long = bytes(range(256)) * 8192  # 2 MiB: a blob
    kind = {"Content-Type": "application/octet-stream"}
    start = make(api, path, kind).header("stream-next-offset")
    append(api, path, long, kind)
    make(api, path + "/f", fork_of(path, **{"Stream-Fork-Offset": start, "Stream-Fork-Sub-Offset": "1500000"}))
    append(api, path + "/f", b"end", kind)
    first = read(api, path + "/f")
    assert first.body == long[:1500000]
    assert read(api, path + "/f", tail(first)).body == b"end"
    poll = api.get(f"{path}/f?offset=-1&live=sse&wait=0")
    assert poll.status == 200


@pytest.mark.parametrize("gathered", [False, True])
def test_a_fork_within_one_of_many_small_records(api, path, gathered):
    """The record lies among others in one run of bytes once enough small ones have come together."""
    make(api, path, TEXT)
    for i in range(260 if gathered else 12):
        append(api, path, b"<%03d>" % i)
        if i == 6:
            place = tail(api.get(path + "?offset=now"))
    make(api, path + "/f", fork_of(path, **{"Stream-Fork-Offset": place, "Stream-Fork-Sub-Offset": "3"}))
    append(api, path + "/f", b"!")
    before = b"".join(b"<%03d>" % i for i in range(7))
    assert read(api, path + "/f").body == before + b"<00!"
    assert read(api, path + "/f", place).body == b"<00!"
    make(api, path + "/f/g", fork_of(path + "/f", **{"Stream-Fork-Offset": place, "Stream-Fork-Sub-Offset": "2"}))
    assert read(api, path + "/f/g").body == before + b"<0"
    refused = api.call("PUT", path + "/f/h", b"", fork_of(path + "/f", **{
        "Stream-Fork-Offset": place, "Stream-Fork-Sub-Offset": "4"}))
    assert refused.status == 400


@pytest.mark.parametrize("source,problem", [("/v1/stream/none", "not-found"), ("relative", "bad-request"),
                                            ("/v1/stream/a//b", "bad-request"), ("/v1/jobs/x", "bad-request")])
def test_a_source_that_is_none(api, path, source, problem):
    assert api.call("PUT", path, b"", fork_of(source)).problem == problem


def test_the_sources_offsets_are_the_forks_up_to_where_they_part(api, path):
    make(api, path, TEXT, b"one")
    middle = read(api, path).header("stream-next-offset")
    append(api, path, b"two")
    end = read(api, path).header("stream-next-offset")
    make(api, path + "/f", fork_of(path, **{"Stream-Fork-Offset": middle}))
    append(api, path + "/f", b"2")
    assert read(api, path + "/f", middle).body == b"2"
    assert api.get(f"{path}/f?offset={end}").problem == "gone"


def test_first_records_of_a_fork_need_their_type(api, path):
    make(api, path, {"Content-Type": "application/json"}, b"[1]")
    assert api.call("PUT", path + "/f", b"[2]", fork_of(path)).problem == "bad-request"
    make(api, path + "/f", {**fork_of(path), "Content-Type": "application/json"}, b"[2]")
    assert read(api, path + "/f").body == b"[1,2]"
