/* The notifier's queue and thread.
 *
 * A note that forgets a name takes the directory's lock in the kernel, and a LOOKUP in flight holds that
 * lock until the loop has answered it. So notes are made by a thread of their own, for which nothing that
 * a kernel request waits for ever waits. What cannot be queued any more is forgotten wholesale: every
 * node that the kernel may know.
 *
 * Order of the end: kernel_abort (or the unmount) first, so that a note or a replay that sits in the
 * kernel returns; then notify_close, which joins. */
#include "fs/notify.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "fs/cache.h"
#include "fs/replay.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define QUEUE_MAX 16384                 /* a burst of changes; beyond it everything is forgotten */
#define COALESCE_LOOK_BACK 8            /* a file saved again and again costs one note */
#define LATER_MAX 1024                  /* replays that wait for a look; then it is not waited any more */

enum item_kind { ITEM_ENTRY, ITEM_ATTR, ITEM_CHANGE, ITEM_SETTLE };

struct item {
    struct list link;
    enum item_kind kind;
    uint64_t node, parent;
    struct replay_change change;        /* its bytes lie in name */
    void (*settled)(void *context);
    void *context;
    size_t name_size;
    uint8_t name[];
};

struct notify {
    struct fs *fs;
    struct kernel *kernel;
    pthread_t thread;
    pthread_mutex_t mutex;              /* guards what follows */
    pthread_cond_t wake;
    struct list queue;
    size_t count;
    bool stopping;
    struct replay *replay;              /* NULL: not wanted. The thread's, but for replay_take */
    /* the thread's own */
    struct list later;                  /* changes of which it is not known whether somebody watches */
    size_t later_count;
};

/* ---- the thread ---- */

static void note(struct notify *notify, const struct item *item)
{
    struct kernel_note told = {.kind = KERNEL_NOTE_ATTR, .node = item->node};
    if (item->kind == ITEM_ENTRY) {
        told.kind = KERNEL_NOTE_ENTRY;
        told.node = item->parent;
        told.name = bytes_of(item->name, item->name_size);
    }
    (void)notify->kernel->ops->note(notify->kernel, &told);     /* what it does not hold is forgotten */
}

static bool same_place(const struct item *a, const struct item *b)
{
    return a->kind == b->kind && a->node == b->node && a->parent == b->parent &&
           a->name_size == b->name_size && memcmp(a->name, b->name, a->name_size) == 0 &&
           a->change.is_move == b->change.is_move && a->change.is_exchange == b->change.is_exchange;
}

/* ---- replays that wait ---- */

/* It is known now who watches. */
static void later_run(struct notify *notify)
{
    for (struct list *link; (link = list_pop_front(&notify->later)) != NULL;) {
        struct item *item = container_of(link, struct item, link);
        if (replay_is_watched(notify->replay, &item->change))
            replay_run(notify->replay, &item->change);
        free(item);
    }
    notify->later_count = 0;
}

static void look(struct notify *notify)
{
    replay_look(notify->replay);
    later_run(notify);
}

static void later_add(struct notify *notify, struct item *item)
{
    for (struct list *link = notify->later.previous; link != &notify->later; link = link->previous) {
        struct item *earlier = container_of(link, struct item, link);
        if (!same_place(earlier, item) || item->change.is_move)
            continue;
        earlier->change.changes |= item->change.changes;
        free(item);
        return;
    }
    list_push_back(&notify->later, &item->link);
    notify->later_count++;
}

static void change(struct notify *notify, struct item *item)
{
    bool watched = replay_is_watched(notify->replay, &item->change);
    if (!watched && (notify->later_count >= LATER_MAX ||
                     fs_now_ms() >= replay_look_due_ms(notify->replay))) {
        look(notify);
        watched = replay_is_watched(notify->replay, &item->change);
    } else if (!watched) {
        later_add(notify, item);
        return;
    }
    if (watched)
        replay_run(notify->replay, &item->change);
    free(item);
}

