#include "server/config.h"

#include "base/mem.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(member) offsetof(struct config, member)
#define ANY        0, UINT64_MAX
#define SECOND     1000ULL
#define HOUR       (3600 * SECOND)
#define KIB        1024ULL
#define MIB        (KIB * KIB)

const struct setting settings[] = {
	{"data", SETTING_TEXT, AT(data), "bide-data", ANY, false, "DIR", "where the journal lives; made when missing"},
	{"http", SETTING_TEXT, AT(http), "127.0.0.1:7080", ANY, false, "ADDR:PORT",
	 "where to listen; port 0 picks one, [::1]:7080 is IPv6"},
	{"kafka", SETTING_TEXT, AT(kafka), "", ANY, false, "ADDR:PORT",
	 "where to listen for clients of the Kafka protocol; nowhere if empty"},
	{"advertise", SETTING_TEXT, AT(advertise), "", ANY, false, "HOST:PORT",
	 "where Kafka clients are told to come; where it listens if empty"},
	{"threads", SETTING_COUNT, AT(threads), "0", 0, 32, false, "N", "loop threads; 0: one for each core, 8 at most"},
	{"sync", SETTING_SYNC, AT(sync), "always", ANY, false, "always|INTERVAL|os",
	 "when an answer counts as durable: after an fdatasync; after a write, with a sync every INTERVAL; after a write"},
	{"segment-size", SETTING_SIZE, AT(segment_bytes), "32M", 2 * MIB, 1024 * MIB, false, "SIZE",
	 "of a journal file; fixed once the data directory exists"},
	{"default-wait", SETTING_DURATION, AT(default_wait_ms), "30s", 0, HOUR, true, "DUR",
	 "a claim waits so long unless it says"},
	{"max-wait", SETTING_DURATION, AT(max_wait_ms), "55s", 1, HOUR, true, "DUR", "longest wait; proxies often cut at 60s"},
	{"drain", SETTING_DURATION, AT(drain_ms), "5s", 0, HOUR, true, "DUR",
	 "after SIGTERM, waits are answered spread over so long"},
	{"header-timeout", SETTING_DURATION, AT(header_timeout_ms), "10s", 10, HOUR, true, "DUR",
	 "from a request's first byte to the end of its head"},
	{"body-timeout", SETTING_DURATION, AT(body_timeout_ms), "30s", 10, HOUR, true, "DUR", "between two pieces of a body"},
	{"idle-timeout", SETTING_DURATION, AT(idle_timeout_ms), "75s", 10, 24 * HOUR, true, "DUR",
	 "a connection without a request"},
	{"write-timeout", SETTING_DURATION, AT(write_timeout_ms), "30s", 10, HOUR, true, "DUR",
	 "a reader that takes nothing is cut"},
	{"max-header-count", SETTING_COUNT, AT(header_count), "64", 8, 1000, true, "N", "fields in a request"},
	{"max-header-bytes", SETTING_SIZE, AT(header_bytes), "16K", KIB, MIB, true, "SIZE", "request line and fields"},
	{"max-target-bytes", SETTING_SIZE, AT(target_bytes), "8K", 256, MIB, true, "SIZE", "request target"},
	{"max-pipeline", SETTING_COUNT, AT(pipeline), "64", 1, 1024, true, "N", "unanswered requests of one connection"},
	{"max-connections", SETTING_COUNT, AT(connections), "0", 0, UINT32_MAX, true, "N",
	 "0: as many as file descriptors allow"},
	{"max-body", SETTING_SIZE, AT(body_bytes), "64G", 1, UINT64_MAX / 4, true, "SIZE", "longest body or result"},
	{"output-buffer", SETTING_SIZE, AT(output_bytes), "256K", 4 * KIB, 64 * MIB, true, "SIZE",
	 "answers kept for a slow reader before its requests wait"},
	{"max-jobs", SETTING_COUNT, AT(jobs), "10000000", 1, UINT32_MAX, true, "N", "jobs in all, finished ones too"},
	{"max-queue-jobs", SETTING_COUNT, AT(queue_jobs), "10000000", 1, UINT32_MAX, true, "N", "jobs in one queue"},
	{"max-queues", SETTING_COUNT, AT(queues), "100000", 1, UINT32_MAX, true, "N", "queues"},
	{"max-claims", SETTING_COUNT, AT(claims), "1000000", 1, UINT32_MAX, true, "N", "workers waiting at once"},
	{"max-streams", SETTING_COUNT, AT(streams), "10000000", 1, UINT32_MAX, true, "N", "streams"},
	{"max-producers", SETTING_COUNT, AT(producers), "10000", 1, UINT32_MAX, true, "N", "idempotent producers of one stream"},
	{"max-topics", SETTING_COUNT, AT(topics), "10000", 1, UINT32_MAX, true, "N", "topics"},
	{"max-partitions", SETTING_COUNT, AT(partitions), "1000", 1, 10000, true, "N", "partitions of one topic"},
	{"max-transactional-ids", SETTING_COUNT, AT(transactional_ids), "100000", 1, UINT32_MAX, true, "N",
	 "transactional ids of Kafka producers that are remembered"},
	{"max-transaction", SETTING_DURATION, AT(transaction_ms), "15m", 1000, 24 * HOUR, true, "DUR",
	 "longest time that a Kafka producer may ask for its transactions"},
	{"max-subscriptions", SETTING_COUNT, AT(subscriptions), "1000", 1, UINT32_MAX, true, "N", "subscriptions to streams"},
	{"max-subscription-streams", SETTING_COUNT, AT(subscription_links), "10000", 1, UINT32_MAX, true, "N",
	 "streams of one subscription"},
	{"max-output-bytes", SETTING_SIZE, AT(job_output_bytes), "64M", KIB, UINT64_MAX / 4, true, "SIZE",
	 "output of one job: what its workers write while they run"},
	{"webhook-allow", SETTING_CHOICE, AT(webhook_allow), "loopback", ANY, false, "public|loopback|any",
	 "where webhooks may go: https to public addresses; also http to localhost and 127.0.0.x; anywhere"},
	{"webhook-timeout", SETTING_DURATION, AT(webhook_timeout_ms), "30s", 10, HOUR, false, "DUR",
	 "a webhook that is not answered within so long, or within its subscription's lease, has failed"},
	{"webhook-ca", SETTING_TEXT, AT(webhook_ca), "", ANY, false, "FILE",
	 "certificates of the authorities that webhooks' receivers are held against; the system's if empty"},
	{"max-webhooks", SETTING_COUNT, AT(webhooks), "64", 1, 10000, false, "N", "webhooks under way at once; the others wait"},
	{"kafka-idle-timeout", SETTING_DURATION, AT(kafka_idle_ms), "10m", 10, 24 * HOUR, true, "DUR",
	 "a Kafka client's connection without a request"},
	{"max-frame", SETTING_SIZE, AT(frame_bytes), "100M", 64 * KIB, 1024 * MIB, true, "SIZE",
	 "longest request of a Kafka client"},
	{"max-message", SETTING_SIZE, AT(message_bytes), "64M", 2 * MIB, 1024 * MIB, true, "SIZE",
	 "most that a topic's max.message.bytes may be; a batch must fit in a journal file, too (segment-size)"},
	{"kafka-memory", SETTING_SIZE, AT(kafka_memory_bytes), "256M", 64 * KIB, UINT64_MAX / 4, true, "SIZE",
	 "requests of Kafka clients over 64K, on one loop thread together; the next ones wait"},
	{"max-answer", SETTING_SIZE, AT(answer_bytes), "256M", 64 * KIB, UINT64_MAX / 4, true, "SIZE",
	 "what it may take to answer one request of a Kafka client, records left out"},
	{"max-fetch", SETTING_SIZE, AT(fetch_bytes), "55M", 64 * KIB, 1024 * MIB, true, "SIZE",
	 "most that a Kafka client is sent for one Fetch"},
	{"max-fetch-sessions", SETTING_COUNT, AT(fetch_sessions), "10000", 0, UINT32_MAX, true, "N",
	 "sessions of Kafka clients that fetch, on one loop thread; who has none names all its partitions each time"},
	{"max-fetch-session-partitions", SETTING_COUNT, AT(fetch_session_partitions), "1000000", 0, UINT32_MAX, true, "N",
	 "partitions in these sessions together"},
	{"produce-byte-rate", SETTING_SIZE, AT(produce_rate), "0", 0, UINT32_MAX, true, "SIZE",
	 "what Kafka clients with the same client id may send in a second; 0: as much as they like"},
	{"fetch-byte-rate", SETTING_SIZE, AT(fetch_rate), "0", 0, UINT32_MAX, true, "SIZE",
	 "what they may be sent in a second; 0: as much as they like"},
	{"max-quota-clients", SETTING_COUNT, AT(quota_clients), "10000", 1, UINT32_MAX, true, "N",
	 "client ids whose rates are known; then the one silent longest is forgotten"},
	{"topic-partitions", SETTING_COUNT, AT(topic_partitions), "4", 1, 10000, true, "N",
	 "partitions of a topic whose maker does not say how many"},
	{"auto-create-topics", SETTING_CHOICE, AT(auto_create), "yes", ANY, true, "yes|no",
	 "a topic that a Kafka client asks for is made if it is not there"},
	{"compaction-interval", SETTING_DURATION, AT(compaction_interval_ms), "15s", 10, 24 * HOUR, true, "DUR",
	 "a compacted partition that has grown is looked at after so long"},
	{"compaction-memory", SETTING_SIZE, AT(compaction_bytes), "64M", MIB, UINT64_MAX / 4, false, "SIZE",
	 "for the keys of the partition that is being compacted, 32 bytes each; what does not fit is done in another go"},
	{"max-groups", SETTING_COUNT, AT(groups), "10000", 1, UINT32_MAX, true, "N", "groups of Kafka consumers"},
	{"max-group-members", SETTING_COUNT, AT(group_members), "1000", 1, 1000000, true, "N", "members of one group"},
	{"max-group-member-bytes", SETTING_SIZE, AT(group_member_bytes), "1M", KIB, 64 * MIB, true, "SIZE",
	 "what a member of a group says of itself, and what it may be assigned"},
	{"max-group-offsets", SETTING_COUNT, AT(group_offsets), "100000", 1, UINT32_MAX, true, "N", "offsets of one group"},
	{"max-group-topics", SETTING_COUNT, AT(group_topics), "1000", 1, 100000, true, "N",
	 "topics that one member subscribes to by name (group.protocol=consumer)"},
	{"max-group-regex", SETTING_SIZE, AT(group_regex_bytes), "1K", 1, 64 * KIB, true, "SIZE",
	 "a regular expression of topics that a member subscribes to"},
	{"max-group-partitions", SETTING_COUNT, AT(group_partitions), "100000", 1, 10000000, true, "N",
	 "partitions that one group subscribes to (group.protocol=consumer)"},
	{"max-offset-metadata", SETTING_SIZE, AT(offset_metadata_bytes), "4K", 0, 32 * KIB, true, "SIZE",
	 "what may be kept beside an offset"},
	{"group-min-session-timeout", SETTING_DURATION, AT(group_session_min_ms), "6s", 1, 24 * HOUR, true, "DUR",
	 "no member of a group may have a shorter one"},
	{"group-max-session-timeout", SETTING_DURATION, AT(group_session_max_ms), "30m", 1, 24 * HOUR, true, "DUR",
	 "nor a longer one"},
	{"group-consumer-session-timeout", SETTING_DURATION, AT(consumer_session_ms), "45s", 1, 24 * HOUR, true, "DUR",
	 "a member that is silent for so long is out (group.protocol=consumer)"},
	{"group-consumer-heartbeat-interval", SETTING_DURATION, AT(consumer_beat_ms), "5s", 1, HOUR, true, "DUR",
	 "how often such members are told to come"},
	{"group-initial-delay", SETTING_DURATION, AT(group_delay_ms), "300ms", 0, HOUR, true, "DUR",
	 "the first member of a group waits so long for more"},
	{"group-retention", SETTING_DURATION, AT(group_retention_ms), "7d", 0, 3650 * 24 * HOUR, true, "DUR",
	 "offsets of a group that nobody uses are kept so long; 0: for ever"},
	{"max-wait-items", SETTING_COUNT, AT(wait_items), "250000", 1, UINT32_MAX, true, "N",
	 "jobs and streams waited for many at a time, on one loop thread"},
	{"delivery-lease", SETTING_DURATION, AT(delivery_lease_ms), "5s", 10, HOUR, true, "DUR",
	 "a job handed to a worker that does not take it goes to the next after so long"},
	{"tombstone", SETTING_DURATION, AT(tombstone_ms), "1h", 0, 365 * 24 * HOUR, true, "DUR",
	 "an expired handle answers 410 for so long, then 404"},
	{"retry-base", SETTING_DURATION, AT(retry_base_ms), "1s", 1, 24 * HOUR, true, "DUR",
	 "back-off after a first failure; doubles each time"},
	{"retry-cap", SETTING_DURATION, AT(retry_cap_ms), "10m", 1, 24 * HOUR, true, "DUR", "longest back-off"},
	{"cors-origin", SETTING_TEXT, AT(cors_origin), "", ANY, true, "ORIGIN",
	 "browsers from there may call; * for all; none if empty"},
	{"salvage", SETTING_FLAG, AT(salvage), "false", ANY, false, NULL,
	 "start on a damaged journal without what is damaged, and say what was lost"},
};
const size_t setting_count = ARRAY_COUNT(settings);

