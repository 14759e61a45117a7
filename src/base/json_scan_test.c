#include "base/buf.h"
#include "base/json_scan.h"
#include "base/testing.h"

#include <errno.h>

/* In memory of exactly its own length, so that a sanitizer sees a look too far. */
static int scan(struct slice text)
{
	char *exact = malloc(text.len ? text.len : 1);
	int r;

	assert_non_null(exact);
	if (text.len)
		memcpy(exact, text.ptr, text.len);
	r = json_scan(slice_from(exact, text.len));
	free(exact);
	return r;
}

static void expect_all(const struct slice *texts, size_t count, int expected)
{
	for (size_t i = 0; i < count; i++) {
		if (scan(texts[i]) != expected)
			fail_msg("%.*s", (int)texts[i].len, texts[i].ptr);
	}
}

#define S(literal) SLICE_INIT(literal)

static const struct slice sound_texts[] = {
	/* any value, RFC 8259 §2 */
	S("0"),
	S("null"),
	S("true"),
	S("false"),
	S("\"\""),
	S("[]"),
	S("{}"),
	S("[[]]"),
	S("[{}]"),
	S("{\"\":{}}"),
	S(" \t\r\n1\n\r\t "),
	S("[ ]"),
	S("{ }"),
	S(" [ 1 , 2 ] "),
	S(" { \"a\" : 1 , \"b\" : [ ] } "),
	S("[1,[2,{\"a\":[3]},4],5]"),
	S("{\"a\":{\"b\":[{}]},\"c\":[[],{}]}"),
	S("[null,true,false]"),
	S("{\"a\":1,\"a\":2}"),
	/* §6 */
	S("-0"),
	S("-1"),
	S("10"),
	S("0.0"),
	S("0.5"),
	S("-0.050"),
	S("1e1"),
	S("1E1"),
	S("1e+1"),
	S("1e-1"),
	S("0e0"),
	S("1.5E+007"),
	S("123456789012345678901234567890"),
	S("1e999999"),
	S("-1e-999999"),
	/* §7 */
	S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
	S("\"\\u0000\\u001F\\uaBcD\\uFFFF\""),
	S("\"\\ud800\\udc00\""),
	S("\"\\uDBFF\\uDFFF\""),
	S("\"\\ud7ff\\ue000\""),
	S("\"\x7f /[]{},:\""),
	S("{\"\\u0000\":0}"),
	/* UTF-8 at its edges, RFC 3629 §4 */
	S("\"\xc2\x80\xdf\xbf\""),
	S("\"\xe0\xa0\x80\xe0\xbf\xbf\""),
	S("\"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
	S("\"\xf0\x90\x80\x80\xf3\xbf\xbf\xbf\xf4\x8f\xbf\xbf\""),
	S("{\"\xc3\xa4\":\"\xe2\x82\xac\"}"),
};

static void sound(void **state)
{
	(void)state;
	expect_all(sound_texts, ARRAY_COUNT(sound_texts), 0);
}

static const struct slice unsound_texts[] = {
	S(""),
	S(" "),
	S("\n"),
	S("\0"),
	S("1\0"),
	S("[1]\0"),
	S("\xef\xbb\xbf"
	  "1"),
	S("\v1"),
	S("\f1"),
	S("1\xc2\xa0"),
	S("// a\n1"),
	S("/**/1"),
	S("1 2"),
	S("1,"),
	S("[] []"),
	S("{}{}"),
	S("null,"),
	/* words */
	S("n"),
	S("nul"),
	S("nulll"),
	S("Null"),
	S("TRUE"),
	S("tru"),
	S("truefalse"),
	S("True"),
	S("fals"),
	S("NaN"),
	S("Infinity"),
	S("-Infinity"),
	S("undefined"),
	S("a"),
	S("'a'"),
	/* brackets */
	S("["),
	S("{"),
	S("]"),
	S("}"),
	S("[}"),
	S("{]"),
	S("[1}"),
	S("{\"a\":1]"),
	S("[1"),
	S("[1,"),
	S("[1,]"),
	S("[,]"),
	S("[,1]"),
	S("[1,,2]"),
	S("[1 2]"),
	S("[1:2]"),
	S("[1]]"),
	S("[[1]"),
	S("[{]}"),
	S("[\"a\":1]"),
	S("{\"a\"}"),
	S("{\"a\":}"),
	S("{\"a\":1,}"),
	S("{,}"),
	S("{,\"a\":1}"),
	S("{\"a\" 1}"),
	S("{\"a\"::1}"),
	S("{\"a\":1 \"b\":2}"),
	S("{\"a\":1,,\"b\":2}"),
	S("{1:1}"),
	S("{a:1}"),
	S("{null:1}"),
	S("{[]:1}"),
	S("{\"a\":1}}"),
	S("{\"a\":1:2}"),
	S("{\"a\","),
	S("{\"a\":1,2}"),
	S(":"),
	S(","),
	S("{\"a"),
	S("{\"a\":"),
	S("[{\"a\":[1}]]"),
	/* numbers */
	S("-"),
	S("+1"),
	S("01"),
	S("-01"),
	S("00"),
	S("1."),
	S(".5"),
	S("-.5"),
	S("1.e1"),
	S("1e"),
	S("1e+"),
	S("1e-"),
	S("1E"),
	S("1e1.5"),
	S("1.5.5"),
	S("0x10"),
	S("1_0"),
	S("--1"),
	S("1-"),
	S("1e+-1"),
	S("- 1"),
	S("1 .5"),
	S("1e 1"),
	S("1a"),
	S("[1.]"),
	S("[-]"),
	S("[01]"),
	/* strings */
	S("\""),
	S("\"a"),
	S("\"\\\""),
	S("\"\\"),
	S("\"\\\\\\\""),
	S("\"\\a\""),
	S("\"\\0\""),
	S("\"\\x41\""),
	S("\"\\'\""),
	S("\"\\U0041\""),
	S("\"\\\0\""),
	S("\"a\nb\""),
	S("\"\t\""),
	S("\"\0\""),
	S("\"\x1f\""),
	S("\"\\\n\""),
	S("\"\\u\""),
	S("\"\\u1\""),
	S("\"\\u12\""),
	S("\"\\u123\""),
	S("\"\\u123g\""),
	S("\"\\u123G\""),
	S("\"\\u 123\""),
	S("\"\\u"),
	S("\"\\u123"),
	S("\"\\u@123\""),
	S("\"\\u`123\""),
	S("\"\\u/123\""),
	S("\"\\u:123\""),
	/* halves of surrogates */
	S("\"\\ud800\""),
	S("\"\\udbff\""),
	S("\"\\udc00\""),
	S("\"\\udfff\""),
	S("\"\\ud800a\""),
	S("\"\\ud800\\n\""),
	S("\"\\ud800\\ud800\""),
	S("\"\\ud800\\ue000\""),
	S("\"\\ud800\\u0041\""),
	S("\"\\udc00\\ud800\""),
	S("\"\\udc00\\udc00\""),
	S("\"\\ud800\\\""),
	S("\"\\ud800\\udc0\""),
	S("{\"\\ud800\":1}"),
	/* not UTF-8 */
	S("\"\x80\""),
	S("\"\xbf\""),
	S("\"\xc0\x80\""),
	S("\"\xc1\xbf\""),
	S("\"\xc2\""),
	S("\"\xc2"),
	S("\"\xc2\x7f\""),
	S("\"\xc2\xc0\""),
	S("\"\xe0\x9f\xbf\""),
	S("\"\xed\xa0\x80\""),
	S("\"\xed\xbf\xbf\""),
	S("\"\xe2\x82\""),
	S("\"\xe2\x82"),
	S("\"\xe2\x82\x7f\""),
	S("\"\xf0\x8f\xbf\xbf\""),
	S("\"\xf4\x90\x80\x80\""),
	S("\"\xf5\x80\x80\x80\""),
	S("\"\xf0\x9f\x98\""),
	S("\"\xf0\x9f\x98\x22\""),
	S("\"\xff\""),
	S("\"\xfe\""),
	S("\xc3\xa4"),
	S("{\"\xff\":1}"),
};

static void unsound(void **state)
{
	(void)state;
	expect_all(unsound_texts, ARRAY_COUNT(unsound_texts), -EBADMSG);
	assert_int_equal(json_scan((struct slice){NULL, 0}), -EBADMSG);
}

static const char document[] =
	" {\"a\\u00e4\": [1, -2.5e+3, {\"b\": \"\\ud83d\\ude00\xf0\x9f\x98\x80\"}], \"c\": {}, \"d\": null}";

static void every_cut(void **state)
{
	(void)state;
	assert_int_equal(scan(slice_str(document)), 0);
	for (size_t len = 0; len + 1 < sizeof(document); len++)
		assert_int_equal(scan(slice_from(document, len)), -EBADMSG);
}

/* `depth` brackets, `object(n)` says which are '{', around a 1. */
static int scan_deep(size_t depth, bool (*object)(size_t n))
{
	struct buf text = {0};
	int r;

	for (size_t n = 0; n < depth; n++)
		buf_append_str(&text, object(n) ? "{\"[\":" : "[");
	buf_append_char(&text, '1');
	for (size_t n = depth; n-- > 0;)
		buf_append_char(&text, object(n) ? '}' : ']');
	r = scan(buf_slice(&text));
	buf_deinit(&text);
	return r;
}

static bool never(size_t n)
{
	(void)n;
	return false;
}

static bool always(size_t n)
{
	(void)n;
	return true;
}

static bool mixed(size_t n)
{
	return n % 3 == 0 || n % 64 == 63;
}

static void depth(void **state)
{
	static bool (*const shapes[])(size_t) = {never, always, mixed};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		for (size_t n = 1; n <= JSON_DEPTH_MAX; n++)
			assert_int_equal(scan_deep(n, shapes[i]), 0);
		assert_int_equal(scan_deep(JSON_DEPTH_MAX + 1, shapes[i]), -EBADMSG);
		assert_int_equal(scan_deep(JSON_DEPTH_MAX + 64, shapes[i]), -EBADMSG);
		assert_int_equal(scan_deep(100000, shapes[i]), -EBADMSG);
	}
}

