/* Holds doc/kafka.md to the table of what can be set of a topic: each is named, and those from which nothing follows where it
 * says so. */
#include "base/testing.h"

#include "topic/topic_config.h"

#include <stdio.h>
#include <string.h>

static char page[256 * 1024];

static int setup(void **state)
{
	FILE *file = fopen("doc/kafka.md", "re");
	size_t len;

	(void)state;
	assert_non_null(file);
	len = fread(page, 1, sizeof(page) - 1, file);
	fclose(file);
	assert_true(len > 0 && len < sizeof(page) - 1);
	return 0;
}

static bool is_idle(const struct topic_key *key)
{
	size_t len = strlen(key->help), idle = strlen(TOPIC_KEY_IDLE);

	return len >= idle && strcmp(key->help + len - idle, TOPIC_KEY_IDLE) == 0;
}

static void every_key_stands_where_it_belongs(void **state)
{
	char *idle = strstr(page, "From the others nothing follows"), *end = idle ? strstr(idle, "\n\n") : NULL;
	char *honoured = strstr(page, "The server does as these say:");
	size_t count = 0;

	(void)state;
	assert_true(honoured && idle && end && honoured < idle);
	for (size_t i = 0; i < topic_key_count; i++) {
		const struct topic_key *key = &topic_keys[i];
		char name[128];
		const char *at;

		snprintf(name, sizeof(name), "`%s`", key->name);
		at = strstr(is_idle(key) ? idle : honoured, name);
		if (!at || (is_idle(key) ? at > end : at > idle))
			fail_msg("doc/kafka.md: %s is not where it belongs", key->name);
		count += is_idle(key);
	}
	/* And nothing else stands there. */
	for (char *at = idle; (at = memchr(at, '`', (size_t)(end - at))); at++)
		count -= (at[1] >= 'a' && at[1] <= 'z');
	assert_true(count == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(every_key_stands_where_it_belongs, setup)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
