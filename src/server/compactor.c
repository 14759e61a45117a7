/* A thread that does the steps of compaction, one at a time. It begins with the first one, and between passes holds no memory of
 * theirs; what it needs for one is bounded by `compaction-memory`, and some megabytes for the batch at hand. */
#include "server/server_priv.h"

#include "base/crc32c.h"
#include "compaction/compaction.h"

#include <errno.h>

static void *compactor_main(void *ctx)
{
	struct server *server = ctx;
	struct compactor *c = &server->compactor;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->go && !c->stop)
			pthread_cond_wait(&c->wanted, &c->lock);
		if (!c->go)
			break;
		c->go = false;
		pthread_mutex_unlock(&c->lock);
		compaction_run(c->work, c->step);
		loop_send(server->threads[0].loop, &c->done.message.mail);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static bool begin(struct server *server)
{
	struct compactor *c = &server->compactor;

	if (c->work)
		return true;
	c->done = (struct server_message){.message.kind = MESSAGE_SERVER, .word = WORD_COMPACTED};
	c->work = compaction_new(server->config->compaction_bytes);
	if (!c->work)
		return false;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wanted, NULL);
	if (pthread_create(&c->thread, NULL, compactor_main, server))
		c->work = compaction_free(c->work);
	return c->work;
}

void compactor_turn(struct server *server)
{
	struct compactor *c = &server->compactor;

	if (c->step)
		return;
	c->step = sequencer_compact_take(server->sequencer);
	if (c->step && !begin(server)) {
		c->step->error = -ENOMEM;
		compactor_done(server);
		return;
	}
	if (!c->step) {
		if (c->work && sequencer_compact_is_idle(server->sequencer))
			compaction_rest(c->work);
		return;
	}
	pthread_mutex_lock(&c->lock);
	c->go = true;
	pthread_cond_signal(&c->wanted);
	pthread_mutex_unlock(&c->lock);
}

void compactor_done(struct server *server)
{
	struct compact_step *step = server->compactor.step;

	server->compactor.step = NULL;
	sequencer_compact_give(server->sequencer, step);
}

void compactor_stop(struct server *server)
{
	struct compactor *c = &server->compactor;

	if (!c->work)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wanted);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	compact_step_free(c->step);
	c->step = NULL;
	c->work = compaction_free(c->work);
}

/* --- which topics are compacted --- */

/* Of 4096 bits one: where two names share theirs, batches are looked into for nothing. */
static unsigned bit_of(struct slice name)
{
	return crc32c(0, name.ptr, name.len) % (COMPACTED_WORDS * 64);
}

static void add_name(void *ctx, struct slice name)
{
	uint64_t *words = ctx;

	words[bit_of(name) / 64] |= 1ULL << bit_of(name) % 64;
}

void compactor_publish(struct server *server)
{
	struct compactor *c = &server->compactor;
	uint64_t changes = sequencer_compacted_changes(server->sequencer), words[COMPACTED_WORDS] = {0};

	if (changes == c->changes)
		return;
	c->changes = changes;
	sequencer_compacted_each(server->sequencer, add_name, words);
	for (size_t i = 0; i < COMPACTED_WORDS; i++)
		atomic_store_explicit(&c->names[i], words[i], memory_order_relaxed);
}

bool compactor_keys_count(void *ctx, struct slice topic)
{
	struct thread *thread = ctx;
	unsigned bit = bit_of(topic);

	return atomic_load_explicit(&thread->server->compactor.names[bit / 64], memory_order_relaxed) >> bit % 64 & 1;
}
