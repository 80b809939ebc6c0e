/* Attributes of open files: what a process with a handle is told, and changes that are staged with what
 * it writes, so that tar, cp and rsync cost one commit a file. */
#include <errno.h>
#include <sys/xattr.h>

#include "fs/cache.h"
#include "fs/handle_internal.h"

/* ---- what a process sees ---- */

static void lay_over(struct stat *attr, const struct staging_list *list, kv_time touched)
{
    const struct staged_attributes *staged = &list->attributes;
    if (list->kind != STAGING_NONE)
        attr->st_mtim = attr->st_ctim = layout_timespec(touched);
    if (staged->has_mode)
        attr->st_mode = (attr->st_mode & S_IFMT) | staged->mode;
    if (staged->has_uid)
        attr->st_uid = staged->uid;
    if (staged->has_gid)
        attr->st_gid = staged->gid;
    if (staged->has_atime)
        attr->st_atim = layout_timespec(staged->atime);
    if (staged->has_mtime)
        attr->st_mtim = layout_timespec(staged->mtime);
}

void handle_attr(const struct handle *handle, struct stat *ret)
{
    const struct staging *staging = &handle->staging;
    *ret = handle->file.attr;
    if (staging->begun) {
        ret->st_size = (off_t)staging_view(staging).size;
        ret->st_blocks = (ret->st_size + 511) / 512;
    }
    if (staging->is_frozen)
        lay_over(ret, &staging->frozen, handle->touched);
    lay_over(ret, &staging->live, handle->touched);
    if (handle->removed)
        ret->st_nlink = 0;
}

/* This process's handle on the node that was opened last; only among the dirty ones when there is one. */
static struct handle *find_handle(struct node *node, pid_t pid, bool (*wanted)(const struct handle *))
{
    struct handle *best = NULL;
    LIST_FOR_EACH(link, &node->handles) {
        struct handle *handle = container_of(link, struct handle, of_node);
        if (handle->id == 0 || handle->released || !wanted(handle))
            continue;
        if (!handle_belongs_to(handle, pid))
            continue;
        if (!best || handle_is_dirty(handle) > handle_is_dirty(best) ||
            (handle_is_dirty(handle) == handle_is_dirty(best) && handle->number > best->number))
            best = handle;
    }
    return best;
}

static bool wants_any(const struct handle *handle) { return handle->id != 0; }

/* Takes attribute changes: something of it waits to be saved, or it is the file's maker. */
static bool wants_staging(const struct handle *handle)
{
    return handle_is_dirty(handle) || handle->made_here;
}

static bool wants_fresh(const struct handle *handle)
{
    return handle->writable && !handle->wrote && !handle->staging.begun && !handle->removed;
}

static struct handle *any_pending(const struct node *node)
{
    return node->pending && !list_is_empty(&node->handles)
               ? container_of(node->handles.next, struct handle, of_node)
               : NULL;
}

bool handle_attr_for(struct fs *fs, struct node *node, pid_t pid, struct stat *ret)
{
    (void)fs;
    if (node->handle_count == 0)
        return false;
    struct handle *handle = find_handle(node, pid, wants_any);
    if (!handle)
        handle = any_pending(node);
    if (!handle)
        return false;
    handle_attr(handle, ret);
    return true;
}

void handle_overlay(struct fs_op *op, struct node *node, struct meta *meta)
{
    if (node->handle_count == 0)
        return;
    struct handle *handle = find_handle(node, op->request.pid, wants_staging);
    if (!handle)
        handle = any_pending(node);
    if (!handle)
        return;
    if (node->pending)
        meta_copy(meta, &handle->file.meta, &op->arena);
    staging_attributes_apply(&handle->staging, &op->arena, meta);
}

/* ---- staging what SETATTR asks ---- */

static void stage_times(struct handle *handle, const struct kernel_request *request)
{
    struct staged_attributes *staged = &handle->staging.live.attributes;
    bool saves_content = handle->staging.live.kind != STAGING_NONE || handle->node->pending;
    if (request->set & (KERNEL_SET_MTIME | KERNEL_SET_MTIME_NOW)) {
        bool now = request->set & KERNEL_SET_MTIME_NOW;
        staged->has_mtime = !(now && saves_content);    /* else the save's own time is meant */
        staged->mtime = now ? handle_now() : layout_time(request->attr.st_mtim);
    }
    if (request->set & (KERNEL_SET_ATIME | KERNEL_SET_ATIME_NOW)) {
        bool now = request->set & KERNEL_SET_ATIME_NOW;
        staged->has_atime = !(now && saves_content);
        staged->atime = now ? handle_now() : layout_time(request->attr.st_atim);
    }
}

static void stage_attributes(struct handle *handle, const struct kernel_request *request)
{
    struct staged_attributes *staged = &handle->staging.live.attributes;
    if (request->set & KERNEL_SET_MODE) {
        staged->has_mode = true;
        staged->mode = request->attr.st_mode & 07777;
    }
    if (request->set & KERNEL_SET_UID) {
        staged->has_uid = true;
        staged->uid = request->attr.st_uid;
    }
    if (request->set & KERNEL_SET_GID) {
        staged->has_gid = true;
        staged->gid = request->attr.st_gid;
    }
    bool sizes = request->set & KERNEL_SET_SIZE;
    bool only_now = !(request->set & (KERNEL_SET_MTIME | KERNEL_SET_ATIME));
    if (!(sizes && only_now))                   /* a truncate's own "now" is the save's */
        stage_times(handle, request);
}

/* made_here survives: tar sets owner, mode and times one after the other. */
static void staged(struct handle *handle)
{
    bool made_here = handle->made_here;
    handle_on_staged(handle);
    handle->made_here = made_here;
}

/* ---- a size ---- */

