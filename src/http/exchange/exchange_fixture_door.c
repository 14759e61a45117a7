/* The stage's door and store. */
#include "http/exchange/exchange_fixture.h"

#include "base/crc32c.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- bytes that show where they were --- */

char pattern_at(uint64_t at)
{
	return (char)('a' + (at * 7 + at / 26 + at / 65536) % 26);
}

void pattern_fill(char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = pattern_at(i);
}

void expect_pattern(const char *bytes, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != pattern_at(from + i))
			fail_msg("byte %zu of %zu is another one", i, len);
	}
}

/* --- the store --- */

struct fake_blob {
	struct blob blob;
	struct stage *stage;
	struct fake_blob *next; /* of those whose seal is held */
	void (*done)(void *ctx, int error, const struct body_ref *ref);
	void *ctx;
};

static int blob_write(struct blob *blob, struct slice bytes)
{
	struct stage *stage = container_of(blob, struct fake_blob, blob)->stage;

	if (stage->write_error && blob->size_bytes + bytes.len > stage->write_fails_at)
		return stage->write_error;
	blob->crc = crc32c(blob->crc, bytes.ptr, bytes.len);
	blob->size_bytes += bytes.len;
	return 0;
}

static void blob_sealed(struct fake_blob *fake)
{
	struct stage *stage = fake->stage;
	struct body_ref ref = {
		.place = stage->blobs_sealed, .size_bytes = fake->blob.size_bytes, .crc = fake->blob.crc, .kind = BODY_BLOB};

	stage->blobs_sealed++;
	fake->done(fake->ctx, stage->seal_error, stage->seal_error ? NULL : &ref);
	free(fake);
}

static void blob_seal(struct blob *blob, void (*done)(void *ctx, int error, const struct body_ref *ref), void *ctx)
{
	struct fake_blob *fake = container_of(blob, struct fake_blob, blob);

	fake->done = done;
	fake->ctx = ctx;
	if (!fake->stage->hold_seals) {
		blob_sealed(fake);
		return;
	}
	fake->next = fake->stage->sealing;
	fake->stage->sealing = fake;
}

void stage_seal(struct stage *stage)
{
	struct fake_blob *fake = stage->sealing;

	assert_non_null(fake);
	stage->sealing = fake->next;
	blob_sealed(fake);
}

static void blob_discard(struct blob *blob)
{
	struct fake_blob *fake = container_of(blob, struct fake_blob, blob);

	fake->stage->blobs_discarded++;
	free(fake);
}

static int store_blob_open(struct store *store, struct blob **ret_blob)
{
	static const struct blob_ops ops = {.write = blob_write, .seal = blob_seal, .discard = blob_discard};
	struct stage *stage = container_of(store, struct stage, store);
	struct fake_blob *fake;

	if (stage->open_error)
		return stage->open_error;
	fake = calloc(1, sizeof(*fake));
	assert_non_null(fake);
	*fake = (struct fake_blob){.blob.ops = &ops, .stage = stage};
	stage->blobs_open++;
	*ret_blob = &fake->blob;
	return 0;
}

const struct store_ops stage_store = {.blob_open = store_blob_open};

struct fake_pin {
	struct store_pin pin;
	struct stage *stage;
	int fd;
};

enum { PIN_FILE_BASE = 100 }; /* what stands before the body in its file */

static int pin_read(struct store_pin *pin, uint64_t offset, void *out, size_t len)
{
	const struct stage *stage = container_of(pin, struct fake_pin, pin)->stage;

	assert_true(offset + len <= pin->ref.size_bytes);
	if (stage->pin_fails_at && offset + len > stage->pin_fails_at)
		return -EIO;
	for (size_t i = 0; i < len; i++)
		((char *)out)[i] = pattern_at(offset + i);
	return 0;
}

static int pin_read_whole(struct store_pin *pin, void *out)
{
	struct stage *stage = container_of(pin, struct fake_pin, pin)->stage;

	if (stage->pin_bad) {
		stage->pin_bad = false;
		return -EIO;
	}
	return pin_read(pin, 0, out, pin->ref.size_bytes);
}

static int pin_file(struct store_pin *pin, uint64_t *ret_offset)
{
	struct fake_pin *fake = container_of(pin, struct fake_pin, pin);

	if (fake->fd < 0)
		return -ENOTSUP;
	*ret_offset = PIN_FILE_BASE;
	return fake->fd;
}

static void pin_unpin(struct store_pin *pin)
{
	struct fake_pin *fake = container_of(pin, struct fake_pin, pin);

	fake->stage->pins_open--;
	if (fake->fd >= 0)
		close(fake->fd);
	free(fake);
}

