/* Consumers as others see them, and in a checkpoint. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>

enum group_state group_state_told(const struct group *group)
{
	if (!group_is_of_consumers(group))
		return group->state;
	if (group->consumer_count == 0)
		return GROUP_EMPTY;
	if (group->generation != group->assignment_epoch)
		return GROUP_ASSIGNING;
	list_each (node, &group->consumers) {
		const struct consumer *consumer = container_of(node, struct consumer, peers);

		if (consumer->state != HOLDING_STABLE || consumer->epoch != group->assignment_epoch)
			return GROUP_RECONCILING;
	}
	return GROUP_STABLE;
}

/* --- views --- */

/* Of topics that there are. false: no memory. */
static bool view_places(const struct sequencer *s, struct arena *arena, const struct places *places,
			struct consumer_places_view *view)
{
	int32_t *partitions = arena_alloc(arena, (places->count + 1) * sizeof(*partitions));
	struct consumer_topic_view *topics;
	uint32_t count = 0;

	for (uint32_t i = 0; i < places->count; i++)
		count += i == 0 || places->at[i].topic != places->at[i - 1].topic;
	topics = arena_zalloc(arena, (count + 1) * sizeof(*topics));
	if (!partitions || !topics)
		return false;
	view->topics = topics;
	for (uint32_t i = 0, end; i < places->count; i = end) {
		const struct topic *topic = topic_find_number(&s->topics, places->at[i].topic);
		struct consumer_topic_view *one = &topics[view->count];

		for (end = i; end < places->count && places->at[end].topic == places->at[i].topic; end++)
			partitions[end] = (int32_t)places->at[end].partition;
		if (!topic)
			continue;
		*one = (struct consumer_topic_view){topic->id, arena_dup(arena, topic_name(topic)), partitions + i, end - i};
		if (!one->name.ptr)
			return false;
		view->count++;
	}
	return true;
}

static bool view_assigned(const struct sequencer *s, struct arena *arena, const struct consumer *consumer,
			  struct consumer_places_view *view)
{
	struct places places = {arena_alloc(arena, (consumer_assigned_count(consumer) + 1) * sizeof(struct place)), 0};

	if (!places.at)
		return false;
	for (uint32_t i = 0; consumer->holding && i < consumer->holding->count; i++) {
		if (!consumer->holding->at[i].revoking)
			places.at[places.count++] = consumer->holding->at[i].place;
	}
	return view_places(s, arena, &places, view);
}

static bool keep_text(struct arena *arena, struct slice *s)
{
	*s = arena_dup(arena, *s);
	return s->ptr;
}

static bool view_subscription(struct arena *arena, struct slice strings, struct consumer_view *view)
{
	struct wire_reader r = wire_reader_of(strings);
	struct slice *topics;
	uint32_t count = 0;

	while (r.at < r.end) {
		wire_string(&r);
		count++;
	}
	topics = arena_zalloc(arena, (count + 1) * sizeof(*topics));
	if (!topics)
		return false;
	view->topics = topics;
	r = wire_reader_of(strings);
	while (r.at < r.end) {
		topics[view->topic_count] = wire_string(&r);
		if (!keep_text(arena, &topics[view->topic_count++]))
			return false;
	}
	return true;
}

static bool view_all(const struct sequencer *s, struct arena *arena, const struct consumer *consumer, struct consumer_view *view)
{
	const struct consumer_said *said = consumer->said;

	*view = (struct consumer_view){.id = said->id,
				       .instance = said->instance,
				       .rack = said->rack,
				       .client_id = said->client_id,
				       .client_host = said->client_host,
				       .regex = said->regex,
				       .epoch = consumer->epoch,
				       .is_away = consumer->state == HOLDING_AWAY};
	return keep_text(arena, &view->id) && keep_text(arena, &view->instance) && keep_text(arena, &view->rack) &&
	       keep_text(arena, &view->client_id) && keep_text(arena, &view->client_host) && keep_text(arena, &view->regex) &&
	       view_subscription(arena, said->topics, view) && view_assigned(s, arena, consumer, &view->assigned) &&
	       view_places(s, arena, &consumer->target, &view->target);
}

static struct consumers_view *view_room(const struct group *group, uint32_t count)
{
	struct consumers_view *view = mem_zalloc(sizeof(*view));

	if (!view)
		return NULL;
	view->assignment_epoch = group->assignment_epoch;
	view->at = arena_zalloc(&view->arena, (count + 1) * sizeof(*view->at));
	if (!view->at)
		return mem_free(view);
	return view;
}

