"""A network that breaks."""

import select
import socket
import threading


class Relay:
    """Stands before a server and breaks every connection once so many bytes of answers have passed, as long as there are numbers."""

    def __init__(self, port, limits):
        self.target, self.limits = ("127.0.0.1", port), list(limits)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            limit = self.limits.pop(0) if self.limits else None
            threading.Thread(target=self.pass_on, args=(client, limit), daemon=True).start()

    def pass_on(self, client, left):
        try:
            server = socket.create_connection(self.target)
        except OSError:  # there is none at this moment
            client.close()
            return
        with client, server:
            while True:
                for side in select.select([client, server], [], [])[0]:
                    try:
                        data = side.recv(1 << 16)
                        if side is server and left is not None:
                            data, left = data[:left], left - len(data)
                        (client if side is server else server).sendall(data)
                    except OSError:
                        return
                    if not data or (left is not None and left <= 0):
                        return

    def close(self):
        self.listener.close()
