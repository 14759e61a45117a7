/* Regular expressions of topics' names, over PCRE2: they must match a name as a whole. How long one match may take, and how much
 * memory, is bounded. */
#pragma once

#include "base/slice.h"

struct pattern;

/* 0, -EINVAL (no regular expression, or too large a one), -ENOMEM. */
int pattern_new(struct slice text, struct pattern **ret_pattern) MUST_USE;
struct pattern *pattern_free(struct pattern *pattern); /* NULL is fine */
struct slice pattern_text(const struct pattern *pattern);
/* 1: it does; 0: it does not; -E2BIG: that takes too long; -ENOMEM. */
int pattern_matches(const struct pattern *pattern, struct slice name) MUST_USE;
