#include "fs/op.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cache.h"
#include "fs/control.h"
#include "fs/interrupt.h"
#include "fs/notify.h"
#include "fs/snapshot.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define POOL_OPS_MAX 64         /* ops kept for reuse; more are freed */

/* ---- the pool ---- */

static struct fs_op *op_new(struct fs *fs)
{
    struct list *link = list_pop_front(&fs->free_ops);
    struct fs_op *op;
    if (link) {
        op = container_of(link, struct fs_op, link);
        fs->free_op_count--;
    } else {
        op = mem_xzalloc(sizeof(*op));
        op->fs = fs;
        list_init(&op->parked);
    }
    list_push_back(&fs->ops, &op->link);
    fs->op_count++;
    return op;
}

static void op_clear(struct fs_op *op)
{
    op->node = op->new_parent = NULL;
    op->step = NULL;
    op->is_waiting = op->interrupted = op->any_signal = op->is_replay = false;
    op->kv.revision = op->wait_ms = 0;
    op->cancel = NULL;
    op->tries = 0;
    op->directory = op->base = op->raw = op->new_raw = BYTES_EMPTY;
    memset(&op->keep, 0, sizeof(op->keep));
    arena_clear(&op->arena);
    arena_clear(&op->kv.arena);
}

static void op_free(struct fs_op *op)
{
    arena_release(&op->arena);
    arena_release(&op->kv.arena);
    free(op);
}

/* Ends the op; its answer has been sent. */
static void op_end(struct fs_op *op)
{
    struct fs *fs = op->fs;
    CHECK(op->kv.owner == NULL);
    CHECK(list_is_empty(&op->parked));
    node_unref(&fs->nodes, op->node);
    node_unref(&fs->nodes, op->new_parent);
    list_remove(&op->link);
    fs->op_count--;
    if (fs->free_op_count >= POOL_OPS_MAX) {
        op_free(op);
        return;
    }
    op_clear(op);
    list_push_front(&fs->free_ops, &op->link);
    fs->free_op_count++;
}

void op_pool_release(struct fs *fs)
{
    for (struct list *link; (link = list_pop_front(&fs->free_ops)) != NULL;)
        op_free(container_of(link, struct fs_op, link));
    fs->free_op_count = 0;
}

/* ---- arrival ---- */

