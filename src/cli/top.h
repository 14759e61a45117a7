#pragma once

#include "cli/session.h"

/* One look at a server. */
struct top_view {
	json_t *info;                    /* /v1/info; NULL while the server is away */
	json_t *queues;                  /* an array */
	json_t *running;                 /* an array of jobs */
	char away[CURL_ERROR_SIZE + 64]; /* why there is none; "" when there is */
};

/* Appends the view as lines: all of it for a screen of `rows`, or (rows 0) plain. `interval_ms` is told at the foot. */
void top_render(struct buf *out, const struct session *session, const struct top_view *view, unsigned rows, uint64_t interval_ms);
void top_view_deinit(struct top_view *view);
