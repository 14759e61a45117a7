/* `bide stream`: streams are made, looked at, closed and deleted. */
#include "cli/stream.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/fmt.h"
#include "cli/mime.h"
#include "cli/work.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- where ----------------------------------------------------------------------------------------------------------------- */

static const char streams_path[] = "/v1/stream/";

static char *path_encoded(const char *text)
{
	struct buf path = {0};
	char *copy;

	buf_append_str(&path, "/v1/stream");
	for (const char *end = text; *end; text = end + 1) {
		char *segment, *escaped;

		end = text + strcspn(text, "/");
		segment = mem_dup(text, (size_t)(end - text));
		escaped = segment ? curl_easy_escape(NULL, segment, 0) : NULL;
		if (!escaped)
			cli_out_of_memory();
		buf_append_char(&path, '/');
		buf_append_str(&path, escaped);
		curl_free(escaped);
		mem_free(segment);
	}
	copy = cli_dup(cli_text(&path));
	buf_deinit(&path);
	return copy;
}

int stream_at_init(struct stream_at *at, const struct session *session, const char *text)
{
	const char *path = strstr(text, streams_path);
	bool url = path && (path == text || strstr(text, "://"));

	if (!*text || (url && !path[strlen(streams_path)])) {
		return cli_usage_error(session->command,
				       "\"%s\" is no stream: give its path, like chats/7, or its URL …%schats/7", text,
				       streams_path);
	}
	at->path = url ? mem_dup(path, strcspn(path, "?#")) : path_encoded(text);
	at->base = url && path > text ? mem_dup(text, (size_t)(path - text)) : cli_dup(session->server);
	if (!at->path || !at->base)
		cli_out_of_memory();
	return 0;
}

void stream_at_deinit(struct stream_at *at)
{
	at->base = mem_free(at->base);
	at->path = mem_free(at->path);
}

void stream_call(const struct stream_at *at, struct http_call *call, const char *method)
{
	http_call_init(call, method, at->base);
	http_call_path(call, at->path);
	/* What "a/../b" means is the server's to say, not the library's. */
	curl_easy_setopt(call->easy, CURLOPT_PATH_AS_IS, 1L);
	if (!strcmp(method, "HEAD"))
		curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
}

/* --- answers --------------------------------------------------------------------------------------------------------------- */

const char *stream_offset(struct http_call *call)
{
	const char *offset = http_answer_header(call, "Stream-Next-Offset");

	return offset ? offset : "";
}

bool stream_flag(struct http_call *call, const char *header)
{
	const char *value = http_answer_header(call, header);

	return value && !strcasecmp(value, "true");
}

int stream_report(const struct session *session, struct http_call *call, const char *doing)
{
	int rc = session_report(session, call, doing);

	if (call->outcome == HTTP_ANSWERED && call->status == 404 && !call->answer.len)
		cli_hint("There is no stream at that path. To make one:  bide stream create PATH");
	return rc;
}

/* --- headers -----------------------------------------------------------------------------------------------------------------
 */

int stream_duration_header(const struct session *session, struct http_call *call, const char *option, const char *header)
{
	uint64_t ms = 0;
	int rc = session_duration(session, option, &ms);

	if (rc || !cli_args_has(&session->args, option))
		return rc;
	if (ms == SESSION_FOREVER_MS)
		return cli_usage_error(session->command, "without --%s it is for ever", option);
	http_call_header(call, "%s: %llu", header, (unsigned long long)(ms / 1000 + (ms % 1000 != 0)));
	return 0;
}

/* --- bytes to send -----------------------------------------------------------------------------------------------------------
 */

static int body_failed(const struct stream_body *body, int error)
{
	cli_say("cannot read %s: %s", body->path ? body->path : "stdin", strerror(error));
	return error == ENOENT ? CLI_NOT_FOUND : CLI_FAILED;
}

static int body_spool(struct stream_body *body)
{
	enum { CHUNK_BYTES = 64 << 10 };
	char *chunk = cli_alloc(CHUNK_BYTES);
	int spool = spool_open(UINT64_MAX), error = spool < 0 ? -spool : 0;
	off_t size = 0;
	ssize_t n = 1;

	while (!error && n > 0) {
		n = read(body->fd, chunk, CHUNK_BYTES);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			error = errno;
		else if (n > 0)
			error = -spool_write(spool, size, chunk, (size_t)n);
		if (!error && n > 0)
			size += n;
	}
	mem_free(chunk);
	if (error && spool >= 0)
		close(spool);
	if (error)
		return body_failed(body, error);
	stream_body_close(body);
	*body = (struct stream_body){.path = body->path, .fd = spool, .owned = true, .size = size};
	return 0;
}

