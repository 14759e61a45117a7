/* Topics: made, grown, configured, deleted.
 *
 * A topic's partitions are streams that are made before the topic and deleted behind it: a journal that ends between leaves
 * streams that are no topic's, and the next start deletes them. So there is one event that makes a topic, and one that ends it.
 *
 * How long records are kept follows from what is set of the topic, and is told to its streams with each event about it, replayed
 * or new. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "topic/partitioner.h"

#include <errno.h>

#define PARTITION_TYPE "application/octet-stream"
enum { PARTITION_PATH_MAX = TOPIC_NAME_MAX + 12 };

/* --- events --- */

/* What ends something, or says what is kept no more. */
static bool uses_reserve(const struct topic_event *e)
{
	return e->type == TOPIC_DELETED || e->type == TOPIC_CONFIGURED || (e->type == TOPIC_TXN && e->state > TXN_ONGOING);
}

static int append(struct sequencer *s, struct topic_event *e)
{
	struct store_appended appended;
	int r;

	buf_clear(&s->fields);
	topic_event_encode(e, &s->fields);
	r = append_entry(s, &(struct store_entry){.time_ms = e->time_ms, .type = (uint8_t)e->type, .reserve = uses_reserve(e)},
			 &appended);
	if (r)
		return r;
	e->end = appended.end;
	return 0;
}

enum outcome topic_emit(struct sequencer *s, struct topic_event *e, struct topic *topic)
{
	struct topic_prepared prepared;
	int r;

	if (s->failed)
		return OUTCOME_STORAGE;
	e->time_ms = s->now_ms;
	e->end = UINT64_MAX;
	if (topic)
		e->number = topic->number;
	r = topics_prepare(&s->topics, e, &prepared);
	if (r)
		return outcome_of(r);
	r = append(s, e);
	if (r) {
		topics_unprepare(&prepared);
		return outcome_of(r);
	}
	s->stats.events_total++;
	if (e->type == TOPIC_DELETED)
		groups_forget_topic(&s->groups, topic_name(topic), e->end);
	topics_commit(&s->topics, e, &prepared);
	if (e->type == TOPIC_CREATED || e->type == TOPIC_GROWN || e->type == TOPIC_DELETED)
		s->topics_version++;
	topic_follow(s, topic_find_number(&s->topics, e->number));
	return OUTCOME_OK;
}

void topic_follow(struct sequencer *s, const struct topic *topic)
{
	if (!topic)
		return;
	for (uint32_t i = 0; i < topic->partition_count; i++) {
		struct stream *stream = stream_find_number(&s->streams, topic->partitions[i]);

		if (!stream || !(stream->flags & STREAM_TOPIC))
			continue;
		stream_retain(&s->streams, stream, topic->limits.retention_ms, topic->limits.retention_bytes);
		stream_compact_follow(s, stream, topic->limits.compact);
	}
}

/* --- partitions --- */

struct topic *topic_of(const struct sequencer *s, const struct topic_ref *ref)
{
	return ref->name.len ? topic_find(&s->topics, ref->name) : topic_find_id(&s->topics, &ref->id);
}

struct stream *partition_find(const struct sequencer *s, const struct topic *topic, uint32_t partition)
{
	return topic && partition < topic->partition_count ? stream_find_number(&s->streams, topic->partitions[partition]) : NULL;
}

static struct slice partition_path(struct slice name, uint32_t partition, char room[PARTITION_PATH_MAX])
{
	char digits[10];
	size_t count = 0;

	do {
		digits[sizeof(digits) - ++count] = (char)('0' + partition % 10);
		partition /= 10;
	} while (partition);
	memcpy(room, name.ptr, name.len);
	room[name.len] = '/';
	memcpy(room + name.len + 1, digits + sizeof(digits) - count, count);
	return slice_from(room, name.len + 1 + count);
}

