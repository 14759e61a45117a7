/*
 * Consumers that wait. kafka-idle: one, on --streams partitions into which nobody writes, asking again each 500 ms as consumers
 * do, in a session where the server keeps one; measured is what that costs the server. kafka-wake: --waiters connections with one
 * Fetch each on the same partition; a record is written, and each must have it; --rounds times.
 */
#include "kafka.h"
#include "report.h"

#include <stdlib.h>

#define SOURCES_COUNT     4
#define CONNECT_BATCH     128
#define ROUNDS_MAX        64
#define WAKE_WAIT_MS      55000
#define SETTLE_NS         100000000ull
#define SETTLED_NS        20000000ull /* of the server's CPU time, in SETTLE_NS */
#define SETTLE_TIMEOUT_NS 3000000000ull
#define ACKS_ALL          -1

/* Until the server has nothing more to do than it always has; at least a while. */
static void settle(struct loop *loop, const struct proc_set *procs)
{
	bool never = false;
	uint64_t deadline_ns = loop_now_ns() + SETTLE_TIMEOUT_NS;
	uint64_t cpu_ns, before_ns;
	loop_until(loop, &never, loop_now_ns() + 2 * SETTLE_NS);
	do {
		before_ns = proc_set_cpu_ns(procs);
		loop_until(loop, &never, loop_now_ns() + SETTLE_NS);
		cpu_ns = proc_set_cpu_ns(procs) - before_ns;
	} while (cpu_ns > SETTLED_NS && loop_now_ns() < deadline_ns);
}

/* ---- idle ---- */

struct idle {
	const struct options *options;
	struct loop loop;
	struct proc_set procs;
	struct conn conn;
	struct kafka_asking asking;
	struct arena arena;
	uint64_t requests_count;
	bool begun; /* the first answer without an error has come */
};

static void idle_ask(struct idle *idle)
{
	idle->requests_count++;
	kafka_send(&idle->conn, KAFKA_FETCH, &idle->asking.request);
}

static bool idle_is_fine(const struct kafka_fetch_response *response)
{
	for (uint32_t i = 0; i < response->responses.count; i++)
		for (uint32_t j = 0; j < response->responses.at[i].partitions.count; j++)
			if (response->responses.at[i].partitions.at[j].error_code)
				return false;
	return response->error_code == 0;
}

static void idle_input(struct conn *conn, uint64_t now_ns)
{
	struct idle *idle = conn->owner;
	struct kafka_fetch_response response;
	size_t len = kafka_answer(conn, KAFKA_FETCH, &idle->arena, &response);
	(void)now_ns;
	if (len == 0)
		return;
	/* A partition that was just made may not be there yet: then all of it again. */
	if (idle_is_fine(&response)) {
		kafka_asking_session(&idle->asking, &response);
		idle->begun = true;
	} else if (idle->begun) {
		loop_die("a partition is in error");
	}
	bytes_consume(&conn->in, len);
	arena_deinit(&idle->arena);
	idle_ask(idle);
}

static void idle_report(struct idle *idle)
{
	bool never = false;
	settle(&idle->loop, &idle->procs);
	uint64_t cpu_ns = proc_set_cpu_ns(&idle->procs);
	uint64_t from_ns = loop_now_ns(), requests_count = idle->requests_count,
		 bytes = idle->conn.bytes_in + idle->conn.bytes_out;
	loop_until(&idle->loop, &never, from_ns + (uint64_t)idle->options->duration_ms * 1000000);
	double seconds = (double)(loop_now_ns() - from_ns) / 1e9;
	report_begin();
	report_f64("cpu_ms_per_second", (double)(proc_set_cpu_ns(&idle->procs) - cpu_ns) / 1e6 / seconds);
	report_f64("requests_per_second", (double)(idle->requests_count - requests_count) / seconds);
	report_f64("bytes_per_second", (double)(idle->conn.bytes_in + idle->conn.bytes_out - bytes) / seconds);
	report_u64("session", idle->asking.request.session_id != 0);
	report_u64("user_bytes", proc_set_memory(&idle->procs).anon_bytes);
	report_end();
}

