/* Subscriptions follow their streams: what is linked, what is pending, when they are woken.
 *
 * Streams say what happens to them (subscriptions_follow); that costs a look at a table when no subscription is concerned. What
 * is pending and not yet told becomes a wake when the turn ends (subscriptions_turn), so that one wake tells of all that came
 * together, and so that a wake stream's append is never made within another append.
 *
 * Of a subscription the heap of deadlines knows when it must be looked at next, `now` being one of the answers (arm). What lack
 * of memory or room kept from being done comes again a second later.
 *
 * A wake is written to its wake stream before the journal hears that there is one: a crash between the two tells it twice, with
 * the same generation. */
#include "sequencer/sequencer_priv.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/panic.h"
#include "stream/batch.h"
#include "subscription/glob.h"

#include <errno.h>

enum { RETRY_MS = 1000, ATTEMPT_FIRST_MS = 1000, ATTEMPT_LAST_MS = 60000, TURN_MAX = 32 };

/* --- events --- */

/* What ends a wake, or lets go, may use the reserve. */
static bool uses_reserve(const struct subscription_event *e)
{
	return e->type == SUB_DELETED || e->type == SUB_UNLINKED || e->type == SUB_ACKED || e->type == SUB_ENDED;
}

static int append(struct sequencer *s, struct subscription_event *e)
{
	struct store_appended appended;
	int r;

	buf_clear(&s->fields);
	subscription_event_encode(e, &s->fields);
	r = append_entry(s, &(struct store_entry){.time_ms = e->time_ms, .type = (uint8_t)e->type, .reserve = uses_reserve(e)},
			 &appended);
	if (r)
		return r;
	e->end = appended.end;
	return 0;
}

static bool is_pull(const struct subscription *subscription)
{
	return subscription->kind == SUBSCRIPTION_PULL;
}

/* When it must be looked at next. */
static void arm(struct sequencer *s, struct subscription *subscription)
{
	uint64_t at_ms = UINT64_MAX;

	if (subscription->flags & SUB_MORE) {
		at_ms = 0;
	} else if (subscription->flags & SUB_FLIGHT) {
		if (subscription->lease_until_ms)
			at_ms = subscription->lease_until_ms;
		if (!(subscription->flags & SUB_DELIVERED) && !subscription->under_way && subscription->next_attempt_ms < at_ms)
			at_ms = subscription->next_attempt_ms;
	} else if (!list_empty(&subscription->pending)) {
		at_ms = subscription->next_attempt_ms;
	}
	subscription_set_deadline(&s->subs, subscription, at_ms);
}

enum outcome subscription_emit(struct sequencer *s, struct subscription_event *e, struct subscription *subscription)
{
	struct subscription_prepared prepared;
	int r;

	if (s->failed)
		return OUTCOME_STORAGE;
	e->time_ms = s->now_ms;
	e->end = UINT64_MAX;
	if (subscription)
		e->number = subscription->number;
	r = subscriptions_prepare(&s->subs, e, &prepared);
	if (r)
		return outcome_of(r);
	r = append(s, e);
	if (r) {
		subscriptions_unprepare(&prepared);
		return outcome_of(r);
	}
	s->stats.events_total++;
	subscriptions_commit(&s->subs, e, &prepared);
	if (e->type == SUB_DELETED)
		return OUTCOME_OK;
	arm(s, subscription_find_number(&s->subs, e->number));
	return OUTCOME_OK;
}

/* --- what is linked --- */

static uint64_t own_offset(const struct stream *stream)
{
	return stream_more(stream)->own_offset;
}

/* Jobs' outputs are not for subscriptions: their paths are secrets. */
bool subscription_can_link(const struct stream *stream)
{
	return stream && !(stream->flags & STREAM_GONE) && !path_is_output(stream_path(stream));
}

struct stream *subscription_stream(const struct sequencer *s, struct slice path)
{
	struct stream *stream = stream_find(&s->streams, path);

	return subscription_can_link(stream) ? stream : NULL;
}

/* Its own wake stream is not for it: each wake would make the next one. */
bool subscription_matches(const struct subscription *subscription, struct slice path)
{
	return subscription->pattern.len && glob_match(subscription->pattern, path) && !slice_eq(subscription->wake_stream, path);
}

static void grown(struct sequencer *s, struct subscription_link *link, uint64_t tail)
{
	bool pending = !list_empty(&link->pending);

	link_set_tail(link, tail);
	if (!pending && !(link->subscription->flags & SUB_FLIGHT))
		arm(s, link->subscription);
}

