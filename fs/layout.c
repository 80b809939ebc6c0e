#include "fs/layout.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define PAST_BIT (UINT64_C(1) << 63)
#define KEY_ON_STACK 512
#define DIRECTORY_SIZE 4096     /* what tools are used to: columns and sums compare with other places */

/* ---- one byte of a component ---- */

static size_t unit_size(uint8_t byte) { return byte == '%' || byte == 0 ? 3 : 1; }

static size_t unit_put(uint8_t *to, uint8_t byte)
{
    if (unit_size(byte) == 1) {
        to[0] = byte;
        return 1;
    }
    memcpy(to, byte ? "%25" : "%00", 3);
    return 3;
}

/* Reads one unit at the front; its size, 0 for something that no unit begins with. "%2E" is read here,
 * and refused where it is needless by encoding again. */
static size_t unit_get(struct bytes from, uint8_t *ret)
{
    if (from.data[0] == '/' || from.data[0] == 0)
        return 0;
    if (from.data[0] != '%') {
        *ret = from.data[0];
        return 1;
    }
    if (from.size < 3)
        return 0;
    if (memcmp(from.data, "%25", 3) == 0)
        *ret = '%';
    else if (memcmp(from.data, "%00", 3) == 0)
        *ret = 0;
    else if (memcmp(from.data, "%2E", 3) == 0)
        *ret = '.';
    else
        return 0;
    return 3;
}

static bool is_text(struct bytes name, const char *text)
{
    return bytes_equal(name, bytes_of_text(text));
}

/* Components that the kernel or the filesystem has taken for itself: their dots are escaped. */
static bool is_reserved(struct bytes component, enum layout_place place)
{
    return is_text(component, ".") || is_text(component, "..") ||
           is_text(component, LAYOUT_SNAPSHOT) ||
           (place == LAYOUT_IN_ROOT && is_text(component, LAYOUT_CONTROL));
}

static size_t encode_reserved(struct bytes component, uint8_t *to)
{
    size_t size = 0;
    bool all = component.size <= 2;             /* of ".." both dots */
    for (size_t i = 0; i < component.size; i++) {
        if (component.data[i] == '.' && (i == 0 || all)) {
            memcpy(to + size, "%2E", 3);
            size += 3;
        } else {
            to[size++] = component.data[i];
        }
    }
    return size;
}

/* ---- chunks ---- */

static bool fits_one_name(struct bytes rest)
{
    size_t size = 0;
    for (size_t i = 0; i < rest.size; i++) {
        size += unit_size(rest.data[i]);
        if (size > NAME_SIZE_MAX)
            return false;
    }
    return true;
}

static size_t encode_last(struct bytes rest, bool is_whole, enum layout_place place, uint8_t *to)
{
    if (rest.size == 0) {
        memcpy(to, "%_", 2);
        return 2;
    }
    if (is_reserved(rest, is_whole ? place : LAYOUT_IN_PARTIAL))
        return encode_reserved(rest, to);
    size_t size = 0;
    for (size_t i = 0; i < rest.size; i++)
        size += unit_put(to + size, rest.data[i]);
    return size;
}

size_t layout_encode_chunk(struct bytes component, size_t offset, enum layout_place place,
                           uint8_t ret[NAME_SIZE_MAX], size_t *ret_size, bool *ret_partial)
{
    CHECK(offset <= component.size);
    struct bytes rest = bytes_skip(component, offset);
    *ret_partial = !fits_one_name(rest);
    if (!*ret_partial) {
        *ret_size = encode_last(rest, offset == 0, place, ret);
        return rest.size;
    }
    size_t size = 0, taken = 0;
    while (size + unit_size(rest.data[taken]) <= LAYOUT_CHUNK_MAX)
        size += unit_put(ret + size, rest.data[taken++]);
    memcpy(ret + size, "%+", 2);
    *ret_size = size + 2;
    return taken;
}

bool layout_chunk_fits(struct bytes component, size_t offset, enum layout_place place)
{
    uint8_t name[NAME_SIZE_MAX];
    size_t size, at = 0;
    bool partial = true;
    while (at < offset && partial)
        at += layout_encode_chunk(component, at, place, name, &size, &partial);
    return at == offset && partial;
}

static bool decode_units(struct bytes name, struct layout_name *ret)
{
    ret->size = 0;
    while (name.size) {
        size_t size = unit_get(name, &ret->raw[ret->size]);
        if (size == 0)
            return false;
        ret->size++;
        name = bytes_skip(name, size);
    }
    return true;
}

