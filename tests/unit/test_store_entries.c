/* One entry at a time: texts of refusals, sorting and filters, times, answers told again, compaction and
 * values with several owners, opening, checkpoints; and the example of mvcc/FORMAT. */
#include "mvcc/batch.h"
#include "tests/unit/store_fixture.h"

struct world {
    struct backend_memory *memory;
    struct backend *backend;
    struct store *store;
    struct arena arena;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world->memory = backend_memory_new(0);
    world->backend = backend_memory_open(world->memory);
    world->store = fixture_open(world->backend);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    fixture_validate(world->store);
    store_close(world->store);
    backend_memory_free(world->memory);
    arena_release(&world->arena);
    free(world);
    return 0;
}

static struct kv_range_result range_of(struct world *world, struct kv_range range)
{
    struct kv_range_result result;
    kv_rev revision;
    assert_ok(store_range(world->store, &range, &world->arena, &result, &revision, NULL));
    return result;
}

static void refused(struct world *world, struct kv_op op, enum err_code code, const char *text)
{
    struct err err;
    kv_rev before = store_revision(world->store);
    assert_int_equal(fixture_op(world->store, op, &err), code);
    assert_string_equal(err.text, text);
    assert_int_equal(store_revision(world->store), before);
}

static void test_refusals(void **state)
{
    struct world *world = *state;
    static uint8_t large[1024 * 1024 + 1];
    fixture_put(world->store, B("/a"), B("1"));
    fixture_put(world->store, B("/a"), B("2"));
    assert_int_equal(fixture_compact(world->store, 3), ERR_OK);
    refused(world, (struct kv_op){.kind = KV_OP_RANGE, .range = {.key = B("/a"), .revision = 2}},
            ERR_COMPACTED, "mvcc: required revision has been compacted");
    refused(world, (struct kv_op){.kind = KV_OP_RANGE, .range = {.key = B("/a"), .revision = 4}},
            ERR_FUTURE, "mvcc: required revision is a future revision");
    refused(world, (struct kv_op){.kind = KV_OP_PUT, .put = {.key = B("/x"), .lease = 5}},
            ERR_NOT_FOUND, "requested lease not found");
    refused(world, (struct kv_op){.kind = KV_OP_PUT, .put = {.key = B("/x"), .ignore_value = true}},
            ERR_INVALID, "key not found");
    refused(world,
            (struct kv_op){.kind = KV_OP_PUT,
                           .put = {.key = B("/x"), .value = bytes_of(large, sizeof(large))}},
            ERR_TOO_BIG, "request is too large");
    assert_int_equal(fixture_compact(world->store, 3), ERR_COMPACTED);
    assert_int_equal(fixture_compact(world->store, 9), ERR_FUTURE);
    fixture_walk(world->store, 3);
    /* The floor itself is readable. */
    assert_int_equal(range_of(world, (struct kv_range){.key = B("/a"), .revision = 3}).count, 1);
}

/* Nothing of a txn is done when a part of it is refused. */
static void test_all_or_nothing(void **state)
{
    struct world *world = *state;
    struct kv_op ops[] = {
        {.kind = KV_OP_PUT, .put = {.key = B("/a"), .value = B("1")}},
        {.kind = KV_OP_RANGE, .range = {.key = B("/a"), .revision = 77}},
    };
    struct store_result result;
    assert_int_equal(fixture_txn(world->store,
                                 &(struct kv_txn){.success = ops, .success_count = 2}, &result),
                     ERR_FUTURE);
    arena_release(&result.arena);
    assert_int_equal(store_revision(world->store), 1);
    assert_int_equal(range_of(world, (struct kv_range){.key = B("/a")}).count, 0);
}

static void assert_owes(struct store *store, kv_rev want_revision, uint64_t want_bytes)
{
    kv_rev revision;
    uint64_t bytes;
    assert_int_equal(store_compact_owes(store, &revision, &bytes), want_revision != 0);
    assert_int_equal(revision, want_revision);
    assert_int_equal(bytes, want_bytes);
}

