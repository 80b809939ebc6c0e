#include "mvcc/written.h"

#include <stdlib.h>

#include "proto/base/limits.h"
#include "proto/base/mem.h"

void written_release(struct written *written)
{
    arena_release(&written->arena);
    free(written->versions);
}

void written_begin(struct written *written, kv_rev base)
{
    if (written->count)
        arena_clear(&written->arena);
    written->count = 0;
    written->base = base;
    written->is_whole = written->is_wanted;
}

static bool has_room(const struct written *written, size_t size)
{
    return written->count < WATCH_LIVE_EVENTS_MAX &&
           written->arena.taken + size <= WATCH_LIVE_BYTES_MAX;
}

static struct written_version *version_new(struct written *written)
{
    if (written->count == written->capacity) {
        written->capacity = written->capacity ? 2 * written->capacity : 16;
        written->versions =
            mem_xrealloc(written->versions, written->capacity * sizeof *written->versions);
    }
    return &written->versions[written->count++];
}

void written_note(struct written *written, struct bytes key, const struct head *head,
                  const struct head *old, struct bytes value)
{
    if (!written->is_whole)
        return;
    struct bytes inline_value = head->is_inline ? value : BYTES_EMPTY;
    if (!has_room(written, key.size + inline_value.size)) {
        written->is_whole = false;
        return;
    }
    struct written_version *version = version_new(written);
    *version = (struct written_version){.key = arena_copy(&written->arena, key),
                                        .head = *head,
                                        .has_old = old != NULL,
                                        .value = arena_copy(&written->arena, inline_value)};
    if (old)
        version->old = *old;
}
