/* The live names. With the keys
 *
 *     /app        = hello
 *     /app/port   = 8080          .concordfs/meta//app/port  mode 0600
 *     /tmp/x/y    = 1             .concordfs/dir//var        mode 0755
 *
 * column d holds (directory, name) -> what stands there; the first row is the directory "" itself:
 *
 *     ""                    1 name, 1 directory
 *     ("", "")              directory "/": names app tmp var, 3 directories
 *     ("/", "app")          value 5 bytes; directory with 1 name
 *     ("/", "tmp")          directory with 1 name, 1 directory        added for what lies below
 *     ("/", "var")          directory by its record, empty
 *     ("/app/", "port")     value 4 bytes, record (counts)
 *     ("/tmp/", "x")        directory with 1 name
 *     ("/tmp/x/", "y")      value 1 byte
 *
 * A name is visible when it has a value, or is a directory (a record says so, or a visible name lies
 * below), or has the record of a fifo, socket or device. Any other record stands in the row unseen, for
 * the key that may come. A row counts in its directory's row while it is visible; so one change climbs
 * until a directory neither came nor went: usually one step.
 *
 * The row key is 'd', escape(directory), name: a directory's names are one run of rows in byte order,
 * without what lies deeper. The value's head stands first in the row: it is the newest version of the
 * key for everyone who writes.
 */
#include "mvcc/names.h"

#include "mvcc/names_internal.h"
#include "mvcc/system.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/varint.h"

enum row_flags {
    ROW_VALUE = 1 << 0,
    ROW_META = 1 << 1,
    ROW_META_APART = 1 << 2,
    ROW_RECORD = 1 << 3,
    ROW_RECORD_APART = 1 << 4,
    ROW_DIRECTORY = 1 << 5,
    ROW_ALL = (1 << 6) - 1,
};

#define ROW_SIZE_MAX (1 + 3 * HEAD_SIZE_MAX + 2 * (VALUE_INLINE_MAX + VARINT_SIZE_MAX) + 64)
#define LIST_BYTES_MAX (256 * KIB)      /* of records in one answer; more is told as more */

/* ---- names and keys ---- */

struct name_parts name_parts_of(struct bytes key)
{
    const uint8_t *slash = key.size ? memrchr(key.data, '/', key.size) : NULL;
    size_t size = slash ? (size_t)(slash - key.data) + 1 : 0;
    return (struct name_parts){bytes_of(key.data, size), bytes_skip(key, size)};
}

struct bytes name_joined(struct arena *arena, struct bytes directory, struct bytes name)
{
    uint8_t *data = arena_alloc(arena, directory.size + name.size);
    if (directory.size)
        memcpy(data, directory.data, directory.size);
    if (name.size)
        memcpy(data + directory.size, name.data, name.size);
    return bytes_of(data, directory.size + name.size);
}

size_t name_depth(struct bytes key)
{
    size_t depth = 1;
    for (size_t i = 0; i < key.size; i++)
        depth += key.data[i] == '/';
    return depth;
}

bool names_covers(struct bytes key)
{
    /* A key with fewer bytes than that has no more components. */
    bool fits = key.size < NAME_DEPTH_MAX || name_depth(key) <= NAME_DEPTH_MAX;
    return fits && !system_is_inside(key);
}

void name_key_append(struct buf *ret, struct name_parts parts)
{
    buf_append_u8(ret, COLUMN_NAMES);
    escape_append(ret, parts.directory);
    buf_append(ret, parts.name);
}

void name_top_append(struct buf *ret) { buf_append_u8(ret, COLUMN_NAMES); }

/* ---- what a row means ---- */

static bool is_node_type(enum meta_type type)
{
    return type == META_FIFO || type == META_SOCKET || type == META_CHAR_DEVICE ||
           type == META_BLOCK_DEVICE;
}

struct name_state name_state_of(const struct name_row *row)
{
    struct name_state state;
    state.is_node = !row->has_value && row->has_meta && is_node_type(row->meta_type);
    state.is_directory = row->has_record || row->names > 0;
    state.is_visible = row->has_value || state.is_node || state.is_directory;
    return state;
}

