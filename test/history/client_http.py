"""The other door: a partition is a stream at /v1/stream/TOPIC/PARTITION. Its readers see what is committed; its writers are plain."""

import base64
import http.client
import json

from client import BLOCK_S, Broken
from history import HEADER

MODES = ("plain",)
HEADERS = False  # nor null records, nor compressed ones, are written at this door
ISOLATIONS = ("read_committed",)


def offset_of(cursor):
    return int(cursor.split("_")[1], 16)


class Client:
    def __init__(self, server):
        host, port = server.rsplit(":", 1)
        self.conn = http.client.HTTPConnection(host, int(port), timeout=BLOCK_S)

    def call(self, method, target, body=None, **headers):
        try:
            self.conn.request(method, target, body, headers)
            answer = self.conn.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Broken(error) from error

    def close(self):
        self.conn.close()


class Writer(Client):
    left = 0

    def __init__(self, server, mode):
        super().__init__(server)

    def send(self, key, data, done, name=None, header=None):
        said = {"Content-Type": "application/octet-stream", **({"Record-Key": name} if name else {})}
        try:
            status, headers, body = self.call("POST", f"/v1/stream/{key}", data, **said)
        except Broken as error:
            done("info", None, str(error))
            raise
        if status == 204:
            done("ok", offset_of(headers["Stream-Next-Offset"]) - 1, None)
        else:
            done("info", None, f"{status} {body[:200]}")

    def serve(self):
        pass

    def flush(self):
        pass


class Reader(Client):
    """Asks for one partition after the other, and for the last one waits."""

    def __init__(self, server, isolation):
        super().__init__(server)
        self.at, self.streams, self.ended = {}, {}, {}  # a cursor is the stream's, and an offset

    def cursor(self, key):
        if key not in self.streams:
            status, headers, _ = self.call("HEAD", f"/v1/stream/{key}")
            if status != 200:
                raise Broken(f"{key}: {status}")
            self.streams[key] = headers["Stream-Next-Offset"].split("_")[0]
        return f"{self.streams[key]}_{self.at[key]:016x}"

    def assign(self, positions):
        self.at = dict(positions)

    def seek(self, positions):
        self.at.update(positions)

    def poll(self, seconds, take):
        for n, key in enumerate(self.at, 1):
            wait = f"&live=long-poll&wait={int(seconds * 1000)}ms" if n == len(self.at) else ""
            target = f"/v1/stream/{key}?format=records&max_bytes=200000&offset={self.cursor(key)}{wait}"
            self.read(key, *self.call("GET", target), take)

    def read(self, key, status, headers, body, take):
        if status == 410:  # deleted meanwhile: from the first that is there
            self.at[key] = offset_of(headers["Stream-Earliest-Offset"])
        elif status not in (200, 204):
            raise Broken(f"{key}: {status} {body[:200]}")
        else:
            for record in json.loads(body or b"[]"):
                value = record["value"]
                data = base64.b64decode(value["base64"]) if isinstance(value, dict) else value and value.encode()
                header = {header["key"]: header["value"] for header in record["headers"]}.get(HEADER)
                take(key, offset_of(record["offset"]), data, record["key"], header)
            self.at[key] = offset_of(headers["Stream-Next-Offset"])
            if headers.get("Stream-Up-To-Date"):
                self.ended[key] = self.at[key]
