/* Requests in log entries and on the socket: they come back as they went, generated code reads the same
 * from the bytes, and what is no request is refused. */
#include "tests/test.h"

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/kv_pb.h"
#include "proto/schema/kv.pb-c.h"

#define B(text) BYTES_LITERAL(text)

static struct blob *encode_put(struct bytes key, struct bytes value)
{
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = key, .value = value, .lease = 9}};
    struct entry_request request = {.kind = ENTRY_TXN, .session = 7, .number = 300,
                                    .lowest_open = 299,
                                    .txn = {.success = &op, .success_count = 1}};
    return entry_request_encode(&request);
}

static void put_stands_alone(void **state)
{
    (void)state;
    struct blob *payload = encode_put(B("/app/port"), B("8080"));
    struct bytes rest = bytes_skip(blob_bytes(payload), ENTRY_STAMP_SIZE);
    Kv__EntryRequest *message = kv__entry_request__unpack(NULL, rest.size, rest.data);
    assert_non_null(message);
    assert_int_equal(message->request_case, KV__ENTRY_REQUEST__REQUEST_PUT);
    assert_int_equal(message->put->value.len, 4);
    kv__entry_request__free_unpacked(message, NULL);

    struct arena arena = {0};
    struct entry_request back;
    assert_ok(entry_request_decode(blob_bytes(payload), &arena, &back, NULL));
    assert_int_equal(back.kind, ENTRY_TXN);
    assert_int_equal(back.session, 7);
    assert_int_equal(back.number, 300);
    assert_int_equal(back.lowest_open, 299);
    assert_int_equal(back.txn.success_count, 1);
    assert_int_equal(back.txn.success[0].kind, KV_OP_PUT);
    assert_bytes_equal(back.txn.success[0].put.key, B("/app/port"));
    assert_bytes_equal(back.txn.success[0].put.value, B("8080"));
    assert_int_equal(back.txn.success[0].put.lease, 9);
    /* Borrowed, not copied. */
    assert_true(back.txn.success[0].put.value.data > payload->data);
    assert_true(back.txn.success[0].put.value.data < payload->data + payload->size);
    arena_release(&arena);
    blob_unref(payload);
}

/* Generated code takes the put apart and packs it again. */
static void packed_again(const struct entry_request *request)
{
    struct blob *payload = entry_request_encode(request);
    struct bytes rest = bytes_skip(blob_bytes(payload), ENTRY_STAMP_SIZE);
    Kv__EntryRequest *message = kv__entry_request__unpack(NULL, rest.size, rest.data);
    assert_non_null(message);
    const struct kv_put *put = &request->txn.success[0].put;
    assert_int_equal(message->request_case, KV__ENTRY_REQUEST__REQUEST_PUT);
    assert_bytes_equal(bytes_of(message->put->key.data, message->put->key.len), put->key);
    assert_bytes_equal(bytes_of(message->put->value.data, message->put->value.len), put->value);
    assert_int_equal(message->put->lease, put->lease);
    assert_int_equal(message->put->prev_kv, put->want_previous);
    assert_int_equal(message->put->ignore_value, put->ignore_value);
    assert_int_equal(message->put->ignore_lease, put->ignore_lease);
    assert_int_equal(message->session, request->session);
    assert_int_equal(message->number, request->number);
    assert_int_equal(message->lowest_open, request->lowest_open);
    assert_int_equal(message->privileged, request->privileged);
    struct buf again = {0};
    kv__entry_request__pack(message, buf_extend(&again, kv__entry_request__get_packed_size(message)));
    assert_bytes_equal(rest, buf_bytes(&again));
    buf_release(&again);
    kv__entry_request__free_unpacked(message, NULL);
    blob_unref(payload);
}

