/* The command of a job: stdin is its body, stdout the result, both files without a name; 3 takes progress, stderr passes
 * through and its end is remembered. Each command has a process group of its own, so all of it can be ended.
 *
 * What goes into the job's output passes through here: stderr, and, where that is wanted, stdout by way of a pipe. */
#include "base/mem.h"
#include "cli/work.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRESS_FD = 3, REPORT_FD = 4 };

struct launch {
	struct work_job *job;
	int progress[2], errors[2], out[2], report[2];
	char **env;
	pid_t parent;
};

/* --- the environment ------------------------------------------------------------------------------------------------------ */

static char *env_entry(const char *name, const char *value)
{
	struct buf entry = {0};
	char *copy;

	buf_printf(&entry, "%s=%s", name, value);
	copy = cli_dup(cli_text(&entry));
	buf_deinit(&entry);
	return copy;
}

static const char *const env_names[] = {"BIDE_JOB_ID",      "BIDE_QUEUE",    "BIDE_ATTEMPT", "BIDE_CONTENT_TYPE",
					"BIDE_PROGRESS_FD", "BIDE_JOB_NAME", "BIDE_SERVER"};

static bool env_is_ours(const char *entry)
{
	for (size_t i = 0; i < ARRAY_COUNT(env_names); i++) {
		size_t len = strlen(env_names[i]);

		if (!strncmp(entry, env_names[i], len) && entry[len] == '=')
			return true;
	}
	return false;
}

/* Ours first, then what we were given; env_free knows how many are ours. */
static char **env_new(const struct work_job *job)
{
	size_t count = 0, at = 0;
	char attempt[16];
	char **env;

	while (environ[count])
		count++;
	env = cli_alloc((count + ARRAY_COUNT(env_names) + 1) * sizeof(*env));
	snprintf(attempt, sizeof(attempt), "%u", job->attempt);
	const char *const values[] = {
		job->id, job->queue, attempt, job->content_type, "3", job->name, job->worker->session->server};
	for (; at < ARRAY_COUNT(env_names); at++)
		env[at] = env_entry(env_names[at], values[at]);
	for (size_t i = 0; i < count; i++)
		if (!env_is_ours(environ[i]))
			env[at++] = environ[i];
	return env;
}

static void env_free(char **env)
{
	for (size_t i = 0; i < ARRAY_COUNT(env_names); i++)
		mem_free(env[i]);
	mem_free(env);
}

/* --- starting --------------------------------------------------------------------------------------------------------------- */

/* Between fork and exec: only calls that are safe there. */
NO_RETURN static void child_exec(const struct launch *launch)
{
	struct work_job *job = launch->job;
	int progress = fcntl(launch->progress[1], F_DUPFD_CLOEXEC, 16);
	int errors = fcntl(launch->errors[1], F_DUPFD_CLOEXEC, 16);
	int report = fcntl(launch->report[1], F_DUPFD_CLOEXEC, 16);
	int in = fcntl(job->in_fd, F_DUPFD_CLOEXEC, 16);
	int out = fcntl(launch->out[1] >= 0 ? launch->out[1] : job->out_fd, F_DUPFD_CLOEXEC, 16);
	sigset_t none;
	int error;

	setpgid(0, 0);
	/* When this worker is killed the job is another's; then the command must not go on. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != launch->parent)
		_exit(1);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0 ||
	    dup2(progress, PROGRESS_FD) < 0 || dup3(report, REPORT_FD, O_CLOEXEC) < 0)
		_exit(1);
	close_range(REPORT_FD + 1, ~0U, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(job->worker->command[0], job->worker->command, launch->env);
	error = errno;
	if (write(REPORT_FD, &error, sizeof(error)) < 0)
		_exit(1);
	_exit(127);
}

static void pair_close(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

static int launch_pipes(struct launch *launch)
{
	if (pipe2(launch->progress, O_CLOEXEC) || pipe2(launch->errors, O_CLOEXEC) || pipe2(launch->report, O_CLOEXEC))
		return -errno;
	/* Ours alone: the command's ends stay as programs expect them. */
	if (fcntl(launch->progress[0], F_SETFL, O_NONBLOCK) || fcntl(launch->errors[0], F_SETFL, O_NONBLOCK))
		return -errno;
	if (!(launch->job->worker->outputs & WORK_STDOUT))
		return 0;
	return pipe2(launch->out, O_CLOEXEC) || fcntl(launch->out[0], F_SETFL, O_NONBLOCK) ? -errno : 0;
}

