/* DescribeConfigs, AlterConfigs, IncrementalAlterConfigs. Of a topic everything there is to be set is told, with where its value
 * comes from; of the server what tools look at, and of a group what holds for all, to be read only. */
#include "kafka/api/configs.h"

#include "kafka/codec/messages_topic.h"

#include <inttypes.h>
#include <stdio.h>

enum resource_type { RESOURCE_TOPIC = 2, RESOURCE_SERVER = 4, RESOURCE_GROUP = 32 };

struct slice config_error_text(struct kafka_call *call, struct slice bad_key)
{
	static const char before[] = "There is no such setting, or not with that value: ";
	char *text = bad_key.ptr ? arena_alloc(&call->arena, sizeof(before) - 1 + bad_key.len) : NULL;

	if (!text)
		return SLICE("A setting's value makes no sense.");
	memcpy(text, before, sizeof(before) - 1);
	memcpy(text + sizeof(before) - 1, bad_key.ptr, bad_key.len);
	return slice_from(text, sizeof(before) - 1 + bad_key.len);
}

static bool is_server(int8_t type, struct slice name)
{
	return type == RESOURCE_SERVER && (name.len == 0 || slice_eq(name, SLICE("1")));
}

/* --- DescribeConfigs --- */

static bool is_wanted(const struct kafka_describe_resource *resource, struct slice key)
{
	for (uint32_t i = 0; i < resource->configuration_keys.count; i++) {
		if (slice_eq(resource->configuration_keys.at[i], key))
			return true;
	}
	return resource->configuration_keys.count == 0;
}

static const struct topic_setting *setting_of(const struct topic_view *view, struct slice key)
{
	for (uint32_t i = 0; i < view->setting_count; i++) {
		if (slice_eq(view->settings[i].key, key))
			return &view->settings[i];
	}
	return NULL;
}

/* Where else its value would come from, the first that holds before the others. */
static bool synonyms_fill(struct kafka_call *call, const struct topic_key *key, const struct topic_setting *set,
			  struct kafka_described_config *config)
{
	struct kafka_config_synonym *synonyms = kafka_call_alloc(call, 2 * sizeof(*synonyms));
	uint32_t count = 0;

	if (!synonyms)
		return false;
	if (set)
		synonyms[count++] = (struct kafka_config_synonym){config->name, set->value, CONFIG_SOURCE_TOPIC};
	synonyms[count++] = (struct kafka_config_synonym){config->name, slice_str(key->fallback), CONFIG_SOURCE_DEFAULT};
	config->synonyms.at = synonyms;
	config->synonyms.count = count;
	return true;
}

static bool topic_described(struct kafka_call *call, const struct kafka_describe_resource *resource,
			    const struct topic_view *view, struct kafka_described_resource *ret)
{
	const struct kafka_describe_configs_request *request = call->own;
	struct kafka_described_config *configs = kafka_call_alloc(call, topic_key_count * sizeof(*configs));
	uint32_t count = 0;

	if (!configs)
		return false;
	for (size_t i = 0; i < topic_key_count; i++) {
		const struct topic_key *key = &topic_keys[i];
		const struct topic_setting *set = setting_of(view, slice_str(key->name));
		struct kafka_described_config *config = &configs[count];

		if (!is_wanted(resource, slice_str(key->name)))
			continue;
		*config = (struct kafka_described_config){
			.name = slice_str(key->name),
			.value = set ? set->value : slice_str(key->fallback),
			.is_default = !set,
			.config_source = set ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT,
			.config_type = (int8_t)key->kind,
			.documentation = request->include_documentation ? slice_str(key->help) : (struct slice){0},
		};
		if (request->include_synonyms && !synonyms_fill(call, key, set, config))
			return false;
		count++;
	}
	ret->configs.at = configs;
	ret->configs.count = count;
	return true;
}

/* What is only to be read. */
struct fixed_row {
	struct slice name;
	enum topic_key_kind kind;
	struct slice value; /* with ptr NULL: the number */
	uint64_t number;
};

static struct slice fixed_value(struct kafka_call *call, const struct fixed_row *row)
{
	enum { DIGITS_MAX = 20 };
	char *text;

	if (row->value.ptr)
		return row->value;
	text = kafka_call_alloc(call, DIGITS_MAX + 1);
	return text ? slice_from(text, (size_t)snprintf(text, DIGITS_MAX + 1, "%" PRIu64, row->number)) : KAFKA_EMPTY;
}

