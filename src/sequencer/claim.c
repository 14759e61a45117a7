/* Workers ask for work. A claim that finds none waits in a line at each of its queues.
 *
 * The hand-over has two steps: OFFERED, with a short delivery lease that only memory knows, then LEASED, once the door says that
 * the bytes are with the worker's socket. What is not confirmed goes back to its old place and no attempt is counted. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <stdlib.h>

/* What both a fresh claim and a waiting one ask for. */
struct want {
	struct slice worker, attempt_id;
	uint32_t max, lease_ms;
};

static uint64_t claim_hash(const struct sequencer *s, unsigned thread, uint64_t claim_id)
{
	return hash_u64(&s->jobs.hash_key, claim_id, thread);
}

/* All but the view. */
static void lease_fill(struct job *job, struct lease *ret_lease)
{
	ret_lease->number = job->number;
	ret_lease->deadline_ms = job->until_ms;
	ret_lease->attempt = job->attempt;
	token_format(job->token, ret_lease->token);
}

static enum outcome offer_job(struct sequencer *s, struct job *job, const struct want *want, struct lease *ret_lease)
{
	uint32_t lease_ms = want->lease_ms ? want->lease_ms : job->own_lease_ms;
	struct event e = {
		.type = EVENT_OFFERED,
		.token = token_make(s, job),
		.lease_ms = lease_ms,
		.until_ms = s->now_ms + lease_ms,
		.worker = want->worker,
		.attempt_id = want->attempt_id,
	};
	enum outcome outcome = emit(s, &e, job, (struct slice){0});

	if (outcome != OUTCOME_OK)
		return outcome;
	job_offer_until(&s->jobs, job, s->now_ms + s->config.delivery_lease_ms);
	s->stats.offers_total++;
	/* Without memory for the view nobody hears of the offer, and the delivery lease brings the job back. */
	ret_lease->view = view_new(s, job, PIN_BODY);
	if (!ret_lease->view)
		return OUTCOME_NO_MEMORY;
	job->deliveries = 1;
	lease_fill(job, ret_lease);
	return OUTCOME_OK;
}

/* Takes ready jobs of one queue until `leases` holds want->max. */
static enum outcome take_from(struct sequencer *s, struct queue *queue, const struct want *want, struct lease *leases,
			      size_t *count)
{
	enum outcome outcome = OUTCOME_OK;
	struct job *job;

	while (!queue->paused && *count < want->max && outcome == OUTCOME_OK && (job = queue_first_ready(queue))) {
		outcome = offer_job(s, job, want, &leases[*count]);
		if (outcome == OUTCOME_OK)
			(*count)++;
	}
	return outcome;
}

static size_t ready_of(const struct queue *queue)
{
	return queue && !queue->paused ? queue->ready.count : 0;
}

/* --- waiting claims --- */

static void claim_free(struct sequencer *s, struct claim *claim)
{
	for (size_t i = 0; i < claim->place_count; i++) {
		struct queue *queue = claim->places[i].queue;

		list_remove(&claim->places[i].node);
		queue->claim_count--;
		if (list_empty(&queue->claims))
			list_remove(&queue->dirty);
		queue_settle(&s->jobs, queue);
	}
	list_remove(&claim->peers);
	mem_free(claim->worker);
	mem_free(claim->attempt_id);
	mem_free(claim);
}

static void claim_leave(struct sequencer *s, struct claim *claim)
{
	hash_remove(&s->claims, &claim->node);
	s->claim_count--;
	claim_free(s, claim);
}

/* Whether there is room for one more claim, and for the queues that only it would keep. */
static bool room(const struct sequencer *s, const struct claim_in *in)
{
	uint64_t queues = s->jobs.queue_count;

	for (size_t i = 0; i < in->queue_count; i++)
		queues += !queue_find(&s->jobs, in->queues[i]);
	return s->claim_count < s->config.claims_max && (queues == s->jobs.queue_count || queues <= s->config.queues_max);
}

static enum outcome claim_park(struct sequencer *s, struct command *c)
{
	const struct claim_in *in = &c->in.claim;
	struct claim *claim;

