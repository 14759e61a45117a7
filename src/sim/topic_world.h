/* The Kafka door's people in the simulated world: who makes topics, produces, fetches and consumes in groups, and what they were
 * told, which no crash may take back. Part of world.h. */
#pragma once

#include "sim/assignee_model.h"
#include "sim/topic_model.h"
#include "wait/wheel.h"

struct world;
struct loop;
struct ask;
struct expected;

enum {
	TOPIC_NAMES = 4,
	TOPIC_PARTITIONS_ASKED = 4, /* of one topic, at most */
	TOPIC_PRODUCERS = 12,
	TOPIC_FETCHERS = 12,
	TOPIC_TXN_IDS = 4,
	TOPIC_PRODUCERS_KNOWN = 6,
	PARTS_MAX = 4, /* of one question */
	BATCH_ROOM = 512,
	HISTORY_MAX = 8,
	SETTINGS_MAX = 3,
};

/* What a command about many of something asks, and what the oracle says to each. Its memory is the ask's. */
struct question {
	struct topic_ref refs[PARTS_MAX];
	struct produce_partition produce[PARTS_MAX];
	char bytes[PARTS_MAX][BATCH_ROOM];
	struct fetch_partition fetch[PARTS_MAX];
	struct offset_partition offsets[PARTS_MAX];
	struct delete_records_partition deletes[PARTS_MAX];
	struct txn_partition parts[PARTS_MAX];
	struct topic_change change;
	struct topic_setting_change settings[SETTINGS_MAX];
	struct group_place places[PARTS_MAX];
	struct group_protocol protocols[PARTS_MAX];
	struct group_assignment assignments[PARTS_MAX * 2];
	char ids[PARTS_MAX * 2][80], whats[PARTS_MAX * 2][48];
	struct group_leaving leaving;
	struct consumer_owned owned[ASSIGNEE_PLACES_MAX];
	int32_t owned_partitions[ASSIGNEE_PLACES_MAX];
	struct slice names[TOPIC_NAMES], member;
	struct place_set said_owned, may_own; /* CONSUMER_BEAT: what it says; what it has, or may take up */
	bool is_assignee;                     /* the server assigns to who asks */
	bool was_in, was_held, was_away;      /* … before; another one has its instance; which is away */
	size_t was_count;
	unsigned consumer;                               /* who asks */
	uint64_t parked_ms;                              /* JOIN, SYNC: since when it waits; 0: it did not */
	bool seen;                                       /* … and that it is over */
	uint64_t group_number, topic_number, commit_end; /* GROUP_COMMIT: what it was about, and the end of its event */
	enum outcome should[PARTS_MAX];
	enum outcome should_all;
	uint64_t should_offset[PARTS_MAX];
	uint64_t streams[PARTS_MAX]; /* numbers of the partitions it was about; 0: there was none */
	bool done[PARTS_MAX];        /* PRODUCE: its event was seen */
	uint64_t txn;                /* the client's number of its transaction */
	uint64_t producer_id;        /* PRODUCER_ID: the one there was */
};

enum producer_kind { PRODUCER_PLAIN, PRODUCER_IDEMPOTENT, PRODUCER_TRANSACTIONAL };

/* One batch, as it is sent, however often. */
struct said {
	unsigned topic, partition;
	uint64_t serial, txn, time_ms;
	int64_t producer_id; /* -1: none */
	int16_t epoch;
	uint32_t count, seq, tries;
	bool keyed, again; /* again: it was acknowledged before */
};

enum client_txn { CLIENT_NONE, CLIENT_OPEN, CLIENT_ENDING };

/* A producer says what it has until it hears what became of it. Those with one transactional id fence each other. */
struct topic_producer {
	struct ask *ask; /* under way, or NULL */
	enum producer_kind kind;
	char id[8]; /* transactional */
	int64_t producer_id;
	int16_t epoch;
	uint32_t next[TOPIC_NAMES][TOPIC_PARTITIONS_ASKED];
	struct said pending[PARTS_MAX], history[HISTORY_MAX];
	size_t pending_count, history_count;
	enum client_txn state;
	bool commits;
	uint64_t txn;
	struct {
		unsigned topic, partition;
	} parts[PARTS_MAX];
	size_t part_count;
	uint64_t rests_until_ms;
};

