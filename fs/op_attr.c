/* Attributes: GETATTR, SETATTR, STATFS, and extended attributes. A change is a read of what stands there,
 * a change of its record, and one txn that writes the record alone: the content is not rewritten, and
 * watchers of the key hear nothing. The txn compares that the key, or the directory, is still the one that
 * was read, and that its record is. */
#include "fs/op.h"

#include <errno.h>
#include <sys/xattr.h>
#include <time.h>

#include "fs/cache.h"
#include "fs/control.h"
#include "fs/handle_internal.h"
#include "fs/snapshot.h"
#include "fs/tree.h"
#include "proto/base/check.h"

#define BLOCK_SIZE 4096
#define SMALL_FILE_BYTES 512    /* what df -i takes a further file for */

/* ---- GETATTR ---- */

static void getattr_start(struct fs_op *op, enum err_code code);
static void getattr_on_parent(struct fs_op *op, enum err_code code);
static void getattr_on_stat(struct fs_op *op, enum err_code code);
static void getattr_root(struct fs_op *op);

static void answer_virtual(struct fs_op *op)
{
    struct stat attr;
    fs_status(op->fs);
    if (control_attr(op->fs, op->node, &attr))
        op_answer_attr(op, op->node, &attr);
    else
        op_answer_errno(op, ENOENT);
}

void op_getattr(struct fs_op *op)
{
    switch (op->node->kind) {
    case NODE_CONTROL_DIRECTORY:
    case NODE_CONTROL_FILE: answer_virtual(op); break;
    case NODE_SNAPSHOTS: op_stat(op, op->node->parent, true, getattr_on_parent); break;
    case NODE_LIVE:
    case NODE_PAST: getattr_start(op, ERR_OK); break;
    }
}

static void getattr_on_parent(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code == ERR_NOT_FOUND ? ERR_CONFLICT : code, false);
        return;
    }
    struct stat attr;
    cache_told(op->node->parent, &op->file);
    snapshot_attr(op->fs, op->node, &attr);
    op_answer_attr(op, op->node, &attr);
}

/* The file is gone: what it was, as long as someone here has it open. */
static void answer_gone(struct fs_op *op)
{
    struct stat attr = op->node->told.attr;
    if (!op->node->told.known) {
        op_answer_errno(op, ESTALE);
        return;
    }
    attr.st_nlink = 0;
    op_answer_attr(op, op->node, &attr);
}

static void getattr_start(struct fs_op *op, enum err_code code)
{
    (void)code;
    struct stat attr;
    if (handle_await_commits(op, op->node, getattr_start))
        return;
    if (op->node->kind == NODE_LIVE && handle_attr_for(op->fs, op->node, op->request.pid, &attr))
        op_answer_attr(op, op->node, &attr);
    else if (op->node->removed)
        answer_gone(op);
    else if (op->node->step == STEP_PARTIAL)
        op_answer_attr(op, op->node, &op->node->told.attr);
    else if (op->node->parent)
        op_stat(op, op->node, true, getattr_on_stat);
    else
        getattr_root(op);
}

/* The way to .fs/status leads through the root: without a quorum it is shown as this host knows it, and
 * one that has gone without being missed yet is not waited for as long as elsewhere. */
static void getattr_root(struct fs_op *op)
{
    op->wait_ms = fs_election_wait_ms(op->fs);
    op_stat(op, op->node, fs_status(op->fs)->has_quorum, getattr_on_stat);
}

static void getattr_on_stat(struct fs_op *op, enum err_code code)
{
    struct node *node = op->node;
    if (code == ERR_TIMEOUT && !node->parent && op->tries++ == 0) {
        op_stat(op, node, false, getattr_on_stat);
        return;
    }
    if (code == ERR_NOT_FOUND) {
        node_remove(&op->fs->nodes, node);
        /* A walk that found it replaced is walked again, once; then it is told what it had found. */
        if (!node->handle_count && handle_may_answer_estale(op->fs->handles, op->request.pid))
            op_answer_errno(op, ESTALE);
        else
            answer_gone(op);
    } else if (code != ERR_OK) {
        op_answer_code(op, code, false);
    } else {
        cache_told(node, &op->file);
        op_answer_attr(op, node, &op->file.attr);
    }
}

/* ---- a change of the record ---- */

/* Changes op->file's meta and attr; 0 or an errno, which is answered. */
typedef int (*attr_change)(struct fs_op *op);
typedef void (*attr_answer)(struct fs_op *op);

static void change_again(struct fs_op *op, enum err_code code);
static void change_on_stat(struct fs_op *op, enum err_code code);
static void change_on_committed(struct fs_op *op, enum err_code code);

