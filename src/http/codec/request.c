#include "http/codec/request.h"

struct slice request_header(const struct request *request, struct slice name)
{
	for (size_t i = 0; i < request->header_count; i++) {
		if (slice_eq_nocase(request->headers[i].name, name))
			return request->headers[i].value;
	}
	return (struct slice){0};
}
