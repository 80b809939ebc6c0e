#include "tests/lossy/pages.h"

#include <stdlib.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

/* Stands for a page of zeros in any of the three places, so that megabytes of them cost nothing. */
static uint8_t zero_page[PAGE_SIZE];

static void drop(uint8_t **page)
{
    if (*page != zero_page)
        free(*page);
    *page = NULL;
}

static uint8_t *copy_of(const uint8_t *page)
{
    uint8_t *copy = mem_xalloc(PAGE_SIZE);
    memcpy(copy, page ? page : zero_page, PAGE_SIZE);
    return copy;
}

static void set_durable(struct page *page, uint8_t *take)
{
    drop(&page->durable);
    page->durable = take == zero_page ? NULL : take;
}

void pages_release(struct pages *pages)
{
    for (size_t i = 0; i < pages->count; i++) {
        drop(&pages->all[i].durable);
        drop(&pages->all[i].in_flight);
        drop(&pages->all[i].dirty);
    }
    free(pages->all);
    *pages = (struct pages){0};
}

static void reach(struct pages *pages, uint64_t end)
{
    size_t count = (size_t)((end + PAGE_SIZE - 1) / PAGE_SIZE);
    if (count <= pages->count)
        return;
    if (count < pages->count * 2)
        count = pages->count * 2;
    pages->all = mem_xrealloc(pages->all, count * sizeof(*pages->all));
    memset(pages->all + pages->count, 0, (count - pages->count) * sizeof(*pages->all));
    pages->count = count;
}

/* The cache's bytes of a page, to be changed. */
static uint8_t *writable(struct page *page)
{
    if (!page->dirty)
        page->dirty = copy_of(page->in_flight ? page->in_flight : page->durable);
    else if (page->dirty == zero_page)
        page->dirty = copy_of(zero_page);
    page->lost = false;
    return page->dirty;
}

void pages_put(struct pages *pages, uint64_t offset, struct bytes data)
{
    uint64_t end = offset + data.size;
    reach(pages, end);
    while (data.size) {
        size_t at = (size_t)(offset % PAGE_SIZE), size = PAGE_SIZE - at;
        if (size > data.size)
            size = data.size;
        memcpy(writable(&pages->all[offset / PAGE_SIZE]) + at, data.data, size);
        data = bytes_skip(data, size);
        offset += size;
    }
    if (end > pages->size)
        pages->size = end;
}

void pages_put_zeros(struct pages *pages, uint64_t offset, uint64_t size)
{
    uint64_t end = offset + size;
    reach(pages, end);
    while (offset < end) {
        struct page *page = &pages->all[offset / PAGE_SIZE];
        uint64_t at = offset % PAGE_SIZE, part = PAGE_SIZE - at;
        if (part > end - offset)
            part = end - offset;
        if (part == PAGE_SIZE) {
            drop(&page->dirty);
            page->dirty = zero_page;
            page->lost = false;
        } else {
            memset(writable(page) + at, 0, part);
        }
        offset += part;
    }
    if (end > pages->size)
        pages->size = end;
}

/* The range of page numbers that meets size bytes at offset, below what there is. */
static void range_of(const struct pages *pages, uint64_t offset, uint64_t size, size_t *ret_first,
                     size_t *ret_end)
{
    uint64_t end = size > UINT64_MAX - offset ? UINT64_MAX : offset + size;
    uint64_t last = end / PAGE_SIZE + (end % PAGE_SIZE != 0);
    *ret_first = (size_t)(offset / PAGE_SIZE);
    *ret_end = last < pages->count ? (size_t)last : pages->count;
}

/* Cuts what is durable; the rest of the last page becomes zeros. */
static void cut_durable(struct pages *pages, uint64_t size)
{
    for (size_t i = (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE); i < pages->count; i++)
        drop(&pages->all[i].durable);
    size_t at = (size_t)(size % PAGE_SIZE);
    if (at && size / PAGE_SIZE < pages->count && pages->all[size / PAGE_SIZE].durable)
        memset(pages->all[size / PAGE_SIZE].durable + at, 0, PAGE_SIZE - at);
    if (pages->durable_size > size)
        pages->durable_size = size;
}

void pages_resize(struct pages *pages, uint64_t size, bool reaches_disk)
{
    uint64_t before = pages->size;
    if (size >= before) {
        reach(pages, size);
        pages->size = size;
        return;
    }
    /* The cache reads zeros there from now on, should the file grow again. */
    pages_put_zeros(pages, size, before - size);
    pages->size = size;
    if (reaches_disk && !pages->frozen) {
        for (size_t i = (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE); i < pages->count; i++) {
            drop(&pages->all[i].in_flight);
            drop(&pages->all[i].dirty);
        }
        cut_durable(pages, size);
    } else {
        pages->frozen = true;
    }
}

static void make_durable(struct pages *pages, struct page *page, size_t number, uint8_t *take)
{
    uint64_t end = (uint64_t)(number + 1) * PAGE_SIZE;
    set_durable(page, take);
    if (end > pages->size)
        end = pages->size;
    if (end > pages->durable_size)
        pages->durable_size = end;
}

