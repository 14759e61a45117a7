/* How each server is told to keep, to complete and to count waits. */
#include "park.h"

#include "http.h"
#include "json.h"
#include "resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBMIT_WINDOW 64
#define CLAIM_MAX     64

/* The bytes that mean "handle h is done": the waiter checks that it was told of its own. */
static int park_result(char *text, size_t capacity, uint32_t handle)
{
	return snprintf(text, capacity, "result-%08u.", handle);
}

static void park_check_result(const char *got, size_t got_len, uint32_t handle)
{
	char text[32];
	int len = park_result(text, sizeof(text), handle);
	if (!got || !memmem(got, got_len, text, (size_t)len))
		loop_die("the waiter on handle %u was answered with: %.*s", handle, (int)got_len, got ? got : "");
}

static void park_prepare_plain(struct park *park, uint32_t handles_count)
{
	for (uint32_t i = 0; i < handles_count; i++)
		snprintf(park->handles[i].id, sizeof(park->handles[i].id), "%u", i);
}

static struct http_answer park_ask(struct park *park, const char *path)
{
	char request[256];
	int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
	struct http_answer answer = http_ask(&park->control, request, (size_t)len);
	http_expect(&answer, 200, path);
	return answer;
}

/* The number that follows `label` in a text. */
static uint32_t park_number_after(const char *text, size_t len, const char *label)
{
	const char *at = len > 0 ? memmem(text, len, label, strlen(label)) : NULL;
	if (!at)
		loop_die("no \"%s\" in: %.*s", label, (int)len, text);
	uint32_t number = 0;
	for (at += strlen(label); at < text + len && *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (uint32_t)(*at - '0');
	return number;
}

/* ---- bide ---- */

struct submit_count {
	uint32_t accepted;
	uint32_t wanted;
	bool done;
};

static void bide_submit_input(struct conn *conn, uint64_t now_ns)
{
	(void)now_ns;
	struct submit_count *count = conn->owner;
	struct http_answer answer;
	size_t len;
	while ((len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer)) > 0) {
		http_expect(&answer, 202, "submit");
		bytes_consume(&conn->in, len);
		count->accepted++;
	}
	count->done = count->accepted == count->wanted;
}

static void bide_submit_all(struct park *park, uint32_t handles_count)
{
	static const char request[] = "POST /v1/queues/park/jobs HTTP/1.1\r\nHost: bench\r\nContent-Length: 4\r\n\r\npark";
	struct conn conn = {.on_input = bide_submit_input};
	struct submit_count count = {0};
	conn.owner = &count;
	conn_open(&conn, &park->loop, 0);
	while (count.wanted < handles_count) {
		count.done = false;
		for (uint32_t i = 0; i < SUBMIT_WINDOW && count.wanted < handles_count; i++, count.wanted++)
			conn_write(&conn, request, sizeof(request) - 1);
		if (!loop_until(&park->loop, &count.done, loop_now_ns() + 30000000000ull))
			loop_die("submits were not answered");
	}
	conn_close(&conn);
}

static void bide_prepare(struct park *park, uint32_t handles_count)
{
	static const char body[] = "{\"queues\":[\"park\"],\"max\":%u,\"wait\":\"5s\",\"lease\":\"600s\",\"worker\":\"bench\"}";
	char text[sizeof(body) + 16];
	char request[512];
	bide_submit_all(park, handles_count);
	for (uint32_t have = 0; have < handles_count;) {
		uint32_t max = handles_count - have < CLAIM_MAX ? handles_count - have : CLAIM_MAX;
		int text_len = snprintf(text, sizeof(text), body, max);
		int len = snprintf(request, sizeof(request),
				   "POST /v1/claim HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
				   "Content-Length: %d\r\n\r\n%s",
				   text_len, text);
		struct http_answer answer = http_ask(&park->control, request, (size_t)len);
		http_expect(&answer, 200, "claim");
		struct json_cursor cursor = {answer.body, answer.body + answer.body_len};
		uint32_t before = have;
		while (have < handles_count && json_next_copy(&cursor, "id", park->handles[have].id, 64) &&
		       json_next_copy(&cursor, "token", park->handles[have].token, 64))
			have++;
		if (have == before)
			loop_die("a claim without jobs: %.*s", (int)answer.body_len, answer.body);
	}
}

