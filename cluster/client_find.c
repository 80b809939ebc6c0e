/* Finding the member that a command talks to: from a folder, a mount, or nothing at all. */
#include "cluster/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cluster/datadir.h"
#include "proto/base/mem.h"
#include "proto/status.h"

#define STATUS_TEXT_MAX 65536

/* One concordfs mount of this host. Bind mounts of a folder inside one are passed over: .fs resolves at
 * the root alone. */
struct mount {
    dev_t device;
    char *place;
};

struct mounts {
    struct mount *items;
    size_t count;
};

static void mounts_release(struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++)
        free(mounts->items[i].place);
    free(mounts->items);
    *mounts = (struct mounts){0};
}

/* mountinfo writes blank, tab, newline and backslash as three octal digits. In place. */
static void unescape(char *text)
{
    char *to = text;
    for (char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

static bool is_ours(const char *type, const char *source)
{
    return !strcmp(type, "fuse.concordfs") ||
           (!strcmp(type, "fuse") && !strncmp(source, "concordfs:", strlen("concordfs:")));
}

/* "36 35 0:40 / /mnt/cfg rw,noatime shared:1 - fuse.concordfs concordfs:/ rw,user_id=0" */
static bool parse_line(char *line, struct mount *ret)
{
    char *rest = NULL, *fields[6];
    unsigned major_number, minor_number;
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        fields[i] = strtok_r(i ? NULL : line, " \n", &rest);
        if (!fields[i])
            return false;
    }
    for (char *field = strtok_r(NULL, " \n", &rest); field && strcmp(field, "-");)
        field = strtok_r(NULL, " \n", &rest);
    const char *type = strtok_r(NULL, " \n", &rest), *source = strtok_r(NULL, " \n", &rest);
    if (!type || !source || !is_ours(type, source) || strcmp(fields[3], "/") ||
        sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
        return false;
    unescape(fields[4]);
    *ret = (struct mount){makedev(major_number, minor_number), mem_xstrdup(fields[4])};
    return true;
}

static void mounts_read(struct mounts *ret)
{
    *ret = (struct mounts){0};
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t capacity = 0;
    if (!file)
        return;
    while (getline(&line, &capacity, file) > 0) {
        struct mount mount;
        if (!parse_line(line, &mount))
            continue;
        ret->items = mem_xrealloc(ret->items, (ret->count + 1) * sizeof(*ret->items));
        ret->items[ret->count++] = mount;
    }
    free(line);
    fclose(file);
}

static enum err_code read_file(const char *path, struct buf *ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open \"%s\": %s", path, strerror(errno));
    for (;;) {
        buf_reserve(ret, 4096);
        ssize_t got = read(fd, ret->data + ret->size, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || ret->size + (size_t)got > STATUS_TEXT_MAX) {
            int saved = errno;
            close(fd);
            return got < 0 ? err_set(err, ERR_IO, "cannot read \"%s\": %s", path, strerror(saved))
                           : ERR_OK;
        }
        ret->size += (size_t)got;
    }
}

static enum err_code folder_of_mount(const char *place, char **ret_folder, struct err *err)
{
    char *path = mem_xformat("%s/.fs/status", place);
    struct buf text = {0};
    enum err_code code = read_file(path, &text, err);
    if (code == ERR_OK) {
        struct bytes folder = status_find(buf_bytes(&text), "data");
        if (folder.size)
            *ret_folder = bytes_to_text(folder);
        else
            code = err_set(err, ERR_INVALID, "the mount at \"%s\" has no member on this host", place);
    }
    buf_release(&text);
    free(path);
    return code;
}

static const struct mount *mount_of(const struct mounts *mounts, dev_t device)
{
    for (size_t i = 0; i < mounts->count; i++)
        if (mounts->items[i].device == device)
            return &mounts->items[i];
    return NULL;
}

static enum err_code find_named(const struct mounts *mounts, const char *place, char **ret_folder,
                                struct err *err)
{
    struct stat stat_result;
    if (stat(place, &stat_result) < 0) {
        if (errno == ENOTCONN || errno == ECONNABORTED)
            return err_set(err, ERR_IO, "the daemon of the mount at \"%s\" is gone", place);
        return err_set(err, ERR_INVALID, "cannot use \"%s\": %s", place, strerror(errno));
    }
    const struct mount *mount = mount_of(mounts, stat_result.st_dev);
    if (mount)
        return folder_of_mount(mount->place, ret_folder, err);
    if (!S_ISDIR(stat_result.st_mode))
        return err_set(err, ERR_INVALID, "not a folder: \"%s\"", place);
    *ret_folder = mem_xstrdup(place);
    return ERR_OK;
}

static bool has_socket(const char *folder)
{
    struct stat stat_result;
    char *path = mem_xformat("%s/sock", folder);
    bool found = lstat(path, &stat_result) == 0;
    free(path);
    return found;
}

static bool are_one(const struct mounts *mounts)
{
    for (size_t i = 1; i < mounts->count; i++)
        if (mounts->items[i].device != mounts->items[0].device)
            return false;
    return mounts->count > 0;
}

static enum err_code find_unnamed(const struct mounts *mounts, char **ret_folder, struct err *err)
{
    struct stat stat_result;
    const struct mount *here = stat(".", &stat_result) == 0 ? mount_of(mounts, stat_result.st_dev)
                                                            : NULL;
    if (here)
        return folder_of_mount(here->place, ret_folder, err);
    char *folder = datadir_default();
    if (folder && has_socket(folder)) {
        *ret_folder = folder;
        return ERR_OK;
    }
    free(folder);
    if (are_one(mounts))
        return folder_of_mount(mounts->items[0].place, ret_folder, err);
    if (mounts->count)
        return err_set(err, ERR_INVALID, "several mounts; name one with --data");
    return err_set(err, ERR_NO_LEADER, "no member runs here; name its folder or mount with --data");
}

enum err_code client_find(const char *place, char **ret_folder, struct err *err)
{
    struct mounts mounts;
    mounts_read(&mounts);
    enum err_code code = place ? find_named(&mounts, place, ret_folder, err)
                               : find_unnamed(&mounts, ret_folder, err);
    mounts_release(&mounts);
    return code;
}
