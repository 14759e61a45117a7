/* Jobs on their way to a worker. The sequencer has offered them; it hears whether they came to the worker's socket. While a long
 * body moves, its delivery lease is renewed; a worker that takes nothing loses the offer. */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "base/mem.h"

enum { INLINE_BODY_BYTES = 64 * 1024, INLINE_BODIES_BYTES = 1 << 20, LOOKS_A_LEASE = 3 };

struct delivery {
	struct ask ask; /* COMMAND_DELIVERED */
	struct list peers;
	struct exchange *ex; /* NULL: over */
	struct lease *leases;
	size_t count;
	struct offer *offer; /* in which the leases lie; NULL: they are an array of their own */
	uint64_t left_bytes; /* of the answer, at the last look */
	bool over, delivered;
};

static void leases_free(struct lease *leases, size_t count, struct offer *offer)
{
	if (offer) {
		message_free(&offer->message);
		return;
	}
	for (size_t i = 0; i < count; i++)
		job_view_unref(leases[i].view);
	mem_free(leases);
}

static void delivery_free(struct delivery *delivery)
{
	list_remove(&delivery->peers);
	list_remove(&delivery->ask.peers);
	leases_free(delivery->leases, delivery->count, delivery->offer);
	mem_free(delivery);
}

static void delivery_tell(struct api_thread *api, struct delivery *delivery);

/* The sequencer has heard it. */
static void delivery_told(struct api_thread *api, struct ask *ask)
{
	struct delivery *delivery = container_of(ask, struct delivery, ask);
	bool said_all = !ask->command.in.delivered.goes_on;

	command_answer_deinit(&ask->command);
	ask->own = NULL;
	if (said_all)
		delivery_free(delivery);
	else if (delivery->over)
		delivery_tell(api, delivery);
}

static void delivery_tell(struct api_thread *api, struct delivery *delivery)
{
	if (delivery->ask.own)
		return; /* what was said before is still on its way; the end follows it */
	delivery->ask.command.kind = COMMAND_DELIVERED;
	delivery->ask.command.in.delivered = (struct delivered_in){
		.leases = delivery->leases,
		.count = delivery->count,
		.delivered = delivery->delivered,
		.goes_on = !delivery->over,
	};
	delivery->ask.own = delivery_told;
	ask_send_own(api, &delivery->ask);
}

static struct delivery *delivery_new(struct exchange *ex, struct lease *leases, size_t count, struct offer *offer)
{
	struct delivery *delivery = mem_zalloc(sizeof(*delivery));

	if (!delivery) {
		/* Nobody says anything of them, and the delivery lease brings them back. */
		leases_free(leases, count, offer);
		return NULL;
	}
	list_init(&delivery->peers);
	list_init(&delivery->ask.peers);
	delivery->ex = ex;
	delivery->leases = leases;
	delivery->count = count;
	delivery->offer = offer;
	return delivery;
}

static void delivery_end(struct api_thread *api, struct delivery *delivery, bool delivered)
{
	delivery->over = true;
	delivery->delivered = delivered;
	delivery->ex = NULL;
	list_remove(&delivery->peers);
	list_push_back(&api->deliveries_over, &delivery->peers);
	if (api->looking && list_empty(&api->deliveries)) {
		api->looking = false; /* nothing to look at: a silent server does not wake for it */
		wheel_remove(api->wheel, &api->look);
	}
	delivery_tell(api, delivery);
}

void delivery_lost(struct api_thread *api, struct lease *leases, size_t count, struct offer *offer)
{
	struct delivery *delivery = delivery_new(NULL, leases, count, offer);

	if (delivery)
		delivery_end(api, delivery, false);
}

void delivery_ended(struct exchange *ex, bool delivered)
{
	struct call *call = call_of(ex);

	call->flags &= (uint8_t)~CALL_DELIVERY;
	delivery_end(api_of(ex), call->delivery, delivered);
	call->delivery = NULL;
}

void deliveries_free(struct api_thread *api)
{
	list_each_safe (node, &api->deliveries)
		delivery_free(container_of(node, struct delivery, peers));
	list_each_safe (node, &api->deliveries_over)
		delivery_free(container_of(node, struct delivery, peers));
}

/* --- the answer --- */

static void headers_json(struct buf *out, const struct job_view *view)
{
	json_key(out, "headers");
	json_open(out, '{');
	json_key(out, "Job-Priority");
	buf_printf(out, "\"%u\"", view->priority);
	json_key(out, "Job-Max-Attempts");
	buf_printf(out, "\"%u\"", view->max_attempts);
	if (view->name.len) {
		json_key(out, "name");
		json_str(out, view->name);
	}
	json_key(out, "created");
	json_time(out, view->created_ms);
	json_close(out, '}');
}

