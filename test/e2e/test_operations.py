"""What operators use: health, metrics, info, the API's description, configuration, signals, the lock on the directory."""

import json
import os
import re
import signal
import subprocess

import pytest

from bide_client import Closed
from bide_server import BIN, SANITIZED, Died, Server, clean_environment

# -- looking


def test_health_and_readiness(api):
    assert api.get("/healthz").status == 200
    assert api.get("/readyz").status == 200


def test_info_says_what_runs(server, api):
    info = server.info()
    assert info["name"] == "bide" and re.match(r"\d+\.\d+\.\d+", info["version"])
    assert info["pid"] == server.process.pid and info["sync"] == "always" and info["threads"] >= 1
    assert info["draining"] is False and info["uptime"] >= 0 and info["started"].endswith("Z")
    assert set(info["journal"]) >= {"durable", "segments", "bytes"} and isinstance(info["limits"], dict)
    before = info["journal"]["durable"]
    api.submit("info")
    assert server.info()["journal"]["durable"] > before


def test_info_counts_parked_waits_and_claims(server, api, queue):
    job = api.submit(queue)
    waits = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s") for _ in range(3)]
    claims = [server.ask("POST", f"/v1/queues/{queue}.x/claim?wait=50s", body=b"") for _ in range(2)]
    server.until_parked(5)
    assert server.info()["waits"] == {"parked": 5, "claims": 2}
    assert server.info()["connections"] >= 6
    for conn in waits + claims:
        conn.close()


def test_metrics_are_prometheus_text(server, api, queue):
    answer = api.get("/metrics")
    assert answer.header("content-type").startswith("text/plain")
    typed, helped = {}, set()
    for line in answer.body.decode().splitlines():
        if found := re.match(r"# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$", line):
            assert found[1] not in typed, f"two types for {found[1]}"
            typed[found[1]] = found[2]
        elif line.startswith("# HELP "):
            helped.add(line.split()[2])
        else:
            assert (found := re.match(r'(bide_[a-z0-9_]+|process_[a-z_]+)(\{([a-z_]+="[^"]*",?)+\})? (\S+)$', line)), line
            float(found[4])
            base = re.sub(r"_(bucket|sum|count)$", "", found[1])
            assert base in typed or found[1] in typed, line
    assert set(typed) <= helped
    for name, kind in typed.items():
        assert (kind == "counter") == name.endswith("_total"), name


def histogram_is_sound(samples, name):
    buckets = [(float(re.search(r'le="([^"]+)"', k)[1].replace("+Inf", "inf")), v) for k, v in samples.items() if k.startswith(name + "_bucket")]
    counts = [count for _, count in sorted(buckets)]
    assert counts == sorted(counts) and sorted(buckets)[-1][0] == float("inf")
    assert counts[-1] == sum(v for k, v in samples.items() if k.startswith(name + "_count"))


def test_metrics_move_with_what_happens(server, api, queue):
    before = server.metrics()
    api.submit(queue)
    api.done(api.claim_one(queue), b"r")
    after = server.metrics()
    moved = {name for name in after if name.split("{")[0].endswith("_total") and after[name] > before.get(name, 0)}
    assert moved, "no counter moved"
    for name in {re.sub(r"_bucket\{.*", "", name) for name in after if "_bucket{" in name}:
        histogram_is_sound(after, name)


def test_a_queue_name_cannot_break_the_metrics(server, api):
    api.submit("~weird.name_-0")
    test_metrics_are_prometheus_text(server, api, "x")


def test_the_description_names_only_what_is_served_and_all_of_it(api):
    described = json.loads(api.ok("GET", "/v1/openapi.json").body)
    assert described["openapi"].startswith("3.")
    paths = described["paths"]
    for path in ("/v1/queues/{queue}/jobs", "/v1/jobs/{id}", "/v1/claim", "/v1/jobs/wait"):
        wanted = re.sub(r"\{.*?\}", "{}", path)
        assert wanted in {re.sub(r"\{.*?\}", "{}", known) for known in paths}, path
    for path, methods in paths.items():
        target = re.sub(r"\{.*?\}", "a" * 32, path)
        for method in methods:
            if method in ("get", "put", "post", "delete", "patch", "head"):
                answer = api.call(method.upper(), target, b"{}" if method in ("post", "put", "patch") else None)
                assert answer.status not in (405, 501), (method, path, answer)


