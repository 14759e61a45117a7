"""POST /v1/wait: one poll for a whole page, of streams and jobs."""

import base64
import json
import random
import signal
import threading
import time

import pytest

from bide_server import SLOW
from bide_streams import JSON, TEXT, TOKEN, append, make, path, tail  # noqa: F401: a fixture

BYTES = {"Content-Type": "application/octet-stream"}
UNKNOWN_JOB = "a" * 32


def key(path):
    return path.removeprefix("/v1/stream/")


def ask_of(streams, **more):
    return json.dumps({"streams": streams, **more}).encode()


def wait(api, streams, **more):
    return api.ok("POST", "/v1/wait", json.loads(ask_of(streams, **more))).json()


waiting = []


def poll(server, streams, **more):
    """One that waits, on a connection of its own, and parked already when this returns."""
    waiting[:] = [(at, conn) for at, conn in waiting if at is server and conn.methods and conn.sock.fileno() >= 0 and conn.quiet()]
    server.eventually(lambda: server.parked() == len(waiting), "those who were answered wait no more")
    conn = server.ask("POST", "/v1/wait", JSON, ask_of(streams, **{"wait": "30s", **more}))
    waiting.append((server, conn))
    server.until_parked(len(waiting))
    return conn


def hear(conn):
    answer = conn.answer()
    assert answer.status == 200, answer
    return answer.json()


@pytest.fixture
def paths():
    """The paths of five streams of the test's own, as they are asked for."""
    paths.count = getattr(paths, "count", 0) + 1
    return [f"many/{paths.count}/{name}" for name in "abcde"]


def make_all(api, paths, headers=TEXT):
    for one in paths:
        make(api, f"/v1/stream/{one}", headers)


# --- what is there

def test_everything_that_is_there_comes_at_once(api, paths):
    a, b, c, d, _ = paths
    make_all(api, [a, b, c])
    make(api, f"/v1/stream/{d}", JSON)
    append(api, f"/v1/stream/{a}", b"one")
    append(api, f"/v1/stream/{a}", "zwei \u00e9\u4e2d\0\"\n".encode())
    append(api, f"/v1/stream/{b}", b"\xff\x00")
    append(api, f"/v1/stream/{b}", b"text")
    end = tail(append(api, f"/v1/stream/{c}", b"old"))
    append(api, f"/v1/stream/{d}", b'[{"n": 1.50}, [2], "three", null]', JSON)
    told = wait(api, {a: "start", b: "-1", c: "now", d: "start"}, wait="30s")
    assert list(told["streams"]) == [a, b, c, d] and told["done"] is True
    assert told["jobs"] == told["pending"] == told["missing"] == []
    bytes_ = {"base64": base64.b64encode(b"\xff\x00").decode()}
    for name, records in ((a, ["one", "zwei \u00e9\u4e2d\0\"\n"]), (b, [bytes_, "text"]), (c, []), (d, [{"n": 1.5}, [2], "three", None])):
        part = told["streams"][name]
        assert (part["records"], part["up_to_date"], part["closed"]) == (records, True, False), name
        assert TOKEN.fullmatch(part["cursor"])
    assert told["streams"][c]["cursor"] == end


def test_json_comes_digit_by_digit_as_it_was_sent(server, api, path):
    make(api, path, JSON)
    append(api, path, b'[1.50, 12345678901234567890123, {"a" : 1e2}]', JSON)
    body = api.call("POST", "/v1/wait", ask_of({key(path): "start"}), JSON).body
    assert b'"records":[1.50,12345678901234567890123,{"a" : 1e2}]' in body


