#include "mvcc/home_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/crc32c.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define CHUNK_SIZE (256 * KIB)

enum err_code files_failed(struct err *err, const char *what, const char *path)
{
    enum err_code code = err_set_errno(err, errno, "%s '%s'", what, path);
    if (code != ERR_NOT_FOUND)
        return code;
    if (err)
        err->code = ERR_IO;
    return ERR_IO;
}

/* ---- folders ---- */

enum err_code files_make_folder(const char *path, struct err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return files_failed(err, "make folder", path);
    return ERR_OK;
}

enum err_code files_sync_folder(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return files_failed(err, "open folder", path);
    enum err_code code = ERR_OK;
    if (fsync(fd) != 0)
        code = files_failed(err, "sync folder", path);
    close(fd);
    return code;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static enum err_code remove_inside(DIR *dir, const char *path, struct err *err)
{
    enum err_code code = ERR_OK;
    errno = 0;
    for (struct dirent *entry; !code && (entry = readdir(dir)); errno = 0) {
        if (is_dots(entry->d_name))
            continue;
        char *inner = mem_xformat("%s/%s", path, entry->d_name);
        code = files_remove(inner, err);
        free(inner);
    }
    if (!code && errno)
        code = files_failed(err, "read folder", path);
    return code;
}

enum err_code files_remove(const char *path, struct err *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return ERR_OK;
    if (errno != EISDIR && errno != EPERM)
        return files_failed(err, "remove", path);
    DIR *dir = opendir(path);
    if (!dir)
        return files_failed(err, "open folder", path);
    enum err_code code = remove_inside(dir, path, err);
    closedir(dir);
    if (!code && rmdir(path) != 0)
        code = files_failed(err, "remove folder", path);
    return code;
}

/* ---- whole files ---- */

enum err_code files_read(const char *path, struct buf *ret, struct err *err)
{
    size_t before = ret->size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open '%s'", path);
    ssize_t size;
    do {
        buf_reserve(ret, CHUNK_SIZE);
        size = read(fd, ret->data + ret->size, CHUNK_SIZE);
        ret->size += size > 0 ? (size_t)size : 0;
    } while (size > 0 || (size < 0 && errno == EINTR));
    enum err_code code = ERR_OK;
    if (size < 0) {
        code = files_failed(err, "read", path);
        ret->size = before;
    }
    close(fd);
    return code;
}

enum err_code files_write_at(int fd, const char *path, uint64_t offset, struct bytes from,
                             struct err *err)
{
    while (from.size) {
        ssize_t size = pwrite(fd, from.data, from.size, (off_t)offset);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return files_failed(err, "write", path);
        from = bytes_skip(from, (size_t)size);
        offset += (uint64_t)size;
    }
    return ERR_OK;
}

static enum err_code write_new(const char *path, struct bytes from, bool sync, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_failed(err, "create", path);
    enum err_code code = files_write_at(fd, path, 0, from, err);
    if (!code && sync && fsync(fd) != 0)
        code = files_failed(err, "sync", path);
    close(fd);
    return code;
}

enum err_code files_write(const char *path, struct bytes from, struct err *err)
{
    return write_new(path, from, false, err);
}

enum err_code files_replace(const char *folder, const char *name, struct bytes from,
                            struct err *err)
{
    char *path = mem_xformat("%s/%s", folder, name), *fresh = mem_xformat("%s.new", path);
    enum err_code code = write_new(fresh, from, true, err);
    if (!code && rename(fresh, path) != 0)
        code = files_failed(err, "rename", fresh);
    if (!code)
        code = files_sync_folder(folder, err);
    free(fresh);
    free(path);
    return code;
}

/* ---- parts ---- */

enum err_code files_read_at(const char *path, uint64_t offset, void *to, size_t size,
                            struct err *err)
{
    uint8_t *place = to;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return files_failed(err, "open", path);
    enum err_code code = ERR_OK;
    while (!code && size) {
        ssize_t got = pread(fd, place, size, (off_t)offset);
        if (got < 0 && errno != EINTR)
            code = files_failed(err, "read", path);
        else if (got == 0)
            code = err_set(err, ERR_IO, "'%s' is shorter than it was", path);
        if (got > 0) {
            place += got;
            offset += (uint64_t)got;
            size -= (size_t)got;
        }
    }
    close(fd);
    return code;
}

enum err_code files_sum(const char *path, uint64_t *ret_size, uint32_t *ret_crc, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return files_failed(err, "open", path);
    uint8_t *chunk = mem_xalloc(CHUNK_SIZE);
    uint64_t total = 0;
    uint32_t crc = 0;
    ssize_t size;
    while ((size = read(fd, chunk, CHUNK_SIZE)) > 0 || (size < 0 && errno == EINTR)) {
        if (size < 0)
            continue;
        crc = crc32c(crc, bytes_of(chunk, (size_t)size));
        total += (uint64_t)size;
    }
    enum err_code code = size < 0 ? files_failed(err, "read", path) : ERR_OK;
    free(chunk);
    close(fd);
    if (!code) {
        *ret_size = total;
        *ret_crc = crc;
    }
    return code;
}
