#include "http/codec/field.h"

#include <errno.h>

/* tchar of RFC 9110 §5.6.2, one bit a character. */
static bool is_tchar(unsigned char c)
{
	static const uint64_t bits[2] = {0x03ff6cfa00000000u, 0x57ffffffc7fffffeu};

	return c < 128 && (bits[c / 64] >> c % 64 & 1);
}

bool field_is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_tchar((unsigned char)s.ptr[i]))
			return false;
	}
	return s.len > 0;
}

/* The length of what stands before the next `end` that is not inside quotes. */
static size_t span(struct slice s, char end)
{
	bool quoted = false;
	size_t i = 0;

	for (; i < s.len && (quoted || s.ptr[i] != end); i++) {
		if (quoted && s.ptr[i] == '\\' && i + 1 < s.len)
			i++;
		else if (s.ptr[i] == '"')
			quoted = !quoted;
	}
	return i;
}

static struct slice cut_at(struct slice *s, char end)
{
	size_t len = span(*s, end);
	struct slice head = slice_from(s->ptr, len);
	size_t used = len < s->len ? len + 1 : len;

	*s = slice_from(s->ptr + used, s->len - used);
	return slice_trim(head);
}

bool field_list_next(struct slice *list, struct slice *ret_item)
{
	while (list->len) {
		struct slice item = cut_at(list, ',');

		if (item.len) {
			*ret_item = item;
			return true;
		}
	}
	return false;
}

int field_unquote(struct slice s, char *out, size_t *ret_len)
{
	size_t len = 0;

	if (field_is_token(s)) {
		memcpy(out, s.ptr, s.len);
		*ret_len = s.len;
		return 0;
	}
	if (s.len < 2 || s.ptr[0] != '"' || s.ptr[s.len - 1] != '"')
		return -EINVAL;
	for (size_t i = 1; i < s.len - 1; i++) {
		if (s.ptr[i] == '"')
			return -EINVAL;
		if (s.ptr[i] == '\\' && ++i == s.len - 1)
			return -EINVAL;
		out[len++] = s.ptr[i];
	}
	*ret_len = len;
	return 0;
}

static int unquoted_u64(struct slice s, uint64_t *ret_value)
{
	if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
		s = slice_from(s.ptr + 1, s.len - 2);
	return slice_u64(s, ret_value);
}

void prefer_parse(struct slice value, struct prefer *prefer)
{
	struct slice item;

	while (field_list_next(&value, &item)) {
		struct slice preference = cut_at(&item, ';'); /* parameters are ignored */
		struct slice name = cut_at(&preference, '=');

		if (slice_eq_nocase(name, SLICE("respond-async"))) {
			prefer->respond_async = true;
		} else if (slice_eq_nocase(name, SLICE("wait")) && !prefer->has_wait) {
			uint64_t wait_s;

			if (unquoted_u64(slice_trim(preference), &wait_s) == 0) {
				prefer->has_wait = true;
				prefer->wait_s = wait_s;
			}
		}
	}
}

/* first-pos "-" [ last-pos ] or "-" suffix-length; RANGE_NONE: malformed. */
static enum range_kind range_one(struct slice spec, uint64_t size_bytes, uint64_t *ret_from, uint64_t *ret_bytes)
{
	struct slice rest = spec, first = slice_cut(&rest, '-');
	uint64_t from, last;

	if (first.len == spec.len)
		return RANGE_NONE;
	if (first.len == 0) {
		if (slice_u64(rest, &last))
			return RANGE_NONE;
		if (last == 0 || size_bytes == 0)
			return RANGE_UNSATISFIABLE;
		*ret_bytes = last < size_bytes ? last : size_bytes;
		*ret_from = size_bytes - *ret_bytes;
		return RANGE_PART;
	}
	if (slice_u64(first, &from) || (rest.len && slice_u64(rest, &last)))
		return RANGE_NONE;
	if (rest.len && last < from)
		return RANGE_NONE;
	if (from >= size_bytes)
		return RANGE_UNSATISFIABLE;
	if (!rest.len || last >= size_bytes)
		last = size_bytes - 1;
	*ret_from = from;
	*ret_bytes = last - from + 1;
	return RANGE_PART;
}

enum range_kind range_parse(struct slice value, uint64_t size_bytes, uint64_t *ret_from, uint64_t *ret_bytes)
{
	struct slice rest = value, unit = slice_trim(slice_cut(&rest, '=')), item;
	uint64_t from = 0, bytes = 0;
	unsigned count = 0, parts = 0;

	if (unit.len == value.len || !slice_eq_nocase(unit, SLICE("bytes")))
		return RANGE_NONE;
	while (field_list_next(&rest, &item)) {
		enum range_kind kind = range_one(item, size_bytes, &from, &bytes);

		if (kind == RANGE_NONE)
			return RANGE_NONE;
		count++;
		parts += kind == RANGE_PART;
	}
	if (count == 0)
		return RANGE_NONE;
	if (parts == 0)
		return RANGE_UNSATISFIABLE;
	if (count > 1)
		return RANGE_NONE;
	*ret_from = from;
	*ret_bytes = bytes;
	return RANGE_PART;
}
