/* Inside src/stream only. */
#pragma once

#include "stream/stream.h"

uint64_t path_hash(const struct streams *streams, struct slice path);
uint64_t producer_hash(const struct streams *streams, uint64_t stream_number, struct slice id);
/* One more reference to the string; an empty one gives NULL and no error. -ENOMEM. */
int type_take(struct streams *streams, struct slice s, struct stream_type **ret_type) MUST_USE;
void type_give(struct streams *streams, struct stream_type *type);
void stream_free(struct stream *stream); /* its memory and what hangs in no table */
void stream_set_deadline(struct streams *streams, struct stream *stream, uint64_t at_ms); /* room in the heap must be there */
