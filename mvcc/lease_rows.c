/* Column l: 'l', id (big endian) -> the lease; 'l', id, key -> nothing. A lease's row stands right before
 * those of its keys, which stand in byte order: an end is one seek and a walk. */
#include "mvcc/lease_rows.h"

#include "mvcc/store_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

#define ROW_KEY_SIZE 9
#define MS_PER_S 1000

static_assert(LEASE_TTL_MAX_S <= INT64_MAX / NS_PER_S, "deadlines are counted in nanoseconds");

/* ---- rows ---- */

static struct bytes row_key(uint8_t to[ROW_KEY_SIZE], int64_t id)
{
    to[0] = COLUMN_LEASE;
    put_be64(to + 1, (uint64_t)id);
    return bytes_of(to, ROW_KEY_SIZE);
}

/* Until the next use of the batch's scratch. */
static struct bytes attachment_key(struct batch *batch, int64_t id, struct bytes key)
{
    uint8_t prefix[ROW_KEY_SIZE];
    struct buf *row = batch_scratch(batch);
    buf_append(row, row_key(prefix, id));
    buf_append(row, key);
    return buf_bytes(row);
}

static int64_t id_of(struct bytes row)
{
    return (int64_t)get_be64(row.data + 1);
}

static void row_put(struct batch *batch, int64_t id, const struct lease_row *row)
{
    uint8_t key[ROW_KEY_SIZE];
    struct buf value = {0};
    buf_append_varint(&value, (uint64_t)row->ttl_s);
    buf_append_le64(&value, (uint64_t)row->granted);
    buf_append_le64(&value, (uint64_t)row->renewed);
    buf_append_varint(&value, row->renewal);
    batch_put(batch, row_key(key, id), buf_bytes(&value));
    buf_release(&value);
}

static enum err_code row_decode(int64_t id, struct bytes value, struct lease_row *ret,
                                struct err *err)
{
    struct cursor cursor = cursor_of(value);
    struct lease_row row = {.ttl_s = (int64_t)cursor_varint(&cursor)};
    row.granted = (kv_time)cursor_le64(&cursor);
    row.renewed = (kv_time)cursor_le64(&cursor);
    row.renewal = cursor_varint(&cursor);
    if (cursor.failed || cursor.rest.size || row.ttl_s < 1 || row.ttl_s > LEASE_TTL_MAX_S)
        return err_set(err, ERR_CORRUPT, "lease %lld of the store does not decode", (long long)id);
    *ret = row;
    return ERR_OK;
}

static enum err_code not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "requested lease not found");
}

enum err_code lease_row_get(struct batch *batch, int64_t id, struct lease_row *ret,
                            struct err *err)
{
    uint8_t key[ROW_KEY_SIZE];
    struct bytes value;
    enum err_code code = batch_get(batch, row_key(key, id), &value, err);
    if (code)
        return code == ERR_NOT_FOUND ? not_found(err) : code;
    return row_decode(id, value, ret, err);
}

void lease_rows_moved(struct batch *batch, struct bytes key, int64_t from, int64_t to)
{
    if (from == to)
        return;
    if (from)
        batch_delete(batch, attachment_key(batch, from, key));
    if (to)
        batch_put(batch, attachment_key(batch, to, key), BYTES_EMPTY);
}

/* ---- entries ---- */

static int64_t raised(const struct txn *txn, int64_t ttl_s)
{
    uint64_t election_ms = config_current(txn->config)->election_ms;
    int64_t least = (int64_t)((election_ms + election_ms / 2 + MS_PER_S - 1) / MS_PER_S);
    if (least < LEASE_TTL_MIN_S)
        least = LEASE_TTL_MIN_S;
    return ttl_s < least ? least : ttl_s;
}

static enum err_code grant_check(struct txn *txn, const struct kv_lease *request, struct err *err)
{
    struct lease_row row;
    if (request->id == 0)
        return err_set(err, ERR_INVALID, "lease is not provided");
    if (request->ttl_s > LEASE_TTL_MAX_S)
        return err_set(err, ERR_TOO_BIG, "too large lease TTL");
    enum err_code code = lease_row_get(txn->batch, request->id, &row, err);
    if (code != ERR_NOT_FOUND)
        return code ? code : err_set(err, ERR_EXISTS, "lease already exists");
    code = alarm_check(txn->store, true, err);
    if (code)
        return code;
    return quota_check(txn->quota, config_current(txn->config)->quota_limit, LEASE_BYTES, false,
                       err);
}

enum err_code lease_rows_grant(struct txn *txn, const struct kv_lease *request, raft_index index,
                               struct lease_change *ret_change, struct err *err)
{
    enum err_code code = grant_check(txn, request, err);
    if (code)
        return code;
    struct lease_row row = {.ttl_s = raised(txn, request->ttl_s),
                            .granted = txn->time,
                            .renewed = txn->time,
                            .renewal = index};
    row_put(txn->batch, request->id, &row);
    quota_charge(txn->quota, LEASE_BYTES);
    *ret_change = (struct lease_change){LEASE_GRANTED, request->id, row.ttl_s, index};
    return ERR_OK;
}

