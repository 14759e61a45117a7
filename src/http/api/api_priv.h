/* Inside src/http/api only.
 *
 * The life of a request here: its route's `head` looks at the head and either answers or takes the body; `body` sends a command,
 * whose answer comes back to `ask.answered`, which answers the exchange or parks it; a wake, an offer or the deadline unparks it.
 *
 *  1. At most one command of an exchange is under way (CALL_ASKING). A client that leaves meanwhile is noted (CALL_GONE);
 * whatever is then said to it (call_answer…) lets the exchange go instead.
 *  2. A wait hangs on the board only while its exchange is parked. Nothing is missed between looking and hanging it there: the
 *     sequencer looks and sets the watch in one step, and the wake that follows cannot overtake the answer.
 *  3. The exchange of a claim that waits in the sequencer stays until that claim is canceled or its offer has come: its address
 * is the claim's id. */
#pragma once

#include "http/api/api.h"
#include "http/api/problem.h"
#include "wait/board.h"

enum wait_kind { WAIT_JOB, WAIT_RESULT, WAIT_SUBMIT, WAIT_CLAIM, WAIT_MANY, WAIT_STREAM, WAIT_SSE, WAIT_MANY_STREAM, WAIT_PICK };
enum { WAIT_UNTOLD = UINT16_MAX };

/* One place on the board; of WAIT_MANY a place for each item, of WAIT_MANY_STREAM those that are streams. */
struct waiter {
	struct wait wait; /* first */
	uint32_t revision;
	uint8_t kind, until; /* enum wait_kind, enum job_until */
	uint16_t told_s;     /* what Preference-Applied says; WAIT_UNTOLD: nothing */
};

enum call_flag {
	CALL_ASKING = 1,    /* a command is under way */
	CALL_GONE = 2,      /* the client left meanwhile */
	CALL_JSON = 4,      /* a claim: all jobs in one JSON document */
	CALL_CLAIMED = 8,   /* a claim waits in the sequencer, or its offer is on its way */
	CALL_BOARD = 16,    /* the waiter (of WAIT_MANY: those of its items) hangs on the board */
	CALL_DELIVERY = 32, /* answered with jobs, which are on their way */
	CALL_SSE = 64,      /* its events have begun: the answer goes on */
};

/* Who on the way may keep an answer for others. */
enum keep {
	KEEP_ALL,
	KEEP_OWN,  /* only the client itself: it came with credentials */
	KEEP_NONE, /* nobody: asked from the end, it is another answer each time */
};

/* How what is read from a stream is told. */
enum format {
	FORMAT_VALUES,  /* the bytes as they are; of JSON an array */
	FORMAT_RECORDS, /* an array of objects, with offsets and times */
	FORMAT_STRINGS, /* an array of values: JSON, or strings, as in those objects */
};
enum { FORMAT_COUNT = FORMAT_STRINGS + 1 };

enum { HANDLE_BYTES = 20 };

struct ask;
struct many;
struct delivery;
struct pick;
struct route;

/* What an exchange carries in `app`. */
struct call {
	struct waiter waiter;
	union {
		struct ask *ask;           /* until it is sent; CALL_SSE, not on the board: always */
		struct many *many;         /* WAIT_MANY, parked */
		struct offer *offer;       /* a claim being canceled whose offer has come */
		struct delivery *delivery; /* answered with jobs, being written */
		struct pick *pick;         /* WAIT_PICK, parked */
		uint64_t cursor;           /* WAIT_STREAM, WAIT_SSE, parked: the client's */
	};
	const struct route *route;
	uint8_t handle[HANDLE_BYTES]; /* the job's, once parked; WAIT_STREAM, WAIT_SSE: the place */
	uint8_t flags;
	uint8_t keep;   /* enum keep; WAIT_STREAM, parked */
	uint8_t format; /* enum format; WAIT_STREAM, WAIT_SSE, parked */
};
_Static_assert(sizeof(struct call) <= EXCHANGE_APP_BYTES, "a call fits into its exchange");

static inline struct call *call_of(struct exchange *ex)
{
	return (struct call *)(void *)ex->app;
}

static inline struct exchange *call_exchange(struct call *call)
{
	return container_of((uint64_t(*)[EXCHANGE_APP_BYTES / 8])(void *)call, struct exchange, app);
}