static void later_drop(struct notify *notify)
{
    for (struct list *link; (link = list_pop_front(&notify->later)) != NULL;)
        free(container_of(link, struct item, link));
    notify->later_count = 0;
}

/* ---- the thread's turns ---- */

/* Takes the item. */
static void run(struct notify *notify, struct item *item, bool stopping)
{
    if (stopping)
        later_drop(notify);
    if (item->kind == ITEM_CHANGE && !stopping) {
        change(notify, item);
        return;
    }
    if (item->kind == ITEM_SETTLE) {
        if (notify->later_count)
            look(notify);               /* someone waits until all have heard */
        item->settled(item->context);
    } else if (!stopping) {
        note(notify, item);
    }
    free(item);
}

/* Until there is something in the queue, or the end; false: what waits for a look is due. With the mutex
 * held. */
static bool wait_for_more(struct notify *notify)
{
    if (notify->later_count == 0) {
        pthread_cond_wait(&notify->wake, &notify->mutex);
        return true;
    }
    int64_t due = replay_look_due_ms(notify->replay);
    struct timespec until = {due / 1000, due % 1000 * NS_PER_MS};
    return fs_now_ms() < due &&
           pthread_cond_timedwait(&notify->wake, &notify->mutex, &until) == 0;
}

static void *notify_main(void *argument)
{
    struct notify *notify = argument;
    if (notify->replay)
        replay_begin(notify->replay);
    pthread_mutex_lock(&notify->mutex);
    for (;;) {
        struct list *link = list_pop_front(&notify->queue);
        if (!link && notify->stopping)
            break;
        if (!link && wait_for_more(notify))
            continue;
        bool stopping = notify->stopping;
        notify->count -= link != NULL;
        pthread_mutex_unlock(&notify->mutex);
        if (link)
            run(notify, container_of(link, struct item, link), stopping);
        else
            look(notify);
        pthread_mutex_lock(&notify->mutex);
    }
    pthread_mutex_unlock(&notify->mutex);
    later_drop(notify);
    return NULL;
}

/* ---- life ---- */

static void wake_init(pthread_cond_t *wake)
{
    pthread_condattr_t attr;            /* the clock of fs_now_ms */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(wake, &attr);
    pthread_condattr_destroy(&attr);
}

enum err_code notify_open(struct fs *fs, struct err *err)
{
    struct notify *notify = mem_xzalloc(sizeof(*notify));
    notify->fs = fs;
    notify->kernel = fs->kernel;
    list_init(&notify->queue);
    list_init(&notify->later);
    pthread_mutex_init(&notify->mutex, NULL);
    wake_init(&notify->wake);
    if (fs->options.inotify && fs->options.mountpoint)
        notify->replay = replay_new(fs);
    int error = pthread_create(&notify->thread, NULL, notify_main, notify);
    if (error) {
        replay_free(notify->replay);
        free(notify);
        return err_set_errno(err, error, "cannot start the notifier");
    }
    fs->notify = notify;
    return ERR_OK;
}

void notify_close(struct fs *fs)
{
    struct notify *notify = fs->notify;
    if (!notify)
        return;
    pthread_mutex_lock(&notify->mutex);
    notify->stopping = true;
    pthread_cond_signal(&notify->wake);
    pthread_mutex_unlock(&notify->mutex);
    pthread_join(notify->thread, NULL);
    CHECK(list_is_empty(&notify->queue));
    replay_free(notify->replay);
    pthread_mutex_destroy(&notify->mutex);
    pthread_cond_destroy(&notify->wake);
    free(notify);
    fs->notify = NULL;
}

/* ---- the queue ---- */

/* Whether one of the last notes says the same already; nothing that asks for order may lie between. */
static bool coalesce(struct notify *notify, const struct item *item)
{
    struct list *link = notify->queue.previous;
    for (int i = 0; i < COALESCE_LOOK_BACK && link != &notify->queue; i++, link = link->previous) {
        struct item *earlier = container_of(link, struct item, link);
        if (earlier->kind == ITEM_SETTLE)
            return false;
        if (same_place(earlier, item) && !item->change.is_move) {
            earlier->change.changes |= item->change.changes;
            return true;
        }
    }
    return false;
}

