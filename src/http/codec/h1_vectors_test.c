/* test/vectors/http.txt, as far as the decoder alone decides: what it must refuse, and what it must take and how the connection
 * goes on then. Statuses that another layer gives (413, 404, …) are a message taken, here. */
#include "base/testing.h"
#include "http/codec/h1_trace.h"

static const struct h1_limits usual = {.header_count = 64, .header_bytes = 16 * 1024, .target_bytes = 8 * 1024};

enum fate { FATE_KEEP, FATE_CLOSE, FATE_ANY };

enum { ANSWERS_MAX = 4, STATUSES_MAX = 6 };

struct expected {
	unsigned statuses[STATUSES_MAX];
	size_t count;
	enum fate fate;
};

struct vector {
	char name[200];
	struct buf bytes;
	struct expected answers[ANSWERS_MAX];
	size_t count;
};

struct tally {
	size_t taken, refused, open; /* open: what the codec takes and another layer refuses */
};

static bool says(const struct expected *answer, unsigned status)
{
	for (size_t i = 0; i < answer->count; i++)
		if (answer->statuses[i] == status)
			return true;
	return false;
}

/* All that may be answered is what only a decoder says, and then the connection ends. */
static bool must_refuse(const struct expected *answer)
{
	static const unsigned ours[] = {400, 414, 417, 431, 501, 505};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(ours); i++)
		count += says(answer, ours[i]);
	return answer->fate == FATE_CLOSE && count == answer->count;
}

static void vector_check(const struct vector *v, struct tally *tally)
{
	const struct expected *last = &v->answers[v->count - 1];
	struct h1_trace trace;

	if (!h1_trace_play_all(&trace, &usual, buf_slice(&v->bytes)))
		fail_msg("%s: it matters how the bytes are cut", v->name);
	if (must_refuse(last) || trace.last == H1_ERROR) {
		tally->refused++;
		if (trace.last != H1_ERROR || !says(last, (unsigned)trace.error.status) || trace.message_count != v->count - 1)
			fail_msg("%s: %zu messages, then event %d, status %d", v->name, trace.message_count, (int)trace.last,
				 trace.last == H1_ERROR ? trace.error.status : 0);
	} else if (trace.message_count == v->count && last->fate != FATE_ANY && last->statuses[0] < 500 && !says(last, 413)) {
		tally->taken++;
		if (trace.keep_alive != (last->fate == FATE_KEEP) || trace.begun)
			fail_msg("%s: keep alive: %d", v->name, trace.keep_alive);
		assert_int_equal(trace.last, trace.keep_alive ? H1_MORE : H1_END);
		assert_true(!trace.keep_alive || trace.used == v->bytes.len);
	} else {
		tally->open++;
		if (last->fate != FATE_ANY && !says(last, 413))
			fail_msg("%s: %zu messages, expected %zu", v->name, trace.message_count, v->count);
	}
	h1_trace_deinit(&trace);
}

static unsigned hex_value(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static void unescape(struct buf *out, const char *at)
{
	static const char names[] = "rnt0\\", values[] = "\r\n\t\0\\";

	for (; *at; at++) {
		const char *name;

		if (*at != '\\') {
			buf_append_char(out, *at);
		} else if (*++at == 'x') {
			buf_append_char(out, (char)(hex_value(at[1]) << 4 | hex_value(at[2])));
			at += 2;
		} else {
			name = *at ? strchr(names, *at) : NULL;
			assert_non_null(name);
			buf_append_char(out, values[name - names]);
		}
	}
}

static void vector_answer(struct vector *v, const char *at)
{
	struct expected *answer = &v->answers[v->count++];
	char *end;

	assert_true(v->count <= ANSWERS_MAX);
	do {
		assert_true(answer->count < STATUSES_MAX);
		answer->statuses[answer->count++] = (unsigned)strtoul(at, &end, 10);
		at = end + 1;
	} while (*end == '|');
	answer->fate = strcmp(at, "keep") == 0 ? FATE_KEEP : strcmp(at, "close") == 0 ? FATE_CLOSE : FATE_ANY;
	assert_true(answer->fate != FATE_ANY || strcmp(at, "any") == 0);
}

static void vector_line(struct vector *v, const char *line)
{
	char *end;

	if (line[0] == '#' && !v->name[0]) {
		snprintf(v->name, sizeof(v->name), "%s", line + 1);
	} else if (line[0] == '>' && line[1] == ' ') {
		unescape(&v->bytes, line + 2);
	} else if (line[0] == '>' && line[1] == '*') {
		unsigned long count = strtoul(line + 2, &end, 10);

		while (count--)
			unescape(&v->bytes, end + 1);
	} else if (line[0] == '<') {
		vector_answer(v, line + 2);
	} else {
		assert_true(line[0] == '#');
	}
}

static void vector_end(struct vector *v, struct tally *tally)
{
	if (v->bytes.len) {
		assert_true(v->count > 0);
		vector_check(v, tally);
	}
	buf_deinit(&v->bytes);
	*v = (struct vector){0};
}

static void vectors(void **state)
{
	FILE *file = fopen("test/vectors/http.txt", "r");
	struct vector v = {0};
	struct tally tally = {0};
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	(void)state;
	assert_non_null(file);
	while ((len = getline(&line, &cap, file)) >= 0) {
		if (len && line[len - 1] == '\n')
			line[--len] = '\0';
		if (len)
			vector_line(&v, line);
		else
			vector_end(&v, &tally);
	}
	vector_end(&v, &tally);
	free(line);
	fclose(file);
	print_message("vectors: %zu taken, %zu refused, %zu for other layers\n", tally.taken, tally.refused, tally.open);
	assert_true(tally.taken >= 40 && tally.refused >= 100 && tally.open <= 25);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
