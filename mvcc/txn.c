/* A txn in four steps: decide the paths of all levels on the state before it, refuse what can be refused
 * along those paths, write, answer. Nothing is written before everything was found possible, so there is
 * nothing to take back (etcd panics there; server/etcdserver/txn/txn.go).
 *
 * A change of one key is four rows, most of them points that were read before: the version (k), its
 * revision (r), a large value (v), and the key's newest head, which stands in its name's row (d) or, for
 * keys without a name, in a row of its own (h).
 */
#include "mvcc/txn.h"

#include "mvcc/lease_rows.h"
#include "mvcc/names.h"
#include "mvcc/range.h"
#include "mvcc/rename.h"
#include "mvcc/store_internal.h"
#include "mvcc/system.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

/* ---- primitives ---- */

/* Which record a key in the system range is, and of which key. */
static bool is_record(struct bytes key, enum names_record *ret_which, struct bytes *ret_of)
{
    struct bytes meta = BYTES_LITERAL(KV_META_PREFIX), directory = BYTES_LITERAL(KV_DIR_PREFIX);
    bool is_meta = bytes_starts_with(key, meta);
    if (!is_meta && !bytes_starts_with(key, directory))
        return false;
    *ret_which = is_meta ? NAMES_META : NAMES_DIRECTORY;
    *ret_of = bytes_skip(key, is_meta ? meta.size : directory.size);
    return true;
}

static enum err_code system_changed(struct txn *txn, struct bytes key, const struct head *old,
                                    const struct head *now, const struct bytes *value,
                                    struct err *err)
{
    enum names_record which;
    struct bytes of;
    struct names_change change = {.changes = KV_CHANGED_META};
    index_head_set(txn->batch, key, now);
    system_key_changed(txn, key, value);
    if (!is_record(key, &which, &of))
        return ERR_OK;
    change.top = of.size;
    enum err_code code =
        names_record_changed(txn->batch, which, of, old, now, value ? *value : BYTES_EMPTY,
                             txn->main, txn->time, &change, err);
    if (!code)
        store_note_change(txn->store, of, &change, txn->main);
    return code;
}

static enum err_code user_changed(struct txn *txn, struct bytes key, const struct head *old,
                                  const struct head *now, struct err *err)
{
    struct names_change change = {KV_CHANGED_VALUE, key.size};
    if (!names_covers(key))
        index_head_set(txn->batch, key, now);
    quota_count_keys(txn->quota, (now ? 1 : 0) - (old ? 1 : 0));
    enum err_code code = names_key_changed(txn->batch, key, old, now, txn->main, txn->time,
                                           &change, err);
    if (!code)
        store_note_change(txn->store, key, &change, txn->main);
    return code;
}

/* head is filled in but for what follows from old. value: the bytes, also where they are not written
 * again, for whoever listens in the system range. */
static enum err_code version_put(struct txn *txn, struct bytes key, const struct head *old,
                                 struct head *head, struct bytes value, struct err *err)
{
    head->create_revision = old ? old->create_revision : txn->main;
    head->create_time = old ? old->create_time : txn->time;
    head->version = old ? old->version + 1 : 1;
    head->mod_time = txn->time;
    bool owns = revision_compare(head->place, head->mod) == 0;
    enum err_code code = index_put(txn->batch, key, head, owns ? value : BYTES_EMPTY, err);
    if (code)
        return code;
    written_note(&txn->store->written, key, head, old, value);
    quota_charge(txn->quota, (int64_t)version_bytes(key, head));
    lease_rows_moved(txn->batch, key, old ? old->lease : 0, head->lease);
    if (system_is_inside(key))
        return system_changed(txn, key, old, head, &value, err);
    return user_changed(txn, key, old, head, err);
}

static struct revision next_revision(struct txn *txn)
{
    return (struct revision){txn->main, txn->sub++};
}

enum err_code txn_put_key(struct txn *txn, struct bytes key, struct bytes value, int64_t lease,
                          const struct head *old, struct err *err)
{
    struct revision mod = next_revision(txn);
    struct head head = {.mod = mod,
                        .place = mod,
                        .size = value.size,
                        .lease = lease,
                        .is_inline = value.size <= VALUE_INLINE_MAX};
    return version_put(txn, key, old, &head, value, err);
}

