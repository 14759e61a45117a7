/* Fetch, the long poll.
 *
 * One command looks at all partitions. When there is too little the call is parked, and hangs on the board once for each
 * partition, with a count of the bytes that are still missing. From then on its thread follows the partitions' streams: each
 * growth takes off what came, and only when nothing is missing any more, or when something is gone, the partitions are looked at
 * again. So an append costs O(1) for each that waits, and a parked call keeps neither its request nor its arena. What is found is
 * sent from where it lies.
 *
 * A request that comes behind a parked Fetch ends its wait with what there is then, which may be nothing: no heartbeat starves
 * behind a poll. Of a session (fetch_session.c) the partitions stay on the board between two polls; each poll looks only at those
 * that have changed, and without any it asks nobody. */
#include "kafka/api/fetch_priv.h"

#include "base/panic.h"

/* --- looking --- */

static void answered(struct kafka_call *call, struct kafka_ask *ask);

static void partition_set(struct fetch_partition *p, const struct fetch_spot *spot)
{
	p->topic.name = slice_from(spot->topic->name, spot->topic->name_len);
	memcpy(p->topic.id.bytes, spot->topic->id.bytes, sizeof(p->topic.id.bytes));
	p->partition = (uint32_t)spot->partition;
	p->offset = spot->offset;
	p->max_bytes = spot->max_bytes;
}

static struct fetch_look *look_new(struct kafka_call *call)
{
	const struct fetch_set *set = call->own;
	struct fetch_look *look = kafka_call_alloc(call, sizeof(*look));
	size_t at = 0;

	if (!look)
		return NULL;
	list_each (node, &set->changed) {
		look->spot_count++;
		look->count += fetch_spot_of(node)->error == KAFKA_NONE;
	}
	look->partitions = kafka_call_alloc(call, look->count * sizeof(*look->partitions));
	if (!look->partitions)
		return NULL;
	list_each (node, &set->changed) {
		if (fetch_spot_of(node)->error == KAFKA_NONE)
			partition_set(&look->partitions[at++], fetch_spot_of(node));
	}
	return look;
}

static void park(struct kafka_call *call, struct fetch_look *look);

static void look_at(struct kafka_call *call, bool watch)
{
	struct fetch_set *set = call->own;
	struct fetch_look *look = look_new(call);
	struct command *c;

	if (!look)
		return;
	set->woken = false;
	set->missing_bytes = set->min_bytes;
	set->came_bytes = 0;
	if (look->count == 0) {
		if (watch && set->id && look->spot_count == 0)
			park(call, look);
		else
			fetch_answer(call, look);
		return;
	}
	c = &look->ask.command;
	*c = (struct command){.kind = COMMAND_FETCH, .owner = call, .message.door = DOOR_KAFKA};
	look->ask.answered = answered;
	c->in.fetch = (struct fetch_in){
		.partitions = look->partitions,
		.count = look->count,
		.min_bytes = set->min_bytes,
		.max_bytes = set->max_bytes,
		.committed = set->committed,
		.watch = watch,
		.follow = set->id != 0,
	};
	kafka_ask_send(call, &look->ask);
}

/* --- waiting --- */

/* What was seen when the wait began. */
static void remember(const struct fetch_set *set, struct fetch_look *look)
{
	struct fetch_partition *p = look->partitions;

	list_each (node, &set->changed) {
		const struct fetch_spot *spot = fetch_spot_of(node);

		p->outcome = OUTCOME_OK;
		p->high_watermark = spot->seen;
		p->stable_offset = spot->seen - spot->unstable;
		p->log_start_offset = spot->earliest;
		p++;
	}
}

/* The end of a wait, with what there is. Where nothing came nobody need be asked: it is as it was. */
static void wait_over(struct kafka_call *call)
{
	struct fetch_set *set = call->own;
	struct fetch_look *look;

	if (set->heard || set->id) {
		look_at(call, false);
		return;
	}
	look = look_new(call);
	if (!look)
		return;
	remember(set, look);
	fetch_answer(call, look);
}

static void behind(struct kafka_call *call)
{
	kafka_call_unpark(call);
	wait_over(call);
}

static const struct kafka_waits fetch_waits = {.expired = wait_over, .behind = behind};

/* Each hears from now on what comes. One that cannot, because too many hang there already, is looked at when the wait is over;
 * one of a session in any case. False: there is such a one. */
static bool hang(struct fetch_set *set, const struct fetch_look *look)
{
	const struct fetch_partition *p = look->partitions;
	size_t left = look->spot_count;
	bool all = true;

	set->heard = false;
	list_each_safe (node, &set->changed) {
		struct fetch_spot *spot = fetch_spot_of(node);
		bool hangs;

		if (left-- == 0)
			break;
		hangs = fetch_spot_hang(spot, p->stream);
		spot->news |= spot->seen != p->high_watermark;
		spot->seen = p->high_watermark;
		spot->earliest = p->log_start_offset;
		spot->unstable = (uint32_t)(p->high_watermark - p->stable_offset);
		spot->full = p->bytes >= spot->max_bytes;
		set->heard |= !hangs || p->bytes || p->high_watermark - p->stable_offset > UINT32_MAX;
		if (set->id && !set->whole && hangs && !spot->news && !p->bytes)
			list_remove(&spot->changed);
		all &= hangs;
		p++;
	}
	return all;
}

