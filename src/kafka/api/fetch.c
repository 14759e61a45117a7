/* Fetch, the long poll.
 *
 * One command looks at all partitions, and leaves a watch on each when there is too little. Then the call is parked, and hangs on
 * the board once for each partition; a wake for any of them looks at all again. What is found is sent from where it lies.
 *
 * A request that comes behind a parked Fetch ends its wait with what was there when it was looked at, which is nothing: an answer
 * that says so is legal, and no heartbeat starves behind a poll. Sessions (KIP-227) are not kept: an answer says that there is
 * none, and the client names all its partitions again. */
#include "kafka/api/fetch_priv.h"

#include "base/panic.h"

static void answered(struct kafka_call *call, struct kafka_ask *ask);

/* What the last command told of records has been given back. */
static void forget(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->count; i++) {
		fetch->partitions[i].view = NULL;
		fetch->partitions[i].aborted = NULL;
		fetch->partitions[i].aborted_count = 0;
	}
}

static void look(struct kafka_call *call, bool watch)
{
	struct fetch *fetch = call->own;
	struct command *c = &fetch->ask.command;

	*c = (struct command){.kind = COMMAND_FETCH, .owner = call, .message.door = DOOR_KAFKA};
	fetch->ask.answered = answered;
	forget(fetch);
	c->in.fetch = (struct fetch_in){
		.partitions = fetch->partitions,
		.count = fetch->count,
		.min_bytes = fetch->min_bytes,
		.max_bytes = fetch->max_bytes,
		.committed = fetch->request->isolation_level == 1,
		.watch = watch,
	};
	kafka_ask_send(call, &fetch->ask);
}

/* --- waiting --- */

static void unhang(struct kafka_call *call)
{
	struct fetch *fetch = call->own;

	for (size_t i = 0; i < fetch->count; i++)
		board_remove(&call->thread->board, &fetch->waits[i].wait);
}

static bool hang(struct kafka_call *call)
{
	struct fetch *fetch = call->own;

	for (size_t i = 0; i < fetch->count; i++) {
		fetch->waits[i] = (struct fetch_wait){.call = call};
		if (board_add(&call->thread->board, &fetch->waits[i].wait, stream_key(fetch->partitions[i].stream))) {
			unhang(call);
			return false;
		}
	}
	return true;
}

static void behind(struct kafka_call *call)
{
	unhang(call);
	forget(call->own);
	fetch_answer(call);
}

/* Nobody was woken: there is nothing, or it was too little. */
static void expired(struct kafka_call *call)
{
	const struct fetch *fetch = call->own;

	if (fetch->min_bytes <= 1) {
		behind(call);
		return;
	}
	unhang(call);
	look(call, false);
}

static const struct kafka_waits fetch_waits = {.expired = expired, .behind = behind, .gone = unhang};

static void park(struct kafka_call *call)
{
	const struct fetch *fetch = call->own;
	uint64_t now_ms = loop_now_ms(call->thread->loop);

	/* Another request stands behind it already, or its time is over: what was looked at holds. */
	if (fetch->until_ms <= now_ms || call->thread->draining || call->siblings.next != &call->conn->calls || !hang(call)) {
		fetch_answer(call);
		return;
	}
	kafka_call_park(call, &fetch_waits, fetch->until_ms - now_ms);
}

static void answered(struct kafka_call *call, struct kafka_ask *ask)
{
	if (ask->command.outcome == OUTCOME_PARKED)
		park(call);
	else if (ask->command.outcome == OUTCOME_OK)
		fetch_answer(call);
	else
		kafka_call_close(call);
}

void kafka_thread_woken(struct kafka_thread *thread, const struct stream_wake *wake)
{
	struct wait *wait;

	while ((wait = board_find(&thread->board, wake->key))) {
		struct kafka_call *call = container_of(wait, struct fetch_wait, wait)->call;
		const struct fetch *fetch = call->own;

		unhang(call);
		kafka_call_unpark(call);
		look(call, fetch->until_ms > loop_now_ms(thread->loop));
	}
}

/* --- the request --- */

static size_t partition_count(const struct kafka_fetch_request *request)
{
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	return count;
}

/* What needs no look. */
static enum kafka_error partition_error(const struct kafka_fetch_partition *partition)
{
	if (partition->current_leader_epoch > TOPIC_LEADER_EPOCH)
		return KAFKA_UNKNOWN_LEADER_EPOCH;
	if (partition->partition < 0)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return partition->fetch_offset < 0 ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_NONE;
}

/* False: one of them is in error, so nobody waits. */
static bool take_partitions(const struct kafka_fetch_request *request, struct fetch *fetch)
{
	size_t at = 0, all = 0;

	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_fetch_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++, all++) {
			const struct kafka_fetch_partition *partition = &topic->partitions.at[j];
			struct fetch_partition *one = &fetch->partitions[at];

			fetch->errors[all] = (int16_t)partition_error(partition);
			if (fetch->errors[all])
				continue;
			one->topic.name = topic->topic;
			memcpy(one->topic.id.bytes, topic->topic_id.bytes, sizeof(one->topic.id.bytes));
			one->partition = (uint32_t)partition->partition;
			one->offset = (uint64_t)partition->fetch_offset;
			one->max_bytes = partition->partition_max_bytes < 0 ? 0 : (uint64_t)partition->partition_max_bytes;
			at++;
		}
	}
	fetch->count = at;
	return at == all;
}

static uint64_t positive(int32_t value, uint64_t max)
{
	return value < 0 ? 0 : (uint64_t)value < max ? (uint64_t)value : max;
}

static bool refuse_session(struct kafka_call *call, const struct kafka_fetch_request *request)
{
	struct kafka_fetch_response *response;
	enum kafka_error error = KAFKA_NONE;

	if (request->session_id != 0)
		error = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
	else if (request->session_epoch > 0)
		error = KAFKA_INVALID_FETCH_SESSION_EPOCH;
	if (error == KAFKA_NONE)
		return false;
	response = kafka_call_response(call);
	if (!response)
		return true;
	response->error_code = (int16_t)error;
	kafka_call_answer(call, response);
	return true;
}

void fetch_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_limits *limits = &call->thread->config.limits;
	const struct kafka_fetch_request *request = message;
	size_t count = partition_count(request);
	struct fetch *fetch = kafka_call_alloc(call, sizeof(*fetch));
	bool waits;

	if (!fetch || refuse_session(call, request))
		return;
	call->own = fetch;
	fetch->request = request;
	fetch->partitions = kafka_call_alloc(call, count * sizeof(*fetch->partitions));
	fetch->waits = fetch->partitions ? kafka_call_alloc(call, count * sizeof(*fetch->waits)) : NULL;
	fetch->errors = fetch->waits ? kafka_call_alloc(call, count * sizeof(*fetch->errors)) : NULL;
	if (!fetch->errors)
		return;
	fetch->max_bytes = positive(request->max_bytes, limits->fetch_bytes);
	fetch->min_bytes = positive(request->min_bytes, fetch->max_bytes);
	fetch->until_ms = loop_now_ms(call->thread->loop) + positive(request->max_wait_ms, limits->max_wait_ms);
	waits = take_partitions(request, fetch) && request->max_wait_ms > 0 && count > 0 && fetch->min_bytes > 0;
	if (fetch->count == 0)
		fetch_answer(call);
	else
		look(call, waits);
}
