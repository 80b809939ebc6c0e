#include "fs/moves.h"

#include <stdlib.h>

#include "fs/handle_internal.h"
#include "proto/base/mem.h"

static void forget_first(struct moves *moves)
{
    buf_release(&moves->items[0].key);
    moves->count--;
    memmove(&moves->items[0], &moves->items[1], moves->count * sizeof(moves->items[0]));
}

void moves_release(struct moves *moves)
{
    while (moves->count)
        forget_first(moves);
    free(moves->items);
    memset(moves, 0, sizeof(*moves));
}

void moves_note(struct handle *handle, kv_rev revision)
{
    struct moves *moves = &handle->moves;
    if (moves->count == MOVES_MAX)
        forget_first(moves);
    if (moves->count == moves->capacity) {
        moves->capacity = moves->capacity ? moves->capacity * 2 : 4;
        moves->items = mem_xrealloc(moves->items, moves->capacity * sizeof(moves->items[0]));
    }
    struct move *move = &moves->items[moves->count++];
    *move = (struct move){.revision = revision};
    node_key(handle->handles->fs, handle->node, &move->key);
}

void moves_forget(struct moves *moves, kv_rev revision)
{
    while (moves_are_due(moves, revision))
        forget_first(moves);
}

bool moves_are_due(const struct moves *moves, kv_rev revision)
{
    return moves->count && moves->items[0].revision <= revision;
}

/* ---- following ---- */

static struct handle *handle_of_save(struct fs_op *op)
{
    struct save *save = container_of(op, struct save, op);
    return container_of(save, struct handle, save);
}

/* The same bytes, by another name. */
static void take_content(struct handle *handle)
{
    struct content *old = handle->content;
    if (!old)
        return;
    handle->content = content_get(handle->handles, buf_bytes(&handle->key),
                                  handle->file.mod_revision);
    if (old->blob)
        content_fill(handle->handles, handle->content, blob_ref(old->blob));
    content_unref(handle->handles, old);
}

/* The handle's base is what this rename made. */
static void take(struct handle *handle, kv_rev revision, struct bytes key)
{
    struct fs_file file = handle->file;
    file.create_revision = file.mod_revision = revision;
    handle_set_file(handle, &file);
    buf_assign(&handle->key, key);
    take_content(handle);
}

static void on_read(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    struct moves *moves = &handle->moves;
    const struct kv_range_result *range = &op->kv.result.range;
    if (code != ERR_OK && code != ERR_COMPACTED) {
        moves->step(op, code);
        return;
    }
    kv_rev revision = moves->items[0].revision, before = handle->file.mod_revision;
    if (code == ERR_OK)
        before = range->count ? range->items[0].mod_revision : 0;
    if (before && before == handle->node->own_last)
        handle->node->own_last = revision;
    if (before == handle->file.mod_revision)
        take(handle, revision,
             moves->count > 1 ? buf_bytes(&moves->items[1].key) : op_key(op, handle->node));
    forget_first(moves);
    moves_follow(handle, moves->step);
}

void moves_follow(struct handle *handle, op_step step)
{
    struct fs_op *op = &handle->save.op;
    const struct moves *moves = &handle->moves;
    handle->moves.step = step;
    if (!moves_are_due(moves, handle->store_revision)) {
        step(op, ERR_OK);
        return;
    }
    struct kv_request *request = op_prepare(op, KV_RANGE);
    request->range = (struct kv_range){.key = arena_copy(&op->arena, buf_bytes(&moves->items[0].key)),
                                       .revision = moves->items[0].revision - 1, .keys_only = true};
    op_submit(op, on_read);
}
