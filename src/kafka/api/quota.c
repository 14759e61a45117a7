#include "kafka/api/quota.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"

#include <pthread.h>

struct client {
	struct hash_node node; /* by its hash alone, which nobody outside can aim at */
	struct list peers;     /* the one silent longest first */
	uint64_t paid_us[QUOTA_COUNT];
};

struct kafka_quotas {
	pthread_mutex_t lock;
	struct hash_key key;
	struct hash clients;
	struct list by_use;
};

struct kafka_quotas *kafka_quotas_new(void)
{
	struct kafka_quotas *quotas = mem_zalloc(sizeof(*quotas));

	if (!quotas)
		return NULL;
	pthread_mutex_init(&quotas->lock, NULL);
	quotas->key = (struct hash_key){(uint64_t)(uintptr_t)quotas, (uint64_t)(uintptr_t)&quotas};
	hash_init(&quotas->clients);
	list_init(&quotas->by_use);
	return quotas;
}

static void client_drop(struct kafka_quotas *quotas, struct client *client)
{
	hash_remove(&quotas->clients, &client->node);
	list_remove(&client->peers);
	mem_free(client);
}

struct kafka_quotas *kafka_quotas_free(struct kafka_quotas *quotas)
{
	if (!quotas)
		return NULL;
	while (!list_empty(&quotas->by_use))
		client_drop(quotas, list_first(&quotas->by_use, struct client, peers));
	hash_deinit(&quotas->clients);
	pthread_mutex_destroy(&quotas->lock);
	return mem_free(quotas);
}

uint64_t kafka_quota_client(const struct kafka_quotas *quotas, struct slice client_id)
{
	uint64_t client = hash_bytes(&quotas->key, client_id.ptr, client_id.len);

	return client ? client : 1;
}

static struct client *client_find(const struct kafka_quotas *quotas, uint64_t hash)
{
	for (struct hash_node *node = hash_first(&quotas->clients, hash); node; node = hash_next(&quotas->clients, node)) {
		if (node->hash == hash)
			return container_of(node, struct client, node);
	}
	return NULL;
}

/* NULL: no memory. */
static struct client *client_get(struct kafka_quotas *quotas, const struct quota_charge *charge)
{
	struct client *client = client_find(quotas, charge->client);

	if (client) {
		list_remove(&client->peers);
		list_push_back(&quotas->by_use, &client->peers);
		return client;
	}
	while (quotas->clients.count && quotas->clients.count >= charge->clients_max)
		client_drop(quotas, list_first(&quotas->by_use, struct client, peers));
	client = mem_zalloc(sizeof(*client));
	if (!client || hash_insert(&quotas->clients, &client->node, charge->client))
		return mem_free(client);
	list_push_back(&quotas->by_use, &client->peers);
	return client;
}

uint32_t kafka_quota_charge(struct kafka_quotas *quotas, const struct quota_charge *charge)
{
	uint64_t now_us = charge->now_ms * 1000, burst_us = QUOTA_BURST_MS * 1000ULL, wait_ms = 0;
	uint64_t earliest_us = now_us > burst_us ? now_us - burst_us : 0;
	struct client *client;

	pthread_mutex_lock(&quotas->lock);
	client = client_get(quotas, charge);
	if (client) { /* without memory nobody waits */
		uint64_t *paid_us = &client->paid_us[charge->kind];

		if (*paid_us < earliest_us)
			*paid_us = earliest_us;
		*paid_us += charge->bytes * 1000000 / charge->rate_bytes;
		wait_ms = *paid_us > now_us ? (*paid_us - now_us + 999) / 1000 : 0;
	}
	pthread_mutex_unlock(&quotas->lock);
	return (uint32_t)(wait_ms < QUOTA_WAIT_MAX_MS ? wait_ms : QUOTA_WAIT_MAX_MS);
}
