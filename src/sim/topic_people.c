/* Who makes topics, changes and deletes them, looks, lets records go; and what all that ask of topics have in common. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *topic_name_of(unsigned topic)
{
	static const char *const names[TOPIC_NAMES] = {"alpha", "beta", "gamma", "rare"};

	return names[topic % TOPIC_NAMES];
}

struct ask *question_new(struct world *world, struct loop *loop, enum command_kind kind)
{
	struct ask *ask = ask_new(world, loop, kind);

	ask->more = calloc(1, sizeof(struct question));
	ENSURE(ask->more);
	return ask;
}

struct topic_ref any_ref(struct world *world, struct ask *ask, unsigned topic)
{
	struct topic_ref ref = {.name = ask_text(ask, "%s", topic_name_of(topic))};
	const struct model_topic *is = model_topic(&world->model.topics, &ref);

	return is && random_permille(&world->random, 200) ? (struct topic_ref){.id = is->id} : ref;
}

void topics_begin(struct world *world)
{
	for (unsigned i = 0; i < TOPIC_PRODUCERS; i++) {
		struct topic_producer *producer = &world->topics.producers[i];

		*producer = (struct topic_producer){.producer_id = -1, .kind = (enum producer_kind)(i < 2 ? 0 : i < 7 ? 1 : 2)};
		if (producer->kind == PRODUCER_TRANSACTIONAL)
			snprintf(producer->id, sizeof(producer->id), "x%u", i % TOPIC_TXN_IDS);
	}
	for (unsigned i = 0; i < TOPIC_FETCHERS; i++) {
		struct fetcher *fetcher = &world->topics.fetchers[i];

		*fetcher = (struct fetcher){.world = world, .committed = i % 2, .count = 1 + i % PARTS_MAX};
		list_init(&fetcher->timer.node);
		for (size_t n = 0; n < fetcher->count; n++) {
			fetcher->topics[n] = (unsigned)(i + n) % TOPIC_NAMES;
			fetcher->partitions[n] = (unsigned)(i / 4 + n) % 3;
		}
	}
}

void topics_end(struct world *world)
{
	free(world->topics.ends);
	free(world->topics.fates);
}

/* Whoever was asking hears nothing. */
void topics_crash(struct world *world)
{
	for (unsigned i = 0; i < TOPIC_PRODUCERS; i++) {
		struct topic_producer *producer = &world->topics.producers[i];

		if (producer->ask && producer->kind == PRODUCER_PLAIN)
			producer->pending_count = 0;
		producer->ask = NULL;
	}
	for (unsigned i = 0; i < TOPIC_FETCHERS; i++) {
		struct fetcher *fetcher = &world->topics.fetchers[i];

		if (!list_empty(&fetcher->timer.node))
			wheel_remove(fetcher->loop->wheel, &fetcher->timer);
		fetcher->ask = NULL;
		fetcher->state = FETCHER_AWAY;
	}
}

void topics_say(const struct world *world)
{
	const struct topic_world *t = &world->topics;

	printf("sim:   topics: %" PRIu64 " made, %" PRIu64 " grown, %" PRIu64 " deleted, %" PRIu64 " batches, %" PRIu64
	       " repeats, %" PRIu64 " gaps, %" PRIu64 " stale, %" PRIu64 " refused, %" PRIu64 " committed, %" PRIu64
	       " aborted, %" PRIu64 " by time, %" PRIu64 " fetches, %" PRIu64 " parked, %" PRIu64 " woken, %" PRIu64
	       " batches read, %" PRIu64 " hidden, %" PRIu64 " offsets asked, %" PRIu64 " let go, %" PRIu64
	       " offsets committed\n",
	       t->made, t->grown, t->deleted, t->produced, t->same, t->gaps, t->stale, t->refused, t->committed, t->aborted,
	       t->timed_out, t->fetched, t->parked, t->woken, t->records, t->hidden, t->listed, t->dropped, t->offsets);
}

/* --- the operator --- */

static void change_settings(struct world *world, struct ask *ask, struct question *q)
{
	static const char *const values[][5] = {
		{"retention.ms", "200", "1500", "4000", "-1"},
		{"retention.bytes", "700", "3000", "9000", "-1"},
		{"max.message.bytes", "150", "1000000", "300", "250"},
		{"message.timestamp.type", "LogAppendTime", "CreateTime", "CreateTime", "nonsense"},
		{"cleanup.policy", "compact", "compact,delete", "delete", "nonsense"},
		{"cleanup.policy", "compact", "compact", "compact,delete", "delete"},
		{"delete.retention.ms", "0", "100", "1000", "nonsense"},
		{"min.cleanable.dirty.ratio", "0", "0.2", "0.9", "nonsense"},
		{"min.compaction.lag.ms", "0", "20", "400", "nonsense"},
		{"max.compaction.lag.ms", "100", "1000", "100000", "nonsense"},
		{"no.such.setting", "1", "2", "3", "4"}};
	size_t count = random_below(&world->random, SETTINGS_MAX + 1);

	for (size_t i = 0; i < count; i++) {
		uint64_t which = random_below(&world->random, ARRAY_COUNT(values) - random_permille(&world->random, 950));
		uint64_t value = random_between(&world->random, 1, random_permille(&world->random, 100) ? 4 : 3);

		q->settings[i] =
			(struct topic_setting_change){.setting = {slice_str(values[which][0]), slice_str(values[which][value])}};
		if (ask->command.kind == COMMAND_TOPIC_CONFIG && ask->command.in.topics_change.incremental &&
		    random_permille(&world->random, 200))
			q->settings[i].op = SETTING_DELETE;
	}
	q->change.settings = q->settings;
	q->change.setting_count = count;
}

