/* A core that runs out of memory, at each place where it can: it says so, then and ever after,
 * hands nothing out, and can be freed. */
#include "tests/unit/raft_fixture.h"

#include "proto/base/check.h"
#include "proto/base/mem.h"

static void count_line(struct trace *trace, const char *line)
{
    (void)trace;
    assert_true(*line);
}

static struct trace trace = {count_line};

/* Leaves the function with the first error. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum err_code try_code = (call);                                                           \
        if (try_code)                                                                              \
            return try_code;                                                                       \
    } while (0)

static void init(struct fixture *fixture, bool async, uint64_t fail_at)
{
    fixture_init(fixture);
    fixture->mem.fail_at = fail_at;
    fixture->config.trace = async ? &trace : NULL;
    fixture->config.async_storage_writes = async;
    fixture->config.max_inflight_messages = 64;
}

static enum err_code apply(struct raft *raft, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->committed_count; i++) {
        struct raft_conf_change change;
        if (ready->committed[i].type == ENTRY_NORMAL)
            continue;
        assert_ok(raft_conf_change_decode(&ready->committed[i], &change));
        TRY(raft_apply_conf_change(raft, &change, NULL, NULL));
    }
    return ERR_OK;
}

static enum err_code step_responses(struct fixture *fixture, const struct raft_message *message)
{
    for (size_t i = 0; i < message->response_count; i++)
        if (message->responses[i].to == 1)
            TRY(raft_step(fixture->raft, &message->responses[i]));
    return ERR_OK;
}

static enum err_code handle_async(struct fixture *fixture, const struct raft_ready *ready)
{
    if (ready->append) {
        raft_storage_write(&fixture->storage, ready->append);
        TRY(step_responses(fixture, ready->append));
    }
    TRY(apply(fixture->raft, ready));
    return ready->apply ? step_responses(fixture, ready->apply) : ERR_OK;
}

static enum err_code handle_sync(struct fixture *fixture, const struct raft_ready *ready)
{
    if (ready->snapshot)
        raft_storage_install(&fixture->storage, ready->snapshot);
    raft_storage_append(&fixture->storage, ready->entries, ready->entry_count);
    TRY(apply(fixture->raft, ready));
    return raft_advance(fixture->raft);
}

static enum err_code try_settle(struct fixture *fixture)
{
    while (raft_has_ready(fixture->raft)) {
        struct raft_ready ready;
        TRY(raft_ready(fixture->raft, &ready));
        TRY(fixture->config.async_storage_writes ? handle_async(fixture, &ready)
                                                 : handle_sync(fixture, &ready));
    }
    return ERR_OK;
}

static enum err_code answer(struct fixture *fixture, enum raft_message_type type, raft_id from,
                            raft_index index, struct bytes context)
{
    struct raft_message message = {
        .type = type,
        .from = from,
        .to = 1,
        .term = raft_current_term(fixture->raft),
        .index = index,
        .context = context,
    };
    TRY(raft_step(fixture->raft, &message));
    return try_settle(fixture);
}

static enum err_code propose(struct fixture *fixture, size_t count)
{
    struct entry entries[40];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){.payload = blob_copy(BYTES_LITERAL("payload"))};
    enum err_code code = raft_propose(fixture->raft, entries, count);
    for (size_t i = 0; i < count; i++)
        blob_unref(entries[i].payload);
    return code ? code : try_settle(fixture);
}

static enum err_code propose_change(struct fixture *fixture, enum raft_change_type type, raft_id id)
{
    struct raft_conf_change change = {.count = 1, .changes = {{type, id}}};
    TRY(raft_propose_conf_change(fixture->raft, &change, true));
    return try_settle(fixture);
}

static enum err_code read_index(struct fixture *fixture)
{
    struct blob *context = blob_copy(BYTES_LITERAL("ctx"));
    enum err_code code = raft_read_index(fixture->raft, context);
    blob_unref(context);
    return code ? code : try_settle(fixture);
}

/* Two changes at once: a joint configuration, which the leader then leaves by itself. */
static enum err_code go_joint(struct fixture *fixture)
{
    struct raft_conf_change change = {
        .count = 2, .changes = {{RAFT_CHANGE_ADD_VOTER, 5}, {RAFT_CHANGE_ADD_LEARNER, 6}}};
    TRY(raft_propose_conf_change(fixture->raft, &change, false));
    return try_settle(fixture);
}

/* A leader that appends, reads, adds a member and sends it a snapshot, which is lost; that refuses
 * a change, hands over in vain and goes through a joint configuration. */
