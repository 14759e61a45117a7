#include "base/text.h"

#include "base/panic.h"

#include <errno.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* A number with up to three decimals, in thousandths; leaves the unit's text in `*s`. */
static int text_thousandths(struct slice *s, uint64_t *ret_value)
{
	size_t digits = 0;
	uint64_t whole, part = 0, scale = 1000;

	while (digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9')
		digits++;
	if (slice_u64((struct slice){s->ptr, digits}, &whole))
		return -EINVAL;
	*s = (struct slice){s->ptr + digits, s->len - digits};
	if (s->len && s->ptr[0] == '.') {
		for (digits = 1; digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9'; digits++) {
			scale /= 10;
			part += (uint64_t)(s->ptr[digits] - '0') * scale;
		}
		if (digits < 2 || digits > 4)
			return -EINVAL;
		*s = (struct slice){s->ptr + digits, s->len - digits};
	}
	if (__builtin_mul_overflow(whole, 1000, &whole) || __builtin_add_overflow(whole, part, &whole))
		return -EINVAL;
	*ret_value = whole;
	return 0;
}

static int text_scaled(struct slice s, const struct unit *units, size_t count, uint64_t *ret_value)
{
	uint64_t thousandths, value;

	if (text_thousandths(&s, &thousandths))
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (!slice_eq_nocase(s, slice_str(units[i].name)))
			continue;
		if (__builtin_mul_overflow(thousandths, units[i].factor, &value))
			return -EINVAL;
		*ret_value = value / 1000;
		return 0;
	}
	return -EINVAL;
}

int text_duration_ms(struct slice s, uint64_t *ret_ms)
{
	static const struct unit units[] = {{"", 1000},       {"s", 1000},        {"ms", 1},
					    {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}};

	return text_scaled(s, units, ARRAY_COUNT(units), ret_ms);
}

int text_size(struct slice s, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{"", 1},          {"b", 1},          {"k", 1 << 10},     {"kb", 1 << 10},     {"kib", 1 << 10},
		{"m", 1 << 20},   {"mb", 1 << 20},   {"mib", 1 << 20},   {"g", 1 << 30},      {"gb", 1 << 30},
		{"gib", 1 << 30}, {"t", 1ULL << 40}, {"tb", 1ULL << 40}, {"tib", 1ULL << 40},
	};

	return text_scaled(s, units, ARRAY_COUNT(units), ret_bytes);
}

/* Days since 1970-01-01 to a civil date, after Howard Hinnant's "chrono-compatible low-level date algorithms". */
static void text_civil(uint64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	uint64_t z = days + 719468;
	uint64_t era = z / 146097;
	uint64_t doe = z - era * 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153;

	*ret_day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*ret_month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*ret_year = (unsigned)(yoe + era * 400 + (*ret_month <= 2));
}

static char *text_digits(char *at, unsigned value, unsigned count)
{
	for (unsigned i = count; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + count;
}

struct slice text_time(uint64_t unix_ms, char out[TEXT_TIME_BYTES])
{
	static const uint64_t last_ms = 253402300799999; /* 9999-12-31T23:59:59.999Z, the end of RFC 3339 */
	unsigned year, month, day, seconds;
	char *at = out;

	if (unix_ms > last_ms)
		unix_ms = last_ms;
	seconds = (unsigned)(unix_ms / 1000 % 86400);
	text_civil(unix_ms / 86400000, &year, &month, &day);
	at = text_digits(at, year, 4);
	*at++ = '-';
	at = text_digits(at, month, 2);
	*at++ = '-';
	at = text_digits(at, day, 2);
	*at++ = 'T';
	at = text_digits(at, seconds / 3600, 2);
	*at++ = ':';
	at = text_digits(at, seconds / 60 % 60, 2);
	*at++ = ':';
	at = text_digits(at, seconds % 60, 2);
	*at++ = '.';
	at = text_digits(at, (unsigned)(unix_ms % 1000), 3);
	*at++ = 'Z';
	*at = '\0';
	return slice_from(out, (size_t)(at - out));
}

static const char base32_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void text_base32(const uint8_t *bytes, size_t len, char *out)
{
	ENSURE(len % 5 == 0);
	for (; len >= 5; len -= 5, bytes += 5, out += 8) {
		uint64_t group = 0;

		for (int i = 0; i < 5; i++)
			group = group << 8 | bytes[i];
		for (int i = 7; i >= 0; i--, group >>= 5)
			out[i] = base32_digits[group & 31];
	}
}

/* A digit's value plus 1, 0 for whatever is none. Between the runs i, l, o and u are left out. */
static const uint8_t base32_values[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['g'] = 17, ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23, ['q'] = 24,
	['r'] = 25, ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
};

int text_base32_decode(struct slice text, uint8_t *ret_bytes)
{
	if (text.len % 8)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (!base32_values[(uint8_t)text.ptr[i]])
			return -EINVAL;
	}
	for (size_t at = 0; at < text.len; at += 8, ret_bytes += 5) {
		uint64_t group = 0;

		for (size_t i = 0; i < 8; i++)
			group = group << 5 | (base32_values[(uint8_t)text.ptr[at + i]] - 1u);
		for (int i = 4; i >= 0; i--, group >>= 8)
			ret_bytes[i] = (uint8_t)group;
	}
	return 0;
}

size_t text_base64(struct slice bytes, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *b = (const uint8_t *)bytes.ptr;

	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t three = (uint32_t)b[i] << 16 | (left > 1 ? (uint32_t)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0);

		*out++ = digits[three >> 18];
		*out++ = digits[three >> 12 & 63];
		*out++ = left > 1 ? digits[three >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[three & 63] : '=';
	}
	return TEXT_BASE64_CHARS(bytes.len);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

unsigned text_distance(struct slice a, struct slice b)
{
	unsigned row[65];

	if (a.len > 64)
		a.len = 64;
	if (b.len > 64)
		b.len = 64;
	for (size_t j = 0; j <= b.len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			unsigned above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.ptr[i - 1] != b.ptr[j - 1]));
			diagonal = above;
		}
	}
	return row[b.len];
}

size_t text_utf8_len(struct slice s)
{
	const uint8_t *b = (const uint8_t *)s.ptr;
	uint8_t low = 0x80, high = 0xbf;
	size_t len = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;

	if (len < 2)
		return len;
	if (s.len < len)
		return 0;
	if (b[0] == 0xe0)
		low = 0xa0;
	if (b[0] == 0xed)
		high = 0x9f;
	if (b[0] == 0xf0)
		low = 0x90;
	if (b[0] == 0xf4)
		high = 0x8f;
	if (b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}
