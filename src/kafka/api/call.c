/* The life of a call: from its whole frame to its answer in the line. */
#include "kafka/api/api_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "kafka/codec/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

static void expired(struct wheel_entry *entry)
{
	struct kafka_call *call = container_of(entry, struct kafka_call, deadline);
	const struct kafka_waits *waits = call->waits;

	kafka_call_unpark(call);
	waits->expired(call);
}

/* What counts of a frame: short ones are many and go quickly. */
static uint64_t long_bytes(const struct kafka_call *call)
{
	return call->frame_bytes > KAFKA_FRAME_EARLY_MAX_BYTES ? call->frame_bytes : 0;
}

struct kafka_call *kafka_call_new(struct kafka_conn *conn, size_t frame_bytes)
{
	struct kafka_call *call = mem_zalloc(sizeof(*call));

	if (!call)
		return NULL;
	list_init(&call->siblings);
	call->conn = conn;
	call->thread = conn->thread;
	call->frame_bytes = frame_bytes;
	conn->held_bytes += frame_bytes;
	conn->thread->long_bytes += long_bytes(call);
	return call;
}

void kafka_call_free(struct kafka_call *call)
{
	ENSURE(call->asking == 0);
	if (call->conn)
		call->conn->held_bytes -= call->frame_bytes;
	if (call->state == CALL_PARKED)
		kafka_call_unpark(call);
	wheel_remove(call->thread->wheel, &call->deadline);
	list_remove(&call->siblings);
	if (call->forget)
		call->forget(call);
	kafka_chain_drop(call->thread, &call->answer);
	arena_deinit(&call->arena);
	buf_deinit(&call->frame);
	if (long_bytes(call))
		kafka_memory_given(call->thread, long_bytes(call));
	mem_free(call);
}

void kafka_call_hold(struct kafka_call *call)
{
	call->holds = true;
	call->conn->holding++;
}

static void let_go(struct kafka_call *call)
{
	if (call->holds)
		call->conn->holding--;
	call->holds = false;
}

/* What a call that waits for long does without. */
static void shed(struct kafka_call *call)
{
	if (!call->sheds || call->state != CALL_PARKED || call->asking)
		return;
	arena_deinit(&call->arena);
	buf_deinit(&call->frame);
	call->request.client_id = call->request.message = (struct slice){0};
	call->conn->held_bytes -= call->frame_bytes;
	if (long_bytes(call)) {
		kafka_memory_given(call->thread, long_bytes(call));
		kafka_conn_need(call->conn); /* it may have waited for that to be read */
	}
	call->frame_bytes = 0;
	call->taken_bytes = 0;
}

/* Out of its connection's line; commands of it may be under way. */
static void call_leave(struct kafka_call *call)
{
	list_remove(&call->siblings);
	let_go(call);
	call->conn->held_bytes -= call->frame_bytes;
	call->conn->call_count--;
	call->conn = NULL;
	if (call->asking)
		list_push_back(&call->thread->gone, &call->siblings);
	else
		kafka_call_free(call);
}

void kafka_call_gone(struct kafka_call *call)
{
	const struct kafka_waits *waits = call->state == CALL_PARKED ? call->waits : NULL;

	if (call->state == CALL_PARKED)
		kafka_call_unpark(call);
	if (waits && waits->gone)
		waits->gone(call);
	call->conn->out_bytes -= kafka_chain_bytes(&call->answer);
	kafka_chain_drop(call->thread, &call->answer);
	call_leave(call);
}

void kafka_line_advance(struct kafka_conn *conn)
{
	while (!list_empty(&conn->calls) && !(conn->flags & CONN_LAST)) {
		struct kafka_call *call = list_first(&conn->calls, struct kafka_call, siblings);

		if (call->state != CALL_ANSWERED)
			return;
		if (call->closes)
			conn->flags |= CONN_CLOSING | CONN_LAST;
		kafka_chain_move(&conn->out, &call->answer);
		call_leave(call);
	}
}

/* --- answers --- */

static void answered(struct kafka_call *call)
{
	struct kafka_conn *conn = call->conn;

	ENSURE(call->state == CALL_OPEN || call->state == CALL_PARKED);
	if (call->state == CALL_PARKED)
		kafka_call_unpark(call);
	call->state = CALL_ANSWERED;
	let_go(call);
	conn->out_bytes += kafka_chain_bytes(&call->answer);
	kafka_conn_need(conn);
	kafka_output_limit(call);
}

static void drop_parts(const struct kafka_part *parts, size_t from, size_t count)
{
	for (size_t i = from; i < count; i++)
		parts[i].pin->ops->unpin(parts[i].pin);
}

