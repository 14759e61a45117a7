"""`bide work`: any program as a worker, with a real server, real commands and bad days."""

import json
import os
import signal

import pytest

from bide_program import (CANCELED, CONFLICT, FAILED, HERE, JOB_FAILED, OK, TIMED_OUT, USAGE, WAIT, Gate, Program, bide, ok,
                          submit, until_gone)


@pytest.fixture
def gate(tmp_path):
    one = Gate(tmp_path)
    yield one
    one.close()


def work(server, *words, script, gate=None, env=None):
    """A worker beside the test, whose command is a shell script."""
    return Program(server, "work", *words, "--", "sh", "-c", script, env={**(gate.env if gate else {}), **(env or {})})


def once(server, queue, script, *options, **more):
    return bide(server, "work", queue, "--once", *options, "--", "sh", "-c", script, **more)


# -- what goes in and comes out


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_the_body_is_stdin_and_stdout_the_result(server, api, queue, size, tmp_path):
    (tmp_path / "body").write_bytes(os.urandom(size))
    handle = ok(server, "submit", queue, tmp_path / "body").out.strip()
    said = bide(server, "work", queue, "--once", "-c", "image/x-odd", "--", "cat")
    assert said.code == OK and not said.out
    answer = api.get(f"/v1/jobs/{handle}/result")
    assert answer.body == (tmp_path / "body").read_bytes() and answer.header("content-type") == "image/x-odd"


def test_stdin_and_stdout_are_files_that_can_be_sought(server, queue):
    handle = submit(server, queue, "first line\nsecond line\n")
    assert once(server, queue, "read -r a; read -r b; exec <&-; printf '%s' \"$b\"; [ -f /dev/fd/1 ]").code == OK
    assert ok(server, "result", handle).out == "second line"


def test_the_environment_of_a_command(server, queue):
    handle = submit(server, queue, "x", "--name", "one-of-a-kind")
    assert once(server, queue, "env", env={"KEPT": "yes", "BIDE_JOB_ID": "another"}).code == OK
    seen = dict(line.split("=", 1) for line in ok(server, "result", handle).lines() if "=" in line)
    assert {name: value for name, value in seen.items() if name.startswith("BIDE_") or name == "KEPT"} == {
        "BIDE_JOB_ID": handle, "BIDE_QUEUE": queue, "BIDE_ATTEMPT": "1", "BIDE_JOB_NAME": "one-of-a-kind", "KEPT": "yes",
        "BIDE_CONTENT_TYPE": "text/plain; charset=utf-8", "BIDE_PROGRESS_FD": "3",
        "BIDE_SERVER": f"http://127.0.0.1:{server.port}"}


def test_a_command_has_its_four_descriptors_and_no_other(server, queue):
    handle = submit(server, queue)
    assert once(server, queue, "exec ls /proc/self/fd").code == OK
    # 4 is the folder that ls itself has opened.
    assert ok(server, "result", handle).out.split() == ["0", "1", "2", "3", "4"]


def test_lines_on_descriptor_3_are_progress(server, api, queue, gate):
    handle = submit(server, queue)
    with work(server, queue, script=f'{HERE}; echo "0.42 resizing" >&3; {WAIT}; echo 80% >&3; {WAIT}', gate=gate) as worker:
        gate.arrived()
        seen = server.eventually(lambda: (job := api.job(handle))["progress"] and job, "progress is told")
        assert seen["progress"] == 0.42 and seen["message"] == "resizing" and seen["state"] == "running"
        gate.open()
        server.eventually(lambda: api.job(handle)["progress"] == 0.8, "the second line is told")
        gate.open()
        assert ok(server, "wait", handle)
        worker.signal(signal.SIGTERM)
        assert worker.end().code == OK


def test_stderr_passes_through_and_its_end_goes_into_the_failure(server, api, queue):
    handle = submit(server, queue, "", "--max-attempts", "1")
    said = once(server, queue, "exec >&2; echo first words; head -c 5000 /dev/zero | tr '\\0' x; echo; echo last words; exit 3")
    assert said.code == JOB_FAILED and "first words\n" in said.err and "last words\n" in said.err
    job = api.job(handle)
    assert job["state"] == "failed" and job["error"]["title"] == "sh ended with exit code 3"
    assert job["error"]["detail"].endswith("xx\nlast words") and len(job["error"]["detail"]) < 2100


def test_json_events_are_lines_on_stdout(server, queue):
    handle = submit(server, queue)
    said = once(server, queue, "echo y", "--json")
    events = [json.loads(line) for line in said.lines()]
    assert [event["event"] for event in events] == ["started", "done"] and {event["id"] for event in events} == {handle}
    submit(server, queue)
    said = once(server, queue, "echo y", "-q")
    assert not said.err and not said.out


