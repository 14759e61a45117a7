/* How far groups have come: OffsetCommit, OffsetFetch, OffsetDelete. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_offset.h"

/* --- OffsetCommit --- */

static enum kafka_error commit_error(const struct kafka_ask *ask, const struct group_place *place)
{
	enum outcome outcome = ask->command.outcome;

	if (outcome == OUTCOME_FULL)
		return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
	if (outcome != OUTCOME_OK)
		return kafka_group_error_of(outcome);
	return place->outcome == OUTCOME_TOO_LARGE ? KAFKA_OFFSET_METADATA_TOO_LARGE : kafka_error_of(place->outcome);
}

static void committed(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_offset_commit_request *request = call->own;
	const struct group_place *place = ask->command.in.group_commit.places;
	struct kafka_offset_commit_response *response = kafka_call_response(call);
	struct kafka_committed_topic *topics =
		response ? kafka_call_alloc(call, (request->topics.count + 1) * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_commit_topic *topic = &request->topics.at[i];
		struct kafka_committed_partition *partitions =
			kafka_call_alloc(call, (topic->partitions.count + 1) * sizeof(*partitions));

		if (!partitions)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++)
			partitions[j] = (struct kafka_committed_partition){topic->partitions.at[j].partition_index,
									   (int16_t)commit_error(ask, place++)};
		topics[i].name = topic->name;
		topics[i].partitions.at = partitions;
		topics[i].partitions.count = topic->partitions.count;
	}
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	kafka_call_answer(call, response);
}

void offset_commit_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_offset_commit_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_GROUP_COMMIT, committed);
	struct group_place *places, *place;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	places = place = ask ? kafka_call_alloc(call, (count + 1) * sizeof(*places)) : NULL;
	if (!places)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_commit_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++) {
			const struct kafka_commit_partition *partition = &topic->partitions.at[j];

			/* Negative numbers become some that are too large to be any. */
			*place++ = (struct group_place){.topic = topic->name,
							.partition = (uint32_t)partition->partition_index,
							.offset = (uint64_t)partition->committed_offset,
							.leader_epoch = partition->committed_leader_epoch,
							.metadata = partition->committed_metadata};
		}
	}
	call->own = (void *)(uintptr_t)request;
	ask->command.in.group_commit = (struct group_commit_in){
		.who = {request->group_id, request->member_id, request->group_instance_id, request->generation_id_or_member_epoch,
			false},
		.places = places,
		.count = count,
	};
	kafka_ask_send(call, ask);
}

/* --- OffsetFetch: one command a group --- */

struct fetched {
	uint32_t left; /* groups not back yet */
	uint32_t sent; /* groups asked about */
	bool many;     /* asked in the list of groups */
	struct fetched_group {
		struct kafka_ask *ask;
		struct kafka_offset_fetch_group asked;
		struct kafka_offset_fetched_group answer;
	} * groups;
	uint32_t count;
};

static struct kafka_offset_fetched_partition fetched_partition(struct kafka_call *call, const struct group_offset_view *view)
{
	return (struct kafka_offset_fetched_partition){
		.partition_index = (int32_t)view->partition,
		.committed_offset = view->offset,
		.committed_leader_epoch = view->leader_epoch,
		.metadata = view->metadata.len ? kafka_call_dup(call, view->metadata) : KAFKA_EMPTY,
		.error_code = view->unstable ? KAFKA_UNSTABLE_OFFSET_COMMIT : KAFKA_NONE,
	};
}

/* How many of those from `at` on are of its topic. */
static uint32_t run_of(const struct group_offsets_view *view, size_t at)
{
	size_t end = at + 1;

	while (end < view->count && slice_eq(view->at[end].topic, view->at[at].topic))
		end++;
	return (uint32_t)(end - at);
}

static bool fill_topic(struct kafka_call *call, struct kafka_offset_fetched_topic *topic, const struct group_offset_view *views,
		       uint32_t count)
{
	topic->partitions.at = kafka_call_alloc(call, (count + 1) * sizeof(*topic->partitions.at));
	topic->partitions.count = count;
	for (uint32_t i = 0; i < count && topic->partitions.at; i++)
		topic->partitions.at[i] = fetched_partition(call, &views[i]);
	return topic->partitions.at;
}

static bool fill_group(struct kafka_call *call, struct fetched_group *group, const struct group_offsets_view *view)
{
	const struct kafka_offset_fetch_group *asked = &group->asked;
	size_t room = asked->topics.at ? asked->topics.count : view->count, at = 0;
	struct kafka_offset_fetched_topic *topics = kafka_call_alloc(call, (room + 1) * sizeof(*topics));
	uint32_t count = 0;

	if (!topics)
		return false;
	while (asked->topics.at ? count < asked->topics.count : at < view->count) {
		uint32_t run = asked->topics.at ? asked->topics.at[count].partition_indexes.count : run_of(view, at);

		topics[count].name = asked->topics.at ? asked->topics.at[count].name : kafka_call_dup(call, view->at[at].topic);
		if (!fill_topic(call, &topics[count++], &view->at[at], run))
			return false;
		at += run;
	}
	group->answer.topics.at = topics;
	group->answer.topics.count = count;
	return !kafka_call_is_answered(call);
}

static void fetched_all(struct kafka_call *call, const struct fetched *fetched)
{
	struct kafka_offset_fetch_response *response = kafka_call_response(call);
	struct kafka_offset_fetched_group *groups =
		response ? kafka_call_alloc(call, (fetched->count + 1) * sizeof(*groups)) : NULL;

	if (!groups)
		return;
	for (uint32_t i = 0; i < fetched->count; i++)
		groups[i] = fetched->groups[i].answer;
	response->groups.at = groups;
	response->groups.count = fetched->count;
	if (!fetched->many) {
		response->topics.at = groups[0].topics.at;
		response->topics.count = groups[0].topics.count;
		response->error_code = groups[0].error_code;
	}
	kafka_call_answer(call, response);
}

