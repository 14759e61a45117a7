/* The partitions of a Fetch, kept small: thousands of Fetch requests wait at thousands of partitions. A session finds them again
 * by topic and number; else they are only gone through. */
#include "kafka/api/fetch_priv.h"

#include "base/mem.h"

#include <errno.h>

struct fetch_set *fetch_set_new(struct kafka_thread *thread)
{
	struct fetch_set *set = mem_zalloc(sizeof(*set));

	if (!set)
		return NULL;
	set->thread = thread;
	set->refs = 1;
	hash_init(&set->by_key);
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
	if ((!set->id && set->thread->hung_spots >= set->thread->config.limits.wait_items) ||
	    board_add(&set->thread->board, &spot->wait, key))
		return false;
	set->thread->hung_spots += !set->id;
	return true;
}

void fetch_spot_unhang(struct fetch_spot *spot)
{
	struct fetch_set *set = spot->topic->set;

	if (!spot->wait.peers.next)
		return;
	board_remove(&set->thread->board, &spot->wait);
	set->thread->hung_spots -= !set->id;
}

void fetch_spot_change(struct fetch_spot *spot)
{
	if (list_empty(&spot->changed))
		list_push_back(&spot->topic->set->changed, &spot->changed);
}

static void spot_free(struct fetch_spot *spot)
{
	struct fetch_set *set = spot->topic->set;

	fetch_spot_unhang(spot);
	list_remove(&spot->changed);
	set->spot_count--;
	if (set->id)
		set->thread->stats.session_partitions--;
	pool_give(&set->thread->spot_pool, spot);
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
	fetch_spot_change(spot);
}

static int spot_new(struct fetch_topic *topic, const struct kafka_fetch_partition *asked, struct fetch_spot **ret_spot)
{
	struct fetch_set *set = topic->set;
	struct kafka_thread *thread = set->thread;
	struct fetch_spot *spot;

	if (set->id && thread->stats.session_partitions >= thread->config.limits.session_partitions)
		return -ENOSPC;
	spot = pool_take(&thread->spot_pool);
	if (!spot)
		return -ENOMEM;
	list_init(&spot->changed);
	spot->topic = topic;
	spot->partition = asked->partition;
	spot->news = true;
	spot_set(spot, asked);
	set->spot_count++;
	if (set->id)
		thread->stats.session_partitions++;
	*ret_spot = spot;
	return 0;
}

/* --- topics --- */

static uint64_t key_of(const struct fetch_set *set, struct slice name, const struct kafka_uuid *id)
{
	return set->ids ? hash_bytes(&set->thread->board.secret, id->bytes, sizeof(id->bytes))
			: hash_bytes(&set->thread->board.secret, name.ptr, name.len);
}

static struct fetch_topic *topic_named(const struct fetch_set *set, struct slice name, const struct kafka_uuid *id)
{
	uint64_t hash = key_of(set, name, id);

	for (struct hash_node *node = hash_first(&set->by_key, hash); node; node = hash_next(&set->by_key, node)) {
		struct fetch_topic *topic = container_of(node, struct fetch_topic, node);

		if (set->ids ? memcmp(topic->id.bytes, id->bytes, sizeof(id->bytes)) == 0
			     : slice_eq(slice_from(topic->name, topic->name_len), name))
			return topic;
	}
	return NULL;
}

static struct fetch_topic *topic_new(struct fetch_set *set, const struct kafka_fetch_topic *asked)
{
	struct fetch_topic *topic = mem_zalloc(sizeof(*topic) + asked->topic.len);

	if (!topic)
		return NULL;
	if (set->id && hash_insert(&set->by_key, &topic->node, key_of(set, asked->topic, &asked->topic_id)))
		return mem_free(topic);
	topic->set = set;
	topic->id = asked->topic_id;
	topic->name_len = (uint32_t)asked->topic.len;
	if (asked->topic.len)
		memcpy(topic->name, asked->topic.ptr, asked->topic.len);
	list_push_back(&set->topics, &topic->peers);
	return topic;
}

static void topic_free(struct fetch_topic *topic)
{
	for (uint32_t i = 0; i < topic->spot_count; i++)
		spot_free(topic->spots[i]);
	if (topic->set->id)
		hash_remove(&topic->set->by_key, &topic->node);
	list_remove(&topic->peers);
	mem_free(topic->spots);
	mem_free(topic);
}

