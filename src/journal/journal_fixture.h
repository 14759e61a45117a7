/* A journal in a directory of its own, for the tests: what is replayed is kept and can be compared. */
#pragma once

#include "base/buf.h"
#include "journal/journal.h"

struct seen {
	struct store_replay entry; /* without the fields' bytes */
	char fields[128];
	size_t fields_len;
	bool checkpoint;
};

struct fixture {
	char dir[256];
	struct journal_config config;
	struct journal *journal;
	struct store *store;
	struct buf said; /* diag lines, each with a newline */
	struct seen *seen;
	size_t seen_count, seen_cap;
	bool retain;      /* replay retains every body */
	int replay_error; /* returned by replay for entries of type 99 */
	uint64_t now_ms;
};

enum { FIXTURE_SEGMENT_BYTES = 2 << 20 };

void fixture_init(struct fixture *f);
void fixture_deinit(struct fixture *f); /* closes, and removes the directory */

/* Opens and recovers; what journal_open or journal_recover returned, closed again unless 0. */
int fixture_try(struct fixture *f);
void fixture_start(struct fixture *f); /* must work */
void fixture_stop(struct fixture *f);
void fixture_restart(struct fixture *f);

/* Appends an entry of that type whose fields are the text; must work. The body, when there is one, is retained. */
struct store_appended fixture_append(struct fixture *f, uint8_t type, const char *fields, struct slice body);
void fixture_commit(struct fixture *f); /* must work */

/* Turns and waits, without sleeping for longer than it takes, until `done` holds; fails after a generous while. */
void fixture_until(struct fixture *f, bool (*done)(struct fixture *f));
void fixture_checkpoint(struct fixture *f, const char *const *fields, size_t count); /* taken, and in force */

bool fixture_said(const struct fixture *f, const char *text);
void fixture_path(const struct fixture *f, const char *name, char out[512]);
size_t fixture_files(const struct fixture *f, const char *sub); /* how many names a directory in it has */

/* Bytes that depend on the seed, in memory of the caller's. */
void fixture_fill(char *out, size_t len, uint32_t seed);

/* The pinned body is exactly these bytes. */
void fixture_expect_body(struct fixture *f, const struct body_ref *ref, struct slice bytes);
