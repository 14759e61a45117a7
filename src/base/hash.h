/* Intrusive hash table that grows a little at every insert, so that no single insert stops the house; and SipHash-1-3,
 * keyed, so that a peer who chooses the keys cannot choose the buckets. */
#pragma once

#include "base/slice.h"

struct hash_node {
	struct hash_node *next;
	uint64_t hash;
};

struct hash {
	struct hash_node **buckets; /* the table in use */
	struct hash_node **old;     /* being emptied into it, or NULL */
	size_t mask, old_mask;
	size_t moved; /* buckets of `old` below this one are empty */
	size_t count;
};

struct hash_key {
	uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_key *key, const void *ptr, size_t len);
uint64_t hash_u64(const struct hash_key *key, uint64_t a, uint64_t b);

void hash_init(struct hash *table);
int hash_init_sure(struct hash *table) MUST_USE; /* no insert can fail then; or -ENOMEM, and it is empty */
void hash_deinit(struct hash *table);            /* nodes are not touched */

/* -ENOMEM only for the very first insert; later ones make do with longer chains. */
int hash_insert(struct hash *table, struct hash_node *node, uint64_t hash) MUST_USE;
void hash_remove(struct hash *table, struct hash_node *node); /* must be in the table */

/* The chain in which nodes of that hash are; walk with ->next and compare hash and key. Two chains while growing. */
struct hash_node *hash_first(const struct hash *table, uint64_t hash);
struct hash_node *hash_next(const struct hash *table, struct hash_node *node); /* the next one with the same hash */