/* Sizes on both sides of each length of a size, numbers of one byte and of ten. */
static void puts_are_written_as_generated(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 126, 127, 128, 16383, 16384, 70000};
    static const uint64_t numbers[] = {0, 1, 127, 128, UINT64_C(1) << 40, UINT64_MAX};
    static uint8_t value[70000];
    memset(value, 'x', sizeof(value));
    for (size_t i = 0; i < ARRAY_COUNT(sizes) * ARRAY_COUNT(numbers) * 16; i++) {
        uint64_t number = numbers[i / 16 % ARRAY_COUNT(numbers)];
        size_t size = sizes[i / 16 / ARRAY_COUNT(numbers)];
        struct kv_op op = {.kind = KV_OP_PUT,
                           .put = {.key = bytes_of(value, size / 64),
                                   .value = bytes_of(value, size),
                                   .lease = (int64_t)number,
                                   .want_previous = i & 1,
                                   .ignore_value = i & 2,
                                   .ignore_lease = i & 4}};
        struct entry_request request = {.kind = ENTRY_TXN,
                                        .session = number,
                                        .number = ~number,
                                        .lowest_open = number / 2,
                                        .privileged = i & 8,
                                        .txn = {.success = &op, .success_count = 1}};
        packed_again(&request);
    }
}

static void stamp_has_its_slot(void **state)
{
    (void)state;
    struct blob *payload = encode_put(B("k"), B("v"));
    assert_int_equal(entry_stamp(blob_bytes(payload)), 0);
    entry_stamp_set(payload, 1763978400123456789);
    assert_int_equal(entry_stamp(blob_bytes(payload)), 1763978400123456789);
    assert_int_equal(entry_stamp(B("short")), 0);
    blob_unref(payload);
}

static void txn_with_everything(void **state)
{
    (void)state;
    struct kv_compare compares[] = {
        {.key = B("a"), .target = KV_COMPARE_CREATE, .result = KV_EQUAL, .number = 0},
        {.key = B("b"), .range_end = B("c"), .target = KV_COMPARE_VALUE, .result = KV_NOT_EQUAL,
         .value = B("x")},
        {.key = B("l"), .target = KV_COMPARE_LEASE, .result = KV_LESS, .number = -4},
    };
    struct kv_op nested = {.kind = KV_OP_DELETE, .del = {.key = B("n"), .want_previous = true}};
    struct kv_op success[] = {
        {.kind = KV_OP_RANGE,
         .range = {.key = B("r"), .range_end = B("s"), .limit = 5, .revision = 77,
                   .sort_order = KV_SORT_DESCEND, .sort_target = KV_SORT_MOD, .serializable = true,
                   .keys_only = true, .count_only = true, .sizes_only = true, .want_times = true,
                   .min_mod_revision = 1, .max_mod_revision = 2, .min_create_revision = 3,
                   .max_create_revision = 4}},
        {.kind = KV_OP_TXN, .txn = {.failure = &nested, .failure_count = 1}},
    };
    struct kv_op failure = {.kind = KV_OP_RENAME,
                            .rename = {.from = B("/a"), .to = B("/b"), .value_only = true,
                                       .replace = true, .exchange = true}};
    struct entry_request request = {.kind = ENTRY_TXN, .privileged = true,
                                    .txn = {compares, success, &failure, 3, 2, 1}};
    struct blob *payload = entry_request_encode(&request);
    struct arena arena = {0};
    struct entry_request back;
    assert_ok(entry_request_decode(blob_bytes(payload), &arena, &back, NULL));
    assert_true(back.privileged);
    assert_int_equal(back.txn.compare_count, 3);
    assert_int_equal(back.txn.compares[0].target, KV_COMPARE_CREATE);
    assert_int_equal(back.txn.compares[1].result, KV_NOT_EQUAL);
    assert_bytes_equal(back.txn.compares[1].value, B("x"));
    assert_bytes_equal(back.txn.compares[1].range_end, B("c"));
    assert_int_equal(back.txn.compares[2].number, -4);
    const struct kv_range *range = &back.txn.success[0].range;
    assert_int_equal(range->limit, 5);
    assert_int_equal(range->revision, 77);
    assert_int_equal(range->sort_order, KV_SORT_DESCEND);
    assert_int_equal(range->sort_target, KV_SORT_MOD);
    assert_true(range->serializable && range->keys_only && range->count_only &&
                range->sizes_only && range->want_times);
    assert_int_equal(range->max_create_revision, 4);
    assert_int_equal(back.txn.success[1].kind, KV_OP_TXN);
    assert_true(back.txn.success[1].txn.failure[0].del.want_previous);
    assert_bytes_equal(back.txn.failure[0].rename.to, B("/b"));
    assert_true(back.txn.failure[0].rename.exchange && back.txn.failure[0].rename.replace &&
                back.txn.failure[0].rename.value_only);
    arena_release(&arena);
    blob_unref(payload);
}

