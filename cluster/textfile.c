#include "cluster/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mem.h"

#define SUM_WORD "crc32c "
#define SUM_LINE_SIZE (sizeof SUM_WORD - 1 + 8 + 1)

void textfile_seal(struct buf *text)
{
    buf_append_format(text, SUM_WORD "%08x\n", crc32c(0, buf_bytes(text)));
}

bool textfile_unseal(struct bytes *text)
{
    char line[SUM_LINE_SIZE + 1];
    if (text->size < SUM_LINE_SIZE)
        return false;
    struct bytes body = bytes_of(text->data, text->size - SUM_LINE_SIZE);
    snprintf(line, sizeof line, SUM_WORD "%08x\n", crc32c(0, body));
    if (memcmp(text->data + body.size, line, SUM_LINE_SIZE) != 0)
        return false;
    *text = body;
    return true;
}

/* ---- files ---- */

static enum err_code sync_parent(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    CHECK(slash);
    char *folder = mem_xformat("%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err_code code = ERR_OK;
    if (fd < 0 || fsync(fd) != 0)
        code = err_set_errno(err, errno, "sync folder \"%s\"", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return code;
}

static bool write_all(int fd, struct bytes from)
{
    while (from.size) {
        ssize_t written = write(fd, from.data, from.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        from = bytes_skip(from, (size_t)written);
    }
    return true;
}

enum err_code textfile_write(const char *path, struct bytes text, struct err *err)
{
    struct buf whole = {0};
    char *fresh = mem_xformat("%s.new", path);
    enum err_code code = ERR_OK;
    buf_append(&whole, text);
    textfile_seal(&whole);
    CHECK(whole.size <= TEXTFILE_SIZE_MAX);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !write_all(fd, buf_bytes(&whole)) || fsync(fd) != 0)
        code = err_set_errno(err, errno, "write \"%s\"", fresh);
    if (fd >= 0)
        close(fd);
    if (code == ERR_OK && rename(fresh, path) != 0)
        code = err_set_errno(err, errno, "rename \"%s\"", fresh);
    if (code == ERR_OK)
        code = sync_parent(path, err);
    buf_release(&whole);
    free(fresh);
    return code;
}

static enum err_code read_all(const char *path, struct buf *ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && ret->size <= TEXTFILE_SIZE_MAX) {
        buf_reserve(ret, 4096);
        got = read(fd, ret->data + ret->size, 4096);
        ret->size += got > 0 ? (size_t)got : 0;
    }
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return got < 0 ? err_set_errno(err, saved, "read \"%s\"", path) : ERR_OK;
}

enum err_code textfile_read(const char *path, struct buf *ret, struct err *err)
{
    struct buf whole = {0};
    enum err_code code = read_all(path, &whole, err);
    struct bytes text = buf_bytes(&whole);
    if (code == ERR_OK && (text.size > TEXTFILE_SIZE_MAX || !textfile_unseal(&text)))
        code = err_set(err, ERR_CORRUPT, "\"%s\" is damaged (its checksum does not fit)", path);
    if (code == ERR_OK)
        buf_append(ret, text);
    buf_release(&whole);
    return code;
}

enum err_code textfile_remove(const char *path, struct err *err)
{
    if (unlink(path) == 0)
        return sync_parent(path, err);
    return errno == ENOENT ? ERR_OK : err_set_errno(err, errno, "remove \"%s\"", path);
}
