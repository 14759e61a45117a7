/* The partitions of a Fetch, kept small: thousands of Fetch requests wait at thousands of partitions. */
#include "kafka/api/fetch_priv.h"

#include "base/mem.h"

struct fetch_set *fetch_set_new(struct kafka_thread *thread)
{
	struct fetch_set *set = mem_zalloc(sizeof(*set));

	if (!set)
		return NULL;
	set->thread = thread;
	list_init(&set->topics);
	list_init(&set->changed);
	return set;
}

/* --- spots --- */

bool fetch_spot_hang(struct fetch_spot *spot, uint64_t stream)
{
	struct fetch_set *set = spot->topic->set;
	uint64_t key = stream_key(stream);

	if (spot->wait.peers.next && spot->wait.key == key)
		return true;
	fetch_spot_unhang(spot);
	if (set->thread->hung_spots >= set->thread->config.limits.wait_items || board_add(&set->thread->board, &spot->wait, key))
		return false;
	set->hung_count++;
	set->thread->hung_spots++;
	return true;
}

void fetch_spot_unhang(struct fetch_spot *spot)
{
	struct fetch_set *set = spot->topic->set;

	if (!spot->wait.peers.next)
		return;
	board_remove(&set->thread->board, &spot->wait);
	set->hung_count--;
	set->thread->hung_spots--;
}

static void spot_free(struct fetch_spot *spot)
{
	struct fetch_set *set = spot->topic->set;

	fetch_spot_unhang(spot);
	list_remove(&spot->changed);
	set->spot_count--;
	pool_give(&set->thread->spot_pool, spot);
}

struct fetch_set *fetch_set_free(struct fetch_set *set)
{
	if (!set)
		return NULL;
	while (!list_empty(&set->changed))
		spot_free(fetch_spot_of(set->changed.next));
	while (!list_empty(&set->topics)) {
		struct fetch_topic *topic = list_first(&set->topics, struct fetch_topic, peers);

		list_remove(&topic->peers);
		mem_free(topic);
	}
	return mem_free(set);
}

/* What needs no look. */
static enum kafka_error error_of(const struct kafka_fetch_partition *asked)
{
	if (asked->current_leader_epoch > TOPIC_LEADER_EPOCH)
		return KAFKA_UNKNOWN_LEADER_EPOCH;
	if (asked->partition < 0)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return asked->fetch_offset < 0 ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_NONE;
}

static void spot_set(struct fetch_spot *spot, const struct kafka_fetch_partition *asked)
{
	spot->error = (int16_t)error_of(asked);
	spot->offset = asked->fetch_offset < 0 ? 0 : (uint64_t)asked->fetch_offset;
	spot->max_bytes = asked->partition_max_bytes < 0 ? 0 : (uint32_t)asked->partition_max_bytes;
	spot->full = false;
}

static struct fetch_spot *spot_new(struct fetch_topic *topic, const struct kafka_fetch_partition *asked)
{
	struct fetch_set *set = topic->set;
	struct fetch_spot *spot = pool_take(&set->thread->spot_pool);

	if (!spot)
		return NULL;
	spot->topic = topic;
	spot->partition = asked->partition;
	spot_set(spot, asked);
	list_push_back(&set->changed, &spot->changed);
	set->spot_count++;
	return spot;
}

static struct fetch_topic *topic_new(struct fetch_set *set, const struct kafka_fetch_topic *asked)
{
	struct fetch_topic *topic = mem_zalloc(sizeof(*topic) + asked->topic.len);

	if (!topic)
		return NULL;
	topic->set = set;
	topic->id = asked->topic_id;
	topic->name_len = (uint32_t)asked->topic.len;
	if (asked->topic.len)
		memcpy(topic->name, asked->topic.ptr, asked->topic.len);
	list_push_back(&set->topics, &topic->peers);
	return topic;
}

bool fetch_set_fill(struct fetch_set *set, const struct kafka_fetch_request *request)
{
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_fetch_topic *asked = &request->topics.at[i];
		struct fetch_topic *topic = topic_new(set, asked);

		if (!topic)
			return false;
		for (uint32_t j = 0; j < asked->partitions.count; j++) {
			if (!spot_new(topic, &asked->partitions.at[j]))
				return false;
		}
	}
	return true;
}
