/* Groups as a whole: DescribeGroups, ListGroups, DeleteGroups. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_group.h"

enum { GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 };

static const struct slice states[GROUP_STATE_COUNT] = {
	[GROUP_EMPTY] = SLICE_INIT("Empty"),
	[GROUP_PREPARING] = SLICE_INIT("PreparingRebalance"),
	[GROUP_COMPLETING] = SLICE_INIT("CompletingRebalance"),
	[GROUP_STABLE] = SLICE_INIT("Stable"),
};

/* Several commands of one call, each of which fills one part of the answer. */
struct parts {
	struct kafka_ask **asks;
	void *of; /* as many parts as asks */
	const void *request;
	uint32_t left, count;
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
	for (uint32_t i = 0; i < parts->count; i++)
		kafka_ask_send(call, parts->asks[i]);
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
	if (view) {
		group->group_state = states[view->state];
		group->protocol_type = kafka_call_dup(call, view->protocol_type);
		if (view->state == GROUP_STABLE)
			group->protocol_data = kafka_call_dup(call, view->protocol);
		if (!describe_members(call, view, group))
			return;
	}
	if (--parts->left == 0)
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
	if (--parts->left == 0)
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

static bool is_wanted(const struct kafka_list_groups_request *request, struct slice state)
{
	for (uint32_t i = 0; i < request->states_filter.count; i++) {
		if (slice_eq_nocase(request->states_filter.at[i], state))
			return true;
	}
	return request->states_filter.count == 0;
}

static void listed(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_list_groups_request *request = call->own;
	struct kafka_list_groups_response *response = kafka_call_response(call);
	size_t count = ask->command.out.group_count;
	struct kafka_listed_group *groups = response ? kafka_call_alloc(call, (count + 1) * sizeof(*groups)) : NULL;

	if (!groups)
		return;
	response->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	response->groups.at = groups;
	for (size_t i = 0; i < count; i++) {
		const struct group_view *view = ask->command.out.groups[i];

		if (is_wanted(request, states[view->state]))
			groups[response->groups.count++] =
				(struct kafka_listed_group){view->id, view->protocol_type, states[view->state]};
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
