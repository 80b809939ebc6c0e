/* Writing builds the generated structs in an arena that begins on the stack, and packs them straight
 * into their place: a single put allocates its blob and nothing else. Reading goes over the wire form
 * itself (wire.h): values are borrowed, not copied, and depth and number of operations are bounded
 * before anything is allocated for them, which generated code does not do. */
#include "proto/kv_pb.h"

#include <assert.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/schema/kv.pb-c.h"
#include "proto/wire.h"

#define OPS_TOTAL_MAX (4 * TXN_OPS_MAX)

static_assert(ERR_NOT_FOUND == 1 && ERR_NOT_CAPABLE == 13,
              "error codes travel as numbers and stand in session rows: new ones go to the end");
static_assert(KV_SORT_VALUE == (int)KV__RANGE_REQUEST__SORT_TARGET__VALUE &&
                  KV_SORT_DESCEND == (int)KV__RANGE_REQUEST__SORT_ORDER__DESCEND &&
                  KV_COMPARE_LEASE == (int)KV__COMPARE__COMPARE_TARGET__LEASE &&
                  KV_NOT_EQUAL == (int)KV__COMPARE__COMPARE_RESULT__NOT_EQUAL,
              "our enums have etcd's numbers");

/* ---- writing ---- */

/* An arena whose first allocations lie in memory of the caller's frame. */
struct scratch {
    struct arena arena;
    _Alignas(16) uint8_t memory[1024];
};

static struct arena *scratch_init(struct scratch *scratch)
{
    scratch->arena = (struct arena){.place = scratch->memory,
                                    .end = scratch->memory + sizeof(scratch->memory)};
    return &scratch->arena;
}

#define BUILD(arena, type, init) type *message = arena_alloc((arena), sizeof(type)); *message = (type)init

static ProtobufCBinaryData binary(struct bytes from)
{
    return (ProtobufCBinaryData){from.size, (uint8_t *)from.data};
}

static Kv__RangeRequest *range_build(struct arena *arena, const struct kv_range *range)
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

static Kv__TxnRequest *txn_build(struct arena *arena, const struct kv_txn *txn);

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

static Kv__TxnRequest *txn_build(struct arena *arena, const struct kv_txn *txn)
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

static Kv__CompactionRequest *compact_build(struct arena *arena, const struct kv_compact *compact)
{
    BUILD(arena, Kv__CompactionRequest, KV__COMPACTION_REQUEST__INIT);
    message->revision = compact->revision;
    message->physical = compact->physical;
    return message;
}

/* A txn that is one put or one delete travels as that alone. */
static void entry_txn_build(struct arena *arena, const struct kv_txn *txn, Kv__EntryRequest *ret)
{
    bool single = txn->compare_count == 0 && txn->success_count == 1 && txn->failure_count == 0;
    if (single && txn->success[0].kind == KV_OP_PUT) {
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_PUT;
        ret->put = put_build(arena, &txn->success[0].put);
    } else if (single && txn->success[0].kind == KV_OP_DELETE) {
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_DELETE_RANGE;
        ret->delete_range = delete_build(arena, &txn->success[0].del);
    } else {
        ret->request_case = KV__ENTRY_REQUEST__REQUEST_TXN;
        ret->txn = txn_build(arena, txn);
    }
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
    }
    CHECK(ret->request_case != KV__ENTRY_REQUEST__REQUEST__NOT_SET);
}

struct blob *entry_request_encode(const struct entry_request *request)
{
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

struct decoder {
    struct arena *arena;
    struct err *err;
    size_t ops_left, compares_left;
};

static enum err_code broken(struct decoder *decoder, const char *what)
{
    return err_set(decoder->err, ERR_CORRUPT, "%s does not decode", what);
}

static enum err_code range_decode(struct decoder *decoder, struct bytes from, struct kv_range *ret)
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

static enum err_code txn_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                                struct kv_txn *ret);

