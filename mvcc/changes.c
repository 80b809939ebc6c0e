/* A row of three changes, by which revision 7 put /a and /b, and revision 9 deleted /a:
 *
 *     r 7 0  ->  time of 7, then each change: main less 7, sub, kind, time less that of 7, size of key, key
 *                    0 0 put 0 2 "/a"    0 1 put 0 2 "/b"    2 0 delete 1000 2 "/a"
 *
 * The row grows in the batch while there is room in it; the next batch begins another one.
 */
#include "mvcc/changes.h"

#include "mvcc/index.h"
#include "proto/base/check.h"
#include "proto/base/varint.h"

#define ROW_KEY_SIZE (1 + REVISION_SIZE)
#define ROW_ROOM 2048                   /* of one row: about a hundred changes */
#define CHANGE_SIZE_MAX (4 * VARINT_SIZE_MAX + 1)   /* without its key */

static void row_key(uint8_t to[ROW_KEY_SIZE], struct revision revision)
{
    to[0] = COLUMN_REVISION;
    revision_encode(to + 1, revision);
}

/* ---- writing ---- */

/* What the changes of a row are told relative to. */
struct base {
    kv_rev main;
    kv_time time;
};

static size_t change_encode(uint8_t to[CHANGE_SIZE_MAX], struct base base, struct revision mod,
                            enum change_kind kind, kv_time time, size_t key_size)
{
    size_t size = varint_encode(to, (uint64_t)mod.main - (uint64_t)base.main);
    size += varint_encode(to + size, (uint64_t)mod.sub);
    to[size++] = (uint8_t)kind;
    size += varint_encode(to + size, (uint64_t)time - (uint64_t)base.time);
    return size + varint_encode(to + size, key_size);
}

static void change_write(uint8_t *place, const uint8_t *encoded, size_t size, struct bytes key)
{
    memcpy(place, encoded, size);
    if (key.size)
        memcpy(place + size, key.data, key.size);
}

static void row_begin(struct batch *batch, struct bytes key, struct revision mod,
                      enum change_kind kind, kv_time time)
{
    uint8_t row[ROW_KEY_SIZE], encoded[CHANGE_SIZE_MAX];
    size_t size = change_encode(encoded, (struct base){mod.main, time}, mod, kind, time, key.size);
    size_t needed = 8 + size + key.size;
    row_key(row, mod);
    batch_tail_begin(batch, bytes_of(row, sizeof(row)), needed > ROW_ROOM ? needed : ROW_ROOM);
    uint8_t *place = batch_tail_extend(batch, needed);
    put_le64(place, (uint64_t)time);
    change_write(place + 8, encoded, size, key);
}

void changes_put(struct batch *batch, struct bytes key, struct revision mod, enum change_kind kind,
                 kv_time time)
{
    uint8_t encoded[CHANGE_SIZE_MAX];
    struct bytes row, value;
    uint8_t *place = NULL;
    size_t size = 0;
    if (batch_tail(batch, &row, &value)) {
        struct base base = {revision_decode(row.data + 1).main, (kv_time)get_le64(value.data)};
        CHECK(row.data[0] == COLUMN_REVISION && mod.main >= base.main);
        size = change_encode(encoded, base, mod, kind, time, key.size);
        place = batch_tail_extend(batch, size + key.size);
    }
    if (place)
        change_write(place, encoded, size, key);
    else
        row_begin(batch, key, mod, kind, time);
}

/* ---- reading ---- */

void change_cursor_init(struct change_cursor *cursor, const struct view *view, struct revision from)
{
    *cursor = (struct change_cursor){.view = view, .from = from};
}

void change_cursor_release(struct change_cursor *cursor)
{
    view_iterator_free(cursor->iterator);
    *cursor = (struct change_cursor){0};
}

static bool on_row(const struct change_cursor *cursor)
{
    return view_iterator_valid(cursor->iterator) &&
           view_iterator_key(cursor->iterator).data[0] == COLUMN_REVISION;
}

/* The last row that begins at or before from; without one, the first behind it. */
static enum err_code seek_row(struct change_cursor *cursor, struct err *err)
{
    uint8_t row[ROW_KEY_SIZE + 1] = {0};
    row_key(row, cursor->from);
    cursor->iterator = view_iterator_new(cursor->view);
    view_iterator_seek_before(cursor->iterator, bytes_of(row, sizeof(row)));
    if (on_row(cursor))
        return ERR_OK;
    enum err_code code = view_iterator_status(cursor->iterator, err);
    if (!code)
        view_iterator_seek(cursor->iterator, bytes_of(row, ROW_KEY_SIZE));
    return code;
}