static void resize_on_begun(struct fs_op *op, enum err_code code);
static void resize_on_saved(struct fs_op *op, enum err_code code);

static void resize_end(struct fs_op *op, int error)
{
    struct handle *handle = op->keep.a;
    struct node *node = handle->node;
    struct stat attr;
    if (op->keep.e)
        attr = handle->file.attr;
    else
        handle_attr(handle, &attr);
    if (error)
        op_answer_errno(op, error);
    else
        op_answer_attr(op, node, &attr);
    handle_unref(handle);
}

/* keep.a the handle (a reference), keep.e answer the committed size, keep.f save at once. */
static void resize_start(struct fs_op *op)
{
    struct handle *handle = op->keep.a;
    uint64_t size = (uint64_t)op->request.attr.st_size;
    enum err_code code;
    if (size > handle->staging.size_max) {
        resize_end(op, EFBIG);
        return;
    }
    if (handle_begin(op, handle, size == 0, resize_on_begun, &code))
        return;
    if (code == ERR_OK)
        code = staging_truncate(&handle->staging, size);
    if (code != ERR_OK) {
        resize_end(op, err_errno(code));
        return;
    }
    handle->appends = false;
    stage_attributes(handle, &op->request);
    handle->bare_flushes = 0;
    handle_on_staged(handle);
    if (op->keep.f)
        handle_save(handle, op, resize_on_saved);
    else
        resize_end(op, 0);
}

static void resize_on_begun(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK)
        resize_start(op);
    else
        resize_end(op, op_errno(op, code, false, false));
}

static void resize_on_saved(struct fs_op *op, enum err_code code)
{
    resize_end(op, op_errno(op, code, true, false));
}

static void resize_handle(struct fs_op *op, struct handle *handle, bool answer_committed, bool save)
{
    op->keep.a = handle_ref(handle);
    op->keep.e = answer_committed;
    op->keep.f = save;
    resize_start(op);
}

/* ---- truncate(2): a handle of our own, saved at once ---- */

static void truncate_start(struct fs_op *op, enum err_code code);
static void truncate_on_stat(struct fs_op *op, enum err_code code);

static void truncate_start(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK)
        op_answer_errno(op, op_errno(op, code, true, false));
    else if (op->node->removed)
        op_answer_errno(op, ENOENT);
    else if (!handle_await_commits(op, op->node, truncate_start) &&
             !handle_commit_pending(op, op->node, truncate_start))
        op_stat(op, op->node, true, truncate_on_stat);
}

static void truncate_on_stat(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_errno(op, op_errno(op, code, true, false));
        return;
    }
    struct handle *handle = handle_new(op->fs, op->node, &op->file, op_key(op, op->node),
                                       op->kv.revision, O_WRONLY, true);
    resize_handle(op, handle, false, true);
    handle_unref(handle);
}

/* ---- the hooks ---- */

static void setattr_size(struct fs_op *op)
{
    const struct kernel_request *request = &op->request;
    struct handle *handle;
    if (request->has_handle) {
        handle = handle_of(op);
        if (!handle || !handle->writable)
            op_answer_errno(op, EBADF);
        else
            resize_handle(op, handle, false, handle->flags & (O_SYNC | O_DSYNC));
        return;
    }
    handle = request->attr.st_size == 0 ? find_handle(op->node, request->pid, wants_fresh) : NULL;
    if (handle)
        resize_handle(op, handle, true, false);
    else
        truncate_start(op, ERR_OK);
}

bool handle_setattr(struct fs_op *op)
{
    if (op->request.set & KERNEL_SET_SIZE) {
        if (!S_ISREG(op->node->told.attr.st_mode))
            return false;
        setattr_size(op);
        return true;
    }
    if (op->node->handle_count == 0)
        return false;
    struct handle *handle = find_handle(op->node, op->request.pid, wants_staging);
    if (!handle)
        return false;
    struct node *node = op->node;
    struct stat attr;
    stage_attributes(handle, &op->request);
    staged(handle);
    handle_attr(handle, &attr);
    op_answer_attr(op, node, &attr);
    return true;
}

static const struct meta_xattr *find_xattr(const struct meta *meta, struct bytes name)
{
    for (size_t i = 0; i < meta->xattr_count; i++)
        if (bytes_equal(meta->xattrs[i].name, name))
            return &meta->xattrs[i];
    return NULL;
}

/* What setxattr(2) and removexattr(2) refuse; 0: it may be done. */
static int xattr_error(struct fs_op *op, const struct handle *handle, bool removes)
{
    struct meta meta = handle->file.meta;
    size_t total = op->request.name.size + op->request.data.size;
    staging_attributes_apply(&handle->staging, &op->arena, &meta);
    const struct meta_xattr *found = find_xattr(&meta, op->request.name);
    if (removes)
        return found ? 0 : ENODATA;
    if (found && (op->request.flags & XATTR_CREATE))
        return EEXIST;
    if (!found && (op->request.flags & XATTR_REPLACE))
        return ENODATA;
    for (size_t i = 0; i < meta.xattr_count; i++)
        if (&meta.xattrs[i] != found)
            total += meta.xattrs[i].name.size + meta.xattrs[i].value.size;
    return total > XATTR_SIZE_MAX ? ENOSPC : 0;
}

bool handle_setxattr(struct fs_op *op)
{
    bool removes = op->request.kind == KERNEL_REMOVEXATTR;
    if (op->node->handle_count == 0)
        return false;
    struct handle *handle = find_handle(op->node, op->request.pid, wants_staging);
    if (!handle)
        return false;
    int error = xattr_error(op, handle, removes);
    if (!error) {
        staged_attributes_xattr(&handle->staging.live.attributes, op->request.name,
                                op->request.data, removes);
        staged(handle);
    }
    op_answer_errno(op, error);
    return true;
}
