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
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/replay.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define QUEUE_MAX 16384                 /* a burst of changes; beyond it everything is forgotten */
#define COALESCE_LOOK_BACK 8            /* a file saved again and again costs one note */

enum item_kind { ITEM_ENTRY, ITEM_ATTR, ITEM_CHANGE, ITEM_SETTLE };

struct item {
    struct list link;
    enum item_kind kind;
    uint64_t node, parent;
    struct replay_change change;        /* its path and name lie in name */
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

static void run(struct notify *notify, const struct item *item, bool stopping)
{
    if (item->kind == ITEM_SETTLE)
        item->settled(item->context);
    else if (stopping)
        return;
    else if (item->kind == ITEM_CHANGE)
        replay_run(notify->replay, &item->change);
    else
        note(notify, item);
}

static void *notify_main(void *argument)
{
    struct notify *notify = argument;
    pthread_mutex_lock(&notify->mutex);
    for (;;) {
        struct list *link = list_pop_front(&notify->queue);
        if (!link && notify->stopping)
            break;
        if (!link) {
            pthread_cond_wait(&notify->wake, &notify->mutex);
            continue;
        }
        notify->count--;
        bool stopping = notify->stopping;
        pthread_mutex_unlock(&notify->mutex);
        struct item *item = container_of(link, struct item, link);
        run(notify, item, stopping);
        free(item);
        pthread_mutex_lock(&notify->mutex);
    }
    pthread_mutex_unlock(&notify->mutex);
    return NULL;
}

/* ---- life ---- */

enum err_code notify_open(struct fs *fs, struct err *err)
{
    struct notify *notify = mem_xzalloc(sizeof(*notify));
    notify->fs = fs;
    notify->kernel = fs->kernel;
    list_init(&notify->queue);
    pthread_mutex_init(&notify->mutex, NULL);
    pthread_cond_init(&notify->wake, NULL);
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

static bool same_note(const struct item *a, const struct item *b)
{
    return a->kind == b->kind && a->node == b->node && a->parent == b->parent &&
           a->name_size == b->name_size && a->kind != ITEM_SETTLE &&
           memcmp(a->name, b->name, a->name_size) == 0;
}

/* Whether one of the last notes says the same already; nothing that asks for order may lie between. */
static bool coalesce(struct notify *notify, const struct item *item)
{
    struct list *link = notify->queue.previous;
    for (int i = 0; i < COALESCE_LOOK_BACK && link != &notify->queue; i++, link = link->previous) {
        struct item *earlier = container_of(link, struct item, link);
        if (earlier->kind == ITEM_SETTLE)
            return false;
        if (same_note(earlier, item)) {
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

/* Each node of the live tree: its attributes, and its name. */
static void push_everything_locked(struct notify *notify)
{
    const struct nodes *nodes = &notify->fs->nodes;
    struct list settles;
    list_init(&settles);
    clear_locked(notify, &settles);
    for (uint32_t slot = 0; slot < nodes->slot_count; slot++) {
        const struct node *node = nodes->slots[slot];
        struct bytes name;
        uint8_t room[NAME_SIZE_MAX];
        if (!node || node->kind != NODE_LIVE)
            continue;
        push_locked(notify, item_new(ITEM_ATTR, node->id, 0, BYTES_EMPTY));
        if (notify_name_of(node, room, &name))
            push_locked(notify, item_new(ITEM_ENTRY, 0, node->parent->id, name));
    }
    while (!list_is_empty(&settles))
        push_locked(notify, container_of(list_pop_front(&settles), struct item, link));
    TRACE(notify->fs->trace, "notify overflow notes=%zu", notify->count);
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
        if (notify->count > QUEUE_MAX + 2 * (size_t)fs->nodes.node_count)
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

/* The encoded path of a node below the mount, without a leading '/'. False: it has none. */
static bool path_of(const struct node *node, struct buf *ret)
{
    uint8_t room[NAME_SIZE_MAX];
    struct bytes name;
    if (!node->parent)
        return true;
    if (!path_of(node->parent, ret) || !notify_name_of(node, room, &name))
        return false;
    if (ret->size)
        buf_append_u8(ret, '/');
    buf_append(ret, name);
    return true;
}

void notify_change(struct fs *fs, uint64_t id, uint64_t parent, struct bytes name, unsigned changes)
{
    const struct node *node = node_by_id(&fs->nodes, id);
    struct buf path = {0};
    if (!fs->notify || !fs->notify->replay || !node || !node->parent || !node->told.known)
        return;
    if (path_of(node, &path)) {
        buf_append_u8(&path, 0);
        struct item *item = item_new(ITEM_CHANGE, id, parent, buf_bytes(&path));
        const uint8_t *last = item->name + item->name_size - 1 - name.size;
        item->change = (struct replay_change){
            .ino = node->told.attr.st_ino, .parent_ino = node->parent->told.attr.st_ino,
            .parent = parent, .changes = changes, .path = (const char *)item->name,
            .is_directory = S_ISDIR(node->told.attr.st_mode), .name = bytes_of(last, name.size)};
        push(fs, item);
    }
    buf_release(&path);
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