enum err_code txn_put_moved(struct txn *txn, struct bytes key, const struct head *old,
                            struct bytes from_key, const struct head *from, struct err *err)
{
    struct bytes value = BYTES_EMPTY;
    CHECK(!from->is_tombstone);
    if (from->is_inline || system_is_inside(key)) {
        enum err_code code = index_value(&txn->view, from_key, from, &txn->arena, &value, err);
        if (code)
            return code;
    }
    struct revision mod = next_revision(txn);
    struct head head = {.mod = mod,
                        .place = from->is_inline ? mod : from->place,
                        .size = from->size,
                        .lease = from->lease,
                        .is_inline = from->is_inline};
    return version_put(txn, key, old, &head, value, err);
}

enum err_code txn_delete_key(struct txn *txn, struct bytes key, const struct head *old,
                             bool with_meta, struct err *err)
{
    CHECK(old && !old->is_tombstone);
    struct head head = {.mod = next_revision(txn), .mod_time = txn->time, .is_tombstone = true};
    index_put_tombstone(txn->batch, key, head.mod, txn->time);
    written_note(&txn->store->written, key, &head, old, BYTES_EMPTY);
    quota_charge(txn->quota, (int64_t)key.size);
    lease_rows_moved(txn->batch, key, old->lease, 0);
    if (system_is_inside(key))
        return system_changed(txn, key, old, NULL, NULL, err);
    enum err_code code = user_changed(txn, key, old, NULL, err);
    return code || !with_meta ? code : system_key_deleted(txn, key, err);
}

/* ---- deciding ---- */

/* The chosen way through a txn: for each of its operations that is a txn, the way through that. */
struct path {
    const struct kv_op *ops;
    size_t op_count;
    bool succeeded;
    struct path *nested;                /* op_count of them; NULL when no operation is a txn */
};

static bool number_holds(enum kv_compare_result result, int64_t have, int64_t want)
{
    switch (result) {
    case KV_EQUAL:
        return have == want;
    case KV_GREATER:
        return have > want;
    case KV_LESS:
        return have < want;
    case KV_NOT_EQUAL:
        return have != want;
    }
    return false;
}

static int64_t number_of(enum kv_compare_target target, const struct head *head)
{
    if (!head)
        return 0;
    switch (target) {
    case KV_COMPARE_VERSION:
        return head->version;
    case KV_COMPARE_CREATE:
        return head->create_revision;
    case KV_COMPARE_MOD:
        return head->mod.main;
    case KV_COMPARE_LEASE:
        return head->lease;
    case KV_COMPARE_VALUE:
        break;
    }
    return 0;
}

/* head NULL: the key is missing. */
static enum err_code one_holds(struct txn *txn, const struct kv_compare *compare, struct bytes key,
                               const struct head *head, bool *ret, struct err *err)
{
    struct bytes value;
    if (compare->target != KV_COMPARE_VALUE) {
        *ret = number_holds(compare->result, number_of(compare->target, head), compare->number);
        return ERR_OK;
    }
    *ret = false;
    if (!head)
        return ERR_OK;
    enum err_code code = index_value(&txn->view, key, head, &txn->arena, &value, err);
    if (!code)
        *ret = number_holds(compare->result, bytes_compare(value, compare->value), 0);
    return code;
}

/* Whether every live key satisfies it, whichever it is: then the first one decides a range. */
static bool holds_for_any(const struct kv_compare *compare)
{
    bool is_above_zero = compare->target == KV_COMPARE_VERSION ||
                         compare->target == KV_COMPARE_CREATE || compare->target == KV_COMPARE_MOD;
    return is_above_zero && compare->number <= 0 &&
           (compare->result == KV_GREATER || compare->result == KV_NOT_EQUAL);
}

