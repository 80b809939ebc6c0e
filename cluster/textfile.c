#include "cluster/textfile.h"

#include <stdio.h>
#include <stdlib.h>

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

static enum err_code remove_if_there(struct disk *disk, const char *name, struct err *err)
{
    enum err_code code = disk_remove(disk, name, err);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* A file of that name and no other content, durable but for its name. */
static enum err_code write_fresh(struct disk *disk, const char *name, struct bytes whole,
                                 struct err *err)
{
    struct disk_file *file = NULL;
    enum err_code code = remove_if_there(disk, name, err);
    if (code == ERR_OK)
        code = disk_open(disk, name, DISK_CREATE, 0, &file, NULL, err);
    if (code == ERR_OK)
        code = disk_write(disk, file, 0, whole.data, whole.size, false, err);
    if (code == ERR_OK)
        code = disk_sync(disk, file, err);
    disk_close(disk, file);
    return code;
}

enum err_code textfile_write(struct disk *disk, const char *name, struct bytes text, struct err *err)
{
    struct buf whole = {0};
    char *fresh = mem_xformat("%s.new", name);
    buf_append(&whole, text);
    textfile_seal(&whole);
    CHECK(whole.size <= TEXTFILE_SIZE_MAX);
    enum err_code code = write_fresh(disk, fresh, buf_bytes(&whole), err);
    if (code == ERR_OK)
        code = disk_rename(disk, fresh, name, err);
    if (code == ERR_OK)
        code = disk_sync_folder(disk, "", err);
    buf_release(&whole);
    free(fresh);
    return code;
}

/* One byte more than a text file may have is enough to know that it is none. */
static enum err_code read_all(struct disk *disk, const char *name, struct buf *ret, struct err *err)
{
    struct disk_file *file = NULL;
    uint64_t size = 0;
    size_t got = 0;
    enum err_code code = disk_open(disk, name, DISK_READ, 0, &file, &size, err);
    if (code != ERR_OK)
        return code;
    size_t wanted = size <= TEXTFILE_SIZE_MAX ? (size_t)size : TEXTFILE_SIZE_MAX + 1;
    buf_reserve(ret, wanted + 1);
    code = disk_read(disk, file, 0, ret->data, wanted, DISK_CACHED, &got, err);
    ret->size += code == ERR_OK ? got : 0;
    disk_close(disk, file);
    return code;
}

enum err_code textfile_read(struct disk *disk, const char *name, struct buf *ret, struct err *err)
{
    struct buf whole = {0};
    enum err_code code = read_all(disk, name, &whole, err);
    struct bytes text = buf_bytes(&whole);
    if (code == ERR_OK && (text.size > TEXTFILE_SIZE_MAX || !textfile_unseal(&text)))
        code = err_set(err, ERR_CORRUPT, "\"%s\" is damaged (its checksum does not fit)", name);
    if (code == ERR_OK)
        buf_append(ret, text);
    buf_release(&whole);
    return code;
}

enum err_code textfile_remove(struct disk *disk, const char *name, struct err *err)
{
    enum err_code code = disk_remove(disk, name, err);
    if (code == ERR_OK)
        return disk_sync_folder(disk, "", err);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}