def test_records_come_as_objects_if_asked_for(server, api, paths):
    a, b = paths[:2]
    make_all(api, [a, b])
    append(api, f"/v1/stream/{a}", b"one")
    append(api, f"/v1/stream/{a}", b"two")
    append(api, f"/v1/stream/{b}", b"0123456789abcdef" * 131072)
    told = wait(api, {a: "start", b: "start"}, format="records")["streams"]
    for one in (a, b):
        assert told[one]["records"] == api.get(f"/v1/stream/{one}?format=records").json()
        assert told[one]["records"][-1]["next"] == told[one]["cursor"] and "large" not in told[one]
    conn = poll(server, {a: "now"}, format="records")
    append(api, f"/v1/stream/{a}", b"three")
    assert [record["value"] for record in hear(conn)["streams"][a]["records"]] == ["three"]


def test_a_cursor_says_where_to_go_on(api, path):
    make(api, path)
    append(api, path, b"1")
    first = wait(api, {key(path): "start"})["streams"][key(path)]["cursor"]
    append(api, path, b"2")
    part = wait(api, {key(path): first})["streams"][key(path)]
    assert part["records"] == ["2"]
    assert api.get(f"{path}?offset={first}").body == b"2"  # the same tokens as anywhere
    assert wait(api, {key(path): tail(api.ok("HEAD", path))}, wait=0)["streams"][key(path)]["records"] == []


def test_a_path_may_be_written_in_several_ways(server, api):
    make(api, "/v1/stream/many/caf%C3%A9-%25")
    conn = poll(server, {"many/caf\u00e9-%25": "now", "many/caf%c3%a9%2d%25": "now"}, mode="all")
    append(api, "/v1/stream/many/caf%C3%A9-%25", b"x")
    told = hear(conn)
    assert [part["records"] for part in told["streams"].values()] == [["x"], ["x"]] and told["done"] is True


# --- waiting

def test_any_ends_with_the_first(server, api, paths):
    make_all(api, paths)
    conn = poll(server, dict.fromkeys(paths, "now"))
    append(api, f"/v1/stream/{paths[2]}", b"x")
    told = hear(conn)
    assert told["done"] is True
    assert [told["streams"][one]["records"] for one in paths] == [[], [], ["x"], [], []]
    assert all(part["up_to_date"] for part in told["streams"].values())
    append(api, f"/v1/stream/{paths[4]}", b"y")
    again = wait(api, {one: part["cursor"] for one, part in told["streams"].items()}, wait="30s")
    assert [again["streams"][one]["records"] for one in paths] == [[], [], [], [], ["y"]]


def test_all_ends_with_the_last_and_tells_all_of_each(server, api, paths):
    make_all(api, paths)
    append(api, f"/v1/stream/{paths[0]}", b"before")
    conn = poll(server, {one: "start" for one in paths}, mode="all")
    for n, one in enumerate(paths[:4]):
        append(api, f"/v1/stream/{one}", b"%d" % n)
        append(api, f"/v1/stream/{one}", b"more")
    server.pulse()
    assert conn.quiet()
    append(api, f"/v1/stream/{paths[4]}", b"last")
    told = hear(conn)
    assert told["done"] is True
    assert [told["streams"][one]["records"] for one in paths] == [["before", "0", "more"], ["1", "more"], ["2", "more"], ["3", "more"], ["last"]]


def test_the_deadline_brings_cursors_and_not_before_its_time(api, paths):
    make_all(api, paths)
    append(api, f"/v1/stream/{paths[0]}", b"old")
    before = time.monotonic()
    told = wait(api, dict.fromkeys(paths, "now"), wait="250ms")
    assert time.monotonic() - before >= 0.249
    assert told["done"] is False and all(part["records"] == [] and part["up_to_date"] for part in told["streams"].values())
    append(api, f"/v1/stream/{paths[0]}", b"x")
    assert wait(api, {one: told["streams"][one]["cursor"] for one in paths})["streams"][paths[0]]["records"] == ["x"]


def test_at_the_deadline_all_tell_what_has_come(api, server, paths):
    make_all(api, paths)
    conn = poll(server, dict.fromkeys(paths, "now"), mode="all", wait="1s")
    append(api, f"/v1/stream/{paths[3]}", b"x")
    told = hear(conn)
    assert told["done"] is False and [told["streams"][one]["records"] for one in paths] == [[], [], [], ["x"], []]


