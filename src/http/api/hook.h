/* Webhooks as the deliverer (src/server) needs them: what is posted, and how its outcome comes back to the sequencer. */
#pragma once

#include "http/api/api.h"

/* The body of the post: a whole JSON document, which lacks nothing unless out->failed. Any thread. */
void hook_body(struct buf *out, const struct subscription_view *view);

/* What became of a hook, told to the sequencer. Thread 0's. Without memory nothing is told, and the wake's lease runs out. */
void api_thread_hooked(struct api_thread *api, const struct hooked_in *hooked);
