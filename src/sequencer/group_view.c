/* Groups as others see them: views, the ids of members, and the state in a checkpoint.
 *
 * A member's id ends as a UUID of which the first half is a number and the second what the journal's secret makes of that, of the
 * rest of the id and of the group. So it needs no table to know an id that was given away: not before its member has joined, and
 * not after a restart. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

/* --- views --- */

static struct slice put(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static struct slice said(const struct group *group, const struct member *member)
{
	struct slice metadata = {0};

	return member_protocol(member, group->protocol, &metadata) ? metadata : (struct slice){0};
}

static size_t member_bytes(const struct group *group, const struct member *member)
{
	return member->id.len + member->instance.len + member->client_id.len + member->client_host.len + member->assignment.len +
	       said(group, member).len;
}

static void put_member(struct group_view *view, const struct group *group, const struct member *member, char **at)
{
	view->members[view->member_count++] = (struct group_member_view){
		.id = put(at, member->id),
		.instance = put(at, member->instance),
		.client_id = put(at, member->client_id),
		.client_host = put(at, member->client_host),
		.metadata = put(at, said(group, member)),
		.assignment = put(at, member->assignment),
	};
}

struct group_view *group_view_new(const struct group *group, const struct member *asker, bool with_members)
{
	size_t count = with_members ? group->member_count : 0;
	struct slice protocol_type = group_is_of_consumers(group) ? SLICE("consumer") : group->protocol_type;
	struct slice protocol = group_is_of_consumers(group) ? assignor_names[group->assignor] : group->protocol;
	size_t bytes = group->id_len + protocol_type.len + protocol.len;
	struct group_view *view;
	char *at;

	if (group->leader)
		bytes += group->leader->id.len;
	if (asker)
		bytes += asker->id.len + asker->assignment.len;
	if (with_members) {
		list_each (node, &group->members)
			bytes += member_bytes(group, container_of(node, struct member, peers));
	}
	bytes += sizeof(*view) + count * sizeof(view->members[0]);
	view = mem_zalloc(bytes);
	if (!view)
		return NULL;
	view->bytes = bytes;
	at = (char *)&view->members[count];
	view->id = put(&at, group_id(group));
	view->protocol_type = put(&at, protocol_type);
	view->protocol = put(&at, protocol);
	if (group->leader)
		view->leader = put(&at, group->leader->id);
	if (asker) {
		view->member_id = put(&at, asker->id);
		view->assignment = put(&at, asker->assignment);
	}
	view->number = group->number;
	view->generation = group->generation;
	view->state = group_state_told(group);
	view->is_consumer = group_is_of_consumers(group);
	view->offset_count = group->offset_count;
	if (with_members) {
		list_each (node, &group->members)
			put_member(view, group, container_of(node, struct member, peers), &at);
	} else {
		view->member_count = asker ? 0 : group->member_count + group->consumer_count;
	}
	return view;
}

struct group_view *group_view_id(struct slice member_id)
{
	struct group_view *view = mem_zalloc(sizeof(*view) + member_id.len);
	char *at;

	if (!view)
		return NULL;
	at = (char *)view->members;
	view->member_id = put(&at, member_id);
	return view;
}

/* --- offsets --- */

static int by_place(const void *a, const void *b)
{
	const struct group_offset_view *x = a, *y = b;
	size_t len = x->topic.len < y->topic.len ? x->topic.len : y->topic.len;
	int order = memcmp(x->topic.ptr, y->topic.ptr, len);

	if (order)
		return order;
	if (x->topic.len != y->topic.len)
		return x->topic.len > y->topic.len ? 1 : -1;
	return (x->partition > y->partition) - (x->partition < y->partition);
}

static struct group_offsets_view *offsets_room(const struct sequencer *s, size_t count, size_t bytes, char **ret_at)
{
	struct group_offsets_view *view;

	bytes += sizeof(*view) + count * sizeof(view->at[0]);
	view = bytes <= s->config.views_bytes_max ? mem_zalloc(bytes) : NULL;
	if (!view)
		return NULL;
	view->bytes = bytes;
	*ret_at = (char *)&view->at[count];
	return view;
}

/* The topic that was looked up last: partitions are mostly told topic by topic. */
struct last_topic {
	struct slice name;
	const struct topic *topic;
};

static const struct topic *topic_again(const struct sequencer *s, struct slice name, struct last_topic *last)
{
	if (!last->name.ptr || !slice_eq(last->name, name))
		*last = (struct last_topic){name, topic_find(&s->topics, name)};
	return last->topic;
}

static void put_offset(const struct sequencer *s, struct group_offset_view *view, const struct group_offset *offset,
		       struct last_topic *last, char **at)
{
	const struct stream *partition = partition_find(s, topic_again(s, offset_topic(offset), last), offset->partition);

	view->metadata = put(at, offset_metadata(offset));
	view->partition = offset->partition;
	view->offset = (int64_t)offset->offset;
	view->leader_epoch = offset->leader_epoch;
	view->committed_ms = offset->committed_ms;
	view->end_offset = partition ? (int64_t)partition->next_offset : -1;
}

static struct group_offsets_view *offsets_all(const struct sequencer *s, const struct group *group)
{
	struct last_topic last = {0};
	struct group_offsets_view *view;
	size_t bytes = 0;
	char *at;

	list_each (node, &group->offsets) {
		const struct group_offset *offset = container_of(node, struct group_offset, peers);

		bytes += offset->topic_len + offset->metadata_len;
	}
	view = offsets_room(s, group->offset_count, bytes, &at);
	if (!view)
		return NULL;
	list_each (node, &group->offsets) {
		const struct group_offset *offset = container_of(node, struct group_offset, peers);

		view->at[view->count].topic = put(&at, offset_topic(offset));
		put_offset(s, &view->at[view->count++], offset, &last, &at);
	}
	qsort(view->at, view->count, sizeof(view->at[0]), by_place);
	return view;
}

static struct group_offsets_view *offsets_of(const struct sequencer *s, const struct group *group,
					     const struct group_offsets_in *in)
{
	const struct group_offset **found = mem_zalloc((in->count + 1) * sizeof(*found));
	struct group_offsets_view *view = NULL;
	struct last_topic last = {0};
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; found && group && i < in->count; i++) {
		found[i] = offset_find(&s->groups, group, in->places[i].topic, in->places[i].partition);
		bytes += found[i] ? found[i]->metadata_len : 0;
	}
	if (found)
		view = offsets_room(s, in->count, bytes, &at);
	for (size_t i = 0; view && i < in->count; i++) {
		const struct group_place *place = &in->places[i];

		view->at[view->count] = (struct group_offset_view){
			.topic = place->topic, .partition = place->partition, .offset = -1, .leader_epoch = -1, .end_offset = -1};
		if (found[i])
			put_offset(s, &view->at[view->count], found[i], &last, &at);
		view->count++;
	}
	mem_free(found);
	return view;
}

