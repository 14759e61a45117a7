/* The server's key for webhooks: it signs what is posted to them, and everyone may have the public half (Durable Streams
 * protocol §6.5, §7.1, §12.10).
 *
 * Ed25519 (RFC 8032). The key is derived from the journal's secret, so it is as durable and as private as that is, and nothing
 * more has to be kept. It is made when it is first asked for: a server without webhooks never loads OpenSSL's tables. Any
 * thread. */
#pragma once

#include "base/buf.h"

struct hook_signer;

enum { HOOK_SECRET_BYTES = 16, HOOK_KID_CHARS = 46 };

struct hook_signer *hook_signer_new(const uint8_t secret[HOOK_SECRET_BYTES]); /* NULL: no memory */
struct hook_signer *hook_signer_free(struct hook_signer *signer);

/* All: 0 or -ENOMEM. */
int hook_kid(struct hook_signer *signer,
	     char ret_kid[HOOK_KID_CHARS + 1]) MUST_USE;             /* "ds_" and the key's thumbprint (RFC 7638) */
int hook_jwks(struct hook_signer *signer, struct buf *out) MUST_USE; /* the JSON Web Key Set (RFC 7517, 8037) */
/* What Webhook-Signature says of `body` at this time. */
int hook_sign(struct hook_signer *signer, uint64_t unix_s, struct slice body, struct buf *out) MUST_USE;
