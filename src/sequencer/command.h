/* What doors ask of the sequencer, and what comes back. Commands are made and read by loop threads, applied by the sequencer's.
 *
 * A command lives in memory of the asker's (an exchange's arena). It is sent to the sequencer, which fills in `outcome` and the
 * answer and sends the same memory back: exactly once, and not before everything the answer rests on is durable. All slices in
 * it stay the asker's and must live until then.
 *
 * What comes back later without being asked (a wake, an offer) is a message of the sequencer's own; the receiver frees it with
 * message_free. Messages to one thread arrive in the order in which the sequencer made them, as far as durability lets them:
 * a message never overtakes another one about the same job. */
#pragma once

#include "base/mail.h"
#include "job/job_view.h"
#include "sequencer/group_command.h"
#include "sequencer/stream_command.h"
#include "sequencer/subscription_command.h"
#include "sequencer/topic_command.h"

enum message_kind {
	MESSAGE_COMMAND = 1, /* a struct command: to the sequencer, and back */
	MESSAGE_WAKE,        /* a struct wake: a job that was watched has changed */
	MESSAGE_STREAM_WAKE, /* a struct stream_wake: a stream that was watched has grown, was closed or deleted */
	MESSAGE_STREAM_GREW, /* a struct stream_growth: what has come of a stream that is followed; or back: nobody is there */
	MESSAGE_OFFER,       /* a struct offer: jobs for a parked claim */
	MESSAGE_HOOK,        /* a struct hook: a webhook is to be called */
	MESSAGE_STREAM_LEFT, /* a struct stream_left: waits for a stream ended without a wake; to the sequencer, freed there */
	MESSAGE_RELEASE,     /* a struct release: a sealed blob that no event named; to the sequencer, freed there */
	MESSAGE_HTTP,        /* the HTTP engine's own */
	MESSAGE_SERVER,      /* the server's own: drain, configuration, statistics */
};

/* Of one thread. */
enum door { DOOR_HTTP, DOOR_KAFKA };

/* The head of everything that travels between threads. */
struct message {
	struct mail mail;
	uint64_t gate;    /* the sequencer's own: not delivered before durable >= gate */
	uint64_t sent_us; /* the carrier's own: when it left the sequencer's thread, monotonic; for measuring */
	uint8_t kind;
	uint8_t thread; /* the loop thread it goes to (or came from) */
	uint8_t door;   /* enum door; of a command: whose it is */
};

enum command_kind {
	COMMAND_SUBMIT,
	COMMAND_JOBS, /* look at jobs by handle, and watch those that are not far enough */
	COMMAND_CANCEL,
	COMMAND_LIST,
	COMMAND_CLAIM,
	COMMAND_CLAIM_CANCEL, /* a parked claim's deadline came or its client left */
	COMMAND_DELIVERED,    /* leases reached the worker's socket, or did not */
	COMMAND_BODY,         /* may this token read the body? */
	COMMAND_BEAT,
	COMMAND_DONE,
	COMMAND_FAIL,
	COMMAND_RELEASE,
	COMMAND_KICK,
	COMMAND_QUEUE,  /* one queue's figures */
	COMMAND_QUEUES, /* by name, a page at a time */
	COMMAND_QUEUE_SET,
	COMMAND_STREAM_CREATE,
	COMMAND_STREAM_APPEND,
	COMMAND_STREAM_DELETE,
	COMMAND_STREAM_READ, /* or only look */
	COMMAND_STREAM_LIST,
	COMMAND_MANY,       /* jobs as by JOBS and streams as by STREAM_READ, at one moment */
	COMMAND_SUB_CREATE, /* or confirm: OK, SAME, CONFLICT, FULL */
	COMMAND_SUB_GET,
	COMMAND_SUB_DELETE,
	COMMAND_SUB_LINK, /* further explicit streams: OK, FULL */
	COMMAND_SUB_UNLINK,
	COMMAND_SUB_CLAIM,     /* OK, BUSY (the view has the holder), EMPTY (nothing is pending), TYPE (no pull-wake) */
	COMMAND_SUB_ACK,       /* OK, TOKEN, FENCED, RANGE (an unknown stream, or an offset before or behind what may be), TYPE */
	COMMAND_SUB_RELEASE,   /* OK, TOKEN, FENCED, TYPE */
	COMMAND_SUB_HOOKED,    /* OK, FENCED (that wake is over) */
	COMMAND_OUTPUT_APPEND, /* STREAM_APPEND by a worker to its job's output */
	/* Of topics (topic_command.h). */
	COMMAND_TOPIC_CREATE,
	COMMAND_TOPIC_PARTITIONS,
	COMMAND_TOPIC_CONFIG,
	COMMAND_TOPIC_DELETE,
	COMMAND_TOPICS,
	COMMAND_PRODUCE,
	COMMAND_FETCH,
	COMMAND_LIST_OFFSETS,
	COMMAND_DELETE_RECORDS,
	COMMAND_PRODUCER_ID,
	COMMAND_TXN_ADD,
	COMMAND_TXN_OFFSETS,
	COMMAND_TXN_END,
	COMMAND_TXNS,
	COMMAND_PRODUCERS,
	/* Of groups (group_command.h). */
	COMMAND_GROUP_JOIN,
	COMMAND_GROUP_SYNC,
	COMMAND_GROUP_CANCEL,
	COMMAND_GROUP_BEAT,
	COMMAND_GROUP_LEAVE,
	COMMAND_CONSUMER_BEAT,
	COMMAND_GROUP_COMMIT,
	COMMAND_GROUP_FORGET,
	COMMAND_GROUP_OFFSETS,
	COMMAND_GROUP_GET,
	COMMAND_GROUP_DELETE,
	COMMAND_GROUPS,
};
enum { COMMAND_COUNT = COMMAND_GROUPS + 1 };

