/* What requests about streams say in path and headers (Durable Streams protocol §5). */
#include "http/api/stream_priv.h"

#include "http/codec/uri.h"

#include <errno.h>

#define WHOLE_MAX ((1ULL << 53) - 1) /* what a JavaScript number holds exactly */

/* --- the path --- */

static bool segment_is_valid(struct slice segment)
{
	if (!segment.len || slice_eq(segment, SLICE(".")) || slice_eq(segment, SLICE("..")))
		return false;
	for (size_t i = 0; i < segment.len; i++) {
		unsigned char c = (unsigned char)segment.ptr[i];

		if (c < ' ' || c == 0x7f || c == '/')
			return false;
	}
	return true;
}

bool stream_path_is_valid(struct slice path)
{
	struct slice rest = path;

	if (!path.len || path.len > STREAM_PATH_MAX || path.ptr[path.len - 1] == '/')
		return false;
	for (bool first = true; rest.len; first = false) {
		struct slice segment = slice_cut(&rest, '/');

		if (!segment_is_valid(segment))
			return false;
		if (first && (slice_eq(segment, STREAM_RESERVED) || slice_eq(segment, SLICE("__jobs"))))
			return false;
	}
	return true;
}

static bool bad_path(struct exchange *ex)
{
	call_problem(
		ex, PROBLEM_BAD_REQUEST,
		"A stream's path has 1 to %d bytes when decoded; no segment of it is empty, \".\" or \"..\", or holds control "
		"characters or an encoded slash.",
		STREAM_PATH_MAX);
	return false;
}

bool input_stream_path(struct exchange *ex, struct slice raw, struct slice *ret_path)
{
	struct slice rest = raw, segment;
	char *out = arena_alloc(&ex->arena, raw.len < STREAM_PATH_MAX ? raw.len : STREAM_PATH_MAX);
	size_t len = 0;
	int r;

	if (!out) {
		call_no_memory(ex);
		return false;
	}
	if (!raw.len || raw.ptr[raw.len - 1] == '/')
		return bad_path(ex);
	while (rest.len) {
		r = uri_decode(slice_cut(&rest, '/'), &ex->arena, &segment);
		if (r == -ENOMEM) {
			call_no_memory(ex);
			return false;
		}
		if (r || !segment_is_valid(segment) || len + segment.len + 1 > STREAM_PATH_MAX + (rest.len ? 0 : 1))
			return bad_path(ex);
		if (len == 0 && slice_eq(segment, SLICE("__jobs"))) {
			call_problem(ex, PROBLEM_BAD_REQUEST,
				     "Paths under __jobs are the server's own; a job's output is at /v1/jobs/{id}/output.");
			return false;
		}
		if (len == 0 && slice_eq(segment, STREAM_RESERVED)) {
			call_problem(ex, PROBLEM_NOT_FOUND, "No stream's path begins with __ds: subscriptions are kept there.");
			return false;
		}
		memcpy(out + len, segment.ptr, segment.len);
		len += segment.len;
		if (rest.len)
			out[len++] = '/';
	}
	*ret_path = slice_from(out, len);
	return true;
}

/* --- how long it lives --- */

static bool take_digits(struct slice *s, size_t count, unsigned *ret_value)
{
	unsigned value = 0;

	if (s->len < count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (s->ptr[i] < '0' || s->ptr[i] > '9')
			return false;
		value = value * 10 + (unsigned)(s->ptr[i] - '0');
	}
	*s = slice_from(s->ptr + count, s->len - count);
	*ret_value = value;
	return true;
}

static bool take_char(struct slice *s, char c)
{
	if (!s->len || (s->ptr[0] != c && (s->ptr[0] & ~0x20) != c))
		return false;
	*s = slice_from(s->ptr + 1, s->len - 1);
	return true;
}

static bool take_fraction(struct slice *s, unsigned *ret_ms)
{
	unsigned digit, weight = 100;

	*ret_ms = 0;
	if (!take_char(s, '.'))
		return true;
	if (!take_digits(s, 1, &digit))
		return false;
	do {
		*ret_ms += digit * weight;
		weight /= 10;
	} while (take_digits(s, 1, &digit));
	return true;
}

