/* Groups of Kafka consumers, as people look at them: which there are, who is in them, how far they have come, and how to set that
 * anew. */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "http/api/json_in.h"

static const char *const states[GROUP_STATE_COUNT] = {
	[GROUP_EMPTY] = "empty",   [GROUP_PREPARING] = "joining",   [GROUP_COMPLETING] = "dividing",
	[GROUP_STABLE] = "stable", [GROUP_ASSIGNING] = "assigning", [GROUP_RECONCILING] = "reconciling",
};

/* True when there was an error, and it has been answered. */
static bool refused(struct exchange *ex, struct ask *ask)
{
	enum outcome outcome = ask->command.outcome;

	if (outcome == OUTCOME_OK)
		return false;
	command_answer_deinit(&ask->command);
	if (outcome == OUTCOME_NOT_FOUND)
		call_problem(ex, PROBLEM_NOT_FOUND, "There is no such group.");
	else if (outcome == OUTCOME_BUSY || outcome == OUTCOME_NO_MEMBER)
		call_problem(ex, PROBLEM_CONFLICT, "The group has members.");
	else if (outcome == OUTCOME_NAME)
		call_problem(ex, PROBLEM_BAD_REQUEST, "A group's id has 1 to %d bytes.", GROUP_ID_MAX);
	else if (outcome == OUTCOME_FULL)
		call_problem(ex, PROBLEM_SERVER_FULL, "There are as many groups, or offsets of this one, as may be.");
	else
		call_outcome(ex, outcome);
	return true;
}

static void done(struct exchange *ex, struct ask *ask)
{
	if (!refused(ex, ask))
		ask_answer_done(ex, ask);
}

/* --- GET --- */

static void text_json(struct buf *out, const char *key, struct slice text)
{
	json_key(out, key);
	if (text.len)
		json_str(out, text);
	else
		json_nil(out);
}

static void head_json(struct buf *out, const struct group_view *view)
{
	json_key(out, "group");
	json_str(out, view->id);
	json_key(out, "state");
	json_str(out, slice_str(states[view->state]));
	json_key(out, "type");
	json_str(out, view->is_consumer ? SLICE("consumer") : SLICE("classic"));
	text_json(out, "protocol_type", view->protocol_type);
	text_json(out, "protocol", view->protocol);
	json_key(out, "generation");
	json_u64(out, view->generation);
}

static void listed(struct exchange *ex, struct ask *ask)
{
	const struct command *c = &ask->command;
	struct buf *out = &api_of(ex)->out;

	if (refused(ex, ask))
		return;
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "groups");
	json_open(out, '[');
	for (size_t i = 0; i < c->out.group_count; i++) {
		json_open(out, '{');
		head_json(out, c->out.groups[i]);
		json_key(out, "members");
		json_u64(out, c->out.groups[i]->member_count);
		json_key(out, "offsets");
		json_u64(out, c->out.groups[i]->offset_count);
		json_close(out, '}');
	}
	json_close(out, ']');
	page_next_json(out, c->out.next);
	json_close(out, '}');
	ask_answer_json(ex, ask);
}

void groups_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_GROUPS, listed);

	(void)params;
	if (!ask || !input_page(ex, &ask->command.in.groups.limit, &ask->command.in.groups.after))
		return;
	ask_send(ex, ask);
}

static void member_json(struct buf *out, const struct group_member_view *member, bool leads)
{
	json_open(out, '{');
	json_key(out, "id");
	json_str(out, member->id);
	text_json(out, "instance", member->instance);
	text_json(out, "client", member->client_id);
	text_json(out, "host", member->client_host);
	json_key(out, "leader");
	json_bool(out, leads);
	json_close(out, '}');
}

static void places_json(struct buf *out, const char *key, const struct consumer_places_view *places)
{
	json_key(out, key);
	json_open(out, '[');
	for (uint32_t i = 0; i < places->count; i++) {
		json_open(out, '{');
		json_key(out, "topic");
		json_str(out, places->topics[i].name);
		json_key(out, "partitions");
		json_open(out, '[');
		for (uint32_t p = 0; p < places->topics[i].count; p++)
			json_u64(out, (uint64_t)places->topics[i].partitions[p]);
		json_close(out, ']');
		json_close(out, '}');
	}
	json_close(out, ']');
}

/* A member to whom the server assigns partitions. */
static void consumer_json(struct buf *out, const struct consumer_view *consumer)
{
	json_open(out, '{');
	json_key(out, "id");
	json_str(out, consumer->id);
	text_json(out, "instance", consumer->instance);
	text_json(out, "client", consumer->client_id);
	text_json(out, "host", consumer->client_host);
	json_key(out, "leader");
	json_bool(out, false);
	json_key(out, "away");
	json_bool(out, consumer->is_away);
	json_key(out, "epoch");
	json_u64(out, consumer->epoch);
	json_key(out, "topics");
	json_open(out, '[');
	for (uint32_t i = 0; i < consumer->topic_count; i++)
		json_str(out, consumer->topics[i]);
	json_close(out, ']');
	text_json(out, "regex", consumer->regex);
	places_json(out, "assigned", &consumer->assigned);
	places_json(out, "target", &consumer->target);
	json_close(out, '}');
}

