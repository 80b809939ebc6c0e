/* RENAME: files and whole directories, as one txn. What the kernel was told of the source is tried first;
 * when a compare fails, both names and both parents are looked at again, and either the loser's
 * errno is found or the txn is built anew. */
#include "fs/op.h"

#include <errno.h>

#include "fs/cache.h"
#include "fs/handle.h"
#include "fs/tree.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

struct rename {
    struct bytes from, to;
    struct fs_file source;
    bool target_is_directory;       /* EXCHANGE: what stands at to */
    uint64_t saved, target_saved;   /* the handles of either up to these have saved */
    bool no_replace, exchange;
};

static void rename_start(struct fs_op *op, enum err_code code);
static void rename_on_source_saved(struct fs_op *op, enum err_code code);
static void rename_on_source(struct fs_op *op, enum err_code code);
static void rename_on_target(struct fs_op *op, enum err_code code);
static void rename_commit(struct fs_op *op);
static void rename_on_committed(struct fs_op *op, enum err_code code);
static void rename_on_source_again(struct fs_op *op, enum err_code code);
static void rename_on_target_again(struct fs_op *op, enum err_code code);
static void rename_on_parent_again(struct fs_op *op, enum err_code code);

void op_rename(struct fs_op *op)
{
    struct rename *rename = ARENA_NEW(&op->arena, struct rename);
    unsigned flags = (unsigned)op->request.flags;
    op->pointer = rename;
    if (!op_may_change(op, op->node) || !op_take_name(op, false) || !op_take_new_name(op) ||
        !op_name_key(op, &rename->from) || !op_new_name_key(op, &rename->to))
        return;
    rename->no_replace = flags & RENAME_NOREPLACE;
    rename->exchange = flags & RENAME_EXCHANGE;
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
        (rename->no_replace && rename->exchange))
        op_answer_errno(op, EINVAL);
    else if (op->how == STEP_PARTIAL)
        op_answer_errno(op, EPERM);
    else if (!(op->fs->capabilities & KV_CAN_RENAME))
        op_answer_errno(op, EXDEV);
    else
        rename_on_source_saved(op, ERR_OK);
}

/* What is staged for the source goes out under its old name first, so that the new one never shows less
 * than was written. A file that is replaced may be one that nobody but us knows yet. */
