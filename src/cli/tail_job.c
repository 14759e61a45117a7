#include "cli/live.h"
#include "cli/tail.h"

#include <stdio.h>
#include <unistd.h>

void tail_job_output(struct session *session, const struct handle *handle, uint64_t deadline_ns)
{
	struct tail tail = {
		.session = session,
		.path = "the job's output",
		.at = {.base = handle->base},
		.output = {.fd = STDERR_FILENO},
		.follow = true,
		.signal_fd = -1,
		.deadline_ns = deadline_ns,
		.of_job = true,
		.offset = "-1",
	};
	struct buf path = {0};

	buf_printf(&path, "/v1/jobs/%s/output", handle->id);
	tail.at.path = (char *)(uintptr_t)cli_text(&path);
	live_clear();
	(void)tail_read(&tail);
	/* What is told next begins a line of its own. */
	if (tail.last && tail.last != '\n')
		fputc('\n', stderr);
	retry_reset(&session->retry);
	buf_deinit(&path);
	buf_deinit(&tail.body);
}
