/* LOOKUP: a name becomes a node. In a live directory the names of .snapshot and, in the root, .fs
 * are looked at first; everything else is one lookup in the kv, behind a read barrier where the
 * mount's reads are strict. */
#include "fs/op.h"

#include <errno.h>

#include "fs/cache.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/partial.h"
#include "fs/snapshot.h"

static void lookup_start(struct fs_op *op, enum err_code code);
static void lookup_on_found(struct fs_op *op, enum err_code code);

void op_lookup(struct fs_op *op)
{
    struct node *parent = op->node;
    struct bytes name = op->request.name;
    if (parent->kind == NODE_SNAPSHOTS)
        snapshot_lookup(op);
    else if (parent->kind == NODE_CONTROL_DIRECTORY)
        control_lookup(op);
    else if (control_is_name(parent, name))
        control_lookup_self(op);
    else if (parent->kind == NODE_LIVE && parent->step == STEP_COMPONENT && snapshot_is_name(op->fs, name))
        snapshot_lookup_self(op);
    else if (op_take_name(op, false))
        lookup_start(op, ERR_OK);
}

/* Whether the component that op->raw ends is cut where its spelling cuts it. */
static bool is_cut_right(const struct fs_op *op)
{
    if (op->node->step != STEP_PARTIAL)
        return true;
    return layout_chunk_fits(op->base, op->base.size - op->raw.size, LAYOUT_IN_DIRECTORY);
}

static void lookup_start(struct fs_op *op, enum err_code code)
{
    (void)code;
    if (op->how == STEP_PARTIAL) {
        partial_start(op);
        return;
    }
    struct node *node = node_find(&op->fs->nodes, op->node, op->node->kind, op->how, op->raw,
                                  op->node->revision);
    if (node && handle_await_commits(op, node, lookup_start))
        return;
    op_stat_name(op, op->node, op->how, op->raw, lookup_on_found);
}

static void lookup_absent(struct fs_op *op)
{
    struct fs *fs = op->fs;
    struct node *node = handle_pending_entry(fs, op->node, op->how, op->raw, &op->file);
    if (node) {
        op_answer_entry(op, node, &op->file);
        node_unref(&fs->nodes, node);
        return;
    }
    node = node_find(&fs->nodes, op->node, op->node->kind, op->how, op->raw, op->node->revision);
    if (node && node->told.known)
        node_remove(&fs->nodes, node);
    op_answer_errno(op, ENOENT);
}

static void lookup_on_found(struct fs_op *op, enum err_code code)
{
    struct fs *fs = op->fs;
    if (code == ERR_OK && !is_cut_right(op))
        code = ERR_NOT_FOUND;
    if (code == ERR_NOT_FOUND) {
        lookup_absent(op);
    } else if (code != ERR_OK) {
        op_answer_code(op, code, true);
    } else {
        struct node *node = op_entry_node(op, op->node, op->how, op->raw, &op->file);
        op_answer_entry(op, node, &op->file);
        node_unref(&fs->nodes, node);
    }
}
