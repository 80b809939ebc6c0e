#include "proto/base/arena.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define ARENA_CHUNK_SIZE 4096
#define ARENA_FIRST_SIZE 240        /* an answer to a put and no more: thousands are in flight */
#define ARENA_ALIGN 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

static void chunk_add(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = mem_xalloc(sizeof *chunk + size);
    chunk->next = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    arena->place = chunk->data;
    arena->end = chunk->data + size;
}

static size_t chunk_size(const struct arena *arena, size_t size)
{
    if (!arena->chunks && size <= ARENA_FIRST_SIZE)
        return ARENA_FIRST_SIZE;
    return size > ARENA_CHUNK_SIZE ? size : ARENA_CHUNK_SIZE;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    CHECK(size < SIZE_MAX / 2);
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if ((size_t)(arena->end - arena->place) < size || !arena->place)
        chunk_add(arena, chunk_size(arena, size));
    void *block = arena->place;
    arena->place += size;
    arena->taken += size;
    return block;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

struct bytes arena_copy(struct arena *arena, struct bytes from)
{
    uint8_t *place = arena_alloc(arena, from.size);
    if (from.size)
        memcpy(place, from.data, from.size);
    return bytes_of(place, from.size);
}

void arena_clear(struct arena *arena)
{
    struct arena_chunk *kept = NULL;
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        if (!kept && chunk->size <= ARENA_CHUNK_SIZE) {
            kept = chunk;
            kept->next = NULL;
        } else {
            free(chunk);
        }
    }
    *arena = (struct arena){.chunks = kept};
    if (kept) {
        arena->place = kept->data;
        arena->end = kept->data + kept->size;
    }
}

void arena_release(struct arena *arena)
{
    arena_clear(arena);
    free(arena->chunks);
    *arena = (struct arena){0};
}