bool name_meta_counts(const struct name_row *row)
{
    struct meta meta = {.for_create = row->meta_for_create};
    return row->has_value && row->has_meta &&
           meta_counts(&meta, row->meta.mod.main, row->value.create_revision);
}

void name_row_set_meta(struct name_row *row, const struct head *now, struct bytes value)
{
    struct arena arena = {0};
    struct meta meta = {0};
    row->has_meta = now && meta_decode(value, &arena, &meta) == ERR_OK;
    if (row->has_meta) {
        row->meta = *now;
        row->meta_type = meta.type;
        row->meta_for_create = meta.for_create;
        row->meta_bytes = value;
        row->meta_apart = value.size > VALUE_INLINE_MAX;
    }
    arena_release(&arena);
}

void name_row_set_record(struct name_row *row, const struct head *now, struct bytes value)
{
    struct arena arena = {0};
    struct meta meta;
    row->has_record = now && meta_decode(value, &arena, &meta) == ERR_OK;
    if (row->has_record) {
        row->record = *now;
        row->record_bytes = value;
        row->record_apart = value.size > VALUE_INLINE_MAX;
    }
    arena_release(&arena);
}

/* ---- the row's bytes ---- */

static size_t record_encode(uint8_t *to, const struct head *head, struct bytes value, bool apart)
{
    size_t size = head_encode(to, head);
    if (apart)
        return size;
    size += varint_encode(to + size, value.size);
    if (value.size)
        memcpy(to + size, value.data, value.size);
    return size + value.size;
}

static size_t row_encode(uint8_t *to, const struct name_row *row)
{
    bool is_directory = name_state_of(row).is_directory;
    size_t size = 1;
    to[0] = (uint8_t)((row->has_value ? ROW_VALUE : 0) | (row->has_meta ? ROW_META : 0) |
                      (row->has_meta && row->meta_apart ? ROW_META_APART : 0) |
                      (row->has_record ? ROW_RECORD : 0) |
                      (row->has_record && row->record_apart ? ROW_RECORD_APART : 0) |
                      (is_directory ? ROW_DIRECTORY : 0));
    if (row->has_value)
        size += head_encode(to + size, &row->value);
    if (row->has_meta) {
        to[size++] = (uint8_t)row->meta_type;
        size += varint_encode(to + size, (uint64_t)row->meta_for_create);
        size += record_encode(to + size, &row->meta, row->meta_bytes, row->meta_apart);
    }
    if (row->has_record)
        size += record_encode(to + size, &row->record, row->record_bytes, row->record_apart);
    if (is_directory) {
        size += varint_encode(to + size, row->names);
        size += varint_encode(to + size, row->directories);
        size += varint_encode(to + size, (uint64_t)row->change);
        put_le64(to + size, (uint64_t)row->change_time);
        size += 8;
    }
    CHECK(size <= ROW_SIZE_MAX);
    return size;
}

static struct bytes record_decode(struct cursor *from, struct head *ret, bool apart)
{
    head_decode(from, ret);
    if (ret->is_tombstone)
        from->failed = true;
    return apart ? BYTES_EMPTY : cursor_take(from, cursor_varint(from));
}

static enum err_code corrupt(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "a row of column 'd' of the store does not decode");
}

enum err_code name_row_decode(struct bytes from, struct name_row *ret, struct err *err)
{
    struct cursor cursor = cursor_of(from);
    struct name_row row = {0};
    uint8_t flags = cursor_u8(&cursor);
    row.has_value = flags & ROW_VALUE;
    row.has_meta = flags & ROW_META;
    row.has_record = flags & ROW_RECORD;
    row.meta_apart = flags & ROW_META_APART;
    row.record_apart = flags & ROW_RECORD_APART;
    if (row.has_value)
        head_decode(&cursor, &row.value);
    if (row.has_meta) {
        row.meta_type = (enum meta_type)cursor_u8(&cursor);
        row.meta_for_create = (kv_rev)cursor_varint(&cursor);
        row.meta_bytes = record_decode(&cursor, &row.meta, row.meta_apart);
    }
    if (row.has_record)
        row.record_bytes = record_decode(&cursor, &row.record, row.record_apart);
    if (flags & ROW_DIRECTORY) {
        row.names = cursor_varint(&cursor);
        row.directories = cursor_varint(&cursor);
        row.change = (kv_rev)cursor_varint(&cursor);
        row.change_time = (kv_time)cursor_le64(&cursor);
    }
    if (cursor.failed || cursor.rest.size || flags & ~ROW_ALL || row.value.is_tombstone)
        return corrupt(err);
    *ret = row;
    return ERR_OK;
}

