#include "report.h"

#include <stdio.h>

static const char *report_comma = "";

static void report_name(const char *name)
{
	printf("%s\"%s\":", report_comma, name);
	report_comma = ",";
}

void report_begin(void)
{
	putchar('{');
	report_comma = "";
}

void report_u64(const char *name, uint64_t value)
{
	report_name(name);
	printf("%llu", (unsigned long long)value);
}

void report_f64(const char *name, double value)
{
	report_name(name);
	printf("%.6g", value);
}

void report_text(const char *name, const char *value)
{
	report_name(name);
	printf("\"%s\"", value);
}

void report_hist(const char *name, const struct hist *hist)
{
	static const struct {
		const char *name;
		double fraction;
	} quantiles[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}};
	report_name(name);
	printf("{\"count\":%llu", (unsigned long long)hist->count);
	if (hist->count > 0) {
		printf(",\"mean_us\":%.2f", (double)hist->sum_ns / (double)hist->count / 1e3);
		for (uint32_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
			printf(",\"%s\":%.2f", quantiles[i].name, (double)hist_quantile_ns(hist, quantiles[i].fraction) / 1e3);
		printf(",\"min_us\":%.2f,\"max_us\":%.2f", (double)hist->min_ns / 1e3, (double)hist->max_ns / 1e3);
	}
	putchar('}');
}

void report_list(const char *name, const double *values, uint32_t count)
{
	report_name(name);
	for (uint32_t i = 0; i < count; i++)
		printf("%c%.2f", i == 0 ? '[' : ',', values[i]);
	fputs(count == 0 ? "[]" : "]", stdout);
}

void report_end(void)
{
	puts("}");
	fflush(stdout);
}