# -- exit codes


def test_a_failure_is_tried_again_by_the_server(fresh, queue):
    server = fresh("--retry-base", "1ms")
    handle = submit(server, queue)
    with work(server, queue, script='[ "$BIDE_ATTEMPT" = 3 ] || exit 9; echo third time') as worker:
        assert ok(server, "wait", handle)
        worker.signal(signal.SIGTERM)
        assert worker.end().code == OK
    assert ok(server, "result", handle).out == "third time\n"
    job = server.api.job(handle)
    assert job["attempt"] == 3 and job["counts"]["failures"] == 2


@pytest.mark.parametrize("script, state, title", [
    ("exit 65", "failed", "exit code 65"), ("exit 17", "failed", "exit code 17"), ("exit 75", "delayed", None),
    ("exit 1", "delayed", "exit code 1"), ("kill -9 $$", "delayed", "signal 9 (Killed)")])
def test_what_exit_codes_mean(server, api, queue, script, state, title):
    handle = submit(server, queue)
    said = once(server, queue, script, "--no-retry-on", "17, 18", "--release-delay", "1h")
    job = api.job(handle)
    assert job["state"] == state, (said, job)
    assert said.code == (JOB_FAILED if title else FAILED)
    assert job["counts"]["releases"] == (0 if title else 1) and job["counts"]["failures"] == (1 if title else 0)
    assert title is None or title in job["error"]["title"]


def test_a_program_that_is_not_there_is_told_before_a_job_is_taken(server, api, queue):
    handle = submit(server, queue)
    said = bide(server, "work", queue, "--", "/no/such/program")
    assert said.code == USAGE and "/no/such/program" in said.err and api.job(handle)["state"] == "ready"


def test_a_program_that_cannot_be_started_gives_the_job_back(server, api, queue, tmp_path):
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    handle = submit(server, queue)
    said = bide(server, "work", queue, "--", tmp_path / "broken")
    assert said.code == FAILED and "cannot be started" in said.err
    job = api.job(handle)
    assert job["state"] == "ready" and job["counts"]["failures"] == 0


# -- how many, and when it ends


def test_so_many_at_once(server, api, queue, gate):
    handles = [submit(server, queue, str(i)) for i in range(4)]
    with work(server, queue, "-j", "3", "--max-jobs", "4", script=f"{HERE}; {WAIT}; cat", gate=gate) as worker:
        assert len({gate.arrived()[0] for _ in range(3)}) == 3, "three side by side"
        assert api.queue(queue)["counts"]["running"] == 3 and api.queue(queue)["counts"]["ready"] == 1
        gate.open()
        gate.arrived()
        gate.open(3)
        assert worker.end().code == OK
    assert [ok(server, "result", handle).out for handle in handles] == ["0", "1", "2", "3"]


def test_queues_are_preferred_in_their_order(server, api, queue):
    second, first = submit(server, queue + ".b"), submit(server, queue + ".a")
    said = bide(server, "work", queue + ".a", queue + ".b", "--max-jobs=2", "--json", "--", "true")
    started = [event["id"] for event in map(json.loads, said.lines()) if event["event"] == "started"]
    assert said.code == OK and started == [first, second]


def test_idle(server, queue):
    assert bide(server, "work", queue, "--idle", "50ms", "--", "true").code == TIMED_OUT
    submit(server, queue)
    assert bide(server, "work", queue, "--idle", "50ms", "--", "true").code == OK


def test_sigterm_while_idle_ends_at_once(server, queue):
    with work(server, queue, script="true") as worker:
        server.until_waiting(queue, 1)
        worker.signal(signal.SIGTERM)
        assert worker.end().code == OK
    server.until_waiting(queue, 0)


def test_sigterm_finishes_the_job_and_takes_no_other(server, api, queue, gate):
    handle, other = submit(server, queue, "body"), submit(server, queue)
    with work(server, queue, script=f"{HERE}; {WAIT}; cat", gate=gate) as worker:
        gate.arrived()
        worker.signal(signal.SIGTERM)
        worker.until("finishing 1")
        gate.open()
        assert worker.end().code == OK
    assert ok(server, "result", handle).out == "body" and api.job(other)["state"] == "ready"


def test_a_second_signal_gives_the_job_back(server, api, queue, gate):
    handle = submit(server, queue)
    with work(server, queue, script=f"{HERE}; {WAIT}", gate=gate) as worker:
        child = gate.arrived()
        worker.signal(signal.SIGINT)
        worker.until("finishing 1")
        worker.signal(signal.SIGINT)
        worker.end()
        until_gone(child)
    job = api.job(handle)
    assert job["state"] == "ready" and job["counts"]["releases"] == 1 and job["counts"]["failures"] == 0


