/* ApiVersions: what is offered, which is what has a handler; and features of the whole server, by which clients that know them
 * choose between ways of doing a thing. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_cluster.h"

enum { FEATURES_FROM = 4 }; /* before that version a client cannot read that a feature may be off */

/* Transactions as KIP-890 has them: partitions need not be named before, and each transaction has an epoch of its own. */
static const struct kafka_supported_feature supported[] = {{SLICE("transaction.version"), 0, 2}};
static const struct kafka_finalized_feature finalized[] = {{SLICE("transaction.version"), 2, 2}};

static void features_fill(struct kafka_api_versions_response *response)
{
	response->supported_features.at = (struct kafka_supported_feature *)(uintptr_t)supported;
	response->supported_features.count = ARRAY_COUNT(supported);
	response->finalized_features_epoch = 0;
	response->finalized_features.at = (struct kafka_finalized_feature *)(uintptr_t)finalized;
	response->finalized_features.count = ARRAY_COUNT(finalized);
}

void api_versions_handle(struct kafka_call *call, const void *request)
{
	struct kafka_api_versions_response *response = kafka_call_response(call);
	struct kafka_api_version *all = response ? kafka_call_alloc(call, KAFKA_API_COUNT * sizeof(*all)) : NULL;
	uint32_t count, kept = 0;

	(void)request;
	if (!all)
		return;
	count = kafka_api_versions(KAFKA_OFFER, all);
	for (uint32_t i = 0; i < count; i++) {
		if (kafka_handler_find(all[i].api_key))
			all[kept++] = all[i];
	}
	response->api_keys.at = all;
	response->api_keys.count = kept;
	if (call->request.format.version >= FEATURES_FROM)
		features_fill(response);
	kafka_call_answer(call, response);
}
