#include "base/testing.h"
#include "cli/work.h"

#include <string.h>

struct line_case {
	const char *line;
	double fraction; /* -1: not told */
	const char *message;
};

static const struct line_case cases[] = {
	{"0.42 resizing", 0.42, "resizing"},
	{"0.42", 0.42, ""},
	{"42% resizing", 0.42, "resizing"},
	{"42%", 0.42, ""},
	{"42.5% x", 0.425, "x"},
	{"100%", 1, ""},
	{"1.0 all", 1, "all"},
	{"0", 0, ""},
	{"1", 1, ""},
	{".5", 0.5, ""},
	{"  0.5\tx  y", 0.5, "x  y"},
	{"resizing", -1, "resizing"},
	{"1 file left", -1, "1 file left"},
	{"3", -1, "3"},
	{"101% x", -1, "101% x"},
	{"1.5 x", -1, "1.5 x"},
	{"0.5x y", -1, "0.5x y"},
	{"0.5.5", -1, "0.5.5"},
	{"-0.5", -1, "-0.5"},
	{"%", -1, "%"},
	{".", -1, "."},
	{"42 %", -1, "42 %"},
	{"a\xff\xc3\xa4", -1, "a?\xc3\xa4"},
};

static void lines_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct work_progress progress = {.fraction = -1};
		double off;

		work_progress_line(&progress, cases[i].line);
		off = progress.fraction - cases[i].fraction;
		if (off > 1e-9 || off < -1e-9 || strcmp(progress.message, cases[i].message) != 0 || !progress.news)
			fail_msg("\"%s\" gave %f \"%s\"", cases[i].line, progress.fraction, progress.message);
	}
}

static void a_message_stays_until_the_next_one(void **state)
{
	struct work_progress progress = {.fraction = -1};

	(void)state;
	work_progress_line(&progress, "0.1 first");
	work_progress_line(&progress, "0.2");
	assert_string_equal(progress.message, "first");
	work_progress_line(&progress, "second");
	assert_true(progress.fraction > 0.19);
	assert_string_equal(progress.message, "second");
	progress.news = false;
	work_progress_line(&progress, "   ");
	assert_false(progress.news);
}

/* The same lines whole, split at every byte, and byte by byte. */
static void pieces_make_lines(void **state)
{
	static const char text[] = "0.1 one\n0.25 two\r\n\nthree\n90%\n";
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t cut = 0; cut <= len; cut++) {
		struct work_progress whole = {.fraction = -1}, bytes = {.fraction = -1};

		work_progress_feed(&whole, text, cut);
		work_progress_feed(&whole, text + cut, len - cut);
		for (size_t i = 0; i < len; i++)
			work_progress_feed(&bytes, text + i, 1);
		assert_true(whole.fraction > 0.89 && whole.fraction < 0.91);
		assert_string_equal(whole.message, "three");
		assert_string_equal(bytes.message, whole.message);
		assert_int_equal(whole.len, 0);
	}
}

static void long_lines_are_cut(void **state)
{
	struct work_progress progress = {.fraction = -1};

	(void)state;
	for (int i = 0; i < 100000; i++)
		work_progress_feed(&progress, "\xc3\xa4", 2);
	work_progress_feed(&progress, "\n0.5", 4);
	assert_true(strlen(progress.message) > WORK_LINE_BYTES / 2 && strlen(progress.message) < WORK_LINE_BYTES);
	assert_int_equal((unsigned char)progress.message[strlen(progress.message) - 1], 0xa4);
	assert_true(progress.fraction < 0); /* its line has not ended */
	work_progress_feed(&progress, "\n", 1);
	assert_true(progress.fraction > 0.49);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_understood),
		cmocka_unit_test(a_message_stays_until_the_next_one),
		cmocka_unit_test(pieces_make_lines),
		cmocka_unit_test(long_lines_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
