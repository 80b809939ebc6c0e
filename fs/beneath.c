#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437                 /* on every architecture */
#endif

/* ---- names ---- */

static bool is_name(const char *name, size_t size)
{
    bool is_dots = (size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.');
    return size > 0 && !is_dots;
}

/* Where the last name begins; every one of them is a plain name. */
static int check_names(const char *path, const char **ret_last)
{
    for (;;) {
        size_t size = strcspn(path, "/");
        if (!is_name(path, size))
            return EINVAL;
        if (path[size] == 0)
            break;
        path += size + 1;
    }
    *ret_last = path;
    return 0;
}

/* What stands before the last name, "" where that is alone. */
static int take_parent(const char *path, char to[PATH_MAX], const char **ret_last)
{
    int error = check_names(path, ret_last);
    if (error)
        return error;
    size_t size = (size_t)(*ret_last - path);
    if (size >= PATH_MAX)
        return ENAMETOOLONG;
    memcpy(to, path, size);
    to[size ? size - 1 : 0] = 0;
    return 0;
}

/* ---- devices ---- */

/* As the kernel remembers it: the filesystem is not asked, and cannot keep the caller waiting. */
static int device_at(int fd, const char *path, dev_t *ret)
{
    struct statx about;
    if (statx(fd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &about) != 0)
        return errno;
    *ret = makedev(about.stx_dev_major, about.stx_dev_minor);
    return 0;
}

static int device_of(int fd, dev_t *ret) { return device_at(fd, "", ret); }

int beneath_device(const char *path, dev_t *ret) { return device_at(AT_FDCWD, path, ret); }

/* Takes the descriptor: gives it on, or closes it. */
static int keep_on_device(int fd, dev_t device, int *ret_fd)
{
    dev_t found;
    int error = device_of(fd, &found);
    if (!error && found != device)
        error = EXDEV;
    if (error)
        close(fd);
    else
        *ret_fd = fd;
    return error;
}

int beneath_root(const char *path, dev_t device, int *ret_root)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? errno : keep_on_device(fd, device, ret_root);
}

/* ---- in one call ---- */

static int open_at_once(int directory, const char *path, int flags, int *ret_fd)
{
    struct open_how how = {.flags = (unsigned)(O_PATH | O_CLOEXEC | O_NOFOLLOW | flags),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
    if (fd < 0)
        return errno;
    *ret_fd = fd;
    return 0;
}

int beneath_open(int root, const char *path, struct beneath *ret)
{
    char parent[PATH_MAX];
    const char *last;
    int fd = -1, error = take_parent(path, parent, &last);
    if (!error)
        error = open_at_once(root, parent[0] ? parent : ".", O_DIRECTORY, &fd);
    if (error == ENOSYS)
        return beneath_walk(root, path, ret);
    if (!error)
        *ret = (struct beneath){.directory = fd, .name = last};
    return error;
}

int beneath_find(const struct beneath *beneath, int *ret_fd)
{
    int error = open_at_once(beneath->directory, beneath->name, 0, ret_fd);
    return error == ENOSYS ? beneath_find_walking(beneath, ret_fd) : error;
}

/* ---- name by name ---- */

static int step(int directory, const char *name, int flags, dev_t device, int *ret_fd)
{
    int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
    return fd < 0 ? errno : keep_on_device(fd, device, ret_fd);
}

/* Cuts parent into its names. */
static int walk(int root, char *parent, int *ret_fd)
{
    dev_t device;
    int fd = -1, error = device_of(root, &device);
    if (!error)
        error = step(root, ".", O_DIRECTORY, device, &fd);
    for (char *name = parent, *next; !error && *name; name = next) {
        int directory = fd;
        next = name + strcspn(name, "/");
        if (*next)
            *next++ = 0;
        error = step(directory, name, O_DIRECTORY, device, &fd);
        close(directory);
    }
    if (!error)
        *ret_fd = fd;
    return error;
}

int beneath_walk(int root, const char *path, struct beneath *ret)
{
    char parent[PATH_MAX];
    const char *last;
    int fd = -1, error = take_parent(path, parent, &last);
    if (!error)
        error = walk(root, parent, &fd);
    if (!error)
        *ret = (struct beneath){.directory = fd, .name = last};
    return error;
}

int beneath_find_walking(const struct beneath *beneath, int *ret_fd)
{
    dev_t device;
    int error = device_of(beneath->directory, &device);
    return error ? error : step(beneath->directory, beneath->name, 0, device, ret_fd);
}

void beneath_close(struct beneath *beneath)
{
    if (beneath->directory >= 0)
        close(beneath->directory);
    *beneath = BENEATH_NONE;
}
