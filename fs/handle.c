/* Open files: their table, and what the other families ask of them. Saving is in save.c, the requests
 * that carry a handle are in op_file.c. */
#include "fs/handle_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define ESTALE_FORGET_MS 1000       /* a thread that was sent to walk again does so at once */

kv_time handle_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return layout_time(now);
}

void meta_copy(struct meta *to, const struct meta *from, struct arena *arena)
{
    *to = *from;
    to->xattrs = ARENA_NEW_ARRAY(arena, struct meta_xattr, from->xattr_count + 1);
    for (size_t i = 0; i < from->xattr_count; i++)
        to->xattrs[i] = (struct meta_xattr){arena_copy(arena, from->xattrs[i].name),
                                            arena_copy(arena, from->xattrs[i].value)};
}

/* ---- the table ---- */

enum err_code handles_open(struct fs *fs, struct err *err)
{
    (void)err;
    struct handles *handles = mem_xzalloc(sizeof(*handles));
    handles->fs = fs;
    list_init(&handles->all);
    list_init(&handles->used_contents);
    list_init(&handles->unused_contents);
    list_init(&handles->turns);
    for (size_t i = 0; i < CONTENT_BUCKETS; i++)
        list_init(&handles->contents[i]);
    handles->processes = process_system();
    rand_init(&handles->rand, rand_system_seed());
    fs->handles = handles;
    return ERR_OK;
}

void handles_set_processes(struct fs *fs, struct process_door *door) { fs->handles->processes = door; }

static void handle_free(struct handle *handle);

void handles_close(struct fs *fs)
{
    struct handles *handles = fs->handles;
    if (!handles)
        return;
    CHECK(handles->saves == 0);
    for (struct list *link; (link = list_pop_front(&handles->all)) != NULL;)
        handle_free(container_of(link, struct handle, all));
    contents_release(handles);
    conflicts_release(handles);
    free(handles->slots);
    free(handles->generations);
    free(handles);
    fs->handles = NULL;
}

bool handles_are_idle(const struct fs *fs) { return fs->handles->saves == 0; }

void handles_commit_all(struct fs *fs)
{
    LIST_FOR_EACH_SAFE(link, &fs->handles->all) {
        struct handle *handle = container_of(link, struct handle, all);
        if (handle_is_dirty(handle) && !handle->removed && !handle->refused)
            handle_save(handle, NULL, NULL);
    }
}

/* A free slot; UINT32_MAX: there is none. */
static uint32_t slot_take(struct handles *handles)
{
    for (uint32_t i = 0; i < handles->slot_count; i++) {
        uint32_t slot = (uint32_t)((handles->opened + i) % handles->slot_count);
        if (!handles->slots[slot])
            return slot;
    }
    if (handles->slot_count >= HANDLES_MAX)
        return UINT32_MAX;
    uint32_t old = handles->slot_count, count = old ? old * 2 : 64;
    handles->slots = mem_xrealloc(handles->slots, count * sizeof(handles->slots[0]));
    handles->generations = mem_xrealloc(handles->generations,
                                        count * sizeof(handles->generations[0]));
    memset(handles->slots + old, 0, (count - old) * sizeof(handles->slots[0]));
    memset(handles->generations + old, 0, (count - old) * sizeof(handles->generations[0]));
    handles->slot_count = count;
    return old;
}

static bool slot_give(struct handles *handles, struct handle *handle)
{
    if (handles->count >= HANDLES_MAX)
        return false;
    uint32_t slot = slot_take(handles);
    if (slot == UINT32_MAX)
        return false;
    handles->slots[slot] = handle;
    handles->count++;
    handle->id = (uint64_t)++handles->generations[slot] << 32 | slot;
    return true;
}

struct handle *handle_of(struct fs_op *op)
{
    struct handles *handles = op->fs->handles;
    uint32_t slot = (uint32_t)op->request.handle;
    if (!op->request.has_handle || slot >= handles->slot_count)
        return NULL;
    struct handle *handle = handles->slots[slot];
    if (!handle || handle->id != op->request.handle || handle->node != op->node)
        return NULL;
    return handle;
}