int stream_body_open(struct stream_body *body, const struct session *session, const char *path, bool whole)
{
	struct stat st;
	off_t start;

	*body = (struct stream_body){.fd = STDIN_FILENO};
	if (path && strcmp(path, "-") != 0) {
		body->path = path;
		body->fd = open(path, O_RDONLY | O_CLOEXEC);
		body->owned = body->fd >= 0;
	}
	if (body->fd < 0 || fstat(body->fd, &st))
		return body_failed(body, errno);
	if (S_ISDIR(st.st_mode))
		return body_failed(body, EISDIR);
	if (isatty(body->fd) && !session->quiet)
		cli_say("reading from the terminal; Ctrl-D ends it");
	if (!whole)
		return 0;
	if (!S_ISREG(st.st_mode))
		return body_spool(body);
	start = lseek(body->fd, 0, SEEK_CUR);
	body->start = start < 0 ? 0 : start;
	body->size = st.st_size > body->start ? st.st_size - body->start : 0;
	return 0;
}

void stream_body_close(struct stream_body *body)
{
	if (body->owned && body->fd >= 0)
		close(body->fd);
	body->fd = -1;
}

/* --- create ------------------------------------------------------------------------------------------------------------------
 */

static int size_header(const struct session *session, struct http_call *call)
{
	const char *text = cli_args_value(&session->args, "max-bytes");
	uint64_t bytes;

	if (!text)
		return 0;
	if (text_size(slice_str(text), &bytes) || !bytes)
		return cli_usage_error(session->command, "--max-bytes %s is no size (like 65536, 64k, 16M, 2G)", text);
	http_call_header(call, "Stream-Max-Bytes: %llu", (unsigned long long)bytes);
	return 0;
}

static int life_headers(const struct session *session, struct http_call *call)
{
	const char *expires = cli_args_value(&session->args, "expires-at");
	int rc = stream_duration_header(session, call, "ttl", "Stream-TTL");

	if (!rc)
		rc = stream_duration_header(session, call, "retention", "Stream-Max-Age");
	if (!rc)
		rc = size_header(session, call);
	if (rc)
		return rc;
	if (expires && cli_args_has(&session->args, "ttl"))
		return cli_usage_error(session->command, "--ttl or --expires-at, not both");
	if (expires && !*expires)
		return cli_usage_error(session->command, "--expires-at needs a time, like 2030-01-02T03:04:05Z");
	if (expires)
		http_call_header(call, "Stream-Expires-At: %s", expires);
	if (cli_args_has(&session->args, "closed"))
		http_call_header(call, "Stream-Closed: true");
	return 0;
}

static int fork_headers(const struct session *session, struct http_call *call, const struct stream_at *fork)
{
	const char *source = cli_args_value(&session->args, "from-stream"), *offset = cli_args_value(&session->args, "at-offset");
	struct stream_at at;
	uint64_t sub = 0;
	int rc = session_number(session, "sub-offset", 0, UINT32_MAX, &sub);

	if (rc)
		return rc;
	if (!source && (offset || cli_args_has(&session->args, "sub-offset")))
		return cli_usage_error(session->command, "which stream is to be forked? Give --from-stream");
	if (!source)
		return 0;
	rc = stream_at_init(&at, session, source);
	if (rc)
		return rc;
	if (strcmp(at.base, fork->base) != 0) {
		stream_at_deinit(&at);
		return cli_usage_error(session->command, "a fork and its source are streams of one server");
	}
	http_call_header(call, "Stream-Forked-From: %s", at.path);
	if (offset)
		http_call_header(call, "Stream-Fork-Offset: %s", offset);
	if (sub)
		http_call_header(call, "Stream-Fork-Sub-Offset: %llu", (unsigned long long)sub);
	stream_at_deinit(&at);
	return 0;
}

static int create_headers(const struct session *session, struct http_call *call, const struct stream_at *at,
			  const struct stream_body *body)
{
	const char *type = cli_args_value(&session->args, "content-type");
	bool fork = cli_args_has(&session->args, "from-stream");
	int rc = life_headers(session, call);

	if (!rc)
		rc = fork_headers(session, call, at);
	if (rc)
		return rc;
	if (fork && !type && body->fd >= 0)
		return cli_usage_error(session->command, "a fork's first content needs --content-type: that of its source");
	if (!type && !fork)
		type = body->path ? mime_of(body->path) : "application/octet-stream";
	if (type)
		http_call_header(call, "Content-Type: %s", type);
	return 0;
}

