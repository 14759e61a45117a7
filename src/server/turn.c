/* The order of work in a turn of a loop thread, and nowhere else:
 *
 *     read → decode → apply → append → commit → wake → encode → write
 *
 * loop_poll reads, decodes and calls the doors, which leave commands in `outgoing`. Thread 0 applies them and those that came by
 * mail, commits them together, and lets out what is durable; the other threads send theirs to thread 0, all in one go. Answers
 * that came are encoded, and written last, one write a connection. */
#include "server/server_priv.h"

#include "base/mem.h"
#include "http/api/hook.h"

#include <unistd.h>

enum { DEADLINES_A_TURN = 1024, ROUNDS_A_TURN = 8 };

void turn_send(void *ctx, struct command *command)
{
	struct thread *thread = ctx;

	command->message.kind = MESSAGE_COMMAND;
	command->message.thread = (uint8_t)thread->index;
	mail_push(&thread->outgoing, &command->message.mail);
}

void turn_send_message(void *ctx, struct message *message)
{
	struct thread *thread = ctx;

	message->thread = (uint8_t)thread->index;
	mail_push(&thread->outgoing, &message->mail);
}

void server_say(struct server *server, unsigned thread, struct server_message word)
{
	struct server_message *message = mem_alloc(sizeof(*message));

	if (!message) {
		if (word.word == WORD_ACCEPT || word.word == WORD_ACCEPT_KAFKA)
			close(word.fd);
		return;
	}
	*message = word;
	message->message = (struct message){.kind = MESSAGE_SERVER, .thread = (uint8_t)thread};
	loop_send(server->threads[thread].loop, &message->message.mail);
}

void turn_hook(void *ctx, struct hook *hook)
{
	struct thread *thread = ctx;

	webhooks_send(thread->server->webhooks, hook);
}

static void obey(struct thread *thread, struct server_message *message)
{
	struct server *server = thread->server;

	switch (message->word) {
	case WORD_ACCEPT:
		http_thread_accept(thread->http, message->fd);
		break;
	case WORD_ACCEPT_KAFKA:
		kafka_thread_accept(thread->kafka, message->fd);
		break;
	case WORD_DRAIN:
		if (thread->kafka)
			kafka_thread_drain(thread->kafka, server->config->drain_ms);
		api_thread_drain(thread->api, thread->http, server->config->drain_ms);
		http_thread_drain(thread->http);
		break;
	case WORD_CONFIGURE:
		http_thread_configure(thread->http, &message->tuning->http);
		api_thread_configure(thread->api, &message->tuning->api);
		if (thread->kafka)
			kafka_thread_configure(thread->kafka, &message->tuning->kafka);
		break;
	case WORD_FAIL:
		if (thread->kafka)
			kafka_thread_fail(thread->kafka);
		api_thread_fail(thread->api, thread->http);
		http_thread_drain(thread->http);
		break;
	case WORD_STOP:
		thread->stop = true;
		break;
	case WORD_HOOKED:
		api_thread_hooked(thread->api, &message->hooked);
		break;
	case WORD_COMMITTED:
		commit_ended(server);
		return;
	case WORD_COMPACTED:
		compactor_done(server);
		return;
	}
	mem_free(message);
}

/* Of the sequencer's, to the doors. */
static void hand_over(struct thread *thread, struct message *message)
{
	if (message->kind == MESSAGE_STREAM_GREW)
		kafka_thread_grew(thread->kafka, container_of(message, struct stream_growth, message));
	else if (message->door == DOOR_KAFKA)
		kafka_thread_message(thread->kafka, message);
	else
		api_thread_message(thread->api, message);
}

/* What came by mail. The sequencer's share waits for its turn, in which time moves first: thread 0 may have slept for long, and
 * a lease or a TTL counts from now. */
static void read_mail(struct thread *thread)
{
	struct mail_list list = loop_take_mail(thread->loop);
	struct mail *mail;

	while ((mail = mail_pop(&list))) {
		struct message *message = container_of(mail, struct message, mail);
		bool to_sequencer = message->kind == MESSAGE_RELEASE || message->kind == MESSAGE_STREAM_LEFT ||
				    ((message->kind == MESSAGE_COMMAND || message->kind == MESSAGE_STREAM_GREW) &&
				     thread->index == 0 && message->thread != 0);

		if (to_sequencer)
			mail_push(&thread->outgoing, mail);
		else if (message->kind == MESSAGE_HTTP)
			http_thread_mail(thread->http, mail);
		else if (message->kind == MESSAGE_SERVER)
			obey(thread, container_of(message, struct server_message, message));
		else
			hand_over(thread, message);
	}
}

