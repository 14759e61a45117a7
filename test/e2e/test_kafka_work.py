"""Requests that ask for much work: each is done within the time that an answer may take, and others are answered meanwhile."""

import struct
import zlib

import pytest

from bide_kafka import LIST_OFFSETS, METADATA, PRODUCE, api_versions, batch_of, fetch_in_session, fetched_in_session, flexible, frame, kafka_server, metadata, produce, string

server = kafka_server()

CREATE_TOPICS, INIT_PRODUCER_ID, LIST_GROUPS, LIST_TRANSACTIONS, OFFSET_COMMIT = 19, 22, 16, 66, 8
JOIN_GROUP, OFFSET_DELETE, INCREMENTAL_ALTER_CONFIGS = 11, 47, 44
MANY = 150_000


def count(number):
    return struct.pack(">i", number)


def asked(server, question):
    """The answer to it; who asks behind it, on another connection, is answered, too."""
    with server.open_kafka() as conn, server.open_kafka() as other:
        body = conn.send(question).answer()[1]
        assert other.send(api_versions(2)).answer()[0] == 2
    return body


def test_many_topics_to_be_made(server):
    plain = struct.pack(">ihii", 0, 1, 0, 0)  # no partitions, which is refused
    topics = b"".join(string(f"{n:06}") + plain for n in range(MANY)) + string("000000") + plain
    body = asked(server, frame(CREATE_TOPICS, 1, 1, count(MANY + 1) + topics + count(1000) + b"\1"))
    assert body[:4] == count(MANY + 1)
    assert body.count(b"\x00\x06000000\x00\x2a") == 2  # INVALID_REQUEST: it is named twice
    assert body.count(b"\x00\x06000001\x00\x25") == 1  # INVALID_PARTITIONS


def test_many_topics_to_be_looked_for(server):
    names = b"".join(string(f"!{n:06}") for n in range(MANY))
    body = asked(server, frame(METADATA, 4, 1, count(MANY + 1) + names + string("!000000") + b"\1"))
    assert body.count(b"\x00\x11\x00\x07!") == MANY + 1  # INVALID_TOPIC_EXCEPTION


def test_the_same_topic_twice_is_made_once(server):
    body = asked(server, frame(METADATA, 4, 1, count(3) + string("twin") + string("other") + string("twin") + b"\1"))
    assert body.count(b"\x00\x00\x00\x04twin") == 2 and body.count(b"\x00\x00\x00\x05other") == 1


def varint(number):
    low = number & 0x7F
    return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + varint(number >> 7)


def test_many_filters_of_many_groups(server):
    groups = 3000
    with server.open_kafka() as conn:
        conn.send(metadata(1, "topic")).answer()
        for n in range(groups):
            place = count(1) + string("topic") + struct.pack(">iiq", 1, 0, 0) + string("")
            message = string(f"group-{n}") + count(-1) + string("") + struct.pack(">q", -1) + place
            conn.send(frame(OFFSET_COMMIT, 2, n, message))
        for n in range(groups):
            assert conn.answer()[0] == n
    filters = varint(900_000) + b"\x06emptz" * 899_998 + b"\x06empty"
    body = asked(server, flexible(LIST_GROUPS, 4, 1, filters + b"\0"))
    assert body.count(b"\x06Empty") == groups
    body = asked(server, flexible(LIST_GROUPS, 4, 1, b"\x02\x07Stable\0"))
    assert body.count(b"\x06Empty") == 0


def test_transactions_are_told_by_state_and_producer(server):
    ids = {}
    with server.open_kafka() as conn:
        for name in ("one", "two", "three"):
            body = conn.send(frame(INIT_PRODUCER_ID, 0, 1, string(name) + count(60000))).answer()[1]
            ids[name] = struct.unpack(">i2xq", body[:14])[1]

        def told(states, producers):
            states = varint(len(states) + 1) + b"".join(varint(len(state) + 1) + state.encode() for state in states)
            producers = varint(len(producers) + 1) + b"".join(struct.pack(">q", one) for one in producers)
            body = conn.send(flexible(LIST_TRANSACTIONS, 0, 1, states + producers + b"\0")).answer()[1]
            return {name for name in ids if varint(len(name) + 1) + name.encode() + struct.pack(">q", ids[name]) in body}, body

        assert told([], [])[0] == set(ids)
        assert told(["Empty", "Dead"], [])[0] == set(ids)
        assert told(["Ongoing"], [])[0] == set()
        assert told(["Dead"], [])[0] == set()
        assert told([], [ids["two"], 1 << 40, ids["one"]])[0] == {"one", "two"}
        found, body = told(["Empty", "Nonsense"], list(range(1 << 20, (1 << 20) + 100_000)) + [ids["three"]])
        assert found == {"three"} and b"\x09Nonsense" in body


def bomb():
    """Nearly 64 MiB of zeros in 63 KiB."""
    layer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    return batch_of(1, b"".join(layer.compress(zeros) for _ in range(63)) + layer.flush())


