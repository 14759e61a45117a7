/* Groups as a whole: DescribeGroups, ConsumerGroupDescribe, ListGroups, DeleteGroups. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_consumer.h"
#include "kafka/codec/messages_group.h"

enum { GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 };

static const struct slice states[GROUP_STATE_COUNT] = {
	[GROUP_EMPTY] = SLICE_INIT("Empty"),
	[GROUP_PREPARING] = SLICE_INIT("PreparingRebalance"),
	[GROUP_COMPLETING] = SLICE_INIT("CompletingRebalance"),
	[GROUP_STABLE] = SLICE_INIT("Stable"),
	[GROUP_ASSIGNING] = SLICE_INIT("Assigning"),
	[GROUP_RECONCILING] = SLICE_INIT("Reconciling"),
};

/* By whether it is one of consumers (KIP-848). */
static const struct slice types[] = {SLICE_INIT("classic"), SLICE_INIT("consumer")};

/* Several commands of one call, each of which fills one part of the answer. */
struct parts {
	struct kafka_ask **asks;
	void *of; /* as many parts as asks */
	const void *request;
	uint32_t left, sent, count;
};

static struct parts *parts_new(struct kafka_call *call, uint32_t count, size_t part_bytes)
{
	struct parts *parts = kafka_call_alloc(call, sizeof(*parts));

	if (!parts)
		return NULL;
	parts->left = parts->count = count;
	parts->of = kafka_call_alloc(call, (count + 1) * part_bytes);
	parts->asks = parts->of ? kafka_call_alloc(call, (count + 1) * sizeof(struct kafka_ask *)) : NULL;
	call->own = parts;
	return parts->asks ? parts : NULL;
}

/* A few at a time: what they bring is held until it is their turn. */
static void parts_send(struct kafka_call *call)
{
	struct parts *parts = call->own;

	while (parts->sent < parts->count && parts->sent + parts->left < parts->count + KAFKA_ASKS_UNDER_WAY)
		kafka_ask_send(call, parts->asks[parts->sent++]);
}

static void parts_ask(struct kafka_call *call, const struct slice *groups, enum command_kind kind,
		      void (*answered)(struct kafka_call *call, struct kafka_ask *ask))
{
	const struct parts *parts = call->own;

	for (uint32_t i = 0; i < parts->count; i++) {
		parts->asks[i] = kafka_ask_new(call, kind, answered);
		if (!parts->asks[i])
			return;
		parts->asks[i]->command.in.group.group = groups[i];
	}
	parts_send(call);
}

/* One has come back; true: it was the last. */
static bool parts_done(struct kafka_call *call)
{
	struct parts *parts = call->own;

	parts->left--;
	parts_send(call);
	return parts->left == 0;
}

/* They come back in the order in which they were sent: it is the first that is looked at. */
static uint32_t part_of(const struct parts *parts, const struct kafka_ask *ask)
{
	uint32_t i = parts->count - parts->left;

	while (parts->asks[i] != ask)
		i = (i + 1) % parts->count;
	return i;
}

/* --- DescribeGroups --- */

static void described_all(struct kafka_call *call)
{
	const struct parts *parts = call->own;
	struct kafka_describe_groups_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->groups.at = parts->of;
	response->groups.count = parts->count;
	kafka_call_answer(call, response);
}

static bool describe_members(struct kafka_call *call, const struct group_view *view, struct kafka_described_group *group)
{
	struct kafka_described_member *members = kafka_call_alloc(call, (view->member_count + 1) * sizeof(*members));
	bool stable = view->state == GROUP_STABLE;

	if (!members)
		return false;
	for (size_t i = 0; i < view->member_count; i++) {
		const struct group_member_view *member = &view->members[i];

		members[i] = (struct kafka_described_member){
			.member_id = kafka_call_dup(call, member->id),
			.client_id = kafka_call_dup(call, member->client_id),
			.client_host = kafka_call_dup(call, member->client_host),
		};
		if (member->instance.len)
			members[i].group_instance_id = kafka_call_dup(call, member->instance);
		if (stable && member->metadata.len)
			members[i].member_metadata = kafka_call_dup(call, member->metadata);
		if (stable && member->assignment.len)
			members[i].member_assignment = kafka_call_dup(call, member->assignment);
	}
	group->members.at = members;
	group->members.count = (uint32_t)view->member_count;
	return !kafka_call_is_answered(call);
}

