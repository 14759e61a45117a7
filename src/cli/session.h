/* What the client commands share: the parsed command line, the server, patience with it, and how its refusals are told. */
#pragma once

#include "cli/cli_priv.h"
#include "cli/http.h"

enum { SESSION_WAIT_MS = 50000 }; /* how long one request asks to be held; the server may hold it for less */

#define SESSION_FOREVER_MS UINT64_MAX

/* Trying again: exponential back-off with jitter, until `budget_ms` have passed since the first failure in a row. */
struct retry {
	uint64_t budget_ms;
	uint64_t first_ns; /* of the first failure in a row; 0: none */
	unsigned count;
};

struct session {
	const struct cli_command *command;
	struct cli_args args;
	struct http_client client;
	char *server; /* "http://host:port", without a slash at the end */
	bool json;
	bool quiet;
	bool live; /* progress may be drawn on the terminal */
	struct retry retry;
};

/* Parses the command line and opens the session; `default_retry_ms` holds where --retry is not given. 0, or the exit code,
 * told. On 0 the caller owes session_close. */
int session_open(struct session *session, const struct cli_command *command, int argc, char **argv, uint64_t default_retry_ms);
int session_close(struct session *session, int rc); /* returns rc */

/* Options with values of a kind. 0, also when the option is not given (then *ret is untouched), or CLI_USAGE, told. */
int session_duration(const struct session *session, const char *name, uint64_t *ret_ms) MUST_USE;
int session_number(const struct session *session, const char *name, uint64_t min, uint64_t max, uint64_t *ret) MUST_USE;

/* How long to wait before the next try: -1 when patience is used up. `hint_ms` is what the server asked for, or 0. */
int64_t retry_next_ms(struct retry *retry, uint64_t hint_ms);
void retry_reset(struct retry *retry); /* something worked */

/* http_run, again and again while that may help and patience lasts; the first failure is told as a notice. Requests that
 * must not arrive twice are only sent again when they surely did not arrive: `repeatable` says that twice is fine. */
enum http_outcome session_run(struct session *session, struct http_call *call, bool repeatable);

/* Sleeps. */
void session_sleep(struct session *session, uint64_t ms);

/* "The server is away; trying again for 60s": once for each time it goes away. */
void session_notice_away(struct session *session, const struct http_call *call, const struct retry *retry);

/* Tells why a call failed, in words, with what to do; `doing` as in "submit to video". Returns the exit code. */
int session_report(const struct session *session, struct http_call *call, const char *doing);

/* The exit code of an answer that is a refusal, without telling. */
int session_exit_code(struct http_call *call);

/* A list that the server tells in pages: {NAME: […], "next": …}. */
struct session_list {
	const char *path, *name, *doing;
	void (*print)(const struct session *session, const json_t *page, bool first);
};
/* All of it, to the end. Returns the exit code, with what went wrong told. */
int session_list_all(struct session *session, const struct session_list *list);

/* Prints a JSON value on stdout, on one line. */
void session_print_json(const json_t *value);

/* --- handles ------------------------------------------------------------------------------------------------------------- */

/* A job: an id at the session's server, or a whole URL that names its own. */
struct handle {
	char *base; /* the server */
	char *id;
};

/* `text` is an id, a path "/v1/jobs/<id>" or a URL. 0, or CLI_USAGE, told. */
int handle_init(struct handle *handle, const struct session *session, const char *text);
void handle_deinit(struct handle *handle);

/* A call to "/v1/jobs/<id><tail>". */
void handle_call(const struct handle *handle, struct http_call *call, const char *method, const char *tail);
