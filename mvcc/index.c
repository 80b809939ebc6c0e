/* The rows of one version of key "/a", written by the third change of revision 7, whose value of 3000
 * bytes does not fit into the key row:
 *
 *     k "/a" 00 00 ~7 ~2  ->  flags, time, version, create revision, size
 *     v 7 2               ->  the 3000 bytes
 *     r ...               ->  7 2, put, time, "/a", among other changes (changes.c)
 *
 * After a rename to "/b" at revision 9 there is k "/b" 00 00 ~9 ~0 with place = 7 2, and the value row
 * has two owners: row "v 7 2 o" says so. Each owner that compaction forgets takes one off; without such
 * a row there is one owner, and the value goes with it.
 */
#include "mvcc/index.h"

#include "mvcc/changes.h"
#include "mvcc/names.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/varint.h"

enum head_flags {
    HEAD_TOMBSTONE = 1 << 0,
    HEAD_INLINE = 1 << 1,
    HEAD_MOVED = 1 << 2,                /* the value row is another version's: its place follows */
    HEAD_LEASE = 1 << 3,
    HEAD_FIRST = 1 << 4,                /* created by this very revision */
    HEAD_ALL = (1 << 5) - 1,
};

#define VALUE_ROW_SIZE (1 + REVISION_SIZE)
#define STEPS_MAX 8                     /* rows passed over one by one before a seek is cheaper */

/* ---- heads ---- */

static uint8_t flags_of(const struct head *head)
{
    unsigned flags = 0;
    if (head->is_tombstone)
        return HEAD_TOMBSTONE;
    if (head->is_inline)
        flags |= HEAD_INLINE;
    else if (revision_compare(head->place, head->mod) != 0)
        flags |= HEAD_MOVED;
    if (head->lease)
        flags |= HEAD_LEASE;
    if (head->create_revision == head->mod.main && head->create_time == head->mod_time)
        flags |= HEAD_FIRST;
    return (uint8_t)flags;
}

/* What a key row holds of a head: all but mod, which is in the row's key. */
static size_t body_encode(uint8_t *to, const struct head *head)
{
    uint8_t flags = flags_of(head);
    size_t size = 0;
    to[size++] = flags;
    put_le64(to + size, (uint64_t)head->mod_time);
    size += 8;
    if (flags & HEAD_TOMBSTONE)
        return size;
    size += varint_encode(to + size, (uint64_t)head->version);
    size += varint_encode(to + size, head->size);
    if (flags & HEAD_LEASE)
        size += varint_encode(to + size, (uint64_t)head->lease);
    if (!(flags & HEAD_FIRST)) {
        size += varint_encode(to + size, (uint64_t)head->create_revision);
        put_le64(to + size, (uint64_t)head->create_time);
        size += 8;
    }
    if (flags & HEAD_MOVED) {
        revision_encode(to + size, head->place);
        size += REVISION_SIZE;
    }
    return size;
}

/* mod is set already. */
static void body_decode(struct cursor *from, struct head *ret)
{
    uint8_t flags = cursor_u8(from);
    if (flags & ~HEAD_ALL || (flags & HEAD_TOMBSTONE && flags != HEAD_TOMBSTONE))
        from->failed = true;
    *ret = (struct head){.mod = ret->mod, .is_tombstone = flags & HEAD_TOMBSTONE};
    ret->mod_time = (kv_time)cursor_le64(from);
    ret->place = ret->mod;
    if (flags & HEAD_TOMBSTONE)
        return;
    ret->is_inline = flags & HEAD_INLINE;
    ret->version = (int64_t)cursor_varint(from);
    ret->size = cursor_varint(from);
    if (flags & HEAD_LEASE)
        ret->lease = (int64_t)cursor_varint(from);
    ret->create_revision = ret->mod.main;
    ret->create_time = ret->mod_time;
    if (!(flags & HEAD_FIRST)) {
        ret->create_revision = (kv_rev)cursor_varint(from);
        ret->create_time = (kv_time)cursor_le64(from);
    }
    if (flags & HEAD_MOVED) {
        struct bytes place = cursor_take(from, REVISION_SIZE);
        if (!from->failed)
            ret->place = revision_decode(place.data);
    }
}

size_t head_encode(uint8_t *to, const struct head *head)
{
    size_t size = varint_encode(to, (uint64_t)head->mod.main);
    size += varint_encode(to + size, (uint64_t)head->mod.sub);
    size += body_encode(to + size, head);
    CHECK(size <= HEAD_SIZE_MAX);
    return size;
}