struct store_pin *stage_pin(struct stage *stage, uint64_t bytes, enum body_kind kind)
{
	static const struct store_pin_ops ops = {
		.read = pin_read, .read_whole = pin_read_whole, .file = pin_file, .unpin = pin_unpin};
	struct fake_pin *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	*fake = (struct fake_pin){.pin = {.ops = &ops, .ref = {.size_bytes = bytes, .kind = kind}}, .stage = stage, .fd = -1};
	stage->pins_open++;
	if (!stage->pin_without_file) {
		char *content = malloc(bytes + 1);

		fake->fd = memfd_create("pin", MFD_CLOEXEC);
		assert_true(content && fake->fd >= 0);
		pattern_fill(content, bytes);
		assert_int_equal(pwrite(fake->fd, content, bytes, PIN_FILE_BASE), bytes);
		free(content);
	}
	return &fake->pin;
}

/* --- the door --- */

static struct stage *stage_of(const struct exchange *ex)
{
	return http_thread_door(exchange_thread(ex));
}

static struct entry *entry_of(const struct exchange *ex)
{
	struct entry *entry = &stage_of(ex)->entries[ex->app[0]];

	assert_ptr_equal(entry->ex, ex);
	return entry;
}

static void say(struct stage *stage, const char *what, const char *path, const char *more)
{
	if (stage->quiet)
		return;
	stage->said_len += (size_t)snprintf(stage->said + stage->said_len, sizeof(stage->said) - stage->said_len, "%s %s%s\n",
					    what, path, more);
	assert_true(stage->said_len < sizeof(stage->said));
}

struct exchange *door_find(struct stage *stage, const char *path)
{
	for (size_t i = 0; i < stage->entry_count; i++) {
		if (stage->entries[i].ex && strcmp(stage->entries[i].path, path) == 0)
			return stage->entries[i].ex;
	}
	return NULL;
}

void door_forget(struct stage *stage, struct exchange *ex)
{
	for (size_t i = 0; i < stage->entry_count; i++) {
		if (stage->entries[i].ex == ex)
			stage->entries[i].ex = NULL;
	}
}

static void answer_bytes(struct exchange *ex, int status, struct slice body, unsigned flags)
{
	struct answer answer = {.status = status, .content_type = SLICE("text/plain"), .body = body, .flags = flags};

	if (!(flags & EXCHANGE_TELL))
		entry_of(ex)->ex = NULL;
	exchange_answer(ex, &answer);
}

void door_answer_flags(struct stage *stage, const char *path, const char *body, unsigned flags)
{
	struct exchange *ex = door_find(stage, path);

	assert_non_null(ex);
	answer_bytes(ex, 200, slice_str(body), flags);
}

void door_answer(struct stage *stage, const char *path, const char *body)
{
	door_answer_flags(stage, path, body, 0);
}

static void answer_big(struct exchange *ex, size_t len)
{
	char *bytes = malloc(len + 1);

	assert_non_null(bytes);
	pattern_fill(bytes, len);
	answer_bytes(ex, 200, slice_from(bytes, len), 0);
	free(bytes);
}

static void answer_pinned(struct stage *stage, struct exchange *ex, const char *numbers)
{
	unsigned long long from, bytes, size;
	char kind;

	assert_int_equal(sscanf(numbers, "%llu/%llu/%llu/%c", &from, &bytes, &size, &kind), 4);
	entry_of(ex)->ex = NULL;
	exchange_answer(ex, &(struct answer){.status = 200,
					     .pin = stage_pin(stage, size, kind == 'i' ? BODY_INLINE : BODY_BLOB),
					     .range_from = from,
					     .range_bytes = bytes});
}

