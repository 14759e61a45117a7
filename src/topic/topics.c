/* Where topics are found, and their invariants. */
#include "topic/topic_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

int topics_init(struct topics *topics, const struct hash_key *hash_key)
{
	*topics = (struct topics){.hash_key = *hash_key, .next_number = 1, .next_producer_id = 1};
	list_init(&topics->all);
	if (txns_init(topics) || hash_init_sure(&topics->names) || hash_init_sure(&topics->ids) ||
	    hash_init_sure(&topics->numbers)) {
		topics_deinit(topics);
		return -ENOMEM;
	}
	return 0;
}

void topic_free(struct topic *topic)
{
	mem_free(topic->partitions);
	mem_free(topic->settings);
	mem_free(topic);
}

void topics_deinit(struct topics *topics)
{
	list_each_safe (node, &topics->all)
		topic_free(container_of(node, struct topic, peers));
	txns_deinit(topics);
	hash_deinit(&topics->names);
	hash_deinit(&topics->ids);
	hash_deinit(&topics->numbers);
}

static uint64_t name_hash(const struct topics *topics, struct slice name)
{
	return hash_bytes(&topics->hash_key, name.ptr, name.len);
}

static uint64_t id_hash(const struct topics *topics, const struct topic_id *id)
{
	return hash_bytes(&topics->hash_key, id->bytes, sizeof(id->bytes));
}

static uint64_t number_hash(const struct topics *topics, uint64_t number)
{
	return hash_u64(&topics->hash_key, number, 1);
}

struct topic *topic_find(const struct topics *topics, struct slice name)
{
	struct hash_node *node = hash_first(&topics->names, name_hash(topics, name));

	for (; node; node = hash_next(&topics->names, node)) {
		struct topic *topic = container_of(node, struct topic, by_name);

		if (slice_eq(topic_name(topic), name))
			return topic;
	}
	return NULL;
}

struct topic *topic_find_id(const struct topics *topics, const struct topic_id *id)
{
	struct hash_node *node = hash_first(&topics->ids, id_hash(topics, id));

	for (; node; node = hash_next(&topics->ids, node)) {
		struct topic *topic = container_of(node, struct topic, by_id);

		if (memcmp(topic->id.bytes, id->bytes, sizeof(id->bytes)) == 0)
			return topic;
	}
	return NULL;
}

struct topic *topic_find_number(const struct topics *topics, uint64_t number)
{
	struct hash_node *node = hash_first(&topics->numbers, number_hash(topics, number));

	for (; node; node = hash_next(&topics->numbers, node)) {
		struct topic *topic = container_of(node, struct topic, by_number);

		if (topic->number == number)
			return topic;
	}
	return NULL;
}

bool topic_name_valid(struct slice name)
{
	if (!name.len || name.len > TOPIC_NAME_MAX || slice_eq(name, SLICE(".")) || slice_eq(name, SLICE("..")))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
		    c != '-')
			return false;
	}
	return true;
}

/* Only a table's first insert can lack memory, and those were made at the start. */
void topic_add(struct topics *topics, struct topic *topic)
{
	struct list *before = topics->all.prev;

	while (before != &topics->all && container_of(before, struct topic, peers)->number > topic->number)
		before = before->prev;
	list_push_front(before, &topic->peers);
	ENSURE(hash_insert(&topics->names, &topic->by_name, name_hash(topics, topic_name(topic))) == 0);
	ENSURE(hash_insert(&topics->ids, &topic->by_id, id_hash(topics, &topic->id)) == 0);
	ENSURE(hash_insert(&topics->numbers, &topic->by_number, number_hash(topics, topic->number)) == 0);
	topics->count++;
}

void topic_remove(struct topics *topics, struct topic *topic)
{
	list_remove(&topic->peers);
	hash_remove(&topics->names, &topic->by_name);
	hash_remove(&topics->ids, &topic->by_id);
	hash_remove(&topics->numbers, &topic->by_number);
	topics->count--;
	topic_free(topic);
}

void topics_check(const struct topics *topics)
{
	uint64_t count = 0, number = 0;

	list_each (node, &topics->all) {
		const struct topic *topic = container_of(node, struct topic, peers);

		ENSURE(topic->number > number && topic->number < topics->next_number);
		number = topic->number;
		ENSURE(topic_find(topics, topic_name(topic)) == topic && topic_find_id(topics, &topic->id) == topic &&
		       topic_find_number(topics, topic->number) == topic);
		ENSURE(topic->partition_count > 0 && topic->partition_count <= topic->partition_cap);
		for (uint32_t i = 1; i < topic->partition_count; i++)
			ENSURE(topic->partitions[i] > topic->partitions[i - 1]);
		count++;
	}
	txns_check(topics);
	ENSURE(count == topics->count && count == topics->names.count);
}