static enum outcome link_at_start(struct sequencer *s, struct subscription *subscription, const struct stream *stream,
				  unsigned flags)
{
	const struct link_item item = {
		.flags = flags, .stream = stream->number, .acked = own_offset(stream), .path = stream_path(stream)};
	struct buf links = {0};
	enum outcome outcome = OUTCOME_NO_MEMORY;

	link_put(&links, &item);
	if (!links.failed)
		outcome = subscription_emit(s, &(struct subscription_event){.type = SUB_LINKED, .links = buf_slice(&links)},
					    subscription);
	buf_deinit(&links);
	return outcome;
}

/* A new stream stands where explicit links wait for one. */
static enum outcome bind_links(struct sequencer *s, const struct stream *stream)
{
	struct subscription_link *link;
	enum outcome outcome = OUTCOME_OK;

	while (outcome == OUTCOME_OK && (link = link_first_unbound(&s->subs, stream_path(stream))))
		outcome = link_at_start(s, link->subscription, stream, LINK_EXPLICIT);
	return outcome;
}

/* A stream has its first records: it is linked to those whose pattern it matches, before these records. */
static enum outcome link_patterns(struct sequencer *s, const struct stream *stream)
{
	enum outcome outcome = OUTCOME_OK;

	if (!s->subs.pattern_count)
		return OUTCOME_OK;
	list_each (node, &s->subs.all) {
		struct subscription *subscription = container_of(node, struct subscription, peers);

		if (outcome == OUTCOME_OK && !(subscription->flags & SUB_MORE) &&
		    subscription->link_count < s->config.subscription_links_max &&
		    subscription_matches(subscription, stream_path(stream)) &&
		    !link_find(&s->subs, subscription, stream_path(stream)))
			outcome = link_at_start(s, subscription, stream, LINK_GLOB);
	}
	return outcome;
}

static bool has_records(const struct stream *stream)
{
	return stream->next_offset > own_offset(stream);
}

/* It is new there, or has its first records; or nobody knows, and all is looked at. */
static enum outcome link_stream(struct sequencer *s, const struct stream *stream, bool is_new, bool first)
{
	enum outcome outcome = is_new ? bind_links(s, stream) : OUTCOME_OK;

	if (outcome == OUTCOME_OK && first && has_records(stream))
		outcome = link_patterns(s, stream);
	for (struct subscription_link *link = link_first(&s->subs, stream->number); link; link = link_next(&s->subs, link))
		grown(s, link, stream_readable(stream));
	return outcome;
}

/* What is no longer kept need not be read by anybody: it counts as acked. The journal tells it by the stream's own events. */
static void pass_over_trimmed(struct sequencer *s, const struct stream *stream)
{
	for (struct subscription_link *link = link_first(&s->subs, stream->number); link; link = link_next(&s->subs, link))
		link_ack(link, stream_earliest(stream));
}

void subscriptions_follow(struct sequencer *s, const struct stream_event *e)
{
	const struct stream *stream;
	bool is_new = e->type == STREAM_CREATED;

	if (s->subs.count == 0)
		return;
	if (e->type == STREAM_DELETED) {
		links_let_go(&s->subs, e->number);
		return;
	}
	stream = stream_find_number(&s->streams, e->number);
	if (e->type == STREAM_TRIMMED)
		pass_over_trimmed(s, stream);
	if ((!is_new && e->type != STREAM_APPENDED && e->type != STREAM_PRODUCED) || !subscription_can_link(stream))
		return;
	if (link_stream(s, stream, is_new, is_new || e->offset == own_offset(stream)) != OUTCOME_OK)
		s->relink_ms = s->now_ms + RETRY_MS;
}

/* --- all of it anew: after a replay, and when memory was short for a link --- */

static void let_go_of_lost(struct sequencer *s)
{
	list_each (node, &s->subs.all) {
		list_each_safe (peer, &container_of(node, struct subscription, peers)->links) {
			const struct subscription_link *link = container_of(peer, struct subscription_link, peers);

			if (link->stream && !subscription_can_link(stream_find_number(&s->streams, link->stream)))
				links_let_go(&s->subs, link->stream);
		}
	}
}

static void relink(struct sequencer *s)
{
	enum outcome outcome = OUTCOME_OK;

	s->relink_ms = UINT64_MAX;
	if (s->subs.count == 0)
		return;
	for (const struct stream *stream = stream_next_after(&s->streams, 0); stream && outcome == OUTCOME_OK;
	     stream = stream_next_after(&s->streams, stream->number)) {
		if (subscription_can_link(stream))
			outcome = link_stream(s, stream, true, true);
		pass_over_trimmed(s, stream);
	}
	if (outcome != OUTCOME_OK)
		s->relink_ms = s->now_ms + RETRY_MS;
}