static void kinds_come_back(void **state)
{
    (void)state;
    struct entry_request requests[] = {
        {.kind = ENTRY_COMPACT, .compact = {.revision = 12, .physical = true}},
        {.kind = ENTRY_COMPACTED, .compact = {.revision = 13}, .compacted_bytes = 1ull << 40},
        {.kind = ENTRY_SESSION_OPEN, .number = UINT64_MAX},
        {.kind = ENTRY_SESSION_CLOSE, .session = 3},
        {.kind = ENTRY_LEASE_GRANT, .session = 3, .number = 4, .lease = {.id = 77, .ttl_s = 60}},
        {.kind = ENTRY_LEASE_GRANT, .lease = {.id = INT64_MIN, .ttl_s = INT64_MIN}},
        {.kind = ENTRY_LEASE_RENEW, .session = 3, .number = 5, .lease.id = INT64_MAX},
        {.kind = ENTRY_LEASE_REVOKE, .session = 3, .number = 6, .lease.id = -1},
        {.kind = ENTRY_LEASE_EXPIRE, .lease.id = 77, .lease_renewed = UINT64_MAX},
        {.kind = ENTRY_ALARM, .alarm_raised = true},
        {.kind = ENTRY_ALARM},
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct blob *payload = entry_request_encode(&requests[i]);
        struct arena arena = {0};
        struct entry_request back;
        assert_ok(entry_request_decode(blob_bytes(payload), &arena, &back, NULL));
        assert_int_equal(back.kind, requests[i].kind);
        assert_int_equal(back.session, requests[i].session);
        assert_int_equal(back.number, requests[i].number);
        if (back.kind >= ENTRY_LEASE_GRANT && back.kind <= ENTRY_LEASE_EXPIRE) {
            assert_true(back.lease.id == requests[i].lease.id);
            assert_true(back.lease.ttl_s == requests[i].lease.ttl_s);
            assert_true(back.lease_renewed == requests[i].lease_renewed);
        } else {
            assert_int_equal(back.compact.revision, requests[i].compact.revision);
            assert_int_equal(back.compact.physical, requests[i].compact.physical);
        }
        assert_int_equal(back.compacted_bytes, requests[i].compacted_bytes);
        assert_int_equal(back.alarm_raised, requests[i].alarm_raised);
        arena_release(&arena);
        blob_unref(payload);
    }
}

static enum err_code decode(struct blob *payload, struct err *err)
{
    struct arena arena = {0};
    struct entry_request back;
    enum err_code code = entry_request_decode(blob_bytes(payload), &arena, &back, err);
    arena_release(&arena);
    blob_unref(payload);
    return code;
}

static enum err_code decode_nested(unsigned depth)
{
    struct kv_op ops[32];
    struct err err;
    memset(ops, 0, sizeof(ops));
    ops[0] = (struct kv_op){.kind = KV_OP_DELETE, .del = {.key = B("k")}};
    for (unsigned i = 1; i < depth; i++)
        ops[i] = (struct kv_op){.kind = KV_OP_TXN,
                                .txn = {.success = &ops[i - 1], .success_count = 1}};
    struct kv_compare compare = {.key = B("k")};
    struct entry_request request = {.kind = ENTRY_TXN,
                                    .txn = {&compare, &ops[depth - 1], NULL, 1, 1, 0}};
    return decode(entry_request_encode(&request), &err);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    assert_ok(decode_nested(TXN_DEPTH_MAX));
    assert_err(decode_nested(TXN_DEPTH_MAX + 1), CORRUPT);
    assert_err(decode_nested(32), CORRUPT);
}

static void operations_are_bounded(void **state)
{
    (void)state;
    struct kv_op ops[4 * TXN_OPS_MAX + 1];
    struct err err;
    for (size_t i = 0; i < 4 * TXN_OPS_MAX + 1; i++)
        ops[i] = (struct kv_op){.kind = KV_OP_PUT, .put = {.key = B("k")}};
    struct entry_request request = {.kind = ENTRY_TXN,
                                    .txn = {.success = ops, .success_count = 4 * TXN_OPS_MAX}};
    assert_ok(decode(entry_request_encode(&request), &err));
    request.txn.success_count++;
    assert_err(decode(entry_request_encode(&request), &err), CORRUPT);
    assert_non_null(strstr(err.text, "512"));
}

