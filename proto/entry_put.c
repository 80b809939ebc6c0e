#include "proto/entry_put.h"

#include "proto/base/check.h"
#include "proto/base/varint.h"
#include "proto/wire.h"

enum { ENTRY_SESSION = 1, ENTRY_NUMBER, ENTRY_LOWEST_OPEN, ENTRY_PRIVILEGED, ENTRY_PUT = 11 };
enum { PUT_KEY = 1, PUT_VALUE, PUT_LEASE, PUT_PREV_KV, PUT_IGNORE_VALUE, PUT_IGNORE_LEASE };

bool entry_put_is(const struct entry_request *request)
{
    const struct kv_txn *txn = &request->txn;
    return request->kind == ENTRY_TXN && txn->compare_count == 0 && txn->success_count == 1 &&
           txn->failure_count == 0 && txn->success[0].kind == KV_OP_PUT;
}

/* What is 0 or empty is not written; every number of a field here takes one byte. */
static size_t number_size(uint64_t value)
{
    return value ? 1 + varint_size(value) : 0;
}

static size_t bytes_field_size(size_t size)
{
    return size ? 1 + varint_size(size) + size : 0;
}

static uint8_t *number_put(uint8_t *to, unsigned field, uint64_t value)
{
    if (!value)
        return to;
    *to++ = (uint8_t)(field << 3 | WIRE_VARINT);
    return to + varint_encode(to, value);
}

static uint8_t *size_put(uint8_t *to, unsigned field, size_t size)
{
    *to++ = (uint8_t)(field << 3 | WIRE_BYTES);
    return to + varint_encode(to, size);
}

static uint8_t *bytes_put(uint8_t *to, unsigned field, struct bytes value)
{
    if (!value.size)
        return to;
    to = size_put(to, field, value.size);
    memcpy(to, value.data, value.size);
    return to + value.size;
}

static size_t put_size(const struct kv_put *put)
{
    return bytes_field_size(put->key.size) + bytes_field_size(put->value.size) +
           number_size((uint64_t)put->lease) + number_size(put->want_previous) +
           number_size(put->ignore_value) + number_size(put->ignore_lease);
}

struct blob *entry_put_encode(const struct entry_request *request)
{
    CHECK(entry_put_is(request));
    const struct kv_put *put = &request->txn.success[0].put;
    size_t inner = put_size(put);
    size_t size = number_size(request->session) + number_size(request->number) +
                  number_size(request->lowest_open) + number_size(request->privileged) + 1 +
                  varint_size(inner) + inner;
    struct blob *payload = blob_new(ENTRY_STAMP_SIZE + size);
    put_le64(payload->data, 0);
    uint8_t *to = payload->data + ENTRY_STAMP_SIZE;
    to = number_put(to, ENTRY_SESSION, request->session);
    to = number_put(to, ENTRY_NUMBER, request->number);
    to = number_put(to, ENTRY_LOWEST_OPEN, request->lowest_open);
    to = number_put(to, ENTRY_PRIVILEGED, request->privileged);
    to = size_put(to, ENTRY_PUT, inner);
    to = bytes_put(to, PUT_KEY, put->key);
    to = bytes_put(to, PUT_VALUE, put->value);
    to = number_put(to, PUT_LEASE, (uint64_t)put->lease);
    to = number_put(to, PUT_PREV_KV, put->want_previous);
    to = number_put(to, PUT_IGNORE_VALUE, put->ignore_value);
    to = number_put(to, PUT_IGNORE_LEASE, put->ignore_lease);
    CHECK(to == payload->data + payload->size);
    return payload;
}
