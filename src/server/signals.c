/* SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reads the configuration again. */
#include "server/server_priv.h"

#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { DRAIN_GRACE_MS = 2000 };

static sigset_t watched(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

int signals_block(void)
{
	sigset_t set = watched();

	signal(SIGPIPE, SIG_IGN);
	return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void server_drain(struct server *server)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (atomic_exchange(&server->draining, true)) {
		server->drain_end_ms = now_ms;
		server->drain_until_ms = now_ms;
		return;
	}
	notify("STOPPING=1");
	server->listener = listener_free(server->listener);
	kafka_shut(server);
	server->drain_until_ms = now_ms;
	server->drain_end_ms = now_ms + server->config->drain_ms + DRAIN_GRACE_MS;
	for (unsigned t = 0; t < server->thread_count; t++)
		server_say(server, t, (struct server_message){.word = WORD_DRAIN});
}

static void reload(struct server *server)
{
	struct config fresh;
	struct tuning *tuning;

	if (server->reload(&fresh)) {
		fprintf(stderr, "bide: the configuration was not reloaded; the old one stays\n");
		return;
	}
	pthread_mutex_lock(&server->stats_lock);
	config_reload(server->config, &fresh, stderr);
	pthread_mutex_unlock(&server->stats_lock);
	config_deinit(&fresh);
	tuning = tuning_new(server, server->config);
	if (!tuning)
		return;
	tuning->older = server->tuning;
	server->tuning = tuning;
	sequencer_configure(server->sequencer, &tuning->sequencer);
	for (unsigned t = 0; t < server->thread_count; t++)
		server_say(server, t, (struct server_message){.word = WORD_CONFIGURE, .tuning = tuning});
	fprintf(stderr, "bide: configuration reloaded\n");
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct server *server = container_of(source, struct server, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(server->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload(server);
		else
			server_drain(server);
	}
}

int signals_watch(struct server *server)
{
	sigset_t set = watched();

	server->signals.ready = ready;
	server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server->signal_fd < 0)
		return -errno;
	return loop_add_level(server->threads[0].loop, server->signal_fd, EPOLLIN, &server->signals);
}

void signals_close(struct server *server)
{
	if (server->signal_fd >= 0)
		close(server->signal_fd);
}
