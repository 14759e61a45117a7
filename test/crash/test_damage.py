"""Damaged journals: cut at every length of their last entries, bits flipped, garbage behind the end. Either what was acknowledged
up to some point is there, or the server refuses to start and says where; wrong bytes are never served."""

import http.client
import os
import random
import shutil

import pytest

from bide_client import Closed, Conn
from bide_server import SANITIZED, SOAK, Died, Server
from damage import CORRUPT, FLAGS, History


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return History(Server(tmp_path_factory.mktemp("damage") / "data", *FLAGS).start())


def thinned(positions, most):
    """All of them in a soak or when there are few enough, else evenly spread ones with both edges."""
    positions = list(positions)
    most = most // 5 if SANITIZED else most
    if SOAK or len(positions) <= most:
        return positions
    return sorted({positions[round(n * (len(positions) - 1) / (most - 1))] for n in range(most)})


def test_undamaged_it_shows_all(history, tmp_path):
    steps, _ = history.try_start(history.damaged(tmp_path / "copy", lambda data: data))
    assert steps == len(history.states) - 1


def test_a_tail_of_zeros_at_every_length_of_the_last_entries_is_recovered(history, tmp_path):
    """This is what a crash leaves in a segment that was filled with zeros ahead: it must start."""
    end, begin, before = history.ends[-1], history.ends[-3], 0
    for length in thinned(range(begin, end + 1), 150):
        def cut(data, length=length):
            data[length:] = bytes(len(data) - length)
            return data
        steps, said = history.try_start(history.damaged(tmp_path / "copy", cut))
        assert steps is not None, f"refused a torn tail at {length}: {said}"
        assert steps >= len(history.states) - 3, f"cut at {length} lost more than the last two steps: {steps}"
        assert steps >= before, f"more bytes, less state at {length}"
        before = steps
    assert before == len(history.states) - 1


def test_a_file_cut_at_every_length_of_the_last_entries_is_recovered_or_refused(history, tmp_path):
    end, begin = history.ends[-1], history.ends[-2]
    for length in thinned(range(begin, end + 1), 60):
        steps, _ = history.try_start(history.damaged(tmp_path / "copy", lambda data, length=length: data[:length]))
        assert steps is None or steps >= len(history.states) - 2, (length, steps)


def test_a_file_cut_anywhere_is_recovered_or_refused(history, tmp_path):
    for length in thinned(range(0, history.ends[-2]), 25):
        history.try_start(history.damaged(tmp_path / "copy", lambda data, length=length: data[:length]))


def test_garbage_behind_the_end_is_cut(history, tmp_path):
    """Sectors of a torn write: whatever lies behind the last whole entry was never acknowledged."""
    rng = random.Random(2)
    for size in (1, 3, 8, 31, 64, 511, 512, 4096) * (1 if SANITIZED else 2):
        def add(data, size=size):
            at = history.ends[-1] + 64
            data[at:at + size] = rng.randbytes(size)
            return data
        steps, _ = history.try_start(history.damaged(tmp_path / "copy", add))
        assert steps in (None, len(history.states) - 1), (size, steps)


def test_a_flipped_bit_before_the_last_entries_is_refused_or_harmless(history, tmp_path):
    """Valid entries lie behind it: it is no torn tail, and to start without them would lose what was acknowledged."""
    rng, last = random.Random(3), history.ends[-4]
    refused = 0
    for at in sorted(rng.randrange(0, last) for _ in range(2000 if SOAK else 16 if SANITIZED else 100)):
        bit = 1 << rng.randrange(8)
        def flip(data, at=at, bit=bit):
            data[at] ^= bit
            return data
        steps, said = history.try_start(history.damaged(tmp_path / "copy", flip))
        refused += steps is None
        assert steps in (None, len(history.states) - 1), f"bit {bit} at {at}: started with {steps} steps: {said}"
    assert refused, "not one flipped bit was noticed"


def test_every_flipped_byte_of_the_last_entry_cuts_it_or_is_refused(history, tmp_path):
    begin, end = history.ends[-2], history.ends[-1]
    for at in thinned(range(begin, end), 60):
        def flip(data, at=at):
            data[at] ^= 0xff
            return data
        steps, said = history.try_start(history.damaged(tmp_path / "copy", flip))
        assert steps is None or steps >= len(history.states) - 2, f"byte {at}: {steps} steps: {said}"


def test_salvage_goes_on_behind_the_damage_and_says_what_it_lost(history, tmp_path):
    body = list(history.bodies.values())[3]

    def flip(data):
        data[data.find(body) + 5] ^= 0x20
        return data

    data = history.damaged(tmp_path / "copy", flip)
    steps, said = history.try_start(data)
    assert steps is None, "damage in the middle was not noticed"
    server = Server(data, *FLAGS).start("--salvage")
    said = server.stderr()
    assert any(word in said.lower() for word in ("lost", "salvage", "skipped")), said
    seen, final = history.seen(server.api), history.states[-1]
    lost = [handle for handle in final if handle not in seen]
    assert len(lost) <= 2, f"salvage lost {len(lost)} jobs for one flipped bit"
    for handle, state in seen.items():
        assert state == final[handle] or state in (("unreadable",), ("open",)), (handle, state)
    new = server.api.submit("after")["id"]
    server.kill9()
    server.start()
    assert server.api.job(new)["state"] == "ready", "what salvage left does not start again"
    server.kill9()


CHUNK = 64 << 10  # of a blob: what is checked at a time (doc/journal-format.md)


