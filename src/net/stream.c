#include "net/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t result(ssize_t count)
{
	if (count >= 0)
		return count;
	return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t plain_read(struct stream *stream, void *out, size_t len)
{
	ssize_t count;

	do
		count = recv(stream->fd, out, len, 0);
	while (count < 0 && errno == EINTR);
	return result(count);
}

static ssize_t plain_write(struct stream *stream, const struct iovec *parts, int count, bool more)
{
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	ssize_t sent;

	do {
		if (count == 1) {
			sent = send(stream->fd, parts->iov_base, parts->iov_len, flags);
		} else {
			struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};

			sent = sendmsg(stream->fd, &message, flags);
		}
	} while (sent < 0 && errno == EINTR);
	return result(sent);
}

static ssize_t plain_send_file(struct stream *stream, int file, uint64_t offset, size_t len)
{
	off_t at = (off_t)offset;
	ssize_t sent;

	do
		sent = sendfile(stream->fd, file, &at, len);
	while (sent < 0 && errno == EINTR);
	/* What the file's system cannot do; the reader's fault would be EPIPE or ECONNRESET. */
	if (sent < 0 && (errno == EINVAL || errno == ENOSYS))
		return -ENOTSUP;
	return result(sent);
}

static bool plain_peer_left(struct stream *stream)
{
	struct pollfd peer = {.fd = stream->fd, .events = POLLRDHUP};

	return poll(&peer, 1, 0) > 0;
}

static bool plain_peer_has_all(struct stream *stream)
{
	struct pollfd peer = {.fd = stream->fd};
	int unacknowledged_bytes;

	/* What came too late, or was closed upon unread, is answered with a reset. */
	if (poll(&peer, 1, 0) != 0)
		return false;
	return ioctl(stream->fd, SIOCOUTQ, &unacknowledged_bytes) == 0 && unacknowledged_bytes == 0;
}

static void plain_end(struct stream *stream)
{
	shutdown(stream->fd, SHUT_WR);
}

static void plain_close(struct stream *stream)
{
	close(stream->fd);
	stream->fd = -1;
}

static const struct stream_ops plain_ops = {
	.read = plain_read,
	.write = plain_write,
	.send_file = plain_send_file,
	.peer_left = plain_peer_left,
	.peer_has_all = plain_peer_has_all,
	.end = plain_end,
	.close = plain_close,
};

void stream_init_plain(struct stream *stream, int fd)
{
	int on = 1;

	*stream = (struct stream){.ops = &plain_ops, .fd = fd};
	/* Fails on sockets that are not TCP (tests use pairs of AF_UNIX): those have no such delay. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}
