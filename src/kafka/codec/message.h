/* What the members of messages are made of. One plain structure a message (messages_*.h) serves all of its versions: what a
 * version lacks has the protocol's default after decoding, and is left out by encoding.
 *
 * - Strings, bytes and records are slices of the frame: nothing is copied. ptr == NULL: null.
 * - Arrays are `at` and `count`, in the arena. at == NULL: null; an empty one that was sent has another `at`.
 * - A structure that may be null is a pointer.
 *
 * To be encoded, members left zero are null where the version allows null, else empty. So what must be empty and not null where
 * both are allowed (the records of an answer to Fetch) takes a `ptr`: KAFKA_EMPTY. */
#pragma once

#include "base/slice.h"

#define KAFKA_EMPTY ((struct slice){"", 0})

#define KAFKA_ARRAY(type)                                                                                                        \
	struct {                                                                                                                 \
		type *at;                                                                                                        \
		uint32_t count;                                                                                                  \
	}

struct kafka_uuid {
	uint8_t bytes[16];
};
