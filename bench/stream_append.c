/*
 * Appends in a closed loop: each client has one append under way, on its own stream or on one for all. Afterwards the streams are
 * read back (or the server's own count is taken, where acknowledgements tell it): every acknowledged record must be there, once,
 * each writer's in order.
 */
#include "report.h"
#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_TIMEOUT_NS 20000000000ull

struct append_client {
	struct conn conn;
	uint32_t number;     /* of its next record */
	uint32_t read_count; /* records of its that were read back */
	uint64_t sent_ns;
	bool under_way;
};

struct appends {
	const struct options *options;
	const struct stream_peer *peer;
	struct loop loop;
	struct proc_set procs;
	struct append_client *clients; /* owned */
	uint64_t *kept;                /* owned: what acknowledgements told, by stream */
	char *body;                    /* owned */
	uint64_t from_ns;
	uint64_t to_ns;
	uint64_t cpu_ns;
	uint64_t own_cpu_ns;
	uint64_t measured_count;
	uint64_t acked_count;
	uint32_t under_way_count;
	bool stopping;
	bool drained;
	struct hist latency_hist;
};

static void append_next(struct appends *appends, struct append_client *client)
{
	const struct options *options = appends->options;
	uint32_t stream = client->conn.index % options->streams_count;
	stream_body(appends->body, client->conn.index, client->number++);
	client->under_way = true;
	appends->under_way_count++;
	client->sent_ns = loop_now_ns();
	appends->peer->append(&client->conn, options->prefix, stream, appends->body, options->body_bytes);
}

static void append_input(struct conn *conn, uint64_t now_ns)
{
	struct appends *appends = conn->owner;
	struct append_client *client = &appends->clients[conn->index];
	uint64_t kept;
	size_t len = appends->peer->ack(conn, &kept);
	if (len == 0)
		return;
	bytes_consume(&conn->in, len);
	if (!client->under_way)
		loop_die("an acknowledgement of nothing");
	client->under_way = false;
	appends->under_way_count--;
	appends->acked_count++;
	uint32_t slot = appends->peer->tells == STREAM_TELLS_ALL ? 0 : conn->index % appends->options->streams_count;
	if (kept > appends->kept[slot])
		appends->kept[slot] = kept;
	if (now_ns >= appends->from_ns && now_ns < appends->to_ns) {
		appends->measured_count++;
		hist_add(&appends->latency_hist, now_ns - client->sent_ns);
	}
	if (!appends->stopping)
		append_next(appends, client);
	appends->drained = appends->stopping && appends->under_way_count == 0;
}

/* ---- read back ---- */

static void appends_records(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns)
{
	struct appends *appends = reader->owner;
	uint32_t body_bytes = appends->options->body_bytes;
	(void)now_ns;
	if (len % body_bytes != 0)
		loop_die("an answer that holds half a record: %zu bytes", len);
	for (size_t at = 0; at < len; at += body_bytes) {
		uint32_t writer;
		uint32_t number;
		stream_tag_read(data + at, &writer, &number);
		if (writer >= appends->options->clients_count || writer % appends->options->streams_count != reader->stream)
			loop_die("a record of writer %u in stream %u", writer, reader->stream);
		if (number != appends->clients[writer].read_count)
			loop_die("record %u of writer %u where %u was due", number, writer, appends->clients[writer].read_count);
		appends->clients[writer].read_count++;
	}
}

static void appends_check(struct appends *appends)
{
	const struct options *options = appends->options;
	uint64_t kept = 0;
	if (appends->peer->tells != STREAM_TELLS_NOTHING) {
		for (uint32_t i = 0; i < options->streams_count; i++)
			kept += appends->kept[i];
		if (kept != appends->acked_count)
			loop_die("%llu records acknowledged, %llu kept", (unsigned long long)appends->acked_count,
				 (unsigned long long)kept);
		return;
	}
	for (uint32_t i = 0; i < options->streams_count; i++) {
		struct stream_whole whole = {.peer = appends->peer,
					     .prefix = options->prefix,
					     .stream = i,
					     .owner = appends,
					     .on_records = appends_records};
		stream_read_whole(&appends->loop, &whole);
	}
	for (uint32_t i = 0; i < options->clients_count; i++)
		if (appends->clients[i].read_count != appends->clients[i].number)
			loop_die("%u records of writer %u acknowledged, %u kept", appends->clients[i].number, i,
				 appends->clients[i].read_count);
}

