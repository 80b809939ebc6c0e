/* Writing builds the generated structs in an arena that begins on the stack, and packs them straight
 * into their place; a put that stands alone is written by hand (entry_put.c). Reading goes over the wire form
 * itself (wire.h): values are borrowed, not copied, and depth and number of operations are bounded
 * before anything is allocated for them, which generated code does not do. A field we do not know is
 * refused: whoever passes over a part of an entry may apply something else than the others do. */
#include "proto/kv_pb.h"

#include <assert.h>

#include "proto/base/check.h"
#include "proto/entry_put.h"
#include "proto/request_pb.h"

static_assert(KV_SORT_VALUE == (int)KV__RANGE_REQUEST__SORT_TARGET__VALUE &&
                  KV_SORT_DESCEND == (int)KV__RANGE_REQUEST__SORT_ORDER__DESCEND &&
                  KV_COMPARE_LEASE == (int)KV__COMPARE__COMPARE_TARGET__LEASE &&
                  KV_NOT_EQUAL == (int)KV__COMPARE__COMPARE_RESULT__NOT_EQUAL,
              "our enums have etcd's numbers");

/* ---- writing ---- */

Kv__RangeRequest *range_build(struct arena *arena, const struct kv_range *range)
{
    BUILD(arena, Kv__RangeRequest, KV__RANGE_REQUEST__INIT);
    message->key = binary(range->key);
    message->range_end = binary(range->range_end);
    message->limit = range->limit;
    message->revision = range->revision;
    message->sort_order = (Kv__RangeRequest__SortOrder)range->sort_order;
    message->sort_target = (Kv__RangeRequest__SortTarget)range->sort_target;
    message->serializable = range->serializable;
    message->keys_only = range->keys_only;
    message->count_only = range->count_only;
    message->sizes_only = range->sizes_only;
    message->want_times = range->want_times;
    message->min_mod_revision = range->min_mod_revision;
    message->max_mod_revision = range->max_mod_revision;
    message->min_create_revision = range->min_create_revision;
    message->max_create_revision = range->max_create_revision;
    return message;
}

static Kv__PutRequest *put_build(struct arena *arena, const struct kv_put *put)
{
    BUILD(arena, Kv__PutRequest, KV__PUT_REQUEST__INIT);
    message->key = binary(put->key);
    message->value = binary(put->value);
    message->lease = put->lease;
    message->prev_kv = put->want_previous;
    message->ignore_value = put->ignore_value;
    message->ignore_lease = put->ignore_lease;
    return message;
}

static Kv__DeleteRangeRequest *delete_build(struct arena *arena, const struct kv_delete *del)
{
    BUILD(arena, Kv__DeleteRangeRequest, KV__DELETE_RANGE_REQUEST__INIT);
    message->key = binary(del->key);
    message->range_end = binary(del->range_end);
    message->prev_kv = del->want_previous;
    return message;
}

static Kv__RenameRequest *rename_build(struct arena *arena, const struct kv_rename *rename)
{
    BUILD(arena, Kv__RenameRequest, KV__RENAME_REQUEST__INIT);
    message->from = binary(rename->from);
    message->to = binary(rename->to);
    message->value_only = rename->value_only;
    message->replace = rename->replace;
    message->exchange = rename->exchange;
    return message;
}

static Kv__Compare *compare_build(struct arena *arena, const struct kv_compare *compare)
{
    BUILD(arena, Kv__Compare, KV__COMPARE__INIT);
    message->key = binary(compare->key);
    message->range_end = binary(compare->range_end);
    message->result = (Kv__Compare__CompareResult)compare->result;
    message->target = (Kv__Compare__CompareTarget)compare->target;
    switch (compare->target) {
    case KV_COMPARE_VERSION:
        message->target_union_case = KV__COMPARE__TARGET_UNION_VERSION;
        message->version = compare->number;
        break;
    case KV_COMPARE_CREATE:
        message->target_union_case = KV__COMPARE__TARGET_UNION_CREATE_REVISION;
        message->create_revision = compare->number;
        break;
    case KV_COMPARE_MOD:
        message->target_union_case = KV__COMPARE__TARGET_UNION_MOD_REVISION;
        message->mod_revision = compare->number;
        break;
    case KV_COMPARE_VALUE:
        message->target_union_case = KV__COMPARE__TARGET_UNION_VALUE;
        message->value = binary(compare->value);
        break;
    case KV_COMPARE_LEASE:
        message->target_union_case = KV__COMPARE__TARGET_UNION_LEASE;
        message->lease = compare->number;
        break;
    }
    return message;
}

