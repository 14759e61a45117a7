#define PCRE2_CODE_UNIT_WIDTH 8
#include "group/pattern.h"

#include "base/mem.h"

#include <errno.h>
#include <pcre2.h>

enum {
	STEPS_MAX = 10000, /* of one match */
	HEAP_KIB_MAX = 1024,
	NESTING_MAX = 50,
};

struct pattern {
	pcre2_general_context *memory;
	pcre2_code *code;
	pcre2_match_context *limits;
	pcre2_match_data *match;
	size_t len;
	char text[];
};

static void *take(PCRE2_SIZE size_bytes, void *ctx)
{
	(void)ctx;
	return mem_alloc(size_bytes);
}

static void give(void *ptr, void *ctx)
{
	(void)ctx;
	mem_free(ptr);
}

static int compile(struct pattern *pattern)
{
	const uint32_t options =
		PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
	pcre2_compile_context *context = pcre2_compile_context_create(pattern->memory);
	PCRE2_SIZE at;
	int error;

	if (!context)
		return -ENOMEM;
	pcre2_set_parens_nest_limit(context, NESTING_MAX);
	pattern->code = pcre2_compile((PCRE2_SPTR)pattern->text, pattern->len, options, &error, &at, context);
	pcre2_compile_context_free(context);
	if (pattern->code)
		return 0;
	return error == PCRE2_ERROR_NOMEMORY || error == PCRE2_ERROR_HEAP_FAILED ? -ENOMEM : -EINVAL;
}

int pattern_new(struct slice text, struct pattern **ret_pattern)
{
	struct pattern *pattern = mem_zalloc(sizeof(*pattern) + text.len + 1);
	int r = -ENOMEM;

	if (!pattern)
		return -ENOMEM;
	pattern->len = text.len;
	if (text.len)
		memcpy(pattern->text, text.ptr, text.len);
	pattern->memory = pcre2_general_context_create(take, give, NULL);
	if (pattern->memory)
		r = compile(pattern);
	if (!r) {
		pattern->limits = pcre2_match_context_create(pattern->memory);
		pattern->match = pcre2_match_data_create(1, pattern->memory);
		r = pattern->limits && pattern->match ? 0 : -ENOMEM;
	}
	if (r) {
		pattern_free(pattern);
		return r;
	}
	pcre2_set_match_limit(pattern->limits, STEPS_MAX);
	pcre2_set_depth_limit(pattern->limits, STEPS_MAX);
	pcre2_set_heap_limit(pattern->limits, HEAP_KIB_MAX);
	*ret_pattern = pattern;
	return 0;
}

struct pattern *pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return NULL;
	pcre2_match_data_free(pattern->match);
	pcre2_match_context_free(pattern->limits);
	pcre2_code_free(pattern->code);
	pcre2_general_context_free(pattern->memory);
	return mem_free(pattern);
}

struct slice pattern_text(const struct pattern *pattern)
{
	return slice_from(pattern->text, pattern->len);
}

int pattern_matches(const struct pattern *pattern, struct slice name)
{
	int r = pcre2_match(pattern->code, (PCRE2_SPTR)name.ptr, name.len, 0, 0, pattern->match, pattern->limits);

	if (r >= 0)
		return 1;
	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	return r == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -E2BIG;
}
