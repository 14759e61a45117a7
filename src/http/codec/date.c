#include "http/codec/date.h"

#include <time.h>

static void two_digits(char *out, int value)
{
	out[0] = (char)('0' + value / 10 % 10);
	out[1] = (char)('0' + value % 10);
}

void date_format(uint64_t unix_s, char out[DATE_BYTES])
{
	static const uint64_t last_s = 253402300799; /* of the year 9999: there is no room for a fifth digit */
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)(unix_s < last_s ? unix_s : last_s);
	struct tm tm;

	memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", DATE_BYTES);
	if (!gmtime_r(&seconds, &tm))
		return;
	memcpy(out, days + 3 * tm.tm_wday, 3);
	two_digits(out + 5, tm.tm_mday);
	memcpy(out + 8, months + 3 * tm.tm_mon, 3);
	two_digits(out + 12, (tm.tm_year + 1900) / 100);
	two_digits(out + 14, tm.tm_year + 1900);
	two_digits(out + 17, tm.tm_hour);
	two_digits(out + 20, tm.tm_min);
	two_digits(out + 23, tm.tm_sec);
}