void head_decode(struct cursor *from, struct head *ret)
{
    struct head head = {0};
    head.mod.main = (kv_rev)cursor_varint(from);
    head.mod.sub = (int64_t)cursor_varint(from);
    body_decode(from, &head);
    *ret = head;
}

/* ---- escape ---- */

void escape_append(struct buf *ret, struct bytes key)
{
    if (key.size == 0 || !memchr(key.data, 0, key.size)) {
        uint8_t *place = buf_extend(ret, key.size + 2);
        if (key.size)
            memcpy(place, key.data, key.size);
        place[key.size] = place[key.size + 1] = 0;
        return;
    }
    buf_reserve(ret, key.size + 3);
    while (key.size) {
        const uint8_t *zero = memchr(key.data, 0, key.size);
        size_t plain = zero ? (size_t)(zero - key.data) : key.size;
        buf_append(ret, bytes_of(key.data, plain));
        if (!zero)
            break;
        buf_append(ret, bytes_of("\0\xff", 2));
        key = bytes_skip(key, plain + 1);
    }
    buf_append(ret, bytes_of("\0\0", 2));
}

size_t escape_decode(struct bytes from, struct buf *ret_key)
{
    struct bytes rest = from;
    for (;;) {
        const uint8_t *zero = rest.size ? memchr(rest.data, 0, rest.size) : NULL;
        if (!zero || zero + 1 == rest.data + rest.size)
            return 0;
        size_t plain = (size_t)(zero - rest.data);
        buf_append(ret_key, bytes_of(rest.data, plain));
        rest = bytes_skip(rest, plain + 2);
        if (zero[1] == 0)
            return from.size - rest.size;
        if (zero[1] != 0xff)
            return 0;
        buf_append_u8(ret_key, 0);
    }
}

static void prefix_append(struct buf *ret, struct bytes key)
{
    buf_append_u8(ret, COLUMN_KEY);
    escape_append(ret, key);
}

void index_key_append(struct buf *ret, struct bytes key, struct revision revision)
{
    prefix_append(ret, key);
    revision_encode_inverted(buf_extend(ret, REVISION_SIZE), revision);
}

static enum err_code row_corrupt(enum column column, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "a row of column '%c' of the store does not decode", column);
}

static enum err_code body_of_row(struct bytes row_key, struct bytes row_value, struct head *ret,
                                 struct bytes *ret_value, struct err *err)
{
    struct cursor cursor = cursor_of(row_value);
    if (row_key.size < 1 + 2 + REVISION_SIZE)
        return row_corrupt(COLUMN_KEY, err);
    struct head head = {.mod = revision_decode_inverted(row_key.data + row_key.size -
                                                        REVISION_SIZE)};
    body_decode(&cursor, &head);
    bool fits = cursor.rest.size == (head.is_inline ? head.size : 0);
    if (cursor.failed || !fits || head.mod.main < 0 || head.mod.sub < 0)
        return row_corrupt(COLUMN_KEY, err);
    *ret = head;
    if (ret_value)
        *ret_value = cursor.rest;
    return ERR_OK;
}

enum err_code index_key_decode(struct bytes row_key, struct bytes row_value, struct buf *ret_key,
                               struct head *ret, struct bytes *ret_value, struct err *err)
{
    size_t size = escape_decode(bytes_skip(row_key, 1), ret_key);
    if (size == 0 || row_key.size != 1 + size + REVISION_SIZE)
        return row_corrupt(COLUMN_KEY, err);
    return body_of_row(row_key, row_value, ret, ret_value, err);
}

/* ---- the newest version ---- */

static struct bytes head_row(struct batch *batch, struct bytes key)
{
    struct buf *row = batch_scratch(batch);
    buf_append_u8(row, COLUMN_HEAD);
    buf_append(row, key);
    return buf_bytes(row);
}

enum err_code index_head(struct batch *batch, struct bytes key, struct head *ret, struct err *err)
{
    struct bytes found;
    if (names_covers(key))
        return names_head(batch, key, ret, err);
    enum err_code code = batch_get(batch, head_row(batch, key), &found, err);
    if (code)
        return code;
    struct cursor cursor = cursor_of(found);
    struct head head;
    head_decode(&cursor, &head);
    if (cursor.failed || cursor.rest.size || head.is_tombstone)
        return row_corrupt(COLUMN_HEAD, err);
    *ret = head;
    return ERR_OK;
}

