/* Pins: a reference to the file that a body lies in, so that the file and its bytes stay. What is read of a blob is checked on
 * the way; an inline body is checked as a whole.
 *
 * What is to be sent only, and not looked at, need not be read: `view` checks it in a mapping of its file. The first time that
 * costs about what reading costs, since its pages have to be mapped; from then on a quarter less, with what the sockets take. To
 * send it by sendfile behind the check was slower in all: what it saves the writer its reader pays, who copies what is not near
 * any more.
 *
 * A short body that is pinned while its entry is still in memory, on its way to the disk, is copied into the pin: work that is
 * handed on at once, and results that are waited for, are the usual case, and need not be read back. */
#include "journal/journal_priv.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "journal/blob.h"
#include "journal/disk.h"
#include "journal/mapped.h"

#include <errno.h>

struct pin {
	struct store_pin base; /* first */
	struct held *held;
	uint64_t offset; /* of the first byte, in the file; 0 in a blob */
	bool sized;      /* a blob that has the size it should */
	bool copied;     /* `copy` has all its bytes */
	char copy[];
};

enum {
	PIN_COPY_BYTES = 4096,
	PIN_VIEW_BYTES = 4096, /* less is read for less than it costs to have it mapped */
};

/* Missing, another length, another file: told before the first byte. */
static int pin_check_blob(struct pin *pin, int fd)
{
	struct blob_record *record = container_of(pin->held, struct blob_record, held);

	if (!pin->sized && blob_check_size(fd, &pin->base.ref) < 0)
		return -EIO;
	pin->sized = true;
	if (atomic_load(&record->sums_right))
		return 0;
	if (blob_check_sums(fd, &pin->base.ref) < 0)
		return -EIO;
	atomic_store(&record->sums_right, true);
	return 0;
}

static int pin_read(struct store_pin *base, uint64_t offset, void *out, size_t len)
{
	struct pin *pin = container_of(base, struct pin, base);
	size_t got;
	int fd;

	if (offset > base->ref.size_bytes || len > base->ref.size_bytes - offset)
		return -EIO;
	if (pin->copied) {
		memcpy(out, pin->copy + offset, len);
		return 0;
	}
	fd = held_fd(pin->held);
	if (fd < 0)
		return -EIO;
	if (pin->held->blob) {
		if (pin_check_blob(pin, fd) < 0)
			return -EIO;
		return blob_read(fd, base->ref.size_bytes, offset, out, len);
	}
	if (disk_read(fd, out, len, pin->offset + offset, &got) < 0 || got != len)
		return -EIO;
	return 0;
}

static int pin_read_whole(struct store_pin *base, void *out)
{
	size_t len = (size_t)base->ref.size_bytes;

	if (pin_read(base, 0, out, len) < 0 || crc32c(0, out, len) != base->ref.crc)
		return -EIO;
	return 0;
}

static int pin_file(struct store_pin *base, uint64_t *ret_offset)
{
	struct pin *pin = container_of(base, struct pin, base);
	int fd = pin->held->blob ? -ENOTSUP : held_fd(pin->held);

	if (fd >= 0)
		*ret_offset = pin->offset;
	return fd;
}

static const char *pin_view(struct store_pin *base)
{
	struct pin *pin = container_of(base, struct pin, base);
	const char *bytes;
	uint32_t crc;

	if (pin->held->blob || base->ref.size_bytes < PIN_VIEW_BYTES)
		return NULL;
	bytes = held_map(pin->held);
	if (!bytes || mapped_crc32c(bytes + pin->offset, (size_t)base->ref.size_bytes, &crc) < 0 || crc != base->ref.crc)
		return NULL;
	return bytes + pin->offset;
}

static void pin_unpin(struct store_pin *base)
{
	struct pin *pin = container_of(base, struct pin, base);

	held_unref(pin->held);
	mem_free(pin);
}

static const struct store_pin_ops pin_ops = {
	.read = pin_read, .read_whole = pin_read_whole, .file = pin_file, .view = pin_view, .unpin = pin_unpin};

/* The file that holds it, and where in it; NULL when there is none. */
static struct held *held_find(struct journal *journal, const struct body_ref *ref, uint64_t *ret_offset)
{
	if (ref->kind == BODY_BLOB) {
		struct blob_record *record = blob_find(journal, ref->place);

		*ret_offset = 0;
		return record ? &record->held : NULL;
	}
	if (ref->kind == BODY_INLINE) {
		struct segment *segment = segment_find(journal, journal_number(journal, ref->place));

		*ret_offset = ref->place % journal->segment_bytes;
		if (!segment || ref->size_bytes > journal->segment_bytes - *ret_offset)
			return NULL;
		return &segment->held;
	}
	return NULL;
}

/* The bytes in a batch that is being filled or committed; NULL: they are in none. */
static const char *batch_find(const struct batch *batch, const struct held *held, uint64_t offset, size_t len)
{
	for (size_t i = 0; batch && i < batch->piece_count; i++) {
		const struct piece *piece = &batch->pieces[i];

		if (&piece->segment->held == held && offset >= piece->offset && offset - piece->offset < piece->len &&
		    len <= piece->len - (offset - piece->offset))
			return batch->bytes + piece->from + (offset - piece->offset);
	}
	return NULL;
}

static const char *bytes_in_memory(const struct journal *journal, const struct body_ref *ref, const struct held *held,
				   uint64_t offset)
{
	const char *bytes;

	if (ref->kind != BODY_INLINE || ref->size_bytes > PIN_COPY_BYTES)
		return NULL;
	bytes = batch_find(journal->filling, held, offset, (size_t)ref->size_bytes);
	return bytes ? bytes : batch_find(journal->running, held, offset, (size_t)ref->size_bytes);
}

struct store_pin *journal_pin(struct store *store, const struct body_ref *ref)
{
	struct journal *journal = container_of(store, struct journal, store);
	uint64_t offset = 0;
	struct held *held = held_find(journal, ref, &offset);
	const char *bytes = held ? bytes_in_memory(journal, ref, held, offset) : NULL;
	struct pin *pin;

	if (!held)
		return NULL;
	pin = mem_alloc(sizeof(*pin) + (bytes ? (size_t)ref->size_bytes : 0));
	if (!pin)
		return NULL;
	*pin = (struct pin){.base = {.ops = &pin_ops, .ref = *ref}, .held = held, .offset = offset, .copied = bytes != NULL};
	if (bytes)
		memcpy(pin->copy, bytes, (size_t)ref->size_bytes);
	held_ref(held);
	return &pin->base;
}
