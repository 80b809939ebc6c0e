#include "fs/cache.h"

#include "fs/notify.h"
#include "fs/snapshot.h"
#include "proto/base/check.h"

#define ALONE_TIMEOUT_NS (KV_ALONE_MS * NS_PER_MS)
#define PAST_TIMEOUT_NS (86400 * NS_PER_S)     /* of names: the past does not change */
#define BELIEF_MAX_MS 60000     /* well above any live timeout, which begins when the kernel has the answer: the
                                   process may stand still before */
#define GLANCE_TIMEOUT_NS 1     /* attributes that the walk's own permission checks and stat may use */

/* ---- how long ---- */

/* How long names and attributes of the live tree may be believed; 0 where a change elsewhere must be seen
 * by whatever begins after it. */
static int64_t live_timeout(struct fs *fs)
{
    if (fs->options.reads == FS_READS_LOCAL)
        return NS_PER_S;
    return fs_status(fs)->alone ? ALONE_TIMEOUT_NS : 0;
}

bool cache_may_believe_names(const struct fs *fs)
{
    return fs->names_believed_ms && fs_now_ms() < fs->names_believed_ms + BELIEF_MAX_MS;
}

/* What has changed since that revision was read has been told to the kernel, maybe before an answer that
 * still says what was read: nothing of it may be believed. */
static bool is_passed(const struct fs *fs, kv_rev read)
{
    return read < fs->changed_revision;
}

int64_t cache_entry_timeout(struct fs *fs, const struct node *node, kv_rev read)
{
    switch (node->kind) {
    case NODE_PAST: return PAST_TIMEOUT_NS;
    case NODE_CONTROL_DIRECTORY:
    case NODE_CONTROL_FILE: return NS_PER_S;
    case NODE_SNAPSHOTS:
    case NODE_LIVE: break;
    }
    int64_t timeout = is_passed(fs, read) ? 0 : live_timeout(fs);
    if (timeout)
        fs->names_believed_ms = fs_now_ms();
    return timeout;
}

int64_t cache_attr_timeout(struct fs *fs, const struct node *node, kv_rev read)
{
    if (node->kind == NODE_PAST)
        return GLANCE_TIMEOUT_NS;               /* today's modes count, and no note reaches it */
    if (node->kind == NODE_CONTROL_DIRECTORY || node->kind == NODE_CONTROL_FILE)
        return NS_PER_S;
    if (node->handle_count || node->commits || is_passed(fs, read))
        return 0;                               /* who asks decides what is shown */
    int64_t timeout = live_timeout(fs);
    return timeout ? timeout : GLANCE_TIMEOUT_NS;
}

/* ---- what it was told ---- */

void cache_told(struct node *node, const struct fs_file *file)
{
    node->told.known = true;
    node->told.attr = file->attr;
    node->told.create_revision = file->create_revision;
    node->told.mod_revision = file->mod_revision;
    node->told.meta_mod_revision = file->meta_mod_revision;
    node->told.directory_create_revision = file->directory_create_revision;
}

bool cache_differs(const struct node *node, const struct fs_file *file)
{
    const struct stat *told = &node->told.attr, *now = &file->attr;
    return !node->told.known || told->st_size != now->st_size || told->st_mode != now->st_mode ||
           told->st_uid != now->st_uid || told->st_gid != now->st_gid;
}

void cache_own_change(struct fs *fs, struct node *node, const struct fs_file *file)
{
    (void)fs;
    cache_told(node, file);
}

/* ---- what changed behind its back ---- */

static void forget_name(struct fs *fs, const struct node *node)
{
    uint8_t room[NAME_SIZE_MAX];
    struct bytes name;
    if (cache_may_believe_names(fs) && notify_name_of(node, room, &name))
        notify_entry(fs, node->parent->id, name);
}

static struct node *child_of(struct fs *fs, struct node *parent, struct bytes component)
{
    return parent ? node_find(&fs->nodes, parent, NODE_LIVE, STEP_COMPONENT, component, 0) : NULL;
}

/* What a rename did to each key is part of the rename. */
static bool is_moving(const struct fs *fs, const struct kv_changed *changed)
{
    const struct bytes sides[] = {buf_bytes(&fs->moving.from), buf_bytes(&fs->moving.to)};
    if (fs->moving.revision != changed->revision)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(sides); i++)
        if (bytes_starts_with(changed->key, sides[i]) &&
            (changed->key.size == sides[i].size || changed->key.data[sides[i].size] == '/'))
            return true;
    return false;
}

static void replay(struct fs *fs, const struct notify_place *place, const struct kv_changed *changed,
                   unsigned changes)
{
    if (!is_moving(fs, changed))
        notify_change(fs, place, changes);
}

/* How many bytes of the key spell the name that came or went, as this mount shows it; 0: none did. What
 * is above the mount's root always stands here. */
static size_t top_of(const struct fs *fs, const struct kv_changed *changed)
{
    size_t prefix = fs->layout.prefix.size;
    if (!(changed->changes & KV_CHANGED_NAME))
        return 0;
    if (changed->top > prefix)
        return changed->top;
    struct bytes rest = bytes_skip(changed->key, prefix);
    const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    return prefix + (slash ? (size_t)(slash - rest.data) : rest.size);
}