_Static_assert(ARRAY_COUNT(settings) <= ARRAY_COUNT(((struct config_origins *)0)->origin), "origins hold every setting");

static char **text_at(struct config *config, const struct setting *setting)
{
	return (char **)(void *)((char *)config + setting->offset);
}

static uint64_t *number_at(struct config *config, const struct setting *setting)
{
	return (uint64_t *)(void *)((char *)config + setting->offset);
}

static int sync_parse(struct config *config, struct slice text)
{
	if (slice_eq(text, SLICE("always"))) {
		config->sync = JOURNAL_SYNC_ALWAYS;
		return 0;
	}
	if (slice_eq(text, SLICE("os"))) {
		config->sync = JOURNAL_SYNC_OS;
		return 0;
	}
	if (text_duration_ms(text, &config->sync_interval_ms) || config->sync_interval_ms == 0)
		return -EINVAL;
	config->sync = JOURNAL_SYNC_INTERVAL;
	return 0;
}

static int flag_parse(struct slice text, uint64_t *ret_value)
{
	static const char *const words[] = {"false", "true", "no", "yes", "0", "1", "off", "on"};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (slice_eq(text, slice_str(words[i]))) {
			*ret_value = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

/* Which of the words between '|'s. */
static int choice_parse(const char *arg, struct slice text, uint64_t *ret_value)
{
	struct slice words = slice_str(arg);

	for (uint64_t i = 0; words.len; i++) {
		if (slice_eq(slice_cut(&words, '|'), text)) {
			*ret_value = i;
			return 0;
		}
	}
	return -EINVAL;
}

static struct slice choice_word(const char *arg, uint64_t value)
{
	struct slice words = slice_str(arg), word = slice_cut(&words, '|');

	while (value--)
		word = slice_cut(&words, '|');
	return word;
}

static int number_parse(const struct setting *setting, struct slice text, uint64_t *ret_value)
{
	switch (setting->kind) {
	case SETTING_DURATION:
		return text_duration_ms(text, ret_value);
	case SETTING_SIZE:
		return text_size(text, ret_value);
	case SETTING_COUNT:
		return slice_u64(text, ret_value);
	case SETTING_FLAG:
		return flag_parse(text, ret_value);
	case SETTING_CHOICE:
		return choice_parse(setting->arg, text, ret_value);
	case SETTING_TEXT:
	case SETTING_SYNC:
		break;
	}
	return -EINVAL;
}

static const char *form_of(const struct setting *setting)
{
	static const char *const forms[] = {
		[SETTING_TEXT] = "text",
		[SETTING_DURATION] = "a duration like 30s, 1500ms, 5m",
		[SETTING_SIZE] = "a size like 64K, 16M, 2G",
		[SETTING_COUNT] = "a whole number",
		[SETTING_SYNC] = "always, os, or an interval like 100ms",
		[SETTING_FLAG] = "true or false",
	};

	return setting->kind == SETTING_CHOICE ? setting->arg : forms[setting->kind];
}

/* 0 or -EINVAL, told. `where`: "config.ini:12", "BIDE_SYNC", "--sync". */
static int value_set(struct config *config, const struct setting *setting, const char *text, const char *where, FILE *errors)
{
	struct slice s = slice_trim(slice_str(text));
	uint64_t value = 0;
	char *copy;
	int r = 0;

	if (setting->kind == SETTING_TEXT) {
		copy = mem_dup(s.ptr, s.len);
		if (!copy)
			return -EINVAL;
		mem_free(*text_at(config, setting));
		*text_at(config, setting) = copy;
		return 0;
	}
	r = setting->kind == SETTING_SYNC ? sync_parse(config, s) : number_parse(setting, s, &value);
	if (r) {
		fprintf(errors, "bide: %s: \"%s\" is not %s%s\n", where, text, setting->kind == SETTING_CHOICE ? "one of " : "",
			form_of(setting));
		return -EINVAL;
	}
	if (setting->kind == SETTING_SYNC)
		return 0;
	if (value < setting->min || value > setting->max) {
		struct config edge = {0};
		char low[64], high[64];

		*number_at(&edge, setting) = setting->min;
		config_value(&edge, setting, low, sizeof(low));
		*number_at(&edge, setting) = setting->max;
		config_value(&edge, setting, high, sizeof(high));
		fprintf(errors, "bide: %s: %s is out of range; it must be between %s and %s\n", where, text, low, high);
		return -EINVAL;
	}
	*number_at(config, setting) = value;
	return 0;
}

static const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < setting_count; i++) {
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	}
	return NULL;
}