static enum err_code op_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                               struct kv_op *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    enum err_code code = ERR_CORRUPT;
    bool known = false;
    while (wire_next(c, f)) {
        if (f->number > 4 && f->number != 100)
            continue;
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

static enum err_code txn_decode(struct decoder *decoder, struct bytes from, unsigned depth,
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
        if (f->number > 3)
            continue;
        struct bytes inner = wire_bytes(c, f);
        if (c->failed)
            break;
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

static enum err_code compact_decode(struct decoder *decoder, struct bytes from,
                                    struct kv_compact *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->revision = wire_i64(c, f); break;
        case 2: ret->physical = wire_bool(c, f); break;
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
        }
    }
    return cursor.failed ? broken(decoder, "compacted") : ERR_OK;
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
    struct decoder decoder = {arena, err, OPS_TOTAL_MAX, OPS_TOTAL_MAX};
    struct entry_request request = {0};
    if (payload.size < ENTRY_STAMP_SIZE)
        return err_set(err, ERR_CORRUPT, "entry of %zu bytes has no stamp", payload.size);
    enum err_code code = entry_decode(&decoder, bytes_skip(payload, ENTRY_STAMP_SIZE), &request);
    if (!code)
        *ret = request;
    return code;
}

/* ---- the local socket: requests ---- */

/* Packs behind its size. */
static void message_append(const ProtobufCMessage *message, struct buf *ret)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    CHECK(size <= UINT32_MAX);
    buf_append_le32(ret, (uint32_t)size);
    protobuf_c_message_pack(message, buf_extend(ret, size));
}

void socket_request_encode(const struct socket_request *request, struct buf *ret)
{
    static Kv__SocketStatus status = KV__SOCKET_STATUS__INIT;
    static Kv__SocketStop stop = KV__SOCKET_STOP__INIT;
    struct scratch scratch;
    struct arena *arena = scratch_init(&scratch);
    Kv__SocketRequest message = KV__SOCKET_REQUEST__INIT;
    switch (request->kind) {
    case SOCKET_RANGE:
        message.request_case = KV__SOCKET_REQUEST__REQUEST_RANGE;
        message.range = range_build(arena, &request->range);
        break;
    case SOCKET_TXN:
        message.request_case = KV__SOCKET_REQUEST__REQUEST_TXN;
        message.txn = txn_build(arena, &request->txn);
        break;
    case SOCKET_COMPACT:
        message.request_case = KV__SOCKET_REQUEST__REQUEST_COMPACTION;
        message.compaction = compact_build(arena, &request->compact);
        break;
    case SOCKET_STATUS:
        message.request_case = KV__SOCKET_REQUEST__REQUEST_STATUS;
        message.status = &status;
        break;
    case SOCKET_STOP:
        message.request_case = KV__SOCKET_REQUEST__REQUEST_STOP;
        message.stop = &stop;
        break;
    }
    message_append(&message.base, ret);
    arena_release(arena);
}

static enum err_code socket_kind_decode(struct decoder *decoder, uint32_t number,
                                        struct bytes from, struct socket_request *ret)
{
    ret->kind = (enum socket_kind)number;
    switch (number) {
    case SOCKET_RANGE: return range_decode(decoder, from, &ret->range);
    case SOCKET_TXN: return txn_decode(decoder, from, 1, &ret->txn);
    case SOCKET_COMPACT: return compact_decode(decoder, from, &ret->compact);
    case SOCKET_STATUS:
    case SOCKET_STOP: return ERR_OK;
    }
    return err_set(decoder->err, ERR_CORRUPT, "request %u is of an unknown kind", number);
}

enum err_code socket_request_decode(struct bytes from, struct arena *arena,
                                    struct socket_request *ret, struct err *err)
{
    struct decoder decoder = {arena, err, OPS_TOTAL_MAX, OPS_TOTAL_MAX};
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    struct socket_request request = {0};
    while (wire_next(c, f)) {
        struct bytes inner = wire_bytes(c, f);
        if (c->failed || request.kind)
            return broken(&decoder, "request");
        enum err_code code = socket_kind_decode(&decoder, f->number, inner, &request);
        if (code)
            return code;
    }
    if (cursor.failed || !request.kind)
        return broken(&decoder, "request");
    *ret = request;
    return ERR_OK;
}

/* ---- the local socket: answers, written ---- */

