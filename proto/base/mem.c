#include "proto/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "concordfs: out of memory (%zu bytes): stopping\n", size);
    abort();
}

void *mem_xalloc(size_t size)
{
    void *block = malloc(size ? size : 1);
    if (!block)
        out_of_memory(size);
    return block;
}

void *mem_xzalloc(size_t size)
{
    void *block = calloc(1, size ? size : 1);
    if (!block)
        out_of_memory(size);
    return block;
}

void *mem_xrealloc(void *old, size_t size)
{
    void *block = realloc(old, size ? size : 1);
    if (!block)
        out_of_memory(size);
    return block;
}

char *mem_xstrdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_xalloc(size), text, size);
}

char *mem_xformat(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int size = vasprintf(&text, format, args);
    va_end(args);
    if (size < 0)
        out_of_memory(0);
    return text;
}

static bool may_allocate(struct mem *mem)
{
    CHECK(!mem->sealed);
    mem->calls++;
    return mem->calls != mem->fail_at;
}

void *mem_alloc(struct mem *mem, size_t size)
{
    void *block = may_allocate(mem) ? malloc(size ? size : 1) : NULL;
    if (block)
        mem->live++;
    return block;
}

void *mem_zalloc(struct mem *mem, size_t size)
{
    void *block = mem_alloc(mem, size);
    if (block)
        memset(block, 0, size);
    return block;
}

void *mem_realloc(struct mem *mem, void *old, size_t size)
{
    void *block = may_allocate(mem) ? realloc(old, size ? size : 1) : NULL;
    if (block && !old)
        mem->live++;
    return block;
}

void mem_free(struct mem *mem, void *block)
{
    if (!block)
        return;
    CHECK(mem->live > 0);
    mem->live--;
    free(block);
}
