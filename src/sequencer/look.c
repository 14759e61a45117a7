/* Looking at jobs and queues, and watching them. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

#include <stdlib.h>

/* Numbers a listing looks at before it gives the rest to the next page, so that no question stops the house. */
enum { LIST_LOOK_MAX = 20000 };

static bool is_there(const struct job *job, const struct jobs_in *in)
{
	if (job_state_is_terminal((enum job_state)job->state))
		return true;
	switch (in->until) {
	case UNTIL_DONE:
		return false;
	case UNTIL_STARTED:
		return job->state == JOB_RUNNING;
	case UNTIL_CHANGED:
		return job->revision > in->revision;
	}
	return false;
}

enum outcome job_look(struct sequencer *s, const struct jobs_in *in, size_t i, struct command *c, uint64_t *gate)
{
	struct job *job = handle_find(s, in->handles[i]);
	bool there;

	if (!job) {
		if (s->forgotten_end > *gate)
			*gate = s->forgotten_end;
		return OUTCOME_NOT_FOUND;
	}
	if (job->changed_end > *gate)
		*gate = job->changed_end;
	there = is_there(job, in);
	c->out.views[i] = view_new(s, job, in->pin_result && job->state == JOB_DONE ? PIN_RESULT : PIN_NONE);
	if (!c->out.views[i])
		return OUTCOME_NO_MEMORY;
	if (!there && in->watch)
		watch(job, in->until, c->message.thread);
	if (job->expired)
		return OUTCOME_GONE;
	return there ? OUTCOME_OK : OUTCOME_PARKED;
}

void command_jobs(struct sequencer *s, struct command *c)
{
	size_t count = c->in.jobs.count;
	uint64_t gate = 0;

	c->out.views = mem_zalloc(count * sizeof(*c->out.views));
	c->out.outcomes = mem_zalloc(count * sizeof(*c->out.outcomes));
	if (!c->out.views || !c->out.outcomes) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	c->out.view_count = count;
	for (size_t i = 0; i < count; i++)
		c->out.outcomes[i] = job_look(s, &c->in.jobs, i, c, &gate);
	/* The one of a single job is the command's; of many the asker looks at each. */
	reply(s, c, count == 1 ? c->out.outcomes[0] : OUTCOME_OK, gate);
}

static bool list_wants(const struct job *job, const struct list_in *in)
{
	if (job->expired || (in->queue.len && !slice_eq(atom_slice(job->queue->name), in->queue)))
		return false;
	return in->state_mask == 0 || (in->state_mask & 1u << job->state);
}

void command_list(struct sequencer *s, struct command *c)
{
	const struct list_in *in = &c->in.list;
	uint64_t look = LIST_LOOK_MAX, before = in->after ? in->after : UINT64_MAX, gate = s->forgotten_end;
	struct job *job;

	c->out.views = mem_zalloc(in->limit * sizeof(*c->out.views));
	if (!c->out.views) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	while (c->out.view_count < in->limit && (job = jobs_before(&s->jobs, &before, &look))) {
		/* By leaving a job out, too, a page tells of its state. */
		if (job->changed_end > gate)
			gate = job->changed_end;
		if (!list_wants(job, in))
			continue;
		c->out.views[c->out.view_count] = view_new(s, job, PIN_NONE);
		if (!c->out.views[c->out.view_count]) { /* half a page would look like the last one */
			command_answer_deinit(c);
			reply(s, c, OUTCOME_NO_MEMORY, 0);
			return;
		}
		c->out.view_count++;
	}
	if ((c->out.view_count == in->limit || look == 0) && before > 1)
		c->out.next = before;
	reply(s, c, OUTCOME_OK, gate);
}

/* --- queues --- */

static void queue_fill(const struct sequencer *s, const struct queue *queue, struct queue_view *view)
{
	const uint64_t *total = queue->total;

	*view = (struct queue_view){
		.name = view->name,
		.submitted = total[TOTAL_SUBMITTED],
		.done = total[TOTAL_DONE],
		.failed = total[TOTAL_FAILED],
		.canceled = total[TOTAL_CANCELED],
		.timeouts = total[TOTAL_TIMEOUTS],
		.retries = total[TOTAL_RETRIES],
		.releases = total[TOTAL_RELEASES],
		.lost_handoffs = total[TOTAL_LOST],
		.submitted_rate = rate_now(&queue->submitted, s->now_ms),
		.done_rate = rate_now(&queue->done, s->now_ms),
		.waiting_workers = queue->claim_count,
		.oldest_ready_ms = list_empty(&queue->waiting) ? 0 : list_first(&queue->waiting, struct job, place)->ready_ms,
		.now_ms = s->now_ms,
		.paused = queue->paused,
	};
	memcpy(view->count, queue->count, sizeof(view->count));
}

static int name_order(struct slice a, struct slice b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
	const struct queue *const *x = a, *const *y = b;

	return name_order(atom_slice((*x)->name), atom_slice((*y)->name));
}

/* A heap of the queues that come first so far, the last of them at its top. */
static void page_sift(const struct queue **page, size_t count, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		const struct queue *moved = page[at];

		if (child + 1 < count && by_name(&page[child + 1], &page[child]) > 0)
			child++;
		if (by_name(&page[child], &page[at]) <= 0)
			return;
		page[at] = page[child];
		page[child] = moved;
	}
}

