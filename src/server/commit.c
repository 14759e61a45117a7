/* When and where the journal is committed, and the upkeep that happens beside.
 *
 * On a disk that syncs quickly the sequencer's thread does it itself: a switch to another thread and back would cost as much
 * again. On a slow one a thread of its own does, so that waits are answered by their deadlines while the disk takes its time. */
#include "server/server_priv.h"

enum { SYNC_IN_PLACE_NS = 1000000, SNAPSHOT_A_TURN = 512, TIDY_A_TURN_BYTES = 1 << 18 };

static void latency_count(struct latency *latency, uint64_t us)
{
	unsigned bucket = 0;

	while (bucket + 1 < ARRAY_COUNT(latency->bucket) && us > (64ULL << bucket))
		bucket++;
	latency->bucket[bucket]++;
	latency->count++;
	latency->sum_us += us;
}

static void commit_run(struct server *server)
{
	uint64_t start_us = clock_monotonic_us();

	journal_commit_run(server->journal);
	server->commit_us = clock_monotonic_us() - start_us;
}

static void *committer_main(void *ctx)
{
	struct server *server = ctx;

	pthread_mutex_lock(&server->commit_lock);
	for (;;) {
		while (!server->commit_go && !server->commit_stop)
			pthread_cond_wait(&server->commit_wanted, &server->commit_lock);
		if (!server->commit_go)
			break;
		server->commit_go = false;
		pthread_mutex_unlock(&server->commit_lock);
		commit_run(server);
		loop_send(server->threads[0].loop, &server->committed.message.mail);
		pthread_mutex_lock(&server->commit_lock);
	}
	pthread_mutex_unlock(&server->commit_lock);
	return NULL;
}

int committer_start(struct server *server)
{
	server->committed = (struct server_message){.message.kind = MESSAGE_SERVER, .word = WORD_COMMITTED};
	pthread_mutex_init(&server->commit_lock, NULL);
	pthread_cond_init(&server->commit_wanted, NULL);
	return -pthread_create(&server->committer, NULL, committer_main, server);
}

void committer_stop(struct server *server)
{
	pthread_mutex_lock(&server->commit_lock);
	server->commit_stop = true;
	pthread_cond_signal(&server->commit_wanted);
	pthread_mutex_unlock(&server->commit_lock);
	pthread_join(server->committer, NULL);
}

/* A failed sync is the end (doc/operations.md): everyone is told, then the process goes. */
static void journal_failed(struct server *server)
{
	if (server->exit_code == SERVER_IO)
		return;
	fprintf(stderr,
		"bide: the journal could not be written or synced; nothing more will be acknowledged. What was acknowledged "
		"is safe. Look at the disk, then start again.\n");
	server->exit_code = SERVER_IO;
	sequencer_fail(server->sequencer);
	for (unsigned t = 0; t < server->thread_count; t++)
		server_say(server, t, (struct server_message){.word = WORD_FAIL});
	server_drain(server);
}

void commit_ended(struct server *server)
{
	server->committing = false;
	latency_count(&server->commit_latency, server->commit_us);
	if (journal_commit_end(server->journal))
		journal_failed(server);
}

void commit_if_wanted(struct server *server)
{
	uint64_t at_ms;

	server->commit_at_ms = UINT64_MAX;
	if (server->committing || server->exit_code == SERVER_IO)
		return;
	if (!sequencer_wants_commit(server->sequencer, &at_ms)) {
		if (at_ms != UINT64_MAX)
			server->commit_at_ms = at_ms - server->unix_offset_ms;
		return;
	}
	if (!journal_commit_begin(server->journal))
		return;
	server->committing = true;
	if (journal_sync_ns(server->journal) < SYNC_IN_PLACE_NS) {
		commit_run(server);
		commit_ended(server);
		return;
	}
	pthread_mutex_lock(&server->commit_lock);
	server->commit_go = true;
	pthread_mutex_unlock(&server->commit_lock);
	pthread_cond_signal(&server->commit_wanted); /* when it wakes, the lock is free */
}

void commit_all(struct server *server)
{
	while (server->exit_code != SERVER_IO && !server->committing && journal_commit_begin(server->journal)) {
		server->committing = true;
		commit_run(server);
		commit_ended(server);
	}
}

/* --- upkeep --- */

static int add(void *ctx, uint8_t type, struct slice fields)
{
	return journal_checkpoint_add(ctx, type, fields);
}

static void checkpoint_step(struct server *server)
{
	int r;

	if (!server->checkpointing) {
		if (!journal_checkpoint_wanted(server->journal) || journal_checkpoint_begin(server->journal))
			return;
		server->checkpointing = true;
		server->checkpoint_cursor = 0;
	}
	r = sequencer_snapshot(server->sequencer, &server->checkpoint_cursor, SNAPSHOT_A_TURN, add, server->journal);
	if (r == 1)
		return;
	server->checkpointing = false;
	if (r || journal_checkpoint_end(server->journal))
		journal_checkpoint_abort(server->journal);
}

static void rescue(void *ctx, const struct store_replay *entry)
{
	struct server *server = ctx;

	if (sequencer_rescue(server->sequencer, entry))
		server->tidying = false; /* no room: later */
}

static void tidy_step(struct server *server)
{
	if (!server->tidying) {
		if (!journal_victim(server->journal, &server->tidy_position))
			return;
		server->tidying = true;
	}
	if (journal_walk(server->journal, &server->tidy_position, TIDY_A_TURN_BYTES, rescue, server) != 1)
		server->tidying = false;
}

void upkeep(struct server *server, uint64_t now_ms)
{
	server->journal_at_ms = journal_turn(server->journal, now_ms);
	if (server->exit_code == SERVER_IO)
		return;
	checkpoint_step(server);
	tidy_step(server);
	compactor_turn(server);
}

bool upkeep_is_busy(const struct server *server)
{
	return server->checkpointing || server->tidying;
}