/* Whose name stands before the last '/' of the path, if it is the partition of that topic which its number there says. */
struct topic *topic_of_partition(const struct sequencer *s, const struct stream *stream, uint32_t *ret_partition)
{
	struct slice path = stream_path(stream);
	uint64_t partition;
	size_t len = path.len;
	struct topic *topic;

	while (len && path.ptr[len - 1] != '/')
		len--;
	topic = len ? topic_find(&s->topics, slice_from(path.ptr, len - 1)) : NULL;
	if (!topic || slice_u64(slice_from(path.ptr + len, path.len - len), &partition) || partition >= topic->partition_count)
		return NULL;
	*ret_partition = (uint32_t)partition;
	return topic->partitions[partition] == stream->number ? topic : NULL;
}

struct topic *topic_of_stream(const struct sequencer *s, const struct stream *stream)
{
	uint32_t partition;

	return topic_of_partition(s, stream, &partition);
}

struct stream *topic_choose(struct sequencer *s, struct slice name, struct slice key, uint32_t *ret_partition)
{
	struct topic *topic = topic_find(&s->topics, name);

	if (!topic)
		return NULL;
	*ret_partition = key.ptr ? partition_of_key(key, topic->partition_count) : topic->turn++ % topic->partition_count;
	return partition_find(s, topic, *ret_partition);
}

/* Those of the `count` streams from `first` on that are there. */
static void partitions_delete(struct sequencer *s, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct stream *stream = stream_find_number(&s->streams, first + i);

		if (stream &&
		    stream_emit(s, &(struct stream_event){.type = STREAM_DELETED}, stream, (struct slice){0}) != OUTCOME_OK)
			return; /* the next start does it */
	}
}

static enum outcome partitions_can(struct sequencer *s, struct slice name, uint32_t from, uint32_t to)
{
	char room[PARTITION_PATH_MAX];

	if (to > s->config.topic_partitions_max || to > TOPIC_PARTITIONS_MAX)
		return OUTCOME_PARTITIONS;
	if (s->streams.count + (to - from) > s->config.streams_max)
		return OUTCOME_FULL;
	for (uint32_t i = from; i < to; i++) {
		const struct stream *stream = stream_find(&s->streams, partition_path(name, i, room));

		if (stream && (!(stream->flags & STREAM_TOPIC) || topic_of_stream(s, stream)))
			return OUTCOME_CONFLICT;
	}
	return OUTCOME_OK;
}

/* Partitions from … to - 1 of a topic; *ret_first is the number of the first. When one cannot be made, none is. */
static enum outcome partitions_make(struct sequencer *s, struct slice name, uint32_t from, uint32_t to, uint64_t *ret_first)
{
	uint64_t first = s->streams.next_number;
	enum outcome outcome = OUTCOME_OK;
	char room[PARTITION_PATH_MAX];

	for (uint32_t i = from; i < to && outcome == OUTCOME_OK; i++) {
		struct stream_event e = {
			.type = STREAM_CREATED,
			.number = s->streams.next_number,
			.path = partition_path(name, i, room),
			.content_type = SLICE(PARTITION_TYPE),
			.flags = STREAM_TOPIC,
		};
		const struct stream *left = stream_find(&s->streams, e.path);

		if (left) /* by a topic that was not made, or not wholly deleted */
			partitions_delete(s, left->number, 1);
		outcome = stream_emit(s, &e, NULL, (struct slice){0});
	}
	if (outcome != OUTCOME_OK)
		partitions_delete(s, first, s->streams.next_number - first);
	*ret_first = first;
	return outcome;
}

void topics_start(struct sequencer *s)
{
	struct stream *stream, *next;

	for (stream = stream_next_after(&s->streams, 0); stream; stream = next) {
		next = stream_next_after(&s->streams, stream->number);
		if (stream->flags & STREAM_TOPIC && !topic_of_stream(s, stream))
			partitions_delete(s, stream->number, 1);
	}
	list_each (node, &s->topics.all)
		topic_follow(s, container_of(node, struct topic, peers));
}

/* --- create, grow --- */

