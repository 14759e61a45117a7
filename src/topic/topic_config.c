#include "topic/topic_config.h"

#include "base/wire.h"

#include <errno.h>

#define LONG_MAX_TEXT "9223372036854775807"

const struct topic_key topic_keys[] = {
	{"cleanup.policy", "delete", "delete,compact", TOPIC_KEY_LIST, 0, 0,
	 "What becomes of old records: deleted by age and size; compact keeps the last one of each key, and every record needs "
	 "one."},
	{"compression.type", "producer", "producer,uncompressed,gzip,snappy,lz4,zstd", TOPIC_KEY_STRING, 0, 0,
	 "Batches are kept as the producer compressed them, whatever is set."},
	{"delete.retention.ms", "86400000", NULL, TOPIC_KEY_LONG, 0, INT64_MAX,
	 "A null value is told so long once all before it with its key is gone."},
	{"file.delete.delay.ms", "60000", NULL, TOPIC_KEY_LONG, 0, INT64_MAX, "Of files." TOPIC_KEY_IDLE},
	{"flush.messages", LONG_MAX_TEXT, NULL, TOPIC_KEY_LONG, 1, INT64_MAX,
	 "Every record is on the disk before it is told of."},
	{"flush.ms", LONG_MAX_TEXT, NULL, TOPIC_KEY_LONG, 0, INT64_MAX, "Every record is on the disk before it is told of."},
	{"follower.replication.throttled.replicas", "", NULL, TOPIC_KEY_LIST, 0, 0, "Of replicas." TOPIC_KEY_IDLE},
	{"index.interval.bytes", "4096", NULL, TOPIC_KEY_INT, 0, INT32_MAX, "Of files." TOPIC_KEY_IDLE},
	{"leader.replication.throttled.replicas", "", NULL, TOPIC_KEY_LIST, 0, 0, "Of replicas." TOPIC_KEY_IDLE},
	{"local.retention.bytes", "-2", NULL, TOPIC_KEY_LONG, -2, INT64_MAX, "Of tiers." TOPIC_KEY_IDLE},
	{"local.retention.ms", "-2", NULL, TOPIC_KEY_LONG, -2, INT64_MAX, "Of tiers." TOPIC_KEY_IDLE},
	{"max.compaction.lag.ms", LONG_MAX_TEXT, NULL, TOPIC_KEY_LONG, 1, INT64_MAX,
	 "A record is compacted no later than so long after its time."},
	{"max.message.bytes", "1048588", NULL, TOPIC_KEY_INT, 0, 1 << 30,
	 "The longest batch, compressed as it comes; the server's max-message bounds it."},
	{"message.downconversion.enable", "true", NULL, TOPIC_KEY_BOOLEAN, 0, 0, "Of old formats." TOPIC_KEY_IDLE},
	{"message.timestamp.after.max.ms", LONG_MAX_TEXT, NULL, TOPIC_KEY_LONG, 0, INT64_MAX,
	 "A batch whose latest time lies further behind the server's is refused."},
	{"message.timestamp.before.max.ms", LONG_MAX_TEXT, NULL, TOPIC_KEY_LONG, 0, INT64_MAX,
	 "A batch whose first time lies further before the server's is refused."},
	{"message.timestamp.difference.max.ms", LONG_MAX_TEXT, NULL, TOPIC_KEY_LONG, 0, INT64_MAX,
	 "Both of the two before, where they are not set."},
	{"message.timestamp.type", "CreateTime", "CreateTime,LogAppendTime", TOPIC_KEY_STRING, 0, 0,
	 "Whose time records have: the producer's, or that of the append."},
	{"min.cleanable.dirty.ratio", "0.5", NULL, TOPIC_KEY_DOUBLE, 0, 1,
	 "A partition is compacted when more than so much of it, in bytes, came since it was last compacted."},
	{"min.compaction.lag.ms", "0", NULL, TOPIC_KEY_LONG, 0, INT64_MAX,
	 "A record is compacted no earlier than so long after its time."},
	{"min.insync.replicas", "1", NULL, TOPIC_KEY_INT, 1, INT32_MAX, "Of replicas." TOPIC_KEY_IDLE},
	{"preallocate", "false", NULL, TOPIC_KEY_BOOLEAN, 0, 0, "Of files." TOPIC_KEY_IDLE},
	{"remote.storage.enable", "false", NULL, TOPIC_KEY_BOOLEAN, 0, 0, "Of tiers." TOPIC_KEY_IDLE},
	{"retention.bytes", "-1", NULL, TOPIC_KEY_LONG, -1, INT64_MAX, "How long a partition grows; -1: without end."},
	{"retention.ms", "604800000", NULL, TOPIC_KEY_LONG, -1, INT64_MAX, "How old records get; -1: as old as may be."},
	{"segment.bytes", "1073741824", NULL, TOPIC_KEY_INT, 14, INT32_MAX, "Of files." TOPIC_KEY_IDLE},
	{"segment.index.bytes", "10485760", NULL, TOPIC_KEY_INT, 4, INT32_MAX, "Of files." TOPIC_KEY_IDLE},
	{"segment.jitter.ms", "0", NULL, TOPIC_KEY_LONG, 0, INT64_MAX, "Of files." TOPIC_KEY_IDLE},
	{"segment.ms", "604800000", NULL, TOPIC_KEY_LONG, 1, INT64_MAX, "Of files." TOPIC_KEY_IDLE},
	{"unclean.leader.election.enable", "false", NULL, TOPIC_KEY_BOOLEAN, 0, 0, "Of replicas." TOPIC_KEY_IDLE},
};
const size_t topic_key_count = sizeof(topic_keys) / sizeof(topic_keys[0]);