/* Of the queues behind `after` the first `limit` by name, sorted, into `page`; how many. *ret_more: there are others. */
static size_t page_fill(const struct jobs *jobs, struct slice after, size_t limit, const struct queue **page, bool *ret_more)
{
	size_t count = 0;

	*ret_more = false;
	list_each (node, &jobs->queues) {
		const struct queue *queue = container_of(node, struct queue, peers);

		if (after.len && name_order(atom_slice(queue->name), after) <= 0)
			continue;
		if (count < limit) {
			page[count++] = queue;
			for (size_t i = count / 2; count == limit && i-- > 0;)
				page_sift(page, count, i);
			continue;
		}
		*ret_more = true;
		if (by_name(&queue, &page[0]) < 0) {
			page[0] = queue;
			page_sift(page, count, 0);
		}
	}
	qsort(page, count, sizeof(*page), by_name);
	return count;
}

/* Views and names in one block. */
static struct queue_view *views_new(size_t count, size_t name_bytes)
{
	return mem_zalloc(count * sizeof(struct queue_view) + name_bytes);
}

static char *name_copy(struct queue_view *view, const struct queue *queue, char *at)
{
	struct slice name = atom_slice(queue->name);

	memcpy(at, name.ptr, name.len);
	view->name = slice_from(at, name.len);
	return at + name.len;
}

/* What is told of a queue rests on its last event, and, since a queue may have left and come back with a claim, on the last that
 * let anything go. */
static uint64_t queue_end(const struct sequencer *s, const struct queue *queue)
{
	return queue && queue->changed_end > s->forgotten_end ? queue->changed_end : s->forgotten_end;
}

static void reply_queue(struct sequencer *s, struct command *c, const struct queue *queue)
{
	uint64_t gate = queue_end(s, queue);

	c->out.queues = views_new(1, atom_slice(queue->name).len);
	if (!c->out.queues) {
		reply(s, c, OUTCOME_NO_MEMORY, gate);
		return;
	}
	c->out.queue_count = 1;
	name_copy(c->out.queues, queue, (char *)(c->out.queues + 1));
	queue_fill(s, queue, c->out.queues);
	reply(s, c, OUTCOME_OK, gate);
}

void command_queue(struct sequencer *s, struct command *c)
{
	const struct queue *queue = queue_find(&s->jobs, c->in.queue.queue);

	if (queue)
		reply_queue(s, c, queue);
	else
		reply(s, c, OUTCOME_NOT_FOUND, s->forgotten_end);
}

void command_queues(struct sequencer *s, struct command *c)
{
	const struct queues_in *in = &c->in.queues;
	size_t limit = in->limit && in->limit < COMMAND_QUEUES_MAX ? in->limit : COMMAND_QUEUES_MAX, bytes = 0, count;
	const struct queue *page[COMMAND_QUEUES_MAX];
	uint64_t gate = s->forgotten_end;
	bool more;
	char *at;

	count = page_fill(&s->jobs, in->after, limit, page, &more);
	for (size_t i = 0; i < count; i++)
		bytes += page[i]->name->len;
	c->out.queues = views_new(count, bytes);
	if (!c->out.queues) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	at = (char *)(c->out.queues + count);
	for (size_t i = 0; i < count; i++) {
		at = name_copy(&c->out.queues[i], page[i], at);
		queue_fill(s, page[i], &c->out.queues[i]);
		if (page[i]->changed_end > gate)
			gate = page[i]->changed_end;
	}
	c->out.queue_count = count;
	c->out.next = more;
	reply(s, c, OUTCOME_OK, gate);
}

void command_queue_set(struct sequencer *s, struct command *c)
{
	const struct queue_in *in = &c->in.queue;
	struct event e = {.type = EVENT_QUEUE_SET, .queue = in->queue, .paused = in->paused};
	struct queue *queue = queue_find(&s->jobs, in->queue);
	enum outcome outcome;

	if (!queue && s->jobs.queue_count >= s->config.queues_max) {
		reply(s, c, OUTCOME_FULL, 0);
		return;
	}
	if (queue ? queue->paused == in->paused : !in->paused)
		outcome = OUTCOME_OK;
	else
		outcome = emit(s, &e, NULL, (struct slice){0});
	if (outcome != OUTCOME_OK) {
		reply(s, c, outcome, 0);
		return;
	}
	if (!in->paused && e.end > s->forgotten_end) /* perhaps the pause alone held it */
		s->forgotten_end = e.end;
	queue = queue_find(&s->jobs, in->queue);
	if (!queue) {
		reply(s, c, OUTCOME_NOT_FOUND, s->forgotten_end);
		return;
	}
	queue_touch(s, queue);
	reply_queue(s, c, queue);
}

void command_kick(struct sequencer *s, struct command *c)
{
	struct queue *queue = queue_find(&s->jobs, c->in.kick.queue);
	enum outcome outcome = queue ? OUTCOME_OK : OUTCOME_NOT_FOUND;
	uint64_t gate = queue_end(s, queue);

	while (queue && c->out.count < c->in.kick.count && !list_empty(&queue->dead)) {
		outcome = emit_plain(s, EVENT_KICKED, list_first(&queue->dead, struct job, place));
		if (outcome != OUTCOME_OK)
			break;
		gate = s->appended_end;
		c->out.count++;
	}
	if (c->out.count > 0) {
		queue_touch(s, queue);
		outcome = OUTCOME_OK;
	}
	reply(s, c, outcome, gate);
}