static Kv__KeyValue *item_build(struct arena *arena, const struct kv_item *item)
{
    BUILD(arena, Kv__KeyValue, KV__KEY_VALUE__INIT);
    message->key = binary(item->key);
    message->value = binary(item->value);
    message->create_revision = item->create_revision;
    message->mod_revision = item->mod_revision;
    message->version = item->version;
    message->lease = item->lease;
    message->size = item->size;
    message->create_time = item->create_time;
    message->mod_time = item->mod_time;
    return message;
}

static Kv__KeyValue **items_build(struct arena *arena, const struct kv_item *items, size_t count)
{
    Kv__KeyValue **ret = ARENA_NEW_ARRAY(arena, Kv__KeyValue *, count);
    for (size_t i = 0; i < count; i++)
        ret[i] = item_build(arena, &items[i]);
    return ret;
}

static Kv__RangeResponse *range_result_build(struct arena *arena,
                                             const struct kv_range_result *range)
{
    BUILD(arena, Kv__RangeResponse, KV__RANGE_RESPONSE__INIT);
    message->n_kvs = range->count;
    message->kvs = items_build(arena, range->items, range->count);
    message->more = range->more;
    message->count = range->total;
    return message;
}

static Kv__TxnResponse *txn_result_build(struct arena *arena, const struct kv_txn_result *txn);

static Kv__ResponseOp *result_build(struct arena *arena, const struct kv_op_result *result)
{
    BUILD(arena, Kv__ResponseOp, KV__RESPONSE_OP__INIT);
    switch (result->kind) {
    case KV_OP_RANGE:
        message->response_case = KV__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        message->response_range = range_result_build(arena, &result->range);
        break;
    case KV_OP_PUT: {
        Kv__PutResponse *put = arena_alloc(arena, sizeof(*put));
        *put = (Kv__PutResponse)KV__PUT_RESPONSE__INIT;
        if (result->put.has_previous)
            put->prev_kv = item_build(arena, &result->put.previous);
        message->response_case = KV__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        message->response_put = put;
        break;
    }
    case KV_OP_DELETE: {
        Kv__DeleteRangeResponse *del = arena_alloc(arena, sizeof(*del));
        *del = (Kv__DeleteRangeResponse)KV__DELETE_RANGE_RESPONSE__INIT;
        del->deleted = result->del.deleted;
        if (result->del.previous) {
            del->n_prev_kvs = (size_t)result->del.deleted;
            del->prev_kvs = items_build(arena, result->del.previous, del->n_prev_kvs);
        }
        message->response_case = KV__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        message->response_delete_range = del;
        break;
    }
    case KV_OP_TXN:
        message->response_case = KV__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        message->response_txn = txn_result_build(arena, &result->txn);
        break;
    case KV_OP_RENAME: {
        Kv__RenameResponse *rename = arena_alloc(arena, sizeof(*rename));
        *rename = (Kv__RenameResponse)KV__RENAME_RESPONSE__INIT;
        rename->moved = result->rename.moved;
        message->response_case = KV__RESPONSE_OP__RESPONSE_RESPONSE_RENAME;
        message->response_rename = rename;
        break;
    }
    }
    return message;
}

static Kv__TxnResponse *txn_result_build(struct arena *arena, const struct kv_txn_result *txn)
{
    BUILD(arena, Kv__TxnResponse, KV__TXN_RESPONSE__INIT);
    message->succeeded = txn->succeeded;
    message->n_responses = txn->count;
    message->responses = ARENA_NEW_ARRAY(arena, Kv__ResponseOp *, txn->count);
    for (size_t i = 0; i < txn->count; i++)
        message->responses[i] = result_build(arena, &txn->results[i]);
    return message;
}

void socket_response_encode(const struct socket_response *response, struct buf *ret)
{
    struct scratch scratch;
    struct arena *arena = scratch_init(&scratch);
    Kv__ResponseHeader header = KV__RESPONSE_HEADER__INIT;
    Kv__SocketResponse message = KV__SOCKET_RESPONSE__INIT;
    header.cluster_id = response->cluster_id;
    header.member_id = response->member_id;
    header.raft_term = response->raft_term;
    header.revision = response->revision;
    message.header = &header;
    message.kind = response->kind;
    message.code = response->code;
    if (response->code)
        message.text = binary(bytes_of_text(response->err.text));
    else if (response->kind == SOCKET_RANGE)
        message.range = range_result_build(arena, &response->result.range);
    else if (response->kind == SOCKET_TXN)
        message.txn = txn_result_build(arena, &response->result.txn);
    message.status = binary(response->status);
    message_append(&message.base, ret);
    arena_release(arena);
}

