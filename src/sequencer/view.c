/* Views of jobs, and the wakes that carry them. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

static struct slice put(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static void view_strings(struct job_view *view, const struct job *job, char *at)
{
	view->queue = put(&at, atom_slice(job->queue->name));
	view->name = put(&at, index_slice(job->name));
	view->content_type = put(&at, atom_slice(job->content_type));
	view->message = put(&at, text_slice(job->message));
	view->error = put(&at, text_slice(job->error));
	view->result_type = put(&at, atom_slice(job->result_type));
	view->worker = put(&at, atom_slice(job->worker));
}

static size_t strings_bytes(const struct job *job)
{
	return atom_slice(job->queue->name).len + index_slice(job->name).len + atom_slice(job->content_type).len +
	       text_slice(job->message).len + text_slice(job->error).len + atom_slice(job->result_type).len +
	       atom_slice(job->worker).len;
}

struct job_view *view_new(struct sequencer *s, const struct job *job, enum view_pin pin)
{
	struct job_view *room = mem_alloc(sizeof(*room) + strings_bytes(job));

	return room ? view_fill(s, job, pin, room) : NULL;
}

struct job_view *view_fill(struct sequencer *s, const struct job *job, enum view_pin pin, struct job_view *view)
{
	const struct body_ref *ref = pin == PIN_BODY ? &job->body : &job->result;
	bool held = job->state == JOB_OFFERED || job->state == JOB_RUNNING;

	*view = (struct job_view){
		.refs = 1,
		.state = (enum job_state)job->state,
		.number = job->number,
		.created_ms = job->created_ms,
		.updated_ms = job->updated_ms,
		.deadline_ms = held ? job->until_ms : 0,
		.delay_until_ms = job->state == JOB_DELAYED ? job->until_ms : 0,
		.retain_ms = job->retain_ms,
		.progress = job->progress ? (double)(job->progress - 1) / 1e6 : -1,
		.revision = job->revision,
		.attempt = job->attempt,
		.max_attempts = job->max_attempts,
		.priority = job->priority,
		.lease_ms = job->lease_ms,
		.timeouts = job->timeouts,
		.failures = job->failures,
		.releases = job->releases,
		.lost_handoffs = job->lost_handoffs,
		.body = job->body,
		.result = job->result,
		.expired = job->expired,
	};
	view->key = handle_make(s, job->number, view->handle);
	view_strings(view, job, (char *)(view + 1));
	if (pin != PIN_NONE && ref->kind != BODY_NONE) {
		view->pin = s->store->ops->pin(s->store, ref);
		if (!view->pin)
			return job_view_unref(view);
	}
	return view;
}

void watch(struct job *job, enum job_until until, unsigned thread)
{
	if (until == UNTIL_DONE)
		job->watch_done |= 1u << thread;
	else
		job->watch_any |= 1u << thread;
}

static bool wake(struct sequencer *s, struct job *job, unsigned thread, uint64_t gate, bool forgotten)
{
	struct wake *wake = mem_zalloc(sizeof(*wake));
	char handle[JOB_HANDLE_CHARS];

	if (!wake)
		return false;
	wake->message = (struct message){.kind = MESSAGE_WAKE, .thread = (uint8_t)thread};
	wake->key = handle_make(s, job->number, handle);
	if (!forgotten) {
		wake->view = view_new(s, job, job->state == JOB_DONE ? PIN_RESULT : PIN_NONE);
		if (!wake->view) {
			mem_free(wake);
			return false;
		}
	}
	s->stats.wakes_total++;
	message_send(s, &wake->message, gate);
	return true;
}

/* Without memory the watch stays: the next change tries again, and the wait's own deadline looks anyway. */
void wake_watchers(struct sequencer *s, struct job *job, uint64_t gate, bool forgotten)
{
	bool ended = forgotten || job_state_is_terminal((enum job_state)job->state);
	uint32_t threads = ended ? job->watch_any | job->watch_done : job->watch_any;

	for (unsigned t = 0; threads; t++, threads >>= 1) {
		if ((threads & 1) && wake(s, job, t, gate, forgotten)) {
			job->watch_any &= ~(1u << t);
			if (ended)
				job->watch_done &= ~(1u << t);
		}
	}
}

bool views_take(struct sequencer *s, struct command *c, uint64_t bytes)
{
	uint64_t most = s->config.views_bytes_max;

	if (bytes > most || s->views_bytes + bytes > VIEWS_AT_ONCE * most)
		return false;
	s->views_bytes += bytes;
	c->out.views_bytes += bytes;
	return true;
}

void command_answer_deinit(struct command *c)
{
	job_view_unref(c->out.view);
	for (size_t i = 0; i < c->out.view_count; i++)
		job_view_unref(c->out.views[i]);
	for (size_t i = 0; i < c->out.lease_count; i++)
		job_view_unref(c->out.leases[i].view);
	for (size_t i = 0; i < c->out.stream_count; i++)
		stream_view_unref(c->out.streams[i]);
	mem_free(c->out.views);
	mem_free(c->out.streams);
	mem_free(c->out.outcomes);
	mem_free(c->out.leases);
	mem_free(c->out.queues);
	topic_answer_deinit(c);
	txn_answer_deinit(c);
	group_answer_deinit(c);
	subscription_view_free(c->out.subscription);
	stream_view_unref(c->out.stream);
	memset(&c->out, 0, sizeof(c->out));
}

void message_free(struct message *message)
{
	if (message->kind == MESSAGE_WAKE) {
		job_view_unref(container_of(message, struct wake, message)->view);
	} else if (message->kind == MESSAGE_STREAM_WAKE) {
		stream_view_unref(container_of(message, struct stream_wake, message)->view);
	} else if (message->kind == MESSAGE_HOOK) {
		subscription_view_free(container_of(message, struct hook, message)->view);
	} else if (message->kind == MESSAGE_OFFER) {
		struct offer *offer = container_of(message, struct offer, message);

		for (size_t i = 0; i < offer->lease_count; i++)
			job_view_unref(offer->leases[i].view);
	}
	mem_free(message);
}