static void bide_poll(struct park *park, struct conn *conn, uint32_t handle)
{
	conn_printf(conn, "GET /v1/jobs/%s/result?wait=55s HTTP/1.1\r\nHost: bench\r\n\r\n", park->handles[handle].id);
}

static bool http_waiter_answer(struct conn *conn, uint32_t handle, enum park_answer *ret_answer)
{
	struct http_answer answer;
	size_t len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer);
	if (len == 0)
		return false;
	*ret_answer = PARK_EXPIRED;
	if (answer.status != 202 && answer.status != 204 && answer.status != 304 && answer.status != 408) {
		http_expect(&answer, 200, "poll");
		park_check_result(answer.body, answer.body_len, handle);
		*ret_answer = PARK_ANSWERED;
	}
	bytes_consume(&conn->in, len);
	return true;
}

static void bide_complete(struct park *park, struct conn *conn, uint32_t handle)
{
	char text[32];
	int len = park_result(text, sizeof(text), handle);
	conn_printf(conn,
		    "POST /v1/jobs/%s/done HTTP/1.1\r\nHost: bench\r\nJob-Token: %s\r\nContent-Type: text/plain\r\n"
		    "Content-Length: %d\r\n\r\n%s",
		    park->handles[handle].id, park->handles[handle].token, len, text);
}

static size_t http_ack(struct conn *conn)
{
	struct http_answer answer;
	size_t len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer);
	if (len > 0 && (answer.status < 200 || answer.status > 204))
		http_expect(&answer, 204, "completion");
	return len;
}

static uint32_t bide_parked(struct park *park)
{
	struct http_answer answer = park_ask(park, "/v1/info");
	struct json_cursor cursor = {answer.body, answer.body + answer.body_len};
	int64_t parked = json_next_number(&cursor, "parked");
	if (parked < 0)
		loop_die("/v1/info without \"parked\": %.*s", (int)answer.body_len, answer.body);
	return (uint32_t)parked;
}

/* ---- nginx with nchan ---- */

static void nchan_poll(struct park *park, struct conn *conn, uint32_t handle)
{
	conn_printf(conn, "GET /sub?id=%s HTTP/1.1\r\nHost: bench\r\n\r\n", park->handles[handle].id);
}

static void nchan_publish(const struct park *park, struct conn *conn, uint32_t channel, uint32_t handle)
{
	char text[32];
	int len = park_result(text, sizeof(text), handle);
	conn_printf(conn, "POST /pub?id=%s HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		    park->handles[channel].id, len, text);
}

static void nchan_complete(struct park *park, struct conn *conn, uint32_t handle)
{
	nchan_publish(park, conn, handle, handle);
}

static uint32_t nchan_parked(struct park *park)
{
	struct http_answer answer = park_ask(park, "/status");
	return park_number_after(answer.body, answer.body_len, "subscribers: ");
}

/* ---- the floor ---- */

static void floor_poll(struct park *park, struct conn *conn, uint32_t handle)
{
	conn_printf(conn, "GET /v1/jobs/%s/result?wait=55s HTTP/1.1\r\nHost: bench\r\n\r\n", park->handles[handle].id);
}

static bool floor_answer(struct conn *conn, uint32_t handle, enum park_answer *ret_answer)
{
	struct http_answer answer;
	(void)handle;
	*ret_answer = PARK_ANSWERED;
	size_t len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer);
	bytes_consume(&conn->in, len);
	return len > 0;
}

static void floor_complete(struct park *park, struct conn *conn, uint32_t handle)
{
	conn_printf(conn, "POST /%s HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n", park->handles[handle].id);
}

static uint32_t floor_parked(struct park *park)
{
	struct http_answer answer = park_ask(park, "/parked");
	return park_number_after(answer.body, answer.body_len, "");
}

/* ---- Redis ---- */

struct reply_wait {
	bool done;
	size_t len;
	size_t (*parse)(const char *data, size_t len);
};

static void reply_input(struct conn *conn, uint64_t now_ns)
{
	(void)now_ns;
	struct reply_wait *wait = conn->owner;
	wait->len = wait->parse(bytes_head(&conn->in), bytes_len(&conn->in));
	wait->done = wait->len > 0;
}

/* A question whose answer holds `label` and a number. */
static uint32_t reply_number(struct park *park, const char *request, size_t (*parse)(const char *, size_t), const char *label)
{
	struct conn *conn = &park->control;
	struct reply_wait wait = {.parse = parse};
	conn->owner = &wait;
	conn->on_input = reply_input;
	conn_write(conn, request, strlen(request));
	if (!loop_until(&park->loop, &wait.done, loop_now_ns() + 30000000000ull))
		loop_die("no answer to %s", request);
	uint32_t number = park_number_after(bytes_head(&conn->in), wait.len, label);
	bytes_consume(&conn->in, wait.len);
	return number;
}

