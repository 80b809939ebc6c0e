#include "cluster/loop_uv.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "cluster/datadir.h"
#include "cluster/node.h"
#include "cluster/socket.h"
#include "cluster/worker.h"
#include "mvcc/home.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "wal/disk.h"

#define SIGNALS_MAX 4

/* Spinning before sleep: a caller that was answered asks again within this, mostly, and waking an idle
 * core would cost it more. Given up while it does not pay, tried again now and then. A yield that takes
 * as long as a spin has met somebody who computes: asleep, the loop would be woken before him. */
#define SPIN_NS 50000
#define SPIN_MISSES_MAX 12
#define SPIN_RETRY 64

struct post {
    struct list link;
    void (*call)(void *context);
    void *context;
};

struct signal_handle {
    uv_signal_t handle;
    void (*caught)(void *context, int number);
    void *context;
};

struct spin {
    bool possible;              /* there is a second core */
    int64_t until_ns;           /* 0: not spinning */
    unsigned misses;            /* in a row: nothing came before the spin ended */
    unsigned skipped;           /* occasions passed over since it was given up */
};

struct member {
    uv_loop_t loop;
    uv_async_t async;           /* the mailbox has something, or a worker is done */
    uv_check_t check;           /* after the loop has heard things: the node's turn */
    uv_idle_t idle;             /* active: the loop must not sleep */
    uv_timer_t timer;           /* the node's next wake */
    struct signal_handle signals[SIGNALS_MAX];
    size_t signal_count;

    pthread_mutex_t mutex;
    struct list mailbox;

    struct datadir folder;
    struct disk *disk;
    struct home *home;
    struct worker_threads *workers;
    struct node *node;
    struct socket *socket;
    char *socket_path;
    struct trace *trace;
    void (*log)(void *context, const char *line);
    void *log_context;
    void (*settle)(void *context, void (*settled)(void *argument), void *argument);
    void *settle_context;
    void (*asked_to_stop)(void *context);
    void *asked_context;
    struct spin spin;
    bool turn_wanted, in_turn, stopping, socket_closed;
    int64_t armed_ns;
};

/* ---- small things ---- */

static void say(struct member *member, const char *line)
{
    if (member->log)
        member->log(member->log_context, line);
    else
        fprintf(stderr, "concordfs: %s\n", line);
}

static void on_idle(uv_idle_t *idle) { (void)idle; }

/* The node, a worker's completion or the mailbox has something: the loop does not sleep before the
 * next turn. */
static void want_turn(void *context)
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
    worker_threads_complete(member->workers);
    mailbox_drain(member);
}

static void on_timer(uv_timer_t *timer)
{
    struct member *member = container_of(timer, struct member, timer);
    member->armed_ns = INT64_MAX;
    want_turn(member);
}

