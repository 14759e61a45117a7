/* `bide work`: any program is a worker. One process, one loop, any number of jobs at once.
 *
 * What must hold:
 *  1. A job's lease is extended from the moment it is claimed until its verdict is accepted: while its body comes in, while
 *     the command runs, while the result goes out.
 *  2. A command whose lease is lost is killed with its whole process group, and nothing more is sent for it.
 *  3. A verdict (done, fail, release) is sent until the server takes it or says that the lease is lost. A server that is
 *     away, for however long, costs nothing but time.
 *  4. A claim whose answer was lost is asked again under the same attempt id, so no job is left leased and forgotten.
 *  5. Memory does not grow with the size of bodies and results: stdin and stdout of a command are files without a name.
 *  6. The loop never blocks on a child: its pipes are read without blocking, and stderr is passed on only when it can be.
 *  7. The job's output (what the command writes, for whoever follows the job) comes before its verdict, and never decides it. */
#pragma once

#include "base/list.h"
#include "cli/session.h"

enum {
	WORK_TAIL_BYTES = 2048,      /* of stderr that go into a failure */
	WORK_CHUNK_BYTES = 4096,     /* PIPE_BUF: what a writable pipe takes without blocking */
	WORK_LINE_BYTES = 1024,      /* of a progress line that count */
	WORK_OUTPUT_BYTES = 65536,   /* of a command's output that wait to be sent */
	WORK_MEMORY_BYTES = 1 << 20, /* a body up to this is kept in memory */
	WORK_BEAT_EVERY_MS = 200,    /* progress is told at most this often */
	WORK_JOBS_LIMIT = 1024,
	WORK_EX_DATAERR = 65,
	WORK_EX_TEMPFAIL = 75,
};

enum work_state {
	WORK_FETCHING, /* its body comes in */
	WORK_RUNNING,  /* its command runs */
	WORK_ENDING,   /* its verdict goes out */
	WORK_OVER,     /* can be freed */
};

enum work_verdict { WORK_DONE, WORK_FAIL, WORK_RELEASE };

/* A request that belongs to a job, and its patience. */
struct work_call {
	struct http_call call;
	bool made;
	struct retry retry;
	uint64_t due_ns; /* send it then */
};

struct work_progress {
	char line[WORK_LINE_BYTES];
	size_t len;
	double fraction; /* -1: not told */
	char message[WORK_LINE_BYTES];
	bool news; /* something that the server has not been told */
};

enum { WORK_STDERR = 1, WORK_STDOUT = 2 }; /* of a command, as its output */

struct work_output {
	struct work_call call;
	struct buf piece;    /* being sent, or to be sent again */
	struct buf pending;  /* what follows */
	uint64_t since_ns;   /* when the first of that came */
	uint64_t full_ns;    /* since when there is no room; 0: there is */
	uint64_t lost_bytes; /* that were left out since the last piece was taken */
	uint64_t seq;
	char producer[20];
	bool on, dropping, told;
	bool refused; /* the last piece, for want of room */
};

struct work_job {
	struct list node;
	struct worker *worker;
	enum work_state state;
	char *id, *queue, *token, *content_type, *name, *body_url;
	unsigned attempt;
	uint64_t lease_ms, size_bytes;
	uint64_t began_ns;

	struct work_call body, beat, end;
	uint64_t beaten_ns; /* when the last beat left */
	off_t body_bytes;   /* that are in in_fd */
	bool body_began;    /* the present answer has brought some */
	int body_error;

	pid_t pid; /* also its process group; 0: none */
	int in_fd, out_fd, progress_fd, stderr_fd;
	int stdout_fd; /* where stdout is output, too: it comes through here, and goes on to out_fd */
	off_t out_bytes;
	int out_error; /* errno: the result could not be kept */
	bool exited;
	int wait_status;
	uint64_t exited_ns;
	uint64_t kill_ns; /* SIGTERM was sent; SIGKILL then. 0: neither */
	bool canceled, lost;
	struct work_progress progress;
	struct work_output output;
	char tail[WORK_TAIL_BYTES]; /* a ring; tail_total counts what has passed through */
	uint64_t tail_total;
	char chunk[WORK_CHUNK_BYTES]; /* stderr that waits to be passed on */
	size_t chunk_len;

	enum work_verdict verdict;
	bool fail_retry;
	uint64_t delay_ms; /* of a release */
	char *error_title, *error_detail;
};