/* ---- the writer's rows ---- */

static struct bytes row_key(struct batch *batch, struct bytes key, bool is_top)
{
    struct buf *row = batch_scratch(batch);
    if (is_top)
        name_top_append(row);
    else
        name_key_append(row, name_parts_of(key));
    return buf_bytes(row);
}

/* An absent row is an empty one. What is borrowed lives until batch_clear. */
static enum err_code row_load(struct batch *batch, struct bytes key, bool is_top,
                              struct name_row *ret, struct err *err)
{
    struct bytes found;
    enum err_code code = batch_get(batch, row_key(batch, key, is_top), &found, err);
    if (code == ERR_NOT_FOUND) {
        *ret = (struct name_row){0};
        return ERR_OK;
    }
    return code ? code : name_row_decode(found, ret, err);
}

static void row_store(struct batch *batch, struct bytes key, bool is_top,
                      const struct name_row *row)
{
    uint8_t encoded[ROW_SIZE_MAX];
    if (row->has_meta || is_top || name_state_of(row).is_visible)
        batch_put(batch, row_key(batch, key, is_top),
                  bytes_of(encoded, row_encode(encoded, row)));
    else
        batch_delete(batch, row_key(batch, key, is_top));
}

enum err_code names_head(struct batch *batch, struct bytes key, struct head *ret, struct err *err)
{
    struct bytes found;
    enum err_code code = batch_get(batch, row_key(batch, key, false), &found, err);
    if (code)
        return code;
    struct cursor cursor = cursor_of(found);
    struct head head;
    if (!(cursor_u8(&cursor) & ROW_VALUE))
        return cursor.failed ? corrupt(err) : ERR_NOT_FOUND;
    head_decode(&cursor, &head);
    if (cursor.failed || head.is_tombstone)
        return corrupt(err);
    *ret = head;
    return ERR_OK;
}

/* One change on its way up. */
struct climb {
    struct batch *batch;
    kv_rev revision;
    kv_time time;
    struct err *err;
    size_t top;                         /* as in struct kv_changed */
};

/* A row that was before, and is row now, is one of its directory's names. */
static enum err_code parent_count(struct climb *climb, struct name_row *parent,
                                  struct name_state before, struct name_state after)
{
    bool left = before.is_visible && !after.is_visible;
    bool was_directory = before.is_directory, is_directory = after.is_directory;
    if ((left && parent->names == 0) ||
        (was_directory && !is_directory && parent->directories == 0))
        return err_set(climb->err, ERR_CORRUPT, "the names of a directory are miscounted");
    parent->names += (uint64_t)after.is_visible - (uint64_t)before.is_visible;
    parent->directories += (uint64_t)is_directory - (uint64_t)was_directory;
    parent->change = climb->revision;
    parent->change_time = climb->time;
    return ERR_OK;
}

/* A directory that came begins with this change; of one that went nothing stays. */
static void settle_directory(const struct climb *climb, struct name_row *row,
                             struct name_state before, struct name_state after)
{
    if (after.is_directory && !before.is_directory) {
        row->change = climb->revision;
        row->change_time = climb->time;
    }
}

/* Stores the row of key, which was in state before, and what follows in the directories above. touched:
 * the name counts as changed although it looks as before. */