static void unknown(const char *where, const char *name, FILE *errors)
{
	const struct setting *best = NULL;
	unsigned distance = 4;

	for (size_t i = 0; i < setting_count; i++) {
		unsigned d = text_distance(slice_str(name), slice_str(settings[i].name));

		if (d < distance) {
			distance = d;
			best = &settings[i];
		}
	}
	fprintf(errors, "bide: %s: there is no setting \"%s\"", where, name);
	if (best)
		fprintf(errors, "; did you mean \"%s\"?", best->name);
	fprintf(errors, " (all of them: bide config show)\n");
}

/* --- the four sources --- */

struct loading {
	struct config *config;
	struct config_origins *origins;
	const char *file;
	FILE *stream;
	int line;
	FILE *errors;
	bool bad;
};

static void take(struct loading *l, const struct setting *setting, const char *text, enum setting_origin origin,
		 const char *where, int line)
{
	if (value_set(l->config, setting, text, where, l->errors)) {
		l->bad = true;
		return;
	}
	l->origins->origin[setting - settings] = origin;
	l->origins->line[setting - settings] = line;
}

/* inih as packaged does not tell its handler the line; whoever reads the lines can count them. */
static char *next_line(char *out, int size, void *ctx)
{
	struct loading *l = ctx;

	l->line++;
	return fgets(out, size, l->stream);
}

