#include "cli/work.h"
#include "base/mem.h"
#include "cli/fmt.h"
#include "cli/live.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* --- signals ------------------------------------------------------------------------------------------------------------------
 */

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void worker_stop(struct worker *worker, uint64_t now_ns)
{
	if (worker->stopping == 2) {
		list_each (node, &worker->jobs)
			work_child_signal(container_of(node, struct work_job, node), SIGKILL);
		exit(CLI_FAILED);
	}
	worker->stopping++;
	if (worker->stopping == 1) {
		if (worker->job_count && !worker->session->quiet)
			cli_say("no more jobs; finishing %zu. Once more gives them back", worker->job_count);
		work_claim_stop(worker);
		return;
	}
	if (!worker->session->quiet)
		cli_say("giving back %zu job%s", worker->job_count, worker->job_count == 1 ? "" : "s");
	worker->give_up_ns = now_ns + 10000000000ULL;
	list_each (node, &worker->jobs)
		work_job_give_back(container_of(node, struct work_job, node));
}

static void signals_read(struct worker *worker, uint64_t now_ns)
{
	struct signalfd_siginfo info;

	/* SIGCHLD only wakes the loop: every turn looks whether a command has ended. */
	while (read(worker->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			worker_stop(worker, now_ns);
}

/* --- the loop -----------------------------------------------------------------------------------------------------------------
 */

static void worker_step_jobs(struct worker *worker, uint64_t now_ns)
{
	list_each_safe (node, &worker->jobs) {
		struct work_job *job = container_of(node, struct work_job, node);

		work_job_step(job, now_ns);
		if (job->state == WORK_OVER) {
			work_job_free(job);
			worker->idle_since_ns = now_ns;
		}
	}
}

static uint64_t worker_due_ns(const struct worker *worker, uint64_t now_ns)
{
	uint64_t due_ns = work_claim_due_ns(worker);

	list_each (node, &worker->jobs) {
		uint64_t job_ns = work_job_due_ns(container_of(node, struct work_job, node));

		if (job_ns < due_ns)
			due_ns = job_ns;
	}
	if (worker->idle_ms != SESSION_FOREVER_MS && !worker->job_count &&
	    worker->idle_since_ns + worker->idle_ms * 1000000 < due_ns)
		due_ns = worker->idle_since_ns + worker->idle_ms * 1000000;
	if (worker->give_up_ns && worker->give_up_ns < due_ns)
		due_ns = worker->give_up_ns;
	return due_ns > now_ns ? due_ns : now_ns;
}

static unsigned worker_fds(const struct worker *worker, struct curl_waitfd *fds)
{
	unsigned count = 0;

	fds[count++] = (struct curl_waitfd){.fd = worker->signal_fd, .events = CURL_WAIT_POLLIN};
	list_each (node, &worker->jobs) {
		const struct work_job *job = container_of(node, struct work_job, node);

		if (job->progress_fd >= 0)
			fds[count++] = (struct curl_waitfd){.fd = job->progress_fd, .events = CURL_WAIT_POLLIN};
		if (job->chunk_len)
			fds[count++] = (struct curl_waitfd){.fd = STDERR_FILENO, .events = CURL_WAIT_POLLOUT};
		else if (job->stderr_fd >= 0 && work_output_room(job))
			fds[count++] = (struct curl_waitfd){.fd = job->stderr_fd, .events = CURL_WAIT_POLLIN};
		if (job->stdout_fd >= 0 && work_output_room(job))
			fds[count++] = (struct curl_waitfd){.fd = job->stdout_fd, .events = CURL_WAIT_POLLIN};
	}
	return count;
}

/* Nothing came for as long as we were told to wait. */
static bool worker_idle(const struct worker *worker, uint64_t now_ns)
{
	return worker->idle_ms != SESSION_FOREVER_MS && !worker->job_count && !worker->stopping &&
	       now_ns >= worker->idle_since_ns + worker->idle_ms * 1000000;
}

static bool worker_finished(const struct worker *worker, uint64_t now_ns)
{
	if (worker->give_up_ns && now_ns >= worker->give_up_ns)
		return true;
	if (worker->job_count)
		return false;
	if (worker->stopping)
		return !work_claim_busy(worker) && work_claim_due_ns(worker) == UINT64_MAX;
	return worker->claimed_count >= worker->max_jobs;
}

static int worker_loop(struct worker *worker)
{
	struct curl_waitfd *fds = cli_alloc((worker->slots * 3 + 1) * sizeof(*fds));
	uint64_t now_ns = cli_now_ns();

	worker->idle_since_ns = now_ns;
	for (;;) {
		uint64_t wait_ms;

		work_claim_step(worker, now_ns);
		worker_step_jobs(worker, now_ns);
		if (worker_idle(worker, now_ns)) {
			worker->exit_code = worker->claimed_count ? 0 : CLI_TIMED_OUT;
			worker->stopping = 1;
			work_claim_stop(worker);
			continue;
		}
		if (worker_finished(worker, now_ns))
			break;
		wait_ms = (worker_due_ns(worker, now_ns) - now_ns + 999999) / 1000000;
		http_turn(&worker->session->client, fds, worker_fds(worker, fds), wait_ms < 60000 ? (int)wait_ms : 60000);
		now_ns = cli_now_ns();
		signals_read(worker, now_ns);
	}
	mem_free(fds);
	return worker->job_count ? CLI_FAILED : 0;
}

/* --- the command line
 * ------------------------------------------------------------------------------------------------------------ */

static int worker_codes(struct worker *worker)
{
	const char *text = cli_args_value(&worker->session->args, "no-retry-on");
	struct slice rest = slice_str(text);

	worker->no_retry[WORK_EX_DATAERR] = true;
	while (rest.len) {
		uint64_t code;

		if (slice_u64(slice_trim(slice_cut(&rest, ',')), &code) || code < 1 || code > 255)
			return cli_usage_error(worker->session->command,
					       "--no-retry-on %s: exit codes, 1 to 255, with commas between", text);
		worker->no_retry[code] = true;
	}
	return 0;
}

static int worker_outputs(struct worker *worker)
{
	static const char *const names[] = {"none", "stderr", "stdout", "both"};
	const char *text = cli_args_value(&worker->session->args, "output");

	for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcmp(text ? text : "stderr", names[i]) == 0) {
			worker->outputs = i;
			return 0;
		}
	}
	return cli_usage_error(worker->session->command, "--output %s: stderr, stdout, both or none", text);
}

