/* What a consumer says to whom the server assigns partitions (KIP-848): plain structures, shared by who asks
 * (sequencer/group_command.h) and by the state (consumer.h). */
#pragma once

#include "base/slice.h"
#include "group/place.h"

enum {
	CONSUMER_ID_MAX = 292,            /* of a member's id, and of its rack's */
	CONSUMER_SAID_BYTES = 128 * 1024, /* all that a member may say of itself, whatever the settings: an event holds it */
	CONSUMER_PLACES_BYTES =
		60 * 1024, /* what one may be assigned, as places_put writes it: an event holds it twice, and PLACES_MAX bytes */
};

enum { CONSUMER_JOINS = 0, CONSUMER_LEAVES = -1, CONSUMER_PAUSES = -2 /* static: it will be back */ };

/* ptr == NULL of a slice: as before, or none. */
struct consumer_beat {
	struct slice group, member; /* `member` may be empty for who joins */
	int32_t epoch;              /* its own; or one of the above */
	struct slice instance, rack, regex, assignor;
	struct slice client_id, client_host;
	int32_t rebalance_ms;       /* -1: as before */
	const struct slice *topics; /* NULL: as before */
	size_t topic_count;
	bool has_topics, has_owned;
	struct places owned; /* if has_owned; a set */
};

enum holding_state {
	HOLDING_STABLE,     /* it has what it is to have, as of its epoch */
	HOLDING_UNREVOKED,  /* it is to give something up, and has not said yet that it did */
	HOLDING_UNRELEASED, /* it is to have more, which others have not given up */
	HOLDING_AWAY,       /* a static one that left to come back: it keeps what it has */
};
enum { HOLDING_STATE_COUNT = HOLDING_AWAY + 1 };
