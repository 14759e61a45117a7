#include "kafka/codec/api_keys.h"

#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/tables_priv.h"

#define KAFKA_ROW(key_name, number, structures, flexible_from, first_version, last_classic, last_all)                            \
	[number] = {                                                                                                             \
		.name = #structures,                                                                                             \
		.key = number,                                                                                                   \
		.flexible = flexible_from,                                                                                       \
		.first = first_version,                                                                                          \
		.last = {last_classic, last_all},                                                                                \
		.request = &kafka_##structures##_request_table,                                                                  \
		.response = &kafka_##structures##_response_table,                                                                \
	},
static const struct kafka_api apis[KAFKA_KEY_END] = {KAFKA_APIS(KAFKA_ROW)};
#undef KAFKA_ROW

const struct kafka_api *kafka_api_find(enum kafka_offer offer, int key)
{
	if (key < 0 || key >= KAFKA_KEY_END || !apis[key].request || apis[key].last[offer] == KAFKA_NOT)
		return NULL;
	return &apis[key];
}

uint32_t kafka_api_versions(enum kafka_offer offer, struct kafka_api_version *ret_versions)
{
	uint32_t count = 0;

	for (int key = 0; key < KAFKA_KEY_END; key++) {
		const struct kafka_api *api = kafka_api_find(offer, key);

		if (api)
			ret_versions[count++] = (struct kafka_api_version){api->key, api->first, api->last[offer]};
	}
	return count;
}