/* What lies behind it: nothing, where the partition is gone or the offset is beyond its end. */
static uint64_t lag_of(const struct group_offset_view *offset)
{
	return offset->end_offset > offset->offset ? (uint64_t)(offset->end_offset - offset->offset) : 0;
}

static void offset_json(struct buf *out, const struct group_offset_view *offset)
{
	json_open(out, '{');
	json_key(out, "topic");
	json_str(out, offset->topic);
	json_key(out, "partition");
	json_u64(out, offset->partition);
	json_key(out, "offset");
	json_u64(out, (uint64_t)offset->offset);
	json_key(out, "end");
	if (offset->end_offset >= 0)
		json_u64(out, (uint64_t)offset->end_offset);
	else
		json_nil(out);
	json_key(out, "lag");
	json_u64(out, lag_of(offset));
	text_json(out, "metadata", offset->metadata);
	json_key(out, "committed");
	json_time(out, offset->committed_ms);
	json_close(out, '}');
}

static void told(struct exchange *ex, struct ask *ask)
{
	const struct group_view *view = ask->command.out.group;
	const struct group_offsets_view *offsets = ask->command.out.offsets;
	const struct consumers_view *consumers = ask->command.out.consumers;
	struct buf *out = &api_of(ex)->out;

	if (refused(ex, ask))
		return;
	buf_clear(out);
	json_open(out, '{');
	head_json(out, view);
	json_key(out, "members");
	json_open(out, '[');
	for (size_t i = 0; i < view->member_count; i++)
		member_json(out, &view->members[i], slice_eq(view->members[i].id, view->leader));
	for (uint32_t i = 0; i < consumers->count; i++)
		consumer_json(out, &consumers->at[i]);
	json_close(out, ']');
	json_key(out, "offsets");
	json_open(out, '[');
	for (size_t i = 0; i < offsets->count; i++)
		offset_json(out, &offsets->at[i]);
	json_close(out, ']');
	json_close(out, '}');
	ask_answer_json(ex, ask);
}

void group_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_GROUP_GET, told);

	if (!ask)
		return;
	ask->command.in.group = (struct group_in){.group = params[0], .offsets = true};
	ask_send(ex, ask);
}

void group_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_GROUP_DELETE, done);

	if (!ask)
		return;
	ask->command.in.group.group = params[0];
	ask_send(ex, ask);
}

/* --- PATCH: the topic's partitions are looked at, then offsets are committed as by somebody outside --- */

struct reset {
	struct ask *look, *commit;
	struct topic_ref topic;
	struct reset_request request;
};

static uint64_t reset_offset(const struct reset_request *request, const struct partition_view *partition)
{
	if (request->to == RESET_OFFSET)
		return request->offset;
	return request->to == RESET_EARLIEST ? partition->earliest_offset : partition->next_offset;
}

static bool places_fill(struct exchange *ex, struct reset *reset, const struct topic_view *view)
{
	struct group_commit_in *in = &reset->commit->command.in.group_commit;
	uint64_t first = reset->request.partition == UINT64_MAX ? 0 : reset->request.partition;

	in->count = reset->request.partition == UINT64_MAX ? view->partition_count : 1;
	in->places = arena_zalloc(&ex->arena, in->count * sizeof(*in->places));
	if (!in->places)
		return false;
	for (size_t i = 0; i < in->count; i++)
		in->places[i] = (struct group_place){.topic = reset->request.topic,
						     .partition = (uint32_t)(first + i),
						     .offset = reset_offset(&reset->request, &view->partitions[first + i]),
						     .leader_epoch = -1};
	return true;
}

static void looked(struct exchange *ex, struct ask *ask)
{
	struct reset *reset = container_of(ask->command.in.topics.topics, struct reset, topic);
	const struct topic_view *view = ask->command.out.topic_count ? ask->command.out.topics[0] : NULL;
	bool is_topic = view, is_partition, is_made = false;

	if (refused(ex, ask))
		return;
	is_partition = view && (reset->request.partition == UINT64_MAX || reset->request.partition < view->partition_count);
	if (is_partition)
		is_made = places_fill(ex, reset, view);
	/* With an answer all this is gone. */
	command_answer_deinit(&ask->command);
	if (is_made)
		ask_send(ex, reset->commit);
	else if (is_partition)
		call_no_memory(ex);
	else
		call_problem(ex, PROBLEM_NOT_FOUND, is_topic ? "The topic has no such partition." : "There is no such topic.");
}

void group_reset_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct reset *reset = arena_zalloc(&ex->arena, sizeof(*reset));

	if (!reset) {
		call_no_memory(ex);
		return;
	}
	reset->look = ask_new(ex, COMMAND_TOPICS, looked);
	reset->commit = reset->look ? ask_new(ex, COMMAND_GROUP_COMMIT, done) : NULL;
	if (!reset->commit)
		return;
	reset->look->command.in.topics = (struct topics_in){.topics = &reset->topic, .count = 1};
	reset->commit->command.in.group_commit.who = (struct group_who){.group = params[0], .generation = -1};
	call_of(ex)->ask = reset->look;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

void group_reset_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct reset *reset = container_of(ask->command.in.topics.topics, struct reset, topic);
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, false);
	reset_read(&in, &reset->request);
	reset->topic.name = reset->request.topic;
	if (json_in_answer(ex, &in))
		ask_send(ex, ask);
}