static void test_quota(void **state)
{
    struct world *world = *state;
    uint64_t used, limit, keys;
    fixture_put(world->store, B("/a"), B("12345"));
    fixture_put(world->store, B(KV_CONFIG_PREFIX "quota"), B("1048576"));
    store_quota_get(world->store, &used, &limit, &keys);
    assert_int_equal(limit, 1048576);
    assert_int_equal(keys, 1);
    static uint8_t large[600 * 1024];
    fixture_put(world->store, B("/b"), bytes_of(large, sizeof(large)));
    refused(world,
            (struct kv_op){.kind = KV_OP_PUT,
                           .put = {.key = B("/c"), .value = bytes_of(large, sizeof(large))}},
            ERR_NO_SPACE, "mvcc: database space exceeded");
    /* Deleting goes on, and compaction gives the bytes back when its entry says so. */
    fixture_delete(world->store, B("/b"));
    kv_rev at = store_revision(world->store);
    assert_int_equal(fixture_compact(world->store, at), ERR_OK);
    uint64_t freed = fixture_walk(world->store, at);
    assert_true(freed >= sizeof(large));
    struct entry_request request = {
        .kind = ENTRY_COMPACTED, .compact = {.revision = at}, .compacted_bytes = freed};
    struct store_result result;
    uint64_t before = 0, after = 0;
    store_quota_get(world->store, &before, &limit, &keys);
    assert_owes(world->store, at, freed);
    /* Twice: a second leader may tell it again. */
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    store_quota_get(world->store, &after, &limit, &keys);
    assert_int_equal(before - after, freed);
    assert_owes(world->store, 0, 0);
    fixture_put(world->store, B("/c"), bytes_of(large, sizeof(large)));
}

/* Another figure than our own: this member is not what it should be. */
static void test_figure_differs(void **state)
{
    struct world *world = *state;
    fixture_put(world->store, B("/a"), B("1"));
    fixture_put(world->store, B("/a"), B("2"));
    assert_int_equal(fixture_compact(world->store, 3), ERR_OK);
    uint64_t freed = fixture_walk(world->store, 3);
    struct entry_request request = {
        .kind = ENTRY_COMPACTED, .compact = {.revision = 3}, .compacted_bytes = freed + 1};
    struct store_result result;
    struct err err = {0};
    assert_err(fixture_apply(world->store, &request, &result, &err), CORRUPT);
    assert_non_null(strstr(err.text, "diverged"));
    store_close(world->store);
    world->store = fixture_open(backend_memory_open(world->memory));
}

/* A walk that is done and not credited is told again, also after a restart. */
static void test_figure_is_told_again(void **state)
{
    struct world *world = *state;
    fixture_put(world->store, B("/a"), B("1"));
    fixture_put(world->store, B("/a"), B("2"));
    assert_int_equal(fixture_compact(world->store, 3), ERR_OK);
    uint64_t freed = fixture_walk(world->store, 3);
    assert_int_equal(freed, 3);
    store_close(world->store);
    world->store = fixture_open(backend_memory_open(world->memory));
    assert_false(store_compact_pending(world->store));
    assert_owes(world->store, 3, freed);
    struct entry_request request = {
        .kind = ENTRY_COMPACTED, .compact = {.revision = 3}, .compacted_bytes = freed};
    struct store_result result;
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    assert_owes(world->store, 0, 0);
    store_close(world->store);
    world->store = fixture_open(backend_memory_open(world->memory));
    assert_owes(world->store, 0, 0);
}

/* The entry comes before this member's walk is done, and twice: it counts once, and nothing is owed. */
static void test_figure_comes_before_the_walk_ends(void **state)
{
    struct world *world = *state;
    uint64_t before, after, again, limit, keys;
    fixture_put(world->store, B("/a"), B("1"));
    fixture_put(world->store, B("/a"), B("2"));
    assert_int_equal(fixture_compact(world->store, 3), ERR_OK);
    store_quota_get(world->store, &before, &limit, &keys);
    struct entry_request request = {
        .kind = ENTRY_COMPACTED, .compact = {.revision = 3}, .compacted_bytes = 3};
    struct store_result result;
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    store_quota_get(world->store, &after, &limit, &keys);
    assert_int_equal(before - after, 3);
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    fixture_walk(world->store, 3);
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    store_quota_get(world->store, &again, &limit, &keys);
    assert_int_equal(again, after);
    assert_owes(world->store, 0, 0);
}

/* A revision that changed one key twice: the key's record goes with the key, and is put again. Column r
 * still tells of the first change when the next walk begins at that revision. */
