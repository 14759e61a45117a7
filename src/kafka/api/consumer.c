/* ConsumerGroupHeartbeat: what members say to whom the server assigns partitions (KIP-848). What a request must have is looked at
 * here; what it means is the sequencer's. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_consumer.h"

enum { MEMBER_CHOOSES_ID = 1 /* from this version on */ };

static bool is_empty(struct slice text)
{
	return text.ptr && text.len == 0;
}

/* What is wrong with a request, whatever the group; NULL: nothing. */
static const char *wrong_with(const struct kafka_call *call, const struct kafka_consumer_group_heartbeat_request *request)
{
	bool joins = request->member_epoch == CONSUMER_JOINS;

	if (!request->group_id.len)
		return "GroupId can't be empty.";
	if (is_empty(request->instance_id))
		return "InstanceId can't be empty.";
	if (is_empty(request->rack_id))
		return "RackId can't be empty.";
	if (!request->member_id.len && (!joins || call->request.format.version >= MEMBER_CHOOSES_ID))
		return "MemberId can't be empty.";
	if (request->member_epoch < CONSUMER_PAUSES)
		return "MemberEpoch is invalid.";
	if (request->member_epoch == CONSUMER_PAUSES && !request->instance_id.ptr)
		return "InstanceId can't be null.";
	if (joins && request->rebalance_timeout_ms < 0)
		return "RebalanceTimeoutMs must be provided in first request.";
	if (joins && (!request->topic_partitions.at || request->topic_partitions.count))
		return "TopicPartitions must be empty when (re-)joining.";
	if (joins && !request->subscribed_topic_names.at && !request->subscribed_topic_regex.ptr)
		return "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
	return NULL;
}

static void refuse(struct kafka_call *call, enum kafka_error error, const char *why)
{
	struct kafka_consumer_group_heartbeat_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)error;
	response->error_message = why ? slice_str(why) : (struct slice){0};
	kafka_call_answer(call, response);
}

static const char *why(enum outcome outcome)
{
	static const char *const texts[OUTCOME_COUNT] = {
		[OUTCOME_NO_MEMBER] = "The group has no such member.",
		[OUTCOME_FENCED] = "The instance is another member by now.",
		[OUTCOME_MEMBER_EPOCH] = "That is not the member's epoch. It must abandon all its partitions and rejoin.",
		[OUTCOME_UNRELEASED] = "Another member has the instance, and has not left.",
		[OUTCOME_ASSIGNOR] = "The assignors are: uniform, range.",
		[OUTCOME_REGEX] = "SubscribedTopicRegex is no regular expression, or takes too long to be matched.",
		[OUTCOME_NOT_FOUND] = "The group is not a consumer group.",
		[OUTCOME_NAME] = "The id of the group, the member, its instance or rack is empty or too long.",
		[OUTCOME_FULL] = "There are as many groups, members of this one, or partitions that it subscribes to, as may be.",
		[OUTCOME_TOO_LARGE] = "The member subscribes to more topics, or says more of itself, than may be.",
	};

	return texts[outcome];
}

static struct kafka_consumer_partitions *places_of(struct kafka_call *call, const struct consumer_places_view *view)
{
	struct kafka_consumer_partitions *topics = kafka_call_alloc(call, (view->count + 1) * sizeof(*topics));

	for (uint32_t i = 0; i < view->count && topics; i++) {
		memcpy(topics[i].topic_id.bytes, view->topics[i].id.bytes, sizeof(topics[i].topic_id.bytes));
		topics[i].partitions.at = (int32_t *)(uintptr_t)view->topics[i].partitions;
		topics[i].partitions.count = view->topics[i].count;
	}
	return topics;
}

static void beaten(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct consumers_view *view = ask->command.out.consumers;
	const struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	enum outcome outcome = ask->command.outcome;
	struct kafka_consumer_group_heartbeat_response *response;
	struct kafka_consumer_assignment *assignment;

	if (outcome != OUTCOME_OK) {
		refuse(call, kafka_group_error_of(outcome), why(outcome));
		return;
	}
	response = kafka_call_response(call);
	assignment = response ? kafka_call_alloc(call, sizeof(*assignment)) : NULL;
	if (!assignment)
		return;
	response->member_id = view ? view->at[0].id : beat->member;
	response->member_epoch = view ? (int32_t)view->at[0].epoch : beat->epoch;
	response->heartbeat_interval_ms = view ? (int32_t)view->interval_ms : 0;
	if (view && view->has_assigned) {
		assignment->topic_partitions.at = places_of(call, &view->at[0].assigned);
		assignment->topic_partitions.count = view->at[0].assigned.count;
		if (!assignment->topic_partitions.at)
			return;
		response->assignment = assignment;
	}
	kafka_call_answer(call, response);
}

static bool read_owned(struct kafka_call *call, const struct kafka_consumer_group_heartbeat_request *request,
		       struct consumer_beat_in *in)
{
	struct consumer_owned *owned = kafka_call_alloc(call, (request->topic_partitions.count + 1) * sizeof(*owned));

	for (uint32_t i = 0; i < request->topic_partitions.count && owned; i++) {
		const struct kafka_consumer_partitions *topic = &request->topic_partitions.at[i];

		memcpy(owned[i].topic.bytes, topic->topic_id.bytes, sizeof(owned[i].topic.bytes));
		owned[i].partitions = topic->partitions.at;
		owned[i].count = topic->partitions.count;
	}
	in->owned = owned;
	in->owned_count = request->topic_partitions.count;
	return owned;
}

void consumer_group_heartbeat_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_consumer_group_heartbeat_request *request = message;
	const char *wrong = wrong_with(call, request);
	struct kafka_ask *ask;

	if (wrong || call->thread->draining) {
		refuse(call, wrong ? KAFKA_INVALID_REQUEST : KAFKA_NOT_COORDINATOR, wrong);
		return;
	}
	ask = kafka_ask_new(call, COMMAND_CONSUMER_BEAT, beaten);
	if (!ask || !read_owned(call, request, &ask->command.in.consumer_beat))
		return;
	ask->command.in.consumer_beat.beat = (struct consumer_beat){
		.group = request->group_id,
		.member = request->member_id,
		.epoch = request->member_epoch,
		.instance = request->instance_id,
		.rack = request->rack_id,
		.regex = request->subscribed_topic_regex,
		.assignor = request->server_assignor,
		.client_id = call->request.client_id,
		.client_host = kafka_call_host(call),
		.rebalance_ms = request->rebalance_timeout_ms < 0 ? -1 : request->rebalance_timeout_ms,
		.topics = request->subscribed_topic_names.at,
		.topic_count = request->subscribed_topic_names.count,
		.has_topics = request->subscribed_topic_names.at,
		.has_owned = request->topic_partitions.at,
	};
	if (!kafka_call_is_answered(call))
		kafka_ask_send(call, ask);
}
