/* The tables against Apache Kafka's own definitions of its messages (clients/src/main/resources/common/message in its sources),
 * for every version offered: the same fields in the same order, of the same types, with the same nulls, tags and defaults.
 * BIDE_KAFKA_MESSAGES in the environment names the folder they lie in. */
#include "base/buf.h"
#include "base/testing.h"
#include "kafka/codec/tables_priv.h"

#include <ctype.h>
#include <jansson.h>
#include <limits.h>

struct place {
	const struct kafka_table *table;
	const json_t *common; /* structures that fields name; may be NULL */
	int version;
};

#define EXPECT(condition, place, what)                                                                                           \
	do {                                                                                                                     \
		if (!(condition))                                                                                                \
			fail_msg("%s version %d: %s: %s", (place)->table->name, (place)->version, what, #condition);             \
	} while (0)

static void fields_match(const struct place *place, const json_t *fields);

/* "3+", "2-7", "4", "none" */
static bool spoken_has(const char *versions, int version)
{
	char *end;
	long from, last;

	if (!versions || strcmp(versions, "none") == 0)
		return false;
	from = last = strtol(versions, &end, 10);
	if (*end == '+')
		last = LONG_MAX;
	else if (*end == '-')
		last = strtol(end + 1, NULL, 10);
	return version >= from && version <= last;
}

static const char *text_of(const json_t *field, const char *key)
{
	return json_string_value(json_object_get(field, key));
}

/* TimeoutMs is timeout_ms here, and timeoutMs the same. */
static bool same_name(const char *spoken, const char *ours)
{
	for (; *spoken; spoken++, ours++) {
		while (*ours == '_')
			ours++;
		if (tolower((unsigned char)*spoken) != *ours)
			return false;
	}
	return *ours == '\0';
}

static int kind_of(const char *type)
{
	static const struct {
		const char *type;
		enum kafka_kind kind;
	} kinds[] = {{"bool", KAFKA_BOOL},     {"int8", KAFKA_INT8},   {"int16", KAFKA_INT16},
		     {"int32", KAFKA_INT32},   {"int64", KAFKA_INT64}, {"uuid", KAFKA_UUID},
		     {"string", KAFKA_STRING}, {"bytes", KAFKA_BYTES}, {"records", KAFKA_RECORDS}};

	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		if (strcmp(kinds[i].type, type) == 0)
			return (int)kinds[i].kind;
	return KAFKA_STRUCT;
}

static const json_t *fields_of(const struct place *place, const json_t *field, const char *type)
{
	const json_t *fields = json_object_get(field, "fields"), *structure;
	size_t i;

	json_array_foreach(place->common, i, structure) if (!fields && strcmp(text_of(structure, "name"), type) == 0) fields =
		json_object_get(structure, "fields");
	return fields;
}

static void default_matches(const struct place *place, const json_t *said, const struct kafka_field *field)
{
	const json_t *preset = json_object_get(said, "default");
	const char *text = json_string_value(preset);
	json_int_t number = 0;

	if (json_is_integer(preset))
		number = json_integer_value(preset);
	else if (json_is_true(preset) || (text && strcmp(text, "true") == 0))
		number = 1;
	else if (text && kind_of(text_of(said, "type")) <= KAFKA_INT64 && kind_of(text_of(said, "type")) != KAFKA_BOOL)
		number = strtoll(text, NULL, 0);
	EXPECT(field->preset == number, place, field->name);
	EXPECT(field->preset_null == (text && strcmp(text, "null") == 0), place, field->name);
}

static void field_matches(const struct place *place, const json_t *said, const struct kafka_field *field)
{
	const char *type = text_of(said, "type"), *tagged = text_of(said, "taggedVersions"),
		   *plain = text_of(said, "flexibleVersions");
	bool array = strncmp(type, "[]", 2) == 0;
	int kind = kind_of(array ? type + 2 : type);

	EXPECT(same_name(text_of(said, "name"), field->name), place, field->name);
	EXPECT(field->kind == (array ? KAFKA_ARRAY_OF : kind), place, field->name);
	EXPECT(!array || field->element == kind, place, field->name);
	EXPECT(kafka_span_has(field->nulls, place->version) == spoken_has(text_of(said, "nullableVersions"), place->version),
	       place, field->name);
	EXPECT(field->tagged == spoken_has(tagged, place->version), place, field->name);
	EXPECT(!tagged || field->tag == json_integer_value(json_object_get(said, "tag")), place, field->name);
	EXPECT(field->plain == (plain && strcmp(plain, "none") == 0), place, field->name);
	default_matches(place, said, field);
	if (kind == KAFKA_STRUCT) {
		struct place inside = {field->of, place->common, place->version};
		const json_t *fields = fields_of(place, said, array ? type + 2 : type);

		EXPECT(fields, place, field->name);
		fields_match(&inside, fields);
	}
}

static void fields_match(const struct place *place, const json_t *fields)
{
	const json_t *said;
	size_t i, at = 0;

	json_array_foreach(fields, i, said)
	{
		if (!spoken_has(text_of(said, "versions"), place->version))
			continue;
		while (at < place->table->count && !kafka_span_has(place->table->fields[at].versions, place->version))
			at++;
		EXPECT(at < place->table->count, place, text_of(said, "name"));
		field_matches(place, said, &place->table->fields[at++]);
	}
	for (; at < place->table->count; at++)
		EXPECT(!kafka_span_has(place->table->fields[at].versions, place->version), place, place->table->fields[at].name);
}

/* JSON with comments from // to the end of a line; no string in these files has a // in it. */
static json_t *load(const char *folder, const char *name)
{
	char path[512];
	struct buf text = {0};
	char *line = NULL;
	size_t room = 0;
	json_t *json;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.json", folder, name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s cannot be opened", path);
	while (getline(&line, &room, file) >= 0) {
		char *comment = strstr(line, "//");

		buf_append(&text, line, comment ? (size_t)(comment - line) : strlen(line));
	}
	fclose(file);
	free(line);
	json = json_loadb(text.ptr, text.len, 0, NULL);
	if (!json)
		fail_msg("%s cannot be read", path);
	buf_deinit(&text);
	return json;
}