static bool decode_partial(struct bytes name, struct layout_name *ret)
{
    struct bytes body = bytes_of(name.data, name.size - 2);
    uint8_t again[NAME_SIZE_MAX];
    if (body.size > LAYOUT_CHUNK_MAX || body.size + 3 <= LAYOUT_CHUNK_MAX || !decode_units(body, ret))
        return false;
    ret->kind = LAYOUT_PARTIAL;
    size_t size = 0;
    for (size_t i = 0; i < ret->size; i++)
        size += unit_put(again + size, ret->raw[i]);
    return bytes_equal(bytes_of(again, size), body);
}

bool layout_decode_name(struct bytes name, enum layout_place place, struct layout_name *ret)
{
    if (name.size == 0 || name.size > NAME_SIZE_MAX || is_reserved(name, place))
        return false;
    if (name.size > 2 && memcmp(name.data + name.size - 2, "%+", 2) == 0)
        return decode_partial(name, ret);
    ret->kind = LAYOUT_COMPONENT;
    ret->size = 0;
    if (is_text(name, "%_"))
        return place != LAYOUT_IN_PARTIAL;
    if (is_text(name, LAYOUT_OWN_VALUE)) {
        ret->kind = LAYOUT_OWN;
        return place == LAYOUT_IN_DIRECTORY;
    }
    if (!decode_units(name, ret))
        return false;
    uint8_t again[NAME_SIZE_MAX];
    struct bytes raw = bytes_of(ret->raw, ret->size);
    size_t size = encode_last(raw, place != LAYOUT_IN_PARTIAL, place, again);
    return bytes_equal(bytes_of(again, size), name);
}

/* ---- whole paths ---- */

bool layout_prefix_is_valid(struct bytes prefix)
{
    return prefix.size == 0 ||
           (prefix.size <= KEY_SIZE_MAX / 2 && prefix.data[prefix.size - 1] == '/');
}

static void append_component(struct buf *ret, struct bytes component, enum layout_place place)
{
    uint8_t name[NAME_SIZE_MAX];
    size_t size, at = 0;
    bool partial;
    do {
        at += layout_encode_chunk(component, at, place, name, &size, &partial);
        buf_append(ret, bytes_of(name, size));
        if (partial)
            buf_append_u8(ret, '/');
    } while (partial);
}

bool layout_path_of_key(struct bytes prefix, struct bytes key, struct buf *ret_path)
{
    if (!bytes_starts_with(key, prefix))
        return false;
    struct bytes rest = bytes_skip(key, prefix.size);
    enum layout_place place = LAYOUT_IN_ROOT;
    for (;;) {
        const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
        size_t size = slash ? (size_t)(slash - rest.data) : rest.size;
        append_component(ret_path, bytes_of(rest.data, size), place);
        if (!slash)
            return true;
        buf_append_u8(ret_path, '/');
        rest = bytes_skip(rest, size + 1);
        place = LAYOUT_IN_DIRECTORY;
    }
}

/* A component gathered chunk by chunk while a path is read. */
struct gathering {
    struct buf *key;
    size_t start;                   /* of the component in key */
    size_t bounds[KEY_SIZE_MAX / 64];   /* where its chunks ended; a chunk covers 83 raw bytes or more */
    size_t count;
    enum layout_place first_place;
};

static bool gathering_fits(const struct gathering *gathering)
{
    struct bytes component = bytes_skip(buf_bytes(gathering->key), gathering->start);
    for (size_t i = 0; i < gathering->count; i++)
        if (!layout_chunk_fits(component, gathering->bounds[i], gathering->first_place))
            return false;
    return true;
}

/* Takes one name of the path. ret_whole: the component it belongs to ends here. */
static bool gather(struct gathering *gathering, struct bytes text, bool *ret_whole)
{
    struct layout_name name;
    enum layout_place place = gathering->count ? LAYOUT_IN_PARTIAL : gathering->first_place;
    if (!layout_decode_name(text, place, &name) || name.kind == LAYOUT_OWN)
        return false;
    buf_append(gathering->key, bytes_of(name.raw, name.size));
    *ret_whole = name.kind == LAYOUT_COMPONENT;
    if (*ret_whole)
        return gathering_fits(gathering);
    if (gathering->count == ARRAY_COUNT(gathering->bounds))
        return false;
    gathering->bounds[gathering->count++] = gathering->key->size - gathering->start;
    return true;
}