void pages_write_back(struct pages *pages, uint64_t offset, uint64_t size, struct rand *rand,
                      uint32_t parts)
{
    size_t first, end;
    range_of(pages, offset, size, &first, &end);
    if (pages->frozen || !parts)
        return;
    for (size_t i = first; i < end; i++) {
        struct page *page = &pages->all[i];
        if (!page->dirty || page->lost || !rand_chance(rand, parts, 256))
            continue;
        drop(&page->in_flight);
        make_durable(pages, page, i, page->dirty);
        page->dirty = NULL;
    }
}

void pages_flush_start(struct pages *pages, uint64_t offset, uint64_t size)
{
    size_t first, end;
    /* What made the file shorter goes to the disk first, whatever part the flush is for. */
    if (pages->frozen)
        offset = 0, size = UINT64_MAX;
    range_of(pages, offset, size, &first, &end);
    for (size_t i = first; i < end; i++) {
        struct page *page = &pages->all[i];
        if (!page->dirty || page->lost)
            continue;
        drop(&page->in_flight);
        page->in_flight = page->dirty;
        page->dirty = NULL;
    }
    pages->in_flight_size = pages->size;
}

void pages_flush_end(struct pages *pages, uint64_t offset, uint64_t size)
{
    size_t first, end;
    if (pages->frozen) {
        offset = 0, size = UINT64_MAX;
        cut_durable(pages, pages->in_flight_size);
        pages->frozen = pages->size < pages->in_flight_size;
    }
    range_of(pages, offset, size, &first, &end);
    for (size_t i = first; i < end; i++) {
        struct page *page = &pages->all[i];
        if (!page->in_flight)
            continue;
        make_durable(pages, page, i, page->in_flight);
        page->in_flight = NULL;
    }
    uint64_t reached = size == UINT64_MAX ? pages->in_flight_size : offset + size;
    if (reached > pages->in_flight_size)
        reached = pages->in_flight_size;
    if (!pages->frozen && reached > pages->size)
        reached = pages->size;
    if (reached > pages->durable_size)
        pages->durable_size = reached;
}

void pages_flush_failed(struct pages *pages)
{
    for (size_t i = 0; i < pages->count; i++) {
        struct page *page = &pages->all[i];
        if (!page->dirty && page->in_flight) {
            page->dirty = page->in_flight;
            page->in_flight = NULL;
        }
        if (page->dirty)
            page->lost = true;
    }
}

void pages_flush_all(struct pages *pages)
{
    pages_flush_start(pages, 0, UINT64_MAX);
    pages_flush_end(pages, 0, UINT64_MAX);
}

/* Of each page one of its states; where the newest is dirty the one in flight may be older. */
static void settle_page(struct pages *pages, size_t number, struct rand *rand, uint32_t keep,
                        uint64_t *kept_end)
{
    struct page *page = &pages->all[number];
    uint8_t **from = NULL;
    if (rand_chance(rand, keep, 256)) {
        if (page->dirty && !page->lost && (!page->in_flight || rand_chance(rand, keep + 256, 512)))
            from = &page->dirty;
        else if (page->in_flight)
            from = &page->in_flight;
    }
    if (from) {
        set_durable(page, *from);
        *from = NULL;
        *kept_end = (uint64_t)(number + 1) * PAGE_SIZE;
    }
    drop(&page->in_flight);
    drop(&page->dirty);
}

void pages_settle(struct pages *pages, struct rand *rand, uint32_t keep)
{
    uint64_t kept_end = 0, size = pages->durable_size;
    bool truncation_lost = pages->frozen && !rand_chance(rand, keep, 256);
    if (pages->frozen && !truncation_lost)
        cut_durable(pages, pages->size);
    for (size_t i = 0; i < pages->count; i++)
        settle_page(pages, i, rand, truncation_lost ? 0 : keep, &kept_end);
    if (!truncation_lost) {
        size = pages->durable_size < pages->size ? pages->durable_size : pages->size;
        if (kept_end > pages->size)
            kept_end = pages->size;
        if (kept_end > size && rand_chance(rand, 3, 4))
            size = kept_end;
        if (rand_chance(rand, keep, 256))
            size = pages->size;
    }
    pages->durable_size = pages->size = size;
    pages->frozen = false;
    cut_durable(pages, size);
}

void pages_read(const struct pages *pages, struct buf *to)
{
    for (uint64_t offset = 0; offset < pages->durable_size; offset += PAGE_SIZE) {
        const uint8_t *page = pages->all[offset / PAGE_SIZE].durable;
        uint64_t rest = pages->durable_size - offset;
        buf_append(to, bytes_of(page ? page : zero_page, rest < PAGE_SIZE ? rest : PAGE_SIZE));
    }
}

bool pages_write(const struct pages *pages, int file)
{
    for (size_t i = 0; i < pages->count; i++) {
        uint64_t offset = (uint64_t)i * PAGE_SIZE, rest = pages->durable_size - offset;
        if (offset >= pages->durable_size)
            break;
        size_t size = rest < PAGE_SIZE ? (size_t)rest : PAGE_SIZE;
        if (pages->all[i].durable &&
            pwrite(file, pages->all[i].durable, size, (off_t)offset) != (ssize_t)size)
            return false;
    }
    return ftruncate(file, (off_t)pages->durable_size) == 0;
}
