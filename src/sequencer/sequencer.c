/* Life, time and the way in. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

const struct sequencer_config sequencer_defaults = {
	.jobs_max = 10000000,
	.queue_jobs_max = 10000000,
	.queues_max = 100000,
	.claims_max = 1000000,
	.streams_max = 10000000,
	.producers_max = 10000,
	.topics_max = 10000,
	.views_bytes_max = 256 << 20,
	.topic_partitions_max = 1000,
	.message_bytes_max = 64 << 20,
	.transactional_ids_max = 100000,
	.transaction_ms_max = 900000,
	.output_bytes_max = 64 << 20,
	.subscriptions_max = 1000,
	.subscription_links_max = 10000,
	.groups_max = 10000,
	.group_members_max = 1000,
	.group_member_bytes_max = 1 << 20,
	.group_offsets_max = 100000,
	.group_metadata_max = 4096,
	.group_session_min_ms = 6000,
	.group_session_max_ms = 1800000,
	.group_first_delay_ms = 0,
	.group_topics_max = 1000,
	.group_regex_max = 1024,
	.group_partitions_max = 100000,
	.consumer_session_ms = 45000,
	.consumer_beat_ms = 5000,
	.group_retention_ms = 7ULL * 24 * 3600 * 1000,
	.delivery_lease_ms = 5000,
	.tombstone_ms = 3600000,
	.retry_base_ms = 1000,
	.retry_cap_ms = 600000,
	.gather_chunks = 256,
	.gather_bytes = 256 * 1024,
	.compaction_interval_ms = 15000,
	.compaction_chunks = 1024,
	.lazy_ms = 20,
};

static void tables_deinit(struct sequencer *s, unsigned count)
{
	if (count > 4)
		groups_deinit(&s->groups);
	if (count > 3)
		subscriptions_deinit(&s->subs);
	if (count > 2)
		topics_deinit(&s->topics);
	if (count > 1)
		streams_deinit(&s->streams);
	if (count > 0)
		jobs_deinit(&s->jobs);
}

enum { TABLES = 5 };

static int tables_init(struct sequencer *s, const struct hash_key *key)
{
	unsigned count = 0;
	int r = jobs_init(&s->jobs, s->store, key, s->config.tombstone_ms);

	if (!r && ++count)
		r = streams_init(&s->streams, s->store, key);
	if (!r && ++count)
		r = topics_init(&s->topics, key);
	if (!r && ++count)
		r = subscriptions_init(&s->subs, key);
	if (!r && ++count)
		r = groups_init(&s->groups, key);
	if (r)
		tables_deinit(s, count);
	return r;
}

struct sequencer *sequencer_new(const struct sequencer_config *config, struct store *store, const uint8_t seed[16])
{
	struct sequencer *s = mem_zalloc(sizeof(*s));
	struct hash_key key = {0};

	if (!s)
		return NULL;
	s->config = *config;
	s->store = store;
	memcpy(s->seed, seed, sizeof(s->seed));
	memcpy(&key, seed, sizeof(key));
	/* The tables' key must not be the secret itself. */
	key = (struct hash_key){hash_u64(&key, 4, 0), hash_u64(&key, 4, 1)};
	list_init(&s->dirty);
	list_init(&s->parked);
	list_init(&s->compacting.queue);
	hash_init(&s->claims);
	outputs_init(s);
	follows_init(s);
	if (tables_init(s, &key))
		return mem_free(s);
	s->relink_ms = UINT64_MAX;
	s->topics_version = 1;
	return s;
}

static void drop_all(struct mail_list *list)
{
	struct mail *mail;

	while ((mail = mail_pop(list))) {
		struct message *message = container_of(mail, struct message, mail);

		if (message->kind == MESSAGE_COMMAND)
			command_answer_deinit(container_of(message, struct command, message));
		else
			message_free(message);
	}
}

struct sequencer *sequencer_free(struct sequencer *s)
{
	if (!s)
		return NULL;
	drop_all(&s->held);
	for (unsigned t = 0; t < COMMAND_THREADS_MAX; t++)
		drop_all(&s->out[t]);
	claims_free(s);
	outputs_free(s);
	follows_free(s);
	tables_deinit(s, TABLES);
	buf_deinit(&s->fields);
	return mem_free(s);
}

