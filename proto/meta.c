/* The wire form of schema/record.proto, written and read by hand: it is decoded at every LOOKUP, and its
 * bytes are canonical, so that equal records are equal values on every member. */
#include "proto/meta.h"

#include "proto/base/hash.h"
#include "proto/base/limits.h"
#include "proto/base/varint.h"
#include "proto/wire.h"

enum field {
    FIELD_TYPE = 1, FIELD_MODE, FIELD_UID, FIELD_GID, FIELD_MTIME, FIELD_ATIME, FIELD_BIRTH,
    FIELD_MTIME_FOR, FIELD_RDEV, FIELD_FILE_ID, FIELD_FOR_CREATE, FIELD_XATTRS
};

#define XATTR_NAME_SIZE_MAX 255     /* of Linux */

/* ---- reading ---- */

static bool xattr_decode(struct bytes from, struct meta_xattr *ret)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    while (wire_next(&cursor, &field)) {
        if (field.number == 1)
            ret->name = wire_bytes(&cursor, &field);
        else if (field.number == 2)
            ret->value = wire_bytes(&cursor, &field);
    }
    return !cursor.failed && ret->name.size > 0 && ret->name.size <= XATTR_NAME_SIZE_MAX &&
           !memchr(ret->name.data, 0, ret->name.size);
}

static bool xattrs_are_sound(const struct meta *meta)
{
    size_t total = 0;
    for (size_t i = 0; i < meta->xattr_count; i++) {
        const struct meta_xattr *xattr = &meta->xattrs[i];
        total += xattr->name.size + xattr->value.size;
        if (i && bytes_compare(meta->xattrs[i - 1].name, xattr->name) >= 0)
            return false;
    }
    return total <= XATTR_SIZE_MAX;
}

/* uid and gid come together: seen has a bit for each. */
static void scalar_decode(struct cursor *c, const struct wire_field *f, struct meta *ret,
                          unsigned *seen)
{
    switch (f->number) {
    case FIELD_TYPE: ret->type = (enum meta_type)wire_below(c, f, META_DIRECTORY); break;
    case FIELD_MODE: ret->mode = wire_below(c, f, 07777); ret->has_mode = true; break;
    case FIELD_UID: ret->uid = wire_below(c, f, UINT32_MAX); *seen |= 1; break;
    case FIELD_GID: ret->gid = wire_below(c, f, UINT32_MAX); *seen |= 2; break;
    case FIELD_MTIME: ret->mtime = (kv_time)wire_fixed64(c, f); ret->has_mtime = true; break;
    case FIELD_ATIME: ret->atime = (kv_time)wire_fixed64(c, f); ret->has_atime = true; break;
    case FIELD_BIRTH: ret->birth = (kv_time)wire_fixed64(c, f); ret->has_birth = true; break;
    case FIELD_MTIME_FOR: ret->mtime_for = wire_i64(c, f); break;
    case FIELD_RDEV: ret->rdev = wire_u64(c, f); break;
    case FIELD_FILE_ID: ret->file_id = wire_fixed64(c, f); break;
    case FIELD_FOR_CREATE: ret->for_create = wire_i64(c, f); break;
    }
}

enum err_code meta_decode(struct bytes from, struct arena *arena, struct meta *ret)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    struct meta meta = {0};
    unsigned seen = 0;
    size_t xattrs = wire_count(from, FIELD_XATTRS);
    if (xattrs > XATTR_SIZE_MAX)
        return ERR_CORRUPT;
    if (xattrs)
        meta.xattrs = ARENA_NEW_ARRAY(arena, struct meta_xattr, xattrs);
    while (wire_next(&cursor, &field)) {
        if (field.number != FIELD_XATTRS)
            scalar_decode(&cursor, &field, &meta, &seen);
        else if (!xattr_decode(wire_bytes(&cursor, &field), &meta.xattrs[meta.xattr_count++]))
            return ERR_CORRUPT;
    }
    if (cursor.failed || seen == 1 || seen == 2 || !xattrs_are_sound(&meta))
        return ERR_CORRUPT;
    meta.has_owner = seen == 3;
    *ret = meta;
    return ERR_OK;
}

