/* Any bytes read as events about streams, one after the other, as a journal or a checkpoint would have them: what is no event, or
 * contradicts what is there, is refused and changes nothing; what is taken leaves a state that is sound once all has been read.
 * What is found in it lies in it, and goes on.
 *
 * An event is a type (1 byte; with 128 it is a checkpoint's, which has no end of its own), how long its body is (2, 0: it has
 * none) and its fields are (2, little-endian), and these. */
#include "base/panic.h"
#include "base/wire.h"
#include "stream/stream.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS_MAX = 64 };

static const struct hash_key key = {1, 2};
static uint64_t retained;

static void op_retain(struct store *store, const struct body_ref *ref)
{
	(void)store;
	ENSURE(ref->kind != BODY_NONE);
	retained++;
}

static void op_release(struct store *store, const struct body_ref *ref)
{
	(void)store;
	ENSURE(ref->kind != BODY_NONE && retained-- > 0);
}

static const struct store_ops ops = {.body_retain = op_retain, .body_release = op_release};

static void apply(struct streams *streams, struct stream_event *e, struct slice fields)
{
	struct stream_prepared prepared;

	if (stream_event_decode(e, fields) ||
	    (e->count && !e->blob.kind && !e->bytes.kind && (e->type != STREAM_COMPACTED || e->kept_count)) ||
	    streams_prepare(streams, e, &prepared))
		return;
	if (fields.len % 16 == 15) /* as if there had been no room for it in the journal */
		streams_unprepare(streams, &prepared);
	else
		streams_commit(streams, e, &prepared);
}

/* From the first record to the last, each behind the one before. */
static uint64_t read_all(const struct stream *stream)
{
	struct chunk_place place;
	uint64_t at = stream_earliest(stream), living = 0;

	while (stream_chunk_from(stream, at, &place)) {
		ENSURE(place.from >= at && place.end > place.from && place.end <= stream->next_offset);
		ENSURE(place.chunk->offset <= place.from && chunk_end(place.chunk) >= place.end);
		at = place.end;
	}
	for (uint32_t i = 0; i < stream->chunk_count; i++)
		living += stream_chunks(stream)[i].kind != BODY_NONE;
	return living;
}

static void look(struct streams *streams)
{
	const struct gather_limits limits = {2, 1000};
	uint64_t living = 0;
	uint32_t first;

	for (struct stream *stream = stream_next_after(streams, 0); stream; stream = stream_next_after(streams, stream->number)) {
		uint64_t point = stream_trim_point(stream, stream->changed_end), tail = stream_offset_before_end(stream, 3);
		uint32_t run = stream_gather_run(stream, &limits, UINT64_MAX, &first);

		living += read_all(stream);
		ENSURE(point >= stream_earliest(stream) && point <= stream->next_offset);
		ENSURE(tail >= stream_earliest(stream) && tail <= stream->next_offset);
		ENSURE(!run || first + run <= stream->chunk_count);
	}
	ENSURE(living == retained);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader r = wire_reader_of(slice_from(data, size));
	struct store store = {.ops = &ops};
	struct streams streams;
	uint64_t end = 0;

	retained = 0;
	if (streams_init(&streams, &store, &key))
		abort();
	while (!r.failed && r.at < r.end && streams.count < STREAMS_MAX) {
		uint8_t type = wire_u8(&r);
		uint16_t body_bytes = wire_u16(&r);
		struct slice fields = wire_bytes(&r, wire_u16(&r));
		struct stream_event e = {.type = (enum stream_event_type)(type & 127)};

		if (r.failed)
			break;
		if (!(type & 128)) {
			end += 8;
			e.time_ms = e.end = end;
			e.position = end - 8;
		}
		if (body_bytes)
			e.bytes = (struct body_ref){end, body_bytes, 0, BODY_INLINE};
		apply(&streams, &e, fields);
	}
	if (streams_replayed(&streams) == 0) {
		streams_check(&streams);
		look(&streams);
	}
	streams_deinit(&streams);
	return 0;
}
