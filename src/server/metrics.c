/* What /metrics and /v1/info tell. Each thread leaves a copy of its figures at the end of its turn; whoever is asked adds up. */
#include "server/server_priv.h"

#include "base/json.h"

#include <unistd.h>

struct figures {
	struct http_thread_stats http;
	struct api_stats api;
	struct kafka_thread_stats kafka;
	struct sequencer_stats sequencer;
	struct journal_stats journal;
	struct latency commits;
	struct webhooks_stats webhooks;
};

void stats_publish(struct thread *thread)
{
	struct server *server = thread->server;
	struct thread_stats stats = {0};

	http_thread_stats(thread->http, &stats.http);
	api_thread_stats(thread->api, &stats.api);
	if (thread->kafka)
		kafka_thread_stats(thread->kafka, &stats.kafka);
	pthread_mutex_lock(&thread->stats_lock);
	thread->stats = stats;
	pthread_mutex_unlock(&thread->stats_lock);
	if (thread->index != 0)
		return;
	pthread_mutex_lock(&server->stats_lock);
	sequencer_stats(server->sequencer, &server->sequencer_stats);
	journal_stats(server->journal, &server->journal_stats);
	server->commit_latency_seen = server->commit_latency;
	pthread_mutex_unlock(&server->stats_lock);
}

/* All members are counters of 64 bits. */
static void sum(void *to, const void *from, size_t size)
{
	uint64_t *a = to;
	const uint64_t *b = from;

	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		a[i] += b[i];
}

static void gather(struct server *server, struct figures *f)
{
	*f = (struct figures){0};
	for (unsigned t = 0; t < server->thread_count; t++) {
		struct thread *thread = &server->threads[t];

		pthread_mutex_lock(&thread->stats_lock);
		sum(&f->http, &thread->stats.http, sizeof(f->http));
		sum(&f->api, &thread->stats.api, sizeof(f->api));
		sum(&f->kafka, &thread->stats.kafka, sizeof(f->kafka));
		pthread_mutex_unlock(&thread->stats_lock);
	}
	webhooks_stats(server->webhooks, &f->webhooks);
	pthread_mutex_lock(&server->stats_lock);
	f->sequencer = server->sequencer_stats;
	f->journal = server->journal_stats;
	f->commits = server->commit_latency_seen;
	pthread_mutex_unlock(&server->stats_lock);
}

bool server_is_ready(void *ctx)
{
	struct thread *thread = ctx;

	return atomic_load(&thread->server->ready) && !atomic_load(&thread->server->draining);
}

bool server_is_draining(void *ctx)
{
	struct thread *thread = ctx;

	return atomic_load(&thread->server->draining);
}

uint64_t server_unix_ms(void *ctx)
{
	struct thread *thread = ctx;

	return clock_monotonic_ms() + thread->server->unix_offset_ms;
}

enum metric_kind { COUNTER, GAUGE, SECONDS_NS };

struct metric {
	const char *name, *help;
	size_t offset; /* of a uint64_t in struct figures */
	enum metric_kind kind;
};