static void change_start(struct fs_op *op, attr_change change, attr_answer answer)
{
    op->change = change;
    op->change_answer = answer;
    if (!handle_commit_pending(op, op->node, change_again))
        change_again(op, ERR_OK);
}

/* A file that is gone lives on for its handles; its attributes then are theirs alone. */
static void change_gone(struct fs_op *op)
{
    op->file = (struct fs_file){.attr = op->node->told.attr};
    int error = op->node->told.known && op->node->handle_count ? op->change(op) : ESTALE;
    if (error) {
        op_answer_errno(op, error);
        return;
    }
    op->node->told.attr = op->file.attr;
    handle_on_attr(op->fs, op->node, &op->file);
    op->change_answer(op);
}

static void change_again(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK)
        op_answer_code(op, code, false);
    else if (op->node->removed)
        change_gone(op);
    else if (op->node->step == STEP_PARTIAL)
        op_answer_errno(op, EPERM);
    else
        op_stat(op, op->node, true, change_on_stat);
}

/* Makes the record one that may be written anew: what was true because of its own revision is spelled
 * out, because that revision changes. */
static void make_explicit(struct fs_file *file)
{
    struct meta *meta = &file->meta;
    bool is_directory = S_ISDIR(file->attr.st_mode);
    kv_rev own = is_directory ? file->change_revision : file->mod_revision;
    bool is_node = !is_directory && !file->has_key;
    bool count = file->meta_mod_revision && meta_times_count(meta, file->meta_mod_revision, own);
    if (!count)
        meta->has_mtime = meta->has_atime = false;
    if (is_node && !meta->has_mtime) {      /* its time would be that of its record */
        meta->has_mtime = true;
        meta->mtime = layout_time(file->attr.st_mtim);
    }
    meta->mtime_for = is_node ? 0 : own;
    if (is_directory && file->is_implicit)
        meta->file_id = file->attr.st_ino;
    if (file->has_key)
        meta->for_create = file->create_revision;
}

/* The record that is there, unless it may be one that does not count (then it is written over). */
static void compare_record(struct tree *tree, struct bytes key, const struct fs_file *file)
{
    bool is_directory = S_ISDIR(file->attr.st_mode);
    kv_rev record = is_directory ? file->directory_mod_revision : file->meta_mod_revision;
    if (record == 0 && tree->op->tries > 1)
        return;
    struct bytes prefix = bytes_of_text(is_directory ? KV_DIR_PREFIX : KV_META_PREFIX);
    tree_compare(tree, op_join(tree->op, prefix, key), BYTES_EMPTY, KV_COMPARE_MOD, KV_EQUAL, record);
}

static void change_on_stat(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code == ERR_NOT_FOUND ? ERR_CONFLICT : code, false);
        return;
    }
    struct fs_file *file = &op->file;
    make_explicit(file);
    int error = op->change(op);
    struct bytes key = op_key(op, op->node);
    bool is_root = !op->node->parent;
    if (!error && is_root && op->fs->layout.prefix.size == 0)
        error = EPERM;                          /* a root without a name has nowhere for a record */
    if (error) {
        op_answer_errno(op, error);
        return;
    }
    struct tree tree;
    tree_init(&tree, op);
    if (!is_root)
        tree_stands(&tree, key, file);
    compare_record(&tree, key, file);
    if (S_ISDIR(file->attr.st_mode)) {
        tree_put_directory(&tree, key, &file->meta);
        tree_read_directory(&tree, key);
    } else {
        tree_put_meta(&tree, key, &file->meta);
        tree_read_meta(&tree, key);
    }
    tree_submit(&tree, change_on_committed);
}

static void change_on_committed(struct fs_op *op, enum err_code code)
{
    struct fs_file *file = &op->file;
    if (code != ERR_OK) {
        op_answer_code(op, code, false);
        return;
    }
    if (!op->kv.result.txn.succeeded) {
        if (++op->tries >= OP_TRIES_MAX)
            op_answer_errno(op, ESTALE);
        else
            op_stat(op, op->node, true, change_on_stat);
        return;
    }
    const struct kv_item *item = tree_item(op, 1);
    CHECK(item != NULL);
    file->meta_mod_revision = item->mod_revision;
    if (S_ISDIR(file->attr.st_mode)) {
        file->directory_create_revision = item->create_revision;
        file->directory_mod_revision = item->mod_revision;
        file->is_implicit = false;
    } else if (!file->has_key) {
        file->mod_revision = item->mod_revision;
    }
    file->attr.st_ctim = layout_timespec(item->mod_time);
    cache_told(op->node, file);
    handle_on_attr(op->fs, op->node, file);
    op->change_answer(op);
}

/* ---- SETATTR ---- */

static kv_time now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return layout_time(time);
}

