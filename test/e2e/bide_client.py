"""Two HTTP clients for the tests.

`Conn` is a raw socket: it sends exactly the bytes it is given, reads answers one by one (so requests can be
pipelined, parked, cut in half or abandoned), and tells how a connection ended. `Api` goes through the standard
library's http.client, an implementation that shares nothing with the server, for tests that are about jobs
and not about bytes.
"""

import base64
import collections
import http.client
import json
import select
import socket
import struct
import time

ANSWER_S = 20.0  # no answer in a test is allowed to take longer; a wait in a test is shorter than this


class Closed(Exception):
    """The server ended the connection before a whole answer came."""


class Response:
    """One answer: status, headers in order with lower-case names, body; 1xx answers before it in `interim`."""

    def __init__(self, version, status, reason, headers, body, interim=()):
        self.version, self.status, self.reason = version, status, reason
        self.headers, self.body, self.interim = headers, body, list(interim)

    def header(self, name, default=None):
        found = [value for key, value in self.headers if key == name.lower()]
        return found[0] if found else default

    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        """The last part of a problem's type (`fenced` of `/problems/fenced`), or None."""
        if (self.header("content-type") or "").split(";")[0] != "application/problem+json":
            return None
        return self.json()["type"].rsplit("/", 1)[-1]

    @property
    def says_close(self):
        return "close" in (self.header("connection") or "").lower()

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


def request_bytes(method, target, headers=None, body=None, chunked=False):
    """A well-formed request as bytes; Host and the framing header are added unless given."""
    fields = dict(headers or {})
    names = {name.lower() for name in fields}
    if "host" not in names:
        fields["Host"] = "bide"
    if chunked:
        fields["Transfer-Encoding"] = "chunked"
        parts = [body] if isinstance(body, (bytes, bytearray)) else list(body or [])
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
    elif body is not None and "content-length" not in names:
        fields["Content-Length"] = str(len(body))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n"
    return head.encode("latin-1") + (body or b"")