# -- starting


def run(*arguments):
    return subprocess.run([BIN, "serve", *arguments], capture_output=True, text=True, timeout=30, env=clean_environment())


@pytest.mark.parametrize("flags", [["--no-such-flag"], ["--threads", "many"], ["--sync", "sometimes"], ["--max-wait", "x"], ["--http", "nonsense"],
                                   ["--threads"], ["--segment-size", "12"], ["--drain", "-1"]], ids=lambda f: " ".join(f))
def test_a_wrong_flag_is_told_and_exits_2(tmp_path, flags):
    ended = run("--data", str(tmp_path / "d"), "--http", "127.0.0.1:0", *flags)
    assert ended.returncode == 2 and ended.stderr.strip(), ended


def test_an_unknown_key_in_the_configuration_is_an_error_with_a_suggestion(tmp_path):
    config = tmp_path / "bide.conf"
    config.write_text("max-wiat = 5s\n")
    ended = run("--data", str(tmp_path / "d"), "--http", "127.0.0.1:0", "--config", str(config))
    assert ended.returncode == 2 and "max-wait" in ended.stderr, ended


def test_the_environment_and_the_flags_go_before_the_file(tmp_path, fresh):
    config = tmp_path / "bide.conf"
    config.write_text("max-wait = 5s\n")

    def applied(*flags, env=None):
        server = fresh("--config", str(config), "--sync", "os", *flags, env=env)
        job = server.api.submit("q")
        server.api.done(server.api.claim_one("q"))
        told = server.api.get(f"/v1/jobs/{job['id']}?wait=50s").header("preference-applied")
        assert server.stop() == 0
        return told

    assert applied() == "wait=5"
    assert applied(env={"BIDE_MAX_WAIT": "6s"}) == "wait=6"
    assert applied("--max-wait", "7s", env={"BIDE_MAX_WAIT": "6s"}) == "wait=7"


def test_a_second_server_on_the_same_directory_refuses_with_73(fresh):
    first = fresh()
    job = first.api.submit("q")
    with pytest.raises(Died) as died:
        Server(first.data).start()
    assert died.value.code == 73, died.value
    assert first.api.job(job["id"])["state"] == "ready"
    assert first.stop() == 0
    assert Server(first.data).start().stop() == 0


def test_the_lock_is_gone_with_a_killed_server(fresh):
    server = fresh()
    server.kill9()
    server.start()


def test_a_port_in_use_is_told(fresh, tmp_path):
    first = fresh("--sync", "os")
    ended = run("--data", str(tmp_path / "other"), "--http", f"127.0.0.1:{first.port}")
    assert ended.returncode != 0 and str(first.port) in ended.stderr


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    ended = run("--data", str(tmp_path / "file" / "data"), "--http", "127.0.0.1:0")
    assert ended.returncode not in (0, None) and ended.returncode > 0 and ended.stderr.strip()


def test_an_empty_start_and_stop_leave_a_directory_that_starts_again(fresh):
    server = fresh()
    for _ in range(5):
        assert server.stop() == 0
        server.start()


# -- signals


def test_sigterm_answers_who_is_parked_and_exits_0(fresh):
    server = fresh("--drain", "2s")
    job = server.api.submit("q")
    state = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s") for _ in range(10)]
    result = [server.ask("GET", f"/v1/jobs/{job['id']}/result?wait=50s") for _ in range(10)]
    claims = [server.ask("POST", "/v1/queues/other/claim?wait=50s", body=b"") for _ in range(10)]
    submits = [server.ask("POST", "/v1/queues/more/jobs", {"Prefer": "wait=50"}, b"x") for _ in range(3)]
    many = server.ask("POST", "/v1/jobs/wait", {"Content-Type": "application/json"}, b'{"ids":["%s"],"wait":"50s"}' % job["id"].encode())
    server.until_parked(34)
    server.signal(signal.SIGTERM)
    for conns, statuses in ((state, {200, 503}), (result, {202, 503}), (claims, {204, 503}), (submits, {202}), ([many], {200, 503})):
        for conn in conns:
            answer = conn.answer()
            assert answer.status in statuses and answer.says_close, answer
            assert conn.ended()
    assert server.wait_exit() == 0
    server.start()
    assert server.api.job(job["id"])["state"] == "ready"
    assert server.api.queue("more")["counts"]["ready"] == 3