int kafka_idle_main(const struct options *options)
{
	static struct idle idle;
	struct conn control;
	idle.options = options;
	kafka_procs_find(&idle.procs, options);
	loop_init(&idle.loop, (uint16_t)options->port);
	if (options->streams_count == 0) { /* nobody waits: what it costs anyway */
		idle_report(&idle);
		return 0;
	}
	kafka_control_open(&control, &idle.loop);
	kafka_topics_make(&control, options->prefix, options->streams_count);
	conn_close(&control);
	kafka_asking_init(&idle.asking, options->prefix, options->streams_count);
	idle.asking.request.session_epoch = 0;
	idle.conn = (struct conn){.owner = &idle, .on_input = idle_input};
	conn_open(&idle.conn, &idle.loop, 0);
	idle_ask(&idle);
	if (!loop_until(&idle.loop, &idle.begun, loop_now_ns() + KAFKA_TIMEOUT_NS))
		loop_die("no answer without an error");
	idle_report(&idle);
	return 0;
}

/* ---- wake ---- */

struct wake {
	const struct options *options;
	struct loop loop;
	struct proc_set procs;
	struct conn producer;
	struct conn *waiters; /* owned */
	struct kafka_asking asking;
	struct buf frame; /* owned: what all of them ask in this round */
	uint64_t sent_ns, last_ns;
	uint32_t answered_count, round;
	bool all_answered, acked;
	struct hist wake_hist;
	double last_us[ROUNDS_MAX], cpu_us[ROUNDS_MAX];
	uint64_t answer_bytes;
};

static void waiter_input(struct conn *conn, uint64_t now_ns)
{
	struct wake *wake = conn->owner;
	struct kafka_fetch_response response;
	struct arena arena = {0};
	size_t len = kafka_answer(conn, KAFKA_FETCH, &arena, &response);
	if (len == 0)
		return;
	struct slice batch, records = KAFKA_EMPTY;
	uint64_t offset = 0;
	uint32_t count;
	if (response.responses.count == 1 && response.responses.at[0].partitions.count == 1)
		records = response.responses.at[0].partitions.at[0].records;
	if (!kafka_batch_next(&records, &batch, &offset, &count) || offset != wake->round || wake->sent_ns == 0)
		loop_die("a waiter was answered without the record it waits for");
	wake->answer_bytes = len;
	bytes_consume(&conn->in, len);
	arena_deinit(&arena);
	hist_add(&wake->wake_hist, now_ns - wake->sent_ns);
	wake->last_ns = now_ns;
	wake->all_answered = ++wake->answered_count == wake->options->waiters_count;
}

static void producer_input(struct conn *conn, uint64_t now_ns)
{
	struct wake *wake = conn->owner;
	struct kafka_produce_response response;
	struct arena arena = {0};
	size_t len = kafka_answer(conn, KAFKA_PRODUCE, &arena, &response);
	(void)now_ns;
	if (len == 0)
		return;
	if (response.responses.at[0].partition_responses.at[0].error_code)
		loop_die("produce: error %d", response.responses.at[0].partition_responses.at[0].error_code);
	bytes_consume(&conn->in, len);
	arena_deinit(&arena);
	wake->acked = true;
}

static void wake_connect(struct wake *wake)
{
	wake->waiters = calloc(wake->options->waiters_count, sizeof(*wake->waiters));
	if (!wake->waiters)
		loop_die("out of memory");
	for (uint32_t i = 0; i < wake->options->waiters_count; i++) {
		wake->waiters[i] = (struct conn){.owner = wake, .index = i, .on_input = waiter_input};
		conn_open(&wake->waiters[i], &wake->loop, 1 + i % SOURCES_COUNT);
	}
}

