/*
 * One writer appends at a fixed rate; each append goes to a stream at whose end one reader is parked. Measured is the time from
 * when the append was due until its reader has it. Readers follow by long polls (or --style sse), and check that they get every
 * record of their stream once and in order.
 */
#include "report.h"
#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define END_TIMEOUT_NS 10000000000ull
#define SETTLE_NS      2000000ull
#define SOURCES_COUNT  4

struct tail {
	const struct options *options;
	const struct stream_peer *peer;
	struct loop loop;
	struct proc_set procs;
	struct conn writer;
	struct stream_reader *readers; /* owned: one a stream */
	uint32_t *read_counts;         /* owned: by stream */
	uint64_t *due_ns;              /* owned: by record of the run */
	char *body;                    /* owned */
	uint64_t start_ns;
	uint64_t interval_ns;
	uint64_t cpu_from_ns;
	uint32_t warm_count; /* records that are not measured */
	uint32_t total_count;
	uint32_t sent_count;
	uint32_t acked_count;
	uint32_t got_count;
	bool all_got;
	struct hist delay_hist;
	struct hist ack_hist;
};

/* Record i goes to stream i % streams; its number within the stream is i / streams. */
static void tail_records(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns)
{
	struct tail *tail = reader->owner;
	uint32_t body_bytes = tail->options->body_bytes;
	for (size_t at = 0; at + body_bytes <= len; at += body_bytes) {
		uint32_t record;
		uint32_t number;
		stream_tag_read(data + at, &record, &number);
		if (record >= tail->sent_count || record % tail->options->streams_count != reader->stream ||
		    number != tail->read_counts[reader->stream])
			loop_die("record %u of stream %u where %u was due", number, reader->stream,
				 tail->read_counts[reader->stream]);
		tail->read_counts[reader->stream]++;
		if (record >= tail->warm_count)
			hist_add(&tail->delay_hist, now_ns - tail->due_ns[record]);
		tail->all_got = ++tail->got_count == tail->total_count;
	}
	if (len % body_bytes != 0)
		loop_die("an answer that holds half a record: %zu bytes", len);
}

/* What is due goes out, one at a time where order would suffer otherwise: its clock runs all the same. */
static void tail_send(struct tail *tail, uint64_t now_ns)
{
	const struct options *options = tail->options;
	uint64_t due_ns = tail->start_ns + tail->sent_count * tail->interval_ns;
	while (tail->sent_count < tail->total_count && due_ns <= now_ns &&
	       !(tail->peer->shuffles && tail->acked_count < tail->sent_count)) {
		uint32_t record = tail->sent_count++;
		uint32_t stream = record % options->streams_count;
		if (record == tail->warm_count)
			tail->cpu_from_ns = proc_set_cpu_ns(&tail->procs);
		tail->due_ns[record] = due_ns;
		stream_body(tail->body, record, record / options->streams_count);
		tail->peer->append(&tail->writer, options->prefix, stream, tail->body, options->body_bytes);
		due_ns += tail->interval_ns;
	}
	conn_flush(&tail->writer);
}

static void tail_acked(struct conn *conn, uint64_t now_ns)
{
	struct tail *tail = conn->owner;
	uint64_t kept;
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = tail->peer->ack(conn, &kept)) > 0) {
		bytes_consume(&conn->in, len);
		if (tail->acked_count >= tail->warm_count)
			hist_add(&tail->ack_hist, now_ns - tail->due_ns[tail->acked_count]);
		tail->acked_count++;
	}
	if (tail->peer->shuffles)
		tail_send(tail, now_ns);
}

static void tail_pace(void *arg, uint64_t now_ns)
{
	struct tail *tail = arg;
	tail_send(tail, now_ns);
	uint64_t next_ns = tail->start_ns + tail->sent_count * tail->interval_ns;
	if (next_ns <= now_ns)
		next_ns = now_ns + tail->interval_ns;
	if (tail->sent_count < tail->total_count)
		loop_timer(&tail->loop, (struct timer){next_ns, tail_pace, tail});
}