void sequencer_configure(struct sequencer *s, const struct sequencer_config *config)
{
	s->config = *config;
	s->jobs.tombstone_ms = config->tombstone_ms;
}

static void replayed(struct sequencer *s, uint64_t time_ms, uint64_t end)
{
	if (time_ms > s->last_ms)
		s->last_ms = time_ms;
	if (end > s->appended_end)
		s->appended_end = end;
}

static int replay_stream(struct sequencer *s, const struct store_replay *entry)
{
	struct stream_event e = {
		.type = (enum stream_event_type)entry->type,
		.time_ms = entry->time_ms,
		.position = entry->position,
		.end = entry->end,
	};
	struct stream_prepared prepared;
	int r;

	if (entry->body_bytes)
		e.bytes = (struct body_ref){entry->body_place, entry->body_bytes, entry->body_crc, BODY_INLINE};
	r = stream_event_decode(&e, entry->fields);
	if (!r && e.count && !e.blob.kind && !e.bytes.kind && (e.type != STREAM_COMPACTED || e.kept_count))
		r = -EBADMSG; /* records without bytes */
	if (!r)
		r = streams_prepare(&s->streams, &e, &prepared);
	if (r)
		return r;
	streams_commit(&s->streams, &e, &prepared);
	replayed(s, e.time_ms, e.end);
	return 0;
}

static int replay_subscription(struct sequencer *s, const struct store_replay *entry)
{
	struct subscription_event e = {
		.type = (enum subscription_event_type)entry->type,
		.time_ms = entry->time_ms,
		.end = entry->end,
	};
	struct subscription_prepared prepared;
	int r = subscription_event_decode(&e, entry->fields);

	if (!r)
		r = subscriptions_prepare(&s->subs, &e, &prepared);
	if (r)
		return r;
	subscriptions_commit(&s->subs, &e, &prepared);
	replayed(s, e.time_ms, e.end);
	return 0;
}

static int replay_topic(struct sequencer *s, const struct store_replay *entry)
{
	struct topic_event e = {
		.type = (enum topic_event_type)entry->type,
		.time_ms = entry->time_ms,
		.end = entry->end,
	};
	struct topic_prepared prepared;
	const struct topic *topic;
	int r = topic_event_decode(&e, entry->fields);

	if (!r)
		r = topics_prepare(&s->topics, &e, &prepared);
	if (r)
		return r;
	topic = topic_find_number(&s->topics, e.number);
	if (topic && e.type == TOPIC_DELETED)
		groups_forget_topic(&s->groups, topic_name(topic), e.end);
	topics_commit(&s->topics, &e, &prepared);
	topic_follow(s, topic_find_number(&s->topics, e.number));
	replayed(s, e.time_ms, e.end);
	return 0;
}

static int replay_group(struct sequencer *s, const struct store_replay *entry)
{
	struct group_event e = {
		.type = (enum group_event_type)entry->type,
		.time_ms = entry->time_ms,
		.end = entry->end,
	};
	struct group_prepared prepared;
	int r = group_event_decode(&e, entry->fields);

	if (!r)
		r = groups_prepare(&s->groups, &e, &prepared);
	if (r)
		return r;
	groups_commit(&s->groups, &e, &prepared);
	replayed(s, e.time_ms, e.end);
	return 0;
}

int sequencer_replay(struct sequencer *s, const struct store_replay *entry)
{
	struct event e = {
		.type = (enum event_type)entry->type,
		.time_ms = entry->time_ms,
		.position = entry->position,
		.end = entry->end,
	};
	struct prepared prepared;
	int r;

	if (entry->type >= GROUP_EVENT_FIRST)
		return replay_group(s, entry);
	if (entry->type >= TOPIC_EVENT_FIRST)
		return replay_topic(s, entry);
	if (entry->type >= SUB_EVENT_FIRST)
		return replay_subscription(s, entry);
	if (entry->type >= STREAM_EVENT_FIRST)
		return replay_stream(s, entry);
	if (entry->body_bytes)
		e.bytes = (struct body_ref){entry->body_place, entry->body_bytes, entry->body_crc, BODY_INLINE};
	r = event_decode(&e, entry->fields);
	if (!r)
		r = jobs_prepare(&s->jobs, &e, &prepared);
	if (r)
		return r;
	jobs_commit(&s->jobs, &e, &prepared);
	replayed(s, e.time_ms, e.end);
	return 0;
}

