#include "subscription/glob.h"

static bool is_any(struct slice segment)
{
	return slice_eq(segment, SLICE("**"));
}

/* The first segment is cut off; false when there is none left. A path "a/" has two segments, of which the second is empty. */
static bool next(struct slice *rest, struct slice *ret_segment)
{
	const char *slash;

	if (!rest->ptr)
		return false;
	slash = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
	if (!slash) {
		*ret_segment = *rest;
		*rest = (struct slice){0};
		return true;
	}
	*ret_segment = slice_from(rest->ptr, (size_t)(slash - rest->ptr));
	*rest = slice_from(slash + 1, rest->len - ret_segment->len - 1);
	return true;
}

/* As long as what follows the last "**" does not fit, that takes one segment more. What comes before it fitted as early as it
 * could, and to let it fit later would leave less to the rest: earlier ones need never be tried again. */
bool glob_match(struct slice pattern, struct slice path)
{
	struct slice after_any = {0}, taken = {0}, segment, want, rest;
	bool any = false;

	for (;;) {
		rest = pattern;
		if (next(&rest, &want) && is_any(want)) {
			any = true;
			pattern = after_any = rest;
			taken = path;
			continue;
		}
		if (!path.ptr && !pattern.ptr)
			return true;
		if (path.ptr && pattern.ptr) {
			struct slice left = path;

			next(&left, &segment);
			if (slice_eq(want, SLICE("*")) || slice_eq(want, segment)) {
				pattern = rest;
				path = left;
				continue;
			}
		}
		if (!any || !next(&taken, &segment))
			return false;
		pattern = after_any;
		path = taken;
	}
}