bool layout_key_of_path(struct bytes prefix, struct bytes path, struct buf *ret_key)
{
    size_t before = ret_key->size;
    buf_append(ret_key, prefix);
    struct gathering gathering = {.key = ret_key, .start = ret_key->size};
    gathering.first_place = LAYOUT_IN_ROOT;
    for (;;) {
        const uint8_t *slash = path.size ? memchr(path.data, '/', path.size) : NULL;
        struct bytes text = bytes_of(path.data, slash ? (size_t)(slash - path.data) : path.size);
        bool whole, is_own = !slash && is_text(text, LAYOUT_OWN_VALUE);
        if (is_own && gathering.first_place == LAYOUT_IN_DIRECTORY && gathering.count == 0) {
            ret_key->size--;                    /* the directory's own '/' */
            return true;
        }
        if (!gather(&gathering, text, &whole) || ret_key->size - before > KEY_SIZE_MAX ||
            (!slash && !whole))
            break;
        if (!slash)
            return true;
        path = bytes_skip(path, text.size + 1);
        if (!whole)
            continue;
        buf_append_u8(ret_key, '/');
        gathering.start = ret_key->size;
        gathering.count = 0;
        gathering.first_place = LAYOUT_IN_DIRECTORY;
    }
    ret_key->size = before;
    return false;
}

/* ---- attributes ---- */

mode_t layout_type_of(enum meta_type type)
{
    switch (type) {
    case META_SYMLINK: return S_IFLNK;
    case META_FIFO: return S_IFIFO;
    case META_SOCKET: return S_IFSOCK;
    case META_CHAR_DEVICE: return S_IFCHR;
    case META_BLOCK_DEVICE: return S_IFBLK;
    case META_DIRECTORY: return S_IFDIR;
    case META_FILE: break;
    }
    return S_IFREG;
}

uint64_t layout_past_ino(uint64_t live_ino, kv_rev version_revision)
{
    return hash_u64(live_ino ^ hash_u64((uint64_t)version_revision)) | PAST_BIT;
}

static uint64_t file_id(const struct layout *layout, struct bytes directory, struct bytes name,
                        kv_rev create_revision, const struct meta *meta)
{
    uint8_t stack[KEY_ON_STACK];
    size_t size = directory.size + name.size;
    uint8_t *key = size <= sizeof(stack) ? stack : mem_xalloc(size);
    if (directory.size)
        memcpy(key, directory.data, directory.size);
    if (name.size)
        memcpy(key + directory.size, name.data, name.size);
    uint64_t id = meta_file_id(layout->cluster_id, bytes_of(key, size), create_revision, meta);
    if (key != stack)
        free(key);
    return id;
}

/* A record that does not decode counts as absent, on every member. The xattrs borrow from the record: from
 * a copy of it, because the file outlives the answer that it was found in. */
static bool decode_record(struct bytes record, kv_rev mod_revision, struct arena *arena,
                          struct meta *ret)
{
    if (mod_revision != 0 && meta_decode(arena_copy(arena, record), arena, ret) == ERR_OK)
        return true;
    memset(ret, 0, sizeof(*ret));
    return false;
}

static kv_time later(kv_time a, kv_time b) { return a > b ? a : b; }

static void set_owner(const struct layout *layout, const struct meta *meta, mode_t default_mode,
                      struct stat *attr)
{
    attr->st_mode |= meta->has_mode ? (meta->mode & 07777) : default_mode;
    attr->st_uid = meta->has_owner ? meta->uid : layout->uid;
    attr->st_gid = meta->has_owner ? meta->gid : layout->gid;
    attr->st_blksize = 4096;
    attr->st_blocks = (attr->st_size + 511) / 512;
}

static void set_times(const struct meta *meta, bool times_count, kv_time changed,
                      kv_time record_changed, struct stat *attr)
{
    kv_time mtime = times_count && meta->has_mtime ? meta->mtime : changed;
    attr->st_mtim = layout_timespec(mtime);
    attr->st_atim = layout_timespec(times_count && meta->has_atime ? meta->atime : mtime);
    attr->st_ctim = layout_timespec(later(changed, record_changed));
}

