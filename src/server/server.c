/* Start and end of the server. */
#include "server/server_priv.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_BY_DEFAULT_MAX = 8, STACK_BYTES = 256 * 1024 };

uint64_t clock_unix_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000;
}

void server_diag(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "bide: %s\n", line);
}

/* As many descriptors as we may have: each wait is one. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int replay(void *ctx, const struct store_replay *entry)
{
	return sequencer_replay(ctx, entry);
}

static int journal_error(const struct server *server, int error)
{
	const char *dir = server->config->data;

	switch (error) {
	case JOURNAL_LOCKED:
		fprintf(stderr, "bide: %s belongs to another bide that is running; stop it, or choose another --data\n", dir);
		return SERVER_LOCKED;
	case JOURNAL_CORRUPT:
		fprintf(stderr,
			"bide: the journal in %s is damaged, so it is not opened. Restore a copy, or start with --salvage to go "
			"on without what is damaged\n",
			dir);
		return SERVER_CORRUPT;
	case JOURNAL_VERSION:
		fprintf(stderr, "bide: the journal in %s was made by a later version of bide; use that one\n", dir);
		return SERVER_CORRUPT;
	default:
		fprintf(stderr, "bide: cannot open the journal in %s: %s\n", dir, strerror(-error));
		return error == -EINVAL ? SERVER_USAGE : SERVER_FAILED;
	}
}

/* Journal and sequencer: the state is back when this returns SERVER_OK. */
static int recover(struct server *server)
{
	const struct config *c = server->config;
	struct journal_config config = {
		.dir = c->data,
		.sync = (enum journal_sync)c->sync,
		.sync_interval_ms = c->sync_interval_ms,
		.segment_bytes = c->segment_bytes,
		.salvage = c->salvage != 0,
		.faults = getenv("BIDE_FAULTS"),
		.diag = server_diag,
	};
	struct journal_replay replaying = {.entry = replay};
	uint8_t seed[16];
	uint64_t unix_ms = clock_unix_ms();
	int r = journal_open(&config, &server->journal);

	if (r)
		return journal_error(server, r);
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return SERVER_FAILED;
	server->tuning = tuning_new(server, c);
	server->sequencer =
		server->tuning ? sequencer_new(&server->tuning->sequencer, journal_store(server->journal), seed) : NULL;
	if (!server->sequencer)
		return journal_error(server, -ENOMEM);
	replaying.ctx = server->sequencer;
	r = journal_recover(server->journal, &replaying);
	if (r)
		return journal_error(server, r);
	/* Time never goes back behind what the journal has seen. */
	if (sequencer_last_ms(server->sequencer) > unix_ms)
		unix_ms = sequencer_last_ms(server->sequencer);
	server->unix_offset_ms = unix_ms - clock_monotonic_ms();
	r = sequencer_start(server->sequencer, unix_ms);
	return r ? journal_error(server, r) : SERVER_OK;
}

static void accepted(void *ctx, int fd)
{
	struct server *server = ctx;
	unsigned t = server->next_thread++ % server->thread_count;

	if (t == 0)
		http_thread_accept(server->threads[0].http, fd);
	else
		server_say(server, t, (struct server_message){.word = WORD_ACCEPT, .fd = fd});
}

void listener_paused(void *ctx, int error)
{
	(void)ctx;
	fprintf(stderr,
		"bide: no new connections for a moment: %s. Those that wait are not touched; raise the limit (ulimit -n)\n",
		strerror(-error));
}

static void hooked(void *ctx, const struct hooked_in *hooked)
{
	server_say(ctx, 0, (struct server_message){.word = WORD_HOOKED, .hooked = *hooked});
}

static uint64_t hook_unix_ms(void *ctx)
{
	return server_unix_ms(&((struct server *)ctx)->threads[0]);
}

/* Nothing of this costs more than its memory before a webhook is due. */
static int webhooks_init(struct server *server)
{
	const char *ca_file = server->config->webhook_ca;
	uint8_t secret[HOOK_SECRET_BYTES];

	if (ca_file[0] && access(ca_file, R_OK)) {
		fprintf(stderr, "bide: webhook-ca: %s cannot be read\n", ca_file);
		return -errno;
	}
	sequencer_secret(server->sequencer, secret);
	server->hook_signer = hook_signer_new(secret);
	if (!server->hook_signer)
		return -ENOMEM;
	server->tuning->api.hook_signer = server->hook_signer;
	server->webhooks = webhooks_new(&(struct webhooks_config){
		.allow = (enum hook_allow)server->config->webhook_allow,
		.at_once_max = (unsigned)server->config->webhooks,
		.timeout_ms = server->config->webhook_timeout_ms,
		.ca_file = server->config->webhook_ca,
		.signer = server->hook_signer,
		.unix_ms = hook_unix_ms,
		.report = hooked,
		.ctx = server,
	});
	return server->webhooks ? 0 : -ENOMEM;
}

static int thread_init(struct server *server, unsigned index)
{
	struct thread *thread = &server->threads[index];
	int r;

	thread->server = server;
	thread->index = index;
	pthread_mutex_init(&thread->stats_lock, NULL);
	r = loop_new(&thread->loop);
	if (r)
		return r;
	thread->api = api_thread_new(index, &server->tuning->api, thread);
	if (!thread->api)
		return -ENOMEM;
	return http_thread_new(thread->loop, index, &server->tuning->http, thread->api, &thread->http);
}

