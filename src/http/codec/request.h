/* A request's head as the codecs decode it and the door reads it, whatever version of HTTP carried it. */
#pragma once

#include "base/slice.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

struct http_header {
	struct slice name;  /* as sent; compare with slice_eq_nocase */
	struct slice value; /* without blanks around it */
};

/* The request while it is being handled; all slices live in the exchange's arena. */
struct request {
	enum http_method method;
	struct slice method_name;
	struct slice path;  /* as sent, not decoded, begins with '/' (absolute-form is reduced to it); "*" for OPTIONS * */
	struct slice query; /* behind '?', as sent; may be empty */
	const struct http_header *headers;
	size_t header_count;
	uint64_t content_length; /* UINT64_MAX when chunked; 0 when there is no body */
	uint8_t minor;           /* HTTP/1.x */
};

/* The value of the first field of that name; ptr == NULL when there is none. */
struct slice request_header(const struct request *request, struct slice name);