#define F(member) offsetof(struct figures, member)
static const struct metric metrics[] = {
	{"bide_connections", "Open connections.", F(http.connections_open), GAUGE},
	{"bide_connections_total", "Connections accepted.", F(http.connections_total), COUNTER},
	{"bide_connections_refused_total", "Connections refused over the limit.", F(http.connections_refused), COUNTER},
	{"bide_http_requests_total", "Requests read.", F(http.requests_total), COUNTER},
	{"bide_http_received_bytes_total", "Bytes received.", F(http.bytes_in_total), COUNTER},
	{"bide_http_sent_bytes_total", "Bytes sent.", F(http.bytes_out_total), COUNTER},
	{"bide_http_gone_total", "Requests whose client left before the answer.", F(http.gone_total), COUNTER},
	{"bide_http_timeouts_total", "Senders and readers cut for slowness.", F(http.timeouts_total), COUNTER},
	{"bide_kafka_connections", "Open connections of Kafka clients.", F(kafka.connections_open), GAUGE},
	{"bide_kafka_connections_total", "Connections of Kafka clients accepted.", F(kafka.connections_total), COUNTER},
	{"bide_kafka_connections_refused_total", "Connections of Kafka clients refused over the limit.",
	 F(kafka.connections_refused), COUNTER},
	{"bide_kafka_requests_total", "Requests of Kafka clients.", F(kafka.requests_total), COUNTER},
	{"bide_kafka_received_bytes_total", "Bytes received from Kafka clients.", F(kafka.bytes_in_total), COUNTER},
	{"bide_kafka_sent_bytes_total", "Bytes sent to Kafka clients.", F(kafka.bytes_out_total), COUNTER},
	{"bide_kafka_timeouts_total", "Kafka clients cut for slowness.", F(kafka.timeouts_total), COUNTER},
	{"bide_kafka_held", "Connections of Kafka clients whose next request waits for memory.", F(kafka.held), GAUGE},
	{"bide_kafka_throttled_total", "Answers that told a Kafka client to wait, since it had more than it may.",
	 F(kafka.throttled_total), COUNTER},
	{"bide_kafka_fetch_sessions", "Sessions of Kafka clients that fetch.", F(kafka.sessions), GAUGE},
	{"bide_kafka_fetch_session_partitions", "Partitions in these sessions.", F(kafka.session_partitions), GAUGE},
	{"bide_kafka_parked", "Requests of Kafka clients parked.", F(kafka.parked), GAUGE},
	{"bide_waits_parked", "Requests parked.", F(http.parked), GAUGE},
	{"bide_waits_answered_total", "Waits that were woken and answered.", F(api.answered_total), COUNTER},
	{"bide_waits_expired_total", "Waits that ended at their deadline.", F(api.expired_total), COUNTER},
	{"bide_waits_gone_total", "Waits whose client left.", F(api.gone_total), COUNTER},
	{"bide_waits_drained_total", "Waits ended because the server leaves.", F(api.drained_total), COUNTER},
	{"bide_claims_parked", "Workers waiting for a job.", F(sequencer.claims_parked), GAUGE},
	{"bide_jobs", "Jobs known, finished and expired ones too.", F(sequencer.jobs), GAUGE},
	{"bide_queues", "Queues known.", F(sequencer.queues), GAUGE},
	{"bide_streams", "Streams known.", F(sequencer.streams), GAUGE},
	{"bide_subscriptions", "Subscriptions known.", F(sequencer.subscriptions), GAUGE},
	{"bide_groups", "Groups of Kafka consumers known.", F(sequencer.groups), GAUGE},
	{"bide_group_members", "Members of these groups.", F(sequencer.group_members), GAUGE},
	{"bide_group_consumers", "Those of them to whom the server assigns partitions.", F(sequencer.consumer_members), GAUGE},
	{"bide_group_assignments_total", "Assignments of partitions made.", F(sequencer.assignments_total), COUNTER},
	{"bide_webhooks_pending", "Webhooks in line or under way.", F(webhooks.pending), GAUGE},
	{"bide_events_total", "Events applied.", F(sequencer.events_total), COUNTER},
	{"bide_commands_total", "Commands applied.", F(sequencer.commands_total), COUNTER},
	{"bide_wakes_total", "Wakes sent to waits.", F(sequencer.wakes_total), COUNTER},
	{"bide_offers_total", "Jobs offered to workers.", F(sequencer.offers_total), COUNTER},
	{"bide_lost_handoffs_total", "Offers whose worker had gone.", F(sequencer.lost_handoffs_total), COUNTER},
	{"bide_lease_timeouts_total", "Leases that ran out.", F(sequencer.timeouts_total), COUNTER},
	{"bide_compactions_total", "Partitions compacted.", F(sequencer.compactions_total), COUNTER},
	{"bide_compactions_failed_total", "Compactions given up over bytes that cannot be read.",
	 F(sequencer.compactions_failed_total), COUNTER},
	{"bide_compacted_bytes_total", "Bytes let go by compaction.", F(sequencer.compacted_bytes_total), COUNTER},
	{"bide_messages_held", "Answers and wakes waiting for their commit.", F(sequencer.waiting_messages), GAUGE},
	{"bide_journal_durable_bytes", "Journal position up to which all is durable.", F(journal.durable_position), GAUGE},
	{"bide_journal_end_bytes", "Journal position of the end.", F(journal.end_position), GAUGE},
	{"bide_journal_segments", "Segments on the disk.", F(journal.segment_count), GAUGE},
	{"bide_journal_disk_bytes", "Disk space of segments, blobs and checkpoint.", F(journal.disk_bytes), GAUGE},
	{"bide_journal_blobs", "Blob files.", F(journal.blob_count), GAUGE},
	{"bide_journal_commits_total", "Group commits.", F(journal.commit_count), COUNTER},
	{"bide_journal_commit_bytes_total", "Bytes written by group commits.", F(journal.commit_bytes), COUNTER},
	{"bide_journal_syncs_total", "fdatasync calls.", F(journal.sync_count), COUNTER},
	{"bide_journal_sync_seconds_total", "Time in fdatasync.", F(journal.sync_ns_total), SECONDS_NS},
};

