/* Metadata: the one server there is, and which topics; one that is not there is made if it may be. */
#include "kafka/api/api_priv.h"

#include "kafka/api/names.h"
#include "kafka/codec/messages_cluster.h"

struct metadata {
	const struct kafka_metadata_request *request;
	struct topic_ref *refs; /* NULL: all there are */
	size_t count;
	struct topic_change *changes; /* NULL: none were made */
	struct kafka_name *made;      /* their names, sorted; `place` is that of the change */
	uint32_t change_count;
};

static void look(struct kafka_call *call, void (*answered)(struct kafka_call *call, struct kafka_ask *ask));

/* What was to be made and could not be, or was. */
static const struct topic_change *change_of(const struct metadata *metadata, const struct topic_ref *ref)
{
	const struct kafka_name *made = kafka_names_find(metadata->made, metadata->change_count, ref->name);

	return made ? &metadata->changes[made->place] : NULL;
}

static int16_t missing_error(const struct metadata *metadata, const struct topic_ref *ref)
{
	const struct topic_change *change = change_of(metadata, ref);

	if (!ref->name.len && !ref->name.ptr)
		return KAFKA_UNKNOWN_TOPIC_ID;
	/* Made by somebody else meanwhile, and deleted. */
	if (!change || change->outcome == OUTCOME_OK || change->outcome == OUTCOME_CONFLICT)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return (int16_t)kafka_error_of(change->outcome);
}

static bool partitions_fill(struct kafka_call *call, const struct topic_view *view, struct kafka_metadata_topic *topic)
{
	static int32_t nodes[] = {NODE_ID};
	struct kafka_metadata_partition *partitions = kafka_call_alloc(call, view->partition_count * sizeof(*partitions));

	if (!partitions)
		return false;
	for (uint32_t i = 0; i < view->partition_count; i++) {
		partitions[i].partition_index = (int32_t)i;
		partitions[i].leader_id = NODE_ID;
		partitions[i].leader_epoch = TOPIC_LEADER_EPOCH;
		partitions[i].replica_nodes.at = partitions[i].isr_nodes.at = nodes;
		partitions[i].replica_nodes.count = partitions[i].isr_nodes.count = ARRAY_COUNT(nodes);
	}
	topic->partitions.at = partitions;
	topic->partitions.count = view->partition_count;
	return true;
}

static bool topic_fill(struct kafka_call *call, const struct topic_view *view, struct kafka_metadata_topic *topic)
{
	topic->name = view->name;
	memcpy(topic->topic_id.bytes, view->id.bytes, sizeof(topic->topic_id.bytes));
	return partitions_fill(call, view, topic);
}

static bool topics_fill(struct kafka_call *call, const struct command *c, struct kafka_metadata_response *response)
{
	const struct metadata *metadata = call->own;
	size_t count = c->out.topic_count;
	struct kafka_metadata_topic *topics = kafka_call_alloc(call, count * sizeof(*topics));

	if (!topics)
		return false;
	response->topics.at = topics;
	response->topics.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		const struct topic_view *view = c->out.topics[i];

		topics[i].topic_authorized_operations =
			metadata->request->include_topic_authorized_operations ? TOPIC_OPERATIONS : INT32_MIN;
		if (!view) {
			topics[i].name = metadata->refs[i].name;
			memcpy(topics[i].topic_id.bytes, metadata->refs[i].id.bytes, sizeof(topics[i].topic_id.bytes));
			topics[i].error_code = missing_error(metadata, &metadata->refs[i]);
		} else if (!topic_fill(call, view, &topics[i])) {
			return false;
		}
	}
	return true;
}

static void answer(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_config *config = &call->thread->config;
	const struct metadata *metadata = call->own;
	struct kafka_metadata_response *response = kafka_call_response(call);
	struct kafka_metadata_broker broker = {.node_id = NODE_ID, .host = config->host, .port = config->port};

	if (!response)
		return;
	if (ask->command.outcome != OUTCOME_OK) {
		kafka_call_close(call);
		return;
	}
	response->brokers.at = &broker;
	response->brokers.count = 1;
	response->cluster_id = CLUSTER_ID;
	response->controller_id = NODE_ID;
	if (metadata->request->include_cluster_authorized_operations)
		response->cluster_authorized_operations = CLUSTER_OPERATIONS;
	if (topics_fill(call, &ask->command, response))
		kafka_call_answer(call, response);
}