static enum err_code range_holds(struct txn *txn, const struct kv_compare *compare,
                                 struct index_cursor *cursor, bool *ret, struct err *err)
{
    enum err_code code = range_next(cursor, compare->key, err);
    if (code)
        return code;
    if (!cursor->found)
        return one_holds(txn, compare, compare->key, NULL, ret, err);
    do {
        code = one_holds(txn, compare, index_cursor_key(cursor), &cursor->head, ret, err);
        if (code || !*ret || holds_for_any(compare))
            return code;
        code = range_next(cursor, compare->key, err);
    } while (!code && cursor->found);
    return code;
}

static enum err_code compare_holds(struct txn *txn, const struct kv_compare *compare, bool *ret,
                                   struct err *err)
{
    struct head head;
    enum err_code code;
    if (compare->range_end.size == 0) {
        code = txn->at ? index_get(&txn->view, compare->key, txn->at, &txn->arena, &head, NULL, err)
                       : txn_head(txn, compare->key, &head, err);
        if (code && code != ERR_NOT_FOUND)
            return code;
        return one_holds(txn, compare, compare->key, code ? NULL : &head, ret, err);
    }
    struct index_cursor cursor;
    index_cursor_init(&cursor, &txn->view, compare->key, compare->range_end,
                      txn->at ? txn->at : txn->main);
    code = range_holds(txn, compare, &cursor, ret, err);
    index_cursor_release(&cursor);
    return code;
}

static enum err_code decide(struct txn *txn, const struct kv_txn *request, struct path *ret,
                            struct err *err)
{
    bool holds = true;
    for (size_t i = 0; i < request->compare_count && holds; i++) {
        enum err_code code = compare_holds(txn, &request->compares[i], &holds, err);
        if (code)
            return code;
    }
    *ret = (struct path){.succeeded = holds,
                         .ops = holds ? request->success : request->failure,
                         .op_count = holds ? request->success_count : request->failure_count};
    for (size_t i = 0; i < ret->op_count; i++) {
        if (ret->ops[i].kind != KV_OP_TXN)
            continue;
        if (!ret->nested)
            ret->nested = ARENA_NEW_ARRAY(&txn->arena, struct path, ret->op_count);
        enum err_code code = decide(txn, &ret->ops[i].txn, &ret->nested[i], err);
        if (code)
            return code;
    }
    return ERR_OK;
}

/* ---- refusing ---- */

struct weight {
    uint64_t bytes;                     /* what the txn adds to the quota, at most */
    bool has_put, frees;
    bool has_content;                   /* more than small records of the system range */
};

static enum err_code check_put(struct txn *txn, const struct kv_put *put, struct weight *weight,
                               struct err *err)
{
    struct head old = {0};
    if (put->key.size > KEY_SIZE_MAX + sizeof(KV_META_PREFIX))
        return err_set(err, ERR_TOO_BIG, "request is too large");
    if (!system_is_inside(put->key) &&
        put->value.size > config_current(txn->config)->file_size_max)
        return err_set(err, ERR_TOO_BIG, "request is too large");
    if (put->lease && !put->ignore_lease) {
        struct lease_row row;
        enum err_code code = lease_row_get(txn->batch, put->lease, &row, err);
        if (code)
            return code;
    }
    if (put->ignore_value || put->ignore_lease) {
        enum err_code code = txn_head(txn, put->key, &old, err);
        if (code == ERR_NOT_FOUND)
            return err_set(err, ERR_INVALID, "key not found");
        if (code)
            return code;
    }
    bool is_small = system_is_inside(put->key) && put->value.size <= VALUE_INLINE_MAX;
    /* A setting is always let in: one of them raises the quota. */
    weight->has_put |= !bytes_starts_with(put->key, BYTES_LITERAL(KV_CONFIG_PREFIX));
    weight->has_content |= !is_small;
    weight->bytes += put->key.size;
    if (!put->ignore_value)
        weight->bytes += put->value.size;
    else if (old.is_inline)
        weight->bytes += old.size;
    if (put->ignore_value && system_is_inside(put->key))
        return err_set(err, ERR_INVALID, "value of a system key is not provided");
    return system_check_write(txn->privileged, put->key, &put->value, err);
}

