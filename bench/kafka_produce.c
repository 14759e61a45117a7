/*
 * Producers, acks=all: --clients connections with --depth requests under way on each, for --duration-ms, or until --total records
 * are acknowledged. A request has one batch of --records records for each partition that is the connection's; with fewer
 * partitions than connections several write to one. The batch is made once, so what the generator costs is the copy to the
 * socket. In the end the server is asked for the ends of all partitions: they must be what was acknowledged.
 */
#include "kafka.h"
#include "report.h"

#include <stdlib.h>

#define ID_AT           8 /* of the correlation id in a frame */
#define DEPTH_MAX       64
#define END_TIMEOUT_NS  60000000000ull
#define ACKS_ALL        -1
#define SERVER_WAITS_MS 30000

struct producer {
	struct conn conn;
	struct buf frame; /* owned: the request, whole */
	uint64_t sent_ns[DEPTH_MAX];
	uint32_t partitions_count;
	uint32_t sent_count, acked_count; /* requests */
};

struct producing {
	const struct options *options;
	struct loop loop;
	struct proc_set procs;
	struct producer *producers; /* owned */
	uint64_t from_ns, to_ns;
	uint64_t cpu_ns, own_cpu_ns;
	uint64_t acked_count, measured_count, requests_count;
	uint32_t under_way_count;
	bool stopping, over;
	struct hist latency_hist;
};

static void producer_frame(struct producing *producing, struct producer *producer, struct slice name)
{
	const struct options *options = producing->options;
	uint32_t count = 0;
	struct buf batch = {0};
	struct kafka_produce_partition *partitions = calloc(options->streams_count, sizeof(*partitions));
	if (!partitions)
		loop_die("out of memory");
	kafka_batch(&batch, producer->conn.index, options->records_count, options->body_bytes);
	for (uint32_t p = producer->conn.index % options->streams_count; p < options->streams_count; p += options->clients_count)
		partitions[count++] = (struct kafka_produce_partition){(int32_t)p, buf_slice(&batch)};
	struct kafka_produce_topic topic = {name, {partitions, count}};
	struct kafka_produce_request request = {.acks = ACKS_ALL, .timeout_ms = SERVER_WAITS_MS, .topic_data = {&topic, 1}};
	kafka_frame(&producer->frame, KAFKA_PRODUCE, &request);
	producer->partitions_count = count;
	free(partitions);
	buf_deinit(&batch);
}

static void producer_send(struct producing *producing, struct producer *producer)
{
	memcpy(producer->frame.ptr + ID_AT, &producer->sent_count, sizeof(producer->sent_count));
	producer->sent_ns[producer->sent_count++ % DEPTH_MAX] = loop_now_ns();
	producing->under_way_count++;
	conn_write(&producer->conn, producer->frame.ptr, producer->frame.len);
}

static void producer_acked(struct producing *producing, struct producer *producer, uint64_t now_ns)
{
	const struct options *options = producing->options;
	uint64_t records = (uint64_t)producer->partitions_count * options->records_count;
	uint64_t sent_ns = producer->sent_ns[producer->acked_count++ % DEPTH_MAX];
	producing->under_way_count--;
	producing->acked_count += records;
	if (now_ns >= producing->from_ns && now_ns < producing->to_ns) {
		producing->measured_count += records;
		producing->requests_count++;
		hist_add(&producing->latency_hist, now_ns - sent_ns);
	}
	if (options->total_count && producing->acked_count >= options->total_count)
		producing->stopping = true;
	if (!producing->stopping)
		producer_send(producing, producer);
	producing->over = producing->stopping && producing->under_way_count == 0;
}

static void producer_input(struct conn *conn, uint64_t now_ns)
{
	struct producing *producing = conn->owner;
	struct producer *producer = &producing->producers[conn->index];
	struct kafka_produce_response response;
	struct arena arena = {0};
	size_t len;
	while ((len = kafka_answer(conn, KAFKA_PRODUCE, &arena, &response)) > 0) {
		uint32_t id;
		memcpy(&id, bytes_head(&conn->in) + 4, sizeof(id));
		if (id != producer->acked_count || response.responses.count != 1 ||
		    response.responses.at[0].partition_responses.count != producer->partitions_count)
			loop_die("an answer to another request");
		for (uint32_t i = 0; i < producer->partitions_count; i++)
			if (response.responses.at[0].partition_responses.at[i].error_code)
				loop_die("produce: error %d", response.responses.at[0].partition_responses.at[i].error_code);
		bytes_consume(&conn->in, len);
		producer_acked(producing, producer, now_ns);
		arena_deinit(&arena);
	}
	arena_deinit(&arena);
}

