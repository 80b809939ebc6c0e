/* What moves with from = /a, to = /b:
 *
 *     /a, /a/x, /a/y/z                          -> /b, /b/x, /b/y/z        the keys
 *     .concordfs/meta//a, .../meta//a/x         -> .concordfs/meta//b ...  their records, fifos
 *     .concordfs/dir//a, .../dir//a/y           -> .concordfs/dir//b ...   records of directories
 *
 * Everything is gathered first, then deleted at its old place, then put at the new one, each in key order.
 * A value above VALUE_INLINE_MAX is not written again: its new version refers to the row it has. What
 * must not change is written into the records, since the new keys have new create revisions: identity,
 * birth and mtime. So a key without a record gets one here.
 *
 * An exchange is the same with two sides. A replace deletes what stands at to first.
 */
#include "mvcc/rename.h"

#include "mvcc/names.h"
#include "mvcc/range.h"
#include "mvcc/store_internal.h"
#include "mvcc/system.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/meta.h"

#define TARGET_THINGS_MAX 8             /* a value, its record and a directory's are three */
#define RECORD_SIZE_GUESS 96            /* what identity and times may add to a record */

/* One thing that moves. */
struct thing {
    struct thing *next;
    struct bytes key;                   /* of the user, without its place */
    struct head head;
    struct thing *record;               /* of a value: its record */
    bool has_key;                       /* of a record: its value moves too */
};

/* Three lists, each in key order. */
struct side {
    struct bytes base;
    struct thing *keys, *metas, *directories;
    uint64_t count;                     /* keys, and records that stand without one */
    uint64_t bytes;                     /* of keys and values */
    uint64_t inline_bytes;              /* of values that are written again */
};

/* Where to look. */
struct gathering {
    const struct view *view;
    kv_rev at;
    bool value_only;
    uint64_t left;                      /* things it may still hold: TOO_WIDE above */
    struct arena *arena;
    struct err *err;
};

static struct bytes joined(struct arena *arena, struct bytes left, struct bytes right)
{
    uint8_t *data = arena_alloc(arena, left.size + right.size);
    if (left.size)
        memcpy(data, left.data, left.size);
    if (right.size)
        memcpy(data + left.size, right.data, right.size);
    return bytes_of(data, left.size + right.size);
}

static struct bytes meta_of(struct arena *arena, struct bytes key)
{
    return joined(arena, BYTES_LITERAL(KV_META_PREFIX), key);
}

static struct bytes directory_of(struct arena *arena, struct bytes key)
{
    return joined(arena, BYTES_LITERAL(KV_DIR_PREFIX), key);
}

/* ---- gathering ---- */

/* Appends the live keys of prefix + [begin, end) to the list. */
static enum err_code gather_range(struct gathering *gathering, struct bytes prefix,
                                  struct bytes begin, struct bytes end, struct thing ***ret_tail)
{
    struct index_cursor cursor;
    enum err_code code;
    struct bytes from = joined(gathering->arena, prefix, begin);
    struct bytes to = end.size ? joined(gathering->arena, prefix, end) : BYTES_EMPTY;
    index_cursor_init(&cursor, gathering->view, from, to, gathering->at);
    while (!(code = range_next(&cursor, from, gathering->err)) && cursor.found) {
        if (gathering->left == 0) {
            code = err_set(gathering->err, ERR_TOO_WIDE, "rename of too many keys");
            break;
        }
        gathering->left--;
        struct thing *thing = ARENA_NEW(gathering->arena, struct thing);
        struct bytes key = bytes_skip(index_cursor_key(&cursor), prefix.size);
        thing->key = arena_copy(gathering->arena, key);
        thing->head = cursor.head;
        **ret_tail = thing;
        *ret_tail = &thing->next;
    }
    index_cursor_release(&cursor);
    return code;
}

/* base itself, and what lies below it. */
static enum err_code gather_list(struct gathering *gathering, struct bytes prefix,
                                 struct bytes base, struct thing **ret)
{
    struct thing **tail = ret;
    enum err_code code = gather_range(gathering, prefix, base, BYTES_EMPTY, &tail);
    if (code || gathering->value_only)
        return code;
    return gather_range(gathering, prefix, joined(gathering->arena, base, BYTES_LITERAL("/")),
                        joined(gathering->arena, base, BYTES_LITERAL("0")), &tail);
}

/* Both lists are in byte order. */
static void join_records(struct side *side)
{
    struct thing *meta = side->metas;
    for (struct thing *key = side->keys; key; key = key->next) {
        while (meta && bytes_compare(meta->key, key->key) < 0)
            meta = meta->next;
        if (meta && bytes_equal(meta->key, key->key)) {
            key->record = meta;
            meta->has_key = true;
        }
    }
}