/* `text` with the parts where the gaps are. */
static int weave(struct kafka_call *call, struct slice text, const struct kafka_gaps *gaps, const struct kafka_part *parts,
		 size_t part_count)
{
	struct kafka_thread *thread = call->thread;
	size_t at = 0, part = 0;
	int r = 0;

	for (size_t i = 0; i < gaps->count && !r; i++) {
		uint64_t left = gaps->at[i].records_len;

		r = kafka_chain_append(thread, &call->answer, slice_from(text.ptr + at, gaps->at[i].at - at));
		at = gaps->at[i].at;
		while (left && !r) {
			ENSURE(part < part_count && parts[part].to - parts[part].from <= left);
			left -= parts[part].to - parts[part].from;
			r = kafka_chain_append_part(thread, &call->answer, &parts[part++]);
		}
	}
	drop_parts(parts, part, part_count);
	return r ? r : kafka_chain_append(thread, &call->answer, slice_from(text.ptr + at, text.len - at));
}

void kafka_call_answer_stored(struct kafka_call *call, const void *response, const struct kafka_part *parts, size_t part_count)
{
	struct buf *out = &call->thread->out;
	struct kafka_gaps gaps = {0};

	if (kafka_call_is_gone(call)) {
		drop_parts(parts, 0, part_count);
		return;
	}
	if (part_count) {
		gaps.at = arena_alloc(&call->arena, part_count * sizeof(*gaps.at));
		gaps.max = gaps.at ? part_count : 0;
	}
	buf_clear(out);
	kafka_response_encode(&call->request, response, out, part_count ? &gaps : NULL);
	if (out->failed) {
		drop_parts(parts, 0, part_count);
		kafka_conn_break(call->conn);
	} else if (weave(call, buf_slice(out), &gaps, parts, part_count)) {
		kafka_conn_break(call->conn);
	}
	if (out->cap > READ_BYTES)
		buf_deinit(out);
	answered(call);
}

void kafka_call_answer(struct kafka_call *call, const void *response)
{
	kafka_call_answer_stored(call, response, NULL, 0);
}

void kafka_call_close(struct kafka_call *call)
{
	if (kafka_call_is_gone(call))
		return;
	call->closes = true;
	answered(call);
}

void kafka_call_unasked(struct kafka_call *call)
{
	if (!kafka_call_is_gone(call))
		answered(call);
}

void *kafka_call_response(struct kafka_call *call)
{
	const struct kafka_table *table = call->request.api->response;
	void *response = kafka_call_alloc(call, table->size_bytes);

	if (response)
		kafka_defaults(table, response);
	return response;
}

void *kafka_call_alloc(struct kafka_call *call, size_t size_bytes)
{
	uint64_t most = call->thread->config.limits.answer_bytes, left = most > call->taken_bytes ? most - call->taken_bytes : 0;
	void *memory = size_bytes <= left ? arena_zalloc(&call->arena, size_bytes) : NULL;

	call->taken_bytes += memory ? size_bytes : 0;
	if (size_bytes > left && !kafka_call_is_gone(call) && call->state != CALL_ANSWERED)
		kafka_conn_broken(call->conn, KAFKA_BROKEN_MEMORY, "%s %d would take more memory to answer than max-answer",
				  call->request.api->name, call->request.format.version);
	if (!memory && !kafka_call_is_gone(call) && call->state != CALL_ANSWERED)
		kafka_call_close(call);
	return memory;
}

struct slice kafka_call_dup(struct kafka_call *call, struct slice s)
{
	char *copy = kafka_call_alloc(call, s.len);

	if (copy && s.len)
		memcpy(copy, s.ptr, s.len);
	return copy ? slice_from(copy, s.len) : KAFKA_EMPTY;
}