void consumers_view_free(struct consumers_view *view)
{
	if (view)
		arena_deinit(&view->arena);
	mem_free(view);
}

struct consumers_view *consumers_view_new(const struct sequencer *s, const struct group *group)
{
	struct consumers_view *view = view_room(group, group->consumer_count);

	if (!view)
		return NULL;
	list_each (node, &group->consumers) {
		if (!view_all(s, &view->arena, container_of(node, struct consumer, peers), &view->at[view->count++])) {
			consumers_view_free(view);
			return NULL;
		}
	}
	return view;
}

struct consumers_view *consumer_view_new(const struct sequencer *s, const struct consumer *consumer)
{
	struct consumers_view *view = view_room(consumer->group, 1);

	if (!view)
		return NULL;
	view->count = 1;
	view->at[0] = (struct consumer_view){.id = consumer->said->id, .epoch = consumer->epoch};
	if (keep_text(&view->arena, &view->at[0].id) && view_assigned(s, &view->arena, consumer, &view->at[0].assigned))
		return view;
	consumers_view_free(view);
	return NULL;
}

/* --- checkpoint: the same events as in the journal, which tell all of a member --- */

static int snap_member(struct sequencer *s, const struct group *group, const struct consumer *consumer,
		       const struct stream_sink *sink)
{
	const struct consumer_said *said = consumer->said;
	struct group_event e = {.type = GROUP_MEMBER,
				.number = group->number,
				.generation = group->generation,
				.member = said->id,
				.instance = said->instance,
				.rack = said->rack,
				.client_id = said->client_id,
				.client_host = said->client_host,
				.rebalance_ms = said->rebalance_ms,
				.topics = said->topics,
				.regex = said->regex,
				.assignor = said->assignor};
	struct buf targets = {0}, places = {0};
	int r = group_snap(s, &e, sink);

	places_put(&places, &consumer->target);
	target_put(&targets, said->id, buf_slice(&places));
	if (!r)
		r = targets.failed || places.failed
			    ? -ENOMEM
			    : group_snap(s,
					 &(struct group_event){
						 .type = GROUP_TARGET, .number = group->number, .targets = buf_slice(&targets)},
					 sink);
	buf_deinit(&targets);
	buf_deinit(&places);
	return r;
}

static int snap_held(struct sequencer *s, const struct group *group, const struct consumer *consumer,
		     const struct stream_sink *sink)
{
	uint32_t count = consumer->holding ? consumer->holding->count : 0;
	struct place *room = mem_alloc(2 * (size_t)count * sizeof(*room));
	struct places assigned = {room, 0}, revoking = {room + count, 0};
	struct group_event e = {.type = GROUP_HELD,
				.number = group->number,
				.member = consumer->said->id,
				.epoch = consumer->epoch,
				.previous_epoch = consumer->previous_epoch,
				.state = consumer->state};
	struct buf one = {0}, other = {0}, since = {0};
	int r = -ENOMEM;

	for (uint32_t i = 0; room && i < count; i++) {
		struct places *to = consumer->holding->at[i].revoking ? &revoking : &assigned;

		to->at[to->count++] = consumer->holding->at[i].place;
		wire_put_u8(&since, (uint8_t)(consumer->epoch - consumer->holding->at[i].since));
	}
	if (room) {
		e.since = buf_slice(&since);
		places_put(&one, &assigned);
		places_put(&other, &revoking);
		e.assigned = buf_slice(&one);
		e.revoking = buf_slice(&other);
	}
	if (room && !one.failed && !other.failed && !since.failed)
		r = group_snap(s, &e, sink);
	buf_deinit(&one);
	buf_deinit(&other);
	buf_deinit(&since);
	mem_free(room);
	return r;
}

int consumers_snapshot(struct sequencer *s, const struct group *group, const struct stream_sink *sink)
{
	struct group_event e = {.type = GROUP_EPOCH,
				.number = group->number,
				.generation = group->generation,
				.assignment_epoch = group->assignment_epoch,
				.assignor = assignor_names[group->assignor]};
	int r = 0;

	list_each (node, &group->consumers) {
		const struct consumer *consumer = container_of(node, struct consumer, peers);

		if (!r)
			r = snap_member(s, group, consumer, sink);
		if (!r)
			r = snap_held(s, group, consumer, sink);
	}
	return r || !group->is_consumer ? r : group_snap(s, &e, sink);
}