/* Of a session: where the partition is, or belongs. */
static uint32_t place_of(const struct fetch_topic *topic, int32_t partition)
{
	uint32_t low = 0, high = topic->spot_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (topic->spots[middle]->partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct fetch_topic *topic, uint32_t place, int32_t partition)
{
	return place < topic->spot_count && topic->spots[place]->partition == partition;
}

static int topic_grow(struct fetch_topic *topic)
{
	uint32_t cap = topic->spot_cap ? topic->spot_cap * 2 : 1;
	void *spots;

	if (topic->spot_count < topic->spot_cap)
		return 0;
	spots = mem_realloc(topic->spots, cap * sizeof(*topic->spots));
	if (!spots)
		return -ENOMEM;
	topic->spots = spots;
	topic->spot_cap = cap;
	return 0;
}

static int topic_take(struct fetch_topic *topic, const struct kafka_fetch_partition *asked)
{
	uint32_t place = place_of(topic, asked->partition);
	struct fetch_spot *spot;
	int r = topic->set->id ? topic_grow(topic) : 0;

	if (!r && is_at(topic, place, asked->partition)) {
		spot_set(topic->spots[place], asked);
		return 0;
	}
	if (!r)
		r = spot_new(topic, asked, &spot);
	if (r || !topic->set->id)
		return r;
	memmove(topic->spots + place + 1, topic->spots + place, (topic->spot_count - place) * sizeof(*topic->spots));
	topic->spots[place] = spot;
	topic->spot_count++;
	return 0;
}

static void topic_forget(struct fetch_topic *topic, int32_t partition)
{
	uint32_t place = place_of(topic, partition);

	if (!is_at(topic, place, partition))
		return;
	spot_free(topic->spots[place]);
	topic->spot_count--;
	memmove(topic->spots + place, topic->spots + place + 1, (topic->spot_count - place) * sizeof(*topic->spots));
}

/* --- all of it --- */

int fetch_set_take(struct fetch_set *set, const struct kafka_fetch_request *request)
{
	int r = 0;

	for (uint32_t i = 0; i < request->topics.count && !r; i++) {
		const struct kafka_fetch_topic *asked = &request->topics.at[i];
		struct fetch_topic *topic = set->id ? topic_named(set, asked->topic, &asked->topic_id) : NULL;

		/* A session is counted by its partitions; it keeps no name longer than a topic's. */
		if (set->id && asked->topic.len > TOPIC_NAME_MAX)
			return -ENOSPC;
		if (!topic && asked->partitions.count)
			topic = topic_new(set, asked);
		r = topic || !asked->partitions.count ? 0 : -ENOMEM;
		for (uint32_t j = 0; j < asked->partitions.count && !r; j++)
			r = topic_take(topic, &asked->partitions.at[j]);
	}
	return r;
}

void fetch_set_forget(struct fetch_set *set, const struct kafka_fetch_request *request)
{
	for (uint32_t i = 0; i < request->forgotten_topics_data.count; i++) {
		const struct kafka_forgotten_topic *forgotten = &request->forgotten_topics_data.at[i];
		struct fetch_topic *topic = topic_named(set, forgotten->topic, &forgotten->topic_id);

		for (uint32_t j = 0; topic && j < forgotten->partitions.count; j++)
			topic_forget(topic, forgotten->partitions.at[j]);
		if (topic && !topic->spot_count)
			topic_free(topic);
	}
}

void fetch_set_change_all(struct fetch_set *set)
{
	list_each (node, &set->topics) {
		const struct fetch_topic *topic = container_of(node, struct fetch_topic, peers);

		for (uint32_t i = 0; i < topic->spot_count; i++)
			fetch_spot_change(topic->spots[i]);
	}
}

struct fetch_set *fetch_set_unref(struct fetch_set *set)
{
	if (!set || --set->refs > 0)
		return NULL;
	while (!set->id && !list_empty(&set->changed))
		spot_free(fetch_spot_of(set->changed.next));
	while (!list_empty(&set->topics))
		topic_free(list_first(&set->topics, struct fetch_topic, peers));
	if (set->id)
		set->thread->stats.sessions--;
	hash_deinit(&set->by_key);
	return mem_free(set);
}