struct worker {
	struct session *session;
	char **command; /* NULL-terminated */
	char **queues;
	size_t queue_count;
	const char *lease, *name, *content_type;
	uint64_t lease_ms; /* 0: the jobs' own */
	unsigned outputs;  /* WORK_STDERR, WORK_STDOUT */
	uint64_t slots, max_jobs, idle_ms, grace_ms, release_delay_ms;
	bool no_retry[256]; /* by exit code */

	struct list jobs;
	size_t job_count;
	uint64_t claimed_count;
	uint64_t idle_since_ns;

	struct work_call claim;
	char attempt_id[40]; /* "" when the next claim is a new one */
	bool claim_last;     /* the claim under way only looks for what an earlier one may have got */

	int signal_fd;
	int stopping; /* 1: no more jobs; 2: give back what there is */
	uint64_t give_up_ns;
	int job_code;  /* the fate of the last job, as an exit code */
	int exit_code; /* why the worker ended by itself, 0: as it was told to */
};

/* work_claim.c */
void work_claim_step(struct worker *worker, uint64_t now_ns);
uint64_t work_claim_due_ns(const struct worker *worker);
void work_claim_stop(struct worker *worker); /* no more; what was perhaps handed over already is asked for and given back */
bool work_claim_busy(const struct worker *worker);

/* work_job.c: takes the description of a claimed job. */
void work_job_new(struct worker *worker, const json_t *claimed, uint64_t lease_ms);
void work_job_step(struct work_job *job, uint64_t now_ns); /* moves on whatever is due */
uint64_t work_job_due_ns(const struct work_job *job);
void work_job_cancel(struct work_job *job);
void work_job_lose(struct work_job *job, const char *why);
void work_job_give_back(struct work_job *job);
void work_job_exited(struct work_job *job);
void work_job_over(struct work_job *job);
void work_job_free(struct work_job *job);
/* Does this answer say that the job is no longer ours? Then that has been dealt with. */
bool work_job_refused(struct work_job *job, struct http_call *call);
void work_job_call(struct work_job *job, struct work_call *call, const char *method, const char *tail);
/* Plans the next try after a failure. */
void work_call_retry(struct work_job *job, struct work_call *call);

/* work_body.c */
void work_body_start(struct work_job *job, const json_t *claimed);
void work_body_step(struct work_job *job, uint64_t now_ns);

/* work_beat.c */
void work_beat_step(struct work_job *job, uint64_t now_ns);
void work_beat_stop(struct work_job *job);
/* How long a lease lasts that ends at `deadline` (RFC 3339), by the server's own clock where the answer tells it. */
uint64_t work_lease_ms(struct http_call *call, const char *deadline, uint64_t otherwise_ms);

/* work_end.c */
void work_end_done(struct work_job *job);
void work_end_fail(struct work_job *job, bool retry, const char *title, const char *detail);
void work_end_release(struct work_job *job, uint64_t delay_ms);
void work_end_step(struct work_job *job, uint64_t now_ns);

/* work_output.c */
void work_output_begin(struct work_job *job);
bool work_output_room(const struct work_job *job); /* for WORK_CHUNK_BYTES more; else the command is not read from */
void work_output_feed(struct work_job *job, const char *ptr, size_t len);
void work_output_step(struct work_job *job, uint64_t now_ns);
uint64_t work_output_due_ns(const struct work_job *job);
bool work_output_waits(const struct work_job *job);           /* something is to be sent */
bool work_output_busy(struct work_job *job, uint64_t now_ns); /* the command has exited: the verdict has to wait */
void work_output_stop(struct work_job *job);                  /* nothing more is sent */
void work_output_free(struct work_job *job);

/* work_child.c */
int work_child_start(struct work_job *job); /* 0 or -errno */
void work_child_signal(struct work_job *job, int signal);
void work_child_read(struct work_job *job); /* its pipes, without blocking */
bool work_child_reap(struct work_job *job); /* true once it has exited */
void work_child_tail(const struct work_job *job, struct buf *out);

/* work_progress.c */
void work_progress_feed(struct work_progress *progress, const char *ptr, size_t len);
void work_progress_line(struct work_progress *progress, const char *line);

/* work_tell.c: a line for people on stderr, or an event as JSON on stdout. */
void work_tell(const struct work_job *job, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* spool.c: a file without a name, in memory when `size_hint` is small enough. A descriptor, or -errno. */
int spool_open(uint64_t size_hint_bytes);
int spool_write(int fd, off_t at, const char *ptr, size_t len); /* 0 or -errno */