static int file_line(void *ctx, const char *section, const char *name, const char *value)
{
	struct loading *l = ctx;
	const struct setting *setting = setting_find(name);
	char where[512];

	snprintf(where, sizeof(where), "%s:%d", l->file, l->line);
	if (section[0] && strcmp(section, "bide") != 0) {
		fprintf(l->errors, "bide: %s: there is no section [%s]; settings stand at the top or under [bide]\n", where,
			section);
		l->bad = true;
	} else if (!setting) {
		unknown(where, name, l->errors);
		l->bad = true;
	} else {
		take(l, setting, value, ORIGIN_FILE, where, l->line);
	}
	return 1;
}

static void from_file(struct loading *l)
{
	int r;

	if (!l->file || !l->file[0])
		return;
	l->stream = fopen(l->file, "re");
	if (!l->stream) {
		fprintf(l->errors, "bide: cannot read the configuration %s: %s\n", l->file, strerror(errno));
		l->bad = true;
		return;
	}
	r = ini_parse_stream(next_line, l, file_line, l);
	fclose(l->stream);
	if (r != 0) {
		fprintf(l->errors, "bide: %s:%d: not a \"name = value\" line\n", l->file, r);
		l->bad = true;
	}
}

/* Variables that are no settings: the clients' and the tests'. */
static bool is_other_variable(const char *name)
{
	static const char *const others[] = {"SERVER",   "CONFIG", "FAULTS",  "BIN",          "SOAK",       "JOB_ID",
					     "JOB_NAME", "QUEUE",  "ATTEMPT", "CONTENT_TYPE", "PROGRESS_FD"};

	for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
		if (strcmp(others[i], name) == 0)
			return true;
	}
	return false;
}

