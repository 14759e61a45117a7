/* The bytes of the journal: file headers and entries. Pure: slices in, slices out. All numbers are little-endian.
 *
 * Every file of entries (a segment, a checkpoint) begins with a header of 64 bytes:
 *
 *     OFFSET SIZE
 *          0    8  magic: "BIDESEGM" or "BIDECKPT"
 *          8    4  format version: 1
 *         12    4  0
 *         16    8  segment: bytes of a segment, the same in all of them; checkpoint: 0
 *         24    8  segment: position of its first byte; checkpoint: the position from which the journal goes on
 *         32    8  salt: random, goes into every checksum of the file
 *         40    8  made at, unix milliseconds
 *         48   12  0
 *         60    4  CRC-32C of bytes 0 to 59
 *
 * Entries follow, each at a multiple of 8, none across the end of a segment:
 *
 *     OFFSET SIZE
 *          0    4  length: header, fields and body, without the padding to the next multiple of 8
 *          4    4  CRC-32C of salt (8), position (8), then bytes 8 to 35 and the fields
 *          8    4  CRC-32C of the body
 *         12    4  length of the fields
 *         16    8  time, unix milliseconds
 *         24    8  durable: the position up to which the journal was safe on the disk before this entry was written
 *         32    2  shard
 *         34    1  type of the event; 0 in a closing entry, never 0 in another
 *         35    1  flags: bit 0 = closing entry
 *         36    -  fields, then the body
 *
 * The position of an entry is its segment's first position plus its offset in the file; in a checkpoint it is the offset.
 *
 * An entry is valid iff
 *   1. at least 36 bytes are left in its file and its length is 36 … what is left;
 *   2. fields length <= 256 KiB, and there is no more than the entry's length of them;
 *   3. no flag but bit 0 is set, and type is 0 exactly when bit 0 is;
 *   4. durable <= its position;
 *   5. both checksums agree.
 * The position and the salt are in the checksum, so bytes that lie in the wrong place or come from an older file are never
 * taken for an entry, nor are bytes that a client sent as a body.
 *
 * A closing entry says that nothing more follows in its segment. It is left out where fewer than 40 bytes are left. In a
 * checkpoint it is the last entry and has fields: the number of entries before it (8) and the position that must be durable
 * (8) for the checkpoint to hold. */
#pragma once

#include "base/slice.h"

enum {
	ENTRY_HEADER_BYTES = 36,
	ENTRY_ALIGN_BYTES = 8,
	ENTRY_ROOM_MIN_BYTES = 40, /* where fewer are left, nothing stands */
	ENTRY_FIELDS_MAX = 256 * 1024,
	FILE_HEADER_BYTES = 64,
	FILE_FORMAT_VERSION = 1,
};

enum entry_flags { ENTRY_CLOSE = 1 };

enum file_magic { FILE_SEGMENT = 0, FILE_CHECKPOINT = 1 };

struct file_header {
	uint64_t segment_bytes;
	uint64_t position;
	uint64_t salt;
	uint64_t made_ms;
	enum file_magic magic;
};

enum file_header_error { FILE_HEADER_BAD = 1, FILE_HEADER_VERSION = 2 };

void file_header_encode(const struct file_header *header, char out[FILE_HEADER_BYTES]);

/* 0, FILE_HEADER_BAD, or FILE_HEADER_VERSION (sound, but of a version this program does not know). */
int file_header_decode(struct slice bytes, enum file_magic magic, struct file_header *ret_header) MUST_USE;

struct entry {
	struct slice fields;
	struct slice body;
	uint64_t time_ms;
	uint64_t durable;
	uint32_t body_crc;
	uint32_t length;
	uint16_t shard;
	uint8_t type;
	uint8_t flags;
};

static inline size_t entry_aligned(size_t length)
{
	return (length + ENTRY_ALIGN_BYTES - 1) & ~(size_t)(ENTRY_ALIGN_BYTES - 1);
}

/* Writes the entry with its padding to `out` (entry_aligned(36 + fields + body) bytes); body_crc is taken as given, `length` is
 * not looked at, `durable` and the checksum of the header are left for entry_seal. Returns the bytes written. */
size_t entry_encode(const struct entry *entry, char *out);

/* Writes `durable` and the checksum into an encoded entry; returns its length with padding. */
size_t entry_seal(char *at, uint64_t salt, uint64_t position, uint64_t durable);

enum entry_verdict {
	ENTRY_VALID = 0,
	ENTRY_NONE = 1, /* zeros, or no room for an entry */
	ENTRY_BAD = 2,
};

/* Rules 1 to 4, looking at the header alone; `room` = bytes left in the file from here. *ret_length only with ENTRY_VALID. */
enum entry_verdict entry_peek(struct slice header, uint64_t room, uint64_t position, uint32_t *ret_length) MUST_USE;

/* Rules 1 to 4, and the checksum of header and fields; `bytes` begins at the entry and holds at least these. */
enum entry_verdict entry_peek_fields(struct slice bytes, uint64_t room, uint64_t salt, uint64_t position,
				     uint32_t *ret_length) MUST_USE;

/* All rules. `bytes` begins at the entry and holds at least what entry_peek found (fewer: ENTRY_BAD, or ENTRY_NONE for zeros).
 * Slices point into `bytes`. */
enum entry_verdict entry_decode(struct slice bytes, uint64_t salt, uint64_t position, struct entry *ret_entry) MUST_USE;
