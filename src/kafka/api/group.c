/* What members of a group ask: FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
 *
 * A join and a sync are with the sequencer until the rebalance is over; meanwhile their call is parked. Whatever ends that (the
 * client is gone, the server leaves) cancels the command, which then comes back. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_group.h"

enum { WAIT_MS = 24 * 3600 * 1000, JOIN_NEEDS_ID = 4, JOIN_KNOWS_SKIP = 9 };
enum { COORDINATOR_OF_GROUP, COORDINATOR_OF_TRANSACTION };

enum kafka_error kafka_group_error_of(enum outcome outcome)
{
	static const int16_t errors[OUTCOME_COUNT] = {
		[OUTCOME_FENCED] = KAFKA_FENCED_INSTANCE_ID,
		[OUTCOME_NO_MEMBER] = KAFKA_UNKNOWN_MEMBER_ID,
		[OUTCOME_GENERATION] = KAFKA_ILLEGAL_GENERATION,
		[OUTCOME_REBALANCING] = KAFKA_REBALANCE_IN_PROGRESS,
		[OUTCOME_PROTOCOL] = KAFKA_INCONSISTENT_GROUP_PROTOCOL,
		[OUTCOME_MEMBER_ID] = KAFKA_MEMBER_ID_REQUIRED,
		[OUTCOME_RANGE] = KAFKA_INVALID_SESSION_TIMEOUT,
		[OUTCOME_NAME] = KAFKA_INVALID_GROUP_ID,
		[OUTCOME_FULL] = KAFKA_GROUP_MAX_SIZE_REACHED,
		[OUTCOME_TOO_LARGE] = KAFKA_MESSAGE_TOO_LARGE,
		[OUTCOME_NOT_FOUND] = KAFKA_GROUP_ID_NOT_FOUND,
		[OUTCOME_BUSY] = KAFKA_NON_EMPTY_GROUP,
		[OUTCOME_STALE] = KAFKA_STALE_MEMBER_EPOCH,
		[OUTCOME_MEMBER_EPOCH] = KAFKA_FENCED_MEMBER_EPOCH,
		[OUTCOME_UNRELEASED] = KAFKA_UNRELEASED_INSTANCE_ID,
		[OUTCOME_ASSIGNOR] = KAFKA_UNSUPPORTED_ASSIGNOR,
		[OUTCOME_REGEX] = KAFKA_INVALID_REGULAR_EXPRESSION,
		/* Clients look for their coordinator again, and ask once more. */
		[OUTCOME_NO_MEMORY] = KAFKA_COORDINATOR_NOT_AVAILABLE,
		[OUTCOME_NO_SPACE] = KAFKA_COORDINATOR_NOT_AVAILABLE,
		[OUTCOME_CANCELED] = KAFKA_NOT_COORDINATOR,
		[OUTCOME_STORAGE] = KAFKA_NOT_COORDINATOR,
	};

	if (outcome == OUTCOME_OK)
		return KAFKA_NONE;
	return errors[outcome] ? (enum kafka_error)errors[outcome] : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* --- FindCoordinator --- */

void find_coordinator_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_find_coordinator_request *request = message;
	const struct kafka_config *config = &call->thread->config;
	struct kafka_find_coordinator_response *response = kafka_call_response(call);
	struct kafka_coordinator *all =
		response ? kafka_call_alloc(call, (request->coordinator_keys.count + 1) * sizeof(*all)) : NULL;
	enum kafka_error error = KAFKA_NONE;

	if (!all)
		return;
	if (request->key_type != COORDINATOR_OF_GROUP && request->key_type != COORDINATOR_OF_TRANSACTION)
		error = KAFKA_INVALID_REQUEST;
	for (uint32_t i = 0; i < request->coordinator_keys.count; i++) {
		all[i] = (struct kafka_coordinator){.key = request->coordinator_keys.at[i],
						    .node_id = error ? -1 : NODE_ID,
						    .host = error ? (struct slice){0} : config->host,
						    .port = error ? -1 : config->port,
						    .error_code = (int16_t)error};
	}
	response->coordinators.at = all;
	response->coordinators.count = request->coordinator_keys.count;
	response->error_code = (int16_t)error;
	response->node_id = error ? -1 : NODE_ID;
	response->host = error ? (struct slice){0} : config->host;
	response->port = error ? -1 : config->port;
	kafka_call_answer(call, response);
}

