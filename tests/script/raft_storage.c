#include "tests/script/raft_storage.h"

#include <stdlib.h>

#include "proto/base/check.h"

static struct raft_storage *self(struct raft_log_view *view)
{
    return container_of(view, struct raft_storage, view);
}

static void initial_state(struct raft_log_view *view, struct hard_state *ret_hard,
                          struct raft_conf_state *ret_configuration)
{
    *ret_hard = self(view)->hard;
    *ret_configuration = self(view)->initial;
}

static raft_index first_index(struct raft_log_view *view)
{
    return self(view)->base.index + 1;
}

static raft_index last_index(struct raft_log_view *view)
{
    return self(view)->base.index + self(view)->count;
}

static enum err_code term(struct raft_log_view *view, raft_index index, raft_term *ret_term)
{
    struct raft_storage *storage = self(view);
    if (index < storage->base.index)
        return ERR_COMPACTED;
    if (index > last_index(view))
        return ERR_FUTURE;
    *ret_term = index == storage->base.index
                    ? storage->base.term
                    : storage->entries[index - storage->base.index - 1].term;
    return ERR_OK;
}

static enum err_code entries(struct raft_log_view *view, raft_index low, raft_index high,
                             struct entry *ret_entries)
{
    struct raft_storage *storage = self(view);
    CHECK(low < high && high - low <= RAFT_FETCH_MAX && high <= last_index(view) + 1);
    if (low <= storage->base.index)
        return ERR_COMPACTED;
    memcpy(ret_entries, storage->entries + (low - storage->base.index - 1),
           (size_t)(high - low) * sizeof(*ret_entries));
    return ERR_OK;
}

static enum err_code snapshot(struct raft_log_view *view, struct raft_snapshot *ret_snapshot)
{
    struct raft_storage *storage = self(view);
    if (storage->snapshot.mark.index == 0)
        return ERR_BUSY;
    *ret_snapshot = storage->snapshot;
    blob_ref(ret_snapshot->mark.configuration);
    blob_ref(ret_snapshot->data);
    return ERR_OK;
}

void raft_storage_init(struct raft_storage *storage)
{
    *storage = (struct raft_storage){
        .view = {initial_state, first_index, last_index, term, entries, snapshot},
    };
}

static void cut(struct raft_storage *storage, size_t count)
{
    while (storage->count > count)
        blob_unref(storage->entries[--storage->count].payload);
}

void raft_storage_release(struct raft_storage *storage)
{
    cut(storage, 0);
    free(storage->entries);
    blob_unref(storage->snapshot.mark.configuration);
    blob_unref(storage->snapshot.data);
}

void raft_storage_install(struct raft_storage *storage, const struct raft_snapshot *from)
{
    cut(storage, 0);
    storage->base = (struct entry_base){from->mark.term, from->mark.index};
}

void raft_storage_append(struct raft_storage *storage, const struct entry *from, size_t count)
{
    for (; count > 0 && from->index <= storage->base.index; count--)
        from++;
    if (count == 0)
        return;
    size_t keep = (size_t)(from->index - storage->base.index - 1);
    CHECK(keep <= storage->count);
    cut(storage, keep);
    if (storage->count + count > storage->capacity) {
        storage->capacity = 2 * (storage->count + count);
        storage->entries =
            mem_xrealloc(storage->entries, storage->capacity * sizeof(*storage->entries));
    }
    for (size_t i = 0; i < count; i++) {
        storage->entries[storage->count++] = from[i];
        blob_ref(from[i].payload);
    }
}

void raft_storage_compact(struct raft_storage *storage, raft_index index)
{
    CHECK(index > storage->base.index && index <= storage->base.index + storage->count);
    size_t gone = (size_t)(index - storage->base.index);
    raft_term last_term = storage->entries[gone - 1].term;
    for (size_t i = 0; i < gone; i++)
        blob_unref(storage->entries[i].payload);
    storage->count -= gone;
    memmove(storage->entries, storage->entries + gone, storage->count * sizeof(struct entry));
    storage->base = (struct entry_base){last_term, index};
}

void raft_storage_offer(struct raft_storage *storage, const struct raft_snapshot *from)
{
    blob_ref(from->mark.configuration);
    blob_ref(from->data);
    blob_unref(storage->snapshot.mark.configuration);
    blob_unref(storage->snapshot.data);
    storage->snapshot = *from;
}

void raft_storage_write(struct raft_storage *storage, const struct raft_message *message)
{
    struct hard_state hard = {message->term, message->vote, message->commit};
    if (message->snapshot)
        raft_storage_install(storage, message->snapshot);
    raft_storage_append(storage, message->entries, message->entry_count);
    if (!hard_state_is_empty(&hard))
        storage->hard = hard;
}

struct blob *raft_storage_encode(const struct raft_conf_state *state)
{
    struct buf buf = {0};
    raft_conf_state_encode(state, &buf);
    struct blob *blob = blob_copy(buf_bytes(&buf));
    buf_release(&buf);
    return blob;
}