/* Z or ±hh:mm; what is to be added to get UTC. */
static bool take_zone(struct slice *s, int64_t *ret_minutes)
{
	bool east = s->len && s->ptr[0] == '+';
	unsigned hours, minutes;

	*ret_minutes = 0;
	if (take_char(s, 'Z'))
		return true;
	if (!s->len || (!east && s->ptr[0] != '-'))
		return false;
	*s = slice_from(s->ptr + 1, s->len - 1);
	if (!take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_minutes = (int64_t)(hours * 60 + minutes) * (east ? -1 : 1);
	return true;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* Days since 1970-01-01; the year is counted from March, so that the leap day is its last. */
static int64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2), era_year = y % 400;
	int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return y / 400 * 146097 + era_year * 365 + era_year / 4 - era_year / 100 + day_of_year - 719468;
}

int time_read(struct slice s, uint64_t *ret_unix_ms)
{
	unsigned year, month, day, hour, minute, second, ms;
	int64_t zone, unix_ms;

	if (!take_digits(&s, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, &month) || !take_char(&s, '-') ||
	    !take_digits(&s, 2, &day) || !take_char(&s, 'T') || !take_digits(&s, 2, &hour) || !take_char(&s, ':') ||
	    !take_digits(&s, 2, &minute) || !take_char(&s, ':') || !take_digits(&s, 2, &second) || !take_fraction(&s, &ms) ||
	    !take_zone(&s, &zone) || s.len)
		return -EINVAL;
	if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 60)
		return -EINVAL;
	unix_ms = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute + zone) * 60000 + second * 1000 + ms;
	if (unix_ms <= 0)
		return -EINVAL;
	*ret_unix_ms = (uint64_t)unix_ms;
	return 0;
}

/* A whole number as one writes it: no sign, no needless zeros. */
static bool whole_read(struct slice text, uint64_t *ret_value)
{
	uint64_t value;

	if (slice_u64(text, &value) || value > WHOLE_MAX || (text.len > 1 && text.ptr[0] == '0'))
		return false;
	*ret_value = value;
	return true;
}

/* --- what it is forked from --- */

#define STREAM_ROOT "/v1/stream/"

bool input_stream_fork(struct exchange *ex, struct stream_create_in *in)
{
	struct slice from = request_header(ex->request, SLICE("Stream-Forked-From"));
	struct slice offset = request_header(ex->request, SLICE("Stream-Fork-Offset"));
	struct slice sub = request_header(ex->request, SLICE("Stream-Fork-Sub-Offset"));

	if (!from.ptr && !offset.ptr && !sub.ptr)
		return true;
	if (!slice_starts_with(from, SLICE(STREAM_ROOT))) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "Stream-Forked-From is the path of a stream of this server, " STREAM_ROOT
			     "…; Stream-Fork-Offset and "
			     "Stream-Fork-Sub-Offset go with it.");
		return false;
	}
	in->has_fork_offset = offset.ptr != NULL;
	if (offset.ptr && place_read(offset, &in->fork_number, &in->fork_offset)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Stream-Fork-Offset is what an answer told as Stream-Next-Offset.");
		return false;
	}
	if (sub.ptr && !whole_read(sub, &in->fork_sub)) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "Stream-Fork-Sub-Offset is a whole number: bytes, or of JSON messages, behind Stream-Fork-Offset.");
		return false;
	}
	return input_stream_path(ex, slice_from(from.ptr + strlen(STREAM_ROOT), from.len - strlen(STREAM_ROOT)), &in->source);
}

/* Stream-Max-Age and Stream-Max-Bytes. */
static bool input_retention(struct exchange *ex, struct stream_create_in *in)
{
	struct slice age = request_header(ex->request, SLICE("Stream-Max-Age"));
	struct slice bytes = request_header(ex->request, SLICE("Stream-Max-Bytes"));
	uint64_t age_s = 0;

	if ((age.ptr && (!whole_read(age, &age_s) || !age_s || age_s > AGE_MAX_S)) ||
	    (bytes.ptr && (!whole_read(bytes, &in->max_bytes) || !in->max_bytes))) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "Stream-Max-Age is a whole number of seconds, Stream-Max-Bytes one of bytes; at least 1.");
		return false;
	}
	in->max_age_ms = age_s * 1000;
	return true;
}

