#include "fs/watchers.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/fs.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define INOTIFY_LINK "anon_inode:inotify"
#define KERNEL_MINOR_BITS 20            /* of the kernel's own device numbers */

struct watchers {
    char *folder;
    uint32_t device;                    /* as fdinfo spells it */
    struct watcher *list;               /* by ino */
    size_t count, capacity;
    int64_t due_ms;
};

struct watchers *watchers_new(const char *folder)
{
    struct watchers *watchers = mem_xzalloc(sizeof(*watchers));
    watchers->folder = mem_xstrdup(folder);
    return watchers;
}

void watchers_free(struct watchers *watchers)
{
    if (!watchers)
        return;
    free(watchers->folder);
    free(watchers->list);
    free(watchers);
}

int64_t watchers_due_ms(const struct watchers *watchers) { return watchers->due_ms; }

/* ---- one line ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly size bytes in hex. */
static bool parse_hex(const char *text, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return hex_digit(text[2 * size]) < 0;
}

bool watcher_parse(const char *line, struct watcher *ret, uint32_t *ret_device)
{
    unsigned long long ino;
    unsigned watch, device, size, type;
    if (sscanf(line, "inotify wd:%x ino:%llx sdev:%x", &watch, &ino, &device) != 3)
        return false;
    *ret = (struct watcher){.ino = ino};
    *ret_device = device;
    const char *at = strstr(line, "fhandle-bytes:"), *bytes = strstr(line, "f_handle:");
    if (at && bytes && sscanf(at, "fhandle-bytes:%x fhandle-type:%x", &size, &type) == 2 &&
        size <= sizeof(ret->handle) && parse_hex(bytes + strlen("f_handle:"), ret->handle, size)) {
        ret->handle_size = size;
        ret->handle_type = (int)type;
    }
    return true;
}

/* ---- a look ---- */

static void add(struct watchers *watchers, const struct watcher *watcher)
{
    if (watchers->count == WATCHERS_MAX)
        return;
    if (watchers->count == watchers->capacity) {
        watchers->capacity = watchers->capacity ? 2 * watchers->capacity : 64;
        watchers->list =
            mem_xrealloc(watchers->list, watchers->capacity * sizeof(*watchers->list));
    }
    watchers->list[watchers->count++] = *watcher;
}

static void read_descriptor(struct watchers *watchers, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[512];
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        struct watcher watcher;
        uint32_t device;
        if (watcher_parse(line, &watcher, &device) && device == watchers->device)
            add(watchers, &watcher);
    }
    fclose(file);
}

static void read_process(struct watchers *watchers, const char *pid)
{
    char path[PATH_SIZE_MAX], link[sizeof(INOTIFY_LINK)];
    snprintf(path, sizeof(path), "%s/%s/fd", watchers->folder, pid);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link));
        if (size != sizeof(INOTIFY_LINK) - 1 || memcmp(link, INOTIFY_LINK, (size_t)size) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s/fdinfo/%s", watchers->folder, pid, entry->d_name);
        read_descriptor(watchers, path);
    }
    closedir(folder);
}

static int by_ino(const void *a, const void *b)
{
    uint64_t left = ((const struct watcher *)a)->ino, right = ((const struct watcher *)b)->ino;
    return (left > right) - (left < right);
}

static int64_t interval_of(int64_t took_ms)
{
    int64_t interval = took_ms * WATCHERS_LOOK_SHARE;
    if (interval < WATCHERS_LOOK_MS_MIN)
        return WATCHERS_LOOK_MS_MIN;
    return interval > WATCHERS_LOOK_MS_MAX ? WATCHERS_LOOK_MS_MAX : interval;
}

void watchers_look(struct watchers *watchers, uint64_t device)
{
    int64_t begun = fs_now_ms();
    watchers->count = 0;
    watchers->device = (uint32_t)(major(device) << KERNEL_MINOR_BITS | minor(device));
    DIR *folder = opendir(watchers->folder);
    if (folder) {
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
            if (isdigit((unsigned char)entry->d_name[0]))
                read_process(watchers, entry->d_name);
        closedir(folder);
    }
    if (watchers->count)
        qsort(watchers->list, watchers->count, sizeof(*watchers->list), by_ino);
    int64_t now = fs_now_ms();
    watchers->due_ms = now + interval_of(now - begun);
}

const struct watcher *watchers_find(const struct watchers *watchers, uint64_t ino, size_t *place)
{
    size_t low = *place, high = watchers->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (watchers->list[middle].ino < ino)
            low = middle + 1;
        else
            high = middle;
    }
    *place = low + 1;
    return low < watchers->count && watchers->list[low].ino == ino ? &watchers->list[low] : NULL;
}
