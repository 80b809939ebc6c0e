/* An intrusive doubly linked list: a head and links inside the members' structs. A link that is in
 * no list points at itself (list_init). Nothing here allocates. */
#ifndef PROTO_BASE_LIST_H
#define PROTO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/check.h"

struct list {
    struct list *next, *previous;
};

#define LIST_HEAD(name) struct list name = {&(name), &(name)}

static inline void list_init(struct list *list) { list->next = list->previous = list; }
static inline bool list_is_empty(const struct list *list) { return list->next == list; }

static inline void list_insert_before(struct list *place, struct list *link)
{
    link->previous = place->previous;
    link->next = place;
    place->previous->next = link;
    place->previous = link;
}
static inline void list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}
static inline void list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}
/* Afterwards the link is in no list; doing it twice is harmless. */
static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}
/* The first link, taken out; NULL when there is none. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *link = head->next;
    if (link == head)
        return NULL;
    list_remove(link);
    return link;
}
/* Moves everything from one list to the end of another. */
static inline void list_splice_back(struct list *head, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->previous = head->previous;
    head->previous->next = from->next;
    from->previous->next = head;
    head->previous = from->previous;
    list_init(from);
}

#define LIST_FOR_EACH(link, head) \
    for (struct list *link = (head)->next; link != (head); link = link->next)
/* The current link may be removed inside the loop. */
#define LIST_FOR_EACH_SAFE(link, head)                                                             \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

#endif
