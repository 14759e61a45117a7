/* A sequencer on a journal in memory, for the tests. What is durable moves when the test says so; every message that leaves is
 * kept in order; the journal can be played to a second sequencer, whole or from a checkpoint.
 *
 * Asking and telling panic when the sequencer breaks its contract: a command that comes back twice, a message that leaves before
 * its gate, a body retained twice. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "sequencer/sequencer.h"

enum { FIXTURE_VIEW_BYTES = 256 }; /* bodies from there on can be sent from where they lie */
enum { FIXTURE_ENTRIES = 32768, FIXTURE_BYTES = 8 << 20, FIXTURE_BODIES = 4096, FIXTURE_SENT = 4096, FIXTURE_THREADS = 4 };

struct fixture_entry {
	struct store_replay replay;
	struct slice body;
};

/* What left, in order: a command that came back, a wake or an offer. */
struct sent {
	struct message *message; /* NULL: the test has taken it */
	uint8_t kind, thread;
};

struct fixture {
	struct store store;
	struct sequencer_config config;
	struct sequencer *s;
	uint64_t now_ms;
	uint64_t end, durable;
	bool hold;         /* nothing becomes durable by itself */
	bool unchecked;    /* the state is not checked after each command: of a test that makes very much of it */
	bool full, broken; /* the disk */
	size_t pins;       /* that are open */
	char *bytes;       /* of all entries */
	size_t bytes_used;
	struct fixture_entry *entries;
	size_t entry_count;
	struct fixture_entry *checkpoint;
	size_t checkpoint_count;
	uint64_t checkpoint_start, checkpoint_cursor;
	struct body_ref bodies[FIXTURE_BODIES]; /* those that live */
	size_t body_count;
	struct sent sent[FIXTURE_SENT];
	size_t sent_count;
	size_t commands_out; /* not back yet */
};

/* A command with what the test wants to know of it. */
struct ask {
	struct command c;
	unsigned back; /* how often it came back: 0 or 1 */
};

struct job_ref {
	char handle[JOB_HANDLE_CHARS];
	uint64_t number;
	enum outcome outcome;
};

/* A lease as a worker knows it. */
struct grant {
	struct job_ref job;
	struct lease lease; /* without a view */
	enum outcome outcome;
};

/* The defaults with short times; change f->config before fixture_start. */
void fixture_init(struct fixture *f);
void fixture_start(struct fixture *f);
void fixture_deinit(struct fixture *f);

/* --- turns --- */
void fixture_send(struct fixture *f, struct ask *ask, unsigned thread); /* applied; nothing else */
void fixture_settle(struct fixture *f);             /* waiting claims served; all durable unless held; what may leave leaves */
void fixture_sync(struct fixture *f);               /* all is durable, held or not; what may leave leaves */
void fixture_later(struct fixture *f, uint64_t ms); /* time moves, deadlines come, and fixture_settle */
enum outcome fixture_ask(struct fixture *f, struct ask *ask, unsigned thread); /* send and settle; it must be back */
void ask_deinit(struct ask *ask);

/* The next wake or offer of that thread that was not taken; NULL: none. The caller frees it with message_free. */
struct wake *fixture_take_wake(struct fixture *f, unsigned thread);
struct offer *fixture_take_offer(struct fixture *f, unsigned thread);
void fixture_drop_sent(struct fixture *f);

/* --- asking, in short; all by thread 0 and answered at once --- */
struct submit_in submit_of(struct slice queue, struct slice body);
struct job_ref fixture_submit(struct fixture *f, struct submit_in in);
struct job_ref fixture_job(struct fixture *f, struct slice queue); /* must work */
enum outcome fixture_cancel(struct fixture *f, const struct job_ref *job, bool forget);
struct claim_in claim_of(const struct slice *queue);
struct grant fixture_claim(struct fixture *f, struct slice queue); /* one job, now; its lease must be there */
struct grant fixture_run(struct fixture *f, struct slice queue);   /* a claim that was delivered */
enum outcome fixture_delivered(struct fixture *f, const struct grant *grant, bool delivered);
struct worker_in worker_of(const struct grant *grant);
enum outcome fixture_tell(struct fixture *f, enum command_kind kind, struct worker_in in);
/* As it is now, without strings and pins. `view->refs` is 0 when there is no such job. */
struct job_view fixture_look(struct fixture *f, const struct job_ref *job);
enum outcome fixture_watch(struct fixture *f, const struct job_ref *job, enum job_until until, uint32_t revision,
			   unsigned thread);
struct queue_view fixture_queue(struct fixture *f, struct slice queue); /* without the name; all 0 when there is none */
enum outcome fixture_pause(struct fixture *f, struct slice queue, bool paused);
uint32_t fixture_kick(struct fixture *f, struct slice queue, uint32_t count);

static inline struct slice handle_of(const struct job_ref *job)
{
	return slice_from(job->handle, JOB_HANDLE_CHARS);
}

/* --- replay --- */

/* Begins a checkpoint, or hands over at most `limit` more; true while there is more to come. */
bool fixture_checkpoint(struct fixture *f, unsigned limit);
void fixture_checkpoint_drop(struct fixture *f); /* the next one begins anew */
/* A second sequencer that has replayed the first one's journal, from the checkpoint on or from its beginning, and has started. */
void fixture_twin(const struct fixture *f, struct fixture *twin, bool from_checkpoint);
/* The server is killed and comes back: commands that are not back are lost, with all that memory alone knew. */
void fixture_restart(struct fixture *f);
/* The state as bytes; two are the same iff these are. */
void fixture_dump(struct fixture *f, struct buf *out);
