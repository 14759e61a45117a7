/* The segments that a start finds. */
#include "journal/journal_priv.h"

#include "base/mem.h"
#include "journal/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct listing {
	struct journal *journal;
	uint64_t *positions; /* of the first bytes, as the names say */
	size_t count, cap;
};

static int list_name(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	uint64_t position;

	if (disk_name_parse(name, ".seg.new", &position)) {
		/* Never had anything in it. */
		unlinkat(listing->journal->segments_fd, name, 0);
		return 0;
	}
	if (!disk_name_parse(name, ".seg", &position))
		return 0;
	if (listing->count == listing->cap) {
		size_t cap = listing->cap ? 2 * listing->cap : 64;
		uint64_t *positions = mem_realloc(listing->positions, cap * sizeof(*positions));

		if (!positions)
			return -ENOMEM;
		listing->positions = positions;
		listing->cap = cap;
	}
	listing->positions[listing->count++] = position;
	return 0;
}

static int compare_positions(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static int read_header(struct journal *journal, const char *name, struct file_header *ret_header)
{
	char bytes[FILE_HEADER_BYTES];
	size_t len;
	int fd = openat(journal->segments_fd, name, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = disk_read(fd, bytes, sizeof(bytes), 0, &len);
	close(fd);
	if (r < 0)
		return r;
	return file_header_decode(slice_from(bytes, len), FILE_SEGMENT, ret_header);
}

/* A segment whose header is not sound: refused, or with --salvage put aside. */
static int load_bad(struct journal *journal, uint64_t position, const char *name)
{
	char aside[JOURNAL_NAME_BYTES];

	if (!journal->salvage) {
		journal_say(journal, "journal/%s: corrupt header at offset 0, position %" PRIu64, name, position);
		return JOURNAL_CORRUPT;
	}
	segment_name(position, ".bad", aside);
	if (renameat(journal->segments_fd, name, journal->segments_fd, aside) < 0)
		return -errno;
	journal_say(journal, "salvage: journal/%s has a corrupt header; all in it is lost; the file is kept as %s", name, aside);
	journal->checkpoint_forced = true;
	return 0;
}

static int load_one(struct journal *journal, uint64_t position, bool *first)
{
	char name[JOURNAL_NAME_BYTES];
	struct file_header header;
	struct segment *segment;
	int r;

	segment_name(position, "", name);
	r = read_header(journal, name, &header);
	if (r < 0)
		return r;
	if (r == FILE_HEADER_VERSION) {
		journal_say(journal, "journal/%s was made by a later version of this program", name);
		return JOURNAL_VERSION;
	}
	if (r == 0 && *first && header.segment_bytes >= JOURNAL_SEGMENT_MIN && header.segment_bytes <= JOURNAL_SEGMENT_MAX &&
	    header.segment_bytes % 4096 == 0) {
		if (header.segment_bytes != journal->segment_bytes)
			journal_say(journal,
				    "segments here have %" PRIu64 " bytes, not %" PRIu64 " as configured, and will go on so",
				    header.segment_bytes, journal->segment_bytes);
		journal_set_segment(journal, header.segment_bytes);
		*first = false;
	}
	if (r != 0 || header.segment_bytes != journal->segment_bytes || header.position != position ||
	    position % header.segment_bytes != 0)
		return load_bad(journal, position, name);
	r = segment_table_reserve(journal, journal_number(journal, position));
	segment = r == 0 ? segment_new(journal, journal_number(journal, position)) : NULL;
	if (!segment)
		return -ENOMEM;
	segment->salt = header.salt;
	atomic_store(&segment->published, true);
	segment_table_put(journal, segment);
	return 0;
}

int segments_load(struct journal *journal)
{
	struct listing listing = {.journal = journal};
	bool first = true;
	int r = disk_list(journal->segments_fd, list_name, &listing);

	if (r == 0 && listing.count)
		qsort(listing.positions, listing.count, sizeof(*listing.positions), compare_positions);
	for (size_t i = 0; r == 0 && i < listing.count; i++)
		r = load_one(journal, listing.positions[i], &first);
	mem_free(listing.positions);
	return r;
}