static int worker_numbers(struct worker *worker)
{
	struct session *session = worker->session;
	int rc = session_number(session, "jobs", 1, WORK_JOBS_LIMIT, &worker->slots);

	if (!rc)
		rc = session_number(session, "max-jobs", 1, UINT32_MAX, &worker->max_jobs);
	if (!rc)
		rc = session_duration(session, "lease", &worker->lease_ms);
	if (!rc)
		rc = session_duration(session, "idle", &worker->idle_ms);
	if (!rc)
		rc = session_duration(session, "grace", &worker->grace_ms);
	if (!rc)
		rc = session_duration(session, "release-delay", &worker->release_delay_ms);
	if (!rc)
		rc = worker_codes(worker);
	if (!rc)
		rc = worker_outputs(worker);
	if (!rc && worker->lease && (worker->lease_ms < 1000 || worker->lease_ms > 7 * 86400000ULL))
		rc = cli_usage_error(session->command, "--lease %s: from 1s to 7d", worker->lease);
	if (!rc && (worker->grace_ms > 86400000 || worker->release_delay_ms > 7 * 86400000ULL))
		rc = cli_usage_error(session->command, "--grace goes up to 1d, --release-delay up to 7d");
	if (cli_args_has(&session->args, "once"))
		worker->max_jobs = 1;
	return rc;
}

/* Is there such a program? Told now, not with the first job in hand. */
static int command_check(const struct worker *worker)
{
	const char *program = worker->command[0];
	const char *paths = getenv("PATH");
	struct slice rest = slice_str(paths && *paths ? paths : "/usr/local/bin:/usr/bin:/bin");
	bool found = strchr(program, '/') && !access(program, X_OK);

	while (!found && !strchr(program, '/') && rest.len) {
		struct slice dir = slice_cut(&rest, ':');
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%.*s/%s", (int)dir.len, dir.len ? dir.ptr : ".", program);
		found = !access(path, X_OK);
	}
	if (found)
		return 0;
	cli_say("there is no program %s to run", program);
	cli_hint("What follows -- is a program and its arguments; for a line of shell:  -- sh -c '…'");
	return CLI_USAGE;
}

