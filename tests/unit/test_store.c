/* mvcc/store.c, txn.c, range.c, compact.c, checkpoint.c together: random entries against a model, on both
 * backends, with crashes that lose a tail and replay it; a second store that never crashes must have
 * the same hash. */
#include "mvcc/store.h"

#include "tests/unit/store_model.h"

#define ENTRIES_MAX 5000

struct member {
    struct backend_memory *memory;      /* or */
    char *folder;
    struct store *store;
};

struct world {
    struct model *model;
    struct entry log[ENTRIES_MAX];      /* all entries; index i + 1 */
    size_t count;
    struct member member, reference;
    kv_time stamp;
    kv_rev due;                         /* a compaction whose figure is known and not told */
    uint64_t due_bytes;
};

static void member_open(struct member *member)
{
    struct store_options options = {
        .cluster_id = 7, .member_id = 1, .generation = 2, .create = true};
    struct err err = {0};
    if (member->folder) {
        struct backend_leveldb_options leveldb = {
            .folder = member->folder, .create = true, .write_buffer_size = 64 * 1024};
        assert_ok(backend_leveldb_open(&options.backend, &leveldb, &err));
    } else {
        options.backend = backend_memory_open(member->memory);
    }
    if (store_open(&member->store, &options, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static struct world *world_new(uint64_t seed, bool leveldb)
{
    struct world *world = calloc(1, sizeof(*world));
    world->model = model_new(seed);
    if (leveldb)
        world->member.folder = test_folder_new();
    else
        world->member.memory = backend_memory_new(16 * 1024);
    world->reference.memory = backend_memory_new(0);
    member_open(&world->member);
    member_open(&world->reference);
    world->stamp = 1000;
    return world;
}

static void world_free(struct world *world)
{
    store_close(world->member.store);
    store_close(world->reference.store);
    backend_memory_free(world->member.memory);
    backend_memory_free(world->reference.memory);
    if (world->member.folder)
        test_folder_remove(world->member.folder);
    for (size_t i = 0; i < world->count; i++)
        blob_unref(world->log[i].payload);
    model_free(world->model);
    free(world);
}

static const struct entry *append(struct world *world, const struct entry_request *request)
{
    assert_true(world->count < ENTRIES_MAX);
    struct entry *entry = &world->log[world->count++];
    *entry = (struct entry){
        .term = 1 + world->count / 100, .index = world->count, .payload = entry_request_encode(request)};
    world->stamp += 1 + (kv_time)rand_below(&world->model->rand, 5);
    entry_stamp_set(entry->payload, world->stamp);
    return entry;
}

static void apply_one(struct store *store, const struct entry *entry, bool want,
                      struct store_result *ret)
{
    struct err err = {0};
    store_begin(store);
    if (store_apply(store, entry, want, ret, &err) != ERR_OK)
        fail_msg("%s", err.text);
    if (store_commit(store, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void walk_all(struct store *store, kv_rev *ret_revision, uint64_t *ret_bytes)
{
    bool done = false;
    struct err err = {0};
    while (!done)
        if (store_compact_step(store, &done, ret_revision, ret_bytes, &err) != ERR_OK)
            fail_msg("%s", err.text);
}

static void walk_step(struct store *store)
{
    bool done;
    kv_rev revision;
    uint64_t bytes;
    struct err err = {0};
    if (store_compact_step(store, &done, &revision, &bytes, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void apply_to_both(struct world *world, const struct entry *entry)
{
    struct store_result result;
    apply_one(world->member.store, entry, false, &result);
    arena_release(&result.arena);
    apply_one(world->reference.store, entry, false, &result);
    arena_release(&result.arena);
}

/* ---- steps ---- */

static void step_txn(struct world *world)
{
    struct kv_txn txn = model_draw_request(world->model);
    struct entry_request request = {.kind = ENTRY_TXN, .privileged = true, .txn = txn};
    const struct entry *entry = append(world, &request);
    struct store_result result;
    apply_one(world->member.store, entry, true, &result);
    if (result.code)
        fail_msg("%s", result.err.text);
    model_apply(world->model, &txn, world->stamp, &result.result.txn);
    assert_int_equal(result.revision, world->model->revision);
    assert_int_equal(store_revision(world->member.store), world->model->revision);
    assert_int_equal(store_applied(world->member.store), entry->index);
    arena_release(&result.arena);
    apply_one(world->reference.store, entry, false, &result);
    arena_release(&result.arena);
}

/* What of a lease comes next: granted where there is none, else renewed, revoked, or found to have run out,
 * by a leader that has heard of its last renewal or has not. */
static void step_lease(struct world *world)
{
    struct model *model = world->model;
    int64_t id = 1 + model_draw(model, MODEL_LEASES);
    struct entry_request request = {.kind = ENTRY_LEASE_GRANT, .lease = {.id = id, .ttl_s = 60}};
    uint32_t kind = model_draw(model, 5);
    bool ends = model->leases[id] && kind > 1;
    if (model->leases[id])
        request.kind = kind <= 1   ? ENTRY_LEASE_RENEW
                       : kind == 2 ? ENTRY_LEASE_REVOKE
                                   : ENTRY_LEASE_EXPIRE;
    request.lease_renewed = model->leases[id] - (kind == 4);
    const struct entry *entry = append(world, &request);
    apply_to_both(world, entry);
    if (!ends)
        model->leases[id] = entry->index;
    else if (kind != 4)
        model_lease_end(model, id, world->stamp);
    assert_int_equal(store_revision(world->member.store), model->revision);
}

static void step_compact(struct world *world)
{
    struct model *model = world->model;
    if (model->revision <= model->floor + 1 || world->due)
        return;
    kv_rev target = model->floor + 1 + model_draw(model, (uint32_t)(model->revision - model->floor));
    struct entry_request request = {.kind = ENTRY_COMPACT, .compact = {.revision = target}};
    apply_to_both(world, append(world, &request));
    model->floor = target;
    assert_int_equal(store_compact_revision(world->member.store), target);
    walk_all(world->reference.store, &world->due, &world->due_bytes);
    assert_int_equal(world->due, target);
}

static void step_compacted(struct world *world)
{
    if (!world->due)
        return;
    struct entry_request request = {.kind = ENTRY_COMPACTED,
                                    .compact = {.revision = world->due},
                                    .compacted_bytes = world->due_bytes};
    apply_to_both(world, append(world, &request));
    world->due = 0;
}

static void step_range(struct world *world)
{
    struct kv_range range = model_draw_range(world->model);
    struct kv_range_result result;
    struct arena arena = {0};
    kv_rev revision;
    assert_ok(store_range(world->member.store, &range, &arena, &result, &revision, NULL));
    assert_int_equal(revision, world->model->revision);
    model_check_range(world->model, &range, range.revision ? range.revision : INT64_MAX, &result);
    arena_release(&arena);
}

/* Applies what the store lacks, several entries to a batch. */
static void replay(struct world *world)
{
    struct store *store = world->member.store;
    struct store_result result;
    while (store_applied(store) < world->count) {
        size_t some = 1 + model_draw(world->model, 20);
        raft_index from = store_applied(store);
        store_begin(store);
        for (size_t i = from; i < world->count && i < from + some; i++) {
            assert_ok(store_apply(store, &world->log[i], false, &result, NULL));
            arena_release(&result.arena);
        }
        assert_ok(store_commit(store, NULL));
    }
}

static void step_crash(struct world *world)
{
    struct member *member = &world->member;
    raft_index durable = store_durable_index(member->store);
    store_close(member->store);
    if (member->memory) {
        uint64_t low = backend_memory_durable(member->memory);
        uint64_t lost = backend_memory_batches(member->memory) - low;
        backend_memory_crash(member->memory,
                             low + rand_below(&world->model->rand, lost + 1));
    }
    member_open(member);
    assert_true(store_applied(member->store) >= durable);
    assert_true(store_applied(member->store) <= world->count);
    replay(world);
    assert_ok(store_forget_logs(member->store, NULL));
    assert_int_equal(store_revision(member->store), world->model->revision);
}

static void check_equal(struct world *world)
{
    uint64_t left = 0, right = 0, used[2], limit, keys[2];
    struct err err = {0};
    if (store_hash(world->member.store, &left, &err) ||
        store_hash(world->reference.store, &right, &err) ||
        store_validate(world->member.store, &err) || store_validate(world->reference.store, &err))
        fail_msg("%s", err.text);
    assert_int_equal(left, right);
    store_quota_get(world->member.store, &used[0], &limit, &keys[0]);
    store_quota_get(world->reference.store, &used[1], &limit, &keys[1]);
    assert_int_equal(used[0], used[1]);
    assert_int_equal(keys[0], keys[1]);
}

static void run(uint64_t seed, bool leveldb, int steps)
{
    struct world *world = world_new(seed, leveldb);
    struct model *model = world->model;
    for (int i = 0; i < steps; i++) {
        uint32_t kind = model_draw(model, 100);
        if (kind < 56)
            step_txn(world);
        else if (kind < 60)
            step_lease(world);
        else if (kind < 82)
            step_range(world);
        else if (kind < 85)
            step_compact(world);
        else if (kind < 88)
            step_compacted(world);
        else if (kind < 96)
            walk_step(world->member.store);
        else if (kind < 97)
            assert_ok(store_checkpoint(world->member.store, NULL));
        else if (kind < 98)
            step_crash(world);
        else
            check_equal(world);
    }
    check_equal(world);
    world_free(world);
}

static void test_model_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        run(seed, false, 600);
}

static void test_model_leveldb(void **state)
{
    (void)state;
    for (uint64_t seed = 101; seed <= 103; seed++)
        run(seed, true, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_memory),
        cmocka_unit_test(test_model_leveldb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
