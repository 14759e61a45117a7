"""Subscriptions: made, told and changed; webhooks that are signed, tried again and called back; pull-wake with workers that race;
and all of it over a kill -9."""

import http.client
import itertools
import pathlib
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

from bide_receiver import DONE, Receiver
from bide_server import SANITIZED, Died, clean_environment
from bide_streams import JSON, TOKEN, append, make, tail

counter = itertools.count(1)
ZERO = "0000000000000000_0000000000000000"


@pytest.fixture
def one():
    """A number of the test's own, for ids and paths."""
    return next(counter)


@pytest.fixture
def receiver():
    with Receiver() as listening:
        yield listening


def at(name, below=""):
    return f"/v1/stream/__ds/subscriptions/{urllib.parse.quote(str(name), safe='')}{below}"


def stream(path):
    return f"/v1/stream/{path}"


def subscribe(api, name, status=201, **said):
    return api.ok("PUT", at(name), said, status=status).json()


def webhook(api, name, receiver, status=201, **said):
    return subscribe(api, name, status, type="webhook", webhook={"url": receiver.url}, **said)


def pull(api, name, wake, status=201, **said):
    make(api, stream(wake), JSON)
    return subscribe(api, name, status, type="pull-wake", wake_stream=wake, **said)


def told(api, name):
    return api.ok("GET", at(name)).json()


def link(api, name, path):
    return next((s for s in told(api, name)["streams"] if s["path"] == path), None)


def wakes(api, wake, name):
    return [e for e in api.ok("GET", stream(wake)).json() if e["subscription_id"] == str(name)]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def say(api, name, verb, wake, token=None, status=200, **more):
    """callback, ack or release about a wake, which is a post's or a claim's JSON."""
    body = {"wake_id": wake["wake_id"], "generation": wake["generation"], **more}
    token = token or wake.get("token") or wake["callback_token"]
    return api.ok("POST", at(name, f"/{verb}"), body, bearer(token), status)


def code(answer):
    """Of an error: the protocol's code, which stands beside the members of a problem."""
    body = answer.json()
    assert answer.header("content-type") == "application/json"
    assert body["status"] == answer.status and body["type"].startswith("/problems/") and body["title"]
    return body["error"]["code"]


# --- made, told, deleted

def test_made_confirmed_and_told(api, one, receiver):
    said = dict(pattern=f"e{one}/*", description="mine", lease_ttl_ms=2000)
    made = webhook(api, one, receiver, 201, **said)
    assert webhook(api, one, receiver, 200, **said) == made == told(api, one)
    assert made["id"] == made["subscription_id"] == str(one)
    assert (made["type"], made["pattern"], made["description"], made["lease_ttl_ms"], made["status"], made["wake_stream"],
            made["streams"], made["next_attempt_at"]) == ("webhook", f"e{one}/*", "mine", 2000, "active", None, [], None)
    assert made["webhook"]["url"] == receiver.url and made["webhook"]["signing"]["alg"] == "ed25519"
    assert "secret" not in str(made) and "token" not in str(made)


@pytest.mark.parametrize("change", [dict(pattern="other/*"), dict(description="other"), dict(lease_ttl_ms=1001),
                                    dict(streams=["a"]), dict(type="pull-wake", wake_stream="w")])
def test_another_configuration_is_a_conflict(api, one, receiver, change):
    said = dict(type="webhook", webhook={"url": receiver.url}, pattern=f"e{one}/*", streams=["b", "c", "b"])
    subscribe(api, one, **said)
    subscribe(api, one, 200, **{**said, "streams": ["c", "b"]})
    answer = api.call("PUT", at(one), {**said, **change})
    assert (answer.status, code(answer)) == (409, "SUBSCRIPTION_ALREADY_EXISTS")


@pytest.mark.parametrize("name", ["a b", "a/b", "ü", "?&=#%", "x" * 256])
def test_ids_are_any_text(api, receiver, name):
    assert webhook(api, name, receiver, pattern="ids/*")["id"] == name
    assert told(api, name)["id"] == name
    api.ok("DELETE", at(name), status=204)