/* A few groups at a time: what they bring is held until it is their turn. */
static void fetched_send(struct kafka_call *call, struct fetched *fetched)
{
	while (fetched->sent < fetched->count && fetched->sent + fetched->left < fetched->count + KAFKA_ASKS_UNDER_WAY)
		kafka_ask_send(call, fetched->groups[fetched->sent++].ask);
}

static void fetched_one(struct kafka_call *call, struct kafka_ask *ask)
{
	struct fetched *fetched = call->own;
	uint32_t i = fetched->count - fetched->left; /* they come back in the order in which they were sent */
	struct fetched_group *group;

	while (fetched->groups[i].ask != ask)
		i = (i + 1) % fetched->count;
	group = &fetched->groups[i];
	group->answer.group_id = group->asked.group_id;
	group->answer.error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	if (ask->command.outcome == OUTCOME_OK && !fill_group(call, group, ask->command.out.offsets))
		return;
	fetched->left--;
	fetched_send(call, fetched);
	if (fetched->left == 0)
		fetched_all(call, fetched);
}

static struct kafka_ask *fetch_ask(struct kafka_call *call, const struct kafka_offset_fetch_group *group)
{
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_GROUP_OFFSETS, fetched_one);
	struct group_place *places, *place;
	size_t count = 0;

	if (!ask)
		return NULL;
	ask->command.in.group_offsets =
		(struct group_offsets_in){.group = group->group_id, .member = group->member_id, .epoch = group->member_epoch};
	if (!group->topics.at)
		return ask;
	for (uint32_t i = 0; i < group->topics.count; i++)
		count += group->topics.at[i].partition_indexes.count;
	places = place = kafka_call_alloc(call, (count + 1) * sizeof(*places));
	if (!places)
		return NULL;
	for (uint32_t i = 0; i < group->topics.count; i++) {
		const struct kafka_offset_fetch_topic *topic = &group->topics.at[i];

		for (uint32_t j = 0; j < topic->partition_indexes.count; j++)
			*place++ =
				(struct group_place){.topic = topic->name, .partition = (uint32_t)topic->partition_indexes.at[j]};
	}
	ask->command.in.group_offsets.places = places;
	ask->command.in.group_offsets.count = count;
	return ask;
}

void offset_fetch_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_offset_fetch_request *request = message;
	struct fetched *fetched = kafka_call_alloc(call, sizeof(*fetched));
	uint32_t count = request->groups.at ? request->groups.count : 1;

	if (!fetched)
		return;
	fetched->groups = kafka_call_alloc(call, (count + 1) * sizeof(*fetched->groups));
	if (!fetched->groups)
		return;
	fetched->many = request->groups.at;
	fetched->left = fetched->count = count;
	call->own = fetched;
	if (count == 0)
		fetched_all(call, fetched);
	for (uint32_t i = 0; i < count; i++) {
		struct kafka_offset_fetch_group *asked = &fetched->groups[i].asked;

		if (request->groups.at) {
			*asked = request->groups.at[i];
		} else {
			asked->group_id = request->group_id;
			asked->topics.at = request->topics.at;
			asked->topics.count = request->topics.count;
		}
		fetched->groups[i].ask = fetch_ask(call, asked);
		if (!fetched->groups[i].ask)
			return;
	}
	for (uint32_t i = 0; i < count; i++)
		fetched->groups[i].ask->command.in.group_offsets.stable = request->require_stable;
	fetched_send(call, fetched);
}

/* --- OffsetDelete --- */

static void deleted(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_offset_delete_request *request = call->own;
	const struct group_place *place = ask->command.in.group_commit.places;
	struct kafka_offset_delete_response *response = kafka_call_response(call);
	struct kafka_offset_deleted_topic *topics =
		response ? kafka_call_alloc(call, (request->topics.count + 1) * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	response->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	for (uint32_t i = 0; i < request->topics.count && response->error_code == KAFKA_NONE; i++) {
		const struct kafka_offset_delete_topic *topic = &request->topics.at[i];
		struct kafka_offset_deleted_partition *partitions =
			kafka_call_alloc(call, (topic->partitions.count + 1) * sizeof(*partitions));

		if (!partitions)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++, place++) {
			partitions[j].partition_index = topic->partitions.at[j].partition_index;
			partitions[j].error_code = (int16_t)(place->outcome == OUTCOME_BUSY ? KAFKA_GROUP_SUBSCRIBED_TO_TOPIC
											    : kafka_error_of(place->outcome));
		}
		topics[i].name = topic->name;
		topics[i].partitions.at = partitions;
		topics[i].partitions.count = topic->partitions.count;
		response->topics.count = i + 1;
	}
	response->topics.at = topics;
	kafka_call_answer(call, response);
}

void offset_delete_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_offset_delete_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_GROUP_FORGET, deleted);
	struct group_place *places, *place;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	places = place = ask ? kafka_call_alloc(call, (count + 1) * sizeof(*places)) : NULL;
	if (!places)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_offset_delete_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++)
			*place++ = (struct group_place){.topic = topic->name,
							.partition = (uint32_t)topic->partitions.at[j].partition_index};
	}
	call->own = (void *)(uintptr_t)request;
	ask->command.in.group_commit = (struct group_commit_in){.who.group = request->group_id, .places = places, .count = count};
	kafka_ask_send(call, ask);
}