static Kv__RequestOp *op_build(struct arena *arena, const struct kv_op *op)
{
    BUILD(arena, Kv__RequestOp, KV__REQUEST_OP__INIT);
    switch (op->kind) {
    case KV_OP_RANGE:
        message->request_case = KV__REQUEST_OP__REQUEST_REQUEST_RANGE;
        message->request_range = range_build(arena, &op->range);
        break;
    case KV_OP_PUT:
        message->request_case = KV__REQUEST_OP__REQUEST_REQUEST_PUT;
        message->request_put = put_build(arena, &op->put);
        break;
    case KV_OP_DELETE:
        message->request_case = KV__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        message->request_delete_range = delete_build(arena, &op->del);
        break;
    case KV_OP_TXN:
        message->request_case = KV__REQUEST_OP__REQUEST_REQUEST_TXN;
        message->request_txn = txn_build(arena, &op->txn);
        break;
    case KV_OP_RENAME:
        message->request_case = KV__REQUEST_OP__REQUEST_REQUEST_RENAME;
        message->request_rename = rename_build(arena, &op->rename);
        break;
    }
    return message;
}

static Kv__RequestOp **ops_build(struct arena *arena, const struct kv_op *ops, size_t count)
{
    Kv__RequestOp **ret = ARENA_NEW_ARRAY(arena, Kv__RequestOp *, count);
    for (size_t i = 0; i < count; i++)
        ret[i] = op_build(arena, &ops[i]);
    return ret;
}

Kv__TxnRequest *txn_build(struct arena *arena, const struct kv_txn *txn)
{
    BUILD(arena, Kv__TxnRequest, KV__TXN_REQUEST__INIT);
    message->n_compare = txn->compare_count;
    message->compare = ARENA_NEW_ARRAY(arena, Kv__Compare *, txn->compare_count);
    for (size_t i = 0; i < txn->compare_count; i++)
        message->compare[i] = compare_build(arena, &txn->compares[i]);
    message->n_success = txn->success_count;
    message->success = ops_build(arena, txn->success, txn->success_count);
    message->n_failure = txn->failure_count;
    message->failure = ops_build(arena, txn->failure, txn->failure_count);
    return message;
}

Kv__CompactionRequest *compact_build(struct arena *arena, const struct kv_compact *compact)
{
    BUILD(arena, Kv__CompactionRequest, KV__COMPACTION_REQUEST__INIT);
    message->revision = compact->revision;
    message->physical = compact->physical;
    return message;
}

/* A txn that is one delete travels as that alone; so does one that is a put (entry_put.h). */
static void entry_txn_build(struct arena *arena, const struct kv_txn *txn, Kv__EntryRequest *ret)
{
    bool single = txn->compare_count == 0 && txn->success_count == 1 && txn->failure_count == 0;
    if (single && txn->success[0].kind == KV_OP_DELETE) {
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_DELETE_RANGE;
        ret->delete_range = delete_build(arena, &txn->success[0].del);
    } else {
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_TXN;
        ret->txn = txn_build(arena, txn);
    }
}

static void lease_grant_build(struct arena *arena, const struct kv_lease *lease,
                              Kv__EntryRequest *ret)
{
    BUILD(arena, Kv__LeaseGrantRequest, KV__LEASE_GRANT_REQUEST__INIT);
    message->id = lease->id;
    message->ttl = lease->ttl_s;
    ret->request_case = KV__ENTRY_REQUEST__REQUEST_LEASE_GRANT;
    ret->lease_grant = message;
}

static void lease_renew_build(struct arena *arena, int64_t id, Kv__EntryRequest *ret)
{
    BUILD(arena, Kv__LeaseKeepAliveRequest, KV__LEASE_KEEP_ALIVE_REQUEST__INIT);
    message->id = id;
    ret->request_case = KV__ENTRY_REQUEST__REQUEST_LEASE_RENEW;
    ret->lease_renew = message;
}

