#include "http/api/json_in.h"

#include "base/mem.h"
#include "http/api/api_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOM_A_BYTE = 96, ROOM_LEAST_BYTES = 4096, ROOM_ALIGN = 16 };

/* What is left of the block of this thread's open document. */
static _Thread_local struct room {
	char *begin, *at, *end;
} room;

static void *room_alloc(size_t size)
{
	size_t need = (size + ROOM_ALIGN - 1) & ~(size_t)(ROOM_ALIGN - 1);
	char *at = room.at;

	if (need < size || need > (size_t)(room.end - room.at))
		return malloc(size);
	room.at += need;
	return at;
}

static void room_free(void *ptr)
{
	if ((uintptr_t)ptr - (uintptr_t)room.begin >= (uintptr_t)(room.end - room.begin))
		free(ptr);
}

void json_in_init(void)
{
	json_set_alloc_funcs(room_alloc, room_free);
}

static bool room_open(struct json_in *in, size_t len)
{
	size_t size = ROOM_LEAST_BYTES + len * ROOM_A_BYTE;

	in->room = mem_alloc(size);
	if (!in->room)
		return false;
	room = (struct room){in->room, in->room, (char *)in->room + size};
	return true;
}

void json_in_fail(struct json_in *in, const char *fmt, ...)
{
	va_list args;

	if (json_in_failed(in))
		return;
	in->bad = true;
	va_start(args, fmt);
	vsnprintf(in->detail, sizeof(in->detail), fmt, args);
	va_end(args);
}

void json_in_open(struct json_in *in, struct arena *arena, struct slice body, bool optional)
{
	json_error_t error;

	*in = (struct json_in){.arena = arena};
	if (!body.len && optional)
		return;
	if (!room_open(in, body.len)) {
		in->no_memory = true;
		return;
	}
	/* jansson takes a NUL for the end of the text, whatever follows. */
	if (body.len && memchr(body.ptr, '\0', body.len)) {
		json_in_fail(in, "The body is not JSON: it holds a NUL.");
		return;
	}
	in->root = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, &error);
	if (!in->root && json_error_code(&error) == json_error_out_of_memory)
		in->no_memory = true;
	else if (!in->root)
		json_in_fail(in, "The body is not JSON: %.100s.", error.text);
	else if (!json_is_object(in->root))
		json_in_fail(in, "The body must be a JSON object.");
	in->at = in->root;
}

bool json_in_close(struct json_in *in)
{
	json_decref(in->root);
	in->root = in->at = NULL;
	in->room = mem_free(in->room);
	room = (struct room){0};
	return !json_in_failed(in);
}

/* NULL: absent, null, or something went wrong before. */
static json_t *member(const struct json_in *in, const char *key)
{
	json_t *value = json_in_failed(in) ? NULL : json_object_get(in->at, key);

	return json_is_null(value) ? NULL : value;
}

bool json_in_enter(struct json_in *in, const char *key)
{
	json_t *found = member(in, key);

	if (found && !json_is_object(found))
		json_in_fail(in, "\"%s\" must be an object.", key);
	else if (found)
		in->at = found;
	return found && !json_in_failed(in);
}

size_t json_in_items(struct json_in *in, const char *key, size_t max_count)
{
	json_t *found = member(in, key), *item;
	size_t i;
	bool fits = json_is_array(found) && json_array_size(found) <= max_count;

	if (!found)
		return 0;
	if (fits) {
		json_array_foreach(found, i, item) fits = fits && json_is_object(item);
	}
	if (!fits) {
		json_in_fail(in, "\"%s\" must be an array of at most %zu objects.", key, max_count);
		return 0;
	}
	return json_array_size(found);
}

void json_in_enter_item(struct json_in *in, const char *key, size_t i)
{
	json_t *found = member(in, key);

	if (found)
		in->at = json_array_get(found, i);
}

void json_in_leave(struct json_in *in)
{
	in->at = in->root;
}

static void keep(struct json_in *in, struct slice s, struct slice *value)
{
	struct slice copy = arena_dup(in->arena, s);

	if (copy.ptr)
		*value = copy;
	else
		in->no_memory = true;
}

