/* What streams keep, told naively: a list of records for each stream, which a fork copies. The random life of streams is held
 * against it. */
#pragma once

#include "sequencer/stream_fixture.h"

enum { KEPT_STREAMS_MAX = 512, KEPT_RECORDS_MAX = 16384, KEPT_VALUE_MAX = 24 };

/* One record, whoever has it. */
struct kept_record {
	uint64_t offset, time_ms;
	uint64_t expires_ms; /* 0: as the stream's others */
	uint64_t blob;       /* its value's place; 0: it came in a batch */
	uint32_t append;     /* which append brought it */
	uint32_t len;
	char value[KEPT_VALUE_MAX];
	char key;      /* 0: none */
	bool replaces; /* … and is replaced by the next one with that key */
	bool dead;
};

struct kept_item {
	uint32_t record;
	uint32_t len; /* of its value, as far as this stream has it */
};

struct kept_stream {
	bool there, gone; /* gone: deleted, but there for its forks */
	bool json, closed;
	uint64_t number;
	struct slice path;
	struct kept_stream *source;
	unsigned forks;
	uint64_t fork_offset, own_offset, next_offset, earliest;
	uint64_t max_age_ms, max_bytes;
	struct kept_item *items;
	size_t count, cap;
};

struct kept {
	struct kept_stream streams[KEPT_STREAMS_MAX];
	size_t stream_count;
	struct kept_record records[KEPT_RECORDS_MAX];
	uint32_t record_count, append_count;
	size_t entries_seen; /* of the fixture's journal */
	uint64_t trimmed, dropped, gathered, moved;
};

void kept_free(struct kept *kept);

struct kept_stream *kept_at(struct kept *kept, struct slice path); /* also one that is gone but there; NULL: none */
struct kept_stream *kept_number(struct kept *kept, uint64_t number);
struct kept_stream *kept_add(struct kept *kept, struct slice path, uint64_t number);
/* It begins with what the source has before these. */
void kept_fork(struct kept_stream *fork, struct kept_stream *source, uint64_t offset, uint64_t sub);
/* One more, at the end. */
void kept_append(struct kept *kept, struct kept_stream *stream, const struct kept_record *record);
void kept_delete(struct kept_stream *stream);

/* The i-th, if it can be read; NULL: it cannot. */
const struct kept_record *kept_visible(const struct kept *kept, const struct kept_stream *stream, size_t i);
/* What can be read at that offset; count: nothing. */
size_t kept_find(const struct kept *kept, const struct kept_stream *stream, uint64_t offset);
/* Behind the last record at or behind the i-th that came with the same append. */
uint64_t kept_append_end(const struct kept *kept, const struct kept_stream *stream, size_t i);
/* Whether (number, offset) is a place of it, as its own or an ancestor's. */
bool kept_place(const struct kept_stream *stream, uint64_t number, uint64_t offset);

/* What the sequencer has let go and moved of its own, by its journal: each must be right. */
void kept_follow(struct kept *kept);
/* Nothing is kept that is too old or too much; all deadlines have been handled. */
void kept_check(const struct kept *kept);
/* Read from (number, offset) to the end, some bytes at a time: exactly what it has from there on. */
void kept_expect_read(const struct kept *kept, const struct kept_stream *stream, struct stream_read_in in);
