/* doc/journal-format.md, read table by table. What is not there fails the test. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

enum { CELLS_MAX = 4, CELL_BYTES = 640 };

static const char path[] = "doc/journal-format.md";

struct page {
	FILE *file;
	char cell[CELLS_MAX][CELL_BYTES]; /* of the last row read */
};

void page_open(struct page *page);
void page_close(struct page *page);
/* Goes to the next table whose heading begins with these two cells, and past the line below it. */
void page_find(struct page *page, const char *first, const char *second);
bool page_row(struct page *page); /* false behind the last one */
/* Takes the next `word` out of the text; false at its end. */
bool next_name(const char **text, char out[64]);
