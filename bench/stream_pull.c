/*
 * Push beside pull: one stream, one writer (--rate a second, evenly, and each second a burst of --burst at once), readers that
 * follow by --style short (asking again --interval-ms after each answer), long, or sse; --clients of them as fast as they can,
 * --slow of them ten times too slow: each record takes such a one ten times as long to handle as the writer takes to make it. A
 * slow reader that asks does so when it has handled what it got; one that is sent events takes them off its socket at that pace.
 *
 * The delay runs from the append's acknowledgement (what comes before that counts as 0) until a fast reader has the record, a
 * slow one begins to handle it. A record falls into the gap when it was acknowledged before the reader asked the question
 * that it is the answer to. When the writer has ended, the slow are slow no longer, and each reader must get every record, once
 * and in order; if not, the run ends as failed.
 */
#include "report.h"
#include "streams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOWNESS       10
#define END_TIMEOUT_NS 20000000000ull
#define SETTLE_NS      100000000ull
#define SAMPLE_NS      100000000ull
#define SOURCES_COUNT  4
#define SECOND_NS      1000000000ull

struct pull_event {
	uint64_t due_ns;
	uint64_t acked_ns; /* 0: not yet */
};

struct pull_reader {
	struct stream_reader reader;
	struct pull *pull;
	uint32_t next; /* the record that is due */
	bool slow;
	bool timed;       /* a timer will make it ask, or read on */
	uint64_t free_ns; /* slow: when it has handled all that it got */
	uint64_t *has_ns; /* slow, owned: by record, when it begins to handle it */
};

struct pull {
	const struct options *options;
	const struct stream_peer *peer;
	enum stream_how how;
	struct loop loop;
	struct proc_set procs;
	struct conn writer;
	struct pull_event *events; /* owned, by due time */
	uint32_t events_count;
	uint32_t sent_count;
	uint32_t acked_count;
	struct pull_reader *readers; /* owned: the fast, then the slow */
	uint32_t readers_count;
	uint32_t complete_count; /* readers that have all */
	char *body;              /* owned */
	uint64_t handle_ns;      /* what a record takes a slow reader */
	bool written;            /* all is acknowledged */
	bool all_complete;
	uint64_t from_user_bytes;
	uint64_t peak_user_bytes;
	uint64_t from_kernel_bytes;
	uint64_t peak_kernel_bytes;
	uint64_t fast_done_ns;
	uint64_t slow_done_ns;
	struct hist delay_hist;
	struct hist gap_hist;
	struct hist slow_hist;
};

/* ---- what it costs the server ---- */

/* The kernel's memory for all TCP sockets of this machine, both ends: "TCP: … mem PAGES". */
static uint64_t kernel_tcp_bytes(void)
{
	char line[256];
	unsigned long pages = 0;
	FILE *file = fopen("/proc/net/sockstat", "re");
	while (file && fgets(line, sizeof(line), file)) {
		const char *mem = strncmp(line, "TCP:", 4) == 0 ? strstr(line, " mem ") : NULL;
		if (mem)
			pages = strtoul(mem + 5, NULL, 10);
	}
	if (file)
		fclose(file);
	return (uint64_t)pages * 4096;
}

static uint64_t pull_user_bytes(const struct pull *pull)
{
	struct proc_memory memory = proc_set_memory(&pull->procs);
	return memory.anon_bytes + memory.shmem_bytes;
}

static void pull_sample(void *arg, uint64_t now_ns)
{
	struct pull *pull = arg;
	uint64_t user_bytes = pull_user_bytes(pull);
	uint64_t kernel_bytes = kernel_tcp_bytes();
	if (user_bytes > pull->peak_user_bytes)
		pull->peak_user_bytes = user_bytes;
	if (kernel_bytes > pull->peak_kernel_bytes)
		pull->peak_kernel_bytes = kernel_bytes;
	if (!pull->written)
		loop_timer(&pull->loop, (struct timer){now_ns + SAMPLE_NS, pull_sample, pull});
}

/* ---- readers ---- */

static void reader_ask_now(void *arg, uint64_t now_ns)
{
	struct pull_reader *reader = arg;
	(void)now_ns;
	reader->timed = false;
	stream_reader_ask(&reader->reader);
}

