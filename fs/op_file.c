/* Requests on files: OPEN, CREATE, READ, WRITE, FLUSH, RELEASE, FSYNC, FALLOCATE, LSEEK.
 *
 * When a FLUSH publishes. A shell's `echo 8080 > f` is OPEN, SETATTR(size 0), FLUSH, WRITE, FLUSH, because
 * dup2 closes the first descriptor; a forked child sends FLUSH for a file that its parent goes on writing.
 *
 *   from another process while the opener is in    answered at once; the bytes stay staged
 *   from the opener, a bare truncate               the first one waits: a WRITE is to be expected
 *   from the opener, otherwise dirty               one txn
 *   from the opener, nothing dirty                 after a WRITE or a foreign FLUSH it is out: it has
 *                                                  handed the file on
 *   the opener is out or gone                      every one that finds something dirty: one txn
 *
 * What is left is published by FSYNC, by RELEASE, or by the timers of handle.c. */
#include <errno.h>
#include <unistd.h>

#include "fs/cache.h"
#include "fs/handle_internal.h"
#include "fs/make.h"
#include "fs/op_lock.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"

#define IS_SYNC(flags) (((flags) & O_DSYNC) != 0)     /* O_SYNC holds that bit too */

/* ---- what OPEN and CREATE share ---- */

static bool wants_writing(const struct fs_op *op)
{
    return (op->request.flags & O_ACCMODE) != O_RDONLY;
}

static struct handle *open_handle(struct fs_op *op, struct node *node, const struct fs_file *file,
                                  struct bytes key, kv_rev store_revision)
{
    struct handles *handles = op->fs->handles;
    struct handle *handle = handle_new(op->fs, node, file, key, store_revision, op->request.flags,
                                       false);
    if (!handle)
        return NULL;
    handle->opener = process_of(handles->processes, op->request.pid, handle->writable);
    return handle;
}

static struct kernel_open open_of(const struct handle *handle)
{
    bool is_past = handle->node->kind == NODE_PAST;
    return (struct kernel_open){.handle = handle->id, .direct_io = !is_past, .keep_cache = is_past,
                                .no_flush = !handle->writable};
}

static void forget_attr(struct fs *fs, const struct node *node)
{
    fs->kernel->ops->note(fs->kernel,
                          &(struct kernel_note){.kind = KERNEL_NOTE_ATTR, .node = node->id});
}

/* The caller has gone: no RELEASE will come, and nothing was written. */
static void give_up(struct handle *handle)
{
    handle->refused = true;
    handle_save_released(handle);
    handle_unref(handle);
}

/* ---- OPEN ---- */

static void open_start(struct fs_op *op, enum err_code code);
static void open_on_current(struct fs_op *op, enum err_code code);
static void open_on_stat(struct fs_op *op, enum err_code code);

void op_open(struct fs_op *op)
{
    if (!wants_writing(op) || op_may_change(op, op->node))
        open_start(op, ERR_OK);
}

/* Whoever waited in vain to begin a change is told as one who begins it later. */
static void open_fail(struct fs_op *op, enum err_code code)
{
    if (wants_writing(op) && code == ERR_TIMEOUT)
        code = ERR_NO_LEADER;
    op_answer_errno(op, op_errno(op, code, wants_writing(op), false));
}

static void open_answer(struct fs_op *op, struct handle *handle)
{
    handle_forget_estale(op->fs->handles, op->request.pid);
    struct kernel_open open = open_of(handle);
    if (!op_answer_open(op, &open))
        give_up(handle);
}

/* A file that was replaced between the walk to it and this OPEN, and again between the second walk and
 * the second OPEN: the thread reads what stood there when it looked, as it would have had it been a
 * moment earlier. */
static void open_replaced(struct fs_op *op)
{
    struct node *node = op->node;
    if (wants_writing(op) || !node->told.known || !S_ISREG(node->told.attr.st_mode) ||
        handle_may_answer_estale(op->fs->handles, op->request.pid)) {
        op_answer_errno(op, ESTALE);
        return;
    }
    struct fs_file file = {.attr = node->told.attr, .has_key = true,
                           .create_revision = node->told.create_revision,
                           .mod_revision = node->told.mod_revision};
    struct handle *handle = open_handle(op, node, &file, op_key(op, node), file.mod_revision);
    if (!handle) {
        op_answer_errno(op, ENFILE);
        return;
    }
    handle->removed = true;
    handle_update_pins(node);
    open_answer(op, handle);
}

