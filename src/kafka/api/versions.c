/* ApiVersions: what is offered, which is what has a handler. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_cluster.h"

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
	kafka_call_answer(call, response);
}