/* ---- the local socket: answers, read ---- */

static enum err_code item_decode(struct decoder *decoder, struct bytes from, struct kv_item *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->key = wire_bytes(c, f); break;
        case 2: ret->create_revision = wire_i64(c, f); break;
        case 3: ret->mod_revision = wire_i64(c, f); break;
        case 4: ret->version = wire_i64(c, f); break;
        case 5: ret->value = wire_bytes(c, f); break;
        case 6: ret->lease = wire_i64(c, f); break;
        case 100: ret->size = wire_u64(c, f); break;
        case 101: ret->create_time = (kv_time)wire_fixed64(c, f); break;
        case 102: ret->mod_time = (kv_time)wire_fixed64(c, f); break;
        }
    }
    return cursor.failed ? broken(decoder, "key and value") : ERR_OK;
}

static enum err_code range_result_decode(struct decoder *decoder, struct bytes from,
                                         struct kv_range_result *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    ret->items = ARENA_NEW_ARRAY(decoder->arena, struct kv_item, wire_count(from, 2));
    while (wire_next(c, f)) {
        switch (f->number) {
        case 2: {
            struct bytes inner = wire_bytes(c, f);
            enum err_code code = item_decode(decoder, inner, &ret->items[ret->count++]);
            if (code)
                return code;
            break;
        }
        case 3: ret->more = wire_bool(c, f); break;
        case 4: ret->total = wire_i64(c, f); break;
        }
    }
    return cursor.failed ? broken(decoder, "range answer") : ERR_OK;
}

static enum err_code put_result_decode(struct decoder *decoder, struct bytes from,
                                       struct kv_op_result *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        if (f->number != 2)
            continue;
        enum err_code code = item_decode(decoder, wire_bytes(c, f), &ret->put.previous);
        if (code)
            return code;
        ret->put.has_previous = true;
    }
    return cursor.failed ? broken(decoder, "put answer") : ERR_OK;
}

/* previous has one item for each key deleted, or there is none. */
static enum err_code delete_result_decode(struct decoder *decoder, struct bytes from,
                                          struct kv_op_result *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    size_t total = wire_count(from, 3), count = 0;
    struct kv_item *items = ARENA_NEW_ARRAY(decoder->arena, struct kv_item, total);
    while (wire_next(c, f)) {
        if (f->number == 2) {
            ret->del.deleted = wire_i64(c, f);
        } else if (f->number == 3) {
            enum err_code code = item_decode(decoder, wire_bytes(c, f), &items[count++]);
            if (code)
                return code;
        }
    }
    if (cursor.failed || (total && (int64_t)total != ret->del.deleted))
        return broken(decoder, "delete answer");
    ret->del.previous = total ? items : NULL;
    return ERR_OK;
}

static enum err_code rename_result_decode(struct decoder *decoder, struct bytes from,
                                          struct kv_op_result *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f))
        if (f->number == 2)
            ret->rename.moved = wire_i64(c, f);
    return cursor.failed ? broken(decoder, "rename answer") : ERR_OK;
}

static enum err_code txn_result_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                                       struct kv_txn_result *ret);

static enum err_code result_kind_decode(struct decoder *decoder, uint32_t number,
                                        struct bytes from, unsigned depth,
                                        struct kv_op_result *ret)
{
    switch (number) {
    case 1:
        ret->kind = KV_OP_RANGE;
        return range_result_decode(decoder, from, &ret->range);
    case 2:
        ret->kind = KV_OP_PUT;
        return put_result_decode(decoder, from, ret);
    case 3:
        ret->kind = KV_OP_DELETE;
        return delete_result_decode(decoder, from, ret);
    case 4:
        ret->kind = KV_OP_TXN;
        return txn_result_decode(decoder, from, depth + 1, &ret->txn);
    case 100:
        ret->kind = KV_OP_RENAME;
        return rename_result_decode(decoder, from, ret);
    }
    return broken(decoder, "answer");
}

