#include "journal/window.h"

#include "base/mem.h"
#include "journal/disk.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW_BYTES = 256 * 1024 };

int window_open(struct window *window, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	window->fd = fd;
	window->size = window->end = (uint64_t)st.st_size;
	window->start = 0;
	window->len = 0;
	return 0;
}

void window_deinit(struct window *window)
{
	mem_free(window->bytes);
	*window = (struct window){.fd = -1};
}

int window_get(struct window *window, uint64_t offset, size_t len, struct slice *ret_bytes)
{
	size_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;
	int r;

	if (offset >= window->size) {
		*ret_bytes = (struct slice){"", 0};
		return 0;
	}
	if (len > window->size - offset)
		len = (size_t)(window->size - offset);
	if (offset < window->start || offset - window->start > window->len || window->len - (offset - window->start) < len) {
		if (window->cap < want) {
			char *bytes = mem_realloc(window->bytes, want);

			if (!bytes)
				return -ENOMEM;
			window->bytes = bytes;
			window->cap = want;
		}
		window->len = 0;
		r = disk_read(window->fd, window->bytes, want, offset, &window->len);
		if (r < 0)
			return r;
		window->start = offset;
		if (len > window->len)
			len = window->len;
	}
	*ret_bytes = slice_from(window->bytes + (offset - window->start), len);
	return 0;
}

int window_entry(struct window *window, uint64_t salt, uint64_t base, uint64_t offset, struct entry *ret_entry)
{
	uint64_t room = offset < window->end ? window->end - offset : 0;
	enum entry_verdict verdict;
	struct slice bytes;
	uint32_t length = 0;
	int r = window_get(window, offset, ENTRY_HEADER_BYTES, &bytes);

	if (r < 0)
		return r;
	verdict = entry_peek(bytes, room, base + offset, &length);
	if (verdict != ENTRY_VALID)
		return (int)verdict;
	/* Bytes of a client's may look like the head of a long entry: the body is read when that is no accident. */
	if (length > WINDOW_BYTES) {
		r = window_get(window, offset, ENTRY_HEADER_BYTES + ENTRY_FIELDS_MAX, &bytes);
		verdict = r < 0 ? ENTRY_BAD : entry_peek_fields(bytes, room, salt, base + offset, &length);
		if (r < 0 || verdict != ENTRY_VALID)
			return r < 0 ? r : (int)verdict;
	}
	r = window_get(window, offset, length, &bytes);
	if (r < 0)
		return r;
	return (int)entry_decode(bytes, salt, base + offset, ret_entry);
}

/* How many bytes of zeros `bytes` begins with, rounded down to 8. */
static size_t zeros_ahead(struct slice bytes)
{
	size_t at = 0;
	uint64_t word;

	for (; bytes.len - at >= 8; at += 8) {
		memcpy(&word, bytes.ptr + at, 8);
		if (word)
			break;
	}
	return at;
}

int window_search(struct window *window, const struct window_range *range, uint64_t salt, uint64_t base, struct entry *ret_entry,
		  uint64_t *ret_offset)
{
	uint64_t offset = (range->from + ENTRY_ALIGN_BYTES - 1) & ~(uint64_t)(ENTRY_ALIGN_BYTES - 1);

	while (offset < range->to && offset + ENTRY_HEADER_BYTES <= window->size) {
		struct slice bytes;
		size_t skip;
		int r = window_get(window, offset, ENTRY_HEADER_BYTES, &bytes);

		if (r < 0)
			return r;
		/* Look at all that is there, not only at what was asked for: most of it is zeros. */
		skip = zeros_ahead(slice_from(bytes.ptr, window->len - (size_t)(offset - window->start)));
		if (skip) {
			offset += skip;
			continue;
		}
		r = window_entry(window, salt, base, offset, ret_entry);
		if (r < 0)
			return r;
		if (r == (int)ENTRY_VALID) {
			*ret_offset = offset;
			return 0;
		}
		offset += ENTRY_ALIGN_BYTES;
	}
	return 1;
}

/* Behind the last byte of `bytes` that is not zero. */
static size_t last_byte(struct slice bytes)
{
	size_t len = bytes.len;

	/* All zeros: the first 16 are, and each byte equals the one 16 before it. */
	if (len >= 16 && zeros_ahead(slice_from(bytes.ptr, 16)) == 16 && memcmp(bytes.ptr, bytes.ptr + 16, len - 16) == 0)
		return 0;
	while (len > 0 && bytes.ptr[len - 1] == 0)
		len--;
	return len;
}

int window_last_byte(struct window *window, uint64_t from, uint64_t *ret_end)
{
	uint64_t end = from, offset = from;

	while (offset < window->size) {
		/* Where nothing was ever written there is nothing to read; a file system that does not know says it is all data.
		 */
		off_t data = lseek(window->fd, (off_t)offset, SEEK_DATA);
		struct slice bytes;
		size_t last;
		int r;

		if (data < 0 && errno == ENXIO)
			break;
		if (data > (off_t)offset)
			offset = (uint64_t)data;
		r = window_get(window, offset, WINDOW_BYTES, &bytes);
		if (r < 0)
			return r;
		if (bytes.len == 0)
			break;
		last = last_byte(bytes);
		if (last)
			end = offset + last;
		offset += bytes.len;
	}
	*ret_end = end;
	return 0;
}
