#include "wal/reader.h"

#include "proto/base/check.h"

#define WINDOW_SIZE (1024 * 1024)

enum err_code reader_open(struct reader *reader, struct disk *disk, const char *name,
                          uint64_t segment, const struct overlay *overlay, struct err *err)
{
    *reader = (struct reader){.disk = disk, .segment = segment, .overlay = overlay};
    return disk_open(disk, name, DISK_READ, 0, &reader->file, &reader->size, err);
}

void reader_close(struct reader *reader)
{
    if (reader->file)
        disk_close(reader->disk, reader->file);
    buf_release(&reader->window);
    *reader = (struct reader){0};
}

/* Copies what the overlay has of the window over it. */
static void lay_over(struct reader *reader)
{
    const struct overlay *overlay = reader->overlay;
    if (!overlay || overlay->segment != reader->segment)
        return;
    uint64_t window_end = reader->window_offset + reader->window.size;
    uint64_t overlay_end = overlay->offset + overlay->bytes.size;
    uint64_t start = overlay->offset > reader->window_offset ? overlay->offset
                                                             : reader->window_offset;
    uint64_t end = overlay_end < window_end ? overlay_end : window_end;
    if (start < end)
        memcpy(reader->window.data + (start - reader->window_offset),
               overlay->bytes.data + (start - overlay->offset), (size_t)(end - start));
}

static enum err_code fill(struct reader *reader, uint64_t offset, size_t size, struct err *err)
{
    size_t want = size > WINDOW_SIZE ? size : WINDOW_SIZE, got = 0;
    if (want > reader->size - offset)
        want = (size_t)(reader->size - offset);
    buf_clear(&reader->window);
    uint8_t *to = buf_extend(&reader->window, want);
    enum err_code code = disk_read(reader->disk, reader->file, offset, to, want, DISK_CACHED,
                                   &got, err);
    reader->window.size = code ? 0 : got;
    reader->window_offset = offset;
    lay_over(reader);
    return code;
}

enum err_code reader_get(struct reader *reader, uint64_t offset, size_t size,
                         struct bytes *ret_bytes, struct err *err)
{
    if (offset >= reader->size) {
        *ret_bytes = BYTES_EMPTY;
        return ERR_OK;
    }
    if (size > reader->size - offset)
        size = (size_t)(reader->size - offset);
    bool inside = offset >= reader->window_offset &&
                  offset + size <= reader->window_offset + reader->window.size;
    enum err_code code = inside ? ERR_OK : fill(reader, offset, size, err);
    if (code)
        return code;
    size_t skip = (size_t)(offset - reader->window_offset);
    size_t rest = reader->window.size - skip;
    *ret_bytes = bytes_of(reader->window.data + skip, rest < size ? rest : size);
    return ERR_OK;
}
