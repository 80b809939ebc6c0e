/* The pages of one file: what the disk holds of it and what only the cache does. See image.h. */
#ifndef TESTS_LOSSY_PAGES_H
#define TESTS_LOSSY_PAGES_H

#include "proto/base/bytes.h"
#include "proto/base/rand.h"

#define PAGE_SIZE 4096u

struct page {
    uint8_t *durable;       /* NULL: zeros */
    uint8_t *in_flight;     /* NULL: no flush under way */
    uint8_t *dirty;         /* NULL: the cache holds what is durable */
    bool lost;              /* dirty holds the cache's bytes; a failed flush called them clean */
};

/* Zeroed memory is an empty file. */
struct pages {
    struct page *all;
    size_t count;
    uint64_t size, in_flight_size, durable_size;
    bool frozen;            /* made shorter, and the disk has not heard: nothing since then reaches it */
};

void pages_release(struct pages *pages);

/* Into the cache. */
void pages_put(struct pages *pages, uint64_t offset, struct bytes data);
void pages_put_zeros(struct pages *pages, uint64_t offset, uint64_t size);
/* reaches_disk: whether the disk hears at once of a file made shorter. */
void pages_resize(struct pages *pages, uint64_t size, bool reaches_disk);
/* Before a write to this range: each of its dirty pages may, parts of 256, have been written back. */
void pages_write_back(struct pages *pages, uint64_t offset, uint64_t size, struct rand *rand,
                      uint32_t parts);

/* A flush of the pages that meet the range; it covers what is dirty at its start. */
void pages_flush_start(struct pages *pages, uint64_t offset, uint64_t size);
void pages_flush_end(struct pages *pages, uint64_t offset, uint64_t size);
void pages_flush_failed(struct pages *pages);
void pages_flush_all(struct pages *pages);

/* Draws what the disk holds; keep of 256 unflushed pages are there. All of it is durable then. */
void pages_settle(struct pages *pages, struct rand *rand, uint32_t keep);

/* What is durable. */
void pages_read(const struct pages *pages, struct buf *to);
bool pages_write(const struct pages *pages, int file);

#endif
