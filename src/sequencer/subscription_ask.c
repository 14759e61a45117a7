/* What doors ask about subscriptions. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/wire.h"

#include <stdlib.h>

static struct subscription *find(const struct sequencer *s, struct slice id)
{
	struct subscription *subscription = subscription_find(&s->subs, id);

	return subscription && !(subscription->flags & SUB_MORE) ? subscription : NULL;
}

/* Everything told of a subscription rests on its own events and on its streams'. */
static void answer(struct sequencer *s, struct command *c, enum outcome outcome)
{
	reply(s, c, outcome, s->appended_end);
}

static void answer_view(struct sequencer *s, struct command *c, enum outcome outcome, const struct subscription *subscription)
{
	c->out.subscription = subscription_view_new(s, subscription, VIEW_NOW);
	answer(s, c, c->out.subscription ? outcome : OUTCOME_NO_MEMORY);
}

static enum outcome emit_plain_as(struct sequencer *s, enum subscription_event_type type, struct subscription *subscription)
{
	return subscription_emit(s, &(struct subscription_event){.type = type}, subscription);
}

/* --- create --- */

static int by_path(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = len ? memcmp(x->ptr, y->ptr, len) : 0;

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

struct paths {
	struct slice *at; /* sorted, each once */
	size_t count;
};

static bool paths_sort(const struct subscription_in *in, struct paths *ret)
{
	size_t count = 0;

	*ret = (struct paths){.at = mem_alloc((in->stream_count + 1) * sizeof(*ret->at))};
	if (!ret->at)
		return false;
	if (in->stream_count) {
		memcpy(ret->at, in->streams, in->stream_count * sizeof(*ret->at));
		qsort(ret->at, in->stream_count, sizeof(*ret->at), by_path);
	}
	for (size_t i = 0; i < in->stream_count; i++) {
		if (count == 0 || !slice_eq(ret->at[count - 1], ret->at[i]))
			ret->at[count++] = ret->at[i];
	}
	ret->count = count;
	return true;
}

/* By which it is known that the same is asked for again; the same after a restart. false: no memory. */
static bool fingerprint(struct sequencer *s, const struct subscription_in *in, const struct paths *paths, uint64_t *ret)
{
	static const struct hash_key fixed = {0x62696465, 2};

	buf_clear(&s->fields);
	wire_put_u64(&s->fields, (uint64_t)in->type);
	wire_put_u64(&s->fields, in->lease_ttl_ms);
	wire_put_string(&s->fields, in->pattern);
	wire_put_string(&s->fields, in->url);
	wire_put_string(&s->fields, in->wake_stream);
	wire_put_string(&s->fields, in->description);
	for (size_t i = 0; i < paths->count; i++)
		wire_put_string(&s->fields, paths->at[i]);
	*ret = s->fields.failed ? 0 : hash_bytes(&fixed, s->fields.ptr, s->fields.len);
	return !s->fields.failed;
}

/* Its links on their way into events: as many as one can hold go in each, and only with the last one it is there. */
struct making {
	struct sequencer *s;
	struct subscription_event e; /* CREATED, then LINKED */
	struct buf links;
	uint64_t count;
};

static enum outcome make_some(struct making *m, uint64_t flags)
{
	struct subscription *subscription = m->e.type == SUB_LINKED ? subscription_find_number(&m->s->subs, m->e.number) : NULL;
	enum outcome outcome;

	m->e.flags = flags;
	m->e.links = buf_slice(&m->links);
	outcome = m->links.failed ? OUTCOME_NO_MEMORY : subscription_emit(m->s, &m->e, subscription);
	m->e = (struct subscription_event){.type = m->e.type == SUB_CREATED && outcome != OUTCOME_OK ? SUB_CREATED : SUB_LINKED,
					   .number = m->e.number};
	buf_clear(&m->links);
	return outcome;
}

static enum outcome make_link(struct making *m, const struct stream *stream, struct slice path, unsigned flags)
{
	const struct link_item item = {.flags = flags,
				       .path = path,
				       .stream = stream ? stream->number : 0,
				       .acked = stream ? stream_readable(stream) : 0};
	enum outcome outcome = OUTCOME_OK;

	if (++m->count > m->s->config.subscription_links_max)
		return OUTCOME_FULL;
	if (m->links.len >= SUB_LINKS_BYTES)
		outcome = make_some(m, SUB_MORE);
	link_put(&m->links, &item);
	return outcome;
}

static enum outcome make_links(struct making *m, const struct subscription_in *in, const struct paths *paths)
{
	const struct subscription pattern = {.pattern = in->pattern, .wake_stream = in->wake_stream};
	enum outcome outcome = OUTCOME_OK;

	for (size_t i = 0; i < paths->count && outcome == OUTCOME_OK; i++)
		outcome = make_link(m, subscription_stream(m->s, paths->at[i]), paths->at[i], LINK_EXPLICIT);
	if (!in->pattern.len)
		return outcome;
	for (const struct stream *stream = stream_next_after(&m->s->streams, 0); stream && outcome == OUTCOME_OK;
	     stream = stream_next_after(&m->s->streams, stream->number)) {
		struct slice path = stream_path(stream);

		if (subscription_can_link(stream) && subscription_matches(&pattern, path) &&
		    !bsearch(&path, paths->at, paths->count, sizeof(path), by_path))
			outcome = make_link(m, stream, path, LINK_GLOB);
	}
	return outcome;
}

/* With its answer, or not at all. */
static enum outcome make(struct sequencer *s, struct command *c, const struct paths *paths, uint64_t print)
{
	const struct subscription_in *in = &c->in.subscription;
	struct making m = {
		.s = s,
		.e = {.type = SUB_CREATED,
		      .number = s->subs.next_number,
		      .id = in->id,
		      .kind = (uint64_t)in->type,
		      .pattern = in->pattern,
		      .url = in->url,
		      .origin = in->origin,
		      .wake_stream = in->wake_stream,
		      .description = in->description,
		      .lease_ttl_ms = in->lease_ttl_ms,
		      .fingerprint = print},
	};
	struct subscription *made;
	enum outcome outcome = make_links(&m, in, paths);

	if (outcome == OUTCOME_OK)
		outcome = make_some(&m, 0);
	made = subscription_find_number(&s->subs, m.e.number);
	if (outcome == OUTCOME_OK) {
		c->out.subscription = subscription_view_new(s, made, VIEW_NOW);
		outcome = c->out.subscription ? OUTCOME_OK : OUTCOME_NO_MEMORY;
	}
	if (outcome != OUTCOME_OK && made && emit_plain_as(s, SUB_DELETED, made) != OUTCOME_OK)
		subscription_set_deadline(&s->subs, made, s->now_ms); /* half of one goes later */
	buf_deinit(&m.links);
	return outcome;
}

void command_sub_create(struct sequencer *s, struct command *c)
{
	const struct subscription_in *in = &c->in.subscription;
	struct subscription *subscription = subscription_find(&s->subs, in->id);
	enum outcome outcome = OUTCOME_NO_MEMORY;
	struct paths paths;
	uint64_t print;

	if (paths_sort(in, &paths) && fingerprint(s, in, &paths, &print)) {
		if (subscription && subscription->flags & SUB_MORE)
			outcome = OUTCOME_FULL;
		else if (subscription)
			outcome = subscription->fingerprint == print ? OUTCOME_SAME : OUTCOME_CONFLICT;
		else
			outcome = s->subs.count < s->config.subscriptions_max ? make(s, c, &paths, print) : OUTCOME_FULL;
	}
	mem_free(paths.at);
	if (outcome == OUTCOME_SAME || outcome == OUTCOME_CONFLICT)
		answer_view(s, c, outcome, subscription);
	else
		answer(s, c, outcome);
}

void command_sub_get(struct sequencer *s, struct command *c)
{
	struct subscription *subscription = find(s, c->in.subscription.id);

	if (subscription)
		answer_view(s, c, OUTCOME_OK, subscription);
	else
		answer(s, c, OUTCOME_NOT_FOUND);
}

void command_sub_delete(struct sequencer *s, struct command *c)
{
	struct subscription *subscription = find(s, c->in.subscription.id);

	answer(s, c, subscription ? emit_plain_as(s, SUB_DELETED, subscription) : OUTCOME_NOT_FOUND);
}

/* --- explicit links --- */

static bool is_explicit(const struct sequencer *s, const struct subscription *subscription, struct slice path)
{
	const struct subscription_link *link = link_find(&s->subs, subscription, path);

	return link && link->flags & LINK_EXPLICIT;
}

static bool has_room(const struct sequencer *s, const struct subscription *subscription, const struct paths *paths)
{
	uint64_t count = subscription->link_count;

	for (size_t i = 0; i < paths->count; i++)
		count += !link_find(&s->subs, subscription, paths->at[i]);
	return count <= s->config.subscription_links_max || count == subscription->link_count;
}

static enum outcome link_all(struct sequencer *s, struct subscription *subscription, const struct paths *paths)
{
	struct making m = {.s = s, .e = {.type = SUB_LINKED, .number = subscription->number}};
	enum outcome outcome = OUTCOME_OK;

	for (size_t i = 0; i < paths->count && outcome == OUTCOME_OK; i++) {
		const struct stream *stream = subscription_stream(s, paths->at[i]);

		if (is_explicit(s, subscription, paths->at[i]))
			continue;
		if (m.links.len >= SUB_LINKS_BYTES)
			outcome = make_some(&m, 0);
		link_put(&m.links, &(struct link_item){.flags = LINK_EXPLICIT,
						       .stream = stream ? stream->number : 0,
						       .acked = stream ? stream_readable(stream) : 0,
						       .path = paths->at[i]});
	}
	if (outcome == OUTCOME_OK && (m.links.len || m.links.failed))
		outcome = make_some(&m, 0);
	buf_deinit(&m.links);
	return outcome;
}

void command_sub_link(struct sequencer *s, struct command *c)
{
	struct subscription *subscription = find(s, c->in.subscription.id);
	enum outcome outcome = OUTCOME_NO_MEMORY;
	struct paths paths;

	if (!subscription) {
		answer(s, c, OUTCOME_NOT_FOUND);
		return;
	}
	if (paths_sort(&c->in.subscription, &paths))
		outcome = has_room(s, subscription, &paths) ? link_all(s, subscription, &paths) : OUTCOME_FULL;
	mem_free(paths.at);
	answer(s, c, outcome);
}

static enum outcome unlink_one(struct sequencer *s, struct subscription *subscription, struct slice path)
{
	const struct subscription_link *link = link_find(&s->subs, subscription, path);
	struct subscription_event e = {.type = SUB_UNLINKED, .path = path};

	if (!link || !(link->flags & LINK_EXPLICIT))
		return OUTCOME_OK;
	if (link->stream && subscription_matches(subscription, path))
		e.link_flags = LINK_GLOB;
	return subscription_emit(s, &e, subscription);
}

void command_sub_unlink(struct sequencer *s, struct command *c)
{
	const struct subscription_in *in = &c->in.subscription;
	struct subscription *subscription = find(s, in->id);
	enum outcome outcome = subscription ? OUTCOME_OK : OUTCOME_NOT_FOUND;

	for (size_t i = 0; i < in->stream_count && outcome == OUTCOME_OK; i++)
		outcome = unlink_one(s, subscription, in->streams[i]);
	answer(s, c, outcome);
}

/* --- claim, ack, release --- */

/* Whose wake is put off may be claimed nevertheless. When the claim after it fails, the wake is told as it would have been. */
static enum outcome wake_for_claim(struct sequencer *s, struct subscription *subscription)
{
	struct subscription_event e = {
		.type = SUB_WOKEN,
		.generation = subscription->generation + 1,
		.attempts = subscription->attempts,
		.next_attempt_ms = subscription->next_attempt_ms,
	};

	return subscription->flags & SUB_FLIGHT ? OUTCOME_OK : subscription_emit(s, &e, subscription);
}

/* The wake that led here told of nothing; the next records must make another one. */
static enum outcome end_empty(struct sequencer *s, struct subscription *subscription)
{
	enum outcome outcome = OUTCOME_OK;

	if (subscription->flags & SUB_FLIGHT)
		outcome = emit_plain_as(s, SUB_ENDED, subscription);
	return outcome == OUTCOME_OK ? OUTCOME_EMPTY : outcome;
}

static enum outcome claim(struct sequencer *s, struct subscription *subscription, struct slice worker)
{
	struct subscription_event e = {
		.type = SUB_CLAIMED,
		.until_ms = s->now_ms + subscription->lease_ttl_ms,
		.holder = worker,
	};
	enum outcome outcome = wake_for_claim(s, subscription);

	return outcome == OUTCOME_OK ? subscription_emit(s, &e, subscription) : outcome;
}

void command_sub_claim(struct sequencer *s, struct command *c)
{
	const struct subscription_claim_in *in = &c->in.subscription_claim;
	struct subscription *subscription = find(s, in->id);
	struct subscription_view *room;
	enum outcome outcome;

	if (!subscription || subscription->kind != SUBSCRIPTION_PULL) {
		answer(s, c, subscription ? OUTCOME_TYPE : OUTCOME_NOT_FOUND);
		return;
	}
	if (subscription->holder) {
		answer_view(s, c, OUTCOME_BUSY, subscription);
		return;
	}
	if (list_empty(&subscription->pending)) {
		answer(s, c, end_empty(s, subscription));
		return;
	}
	/* The answer's memory comes first: whoever hears of a failure holds nothing. */
	room = subscription_view_room(subscription, in->worker.len);
	outcome = room ? claim(s, subscription, in->worker) : OUTCOME_NO_MEMORY;
	if (outcome == OUTCOME_OK) {
		subscription_view_fill(s, room, subscription, VIEW_NOW);
		c->out.subscription = room;
	} else {
		mem_free(room);
	}
	answer(s, c, outcome);
}

/* Whether whoever asks holds the wake that is in flight. */
static enum outcome judge(const struct sequencer *s, const struct subscription *subscription,
			  const struct subscription_ack_in *in)
{
	char wake_id[WAKE_ID_CHARS + 1];
	uint64_t generation;

	if (!subscription)
		return OUTCOME_NOT_FOUND;
	if (in->callback != (subscription->kind == SUBSCRIPTION_WEBHOOK))
		return OUTCOME_TYPE;
	if (!subscription_token(s, subscription, in->token, &generation))
		return OUTCOME_TOKEN;
	subscription_wake_id(s, subscription, wake_id);
	if (!(subscription->flags & SUB_FLIGHT) || generation != subscription->generation || in->generation != generation ||
	    !slice_eq(in->wake_id, slice_str(wake_id)))
		return OUTCOME_FENCED;
	return OUTCOME_OK;
}

/* The places acked; RANGE: one is of no stream of its, lies before what is acked already, or behind the tail. */
static enum outcome ack_places(const struct sequencer *s, const struct subscription *subscription,
			       const struct subscription_ack_in *in, struct buf *places)
{
	if (in->ack_count > SUB_PLACES_MAX)
		return OUTCOME_RANGE;
	for (size_t i = 0; i < in->ack_count; i++) {
		const struct subscription_link *link = link_find(&s->subs, subscription, in->acks[i].path);
		const struct stream *stream = link && link->stream ? stream_find_number(&s->streams, link->stream) : NULL;
		uint64_t offset = in->acks[i].offset;

		if (!stream || !stream_place_find(stream, in->acks[i].number, &offset) || offset < link->acked ||
		    offset > link->tail)
			return OUTCOME_RANGE;
		place_put(places, &(struct place_item){link->stream, offset});
	}
	return places->failed ? OUTCOME_NO_MEMORY : OUTCOME_OK;
}

void command_sub_ack(struct sequencer *s, struct command *c)
{
	const struct subscription_ack_in *in = &c->in.subscription_ack;
	struct subscription *subscription = find(s, in->id);
	enum outcome outcome = judge(s, subscription, in);
	struct buf places = {0};
	struct subscription_event e = {.type = SUB_ACKED, .flags = in->done ? SUB_DONE : 0};

	if (outcome == OUTCOME_OK)
		outcome = ack_places(s, subscription, in, &places);
	if (outcome == OUTCOME_OK) {
		e.until_ms = in->done ? 0 : s->now_ms + subscription->lease_ttl_ms;
		e.places = buf_slice(&places);
		outcome = subscription_emit(s, &e, subscription);
	}
	if (outcome == OUTCOME_OK)
		c->out.next_wake = in->done && !list_empty(&subscription->pending);
	buf_deinit(&places);
	answer(s, c, outcome);
}

void command_sub_release(struct sequencer *s, struct command *c)
{
	const struct subscription_ack_in *in = &c->in.subscription_ack;
	struct subscription *subscription = find(s, in->id);
	enum outcome outcome = judge(s, subscription, in);

	answer(s, c, outcome == OUTCOME_OK ? emit_plain_as(s, SUB_ENDED, subscription) : outcome);
}

/* --- what became of a webhook --- */

void command_sub_hooked(struct sequencer *s, struct command *c)
{
	const struct hooked_in *in = &c->in.hooked;
	struct subscription *subscription = subscription_find_number(&s->subs, in->number);

	if (!subscription || !(subscription->flags & SUB_FLIGHT) || subscription->generation != in->generation)
		answer(s, c, OUTCOME_FENCED);
	else
		answer(s, c, subscription_hooked(s, subscription, in->result));
}
