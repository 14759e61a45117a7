/* The small text forms that doors and configuration share: durations, times, sizes, base32, base64. */
#pragma once

#include "base/slice.h"

enum { TEXT_TIME_BYTES = 32 };

/* "30" (seconds), "30s", "1500ms", "5m", "2h", "7d", "1.5s" (up to three decimals) → milliseconds, at most UINT64_MAX / 1000.
 * 0, or -EINVAL. */
int text_duration_ms(struct slice s, uint64_t *ret_ms) MUST_USE;

/* "4096", "64k", "16M", "2G", "1T" (powers of 1024, either case, optional "B"/"iB") → bytes, at most UINT64_MAX / 1000.
 * 0, or -EINVAL. */
int text_size(struct slice s, uint64_t *ret_bytes) MUST_USE;

/* RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z, written into `out`. */
struct slice text_time(uint64_t unix_ms, char out[TEXT_TIME_BYTES]);

/* Crockford's base32 in lower case, 5 bytes ↔ 8 characters, `len` a multiple of 5; out holds len/5*8 characters, no NUL. */
void text_base32(const uint8_t *bytes, size_t len, char *out);
int text_base32_decode(struct slice text, uint8_t *ret_bytes) MUST_USE; /* text.len a multiple of 8; 0 or -EINVAL */

/* RFC 4648 §4; out holds TEXT_BASE64_CHARS, no NUL. How many characters that are. */
#define TEXT_BASE64_CHARS(bytes) (((bytes) + 2) / 3 * 4)
size_t text_base64(struct slice bytes, char *out);

/* How many single-character edits lie between the two (for "did you mean"); at most 64 characters are looked at. */
unsigned text_distance(struct slice a, struct slice b);

/* The length of the valid UTF-8 sequence (RFC 3629) that `s` begins with, or 0; `s` is not empty. */
size_t text_utf8_len(struct slice s);
