/* Any bytes as a partition's chunk: what is understood of it is compacted. Whatever was sent, what stays is batches, each begins
 * where one did, none has more records, and compacting it again leaves it as it is.
 *
 * The first byte says how far the pass goes, the second how many aborted transactions there are, of 3 bytes each: whose, from
 * where, to where. The rest is the chunk. */
#include "compaction/compaction.h"

#include "base/mem.h"
#include "base/panic.h"
#include "stream/batch.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ABORTED_MAX = 8 };

struct bytes_pin {
	struct store_pin base; /* first */
	struct slice bytes;
};

static int pin_read(struct store_pin *pin, uint64_t offset, void *out, size_t len)
{
	memcpy(out, container_of(pin, struct bytes_pin, base)->bytes.ptr + offset, len);
	return 0;
}

static int pin_read_whole(struct store_pin *pin, void *out)
{
	return pin->ref.size_bytes ? pin_read(pin, 0, out, (size_t)pin->ref.size_bytes) : 0;
}

static void pin_unpin(struct store_pin *pin)
{
	(void)pin;
}

static const struct store_pin_ops ops = {.read = pin_read, .read_whole = pin_read_whole, .unpin = pin_unpin};

struct pass {
	struct slice bytes;
	uint64_t until, now_ms;
	struct aborted aborted[ABORTED_MAX];
	size_t aborted_count;
	struct bytes_pin pins[4]; /* of its steps, two each time it is compacted */
	unsigned pin_count;
};

static struct compact_step *step_of(struct pass *pass, enum compact_phase phase)
{
	struct compact_step *step = mem_zalloc(sizeof(*step) + sizeof(step->chunks[0]));
	struct bytes_pin *pin = &pass->pins[pass->pin_count++];

	ENSURE(step);
	*pin = (struct bytes_pin){{&ops, {.size_bytes = pass->bytes.len, .kind = BODY_INLINE}}, pass->bytes};
	step->phase = phase;
	step->begins = phase == COMPACT_MAP;
	step->until = pass->until;
	step->now_ms = pass->now_ms;
	step->retention_ms = 1000;
	step->keys[0] = (struct hash_key){1, 2};
	step->keys[1] = (struct hash_key){3, 4};
	step->aborted = pass->aborted;
	step->aborted_count = pass->aborted_count;
	step->chunk_count = 1;
	step->chunks[0] = (struct compact_chunk){&pin->base, 0, UINT64_MAX};
	return step;
}

/* NULL: it was not understood. */
static struct compact_step *compact(struct compaction *work, struct pass *pass)
{
	struct compact_step *step = step_of(pass, COMPACT_MAP);

	compaction_run(work, step);
	ENSURE(step->error || step->mapped <= pass->until);
	compact_step_free(step);
	step = step_of(pass, COMPACT_FILTER);
	compaction_run(work, step);
	if (!step->error)
		return step;
	ENSURE(step->error == -EIO || step->error == -ENOMEM);
	compact_step_free(step);
	return NULL;
}

/* The next batch of `before` is that which `after` was made from. */
static void find_origin(struct slice *before, const struct batch_head *after)
{
	struct batch_head head;
	struct slice batch;

	while (batch_cut(before, &batch) == 1) {
		ENSURE(batch_head_read(batch, &head) == 0);
		if (head.base_offset == after->base_offset && head.count == after->count &&
		    head.producer_id == after->producer_id)
			return;
	}
	panic_at(__FILE__, __LINE__, "a batch that was not there");
}

static void check(struct slice before, const struct compact_step *step)
{
	struct slice rest = buf_slice(&step->bytes), batch;
	struct batch_head head;

	ENSURE(step->changed || slice_eq(rest, before) || before.len < BATCH_HEAD_BYTES);
	while (batch_cut(&rest, &batch) == 1) {
		ENSURE(batch_head_read(batch, &head) == 0);
		find_origin(&before, &head);
	}
	ENSURE(rest.len == 0);
}

static void twice(struct compaction *work, struct pass *pass)
{
	struct compact_step *first = compact(work, pass), *second;

	if (!first)
		return;
	if (first->changed)
		check(pass->bytes, first);
	pass->bytes = buf_slice(&first->bytes);
	second = compact(work, pass);
	ENSURE(second && !second->changed && slice_eq(buf_slice(&second->bytes), pass->bytes));
	compact_step_free(second);
	compact_step_free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pass pass = {.now_ms = 5000};
	struct compaction *work;

	if (size < 2)
		return 0;
	pass.until = data[0];
	pass.aborted_count = data[1] % (ABORTED_MAX + 1);
	if (size < 2 + 3 * pass.aborted_count)
		return 0;
	for (size_t i = 0; i < pass.aborted_count; i++)
		pass.aborted[i] = (struct aborted){data[2 + 3 * i], data[3 + 3 * i], data[4 + 3 * i]};
	pass.bytes = slice_from(data + 2 + 3 * pass.aborted_count, size - 2 - 3 * pass.aborted_count);
	work = compaction_new(1 << 16);
	ENSURE(work);
	twice(work, &pass);
	compaction_free(work);
	return 0;
}