def test_sigterm_with_nobody_there_is_quick(fresh):
    server = fresh("--drain", "20s", "--sync", "os")
    server.signal(signal.SIGTERM)
    assert server.wait_exit(timeout=5) == 0


def test_sigterm_does_not_wait_for_idle_connections(fresh):
    server = fresh("--drain", "20s", "--sync", "os")
    idle = server.open()
    assert idle.call("GET", "/healthz").status == 200
    server.signal(signal.SIGTERM)
    assert idle.ended()
    assert server.wait_exit(timeout=5) == 0


def test_a_drain_finishes_what_a_client_is_sending(fresh):
    server = fresh("--drain", "10s")
    conn = server.open().send(b"POST /v1/queues/q/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf.")
    server.pulse()
    server.signal(signal.SIGTERM)
    conn.send(b"whole")
    answer = conn.answer()
    assert answer.status in (202, 503) and answer.says_close
    assert server.wait_exit() == 0
    server.start()
    assert (server.api.claim_one("q") is not None) == (answer.status == 202)


def test_no_job_is_given_to_a_worker_while_draining_and_none_is_lost(fresh):
    server = fresh("--drain", "1s")
    claims = [server.ask("POST", "/v1/queues/q/claim?wait=50s", body=b"") for _ in range(20)]
    server.until_waiting("q", 20)
    submitting = server.open()
    server.signal(signal.SIGTERM)
    acknowledged = None
    try:
        acknowledged = submitting.call("POST", "/v1/queues/q/jobs", body=b"late")
    except (Closed, ConnectionError):
        pass
    given = [answer for answer in (conn.answer() for conn in claims) if answer.status == 200]
    assert server.wait_exit() == 0
    server.start()
    if acknowledged is not None and acknowledged.status == 202:
        job = server.api.job(acknowledged.json()["id"])
        assert job["state"] == ("running" if given else "ready")


def test_sigterm_twice_is_no_harm(fresh):
    server = fresh("--drain", "3s")
    job = server.api.submit("q")
    conns = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s") for _ in range(5)]
    server.until_parked(5)
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGTERM)
    code = server.wait_exit()
    assert code in (0, -signal.SIGTERM)
    assert all(conn for conn in conns)
    server.start()
    assert server.api.job(job["id"])["state"] == "ready"


def test_sighup_reads_the_configuration_again(tmp_path, fresh):
    config = tmp_path / "bide.conf"
    config.write_text("max-wait = 5s\n")
    server = fresh("--config", str(config), "--sync", "os")
    job = server.api.submit("q")
    server.api.done(server.api.claim_one("q"))

    def applied():
        return server.api.get(f"/v1/jobs/{job['id']}?wait=50s").header("preference-applied")

    assert applied() == "wait=5"
    config.write_text("max-wait = 8s\n")
    server.signal(signal.SIGHUP)
    server.eventually(lambda: applied() == "wait=8", "the new configuration")
    config.write_text("max-wait = nonsense\n")
    server.signal(signal.SIGHUP)
    server.eventually(lambda: "max-wait" in server.stderr(), "the error told")
    assert applied() == "wait=8", "a configuration that cannot be read changes nothing"


def test_sighup_ends_no_wait(tmp_path, fresh):
    server = fresh("--sync", "os")
    job = server.api.submit("q")
    conn = server.ask("GET", f"/v1/jobs/{job['id']}?wait=50s")
    server.until_parked(1)
    server.signal(signal.SIGHUP)
    server.pulse()
    assert conn.quiet()
    server.api.done(server.api.claim_one("q"))
    assert conn.answer().json()["done"] is True


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has a thread of its own, which ticks")
def test_an_idle_server_makes_no_system_call_with_waits_parked(fresh):
    """What is parked costs nothing: between two looks the process gets no processor time at all."""
    server = fresh("--sync", "os", "--segment-size", "2M")  # the next segment is soon prepared
    job = server.api.submit("q")
    conns = [server.ask("GET", f"/v1/jobs/{job['id']}?wait=55s") for _ in range(500)]
    server.until_parked(500)

    waiter = server.ask("POST", "/v1/queues/none/claim?wait=1500ms", body=b"")
    server.until_parked(501)
    before = server.switches()
    assert waiter.answer().status == 204
    after = server.switches()
    assert after - before <= 10, f"{after - before} wake-ups in a second and a half of silence"
    assert len(conns) == 500
