#include "cluster/loop_internal_uv.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cluster/net_uv.h"
#include "proto/base/mem.h"

/* Spinning before sleep: a caller that was answered asks again within this, mostly, and waking an idle
 * core would cost it more. Given up while it does not pay, tried again now and then. A yield that takes
 * as long as a spin has met somebody who computes: asleep, the loop would be woken before him. */
#define SPIN_NS 50000
#define SPIN_MISSES_MAX 12
#define SPIN_RETRY 64

/* ---- small things ---- */

void loop_say(void *context, const char *line)
{
    struct member *member = context;
    if (member->log)
        member->log(member->log_context, line);
    else
        fprintf(stderr, "concordfs: %s\n", line);
}

static void on_idle(uv_idle_t *idle) { (void)idle; }

void loop_want_turn(void *context)
{
    struct member *member = context;
    member->turn_wanted = true;
    if (!member->in_turn && !uv_is_active((uv_handle_t *)&member->idle))
        uv_idle_start(&member->idle, on_idle);
}

/* The loop has heard of something: spin on from here. */
static void spin_hit(struct member *member)
{
    struct spin *spin = &member->spin;
    if (!spin->possible)
        return;
    if (spin->until_ns)
        spin->misses = 0;
    else if (spin->misses >= SPIN_MISSES_MAX && ++spin->skipped % SPIN_RETRY != 0)
        return;
    spin->until_ns = clock_monotonic_ns(clock_system()) + SPIN_NS;
}

/* Whether to look again instead of sleeping. In between the core is offered to whoever else is ready: the
 * caller that was just answered, most likely, which comes back at once. */
static bool spin_on(struct member *member)
{
    struct spin *spin = &member->spin;
    if (!spin->until_ns)
        return false;
    int64_t now = clock_monotonic_ns(clock_system());
    if (now < spin->until_ns) {
        sched_yield();
        if (clock_monotonic_ns(clock_system()) - now < SPIN_NS)
            return true;
        spin->misses += SPIN_MISSES_MAX;
    }
    spin->misses++;
    spin->until_ns = 0;
    return false;
}

static void worker_wake(void *context)
{
    struct member *member = context;
    uv_async_send(&member->async);
}

static void mailbox_drain(struct member *member)
{
    LIST_HEAD(posts);
    pthread_mutex_lock(&member->mutex);
    list_splice_back(&posts, &member->mailbox);
    pthread_mutex_unlock(&member->mutex);
    struct list *link;
    while ((link = list_pop_front(&posts))) {
        struct post *post = container_of(link, struct post, link);
        post->call(post->context);
        free(post);
    }
}

static void on_async(uv_async_t *async)
{
    struct member *member = container_of(async, struct member, async);
    spin_hit(member);
    if (member->workers)        /* gone first where a start was refused: a wake may be under way */
        worker_threads_complete(member->workers);
    mailbox_drain(member);
}

static void on_timer(uv_timer_t *timer)
{
    struct member *member = container_of(timer, struct member, timer);
    member->armed_ns = INT64_MAX;
    loop_want_turn(member);
}

static int64_t next_wake_ns(const struct member *member)
{
    if (!member->node)
        return opening_next_wake_ns(&member->opening);
    int64_t node = node_next_wake_ns(member->node);
    int64_t arrival = arrival_next_wake_ns(&member->arrival);
    return node < arrival ? node : arrival;
}

