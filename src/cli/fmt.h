/* Numbers, times and tables for people. */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdio.h>

void fmt_bytes(struct buf *out, uint64_t bytes);    /* 4.1 MiB */
void fmt_duration(struct buf *out, double seconds); /* 0.4 s, 12 s, 3 min 5 s, 2 h 5 min, 3 d 4 h */

/* RFC 3339 in UTC → milliseconds since 1970. 0, or -EINVAL. */
int fmt_time_parse(const char *text, uint64_t *ret_unix_ms) MUST_USE;
uint64_t fmt_now_ms(void); /* the wall clock, since 1970 */

/* Rows of cells, aligned when printed. Zero-initialised is empty. Cells are made safe for a terminal. */
enum { TABLE_COLUMNS = 16, TABLE_LAST = 16 };

struct table {
	struct buf text; /* the cells, NUL behind each */
	size_t *starts;  /* where each cell begins; the caller sees none of this */
	size_t count, cap;
	unsigned columns;          /* a row */
	bool right[TABLE_COLUMNS]; /* numbers stand at the right */
	/* Where rows would be wider than this, the columns of `spare` are left out, in that order, until they fit; the last
	 * column is thought of as cut to TABLE_LAST. 0: as wide as they are. */
	unsigned fit;
	const unsigned char *spare;
	size_t spare_count;
};

void table_cell(struct table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends the rows as lines; the first row is the heading, and is left out when `heading` is false. */
void table_print(struct table *table, struct buf *out, bool heading, bool bold);
void table_deinit(struct table *table);
/* The first row of a new table; the columns from `right_from` on are numbers. */
void table_heading(struct table *table, const char *const *names, unsigned count, unsigned right_from);
/* Prints it on stdout, bold where that is a terminal, and is done with it. */
void table_out(struct table *table, bool heading);

/* --- jobs as JSON ------------------------------------------------------------------------------------------------------- */

/* A string field; "" when it is missing or null. */
const char *job_string(const json_t *job, const char *name);
double job_number(const json_t *job, const char *name, double otherwise);
bool job_is_over(const json_t *job);  /* done, failed or canceled */
int job_exit_code(const json_t *job); /* of one that is over */
/* What the worker said went wrong: a string, or a problem's title and detail. */
void job_error(struct buf *out, const json_t *job);
