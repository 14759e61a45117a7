/* What is told of topics, what becomes of their settings, and how they come into a checkpoint. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

/* --- settings --- */

static int by_bytes(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->len ? memcmp(x->ptr, y->ptr, x->len) : 0;
}

/* The items of a list with commas, sorted; NULL: no memory. */
static struct slice *items_of(struct slice list, size_t *ret_count)
{
	struct slice *items = mem_alloc((list.len + 1) * sizeof(*items));

	*ret_count = 0;
	while (items && topic_list_next(&list, &items[*ret_count]))
		++*ret_count;
	if (items)
		qsort(items, *ret_count, sizeof(*items), by_bytes);
	return items;
}

/* Writes `old` without the items of `given`, and then, if `adds`, those of `given`; all are lists with commas. */
static void list_change(struct slice old, struct slice given, bool adds, struct buf *out)
{
	size_t count;
	struct slice *items = items_of(given, &count), one;

	while (items && topic_list_next(&old, &one)) {
		if (!one.len || bsearch(&one, items, count, sizeof(*items), by_bytes))
			continue;
		buf_append_str(out, out->len ? "," : "");
		buf_append_slice(out, one);
	}
	while (items && adds && topic_list_next(&given, &one)) {
		if (!one.len)
			continue;
		buf_append_str(out, out->len ? "," : "");
		buf_append_slice(out, one);
	}
	out->failed |= !items;
	mem_free(items);
}

static bool comes_before(struct slice a, struct slice b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order < 0 || (order == 0 && a.len < b.len);
}

/* What the key is to be set to, in `value` where that is new; ret_value->ptr NULL: to nothing. */
static void value_change(const struct topic_setting_change *change, enum topic_change_op op, struct slice old, struct buf *value,
			 struct slice *ret_value)
{
	struct slice given = change->setting.value, none = {0};

	*ret_value = none;
	if (op == SETTING_DELETE || !given.ptr)
		return;
	*ret_value = given;
	if (op == SETTING_SET)
		return;
	list_change(old, given, op == SETTING_APPEND, value);
	*ret_value = value->len ? buf_slice(value) : SLICE("");
}

/* `old` with one change, by key. */
static enum outcome setting_change(struct slice old, const struct topic_setting_change *change, enum topic_change_op op,
				   struct buf *out)
{
	const struct topic_key *key = topic_key_find(change->setting.key);
	struct topic_setting one, changed = {.key = change->setting.key};
	struct slice rest = old, before = key ? slice_str(key->fallback) : (struct slice){0};
	enum outcome outcome = OUTCOME_OK;
	struct buf value = {0};
	bool put;

	if (!key || ((op == SETTING_APPEND || op == SETTING_SUBTRACT) && key->kind != TOPIC_KEY_LIST))
		return OUTCOME_SETTING;
	if (op != SETTING_DELETE && change->setting.value.len > TOPIC_VALUE_MAX)
		return OUTCOME_SETTING;
	while (topic_setting_get(&rest, &one) == 1) {
		if (slice_eq(one.key, changed.key))
			before = one.value;
	}
	value_change(change, op, before, &value, &changed.value);
	if (changed.value.ptr && !topic_value_valid(key, changed.value))
		outcome = OUTCOME_SETTING;
	put = changed.value.ptr != NULL;
	for (rest = old; topic_setting_get(&rest, &one) == 1;) {
		if (slice_eq(one.key, changed.key))
			continue;
		if (put && comes_before(changed.key, one.key)) {
			topic_setting_put(out, &changed);
			put = false;
		}
		topic_setting_put(out, &one);
	}
	if (put)
		topic_setting_put(out, &changed);
	if (value.failed)
		outcome = OUTCOME_NO_MEMORY;
	buf_deinit(&value);
	return outcome;
}

enum outcome topic_settings_change(const struct topic *topic, struct topic_change *change, bool incremental, struct buf *out)
{
	struct buf next = {0}, swap;
	enum outcome outcome = OUTCOME_OK;

	if (topic && incremental)
		buf_append_slice(out, topic_settings(topic));
	for (size_t i = 0; i < change->setting_count && outcome == OUTCOME_OK; i++) {
		const struct topic_setting_change *one = &change->settings[i];

		buf_clear(&next);
		outcome = setting_change(buf_slice(out), one, incremental ? one->op : SETTING_SET, &next);
		if (outcome == OUTCOME_SETTING)
			change->bad_key = one->setting.key;
		swap = *out;
		*out = next;
		next = swap;
		if (out->failed)
			outcome = OUTCOME_NO_MEMORY;
	}
	if (out->failed)
		outcome = OUTCOME_NO_MEMORY;
	buf_deinit(&next);
	return outcome;
}

/* --- views --- */

static size_t count_settings(const struct topic *topic)
{
	struct slice rest = topic_settings(topic);
	struct topic_setting one;
	size_t count = 0;

	while (topic_setting_get(&rest, &one) == 1)
		count++;
	return count;
}

static void view_partitions(const struct sequencer *s, const struct topic *topic, struct partition_view *partitions)
{
	for (uint32_t i = 0; i < topic->partition_count; i++) {
		const struct stream *stream = partition_find(s, topic, i);

		if (!stream)
			continue;
		partitions[i] = (struct partition_view){
			.stream = stream->number,
			.earliest_offset = stream_earliest(stream),
			.next_offset = stream->next_offset,
			.bytes = stream->bytes,
			.stable_offset = stream_stable(stream),
		};
	}
}

