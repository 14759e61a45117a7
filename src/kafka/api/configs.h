/* Settings of topics as clients see them. */
#pragma once

#include "kafka/api/api_priv.h"

/* DescribeConfigs' numbers of where a value comes from. */
enum config_source { CONFIG_SOURCE_TOPIC = 1, CONFIG_SOURCE_SERVER = 4, CONFIG_SOURCE_DEFAULT = 5 };

/* What is said of a setting that cannot be. */
struct slice config_error_text(struct kafka_call *call, struct slice bad_key);
