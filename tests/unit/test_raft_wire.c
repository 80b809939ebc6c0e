/* Configurations and changes as bytes. The expected bytes are those of raftpb's generated code. */
#include "tests/test.h"

#include "cluster/raft/raft.h"

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct entry entry_of(enum entry_type type, struct bytes payload)
{
    return (struct entry){.type = type, .payload = blob_copy(payload)};
}

static enum err_code decode_change(enum entry_type type, struct bytes payload,
                                   struct raft_conf_change *ret_change)
{
    struct entry entry = entry_of(type, payload);
    enum err_code code = raft_conf_change_decode(&entry, ret_change);
    ret_change->context = BYTES_EMPTY; /* it points into the payload */
    blob_unref(entry.payload);
    return code;
}

static void test_set(void **state)
{
    (void)state;
    struct raft_id_set set = {0};
    assert_true(raft_id_set_add(&set, 5));
    assert_true(raft_id_set_add(&set, 2));
    assert_true(raft_id_set_add(&set, 9));
    assert_true(raft_id_set_add(&set, 5));
    assert_int_equal(set.count, 3);
    assert_int_equal(set.ids[0], 2);
    assert_int_equal(set.ids[2], 9);
    assert_true(raft_id_set_contains(&set, 5));
    assert_false(raft_id_set_contains(&set, 10));
    assert_false(raft_id_set_contains(&set, 3));
    raft_id_set_remove(&set, 3);
    raft_id_set_remove(&set, 5);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.ids[1], 9);
    for (raft_id id = 100; set.count < RAFT_MEMBERS_MAX; id++)
        assert_true(raft_id_set_add(&set, id));
    assert_false(raft_id_set_add(&set, 1000));
    assert_true(raft_id_set_add(&set, 100));
}

static void test_conf_state_bytes(void **state)
{
    (void)state;
    struct raft_conf_state conf = {
        .voters = {2, {1, 300}},
        .voters_outgoing = {2, {1, 2}},
        .learners = {1, {4}},
        .learners_next = {1, {2}},
        .auto_leave = true,
    };
    struct raft_conf_state back = {0};
    struct buf buf = {0};
    raft_conf_state_encode(&conf, &buf);
    assert_bytes_equal(buf_bytes(&buf),
                       BYTES(0x08, 1, 0x08, 0xac, 2, 0x10, 4, 0x18, 1, 0x18, 2, 0x20, 2, 0x28, 1));
    assert_ok(raft_conf_state_decode(buf_bytes(&buf), &back));
    assert_true(raft_conf_state_equal(&conf, &back));
    buf_release(&buf);
    assert_ok(raft_conf_state_decode(BYTES_EMPTY, &back));
    assert_int_equal(back.voters.count, 0);
}

static void test_conf_state_not_equal(void **state)
{
    (void)state;
    const struct raft_conf_state base = {
        {1, {1}}, {1, {2}}, {1, {3}}, {1, {2}}, true,
    };
    struct raft_conf_state other = base;
    assert_true(raft_conf_state_equal(&base, &other));
    other.voters.ids[0] = 9;
    assert_false(raft_conf_state_equal(&base, &other));
    other = base;
    other.voters_outgoing.count = 0;
    assert_false(raft_conf_state_equal(&base, &other));
    other = base;
    other.learners.count = 0;
    assert_false(raft_conf_state_equal(&base, &other));
    other = base;
    other.learners_next.count = 0;
    assert_false(raft_conf_state_equal(&base, &other));
    other = base;
    other.auto_leave = false;
    assert_false(raft_conf_state_equal(&base, &other));
}

/* Packed lists and unknown fields of every kind are read too. */
static void test_conf_state_other_forms(void **state)
{
    (void)state;
    struct raft_conf_state conf = {0};
    assert_ok(raft_conf_state_decode(BYTES(0x0a, 3, 3, 1, 2), &conf));
    assert_int_equal(conf.voters.count, 3);
    assert_int_equal(conf.voters.ids[0], 1);
    assert_ok(raft_conf_state_decode(BYTES(0x50, 7, 0x59, 1, 2, 3, 4, 5, 6, 7, 8, 0x62, 2, 0xff,
                                           0xff, 0x6d, 1, 2, 3, 4, 0x08, 6),
                                     &conf));
    assert_int_equal(conf.voters.ids[0], 6);
}

static void test_conf_state_malformed(void **state)
{
    (void)state;
    const struct bytes bad[] = {
        BYTES(0x08),             /* a tag without a value */
        BYTES(0x08, 0x80),       /* a cut varint */
        BYTES(0x08, 0),          /* id 0 */
        BYTES(0x08, 1, 0x08, 1), /* twice */
        BYTES(0x0a, 2, 1, 0x80), /* packed, cut */
        BYTES(0x0a, 2, 1, 1),    /* packed, twice */
        BYTES(0x0a, 5, 1),       /* a length beyond the end */
        BYTES(0x09, 1, 2, 3),    /* eight bytes, cut */
        BYTES(0x0d, 1, 2),       /* four bytes, cut */
        BYTES(0x0d, 1, 2, 3, 4), /* a list of another kind */
        BYTES(0x0b),             /* a group */
        BYTES(0x2a, 0),          /* a flag of another kind */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct raft_conf_state conf = {.auto_leave = true};
        assert_err(raft_conf_state_decode(bad[i], &conf), CORRUPT);
        assert_true(conf.auto_leave); /* untouched */
    }
    struct buf buf = {0};
    struct raft_conf_state conf;
    for (uint64_t id = 1; id <= RAFT_MEMBERS_MAX + 1; id++) {
        buf_append_u8(&buf, 0x08);
        buf_append_varint(&buf, id);
    }
    assert_err(raft_conf_state_decode(buf_bytes(&buf), &conf), CORRUPT);
    buf_release(&buf);
}

