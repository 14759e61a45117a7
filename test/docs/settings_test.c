/* Holds bide.conf(5) and packaging/bide.conf to the table of settings.
 *
 * The page has an item for each, in the order of the table:
 *
 *     .It Ic name No = Ar ARG
 *     (what it is for)
 *     .Pp
 *     Default: 55s.
 *     From 1ms to 1h.
 *     Reloaded.
 *
 * where "From …" is left out for those that are no numbers, and "Reloaded." for those that need a restart. */
#include "base/testing.h"

#include "base/text.h"
#include "server/config.h"

#include <string.h>

static const char page_path[] = "doc/man/bide.conf.5", sample_path[] = "packaging/bide.conf";

static char *file_read(const char *path)
{
	FILE *file = fopen(path, "re");
	static char text[256 * 1024];
	size_t len;

	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	assert_true(len > 0 && len < sizeof(text) - 1);
	text[len] = '\0';
	return text;
}

/* The next line, ended by NUL in place; NULL behind the last one. */
static char *next_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

static bool starts_with(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

static bool is_number(const struct setting *setting)
{
	return setting->kind == SETTING_DURATION || setting->kind == SETTING_SIZE || setting->kind == SETTING_COUNT;
}

static void written(const struct setting *setting, uint64_t value, char *out, size_t size)
{
	struct config config = {0};

	memcpy((char *)&config + setting->offset, &value, sizeof(value));
	config_value(&config, setting, out, size);
}

/* What the item of a setting must say, as many as there are lines. */
struct wanted {
	char head[128], line[3][160];
	size_t count;
};

static void wanted_of(const struct setting *setting, struct wanted *w)
{
	char min[64], max[64];

	w->count = 0;
	snprintf(w->head, sizeof(w->head), ".It Ic %s No = Ar %s", setting->name, setting->arg ? setting->arg : "true|false");
	snprintf(w->line[w->count++], sizeof(w->line[0]), "Default: %s.", setting->initial[0] ? setting->initial : "empty");
	if (is_number(setting)) {
		written(setting, setting->min, min, sizeof(min));
		written(setting, setting->max, max, sizeof(max));
		snprintf(w->line[w->count++], sizeof(w->line[0]), "From %s to %s.", min, max);
	}
	if (setting->reload)
		snprintf(w->line[w->count++], sizeof(w->line[0]), "Reloaded.");
}

static bool is_fact(const char *line)
{
	return starts_with(line, "Default: ") || (starts_with(line, "From ") && line[5] >= '0' && line[5] <= '9') ||
	       strcmp(line, "Reloaded.") == 0;
}

static void the_page_has_every_setting_as_it_is(void **state)
{
	char *text = file_read(page_path), *line;
	size_t at = 0, seen = 0;
	struct wanted w = {.count = 0};

	(void)state;
	while ((line = next_line(&text))) {
		if (starts_with(line, ".It Ic ")) {
			assert_int_equal(seen, w.count);
			assert_true(at < setting_count);
			wanted_of(&settings[at++], &w);
			assert_string_equal(line, w.head);
			seen = 0;
		} else if (is_fact(line)) {
			if (seen == w.count)
				fail_msg("%s, %s: too much: %s", page_path, settings[at - 1].name, line);
			assert_string_equal(line, w.line[seen++]);
		}
	}
	assert_int_equal(seen, w.count);
	assert_int_equal(at, setting_count);
}

static const struct setting *setting_named(struct slice name)
{
	for (size_t i = 0; i < setting_count; i++)
		if (slice_eq(name, slice_str(settings[i].name)))
			return &settings[i];
	return NULL;
}

/* Every setting but `salvage`, which is for one start, stands in the sample, and behind a '#' with its default. */
static void the_sample_has_every_setting_with_its_default(void **state)
{
	char *text = file_read(sample_path), *line;
	bool seen[128] = {false};
	size_t count = 0;

	(void)state;
	assert_true(setting_count <= ARRAY_COUNT(seen));
	while ((line = next_line(&text))) {
		bool commented = line[0] == '#' && line[1] != ' ' && line[1] != '\0';
		struct slice value = slice_str(commented ? line + 1 : line), name;
		const struct setting *setting;

		if (!line[0] || (line[0] == '#' && !commented))
			continue;
		name = slice_trim(slice_cut(&value, '='));
		setting = setting_named(name);
		if (!setting)
			fail_msg("%s: there is no setting: %s", sample_path, line);
		assert_false(seen[setting - settings]);
		seen[setting - settings] = true;
		count++;
		if (commented && !slice_eq(slice_trim(value), slice_str(setting->initial)))
			fail_msg("%s: not the default, which is \"%s\": %s", sample_path, setting->initial, line);
	}
	assert_int_equal(count, setting_count - 1);
	assert_false(seen[setting_named(SLICE("salvage")) - settings]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_has_every_setting_as_it_is),
		cmocka_unit_test(the_sample_has_every_setting_with_its_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