static void lease_revoke_build(struct arena *arena, int64_t id, Kv__EntryRequest *ret)
{
    BUILD(arena, Kv__LeaseRevokeRequest, KV__LEASE_REVOKE_REQUEST__INIT);
    message->id = id;
    ret->request_case = KV__ENTRY_REQUEST__REQUEST_LEASE_REVOKE;
    ret->lease_revoke = message;
}

static void lease_expire_build(struct arena *arena, int64_t id, uint64_t renewed,
                               Kv__EntryRequest *ret)
{
    BUILD(arena, Kv__LeaseExpire, KV__LEASE_EXPIRE__INIT);
    message->id = id;
    message->renewed = renewed;
    ret->request_case = KV__ENTRY_REQUEST__REQUEST_LEASE_EXPIRE;
    ret->lease_expire = message;
}

static void alarm_build(struct arena *arena, bool raised, Kv__EntryRequest *ret)
{
    BUILD(arena, Kv__SpaceAlarm, KV__SPACE_ALARM__INIT);
    message->raised = raised;
    ret->request_case = KV__ENTRY_REQUEST__REQUEST_ALARM;
    ret->alarm = message;
}

static void entry_build(struct arena *arena, const struct entry_request *request,
                        Kv__EntryRequest *ret)
{
    static Kv__SessionOpen session_open = KV__SESSION_OPEN__INIT;
    static Kv__SessionClose session_close = KV__SESSION_CLOSE__INIT;
    switch (request->kind) {
    case ENTRY_TXN:
        entry_txn_build(arena, &request->txn, ret);
        break;
    case ENTRY_COMPACT:
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_COMPACTION;
        ret->compaction = compact_build(arena, &request->compact);
        break;
    case ENTRY_COMPACTED: {
        BUILD(arena, Kv__Compacted, KV__COMPACTED__INIT);
        message->revision = request->compact.revision;
        message->bytes = request->compacted_bytes;
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_COMPACTED;
        ret->compacted = message;
        break;
    }
    case ENTRY_SESSION_OPEN:
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_SESSION_OPEN;
        ret->session_open = &session_open;
        break;
    case ENTRY_SESSION_CLOSE:
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_SESSION_CLOSE;
        ret->session_close = &session_close;
        break;
    case ENTRY_LEASE_GRANT:
        lease_grant_build(arena, &request->lease, ret);
        break;
    case ENTRY_LEASE_RENEW:
        lease_renew_build(arena, request->lease.id, ret);
        break;
    case ENTRY_LEASE_REVOKE:
        lease_revoke_build(arena, request->lease.id, ret);
        break;
    case ENTRY_LEASE_EXPIRE:
        lease_expire_build(arena, request->lease.id, request->lease_renewed, ret);
        break;
    case ENTRY_ALARM:
        alarm_build(arena, request->alarm_raised, ret);
        break;
    }
    CHECK(ret->request_case != KV__ENTRY_REQUEST__REQUEST__NOT_SET);
}

struct blob *entry_request_encode(const struct entry_request *request)
{
    if (entry_put_is(request))
        return entry_put_encode(request);
    struct scratch scratch;
    struct arena *arena = scratch_init(&scratch);
    Kv__EntryRequest message = KV__ENTRY_REQUEST__INIT;
    message.session = request->session;
    message.number = request->number;
    message.lowest_open = request->lowest_open;
    message.privileged = request->privileged;
    entry_build(arena, request, &message);
    size_t size = protobuf_c_message_get_packed_size(&message.base);
    struct blob *payload = blob_new(ENTRY_STAMP_SIZE + size);
    put_le64(payload->data, 0);
    protobuf_c_message_pack(&message.base, payload->data + ENTRY_STAMP_SIZE);
    arena_release(arena);
    return payload;
}

kv_time entry_stamp(struct bytes payload)
{
    return payload.size < ENTRY_STAMP_SIZE ? 0 : (kv_time)get_le64(payload.data);
}

void entry_stamp_set(struct blob *payload, kv_time stamp)
{
    CHECK(payload->size >= ENTRY_STAMP_SIZE);
    put_le64(payload->data, (uint64_t)stamp);
}

/* ---- reading requests ---- */

