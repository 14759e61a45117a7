/* Appending and committing. An append copies the entry into the batch that is being filled; a commit takes that batch, seals
 * its entries (what `durable` says and the checksums are only known now), writes it and syncs it. Two batches change places,
 * so in steady state nothing is allocated, and a commit is one pwrite and one fdatasync (two each where it crosses into the
 * next segment). */
#include "journal/journal_priv.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/panic.h"
#include "journal/disk.h"

#include <errno.h>
#include <unistd.h>

enum {
	BATCH_FIRST_BYTES = 64 * 1024,
	BATCH_KEEP_BYTES = 1 << 20,     /* a larger one is given back when it is little used */
	BATCH_KEEP_MAX_BYTES = 8 << 20, /* and one larger than this at once */
	BATCH_FIRST_PIECES = 4,
};

void batch_deinit(struct batch *batch)
{
	mem_free(batch->bytes);
	mem_free(batch->pieces);
	*batch = (struct batch){0};
}

/* Room for `len` more bytes and two more pieces. */
static int batch_reserve(struct batch *batch, size_t len)
{
	if (UNLIKELY(batch->cap - batch->len < len)) {
		size_t cap = batch->cap ? batch->cap : BATCH_FIRST_BYTES;
		char *bytes;

		while (cap - batch->len < len)
			cap *= 2;
		bytes = mem_realloc(batch->bytes, cap);
		if (!bytes)
			return -ENOMEM;
		batch->bytes = bytes;
		batch->cap = cap;
	}
	if (UNLIKELY(batch->piece_cap - batch->piece_count < 2)) {
		size_t cap = batch->piece_cap ? batch->piece_cap * 2 : BATCH_FIRST_PIECES;
		struct piece *pieces = mem_realloc(batch->pieces, cap * sizeof(*pieces));

		if (!pieces)
			return -ENOMEM;
		batch->pieces = pieces;
		batch->piece_cap = cap;
	}
	return 0;
}

/* Room at the end for `len` bytes at `position`, which is in the active segment; reserved before. */
static char *batch_extend(struct journal *journal, uint64_t position, size_t len)
{
	struct batch *batch = journal->filling;
	struct piece *piece = batch->piece_count ? &batch->pieces[batch->piece_count - 1] : NULL;
	char *at = batch->bytes + batch->len;

	if (!piece || piece->segment != journal->active) {
		piece = &batch->pieces[batch->piece_count++];
		*piece = (struct piece){
			.segment = journal->active,
			.offset = position % journal->segment_bytes,
			.from = batch->len,
		};
	}
	piece->len += len;
	batch->len += len;
	journal->end = batch->end = position + len;
	return at;
}

/* A closing entry where one fits, then on to the next segment, which is there. */
static void append_switch(struct journal *journal)
{
	uint64_t left = segment_first(journal->active) + journal->segment_bytes - journal->end;

	if (left >= ENTRY_ROOM_MIN_BYTES && left <= journal->segment_bytes - FILE_HEADER_BYTES) {
		static const struct entry closing = {.flags = ENTRY_CLOSE};

		entry_encode(&closing, batch_extend(journal, journal->end, entry_aligned(ENTRY_HEADER_BYTES)));
	}
	journal->active = prepare_take(journal);
	segment_table_put(journal, journal->active);
}

/* Sees to it that an entry of `total` bytes has a place, and says where; changes nothing that is seen outside when it fails. */
static int append_room(struct journal *journal, size_t total, bool reserve, uint64_t *ret_position)
{
	uint64_t place = journal_place(journal, journal->end);
	uint64_t segment_end = segment_first(journal->active) + journal->segment_bytes;
	uint64_t left = place < segment_end ? segment_end - place : 0;
	bool fits = total <= left;
	int r = batch_reserve(journal->filling, total + entry_aligned(ENTRY_HEADER_BYTES));

	if (r < 0)
		return r;
	if (LIKELY(fits && (reserve || left - total >= journal->segment_bytes / 4 || atomic_load(&journal->next)))) {
		*ret_position = place;
		return 0;
	}
	r = prepare_now(journal);
	if (r != 0)
		return r;
	if (!fits) {
		r = segment_table_reserve(journal, journal->active->held.number + 1);
		if (r < 0)
			return r;
		append_switch(journal);
		place = segment_first(journal->active) + FILE_HEADER_BYTES;
	}
	*ret_position = place;
	return 0;
}

