/* Inside src/sequencer only. */
#pragma once

#include "base/buf.h"
#include "group/consumer.h"
#include "group/group.h"
#include "job/job.h"
#include "sequencer/sequencer.h"
#include "stream/stream.h"
#include "subscription/subscription.h"
#include "topic/topic.h"

struct claim_place {
	struct list node; /* in queue->claims */
	struct claim *claim;
	struct queue *queue;
};

/* A claim that waits. */
struct claim {
	struct hash_node node; /* by thread and claim_id */
	struct list peers;     /* in s->parked */
	uint64_t claim_id;
	uint32_t max, lease_ms;
	uint8_t thread;
	struct text *worker, *attempt_id;
	size_t place_count;
	struct claim_place places[];
};

/* The pass that is under way (stream_compact.c). */
struct compacting {
	struct list queue;     /* of partitions that are to be compacted; the first is the one */
	uint64_t stream;       /* its number, once the pass has begun; 0: none is under way */
	uint64_t at;           /* where the next step begins */
	uint64_t from, until;  /* of the records whose keys count */
	uint64_t retention_ms; /* of null values */
	uint64_t horizon_ms;   /* the earliest of those that stay; 0: there is none */
	bool fresh;            /* no step was taken yet */
	bool anew;             /* the next step that leaves something out is the first of these */
	bool filtering, out;   /* out: a step is being done */
};

struct sequencer {
	struct sequencer_config config;
	struct store *store;
	struct jobs jobs;
	struct streams streams;
	struct hash outputs;                       /* of jobs that have some, or are waited for: output.c */
	struct list outputs_settled, outputs_late; /* the same */
	uint64_t outputs_late_ms;                  /* when the late ones are tried again */
	struct subscriptions subs;
	struct topics topics;
	struct compacting compacting;
	uint64_t relink_ms; /* what a lack of memory left unlinked is linked then; UINT64_MAX: nothing */
	struct groups groups;
	struct hash followed;    /* streams that loop threads follow: follow.c */
	struct list calm, grown; /* the same */
	uint64_t follow_stamp;
	uint64_t members_made;   /* ids of members given away since the start */
	uint64_t topics_version; /* goes up whenever a topic is made, grows or goes */
	struct hash claims;
	struct list parked;
	size_t claim_count;
	struct list dirty; /* queues with work and waiters, until the next settle */
	uint64_t now_ms, last_ms;
	uint64_t appended_end;  /* end of the last event */
	uint64_t forgotten_end; /* end of the last event that let a job or queue go: "not found" rests on it */
	uint64_t lazy_since_ms; /* when the oldest uncommitted event was appended */
	uint64_t committed_end; /* durable position as of the last look */
	struct mail_list held;  /* messages whose gate is not durable, in order */
	uint64_t held_count;
	struct mail_list out[COMMAND_THREADS_MAX];
	uint64_t views_bytes;                    /* of answers that are held or out */
	uint64_t views_out[COMMAND_THREADS_MAX]; /* of those that are out */
	struct buf fields;
	uint8_t seed[EVENT_SECRET_BYTES];
	struct hash_key tag_key, mix_key, token_key, subscription_key, topic_key, member_key;
	bool failed;
	struct sequencer_stats stats;
};

/* --- handle.c --- */
void handle_keys(struct sequencer *s); /* once the secret is known */
/* What a job's handle and board key are. */
uint64_t handle_make(const struct sequencer *s, uint64_t number, char ret_handle[JOB_HANDLE_CHARS]);
uint64_t handle_number(const struct sequencer *s, struct slice handle);  /* 0: not one of ours */
struct job *handle_find(const struct sequencer *s, struct slice handle); /* NULL: not one of ours, or forgotten */
uint64_t token_make(const struct sequencer *s, const struct job *job);
void token_format(uint64_t token, char ret_text[TOKEN_CHARS + 1]);
uint64_t token_parse(struct slice text);                                             /* 0: not a token */
uint64_t jitter(const struct sequencer *s, const struct job *job, uint64_t span_ms); /* 0 … span_ms */

