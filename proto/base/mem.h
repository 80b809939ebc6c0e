/* Memory. Two ways to get it:
 *
 * - mem_xalloc and friends abort the process when there is none: a cluster survives a dead member,
 *   not a confused one. Everything outside the raft core uses these.
 * - A struct mem is a handle that counts what was taken through it, can be sealed (from then on no
 *   call may allocate: the steady state of the core), and can be told to fail its nth call, so that
 *   a test runs each error branch. Calls through it return NULL when they fail.
 *
 * A struct mem belongs to one thread.
 */
#ifndef PROTO_BASE_MEM_H
#define PROTO_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_xalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_xzalloc(size_t size) __attribute__((malloc, returns_nonnull));    /* zeroed */
void *mem_xrealloc(void *old, size_t size) __attribute__((returns_nonnull));
char *mem_xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_xformat(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

struct mem {
    uint64_t calls;         /* allocations asked for, failed ones included */
    uint64_t live;          /* blocks not yet freed */
    uint64_t fail_at;       /* the call of this number fails (counted from 1); 0 never */
    bool sealed;            /* an allocation now is a mistake of ours: CHECK fails */
};

void *mem_alloc(struct mem *mem, size_t size);
void *mem_zalloc(struct mem *mem, size_t size);
/* On failure NULL, and old is untouched. */
void *mem_realloc(struct mem *mem, void *old, size_t size);
void mem_free(struct mem *mem, void *block);

#endif