int journal_append(struct store *store, const struct store_entry *entry, struct store_appended *ret_appended)
{
	struct journal *journal = container_of(store, struct journal, store);
	size_t total = entry_aligned(ENTRY_HEADER_BYTES + entry->fields.len + entry->body.len);
	struct entry out = {.fields = entry->fields,
			    .body = entry->body,
			    .time_ms = entry->time_ms,
			    .shard = entry->shard,
			    .type = entry->type};
	uint64_t position;
	int r;

	ENSURE(journal->recovered && entry->type != 0);
	if (atomic_load_explicit(&journal->failed, memory_order_relaxed))
		return -EIO;
	if (entry->fields.len > ENTRY_FIELDS_MAX || entry->body.len > store_body_max(store))
		return -EMSGSIZE;
	r = append_room(journal, total, entry->reserve, &position);
	if (r != 0)
		return r;
	if (entry->body.len)
		out.body_crc = crc32c(0, entry->body.ptr, entry->body.len);
	entry_encode(&out, batch_extend(journal, position, total));
	*ret_appended = (struct store_appended){.position = position, .end = position + total};
	if (entry->body.len)
		ret_appended->body = (struct body_ref){.place = position + ENTRY_HEADER_BYTES + entry->fields.len,
						       .size_bytes = entry->body.len,
						       .crc = out.body_crc,
						       .kind = BODY_INLINE};
	return 0;
}

bool journal_commit_begin(struct journal *journal)
{
	if (journal->running)
		return false;
	/* A sync that failed on a thread of the journal's own comes out here, once. */
	if (atomic_load(&journal->failed)) {
		if (journal->failure_told)
			return false;
	} else if (journal->filling->len == 0) {
		return false;
	}
	journal->running = journal->filling;
	journal->filling = &journal->batches[journal->filling == &journal->batches[0]];
	return true;
}

static int piece_write(struct journal *journal, const struct batch *batch, const struct piece *piece, uint64_t durable)
{
	uint64_t position = segment_first(piece->segment) + piece->offset;
	char *at = batch->bytes + piece->from, *end = at + piece->len;
	size_t len = piece->len;
	int fault = faults_write(&journal->faults), r;

	while (at < end) {
		size_t step = entry_seal(at, piece->segment->salt, position, durable);

		at += step;
		position += step;
	}
	segment_claim(piece->segment, piece->offset, piece->offset + piece->len);
	if (fault < 0)
		len /= 2;
	r = disk_write(piece->segment->held.fd, batch->bytes + piece->from, len, piece->offset);
	return r < 0 ? r : fault;
}

static int batch_write(struct journal *journal, const struct batch *batch)
{
	uint64_t durable = atomic_load(&journal->synced);
	int r = 0;

	/* Names first: a closing entry promises that the next segment is there. */
	for (size_t i = 0; i < batch->piece_count && r == 0; i++)
		r = segment_publish(batch->pieces[i].segment);
	for (size_t i = 0; i < batch->piece_count && r == 0; i++)
		r = piece_write(journal, batch, &batch->pieces[i], durable);
	for (size_t i = 0; i < batch->piece_count && r == 0 && journal->sync == JOURNAL_SYNC_ALWAYS; i++)
		r = journal_fdatasync(journal, batch->pieces[i].segment->held.fd);
	return r;
}

/* Of commits alone: what the choice between committing in place and elsewhere rests on. */
static void sync_smooth(struct journal *journal, uint64_t took_ns)
{
	uint64_t smooth = atomic_load(&journal->sync_ns);

	atomic_store(&journal->sync_ns, smooth ? smooth - smooth / 8 + took_ns / 8 : took_ns);
}

void journal_commit_run(struct journal *journal)
{
	uint64_t begin = journal_clock_ns();
	int r = -atomic_load(&journal->failed);

	if (r == 0)
		r = batch_write(journal, journal->running);
	sync_smooth(journal, journal_clock_ns() - begin);
	if (r < 0)
		journal_fail(journal, r);
	journal->run_error = r;
}

int journal_commit_end(struct journal *journal)
{
	struct batch *batch = journal->running;
	uint64_t end = batch->end;
	size_t len = batch->len;

	journal->running = NULL;
	if (batch->cap > BATCH_KEEP_MAX_BYTES || (batch->cap > BATCH_KEEP_BYTES && len < batch->cap / 4)) {
		batch->bytes = mem_free(batch->bytes);
		batch->cap = 0;
	}
	batch->len = 0;
	batch->piece_count = 0;
	if (journal->run_error < 0) {
		if (!journal->failure_told)
			journal_say(journal, "writing the journal failed: %s; what was not acknowledged may be lost",
				    strerror(-journal->run_error));
		journal->failure_told = true;
		return -EIO;
	}
	journal->durable = end;
	if (journal->sync == JOURNAL_SYNC_ALWAYS)
		atomic_store(&journal->synced, end);
	journal->commit_count++;
	journal->commit_bytes += len;
	return 0;
}