void index_head_set(struct batch *batch, struct bytes key, const struct head *head)
{
    uint8_t encoded[HEAD_SIZE_MAX];
    struct bytes row = head_row(batch, key);
    CHECK(!names_covers(key));
    if (head)
        batch_put(batch, row, bytes_of(encoded, head_encode(encoded, head)));
    else
        batch_delete(batch, row);
}

/* ---- values ---- */

static void value_row(uint8_t row[VALUE_ROW_SIZE], struct revision place)
{
    row[0] = COLUMN_VALUE;
    revision_encode(row + 1, place);
}

static enum err_code value_read(const struct view *view, const struct head *head,
                                struct arena *arena, struct bytes *ret, struct err *err)
{
    uint8_t row[VALUE_ROW_SIZE];
    struct bytes value;
    value_row(row, head->place);
    enum err_code code = view_get(view, bytes_of(row, sizeof(row)), arena, &value, err);
    if (code == ERR_NOT_FOUND)
        return err_set(err, ERR_CORRUPT, "the store lacks the value of revision %lld",
                       (long long)head->place.main);
    if (code)
        return code;
    if (value.size != head->size)
        return row_corrupt(COLUMN_VALUE, err);
    *ret = value;
    return ERR_OK;
}

/* ---- any version ---- */

enum err_code index_get_row(const struct view *view, struct bytes key, struct revision mod,
                            struct arena *arena, struct head *ret, struct bytes *ret_inline,
                            struct err *err)
{
    struct buf row = {0};
    struct bytes found;
    index_key_append(&row, key, mod);
    enum err_code code = view_get(view, buf_bytes(&row), arena, &found, err);
    if (!code)
        code = body_of_row(buf_bytes(&row), found, ret, ret_inline, err);
    buf_release(&row);
    return code;
}

enum err_code index_get_exact(const struct view *view, struct bytes key, struct revision mod,
                              struct arena *arena, struct head *ret, struct bytes *ret_value,
                              struct err *err)
{
    struct bytes value;
    struct head head;
    enum err_code code = index_get_row(view, key, mod, arena, &head, &value, err);
    if (!code && ret_value && !head.is_tombstone && !head.is_inline)
        code = value_read(view, &head, arena, &value, err);
    if (code)
        return code;
    *ret = head;
    if (ret_value)
        *ret_value = value;
    return ERR_OK;
}

enum err_code index_value(const struct view *view, struct bytes key, const struct head *head,
                          struct arena *arena, struct bytes *ret, struct err *err)
{
    struct head found;
    CHECK(!head->is_tombstone);
    if (!head->is_inline)
        return value_read(view, head, arena, ret, err);
    enum err_code code = index_get_exact(view, key, head->mod, arena, &found, ret, err);
    if (code == ERR_NOT_FOUND)
        return err_set(err, ERR_CORRUPT, "the store lacks the version of revision %lld",
                       (long long)head->mod.main);
    return code;
}

static enum err_code cursor_get(struct index_cursor *cursor, struct arena *arena, struct head *ret,
                                struct bytes *ret_value, struct err *err)
{
    enum err_code code = index_cursor_next(cursor, err);
    if (!code && !cursor->found)
        return ERR_NOT_FOUND;
    if (!code && ret_value)
        code = index_cursor_value(cursor, arena, ret_value, err);
    if (!code)
        *ret = cursor->head;
    return code;
}

enum err_code index_get(const struct view *view, struct bytes key, kv_rev at, struct arena *arena,
                        struct head *ret, struct bytes *ret_value, struct err *err)
{
    struct index_cursor cursor;
    index_cursor_init(&cursor, view, key, BYTES_EMPTY, at);
    enum err_code code = cursor_get(&cursor, arena, ret, ret_value, err);
    index_cursor_release(&cursor);
    return code;
}

/* ---- the cursor ---- */

/* Rows of a key end below its prefix with the last byte one higher: 00 00 is the end of the key, 00 FF
 * and anything from 01 on is a longer one. */
static void past_key(struct buf *prefix)
{
    CHECK(prefix->size >= 3 && prefix->data[prefix->size - 1] == 0);
    prefix->data[prefix->size - 1] = 1;
}