enum err_code range_decode(struct decoder *decoder, struct bytes from, struct kv_range *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->key = wire_bytes(c, f); break;
        case 2: ret->range_end = wire_bytes(c, f); break;
        case 3: ret->limit = wire_i64(c, f); break;
        case 4: ret->revision = wire_i64(c, f); break;
        case 5: ret->sort_order = wire_below(c, f, KV_SORT_DESCEND); break;
        case 6: ret->sort_target = wire_below(c, f, KV_SORT_VALUE); break;
        case 7: ret->serializable = wire_bool(c, f); break;
        case 8: ret->keys_only = wire_bool(c, f); break;
        case 9: ret->count_only = wire_bool(c, f); break;
        case 10: ret->min_mod_revision = wire_i64(c, f); break;
        case 11: ret->max_mod_revision = wire_i64(c, f); break;
        case 12: ret->min_create_revision = wire_i64(c, f); break;
        case 13: ret->max_create_revision = wire_i64(c, f); break;
        case 100: ret->sizes_only = wire_bool(c, f); break;
        case 101: ret->want_times = wire_bool(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "range") : ERR_OK;
}

static enum err_code put_decode(struct decoder *decoder, struct bytes from, struct kv_put *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->key = wire_bytes(c, f); break;
        case 2: ret->value = wire_bytes(c, f); break;
        case 3: ret->lease = wire_i64(c, f); break;
        case 4: ret->want_previous = wire_bool(c, f); break;
        case 5: ret->ignore_value = wire_bool(c, f); break;
        case 6: ret->ignore_lease = wire_bool(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "put") : ERR_OK;
}

static enum err_code delete_decode(struct decoder *decoder, struct bytes from,
                                   struct kv_delete *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->key = wire_bytes(c, f); break;
        case 2: ret->range_end = wire_bytes(c, f); break;
        case 3: ret->want_previous = wire_bool(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "delete") : ERR_OK;
}

static enum err_code rename_decode(struct decoder *decoder, struct bytes from,
                                   struct kv_rename *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->from = wire_bytes(c, f); break;
        case 2: ret->to = wire_bytes(c, f); break;
        case 3: ret->value_only = wire_bool(c, f); break;
        case 4: ret->replace = wire_bool(c, f); break;
        case 5: ret->exchange = wire_bool(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "rename") : ERR_OK;
}

/* Which number field carries the operand; what else stands in the union does not count. */
static enum err_code compare_decode(struct decoder *decoder, struct bytes from,
                                    struct kv_compare *ret)
{
    static const uint32_t operand_of[] = {4, 5, 6, 7, 8};
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    int64_t number = 0;
    uint32_t operand = 0;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->result = wire_below(c, f, KV_NOT_EQUAL); break;
        case 2: ret->target = wire_below(c, f, KV_COMPARE_LEASE); break;
        case 3: ret->key = wire_bytes(c, f); break;
        case 4: case 5: case 6: case 8:
            operand = f->number;
            number = wire_i64(c, f);
            break;
        case 7:
            operand = f->number;
            ret->value = wire_bytes(c, f);
            break;
        case 64: ret->range_end = wire_bytes(c, f); break;
        default: c->failed = true;
        }
    }
    if (cursor.failed || ret->target >= ARRAY_COUNT(operand_of))
        return broken(decoder, "compare");
    if (operand != operand_of[ret->target])
        ret->value = BYTES_EMPTY;
    else if (operand != 7)
        ret->number = number;
    return ERR_OK;
}

static enum err_code op_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                               struct kv_op *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    enum err_code code = ERR_OK;
    bool known = false;
    while (wire_next(c, f)) {
        struct bytes inner = wire_bytes(c, f);
        if (c->failed || known)
            return broken(decoder, "operation");
        known = true;
        switch (f->number) {
        case 1:
            ret->kind = KV_OP_RANGE;
            code = range_decode(decoder, inner, &ret->range);
            break;
        case 2:
            ret->kind = KV_OP_PUT;
            code = put_decode(decoder, inner, &ret->put);
            break;
        case 3:
            ret->kind = KV_OP_DELETE;
            code = delete_decode(decoder, inner, &ret->del);
            break;
        case 4:
            ret->kind = KV_OP_TXN;
            code = txn_decode(decoder, inner, depth + 1, &ret->txn);
            break;
        case 100:
            ret->kind = KV_OP_RENAME;
            code = rename_decode(decoder, inner, &ret->rename);
            break;
        default: return broken(decoder, "operation");
        }
        if (code)
            return code;
    }
    return cursor.failed || !known ? broken(decoder, "operation") : ERR_OK;
}

