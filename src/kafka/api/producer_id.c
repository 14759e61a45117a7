/* InitProducerId: who a producer is that numbers its batches. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_txn.h"

enum { FENCED_FROM = 4 }; /* before that version a fenced producer is told that its epoch is over */

static enum kafka_error outcome_error(const struct kafka_call *call, enum outcome outcome)
{
	switch ((int)outcome) {
	case OUTCOME_FENCED:
		return call->request.format.version >= FENCED_FROM ? KAFKA_PRODUCER_FENCED : KAFKA_INVALID_PRODUCER_EPOCH;
	case OUTCOME_TXN:
		return KAFKA_INVALID_PRODUCER_EPOCH;
	case OUTCOME_SETTING:
	case OUTCOME_NAME:
		return KAFKA_INVALID_REQUEST;
	case OUTCOME_FULL:
	case OUTCOME_NO_MEMORY:
		return KAFKA_COORDINATOR_NOT_AVAILABLE;
	default:
		return kafka_error_of(outcome);
	}
}

static void answer(struct kafka_call *call, struct kafka_ask *ask)
{
	struct kafka_init_producer_id_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)outcome_error(call, ask->command.outcome);
	response->producer_id = -1;
	response->producer_epoch = -1;
	if (response->error_code == KAFKA_NONE) {
		response->producer_id = ask->command.out.producer_id.producer_id;
		response->producer_epoch = ask->command.out.producer_id.producer_epoch;
	}
	kafka_call_answer(call, response);
}

void init_producer_id_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_init_producer_id_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_PRODUCER_ID, answer);

	if (!ask)
		return;
	if (request->transactional_id.ptr && request->transactional_id.len == 0) {
		ask->command.outcome = OUTCOME_SETTING;
		answer(call, ask);
		return;
	}
	ask->command.in.producer_id = (struct producer_id_in){
		.transactional_id = request->transactional_id,
		.timeout_ms = request->transaction_timeout_ms < 0 ? 0 : (uint32_t)request->transaction_timeout_ms,
		.producer_id = request->producer_id,
		.producer_epoch = request->producer_epoch,
	};
	kafka_ask_send(call, ask);
}
