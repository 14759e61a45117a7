/* The engine of one loop thread: what its owner calls in a turn. */
#include "http/exchange/engine_priv.h"

#include "base/mem.h"

#include <errno.h>

static int configure(struct http_thread *thread, const struct http_config *config)
{
	thread->config = *config;
	thread->h1_limits = (struct h1_limits){
		.header_count = config->limits.header_count,
		.header_bytes = config->limits.header_bytes,
		.target_bytes = config->limits.target_bytes,
		.body_bytes = config->limits.body_bytes,
	};
	return answer_configure(thread);
}

int http_thread_new(struct loop *loop, unsigned index, const struct http_config *config, void *door,
		    struct http_thread **ret_thread)
{
	struct http_thread *thread = mem_zalloc(sizeof(*thread));

	if (!thread)
		return -ENOMEM;
	thread->loop = loop;
	thread->wheel = loop_wheel(loop);
	thread->index = index;
	thread->door = door;
	list_init(&thread->conns);
	list_init(&thread->work);
	list_init(&thread->lost);
	list_init(&thread->told);
	list_init(&thread->gone);
	pool_init(&thread->conn_pool, sizeof(struct http_conn));
	pool_init(&thread->exchange_pool, sizeof(struct exchange));
	pool_init(&thread->piece_pool, sizeof(struct piece));
	thread->limbo.thread = thread;
	thread->limbo.flags = CONN_BROKEN;
	list_init(&thread->limbo.all);
	list_init(&thread->limbo.work);
	list_init(&thread->limbo.exchanges);
	if (configure(thread, config)) {
		mem_free(thread);
		return -ENOMEM;
	}
	*ret_thread = thread;
	return 0;
}

void http_thread_configure(struct http_thread *thread, const struct http_config *config)
{
	/* Without memory the header fields of CORS stay as they were. */
	(void)configure(thread, config);
}

void http_thread_accept(struct http_thread *thread, int fd)
{
	conn_new(thread, fd);
}

void http_thread_mail(struct http_thread *thread, struct mail *mail)
{
	struct message *message = container_of(mail, struct message, mail);

	intake_sealed(thread, container_of(message, struct seal, message));
}

static void tell_lost(struct http_thread *thread)
{
	while (!list_empty(&thread->lost)) {
		struct exchange *ex = list_first(&thread->lost, struct exchange, siblings);

		list_remove(&ex->siblings);
		list_push_back(&thread->gone, &ex->siblings);
		ex->state = EX_GONE;
		thread->config.handler->on_gone(ex);
	}
}

static void tell_written(struct http_thread *thread)
{
	while (!list_empty(&thread->told)) {
		struct exchange *ex = list_first(&thread->told, struct exchange, siblings);

		list_remove(&ex->siblings);
		thread->config.handler->on_written(ex);
		exchange_free(ex);
	}
}

bool http_thread_flush(struct http_thread *thread)
{
	struct list work;
	int left = CONNS_A_TURN;

	tell_lost(thread);
	tell_written(thread);
	list_init(&work);
	list_splice(&work, &thread->work);
	while (left-- && !list_empty(&work)) {
		struct http_conn *conn = list_first(&work, struct http_conn, work);

		list_remove(&conn->work);
		conn_attend(conn);
	}
	list_splice(&work, &thread->work);
	list_splice(&thread->work, &work);
	tell_lost(thread);
	tell_written(thread);
	return !list_empty(&thread->work) || !list_empty(&thread->lost) || !list_empty(&thread->told);
}

void http_thread_drain(struct http_thread *thread)
{
	thread->draining = true;
	list_each (node, &thread->conns) {
		conn_need(container_of(node, struct http_conn, all));
	}
}

static struct exchange *next_parked(struct http_conn *conn, struct list *from)
{
	for (struct list *node = from; node != &conn->exchanges; node = node->next) {
		struct exchange *ex = container_of(node, struct exchange, siblings);

		if (exchange_is_parked(ex))
			return ex;
	}
	return NULL;
}

/* Answering one exchange takes only answered ones out of the line with it, so the next parked one stays where it is. */
void http_thread_each_parked(struct http_thread *thread, void (*each)(struct exchange *ex, void *ctx), void *ctx)
{
	list_each (node, &thread->conns) {
		struct http_conn *conn = container_of(node, struct http_conn, all);
		struct exchange *ex = next_parked(conn, conn->exchanges.next);

		while (ex) {
			struct exchange *next = next_parked(conn, ex->siblings.next);

			each(ex, ctx);
			ex = next;
		}
	}
}

void http_thread_stats(const struct http_thread *thread, struct http_thread_stats *ret_stats)
{
	*ret_stats = thread->stats;
}

static void free_exchanges(struct list *list)
{
	while (!list_empty(list)) {
		struct exchange *ex = list_first(list, struct exchange, siblings);

		list_remove(&ex->siblings);
		exchange_free(ex);
	}
}

void http_thread_free(struct http_thread *thread)
{
	if (!thread)
		return;
	while (!list_empty(&thread->conns))
		conn_end(list_first(&thread->conns, struct http_conn, all));
	free_exchanges(&thread->lost);
	free_exchanges(&thread->told);
	free_exchanges(&thread->gone);
	while (thread->spare_intake) {
		struct intake *intake = thread->spare_intake;

		thread->spare_intake = intake->next_spare;
		buf_deinit(&intake->scratch);
		mem_free(intake);
	}
	while (thread->spare_pieces) {
		struct piece *piece = thread->spare_pieces;

		thread->spare_pieces = piece->next;
		buf_deinit(&piece->buf);
	}
	pool_deinit(&thread->piece_pool);
	pool_deinit(&thread->exchange_pool);
	pool_deinit(&thread->conn_pool);
	buf_deinit(&thread->cors);
	mem_free(thread);
}

void *http_thread_door(const struct http_thread *thread)
{
	return thread->door;
}

struct wheel *http_thread_wheel(const struct http_thread *thread)
{
	return thread->wheel;
}

uint64_t http_thread_now_ms(const struct http_thread *thread)
{
	return loop_now_ms(thread->loop);
}
