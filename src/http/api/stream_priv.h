/* Inside src/http/api only: what the files about streams share.
 *
 * stream.c takes what is written, stream_read.c tells what there is, stream_wait.c holds those who wait for more, and
 * stream_sse.c those who follow it; stream_format.c writes records as objects. stream_input.c reads paths and headers,
 * stream_records.c makes records of bodies, stream_token.c knows how places in streams are written. */
#pragma once

#include "http/api/api_priv.h"
#include "stream/batch.h"

enum {
	PLACE_CHARS = 33,           /* of an offset token */
	READ_BYTES_MAX = 1 << 20,   /* of one answer, unless its first chunk is longer */
	READ_RECORDS_MAX = 1 << 18, /* the same of records as objects, which are longer than what they hold */
	RECORDS_MAX = 100000,       /* of one append */
	RECORD_KEY_MAX = 1024,
};

#define AGE_MAX_S (100 * 366 * 86400ULL) /* for ever */

/* --- stream_token.c: pure --- */

/* A place in a stream, as clients keep it: fixed width, and in the order of the stream. */
void place_write(uint64_t number, uint64_t offset, char out[PLACE_CHARS + 1]);
int place_read(struct slice text, uint64_t *ret_number, uint64_t *ret_offset) MUST_USE; /* 0 or -EINVAL */
int offset_read(struct slice text, struct stream_read_in *in) MUST_USE;                 /* "-1", "now" or a place: 0 or -EINVAL */
/* What a live answer tells as Stream-Cursor: the present interval, or something beyond what the client has sent (0: nothing). */
uint64_t cursor_next(uint64_t unix_ms, uint64_t client, uint64_t chance);
uint64_t cursor_read(struct slice text); /* 0: none, or none of ours */
enum { ETAG_BYTES = 64 };
struct slice etag_write(char out[ETAG_BYTES], uint64_t number, uint64_t from, uint64_t after, bool closed);
bool etag_matches(struct slice if_none_match, struct slice etag); /* RFC 9110 §13.1.2 */

/* --- stream_input.c. False: it makes no sense, and that has been answered --- */

/* The first segment that no stream's path has: what is below it is about streams (protocol §6). */
#define STREAM_RESERVED SLICE("__ds")
bool stream_path_is_valid(struct slice path); /* of a decoded one. Pure */
bool input_stream_path(struct exchange *ex, struct slice raw, struct slice *ret_path);
/* Stream-Forked-From and its companions. */
bool input_stream_fork(struct exchange *ex, struct stream_create_in *in);
bool input_stream_life(struct exchange *ex, struct stream_create_in *in);
bool input_records(struct exchange *ex, struct stream_append_in *in); /* Record-Key and its companions */
int time_read(struct slice s, uint64_t *ret_unix_ms) MUST_USE;        /* RFC 3339, from 1970 on: 0 or -EINVAL */
bool input_stream_producer(struct exchange *ex, struct producer_in *in);
bool input_stream_seq(struct exchange *ex, struct slice *ret_seq);
bool input_closes(const struct exchange *ex); /* Stream-Closed: true */
bool type_is_json(struct slice content_type);

/* --- stream_records.c --- */

/* A whole body as records, all with that key (ptr == NULL: none); an empty one gives none. False: that cannot be, and it has been
 * answered. */
bool records_from_body(struct exchange *ex, const struct request_body *body, bool json, struct slice key, bool may_be_none,
		       struct records_in *ret_records);

/* --- stream.c --- */

void stream_take_body(struct exchange *ex, struct ask *ask, bool json, uint64_t most_bytes);
void stream_appended(struct exchange *ex, struct ask *ask);

/* --- stream_read.c --- */

/* How a request wants to be answered. */
struct reading {
	uint64_t cursor; /* the client's; 0: none */
	uint64_t limit;  /* records */
	struct slice key;
	uint16_t told_s;
	bool live; /* long-poll */
	bool more; /* where nothing of what was asked for is, the stream goes on */
	enum keep keep;
	enum format format;
};

void stream_reply_init(struct reply *reply, int status); /* with what every answer about a stream says */
void stream_reply_place(struct reply *reply, struct slice name, uint64_t number, uint64_t offset);
void stream_reply_closed(struct reply *reply);
void stream_outcome(struct exchange *ex, enum outcome outcome, const struct stream_view *view);

/* Which records of a view an answer has, and in which form. */
struct stream_part {
	uint64_t from;    /* an offset */
	uint64_t limit;   /* records */
	struct slice key; /* ptr == NULL: whatever their key is */
	enum format format;
	uint64_t after, count; /* comes back: where the answer ends, how many records it has */
	uint32_t *ends;        /* and, unless NULL, where in the body the bytes of each of the view's chunks end */
};
/* Records' values as the answer's body, into `out`, and where that ends: all that the view has before its first blob (which only
 * FORMAT_RECORDS tells of), if `part` wants no less. 0, -EIO or -ENOMEM. */
int stream_body(struct buf *out, const struct stream_view *view, struct stream_part *part) MUST_USE;
/* The same behind what is there: with a format that is JSON, a value. */
/* batch_open_checked, also of a compressed batch; that lies decompressed in `room` then, until the next one. 0, -EBADMSG,
 * -ENOMEM, or -E2BIG: it holds more than may be. */
