/* Any bytes read as events about groups, one after the other: what is no event, or contradicts what is there, is refused and
 * changes nothing; what is taken leaves a state that is sound.
 *
 * Among them are those of consumers, which may hold no partition twice.
 *
 * An event is a type (1 byte), how many bytes its fields have (2, little-endian), and these. A lower type is a topic that ends:
 * the fields are its name. */
#include "base/panic.h"
#include "base/wire.h"
#include "group/group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hash_key key = {1, 2};

static void apply(struct groups *groups, uint8_t type, struct slice fields, uint64_t end)
{
	struct group_event e = {.type = (enum group_event_type)type, .time_ms = end, .end = end};
	struct group_prepared prepared;

	if (group_event_decode(&e, fields) || groups_prepare(groups, &e, &prepared))
		return;
	if (fields.len % 8 == 7) /* as if there had been no room for it in the journal */
		groups_unprepare(&prepared);
	else
		groups_commit(groups, &e, &prepared);
}

/* While a checkpoint is replayed an id may be there twice, until the journal tells the end of the earlier one. */
static bool ids_differ(const struct groups *groups)
{
	list_each (node, &groups->all) {
		const struct group *group = container_of(node, struct group, peers);

		for (const struct list *peer = node->next; peer != &groups->all; peer = peer->next) {
			if (slice_eq(group_id(group), group_id(container_of(peer, const struct group, peers))))
				return false;
		}
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader r = wire_reader_of(slice_from(data, size));
	struct groups groups;
	uint64_t end = 0;

	ENSURE(groups_init(&groups, &key) == 0);
	while (!r.failed && r.at < r.end && groups.count < 64) {
		uint8_t type = wire_u8(&r);
		struct slice fields = wire_bytes(&r, wire_u16(&r));

		if (r.failed)
			break;
		if (type < GROUP_EVENT_FIRST)
			groups_forget_topic(&groups, fields, end);
		else
			apply(&groups, type, fields, end += 8);
		if (ids_differ(&groups))
			groups_check(&groups);
	}
	groups_deinit(&groups);
	return 0;
}
