/* About the server: DescribeCluster, DescribeLogDirs; and what it does not do: SASL and ACLs, which are answered as where they
 * are not enabled. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_acl.h"
#include "kafka/codec/messages_cluster.h"

void describe_cluster_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_describe_cluster_request *request = message;
	const struct kafka_config *config = &call->thread->config;
	struct kafka_describe_cluster_response *response = kafka_call_response(call);
	struct kafka_cluster_broker broker = {.broker_id = NODE_ID, .host = config->host, .port = config->port};

	if (!response)
		return;
	response->cluster_id = CLUSTER_ID;
	response->controller_id = NODE_ID;
	response->brokers.at = &broker;
	response->brokers.count = 1;
	response->endpoint_type = request->endpoint_type;
	if (request->include_cluster_authorized_operations)
		response->cluster_authorized_operations = CLUSTER_OPERATIONS;
	kafka_call_answer(call, response);
}

/* --- DescribeLogDirs --- */

static bool wanted(const struct kafka_log_dirs_request_topic *asked, uint32_t partition)
{
	for (uint32_t i = 0; asked && i < asked->partitions.count; i++) {
		if (asked->partitions.at[i] == (int32_t)partition)
			return true;
	}
	return !asked;
}

/* `asked`: which of its partitions; NULL: all. */
static bool topic_fill(struct kafka_call *call, const struct topic_view *view, const struct kafka_log_dirs_request_topic *asked,
		       struct kafka_log_dir_topic *topic)
{
	struct kafka_log_dir_partition *partitions = kafka_call_alloc(call, view->partition_count * sizeof(*partitions));
	uint32_t count = 0;

	if (!partitions)
		return false;
	for (uint32_t i = 0; i < view->partition_count; i++) {
		if (!wanted(asked, i))
			continue;
		partitions[count++] = (struct kafka_log_dir_partition){.partition_index = (int32_t)i,
								       .partition_size = (int64_t)view->partitions[i].bytes};
	}
	topic->name = view->name;
	topic->partitions.at = partitions;
	topic->partitions.count = count;
	return true;
}

static void log_dirs(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_describe_log_dirs_request *request = call->own;
	const struct command *c = &ask->command;
	struct kafka_describe_log_dirs_response *response = kafka_call_response(call);
	struct kafka_log_dir dir = {.log_dir = SLICE("journal"), .total_bytes = -1, .usable_bytes = -1};
	struct kafka_log_dir_topic *topics = response ? kafka_call_alloc(call, c->out.topic_count * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	dir.error_code = (int16_t)kafka_error_of(c->outcome);
	dir.topics.at = topics;
	for (size_t i = 0; i < c->out.topic_count; i++) {
		if (!c->out.topics[i])
			continue;
		if (!topic_fill(call, c->out.topics[i], request->topics.at ? &request->topics.at[i] : NULL,
				&topics[dir.topics.count]))
			return;
		dir.topics.count++;
	}
	response->results.at = &dir;
	response->results.count = 1;
	kafka_call_answer(call, response);
}

void describe_log_dirs_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_describe_log_dirs_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TOPICS, log_dirs);
	struct topic_ref *refs = ask ? kafka_call_alloc(call, request->topics.count * sizeof(*refs)) : NULL;

	if (!refs)
		return;
	call->own = (void *)(uintptr_t)request;
	for (uint32_t i = 0; i < request->topics.count; i++)
		refs[i].name = request->topics.at[i].topic;
	ask->command.in.topics = (struct topics_in){.topics = request->topics.at ? refs : NULL, .count = request->topics.count};
	kafka_ask_send(call, ask);
}

/* --- what is not enabled --- */

void sasl_handshake_handle(struct kafka_call *call, const void *message)
{
	struct kafka_sasl_handshake_response *response = kafka_call_response(call);

	(void)message;
	if (!response)
		return;
	response->error_code = KAFKA_ILLEGAL_SASL_STATE;
	kafka_call_answer(call, response);
}

void sasl_authenticate_handle(struct kafka_call *call, const void *message)
{
	struct kafka_sasl_authenticate_response *response = kafka_call_response(call);

	(void)message;
	if (!response)
		return;
	response->error_code = KAFKA_ILLEGAL_SASL_STATE;
	response->error_message = SLICE("Authentication is not enabled.");
	kafka_call_answer(call, response);
}

#define NO_ACLS SLICE("Access control is not enabled.")

void describe_acls_handle(struct kafka_call *call, const void *message)
{
	struct kafka_describe_acls_response *response = kafka_call_response(call);

	(void)message;
	if (!response)
		return;
	response->error_code = KAFKA_SECURITY_DISABLED;
	response->error_message = NO_ACLS;
	kafka_call_answer(call, response);
}

void create_acls_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_create_acls_request *request = message;
	struct kafka_create_acls_response *response = kafka_call_response(call);
	struct kafka_created_acl *results = response ? kafka_call_alloc(call, request->creations.count * sizeof(*results)) : NULL;

	if (!results)
		return;
	for (uint32_t i = 0; i < request->creations.count; i++)
		results[i] = (struct kafka_created_acl){KAFKA_SECURITY_DISABLED, NO_ACLS};
	response->results.at = results;
	response->results.count = request->creations.count;
	kafka_call_answer(call, response);
}

void delete_acls_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_delete_acls_request *request = message;
	struct kafka_delete_acls_response *response = kafka_call_response(call);
	struct kafka_acl_filter_result *results =
		response ? kafka_call_alloc(call, request->filters.count * sizeof(*results)) : NULL;

	if (!results)
		return;
	for (uint32_t i = 0; i < request->filters.count; i++)
		results[i] = (struct kafka_acl_filter_result){.error_code = KAFKA_SECURITY_DISABLED, .error_message = NO_ACLS};
	response->filter_results.at = results;
	response->filter_results.count = request->filters.count;
	kafka_call_answer(call, response);
}