	if (!room(s, in))
		return OUTCOME_FULL;
	claim = mem_zalloc(sizeof(*claim) + in->queue_count * sizeof(claim->places[0]));
	if (!claim)
		return OUTCOME_NO_MEMORY;
	list_init(&claim->peers);
	claim->claim_id = in->claim_id;
	claim->thread = c->message.thread;
	claim->max = in->max;
	claim->lease_ms = in->lease_ms;
	for (size_t i = 0; i < in->queue_count; i++) {
		struct queue *queue = queue_get(&s->jobs, in->queues[i]);

		if (!queue)
			break;
		claim->places[i] = (struct claim_place){.claim = claim, .queue = queue};
		list_push_back(&queue->claims, &claim->places[i].node);
		queue->claim_count++;
		claim->place_count++;
	}
	if (claim->place_count < in->queue_count || text_new(in->worker, &claim->worker) ||
	    text_new(in->attempt_id, &claim->attempt_id) ||
	    hash_insert(&s->claims, &claim->node, claim_hash(s, claim->thread, claim->claim_id))) {
		claim_free(s, claim);
		return OUTCOME_NO_MEMORY;
	}
	list_push_back(&s->parked, &claim->peers);
	s->claim_count++;
	return OUTCOME_PARKED;
}

static struct claim *claim_find(const struct sequencer *s, unsigned thread, uint64_t claim_id)
{
	uint64_t hash = claim_hash(s, thread, claim_id);

	for (struct hash_node *n = hash_first(&s->claims, hash); n; n = hash_next(&s->claims, n)) {
		struct claim *claim = container_of(n, struct claim, node);

		if (claim->claim_id == claim_id && claim->thread == thread)
			return claim;
	}
	return NULL;
}

void claims_free(struct sequencer *s)
{
	list_each_safe (node, &s->parked)
		claim_leave(s, container_of(node, struct claim, peers));
	hash_deinit(&s->claims);
}

/* Serves one waiting claim with what its queues have, the most wanted first. false: it got nothing. */
static bool claim_offer(struct sequencer *s, struct claim *claim)
{
	struct want want = {text_slice(claim->worker), text_slice(claim->attempt_id), claim->max, claim->lease_ms};
	struct offer *offer;
	size_t ready = 0;

	for (size_t i = 0; i < claim->place_count; i++)
		ready += ready_of(claim->places[i].queue);
	if (ready < want.max)
		want.max = (uint32_t)ready;
	offer = want.max ? mem_zalloc(sizeof(*offer) + want.max * sizeof(offer->leases[0])) : NULL;
	if (!offer)
		return false;
	for (size_t i = 0; i < claim->place_count; i++) {
		if (take_from(s, claim->places[i].queue, &want, offer->leases, &offer->lease_count) != OUTCOME_OK)
			break;
	}
	if (offer->lease_count == 0) {
		mem_free(offer);
		return false;
	}
	offer->message = (struct message){.kind = MESSAGE_OFFER, .thread = claim->thread};
	offer->claim_id = claim->claim_id;
	message_send(s, &offer->message, s->appended_end);
	claim_leave(s, claim);
	return true;
}

/* Who must be served before this claim may take from all its queues: the one that waits longest at any that has work. Each step
 * leads to a claim that waits longer, so it ends. */
static struct claim *claim_before(struct claim *claim)
{
	for (size_t i = 0; i < claim->place_count; i++) {
		struct queue *queue = claim->places[i].queue;
		struct claim *first = list_first(&queue->claims, struct claim_place, node)->claim;

		if (first == claim || ready_of(queue) == 0)
			continue;
		claim = first;
		i = (size_t)-1;
	}
	return claim;
}

bool claim_serve(struct sequencer *s, struct queue *queue)
{
	while (!list_empty(&queue->claims) && ready_of(queue) > 0) {
		if (!claim_offer(s, claim_before(list_first(&queue->claims, struct claim_place, node)->claim)))
			return false;
	}
	return true;
}

/* --- commands --- */