static void arm_timer(struct member *member)
{
    int64_t next = node_next_wake_ns(member->node);
    if (next == member->armed_ns)
        return;
    member->armed_ns = next;
    if (next == INT64_MAX) {
        uv_timer_stop(&member->timer);
        return;
    }
    int64_t delay_ns = next - clock_monotonic_ns(clock_system());
    uint64_t delay_ms = delay_ns > 0 ? (uint64_t)((delay_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
    uv_timer_start(&member->timer, on_timer, delay_ms, 0);
}

static void on_socket_closed(void *context)
{
    struct member *member = context;
    member->socket = NULL;
    member->socket_closed = true;
    node_stop(member->node);
    want_turn(member);
}

static void begin_stop(struct member *member)
{
    if (member->stopping)
        return;
    member->stopping = true;
    if (member->socket)
        socket_close(member->socket, on_socket_closed, member);
    else
        on_socket_closed(member);
}

static void on_check(uv_check_t *check)
{
    struct member *member = container_of(check, struct member, check);
    bool more = false;
    if (member->turn_wanted) {
        member->turn_wanted = false;
        member->in_turn = true;
        more = node_turn(member->node);
        member->in_turn = false;
        arm_timer(member);
    }
    if (more)
        member->turn_wanted = true;
    if (member->turn_wanted || spin_on(member))
        uv_idle_start(&member->idle, on_idle);
    else
        uv_idle_stop(&member->idle);
    if (node_fault(member->node, NULL) != ERR_OK)
        begin_stop(member);
    if (member->socket_closed && node_is_stopped(member->node))
        uv_stop(&member->loop);
}

/* ---- opening ---- */

static enum err_code open_store(struct member *member, bool create, struct store **ret,
                                struct err *err)
{
    struct backend *backend = NULL;
    enum err_code code = home_open(member->home, create, &backend, err);
    if (code != ERR_OK)
        return code;
    struct store_options options = {
        .backend = backend,
        .cluster_id = member->folder.identity.cluster_id,
        .member_id = member->folder.identity.member_id,
        .generation = member->folder.identity.generation,
        .create = create,
        .trace = member->trace,
    };
    return store_open(ret, &options, err);
}

static uint64_t wal_now_ns(void) { return (uint64_t)clock_monotonic_ns(clock_system()); }

static enum err_code open_wal(struct member *member, const struct member_options *options,
                              bool create, struct wal **ret, struct wal_recovery *ret_recovery,
                              struct err *err)
{
    struct wal_options wal_options = {
        .disk = member->disk,
        .folder = "wal",
        .segment_size = options->segment_size,
        .identity = {member->folder.identity.cluster_id, member->folder.identity.member_id,
                     member->folder.identity.generation},
        .create = create,
        .now_ns = wal_now_ns,
        .trace = options->trace,
    };
    return wal_open(&wal_options, ret, ret_recovery, err);
}

static void draw_identity(struct member *member, const char *name)
{
    struct identity *identity = &member->folder.identity;
    identity->cluster_id = rand_system_seed();
    identity->member_id = rand_system_seed() >> 1;
    identity->generation = rand_system_seed();
    if (name)
        snprintf(identity->name, sizeof identity->name, "%s", name);
    else if (gethostname(identity->name, sizeof identity->name - 1) != 0)
        snprintf(identity->name, sizeof identity->name, "member");
    for (char *at = identity->name; *at; at++)
        if (*at == '\n')
            *at = ' ';
}

/* The first start: log and store of a member that is alone, both durable, then the identity. Dying
 * before the identity stands leaves a folder that the next start clears first. */
static enum err_code first_start(struct member *member, const struct member_options *options,
                                 struct err *err)
{
    struct store *store = NULL;
    struct wal *wal = NULL;
    struct wal_recovery recovery = {0};
    draw_identity(member, options->name);
    struct membership_member first = {.id = member->folder.identity.member_id};
    memcpy(first.name, member->folder.identity.name, sizeof first.name);
    enum err_code code = open_store(member, true, &store, err);
    if (code == ERR_OK)
        code = open_wal(member, options, true, &wal, &recovery, err);
    if (code == ERR_OK)
        code = node_bootstrap(store, wal, &first, 1, err);
    store_close(store);
    wal_recovery_release(&recovery);
    if (wal && code == ERR_OK)
        code = wal_close(wal, err);
    else
        wal_abandon(wal);
    struct identity identity = member->folder.identity;
    return code == ERR_OK ? datadir_set_identity(&member->folder, &identity, err) : code;
}

static enum err_code open_node(struct member *member, const struct member_options *options,
                               struct err *err)
{
    struct node_options node_options = {
        .identity = member->folder.identity,
        .clock = clock_system(),
        .worker = worker_threads_door(member->workers),
        .data_path = member->folder.path,
        .timeo_ms = options->timeo_ms,
        .seed = rand_system_seed(),
        .trace = options->trace,
        .wake = want_turn,
        .wake_context = member,
    };
    struct wal_recovery recovery = {0};
    node_options.recovery = &recovery;
    enum err_code code = open_store(member, false, &node_options.store, err);
    if (code != ERR_OK)
        return err_wrap(err, code, "open the store in \"%s\"", member->folder.path);
    code = open_wal(member, options, false, &node_options.wal, &recovery, err);
    if (code != ERR_OK) {
        store_close(node_options.store);
        return err_wrap(err, code, "open the log in \"%s\"", member->folder.path);
    }
    if (recovery.dropped_bytes)
        say(member, recovery.dropped_text);
    code = node_open(&member->node, &node_options, err);
    wal_recovery_release(&recovery);
    return code;
}

static void socket_settle(void *context, void (*settled)(void *argument), void *argument)
{
    struct member *member = context;
    if (member->settle)
        member->settle(member->settle_context, settled, argument);
    else
        settled(argument);
}

static void socket_stop(void *context)
{
    struct member *member = context;
    if (member->asked_to_stop)
        member->asked_to_stop(member->asked_context);
    else
        member_stop(member);
}

static enum err_code open_socket(struct member *member, struct err *err)
{
    member->socket_path = datadir_path(&member->folder, "sock");
    struct socket_options options = {
        .path = member->socket_path,
        .kv = node_kv(member->node),
        .context = member,
        .stop = socket_stop,
        .settle = socket_settle,
    };
    return socket_open(&member->socket, &member->loop, &options, err);
}

static struct member *member_new(const struct member_options *options)
{
    struct member *member = mem_xzalloc(sizeof *member);
    member->folder.lock_fd = -1;
    member->trace = options->trace;
    member->log = options->log;
    member->log_context = options->log_context;
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

static void member_free(struct member *member)
{
    if (member->workers)
        worker_threads_free(member->workers);
    mailbox_drain(member);
    uv_walk(&member->loop, close_handle, NULL);
    uv_run(&member->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&member->loop) == 0);
    disk_posix_free(member->disk);
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
    enum err_code code = datadir_open(&member->folder, options->data_path, err);
    if (code == ERR_OK)
        code = disk_posix_new(member->folder.path, &member->disk, err);
    if (code == ERR_OK && !member->folder.has_identity)
        code = datadir_clear(&member->folder, err);
    if (code == ERR_OK)
        code = home_leveldb_new(member->folder.path, &member->home, err);
    if (code == ERR_OK && !member->folder.has_identity)
        code = first_start(member, options, err);
    if (code == ERR_OK)
        code = open_node(member, options, err);
    if (code == ERR_OK && options->socket) {
        code = open_socket(member, err);
        if (code != ERR_OK) {
            worker_threads_free(member->workers);
            member->workers = NULL;
            node_abandon(member->node);
        }
    }
    if (code != ERR_OK) {
        member_free(member);
        return code;
    }
    want_turn(member);
    *ret = member;
    return ERR_OK;
}

struct kv *member_kv(struct member *member) { return node_kv(member->node); }
const char *member_data_path(const struct member *member) { return member->folder.path; }
struct uv_loop_s *member_loop(struct member *member) { return &member->loop; }

/* ---- running ---- */

enum err_code member_run(struct member *member, struct err *err)
{
    uv_run(&member->loop, UV_RUN_DEFAULT);
    enum err_code code = node_fault(member->node, err);
    if (code != ERR_OK && err)
        say(member, err->text);
    return code;
}

static void stop_posted(void *context) { begin_stop(context); }

void member_stop(struct member *member) { member_post(member, stop_posted, member); }

enum err_code member_close(struct member *member, struct err *err)
{
    worker_threads_free(member->workers);
    member->workers = NULL;
    enum err_code code = node_close(member->node, err);
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
