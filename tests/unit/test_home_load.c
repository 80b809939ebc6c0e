/* Copies of a store on disk while it is written to as fast as it goes, compacted by LevelDB and by
 * ourselves. Each copy is installed elsewhere, and has to be the state after the entries that it says. */
#include "tests/unit/home_fixture.h"

#include <pthread.h>

#include "proto/base/check.h"
#include "proto/base/rand.h"

#define COPIES 50
#define ENTRIES_AHEAD 240               /* of a checkpoint: each copy meets the writer at work */
#define KEYS 400
#define VALUE_SIZE_MAX 3000

struct load {
    struct store *store;
    pthread_mutex_t token;              /* of applying */
    pthread_cond_t more;                /* goal has changed */
    raft_index goal;                    /* 0: stop */
};

/* Entry index is what it is, whoever asks: puts, deletes, and a compaction now and then. */
static void apply_entry(struct store *store, raft_index index)
{
    static _Thread_local uint8_t value[VALUE_SIZE_MAX];
    struct rand rand;
    char key[32];
    struct kv_op op = {.kind = KV_OP_PUT};
    struct entry_request request = {.kind = ENTRY_TXN, .privileged = true};
    rand_init(&rand, index);
    snprintf(key, sizeof(key), "/d%d/k%d", (int)rand_below(&rand, 9), (int)rand_below(&rand, KEYS));
    for (size_t i = 0; i < VALUE_SIZE_MAX; i += 4)
        put_le32(value + i, rand_u32(&rand));
    op.put.key = bytes_of_text(key);
    op.put.value = bytes_of(value, rand_below(&rand, VALUE_SIZE_MAX));
    if (rand_chance(&rand, 1, 10)) {
        op.kind = KV_OP_DELETE;
        op.del = (struct kv_delete){.key = bytes_of_text(key)};
    }
    request.txn = (struct kv_txn){.success = &op, .success_count = 1};
    if (index % 700 == 0)
        request = (struct entry_request){
            .kind = ENTRY_COMPACT, .compact = {.revision = store_revision(store) - 20}};
    struct entry entry = {.term = 1, .index = index, .payload = entry_request_encode(&request)};
    struct store_result result;
    entry_stamp_set(entry.payload, (kv_time)index * 1000);
    store_begin(store);
    CHECK(store_apply(store, &entry, false, &result, NULL) == ERR_OK);
    CHECK(store_commit(store, NULL) == ERR_OK);
    arena_release(&result.arena);
    blob_unref(entry.payload);
}

static void walk_a_step(struct store *store)
{
    bool done;
    kv_rev revision;
    uint64_t bytes;
    if (store_compact_pending(store))
        CHECK(store_compact_step(store, &done, &revision, &bytes, NULL) == ERR_OK);
}

static void *write_on(void *context)
{
    struct load *load = context;
    pthread_mutex_lock(&load->token);
    while (load->goal) {
        if (store_applied(load->store) >= load->goal) {
            pthread_cond_wait(&load->more, &load->token);
            continue;
        }
        for (int i = 0; i < 20; i++)
            apply_entry(load->store, store_applied(load->store) + 1);
        walk_a_step(load->store);
        pthread_mutex_unlock(&load->token);
        pthread_mutex_lock(&load->token);
    }
    pthread_mutex_unlock(&load->token);
    return NULL;
}

/* Also the checkpoint's index. The token is held. */
static raft_index set_goal(struct load *load, bool stop)
{
    raft_index applied = store_applied(load->store);
    load->goal = stop ? 0 : applied + ENTRIES_AHEAD;
    pthread_cond_signal(&load->more);
    return applied;
}

/* The checkpoint is made under the token, the copy beside the writer. */
static struct home_copy *copy_beside(struct load *load, struct place *place,
                                     struct backend *backend, raft_index *ret_applied)
{
    struct home_copy *copy = NULL;
    struct err err = {0};
    pthread_mutex_lock(&load->token);
    *ret_applied = set_goal(load, false);
    enum err_code code = store_checkpoint(load->store, &err);
    pthread_mutex_unlock(&load->token);
    if (!code)
        code = home_copy_open(place->home, backend, &copy, &err);
    if (code)
        fail_msg("%s", err.text);
    return copy;
}

static void test_copies_under_load(void **state)
{
    (void)state;
    struct place from = place_new(true), to = place_new(true), replay = place_new(false);
    struct store_options options = sender_options;
    assert_ok(home_open(from.home, true, &options.backend, NULL));
    struct load load = {.token = PTHREAD_MUTEX_INITIALIZER,
                        .more = PTHREAD_COND_INITIALIZER,
                        .goal = ENTRIES_AHEAD};
    assert_ok(store_open(&load.store, &options, NULL));
    struct store *same = place_open(&replay, &sender_options);
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_on, &load), 0);
    for (int i = 0; i < COPIES; i++) {
        raft_index checkpoint;
        struct home_copy *copy = copy_beside(&load, &from, options.backend, &checkpoint);
        assert_true(copy->mark.applied >= checkpoint);
        struct store *store = install(copy, &to);
        while (store_applied(same) < copy->mark.applied)
            apply_entry(same, store_applied(same) + 1);
        assert_int_equal(store_revision(store), copy->mark.revision);
        assert_int_equal(hash_of(store), hash_of(same));
        fixture_validate(store);
        store_close(store);
        home_copy_close(copy);
    }
    pthread_mutex_lock(&load.token);
    set_goal(&load, true);
    pthread_mutex_unlock(&load.token);
    pthread_join(writer, NULL);
    store_close(load.store);
    store_close(same);
    place_free(&from);
    place_free(&to);
    place_free(&replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