/* What lies below the first two is the server's own. The others are where Apache Kafka keeps what is kept elsewhere here: whoever
 * looks for it there is not to find a topic that has just been made, and is empty. */
static bool is_reserved(struct slice name)
{
	static const char *const names[] = {
		"__jobs", "__ds", "__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (slice_eq(name, slice_str(names[i])))
			return true;
	}
	return false;
}

static void id_make(const struct sequencer *s, uint64_t number, struct topic_id *ret_id)
{
	uint64_t high = hash_u64(&s->topic_key, number, 1), low = hash_u64(&s->topic_key, number, 2);

	memcpy(ret_id->bytes, &high, sizeof(high));
	memcpy(ret_id->bytes + 8, &low, sizeof(low));
	ret_id->bytes[6] = (uint8_t)((ret_id->bytes[6] & 0x0f) | 0x40); /* as random UUIDs are, RFC 9562 §5.4 */
	ret_id->bytes[8] = (uint8_t)((ret_id->bytes[8] & 0x3f) | 0x80);
}

static enum outcome judge_create(struct sequencer *s, const struct topic_change *change)
{
	if (!topic_name_valid(change->topic.name) || is_reserved(change->topic.name))
		return OUTCOME_NAME;
	if (topic_find(&s->topics, change->topic.name))
		return OUTCOME_CONFLICT;
	if (change->partitions == 0)
		return OUTCOME_PARTITIONS;
	if (s->topics.count >= s->config.topics_max)
		return OUTCOME_FULL;
	return partitions_can(s, change->topic.name, 0, change->partitions);
}

uint64_t topic_message_max(const struct sequencer *s)
{
	uint64_t most = store_body_max(s->store);

	return s->config.message_bytes_max < most ? s->config.message_bytes_max : most;
}

/* What is set anew asks for no longer batches than there may be. */
static enum outcome settings_judge(const struct sequencer *s, struct topic_change *change)
{
	for (size_t i = 0; i < change->setting_count; i++) {
		const struct topic_setting *setting = &change->settings[i].setting;
		uint64_t bytes;

		if (!slice_eq(setting->key, SLICE("max.message.bytes")) || !setting->value.ptr ||
		    slice_u64(setting->value, &bytes) || bytes <= topic_message_max(s))
			continue;
		change->bad_key = setting->key;
		return OUTCOME_SETTING;
	}
	return OUTCOME_OK;
}

static enum outcome topic_create(struct sequencer *s, struct topic_change *change, const struct topics_change_in *in)
{
	struct topic_event e = {.type = TOPIC_CREATED, .name = change->topic.name, .count = change->partitions};
	enum outcome outcome = judge_create(s, change);
	struct buf settings = {0};

	if (outcome == OUTCOME_OK)
		outcome = topic_settings_change(NULL, change, false, &settings);
	if (outcome == OUTCOME_OK)
		outcome = settings_judge(s, change);
	id_make(s, s->topics.next_number, &change->id);
	if (outcome != OUTCOME_OK || in->validate_only)
		goto out;
	outcome = partitions_make(s, e.name, 0, change->partitions, &e.stream);
	if (outcome != OUTCOME_OK)
		goto out;
	e.number = s->topics.next_number;
	e.id = slice_from(change->id.bytes, TOPIC_ID_BYTES);
	e.settings = buf_slice(&settings);
	outcome = topic_emit(s, &e, NULL);
	if (outcome != OUTCOME_OK)
		partitions_delete(s, e.stream, e.count);
out:
	buf_deinit(&settings);
	return outcome;
}

static enum outcome topic_grow(struct sequencer *s, struct topic_change *change, const struct topics_change_in *in)
{
	struct topic *topic = topic_of(s, &change->topic);
	struct topic_event e = {.type = TOPIC_GROWN};
	enum outcome outcome;

