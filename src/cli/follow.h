/* Following jobs until they are over (or have come as far as wanted): one long poll a job, progress as it changes. */
#pragma once

#include "cli/session.h"

enum { FOLLOW_LIMIT = 32 }; /* this many jobs have a poll of their own */

enum follow_show {
	FOLLOW_SILENT, /* only the end counts */
	FOLLOW_LIVE,   /* bars on the terminal */
	FOLLOW_LINES,  /* a line on stderr for every change */
	FOLLOW_JSON,   /* the job as a line of JSON on stdout for every change */
};

struct follow;

struct follow_job {
	struct follow *follow;
	struct handle handle;
	struct http_call call;
	bool asked;  /* the call exists */
	bool spent;  /* asked for the last time */
	json_t *job; /* as last seen; NULL before */
	struct retry retry;
	uint64_t resume_ns; /* ask again then */
	bool over;
	int exit_code; /* once over */
	char *shown;   /* the last line shown */
};

struct follow {
	struct session *session;
	struct follow_job *jobs;
	size_t count;
	size_t over_count;
	bool any;          /* the first that is over ends it */
	const char *until; /* a state; NULL: over */
	enum follow_show show;
	uint64_t began_ns;
	uint64_t deadline_ns;                    /* UINT64_MAX: none */
	void (*on_over)(struct follow_job *job); /* may be NULL */
	void *owner;                             /* whatever on_over wants */
};

/* The caller fills in the jobs' handles; 0 when all (any) are over, else CLI_TIMED_OUT. What a job's end means is in its
 * exit_code. Jobs that could not be followed are over too, with the reason told. */
int follow_run(struct follow *follow);
void follow_deinit(struct follow *follow); /* frees the jobs' parts and handles, not the array */

/* Has a job come as far as `until` (NULL: over)? */
bool follow_reached(const json_t *job, const char *until);
bool follow_until_known(const char *until);