/* Waits for exec: its end closes the pipe, its failure comes through it. */
static int launch_report(struct launch *launch)
{
	int error = 0;
	ssize_t n;

	close(launch->report[1]);
	launch->report[1] = -1;
	do
		n = read(launch->report[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? -error : 0;
}

static int launch_fork(struct launch *launch)
{
	struct work_job *job = launch->job;
	int rc;

	job->pid = fork();
	if (job->pid < 0) {
		job->pid = 0;
		return -errno;
	}
	if (job->pid == 0)
		child_exec(launch);
	setpgid(job->pid, job->pid); /* on both sides: whoever comes first */
	rc = launch_report(launch);
	if (rc) {
		waitpid(job->pid, NULL, 0);
		job->pid = 0;
	}
	return rc;
}

int work_child_start(struct work_job *job)
{
	struct launch launch = {
		.job = job, .progress = {-1, -1}, .errors = {-1, -1}, .out = {-1, -1}, .report = {-1, -1}, .parent = getpid()};
	int rc;

	job->out_fd = spool_open(UINT64_MAX); /* nobody knows how large a result becomes */
	if (job->out_fd < 0)
		return job->out_fd;
	rc = launch_pipes(&launch);
	if (!rc) {
		launch.env = env_new(job);
		rc = launch_fork(&launch);
		env_free(launch.env);
	}
	if (!rc) {
		job->progress_fd = launch.progress[0];
		job->stderr_fd = launch.errors[0];
		job->stdout_fd = launch.out[0];
		launch.progress[0] = launch.errors[0] = launch.out[0] = -1;
		work_output_begin(job);
	}
	pair_close(launch.progress);
	pair_close(launch.errors);
	pair_close(launch.out);
	pair_close(launch.report);
	return rc;
}

void work_child_signal(struct work_job *job, int signal)
{
	if (job->pid && !job->exited)
		kill(-job->pid, signal);
}

/* --- its pipes ------------------------------------------------------------------------------------------------------------- */

static void stderr_pass(struct work_job *job)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (!job->chunk_len || poll(&ready, 1, 0) != 1)
		return;
	/* At most PIPE_BUF bytes, so this does not block. A stderr that nobody reads any more loses them. */
	if (write(STDERR_FILENO, job->chunk, job->chunk_len) < 0 && errno == EINTR)
		return;
	job->chunk_len = 0;
}

static void stderr_read(struct work_job *job)
{
	stderr_pass(job);
	while (job->stderr_fd >= 0 && !job->chunk_len && work_output_room(job)) {
		ssize_t n = read(job->stderr_fd, job->chunk, sizeof(job->chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(job->stderr_fd);
			job->stderr_fd = -1;
			return;
		}
		for (ssize_t i = 0; i < n; i++)
			job->tail[job->tail_total++ % WORK_TAIL_BYTES] = job->chunk[i];
		job->chunk_len = (size_t)n;
		if (job->worker->outputs & WORK_STDERR)
			work_output_feed(job, job->chunk, job->chunk_len);
		stderr_pass(job);
	}
}

static void stdout_read(struct work_job *job)
{
	char bytes[WORK_CHUNK_BYTES];

	while (job->stdout_fd >= 0 && work_output_room(job)) {
		ssize_t n = read(job->stdout_fd, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0) {
			work_output_feed(job, bytes, (size_t)n);
			job->out_error = -spool_write(job->out_fd, job->out_bytes, bytes, (size_t)n);
			job->out_bytes += n;
		}
		if (n <= 0 || job->out_error) { /* who goes on writing what cannot be kept hears so */
			close(job->stdout_fd);
			job->stdout_fd = -1;
		}
	}
}

static void progress_read(struct work_job *job)
{
	char bytes[WORK_CHUNK_BYTES];

	while (job->progress_fd >= 0) {
		ssize_t n = read(job->progress_fd, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			work_progress_feed(&job->progress, "\n", 1);
			close(job->progress_fd);
			job->progress_fd = -1;
			return;
		}
		work_progress_feed(&job->progress, bytes, (size_t)n);
	}
}

void work_child_read(struct work_job *job)
{
	progress_read(job);
	stderr_read(job);
	stdout_read(job);
}

void work_child_tail(const struct work_job *job, struct buf *out)
{
	uint64_t first = job->tail_total > WORK_TAIL_BYTES ? job->tail_total - WORK_TAIL_BYTES : 0;

	for (uint64_t i = first; i < job->tail_total; i++)
		buf_append_char(out, job->tail[i % WORK_TAIL_BYTES]);
	while (out->len && strchr(" \t\r\n", out->ptr[out->len - 1]))
		out->len--;
}

bool work_child_reap(struct work_job *job)
{
	siginfo_t info = {0};

	if (!job->pid || job->exited)
		return job->exited;
	if (waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid != job->pid)
		return false;
	/* What it left behind in its group ends with it; while it is not reaped the group's number cannot be another's. */
	kill(-job->pid, SIGKILL);
	waitpid(job->pid, &job->wait_status, 0);
	job->exited = true;
	job->exited_ns = cli_now_ns();
	return true;
}
