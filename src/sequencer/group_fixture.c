#include "sequencer/group_fixture.h"

#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

struct client client_of(const char *name, const char *protocols)
{
	return (struct client){
		.name = name, .protocols = protocols, .generation = -1, .session_ms = SESSION_MS, .rebalance_ms = REBALANCE_MS};
}

struct slice client_id(const struct client *client)
{
	return slice_str(client->id);
}

struct group_who who_of(const struct client *client)
{
	return (struct group_who){
		.group = a_group, .member = client_id(client), .instance = client->instance, .generation = client->generation};
}

enum outcome topic_tell(enum command_kind kind)
{
	struct topic_change change = {.topic.name = a_topic, .partitions = 2};
	struct ask ask = {.c = {.kind = kind, .in.topics_change = {.changes = &change, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	return change.outcome;
}

static struct group_join say_join(struct client *client)
{
	struct group_join join = {.who = who_of(client),
				  .protocol_type = SLICE("consumer"),
				  .protocols = client->said,
				  .client_id = slice_str(client->name),
				  .client_host = SLICE("/127.0.0.1"),
				  .session_ms = client->session_ms,
				  .rebalance_ms = client->rebalance_ms,
				  .knows_skip = true};
	struct slice rest = slice_str(client->protocols);

	while (rest.len) {
		struct group_protocol *said = &client->said[join.protocol_count];
		char *metadata = client->metadata[join.protocol_count++];

		said->name = slice_cut(&rest, ',');
		snprintf(metadata, sizeof(client->metadata[0]), "%.*s of %s", (int)said->name.len, said->name.ptr, client->name);
		said->metadata = slice_str(metadata);
	}
	return join;
}

static enum outcome after(struct ask *ask, bool *waits)
{
	*waits = ask->back == 0;
	return *waits ? OUTCOME_PARKED : ask->c.outcome;
}

enum outcome client_joined(struct client *client)
{
	const struct group_view *view = client->join.c.out.group;
	enum outcome outcome = after(&client->join, &client->joins);

	if (outcome == OUTCOME_OK || outcome == OUTCOME_MEMBER_ID) {
		assert_non_null(view);
		assert_true(view->member_id.len > 0 && view->member_id.len < sizeof(client->id));
		memset(client->id, 0, sizeof(client->id));
		memcpy(client->id, view->member_id.ptr, view->member_id.len);
	}
	if (outcome == OUTCOME_OK)
		client->generation = (int32_t)view->generation;
	return outcome;
}

enum outcome client_join(struct client *client)
{
	ask_deinit(&client->join);
	client->join = (struct ask){.c = {.kind = COMMAND_GROUP_JOIN}};
	client->join.c.in.group_join = (struct group_join_in){.join = say_join(client), .needs_id = true};
	fixture_send(&f, &client->join, 0);
	fixture_settle(&f);
	return client_joined(client);
}

enum outcome client_come(struct client *client)
{
	enum outcome outcome = client_join(client);

	return outcome == OUTCOME_MEMBER_ID ? client_join(client) : outcome;
}

enum outcome client_synced(struct client *client)
{
	return after(&client->sync, &client->syncs);
}

enum outcome client_sync(struct client *client, const char *what)
{
	static struct group_assignment assignments[CLIENT_MAX];
	static char texts[CLIENT_MAX][GROUP_MEMBER_ID_MAX + 64];
	const struct group_view *view = client->join.c.out.group;
	struct group_sync sync = {.who = who_of(client), .assignments = assignments};

	for (size_t i = 0; view && i < view->member_count; i++) {
		struct slice id = view->members[i].id;

		snprintf(texts[i], sizeof(texts[i]), "%s%.*s", what, (int)id.len, id.ptr);
		assignments[i] = (struct group_assignment){id, slice_str(texts[i])};
		sync.assignment_count++;
	}
	ask_deinit(&client->sync);
	client->sync = (struct ask){.c = {.kind = COMMAND_GROUP_SYNC}};
	client->sync.c.in.group_sync = (struct group_sync_in){.sync = sync};
	fixture_send(&f, &client->sync, 0);
	fixture_settle(&f);
	return client_synced(client);
}

enum outcome client_beat(struct client *client)
{
	struct ask ask = {.c = {.kind = COMMAND_GROUP_BEAT, .in.group_who = who_of(client)}};

	return fixture_ask(&f, &ask, 0);
}

enum outcome client_leave(struct client *client)
{
	struct group_leaving leaving = {.member = client_id(client), .instance = client->instance};
	struct ask ask = {.c = {.kind = COMMAND_GROUP_LEAVE, .in.group_leave = {a_group, &leaving, 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	return leaving.outcome;
}

static void cancel(struct ask *of)
{
	struct ask ask = {.c = {.kind = COMMAND_GROUP_CANCEL, .in.group_cancel = {&of->c}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(of->back, 1);
}

void client_gone(struct client *client)
{
	if (client->joins)
		cancel(&client->join);
	if (client->syncs)
		cancel(&client->sync);
	client->joins = client->syncs = false;
}

void client_deinit(struct client *client)
{
	ask_deinit(&client->join);
	ask_deinit(&client->sync);
}

enum outcome commit_as(struct group_commit_in in)
{
	struct ask ask = {.c = {.kind = COMMAND_GROUP_COMMIT, .in.group_commit = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	return outcome == OUTCOME_OK && in.count == 1 ? in.places[0].outcome : outcome;
}

enum outcome client_commit(struct client *client, uint32_t partition, uint64_t offset)
{
	struct group_place place = {.topic = a_topic, .partition = partition, .offset = offset, .leader_epoch = -1};

	return commit_as((struct group_commit_in){who_of(client), &place, 1});
}

void expect_offsets(struct slice group, const char *said)
{
	struct ask ask = {.c = {.kind = COMMAND_GROUP_OFFSETS, .in.group_offsets = {.group = group}}};
	const struct group_offsets_view *view;

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	view = ask.c.out.offsets;
	buf_clear(&mine);
	for (size_t i = 0; i < view->count; i++) {
		const struct group_offset_view *at = &view->at[i];

		buf_append_slice(&mine, at->topic);
		buf_printf(&mine, "/%u=%lld", at->partition, (long long)at->offset);
		if (at->metadata.len) {
			buf_append_char(&mine, ':');
			buf_append_slice(&mine, at->metadata);
		}
		buf_append_char(&mine, ' ');
	}
	buf_append_char(&mine, '\0');
	assert_string_equal(mine.ptr, said);
	ask_deinit(&ask);
}

enum outcome group_tell(enum command_kind kind, struct slice group)
{
	struct ask ask = {.c = {.kind = kind, .in.group.group = group}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}
