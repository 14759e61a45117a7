#pragma once
/* One JSON object on one line of stdout: how a subcommand hands its figures to bench/run. */
#include "hist.h"

void report_begin(void);
void report_u64(const char *name, uint64_t value);
void report_f64(const char *name, double value);
void report_text(const char *name, const char *value); /* plain ASCII without quotes */
void report_hist(const char *name, const struct hist *hist);
void report_list(const char *name, const double *values, uint32_t count);
void report_end(void);
