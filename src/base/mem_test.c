#include "base/mem.h"
#include "base/panic.h"
#include "base/testing.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void the_nth_fails_once(void **state)
{
	(void)state;
	for (uint64_t n = 1; n < 20; n++) {
		mem_fail_nth(n);
		for (uint64_t i = 1; i < 40; i++) {
			char *ptr = i % 3 == 0 ? mem_alloc(i) : i % 3 == 1 ? mem_zalloc(i) : mem_realloc(NULL, i);

			assert_int_equal(ptr == NULL, i == n);
			mem_free(ptr);
		}
	}
	mem_fail_nth(1);
	mem_fail_nth(0);
	assert_null(mem_free(mem_alloc(1)));
	assert_null(mem_free(NULL));
}

static void a_failed_realloc_keeps_the_bytes(void **state)
{
	char *ptr = mem_dup("abc", 3), *more;

	(void)state;
	assert_non_null(ptr);
	assert_string_equal(ptr, "abc");
	mem_fail_nth(1);
	assert_null(mem_realloc(ptr, 10000));
	assert_string_equal(ptr, "abc");
	more = mem_realloc(ptr, 10000);
	assert_non_null(more);
	assert_string_equal(more, "abc");
	mem_free(more);
	mem_fail_nth(1);
	assert_null(mem_dup("abc", 3));
	ptr = mem_dup(NULL, 0);
	assert_string_equal(ptr, "");
	mem_free(ptr);
}

static void nothing_has_an_address_of_its_own(void **state)
{
	void *a = mem_alloc(0), *b = mem_zalloc(0), *c = mem_realloc(NULL, 0);

	(void)state;
	assert_true(a && b && c && a != b && b != c && a != c);
	mem_free(a);
	mem_free(b);
	mem_free(c);
}

enum { THREADS = 4, ALLOCATIONS = 40 };

static pthread_barrier_t start;

static void *allocate(void *ret_failures)
{
	unsigned *failures = ret_failures;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ALLOCATIONS; i++) {
		void *ptr = mem_alloc(16);

		*failures += ptr == NULL;
		mem_free(ptr);
	}
	return NULL;
}

/* Many threads count down together: one allocation fails, not two, not all from there on. */
static void one_fails_among_threads(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		pthread_t threads[THREADS];
		unsigned failures[THREADS] = {0}, sum = 0;

		pthread_barrier_init(&start, NULL, THREADS);
		mem_fail_nth(1 + (uint64_t)round % (THREADS * ALLOCATIONS / 2));
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, allocate, &failures[i]), 0);
		for (int i = 0; i < THREADS; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			sum += failures[i];
		}
		pthread_barrier_destroy(&start);
		assert_int_equal(sum, 1);
	}
}

/* A programmer's error ends the program by SIGABRT and says where. */
static void panic_aborts_and_tells(void **state)
{
	char said[512] = {0};
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(fds[1], STDERR_FILENO);
		ENSURE(1 + 1 == 2);
		ENSURE(1 + 1 == 3);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "mem_test.c:"));
	assert_non_null(strstr(said, "\"1 + 1 == 3\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_fails_once),
		cmocka_unit_test(a_failed_realloc_keeps_the_bytes),
		cmocka_unit_test(nothing_has_an_address_of_its_own),
		cmocka_unit_test(one_fails_among_threads),
		cmocka_unit_test(panic_aborts_and_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