static void from_variable(struct loading *l, const char *variable)
{
	const char *equals = strchr(variable, '=');
	size_t len = equals ? (size_t)(equals - variable) - 5 : 0;
	const struct setting *setting;
	char name[64], where[72];

	if (!equals || len == 0 || len >= sizeof(name))
		return;
	memcpy(name, variable + 5, len);
	name[len] = '\0';
	if (is_other_variable(name))
		return;
	snprintf(where, sizeof(where), "BIDE_%s", name);
	for (size_t i = 0; i < len; i++)
		name[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
	setting = setting_find(name);
	if (setting) {
		take(l, setting, equals + 1, ORIGIN_ENVIRONMENT, where, 0);
	} else {
		unknown(where, name, l->errors);
		l->bad = true;
	}
}

int config_load(const struct config_flags *flags, FILE *errors, struct config *ret_config, struct config_origins *ret_origins)
{
	struct config config = {0};
	struct loading l = {.config = &config, .origins = ret_origins, .errors = errors};
	char where[80];

	l.file = flags->file ? flags->file : getenv("BIDE_CONFIG");
	for (size_t i = 0; i < setting_count; i++)
		take(&l, &settings[i], settings[i].initial, ORIGIN_DEFAULT, settings[i].name, 0);
	from_file(&l);
	for (char **v = environ; *v; v++) {
		if (strncmp(*v, "BIDE_", 5) == 0)
			from_variable(&l, *v);
	}
	for (size_t i = 0; i < setting_count; i++) {
		if (!flags->values[i])
			continue;
		snprintf(where, sizeof(where), "--%s", settings[i].name);
		take(&l, &settings[i], flags->values[i], ORIGIN_FLAG, where, 0);
	}
	if (!l.bad && config.default_wait_ms > config.max_wait_ms) {
		/* The cap wins: a shorter max-wait alone must not need a second setting. */
		config.default_wait_ms = config.max_wait_ms;
	}
	if (l.bad) {
		config_deinit(&config);
		return -EINVAL;
	}
	*ret_config = config;
	return 0;
}

void config_deinit(struct config *config)
{
	for (size_t i = 0; i < setting_count; i++) {
		if (settings[i].kind == SETTING_TEXT)
			mem_free(*text_at(config, &settings[i]));
	}
	*config = (struct config){0};
}

static void duration_write(uint64_t ms, char *out, size_t size)
{
	static const struct {
		uint64_t ms;
		const char *unit;
	} units[] = {{24 * HOUR, "d"}, {HOUR, "h"}, {60 * SECOND, "m"}, {SECOND, "s"}};

	for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
		if (ms && ms % units[i].ms == 0) {
			snprintf(out, size, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].unit);
			return;
		}
	}
	snprintf(out, size, ms ? "%llums" : "%llus", (unsigned long long)ms);
}