def test_without_a_wait_it_is_a_look(api, paths):
    make_all(api, paths)
    told = wait(api, dict.fromkeys(paths, "start"), wait=0)
    assert told["done"] is False and all(part["up_to_date"] for part in told["streams"].values())


def test_jobs_and_streams_together(server, api, queue, paths):
    make_all(api, paths)
    ids = [api.submit(queue)["id"] for _ in range(3)]
    conn = poll(server, dict.fromkeys(paths, "now"), jobs=ids)
    lease = api.claim_one(queue)
    server.pulse()
    assert conn.quiet()
    api.done(lease)
    told = hear(conn)
    assert [job["id"] for job in told["jobs"]] == [lease.id] and set(told["pending"]) == set(ids) - {lease.id}
    assert all(part["records"] == [] and TOKEN.fullmatch(part["cursor"]) for part in told["streams"].values())
    conn = poll(server, dict.fromkeys(paths, "now"), jobs=told["pending"])
    append(api, f"/v1/stream/{paths[0]}", b"x")
    told = hear(conn)
    assert told["streams"][paths[0]]["records"] == ["x"] and told["jobs"] == [] and len(told["pending"]) == 2


@pytest.mark.parametrize("last", ["job", "stream"])
def test_all_of_jobs_and_streams(server, api, queue, paths, last):
    make_all(api, paths[:2])
    ids = [api.submit(queue)["id"] for _ in range(2)]
    conn = poll(server, dict.fromkeys(paths[:2], "now"), jobs=ids, mode="all")
    api.done(api.claim_one(queue))
    append(api, f"/v1/stream/{paths[0]}", b"a")
    if last == "job":
        append(api, f"/v1/stream/{paths[1]}", b"b")
    else:
        api.done(api.claim_one(queue))
    server.pulse()
    assert conn.quiet()
    if last == "job":
        api.done(api.claim_one(queue))
    else:
        append(api, f"/v1/stream/{paths[1]}", b"b")
    told = hear(conn)
    assert told["done"] is True and {job["id"] for job in told["jobs"]} == set(ids) and told["pending"] == []
    assert [told["streams"][one]["records"] for one in paths[:2]] == [["a"], ["b"]]


def test_jobs_alone(api, queue):
    job = api.submit(queue)["id"]
    told = wait(api, {}, jobs=[job, UNKNOWN_JOB], wait="30s")
    assert told == {"streams": {}, "jobs": [], "pending": [job], "missing": [UNKNOWN_JOB], "done": True}


def test_all_who_wait_for_the_same_hear_it(server, api, paths):
    make_all(api, paths)
    append(api, f"/v1/stream/{paths[0]}", b"already")
    conns = [poll(server, {paths[1]: "now", paths[2]: "now"}) for _ in range(20)]
    conns += [poll(server, {paths[0]: "start", paths[1]: "now"}, mode="all") for _ in range(20)]
    with server.open() as alone:
        alone.ask("GET", f"/v1/stream/{paths[1]}?offset=now&live=long-poll&wait=30s")
        server.until_parked(41)
        append(api, f"/v1/stream/{paths[1]}", b"x")
        assert alone.answer().body == b"x"
    told = [hear(conn)["streams"] for conn in conns]
    assert all(one[paths[1]]["records"] == ["x"] for one in told)
    assert all(one[paths[0]]["records"] == ["already"] for one in told[20:])
    server.eventually(lambda: server.parked() == 0, "nobody waits")
    assert server.metrics()['bide_waits_kind{kind="many"}'] == 0


# --- ends

def test_a_stream_that_is_not_there_ends_the_wait(api, paths):
    make_all(api, paths[:1])
    told = wait(api, {paths[0]: "now", paths[1]: "now"}, wait="30s")
    assert told["done"] is True and told["streams"][paths[0]]["records"] == []
    missing = told["streams"][paths[1]]
    assert set(missing) == {"error"} and missing["error"]["type"] == "/problems/not-found" and missing["error"]["status"] == 404


