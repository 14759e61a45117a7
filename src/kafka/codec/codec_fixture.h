/* For tests of the codec: messages of random values, and whether two are the same, both by the tables. */
#pragma once

#include "kafka/codec/api_keys.h"

/* Calls `each` for both messages of every key in every version offered. */
typedef void codec_each(const struct kafka_api *api, const struct kafka_table *table, struct kafka_format format, void *context);
void codec_for_all(codec_each *each, void *context);

/* Members that the version lacks get their defaults. What is drawn lies in the arena, which never lacks memory here. */
struct codec_random {
	uint64_t (*draw)(void *context);
	void *context;
	struct arena *arena;
};
void codec_fill(struct codec_random *random, const struct kafka_table *table, struct kafka_format format, void *ret_message);

/* An array that is never null may be so in one of them: it is empty then. */
bool codec_same(const struct kafka_table *table, const void *a, const void *b);