int sequencer_replayed(struct sequencer *s)
{
	return streams_replayed(&s->streams);
}

int sequencer_start(struct sequencer *s, uint64_t now_ms)
{
	struct event e = {.type = EVENT_INIT, .secret = slice_from(s->seed, sizeof(s->seed))};
	int r;

	jobs_restore_order(&s->jobs);
	s->now_ms = now_ms > s->last_ms ? now_ms : s->last_ms;
	if (!s->jobs.has_secret) {
		enum outcome outcome = emit(s, &e, NULL, (struct slice){0});

		if (outcome != OUTCOME_OK)
			return outcome == OUTCOME_NO_SPACE ? -ENOSPC : outcome == OUTCOME_NO_MEMORY ? -ENOMEM : -EIO;
	}
	handle_keys(s);
	r = sequencer_replayed(s);
	if (r)
		return r;
	if (outputs_restore(s))
		return -ENOMEM;
	/* When somebody last read is not written down: whoever can expire begins anew. */
	for (struct stream *stream = stream_next_after(&s->streams, 0); stream;
	     stream = stream_next_after(&s->streams, stream->number))
		stream_touch(&s->streams, stream, s->now_ms);
	topics_start(s);
	subscriptions_start(s);
	groups_start(s);
	return 0;
}

uint64_t sequencer_last_ms(const struct sequencer *s)
{
	return s->last_ms;
}

/* --- time --- */

static enum outcome end_of_time(struct sequencer *s, struct job *job)
{
	return emit_plain(s, job->expired ? EVENT_FORGOTTEN : EVENT_EXPIRED, job);
}

static enum outcome deadline_came(struct sequencer *s, struct job *job)
{
	enum outcome outcome;

	if (!job_state_is_terminal((enum job_state)job->state) && job->cancel_at_ms && job->cancel_at_ms <= s->now_ms)
		return emit_plain(s, EVENT_CANCELED, job);
	switch ((enum job_state)job->state) {
	case JOB_DELAYED:
		outcome = emit_plain(s, EVENT_READY, job);
		if (outcome == OUTCOME_OK)
			queue_touch(s, job->queue);
		return outcome;
	case JOB_OFFERED:
		if (!job->offer_until_ms) /* offered before this start */
			return lease_timed_out(s, job);
		outcome = emit_plain(s, EVENT_UNOFFERED, job);
		if (outcome == OUTCOME_OK) {
			s->stats.lost_handoffs_total++;
			queue_touch(s, job->queue);
		}
		return outcome;
	case JOB_RUNNING:
		return lease_timed_out(s, job);
	case JOB_DONE:
	case JOB_FAILED:
	case JOB_CANCELED:
		return end_of_time(s, job);
	case JOB_READY:
		break;
	}
	panic_at(__FILE__, __LINE__, "a ready job has no deadline but its cancel-after");
}

enum { RETRY_DEADLINE_MS = 1000 };

static bool jobs_turn(struct sequencer *s, unsigned *limit)
{
	struct job *job;

	while ((job = jobs_next_deadline(&s->jobs)) && job->deadline_ms <= s->now_ms) {
		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		if (deadline_came(s, job) != OUTCOME_OK)
			job_postpone(&s->jobs, job, s->now_ms + RETRY_DEADLINE_MS);
	}
	return false;
}

static bool streams_turn(struct sequencer *s, unsigned *limit)
{
	struct stream *stream;

	while ((stream = streams_next_deadline(&s->streams)) && stream->more->deadline_ms <= s->now_ms) {
		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		if (stream_came_due(s, stream) != OUTCOME_OK)
			stream_postpone(&s->streams, stream, s->now_ms + RETRY_DEADLINE_MS);
	}
	return false;
}

