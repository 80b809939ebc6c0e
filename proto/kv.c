/* What etcd refuses before it proposes: api/v3rpc/key.go, its rules and its texts; and what needs room. */
#include "proto/kv.h"

#include "proto/base/limits.h"

#define OPS_TOTAL_MAX (4 * TXN_OPS_MAX)     /* over all levels; what an entry may hold */

void kv_prefix_end(struct buf *ret_end, struct bytes prefix)
{
    size_t size = prefix.size;
    while (size && prefix.data[size - 1] == 0xff)
        size--;
    buf_assign(ret_end, bytes_of(prefix.data, size));
    if (size)
        ret_end->data[size - 1]++;
    else
        buf_append_u8(ret_end, 0);
}

static enum err_code refuse(struct err *err, const char *text)
{
    return err_set(err, ERR_INVALID, "%s", text);
}

/* A record's key is longer than the key it describes. */
static enum err_code validate_key(struct bytes key, struct err *err)
{
    bool is_system = bytes_starts_with(key, BYTES_LITERAL(KV_SYSTEM_PREFIX));
    size_t max = KEY_SIZE_MAX + (is_system ? sizeof(KV_META_PREFIX) - 1 : 0);
    if (key.size == 0)
        return refuse(err, "key is not provided");
    if (key.size > max)
        return err_set(err, ERR_TOO_BIG, "key of %zu bytes is longer than %zu", key.size, max);
    return ERR_OK;
}

enum err_code kv_validate_range(const struct kv_range *range, struct err *err)
{
    enum err_code code = validate_key(range->key, err);
    if (code)
        return code;
    if ((unsigned)range->sort_order > KV_SORT_DESCEND ||
        (unsigned)range->sort_target > KV_SORT_VALUE)
        return refuse(err, "invalid sort option");
    return ERR_OK;
}

enum err_code kv_validate_watch(const struct kv_watch *watch, struct err *err)
{
    struct bytes end = watch->range_end;
    bool is_open = end.size == 1 && end.data[0] == 0;
    bool is_inside = bytes_starts_with(watch->key, BYTES_LITERAL(KV_SYSTEM_PREFIX));
    enum err_code code = validate_key(watch->key, err);
    if (code)
        return code;
    if (end.size && !is_open && bytes_compare(end, watch->key) <= 0)
        return refuse(err, "mvcc: watcher range is empty");
    if (is_inside && !watch->privileged)
        return err_set(err, ERR_DENIED, "permission denied");
    if (watch->start_revision < 0)
        return err_set(err, ERR_COMPACTED, "mvcc: required revision has been compacted");
    return ERR_OK;
}

static enum err_code validate_put(const struct kv_put *put, struct err *err)
{
    enum err_code code = validate_key(put->key, err);
    if (code)
        return code;
    if (put->ignore_value && put->value.size)
        return refuse(err, "value is provided");
    if (put->ignore_lease && put->lease)
        return refuse(err, "lease is provided");
    return ERR_OK;
}

static enum err_code validate_rename(const struct kv_rename *rename, struct err *err)
{
    enum err_code code = validate_key(rename->from, err);
    if (!code)
        code = validate_key(rename->to, err);
    if (code)
        return code;
    if (rename->replace && rename->exchange)
        return refuse(err, "rename cannot both replace and exchange");
    return ERR_OK;
}

static enum err_code validate_compare(const struct kv_compare *compare, struct err *err)
{
    if ((unsigned)compare->target > KV_COMPARE_LEASE || (unsigned)compare->result > KV_NOT_EQUAL)
        return refuse(err, "invalid compare");
    return validate_key(compare->key, err);
}

/* ---- one op at a time; what nests gets what its parents left (etcd: checkTxnRequest) ---- */

struct budget {
    size_t total;
    unsigned depth;
    struct err *err;
};

static enum err_code validate_txn_ops(struct budget *budget, const struct kv_txn *txn, size_t max);

static enum err_code validate_op(struct budget *budget, const struct kv_op *op, size_t max)
{
    enum err_code code;
    switch (op->kind) {
    case KV_OP_RANGE: return kv_validate_range(&op->range, budget->err);
    case KV_OP_PUT: return validate_put(&op->put, budget->err);
    case KV_OP_DELETE: return validate_key(op->del.key, budget->err);
    case KV_OP_RENAME: return validate_rename(&op->rename, budget->err);
    case KV_OP_TXN:
        if (budget->depth == TXN_DEPTH_MAX)
            return refuse(budget->err, "txn is nested too deep");
        budget->depth++;
        code = validate_txn_ops(budget, &op->txn, max);
        budget->depth--;
        return code;
    }
    return refuse(budget->err, "key not found");
}

static enum err_code validate_ops(struct budget *budget, const struct kv_op *ops, size_t count,
                                  size_t max)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < count && !code; i++)
        code = validate_op(budget, &ops[i], max);
    return code;
}

static size_t larger(size_t left, size_t right) { return left > right ? left : right; }

