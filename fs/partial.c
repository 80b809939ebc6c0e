#include "fs/partial.h"

#include <errno.h>

#include "proto/base/hash.h"

#define LIST_LIMIT 64

static void partial_on_listed(struct fs_op *op, enum err_code code);

static void partial_list(struct fs_op *op, struct bytes after)
{
    struct kv_request *request = op_prepare(op, KV_LIST);
    request->list = (struct kv_list){.directory = op->directory, .after = after, .has_after = true,
                                     .revision = op->node->revision, .limit = LIST_LIMIT,
                                     .serializable = op->fs->options.reads == FS_READS_LOCAL};
    op_submit(op, partial_on_listed);
}

void partial_start(struct fs_op *op)
{
    struct bytes whole = op_join(op, op_directory(op, op->node), op->raw);
    size_t at = whole.size;
    while (at > 0 && whole.data[at - 1] != '/')
        at--;
    op->directory = bytes_of(whole.data, at);
    op->base = bytes_skip(whole, at);
    partial_list(op, op->base);
}

static void partial_answer(struct fs_op *op)
{
    struct fs *fs = op->fs;
    uint64_t ino = hash_bytes(hash_bytes(fs->layout.cluster_id, op->directory), op->base) >> 1;
    memset(&op->file, 0, sizeof(op->file));
    layout_virtual(&fs->layout, ino | 2, S_IFDIR | fs->layout.directory_mode, 0, fs->status.clock,
                   &op->file.attr);
    struct node *node = op_entry_node(op, op->node, STEP_PARTIAL, op->raw, &op->file);
    op_answer_entry(op, node, &op->file);
    node_unref(&fs->nodes, node);
}

static void partial_absent(struct fs_op *op)
{
    op_answer_errno(op, op->request.kind == KERNEL_RMDIR ? 0 : ENOENT);
}

static void partial_present(struct fs_op *op)
{
    if (op->request.kind == KERNEL_RMDIR)
        op_answer_errno(op, ENOTEMPTY);
    else
        partial_answer(op);
}

static void partial_on_listed(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
        return;
    }
    const struct kv_list_result *listing = &op->kv.listing;
    for (size_t i = 0; i < listing->count; i++) {
        struct bytes name = listing->names[i].name;
        if (!bytes_starts_with(name, op->base)) {
            partial_absent(op);
            return;
        }
        if (layout_chunk_fits(name, op->base.size, LAYOUT_IN_DIRECTORY)) {
            partial_present(op);
            return;
        }
    }
    if (!listing->more || listing->count == 0)
        partial_absent(op);
    else
        partial_list(op, arena_copy(&op->arena, listing->names[listing->count - 1].name));
}
