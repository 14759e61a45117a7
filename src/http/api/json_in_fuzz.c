/* Any bytes as the JSON of each request that has some: what comes out keeps its promises, with memory and without.
 *
 *     byte 0        which request
 *     byte 1        0: memory is there; n: the n-th allocation fails
 *     the rest      the body */
#include "base/mem.h"
#include "http/api/api_priv.h"
#include "http/api/json_in.h"
#include "http/api/subscription_priv.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

static void claim_must(struct json_in *in)
{
	struct claim_request r;

	claim_read(in, &r);
	if (json_in_failed(in))
		return;
	MUST(r.queue_count >= 1 && r.queue_count <= CLAIM_QUEUES_MAX && r.max >= 1 && r.max <= CLAIM_JOBS_MAX);
	for (size_t i = 0; i < r.queue_count; i++)
		MUST(queue_is_valid(r.queues[i]));
	MUST(r.lease_ms <= UINT32_MAX && r.worker.len <= NAME_BYTES_MAX && r.attempt_id.len <= NAME_BYTES_MAX);
}

static void wait_must(struct json_in *in)
{
	struct wait_request r;
	size_t bytes = 0;

	jobs_wait_read(in, &r);
	if (json_in_failed(in))
		return;
	MUST(r.count >= 1 && r.count <= WAIT_IDS_MAX);
	for (size_t i = 0; i < r.count; i++) {
		MUST(r.ids[i].ptr && r.ids[i].len <= NAME_BYTES_MAX);
		for (size_t at = 0; at < r.ids[i].len; at++)
			bytes += (unsigned char)r.ids[i].ptr[at];
	}
	MUST(bytes <= r.count * NAME_BYTES_MAX * 255);
}

static void many_must(struct json_in *in)
{
	struct wait_request r;

	wait_read(in, &r);
	if (json_in_failed(in))
		return;
	MUST(r.count + r.stream_count > 0 && r.count <= WAIT_IDS_MAX && r.stream_count <= WAIT_STREAMS_MAX && r.max_bytes > 0);
	for (size_t i = 0; i < r.stream_count; i++) {
		MUST(r.streams[i].key.ptr && r.streams[i].key.len <= STREAM_KEY_BYTES_MAX);
		MUST(r.streams[i].value.ptr && r.streams[i].value.len <= CURSOR_BYTES_MAX);
	}
}

static void beat_must(struct json_in *in)
{
	struct beat_request r;

	beat_read(in, &r);
	if (json_in_failed(in))
		return;
	MUST((r.progress >= 0 && r.progress <= 1) || (r.progress <= -1 && r.progress >= -1));
	MUST(r.message.len <= MESSAGE_BYTES_MAX && r.lease_ms <= UINT32_MAX);
}

/* What is kept of an error is put into other JSON as it is, so it must be JSON. */
static void fail_must(struct json_in *in)
{
	struct fail_request r;
	json_t *again;

	fail_read(in, &r);
	if (json_in_failed(in) || !r.error.len)
		return;
	MUST(r.error.len <= ERROR_BYTES_MAX);
	again = json_loadb(r.error.ptr, r.error.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	MUST(again && (json_is_string(again) || json_is_object(again)));
	json_decref(again);
}

static void subscription_must(struct json_in *in)
{
	struct subscription_in r = {0};

	subscription_read(in, &r);
	if (json_in_failed(in))
		return;
	MUST(r.pattern.len || r.stream_count);
	MUST(!r.pattern.len || stream_path_is_valid(r.pattern));
	for (size_t i = 0; i < r.stream_count; i++)
		MUST(stream_path_is_valid(r.streams[i]));
	MUST(r.type == SUBSCRIPTION_WEBHOOK ? r.url.len > 0 && r.url.len <= SUBSCRIPTION_URL_MAX
					    : stream_path_is_valid(r.wake_stream));
	MUST(r.lease_ttl_ms >= SUBSCRIPTION_LEASE_MIN_MS && r.lease_ttl_ms <= SUBSCRIPTION_LEASE_MAX_MS);
}

static void ack_must(struct json_in *in)
{
	struct subscription_ack_in r = {0};

	subscription_ack_read(in, &r);
	if (json_in_failed(in))
		return;
	MUST(r.generation > 0 && r.wake_id.len > 0 && r.ack_count <= SUBSCRIPTION_ITEMS_MAX);
	for (size_t i = 0; i < r.ack_count; i++)
		MUST(r.acks[i].path.len > 0 && r.acks[i].path.len <= STREAM_PATH_MAX);
}

static void others_must(struct json_in *in, unsigned which)
{
	uint64_t delay_ms;
	uint32_t count;
	bool paused;

	if (which == 0)
		release_read(in, &delay_ms);
	else if (which == 1)
		kick_read(in, &count);
	else if (which == 2)
		pause_read(in, &paused);
	else
		many_must(in);
	if (which == 1 && !json_in_failed(in))
		MUST(count <= KICK_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct json_in in;
	struct slice body;

	if (size < 2)
		return 0;
	json_in_init();
	body = slice_from(data + 2, size - 2);
	mem_fail_nth(data[1]);
	json_in_open(&in, &arena, body, (data[0] & 8) != 0);
	switch (data[0] & 23) {
	case 0:
		claim_must(&in);
		break;
	case 1:
		wait_must(&in);
		break;
	case 2:
		beat_must(&in);
		break;
	case 3:
		fail_must(&in);
		break;
	case 16:
		subscription_must(&in);
		break;
	case 17:
		ack_must(&in);
		break;
	default:
		others_must(&in, (data[0] & 7u) - 4);
		break;
	}
	mem_fail_nth(0);
	MUST(json_in_close(&in) == !json_in_failed(&in));
	MUST(!in.bad || in.detail[0]);
	arena_deinit(&arena);
	return 0;
}
