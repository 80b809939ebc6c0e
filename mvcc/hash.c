/* What a store is, as one number, and whether its rows fit together.
 *
 * Two members at the same applied index may have walked their compactions to different places. The hash
 * is therefore taken over what a finished walk leaves: of each key the versions above the floor and the
 * newest at or below it, the latter only if it is live or a tombstone of the floor itself. Each version
 * brings its value along, and above the floor what column r says of it is looked at; columns d, h, l, s
 * and m follow as they are, but for the rows of m that are this member's own.
 */
#include "mvcc/changes.h"
#include "mvcc/lease_rows.h"
#include "mvcc/names.h"
#include "mvcc/store_internal.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"

struct walker {
    struct store *store;
    struct view view;
    struct view_iterator *iterator;
    struct arena arena;                 /* of one row */
    struct buf key, last;               /* the current key, and the one before */
    struct head head;
    struct bytes inline_value;
    bool is_first;                      /* of its key */
    bool is_kept;                       /* by a finished walk */
    bool below_floor;                   /* a version of this key at or below the floor was seen */
};

static void walker_init(struct walker *walker, struct store *store)
{
    CHECK(!store->is_open);
    *walker = (struct walker){.store = store, .view = view_open(store->backend)};
    walker->iterator = view_iterator_new(&walker->view);
}

static void walker_release(struct walker *walker)
{
    view_iterator_free(walker->iterator);
    view_release(&walker->view);
    arena_release(&walker->arena);
    buf_release(&walker->key);
    buf_release(&walker->last);
}

static bool in_column(const struct walker *walker, enum column column)
{
    return view_iterator_valid(walker->iterator) &&
           view_iterator_key(walker->iterator).data[0] == column;
}

static void seek_column(struct walker *walker, enum column column)
{
    uint8_t first = (uint8_t)column;
    view_iterator_seek(walker->iterator, bytes_of(&first, 1));
}

/* Takes the row of column k under the iterator. */
static enum err_code version_take(struct walker *walker, struct err *err)
{
    kv_rev floor = walker->store->floor;
    arena_clear(&walker->arena);
    buf_clear(&walker->key);
    enum err_code code =
        index_key_decode(view_iterator_key(walker->iterator), view_iterator_value(walker->iterator),
                         &walker->key, &walker->head, &walker->inline_value, err);
    if (code)
        return code;
    walker->is_first = !bytes_equal(buf_bytes(&walker->key), buf_bytes(&walker->last));
    if (walker->is_first) {
        buf_assign(&walker->last, buf_bytes(&walker->key));
        walker->below_floor = false;
    }
    bool is_above = walker->head.mod.main > floor;
    walker->is_kept = is_above || (!walker->below_floor && (!walker->head.is_tombstone ||
                                                            walker->head.mod.main == floor));
    /* The floor's own tombstone does not stand for what is below it. Neither does anything else: the
       first version at or below the floor supersedes the rest. */
    walker->below_floor = walker->below_floor || !is_above;
    return ERR_OK;
}

static enum err_code value_of(struct walker *walker, struct bytes *ret, struct err *err)
{
    *ret = walker->inline_value;
    if (walker->head.is_tombstone || walker->head.is_inline)
        return ERR_OK;
    return index_value(&walker->view, buf_bytes(&walker->key), &walker->head, &walker->arena, ret,
                       err);
}