/* --- emit.c --- */
/* Appends and applies one event; e->type and its fields are set, the rest is filled in. `body` goes into the entry. Watchers are
 * woken. On another outcome than OK nothing has changed. A FORGOTTEN job's pointer is void afterwards. */
enum outcome emit(struct sequencer *s, struct event *e, struct job *job, struct slice body) MUST_USE;
/* The same for events without fields of their own. */
enum outcome emit_plain(struct sequencer *s, enum event_type type, struct job *job) MUST_USE;
enum outcome outcome_of(int error);
/* Appends an event whose fields have just been encoded into s->fields: 0, or as the store says. */
int append_entry(struct sequencer *s, struct store_entry *entry, struct store_appended *ret_appended) MUST_USE;
/* Puts a message on its way; it leaves when `gate` is durable. */
void message_send(struct sequencer *s, struct message *message, uint64_t gate);
void reply(struct sequencer *s, struct command *c, enum outcome outcome, uint64_t gate);
void queue_touch(struct sequencer *s, struct queue *queue); /* its claims may be served at the next settle */

/* --- view.c --- */
enum view_pin { PIN_NONE, PIN_BODY, PIN_RESULT };
struct job_view *view_new(struct sequencer *s, const struct job *job, enum view_pin pin); /* NULL: no memory */
/* The same in memory taken before, for who cannot go back any more: sizeof(*room) and the strings' bytes. Cannot fail without a
 * pin. */
struct job_view *view_fill(struct sequencer *s, const struct job *job, enum view_pin pin, struct job_view *room);
/* Those of one answer may take views_bytes_max, and all that wait to be taken by who asked so many times that. False: it is too
 * much, and the answer is to be dropped. */
enum { VIEWS_AT_ONCE = 4 };
bool views_take(struct sequencer *s, struct command *c, uint64_t bytes) MUST_USE;
void watch(struct job *job, enum job_until until, unsigned thread);
void wake_watchers(struct sequencer *s, struct job *job, uint64_t gate, bool forgotten);

/* --- one a kind of command --- */
void command_submit(struct sequencer *s, struct command *c);
void command_jobs(struct sequencer *s, struct command *c);
void command_many(struct sequencer *s, struct command *c);
void command_list(struct sequencer *s, struct command *c);
void command_cancel(struct sequencer *s, struct command *c);
void command_claim(struct sequencer *s, struct command *c);
void command_claim_cancel(struct sequencer *s, struct command *c);
void command_delivered(struct sequencer *s, struct command *c);
void command_body(struct sequencer *s, struct command *c);
void command_beat(struct sequencer *s, struct command *c);
void command_done(struct sequencer *s, struct command *c);
void command_fail(struct sequencer *s, struct command *c);
void command_release(struct sequencer *s, struct command *c);
void command_kick(struct sequencer *s, struct command *c);
void command_queue(struct sequencer *s, struct command *c);
void command_queues(struct sequencer *s, struct command *c);
void command_queue_set(struct sequencer *s, struct command *c);

/* --- look.c --- */
/* One of the handles, as JOBS tells of it; *gate goes up to what that rests on. */
enum outcome job_look(struct sequencer *s, const struct jobs_in *in, size_t i, struct command *c, uint64_t *gate) MUST_USE;

/* --- claim.c --- */
bool claim_serve(struct sequencer *s, struct queue *queue); /* its waiters, as long as it has work; false: memory was short */
void claims_free(struct sequencer *s);
/* --- worker.c --- */
enum outcome lease_timed_out(struct sequencer *s, struct job *job) MUST_USE;
/* The job that the worker holds a lease of. Another outcome than OK: what to answer, from *ret_gate on; *ret_job is set if there
 * is such a job. */
enum outcome worker_leased(struct sequencer *s, const struct worker_in *in, struct job **ret_job, uint64_t *ret_gate) MUST_USE;

