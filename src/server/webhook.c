/* The deliverer's thread and its line.
 *
 * Hooks come by a box under a lock; curl_multi_poll sleeps until a socket moves or curl_multi_wakeup is called, and for ever
 * when nothing is under way. */
#include "server/webhook_post.h"

#include "base/mem.h"

#include <limits.h>
#include <pthread.h>

enum { STACK_BYTES = 1024 * 1024 };

struct webhooks {
	struct webhooks_config config;
	CURLM *multi; /* NULL: not begun */
	pthread_t thread;
	pthread_mutex_t lock;
	struct mail_list box;        /* under the lock */
	bool stop;                   /* under the lock */
	struct webhooks_stats stats; /* under the lock */
	/* The deliverer's thread alone. */
	struct mail_list line, again; /* those that have to wait: first tries, and further ones */
	struct list posts;            /* those under way */
	unsigned at_once, again_at_once;
};

static struct hook *hook_of(struct mail *mail)
{
	return container_of(container_of(mail, struct message, mail), struct hook, message);
}

static void count(struct webhooks *w, enum hook_result result)
{
	uint64_t *const totals[] = {
		[HOOK_FAILED] = &w->stats.failed_total,
		[HOOK_ANSWERED] = &w->stats.answered_total,
		[HOOK_DONE] = &w->stats.done_total,
	};

	pthread_mutex_lock(&w->lock);
	w->stats.pending--;
	++*totals[result];
	pthread_mutex_unlock(&w->lock);
}

static void report(struct webhooks *w, const struct hooked_in *hooked)
{
	count(w, hooked->result);
	w->config.report(w->config.ctx, hooked);
}

/* It is not posted at all: as if nobody had answered. */
static void give_up(struct webhooks *w, struct hook *hook)
{
	report(w, &(struct hooked_in){hook->view->number, hook->view->generation, HOOK_FAILED});
	message_free(&hook->message);
}

/* --- the thread --- */

/* False: leave. */
static bool read_box(struct webhooks *w)
{
	struct mail *mail;
	bool stop;

	pthread_mutex_lock(&w->lock);
	while ((mail = mail_pop(&w->box)))
		mail_push(hook_of(mail)->view->attempts ? &w->again : &w->line, mail);
	stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	return !stop;
}

/* How long it may take; 0: it is too late. */
static uint64_t patience_ms(const struct webhooks *w, const struct subscription_view *view)
{
	uint64_t now_ms = w->config.unix_ms(w->config.ctx), until_ms = view->lease_until_ms;

	if (!until_ms || until_ms >= now_ms + w->config.timeout_ms)
		return w->config.timeout_ms;
	return until_ms > now_ms ? until_ms - now_ms : 0;
}

static void begin(struct webhooks *w, struct hook *hook)
{
	uint64_t timeout_ms = patience_ms(w, hook->view);
	struct post *post = timeout_ms ? post_new(hook->view, &w->config, timeout_ms) : NULL;

	if (!post || curl_multi_add_handle(w->multi, post->easy)) {
		post_free(post);
		give_up(w, hook);
		return;
	}
	message_free(&hook->message);
	list_push_back(&w->posts, &post->node);
	w->at_once++;
	w->again_at_once += post->again;
}

/* The next whose turn it is; NULL: nobody's. */
static struct hook *next(struct webhooks *w)
{
	struct mail *mail = NULL;

	if (w->at_once == w->config.at_once_max)
		return NULL;
	if (w->again_at_once < (w->config.at_once_max + 1) / 2)
		mail = mail_pop(&w->again);
	if (!mail)
		mail = mail_pop(&w->line);
	return mail ? hook_of(mail) : NULL;
}

static void let_go(struct webhooks *w, struct post *post)
{
	curl_multi_remove_handle(w->multi, post->easy);
	list_remove(&post->node);
	w->at_once--;
	w->again_at_once -= post->again;
	post_free(post);
}

static void end(struct webhooks *w, struct post *post, CURLcode code)
{
	post_ended(post, code);
	report(w, &post->hooked);
	let_go(w, post);
}

static void end_those_over(struct webhooks *w)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(w->multi, &left))) {
		CURLcode code = message->data.result;
		char *post;

		if (message->msg == CURLMSG_DONE && curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &post) == CURLE_OK)
			end(w, (struct post *)(void *)post, code);
	}
}

static void drop(struct mail_list *list)
{
	struct mail *mail;

	while ((mail = mail_pop(list)))
		message_free(&hook_of(mail)->message);
}

static void break_off(struct webhooks *w)
{
	while (!list_empty(&w->posts))
		let_go(w, list_first(&w->posts, struct post, node));
	drop(&w->line);
	drop(&w->again);
}

static void *deliver(void *ctx)
{
	struct webhooks *w = ctx;
	struct hook *hook;
	unsigned before;
	int running;

	while (read_box(w)) {
		while ((hook = next(w)))
			begin(w, hook);
		before = w->at_once;
		curl_multi_perform(w->multi, &running);
		end_those_over(w);
		if (w->at_once == before)
			curl_multi_poll(w->multi, NULL, 0, INT_MAX, NULL);
	}
	break_off(w);
	return NULL;
}

/* --- the sequencer's thread --- */

struct webhooks *webhooks_new(const struct webhooks_config *config)
{
	struct webhooks *w = mem_zalloc(sizeof(*w));

	if (!w)
		return NULL;
	w->config = *config;
	pthread_mutex_init(&w->lock, NULL);
	list_init(&w->posts);
	return w;
}

static bool start(struct webhooks *w)
{
	pthread_attr_t attributes;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return false;
	w->multi = curl_multi_init();
	if (!w->multi)
		return false;
	curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)w->config.at_once_max);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	r = pthread_create(&w->thread, &attributes, deliver, w);
	pthread_attr_destroy(&attributes);
	if (r) {
		curl_multi_cleanup(w->multi);
		w->multi = NULL;
	}
	return r == 0;
}

void webhooks_send(struct webhooks *w, struct hook *hook)
{
	bool runs = w->multi || start(w);

	pthread_mutex_lock(&w->lock);
	w->stats.pending++;
	if (runs)
		mail_push(&w->box, &hook->message.mail);
	pthread_mutex_unlock(&w->lock);
	if (runs)
		curl_multi_wakeup(w->multi);
	else
		give_up(w, hook);
}

void webhooks_stats(struct webhooks *w, struct webhooks_stats *ret_stats)
{
	pthread_mutex_lock(&w->lock);
	*ret_stats = w->stats;
	pthread_mutex_unlock(&w->lock);
}

struct webhooks *webhooks_free(struct webhooks *w)
{
	if (!w)
		return NULL;
	if (w->multi) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_mutex_unlock(&w->lock);
		curl_multi_wakeup(w->multi);
		pthread_join(w->thread, NULL);
		curl_multi_cleanup(w->multi);
	}
	drop(&w->box);
	pthread_mutex_destroy(&w->lock);
	return mem_free(w);
}