static void test_floor_changed_a_key_twice(void **state)
{
    struct world *world = *state;
    struct bytes record = B(KV_META_PREFIX "/a");
    struct kv_op ops[] = {
        {.kind = KV_OP_DELETE, .del = {.key = B("/a")}},
        {.kind = KV_OP_PUT, .put = {.key = record, .value = B("2")}},
    };
    struct entry_request request = {.kind = ENTRY_TXN,
                                    .privileged = true,
                                    .txn = {.success = ops, .success_count = 2}};
    struct store_result result;
    fixture_put(world->store, B("/a"), B("1"));             /* 2 */
    fixture_put(world->store, record, B("1"));              /* 3 */
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    assert_int_equal(result.code, ERR_OK);                  /* 4, of three changes */
    arena_release(&result.arena);
    assert_int_equal(fixture_compact(world->store, 4), ERR_OK);
    fixture_walk(world->store, 4);
    fixture_validate(world->store);
    fixture_put(world->store, B("/a"), B("3"));             /* 5 */
    fixture_put(world->store, B("/a"), B("4"));             /* 6 */
    assert_int_equal(fixture_compact(world->store, 6), ERR_OK);
    fixture_walk(world->store, 6);
    fixture_validate(world->store);
    assert_int_equal(range_of(world, (struct kv_range){.key = record}).count, 1);
}

/* Members whose batches were different, and so their rows of column r, are equal, compacted or not. */
static void test_batches_do_not_matter(void **state)
{
    struct world *world = *state;
    struct backend_memory *memory = backend_memory_new(0);
    struct store *other = fixture_open(backend_memory_open(memory));
    uint64_t hash, other_hash;
    char text[16];
    for (int round = 0; round < 2; round++) {
        store_begin(other);
        for (int i = 0; i < 300; i++) {
            snprintf(text, sizeof(text), "/k%d", i % 100);
            struct kv_op op = {.kind = i % 7 == 6 ? KV_OP_DELETE : KV_OP_PUT};
            if (op.kind == KV_OP_PUT)
                op.put = (struct kv_put){.key = bytes_of_text(text), .value = B("x")};
            else
                op.del = (struct kv_delete){.key = bytes_of_text(text)};
            struct entry_request request = {.kind = ENTRY_TXN,
                                            .txn = {.success = &op, .success_count = 1}};
            struct store_result result;
            raft_index index = store_applied(world->store) + 1;
            assert_ok(fixture_apply(world->store, &request, &result, NULL));
            arena_release(&result.arena);
            struct entry entry = {
                .term = 1, .index = index, .payload = entry_request_encode(&request)};
            entry_stamp_set(entry.payload, (kv_time)index * 1000);
            assert_ok(store_apply(other, &entry, false, &result, NULL));
            blob_unref(entry.payload);
        }
        assert_ok(store_commit(other, NULL));
        kv_rev at = store_revision(other) - 150;
        assert_int_equal(fixture_compact(world->store, at), ERR_OK);
        assert_int_equal(fixture_compact(other, at), ERR_OK);
        assert_int_equal(fixture_walk(world->store, at), fixture_walk(other, at));
        fixture_validate(world->store);
        fixture_validate(other);
        assert_ok(store_hash(world->store, &hash, NULL));
        assert_ok(store_hash(other, &other_hash, NULL));
        assert_int_equal(hash, other_hash);
    }
    store_close(other);
    backend_memory_free(memory);
}

static void test_sorts_and_filters(void **state)
{
    struct world *world = *state;
    fixture_put(world->store, B("/a"), B("3"));      /* 2 */
    fixture_put(world->store, B("/b"), B("1"));      /* 3 */
    fixture_put(world->store, B("/c"), B("2"));      /* 4 */
    fixture_put(world->store, B("/a"), B("3"));      /* 5 */
    struct kv_range range = {.key = B("/"), .range_end = B("0"), .limit = 2,
                             .sort_target = KV_SORT_VALUE};
    struct kv_range_result result = range_of(world, range);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.total, 3);
    assert_true(result.more);
    assert_bytes_equal(result.items[0].key, B("/b"));
    assert_bytes_equal(result.items[1].key, B("/c"));
    range = (struct kv_range){.key = B("/"), .range_end = B("0"), .sort_target = KV_SORT_MOD,
                              .sort_order = KV_SORT_DESCEND, .keys_only = true};
    result = range_of(world, range);
    assert_bytes_equal(result.items[0].key, B("/a"));
    assert_int_equal(result.items[0].value.size, 0);
    assert_bytes_equal(result.items[2].key, B("/b"));
    range = (struct kv_range){.key = B("/"), .range_end = B("0"), .min_mod_revision = 4,
                              .max_create_revision = 3, .want_times = true};
    result = range_of(world, range);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.total, 3);
    assert_bytes_equal(result.items[0].key, B("/a"));
    assert_bytes_equal(result.items[0].value, B("3"));
    assert_int_equal(result.items[0].create_time, 1000);
    assert_int_equal(result.items[0].mod_time, 4000);
    range = (struct kv_range){.key = B("/"), .range_end = B("0"), .count_only = true, .limit = 1};
    result = range_of(world, range);
    assert_int_equal(result.count, 0);
    assert_int_equal(result.total, 3);
    assert_false(result.more);
}

