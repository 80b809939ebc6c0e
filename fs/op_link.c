/* Names of files: UNLINK, SYMLINK, READLINK, MKNOD, LINK. */
#include "fs/op.h"

#include <errno.h>

#include "fs/cache.h"
#include "fs/handle.h"
#include "fs/make.h"
#include "fs/tree.h"

/* ---- UNLINK ---- */

static void unlink_start(struct fs_op *op, enum err_code code);
static void unlink_on_looked_up(struct fs_op *op, enum err_code code);
static void unlink_on_committed(struct fs_op *op, enum err_code code);

void op_unlink(struct fs_op *op)
{
    if (!op_may_change(op, op->node) || !op_take_name(op, false))
        return;
    if (op->how == STEP_PARTIAL)
        op_answer_errno(op, EISDIR);
    else if (!handle_commit_pending_name(op, op->node, op->how, op->raw, unlink_start))
        unlink_start(op, ERR_OK);
}

/* The kernel has just looked the name up: what it was told then is tried first. */
static void unlink_start(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    struct node *node = node_find(&op->fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    if (op->tries > 0 || !node || !node->told.known || S_ISDIR(node->told.attr.st_mode) ||
        node->told.create_revision == 0) {
        op_stat_name(op, op->node, op->how, op->raw, unlink_on_looked_up);
        return;
    }
    mode_t mode = node->told.attr.st_mode;
    op->file = (struct fs_file){.attr = node->told.attr,
                                .create_revision = node->told.create_revision,
                                .has_key = S_ISREG(mode) || S_ISLNK(mode)};
    unlink_on_looked_up(op, ERR_OK);
}

static void unlink_on_looked_up(struct fs_op *op, enum err_code code)
{
    struct bytes key;
    if (code != ERR_OK || S_ISDIR(op->file.attr.st_mode)) {
        if (code == ERR_OK)
            op_answer_errno(op, EISDIR);
        else
            op_answer_code(op, code, true);
        return;
    }
    if (!op_name_key(op, &key))
        return;
    struct tree tree;
    tree_init(&tree, op);
    tree_stands(&tree, key, &op->file);
    if (op->file.has_key)
        tree_delete(&tree, key);
    if (!op->file.has_key || !(op->fs->capabilities & KV_CAN_SYSTEM))
        tree_delete_meta(&tree, key);
    tree_keep_parent(&tree, op->node);
    tree_submit(&tree, unlink_on_committed);
}

static void unlink_on_committed(struct fs_op *op, enum err_code code)
{
    struct fs *fs = op->fs;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
    } else if (!op->kv.result.txn.succeeded) {
        tree_parent_again(op, op->node, unlink_start);
    } else {
        tree_parent_kept(op, op->node);
        struct node *node = node_find(&fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
        if (node) {
            node_remove(&fs->nodes, node);
            handle_on_removed(fs, node);
        }
        op_answer_errno(op, 0);
    }
}

/* ---- SYMLINK, READLINK ---- */

void op_symlink(struct fs_op *op)
{
    if (op->request.data.size > SYMLINK_SIZE_MAX)
        op_answer_errno(op, ENAMETOOLONG);
    else
        make_start(op, META_SYMLINK, 0777, 0, op->request.data);
}

static void readlink_on_read(struct fs_op *op, enum err_code code)
{
    const struct kv_range_result *range = &op->kv.result.range;
    const struct node *node = op->node;
    if (code != ERR_OK)
        op_answer_code(op, code, false);
    else if (range->count == 0 ||
             (node->told.known && range->items[0].create_revision != node->told.create_revision))
        op_answer_errno(op, ESTALE);            /* another one has its name: the kernel walks again */
    else
        op_answer_data(op, range->items[0].value);
}

void op_readlink(struct fs_op *op)
{
    struct node *node = op->node;
    if ((node->kind != NODE_LIVE && node->kind != NODE_PAST) || node->removed) {
        op_answer_errno(op, node->removed ? ESTALE : EINVAL);
        return;
    }
    struct kv_request *request = op_prepare(op, KV_RANGE);
    request->range = (struct kv_range){
        .key = op_key(op, node), .revision = node->revision, .limit = 1,
        .serializable = node->revision || op->fs->options.reads == FS_READS_LOCAL};
    op_submit(op, readlink_on_read);
}

/* ---- MKNOD, LINK ---- */

void op_mknod(struct fs_op *op)
{
    enum meta_type type;
    switch (op->request.mode & S_IFMT) {
    case 0:
    case S_IFREG: type = META_FILE; break;
    case S_IFIFO: type = META_FIFO; break;
    case S_IFSOCK: type = META_SOCKET; break;
    case S_IFCHR: type = META_CHAR_DEVICE; break;
    case S_IFBLK: type = META_BLOCK_DEVICE; break;
    default: op_answer_errno(op, EINVAL); return;
    }
    bool is_device = type == META_CHAR_DEVICE || type == META_BLOCK_DEVICE;
    make_start(op, type, op->request.mode, is_device ? op->request.rdev : 0, BYTES_EMPTY);
}

/* One key has one name. */
void op_link(struct fs_op *op) { op_answer_errno(op, EPERM); }
