/* A batch is a head of 61 bytes, big-endian, and the records behind it:
 *
 *      0  i64  base offset
 *      8  i32  length of all that follows this field
 *     12  i32  partition leader epoch
 *     16  i8   magic, 2
 *     17  u32  CRC-32C of all that follows this field
 *     21  i16  attributes: bits 0-2 compression, 3 time of the append, 4 transactional, 5 control, 6 delete horizon
 *     23  i32  last offset delta
 *     27  i64  base timestamp
 *     35  i64  max timestamp
 *     43  i64  producer id, -1: none
 *     51  i16  producer epoch
 *     53  i32  base sequence
 *     57  i32  number of records
 *
 *     record   varint length of what follows; i8 attributes, unused; varint timestamp delta; varint offset delta;
 *              key and value: varint length, -1: none, and the bytes; varint number of headers
 *     header   key: varint length and the bytes; value: the same, -1: none
 *
 * Varints are those of Protocol Buffers, zigzag: 32 bits wide in up to 5 bytes, but the timestamp delta, 64 in up to 10. They
 * need not be of the shortest form, as Kafka's need not. The offset deltas count from 0 in every batch that a producer makes; of
 * a compacted one records may be missing, while base offset and last offset delta stay. With bit 6 the base timestamp is the time
 * from which on null values, or the marker that it is, may go. */
#include "stream/batch_priv.h"

#include "base/crc32c.h"
#include "base/panic.h"

#include <errno.h>

static size_t field_bytes(struct slice s)
{
	return s.ptr ? varint_bytes((int64_t)s.len) + s.len : 1;
}

static char *put_field(char *at, struct slice s)
{
	if (!s.ptr)
		return put_varint(at, -1);
	at = put_varint(at, (int64_t)s.len);
	if (s.len)
		memcpy(at, s.ptr, s.len);
	return at + s.len;
}

/* Without its own length. */
static size_t record_bytes(const struct batch_record *record, size_t delta)
{
	return 2 + varint_bytes((int64_t)delta) + field_bytes(record->key) + field_bytes(record->value) + 1;
}

static char *put_record(char *at, const struct batch_record *record, size_t delta)
{
	at = put_varint(at, (int64_t)record_bytes(record, delta));
	*at++ = 0;              /* attributes */
	at = put_varint(at, 0); /* timestamp delta */
	at = put_varint(at, (int64_t)delta);
	at = put_field(at, record->key);
	at = put_field(at, record->value);
	return put_varint(at, 0); /* headers */
}

/* All of it; 0 when that is more than a batch can be. */
static size_t batch_bytes(const struct batch_record *records, size_t count)
{
	size_t total = BATCH_HEAD_BYTES;

	for (size_t i = 0; i < count; i++) {
		size_t len;

		if (records[i].key.len > INT32_MAX || records[i].value.len > INT32_MAX)
			return 0;
		len = record_bytes(&records[i], i);
		total += varint_bytes((int64_t)len) + len;
		if (total > INT32_MAX)
			return 0;
	}
	return total;
}

void batch_encode(struct buf *out, uint64_t time_ms, const struct batch_record *records, size_t count)
{
	size_t total;
	char *head, *at;

	ENSURE(count >= 1 && count <= INT32_MAX);
	total = batch_bytes(records, count);
	if (total == 0)
		out->failed = true;
	head = buf_reserve(out, total);
	if (!head)
		return;
	memset(head, 0, BATCH_HEAD_BYTES);
	put_u32(head + AT_LENGTH, (uint32_t)(total - AT_EPOCH));
	head[AT_MAGIC] = MAGIC;
	put_u32(head + AT_LAST_DELTA, (uint32_t)(count - 1));
	put_u64(head + AT_BASE_TIME, time_ms);
	put_u64(head + AT_MAX_TIME, time_ms);
	memset(head + AT_PRODUCER_ID, 0xff, AT_COUNT - AT_PRODUCER_ID); /* id, epoch and sequence are -1 */
	put_u32(head + AT_COUNT, (uint32_t)count);
	at = head + BATCH_HEAD_BYTES;
	for (size_t i = 0; i < count; i++)
		at = put_record(at, &records[i], i);
	ENSURE(at == head + total);
	put_u32(head + AT_CRC, crc32c(0, head + AT_ATTRIBUTES, total - AT_ATTRIBUTES));
	out->len += total;
}

void batch_set_base(char *batch, uint64_t base_offset)
{
	put_u64(batch, base_offset);
}

void batch_set_epoch(char *batch, uint32_t epoch)
{
	put_u32(batch + AT_EPOCH, epoch);
}

void batch_set_append_time(char *batch, size_t len, uint64_t time_ms)
{
	batch[AT_ATTRIBUTES + 1] = (char)(batch[AT_ATTRIBUTES + 1] | APPEND_TIME);
	put_u64(batch + AT_MAX_TIME, time_ms);
	put_u32(batch + AT_CRC, crc32c(0, batch + AT_ATTRIBUTES, len - AT_ATTRIBUTES));
}