static void what_is_no_request(void **state)
{
    (void)state;
    struct err err;
    assert_err(decode(blob_copy(B("")), &err), CORRUPT);
    assert_err(decode(blob_copy(B("stamp...")), &err), CORRUPT);            /* no kind */
    assert_err(decode(blob_copy(B("stamp...\x92\x08\x00")), &err), CORRUPT); /* kind 130 */
    assert_err(decode(blob_copy(B("stamp...\x7a\x05\x00")), &err), CORRUPT); /* cut */
    assert_err(decode(blob_copy(B("stamp...\x7a\x00\x7a\x00")), &err), CORRUPT); /* two kinds */
    assert_err(decode(blob_copy(B("stamp...\x0b")), &err), CORRUPT);        /* a group */
    assert_err(decode(blob_copy(B("stamp...\x5a\x05\x0a\x01k\x38\x01")), &err), CORRUPT); /* put 7 */
    assert_err(decode(blob_copy(B("stamp...\x52\x02\x20\x01")), &err), CORRUPT);    /* txn 4 */
    assert_err(decode(blob_copy(B("stamp...\x52\x04\x12\x02\x2a\x00")), &err), CORRUPT); /* op 5 */
    assert_err(decode(blob_copy(B("stamp...\x8a\x01\x02\x18\x01")), &err), CORRUPT); /* grant 3 */
    assert_err(decode(blob_copy(B("stamp...\x92\x01\x02\x10\x01")), &err), CORRUPT); /* renew 2 */
    assert_err(decode(blob_copy(B("stamp...\x9a\x01\x02\x10\x01")), &err), CORRUPT); /* revoke 2 */
    assert_err(decode(blob_copy(B("stamp...\xa2\x01\x02\x18\x01")), &err), CORRUPT); /* expire 3 */
    assert_ok(decode(blob_copy(B("stamp...\xa2\x01\x02\x10\x01")), &err));
    assert_ok(decode(blob_copy(B("stamp...\x7a\x00")), &err));
    assert_ok(decode(blob_copy(B("stamp...\xaa\x01\x02\x08\x01")), &err));
    assert_err(decode(blob_copy(B("stamp...\xaa\x01\x02\x10\x01")), &err), CORRUPT); /* of a later program */
}

/* Every prefix of a valid payload decodes or is refused, and never reads past its end. */
static void every_cut(void **state)
{
    (void)state;
    struct blob *payload = encode_put(B("/app/port"), B("8080"));
    for (size_t size = 0; size < payload->size; size++) {
        struct err err;
        decode(blob_copy(bytes_of(payload->data, size)), &err);
    }
    blob_unref(payload);
}

static bool is_wide(struct kv_op op)
{
    struct kv_op nested = {.kind = KV_OP_TXN, .txn = {.failure = &op, .failure_count = 1}};
    struct entry_request request = {.kind = ENTRY_TXN, .txn = {.success = &op, .success_count = 1}};
    struct blob *alone = entry_request_encode(&request);
    request.txn.success = &nested;
    struct blob *inside = entry_request_encode(&request);
    bool wide = entry_request_is_wide(blob_bytes(alone));
    assert_int_equal(entry_request_is_wide(blob_bytes(inside)), wide);
    blob_unref(alone);
    blob_unref(inside);
    return wide;
}

