/* A machine that knows, after each token, what may come next. The brackets that are open lie in a bit each, so that a text of any
 * shape needs no stack and no memory.
 *
 * What RFC 8259 leaves to the reader: a surrogate without its other half is refused (§8.2: what a reader makes of it is
 * "unpredictable"), and so is a byte order mark (§8.1). Numbers of any size and keys that occur twice are taken. */
#include "base/json_scan.h"

#include "base/text.h"

#include <errno.h>

enum expect {
	EXPECT_VALUE,
	EXPECT_ELEMENT, /* behind '[': a value or ']' */
	EXPECT_MEMBER,  /* behind '{': a key or '}' */
	EXPECT_KEY,     /* behind a comma in an object */
	EXPECT_COMMA,   /* behind a value in brackets: ',' or the closing bracket */
	EXPECT_END,
	EXPECT_NOTHING, /* it is not JSON */
};

struct scanner {
	const char *at, *end;
	unsigned depth;
	uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit n: the n-th bracket that is open is '{' */
};

/* Does the next byte lie between the two? A bounded look: false at the end. */
static bool peek(const struct scanner *s, char low, char high)
{
	return s->at < s->end && *s->at >= low && *s->at <= high;
}

static bool take(struct scanner *s, char c)
{
	if (!peek(s, c, c))
		return false;
	s->at++;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct scanner *s)
{
	while (s->at < s->end && is_blank(*s->at))
		s->at++;
}

static bool take_digits(struct scanner *s)
{
	const char *from = s->at;

	while (peek(s, '0', '9'))
		s->at++;
	return s->at > from;
}

/* RFC 8259 §6 */
static bool take_number(struct scanner *s)
{
	take(s, '-');
	if (!take(s, '0') && !take_digits(s))
		return false;
	if (take(s, '.') && !take_digits(s))
		return false;
	if (take(s, 'e') || take(s, 'E')) {
		if (!take(s, '+'))
			take(s, '-');
		return take_digits(s);
	}
	return true; /* a digit behind "0" is found by whoever expects a comma or the end */
}

static bool take_word(struct scanner *s, struct slice word)
{
	if (!slice_starts_with(slice_from(s->at, (size_t)(s->end - s->at)), word))
		return false;
	s->at += word.len;
	return true;
}

/* The four hexadecimal digits behind \u. */
static bool take_unit(struct scanner *s, unsigned *ret_unit)
{
	unsigned unit = 0;

	for (int i = 0; i < 4; i++, s->at++) {
		if (peek(s, '0', '9'))
			unit = unit << 4 | (unsigned)(*s->at - '0');
		else if (peek(s, 'a', 'f') || peek(s, 'A', 'F'))
			unit = unit << 4 | (unsigned)((*s->at | 0x20) - 'a' + 10);
		else
			return false;
	}
	*ret_unit = unit;
	return true;
}

/* What follows a backslash. */
static bool take_escape(struct scanner *s)
{
	unsigned unit;

	if (s->at == s->end)
		return false;
	if (!take(s, 'u'))
		return memchr("\"\\/bfnrt", *s->at++, 8) != NULL;
	if (!take_unit(s, &unit))
		return false;
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	return unit < 0xdc00 && take(s, '\\') && take(s, 'u') && take_unit(s, &unit) && unit >= 0xdc00 && unit <= 0xdfff;
}

static bool take_string(struct scanner *s)
{
	if (!take(s, '"'))
		return false;
	while (s->at < s->end) {
		unsigned char c = (unsigned char)*s->at;
		size_t len = c < 0x80 ? 1 : text_utf8_len(slice_from(s->at, (size_t)(s->end - s->at)));

		if (c < 0x20 || len == 0)
			return false;
		s->at += len;
		if (c == '"')
			return true;
		if (c == '\\' && !take_escape(s))
			return false;
	}
	return false;
}

static bool in_object(const struct scanner *s)
{
	return s->objects[(s->depth - 1) / 64] >> (s->depth - 1) % 64 & 1;
}

static enum expect open_bracket(struct scanner *s, bool object)
{
	uint64_t bit = UINT64_C(1) << s->depth % 64, *word;

	if (s->depth == JSON_DEPTH_MAX)
		return EXPECT_NOTHING;
	word = &s->objects[s->depth / 64];
	*word = object ? *word | bit : *word & ~bit;
	s->depth++;
	return object ? EXPECT_MEMBER : EXPECT_ELEMENT;
}

