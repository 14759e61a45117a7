/* The first byte says of which kind the rest is. Whatever comes out fits its limit, and comes out the same with just that limit.
 */
#include "kafka/codec/compression.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT_BYTES = 1 << 20 };

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = {0}, again = {0};
	struct slice bytes;

	if (size < 1)
		return 0;
	bytes = slice_from(data + 1, size - 1);
	if (kafka_decompress(data[0], bytes, LIMIT_BYTES, &out) == 0) {
		MUST(out.len <= LIMIT_BYTES);
		MUST(kafka_decompress(data[0], bytes, out.len, &again) == 0);
		MUST(slice_eq(buf_slice(&out), buf_slice(&again)));
		MUST(out.len == 0 || kafka_decompress(data[0], bytes, out.len - 1, &again) != 0);
	} else {
		MUST(out.len == 0);
	}
	buf_deinit(&out);
	buf_deinit(&again);
	return 0;
}
