/* Events about topics on their way into the state. */
#include "topic/topic_priv.h"

#include "base/mem.h"

#include <errno.h>

static bool is_new(const struct topic_event *e)
{
	return e->type == TOPIC_CREATED || e->type == TOPIC_SNAP;
}

static bool is_about_topic(const struct topic_event *e)
{
	return e->type != TOPIC_PRODUCER && e->type != TOPIC_TXN && e->type != TOPIC_SNAP_META;
}

/* --- prepare --- */

static int prepare_partitions(const struct topic_event *e, struct topic_prepared *p)
{
	uint64_t count = p->topic->partition_count + e->count;
	struct slice rest = e->partitions;
	struct partition_run run;
	int r;

	while ((r = partition_run_get(&rest, &run)) == 1)
		count += run.count;
	if (r < 0 || count == 0 || count > TOPIC_PARTITIONS_MAX)
		return -EBADMSG;
	if (count <= p->topic->partition_cap)
		return 0;
	p->partitions = mem_alloc(count * sizeof(*p->partitions));
	p->partition_cap = (uint32_t)count;
	return p->partitions ? 0 : -ENOMEM;
}

static int prepare_settings(const struct topic_event *e, struct topic_prepared *p)
{
	struct topic_setting settings[TOPIC_SETTINGS_MAX];
	struct slice rest = e->settings;
	size_t count = 0;
	int r;

	for (; rest.len; count++) {
		r = count < TOPIC_SETTINGS_MAX ? topic_setting_get(&rest, &settings[count]) : -EBADMSG;
		if (r < 0)
			return r;
	}
	p->limits = topic_limits_of(settings, count);
	if (!e->settings.len)
		return 0;
	p->settings = mem_dup(e->settings.ptr, e->settings.len);
	return p->settings ? 0 : -ENOMEM;
}

static int prepare_new(struct topics *topics, const struct topic_event *e, struct topic_prepared *p)
{
	struct topic *topic;

	if (e->id.len != TOPIC_ID_BYTES || !topic_name_valid(e->name))
		return -EBADMSG;
	/* As of streams: while a checkpoint was taken the name was given up and taken anew, and it may hold the later one only,
	 * or both; the earlier one's end stands in the journal. */
	p->replaced = topic_find(topics, e->name);
	p->skip = topic_find_number(topics, e->number) || (p->replaced && p->replaced->number > e->number);
	if (p->skip)
		return 0;
	if (p->replaced && e->type != TOPIC_SNAP)
		return -EBADMSG;
	topic = mem_zalloc(sizeof(*topic) + e->name.len);
	if (!topic)
		return -ENOMEM;
	topic->number = e->number;
	memcpy(topic->id.bytes, e->id.ptr, TOPIC_ID_BYTES);
	topic->name_len = (uint32_t)e->name.len;
	memcpy(topic->name, e->name.ptr, e->name.len);
	p->topic = topic;
	p->new_topic = true;
	return 0;
}

static int prepare_known(struct topics *topics, const struct topic_event *e, struct topic_prepared *p)
{
	p->topic = topic_find_number(topics, e->number);
	/* Gone since, or in the checkpoint already. An event that is being made now has no end yet (UINT64_MAX). */
	p->skip = !p->topic || (e->end && e->end <= p->topic->changed_end);
	return 0;
}

int topics_prepare(struct topics *topics, const struct topic_event *e, struct topic_prepared *ret_prepared)
{
	struct topic_prepared p = {0};
	int r = 0;

	if (e->type == TOPIC_TXN)
		r = txn_prepare(topics, e, &p);
	else if (is_new(e))
		r = prepare_new(topics, e, &p);
	else if (is_about_topic(e))
		r = prepare_known(topics, e, &p);
	if (!r && !p.skip && (is_new(e) || e->type == TOPIC_GROWN))
		r = prepare_partitions(e, &p);
	if (!r && !p.skip && (is_new(e) || e->type == TOPIC_CONFIGURED))
		r = prepare_settings(e, &p);
	if (r) {
		topics_unprepare(&p);
		return r;
	}
	*ret_prepared = p;
	return 0;
}