static enum expect behind_value(const struct scanner *s)
{
	return s->depth ? EXPECT_COMMA : EXPECT_END;
}

static enum expect value(struct scanner *s)
{
	bool ok;

	if (take(s, '{'))
		return open_bracket(s, true);
	if (take(s, '['))
		return open_bracket(s, false);
	if (peek(s, '"', '"'))
		ok = take_string(s);
	else if (peek(s, '-', '-') || peek(s, '0', '9'))
		ok = take_number(s);
	else
		ok = take_word(s, SLICE("true")) || take_word(s, SLICE("false")) || take_word(s, SLICE("null"));
	return ok ? behind_value(s) : EXPECT_NOTHING;
}

static enum expect key(struct scanner *s)
{
	if (!take_string(s))
		return EXPECT_NOTHING;
	skip_blanks(s);
	return take(s, ':') ? EXPECT_VALUE : EXPECT_NOTHING;
}

/* The closing bracket, or what `otherwise` makes of it. */
static enum expect close_or(struct scanner *s, char bracket, enum expect (*otherwise)(struct scanner *))
{
	if (!take(s, bracket))
		return otherwise(s);
	s->depth--;
	return behind_value(s);
}

static enum expect comma(struct scanner *s)
{
	if (!take(s, ','))
		return EXPECT_NOTHING;
	return in_object(s) ? EXPECT_KEY : EXPECT_VALUE;
}

static enum expect step(struct scanner *s, enum expect expected)
{
	switch (expected) {
	case EXPECT_VALUE:
		return value(s);
	case EXPECT_ELEMENT:
		return close_or(s, ']', value);
	case EXPECT_MEMBER:
		return close_or(s, '}', key);
	case EXPECT_KEY:
		return key(s);
	case EXPECT_COMMA:
		return close_or(s, in_object(s) ? '}' : ']', comma);
	case EXPECT_END: /* something stands behind the value */
	case EXPECT_NOTHING:
		break;
	}
	return EXPECT_NOTHING;
}

static struct scanner scanner_of(struct slice text, size_t at)
{
	const char *ptr = text.ptr ? text.ptr : "";

	return (struct scanner){.at = ptr + at, .end = ptr + text.len};
}

int json_scan(struct slice text)
{
	struct scanner s = scanner_of(text, 0);
	enum expect expected = EXPECT_VALUE;

	for (skip_blanks(&s); s.at < s.end && expected != EXPECT_NOTHING; skip_blanks(&s))
		expected = step(&s, expected);
	return expected == EXPECT_END ? 0 : -EBADMSG;
}

/* Passes over the string whose opening quote has been taken; it is sound. */
static void pass_string(struct scanner *s)
{
	for (; s->at < s->end && *s->at != '"'; s->at++) {
		if (*s->at == '\\' && s->end - s->at > 1)
			s->at++;
	}
	take(s, '"');
}

/* To the comma or bracket that ends the element. */
static void pass_element(struct scanner *s)
{
	size_t depth = 0;

	while (s->at < s->end) {
		char c = *s->at;

		if (depth == 0 && (c == ',' || c == ']'))
			return;
		s->at++;
		if (c == '"')
			pass_string(s);
		else if (c == '[' || c == '{')
			depth++;
		else if (depth > 0 && (c == ']' || c == '}'))
			depth--;
	}
}

/* *at is behind the bracket that opens the array or behind the comma that ended the element before; at the end, behind all. */
bool json_scan_next(struct slice text, size_t *at, struct slice *ret_element)
{
	struct scanner s = scanner_of(text, *at);
	const char *from, *last;
	bool array = *at > 0;

	if (*at >= text.len)
		return false;
	skip_blanks(&s);
	if (*at == 0 && take(&s, '[')) {
		array = true;
		skip_blanks(&s);
	}
	from = s.at;
	if (array)
		pass_element(&s);
	else
		s.at = s.end;
	*at = array && peek(&s, ',', ',') ? (size_t)(s.at + 1 - text.ptr) : text.len;
	for (last = s.at; last > from && is_blank(last[-1]);)
		last--;
	if (last == from)
		return false; /* [] */
	*ret_element = slice_from(from, (size_t)(last - from));
	return true;
}
