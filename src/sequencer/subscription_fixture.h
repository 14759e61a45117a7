/* Asking a sequencer about subscriptions, in short. */
#pragma once

#include "sequencer/stream_fixture.h"

/* A webhook over "events/" followed by one segment; a pull-wake over the same, with the wake stream "wake". */
struct subscription_in hook_of(struct slice id);
struct subscription_in pull_of(struct slice id);

enum outcome sub_create(struct subscription_in in);
enum outcome sub_tell(enum command_kind kind, struct slice id); /* GET, DELETE */
enum outcome sub_link(enum command_kind kind, struct slice id, struct slice path);

/* What is known of a subscription; to be given back with subscription_view_free. NULL: there is none. */
struct subscription_view *sub_look(struct slice id);
/* "path:e0/1 ": link (e: explicit, g: by the pattern), acked offset, tail, in their order; "path:e- " where there is no stream.
 */
void sub_expect(struct slice id, const char *said);

/* The worker is "w1". The view is NULL unless there is one. */
enum outcome sub_claim(struct slice id, struct subscription_view **ret_view);
/* As the view's holder; `acks` may be NULL. */
struct subscription_ack_in ack_of(const struct subscription_view *view, const struct subscription_ack *ack, bool done);
enum outcome sub_ack(struct subscription_ack_in in, bool *ret_next_wake);
enum outcome sub_release(struct subscription_ack_in in);
enum outcome sub_hooked(const struct subscription_view *view, enum hook_result result);

/* The oldest hook not yet taken; to be freed. NULL: there is none. */
struct subscription_view *hook_take(struct fixture *fixture);

enum outcome make_stream(struct slice path); /* JSON */
enum outcome add_to(struct slice path, uint32_t count);
/* How many records there are in the stream, and the last one's text. */
uint64_t last_of(struct slice path, struct buf *out);