static void test_times_and_versions(void **state)
{
    struct world *world = *state;
    kv_time time;
    struct kv_item item;
    fixture_put(world->store, B("/a"), B("1"));
    fixture_put(world->store, B("/a"), B("2"));
    fixture_delete(world->store, B("/a"));
    fixture_put(world->store, B("/b"), B("3"));
    assert_ok(store_time(world->store, 3, &time, NULL));
    assert_int_equal(time, 2000);
    assert_err(store_time(world->store, 1, &time, NULL), NOT_FOUND);
    assert_err(store_time(world->store, 6, &time, NULL), NOT_FOUND);
    assert_ok(store_get_version(world->store, B("/a"), 2, &world->arena, &item, NULL));
    assert_bytes_equal(item.value, B("1"));
    assert_err(store_get_version(world->store, B("/a"), 4, &world->arena, &item, NULL), NOT_FOUND);
    assert_int_equal(fixture_compact(world->store, 4), ERR_OK);
    fixture_walk(world->store, 4);
    assert_err(store_get_version(world->store, B("/a"), 2, &world->arena, &item, NULL), COMPACTED);
    assert_ok(store_time(world->store, 4, &time, NULL));
    assert_int_equal(time, 3000);
    assert_int_equal(fixture_compact(world->store, 5), ERR_OK);
    fixture_walk(world->store, 5);
    assert_err(store_time(world->store, 4, &time, NULL), NOT_FOUND);
}

