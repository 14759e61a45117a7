#include "base/crc32c.h"
#include "base/slice.h"
#include "base/testing.h"

/* Bit by bit, as the polynomial is defined. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *at, size_t len)
{
	crc = ~crc;
	while (len--) {
		crc ^= *at++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void vectors(void **state)
{
	static const uint8_t read_command[48] = {1, 0xc0, [16] = 0x14, [22] = 4, [27] = 0x14, [31] = 0x18, 0x28, [40] = 2};
	uint8_t bytes[32] = {0};

	(void)state;
	/* RFC 3720 B.4 */
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, read_command, 48), 0xd9963a56);
	/* The check value of the catalogue of parametrised CRCs. */
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, NULL, 0), 0);
	assert_int_equal(crc32c(0x1234, NULL, 0), 0x1234);
}

/* Any length, any alignment, in any pieces. */
static void model(void **state)
{
	struct test_random random = test_random_start("crc32c");
	static uint8_t bytes[5000];

	(void)state;
	test_random_bytes(&random, bytes, sizeof(bytes));
	for (size_t len = 0; len < 300; len++)
		assert_int_equal(crc32c(0, bytes + len % 16, len), crc_by_bits(0, bytes + len % 16, len));
	for (int round = 0; round < 300; round++) {
		size_t from = test_random_below(&random, 64), len = test_random_below(&random, sizeof(bytes) - 64), at = 0;
		uint32_t whole = crc_by_bits(0, bytes + from, len), crc = 0;

		assert_int_equal(crc32c(0, bytes + from, len), whole);
		while (at < len) {
			size_t part = 1 + test_random_below(&random, len - at);

			crc = crc32c(crc, bytes + from + at, part);
			at += part;
		}
		assert_int_equal(crc, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