@pytest.mark.parametrize("mode", ["any", "all"])
def test_a_stream_that_is_deleted_ends_the_wait(server, api, paths, mode):
    make_all(api, paths[:2])
    append(api, f"/v1/stream/{paths[1]}", b"x")
    conn = poll(server, {paths[0]: "now", **({paths[1]: "start"} if mode == "all" else {})}, mode=mode)
    api.ok("DELETE", f"/v1/stream/{paths[0]}", status=204)
    told = hear(conn)
    assert told["streams"][paths[0]]["error"]["type"] == "/problems/not-found" and told["done"] is True
    assert mode == "any" or told["streams"][paths[1]]["records"] == ["x"]


def test_a_cursor_of_another_time_is_gone_and_the_others_are_told(api, paths):
    make_all(api, paths[:2])
    old = tail(append(api, f"/v1/stream/{paths[0]}", b"old"))
    api.ok("DELETE", f"/v1/stream/{paths[0]}", status=204)
    make_all(api, paths[:1])
    append(api, f"/v1/stream/{paths[0]}", b"new")
    append(api, f"/v1/stream/{paths[1]}", b"other")
    told = wait(api, {paths[0]: old, paths[1]: "start"}, wait="30s", mode="all")["streams"]
    assert told[paths[0]]["error"]["type"] == "/problems/gone" and told[paths[0]]["error"]["status"] == 410
    assert told[paths[1]]["records"] == ["other"]
    assert wait(api, {paths[0]: told[paths[0]]["earliest"]})["streams"][paths[0]]["records"] == ["new"]


def test_a_closed_stream_is_over_at_its_end(server, api, paths):
    make_all(api, paths[:2])
    conn = poll(server, {paths[0]: "now", paths[1]: "now"})
    append(api, f"/v1/stream/{paths[0]}", b"", {"Stream-Closed": "true"})
    part = hear(conn)["streams"][paths[0]]
    assert (part["records"], part["closed"], part["up_to_date"]) == ([], True, True)
    told = wait(api, {paths[0]: "now", paths[1]: "now"}, wait="30s")
    assert told["done"] is True and told["streams"][paths[0]]["closed"] is True and told["streams"][paths[1]]["closed"] is False
    conn = poll(server, {paths[1]: "now"})
    append(api, f"/v1/stream/{paths[1]}", b"last", {**TEXT, "Stream-Closed": "true"})
    part = hear(conn)["streams"][paths[1]]
    assert (part["records"], part["closed"]) == (["last"], True)


def test_closing_after_an_append_tells_it_once(server, api, path):
    make(api, path)
    append(api, path, b"told already")
    conn = poll(server, {key(path): "now"})
    append(api, path, b"", {"Stream-Closed": "true"})
    part = hear(conn)["streams"][key(path)]
    assert (part["records"], part["closed"]) == ([], True)


# --- how much

def test_a_long_record_comes_as_the_place_where_it_can_be_had(server, api, paths):
    name = f"{paths[0]} \u00e9"
    url = f"/v1/stream/{paths[0]}%20%C3%A9"
    make(api, url, BYTES)
    append(api, url, b"before", BYTES)
    long_one = b"0123456789abcdef" * 131072
    append(api, url, long_one, BYTES)
    append(api, url, b"behind", BYTES)
    first = wait(api, {name: "start"})["streams"][name]
    assert first["records"] == ["before"] and first["up_to_date"] is False
    second = wait(api, {name: first["cursor"]})["streams"][name]
    assert second["records"] == [] and second["large"]["size"] == len(long_one) and second["up_to_date"] is False
    assert api.get(second["large"]["url"]).body == long_one
    assert wait(api, {name: second["cursor"]})["streams"][name]["records"] == ["behind"]
    conn = poll(server, {name: "now"})
    append(api, url, long_one, BYTES)
    part = hear(conn)["streams"][name]
    assert part["large"]["size"] == len(long_one) and part["up_to_date"] is True


