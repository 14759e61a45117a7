/* Configuration: one table of settings. Flags, environment, file, help and `bide config show` are made from it; tests hold the
 * man page and packaging/bide.conf to it.
 *
 * A value is taken from the last of these that has it: the default, the file (INI, read by inih), the environment (BIDE_ and the
 * name in capitals, '-' as '_'), the flag. An unknown key in a file or an unknown BIDE_ variable is an error with a suggestion.
 */
#pragma once

#include "base/attr.h"
#include "journal/journal.h"

#include <stdio.h>

enum setting_kind { SETTING_TEXT, SETTING_DURATION, SETTING_SIZE, SETTING_COUNT, SETTING_SYNC, SETTING_FLAG, SETTING_CHOICE };
enum setting_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct config {
	char *data, *http, *kafka, *advertise, *cors_origin, *webhook_ca;
	uint64_t threads;
	uint64_t sync;             /* enum journal_sync */
	uint64_t sync_interval_ms; /* set along with it */
	uint64_t segment_bytes;
	uint64_t default_wait_ms, max_wait_ms, drain_ms;
	uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
	uint64_t header_count, header_bytes, target_bytes, pipeline, connections, body_bytes, output_bytes;
	uint64_t jobs, queue_jobs, queues, claims, streams, producers, topics, partitions, transactional_ids, transaction_ms,
		subscriptions, subscription_links, wait_items, job_output_bytes;
	uint64_t webhook_allow; /* enum hook_allow */
	uint64_t webhook_timeout_ms, webhooks;
	uint64_t compaction_interval_ms, compaction_bytes, message_bytes;
	uint64_t kafka_idle_ms, kafka_memory_bytes, frame_bytes, answer_bytes, fetch_bytes, topic_partitions;
	uint64_t fetch_sessions, fetch_session_partitions, produce_rate, fetch_rate, quota_clients;
	uint64_t auto_create; /* 0: yes */
	uint64_t groups, group_members, group_member_bytes, group_offsets, offset_metadata_bytes;
	uint64_t group_topics, group_regex_bytes, group_partitions, consumer_session_ms, consumer_beat_ms;
	uint64_t group_session_min_ms, group_session_max_ms, group_delay_ms, group_retention_ms;
	uint64_t delivery_lease_ms, tombstone_ms, retry_base_ms, retry_cap_ms;
	uint64_t salvage;
};

struct setting {
	const char *name; /* of the flag and the key */
	enum setting_kind kind;
	size_t offset; /* in struct config: a char * or a uint64_t */
	const char *initial;
	uint64_t min, max;
	bool reload;     /* SIGHUP takes a new value over */
	const char *arg; /* of a choice: its words, between '|'s; the value is which of them */
	const char *help;
};

extern const struct setting settings[];
extern const size_t setting_count;

/* Where each value came from, for `bide config show --origin`. */
struct config_origins {
	enum setting_origin origin[80];
	int line[80]; /* in the file */
};

struct config_flags {
	const char *file;          /* --config; NULL: BIDE_CONFIG, or none */
	const char *const *values; /* by setting: what the command line gives, or NULL */
};

/* 0, or -EINVAL with every mistake told on `errors`. *ret_config is the caller's (config_deinit). */
int config_load(const struct config_flags *flags, FILE *errors, struct config *ret_config,
		struct config_origins *ret_origins) MUST_USE;
void config_deinit(struct config *config);

/* Takes over from `fresh` what may change while running; tells on `errors` what would need a restart. */
void config_reload(struct config *config, const struct config *fresh, FILE *errors);

/* The value as it would be written in the file. */
void config_value(const struct config *config, const struct setting *setting, char *out, size_t size);
