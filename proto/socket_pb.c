/* The member's local socket: its requests are those of the log, its answers etcd's. */
#include <assert.h>

#include "proto/base/check.h"
#include "proto/request_pb.h"

static_assert(ERR_NOT_FOUND == 1 && ERR_NOT_CAPABLE == 13,
              "error codes travel as numbers and stand in session rows: new ones go to the end");

/* ---- the local socket: requests ---- */

/* Packs behind its size. */
static void message_append(const ProtobufCMessage *message, struct buf *ret)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    CHECK(size <= UINT32_MAX);
    buf_append_le32(ret, (uint32_t)size);
    protobuf_c_message_pack(message, buf_extend(ret, size));
}

static Kv__SocketMember *member_build(struct arena *arena, const struct socket_member *member)
{
    BUILD(arena, Kv__SocketMember, KV__SOCKET_MEMBER__INIT);
    message->action = member->action;
    message->target = binary(bytes_of_text(member->target));
    message->address = binary(bytes_of_text(member->address));
    message->force = member->force;
    return message;
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
    case SOCKET_MEMBER:
        message.request_case = KV__SOCKET_REQUEST__REQUEST_MEMBER;
        message.member = member_build(arena, &request->member);
        break;
    }
    message_append(&message.base, ret);
    arena_release(arena);
}

static void word_take(struct cursor *cursor, const struct wire_field *field,
                      char to[SOCKET_WORD_SIZE])
{
    struct bytes from = wire_bytes(cursor, field);
    if (from.size >= SOCKET_WORD_SIZE || (from.size && memchr(from.data, 0, from.size))) {
        cursor->failed = true;
        return;
    }
    if (from.size)
        memcpy(to, from.data, from.size);
    to[from.size] = '\0';
}

static enum err_code member_decode(struct decoder *decoder, struct bytes from,
                                   struct socket_member *ret)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: ret->action = wire_below(c, f, SOCKET_MEMBER_TRANSFER); break;
        case 2: word_take(c, f, ret->target); break;
        case 3: word_take(c, f, ret->address); break;
        case 4: ret->force = wire_bool(c, f); break;
        }
    }
    return cursor.failed || !ret->action ? broken(decoder, "question about members") : ERR_OK;
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
    case SOCKET_MEMBER: return member_decode(decoder, from, &ret->member);
    }
    return err_set(decoder->err, ERR_CORRUPT, "request %u is of an unknown kind", number);
}

enum err_code socket_request_decode(struct bytes from, struct arena *arena,
                                    struct socket_request *ret, struct err *err)
{
    struct decoder decoder = decoder_of(arena, err);
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
        case 1: ret->kind = wire_below(c, f, SOCKET_MEMBER); break;
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
    struct decoder decoder = decoder_of(arena, err);
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