/* --- output.c --- */
void outputs_init(struct sequencer *s);
void outputs_free(struct sequencer *s);
int outputs_restore(struct sequencer *s) MUST_USE;     /* once all is replayed and the secret is known: 0 or -ENOMEM */
void output_follow(struct sequencer *s, uint64_t job); /* the job with this number has changed, or is no more */
void outputs_turn(struct sequencer *s);                /* tries again what lacked memory */
uint64_t outputs_next_ms(const struct sequencer *s);   /* unix ms of that; UINT64_MAX: nothing is to be tried */
void outputs_check(const struct sequencer *s);
/* stream_look, where there is no stream at the path. */
enum outcome output_look(struct sequencer *s, const struct stream_read_in *in, unsigned thread, struct stream_view **ret_view,
			 uint64_t *gate) MUST_USE;
void command_output_append(struct sequencer *s, struct command *c);

/* --- stream.c, stream_read.c --- */
struct stream_sink {
	int (*add)(void *ctx, uint8_t type, struct slice fields);
	void *ctx;
};

/* As emit, for streams. A DELETED stream's pointer is void afterwards. */
enum outcome stream_emit(struct sequencer *s, struct stream_event *e, struct stream *stream, struct slice body) MUST_USE;
struct stream_view *stream_view_new(struct sequencer *s, const struct stream *stream, size_t chunk_count); /* NULL: no memory */
/* The same in two steps, for who cannot go back any more: memory for a path and a content type of these bytes together, which
 * cannot fail to be filled. NULL: no memory. */
struct stream_view *stream_view_room(size_t strings_bytes, size_t chunk_count);
void stream_view_fill(struct stream_view *room, const struct stream *stream, size_t chunk_count);
/* What a stream has from `offset` on, as far as `in` (bounds alone) lets it: chunks and their pins. NULL: no memory, or bytes
 * that are gone. */
struct stream_view *stream_view_from(struct sequencer *s, const struct stream *stream, uint64_t offset,
				     const struct stream_read_in *in);
/* Whether a cursor (number, offset) is one of this stream: its own, or one of what it has from a source. (0, 0) is the beginning
 * of every stream, and *offset is set to where that is. */
bool stream_place_find(const struct stream *stream, uint64_t number, uint64_t *offset);
/* One stream as READ tells of it: the outcome and, but for NOT_FOUND and NO_MEMORY, the view; *gate goes up to what that rests
 * on. */
enum outcome stream_look(struct sequencer *s, const struct stream_read_in *in, unsigned thread, struct stream_view **ret_view,
			 uint64_t *gate) MUST_USE;
bool stream_has_more(struct sequencer *s, const struct stream_read_in *in); /* than nothing, where it would be read */
struct stream_waking {
	uint64_t from; /* where those stand who have read all there was */
	uint64_t gate;
	bool deleted;
};
void stream_wake_watchers(struct sequencer *s, struct stream *stream, const struct stream_waking *waking);
void stream_left(struct sequencer *s, const struct stream_left *left);

/* --- follow.c --- */
void follows_init(struct sequencer *s);
void follows_free(struct sequencer *s);
int follow_begin(struct sequencer *s, struct stream *stream, unsigned thread) MUST_USE; /* or goes on: 0 or -ENOMEM */
void follow_end(struct sequencer *s, const struct stream_growth *growth);               /* which has come back */
void follow_event(struct sequencer *s, const struct stream_event *e, uint64_t bytes);   /* about a stream that is followed */
void follows_settle(struct sequencer *s);
void follows_check(const struct sequencer *s);

/* What it numbers so was appended before. */
bool producer_repeats(const struct sequencer *s, const struct stream *stream, const struct producer_in *in);

/* --- stream_keep.c --- */
/* All of a chunk's bytes, checked; freed with mem_free. 0, -ENOMEM or -EIO. */
int chunk_read(struct sequencer *s, const struct chunk *chunk, char **ret_bytes) MUST_USE;
/* The first record from place->from on whose time is not before `time_ms`, among those in the chunk: 0, 1 (there is none),
 * -ENOMEM or -EIO. */