static const char *folder_or_skip(void)
{
	const char *folder = getenv("BIDE_KAFKA_MESSAGES");

	if (!folder || !*folder) {
		print_message("skipped: not there: BIDE_KAFKA_MESSAGES names no folder of message definitions\n");
		skip();
	}
	return folder;
}

/* offset_fetch gives OffsetFetch and what is behind it. */
static void file_name(const char *name, const char *behind, char *to)
{
	bool first = true;

	for (; *name; name++) {
		if (*name != '_')
			*to++ = (char)(first ? toupper((unsigned char)*name) : *name);
		first = *name == '_';
	}
	memcpy(to, behind, strlen(behind) + 1);
}

/* What came after definitions that are still around; Produce 12 and TxnOffsetCommit 5 are written as the versions before. */
static bool is_newer(int key, int version)
{
	return (key == KAFKA_CONSUMER_GROUP_DESCRIBE && version == 1) || (key == KAFKA_PRODUCE && version == 12) ||
	       (key == KAFKA_TXN_OFFSET_COMMIT && version == 5);
}

static void message_matches(const char *folder, const struct kafka_api *api, bool request)
{
	char name[64];
	json_t *json;

	file_name(api->name, request ? "Request" : "Response", name);
	json = load(folder, name);
	assert_int_equal(json_integer_value(json_object_get(json, "apiKey")), api->key);
	for (int version = api->first; version <= api->last[KAFKA_OFFER_ALL]; version++) {
		struct place place = {request ? api->request : api->response, json_object_get(json, "commonStructs"), version};

		if (is_newer(api->key, version) && !spoken_has(text_of(json, "validVersions"), version)) {
			print_message("%s version %d is newer than these definitions\n", name, version);
			continue;
		}
		EXPECT(spoken_has(text_of(json, "validVersions"), version), &place, name);
		EXPECT(spoken_has(text_of(json, "flexibleVersions"), version) == (version >= api->flexible), &place, name);
		fields_match(&place, json_object_get(json, "fields"));
	}
	json_decref(json);
}

static void test_messages(void **state)
{
	const char *folder = folder_or_skip();

	(void)state;
	for (int key = 0; key < KAFKA_KEY_END; key++) {
		const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, key);

		if (!api)
			continue;
		message_matches(folder, api, true);
		message_matches(folder, api, false);
	}
}

static void test_headers(void **state)
{
	const char *folder = folder_or_skip();
	json_t *request = load(folder, "RequestHeader"), *response = load(folder, "ResponseHeader");

	(void)state;
	for (int version = 1; version <= 2; version++)
		fields_match(&(struct place){&kafka_request_header_table, NULL, version}, json_object_get(request, "fields"));
	for (int version = 0; version <= 1; version++)
		fields_match(&(struct place){&kafka_response_header_table, NULL, version}, json_object_get(response, "fields"));
	json_decref(request);
	json_decref(response);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
