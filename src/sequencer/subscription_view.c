/* How subscriptions are shown: their tokens and views; and as snapshot events. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>

/* --- what only the secret can make --- */

enum secret_use { USE_TOKEN, USE_TOKEN_TOO, USE_WAKE, USE_JITTER };

static uint64_t secret_of(const struct sequencer *s, const struct subscription *subscription, uint64_t which, enum secret_use use)
{
	uint8_t bytes[24];

	wire_store_u64(bytes, subscription->number);
	wire_store_u64(bytes + 8, which);
	wire_store_u64(bytes + 16, (uint64_t)use);
	return hash_bytes(&s->subscription_key, bytes, sizeof(bytes));
}

uint64_t subscription_jitter(const struct sequencer *s, const struct subscription *subscription, uint64_t attempts)
{
	return secret_of(s, subscription, subscription->generation << 16 ^ attempts, USE_JITTER);
}

static void token_of(const struct sequencer *s, const struct subscription *subscription, uint64_t generation,
		     char ret_token[SUBSCRIPTION_TOKEN_CHARS + 1])
{
	token_format(generation, ret_token);
	token_format(secret_of(s, subscription, generation, USE_TOKEN), ret_token + TOKEN_CHARS);
	token_format(secret_of(s, subscription, generation, USE_TOKEN_TOO), ret_token + (size_t)2 * TOKEN_CHARS);
}

bool subscription_token(const struct sequencer *s, const struct subscription *subscription, struct slice token,
			uint64_t *ret_generation)
{
	char right[SUBSCRIPTION_TOKEN_CHARS + 1];
	unsigned char differ = 0;

	if (token.len != SUBSCRIPTION_TOKEN_CHARS)
		return false;
	*ret_generation = token_parse(slice_from(token.ptr, TOKEN_CHARS));
	token_of(s, subscription, *ret_generation, right);
	for (unsigned i = 0; i < SUBSCRIPTION_TOKEN_CHARS; i++) /* in the same time whichever differs */
		differ |= (unsigned char)(token.ptr[i] ^ right[i]);
	return !differ;
}

void subscription_wake_id(const struct sequencer *s, const struct subscription *subscription, char ret_wake_id[WAKE_ID_CHARS + 1])
{
	ret_wake_id[0] = 'w';
	ret_wake_id[1] = '_';
	token_format(secret_of(s, subscription, subscription->generation, USE_WAKE), ret_wake_id + 2);
}

/* --- views --- */

struct subscription_view *subscription_view_free(struct subscription_view *view)
{
	return mem_free(view);
}

