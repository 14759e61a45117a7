#include "subscription/glob.h"

#include "base/testing.h"

static void segments(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool matches;
	} cases[] = {
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a/b", false},
		{"a/b", "a", false},
		{"*", "a", true},
		{"*", "a/b", false},
		{"events/*", "events/x", true},
		{"events/*", "events", false},
		{"events/*", "events/x/y", false},
		{"events/*", "event/x", false},
		{"*/x", "a/x", true},
		{"*/x", "x", false},
		{"a/*/c", "a/b/c", true},
		{"a/*/c", "a/b/b/c", false},
		{"**", "a", true},
		{"**", "a/b/c", true},
		{"a/**", "a", true},
		{"a/**", "a/b", true},
		{"a/**", "a/b/c", true},
		{"a/**", "b/a", false},
		{"**/c", "c", true},
		{"**/c", "a/b/c", true},
		{"**/c", "a/b/cc", false},
		{"a/**/c", "a/c", true},
		{"a/**/c", "a/c/c/b/c", true},
		{"a/**/c", "a/c/c/b", false},
		{"**/a/**", "x/a/y", true},
		{"**/a/**", "x/b/y", false},
		{"**/a/*/b/**/c", "a/b/b/a/x/b/c", true},
		{"**/a/*/b/**/c", "a/b/b/a/x/b", false},
		{"**/*", "a/b", true},
		{"**/**", "a", true},
		{"a*", "ab", false}, /* a star within a segment is itself */
		{"a*", "a*", true},
		{"a/", "a/", true},
		{"a/", "a", false},
		{"a/*", "a/", true}, /* an empty segment is one */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		if (glob_match(slice_str(cases[i].pattern), slice_str(cases[i].path)) != cases[i].matches)
			fail_msg("%s %s", cases[i].pattern, cases[i].path);
	}
}

/* As it is said, without a thought for time. */
static bool naive(const char *pattern, const char *path)
{
	size_t p = strcspn(pattern, "/"), s = strcspn(path, "/");
	const char *pattern_rest = pattern[p] ? pattern + p + 1 : NULL, *path_rest = path[s] ? path + s + 1 : NULL;

	if (p == 2 && strncmp(pattern, "**", 2) == 0) {
		if (!pattern_rest)
			return true;
		return naive(pattern_rest, path) || (path_rest && naive(pattern, path_rest));
	}
	if (!(p == 1 && *pattern == '*') && (p != s || strncmp(pattern, path, p) != 0))
		return false;
	if (!pattern_rest || !path_rest)
		return !path_rest && (!pattern_rest || strcmp(pattern_rest, "**") == 0);
	return naive(pattern_rest, path_rest);
}

static void make(struct test_random *random, const char *const *words, unsigned count, char *out)
{
	unsigned left = 1 + (unsigned)test_random_below(random, 6);
	const char *last = "";

	*out = '\0';
	while (left-- > 0) {
		const char *word = words[test_random_below(random, count)];

		if (strcmp(word, "**") == 0 && strcmp(last, "**") == 0) /* the naive one does not look so far ahead */
			continue;
		if (*out)
			strncat(out, "/", 2);
		strncat(out, word, 3);
		last = word;
	}
}

static void as_the_naive_one(void **state)
{
	static const char *const words[] = {"a", "b", "*", "**"};
	struct test_random random = test_random_start("glob");
	unsigned matched = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		char pattern[32], path[32];
		bool is;

		make(&random, words, 4, pattern);
		make(&random, words, 2, path);
		is = glob_match(slice_str(pattern), slice_str(path));
		matched += is;
		if (is != naive(pattern, path))
			fail_msg("%s %s: %d", pattern, path, is);
	}
	assert_true(matched > 10000);
}

/* Many stars do not make it slow: 2^500 steps would not end. */
static void no_pattern_is_slow(void **state)
{
	char pattern[1024], path[1024];

	(void)state;
	for (size_t i = 0; i < 1020; i += 5)
		memcpy(pattern + i, "**/a/", 5);
	memcpy(pattern + 1020, "b", 2);
	for (size_t i = 0; i < 1020; i += 2)
		memcpy(path + i, "a/", 2);
	memcpy(path + 1020, "c", 2);
	assert_false(glob_match(slice_str(pattern), slice_str(path)));
	memcpy(path + 1020, "b", 2);
	assert_true(glob_match(slice_str(pattern), slice_str(path)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments),
		cmocka_unit_test(as_the_naive_one),
		cmocka_unit_test(no_pattern_is_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
