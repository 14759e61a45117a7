/* What can be set of a topic: one table, from which values are judged and described. The names, kinds and what holds where
 * nothing is set are Apache Kafka's (its "Topic Configs"). Pure. */
#pragma once

#include "base/buf.h"

enum { TOPIC_VALUE_MAX = 4096 };

/* The numbers are those of DescribeConfigs. */
enum topic_key_kind {
	TOPIC_KEY_BOOLEAN = 1,
	TOPIC_KEY_STRING = 2,
	TOPIC_KEY_INT = 3,
	TOPIC_KEY_LONG = 5,
	TOPIC_KEY_DOUBLE = 6,
	TOPIC_KEY_LIST = 7, /* with commas */
};

struct topic_key {
	const char *name;
	const char *fallback; /* its value where it is not set */
	const char *choices;  /* of STRING and LIST: with commas; NULL: anything */
	enum topic_key_kind kind;
	int64_t min, max; /* of numbers */
	const char *help;
};
/* What the help of those that nothing follows from says last. */
#define TOPIC_KEY_IDLE " The server has no use for it; it is kept as it was set."

extern const struct topic_key topic_keys[];
extern const size_t topic_key_count;

const struct topic_key *topic_key_find(struct slice name);               /* NULL: there is none */
bool topic_value_valid(const struct topic_key *key, struct slice value); /* whether it may have that value */

struct topic_setting {
	struct slice key, value;
};
enum { TOPIC_SETTINGS_MAX = 64 }; /* of one topic */

/* As events have them: one behind the other. */
void topic_setting_put(struct buf *out, const struct topic_setting *setting);
/* The next one, in place: 1; 0 at the end; -EBADMSG. */
int topic_setting_get(struct slice *settings, struct topic_setting *ret_setting) MUST_USE;

/* What stands between commas, without blanks around it: the first; `list` goes on behind it, with ptr NULL at the end. */
bool topic_list_next(struct slice *list, struct slice *ret_item);
bool topic_list_has(struct slice list, struct slice item);

enum { TOPIC_RATIO_ONE = 1000000 };

/* What of it the server acts upon. */
struct topic_limits {
	uint64_t retention_ms, retention_bytes; /* 0: none */
	uint64_t max_message_bytes;
	bool append_time;                       /* records have the time at which they were appended */
	bool compact;                           /* of each key the last record is kept; every record needs one */
	uint64_t delete_retention_ms;           /* a null value stays so long once it is all that is left of its key */
	uint64_t compaction_lag_ms;             /* what is younger is left alone */
	uint64_t compaction_lag_max_ms;         /* what is older is not */
	uint64_t time_before_ms, time_after_ms; /* so far a producer's time may lie before and behind the server's */
	uint32_t dirty_ratio;                   /* so much of it may be dirty, of TOPIC_RATIO_ONE */
};

/* Settings that are not valid count as not set. */
struct topic_limits topic_limits_of(const struct topic_setting *settings, size_t count);
