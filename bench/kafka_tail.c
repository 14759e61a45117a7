/*
 * One producer sends a record each 1/--rate seconds, acks=all; one consumer is parked at the end of the partition. Measured is
 * the time from when the record was due until the consumer has it, and until it is acknowledged.
 */
#include "kafka.h"
#include "report.h"

#include <stdlib.h>

#define END_TIMEOUT_NS 20000000000ull
#define SETTLE_NS      200000000ull
#define ACKS_ALL       -1

struct tail {
	const struct options *options;
	struct loop loop;
	struct proc_set procs;
	struct conn producer, consumer;
	struct kafka_asking asking;
	struct arena arena;
	uint64_t start_ns, interval_ns, cpu_from_ns;
	uint32_t warm_count, total_count, sent_count, acked_count, got_count, requests_count;
	bool all_got;
	struct hist delay_hist, ack_hist;
};

static uint64_t due_ns(const struct tail *tail, uint32_t record)
{
	return tail->start_ns + record * tail->interval_ns;
}

static void tail_ask(struct tail *tail)
{
	tail->requests_count++;
	kafka_send(&tail->consumer, KAFKA_FETCH, &tail->asking.request);
}

static void tail_batch(struct tail *tail, struct slice batch, uint64_t offset, uint64_t now_ns)
{
	uint64_t tag = kafka_batch_tag(batch, tail->options->body_bytes);
	if (tag != tail->got_count || offset != tag || tag >= tail->sent_count)
		loop_die("record %llu at %llu where %u was due", (unsigned long long)tag, (unsigned long long)offset,
			 tail->got_count);
	if (tag >= tail->warm_count)
		hist_add(&tail->delay_hist, now_ns - due_ns(tail, (uint32_t)tag));
	tail->all_got = ++tail->got_count == tail->total_count;
}

static void consumer_input(struct conn *conn, uint64_t now_ns)
{
	struct tail *tail = conn->owner;
	struct kafka_fetch_response response;
	size_t len = kafka_answer(conn, KAFKA_FETCH, &tail->arena, &response);
	if (len == 0)
		return;
	if (response.error_code)
		loop_die("fetch: error %d", response.error_code);
	for (uint32_t i = 0; i < response.responses.count; i++) {
		const struct kafka_fetched_partition *got = response.responses.at[i].partitions.at;
		struct slice records = got->records, batch;
		uint64_t offset;
		uint32_t count;
		if (got->error_code)
			loop_die("fetch: error %d", got->error_code);
		while (kafka_batch_next(&records, &batch, &offset, &count))
			tail_batch(tail, batch, offset, now_ns);
	}
	bytes_consume(&conn->in, len);
	arena_deinit(&tail->arena);
	tail->asking.partitions[0].fetch_offset = tail->got_count;
	tail_ask(tail);
}

static void tail_send(struct tail *tail, uint32_t record)
{
	struct buf batch = {0};
	kafka_batch(&batch, record, 1, tail->options->body_bytes);
	struct kafka_produce_partition partition = {0, buf_slice(&batch)};
	struct kafka_produce_topic topic = {slice_str(tail->options->prefix), {&partition, 1}};
	struct kafka_produce_request request = {.acks = ACKS_ALL, .timeout_ms = 30000, .topic_data = {&topic, 1}};
	kafka_send(&tail->producer, KAFKA_PRODUCE, &request);
	buf_deinit(&batch);
}

static void tail_pace(void *arg, uint64_t now_ns)
{
	struct tail *tail = arg;
	while (tail->sent_count < tail->total_count && due_ns(tail, tail->sent_count) <= now_ns) {
		if (tail->sent_count == tail->warm_count)
			tail->cpu_from_ns = proc_set_cpu_ns(&tail->procs);
		tail_send(tail, tail->sent_count++);
	}
	conn_flush(&tail->producer);
	if (tail->sent_count < tail->total_count)
		loop_timer(&tail->loop, (struct timer){due_ns(tail, tail->sent_count), tail_pace, tail});
}

static void producer_input(struct conn *conn, uint64_t now_ns)
{
	struct tail *tail = conn->owner;
	struct kafka_produce_response response;
	struct arena arena = {0};
	size_t len;
	while ((len = kafka_answer(conn, KAFKA_PRODUCE, &arena, &response)) > 0) {
		if (response.responses.at[0].partition_responses.at[0].error_code)
			loop_die("produce: error %d", response.responses.at[0].partition_responses.at[0].error_code);
		if (tail->acked_count >= tail->warm_count)
			hist_add(&tail->ack_hist, now_ns - due_ns(tail, tail->acked_count));
		tail->acked_count++;
		bytes_consume(&conn->in, len);
	}
	arena_deinit(&arena);
}

static void tail_prepare(struct tail *tail)
{
	struct conn control;
	bool never = false;
	kafka_control_open(&control, &tail->loop);
	kafka_topics_make(&control, tail->options->prefix, 1);
	kafka_ends(&control, tail->options->prefix, 1, NULL);
	conn_close(&control);
	kafka_asking_init(&tail->asking, tail->options->prefix, 1);
	tail->producer = (struct conn){.owner = tail, .on_input = producer_input};
	tail->consumer = (struct conn){.owner = tail, .on_input = consumer_input};
	conn_open(&tail->producer, &tail->loop, 0);
	conn_open(&tail->consumer, &tail->loop, 0);
	tail_ask(tail);
	loop_until(&tail->loop, &never, loop_now_ns() + SETTLE_NS);
}

int kafka_tail_main(const struct options *options)
{
	static struct tail tail;
	if (options->rate == 0)
		loop_die("kafka-tail wants --rate");
	tail.options = options;
	tail.interval_ns = 1000000000ull / options->rate;
	tail.warm_count = (uint32_t)((uint64_t)options->rate * options->warmup_ms / 1000);
	tail.total_count = tail.warm_count + (uint32_t)((uint64_t)options->rate * options->duration_ms / 1000);
	kafka_procs_find(&tail.procs, options);
	hist_reset(&tail.delay_hist);
	hist_reset(&tail.ack_hist);
	loop_init(&tail.loop, (uint16_t)options->port);
	tail_prepare(&tail);
	tail.start_ns = loop_now_ns() + 10000000;
	loop_timer(&tail.loop, (struct timer){tail.start_ns, tail_pace, &tail});
	if (!loop_until(&tail.loop, &tail.all_got, due_ns(&tail, tail.total_count) + END_TIMEOUT_NS))
		loop_die("%u of %u records reached the consumer", tail.got_count, tail.total_count);
	report_begin();
	report_hist("delay", &tail.delay_hist);
	report_hist("ack", &tail.ack_hist);
	report_f64("cpu_us",
		   (double)(proc_set_cpu_ns(&tail.procs) - tail.cpu_from_ns) / 1e3 / (tail.total_count - tail.warm_count));
	report_u64("requests", tail.requests_count);
	report_u64("checked", tail.got_count);
	report_end();
	return 0;
}
