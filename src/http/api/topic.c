/* Topics of Kafka clients, as people and scripts look at them and set them: listed, made, told, altered, deleted. Their records
 * are read and written as those of streams are (stream.c). */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "http/api/json_in.h"
#include "topic/topic_config.h"

/* What is to become of one topic; in the exchange's arena. */
struct topic_work {
	struct topic_change change;
	struct topic_request request;
	bool grows; /* ALTER: it has fewer partitions than it is to have */
};

static struct topic_work *work_of(const struct ask *ask)
{
	if (ask->command.kind == COMMAND_TOPICS)
		return container_of(ask->command.in.topics.topics, struct topic_work, change.topic);
	return container_of(ask->command.in.topics_change.changes, struct topic_work, change);
}

static void change_problem(struct exchange *ex, const struct topic_change *change)
{
	enum outcome outcome = change->outcome;

	if (outcome == OUTCOME_NOT_FOUND)
		call_problem(ex, PROBLEM_NOT_FOUND, "There is no such topic.");
	else if (outcome == OUTCOME_CONFLICT)
		call_problem(ex, PROBLEM_CONFLICT, "A stream lies at the path of one of the topic's partitions.");
	else if (outcome == OUTCOME_NAME)
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "A topic's name has 1 to %d letters, digits, '.', '_' and '-', and is none of \".\", \"..\", "
			     "\"__jobs\" and \"__ds\".",
			     TOPIC_NAME_MAX);
	else if (outcome == OUTCOME_PARTITIONS)
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "That number of partitions cannot be: none is ever taken away, and max-partitions is the most.");
	else if (outcome == OUTCOME_SETTING)
		call_problem(ex, PROBLEM_BAD_REQUEST, "There is no such setting, or not with that value: %.*s",
			     (int)change->bad_key.len, change->bad_key.ptr);
	else if (outcome == OUTCOME_FULL)
		call_problem(ex, PROBLEM_SERVER_FULL, "The server holds as many topics (max-topics), or streams, as it may.");
	else
		call_outcome(ex, outcome);
}

/* True when there was an error, and it has been answered. */
static bool refused(struct exchange *ex, struct ask *ask)
{
	struct topic_work *work = work_of(ask);

	if (ask->command.outcome != OUTCOME_OK)
		work->change.outcome = ask->command.outcome;
	else if (ask->command.kind == COMMAND_TOPICS && !ask->command.out.topics[0])
		work->change.outcome = OUTCOME_NOT_FOUND;
	if (work->change.outcome == OUTCOME_OK)
		return false;
	command_answer_deinit(&ask->command);
	change_problem(ex, &work->change);
	return true;
}

/* NULL: no memory, and that has been answered. */
static struct topic_work *work_new(struct exchange *ex, struct slice name)
{
	struct topic_work *work = arena_zalloc(&ex->arena, sizeof(*work));

	if (work)
		work->change.topic.name = name;
	else
		call_no_memory(ex);
	return work;
}

static void work_look(struct exchange *ex, struct topic_work *work, void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct ask *ask = ask_new(ex, COMMAND_TOPICS, answered);

	if (!ask)
		return;
	ask->command.in.topics = (struct topics_in){.topics = &work->change.topic, .count = 1, .settings = true};
	ask_send(ex, ask);
}

static struct ask *change_ask(struct exchange *ex, struct topic_work *work, enum command_kind kind,
			      void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct ask *ask = ask_new(ex, kind, answered);

	if (ask)
		ask->command.in.topics_change = (struct topics_change_in){.changes = &work->change, .count = 1};
	return ask;
}

/* --- GET --- */

static void head_json(struct buf *out, const struct topic_view *view)
{
	json_key(out, "topic");
	json_str(out, view->name);
	json_key(out, "id");
	buf_append_char(out, '"');
	for (size_t i = 0; i < sizeof(view->id.bytes); i++) /* as a UUID is written, RFC 9562 §4 */
		buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", view->id.bytes[i]);
	buf_append_char(out, '"');
	json_key(out, "settings");
	json_open(out, '{');
	for (size_t i = 0; i < view->setting_count; i++) {
		const struct topic_key *key = topic_key_find(view->settings[i].key);

		if (key) {
			json_key(out, key->name);
			json_str(out, view->settings[i].value);
		}
	}
	json_close(out, '}');
}

