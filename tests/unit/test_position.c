/* The rolling hash of what entries did: the same however they are cut into batches, kept over restarts and
 * in copies; another one as soon as an entry meets a row that has changed. */
#include "mvcc/index.h"
#include "tests/unit/store_fixture.h"

#define ENTRIES 40

/* Puts to a few keys, with a delete among them; what an index does is always the same. */
static struct entry entry_of(raft_index index)
{
    char key[32], value[32];
    snprintf(key, sizeof key, "/d%d/k%d", (int)(index % 3), (int)(index % 5));
    snprintf(value, sizeof value, "%d", (int)index);
    struct kv_op op = {.kind = index % 7 == 6 ? KV_OP_DELETE : KV_OP_PUT};
    if (op.kind == KV_OP_PUT)
        op.put = (struct kv_put){.key = bytes_of_text(key), .value = bytes_of_text(value)};
    else
        op.del = (struct kv_delete){.key = bytes_of_text(key)};
    struct entry_request request = {.kind = ENTRY_TXN, .txn = {.success = &op, .success_count = 1}};
    struct entry entry = {
        .term = 1, .index = index, .payload = entry_request_encode(&request)};
    entry_stamp_set(entry.payload, (kv_time)index * 1000);
    return entry;
}

/* Applies up to last, so many to a batch, and notes the hash after each. */
static void apply(struct store *store, raft_index last, size_t some, bool want, uint64_t *ret_hashes)
{
    struct store_result result;
    while (store_applied(store) < last) {
        raft_index from = store_applied(store);
        store_begin(store);
        for (raft_index index = from + 1; index <= last && index <= from + some; index++) {
            struct entry entry = entry_of(index);
            assert_ok(store_apply(store, &entry, want, &result, NULL));
            ret_hashes[index] = result.hash;
            arena_release(&result.arena);
            blob_unref(entry.payload);
        }
        assert_ok(store_commit(store, NULL));
    }
}

static void test_batches_do_not_matter(void **state)
{
    (void)state;
    uint64_t one[ENTRIES + 1] = {0}, many[ENTRIES + 1] = {0};
    struct member left, right;
    member_begin(&left);
    member_begin(&right);
    apply(left.store, ENTRIES, 1, true, one);
    apply(right.store, ENTRIES, 13, false, many);
    assert_memory_equal(one, many, sizeof one);
    for (size_t i = 1; i <= ENTRIES; i++)
        assert_int_not_equal(one[i], one[i - 1]);
    struct store_position position = store_position(left.store);
    assert_int_equal(position.index, ENTRIES);
    assert_int_equal(position.since, 0);
    assert_int_equal(position.hash, one[ENTRIES]);
    member_end(&left);
    member_end(&right);
}

static void test_restart_goes_on(void **state)
{
    (void)state;
    uint64_t straight[ENTRIES + 1] = {0}, halting[ENTRIES + 1] = {0};
    struct member left, right;
    member_begin(&left);
    member_begin(&right);
    apply(left.store, ENTRIES, ENTRIES, false, straight);
    apply(right.store, ENTRIES / 2, 7, false, halting);
    member_reopen(&right);
    assert_int_equal(store_position(right.store).hash, halting[ENTRIES / 2]);
    apply(right.store, ENTRIES, 7, false, halting);
    assert_memory_equal(straight, halting, sizeof straight);
    member_end(&left);
    member_end(&right);
}

/* A configuration has part in it, too. */
static void test_configurations(void **state)
{
    (void)state;
    struct entry entry = {.term = 1, .index = 1, .type = ENTRY_CONF_CHANGE_V2};
    uint64_t hashes[2];
    for (size_t i = 0; i < 2; i++) {
        struct member member;
        member_begin(&member);
        store_begin(member.store);
        assert_ok(store_apply_configuration(member.store, &entry, i ? B("one") : B("two"), NULL));
        assert_ok(store_commit(member.store, NULL));
        hashes[i] = store_position(member.store).hash;
        member_end(&member);
    }
    assert_int_not_equal(hashes[0], hashes[1]);
}