/* Files and folders are always ready. */
void op_poll(struct fs_op *op)
{
    if (op->request.poll)
        op->fs->kernel->ops->poll_end(op->fs->kernel, op->request.poll, false);
    op_answer_poll(op, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

static void op_not_supported(struct fs_op *op) { op_answer_errno(op, EOPNOTSUPP); }

static void (*const op_table[KERNEL_KIND_COUNT])(struct fs_op *op) = {
    [KERNEL_LOOKUP] = op_lookup,         [KERNEL_GETATTR] = op_getattr,
    [KERNEL_SETATTR] = op_setattr,       [KERNEL_READLINK] = op_readlink,
    [KERNEL_MKNOD] = op_mknod,           [KERNEL_MKDIR] = op_mkdir,
    [KERNEL_UNLINK] = op_unlink,         [KERNEL_RMDIR] = op_rmdir,
    [KERNEL_SYMLINK] = op_symlink,       [KERNEL_RENAME] = op_rename,
    [KERNEL_LINK] = op_link,             [KERNEL_OPEN] = op_open,
    [KERNEL_CREATE] = op_create,         [KERNEL_READ] = op_read,
    [KERNEL_WRITE] = op_write,           [KERNEL_FLUSH] = op_flush,
    [KERNEL_RELEASE] = op_release,       [KERNEL_FSYNC] = op_fsync,
    [KERNEL_OPENDIR] = op_opendir,       [KERNEL_READDIR] = op_readdir,
    [KERNEL_READDIRPLUS] = op_readdir,   [KERNEL_RELEASEDIR] = op_releasedir,
    [KERNEL_FSYNCDIR] = op_fsyncdir,     [KERNEL_STATFS] = op_statfs,
    [KERNEL_SETXATTR] = op_setxattr,     [KERNEL_GETXATTR] = op_getxattr,
    [KERNEL_LISTXATTR] = op_listxattr,   [KERNEL_REMOVEXATTR] = op_removexattr,
    [KERNEL_GETLK] = op_getlk,           [KERNEL_SETLK] = op_setlk,
    [KERNEL_FLOCK] = op_flock,           [KERNEL_FALLOCATE] = op_fallocate,
    [KERNEL_LSEEK] = op_lseek,           [KERNEL_POLL] = op_poll,
};

/* The control files answer from memory; the locks on them are nobody's. */
static void (*control_function(enum kernel_kind kind))(struct fs_op *op)
{
    switch (kind) {
    case KERNEL_POLL: return control_poll;
    case KERNEL_OPEN: return control_open;
    case KERNEL_READ: return control_read;
    case KERNEL_RELEASE: return control_release;
    case KERNEL_FLUSH: case KERNEL_FSYNC: return control_nothing;
    case KERNEL_WRITE: case KERNEL_FALLOCATE: case KERNEL_LSEEK:
    case KERNEL_GETLK: case KERNEL_SETLK: case KERNEL_FLOCK: return op_not_supported;
    default: return op_table[kind];
    }
}

static struct bytes copy_name(char to[NAME_SIZE_MAX + 1], struct bytes name)
{
    if (name.size > NAME_SIZE_MAX)
        return BYTES_EMPTY;
    if (name.size)
        memcpy(to, name.data, name.size);
    to[name.size] = 0;
    return bytes_of(to, name.size);
}

void fs_receive(struct fs *fs, const struct kernel_request *request)
{
    struct fs_op *op = op_new(fs);
    fs->requests++;
    op->request = *request;
    op->request.name = copy_name(op->name_space[0], request->name);
    op->request.new_name = copy_name(op->name_space[1], request->new_name);
    op->node = node_by_id(&fs->nodes, request->node);
    if (op->node)
        node_ref(op->node);
    if (request->new_parent) {
        op->new_parent = node_by_id(&fs->nodes, request->new_parent);
        if (op->new_parent)
            node_ref(op->new_parent);
    }
    if (request->name.size > NAME_SIZE_MAX || request->new_name.size > NAME_SIZE_MAX)
        op_answer_errno(op, ENAMETOOLONG);
    else if (!op->node || (request->new_parent && !op->new_parent))
        op_answer_errno(op, ESTALE);
    else if (notify_take(op))
        return;
    else if (op->node->kind == NODE_CONTROL_FILE)
        control_function(request->kind)(op);
    else
        op_table[request->kind](op);
}

void fs_forget(struct fs *fs, uint64_t id, uint64_t count)
{
    struct node *node = node_by_id(&fs->nodes, id);
    if (node && node != fs->nodes.root)
        node_forget(&fs->nodes, node, count);
}

/* ---- waiting ---- */

static void op_wait(struct fs_op *op)
{
    if (op->is_waiting)
        return;
    op->is_waiting = true;
    op->fs->kernel->ops->expect_interrupt(op->fs->kernel, op->request.token, op);
}

void fs_interrupt(struct fs_op *op)
{
    if (!op->any_signal && !interrupt_means_stop(op->request.pid))
        return;
    op->interrupted = true;
    if (op->cancel)
        op->cancel(op);
    else
        kv_cancel(op->fs->kv, &op->kv);
}

struct kv_request *op_prepare(struct fs_op *op, enum kv_kind kind)
{
    struct arena arena = op->kv.arena;
    CHECK(op->kv.owner == NULL);
    arena_clear(&arena);
    memset(&op->kv, 0, sizeof(op->kv));
    op->kv.arena = arena;
    op->kv.kind = kind;
    op->kv.timeout_ms = op->wait_ms ? op->wait_ms : fs_wait_ms(op->fs);
    return &op->kv;
}

static void op_on_kv_done(struct kv_request *request, enum err_code code)
{
    struct fs_op *op = container_of(request, struct fs_op, kv);
    op->step(op, code);
}

void op_submit(struct fs_op *op, op_step step)
{
    op->step = step;
    op->kv.done = op_on_kv_done;
    kv_submit(op->fs->kv, &op->kv);
    op_wait(op);
    if (op->interrupted)
        kv_cancel(op->fs->kv, &op->kv);
}

void op_park(struct fs_op *op, struct list *where, void (*cancel)(struct fs_op *op))
{
    CHECK(list_is_empty(&op->parked));
    list_push_back(where, &op->parked);
    op->cancel = cancel;
    if (op->interrupted)
        cancel(op);
    else
        op_wait(op);
}

void op_unpark(struct fs_op *op)
{
    list_remove(&op->parked);
    op->cancel = NULL;
}

void op_keep_data(struct fs_op *op)
{
    op->request.data = arena_copy(&op->arena, op->request.data);
}

/* ---- keys ---- */

/* The raw bytes that the names below a directory node continue. */
void node_directory(const struct fs *fs, const struct node *node, struct buf *ret)
{
    if (!node->parent) {
        buf_append(ret, fs->layout.prefix);
        return;
    }
    node_directory(fs, node->parent, ret);
    if (node->kind != NODE_LIVE && node->kind != NODE_PAST)
        return;                                 /* .snapshot and REV stand for their parent */
    if (snapshot_is_root(node))
        return;
    buf_append(ret, node_name(node));
    if (node->step == STEP_COMPONENT)
        buf_append_u8(ret, '/');
}

void node_key(const struct fs *fs, const struct node *node, struct buf *ret)
{
    size_t before = ret->size;
    node_directory(fs, node->step == STEP_OWN_VALUE ? node->parent : node, ret);
    if (ret->size > before && ret->data[ret->size - 1] == '/')
        ret->size--;
}

static struct bytes spell(struct fs_op *op, const struct node *node,
                          void (*spelling)(const struct fs *, const struct node *, struct buf *))
{
    struct buf buf = {0};
    spelling(op->fs, node, &buf);
    struct bytes copy = arena_copy(&op->arena, buf_bytes(&buf));
    buf_release(&buf);
    return copy;
}

struct bytes op_key(struct fs_op *op, const struct node *node) { return spell(op, node, node_key); }

struct bytes op_directory(struct fs_op *op, const struct node *node)
{
    return spell(op, node, node_directory);
}

struct bytes op_join(struct fs_op *op, struct bytes from, struct bytes more)
{
    uint8_t *to = arena_alloc(&op->arena, from.size + more.size + 1);
    if (from.size)
        memcpy(to, from.data, from.size);
    if (more.size)
        memcpy(to + from.size, more.data, more.size);
    return bytes_of(to, from.size + more.size);
}

/* The mount's root, now or in the past: it always stands. */
static bool is_root(const struct node *node)
{
    return !node->parent || (snapshot_is_root(node) && !node->parent->parent->parent);
}

static enum layout_place place_below(const struct node *parent)
{
    if (is_root(parent))
        return LAYOUT_IN_ROOT;
    return parent->step == STEP_PARTIAL ? LAYOUT_IN_PARTIAL : LAYOUT_IN_DIRECTORY;
}

static bool may_write(struct fs *fs) { return !fs->options.read_only && !fs_quorum_is_lost(fs); }

static int name_error(const struct fs_op *op, const struct node *parent, struct bytes name, bool making)
{
    if (!making)
        return ENOENT;
    if (parent->kind != NODE_LIVE || !may_write(op->fs))
        return EROFS;
    return snapshot_is_name(op->fs, name) || control_is_name(parent, name) ? EPERM : EINVAL;
}

bool op_decode_name(struct fs_op *op, struct node *parent, struct bytes name, bool making,
                    struct layout_name *ret)
{
    bool ok = (parent->kind == NODE_LIVE || parent->kind == NODE_PAST) &&
              layout_decode_name(name, place_below(parent), ret);
    if (ok && making)
        ok = parent->kind == NODE_LIVE && ret->kind != LAYOUT_PARTIAL &&
             (op->is_replay || may_write(op->fs));
    if (!ok)
        op_answer_errno(op, name_error(op, parent, name, making));
    return ok;
}

static enum node_step step_of(const struct layout_name *name)
{
    switch (name->kind) {
    case LAYOUT_PARTIAL: return STEP_PARTIAL;
    case LAYOUT_OWN: return STEP_OWN_VALUE;
    case LAYOUT_COMPONENT: break;
    }
    return STEP_COMPONENT;
}

bool op_take_name(struct fs_op *op, bool making)
{
    struct layout_name name;
    if (!op_decode_name(op, op->node, op->request.name, making, &name))
        return false;
    op->how = step_of(&name);
    op->raw = arena_copy(&op->arena, bytes_of(name.raw, name.size));
    return true;
}

bool op_take_new_name(struct fs_op *op)
{
    struct layout_name name;
    if (!op_decode_name(op, op->new_parent, op->request.new_name, true, &name))
        return false;
    op->new_how = step_of(&name);
    op->new_raw = arena_copy(&op->arena, bytes_of(name.raw, name.size));
    return true;
}

static struct bytes key_below(struct fs_op *op, struct node *parent, enum node_step how,
                              struct bytes raw)
{
    if (how == STEP_OWN_VALUE)
        return op_key(op, parent);
    return op_join(op, op_directory(op, parent), raw);
}

bool op_key_fits(struct fs_op *op, struct bytes key)
{
    if (key.size + sizeof(KV_META_PREFIX) < KEY_SIZE_MAX)
        return true;
    op_answer_errno(op, ENAMETOOLONG);
    return false;
}

bool op_name_key(struct fs_op *op, struct bytes *ret_key)
{
    *ret_key = key_below(op, op->node, op->how, op->raw);
    return op_key_fits(op, *ret_key);
}

bool op_new_name_key(struct fs_op *op, struct bytes *ret_key)
{
    *ret_key = key_below(op, op->new_parent, op->new_how, op->new_raw);
    return op_key_fits(op, *ret_key);
}

bool op_may_change(struct fs_op *op, const struct node *node)
{
    if (node->kind == NODE_LIVE && may_write(op->fs))
        return true;
    op_answer_errno(op, EROFS);
    return false;
}

/* ---- what stands at a name ---- */

static void stat_split(struct fs_op *op, struct bytes key)
{
    size_t at = key.size;
    while (at > 0 && key.data[at - 1] != '/')
        at--;
    op->directory = bytes_of(key.data, at);
    op->base = bytes_skip(key, at);
}

static void stat_on_barrier(struct fs_op *op, enum err_code code);
static void stat_on_found(struct fs_op *op, enum err_code code);
static void stat_name_on_found(struct fs_op *op, enum err_code code);

static bool stat_is_serializable(const struct fs_op *op, const struct node *node, bool current)
{
    return !current || node->kind == NODE_PAST || op->is_replay ||
           op->fs->options.reads == FS_READS_LOCAL;
}

/* ---- today's mode masks that of the past ---- */

/* No name leads to that root, and no record closes it. */
static bool has_no_name(const struct fs_op *op, const struct node *node)
{
    return is_root(node) && op->fs->layout.prefix.size == 0;
}

/* then: with NOT_FOUND, too. */
static void stat_today(struct fs_op *op, op_step then)
{
    op->today_file = op->today_directory = 0;
    bool serializable = stat_is_serializable(op, op->fs->nodes.root, true);
    struct kv_request *request = op_prepare(op, KV_LOOKUP);
    request->lookup = (struct kv_lookup){
        .directory = op->directory, .name = op->base, .serializable = serializable};
    op_submit(op, then);
}

/* The key's value is the same file, whether or not it is a directory as well. */
static void stat_take_today(struct fs_op *op, bool root)
{
    const struct layout *layout = &op->fs->layout;
    const struct kv_name *name = &op->kv.name;
    struct fs_file file;
    if (root) {
        layout_root(layout, name, 0, &op->arena, &file);
        op->today_directory = file.attr.st_mode;
        return;
    }
    if (layout_file(layout, op->directory, name, false, 0, &op->arena, &file))
        *(S_ISDIR(file.attr.st_mode) ? &op->today_directory : &op->today_file) = file.attr.st_mode;
    if (layout_file(layout, op->directory, name, true, 0, &op->arena, &file))
        op->today_file = file.attr.st_mode;
}

static void stat_mask(struct fs_op *op)
{
    mode_t *mode = &op->file.attr.st_mode;
    mode_t today = S_ISDIR(*mode) ? op->today_directory : op->today_file;
    if (today && (today & S_IFMT) == (*mode & S_IFMT))
        *mode &= today;
}

/* What stands at directory and base, at the revision of stat_node. */
static void stat_submit(struct fs_op *op, bool serializable, op_step found)
{
    struct kv_request *request = op_prepare(op, KV_LOOKUP);
    request->lookup = (struct kv_lookup){.directory = op->directory, .name = op->base,
                                         .revision = op->stat_node->revision,
                                         .serializable = serializable};
    op_submit(op, found);
}

/* Today's answer is there; the past needs no barrier of its own. */
static void stat_past(struct fs_op *op, enum err_code code, bool root, op_step found)
{
    if (code == ERR_OK)
        stat_take_today(op, root);
    if (code == ERR_OK || code == ERR_NOT_FOUND)
        stat_submit(op, true, found);
    else
        op->stat_step(op, code);
}

/* ---- by node ---- */

static void stat_on_today(struct fs_op *op, enum err_code code)
{
    stat_past(op, code, is_root(op->stat_node), stat_on_found);
}

void op_stat(struct fs_op *op, struct node *node, bool current, op_step step)
{
    op->stat_node = node;
    op->stat_step = step;
    bool serializable = stat_is_serializable(op, node, current);
    stat_split(op, op_key(op, node));
    if (has_no_name(op, node)) {
        op_prepare(op, KV_CURRENT);
        if (serializable)
            stat_on_barrier(op, ERR_OK);
        else
            op_submit(op, stat_on_barrier);
    } else if (node->kind == NODE_PAST) {
        stat_today(op, stat_on_today);
    } else {
        stat_submit(op, serializable, stat_on_found);
    }
}

static void stat_on_barrier(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK)
        layout_root(&op->fs->layout, NULL, op->stat_node->revision, &op->arena, &op->file);
    op->stat_step(op, code);
}

static void stat_on_found(struct fs_op *op, enum err_code code)
{
    const struct layout *layout = &op->fs->layout;
    struct node *node = op->stat_node;
    if (is_root(node) && (code == ERR_OK || code == ERR_NOT_FOUND)) {
        layout_root(layout, code == ERR_OK ? &op->kv.name : NULL, node->revision, &op->arena, &op->file);
        code = ERR_OK;
    } else if (code == ERR_OK) {
        bool found = layout_file(layout, op->directory, &op->kv.name, node->step == STEP_OWN_VALUE,
                                 node->revision, &op->arena, &op->file);
        bool same = found && (!node->told.known ||
                              (node->told.attr.st_ino == op->file.attr.st_ino &&
                               (node->told.attr.st_mode & S_IFMT) == (op->file.attr.st_mode & S_IFMT)));
        if (!same)
            code = ERR_NOT_FOUND;
    }
    if (code == ERR_OK && node->kind == NODE_PAST)
        stat_mask(op);
    op->stat_step(op, code);
}

/* ---- by name ---- */

static void stat_name_on_today(struct fs_op *op, enum err_code code)
{
    stat_past(op, code, false, stat_name_on_found);
}

void op_stat_name(struct fs_op *op, struct node *parent, enum node_step how, struct bytes name,
                  op_step step)
{
    op->stat_node = parent;
    op->stat_step = step;
    op->stat_own = how == STEP_OWN_VALUE;
    stat_split(op, key_below(op, parent, how, name));
    if (parent->kind == NODE_PAST)
        stat_today(op, stat_name_on_today);
    else
        stat_submit(op, stat_is_serializable(op, parent, true), stat_name_on_found);
}

static void stat_name_on_found(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK && !layout_file(&op->fs->layout, op->directory, &op->kv.name, op->stat_own,
                                       op->stat_node->revision, &op->arena, &op->file))
        code = ERR_NOT_FOUND;
    if (code == ERR_OK && op->stat_node->kind == NODE_PAST)
        stat_mask(op);
    op->stat_step(op, code);
}

