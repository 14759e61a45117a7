#include "journal/mapped.h"

#include "base/crc32c.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

/* Where this thread goes on when what it looks at cannot be read; NULL: it does not look. */
static _Thread_local sigjmp_buf *volatile looking;

static void on_bus_error(int sig)
{
	if (looking)
		siglongjmp(*looking, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* For each mapping again, whoever may have wanted the signal since. */
static void take_bus_errors(void)
{
	struct sigaction action = {.sa_handler = on_bus_error};

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}

/* It is blocked in the handler, and a jump out of that leaves it so: to keep and restore the mask would be a system call for each
 * look, of which hardly one fails. */
static void unblock_bus_errors(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

const char *mapped_new(int fd, size_t len)
{
	char *mapped = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);

	if (mapped == MAP_FAILED)
		return NULL;
	take_bus_errors();
	return mapped;
}

void mapped_free(const char *mapped, size_t len)
{
	if (mapped)
		munmap((char *)(uintptr_t)mapped, len);
}

int mapped_crc32c(const char *at, size_t len, uint32_t *ret_crc)
{
	sigjmp_buf back;
	uint32_t crc;

	if (sigsetjmp(back, 0)) {
		looking = NULL;
		unblock_bus_errors();
		return -EIO;
	}
	looking = &back;
	crc = crc32c(0, at, len);
	looking = NULL;
	*ret_crc = crc;
	return 0;
}