static void measure(struct side *side)
{
    for (const struct thing *key = side->keys; key; key = key->next) {
        side->count++;
        side->bytes += key->key.size + key->head.size;
        side->inline_bytes += key->head.is_inline ? key->head.size : 0;
    }
    for (const struct thing *meta = side->metas; meta; meta = meta->next) {
        side->count += !meta->has_key;
        side->bytes += meta->key.size + meta->head.size;
    }
    for (const struct thing *directory = side->directories; directory; directory = directory->next)
        side->bytes += directory->key.size + directory->head.size;
}

static enum err_code gather(struct gathering *gathering, struct bytes base, struct side *ret)
{
    *ret = (struct side){.base = base};
    enum err_code code = gather_list(gathering, BYTES_EMPTY, base, &ret->keys);
    if (!code)
        code = gather_list(gathering, BYTES_LITERAL(KV_META_PREFIX), base, &ret->metas);
    if (!code && !gathering->value_only)
        code = gather_list(gathering, BYTES_LITERAL(KV_DIR_PREFIX), base, &ret->directories);
    if (code)
        return code;
    join_records(ret);
    measure(ret);
    return ERR_OK;
}

static struct gathering gathering_of(struct txn *txn, bool value_only, uint64_t left,
                                     struct err *err)
{
    return (struct gathering){&txn->view, txn->main, value_only, left, &txn->arena, err};
}

static bool side_is_empty(const struct side *side)
{
    return !side->keys && !side->metas && !side->directories;
}

/* An empty directory by its record, and nothing else. */
static bool side_is_bare_directory(const struct side *side)
{
    return side->directories && !side->directories->next && !side->metas && !side->keys &&
           bytes_equal(side->directories->key, side->base);
}

static bool side_is_directory(const struct side *side)
{
    const struct thing *last_key = side->keys, *last_meta = side->metas;
    return side->directories || (last_key && !bytes_equal(last_key->key, side->base)) ||
           (last_key && last_key->next) ||
           (last_meta && (last_meta->next || !bytes_equal(last_meta->key, side->base)));
}

/* ---- refusing ---- */

static bool touches_system(struct bytes key)
{
    struct bytes system = BYTES_LITERAL(KV_SYSTEM_PREFIX);
    return system_is_inside(key) || bytes_equal(key, bytes_of(system.data, system.size - 1));
}

static bool is_below(struct bytes key, struct bytes base)
{
    return key.size > base.size && bytes_starts_with(key, base) && key.data[base.size] == '/';
}

static enum err_code check_places(const struct kv_rename *rename, struct err *err)
{
    if (rename->from.size == 0 || rename->to.size == 0)
        return err_set(err, ERR_INVALID, "key is not provided");
    if (touches_system(rename->from) || touches_system(rename->to))
        return err_set(err, ERR_DENIED, "permission denied");
    if (rename->replace && rename->exchange)
        return err_set(err, ERR_INVALID, "rename cannot both replace and exchange");
    bool nested = is_below(rename->to, rename->from) ||
                  (rename->exchange && is_below(rename->from, rename->to));
    if (bytes_equal(rename->from, rename->to) || (nested && !rename->value_only))
        return err_set(err, ERR_INVALID, "a key cannot be renamed to a place below itself");
    return ERR_OK;
}

static struct kv_lookup lookup_of(struct bytes key)
{
    const uint8_t *slash = key.size ? memrchr(key.data, '/', key.size) : NULL;
    size_t size = slash ? (size_t)(slash - key.data) + 1 : 0;
    return (struct kv_lookup){.directory = bytes_of(key.data, size),
                              .name = bytes_skip(key, size)};
}

