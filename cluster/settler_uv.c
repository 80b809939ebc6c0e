/* A ticket is what the other thread holds. It lives until that thread has given it back, and points to
 * the wait only as long as somebody waits; the desk is what tickets come back to, and outlives the
 * settler while tickets are out. */
#include "cluster/settler.h"

#include <pthread.h>
#include <stdlib.h>

#include <uv.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

struct desk {
    pthread_mutex_t mutex;          /* guards what follows */
    struct list returned;           /* tickets */
    uv_async_t *wake;               /* NULL: the settler is gone */
    size_t references;              /* tickets that are out or returned, and the settler */
};

struct ticket {
    struct desk *desk;
    struct list link;               /* in desk->returned */
    struct settle_wait *wait;       /* the loop's; NULL: nobody waits */
};

struct settler {
    uv_async_t wake;
    uv_timer_t timer;
    settle_call settle;
    void *context;
    struct desk *desk;
    struct list waiting;            /* in the order of their deadlines: all wait equally long */
    int open_handles;
    void (*closed)(void *context);
    void *closed_context;
};

/* ---- the desk; any thread ---- */

static void desk_unref_locked(struct desk *desk)
{
    bool is_last = --desk->references == 0;
    pthread_mutex_unlock(&desk->mutex);
    if (!is_last)
        return;
    pthread_mutex_destroy(&desk->mutex);
    free(desk);
}

static void on_settled(void *argument)
{
    struct ticket *ticket = argument;
    struct desk *desk = ticket->desk;
    pthread_mutex_lock(&desk->mutex);
    if (desk->wake) {
        list_push_back(&desk->returned, &ticket->link);
        uv_async_send(desk->wake);
        pthread_mutex_unlock(&desk->mutex);
    } else {
        free(ticket);
        desk_unref_locked(desk);
    }
}

/* ---- the loop ---- */

static void ticket_free(struct ticket *ticket)
{
    struct desk *desk = ticket->desk;
    free(ticket);
    pthread_mutex_lock(&desk->mutex);
    desk_unref_locked(desk);
}

static void finish(struct settle_wait *wait)
{
    settler_cancel(wait);
    wait->done(wait);
}

static void on_wake(uv_async_t *wake)
{
    struct settler *settler = container_of(wake, struct settler, wake);
    struct desk *desk = settler->desk;
    struct list returned;
    list_init(&returned);
    pthread_mutex_lock(&desk->mutex);
    list_splice_back(&returned, &desk->returned);
    pthread_mutex_unlock(&desk->mutex);
    for (struct list *link; (link = list_pop_front(&returned));) {
        struct ticket *ticket = container_of(link, struct ticket, link);
        struct settle_wait *wait = ticket->wait;
        if (wait)
            finish(wait);
        ticket_free(ticket);
    }
}

static void set_timer(struct settler *settler);

static void on_timer(uv_timer_t *timer)
{
    struct settler *settler = container_of(timer, struct settler, timer);
    uint64_t now = uv_now(timer->loop);
    while (!list_is_empty(&settler->waiting)) {
        struct settle_wait *wait = container_of(settler->waiting.next, struct settle_wait, link);
        if (wait->deadline_ms > now)
            break;
        finish(wait);
    }
    set_timer(settler);
}

static void set_timer(struct settler *settler)
{
    if (list_is_empty(&settler->waiting))
        return;
    struct settle_wait *first = container_of(settler->waiting.next, struct settle_wait, link);
    uint64_t now = uv_now(settler->timer.loop);
    CHECK(uv_timer_start(&settler->timer, on_timer,
                         first->deadline_ms > now ? first->deadline_ms - now : 0, 0) == 0);
}

void settler_wait(struct settler *settler, struct settle_wait *wait)
{
    struct desk *desk = settler->desk;
    struct ticket *ticket = mem_xzalloc(sizeof(*ticket));
    ticket->desk = desk;
    ticket->wait = wait;
    list_init(&ticket->link);
    wait->ticket = ticket;
    wait->deadline_ms = uv_now(settler->timer.loop) + SOCKET_SETTLE_MAX_MS;
    list_push_back(&settler->waiting, &wait->link);
    if (!uv_is_active((uv_handle_t *)&settler->timer))
        set_timer(settler);
    pthread_mutex_lock(&desk->mutex);
    desk->references++;
    pthread_mutex_unlock(&desk->mutex);
    settler->settle(settler->context, on_settled, ticket);
}

void settler_cancel(struct settle_wait *wait)
{
    if (!wait->ticket)
        return;
    wait->ticket->wait = NULL;
    wait->ticket = NULL;
    list_remove(&wait->link);
}

/* ---- life ---- */

struct settler *settler_new(struct uv_loop_s *loop, settle_call settle, void *context)
{
    struct settler *settler = mem_xzalloc(sizeof(*settler));
    settler->settle = settle;
    settler->context = context;
    settler->open_handles = 2;
    list_init(&settler->waiting);
    CHECK(uv_async_init(loop, &settler->wake, on_wake) == 0);
    CHECK(uv_timer_init(loop, &settler->timer) == 0);
    settler->desk = mem_xzalloc(sizeof(*settler->desk));
    CHECK(pthread_mutex_init(&settler->desk->mutex, NULL) == 0);
    list_init(&settler->desk->returned);
    settler->desk->wake = &settler->wake;
    settler->desk->references = 1;
    return settler;
}

static void on_handle_closed(struct settler *settler)
{
    if (--settler->open_handles)
        return;
    void (*closed)(void *) = settler->closed;
    void *context = settler->closed_context;
    free(settler);
    closed(context);
}

static void on_wake_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_async_t *)handle, struct settler, wake));
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)handle, struct settler, timer));
}

void settler_close(struct settler *settler, void (*closed)(void *context), void *context)
{
    struct desk *desk = settler->desk;
    CHECK(list_is_empty(&settler->waiting));
    settler->closed = closed;
    settler->closed_context = context;
    pthread_mutex_lock(&desk->mutex);
    for (struct list *link; (link = list_pop_front(&desk->returned));) {
        free(container_of(link, struct ticket, link));
        desk->references--;
    }
    desk->wake = NULL;
    desk_unref_locked(desk);
    uv_close((uv_handle_t *)&settler->wake, on_wake_closed);
    uv_close((uv_handle_t *)&settler->timer, on_timer_closed);
}
