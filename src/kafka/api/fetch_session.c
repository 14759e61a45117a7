/* Fetch sessions (KIP-227): a client names its partitions once, and from then on only what is new with them; it is answered only
 * what has changed. The set with which it waits stays where it is between two polls, so that a poll of ten thousand partitions
 * with nothing new costs as little as one of none.
 *
 * A session belongs to its connection: it ends with it, and with the next one that is made there. Where there are too many, or
 * too many partitions in them, an answer says that there is none, and the client names all its partitions each time. */
#include "kafka/api/fetch_priv.h"

#include <errno.h>

enum { EPOCH_NONE = -1, EPOCH_FIRST = 0, VERSION_IDS = 13 };

/* Another one for each session of each thread, so that an old one of another connection is not taken for one of this. */
static int32_t id_next(struct kafka_thread *thread)
{
	uint64_t id = thread->sessions_made++ * COMMAND_THREADS_MAX + thread->index;

	return (int32_t)(id % INT32_MAX) + 1;
}

void fetch_session_end(struct kafka_conn *conn)
{
	conn->session = fetch_set_unref(conn->session);
}

static bool has_ids(const struct kafka_call *call)
{
	return call->request.format.version >= VERSION_IDS;
}

/* 0, -ENOMEM, -ENOSPC. */
static int session_begin(struct kafka_call *call, const struct kafka_fetch_request *request, struct fetch_set *set)
{
	struct kafka_thread *thread = call->thread;
	int r;

	if (thread->stats.sessions >= thread->config.limits.sessions)
		return -ENOSPC;
	thread->stats.sessions++;
	set->id = id_next(thread);
	set->epoch = 1;
	set->ids = has_ids(call);
	set->whole = true;
	r = fetch_set_take(set, request);
	if (r)
		return r;
	set->refs++;
	call->conn->session = set;
	return 0;
}

/* All partitions are named. */
static struct fetch_set *set_new(struct kafka_call *call, const struct kafka_fetch_request *request)
{
	struct fetch_set *set = fetch_set_new(call->thread);
	int r = -ENOSPC;

	if (set && request->session_epoch == EPOCH_FIRST)
		r = session_begin(call, request, set);
	if (!set || r == 0)
		return set;
	fetch_set_unref(set);
	if (r != -ENOSPC)
		return NULL;
	set = fetch_set_new(call->thread);
	if (set && fetch_set_take(set, request))
		return fetch_set_unref(set);
	return set;
}

static enum kafka_error session_judge(const struct kafka_call *call, const struct kafka_fetch_request *request)
{
	const struct fetch_set *session = call->conn->session;

	if (!session || session->id != request->session_id)
		return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
	/* Only who does not wait for answers can be told so while the last one is being made. */
	if (session->epoch != request->session_epoch || session->call)
		return KAFKA_INVALID_FETCH_SESSION_EPOCH;
	return session->ids == has_ids(call) ? KAFKA_NONE : KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
}

struct fetch_set *fetch_set_for(struct kafka_call *call, const struct kafka_fetch_request *request, enum kafka_error *ret_error)
{
	struct kafka_conn *conn = call->conn;
	struct fetch_set *session = conn->session;
	bool mine = session && session->id == request->session_id;
	int r;

	*ret_error = KAFKA_NONE;
	if (request->session_epoch == EPOCH_FIRST || (request->session_epoch == EPOCH_NONE && mine))
		fetch_session_end(conn);
	if (request->session_epoch == EPOCH_FIRST || request->session_epoch == EPOCH_NONE)
		return set_new(call, request);
	*ret_error = session_judge(call, request);
	if (*ret_error)
		return NULL;
	r = fetch_set_take(session, request);
	if (r) {
		fetch_session_end(conn);
		*ret_error = r == -ENOSPC ? KAFKA_FETCH_SESSION_ID_NOT_FOUND : KAFKA_NONE;
		return NULL;
	}
	fetch_set_forget(session, request);
	if (session->committed != (request->isolation_level == 1))
		fetch_set_change_all(session);
	session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
	session->refs++;
	return session;
}
