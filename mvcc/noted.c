/* What a batch changed, noted as it is applied, for observers. */
#include "mvcc/store_internal.h"

#include "proto/base/mem.h"

static struct store_change *change_new(struct store *store, kv_rev revision)
{
    if (store->change_count == store->change_capacity) {
        store->change_capacity = store->change_capacity ? store->change_capacity * 2 : 64;
        store->changes =
            mem_xrealloc(store->changes, store->change_capacity * sizeof(*store->changes));
    }
    struct store_change *change = &store->changes[store->change_count++];
    *change = (struct store_change){.revision = revision, .entry = store->entries};
    return change;
}

void store_note_change(struct store *store, struct bytes key, const struct names_change *noted,
                       kv_rev revision)
{
    struct store_change *change = change_new(store, revision);
    change->key = arena_copy(&store->arena, key);
    change->changes = noted->changes;
    change->top = noted->top;
}

void store_note_move(struct store *store, const struct kv_rename *rename, kv_rev revision)
{
    struct kv_move *move = ARENA_NEW(&store->arena, struct kv_move);
    move->from = arena_copy(&store->arena, rename->from);
    move->to = arena_copy(&store->arena, rename->to);
    move->exchange = rename->exchange;
    change_new(store, revision)->move = move;
}

const struct store_change *store_changes(const struct store *store, size_t *ret_count)
{
    *ret_count = store->change_count;
    return store->changes;
}