static void wide_entries_are_told(void **state)
{
    (void)state;
    assert_false(is_wide((struct kv_op){.kind = KV_OP_PUT, .put = {.key = B("k")}}));
    assert_false(is_wide((struct kv_op){.kind = KV_OP_DELETE, .del = {.key = B("k")}}));
    assert_true(is_wide((struct kv_op){.kind = KV_OP_DELETE,
                                       .del = {.key = B("k"), .range_end = B("l")}}));
    assert_false(is_wide((struct kv_op){.kind = KV_OP_RANGE, .range = {.key = B("k")}}));
    assert_true(is_wide((struct kv_op){.kind = KV_OP_RANGE,
                                       .range = {.key = B("k"), .range_end = B("l")}}));
    assert_false(is_wide((struct kv_op){
        .kind = KV_OP_RANGE, .range = {.key = B("k"), .range_end = B("l"), .limit = 64}}));
    struct kv_op rename = {.kind = KV_OP_RENAME, .rename = {.from = B("a"), .to = B("b")}};
    assert_true(is_wide(rename));
    rename.rename.value_only = true;
    assert_false(is_wide(rename));
    /* Ending a lease deletes whatever hangs on it. */
    for (unsigned kind = ENTRY_LEASE_GRANT; kind <= ENTRY_LEASE_EXPIRE; kind++) {
        struct entry_request request = {.kind = (enum entry_request_kind)kind, .lease.id = 1};
        struct blob *payload = entry_request_encode(&request);
        assert_int_equal(entry_request_is_wide(blob_bytes(payload)), kind >= ENTRY_LEASE_REVOKE);
        blob_unref(payload);
    }
    assert_false(entry_request_is_wide(B("")));
    assert_false(entry_request_is_wide(B("stamp...\x7a\x00")));
    assert_false(entry_request_is_wide(B("stamp...\xaa\x01\x02\x08\x01")));
}

static void socket_requests_come_back(void **state)
{
    (void)state;
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = B("k"), .value = B("v")}};
    struct socket_request requests[] = {
        {.kind = SOCKET_RANGE, .range = {.key = B("k"), .range_end = B("l")}},
        {.kind = SOCKET_TXN, .txn = {.success = &op, .success_count = 1}},
        {.kind = SOCKET_COMPACT, .compact = {.revision = 4}},
        {.kind = SOCKET_STATUS},
        {.kind = SOCKET_STOP},
        {.kind = SOCKET_MEMBER, .member = {SOCKET_MEMBER_ADD, "d", "h:4", true}},
    };
    for (size_t i = 0; i < 6; i++) {
        struct buf buf = {0};
        struct arena arena = {0};
        struct socket_request back;
        socket_request_encode(&requests[i], &buf);
        assert_int_equal(get_le32(buf.data), buf.size - 4);
        assert_ok(socket_request_decode(bytes_skip(buf_bytes(&buf), 4), &arena, &back, NULL));
        assert_int_equal(back.kind, requests[i].kind);
        if (back.kind == SOCKET_RANGE)
            assert_bytes_equal(back.range.range_end, B("l"));
        if (back.kind == SOCKET_TXN)
            assert_bytes_equal(back.txn.success[0].put.value, B("v"));
        if (back.kind == SOCKET_COMPACT)
            assert_int_equal(back.compact.revision, 4);
        if (back.kind == SOCKET_MEMBER) {
            assert_int_equal(back.member.action, SOCKET_MEMBER_ADD);
            assert_string_equal(back.member.target, "d");
            assert_string_equal(back.member.address, "h:4");
            assert_true(back.member.force);
        }
        arena_release(&arena);
        buf_release(&buf);
    }
}

/* Nothing is asked, something unknown is, a word is too long or holds a NUL. */
static void questions_about_members_that_are_refused(void **state)
{
    uint8_t frames[][12] = {
        {0x32, 0}, {0x32, 2, 0x08, 6}, {0x32, 2, 0x08, 0}, {0x32, 5, 0x08, 3, 0x12, 1, 0}};
    const size_t sizes[] = {2, 4, 4, 7};
    struct socket_request back;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct arena arena = {0};
        assert_err(socket_request_decode(bytes_of(frames[i], sizes[i]), &arena, &back, NULL), CORRUPT);
        arena_release(&arena);
    }
    struct buf buf = {0};
    struct arena arena = {0};
    buf_append(&buf, bytes_of((uint8_t[]){0x32, 0xc7, 2, 0x08, 3, 0x12, 0xc0, 2}, 8));
    memset(buf_extend(&buf, SOCKET_WORD_SIZE + 2), 'n', SOCKET_WORD_SIZE + 2);
    buf.data[1] = 0xc5;
    buf.size = 8 + SOCKET_WORD_SIZE;
    assert_err(socket_request_decode(buf_bytes(&buf), &arena, &back, NULL), CORRUPT);
    arena_release(&arena);
    buf_release(&buf);
}