static enum err_code txn_count(struct decoder *decoder, struct bytes from, struct kv_txn *ret)
{
    size_t compares = wire_count(from, 1), success = wire_count(from, 2),
           failure = wire_count(from, 3);
    if (compares > decoder->compares_left || success > decoder->ops_left ||
        failure > decoder->ops_left - success)
        return err_set(decoder->err, ERR_CORRUPT, "txn has more than %d operations or compares",
                       OPS_TOTAL_MAX);
    decoder->compares_left -= compares;
    decoder->ops_left -= success + failure;
    ret->compares = ARENA_NEW_ARRAY(decoder->arena, struct kv_compare, compares);
    ret->success = ARENA_NEW_ARRAY(decoder->arena, struct kv_op, success);
    ret->failure = ARENA_NEW_ARRAY(decoder->arena, struct kv_op, failure);
    return ERR_OK;
}

enum err_code txn_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                         struct kv_txn *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    struct kv_op *success, *failure;
    struct kv_compare *compares;
    if (depth > TXN_DEPTH_MAX)
        return err_set(decoder->err, ERR_CORRUPT, "txn is nested deeper than %d", TXN_DEPTH_MAX);
    enum err_code code = txn_count(decoder, from, ret);
    compares = (struct kv_compare *)ret->compares;
    success = (struct kv_op *)ret->success;
    failure = (struct kv_op *)ret->failure;
    while (!code && wire_next(c, f)) {
        struct bytes inner = wire_bytes(c, f);
        if (c->failed || f->number > 3)
            return broken(decoder, "txn");
        if (f->number == 1)
            code = compare_decode(decoder, inner, &compares[ret->compare_count++]);
        else if (f->number == 2)
            code = op_decode(decoder, inner, depth, &success[ret->success_count++]);
        else
            code = op_decode(decoder, inner, depth, &failure[ret->failure_count++]);
    }
    if (code)
        return code;
    return cursor.failed ? broken(decoder, "txn") : ERR_OK;
}

enum err_code compact_decode(struct decoder *decoder, struct bytes from,
                             struct kv_compact *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->revision = wire_i64(c, f); break;
        case 2: ret->physical = wire_bool(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "compaction") : ERR_OK;
}

static enum err_code compacted_decode(struct decoder *decoder, struct bytes from,
                                      struct entry_request *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->compact.revision = wire_i64(c, f); break;
        case 2: ret->compacted_bytes = wire_u64(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "compacted") : ERR_OK;
}

static enum err_code lease_grant_decode(struct decoder *decoder, struct bytes from,
                                        struct kv_lease *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->ttl_s = wire_i64(c, f); break;
        case 2: ret->id = wire_i64(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "lease grant") : ERR_OK;
}

/* The requests that name a lease; field 2 is there when there is a place for it. */
static enum err_code lease_id_decode(struct decoder *decoder, struct bytes from,
                                     uint64_t *ret_renewed, struct kv_lease *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        if (f->number == 1)
            ret->id = wire_i64(c, f);
        else if (f->number == 2 && ret_renewed)
            *ret_renewed = wire_u64(c, f);
        else
            c->failed = true;
    }
    return cursor.failed ? broken(decoder, "lease") : ERR_OK;
}

static enum err_code alarm_decode(struct decoder *decoder, struct bytes from, bool *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: *ret = wire_bool(c, f); break;
        default: c->failed = true;
        }
    }
    return cursor.failed ? broken(decoder, "alarm") : ERR_OK;
}

/* A put or delete that stands alone becomes a txn of one operation. */
static struct kv_op *single_op(struct decoder *decoder, struct entry_request *ret)
{
    struct kv_op *op = ARENA_NEW(decoder->arena, struct kv_op);
    ret->kind = ENTRY_TXN;
    ret->txn = (struct kv_txn){.success = op, .success_count = 1};
    return op;
}