static struct item *item_new(enum item_kind kind, uint64_t node, uint64_t parent, struct bytes name)
{
    struct item *item = mem_xzalloc(sizeof(*item) + name.size + 1);
    item->kind = kind;
    item->node = node;
    item->parent = parent;
    item->name_size = name.size;
    if (name.size)
        memcpy(item->name, name.data, name.size);
    return item;
}

/* With the mutex held. */
static void push_locked(struct notify *notify, struct item *item)
{
    list_push_back(&notify->queue, &item->link);
    notify->count++;
    pthread_cond_signal(&notify->wake);
}

/* Notes and replays go; who waits for the queue to settle still hears of it, after everything. */
static void clear_locked(struct notify *notify, struct list *ret_settles)
{
    LIST_FOR_EACH_SAFE(link, &notify->queue) {
        struct item *item = container_of(link, struct item, link);
        list_remove(link);
        if (item->kind == ITEM_SETTLE)
            list_push_back(ret_settles, link);
        else
            free(item);
    }
    notify->count = 0;
}

static struct item *change_new(struct fs *fs, const struct notify_place *from,
                               const struct notify_place *to);

static void push_node_locked(struct notify *notify, const struct node *node)
{
    struct bytes name;
    uint8_t room[NAME_SIZE_MAX];
    push_locked(notify, item_new(ITEM_ATTR, node->id, 0, BYTES_EMPTY));
    if (cache_may_believe_names(notify->fs) && notify_name_of(node, room, &name))
        push_locked(notify, item_new(ITEM_ENTRY, 0, node->parent->id, name));
    if (!notify->replay || !node->parent)
        return;
    struct buf key = {0};
    node_key(notify->fs, node, &key);
    struct notify_place place = {.parent = node->parent, .node = node, .key = buf_bytes(&key)};
    struct item *item = change_new(notify->fs, &place, NULL);
    buf_release(&key);
    if (!item)
        return;
    item->change.changes = KV_CHANGED_META;
    push_locked(notify, item);
}

/* Each node of the live tree: its attributes, its name, and who watches it. */
static void push_everything_locked(struct notify *notify)
{
    const struct nodes *nodes = &notify->fs->nodes;
    struct list settles;
    list_init(&settles);
    clear_locked(notify, &settles);
    for (uint32_t slot = 0; slot < nodes->slot_count; slot++) {
        const struct node *node = nodes->slots[slot];
        if (node && node->kind == NODE_LIVE && !node->removed)
            push_node_locked(notify, node);
    }
    while (!list_is_empty(&settles))
        push_locked(notify, container_of(list_pop_front(&settles), struct item, link));
    TRACE(notify->fs->trace, "notify everything notes=%zu", notify->count);
}

static void push(struct fs *fs, struct item *item)
{
    struct notify *notify = fs->notify;
    if (!notify) {                      /* nothing is mounted that could believe anything */
        free(item);
        return;
    }
    pthread_mutex_lock(&notify->mutex);
    if (coalesce(notify, item)) {
        free(item);
    } else {
        push_locked(notify, item);
        if (notify->count > QUEUE_MAX + 3 * (size_t)fs->nodes.node_count)
            push_everything_locked(notify);
    }
    pthread_mutex_unlock(&notify->mutex);
}

void notify_entry(struct fs *fs, uint64_t parent, struct bytes name)
{
    push(fs, item_new(ITEM_ENTRY, 0, parent, name));
}

void notify_attr(struct fs *fs, uint64_t node)
{
    push(fs, item_new(ITEM_ATTR, node, 0, BYTES_EMPTY));
}

/* ---- replays ---- */

/* Appends "path\0"; false: no file has that path. */
static bool append_path(const struct fs *fs, struct bytes key, struct buf *ret)
{
    bool ok = layout_path_of_key(fs->layout.prefix, key, ret);
    buf_append_u8(ret, 0);
    return ok;
}

static uint64_t ino_of(const struct node *node)
{
    return node && node->told.known ? node->told.attr.st_ino : 0;
}