static bool fixed_described(struct kafka_call *call, const struct kafka_describe_resource *resource, const struct fixed_row *rows,
			    size_t count, struct kafka_described_resource *ret)
{
	struct kafka_described_config *configs = kafka_call_alloc(call, count * sizeof(*configs));

	for (size_t i = 0; configs && i < count; i++) {
		if (!is_wanted(resource, rows[i].name))
			continue;
		configs[ret->configs.count++] = (struct kafka_described_config){
			.name = rows[i].name,
			.value = fixed_value(call, &rows[i]),
			.read_only = true,
			.config_source = CONFIG_SOURCE_SERVER,
			.config_type = (int8_t)rows[i].kind,
		};
	}
	ret->configs.at = configs;
	return configs && !kafka_call_is_answered(call);
}

static bool server_described(struct kafka_call *call, const struct kafka_describe_resource *resource,
			     struct kafka_described_resource *ret)
{
	const struct kafka_limits *limits = &call->thread->config.limits;
	const struct fixed_row rows[] = {
		{SLICE("auto.create.topics.enable"), TOPIC_KEY_BOOLEAN, limits->auto_create ? SLICE("true") : SLICE("false"), 0},
		{SLICE("broker.id"), TOPIC_KEY_INT, {0}, NODE_ID},
		{SLICE("default.replication.factor"), TOPIC_KEY_INT, {0}, 1},
		{SLICE("delete.topic.enable"), TOPIC_KEY_BOOLEAN, SLICE("true"), 0},
		{SLICE("num.partitions"), TOPIC_KEY_INT, {0}, limits->topic_partitions},
	};

	return fixed_described(call, resource, rows, ARRAY_COUNT(rows), ret);
}

/* Whether there is such a group or not. */
static bool group_described(struct kafka_call *call, const struct kafka_describe_resource *resource,
			    struct kafka_described_resource *ret)
{
	const struct kafka_limits *limits = &call->thread->config.limits;
	const struct fixed_row rows[] = {
		{SLICE("consumer.heartbeat.interval.ms"), TOPIC_KEY_INT, {0}, limits->consumer_beat_ms},
		{SLICE("consumer.session.timeout.ms"), TOPIC_KEY_INT, {0}, limits->consumer_session_ms},
	};

	return fixed_described(call, resource, rows, ARRAY_COUNT(rows), ret);
}

static bool resource_described(struct kafka_call *call, const struct kafka_describe_resource *resource,
			       const struct topic_view *view, struct kafka_described_resource *ret)
{
	ret->resource_type = resource->resource_type;
	ret->resource_name = resource->resource_name;
	if (is_server(resource->resource_type, resource->resource_name))
		return server_described(call, resource, ret);
	if (resource->resource_type == RESOURCE_GROUP && resource->resource_name.len)
		return group_described(call, resource, ret);
	if (view)
		return topic_described(call, resource, view, ret);
	ret->error_code = resource->resource_type == RESOURCE_TOPIC ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_REQUEST;
	return true;
}

static void described(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_describe_configs_request *request = call->own;
	struct kafka_describe_configs_response *response = kafka_call_response(call);
	struct kafka_described_resource *results =
		response ? kafka_call_alloc(call, request->resources.count * sizeof(*results)) : NULL;
	size_t at = 0;

	if (!results)
		return;
	for (uint32_t i = 0; i < request->resources.count; i++) {
		const struct topic_view *view = NULL;

		if (request->resources.at[i].resource_type == RESOURCE_TOPIC && at < ask->command.out.topic_count)
			view = ask->command.out.topics[at++];
		if (!resource_described(call, &request->resources.at[i], view, &results[i]))
			return;
	}
	response->results.at = results;
	response->results.count = request->resources.count;
	kafka_call_answer(call, response);
}

void describe_configs_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_describe_configs_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TOPICS, described);
	struct topic_ref *refs = ask ? kafka_call_alloc(call, request->resources.count * sizeof(*refs)) : NULL;
	size_t count = 0;

	if (!refs)
		return;
	call->own = (void *)(uintptr_t)request;
	for (uint32_t i = 0; i < request->resources.count; i++) {
		if (request->resources.at[i].resource_type == RESOURCE_TOPIC)
			refs[count++].name = request->resources.at[i].resource_name;
	}
	ask->command.in.topics = (struct topics_in){.topics = refs, .count = count, .settings = true, .counted = true};
	if (count)
		kafka_ask_send(call, ask);
	else
		described(call, ask);
}

/* --- changing them --- */

/* One of the request's resources, whichever of the two it is. */
struct altered {
	struct kafka_altered_resource result;
	struct topic_change *change; /* NULL: refused */
};

