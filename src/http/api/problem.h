/* The problems that this server tells (RFC 9457), each in one row of one table: name, status, title, and what to do about it,
 * which GET /problems/{name} shows. */
#pragma once

#include "base/buf.h"
#include "sequencer/command.h"

enum problem {
	PROBLEM_BAD_REQUEST,
	PROBLEM_WEBHOOK_URL,
	PROBLEM_TOKEN,
	PROBLEM_NOT_FOUND,
	PROBLEM_METHOD_NOT_ALLOWED,
	PROBLEM_TIMEOUT,
	PROBLEM_CONFLICT,
	PROBLEM_STREAM_CLOSED,
	PROBLEM_CONTENT_TYPE,
	PROBLEM_SEQUENCE,
	PROBLEM_PRODUCER_FENCED,
	PROBLEM_PRODUCER_GAP,
	PROBLEM_OFFSET,
	PROBLEM_CLAIMED,
	PROBLEM_NO_WORK,
	PROBLEM_FENCED,
	PROBLEM_CANCELED,      /* to whoever asks for the result: 410 */
	PROBLEM_CANCELED_WORK, /* the same name, to the worker: 409 */
	PROBLEM_ALREADY_DONE,
	PROBLEM_GONE,
	PROBLEM_TOO_LARGE,
	PROBLEM_OUTPUT_FULL,
	PROBLEM_URI_TOO_LONG,
	PROBLEM_RANGE,
	PROBLEM_EXPECTATION,
	PROBLEM_MISMATCH,
	PROBLEM_QUEUE_FULL,
	PROBLEM_HEADERS_TOO_LARGE,
	PROBLEM_JOB_FAILED,
	PROBLEM_NOT_IMPLEMENTED,
	PROBLEM_SERVER_FULL,
	PROBLEM_DRAINING,
	PROBLEM_STORAGE,
	PROBLEM_VERSION,
	PROBLEM_NO_SPACE,
	PROBLEM_COUNT,
};

struct problem_row {
	const char *name;
	int status;
	int retry_after_s; /* 0: none */
	const char *title;
	const char *advice;
	const char *code; /* about subscriptions: the Durable Streams protocol's; NULL: it has none for that */
};
extern const struct problem_row problems[PROBLEM_COUNT];

enum problem problem_of_outcome(enum outcome outcome);
/* The first row of that name; NULL: there is none. */
const struct problem_row *problem_find(struct slice name);
/* A whole problem document; an empty detail is left out. Or its members, of an object that is open. */
void problem_members(struct buf *out, const struct problem_row *row, int status, struct slice detail);
void problem_json(struct buf *out, const struct problem_row *row, int status, struct slice detail);