/* ---- answers ---- */

static bool op_answer(struct fs_op *op, const struct kernel_answer *answer)
{
    struct kernel *kernel = op->fs->kernel;
    bool taken = kernel->ops->answer(kernel, op->request.token, op->request.kind, answer);
    op_end(op);
    return taken;
}

void op_answer_errno(struct fs_op *op, int error)
{
    if (error)
        op->fs->errors++;
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_ERROR, .error = error});
}

int op_errno(const struct fs_op *op, enum err_code code, bool is_write, bool by_name)
{
    (void)op;
    if (by_name && (code == ERR_COMPACTED || code == ERR_FUTURE))
        return ENOENT;
    if (code == ERR_BUSY)
        return ETIMEDOUT;
    if (err_kind(code) == ERR_KIND_RETRY)
        return is_write ? EROFS : ETIMEDOUT;
    return err_errno(code);
}

static bool is_change(const struct fs_op *op)
{
    switch (op->request.kind) {
    case KERNEL_SETATTR: case KERNEL_MKNOD: case KERNEL_MKDIR: case KERNEL_UNLINK: case KERNEL_RMDIR:
    case KERNEL_SYMLINK: case KERNEL_RENAME: case KERNEL_CREATE: case KERNEL_SETXATTR:
    case KERNEL_REMOVEXATTR: return true;
    default: return false;
    }
}