static enum err_code climb_up(struct climb *climb, struct bytes key, struct name_state before,
                              struct name_row *row, bool touched)
{
    for (;;) {
        struct name_state after = name_state_of(row);
        settle_directory(climb, row, before, after);
        if (after.is_visible != before.is_visible)
            climb->top = key.size;
        row_store(climb->batch, key, false, row);
        if (!touched && after.is_visible == before.is_visible &&
            after.is_directory == before.is_directory)
            return ERR_OK;
        struct bytes directory = name_parts_of(key).directory;
        bool is_top = directory.size == 0;
        struct bytes above = is_top ? BYTES_EMPTY : bytes_of(directory.data, directory.size - 1);
        struct name_row parent;
        enum err_code code = row_load(climb->batch, above, is_top, &parent, climb->err);
        if (code)
            return code;
        struct name_state parent_before = name_state_of(&parent);
        code = parent_count(climb, &parent, before, after);
        if (code)
            return code;
        if (is_top) {
            row_store(climb->batch, above, true, &parent);
            return ERR_OK;
        }
        key = above;
        before = parent_before;
        *row = parent;
        touched = false;
    }
}

static bool state_differs(struct name_state left, struct name_state right)
{
    return left.is_visible != right.is_visible || left.is_node != right.is_node ||
           left.is_directory != right.is_directory;
}

/* before: the state of the row of key before row was changed. is_new: another thing of the same kind
 * stands there now. */
static enum err_code changed(struct climb *climb, struct bytes key, struct name_state before,
                             struct name_row *row, bool is_new, struct names_change *change)
{
    bool differs = is_new || state_differs(before, name_state_of(row));
    if (differs)
        change->changes |= KV_CHANGED_NAME;
    enum err_code code = climb_up(climb, key, before, row, differs);
    change->top = climb->top;
    return code;
}

static enum err_code disagrees(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the name of a key does not agree with the key");
}

/* Another version of a key that stays: the head in front of its row is another one, and nothing else. */
static enum err_code value_replaced(struct batch *batch, struct bytes key, const struct head *now,
                                    struct err *err)
{
    struct bytes found, row = row_key(batch, key, false);
    struct head old;
    enum err_code code = batch_get(batch, row, &found, err);
    if (code)
        return code == ERR_NOT_FOUND ? disagrees(err) : code;
    struct cursor cursor = cursor_of(found);
    uint8_t flags = cursor_u8(&cursor);
    if (!(flags & ROW_VALUE))
        return disagrees(err);
    head_decode(&cursor, &old);
    if (cursor.failed)
        return corrupt(err);
    uint8_t head[HEAD_SIZE_MAX];
    size_t size = head_encode(head, now);
    uint8_t *place = batch_put_place(batch, row, 1 + size + cursor.rest.size);
    place[0] = flags;
    memcpy(place + 1, head, size);
    if (cursor.rest.size)
        memcpy(place + 1 + size, cursor.rest.data, cursor.rest.size);
    return ERR_OK;
}

enum err_code names_key_changed(struct batch *batch, struct bytes key, const struct head *old,
                                const struct head *now, kv_rev revision, kv_time time,
                                struct names_change *change, struct err *err)
{
    struct climb climb = {batch, revision, time, err, key.size};
    struct name_row row;
    CHECK(old || now);
    if (!names_covers(key))
        return ERR_OK;
    if (old && now && old->create_revision == now->create_revision)
        return value_replaced(batch, key, now, err);
    enum err_code code = row_load(batch, key, false, &row, err);
    if (code)
        return code;
    if (row.has_value != (old != NULL))
        return disagrees(err);
    struct name_state before = name_state_of(&row);
    row.has_value = now != NULL;
    if (now)
        row.value = *now;
    bool is_new = old && now && old->create_revision != now->create_revision;
    return changed(&climb, key, before, &row, is_new, change);
}

enum err_code names_record_changed(struct batch *batch, enum names_record which, struct bytes key,
                                   const struct head *old, const struct head *now,
                                   struct bytes value, kv_rev revision, kv_time time,
                                   struct names_change *change, struct err *err)
{
    struct climb climb = {batch, revision, time, err, key.size};
    struct name_row row;
    CHECK(old || now);
    if (!names_covers(key))
        return ERR_OK;
    enum err_code code = row_load(batch, key, false, &row, err);
    if (code)
        return code;
    struct name_state before = name_state_of(&row);
    if (which == NAMES_META)
        name_row_set_meta(&row, now, value);
    else
        name_row_set_record(&row, now, value);
    return changed(&climb, key, before, &row, false, change);
}