static void size_write(uint64_t bytes, char *out, size_t size)
{
	static const char suffix[] = "\0KMGT";
	unsigned power = 0;

	while (bytes && bytes % 1024 == 0 && power < 4) {
		bytes /= 1024;
		power++;
	}
	snprintf(out, size, power ? "%llu%c" : "%llu", (unsigned long long)bytes, suffix[power]);
}

void config_value(const struct config *config, const struct setting *setting, char *out, size_t size)
{
	const char *at = (const char *)config + setting->offset;
	uint64_t number = *(const uint64_t *)(const void *)at;

	switch (setting->kind) {
	case SETTING_TEXT:
		snprintf(out, size, "%s", *(char *const *)(const void *)at);
		return;
	case SETTING_DURATION:
		duration_write(number, out, size);
		return;
	case SETTING_SIZE:
		size_write(number, out, size);
		return;
	case SETTING_COUNT:
		snprintf(out, size, "%llu", (unsigned long long)number);
		return;
	case SETTING_FLAG:
		snprintf(out, size, "%s", number ? "true" : "false");
		return;
	case SETTING_CHOICE: {
		struct slice word = choice_word(setting->arg, number);

		snprintf(out, size, "%.*s", (int)word.len, word.ptr);
		return;
	}
	case SETTING_SYNC:
		if (number == JOURNAL_SYNC_INTERVAL)
			duration_write(config->sync_interval_ms, out, size);
		else
			snprintf(out, size, "%s", number == JOURNAL_SYNC_OS ? "os" : "always");
		return;
	}
}

void config_reload(struct config *config, const struct config *fresh, FILE *errors)
{
	char old[256], new[256];

	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *setting = &settings[i];

		config_value(config, setting, old, sizeof(old));
		config_value(fresh, setting, new, sizeof(new));
		if (strcmp(old, new) == 0)
			continue;
		if (!setting->reload) {
			fprintf(errors, "bide: %s stays %s until a restart (the configuration says %s)\n", setting->name, old,
				new);
			continue;
		}
		if (setting->kind == SETTING_TEXT) {
			char *copy = mem_dup(new, strlen(new));

			if (copy) {
				mem_free(*text_at(config, setting));
				*text_at(config, setting) = copy;
			}
		} else {
			uint64_t value;

			memcpy(&value, (const char *)fresh + setting->offset, sizeof(value));
			*number_at(config, setting) = value;
		}
		fprintf(errors, "bide: %s is %s now (was %s)\n", setting->name, new, old);
	}
}