void batch_set_plain(char *batch, size_t len)
{
	batch[AT_ATTRIBUTES + 1] = (char)(batch[AT_ATTRIBUTES + 1] & ~COMPRESSION);
	put_u32(batch + AT_LENGTH, (uint32_t)(len - AT_EPOCH));
}

void batch_encode_marker(struct buf *out, uint64_t time_ms, const struct batch_marker *marker)
{
	const char key[] = {0, 0, 0, marker->commit}, value[6] = {0}; /* version and type; version and coordinator's epoch */
	size_t before = out->len;
	char *head;

	batch_encode(out, time_ms, &(struct batch_record){slice_from(key, sizeof(key)), slice_from(value, sizeof(value))}, 1);
	if (out->failed)
		return;
	head = out->ptr + before;
	head[AT_ATTRIBUTES + 1] = TRANSACTIONAL | CONTROL;
	put_u64(head + AT_PRODUCER_ID, (uint64_t)marker->producer_id);
	head[AT_PRODUCER_EPOCH] = (char)((uint16_t)marker->producer_epoch >> 8);
	head[AT_PRODUCER_EPOCH + 1] = (char)(marker->producer_epoch & 0xff);
	put_u32(head + AT_CRC, crc32c(0, head + AT_ATTRIBUTES, out->len - before - AT_ATTRIBUTES));
}

int batch_head_read(struct slice bytes, struct batch_head *ret_head)
{
	const char *head = bytes.ptr;
	unsigned attributes;

	if (bytes.len < BATCH_HEAD_BYTES || bytes.len > INT32_MAX || head[AT_MAGIC] != MAGIC ||
	    get_u32(head + AT_LENGTH) != bytes.len - AT_EPOCH || get_u32(head + AT_LAST_DELTA) >= INT32_MAX)
		return -EBADMSG;
	attributes = (uint8_t)head[AT_ATTRIBUTES + 1];
	*ret_head = (struct batch_head){
		.base_offset = get_u64(head),
		.count = get_u32(head + AT_LAST_DELTA) + 1,
		.compression = attributes & COMPRESSION,
		.append_time = attributes & APPEND_TIME,
		.transactional = attributes & TRANSACTIONAL,
		.control = attributes & CONTROL,
		.max_time_ms = (int64_t)get_u64(head + AT_MAX_TIME),
		.horizon_ms = attributes & HORIZON ? (int64_t)get_u64(head + AT_BASE_TIME) : -1,
		.producer_id = (int64_t)get_u64(head + AT_PRODUCER_ID),
		.producer_epoch = (int16_t)(get_u32(head + AT_PRODUCER_EPOCH) >> 16),
		.base_sequence = (int32_t)get_u32(head + AT_BASE_SEQUENCE),
	};
	return 0;
}

int batch_cut(struct slice *bytes, struct slice *ret_batch)
{
	uint64_t len;

	if (!bytes->len)
		return 0;
	if (bytes->len < BATCH_HEAD_BYTES)
		return -EBADMSG;
	len = (uint64_t)get_u32(bytes->ptr + AT_LENGTH) + AT_EPOCH;
	if (len < BATCH_HEAD_BYTES || len > bytes->len)
		return -EBADMSG;
	*ret_batch = slice_from(bytes->ptr, (size_t)len);
	*bytes = slice_from(bytes->ptr + len, bytes->len - (size_t)len);
	return 1;
}

int batch_open_unpacked(struct batch_reader *reader, struct slice head_bytes, struct slice records)
{
	const char *head = head_bytes.ptr;
	uint32_t count, last_delta;
	uint64_t time_ms;

	if (head_bytes.len < BATCH_HEAD_BYTES || head[AT_MAGIC] != MAGIC)
		return -EBADMSG;
	count = get_u32(head + AT_COUNT);
	last_delta = get_u32(head + AT_LAST_DELTA);
	if (count == 0 || count > records.len / RECORD_BYTES_MIN || last_delta >= INT32_MAX || last_delta < count - 1)
		return -EBADMSG;
	time_ms = get_u64(head + (head[AT_ATTRIBUTES + 1] & APPEND_TIME ? AT_MAX_TIME : AT_BASE_TIME));
	if (get_u64(head) > INT64_MAX - (uint64_t)last_delta - 1)
		return -EBADMSG;
	*reader = (struct batch_reader){
		.rest = records,
		.base_offset = get_u64(head),
		.time_ms = time_ms <= INT64_MAX ? time_ms : 0, /* -1: it has none */
		.append_time = head[AT_ATTRIBUTES + 1] & APPEND_TIME,
		.count = count,
		.left = count,
		.last_delta = last_delta,
	};
	if (head[AT_ATTRIBUTES + 1] & CONTROL) {
		reader->rest.len = 0;
		reader->left = 0;
	}
	return 0;
}

int batch_open_checked(struct batch_reader *reader, struct slice bytes)
{
	const char *head = bytes.ptr;

	if (bytes.len < BATCH_HEAD_BYTES || bytes.len > INT32_MAX || get_u32(head + AT_LENGTH) != bytes.len - AT_EPOCH ||
	    head[AT_ATTRIBUTES + 1] & COMPRESSION)
		return -EBADMSG;
	return batch_open_unpacked(reader, slice_from(head, BATCH_HEAD_BYTES),
				   slice_from(head + BATCH_HEAD_BYTES, bytes.len - BATCH_HEAD_BYTES));
}

