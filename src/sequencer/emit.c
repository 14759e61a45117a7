/* Events on their way into the journal and the state; messages on their way out. */
#include "sequencer/sequencer_priv.h"

#include <errno.h>

enum outcome outcome_of(int error)
{
	switch (error) {
	case 0:
		return OUTCOME_OK;
	case STORE_NO_SPACE:
		return OUTCOME_NO_SPACE;
	case -ENOMEM:
		return OUTCOME_NO_MEMORY;
	default:
		return OUTCOME_STORAGE;
	}
}

/* New work is refused when the disk is full; what ends work, or keeps it alive, lives on the reserve. */
static bool uses_reserve(enum event_type type)
{
	return type != EVENT_SUBMITTED && type != EVENT_BODY_MOVED && type != EVENT_RESULT_MOVED;
}

static void appended_until(struct sequencer *s, uint64_t end)
{
	if (s->appended_end <= s->store->ops->durable_position(s->store))
		s->lazy_since_ms = s->now_ms;
	s->appended_end = end;
}

int append_entry(struct sequencer *s, struct store_entry *entry, struct store_appended *ret_appended)
{
	int r;

	if (s->fields.failed)
		return -ENOMEM;
	entry->fields = buf_slice(&s->fields);
	r = s->store->ops->append(s->store, entry, ret_appended);
	if (!r)
		appended_until(s, ret_appended->end);
	return r;
}

static int append(struct sequencer *s, struct event *e, struct slice body)
{
	struct store_appended appended;
	int r;

	buf_clear(&s->fields);
	event_encode(e, &s->fields);
	r = append_entry(s,
			 &(struct store_entry){
				 .time_ms = e->time_ms, .body = body, .type = (uint8_t)e->type, .reserve = uses_reserve(e->type)},
			 &appended);
	if (r)
		return r;
	e->position = appended.position;
	e->end = appended.end;
	e->bytes = appended.body;
	return 0;
}

enum outcome emit(struct sequencer *s, struct event *e, struct job *job, struct slice body)
{
	uint32_t revision = job ? job->revision : 0;
	struct prepared prepared;
	int r;

	if (s->failed)
		return OUTCOME_STORAGE;
	e->time_ms = s->now_ms;
	e->end = UINT64_MAX;
	if (job)
		e->number = job->number;
	r = jobs_prepare(&s->jobs, e, &prepared);
	if (r)
		return outcome_of(r);
	r = append(s, e, body);
	if (r) {
		jobs_unprepare(&s->jobs, &prepared);
		return outcome_of(r);
	}
	s->stats.events_total++;
	if (e->type == EVENT_FORGOTTEN) {
		s->forgotten_end = e->end;
		wake_watchers(s, job, e->end, true);
		jobs_commit(&s->jobs, e, &prepared);
		output_follow(s, e->number);
		return OUTCOME_OK;
	}
	jobs_commit(&s->jobs, e, &prepared);
	if (job && job->revision != revision && (job->watch_any | job->watch_done))
		wake_watchers(s, job, e->end, false);
	if (job)
		output_follow(s, e->number);
	return OUTCOME_OK;
}

enum outcome emit_plain(struct sequencer *s, enum event_type type, struct job *job)
{
	return emit(s, &(struct event){.type = type}, job, (struct slice){0});
}

static void let_out(struct sequencer *s, struct message *message)
{
	if (message->kind == MESSAGE_COMMAND)
		s->views_out[message->thread] += container_of(message, struct command, message)->out.views_bytes;
	mail_push(&s->out[message->thread], &message->mail);
}

void message_send(struct sequencer *s, struct message *message, uint64_t gate)
{
	message->gate = gate;
	/* What became durable since the last release, perhaps about the same job, must not be overtaken. */
	sequencer_release(s);
	if (gate <= s->store->ops->durable_position(s->store)) {
		let_out(s, message);
		return;
	}
	mail_push(&s->held, &message->mail);
	s->held_count++;
}

void reply(struct sequencer *s, struct command *c, enum outcome outcome, uint64_t gate)
{
	c->outcome = outcome;
	s->stats.refused_total[outcome]++;
	message_send(s, &c->message, gate);
}

void queue_touch(struct sequencer *s, struct queue *queue)
{
	if (list_empty(&queue->dirty) && !list_empty(&queue->claims))
		list_push_back(&s->dirty, &queue->dirty);
}

void sequencer_release(struct sequencer *s)
{
	uint64_t durable = s->store->ops->durable_position(s->store);

	while (s->held.first) {
		struct message *message = container_of(s->held.first, struct message, mail);

		if (message->gate > durable)
			return;
		mail_pop(&s->held);
		s->held_count--;
		let_out(s, message);
	}
}

struct mail_list sequencer_take(struct sequencer *s, unsigned thread)
{
	struct mail_list list = s->out[thread];

	s->out[thread] = (struct mail_list){0};
	s->views_bytes -= s->views_out[thread];
	s->views_out[thread] = 0;
	return list;
}

bool sequencer_wants_commit(const struct sequencer *s, uint64_t *ret_at_ms)
{
	*ret_at_ms = UINT64_MAX;
	if (s->appended_end <= s->store->ops->durable_position(s->store))
		return false;
	if (s->held.first || s->now_ms >= s->lazy_since_ms + s->config.lazy_ms)
		return true;
	*ret_at_ms = s->lazy_since_ms + s->config.lazy_ms;
	return false;
}

/* What was held can never become durable. Offers and wakes would tell of it: they are dropped, the commands come back. */
void sequencer_fail(struct sequencer *s)
{
	struct mail *mail;

	s->failed = true;
	groups_fail(s);
	while ((mail = mail_pop(&s->held))) {
		struct message *message = container_of(mail, struct message, mail);

		s->held_count--;
		if (message->kind != MESSAGE_COMMAND) {
			message_free(message);
			continue;
		}
		command_answer_deinit(container_of(message, struct command, message));
		container_of(message, struct command, message)->outcome = OUTCOME_STORAGE;
		mail_push(&s->out[message->thread], mail);
	}
}
