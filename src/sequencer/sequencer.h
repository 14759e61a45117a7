/* The sequencer: commands in, events and effects out, one at a time. Pure: time and randomness come in as arguments, bytes go to
 * a store, messages come out as lists; so the same code runs in the server and in the simulator.
 *
 * A turn of the thread that has the role:
 *
 *     sequencer_turn(s, now)             time moves; deadlines that have come become events
 *     sequencer_command(s, command) …    each is applied at once; its answer waits inside
 *     sequencer_settle(s)                waiting claims are given what became ready
 *     (commit the store if sequencer_wants_commit)
 *     sequencer_release(s)               what has become durable is put into the outboxes
 *     sequencer_take(s, thread) …        and taken from there, thread by thread
 *
 * Invariants:
 *  1. a message leaves only when everything it rests on is durable (message.gate <= store's durable position);
 *  2. every command comes back exactly once;
 *  3. state changes by events only, each appended before it is applied (job.h), so state is a fold of the journal;
 *  4. a parked claim is answered by exactly one offer, or canceled;
 *  5. of the waiting claims of a queue the one that waits longest is served first, whichever thread it is on. */
#pragma once

#include "sequencer/command.h"
#include "sequencer/compact_step.h"

struct sequencer;
struct event;

struct sequencer_config {        /* limits and times; each is a configuration key */
	uint64_t jobs_max;       /* all jobs, tombstones too */
	uint64_t queue_jobs_max; /* of one queue, tombstones not counted */
	uint64_t queues_max;
	uint64_t claims_max; /* parked claims */
	uint64_t streams_max;
	uint64_t producers_max; /* of one stream */
	uint64_t topics_max;
	uint64_t views_bytes_max; /* of one answer about topics, transactions or producers; more is NO_MEMORY */
	uint64_t transactional_ids_max;
	uint64_t transaction_ms_max;   /* the longest that a transaction may take */
	uint64_t message_bytes_max;    /* the most that a topic's max.message.bytes may be, if the store takes it */
	uint64_t topic_partitions_max; /* of one; at most TOPIC_PARTITIONS_MAX */
	uint64_t output_bytes_max;     /* of one job's output, as they lie in the store */
	uint64_t subscriptions_max;
	uint64_t subscription_links_max; /* streams of one */
	uint64_t groups_max;
	uint64_t group_members_max;      /* of one group */
	uint64_t group_member_bytes_max; /* what a member may say when it joins, and what it may be assigned */
	uint64_t group_offsets_max;      /* of one group */
	uint64_t group_metadata_max;     /* bytes beside an offset */
	uint64_t group_session_min_ms, group_session_max_ms;
	uint64_t group_first_delay_ms; /* how long the first member waits for more */
	uint64_t group_topics_max;     /* that a consumer subscribes to by name */
	uint64_t group_regex_max;      /* bytes of a regular expression of topics */
	uint64_t group_partitions_max; /* of all topics that a group of consumers subscribes to */
	uint64_t consumer_session_ms, consumer_beat_ms;
	uint64_t group_retention_ms; /* a group that nobody uses for so long is gone with its offsets; 0: never */
	uint64_t delivery_lease_ms;  /* an offer not confirmed by then goes to the next worker */
	uint64_t tombstone_ms;       /* how long an expired job answers 410 */
	uint64_t retry_base_ms;      /* back-off after the first failure; doubles with each */
	uint64_t retry_cap_ms;
	uint32_t gather_chunks;          /* so many small appends of a stream, one behind the other, become one chunk … */
	uint64_t gather_bytes;           /* … of at most so many bytes; longer ones than fit in it so often are left alone */
	uint64_t compaction_interval_ms; /* a compacted partition that has grown is looked at after so long */
	uint32_t compaction_chunks;      /* a step of it reads at most so many */
	uint64_t lazy_ms;                /* events nobody waits for are committed after so long */
};
extern const struct sequencer_config sequencer_defaults;

/* `seed`: 16 random bytes; the secret of a new journal is made from them, and nothing else. NULL: no memory. */
struct sequencer *sequencer_new(const struct sequencer_config *config, struct store *store, const uint8_t seed[16]);
struct sequencer *sequencer_free(struct sequencer *s); /* drops what was not taken */
void sequencer_configure(struct sequencer *s, const struct sequencer_config *config);

