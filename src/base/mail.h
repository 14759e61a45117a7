/* The link by which a message travels from one thread to another; the first member of whatever travels. */
#pragma once

#include <stddef.h>

struct mail {
	struct mail *next;
};

/* First in, first out, of one thread. Zero-initialised is empty. */
struct mail_list {
	struct mail *first;
	struct mail *last;
};

static inline void mail_push(struct mail_list *list, struct mail *mail)
{
	mail->next = NULL;
	if (list->last)
		list->last->next = mail;
	else
		list->first = mail;
	list->last = mail;
}

static inline struct mail *mail_pop(struct mail_list *list)
{
	struct mail *mail = list->first;

	if (mail) {
		list->first = mail->next;
		if (!list->first)
			list->last = NULL;
	}
	return mail;
}