enum err_code lease_rows_renew(struct txn *txn, int64_t id, raft_index index,
                               struct lease_change *ret_change, struct err *err)
{
    struct lease_row row;
    enum err_code code = lease_row_get(txn->batch, id, &row, err);
    if (code)
        return code;
    row.renewed = txn->time;
    row.renewal = index;
    row_put(txn->batch, id, &row);
    *ret_change = (struct lease_change){LEASE_RENEWED, id, row.ttl_s, index};
    return ERR_OK;
}

struct hanging {
    struct hanging *next;
    struct bytes key;
};

/* The keys of a lease, in arena, before anything is written. */
static enum err_code keys_gather(const struct view *view, int64_t id, struct arena *arena,
                                 struct hanging **ret, size_t *ret_count, struct err *err)
{
    uint8_t prefix[ROW_KEY_SIZE];
    struct view_iterator *iterator = view_iterator_new(view);
    struct bytes row;
    *ret = NULL;
    *ret_count = 0;
    view_iterator_seek(iterator, row_key(prefix, id));
    for (; view_iterator_valid(iterator); view_iterator_next(iterator)) {
        row = view_iterator_key(iterator);
        if (!bytes_starts_with(row, bytes_of(prefix, ROW_KEY_SIZE)))
            break;
        if (row.size == ROW_KEY_SIZE)
            continue;
        struct hanging *one = ARENA_NEW(arena, struct hanging);
        one->key = arena_copy(arena, bytes_skip(row, ROW_KEY_SIZE));
        *ret = one;
        ret = &one->next;
        (*ret_count)++;
    }
    enum err_code code = view_iterator_status(iterator, err);
    view_iterator_free(iterator);
    return code;
}

/* A record goes with its key, and may have hung on the lease itself: then it is gone already, and its
 * row with it. */