static enum err_code try_lead(struct fixture *fixture)
{
    uint8_t position[8];
    TRY(raft_campaign(fixture->raft));
    TRY(try_settle(fixture));
    TRY(answer(fixture, RAFT_MSG_VOTE_RESP, 2, 0, BYTES_EMPTY));
    TRY(read_index(fixture));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 2, 1, BYTES_EMPTY));
    TRY(read_index(fixture));
    put_le64(position, 2);
    TRY(answer(fixture, RAFT_MSG_HEARTBEAT_RESP, 2, 0, bytes_of(position, 8)));
    for (size_t i = 0; i < 20; i++)
        TRY(propose(fixture, 1));
    TRY(propose(fixture, 40));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 2, 61, BYTES_EMPTY));
    TRY(propose_change(fixture, RAFT_CHANGE_ADD_LEARNER, 4));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 2, 62, BYTES_EMPTY));
    raft_storage_compact(&fixture->storage, 62);
    struct raft_snapshot snapshot = {{62, 1, raft_storage_encode(&fixture->storage.initial)},
                                     blob_copy(BYTES_LITERAL("s"))};
    raft_storage_offer(&fixture->storage, &snapshot);
    blob_unref(snapshot.mark.configuration);
    blob_unref(snapshot.data);
    struct raft_message reject = {
        .type = RAFT_MSG_APP_RESP, .from = 4, .to = 1, .term = 1, .index = 61, .reject = true};
    TRY(raft_step(fixture->raft, &reject));
    TRY(try_settle(fixture));
    TRY(raft_report_snapshot(fixture->raft, 4, true));
    TRY(raft_report_unreachable(fixture->raft, 2));
    TRY(propose_change(fixture, RAFT_CHANGE_REMOVE, 4));
    TRY(propose_change(fixture, RAFT_CHANGE_REMOVE, 3));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 2, 64, BYTES_EMPTY));
    TRY(raft_transfer_leader(fixture->raft, 3));
    for (size_t i = 0; i < 12; i++)
        TRY(raft_tick(fixture->raft));
    TRY(go_joint(fixture));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 2, 65, BYTES_EMPTY));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 2, 66, BYTES_EMPTY));
    TRY(answer(fixture, RAFT_MSG_APP_RESP, 5, 66, BYTES_EMPTY));
    assert_int_equal(raft_applied(fixture->raft), 66);
    return ERR_OK;
}

/* A follower that forwards, appends, rejects and installs a snapshot. */
static enum err_code follow(struct fixture *fixture)
{
    struct entry entries[20];
    struct raft_message append = {
        .type = RAFT_MSG_APP, .from = 2, .to = 1, .term = 3, .entries = entries, .entry_count = 20};
    for (size_t i = 0; i < 20; i++)
        entries[i] = (struct entry){.index = i + 1, .term = 2};
    TRY(raft_step(fixture->raft, &append));
    TRY(propose(fixture, 2));
    TRY(read_index(fixture));
    append.index = 40;
    append.log_term = 3;
    append.entry_count = 0;
    TRY(raft_step(fixture->raft, &append));
    TRY(answer(fixture, RAFT_MSG_HEARTBEAT, 2, 0, BYTES_LITERAL("12345678")));
    struct blob *context = blob_copy(BYTES_LITERAL("read"));
    struct entry read = {.payload = context};
    struct raft_message response = {.type = RAFT_MSG_READ_INDEX_RESP,
                                    .from = 2,
                                    .to = 1,
                                    .term = 3,
                                    .index = 5,
                                    .entries = &read,
                                    .entry_count = 1};
    enum err_code code = raft_step(fixture->raft, &response);
    blob_unref(context);
    TRY(code);
    TRY(try_settle(fixture));
    struct raft_snapshot snapshot = {{100, 3, raft_storage_encode(&fixture->storage.initial)},
                                     NULL};
    struct raft_message install = {
        .type = RAFT_MSG_SNAP, .from = 2, .to = 1, .term = 3, .snapshot = &snapshot};
    code = raft_step(fixture->raft, &install);
    blob_unref(snapshot.mark.configuration);
    TRY(code);
    return try_settle(fixture);
}

/* Whatever is asked of it, it refuses. */
static void check_failed_core(struct raft *raft)
{
    struct raft_ready ready;
    struct raft_message hup = {.type = RAFT_MSG_FORGET_LEADER, .from = 2, .term = 9};
    assert_err(raft_tick(raft), NO_MEMORY);
    assert_err(raft_step(raft, &hup), NO_MEMORY);
    assert_err(raft_ready(raft, &ready), NO_MEMORY);
    assert_int_equal(ready.message_count, 0);
    assert_false(raft_has_ready(raft));
    raft_validate(raft);
}

static bool survives(enum err_code (*scenario)(struct fixture *fixture), bool async,
                     uint64_t fail_at)
{
    struct fixture fixture;
    struct err err = {0};
    init(&fixture, async, fail_at);
    enum err_code code = raft_new(&fixture.config, &fixture.raft, &err);
    if (code == ERR_OK)
        code = scenario(&fixture);
    if (code) {
        assert_int_equal(code, ERR_NO_MEMORY);
        if (fixture.raft)
            check_failed_core(fixture.raft);
    }
    fixture_release(&fixture);
    return code == ERR_OK;
}