static void reader_read_on(void *arg, uint64_t now_ns)
{
	struct pull_reader *reader = arg;
	(void)now_ns;
	reader->timed = false;
	conn_pause(&reader->reader.conn, false);
}

static bool reader_is_slow(const struct pull_reader *reader)
{
	return reader->slow && !reader->pull->written;
}

static uint64_t event_delay_ns(const struct pull_event *event, uint64_t has_ns)
{
	return event->acked_ns && event->acked_ns < has_ns ? has_ns - event->acked_ns : 0;
}

static void reader_has(struct pull_reader *reader, uint32_t number, uint64_t now_ns)
{
	struct pull *pull = reader->pull;
	const struct pull_event *event = &pull->events[number];
	if (reader->slow) {
		uint64_t has_ns = reader->free_ns > now_ns ? reader->free_ns : now_ns;
		reader->has_ns[number] = has_ns;
		reader->free_ns = reader_is_slow(reader) ? has_ns + pull->handle_ns : 0;
		return;
	}
	uint64_t delay_ns = event_delay_ns(event, now_ns);
	hist_add(&pull->delay_hist, delay_ns);
	if (pull->how != STREAM_EVENTS && event->acked_ns && event->acked_ns < reader->reader.asked_ns)
		hist_add(&pull->gap_hist, delay_ns);
}

static void pull_records(struct stream_reader *stream_reader, const char *data, size_t len, uint64_t now_ns)
{
	struct pull_reader *reader = stream_reader->owner;
	struct pull *pull = reader->pull;
	uint32_t body_bytes = pull->options->body_bytes;
	if (len % body_bytes != 0)
		loop_die("an answer that holds half a record: %zu bytes", len);
	for (size_t at = 0; at < len; at += body_bytes) {
		uint32_t writer;
		uint32_t number;
		stream_tag_read(data + at, &writer, &number);
		if (number != reader->next || number >= pull->sent_count)
			loop_die("a reader got record %u where %u was due", number, reader->next);
		reader_has(reader, number, now_ns);
		reader->next++;
	}
	if (reader->next < pull->events_count)
		return;
	*(reader->slow ? &pull->slow_done_ns : &pull->fast_done_ns) = now_ns;
	pull->all_complete = ++pull->complete_count == pull->readers_count;
}

static void pull_answer(struct stream_reader *stream_reader, uint64_t now_ns)
{
	struct pull_reader *reader = stream_reader->owner;
	struct pull *pull = reader->pull;
	uint64_t next_ns = pull->how == STREAM_NOW ? now_ns + (uint64_t)pull->options->interval_ms * 1000000 : now_ns;
	if (reader->next == pull->events_count)
		return;
	if (reader_is_slow(reader) && reader->free_ns > next_ns)
		next_ns = reader->free_ns;
	if (next_ns <= now_ns) {
		stream_reader_ask(stream_reader);
		return;
	}
	reader->timed = true;
	loop_timer(&pull->loop, (struct timer){next_ns, reader_ask_now, reader});
}

/* Events: a slow reader takes a record's bytes off its socket, and then nothing until it has handled them. */
static void (*stream_input)(struct conn *conn, uint64_t now_ns);

static void slow_events_input(struct conn *conn, uint64_t now_ns)
{
	struct stream_reader *stream_reader = conn->owner;
	struct pull_reader *reader = stream_reader->owner;
	stream_input(conn, now_ns);
	if (!reader_is_slow(reader))
		return;
	conn_pause(conn, true);
	reader->timed = true;
	loop_timer(conn->loop, (struct timer){now_ns + reader->pull->handle_ns, reader_read_on, reader});
}

static void pull_reader_open(struct pull *pull, uint32_t index)
{
	struct pull_reader *reader = &pull->readers[index];
	uint64_t spread_ns = (uint64_t)pull->options->interval_ms * 1000000 * index / pull->readers_count;
	*reader = (struct pull_reader){.pull = pull, .slow = index >= pull->options->clients_count};
	reader->reader = (struct stream_reader){.peer = pull->peer,
						.prefix = pull->options->prefix,
						.how = pull->how,
						.owner = reader,
						.on_records = pull_records,
						.on_answer = pull_answer};
	stream_reader_open(&reader->reader, &pull->loop, 1 + index % SOURCES_COUNT);
	if (reader->slow && pull->how == STREAM_EVENTS) {
		stream_input = reader->reader.conn.on_input;
		reader->reader.conn.on_input = slow_events_input;
		reader->reader.conn.read_max = pull->options->body_bytes;
	}
	if (pull->how == STREAM_NOW) /* they do not all ask at the same moment */
		loop_timer(&pull->loop, (struct timer){loop_now_ns() + spread_ns, reader_ask_now, reader});
	else
		stream_reader_ask(&reader->reader);
}

