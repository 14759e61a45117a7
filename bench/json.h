#pragma once
/* Just enough JSON reading for answers of a known shape: strings by their key, in the order they come. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_cursor {
	const char *at;
	const char *end;
};

/*
 * The next string member called `key` at or after the cursor, which moves behind it. The text stays as it is written (the
 * values we ask for hold no escapes) and is not terminated. False, cursor unmoved, when there is none.
 */
bool json_next_text(struct json_cursor *cursor, const char *key, const char **ret_text, size_t *ret_len);

/* The same, copied and terminated; a value that does not fit counts as missing. */
bool json_next_copy(struct json_cursor *cursor, const char *key, char *ret_text, size_t capacity);

/* The next number called `key`; -1 when there is none. */
int64_t json_next_number(struct json_cursor *cursor, const char *key);

/* Decodes base64 up to `capacity` bytes and says how many came out. */
size_t json_base64(const char *text, size_t len, char *ret_bytes, size_t capacity);