@pytest.mark.parametrize("bad", ["%00", "%0a", "%7f", "%ff", "%zz", "x" * 257])
def test_ids_that_are_none(api, bad):
    answer = api.call("GET", f"/v1/stream/__ds/subscriptions/{bad}")
    assert (answer.status, code(answer)) == (400, "INVALID_REQUEST")


def test_deleted(api, one, receiver):
    webhook(api, one, receiver, pattern=f"e{one}/*")
    api.ok("DELETE", at(one), status=204)
    api.ok("DELETE", at(one), status=204)
    for method, below, body in (("GET", "", None), ("POST", "/streams", {"streams": ["a"]}), ("DELETE", "/streams/a", None),
                                ("POST", "/claim", {"worker": "w"})):
        answer = api.call(method, at(one, below), body)
        assert (answer.status, code(answer)) == (404, "SUBSCRIPTION_NOT_FOUND"), below
    assert webhook(api, one, receiver, pattern=f"e{one}/*")["streams"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"type":"webhook"}', b'{"type":"push","pattern":"a"}',
                                  b'{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":1}',
                                  b'{"type":"pull-wake","pattern":"a"}', b'{"type":"pull-wake","wake_stream":"w"}'])
def test_what_makes_no_sense_is_400(api, one, body):
    answer = api.call("PUT", at(one), body, JSON)
    assert (answer.status, code(answer)) == (400, "INVALID_REQUEST")
    assert api.get(at(one)).status == 404


def test_methods_and_paths_that_are_not_there(api, one):
    for method, below, status in (("POST", "", 405), ("PATCH", "", 405), ("GET", "/claim", 405), ("PUT", "/streams", 405),
                                  ("GET", "/other", 404), ("POST", "/claim/x", 404)):
        assert api.call(method, at(one, below), b"" if method != "GET" else None).status == status, (method, below)


# --- where webhooks may go

@pytest.mark.parametrize("url", ["http://10.0.0.1/hook", "https://10.0.0.1/", "https://192.168.0.1/", "https://127.0.0.1/",
                                 "https://localhost/", "https://169.254.169.254/", "https://[::1]/", "https://2130706433/",
                                 "https://[::ffff:10.0.0.1]/", "http://example.org/", "ftp://example.org/", "nowhere",
                                 "https://user@example.org/"])
def test_webhooks_do_not_go_everywhere(api, one, url):
    answer = api.call("PUT", at(one), {"type": "webhook", "pattern": "a", "webhook": {"url": url}})
    assert (answer.status, code(answer)) == (400, "WEBHOOK_URL_REJECTED")


def test_the_setting_says_where(fresh, receiver):
    for allow, urls in (("public", {"https://example.org/": 201, receiver.url: 400, "https://10.0.0.1/": 400}),
                        ("any", {"http://example.org/": 201, receiver.url: 201, "https://10.0.0.1/": 201})):
        server = fresh("--webhook-allow", allow)
        for i, (url, status) in enumerate(urls.items()):
            subscribe(server.api, i, status, type="webhook", pattern="a", webhook={"url": url})


# --- webhooks

def test_signed_and_done_at_once(server, api, one, receiver):
    receiver.usual = DONE
    path = f"e{one}/a"
    made = webhook(api, one, receiver, pattern=f"e{one}/*")
    host = f"http://127.0.0.1:{server.port}"
    assert made["webhook"]["signing"]["jwks_url"] == f"{host}/v1/stream/__ds/jwks.json"
    end = tail(make(api, stream(path), JSON, b'{"n":1}'))
    post = receiver.post()
    jwks = api.ok("GET", "/v1/stream/__ds/jwks.json")
    assert jwks.header("content-type") == "application/jwk-set+json"
    assert jwks.header("cache-control") == "public, max-age=300"
    assert post.signature()["kid"] == made["webhook"]["signing"]["kid"] == jwks.json()["keys"][0]["kid"]
    assert abs(int(post.signature()["t"]) - time.time()) < 60
    pytest.importorskip("cryptography")
    post.verify(jwks.json())
    assert post.path == "/hook" and post.headers["Content-Type"] == "application/json"
    assert post.json["subscription_id"] == str(one) and post.json["generation"] == 1
    assert post.json["callback_url"] == host + at(one, "/callback")
    link_told = post.json["streams"][0]
    assert (link_told["path"], link_told["link_type"], link_told["has_pending"], link_told["tail_offset"]) == \
        (path, "glob", True, end)
    server.eventually(lambda: link(api, one, path)["acked_offset"] == end, "what the wake told is acked")
    assert receiver.nothing()


