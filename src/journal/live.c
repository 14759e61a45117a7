/* What lives: bodies counted by the file they are in, and files let go when nothing in them lives, the release of the last
 * thing is safe on the disk (a crash before that brings its owner back), and no start will replay them. */
#include "journal/journal_priv.h"

#include "base/mem.h"
#include "journal/blob.h"

static struct blob_record *blob_record_new(struct journal *journal, const struct body_ref *ref)
{
	struct blob_record *record = mem_zalloc(sizeof(*record));

	if (!record)
		return NULL;
	held_init(&record->held, journal, ref->place);
	record->held.blob = true;
	record->held.size_bytes = blob_file_bytes(ref->size_bytes);
	list_init(&record->dying);
	if (hash_insert(&journal->blobs, &record->node, hash_u64(&journal->blob_key, ref->place, 0)) < 0)
		return mem_free(record);
	return record;
}

struct blob_record *blob_find(const struct journal *journal, uint64_t number)
{
	struct hash_node *node = hash_first(&journal->blobs, hash_u64(&journal->blob_key, number, 0));

	for (; node; node = hash_next(&journal->blobs, node)) {
		struct blob_record *record = container_of(node, struct blob_record, node);

		if (record->held.number == number)
			return record;
	}
	return NULL;
}

static void blob_retain(struct journal *journal, const struct body_ref *ref)
{
	struct blob_record *record = blob_find(journal, ref->place);

	if (ref->place >= atomic_load(&journal->blob_next))
		atomic_store(&journal->blob_next, ref->place + 1);
	if (!record)
		record = blob_record_new(journal, ref);
	if (!record) {
		journal->blobs_lost = true;
		return;
	}
	record->refs++;
	list_remove(&record->dying);
}

static void blob_release(struct journal *journal, const struct body_ref *ref)
{
	struct blob_record *record = blob_find(journal, ref->place);

	if (!record) {
		/* While replaying: gone already, or an orphan that is removed at the end. Later: sealed, but never named. */
		if (!journal->recovered || journal->blobs_lost)
			return;
		record = blob_record_new(journal, ref);
		if (!record)
			return; /* an orphan for the next start */
		record->refs = 1;
	}
	if (record->refs == 0 || --record->refs > 0)
		return;
	record->free_after = journal->end;
	list_push_back(&journal->dying, &record->dying);
}

static void reap_want(struct journal *journal, uint64_t position)
{
	if (position < journal->reap_at)
		journal->reap_at = position;
}

void journal_retain(struct store *store, const struct body_ref *ref)
{
	struct journal *journal = container_of(store, struct journal, store);
	struct segment *segment;

	if (ref->kind == BODY_BLOB) {
		blob_retain(journal, ref);
	} else if (ref->kind == BODY_INLINE) {
		segment = segment_find(journal, journal_number(journal, ref->place));
		if (!segment)
			return;
		segment->live_bytes += ref->size_bytes;
		segment->live_count++;
	}
}

void journal_release(struct store *store, const struct body_ref *ref)
{
	struct journal *journal = container_of(store, struct journal, store);
	struct segment *segment;

	if (ref->kind == BODY_BLOB) {
		blob_release(journal, ref);
	} else if (ref->kind == BODY_INLINE) {
		segment = segment_find(journal, journal_number(journal, ref->place));
		/* The state comes from a disk: a release too many is not believed, but it is not worth dying for either. */
		if (!segment || segment->live_count == 0)
			return;
		segment->live_bytes -= ref->size_bytes < segment->live_bytes ? ref->size_bytes : segment->live_bytes;
		if (--segment->live_count > 0)
			return;
		segment->live_bytes = 0;
		segment->free_after = journal->end;
		reap_want(journal, journal->end);
	}
}

static void reap_blobs(struct journal *journal, uint64_t synced)
{
	while (!list_empty(&journal->dying)) {
		struct blob_record *record = list_first(&journal->dying, struct blob_record, dying);

		if (record->free_after > synced)
			break;
		list_remove(&record->dying);
		hash_remove(&journal->blobs, &record->node);
		held_doom(&record->held);
	}
}

static void reap_segments(struct journal *journal, uint64_t synced)
{
	uint64_t limit = journal_number(journal, journal->checkpoint_start);
	uint64_t number = journal->table_first;

	journal->reap_at = UINT64_MAX;
	if (limit > journal->active->held.number)
		limit = journal->active->held.number;
	for (; number < limit; number++) {
		struct segment *segment = segment_find(journal, number);

		if (!segment || segment->live_count > 0)
			continue;
		if (segment->free_after > synced) {
			reap_want(journal, segment->free_after);
			continue;
		}
		segment_table_drop(journal, segment);
		held_doom(&segment->held);
	}
}

void live_reap(struct journal *journal)
{
	uint64_t synced = atomic_load(&journal->synced);

	reap_blobs(journal, synced);
	if (journal->reap_at <= synced)
		reap_segments(journal, synced);
}