/* The kernel names a file that is gone (/proc/self/fd/N of an unlinked one): whoever has it open shows
 * what it is. */
static void open_removed(struct fs_op *op)
{
    struct node *node = op->node;
    if (list_is_empty(&node->handles)) {
        open_replaced(op);
        return;
    }
    struct handle *other = container_of(node->handles.previous, struct handle, of_node);
    struct handle *handle = open_handle(op, node, &other->file, buf_bytes(&other->key),
                                        other->store_revision);
    if (!handle) {
        op_answer_errno(op, ENFILE);
        return;
    }
    handle->removed = true;
    if (other->staging.begun)
        staging_begin(&handle->staging, staging_view(&other->staging));
    handle_update_pins(node);
    open_answer(op, handle);
}

/* Nobody but its maker reads a file that has not been saved once. */
static bool open_is_too_early(const struct fs_op *op)
{
    const struct node *node = op->node;
    if (!node->pending || wants_writing(op))
        return false;
    return !handle_belongs_to(container_of(node->handles.next, struct handle, of_node),
                              op->request.pid);
}

static void open_start(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK)
        open_fail(op, code);
    else if (op->node->removed)
        open_removed(op);
    else if (open_is_too_early(op))
        op_answer_errno(op, ENOENT);
    else if (wants_writing(op) && op->request.flags & O_TRUNC && fs_status(op->fs)->no_space)
        op_answer_errno(op, ENOSPC);
    else if (handle_await_commits(op, op->node, open_start) ||
             handle_commit_pending(op, op->node, open_start))
        return;
    else if (wants_writing(op) && !fs_status(op->fs)->has_quorum) {
        op_prepare(op, KV_CURRENT);             /* waits for it, whatever reads= says */
        op_submit(op, open_on_current);
    } else {
        op_stat(op, op->node, true, open_on_stat);
    }
}

static void open_on_current(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK)
        op_answer_errno(op, code == ERR_CANCELED ? EINTR : EROFS);
    else
        op_stat(op, op->node, true, open_on_stat);
}

/* What the kernel was told is no longer so: it is to walk again, once. */
static bool open_sends_back(struct fs_op *op, enum err_code code)
{
    struct node *node = op->node;
    struct fs *fs = op->fs;
    bool differs = code == ERR_NOT_FOUND;
    if (code == ERR_OK)
        differs = cache_differs(node, &op->file) ||
                  (node->pinned_revision && node->pinned_revision != op->file.mod_revision);
    if (!differs || node->kind != NODE_LIVE)
        return false;
    forget_attr(fs, node);
    return handle_may_answer_estale(fs->handles, op->request.pid);
}

static void open_on_stat(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK && code != ERR_NOT_FOUND) {
        open_fail(op, code);
        return;
    }
    if (open_sends_back(op, code)) {
        op_answer_errno(op, ESTALE);
        return;
    }
    if (code == ERR_NOT_FOUND && handle_walked_since_estale(op->fs->handles, op->request.pid, op->node)) {
        node_remove(&op->fs->nodes, op->node);
        open_removed(op);
        return;
    }
    if (code == ERR_NOT_FOUND) {
        handle_forget_estale(op->fs->handles, op->request.pid);
        open_fail(op, code);
        return;
    }
    struct handle *handle = open_handle(op, op->node, &op->file, op_key(op, op->node),
                                        op->kv.revision);
    if (!handle)
        op_answer_errno(op, ENFILE);
    else
        open_answer(op, handle);
}

/* ---- CREATE ---- */

static void create_start(struct fs_op *op, enum err_code code);
static void create_on_found(struct fs_op *op, enum err_code code);

void op_create(struct fs_op *op)
{
    if (!op_may_change(op, op->node))
        return;
    if (op->request.flags & O_EXCL)
        make_start(op, META_FILE, op->request.mode, 0, BYTES_EMPTY);
    else if (op_take_name(op, true))
        create_start(op, ERR_OK);
}