def with_result(fresh, result):
    """A server that was stopped with a job whose result is that, and the result's path."""
    server = fresh("--segment-size", "2M")
    job = server.api.submit("q")["id"]
    server.api.done(server.api.claim_one("q"), result)
    server.stop()
    return server, f"/v1/jobs/{job}/result"


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("where", [0, 0.01, 0.1, 0.5, 0.999, 0.99999])
def test_a_damaged_blob_is_never_served_whole(fresh, where):
    result = random.Random(4).randbytes(3 << 20)
    server, url = with_result(fresh, result)
    path, data = blob_of(server.data, result)
    at = int(len(data) * where)
    flip(path, at)
    try:
        server.start()
    except Died as died:
        assert died.code == CORRUPT
        return
    if at < CHUNK or at >= len(result):  # the first chunk, or the checksums: there is still a status to say
        answer = server.api.get(url)
        assert (answer.status, answer.problem) == (503, "storage-failed"), answer
    else:
        assert_cut_before(server, url, result, at // CHUNK * CHUNK)
    assert server.api.submit("q", b"alive")["state"] == "ready"


def assert_cut_before(server, url, result, most):
    """What comes is right, is not more than that, and the client knows that it has not all."""
    with Conn(server.address) as conn:
        head = conn.ask("GET", url).head()
        assert head.status == 200 and int(head.header("content-length")) == len(result)
        with pytest.raises((Closed, ConnectionError)):
            conn.body(len(result))
        assert len(conn.buffer) <= most, "more than what lies before the damage"
        assert conn.buffer == result[:len(conn.buffer)], "wrong bytes were served"


def test_ranges_of_a_damaged_blob_are_right_or_refused(fresh):
    result = random.Random(6).randbytes(20 * CHUNK + 1000)
    server, url = with_result(fresh, result)
    flip(blob_of(server.data, result)[0], 7 * CHUNK + 5)
    server.start()

    def part(begin, end):
        return server.api.get(url, {"Range": f"bytes={begin}-{end - 1}"})

    for begin, end in ((0, 10), (CHUNK - 3, CHUNK + 3), (0, 7 * CHUNK), (6 * CHUNK + 9, 7 * CHUNK), (8 * CHUNK, len(result)),
                       (9 * CHUNK + 1, 9 * CHUNK + 2), (len(result) - 1, len(result))):
        answer = part(begin, end)
        assert answer.status == 206 and answer.body == result[begin:end], (begin, end, answer.status)
    for begin, end in ((7 * CHUNK, 7 * CHUNK + 1), (7 * CHUNK + 5, 7 * CHUNK + 6), (8 * CHUNK - 1, 8 * CHUNK), (7 * CHUNK, len(result))):
        answer = part(begin, end)
        assert (answer.status, answer.problem) == (503, "storage-failed"), (begin, end, answer)
    for begin, end in ((6 * CHUNK, 8 * CHUNK), (7 * CHUNK - 1, 7 * CHUNK + 1)):
        with pytest.raises((Closed, ConnectionError, http.client.IncompleteRead)):
            part(begin, end)


@pytest.mark.parametrize("change", [-1, 1, -CHUNK, 4096])
def test_a_blob_of_another_length_is_told(fresh, change):
    result = random.Random(7).randbytes(2 << 20)
    server, url = with_result(fresh, result)
    path, data = blob_of(server.data, result)
    os.truncate(path, len(data) + change)
    server.start()
    assert "reading it will fail" in server.stderr()
    answer = server.api.get(url)
    assert (answer.status, answer.problem) == (503, "storage-failed"), answer


def blob_of(folder, content):
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                data = file.read()
            if content in data:
                return path, bytearray(data)
    raise AssertionError("no blob holds the result")


def test_a_missing_blob_is_told(fresh):
    result = b"0123456789" * (300 << 10)
    server, url = with_result(fresh, result)
    server.start()
    other = server.api.submit("q", b"fine")["id"]
    server.stop()
    os.unlink(blob_of(server.data, result)[0])
    try:
        server.start()
    except Died as died:
        assert died.code == CORRUPT
        return
    assert "is missing" in server.stderr()
    answer = server.api.get(url)
    assert (answer.status, answer.problem) == (503, "storage-failed"), answer
    assert server.api.job(other)["state"] == "ready"


def test_bits_flipped_anywhere_in_a_long_history(fresh, tmp_path):
    """Many segments, perhaps a checkpoint: whichever file is hit, no wrong bytes and no quiet loss."""
    server = fresh(*FLAGS)
    jobs = {}
    for n in range(400):
        body = b"%04d" % n * 1000
        jobs[server.api.submit("q", body, {"Job-Priority": str(n)})["id"]] = body
    server.stop()
    files = [os.path.join(folder, name) for folder, _, names in os.walk(server.data) for name in names]
    rng, outcomes = random.Random(5), []
    for _ in range(300 if SOAK else 6 if SANITIZED else 25):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(server.data, tmp_path / "copy")
        victim = rng.choice([f for f in files if os.path.getsize(f)])
        with open(tmp_path / "copy" / os.path.relpath(victim, server.data), "r+b") as file:
            at = rng.randrange(os.path.getsize(victim))
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << rng.randrange(8)]))
        outcomes.append(look_at(Server(tmp_path / "copy", *FLAGS), jobs))
    print(outcomes)


def look_at(server, jobs):
    try:
        server.start()
    except Died as died:
        assert died.code == CORRUPT, died
        return "refused"
    try:
        known = server.api.queue("q")["counts"]["ready"]
        assert known >= len(jobs) - 1, f"{len(jobs) - known} acknowledged jobs are gone without a word"
        for _ in range(known):
            answer = server.api.call("POST", "/v1/queues/q/claim?wait=0", b"")
            assert answer.status >= 500 or answer.body == jobs[answer.header("job-id")]
        return "served"
    except (Closed, ConnectionError):
        return "cut"
    finally:
        server.kill9()