static void print_json(json_t *told)
{
	if (!told)
		cli_out_of_memory();
	session_print_json(told);
	json_decref(told);
}

static void create_tell(const struct session *session, const struct stream_at *at, struct http_call *call)
{
	bool is_new = call->status == 201;
	const char *type = http_answer_header(call, "Content-Type");

	if (session->json) {
		print_json(json_pack("{s:s+, s:b, s:s?, s:s, s:b}", "url", at->base, at->path, "created", is_new, "content_type",
				     type, "offset", stream_offset(call), "closed", stream_flag(call, "Stream-Closed")));
		return;
	}
	if (!is_new && !session->quiet)
		cli_say("it was there already");
	printf("%s%s\n", at->base, at->path);
}

static int stream_create(struct session *session, const struct stream_at *at, const char *path)
{
	const char *file = session->args.operand_count > 2 ? session->args.operands[2] : NULL;
	struct stream_body body = {.fd = -1};
	struct http_call call;
	char doing[200];
	int rc = file ? stream_body_open(&body, session, file, true) : 0;

	stream_call(at, &call, "PUT");
	if (!rc)
		rc = create_headers(session, &call, at, &body);
	if (!rc) {
		if (body.fd >= 0)
			http_call_source(&call, body.fd, body.start, body.size);
		session_run(session, &call, true);
		snprintf(doing, sizeof(doing), "create %s", path);
		if (call.outcome == HTTP_ANSWERED && (call.status == 200 || call.status == 201))
			create_tell(session, at, &call);
		else
			rc = stream_report(session, &call, doing);
	}
	stream_body_close(&body);
	http_call_deinit(&call);
	return rc;
}

/* --- info --------------------------------------------------------------------------------------------------------------------
 */

static const struct {
	const char *name, *key, *header, *unit; /* of a number; NULL: it is a text */
} infos[] = {
	{"type", "content_type", "Content-Type", NULL},           {"end", "offset", "Stream-Next-Offset", NULL},
	{"earliest", "earliest", "Stream-Earliest-Offset", NULL}, {"ttl", "ttl_s", "Stream-TTL", " s"},
	{"expires", "expires_at", "Stream-Expires-At", NULL},     {"keeps", "max_age_s", "Stream-Max-Age", " s"},
	{"at most", "max_bytes", "Stream-Max-Bytes", " bytes"},
};

static void info_json(const struct stream_at *at, struct http_call *call)
{
	json_t *told = json_pack("{s:s+, s:b}", "url", at->base, at->path, "closed", stream_flag(call, "Stream-Closed"));

	for (size_t i = 0; told && i < ARRAY_COUNT(infos); i++) {
		const char *value = http_answer_header(call, infos[i].header);
		uint64_t number;
		json_t *told_value;

		if (value && infos[i].unit && !slice_u64(slice_str(value), &number))
			told_value = json_integer((json_int_t)number);
		else
			told_value = value ? json_string(value) : json_null();
		if (json_object_set_new(told, infos[i].key, told_value))
			cli_out_of_memory();
	}
	print_json(told);
}

static void info_tell(const struct session *session, const struct stream_at *at, struct http_call *call)
{
	if (session->json) {
		info_json(at, call);
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(infos); i++) {
		const char *value = http_answer_header(call, infos[i].header);

		if (value)
			printf("%-10s%s%s\n", infos[i].name, value, infos[i].unit ? infos[i].unit : "");
	}
	printf("%-10s%s\n", "closed", stream_flag(call, "Stream-Closed") ? "yes" : "no");
}

/* --- close, delete -------------------------------------------------------------------------------------------------------------
 */

static void close_tell(const struct session *session, const struct stream_at *at, struct http_call *call)
{
	if (session->json)
		print_json(json_pack("{s:s+, s:s, s:b}", "url", at->base, at->path, "offset", stream_offset(call), "closed",
				     stream_flag(call, "Stream-Closed")));
	else
		puts(stream_offset(call));
}

static void delete_tell(const struct session *session, const struct stream_at *at, struct http_call *call)
{
	(void)call;
	if (session->json)
		print_json(json_pack("{s:s+, s:b}", "url", at->base, at->path, "deleted", true));
	else if (!session->quiet)
		cli_say("it is gone");
}