static void made(struct kafka_call *call, struct kafka_ask *ask)
{
	(void)ask;
	look(call, answer);
}

static size_t missing(const struct metadata *metadata, const struct command *c)
{
	size_t count = 0;

	for (size_t i = 0; i < c->out.topic_count; i++)
		count += !c->out.topics[i] && metadata->refs && metadata->refs[i].name.ptr;
	return count;
}

/* Those that are not there, each once: named twice in a request, once is enough. */
static bool names_take(struct kafka_call *call, const struct command *c, size_t count)
{
	struct metadata *metadata = call->own;
	struct kafka_name *names = kafka_call_alloc(call, count * sizeof(*names));
	uint32_t taken = 0;

	metadata->changes = names ? kafka_call_alloc(call, count * sizeof(*metadata->changes)) : NULL;
	if (!metadata->changes)
		return false;
	for (size_t i = 0; i < c->out.topic_count; i++) {
		if (!c->out.topics[i] && metadata->refs[i].name.ptr)
			names[taken++] = (struct kafka_name){metadata->refs[i].name, (uint32_t)i};
	}
	kafka_names_sort(names, taken);
	for (uint32_t i = 0; i < taken; i++) {
		uint32_t at = metadata->change_count;

		if (at && slice_eq(names[at - 1].name, names[i].name))
			continue;
		names[at] = (struct kafka_name){names[i].name, at};
		metadata->changes[at] = (struct topic_change){
			.topic.name = names[i].name,
			.partitions = call->thread->config.limits.topic_partitions,
		};
		metadata->change_count++;
	}
	metadata->made = names;
	return true;
}

static void make(struct kafka_call *call, const struct command *c, size_t count)
{
	const struct metadata *metadata = call->own;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TOPIC_CREATE, made);

	if (!ask || !names_take(call, c, count))
		return;
	ask->command.in.topics_change = (struct topics_change_in){.changes = metadata->changes, .count = metadata->change_count};
	kafka_ask_send(call, ask);
}

static void looked(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct metadata *metadata = call->own;
	size_t count = ask->command.outcome == OUTCOME_OK ? missing(metadata, &ask->command) : 0;

	if (count && metadata->request->allow_auto_topic_creation && call->thread->config.limits.auto_create)
		make(call, &ask->command, count);
	else
		answer(call, ask);
}

static void look(struct kafka_call *call, void (*answered)(struct kafka_call *call, struct kafka_ask *ask))
{
	const struct metadata *metadata = call->own;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TOPICS, answered);

	if (!ask)
		return;
	ask->command.in.topics = (struct topics_in){.topics = metadata->refs, .count = metadata->count, .counted = true};
	kafka_ask_send(call, ask);
}

void metadata_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_metadata_request *request = message;
	struct metadata *metadata = kafka_call_alloc(call, sizeof(*metadata));
	/* In the oldest version there is no null, and empty is all. */
	bool all = !request->topics.at || (request->topics.count == 0 && call->request.format.version == 0);

	if (!metadata)
		return;
	call->own = metadata;
	metadata->request = request;
	if (!all) {
		metadata->count = request->topics.count;
		metadata->refs = kafka_call_alloc(call, metadata->count * sizeof(*metadata->refs));
		if (!metadata->refs)
			return;
	}
	for (size_t i = 0; i < metadata->count; i++) {
		metadata->refs[i].name = request->topics.at[i].name;
		memcpy(metadata->refs[i].id.bytes, request->topics.at[i].topic_id.bytes, sizeof(metadata->refs[i].id.bytes));
	}
	if (metadata->count && request->allow_auto_topic_creation)
		kafka_call_hold(call);
	look(call, looked);
}