static void changes_topic(struct world *world, enum command_kind kind)
{
	struct ask *ask = question_new(world, any_loop(world), kind);
	struct question *q = question_of(ask);
	struct topics_change_in *in = &ask->command.in.topics_change;
	unsigned topic =
		(unsigned)random_below(&world->random, random_permille(&world->random, 900) ? TOPIC_NAMES - 1 : TOPIC_NAMES);

	q->change.topic = kind == COMMAND_TOPIC_CREATE ? (struct topic_ref){.name = ask_text(ask, "%s", topic_name_of(topic))}
						       : any_ref(world, ask, topic);
	if (kind == COMMAND_TOPIC_CREATE && random_permille(&world->random, 20))
		q->change.topic.name = SLICE("no/name");
	q->change.partitions = (uint32_t)random_between(&world->random, random_permille(&world->random, 50) ? 0 : 2,
							random_permille(&world->random, 50) ? 6 : TOPIC_PARTITIONS_ASKED);
	*in = (struct topics_change_in){.changes = &q->change,
					.count = 1,
					.validate_only = random_permille(&world->random, 50),
					.incremental = random_permille(&world->random, 700)};
	if (kind == COMMAND_TOPIC_CREATE || kind == COMMAND_TOPIC_CONFIG)
		change_settings(world, ask, q);
	ask_send(world, ask);
}

static void looks(struct world *world)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_TOPICS);
	struct question *q = question_of(ask);

	ask->command.in.topics = (struct topics_in){.count = 2, .settings = random_permille(&world->random, 500)};
	for (unsigned i = 0; i < 2; i++)
		q->refs[i] = any_ref(world, ask, (unsigned)random_below(&world->random, TOPIC_NAMES));
	if (random_permille(&world->random, 500))
		ask->command.in.topics.topics = q->refs;
	ask_send(world, ask);
}

static void listed(struct world *world, struct ask *ask)
{
	const struct list_offsets_in *in = &ask->command.in.list_offsets;
	const struct question *q = question_of(ask);

	for (size_t i = 0; i < in->count && ask->command.outcome == OUTCOME_OK; i++) {
		const struct offset_partition *p = &in->partitions[i];

		world->topics.listed++;
		if (p->outcome != OUTCOME_OK || p->offset < 0 || p->at >= 0)
			continue;
		if (p->at == OFFSET_EARLIEST)
			ends_told(world, q->streams[i], (struct told_ends){.start = (uint64_t)p->offset});
		else if (p->at == OFFSET_LATEST && in->committed)
			ends_told(world, q->streams[i], (struct told_ends){.stable = (uint64_t)p->offset});
		else if (p->at == OFFSET_LATEST)
			ends_told(world, q->streams[i], (struct told_ends){.high = (uint64_t)p->offset});
	}
}

static void lists_offsets(struct world *world)
{
	struct random *random = &world->random;
	struct ask *ask = question_new(world, any_loop(world), COMMAND_LIST_OFFSETS);
	struct question *q = question_of(ask);
	size_t count = random_between(random, 1, PARTS_MAX);

	for (size_t i = 0; i < count; i++) {
		q->offsets[i] =
			(struct offset_partition){.topic = any_ref(world, ask, (unsigned)random_below(random, TOPIC_NAMES)),
						  .partition = (uint32_t)random_below(random, TOPIC_PARTITIONS_ASKED)};
		q->offsets[i].at = random_permille(random, 700) ? -(int64_t)random_between(random, 1, 3)
								: (int64_t)(world->now_ms - random_below(random, 3000));
	}
	ask->command.in.list_offsets =
		(struct list_offsets_in){.partitions = q->offsets, .count = count, .committed = random_permille(random, 500)};
	ask->returned = listed;
	ask_send(world, ask);
}

static void lets_go(struct world *world)
{
	struct ask *ask = question_new(world, any_loop(world), COMMAND_DELETE_RECORDS);
	struct question *q = question_of(ask);
	unsigned topic = (unsigned)random_below(&world->random, TOPIC_NAMES);
	size_t count = random_between(&world->random, 1, 2);

	for (size_t i = 0; i < count; i++) {
		struct topic_ref ref = {.name = slice_str(topic_name_of(topic))};
		const struct model_partition *partition = model_partition_of(&world->model.topics, &ref, (uint32_t)i);
		uint64_t end = partition ? partition->stream->next_offset : 0;

		q->deletes[i] = (struct delete_records_partition){
			.topic = any_ref(world, ask, topic),
			.partition = (uint32_t)i,
			.offset = random_permille(&world->random, 100) ? -1 : (int64_t)random_below(&world->random, end + 2)};
	}
	ask->command.in.delete_records = (struct delete_records_in){.partitions = q->deletes, .count = count};
	ask_send(world, ask);
}

static bool is_missing(const struct world *world)
{
	return world->model.topics.live < TOPIC_NAMES - 1;
}

void topic_operator_acts(struct world *world)
{
	uint64_t drawn = random_below(&world->random, 100);

	if (is_missing(world) || drawn < 3)
		changes_topic(world, COMMAND_TOPIC_CREATE);
	else if (drawn < 12)
		changes_topic(world, COMMAND_TOPIC_PARTITIONS);
	else if (drawn < 22)
		changes_topic(world, COMMAND_TOPIC_CONFIG);
	else if (drawn < 24)
		changes_topic(world, COMMAND_TOPIC_DELETE);
	else if (drawn < 45)
		looks(world);
	else if (drawn < 90)
		lists_offsets(world);
	else
		lets_go(world);
}