static void create_answer(struct fs_op *op, struct handle *handle)
{
    struct node *node = handle->node;
    struct kernel_open open = open_of(handle);
    struct fs_file file = op->file;
    if (!op_answer_create(op, node, &file, &open))
        give_up(handle);
}

void handle_created(struct fs_op *op, struct node *node, struct bytes key)
{
    struct handle *handle = open_handle(op, node, &op->file, key, op->kv.revision);
    if (!handle) {
        op_answer_errno(op, ENFILE);
        return;
    }
    handle->made_here = true;
    create_answer(op, handle);
}

/* An identity for a file that no revision names yet. */
static uint64_t draw_file_id(struct handles *handles)
{
    uint64_t id;
    do
        id = hash_u64(rand_u64(&handles->rand)) >> 1;
    while (id <= 1);
    return id;
}

/* What the file will be once it is saved, as far as that is known. */
static void pending_file(struct fs_op *op, struct bytes key)
{
    kv_time now = handle_now();
    struct kv_item item = {.create_revision = 1, .mod_revision = 1, .version = 1,
                           .create_time = now, .mod_time = now};
    struct meta meta;
    tree_new_meta(op, op->node, META_FILE, op->request.mode, &meta);
    meta.file_id = draw_file_id(op->fs->handles);
    tree_made(op, key, &item, &meta, true, &op->file);
    op->file.create_revision = op->file.mod_revision = op->file.meta_mod_revision = 0;
}

static void create_pending(struct fs_op *op)
{
    struct fs *fs = op->fs;
    struct bytes key;
    if (fs_status(fs)->no_space) {
        op_answer_errno(op, ENOSPC);
        return;
    }
    if (!op_name_key(op, &key))
        return;
    pending_file(op, key);
    struct node *node = node_new(&fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    node->pending = true;
    struct handle *handle = open_handle(op, node, &op->file, key, 0);
    if (!handle) {
        node->pending = false;
        node_remove(&fs->nodes, node);
        node_unref(&fs->nodes, node);
        op_answer_errno(op, ENFILE);
        return;
    }
    node_unref(&fs->nodes, node);
    staging_begin(&handle->staging, BYTES_EMPTY);
    if (op->request.flags & O_TRUNC)
        CHECK(staging_truncate(&handle->staging, 0) == ERR_OK);
    handle_on_staged(handle);
    create_answer(op, handle);
}

static void create_start(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK)
        open_fail(op, code);
    else if (handle_commit_pending_name(op, op->node, op->how, op->raw, create_start))
        return;
    else if (node_find(&op->fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0))
        op_stat_name(op, op->node, op->how, op->raw, create_on_found);
    else
        create_pending(op);
}

