"""Large bodies and results: constant memory on the way in and out, nothing lost on the way."""

import hashlib
import http.client
import random

import pytest

from bide_client import ANSWER_S
from bide_server import SANITIZED, SLOW

MIB = 1 << 20
SIZE = 200 * MIB
GROWTH_KIB = 8 * 1024  # the server may take so much more while 200 MiB flow through

pytestmark = pytest.mark.skipif(SANITIZED, reason="memory is the sanitizer's")


class Flow:
    """200 MiB that are made as they are sent; watches the server's memory on the way."""

    def __init__(self, server, seed):
        self.server, self.hash, self.highest_kib = server, hashlib.sha256(), 0
        self.block = random.Random(seed).randbytes(MIB)

    def __iter__(self):
        for n in range(SIZE // MIB):
            part = n.to_bytes(8, "big") + self.block[8:]
            self.hash.update(part)
            if n % 10 == 0:
                self.look()
            yield part

    def look(self):
        self.highest_kib = max(self.highest_kib, self.server.status_kib("RssAnon"))


def send(server, path, flow, headers, chunked):
    http_conn = http.client.HTTPConnection(*server.address, timeout=3 * ANSWER_S * SLOW)
    headers = dict(headers) if chunked else {**headers, "Content-Length": str(SIZE)}
    http_conn.request("POST", path, body=iter(flow), headers=headers, encode_chunked=chunked)
    answer = http_conn.getresponse()
    body = answer.read()
    http_conn.close()
    return answer, body


def receive(server, method, path, flow, headers=None):
    """Reads an answer piece by piece; the headers and the hash of the body."""
    http_conn = http.client.HTTPConnection(*server.address, timeout=3 * ANSWER_S * SLOW)
    http_conn.request(method, path, headers=headers or {})
    answer = http_conn.getresponse()
    assert answer.status == 200
    digest, size = hashlib.sha256(), 0
    while part := answer.read(MIB):
        digest.update(part)
        size += len(part)
        if size % (10 * MIB) < MIB:
            flow.look()
    http_conn.close()
    assert size == SIZE
    return answer, digest.hexdigest()


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_200_mib_in_and_out_in_constant_memory(fresh, chunked):
    server = fresh("--sync", "os" if chunked else "always")
    idle_kib = server.status_kib("RssAnon")
    flow = Flow(server, 1)
    answer, _ = send(server, "/v1/queues/q/jobs", flow, {"Content-Type": "video/x"}, chunked)
    assert answer.status == 202

    claimed, digest = receive(server, "POST", "/v1/queues/q/claim?lease=300s", flow)
    assert digest == flow.hash.hexdigest() and claimed.headers["content-type"] == "video/x"

    job, token = claimed.headers["job-id"], claimed.headers["job-token"]
    result = Flow(server, 2)
    answer, _ = send(server, f"/v1/jobs/{job}/done", result, {"Job-Token": token}, chunked)
    assert answer.status == 204
    _, digest = receive(server, "GET", f"/v1/jobs/{job}/result", result)
    assert digest == result.hash.hexdigest()

    grown = max(flow.highest_kib, result.highest_kib) - idle_kib
    print(f"idle {idle_kib} KiB, at most {grown} KiB more")
    assert grown < GROWTH_KIB

    if not chunked:
        server.kill9()
        server.start()
        _, digest = receive(server, "GET", f"/v1/jobs/{job}/result", result)
        assert digest == result.hash.hexdigest()
    server.api.ok("DELETE", f"/v1/jobs/{job}?forget=true", status=204)
    server.eventually(lambda: server.disk_bytes() < 150 * MIB, "the blobs' room is given back")
