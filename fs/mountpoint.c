#include "fs/mountpoint.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define OUR_TYPE "fuse.concordfs"

extern char **environ;

/* ---- what is mounted ---- */

/* Undoes mountinfo's octal escapes (of blank, tab, newline and backslash) in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned value;
        if (*from == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* A line: id parent major:minor root mountpoint options... - type source options. */
static bool line_is_ours(char *line, const char *path, unsigned *ret_minor)
{
    char *place = line, *field = NULL;
    unsigned minor = 0;
    for (int i = 0; i < 5; i++) {
        if (!(field = strsep(&place, " ")))
            return false;
        if (i == 2 && sscanf(field, "%*u:%u", &minor) != 1)
            return false;
    }
    char *type = place ? strstr(place, " - ") : NULL;
    if (!type || strncmp(type + 3, OUR_TYPE " ", strlen(OUR_TYPE) + 1) != 0)
        return false;
    unescape(field);
    if (strcmp(field, path) != 0)
        return false;
    *ret_minor = minor;
    return true;
}

bool mountpoint_device(const char *path, unsigned *ret_minor)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (file && getline(&line, &room, file) > 0)
        found |= line_is_ours(line, path, ret_minor);       /* the last one lies above */
    free(line);
    if (file)
        fclose(file);
    return found;
}

bool mountpoint_is_ours(const char *path)
{
    unsigned minor;
    return mountpoint_device(path, &minor);
}

/* ---- paths ---- */

/* As realpath, of a path whose last names may be missing. The caller frees it; NULL: too long. */
static char *resolve(const char *path)
{
    char *head = mem_xstrdup(path), *rest = mem_xstrdup(""), *real;
    while (!(real = realpath(*head ? head : "/", NULL))) {
        char *slash = strrchr(head, '/');
        char *longer = mem_xformat("/%s%s", slash ? slash + 1 : head, rest);
        free(rest);
        rest = longer;
        if (slash) {
            *slash = 0;
            continue;
        }
        real = realpath(".", NULL);
        break;
    }
    char *whole = real ? mem_xformat("%s%s", strcmp(real, "/") ? real : "", rest) : NULL;
    free(real);
    free(head);
    free(rest);
    return whole;
}

bool mountpoint_holds(const char *folder, const char *path)
{
    char *real = resolve(path);
    size_t size = strlen(folder);
    bool holds = real && strncmp(real, folder, size) == 0 && (real[size] == '/' || real[size] == 0);
    free(real);
    return holds;
}

/* The absolute path of something that cannot be looked into: its parent's, and its name. */
static char *resolve_dead(const char *path)
{
    char *copy = mem_xstrdup(path);
    size_t size = strlen(copy);
    while (size > 1 && copy[size - 1] == '/')
        copy[--size] = 0;
    char *slash = strrchr(copy, '/'), *whole = NULL;
    const char *name = slash ? slash + 1 : copy;
    if (slash)
        *slash = 0;
    char *parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (parent)
        whole = mem_xformat("%s/%s", strcmp(parent, "/") ? parent : "", name);
    free(parent);
    free(copy);
    return whole;
}

/* ---- taking away ---- */

/* Without the privilege to unmount, the helper that mounted does it. */
static enum err_code helper_unmount(const char *path, bool lazy, struct err *err)
{
    char program[] = "fusermount3", how[] = "-u", detach[] = "-uz", end[] = "--";
    char *argv[] = {program, lazy ? detach : how, end, (char *)(uintptr_t)path, NULL};
    pid_t child;
    int status = 0, error = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ);
    if (error)
        return err_set_errno(err, error, "fusermount3 did not start");
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return err_set_errno(err, errno, "waiting for fusermount3");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ERR_OK;
    return err_set(err, ERR_IO, "fusermount3 did not unmount \"%s\"", path);
}

enum err_code mountpoint_unmount(const char *path, bool lazy, struct err *err)
{
    char *real = resolve_dead(path);
    enum err_code code = ERR_OK;
    if (!real || !mountpoint_is_ours(real))
        code = err_set(err, ERR_INVALID, "nothing of concordfs is mounted on \"%s\"", path);
    else if (umount2(real, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        code = ERR_OK;
    else if (errno == EPERM)
        code = helper_unmount(real, lazy, err);
    else if (errno == EBUSY)
        code = err_set(err, ERR_BUSY, "\"%s\" is in use", path);
    else
        code = err_set_errno(err, errno, "unmounting \"%s\"", path);
    free(real);
    return code;
}

/* ---- making ready ---- */

enum err_code mountpoint_prepare(const char *path, char **ret_path, struct err *err)
{
    struct stat found;
    struct statvfs probe;
    int result = statvfs(path, &probe);         /* stat may be answered from what the kernel remembers */
    if (result == 0)
        result = stat(path, &found);
    /* ECONNABORTED: it died while this request was waiting for it. */
    if (result != 0 && (errno == ENOTCONN || errno == ECONNABORTED)) {
        enum err_code code = mountpoint_unmount(path, true, err);
        if (code != ERR_OK)
            return err_wrap(err, code, "a daemon that died left its mount on \"%s\"", path);
        result = stat(path, &found);
    }
    if (result != 0)
        return err_set_errno(err, errno, "the mount point \"%s\"", path);
    if (!S_ISDIR(found.st_mode))
        return err_set(err, ERR_INVALID, "the mount point \"%s\" is no folder", path);
    char *real = realpath(path, NULL);
    if (!real)
        return err_set_errno(err, errno, "the mount point \"%s\"", path);
    if (mountpoint_is_ours(real)) {
        free(real);
        return err_set(err, ERR_EXISTS, "\"%s\" is mounted already", path);
    }
    *ret_path = real;
    return ERR_OK;
}