void index_cursor_init(struct index_cursor *cursor, const struct view *view, struct bytes key,
                       struct bytes range_end, kv_rev at)
{
    *cursor = (struct index_cursor){.view = view, .at = at, .must_seek = true};
    prefix_append(&cursor->prefix, key);
    if (range_end.size == 0) {
        prefix_append(&cursor->end, key);
        past_key(&cursor->end);
    } else if (range_end.size == 1 && range_end.data[0] == 0) {
        buf_append_u8(&cursor->end, COLUMN_KEY + 1);
    } else {
        prefix_append(&cursor->end, range_end);
    }
}

void index_cursor_release(struct index_cursor *cursor)
{
    view_iterator_free(cursor->iterator);
    buf_release(&cursor->key);
    buf_release(&cursor->prefix);
    buf_release(&cursor->end);
    *cursor = (struct index_cursor){0};
}

void index_cursor_skip_to(struct index_cursor *cursor, struct bytes key)
{
    buf_clear(&cursor->prefix);
    prefix_append(&cursor->prefix, key);
    cursor->must_seek = true;
}

/* Seeks the newest version at cursor->at of the key whose prefix is set, or what follows it. */
static void seek_version(struct index_cursor *cursor)
{
    size_t size = cursor->prefix.size;
    struct revision newest = {cursor->at, REVISION_SUB_MAX};
    revision_encode_inverted(buf_extend(&cursor->prefix, REVISION_SIZE), newest);
    view_iterator_seek(cursor->iterator, buf_bytes(&cursor->prefix));
    cursor->prefix.size = size;
}

/* Leaves the rows of the current key behind. */
static void leave_key(struct index_cursor *cursor)
{
    for (int step = 0; step < STEPS_MAX; step++) {
        if (!view_iterator_valid(cursor->iterator) ||
            !bytes_starts_with(view_iterator_key(cursor->iterator), buf_bytes(&cursor->prefix)))
            return;
        view_iterator_next(cursor->iterator);
    }
    past_key(&cursor->prefix);
    view_iterator_seek(cursor->iterator, buf_bytes(&cursor->prefix));
}

static void start(struct index_cursor *cursor)
{
    if (!cursor->iterator)
        cursor->iterator = view_iterator_new(cursor->view);
    if (cursor->must_seek)
        seek_version(cursor);
    else
        leave_key(cursor);
    cursor->must_seek = false;
    cursor->found = false;
}

/* Takes the row under the iterator; *ret_live: it is what the cursor looks for. Otherwise the iterator
 * was moved on. */
static enum err_code take_row(struct index_cursor *cursor, bool *ret_live, struct err *err)
{
    struct bytes row = view_iterator_key(cursor->iterator);
    bool is_same = row.size == cursor->prefix.size + REVISION_SIZE &&
                   bytes_starts_with(row, buf_bytes(&cursor->prefix));
    *ret_live = false;
    if (!is_same || cursor->key.size == 0) {
        buf_clear(&cursor->key);
        size_t size = escape_decode(bytes_skip(row, 1), &cursor->key);
        if (size == 0 || row.size != 1 + size + REVISION_SIZE)
            return row_corrupt(COLUMN_KEY, err);
        buf_assign(&cursor->prefix, bytes_of(row.data, row.size - REVISION_SIZE));
    }
    if (revision_decode_inverted(row.data + row.size - REVISION_SIZE).main > cursor->at) {
        seek_version(cursor);
        return ERR_OK;
    }
    enum err_code code = body_of_row(row, view_iterator_value(cursor->iterator), &cursor->head,
                                     &cursor->inline_value, err);
    *ret_live = !code && !cursor->head.is_tombstone;
    if (!code && !*ret_live)
        leave_key(cursor);
    return code;
}

enum err_code index_cursor_next(struct index_cursor *cursor, struct err *err)
{
    start(cursor);
    buf_clear(&cursor->key);
    while (view_iterator_valid(cursor->iterator)) {
        if (bytes_compare(view_iterator_key(cursor->iterator), buf_bytes(&cursor->end)) >= 0)
            return ERR_OK;
        enum err_code code = take_row(cursor, &cursor->found, err);
        if (code || cursor->found)
            return code;
    }
    return view_iterator_status(cursor->iterator, err);
}

enum err_code index_cursor_value(struct index_cursor *cursor, struct arena *arena,
                                 struct bytes *ret, struct err *err)
{
    CHECK(cursor->found);
    if (!cursor->head.is_inline)
        return value_read(cursor->view, &cursor->head, arena, ret, err);
    *ret = arena_copy(arena, cursor->inline_value);
    return ERR_OK;
}