# -- bad days


def test_a_canceled_job_ends_its_command_and_all_it_has_started(server, queue, gate):
    handle = submit(server, queue, "", "--lease", "1s")
    with work(server, queue, "--once", "--grace", "1h", script=f"sh -c '{HERE}; {WAIT}' & {HERE}; wait", gate=gate) as worker:
        family = [gate.arrived() for _ in range(2)]
        ok(server, "cancel", handle)
        said = worker.end()
        for one in family:
            until_gone(one)
    assert said.code == CANCELED and "ending the command" in said.err


def test_a_canceled_command_that_does_not_listen_is_killed(server, queue, gate):
    handle = submit(server, queue, "", "--lease", "1s")
    script = f"trap '' TERM; {HERE}; while :; do {WAIT}; done"
    with work(server, queue, "--once", "--grace", "10ms", script=script, gate=gate) as worker:
        child = gate.arrived()
        ok(server, "cancel", handle)
        assert worker.end().code == CANCELED
        until_gone(child)


def test_a_job_that_was_taken_away_is_lost(server, queue, gate):
    handle = submit(server, queue, "", "--lease", "1s")
    with work(server, queue, "--once", script=f"{HERE}; {WAIT}", gate=gate) as worker:
        child = gate.arrived()
        ok(server, "cancel", "--forget", handle)
        said = worker.end()
        until_gone(child)
    assert said.code == CONFLICT and "no longer knows it" in said.err


def test_beats_keep_a_job_far_beyond_its_lease(server, api, queue, gate):
    handle = submit(server, queue, "body", "--lease", "1s")
    with work(server, queue, "--once", script=f"{HERE}; {WAIT}; cat", gate=gate) as worker:
        gate.arrived()
        deadline = api.job(handle)["deadline"]
        later = deadline
        for _ in range(4):  # each extends by a third of the lease, so the first lease is over after these
            before = later
            later = server.eventually(lambda: (now := api.job(handle)["deadline"]) > before and now, "a beat extends the lease")
        gate.open()
        assert worker.end().code == OK
    job = api.job(handle)
    assert job["state"] == "done" and job["attempt"] == 1 and job["counts"]["timeouts"] == 0


def test_a_worker_that_is_killed_takes_its_command_with_it(server, api, queue, gate):
    handle = submit(server, queue, "", "--lease", "1s")
    with work(server, queue, script=f"{HERE}; {WAIT}", gate=gate) as worker:
        child = gate.arrived()
        worker.signal(signal.SIGKILL)
        until_gone(child)
        worker.end()
    assert ok(server, "wait", handle, "--until", "ready")
    server.eventually(lambda: api.job(handle)["counts"]["timeouts"] == 1, "the lease runs out")


def test_a_server_that_restarts_in_the_middle_costs_nothing(fresh, queue, gate):
    server = fresh()
    handle = submit(server, queue, "body")
    with work(server, queue, "--once", script=f"{HERE}; {WAIT}; cat", gate=gate) as worker:
        gate.arrived()
        server.kill9()
        gate.open()
        worker.until("it is kept and told again")
        server.start()
        assert worker.end().code == OK
    assert ok(server, "result", handle).out == "body" and server.api.job(handle)["attempt"] == 1


def test_an_idle_worker_endures_a_restart(fresh, queue):
    server = fresh()
    with work(server, queue, "--once", script="echo y") as worker:
        server.until_waiting(queue, 1)
        server.kill9()
        worker.until("the server is away")
        server.start()
        handle = submit(server, queue)
        assert worker.end().code == OK
    assert ok(server, "result", handle).out == "y\n"


def test_a_worker_outlives_a_server_that_drains(fresh, queue):
    server = fresh("--drain", "0")
    with work(server, queue, "--once", script="echo y") as worker:
        server.until_waiting(queue, 1)
        assert server.stop() == 0
        server.start()
        handle = submit(server, queue)
        assert worker.end().code == OK
    assert ok(server, "result", handle).out == "y\n"


# -- the first example of the help


def test_any_program_is_a_worker(server, queue):
    with Program(server, "work", queue, "-q", "--", "tr", "a-z", "A-Z") as worker:
        said = ok(server, "submit", queue, "--wait", stdin=b"hello\n")
        assert said.out == "HELLO\n"
        worker.signal(signal.SIGTERM)
        assert worker.end().code == OK