@pytest.mark.parametrize("headers,origin", [({"Host": "front.example:81", "X-Forwarded-Proto": "https"}, "https://front.example:81"),
                                            ({"Host": "[::1]:80", "X-Forwarded-Proto": "http"}, "http://[::1]:80")])
def test_urls_are_told_as_the_client_sees_them(server, api, one, receiver, headers, origin):
    """callback_url as whoever made it saw the server, also when somebody else comes by another name."""
    said = {"type": "webhook", "pattern": f"e{one}/*", "webhook": {"url": receiver.url}}
    made = api.ok("PUT", at(one), said, headers, 201).json()
    assert made["webhook"]["signing"]["jwks_url"] == f"{origin}/v1/stream/__ds/jwks.json"
    assert told(api, one)["webhook"]["signing"]["jwks_url"] == f"http://127.0.0.1:{server.port}/v1/stream/__ds/jwks.json"
    subscribe(api, one, 200, **said)
    make(api, stream(f"e{one}/a"), JSON, b'{"n":1}')
    assert receiver.post().json["callback_url"] == origin + at(one, "/callback")


def test_without_a_host_there_is_nowhere_to_call_back(server, one, receiver):
    with server.open() as conn:
        conn.methods.append("PUT")
        body = b'{"type":"webhook","pattern":"a","webhook":{"url":"%s"}}' % receiver.url.encode()
        conn.send(b"PUT %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (at(one).encode(), len(body), body))
        answer = conn.answer()
    assert (answer.status, code(answer)) == (400, "INVALID_REQUEST") and "Host" in answer.json()["detail"]


def test_what_was_there_before_is_not_pending(server, api, one, receiver):
    receiver.usual = DONE
    path = f"e{one}/a"
    before = tail(make(api, stream(path), JSON, b'{"n":1}'))
    webhook(api, one, receiver, pattern=f"e{one}/*")
    assert link(api, one, path) == {"path": path, "link_type": "glob", "acked_offset": before}
    append(api, stream(path), b'{"n":2}', JSON)
    assert receiver.post().json["streams"][0]["acked_offset"] == before


def test_called_back_and_fenced(server, api, one, receiver):
    path = f"e{one}/a"
    webhook(api, one, receiver, pattern=f"e{one}/*")
    make(api, stream(path), JSON, b'[{"n":1},{"n":2}]')
    wake = receiver.post()
    acks = [{"stream": path, "offset": wake.tail(path)}]
    assert say(api, one, "callback", wake.json).json() == {"ok": True, "next_wake": False}
    assert link(api, one, path)["acked_offset"] != wake.tail(path)
    assert say(api, one, "callback", wake.json, acks=acks, done=True).json() == {"ok": True, "next_wake": False}
    assert link(api, one, path)["acked_offset"] == wake.tail(path)
    assert code(say(api, one, "callback", wake.json, status=409, acks=acks, done=True)) == "FENCED"
    assert receiver.nothing()


def test_what_came_meanwhile_is_another_wake(server, api, one, receiver):
    path = f"e{one}/a"
    webhook(api, one, receiver, pattern=f"e{one}/*")
    make(api, stream(path), JSON, b'{"n":1}')
    wake = receiver.post()
    end = tail(append(api, stream(path), b'{"n":2}', JSON))
    acks = [{"stream": path, "offset": wake.tail(path)}]
    assert say(api, one, "callback", wake.json, acks=acks, done=True).json() == {"ok": True, "next_wake": True}
    again = receiver.post()
    assert again.json["generation"] > wake.json["generation"] and again.json["wake_id"] != wake.json["wake_id"]
    assert again.json["callback_token"] != wake.json["callback_token"]
    assert again.json["streams"][0]["acked_offset"] == wake.tail(path) and again.tail(path) == end


def test_done_acks_the_snapshot_and_no_more(server, api, one, receiver):
    """Records come while the receiver holds its answer: they are another wake's."""
    path, held, go = f"e{one}/a", threading.Event(), threading.Event()
    webhook(api, one, receiver, pattern=f"e{one}/*")

    def slow(_):
        held.set()
        assert go.wait(20)
        return DONE

    receiver.answers.put(slow)
    receiver.usual = DONE
    make(api, stream(path), JSON, b'{"n":1}')
    assert held.wait(20)
    end = tail(append(api, stream(path), b'{"n":2}', JSON))
    go.set()
    first, second = receiver.post(), receiver.post()
    assert first.tail(path) != end == second.tail(path)
    assert second.json["streams"][0]["acked_offset"] == first.tail(path)
    assert second.json["generation"] > first.json["generation"]
    server.eventually(lambda: link(api, one, path)["acked_offset"] == end, "all is acked")


def test_tokens_are_looked_at(server, api, one, receiver):
    path, other = f"e{one}/a", f"other{one}"
    webhook(api, one, receiver, pattern=f"e{one}/*")
    with Receiver() as second:
        webhook(api, other, second, pattern=f"e{one}/*")
        make(api, stream(path), JSON, b'{"n":1}')
        wake, foreign = receiver.post(), second.post()
    body = {"wake_id": wake.json["wake_id"], "generation": wake.json["generation"], "done": True}
    good = wake.json["callback_token"]
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": f"Basic {good}"},
                    bearer("x"), bearer(foreign.json["callback_token"]), bearer(good[:-1]), bearer(good + "x")):
        answer = api.call("POST", at(one, "/callback"), body, headers)
        assert (answer.status, code(answer)) == (401, "TOKEN_INVALID"), headers
        assert answer.header("www-authenticate") == "Bearer"
    for wrong in (dict(wake_id=foreign.json["wake_id"]), dict(generation=wake.json["generation"] + 1)):
        assert code(api.ok("POST", at(one, "/callback"), {**body, **wrong}, bearer(good), 409)) == "FENCED"
    assert link(api, one, path)["acked_offset"] != wake.tail(path)
    say(api, one, "callback", wake.json, done=False)


