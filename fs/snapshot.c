#include "fs/snapshot.h"

#include <errno.h>

#include "fs/cache.h"
#include "proto/base/hash.h"

#define REVISION_DIGITS_MAX 18

enum snapshot_form snapshot_resolve(struct bytes name, kv_rev *ret_revision)
{
    if (name.size == 0 || name.size > REVISION_DIGITS_MAX || name.data[0] == '0')
        return SNAPSHOT_UNKNOWN;
    kv_rev revision = 0;
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] < '0' || name.data[i] > '9')
            return SNAPSHOT_UNKNOWN;
        revision = revision * 10 + (name.data[i] - '0');
    }
    *ret_revision = revision;
    return SNAPSHOT_REVISION;
}

bool snapshot_is_name(const struct fs *fs, struct bytes name)
{
    return bytes_equal(name, bytes_of_text(fs->options.snapshot_name));
}

bool snapshot_is_root(const struct node *node)
{
    return node->kind == NODE_PAST && node->parent->kind == NODE_SNAPSHOTS;
}

void snapshot_attr(const struct fs *fs, const struct node *node, struct stat *ret)
{
    const struct stat *live = &node->parent->told.attr;
    uint64_t ino = layout_past_ino(hash_u64(live->st_ino), 0);
    layout_virtual(&fs->layout, ino, S_IFDIR | 0555, 0, layout_time(live->st_mtim), ret);
    ret->st_uid = live->st_uid;
    ret->st_gid = live->st_gid;
}

/* ---- .snapshot ---- */

static void self_on_stat(struct fs_op *op, enum err_code code);

void snapshot_lookup_self(struct fs_op *op) { op_stat(op, op->node, true, self_on_stat); }

static void self_on_stat(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    struct nodes *nodes = &op->fs->nodes;
    struct bytes name = op->request.name;
    if (!op->node->told.known)
        cache_told(op->node, &op->file);
    struct node *node = node_find(nodes, op->node, NODE_SNAPSHOTS, STEP_COMPONENT, name, 0);
    node = node ? node_ref(node)
                : node_new(nodes, op->node, NODE_SNAPSHOTS, STEP_COMPONENT, name, 0);
    struct fs_file file = {0};
    snapshot_attr(op->fs, node, &file.attr);
    op_answer_entry(op, node, &file);
    node_unref(nodes, node);
}

/* ---- .snapshot/REV ---- */

static void revision_on_range(struct fs_op *op, enum err_code code);
static void revision_on_stat(struct fs_op *op, enum err_code code);

/* A count at the revision, of a key that cannot be: it costs one point read and answers COMPACTED or
 * FUTURE where the revision is not kept or not yet. */
void snapshot_lookup(struct fs_op *op)
{
    kv_rev revision;
    if (snapshot_resolve(op->request.name, &revision) != SNAPSHOT_REVISION) {
        op_answer_errno(op, ENOENT);
        return;
    }
    op->keep.c = (uint64_t)revision;
    struct kv_request *request = op_prepare(op, KV_RANGE);
    request->range = (struct kv_range){.key = BYTES_LITERAL("\0"), .revision = revision,
                                       .count_only = true,
                                       .serializable = op->fs->options.reads == FS_READS_LOCAL};
    op_submit(op, revision_on_range);
}

static void revision_on_range(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    struct nodes *nodes = &op->fs->nodes;
    kv_rev revision = (kv_rev)op->keep.c;
    struct node *node =
        node_find(nodes, op->node, NODE_PAST, STEP_COMPONENT, op->request.name, revision);
    node = node ? node_ref(node)
                : node_new(nodes, op->node, NODE_PAST, STEP_COMPONENT, op->request.name, revision);
    op->keep.a = node;
    op_stat(op, node, false, revision_on_stat);
}

static void revision_on_stat(struct fs_op *op, enum err_code code)
{
    struct node *node = op->keep.a;
    struct fs *fs = op->fs;
    if (code == ERR_OK && !S_ISDIR(op->file.attr.st_mode))
        code = ERR_NOT_FOUND;
    if (code == ERR_OK)
        op_answer_entry(op, node, &op->file);
    else
        op_answer_code(op, code, true);
    node_unref(&fs->nodes, node);
}