enum { TOKEN_CHARS = 13, COMMAND_THREADS_MAX = 32 };

/* --- what the asker says --- */

struct submit_in {
	struct slice queue;
	struct slice name;         /* PUT: empty otherwise */
	struct slice key;          /* Idempotency-Key, without quotes; empty: none */
	struct slice content_type; /* empty: none */
	struct slice body;         /* at most BODY_INLINE_MAX; unless blob.kind is BODY_BLOB */
	struct body_ref blob;
	uint64_t delay_ms;
	uint64_t retain_ms;
	uint64_t cancel_after_ms; /* 0: never */
	uint32_t lease_ms;
	uint32_t priority;
	uint32_t max_attempts;
	bool watch; /* the asker's thread will wait for its end: a wake follows when it is done */
};

enum job_until { UNTIL_DONE = 0, UNTIL_STARTED = 1, UNTIL_CHANGED = 2 };

struct jobs_in {
	const struct slice *handles;
	size_t count;
	enum job_until until;
	uint32_t revision; /* UNTIL_CHANGED: since this one */
	bool watch;        /* for those that are not there yet a wake will be sent to the asker's thread */
	bool pin_result;   /* the asker will read the result: views of done jobs carry a pin */
};

struct many_in {
	struct jobs_in jobs; /* count may be 0 */
	struct streams_in streams;
};

struct cancel_in {
	struct slice handle;
	bool forget;
};

struct list_in {
	struct slice queue;  /* empty: all */
	unsigned state_mask; /* 1 << enum job_state; 0: all */
	uint32_t limit;      /* 1 … COMMAND_LIST_MAX */
	uint64_t after;      /* `next` of the page before; 0: the newest */
};
enum { COMMAND_LIST_MAX = 1000, COMMAND_CLAIM_MAX = 1000, COMMAND_QUEUES_MAX = 1000, COMMAND_JOBS_MAX = 1000 };

struct claim_in {
	const struct slice *queues; /* in order of preference */
	size_t queue_count;
	struct slice worker;
	struct slice attempt_id; /* empty: none */
	uint32_t max;
	uint32_t lease_ms; /* 0: the job's own */
	bool wait;         /* park it when nothing is ready */
	uint64_t claim_id; /* the asker's: unique among its thread's claims; comes back in the offer */
};

struct claim_cancel_in {
	uint64_t claim_id;
};

struct delivered_in {
	const struct lease *leases; /* as they were offered */
	size_t count;
	bool delivered;
	bool goes_on; /* neither yet, but bytes move: the delivery lease begins anew */
};

/* BODY, BEAT, DONE, FAIL, RELEASE: a worker about its job. */
struct worker_in {
	struct slice handle;
	struct slice token;
	/* BEAT */
	struct slice message; /* ptr == NULL: unchanged */
	double progress;      /* negative: unchanged */
	uint32_t lease_ms;    /* 0: as long as before */
	/* DONE: the result */
	struct slice content_type;
	struct slice body;
	struct body_ref blob;
	/* FAIL */
	struct slice error; /* a JSON value: string or object; empty: none */
	bool retry;
	/* FAIL, RELEASE */
	uint64_t delay_ms; /* UINT64_MAX: the back-off decides */
};