void topics_unprepare(struct topic_prepared *p)
{
	if (p->new_topic)
		topic_free(p->topic);
	txn_unprepare(p);
	mem_free(p->partitions);
	mem_free(p->settings);
	*p = (struct topic_prepared){0};
}

/* --- commit --- */

static void add_run(struct topic *topic, struct partition_run run)
{
	for (uint64_t i = 0; i < run.count; i++)
		topic->partitions[topic->partition_count++] = run.stream + i;
}

static void commit_partitions(struct topic *topic, const struct topic_event *e, struct topic_prepared *p)
{
	struct slice rest = e->partitions;
	struct partition_run run;

	if (p->partitions) {
		if (topic->partition_count)
			memcpy(p->partitions, topic->partitions, topic->partition_count * sizeof(*p->partitions));
		mem_free(topic->partitions);
		topic->partitions = p->partitions;
		topic->partition_cap = p->partition_cap;
		p->partitions = NULL;
	}
	while (partition_run_get(&rest, &run) == 1)
		add_run(topic, run);
	add_run(topic, (struct partition_run){e->stream, e->count});
}

static void commit_settings(struct topic *topic, const struct topic_event *e, struct topic_prepared *p)
{
	mem_free(topic->settings);
	topic->settings = p->settings;
	topic->settings_len = (uint32_t)e->settings.len;
	topic->limits = p->limits;
	p->settings = NULL;
}

static void commit_counters(struct topics *topics, const struct topic_event *e)
{
	uint64_t next_producer_id = e->type == TOPIC_PRODUCER ? e->producer_id + 1 : e->next_producer_id;

	if (next_producer_id > topics->next_producer_id)
		topics->next_producer_id = next_producer_id;
	if (e->next_number > topics->next_number)
		topics->next_number = e->next_number;
}

void topics_commit(struct topics *topics, const struct topic_event *e, struct topic_prepared *p)
{
	struct topic *topic = p->topic;

	if (e->type == TOPIC_TXN && !p->skip)
		txn_commit(topics, e, p);
	else if (!is_about_topic(e))
		commit_counters(topics, e);
	if (p->skip || !is_about_topic(e)) {
		topics_unprepare(p);
		return;
	}
	if (e->type == TOPIC_DELETED) {
		topic_remove(topics, topic);
		return;
	}
	if (is_new(e) || e->type == TOPIC_GROWN)
		commit_partitions(topic, e, p);
	if (is_new(e) || e->type == TOPIC_CONFIGURED)
		commit_settings(topic, e, p);
	topic->changed_end = e->type == TOPIC_SNAP ? e->changed_end : e->end;
	if (p->replaced)
		topic_remove(topics, p->replaced);
	if (p->new_topic) {
		p->new_topic = false;
		topic_add(topics, topic);
		if (topic->number >= topics->next_number)
			topics->next_number = topic->number + 1;
	}
	topics_unprepare(p);
}

void topic_snapshot(const struct topic *topic, struct buf *runs, struct topic_event *ret_event)
{
	struct partition_run run = {0};

	buf_clear(runs);
	for (uint32_t i = 0; i < topic->partition_count; i++) {
		if (run.count && topic->partitions[i] == run.stream + run.count) {
			run.count++;
			continue;
		}
		if (run.count)
			partition_run_put(runs, &run);
		run = (struct partition_run){topic->partitions[i], 1};
	}
	partition_run_put(runs, &run);
	*ret_event = (struct topic_event){
		.type = TOPIC_SNAP,
		.number = topic->number,
		.name = topic_name(topic),
		.id = slice_from(topic->id.bytes, TOPIC_ID_BYTES),
		.partitions = buf_slice(runs),
		.settings = topic_settings(topic),
		.changed_end = topic->changed_end,
	};
}
