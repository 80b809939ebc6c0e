/* The list of a copy's files as bytes:
 *
 *     format, 1 byte: 1
 *     id, 8 bytes, little endian: hash of all that follows
 *     count varint, and for each file: size of its name 1 byte, name, size varint, crc32c 4 bytes
 *
 * The id is a checksum of the list and a name of the copy in one: whoever announces the same id once more
 * has the same bytes to send.
 */
#include "mvcc/home_internal.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"
#include "proto/base/varint.h"

#define MANIFEST_FORMAT 1
#define MANIFEST_HEAD 9                 /* format and id */
#define FILE_ENCODED_MIN 7              /* a name of one byte, a size of one */

static_assert(MANIFEST_HEAD + VARINT_SIZE_MAX +
                      HOME_FILES_MAX * (1LL + HOME_NAME_SIZE - 1 + 6 + 4) <=
                  HOME_MANIFEST_SIZE_MAX,
              "the longest list, whose sizes take 6 bytes each, is within its bound");
static_assert(HOME_FILE_SIZE_MAX < 1LL << 42, "a size is a varint of 6 bytes");
static_assert(HOME_FILES_MAX < INT64_MAX / HOME_FILE_SIZE_MAX, "the sum of all sizes is a number");

/* ---- encoding ---- */

static uint64_t id_of(struct bytes list)
{
    return hash_bytes(HOME_ID_SEED, list);
}

void home_manifest_encode(const struct home_manifest *manifest, struct buf *ret)
{
    CHECK(manifest->count > 0 && manifest->count <= HOME_FILES_MAX);
    size_t start = ret->size;
    buf_append_u8(ret, MANIFEST_FORMAT);
    buf_append_le64(ret, 0);
    buf_append_varint(ret, manifest->count);
    for (size_t i = 0; i < manifest->count; i++) {
        const struct home_file *file = &manifest->files[i];
        CHECK(file->size > 0 && file->size <= HOME_FILE_SIZE_MAX);
        struct bytes name = bytes_of_text(file->name);
        buf_append_u8(ret, (uint8_t)name.size);
        buf_append(ret, name);
        buf_append_varint(ret, file->size);
        buf_append_le32(ret, file->crc);
    }
    struct bytes whole = bytes_skip(buf_bytes(ret), start);
    CHECK(whole.size <= HOME_MANIFEST_SIZE_MAX);
    put_le64(ret->data + start + 1, id_of(bytes_skip(whole, MANIFEST_HEAD)));
}

void home_manifest_seal(struct home_manifest *manifest)
{
    struct buf encoded = {0};
    home_manifest_encode(manifest, &encoded);
    manifest->id = get_le64(encoded.data + 1);
    buf_release(&encoded);
}

bool home_manifest_equal(const struct home_manifest *left, const struct home_manifest *right)
{
    if (left->id != right->id || left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        const struct home_file *one = &left->files[i], *other = &right->files[i];
        if (strcmp(one->name, other->name) != 0 || one->size != other->size ||
            one->crc != other->crc)
            return false;
    }
    return true;
}

void home_manifest_copy(const struct home_manifest *from, struct home_manifest *ret)
{
    *ret = (struct home_manifest){.id = from->id, .count = from->count};
    ret->files = mem_xalloc(from->count * sizeof(*ret->files));
    memcpy(ret->files, from->files, from->count * sizeof(*ret->files));
}

uint64_t home_manifest_bytes(const struct home_manifest *manifest)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < manifest->count; i++)
        bytes += manifest->files[i].size;
    return bytes;
}

void home_manifest_release(struct home_manifest *manifest)
{
    free(manifest->files);
    *manifest = (struct home_manifest){0};
}

/* ---- places in it ---- */

