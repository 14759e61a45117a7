#include "cli/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int spool_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	struct buf name = {0};

	if (fd >= 0 || errno == EACCES || errno == ENOENT)
		return fd < 0 ? -errno : fd;
	/* A file system without O_TMPFILE: a name for a moment. */
	buf_printf(&name, "%s/bide-XXXXXX", dir);
	cli_text(&name);
	fd = mkostemp(name.ptr, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(name.ptr);
	buf_deinit(&name);
	return fd;
}

int spool_open(uint64_t size_hint_bytes)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	if (size_hint_bytes <= WORK_MEMORY_BYTES) {
		fd = memfd_create("bide", MFD_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	if (dir && *dir)
		return spool_file(dir);
	/* /tmp is memory on many machines; this is about keeping large things out of it. */
	fd = spool_file("/var/tmp");
	return fd >= 0 ? fd : spool_file("/tmp");
}

int spool_write(int fd, off_t at, const char *ptr, size_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, ptr, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		ptr += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}
