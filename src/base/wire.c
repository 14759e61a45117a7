#include "base/wire.h"

#include <endian.h>

static const uint8_t *wire_take(struct wire_reader *r, size_t len)
{
	const uint8_t *at = r->at;

	if (r->failed || (size_t)(r->end - r->at) < len) {
		r->failed = true;
		return NULL;
	}
	r->at += len;
	return at;
}

uint8_t wire_u8(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 1);

	return at ? *at : 0;
}

uint16_t wire_u16(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 2);
	uint16_t v = 0;

	if (at)
		memcpy(&v, at, 2);
	return le16toh(v);
}

uint32_t wire_u32(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 4);

	return at ? wire_load_u32(at) : 0;
}

uint64_t wire_u64(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 8);

	return at ? wire_load_u64(at) : 0;
}

uint64_t wire_varint(struct wire_reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = wire_u8(r);

		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return r->failed ? 0 : value;
	}
	r->failed = true;
	return 0;
}

struct slice wire_bytes(struct wire_reader *r, size_t len)
{
	const uint8_t *at = wire_take(r, len);

	return at ? slice_from(at, len) : (struct slice){"", 0};
}

struct slice wire_string(struct wire_reader *r)
{
	uint64_t len = wire_varint(r);

	if (len > (uint64_t)(r->end - r->at)) {
		r->failed = true;
		return (struct slice){"", 0};
	}
	return wire_bytes(r, (size_t)len);
}

/* --- numbers, of which there are many in each event and each answer --- */

enum { NUMBER_BYTES_MAX = 10 };

/* Where the next one goes; NULL: memory is short. */
static inline char *number_room(struct buf *buf)
{
	if (LIKELY(buf->cap - buf->len >= NUMBER_BYTES_MAX && !buf->failed))
		return buf->ptr + buf->len;
	return buf_reserve(buf, NUMBER_BYTES_MAX);
}

static inline void number_put(struct buf *buf, const void *bytes, size_t len)
{
	char *at = number_room(buf);

	if (!at)
		return;
	memcpy(at, bytes, len);
	buf->len += len;
}

void wire_put_u8(struct buf *buf, uint8_t v)
{
	number_put(buf, &v, 1);
}

void wire_put_u16(struct buf *buf, uint16_t v)
{
	v = htole16(v);
	number_put(buf, &v, 2);
}

void wire_put_u32(struct buf *buf, uint32_t v)
{
	v = htole32(v);
	number_put(buf, &v, 4);
}

void wire_put_u64(struct buf *buf, uint64_t v)
{
	v = htole64(v);
	number_put(buf, &v, 8);
}

void wire_put_varint(struct buf *buf, uint64_t v)
{
	char *at = number_room(buf);

	if (!at)
		return;
	for (; v >= 0x80; v >>= 7)
		*at++ = (char)(v | 0x80);
	*at++ = (char)v;
	buf->len = (size_t)(at - buf->ptr);
}

void wire_put_string(struct buf *buf, struct slice s)
{
	wire_put_varint(buf, s.len);
	buf_append_slice(buf, s);
}

void wire_store_u32(void *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, 4);
}

void wire_store_u64(void *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, 8);
}

uint32_t wire_load_u32(const void *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return le32toh(v);
}

uint64_t wire_load_u64(const void *at)
{
	uint64_t v;

	memcpy(&v, at, 8);
	return le64toh(v);
}