static void described(struct kafka_call *call, struct kafka_ask *ask)
{
	struct parts *parts = call->own;
	const struct kafka_describe_groups_request *request = parts->request;
	struct kafka_described_group *group = (struct kafka_described_group *)parts->of + part_of(parts, ask);
	const struct group_view *view = ask->command.out.group;

	*group = (struct kafka_described_group){
		.group_id = ask->command.in.group.group,
		.group_state = SLICE("Dead"),
		.authorized_operations = request->include_authorized_operations ? GROUP_OPERATIONS : INT32_MIN,
	};
	if (ask->command.outcome != OUTCOME_OK && ask->command.outcome != OUTCOME_NOT_FOUND)
		group->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	/* Of the other kind it is as if it were not there: whoever asks asks ConsumerGroupDescribe, too. */
	if (view && !view->is_consumer) {
		group->group_state = states[view->state];
		group->protocol_type = kafka_call_dup(call, view->protocol_type);
		if (view->state == GROUP_STABLE)
			group->protocol_data = kafka_call_dup(call, view->protocol);
		if (!describe_members(call, view, group))
			return;
	}
	if (parts_done(call))
		described_all(call);
}

void describe_groups_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_describe_groups_request *request = message;
	struct parts *parts = parts_new(call, request->groups.count, sizeof(struct kafka_described_group));

	if (!parts)
		return;
	parts->request = request;
	if (parts->count == 0)
		described_all(call);
	else
		parts_ask(call, request->groups.at, COMMAND_GROUP_GET, described);
}

/* --- ConsumerGroupDescribe --- */

static void consumers_described_all(struct kafka_call *call)
{
	const struct parts *parts = call->own;
	struct kafka_consumer_group_describe_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->groups.at = parts->of;
	response->groups.count = parts->count;
	kafka_call_answer(call, response);
}

static bool describe_places(struct kafka_call *call, const struct consumer_places_view *view,
			    struct kafka_member_assignment *assignment)
{
	struct kafka_member_partitions *topics = kafka_call_alloc(call, (view->count + 1) * sizeof(*topics));

	for (uint32_t i = 0; i < view->count && topics; i++) {
		const struct consumer_topic_view *topic = &view->topics[i];
		int32_t *partitions = kafka_call_alloc(call, (topic->count + 1) * sizeof(*partitions));

		if (!partitions)
			return false;
		memcpy(partitions, topic->partitions, topic->count * sizeof(*partitions));
		memcpy(topics[i].topic_id.bytes, topic->id.bytes, sizeof(topics[i].topic_id.bytes));
		topics[i].topic_name = kafka_call_dup(call, topic->name);
		topics[i].partitions.at = partitions;
		topics[i].partitions.count = topic->count;
	}
	assignment->topic_partitions.at = topics;
	assignment->topic_partitions.count = view->count;
	return topics;
}

static struct slice dup_or_null(struct kafka_call *call, struct slice text)
{
	return text.len ? kafka_call_dup(call, text) : (struct slice){0};
}

static bool describe_consumer(struct kafka_call *call, const struct consumer_view *view, struct kafka_consumer_member *member)
{
	struct slice *topics = kafka_call_alloc(call, (view->topic_count + 1) * sizeof(*topics));

	if (!topics)
		return false;
	for (uint32_t i = 0; i < view->topic_count; i++)
		topics[i] = kafka_call_dup(call, view->topics[i]);
	*member = (struct kafka_consumer_member){
		.member_id = kafka_call_dup(call, view->id),
		.instance_id = dup_or_null(call, view->instance),
		.rack_id = dup_or_null(call, view->rack),
		.member_epoch = view->is_away ? CONSUMER_PAUSES : (int32_t)view->epoch,
		.client_id = kafka_call_dup(call, view->client_id),
		.client_host = kafka_call_dup(call, view->client_host),
		.subscribed_topic_regex = dup_or_null(call, view->regex),
		.member_type = 1,
	};
	member->subscribed_topic_names.at = topics;
	member->subscribed_topic_names.count = view->topic_count;
	return describe_places(call, &view->assigned, &member->assignment) &&
	       describe_places(call, &view->target, &member->target_assignment);
}

static bool describe_group(struct kafka_call *call, const struct kafka_ask *ask, struct kafka_consumer_group *group)
{
	const struct group_view *view = ask->command.out.group;
	const struct consumers_view *consumers = ask->command.out.consumers;
	struct kafka_consumer_member *members = kafka_call_alloc(call, (consumers->count + 1) * sizeof(*members));

	for (uint32_t i = 0; i < consumers->count && members; i++) {
		if (!describe_consumer(call, &consumers->at[i], &members[i]))
			return false;
	}
	group->group_state = states[view->state];
	group->group_epoch = (int32_t)view->generation;
	group->assignment_epoch = (int32_t)consumers->assignment_epoch;
	group->assignor_name = kafka_call_dup(call, view->protocol);
	group->members.at = members;
	group->members.count = consumers->count;
	return !kafka_call_is_answered(call);
}

