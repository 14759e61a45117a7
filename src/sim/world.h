/* The simulated world: the real sequencer on a store in memory, loop threads with the real board and wheel, and people around it.
 *
 * One step is one thing that happens: somebody asks something, a loop thread handles what lies in its inbox, the sequencer has
 * its turn, a sync ends, time passes, the power fails. Which, is drawn from the seed. After each step the invariants are checked;
 * the first that does not hold ends the program with the command that plays the run again. */
#pragma once

#include "base/list.h"
#include "compaction/compaction.h"
#include "sim/group_world.h"
#include "sim/model.h"
#include "sim/random.h"
#include "sim/stream_world.h"
#include "sim/topic_world.h"
#include "wait/board.h"
#include "wait/wheel.h"

enum {
	LOOPS_MAX = MODEL_LOOPS_MAX,
	QUEUE_COUNT = 5,
	CLAIM_QUEUES_MAX = 3,
	TICK_MS = 4,
	KNOWN_MAX = 256,
	TEXT_MAX = 512,
	ASK_SLICES = 6,
};

/* What a run is like. Weights are relative to the others' sum. */
struct theme {
	const char *name;
	unsigned submit, poll, claim, work, cancel, operate, leave; /* what people do */
	unsigned topic, produce, fetch, group;                      /* of topics, and of groups that read them */
	unsigned append, read, stream, idle_permille;               /* of streams that go when they are left alone, and so are */
	unsigned compact;                                           /* topics, a step at a time */
	unsigned turn, loop, time;                                  /* how the machine moves */
	unsigned checkpoint, tidy, replay;
	unsigned crash_permyriad, sync_fail_permille, full_permille, memory_permille;
	unsigned sync_ms; /* a sync takes up to this; 0: done in place */
	unsigned loops;
	unsigned jobs;     /* submitters hold back beyond */
	unsigned keep_ms;  /* retention and tombstones up to about this */
	unsigned snapshot; /* jobs a piece */
	unsigned steps;
};
extern const struct theme themes[];
extern const unsigned theme_count;

struct world;
struct ask;

struct loop {
	struct world *world;
	unsigned index;
	struct mail_list inbox;
	struct board board, streams;
	struct wheel *wheel;
};

/* A command on its way, and whatever must live until it comes back. */
struct ask {
	struct command command;
	struct list node; /* in world->asks */
	void (*returned)(struct world *world, struct ask *ask);
	void *who; /* whom the answer is for; NULL: he has left */
	uint64_t sent_ms;
	bool applied;
	uint64_t rests_on;            /* once applied: the answer tells of what lies before this position */
	uint64_t numbers[ASK_SLICES]; /* jobs it is about; 0: there is none */
	uint64_t token;
	struct slice slices[ASK_SLICES];
	size_t used;
	char text[TEXT_MAX];
	void *more;            /* of the Kafka door: a struct question, freed with it; or NULL */
	bool is_held, is_back; /* something else is about it: it stays until that is back, too */
};

/* A job somebody was told of. */
struct known {
	uint64_t number;
	char handle[JOB_HANDLE_CHARS];
};

enum poll_state { POLL_LOOKING, POLL_PARKED, POLL_LAST_LOOK };

/* A client that waits for a job. */
struct poll {
	struct wait wait;
	struct wheel_entry timer;
	struct list node; /* in world->polls */
	struct world *world;
	struct loop *loop;
	struct ask *ask; /* under way, or NULL */
	struct known job;
	enum poll_state state;
	enum job_until until;
	uint32_t revision;
};

enum claim_state { CLAIM_ASKED, CLAIM_PARKED, CLAIM_CANCELING, CLAIM_OVER };

/* A worker that asks for work. Its id is its name, so each offer tells whose it is. */
struct claim_wait {
	struct wheel_entry timer;
	struct list node; /* in world->claims */
	struct world *world;
	struct loop *loop;
	uint64_t id;
	enum claim_state state;
	unsigned queues[CLAIM_QUEUES_MAX], queue_count;
	uint32_t max, taken;
	uint64_t attempt_id;
	uint64_t parked;    /* its place in the line; 0: it is not in it */
	uint64_t offer_end; /* of the last OFFERED made for it */
	bool client_left;
	bool uncertain; /* memory was short while it was served: it may be in the line, or not */
	bool served, offered;
};

/* Leases on their way to a worker. */
struct delivery {
	struct list node; /* in world->deliveries */
	struct loop *loop;
	uint64_t at_ms, attempt_id;
	bool arrives;
	size_t count;
	struct lease leases[];
};

/* A lease that a worker has, or believes to have. */
struct holding {
	struct list node; /* in world->holdings */
	struct known job;
	uint64_t attempt_id;
	char token[TOKEN_CHARS + 1];
	char result[64]; /* what it would say, to say it twice */
	bool said;
};

/* Who compacts topics: at most one step is out at a time. */
struct compactor {
	struct compaction *work;
	struct compact_step *step; /* NULL: none is out */
	bool is_done;              /* it is to be given back */
	struct model_pass pass;    /* the last one of which there was a step */
	uint64_t steps, applied, emptied, late, passes, cut;
};

enum cause { CAUSE_NONE, CAUSE_START, CAUSE_TURN, CAUSE_COMMAND, CAUSE_SETTLE, CAUSE_RESCUE, CAUSE_COMPACTION };

struct world {
	const struct theme *theme;
	struct random random;
	uint64_t seed, step, steps, now_ms;
	uint64_t turned_ms; /* the time that the sequencer goes by: of its last turn */
	bool trace;

