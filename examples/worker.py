#!/usr/bin/env python3
"""A whole worker with nothing but Python's standard library.

usage: examples/worker.py QUEUE         (BIDE_SERVER, default http://127.0.0.1:7080)
try:   curl -d 'how many words are here' -H 'Prefer: wait=20' $BIDE_SERVER/v1/queues/words/jobs
       with  examples/worker.py words  running

It claims by long poll, beats while it works (which extends the lease and brings the news of a cancel), and survives a server
that restarts: whatever fails to reach it is tried again, and the token keeps a late answer from doing harm.
"""
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

SERVER = os.environ.get("BIDE_SERVER", "http://127.0.0.1:7080").rstrip("/")
NAME = f"{socket.gethostname()}-{os.getpid()}"
BEAT_SECONDS = 10  # the default lease is 60 s
leaving, claiming = threading.Event(), threading.Event()


class Fenced(Exception):
    """The lease is no longer ours; somebody else has the job, or it is canceled."""


class Canceled(Exception):
    """Nobody wants the result any more."""


def call(path, body=b"", **headers):
    """One request; the server being away is not an error but a reason to try again. Returns (status, headers, body)."""
    pause = 0.2
    while True:
        request = urllib.request.Request(SERVER + path, data=body, method="POST")
        for key, value in headers.items():
            request.add_header(key.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as problem:
            if problem.code in (429, 503, 507):  # full, or leaving: it says when to come back
                time.sleep(float(problem.headers.get("Retry-After") or pause))
                continue
            if problem.code in (404, 409, 410):
                raise Fenced(problem.read().decode(errors="replace")) from None
            raise
        except (OSError, http.client.HTTPException) as gone:
            print(f"the server is away ({gone}); again in {pause:.1f} s", file=sys.stderr)
            time.sleep(pause)
            pause = min(pause * 2, 5)


class Job:
    def __init__(self, headers, body):
        self.id, self.token, self.attempt = headers["Job-Id"], headers["Job-Token"], int(headers["Job-Attempt"])
        self.content_type, self.body = headers.get("Content-Type", "application/octet-stream"), body
        self.progress, self.message = None, None
        self.writer, self.written = str(uuid.uuid4()), 0
        self.over, self.canceled = threading.Event(), threading.Event()

    def beat(self):
        report = {"progress": self.progress, "message": self.message}
        report = json.dumps({key: value for key, value in report.items() if value is not None}).encode()
        _, _, answer = call(f"/v1/jobs/{self.id}/beat", report, Job_Token=self.token, Content_Type="application/json")
        if json.loads(answer)["cancel"]:
            self.canceled.set()

    def beat_until_over(self):
        while not self.over.wait(BEAT_SECONDS):
            try:
                self.beat()
            except Fenced:
                self.canceled.set()
                return

    def report(self, progress, message):
        """Tells whoever waits how far it is; raises Canceled when nobody does any more."""
        self.progress, self.message = progress, message
        self.beat()
        if self.canceled.is_set():
            raise Canceled

    def write(self, text):
        """Appends to the job's output, which whoever has the handle may follow. Numbered: sent twice, it is there once."""
        call(f"/v1/jobs/{self.id}/output", text.encode(), Job_Token=self.token, Content_Type="text/plain; charset=utf-8",
             Producer_Id=self.writer, Producer_Epoch="0", Producer_Seq=str(self.written))
        self.written += 1

    def done(self, result, content_type):
        call(f"/v1/jobs/{self.id}/done", result, Job_Token=self.token, Content_Type=content_type)

    def fail(self, error):
        body = json.dumps({"error": error, "retry": True}).encode()
        call(f"/v1/jobs/{self.id}/fail", body, Job_Token=self.token, Content_Type="application/json")


def work(job):
    """The work itself: put your own here. Counts words, slowly enough to be watched."""
    words = job.body.decode().split()
    for number, word in enumerate(words, 1):
        job.report(number / (len(words) + 1), f"read “{word}”")
        job.write(f"{number} {word}\n")
        time.sleep(0.3)
    return f"{len(words)} words\n".encode(), "text/plain"


def claim(queue):
    """Held by the server until there is a job; None when there was none for half a minute."""
    # The attempt id makes a repeated claim (the answer got lost) return the same job, not a second one.
    attempt_id = str(uuid.uuid4())
    body = json.dumps({"queues": [queue], "max": 1, "wait": "30s", "worker": NAME, "attempt_id": attempt_id}).encode()
    claiming.set()
    status, _, answer = call("/v1/claim", body, Content_Type="application/json")
    claiming.clear()
    if status == 204:
        return None
    return job_from_json(json.loads(answer)["jobs"][0])


def job_from_json(claimed):
    import base64

    headers = {"Job-Id": claimed["id"], "Job-Token": claimed["token"], "Job-Attempt": claimed["attempt"]}
    headers["Content-Type"] = claimed["content_type"]
    if "body_base64" in claimed:
        return Job(headers, base64.b64decode(claimed["body_base64"]))
    request = urllib.request.Request(SERVER + claimed["body_url"], headers={"Job-Token": claimed["token"]})
    with urllib.request.urlopen(request, timeout=70) as answer:
        return Job(headers, answer.read())


def run(job):
    print(f"{job.id}: attempt {job.attempt}, {len(job.body)} bytes")
    beats = threading.Thread(target=job.beat_until_over, daemon=True)
    beats.start()
    try:
        result, content_type = work(job)
        job.done(result, content_type)
        print(f"{job.id}: done")
    except (Canceled, Fenced) as why:
        print(f"{job.id}: dropped ({type(why).__name__.lower()})")
    except Exception as error:  # the work itself failed: say so, it will be tried again
        job.fail(repr(error))
        print(f"{job.id}: failed: {error!r}")
    finally:
        job.over.set()
        beats.join()


def leave(*_):
    """Finishes the job in hand; a held claim is dropped, and the server gives what it would have brought to the next worker."""
    leaving.set()
    if claiming.is_set():
        sys.exit(0)


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, leave)
    while not leaving.is_set():
        job = claim(sys.argv[1])
        if job:
            run(job)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
