#include "server/server_priv.h"

#include "base/mem.h"

static void blob_release(void *ctx, const struct body_ref *blob)
{
	struct server *server = ctx;
	struct blob_release *release = mem_zalloc(sizeof(*release));

	if (!release)
		return; /* nothing names it: the next start removes it */
	release->message.kind = MESSAGE_RELEASE;
	release->blob = *blob;
	loop_send(server->threads[0].loop, &release->message.mail);
}

static struct http_limits limits_of(const struct config *c)
{
	return (struct http_limits){
		.header_count = (uint32_t)c->header_count,
		.header_bytes = (uint32_t)c->header_bytes,
		.target_bytes = (uint32_t)c->target_bytes,
		.pipeline = (uint32_t)c->pipeline,
		.connections = (uint32_t)c->connections,
		.header_timeout_ms = (uint32_t)c->header_timeout_ms,
		.body_timeout_ms = (uint32_t)c->body_timeout_ms,
		.idle_timeout_ms = (uint32_t)c->idle_timeout_ms,
		.write_timeout_ms = (uint32_t)c->write_timeout_ms,
		.output_bytes = (uint32_t)c->output_bytes,
		.body_bytes = c->body_bytes,
	};
}

static struct kafka_limits kafka_limits_of(const struct config *c)
{
	return (struct kafka_limits){
		.frame_bytes = (uint32_t)c->frame_bytes,
		.memory_bytes = c->kafka_memory_bytes,
		.answer_bytes = c->answer_bytes,
		.fetch_bytes = (uint32_t)c->fetch_bytes,
		.produce_rate = c->produce_rate,
		.fetch_rate = c->fetch_rate,
		.quota_clients = (uint32_t)c->quota_clients,
		.wait_items = (uint32_t)c->wait_items,
		.sessions = (uint32_t)c->fetch_sessions,
		.session_partitions = (uint32_t)c->fetch_session_partitions,
		.pipeline = (uint32_t)c->pipeline,
		.connections = (uint32_t)c->connections,
		.read_timeout_ms = (uint32_t)c->body_timeout_ms,
		.idle_timeout_ms = (uint32_t)c->kafka_idle_ms,
		.write_timeout_ms = (uint32_t)c->write_timeout_ms,
		.output_bytes = (uint32_t)c->output_bytes,
		.max_wait_ms = c->max_wait_ms,
		.topic_partitions = (uint32_t)c->topic_partitions,
		.consumer_session_ms = c->consumer_session_ms,
		.consumer_beat_ms = c->consumer_beat_ms,
		.auto_create = c->auto_create == 0,
	};
}

static struct sequencer_config sequencer_config_of(const struct config *c)
{
	struct sequencer_config of = sequencer_defaults;

	of.jobs_max = c->jobs;
	of.queue_jobs_max = c->queue_jobs;
	of.queues_max = c->queues;
	of.claims_max = c->claims;
	of.streams_max = c->streams;
	of.producers_max = c->producers;
	of.message_bytes_max = c->message_bytes;
	of.topics_max = c->topics;
	of.views_bytes_max = c->answer_bytes;
	of.topic_partitions_max = c->partitions;
	of.transactional_ids_max = c->transactional_ids;
	of.transaction_ms_max = c->transaction_ms;
	of.output_bytes_max = c->job_output_bytes;
	of.subscriptions_max = c->subscriptions;
	of.subscription_links_max = c->subscription_links;
	of.groups_max = c->groups;
	of.group_members_max = c->group_members;
	of.group_member_bytes_max = c->group_member_bytes;
	of.group_offsets_max = c->group_offsets;
	of.group_topics_max = c->group_topics;
	of.group_regex_max = c->group_regex_bytes;
	of.group_partitions_max = c->group_partitions;
	of.consumer_session_ms = c->consumer_session_ms;
	of.consumer_beat_ms = c->consumer_beat_ms;
	of.group_metadata_max = c->offset_metadata_bytes;
	of.group_session_min_ms = c->group_session_min_ms;
	of.group_session_max_ms = c->group_session_max_ms;
	of.group_first_delay_ms = c->group_delay_ms;
	of.group_retention_ms = c->group_retention_ms;
	of.compaction_interval_ms = c->compaction_interval_ms;
	of.delivery_lease_ms = c->delivery_lease_ms;
	of.tombstone_ms = c->tombstone_ms;
	of.retry_base_ms = c->retry_base_ms;
	of.retry_cap_ms = c->retry_cap_ms;
	return of;
}

struct tuning *tuning_new(struct server *server, const struct config *c)
{
	struct tuning *tuning = mem_zalloc(sizeof(*tuning));

	if (!tuning)
		return NULL;
	tuning->cors_origin = mem_dup(c->cors_origin, strlen(c->cors_origin));
	if (!tuning->cors_origin)
		return mem_free(tuning);
	tuning->http = (struct http_config){
		.limits = limits_of(c),
		.handler = api_handler(),
		.store = journal_store(server->journal),
		.blob_release = blob_release,
		.ctx = server,
		.cors_origin = slice_str(tuning->cors_origin),
	};
	tuning->api = (struct api_config){
		.default_wait_ms = c->default_wait_ms,
		.max_wait_ms = c->max_wait_ms,
		.many_items = c->wait_items,
		.body_bytes = c->body_bytes,
		.output_bytes = c->job_output_bytes < c->body_bytes ? c->job_output_bytes : c->body_bytes,
		.topic_partitions = (uint32_t)c->topic_partitions,
		.delivery_lease_ms = c->delivery_lease_ms,
		.version = BIDE_VERSION,
		.hook_signer = server->hook_signer,
		.hook_allow = (enum hook_allow)c->webhook_allow,
		.send = turn_send,
		.send_message = turn_send_message,
		.hook = turn_hook,
		.metrics = server_metrics,
		.info = server_info,
		.ready = server_is_ready,
		.draining = server_is_draining,
		.unix_ms = server_unix_ms,
	};
	tuning->kafka = (struct kafka_config){
		.limits = kafka_limits_of(c),
		.host = slice_str(server->kafka_host),
		.quotas = server->kafka_quotas,
		.port = server->kafka_port,
		.send = turn_send,
		.send_message = turn_send_message,
		.unix_ms = server_unix_ms,
		.keys_count = compactor_keys_count,
		.diag = server_diag,
	};
	tuning->sequencer = sequencer_config_of(c);
	return tuning;
}

void tunings_free(struct tuning *tuning)
{
	while (tuning) {
		struct tuning *older = tuning->older;

		mem_free(tuning->cors_origin);
		mem_free(tuning);
		tuning = older;
	}
}
