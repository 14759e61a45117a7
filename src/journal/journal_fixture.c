#include "journal/journal_fixture.h"

#include "base/mem.h"
#include "journal/journal_priv.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void said(void *ctx, const char *line)
{
	struct fixture *f = ctx;

	buf_append_str(&f->said, line);
	buf_append_char(&f->said, '\n');
}

void fixture_init(struct fixture *f)
{
	const char *tmp = getenv("TMPDIR");

	*f = (struct fixture){.retain = true, .now_ms = 1000};
	snprintf(f->dir, sizeof(f->dir), "%s/journal-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	f->config = (struct journal_config){
		.dir = f->dir, .segment_bytes = FIXTURE_SEGMENT_BYTES, .sync_interval_ms = 10, .diag = said, .diag_ctx = f};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fixture_deinit(struct fixture *f)
{
	fixture_stop(f);
	nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	buf_deinit(&f->said);
	mem_free(f->seen);
}

static int replay(void *ctx, const struct store_replay *entry)
{
	struct fixture *f = ctx;
	struct seen *seen;

	if (entry->type == 99 && f->replay_error)
		return f->replay_error;
	if (f->seen_count == f->seen_cap) {
		f->seen_cap = f->seen_cap ? 2 * f->seen_cap : 64;
		f->seen = realloc(f->seen, f->seen_cap * sizeof(*f->seen));
		assert_non_null(f->seen);
	}
	seen = &f->seen[f->seen_count++];
	*seen = (struct seen){.entry = *entry, .fields_len = entry->fields.len, .checkpoint = entry->position == 0};
	if (entry->fields.len)
		memcpy(seen->fields, entry->fields.ptr,
		       entry->fields.len < sizeof(seen->fields) ? entry->fields.len : sizeof(seen->fields));
	if (f->retain && entry->body_bytes)
		f->store->ops->body_retain(f->store, &(struct body_ref){.kind = BODY_INLINE,
									.place = entry->body_place,
									.size_bytes = entry->body_bytes,
									.crc = entry->body_crc});
	return 0;
}

int fixture_try(struct fixture *f)
{
	struct journal_replay replaying = {.ctx = f, .entry = replay};
	int r = journal_open(&f->config, &f->journal);

	f->seen_count = 0;
	if (r != 0)
		return r;
	f->store = journal_store(f->journal);
	r = journal_recover(f->journal, &replaying);
	if (r != 0)
		fixture_stop(f);
	return r;
}

void fixture_start(struct fixture *f)
{
	int r = fixture_try(f);

	if (r != 0)
		print_error("%.*s", (int)f->said.len, f->said.ptr);
	assert_int_equal(r, 0);
}

void fixture_stop(struct fixture *f)
{
	journal_close(f->journal);
	f->journal = NULL;
}

void fixture_restart(struct fixture *f)
{
	fixture_stop(f);
	fixture_start(f);
}

struct store_appended fixture_append(struct fixture *f, uint8_t type, const char *fields, struct slice body)
{
	struct store_entry entry = {.type = type, .shard = 7, .time_ms = f->now_ms, .fields = slice_str(fields), .body = body};
	struct store_appended appended;

	assert_int_equal(f->store->ops->append(f->store, &entry, &appended), 0);
	if (body.len)
		f->store->ops->body_retain(f->store, &appended.body);
	return appended;
}

void fixture_commit(struct fixture *f)
{
	if (!journal_commit_begin(f->journal))
		return;
	journal_commit_run(f->journal);
	assert_int_equal(journal_commit_end(f->journal), 0);
}

void fixture_until(struct fixture *f, bool (*done)(struct fixture *f))
{
	time_t give_up = time(NULL) + 60;

	for (;;) {
		journal_turn(f->journal, f->now_ms++);
		if (done(f))
			return;
		assert_true(time(NULL) < give_up);
		sched_yield();
	}
}

static bool checkpoint_over(struct fixture *f)
{
	return !f->journal->checkpoint;
}

void fixture_checkpoint(struct fixture *f, const char *const *fields, size_t count)
{
	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(journal_checkpoint_add(f->journal, 50, slice_str(fields[i])), 0);
	assert_int_equal(journal_checkpoint_end(f->journal), 0);
	fixture_commit(f);
	fixture_until(f, checkpoint_over);
	journal_turn(f->journal, f->now_ms++);
	assert_false(fixture_said(f, "checkpoint failed"));
}

bool fixture_said(const struct fixture *f, const char *text)
{
	return f->said.len && memmem(f->said.ptr, f->said.len, text, strlen(text)) != NULL;
}

void fixture_path(const struct fixture *f, const char *name, char out[512])
{
	snprintf(out, 512, "%s/%s", f->dir, name);
}

size_t fixture_files(const struct fixture *f, const char *sub)
{
	char path[512];
	size_t count = 0;
	DIR *dir;

	fixture_path(f, sub, path);
	dir = opendir(path);
	if (!dir)
		return 0;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (entry->d_name[0] != '.')
			count++;
	closedir(dir);
	return count;
}

void fixture_fill(char *out, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		out[i] = (char)(x >> 24);
	}
}

void fixture_expect_body(struct fixture *f, const struct body_ref *ref, struct slice bytes)
{
	struct store_pin *pin = f->store->ops->pin(f->store, ref);
	char *out = malloc(bytes.len + 1);

	assert_non_null(pin);
	assert_non_null(out);
	assert_int_equal(pin->ref.size_bytes, bytes.len);
	assert_int_equal(pin->ops->read_whole(pin, out), 0);
	assert_memory_equal(out, bytes.ptr, bytes.len);
	pin->ops->unpin(pin);
	free(out);
}