/* A command with what shall be done when it comes back. One of the two functions is set. */
struct ask {
	struct command command; /* owner: the exchange; NULL: the thread's own */
	void (*answered)(struct exchange *ex, struct ask *ask);
	void (*own)(struct api_thread *api, struct ask *ask);
	struct list peers; /* of the thread's own: in api_thread.asks while under way */
	uint64_t wait_ms;  /* how long the request wants to be held */
	uint16_t told_s;
	uint8_t kind; /* enum wait_kind, if it comes to be parked */
	/* Of readers of streams: struct reading. */
	uint8_t keep;   /* enum keep */
	uint8_t format; /* enum format */
	uint64_t cursor, limit;
	struct slice key;  /* of records; ptr == NULL: any */
	uint64_t until_ms; /* of who looks again and again: the engine's time at which its wait is over; 0: not yet known */
};

/* Bytes of a body that can be made again (stream_flow.c): those from `from` on, behind the first `skip` of the buffer. */
struct made {
	const void *of; /* whose; NULL: nobody's */
	uint64_t from;
	size_t skip;
	struct buf bytes;
};

struct api_thread {
	struct api_config config;
	void *ctx;
	unsigned index;
	bool draining, failed;
	struct board board;
	struct board streams;        /* readers at the end of streams, by stream_view.key */
	struct buf out;              /* the body being made */
	struct made made;            /* the last that was made again */
	struct list asks;            /* the thread's own that are under way */
	struct list deliveries;      /* claims whose answer is on its way to the worker */
	struct list deliveries_over; /* of which the sequencer has yet to hear */
	struct wheel_entry look;     /* at those on their way, while there are any */
	struct wheel *wheel;         /* in which it is */
	bool looking;
	uint64_t many_items; /* of all waits for many */
	struct api_stats stats;
};

static inline struct api_thread *api_of(const struct exchange *ex)
{
	return http_thread_door(exchange_thread(ex));
}

/* --- route.c --- */
enum { PARAMS_MAX = 2, JSON_BODY_BYTES = 256 * 1024 };

enum route_body { ROUTE_NO_BODY, ROUTE_JSON, ROUTE_STORE };

struct route {
	enum http_method method;
	const char *path; /* {name} stands for one segment, {name*} for all the rest, which is not decoded */
	enum route_body body_kind;
	void (*head)(struct exchange *ex, const struct slice params[PARAMS_MAX]);
	void (*body)(struct exchange *ex, const struct request_body *body);
	/* For the description. */
	const char *id, *tag, *summary, *answers, *parameters;
};
extern const struct route routes[];
extern const size_t route_count;
bool route_is_stream(const struct route *route); /* NULL is none */
bool route_is_subscription(const struct route *route);
void route_head(struct exchange *ex); /* finds the route, decodes its parameters, calls `head` */

/* --- call.c: asking and answering --- */

/* An ask in the exchange's arena; NULL: no memory, and that has been answered. */
struct ask *ask_new(struct exchange *ex, enum command_kind kind, void (*answered)(struct exchange *ex, struct ask *ask)) MUST_USE;
void ask_send(struct exchange *ex, struct ask *ask);
/* The thread's own, on the heap; `own` frees it. `bytes`: of what it is the first member of, zeroed. NULL: no memory. */
void *ask_own(size_t bytes, enum command_kind kind, void (*own)(struct api_thread *api, struct ask *ask)) MUST_USE;
void ask_send_own(struct api_thread *api, struct ask *ask);

/* Answers, or lets go an exchange whose client left. `answer->pin` is taken over. */
void call_answer(struct exchange *ex, const struct answer *answer);
void call_park(struct exchange *ex, uint64_t timeout_ms); /* never for one that left */
void call_problem(struct exchange *ex, enum problem problem, const char *detail_fmt, ...) PRINTF_LIKE(3, 4);
void call_outcome(struct exchange *ex, enum outcome outcome); /* the problem that an outcome stands for */
void call_no_memory(struct exchange *ex);
void ask_answer_json(struct exchange *ex, struct ask *ask);            /* 200, with the text that was made in api_thread.out */
void ask_answer_done(struct exchange *ex, struct ask *ask);            /* 204 */
void blob_let_go(struct api_thread *api, const struct body_ref *blob); /* a sealed one that no event names; BODY_NONE is fine */
void wait_count(struct api_thread *api, enum wait_kind kind, int by);  /* parked waits, for the figures */

enum { REPLY_HEADERS_MAX = 12 };

