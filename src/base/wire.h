/* Bounded cursors over little-endian bytes, as on disk. The error is sticky: decode all fields, look once at the end.
 *
 * Reading past the end yields zeros and empty slices and sets `failed`; nothing is believed before `wire_ok`. */
#pragma once

#include "base/buf.h"

struct wire_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline struct wire_reader wire_reader_of(struct slice s)
{
	const uint8_t *at = (const uint8_t *)(s.ptr ? s.ptr : ""); /* an empty slice may be NULL, to which nothing may be added */

	return (struct wire_reader){at, at + s.len, false};
}

uint8_t wire_u8(struct wire_reader *r);
uint16_t wire_u16(struct wire_reader *r);
uint32_t wire_u32(struct wire_reader *r);
uint64_t wire_u64(struct wire_reader *r);
uint64_t wire_varint(struct wire_reader *r); /* LEB128, at most 10 bytes */
struct slice wire_bytes(struct wire_reader *r, size_t len);
struct slice wire_string(struct wire_reader *r); /* varint length, then the bytes */

/* All was there and nothing is left over. */
static inline bool wire_ok(const struct wire_reader *r)
{
	return !r->failed && r->at == r->end;
}

void wire_put_u8(struct buf *buf, uint8_t v);
void wire_put_u16(struct buf *buf, uint16_t v);
void wire_put_u32(struct buf *buf, uint32_t v);
void wire_put_u64(struct buf *buf, uint64_t v);
void wire_put_varint(struct buf *buf, uint64_t v);
void wire_put_string(struct buf *buf, struct slice s);

/* Fixed places in a header that is already there. */
void wire_store_u32(void *at, uint32_t v);
void wire_store_u64(void *at, uint64_t v);
uint32_t wire_load_u32(const void *at);
uint64_t wire_load_u64(const void *at);