struct group_offsets_view *group_offsets_view_new(const struct sequencer *s, const struct group *group,
						  const struct group_offsets_in *in)
{
	struct group_offsets_view *view = !in->places && group ? offsets_all(s, group) : offsets_of(s, group, in);

	if (view && in->stable && !txn_mark_unstable(s, in->group, view))
		view = mem_free(view);
	return view;
}

void group_answer_deinit(struct command *c)
{
	mem_free(c->out.group);
	for (size_t i = 0; i < c->out.group_count; i++)
		mem_free(c->out.groups[i]);
	mem_free(c->out.groups);
	mem_free(c->out.offsets);
	consumers_view_free(c->out.consumers);
}

/* --- ids of members --- */

enum { UUID_CHARS = 36, UUID_HEX = 32 };

static bool is_dash(unsigned i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static void put_uuid(uint64_t a, uint64_t b, char *out)
{
	static const char hex[] = "0123456789abcdef";
	unsigned nibble = 0;

	for (unsigned i = 0; i < UUID_CHARS; i++) {
		unsigned shift = 60 - 4 * (nibble % 16);

		if (is_dash(i)) {
			out[i] = '-';
			continue;
		}
		out[i] = hex[((nibble < 16 ? a : b) >> shift) & 15];
		nibble++;
	}
}

static uint64_t tag_of(const struct sequencer *s, struct slice group, struct slice prefix, uint64_t nonce)
{
	return hash_u64(&s->member_key, nonce ^ hash_bytes(&s->member_key, prefix.ptr, prefix.len),
			hash_bytes(&s->member_key, group.ptr, group.len));
}

struct slice member_id_make(struct sequencer *s, struct slice group, struct slice prefix, char ret_id[GROUP_MEMBER_ID_MAX])
{
	uint64_t nonce = hash_u64(&s->member_key, s->members_made++, s->now_ms ^ s->appended_end << 1);

	if (prefix.len > GROUP_CLIENT_MAX)
		prefix.len = GROUP_CLIENT_MAX;
	if (prefix.len)
		memcpy(ret_id, prefix.ptr, prefix.len);
	ret_id[prefix.len] = '-';
	put_uuid(nonce, tag_of(s, group, prefix, nonce), ret_id + prefix.len + 1);
	return slice_from(ret_id, prefix.len + 1 + UUID_CHARS);
}

static bool get_uuid(const char *text, uint64_t ret[2])
{
	unsigned nibble = 0;

	ret[0] = ret[1] = 0;
	for (unsigned i = 0; i < UUID_CHARS; i++) {
		char c = text[i];
		uint64_t *half = &ret[nibble / 16 < 2 ? nibble / 16 : 1];

		if (is_dash(i)) {
			if (c != '-')
				return false;
			continue;
		}
		if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
			return false;
		*half = *half << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		nibble++;
	}
	return true;
}

bool member_id_known(const struct sequencer *s, struct slice group, struct slice id)
{
	struct slice prefix = {id.ptr, 0};
	uint64_t halves[2];

	if (id.len < UUID_CHARS + 1 || id.len > GROUP_MEMBER_ID_MAX)
		return false;
	prefix.len = id.len - UUID_CHARS - 1;
	return id.ptr[prefix.len] == '-' && get_uuid(id.ptr + prefix.len + 1, halves) &&
	       halves[1] == tag_of(s, group, prefix, halves[0]);
}

/* --- checkpoint --- */

int group_snap(struct sequencer *s, const struct group_event *e, const struct stream_sink *sink)
{
	buf_clear(&s->fields);
	group_event_encode(e, &s->fields);
	return s->fields.failed ? -ENOMEM : sink->add(sink->ctx, (uint8_t)e->type, buf_slice(&s->fields));
}

int group_snapshot_meta(struct sequencer *s, const struct stream_sink *sink)
{
	return group_snap(s, &(struct group_event){.type = GROUP_SNAP_META, .next_number = s->groups.next_number}, sink);
}

int group_snapshot(struct sequencer *s, const struct group *group, const struct stream_sink *sink)
{
	struct group_event e = {
		.type = GROUP_SNAP,
		.number = group->number,
		.id = group_id(group),
		.generation = group->generation,
		.members = group->begun_members,
		.session_ms = group->begun_session_ms,
		.protocol_type = group->protocol_type,
		.protocol = group->protocol,
		.used_ms = group->used_ms,
		.changed_end = group->changed_end,
	};
	struct slice topic = {0};
	struct buf items = {0};
	int r = 0;

	for (const struct list *node = group->offsets.next; !r && node != &group->offsets; node = node->next) {
		const struct group_offset *offset = container_of(node, struct group_offset, peers);

		if (items.len >= GROUP_OFFSETS_BYTES) {
			e.offsets = buf_slice(&items);
			r = items.failed ? -ENOMEM : group_snap(s, &e, sink);
			e = (struct group_event){.type = GROUP_SNAP_OFFSETS, .number = group->number};
			buf_clear(&items);
			topic = (struct slice){0};
		}
		offset_put(&items,
			   &(struct offset_item){offset_topic(offset), offset->partition, offset->offset, offset->leader_epoch,
						 offset_metadata(offset), offset->committed_ms},
			   &topic);
	}
	e.offsets = buf_slice(&items);
	if (!r)
		r = items.failed ? -ENOMEM : group_snap(s, &e, sink);
	buf_deinit(&items);
	return r ? r : consumers_snapshot(s, group, sink);
}