static struct slice put(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static size_t room_bytes(const struct subscription *subscription, size_t holder_bytes)
{
	size_t bytes = sizeof(struct subscription_view) + holder_bytes + subscription->id.len + subscription->pattern.len +
		       subscription->url.len + subscription->origin.len + subscription->wake_stream.len +
		       subscription->description.len;

	list_each (node, &subscription->links)
		bytes += sizeof(struct subscription_stream_view) + container_of(node, struct subscription_link, peers)->path_len;
	return bytes;
}

struct subscription_view *subscription_view_room(const struct subscription *subscription, size_t holder_bytes)
{
	return mem_alloc(room_bytes(subscription, holder_bytes));
}

/* A hook tells what its "done" would ack: that is as it was when the wake began, however often it is told. */
static void fill_stream(struct subscription_stream_view *view, const struct subscription_link *link, enum subscription_view_of of,
			char **at)
{
	uint64_t tail = of == VIEW_HOOK ? link->waked : link->tail;

	*view = (struct subscription_stream_view){
		.path = put(at, link_path(link)),
		.is_explicit = link->flags & LINK_EXPLICIT,
		.number = link->stream,
		.acked_offset = link->acked,
		.tail_offset = tail > link->acked ? tail : link->acked,
		.has_pending = tail > link->acked,
	};
}

void subscription_view_fill(const struct sequencer *s, struct subscription_view *room, const struct subscription *subscription,
			    enum subscription_view_of of)
{
	char *at = (char *)(room->streams + subscription->link_count);

	*room = (struct subscription_view){
		.number = subscription->number,
		.type = (enum subscription_type)subscription->kind,
		.lease_ttl_ms = subscription->lease_ttl_ms,
		.created_ms = subscription->created_ms,
		.generation = subscription->generation,
		.lease_until_ms = subscription->lease_until_ms,
		.attempts = subscription->attempts,
		.next_attempt_ms = subscription->next_attempt_ms,
		.failed = subscription->attempts > 0,
		.in_flight = subscription->flags & SUB_FLIGHT,
	};
	room->id = put(&at, subscription->id);
	room->pattern = put(&at, subscription->pattern);
	room->url = put(&at, subscription->url);
	room->origin = put(&at, subscription->origin);
	room->wake_stream = put(&at, subscription->wake_stream);
	room->description = put(&at, subscription->description);
	room->holder = put(&at, subscription_holder(subscription));
	if (room->in_flight) {
		subscription_wake_id(s, subscription, room->wake_id);
		token_of(s, subscription, subscription->generation, room->token);
	}
	list_each (node, &subscription->links)
		fill_stream(&room->streams[room->stream_count++], container_of(node, struct subscription_link, peers), of, &at);
}

struct subscription_view *subscription_view_new(const struct sequencer *s, const struct subscription *subscription,
						enum subscription_view_of of)
{
	struct subscription_view *view = subscription_view_room(subscription, subscription->holder_len);

	if (view)
		subscription_view_fill(s, view, subscription, of);
	return view;
}

/* --- snapshot --- */

static int snap_put(struct sequencer *s, const struct subscription_event *e, const struct stream_sink *sink)
{
	buf_clear(&s->fields);
	subscription_event_encode(e, &s->fields);
	return s->fields.failed ? -ENOMEM : sink->add(sink->ctx, (uint8_t)e->type, buf_slice(&s->fields));
}

int subscription_snapshot_meta(struct sequencer *s, const struct stream_sink *sink)
{
	return snap_put(s, &(struct subscription_event){.type = SUB_SNAP_META, .next_number = s->subs.next_number}, sink);
}

static int snap_links(struct sequencer *s, const struct subscription *subscription, struct subscription_event *e,
		      const struct stream_sink *sink)
{
	const struct list *node = subscription->links.next;
	struct buf links = {0};
	int r;

	do {
		buf_clear(&links);
		for (; node != &subscription->links && links.len < SUB_LINKS_BYTES; node = node->next) {
			const struct subscription_link *link = container_of(node, const struct subscription_link, peers);

			link_put(&links,
				 &(struct link_item){link->flags, link->stream, link->acked, link->waked, link_path(link)});
		}
		e->links = buf_slice(&links);
		r = links.failed ? -ENOMEM : snap_put(s, e, sink);
		*e = (struct subscription_event){.type = SUB_SNAP_LINKS, .number = subscription->number};
	} while (!r && node != &subscription->links);
	buf_deinit(&links);
	return r;
}

int subscription_snapshot(struct sequencer *s, const struct subscription *subscription, const struct stream_sink *sink)
{
	struct subscription_event e = {
		.type = SUB_SNAP,
		.number = subscription->number,
		.id = subscription->id,
		.kind = subscription->kind,
		.pattern = subscription->pattern,
		.url = subscription->url,
		.origin = subscription->origin,
		.wake_stream = subscription->wake_stream,
		.description = subscription->description,
		.lease_ttl_ms = subscription->lease_ttl_ms,
		.fingerprint = subscription->fingerprint,
		.flags = subscription->flags,
		.generation = subscription->generation,
		.until_ms = subscription->lease_until_ms,
		.holder = subscription_holder(subscription),
		.attempts = subscription->attempts,
		.next_attempt_ms = subscription->next_attempt_ms,
		.created_ms = subscription->created_ms,
		.changed_end = subscription->changed_end,
	};

	return snap_links(s, subscription, &e, sink);
}