/* Until the server itself says that all are parked, where it can tell. */
static void tail_park(struct tail *tail)
{
	bool never = false;
	const struct options *options = tail->options;
	struct conn control;
	stream_control_open(&control, &tail->loop);
	if (tail->peer->create)
		tail->peer->create(&control, options->prefix, options->streams_count);
	for (uint32_t i = 0; i < options->streams_count; i++) {
		struct stream_reader *reader = &tail->readers[i];
		*reader = (struct stream_reader){.peer = tail->peer,
						 .prefix = options->prefix,
						 .stream = i,
						 .how = stream_how_of(options->style),
						 .owner = tail,
						 .on_records = tail_records};
		stream_reader_open(reader, &tail->loop, 1 + i % SOURCES_COUNT);
		stream_reader_ask(reader);
	}
	uint64_t deadline_ns = loop_now_ns() + END_TIMEOUT_NS;
	while (tail->peer->parked && tail->peer->parked(&control) < options->streams_count) {
		if (loop_now_ns() > deadline_ns)
			loop_die("not all readers are parked after 10 s");
		loop_until(&tail->loop, &never, loop_now_ns() + SETTLE_NS);
	}
	loop_until(&tail->loop, &never, loop_now_ns() + 25 * SETTLE_NS);
	conn_close(&control);
}

static void tail_report(const struct tail *tail, uint64_t cpu_ns)
{
	double measured = tail->total_count - tail->warm_count;
	report_begin();
	report_hist("delay", &tail->delay_hist);
	report_hist("ack", &tail->ack_hist);
	report_f64("cpu_us", (double)cpu_ns / 1e3 / measured);
	report_u64("checked", tail->got_count);
	report_end();
}

int stream_tail_main(const struct options *options)
{
	static struct tail tail;
	if (options->rate == 0 || options->streams_count == 0 || options->body_bytes < STREAM_TAG_BYTES)
		loop_die("tail wants --rate and --streams");
	tail.options = options;
	tail.peer = stream_peer_find(options->peer);
	tail.interval_ns = 1000000000ull / options->rate;
	tail.warm_count = (uint32_t)((uint64_t)options->rate * options->warmup_ms / 1000);
	tail.total_count = tail.warm_count + (uint32_t)((uint64_t)options->rate * options->duration_ms / 1000);
	int r = proc_set_find((pid_t)options->pid, &tail.procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
	tail.readers = stream_alloc(options->streams_count, sizeof(*tail.readers));
	tail.read_counts = stream_alloc(options->streams_count, sizeof(*tail.read_counts));
	tail.due_ns = stream_alloc(tail.total_count + 1, sizeof(*tail.due_ns));
	tail.body = stream_alloc(1, options->body_bytes);
	memset(tail.body, 'r', options->body_bytes);
	hist_reset(&tail.delay_hist);
	hist_reset(&tail.ack_hist);
	loop_init(&tail.loop, (uint16_t)options->port);
	tail.writer = (struct conn){.owner = &tail, .on_input = tail_acked};
	conn_open(&tail.writer, &tail.loop, 0);
	if (tail.peer->greet)
		tail.peer->greet(&tail.writer);
	tail_park(&tail);
	tail.start_ns = loop_now_ns() + 10000000;
	loop_timer(&tail.loop, (struct timer){tail.start_ns, tail_pace, &tail});
	if (!loop_until(&tail.loop, &tail.all_got, tail.start_ns + tail.total_count * tail.interval_ns + END_TIMEOUT_NS))
		loop_die("%u of %u records reached their readers", tail.got_count, tail.total_count);
	tail_report(&tail, proc_set_cpu_ns(&tail.procs) - tail.cpu_from_ns);
	loop_deinit(&tail.loop);
	return 0;
}