/* ---- life ---- */

static void on_timer(struct fs_timer *timer);

struct handle *handle_new(struct fs *fs, struct node *node, const struct fs_file *file,
                          struct bytes key, kv_rev store_revision, int flags, bool internal)
{
    struct handles *handles = fs->handles;
    struct handle *handle = mem_xzalloc(sizeof(*handle));
    if (!internal && !slot_give(handles, handle)) {
        free(handle);
        return NULL;
    }
    int access = flags & O_ACCMODE;
    handle->handles = handles;
    handle->node = node_ref(node);
    handle->flags = flags;
    handle->readable = access != O_WRONLY;
    handle->writable = access != O_RDONLY;
    handle->number = ++handles->opened;
    handle->store_revision = store_revision;
    handle->references = 1;
    buf_assign(&handle->key, key);
    handle_set_file(handle, file);
    staging_init(&handle->staging, fs_file_size_max(fs));
    fs_timer_init(&handle->timer, on_timer);
    save_init(handle);
    list_init(&handle->waiting);
    list_init(&handle->queued);
    list_init(&handle->awaiting);
    list_push_back(&handles->all, &handle->all);
    list_push_back(&node->handles, &handle->of_node);
    node->handle_count++;
    handle_update_pins(node);
    return handle;
}

static void handle_free(struct handle *handle)
{
    struct handles *handles = handle->handles;
    struct node *node = handle->node;
    CHECK(list_is_empty(&handle->waiting) && list_is_empty(&handle->queued));
    CHECK(list_is_empty(&handle->awaiting));
    fs_timer_cancel(&handle->timer);
    list_remove(&handle->all);
    list_remove(&handle->of_node);
    node->handle_count--;
    if (handle->id) {
        handles->slots[(uint32_t)handle->id] = NULL;
        handles->count--;
    }
    handles->staged_bytes -= handle->staged_bytes;
    staging_release(&handle->staging);
    content_unref(handles, handle->content);
    buf_release(&handle->key);
    attempt_close(&handle->attempt);
    moves_release(&handle->moves);
    save_release(&handle->save);
    arena_release(&handle->arena);
    handle_update_pins(node);
    node_unref(&handles->fs->nodes, node);
    free(handle);
}

struct handle *handle_ref(struct handle *handle)
{
    handle->references++;
    return handle;
}

void handle_unref(struct handle *handle)
{
    CHECK(handle->references > 0);
    if (--handle->references == 0)
        handle_free(handle);
}

void handle_set_file(struct handle *handle, const struct fs_file *file)
{
    struct arena old = handle->arena;
    handle->arena = (struct arena){0};
    handle->file = *file;
    meta_copy(&handle->file.meta, &file->meta, &handle->arena);
    arena_release(&old);
}

void handle_update_pins(struct node *node)
{
    node->pinned_revision = 0;
    LIST_FOR_EACH(link, &node->handles) {
        struct handle *handle = container_of(link, struct handle, of_node);
        if (!handle->readable || handle->staging.begun || handle->removed || node->pending)
            continue;
        node->pinned_revision = handle->file.mod_revision;
        return;
    }
}

/* ---- what a handle is ---- */

bool handle_is_dirty(const struct handle *handle)
{
    return staging_is_dirty(&handle->staging) || handle->node->pending;
}

bool handle_is_bare(const struct handle *handle)
{
    const struct staging *staging = &handle->staging;
    if (staging_is_bare_truncate(staging))
        return true;
    return handle->node->pending && !staging_is_dirty(staging);
}

bool handle_belongs_to(const struct handle *handle, pid_t thread)
{
    if (thread <= 0 || handle->opener.group <= 0)
        return thread <= 0 && handle->opener.group <= 0;
    return process_has(handle->handles->processes, &handle->opener, thread);
}

/* How many bytes staging holds for it. */
static void count_staged(struct handle *handle)
{
    const struct staging *staging = &handle->staging;
    size_t bytes = staging->view.capacity + staging->live.bytes + staging->frozen.bytes +
                   staging->frozen.whole.capacity;
    handle->handles->staged_bytes += bytes - handle->staged_bytes;
    handle->staged_bytes = bytes;
}

