#include "fs/make.h"

#include <errno.h>

#include "fs/handle.h"
#include "fs/tree.h"
#include "proto/base/check.h"

struct make {
    enum meta_type type;
    struct bytes key, value;
    struct meta meta;
    bool has_meta;
    size_t read;                    /* where the txn's answer tells of what was made */
};

static void make_again(struct fs_op *op, enum err_code code);
static void make_on_committed(struct fs_op *op, enum err_code code);
static void make_on_looked_up(struct fs_op *op, enum err_code code);

void make_start(struct fs_op *op, enum meta_type type, mode_t mode, dev_t rdev, struct bytes value)
{
    struct make *make = ARENA_NEW(&op->arena, struct make);
    op->pointer = make;
    make->type = type;
    if (!op_take_name(op, true) || !op_name_key(op, &make->key))
        return;
    if (type == META_DIRECTORY && op->how != STEP_COMPONENT) {
        op_answer_errno(op, EINVAL);
        return;
    }
    make->value = arena_copy(&op->arena, value);
    make->has_meta = tree_new_meta(op, op->node, type, mode, &make->meta);
    make->meta.rdev = rdev;
    if (!handle_commit_pending_name(op, op->node, op->how, op->raw, make_again))
        make_again(op, ERR_OK);
}

static void compare_absent(struct tree *tree, const struct make *make)
{
    struct fs_op *op = tree->op;
    if (op->how == STEP_COMPONENT)
        tree_absent(tree, make->key);
    else
        tree_absent_value(tree, make->key);     /* "%@": the directory is there, its value is not */
}

static void make_again(struct fs_op *op, enum err_code code)
{
    struct make *make = op->pointer;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    struct tree tree;
    tree_init(&tree, op);
    tree_parent_stands(&tree, op->node);
    compare_absent(&tree, make);
    if (make->type == META_DIRECTORY) {
        tree_put_directory(&tree, make->key, &make->meta);
        make->read = tree_read_directory(&tree, make->key);
    } else {
        bool has_key = make->type == META_FILE || make->type == META_SYMLINK;
        if (has_key)
            tree_put(&tree, make->key, make->value);
        if (make->has_meta)
            tree_put_meta(&tree, make->key, &make->meta);
        make->read = has_key ? tree_read(&tree, make->key) : tree_read_meta(&tree, make->key);
    }
    tree_submit(&tree, make_on_committed);
}

static void make_answer(struct fs_op *op)
{
    struct make *make = op->pointer;
    struct fs *fs = op->fs;
    const struct kv_item *item = tree_item(op, make->read);
    CHECK(item != NULL);
    tree_made(op, make->key, item, &make->meta, make->has_meta, &op->file);
    struct node *node = op_entry_node(op, op->node, op->how, op->raw, &op->file);
    if (op->request.kind == KERNEL_CREATE)
        handle_created(op, node, make->key);
    else
        op_answer_entry(op, node, &op->file);
    node_unref(&fs->nodes, node);
}

static void make_on_committed(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK)
        op_answer_code(op, code, true);
    else if (op->kv.result.txn.succeeded)
        make_answer(op);
    else
        op_stat_name(op, op->node, op->how, op->raw, make_on_looked_up);
}

static void make_on_looked_up(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK)
        op_answer_errno(op, EEXIST);
    else if (code == ERR_NOT_FOUND)
        tree_parent_again(op, op->node, make_again);
    else
        op_answer_code(op, code, true);
}
