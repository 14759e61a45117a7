#pragma once
/*
 * Jobs through a queue and back, the same for every server: a client puts a job in, a worker takes it and gives a result, the
 * client has the result. What is common (who may submit when, what counts, how long it took) is in jobs.c; how a server is
 * spoken to is a driver.
 *
 * A slot is the right to have one job under way. A job carries a tag (slot and sequence number, 16 hex digits) at the start of
 * its body, the worker puts it at the start of the result, and the client's slot is free again when that tag has come back.
 * A tag that comes twice, or not for the slot that waits for it, ends the run.
 */
#include "hist.h"
#include "loop.h"
#include "options.h"
#include "proc.h"

#define JOBS_TAG_BYTES 16
#define JOBS_BODY_MAX  1024
#define JOBS_DEPTH_MAX 64

struct jobs_slot {
	uint64_t intended_ns; /* when the job was due to be submitted */
	uint32_t sequence;
	bool busy;
};

struct jobs {
	const struct options *options;
	const struct jobs_driver *driver;
	void *state; /* the driver's */
	struct loop loop;
	struct proc_set procs;
	uint32_t clients_count;
	uint32_t workers_count;
	uint32_t depth; /* jobs under way per client, and what a worker may take at once */
	bool plain;     /* no result: a job is over when the worker's acknowledgement is acknowledged */
	uint32_t body_bytes;
	char body[JOBS_BODY_MAX];

	struct jobs_slot *slots; /* owned */
	uint32_t slots_count;
	uint32_t *idle; /* owned: a stack of free slots */
	uint32_t idle_count;

	uint64_t interval_ns; /* open loop: between two jobs; 0: closed loop */
	uint64_t next_due_ns;
	uint64_t from_ns; /* what is measured: [from, to) */
	uint64_t to_ns;
	uint64_t cpu_from_ns;
	uint64_t cpu_ns;
	uint64_t own_cpu_from_ns;
	uint64_t own_cpu_ns;
	uint64_t finished_count; /* in the measured time */
	struct hist latency_hist;
	bool stopping;
	bool drained;
};

struct jobs_driver {
	const char *name;
	/* Prepares the server, connects clients and workers, sets the workers waiting. */
	void (*setup)(struct jobs *jobs);
	/* Submits the job of `slot`, whose body jobs_body() gives. */
	void (*submit)(struct jobs *jobs, uint32_t slot);
};

extern const struct jobs_driver jobs_bide;
extern const struct jobs_driver jobs_beanstalkd;
extern const struct jobs_driver jobs_redis_list;
extern const struct jobs_driver jobs_redis_stream;
extern const struct jobs_driver jobs_nats;

/* The body of the job of `slot`; valid until the next call. body_bytes long. */
const char *jobs_body(struct jobs *jobs, uint32_t slot);

/* The result to the job whose body (or tag) is given; valid until the next call. body_bytes long. */
const char *jobs_result(struct jobs *jobs, const char *tag);

/* The client whose job carries this tag. */
uint32_t jobs_client(const struct jobs *jobs, const char *tag);

/* The job with this tag is over for its client. May submit the next one before it returns. */
void jobs_finish(struct jobs *jobs, const char *tag, size_t tag_len, uint64_t now_ns);

/* Zeroed memory or the end of the run. */
void *jobs_alloc(size_t count, size_t size);