def test_many_batches_that_become_large(server):
    pytest.importorskip("kafka")
    settings = b'{"partitions":1,"settings":{"cleanup.policy":"compact"}}'
    assert server.api.call("PUT", "/v1/topics/packed", settings, {"Content-Type": "application/json"}).status == 201
    batch, many = bomb(), 300
    partition = struct.pack(">ii", 0, len(batch)) + batch
    message = string(None) + struct.pack(">hii", -1, 10000, 1) + string("packed") + count(many) + partition * many
    body = asked(server, frame(PRODUCE, 7, 1, message))
    errors = [struct.unpack(">h", body[20 + 30 * n : 22 + 30 * n])[0] for n in range(many)]
    assert errors == [87] * 5 + [56] * (many - 5)  # INVALID_RECORD while they are looked into, then KAFKA_STORAGE_ERROR


def test_one_batch_that_becomes_large_looked_into_very_often(server):
    pytest.importorskip("kafka")
    many = 1000
    with server.open_kafka() as conn:
        conn.send(metadata(1, "large")).answer()
        conn.send(produce(2, "large", 0, bomb(), version=7)).answer()
    message = count(-1) + count(1) + string("large") + count(many) + struct.pack(">iq", 0, -3) * many
    body = asked(server, frame(LIST_OFFSETS, 1, 1, message))
    errors = [struct.unpack(">h", body[19 + 22 * n : 21 + 22 * n])[0] for n in range(many)]
    assert errors == [0] * 5 + [56] * (many - 5)


def test_many_topics_whose_offsets_are_to_go_and_many_that_are_followed(server):
    names = b"".join(string(f"followed-{n:05}") for n in range(40_000))
    metadata = struct.pack(">hi", 0, 40_000) + names + count(0)
    protocols = count(1) + string("range") + count(len(metadata)) + metadata
    message = string("followers") + count(30_000) + string("") + string("consumer") + protocols
    topics = b"".join(string(f"another-{n:06}") + struct.pack(">ii", 1, 0) for n in range(MANY))
    topics += string("followed-00007") + struct.pack(">ii", 1, 0)
    with server.open_kafka() as conn:
        body = conn.send(frame(JOIN_GROUP, 0, 1, message)).answer()[1]
        assert body[:2] == b"\0\0"
        body = asked(server, frame(OFFSET_DELETE, 0, 1, string("followers") + count(MANY + 1) + topics))
    assert body[:2] == b"\0\0" and body[6:10] == count(MANY + 1)
    assert body[-14:].endswith(struct.pack(">iih", 1, 0, 86))  # GROUP_SUBSCRIBED_TO_TOPIC
    assert body.count(struct.pack(">iih", 1, 0, 3)) == MANY


def test_more_partitions_than_one_request_may_make(server):
    topics = b"".join(string(f"wide-{n:03}") + struct.pack(">ihii", 1000, 1, 0, 0) for n in range(300))
    body = asked(server, frame(CREATE_TOPICS, 1, 1, count(300) + topics + count(1000) + b"\1"))
    errors = [struct.unpack(">h", body[at + 8 : at + 10])[0] for at in (body.index(f"wide-{n:03}".encode()) for n in range(300))]
    assert errors == [0] * 100 + [44] * 200  # POLICY_VIOLATION


def test_a_session_keeps_no_name_that_no_topic_can_have(server):
    with server.open_kafka() as conn:
        longest, longer = "x" * 249, "x" * 250
        assert fetched_in_session(conn.send(fetch_in_session(1, 0, 0, {longer: {0: 0}})).answer()[1])[1] == 0
        error, session, told = fetched_in_session(conn.send(fetch_in_session(2, 0, 0, {longest: {0: 0}})).answer()[1])
        assert (error, told[longest, 0][0]) == (0, 3) and session > 0
        error, _, _ = fetched_in_session(conn.send(fetch_in_session(3, session, 1, {longer: {0: 0}})).answer()[1])
        assert error == 70  # FETCH_SESSION_ID_NOT_FOUND: it begins anew


def altered(op, value):
    key = string("follower.replication.throttled.replicas")
    resource = b"\x02" + string("listed") + count(1) + key + bytes([op]) + struct.pack(">h", len(value)) + value
    return frame(INCREMENTAL_ALTER_CONFIGS, 0, 1, count(1) + resource + b"\0")


def test_items_of_a_setting_come_and_go(server):
    with server.open_kafka() as conn:
        conn.send(metadata(1, "listed")).answer()

        def alter(op, value):
            return struct.unpack(">h", conn.send(altered(op, value)).answer()[1][8:10])[0]

        assert alter(2, b"0:1,1:2,,2:3") == 0 and alter(2, b"1:2, 3:4") == 0 and alter(3, b"9:9,0:1,2:3") == 0
        assert server.api.call("GET", "/v1/topics/listed").json()["settings"]["follower.replication.throttled.replicas"] == "1:2,3:4"
        assert alter(2, b"1:1," * 1000) == 0 and alter(3, b"1:1") == 0
        assert alter(3, b"," * 4097) == 40  # INVALID_CONFIG