int stream_batch_open(struct batch_reader *reader, struct slice batch, struct buf *room) MUST_USE;
/* What it holds is of a transaction that was aborted. */
bool stream_batch_is_void(const struct stream_view *view, struct slice batch);
int stream_body_add(struct buf *out, const struct stream_view *view, struct stream_part *part) MUST_USE;
/* Of that body, the values of one chunk once more, behind what is there: `part` is what came back. */
int stream_body_chunk(struct buf *out, const struct stream_view *view, const struct stream_part *part, size_t chunk) MUST_USE;
/* Where an answer with all that can be in one ends: a blob flows alone. */
uint64_t stream_after(const struct stream_view *view, enum format format);
/* Head of an answer that tells from `from` up to `after`. */
void stream_reply_read(struct reply *reply, const struct reading *reading, const struct stream_view *view, uint64_t from,
		       uint64_t after, uint64_t unix_ms, uint64_t chance);
/* Nothing is there, and the time is over or the stream has ended: 204. */
void stream_answer_none(struct exchange *ex, const struct reading *reading, uint64_t number, uint64_t offset, bool closed);
void stream_was_read(struct exchange *ex, struct ask *ask);
void stream_tell(struct exchange *ex, struct slice path); /* GET and HEAD */
uint64_t stream_chance(void);
/* Of a blob's value, as far as this stream has it. */
static inline uint64_t stream_blob_bytes(const struct stream_chunk_view *chunk)
{
	return chunk->ref.size_bytes < chunk->value_bytes ? chunk->ref.size_bytes : chunk->value_bytes;
}
void stream_answer_failed(struct exchange *ex, int error);

/* --- stream_flow.c --- */

/* Bodies longer than this are not kept for a reader who is slow, but made again as it takes them. */
enum { FLOW_BYTES = 64 * 1024 };
/* The body in `out`, made as `part` says and told, as a pin that holds the view instead; the bytes at hand are taken out of
 * `out`. NULL: no memory. */
struct store_pin *stream_flow(struct api_thread *api, struct stream_view *view, const struct stream_part *part, struct buf *out);

/* --- stream_format.c --- */

bool input_stream_format(struct exchange *ex, struct ask *ask); /* false: it makes no sense, and that has been answered */
void stream_place_json(struct buf *out, const char *key, uint64_t number, uint64_t offset);
/* Bytes as a string; {"base64":…} where they are no UTF-8; null where there are none. */
void stream_bytes_json(struct buf *out, struct slice bytes);
/* One record, which the reader has read last, as an object. */
void stream_record_json(struct buf *out, const struct stream_view *view, const struct batch_record *record, uint64_t offset,
			const struct batch_reader *reader);
void stream_blob_json(struct buf *out, const struct stream_view *view, const struct stream_chunk_view *chunk);
/* Whether a chunk's bytes flow from its pin instead of being put together. */
static inline bool stream_flows(const struct stream_chunk_view *chunk, enum format format)
{
	return chunk->ref.kind == BODY_BLOB && format != FORMAT_RECORDS;
}
/* What comes first does. */
static inline bool stream_flows_first(const struct stream_view *view, enum format format)
{
	return view->chunk_count && stream_flows(&view->chunks[0], format) && view->chunks[0].pin;
}

/* --- stream_sse_event.c: pure --- */

/* One `data` event whose bytes come in pieces. */
struct sse_data {
	bool base64;
	bool line_begun, after_cr; /* text: within a line; CR was the last byte */
	bool any;                  /* base64: a line is there already */
	uint8_t carry_len;         /* base64: bytes that make no whole group yet */
	char carry[2];
};
bool sse_is_text(struct slice content_type); /* else base64 */
void sse_data_begin(struct sse_data *data, struct buf *out, bool base64);
void sse_data_add(struct sse_data *data, struct buf *out, struct slice bytes);
void sse_data_end(struct sse_data *data, struct buf *out);

struct sse_control {
	uint64_t number, offset; /* that comes next */
	uint64_t cursor;
	bool up_to_date, closed;
};
void sse_control(struct buf *out, const struct sse_control *control);

/* --- stream_sse.c --- */
bool stream_sse_wait(struct exchange *ex, struct ask *ask); /* how long; false: it makes no sense, and that has been answered */
void stream_sse_send(struct exchange *ex, struct ask *ask); /* takes the place of ask_send */
/* Those who hang under the key; how many were told. A view of NULL: the stream is gone. */
uint64_t stream_sse_woken(struct api_thread *api, uint64_t key, struct stream_view *view);

/* --- stream_pick.c: readers who wait for a key, or for so many bytes --- */
void stream_pick_park(struct exchange *ex, struct ask *ask, const struct stream_view *view);
/* Those who hang there; how many were told. A view of NULL: the stream is gone. */
uint64_t stream_pick_woken(struct api_thread *api, uint64_t key, struct stream_view *view);

/* --- stream_wait.c --- */

/* Where a parked reader stands; kept in call->handle, which has no alignment. */
struct stream_place {
	uint64_t number, offset;
};
_Static_assert(sizeof(struct stream_place) <= HANDLE_BYTES, "a place fits where a job's handle would be");

static inline struct stream_place stream_place_of(const struct call *call)
{
	struct stream_place place;

	memcpy(&place, call->handle, sizeof(place));
	return place;
}

void stream_wait_park(struct exchange *ex, struct ask *ask, const struct stream_view *view);
/* A wake uses up the thread's watch: it is set again, from there on, for `waits` that were told. What came meanwhile, or why it
 * cannot be, is said to `heard`; the view may be NULL then. False: no memory. */
bool stream_watch_again(struct api_thread *api, const struct stream_view *view, uint64_t from, uint32_t waits,
			void (*heard)(struct api_thread *api, uint64_t key, struct stream_view *view, enum outcome outcome));