	struct sim_store *store;
	struct sequencer *s;
	struct sequencer_config config;
	struct mail_list mailbox; /* to the sequencer */
	struct loop loops[LOOPS_MAX];
	bool failed; /* a sync has failed: the server is about to stop */
	bool full;
	bool syncing, sync_fails;
	uint64_t sync_position, sync_at_ms;
	bool checkpointing;
	uint64_t cursor;

	/* The oracle's. */
	struct model model;
	enum cause cause;
	struct ask *applying;
	bool memory_armed;              /* an allocation of this call will fail, or has */
	bool memory_failed;             /* an allocation was made to fail in this step */
	uint64_t line;                  /* places given to parked claims */
	uint64_t checked_end, step_end; /* the journal's end as of the last check, and before this step */

	struct stream_world streams;
	struct topic_world topics;
	struct group_world groups;
	struct compactor compactor;
	struct list asks, polls, claims, deliveries, holdings;
	struct known known[KNOWN_MAX];
	size_t known_count; /* in all; the last KNOWN_MAX are remembered */
	uint64_t next_id;
	/* What was seen, for the end's line: a run in which nothing happens finds nothing. */
	uint64_t returned, waits_answered, waits_expired, offers, dones, crashes, checkpoints, rescues, refused_memory;
};

/* --- world.c --- */
void world_run(const struct theme *theme, uint64_t seed, uint64_t steps, bool trace);
bool world_is_calm(const struct world *world); /* neither memory nor room are ever short */
void world_moves(struct world *world);         /* what lies around is handled, wherever */
void world_say_replay(void);                   /* on stderr; safe in a signal handler */
NO_RETURN void world_fail(struct world *world, const char *file, int line, const char *format, ...) PRINTF_LIKE(4, 5);
void world_trace(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);
#define CHECK(world, cond, ...)                                                                                                  \
	do {                                                                                                                     \
		if (UNLIKELY(!(cond)))                                                                                           \
			world_fail(world, __FILE__, __LINE__, __VA_ARGS__);                                                      \
	} while (0)

/* --- machine.c: threads, turns, syncs, crashes --- */
void machine_start(struct world *world, bool from_checkpoint);
void machine_crash(struct world *world);
void machine_free(struct world *world);
void machine_turn(struct world *world);
void machine_loop(struct world *world, struct loop *loop);
void machine_time(struct world *world);
void machine_checkpoint(struct world *world);
void machine_tidy(struct world *world);
void machine_sync_end(struct world *world);
bool memory_arm(struct world *world); /* the next call into the core may lack memory */
void memory_disarm(struct world *world);

/* --- ask.c: commands there and back --- */
#define OUTCOME_ANY ((enum outcome)OUTCOME_COUNT) /* the oracle does not say; or: nobody has said */
struct expected {
	enum outcome outcome; /* OUTCOME_ANY: a claim's depends on who waits */
	uint64_t number;      /* of the job in the answer; 0: not looked at */
	uint64_t count;
};
struct ask *ask_new(struct world *world, struct loop *loop, enum command_kind kind);
struct slice ask_text(struct ask *ask, const char *format, ...) PRINTF_LIKE(2, 3);
void ask_handle(struct ask *ask, size_t i, const struct known *job);
void ask_send(struct world *world, struct ask *ask);
/* Right after the sequencer had it; `should` is what the oracle said right before. */
void ask_check(struct world *world, struct ask *ask, const struct expected *should);
void ask_applied(struct world *world, struct ask *ask, uint64_t end_before);
void ask_returned(struct world *world, struct ask *ask);
void asks_drop(struct world *world);
void ask_free(struct ask *ask);

/* --- expect.c: what the oracle says to a command --- */
struct expected expect(struct world *world, const struct ask *ask);
enum outcome expect_job(const struct world *world, const struct jobs_in *in, uint64_t number);
uint64_t expect_rests_on(struct world *world, const struct ask *ask, uint64_t end_before);
bool version_far_enough(const struct version *v, enum job_until until, uint32_t revision);

/* --- people.c, workers.c, operator.c --- */
void submitter_acts(struct world *world);
void poller_acts(struct world *world);
void poller_leaves(struct world *world);
void canceler_acts(struct world *world);
void operator_acts(struct world *world);
void poll_free(struct poll *poll);
void poll_woken(struct world *world, struct loop *loop, struct wake *wake);
void worker_claims(struct world *world);
void worker_works(struct world *world);
void worker_leaves(struct world *world);
void claim_offered(struct world *world, struct loop *loop, struct offer *offer);
void claim_free(struct claim_wait *claim);
struct claim_wait *claim_find(struct world *world, uint64_t id);
void deliveries_due(struct world *world, bool all);
uint64_t deliveries_next_ms(const struct world *world);
void workers_crash(struct world *world);
const char *queue_name(unsigned queue);
struct loop *any_loop(struct world *world);
bool known_any(struct world *world, struct known *ret_job);
void known_add(struct world *world, const struct job_view *view);

/* --- compactor.c --- */
void compactor_acts(struct world *world);
void compactor_crashes(struct world *world); /* also when it ends */
void compactor_rests(struct world *world);   /* all that is to be done is done */
void compactor_tap(struct world *world, const struct stream_event *e, const struct model_stream *stream);
void compactor_say(const struct world *world);

/* --- check.c --- */
void check_tap(void *world, const struct store_replay *entry); /* each event, as it is appended */
void check_step(struct world *world);
void check_turn(struct world *world); /* after a turn: nobody waits for what is there */
void check_message(struct world *world, const struct loop *loop, struct message *message); /* as it leaves */
void check_view(struct world *world, const struct job_view *view, uint64_t durable);
void check_replay(struct world *world);
void check_pin(struct world *world, struct job_view *view, const struct body_ref *should);
uint32_t check_claimed(struct world *world);