static void redis_poll(struct park *park, struct conn *conn, uint32_t handle)
{
	char key[80];
	snprintf(key, sizeof(key), "handle:%s", park->handles[handle].id);
	resp_command(conn, (const char *[]){"BLPOP", key, "0"}, 3);
}

static bool redis_answer(struct conn *conn, uint32_t handle, enum park_answer *ret_answer)
{
	size_t len = resp_parse(bytes_head(&conn->in), bytes_len(&conn->in));
	if (len == 0)
		return false;
	park_check_result(bytes_head(&conn->in), len, handle);
	*ret_answer = PARK_ANSWERED;
	bytes_consume(&conn->in, len);
	return true;
}

static void redis_complete(struct park *park, struct conn *conn, uint32_t handle)
{
	char key[80];
	char text[32];
	snprintf(key, sizeof(key), "handle:%s", park->handles[handle].id);
	park_result(text, sizeof(text), handle);
	resp_command(conn, (const char *[]){"LPUSH", key, text}, 3);
}

static size_t redis_ack(struct conn *conn)
{
	return resp_parse(bytes_head(&conn->in), bytes_len(&conn->in));
}

static uint32_t redis_parked(struct park *park)
{
	return reply_number(park, "*2\r\n$4\r\nINFO\r\n$7\r\nclients\r\n", resp_parse, "blocked_clients:");
}

/* ---- beanstalkd: memory and silence only ---- */

static void beanstalkd_poll(struct park *park, struct conn *conn, uint32_t handle)
{
	(void)park;
	(void)handle;
	conn_printf(conn, "reserve-with-timeout 600\r\n");
}

/* "OK <bytes>\r\n<data>\r\n" */
static size_t beanstalkd_parse(const char *data, size_t len)
{
	const char *line_end = len > 0 ? memchr(data, '\n', len) : NULL;
	if (!line_end)
		return 0;
	if (memcmp(data, "OK ", 3) != 0)
		loop_die("beanstalkd: %.*s", (int)(line_end - data), data);
	size_t total = (size_t)(line_end - data) + 1 + strtoul(data + 3, NULL, 10) + 2;
	return total <= len ? total : 0;
}

static bool beanstalkd_answer(struct conn *conn, uint32_t handle, enum park_answer *ret_answer)
{
	(void)handle;
	(void)ret_answer;
	loop_die("beanstalkd answered a parked reserve: %.*s", (int)bytes_len(&conn->in), bytes_head(&conn->in));
}

static uint32_t beanstalkd_parked(struct park *park)
{
	return reply_number(park, "stats\r\n", beanstalkd_parse, "current-waiting: ");
}

/* ---- streams: a handle is a stream, of which the first record is waited for ---- */

static void stream_prepare(struct park *park, uint32_t handles_count)
{
	for (uint32_t i = 0; i < handles_count; i++) {
		char request[256];
		snprintf(park->handles[i].id, sizeof(park->handles[i].id), "park/%u", i);
		int len = snprintf(request, sizeof(request),
				   "PUT /v1/stream/%s HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\n"
				   "Content-Length: 0\r\n\r\n",
				   park->handles[i].id);
		struct http_answer answer = http_ask(&park->control, request, (size_t)len);
		http_expect(&answer, 201, "making a stream");
	}
}

static void stream_poll(struct park *park, struct conn *conn, uint32_t handle)
{
	conn_printf(conn, "GET /v1/stream/%s?offset=-1&live=long-poll&wait=55s HTTP/1.1\r\nHost: bench\r\n\r\n",
		    park->handles[handle].id);
}