/* Whether a side is more than records that nobody sees. */
static enum err_code side_stands(struct txn *txn, const struct side *side, bool value_only,
                                 bool *ret, struct err *err)
{
    struct kv_lookup lookup = lookup_of(side->base);
    struct kv_name name;
    *ret = !side_is_empty(side);
    if (!*ret || side->keys || !names_covers(side->base))
        return ERR_OK;
    enum err_code code = names_lookup(&txn->view, &lookup, &txn->arena, &name, err);
    *ret = !code && (name.has_node || (!value_only && name.is_directory));
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* What stands at to: does it go, or is it in the way? */
static enum err_code check_target(struct txn *txn, const struct kv_rename *rename,
                                  const struct side *from, const struct side *to, struct err *err)
{
    bool stands;
    enum err_code code = side_stands(txn, to, rename->value_only, &stands, err);
    if (code)
        return code;
    if (rename->exchange)
        return stands ? ERR_OK : err_set(err, ERR_NOT_FOUND, "nothing to exchange with");
    if (!stands)
        return ERR_OK;
    if (!rename->replace)
        return err_set(err, ERR_EXISTS, "the new name exists");
    bool goes = side_is_bare_directory(to) ? side_is_directory(from) : !side_is_directory(to);
    return goes ? ERR_OK : err_set(err, ERR_EXISTS, "the new name is a directory");
}

static enum err_code check_source(struct txn *txn, const struct kv_rename *rename,
                                  const struct side *from, struct err *err)
{
    bool stands;
    enum err_code code = side_stands(txn, from, rename->value_only, &stands, err);
    if (code)
        return code;
    return stands ? ERR_OK : err_set(err, ERR_NOT_FOUND, "nothing to rename");
}

static enum err_code check_limits(struct txn *txn, const struct side *from, const struct side *to,
                                  struct err *err)
{
    const struct store_settings *settings = config_current(txn->config);
    if (from->count + to->count > settings->rename_keys_max)
        return err_set(err, ERR_TOO_WIDE, "rename of %llu keys is over the limit of %llu",
                       (unsigned long long)(from->count + to->count),
                       (unsigned long long)settings->rename_keys_max);
    if (from->bytes + to->bytes > settings->rename_bytes_max)
        return err_set(err, ERR_TOO_WIDE, "rename of %llu bytes is over the limit of %llu",
                       (unsigned long long)(from->bytes + to->bytes),
                       (unsigned long long)settings->rename_bytes_max);
    return ERR_OK;
}

static enum err_code check_key_sizes(const struct side *side, struct bytes to, struct err *err)
{
    const struct thing *lists[] = {side->keys, side->metas, side->directories};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        for (const struct thing *thing = lists[i]; thing; thing = thing->next)
            if (thing->key.size - side->base.size + to.size > KEY_SIZE_MAX)
                return err_set(err, ERR_TOO_BIG, "a key would be longer than %d", KEY_SIZE_MAX);
    return ERR_OK;
}

/* At most, what the versions of one side add to the quota: tombstones, new keys, records. */
static uint64_t cost(const struct side *side, struct bytes to)
{
    const struct thing *lists[] = {side->keys, side->metas, side->directories};
    uint64_t sum = side->inline_bytes;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        for (const struct thing *thing = lists[i]; thing; thing = thing->next) {
            uint64_t place = thing->key.size + sizeof(KV_META_PREFIX);
            sum += 2 * place + to.size;
            if (i == 0)     /* its record is new, or one of those below */
                sum += place + to.size + RECORD_SIZE_GUESS;
            else
                sum += thing->head.size + RECORD_SIZE_GUESS;
        }
    }
    return sum;
}

/* The side at to. Without an exchange all that matters of a full directory is that it is one. */
static enum err_code gather_target(struct txn *txn, const struct kv_rename *rename, uint64_t most,
                                   struct side *ret, struct err *err)
{
    struct gathering gathering =
        gathering_of(txn, rename->value_only, rename->exchange ? most : TARGET_THINGS_MAX, err);
    enum err_code code = gather(&gathering, rename->to, ret);
    if (code == ERR_TOO_WIDE && !rename->exchange)
        return err_set(err, ERR_EXISTS, "the new name is a directory");
    return code;
}

enum err_code rename_validate(struct txn *txn, const struct kv_rename *rename, uint64_t *ret_bytes,
                              struct err *err)
{
    uint64_t most = 3 * config_current(txn->config)->rename_keys_max + TARGET_THINGS_MAX;
    struct gathering gathering = gathering_of(txn, rename->value_only, most, err);
    struct side from, to;
    enum err_code code = check_places(rename, err);
    if (!code)
        code = gather(&gathering, rename->from, &from);
    if (!code)
        code = check_source(txn, rename, &from, err);
    if (!code)
        code = gather_target(txn, rename, most, &to, err);
    if (!code)
        code = check_target(txn, rename, &from, &to, err);
    if (!code)
        code = check_limits(txn, &from, rename->exchange ? &to : &(struct side){.count = 0}, err);
    if (!code)
        code = check_key_sizes(&from, rename->to, err);
    if (!code && rename->exchange)
        code = check_key_sizes(&to, rename->from, err);
    if (!code)
        *ret_bytes = cost(&from, rename->to) + cost(&to, rename->from);
    return code;
}

