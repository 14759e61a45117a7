/* Asking a sequencer about groups, in short: clients of one group, as the tests see them. */
#pragma once

#include "sequencer/stream_fixture.h"

enum { CLIENT_MAX = 8, SESSION_MS = 10000, REBALANCE_MS = 30000 };

static const struct slice a_group = {"readers", 7}, a_topic = {"t", 1};

struct client {
	struct slice instance; /* empty: not static */
	const char *protocols; /* with commas, the most wanted first; what it says of one is the protocol's name and its own */
	const char *name;
	char id[GROUP_MEMBER_ID_MAX + 1]; /* empty: none */
	int32_t generation;
	uint32_t session_ms, rebalance_ms;
	struct ask join, sync;
	struct group_protocol said[4];
	char metadata[4][64];
	bool joins, syncs; /* asked, and not back when it was last looked */
};

struct client client_of(const char *name, const char *protocols);
struct slice client_id(const struct client *client);
struct group_who who_of(const struct client *client);

enum outcome topic_tell(enum command_kind kind); /* TOPIC_CREATE (two partitions), TOPIC_DELETE: of a_topic */

/* Asks: PARKED, or what came back. Then client_joined and client_synced say what came of it: PARKED while it is held. */
enum outcome client_join(struct client *client);
enum outcome client_joined(struct client *client);
/* Whoever leads assigns to each the member's own id behind `what`. */
enum outcome client_sync(struct client *client, const char *what);
enum outcome client_synced(struct client *client);
enum outcome client_beat(struct client *client);
enum outcome client_leave(struct client *client);
enum outcome client_commit(struct client *client, uint32_t partition, uint64_t offset);
/* Its connection is gone: what it waits for comes back. */
void client_gone(struct client *client);
void client_deinit(struct client *client);

/* With an id first, where it has none; until it is answered or held. */
enum outcome client_come(struct client *client);

enum outcome commit_as(struct group_commit_in in);
/* "t/0=5 " of each offset there is; with metadata behind a colon. */
void expect_offsets(struct slice group, const char *said);
enum outcome group_tell(enum command_kind kind, struct slice group); /* GROUP_DELETE, GROUP_GET */
