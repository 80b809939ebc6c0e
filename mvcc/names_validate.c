/* Column d, computed a second way: from all live keys at once, deepest first. */
#include <stdlib.h>

#include "mvcc/names_internal.h"
#include "mvcc/system.h"
#include "proto/base/mem.h"

struct expected {
    struct bytes key;
    struct name_row row;
    bool is_seen;
};

struct model {
    struct arena arena;
    struct expected *all;               /* by key */
    size_t count, capacity;
    struct name_row top;
};

/* ---- the live keys ---- */

static void model_add(struct model *model, struct bytes key)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? 2 * model->capacity : 256;
        model->all = mem_xrealloc(model->all, model->capacity * sizeof(*model->all));
    }
    model->all[model->count++] = (struct expected){.key = key};
}

static int by_key(const void *left, const void *right)
{
    return bytes_compare(((const struct expected *)left)->key,
                         ((const struct expected *)right)->key);
}

static void model_sort(struct model *model)
{
    size_t kept = 0;
    if (model->count)
        qsort(model->all, model->count, sizeof(*model->all), by_key);
    for (size_t i = 0; i < model->count; i++)
        if (kept == 0 || !bytes_equal(model->all[kept - 1].key, model->all[i].key))
            model->all[kept++] = model->all[i];
    model->count = kept;
}

static struct expected *model_find(struct model *model, struct bytes key)
{
    struct expected wanted = {.key = key};
    if (model->count == 0)
        return NULL;
    return bsearch(&wanted, model->all, model->count, sizeof(*model->all), by_key);
}

/* The user's key that a key of the store is about, and how. */
enum about { ABOUT_VALUE, ABOUT_META, ABOUT_DIRECTORY, ABOUT_NOTHING };

static enum about about_of(struct bytes key, struct bytes *ret)
{
    struct bytes meta = BYTES_LITERAL(KV_META_PREFIX), directory = BYTES_LITERAL(KV_DIR_PREFIX);
    enum about about = ABOUT_VALUE;
    *ret = key;
    if (bytes_starts_with(key, meta)) {
        about = ABOUT_META;
        *ret = bytes_skip(key, meta.size);
    } else if (bytes_starts_with(key, directory)) {
        about = ABOUT_DIRECTORY;
        *ret = bytes_skip(key, directory.size);
    }
    return names_covers(*ret) ? about : ABOUT_NOTHING;
}

static void add_with_ancestors(struct model *model, struct bytes key)
{
    key = arena_copy(&model->arena, key);
    for (;;) {
        model_add(model, key);
        struct bytes directory = name_parts_of(key).directory;
        if (directory.size == 0)
            return;
        key = bytes_of(directory.data, directory.size - 1);
    }
}

static enum err_code fill_in(struct model *model, struct index_cursor *cursor, enum about about,
                             struct bytes of, struct err *err)
{
    struct expected *expected = model_find(model, of);
    struct bytes value;
    if (about == ABOUT_VALUE) {
        expected->row.has_value = true;
        expected->row.value = cursor->head;
        return ERR_OK;
    }
    enum err_code code = index_cursor_value(cursor, &model->arena, &value, err);
    if (!code && about == ABOUT_META)
        name_row_set_meta(&expected->row, &cursor->head, value);
    else if (!code)
        name_row_set_record(&expected->row, &cursor->head, value);
    return code;
}

/* is_filling: the second time, the keys are there and their rows are filled in. */
static enum err_code walk_keys(struct model *model, const struct view *view, kv_rev at,
                               bool is_filling, struct err *err)
{
    struct index_cursor cursor;
    enum err_code code;
    index_cursor_init(&cursor, view, BYTES_EMPTY, BYTES_LITERAL("\0"), at);
    while (!(code = index_cursor_next(&cursor, err)) && cursor.found) {
        struct bytes of;
        enum about about = about_of(index_cursor_key(&cursor), &of);
        if (about == ABOUT_NOTHING)
            continue;
        if (is_filling)
            code = fill_in(model, &cursor, about, of, err);
        else
            add_with_ancestors(model, of);
        if (code)
            break;
    }
    index_cursor_release(&cursor);
    return code;
}

/* A key sorts before what lies below it: from the end on, children come before their parents. */
static void count_names(struct model *model)
{
    for (size_t i = model->count; i-- > 0;) {
        struct name_state state = name_state_of(&model->all[i].row);
        struct bytes directory = name_parts_of(model->all[i].key).directory;
        struct name_row *parent = &model->top;
        if (directory.size)
            parent = &model_find(model, bytes_of(directory.data, directory.size - 1))->row;
        parent->names += state.is_visible;
        parent->directories += state.is_directory;
    }
}

