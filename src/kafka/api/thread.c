/* The Kafka door of one loop thread: what its owner calls in a turn. */
#include "kafka/api/fetch_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

int kafka_thread_new(struct loop *loop, unsigned index, const struct kafka_config *config, void *ctx,
		     struct kafka_thread **ret_thread)
{
	struct kafka_thread *thread = mem_zalloc(sizeof(*thread));
	/* Only what exists is hung on the board, and its keys look like chance already. */
	const struct hash_key key = {index, (uint64_t)(uintptr_t)thread};

	if (!thread)
		return -ENOMEM;
	thread->loop = loop;
	thread->wheel = loop_wheel(loop);
	thread->index = index;
	thread->config = *config;
	thread->ctx = ctx;
	list_init(&thread->conns);
	list_init(&thread->work);
	list_init(&thread->gone);
	list_init(&thread->held);
	pool_init(&thread->conn_pool, sizeof(struct kafka_conn));
	pool_init(&thread->piece_pool, sizeof(struct piece));
	pool_init(&thread->spot_pool, sizeof(struct fetch_spot));
	board_init(&thread->board, &key);
	*ret_thread = thread;
	return 0;
}

void kafka_thread_configure(struct kafka_thread *thread, const struct kafka_config *config)
{
	thread->config = *config;
}

void kafka_thread_accept(struct kafka_thread *thread, int fd)
{
	kafka_conn_new(thread, fd);
}

void kafka_thread_message(struct kafka_thread *thread, struct message *message)
{
	(void)thread;
	ENSURE(message->kind == MESSAGE_COMMAND);
	kafka_ask_back(container_of(container_of(message, struct command, message), struct kafka_ask, command));
}

bool kafka_thread_flush(struct kafka_thread *thread)
{
	struct list work;
	int left = CONNS_A_TURN;

	list_init(&work);
	list_splice(&work, &thread->work);
	while (left-- && !list_empty(&work)) {
		struct kafka_conn *conn = list_first(&work, struct kafka_conn, work);

		list_remove(&conn->work);
		kafka_conn_attend(conn);
	}
	list_splice(&work, &thread->work);
	list_splice(&thread->work, &work);
	return !list_empty(&thread->work);
}

/* --- leaving --- */

static void each_parked(struct kafka_thread *thread, void (*each)(struct kafka_call *call, void *ctx), void *ctx)
{
	list_each (node, &thread->conns) {
		struct kafka_conn *conn = container_of(node, struct kafka_conn, all);

		list_each (place, &conn->calls) {
			struct kafka_call *call = container_of(place, struct kafka_call, siblings);

			if (kafka_call_is_parked(call))
				each(call, ctx);
		}
	}
}

struct drain {
	uint64_t count, seen, over_ms, now_ms;
};

static void drain_count(struct kafka_call *call, void *ctx)
{
	struct drain *drain = ctx;

	(void)call;
	drain->count++;
}

/* The i-th of n at i/n of the time, unless its own deadline comes first: n clients do not come back all at once. */
static void drain_one(struct kafka_call *call, void *ctx)
{
	struct drain *drain = ctx;
	uint64_t at_ms = drain->now_ms + drain->over_ms * ++drain->seen / drain->count;

	if (at_ms >= call->deadline.deadline_ms)
		return;
	wheel_remove(call->thread->wheel, &call->deadline);
	call->deadline.deadline_ms = at_ms;
	wheel_add(call->thread->wheel, &call->deadline);
}

void kafka_thread_drain(struct kafka_thread *thread, uint64_t drain_ms)
{
	struct drain drain = {.over_ms = drain_ms, .now_ms = loop_now_ms(thread->loop)};

	if (thread->draining)
		return;
	thread->draining = true;
	each_parked(thread, drain_count, &drain);
	each_parked(thread, drain_one, &drain);
	list_each (node, &thread->conns) {
		kafka_conn_need(container_of(node, struct kafka_conn, all));
	}
}

void kafka_thread_fail(struct kafka_thread *thread)
{
	thread->draining = true;
	list_each (node, &thread->conns) {
		kafka_conn_break(container_of(node, struct kafka_conn, all));
	}
}

void kafka_thread_stats(const struct kafka_thread *thread, struct kafka_thread_stats *ret_stats)
{
	*ret_stats = thread->stats;
}

struct kafka_thread *kafka_thread_free(struct kafka_thread *thread)
{
	if (!thread)
		return NULL;
	while (!list_empty(&thread->conns))
		kafka_conn_end(list_first(&thread->conns, struct kafka_conn, all));
	while (!list_empty(&thread->gone)) {
		struct kafka_call *call = list_first(&thread->gone, struct kafka_call, siblings);

		call->asking = 0;
		kafka_call_free(call);
	}
	board_deinit(&thread->board);
	pool_deinit(&thread->spot_pool);
	pool_deinit(&thread->piece_pool);
	pool_deinit(&thread->conn_pool);
	buf_deinit(&thread->out);
	return mem_free(thread);
}