/* One component on the way down to the changed key: the last one, or a directory above it. */
static void step_changed(struct fs *fs, const struct notify_place *place, size_t top,
                         const struct kv_changed *changed)
{
    bool is_last = place->key.size == changed->key.size;
    const struct node *node = place->node;
    if (place->key.size == top) {
        notify_attr(fs, place->parent->id);
        if (node)
            forget_name(fs, node);
        replay(fs, place, changed, changed->changes | KV_CHANGED_NAME);
    } else if (top && node && (place->key.size > top || node->told.directory_create_revision == 0)) {
        forget_name(fs, node);          /* it came or went with what is above; or it may have become a
                                           directory, or no longer be one */
    } else if (is_last && (node || !top)) {
        replay(fs, place, changed, changed->changes);   /* who watches the directory need not have looked
                                                           at what is in it */
    }
    if (is_last && node)
        notify_attr(fs, node->id);
}

static void own_value_changed(struct fs *fs, struct node *directory, unsigned changes)
{
    const struct node *node =
        directory ? node_find(&fs->nodes, directory, NODE_LIVE, STEP_OWN_VALUE, BYTES_EMPTY, 0) : NULL;
    if (!node)
        return;
    if (changes & KV_CHANGED_NAME)
        forget_name(fs, node);
    notify_attr(fs, node->id);
}

/* Walks the key down as far as there are nodes. */
static void walk_changed(struct fs *fs, const struct kv_changed *changed)
{
    size_t at = fs->layout.prefix.size, top = top_of(fs, changed);
    struct node *node = fs->nodes.root;
    for (;;) {
        struct bytes rest = bytes_skip(changed->key, at);
        const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
        size_t size = slash ? (size_t)(slash - rest.data) : rest.size;
        struct notify_place place = {.parent = node, .key = bytes_of(changed->key.data, at + size)};
        node = child_of(fs, node, bytes_of(rest.data, size));
        place.node = node;
        place.is_directory = slash || !(changed->changes & KV_CHANGED_VALUE);
        step_changed(fs, &place, top, changed);
        if (!slash || !node)
            break;
        at += size + 1;
    }
    if (node)
        own_value_changed(fs, node, changed->changes);
}

static void cache_changed(struct kv_observer *observer, const struct kv_changed *changed)
{
    struct fs *fs = container_of(observer, struct fs, observer);
    if (changed->own)
        return;
    fs->changed_revision = changed->revision;
    if (bytes_starts_with(changed->key, fs->layout.prefix))
        walk_changed(fs, changed);
}

/* The place of a key, as far as it is known here. */
static struct notify_place place_of(struct fs *fs, struct bytes key)
{
    struct notify_place place = {.parent = fs->nodes.root, .key = key};
    for (size_t at = fs->layout.prefix.size;;) {
        struct bytes rest = bytes_skip(key, at);
        const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
        size_t size = slash ? (size_t)(slash - rest.data) : rest.size;
        struct node *node = child_of(fs, (struct node *)(uintptr_t)place.parent,
                                     bytes_of(rest.data, size));
        if (!slash) {
            place.node = node;
            return place;
        }
        place.parent = node;
        at += size + 1;
    }
}

static void cache_moved(struct kv_observer *observer, const struct kv_move *move, kv_rev revision,
                        bool own)
{
    struct fs *fs = container_of(observer, struct fs, observer);
    struct bytes prefix = fs->layout.prefix;
    if (own || !bytes_starts_with(move->from, prefix) || !bytes_starts_with(move->to, prefix))
        return;                         /* to or from outside: a name that came, or one that went */
    fs->moving.revision = revision;
    buf_assign(&fs->moving.from, move->from);
    buf_assign(&fs->moving.to, move->to);
    struct notify_place from = place_of(fs, move->from), to = place_of(fs, move->to);
    notify_move(fs, &from, &to, move->exchange);
}

static void cache_reset(struct kv_observer *observer)
{
    struct fs *fs = container_of(observer, struct fs, observer);
    struct kv_status status;
    kv_status_get(fs->kv, &status);
    fs->changed_revision = status.revision;
    notify_everything(fs);
}

static void cache_settle(struct kv_observer *observer, void (*settled)(void *context), void *context)
{
    notify_settle(container_of(observer, struct fs, observer), settled, context);
}

void cache_observe(struct fs *fs)
{
    if (!(fs->capabilities & KV_CAN_OBSERVE))
        return;
    fs->observer = (struct kv_observer){
        .changed = cache_changed, .moved = cache_moved, .reset = cache_reset, .settle = cache_settle};
    kv_observe(fs->kv, &fs->observer);
}

void cache_end(struct fs *fs)
{
    if (fs->observer.changed)
        kv_observe(fs->kv, NULL);
}

void cache_release(struct fs *fs)
{
    buf_release(&fs->moving.from);
    buf_release(&fs->moving.to);
}