int chunk_offset_at(struct sequencer *s, const struct chunk_place *place, uint64_t time_ms, uint64_t *ret_offset) MUST_USE;
/* What a stream no longer keeps is let go, and small chunks are gathered, a bounded share of both. */
void stream_keep(struct sequencer *s, struct stream *stream);
enum outcome stream_came_due(struct sequencer *s,
			     struct stream *stream) MUST_USE; /* its deadline: the stream's end, or records' */
int stream_snapshot_meta(struct sequencer *s, const struct stream_sink *sink) MUST_USE;
int stream_snapshot(struct sequencer *s, const struct stream *stream,
		    const struct stream_sink *sink) MUST_USE;                                   /* all of one stream */
int stream_rescue(struct sequencer *s, const struct store_replay *entry, char *bytes) MUST_USE; /* room for the entry's body */

/* --- stream_compact.c --- */
void stream_compact_due(struct sequencer *s, struct stream *stream);  /* it is time to look whether it is to be compacted */
void stream_compact_soon(struct sequencer *s, struct stream *stream); /* a partition that is compacted has grown */
void stream_compact_follow(struct sequencer *s, struct stream *stream, bool compacted); /* so its topic's settings say */

/* --- stream_fork.c --- */
/* What a fork has from its source where the request does not say otherwise, and what lies at its beginning. OUTCOME_OK: filled
 * in. `fork`: what is at its path already, which may be a fork of a source that is gone; NULL: nothing. */
enum outcome fork_from(struct sequencer *s, const struct stream_create_in *in, const struct stream *fork, struct stream_event *e);
void command_stream_create(struct sequencer *s, struct command *c);
void command_stream_append(struct sequencer *s, struct command *c);
void command_stream_delete(struct sequencer *s, struct command *c);
void command_stream_read(struct sequencer *s, struct command *c);
void command_stream_list(struct sequencer *s, struct command *c);

/* --- topic.c --- */
/* As emit, for topics. A DELETED one's pointer is void afterwards. */
enum outcome topic_emit(struct sequencer *s, struct topic_event *e, struct topic *topic) MUST_USE;
void topic_follow(struct sequencer *s, const struct topic *topic); /* its partitions do as is set of it; NULL is fine */
uint64_t topic_message_max(const struct sequencer *s);             /* the longest batch that any topic may take */
void topics_start(struct sequencer *s);                            /* once all is replayed: partitions without a topic go */
struct topic *topic_of(const struct sequencer *s, const struct topic_ref *ref);        /* NULL: there is none */
struct topic *topic_of_stream(const struct sequencer *s, const struct stream *stream); /* NULL: no partition */
struct topic *topic_of_partition(const struct sequencer *s, const struct stream *stream, uint32_t *ret_partition); /* so, too */
/* The partition that takes a record with that key, or, with a key of NULL, whose turn it is; NULL: no topic has that name. */
struct stream *topic_choose(struct sequencer *s, struct slice name, struct slice key, uint32_t *ret_partition);
struct stream *partition_find(const struct sequencer *s, const struct topic *topic, uint32_t partition); /* NULL: the same */
void command_topic_create(struct sequencer *s, struct command *c);
void command_topic_partitions(struct sequencer *s, struct command *c);
void command_topic_config(struct sequencer *s, struct command *c);
void command_topic_delete(struct sequencer *s, struct command *c);

/* --- topic_view.c --- */
/* What would be set of a topic (NULL: of a new one) after that change. */
enum outcome topic_settings_change(const struct topic *topic, struct topic_change *change, bool incremental,
				   struct buf *out) MUST_USE;
void topic_answer_deinit(struct command *c); /* its share of command_answer_deinit */
int topics_snapshot_meta(struct sequencer *s, const struct stream_sink *sink) MUST_USE;
int topic_snapshot_put(struct sequencer *s, const struct topic *topic, const struct stream_sink *sink) MUST_USE;
void command_topics(struct sequencer *s, struct command *c);

/* --- txn.c --- */
bool txns_turn(struct sequencer *s, unsigned *limit); /* as sequencer_turn */
uint64_t txns_next_ms(const struct sequencer *s);
/* Whether transactions let the batch in: OK; TXN (its partition is in none); STALE (another has the id since); and, where what
 * is in none is added, what may become of that. */
