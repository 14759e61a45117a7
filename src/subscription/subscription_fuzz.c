/* Any bytes read as events about subscriptions, one after the other: what is no event, or contradicts what is there, is refused
 * and changes nothing; what is taken leaves a state that is sound.
 *
 * An event is a type (1 byte), how many bytes its fields have (2, little-endian), and these. */
#include "base/wire.h"
#include "subscription/glob.h"
#include "subscription/subscription.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hash_key key = {1, 2};

/* While a checkpoint is replayed an id may be there twice, until the journal tells the end of the earlier one. */
static bool ids_differ(const struct subscriptions *subs)
{
	list_each (node, &subs->all) {
		const struct subscription *subscription = container_of(node, struct subscription, peers);

		for (const struct list *peer = node->next; peer != &subs->all; peer = peer->next) {
			if (slice_eq(subscription->id, container_of(peer, const struct subscription, peers)->id))
				return false;
		}
	}
	return true;
}

static void apply(struct subscriptions *subs, uint8_t type, struct slice fields, uint64_t end)
{
	struct subscription_event e = {.type = (enum subscription_event_type)type, .time_ms = end, .end = end};
	struct subscription_prepared prepared;

	if (subscription_event_decode(&e, fields) || subscriptions_prepare(subs, &e, &prepared))
		return;
	if (fields.len % 8 == 7) { /* as if there had been no room for it in the journal */
		subscriptions_unprepare(&prepared);
		return;
	}
	subscriptions_commit(subs, &e, &prepared);
}

/* What owners do besides. */
static void touch(struct subscriptions *subs, uint64_t n)
{
	struct subscription_link *link = link_first(subs, n);

	if (n % 3 == 0) {
		links_let_go(subs, n);
		return;
	}
	for (; link; link = link_next(subs, link)) {
		link_set_tail(link, n * 3);
		(void)glob_match(link->subscription->pattern, link_path(link));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader r = wire_reader_of(slice_from(data, size));
	struct subscriptions subs;
	uint64_t end = 0;

	if (subscriptions_init(&subs, &key))
		abort();
	while (!r.failed && r.at < r.end && subs.count < 64) {
		uint8_t type = wire_u8(&r);
		struct slice fields = wire_bytes(&r, wire_u16(&r));

		if (r.failed)
			break;
		if (type < SUB_EVENT_FIRST)
			touch(&subs, type);
		else
			apply(&subs, type, fields, end += 8);
		if (ids_differ(&subs))
			subscriptions_check(&subs);
	}
	subscriptions_deinit(&subs);
	return 0;
}