/* The slow are slow no longer: what they have they handle now, timers that are still to come find them so. */
static void pull_hurry(struct pull *pull, uint64_t now_ns)
{
	for (uint32_t i = pull->options->clients_count; i < pull->readers_count; i++) {
		struct pull_reader *reader = &pull->readers[i];
		for (uint32_t number = 0; number < reader->next; number++)
			if (reader->has_ns[number] > now_ns)
				reader->has_ns[number] = now_ns;
		reader->free_ns = 0;
		reader->reader.conn.read_max = 0;
		if (pull->how == STREAM_EVENTS)
			conn_pause(&reader->reader.conn, false);
		else if (reader->timed && !reader->reader.asking)
			stream_reader_ask(&reader->reader);
	}
}

/* ---- the writer ---- */

static void pull_acked(struct conn *conn, uint64_t now_ns)
{
	struct pull *pull = conn->owner;
	uint64_t kept;
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = pull->peer->ack(conn, &kept)) > 0) {
		bytes_consume(&conn->in, len);
		pull->events[pull->acked_count++].acked_ns = now_ns;
	}
	pull->written = pull->acked_count == pull->events_count;
}

static void pull_write(void *arg, uint64_t now_ns)
{
	struct pull *pull = arg;
	while (pull->sent_count < pull->events_count && pull->events[pull->sent_count].due_ns <= now_ns) {
		stream_body(pull->body, 0, pull->sent_count++);
		pull->peer->append(&pull->writer, pull->options->prefix, 0, pull->body, pull->options->body_bytes);
	}
	conn_flush(&pull->writer);
	if (pull->sent_count < pull->events_count)
		loop_timer(&pull->loop, (struct timer){pull->events[pull->sent_count].due_ns, pull_write, pull});
}

/* Evenly, and in the middle of each second a burst. */
static void pull_plan(struct pull *pull)
{
	const struct options *options = pull->options;
	uint32_t steady = (uint32_t)((uint64_t)options->rate * options->duration_ms / 1000);
	uint32_t seconds = options->duration_ms / 1000;
	uint64_t start_ns = loop_now_ns() + SETTLE_NS;
	uint32_t bursts = 0;
	pull->events = stream_alloc(steady + seconds * options->burst + 1, sizeof(*pull->events));
	for (uint32_t i = 0; i < steady; i++) {
		uint64_t due_ns = start_ns + i * SECOND_NS / options->rate;
		if (bursts < seconds && due_ns >= start_ns + bursts * SECOND_NS + SECOND_NS / 2) {
			bursts++;
			for (uint32_t j = 0; j < options->burst; j++)
				pull->events[pull->events_count++].due_ns = due_ns;
		}
		pull->events[pull->events_count++].due_ns = due_ns;
	}
	pull->handle_ns = SLOWNESS * (uint64_t)options->duration_ms * 1000000 / pull->events_count;
}

/* ---- a run ---- */