static enum err_code validate_txn_ops(struct budget *budget, const struct kv_txn *txn, size_t max)
{
    size_t widest = larger(txn->compare_count, larger(txn->success_count, txn->failure_count));
    size_t ops = txn->success_count + txn->failure_count;
    if (widest > max || larger(ops, txn->compare_count) > budget->total)
        return refuse(budget->err, "too many operations in txn request");
    budget->total -= larger(ops, txn->compare_count);
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < txn->compare_count && !code; i++)
        code = validate_compare(&txn->compares[i], budget->err);
    if (!code)
        code = validate_ops(budget, txn->success, txn->success_count, max - widest);
    if (!code)
        code = validate_ops(budget, txn->failure, txn->failure_count, max - widest);
    return code;
}

/* ---- no key is written twice (etcd: checkIntervals) ----
 *
 * Collected for one list of ops: the keys it puts, the intervals it deletes, and the intervals it
 * renames from and to. Two puts of a key, a put inside a delete or a rename, or two renames that touch
 * are refused, also across nesting; then and else of one nested txn exclude each other. A delete may
 * meet deletes and renames. Records are written beside the rename that moves them: no refusal. */

struct interval {
    struct bytes begin, end;        /* end: empty = the one key, "\0" = to the last */
    bool is_rename;
};

struct writes {
    struct bytes *puts;
    struct interval *intervals;
    size_t put_count, interval_count;
};

#define RENAME_INTERVALS 4          /* two sides; itself and what is below */

static bool interval_contains(const struct interval *interval, struct bytes key)
{
    if (interval->end.size == 0)
        return bytes_equal(interval->begin, key);
    return bytes_compare(interval->begin, key) <= 0 &&
           (bytes_equal(interval->end, BYTES_LITERAL("\0")) ||
            bytes_compare(key, interval->end) < 0);
}

static bool writes_contain(const struct writes *writes, struct bytes key)
{
    for (size_t i = 0; i < writes->interval_count; i++)
        if (interval_contains(&writes->intervals[i], key))
            return true;
    return false;
}

static bool put_is_among(const struct bytes *puts, size_t count, struct bytes key)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(puts[i], key))
            return true;
    return false;
}

static size_t op_puts(const struct kv_op *ops, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += ops[i].kind == KV_OP_PUT;
        if (ops[i].kind == KV_OP_TXN)
            sum += op_puts(ops[i].txn.success, ops[i].txn.success_count) +
                   op_puts(ops[i].txn.failure, ops[i].txn.failure_count);
    }
    return sum;
}

static size_t op_intervals(const struct kv_op *ops, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += ops[i].kind == KV_OP_DELETE;
        sum += ops[i].kind == KV_OP_RENAME ? RENAME_INTERVALS : 0;
        if (ops[i].kind == KV_OP_TXN)
            sum += op_intervals(ops[i].txn.success, ops[i].txn.success_count) +
                   op_intervals(ops[i].txn.failure, ops[i].txn.failure_count);
    }
    return sum;
}

static struct bytes joined(struct arena *arena, struct bytes key, const char *suffix)
{
    size_t more = strlen(suffix);
    uint8_t *data = arena_alloc(arena, key.size + more);
    memcpy(data, key.data, key.size);
    memcpy(data + key.size, suffix, more);
    return bytes_of(data, key.size + more);
}

/* Renames never reach to the last key: an end is empty or a bound. */
static bool renames_touch(const struct interval *a, const struct interval *b)
{
    if (!a->end.size)
        return interval_contains(b, a->begin);
    if (!b->end.size)
        return interval_contains(a, b->begin);
    return bytes_compare(a->begin, b->end) < 0 && bytes_compare(b->begin, a->end) < 0;
}

static bool rename_add(struct arena *arena, struct writes *writes, const struct kv_rename *rename)
{
    const struct bytes sides[] = {rename->from, rename->to};
    size_t before = writes->interval_count;
    for (size_t i = 0; i < 2; i++) {
        struct interval *place = &writes->intervals[writes->interval_count];
        place[0] = (struct interval){sides[i], BYTES_EMPTY, true};
        place[1] = (struct interval){joined(arena, sides[i], "/"), joined(arena, sides[i], "0"),
                                     true};
        writes->interval_count += 2;
    }
    for (size_t old = 0; old < before; old++)
        for (size_t new = before; new < writes->interval_count; new++)
            if (writes->intervals[old].is_rename &&
                renames_touch(&writes->intervals[old], &writes->intervals[new]))
                return false;
    return true;
}

static bool collect(struct arena *arena, const struct kv_op *ops, size_t count,
                    struct writes *ret);

static bool branch_renames_clash(const struct writes *writes, size_t own, size_t from, size_t to)
{
    for (size_t i = 0; i < own; i++)
        for (size_t j = from; j < to; j++)
            if (writes->intervals[i].is_rename && writes->intervals[j].is_rename &&
                renames_touch(&writes->intervals[i], &writes->intervals[j]))
                return true;
    return false;
}