/* One block: the view, the partitions, the settings, then the texts. *room is what such views may take yet. NULL: no memory. */
static struct topic_view *topic_view_new(const struct sequencer *s, const struct topic *topic, const struct topics_in *in,
					 uint64_t *room)
{
	bool with_settings = in->settings;
	uint32_t partition_count = in->counted ? 0 : topic->partition_count;
	size_t setting_count = with_settings ? count_settings(topic) : 0;
	size_t texts = topic->name_len + (with_settings ? topic->settings_len : 0);
	size_t bytes = sizeof(struct topic_view) + partition_count * sizeof(struct partition_view) +
		       setting_count * sizeof(struct topic_setting) + texts;
	struct topic_view *view = bytes <= *room ? mem_zalloc(bytes) : NULL;
	struct partition_view *partitions;
	struct topic_setting *settings;
	struct slice rest;
	char *text;

	if (!view)
		return NULL;
	*room -= bytes;
	partitions = (struct partition_view *)(view + 1);
	settings = (struct topic_setting *)(partitions + partition_count);
	text = (char *)(settings + setting_count);
	if (partition_count)
		view_partitions(s, topic, partitions);
	memcpy(text, topic->name, topic->name_len);
	*view = (struct topic_view){
		.name = slice_from(text, topic->name_len),
		.id = topic->id,
		.partition_count = topic->partition_count,
		.setting_count = (uint32_t)setting_count,
		.settings = settings,
		.partitions = in->counted ? NULL : partitions,
	};
	if (!setting_count)
		return view;
	memcpy(text + topic->name_len, topic->settings, topic->settings_len);
	rest = slice_from(text + topic->name_len, topic->settings_len);
	for (size_t i = 0; i < setting_count && topic_setting_get(&rest, &settings[i]) == 1; i++)
		;
	return view;
}

static bool view_add(struct sequencer *s, struct command *c, const struct topic *topic, uint64_t *room)
{
	struct topic_view *view = topic ? topic_view_new(s, topic, &c->in.topics, room) : NULL;

	c->out.topics[c->out.topic_count++] = view;
	return view || !topic;
}

/* One page of all, or all: `count`, for which c->out.topics has room. */
static bool views_add(struct sequencer *s, struct command *c, size_t count, uint64_t *room)
{
	const struct topics_in *in = &c->in.topics;
	const struct topic *last = NULL;

	list_each (node, &s->topics.all) {
		const struct topic *topic = container_of(node, struct topic, peers);

		if (topic->number <= in->after)
			continue;
		if (c->out.topic_count == count) {
			c->out.next = last ? last->number : 0;
			break;
		}
		if (!view_add(s, c, topic, room))
			return false;
		last = topic;
	}
	return true;
}

void command_topics(struct sequencer *s, struct command *c)
{
	const struct topics_in *in = &c->in.topics;
	size_t count = in->topics ? in->count : s->topics.count;
	uint64_t room = s->config.views_bytes_max;
	bool ok;

	if (!in->topics && in->limit && in->limit < count)
		count = in->limit;
	c->out.topics = mem_zalloc(count * sizeof(*c->out.topics));
	ok = c->out.topics != NULL;
	for (size_t i = 0; in->topics && i < count && ok; i++)
		ok = view_add(s, c, topic_of(s, &in->topics[i]), &room);
	if (!in->topics)
		ok = ok && views_add(s, c, count, &room);
	if (!ok || !views_take(s, c, s->config.views_bytes_max - room)) {
		ok = false;
		command_answer_deinit(c);
	}
	reply(s, c, ok ? OUTCOME_OK : OUTCOME_NO_MEMORY, ok ? s->appended_end : 0);
}

void topic_answer_deinit(struct command *c)
{
	for (size_t i = 0; i < c->out.topic_count; i++)
		mem_free(c->out.topics[i]);
	mem_free(c->out.topics);
	for (size_t i = 0; c->kind == COMMAND_FETCH && i < c->in.fetch.count; i++) {
		struct fetch_partition *partition = &c->in.fetch.partitions[i];

		partition->view = stream_view_unref(partition->view);
		partition->aborted = mem_free(partition->aborted);
		partition->aborted_count = 0;
	}
	for (size_t i = 0; c->kind == COMMAND_LIST_OFFSETS && i < c->in.list_offsets.count; i++)
		c->in.list_offsets.partitions[i].view = stream_view_unref(c->in.list_offsets.partitions[i].view);
}

/* --- checkpoint --- */

static int put(struct sequencer *s, const struct topic_event *e, const struct stream_sink *sink)
{
	buf_clear(&s->fields);
	topic_event_encode(e, &s->fields);
	return s->fields.failed ? -ENOMEM : sink->add(sink->ctx, (uint8_t)e->type, buf_slice(&s->fields));
}

int topics_snapshot_meta(struct sequencer *s, const struct stream_sink *sink)
{
	return put(s,
		   &(struct topic_event){.type = TOPIC_SNAP_META,
					 .next_number = s->topics.next_number,
					 .next_producer_id = s->topics.next_producer_id},
		   sink);
}

int topic_snapshot_put(struct sequencer *s, const struct topic *topic, const struct stream_sink *sink)
{
	struct buf runs = {0};
	struct topic_event e;
	int r;

	topic_snapshot(topic, &runs, &e);
	r = runs.failed ? -ENOMEM : put(s, &e, sink);
	buf_deinit(&runs);
	return r;
}
