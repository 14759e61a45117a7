/* CreateTopics, CreatePartitions, DeleteTopics: one command for all that a request names, and one result each. */
#include "kafka/api/configs.h"

#include "kafka/api/names.h"
#include "kafka/codec/messages_topic.h"

/* What a request names, and what is asked about it; those refused at once are left out of what is asked. */
struct changes {
	const void *request;
	struct topic_change *changes;
	size_t count;
	struct change_place {
		struct topic_change *change; /* NULL: refused */
		enum kafka_error error;
	} * places;
};

static struct changes *changes_new(struct kafka_call *call, const void *request, size_t count)
{
	struct changes *changes = kafka_call_alloc(call, sizeof(*changes));

	if (!changes)
		return NULL;
	changes->request = request;
	changes->changes = kafka_call_alloc(call, count * sizeof(*changes->changes));
	changes->places = changes->changes ? kafka_call_alloc(call, count * sizeof(*changes->places)) : NULL;
	call->own = changes;
	return changes->places ? changes : NULL;
}

static void changes_send(struct kafka_call *call, enum command_kind kind, bool validate_only,
			 void (*answered)(struct kafka_call *call, struct kafka_ask *ask))
{
	struct changes *changes = call->own;
	struct kafka_ask *ask = kafka_ask_new(call, kind, answered);

	if (!ask)
		return;
	ask->command.in.topics_change =
		(struct topics_change_in){.changes = changes->changes, .count = changes->count, .validate_only = validate_only};
	if (changes->count)
		kafka_ask_send(call, ask);
	else
		answered(call, ask);
}

static enum kafka_error place_error(const struct kafka_ask *ask, const struct change_place *place)
{
	if (!place->change)
		return place->error;
	return kafka_error_of(ask->command.outcome == OUTCOME_OK ? place->change->outcome : ask->command.outcome);
}

static struct slice error_text(struct kafka_call *call, enum kafka_error error, const struct topic_change *change)
{
	switch ((int)error) {
	case KAFKA_NONE:
		return (struct slice){0};
	case KAFKA_INVALID_CONFIG:
		return config_error_text(call, change ? change->bad_key : (struct slice){0});
	case KAFKA_INVALID_REQUEST:
		return SLICE("It is named twice, or both a number of partitions and their places are given.");
	case KAFKA_INVALID_PARTITIONS:
		return SLICE("A topic cannot have so many partitions, and none can be taken from it.");
	case KAFKA_INVALID_REPLICATION_FACTOR:
		return SLICE("A replication factor is 1 or more, or -1.");
	case KAFKA_INVALID_TOPIC_EXCEPTION:
		return SLICE("A topic's name has up to 249 letters, digits, dots, underscores and hyphens, and is not . or ..");
	case KAFKA_TOPIC_ALREADY_EXISTS:
		return SLICE("There is a topic of that name, or streams where its partitions would lie.");
	case KAFKA_POLICY_VIOLATION:
		return SLICE("The server has as many topics or streams as it may, or the request makes too many at once.");
	default:
		return (struct slice){0};
	}
}

/* --- CreateTopics --- */

/* Whatever is named twice. */
static bool refuse_repeated(struct kafka_call *call, const struct kafka_create_topics_request *request)
{
	struct changes *changes = call->own;
	uint32_t count = request->topics.count;
	struct kafka_name *names = kafka_call_alloc(call, count * sizeof(*names));

	if (!names)
		return false;
	for (uint32_t i = 0; i < count; i++)
		names[i] = (struct kafka_name){request->topics.at[i].name, i};
	kafka_names_sort(names, count);
	for (uint32_t i = 1; i < count; i++) {
		if (slice_eq(names[i - 1].name, names[i].name))
			changes->places[names[i - 1].place].error = changes->places[names[i].place].error = KAFKA_INVALID_REQUEST;
	}
	return true;
}

static enum kafka_error new_topic_error(const struct kafka_new_topic *topic)
{
	if (topic->assignments.count && (topic->num_partitions != -1 || topic->replication_factor != -1))
		return KAFKA_INVALID_REQUEST;
	if (topic->assignments.count == 0 && (topic->num_partitions == 0 || topic->num_partitions < -1))
		return KAFKA_INVALID_PARTITIONS;
	/* More than one server there is not: what is asked for beyond is what there cannot be, and nobody's loss. */
	if (topic->assignments.count == 0 && (topic->replication_factor == 0 || topic->replication_factor < -1))
		return KAFKA_INVALID_REPLICATION_FACTOR;
	return KAFKA_NONE;
}

static bool new_topic_take(struct kafka_call *call, const struct kafka_new_topic *topic, struct topic_change *change)
{
	struct topic_setting_change *settings = kafka_call_alloc(call, topic->configs.count * sizeof(*settings));

	if (!settings)
		return false;
	change->topic.name = topic->name;
	change->partitions = (uint32_t)topic->num_partitions;
	if (topic->assignments.count)
		change->partitions = topic->assignments.count;
	else if (topic->num_partitions == -1)
		change->partitions = call->thread->config.limits.topic_partitions;
	/* Null is what nothing was said about. */
	for (uint32_t i = 0; i < topic->configs.count; i++) {
		const struct kafka_new_config *config = &topic->configs.at[i];

		if (config->value.ptr)
			settings[change->setting_count++].setting = (struct topic_setting){config->name, config->value};
	}
	change->settings = settings;
	return true;
}

static bool created_fill(struct kafka_call *call, const struct kafka_ask *ask, const struct change_place *place,
			 struct kafka_created_topic *created)
{
	enum kafka_error error = place_error(ask, place);
	const struct topic_change *change = place->change;