enum outcome txn_may_produce(struct sequencer *s, const struct produce_in *in, const struct produce_batch *batch,
			     const struct stream *stream);
int txn_snapshot_put(struct sequencer *s, const struct txn *txn, const struct stream_sink *sink) MUST_USE;
void command_producer_id(struct sequencer *s, struct command *c);
void command_txn_add(struct sequencer *s, struct command *c);
void command_txn_offsets(struct sequencer *s, struct command *c);
void command_txn_end(struct sequencer *s, struct command *c);
void command_txns(struct sequencer *s, struct command *c);
void command_producers(struct sequencer *s, struct command *c);
void txn_answer_deinit(struct command *c);
/* Those that an open transaction will set, or will not. false: no memory. */
bool txn_mark_unstable(const struct sequencer *s, struct slice group, struct group_offsets_view *view) MUST_USE;

/* --- produce.c, fetch.c --- */
void command_produce(struct sequencer *s, struct command *c);
void command_fetch(struct sequencer *s, struct command *c);
void command_list_offsets(struct sequencer *s, struct command *c);
void command_delete_records(struct sequencer *s, struct command *c);

/* --- subscription.c --- */
/* As emit, for subscriptions. A DELETED one's pointer is void afterwards. */
enum outcome subscription_emit(struct sequencer *s, struct subscription_event *e, struct subscription *subscription) MUST_USE;
void subscriptions_follow(struct sequencer *s, const struct stream_event *e); /* to be called after each event about a stream */
void subscriptions_start(struct sequencer *s);
bool subscriptions_turn(struct sequencer *s, unsigned *limit); /* as sequencer_turn */
void subscriptions_settle(struct sequencer *s);
uint64_t subscriptions_next_ms(const struct sequencer *s);
void subscriptions_verify(const struct sequencer *s);                             /* as sequencer_check */
bool subscription_can_link(const struct stream *stream);                          /* NULL: no */
struct stream *subscription_stream(const struct sequencer *s, struct slice path); /* NULL: none that can be linked */
bool subscription_matches(const struct subscription *subscription, struct slice path);
enum outcome subscription_hooked(struct sequencer *s, struct subscription *subscription, enum hook_result result) MUST_USE;

/* --- subscription_view.c --- */
enum subscription_view_of { VIEW_NOW, VIEW_HOOK };
struct subscription_view *subscription_view_new(const struct sequencer *s, const struct subscription *subscription,
						enum subscription_view_of of); /* NULL: no memory */
/* The same in two steps, for who cannot go back any more; with room for a holder of that many bytes. NULL: no memory. */
struct subscription_view *subscription_view_room(const struct subscription *subscription, size_t holder_bytes);
void subscription_view_fill(const struct sequencer *s, struct subscription_view *room, const struct subscription *subscription,
			    enum subscription_view_of of);
void subscription_wake_id(const struct sequencer *s, const struct subscription *subscription,
			  char ret_wake_id[WAKE_ID_CHARS + 1]);
/* Whether a token is one of this subscription's, and of which wake. */
bool subscription_token(const struct sequencer *s, const struct subscription *subscription, struct slice token,
			uint64_t *ret_generation);
uint64_t subscription_jitter(const struct sequencer *s, const struct subscription *subscription, uint64_t attempts);
int subscription_snapshot_meta(struct sequencer *s, const struct stream_sink *sink) MUST_USE;
int subscription_snapshot(struct sequencer *s, const struct subscription *subscription, const struct stream_sink *sink) MUST_USE;

/* --- subscription_ask.c --- */
void command_sub_create(struct sequencer *s, struct command *c);
void command_sub_get(struct sequencer *s, struct command *c);
void command_sub_delete(struct sequencer *s, struct command *c);
void command_sub_link(struct sequencer *s, struct command *c);
void command_sub_unlink(struct sequencer *s, struct command *c);
void command_sub_claim(struct sequencer *s, struct command *c);
void command_sub_ack(struct sequencer *s, struct command *c);
void command_sub_release(struct sequencer *s, struct command *c);
void command_sub_hooked(struct sequencer *s, struct command *c);