/* During recovery: one entry of the journal or of a checkpoint. 0, -EBADMSG or -ENOMEM. */
int sequencer_replay(struct sequencer *s, const struct store_replay *entry) MUST_USE;

/* That was all of it; what a checkpoint held and is gone since is let go. 0 or -EBADMSG. sequencer_start does so itself. */
int sequencer_replayed(struct sequencer *s) MUST_USE;

/* After recovery, before the first command. 0, -EBADMSG or the store's error. `now_ms`: unix. */
int sequencer_start(struct sequencer *s, uint64_t now_ms) MUST_USE;

/* The journal's secret, from which the server's keys are derived. After sequencer_start. */
void sequencer_secret(const struct sequencer *s, uint8_t ret_secret[16]);

/* The largest time any event carried: the server's clock must not begin before it. */
uint64_t sequencer_last_ms(const struct sequencer *s);

/* Time moves to `now_ms` (unix; never backwards) and at most `limit` deadlines are handled; true when more are due. */
bool sequencer_turn(struct sequencer *s, uint64_t now_ms, unsigned limit);
uint64_t sequencer_next_ms(const struct sequencer *s); /* unix ms of the next deadline; UINT64_MAX: none */

void sequencer_message(struct sequencer *s, struct message *message); /* a command, or a release */
void sequencer_settle(struct sequencer *s);

/* Something waits for durability, or has waited lazily for lazy_ms. When not, *ret_at_ms (unix) says when it will; UINT64_MAX:
 * nothing is open. */
bool sequencer_wants_commit(const struct sequencer *s, uint64_t *ret_at_ms);

void sequencer_release(struct sequencer *s);
struct mail_list sequencer_take(struct sequencer *s, unsigned thread);

/* The journal has failed: all that waits inside comes out as OUTCOME_STORAGE, and so does every command from now on. */
void sequencer_fail(struct sequencer *s);

/* --- checkpoint: called with a cursor that begins at 0, until it returns 0 --- */

/* Hands at most `limit` snapshot events to `add`. 1: more to come; 0: done; negative: what `add` returned. */
int sequencer_snapshot(struct sequencer *s, uint64_t *cursor, unsigned limit,
		       int (*add)(void *ctx, uint8_t type, struct slice fields), void *ctx) MUST_USE;

/* The same, all at once; a checkpoint may be under way meanwhile. 0, or what `add` returned. For checks: it takes as long as the
 * state is large. */
int sequencer_snapshot_whole(struct sequencer *s, int (*add)(void *ctx, uint8_t type, struct slice fields), void *ctx) MUST_USE;

/* --- tidier --- */

/* An old entry with a body: if the state still names these bytes they are written anew, and the old ones let go. 0, or the
 * store's error (try again later). */
int sequencer_rescue(struct sequencer *s, const struct store_replay *entry) MUST_USE;

/* --- compaction --- */

/* The next step, which whoever takes it has done (src/compaction), on any thread, and then gives back; one at a time. NULL:
 * nothing is to be done now. To be asked after each turn and whenever something has become durable. */
struct compact_step *sequencer_compact_take(struct sequencer *s);
void sequencer_compact_give(struct sequencer *s, struct compact_step *step);
/* The names of compacted topics, and a number that is another one when they are not the same any more. */
uint64_t sequencer_compacted_changes(const struct sequencer *s);
void sequencer_compacted_each(const struct sequencer *s, void (*each)(void *ctx, struct slice topic), void *ctx);
bool sequencer_compact_is_idle(const struct sequencer *s); /* no pass is under way, nor is one to begin */

struct sequencer_stats {
	uint64_t jobs, queues, streams, topics, subscriptions, groups, group_members, consumer_members, claims_parked;
	uint64_t jobs_by_state[JOB_STATE_COUNT];
	uint64_t events_total, commands_total, wakes_total, offers_total, leased_total, lost_handoffs_total, timeouts_total;
	uint64_t assignments_total;                           /* of partitions to consumers: how often they were made anew */
	uint64_t compactions_total, compactions_failed_total; /* of partitions; failed: for bytes that could not be read */
	uint64_t compacted_bytes_total;                       /* that were let go so */
	uint64_t refused_total[OUTCOME_COUNT];                /* commands that came back with that outcome */
	uint64_t waiting_messages;                            /* not durable yet */
};
void sequencer_stats(const struct sequencer *s, struct sequencer_stats *ret_stats);

/* For tests and the simulator. */
void sequencer_check(const struct sequencer *s);