void handle_on_staged(struct handle *handle)
{
    struct fs *fs = handle->handles->fs;
    handle->touched = handle_now();
    handle->made_here = handle->refused = false;
    handle->conflict_kept = false;
    count_staged(handle);
    handle_update_pins(handle->node);
    if (handle->removed || handle->id == 0)
        return;
    if (handle->appends && handle->appended >= APPEND_BYTES_MAX && !handle->save.running) {
        handle_save(handle, NULL, NULL);
        return;
    }
    bool is_set = !list_is_empty(&handle->timer.link);
    if (handle->appends || handle_is_bare(handle)) {
        if (!is_set)
            fs_timer_set(fs, &handle->timer, handle->appends ? APPEND_MS : BARE_TRUNCATE_MS);
    } else {
        fs_timer_cancel(&handle->timer);
    }
}

static void on_timer(struct fs_timer *timer)
{
    struct handle *handle = container_of(timer, struct handle, timer);
    if (handle->removed || !handle_is_dirty(handle))
        return;
    if (handle->save.running)
        fs_timer_set(handle->handles->fs, timer, APPEND_MS);
    else if (handle->appends || handle_is_bare(handle))
        handle_save(handle, NULL, NULL);
}

/* ---- ESTALE, once per thread ---- */

static struct estale *estale_find(struct handles *handles, pid_t thread)
{
    for (uint32_t i = 0; i < handles->estale_count; i++)
        if (handles->estale[i].thread == thread)
            return &handles->estale[i];
    return NULL;
}

void handle_forget_estale(struct handles *handles, pid_t thread)
{
    struct estale *found = estale_find(handles, thread);
    if (found)
        *found = handles->estale[--handles->estale_count];
}

/* Those that were answered long ago and never came back make room. */
static void estale_sweep(struct handles *handles, int64_t now)
{
    for (uint32_t i = 0; i < handles->estale_count;)
        if (now - handles->estale[i].at_ms > ESTALE_FORGET_MS)
            handles->estale[i] = handles->estale[--handles->estale_count];
        else
            i++;
}

bool handle_may_answer_estale(struct handles *handles, pid_t thread)
{
    int64_t now = fs_now_ms();
    if (thread <= 0 || estale_find(handles, thread))
        return false;
    if (handles->estale_count == ESTALE_THREADS_MAX)
        estale_sweep(handles, now);
    if (handles->estale_count == ESTALE_THREADS_MAX)
        return false;
    handles->estale[handles->estale_count++] = (struct estale){thread, now, handles->fs->requests};
    return true;
}

bool handle_walked_since_estale(struct handles *handles, pid_t thread, const struct node *node)
{
    const struct estale *found = estale_find(handles, thread);
    return found && node->kind == NODE_LIVE && node->told.request > found->request;
}

/* ---- pending names ---- */

static struct handle *first_handle(const struct node *node)
{
    return list_is_empty(&node->handles) ? NULL
                                         : container_of(node->handles.next, struct handle, of_node);
}

struct node *handle_pending_entry(struct fs *fs, struct node *parent, enum node_step how,
                                  struct bytes name, struct fs_file *ret)
{
    struct node *node = node_find(&fs->nodes, parent, NODE_LIVE, how, name, 0);
    if (!node || !node->pending)
        return NULL;
    struct handle *handle = first_handle(node);
    CHECK(handle);
    *ret = handle->file;
    handle_attr(handle, &ret->attr);
    return node_ref(node);
}

bool handle_commit_pending(struct fs_op *op, struct node *node, op_step step)
{
    if (!node || !node->pending)
        return false;
    struct handle *handle = first_handle(node);
    CHECK(handle);
    if (op->request.kind == KERNEL_RENAME)
        handle_save(handle, op, step);          /* a save by rename publishes what was written */
    else
        handle_save_name(handle, op, step);
    return true;
}

bool handle_commit_pending_name(struct fs_op *op, struct node *parent, enum node_step how,
                                struct bytes name, op_step step)
{
    if (parent->kind != NODE_LIVE)
        return false;
    struct node *node = node_find(&op->fs->nodes, parent, NODE_LIVE, how, name, 0);
    return handle_commit_pending(op, node, step);
}