static void set_owner(const struct kernel_request *request, struct fs_file *file)
{
    struct stat *attr = &file->attr;
    if (request->set & KERNEL_SET_UID)
        attr->st_uid = request->attr.st_uid;
    if (request->set & KERNEL_SET_GID)
        attr->st_gid = request->attr.st_gid;
    file->meta.has_owner = true;
    file->meta.uid = attr->st_uid;
    file->meta.gid = attr->st_gid;
}

static void set_times(const struct kernel_request *request, struct fs_file *file)
{
    struct meta *meta = &file->meta;
    struct stat *attr = &file->attr;
    unsigned set = request->set;
    kv_time at = now();
    if (set & (KERNEL_SET_MTIME | KERNEL_SET_MTIME_NOW)) {
        meta->has_mtime = true;
        meta->mtime = set & KERNEL_SET_MTIME_NOW ? at : layout_time(request->attr.st_mtim);
        attr->st_mtim = layout_timespec(meta->mtime);
        if (!meta->has_atime) {                 /* it followed the old mtime, and keeps it */
            meta->has_atime = true;
            meta->atime = layout_time(attr->st_atim);
        }
    }
    if (set & (KERNEL_SET_ATIME | KERNEL_SET_ATIME_NOW)) {
        meta->has_atime = true;
        meta->atime = set & KERNEL_SET_ATIME_NOW ? at : layout_time(request->attr.st_atim);
        attr->st_atim = layout_timespec(meta->atime);
    }
}

static int setattr_change(struct fs_op *op)
{
    const struct kernel_request *request = &op->request;
    struct fs_file *file = &op->file;
    if (request->set & KERNEL_SET_MODE) {
        mode_t mode = request->attr.st_mode & 07777;
        file->attr.st_mode = (file->attr.st_mode & S_IFMT) | mode;
        file->meta.has_mode = true;
        file->meta.mode = mode;
    }
    if (request->set & (KERNEL_SET_UID | KERNEL_SET_GID))
        set_owner(request, file);
    set_times(request, file);
    return 0;
}

static void setattr_answer(struct fs_op *op) { op_answer_attr(op, op->node, &op->file.attr); }

void op_setattr(struct fs_op *op)
{
    if (!op_may_change(op, op->node) || handle_setattr(op))
        return;
    if (op->request.set & KERNEL_SET_SIZE)
        op_answer_errno(op, S_ISDIR(op->node->told.attr.st_mode) ? EISDIR : EINVAL);
    else
        change_start(op, setattr_change, setattr_answer);
}

/* ---- extended attributes ---- */

static bool is_user(struct bytes name)
{
    return bytes_starts_with(name, BYTES_LITERAL("user.")) && name.size > 5;
}

/* Where name stands in the sorted list, or would. */
static size_t xattr_place(const struct meta *meta, struct bytes name, bool *ret_found)
{
    size_t at = 0;
    int order = 1;
    while (at < meta->xattr_count && (order = bytes_compare(meta->xattrs[at].name, name)) < 0)
        at++;
    *ret_found = at < meta->xattr_count && order == 0;
    return at;
}

static size_t xattrs_size(const struct meta *meta)
{
    size_t size = 0;
    for (size_t i = 0; i < meta->xattr_count; i++)
        size += meta->xattrs[i].name.size + meta->xattrs[i].value.size;
    return size;
}

int op_xattr_set(struct fs_op *op, struct meta *meta)
{
    const struct kernel_request *request = &op->request;
    bool found;
    size_t at = xattr_place(meta, request->name, &found);
    if (found && (request->flags & XATTR_CREATE))
        return EEXIST;
    if (!found && (request->flags & XATTR_REPLACE))
        return ENODATA;
    size_t count = meta->xattr_count + (found ? 0 : 1);
    struct meta_xattr *xattrs = ARENA_NEW_ARRAY(&op->arena, struct meta_xattr, count);
    size_t rest = found ? at + 1 : at;
    if (at)
        memcpy(xattrs, meta->xattrs, at * sizeof(*xattrs));
    xattrs[at] = (struct meta_xattr){arena_copy(&op->arena, request->name), request->data};
    if (meta->xattr_count > rest)
        memcpy(xattrs + at + 1, meta->xattrs + rest, (meta->xattr_count - rest) * sizeof(*xattrs));
    meta->xattrs = xattrs;
    meta->xattr_count = count;
    return xattrs_size(meta) > XATTR_SIZE_MAX ? ENOSPC : 0;
}

int op_xattr_remove(struct fs_op *op, struct meta *meta)
{
    bool found;
    size_t at = xattr_place(meta, op->request.name, &found);
    if (!found)
        return ENODATA;
    memmove(meta->xattrs + at, meta->xattrs + at + 1,
            (meta->xattr_count - at - 1) * sizeof(*meta->xattrs));
    meta->xattr_count--;
    return 0;
}