enum fetcher_state { FETCHER_AWAY, FETCHER_LOOKING, FETCHER_PARKED };

struct fetcher {
	struct wheel_entry timer;
	struct world *world;
	struct loop *loop;
	struct ask *ask; /* under way, or NULL */
	enum fetcher_state state;
	bool committed;
	size_t count;
	unsigned topics[PARTS_MAX], partitions[PARTS_MAX];
	uint64_t streams[PARTS_MAX], offsets[PARTS_MAX]; /* stream 0: not known */
	uint64_t min_bytes;
	/* Parked: */
	uint64_t missing_bytes, seen[PARTS_MAX];
	bool full[PARTS_MAX];
};

/* Of a partition: what somebody outside knows of its ends. What lies in it, `struct told` has. */
struct told_ends {
	uint64_t high, stable, start;
};

struct topic_world {
	struct topic_producer producers[TOPIC_PRODUCERS];
	struct fetcher fetchers[TOPIC_FETCHERS];
	struct told_ends *ends; /* by stream */
	uint64_t ends_cap;
	uint8_t *fates; /* by the client's number of a transaction: what its end was told to be */
	uint64_t fates_cap;
	uint64_t serial, txn;
	uint64_t short_ms; /* when memory or space was short last: what was due then may come later */
	/* What was seen. */
	uint64_t made, deleted, grown, produced, same, gaps, stale, refused, committed, aborted, timed_out, fetched, parked,
		woken;
	uint64_t records, hidden, listed, dropped, offsets;
};

/* --- topic_expect.c: what the oracle says, before and after --- */
bool topic_command(const struct ask *ask); /* of the Kafka door */
struct expected topic_expect(struct world *world, const struct ask *ask);
void topic_check_answer(struct world *world, struct ask *ask);
uint64_t topic_rests_on(struct world *world, const struct ask *ask);
bool topic_excused(const struct world *world, enum outcome outcome); /* memory or space was short */

/* --- topic_read.c: what is read --- */
void fetch_check(struct world *world, const struct ask *ask);
void list_offsets_check(struct world *world, const struct ask *ask);
void ends_told(struct world *world, uint64_t stream, struct told_ends ends);
void ends_check(struct world *world);

/* --- topic_check.c: events, who waits, what was told --- */
void topic_stream_tap(struct world *world, const struct stream_event *e, struct slice body, const struct model_stream *stream);
void topic_tap(struct world *world, const struct store_replay *entry);
void topic_check_turn(struct world *world);
void check_growth(struct world *world, const struct stream_growth *growth, uint64_t durable); /* as it leaves */
void topic_told_check(struct world *world, bool finished); /* finished: nothing is under way any more */
void fate_told(struct world *world, uint64_t txn, enum fate fate);

/* --- topic_batch.c, topic_producers.c, topic_people.c --- */
struct produce_batch batch_of(const struct said *said, char room[BATCH_ROOM]); /* the same bytes whenever it is said */
const char *topic_name_of(unsigned topic);
struct question *question_of(const struct ask *ask);
struct ask *question_new(struct world *world, struct loop *loop, enum command_kind kind);
/* By name, or sometimes by id. */
struct topic_ref any_ref(struct world *world, struct ask *ask, unsigned topic);
void topics_begin(struct world *world);
void topics_end(struct world *world);
void topics_crash(struct world *world);
void topics_say(const struct world *world);
void producer_acts(struct world *world);
void fetcher_acts(struct world *world);
void fetcher_leaves(struct world *world);
bool fetchers_grew(struct world *world, struct loop *loop, const struct stream_growth *growth); /* false: nobody waits there */
void topic_operator_acts(struct world *world);