/* An answer being put together. Texts that are not constant lie in `text`. */
struct reply {
	struct answer answer;
	struct answer_header headers[REPLY_HEADERS_MAX];
	char text[320];
	size_t text_used;
};
void reply_init(struct reply *reply, int status);
void reply_header(struct reply *reply, struct slice name, struct slice value); /* value must live until it is sent */
void reply_header_fmt(struct reply *reply, struct slice name, const char *fmt, ...) PRINTF_LIKE(3, 4);
void reply_header_time(struct reply *reply, struct slice name, uint64_t unix_ms);
void reply_wait(struct reply *reply, uint16_t told_s);
void reply_json(struct reply *reply, const struct buf *json);
/* A problem as the reply's body, made in `out`. */
void reply_problem(struct reply *reply, struct buf *out, enum problem problem, const char *detail);
/* Sends it; when `out`, in which its body was made, lacked memory, that is said instead. */
void reply_send(struct exchange *ex, struct reply *reply, const struct buf *out);

/* --- input.c: what a request says in query and headers. False: it makes no sense, and that has been answered --- */

enum { NAME_BYTES_MAX = 128, TYPE_BYTES_MAX = 256, KEY_BYTES_MAX = 256 };

bool name_is_valid(struct slice name);
bool queue_is_valid(struct slice name);
/* Holds for durations of all inputs: ten years are for ever. */
int input_duration_ms(struct slice s, uint64_t *ret_ms) MUST_USE;

bool input_query(struct exchange *ex, const char *name, struct slice *ret_value, bool *ret_found);
bool input_query_u64(struct exchange *ex, const char *name, uint64_t min, uint64_t *value); /* absent: untouched */
/* Of a list in pages: how many, and behind which `next`. */
bool input_page(struct exchange *ex, uint32_t *ret_limit, uint64_t *after);
/* How long to hold it: the query, else `body` (UINT64_MAX: not said), else Prefer, else the default. Caps it, sets the ask's
 * wait. */
bool input_wait(struct exchange *ex, struct ask *ask, uint64_t body_ms, uint64_t default_ms);
bool input_header_duration(struct exchange *ex, const char *name, uint64_t min_ms, uint64_t max_ms, uint64_t *value_ms);
bool input_header_u32(struct exchange *ex, const char *name, uint32_t min, uint32_t *value);
bool input_header_text(struct exchange *ex, const char *name, size_t max_bytes, struct slice *value); /* absent: untouched */
bool input_content_type(struct exchange *ex, struct slice fallback, struct slice *ret_type);
bool input_token(struct exchange *ex, struct slice *ret_token);
/* "http://host", or https, by which the client came; empty when it did not tell. False: no memory, and that has been answered. */
bool input_origin(struct exchange *ex, struct slice *ret_origin);
bool input_handle(struct exchange *ex, struct slice handle); /* 404 when it cannot be one */
struct json_in;
bool json_in_answer(struct exchange *ex, struct json_in *in); /* closes it; false: it made no sense, and that has been answered */

/* --- job_json.c --- */
void job_json(struct buf *out, const struct job_view *view);
void job_url_json(struct buf *out, const struct job_view *view, const char *below); /* "/v1/jobs/{id}/…" as a string */
void queue_json(struct buf *out, const struct queue_view *view);
void page_next_json(struct buf *out, uint64_t next); /* the member by which a list goes on; 0: it is at its end */

/* --- look.c: a job and its result, now or when they are ready --- */
void job_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void result_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void cancel_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void list_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
/* What a request of this kind is answered about a job that is as `view` tells. The pin is taken out of the view when it is used.
 * `range`: of a Range field, empty if none. */
void look_answer(struct exchange *ex, enum wait_kind kind, uint16_t told_s, struct job_view *view, struct slice range);
/* The same into a reply, for those whose answer needs no pin of their own; false: it does. */
bool look_reply(struct reply *reply, struct buf *out, enum wait_kind kind, uint16_t told_s, const struct job_view *view);
/* Bytes that a pin holds, or a part of them. */
void pin_answer(struct exchange *ex, struct reply *reply, struct store_pin *pin, struct slice range);

/* --- wait.c: what is parked --- */

/* Hangs the exchange on the board under the job that `ask` asked about and parks it; answers if that cannot be. The ask is
 * gone afterwards. */
void wait_park(struct exchange *ex, struct ask *ask, const struct job_view *view, enum job_until until, uint32_t revision);
bool waiter_add(struct api_thread *api, struct waiter *waiter, uint64_t key);
void waiter_remove(struct api_thread *api, struct waiter *waiter); /* from the board on which its kind hangs */
void wait_woken(struct api_thread *api, struct wake *wake, uint64_t sent_us);
void wait_leave(struct exchange *ex);   /* off the board, out of the figures: it ends, one way or another */
void wait_expired(struct exchange *ex); /* its deadline came */
void wait_latency(struct api_thread *api, uint64_t sent_us, uint64_t waits); /* `waits` were woken by what was sent then */
void wait_ended(struct api_thread *api);                                     /* one without what it waited for, for the figures */
void wait_look_again(struct exchange *ex, void (*answered)(struct exchange *ex, struct ask *ask)); /* of a job that was parked */

