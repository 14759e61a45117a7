/* What the tidier asks: which segment is best worth emptying, and what stands in it. */
#include "journal/journal_priv.h"

#include "journal/window.h"

#include <errno.h>

void tidy_again(struct journal *journal)
{
	for (size_t i = 0; i < journal->table_count; i++)
		if (journal->table[i])
			journal->table[i]->walked = false;
}

bool journal_victim(struct journal *journal, uint64_t *ret_position)
{
	uint64_t limit = journal_number(journal, journal->checkpoint_start);
	struct segment *worst = NULL;

	if (limit > journal->active->held.number)
		limit = journal->active->held.number;
	/* Rescuing takes room before it gives any. */
	if (atomic_load(&journal->full))
		return false;
	for (uint64_t number = journal->table_first; number < limit; number++) {
		struct segment *segment = segment_find(journal, number);

		/* What is given back is the whole of it, so that is what its living bytes are held against. */
		if (!segment || segment->walked || segment->live_count == 0 || segment->live_bytes >= journal->segment_bytes / 2)
			continue;
		if (!worst || segment->live_bytes < worst->live_bytes)
			worst = segment;
	}
	if (!worst)
		return false;
	worst->walked = true;
	*ret_position = segment_first(worst) + FILE_HEADER_BYTES;
	return true;
}

static void walk_entry(const struct entry *entry, uint64_t position, void (*each)(void *, const struct store_replay *), void *ctx)
{
	struct store_replay out = {
		.position = position,
		.end = position + entry_aligned(entry->length),
		.body_place = position + ENTRY_HEADER_BYTES + entry->fields.len,
		.body_bytes = entry->body.len,
		.body_crc = entry->body_crc,
		.time_ms = entry->time_ms,
		.fields = entry->fields,
		.type = entry->type,
		.shard = entry->shard,
	};

	each(ctx, &out);
}

/* Reads on from *position. 1 = the limit is reached, 0 = the end of the segment, -errno. */
static int walk_segment(const struct segment *segment, struct window *window, uint64_t *position, size_t limit_bytes,
			void (*each)(void *ctx, const struct store_replay *entry), void *ctx)
{
	uint64_t base = segment_first(segment), end = base + segment->held.journal->segment_bytes, from = *position;

	while (*position - from < limit_bytes) {
		struct entry entry;
		uint64_t next;
		int r;

		if (*position >= end)
			return 0;
		r = window_entry(window, segment->salt, base, *position - base, &entry);
		if (r < 0)
			return r;
		if (r != (int)ENTRY_VALID) {
			/* The end, or a hole that a salvage went over; bodies behind it live on where they are. */
			return r == (int)ENTRY_NONE ? 0 : -EIO;
		}
		next = *position + entry_aligned(entry.length);
		if (entry.flags & ENTRY_CLOSE)
			return 0;
		walk_entry(&entry, *position, each, ctx);
		*position = next;
	}
	return 1;
}

int journal_walk(struct journal *journal, uint64_t *position, size_t limit_bytes,
		 void (*each)(void *ctx, const struct store_replay *entry), void *ctx)
{
	struct segment *segment = segment_find(journal, journal_number(journal, *position));
	struct window window = {.fd = -1};
	int fd, r;

	/* Gone already: everything in it died while it was walked. */
	if (!segment)
		return 0;
	if (segment == journal->active || *position - segment_first(segment) < FILE_HEADER_BYTES)
		return -EIO;
	/* `each` may let the last thing in it go. */
	held_ref(&segment->held);
	fd = held_fd(&segment->held);
	r = fd < 0 ? fd : window_open(&window, fd);
	if (r == 0)
		r = walk_segment(segment, &window, position, limit_bytes, each, ctx);
	window_deinit(&window);
	held_unref(&segment->held);
	return r < 0 ? -EIO : r;
}
