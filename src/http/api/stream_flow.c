/* Long bodies of records, for readers at their own pace: a pin that keeps the view they come from, and makes the bytes again as
 * they are asked for. So a reader who stalls costs what the view costs, whatever its answer is long, and pipelined ones no more.
 *
 * What was made last lies in the thread's buffer: the whole body at first, which is all that a reader who takes it at once needs;
 * then one chunk at a time. The bytes are the same each time: a view does not change, nor do the records behind it. */
#include "http/api/stream_priv.h"

#include "base/mem.h"

#include <errno.h>

struct flow {
	struct store_pin pin; /* first */
	struct api_thread *api;
	struct stream_view *view;
	struct stream_part part;
	uint32_t ends[]; /* and behind them the key */
};

static struct flow *flow_of(struct store_pin *pin)
{
	return container_of(pin, struct flow, pin);
}

/* The thread's buffer holds these bytes of the body. */
static bool has(const struct flow *flow, uint64_t at)
{
	const struct made *made = &flow->api->made;

	return made->of == flow && at >= made->from && at - made->from < made->bytes.len - made->skip;
}

/* Makes the bytes of the chunk that `at` lies in. */
static int make(const struct flow *flow, uint64_t at)
{
	struct made *made = &flow->api->made;
	bool array = flow->part.format != FORMAT_VALUES || flow->view->json;
	size_t chunk = 0, count = flow->view->chunk_count;
	uint64_t begin;
	int error;

	while (chunk < count && flow->ends[chunk] <= at)
		chunk++;
	if (chunk == count)
		return -EIO;
	begin = chunk ? flow->ends[chunk - 1] : array;
	buf_clear(&made->bytes);
	made->of = NULL;
	/* An element knows by what stands before it whether a comma comes first. */
	made->skip = array;
	if (array)
		buf_append_char(&made->bytes, begin > 1 ? '0' : '[');
	error = stream_body_chunk(&made->bytes, flow->view, &flow->part, chunk);
	if (error || made->bytes.len - made->skip != flow->ends[chunk] - begin)
		return -EIO;
	made->of = flow;
	made->from = begin;
	return 0;
}

static int flow_read(struct store_pin *pin, uint64_t offset, void *out, size_t len)
{
	const struct flow *flow = flow_of(pin);
	const struct made *made = &flow->api->made;
	uint64_t last = pin->ref.size_bytes - 1;
	bool array = flow->part.format != FORMAT_VALUES || flow->view->json;
	char *to = out;

	while (len) {
		size_t past, part = 1;

		if (array && (offset == 0 || offset == last)) {
			*to = offset ? ']' : '[';
		} else {
			if (!has(flow, offset) && make(flow, offset))
				return -EIO;
			past = made->skip + (size_t)(offset - made->from);
			part = made->bytes.len - past < len ? made->bytes.len - past : len;
			memcpy(to, made->bytes.ptr + past, part);
		}
		to += part;
		offset += part;
		len -= part;
	}
	return 0;
}

static int flow_read_whole(struct store_pin *pin, void *out)
{
	return flow_read(pin, 0, out, (size_t)pin->ref.size_bytes);
}

static void flow_unpin(struct store_pin *pin)
{
	struct flow *flow = flow_of(pin);
	struct made *made = &flow->api->made;

	if (made->of == flow) {
		buf_deinit(&made->bytes);
		made->of = NULL;
	}
	stream_view_unref(flow->view);
	mem_free(flow);
}

struct store_pin *stream_flow(struct api_thread *api, struct stream_view *view, const struct stream_part *part, struct buf *out)
{
	static const struct store_pin_ops ops = {.read = flow_read, .read_whole = flow_read_whole, .unpin = flow_unpin};
	size_t ends_bytes = view->chunk_count * sizeof(uint32_t);
	struct flow *flow = mem_zalloc(sizeof(*flow) + ends_bytes + part->key.len);

	if (!flow)
		return NULL;
	flow->pin.ops = &ops;
	flow->pin.ref = (struct body_ref){.kind = BODY_BLOB, .size_bytes = out->len};
	flow->api = api;
	flow->view = stream_view_ref(view);
	flow->part = *part;
	flow->part.ends = NULL;
	memcpy(flow->ends, part->ends, ends_bytes);
	if (part->key.ptr) {
		char *key = (char *)(flow->ends + view->chunk_count);

		memcpy(key, part->key.ptr, part->key.len);
		flow->part.key.ptr = key;
	}
	buf_deinit(&api->made.bytes);
	api->made = (struct made){.of = flow, .bytes = *out};
	*out = (struct buf){0};
	return &flow->pin;
}