/* The bit that a bracket leaves behind says nothing about the next one in its place, and depth is not what was ever opened. */
static void brackets_one_after_the_other(void **state)
{
	struct buf text = {0};

	(void)state;
	buf_append_char(&text, '[');
	for (int i = 0; i < 1000; i++)
		buf_append_str(&text, i % 2 ? "[{\"a\":[]}]," : "{\"a\":{\"b\":0}},");
	buf_append_str(&text, "[]]");
	assert_int_equal(scan(buf_slice(&text)), 0);
	text.ptr[text.len - 2] = '}';
	assert_int_equal(scan(buf_slice(&text)), -EBADMSG);
	buf_deinit(&text);
}

static void expect_elements(const char *text, size_t count, const char *const *elements)
{
	struct slice element, untouched;
	size_t at = 0;

	assert_int_equal(scan(slice_str(text)), 0);
	for (size_t i = 0; i < count; i++) {
		assert_true(json_scan_next(slice_str(text), &at, &element));
		if (!slice_eq(element, slice_str(elements[i])))
			fail_msg("%s: %.*s instead of %s", text, (int)element.len, element.ptr, elements[i]);
	}
	untouched = element = SLICE("untouched");
	assert_false(json_scan_next(slice_str(text), &at, &element));
	assert_false(json_scan_next(slice_str(text), &at, &element));
	assert_ptr_equal(element.ptr, untouched.ptr);
}