static struct socket_response through_the_socket(const struct socket_response *response,
                                                 struct buf *buf, struct arena *arena)
{
    struct socket_response back;
    socket_response_encode(response, buf);
    assert_ok(socket_response_decode(bytes_skip(buf_bytes(buf), 4), arena, &back, NULL));
    assert_int_equal(back.kind, response->kind);
    assert_int_equal(back.code, response->code);
    assert_int_equal(back.revision, response->revision);
    return back;
}

static void socket_answers_come_back(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct arena arena = {0};
    struct kv_item items[] = {
        {.key = B("a"), .value = B("1"), .create_revision = 2, .mod_revision = 3, .version = 4,
         .lease = 5, .size = 1, .create_time = -6, .mod_time = 7},
        {.key = B("b")},
    };
    struct kv_op_result results[] = {
        {.kind = KV_OP_RANGE, .range = {items, 2, 9, true}},
        {.kind = KV_OP_PUT, .put = {true, items[0]}},
        {.kind = KV_OP_PUT, .put = {.has_previous = false}},
        {.kind = KV_OP_DELETE, .del = {2, items}},
        {.kind = KV_OP_DELETE, .del = {2, NULL}},
        {.kind = KV_OP_RENAME, .rename = {20000}},
        {.kind = KV_OP_TXN, .txn = {true, NULL, 0}},
    };
    struct socket_response response = {.kind = SOCKET_TXN, .cluster_id = 1, .member_id = 2,
                                       .raft_term = 3, .revision = 4,
                                       .result = {.kind = KV_OP_TXN, .txn = {true, results, 7}}};
    struct socket_response back = through_the_socket(&response, &buf, &arena);
    assert_int_equal(back.cluster_id, 1);
    assert_int_equal(back.member_id, 2);
    assert_int_equal(back.raft_term, 3);
    const struct kv_op_result *got = back.result.txn.results;
    assert_int_equal(back.result.txn.count, 7);
    assert_int_equal(got[0].range.total, 9);
    assert_true(got[0].range.more);
    assert_int_equal(got[0].range.items[0].create_time, -6);
    assert_int_equal(got[0].range.items[0].lease, 5);
    assert_bytes_equal(got[0].range.items[1].key, B("b"));
    assert_true(got[1].put.has_previous && !got[2].put.has_previous);
    assert_bytes_equal(got[1].put.previous.value, B("1"));
    assert_non_null(got[3].del.previous);
    assert_null(got[4].del.previous);
    assert_int_equal(got[4].del.deleted, 2);
    assert_int_equal(got[5].rename.moved, 20000);
    assert_true(got[6].txn.succeeded);
    arena_release(&arena);
    buf_release(&buf);
}

static void socket_errors_carry_their_sentence(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct arena arena = {0};
    struct socket_response response = {.kind = SOCKET_RANGE, .code = ERR_COMPACTED};
    err_set(&response.err, ERR_COMPACTED, "revision %d has been compacted", 5);
    struct socket_response back = through_the_socket(&response, &buf, &arena);
    assert_string_equal(back.err.text, "revision 5 has been compacted");
    buf_clear(&buf);
    response = (struct socket_response){.kind = SOCKET_STATUS, .status = B("all is well\n")};
    back = through_the_socket(&response, &buf, &arena);
    assert_bytes_equal(back.status, B("all is well\n"));
    /* An answer to RANGE that holds none. */
    assert_err(socket_response_decode(B("\x08\x01"), &arena, &back, NULL), CORRUPT);
    arena_release(&arena);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_stands_alone),
        cmocka_unit_test(puts_are_written_as_generated),
        cmocka_unit_test(stamp_has_its_slot),
        cmocka_unit_test(txn_with_everything),
        cmocka_unit_test(kinds_come_back),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(operations_are_bounded),
        cmocka_unit_test(what_is_no_request),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(wide_entries_are_told),
        cmocka_unit_test(socket_requests_come_back),
        cmocka_unit_test(questions_about_members_that_are_refused),
        cmocka_unit_test(socket_answers_come_back),
        cmocka_unit_test(socket_errors_carry_their_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
