/* Streams in the simulated world: writers that append and say things twice, readers that keep a cursor and come and go, and what
 * anybody outside was ever told, which no crash may take back. Part of world.h. */
#pragma once

#include "sim/stream_model.h"
#include "wait/board.h"
#include "wait/wheel.h"

struct world;
struct loop;
struct ask;
struct expected;

enum { STREAM_PATHS = 6, WRITERS = 18, READERS = 14, STREAM_COUNT_MAX = 10, STREAM_PRODUCERS = 3 };

/* One that appends to one path. What it has to say it says until it hears what became of it, whenever the stream can tell a
 * repeat: by producer, or by Stream-Seq. */
struct writer {
	struct ask *ask; /* under way, or NULL */
	unsigned path;
	char id[8]; /* as a producer; empty: none */
	bool sequenced;
	char type[MODEL_STREAM_CHARS];
	uint64_t epoch, seq;
	bool has; /* a message: */
	uint64_t serial;
	uint32_t count;
	bool blob, closes;
	char key;        /* it replaces the last with it; 0: none */
	uint64_t ttl_ms; /* 0: as long as the others */
};

enum reader_state { READER_AWAY, READER_LOOKING, READER_PARKED };

struct reader {
	struct wait wait;
	struct wheel_entry timer;
	struct world *world;
	struct loop *loop;
	struct ask *ask; /* under way, or NULL */
	enum reader_state state;
	unsigned path;
	uint64_t number, offset; /* its cursor; number 0: it has none */
};

/* Of one stream: what somebody outside has heard, and may rely on. */
struct told_chunk {
	uint64_t offset, count, content;
};
struct told {
	struct told_chunk *chunks;
	size_t count, cap;
	bool gone, closed;
	uint64_t closed_at, earliest;
	uint64_t job; /* whose output it is; 0: nobody's */
};

struct stream_world {
	struct writer writers[WRITERS];
	struct reader readers[READERS];
	struct told *told; /* by number */
	uint64_t told_cap;
	uint64_t serial, epoch;
	uint64_t overdue_ms; /* memory was short when time was looked at: what was due then may come later */
	uint64_t appends, repeats, reads, records, wakes, others, expired, moved, longest, outputs; /* what was seen */
	uint64_t trimmed, dropped, gathered, forks, behind;
};

/* --- stream_expect.c: what the oracle says --- */
bool stream_command(const struct ask *ask);
struct expected stream_expect(struct world *world, const struct ask *ask);
uint64_t stream_rests_on(struct world *world, const struct ask *ask);
void stream_check_answer(struct world *world, const struct ask *ask);
void stream_applied(struct world *world, struct ask *ask, uint64_t end_before);
enum outcome stream_expect_append(const struct world *world, const struct stream_append_in *in, struct model_stream *stream);
void stream_check_list(struct world *world, const struct command *c);
void stream_check_view(struct world *world, const struct stream_view *view, const struct model_stream *stream);

/* --- outputs.c --- */
void output_write(struct world *world, struct ask *ask);
void output_looks(struct world *world);
enum outcome output_expect(const struct world *world, const struct ask *ask);
enum outcome output_expect_read(const struct world *world, const struct ask *ask);
uint64_t output_rests_on(const struct world *world, const struct ask *ask);
void output_check_answer(struct world *world, const struct ask *ask);
bool output_tap(struct world *world, const struct stream_event *e); /* false: it is of no output */
bool output_wake(struct world *world, const struct stream_wake *wake, uint64_t durable);
void output_check(struct world *world, const struct model_stream *stream);

/* --- stream_check.c: events, messages, who waits, what was told --- */
void check_stream_tap(struct world *world, const struct store_replay *entry);
void check_stream_wake(struct world *world, const struct stream_wake *wake, uint64_t durable); /* as it leaves */
void check_stream_bytes(struct world *world, const struct stream_view *view);                  /* as somebody reads it */
void check_stream_turn(struct world *world);
void check_stream_memory(struct world *world); /* memory was short in this step */
void tap_kept(struct world *world, const struct stream_event *e, const struct model_stream *stream); /* what the core lets go */
void told_append(struct world *world, const struct model_stream *stream, uint64_t offset);           /* the one at that offset */
struct told *told_of(struct world *world, uint64_t number);
void told_chunk(struct world *world, uint64_t number, uint64_t offset, uint64_t count, uint64_t content);
void told_closed(struct world *world, uint64_t number, uint64_t at);
void told_gone(struct world *world, uint64_t number);
void told_check(struct world *world);

/* --- stream_writers.c, stream_readers.c --- */
void streams_begin(struct world *world);
void streams_end(struct world *world);
void writers_crash(struct world *world);
void writer_acts(struct world *world);
void stream_operator_acts(struct world *world); /* makes, forks, deletes, looks */
/* A batch of so many records, in the ask's memory; what they say begins with `text`. */
struct records_in stream_records(struct ask *ask, struct slice text, uint32_t count, struct slice key);
const char *stream_path_name(unsigned path);
bool stream_left_alone(struct world *world, unsigned path); /* one that expires unless it is used: seldom enough */
void readers_crash(struct world *world);
void reader_acts(struct world *world);
void reader_leaves(struct world *world);
void reader_woken(struct world *world, struct loop *loop, struct stream_wake *wake);