static enum err_code entry_kind_decode(struct decoder *decoder, uint32_t number, struct bytes from,
                                       struct entry_request *ret)
{
    struct kv_op *op;
    switch (number) {
    case 10:
        ret->kind = ENTRY_TXN;
        return txn_decode(decoder, from, 1, &ret->txn);
    case 11:
        op = single_op(decoder, ret);
        op->kind = KV_OP_PUT;
        return put_decode(decoder, from, &op->put);
    case 12:
        op = single_op(decoder, ret);
        op->kind = KV_OP_DELETE;
        return delete_decode(decoder, from, &op->del);
    case 13:
        ret->kind = ENTRY_COMPACT;
        return compact_decode(decoder, from, &ret->compact);
    case 14:
        ret->kind = ENTRY_COMPACTED;
        return compacted_decode(decoder, from, ret);
    case 15: ret->kind = ENTRY_SESSION_OPEN; return ERR_OK;
    case 16: ret->kind = ENTRY_SESSION_CLOSE; return ERR_OK;
    case 17:
        ret->kind = ENTRY_LEASE_GRANT;
        return lease_grant_decode(decoder, from, &ret->lease);
    case 18:
        ret->kind = ENTRY_LEASE_RENEW;
        return lease_id_decode(decoder, from, NULL, &ret->lease);
    case 19:
        ret->kind = ENTRY_LEASE_REVOKE;
        return lease_id_decode(decoder, from, NULL, &ret->lease);
    case 20:
        ret->kind = ENTRY_LEASE_EXPIRE;
        return lease_id_decode(decoder, from, &ret->lease_renewed, &ret->lease);
    case 21:
        ret->kind = ENTRY_ALARM;
        return alarm_decode(decoder, from, &ret->alarm_raised);
    }
    return err_set(decoder->err, ERR_CORRUPT, "request %u is of an unknown kind", number);
}

static enum err_code entry_decode(struct decoder *decoder, struct bytes from,
                                  struct entry_request *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->session = wire_u64(c, f); break;
        case 2: ret->number = wire_u64(c, f); break;
        case 3: ret->lowest_open = wire_u64(c, f); break;
        case 4: ret->privileged = wire_bool(c, f); break;
        default: {
            struct bytes inner = wire_bytes(c, f);
            if (c->failed || ret->kind)
                return broken(decoder, "entry");
            enum err_code code = entry_kind_decode(decoder, f->number, inner, ret);
            if (code)
                return code;
        }
        }
    }
    if (cursor.failed)
        return broken(decoder, "entry");
    return ret->kind ? ERR_OK : err_set(decoder->err, ERR_CORRUPT, "entry without a request");
}

enum err_code entry_request_decode(struct bytes payload, struct arena *arena,
                                   struct entry_request *ret, struct err *err)
{
    struct decoder decoder = decoder_of(arena, err);
    struct entry_request request = {0};
    if (payload.size < ENTRY_STAMP_SIZE)
        return err_set(err, ERR_CORRUPT, "entry of %zu bytes has no stamp", payload.size);
    enum err_code code = entry_decode(&decoder, bytes_skip(payload, ENTRY_STAMP_SIZE), &request);
    if (!code)
        *ret = request;
    return code;
}

/* ---- weighing ---- */

#define NARROW_LIMIT 64     /* keys of an interval that are read in no time */

static bool ops_are_wide(const struct kv_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kv_op *op = &ops[i];
        bool is_wide = false;
        switch (op->kind) {
        case KV_OP_PUT: break;
        case KV_OP_RANGE:
            is_wide = op->range.range_end.size &&
                      (op->range.limit <= 0 || op->range.limit > NARROW_LIMIT);
            break;
        case KV_OP_DELETE: is_wide = op->del.range_end.size > 0; break;
        case KV_OP_RENAME: is_wide = !op->rename.value_only; break;
        case KV_OP_TXN:
            is_wide = ops_are_wide(op->txn.success, op->txn.success_count) ||
                      ops_are_wide(op->txn.failure, op->txn.failure_count);
            break;
        }
        if (is_wide)
            return true;
    }
    return false;
}

static bool request_is_wide(const struct entry_request *request)
{
    const struct kv_txn *txn = &request->txn;
    switch (request->kind) {
    case ENTRY_TXN:
        return ops_are_wide(txn->success, txn->success_count) ||
               ops_are_wide(txn->failure, txn->failure_count);
    case ENTRY_LEASE_REVOKE:
    case ENTRY_LEASE_EXPIRE:
        return true;
    default:
        return false;
    }
}

bool entry_request_is_wide(struct bytes payload)
{
    struct arena arena = {0};
    struct entry_request request;
    struct err err;
    bool is_wide = entry_request_decode(payload, &arena, &request, &err) == ERR_OK &&
                   request_is_wide(&request);
    arena_release(&arena);
    return is_wide;
}