void topic_setting_put(struct buf *out, const struct topic_setting *setting)
{
	wire_put_string(out, setting->key);
	wire_put_string(out, setting->value);
}

int topic_setting_get(struct slice *settings, struct topic_setting *ret_setting)
{
	struct wire_reader r = wire_reader_of(*settings);
	struct topic_setting setting;

	if (!settings->len)
		return 0;
	setting.key = wire_string(&r);
	setting.value = wire_string(&r);
	if (r.failed || !setting.key.len)
		return -EBADMSG;
	*settings = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_setting = setting;
	return 1;
}

const struct topic_key *topic_key_find(struct slice name)
{
	for (size_t i = 0; i < topic_key_count; i++) {
		if (slice_eq(slice_str(topic_keys[i].name), name))
			return &topic_keys[i];
	}
	return NULL;
}

bool topic_list_next(struct slice *list, struct slice *ret_item)
{
	const char *comma;

	if (!list->ptr)
		return false;
	comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
	*ret_item = slice_from(list->ptr, comma ? (size_t)(comma - list->ptr) : list->len);
	*list = comma ? slice_from(comma + 1, list->len - ret_item->len - 1) : (struct slice){0};
	while (ret_item->len && ret_item->ptr[0] == ' ')
		*ret_item = slice_from(ret_item->ptr + 1, ret_item->len - 1);
	while (ret_item->len && ret_item->ptr[ret_item->len - 1] == ' ')
		ret_item->len--;
	return true;
}

bool topic_list_has(struct slice list, struct slice item)
{
	struct slice one;

	while (topic_list_next(&list, &one)) {
		if (slice_eq(one, item))
			return true;
	}
	return false;
}

static bool number_of(struct slice value, int64_t *ret_number)
{
	bool negative = value.len && value.ptr[0] == '-';
	uint64_t number = 0;

	if (negative)
		value = slice_from(value.ptr + 1, value.len - 1);
	if (!value.len || value.len > 19)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	if (number > INT64_MAX)
		return false;
	*ret_number = negative ? -(int64_t)number : (int64_t)number;
	return true;
}

/* Between 0 and 1, which is all that is asked of any. */
static bool ratio_valid(struct slice value)
{
	size_t digits = 0;
	bool point = false;

	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '.' && !point)
			point = true;
		else if (value.ptr[i] < '0' || value.ptr[i] > '9' || (!point && value.ptr[i] > '1'))
			return false;
		else if (point && value.ptr[0] == '1' && value.ptr[i] != '0')
			return false;
		else
			digits++;
	}
	return digits > 0;
}

