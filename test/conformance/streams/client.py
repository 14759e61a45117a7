"""The published client for Python, as a program might use it: client.py write|long-poll|sse URL RECORDS.

`write` appends records numbered from 0. The others follow the stream until they have so many, and print the numbers. (This
version of the client knows of no end of a stream.) Whatever breaks on the way is met by what the client offers: an append with a
sequence may be repeated, and 409 says that it had been taken; a follower comes back with the offset of the last event it was given.
"""

import random
import sys
import time

import httpx
from durable_streams import DurableStream, DurableStreamError, SeqConflictError, StreamExistsError, stream

BREAKS = (httpx.TransportError, DurableStreamError)
role, url, records = sys.argv[1], sys.argv[2], int(sys.argv[3])


def again(error, place):
    print(f"{error!r}, {place}", file=sys.stderr)
    time.sleep(random.uniform(0, 0.05))


def persistent(action, done):
    while True:
        try:
            return action()
        except done:
            return None
        except BREAKS as error:
            again(error, "again")


def write():
    made = DurableStream(url, content_type="application/json", batching=False)
    persistent(lambda: made.create_stream(content_type="application/json"), StreamExistsError)
    for n in range(records):
        persistent(lambda: made.append({"n": n, "text": "x" * (n % 97)}, seq=f"{n:08d}"), SeqConflictError)
        time.sleep(0.002)


def follow():
    offset, seen = "-1", 0
    while seen < records:
        try:
            with stream(url, offset=offset, live=role, timeout=20.0) as session:
                for event in session.iter_events(mode="json"):
                    for item in event.data:
                        print(item["n"], flush=True)
                        seen += 1
                    offset = event.next_offset
                    if seen >= records:
                        return
        except BREAKS as error:
            again(error, f"from {offset}")


write() if role == "write" else follow()