/* What is one request without a body. */
static const struct stream_verb {
	const char *name, *method, *header, *doing;
	void (*tell)(const struct session *session, const struct stream_at *at, struct http_call *call);
} verbs[] = {
	{"info", "HEAD", NULL, "look at", info_tell},
	{"close", "POST", "Stream-Closed: true", "close", close_tell},
	{"delete", "DELETE", NULL, "delete", delete_tell},
};

static const struct stream_verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int stream_verb(struct session *session, const struct stream_verb *verb, const struct stream_at *at, const char *path)
{
	struct http_call call;
	char doing[200];
	int rc = 0;

	stream_call(at, &call, verb->method);
	if (verb->header)
		http_call_header(&call, "%s", verb->header);
	session_run(session, &call, true);
	snprintf(doing, sizeof(doing), "%s %s", verb->doing, path);
	if (call.outcome == HTTP_ANSWERED && (call.status == 200 || call.status == 204))
		verb->tell(session, at, &call);
	else
		rc = stream_report(session, &call, doing);
	http_call_deinit(&call);
	return rc;
}

/* --- the command ---------------------------------------------------------------------------------------------------------------
 */

/* The options are for create; with another verb they are a mistake, and not one to be passed over. */
static int verb_options(const struct session *session, const char *name)
{
	static const char *const of_create[] = {"content-type", "ttl",         "expires-at", "retention", "max-bytes",
						"closed",       "from-stream", "at-offset",  "sub-offset"};

	if (session->args.operand_count > 2)
		return cli_usage_error(session->command, "%s takes one path", name);
	for (size_t i = 0; i < ARRAY_COUNT(of_create); i++)
		if (cli_args_has(&session->args, of_create[i]))
			return cli_usage_error(session->command, "--%s is for create", of_create[i]);
	return 0;
}

static int stream_checked(struct session *session)
{
	const struct cli_args *args = &session->args;
	const char *name = args->operand_count ? args->operands[0] : "";
	const struct stream_verb *verb = verb_find(name);
	bool create = !strcmp(name, "create");
	struct stream_at at;
	int rc;

	if (!create && !verb)
		return cli_usage_error(session->command, "%s%screate, info, close or delete?", name, *name ? ": " : "");
	if (args->operand_count < 2)
		return cli_usage_error(session->command, "which stream? Give its path");
	if (args->operand_count > 3)
		return cli_usage_error(session->command, "one path, and one file at most");
	rc = create ? 0 : verb_options(session, name);
	if (!rc)
		rc = stream_at_init(&at, session, args->operands[1]);
	if (rc)
		return rc;
	rc = create ? stream_create(session, &at, args->operands[1]) : stream_verb(session, verb, &at, args->operands[1]);
	stream_at_deinit(&at);
	return rc;
}

static int stream_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &stream_command, argc, argv, 0);

	return rc ? rc : session_close(&session, stream_checked(&session));
}

static const struct cli_option stream_table[] = {
	{"content-type", 'c', "TYPE", "create: what it holds (default: by the file's name, else application/octet-stream)"},
	{"ttl", 0, "DUR", "create: deleted when it was neither read nor written for so long"},
	{"expires-at", 0, "TIME", "create: deleted then, like 2030-01-02T03:04:05Z"},
	{"retention", 0, "DUR", "create: records are kept for so long"},
	{"max-bytes", 0, "SIZE", "create: so much is kept, like 16M; the oldest go first"},
	{"closed", 0, NULL, "create: FILE is all there will ever be"},
	{"from-stream", 0, "PATH", "create: a fork: it begins with what is in that stream"},
	{"at-offset", 0, "CURSOR", "create: only with what lies before this offset of it"},
	{"sub-offset", 0, "N", "create: and so many bytes, of JSON values, more"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command stream_command = {
	.name = "stream",
	.summary = "make, look at, close or delete a stream",
	.usage = "create|info|close|delete PATH [FILE|-]",
	.options = stream_table,
	.run = stream_run,
	.detail = "A stream is bytes at a path, appended to (bide append) and read from any place on (bide tail). PATH is like\n"
		  "chats/7, or the stream's URL. With the type application/json it holds JSON values, one by one.\n\n"
		  "  create   makes it, with FILE as its first content, and prints its URL; one\n"
		  "           that is there and the same is fine\n"
		  "  info     its type, its end, how long it lives, whether it is closed\n"
		  "  close    nothing more will come: whoever follows it is told\n"
		  "  delete   it and all it holds is gone",
	.group = "Streams",
	.client = true,
};