void subscriptions_start(struct sequencer *s)
{
	let_go_of_lost(s);
	relink(s);
	list_each (node, &s->subs.all)
		arm(s, container_of(node, struct subscription, peers));
}

/* --- wakes --- */

static uint64_t attempt_after(const struct sequencer *s, const struct subscription *subscription, uint64_t attempts)
{
	uint64_t base = attempts < 7 ? (uint64_t)ATTEMPT_FIRST_MS << (attempts - 1) : ATTEMPT_LAST_MS;

	if (base > ATTEMPT_LAST_MS)
		base = ATTEMPT_LAST_MS;
	return s->now_ms + base - base / 5 + subscription_jitter(s, subscription, attempts) % (base / 5 * 2 + 1);
}

static void wake_json(const struct sequencer *s, const struct subscription *subscription, uint64_t generation, struct buf *out)
{
	const struct subscription_link *link = list_first(&subscription->pending, struct subscription_link, pending);
	bool any = !list_empty(&subscription->pending);

	json_open(out, '{');
	json_key(out, "type");
	json_str(out, SLICE("wake"));
	json_key(out, "subscription_id");
	json_str(out, subscription->id);
	json_key(out, "stream");
	json_str(out, any ? link_path(link) : (struct slice){0});
	json_key(out, "generation");
	json_u64(out, generation);
	json_key(out, "ts");
	json_u64(out, s->now_ms);
	json_close(out, '}');
}

/* OUTCOME_NOT_FOUND: there is no stream that would take it. */
static enum outcome wake_write(struct sequencer *s, const struct subscription *subscription, uint64_t generation)
{
	struct stream *stream = subscription_stream(s, subscription->wake_stream);
	struct buf json = {0}, batch = {0};
	enum outcome outcome = OUTCOME_NO_MEMORY;
	struct stream_event e;

	if (!stream || !(stream->flags & STREAM_JSON) || stream->flags & STREAM_CLOSED)
		return OUTCOME_NOT_FOUND;
	wake_json(s, subscription, generation, &json);
	if (!json.failed)
		batch_encode(&batch, s->now_ms, &(struct batch_record){.value = buf_slice(&json)}, 1);
	if (!json.failed && !batch.failed) {
		batch_set_base(batch.ptr, stream->next_offset);
		e = (struct stream_event){.type = STREAM_APPENDED, .offset = stream->next_offset, .count = 1};
		outcome = stream_emit(s, &e, stream, buf_slice(&batch));
	}
	buf_deinit(&json);
	buf_deinit(&batch);
	return outcome;
}

/* A new wake, or the same one again; its receiver hears of it when it is durable. */
static enum outcome hook_send(struct sequencer *s, struct subscription *subscription)
{
	struct subscription_view *view = subscription_view_new(s, subscription, VIEW_HOOK);
	struct hook *hook = view ? mem_zalloc(sizeof(*hook)) : NULL;

	if (!hook) {
		subscription_view_free(view);
		return OUTCOME_NO_MEMORY;
	}
	hook->view = view;
	hook->message.kind = MESSAGE_HOOK;
	subscription->under_way = true;
	arm(s, subscription);
	message_send(s, &hook->message, s->appended_end);
	return OUTCOME_OK;
}

static enum outcome pull_deliver(struct sequencer *s, struct subscription *subscription, uint64_t generation)
{
	struct subscription_event e = {
		.type = generation == subscription->generation ? SUB_HOOKED : SUB_WOKEN,
		.generation = generation,
		.flags = SUB_DELIVERED,
	};
	enum outcome outcome = wake_write(s, subscription, generation);

	if (outcome == OUTCOME_NOT_FOUND) {
		e.flags = 0;
		e.attempts = subscription->attempts + 1;
		e.next_attempt_ms = attempt_after(s, subscription, e.attempts);
		outcome = OUTCOME_OK;
	}
	return outcome == OUTCOME_OK ? subscription_emit(s, &e, subscription) : outcome;
}

static enum outcome hook_wake(struct sequencer *s, struct subscription *subscription)
{
	struct subscription_event e = {
		.type = SUB_WOKEN,
		.generation = subscription->generation + 1,
		.until_ms = s->now_ms + subscription->lease_ttl_ms,
		.attempts = subscription->attempts,
	};
	struct buf places = {0};
	enum outcome outcome = OUTCOME_NO_MEMORY;
	unsigned left = SUB_PLACES_MAX;