def test_max_bytes_is_shared_and_no_stream_waits_for_ever(api, paths):
    """Two that always have something, one with long records, one with very few: all are read to the end."""
    make_all(api, paths)
    written = {one: [] for one in paths}

    def write(n, text):
        append(api, f"/v1/stream/{paths[n]}", text.encode())
        written[paths[n]].append(text)

    for i in range(60):
        write(0, f"a{i}")
        write(1, f"b{i}")
    for i in range(6):
        write(2, f"{i}" * 5000)
    write(3, "once")
    seen, cursors = {one: [] for one in paths}, dict.fromkeys(paths, "start")
    for round_ in range(1500):
        if round_ < 30:
            write(0, "more")
        told = wait(api, cursors, max_bytes=2000, wait=0)
        total = 0
        for one, part in told["streams"].items():
            total += sum(len(record) for record in part["records"])
            seen[one] += part["records"]
            cursors[one] = part["cursor"]
        assert total <= 7000
        if round_ >= 30 and all(part["up_to_date"] for part in told["streams"].values()):
            break
    assert seen == written


def test_one_answer_stays_within_a_megabyte_or_so(api, paths):
    make_all(api, paths)
    for one in paths:
        for _ in range(4):
            append(api, f"/v1/stream/{one}", b"x" * 200000)
    sizes = [sum(len(r) for r in part["records"]) for part in wait(api, dict.fromkeys(paths, "start"))["streams"].values()]
    assert sum(sizes) <= 1 << 20 and sum(sizes) > 1 << 19


def test_a_thousand_streams_in_one_poll(server, api):
    names = [f"many/thousand/{i}" for i in range(1000)]
    make_all(api, names, JSON)
    before = server.status_kib("RssAnon")
    conn = poll(server, dict.fromkeys(names, "now"))
    assert server.status_kib("RssAnon") - before < 8 * 1024
    append(api, f"/v1/stream/{names[777]}", b'{"n":777}', JSON)
    told = hear(conn)["streams"]
    assert len(told) == 1000 and [one for one in names if told[one]["records"]] == [names[777]]
    conn = poll(server, {one: part["cursor"] for one, part in told.items()}, mode="all")
    with server.open() as writer:
        for one in names:
            writer.ask("POST", f"/v1/stream/{one}", JSON, b"[1]")
            if len(writer.methods) == 50:
                assert {writer.answer().status for _ in range(50)} == {204}
    told = hear(conn)
    assert told["done"] is True and all(part["records"] == [1] for part in told["streams"].values())


# --- nothing is lost

@pytest.mark.parametrize("threads", ["1", "2"])
def test_no_append_is_lost_between_two_polls(fresh, threads):
    """Writers at many streams; readers who poll on and on, some for any and some for all, hear each record once and in order."""
    server = fresh("--threads", threads, "--sync", "os")
    names, rounds, failures = [f"race/{i}" for i in range(12)], 1200 // SLOW, []
    make_all(server.api, names)
    chance = random.Random(20260110)
    counts = dict.fromkeys(names, 0)
    steps = [chance.choice(names) for _ in range(rounds)]

    def follow(mode, max_bytes):
        try:
            seen, cursors = {one: [] for one in names}, dict.fromkeys(names, "start")
            with server.open() as conn:
                while not all(seen[one] and seen[one][-1] == "end" for one in names):
                    left = {one: cursor for one, cursor in cursors.items() if not (seen[one] and seen[one][-1] == "end")}
                    got = conn.call("POST", "/v1/wait", JSON, ask_of(left, mode=mode, wait="10s", max_bytes=max_bytes))
                    told = got.json()
                    assert got.status == 200 and told["done"] is True, told  # a wake that is missed runs into its deadline
                    for one, part in told["streams"].items():
                        seen[one] += part["records"]
                        cursors[one] = part["cursor"]
            for one in names:
                assert seen[one] == [str(n) for n in range(counts[one])] + ["end"]
        except BaseException as error:  # told by the thread that waits
            failures.append(error)

    followers = [threading.Thread(target=follow, args=how) for how in (("any", 1000000), ("any", 10), ("all", 1000000), ("all", 100))]
    for one in followers:
        one.start()
    with server.open() as conn:
        for one in steps:
            n, counts[one] = counts[one], counts[one] + 1
            assert conn.call("POST", f"/v1/stream/{one}", TEXT, b"%d" % n).status == 204
        for one in names:
            assert conn.call("POST", f"/v1/stream/{one}", TEXT, b"end").status == 204
    for one in followers:
        one.join(60 * SLOW)
    assert not failures, failures
    assert server.parked() == 0