static enum err_code result_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                                   struct kv_op_result *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    bool known = false;
    while (wire_next(c, f)) {
        struct bytes inner = wire_bytes(c, f);
        if (c->failed || known)
            return broken(decoder, "answer");
        known = true;
        enum err_code code = result_kind_decode(decoder, f->number, inner, depth, ret);
        if (code)
            return code;
    }
    return cursor.failed || !known ? broken(decoder, "answer") : ERR_OK;
}

static enum err_code txn_result_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                                       struct kv_txn_result *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    size_t total = wire_count(from, 3);
    if (depth > TXN_DEPTH_MAX || total > decoder->ops_left)
        return broken(decoder, "txn answer");
    decoder->ops_left -= total;
    ret->results = ARENA_NEW_ARRAY(decoder->arena, struct kv_op_result, total);
    while (wire_next(c, f)) {
        if (f->number == 2) {
            ret->succeeded = wire_bool(c, f);
        } else if (f->number == 3) {
            struct bytes inner = wire_bytes(c, f);
            enum err_code code = result_decode(decoder, inner, depth, &ret->results[ret->count++]);
            if (code)
                return code;
        }
    }
    return cursor.failed ? broken(decoder, "txn answer") : ERR_OK;
}

static void header_decode(struct cursor *outer, struct bytes from, struct socket_response *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->cluster_id = wire_u64(c, f); break;
        case 2: ret->member_id = wire_u64(c, f); break;
        case 3: ret->revision = wire_i64(c, f); break;
        case 4: ret->raft_term = wire_u64(c, f); break;
        }
    }
    outer->failed |= cursor.failed;
}

static enum err_code response_decode(struct decoder *decoder, struct bytes from,
                                     struct socket_response *ret, struct bytes *ret_text,
                                     bool *ret_has_result)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    enum err_code code = ERR_OK;
    while (!code && wire_next(c, f)) {
        struct bytes inner = f->bytes;
        switch (f->number) {
        case 1: ret->kind = wire_below(c, f, SOCKET_STOP); break;
        case 2: ret->code = wire_below(c, f, ERR_CODE_COUNT - 1); break;
        case 3: *ret_text = wire_bytes(c, f); break;
        case 4: header_decode(c, wire_bytes(c, f), ret); break;
        case 5: case 6:
            if (!wire_is(c, f, WIRE_BYTES) || *ret_has_result)
                return broken(decoder, "answer");
            *ret_has_result = true;
            ret->result.kind = f->number == 5 ? KV_OP_RANGE : KV_OP_TXN;
            code = f->number == 5 ? range_result_decode(decoder, inner, &ret->result.range)
                                  : txn_result_decode(decoder, inner, 1, &ret->result.txn);
            break;
        case 7: ret->status = wire_bytes(c, f); break;
        }
    }
    if (!code && (cursor.failed || !ret->kind))
        code = broken(decoder, "answer");
    return code;
}

enum err_code socket_response_decode(struct bytes from, struct arena *arena,
                                     struct socket_response *ret, struct err *err)
{
    struct decoder decoder = {arena, err, OPS_TOTAL_MAX, OPS_TOTAL_MAX};
    struct socket_response response = {0};
    struct bytes text = BYTES_EMPTY;
    bool has_result = false;
    enum err_code code = response_decode(&decoder, from, &response, &text, &has_result);
    if (code)
        return code;
    bool wants_result = response.kind == SOCKET_RANGE || response.kind == SOCKET_TXN;
    enum kv_op_kind wanted = response.kind == SOCKET_RANGE ? KV_OP_RANGE : KV_OP_TXN;
    if (!response.code && wants_result && (!has_result || response.result.kind != wanted))
        return broken(&decoder, "answer");
    if (response.code)
        err_set(&response.err, response.code, "%.*s", (int)text.size, (const char *)text.data);
    *ret = response;
    return ERR_OK;
}