/* ---- records that keep what must not change ---- */

/* A record's fields, or none where it does not decode. */
static enum err_code record_read(struct txn *txn, struct bytes record_key, const struct head *head,
                                 struct meta *ret, bool *ret_decodes, struct err *err)
{
    struct bytes value;
    enum err_code code = index_value(&txn->view, record_key, head, &txn->arena, &value, err);
    if (code)
        return code;
    *ret_decodes = meta_decode(value, &txn->arena, ret) == ERR_OK;
    if (!*ret_decodes)
        *ret = (struct meta){0};
    return ERR_OK;
}

/* Writes into meta what key, created then and changed so, has by itself. */
static void keep_identity(struct txn *txn, struct meta *meta, struct bytes key,
                          kv_rev create_revision, kv_time create_time)
{
    meta->file_id = meta_file_id(txn->store->cluster_id, key, create_revision, meta);
    if (!meta->has_birth)
        meta->birth = create_time;
    meta->has_birth = true;
}

static void keep_times(struct txn *txn, struct meta *meta, bool counted, kv_time mod_time)
{
    meta->has_atime = meta->has_atime && counted;
    if (!meta->has_mtime || !counted)
        meta->mtime = mod_time;
    meta->has_mtime = true;
    meta->mtime_for = txn->main;
}

static enum err_code record_put(struct txn *txn, struct bytes record_key, const struct meta *meta,
                                struct err *err)
{
    struct head old;
    struct buf value = {0};
    meta_encode(meta, &value);
    enum err_code code = txn_head(txn, record_key, &old, err);
    if (!code || code == ERR_NOT_FOUND)
        code = txn_put_key(txn, record_key, buf_bytes(&value), 0, code ? NULL : &old, err);
    buf_release(&value);
    return code;
}

/* The record of a value that moved to key. */
static enum err_code value_record_put(struct txn *txn, const struct thing *thing, struct bytes key,
                                      struct err *err)
{
    struct meta meta = {0};
    bool decodes = false, counted = false;
    if (thing->record) {
        const struct head *head = &thing->record->head;
        enum err_code code = record_read(txn, meta_of(&txn->arena, thing->key), head, &meta,
                                         &decodes, err);
        if (code)
            return code;
        if (decodes && !meta_counts(&meta, head->mod.main, thing->head.create_revision))
            meta = (struct meta){0};
        else if (decodes)
            counted = meta_times_count(&meta, head->mod.main, thing->head.mod.main);
    }
    keep_identity(txn, &meta, thing->key, thing->head.create_revision, thing->head.create_time);
    keep_times(txn, &meta, counted, thing->head.mod_time);
    meta.for_create = txn->main;
    return record_put(txn, meta_of(&txn->arena, key), &meta, err);
}

/* A record that stands by itself, as that of a fifo; one that does not decode is carried along. */
static enum err_code lone_record_put(struct txn *txn, const struct thing *thing, struct bytes key,
                                     struct err *err)
{
    struct meta meta;
    bool decodes;
    struct bytes from = meta_of(&txn->arena, thing->key), to = meta_of(&txn->arena, key);
    enum err_code code = record_read(txn, from, &thing->head, &meta, &decodes, err);
    if (code)
        return code;
    if (!decodes)
        return txn_put_moved(txn, to, NULL, from, &thing->head, err);
    keep_identity(txn, &meta, thing->key, thing->head.create_revision, thing->head.create_time);
    keep_times(txn, &meta, meta_times_count(&meta, thing->head.mod.main, thing->head.mod.main),
               thing->head.mod_time);
    return record_put(txn, to, &meta, err);
}

/* A directory's mtime is the last change of its names, which the move must not look like. */
struct directory_past {
    kv_rev change;
    kv_time change_time;
};

static enum err_code directory_put(struct txn *txn, const struct thing *thing, struct bytes key,
                                   const struct directory_past *past, struct err *err)
{
    struct meta meta;
    bool decodes;
    struct bytes from = directory_of(&txn->arena, thing->key);
    struct bytes to = directory_of(&txn->arena, key);
    enum err_code code = record_read(txn, from, &thing->head, &meta, &decodes, err);
    if (code)
        return code;
    if (!decodes)
        return txn_put_moved(txn, to, NULL, from, &thing->head, err);
    keep_identity(txn, &meta, thing->key, thing->head.create_revision, thing->head.create_time);
    keep_times(txn, &meta, meta_times_count(&meta, thing->head.mod.main, past->change),
               past->change_time);
    return record_put(txn, to, &meta, err);
}

/* ---- moving ---- */

