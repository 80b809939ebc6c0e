/* Txns that change the tree. A builder: compares and ops are added in any order and become one kv_txn in
 * the op's arena. It knows the rules of the tree under races:
 *
 *   - a txn that adds a name compares that the parent is the directory that was looked up, and that the
 *     name is absent in every form: its key, its two records, the range below it;
 *   - a txn that removes a name writes the parent's directory record if it has none, so that the parent
 *     does not vanish with its last name;
 *   - the mount's root always exists: it is never compared.
 *
 * Bytes given are borrowed until the txn has been answered (use the op's arena).
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include "fs/op.h"

#define TREE_COMPARES_MAX 24
#define TREE_OPS_MAX 16

struct tree {
    struct fs_op *op;
    struct kv_compare *compares;
    struct kv_op *ops;
    size_t compare_count, op_count;
};

void tree_init(struct tree *tree, struct fs_op *op);

/* ---- compares ---- */

void tree_compare(struct tree *tree, struct bytes key, struct bytes range_end,
                  enum kv_compare_target target, enum kv_compare_result result, int64_t number);
/* parent is still the directory that its node's told names. */
void tree_parent_stands(struct tree *tree, struct node *parent);
/* Nothing stands at key in any form. */
void tree_absent(struct tree *tree, struct bytes key);
/* There is no value at key, and no record of one; a directory may be there. */
void tree_absent_value(struct tree *tree, struct bytes key);
/* There is no directory at key; a value may be there. */
void tree_absent_directory(struct tree *tree, struct bytes key);
/* Nothing stands below the directory key + '/': no key, no record. */
void tree_empty_below(struct tree *tree, struct bytes key);
/* What op_stat found at key is still that: the value or record of these revisions. */
void tree_stands(struct tree *tree, struct bytes key, const struct fs_file *file);

/* ---- ops ---- */

void tree_put(struct tree *tree, struct bytes key, struct bytes value);
void tree_delete(struct tree *tree, struct bytes key);
void tree_put_meta(struct tree *tree, struct bytes key, const struct meta *meta);
void tree_delete_meta(struct tree *tree, struct bytes key);
void tree_put_directory(struct tree *tree, struct bytes key, const struct meta *meta);
void tree_delete_directory(struct tree *tree, struct bytes key);
void tree_rename(struct tree *tree, const struct kv_rename *rename);
/* The parent keeps standing without this name. */
void tree_keep_parent(struct tree *tree, struct node *parent);
/* That txn has been committed: remembers the record it may have made (op->kv is its answer). */
void tree_parent_kept(struct fs_op *op, struct node *parent);
/* Reads times and revisions of a key (or record) written in this txn; its result's index. */
size_t tree_read(struct tree *tree, struct bytes key);
size_t tree_read_meta(struct tree *tree, struct bytes key);
size_t tree_read_directory(struct tree *tree, struct bytes key);

/* Makes op->kv the txn and submits it. After OK: op->kv.result.txn.succeeded tells of the compares. */
void tree_submit(struct tree *tree, op_step step);
/* The item that tree_read's index gave; NULL when the key is not there. */
const struct kv_item *tree_item(const struct fs_op *op, size_t index);

/* ---- what a new file or directory is ---- */

/* The record of a file made by this request: owner (the parent's group in a set-gid directory), mode.
 * False when it would say nothing beyond the mount's defaults: write none. */
bool tree_new_meta(struct fs_op *op, const struct node *parent, enum meta_type type, mode_t mode,
                   struct meta *ret);
/* The file that stands at key after tree_submit made it: value (or, for a node or a directory, its
 * record) as item says. has_meta: a record was written in the same txn. */
void tree_made(struct fs_op *op, struct bytes key, const struct kv_item *item, const struct meta *meta,
               bool has_meta, struct fs_file *ret);

/* A txn's compares failed: looks up the parent again. step gets OK when it is still the directory that
 * the kernel knows (its told is refreshed: try again), NOT_FOUND when it is gone or another one,
 * CONFLICT after OP_TRIES_MAX. */
void tree_parent_again(struct fs_op *op, struct node *parent, op_step step);

#endif