static enum err_code key_end(struct txn *txn, struct bytes key, int64_t id, struct err *err)
{
    struct head head;
    enum err_code code = txn_head(txn, key, &head, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    if (head.lease != id)
        return err_set(err, ERR_CORRUPT, "key '%.*s' does not hang on lease %lld", (int)key.size,
                       (const char *)key.data, (long long)id);
    return txn_delete_key(txn, key, &head, true, err);
}

enum err_code lease_rows_revoke(struct txn *txn, int64_t id, struct lease_change *ret_change,
                                struct err *err)
{
    uint8_t key[ROW_KEY_SIZE];
    struct lease_row row;
    struct hanging *first;
    size_t count;
    enum err_code code = lease_row_get(txn->batch, id, &row, err);
    if (!code)
        code = keys_gather(&txn->view, id, &txn->arena, &first, &count, err);
    if (code)
        return code;
    for (const struct hanging *one = MUTANT(LEASE_LEAVES_KEYS) ? NULL : first; one && !code;
         one = one->next)
        code = key_end(txn, one->key, id, err);
    CHECK(code == ERR_OK || err_kind(code) == ERR_KIND_FAULT);
    if (code)
        return code;
    batch_delete(txn->batch, row_key(key, id));
    quota_charge(txn->quota, -LEASE_BYTES);
    *ret_change = (struct lease_change){LEASE_ENDED, id, row.ttl_s, row.renewal};
    return ERR_OK;
}

enum err_code lease_rows_expire(struct txn *txn, int64_t id, raft_index renewal,
                                struct lease_change *ret_change, struct err *err)
{
    struct lease_row row;
    enum err_code code = lease_row_get(txn->batch, id, &row, err);
    bool was_renewed = !code && row.renewal != renewal && !MUTANT(LEASE_ENDS_UNSEEN);
    if (code == ERR_NOT_FOUND || was_renewed) {
        *ret_change = (struct lease_change){.event = LEASE_NONE, .id = id};
        return ERR_OK;
    }
    return code ? code : lease_rows_revoke(txn, id, ret_change, err);
}

enum err_code lease_rows_repeat(struct txn *txn, const struct kv_lease *request, bool is_grant,
                                struct lease_change *ret_change, struct err *err)
{
    struct lease_row row;
    enum err_code code = lease_row_get(txn->batch, request->id, &row, err);
    if (code && !(code == ERR_NOT_FOUND && is_grant))
        return code;
    *ret_change = (struct lease_change){.id = request->id,
                                        .ttl_s = code ? raised(txn, request->ttl_s) : row.ttl_s};
    return ERR_OK;
}

/* ---- reading ---- */

enum err_code lease_rows_read(const struct view *view, int64_t id, bool want_keys,
                              struct arena *arena, struct kv_lease_result *ret,
                              kv_time *ret_renewed, struct err *err)
{
    uint8_t key[ROW_KEY_SIZE];
    struct bytes value;
    struct lease_row row;
    struct hanging *first = NULL;
    size_t count = 0;
    enum err_code code = view_get(view, row_key(key, id), arena, &value, err);
    if (code)
        return code == ERR_NOT_FOUND ? not_found(err) : code;
    code = row_decode(id, value, &row, err);
    if (!code && want_keys)
        code = keys_gather(view, id, arena, &first, &count, err);
    if (code)
        return code;
    *ret = (struct kv_lease_result){.id = id, .granted_ttl_s = row.ttl_s, .key_count = count};
    *ret_renewed = row.renewed;
    if (count)
        ret->keys = ARENA_NEW_ARRAY(arena, struct bytes, count);
    for (size_t i = 0; first; first = first->next)
        ret->keys[i++] = first->key;
    return ERR_OK;
}

void lease_cursor_init(struct lease_cursor *cursor, const struct view *view)
{
    static const uint8_t first = COLUMN_LEASE;
    *cursor = (struct lease_cursor){.iterator = view_iterator_new(view)};
    view_iterator_seek(cursor->iterator, bytes_of(&first, 1));
}

/* Past the keys of the lease it stands on: to the least row of the next id. */
static bool skip_keys(struct lease_cursor *cursor)
{
    uint8_t next[ROW_KEY_SIZE];
    if (!cursor->found)
        return true;
    if ((uint64_t)cursor->id == UINT64_MAX)
        return false;
    view_iterator_seek(cursor->iterator, row_key(next, (int64_t)((uint64_t)cursor->id + 1)));
    return true;
}

enum err_code lease_cursor_next(struct lease_cursor *cursor, struct err *err)
{
    bool more = skip_keys(cursor);
    cursor->found = false;
    if (!more || !view_iterator_valid(cursor->iterator))
        return view_iterator_status(cursor->iterator, err);
    struct bytes row = view_iterator_key(cursor->iterator);
    if (row.data[0] != COLUMN_LEASE)
        return ERR_OK;
    if (row.size != ROW_KEY_SIZE)
        return err_set(err, ERR_CORRUPT, "a row of column 'l' of the store belongs to no lease");
    cursor->id = id_of(row);
    cursor->found = true;
    return row_decode(cursor->id, view_iterator_value(cursor->iterator), &cursor->row, err);
}

void lease_cursor_release(struct lease_cursor *cursor)
{
    view_iterator_free(cursor->iterator);
}

enum err_code lease_rows_list(const struct view *view, struct arena *arena,
                              struct kv_lease_result *ret, struct err *err)
{
    struct lease_cursor cursor;
    struct buf ids = {0};
    enum err_code code;
    lease_cursor_init(&cursor, view);
    while (!(code = lease_cursor_next(&cursor, err)) && cursor.found)
        buf_append(&ids, bytes_of(&cursor.id, sizeof(cursor.id)));
    lease_cursor_release(&cursor);
    if (!code) {
        *ret = (struct kv_lease_result){.id_count = ids.size / sizeof(int64_t)};
        ret->ids = ARENA_NEW_ARRAY(arena, int64_t, ret->id_count);
        if (ids.size)
            memcpy(ret->ids, ids.data, ids.size);
    }
    buf_release(&ids);
    return code;
}

/* ---- whether the rows fit ---- */

static enum err_code key_check(struct batch *batch, int64_t id, bool has_lease, struct bytes key,
                               struct err *err)
{
    struct head head;
    enum err_code code = index_head(batch, key, &head, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    if (!code && head.lease == id && has_lease)
        return ERR_OK;
    return err_set(err, ERR_CORRUPT, "key '%.*s' has a row of lease %lld and does not hang on it",
                   (int)key.size, (const char *)key.data, (long long)id);
}

enum err_code lease_rows_validate(const struct view *view, struct batch *batch, uint64_t *ret_keys,
                                  struct err *err)
{
    static const uint8_t first = COLUMN_LEASE;
    struct view_iterator *iterator = view_iterator_new(view);
    struct lease_row lease;
    int64_t current = 0;
    bool has_lease = false;
    enum err_code code = ERR_OK;
    *ret_keys = 0;
    view_iterator_seek(iterator, bytes_of(&first, 1));
    for (; !code && view_iterator_valid(iterator); view_iterator_next(iterator)) {
        struct bytes row = view_iterator_key(iterator);
        if (row.data[0] != COLUMN_LEASE)
            break;
        if (row.size < ROW_KEY_SIZE) {
            code = err_set(err, ERR_CORRUPT, "a row of column 'l' of the store does not decode");
        } else if (row.size == ROW_KEY_SIZE) {
            current = id_of(row);
            has_lease = true;
            code = row_decode(current, view_iterator_value(iterator), &lease, err);
        } else {
            code = key_check(batch, id_of(row), has_lease && id_of(row) == current,
                             bytes_skip(row, ROW_KEY_SIZE), err);
            (*ret_keys)++;
        }
    }
    if (!code)
        code = view_iterator_status(iterator, err);
    view_iterator_free(iterator);
    return code;
}