def test_cursors_outlive_a_killed_server(fresh):
    server = fresh()
    names = ["a", "b"]
    make_all(server.api, names)
    append(server.api, "/v1/stream/a", b"1")
    job = server.api.submit("q")["id"]
    told = wait(server.api, dict.fromkeys(names, "start"))
    conn = poll(server, {one: told["streams"][one]["cursor"] for one in names}, jobs=[job])
    append(server.api, "/v1/stream/b", b"2")
    heard = hear(conn)
    append(server.api, "/v1/stream/a", b"3")
    server.kill9()
    server.start()
    again = wait(server.api, {one: told["streams"][one]["cursor"] for one in names}, jobs=[job])
    assert [again["streams"][one]["records"] for one in names] == [["3"], ["2"]] and again["pending"] == [job]
    after = wait(server.api, {one: heard["streams"][one]["cursor"] for one in names})
    assert [after["streams"][one]["records"] for one in names] == [["3"], []]


def test_a_server_that_leaves_tells_cursors(fresh):
    server = fresh("--drain", "1s")
    make_all(server.api, ["a", "b"])
    conns = [poll(server, {"a": "now", "b": "now"}, mode=mode) for mode in ("any", "all")]
    append_to_b = tail(append(server.api, "/v1/stream/b", b"x"))
    assert hear(conns[0])["streams"]["b"]["cursor"] == append_to_b
    server.signal(signal.SIGTERM)
    told = hear(conns[1])
    assert told["done"] is False and told["streams"]["b"]["records"] == ["x"] and TOKEN.fullmatch(told["streams"]["a"]["cursor"])
    assert server.wait_exit() == 0


def test_who_leaves_leaves_nothing_behind(server, api, queue, paths):
    make_all(api, paths)
    ids = [api.submit(queue)["id"] for _ in range(3)]
    for leave in ("close", "reset", "finish_sending"):
        conns = [poll(server, dict.fromkeys(paths, "now"), jobs=ids, mode=mode) for mode in ("any", "all") for _ in range(5)]
        append(api, f"/v1/stream/{paths[0]}", b"x")
        assert [hear(conn)["done"] for conn in conns[:5]] == [True] * 5
        for conn in conns[5:]:
            getattr(conn, leave)()
        server.eventually(lambda: server.parked() == 0, "all have left")
    for lease in api.claim(queue, most=3):
        api.done(lease)
    for one in paths:
        append(api, f"/v1/stream/{one}", b"y")


def test_leaving_at_the_moment_of_the_answer_harms_nobody(server, api, paths):
    make_all(api, paths)
    for i in range(60):
        leaving = [poll(server, dict.fromkeys(paths, "now"), mode="all") for _ in range(2)]
        staying = poll(server, {paths[0]: "now"})
        for one in paths[1:]:
            append(api, f"/v1/stream/{one}", b"x")
        leaving[0].reset()
        append(api, f"/v1/stream/{paths[0]}", b"%d" % i)
        leaving[1].reset()
        assert hear(staying)["streams"][paths[0]]["records"] == ["%d" % i]
        staying.close()
    server.eventually(lambda: server.parked() == 0, "nobody waits")


