/* Inside src/server only. */
#pragma once

#include "http/api/api.h"
#include "http/exchange/http_thread.h"
#include "journal/journal.h"
#include "kafka/api/kafka_thread.h"
#include "kafka/api/quota.h"
#include "net/listener.h"
#include "net/loop.h"
#include "sequencer/sequencer.h"
#include "server/server.h"
#include "server/webhook.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the server's own messages say. */
enum server_word {
	WORD_ACCEPT,
	WORD_ACCEPT_KAFKA,
	WORD_DRAIN,
	WORD_CONFIGURE,
	WORD_FAIL,
	WORD_STOP,
	WORD_COMMITTED,
	WORD_COMPACTED,
	WORD_HOOKED
};

struct server_message {
	struct message message; /* MESSAGE_SERVER; freed by the receiver, but for WORD_COMMITTED and WORD_COMPACTED */
	enum server_word word;
	int fd;                      /* WORD_ACCEPT… */
	const struct tuning *tuning; /* WORD_CONFIGURE */
	struct hooked_in hooked;     /* WORD_HOOKED */
};

enum { COMPACTED_WORDS = 64 };

/* The thread that compacts, and what all threads know of compacted topics. */
struct compactor {
	_Atomic uint64_t names[COMPACTED_WORDS]; /* a bit for the sum of each one's name; the sequencer's thread writes */
	uint64_t changes;                        /* as of when that was */
	struct compaction *work;                 /* NULL: it has not begun */
	struct compact_step *step; /* that is being done; NULL: none. The sequencer's thread, but while `go` is on its way */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	bool go, stop; /* under the lock */
	struct server_message done;
};

/* The configuration as the folders below want it. Made anew by each reload, kept until the end: threads refer to it. */
struct tuning {
	struct tuning *older;
	char *cors_origin;
	struct http_config http;
	struct api_config api;
	struct kafka_config kafka;
	struct sequencer_config sequencer;
};

struct thread_stats {
	struct http_thread_stats http;
	struct api_stats api;
	struct kafka_thread_stats kafka;
};

struct thread {
	struct server *server;
	unsigned index;
	pthread_t id;
	struct loop *loop;
	struct http_thread *http;
	struct api_thread *api;
	struct kafka_thread *kafka; /* NULL: that door is shut */
	struct mail_list outgoing;  /* to the sequencer, this turn */
	bool stop;
	pthread_mutex_t stats_lock;
	struct thread_stats stats; /* as of the end of the last turn */
};

struct server {
	struct config *config;
	int (*reload)(struct config *ret_config);
	struct tuning *tuning;
	struct journal *journal;
	struct sequencer *sequencer;
	struct listener *listener, *kafka_listener;
	struct kafka_quotas *kafka_quotas;
	char *kafka_host; /* by which Kafka clients are told to come, and the port */
	uint16_t kafka_port;
	struct hook_signer *hook_signer;
	struct webhooks *webhooks;
	struct thread *threads;
	unsigned thread_count, next_thread;
	uint64_t unix_offset_ms; /* unix = monotonic + this, from the start to the end, whatever the wall clock does */
	uint64_t started_ms;
	int exit_code;
	atomic_bool draining, ready;
	uint64_t drain_until_ms; /* when to look again whether all have left; UINT64_MAX: not draining */
	uint64_t drain_end_ms;
	int signal_fd;
	struct loop_source signals;

	/* The committer: a thread for disks that are slow to sync. */
	pthread_t committer;
	pthread_mutex_t commit_lock;
	pthread_cond_t commit_wanted;
	bool commit_go, commit_stop; /* under the lock */
	bool committing;             /* the sequencer's thread only */
	struct server_message committed;
	uint64_t commit_at_ms; /* monotonic */

	struct compactor compactor;
	bool checkpointing;
	uint64_t checkpoint_cursor;
	bool tidying;
	uint64_t tidy_position;
	uint64_t journal_at_ms; /* when the journal wants to be called again */

	pthread_mutex_t stats_lock;
	struct sequencer_stats sequencer_stats;
	struct journal_stats journal_stats;
	struct latency { /* of commits */
		uint64_t bucket[16];
		uint64_t count, sum_us;
	} commit_latency, commit_latency_seen; /* the sequencer's thread's; the copy for others, under the lock */
	uint64_t commit_us;                    /* the last one's */
};

/* --- server.c --- */
void listener_paused(void *server, int error); /* struct listener_config.on_pause */

/* --- turn.c --- */
void *thread_main(void *thread);                       /* loops until told to stop */
void turn_send(void *thread, struct command *command); /* struct api_config.send */
void turn_send_message(void *thread, struct message *message);
void server_say(struct server *server, unsigned thread, struct server_message word);
void turn_hook(void *thread, struct hook *hook); /* struct api_config.hook */

/* --- commit.c --- */
int committer_start(struct server *server);
void committer_stop(struct server *server);
void commit_if_wanted(struct server *server);        /* once a turn */
void commit_ended(struct server *server);            /* WORD_COMMITTED has come */
void commit_all(struct server *server);              /* at the end: waits for all that was appended */
void upkeep(struct server *server, uint64_t now_ms); /* checkpoint and tidier, a piece a turn */
bool upkeep_is_busy(const struct server *server);

/* --- compactor.c: the sequencer's thread --- */
void compactor_turn(struct server *server); /* the next step is begun, if there is one and none is under way */
void compactor_done(struct server *server); /* WORD_COMPACTED has come */
void compactor_stop(struct server *server);
void compactor_publish(struct server *server);               /* before it is told that a topic is compacted, all threads know */
bool compactor_keys_count(void *thread, struct slice topic); /* any thread: a topic of that name may be compacted */

/* --- tuning.c --- */
struct tuning *tuning_new(struct server *server, const struct config *config);
void tunings_free(struct tuning *tuning);

/* --- kafka.c --- */
int kafka_open(struct server *server);  /* nothing when it is not configured; an enum server_exit, and what is wrong was told */
int kafka_start(struct server *server); /* begins to accept; 0 or -errno */
void kafka_shut(struct server *server); /* accepts no more */

/* --- metrics.c --- */
void stats_publish(struct thread *thread);
void server_metrics(void *thread, struct buf *out);
void server_info(void *thread, struct buf *out);
bool server_is_ready(void *thread);
bool server_is_draining(void *thread);
uint64_t server_unix_ms(void *thread);
void server_diag(void *ctx, const char *line); /* tells whoever runs the server */

/* --- signals.c --- */
int signals_block(void);
int signals_watch(struct server *server);
void signals_close(struct server *server);
void server_drain(struct server *server); /* SIGTERM */

/* --- notify.c --- */
void notify(const char *state); /* sd_notify(3)'s protocol; nothing when nobody listens */

uint64_t clock_unix_ms(void);
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