static void metric_write(const struct metric *metric, const struct figures *f, struct buf *out)
{
	uint64_t value;

	memcpy(&value, (const char *)f + metric->offset, sizeof(value));
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", metric->name, metric->help, metric->name,
		   metric->kind == GAUGE ? "gauge" : "counter", metric->name);
	if (metric->kind == SECONDS_NS)
		buf_printf(out, "%.6f\n", (double)value / 1e9);
	else
		buf_printf(out, "%llu\n", (unsigned long long)value);
}

/* Bucket i holds what took up to 64 µs << i; the last one the rest. */
static void histogram_write(struct buf *out, const char *name, const char *help, const uint64_t *bucket, size_t buckets,
			    uint64_t count, uint64_t sum_us)
{
	uint64_t so_far = 0;

	buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
	for (size_t i = 0; i + 1 < buckets; i++) {
		so_far += bucket[i];
		buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, (double)(64ULL << i) / 1e6, (unsigned long long)so_far);
	}
	buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n", name, (unsigned long long)count, name,
		   (double)sum_us / 1e6, name, (unsigned long long)count);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *value, uint64_t number)
{
	buf_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)number);
}

/* Figures of one name, told apart by a label. */
struct labelled_metric {
	size_t offset;
	const char *value;
};

static void labelled_all(struct buf *out, const struct figures *f, const char *name, const char *label,
			 const struct labelled_metric rows[], size_t count)
{
	uint64_t number;

	for (size_t i = 0; i < count; i++) {
		memcpy(&number, (const char *)f + rows[i].offset, sizeof(number));
		labelled(out, name, label, rows[i].value, number);
	}
}