/* ---- owners of a value row ---- */

static void owners_row(uint8_t row[VALUE_ROW_SIZE + 1], struct revision place)
{
    value_row(row, place);
    row[VALUE_ROW_SIZE] = 'o';
}

static enum err_code owners_get(struct batch *batch, struct revision place, uint64_t *ret,
                                struct err *err)
{
    uint8_t row[VALUE_ROW_SIZE + 1];
    struct bytes found;
    owners_row(row, place);
    enum err_code code = batch_get(batch, bytes_of(row, sizeof(row)), &found, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    *ret = 1;
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    struct cursor cursor = cursor_of(found);
    uint64_t count = cursor_varint(&cursor);
    if (cursor.failed || cursor.rest.size || count < 2)
        return row_corrupt(COLUMN_VALUE, err);
    *ret = count;
    return ERR_OK;
}

static void owners_set(struct batch *batch, struct revision place, uint64_t count)
{
    uint8_t row[VALUE_ROW_SIZE + 1], encoded[VARINT_SIZE_MAX];
    owners_row(row, place);
    if (count < 2)
        batch_delete(batch, bytes_of(row, sizeof(row)));
    else
        batch_put(batch, bytes_of(row, sizeof(row)),
                  bytes_of(encoded, varint_encode(encoded, count)));
}

/* ---- writing ---- */

static void version_put(struct batch *batch, struct bytes key, const struct head *head,
                        struct bytes inline_value)
{
    uint8_t body[HEAD_SIZE_MAX];
    size_t size = body_encode(body, head);
    struct buf *row = batch_scratch(batch);
    index_key_append(row, key, head->mod);
    uint8_t *value = batch_put_place(batch, buf_bytes(row), size + inline_value.size);
    memcpy(value, body, size);
    if (inline_value.size)
        memcpy(value + size, inline_value.data, inline_value.size);
}

enum err_code index_put(struct batch *batch, struct bytes key, const struct head *head,
                        struct bytes value, struct err *err)
{
    uint8_t row[VALUE_ROW_SIZE];
    uint64_t owners;
    bool owns = revision_compare(head->place, head->mod) == 0;
    CHECK(!head->is_tombstone);
    CHECK(!owns || head->size == value.size);
    CHECK(owns || !head->is_inline);
    if (!owns) {
        enum err_code code = owners_get(batch, head->place, &owners, err);
        if (code)
            return code;
        owners_set(batch, head->place, owners + 1);
    } else if (!head->is_inline) {
        value_row(row, head->place);
        batch_put(batch, bytes_of(row, sizeof(row)), value);
    }
    version_put(batch, key, head, head->is_inline ? value : BYTES_EMPTY);
    changes_put(batch, key, head->mod, CHANGE_PUT, head->mod_time);
    return ERR_OK;
}

void index_put_tombstone(struct batch *batch, struct bytes key, struct revision mod, kv_time time)
{
    struct head head = {.mod = mod, .mod_time = time, .is_tombstone = true, .place = mod};
    version_put(batch, key, &head, BYTES_EMPTY);
    changes_put(batch, key, mod, CHANGE_DELETE, time);
}

/* One owner less; *ret_gone: it was the last, and the value went. */
static enum err_code value_disown(struct batch *batch, struct revision place, bool *ret_gone,
                                  struct err *err)
{
    uint8_t row[VALUE_ROW_SIZE];
    uint64_t owners;
    enum err_code code = owners_get(batch, place, &owners, err);
    if (code)
        return code;
    *ret_gone = owners == 1;
    value_row(row, place);
    if (*ret_gone)
        batch_delete(batch, bytes_of(row, sizeof(row)));
    else
        owners_set(batch, place, owners - 1);
    return ERR_OK;
}

enum err_code index_forget(struct batch *batch, struct bytes key, const struct head *head,
                           uint64_t *ret_bytes, struct err *err)
{
    bool value_gone = head->is_inline;
    if (!head->is_tombstone && !head->is_inline) {
        enum err_code code = value_disown(batch, head->place, &value_gone, err);
        if (code)
            return code;
    }
    struct buf *key_row = batch_scratch(batch);
    index_key_append(key_row, key, head->mod);
    batch_delete(batch, buf_bytes(key_row));
    *ret_bytes = key.size + (value_gone ? head->size : 0);
    return ERR_OK;
}
