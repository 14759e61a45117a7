/* Inside src/server only: one post of a webhook, on the deliverer's thread. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "server/webhook.h"

#include <curl/curl.h>

struct post {
	struct list node;
	struct hooked_in hooked; /* whose it is, and at the end what became of it */
	CURL *easy;
	struct curl_slist *headers;
	struct buf body, answer;
	enum hook_reach reach;
	bool again;    /* its receiver failed before */
	bool too_long; /* the answer; the rest was not read */
};

/* Ready to be handed to curl, which gives it up after so long. NULL: it cannot be posted. */
struct post *post_new(const struct subscription_view *view, const struct webhooks_config *config, uint64_t timeout_ms);
void post_ended(struct post *post, CURLcode code); /* sets hooked.result */
struct post *post_free(struct post *post);