/* The live head of a key, with its version counted up by a damage that no checksum tells. */
static void damage_head(struct member *member, struct bytes row)
{
    struct buf value = {0};
    store_close(member->store);
    struct backend *backend = backend_memory_open(member->memory);
    assert_ok(backend->ops->get(backend, NULL, row, &value, NULL));
    /* flags of the name, main, sub, flags of the head, time: then the version */
    struct cursor cursor = cursor_of(buf_bytes(&value));
    (void)cursor_u8(&cursor);
    (void)cursor_varint(&cursor);
    (void)cursor_varint(&cursor);
    (void)cursor_u8(&cursor);
    (void)cursor_le64(&cursor);
    value.data[value.size - cursor.rest.size] ^= 2;
    struct backend_op op = {.key = row, .value = buf_bytes(&value)};
    assert_ok(backend->ops->write(backend, &op, 1, NULL));
    backend_close(backend);
    buf_release(&value);
    member->store = fixture_open(backend_memory_open(member->memory));
}

static void test_damage_shows(void **state)
{
    (void)state;
    uint64_t sound[ENTRIES + 1] = {0}, damaged[ENTRIES + 1] = {0};
    struct member left, right;
    member_begin(&left);
    member_begin(&right);
    apply(left.store, ENTRIES, 5, false, sound);
    apply(right.store, 20, 5, false, damaged);
    /* Written by entries 8, 23 and 38. */
    damage_head(&right, B("d/d2/\0\0k3"));
    apply(right.store, ENTRIES, 5, false, damaged);
    assert_int_equal(sound[22], damaged[22]);
    assert_int_not_equal(sound[23], damaged[23]);
    assert_int_not_equal(sound[ENTRIES], damaged[ENTRIES]);
    member_end(&left);
    member_end(&right);
}

/* A row of a program that knew no hash: it begins where the store stands. */
static void test_older_row(void **state)
{
    (void)state;
    uint64_t hashes[ENTRIES + 1] = {0};
    struct member member;
    struct buf row = {0};
    member_begin(&member);
    apply(member.store, 10, 5, false, hashes);
    store_close(member.store);
    struct backend *backend = backend_memory_open(member.memory);
    assert_ok(backend->ops->get(backend, NULL, B("mstate"), &row, NULL));
    assert_int_equal(row.size, 64);
    struct backend_op op = {.key = B("mstate"), .value = bytes_of(row.data, 48)};
    assert_ok(backend->ops->write(backend, &op, 1, NULL));
    backend_close(backend);
    member.store = fixture_open(backend_memory_open(member.memory));
    struct store_position position = store_position(member.store);
    assert_int_equal(position.index, 10);
    assert_int_equal(position.since, 10);
    assert_int_equal(position.hash, 0);
    apply(member.store, ENTRIES, 5, false, hashes);
    member_reopen(&member);
    position = store_position(member.store);
    assert_int_equal(position.since, 10);
    assert_int_equal(position.hash, hashes[ENTRIES]);
    member_end(&member);
    buf_release(&row);
}

/* Any other length is no state. */
static void test_cut_row(void **state)
{
    (void)state;
    struct member member;
    struct buf row = {0};
    member_begin(&member);
    store_close(member.store);
    for (size_t size = 0; size < 64; size++) {
        struct backend *backend = backend_memory_open(member.memory);
        struct store_options options = fixture_options;
        buf_clear(&row);
        assert_ok(backend->ops->get(backend, NULL, B("mstate"), &row, NULL));
        struct backend_op op = {.key = B("mstate"), .value = bytes_of(row.data, size)};
        assert_ok(backend->ops->write(backend, &op, 1, NULL));
        options.backend = backend;
        enum err_code code = store_open(&member.store, &options, NULL);
        assert_int_equal(code, size == 48 ? ERR_OK : ERR_CORRUPT);
        if (code == ERR_OK)
            store_close(member.store);
        backend = backend_memory_open(member.memory);
        op.value = buf_bytes(&row);
        assert_ok(backend->ops->write(backend, &op, 1, NULL));
        backend_close(backend);
    }
    buf_release(&row);
    backend_memory_free(member.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_do_not_matter),
        cmocka_unit_test(test_restart_goes_on),
        cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_damage_shows),
        cmocka_unit_test(test_older_row),
        cmocka_unit_test(test_cut_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
