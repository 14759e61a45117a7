#pragma once
/* Many parked waits on one server: what the tests of park.c share with the servers' dialects in park_peers.c. */
#include "hist.h"
#include "loop.h"
#include "options.h"
#include "proc.h"
#include "sse.h"

#define PARK_COMPLETERS_COUNT 16
#define NOT_WAITING           UINT32_MAX

struct park_handle {
	char id[64];
	char token[64];
	uint64_t intended_ns; /* when its completion was due; 0: not yet completed */
};

struct park {
	const struct options *options;
	const struct park_peer *peer;
	struct loop loop;
	struct proc_set procs;
	struct conn control;
	struct conn completers[PARK_COMPLETERS_COUNT];
	struct conn *waiters;        /* owned, waiters_count */
	uint32_t *waiting_for;       /* owned: the handle each waiter polls */
	struct sse *events;          /* owned, waiters_count: what of the events has come */
	struct park_handle *handles; /* owned */
	uint32_t handles_count;
	uint32_t waiters_count;
	uint32_t answered_count;
	uint32_t acked_count;
	uint32_t repolled_count;
	uint32_t wanted_count; /* answers that end the present phase */
	bool phase_over;
	struct hist wake_hist; /* completion due → waiter has its answer */
	uint64_t last_ns;      /* when the latest answer came */
};

enum park_answer {
	PARK_ANSWERED, /* the waiter has what it waited for */
	PARK_EXPIRED,  /* the wait ended empty; a long-polling client asks again */
};

struct park_peer {
	const char *name;
	bool wakes;  /* it takes part in the tests that wake waiters */
	bool events; /* answers go on: who was woken still waits, for the next */
	void (*prepare)(struct park *park, uint32_t handles_count);
	void (*poll)(struct park *park, struct conn *conn, uint32_t handle);
	/* Takes the first whole answer off a waiter's connection; false when it is not all there. */
	bool (*answer)(struct conn *conn, uint32_t handle, enum park_answer *ret_answer);
	void (*complete)(struct park *park, struct conn *conn, uint32_t handle);
	/* The first whole acknowledgement of a completion: its length, or 0. */
	size_t (*ack)(struct conn *conn);
	/* How many waits the server itself says are parked now. */
	uint32_t (*parked)(struct park *park);
};

/* NULL when there is none of that name. */
const struct park_peer *park_peer_find(const char *name);
