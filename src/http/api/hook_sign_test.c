#include "base/testing.h"

#include "base/mem.h"
#include "http/api/hook_sign.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

static const uint8_t secret[HOOK_SECRET_BYTES] = "0123456789abcdef";

/* The inverse of RFC 4648 §5, for what the signer itself has written. */
static size_t decode(struct slice text, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0, value = 0;
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		const char *digit = strchr(digits, text.ptr[i]);

		assert_non_null(digit);
		value = (value << 6 | (unsigned)(digit - digits)) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[len++] = (uint8_t)(value >> bits);
		}
	}
	return len;
}

/* Between two texts, each of which occurs. */
static struct slice between(const char *text, const char *before, const char *after)
{
	const char *from = strstr(text, before), *to;

	assert_non_null(from);
	from += strlen(before);
	to = strstr(from, after);
	assert_non_null(to);
	return slice_from(from, (size_t)(to - from));
}

static bool verify(struct slice x, struct slice message, struct slice signature)
{
	uint8_t public_key[64], bytes[96];
	size_t key_len = decode(x, public_key), len = decode(signature, bytes);
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, key_len);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r;

	assert_non_null(key);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key), 1);
	r = EVP_DigestVerify(ctx, bytes, len, (const uint8_t *)message.ptr, message.len);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return r == 1;
}

static void whoever_has_the_public_key_can_verify(void **state)
{
	struct hook_signer *signer = hook_signer_new(secret);
	char kid[HOOK_KID_CHARS + 1];
	struct buf jwks = {0}, header = {0};
	struct slice x, signature;

	(void)state;
	assert_int_equal(hook_sign(signer, 1778324210, SLICE("{\"a\":1}"), &header), 0);
	assert_int_equal(hook_jwks(signer, &jwks), 0);
	assert_int_equal(hook_kid(signer, kid), 0);
	buf_append_char(&header, '\0');
	buf_append_char(&jwks, '\0');
	assert_memory_equal(header.ptr, "t=1778324210,kid=ds_", 20);
	assert_true(slice_eq(between(header.ptr, "kid=", ","), slice_str(kid)));
	assert_true(slice_eq(between(jwks.ptr, "\"kid\":\"", "\""), slice_str(kid)));
	assert_int_equal(strlen(kid), HOOK_KID_CHARS);
	signature = slice_str(strstr(header.ptr, "ed25519=") + 8);
	x = between(jwks.ptr, "\"x\":\"", "\"");
	assert_int_equal(signature.len, 86);
	assert_true(verify(x, SLICE("1778324210.{\"a\":1}"), signature));
	assert_false(verify(x, SLICE("1778324211.{\"a\":1}"), signature));
	assert_false(verify(x, SLICE("1778324210.{\"a\":2}"), signature));
	buf_deinit(&jwks);
	buf_deinit(&header);
	hook_signer_free(signer);
}

/* The key must be the same after a restart, and after an upgrade: these texts never change. */
static void the_key_is_made_of_the_secret_alone(void **state)
{
	static const char expected[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"alg\":\"EdDSA\","
				       "\"kid\":\"ds_nhrvrOLGSZg1lFJSsUiP1rs2dw8hGMZiYsrg2PE3lDU\","
				       "\"x\":\"OzmrXCl9U_muJqFbJaeHlWXUwOzmgaM3AmpuYMGPjiY\"}]}";
	struct hook_signer *signer = hook_signer_new(secret);
	struct buf jwks = {0};
	uint8_t other_secret[HOOK_SECRET_BYTES] = {1};
	char kid[HOOK_KID_CHARS + 1], other_kid[HOOK_KID_CHARS + 1];

	(void)state;
	assert_int_equal(hook_jwks(signer, &jwks), 0);
	buf_append_char(&jwks, '\0');
	assert_string_equal(jwks.ptr, expected);
	assert_int_equal(hook_kid(signer, kid), 0);
	hook_signer_free(signer);
	signer = hook_signer_new(other_secret);
	assert_int_equal(hook_kid(signer, other_kid), 0);
	assert_string_not_equal(kid, other_kid);
	hook_signer_free(signer);
	buf_deinit(&jwks);
}

static void without_memory_nothing_is_said(void **state)
{
	bool failed = true;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct buf out = {0};
		struct hook_signer *signer;
		int r = -ENOMEM;

		mem_fail_nth(nth);
		signer = hook_signer_new(secret);
		if (signer)
			r = hook_sign(signer, 1, SLICE("body"), &out);
		mem_fail_nth(0);
		failed = r != 0;
		if (failed)
			assert_int_equal(r, -ENOMEM);
		if (signer && failed) {
			buf_clear(&out);
			assert_int_equal(hook_sign(signer, 1, SLICE("body"), &out), 0);
		}
		hook_signer_free(signer);
		buf_deinit(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_has_the_public_key_can_verify),
		cmocka_unit_test(the_key_is_made_of_the_secret_alone),
		cmocka_unit_test(without_memory_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
