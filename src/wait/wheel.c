/* Time is cut into ticks of 4 ms. An entry lies in the slot `tick % 16384` of the first tick that is not before its deadline, so
 * it is never early and at most a tick late; one that is more than a rotation (65 s) away stays in its slot until its own turn
 * comes.
 *
 *  1. `next_tick` is never later than the first due entry: adding lowers it, advancing finds it anew. Removing leaves it, which
 *     costs at most one idle turn.
 *  2. `earliest[slot]` is never later than any entry of the slot, so slots that hold only far entries are passed over without
 *     touching those.
 *  3. A slot whose bit is clear is empty; a bit may outlive its slot's last entry, until somebody looks.
 *
 * What is due is first gathered in one list and then called: whatever a callback adds or removes, no walk is disturbed. */
#include "wait/wheel.h"

#include "base/mem.h"

enum { TICK_MS = 4, SLOT_COUNT = 16384, WORD_BITS = 64, WORD_COUNT = SLOT_COUNT / WORD_BITS };

#define TICK_NEVER (UINT64_MAX / TICK_MS)

struct wheel {
	struct list due; /* their time has come, not called yet */
	uint64_t tick;   /* everything up to here was gathered */
	uint64_t next_tick;
	uint64_t bits[WORD_COUNT];
	uint64_t earliest[SLOT_COUNT];
	struct list slots[SLOT_COUNT]; /* all zero until first used: untouched pages cost nothing */
};

struct wheel *wheel_new(uint64_t now_ms)
{
	struct wheel *wheel = mem_zalloc(sizeof(*wheel));

	if (!wheel)
		return NULL;
	list_init(&wheel->due);
	wheel->tick = now_ms / TICK_MS;
	wheel->next_tick = TICK_NEVER;
	return wheel;
}

struct wheel *wheel_free(struct wheel *wheel)
{
	return mem_free(wheel);
}

static uint64_t tick_of(uint64_t deadline_ms)
{
	return deadline_ms / TICK_MS + (deadline_ms % TICK_MS != 0);
}

static void wheel_put(struct wheel *wheel, struct wheel_entry *entry, uint64_t tick)
{
	size_t slot = tick % SLOT_COUNT;
	uint64_t bit = (uint64_t)1 << slot % WORD_BITS;
	struct list *head = &wheel->slots[slot];

	if (!head->next)
		list_init(head);
	if (!(wheel->bits[slot / WORD_BITS] & bit) || tick < wheel->earliest[slot])
		wheel->earliest[slot] = tick;
	wheel->bits[slot / WORD_BITS] |= bit;
	list_push_back(head, &entry->node);
}

void wheel_add(struct wheel *wheel, struct wheel_entry *entry)
{
	uint64_t tick = tick_of(entry->deadline_ms);

	if (tick <= wheel->tick) {
		list_push_back(&wheel->due, &entry->node);
		return;
	}
	if (tick < wheel->next_tick)
		wheel->next_tick = tick;
	wheel_put(wheel, entry, tick);
}

void wheel_remove(struct wheel *wheel, struct wheel_entry *entry)
{
	(void)wheel;
	if (!entry->node.next)
		return;
	list_remove(&entry->node);
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
	if (!list_empty(&wheel->due))
		return wheel->tick * TICK_MS;
	return wheel->next_tick == TICK_NEVER ? UINT64_MAX : wheel->next_tick * TICK_MS;
}

/* Moves what is due by `tick` from one slot to the list; keeps the slot's bit and earliest tick true. */
static void gather_slot(struct wheel *wheel, size_t slot, uint64_t tick)
{
	struct list *head = &wheel->slots[slot];
	uint64_t earliest = TICK_NEVER;

	list_each_safe (node, head) {
		struct wheel_entry *entry = container_of(node, struct wheel_entry, node);
		uint64_t due = tick_of(entry->deadline_ms);

		if (due <= tick) {
			list_remove(node);
			list_push_back(&wheel->due, node);
		} else if (due < earliest) {
			earliest = due;
		}
	}
	wheel->earliest[slot] = earliest;
	if (list_empty(head))
		wheel->bits[slot / WORD_BITS] &= ~((uint64_t)1 << slot % WORD_BITS);
}

/* The next tick at or behind `from`, within `count` slots, whose slot has its bit set; SIZE_MAX: none. */
static size_t next_slot(const struct wheel *wheel, uint64_t from, uint64_t count)
{
	uint64_t at = from, end = from + count;

	while (at < end) {
		size_t slot = at % SLOT_COUNT;
		uint64_t word = wheel->bits[slot / WORD_BITS] >> slot % WORD_BITS;

		if (word) {
			at += (uint64_t)__builtin_ctzll(word);
			return at < end ? at : SIZE_MAX;
		}
		at += WORD_BITS - slot % WORD_BITS;
	}
	return SIZE_MAX;
}

/* The first tick at which anything may be due, from the bitmap. */
static uint64_t find_next(struct wheel *wheel)
{
	uint64_t from = wheel->tick + 1, end = from + SLOT_COUNT, far = TICK_NEVER;

	while (from < end) {
		uint64_t tick = next_slot(wheel, from, end - from);
		size_t slot = tick % SLOT_COUNT;

		if (tick == SIZE_MAX)
			break;
		if (list_empty(&wheel->slots[slot]))
			wheel->bits[slot / WORD_BITS] &= ~((uint64_t)1 << slot % WORD_BITS);
		else if (wheel->earliest[slot] <= tick)
			return tick;
		else if (wheel->earliest[slot] < far)
			far = wheel->earliest[slot];
		from = tick + 1;
	}
	return far;
}

static void gather(struct wheel *wheel, uint64_t now_tick)
{
	uint64_t from = wheel->next_tick;
	uint64_t end = now_tick - from < SLOT_COUNT ? now_tick + 1 : from + SLOT_COUNT;

	while (from < end) {
		uint64_t tick = next_slot(wheel, from, end - from);

		if (tick == SIZE_MAX)
			break;
		if (wheel->earliest[tick % SLOT_COUNT] <= now_tick)
			gather_slot(wheel, tick % SLOT_COUNT, now_tick);
		from = tick + 1;
	}
}

bool wheel_advance(struct wheel *wheel, uint64_t now_ms, unsigned limit)
{
	uint64_t now_tick = now_ms / TICK_MS;

	if (now_tick > wheel->tick) {
		if (wheel->next_tick <= now_tick) {
			gather(wheel, now_tick);
			wheel->tick = now_tick;
			wheel->next_tick = find_next(wheel);
		}
		wheel->tick = now_tick;
	}
	while (limit-- && !list_empty(&wheel->due)) {
		struct wheel_entry *entry = container_of(wheel->due.next, struct wheel_entry, node);

		list_remove(&entry->node);
		entry->expired(entry);
	}
	return !list_empty(&wheel->due);
}
