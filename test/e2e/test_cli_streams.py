"""`bide stream`, `bide append` and `bide tail`: the real program against a real server, also one that is killed in the middle."""

import base64
import itertools
import json
import os
import select
import signal
import subprocess
import time

import pytest

from bide_relay import Relay
from bide_server import BIN, SLOW, clean_environment

DEADLINE_S = 60 * SLOW
counter = itertools.count(1)


@pytest.fixture
def path():
    """A stream of the test's own."""
    return f"cli/s{next(counter)}"


class Cli:
    """Runs commands against one server, and ends what a test left running."""

    def __init__(self, server):
        self.env = clean_environment(BIDE_SERVER=f"http://127.0.0.1:{server.port}")
        self.running = []

    def start(self, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
        one = subprocess.Popen([BIN, *arguments], env=self.env, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        self.running.append(one)
        return one

    def run(self, *arguments, input=b"", code=0):
        ended = subprocess.run([BIN, *arguments], env=self.env, input=input, capture_output=True, timeout=DEADLINE_S)
        assert ended.returncode == code, (arguments, ended)
        return ended

    def out(self, *arguments, input=b""):
        return self.run(*arguments, input=input).stdout

    def json(self, *arguments, input=b""):
        return json.loads(self.out(*arguments, "--json", input=input))

    def make(self, path, *arguments, type="text/plain"):
        self.run("stream", "create", path, "-c", type, *arguments)
        return path


@pytest.fixture
def cli_of():
    made = []

    def make(server):
        made.append(Cli(server))
        return made[-1]

    yield make
    for one in (process for cli in made for process in cli.running):
        if one.poll() is None:
            one.kill()
        one.communicate()


@pytest.fixture
def cli(server, cli_of):
    return cli_of(server)


def take(process, count):
    """The next `count` bytes that a command writes."""
    got, deadline = b"", time.monotonic() + DEADLINE_S
    while len(got) < count:
        assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], f"{len(got)} bytes of {count}"
        part = os.read(process.stdout.fileno(), count - len(got))
        assert part, f"ended after {got!r}: {process.stderr.read()}"
        got += part
    return got


def end(process, code=0):
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, (process.args, out[-500:], err)
    return out, err.decode()


# --- stream

def test_a_stream_from_its_making_to_its_end(server, cli, path):
    url = f"http://127.0.0.1:{server.port}/v1/stream/{path}"
    assert cli.out("stream", "create", path, "--content-type", "text/plain", "--ttl", "90m").decode() == url + "\n"
    assert b"already" in cli.run("stream", "create", path, "-c", "text/plain", "--ttl", "90m").stderr
    made = cli.json("stream", "info", path)
    assert made == {"url": url, "closed": False, "content_type": "text/plain", "offset": made["offset"], "earliest": made["offset"],
                    "ttl_s": 5400, "expires_at": None, "max_age_s": None, "max_bytes": None}
    told = cli.out("append", path, input=b"all").decode().strip()
    assert told > made["offset"] and f"end       {told}\n" in cli.out("stream", "info", url).decode()
    assert cli.out("stream", "close", path).decode().strip() == told
    assert cli.out("stream", "close", url).decode().strip() == told
    assert cli.json("stream", "info", path)["closed"] is True
    assert cli.out("tail", url) == b"all"
    cli.run("stream", "delete", path)
    cli.run("stream", "info", path, code=3)


def test_a_file_is_the_first_content_and_may_be_the_last(cli, path, tmp_path):
    file = tmp_path / "first.json"
    file.write_text('[{"n":1},{"n":2}]')
    told = cli.json("stream", "create", path, str(file), "--closed", "--expires-at", "2100-01-02T03:04:05Z")
    assert (told["created"], told["content_type"], told["closed"]) == (True, "application/json", True)
    assert cli.json("stream", "create", path, "-", "-c", "application/json", "--closed", "--expires-at", "2100-01-02T03:04:05Z",
                    input=b"[0]")["created"] is False
    assert cli.out("tail", path) == b'{"n":1}\n{"n":2}\n'
    assert cli.json("stream", "info", path)["expires_at"] == "2100-01-02T03:04:05.000Z"


@pytest.mark.parametrize("name", ["a b/c", "100%", "caf\u00e9/\u20ac", "x?y#z", "a+b"])
def test_a_path_is_written_as_people_write_it(cli, path, name):
    where = cli.make(f"{path}/{name}")
    cli.run("append", where, input=b"here")
    assert cli.out("tail", where, "--no-follow") == b"here"
    assert cli.out("tail", cli.json("stream", "info", where)["url"], "--no-follow") == b"here"


@pytest.mark.parametrize("name", ["..", ".", "", "/x"])
def test_a_path_that_makes_no_sense_is_refused_and_not_mended(cli, path, name):
    cli.run("stream", "create", f"{path}/a/{name}/b", code=1)


@pytest.mark.parametrize("arguments", [
    ("stream",), ("stream", "create"), ("stream", "mend", "x"), ("stream", "info"), ("stream", "info", "x", "y"), ("stream", "info", ""),
    ("stream", "delete", "x", "--ttl", "5"), ("stream", "create", "x", "y", "z"), ("stream", "create", "x", "--ttl", "soon"),
    ("stream", "create", "x", "--ttl", "forever"), ("stream", "create", "x", "--ttl", "1", "--expires-at", "2100-01-01T00:00:00Z"),
    ("stream", "create", "x", "--retention", "forever"), ("stream", "create", "x", "--max-bytes", "0"),
    ("stream", "create", "x", "--max-bytes", "some"), ("stream", "create", "x", "--at-offset", "1"),
    ("stream", "create", "x", "--from-stream", ""), ("stream", "create", "x", "-", "--from-stream", "y"),
    ("stream", "info", "x", "--retention", "1"), ("append", "x", "--key", ""), ("append", "x", "--replace"),
    ("append", "x", "--ttl", "0"), ("append", "x", "--ttl", "forever"), ("append",), ("append", "x", "y", "z"), ("append", "x", "--lines", "--seq", "a"), ("append", "x", "--epoch", "1"),
    ("append", "x", "--producer", "p"), ("append", "x", "--producer", "p", "--producer-seq", "-1"), ("append", "x", "--producer", ""),
    ("streams", "x"), ("streams", "-n", "0"), ("append", "x"), ("append", "x", "--seq", ""), ("tail",), ("tail", "x", "y"), ("tail", "x", "--from", ""),
    ("tail", "x", "--from", "-0"), ("tail", "x", "--from", "-x"), ("tail", "x", "--from", "2026-03-02T" + "0" * 40),
    ("tail", "x", "--format", "%x"), ("tail", "x", "--format", "%"), ("tail", "x", "--format", "\\x"), ("tail", "x", "--format", "\\"),
    ("tail", "x", "--format", "%v", "--json"), ("tail", "x", "--follow", "--no-follow")])
def test_wrong_use_is_exit_code_2(cli, arguments):
    assert b"Usage" in cli.run(*arguments, code=2).stderr


def test_exit_codes(cli, path, tmp_path):
    for missing in (("stream", "info"), ("stream", "close"), ("stream", "delete"), ("tail",), ("append",)):
        assert cli.run(*missing, path, input=b"x", code=3).stderr
    cli.run("append", path, str(tmp_path / "none"), code=3)
    cli.make(path)
    assert b"another content type" in cli.run("stream", "create", path, "-c", "text/html", code=5).stderr
    cli.run("append", path, "-c", "text/html", input=b"x", code=5)
    cli.run("append", path, "--seq", "b", input=b"x")
    cli.run("append", path, "--seq", "b", input=b"x", code=5)
    cli.run("append", path, "--producer", "p", "--producer-seq", "1", input=b"x", code=5)
    cli.run("append", path, "--producer", "p", "--epoch", "1", "--producer-seq", "0", input=b"x")
    cli.run("append", path, "--producer", "p", "--epoch", "0", "--producer-seq", "0", input=b"x", code=5)
    cli.run("append", path, "--close", input=b"x")
    cli.run("append", path, input=b"x", code=5)
    cli.run("append", path, "--lines", input=b"x\n", code=5)
    cli.run("tail", path, "--from", "nonsense", code=1)
    cli.run("stream", "info", path, "--server", "http://127.0.0.1:1", code=7)
    cli.run("tail", path, "--server", "http://127.0.0.1:1", "--retry", "0", code=7)


def test_an_offset_of_a_stream_that_was_there_before_is_exit_code_12(cli, path):
    cli.make(path)
    old = cli.out("append", path, input=b"old").decode().strip()
    cli.run("stream", "delete", path)
    cli.make(path)
    assert b"--from 0" in cli.run("tail", path, "--from", old, "--no-follow", code=12).stderr


def test_a_fork_begins_with_what_its_source_has(cli, path):
    cli.make(path)
    middle = cli.out("append", path, input=b"one").decode().strip()
    cli.run("append", path, input=b"two")
    url = cli.json("stream", "info", path)["url"]
    cli.run("stream", "create", path + "/all", "--from-stream", path)
    cli.run("stream", "create", path + "/some", "--from-stream", url, "--at-offset", middle, "--sub-offset", "1")
    cli.run("stream", "create", path + "/more", "-", "--from-stream", path, "-c", "text/plain", input=b"three")
    assert [cli.out("tail", f"{path}/{fork}", "--no-follow") for fork in ("all", "some", "more")] == [b"onetwo", b"onet", b"onetwothree"]
    assert cli.json("stream", "info", path + "/all")["content_type"] == "text/plain"
    cli.run("stream", "create", path + "/x", "--from-stream", path + "/none", code=3)
    cli.run("stream", "create", path + "/x", "--from-stream", path, "--at-offset", middle[:-1] + "9", code=1)
    cli.run("stream", "create", path + "/x", "--from-stream", path, "-c", "text/html", code=5)
    assert b"one server" in cli.run("stream", "create", path + "/x", "--from-stream", "http://127.0.0.1:1/v1/stream/x", code=2).stderr


# --- streams

def test_streams_are_listed(cli, path):
    cli.make(path)
    cli.run("append", path, "--close", input=b"x")
    cli.make(path + "/b", "--ttl", "1h", type="application/json")
    cli.make(path + "/c", "--expires-at", "2100-01-02T03:04:05Z")
    lines = [json.loads(line) for line in cli.out("streams", "-p", path, "--json").splitlines()]
    assert [(one["path"], one["records"], one["closed"], one["ttl"]) for one in lines] == [
        (path, 1, True, None), (path + "/b", 0, False, 3600), (path + "/c", 0, False, None)]
    heading, *rows = [line.split() for line in cli.out("streams", "--prefix", path).decode().splitlines()]
    assert heading == ["RECORDS", "SIZE", "WAITS", "STATE", "AGE", "ENDS", "TYPE", "PATH"]
    assert [(row[0], row[4], row[-1]) for row in rows] == [
        ("1", "closed", path), ("0", "open", path + "/b"), ("0", "open", path + "/c")]
    assert ["idle", "1", "h"] == rows[1][7:10] and rows[2][7] == "in" and "application/json" in rows[1]


def test_a_list_of_streams_goes_on_where_it_ended(cli, path):
    for n in range(5):
        cli.make(f"{path}/{n}")
    first = cli.run("streams", "-p", path, "-n", "2", "--json")
    after = first.stderr.decode().split("--after ")[1].strip()
    rest = cli.run("streams", "-p", path, "--after", after, "--json")
    assert [json.loads(line)["path"] for line in (first.stdout + rest.stdout).splitlines()] == [f"{path}/{n}" for n in range(5)]
    assert not rest.stderr
    assert b"no such streams" in cli.run("streams", "-p", path + "/none").stderr


# --- append

def test_an_append_is_numbered_and_taken_once(cli, path):
    cli.make(path)
    number = ("append", path, "--producer", "p", "--producer-seq", "0")
    first = cli.json(*number, input=b"once")
    assert (first["appended"], first["duplicate"]) == (1, False)
    assert cli.json(*number, input=b"once") == {**first, "duplicate": True}
    assert cli.out("tail", path, "--no-follow") == b"once"


def test_create_makes_a_stream_that_is_missing_and_no_other(cli, path, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("1,2\n")
    cli.run("append", path, str(file), "--create")
    cli.run("append", path, str(file), "--create", "--close")
    told = cli.json("stream", "info", path)
    assert (told["content_type"], told["closed"]) == ("text/csv", True)
    assert cli.out("tail", path) == b"1,2\n1,2\n"


def test_only_closing_needs_nothing_to_append(cli, path):
    cli.make(path)
    assert cli.json("append", path, "--close")["closed"] is True
    assert cli.json("append", path, "--close", "--lines")["closed"] is True


@pytest.mark.parametrize("retry", [(), ("--retry", "5s")])
def test_bytes_arrive_as_they_were(cli, path, retry):
    everything = bytes(range(256)) * 20_000
    cli.make(path, type="application/octet-stream")
    cli.run("append", path, *retry, input=everything)
    cli.run("append", path, *retry, input=b"\0")
    assert cli.out("tail", path, "--no-follow") == everything + b"\0"


def test_each_line_is_an_append(server, cli, path):
    cli.make(path)
    lines = b"one\n\n  three\r\n" + b"x" * 300_000 + b"\nlast without an end"
    told = cli.json("append", path, "--lines", "--close", input=lines)
    assert (told["appended"], told["closed"]) == (5, True)
    assert cli.out("tail", path) == lines
    assert server.api.ok("GET", f"/v1/stream/{path}?limit=1").body == b"one\n"
    assert server.api.ok("GET", f"/v1/stream/{path}?limit=3").body == b"one\n\n  three\r\n"


def test_each_line_of_json_is_a_value_and_blank_ones_are_none(cli, path):
    cli.make(path, type="application/json; charset=utf-8")
    assert cli.json("append", path, "--lines", input=b'{"a":1}\n\n \r\n[2,[3]]\n"x"')["appended"] == 3
    assert cli.out("tail", path, "--no-follow") == b'{"a":1}\n2\n[3]\n"x"\n'


def test_nothing_behind_a_line_that_is_refused_is_taken(cli, path):
    cli.make(path, type="application/json")
    lines = [b"%d" % i for i in range(100)]
    lines[40] = b"{"
    failed = cli.run("append", path, "--lines", input=b"\n".join(lines), code=1)
    assert b"line 41" in failed.stderr and b": 40 lines" in failed.stderr
    assert cli.out("tail", path, "--no-follow").split() == lines[:40]


def test_lines_are_sent_as_they_come(cli, path):
    cli.make(path)
    reader = cli.start("tail", path)
    writer = cli.start("append", path, "--lines", "--close", stdin=subprocess.PIPE)
    for line in (b"one\n", b"two\n", b"three\n"):
        writer.stdin.write(line)
        writer.stdin.flush()
        assert take(reader, len(line)) == line
    end(writer)
    assert end(reader)[0] == b""


def test_the_same_lines_of_a_producer_may_be_sent_twice(cli, path):
    cli.make(path)
    lines = b"".join(b"%d\n" % i for i in range(200))
    for part in (lines[:100], lines):
        cli.run("append", path, "--lines", "--producer", "nightly", input=part[: part.rindex(b"\n") + 1])
    assert cli.out("tail", path, "--no-follow") == lines


# --- tail

def test_where_it_begins(cli, path):
    cli.make(path)
    middle = cli.out("append", path, input=b"one").decode().strip()
    cli.run("append", path, input=b"two")
    for start, what in (("start", b"onetwo"), (middle, b"two"), ("end", b""), ("now", b"")):
        assert cli.out("tail", path, "--no-follow", "--from", start) == what


def test_following_from_the_end_until_it_is_closed(server, cli, path):
    cli.make(path)
    cli.run("append", path, input=b"before")
    before = server.parked()
    reader = cli.start("tail", path, "--from", "end")
    server.until_parked(before + 1)
    for part in (b"one", b"two"):
        cli.run("append", path, input=part)
        assert take(reader, 3) == part
    cli.run("append", path, "--close", input=b"end")
    assert end(reader)[0] == b"end"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_and_tells_where_to_go_on(server, cli, path, number):
    cli.make(path)
    told = cli.out("append", path, input=b"x").decode().strip()
    before = server.parked()
    reader = cli.start("tail", path)
    assert take(reader, 1) == b"x"
    server.until_parked(before + 1)
    reader.send_signal(number)
    assert f"--from {told}" in end(reader)[1]


def test_who_follows_is_told_that_the_stream_is_gone(server, cli, path):
    cli.make(path)
    before = server.parked()
    reader = cli.start("tail", path)
    server.until_parked(before + 1)
    cli.run("stream", "delete", path)
    end(reader, 3)


def told(cli, path, *arguments):
    return [json.loads(line) for line in cli.out("tail", path, "--no-follow", "--json", *arguments).splitlines()]


def test_json_tells_each_record_with_its_place(cli, path):
    start = cli.make(path, type="application/octet-stream") and cli.json("stream", "info", path)["offset"]
    parts = ["text \u20ac\n".encode(), b"\xff\x00", b"\xfe" + b"y" * (2 << 20), b"z" * (2 << 20), b"end"]
    offsets = [start] + [cli.out("append", path, input=part).decode().strip() for part in parts]
    lines = told(cli, path)
    assert [(one["offset"], one["next"]) for one in lines] == list(zip(offsets, offsets[1:]))
    assert [one["value"].encode() if isinstance(one["value"], str) else base64.b64decode(one["value"]["base64"]) for one in lines] == parts
    assert [one["timestamp"] is not None for one in lines] == [True, True, False, False, True]
    for n, one in enumerate(lines):
        assert told(cli, path, "--from", one["next"]) == lines[n + 1:]


def test_of_a_stream_of_json_a_record_a_line(cli, path):
    cli.make(path, type="application/json")
    end = cli.out("append", path, input=b'[{"a":\n [1,\r\n2]}, "x\\ny" ,null,1e999, ",\\"value\\":"]').decode().strip()
    assert cli.out("tail", path, "--no-follow").splitlines() == [
        b'{"a":  [1,  2]}', b'"x\\ny"', b"null", b"1e999", b'",\\"value\\":"']
    lines = cli.out("tail", path, "--no-follow", "--json").replace(b"1e999", b'"big"').splitlines()
    lines = [json.loads(line) for line in lines]
    assert [one["value"] for one in lines] == [{"a": [1, 2]}, "x\ny", None, "big", ',"value":'] and lines[-1]["next"] == end
    assert cli.out("tail", path, "--no-follow", "--from", "end") == b""
    assert cli.out("tail", path, "--no-follow", "--from", lines[1]["next"]).splitlines()[0] == b"null"
    assert cli.out("tail", path, "--no-follow", "--format", "%v\\n").splitlines()[3] == b"1e999"


def test_a_format_says_how_a_record_is_written(cli, path):
    cli.make(path)
    start = cli.json("stream", "info", path)["offset"]
    end = cli.out("append", path, input=b"one").decode().strip()
    assert cli.out("tail", path, "--no-follow", "--format", r"%o %n [%k] %v%%\t\\\n\0").decode() == f"{start} {end} [] one%\t\\\n\0"
    assert cli.out("tail", path, "--no-follow", "--format", "%t").endswith(b"Z")
    cli.run("append", path, input=b"x" * 3_000_000)
    cli.run("append", path, input=b"\xff\0")
    assert cli.out("tail", path, "--no-follow", "--format", "%v|") == b"one|" + b"x" * 3_000_000 + b"|\xff\0|"


def test_records_are_followed_until_the_end(server, cli, path):
    cli.make(path, type="application/json")
    before = server.parked()
    reader = cli.start("tail", path, "--format", "%v\\n", "--follow")
    server.until_parked(before + 1)
    for value in (b"[1,2]", b"3"):
        cli.run("append", path, input=value)
        expected = value.strip(b"[]").replace(b",", b"\n") + b"\n"
        assert take(reader, len(expected)) == expected
    cli.run("append", path, "--close", input=b"4")
    assert end(reader)[0] == b"4\n"


def test_keys_are_written_and_read(cli, path):
    cli.make(path)
    for key, value in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        cli.run("append", path, "--key", key, input=value)
    cli.run("append", path, input=b"none")
    assert cli.out("tail", path, "--no-follow", "--key", "a") == b"13"
    assert cli.out("tail", path, "--no-follow", "--format", "%k=%v ") == b"a=1 b=2 a=3 =none "
    assert [(one["key"], one["value"]) for one in told(cli, path, "-k", "b")] == [("b", "2")]
    assert told(cli, path, "-k", "c") == []


def test_who_follows_a_key_hears_of_it_alone(server, cli, path):
    cli.make(path)
    before = server.parked()
    reader = cli.start("tail", path, "--key", "mine", "--from", "end")
    server.until_parked(before + 1)
    for n in range(20):
        cli.run("append", path, "--key", "other", input=b"x" * 1000)
    assert cli.json("append", path, "--key", "mine", input=b"one")["woken"] == 1
    assert take(reader, 3) == b"one"
    cli.run("append", path, "--close", "--key", "mine", input=b"two")
    assert end(reader)[0] == b"two"


def test_lines_have_what_is_said_of_records(cli, path):
    cli.make(path)
    cli.run("append", path, "--lines", "--key", "k", "--ttl", "1h", input=b"".join(b"%d\n" % n for n in range(100)))
    assert [one["key"] for one in told(cli, path)] == ["k"] * 100
    cli.run("append", path, "--lines", "--key", "last", "--replace", input=b"".join(b"%d\n" % n for n in range(100)))
    assert [one["value"] for one in told(cli, path, "-k", "last")] == ["99\n"]


def test_an_append_tells_whom_it_woke_and_may_be_kept_for_them_only(server, cli, path):
    cli.make(path)
    assert b"woke 0 waits" in cli.run("append", path, "-v", "--if-waiting", input=b"lost").stderr
    before = server.parked()
    readers = [cli.start("tail", path) for _ in range(2)]
    server.until_parked(before + 2)
    assert b"woke 2 waits" in cli.run("append", path, "-v", "--if-waiting", input=b"kept").stderr
    cli.run("append", path, "--close")
    assert [end(reader)[0] for reader in readers] == [b"kept"] * 2


def test_what_a_stream_keeps_is_said_when_it_is_made(cli, path):
    cli.make(path, "--retention", "90m", "--max-bytes", "64k")
    made = cli.json("stream", "info", path)
    assert (made["max_age_s"], made["max_bytes"]) == (5400, 65536)
    assert b"keeps     5400 s\nat most   65536 bytes\n" in cli.out("stream", "info", path)
    listed = json.loads(cli.out("streams", "-p", path, "--json"))
    assert (listed["max_age"], listed["max_bytes"]) == (5400, 65536)
    cli.run("stream", "create", path, "-c", "text/plain", code=5)
    for _ in range(10):
        cli.run("append", path, input=b"x" * 30_000)
    said = cli.run("tail", path, "--no-follow", "--from", made["offset"], code=12).stderr.decode()
    assert said.count("--from") == 1
    cli.run("tail", path, "--no-follow", "--from", said.split("--from ")[1].strip())


@pytest.mark.parametrize("type", ["text/plain", "application/json"])
def test_the_last_records_and_those_since_a_time(cli, path, type):
    cli.make(path, type=type)
    cli.run("append", path, "--lines", input=b"".join(b"%d\n" % n for n in range(10)))
    everything = b"".join(b"%d\n" % n for n in range(10))
    for last in (1, 3, 10, 1000):
        assert cli.out("tail", path, "--no-follow", "--from", f"-{last}") == everything[-2 * last:]
    lines = told(cli, path)
    for start, what in (("2020-01-02", everything), (lines[0]["timestamp"], everything), ("2100-01-02T03:04:05Z", b"")):
        assert cli.out("tail", path, "--no-follow", "--from", start) == what
    assert told(cli, path, "-f", "-2") == lines[-2:]
    assert b"RFC 3339" in cli.run("tail", path, "--from", "2020-13-45", code=1).stderr
    cli.run("append", path, "--close")
    assert cli.out("tail", path, "--from", "-2") == everything[-4:]
    assert cli.out("tail", path, "--from", "2100-01-02") == b""


def test_the_last_of_nothing_is_followed(server, cli, path):
    cli.make(path)
    before = server.parked()
    reader = cli.start("tail", path, "--from", "-5")
    server.until_parked(before + 1)
    cli.run("append", path, "--close", input=b"x")
    assert end(reader)[0] == b"x"


def test_a_long_record_may_be_the_last(cli, path):
    cli.make(path)
    cli.run("append", path, input=b"a")
    cli.run("append", path, input=b"y" * 2_000_000)
    assert cli.out("tail", path, "--no-follow", "--from", "-1") == b"y" * 2_000_000
    assert cli.out("tail", path, "--no-follow", "--from", "-2") == b"a" + b"y" * 2_000_000


def test_a_file_grows_as_the_bytes_come(server, cli, path, tmp_path):
    cli.make(path)
    file = tmp_path / "copy"
    file.write_bytes(b"what was there before")
    reader = cli.start("tail", path, "-o", str(file))
    cli.run("append", path, input=b"one")
    server.eventually(lambda: file.read_bytes() == b"one", "the first bytes are in the file")
    cli.run("append", path, "--close", input=b"two")
    assert end(reader)[0] == b"" and file.read_bytes() == b"onetwo"


@pytest.mark.parametrize("more", [(), ("--format", "%v")])
def test_what_is_no_text_is_not_for_a_terminal(cli, path, more):
    cli.make(path, type="application/octet-stream")
    cli.run("append", path, input=b"\x1b]0;\xff\0")
    master, slave = os.openpty()
    try:
        told = end(cli.start("tail", path, "--no-follow", *more, stdout=slave), 1)[1]
        assert "terminal" in told and not select.select([master], [], [], 0)[0]
        assert json.loads(cli.out("tail", path, "--no-follow", "--json"))["value"]["base64"]
    finally:
        os.close(master)
        os.close(slave)


def test_a_reader_who_has_enough_ends_it(cli, path):
    cli.make(path)
    cli.run("append", path, input=b"x" * 1_000_000)
    cli.run("append", path, input=b"x" * 1_000_000)
    reader = cli.start("tail", path)
    take(reader, 10)
    reader.stdout.close()
    assert reader.wait(DEADLINE_S) == 1 and reader.stderr.read().count(b"cannot") == 0


# --- connections that break

@pytest.fixture
def relay(server):
    made = []

    def make(limits):
        made.append(Relay(server.port, limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_lines_whose_answers_were_lost_are_not_taken_twice(cli, path, relay):
    broken = relay([350, 5000, 1, 77, 9000, 2, 3000, 400, 12345, 5])
    lines = b"".join(b"%d\n" % i for i in range(2000))
    cli.make(path)
    told = cli.json("append", path, "--lines", "--server", f"http://127.0.0.1:{broken.port}", input=lines)
    assert told["appended"] == 2000 and not broken.limits
    assert cli.out("tail", path, "--no-follow") == lines


@pytest.mark.parametrize("more", [(), ("--json",), ("--format", "%v")])
def test_an_answer_that_breaks_off_is_gone_on_with(cli, path, relay, more):
    broken = relay([600, 100, 50_000, 700_000, 1, 1_000_000])
    cli.make(path)
    parts = [b"%d:" % i + os.urandom(150_000).hex().encode() for i in range(5)]
    for part in parts:
        cli.run("append", path, input=part)
    got = cli.out("tail", path, "--no-follow", "--server", f"http://127.0.0.1:{broken.port}", *more)
    if "--json" in more:
        got = b"".join(json.loads(line)["value"].encode() for line in got.splitlines())
    assert got == b"".join(parts) and not broken.limits


# --- a server that goes away

def stop(server, how):
    if how == "kill":
        server.kill9()
    else:
        assert server.stop() == 0


@pytest.mark.parametrize("how,more", [("kill", ()), ("stop", ()), ("kill", ("--format", "%v"))])
def test_lines_are_neither_lost_nor_doubled_when_the_server_restarts(fresh, cli_of, how, more):
    server = fresh()
    cli, lines = cli_of(server), [b"line %d\n" % i for i in range(3000)]
    cli.make("log")
    reader, writer = cli.start("tail", "log", *more), cli.start("append", "log", "--lines", "--close", stdin=subprocess.PIPE)
    got = b""
    for begin in range(0, 3000, 1000):
        writer.stdin.write(b"".join(lines[begin:begin + 1000]))
        writer.stdin.flush()
        got += take(reader, len(lines[begin]))  # it is in the middle of them
        stop(server, how)
        server.start()
    writer.stdin.close()
    writer.stdin = None
    told = end(writer)[1]
    out, said = end(reader)
    assert got + out == b"".join(lines)
    assert "away" in told + said or "later" in told + said


def test_an_append_is_taken_once_by_a_server_that_comes_up_later(fresh, cli_of):
    server = fresh()
    cli = cli_of(server)
    cli.make("late")
    server.kill9()
    writer = cli.start("append", "late", "-c", "text/plain", "--retry", "60s", stdin=subprocess.PIPE)
    writer.stdin.write(b"patience")
    writer.stdin.close()
    writer.stdin = None
    assert b"away" in writer.stderr.readline()
    server.start()
    end(writer)
    assert cli.out("tail", "late", "--no-follow") == b"patience"


def test_who_follows_from_the_end_misses_nothing_while_the_server_is_away(fresh, cli_of):
    server = fresh()
    cli = cli_of(server)
    cli.make("log")
    cli.run("append", "log", input=b"before")
    reader = cli.start("tail", "log", "--from", "end")
    server.until_parked(1)
    server.kill9()
    assert b"away" in reader.stderr.readline()
    server.start()
    cli.run("append", "log", "--close", input=b"after")
    assert end(reader)[0] == b"after"