int batch_open(struct batch_reader *reader, struct slice bytes)
{
	if (bytes.len < BATCH_HEAD_BYTES || bytes.len > INT32_MAX ||
	    get_u32(bytes.ptr + AT_CRC) != crc32c(0, bytes.ptr + AT_ATTRIBUTES, bytes.len - AT_ATTRIBUTES))
		return -EBADMSG;
	return batch_open_checked(reader, bytes);
}

/* --- reading a record: what is too short or makes no sense sets `bad`, which stays --- */

struct cursor {
	struct slice rest;
	bool bad;
};

static inline struct slice take(struct cursor *c, size_t len)
{
	struct slice taken = {c->rest.ptr, len};

	if (c->bad || len > c->rest.len) {
		c->bad = true;
		return (struct slice){"", 0};
	}
	c->rest.ptr += len;
	c->rest.len -= len;
	return taken;
}

static int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1 ^ -(value & 1));
}

static int64_t take_long_varint(struct cursor *c, unsigned bytes_max)
{
	uint64_t value = 0;
	uint8_t last_max = bytes_max == VARINT_BYTES_MAX ? 0x0f : 0x01;

	for (unsigned i = 0; i < bytes_max && i < c->rest.len; i++) {
		uint8_t byte = (uint8_t)c->rest.ptr[i];

		if (i == bytes_max - 1 && byte > last_max)
			break;
		value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (!(byte & 0x80)) {
			c->rest.ptr += i + 1;
			c->rest.len -= i + 1;
			return unzigzag(value);
		}
	}
	c->bad = true;
	return 0;
}

/* `bytes_max` is VARINT_BYTES_MAX or VARLONG_BYTES_MAX; more than 32 or 64 bits are bad. Each record that is produced passes here
 * six times, and most of its numbers are one byte. */
static inline int64_t take_varint(struct cursor *c, unsigned bytes_max)
{
	uint8_t byte;

	if (UNLIKELY(c->rest.len == 0 || c->rest.ptr[0] & 0x80))
		return take_long_varint(c, bytes_max);
	byte = (uint8_t)*c->rest.ptr++;
	c->rest.len--;
	return unzigzag(byte);
}

/* Length and bytes; -1 gives a NULL slice, if that may be. */
static inline struct slice take_field(struct cursor *c, bool nullable)
{
	int64_t len = take_varint(c, VARINT_BYTES_MAX);

	if (len >= 0)
		return take(c, (size_t)len);
	if (len != -1 || !nullable)
		c->bad = true;
	return (struct slice){NULL, 0};
}

static void pass_headers(struct cursor *c)
{
	int64_t count = take_varint(c, VARINT_BYTES_MAX);

	if (count < 0)
		c->bad = true;
	for (int64_t i = 0; i < count && !c->bad; i++) {
		take_field(c, false);
		take_field(c, true);
	}
}

int batch_next(struct batch_reader *reader, struct batch_record *ret_record, uint64_t *ret_offset)
{
	struct cursor all = {.rest = reader->rest}, c = {0};
	struct batch_record record;
	int64_t time_delta, delta;
	struct slice attributes, rest, headers;

	if (reader->left == 0)
		return reader->rest.len == 0 ? 0 : -EBADMSG;
	c.rest = take_field(&all, false);
	c.bad = all.bad;
	attributes = take(&c, 1);
	time_delta = take_varint(&c, VARLONG_BYTES_MAX);
	delta = take_varint(&c, VARINT_BYTES_MAX);
	if (delta < (int64_t)reader->next_delta || delta > (int64_t)reader->last_delta)
		c.bad = true;
	rest = c.rest;
	record.key = take_field(&c, true);
	record.value = take_field(&c, true);
	headers = c.rest;
	pass_headers(&c);
	if (c.bad || c.rest.len != 0)
		return -EBADMSG;
	reader->rest = all.rest;
	reader->left--;
	reader->next_delta = (uint32_t)delta + 1;
	reader->record_headers = headers;
	reader->record_rest = rest;
	reader->time_delta_ms = time_delta;
	reader->record_attributes = (uint8_t)attributes.ptr[0];
	reader->record_time_ms = reader->time_ms + (reader->append_time ? 0 : (uint64_t)time_delta);
	*ret_record = record;
	*ret_offset = reader->base_offset + (uint64_t)delta;
	return 1;
}

int batch_header_next(struct slice *headers, uint32_t *left, struct batch_header *ret_header)
{
	struct cursor c = {.rest = *headers};

	if (*left == UINT32_MAX)
		*left = (uint32_t)take_varint(&c, VARINT_BYTES_MAX);
	if (c.bad || *left == 0 || *left > INT32_MAX)
		return 0;
	ret_header->key = take_field(&c, false);
	ret_header->value = take_field(&c, true);
	*headers = c.rest;
	--*left;
	return !c.bad;
}