static int by_number(const void *a, const void *b)
{
	const struct lease *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* The same attempt again: what it was given before and still has. */
static bool claim_again(struct sequencer *s, struct command *c)
{
	const struct claim_in *in = &c->in.claim;
	uint64_t gate = 0;
	size_t count = 0;

	for (struct job *j = jobs_find_attempt(&s->jobs, in->attempt_id, NULL); j;
	     j = jobs_find_attempt(&s->jobs, in->attempt_id, j))
		count++;
	if (count == 0)
		return false;
	c->out.leases = mem_zalloc(count * sizeof(*c->out.leases));
	if (!c->out.leases) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return true;
	}
	for (struct job *j = jobs_find_attempt(&s->jobs, in->attempt_id, NULL); j;
	     j = jobs_find_attempt(&s->jobs, in->attempt_id, j)) {
		struct lease *lease = &c->out.leases[c->out.lease_count];

		lease->view = view_new(s, j, PIN_BODY);
		if (!lease->view)
			break;
		lease_fill(j, lease);
		c->out.lease_count++;
		if (j->state == JOB_OFFERED) {
			job_offer_until(&s->jobs, j, s->now_ms + s->config.delivery_lease_ms);
			j->deliveries++;
		}
		if (j->changed_end > gate)
			gate = j->changed_end;
	}
	if (c->out.lease_count == 0)
		c->out.leases = mem_free(c->out.leases);
	else
		qsort(c->out.leases, c->out.lease_count, sizeof(*c->out.leases), by_number);
	reply(s, c, c->out.lease_count ? OUTCOME_OK : OUTCOME_NO_MEMORY, gate);
	return true;
}

void command_claim(struct sequencer *s, struct command *c)
{
	const struct claim_in *in = &c->in.claim;
	struct want want = {in->worker, in->attempt_id, in->max, in->lease_ms};
	enum outcome outcome = OUTCOME_OK;
	size_t ready = 0;

	if (in->attempt_id.len && claim_again(s, c))
		return;
	for (size_t i = 0; i < in->queue_count; i++)
		ready += ready_of(queue_find(&s->jobs, in->queues[i]));
	if (ready == 0 || s->failed) {
		outcome = s->failed ? OUTCOME_STORAGE : in->wait ? claim_park(s, c) : OUTCOME_EMPTY;
		reply(s, c, outcome, 0);
		return;
	}
	/* Whoever waits was here first. */
	sequencer_settle(s);
	if (ready < want.max)
		want.max = (uint32_t)ready;
	c->out.leases = mem_zalloc(want.max * sizeof(*c->out.leases));
	if (!c->out.leases) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	for (size_t i = 0; i < in->queue_count && outcome == OUTCOME_OK; i++) {
		struct queue *queue = queue_find(&s->jobs, in->queues[i]);

		if (queue)
			outcome = take_from(s, queue, &want, c->out.leases, &c->out.lease_count);
	}
	if (c->out.lease_count > 0) {
		outcome = OUTCOME_OK;
	} else { /* those who waited have taken it all */
		c->out.leases = mem_free(c->out.leases);
		if (outcome == OUTCOME_OK)
			outcome = in->wait ? claim_park(s, c) : OUTCOME_EMPTY;
	}
	reply(s, c, outcome, c->out.lease_count ? s->appended_end : 0);
}

void command_claim_cancel(struct sequencer *s, struct command *c)
{
	struct claim *claim = claim_find(s, c->message.thread, c->in.claim_cancel.claim_id);

	if (claim)
		claim_leave(s, claim);
	reply(s, c, claim ? OUTCOME_OK : OUTCOME_OFFERED, 0);
}

void command_delivered(struct sequencer *s, struct command *c)
{
	const struct delivered_in *in = &c->in.delivered;

	for (size_t i = 0; i < in->count; i++) {
		struct job *job = jobs_find(&s->jobs, in->leases[i].number);
		struct event e = {.type = EVENT_LEASED};

		if (!job || job->state != JOB_OFFERED || job->token != token_parse(slice_str(in->leases[i].token)))
			continue;
		if (in->goes_on) {
			job_offer_until(&s->jobs, job, s->now_ms + s->config.delivery_lease_ms);
		} else if (in->delivered) {
			/* Should it fail, the delivery lease decides. */
			e.until_ms = s->now_ms + job->lease_ms;
			s->stats.leased_total += emit(s, &e, job, (struct slice){0}) == OUTCOME_OK;
		} else if (job->deliveries > 1) {
			job->deliveries--; /* the same claim again, on another connection: that one may still arrive */
		} else if (emit_plain(s, EVENT_UNOFFERED, job) == OUTCOME_OK) {
			s->stats.lost_handoffs_total++;
			queue_touch(s, job->queue);
		}
	}
	/* Nobody waits for this to be durable: after a crash an offered job counts as leased. */
	reply(s, c, OUTCOME_OK, 0);
}