void json_in_string(struct json_in *in, const char *key, size_t max_bytes, struct slice *value)
{
	json_t *found = member(in, key);

	if (!found)
		return;
	if (!json_is_string(found) || json_string_length(found) > max_bytes)
		json_in_fail(in, "\"%s\" must be a string of at most %zu bytes.", key, max_bytes);
	else
		keep(in, slice_from(json_string_value(found), json_string_length(found)), value);
}

void json_in_strings(struct json_in *in, const char *key, size_t max_count, size_t max_bytes, struct slice **values,
		     size_t *count)
{
	json_t *found = member(in, key), *item;
	size_t i;

	if (!found)
		return;
	if (!json_is_array(found) || json_array_size(found) > max_count) {
		json_in_fail(in, "\"%s\" must be an array of at most %zu strings.", key, max_count);
		return;
	}
	if (json_array_size(found) == 0)
		return;
	*values = arena_zalloc(in->arena, json_array_size(found) * sizeof(**values));
	if (!*values) {
		in->no_memory = true;
		return;
	}
	json_array_foreach(found, i, item)
	{
		if (!json_is_string(item) || json_string_length(item) > max_bytes)
			json_in_fail(in, "\"%s\" must hold strings of at most %zu bytes.", key, max_bytes);
		else
			keep(in, slice_from(json_string_value(item), json_string_length(item)), &(*values)[i]);
		if (json_in_failed(in))
			return;
	}
	*count = json_array_size(found);
}

void json_in_pairs(struct json_in *in, const char *key, const struct json_pairs_limits *max, struct json_pair **pairs,
		   size_t *count)
{
	json_t *found = member(in, key), *item;
	const char *name;
	size_t i = 0;

	if (!found)
		return;
	if (!json_is_object(found) || json_object_size(found) > max->count) {
		json_in_fail(in, "\"%s\" must be an object of at most %zu members.", key, max->count);
		return;
	}
	*pairs = arena_zalloc(in->arena, json_object_size(found) * sizeof(**pairs));
	if (!*pairs) {
		in->no_memory = true;
		return;
	}
	json_object_foreach(found, name, item)
	{
		if (strlen(name) > max->key_bytes || !json_is_string(item) || json_string_length(item) > max->value_bytes) {
			json_in_fail(in, "\"%s\" must hold strings of at most %zu bytes, under names of at most %zu.", key,
				     max->value_bytes, max->key_bytes);
			return;
		}
		keep(in, slice_str(name), &(*pairs)[i].key);
		keep(in, slice_from(json_string_value(item), json_string_length(item)), &(*pairs)[i++].value);
		if (json_in_failed(in))
			return;
	}
	*count = i;
}

void json_in_u64(struct json_in *in, const char *key, uint64_t min, uint64_t max, uint64_t *value)
{
	json_t *found = member(in, key);
	json_int_t number = json_integer_value(found);

	if (!found)
		return;
	if (!json_is_integer(found) || number < 0 || (uint64_t)number < min || (uint64_t)number > max)
		json_in_fail(in, "\"%s\" must be a whole number from %llu to %llu.", key, (unsigned long long)min,
			     (unsigned long long)max);
	else
		*value = (uint64_t)number;
}

void json_in_u32(struct json_in *in, const char *key, uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t number = *value;

	json_in_u64(in, key, min, max, &number);
	*value = (uint32_t)number;
}

static int seconds_ms(const json_t *number, uint64_t *ret_ms)
{
	double seconds = json_number_value(number);

	if (!(seconds >= 0 && seconds <= 315360000))
		return -1;
	*ret_ms = (uint64_t)(seconds * 1000 + 0.5);
	return 0;
}

void json_in_duration(struct json_in *in, const char *key, uint64_t min_ms, uint64_t max_ms, uint64_t *value_ms)
{
	json_t *found = member(in, key);
	uint64_t ms = 0;
	int r = -1;

	if (!found)
		return;
	if (json_is_string(found))
		r = input_duration_ms(slice_from(json_string_value(found), json_string_length(found)), &ms);
	else if (json_is_number(found))
		r = seconds_ms(found, &ms);
	if (r || ms < min_ms || ms > max_ms)
		json_in_fail(in, "\"%s\" must be a duration like \"30s\" or \"1500ms\", or a number of seconds%s.", key,
			     min_ms ? ", and not 0" : "");
	else
		*value_ms = ms;
}