struct kick_in {
	struct slice queue;
	uint32_t count;
};

struct queues_in {
	struct slice after; /* only names behind this one */
	uint32_t limit;     /* at most COMMAND_QUEUES_MAX; 0: that */
};

struct queue_in {
	struct slice queue;
	bool paused; /* QUEUE_SET */
};

/* --- what comes back --- */

/* A job on a lease. */
struct lease {
	struct job_view *view; /* one reference; carries a pin of the body; NULL once given back, as for COMMAND_DELIVERED */
	uint64_t number;       /* view->number */
	uint64_t deadline_ms;  /* unix */
	uint32_t attempt;
	char token[TOKEN_CHARS + 1];
};

struct queue_view {
	struct slice name;
	uint64_t count[JOB_STATE_COUNT];                                                        /* jobs by enum job_state */
	uint64_t submitted, done, failed, canceled, timeouts, retries, releases, lost_handoffs; /* since ever */
	double submitted_rate, done_rate; /* per second, smoothed over a minute */
	uint64_t waiting_workers;
	uint64_t oldest_ready_ms; /* unix ms at which it became ready; 0: none */
	uint64_t now_ms;          /* unix ms at which these were looked at */
	bool paused;
};

struct command {
	struct message message; /* first; kind MESSAGE_COMMAND, thread = the asker's */
	enum command_kind kind;
	enum outcome outcome;
	void *owner; /* the asker's */
	union {
		struct submit_in submit;
		struct jobs_in jobs;
		struct many_in many;
		struct subscription_in subscription; /* SUB_CREATE, GET, DELETE, LINK, UNLINK */
		struct subscription_claim_in subscription_claim;
		struct subscription_ack_in subscription_ack; /* SUB_ACK, RELEASE */
		struct hooked_in hooked;
		struct cancel_in cancel;
		struct list_in list;
		struct claim_in claim;
		struct claim_cancel_in claim_cancel;
		struct delivered_in delivered;
		struct worker_in worker;
		struct kick_in kick;
		struct queue_in queue;
		struct queues_in queues;
		struct stream_create_in stream_create;
		struct stream_append_in stream_append; /* OUTPUT_APPEND, too */
		struct stream_read_in stream_read;     /* DELETE: path alone */
		struct stream_list_in stream_list;
		struct topics_change_in topics_change; /* TOPIC_… */
		struct topics_in topics;
		struct produce_in produce;
		struct fetch_in fetch;
		struct list_offsets_in list_offsets;
		struct delete_records_in delete_records;
		struct producer_id_in producer_id;
		struct txn_in txn; /* TXN_ADD, TXN_END */
		struct txns_in txns;
		struct producers_in producers;
		struct txn_offsets_in txn_offsets;
		struct group_join_in group_join;
		struct group_sync_in group_sync;
		struct group_cancel_in group_cancel;
		struct group_who group_who; /* GROUP_BEAT */
		struct group_leave_in group_leave;
		struct consumer_beat_in consumer_beat;
		struct group_commit_in group_commit; /* GROUP_FORGET, too */
		struct group_offsets_in group_offsets;
		struct group_in group; /* GROUP_GET, GROUP_DELETE */
		struct groups_in groups;
	} in;
	/* What comes back, where there is any. Arrays are the sequencer's, freed by command_answer_deinit, which also gives back
	 * the views' references. */
	struct {
		struct job_view *view;   /* SUBMIT, CANCEL, BODY (with a pin), BEAT, and errors about a known job */
		struct job_view **views; /* JOBS, MANY: one for each handle, NULL where there is none; LIST */
		size_t view_count;
		/* JOBS, MANY: OK (far enough), PARKED (not yet; `views` has its present state), NOT_FOUND or GONE; and, of MANY,
		 * behind those of the jobs those of the streams. NO_MEMORY: of this one. */
		enum outcome *outcomes;
		struct stream_view **streams; /* MANY: one for each, NULL where there is none; STREAM_LIST */
		size_t stream_count;
		uint64_t next;        /* LIST, STREAM_LIST: 0 at the end; QUEUES: 1 when there are more */
		struct lease *leases; /* CLAIM; NULL where lease_count is 0 */
		size_t lease_count;
		struct queue_view *queues; /* QUEUE, QUEUE_SET, QUEUES */
		size_t queue_count;
		uint64_t deadline_ms;       /* BEAT: unix */
		struct stream_view *stream; /* STREAM_…: also with most errors */
		uint32_t woken;             /* STREAM_APPEND: how many waits are told of it */
		bool chosen;                /* STREAM_APPEND: its path is a topic's, and `partition` was chosen */
		uint32_t partition;
		struct subscription_view *subscription; /* SUB_CREATE (also of the other one), GET, CLAIM, which has a token */
		uint32_t count;                         /* KICK */
		bool next_wake;                         /* SUB_ACK with `done`: more is pending, and another wake follows */
		bool cancel;                            /* BEAT: the job was canceled */
		struct topic_view **topics;             /* TOPICS: one for each, NULL where there is none; or all */
		size_t topic_count;
		struct producer_id_out producer_id;
		struct txns_view *txns;
		struct group_view *group;   /* GROUP_JOIN, GROUP_SYNC, GROUP_GET */
		struct group_view **groups; /* GROUPS */
		size_t group_count;
		struct group_offsets_view *offsets; /* GROUP_OFFSETS */
		struct consumers_view *consumers;   /* CONSUMER_BEAT, GROUP_GET */
		uint64_t views_bytes;               /* what they are counted for */
	} out;
};

