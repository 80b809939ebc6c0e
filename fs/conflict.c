/* Conflicts: bytes that a program has written and that could not be saved. They are kept in memory, the
 * newest CONFLICTS_MAX of them, and shown in .fs/conflicts/ (control.c). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fs/handle_internal.h"
#include "proto/base/mem.h"

static void forget_oldest(struct handles *handles)
{
    struct conflict *oldest = &handles->conflicts[0];
    handles->conflict_bytes -= oldest->content->size;
    blob_unref(oldest->content);
    free((void *)(uintptr_t)oldest->key.data);
    handles->conflict_count--;
    memmove(oldest, oldest + 1, handles->conflict_count * sizeof(*oldest));
}

/* Time, a number, and as much of the file's own name as a file name may hold. */
static void make_name(struct conflict *conflict)
{
    time_t seconds = (time_t)(conflict->time / NS_PER_S);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    size_t size = strftime(conflict->name, sizeof(conflict->name), "%Y-%m-%dT%H:%M:%SZ", &utc);
    size += (size_t)snprintf(conflict->name + size, sizeof(conflict->name) - size, "-%llu-",
                             (unsigned long long)conflict->number);
    struct bytes base = conflict->key;
    for (size_t i = 0; i < base.size;)
        if (base.data[i++] == '/')
            base = bytes_skip(base, i), i = 0;
    for (size_t i = 0; i < base.size && size < NAME_SIZE_MAX; i++) {
        uint8_t byte = base.data[i];
        conflict->name[size++] = byte < ' ' || byte == 127 ? '?' : (char)byte;
    }
    conflict->name[size] = '\0';
}

void conflict_keep(struct handles *handles, const struct handle *handle)
{
    if (!handle->staging.begun)
        return;
    struct bytes view = staging_view(&handle->staging);
    if (view.size > CONFLICT_BYTES_MAX)
        return;
    while (handles->conflict_count == CONFLICTS_MAX ||
           (handles->conflict_count && handles->conflict_bytes + view.size > CONFLICT_BYTES_MAX))
        forget_oldest(handles);
    struct conflict *conflict = &handles->conflicts[handles->conflict_count++];
    memset(conflict, 0, sizeof(*conflict));
    conflict->content = blob_copy(view);
    uint8_t *key = mem_xalloc(handle->key.size + 1);
    memcpy(key, handle->key.size ? handle->key.data : key, handle->key.size);
    conflict->key = bytes_of(key, handle->key.size);
    conflict->time = handle_now();
    handles->conflict_bytes += view.size;
    conflict->number = ++handles->conflict_number;
    conflict->uid = handle->file.attr.st_uid;
    conflict->gid = handle->file.attr.st_gid;
    make_name(conflict);
    TRACE(handles->fs->trace, "conflict kept=%s bytes=%zu", conflict->name, view.size);
}

void conflicts_release(struct handles *handles)
{
    while (handles->conflict_count)
        forget_oldest(handles);
}

size_t conflicts_count(const struct fs *fs) { return fs->handles->conflict_count; }

const struct conflict *conflicts_get(const struct fs *fs, size_t index)
{
    return index < fs->handles->conflict_count ? &fs->handles->conflicts[index] : NULL;
}

const struct conflict *conflicts_find(const struct fs *fs, uint64_t number)
{
    for (size_t i = 0; i < fs->handles->conflict_count; i++)
        if (fs->handles->conflicts[i].number == number)
            return &fs->handles->conflicts[i];
    return NULL;
}