/* ---- writing ---- */

static void put_tag(struct buf *ret, enum field field, enum wire_type type)
{
    buf_append_varint(ret, (uint64_t)field << 3 | (uint64_t)type);
}

static void put_varint(struct buf *ret, enum field field, bool wanted, uint64_t value)
{
    if (!wanted)
        return;
    put_tag(ret, field, WIRE_VARINT);
    buf_append_varint(ret, value);
}

static void put_fixed64(struct buf *ret, enum field field, bool wanted, uint64_t value)
{
    if (!wanted)
        return;
    put_tag(ret, field, WIRE_64BIT);
    buf_append_le64(ret, value);
}

static size_t bytes_field_size(struct bytes from)
{
    return from.size ? 1 + varint_size(from.size) + from.size : 0;
}

static void put_bytes(struct buf *ret, unsigned number, struct bytes from)
{
    if (!from.size)
        return;
    buf_append_varint(ret, number << 3 | WIRE_BYTES);
    buf_append_varint(ret, from.size);
    buf_append(ret, from);
}

static void put_xattr(struct buf *ret, const struct meta_xattr *xattr)
{
    put_tag(ret, FIELD_XATTRS, WIRE_BYTES);
    buf_append_varint(ret, bytes_field_size(xattr->name) + bytes_field_size(xattr->value));
    put_bytes(ret, 1, xattr->name);
    put_bytes(ret, 2, xattr->value);
}

void meta_encode(const struct meta *meta, struct buf *ret)
{
    put_varint(ret, FIELD_TYPE, meta->type != META_FILE, (uint64_t)meta->type);
    put_varint(ret, FIELD_MODE, meta->has_mode, meta->mode);
    put_varint(ret, FIELD_UID, meta->has_owner, meta->uid);
    put_varint(ret, FIELD_GID, meta->has_owner, meta->gid);
    put_fixed64(ret, FIELD_MTIME, meta->has_mtime, (uint64_t)meta->mtime);
    put_fixed64(ret, FIELD_ATIME, meta->has_atime, (uint64_t)meta->atime);
    put_fixed64(ret, FIELD_BIRTH, meta->has_birth, (uint64_t)meta->birth);
    put_varint(ret, FIELD_MTIME_FOR, meta->mtime_for != 0, (uint64_t)meta->mtime_for);
    put_varint(ret, FIELD_RDEV, meta->rdev != 0, meta->rdev);
    put_fixed64(ret, FIELD_FILE_ID, meta->file_id != 0, meta->file_id);
    put_varint(ret, FIELD_FOR_CREATE, meta->for_create != 0, (uint64_t)meta->for_create);
    for (size_t i = 0; i < meta->xattr_count; i++)
        put_xattr(ret, &meta->xattrs[i]);
}

/* ---- meaning ---- */

bool meta_counts(const struct meta *meta, kv_rev record_mod, kv_rev key_create)
{
    return (meta->for_create ? meta->for_create : record_mod) == key_create;
}

bool meta_times_count(const struct meta *meta, kv_rev record_mod, kv_rev value_mod)
{
    return (meta->mtime_for ? meta->mtime_for : record_mod) == value_mod;
}

uint64_t meta_file_id(uint64_t cluster_id, struct bytes key, kv_rev create_revision,
                      const struct meta *meta)
{
    uint64_t id = meta ? meta->file_id : 0;
    if (!id)
        id = hash_bytes(hash_u64(cluster_id ^ hash_u64((uint64_t)create_revision)), key);
    id &= UINT64_MAX >> 1;
    return id > 1 ? id : id + 2;
}

void meta_key(struct buf *ret, struct bytes key)
{
    buf_append(ret, BYTES_LITERAL(KV_META_PREFIX));
    buf_append(ret, key);
}

void meta_directory_key(struct buf *ret, struct bytes key)
{
    buf_append(ret, BYTES_LITERAL(KV_DIR_PREFIX));
    buf_append(ret, key);
}
