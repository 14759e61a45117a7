#!/usr/bin/env python3
"""A receiver of webhooks: is called when streams have something new, reads it, and says that it is done.

usage: examples/webhook.py PATTERN [PORT]     (BIDE_SERVER, default http://127.0.0.1:7080; PORT 0 picks one, 9000 unless said)
try:   examples/webhook.py 'orders/*'  and beside it
       curl -X PUT $BIDE_SERVER/v1/stream/orders/1 -H 'Content-Type: application/json' -d '{"pizza":"funghi"}'

It makes the subscription, which stays when it ends: start it again, and it is told what it missed. It believes nothing that is
not signed by the server. It may be called twice with the same, so what it does with a record should bear that.
Needs python3-cryptography.
"""
import base64
import http.server
import json
import os
import sys
import time
import urllib.parse
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SERVER = os.environ.get("BIDE_SERVER", "http://127.0.0.1:7080").rstrip("/")
WINDOW_S = 300  # how old a signature may be


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def keys():
    with urllib.request.urlopen(f"{SERVER}/v1/stream/__ds/jwks.json", timeout=10) as answer:
        return {key["kid"]: Ed25519PublicKey.from_public_bytes(unpadded(key["x"])) for key in json.load(answer)["keys"]}


def is_genuine(header, body, known):
    """Signed by one of the known keys, and not long ago."""
    try:
        said = dict(part.split("=", 1) for part in header.split(","))
        known[said["kid"]].verify(unpadded(said["ed25519"]), said["t"].encode() + b"." + body)
        return abs(time.time() - int(said["t"])) < WINDOW_S
    except (KeyError, ValueError, InvalidSignature):
        return False


def read(link):
    """What is behind the acked offset, up to the tail that the wake tells."""
    at = link["acked_offset"]
    while at < link["tail_offset"]:
        path = urllib.parse.quote(link["path"])
        with urllib.request.urlopen(f"{SERVER}/v1/stream/{path}?offset={at}", timeout=30) as answer:
            yield answer.read().decode(errors="replace")
            at = answer.headers["Stream-Next-Offset"]


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_genuine(self.headers.get("Webhook-Signature", ""), body, self.known):
            self.answer(401, {})
            return
        wake = json.loads(body)
        try:
            for link in filter(lambda each: each["has_pending"], wake["streams"]):
                for records in read(link):
                    print(link["path"], records, flush=True)
        except OSError as problem:
            print(f"later: {problem}", file=sys.stderr)
            self.answer(503, {})  # it is called again
            return
        self.answer(200, {"done": True})

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def subscribe(pattern, port):
    """Whoever asks for the same again gets the same; another port is another subscription."""
    name = urllib.parse.quote(f"example {pattern} {port}", safe="")
    said = {"type": "webhook", "pattern": pattern, "webhook": {"url": f"http://127.0.0.1:{port}/"}}
    urllib.request.urlopen(urllib.request.Request(f"{SERVER}/v1/stream/__ds/subscriptions/{name}", json.dumps(said).encode(),
                                                  {"Content-Type": "application/json"}, method="PUT"), timeout=10).close()


def main(arguments):
    if len(arguments) not in (1, 2):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    Receiver.known = keys()
    with http.server.ThreadingHTTPServer(("127.0.0.1", int((*arguments, "9000")[1])), Receiver) as listener:
        port = listener.server_address[1]
        subscribe(arguments[0], port)
        print(f"called at http://127.0.0.1:{port}/", flush=True)
        try:
            listener.serve_forever()
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