/* --- waiting --- */

/* Both commands are made before either is sent: who cannot be canceled is not begun. */
struct held {
	struct kafka_ask *ask, *cancel;
	bool canceled;
};

static void cancel(struct kafka_call *call)
{
	struct held *held = call->own;

	if (held->canceled)
		return;
	held->canceled = true;
	kafka_ask_send(call, held->cancel);
}

static void canceled(struct kafka_call *call, struct kafka_ask *ask)
{
	(void)call;
	(void)ask;
}

static struct kafka_ask *held_new(struct kafka_call *call, enum command_kind kind,
				  void (*answered)(struct kafka_call *call, struct kafka_ask *ask))
{
	struct held *held = kafka_call_alloc(call, sizeof(*held));

	if (!held)
		return NULL;
	held->ask = kafka_ask_new(call, kind, answered);
	held->cancel = held->ask ? kafka_ask_new(call, COMMAND_GROUP_CANCEL, canceled) : NULL;
	if (!held->cancel)
		return NULL;
	held->cancel->command.in.group_cancel.of = &held->ask->command;
	call->own = held;
	return held->ask;
}

static void held_send(struct kafka_call *call)
{
	static const struct kafka_waits waits = {.expired = cancel, .gone = cancel};
	struct held *held = call->own;

	kafka_call_park(call, &waits, WAIT_MS);
	kafka_ask_send(call, held->ask);
}

/* --- JoinGroup --- */

static bool join_members(struct kafka_call *call, const struct group_view *view, struct kafka_join_group_response *response)
{
	struct kafka_joined_member *members = kafka_call_alloc(call, (view->member_count + 1) * sizeof(*members));

	if (!members)
		return false;
	for (size_t i = 0; i < view->member_count; i++) {
		members[i] =
			(struct kafka_joined_member){.member_id = view->members[i].id, .metadata = view->members[i].metadata};
		if (view->members[i].instance.len)
			members[i].group_instance_id = view->members[i].instance;
	}
	response->members.at = members;
	response->members.count = (uint32_t)view->member_count;
	return true;
}

static void join_error(struct kafka_call *call, enum outcome outcome, struct slice member_id)
{
	struct kafka_join_group_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)kafka_group_error_of(outcome);
	response->generation_id = -1;
	response->member_id = member_id;
	kafka_call_answer(call, response);
}

static void joined(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct group_view *view = ask->command.out.group;
	struct kafka_join_group_response *response;

	if (ask->command.outcome != OUTCOME_OK) {
		join_error(call, ask->command.outcome, view ? view->member_id : ask->command.in.group_join.join.who.member);
		return;
	}
	response = kafka_call_response(call);
	if (!response || !join_members(call, view, response))
		return;
	response->generation_id = (int32_t)view->generation;
	response->protocol_type = view->protocol_type;
	response->protocol_name = view->protocol;
	response->leader = view->leader;
	response->skip_assignment = view->skip_assignment;
	response->member_id = view->member_id;
	kafka_call_answer(call, response);
}

void join_group_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_join_group_request *request = message;
	int32_t rebalance_ms = request->rebalance_timeout_ms;
	struct group_protocol *protocols;
	struct group_join *join;
	struct kafka_ask *ask;

	if (call->thread->draining || request->session_timeout_ms < 0) {
		join_error(call, call->thread->draining ? OUTCOME_CANCELED : OUTCOME_RANGE, request->member_id);
		return;
	}
	ask = held_new(call, COMMAND_GROUP_JOIN, joined);
	protocols = ask ? kafka_call_alloc(call, (request->protocols.count + 1) * sizeof(*protocols)) : NULL;
	if (!protocols)
		return;
	for (uint32_t i = 0; i < request->protocols.count; i++)
		protocols[i] = (struct group_protocol){request->protocols.at[i].name, request->protocols.at[i].metadata};
	join = &ask->command.in.group_join.join;
	join->who = (struct group_who){request->group_id, request->member_id, request->group_instance_id, -1, false};
	join->protocol_type = request->protocol_type;
	join->protocols = protocols;
	join->protocol_count = request->protocols.count;
	join->client_id = call->request.client_id;
	join->client_host = kafka_call_host(call);
	join->session_ms = (uint32_t)request->session_timeout_ms;
	/* Who does not say has until its session is over. */
	join->rebalance_ms = (uint32_t)(rebalance_ms < 0 ? request->session_timeout_ms : rebalance_ms);
	join->knows_skip = call->request.format.version >= JOIN_KNOWS_SKIP;
	ask->command.in.group_join.needs_id = call->request.format.version >= JOIN_NEEDS_ID;
	if (call->state == CALL_OPEN)
		held_send(call);
}

