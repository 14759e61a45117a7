#include "journal/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_write(int fd, const void *ptr, size_t len, uint64_t offset)
{
	const char *at = ptr;

	while (len) {
		ssize_t n = pwrite(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int disk_read(int fd, void *out, size_t len, uint64_t offset, size_t *ret_len)
{
	char *at = out;
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, at + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

int disk_open_dir(int parent_fd, const char *name, int *ret_fd)
{
	int fd;

	if (mkdirat(parent_fd, name, 0700) == 0) {
		/* The parent of an absolute or relative path of several parts is not parent_fd: sync what really holds it. */
		fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (up >= 0 && fsync(up) < 0) {
				int error = -errno;

				close(up);
				close(fd);
				return error;
			}
			if (up >= 0)
				close(up);
		}
	} else {
		if (errno != EEXIST)
			return -errno;
		fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int disk_list(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx)
{
	/* A descriptor of its own: fdopendir takes it over, and its read position with it. */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = each(ctx, entry->d_name);
		if (r < 0)
			break;
	}
	closedir(dir);
	return r;
}

bool disk_name_parse(const char *name, const char *suffix, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (int i = 0; i < 16; i++) {
		char c = name[i];

		if (c >= '0' && c <= '9')
			number = number << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	if (strcmp(name + 16, suffix) != 0)
		return false;
	*ret_number = number;
	return true;
}
