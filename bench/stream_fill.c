/*
 * Streams filled fast, read whole, and left idle.
 *   fill   --streams S --records N: N records over S streams, the first of each with its making
 *   read   the same S streams read whole and checked: every record, once, in order. How fast, and at what cost
 *   idle   fill with one record each; what a stream costs in memory; then --waiters long polls at the ends of as many of them,
 * what a wait costs; then an append to some, which must wake its own waiters and nobody else
 */
#include "report.h"
#include "streams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES    262144
#define SOURCES_COUNT 4
#define CONNECT_BATCH 256
#define SETTLE_NS     2000000ull
#define QUIET_NS      200000000ull
#define WOKEN_MAX     1000
#define SOON_NS       10000000ull

struct filled {
	const struct options *options;
	const struct stream_peer *peer;
	struct loop loop;
	struct proc_set procs;
	uint32_t next;  /* reading: the number that is due in the stream under way */
	uint64_t bytes; /* reading: of records */
};

static void filled_init(struct filled *filled, const struct options *options)
{
	filled->options = options;
	filled->peer = stream_peer_find(options->peer);
	if (options->body_bytes < STREAM_TAG_BYTES || options->streams_count == 0)
		loop_die("records have at least %d bytes, and there is at least one stream", STREAM_TAG_BYTES);
	int r = proc_set_find((pid_t)options->pid, &filled->procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
	loop_init(&filled->loop, (uint16_t)options->port);
}

static uint64_t filled_memory(const struct filled *filled)
{
	struct proc_memory memory = proc_set_memory(&filled->procs);
	return memory.anon_bytes + memory.shmem_bytes;
}

static double filled_fill(struct filled *filled, uint64_t records_count)
{
	struct stream_fill fill = {.peer = filled->peer,
				   .prefix = filled->options->prefix,
				   .streams_count = filled->options->streams_count,
				   .records_count = records_count,
				   .body_bytes = filled->options->body_bytes,
				   .together = filled->peer->make_with != NULL};
	uint64_t start_ns = loop_now_ns();
	stream_fill(&filled->loop, &fill);
	return (double)(loop_now_ns() - start_ns) / 1e9;
}

int stream_fill_main(const struct options *options)
{
	static struct filled filled;
	filled_init(&filled, options);
	uint64_t before_bytes = filled_memory(&filled);
	double seconds = filled_fill(&filled, options->records_count);
	report_begin();
	report_f64("seconds", seconds);
	report_u64("before_bytes", before_bytes);
	report_u64("after_bytes", filled_memory(&filled));
	report_end();
	loop_deinit(&filled.loop);
	return 0;
}

/* ---- read ---- */

static void filled_records(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns)
{
	struct filled *filled = reader->owner;
	uint32_t body_bytes = filled->options->body_bytes;
	(void)now_ns;
	if (len % body_bytes != 0)
		loop_die("an answer that holds half a record: %zu bytes", len);
	filled->bytes += len;
	for (size_t at = 0; at < len; at += body_bytes) {
		uint32_t writer;
		uint32_t number;
		stream_tag_read(data + at, &writer, &number);
		if (writer != 0 || number != filled->next)
			loop_die("record %u of stream %u where %u was due", number, reader->stream, filled->next);
		filled->next++;
	}
}

int stream_read_main(const struct options *options)
{
	static struct filled filled;
	uint64_t requests = 0;
	filled_init(&filled, options);
	filled.loop.read_bytes = READ_BYTES;
	uint64_t cpu_ns = proc_set_cpu_ns(&filled.procs);
	uint64_t own_cpu_ns = proc_self_cpu_ns();
	uint64_t start_ns = loop_now_ns();
	for (uint32_t i = 0; i < options->streams_count; i++) {
		uint64_t due = (options->records_count + options->streams_count - 1 - i) / options->streams_count;
		struct stream_whole whole = {.peer = filled.peer,
					     .prefix = options->prefix,
					     .stream = i,
					     .owner = &filled,
					     .on_records = filled_records};
		filled.next = 0;
		requests += stream_read_whole(&filled.loop, &whole);
		if (filled.next != due)
			loop_die("stream %u: %u of %llu records", i, filled.next, (unsigned long long)due);
	}
	double seconds = (double)(loop_now_ns() - start_ns) / 1e9;
	own_cpu_ns = proc_self_cpu_ns() - own_cpu_ns;
	/* A running thread's CPU time is only known up to its last tick: let the server fall idle first. */
	bool never = false;
	loop_until(&filled.loop, &never, loop_now_ns() + SOON_NS);
	cpu_ns = proc_set_cpu_ns(&filled.procs) - cpu_ns;
	report_begin();
	report_f64("seconds", seconds);
	report_f64("mb_per_second", (double)filled.bytes / 1e6 / seconds);
	report_f64("cpu_us_per_mb", (double)cpu_ns / 1e3 / ((double)filled.bytes / 1e6));
	report_f64("own_cpu_us_per_mb", (double)own_cpu_ns / 1e3 / ((double)filled.bytes / 1e6));
	report_u64("requests", requests);
	report_u64("bytes", filled.bytes);
	report_end();
	loop_deinit(&filled.loop);
	return 0;
}

/* ---- idle ---- */

struct idle {
	struct filled filled;
	struct stream_reader *readers; /* owned */
	bool *appended;                /* owned: to the stream of this reader */
	struct conn control;
	struct conn writer;
	uint32_t woken_count;
	uint32_t wanted_count;
	uint32_t acked_count;
	bool all_woken;
};

/* The reader of every so-many-th stream, spread over all of them. */
static uint32_t idle_stream(const struct idle *idle, uint32_t reader)
{
	return (uint32_t)((uint64_t)reader * idle->filled.options->streams_count / idle->filled.options->waiters_count);
}

static void idle_records(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns)
{
	struct idle *idle = reader->owner;
	uint32_t stream;
	uint32_t number;
	(void)now_ns;
	if (len != idle->filled.options->body_bytes)
		loop_die("%zu bytes for one record", len);
	stream_tag_read(data, &stream, &number);
	bool *appended = &idle->appended[reader - idle->readers];
	if (stream != reader->stream || number != 1 || !*appended)
		loop_die("the waiter on stream %u got record %u of stream %u", reader->stream, number, stream);
	*appended = false;
	idle->all_woken = ++idle->woken_count == idle->wanted_count;
}

/* One answer is all they want: whoever is answered without a record was not to be woken. */
static void idle_answer(struct stream_reader *reader, uint64_t now_ns)
{
	struct idle *idle = reader->owner;
	(void)now_ns;
	if (idle->wanted_count == 0)
		loop_die("the waiter on stream %u was answered before anything was appended", reader->stream);
}

static void idle_park(struct idle *idle)
{
	bool never = false;
	const struct options *options = idle->filled.options;
	struct loop *loop = &idle->filled.loop;
	for (uint32_t i = 0; i < options->waiters_count; i++) {
		struct stream_reader *reader = &idle->readers[i];
		*reader = (struct stream_reader){.peer = idle->filled.peer,
						 .prefix = options->prefix,
						 .stream = idle_stream(idle, i),
						 .how = STREAM_WAIT,
						 .owner = idle,
						 .on_records = idle_records,
						 .on_answer = idle_answer};
		snprintf(reader->cursor, sizeof(reader->cursor), "%s", idle->filled.peer->end);
		stream_reader_open(reader, loop, 1 + i % SOURCES_COUNT);
		stream_reader_ask(reader);
		/* A round trip now and then keeps the listener's backlog short. */
		if (i % CONNECT_BATCH == CONNECT_BATCH - 1)
			idle->filled.peer->parked(&idle->control);
	}
	uint64_t deadline_ns = loop_now_ns() + STREAM_TIMEOUT_NS / 2;
	while (idle->filled.peer->parked(&idle->control) < options->waiters_count) {
		if (loop_now_ns() > deadline_ns)
			loop_die("not all waits are parked after half a minute");
		loop_until(loop, &never, loop_now_ns() + SETTLE_NS);
	}
}

static void idle_acked(struct conn *conn, uint64_t now_ns)
{
	struct idle *idle = conn->owner;
	uint64_t kept;
	size_t len;
	(void)now_ns;
	while (bytes_len(&conn->in) > 0 && (len = idle->filled.peer->ack(conn, &kept)) > 0) {
		bytes_consume(&conn->in, len);
		idle->acked_count++;
	}
}

/* Appends to some, picked at random; their waiters and no others are to be answered. */
static void idle_wake(struct idle *idle)
{
	const struct options *options = idle->filled.options;
	struct loop *loop = &idle->filled.loop;
	uint32_t wanted = options->waiters_count / 2 < WOKEN_MAX ? options->waiters_count / 2 : WOKEN_MAX;
	uint64_t random = 0x9e3779b97f4a7c15ull;
	bool never = false;
	char *body = stream_alloc(1, options->body_bytes);
	memset(body, 'w', options->body_bytes);
	idle->writer = (struct conn){.owner = idle, .on_input = idle_acked};
	conn_open(&idle->writer, loop, 0);
	idle->wanted_count = wanted;
	for (uint32_t done = 0; done < wanted;) {
		uint32_t i = (uint32_t)(stream_random(&random) % options->waiters_count);
		if (idle->appended[i])
			continue;
		idle->appended[i] = true;
		uint32_t stream = idle->readers[i].stream;
		idle->filled.peer->append(&idle->writer, options->prefix, stream, stream_body(body, stream, 1),
					  options->body_bytes);
		if (++done % 32 == 0)
			conn_flush(&idle->writer);
	}
	free(body);
	if (!loop_until(loop, &idle->all_woken, loop_now_ns() + STREAM_TIMEOUT_NS / 2))
		loop_die("%u of %u waiters were woken", idle->woken_count, wanted);
	loop_until(loop, &never, loop_now_ns() + QUIET_NS);
	uint32_t still = idle->filled.peer->parked(&idle->control);
	if (idle->woken_count != wanted || idle->acked_count != wanted || still != options->waiters_count - wanted)
		loop_die("%u appends, %u acknowledged, woke %u, and %u of %u still wait", wanted, idle->acked_count,
			 idle->woken_count, still, options->waiters_count);
}

int stream_idle_main(const struct options *options)
{
	static struct idle idle;
	filled_init(&idle.filled, options);
	if (!idle.filled.peer->end || !idle.filled.peer->parked || options->waiters_count > options->streams_count)
		loop_die("idle wants a server that can tell, and no more --waiters than --streams");
	idle.readers = stream_alloc(options->waiters_count, sizeof(*idle.readers));
	idle.appended = stream_alloc(options->waiters_count, sizeof(*idle.appended));
	stream_control_open(&idle.control, &idle.filled.loop);
	idle.filled.peer->parked(&idle.control);
	uint64_t empty_bytes = filled_memory(&idle.filled);
	double seconds = filled_fill(&idle.filled, options->streams_count);
	idle.filled.peer->parked(&idle.control);
	uint64_t filled_bytes = filled_memory(&idle.filled);
	idle_park(&idle);
	uint64_t parked_bytes = filled_memory(&idle.filled);
	idle_wake(&idle);
	report_begin();
	report_f64("stream_bytes", ((double)filled_bytes - (double)empty_bytes) / options->streams_count);
	report_f64("wait_bytes", ((double)parked_bytes - (double)filled_bytes) / options->waiters_count);
	report_f64("per_second", options->streams_count / seconds);
	report_u64("woken", idle.woken_count);
	report_end();
	loop_deinit(&idle.filled.loop);
	return 0;
}
