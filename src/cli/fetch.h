/* Fetching the result of a job: waits until there is one, streams it, and goes on where it stopped when cut. */
#pragma once

#include "cli/output.h"
#include "cli/session.h"

struct fetch {
	struct session *session;
	struct output *output;
	uint64_t deadline_ns; /* for the job to be done; UINT64_MAX: none */
	/* Told afterwards. */
	char content_type[128];
	uint64_t skip_bytes; /* of a whole answer, when a part was asked for */
	uint64_t size_bytes; /* as announced, 0: not known */
	bool started;        /* the first bytes have been looked at */
	bool refused;        /* they are not fit for a terminal */
	uint64_t drawn_ns, began_ns;
};

/* Takes bytes of a 200 or 206 of `call`, for its sink: 0, or -1 when they cannot be taken (fetch_local_error tells why). */
int fetch_take(struct fetch *fetch, struct http_call *call, const char *ptr, size_t len);
int fetch_local_error(struct fetch *fetch, struct http_call *call); /* the exit code, told */

/* May bytes of this type, of which these are the first, be shown on a terminal? */
bool fetch_is_text(const char *type, const char *ptr, size_t len);

/* Fetches (the rest of) the result into the output, which stays open. 0, or the exit code, told. */
int fetch_result(struct fetch *fetch, const struct handle *handle);

/* A line with a bar for bytes that move: "uploading x [###  ] 45% …". */
struct transfer {
	const char *verb, *name;
	uint64_t now_bytes, total_bytes; /* 0: not known */
	uint64_t began_ns;
};

void transfer_draw(const struct transfer *transfer);