/* It came to be between the kernel's lookup and this request: opened as it is. */
static void create_on_found(struct fs_op *op, enum err_code code)
{
    struct fs *fs = op->fs;
    if (code == ERR_NOT_FOUND) {
        struct node *old = node_find(&fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
        if (old)
            node_remove(&fs->nodes, old);
        create_pending(op);
        return;
    }
    if (code != ERR_OK || !S_ISREG(op->file.attr.st_mode)) {
        op_answer_errno(op, code == ERR_OK ? EEXIST : op_errno(op, code, true, true));
        return;
    }
    struct bytes key;
    if (!op_name_key(op, &key))
        return;
    struct node *node = op_entry_node(op, op->node, op->how, op->raw, &op->file);
    struct handle *handle = open_handle(op, node, &op->file, key, op->kv.revision);
    node_unref(&fs->nodes, node);
    if (!handle) {
        op_answer_errno(op, ENFILE);
        return;
    }
    if (op->request.flags & O_TRUNC) {
        staging_begin(&handle->staging, BYTES_EMPTY);
        CHECK(staging_truncate(&handle->staging, 0) == ERR_OK);
        handle_on_staged(handle);
    }
    create_answer(op, handle);
}

/* ---- READ ---- */

static struct bytes slice(struct bytes whole, off_t offset, size_t size)
{
    if (offset < 0 || (uint64_t)offset >= whole.size)
        return BYTES_EMPTY;
    struct bytes rest = bytes_skip(whole, (size_t)offset);
    return bytes_of(rest.data, rest.size < size ? rest.size : size);
}

/* A page fault fills the node's pages, which all its handles share: it may not bring bytes of a version
 * that another handle does not have. (It has no lock owner; read(2) has.) */
static bool would_mix(const struct fs_op *op, const struct handle *handle)
{
    if (op->request.has_lock_owner || handle->node->kind != NODE_LIVE)
        return false;
    LIST_FOR_EACH(link, &handle->node->handles) {
        const struct handle *other = container_of(link, struct handle, of_node);
        if (other->readable && !other->staging.begun && !handle->staging.begun &&
            other->file.mod_revision != handle->file.mod_revision)
            return true;
    }
    return false;
}

static void read_answer(struct fs_op *op, struct bytes whole)
{
    op_answer_data(op, slice(whole, op->request.offset, op->request.size));
}

static void read_on_loaded(struct fs_op *op, enum err_code code)
{
    const struct handle *handle = op->keep.a;
    if (code == ERR_OK)
        read_answer(op, blob_bytes(handle->content->blob));
    else
        op_answer_errno(op, op_errno(op, code, false, false));
}

void op_read(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    op->keep.a = handle;
    if (!handle)
        op_answer_errno(op, EBADF);
    else if (would_mix(op, handle))
        op_answer_errno(op, EIO);
    else if (handle->staging.begun)
        read_answer(op, staging_view(&handle->staging));
    else if (!content_load(op, handle, read_on_loaded))
        read_on_loaded(op, ERR_OK);
}

/* ---- WRITE ---- */

static void write_start(struct fs_op *op, enum err_code code);
static void write_on_saved(struct fs_op *op, enum err_code code);

void op_write(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    op->keep.a = handle;
    if (!handle || !handle->writable) {
        op_answer_errno(op, EBADF);
        return;
    }
    if (!handle->staging.begun)
        op_keep_data(op);                       /* the content may have to be read first */
    write_start(op, ERR_OK);
}

/* Who writes to a set-id file is not its owner's program: the bits go, as on every filesystem. The kernel
 * takes a WRITE to change size and times alone. */
static void drop_set_ids(struct handle *handle, uid_t uid)
{
    struct stat attr;
    handle_attr(handle, &attr);
    mode_t drop = S_ISUID | (attr.st_mode & S_IXGRP ? S_ISGID : 0);
    if (uid == 0 || !(attr.st_mode & drop))
        return;
    handle->staging.live.attributes.has_mode = true;
    handle->staging.live.attributes.mode = (attr.st_mode & 07777) & ~drop;
    forget_attr(handle->handles->fs, handle->node);
}

static enum err_code write_stage(struct fs_op *op, struct handle *handle)
{
    const struct kernel_request *request = &op->request;
    struct staging *staging = &handle->staging;
    bool appends = request->flags & O_APPEND;
    if (request->offset < 0)
        return ERR_INVALID;
    /* A full disk is told now: few programs look at what close says. */
    if (handle->handles->staged_bytes + request->data.size > STAGED_BYTES_MAX ||
        fs_status(op->fs)->no_space)
        return ERR_NO_SPACE;
    enum err_code code = appends
                             ? staging_append(staging, request->data)
                             : staging_write(staging, (uint64_t)request->offset, request->data);
    if (code != ERR_OK)
        return code;
    drop_set_ids(handle, request->uid);
    handle->wrote = true;
    handle->appends = appends;
    handle->appended += request->data.size;
    return ERR_OK;
}

static void write_start(struct fs_op *op, enum err_code code)
{
    struct handle *handle = op->keep.a;
    if (code == ERR_OK && handle_begin(op, handle, false, write_start, &code))
        return;
    if (code == ERR_OK)
        code = write_stage(op, handle);
    if (code != ERR_OK) {
        op_answer_errno(op, op_errno(op, code, true, false));
        return;
    }
    size_t size = op->request.data.size;
    op->keep.c = size;
    if (IS_SYNC(op->request.flags | handle->flags)) {
        handle->touched = handle_now();
        handle->refused = handle->made_here = false;
        handle_save(handle, op, write_on_saved);
    } else {
        handle_on_staged(handle);
        op_answer_count(op, size);
    }
}

static void write_on_saved(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK)
        op_answer_count(op, (size_t)op->keep.c);
    else
        op_answer_errno(op, op_errno(op, code, true, false));
}

/* ---- FLUSH, FSYNC, RELEASE ---- */