void op_answer_code(struct fs_op *op, enum err_code code, bool by_name)
{
    bool writes = op->kv.kind == KV_TXN;
    if (!writes && code == ERR_TIMEOUT && is_change(op))
        code = ERR_NO_LEADER;           /* what it was to be based on could not be read: nothing happened */
    op_answer_errno(op, op_errno(op, code, writes || is_change(op), by_name));
}

static void fill_entry(struct fs *fs, struct node *node, const struct fs_file *file, kv_rev read,
                       struct kernel_entry *ret)
{
    cache_told(node, file);
    node->told.request = fs->requests;
    node_looked_up(node);
    ret->node = node->id;
    ret->attr = file->attr;
    ret->entry_timeout_ns = cache_entry_timeout(fs, node, read);
    ret->attr_timeout_ns = cache_attr_timeout(fs, node, read);
}

/* Answers with an entry; one that was not taken is no lookup. */
static bool answer_with_entry(struct fs_op *op, struct node *node, struct kernel_answer *answer,
                              const struct fs_file *file)
{
    struct fs *fs = op->fs;
    struct node *held = node_ref(node);
    fill_entry(fs, node, file, op->kv.revision, &answer->entry);
    bool taken = op_answer(op, answer);
    if (!taken)
        node_forget(&fs->nodes, held, 1);
    node_unref(&fs->nodes, held);
    return taken;
}