static struct bytes moved_key(struct txn *txn, const struct side *side, struct bytes to,
                              struct bytes key)
{
    return joined(&txn->arena, to, bytes_skip(key, side->base.size));
}

static enum err_code side_delete(struct txn *txn, const struct side *side, struct err *err)
{
    enum err_code code = ERR_OK;
    for (const struct thing *one = side->keys; one && !code; one = one->next)
        code = txn_delete_key(txn, one->key, &one->head, false, err);
    for (const struct thing *one = side->metas; one && !code; one = one->next)
        code = txn_delete_key(txn, meta_of(&txn->arena, one->key), &one->head, false, err);
    for (const struct thing *one = side->directories; one && !code; one = one->next)
        code = txn_delete_key(txn, directory_of(&txn->arena, one->key), &one->head, false, err);
    return code;
}

static enum err_code value_put(struct txn *txn, const struct thing *thing, struct bytes key,
                               struct err *err)
{
    struct head old;
    enum err_code code = txn_head(txn, key, &old, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    code = txn_put_moved(txn, key, code ? NULL : &old, thing->key, &thing->head, err);
    return code ? code : value_record_put(txn, thing, key, err);
}

static enum err_code side_put(struct txn *txn, const struct side *side, struct bytes to,
                              const struct directory_past *pasts, struct err *err)
{
    enum err_code code = ERR_OK;
    for (const struct thing *one = side->keys; one && !code; one = one->next)
        code = value_put(txn, one, moved_key(txn, side, to, one->key), err);
    for (const struct thing *one = side->metas; one && !code; one = one->next)
        if (!one->has_key)
            code = lone_record_put(txn, one, moved_key(txn, side, to, one->key), err);
    for (const struct thing *one = side->directories; one && !code; one = one->next, pasts++)
        code = directory_put(txn, one, moved_key(txn, side, to, one->key), pasts, err);
    return code;
}

/* What the directories of a side look like before anything moves. */
static enum err_code pasts_of(struct txn *txn, const struct side *side,
                              struct directory_past **ret, struct err *err)
{
    size_t count = 0, i = 0;
    for (const struct thing *one = side->directories; one; one = one->next)
        count++;
    *ret = ARENA_NEW_ARRAY(&txn->arena, struct directory_past, count);
    for (const struct thing *one = side->directories; one; one = one->next, i++) {
        struct kv_lookup lookup = lookup_of(one->key);
        struct kv_name name;
        (*ret)[i] = (struct directory_past){one->head.mod.main, one->head.mod_time};
        enum err_code code = names_lookup(&txn->view, &lookup, &txn->arena, &name, err);
        if (code && code != ERR_NOT_FOUND)
            return code;
        if (!code && name.is_directory)
            (*ret)[i] = (struct directory_past){name.change_revision, name.change_time};
    }
    return ERR_OK;
}

enum err_code rename_apply(struct txn *txn, const struct kv_rename *rename, int64_t *ret_moved,
                           struct err *err)
{
    struct gathering gathering = gathering_of(txn, rename->value_only, UINT64_MAX, err);
    struct side from, to;
    struct directory_past *from_pasts, *to_pasts;
    enum err_code code = gather(&gathering, rename->from, &from);
    if (!code)
        code = gather(&gathering, rename->to, &to);
    if (!code)
        code = pasts_of(txn, &from, &from_pasts, err);
    if (!code)
        code = pasts_of(txn, &to, &to_pasts, err);
    if (!code && !side_is_empty(&from))
        store_note_move(txn->store, rename, txn->main);
    if (!code)
        code = side_delete(txn, &from, err);
    if (!code)
        code = side_delete(txn, &to, err);
    if (!code)
        code = side_put(txn, &from, rename->to, from_pasts, err);
    if (!code && rename->exchange)
        code = side_put(txn, &to, rename->from, to_pasts, err);
    if (!code)
        *ret_moved = (int64_t)(from.count + (rename->exchange ? to.count : 0));
    return code;
}

enum err_code rename_count(const struct view *view, const struct kv_rename *rename, kv_rev at,
                           int64_t *ret_moved, struct err *err)
{
    struct arena arena = {0};
    struct gathering gathering = {view, at, rename->value_only, UINT64_MAX, &arena, err};
    struct side from, to = {.count = 0};
    enum err_code code = gather(&gathering, rename->from, &from);
    if (!code && rename->exchange)
        code = gather(&gathering, rename->to, &to);
    if (!code)
        *ret_moved = (int64_t)(from.count + to.count);
    arena_release(&arena);
    return code;
}
