/* Lines at the bottom of the terminal (stderr) that are drawn over and over: progress. Whatever else is printed clears them
 * first, so they never end up in between. */
#pragma once

#include "base/buf.h"

/* Is stderr a terminal that can do this? */
bool live_possible(void);

unsigned live_columns(void);
unsigned live_rows(void);
bool live_utf8(void); /* may more than ASCII be printed? */

/* Draws `count` lines (no line ends in them; cut to the width) in place of those drawn before. */
void live_draw(const struct slice *lines, size_t count);

/* Takes the drawn lines away; nothing when there are none. */
void live_clear(void);

/* Appends a bar of `width` characters for a fraction of 0..1: "[#####.....]". */
void live_bar(struct buf *out, double fraction, unsigned width);

/* Appends what a peer said, made safe for a terminal: control characters become blanks, broken UTF-8 "?". */
void live_text(struct buf *out, const char *text);

/* The part of a line that fits into `columns`; a character beyond ASCII is taken as one column wide, colours as none. */
struct slice live_cut(struct slice line, unsigned columns);