static int setxattr_change(struct fs_op *op) { return op_xattr_set(op, &op->file.meta); }
static int removexattr_change(struct fs_op *op) { return op_xattr_remove(op, &op->file.meta); }
static void answer_done(struct fs_op *op) { op_answer_errno(op, 0); }

/* A namespace that is not ours is refused at once: the kernel asks for some at every save. */
static bool xattr_is_known(struct fs_op *op)
{
    bool known = is_user(op->request.name) &&
                 (op->node->kind == NODE_LIVE || op->node->kind == NODE_PAST);
    if (!known)
        op_answer_errno(op, EOPNOTSUPP);
    return known;
}

void op_setxattr(struct fs_op *op)
{
    if (!xattr_is_known(op) || !op_may_change(op, op->node))
        return;
    op_keep_data(op);
    if (op->request.data.size > XATTR_SIZE_MAX)
        op_answer_errno(op, E2BIG);
    else if (!handle_setxattr(op))
        change_start(op, setxattr_change, answer_done);
}

void op_removexattr(struct fs_op *op)
{
    if (xattr_is_known(op) && op_may_change(op, op->node) && !handle_setxattr(op))
        change_start(op, removexattr_change, answer_done);
}

/* Answers with bytes, or with their size when the caller only asks for that. */
static void answer_sized(struct fs_op *op, struct bytes data)
{
    if (op->request.size == 0)
        op_answer_count(op, data.size);
    else if (data.size > op->request.size)
        op_answer_errno(op, ERANGE);
    else
        op_answer_data(op, data);
}

static void xattr_answer_get(struct fs_op *op)
{
    bool found;
    size_t at = xattr_place(&op->file.meta, op->request.name, &found);
    if (found)
        answer_sized(op, op->file.meta.xattrs[at].value);
    else
        op_answer_errno(op, ENODATA);
}

static void xattr_answer_list(struct fs_op *op)
{
    const struct meta *meta = &op->file.meta;
    size_t size = 0;
    for (size_t i = 0; i < meta->xattr_count; i++)
        size += meta->xattrs[i].name.size + 1;
    uint8_t *to = arena_zalloc(&op->arena, size + 1), *place = to;
    for (size_t i = 0; i < meta->xattr_count; i++) {
        struct bytes name = meta->xattrs[i].name;
        memcpy(place, name.data, name.size);
        place += name.size + 1;
    }
    answer_sized(op, bytes_of(to, size));
}

static void xattr_on_stat(struct fs_op *op, enum err_code code)
{
    if (code == ERR_NOT_FOUND && op->node->handle_count) {
        memset(&op->file, 0, sizeof(op->file));
        code = ERR_OK;
    }
    if (code != ERR_OK) {
        op_answer_code(op, code == ERR_NOT_FOUND ? ERR_CONFLICT : code, false);
        return;
    }
    handle_overlay(op, op->node, &op->file.meta);
    if (op->request.kind == KERNEL_GETXATTR)
        xattr_answer_get(op);
    else
        xattr_answer_list(op);
}

static void xattr_read(struct fs_op *op)
{
    if (op->node->step == STEP_PARTIAL || op->node->pending || op->node->removed)
        xattr_on_stat(op, ERR_NOT_FOUND);
    else
        op_stat(op, op->node, true, xattr_on_stat);
}

void op_getxattr(struct fs_op *op)
{
    if (xattr_is_known(op))
        xattr_read(op);
}

void op_listxattr(struct fs_op *op)
{
    if (op->node->kind == NODE_LIVE || op->node->kind == NODE_PAST)
        xattr_read(op);
    else
        answer_sized(op, BYTES_EMPTY);
}

/* ---- STATFS ---- */

void op_statfs(struct fs_op *op)
{
    const struct kv_status *status = fs_status(op->fs);
    uint64_t limit = status->quota_limit, used = status->quota_used;
    uint64_t free_bytes = limit > used ? limit - used : 0;
    if (status->disk_total && status->disk_free < free_bytes)
        free_bytes = status->disk_free;
    uint64_t keys = status->key_count == UINT64_MAX ? 0 : status->key_count;
    struct statvfs answer = {
        .f_bsize = BLOCK_SIZE, .f_frsize = BLOCK_SIZE,
        .f_blocks = (used + free_bytes) / BLOCK_SIZE,
        .f_bfree = free_bytes / BLOCK_SIZE, .f_bavail = free_bytes / BLOCK_SIZE,
        .f_files = keys + free_bytes / SMALL_FILE_BYTES,
        .f_ffree = free_bytes / SMALL_FILE_BYTES, .f_favail = free_bytes / SMALL_FILE_BYTES,
        .f_namemax = NAME_SIZE_MAX,
    };
    op_answer_statfs(op, &answer);
}
