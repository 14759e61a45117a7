#include "cli/output.h"
#include "base/mem.h"
#include "cli/cli_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int output_fail(const char *path, const char *what)
{
	cli_say("cannot %s %s: %s", what, path, strerror(errno));
	return CLI_FAILED;
}

/* Beside the target, so that the rename stays within one file system. */
static char *temp_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t dir_len = slash ? (size_t)(slash - path) + 1 : 0;
	struct buf name = {0};
	char *copy;

	buf_append(&name, path, dir_len);
	buf_printf(&name, ".%s.%016llx", path + dir_len, (unsigned long long)cli_random());
	copy = cli_dup(cli_text(&name));
	buf_deinit(&name);
	return copy;
}

int output_open(struct output *output, const char *path)
{
	struct stat st;

	*output = (struct output){.fd = STDOUT_FILENO};
	if (!path || !strcmp(path, "-"))
		return 0;
	output->path = path;
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		output->fd = open(path, O_WRONLY | O_CLOEXEC);
		return output->fd < 0 ? output_fail(path, "write to") : 0;
	}
	output->temp = temp_name(path);
	output->fd = open(output->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (output->fd < 0) {
		int rc = output_fail(path, "create");

		output->temp = mem_free(output->temp);
		return rc;
	}
	return 0;
}

int output_put(struct output *output, const char *ptr, size_t len)
{
	while (len) {
		ssize_t n = write(output->fd, ptr, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			output->error = errno;
			return -errno;
		}
		ptr += n;
		len -= (size_t)n;
		output->written_bytes += (uint64_t)n;
	}
	return 0;
}

int output_commit(struct output *output)
{
	int rc = 0;

	if (!output->path)
		return 0;
	/* Synced before it gets its name: after a power cut there is the whole file or none. */
	if (output->temp && fsync(output->fd))
		rc = output_fail(output->path, "write");
	if (close(output->fd) && !rc)
		rc = output_fail(output->path, "write");
	output->fd = -1;
	if (!rc && output->temp && rename(output->temp, output->path))
		rc = output_fail(output->path, "create");
	if (rc && output->temp)
		unlink(output->temp);
	output->temp = mem_free(output->temp);
	return rc;
}

void output_abort(struct output *output)
{
	if (output->path && output->fd >= 0)
		close(output->fd);
	if (output->temp)
		unlink(output->temp);
	output->temp = mem_free(output->temp);
	output->fd = -1;
}

bool output_is_terminal(const struct output *output)
{
	return output->fd >= 0 && isatty(output->fd);
}
