/* The Kafka door's start and end: where it listens, where clients are told to come, and its part of each thread. */
#include "server/server_priv.h"

#include "base/mem.h"

#include <errno.h>

static void accepted(void *ctx, int fd)
{
	struct server *server = ctx;
	unsigned t = server->next_thread++ % server->thread_count;

	if (t == 0)
		kafka_thread_accept(server->threads[0].kafka, fd);
	else
		server_say(server, t, (struct server_message){.word = WORD_ACCEPT_KAFKA, .fd = fd});
}

/* "HOST:PORT", where an address with colons stands in brackets. */
static int place_parse(struct slice text, struct slice *ret_host, uint16_t *ret_port)
{
	const char *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
	struct slice host = colon ? slice_from(text.ptr, (size_t)(colon - text.ptr)) : (struct slice){0};
	uint64_t port;

	if (!host.len || slice_u64(slice_from(colon + 1, text.len - host.len - 1), &port) || port == 0 || port > UINT16_MAX)
		return -EINVAL;
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_from(host.ptr + 1, host.len - 2);
	if (memchr(host.ptr, ' ', host.len) || host.ptr[0] == '[')
		return -EINVAL;
	*ret_host = host;
	*ret_port = (uint16_t)port;
	return 0;
}

/* All addresses of the machine: none that a client could be told. */
static bool is_any(struct slice host)
{
	return slice_eq(host, SLICE("*")) || slice_eq(host, SLICE("0.0.0.0")) || slice_eq(host, SLICE("::"));
}

static int advertise(struct server *server)
{
	const char *told = server->config->advertise;
	struct slice host;
	uint16_t port;

	if (place_parse(told[0] ? slice_str(told) : listener_address(server->kafka_listener), &host, &port)) {
		fprintf(stderr, "bide: --advertise \"%s\" is not HOST:PORT, like kafka.example.org:9092\n", told);
		return SERVER_USAGE;
	}
	if (is_any(host)) {
		fprintf(stderr,
			"bide: Kafka clients are told where to come, and \"%.*s\" is nowhere; say it with --advertise "
			"HOST:PORT\n",
			(int)host.len, host.ptr);
		return SERVER_USAGE;
	}
	server->kafka_host = mem_dup(host.ptr, host.len);
	server->kafka_port = port;
	server->tuning->kafka.host = slice_str(server->kafka_host);
	server->tuning->kafka.port = port;
	server->kafka_quotas = kafka_quotas_new();
	server->tuning->kafka.quotas = server->kafka_quotas;
	return server->kafka_host && server->kafka_quotas ? SERVER_OK : SERVER_FAILED;
}

static int listen_error(const struct server *server, int error)
{
	const char *kafka = server->config->kafka;

	if (error == -EINVAL)
		fprintf(stderr, "bide: --kafka \"%s\" is not ADDR:PORT, like 127.0.0.1:9092 or [::1]:9092\n", kafka);
	else
		fprintf(stderr, "bide: cannot listen for Kafka clients on %s: %s\n", kafka, strerror(-error));
	return error == -EINVAL ? SERVER_USAGE : SERVER_FAILED;
}

int kafka_open(struct server *server)
{
	struct listener_config config = {
		.address = slice_str(server->config->kafka), .on_accept = accepted, .on_pause = listener_paused, .ctx = server};
	int r;

	if (!config.address.len)
		return SERVER_OK;
	r = listener_new(server->threads[0].loop, &config, &server->kafka_listener);
	if (r)
		return listen_error(server, r);
	r = advertise(server);
	for (unsigned t = 0; t < server->thread_count && !r; t++) {
		struct thread *thread = &server->threads[t];

		if (kafka_thread_new(thread->loop, t, &server->tuning->kafka, thread, &thread->kafka)) {
			fprintf(stderr, "bide: cannot start: %s\n", strerror(ENOMEM));
			r = SERVER_FAILED;
		}
	}
	return r;
}

int kafka_start(struct server *server)
{
	return server->kafka_listener ? listener_start(server->kafka_listener) : 0;
}

void kafka_shut(struct server *server)
{
	server->kafka_listener = listener_free(server->kafka_listener);
}