def waits_at(api, name):
    return [one["waits"] for one in api.ok("GET", f"/v1/streams?prefix={name}").json()["streams"] if one["path"] == name][0]


def test_each_stream_counts_who_waits_and_no_longer(server, api, paths):
    """Answered at once, woken at another, by a deadline, left: none of them waits at a stream any more."""
    a, b = paths[:2]
    make_all(api, [a, b])
    append(api, f"/v1/stream/{b}", b"x")
    wait(api, {a: "now", b: "start"}, wait="30s")
    wait(api, {a: "now", b: "now"}, wait="1ms")
    assert (waits_at(api, a), waits_at(api, b)) == (0, 0)
    conns = [poll(server, {a: "now", b: "now"}) for _ in range(3)]
    conns.append(poll(server, {a: "now", b: "start"}, mode="all"))
    assert (waits_at(api, a), waits_at(api, b)) == (4, 3)
    conns.pop(0).reset()
    server.eventually(lambda: (waits_at(api, a), waits_at(api, b)) == (3, 2), "the one who left is no longer counted")
    append(api, f"/v1/stream/{b}", b"y")
    assert [hear(conn)["done"] for conn in conns[:2]] == [True] * 2
    server.eventually(lambda: (waits_at(api, a), waits_at(api, b)) == (1, 0), "those who heard of b no longer wait at a")
    append(api, f"/v1/stream/{a}", b"z")
    assert hear(conns[2])["done"] is True
    server.eventually(lambda: (waits_at(api, a), waits_at(api, b)) == (0, 0), "nobody waits")


# --- what makes no sense, and what is too much

@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b'{"streams":{}}', b'{"streams":{},"jobs":[]}', b'{"streams":["a"]}', b'{"streams":{"a":1}}', b'{"streams":{"a":null}}',
    b'{"streams":{"a":"then"}}', b'{"streams":{"a":""}}', b'{"streams":{"a":"0_0"}}', b'{"streams":{"":"now"}}', b'{"streams":{"a/":"now"}}',
    b'{"streams":{"a/../b":"now"}}', b'{"streams":{"a%zz":"now"}}', b'{"streams":{"a":"now","a":"now"}}', b'{"streams":{"a":"now"},"mode":"one"}',
    b'{"streams":{"a":"now"},"max_bytes":0}', b'{"streams":{"a":"now"},"max_bytes":"1"}', b'{"streams":{"a":"now"},"wait":"soon"}',
    b'{"streams":{"a":"now"},"jobs":"x"}', b'{"streams":{"a":"now"},"format":"xml"}', b'{"streams":{"a":"now"},"format":""}', b'{"streams":{"a":"now"},"jobs":[1]}', ask_of({f"s{i}": "now" for i in range(1001)}),
    ask_of({}, jobs=[UNKNOWN_JOB] * 1001), ask_of({"x" * 4000: "now"}), ask_of({"a": "n" * 65})])
def test_nonsense_is_400(api, body):
    answer = api.call("POST", "/v1/wait", body, JSON)
    assert (answer.status, answer.problem) == (400, "bad-request"), answer


def test_so_many_items_and_no_more(fresh):
    server = fresh("--max-wait-items", "10", "--threads", "1")
    names = [f"s{i}" for i in range(6)]
    make_all(server.api, names)
    conn = poll(server, dict.fromkeys(names, "now"))
    refused = server.api.call("POST", "/v1/wait", ask_of(dict.fromkeys(names[:5], "now")), JSON)
    assert (refused.status, refused.problem) == (503, "server-full") and refused.header("retry-after")
    assert wait(server.api, dict.fromkeys(names[:4], "now"), wait=0)["done"] is False
    append(server.api, "/v1/stream/s0", b"x")
    hear(conn)
    assert wait(server.api, dict.fromkeys(names, "now"), wait=0)["done"] is False
