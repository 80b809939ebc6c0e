/* An arena: many small allocations that end together. Requests decoded from a log entry and answers
 * built for a caller live in one. Memory that is exhausted aborts the process. One thread at a time. */
#ifndef PROTO_BASE_ARENA_H
#define PROTO_BASE_ARENA_H

#include "proto/base/bytes.h"

struct arena_chunk;

/* Zeroed memory is an empty arena. */
struct arena {
    struct arena_chunk *chunks;     /* newest first */
    uint8_t *place, *end;           /* what is left of the newest */
    size_t taken;                   /* bytes handed out since the last clear */
};

void *arena_alloc(struct arena *arena, size_t size);            /* aligned for any type; not zeroed */
void *arena_zalloc(struct arena *arena, size_t size);
struct bytes arena_copy(struct arena *arena, struct bytes from);
/* Ends every allocation; keeps one chunk of ordinary size for the next use. */
void arena_clear(struct arena *arena);
void arena_release(struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_zalloc((arena), sizeof(type)))
#define ARENA_NEW_ARRAY(arena, type, count) ((type *)arena_zalloc((arena), sizeof(type) * (count)))

#endif
