#include "fs/cache.h"

#include "fs/notify.h"
#include "fs/snapshot.h"
#include "proto/base/check.h"

#define SECOND_NS INT64_C(1000000000)
#define ALONE_TIMEOUT_NS SECOND_NS              /* what passes before another member is admitted */
#define PAST_TIMEOUT_NS (86400 * SECOND_NS)     /* the past does not change */
#define GLANCE_TIMEOUT_NS 1     /* attributes that the walk's own permission checks and stat may use */

/* ---- how long ---- */

/* How long names and attributes of the live tree may be believed; 0 where a change elsewhere must be seen
 * by whatever begins after it. */
static int64_t live_timeout(struct fs *fs)
{
    if (fs->options.reads == FS_READS_LOCAL)
        return SECOND_NS;
    return fs_status(fs)->alone ? ALONE_TIMEOUT_NS : 0;
}

int64_t cache_entry_timeout(struct fs *fs, const struct node *node)
{
    switch (node->kind) {
    case NODE_PAST: return PAST_TIMEOUT_NS;
    case NODE_CONTROL_DIRECTORY:
    case NODE_CONTROL_FILE: return SECOND_NS;
    case NODE_SNAPSHOTS:
    case NODE_LIVE: break;
    }
    return live_timeout(fs);
}

int64_t cache_attr_timeout(struct fs *fs, const struct node *node)
{
    if (node->kind == NODE_PAST)
        return PAST_TIMEOUT_NS;
    if (node->kind == NODE_CONTROL_DIRECTORY || node->kind == NODE_CONTROL_FILE)
        return SECOND_NS;
    if (node->handle_count || node->commits)
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
    uint8_t name[NAME_SIZE_MAX];
    size_t size;
    bool partial;
    if (node->step == STEP_OWN_VALUE) {
        notify_entry(fs, node->parent->id, BYTES_LITERAL(LAYOUT_OWN_VALUE));
        return;
    }
    enum layout_place place = node->parent->parent ? LAYOUT_IN_DIRECTORY : LAYOUT_IN_ROOT;
    layout_encode_chunk(node_name(node), 0, place, name, &size, &partial);
    if (!partial)
        notify_entry(fs, node->parent->id, bytes_of(name, size));
}

static void replay(struct fs *fs, const struct node *node, unsigned changes)
{
    uint8_t name[NAME_SIZE_MAX];
    size_t size;
    bool partial;
    enum layout_place place = node->parent->parent ? LAYOUT_IN_DIRECTORY : LAYOUT_IN_ROOT;
    layout_encode_chunk(node_name(node), 0, place, name, &size, &partial);
    if (!partial && node->step == STEP_COMPONENT)
        notify_change(fs, node->id, node->parent->id, bytes_of(name, size), changes);
}

static struct node *child_of(struct fs *fs, struct node *parent, struct bytes component)
{
    return node_find(&fs->nodes, parent, NODE_LIVE, STEP_COMPONENT, component, 0);
}

/* A node that stands at the changed key itself. */
static void node_changed(struct fs *fs, struct node *node, unsigned changes)
{
    if (changes & KV_CHANGED_NAME)
        forget_name(fs, node);
    notify_attr(fs, node->id);
    replay(fs, node, changes);
}

/* Walks the key down as far as there are nodes. A directory without a record may come and go with what is
 * below it, so its name is forgotten with the rest. */
static void cache_changed(struct kv_observer *observer, struct bytes key, unsigned changes,
                          kv_rev revision, bool own)
{
    struct fs *fs = container_of(observer, struct fs, observer);
    (void)revision;
    if (own || !bytes_starts_with(key, fs->layout.prefix))
        return;
    struct bytes rest = bytes_skip(key, fs->layout.prefix.size);
    struct node *parent = fs->nodes.root;
    for (;;) {
        const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
        struct bytes component = bytes_of(rest.data, slash ? (size_t)(slash - rest.data) : rest.size);
        struct node *node = child_of(fs, parent, component);
        if (!slash || !node) {
            if (changes & KV_CHANGED_NAME)
                notify_attr(fs, parent->id);
            if (node)
                node_changed(fs, node, changes);
            break;
        }
        if ((changes & KV_CHANGED_NAME) && node->told.directory_create_revision == 0)
            forget_name(fs, node);
        rest = bytes_skip(rest, component.size + 1);
        parent = node;
    }
    struct node *directory = child_of(fs, parent, rest);
    struct node *own_value =
        directory ? node_find(&fs->nodes, directory, NODE_LIVE, STEP_OWN_VALUE, BYTES_EMPTY, 0) : NULL;
    if (own_value)
        node_changed(fs, own_value, changes);
}

static void cache_reset(struct kv_observer *observer)
{
    struct fs *fs = container_of(observer, struct fs, observer);
    for (uint32_t slot = 0; slot < fs->nodes.slot_count; slot++) {
        const struct node *node = fs->nodes.slots[slot];
        if (!node || node->kind != NODE_LIVE || node->removed)
            continue;
        notify_attr(fs, node->id);
        if (node->parent)
            forget_name(fs, node);
    }
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
        .changed = cache_changed, .reset = cache_reset, .settle = cache_settle};
    kv_observe(fs->kv, &fs->observer);
}

void cache_end(struct fs *fs)
{
    if (fs->observer.changed)
        kv_observe(fs->kv, NULL);
}