void op_answer_entry(struct fs_op *op, struct node *node, const struct fs_file *file)
{
    struct kernel_answer answer = {.kind = KERNEL_ANSWER_ENTRY};
    (void)answer_with_entry(op, node, &answer, file);
}

bool op_answer_create(struct fs_op *op, struct node *node, const struct fs_file *file,
                      const struct kernel_open *open)
{
    struct kernel_answer answer = {.kind = KERNEL_ANSWER_CREATE, .open = *open};
    return answer_with_entry(op, node, &answer, file);
}

void op_answer_attr(struct fs_op *op, struct node *node, const struct stat *attr)
{
    struct kernel_answer answer = {.kind = KERNEL_ANSWER_ATTR};
    answer.entry.attr = *attr;
    answer.entry.attr_timeout_ns = cache_attr_timeout(op->fs, node, op->kv.revision);
    op_answer(op, &answer);
}

bool op_answer_open(struct fs_op *op, const struct kernel_open *open)
{
    return op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_OPEN, .open = *open});
}

void op_answer_data(struct fs_op *op, struct bytes data)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_DATA, .data = data});
}

void op_answer_count(struct fs_op *op, size_t count)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_COUNT, .count = count});
}

void op_answer_offset(struct fs_op *op, off_t offset)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_OFFSET, .offset = offset});
}

