#include "journal/entry.h"

#include "base/crc32c.h"
#include "base/wire.h"

#include <endian.h>

enum {
	AT_LENGTH = 0,
	AT_CRC = 4,
	AT_BODY_CRC = 8,
	AT_FIELDS = 12,
	AT_TIME = 16,
	AT_DURABLE = 24,
	AT_SHARD = 32,
	AT_TYPE = 34,
	AT_FLAGS = 35,
};

static const char file_magics[][9] = {[FILE_SEGMENT] = "BIDESEGM", [FILE_CHECKPOINT] = "BIDECKPT"};

void file_header_encode(const struct file_header *header, char out[FILE_HEADER_BYTES])
{
	memset(out, 0, FILE_HEADER_BYTES);
	memcpy(out, file_magics[header->magic], 8);
	wire_store_u32(out + 8, FILE_FORMAT_VERSION);
	wire_store_u64(out + 16, header->segment_bytes);
	wire_store_u64(out + 24, header->position);
	wire_store_u64(out + 32, header->salt);
	wire_store_u64(out + 40, header->made_ms);
	wire_store_u32(out + 60, crc32c(0, out, 60));
}

int file_header_decode(struct slice bytes, enum file_magic magic, struct file_header *ret_header)
{
	if (bytes.len < FILE_HEADER_BYTES || memcmp(bytes.ptr, file_magics[magic], 8) != 0 ||
	    wire_load_u32(bytes.ptr + 60) != crc32c(0, bytes.ptr, 60))
		return FILE_HEADER_BAD;
	if (wire_load_u32(bytes.ptr + 8) != FILE_FORMAT_VERSION)
		return FILE_HEADER_VERSION;
	*ret_header = (struct file_header){
		.magic = magic,
		.segment_bytes = wire_load_u64(bytes.ptr + 16),
		.position = wire_load_u64(bytes.ptr + 24),
		.salt = wire_load_u64(bytes.ptr + 32),
		.made_ms = wire_load_u64(bytes.ptr + 40),
	};
	return 0;
}

static uint32_t entry_crc(const char *at, size_t fields_len, uint64_t salt, uint64_t position)
{
	uint64_t seed[2] = {htole64(salt), htole64(position)};

	return crc32c(crc32c(0, seed, sizeof(seed)), at + AT_BODY_CRC, ENTRY_HEADER_BYTES - AT_BODY_CRC + fields_len);
}

size_t entry_encode(const struct entry *entry, char *out)
{
	size_t length = ENTRY_HEADER_BYTES + entry->fields.len + entry->body.len, total = entry_aligned(length);
	uint16_t shard = htole16(entry->shard);

	wire_store_u32(out + AT_LENGTH, (uint32_t)length);
	wire_store_u32(out + AT_CRC, 0);
	wire_store_u32(out + AT_BODY_CRC, entry->body_crc);
	wire_store_u32(out + AT_FIELDS, (uint32_t)entry->fields.len);
	wire_store_u64(out + AT_TIME, entry->time_ms);
	wire_store_u64(out + AT_DURABLE, 0);
	memcpy(out + AT_SHARD, &shard, sizeof(shard));
	out[AT_TYPE] = (char)entry->type;
	out[AT_FLAGS] = (char)entry->flags;
	if (entry->fields.len)
		memcpy(out + ENTRY_HEADER_BYTES, entry->fields.ptr, entry->fields.len);
	if (entry->body.len)
		memcpy(out + ENTRY_HEADER_BYTES + entry->fields.len, entry->body.ptr, entry->body.len);
	memset(out + length, 0, total - length);
	return total;
}

size_t entry_seal(char *at, uint64_t salt, uint64_t position, uint64_t durable)
{
	wire_store_u64(at + AT_DURABLE, durable);
	wire_store_u32(at + AT_CRC, entry_crc(at, wire_load_u32(at + AT_FIELDS), salt, position));
	return entry_aligned(wire_load_u32(at + AT_LENGTH));
}

static bool all_zero(const char *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (ptr[i])
			return false;
	return true;
}

enum entry_verdict entry_peek(struct slice header, uint64_t room, uint64_t position, uint32_t *ret_length)
{
	uint32_t length, fields;
	uint8_t flags;

	if (header.len < ENTRY_HEADER_BYTES || room < ENTRY_HEADER_BYTES)
		return all_zero(header.ptr, header.len) ? ENTRY_NONE : ENTRY_BAD;
	length = wire_load_u32(header.ptr + AT_LENGTH);
	fields = wire_load_u32(header.ptr + AT_FIELDS);
	flags = (uint8_t)header.ptr[AT_FLAGS];
	if (length == 0 && all_zero(header.ptr, ENTRY_HEADER_BYTES))
		return ENTRY_NONE;
	if (length < ENTRY_HEADER_BYTES || length > room || fields > ENTRY_FIELDS_MAX || fields > length - ENTRY_HEADER_BYTES)
		return ENTRY_BAD;
	if ((flags & ~ENTRY_CLOSE) || (header.ptr[AT_TYPE] == 0) != ((flags & ENTRY_CLOSE) != 0))
		return ENTRY_BAD;
	if (wire_load_u64(header.ptr + AT_DURABLE) > position)
		return ENTRY_BAD;
	*ret_length = length;
	return ENTRY_VALID;
}

enum entry_verdict entry_peek_fields(struct slice bytes, uint64_t room, uint64_t salt, uint64_t position, uint32_t *ret_length)
{
	enum entry_verdict verdict = entry_peek(bytes, room, position, ret_length);
	uint32_t fields;

	if (verdict != ENTRY_VALID)
		return verdict;
	fields = wire_load_u32(bytes.ptr + AT_FIELDS);
	if (bytes.len - ENTRY_HEADER_BYTES < fields ||
	    wire_load_u32(bytes.ptr + AT_CRC) != entry_crc(bytes.ptr, fields, salt, position))
		return ENTRY_BAD;
	return ENTRY_VALID;
}

enum entry_verdict entry_decode(struct slice bytes, uint64_t salt, uint64_t position, struct entry *ret_entry)
{
	uint32_t length = 0;
	enum entry_verdict verdict = entry_peek(bytes, bytes.len, position, &length);
	struct entry entry;
	uint16_t shard;

	if (verdict != ENTRY_VALID)
		return verdict;
	entry = (struct entry){
		.fields = {bytes.ptr + ENTRY_HEADER_BYTES, wire_load_u32(bytes.ptr + AT_FIELDS)},
		.time_ms = wire_load_u64(bytes.ptr + AT_TIME),
		.durable = wire_load_u64(bytes.ptr + AT_DURABLE),
		.body_crc = wire_load_u32(bytes.ptr + AT_BODY_CRC),
		.length = length,
		.type = (uint8_t)bytes.ptr[AT_TYPE],
		.flags = (uint8_t)bytes.ptr[AT_FLAGS],
	};
	entry.body = slice_from(entry.fields.ptr + entry.fields.len, length - ENTRY_HEADER_BYTES - entry.fields.len);
	memcpy(&shard, bytes.ptr + AT_SHARD, sizeof(shard));
	entry.shard = le16toh(shard);
	if (wire_load_u32(bytes.ptr + AT_CRC) != entry_crc(bytes.ptr, entry.fields.len, salt, position))
		return ENTRY_BAD;
	if (entry.body_crc != crc32c(0, entry.body.ptr, entry.body.len))
		return ENTRY_BAD;
	*ret_entry = entry;
	return ENTRY_VALID;
}