/* --- group.c --- */
/* As emit, for groups. A DELETED one's pointer is void afterwards. */
enum outcome group_emit(struct sequencer *s, struct group_event *e, struct group *group) MUST_USE;
void group_settle(struct sequencer *s, struct group *group); /* after whatever may end a wait or move a deadline */
void groups_start(struct sequencer *s);
bool groups_turn(struct sequencer *s, unsigned *limit); /* as sequencer_turn */
uint64_t groups_next_ms(const struct sequencer *s);
void groups_fail(struct sequencer *s); /* all that wait come back */

/* --- group_view.c --- */
struct group_view *group_view_new(const struct group *group, const struct member *asker, bool with_members); /* NULL: no memory */
void group_answer_deinit(struct command *c);
/* Of who is to join with an id: */
struct group_view *group_view_id(struct slice member_id);
struct group_offsets_view *group_offsets_view_new(const struct sequencer *s, const struct group *group,
						  const struct group_offsets_in *in); /* `group` may be NULL; NULL: no memory */
/* A new id, that nobody can guess; and whether one is of that kind, for that group. */
struct slice member_id_make(struct sequencer *s, struct slice group, struct slice prefix, char ret_id[GROUP_MEMBER_ID_MAX]);
bool member_id_known(const struct sequencer *s, struct slice group, struct slice id);
int group_snap(struct sequencer *s, const struct group_event *e, const struct stream_sink *sink) MUST_USE; /* one event of it */
int group_snapshot_meta(struct sequencer *s, const struct stream_sink *sink) MUST_USE;
int group_snapshot(struct sequencer *s, const struct group *group, const struct stream_sink *sink) MUST_USE;

/* --- consumer.c, consumer_view.c --- */
void command_consumer_beat(struct sequencer *s, struct command *c);
enum outcome consumer_leave(struct sequencer *s, struct group *group, struct consumer *consumer) MUST_USE; /* it is out */
void consumers_start(struct sequencer *s, struct group *group);
bool consumers_turn(struct sequencer *s, unsigned *limit); /* as sequencer_turn */
uint64_t consumers_next_ms(const struct sequencer *s);
enum group_state group_state_told(const struct group *group);
struct consumers_view *consumers_view_new(const struct sequencer *s, const struct group *group); /* NULL: no memory */
struct consumers_view *consumer_view_new(const struct sequencer *s,
					 const struct consumer *consumer); /* of one, as BEAT tells it */
void consumers_view_free(struct consumers_view *view);
int consumers_snapshot(struct sequencer *s, const struct group *group, const struct stream_sink *sink) MUST_USE;

/* --- group_ask.c, group_offsets.c --- */
void command_group_join(struct sequencer *s, struct command *c);
void command_group_sync(struct sequencer *s, struct command *c);
void command_group_cancel(struct sequencer *s, struct command *c);
void command_group_beat(struct sequencer *s, struct command *c);
void command_group_leave(struct sequencer *s, struct command *c);
void command_group_commit(struct sequencer *s, struct command *c);
void command_group_forget(struct sequencer *s, struct command *c);
void command_group_offsets(struct sequencer *s, struct command *c);
void command_group_get(struct sequencer *s, struct command *c);
void command_group_delete(struct sequencer *s, struct command *c);
void command_groups(struct sequencer *s, struct command *c);
/* A group of that id, which is made if need be: FULL, NO_SPACE … */
enum outcome group_get(struct sequencer *s, struct slice id, struct group **ret_group) MUST_USE;
/* Whether offsets may be committed so: the outcome of all, and one of each place; *ret_any: some may. The group may be NULL. */
enum outcome group_commit_judge(struct sequencer *s, struct group_commit_in *in, struct group *group, bool *ret_any) MUST_USE;
/* Offsets of a transaction (topic/txn.h), those of a group one behind the other: committed. */
enum outcome group_commit_txn(struct sequencer *s, struct slice offsets) MUST_USE;