class Conn:
    """A raw connection. Nothing is sent or read but by a call."""

    def __init__(self, address, receive_buffer=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.methods = collections.deque()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- sending

    def send(self, data):
        self.sock.sendall(data)
        return self

    def ask(self, method, target, headers=None, body=None, chunked=False):
        """Sends a request and returns at once; the answer is read by `answer()`, in order."""
        self.methods.append(method)
        return self.send(request_bytes(method, target, headers, body, chunked))

    def call(self, method, target, headers=None, body=None, chunked=False, timeout=ANSWER_S):
        return self.ask(method, target, headers, body, chunked).answer(timeout)

    # -- reading

    def _more(self, deadline):
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        data = self.sock.recv(262144)
        if not data:
            raise Closed(f"end of stream after {bytes(self.buffer[:200])!r}")
        self.buffer += data

    def _until(self, mark, deadline):
        scanned = 0
        while (at := self.buffer.find(mark, scanned)) < 0:
            scanned = max(0, len(self.buffer) - len(mark))
            self._more(deadline)
        taken = bytes(self.buffer[:at])
        del self.buffer[:at + len(mark)]
        return taken

    def _exactly(self, count, deadline):
        while len(self.buffer) < count:
            self._more(deadline)
        with memoryview(self.buffer) as view:
            taken = bytes(view[:count])
        del self.buffer[:count]
        return taken

    def _chunks(self, deadline):
        body = bytearray()
        while size := int(self._until(b"\r\n", deadline).split(b";")[0], 16):
            body += self._exactly(size, deadline)
            assert self._exactly(2, deadline) == b"\r\n"
        while self._until(b"\r\n", deadline):
            pass
        return bytes(body)

    def head(self, timeout=ANSWER_S):
        """Reads a status line and header fields only; the body stays unread."""
        deadline = time.monotonic() + timeout
        lines = self._until(b"\r\n\r\n", deadline).decode("latin-1").split("\r\n")
        version, status, reason = (lines[0] + " ").split(" ", 2)
        headers = [(n.lower(), v.strip()) for n, v in (line.split(":", 1) for line in lines[1:])]
        return Response(version, int(status), reason.strip(), headers, b"")

    def body(self, count, timeout=ANSWER_S):
        """Reads `count` bytes of a body whose head was read by `head()`."""
        return self._exactly(count, time.monotonic() + timeout)

    def answer(self, timeout=ANSWER_S, method=None):
        """The next final answer. Without a method it is the answer to the oldest `ask`."""
        deadline = time.monotonic() + timeout
        method = method or (self.methods.popleft() if self.methods else "GET")
        interim = []
        while (response := self.head(max(0.001, deadline - time.monotonic()))).status < 200:
            interim.append(response)
        response.interim = interim
        if method != "HEAD" and response.status not in (204, 304):
            if response.header("transfer-encoding"):
                response.body = self._chunks(deadline)
            elif response.header("content-length") is not None:
                response.body = self._exactly(int(response.header("content-length")), deadline)
            else:
                response.body = self._rest(deadline)
        return response

    def _rest(self, deadline):
        try:
            while True:
                self._more(deadline)
        except Closed:
            taken = bytes(self.buffer)
            self.buffer.clear()
            return taken

    def quiet(self):
        """Whether nothing has arrived so far: no answer and no end of stream."""
        return not self.buffer and not select.select([self.sock], [], [], 0)[0]

    def ended(self, timeout=ANSWER_S):
        """Waits for the server's end of the connection. Bytes before it are an error."""
        self.sock.settimeout(timeout)
        try:
            data = bytes(self.buffer) or self.sock.recv(65536)
        except ConnectionResetError:
            return True
        assert not data, f"bytes where the end of the connection was expected: {data[:200]!r}"
        return True

    # -- leaving

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Leaves with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Lease:
    """A claimed job as a worker holds it."""

    def __init__(self, job_id, token, attempt, body, fields):
        self.id, self.token, self.attempt, self.body, self.fields = job_id, token, attempt, body, fields

    def __repr__(self):
        return f"<lease {self.id} attempt {self.attempt}>"


class Api:
    """Jobs and workers over http.client; one keep-alive connection, made again when it was closed."""

    def __init__(self, address):
        self.address, self.http = address, None

    def close(self):
        if self.http:
            self.http.close()
        self.http = None

    def call(self, method, path, body=None, headers=None):
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
        if self.http and self.http.sock and select.select([self.http.sock], [], [], 0)[0]:
            self.close()  # the server has ended it while it was idle
        self.http = self.http or http.client.HTTPConnection(*self.address, timeout=ANSWER_S)
        try:
            self.http.request(method, path, body=body, headers=headers or {})
            got = self.http.getresponse()
            answer = Response(got.version, got.status, got.reason, [(n.lower(), v) for n, v in got.getheaders()], got.read())
        except Exception:
            self.close()
            raise
        if got.will_close:
            self.close()
        return answer

    def get(self, path, headers=None):
        return self.call("GET", path, headers=headers)

    def ok(self, method, path, body=None, headers=None, status=200):
        answer = self.call(method, path, body, headers)
        assert answer.status == status, f"{method} {path}: expected {status}, got {answer}"
        return answer

    # -- what a client does

    def submit(self, queue, body=b"", headers=None):
        """Submits and returns the job's JSON."""
        return self.ok("POST", f"/v1/queues/{queue}/jobs", body, headers, 202).json()

    def job(self, job_id, query=""):
        return self.ok("GET", f"/v1/jobs/{job_id}{query}").json()

    def queue(self, queue):
        return self.ok("GET", f"/v1/queues/{queue}").json()

    # -- what a worker does

    def claim(self, *queues, wait="0", lease="60s", most=1, **more):
        """The JSON claim; the leases, in the order given, [] for none."""
        body = {"queues": list(queues), "max": most, "wait": wait, "lease": lease, "worker": "test", **more}
        answer = self.call("POST", "/v1/claim", body)
        assert answer.status in (200, 204), answer
        return leases_of(answer)

    def claim_one(self, queue, wait="0", lease="60s"):
        """The one-job claim; a lease or None."""
        answer = self.call("POST", f"/v1/queues/{queue}/claim?wait={wait}&lease={lease}", b"")
        assert answer.status in (200, 204), answer
        return lease_of(answer)

    def verb(self, lease, verb, body=b"", headers=None, token=None):
        """A worker's verb, whatever it answers."""
        headers = {"Job-Token": token or lease.token, **(headers or {})}
        return self.call("POST", f"/v1/jobs/{lease.id}/{verb}", body, headers)

    def beat(self, lease, /, **fields):
        answer = self.verb(lease, "beat", fields if fields else b"")
        assert answer.status == 200, answer
        return answer.json()

    def done(self, lease, result=b"", content_type="application/octet-stream"):
        answer = self.verb(lease, "done", result, {"Content-Type": content_type})
        assert answer.status == 204, answer

    def fail(self, lease, /, **fields):
        answer = self.verb(lease, "fail", fields)
        assert answer.status == 204, answer

    def release(self, lease, /, **fields):
        answer = self.verb(lease, "release", fields)
        assert answer.status == 204, answer


def leases_of(answer):
    """The leases in an answer to the JSON claim."""
    if answer.status == 204:
        return []
    jobs = answer.json()["jobs"]
    return [Lease(j["id"], j["token"], j["attempt"], base64.b64decode(j["body_base64"]) if "body_base64" in j else None, j)
            for j in jobs]


def lease_of(answer):
    """The lease in an answer to the one-job claim, or None."""
    if answer.status == 204:
        return None
    return Lease(answer.header("job-id"), answer.header("job-token"), int(answer.header("job-attempt")), answer.body, answer)