#define EXPECT_ELEMENTS(text, ...)                                                                                               \
	expect_elements(text, ARRAY_COUNT(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

static void elements_byte_for_byte(void **state)
{
	(void)state;
	expect_elements("[]", 0, NULL);
	expect_elements(" \n[\t\r ] ", 0, NULL);
	EXPECT_ELEMENTS("[1]", "1");
	EXPECT_ELEMENTS("[1,2,3]", "1", "2", "3");
	EXPECT_ELEMENTS(" [ 1 ,\t2\n,\r3 ] ", "1", "2", "3");
	EXPECT_ELEMENTS("[ 1.50e+1 , -0, 12345678901234567890123 ]", "1.50e+1", "-0", "12345678901234567890123");
	EXPECT_ELEMENTS("[[1, 2] , [],[ [ ] ]]", "[1, 2]", "[]", "[ [ ] ]"); /* one level, not all */
	EXPECT_ELEMENTS("[ { \"b\" : 1,\t\"a\":[ 2 ,3] } ,{}]", "{ \"b\" : 1,\t\"a\":[ 2 ,3] }", "{}");
	EXPECT_ELEMENTS("[\"]\",\"[\",\"{,\", \" a \"]", "\"]\"", "\"[\"", "\"{,\"", "\" a \"");
	EXPECT_ELEMENTS("[\"\\\"\",\"\\\\\",\"\\\\\\\",\"]", "\"\\\"\"", "\"\\\\\"", "\"\\\\\\\",\"");
	EXPECT_ELEMENTS("[{\"]\":\"}\",\"\\\"[\":0},\"\xc3\xa4\\u00e4\"]", "{\"]\":\"}\",\"\\\"[\":0}", "\"\xc3\xa4\\u00e4\"");
	EXPECT_ELEMENTS("[null,true,false]", "null", "true", "false");
	EXPECT_ELEMENTS("[\"\",\"\"]", "\"\"", "\"\"");
}

static void a_value_is_its_own_element(void **state)
{
	(void)state;
	EXPECT_ELEMENTS("1", "1");
	EXPECT_ELEMENTS(" \r\n\t null\t\n\r ", "null");
	EXPECT_ELEMENTS("\" [1,2] \"", "\" [1,2] \"");
	EXPECT_ELEMENTS(" {\"a\": [1,2], \"b\":3} ", "{\"a\": [1,2], \"b\":3}");
	EXPECT_ELEMENTS(document, document + 1);
}

/* Elements of what nobody scanned may be nonsense, but they lie inside and come to an end. */
static void elements_of_anything(void **state)
{
	static const char letters[] = "[]{},:\"\\ 1";
	struct test_random random = test_random_start("elements_of_anything");

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t len = test_random_below(&random, 12), at = 0, before = 0;
		char *text = malloc(len ? len : 1);
		struct slice element;

		assert_non_null(text);
		for (size_t i = 0; i < len; i++)
			text[i] = letters[test_random_below(&random, sizeof(letters) - 1)];
		while (json_scan_next(slice_from(text, len), &at, &element)) {
			assert_true(at > before && at <= len);
			assert_true(element.ptr >= text && element.ptr + element.len <= text + len);
			before = at;
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound),
		cmocka_unit_test(unsound),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(depth),
		cmocka_unit_test(brackets_one_after_the_other),
		cmocka_unit_test(elements_byte_for_byte),
		cmocka_unit_test(a_value_is_its_own_element),
		cmocka_unit_test(elements_of_anything),
	};

	return cmocka_run_group_tests_name("base/json_scan", tests, NULL, NULL);
}