static void consumers_described(struct kafka_call *call, struct kafka_ask *ask)
{
	struct parts *parts = call->own;
	const struct kafka_consumer_group_describe_request *request = parts->request;
	struct kafka_consumer_group *group = (struct kafka_consumer_group *)parts->of + part_of(parts, ask);
	enum outcome outcome = ask->command.outcome;

	if (outcome == OUTCOME_OK && !ask->command.out.group->is_consumer)
		outcome = OUTCOME_NOT_FOUND;
	*group = (struct kafka_consumer_group){
		.error_code = (int16_t)kafka_group_error_of(outcome),
		.group_id = ask->command.in.group.group,
		.group_state = KAFKA_EMPTY,
		.assignor_name = KAFKA_EMPTY,
		.authorized_operations = request->include_authorized_operations ? GROUP_OPERATIONS : INT32_MIN,
	};
	if (outcome == OUTCOME_NOT_FOUND)
		group->error_message = SLICE("There is no such consumer group.");
	if (outcome == OUTCOME_OK && !describe_group(call, ask, group))
		return;
	if (parts_done(call))
		consumers_described_all(call);
}

void consumer_group_describe_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_consumer_group_describe_request *request = message;
	struct parts *parts = parts_new(call, request->group_ids.count, sizeof(struct kafka_consumer_group));

	if (!parts)
		return;
	parts->request = request;
	if (parts->count == 0)
		consumers_described_all(call);
	else
		parts_ask(call, request->group_ids.at, COMMAND_GROUP_GET, consumers_described);
}

/* --- DeleteGroups --- */

static void deleted_all(struct kafka_call *call)
{
	const struct parts *parts = call->own;
	struct kafka_delete_groups_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->results.at = parts->of;
	response->results.count = parts->count;
	kafka_call_answer(call, response);
}

static void deleted(struct kafka_call *call, struct kafka_ask *ask)
{
	struct parts *parts = call->own;
	struct kafka_deleted_group *group = (struct kafka_deleted_group *)parts->of + part_of(parts, ask);

	group->group_id = ask->command.in.group.group;
	group->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	if (parts_done(call))
		deleted_all(call);
}

void delete_groups_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_delete_groups_request *request = message;
	struct parts *parts = parts_new(call, request->groups_names.count, sizeof(struct kafka_deleted_group));

	if (!parts)
		return;
	if (parts->count == 0)
		deleted_all(call);
	else
		parts_ask(call, request->groups_names.at, COMMAND_GROUP_DELETE, deleted);
}

/* --- ListGroups --- */

/* Which of the kinds are meant, by their numbers; no filter: all. */
static uint32_t kinds_of(const struct slice *filter, uint32_t count, const struct slice *kinds, uint32_t kind_count)
{
	uint32_t mask = count ? 0 : UINT32_MAX;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t kind = 0; kind < kind_count; kind++)
			mask |= (uint32_t)slice_eq_nocase(filter[i], kinds[kind]) << kind;
	}
	return mask;
}

static void listed(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_list_groups_request *request = call->own;
	struct kafka_list_groups_response *response = kafka_call_response(call);
	size_t count = ask->command.out.group_count;
	struct kafka_listed_group *groups = response ? kafka_call_alloc(call, (count + 1) * sizeof(*groups)) : NULL;
	uint32_t state_mask = kinds_of(request->states_filter.at, request->states_filter.count, states, GROUP_STATE_COUNT);
	uint32_t type_mask = kinds_of(request->types_filter.at, request->types_filter.count, types, ARRAY_COUNT(types));

	if (!groups)
		return;
	response->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	response->groups.at = groups;
	for (size_t i = 0; i < count; i++) {
		const struct group_view *view = ask->command.out.groups[i];

		if (state_mask >> view->state & 1 && type_mask >> view->is_consumer & 1)
			groups[response->groups.count++] = (struct kafka_listed_group){
				view->id, view->protocol_type, states[view->state], types[view->is_consumer]};
	}
	kafka_call_answer(call, response);
}

void list_groups_handle(struct kafka_call *call, const void *message)
{
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_GROUPS, listed);

	if (!ask)
		return;
	call->own = (void *)(uintptr_t)message;
	kafka_ask_send(call, ask);
}