static void stream_append(const struct park *park, struct conn *conn, uint32_t stream, uint32_t handle)
{
	char text[32];
	int len = park_result(text, sizeof(text), handle);
	conn_printf(conn,
		    "POST /v1/stream/%s HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		    park->handles[stream].id, len, text);
}

static void stream_complete(struct park *park, struct conn *conn, uint32_t handle)
{
	stream_append(park, conn, handle, handle);
}

/*
 * Events: all follow the first stream from its start on, in one answer that goes on; the record that completes a handle is the
 * next event. Who follows already asks no more.
 */
static void stream_follow(struct park *park, struct conn *conn, uint32_t handle)
{
	(void)handle;
	if (conn->bytes_out == 0)
		conn_printf(conn, "GET /v1/stream/%s?offset=-1&live=sse&wait=55s HTTP/1.1\r\nHost: bench\r\n\r\n",
			    park->handles[0].id);
}

static void nchan_follow(struct park *park, struct conn *conn, uint32_t handle)
{
	(void)handle;
	if (conn->bytes_out == 0)
		conn_printf(conn, "GET /sse?id=%s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n",
			    park->handles[0].id);
}

static void floor_follow(struct park *park, struct conn *conn, uint32_t handle)
{
	if (conn->bytes_out == 0)
		floor_poll(park, conn, handle);
}

static void events_complete(struct park *park, struct conn *conn, uint32_t handle)
{
	stream_append(park, conn, 0, handle);
}

static void events_publish(struct park *park, struct conn *conn, uint32_t handle)
{
	nchan_publish(park, conn, 0, handle);
}

/* The next event with a record, if it is there; others are passed over. */
static bool events_next(struct conn *conn, struct sse_event *ret_event, size_t *ret_len)
{
	const struct park *park = conn->owner;
	struct sse *sse = &park->events[conn->index];
	sse_feed(sse, conn);
	while ((*ret_len = sse_next(sse, ret_event)) > 0) {
		if (ret_event->data_len > 0 && (ret_event->name_len != 7 || memcmp(ret_event->name, "control", 7) != 0))
			return true;
		bytes_consume(&sse->text, *ret_len);
	}
	return false;
}

static bool events_any(struct conn *conn, uint32_t handle, enum park_answer *ret_answer)
{
	const struct park *park = conn->owner;
	struct sse_event event;
	size_t len;
	if (!events_next(conn, &event, &len))
		return false;
	if (handle == NOT_WAITING)
		loop_die("waiter %u got an event too many: %.*s", conn->index, (int)event.data_len, event.data);
	bytes_consume(&park->events[conn->index].text, len);
	*ret_answer = PARK_ANSWERED;
	return true;
}

static bool events_answer(struct conn *conn, uint32_t handle, enum park_answer *ret_answer)
{
	const struct park *park = conn->owner;
	struct sse_event event;
	size_t len;
	if (!events_next(conn, &event, &len))
		return false;
	if (handle == NOT_WAITING)
		loop_die("waiter %u got an event too many: %.*s", conn->index, (int)event.data_len, event.data);
	park_check_result(event.data, event.data_len, handle);
	bytes_consume(&park->events[conn->index].text, len);
	*ret_answer = PARK_ANSWERED;
	/* What completes it, such as a control event, may have come along. */
	if (events_next(conn, &event, &len))
		loop_die("waiter %u got an event too many: %.*s", conn->index, (int)event.data_len, event.data);
	return true;
}

static const struct park_peer park_peers[] = {
	{"bide", true, false, bide_prepare, bide_poll, http_waiter_answer, bide_complete, http_ack, bide_parked},
	{"nchan", true, false, park_prepare_plain, nchan_poll, http_waiter_answer, nchan_complete, http_ack, nchan_parked},
	{"redis", true, false, park_prepare_plain, redis_poll, redis_answer, redis_complete, redis_ack, redis_parked},
	{"beanstalkd", false, false, park_prepare_plain, beanstalkd_poll, beanstalkd_answer, NULL, NULL, beanstalkd_parked},
	{"floor", true, false, park_prepare_plain, floor_poll, floor_answer, floor_complete, http_ack, floor_parked},
	{"bide-stream", true, false, stream_prepare, stream_poll, http_waiter_answer, stream_complete, http_ack, bide_parked},
	{"bide-sse", true, true, stream_prepare, stream_follow, events_answer, events_complete, http_ack, bide_parked},
	{"nchan-sse", true, true, park_prepare_plain, nchan_follow, events_answer, events_publish, http_ack, nchan_parked},
	{"floor-sse", true, true, park_prepare_plain, floor_follow, events_any, floor_complete, http_ack, floor_parked},
};

const struct park_peer *park_peer_find(const char *name)
{
	for (size_t i = 0; i < sizeof(park_peers) / sizeof(park_peers[0]); i++)
		if (strcmp(park_peers[i].name, name) == 0)
			return &park_peers[i];
	return NULL;
}