static void file_of_value(const struct layout *layout, struct bytes directory,
                          const struct kv_name *name, struct arena *arena, struct fs_file *ret)
{
    struct meta *meta = &ret->meta;
    bool has_meta = decode_record(name->meta, name->meta_mod_revision, arena, meta);
    ret->has_key = name->has_value;
    ret->create_revision = name->create_revision;
    ret->mod_revision = name->mod_revision;
    ret->meta_mod_revision = has_meta ? name->meta_mod_revision : 0;
    if (meta->type == META_DIRECTORY || (name->has_value && meta->type > META_SYMLINK))
        meta->type = META_FILE;
    struct stat *attr = &ret->attr;
    attr->st_mode = layout_type_of(meta->type);
    attr->st_nlink = 1;
    attr->st_size = name->has_value ? (off_t)name->size : 0;
    attr->st_rdev = meta->rdev;
    set_owner(layout, meta, meta->type == META_SYMLINK ? 0777 : layout->file_mode, attr);
    bool times_count = has_meta && meta_times_count(meta, name->meta_mod_revision, name->mod_revision);
    set_times(meta, times_count, name->mod_time, has_meta ? name->meta_mod_time : 0, attr);
    attr->st_ino = file_id(layout, directory, name->name, name->create_revision, meta);
}

static void file_of_directory(const struct layout *layout, struct bytes directory,
                              const struct kv_name *name, struct arena *arena, struct fs_file *ret)
{
    struct meta *meta = &ret->meta;
    bool has_record = decode_record(name->directory_record, name->directory_mod_revision, arena, meta);
    kv_rev changed = name->change_revision;
    kv_time changed_time = name->change_time;
    if (changed == 0 && has_record) {
        changed = name->directory_create_revision;
        changed_time = name->directory_create_time;
    }
    meta->type = META_DIRECTORY;
    ret->is_implicit = name->directory_create_revision == 0;
    ret->directory_create_revision = name->directory_create_revision;
    ret->directory_mod_revision = name->directory_mod_revision;
    ret->meta_mod_revision = has_record ? name->directory_mod_revision : 0;
    ret->change_revision = changed;
    ret->name_count = name->name_count;
    struct stat *attr = &ret->attr;
    attr->st_mode = S_IFDIR;
    attr->st_nlink = layout->has_names ? 2 + name->directory_count : 1;
    attr->st_size = DIRECTORY_SIZE;
    set_owner(layout, meta, layout->directory_mode, attr);
    attr->st_blocks = 0;
    bool times_count = has_record && meta_times_count(meta, name->directory_mod_revision, changed);
    set_times(meta, times_count, changed_time, has_record ? name->directory_mod_time : 0, attr);
    attr->st_ino = file_id(layout, directory, name->name, name->directory_create_revision, meta);
}

bool layout_file(const struct layout *layout, struct bytes directory, const struct kv_name *name,
                 bool own_value, kv_rev revision, struct arena *arena, struct fs_file *ret)
{
    bool has_own = name->has_value || name->has_node;
    if (own_value ? !(name->is_directory && has_own) : !(name->is_directory || has_own))
        return false;
    memset(ret, 0, sizeof(*ret));
    bool is_directory = name->is_directory && !own_value;
    if (is_directory)
        file_of_directory(layout, directory, name, arena, ret);
    else
        file_of_value(layout, directory, name, arena, ret);
    if (revision)
        ret->attr.st_ino = layout_past_ino(ret->attr.st_ino,
                                           is_directory ? revision : ret->mod_revision);
    return true;
}

void layout_root(const struct layout *layout, const struct kv_name *name, kv_rev revision,
                 struct arena *arena, struct fs_file *ret)
{
    struct kv_name nothing = {.is_directory = true, .change_time = layout->start};
    const struct kv_name *from = name && name->is_directory ? name : &nothing;
    memset(ret, 0, sizeof(*ret));
    file_of_directory(layout, BYTES_EMPTY, from, arena, ret);
    ret->attr.st_ino = revision ? layout_past_ino(1, revision) : 1;
}

void layout_virtual(const struct layout *layout, uint64_t ino, mode_t mode, size_t size, kv_time time,
                    struct stat *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->st_ino = ino;
    ret->st_mode = mode;
    ret->st_nlink = S_ISDIR(mode) ? 2 : 1;
    ret->st_size = (off_t)size;
    ret->st_uid = layout->uid;
    ret->st_gid = layout->gid;
    ret->st_blksize = 4096;
    ret->st_blocks = (ret->st_size + 511) / 512;
    ret->st_mtim = ret->st_atim = ret->st_ctim = layout_timespec(time);
}