enum err_code home_manifest_bounds(const struct home_manifest *manifest, size_t file,
                                   uint64_t offset, uint64_t size, struct err *err)
{
    if (file >= manifest->count)
        return err_set(err, ERR_INVALID, "the copy has %zu files, not a number %zu",
                       manifest->count, file);
    uint64_t whole = manifest->files[file].size;
    if (offset > whole || size > whole - offset)
        return err_set(err, ERR_INVALID, "'%s' of the copy does not reach that far",
                       manifest->files[file].name);
    return ERR_OK;
}

enum err_code home_position_rest(const struct home_manifest *manifest,
                                 const struct home_position *position, size_t file,
                                 uint64_t offset, struct bytes *from, struct err *err)
{
    enum err_code code = home_manifest_bounds(manifest, file, offset, from->size, err);
    if (code)
        return code;
    if (file > position->file || (file == position->file && offset > position->offset))
        return err_set(err, ERR_INVALID, "bytes of '%s' arrive before those in front of them",
                       manifest->files[file].name);
    uint64_t there = file < position->file ? UINT64_MAX : position->offset - offset;
    *from = there >= from->size ? BYTES_EMPTY : bytes_skip(*from, (size_t)there);
    return ERR_OK;
}

bool home_position_advance(const struct home_manifest *manifest, struct home_position *position,
                           uint64_t size)
{
    position->offset += size;
    CHECK(position->offset <= manifest->files[position->file].size);
    if (position->offset < manifest->files[position->file].size)
        return false;
    position->file++;
    position->offset = 0;
    return true;
}

/* ---- decoding ---- */

static bool is_name(struct bytes name)
{
    if (name.size == 0 || name.size >= HOME_NAME_SIZE || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '.' && c != '-')
            return false;
    }
    return true;
}

static bool file_decode(struct cursor *cursor, struct home_file *ret)
{
    struct bytes name = cursor_take(cursor, cursor_u8(cursor));
    uint64_t size = cursor_varint(cursor);
    *ret = (struct home_file){.size = size, .crc = cursor_le32(cursor)};
    if (cursor->failed || !is_name(name) || size == 0 || size > HOME_FILE_SIZE_MAX)
        return false;
    memcpy(ret->name, name.data, name.size);
    return true;
}

static int name_order(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool names_differ(const struct home_manifest *manifest)
{
    const char **names = mem_xalloc(manifest->count * sizeof(*names));
    bool differ = true;
    for (size_t i = 0; i < manifest->count; i++)
        names[i] = manifest->files[i].name;
    qsort(names, manifest->count, sizeof(*names), name_order);
    for (size_t i = 1; differ && i < manifest->count; i++)
        differ = strcmp(names[i - 1], names[i]) != 0;
    free(names);
    return differ;
}

static bool files_decode(struct cursor *cursor, struct home_manifest *ret)
{
    uint64_t count = cursor_varint(cursor);
    /* The bytes that are there bound what is allocated for them. */
    if (cursor->failed || count == 0 || count > HOME_FILES_MAX ||
        count > cursor->rest.size / FILE_ENCODED_MIN)
        return false;
    ret->files = mem_xzalloc(count * sizeof(*ret->files));
    for (ret->count = 0; ret->count < count; ret->count++)
        if (!file_decode(cursor, &ret->files[ret->count]))
            return false;
    return cursor->rest.size == 0 && names_differ(ret);
}

enum err_code home_manifest_decode(struct bytes from, struct home_manifest *ret, struct err *err)
{
    struct home_manifest manifest = {0};
    struct cursor cursor = cursor_of(from);
    uint8_t format = cursor_u8(&cursor);
    manifest.id = cursor_le64(&cursor);
    if (cursor.failed || from.size > HOME_MANIFEST_SIZE_MAX || format != MANIFEST_FORMAT)
        return err_set(err, ERR_CORRUPT, "the list of a store's files has no format known here");
    if (manifest.id != id_of(cursor.rest) || !files_decode(&cursor, &manifest)) {
        home_manifest_release(&manifest);
        return err_set(err, ERR_CORRUPT, "the list of a store's files is damaged");
    }
    *ret = manifest;
    return ERR_OK;
}