	list_each (node, &subscription->pending) {
		const struct subscription_link *link = container_of(node, struct subscription_link, pending);

		if (left-- == 0)
			break;
		place_put(&places, &(struct place_item){link->stream, link->tail});
	}
	e.places = buf_slice(&places);
	if (!places.failed)
		outcome = subscription_emit(s, &e, subscription);
	buf_deinit(&places);
	return outcome == OUTCOME_OK ? hook_send(s, subscription) : outcome;
}

/* A webhook of which nothing was heard in all that time has failed, too. */
static enum outcome lease_ran_out(struct sequencer *s, struct subscription *subscription)
{
	struct subscription_event e = {
		.type = SUB_ENDED,
		.attempts = subscription->attempts,
		.next_attempt_ms = subscription->next_attempt_ms,
	};

	if (subscription->under_way && !(subscription->flags & SUB_DELIVERED)) {
		e.attempts++;
		e.next_attempt_ms = attempt_after(s, subscription, e.attempts);
	}
	return subscription_emit(s, &e, subscription);
}

static enum outcome deadline_came(struct sequencer *s, struct subscription *subscription)
{
	if (subscription->flags & SUB_MORE)
		return subscription_emit(s, &(struct subscription_event){.type = SUB_DELETED}, subscription);
	if (!(subscription->flags & SUB_FLIGHT))
		return is_pull(subscription) ? pull_deliver(s, subscription, subscription->generation + 1)
					     : hook_wake(s, subscription);
	if (subscription->lease_until_ms && subscription->lease_until_ms <= s->now_ms)
		return lease_ran_out(s, subscription);
	return is_pull(subscription) ? pull_deliver(s, subscription, subscription->generation) : hook_send(s, subscription);
}

enum outcome subscription_hooked(struct sequencer *s, struct subscription *subscription, enum hook_result result)
{
	struct subscription_event e = {.type = SUB_HOOKED, .flags = SUB_DELIVERED};
	enum outcome outcome;

	subscription->under_way = false;
	if (result == HOOK_DONE) {
		e.type = SUB_ACKED;
		e.flags = SUB_TAILS | SUB_DONE;
	} else if (subscription->flags & SUB_DELIVERED) { /* it has called back already */
		return OUTCOME_OK;
	} else if (result == HOOK_FAILED) {
		e.flags = 0;
		e.attempts = subscription->attempts + 1;
		e.next_attempt_ms = attempt_after(s, subscription, e.attempts);
	}
	outcome = subscription_emit(s, &e, subscription);
	if (outcome != OUTCOME_OK)
		subscription_set_deadline(&s->subs, subscription, s->now_ms + RETRY_MS);
	return outcome;
}

bool subscriptions_turn(struct sequencer *s, unsigned *limit)
{
	struct subscription *subscription;

	if (s->relink_ms <= s->now_ms && !s->failed)
		relink(s);
	while ((subscription = subscriptions_next_deadline(&s->subs)) && subscription->deadline_ms <= s->now_ms) {
		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		arm(s, subscription); /* what was to be done may have come to nothing */
		if (subscription->deadline_ms <= s->now_ms && deadline_came(s, subscription) != OUTCOME_OK)
			subscription_set_deadline(&s->subs, subscription, s->now_ms + RETRY_MS);
	}
	return false;
}

void subscriptions_settle(struct sequencer *s)
{
	unsigned limit = TURN_MAX;

	subscriptions_turn(s, &limit);
}

uint64_t subscriptions_next_ms(const struct sequencer *s)
{
	const struct subscription *subscription = subscriptions_next_deadline(&s->subs);
	uint64_t at_ms = subscription ? subscription->deadline_ms : UINT64_MAX;

	return s->relink_ms < at_ms ? s->relink_ms : at_ms;
}

void subscriptions_verify(const struct sequencer *s)
{
	subscriptions_check(&s->subs);
	list_each (node, &s->subs.all) {
		const struct subscription *subscription = container_of(node, struct subscription, peers);

		ENSURE(!subscription->lease_until_ms || subscription->deadline_ms <= subscription->lease_until_ms ||
		       subscription->deadline_ms <= s->now_ms + RETRY_MS);
		ENSURE(subscription->flags & SUB_FLIGHT || list_empty(&subscription->pending) ||
		       subscription->deadline_ms != UINT64_MAX);
		list_each (peer, &subscription->links) {
			const struct subscription_link *link = container_of(peer, struct subscription_link, peers);
			const struct stream *stream = subscription_stream(s, link_path(link));

			ENSURE(!link->stream || (stream && stream->number == link->stream));
			ENSURE(!stream || s->relink_ms != UINT64_MAX || (link->stream && link->tail == stream_readable(stream)));
		}
	}
}