/* --- submit.c --- */
void submit_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void submit_named_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void submit_body(struct exchange *ex, const struct request_body *body);

/* --- many.c --- */
void jobs_wait_body(struct exchange *ex, const struct request_body *body);
void wait_body(struct exchange *ex, const struct request_body *body);
/* Of an item. A view of NULL: forgotten; the stream is gone. */
void many_job_woken(struct api_thread *api, struct waiter *waiter, struct job_view *view);
void many_stream_woken(struct api_thread *api, struct waiter *waiter, struct stream_view *view);
void many_expired(struct exchange *ex);
void many_free(struct exchange *ex);

/* --- claim.c --- */
void claim_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void claim_body(struct exchange *ex, const struct request_body *body);
void claim_offered(struct api_thread *api, struct offer *offer);
void claim_cancel(struct exchange *ex); /* its deadline came, or its client left */

/* --- delivery.c --- */
/* Answers with jobs, and tells the sequencer what became of them. Takes the array over, or the offer that it lies in. */
void delivery_begin(struct exchange *ex, struct lease *leases, size_t count, struct offer *offer);
void delivery_lost(struct api_thread *api, struct lease *leases, size_t count, struct offer *offer); /* the client left before */
void delivery_ended(struct exchange *ex, bool delivered);
void deliveries_free(struct api_thread *api);
void deliveries_look(struct wheel_entry *entry); /* api_thread.look's */

/* --- worker.c --- */
void body_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void beat_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void beat_body(struct exchange *ex, const struct request_body *body);
void done_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void done_body(struct exchange *ex, const struct request_body *body);
void fail_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void fail_body(struct exchange *ex, const struct request_body *body);
void release_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void release_body(struct exchange *ex, const struct request_body *body);

/* --- output.c --- */
void output_get_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void output_append_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);

/* --- queue.c --- */
void queues_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void queue_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void queue_set_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void queue_set_body(struct exchange *ex, const struct request_body *body);
void kick_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void kick_body(struct exchange *ex, const struct request_body *body);

/* --- group.c --- */
void groups_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void group_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void group_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void group_reset_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void group_reset_body(struct exchange *ex, const struct request_body *body);

/* --- topic.c --- */
void topics_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void topic_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void topic_create_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void topic_create_body(struct exchange *ex, const struct request_body *body);
void topic_alter_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void topic_alter_body(struct exchange *ex, const struct request_body *body);
void topic_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);

/* --- stream.c, stream_list.c, stream_read.c, stream_wait.c --- */
void streams_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void stream_create_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void stream_create_body(struct exchange *ex, const struct request_body *body);
void stream_append_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void stream_append_body(struct exchange *ex, const struct request_body *body);
void stream_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void stream_get_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void stream_reply_headers(struct reply *reply);
void stream_wait_woken(struct api_thread *api, struct stream_wake *wake, uint64_t sent_us);
void stream_wait_expired(struct exchange *ex);
void stream_wait_left(struct exchange *ex); /* a parked reader is about to end without a wake: the stream's waits are counted */

/* --- stream_pick.c --- */
void stream_pick_leave(struct exchange *ex); /* off the boards, and its memory freed */
void stream_pick_expired(struct exchange *ex);

/* --- stream_sse.c: of an exchange with CALL_SSE --- */
void stream_sse_drained(struct exchange *ex);
void stream_sse_gone(struct exchange *ex);  /* off the board; whatever it holds is let go */
void stream_sse_close(struct exchange *ex); /* the same, and its answer ends in good order: the client comes back */

/* --- subscription.c, subscription_work.c --- */
void subscription_create_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_create_body(struct exchange *ex, const struct request_body *body);
void subscription_get_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_link_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_link_body(struct exchange *ex, const struct request_body *body);
void subscription_unlink_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_claim_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_claim_body(struct exchange *ex, const struct request_body *body);
void subscription_ack_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_callback_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_release_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void subscription_ack_body(struct exchange *ex, const struct request_body *body);
void jwks_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);

/* --- operations.c, openapi.c --- */
void health_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void ready_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void metrics_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void info_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void problem_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void openapi_head(struct exchange *ex, const struct slice params[PARAMS_MAX]);
void json_head(struct exchange *ex, const struct slice params[PARAMS_MAX]); /* of requests that say all in their body */
