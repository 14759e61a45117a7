#include "journal/fault.h"

#include "base/text.h"

#include <errno.h>
#include <time.h>

/* "N" or "N-M", counted from 1. */
static int parse_range(struct slice s, uint64_t *ret_from, uint64_t *ret_to)
{
	struct slice from = slice_cut(&s, '-');
	uint64_t a, b;

	if (slice_u64(from, &a) < 0 || a == 0)
		return -EINVAL;
	b = a;
	if (s.len && (slice_u64(s, &b) < 0 || b < a))
		return -EINVAL;
	*ret_from = a;
	*ret_to = b;
	return 0;
}

static int parse_at(struct slice s, uint64_t *ret_at)
{
	uint64_t to;

	if (parse_range(s, ret_at, &to) < 0 || to != *ret_at)
		return -EINVAL;
	return 0;
}

static int parse_sync_fail(struct slice s, struct faults *f)
{
	return parse_at(s, &f->sync_fail_at);
}

static int parse_sync_delay(struct slice s, struct faults *f)
{
	return text_duration_ms(s, &f->sync_delay_ms);
}

static int parse_write_enospc(struct slice s, struct faults *f)
{
	return parse_range(s, &f->space_from, &f->space_to);
}

static int parse_write_short(struct slice s, struct faults *f)
{
	return parse_at(s, &f->short_at);
}

static int parse_alloc_fail(struct slice s, struct faults *f)
{
	return parse_at(s, &f->alloc_fail_at);
}

static const struct {
	const char *name;
	int (*parse)(struct slice value, struct faults *faults);
} fault_points[] = {
	{"sync:fail@", parse_sync_fail},     {"sync:delay=", parse_sync_delay}, {"write:enospc@", parse_write_enospc},
	{"write:short@", parse_write_short}, {"alloc:fail@", parse_alloc_fail},
};

static int parse_item(struct slice item, struct faults *faults)
{
	for (size_t i = 0; i < ARRAY_COUNT(fault_points); i++) {
		struct slice name = slice_str(fault_points[i].name);

		if (slice_starts_with(item, name))
			return fault_points[i].parse(slice_from(item.ptr + name.len, item.len - name.len), faults);
	}
	return -EINVAL;
}

int faults_parse(struct slice text, struct faults *faults, struct slice *ret_bad)
{
	while (text.len) {
		struct slice item = slice_trim(slice_cut(&text, ','));

		if (item.len && parse_item(item, faults) < 0) {
			*ret_bad = item;
			return -EINVAL;
		}
	}
	return 0;
}

static uint64_t count(_Atomic uint64_t *counter)
{
	return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
}

int faults_sync(struct faults *faults)
{
	if (faults->sync_delay_ms) {
		struct timespec delay = {(time_t)(faults->sync_delay_ms / 1000), (long)(faults->sync_delay_ms % 1000) * 1000000};

		while (nanosleep(&delay, &delay) < 0 && errno == EINTR)
			;
	}
	return count(&faults->sync_count) == faults->sync_fail_at ? -EIO : 0;
}

int faults_space(struct faults *faults)
{
	uint64_t n = count(&faults->space_count);

	return faults->space_from && n >= faults->space_from && n <= faults->space_to ? -ENOSPC : 0;
}

int faults_write(struct faults *faults)
{
	return count(&faults->write_count) == faults->short_at ? -EIO : 0;
}
