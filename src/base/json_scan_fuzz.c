/* The scanner beside jansson, which makes a tree of the same bytes: both take them or neither does. They are allowed to differ
 * where jansson cannot hold what RFC 8259 allows (a number beyond a double, a NUL in a key), where it stops reading (at a NUL
 * byte, as if the text ended there), and where the brackets lie deeper than JSON_DEPTH_MAX. Of what the scanner takes, the
 * elements are JSON each for itself, without blanks around; joined by commas they are the array again. */
#include "base/buf.h"
#include "base/json_scan.h"

#include <jansson.h>
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

/* Every number as a double: an integer beyond 64 bits is no fault then. */
static json_t *parse(struct slice text, enum json_error_code *ret_error)
{
	json_error_t error = {0};
	json_t *tree = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);

	*ret_error = tree ? json_error_unknown : json_error_code(&error);
	return tree;
}

/* Brackets within brackets, of sound JSON. */
static size_t depth_of(struct slice text)
{
	size_t depth = 0, deepest = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '[' || c == '{'))
			deepest = ++depth > deepest ? depth : deepest;
		else if (!quoted && (c == ']' || c == '}'))
			depth--;
	}
	return deepest;
}

static bool is_blank(char c)
{
	return memchr(" \t\r\n", c, 4) != NULL;
}

/* `tree` is NULL where jansson could not hold it. */
static void look_at_elements(struct slice text, const json_t *tree)
{
	struct buf joined = {0};
	struct slice element;
	enum json_error_code error;
	size_t at = 0, before = 0, count = 0;
	json_t *again;

	while (json_scan_next(text, &at, &element)) {
		MUST(at > before && at <= text.len);
		before = at;
		MUST(element.ptr >= text.ptr && element.ptr + element.len <= text.ptr + text.len);
		MUST(element.len && !is_blank(element.ptr[0]) && !is_blank(element.ptr[element.len - 1]));
		MUST(json_scan(element) == 0);
		buf_append_str(&joined, count++ ? "," : "[");
		buf_append_slice(&joined, element);
	}
	buf_append_str(&joined, count ? "]" : "[]");
	MUST(!joined.failed);
	MUST(!json_scan_next(text, &at, &element)); /* the end stays the end */
	again = parse(buf_slice(&joined), &error);
	MUST(!again == !tree);
	if (json_is_array(tree))
		MUST(json_equal(again, tree) && json_array_size(tree) == count);
	else if (tree)
		MUST(count == 1 && json_equal(json_array_get(again, 0), tree));
	json_decref(again);
	buf_deinit(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_from(data, size);
	enum json_error_code error;
	json_t *tree = parse(text, &error);
	bool taken = json_scan(text) == 0;

	if (size && memchr(data, 0, size))
		MUST(!taken);
	else if (tree)
		MUST(taken == (depth_of(text) <= JSON_DEPTH_MAX));
	else if (error != json_error_numeric_overflow && error != json_error_null_byte_in_key)
		MUST(!taken);
	if (taken)
		look_at_elements(text, tree);
	json_decref(tree);
	return 0;
}