struct alter {
	struct altered *altered;
	struct topic_change *changes;
	uint32_t altered_count, change_count;
};

static struct alter *alter_new(struct kafka_call *call, uint32_t count)
{
	struct alter *alter = kafka_call_alloc(call, sizeof(*alter));

	if (!alter)
		return NULL;
	alter->altered_count = count;
	alter->altered = kafka_call_alloc(call, count * sizeof(*alter->altered));
	alter->changes = alter->altered ? kafka_call_alloc(call, count * sizeof(*alter->changes)) : NULL;
	call->own = alter;
	return alter->changes ? alter : NULL;
}

/* Of a topic, to be filled with its settings; NULL: no topic, or no memory, and then the call was closed. */
static struct topic_setting_change *alter_add(struct kafka_call *call, struct altered *altered, int8_t type, struct slice name,
					      uint32_t count)
{
	struct alter *alter = call->own;
	struct topic_setting_change *settings;

	altered->result.resource_type = type;
	altered->result.resource_name = name;
	if (type != RESOURCE_TOPIC) {
		altered->result.error_code = KAFKA_INVALID_REQUEST;
		altered->result.error_message = SLICE("Only settings of topics can be changed by clients.");
		return NULL;
	}
	settings = kafka_call_alloc(call, count * sizeof(*settings));
	altered->change = &alter->changes[alter->change_count++];
	altered->change->topic.name = name;
	altered->change->settings = settings;
	altered->change->setting_count = count;
	return settings;
}

static void alter_answer(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct alter *alter = call->own;
	/* Those of the two messages are alike. */
	struct kafka_alter_configs_response *response = kafka_call_response(call);
	struct kafka_altered_resource *results =
		response ? kafka_call_alloc(call, alter->altered_count * sizeof(*results)) : NULL;

	if (!results)
		return;
	for (uint32_t i = 0; i < alter->altered_count; i++) {
		const struct topic_change *change = alter->altered[i].change;

		results[i] = alter->altered[i].result;
		if (!change)
			continue;
		results[i].error_code =
			(int16_t)kafka_error_of(ask->command.outcome == OUTCOME_OK ? change->outcome : ask->command.outcome);
		if (results[i].error_code == KAFKA_INVALID_CONFIG)
			results[i].error_message = config_error_text(call, change->bad_key);
	}
	response->responses.at = results;
	response->responses.count = alter->altered_count;
	kafka_call_answer(call, response);
}

static void alter_send(struct kafka_call *call, bool validate_only, bool incremental)
{
	const struct alter *alter = call->own;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TOPIC_CONFIG, alter_answer);

	if (!ask)
		return;
	ask->command.in.topics_change = (struct topics_change_in){
		.changes = alter->changes,
		.count = alter->change_count,
		.validate_only = validate_only,
		.incremental = incremental,
	};
	if (alter->change_count)
		kafka_ask_send(call, ask);
	else
		alter_answer(call, ask);
}

void alter_configs_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_alter_configs_request *request = message;
	struct alter *alter = alter_new(call, request->resources.count);

	for (uint32_t i = 0; alter && i < request->resources.count; i++) {
		const struct kafka_alter_resource *resource = &request->resources.at[i];
		struct topic_setting_change *settings = alter_add(call, &alter->altered[i], resource->resource_type,
								  resource->resource_name, resource->configs.count);

		for (uint32_t j = 0; settings && j < resource->configs.count; j++)
			settings[j].setting = (struct topic_setting){resource->configs.at[j].name, resource->configs.at[j].value};
	}
	if (alter && call->state != CALL_ANSWERED)
		alter_send(call, request->validate_only, false);
}

void incremental_alter_configs_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_incremental_alter_configs_request *request = message;
	struct alter *alter = alter_new(call, request->resources.count);

	for (uint32_t i = 0; alter && i < request->resources.count; i++) {
		const struct kafka_change_resource *resource = &request->resources.at[i];
		struct topic_setting_change *settings = alter_add(call, &alter->altered[i], resource->resource_type,
								  resource->resource_name, resource->configs.count);

		for (uint32_t j = 0; settings && j < resource->configs.count; j++) {
			const struct kafka_change_config *config = &resource->configs.at[j];

			settings[j].setting = (struct topic_setting){config->name, config->value};
			settings[j].op = (enum topic_change_op)config->config_operation;
		}
	}
	if (alter && call->state != CALL_ANSWERED)
		alter_send(call, request->validate_only, true);
}