/* ---- answers ---- */

static void answer_value(const struct name_row *row, struct kv_name *ret)
{
    ret->create_revision = row->value.create_revision;
    ret->mod_revision = row->value.mod.main;
    ret->version = row->value.version;
    ret->lease = row->value.lease;
    ret->size = row->value.size;
    ret->create_time = row->value.create_time;
    ret->mod_time = row->value.mod_time;
}

static void answer_node(const struct name_row *row, struct kv_name *ret)
{
    ret->create_revision = row->meta.create_revision;
    ret->mod_revision = row->meta.mod.main;
    ret->version = row->meta.version;
    ret->create_time = row->meta.create_time;
    ret->mod_time = row->meta.mod_time;
}

static enum err_code record_read(const struct view *view, const char *prefix, struct bytes key,
                                 const struct head *head, struct bytes here, bool apart,
                                 struct arena *arena, struct bytes *ret, struct err *err)
{
    if (!apart) {
        *ret = arena_copy(arena, here);
        return ERR_OK;
    }
    struct bytes record_key = name_joined(arena, bytes_of_text(prefix), key);
    return index_value(view, record_key, head, arena, ret, err);
}

static enum err_code answer_meta(const struct view *view, struct bytes key,
                                 const struct name_row *row, struct arena *arena,
                                 struct kv_name *ret, struct err *err)
{
    ret->meta_mod_revision = row->meta.mod.main;
    ret->meta_mod_time = row->meta.mod_time;
    return record_read(view, KV_META_PREFIX, key, &row->meta, row->meta_bytes, row->meta_apart,
                       arena, &ret->meta, err);
}

static enum err_code answer_directory(const struct view *view, struct bytes key,
                                      const struct name_row *row, struct arena *arena,
                                      struct kv_name *ret, struct err *err)
{
    ret->name_count = row->names;
    ret->directory_count = row->directories;
    ret->change_revision = row->change;
    ret->change_time = row->change_time;
    if (!row->has_record)
        return ERR_OK;
    ret->directory_create_revision = row->record.create_revision;
    ret->directory_mod_revision = row->record.mod.main;
    ret->directory_create_time = row->record.create_time;
    ret->directory_mod_time = row->record.mod_time;
    return record_read(view, KV_DIR_PREFIX, key, &row->record, row->record_bytes,
                       row->record_apart, arena, &ret->directory_record, err);
}

enum err_code name_answer(const struct view *view, struct bytes key, const struct name_row *row,
                          struct arena *arena, struct kv_name *ret, struct err *err)
{
    struct name_state state = name_state_of(row);
    struct kv_name answer = {.has_value = row->has_value,
                             .has_node = state.is_node,
                             .is_directory = state.is_directory};
    enum err_code code = ERR_OK;
    answer.name = arena_copy(arena, name_parts_of(key).name);
    if (row->has_value)
        answer_value(row, &answer);
    else if (state.is_node)
        answer_node(row, &answer);
    if (state.is_node || name_meta_counts(row))
        code = answer_meta(view, key, row, arena, &answer, err);
    if (!code && state.is_directory)
        code = answer_directory(view, key, row, arena, &answer, err);
    if (!code)
        *ret = answer;
    return code;
}

/* ---- the newest state ---- */

/* The directory "" itself is asked for as the name "/" in it: no name has a '/'. */
bool name_is_top(const struct kv_lookup *lookup)
{
    return lookup->directory.size == 0 && bytes_equal(lookup->name, BYTES_LITERAL("/"));
}

static enum err_code answer_top(const struct name_row *row, struct kv_name *ret)
{
    *ret = (struct kv_name){.name = BYTES_LITERAL("/"),
                            .is_directory = true,
                            .name_count = row->names,
                            .directory_count = row->directories,
                            .change_revision = row->change,
                            .change_time = row->change_time};
    return ERR_OK;
}

