/* Asking a sequencer about streams, in short: of the one stream at a_path, where nothing else is said. */
#pragma once

#include "sequencer/sequencer_fixture.h"
#include "stream/stream_event.h"

extern struct fixture f;
extern struct buf mine; /* what was last read, as expect_read says it */
static const struct slice a_path = {"a/b", 3}, a_type = {"text/plain", 10};

struct records_in records_of(uint32_t count, const char *what);
enum outcome create_as(struct stream_create_in in);
enum outcome create(struct slice at);
/* The answer's view, without chunks, in *ret_view where it is wanted. */
enum outcome append_as(struct stream_append_in in, struct stream_view *ret_view);
struct stream_append_in append_of(uint32_t count, const char *what);
enum outcome append(uint32_t count, const char *what);
enum outcome append_by(const char *producer, uint64_t epoch, uint64_t seq, struct stream_view *ret_view);
enum outcome delete (struct slice at);
struct stream_read_in read_of(enum stream_from from);
enum outcome read_as(struct stream_read_in in, struct ask *ask, unsigned thread);
/* "offset:count=bytes " of each chunk. */
void say(const struct stream_view *view, struct buf *out);
void expect_read(struct stream_read_in in, const char *said, uint64_t after);
uint64_t number_of(struct slice at);
struct stream;
const struct stream *stream_at(struct slice at); /* as the state has it; NULL: there is none */

/* --- real records: a word each, up to the next space --- */

/* One batch of them, of that time (0: now) and with that key (0: none). Its memory is that of the next, too. */
struct records_in words_of(const char *words, char key, uint64_t time_ms);
enum outcome append_words(struct slice path, const char *words);
/* All that is read from there to the end, a little at a time: "offset:word " each. */
void expect_words(struct stream_read_in in, const char *said);
void expect_words_at(struct slice path, const char *said); /* from the start */
/* As a second sequencer has it after the journal, whole or from the checkpoint. */
void expect_same_after_replay(bool from_checkpoint);
size_t events_of(enum stream_event_type type); /* so far in the journal */
