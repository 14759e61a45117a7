/* JSON that clients send (RFC 8259, read by jansson), field by field into what it means. Pure but for the arena: bytes in,
 * strings and numbers out, so that a fuzzer can call it.
 *
 * Errors stick: after the first one every reader does nothing; the caller looks once at the end. A member that is absent or null
 * leaves its variable untouched. Unknown members are ignored.
 *
 * jansson 2.14 aborts when an allocation fails in the middle of a token, so it gets its memory beforehand: one block that is
 * large enough for whatever the text can become (measured: at most 80 bytes a byte, of empty objects), whose lack is told like
 * any other. One document a thread at a time. */
#pragma once

#include "base/arena.h"

#include "sequencer/stream_command.h"

#include <jansson.h>

struct json_in {
	json_t *root; /* NULL: an empty body */
	json_t *at;   /* the object whose members are read */
	void *room;   /* what jansson allocates from */
	struct arena *arena;
	bool no_memory;
	bool bad;
	char detail[160]; /* what is wrong with it, a sentence */
};

/* Once, before the first json_in_open of any thread. */
void json_in_init(void);

/* `optional`: an empty body is an empty object. json_in_close whatever becomes of it. */
void json_in_open(struct json_in *in, struct arena *arena, struct slice body, bool optional);
bool json_in_close(struct json_in *in); /* true: all was well; strings read live on in the arena */

void json_in_fail(struct json_in *in, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline bool json_in_failed(const struct json_in *in)
{
	return in->bad || in->no_memory;
}

/* An object within, as the member `key` or as the i-th item of the array there: readers look into it until json_in_leave, which
 * goes back to the whole. json_in_enter: false when there is none, and then nothing was entered. */
bool json_in_enter(struct json_in *in, const char *key);
size_t json_in_items(struct json_in *in, const char *key, size_t max_count); /* how many objects that array has; 0: none */
void json_in_enter_item(struct json_in *in, const char *key, size_t i);
void json_in_leave(struct json_in *in);

void json_in_string(struct json_in *in, const char *key, size_t max_bytes, struct slice *value);
void json_in_strings(struct json_in *in, const char *key, size_t max_count, size_t max_bytes, struct slice **values,
		     size_t *count);
void json_in_u64(struct json_in *in, const char *key, uint64_t min, uint64_t max, uint64_t *value);
/* An object of strings. */
struct json_pair {
	struct slice key, value;
};
struct json_pairs_limits {
	size_t count, key_bytes, value_bytes;
};
void json_in_pairs(struct json_in *in, const char *key, const struct json_pairs_limits *max, struct json_pair **pairs,
		   size_t *count);
void json_in_u32(struct json_in *in, const char *key, uint32_t min, uint32_t max, uint32_t *value);
/* A string like "30s", or a number of seconds. */
void json_in_duration(struct json_in *in, const char *key, uint64_t min_ms, uint64_t max_ms, uint64_t *value_ms);
void json_in_bool(struct json_in *in, const char *key, bool *value, bool *found);
void json_in_fraction(struct json_in *in, const char *key, double *value); /* 0 … 1 */
/* A string or an object, as compact JSON. */
void json_in_value(struct json_in *in, const char *key, size_t max_bytes, struct slice *value);

void json_in_need(struct json_in *in, bool there, const char *key); /* fails unless it is there */

/* --- what the requests mean --- */

struct claim_request {
	struct slice *queues;
	size_t queue_count;
	struct slice worker, attempt_id;
	uint32_t max;
	uint64_t wait_ms, lease_ms; /* UINT64_MAX, 0: not said */
};
struct wait_request {
	struct slice *ids; /* of jobs */
	size_t count;
	struct json_pair *streams; /* path, cursor */
	size_t stream_count;
	uint64_t max_bytes; /* UINT64_MAX: not said */
	bool all;
	bool objects;     /* records as objects */
	uint64_t wait_ms; /* UINT64_MAX: not said */
};
struct beat_request {
	double progress;      /* negative: not said */
	struct slice message; /* ptr == NULL: not said */
	uint64_t lease_ms;    /* 0: not said */
};
struct fail_request {
	struct slice error; /* empty: none */
	bool retry;
	uint64_t delay_ms; /* UINT64_MAX: not said */
};

enum {
	WAIT_IDS_MAX = 1000,
	WAIT_STREAMS_MAX = 1000,
	STREAM_KEY_BYTES_MAX = 3 * STREAM_PATH_MAX,
	CURSOR_BYTES_MAX = 64,
	CLAIM_QUEUES_MAX = 64,
	CLAIM_JOBS_MAX = 1000,
	KICK_MAX = 10000,
	MESSAGE_BYTES_MAX = 1024,
	ERROR_BYTES_MAX = 4096
};

void claim_read(struct json_in *in, struct claim_request *ret_request);
void jobs_wait_read(struct json_in *in, struct wait_request *ret_request);
void wait_read(struct json_in *in, struct wait_request *ret_request);
void beat_read(struct json_in *in, struct beat_request *ret_request);
void fail_read(struct json_in *in, struct fail_request *ret_request);
void release_read(struct json_in *in, uint64_t *ret_delay_ms);
void kick_read(struct json_in *in, uint32_t *ret_count);
void pause_read(struct json_in *in, bool *ret_paused);

struct topic_request {
	uint32_t partitions; /* 0: not said */
	struct json_pair *settings;
	size_t setting_count;
	struct slice *unset; /* keys */
	size_t unset_count;
};
void topic_read(struct json_in *in, struct topic_request *ret_request);

enum reset_to { RESET_EARLIEST, RESET_LATEST, RESET_OFFSET };
struct reset_request {
	struct slice topic;
	uint64_t partition; /* UINT64_MAX: all */
	enum reset_to to;
	uint64_t offset; /* RESET_OFFSET */
};
void reset_read(struct json_in *in, struct reset_request *ret_request);