bool name_is_proper(struct bytes directory, struct bytes name)
{
    return (directory.size == 0 || directory.data[directory.size - 1] == '/') &&
           (name.size == 0 || !memchr(name.data, '/', name.size));
}

enum err_code names_lookup(const struct view *view, const struct kv_lookup *lookup,
                           struct arena *arena, struct kv_name *ret, struct err *err)
{
    struct name_parts parts = {lookup->directory, lookup->name};
    bool is_top = name_is_top(lookup);
    struct buf key = {0};
    struct bytes found;
    struct name_row row;
    if (!is_top && !name_is_proper(parts.directory, parts.name))
        return ERR_NOT_FOUND;
    if (is_top)
        name_top_append(&key);
    else
        name_key_append(&key, parts);
    enum err_code code = view_get(view, buf_bytes(&key), arena, &found, err);
    buf_release(&key);
    if (!code)
        code = name_row_decode(found, &row, err);
    if (code)
        return code;
    if (is_top)
        return answer_top(&row, ret);
    if (!name_state_of(&row).is_visible)
        return ERR_NOT_FOUND;
    return name_answer(view, name_joined(arena, parts.directory, parts.name), &row, arena, ret,
                       err);
}

/* One listing in progress. */
struct listing {
    const struct view *view;
    const struct kv_list *list;
    struct arena *arena;
    struct view_iterator *iterator;
    size_t prefix_size;                 /* of a row key: what stands before the name */
    size_t limit, bytes;
    struct err *err;
};

/* Takes the row under the iterator; *ret_full: it is visible and there is no room for it. */
static enum err_code listing_take(struct listing *listing, struct kv_list_result *result,
                                  bool *ret_full)
{
    struct name_row row;
    struct bytes name = bytes_skip(view_iterator_key(listing->iterator), listing->prefix_size);
    enum err_code code = name_row_decode(view_iterator_value(listing->iterator), &row,
                                         listing->err);
    if (code || !name_state_of(&row).is_visible)
        return code;
    if (result->count == listing->limit || listing->bytes > LIST_BYTES_MAX) {
        *ret_full = true;
        return ERR_OK;
    }
    struct bytes key = name_joined(listing->arena, listing->list->directory, name);
    struct kv_name *place = &result->names[result->count++];
    code = name_answer(listing->view, key, &row, listing->arena, place, listing->err);
    listing->bytes += place->name.size + place->meta.size + place->directory_record.size;
    return code;
}

static enum err_code listing_run(struct listing *listing, struct bytes prefix,
                                 struct kv_list_result *result)
{
    while (view_iterator_valid(listing->iterator) &&
           bytes_starts_with(view_iterator_key(listing->iterator), prefix)) {
        enum err_code code = listing_take(listing, result, &result->more);
        if (code || result->more)
            return code;
        view_iterator_next(listing->iterator);
    }
    return view_iterator_status(listing->iterator, listing->err);
}

enum err_code names_list(const struct view *view, const struct kv_list *list, struct arena *arena,
                         struct kv_list_result *ret, struct err *err)
{
    struct listing listing = {.view = view, .list = list, .arena = arena, .err = err};
    struct kv_list_result result = {0};
    struct buf key = {0};
    if (!name_is_proper(list->directory, BYTES_EMPTY)) {
        *ret = result;
        return ERR_OK;
    }
    listing.limit = name_list_limit(list);
    result.names = ARENA_NEW_ARRAY(arena, struct kv_name, listing.limit);
    name_key_append(&key, (struct name_parts){list->directory, BYTES_EMPTY});
    listing.prefix_size = key.size;
    if (list->has_after) {
        buf_append(&key, list->after);
        buf_append_u8(&key, 0);
    }
    listing.iterator = view_iterator_new(view);
    view_iterator_seek(listing.iterator, buf_bytes(&key));
    enum err_code code = listing_run(&listing, bytes_of(key.data, listing.prefix_size), &result);
    view_iterator_free(listing.iterator);
    buf_release(&key);
    if (!code)
        *ret = result;
    return code;
}
