"""What a command writes while it runs: sent by `bide work`, shown by --follow, on good days and bad ones."""

import json
import re
import signal
import time

import pytest

from bide_program import CANCELED, HERE, JOB_FAILED, NOT_FOUND, OK, TIMED_OUT, USAGE, WAIT, Gate, Program, bide, ok, submit
from bide_server import SLOW


@pytest.fixture
def gate(tmp_path):
    one = Gate(tmp_path)
    yield one
    one.close()


def work(server, *words, script, gate=None):
    return Program(server, "work", *words, "--", "sh", "-c", script, env=gate.env if gate else {})


def once(server, queue, script, *options, **more):
    return bide(server, "work", queue, "--once", *options, "--", "sh", "-c", script, **more)


def output(server, handle):
    answer = server.api.ok("GET", f"/v1/jobs/{handle}/output?offset=-1")
    assert answer.header("stream-closed") == "true"
    return answer.body.decode()


# -- shown as it comes


def test_shown_while_it_is_written_and_apart_from_the_verdict(server, queue, gate):
    handle = submit(server, queue)
    with Program(server, "wait", "--follow", handle) as follower:
        with work(server, queue, "--once", script=f"{HERE}; echo one >&2; {WAIT}; echo two >&2; {WAIT}; echo result",
                  gate=gate) as worker:
            gate.arrived()
            follower.until("^one\n")
            assert b"two" not in follower.text["err"]
            gate.open()
            follower.until("^two\n")
            gate.open()
            assert worker.end().code == OK
        said = follower.end()
    assert said.code == OK and said.err == "one\ntwo\n"
    assert re.fullmatch(rf"{handle} done  7 B application/octet-stream  in .*\n", said.out)


def test_with_the_result_on_stdout(server, queue, gate, tmp_path):
    handle = submit(server, queue)
    with Program(server, "result", "--follow", handle) as follower:
        assert once(server, queue, "printf 'no end of line' >&2; printf bytes").code == OK
        said = follower.end()
    assert said.code == OK and said.out == "bytes" and said.err == "no end of line\n"
    said = ok(server, "result", "--follow", handle, "-o", tmp_path / "result")  # over already: the same
    assert said.err == "no end of line\n" and (tmp_path / "result").read_bytes() == b"bytes"


def test_from_submit_to_result_in_one(server, queue):
    with Program(server, "submit", queue, "--text", "shout", "--wait", "--follow") as client:
        client.until("submitted as")
        assert once(server, queue, "echo at it >&2; tr a-z A-Z", "--idle", "30s").code == OK
        said = client.end()
    assert said.code == OK and said.out == "SHOUT"
    assert re.fullmatch(r"bide: submitted as \w{32}\nat it\n", said.err)


def test_how_it_ends(server, api, queue):
    handle = submit(server, queue, "", "--max-attempts", "1")
    assert once(server, queue, "echo alas >&2; exit 3").code == JOB_FAILED
    said = bide(server, "wait", "--follow", handle)
    assert said.code == JOB_FAILED and said.err == "alas\n" and "failed" in said.out
    handle = submit(server, queue)
    with Program(server, "wait", "--follow", handle) as follower:
        ok(server, "cancel", handle)
        said = follower.end()
    assert said.code == CANCELED and said.err == "" and "canceled" in said.out
    said = bide(server, "wait", "--follow", "0" * 32)
    assert said.code == NOT_FOUND and "no handle of this server" in said.err
    said = bide(server, "wait", "--follow", submit(server, queue), "--timeout", "50ms")
    assert said.code == TIMED_OUT and "time is up" in said.err
    job = ok(server, "wait", "--follow", "--json", submit_done(server, queue)).json()
    assert job["state"] == "done"


def submit_done(server, queue):
    queue += "-done"
    handle = submit(server, queue)
    assert once(server, queue, "echo x >&2").code == OK
    return handle


@pytest.mark.parametrize("words", [("wait", "--follow", "a", "b"), ("wait", "--follow", "a", "--until", "running"),
                                   ("submit", "q", "--text", "x", "--follow"),
                                   ("work", "q", "--output", "all", "--", "true")])
def test_what_makes_no_sense(server, words):
    assert bide(server, *words).code == USAGE


# -- what is written


@pytest.mark.parametrize("which, expected", [("stderr", "e\n"), ("stdout", "o\n"), ("none", "")])
def test_what_is_chosen(server, queue, which, expected):
    handle = submit(server, queue)
    said = once(server, queue, "echo e >&2; echo o", "--output", which)
    assert said.code == OK and "e\n" in said.err
    assert output(server, handle) == expected and ok(server, "result", handle).out == "o\n"


def test_both_in_the_order_in_which_they_came(server, queue, gate):
    handle = submit(server, queue)
    with Program(server, "wait", "--follow", handle) as follower:
        with work(server, queue, "--once", "--output", "both",
                  script=f"echo out; {HERE}; {WAIT}; echo err >&2; {HERE}; {WAIT}; echo end", gate=gate) as worker:
            for seen in ("^out\n", "^err\n"):
                gate.arrived()
                follower.until(seen)
                gate.open()
            assert worker.end().code == OK
        assert follower.end().err == "out\nerr\nend\n"
    assert ok(server, "result", handle).out == "out\nend\n"


def test_a_large_result_through_the_pipe(server, queue, tmp_path):
    handle = submit(server, queue)
    assert once(server, queue, "seq 1 200000", "--output", "stdout").code == OK
    expected = "".join(f"{i}\n" for i in range(1, 200001))
    assert ok(server, "result", handle).out == expected
    assert ok(server, "result", "--follow", handle).err == expected