def test_acks_go_forward_of_known_streams_and_all_or_none(server, api, one, receiver):
    a, b = f"e{one}/a", f"e{one}/b"
    webhook(api, one, receiver, streams=[a, b], lease_ttl_ms=60000)
    for path in (a, b):
        make(api, stream(path), JSON, b'[{"n":1},{"n":2}]')
    wake = receiver.post()
    server.eventually(lambda: told(api, one)["streams"][1]["acked_offset"], "both are there")
    start = {path: link(api, one, path)["acked_offset"] for path in (a, b)}
    end = tail(api.ok("HEAD", stream(a)))
    say(api, one, "callback", wake.json, acks=[{"stream": a, "offset": end}])
    beyond = end[:-1] + "f"
    for bad in ({"stream": a, "offset": start[a]}, {"stream": a, "offset": beyond}, {"stream": a, "offset": "-1"},
                {"stream": a, "offset": "now"}, {"stream": f"e{one}/c", "offset": end}, {"stream": b, "offset": end}):
        acks = [{"stream": b, "offset": tail(api.ok("HEAD", stream(b)))}, bad]
        assert code(say(api, one, "callback", wake.json, status=409, acks=acks)) == "INVALID_OFFSET", bad
    assert link(api, one, b)["acked_offset"] == start[b]


def test_tried_again_after_an_error(server, api, one, receiver):
    path = f"e{one}/a"
    webhook(api, one, receiver, pattern=f"e{one}/*")
    receiver.answer(500, b'{"done":true}')
    receiver.usual = DONE
    make(api, stream(path), JSON, b'{"n":1}')
    first = receiver.post()
    failed = server.eventually(lambda: (now := told(api, one))["status"] == "failed" and now, "it has failed")
    assert failed["next_attempt_at"] and failed["streams"][0]["acked_offset"] != first.tail(path)
    second = receiver.post()
    assert (second.json["wake_id"], second.json["generation"]) == (first.json["wake_id"], first.json["generation"])
    server.eventually(lambda: told(api, one)["status"] == "active", "it works again")
    assert link(api, one, path)["acked_offset"] == first.tail(path)