static void test_change_v1(void **state)
{
    (void)state;
    struct raft_conf_change change = {
        .count = 1,
        .changes = {{RAFT_CHANGE_ADD_LEARNER, 7}},
        .context = BYTES_LITERAL("x"),
    };
    struct raft_conf_change back;
    struct buf buf = {0};
    assert_ok(raft_conf_change_encode(&change, true, &buf));
    assert_bytes_equal(buf_bytes(&buf), BYTES(0x08, 0, 0x10, 3, 0x18, 7, 0x22, 1, 'x'));
    struct entry entry = entry_of(ENTRY_CONF_CHANGE, buf_bytes(&buf));
    assert_ok(raft_conf_change_decode(&entry, &back));
    assert_int_equal(back.count, 1);
    assert_int_equal(back.changes[0].type, RAFT_CHANGE_ADD_LEARNER);
    assert_int_equal(back.changes[0].id, 7);
    assert_bytes_equal(back.context, BYTES_LITERAL("x"));
    blob_unref(entry.payload);
    buf_clear(&buf);
    change.count = 2;
    assert_err(raft_conf_change_encode(&change, true, &buf), INVALID);
    change.count = 1;
    change.transition = RAFT_TRANSITION_JOINT_EXPLICIT;
    assert_err(raft_conf_change_encode(&change, true, &buf), INVALID);
    assert_int_equal(buf.size, 0);
    buf_release(&buf);
}

static void test_change_v2(void **state)
{
    (void)state;
    struct raft_conf_change change = {
        .transition = RAFT_TRANSITION_JOINT_IMPLICIT,
        .count = 2,
        .changes = {{RAFT_CHANGE_ADD_VOTER, 4}, {RAFT_CHANGE_REMOVE, 200}},
        .context = BYTES_LITERAL("why"),
    };
    struct raft_conf_change back;
    struct buf buf = {0};
    assert_ok(raft_conf_change_encode(&change, false, &buf));
    assert_bytes_equal(buf_bytes(&buf), BYTES(0x08, 1, 0x12, 4, 0x08, 0, 0x10, 4, 0x12, 5, 0x08, 1,
                                              0x10, 200, 1, 0x1a, 3, 'w', 'h', 'y'));
    struct entry entry = entry_of(ENTRY_CONF_CHANGE_V2, buf_bytes(&buf));
    assert_ok(raft_conf_change_decode(&entry, &back));
    assert_int_equal(back.transition, RAFT_TRANSITION_JOINT_IMPLICIT);
    assert_int_equal(back.count, 2);
    assert_int_equal(back.changes[1].type, RAFT_CHANGE_REMOVE);
    assert_int_equal(back.changes[1].id, 200);
    assert_bytes_equal(back.context, BYTES_LITERAL("why"));
    blob_unref(entry.payload);
    buf_release(&buf);
}

static void test_change_leave(void **state)
{
    (void)state;
    struct entry entry = {.type = ENTRY_CONF_CHANGE_V2};
    struct raft_conf_change change;
    assert_ok(raft_conf_change_decode(&entry, &change));
    assert_int_equal(change.count, 0);
    assert_int_equal(change.transition, RAFT_TRANSITION_AUTO);
    entry.type = ENTRY_NORMAL;
    assert_err(raft_conf_change_decode(&entry, &change), INVALID);
    assert_ok(decode_change(ENTRY_CONF_CHANGE_V2, BYTES(0x78, 1, 0x12, 2, 0x78, 1), &change));
    assert_int_equal(change.count, 1);
    assert_ok(decode_change(ENTRY_CONF_CHANGE, BYTES(0x78, 1), &change));
    assert_int_equal(change.count, 1);
}

static void test_change_malformed(void **state)
{
    (void)state;
    struct raft_conf_change change;
    assert_err(decode_change(ENTRY_CONF_CHANGE, BYTES(0x10, 4), &change), CORRUPT);
    assert_err(decode_change(ENTRY_CONF_CHANGE, BYTES(0x10, 0x80), &change), CORRUPT);
    assert_err(decode_change(ENTRY_CONF_CHANGE_V2, BYTES(0x08, 3), &change), CORRUPT);
    assert_err(decode_change(ENTRY_CONF_CHANGE_V2, BYTES(0x12, 2, 0x08, 4), &change), CORRUPT);
    assert_err(decode_change(ENTRY_CONF_CHANGE_V2, BYTES(0x12, 1, 0x08), &change), CORRUPT);
    assert_err(decode_change(ENTRY_CONF_CHANGE_V2, BYTES(0x12, 2, 0x0a, 0), &change), CORRUPT);
    assert_err(decode_change(ENTRY_CONF_CHANGE_V2, BYTES(0x12, 9), &change), CORRUPT);
    struct buf buf = {0};
    for (size_t i = 0; i <= RAFT_CHANGES_MAX; i++)
        buf_append(&buf, BYTES(0x12, 4, 0x08, 0, 0x10, 1));
    assert_err(decode_change(ENTRY_CONF_CHANGE_V2, buf_bytes(&buf), &change), CORRUPT);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_conf_state_bytes),
        cmocka_unit_test(test_conf_state_not_equal),
        cmocka_unit_test(test_conf_state_other_forms),
        cmocka_unit_test(test_conf_state_malformed),
        cmocka_unit_test(test_change_v1),
        cmocka_unit_test(test_change_v2),
        cmocka_unit_test(test_change_leave),
        cmocka_unit_test(test_change_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