static enum err_code check_delete(struct txn *txn, const struct kv_delete *del,
                                  struct weight *weight, struct err *err)
{
    weight->frees = true;
    return system_check_write(txn->privileged, del->key, NULL, err);
}

static enum err_code check_rename(struct txn *txn, const struct kv_rename *rename,
                                  struct weight *weight, struct err *err)
{
    uint64_t bytes = 0;
    enum err_code code = rename_validate(txn, rename, &bytes, err);
    weight->bytes += bytes;
    weight->has_put = weight->has_content = true;
    return code;
}

static enum err_code check_path(struct txn *txn, const struct path *path, struct weight *weight,
                                struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < path->op_count && !code; i++) {
        const struct kv_op *op = &path->ops[i];
        switch (op->kind) {
        case KV_OP_RANGE:
            code = range_check_revision(op->range.revision, txn->floor, txn->main - 1, err);
            break;
        case KV_OP_PUT:
            code = check_put(txn, &op->put, weight, err);
            break;
        case KV_OP_DELETE:
            code = check_delete(txn, &op->del, weight, err);
            break;
        case KV_OP_RENAME:
            code = check_rename(txn, &op->rename, weight, err);
            break;
        case KV_OP_TXN:
            code = check_path(txn, &path->nested[i], weight, err);
            break;
        }
    }
    return code;
}

/* ---- writing and answering ---- */

/* What a caller hears of a live version, value included, in arena. */
static enum err_code item_of(struct txn *txn, struct bytes key, const struct head *head,
                             struct arena *arena, struct kv_item *ret, struct err *err)
{
    range_item(ret, arena_copy(arena, key), head, false);
    return index_value(&txn->view, key, head, arena, &ret->value, err);
}

