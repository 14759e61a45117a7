/* Handles and tokens: numbers that nobody can guess, and that need no table.
 *
 * A handle is 20 bytes in base32: a tag of 12, which only the journal's secret can make from the job's number, and the number
 * itself, hidden under a mask made from the tag. A token is the secret's answer to (number, how many leases ended before). */
#include "sequencer/sequencer_priv.h"

#include "base/text.h"
#include "base/wire.h"

enum { TAG_BYTES = 12, HANDLE_BYTES = 20 };

void handle_keys(struct sequencer *s)
{
	struct hash_key secret = {wire_load_u64(s->jobs.secret), wire_load_u64(s->jobs.secret + 8)};

	s->tag_key = (struct hash_key){hash_u64(&secret, 1, 0), hash_u64(&secret, 1, 1)};
	s->mix_key = (struct hash_key){hash_u64(&secret, 2, 0), hash_u64(&secret, 2, 1)};
	s->token_key = (struct hash_key){hash_u64(&secret, 3, 0), hash_u64(&secret, 3, 1)};
	s->topic_key = (struct hash_key){hash_u64(&secret, 5, 0), hash_u64(&secret, 5, 1)};
	s->subscription_key = (struct hash_key){hash_u64(&secret, 4, 0), hash_u64(&secret, 4, 1)};
	s->member_key = (struct hash_key){hash_u64(&secret, 6, 0), hash_u64(&secret, 6, 1)};
}

void sequencer_secret(const struct sequencer *s, uint8_t ret_secret[16])
{
	memcpy(ret_secret, s->jobs.secret, EVENT_SECRET_BYTES);
}

static void tag_make(const struct sequencer *s, uint64_t number, uint8_t tag[TAG_BYTES])
{
	wire_store_u64(tag, hash_u64(&s->tag_key, number, 1));
	wire_store_u32(tag + 8, (uint32_t)hash_u64(&s->tag_key, number, 2));
}

uint64_t handle_make(const struct sequencer *s, uint64_t number, char ret_handle[JOB_HANDLE_CHARS])
{
	uint8_t bytes[HANDLE_BYTES];
	uint64_t key;

	tag_make(s, number, bytes);
	key = number ^ hash_bytes(&s->mix_key, bytes, TAG_BYTES);
	wire_store_u64(bytes + TAG_BYTES, key);
	text_base32(bytes, HANDLE_BYTES, ret_handle);
	return key;
}

uint64_t handle_key(struct slice handle)
{
	uint8_t bytes[HANDLE_BYTES];

	if (handle.len != JOB_HANDLE_CHARS || text_base32_decode(handle, bytes))
		return 0;
	return wire_load_u64(bytes + TAG_BYTES);
}

uint64_t handle_number(const struct sequencer *s, struct slice handle)
{
	uint8_t bytes[HANDLE_BYTES], tag[TAG_BYTES], differ = 0;
	uint64_t number;

	if (handle.len != JOB_HANDLE_CHARS || text_base32_decode(handle, bytes))
		return 0;
	number = wire_load_u64(bytes + TAG_BYTES) ^ hash_bytes(&s->mix_key, bytes, TAG_BYTES);
	tag_make(s, number, tag);
	for (unsigned i = 0; i < TAG_BYTES; i++) /* in the same time whichever byte differs */
		differ |= (uint8_t)(tag[i] ^ bytes[i]);
	return differ ? 0 : number;
}

struct job *handle_find(const struct sequencer *s, struct slice handle)
{
	return jobs_find(&s->jobs, handle_number(s, handle));
}

/* Every lease that ends without ending the job raises one of these counts. */
static uint64_t leases_before(const struct job *job)
{
	return (uint64_t)job->timeouts + job->failures + job->releases + job->lost_handoffs;
}

uint64_t token_make(const struct sequencer *s, const struct job *job)
{
	uint64_t token = hash_u64(&s->token_key, job->number, leases_before(job));

	return token ? token : 1;
}

uint64_t jitter(const struct sequencer *s, const struct job *job, uint64_t span_ms)
{
	return span_ms ? hash_u64(&s->token_key, job->number, ~leases_before(job)) % (span_ms + 1) : 0;
}

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void token_format(uint64_t token, char ret_text[TOKEN_CHARS + 1])
{
	for (unsigned i = 0; i < TOKEN_CHARS; i++)
		ret_text[i] = digits[(token >> (5 * (TOKEN_CHARS - 1 - i))) & 31];
	ret_text[TOKEN_CHARS] = '\0';
}

uint64_t token_parse(struct slice text)
{
	uint64_t token = 0;

	if (text.len != TOKEN_CHARS)
		return 0;
	for (unsigned i = 0; i < TOKEN_CHARS; i++) {
		const char *digit = text.ptr[i] ? memchr(digits, text.ptr[i], 32) : NULL;

		if (!digit || (i == 0 && digit - digits > 15))
			return 0;
		token = token << 5 | (uint64_t)(digit - digits);
	}
	return token;
}