static void arm_timer(struct member *member)
{
    int64_t next = next_wake_ns(member);
    if (next == member->armed_ns)
        return;
    member->armed_ns = next;
    if (next == INT64_MAX) {
        uv_timer_stop(&member->timer);
        return;
    }
    int64_t now = clock_monotonic_ns(clock_system());
    uint64_t delay_ms = next > now ? (uint64_t)(next - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    uv_timer_start(&member->timer, on_timer, delay_ms, 0);
}

static void on_socket_closed(void *context)
{
    struct member *member = context;
    member->socket = NULL;
    member->socket_closed = true;
    node_stop(member->node);
    loop_want_turn(member);
}

static void begin_stop(struct member *member)
{
    if (member->stopping || !member->node)
        return;
    member->stopping = true;
    arrival_stop(&member->arrival);
    if (member->socket)
        socket_close(member->socket, on_socket_closed, member);
    else
        on_socket_closed(member);
}

/* The node's turn, or before there is one, that of the request to join. */
static bool turn(struct member *member)
{
    if (!member->node) {
        opening_turn(&member->opening);
        return false;
    }
    bool more = node_turn(member->node);
    arrival_turn(&member->arrival);
    return more;
}

static void on_check(uv_check_t *check)
{
    struct member *member = container_of(check, struct member, check);
    bool more = false;
    if (member->turn_wanted) {
        member->turn_wanted = false;
        member->in_turn = true;
        more = turn(member);
        member->in_turn = false;
        arm_timer(member);
    }
    if (more)
        member->turn_wanted = true;
    if (member->turn_wanted || spin_on(member))
        uv_idle_start(&member->idle, on_idle);
    else
        uv_idle_stop(&member->idle);
    if (!member->node)
        return;
    if (node_fault(member->node, NULL) != ERR_OK)
        begin_stop(member);
    if (member->socket_closed && node_is_stopped(member->node) &&
        arrival_is_idle(&member->arrival))
        uv_stop(&member->loop);
}

/* ---- opening ---- */

static struct member *member_new(const struct member_options *options)
{
    struct member *member = mem_xzalloc(sizeof *member);
    member->folder.lock_fd = -1;
    member->trace = options->trace;
    member->log = options->log;
    member->log_context = options->log_context;
    member->progress = options->progress;
    member->armed_ns = INT64_MAX;
    pthread_mutex_init(&member->mutex, NULL);
    list_init(&member->mailbox);
    CHECK(uv_loop_init(&member->loop) == 0);
    CHECK(uv_async_init(&member->loop, &member->async, on_async) == 0);
    uv_check_init(&member->loop, &member->check);
    uv_idle_init(&member->loop, &member->idle);
    uv_timer_init(&member->loop, &member->timer);
    uv_check_start(&member->check, on_check);
    member->spin.possible = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    member->workers = worker_threads_new(worker_wake, member);
    return member;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_net_closed(void *context)
{
    struct member *member = context;
    member->net_closed = true;
    uv_stop(&member->loop);
}

/* What was said last is still sent, within NET_LINGER_MAX_MS. */
static void close_net(struct member *member)
{
    if (!member->net)
        return;
    net_uv_close(member->net, on_net_closed, member);
    while (!member->net_closed)
        uv_run(&member->loop, UV_RUN_ONCE);
    member->net = NULL;
}

static void member_free(struct member *member)
{
    member->node = NULL;
    close_net(member);
    arrival_release(&member->arrival);
    if (member->workers)
        worker_threads_free(member->workers);
    mailbox_drain(member);
    uv_walk(&member->loop, close_handle, NULL);
    uv_run(&member->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&member->loop) == 0);
    home_leveldb_free(member->home);
    datadir_close(&member->folder);
    pthread_mutex_destroy(&member->mutex);
    free(member->socket_path);
    free(member);
}

enum err_code member_open(struct member **ret, const struct member_options *options,
                          struct err *err)
{
    struct member *member = member_new(options);
    enum err_code code = open_member(member, options, err);
    if (code != ERR_OK) {
        if (member->node) {
            loop_stop(member);
            worker_threads_free(member->workers);
            member->workers = NULL;
            node_abandon(member->node);
        }
        member_free(member);
        return code;
    }
    loop_want_turn(member);
    *ret = member;
    return ERR_OK;
}

struct kv *member_kv(struct member *member) { return node_kv(member->node); }
const char *member_data_path(const struct member *member) { return member->folder.path; }
struct uv_loop_s *member_loop(struct member *member) { return &member->loop; }

bool member_is_behind(const struct member *member)
{
    return arrival_is_behind(&member->arrival);
}

void loop_stop(struct member *member)
{
    begin_stop(member);
    loop_want_turn(member);
    uv_run(&member->loop, UV_RUN_DEFAULT);
}

/* ---- running ---- */

enum err_code member_run(struct member *member, struct err *err)
{
    uv_run(&member->loop, UV_RUN_DEFAULT);
    return node_fault(member->node, err);
}

static void stop_posted(void *context) { begin_stop(context); }

void member_stop(struct member *member) { member_post(member, stop_posted, member); }

enum err_code member_close(struct member *member, struct err *err)
{
    worker_threads_free(member->workers);
    member->workers = NULL;
    bool promised_nothing = node_was_met_before(member->node);
    enum err_code code = node_close(member->node, err);
    if (promised_nothing)
        opening_undo(&member->opening);
    member_free(member);
    return code;
}

void member_post(struct member *member, void (*call)(void *context), void *context)
{
    struct post *post = mem_xalloc(sizeof *post);
    post->call = call;
    post->context = context;
    pthread_mutex_lock(&member->mutex);
    list_push_back(&member->mailbox, &post->link);
    pthread_mutex_unlock(&member->mutex);
    uv_async_send(&member->async);
}

/* ---- what the loop lends ---- */

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct member_poll *poll = handle->data;
    if (!poll)
        return;
    spin_hit(container_of(handle->loop, struct member, loop));
    poll->readable(poll);
}