static enum err_code do_put(struct txn *txn, const struct kv_put *put, bool want,
                            struct arena *arena, struct kv_op_result *ret, struct err *err)
{
    struct head old;
    enum err_code code = txn_head(txn, put->key, &old, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    bool has_old = !code;
    if (want && put->want_previous && has_old) {
        ret->put.has_previous = true;
        code = item_of(txn, put->key, &old, arena, &ret->put.previous, err);
        if (code)
            return code;
    }
    /* Something earlier in this txn may have removed the key that was there when it was checked. */
    int64_t lease = put->ignore_lease && has_old ? old.lease : put->lease;
    if (put->ignore_value && has_old) {
        struct head kept = old;
        kept.lease = lease;
        return txn_put_moved(txn, put->key, &old, put->key, &kept, err);
    }
    return txn_put_key(txn, put->key, put->value, lease, has_old ? &old : NULL, err);
}

struct doomed {
    struct doomed *next;
    struct bytes key;
    struct head head;
};

/* What a delete hits, gathered before anything is written. */
static enum err_code doomed_gather(struct txn *txn, const struct kv_delete *del,
                                   struct doomed **ret, int64_t *ret_count, struct err *err)
{
    struct index_cursor cursor;
    enum err_code code;
    *ret_count = 0;
    index_cursor_init(&cursor, &txn->view, del->key, del->range_end, txn->main);
    while (!(code = range_next(&cursor, del->key, err)) && cursor.found) {
        struct doomed *one = ARENA_NEW(&txn->arena, struct doomed);
        one->key = arena_copy(&txn->arena, index_cursor_key(&cursor));
        one->head = cursor.head;
        *ret = one;
        ret = &one->next;
        (*ret_count)++;
    }
    index_cursor_release(&cursor);
    return code;
}

static enum err_code doomed_one(struct txn *txn, struct bytes key, struct doomed **ret,
                                int64_t *ret_count, struct err *err)
{
    struct head head;
    enum err_code code = txn_head(txn, key, &head, err);
    *ret_count = 0;
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    *ret = ARENA_NEW(&txn->arena, struct doomed);
    (*ret)->key = key;
    (*ret)->head = head;
    *ret_count = 1;
    return ERR_OK;
}

static enum err_code do_delete(struct txn *txn, const struct kv_delete *del, bool want,
                               struct arena *arena, struct kv_op_result *ret, struct err *err)
{
    struct doomed *first = NULL;
    int64_t count, i = 0;
    enum err_code code = del->range_end.size ? doomed_gather(txn, del, &first, &count, err)
                                             : doomed_one(txn, del->key, &first, &count, err);
    if (code)
        return code;
    ret->del.deleted = count;
    bool want_previous = want && del->want_previous;
    if (want_previous)
        ret->del.previous = ARENA_NEW_ARRAY(arena, struct kv_item, (size_t)count);
    for (struct doomed *one = first; one && !code; one = one->next, i++) {
        if (MUTANT(DELETE_MISSES_LAST) && !one->next && del->range_end.size)
            break;
        if (want_previous)
            code = item_of(txn, one->key, &one->head, arena, &ret->del.previous[i], err);
        if (!code)
            code = txn_delete_key(txn, one->key, &one->head, true, err);
    }
    return code;
}

/* Ranges are read for whoever waits alone: the others' answer is thrown away. */
static enum err_code do_range(struct txn *txn, const struct kv_range *range, bool want,
                              struct arena *arena, struct kv_op_result *ret, struct err *err)
{
    if (!want)
        return ERR_OK;
    kv_rev at = range->revision ? range->revision : txn->main;
    return range_read(&txn->view, range, at, arena, &ret->range, err);
}

static enum err_code do_path(struct txn *txn, const struct path *path, bool want,
                             struct arena *arena, struct kv_txn_result *ret, struct err *err)
{
    enum err_code code = ERR_OK;
    *ret = (struct kv_txn_result){.succeeded = path->succeeded, .count = path->op_count};
    ret->results = ARENA_NEW_ARRAY(arena, struct kv_op_result, path->op_count);
    for (size_t i = 0; i < path->op_count && !code; i++) {
        const struct kv_op *op = &path->ops[i];
        struct kv_op_result *result = &ret->results[i];
        result->kind = op->kind;
        switch (op->kind) {
        case KV_OP_RANGE:
            code = do_range(txn, &op->range, want, arena, result, err);
            break;
        case KV_OP_PUT:
            code = do_put(txn, &op->put, want, arena, result, err);
            break;
        case KV_OP_DELETE:
            code = do_delete(txn, &op->del, want, arena, result, err);
            break;
        case KV_OP_RENAME:
            code = rename_apply(txn, &op->rename, &result->rename.moved, err);
            break;
        case KV_OP_TXN:
            code = do_path(txn, &path->nested[i], want, arena, &result->txn, err);
            break;
        }
    }
    return code;
}

static enum err_code check_quota(struct txn *txn, const struct weight *weight, struct err *err)
{
    if (!weight->has_put)
        return ERR_OK;
    return quota_check(txn->quota, config_current(txn->config)->quota_limit, weight->bytes,
                       weight->frees || !weight->has_content, err);
}

enum err_code txn_apply(struct txn *txn, const struct kv_txn *request, bool want,
                        struct arena *arena, struct kv_txn_result *ret, struct err *err)
{
    struct path path;
    struct weight weight = {0};
    CHECK(txn->sub == 0);
    if (MUTANT(COMPARE_IS_STALE))
        txn->at = txn->store->revision;
    enum err_code code = alarm_check(txn->store, kv_txn_needs_room(request), err);
    if (!code)
        code = decide(txn, request, &path, err);
    if (!code)
        code = check_path(txn, &path, &weight, err);
    if (!code)
        code = check_quota(txn, &weight, err);
    if (code)
        return code;
    code = do_path(txn, &path, want, arena, ret, err);
    CHECK(code == ERR_OK || err_kind(code) == ERR_KIND_FAULT);
    return code;
}

/* ---- an answer given before, told again ---- */

/* The revisions around what happened; equal when it changed nothing. */
struct history {
    kv_rev before, after;
    bool wrote;                         /* an operation earlier in the txn wrote */
};

static enum err_code readable(struct txn *txn, kv_rev at, struct err *err)
{
    if (at >= txn->floor)
        return ERR_OK;
    return err_set(err, ERR_SESSION_LOST,
                   "the request was done, and its answer has been compacted since");
}

static enum err_code again_put(struct txn *txn, const struct kv_put *put,
                               const struct history *history, struct arena *arena,
                               struct kv_op_result *ret, struct err *err)
{
    struct head head;
    struct bytes value;
    if (!put->want_previous)
        return ERR_OK;
    enum err_code code = readable(txn, history->before, err);
    if (!code)
        code = index_get(&txn->view, put->key, history->before, arena, &head, &value, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    ret->put.has_previous = true;
    range_item(&ret->put.previous, arena_copy(arena, put->key), &head, false);
    ret->put.previous.value = value;
    return ERR_OK;
}

static enum err_code again_delete(struct txn *txn, const struct kv_delete *del,
                                  const struct history *history, struct arena *arena,
                                  struct kv_op_result *ret, struct err *err)
{
    struct kv_range range = {
        .key = del->key, .range_end = del->range_end, .count_only = !del->want_previous};
    struct kv_range_result found;
    enum err_code code = readable(txn, history->before, err);
    if (!code)
        code = range_read(&txn->view, &range, history->before, arena, &found, err);
    if (code)
        return code;
    ret->del.deleted = found.total;
    ret->del.previous = del->want_previous ? found.items : NULL;
    return ERR_OK;
}

static enum err_code again_range(struct txn *txn, const struct kv_range *range,
                                 const struct history *history, struct arena *arena,
                                 struct kv_op_result *ret, struct err *err)
{
    kv_rev at = range->revision  ? range->revision
                : history->wrote ? history->after
                                 : history->before;
    enum err_code code = readable(txn, at, err);
    return code ? code : range_read(&txn->view, range, at, arena, &ret->range, err);
}

static enum err_code again_path(struct txn *txn, const struct path *path, struct history *history,
                                struct arena *arena, struct kv_txn_result *ret, struct err *err)
{
    enum err_code code = ERR_OK;
    *ret = (struct kv_txn_result){.succeeded = path->succeeded, .count = path->op_count};
    ret->results = ARENA_NEW_ARRAY(arena, struct kv_op_result, path->op_count);
    for (size_t i = 0; i < path->op_count && !code; i++) {
        const struct kv_op *op = &path->ops[i];
        struct kv_op_result *result = &ret->results[i];
        result->kind = op->kind;
        switch (op->kind) {
        case KV_OP_RANGE:
            code = again_range(txn, &op->range, history, arena, result, err);
            break;
        case KV_OP_PUT:
            code = again_put(txn, &op->put, history, arena, result, err);
            break;
        case KV_OP_DELETE:
            code = again_delete(txn, &op->del, history, arena, result, err);
            break;
        case KV_OP_RENAME:
            code = readable(txn, history->before, err);
            if (!code)
                code = rename_count(&txn->view, &op->rename, history->before,
                                    &result->rename.moved, err);
            break;
        case KV_OP_TXN:
            code = again_path(txn, &path->nested[i], history, arena, &result->txn, err);
            break;
        }
        history->wrote = history->wrote || op->kind != KV_OP_RANGE;
    }
    return code;
}

static bool has_nested(const struct kv_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == KV_OP_TXN)
            return true;
    return false;
}

enum err_code txn_repeat(struct txn *txn, const struct kv_txn *request, bool succeeded,
                         kv_rev before, kv_rev after, struct arena *arena,
                         struct kv_txn_result *ret, struct err *err)
{
    struct history history = {.before = before, .after = after};
    struct path path = {.succeeded = succeeded,
                        .ops = succeeded ? request->success : request->failure,
                        .op_count = succeeded ? request->success_count : request->failure_count};
    if (has_nested(path.ops, path.op_count)) {
        enum err_code code = readable(txn, before, err);
        txn->at = before;
        if (!code)
            code = decide(txn, request, &path, err);
        if (code)
            return code;
        if (path.succeeded != succeeded)
            return err_set(err, ERR_CORRUPT, "a session's answer contradicts the store");
    }
    return again_path(txn, &path, &history, arena, ret, err);
}