static void rename_on_source_saved(struct fs_op *op, enum err_code code)
{
    struct rename *rename = op->pointer;
    struct nodes *nodes = &op->fs->nodes;
    struct node *source = node_find(nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    struct node *target = node_find(nodes, op->new_parent, NODE_LIVE, op->new_how, op->new_raw, 0);
    if (code != ERR_OK)
        op_answer_code(op, code, true);
    else if (source && handle_save_next(op, source, &rename->saved, rename_on_source_saved))
        return;
    else if (rename->exchange && target &&
             handle_save_next(op, target, &rename->target_saved, rename_on_source_saved))
        return;
    else if (!handle_commit_pending_name(op, op->new_parent, op->new_how, op->new_raw, rename_start))
        rename_start(op, ERR_OK);
}

static void rename_start(struct fs_op *op, enum err_code code)
{
    struct rename *rename = op->pointer;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    struct node *node = node_find(&op->fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    if (rename->exchange || op->tries > 0 || !node || !node->told.known ||
        (node->told.create_revision == 0 && node->told.directory_create_revision == 0)) {
        op_stat_name(op, op->node, op->how, op->raw, rename_on_source);
        return;
    }
    mode_t mode = node->told.attr.st_mode;
    op->file = (struct fs_file){
        .attr = node->told.attr, .has_key = S_ISREG(mode) || S_ISLNK(mode),
        .create_revision = node->told.create_revision,
        .directory_create_revision = node->told.directory_create_revision};
    rename_on_source(op, ERR_OK);
}

/* The target is a directory that only the kv believes to be empty. */
static bool replaces_pending(struct fs_op *op, const struct rename *rename)
{
    struct node *target = node_find(&op->fs->nodes, op->new_parent, NODE_LIVE, op->new_how,
                                    op->new_raw, 0);
    return target && !rename->exchange && !rename->no_replace &&
           handle_pending_below(op->fs, target);
}

static void rename_on_source(struct fs_op *op, enum err_code code)
{
    struct rename *rename = op->pointer;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    rename->source = op->file;
    if (S_ISDIR(op->file.attr.st_mode) && op->new_how == STEP_OWN_VALUE)
        op_answer_errno(op, EINVAL);
    else if (S_ISDIR(op->file.attr.st_mode) && replaces_pending(op, rename))
        op_answer_errno(op, ENOTEMPTY);
    else if (rename->exchange)
        op_stat_name(op, op->new_parent, op->new_how, op->new_raw, rename_on_target);
    else
        rename_commit(op);
}

static void rename_on_target(struct fs_op *op, enum err_code code)
{
    struct rename *rename = op->pointer;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    rename->target_is_directory = S_ISDIR(op->file.attr.st_mode);
    rename_commit(op);
}

/* A directory without a record gets one first, so that it stays the same directory. */
static void record_source(struct tree *tree, const struct rename *rename)
{
    const struct fs_file *source = &rename->source;
    if (!S_ISDIR(source->attr.st_mode) || source->directory_create_revision)
        return;
    struct meta meta = {.type = META_DIRECTORY, .file_id = source->attr.st_ino};
    tree_put_directory(tree, rename->from, &meta);
}

static void compare_target(struct tree *tree, const struct rename *rename)
{
    if (rename->exchange)
        return;                                 /* the rename itself wants both */
    if (rename->no_replace && tree->op->new_how == STEP_COMPONENT)
        tree_absent(tree, rename->to);
    else if (rename->no_replace || S_ISDIR(rename->source.attr.st_mode))
        tree_absent_value(tree, rename->to);    /* a directory takes no file's place */
    else if (tree->op->new_how == STEP_COMPONENT)
        tree_absent_directory(tree, rename->to);        /* nor a file a directory's */
}

static void rename_commit(struct fs_op *op)
{
    struct rename *rename = op->pointer;
    bool is_directory = S_ISDIR(rename->source.attr.st_mode);
    struct tree tree;
    tree_init(&tree, op);
    tree_stands(&tree, rename->from, &rename->source);
    tree_parent_stands(&tree, op->new_parent);
    compare_target(&tree, rename);
    record_source(&tree, rename);
    if (op->node != op->new_parent && !rename->exchange)
        tree_keep_parent(&tree, op->node);
    tree_rename(&tree, &(struct kv_rename){
        .from = rename->from, .to = rename->to, .exchange = rename->exchange,
        .replace = !rename->exchange && !rename->no_replace,
        .value_only = !is_directory && !(rename->exchange && rename->target_is_directory)});
    op->fs->renames++;
    tree_submit(&tree, rename_on_committed);
}

/* The key that a node's file now has was created by this txn. */
static void told_moved(struct node *node, kv_rev revision)
{
    if (!node)
        return;
    if (S_ISDIR(node->told.attr.st_mode))
        node->told.directory_create_revision = revision;
    else
        node->told.create_revision = node->told.mod_revision = revision;
}

static void rename_done(struct fs_op *op)
{
    const struct rename *rename = op->pointer;
    struct nodes *nodes = &op->fs->nodes;
    struct node *source = node_find(nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    struct node *target = node_find(nodes, op->new_parent, NODE_LIVE, op->new_how, op->new_raw, 0);
    if (op->node != op->new_parent && !rename->exchange)
        tree_parent_kept(op, op->node);
    handle_on_moving(op->fs, op->node, op->how, op->raw, op->kv.revision);
    if (rename->exchange) {
        handle_on_moving(op->fs, op->new_parent, op->new_how, op->new_raw, op->kv.revision);
        node_exchange(nodes, op->node, op->raw, op->how, op->new_parent, op->new_raw, op->new_how);
        told_moved(target, op->kv.revision);
    } else {
        if (target) {
            node_remove(nodes, target);
            handle_on_removed(op->fs, target);
        }
        node_move(nodes, op->node, op->raw, op->how, op->new_parent, op->new_raw, op->new_how);
    }
    told_moved(source, op->kv.revision);
    op_answer_errno(op, 0);
}

static void rename_on_committed(struct fs_op *op, enum err_code code)
{
    op->fs->renames--;
    bool lost = code == ERR_NOT_FOUND || code == ERR_EXISTS ||
                (code == ERR_OK && !op->kv.result.txn.succeeded);
    if (lost)
        op_stat_name(op, op->node, op->how, op->raw, rename_on_source_again);
    else if (code != ERR_OK)
        op_answer_code(op, code, true);
    else
        rename_done(op);
}

static void rename_on_source_again(struct fs_op *op, enum err_code code)
{
    struct rename *rename = op->pointer;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    rename->source = op->file;
    op_stat_name(op, op->new_parent, op->new_how, op->new_raw, rename_on_target_again);
}

/* What stands in the way, as an errno; 0: nothing does. */
static int target_error(const struct rename *rename, const struct fs_file *target)
{
    bool from_directory = S_ISDIR(rename->source.attr.st_mode);
    bool to_directory = S_ISDIR(target->attr.st_mode);
    if (rename->exchange)
        return 0;
    if (rename->no_replace)
        return EEXIST;
    if (from_directory != to_directory)
        return from_directory ? ENOTDIR : EISDIR;
    return to_directory && target->name_count ? ENOTEMPTY : 0;
}

static void rename_on_target_again(struct fs_op *op, enum err_code code)
{
    const struct rename *rename = op->pointer;
    int error = 0;
    if (code == ERR_OK)
        error = target_error(rename, &op->file);
    else if (code == ERR_NOT_FOUND)
        error = rename->exchange ? ENOENT : 0;
    else
        error = op_errno(op, code, false, true);
    if (error)
        op_answer_errno(op, error);
    else
        tree_parent_again(op, op->new_parent, rename_on_parent_again);
}

static void rename_on_parent_again(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK && op->node != op->new_parent)
        tree_parent_again(op, op->node, rename_start);
    else
        rename_start(op, code);
}
