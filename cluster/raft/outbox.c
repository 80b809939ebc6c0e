/* What the next ready hands out. Messages are collected in arrays that keep their size; what they
 * point at (entries, contexts, snapshots) lies in an arena; each blob among it is held once more,
 * so that the log may forget entries that are still being sent. Two outboxes take turns, so that
 * the answers of one may be stepped while the next is being filled. */
#include <stddef.h>

#include "cluster/raft/raft_internal.h"

_Noreturn void raft_fail(struct raft *raft)
{
    raft->failed = true;
    TRACE(raft->config.trace, "raft id=%" PRIu64 " failed: out of memory", raft->config.id);
    longjmp(raft->escape, 1);
}

void *raft_grow(struct raft *raft, void *array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return array;
    size_t larger = *capacity ? *capacity * 2 : 8;
    while (larger < needed)
        larger *= 2;
    void *grown = mem_realloc(raft->config.mem, array, larger * size);
    if (!grown)
        raft_fail(raft);
    *capacity = larger;
    return grown;
}

static void add_chunk(struct raft *raft, struct outbox_arena *arena, size_t size)
{
    size_t room = size > RAFT_ARENA_CHUNK ? size : RAFT_ARENA_CHUNK;
    struct outbox_chunk *chunk =
        mem_alloc(raft->config.mem, offsetof(struct outbox_chunk, data) + room);
    if (!chunk)
        raft_fail(raft);
    *chunk = (struct outbox_chunk){.size = room};
    if (arena->current) {
        chunk->next = arena->current->next;
        arena->current->next = chunk;
    } else {
        arena->first = chunk;
    }
    arena->current = chunk;
}

void *outbox_take(struct raft *raft, size_t size)
{
    struct outbox_arena *arena = &raft->filling->arena;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    while (arena->current && arena->current->size - arena->current->used < size &&
           arena->current->next)
        arena->current = arena->current->next;
    if (!arena->current || arena->current->size - arena->current->used < size)
        add_chunk(raft, arena, size);
    void *piece = (char *)arena->current->data + arena->current->used;
    arena->current->used += size;
    return piece;
}

void outbox_trim(struct raft *raft, void *end)
{
    struct outbox_chunk *chunk = raft->filling->arena.current;
    size_t used = (size_t)((char *)end - (char *)chunk->data);
    used = (used + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    CHECK(used <= chunk->used);
    chunk->used = used;
}

void outbox_hold(struct raft *raft, struct blob *blob)
{
    struct outbox *outbox = raft->filling;
    if (!blob)
        return;
    outbox->held = raft_grow(raft, outbox->held, &outbox->held_capacity, outbox->held_count + 1,
                             sizeof(*outbox->held));
    outbox->held[outbox->held_count++] = blob_ref(blob);
}

void outbox_hold_entries(struct raft *raft, const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        outbox_hold(raft, entries[i].payload);
}

struct entry *outbox_entries(struct raft *raft, const struct entry *entries, size_t count)
{
    if (count == 0)
        return NULL;
    struct entry *copy = outbox_take(raft, count * sizeof(*copy));
    memcpy(copy, entries, count * sizeof(*copy));
    outbox_hold_entries(raft, copy, count);
    return copy;
}

struct bytes outbox_bytes(struct raft *raft, struct bytes from)
{
    if (from.size == 0)
        return BYTES_EMPTY;
    uint8_t *copy = outbox_take(raft, from.size);
    memcpy(copy, from.data, from.size);
    return bytes_of(copy, from.size);
}

const struct raft_snapshot *outbox_snapshot(struct raft *raft, const struct raft_snapshot *from)
{
    struct raft_snapshot *copy = outbox_take(raft, sizeof(*copy));
    *copy = *from;
    outbox_hold(raft, copy->mark.configuration);
    outbox_hold(raft, copy->data);
    return copy;
}

void outbox_push(struct raft *raft, const struct raft_message *message)
{
    struct outbox *outbox = raft->filling;
    outbox->messages = raft_grow(raft, outbox->messages, &outbox->message_capacity,
                                 outbox->message_count + 1, sizeof(*message));
    outbox->messages[outbox->message_count++] = *message;
}

void outbox_push_after(struct raft *raft, const struct raft_message *message)
{
    struct outbox *outbox = raft->filling;
    outbox->after = raft_grow(raft, outbox->after, &outbox->after_capacity, outbox->after_count + 1,
                              sizeof(*message));
    outbox->after[outbox->after_count++] = *message;
}

void outbox_push_read(struct raft *raft, raft_index index, struct blob *context)
{
    struct outbox *outbox = raft->filling;
    outbox->reads = raft_grow(raft, outbox->reads, &outbox->read_capacity, outbox->read_count + 1,
                              sizeof(*outbox->reads));
    outbox_hold(raft, context);
    outbox->reads[outbox->read_count++] = (struct raft_read_state){index, context};
}

void outbox_clear(struct outbox *outbox)
{
    for (size_t i = 0; i < outbox->held_count; i++)
        blob_unref(outbox->held[i]);
    outbox->held_count = 0;
    outbox->message_count = outbox->after_count = outbox->read_count = 0;
    for (struct outbox_chunk *chunk = outbox->arena.first; chunk; chunk = chunk->next)
        chunk->used = 0;
    outbox->arena.current = outbox->arena.first;
}

void outbox_release(struct outbox *outbox, struct mem *mem)
{
    outbox_clear(outbox);
    while (outbox->arena.first) {
        struct outbox_chunk *chunk = outbox->arena.first;
        outbox->arena.first = chunk->next;
        mem_free(mem, chunk);
    }
    mem_free(mem, outbox->messages);
    mem_free(mem, outbox->after);
    mem_free(mem, outbox->reads);
    mem_free(mem, outbox->held);
}
