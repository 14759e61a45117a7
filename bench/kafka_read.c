/*
 * A consumer reads all partitions of a topic from their start to their end, one request under way, as consumers do: whatever
 * comes of all of them, up to 1 MiB each. Batches must follow each other without a gap.
 */
#include "kafka.h"
#include "report.h"

#include <stdlib.h>

struct reading {
	const struct options *options;
	struct loop loop;
	struct proc_set procs;
	struct conn conn;
	struct kafka_asking asking;
	int64_t *ends; /* owned */
	struct arena arena;
	uint64_t records_count, bytes_count, requests_count;
	uint32_t left_count; /* partitions not read to their end */
	bool over;
};

static void reading_ask(struct reading *reading)
{
	uint32_t count = 0;
	/* Those that are not read yet, in their order. */
	for (uint32_t i = 0; i < reading->asking.topics[0].partitions.count; i++) {
		struct kafka_fetch_partition *partition = &reading->asking.partitions[i];
		if (partition->fetch_offset < reading->ends[partition->partition])
			reading->asking.partitions[count++] = *partition;
	}
	reading->asking.topics[0].partitions.count = count;
	reading->over = count == 0;
	if (reading->over)
		return;
	reading->requests_count++;
	kafka_send(&reading->conn, KAFKA_FETCH, &reading->asking.request);
}

static void reading_batches(struct reading *reading, struct kafka_fetch_partition *asked, struct slice records)
{
	struct slice batch;
	uint64_t offset;
	uint32_t count;
	while (kafka_batch_next(&records, &batch, &offset, &count)) {
		if ((int64_t)offset + count <= asked->fetch_offset)
			continue;
		if ((int64_t)offset > asked->fetch_offset)
			loop_die("offset %lld of partition %d where %lld was due", (long long)offset, asked->partition,
				 (long long)asked->fetch_offset);
		asked->fetch_offset = (int64_t)offset + count;
		reading->records_count += count;
		reading->bytes_count += batch.len;
	}
}

static void reading_input(struct conn *conn, uint64_t now_ns)
{
	struct reading *reading = conn->owner;
	struct kafka_fetch_response response;
	size_t len = kafka_answer(conn, KAFKA_FETCH, &reading->arena, &response);
	(void)now_ns;
	if (len == 0)
		return;
	uint32_t count = reading->asking.topics[0].partitions.count;
	if (response.error_code || response.responses.count != 1 || response.responses.at[0].partitions.count > count)
		loop_die("fetch: error %d, %u topics", response.error_code, response.responses.count);
	for (uint32_t i = 0; i < response.responses.at[0].partitions.count; i++) {
		const struct kafka_fetched_partition *got = &response.responses.at[0].partitions.at[i];
		uint32_t at = 0;
		while (at < count && reading->asking.partitions[at].partition != got->partition_index)
			at++;
		if (got->error_code || at == count)
			loop_die("fetch of partition %d: error %d", got->partition_index, got->error_code);
		reading_batches(reading, &reading->asking.partitions[at], got->records);
	}
	bytes_consume(&conn->in, len);
	arena_deinit(&reading->arena);
	reading_ask(reading);
}

int kafka_read_main(const struct options *options)
{
	static struct reading reading;
	struct conn control;
	if (options->streams_count == 0 || options->streams_count > KAFKA_TOPIC_PARTITIONS)
		loop_die("kafka-read wants --streams up to %d", KAFKA_TOPIC_PARTITIONS);
	reading.options = options;
	kafka_procs_find(&reading.procs, options);
	loop_init(&reading.loop, (uint16_t)options->port);
	reading.loop.read_bytes = 1 << 18;
	reading.ends = calloc(options->streams_count, sizeof(*reading.ends));
	kafka_control_open(&control, &reading.loop);
	kafka_ends(&control, options->prefix, options->streams_count, reading.ends);
	kafka_asking_init(&reading.asking, options->prefix, options->streams_count);
	reading.conn = (struct conn){.owner = &reading, .on_input = reading_input};
	conn_open(&reading.conn, &reading.loop, 0);
	uint64_t from_ns = loop_now_ns();
	uint64_t cpu_ns = proc_set_cpu_ns(&reading.procs);
	uint64_t own_cpu_ns = proc_self_cpu_ns();
	reading_ask(&reading);
	if (!reading.over && !loop_until(&reading.loop, &reading.over, from_ns + KAFKA_TIMEOUT_NS))
		loop_die("not read to the end: %llu records", (unsigned long long)reading.records_count);
	double seconds = (double)(loop_now_ns() - from_ns) / 1e9;
	double mb = (double)reading.bytes_count / 1e6;
	report_begin();
	report_f64("mb_per_second", mb / seconds);
	report_f64("per_second", (double)reading.records_count / seconds);
	report_f64("cpu_us_per_mb", (double)(proc_set_cpu_ns(&reading.procs) - cpu_ns) / 1e3 / mb);
	report_f64("own_cpu_us_per_mb", (double)(proc_self_cpu_ns() - own_cpu_ns) / 1e3 / mb);
	report_u64("requests", reading.requests_count);
	report_u64("records", reading.records_count);
	report_u64("bytes", reading.bytes_count);
	report_end();
	kafka_asking_free(&reading.asking);
	return 0;
}
