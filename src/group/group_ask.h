/* What members of a group say, and who waits for an answer: plain structures, shared by who asks (sequencer/group_command.h) and
 * by the state (group.h). */
#pragma once

#include "base/list.h"
#include "base/slice.h"
#include "sequencer/outcome.h"

enum {
	GROUP_ID_MAX = 1024,
	GROUP_INSTANCE_MAX = 249,
	GROUP_CLIENT_MAX = 255,   /* of a client's id and of its host: what is longer is cut */
	GROUP_PROTOCOL_MAX = 255, /* a name's length */
	GROUP_PROTOCOLS_MAX = 32, /* of one member */
};

/* The last two are only told, of groups of consumers (consumer.h), as are EMPTY and STABLE of those. */
enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_ASSIGNING, GROUP_RECONCILING };
enum { GROUP_STATE_COUNT = GROUP_RECONCILING + 1 };

struct member;

/* A join or a sync that is not over. It lies in the asker's memory, from when it is parked until it is taken from groups_over. */
struct group_wait {
	struct list over;      /* in groups->over, once it is */
	struct member *member; /* NULL: of nobody any more */
	enum outcome outcome;
	bool is_over;
	bool is_skip;  /* a leader who came back: it is told the members, but need not divide anything */
	bool is_quiet; /* the same, for one that does not know of skipping: it is not told that it leads */
};

struct group_protocol {
	struct slice name, metadata;
};

/* Somebody who is in a group, or says so. */
struct group_who {
	struct slice group, member;
	struct slice instance; /* of a static member; empty: none */
	int32_t generation;    /* -1: in none */
	bool is_known;         /* the sequencer's: `member` is an id that was given away by it */
};

struct group_join {
	struct group_who who; /* without a generation; `member` is empty for who is new */
	struct slice protocol_type;
	const struct group_protocol *protocols; /* the most wanted first */
	size_t protocol_count;
	struct slice client_id, client_host;
	uint32_t session_ms, rebalance_ms;
	bool knows_skip;
};

struct group_assignment {
	struct slice member, assignment;
};

struct group_sync {
	struct group_who who;
	struct slice protocol_type, protocol;       /* empty: it does not say */
	const struct group_assignment *assignments; /* of the leader */
	size_t assignment_count;
};