static void producing_run(struct producing *producing)
{
	const struct options *options = producing->options;
	bool never = false;
	uint64_t start_ns = loop_now_ns();
	producing->from_ns = start_ns + (options->total_count ? 0 : (uint64_t)options->warmup_ms * 1000000);
	producing->to_ns = options->total_count ? UINT64_MAX : producing->from_ns + (uint64_t)options->duration_ms * 1000000;
	for (uint32_t i = 0; i < options->clients_count; i++)
		for (uint32_t j = 0; j < options->depth; j++)
			producer_send(producing, &producing->producers[i]);
	if (!options->total_count)
		loop_until(&producing->loop, &never, producing->from_ns);
	uint64_t cpu_ns = proc_set_cpu_ns(&producing->procs);
	uint64_t own_cpu_ns = proc_self_cpu_ns();
	loop_until(&producing->loop, &producing->over, options->total_count ? start_ns + KAFKA_TIMEOUT_NS : producing->to_ns);
	producing->cpu_ns = proc_set_cpu_ns(&producing->procs) - cpu_ns;
	producing->own_cpu_ns = proc_self_cpu_ns() - own_cpu_ns;
	if (options->total_count)
		producing->to_ns = loop_now_ns();
	producing->stopping = true;
	if (producing->under_way_count && !loop_until(&producing->loop, &producing->over, loop_now_ns() + END_TIMEOUT_NS))
		loop_die("%u requests were not answered", producing->under_way_count);
}

static void producing_report(const struct producing *producing)
{
	double seconds = (double)(producing->to_ns - producing->from_ns) / 1e9;
	double records = producing->measured_count ? (double)producing->measured_count : 1;
	report_begin();
	report_f64("per_second", records / seconds);
	report_f64("mb_per_second", records * producing->options->body_bytes / 1e6 / seconds);
	report_f64("requests_per_second", (double)producing->requests_count / seconds);
	report_f64("cpu_s_per_million", (double)producing->cpu_ns / 1e9 / (records / 1e6));
	report_f64("own_cpu_s_per_million", (double)producing->own_cpu_ns / 1e9 / (records / 1e6));
	report_hist("latency", &producing->latency_hist);
	report_u64("checked", producing->acked_count);
	report_end();
}

int kafka_produce_main(const struct options *options)
{
	static struct producing producing;
	struct conn control;
	if (options->depth == 0 || options->depth > DEPTH_MAX || options->streams_count == 0 || options->records_count == 0 ||
	    options->streams_count > KAFKA_TOPIC_PARTITIONS)
		loop_die("kafka-produce wants --depth up to %d, --streams up to %d, and --records", DEPTH_MAX,
			 KAFKA_TOPIC_PARTITIONS);
	producing.options = options;
	kafka_procs_find(&producing.procs, options);
	hist_reset(&producing.latency_hist);
	loop_init(&producing.loop, (uint16_t)options->port);
	kafka_control_open(&control, &producing.loop);
	kafka_topics_make(&control, options->prefix, options->streams_count);
	uint64_t before = kafka_ends(&control, options->prefix, options->streams_count, NULL);
	producing.producers = calloc(options->clients_count, sizeof(*producing.producers));
	if (!producing.producers)
		loop_die("out of memory");
	for (uint32_t i = 0; i < options->clients_count; i++) {
		struct producer *producer = &producing.producers[i];
		producer->conn = (struct conn){.owner = &producing, .index = i, .on_input = producer_input};
		conn_open(&producer->conn, &producing.loop, 0);
		producer_frame(&producing, producer, slice_str(options->prefix));
	}
	producing_run(&producing);
	uint64_t kept = kafka_ends(&control, options->prefix, options->streams_count, NULL) - before;
	if (kept != producing.acked_count)
		loop_die("%llu records acknowledged, %llu kept", (unsigned long long)producing.acked_count,
			 (unsigned long long)kept);
	producing_report(&producing);
	return 0;
}