/* Gives back what an answer holds (views, arrays). Any thread. */
void command_answer_deinit(struct command *command);

/* A watched job changed. One for each thread that watches, and one only: whoever wants more watches again (COMMAND_JOBS with the
 * revision known now). */
struct wake {
	struct message message; /* MESSAGE_WAKE */
	struct job_view *view;  /* one reference; a done job's carries a pin of the result. NULL when the job was forgotten */
	uint64_t key;           /* handle_key of the job */
};

/* A watched stream has changed. One for each thread that watches, and one only. */
struct stream_wake {
	struct message message;   /* MESSAGE_STREAM_WAKE */
	struct stream_view *view; /* one reference; its chunk is what was appended, if anything. NULL: the stream is gone */
	uint64_t key;
};

/* What has come of a stream since the growth before, or since it began to be followed (FETCH): one for each thread that follows,
 * once a turn at most. It may tell again of what the answer to FETCH has told already: then next_offset is not greater. When
 * nobody waits there its receiver sends it back, and no more come until FETCH asks for them again; else it frees it. None comes
 * behind one that says `deleted`. */
struct stream_growth {
	struct message message; /* MESSAGE_STREAM_GREW */
	uint64_t key, number, stamp;
	uint64_t next_offset, stable_offset, earliest_offset;
	uint64_t bytes;        /* appended */
	uint64_t stable_bytes; /* before which now no transaction is open any more */
	bool trimmed, deleted;
};

/* A webhook is to be called: to thread 0. Its receiver frees it, and tells what became of it by COMMAND_SUB_HOOKED, at the latest
 * when the lease is over (view->lease_until_ms): the wake is then void, and what is pending comes with another one. The same wake
 * comes again, with the same generation, when it was not answered, and after a restart. */
struct hook {
	struct message message; /* MESSAGE_HOOK */
	struct subscription_view *view;
};

struct stream_left {
	struct message message; /* MESSAGE_STREAM_LEFT */
	uint64_t number;        /* the stream's */
	uint32_t waits;
};

/* Jobs for a parked claim. The receiver answers with COMMAND_DELIVERED, whatever became of the exchange; until then they are
 * offered only, and come back by themselves when nothing is heard for the delivery lease. */
struct offer {
	struct message message; /* MESSAGE_OFFER */
	uint64_t claim_id;
	size_t lease_count;
	struct lease leases[];
};

struct blob_release {
	struct message message; /* MESSAGE_RELEASE */
	struct body_ref blob;
};

/* Frees a wake, an offer or a release with all it holds. Any thread. */
void message_free(struct message *message);

/* The key under which the waits for a job hang on a board, read from its handle without knowing whether there is such a job; 0
 * when it has not the shape of a handle. Equals job_view.key of the job. Pure; any thread. */
uint64_t handle_key(struct slice handle);

/* The same for a stream, by its number. Pure; any thread. */
uint64_t stream_key(uint64_t number);