static void on_saved(struct fs_op *op, enum err_code code)
{
    op_answer_errno(op, op_errno(op, code, true, false));
}

/* Whether this FLUSH publishes; notes what it tells about the opener. */
static bool flush_publishes(struct handle *handle, pid_t pid)
{
    struct process_door *processes = handle->handles->processes;
    bool own = process_has(processes, &handle->opener, pid);
    if (!own && !handle->opener_out)
        handle->opener_out = process_is_gone(processes, &handle->opener);
    if (!own && !handle->opener_out) {
        handle->foreign_flush = true;
        return false;
    }
    if (!handle_is_dirty(handle)) {
        if (own && (handle->wrote || handle->foreign_flush))
            handle->opener_out = true;
        return false;
    }
    if (handle->save.running)
        return true;
    if (own && !handle->opener_out && handle_is_bare(handle))
        return ++handle->bare_flushes > 1;
    return true;
}

void op_flush(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    if (op->request.has_lock_owner)
        locks_on_flush(op->fs, op->node, op->request.lock_owner);
    if (!handle || !handle->writable)
        op_answer_errno(op, handle ? 0 : EBADF);
    else if (flush_publishes(handle, op->request.pid))
        handle_save(handle, op, on_saved);
    else
        op_answer_errno(op, 0);
}

void op_fsync(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    if (!handle)
        op_answer_errno(op, EBADF);
    else
        handle_save(handle, op, on_saved);
}

void op_release(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    if (!handle || handle->released) {
        op_answer_errno(op, EBADF);
        return;
    }
    locks_on_release(op->fs, op->node, handle->id, op->request.lock_owner, op->request.ends_flock);
    handle_save_released(handle);
    handle_unref(handle);
    op_answer_errno(op, 0);
}

/* ---- FALLOCATE ---- */

static void fallocate_start(struct fs_op *op, enum err_code code);

void op_fallocate(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    int mode = op->request.flags;
    op->keep.a = handle;
    if (!handle || !handle->writable)
        op_answer_errno(op, EBADF);
    else if (op->request.offset < 0 || op->request.length <= 0)
        op_answer_errno(op, EINVAL);
    else if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        op_answer_errno(op, EOPNOTSUPP);
    else if (mode == FALLOC_FL_KEEP_SIZE)
        op_answer_errno(op, 0);                 /* room is not kept ahead here */
    else
        fallocate_start(op, ERR_OK);
}

static enum err_code fallocate_stage(struct fs_op *op, struct handle *handle)
{
    struct staging *staging = &handle->staging;
    int mode = op->request.flags;
    uint64_t offset = (uint64_t)op->request.offset, length = (uint64_t)op->request.length;
    uint64_t end = offset + length;
    enum err_code code = ERR_OK;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > staging->size_max)
        return ERR_TOO_BIG;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        code = staging_zero(staging, offset, length);
    if (code == ERR_OK && !(mode & FALLOC_FL_KEEP_SIZE) && end > staging_view(staging).size)
        code = staging_truncate(staging, end);
    return code;
}

static void fallocate_start(struct fs_op *op, enum err_code code)
{
    struct handle *handle = op->keep.a;
    if (code == ERR_OK && handle_begin(op, handle, false, fallocate_start, &code))
        return;
    if (code == ERR_OK)
        code = fallocate_stage(op, handle);
    if (code == ERR_OK) {
        handle->wrote = true;
        handle->appends = false;
        handle_on_staged(handle);
    }
    op_answer_errno(op, op_errno(op, code, true, false));
}

/* ---- LSEEK: all of a file is data, and a hole follows it ---- */

void op_lseek(struct fs_op *op)
{
    struct handle *handle = handle_of(op);
    off_t offset = op->request.offset;
    struct stat attr;
    if (!handle) {
        op_answer_errno(op, EBADF);
        return;
    }
    handle_attr(handle, &attr);
    if (op->request.whence != SEEK_DATA && op->request.whence != SEEK_HOLE)
        op_answer_errno(op, EINVAL);
    else if (offset < 0 || offset >= attr.st_size)
        op_answer_errno(op, ENXIO);
    else
        op_answer_offset(op, op->request.whence == SEEK_DATA ? offset : attr.st_size);
}