static void park(struct kafka_call *call, struct fetch_look *look)
{
	struct fetch_set *set = call->own;
	uint64_t now_ms = loop_now_ms(call->thread->loop);

	/* Another request stands behind it already, or its time is over: what was looked at holds. */
	if (set->until_ms <= now_ms || call->thread->draining || call->siblings.next != &call->conn->calls) {
		fetch_answer(call, look);
		return;
	}
	/* Whose partitions are too many keeps its request, whose memory is limited. */
	call->sheds = hang(set, look);
	set->missing_bytes -= set->came_bytes < set->missing_bytes ? set->came_bytes : set->missing_bytes;
	if (!set->missing_bytes || set->woken) { /* something came meanwhile where nobody looked */
		look_at(call, true);
		return;
	}
	kafka_call_park(call, &fetch_waits, set->until_ms - now_ms);
}

static void answered(struct kafka_call *call, struct kafka_ask *ask)
{
	struct fetch_look *look = container_of(ask, struct fetch_look, ask);

	struct fetch_set *set = call->own;

	if (ask->command.outcome == OUTCOME_PARKED) {
		set->missing_bytes = ask->command.in.fetch.missing_bytes;
		park(call, look);
	}
	if (ask->command.outcome == OUTCOME_OK)
		fetch_answer(call, look);
	else if (ask->command.outcome != OUTCOME_PARKED)
		kafka_call_close(call);
}

/* --- what comes --- */

static void spot_grew(struct fetch_spot *spot, const struct stream_growth *growth)
{
	struct fetch_set *set = spot->topic->set;
	uint64_t came = set->committed ? growth->stable_bytes : growth->bytes;
	bool grew = growth->next_offset > spot->seen;

	if (!grew && !growth->deleted && !growth->trimmed)
		return;
	fetch_spot_change(spot);
	spot->news = set->heard = true;
	if (growth->deleted || spot->offset < growth->earliest_offset)
		set->woken = true;
	if (grew)
		spot->seen = growth->next_offset;
	came = grew && !spot->full ? came : 0;
	if (!set->call)
		return;
	if (!kafka_call_is_parked(set->call)) {
		set->came_bytes += came;
		return;
	}
	set->missing_bytes -= came < set->missing_bytes ? came : set->missing_bytes;
	if (set->missing_bytes && !set->woken)
		return;
	kafka_call_unpark(set->call);
	look_at(set->call, set->until_ms > loop_now_ms(set->thread->loop));
}

void kafka_thread_grew(struct kafka_thread *thread, struct stream_growth *growth)
{
	struct wait *first = board_find(&thread->board, growth->key);

	if (!first && !growth->deleted) {
		thread->config.send_message(thread->ctx, &growth->message); /* no more of it */
		return;
	}
	for (struct wait *wait = first; wait; wait = board_next(first, wait))
		spot_grew(container_of(wait, struct fetch_spot, wait), growth);
	message_free(&growth->message);
}

/* --- the request --- */

static uint64_t positive(int32_t value, uint64_t max)
{
	return value < 0 ? 0 : (uint64_t)value < max ? (uint64_t)value : max;
}

static void refuse(struct kafka_call *call, enum kafka_error error)
{
	struct kafka_fetch_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)error;
	kafka_call_answer(call, response);
}

static void forget(struct kafka_call *call)
{
	struct fetch_set *set = call->own;

	if (set->call == call)
		set->call = NULL;
	fetch_set_unref(set);
}

/* One of them is in error already. */
static bool has_error(const struct fetch_set *set)
{
	list_each (node, &set->changed) {
		if (fetch_spot_of(node)->error)
			return true;
	}
	return false;
}

void fetch_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_limits *limits = &call->thread->config.limits;
	const struct kafka_fetch_request *request = message;
	enum kafka_error error;
	struct fetch_set *set = fetch_set_for(call, request, &error);

	if (!set && error)
		refuse(call, error);
	else if (!set)
		kafka_call_close(call);
	if (!set)
		return;
	call->own = set;
	call->forget = forget;
	set->call = call;
	set->committed = request->isolation_level == 1;
	set->max_bytes = positive(request->max_bytes, limits->fetch_bytes);
	if (limits->fetch_rate && set->max_bytes > limits->fetch_rate) /* or its client would wait for longer than need be */
		set->max_bytes = limits->fetch_rate;
	set->min_bytes = positive(request->min_bytes, set->max_bytes);
	set->until_ms = loop_now_ms(call->thread->loop) + positive(request->max_wait_ms, limits->max_wait_ms);
	look_at(call, request->max_wait_ms > 0 && set->min_bytes > 0 && set->spot_count > 0 && !has_error(set));
}
