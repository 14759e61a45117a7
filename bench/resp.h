#pragma once
/* The client's half of the Redis protocol (RESP2): whole replies, and the strings in them one after the other. */
#include "loop.h"

/* Bytes of the first whole reply in `data`, 0 when it is not all there. An error reply ends the run and is shown. */
size_t resp_parse(const char *data, size_t len);

/* Walks the bulk strings of a reply, however nested: false at the end. Start with *at = 0. */
bool resp_string(const char *reply, size_t len, size_t *at, const char **ret_text, size_t *ret_text_len);

/* Appends a command of `count` plain strings. */
void resp_command(struct conn *conn, const char *const *words, uint32_t count);
