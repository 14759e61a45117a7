#include "http/api/hook_sign.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

enum { KEY_BYTES = 32, SIGNATURE_BYTES = 64, KEY_CHARS = 43 };

struct hook_signer {
	pthread_mutex_t lock;
	uint8_t secret[HOOK_SECRET_BYTES];
	EVP_PKEY *key; /* NULL: not made yet; never changed afterwards */
	char x[KEY_CHARS + 1], kid[HOOK_KID_CHARS + 1];
};

/* RFC 4648 §5, without padding. `out` holds TEXT_BASE64_CHARS. */
static size_t base64url(struct slice bytes, char *out)
{
	size_t len = text_base64(bytes, out);

	for (size_t i = 0; i < len; i++) {
		if (out[i] == '+')
			out[i] = '-';
		else if (out[i] == '/')
			out[i] = '_';
	}
	while (len && out[len - 1] == '=')
		len--;
	return len;
}

struct hook_signer *hook_signer_new(const uint8_t secret[HOOK_SECRET_BYTES])
{
	struct hook_signer *signer = mem_zalloc(sizeof(*signer));

	if (!signer)
		return NULL;
	pthread_mutex_init(&signer->lock, NULL);
	memcpy(signer->secret, secret, HOOK_SECRET_BYTES);
	return signer;
}

struct hook_signer *hook_signer_free(struct hook_signer *signer)
{
	if (!signer)
		return NULL;
	EVP_PKEY_free(signer->key);
	OPENSSL_cleanse(signer->secret, sizeof(signer->secret));
	pthread_mutex_destroy(&signer->lock);
	return mem_free(signer);
}

/* RFC 7638: the required members in the order of their names, without blanks. */
static bool thumbprint(struct hook_signer *signer)
{
	uint8_t digest[KEY_BYTES];
	char text[TEXT_BASE64_CHARS(KEY_BYTES)];
	struct buf json = {0};
	bool ok;

	buf_printf(&json, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", signer->x);
	ok = !json.failed && EVP_Digest(json.ptr, json.len, digest, NULL, EVP_sha256(), NULL) == 1;
	buf_deinit(&json);
	if (!ok)
		return false;
	memcpy(signer->kid, "ds_", 3);
	memcpy(signer->kid + 3, text, base64url(slice_from(digest, sizeof(digest)), text));
	return true;
}

static bool make(struct hook_signer *signer)
{
	static const char label[] = "bide webhook signing key, Ed25519, 1";
	uint8_t seed[KEY_BYTES], x[KEY_BYTES];
	char text[TEXT_BASE64_CHARS(KEY_BYTES)];
	size_t x_bytes = sizeof(x);
	EVP_PKEY *key = NULL;

	if (HMAC(EVP_sha256(), signer->secret, HOOK_SECRET_BYTES, (const uint8_t *)label, sizeof(label) - 1, seed, NULL))
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	OPENSSL_cleanse(seed, sizeof(seed));
	if (!key || EVP_PKEY_get_raw_public_key(key, x, &x_bytes) != 1) {
		EVP_PKEY_free(key);
		return false;
	}
	memcpy(signer->x, text, base64url(slice_from(x, sizeof(x)), text));
	if (!thumbprint(signer)) {
		EVP_PKEY_free(key);
		return false;
	}
	signer->key = key;
	return true;
}

/* OpenSSL has no other reason to fail here than a lack of memory. */
static int made(struct hook_signer *signer)
{
	bool ok;

	pthread_mutex_lock(&signer->lock);
	ok = signer->key || make(signer);
	pthread_mutex_unlock(&signer->lock);
	return ok ? 0 : -ENOMEM;
}

int hook_kid(struct hook_signer *signer, char ret_kid[HOOK_KID_CHARS + 1])
{
	int r = made(signer);

	if (!r)
		memcpy(ret_kid, signer->kid, sizeof(signer->kid));
	return r;
}

int hook_jwks(struct hook_signer *signer, struct buf *out)
{
	static const struct {
		const char *name, *value;
	} members[] = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"use", "sig"}, {"alg", "EdDSA"}};
	int r = made(signer);

	if (r)
		return r;
	json_open(out, '{');
	json_key(out, "keys");
	json_open(out, '[');
	json_open(out, '{');
	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		json_key(out, members[i].name);
		json_str(out, slice_str(members[i].value));
	}
	json_key(out, "kid");
	json_str(out, slice_str(signer->kid));
	json_key(out, "x");
	json_str(out, slice_str(signer->x));
	json_close(out, '}');
	json_close(out, ']');
	json_close(out, '}');
	return out->failed ? -ENOMEM : 0;
}

static bool sign(EVP_PKEY *key, struct slice text, uint8_t ret_signature[SIGNATURE_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t bytes = SIGNATURE_BYTES;
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestSign(ctx, ret_signature, &bytes, (const uint8_t *)text.ptr, text.len) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

int hook_sign(struct hook_signer *signer, uint64_t unix_s, struct slice body, struct buf *out)
{
	uint8_t signature[SIGNATURE_BYTES];
	char text[TEXT_BASE64_CHARS(SIGNATURE_BYTES)];
	struct buf signed_text = {0};
	int r = made(signer);
	bool ok;

	if (r)
		return r;
	buf_append_u64(&signed_text, unix_s);
	buf_append_char(&signed_text, '.');
	buf_append_slice(&signed_text, body);
	ok = !signed_text.failed && sign(signer->key, buf_slice(&signed_text), signature);
	buf_deinit(&signed_text);
	if (!ok)
		return -ENOMEM;
	buf_printf(out, "t=%llu,kid=%s,ed25519=", (unsigned long long)unix_s, signer->kid);
	buf_append(out, text, base64url(slice_from(signature, sizeof(signature)), text));
	return out->failed ? -ENOMEM : 0;
}