	if (!topic)
		return OUTCOME_NOT_FOUND;
	change->id = topic->id;
	if (change->partitions <= topic->partition_count)
		return OUTCOME_PARTITIONS;
	outcome = partitions_can(s, topic_name(topic), topic->partition_count, change->partitions);
	if (outcome != OUTCOME_OK || in->validate_only)
		return outcome;
	outcome = partitions_make(s, topic_name(topic), topic->partition_count, change->partitions, &e.stream);
	if (outcome != OUTCOME_OK)
		return outcome;
	e.count = change->partitions - topic->partition_count;
	outcome = topic_emit(s, &e, topic);
	if (outcome != OUTCOME_OK)
		partitions_delete(s, e.stream, e.count);
	return outcome;
}

/* --- configure, delete --- */

static enum outcome topic_configure(struct sequencer *s, struct topic_change *change, const struct topics_change_in *in)
{
	struct topic *topic = topic_of(s, &change->topic);
	struct buf settings = {0};
	enum outcome outcome;

	if (!topic)
		return OUTCOME_NOT_FOUND;
	change->id = topic->id;
	outcome = topic_settings_change(topic, change, in->incremental, &settings);
	if (outcome == OUTCOME_OK)
		outcome = settings_judge(s, change);
	if (outcome == OUTCOME_OK && !in->validate_only && !slice_eq(buf_slice(&settings), topic_settings(topic)))
		outcome = topic_emit(s, &(struct topic_event){.type = TOPIC_CONFIGURED, .settings = buf_slice(&settings)}, topic);
	buf_deinit(&settings);
	return outcome;
}

static enum outcome topic_delete(struct sequencer *s, struct topic_change *change, const struct topics_change_in *in)
{
	struct topic *topic = topic_of(s, &change->topic);
	struct topic_event e;
	struct partition_run run;
	struct slice rest;
	struct buf runs = {0};
	enum outcome outcome;

	if (!topic)
		return OUTCOME_NOT_FOUND;
	change->id = topic->id;
	if (in->validate_only)
		return OUTCOME_OK;
	topic_snapshot(topic, &runs, &e);
	outcome = runs.failed ? OUTCOME_NO_MEMORY : topic_emit(s, &(struct topic_event){.type = TOPIC_DELETED}, topic);
	rest = buf_slice(&runs);
	while (outcome == OUTCOME_OK && partition_run_get(&rest, &run) == 1)
		partitions_delete(s, run.stream, run.count);
	if (outcome == OUTCOME_OK)
		s->forgotten_end = s->appended_end;
	buf_deinit(&runs);
	return outcome;
}

/* --- the commands --- */

typedef enum outcome topic_changer(struct sequencer *s, struct topic_change *change, const struct topics_change_in *in);

/* Partitions that one question makes, or asks whether they could be made: no more, or it would stop the house. */
enum { PARTITIONS_AT_ONCE = 100000 };

static void change_all(struct sequencer *s, struct command *c, topic_changer *changer)
{
	const struct topics_change_in *in = &c->in.topics_change;
	uint64_t left = PARTITIONS_AT_ONCE;

	for (size_t i = 0; i < in->count; i++) {
		struct topic_change *change = &in->changes[i];
		/* Of more than there may be none is looked for. */
		uint64_t cost = change->partitions <= s->config.topic_partitions_max ? change->partitions : 0;

		change->outcome = cost > left ? OUTCOME_FULL : changer(s, change, in);
		if (change->outcome == OUTCOME_OK || change->outcome == OUTCOME_CONFLICT)
			left -= cost;
	}
	reply(s, c, OUTCOME_OK, s->appended_end);
}

void command_topic_create(struct sequencer *s, struct command *c)
{
	change_all(s, c, topic_create);
}

void command_topic_partitions(struct sequencer *s, struct command *c)
{
	change_all(s, c, topic_grow);
}

void command_topic_config(struct sequencer *s, struct command *c)
{
	change_all(s, c, topic_configure);
}

void command_topic_delete(struct sequencer *s, struct command *c)
{
	change_all(s, c, topic_delete);
}