def test_tried_again_when_nobody_listened(server, api, one):
    path = f"e{one}/a"
    gone = Receiver()
    webhook(api, one, gone, pattern=f"e{one}/*")
    gone.close()
    make(api, stream(path), JSON, b'{"n":1}')
    server.eventually(lambda: told(api, one)["status"] == "failed", "it has failed")
    with Receiver(DONE, port=gone.port) as receiver:
        post = receiver.post()
        server.eventually(lambda: link(api, one, path)["acked_offset"] == post.tail(path), "it is acked")


def test_who_does_not_call_back_loses_the_lease(server, api, one, receiver):
    path = f"e{one}/a"
    webhook(api, one, receiver, pattern=f"e{one}/*", lease_ttl_ms=1000)
    make(api, stream(path), JSON, b'{"n":1}')
    first, second = receiver.post(), receiver.post()
    assert second.json["generation"] > first.json["generation"]
    assert code(say(api, one, "callback", first.json, status=409, done=True)) == "FENCED"
    acks = [{"stream": path, "offset": second.tail(path)}]
    say(api, one, "callback", second.json, acks=acks, done=True)


def test_deleted_while_a_wake_is_in_flight(server, api, one, receiver):
    path = f"e{one}/a"
    webhook(api, one, receiver, pattern=f"e{one}/*", lease_ttl_ms=1000)
    make(api, stream(path), JSON, b'{"n":1}')
    wake = receiver.post()
    api.ok("DELETE", at(one), status=204)
    assert code(say(api, one, "callback", wake.json, status=404, done=True)) == "SUBSCRIPTION_NOT_FOUND"
    webhook(api, one, receiver, pattern=f"e{one}/*", lease_ttl_ms=1000)
    assert code(say(api, one, "callback", wake.json, status=401, done=True)) == "TOKEN_INVALID"
    assert receiver.nothing()