bool sequencer_turn(struct sequencer *s, uint64_t now_ms, unsigned limit)
{
	if (now_ms > s->now_ms)
		s->now_ms = now_ms;
	outputs_turn(s);
	return jobs_turn(s, &limit) || streams_turn(s, &limit) || subscriptions_turn(s, &limit) || txns_turn(s, &limit) ||
	       groups_turn(s, &limit);
}

uint64_t sequencer_next_ms(const struct sequencer *s)
{
	const struct job *job = jobs_next_deadline(&s->jobs);
	const struct stream *stream = streams_next_deadline(&s->streams);
	uint64_t at_ms = job ? job->deadline_ms : UINT64_MAX;

	if (stream && stream->more->deadline_ms < at_ms)
		at_ms = stream->more->deadline_ms;
	if (outputs_next_ms(s) < at_ms)
		at_ms = outputs_next_ms(s);
	if (subscriptions_next_ms(s) < at_ms)
		at_ms = subscriptions_next_ms(s);
	if (txns_next_ms(s) < at_ms)
		at_ms = txns_next_ms(s);
	if (groups_next_ms(s) < at_ms)
		at_ms = groups_next_ms(s);
	return s->failed ? UINT64_MAX : at_ms;
}

/* --- the way in --- */

static void (*const commands[COMMAND_COUNT])(struct sequencer *s, struct command *c) = {
	[COMMAND_SUBMIT] = command_submit,
	[COMMAND_JOBS] = command_jobs,
	[COMMAND_CANCEL] = command_cancel,
	[COMMAND_LIST] = command_list,
	[COMMAND_CLAIM] = command_claim,
	[COMMAND_CLAIM_CANCEL] = command_claim_cancel,
	[COMMAND_DELIVERED] = command_delivered,
	[COMMAND_BODY] = command_body,
	[COMMAND_BEAT] = command_beat,
	[COMMAND_DONE] = command_done,
	[COMMAND_FAIL] = command_fail,
	[COMMAND_RELEASE] = command_release,
	[COMMAND_KICK] = command_kick,
	[COMMAND_QUEUE] = command_queue,
	[COMMAND_QUEUES] = command_queues,
	[COMMAND_QUEUE_SET] = command_queue_set,
	[COMMAND_STREAM_CREATE] = command_stream_create,
	[COMMAND_STREAM_APPEND] = command_stream_append,
	[COMMAND_STREAM_DELETE] = command_stream_delete,
	[COMMAND_STREAM_READ] = command_stream_read,
	[COMMAND_STREAM_LIST] = command_stream_list,
	[COMMAND_MANY] = command_many,
	[COMMAND_SUB_CREATE] = command_sub_create,
	[COMMAND_SUB_GET] = command_sub_get,
	[COMMAND_SUB_DELETE] = command_sub_delete,
	[COMMAND_SUB_LINK] = command_sub_link,
	[COMMAND_SUB_UNLINK] = command_sub_unlink,
	[COMMAND_SUB_CLAIM] = command_sub_claim,
	[COMMAND_SUB_ACK] = command_sub_ack,
	[COMMAND_SUB_RELEASE] = command_sub_release,
	[COMMAND_SUB_HOOKED] = command_sub_hooked,
	[COMMAND_OUTPUT_APPEND] = command_output_append,
	[COMMAND_TOPIC_CREATE] = command_topic_create,
	[COMMAND_TOPIC_PARTITIONS] = command_topic_partitions,
	[COMMAND_TOPIC_CONFIG] = command_topic_config,
	[COMMAND_TOPIC_DELETE] = command_topic_delete,
	[COMMAND_TOPICS] = command_topics,
	[COMMAND_PRODUCE] = command_produce,
	[COMMAND_FETCH] = command_fetch,
	[COMMAND_LIST_OFFSETS] = command_list_offsets,
	[COMMAND_DELETE_RECORDS] = command_delete_records,
	[COMMAND_PRODUCER_ID] = command_producer_id,
	[COMMAND_TXN_ADD] = command_txn_add,
	[COMMAND_TXN_OFFSETS] = command_txn_offsets,
	[COMMAND_TXN_END] = command_txn_end,
	[COMMAND_TXNS] = command_txns,
	[COMMAND_PRODUCERS] = command_producers,
	[COMMAND_GROUP_JOIN] = command_group_join,
	[COMMAND_GROUP_SYNC] = command_group_sync,
	[COMMAND_GROUP_CANCEL] = command_group_cancel,
	[COMMAND_GROUP_BEAT] = command_group_beat,
	[COMMAND_GROUP_LEAVE] = command_group_leave,
	[COMMAND_CONSUMER_BEAT] = command_consumer_beat,
	[COMMAND_GROUP_COMMIT] = command_group_commit,
	[COMMAND_GROUP_FORGET] = command_group_forget,
	[COMMAND_GROUP_OFFSETS] = command_group_offsets,
	[COMMAND_GROUP_GET] = command_group_get,
	[COMMAND_GROUP_DELETE] = command_group_delete,
	[COMMAND_GROUPS] = command_groups,
};