bool input_stream_life(struct exchange *ex, struct stream_create_in *in)
{
	struct slice ttl = request_header(ex->request, SLICE("Stream-TTL"));
	struct slice expires = request_header(ex->request, SLICE("Stream-Expires-At"));

	if (ttl.ptr && expires.ptr) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Stream-TTL or Stream-Expires-At, not both.");
		return false;
	}
	if (ttl.ptr && (!whole_read(ttl, &in->ttl_s) || in->ttl_s > AGE_MAX_S)) {
		call_problem(
			ex, PROBLEM_BAD_REQUEST,
			"Stream-TTL is a whole number of seconds, without sign or leading zeros, and at most a hundred years.");
		return false;
	}
	if (expires.ptr && time_read(expires, &in->expires_at_ms)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Stream-Expires-At is a time like 2030-01-02T03:04:05Z (RFC 3339).");
		return false;
	}
	in->has_ttl = ttl.ptr != NULL;
	return input_retention(ex, in);
}

/* --- what becomes of records --- */

static bool input_word(struct exchange *ex, const char *name, struct slice word, bool *ret_said)
{
	struct slice value = request_header(ex->request, slice_str(name));

	*ret_said = slice_eq_nocase(value, word);
	if (!value.ptr || *ret_said)
		return true;
	call_problem(ex, PROBLEM_BAD_REQUEST, "%s is %.*s, or not there.", name, (int)word.len, word.ptr);
	return false;
}

bool input_records(struct exchange *ex, struct stream_append_in *in)
{
	struct slice ttl = request_header(ex->request, SLICE("Record-TTL"));
	uint64_t ttl_s = 0;

	in->key = request_header(ex->request, SLICE("Record-Key"));
	if (in->key.ptr && (!in->key.len || in->key.len > RECORD_KEY_MAX)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Record-Key has 1 to %d bytes.", RECORD_KEY_MAX);
		return false;
	}
	if (ttl.ptr && (!whole_read(ttl, &ttl_s) || !ttl_s || ttl_s > AGE_MAX_S)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Record-TTL is a whole number of seconds, at least 1.");
		return false;
	}
	in->ttl_ms = ttl_s * 1000;
	if (!input_word(ex, "Record-Keep", SLICE("waiting"), &in->if_waiting) ||
	    !input_word(ex, "Record-Replace", SLICE("true"), &in->replace))
		return false;
	if (in->replace && !in->key.len) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Record-Replace needs a Record-Key: the last record with it goes.");
		return false;
	}
	/* What is not kept would leave a hole in the producer's numbers, and the stream open. */
	if (in->if_waiting && (in->producer.id.len || in->close)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Record-Keep does not go with Producer-Id or Stream-Closed.");
		return false;
	}
	return true;
}

/* --- who writes --- */

bool input_stream_producer(struct exchange *ex, struct producer_in *in)
{
	struct slice id = request_header(ex->request, SLICE("Producer-Id"));
	struct slice epoch = request_header(ex->request, SLICE("Producer-Epoch"));
	struct slice seq = request_header(ex->request, SLICE("Producer-Seq"));

	if (!id.ptr && !epoch.ptr && !seq.ptr)
		return true;
	if (!id.ptr || !epoch.ptr || !seq.ptr) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Producer-Id, Producer-Epoch and Producer-Seq go together.");
		return false;
	}
	if (!id.len || id.len > PRODUCER_ID_MAX) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Producer-Id has 1 to %d bytes.", PRODUCER_ID_MAX);
		return false;
	}
	if (!whole_read(epoch, &in->epoch) || !whole_read(seq, &in->seq)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Producer-Epoch and Producer-Seq are whole numbers up to 2^53 - 1.");
		return false;
	}
	in->id = id;
	return true;
}

bool input_stream_seq(struct exchange *ex, struct slice *ret_seq)
{
	struct slice seq = request_header(ex->request, SLICE("Stream-Seq"));

	if (seq.ptr && (!seq.len || seq.len > STREAM_SEQ_MAX)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Stream-Seq has 1 to %d bytes.", STREAM_SEQ_MAX);
		return false;
	}
	*ret_seq = seq;
	return true;
}

bool input_closes(const struct exchange *ex)
{
	return slice_eq_nocase(request_header(ex->request, SLICE("Stream-Closed")), SLICE("true"));
}

bool type_is_json(struct slice content_type)
{
	return slice_eq_nocase(slice_trim(slice_cut(&content_type, ';')), SLICE("application/json"));
}
