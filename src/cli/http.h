/* Requests to a server, through libcurl. A client holds connections; a call is one request and its answer. Any number of
 * calls can be under way at once (http_start, http_turn); http_run does one and waits.
 *
 * An answer of 200 or 206 goes to the call's sink where it has one; every other answer, and those of calls without a sink,
 * is kept in `answer` (at most HTTP_ANSWER_LIMIT bytes). */
#pragma once

#include "base/buf.h"

#include <curl/curl.h>
#include <jansson.h>
#include <sys/types.h>

enum { HTTP_ANSWER_LIMIT = 64 << 20, HTTP_CONNECT_TIMEOUT_MS = 10000 };

struct http_client {
	CURLM *multi;
	unsigned running_count;
};

enum http_outcome {
	HTTP_ANSWERED,    /* there is a status */
	HTTP_UNREACHABLE, /* the request never reached a server, so it can be sent again whatever it says */
	HTTP_CUT,         /* the connection broke, or time ran out, in the middle: what the server did is not known */
	HTTP_LOCAL,       /* our side: a URL that is none, a sink or a source that failed */
};

struct http_call {
	/* The request. */
	CURL *easy;
	struct curl_slist *headers;
	struct buf url;
	struct buf text; /* a small body */
	bool has_text;
	int source_fd;      /* or a body from here, -1 for none */
	off_t source_start; /* read from here with pread when it can be sent again… */
	bool source_stream; /* …or as it comes */
	off_t source_size;  /* -1: not known */
	off_t source_at;
	int source_error;     /* errno of a read that failed */
	uint64_t timeout_ms;  /* for the whole, 0: as long as bytes flow */
	uint64_t patience_ms; /* a server may be silent for so long */

	/* Takes bytes of a 200 or 206; non-zero ends the call as HTTP_LOCAL. */
	int (*sink)(struct http_call *call, const char *ptr, size_t len);
	/* Upload and download totals as they change; NULL for none. */
	void (*moved)(struct http_call *call, uint64_t now_bytes, uint64_t total_bytes, bool upload);
	void (*done)(struct http_call *call); /* for http_start: called from http_turn; may free the call */
	void *owner;

	/* The answer. */
	enum http_outcome outcome;
	CURLcode code;
	long status;
	struct buf answer;
	char error[CURL_ERROR_SIZE];
	struct http_client *client; /* while under way */
};

void http_client_init(struct http_client *client);
void http_client_deinit(struct http_client *client);

/* A call starts with http_call_init, then its parts; `base` is "http://host:port". The path is appended as it is. */
void http_call_init(struct http_call *call, const char *method, const char *base);
void http_call_path(struct http_call *call, const char *text);                     /* appended as it is */
void http_call_segment(struct http_call *call, const char *text);                  /* "/" and the text, percent-encoded */
void http_call_query(struct http_call *call, const char *name, const char *value); /* percent-encoded; NULL: left out */
void http_call_query_u64(struct http_call *call, const char *name, uint64_t value);
void http_call_query_ms(struct http_call *call, const char *name, uint64_t value_ms);
void http_call_header(struct http_call *call, const char *fmt, ...) PRINTF_LIKE(2, 3);
void http_call_json(struct http_call *call, json_t *body); /* takes the reference; ends the program when body is NULL */
/* The body from a descriptor, which stays the caller's: read from `start` with pread, `size` bytes; or with a size of -1
 * read as it comes (then it can be sent once). */
void http_call_source(struct http_call *call, int fd, off_t start, off_t size);
void http_call_deinit(struct http_call *call);

/* Forgets the last answer so that the same request can be sent again. */
void http_call_again(struct http_call *call);

void http_start(struct http_client *client, struct http_call *call);
void http_stop(struct http_call *call); /* takes it back unanswered, closing its connection; nothing when not under way */
bool http_under_way(const struct http_call *call);

/* Waits up to `timeout_ms` for the network and for `extra`, moves everything on, and calls `done` of finished calls. */
void http_turn(struct http_client *client, struct curl_waitfd *extra, unsigned extra_count, int timeout_ms);

/* Sends it and waits for the answer. */
enum http_outcome http_run(struct http_client *client, struct http_call *call);

/* --- the answer --- */
const char *http_answer_header(struct http_call *call, const char *name); /* NULL when there is none */
json_t *http_answer_json(struct http_call *call);                         /* NULL when it is none; the caller's reference */
bool http_answer_is(struct http_call *call, const char *problem);         /* a problem of type "/problems/<problem>"? */
uint64_t http_answer_retry_after_ms(struct http_call *call);              /* 0 when it does not say */
/* Would the same request, sent again later, perhaps do better? (unreachable, cut, 408, 429, 502, 503, 504, 507) */
bool http_worth_retrying(struct http_call *call);