bool topic_value_valid(const struct topic_key *key, struct slice value)
{
	struct slice one, choices = slice_str(key->choices);
	int64_t number;

	if (value.len > TOPIC_VALUE_MAX)
		return false;
	switch (key->kind) {
	case TOPIC_KEY_BOOLEAN:
		return slice_eq(value, SLICE("true")) || slice_eq(value, SLICE("false"));
	case TOPIC_KEY_INT:
	case TOPIC_KEY_LONG:
		return number_of(value, &number) && number >= key->min && number <= key->max;
	case TOPIC_KEY_DOUBLE:
		return ratio_valid(value);
	case TOPIC_KEY_STRING:
		return !key->choices || topic_list_has(choices, value);
	case TOPIC_KEY_LIST:
		if (!key->choices)
			return true;
		while (topic_list_next(&value, &one)) {
			if (!topic_list_has(choices, one))
				return false;
		}
		return true;
	}
	return false;
}

static struct slice value_of(const struct topic_setting *settings, size_t count, const char *name)
{
	const struct topic_key *key = topic_key_find(slice_str(name));

	for (size_t i = 0; i < count; i++) {
		if (slice_eq(settings[i].key, slice_str(name)) && topic_value_valid(key, settings[i].value))
			return settings[i].value;
	}
	return slice_str(key->fallback);
}

/* -1 is none, and then 0; what is 0 goes at once, which 1 does. */
static uint64_t retention_of(struct slice value)
{
	int64_t number = -1;

	(void)number_of(value, &number);
	if (number < 0 || (uint64_t)number >= UINT64_MAX / 8)
		return 0;
	return number ? (uint64_t)number : 1;
}

/* Of one that is valid. */
static uint32_t ratio_of(struct slice value)
{
	uint32_t ratio = 0, unit = TOPIC_RATIO_ONE;
	bool point = false;

	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '.')
			point = true;
		else if (!point)
			ratio = (uint32_t)(value.ptr[i] - '0') * TOPIC_RATIO_ONE;
		else
			ratio += (uint32_t)(value.ptr[i] - '0') * (unit /= 10);
	}
	return ratio;
}

/* So long that nobody sees it end is that. */
static uint64_t span_of(const struct topic_setting *settings, size_t count, const char *name)
{
	int64_t number = 0;

	(void)number_of(value_of(settings, count, name), &number);
	return (uint64_t)number < UINT64_MAX / 8 ? (uint64_t)number : UINT64_MAX / 8;
}

/* What is not limited by itself may be so with the other. */
static uint64_t time_limit_of(const struct topic_setting *settings, size_t count, const char *name)
{
	uint64_t own = span_of(settings, count, name), both = span_of(settings, count, "message.timestamp.difference.max.ms");

	return own < UINT64_MAX / 8 ? own : both;
}

struct topic_limits topic_limits_of(const struct topic_setting *settings, size_t count)
{
	struct slice policy = value_of(settings, count, "cleanup.policy");
	struct topic_limits limits = {0};
	int64_t bytes = 0;

	limits.compact = topic_list_has(policy, SLICE("compact"));
	if (topic_list_has(policy, SLICE("delete"))) {
		limits.retention_ms = retention_of(value_of(settings, count, "retention.ms"));
		limits.retention_bytes = retention_of(value_of(settings, count, "retention.bytes"));
	}
	(void)number_of(value_of(settings, count, "max.message.bytes"), &bytes);
	limits.max_message_bytes = (uint64_t)bytes;
	limits.delete_retention_ms = span_of(settings, count, "delete.retention.ms");
	limits.compaction_lag_ms = span_of(settings, count, "min.compaction.lag.ms");
	limits.compaction_lag_max_ms = span_of(settings, count, "max.compaction.lag.ms");
	limits.time_before_ms = time_limit_of(settings, count, "message.timestamp.before.max.ms");
	limits.time_after_ms = time_limit_of(settings, count, "message.timestamp.after.max.ms");
	limits.dirty_ratio = ratio_of(value_of(settings, count, "min.cleanable.dirty.ratio"));
	limits.append_time = slice_eq(value_of(settings, count, "message.timestamp.type"), SLICE("LogAppendTime"));
	return limits;
}
