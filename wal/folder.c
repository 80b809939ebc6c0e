#include "wal/folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

static const char *const suffixes[] = {
    [FOLDER_SEGMENT] = ".seg",
    [FOLDER_ZERO] = ".zero",
    [FOLDER_USED] = ".used",
    [FOLDER_TEMPORARY] = ".tmp",
};

char *folder_path(char to[FOLDER_NAME_SIZE], const char *folder, const char *name)
{
    int size = snprintf(to, FOLDER_NAME_SIZE, "%s/%s", folder, name);
    CHECK(size > 0 && size < FOLDER_NAME_SIZE);
    return to;
}

char *folder_name(char to[FOLDER_NAME_SIZE], const char *folder, enum folder_kind kind,
                  uint64_t number)
{
    int size = snprintf(to, FOLDER_NAME_SIZE, "%s/%016" PRIx64 "%s", folder, number,
                        suffixes[kind]);
    CHECK(size > 0 && size < FOLDER_NAME_SIZE);
    return to;
}

char *folder_spare_name(char to[FOLDER_NAME_SIZE], const char *folder, struct spare spare)
{
    return folder_name(to, folder, spare.fresh ? FOLDER_ZERO : FOLDER_USED, spare.number);
}

/* Sixteen lower-case hexadecimal digits and a suffix that is known; nothing else is ours. */
static bool parse_name(const char *name, enum folder_kind *ret_kind, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = name[i] ? strchr(digits, name[i]) : NULL;
        if (!digit)
            return false;
        number = number << 4 | (uint64_t)(digit - digits);
    }
    for (size_t kind = 0; kind < ARRAY_COUNT(suffixes); kind++) {
        if (strcmp(name + 16, suffixes[kind]) == 0) {
            *ret_kind = (enum folder_kind)kind;
            *ret_number = number;
            return true;
        }
    }
    return false;
}

static void add_leftover(struct folder *folder, const char *name)
{
    folder->leftovers = mem_xrealloc(folder->leftovers,
                                     (folder->leftover_count + 1) * sizeof *folder->leftovers);
    char *to = folder->leftovers[folder->leftover_count++];
    snprintf(to, sizeof *folder->leftovers, "%s", name);
}

static void add_spare(struct folder *folder, struct spare spare)
{
    folder->spares = mem_xrealloc(folder->spares,
                                  (folder->spare_count + 1) * sizeof *folder->spares);
    folder->spares[folder->spare_count++] = spare;
    if (spare.number >= folder->spare_next)
        folder->spare_next = spare.number + 1;
}

static void on_name(void *context, const char *name)
{
    struct folder *folder = context;
    enum folder_kind kind;
    uint64_t number;
    if (strcmp(name, "seal") == 0)
        folder->sealed = true;
    if (strcmp(name, "seal.tmp") == 0)
        add_leftover(folder, name);
    if (!parse_name(name, &kind, &number))
        return;
    if (kind == FOLDER_SEGMENT) {
        folder->segments = mem_xrealloc(folder->segments, (folder->segment_count + 1) *
                                                              sizeof *folder->segments);
        folder->segments[folder->segment_count++] = number;
    } else if (kind == FOLDER_TEMPORARY) {
        add_leftover(folder, name);
    } else {
        add_spare(folder, (struct spare){number, kind == FOLDER_ZERO});
    }
}

static int compare_numbers(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static int compare_spares(const void *left, const void *right)
{
    return compare_numbers(&((const struct spare *)left)->number,
                           &((const struct spare *)right)->number);
}

enum err_code folder_read(struct disk *disk, const char *name, struct folder *ret_folder,
                          struct err *err)
{
    struct folder folder = {.spare_next = 1};
    enum err_code code = disk_list(disk, name, on_name, &folder, err);
    if (code) {
        folder_release(&folder);
        return code;
    }
    if (folder.segment_count)
        qsort(folder.segments, folder.segment_count, sizeof *folder.segments, compare_numbers);
    if (folder.spare_count)
        qsort(folder.spares, folder.spare_count, sizeof *folder.spares, compare_spares);
    *ret_folder = folder;
    return ERR_OK;
}

void folder_release(struct folder *folder)
{
    free(folder->segments);
    free(folder->spares);
    free(folder->leftovers);
    *folder = (struct folder){0};
}

enum err_code folder_move(struct disk *disk, const char *folder, const char *from, const char *to,
                          struct err *err)
{
    enum err_code code = disk_rename(disk, from, to, err);
    return code ? code : disk_sync_folder(disk, folder, err);
}

enum err_code folder_drop(struct disk *disk, const char *folder, const char *name,
                          struct err *err)
{
    enum err_code code = disk_remove(disk, name, err);
    return code ? code : disk_sync_folder(disk, folder, err);
}

static enum err_code write_zeros(struct disk *disk, struct disk_file *file, uint64_t size,
                                 const atomic_bool *stop, struct err *err)
{
    uint8_t *zeros = mem_xzalloc(FOLDER_SLICE_SIZE);
    enum err_code code = ERR_OK;
    for (uint64_t offset = 0; offset < size && !code; offset += FOLDER_SLICE_SIZE) {
        uint64_t rest = size - offset;
        if (stop && atomic_load(stop))
            code = err_set(err, ERR_CANCELED, "told to stop");
        else
            code = disk_write(disk, file, offset, zeros,
                              rest < FOLDER_SLICE_SIZE ? (size_t)rest : FOLDER_SLICE_SIZE, true,
                              err);
    }
    free(zeros);
    return code;
}

enum err_code folder_make_spare(struct disk *disk, const char *folder, uint64_t number,
                                uint64_t size, const atomic_bool *stop, struct err *err)
{
    char temporary[FOLDER_NAME_SIZE], name[FOLDER_NAME_SIZE];
    struct disk_file *file = NULL;
    folder_name(temporary, folder, FOLDER_TEMPORARY, number);
    folder_name(name, folder, FOLDER_ZERO, number);
    enum err_code code = disk_open(disk, temporary, DISK_CREATE, size, &file, NULL, err);
    if (code)
        return code;
    code = write_zeros(disk, file, size, stop, err);
    if (!code)
        code = disk_sync(disk, file, err);
    disk_close(disk, file);
    if (!code)
        return folder_move(disk, folder, temporary, name, err);
    struct err ignored;
    (void)!disk_remove(disk, temporary, &ignored);
    return code;
}