def test_a_line_that_is_drawn_over_goes_out_each_time(server, queue, gate):
    handle = submit(server, queue)
    with Program(server, "wait", "--follow", handle) as follower:
        with work(server, queue, "--once", script=f"printf 'frame 1\\r' >&2; {HERE}; {WAIT}; printf 'frame 2\\r' >&2",
                  gate=gate) as worker:
            gate.arrived()
            follower.until("frame 1\r")
            gate.open()
            assert worker.end().code == OK
        assert "frame 1\rframe 2\r" in follower.end().err


def test_a_later_attempt_begins_with_a_line_that_says_so(fresh, queue):
    server = fresh("--retry-base", "1ms")
    handle = submit(server, queue)
    with work(server, queue, "--max-jobs", "2", script='echo "try $BIDE_ATTEMPT" >&2; [ "$BIDE_ATTEMPT" = 2 ]') as worker:
        assert worker.end().code == OK
    assert output(server, handle) == "try 1\n\n--- attempt 2 ---\ntry 2\n"


def test_a_canceled_command_writes_no_more(server, queue, gate):
    handle = submit(server, queue, "", "--lease", "3s")
    with work(server, queue, "--once", script=f"trap 'echo late >&2; exit 0' TERM; echo early >&2; {HERE}; while :; do {WAIT}; done",
              gate=gate) as worker:
        gate.arrived()
        server.eventually(lambda: b"early" in server.api.get(f"/v1/jobs/{handle}/output").body, "it has written")
        ok(server, "cancel", handle)
        said = worker.end()
    assert said.code == CANCELED and "late" in said.err
    assert output(server, handle) == "early\n"


# -- bad days


def test_nothing_is_lost_or_doubled_when_the_server_is_killed(fresh, queue, gate):
    server = fresh()
    handle = submit(server, queue)
    with Program(server, "wait", "--follow", "--retry", "1m", handle) as follower, \
            work(server, queue, "--once", script=f"{HERE}; for i in 1 2 3 4 5 6; do {WAIT}; echo $i >&2; {HERE}; done; echo r",
                 gate=gate) as worker:
        gate.arrived()
        for i in range(1, 7):
            if i % 2 == 0:
                server.kill9()
            gate.open()
            gate.arrived()
            if i % 2 == 0:
                server.start()
            follower.until(f"^{i}\n")
        assert worker.end().code == OK
        said = follower.end()
    assert said.code == OK
    assert [line for line in said.err.splitlines() if not line.startswith("bide")] == ["1", "2", "3", "4", "5", "6"]
    assert output(server, handle) == "1\n2\n3\n4\n5\n6\n"


def test_an_output_that_is_full_does_not_fail_the_job(fresh, queue):
    server = fresh("--max-output-bytes", "4K")
    handle = submit(server, queue)
    said = once(server, queue, "echo begin >&2; head -c 300000 /dev/zero | tr '\\0' x >&2; echo result")
    assert said.code == OK and said.err.count("takes no more output") == 1
    assert ok(server, "result", handle).out == "result\n"
    assert output(server, handle) in ("begin\n", "")


def test_a_server_that_is_away_holds_the_command_up_for_some_seconds_only(fresh, queue, gate):
    server = fresh()
    handle = submit(server, queue, "", "--lease", "10m")
    script = f"echo begin >&2; {HERE}; {WAIT}; seq 1 100000 >&2; echo end >&2; {WAIT}; echo result"
    with work(server, queue, "--once", script=script, gate=gate) as worker:
        gate.arrived()
        server.eventually(lambda: server.api.get(f"/v1/jobs/{handle}/output").body, "it has written")
        server.kill9()
        gate.open()
        worker.until("^end\n")  # all was written although nobody took it
        server.start()
        server.eventually(lambda: b"left out" in server.api.get(f"/v1/jobs/{handle}/output").body, "it is taken again")
        gate.open()
        said = worker.end()
    assert said.code == OK and said.err.count("some is left out") == 1
    told = output(server, handle)
    left_out = int(re.search(r"\n--- (\d+) bytes left out ---\n", told)[1])
    whole = "begin\n" + "".join(f"{i}\n" for i in range(1, 100001)) + "end\n"
    assert whole.startswith(told.split("\n---")[0]) and left_out == len(whole) - len(told.split("\n---")[0])
    assert ok(server, "result", handle).out == "result\n"


def test_json_of_the_worker_tells_of_trouble(fresh, queue):
    server = fresh("--max-output-bytes", "1K")
    submit(server, queue)
    said = once(server, queue, "head -c 3000 /dev/zero >&2", "--json")
    events = [json.loads(line)["event"] for line in said.lines()]
    assert events == ["started", "output", "done"]


def test_a_follower_that_is_stopped(server, queue):
    handle = submit(server, queue)
    with Program(server, "wait", "--follow", handle) as follower:
        server.until_parked(1)
        follower.signal(signal.SIGTERM)
        follower.process.wait()
    assert once(server, queue, "true").code == OK


def test_a_server_without_room_for_it_does_not_hold_the_end_up(fresh, queue):
    server = fresh("--max-streams", "1")
    server.api.ok("PUT", "/v1/stream/the/only/one", b"", {"Content-Type": "text/plain"}, 201)
    handle = submit(server, queue)
    began = time.monotonic()
    said = once(server, queue, "echo lost >&2; echo result")
    assert said.code == OK and said.err.count("did not take the last of its output") == 1
    assert time.monotonic() - began < 4 * SLOW
    assert output(server, handle) == "" and ok(server, "result", handle).out == "result\n"