static bool is_directory(const struct notify_place *place)
{
    const struct node *node = place->node;
    return node && node->told.known ? S_ISDIR(node->told.attr.st_mode) : place->is_directory;
}

/* Its bytes: path, to_path, key, to_key. NULL: it cannot be replayed. */
static struct item *change_new(struct fs *fs, const struct notify_place *from,
                               const struct notify_place *to)
{
    struct buf all = {0};
    bool ok = append_path(fs, from->key, &all);
    size_t path_size = all.size - 1;
    ok = ok && (!to || append_path(fs, to->key, &all));
    size_t to_path_size = to ? all.size - 1 - (path_size + 1) : 0;
    size_t keys = all.size, to_key_size = to ? to->key.size : 0;
    buf_append(&all, from->key);
    if (to)
        buf_append(&all, to->key);
    struct item *item = ok ? item_new(ITEM_CHANGE, 0, 0, buf_bytes(&all)) : NULL;
    buf_release(&all);
    if (!item)
        return NULL;
    item->change = (struct replay_change){
        .ino = ino_of(from->node), .directory_ino = ino_of(from->parent),
        .to_directory_ino = to ? ino_of(to->parent) : 0, .is_directory = is_directory(from),
        .path = bytes_of(item->name, path_size),
        .to_path = bytes_of(item->name + path_size + 1, to_path_size),
        .key = bytes_of(item->name + keys, from->key.size),
        .to_key = bytes_of(item->name + keys + from->key.size, to_key_size)};
    return item;
}

/* Whether there is anything that somebody could watch. */
static bool could_be_heard(const struct replay_change *change)
{
    return change->ino || change->directory_ino || change->to_directory_ino;
}

static void push_change(struct fs *fs, struct item *item)
{
    if (item && could_be_heard(&item->change))
        push(fs, item);
    else if (item)
        free(item);
}

void notify_change(struct fs *fs, const struct notify_place *place, unsigned changes)
{
    if (!fs->notify || !fs->notify->replay)
        return;
    struct item *item = change_new(fs, place, NULL);
    if (item)
        item->change.changes = changes;
    push_change(fs, item);
}

void notify_move(struct fs *fs, const struct notify_place *from, const struct notify_place *to,
                 bool is_exchange)
{
    if (!fs->notify || !fs->notify->replay)
        return;
    struct item *item = change_new(fs, from, to);
    if (item) {
        item->change.is_move = true;
        item->change.is_exchange = is_exchange;
    }
    push_change(fs, item);
}

void notify_everything(struct fs *fs)
{
    struct notify *notify = fs->notify;
    if (!notify)
        return;
    pthread_mutex_lock(&notify->mutex);
    push_everything_locked(notify);
    pthread_mutex_unlock(&notify->mutex);
}

void notify_settle(struct fs *fs, void (*settled)(void *context), void *context)
{
    struct notify *notify = fs->notify;
    if (!notify) {
        settled(context);
        return;
    }
    struct item *item = item_new(ITEM_SETTLE, 0, 0, BYTES_EMPTY);
    item->settled = settled;
    item->context = context;
    pthread_mutex_lock(&notify->mutex);
    push_locked(notify, item);
    pthread_mutex_unlock(&notify->mutex);
}

bool notify_name_of(const struct node *node, uint8_t room[NAME_SIZE_MAX], struct bytes *ret)
{
    size_t size;
    bool partial;
    if (!node->parent)
        return false;
    if (node->step == STEP_OWN_VALUE) {
        *ret = BYTES_LITERAL(LAYOUT_OWN_VALUE);
        return true;
    }
    enum layout_place place = node->parent->parent ? LAYOUT_IN_DIRECTORY : LAYOUT_IN_ROOT;
    layout_encode_chunk(node_name(node), 0, place, room, &size, &partial);
    *ret = bytes_of(room, size);
    return !partial;
}

bool notify_take(struct fs_op *op)
{
    struct notify *notify = op->fs->notify;
    return notify && notify->replay && replay_take(notify->replay, op);
}