static enum err_code corrupt(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "a row of column 'r' of the store does not decode");
}

/* Opens the row under the iterator. NOT_FOUND: it has left the column. */
static enum err_code take_row(struct change_cursor *cursor, struct err *err)
{
    if (!on_row(cursor)) {
        enum err_code code = view_iterator_status(cursor->iterator, err);
        return code ? code : ERR_NOT_FOUND;
    }
    struct bytes key = view_iterator_key(cursor->iterator);
    cursor->rest = cursor_of(view_iterator_value(cursor->iterator));
    cursor->time = (kv_time)cursor_le64(&cursor->rest);
    if (key.size != ROW_KEY_SIZE || cursor->rest.failed || cursor->rest.rest.size == 0)
        return corrupt(err);
    cursor->main = revision_decode(key.data + 1).main;
    return ERR_OK;
}

/* The next change of the open row; its key is borrowed from there. */
static enum err_code take_change(struct change_cursor *cursor, struct change_row *ret,
                                 struct err *err)
{
    struct cursor *rest = &cursor->rest;
    struct change_row row;
    row.revision.main = (kv_rev)((uint64_t)cursor->main + cursor_varint(rest));
    row.revision.sub = (int64_t)cursor_varint(rest);
    uint8_t kind = cursor_u8(rest);
    row.kind = (enum change_kind)kind;
    row.time = (kv_time)((uint64_t)cursor->time + cursor_varint(rest));
    row.key = cursor_take(rest, cursor_varint(rest));
    if (rest->failed || (kind != CHANGE_PUT && kind != CHANGE_DELETE) || row.revision.sub < 0 ||
        row.revision.main < cursor->main)
        return corrupt(err);
    *ret = row;
    return ERR_OK;
}

static enum err_code next_row(struct change_cursor *cursor, struct err *err)
{
    enum err_code code = ERR_OK;
    if (cursor->iterator)
        view_iterator_next(cursor->iterator);
    else
        code = seek_row(cursor, err);
    return code ? code : take_row(cursor, err);
}

enum err_code change_cursor_next(struct change_cursor *cursor, struct arena *arena,
                                 struct change_row *ret, struct err *err)
{
    struct change_row row;
    do {
        enum err_code code = cursor->rest.rest.size ? ERR_OK : next_row(cursor, err);
        if (!code)
            code = take_change(cursor, &row, err);
        if (code)
            return code;
    } while (revision_compare(row.revision, cursor->from) < 0);
    row.key = arena_copy(arena, row.key);
    *ret = row;
    return ERR_OK;
}

enum err_code changes_at(const struct view *view, struct revision from, struct arena *arena,
                         struct change_row *ret, struct err *err)
{
    struct change_cursor cursor;
    change_cursor_init(&cursor, view, from);
    enum err_code code = change_cursor_next(&cursor, arena, ret, err);
    change_cursor_release(&cursor);
    return code;
}

/* ---- forgetting ---- */

struct doomed {
    struct doomed *next;
    struct bytes key;
};

/* *ret: the last change of the row under the iterator. NOT_FOUND: there is no row. */
static enum err_code last_of_row(struct change_cursor *cursor, struct revision *ret,
                                 struct err *err)
{
    struct change_row row = {0};
    enum err_code code = take_row(cursor, err);
    while (!code && cursor->rest.rest.size)
        code = take_change(cursor, &row, err);
    *ret = row.revision;
    return code;
}

/* Gathered first: an iterator does not see what is written to its batch. */
static enum err_code gather_below(struct change_cursor *cursor, struct revision below,
                                  struct arena *scratch, struct doomed **ret, struct err *err)
{
    struct revision last;
    enum err_code code = seek_row(cursor, err);
    for (; !code; view_iterator_next(cursor->iterator)) {
        code = last_of_row(cursor, &last, err);
        if (code || revision_compare(last, below) >= 0)
            break;
        struct doomed *doomed = ARENA_NEW(scratch, struct doomed);
        doomed->key = arena_copy(scratch, view_iterator_key(cursor->iterator));
        doomed->next = *ret;
        *ret = doomed;
    }
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

enum err_code changes_forget(struct batch *batch, const struct view *view, struct revision from,
                             struct revision below, struct arena *scratch, struct err *err)
{
    struct change_cursor cursor;
    struct doomed *doomed = NULL;
    change_cursor_init(&cursor, view, from);
    enum err_code code = gather_below(&cursor, below, scratch, &doomed, err);
    change_cursor_release(&cursor);
    if (code)
        return code;
    for (; doomed; doomed = doomed->next)
        batch_delete(batch, doomed->key);
    return ERR_OK;
}
