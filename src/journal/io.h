/* A thread that does slow things for the journal, first come, first served. */
#pragma once

#include "base/attr.h"
#include "base/mail.h"

#include <pthread.h>
#include <stdbool.h>

/* Lives in the memory of whoever posts it, until `run` is called with it; `run` may free it, or post it again. */
struct io_job {
	struct mail mail; /* first */
	void (*run)(struct io_job *job);
};

struct io {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct mail_list jobs;
	bool stop;
	bool running;
};

int io_start(struct io *io, const char *name) MUST_USE; /* 0 or -errno */

/* Runs what is queued, then ends the thread. Harmless when it was never started. */
void io_stop(struct io *io);

void io_post(struct io *io, struct io_job *job); /* any thread */