static void pull_init(struct pull *pull, const struct options *options)
{
	struct conn control;
	if (options->rate == 0 || options->clients_count == 0 || options->body_bytes < STREAM_TAG_BYTES)
		loop_die("pull wants --rate and --clients");
	pull->options = options;
	pull->peer = stream_peer_find(options->peer);
	pull->how = stream_how_of(options->style);
	pull->readers_count = options->clients_count + options->slow_count;
	int r = proc_set_find((pid_t)options->pid, &pull->procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
	pull->readers = stream_alloc(pull->readers_count, sizeof(*pull->readers));
	pull->body = stream_alloc(1, options->body_bytes);
	memset(pull->body, 'r', options->body_bytes);
	hist_reset(&pull->delay_hist);
	hist_reset(&pull->gap_hist);
	hist_reset(&pull->slow_hist);
	loop_init(&pull->loop, (uint16_t)options->port);
	if (pull->peer->create) {
		stream_control_open(&control, &pull->loop);
		pull->peer->create(&control, options->prefix, 1);
		conn_close(&control);
	}
	pull->writer = (struct conn){.owner = pull, .on_input = pull_acked};
	conn_open(&pull->writer, &pull->loop, 0);
	for (uint32_t i = 0; i < pull->readers_count; i++)
		pull_reader_open(pull, i);
}

struct pull_end {
	uint64_t requests;
	uint64_t bytes;
	uint64_t cpu_ns;
	uint64_t written_ns;
	double behind_count; /* records that a slow reader had not handled when the writer ended */
};

static void pull_run(struct pull *pull, struct pull_end *ret_end)
{
	pull_plan(pull);
	for (uint32_t i = pull->options->clients_count; i < pull->readers_count; i++)
		pull->readers[i].has_ns = stream_alloc(pull->events_count, sizeof(uint64_t));
	pull->from_user_bytes = pull->peak_user_bytes = pull_user_bytes(pull);
	pull->from_kernel_bytes = pull->peak_kernel_bytes = kernel_tcp_bytes();
	uint64_t cpu_ns = proc_set_cpu_ns(&pull->procs);
	loop_timer(&pull->loop, (struct timer){pull->events[0].due_ns, pull_write, pull});
	loop_timer(&pull->loop, (struct timer){pull->events[0].due_ns, pull_sample, pull});
	uint64_t end_ns = pull->events[pull->events_count - 1].due_ns + END_TIMEOUT_NS;
	if (!loop_until(&pull->loop, &pull->written, end_ns))
		loop_die("%u of %u appends were acknowledged", pull->acked_count, pull->events_count);
	ret_end->written_ns = loop_now_ns();
	for (uint32_t i = pull->options->clients_count; i < pull->readers_count; i++) {
		const struct pull_reader *reader = &pull->readers[i];
		uint64_t left_ns = reader->free_ns > ret_end->written_ns ? reader->free_ns - ret_end->written_ns : 0;
		double lacks = pull->events_count - reader->next + (double)left_ns / (double)pull->handle_ns;
		ret_end->behind_count += lacks / pull->options->slow_count;
	}
	pull_hurry(pull, ret_end->written_ns);
	if (!loop_until(&pull->loop, &pull->all_complete, end_ns))
		loop_die("%u of %u readers have got everything", pull->complete_count, pull->readers_count);
	ret_end->cpu_ns = proc_set_cpu_ns(&pull->procs) - cpu_ns;
	for (uint32_t i = pull->options->clients_count; i < pull->readers_count; i++)
		for (uint32_t number = 0; number < pull->events_count; number++)
			hist_add(&pull->slow_hist, event_delay_ns(&pull->events[number], pull->readers[i].has_ns[number]));
	for (uint32_t i = 0; i < pull->options->clients_count; i++) {
		const struct stream_reader *reader = &pull->readers[i].reader;
		ret_end->requests += reader->requests_count;
		ret_end->bytes += reader->conn.bytes_in + reader->conn.bytes_out;
	}
}

static void pull_report(const struct pull *pull, const struct pull_end *end)
{
	double got = (double)pull->options->clients_count * pull->events_count;
	double slow = pull->options->slow_count > 0 ? pull->options->slow_count : 1;
	report_begin();
	report_u64("events", pull->events_count);
	report_f64("requests_per_event", (double)end->requests / got);
	report_f64("bytes_per_event", (double)end->bytes / got);
	report_f64("cpu_us_per_event", (double)end->cpu_ns / 1e3 / got);
	report_hist("delay", &pull->delay_hist);
	report_hist("gap", &pull->gap_hist);
	report_hist("slow", &pull->slow_hist);
	report_f64("behind", end->behind_count);
	report_f64("caught_up_ms",
		   pull->slow_done_ns > end->written_ns ? (double)(pull->slow_done_ns - end->written_ns) / 1e6 : 0);
	report_f64("user_bytes", (double)(pull->peak_user_bytes - pull->from_user_bytes) / slow);
	report_f64("kernel_bytes", (double)(pull->peak_kernel_bytes - pull->from_kernel_bytes) / slow);
	report_end();
}

int stream_pull_main(const struct options *options)
{
	static struct pull pull;
	struct pull_end end = {0};
	pull_init(&pull, options);
	pull_run(&pull, &end);
	pull_report(&pull, &end);
	loop_deinit(&pull.loop);
	return 0;
}