static void partition_json(struct buf *out, const struct partition_view *view, uint32_t partition)
{
	json_open(out, '{');
	json_key(out, "partition");
	json_u64(out, partition);
	json_key(out, "earliest");
	json_u64(out, view->earliest_offset);
	json_key(out, "end");
	json_u64(out, view->next_offset);
	json_key(out, "stable");
	json_u64(out, view->stable_offset);
	json_key(out, "bytes");
	json_u64(out, view->bytes);
	json_close(out, '}');
}

static void row_json(struct buf *out, const struct topic_view *view)
{
	uint64_t offsets = 0, bytes = 0;

	for (uint32_t i = 0; i < view->partition_count; i++) {
		offsets += view->partitions[i].next_offset - view->partitions[i].earliest_offset;
		bytes += view->partitions[i].bytes;
	}
	json_open(out, '{');
	head_json(out, view);
	json_key(out, "partitions");
	json_u64(out, view->partition_count);
	json_key(out, "offsets");
	json_u64(out, offsets);
	json_key(out, "bytes");
	json_u64(out, bytes);
	json_close(out, '}');
}

static void listed(struct exchange *ex, struct ask *ask)
{
	const struct command *c = &ask->command;
	struct buf *out = &api_of(ex)->out;

	if (c->outcome != OUTCOME_OK) {
		call_outcome(ex, c->outcome);
		return;
	}
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "topics");
	json_open(out, '[');
	for (size_t i = 0; i < c->out.topic_count; i++)
		row_json(out, c->out.topics[i]);
	json_close(out, ']');
	page_next_json(out, c->out.next);
	json_close(out, '}');
	ask_answer_json(ex, ask);
}

void topics_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_TOPICS, listed);

	(void)params;
	if (!ask || !input_page(ex, &ask->command.in.topics.limit, &ask->command.in.topics.after))
		return;
	ask->command.in.topics.settings = true;
	ask_send(ex, ask);
}

static void told(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;
	const struct topic_view *view;

	if (refused(ex, ask))
		return;
	view = ask->command.out.topics[0];
	buf_clear(out);
	json_open(out, '{');
	head_json(out, view);
	json_key(out, "partitions");
	json_open(out, '[');
	for (uint32_t i = 0; i < view->partition_count; i++)
		partition_json(out, &view->partitions[i], i);
	json_close(out, ']');
	json_close(out, '}');
	ask_answer_json(ex, ask);
}

void topic_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct topic_work *work = work_new(ex, params[0]);

	if (work)
		work_look(ex, work, told);
}

/* --- PUT --- */

static void answer_made(struct exchange *ex, int status)
{
	struct reply reply;

	reply_init(&reply, status);
	reply_header(&reply, SLICE("Location"), ex->request->path);
	reply_send(ex, &reply, NULL);
}

/* Whether a topic that is there is the one that was asked for: with as many partitions, where a number was given, and every
 * setting that was given set so. */
static bool is_same(const struct topic_view *view, const struct topic_work *work)
{
	bool same = !work->request.partitions || work->request.partitions == view->partition_count;

	for (size_t i = 0; same && i < work->change.setting_count; i++) {
		const struct topic_setting *wanted = &work->change.settings[i].setting;

		same = false;
		for (size_t j = 0; !same && j < view->setting_count; j++)
			same = slice_eq(view->settings[j].key, wanted->key) && slice_eq(view->settings[j].value, wanted->value);
	}
	return same;
}

static void there_already(struct exchange *ex, struct ask *ask)
{
	bool same;

	if (refused(ex, ask))
		return;
	same = is_same(ask->command.out.topics[0], work_of(ask));
	command_answer_deinit(&ask->command);
	if (same)
		answer_made(ex, 200);
	else
		call_problem(ex, PROBLEM_CONFLICT, "There is a topic of that name, with other partitions or settings.");
}

static void look_again(struct exchange *ex, struct ask *ask)
{
	if (ask->command.outcome == OUTCOME_OK && ask->command.out.topics[0]) {
		there_already(ex, ask);
		return;
	}
	command_answer_deinit(&ask->command);
	if (ask->command.outcome == OUTCOME_OK)
		work_of(ask)->change.outcome = OUTCOME_CONFLICT; /* with a stream */
	else
		work_of(ask)->change.outcome = ask->command.outcome;
	change_problem(ex, &work_of(ask)->change);
}