static void apply_own(struct thread *thread)
{
	struct mail *mail;

	while ((mail = mail_pop(&thread->outgoing)))
		sequencer_message(thread->server->sequencer, container_of(mail, struct message, mail));
}

/* When they left: whoever answers a wait measures from here. One look at the clock for all of them. */
static void stamp(const struct mail_list *list, uint64_t *now_us)
{
	for (struct mail *mail = list->first; mail; mail = mail->next) {
		if (!*now_us)
			*now_us = clock_monotonic_us();
		container_of(mail, struct message, mail)->sent_us = *now_us;
	}
}

static void deliver(struct thread *thread)
{
	struct server *server = thread->server;
	struct mail_list own = sequencer_take(server->sequencer, 0);
	uint64_t now_us = 0;
	struct mail *mail;

	for (unsigned t = 1; t < server->thread_count; t++) {
		struct mail_list list = sequencer_take(server->sequencer, t);

		stamp(&list, &now_us);
		if (list.first)
			loop_send_list(server->threads[t].loop, &list);
	}
	stamp(&own, &now_us);
	while ((mail = mail_pop(&own)))
		hand_over(thread, container_of(mail, struct message, mail));
}

static bool flush(struct thread *thread)
{
	bool busy = http_thread_flush(thread->http);

	return (thread->kafka && kafka_thread_flush(thread->kafka)) || busy;
}

static uint64_t to_monotonic(const struct server *server, uint64_t unix_ms)
{
	if (unix_ms == UINT64_MAX)
		return UINT64_MAX;
	return unix_ms > server->unix_offset_ms ? unix_ms - server->unix_offset_ms : 0;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Thread 0 until when it may sleep. */
static uint64_t sequencer_until(const struct server *server, bool busy)
{
	uint64_t until = busy || upkeep_is_busy(server) ? 0 : to_monotonic(server, sequencer_next_ms(server->sequencer));

	until = earliest(until, earliest(server->commit_at_ms, server->journal_at_ms));
	return earliest(until, server->drain_until_ms);
}

static bool sequencer_turns(struct thread *thread)
{
	struct server *server = thread->server;
	uint64_t now_ms = loop_now_ms(thread->loop);
	bool busy = sequencer_turn(server->sequencer, now_ms + server->unix_offset_ms, DEADLINES_A_TURN);

	/* What an answer brings about at once (a hand-over confirmed, a job watched again) belongs to the same turn. */
	for (int round = 0; round < ROUNDS_A_TURN; round++) {
		apply_own(thread);
		sequencer_settle(server->sequencer);
		compactor_publish(server);
		commit_if_wanted(server);
		sequencer_release(server->sequencer);
		deliver(thread);
		busy = flush(thread) || busy;
		if (!thread->outgoing.first)
			break;
	}
	upkeep(server, now_ms);
	return busy || thread->outgoing.first;
}

static bool other_turns(struct thread *thread)
{
	bool busy = flush(thread);

	if (thread->outgoing.first)
		loop_send_list(thread->server->threads[0].loop, &thread->outgoing);
	return busy;
}

/* Drained when the last connection is closed, or the time for it is over. */
static void look_if_drained(struct thread *thread)
{
	struct server *server = thread->server;
	uint64_t now_ms = loop_now_ms(thread->loop), open = 0;

	if (server->drain_until_ms == UINT64_MAX)
		return;
	for (unsigned t = 0; t < server->thread_count; t++) {
		pthread_mutex_lock(&server->threads[t].stats_lock);
		open += server->threads[t].stats.http.connections_open + server->threads[t].stats.kafka.connections_open;
		pthread_mutex_unlock(&server->threads[t].stats_lock);
	}
	if (open == 0 || now_ms >= server->drain_end_ms)
		thread->stop = true;
	server->drain_until_ms = now_ms + 20;
}

void *thread_main(void *ctx)
{
	struct thread *thread = ctx;
	uint64_t until_ms = 0;
	bool busy;

	while (!thread->stop) {
		if (loop_poll(thread->loop, until_ms))
			break;
		read_mail(thread);
		if (thread->index == 0) {
			busy = sequencer_turns(thread);
			stats_publish(thread);
			look_if_drained(thread);
			until_ms = sequencer_until(thread->server, busy);
		} else {
			busy = other_turns(thread);
			stats_publish(thread);
			until_ms = busy ? 0 : UINT64_MAX;
		}
	}
	return NULL;
}
