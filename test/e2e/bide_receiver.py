"""A receiver of webhooks: takes what is posted to it, and answers as it was told to."""

import base64
import http.server
import json
import queue
import threading

HEARD_S = 30.0  # longer than any back-off in a test


class Post:
    """What was posted, once."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.json = json.loads(body)

    def tail(self, path):
        return next(s["tail_offset"] for s in self.json["streams"] if s["path"] == path)

    def signature(self):
        """The parameters of Webhook-Signature."""
        return dict(part.split("=", 1) for part in self.headers["Webhook-Signature"].split(","))

    def verify(self, jwks):
        """Raises if the signature is not that of one of these keys."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        said = self.signature()
        key = next(key for key in jwks["keys"] if key["kid"] == said["kid"])
        Ed25519PublicKey.from_public_bytes(unpadded(key["x"])).verify(unpadded(said["ed25519"]),
                                                                      said["t"].encode() + b"." + self.body)


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Receiver:
    """`answers` are given one after the other, then `usual` for ever: (status, body), or a function of the post that gives them.
    `tls`: an ssl.SSLContext."""

    def __init__(self, usual=(200, b""), port=0, tls=None):
        self.usual, self.answers, self.posts = usual, queue.Queue(), queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                post = Post(self.path, self.headers, body)
                try:
                    given = receiver.answers.get_nowait()
                except queue.Empty:
                    given = receiver.usual
                receiver.posts.put(post)
                status, answer = given(post) if callable(given) else given
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 1024

        self.http = Listener(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook"
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, status, body=b""):
        self.answers.put((status, body))

    def post(self):
        """The next one, when it comes."""
        return self.posts.get(timeout=HEARD_S)

    def nothing(self):
        return self.posts.empty()


DONE = (200, b'{"done":true}')