static const char *behind(const char *path, const char *first)
{
	size_t len = strlen(first);

	return strncmp(path, first, len) == 0 ? path + len : NULL;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

enum { PACE_BYTES = 20000 };

static void begin(struct exchange *ex)
{
	exchange_stream_begin(ex, &(struct answer){.status = 200, .content_type = SLICE("text/plain")});
}

/* app[1] counts what was given. */
static void pace(struct exchange *ex, uint64_t total)
{
	char bytes[PACE_BYTES];

	while (ex->app[1] < total && !exchange_stream_is_full(ex)) {
		size_t len = total - ex->app[1] < PACE_BYTES ? (size_t)(total - ex->app[1]) : PACE_BYTES;

		for (size_t i = 0; i < len; i++)
			bytes[i] = pattern_at(ex->app[1] + i);
		ex->app[1] += len;
		exchange_stream_write(ex, slice_from(bytes, len));
	}
	if (ex->app[1] < total)
		return;
	entry_of(ex)->ex = NULL;
	exchange_stream_end(ex);
}

static void begin_paced(struct exchange *ex, uint64_t total)
{
	begin(ex);
	pace(ex, total);
}

static void on_head(struct exchange *ex)
{
	struct stage *stage = stage_of(ex);
	struct entry *entry = &stage->entries[stage->entry_count];
	const char *path = entry->path, *rest;

	assert_true(stage->entry_count < STAGE_ENTRIES_MAX);
	for (size_t i = 0; i < EXCHANGE_APP_BYTES / 8; i++)
		assert_int_equal(ex->app[i], 0);
	ex->app[0] = stage->entry_count++;
	ex->app[EXCHANGE_APP_BYTES / 8 - 1] = UINT64_MAX;
	entry->ex = ex;
	snprintf(entry->path, sizeof(entry->path), "%.*s", (int)ex->request->path.len, ex->request->path.ptr);
	say(stage, "head", path, "");
	if (behind(path, "/now/"))
		answer_bytes(ex, 200, slice_str(path), 0);
	else if (behind(path, "/close/"))
		answer_bytes(ex, 200, slice_str(path), EXCHANGE_CLOSE);
	else if (behind(path, "/tell/"))
		answer_bytes(ex, 200, slice_str(path), EXCHANGE_TELL);
	else if ((rest = behind(path, "/big/")))
		answer_big(ex, number(rest));
	else if ((rest = behind(path, "/pin/")))
		answer_pinned(stage, ex, rest);
	else if (behind(path, "/stream/"))
		begin(ex);
	else if ((rest = behind(path, "/pace/")))
		begin_paced(ex, number(rest));
	else if ((rest = behind(path, "/park/")) || (rest = behind(path, "/again/")))
		exchange_park(ex, number(rest));
	else if ((rest = behind(path, "/memory/")))
		exchange_take_body(ex, BODY_TO_MEMORY, number(rest));
	else if ((rest = behind(path, "/store/")))
		exchange_take_body(ex, BODY_TO_STORE, number(rest));
	else if ((rest = behind(path, "/discard/")))
		exchange_take_body(ex, BODY_DISCARD, number(rest));
	else
		assert_non_null(behind(path, "/hold/"));
}

static void on_body(struct exchange *ex, const struct request_body *body)
{
	struct stage *stage = stage_of(ex);
	struct entry *entry = entry_of(ex);
	char text[80];

	if (body->blob.kind == BODY_BLOB)
		snprintf(text, sizeof(text), " blob %llu %08x", (unsigned long long)body->blob.size_bytes, body->blob.crc);
	else
		snprintf(text, sizeof(text), " %zu %08x", body->bytes.len, crc32c(0, body->bytes.ptr, body->bytes.len));
	say(stage, "body", entry->path, text);
	if (!stage->hold_bodies)
		answer_bytes(ex, 200, slice_str(text), 0);
}

static void on_body_failed(struct exchange *ex, int error)
{
	struct stage *stage = stage_of(ex);

	say(stage, "failed", entry_of(ex)->path, "");
	if (!stage->hold_bodies)
		answer_bytes(ex, error == STORE_NO_SPACE ? 507 : 503, SLICE("no"), 0);
}

static void on_deadline(struct exchange *ex)
{
	struct stage *stage = stage_of(ex);
	struct entry *entry = entry_of(ex);

	assert_false(exchange_is_parked(ex));
	assert_null(ex->request);
	assert_int_equal(ex->app[EXCHANGE_APP_BYTES / 8 - 1], UINT64_MAX);
	say(stage, "deadline", entry->path, "");
	if (behind(entry->path, "/again/") || behind(entry->path, "/stream/"))
		exchange_park(ex, 50000);
	else
		answer_bytes(ex, 204, SLICE(""), 0);
}

static void on_gone(struct exchange *ex)
{
	struct stage *stage = stage_of(ex);
	struct entry *entry = entry_of(ex);

	assert_false(exchange_is_parked(ex));
	say(stage, "gone", entry->path, "");
	entry->ex = NULL;
	if (stage->on_gone)
		stage->on_gone(stage, ex, entry->path);
	if (!stage->keep_gone)
		exchange_done(ex);
}

static void on_written(struct exchange *ex)
{
	struct entry *entry = entry_of(ex);

	say(stage_of(ex), "written", entry->path, "");
	entry->ex = NULL;
}

static void on_drained(struct exchange *ex)
{
	struct stage *stage = stage_of(ex);
	struct entry *entry = entry_of(ex);
	const char *rest = behind(entry->path, "/pace/");

	if (rest)
		pace(ex, number(rest));
	else
		say(stage, "drained", entry->path, "");
}

static void problem(struct buf *out, int status, const char *name, const char *detail)
{
	(void)detail;
	buf_printf(out, "{\"status\":%d,\"type\":\"%s\"}", status, name);
}

const struct exchange_handler stage_door = {
	.on_head = on_head,
	.on_body = on_body,
	.on_body_failed = on_body_failed,
	.on_deadline = on_deadline,
	.on_gone = on_gone,
	.on_written = on_written,
	.on_drained = on_drained,
	.problem = problem,
};
