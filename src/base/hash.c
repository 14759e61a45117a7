#include "base/hash.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"

#include <errno.h>

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), 64 bits. */
struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned n)
{
	return (x << n) | (x >> (64 - n));
}

static void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

static struct sip sip_start(const struct hash_key *key)
{
	return (struct sip){key->k0 ^ 0x736f6d6570736575ULL, key->k1 ^ 0x646f72616e646f6dULL, key->k0 ^ 0x6c7967656e657261ULL,
			    key->k1 ^ 0x7465646279746573ULL};
}

static void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

static uint64_t sip_end(struct sip *s, uint64_t last)
{
	sip_word(s, last);
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t hash_bytes(const struct hash_key *key, const void *ptr, size_t len)
{
	struct sip s = sip_start(key);
	const uint8_t *at = ptr;
	uint64_t last = (uint64_t)len << 56;
	size_t left = len;

	for (; left >= 8; at += 8, left -= 8)
		sip_word(&s, wire_load_u64(at));
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)at[i] << (8 * i);
	return sip_end(&s, last);
}

uint64_t hash_u64(const struct hash_key *key, uint64_t a, uint64_t b)
{
	struct sip s = sip_start(key);

	sip_word(&s, a);
	sip_word(&s, b);
	return sip_end(&s, (uint64_t)16 << 56);
}

enum { HASH_FIRST = 64, HASH_MOVES_PER_INSERT = 4 };

void hash_init(struct hash *table)
{
	*table = (struct hash){0};
}

int hash_init_sure(struct hash *table)
{
	struct hash_node node;

	hash_init(table);
	if (hash_insert(table, &node, 0))
		return -ENOMEM;
	hash_remove(table, &node);
	return 0;
}

void hash_deinit(struct hash *table)
{
	mem_free(table->buckets);
	mem_free(table->old);
	*table = (struct hash){0};
}

static void hash_link(struct hash *table, struct hash_node *node)
{
	struct hash_node **slot = &table->buckets[node->hash & table->mask];

	node->next = *slot;
	*slot = node;
}

static void hash_move_some(struct hash *table)
{
	for (int i = 0; table->old && i < HASH_MOVES_PER_INSERT; i++) {
		struct hash_node *node = table->old[table->moved];

		while (node) {
			struct hash_node *next = node->next;

			hash_link(table, node);
			node = next;
		}
		table->old[table->moved] = NULL;
		if (table->moved++ == table->old_mask)
			table->old = mem_free(table->old);
	}
}

static int hash_grow(struct hash *table)
{
	size_t size = table->buckets ? 2 * (table->mask + 1) : HASH_FIRST;
	struct hash_node **fresh = mem_zalloc(size * sizeof(struct hash_node *));

	if (!fresh)
		return -ENOMEM;
	table->old = table->buckets;
	table->old_mask = table->mask;
	table->moved = 0;
	table->buckets = fresh;
	table->mask = size - 1;
	return 0;
}

int hash_insert(struct hash *table, struct hash_node *node, uint64_t hash)
{
	hash_move_some(table);
	if (!table->old && (!table->buckets || table->count > table->mask) && hash_grow(table) && !table->buckets)
		return -ENOMEM;
	node->hash = hash;
	hash_link(table, node);
	table->count++;
	return 0;
}

static bool hash_unlink(struct hash_node **slot, struct hash_node *node)
{
	for (; *slot; slot = &(*slot)->next) {
		if (*slot == node) {
			*slot = node->next;
			node->next = NULL;
			return true;
		}
	}
	return false;
}

void hash_remove(struct hash *table, struct hash_node *node)
{
	bool found = hash_unlink(&table->buckets[node->hash & table->mask], node);

	if (!found && table->old)
		found = hash_unlink(&table->old[node->hash & table->old_mask], node);
	ENSURE(found);
	table->count--;
}

static struct hash_node *hash_match(struct hash_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

static struct hash_node *hash_match_old(const struct hash *table, uint64_t hash)
{
	size_t bucket = hash & table->old_mask;

	return table->old && bucket >= table->moved ? hash_match(table->old[bucket], hash) : NULL;
}

struct hash_node *hash_first(const struct hash *table, uint64_t hash)
{
	struct hash_node *node = table->buckets ? hash_match(table->buckets[hash & table->mask], hash) : NULL;

	return node ? node : hash_match_old(table, hash);
}

struct hash_node *hash_next(const struct hash *table, struct hash_node *node)
{
	uint64_t hash = node->hash;
	struct hash_node *next = hash_match(node->next, hash);

	if (next || !table->old)
		return next;
	/* Equal hashes may stand in both tables: after the new table's chain comes the old one's. */
	for (struct hash_node *old = hash_match_old(table, hash); old; old = hash_match(old->next, hash)) {
		if (old == node)
			return NULL;
	}
	return hash_match_old(table, hash);
}
