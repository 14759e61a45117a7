/* Bodies seen where they lie: right or not at all, also when the file is cut under the mapping. */
#include "journal/journal_fixture.h"
#include "journal/journal_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG = 300000 };

struct view {
	struct fixture f;
	struct body_ref body, last; /* long ones: in the first segment, in the one that is being written */
	char file[512];             /* the first segment */
	char bytes[LONG];
};

/* It lies in a segment that nobody writes to any more, not even zeros. */
static int setup(void **state)
{
	struct view *v = calloc(1, sizeof(*v));
	struct body_ref body;

	fixture_init(&v->f);
	fixture_start(&v->f);
	v->f.retain = true;
	fixture_fill(v->bytes, LONG, 7);
	v->body = body = fixture_append(&v->f, 1, "long", slice_from(v->bytes, LONG)).body;
	while (body.place < FIXTURE_SEGMENT_BYTES)
		body = fixture_append(&v->f, 1, "more", slice_from(v->bytes, LONG)).body;
	fixture_commit(&v->f);
	v->last = body;
	fixture_restart(&v->f);
	fixture_path(&v->f, "journal/0000000000000000.seg", v->file);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct view *v = *state;

	fixture_deinit(&v->f);
	free(v);
	return 0;
}

static struct store_pin *pin_of(struct view *v, const struct body_ref *body)
{
	struct store_pin *pin = v->f.store->ops->pin(v->f.store, body);

	assert_non_null(pin);
	return pin;
}

/* Segments that are mapped into this process. */
static size_t mapped(const struct fixture *f)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	size_t count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, f->dir) && strstr(line, ".seg");
	fclose(maps);
	return count;
}

static void a_body_is_seen_where_it_lies(void **state)
{
	struct view *v = *state;
	struct body_ref small = fixture_append(&v->f, 1, "short", SLICE("12345678")).body;
	struct store_pin *pin;
	const char *view;

	fixture_commit(&v->f);
	pin = pin_of(v, &v->body);
	view = pin->ops->view(pin);
	assert_non_null(view);
	assert_memory_equal(view, v->bytes, LONG);
	assert_ptr_equal(pin->ops->view(pin), view);
	pin->ops->unpin(pin);
	pin = pin_of(v, &small);
	assert_null(pin->ops->view(pin));
	pin->ops->unpin(pin);
}

static void what_changed_is_not_seen(void **state)
{
	struct view *v = *state;
	struct store_pin *pin = pin_of(v, &v->body);
	int fd = open(v->file, O_WRONLY);
	const char wrong = (char)~v->bytes[200000];

	assert_non_null(pin->ops->view(pin));
	assert_int_equal(pwrite(fd, &wrong, 1, (off_t)v->body.place + 200000), 1);
	assert_null(pin->ops->view(pin));
	assert_int_equal(pwrite(fd, &v->bytes[200000], 1, (off_t)v->body.place + 200000), 1);
	assert_non_null(pin->ops->view(pin));
	close(fd);
	pin->ops->unpin(pin);
}

/* As a page is that the disk does not give: there is nothing behind the mapping. */
static void what_cannot_be_read_is_not_seen(void **state)
{
	struct view *v = *state;
	struct store_pin *pin = pin_of(v, &v->body);
	char *out = malloc(LONG);
	const char *view = pin->ops->view(pin);
	int pair[2];

	assert_non_null(view);
	assert_int_equal(truncate(v->file, (off_t)v->body.place + 100000), 0);
	for (int i = 0; i < 3; i++) {
		assert_null(pin->ops->view(pin));
		assert_int_equal(pin->ops->read_whole(pin, out), -EIO);
	}
	/* Who was given it before: the system says so. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(send(pair[0], view + 200000, 1000, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EFAULT);
	close(pair[0]);
	close(pair[1]);
	pin->ops->unpin(pin);
	free(out);
}

static void whoever_else_looks_there_is_ended(void **state)
{
	struct view *v = *state;
	struct store_pin *pin = pin_of(v, &v->body);
	const char *view = pin->ops->view(pin);
	int status;
	pid_t child;

	assert_int_equal(truncate(v->file, (off_t)v->body.place), 0);
	assert_null(pin->ops->view(pin));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(*(const volatile char *)(view + 200000));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	pin->ops->unpin(pin);
}

static bool one_mapped(struct fixture *f)
{
	return mapped(f) == 1;
}

static void view_once(struct view *v, const struct body_ref *body)
{
	struct store_pin *pin = pin_of(v, body);

	assert_non_null(pin->ops->view(pin));
	pin->ops->unpin(pin);
}

/* What is needed is mapped, and of what is not the newest, within a limit. */
static void not_everything_stays_mapped(void **state)
{
	struct view *v = *state;
	struct store_pin *first = pin_of(v, &v->body), *second = pin_of(v, &v->body);
	const char *view;

	assert_int_equal(mapped(&v->f), 0);
	view_once(v, &v->body);
	view_once(v, &v->last);
	assert_int_equal(mapped(&v->f), 2);
	view_once(v, &v->body);
	v->f.journal->mapped_max = 0; /* one all the same */
	first->ops->unpin(first);
	assert_int_equal(mapped(&v->f), 2);
	view = second->ops->view(second);
	view_once(v, &v->last);
	view_once(v, &v->last);
	assert_int_equal(mapped(&v->f), 2);
	assert_memory_equal(view, v->bytes, LONG);
	second->ops->unpin(second);
	fixture_until(&v->f, one_mapped); /* what zeros are being written to may be needed for a moment longer */
	view_once(v, &v->body);
	fixture_until(&v->f, one_mapped);
	view_once(v, &v->last);
	fixture_until(&v->f, one_mapped);
	fixture_stop(&v->f);
	assert_int_equal(mapped(&v->f), 0);
	fixture_start(&v->f);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_body_is_seen_where_it_lies),      TEST(what_changed_is_not_seen),    TEST(what_cannot_be_read_is_not_seen),
		TEST(whoever_else_looks_there_is_ended), TEST(not_everything_stays_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