void server_metrics(void *ctx, struct buf *out)
{
	static const struct {
		enum outcome outcome;
		const char *name;
	} refusals[] = {
		{OUTCOME_QUEUE_FULL, "queue_jobs"}, {OUTCOME_FULL, "server"},     {OUTCOME_NO_SPACE, "disk"},
		{OUTCOME_NO_MEMORY, "memory"},      {OUTCOME_STORAGE, "storage"}, {OUTCOME_FENCED, "fenced"},
	};
	static const struct labelled_metric kinds[] = {
		{F(api.parked_job), "job"},     {F(api.parked_result), "result"}, {F(api.parked_submit), "submit"},
		{F(api.parked_claim), "claim"}, {F(api.parked_many), "many"},     {F(api.parked_stream), "stream"},
	};
	static const struct labelled_metric broken[] = {
		{F(kafka.broken_total[KAFKA_BROKEN_LENGTH]), "length"},
		{F(kafka.broken_total[KAFKA_BROKEN_UNKNOWN]), "unknown"},
		{F(kafka.broken_total[KAFKA_BROKEN_MALFORMED]), "malformed"},
		{F(kafka.broken_total[KAFKA_BROKEN_MEMORY]), "memory"},
	};
	static const struct labelled_metric hooks[] = {
		{F(webhooks.done_total), "done"},
		{F(webhooks.answered_total), "answered"},
		{F(webhooks.failed_total), "failed"},
	};
	struct thread *thread = ctx;
	struct figures f;

	gather(thread->server, &f);
	buf_printf(out, "# HELP bide_info Version.\n# TYPE bide_info gauge\nbide_info{version=\"%s\"} 1\n", BIDE_VERSION);
	for (size_t i = 0; i < ARRAY_COUNT(metrics); i++)
		metric_write(&metrics[i], &f, out);
	buf_append_str(out, "# HELP bide_jobs_state Jobs by state.\n# TYPE bide_jobs_state gauge\n");
	for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
		labelled(out, "bide_jobs_state", "state", job_state_name((enum job_state)i), f.sequencer.jobs_by_state[i]);
	buf_append_str(out, "# HELP bide_refused_total Commands refused, by reason.\n# TYPE bide_refused_total counter\n");
	for (size_t i = 0; i < ARRAY_COUNT(refusals); i++)
		labelled(out, "bide_refused_total", "reason", refusals[i].name, f.sequencer.refused_total[refusals[i].outcome]);
	buf_append_str(out, "# HELP bide_kafka_broken_total Connections of Kafka clients ended for what was sent on them.\n"
			    "# TYPE bide_kafka_broken_total counter\n");
	labelled_all(out, &f, "bide_kafka_broken_total", "reason", broken, ARRAY_COUNT(broken));
	buf_append_str(out, "# HELP bide_webhooks_total Webhooks, by what became of them.\n# TYPE bide_webhooks_total counter\n");
	labelled_all(out, &f, "bide_webhooks_total", "result", hooks, ARRAY_COUNT(hooks));
	buf_append_str(out, "# HELP bide_waits_kind Requests parked, by kind.\n# TYPE bide_waits_kind gauge\n");
	labelled_all(out, &f, "bide_waits_kind", "kind", kinds, ARRAY_COUNT(kinds));
	histogram_write(out, "bide_journal_commit_seconds", "Time of a group commit.", f.commits.bucket,
			ARRAY_COUNT(f.commits.bucket), f.commits.count, f.commits.sum_us);
	histogram_write(out, "bide_wake_seconds", "From durable to answered, of a wait.", f.api.wake_bucket, API_LATENCY_BUCKETS,
			f.api.wake_count, f.api.wake_sum_us);
}

static void limits_write(const struct config *config, struct buf *out)
{
	char value[64];

	json_key(out, "limits");
	json_open(out, '{');
	for (size_t i = 0; i < setting_count; i++) {
		if (settings[i].kind == SETTING_TEXT || settings[i].kind == SETTING_FLAG || settings[i].kind == SETTING_SYNC ||
		    settings[i].kind == SETTING_CHOICE)
			continue;
		config_value(config, &settings[i], value, sizeof(value));
		json_key(out, settings[i].name);
		json_str(out, slice_str(value));
	}
	json_close(out, '}');
}

void server_info(void *ctx, struct buf *out)
{
	struct thread *thread = ctx;
	struct server *server = thread->server;
	uint64_t up_ms = clock_monotonic_ms() - server->started_ms;
	struct figures f;
	char sync[64] = "";

	gather(server, &f);
	pthread_mutex_lock(&server->stats_lock);
	for (size_t i = 0; i < setting_count; i++) {
		if (settings[i].kind == SETTING_SYNC)
			config_value(server->config, &settings[i], sync, sizeof(sync));
	}
	limits_write(server->config, out);
	pthread_mutex_unlock(&server->stats_lock);
	json_key(out, "uptime");
	json_fixed(out, (double)up_ms / 1000, 3);
	json_key(out, "started");
	json_time(out, server->started_ms + server->unix_offset_ms);
	json_key(out, "sync");
	json_str(out, slice_str(sync));
	json_key(out, "threads");
	json_u64(out, server->thread_count);
	json_key(out, "pid");
	json_u64(out, (uint64_t)getpid());
	json_key(out, "journal");
	json_open(out, '{');
	json_key(out, "durable");
	json_u64(out, f.journal.durable_position);
	json_key(out, "segments");
	json_u64(out, f.journal.segment_count);
	json_key(out, "bytes");
	json_u64(out, f.journal.disk_bytes);
	json_key(out, "full");
	json_bool(out, f.journal.full);
	json_close(out, '}');
	json_key(out, "waits");
	json_open(out, '{');
	json_key(out, "parked");
	json_u64(out, f.http.parked);
	json_key(out, "claims");
	json_u64(out, f.sequencer.claims_parked);
	json_close(out, '}');
	json_key(out, "connections");
	json_u64(out, f.http.connections_open);
	json_key(out, "draining");
	json_bool(out, atomic_load(&server->draining));
}