struct slice kafka_call_host(struct kafka_call *call)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char *text = kafka_call_alloc(call, INET6_ADDRSTRLEN + 1);
	const void *ip = NULL;

	if (!text || getpeername(call->conn->stream.fd, (struct sockaddr *)&address, &len))
		return (struct slice){0};
	if (address.ss_family == AF_INET)
		ip = &((const struct sockaddr_in *)(const void *)&address)->sin_addr;
	else if (address.ss_family == AF_INET6)
		ip = &((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr;
	text[0] = '/';
	if (!ip || !inet_ntop(address.ss_family, ip, text + 1, INET6_ADDRSTRLEN))
		return (struct slice){0};
	return slice_str(text);
}

/* --- waiting --- */

void kafka_call_park(struct kafka_call *call, const struct kafka_waits *waits, uint64_t timeout_ms)
{
	ENSURE(call->state == CALL_OPEN && call->conn);
	call->state = CALL_PARKED;
	call->waits = waits;
	call->deadline.expired = expired;
	call->deadline.deadline_ms = loop_now_ms(call->thread->loop) + timeout_ms;
	wheel_add(call->thread->wheel, &call->deadline);
	call->thread->stats.parked++;
}

void kafka_call_unpark(struct kafka_call *call)
{
	ENSURE(call->state == CALL_PARKED);
	wheel_remove(call->thread->wheel, &call->deadline);
	call->state = CALL_OPEN;
	call->waits = NULL;
	call->thread->stats.parked--;
}

uint32_t kafka_call_charge(struct kafka_call *call, enum quota_kind kind, uint64_t bytes)
{
	const struct kafka_config *config = &call->thread->config;
	uint64_t now_ms = loop_now_ms(call->thread->loop);
	struct quota_charge charge = {
		.client = call->client,
		.kind = kind,
		.rate_bytes = kind == QUOTA_PRODUCE ? config->limits.produce_rate : config->limits.fetch_rate,
		.bytes = bytes,
		.now_ms = now_ms,
		.clients_max = config->limits.quota_clients,
	};
	uint32_t wait_ms;

	if (!call->client || !charge.rate_bytes || kafka_call_is_gone(call))
		return 0;
	wait_ms = kafka_quota_charge(config->quotas, &charge);
	if (now_ms + wait_ms > call->conn->muted_until_ms)
		call->conn->muted_until_ms = now_ms + wait_ms;
	call->thread->stats.throttled_total += wait_ms > 0;
	return wait_ms;
}

/* --- asking --- */

struct kafka_ask *kafka_ask_new(struct kafka_call *call, enum command_kind kind,
				void (*on_answer)(struct kafka_call *call, struct kafka_ask *ask))
{
	struct kafka_ask *ask = kafka_call_alloc(call, sizeof(*ask));

	if (!ask)
		return NULL;
	ask->command.kind = kind;
	ask->command.owner = call;
	ask->command.message.door = DOOR_KAFKA;
	ask->answered = on_answer;
	return ask;
}

void kafka_ask_send(struct kafka_call *call, struct kafka_ask *ask)
{
	call->asking++;
	call->thread->config.send(call->thread->ctx, &ask->command);
}

void kafka_ask_back(struct kafka_ask *ask)
{
	struct kafka_call *call = ask->command.owner;

	call->asking--;
	/* Of a connection that ends with this turn nobody hears any more. */
	if (!kafka_call_is_gone(call) && call->state != CALL_ANSWERED && !(call->conn->flags & CONN_BROKEN))
		ask->answered(call, ask);
	command_answer_deinit(&ask->command);
	if (kafka_call_is_gone(call) && call->asking == 0)
		kafka_call_free(call);
	else
		shed(call);
}

/* --- dispatch --- */

static void refuse(struct kafka_call *call)
{
	struct buf *out = &call->thread->out;

	buf_clear(out);
	kafka_refusal_encode(&call->request, KAFKA_OFFER, out);
	if (out->failed || kafka_chain_append(call->thread, &call->answer, buf_slice(out)))
		kafka_conn_break(call->conn);
	answered(call);
}

/* Those before it that need not wait any longer. */
static void behind(struct kafka_call *call)
{
	list_each_safe (node, &call->conn->calls) {
		struct kafka_call *before = container_of(node, struct kafka_call, siblings);

		if (before->state == CALL_PARKED && before->waits->behind)
			before->waits->behind(before);
	}
}

static int decode(struct kafka_call *call, void **ret_message)
{
	size_t share = (call->frame.len + READ_BYTES) * REQUEST_ROOM_SHARE;
	struct kafka_room room = {&call->arena, share < REQUEST_ROOM_BYTES ? share : REQUEST_ROOM_BYTES};
	void *message = arena_alloc(&call->arena, call->request.api->request->size_bytes);
	int r = message ? kafka_request_decode(&call->request, &room, message) : -ENOMEM;

	*ret_message = message;
	return r;
}

bool kafka_call_may_be_long(const struct kafka_call *call)
{
	struct wire_reader r = wire_reader_of(buf_slice(&call->frame));
	int16_t key = (int16_t)kafka_get_u16(&r), version = (int16_t)kafka_get_u16(&r);
	const struct kafka_api *api = r.failed ? NULL : kafka_api_find(KAFKA_OFFER, key);

	return r.failed || (api && kafka_handler_find(key) && version >= api->first && version <= api->last[KAFKA_OFFER]);
}

void kafka_call_run(struct kafka_call *call)
{
	kafka_handler *handler = NULL;
	void *message = NULL;
	int r = kafka_request_open(buf_slice(&call->frame), KAFKA_OFFER, &call->request);

	call->state = CALL_OPEN;
	behind(call);
	if (r == KAFKA_REQUEST_REFUSE) {
		refuse(call);
		return;
	}
	if (r == 0)
		handler = kafka_handler_find(call->request.api->key);
	if (handler)
		r = decode(call, &message);
	if (r || !handler) {
		kafka_call_broken(call, r);
		kafka_call_close(call);
		return;
	}
	call->thread->stats.requests_total++;
	if (call->thread->config.quotas)
		call->client = kafka_quota_client(call->thread->config.quotas, call->request.client_id);
	handler(call, message);
	shed(call);
}