static void fail_everywhere(enum err_code (*scenario)(struct fixture *fixture), bool async)
{
    uint64_t fail_at = 1;
    assert_true(survives(scenario, async, 0));
    while (!survives(scenario, async, fail_at))
        fail_at++;
    assert_true(fail_at > 10);
}

static void test_leader(void **state)
{
    (void)state;
    fail_everywhere(try_lead, true);
    fail_everywhere(try_lead, false);
}

static void test_follower(void **state)
{
    (void)state;
    fail_everywhere(follow, true);
    fail_everywhere(follow, false);
}

/* It fails while a ready is being handled: neither that one is closed nor another one opened. */
static void test_open_ready(void **state)
{
    (void)state;
    struct fixture fixture;
    struct raft_ready ready;
    init(&fixture, false, 0);
    fixture.storage.initial.voters = (struct raft_id_set){1, {1}};
    assert_ok(raft_new(&fixture.config, &fixture.raft, NULL));
    assert_ok(raft_campaign(fixture.raft));
    assert_ok(raft_ready(fixture.raft, &ready));
    fixture.mem.fail_at = fixture.mem.calls + 1;
    assert_err(raft_advance(fixture.raft), NO_MEMORY); /* as it becomes the leader */
    assert_err(raft_advance(fixture.raft), NO_MEMORY);
    check_failed_core(fixture.raft);
    fixture_release(&fixture);
    init(&fixture, false, 0);
    assert_ok(raft_new(&fixture.config, &fixture.raft, NULL));
    assert_ok(raft_campaign(fixture.raft));
    assert_ok(raft_ready(fixture.raft, &ready));
    fixture.mem.fail_at = fixture.mem.calls + 1;
    assert_err(answer(&fixture, RAFT_MSG_VOTE, 2, 0, BYTES_EMPTY), NO_MEMORY);
    check_failed_core(fixture.raft);
    assert_err(raft_advance(fixture.raft), NO_MEMORY);
    fixture_release(&fixture);
}

static void test_clone(void **state)
{
    (void)state;
    struct mem mem = {.fail_at = 1};
    struct raft_message message = {.type = RAFT_MSG_APP};
    assert_null(raft_message_clone(&mem, &message));
    raft_message_free(&mem, NULL);
    assert_int_equal(mem.live, 0);
}

/* Once warm, a leader takes proposals and reads without asking for memory. */
static void test_steady_state(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t position[8];
    init(&fixture, true, 0);
    assert_ok(raft_new(&fixture.config, &fixture.raft, NULL));
    assert_ok(raft_campaign(fixture.raft));
    assert_ok(try_settle(&fixture));
    assert_ok(answer(&fixture, RAFT_MSG_VOTE_RESP, 2, 0, BYTES_EMPTY));
    for (raft_index index = 1; index < 2000; index++) {
        assert_ok(answer(&fixture, RAFT_MSG_APP_RESP, 2, index, BYTES_EMPTY));
        assert_ok(answer(&fixture, RAFT_MSG_APP_RESP, 3, index, BYTES_EMPTY));
        assert_ok(propose(&fixture, 1));
        assert_ok(read_index(&fixture));
        put_le64(position, index);
        assert_ok(answer(&fixture, RAFT_MSG_HEARTBEAT_RESP, 2, 0, bytes_of(position, 8)));
        fixture.mem.sealed = index > 100;
    }
    fixture.mem.sealed = false;
    fixture_release(&fixture);
}

/* Nor does a follower, for what its leader sends. */
static void test_steady_state_of_a_follower(void **state)
{
    (void)state;
    struct fixture fixture;
    struct blob *payload = blob_copy(BYTES_LITERAL("payload"));
    init(&fixture, true, 0);
    assert_ok(raft_new(&fixture.config, &fixture.raft, NULL));
    for (raft_index index = 1; index < 2000; index++) {
        struct entry entry = {1, index, ENTRY_NORMAL, payload};
        struct raft_message append = {.type = RAFT_MSG_APP,
                                      .from = 2,
                                      .to = 1,
                                      .term = 1,
                                      .index = index - 1,
                                      .log_term = index > 1,
                                      .commit = index - 1,
                                      .entries = &entry,
                                      .entry_count = 1};
        assert_ok(raft_step(fixture.raft, &append));
        assert_ok(try_settle(&fixture));
        assert_ok(answer(&fixture, RAFT_MSG_HEARTBEAT, 2, 0, BYTES_LITERAL("12345678")));
        assert_int_equal(raft_applied(fixture.raft), index - 1);
        fixture.mem.sealed = index > 100;
    }
    fixture.mem.sealed = false;
    fixture_release(&fixture);
    blob_unref(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader),
        cmocka_unit_test(test_follower),
        cmocka_unit_test(test_open_ready),
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_steady_state),
        cmocka_unit_test(test_steady_state_of_a_follower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