/* --- SyncGroup --- */

static void sync_error(struct kafka_call *call, enum outcome outcome)
{
	struct kafka_sync_group_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)kafka_group_error_of(outcome);
	kafka_call_answer(call, response);
}

static void synced(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct group_view *view = ask->command.out.group;
	struct kafka_sync_group_response *response;

	if (ask->command.outcome != OUTCOME_OK) {
		sync_error(call, ask->command.outcome);
		return;
	}
	response = kafka_call_response(call);
	if (!response)
		return;
	response->protocol_type = view->protocol_type;
	response->protocol_name = view->protocol;
	response->assignment = view->assignment;
	kafka_call_answer(call, response);
}

void sync_group_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_sync_group_request *request = message;
	struct group_assignment *assignments;
	struct group_sync *sync;
	struct kafka_ask *ask;

	if (call->thread->draining) {
		sync_error(call, OUTCOME_CANCELED);
		return;
	}
	ask = held_new(call, COMMAND_GROUP_SYNC, synced);
	assignments = ask ? kafka_call_alloc(call, (request->assignments.count + 1) * sizeof(*assignments)) : NULL;
	if (!assignments)
		return;
	for (uint32_t i = 0; i < request->assignments.count; i++)
		assignments[i] =
			(struct group_assignment){request->assignments.at[i].member_id, request->assignments.at[i].assignment};
	sync = &ask->command.in.group_sync.sync;
	sync->who = (struct group_who){request->group_id, request->member_id, request->group_instance_id, request->generation_id,
				       false};
	sync->protocol_type = request->protocol_type;
	sync->protocol = request->protocol_name;
	sync->assignments = assignments;
	sync->assignment_count = request->assignments.count;
	held_send(call);
}

/* --- Heartbeat --- */

static void beaten(struct kafka_call *call, struct kafka_ask *ask)
{
	struct kafka_heartbeat_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	kafka_call_answer(call, response);
}

void heartbeat_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_heartbeat_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_GROUP_BEAT, beaten);

	if (!ask)
		return;
	ask->command.in.group_who = (struct group_who){request->group_id, request->member_id, request->group_instance_id,
						       request->generation_id, false};
	kafka_ask_send(call, ask);
}

/* --- LeaveGroup --- */

static void left(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_leave_group_request *request = call->own;
	const struct group_leave_in *in = &ask->command.in.group_leave;
	struct kafka_leave_group_response *response = kafka_call_response(call);
	struct kafka_left_member *members = response ? kafka_call_alloc(call, (in->count + 1) * sizeof(*members)) : NULL;

	if (!members)
		return;
	response->error_code = (int16_t)kafka_group_error_of(ask->command.outcome);
	for (size_t i = 0; i < in->count; i++) {
		members[i].member_id = in->members[i].member;
		if (in->members[i].instance.len)
			members[i].group_instance_id = in->members[i].instance;
		members[i].error_code = (int16_t)kafka_group_error_of(in->members[i].outcome);
	}
	if (request->members.count) {
		response->members.at = members;
		response->members.count = (uint32_t)in->count;
	} else if (response->error_code == KAFKA_NONE) {
		response->error_code = members[0].error_code;
	}
	kafka_call_answer(call, response);
}

void leave_group_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_leave_group_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_GROUP_LEAVE, left);
	size_t count = request->members.count ? request->members.count : 1;
	struct group_leaving *members = ask ? kafka_call_alloc(call, count * sizeof(*members)) : NULL;

	if (!members)
		return;
	members[0].member = request->member_id;
	for (uint32_t i = 0; i < request->members.count; i++)
		members[i] = (struct group_leaving){.member = request->members.at[i].member_id,
						    .instance = request->members.at[i].group_instance_id};
	call->own = (void *)(uintptr_t)request;
	ask->command.in.group_leave = (struct group_leave_in){request->group_id, members, count};
	kafka_ask_send(call, ask);
}