/* ---- comparing ---- */

static bool heads_equal(const struct head *left, const struct head *right)
{
    uint8_t a[HEAD_SIZE_MAX], b[HEAD_SIZE_MAX];
    return bytes_equal(bytes_of(a, head_encode(a, left)), bytes_of(b, head_encode(b, right)));
}

static bool records_equal(const struct name_row *row, const struct name_row *want)
{
    if (row->has_meta != want->has_meta || row->has_record != want->has_record)
        return false;
    if (row->has_meta &&
        (!heads_equal(&row->meta, &want->meta) || row->meta_type != want->meta_type ||
         row->meta_for_create != want->meta_for_create || row->meta_apart != want->meta_apart ||
         (!row->meta_apart && !bytes_equal(row->meta_bytes, want->meta_bytes))))
        return false;
    return !row->has_record ||
           (heads_equal(&row->record, &want->record) &&
            row->record_apart == want->record_apart &&
            (row->record_apart || bytes_equal(row->record_bytes, want->record_bytes)));
}

static bool rows_equal(const struct name_row *row, const struct name_row *want, kv_rev at)
{
    if (row->has_value != want->has_value ||
        (row->has_value && !heads_equal(&row->value, &want->value)))
        return false;
    bool is_directory = name_state_of(row).is_directory;
    return records_equal(row, want) && row->names == want->names &&
           row->directories == want->directories &&
           (!is_directory || (row->change > 0 && row->change <= at));
}

static enum err_code differs(struct bytes key, const char *how, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the names are not those of the keys: \"%.*s\" %s",
                   (int)(key.size < 128 ? key.size : 128), (const char *)key.data, how);
}

/* The key whose row this is. */
static enum err_code row_names(struct bytes row_key, struct buf *ret, struct err *err)
{
    size_t size = escape_decode(bytes_skip(row_key, 1), ret);
    if (size == 0)
        return err_set(err, ERR_CORRUPT, "a row of column 'd' of the store does not decode");
    buf_append(ret, bytes_skip(row_key, 1 + size));
    return ERR_OK;
}

static enum err_code compare_row(struct model *model, struct bytes row_key, struct bytes value,
                                 kv_rev at, struct err *err)
{
    struct name_row row;
    struct buf key = {0};
    enum err_code code = name_row_decode(value, &row, err);
    if (!code && row_key.size == 1)
        return rows_equal(&row, &model->top, at) ? ERR_OK : differs(BYTES_LITERAL(""), "differs", err);
    if (!code)
        code = row_names(row_key, &key, err);
    if (!code) {
        struct expected *want = model_find(model, buf_bytes(&key));
        if (!want)
            code = differs(buf_bytes(&key), "has a row", err);
        else if (!rows_equal(&row, &want->row, at))
            code = differs(buf_bytes(&key), "differs", err);
        else
            want->is_seen = true;
    }
    buf_release(&key);
    return code;
}

static enum err_code compare_rows(struct model *model, const struct view *view, kv_rev at,
                                  struct err *err)
{
    static const uint8_t first = COLUMN_NAMES;
    struct view_iterator *iterator = view_iterator_new(view);
    enum err_code code = ERR_OK;
    view_iterator_seek(iterator, bytes_of(&first, 1));
    while (!code && view_iterator_valid(iterator)) {
        struct bytes key = view_iterator_key(iterator);
        if (key.data[0] != COLUMN_NAMES)
            break;
        code = compare_row(model, key, view_iterator_value(iterator), at, err);
        view_iterator_next(iterator);
    }
    if (!code)
        code = view_iterator_status(iterator, err);
    view_iterator_free(iterator);
    return code;
}

static enum err_code compare_missing(struct model *model, struct err *err)
{
    for (size_t i = 0; i < model->count; i++) {
        const struct expected *one = &model->all[i];
        if (!one->is_seen && (one->row.has_meta || name_state_of(&one->row).is_visible))
            return differs(one->key, "has no row", err);
    }
    return ERR_OK;
}

enum err_code names_validate(const struct view *view, kv_rev at, struct err *err)
{
    struct model model = {.count = 0};
    enum err_code code = walk_keys(&model, view, at, false, err);
    model_sort(&model);
    if (!code)
        code = walk_keys(&model, view, at, true, err);
    if (!code) {
        count_names(&model);
        code = compare_rows(&model, view, at, err);
    }
    if (!code)
        code = compare_missing(&model, err);
    free(model.all);
    arena_release(&model.arena);
    return code;
}