bool handle_save_next(struct fs_op *op, struct node *node, uint64_t *after, op_step step)
{
    LIST_FOR_EACH(link, &node->handles) {
        struct handle *handle = container_of(link, struct handle, of_node);
        bool wanted = handle->save.running || node->pending ||
                      (handle_is_dirty(handle) && !handle_is_bare(handle));
        if (handle->number <= *after || handle->removed || !wanted)
            continue;
        *after = handle->number;
        handle_save(handle, op, step);
        return true;
    }
    return false;
}

bool handle_pending_below(const struct fs *fs, const struct node *directory)
{
    LIST_FOR_EACH(link, &fs->handles->all) {
        const struct node *node = container_of(link, struct handle, all)->node;
        bool pending = node->pending && !node->removed;
        while (pending && node && node != directory)
            node = node->parent;
        if (pending && node)
            return true;
    }
    return false;
}

void handle_each_pending(const struct fs *fs, const struct node *directory, handle_pending_visit visit,
                         void *context)
{
    LIST_FOR_EACH(link, &fs->handles->all) {
        const struct handle *handle = container_of(link, struct handle, all);
        const struct node *node = handle->node;
        if (node->parent == directory && node->pending && !node->removed &&
            node->step == STEP_COMPONENT && first_handle(node) == handle)
            visit(context, node_name(node), handle->file.attr.st_ino);
    }
}

/* ---- races with what others do ---- */

static void await_cancel(struct fs_op *op)
{
    op_unpark(op);
    op_answer_errno(op, EINTR);
}

bool handle_await_commits(struct fs_op *op, struct node *node, op_step step)
{
    if (node->commits == 0 || op->is_replay)
        return false;
    LIST_FOR_EACH(link, &node->handles) {
        struct handle *handle = container_of(link, struct handle, of_node);
        if (handle->awaited) {
            op->step = step;
            op_park(op, &handle->awaiting, await_cancel);
            return true;
        }
    }
    return false;
}

void handle_on_removed(struct fs *fs, struct node *node)
{
    (void)fs;
    LIST_FOR_EACH(link, &node->handles) {
        struct handle *handle = container_of(link, struct handle, of_node);
        handle->removed = true;
        handle->file.attr.st_nlink = 0;
        fs_timer_cancel(&handle->timer);
    }
    handle_update_pins(node);
}

/* Of all nodes that stand there, not of the current one alone. */
static bool is_at_or_below(const struct node *node, const struct node *parent, enum node_step how,
                           struct bytes name)
{
    for (; node && node->kind == NODE_LIVE && !node->removed; node = node->parent)
        if (node->parent == parent && node->step == how && bytes_equal(node_name(node), name))
            return true;
    return false;
}

void handle_on_moving(struct fs *fs, const struct node *parent, enum node_step how, struct bytes name,
                      kv_rev revision)
{
    LIST_FOR_EACH(link, &fs->handles->all) {
        struct handle *handle = container_of(link, struct handle, all);
        if (handle->writable && !handle->removed && is_at_or_below(handle->node, parent, how, name))
            moves_note(handle, revision);
    }
}

void handle_on_attr(struct fs *fs, struct node *node, const struct fs_file *file)
{
    (void)fs;
    LIST_FOR_EACH(link, &node->handles) {
        struct handle *handle = container_of(link, struct handle, of_node);
        if (handle->removed || handle->file.create_revision != file->create_revision)
            continue;
        struct fs_file changed = handle->file;
        changed.attr.st_mode = file->attr.st_mode;
        changed.attr.st_uid = file->attr.st_uid;
        changed.attr.st_gid = file->attr.st_gid;
        changed.attr.st_ctim = file->attr.st_ctim;
        if (changed.mod_revision == file->mod_revision) {
            changed.attr.st_atim = file->attr.st_atim;
            changed.attr.st_mtim = file->attr.st_mtim;
        }
        changed.meta = file->meta;
        changed.meta_mod_revision = file->meta_mod_revision;
        handle_set_file(handle, &changed);
    }
}
