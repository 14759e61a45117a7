/* A listening TCP socket in a loop. Accepted sockets are non-blocking and close-on-exec and go to a callback, which may hand them
 * to any thread.
 *
 * Out of descriptors or of kernel memory it stops listening for readiness, so that nothing spins, and tries again after 100 ms or
 * when listener_retry says that a descriptor was given back; clients wait in the backlog meanwhile, and nothing that is already
 * connected notices. */
#pragma once

#include "base/slice.h"
#include "net/loop.h"

struct listener;

struct listener_config {
	struct slice address;                 /* "127.0.0.1:7080", "[::1]:0", "*:80" (all addresses); port 0 picks one */
	void (*on_accept)(void *ctx, int fd); /* takes the socket over */
	/* A pause begins, for want of this (-EMFILE …); told once, until somebody is let in again. May be NULL. */
	void (*on_pause)(void *ctx, int error);
	void *ctx;
};

/* Binds and listens, not yet accepting. 0, -EINVAL (not an address) or -errno of bind. */
int listener_new(struct loop *loop, const struct listener_config *config, struct listener **ret_listener) MUST_USE;
int listener_start(struct listener *listener) MUST_USE;
void listener_retry(struct listener *listener);                 /* the loop's thread: cheap when it is not paused */
struct listener *listener_free(struct listener *listener);      /* closes it; NULL is fine */
struct slice listener_address(const struct listener *listener); /* as bound, with the port: "127.0.0.1:41234", "[::1]:80" */