static void free_handle(uv_handle_t *handle) { free(handle); }

void member_poll_start(struct member *member, struct member_poll *poll)
{
    uv_poll_t *handle = mem_xzalloc(sizeof *handle);
    CHECK(uv_poll_init(&member->loop, handle, poll->fd) == 0);
    handle->data = poll;
    poll->handle = handle;
    CHECK(uv_poll_start(handle, UV_READABLE | UV_DISCONNECT, on_readable) == 0);
}

void member_poll_stop(struct member *member, struct member_poll *poll)
{
    (void)member;
    uv_poll_t *handle = poll->handle;
    if (!handle)
        return;
    handle->data = NULL;
    poll->handle = NULL;
    uv_poll_stop(handle);
    uv_close((uv_handle_t *)handle, free_handle);
}

static void on_alarm(uv_timer_t *handle)
{
    struct member_alarm *alarm = handle->data;
    if (alarm)
        alarm->fire(alarm);
}

void member_alarm_set(struct member *member, struct member_alarm *alarm, int64_t delay_ms)
{
    uv_timer_t *handle = alarm->handle;
    if (!handle) {
        handle = mem_xzalloc(sizeof *handle);
        uv_timer_init(&member->loop, handle);
        handle->data = alarm;
        alarm->handle = handle;
    }
    if (delay_ms < 0)
        uv_timer_stop(handle);
    else
        uv_timer_start(handle, on_alarm, (uint64_t)delay_ms, 0);
}

void member_alarm_stop(struct member *member, struct member_alarm *alarm)
{
    (void)member;
    uv_timer_t *handle = alarm->handle;
    if (!handle)
        return;
    handle->data = NULL;
    alarm->handle = NULL;
    uv_close((uv_handle_t *)handle, free_handle);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct signal_handle *signal = container_of(handle, struct signal_handle, handle);
    signal->caught(signal->context, number);
}

void member_on_signal(struct member *member, int number,
                      void (*caught)(void *context, int number), void *context)
{
    CHECK(member->signal_count < SIGNALS_MAX);
    struct signal_handle *signal = &member->signals[member->signal_count++];
    signal->caught = caught;
    signal->context = context;
    uv_signal_init(&member->loop, &signal->handle);
    uv_signal_start(&signal->handle, on_signal, number);
}

void member_set_settle(struct member *member,
                       void (*settle)(void *context, void (*settled)(void *argument),
                                      void *argument),
                       void *context)
{
    member->settle = settle;
    member->settle_context = context;
}

void member_set_asked_to_stop(struct member *member, void (*asked)(void *context), void *context)
{
    member->asked_to_stop = asked;
    member->asked_context = context;
}