static void apply(struct sequencer *s, struct command *c)
{
	s->stats.commands_total++;
	if (s->failed) /* what it would tell may never become durable */
		reply(s, c, OUTCOME_STORAGE, 0);
	else
		commands[c->kind](s, c);
}

void sequencer_message(struct sequencer *s, struct message *message)
{
	struct blob_release *release;

	if (message->kind == MESSAGE_COMMAND) {
		apply(s, container_of(message, struct command, message));
		return;
	}
	if (message->kind == MESSAGE_STREAM_LEFT) {
		stream_left(s, container_of(message, struct stream_left, message));
		message_free(message);
		return;
	}
	if (message->kind == MESSAGE_STREAM_GREW) {
		follow_end(s, container_of(message, struct stream_growth, message));
		message_free(message);
		return;
	}
	ENSURE(message->kind == MESSAGE_RELEASE);
	release = container_of(message, struct blob_release, message);
	s->store->ops->body_release(s->store, &release->blob);
	message_free(message);
}

void sequencer_settle(struct sequencer *s)
{
	struct list again; /* whom lack of memory kept from being served: at the next settle */

	list_init(&again);
	while (!list_empty(&s->dirty)) {
		struct queue *queue = list_first(&s->dirty, struct queue, dirty);

		list_remove(&queue->dirty);
		if (!claim_serve(s, queue))
			list_push_back(&again, &queue->dirty);
	}
	list_splice(&s->dirty, &again);
	subscriptions_settle(s);
	follows_settle(s);
}

void sequencer_stats(const struct sequencer *s, struct sequencer_stats *ret_stats)
{
	*ret_stats = s->stats;
	ret_stats->jobs = s->jobs.count;
	ret_stats->queues = s->jobs.queue_count;
	ret_stats->streams = s->streams.count;
	ret_stats->topics = s->topics.count;
	ret_stats->subscriptions = s->subs.count;
	ret_stats->groups = s->groups.count;
	ret_stats->group_members = s->groups.member_count + s->groups.consumer_count;
	ret_stats->consumer_members = s->groups.consumer_count;
	ret_stats->claims_parked = s->claim_count;
	ret_stats->waiting_messages = s->held_count;
	memcpy(ret_stats->jobs_by_state, s->jobs.count_by_state, sizeof(ret_stats->jobs_by_state));
}

void sequencer_check(const struct sequencer *s)
{
	size_t places = 0;

	jobs_check(&s->jobs);
	streams_check(&s->streams);
	topics_check(&s->topics);
	outputs_check(s);
	subscriptions_verify(s);
	follows_check(s);
	groups_check(&s->groups);
	list_each (node, &s->jobs.queues) {
		struct queue *queue = container_of(node, struct queue, peers);
		size_t here = 0;

		list_each (place, &queue->claims) {
			ENSURE(container_of(place, struct claim_place, node)->queue == queue);
			here++;
		}
		ENSURE(here == queue->claim_count);
		places += here;
		/* Work and waiters never stand beside each other once settled. */
		ENSURE(!list_empty(&queue->dirty) || queue->paused || queue->ready.count == 0 || here == 0);
	}
	ENSURE(places >= s->claim_count);
}