void json_in_bool(struct json_in *in, const char *key, bool *value, bool *found)
{
	json_t *it = member(in, key);

	if (found)
		*found = it != NULL;
	if (!it)
		return;
	if (!json_is_boolean(it))
		json_in_fail(in, "\"%s\" must be true or false.", key);
	else
		*value = json_is_true(it);
}

void json_in_fraction(struct json_in *in, const char *key, double *value)
{
	json_t *found = member(in, key);

	if (!found)
		return;
	if (!json_is_number(found) || !(json_number_value(found) >= 0 && json_number_value(found) <= 1))
		json_in_fail(in, "\"%s\" must be a number from 0 to 1.", key);
	else
		*value = json_number_value(found);
}

void json_in_value(struct json_in *in, const char *key, size_t max_bytes, struct slice *value)
{
	json_t *found = member(in, key);
	size_t len;
	char *out;

	if (!found)
		return;
	if (!json_is_string(found) && !json_is_object(found)) {
		json_in_fail(in, "\"%s\" must be a string or an object.", key);
		return;
	}
	len = json_dumpb(found, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	if (len == 0 || len > max_bytes) {
		json_in_fail(in, "\"%s\" may have %zu bytes.", key, max_bytes);
		return;
	}
	out = arena_alloc(in->arena, len);
	if (!out || json_dumpb(found, out, len, JSON_COMPACT | JSON_ENCODE_ANY) != len)
		in->no_memory = true;
	else
		*value = slice_from(out, len);
}

/* --- what the requests mean --- */

void json_in_need(struct json_in *in, bool there, const char *key)
{
	if (!there)
		json_in_fail(in, "\"%s\" is missing.", key);
}

void claim_read(struct json_in *in, struct claim_request *request)
{
	*request = (struct claim_request){.max = 1, .wait_ms = UINT64_MAX};
	json_in_strings(in, "queues", CLAIM_QUEUES_MAX, NAME_BYTES_MAX, &request->queues, &request->queue_count);
	json_in_need(in, request->queue_count > 0, "queues");
	for (size_t i = 0; i < request->queue_count; i++) {
		if (!queue_is_valid(request->queues[i]))
			json_in_fail(in, "\"queues\" must hold names of queues: letters, digits, . _ ~ -, no dot at the start.");
	}
	json_in_u32(in, "max", 1, CLAIM_JOBS_MAX, &request->max);
	json_in_duration(in, "wait", 0, UINT64_MAX, &request->wait_ms);
	json_in_duration(in, "lease", 1, UINT32_MAX, &request->lease_ms);
	json_in_string(in, "worker", NAME_BYTES_MAX, &request->worker);
	json_in_string(in, "attempt_id", NAME_BYTES_MAX, &request->attempt_id);
}

static void wait_how(struct json_in *in, struct wait_request *request)
{
	struct slice mode = SLICE("any");

	json_in_string(in, "mode", NAME_BYTES_MAX, &mode);
	if (!slice_eq(mode, SLICE("any")) && !slice_eq(mode, SLICE("all")))
		json_in_fail(in, "\"mode\" must be \"any\" or \"all\".");
	request->all = slice_eq(mode, SLICE("all"));
	json_in_duration(in, "wait", 0, UINT64_MAX, &request->wait_ms);
}

void jobs_wait_read(struct json_in *in, struct wait_request *request)
{
	*request = (struct wait_request){.wait_ms = UINT64_MAX, .max_bytes = UINT64_MAX};
	json_in_strings(in, "ids", WAIT_IDS_MAX, NAME_BYTES_MAX, &request->ids, &request->count);
	json_in_need(in, request->count > 0, "ids");
	wait_how(in, request);
}

void wait_read(struct json_in *in, struct wait_request *request)
{
	static const struct json_pairs_limits max = {WAIT_STREAMS_MAX, STREAM_KEY_BYTES_MAX, CURSOR_BYTES_MAX};
	uint32_t max_bytes = UINT32_MAX;
	struct slice format = {0};

	*request = (struct wait_request){.wait_ms = UINT64_MAX};
	json_in_pairs(in, "streams", &max, &request->streams, &request->stream_count);
	if (json_array_size(member(in, "jobs")) || !json_is_array(member(in, "jobs")))
		json_in_strings(in, "jobs", WAIT_IDS_MAX, NAME_BYTES_MAX, &request->ids, &request->count);
	if (request->count + request->stream_count == 0)
		json_in_fail(in, "Neither \"streams\" nor \"jobs\" names anything to wait for.");
	json_in_u32(in, "max_bytes", 1, UINT32_MAX, &max_bytes);
	request->max_bytes = max_bytes;
	json_in_string(in, "format", NAME_BYTES_MAX, &format);
	request->objects = format.ptr != NULL;
	if (format.ptr && !slice_eq(format, SLICE("records")))
		json_in_fail(in, "\"format\" is \"records\", or not there: the values alone.");
	wait_how(in, request);
}

void beat_read(struct json_in *in, struct beat_request *request)
{
	*request = (struct beat_request){.progress = -1};
	json_in_fraction(in, "progress", &request->progress);
	json_in_string(in, "message", MESSAGE_BYTES_MAX, &request->message);
	json_in_duration(in, "lease", 1, UINT32_MAX, &request->lease_ms);
}

void fail_read(struct json_in *in, struct fail_request *request)
{
	*request = (struct fail_request){.retry = true, .delay_ms = UINT64_MAX};
	json_in_value(in, "error", ERROR_BYTES_MAX, &request->error);
	json_in_bool(in, "retry", &request->retry, NULL);
	json_in_duration(in, "delay", 0, UINT64_MAX, &request->delay_ms);
}

void release_read(struct json_in *in, uint64_t *ret_delay_ms)
{
	*ret_delay_ms = UINT64_MAX;
	json_in_duration(in, "delay", 0, UINT64_MAX, ret_delay_ms);
}

void kick_read(struct json_in *in, uint32_t *ret_count)
{
	*ret_count = 1;
	json_in_u32(in, "n", 0, UINT32_MAX, ret_count);
	if (*ret_count > KICK_MAX)
		*ret_count = KICK_MAX;
}

void pause_read(struct json_in *in, bool *ret_paused)
{
	bool found = false;

	*ret_paused = false;
	json_in_bool(in, "paused", ret_paused, &found);
	json_in_need(in, found, "paused");
}

void reset_read(struct json_in *in, struct reset_request *ret_request)
{
	struct slice to = {0};

	*ret_request = (struct reset_request){.partition = UINT64_MAX};
	json_in_string(in, "topic", TOPIC_NAME_MAX, &ret_request->topic);
	json_in_need(in, ret_request->topic.len > 0, "topic");
	json_in_u64(in, "partition", 0, INT32_MAX, &ret_request->partition);
	json_in_string(in, "to", NAME_BYTES_MAX, &to);
	json_in_need(in, to.len > 0, "to");
	if (slice_eq(to, SLICE("earliest")))
		ret_request->to = RESET_EARLIEST;
	else if (slice_eq(to, SLICE("latest")))
		ret_request->to = RESET_LATEST;
	else if (slice_u64(to, &ret_request->offset) == 0 && ret_request->offset <= INT64_MAX)
		ret_request->to = RESET_OFFSET;
	else
		json_in_fail(in, "\"to\" must be \"earliest\", \"latest\" or an offset, as a string.");
}

void topic_read(struct json_in *in, struct topic_request *request)
{
	static const struct json_pairs_limits max = {TOPIC_SETTINGS_MAX, NAME_BYTES_MAX, TOPIC_VALUE_MAX};

	*request = (struct topic_request){0};
	json_in_u32(in, "partitions", 1, INT32_MAX, &request->partitions);
	json_in_pairs(in, "settings", &max, &request->settings, &request->setting_count);
	if (member(in, "unset"))
		json_in_strings(in, "unset", TOPIC_SETTINGS_MAX, NAME_BYTES_MAX, &request->unset, &request->unset_count);
}