static int worker_options(struct worker *worker, char *default_name, size_t default_name_bytes)
{
	const struct cli_args *args = &worker->session->args;
	char host[HOST_NAME_MAX + 1] = "worker";
	int rc;

	gethostname(host, sizeof(host) - 1);
	snprintf(default_name, default_name_bytes, "%.100s-%d", host, (int)getpid());
	worker->queues = args->operands;
	worker->queue_count = args->rest;
	worker->command = args->operands + args->rest;
	worker->lease = cli_args_value(args, "lease");
	worker->name = cli_args_value(args, "name") ? cli_args_value(args, "name") : default_name;
	worker->content_type = cli_args_value(args, "content-type");
	if (!worker->content_type)
		worker->content_type = "application/octet-stream";
	if (!worker->queue_count)
		return cli_usage_error(worker->session->command, "from which queue?");
	if (!worker->command[0])
		return cli_usage_error(worker->session->command, "what is to be run? Put it behind --");
	rc = worker_numbers(worker);
	return rc ? rc : command_check(worker);
}

static int work_run(int argc, char **argv)
{
	struct session session;
	struct worker worker = {
		.session = &session,
		.slots = 1,
		.max_jobs = UINT64_MAX,
		.idle_ms = SESSION_FOREVER_MS,
		.grace_ms = 10000,
		.release_delay_ms = 5000,
		.signal_fd = -1,
	};
	char default_name[128];
	int rc = session_open(&session, &work_command, argc, argv, SESSION_FOREVER_MS);

	if (rc)
		return rc;
	list_init(&worker.jobs);
	rc = worker_options(&worker, default_name, sizeof(default_name));
	if (!rc) {
		worker.claim.retry.budget_ms = session.retry.budget_ms;
		worker.signal_fd = signals_open();
		rc = worker_loop(&worker);
		/* One job's fate is the command's; a worker of many that ends as it was told to has done its work. */
		if (!rc)
			rc = worker.exit_code;
		if (!rc && cli_args_has(&session.args, "once"))
			rc = worker.job_code;
	}
	list_each_safe (node, &worker.jobs)
		work_job_free(container_of(node, struct work_job, node));
	if (worker.claim.made)
		http_call_deinit(&worker.claim.call);
	if (worker.signal_fd >= 0)
		close(worker.signal_fd);
	return session_close(&session, rc);
}

static const struct cli_option work_table[] = {
	{"jobs", 'j', "N", "run so many at once (default 1)"},
	{"lease", 0, "DUR", "how long the server waits for a sign of life (default: as the job says)"},
	{"name", 0, "NAME", "what the server shall call this worker (default: host and process)"},
	{"content-type", 'c', "TYPE", "what the results are (default application/octet-stream)"},
	{"output", 0, "stderr|stdout|both|none", "what of the command whoever follows the job sees at once (default stderr)"},
	{"once", 0, NULL, "one job, and its fate is the exit code: 0, 10 failed, 11 canceled, 5 lease lost"},
	{"max-jobs", 0, "N", "end after so many jobs"},
	{"idle", 0, "DUR", "end when no job has come for so long; exit code 6 if there was none at all"},
	{"grace", 0, "DUR", "a canceled command gets SIGTERM, and SIGKILL so much later (default 10s)"},
	{"no-retry-on", 0, "CODES", "exit codes, with commas between, after which trying again is no use; 65 always is one"},
	{"release-delay", 0, "DUR", "a job given back with exit code 75 comes again after so long (default 5s)"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command work_command = {
	.name = "work",
	.summary = "make any program a worker: body on stdin, result on stdout",
	.usage = "QUEUE… -- COMMAND [ARG…]",
	.options = work_table,
	.run = work_run,
	.detail =
		"Claims jobs from the queues, the first preferred, and runs COMMAND for each. Its stdin is the body; what\n"
		"it writes to stdout is the result; lines on descriptor 3 are progress (\"0.42 resizing\", \"42%\",\n"
		"\"resizing\"); stderr passes through, and its end goes into a failure. In its environment: BIDE_JOB_ID,\n"
		"BIDE_QUEUE, BIDE_ATTEMPT, BIDE_JOB_NAME, BIDE_CONTENT_TYPE, BIDE_PROGRESS_FD=3, BIDE_SERVER.\n\n"
		"What it writes to stderr is the job's output, which  bide wait --follow HANDLE  shows as it comes; --output\n"
		"chooses. With stdout or both, stdout is a pipe and no file that can be sought in. A server that does not take\n"
		"the output makes the command wait some seconds, and never fails the job.\n\n"
		"Exit code 0 is done, 75 gives the job back, 65 fails it for good, any other fails it and it is tried\n"
		"again.\n\n"
		"SIGTERM or SIGINT: takes no more jobs and finishes those it has; the second one gives them back and quits.\n"
		"\n"
		"  bide work shout -- tr a-z A-Z\n"
		"  bide work video -j 2 --content-type video/mp4 -- ./transcode",
	.group = "Work",
	.client = true,
};
