#include "journal/io.h"

#include <signal.h>

static void *io_main(void *arg)
{
	struct io *io = arg;

	pthread_mutex_lock(&io->mutex);
	for (;;) {
		struct mail *mail = mail_pop(&io->jobs);
		struct io_job *job;

		if (!mail) {
			if (io->stop)
				break;
			pthread_cond_wait(&io->wake, &io->mutex);
			continue;
		}
		pthread_mutex_unlock(&io->mutex);
		job = container_of(mail, struct io_job, mail);
		job->run(job);
		pthread_mutex_lock(&io->mutex);
	}
	pthread_mutex_unlock(&io->mutex);
	return NULL;
}

int io_start(struct io *io, const char *name)
{
	sigset_t all, before;
	int r;

	pthread_mutex_init(&io->mutex, NULL);
	pthread_cond_init(&io->wake, NULL);
	io->jobs = (struct mail_list){0};
	io->stop = false;
	/* Signals belong to the threads that wait for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&io->thread, NULL, io_main, io);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0) {
		pthread_cond_destroy(&io->wake);
		pthread_mutex_destroy(&io->mutex);
		return -r;
	}
	pthread_setname_np(io->thread, name);
	io->running = true;
	return 0;
}

void io_stop(struct io *io)
{
	if (!io->running)
		return;
	pthread_mutex_lock(&io->mutex);
	io->stop = true;
	pthread_cond_signal(&io->wake);
	pthread_mutex_unlock(&io->mutex);
	pthread_join(io->thread, NULL);
	pthread_cond_destroy(&io->wake);
	pthread_mutex_destroy(&io->mutex);
	io->running = false;
}

void io_post(struct io *io, struct io_job *job)
{
	pthread_mutex_lock(&io->mutex);
	mail_push(&io->jobs, &job->mail);
	pthread_cond_signal(&io->wake);
	pthread_mutex_unlock(&io->mutex);
}