/* The body itself while it is short, and while the answer is not long already; else where to fetch it. */
static void body_json(struct buf *out, const struct job_view *view)
{
	struct store_pin *pin = view->pin;
	struct buf bytes = {0};
	char *at;

	if (view->body.size_bytes <= INLINE_BODY_BYTES && out->len <= INLINE_BODIES_BYTES) {
		at = buf_reserve(&bytes, (size_t)view->body.size_bytes + 1);
		if (at &&
		    (view->body.kind == BODY_NONE || (pin && pin->ref.kind == BODY_INLINE && !pin->ops->read_whole(pin, at)))) {
			json_key(out, "body_base64");
			json_base64(out, slice_from(at, (size_t)view->body.size_bytes));
			buf_deinit(&bytes);
			return;
		}
		buf_deinit(&bytes);
	}
	json_key(out, "body_url");
	job_url_json(out, view, "/body");
}

static void lease_json(struct buf *out, const struct lease *lease)
{
	const struct job_view *view = lease->view;

	json_open(out, '{');
	json_key(out, "id");
	json_str(out, slice_from(view->handle, JOB_HANDLE_CHARS));
	json_key(out, "queue");
	json_str(out, view->queue);
	json_key(out, "token");
	json_str(out, slice_str(lease->token));
	json_key(out, "attempt");
	json_u64(out, lease->attempt);
	json_key(out, "deadline");
	json_time(out, lease->deadline_ms);
	json_key(out, "content_type");
	if (view->content_type.len)
		json_str(out, view->content_type);
	else
		json_nil(out);
	json_key(out, "size");
	json_u64(out, view->body.size_bytes);
	headers_json(out, view);
	body_json(out, view);
	json_close(out, '}');
}

static void reply_many(struct reply *reply, struct buf *out, const struct delivery *delivery)
{
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "jobs");
	json_open(out, '[');
	for (size_t i = 0; i < delivery->count; i++)
		lease_json(out, &delivery->leases[i]);
	json_close(out, ']');
	json_close(out, '}');
	reply_json(reply, out);
}

static void reply_one(struct reply *reply, const struct lease *lease)
{
	struct job_view *view = lease->view;
	struct store_pin *pin = view->pin;

	reply->answer.content_type = view->content_type;
	reply_header_fmt(reply, SLICE("Job-Id"), "%.*s", JOB_HANDLE_CHARS, view->handle);
	reply_header(reply, SLICE("Job-Queue"), view->queue);
	reply_header(reply, SLICE("Job-Token"), slice_str(lease->token));
	reply_header_fmt(reply, SLICE("Job-Attempt"), "%u", lease->attempt);
	reply_header_time(reply, SLICE("Job-Deadline"), lease->deadline_ms);
	if (view->name.len)
		reply_header(reply, SLICE("Job-Name"), view->name);
	if (pin) {
		view->pin = NULL;
		reply->answer.pin = pin;
		reply->answer.range_bytes = pin->ref.size_bytes;
	}
}

/* --- while it is on its way --- */

static void look_later(struct api_thread *api, struct http_thread *thread)
{
	uint64_t every_ms = api->config.delivery_lease_ms / LOOKS_A_LEASE;

	api->looking = true;
	api->wheel = http_thread_wheel(thread);
	api->look.deadline_ms = http_thread_now_ms(thread) + (every_ms ? every_ms : 1);
	wheel_add(api->wheel, &api->look);
}

void deliveries_look(struct wheel_entry *entry)
{
	struct api_thread *api = container_of(entry, struct api_thread, look);

	api->looking = false;
	list_each (node, &api->deliveries) {
		struct delivery *delivery = container_of(node, struct delivery, peers);
		uint64_t left_bytes = exchange_left_bytes(delivery->ex);

		if (left_bytes < delivery->left_bytes)
			delivery_tell(api, delivery);
		delivery->left_bytes = left_bytes;
	}
	if (!list_empty(&api->deliveries))
		look_later(api, exchange_thread(list_first(&api->deliveries, struct delivery, peers)->ex));
}

void delivery_begin(struct exchange *ex, struct lease *leases, size_t count, struct offer *offer)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	struct delivery *delivery = delivery_new(ex, leases, count, offer);
	struct reply reply;

	if (!delivery) {
		call_no_memory(ex);
		return;
	}
	reply_init(&reply, 200);
	reply_wait(&reply, call->waiter.told_s);
	if (call->flags & CALL_JSON)
		reply_many(&reply, &api->out, delivery);
	else
		reply_one(&reply, &leases[0]);
	if (call->flags & CALL_JSON && api->out.failed) {
		call_no_memory(ex);
		delivery_end(api, delivery, false);
		return;
	}
	reply.answer.flags |= EXCHANGE_TELL;
	call->flags |= CALL_DELIVERY;
	call->delivery = delivery;
	list_push_back(&api->deliveries, &delivery->peers);
	reply_send(ex, &reply, NULL);
	/* The bytes are the answer's by now. */
	for (size_t i = 0; i < count; i++)
		leases[i].view = job_view_unref(leases[i].view);
	delivery->left_bytes = exchange_left_bytes(ex);
	if (!api->looking)
		look_later(api, exchange_thread(ex));
}
