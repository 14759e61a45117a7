/* A stage for tests of the HTTP engine: a real http_thread on a real loop, clients on loopback TCP in the same thread, a door
 * that does what the request's path says, and a store in memory. Every step is taken by the test; whoever waits for something
 * runs the loop until it is there, and fails after some seconds. Nothing here allocates through base/mem.h once the stage is set,
 * so that a failing allocation is always the engine's. */
#pragma once

#include "base/testing.h"
#include "http/exchange/http_thread.h"

enum { STAGE_ENTRIES_MAX = 4096, STAGE_SAID_BYTES = 256 * 1024, STAGE_PATIENCE_MS = 20000 };

/* An exchange as the door knows it. */
struct entry {
	struct exchange *ex; /* NULL: over */
	char path[120];
};

struct stage {
	struct loop *loop;
	struct http_thread *http;
	struct http_config config;
	int listen_fd;

	/* Besides the engine's own share of a turn, again and again while it returns true; NULL: nothing. */
	bool (*turn)(struct stage *stage);

	/* The door. */
	struct entry entries[STAGE_ENTRIES_MAX];
	size_t entry_count;
	bool hold_bodies;                                                            /* do not answer when the body has come */
	bool keep_gone;                                                              /* do not call exchange_done */
	void (*on_gone)(struct stage *stage, struct exchange *ex, const char *path); /* besides; may be NULL */
	char said[STAGE_SAID_BYTES];                                                 /* what the door heard: a line each */
	size_t said_len;
	bool quiet; /* say nothing */

	/* The store. */
	struct store store;
	int open_error, write_error, seal_error;
	uint64_t write_fails_at; /* bytes of a blob, when write_error is set */
	bool hold_seals;         /* until stage_seal */
	unsigned blobs_open, blobs_discarded, blobs_sealed, blobs_released, pins_open;
	struct fake_blob *sealing; /* those that are held; the newest first */
	bool pin_bad;              /* the next read of a pin tells wrong bytes */
	bool pin_without_file;
	uint64_t pin_fails_at; /* reads of a pin beyond this fail; 0: none */
};

extern const struct exchange_handler stage_door;
extern const struct store_ops stage_store;

int stage_setup(void **state);
int stage_teardown(void **state);      /* fails when anything is left */
void stage_reset(struct stage *stage); /* a new http_thread with stage->config, everything old is freed */
void stage_configure(struct stage *stage);
void stage_turn(struct stage *stage, unsigned wait_ms); /* one turn of the loop, as the server makes it */
void stage_rest(struct stage *stage);                   /* until nothing moves any more */
void stage_seal(struct stage *stage);                   /* ends the newest of the seals that are held */
struct http_thread_stats stage_stats(const struct stage *stage);
uint64_t stage_now_ms(void);

void stage_wait(struct stage *stage, uint64_t end_ms); /* a turn that may wait a little; fails behind the end */

#define UNTIL(stage, cond)                                                                                                       \
	do {                                                                                                                     \
		uint64_t until_ms_ = stage_now_ms() + STAGE_PATIENCE_MS;                                                         \
                                                                                                                                 \
		while (!(cond))                                                                                                  \
			stage_wait(stage, until_ms_);                                                                            \
	} while (0)

/* Waits until the door has heard as much as `text`, and exactly that; forgets it. */
void expect_said(struct stage *stage, const char *text);

/* The door: what it does with a request is the first part of its path.
 *   /now/…         answers at once          /big/N      answers N bytes at once        /close/…  the same and closes
 *   /tell/…        answers, wants to hear   /hold/…     waits for door_answer
 *   /park/MS/…     parks                    /memory/N   takes a body of up to N bytes  /store/N  the same, to the store
 *   /discard/N     lets it be thrown away   /pin/FROM/N/SIZE/K  a range of a stored body of SIZE bytes, K = inline, blob
 *   /again/MS/…    parks, and at its deadline parks again
 *   /stream/…      begins an answer that goes on        /pace/N  the same, with N bytes as the reader takes them, and ends it */
struct exchange *door_find(struct stage *stage, const char *path); /* the oldest that is not over; NULL: none */
void door_answer(struct stage *stage, const char *path, const char *body);
void door_answer_flags(struct stage *stage, const char *path, const char *body, unsigned flags);
void door_forget(struct stage *stage, struct exchange *ex); /* the test has answered it itself */
struct store_pin *stage_pin(struct stage *stage, uint64_t bytes, enum body_kind kind);
char pattern_at(uint64_t at); /* the byte at that place of every body here */
void pattern_fill(char *out, size_t len);
void expect_pattern(const char *bytes, uint64_t from, size_t len);

/* A client. */
struct peer {
	int fd;
	char *in; /* heard, not looked at */
	size_t len, cap;
	char *body; /* of the last answer looked at */
	bool ended;
	int error; /* errno of the end; 0: in good order */
};

struct heard {
	int status;
	char head[4096];  /* with a NUL */
	const char *body; /* the peer's, until the next answer is looked at */
	size_t body_len;
};

struct peer *peer_open(struct stage *stage);
struct peer *peer_open_slow(struct stage *stage); /* small buffers on both sides */
void peer_say(struct stage *stage, struct peer *peer, const char *text);
void peer_say_bytes(struct stage *stage, struct peer *peer, const void *bytes, size_t len);
size_t peer_try(struct peer *peer, const void *bytes, size_t len);               /* what the socket takes, now */
void peer_pull(struct peer *peer);                                               /* what is there, now */
bool peer_look(struct peer *peer, bool without_body, struct heard *ret_heard);   /* one whole answer, if it is there; no turn */
void peer_hear(struct stage *stage, struct peer *peer, struct heard *ret_heard); /* one whole answer */
void peer_hear_head(struct stage *stage, struct peer *peer, struct heard *ret_heard); /* an answer to HEAD */
void expect_heard(struct stage *stage, struct peer *peer, int status, const char *body);
void expect_status(struct stage *stage, struct peer *peer, int status);
void expect_end(struct stage *stage, struct peer *peer); /* the server closes in good order, and says no more */
bool heard_has(const struct heard *heard, const char *line);
void peer_finish(struct peer *peer); /* sends no more */
void peer_reset(struct peer *peer);  /* RST, and frees it */
struct peer *peer_close(struct peer *peer);