/* ---- a run ---- */

static void appends_connect(struct appends *appends)
{
	const struct options *options = appends->options;
	struct conn control;
	if (appends->peer->create) {
		stream_control_open(&control, &appends->loop);
		appends->peer->create(&control, options->prefix, options->streams_count);
		conn_close(&control);
	}
	for (uint32_t i = 0; i < options->clients_count; i++) {
		struct append_client *client = &appends->clients[i];
		client->conn = (struct conn){.owner = appends, .index = i, .on_input = append_input};
		conn_open(&client->conn, &appends->loop, 0);
		if (appends->peer->greet)
			appends->peer->greet(&client->conn);
	}
}

static void appends_run(struct appends *appends)
{
	const struct options *options = appends->options;
	bool never = false;
	uint64_t start_ns = loop_now_ns();
	appends->from_ns = start_ns + (uint64_t)options->warmup_ms * 1000000;
	appends->to_ns = appends->from_ns + (uint64_t)options->duration_ms * 1000000;
	for (uint32_t i = 0; i < options->clients_count; i++)
		append_next(appends, &appends->clients[i]);
	loop_until(&appends->loop, &never, appends->from_ns);
	uint64_t cpu_ns = proc_set_cpu_ns(&appends->procs);
	uint64_t own_cpu_ns = proc_self_cpu_ns();
	loop_until(&appends->loop, &never, appends->to_ns);
	appends->cpu_ns = proc_set_cpu_ns(&appends->procs) - cpu_ns;
	appends->own_cpu_ns = proc_self_cpu_ns() - own_cpu_ns;
	appends->stopping = true;
	if (!loop_until(&appends->loop, &appends->drained, loop_now_ns() + DRAIN_TIMEOUT_NS))
		loop_die("%u appends were not acknowledged", appends->under_way_count);
}

static void appends_report(const struct appends *appends)
{
	double count = (double)appends->measured_count;
	if (appends->measured_count == 0)
		loop_die("nothing was acknowledged in the measured time");
	report_begin();
	report_f64("per_second", count * 1e3 / appends->options->duration_ms);
	report_f64("cpu_us", (double)appends->cpu_ns / 1e3 / count);
	report_f64("own_cpu_us", (double)appends->own_cpu_ns / 1e3 / count);
	report_u64("checked", appends->acked_count);
	report_hist("latency", &appends->latency_hist);
	report_end();
}

int stream_append_main(const struct options *options)
{
	static struct appends appends;
	appends.options = options;
	appends.peer = stream_peer_find(options->peer);
	if (options->body_bytes < STREAM_TAG_BYTES || options->body_bytes > STREAM_BODY_MAX || options->streams_count == 0)
		loop_die("records have %d to %u bytes", STREAM_TAG_BYTES, STREAM_BODY_MAX);
	int r = proc_set_find((pid_t)options->pid, &appends.procs);
	if (r < 0)
		loop_die("process %u: %s", options->pid, strerror(-r));
	appends.clients = stream_alloc(options->clients_count, sizeof(*appends.clients));
	appends.kept = stream_alloc(options->streams_count, sizeof(*appends.kept));
	appends.body = stream_alloc(1, options->body_bytes);
	memset(appends.body, 'r', options->body_bytes);
	hist_reset(&appends.latency_hist);
	loop_init(&appends.loop, (uint16_t)options->port);
	appends_connect(&appends);
	appends_run(&appends);
	appends_check(&appends);
	appends_report(&appends);
	if (appends.peer->forget) {
		struct conn control;
		stream_control_open(&control, &appends.loop);
		appends.peer->forget(&control, options->prefix, options->streams_count);
		conn_close(&control);
	}
	free(appends.clients);
	free(appends.kept);
	free(appends.body);
	loop_deinit(&appends.loop);
	return 0;
}