void op_answer_poll(struct fs_op *op, unsigned events)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_POLL, .count = events});
}

void op_answer_lock(struct fs_op *op, const struct flock *lock)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_LOCK, .lock = *lock});
}

void op_answer_statfs(struct fs_op *op, const struct statvfs *statfs)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_STATFS, .statfs = *statfs});
}

void op_answer_none(struct fs_op *op)
{
    op_answer(op, &(struct kernel_answer){.kind = KERNEL_ANSWER_NONE});
}

/* ---- the node of an answer ---- */

static bool node_shows(const struct node *node, const struct fs_file *file)
{
    const struct stat *told = &node->told.attr;
    if (!node->told.known || told->st_ino != file->attr.st_ino ||
        (told->st_mode & S_IFMT) != (file->attr.st_mode & S_IFMT))
        return false;
    return node->pinned_revision == 0 || node->pinned_revision == file->mod_revision;
}

struct node *op_entry_node(struct fs_op *op, struct node *parent, enum node_step how, struct bytes name,
                           const struct fs_file *file)
{
    struct nodes *nodes = &op->fs->nodes;
    enum node_kind kind = parent->kind == NODE_PAST ? NODE_PAST : NODE_LIVE;
    struct node *node = node_find(nodes, parent, kind, how, name, parent->revision);
    if (node && node_shows(node, file))
        return node_ref(node);
    if (node && node->told.known && node->told.attr.st_ino != file->attr.st_ino)
        node_remove(nodes, node);
    return node_new(nodes, parent, kind, how, name, parent->revision);
}
