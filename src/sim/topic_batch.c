/* What producers say, as bytes: one batch, encoded by other code than the core's, so that what comes back is held against that.
 *
 * Keys repeat, some records have no value, each has a time of its own, and a header that no other record has, which also says in
 * which transaction it was sent. */
#include "sim/world.h"

#include "base/crc32c.h"
#include "base/panic.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	AT_LENGTH = 8,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	HEAD_BYTES = 61,
	TRANSACTIONAL = 16,
	KEYS = 7,
	RARE_KEYS = 17,
	RECORD_ROOM = 256
};

static char *put_big(char *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0; value >>= 8)
		at[i] = (char)(value & 0xff);
	return at + bytes;
}

static char *put_varint(char *at, int64_t value)
{
	uint64_t left = (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);

	for (; left >= 128; left >>= 7)
		*at++ = (char)(left | 128);
	*at++ = (char)left;
	return at;
}

/* NULL: none. */
static char *put_text(char *at, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	at = put_varint(at, text ? (int64_t)len : -1);
	if (len)
		memcpy(at, text, len);
	return at + len;
}

static uint64_t record_time(const struct said *said, uint32_t i)
{
	return said->time_ms - (said->serial * 11 + i * 37) % 90;
}

/* Most are of a few; some come seldom. */
static char key_of(uint64_t n)
{
	return (char)(n % 5 ? 'a' + n % KEYS : 'a' + KEYS + n / 5 % RARE_KEYS);
}

static char *put_record(char *at, const struct said *said, uint32_t i)
{
	char room[RECORD_ROOM], who[64], value[96], key[4] = {'k', key_of(said->serial + i * 3)};
	bool null = said->keyed && (said->serial / 2 + i) % 4 == 3;
	char *end = room;

	snprintf(who, sizeof(who), "T%" PRIu64 " M%" PRIu64 ".%u", said->txn, said->serial, i);
	snprintf(value, sizeof(value), "%s %.*s", who, (int)(said->serial % 20), "and some more of it…");
	*end++ = 0;
	end = put_varint(end, (int64_t)record_time(said, i) - (int64_t)record_time(said, 0));
	end = put_varint(end, i);
	end = put_text(end, said->keyed ? key : NULL);
	end = put_text(end, null ? NULL : value);
	end = put_varint(end, 1);
	end = put_text(end, "who");
	end = put_text(end, who);
	ENSURE(end <= room + sizeof(room));
	at = put_varint(at, end - room);
	memcpy(at, room, (size_t)(end - room));
	return at + (end - room);
}

struct produce_batch batch_of(const struct said *said, char room[BATCH_ROOM])
{
	struct produce_batch batch = {.bytes = room,
				      .count = said->count,
				      .producer_id = said->producer_id,
				      .producer_epoch = said->epoch,
				      .base_sequence = said->producer_id < 0 ? -1 : (int32_t)said->seq,
				      .transactional = said->txn != 0,
				      .no_key = !said->keyed};
	char bytes[RECORD_ROOM * MODEL_RECORDS_MAX], *end = bytes, *at;
	size_t len;

	for (uint32_t i = 0; i < said->count; i++) {
		if ((int64_t)record_time(said, i) > batch.max_time_ms)
			batch.max_time_ms = (int64_t)record_time(said, i);
		end = put_record(end, said, i);
	}
	len = (size_t)(end - bytes);
	batch.size_bytes = HEAD_BYTES + len;
	ENSURE(batch.size_bytes <= BATCH_ROOM);
	at = put_big(room, 0, 8);
	at = put_big(at, batch.size_bytes - AT_LENGTH - 4, 4);
	at = put_big(at, UINT32_MAX, 4);
	*at++ = 2;
	at = put_big(at + 4, said->txn ? TRANSACTIONAL : 0, 2);
	at = put_big(at, said->count - 1, 4);
	at = put_big(at, record_time(said, 0), 8);
	at = put_big(at, (uint64_t)batch.max_time_ms, 8);
	at = put_big(at, (uint64_t)batch.producer_id, 8);
	at = put_big(at, (uint64_t)batch.producer_epoch, 2);
	at = put_big(at, (uint64_t)batch.base_sequence, 4);
	at = put_big(at, said->count, 4);
	memcpy(at, bytes, len);
	put_big(room + AT_CRC, crc32c(0, room + AT_ATTRIBUTES, batch.size_bytes - AT_ATTRIBUTES), 4);
	return batch;
}