static void made(struct exchange *ex, struct ask *ask)
{
	struct topic_work *work = work_of(ask);

	if (ask->command.outcome == OUTCOME_OK && work->change.outcome == OUTCOME_CONFLICT) {
		work->change.outcome = OUTCOME_OK;
		work_look(ex, work, look_again);
	} else if (!refused(ex, ask)) {
		command_answer_deinit(&ask->command);
		answer_made(ex, 201);
	}
}

/* What PUT and PATCH begin with. */
static void work_begin(struct exchange *ex, struct slice name, enum command_kind kind,
		       void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct topic_work *work = work_new(ex, name);
	struct ask *ask = work ? change_ask(ex, work, kind, answered) : NULL;

	if (!ask)
		return;
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

static bool work_read(struct exchange *ex, const struct request_body *body, struct topic_work *work)
{
	struct topic_request *request = &work->request;
	struct topic_setting_change *settings;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, true);
	topic_read(&in, request);
	if (!json_in_answer(ex, &in))
		return false;
	settings = arena_zalloc(&ex->arena, (request->setting_count + request->unset_count) * sizeof(*settings) + 1);
	if (!settings) {
		call_no_memory(ex);
		return false;
	}
	work->change.settings = settings;
	work->change.setting_count = request->setting_count + request->unset_count;
	for (size_t i = 0; i < request->setting_count; i++)
		settings[i].setting = (struct topic_setting){request->settings[i].key, request->settings[i].value};
	for (size_t i = 0; i < request->unset_count; i++)
		settings[request->setting_count + i] =
			(struct topic_setting_change){.setting.key = request->unset[i], .op = SETTING_DELETE};
	return true;
}

void topic_create_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	work_begin(ex, params[0], COMMAND_TOPIC_CREATE, made);
}

void topic_create_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct topic_work *work = work_of(ask);

	if (!work_read(ex, body, work))
		return;
	if (work->request.unset_count) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "\"unset\" is for topics that are there.");
		return;
	}
	work->change.partitions = work->request.partitions ? work->request.partitions : api_of(ex)->config.topic_partitions;
	ask_send(ex, ask);
}

/* --- PATCH: what can be refused is asked first, so that all is done, or nothing --- */

static void grown(struct exchange *ex, struct ask *ask)
{
	if (!refused(ex, ask))
		ask_answer_done(ex, ask);
}

static void configured(struct exchange *ex, struct ask *ask)
{
	struct topic_work *work = work_of(ask);

	if (refused(ex, ask))
		return;
	if (!work->grows) {
		ask_answer_done(ex, ask);
		return;
	}
	ask = change_ask(ex, work, COMMAND_TOPIC_PARTITIONS, grown);
	if (ask)
		ask_send(ex, ask);
}

static void configure(struct exchange *ex, struct topic_work *work)
{
	struct ask *ask = change_ask(ex, work, COMMAND_TOPIC_CONFIG, configured);

	if (!ask)
		return;
	ask->command.in.topics_change.incremental = true;
	ask_send(ex, ask);
}

static void can_grow(struct exchange *ex, struct ask *ask)
{
	if (!refused(ex, ask))
		configure(ex, work_of(ask));
}

static void looked(struct exchange *ex, struct ask *ask)
{
	struct topic_work *work = work_of(ask);

	if (refused(ex, ask))
		return;
	work->change.partitions = work->request.partitions;
	work->grows = work->request.partitions && work->request.partitions != ask->command.out.topics[0]->partition_count;
	command_answer_deinit(&ask->command);
	if (!work->grows) {
		configure(ex, work);
		return;
	}
	ask = change_ask(ex, work, COMMAND_TOPIC_PARTITIONS, can_grow);
	if (!ask)
		return;
	ask->command.in.topics_change.validate_only = true;
	ask_send(ex, ask);
}

void topic_alter_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	work_begin(ex, params[0], COMMAND_TOPIC_CONFIG, configured);
}

void topic_alter_body(struct exchange *ex, const struct request_body *body)
{
	struct topic_work *work = work_of(call_of(ex)->ask);

	if (work_read(ex, body, work))
		work_look(ex, work, looked);
}

/* --- DELETE --- */

void topic_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct topic_work *work = work_new(ex, params[0]);
	struct ask *ask = work ? change_ask(ex, work, COMMAND_TOPIC_DELETE, grown) : NULL;

	if (ask)
		ask_send(ex, ask);
}
