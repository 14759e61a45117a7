/* A byte stream to one peer: what a connection reads from and writes to. Plain TCP today; TLS is another table of the same
 * operations, which is why nobody above this calls read, writev or sendfile on a descriptor.
 *
 * Every operation is non-blocking and returns a count, or -EAGAIN (wait for readiness), or another negative errno (the stream is
 * broken). */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

struct stream_ops {
	ssize_t (*read)(struct stream *stream, void *out, size_t len); /* 0: the peer sends no more */
	/* `more`: something follows at once, do not send a short segment for its own sake. */
	ssize_t (*write)(struct stream *stream, const struct iovec *parts, int count, bool more);
	/* Up to `len` bytes of `file` from `offset`. -ENOTSUP: the caller reads and writes instead. 0: the file ends there. The
	 * process ignores SIGPIPE: sendfile cannot be told to, as write is. */
	ssize_t (*send_file)(struct stream *stream, int file, uint64_t offset, size_t len);
	/* The peer has ended its side, or the stream is broken, as far as can be known now, whether or not all it sent was read.
	 */
	bool (*peer_left)(struct stream *stream);
	/* All that was written has come to the peer, as far as can be known now: its system has acknowledged it and the stream is
	 * not broken. True of one that has read everything and then left, which who left before it came does not get to be. */
	bool (*peer_has_all)(struct stream *stream);
	void (*end)(struct stream *stream);   /* says that nothing more will be written */
	void (*close)(struct stream *stream); /* lets go of the descriptor, too */
};

struct stream {
	const struct stream_ops *ops;
	int fd;
};

/* A connected, non-blocking TCP socket (or any stream socket), taken over. Sets TCP_NODELAY: answers are gathered before they are
 * written, so that there is nothing for Nagle's algorithm to wait for. */
void stream_init_plain(struct stream *stream, int fd);