static unsigned count_values(struct world *world)
{
    struct view view = view_open(world->backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    unsigned count = 0;
    view_iterator_seek(iterator, B("v"));
    for (; view_iterator_valid(iterator); view_iterator_next(iterator))
        count += view_iterator_key(iterator).data[0] == 'v' &&
                 view_iterator_value(iterator).size > 1000;
    view_iterator_free(iterator);
    view_release(&view);
    return count;
}

/* A value moved twice is stored once, and goes with the last version that refers to it. */
static void test_value_with_owners(void **state)
{
    struct world *world = *state;
    static uint8_t large[5000];
    memset(large, 'x', sizeof(large));
    fixture_put(world->store, B("/a"), bytes_of(large, sizeof(large)));          /* 2 */
    struct kv_op op = {.kind = KV_OP_RENAME, .rename = {.from = B("/a"), .to = B("/b")}};
    assert_ok(fixture_op(world->store, op, NULL));                               /* 3 */
    op.rename = (struct kv_rename){.from = B("/b"), .to = B("/c")};
    assert_ok(fixture_op(world->store, op, NULL));                               /* 4 */
    assert_int_equal(count_values(world), 1);
    fixture_validate(world->store);
    assert_int_equal(fixture_compact(world->store, 4), ERR_OK);
    fixture_walk(world->store, 4);
    fixture_validate(world->store);
    struct kv_range_result result = range_of(world, (struct kv_range){.key = B("/c")});
    assert_bytes_equal(result.items[0].value, bytes_of(large, sizeof(large)));
    op = (struct kv_op){.kind = KV_OP_PUT, .put = {.key = B("/c"), .ignore_value = true}};
    assert_ok(fixture_op(world->store, op, NULL));                               /* 5 */
    assert_int_equal(count_values(world), 1);
    fixture_delete(world->store, B("/c"));                                       /* 6 */
    fixture_put(world->store, B("/d"), B("1"));                                  /* 7 */
    assert_int_equal(fixture_compact(world->store, 7), ERR_OK);
    assert_true(fixture_walk(world->store, 7) >= sizeof(large));
    assert_int_equal(count_values(world), 0);
}

/* The same number again, after the store moved on: the answer is the one given before. */
static void test_told_again(void **state)
{
    struct world *world = *state;
    struct entry_request opening = {.kind = ENTRY_SESSION_OPEN, .number = 42};
    struct store_result result;
    fixture_put(world->store, B("/a"), B("old"));
    fixture_put(world->store, B("/b"), B("gone"));
    assert_ok(fixture_apply(world->store, &opening, &result, NULL));
    assert_true(result.is_session_open);
    assert_int_equal(result.number, 42);
    struct kv_compare compare = {.key = B("/b"), .target = KV_COMPARE_CREATE, .result = KV_EQUAL,
                                 .number = 3};
    struct kv_compare inner = {.key = B("/a"), .target = KV_COMPARE_VALUE, .value = B("old")};
    struct kv_op nested = {.kind = KV_OP_PUT, .put = {.key = B("/n"), .value = B("n")}};
    struct kv_op ops[] = {
        {.kind = KV_OP_RANGE, .range = {.key = B("/a")}},
        {.kind = KV_OP_PUT, .put = {.key = B("/a"), .value = B("new"), .want_previous = true}},
        {.kind = KV_OP_DELETE, .del = {.key = B("/b"), .want_previous = true}},
        {.kind = KV_OP_RANGE, .range = {.key = B("/a")}},
        {.kind = KV_OP_TXN, .txn = {.compares = &inner, .compare_count = 1, .success = &nested,
                                    .success_count = 1}},
    };
    struct entry_request request = {.kind = ENTRY_TXN, .session = result.session, .number = 1,
                                    .lowest_open = 1,
                                    .txn = {.compares = &compare, .compare_count = 1,
                                            .success = ops, .success_count = 5}};
    for (int turn = 0; turn < 2; turn++) {
        assert_ok(fixture_apply(world->store, &request, &result, NULL));
        assert_int_equal(result.code, ERR_OK);
        assert_int_equal(result.repeated, turn == 1);
        assert_int_equal(result.revision, 4);
        const struct kv_txn_result *txn = &result.result.txn;
        assert_true(txn->succeeded);
        assert_bytes_equal(txn->results[0].range.items[0].value, B("old"));
        assert_bytes_equal(txn->results[1].put.previous.value, B("old"));
        assert_int_equal(txn->results[2].del.deleted, 1);
        assert_bytes_equal(txn->results[2].del.previous[0].value, B("gone"));
        assert_bytes_equal(txn->results[3].range.items[0].value, B("new"));
        assert_true(txn->results[4].txn.succeeded);
        arena_release(&result.arena);
        if (turn == 0)
            fixture_put(world->store, B("/a"), B("newer"));
    }
    assert_int_equal(store_revision(world->store), 5);
    assert_true(store_session_exists(world->store, request.session));
    /* What the answer needs was compacted: it happened, and that is all that can be said. */
    assert_int_equal(fixture_compact(world->store, 5), ERR_OK);
    assert_ok(fixture_apply(world->store, &request, &result, NULL));
    assert_int_equal(result.code, ERR_SESSION_LOST);
    arena_release(&result.arena);
    fixture_walk(world->store, 5);
}

/* An entry that does not decode, and the one a term begins with: they count, and change nothing. */
static void test_entries_without_effect(void **state)
{
    struct world *world = *state;
    struct store_result result;
    struct blob *garbage = blob_copy(B("12345678\xff\xff\xff\xff"));
    struct entry entries[] = {{.term = 3, .index = 1}, {.term = 3, .index = 2, .payload = garbage}};
    store_begin(world->store);
    assert_ok(store_apply(world->store, &entries[0], true, &result, NULL));
    assert_int_equal(result.code, ERR_OK);
    assert_ok(store_apply(world->store, &entries[1], true, &result, NULL));
    assert_int_equal(result.code, ERR_INVALID);
    assert_int_equal(store_applied(world->store), 0);
    assert_ok(store_commit(world->store, NULL));
    assert_int_equal(store_applied(world->store), 2);
    assert_int_equal(store_applied_term(world->store), 3);
    assert_int_equal(store_revision(world->store), 1);
    blob_unref(garbage);
}

static void test_configuration(void **state)
{
    struct world *world = *state;
    struct buf found = {0};
    struct entry entry = {.term = 1, .index = 1, .type = ENTRY_CONF_CHANGE_V2};
    store_begin(world->store);
    assert_ok(store_apply_configuration(world->store, &entry, B("members"), NULL));
    assert_ok(store_commit(world->store, NULL));
    store_configuration(world->store, &found);
    assert_bytes_equal(buf_bytes(&found), B("members"));
    store_close(world->store);
    world->store = fixture_open(backend_memory_open(world->memory));
    store_configuration(world->store, &found);
    assert_bytes_equal(buf_bytes(&found), B("members"));
    buf_release(&found);
}

static void test_changes(void **state)
{
    struct world *world = *state;
    size_t count;
    fixture_put(world->store, B("/a"), B("1"));
    const struct store_change *changes = store_changes(world->store, &count);
    assert_int_equal(count, 1);
    assert_bytes_equal(changes[0].key, B("/a"));
    assert_int_equal(changes[0].changes, KV_CHANGED_VALUE | KV_CHANGED_NAME);
    assert_int_equal(changes[0].revision, 2);
    fixture_put(world->store, B(KV_META_PREFIX "/a"), BYTES_EMPTY);
    changes = store_changes(world->store, &count);
    assert_int_equal(count, 1);
    assert_bytes_equal(changes[0].key, B("/a"));
    assert_true(changes[0].changes & KV_CHANGED_META);
}

static size_t top_of_change(struct store *store)
{
    size_t count;
    const struct store_change *changes = store_changes(store, &count);
    assert_int_equal(count, 1);
    return changes[0].top;
}

/* Directories without records come with the first key below them, and go with the last. */
static void test_names_above_come_and_go(void **state)
{
    struct world *world = *state;
    fixture_put(world->store, B("/n/m/x"), B("1"));
    assert_int_equal(top_of_change(world->store), 0);   /* "/" came, too */
    fixture_put(world->store, B("/n/y"), B("1"));
    assert_int_equal(top_of_change(world->store), 4);
    fixture_put(world->store, B("/n/m/x"), B("2"));
    assert_int_equal(top_of_change(world->store), 6);
    fixture_delete(world->store, B("/n/m/x"));
    assert_int_equal(top_of_change(world->store), 4);
    fixture_put(world->store, B(KV_DIR_PREFIX "/n"), BYTES_EMPTY);
    fixture_delete(world->store, B("/n/y"));
    assert_int_equal(top_of_change(world->store), 4);
}

/* A rename is told as such before the keys that it moves; one that leaves nothing to move is not. */
static void test_a_move_is_noted(void **state)
{
    struct world *world = *state;
    size_t count;
    fixture_put(world->store, B("/a"), B("1"));
    struct kv_op op = {.kind = KV_OP_RENAME, .rename = {.from = B("/a"), .to = B("/b")}};
    assert_ok(fixture_op(world->store, op, NULL));
    const struct store_change *changes = store_changes(world->store, &count);
    assert_true(count >= 3);
    assert_non_null(changes[0].move);
    assert_bytes_equal(changes[0].move->from, B("/a"));
    assert_bytes_equal(changes[0].move->to, B("/b"));
    assert_false(changes[0].move->exchange);
    assert_int_equal(changes[0].revision, 3);
    for (size_t i = 1; i < count; i++)
        assert_null(changes[i].move);
    assert_bytes_equal(changes[1].key, B("/a"));
}

/* ---- opening ---- */

static void test_wrong_identity(void **state)
{
    struct world *world = *state;
    store_close(world->store);
    for (int i = 0; i < 3; i++) {
        struct store_options options = fixture_options;
        struct err err = {0};
        options.backend = backend_memory_open(world->memory);
        options.cluster_id += i == 0;
        options.member_id += i == 1;
        options.generation += i == 2;
        assert_err(store_open(&world->store, &options, &err), CORRUPT);
        assert_non_null(strstr(err.text, i == 0 ? "cluster" : i == 1 ? "member" : "generation"));
    }
    world->store = fixture_open(backend_memory_open(world->memory));
}

static void test_empty_is_not_created(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct store_options options = fixture_options;
    struct store *store = NULL;
    options.backend = backend_memory_open(memory);
    options.create = false;
    assert_err(store_open(&store, &options, NULL), NOT_FOUND);
    backend_memory_free(memory);
}

/* Rows without an identity are no new store; damaged rows of m are refused by name. */
static void test_damaged_rows(void **state)
{
    struct world *world = *state;
    static const char *const rows[] = {"m_identity", "mstate"};
    store_close(world->store);
    for (size_t i = 0; i < 2; i++) {
        struct backend *backend = backend_memory_open(world->memory);
        struct store_options options = fixture_options;
        struct buf saved = {0};
        struct err err = {0};
        struct backend_op op = {.key = bytes_of_text(rows[i]), .is_delete = true};
        assert_ok(backend->ops->get(backend, NULL, op.key, &saved, NULL));
        assert_ok(backend->ops->write(backend, &op, 1, NULL));
        options.backend = backend;
        assert_err(store_open(&world->store, &options, &err), CORRUPT);
        assert_non_null(strstr(err.text, rows[i]));
        backend = backend_memory_open(world->memory);
        op.is_delete = false;
        op.value = buf_bytes(&saved);
        assert_ok(backend->ops->write(backend, &op, 1, NULL));
        backend_close(backend);
        buf_release(&saved);
    }
    world->store = fixture_open(backend_memory_open(world->memory));
}

/* A new store is durable before it is told of; after that a checkpoint makes it so. */
static void test_checkpoint(void **state)
{
    struct world *world = *state;
    assert_int_equal(backend_memory_durable(world->memory),
                     backend_memory_batches(world->memory));
    fixture_put(world->store, B("/a"), B("1"));
    assert_int_equal(store_durable_index(world->store), 0);
    assert_ok(store_checkpoint(world->store, NULL));
    assert_int_equal(store_durable_index(world->store), 1);
    fixture_put(world->store, B("/b"), B("1"));
    store_close(world->store);
    backend_memory_crash(world->memory, backend_memory_durable(world->memory));
    world->store = fixture_open(backend_memory_open(world->memory));
    assert_int_equal(store_applied(world->store), 1);
    assert_int_equal(store_durable_index(world->store), 1);
}

/* An ordinary rollover of the log is a checkpoint that nobody asked for. */
static void test_free_checkpoint(void **state)
{
    struct world *world = *state;
    static uint8_t large[64 * 1024];
    for (int i = 0; i < 64; i++)
        fixture_put(world->store, B("/a"), bytes_of(large, sizeof(large)));
    raft_index durable = store_durable_index(world->store);
    assert_true(durable > 16 && durable <= 64);
}

/* ---- the bytes ---- */

static void check_row(struct world *world, struct bytes key, struct bytes value)
{
    struct buf found = {0};
    assert_ok(world->backend->ops->get(world->backend, NULL, key, &found, NULL));
    assert_bytes_equal(buf_bytes(&found), value);
    buf_release(&found);
}

static void test_format_example(void **state)
{
    struct world *world = *state;
    fixture_put(world->store, B("/a"), B("hi"));
    check_row(world,
              B("k/a\0\0\xff\xff\xff\xff\xff\xff\xff\xfd\xff\xff\xff\xff\xff\xff\xff\xff"),
              B("\x12\xe8\x03\0\0\0\0\0\0\x01\x02hi"));
    check_row(world, B("r\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0"), 
              B("\xe8\x03\0\0\0\0\0\0" "\0\0\x01\0\x02/a"));
    check_row(world, B("d/\0\0" "a"),
              B("\x01\x02\0\x12\xe8\x03\0\0\0\0\0\0\x01\x02"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refusals), TEST(test_all_or_nothing), TEST(test_quota),
        TEST(test_figure_differs), TEST(test_figure_is_told_again),
        TEST(test_figure_comes_before_the_walk_ends),
        TEST(test_floor_changed_a_key_twice), TEST(test_batches_do_not_matter),
        TEST(test_sorts_and_filters),
        TEST(test_times_and_versions), TEST(test_value_with_owners), TEST(test_told_again),
        TEST(test_entries_without_effect), TEST(test_configuration), TEST(test_changes),
        TEST(test_names_above_come_and_go), TEST(test_a_move_is_noted),
        TEST(test_wrong_identity), cmocka_unit_test(test_empty_is_not_created),
        TEST(test_damaged_rows), TEST(test_checkpoint), TEST(test_free_checkpoint),
        TEST(test_format_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