/* Column r names this key, kind and time, when it has to. */
static enum err_code revision_check(struct walker *walker, struct err *err)
{
    struct change_row row;
    const struct head *head = &walker->head;
    if (head->mod.main <= walker->store->floor)
        return ERR_OK;
    enum err_code code = changes_at(&walker->view, head->mod, &walker->arena, &row, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    bool fits = !code && revision_compare(row.revision, head->mod) == 0 &&
                bytes_equal(row.key, buf_bytes(&walker->key)) && row.time == head->mod_time &&
                row.kind == (head->is_tombstone ? CHANGE_DELETE : CHANGE_PUT);
    if (fits)
        return ERR_OK;
    return err_set(err, ERR_CORRUPT, "revision %lld.%lld has a version and no change that fits",
                   (long long)head->mod.main, (long long)head->mod.sub);
}

/* ---- the hash ---- */

static enum err_code version_hash(struct walker *walker, uint64_t *hash, struct err *err)
{
    struct bytes value;
    enum err_code code = version_take(walker, err);
    if (code || !walker->is_kept)
        return code;
    code = value_of(walker, &value, err);
    if (!code)
        code = revision_check(walker, err);
    if (code)
        return code;
    *hash = hash_bytes(*hash, view_iterator_key(walker->iterator));
    *hash = hash_bytes(*hash, view_iterator_value(walker->iterator));
    *hash = hash_bytes(*hash, value);
    return ERR_OK;
}

static enum err_code keys_hash(struct walker *walker, uint64_t *hash, struct err *err)
{
    seek_column(walker, COLUMN_KEY);
    for (; in_column(walker, COLUMN_KEY); view_iterator_next(walker->iterator)) {
        enum err_code code = version_hash(walker, hash, err);
        if (code)
            return code;
    }
    return view_iterator_status(walker->iterator, err);
}

static enum err_code column_hash(struct walker *walker, enum column column, uint64_t *hash,
                                 struct err *err)
{
    seek_column(walker, column);
    for (; in_column(walker, column); view_iterator_next(walker->iterator)) {
        struct bytes key = view_iterator_key(walker->iterator);
        if (column == COLUMN_META && bytes_starts_with(key, BYTES_LITERAL("m_")))
            continue;
        *hash = hash_bytes(*hash, key);
        *hash = hash_bytes(*hash, view_iterator_value(walker->iterator));
    }
    return view_iterator_status(walker->iterator, err);
}

enum err_code store_hash(struct store *store, uint64_t *ret, struct err *err)
{
    static const enum column columns[] = {COLUMN_NAMES, COLUMN_HEAD, COLUMN_LEASE, COLUMN_META,
                                          COLUMN_SESSION};
    struct walker walker;
    uint64_t hash = 0;
    if (store->death)
        return store_dead(store, err);
    walker_init(&walker, store);
    enum err_code code = keys_hash(&walker, &hash, err);
    for (size_t i = 0; i < ARRAY_COUNT(columns) && !code; i++)
        code = column_hash(&walker, columns[i], &hash, err);
    walker_release(&walker);
    if (!code)
        *ret = hash;
    return code;
}

/* ---- the rows fit together ---- */

struct totals {
    uint64_t versions, changes;         /* above the floor: rows of k, changes in r */
    uint64_t large, owners;             /* versions with a value row, owners counted by value rows */
    uint64_t live_user_keys, live_other; /* with a head row of their own */
    uint64_t heads;
    uint64_t leased, hanging;           /* live versions with a lease, key rows of leases */
};

/* The newest version and the head that points say is live. */
static enum err_code head_check(struct walker *walker, struct err *err)
{
    struct head head;
    enum err_code code = index_head(walker->store->batch, buf_bytes(&walker->key), &head, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    bool is_live = !walker->head.is_tombstone;
    bool fits = is_live ? !code && revision_compare(head.mod, walker->head.mod) == 0 &&
                              head.version == walker->head.version &&
                              head.size == walker->head.size &&
                              head.lease == walker->head.lease &&
                              head.create_revision == walker->head.create_revision &&
                              head.create_time == walker->head.create_time &&
                              head.mod_time == walker->head.mod_time &&
                              revision_compare(head.place, walker->head.place) == 0
                        : code == ERR_NOT_FOUND;
    if (fits)
        return ERR_OK;
    return err_set(err, ERR_CORRUPT, "key '%.*s': its head is not its version of revision %lld",
                   (int)walker->key.size, (const char *)walker->key.data,
                   (long long)walker->head.mod.main);
}

static enum err_code version_check(struct walker *walker, struct totals *totals, struct err *err)
{
    struct bytes value;
    enum err_code code = version_take(walker, err);
    if (!code && walker->is_first)
        code = head_check(walker, err);
    if (!code)
        code = revision_check(walker, err);
    if (!code)
        code = value_of(walker, &value, err);
    if (code)
        return code;
    if (!walker->is_kept && walker->store->walks == 0)
        return err_set(err, ERR_CORRUPT, "compaction left revision %lld.%lld of a key behind",
                       (long long)walker->head.mod.main, (long long)walker->head.mod.sub);
    totals->versions += walker->head.mod.main > walker->store->floor;
    if (walker->head.is_tombstone)
        return ERR_OK;
    totals->large += !walker->head.is_inline;
    if (!walker->is_first)
        return ERR_OK;
    struct bytes system = BYTES_LITERAL(KV_SYSTEM_PREFIX);
    totals->live_user_keys += !bytes_starts_with(buf_bytes(&walker->key), system);
    totals->live_other += !names_covers(buf_bytes(&walker->key));
    totals->leased += walker->head.lease != 0;
    return ERR_OK;
}

static enum err_code versions_check(struct walker *walker, struct totals *totals, struct err *err)
{
    enum err_code code = ERR_OK;
    seek_column(walker, COLUMN_KEY);
    for (; !code && in_column(walker, COLUMN_KEY); view_iterator_next(walker->iterator))
        code = version_check(walker, totals, err);
    batch_clear(walker->store->batch);
    return code ? code : view_iterator_status(walker->iterator, err);
}

/* Each value row has one owner, or as many as the row behind it says. */
static enum err_code owners_count(struct walker *walker, struct totals *totals, struct err *err)
{
    seek_column(walker, COLUMN_VALUE);
    for (; in_column(walker, COLUMN_VALUE); view_iterator_next(walker->iterator)) {
        struct bytes key = view_iterator_key(walker->iterator);
        if (key.size == 1 + REVISION_SIZE) {
            totals->owners++;
            continue;
        }
        struct cursor cursor = cursor_of(view_iterator_value(walker->iterator));
        uint64_t owners = cursor_varint(&cursor);
        if (cursor.failed || owners < 2)
            return err_set(err, ERR_CORRUPT, "a value row's owners do not decode");
        totals->owners += owners - 1;
    }
    return view_iterator_status(walker->iterator, err);
}

static enum err_code column_count(struct walker *walker, enum column column, uint64_t *ret,
                                  struct err *err)
{
    seek_column(walker, column);
    for (; in_column(walker, column); view_iterator_next(walker->iterator))
        (*ret)++;
    return view_iterator_status(walker->iterator, err);
}

static enum err_code changes_count(struct walker *walker, uint64_t *ret, struct err *err)
{
    struct change_cursor cursor;
    struct change_row row;
    change_cursor_init(&cursor, &walker->view, (struct revision){walker->store->floor + 1, 0});
    enum err_code code;
    while (!(code = change_cursor_next(&cursor, &walker->arena, &row, err))) {
        arena_clear(&walker->arena);
        (*ret)++;
    }
    change_cursor_release(&cursor);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static enum err_code equal(const char *what, uint64_t left, uint64_t right, struct err *err)
{
    if (left == right)
        return ERR_OK;
    return err_set(err, ERR_CORRUPT, "%s: %llu and %llu", what, (unsigned long long)left,
                   (unsigned long long)right);
}

static enum err_code totals_check(struct store *store, const struct totals *totals, struct err *err)
{
    uint64_t used, keys;
    quota_get(store->quota, &used, &keys);
    enum err_code code =
        equal("versions and revisions", totals->versions, totals->changes, err);
    if (!code)
        code = equal("large values and their owners", totals->large, totals->owners, err);
    if (!code)
        code = equal("keys without a name and head rows", totals->live_other, totals->heads, err);
    if (!code)
        code = equal("keys with a lease and their rows", totals->leased, totals->hanging, err);
    return code ? code : equal("live keys and their count", totals->live_user_keys, keys, err);
}

enum err_code store_validate(struct store *store, struct err *err)
{
    struct walker walker;
    struct totals totals = {0};
    if (store->death)
        return store_dead(store, err);
    walker_init(&walker, store);
    enum err_code code = versions_check(&walker, &totals, err);
    if (!code)
        code = owners_count(&walker, &totals, err);
    if (!code)
        code = changes_count(&walker, &totals.changes, err);
    if (!code)
        code = column_count(&walker, COLUMN_HEAD, &totals.heads, err);
    if (!code)
        code = lease_rows_validate(&walker.view, store->batch, &totals.hanging, err);
    batch_clear(store->batch);
    if (!code)
        code = totals_check(store, &totals, err);
    walker_release(&walker);
    return code;
}
