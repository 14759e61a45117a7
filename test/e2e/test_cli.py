"""The client commands against a server: submit, wait, result, cancel, jobs, queues; what they print and how they end."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from bide_program import (CANCELED, CONFLICT, EXPIRED, FAILED, JOB_FAILED, NOT_FOUND, OK, TIMED_OUT, UNREACHABLE, USAGE,
                          Program, bide, environment, ok, submit)
from bide_relay import Relay
from bide_server import BIN

HANDLE = r"[a-z0-9]{32}"


def claim_one(api, queue):
    lease = api.claim_one(queue)
    assert lease, f"no job in {queue}"
    return lease


def done(server, queue, result=b"", content_type="text/plain", text=""):
    """The handle of a job that is done."""
    handle = submit(server, queue, text)
    server.api.done(claim_one(server.api, queue), result, content_type)
    return handle


def failed(server, queue, title="it broke"):
    handle = submit(server, queue)
    server.api.fail(claim_one(server.api, queue), error={"title": title, "detail": "in the middle"}, retry=False)
    return handle


def canceled(server, queue):
    handle = submit(server, queue)
    server.api.ok("DELETE", f"/v1/jobs/{handle}")
    return handle


# -- submit


def test_submit_prints_the_handle_and_nothing_else(server, api, queue):
    said = ok(server, "submit", queue, stdin=b"from stdin")
    assert re.fullmatch(HANDLE + "\n", said.out) and not said.err
    lease = claim_one(api, queue)
    assert lease.id == said.out.strip() and lease.body == b"from stdin"
    assert lease.fields.header("content-type") == "application/octet-stream"


@pytest.mark.parametrize("name, content_type", [("cat.jpg", "image/jpeg"), ("data.json", "application/json"),
                                                ("odd.xyzzy", "application/octet-stream")])
def test_submit_sends_a_file_with_the_type_its_name_says(server, api, queue, tmp_path, name, content_type):
    (tmp_path / name).write_bytes(b"\0\1bytes" * 30000)
    ok(server, "submit", queue, tmp_path / name)
    lease = claim_one(api, queue)
    assert lease.body == b"\0\1bytes" * 30000 and lease.fields.header("content-type") == content_type


def test_submit_takes_dash_for_stdin_and_a_content_type(server, api, queue):
    ok(server, "submit", queue, "-", "-c", "text/x-odd", stdin=b"dash")
    lease = claim_one(api, queue)
    assert lease.body == b"dash" and lease.fields.header("content-type") == "text/x-odd"


def test_submit_takes_an_empty_file_and_what_a_pipe_brings(server, api, queue, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    ok(server, "submit", queue, tmp_path / "empty")
    assert claim_one(api, queue).body == b""
    ok(server, "submit", queue, stdin=b"x" * 3_000_000)
    assert len(claim_one(api, queue).body) == 3_000_000


def test_submit_with_options_that_become_the_jobs_own(server, api, queue):
    submit(server, queue, "later", "--delay", "1h")
    handle = submit(server, queue, "second", "--priority", "2000", "--max-attempts", "1", "--lease", "7s")
    first = submit(server, queue, "first", "--priority=1", "--retain", "1h")
    assert claim_one(api, queue).id == first
    lease = claim_one(api, queue)
    assert lease.id == handle and lease.body == b"second" and lease.fields.header("content-type") == "text/plain; charset=utf-8"
    assert api.queue(queue)["counts"]["delayed"] == 1
    api.fail(lease, error="no")
    assert api.job(handle)["state"] == "failed"


def test_submit_cancel_after(server, queue):
    handle = submit(server, queue, "x", "--cancel-after", "1ms")
    assert bide(server, "wait", handle).code == CANCELED


def test_a_name_gives_the_same_job_and_another_request_under_it_is_a_conflict(server, queue):
    first = submit(server, queue, "a", "--name", "one")
    assert submit(server, queue, "a", "--name", "one") == first
    said = bide(server, "submit", queue, "--text", "b", "--name", "one")
    assert said.code == CONFLICT and not said.out and "name" in said.err


def test_a_key_gives_the_same_job_and_another_request_under_it_is_a_conflict(server, queue):
    first = submit(server, queue, "a", "-k", "key-1")
    assert submit(server, queue, "a", "--key=key-1") == first
    assert submit(server, queue, "a", "--key=key-2") != first
    assert bide(server, "submit", queue, "--text", "b", "--key=key-1").code == CONFLICT


def test_submit_json_is_the_job(server, queue):
    job = ok(server, "submit", queue, "--text", "x", "--json").json()
    assert job["queue"] == queue and job["state"] == "ready" and re.fullmatch(HANDLE, job["id"])


def test_submit_wait_writes_the_result_and_nothing_else_to_stdout(server, api, queue, tmp_path):
    with Program(server, "submit", queue, "--wait", "--text", "shout") as program:
        lease = api.claim_one(queue, wait="20s")
        api.done(lease, b"SHOUT\0\n")
        said = program.end()
    assert said.code == OK and said.bytes == b"SHOUT\0\n"
    with Program(server, "submit", queue, "--wait=20s", "--text", "again", "-o", tmp_path / "result") as program:
        lease = api.claim_one(queue, wait="20s")
        assert not os.path.exists(tmp_path / "result"), "it appears only when it is whole"
        api.done(lease, b"AGAIN")
        said = program.end()
    assert said.code == OK and not said.bytes and (tmp_path / "result").read_bytes() == b"AGAIN"
    assert os.listdir(tmp_path) == ["result"]


def test_submit_wait_of_a_job_that_fails_leaves_no_file(server, api, queue, tmp_path):
    with Program(server, "submit", queue, "--wait", "--text", "x", "-o", tmp_path / "result") as program:
        api.fail(api.claim_one(queue, wait="20s"), error={"title": "no such film"}, retry=False)
        said = program.end()
    assert said.code == JOB_FAILED and "no such film" in said.err and not os.listdir(tmp_path)


def test_submit_wait_gives_up_in_time_and_says_how_to_go_on(server, queue):
    said = bide(server, "submit", queue, "--wait=50ms", "--text", "x")
    assert said.code == TIMED_OUT and not said.out and re.search(HANDLE, said.err)


def test_submit_wait_json_tells_how_the_job_ended(server, api, queue):
    with Program(server, "submit", queue, "--wait", "--json", "--text", "x") as program:
        api.done(api.claim_one(queue, wait="20s"), b"y")
        said = program.end()
    job = said.json()
    assert said.code == OK and job["state"] == "done" and job["result"]["size"] == 1


def test_what_cannot_be_submitted(server, queue, tmp_path):
    assert bide(server, "submit", queue, tmp_path / "missing").code == NOT_FOUND
    said = bide(server, "submit", queue, tmp_path)
    assert said.code == FAILED and "tar" in said.err
    assert bide(server, "submit", ".hidden", "--text", "x").code == FAILED
    assert bide(server, "jobs", "--queue", queue, "--json").out == ""


# -- progress


def test_progress_is_drawn_only_on_a_terminal(server, api, queue, tmp_path):
    (tmp_path / "body").write_bytes(b"b" * 2_000_000)
    with Program(server, "submit", queue, tmp_path / "body", "--wait", terminal="err") as program:
        lease = api.claim_one(queue, wait="20s")
        api.beat(lease, progress=0.25, message="a quarter")
        program.until(r"\[.*\].* 25%  a quarter", "screen")
        api.done(lease, b"end of it")
        said = program.end()
    assert said.code == OK and said.bytes == b"end of it", "progress stays off stdout"
    for words in (["--wait"], ["--wait", "-q"]):
        with Program(server, "submit", queue, "--text", "x", *words) as program:
            lease = api.claim_one(queue, wait="20s")
            api.beat(lease, progress=0.25, message="a quarter")
            api.done(lease, b"y")
            said = program.end()
        assert "quarter" not in said.err and "\033" not in said.err and ("-q" not in words or not said.err)


def test_wait_draws_progress_on_a_terminal_and_clears_it(server, api, queue):
    handle = submit(server, queue)
    with Program(server, "wait", handle, terminal="err") as program:
        program.until("waiting for a worker", "screen")
        lease = claim_one(api, queue)
        api.beat(lease, progress=0.5, message="half\033[2J way")
        program.until(r"50%  half \[2J way", "screen")
        api.done(lease, b"")
        said = program.end()
        screen = program.text["screen"]
    assert said.code == OK and said.out.startswith(f"{handle} done")
    assert screen.endswith(b"\r\033[J"), "nothing is left behind"
    assert b"\033[2J" not in screen, "what a worker says cannot clear a terminal"


def test_a_dumb_terminal_gets_no_drawing(server, api, queue):
    handle = submit(server, queue)
    with Program(server, "wait", handle, terminal="err", env={"TERM": "dumb"}) as program:
        server.until_parked(1)
        api.done(claim_one(api, queue), b"")
        program.end()
        assert program.text["screen"] == b""


def test_wait_progress_shows_changes_as_lines_or_json(server, api, queue):
    for words, name in ((["-p"], "err"), (["-p", "--json"], "out")):
        handle = submit(server, queue)
        with Program(server, "wait", handle, *words) as program:
            server.until_parked(1)
            lease = claim_one(api, queue)
            program.until("running", name)
            api.beat(lease, progress=0.75, message="soon")
            program.until("75% soon" if name == "err" else '"progress":0.75', name)
            api.done(lease, b"")
            said = program.end()
        assert said.code == OK
        if name == "out":
            states = [json.loads(line)["state"] for line in said.lines()]
            assert states[-1] == "done" and states.count("done") == 1 and "running" in states


# -- wait


def test_wait_tells_how_a_job_ended(server, queue):
    for handle, code, words in ((done(server, queue, b"12345"), OK, "done  5 B text/plain"),
                                (failed(server, queue), JOB_FAILED, "failed  it broke: in the middle"),
                                (canceled(server, queue), CANCELED, "canceled")):
        said = bide(server, "wait", handle)
        assert said.code == code and said.out.startswith(f"{handle} {words}"), said
        assert len(said.lines()) == 1 and not said.err


def test_wait_that_is_held_is_woken(server, api, queue):
    handle = submit(server, queue)
    with Program(server, "wait", handle) as program:
        server.until_parked(1)
        api.done(claim_one(api, queue), b"late")
        assert program.end().code == OK


def test_wait_of_a_job_that_nobody_knows_or_that_is_forgotten(server, api, queue):
    assert bide(server, "wait", "0" * 32).code == NOT_FOUND
    handle = submit(server, queue, "x", "--retain", "0")
    api.done(claim_one(api, queue), b"")
    server.eventually(lambda: api.get(f"/v1/jobs/{handle}").status == 410, "the job is past its retention")
    for command in ("wait", "result"):
        said = bide(server, command, handle)
        assert said.code == EXPIRED and not said.out, said


def test_wait_times_out_and_only_looks_with_zero(server, queue):
    handle = submit(server, queue)
    for timeout in ("0", "20ms"):
        said = bide(server, "wait", handle, "-t", timeout)
        assert said.code == TIMED_OUT and "nothing is lost" in said.err and not said.out
    assert not bide(server, "wait", handle, "-t0", "-q").err


def test_wait_for_several_ends_with_the_gravest(server, queue):
    good, bad, gone = done(server, queue), failed(server, queue), canceled(server, queue)
    unknown = "0" * 32
    for handles, code in (([good], OK), ([good, bad], JOB_FAILED), ([gone, bad, good], CANCELED), ([good, unknown], NOT_FOUND)):
        said = bide(server, "wait", *handles)
        assert said.code == code, (handles, said)
        assert {line.split()[0] for line in said.lines()} == set(handles) - {unknown}
    assert len(bide(server, "wait", good, good, good).lines()) == 1, "a handle given twice is waited for once"


def test_wait_any_ends_with_the_first(server, api, queue):
    handles = [submit(server, queue, str(i)) for i in range(3)]
    with Program(server, "wait", "--any", *handles) as program:
        server.until_parked(3)
        lease = claim_one(api, queue)
        api.fail(lease, error="early", retry=False)
        said = program.end()
    assert said.code == JOB_FAILED and [line.split()[0] for line in said.lines()] == [lease.id]


def test_wait_for_very_many(server, api, queue):
    handles = [api.submit(queue)["id"] for _ in range(150)]
    with Program(server, "wait", *handles, "0" * 32) as program:
        server.until_parked(1)
        for _ in handles:
            api.done(claim_one(api, queue), b"")
        said = program.end()
    assert said.code == NOT_FOUND and {line.split()[0] for line in said.lines()} == set(handles)
    with Program(server, "wait", "--any", *[api.submit(queue)["id"] for _ in range(150)]) as program:
        server.until_parked(1)
        lease = claim_one(api, queue)
        api.done(lease, b"")
        said = program.end()
    assert said.code == OK and said.lines()[0].split()[0] == lease.id


def test_wait_until_a_job_has_come_as_far(server, api, queue):
    handle = submit(server, queue)
    assert ok(server, "wait", handle, "--until", "ready").out.startswith(f"{handle} ready")
    with Program(server, "wait", handle, "--until=running") as program:
        server.until_parked(1)
        lease = claim_one(api, queue)
        said = program.end()
    assert said.code == OK and said.out.startswith(f"{handle} running")
    api.done(lease, b"")


def test_wait_takes_a_url_and_json_prints_the_job(server, queue):
    handle = done(server, queue, b"x")
    said = ok("http://127.0.0.1:1", "wait", "--json", f"http://127.0.0.1:{server.port}/v1/jobs/{handle}/result")
    assert said.json()["id"] == handle


def test_wait_endures_a_restart(fresh, queue):
    server = fresh()
    handle = submit(server, queue)
    with Program(server, "wait", handle) as program:
        server.until_parked(1)
        server.kill9()
        program.until("the server is away")
        server.start()
        server.until_parked(1)
        server.api.done(claim_one(server.api, queue), b"")
        assert program.end().code == OK


# -- result


def test_result_streams_to_a_pipe_and_into_a_file(server, queue, tmp_path):
    body = os.urandom(3_000_000)
    handle = done(server, queue, body, "application/zip")
    assert ok(server, "result", handle).bytes == body
    said = ok(server, "result", handle, "-o", tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == body and not said.bytes and os.listdir(tmp_path) == ["r"]
    told = ok(server, "result", handle, "-o", tmp_path / "r", "--json").json()
    assert told == {"id": handle, "file": str(tmp_path / "r"), "size": len(body), "content_type": "application/zip"}


def test_result_that_is_empty(server, queue, tmp_path):
    handle = done(server, queue, b"")
    assert ok(server, "result", handle).bytes == b""
    ok(server, "result", handle, "-o", tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == b""


def test_result_not_yet_waits_or_says_so(server, api, queue, tmp_path):
    handle = submit(server, queue)
    (tmp_path / "r").write_bytes(b"what was there")
    said = bide(server, "result", handle, "-t", "0", "-o", tmp_path / "r")
    assert said.code == TIMED_OUT and "not done yet" in said.err
    assert (tmp_path / "r").read_bytes() == b"what was there" and os.listdir(tmp_path) == ["r"]
    with Program(server, "result", handle) as program:
        server.until_parked(1)
        api.done(claim_one(api, queue), b"at last")
        said = program.end()
    assert said.code == OK and said.bytes == b"at last"


def test_result_of_jobs_that_have_none(server, queue):
    said = bide(server, "result", failed(server, queue, "the reason"))
    assert said.code == JOB_FAILED and "the reason: in the middle" in said.err and not said.out
    assert bide(server, "result", canceled(server, queue)).code == CANCELED
    assert bide(server, "result", "0" * 32).code == NOT_FOUND


def test_a_result_of_bytes_does_not_go_to_a_terminal_but_text_does(server, queue):
    for body, code in ((b"\0\1\2", FAILED), ("plain: ü\n".encode(), OK)):
        with Program(server, "result", done(server, queue, body, "application/octet-stream"), terminal="all") as program:
            said = program.end()
            assert said.code == code
            assert (b"plain" in program.text["screen"]) == (code == OK) and b"\0" not in program.text["screen"]


def test_result_whose_answer_breaks_off(server, queue):
    """Wherever it breaks, in the head, too: all of it, or none."""
    handle = done(server, queue, b"the result")
    for cut in range(1, 500, 7):
        relay = Relay(server.port, [cut])
        said = ok(f"http://127.0.0.1:{relay.port}", "result", handle, "--retry", "60s")
        relay.close()
        assert said.out == "the result", cut


def test_result_that_cannot_be_written(server, queue, tmp_path):
    handle = done(server, queue, b"x" * 100)
    assert bide(server, "result", handle, "-o", tmp_path / "no" / "such" / "folder").code == FAILED
    said = bide(server, "result", handle, "-o", "/dev/full")
    assert said.code == FAILED and "/dev/full: No space left" in said.err


# -- cancel


def test_cancel(server, api, queue):
    handle = submit(server, queue)
    assert ok(server, "cancel", handle).out == f"{handle} canceled\n"
    assert ok(server, "cancel", handle, "--json").json()["state"] == "canceled", "twice is fine"
    over = done(server, queue)
    said = bide(server, "cancel", over)
    assert said.code == CONFLICT and "--forget" in said.err
    assert bide(server, "cancel", "0" * 32).code == NOT_FOUND
    ok(server, "cancel", "--forget", over, handle)
    assert api.get(f"/v1/jobs/{over}").status == 404 and api.get(f"/v1/jobs/{handle}").status == 404


def test_cancel_of_several_goes_on_after_one_that_cannot(server, api, queue):
    first, last = submit(server, queue), submit(server, queue)
    assert bide(server, "cancel", first, "0" * 32, last).code == NOT_FOUND
    assert api.job(first)["state"] == api.job(last)["state"] == "canceled"


# -- jobs and queues


def test_jobs_filters(server, api, queue):
    ready, over = submit(server, queue), canceled(server, queue)
    listed = ok(server, "jobs", "--queue", queue, "--json").lines()
    assert [json.loads(line)["id"] for line in listed] == [over, ready], "newest first"
    rows = [line.split()[:3] for line in ok(server, "jobs", "--queue", queue, "--state", "canceled").lines()]
    assert rows == [["HANDLE", "QUEUE", "STATE"], [over, queue, "canceled"]]
    said = ok(server, "jobs", "--queue", queue, "--state=done")
    assert not said.out and "no such jobs" in said.err
    assert bide(server, "jobs", "--state", "asleep").code == FAILED


def test_jobs_pages(server, queue):
    handles = [submit(server, queue, str(i)) for i in range(5)][::-1]
    first = ok(server, "jobs", "--queue", queue, "-n2", "--json")
    assert [json.loads(line)["id"] for line in first.lines()] == handles[:2]
    cursor = re.search(r"--after (\S+)", first.err)[1]
    second = ok(server, "jobs", "--queue", queue, "-n", "3", "--after", cursor, "--json")
    assert [json.loads(line)["id"] for line in second.lines()] == handles[2:]
    every = ok(server, "jobs", "--queue", queue, "-n2", "--all")
    assert [line.split()[0] for line in every.lines()] == ["HANDLE", *handles], "one heading for all pages"
    assert not every.err


def test_queues_list_and_show(server, queue):
    submit(server, queue)
    done(server, queue + ".x")
    for words in (["queues"], ["queues", "list"]):
        rows = {line.split()[0]: line.split() for line in ok(server, *words).lines()}
        assert rows["QUEUE"][1] == "READY" and rows[queue][1] == "1" and rows[queue + ".x"][1] == "0"
    assert {q["queue"] for q in ok(server, "queues", "--json").json()["queues"]} >= {queue, queue + ".x"}
    assert ok(server, "queues", "show", queue, "--json").json()["counts"]["ready"] == 1
    assert len(ok(server, "queues", "show", queue).lines()) == 2
    assert bide(server, "queues", "show", "nobody-knows-it").code == NOT_FOUND


def test_an_empty_server_has_no_queues(fresh):
    server = fresh()
    said = ok(server, "queues")
    assert not said.out and "no queues yet" in said.err
    assert ok(server, "queues", "--json").json() == {"queues": []}


def test_queues_pause_and_resume(server, api, queue):
    submit(server, queue)
    ok(server, "queues", "pause", queue)
    assert "(paused)" in ok(server, "queues", "show", queue).out and api.claim_one(queue) is None
    assert ok(server, "queues", "resume", queue, "--json").json()["paused"] is False
    assert api.claim_one(queue)


def test_queues_kick(server, api, queue):
    handles = [failed(server, queue) for _ in range(3)]
    assert ok(server, "queues", "kick", queue, "-n1", "--json").json() == {"queue": queue, "kicked": 1}
    assert [api.job(handle)["state"] for handle in handles] == ["ready", "failed", "failed"], "the oldest first"
    assert ok(server, "queues", "kick", queue).out.startswith("2 failed jobs")
    assert bide(server, "queues", "kick", queue).code == TIMED_OUT


# -- how it fails


def test_unreachable(queue):
    with socket.socket() as taken:  # bound, and nobody listens: refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for words in (["submit", queue, "--text", "x"], ["wait", "0" * 32, "--retry=0"], ["result", "0" * 32, "--retry=0"],
                      ["cancel", "0" * 32], ["jobs"], ["queues"], ["top"], ["work", queue, "--retry=0", "--", "true"]):
            said = bide(url, *words)
            assert said.code == UNREACHABLE and not said.out, (words, said)
            assert url in said.err and "bide serve" in said.err


def test_retry_waits_for_a_server_to_come(fresh, queue):
    server = fresh()
    server.kill9()
    with Program(server, "submit", queue, "--text", "x", "--retry", "60s") as program:
        program.until("the server is away")
        server.start()
        said = program.end()
    assert said.code == OK and server.api.job(said.out.strip())["state"] == "ready"


@pytest.mark.parametrize("words", [
    ["submit"], ["submit", "q", "a", "b"], ["submit", "q", "--delay", "soon"], ["submit", "q", "--priority", "-1"],
    ["submit", "q", "-o", "x"], ["submit", "q", "--key", 'a"b'], ["submit", "q", "--text", "a", "f"],
    ["submit", "q", "--nmae=x"],
    ["wait"], ["wait", "h", "--until", "sleepy"], ["wait", "h", "--any", "--all"], ["wait", "h", "-t", "x"], ["wait", "a/b"],
    ["result"], ["result", "a", "b"], ["result", "a", "--json"], ["cancel"], ["jobs", "x"], ["jobs", "-n0"],
    ["queues", "lst"], ["queues", "pause"], ["queues", "show", "a", "b"], ["work", "q"], ["work", "--", "true"],
    ["work", "q", "-j0", "--", "true"], ["work", "q", "--", "no-such-program"], ["top", "x"], ["top", "-i", "1ms"],
    ["completion"], ["completion", "tcsh"], ["version", "x"], ["help", "nothing"], ["config"], ["config", "shw"],
    ["doctor", "x"],
    ["serve", "x"], ["submti", "q"], ["-x"], ["--"], []], ids=" ".join)
def test_usage_errors_are_told_and_exit_2(server, words):
    said = bide(server, *words)
    assert said.code == USAGE and said.err and not said.out, said


def test_a_slip_is_met_with_a_suggestion(server):
    for words, meant in ((["submti"], "bide submit"), (["submit", "q", "--conten-type=x"], "--content-type"),
                         (["queues", "resum", "q"], "resume"), (["hlep"], "bide help")):
        assert meant in bide(server, *words).err


# -- flags


def test_flags_stand_anywhere_and_the_server_is_a_flag_or_a_variable(server, queue):
    url, nowhere = f"http://127.0.0.1:{server.port}", "http://127.0.0.1:1"
    for words in (["submit", queue, "--server", url, "--text", "x"], ["--server", url, "submit", "--text", "x", queue],
                  ["-s", url, "--text=x", "submit", queue], ["submit", "-qs" + url, "--text", "x", "--", queue],
                  ["submit", queue, f"--server={url}/", "--text", "x"], ["submit", queue, "-s", url[7:], "--text", "x"]):
        assert re.fullmatch(HANDLE + "\n", ok(nowhere, *words).out)
    assert bide(nowhere, "jobs").code == UNREACHABLE
    assert bide("", "jobs", "-s", "ftp://x").code in (FAILED, USAGE)


def test_a_stdout_that_takes_nothing_is_told(server):
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([BIN, "queues", "--json"], stdout=full, stderr=subprocess.PIPE, env=environment(server))
    assert ended.returncode == FAILED and b"could not all be written" in ended.stderr


def test_interrupted_wait_ends_by_the_signal(server, queue):
    with Program(server, "wait", submit(server, queue)) as program:
        server.until_parked(1)
        program.signal(signal.SIGINT)
        assert program.end().code == -signal.SIGINT