	created->error_code = (int16_t)error;
	created->error_message = error_text(call, error, change);
	created->num_partitions = created->replication_factor = -1;
	created->configs.at = kafka_call_alloc(call, topic_key_count * sizeof(*created->configs.at));
	if (error || !created->configs.at)
		return created->configs.at;
	memcpy(created->topic_id.bytes, change->id.bytes, sizeof(created->topic_id.bytes));
	created->num_partitions = (int32_t)change->partitions;
	created->replication_factor = 1;
	created->configs.count = (uint32_t)topic_key_count;
	for (size_t i = 0; i < topic_key_count; i++) {
		const struct topic_key *key = &topic_keys[i];
		struct kafka_created_config *config = &created->configs.at[i];

		*config = (struct kafka_created_config){
			.name = slice_str(key->name), .value = slice_str(key->fallback), .config_source = CONFIG_SOURCE_DEFAULT};
		for (size_t j = 0; j < change->setting_count; j++) {
			if (!slice_eq(change->settings[j].setting.key, config->name))
				continue;
			config->value = change->settings[j].setting.value;
			config->config_source = CONFIG_SOURCE_TOPIC;
		}
	}
	return true;
}

static void topics_created(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct changes *changes = call->own;
	const struct kafka_create_topics_request *request = changes->request;
	struct kafka_create_topics_response *response = kafka_call_response(call);
	struct kafka_created_topic *topics = response ? kafka_call_alloc(call, request->topics.count * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		topics[i].name = request->topics.at[i].name;
		if (!created_fill(call, ask, &changes->places[i], &topics[i]))
			return;
	}
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	kafka_call_answer(call, response);
}

void create_topics_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_create_topics_request *request = message;
	struct changes *changes = changes_new(call, request, request->topics.count);

	if (!changes || !refuse_repeated(call, request))
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		struct topic_change *change = &changes->changes[changes->count];

		if (!changes->places[i].error)
			changes->places[i].error = new_topic_error(&request->topics.at[i]);
		if (changes->places[i].error)
			continue;
		if (!new_topic_take(call, &request->topics.at[i], change))
			return;
		changes->places[i].change = change;
		changes->count++;
	}
	changes_send(call, COMMAND_TOPIC_CREATE, request->validate_only, topics_created);
}

/* --- CreatePartitions --- */

static void partitions_created(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct changes *changes = call->own;
	const struct kafka_create_partitions_request *request = changes->request;
	struct kafka_create_partitions_response *response = kafka_call_response(call);
	struct kafka_created_partitions *results =
		response ? kafka_call_alloc(call, request->topics.count * sizeof(*results)) : NULL;

	if (!results)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		enum kafka_error error = place_error(ask, &changes->places[i]);

		results[i] = (struct kafka_created_partitions){
			.name = request->topics.at[i].name,
			.error_code = (int16_t)error,
			.error_message = error_text(call, error, changes->places[i].change),
		};
	}
	response->results.at = results;
	response->results.count = request->topics.count;
	kafka_call_answer(call, response);
}

void create_partitions_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_create_partitions_request *request = message;
	struct changes *changes = changes_new(call, request, request->topics.count);

	for (uint32_t i = 0; changes && i < request->topics.count; i++) {
		struct topic_change *change = &changes->changes[changes->count];

		if (request->topics.at[i].count <= 0) {
			changes->places[i].error = KAFKA_INVALID_PARTITIONS;
			continue;
		}
		change->topic.name = request->topics.at[i].name;
		change->partitions = (uint32_t)request->topics.at[i].count;
		changes->places[i].change = change;
		changes->count++;
	}
	if (changes)
		changes_send(call, COMMAND_TOPIC_PARTITIONS, request->validate_only, partitions_created);
}

/* --- DeleteTopics --- */

static void topics_deleted(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct changes *changes = call->own;
	struct kafka_delete_topics_response *response = kafka_call_response(call);
	struct kafka_deleted_topic *topics = response ? kafka_call_alloc(call, changes->count * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	for (size_t i = 0; i < changes->count; i++) {
		const struct topic_change *change = &changes->changes[i];
		enum kafka_error error = place_error(ask, &changes->places[i]);

		if (error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION && !change->topic.name.len)
			error = KAFKA_UNKNOWN_TOPIC_ID;
		topics[i].error_code = (int16_t)error;
		topics[i].name = change->topic.name;
		memcpy(topics[i].topic_id.bytes, change->topic.name.len ? change->id.bytes : change->topic.id.bytes,
		       sizeof(topics[i].topic_id.bytes));
	}
	response->responses.at = topics;
	response->responses.count = (uint32_t)changes->count;
	kafka_call_answer(call, response);
}

void delete_topics_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_delete_topics_request *request = message;
	uint32_t by_name = request->topic_names.count, by_either = request->topics.count;
	struct changes *changes = changes_new(call, request, (size_t)by_name + by_either);

	if (!changes)
		return;
	for (uint32_t i = 0; i < by_name; i++)
		changes->changes[changes->count++].topic.name = request->topic_names.at[i];
	for (uint32_t i = 0; i < by_either; i++) {
		struct topic_ref *ref = &changes->changes[changes->count++].topic;

		ref->name = request->topics.at[i].name;
		memcpy(ref->id.bytes, request->topics.at[i].topic_id.bytes, sizeof(ref->id.bytes));
	}
	for (size_t i = 0; i < changes->count; i++)
		changes->places[i].change = &changes->changes[i];
	changes_send(call, COMMAND_TOPIC_DELETE, false, topics_deleted);
}