static void wake_park(struct wake *wake)
{
	wake->asking.partitions[0].fetch_offset = wake->round;
	buf_clear(&wake->frame);
	kafka_frame(&wake->frame, KAFKA_FETCH, &wake->asking.request);
	for (uint32_t i = 0; i < wake->options->waiters_count; i++) {
		conn_write(&wake->waiters[i], wake->frame.ptr, wake->frame.len);
		if (i % CONNECT_BATCH == CONNECT_BATCH - 1)
			loop_turn(&wake->loop, 0);
	}
	settle(&wake->loop, &wake->procs);
}

static void wake_once(struct wake *wake)
{
	struct buf batch = {0};
	kafka_batch(&batch, wake->round, 1, wake->options->body_bytes);
	struct kafka_produce_partition partition = {0, buf_slice(&batch)};
	struct kafka_produce_topic topic = {slice_str(wake->options->prefix), {&partition, 1}};
	struct kafka_produce_request request = {.acks = ACKS_ALL, .timeout_ms = 30000, .topic_data = {&topic, 1}};
	wake->answered_count = 0;
	wake->all_answered = wake->acked = false;
	uint64_t cpu_ns = proc_set_cpu_ns(&wake->procs);
	wake->sent_ns = loop_now_ns();
	kafka_send(&wake->producer, KAFKA_PRODUCE, &request);
	conn_flush(&wake->producer);
	if (!loop_until(&wake->loop, &wake->all_answered, wake->sent_ns + KAFKA_TIMEOUT_NS))
		loop_die("%u of %u waiters were answered", wake->answered_count, wake->options->waiters_count);
	wake->last_us[wake->round] = (double)(wake->last_ns - wake->sent_ns) / 1e3;
	wake->cpu_us[wake->round] = (double)(proc_set_cpu_ns(&wake->procs) - cpu_ns) / 1e3 / wake->options->waiters_count;
	loop_until(&wake->loop, &wake->acked, wake->sent_ns + KAFKA_TIMEOUT_NS);
	wake->sent_ns = 0;
	wake->round++;
	buf_deinit(&batch);
}

static uint64_t user_bytes(const struct wake *wake)
{
	struct proc_memory memory = proc_set_memory(&wake->procs);
	return memory.anon_bytes + memory.shmem_bytes;
}

int kafka_wake_main(const struct options *options)
{
	static struct wake wake;
	struct conn control;
	if (options->waiters_count == 0 || options->rounds_count == 0 || options->rounds_count > ROUNDS_MAX)
		loop_die("kafka-wake wants --waiters, and --rounds up to %d", ROUNDS_MAX);
	wake.options = options;
	kafka_procs_find(&wake.procs, options);
	hist_reset(&wake.wake_hist);
	loop_init(&wake.loop, (uint16_t)options->port);
	kafka_control_open(&control, &wake.loop);
	kafka_topics_make(&control, options->prefix, 1);
	kafka_ends(&control, options->prefix, 1, NULL);
	kafka_asking_init(&wake.asking, options->prefix, 1);
	wake.asking.request.max_wait_ms = WAKE_WAIT_MS;
	wake.producer = (struct conn){.owner = &wake, .on_input = producer_input};
	conn_open(&wake.producer, &wake.loop, 0);
	uint64_t empty_bytes = user_bytes(&wake);
	wake_connect(&wake);
	wake_park(&wake);
	uint64_t parked_bytes = user_bytes(&wake);
	for (uint32_t i = 0; i < options->rounds_count; i++) {
		if (i)
			wake_park(&wake);
		wake_once(&wake);
	}
	report_begin();
	report_list("last_us", wake.last_us, wake.round);
	report_list("cpu_us_per_wake", wake.cpu_us, wake.round);
	report_hist("wake", &wake.wake_hist);
	report_u64("answer_bytes", wake.answer_bytes);
	report_u64("empty_bytes", empty_bytes);
	report_u64("parked_bytes", parked_bytes);
	report_end();
	return 0;
}