static int threads_init(struct server *server)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t count = server->config->threads;

	if (count == 0)
		count = cores < 1 ? 1 : cores > THREADS_BY_DEFAULT_MAX ? THREADS_BY_DEFAULT_MAX : (uint64_t)cores;
	server->threads = mem_zalloc(count * sizeof(*server->threads));
	if (!server->threads)
		return -ENOMEM;
	server->thread_count = (unsigned)count;
	for (unsigned t = 0; t < count; t++) {
		int r = thread_init(server, t);

		if (r)
			return r;
	}
	return 0;
}

static int threads_start(struct server *server)
{
	pthread_attr_t attributes;
	int r = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (unsigned t = 1; t < server->thread_count && !r; t++)
		r = -pthread_create(&server->threads[t].id, &attributes, thread_main, &server->threads[t]);
	pthread_attr_destroy(&attributes);
	return r;
}

static int listen_error(const struct server *server, int error)
{
	const char *http = server->config->http;

	if (error == -EADDRINUSE)
		fprintf(stderr,
			"bide: %s is in use by another program; stop it, or choose another --http (port 0 picks a free one)\n",
			http);
	else if (error == -EINVAL)
		fprintf(stderr, "bide: --http \"%s\" is not ADDR:PORT, like 127.0.0.1:7080 or [::1]:7080\n", http);
	else
		fprintf(stderr, "bide: cannot listen on %s: %s\n", http, strerror(-error));
	return error == -EINVAL ? SERVER_USAGE : SERVER_FAILED;
}

static int start(struct server *server)
{
	struct slice address;
	int r = recover(server);

	if (r)
		return r;
	r = webhooks_init(server);
	if (!r)
		r = threads_init(server);
	if (!r)
		r = signals_watch(server);
	if (!r)
		r = committer_start(server);
	if (r) {
		fprintf(stderr, "bide: cannot start: %s\n", strerror(-r));
		return SERVER_FAILED;
	}
	r = listener_new(server->threads[0].loop,
			 &(struct listener_config){.address = slice_str(server->config->http),
						   .on_accept = accepted,
						   .on_pause = listener_paused,
						   .ctx = server},
			 &server->listener);
	if (r)
		return listen_error(server, r);
	r = kafka_open(server);
	if (r)
		return r;
	r = threads_start(server);
	if (!r)
		r = listener_start(server->listener);
	if (!r)
		r = kafka_start(server);
	if (r)
		return listen_error(server, r);
	atomic_store(&server->ready, true);
	address = listener_address(server->listener);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("listening http %.*s\n", (int)address.len, address.ptr);
	if (server->kafka_listener) {
		address = listener_address(server->kafka_listener);
		printf("listening kafka %.*s\n", (int)address.len, address.ptr);
	}
	notify("READY=1");
	return SERVER_OK;
}

/* Mail that nobody will read any more. */
static void drop_mail(struct thread *thread)
{
	struct mail_list list = loop_take_mail(thread->loop);
	struct mail *mail;

	while ((mail = mail_pop(&list))) {
		struct message *message = container_of(mail, struct message, mail);
		struct server_message *word = container_of(message, struct server_message, message);

		if (message->kind == MESSAGE_HTTP) {
			http_thread_mail(thread->http, mail);
		} else if (message->kind != MESSAGE_SERVER) {
			api_message_drop(message);
		} else if (word->word != WORD_COMMITTED && word->word != WORD_COMPACTED) {
			if (word->word == WORD_ACCEPT || word->word == WORD_ACCEPT_KAFKA)
				close(word->fd);
			mem_free(word);
		}
	}
}

static void stop(struct server *server)
{
	for (unsigned t = 1; t < server->thread_count; t++) {
		if (!server->threads[t].id)
			continue;
		server_say(server, t, (struct server_message){.word = WORD_STOP});
		pthread_join(server->threads[t].id, NULL);
	}
	server->webhooks = webhooks_free(server->webhooks);
	compactor_stop(server);
	if (server->committer) {
		committer_stop(server);
		if (server->committing)
			commit_ended(server);
	}
	if (atomic_load(&server->ready))
		commit_all(server);
	listener_free(server->listener);
	kafka_shut(server);
	/* Commands lie in their exchanges' arenas, so those who hold commands go before the exchanges. */
	for (unsigned t = 0; t < server->thread_count; t++) {
		if (server->threads[t].http)
			drop_mail(&server->threads[t]);
	}
	sequencer_free(server->sequencer);
	for (unsigned t = 0; t < server->thread_count; t++) {
		kafka_thread_free(server->threads[t].kafka);
		http_thread_free(server->threads[t].http);
		api_thread_free(server->threads[t].api);
	}
	signals_close(server);
	journal_close(server->journal);
	for (unsigned t = 0; t < server->thread_count; t++)
		loop_free(server->threads[t].loop);
	tunings_free(server->tuning);
	hook_signer_free(server->hook_signer);
	kafka_quotas_free(server->kafka_quotas);
	mem_free(server->kafka_host);
	mem_free(server->threads);
}

int server_run(struct config *config, int (*reload)(struct config *ret_config))
{
	struct server server = {
		.config = config,
		.reload = reload,
		.signal_fd = -1,
		.commit_at_ms = UINT64_MAX,
		.drain_until_ms = UINT64_MAX,
		.journal_at_ms = 0,
		.started_ms = clock_monotonic_ms(),
	};
	int r;

	if (signals_block())
		return SERVER_FAILED;
	descriptors_raise();
	pthread_mutex_init(&server.stats_lock, NULL);
	r = start(&server);
	if (r == SERVER_OK)
		thread_main(&server.threads[0]);
	stop(&server);
	return r ? r : server.exit_code;
}