def test_one_slow_receiver_holds_up_nobody(server, api, one, receiver):
    """A receiver that never answers: its post is under way, and others come through."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        subscribe(api, f"deaf{one}", type="webhook", pattern=f"e{one}/*",
                  webhook={"url": f"http://127.0.0.1:{deaf.getsockname()[1]}/"})
        webhook(api, one, receiver, pattern=f"e{one}/*")
        make(api, stream(f"e{one}/a"), JSON, b'{"n":1}')
        receiver.post()
        api.ok("DELETE", at(f"deaf{one}"), status=204)


def certificate(folder):
    """Of 127.0.0.1, signed by itself: (file with key and certificate, context of who has it)."""
    both = folder / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=receiver", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", both,
                    "-out", folder / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", both)
    return folder / "cert.pem", context


def test_https_and_whose_certificates_are_good(fresh, tmp_path):
    file, context = certificate(tmp_path)
    with Receiver(DONE, tls=context) as receiver:
        for flags, good in ((["--webhook-ca", str(file)], True), ([], False)):
            server = fresh("--webhook-allow", "any", *flags)
            webhook(server.api, "s", receiver, pattern="e/*")
            make(server.api, stream("e/a"), JSON, b'{"n":1}')
            if good:
                assert receiver.post().json["subscription_id"] == "s"
            else:
                server.eventually(lambda: told(server.api, "s")["status"] == "failed", "nobody vouches for it")
                assert receiver.nothing()
                assert server.metrics()['bide_webhooks_total{result="failed"}'] >= 1


def test_a_file_of_certificates_that_is_not_there(fresh, tmp_path):
    with pytest.raises(Died) as died:
        fresh("--webhook-ca", str(tmp_path / "none.pem"))
    assert died.value.code == 1 and "none.pem cannot be read" in died.value.stderr


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has a thread of its own, which ticks")
def test_between_webhooks_nothing_is_done(fresh, receiver):
    """The thread that delivers them sleeps, and the connection to the receiver, which is kept, costs nothing."""
    receiver.usual = DONE
    server = fresh("--sync", "os", "--segment-size", "2M")
    segments = pathlib.Path(server.data, "journal")
    server.eventually(lambda: len(list(segments.glob("*.seg"))) == 2, "the next segment is prepared")
    webhook(server.api, "s", receiver, pattern="e/*")
    make(server.api, stream("e/a"), JSON, b'{"n":1}')
    post = receiver.post()
    server.eventually(lambda: link(server.api, "s", "e/a")["acked_offset"] == post.tail("e/a"), "it is acked")
    waiter = server.ask("POST", "/v1/queues/none/claim?wait=1500ms", body=b"")
    server.until_parked(1)
    before = server.switches()
    assert waiter.answer().status == 204
    assert server.switches() - before <= 10


def test_the_example(server, api, one):
    """It is told what was appended; what nobody signed, or somebody long ago, it does not believe."""
    pytest.importorskip("cryptography")
    program = pathlib.Path(__file__).resolve().parents[2] / "examples" / "webhook.py"
    with subprocess.Popen([sys.executable, program, f"e{one}/*", "0"], text=True, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, env=clean_environment(BIDE_SERVER=f"http://127.0.0.1:{server.port}")) as running:
        deadline = threading.Timer(60, running.kill)
        deadline.start()
        try:
            url = urllib.parse.urlsplit(running.stdout.readline().split()[-1])
            make(api, stream(f"e{one}/a%20b"), JSON, b'{"n":1}')
            assert running.stdout.readline() == f'e{one}/a b [{{"n":1}}]\n'
            for forged in ({}, {"Webhook-Signature": "x"}, {"Webhook-Signature": "t=1,kid=a,ed25519=b"}):
                conn = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
                conn.request("POST", "/", b"{}", forged)
                assert conn.getresponse().status == 401
                conn.close()
            append(api, stream(f"e{one}/a%20b"), b'{"n":2}', JSON)
            assert running.stdout.readline() == f'e{one}/a b [{{"n":2}}]\n'
        finally:
            deadline.cancel()
            running.kill()


# --- links

def test_streams_are_added_and_removed(server, api, one, receiver):
    receiver.usual = DONE
    glob, extra, deep = f"e{one}/a", f"x{one}", f"x{one}/deep er/ü"
    before = tail(make(api, stream(extra), JSON, b'{"n":1}'))
    make(api, stream(glob), JSON)
    webhook(api, one, receiver, pattern=f"e{one}/*")
    api.ok("POST", at(one, "/streams"), {"streams": [extra, deep, glob]}, status=204)
    api.ok("POST", at(one, "/streams"), {"streams": [f"/{extra}/"]}, status=204)
    assert {(s["path"], s["link_type"]) for s in told(api, one)["streams"]} == \
        {(glob, "explicit"), (extra, "explicit"), (deep, "explicit")}
    assert link(api, one, extra)["acked_offset"] == before and link(api, one, deep)["acked_offset"] == ZERO
    for path in (deep, glob):  # as one segment, and as several
        api.ok("DELETE", at(one, "/streams/" + urllib.parse.quote(path, safe="/" if path == glob else "")), status=204)
    api.ok("DELETE", at(one, "/streams/never/there"), status=204)
    assert {(s["path"], s["link_type"]) for s in told(api, one)["streams"]} == {(glob, "glob"), (extra, "explicit")}
    append(api, stream(extra), b'{"n":2}', JSON)
    assert [s["path"] for s in receiver.post().json["streams"] if s["has_pending"]] == [extra]


@pytest.mark.parametrize("body", [{}, {"streams": []}, {"streams": "a"}, {"streams": [""]}, {"streams": ["a//b"]},
                                  {"streams": ["__ds/a"]}, {"streams": [1]}])
def test_what_is_no_list_of_streams(api, one, receiver, body):
    webhook(api, one, receiver, pattern=f"e{one}/*")
    answer = api.call("POST", at(one, "/streams"), body)
    assert (answer.status, code(answer)) == (400, "INVALID_REQUEST")


def test_no_pattern_shows_the_servers_own_streams(server, api, one, receiver, queue):
    """The output of a job is for whoever has its handle; a pattern that matches all tells nobody of it."""
    webhook(api, one, receiver, pattern="**")
    job = api.submit(queue, b"x")
    lease = api.claim(queue)[0]
    api.ok("POST", f"/v1/jobs/{job['id']}/output", b"line", {"Job-Token": lease.token, "Content-Type": "text/plain"}, 204)
    make(api, stream(f"e{one}/a"), JSON, b'{"n":1}')
    assert not [s for s in receiver.post().json["streams"] if s["path"].startswith("__")]
    assert not [s for s in told(api, one)["streams"] if s["path"].startswith("__")]
    api.ok("DELETE", at(one), status=204)


# --- pull-wake

def test_claimed_acked_and_released(server, api, one):
    path, wake = f"e{one}/a", f"wake/{one}"
    pull(api, one, wake, pattern=f"e{one}/*")
    nothing = api.call("POST", at(one, "/claim"), {"worker": "w"})
    assert (nothing.status, code(nothing)) == (409, "NO_PENDING_WORK")
    make(api, stream(path), JSON, b'{"n":1}')
    event = server.eventually(lambda: wakes(api, wake, one), "a wake is written")[0]
    assert (event["type"], event["stream"], event["generation"]) == ("wake", path, 1)
    assert abs(event["ts"] / 1000 - time.time()) < 60
    claim = api.ok("POST", at(one, "/claim"), {"worker": "w"}).json()
    assert claim["generation"] == 1 and claim["lease_ttl_ms"] == 30000 and TOKEN.fullmatch(claim["streams"][0]["tail_offset"])
    busy = api.ok("POST", at(one, "/claim"), {"worker": "v"}, status=409)
    assert code(busy) == "ALREADY_CLAIMED"
    assert busy.json()["error"] == {"code": "ALREADY_CLAIMED", "current_holder": "w", "generation": 1}
    assert say(api, one, "ack", claim).json() == {"ok": True, "next_wake": False}
    assert say(api, one, "release", claim, status=204).body == b""
    assert code(say(api, one, "ack", claim, status=409)) == "FENCED"
    assert code(say(api, one, "release", claim, status=409)) == "FENCED"
    server.eventually(lambda: len(wakes(api, wake, one)) == 2, "what was left is another wake")
    again = api.ok("POST", at(one, "/claim"), {"worker": "v"}).json()
    assert again["generation"] > claim["generation"] and again["wake_id"] != claim["wake_id"]
    acks = [{"stream": path, "offset": again["streams"][0]["tail_offset"]}]
    assert say(api, one, "ack", again, acks=acks, done=True).json() == {"ok": True, "next_wake": False}
    assert link(api, one, path)["acked_offset"] == again["streams"][0]["tail_offset"]
    assert len(wakes(api, wake, one)) == 2


def test_a_claim_that_is_not_extended_runs_out(server, api, one):
    path, wake = f"e{one}/a", f"wake/{one}"
    pull(api, one, wake, pattern=f"e{one}/*", lease_ttl_ms=1000)
    make(api, stream(path), JSON, b'{"n":1}')
    server.eventually(lambda: wakes(api, wake, one), "a wake is written")
    claim = api.ok("POST", at(one, "/claim"), {"worker": "w"}).json()
    server.eventually(lambda: len(wakes(api, wake, one)) == 2, "its lease ran out")
    assert code(say(api, one, "ack", claim, status=409)) == "FENCED"
    api.ok("POST", at(one, "/claim"), {"worker": "v"})


def test_two_workers_race_and_nothing_is_done_twice(server, one):
    """Both claim as fast as they can; each record is seen by exactly one of them, in order."""
    from bide_client import Api

    path, wake, total, seen, lock = f"e{one}/a", f"wake/{one}", 60, [], threading.Lock()
    api = Api(server.address)
    pull(api, one, wake, pattern=f"e{one}/*", lease_ttl_ms=60000)
    make(api, stream(path), JSON)

    def work(name):
        mine = Api(server.address)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with lock:
                if len(seen) >= total:
                    break
            answer = mine.call("POST", at(one, "/claim"), {"worker": name})
            if answer.status == 409:
                assert code(answer) in ("ALREADY_CLAIMED", "NO_PENDING_WORK")
                continue
            claim = answer.json()
            at_stream = next(s for s in claim["streams"] if s["path"] == path)
            got = mine.ok("GET", f"{stream(path)}?offset={at_stream['acked_offset']}")
            with lock:
                seen.extend(record["n"] for record in got.json())
            say(mine, one, "ack", claim, acks=[{"stream": path, "offset": tail(got)}], done=True)
        mine.close()

    workers = [threading.Thread(target=work, args=(name,)) for name in ("v", "w")]
    for worker in workers:
        worker.start()
    for n in range(total):
        append(api, stream(path), b'{"n":%d}' % n, JSON)
    for worker in workers:
        worker.join(90)
    api.close()
    assert seen == list(range(total))


def test_the_two_kinds_have_their_own_verbs(server, api, one, receiver):
    path = f"e{one}/a"
    webhook(api, one, receiver, pattern=f"e{one}/*")
    pull(api, f"pull{one}", f"wake/{one}", pattern=f"e{one}/*")
    make(api, stream(path), JSON, b'{"n":1}')
    post = receiver.post()
    assert code(api.ok("POST", at(one, "/claim"), {"worker": "w"}, status=400)) == "INVALID_REQUEST"
    assert code(say(api, one, "ack", post.json, status=400)) == "INVALID_REQUEST"
    assert code(say(api, one, "release", post.json, status=400)) == "INVALID_REQUEST"
    claim = api.ok("POST", at(f"pull{one}", "/claim"), {"worker": "w"}).json()
    assert code(say(api, f"pull{one}", "callback", claim, status=400)) == "INVALID_REQUEST"
    assert code(api.ok("POST", at(f"pull{one}", "/claim"), {}, status=400)) == "INVALID_REQUEST"


# --- over a crash

def test_a_wake_survives_a_kill(fresh, receiver):
    """It comes again: at once, or, when the answer to it was heard before the kill, after its lease."""
    server = fresh()
    made = webhook(server.api, "s", receiver, pattern="e/*", lease_ttl_ms=2000)
    make(server.api, stream("e/a"), JSON, b'{"n":1}')
    before = receiver.post()
    server.kill9()
    server.start()
    now = told(server.api, "s")
    assert now["webhook"]["signing"]["kid"] == made["webhook"]["signing"]["kid"]
    assert now["streams"][0]["acked_offset"] == before.json["streams"][0]["acked_offset"]
    after = receiver.post()
    assert after.tail("e/a") == before.tail("e/a")
    acks = [{"stream": "e/a", "offset": after.tail("e/a")}]
    say(server.api, "s", "callback", after.json, acks=acks, done=True)
    server.kill9()
    server.start()
    assert link(server.api, "s", "e/a")["acked_offset"] == after.tail("e/a")
    assert code(say(server.api, "s", "callback", after.json, status=409, done=True)) == "FENCED"
    append(server.api, stream("e/a"), b'{"n":2}', JSON)
    assert receiver.post().json["generation"] > after.json["generation"]


def test_a_claim_survives_a_kill(fresh):
    server = fresh()
    pull(server.api, "s", "wake", pattern="e/*", lease_ttl_ms=600000)
    make(server.api, stream("e/a"), JSON, b'{"n":1}')
    claim = server.api.ok("POST", at("s", "/claim"), {"worker": "w"}).json()
    server.kill9()
    server.start()
    busy = server.api.ok("POST", at("s", "/claim"), {"worker": "v"}, status=409)
    assert busy.json()["error"]["current_holder"] == "w"
    acks = [{"stream": "e/a", "offset": claim["streams"][0]["tail_offset"]}]
    assert say(server.api, "s", "ack", claim, acks=acks, done=True).json() == {"ok": True, "next_wake": False}


def test_the_schedule_of_retries_survives_a_kill(fresh, receiver):
    server = fresh()
    webhook(server.api, "s", receiver, pattern="e/*", lease_ttl_ms=600000)
    receiver.answer(500)
    receiver.usual = DONE
    make(server.api, stream("e/a"), JSON, b'{"n":1}')
    receiver.post()
    failed = server.eventually(lambda: (now := told(server.api, "s"))["status"] == "failed" and now, "it has failed")
    server.kill9()
    server.start()
    now = told(server.api, "s")
    assert now["next_attempt_at"] in (failed["next_attempt_at"], None)
    receiver.post()
    server.eventually(lambda: told(server.api, "s")["status"] == "active", "it works again")


def test_leaving_while_a_webhook_is_under_way(fresh):
    import socket

    server = fresh("--drain", "0s")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        subscribe(server.api, "s", type="webhook", pattern="e/*", webhook={"url": f"http://127.0.0.1:{deaf.getsockname()[1]}/"})
        make(server.api, stream("e/a"), JSON, b'{"n":1}')
        deaf.settimeout(20)
        deaf.accept()[0].close()
        assert server.stop() == 0