/* The puts of one branch against what stands in writes already; safe_from on: the other branch's. */
static bool branch_puts_clash(const struct writes *writes, size_t intervals, size_t safe_from,
                              const struct writes *branch)
{
    struct writes own = *writes;
    own.interval_count = intervals;
    for (size_t i = 0; i < branch->put_count; i++)
        if (put_is_among(writes->puts, safe_from, branch->puts[i]) ||
            writes_contain(&own, branch->puts[i]))
            return true;
    return false;
}

/* Both branches of a nested txn go behind what writes holds. */
static bool nested_add(struct arena *arena, struct writes *writes, const struct kv_txn *txn)
{
    size_t own_puts = writes->put_count, own_intervals = writes->interval_count;
    const struct kv_op *branches[] = {txn->success, txn->failure};
    const size_t counts[] = {txn->success_count, txn->failure_count};
    for (size_t i = 0; i < 2; i++) {
        struct writes branch = {.puts = writes->puts + writes->put_count,
                                .intervals = writes->intervals + writes->interval_count};
        size_t begin = writes->interval_count;
        if (!collect(arena, branches[i], counts[i], &branch) ||
            branch_puts_clash(writes, own_intervals, own_puts, &branch))
            return false;
        writes->put_count += branch.put_count;
        writes->interval_count += branch.interval_count;
        if (branch_renames_clash(writes, own_intervals, begin, writes->interval_count))
            return false;
    }
    return true;
}

static bool collect(struct arena *arena, const struct kv_op *ops, size_t count,
                    struct writes *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == KV_OP_DELETE)
            ret->intervals[ret->interval_count++] =
                (struct interval){ops[i].del.key, ops[i].del.range_end, false};
        if (ops[i].kind == KV_OP_RENAME && !rename_add(arena, ret, &ops[i].rename))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == KV_OP_TXN && !nested_add(arena, ret, &ops[i].txn))
            return false;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind != KV_OP_PUT)
            continue;
        if (put_is_among(ret->puts, ret->put_count, ops[i].put.key) ||
            writes_contain(ret, ops[i].put.key))
            return false;
        ret->puts[ret->put_count++] = ops[i].put.key;
    }
    return true;
}

static enum err_code validate_writes(const struct kv_op *ops, size_t count, struct err *err)
{
    size_t puts = op_puts(ops, count), intervals = op_intervals(ops, count);
    if (puts + intervals < 2)
        return ERR_OK;
    struct arena arena = {0};
    struct writes writes = {.puts = ARENA_NEW_ARRAY(&arena, struct bytes, puts),
                            .intervals = ARENA_NEW_ARRAY(&arena, struct interval, intervals)};
    bool fine = collect(&arena, ops, count, &writes);
    arena_release(&arena);
    return fine ? ERR_OK : refuse(err, "duplicate key given in txn request");
}

enum err_code kv_validate_txn(const struct kv_txn *txn, struct err *err)
{
    struct budget budget = {.total = OPS_TOTAL_MAX, .depth = 1, .err = err};
    enum err_code code = validate_txn_ops(&budget, txn, TXN_OPS_MAX);
    if (!code)
        code = validate_writes(txn->success, txn->success_count, err);
    if (!code)
        code = validate_writes(txn->failure, txn->failure_count, err);
    return code;
}

/* ---- room ---- */

/* What one way through a txn writes. */
struct taken {
    bool records, deletes;
    bool contents;              /* whatever is neither */
};

static void note_put(const struct kv_put *put, struct taken *ret)
{
    bool is_setting = bytes_starts_with(put->key, BYTES_LITERAL(KV_CONFIG_PREFIX));
    bool is_record = bytes_starts_with(put->key, BYTES_LITERAL(KV_SYSTEM_PREFIX)) &&
                     put->value.size <= VALUE_INLINE_MAX;
    if (!is_record)
        ret->contents = true;
    else if (!is_setting)
        ret->records = true;
}

static void note_ops(const struct kv_op *ops, size_t count, struct taken *ret)
{
    for (size_t i = 0; i < count; i++)
        switch (ops[i].kind) {
        case KV_OP_RANGE: break;
        case KV_OP_PUT: note_put(&ops[i].put, ret); break;
        case KV_OP_DELETE: ret->deletes = true; break;
        case KV_OP_RENAME: ret->contents = true; break;
        case KV_OP_TXN: ret->contents |= kv_txn_needs_room(&ops[i].txn); break;
        }
}

static bool needs_room(const struct kv_op *ops, size_t count)
{
    struct taken taken = {0};
    note_ops(ops, count, &taken);
    return taken.contents || (taken.records && !taken.deletes);
}

bool kv_txn_needs_room(const struct kv_txn *txn)
{
    return needs_room(txn->success, txn->success_count) ||
           needs_room(txn->failure, txn->failure_count);
}
