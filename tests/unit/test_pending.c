/* cluster/pending: what stands in a log, and what a proposer makes of it. */
#include "tests/test.h"

#include "cluster/clock.h"
#include "cluster/pending.h"
#include "cluster/propose.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"

struct rig {
    struct raftlog log;
    struct pending pending;
    struct mem mem;
    struct raft *raft;
    struct proposer proposer;
};

static struct entry entry_of(uint64_t session, uint64_t number)
{
    struct entry_request request = {.kind = session ? ENTRY_LEASE_REVOKE : ENTRY_SESSION_OPEN,
                                    .session = session, .number = number, .lease.id = 5};
    return (struct entry){.type = ENTRY_NORMAL, .payload = entry_request_encode(&request)};
}

static void append(struct rig *rig, raft_index index, raft_term term, uint64_t session,
                   uint64_t number)
{
    struct entry entry = entry_of(session, number);
    entry.index = index;
    entry.term = term;
    pending_note(&rig->pending, &entry);
    raftlog_append(&rig->log, &entry, 1);
    blob_unref(entry.payload);
}

static bool holds(struct rig *rig, uint64_t session, uint64_t number, raft_index applied)
{
    struct entry entry = entry_of(session, number);
    bool is_held = pending_holds(&rig->pending, &entry, applied);
    blob_unref(entry.payload);
    return is_held;
}

static void what_is_not_applied_is_held(void **state)
{
    struct rig *rig = *state;
    append(rig, 1, 1, 9, 1);
    append(rig, 2, 1, 9, 2);
    append(rig, 3, 1, 0, 77);
    assert_true(holds(rig, 9, 1, 0) && holds(rig, 9, 2, 0) && holds(rig, 0, 77, 0));
    assert_false(holds(rig, 9, 3, 0) || holds(rig, 8, 1, 0) || holds(rig, 0, 78, 0));
    assert_false(holds(rig, 9, 1, 1));
    assert_true(holds(rig, 9, 2, 1));
}

static void what_is_cut_off_is_not_held(void **state)
{
    struct rig *rig = *state;
    append(rig, 1, 1, 9, 1);
    append(rig, 2, 1, 9, 2);
    append(rig, 2, 2, 9, 3);
    assert_false(holds(rig, 9, 2, 0));
    assert_true(holds(rig, 9, 1, 0) && holds(rig, 9, 3, 0));
}

/* Between append and flush, and when others took its place. */
static void what_the_log_does_not_say_is_not_held(void **state)
{
    struct rig *rig = *state;
    struct entry entry = entry_of(9, 1);
    entry.index = 1;
    pending_note(&rig->pending, &entry);
    blob_unref(entry.payload);
    assert_false(holds(rig, 9, 1, 0));
    append(rig, 1, 1, 9, 1);
    assert_true(holds(rig, 9, 1, 0));
    append(rig, 2, 1, 9, 1 + PENDING_PLACES);
    assert_false(holds(rig, 9, 1, 0));
}

static void who_has_no_name_is_not_held(void **state)
{
    struct rig *rig = *state;
    struct blob *torn = blob_new(ENTRY_STAMP_SIZE + 1);
    torn->data[ENTRY_STAMP_SIZE] = 1 << 3;
    struct entry entries[] = {{.index = 1, .type = ENTRY_NORMAL},
                              {.index = 1, .type = ENTRY_CONF_CHANGE_V2, .payload = torn},
                              {.index = 1, .type = ENTRY_NORMAL, .payload = torn}};
    for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
        pending_note(&rig->pending, &entries[i]);
        assert_false(pending_holds(&rig->pending, &entries[i], 0));
    }
    append(rig, 1, 1, 0, 0);
    assert_false(holds(rig, 0, 0, 0));
    blob_unref(torn);
}

/* ---- a leader that cannot decide ---- */

/* What the core hands out goes into the log; the others are silent. Returns how many requests that were. */
static size_t take(struct rig *rig)
{
    size_t taken = 0;
    while (raft_has_ready(rig->raft)) {
        struct raft_ready ready;
        assert_ok(raft_ready(rig->raft, &ready));
        for (size_t i = 0; i < ready.entry_count; i++) {
            pending_note(&rig->pending, &ready.entries[i]);
            taken += ready.entries[i].payload != NULL;
        }
        raftlog_append(&rig->log, ready.entries, ready.entry_count);
        assert_ok(raft_advance(rig->raft));
    }
    return taken;
}

static void elect(struct rig *rig)
{
    assert_ok(raft_campaign(rig->raft));
    assert_int_equal(take(rig), 0);
    assert_ok(raft_step(rig->raft, &(struct raft_message){.type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1,
                                                          .term = raft_current_term(rig->raft)}));
    assert_int_equal(raft_role(rig->raft), RAFT_LEADER);
    (void)take(rig);
}

static void a_leader_appends_no_request_twice(void **state)
{
    struct rig *rig = *state;
    elect(rig);
    rig->proposer.pending = &rig->pending;
    assert_ok(proposer_fill(&rig->proposer, rig->raft, 1, 1, 55));
    assert_int_equal(take(rig), 1);
    for (int64_t s = 1; s < 100; s++) {         /* each later than patience lasts */
        assert_ok(proposer_repeat(&rig->proposer, rig->raft, s * NS_PER_S, 0, s * NS_PER_S));
        assert_ok(proposer_fill(&rig->proposer, rig->raft, s * NS_PER_S, s * NS_PER_S, 55 + (uint64_t)s));
        assert_int_equal(take(rig), 0);
    }
    rig->proposer.pending = NULL;               /* that is what it is for */
    assert_ok(proposer_fill(&rig->proposer, rig->raft, 0, 1000 * NS_PER_S, 99));
    assert_int_equal(take(rig), 1);
}

static void on_done(struct kv_request *request, enum err_code code)
{
    (void)request;
    (void)code;
}

/* A core that hands over takes nothing; what was refused then, nobody else repeats. */
static void a_leader_owes_what_its_core_refused(void **state)
{
    struct rig *rig = *state;
    struct kv_request request = {.kind = KV_LEASE_REVOKE, .lease.id = 5, .done = on_done};
    rig->proposer.session = 9;
    rig->proposer.pending = &rig->pending;
    rig->proposer.next_number = rig->proposer.lowest_open = 1;
    proposer_submit(&rig->proposer, &request);
    elect(rig);
    assert_ok(proposer_fill(&rig->proposer, rig->raft, 1, 1, 55));
    assert_int_equal(take(rig), 1);
    memset(rig->pending.places, 0, sizeof rig->pending.places);     /* as when another led, and cut it off */
    assert_ok(proposer_repeat(&rig->proposer, rig->raft, 900, 800, 900));
    assert_int_equal(take(rig), 0);
    assert_ok(raft_transfer_leader(rig->raft, 2));
    assert_ok(proposer_repeat(&rig->proposer, rig->raft, 1000, 0, 1000));
    assert_int_equal(take(rig), 0);
    for (int i = 0; i < 10; i++)        /* it does not come about */
        assert_ok(raft_tick(rig->raft));
    assert_int_equal(take(rig), 0);
    assert_ok(proposer_repeat(&rig->proposer, rig->raft, 1100, 900, 1100));
    assert_int_equal(take(rig), 1);
    assert_ok(proposer_repeat(&rig->proposer, rig->raft, 9000, 8000, 9000));
    assert_int_equal(take(rig), 0);
    proposer_fail(&rig->proposer, ERR_CLOSING);
    assert_ptr_equal(list_pop_front(&rig->proposer.answered), &request.link);
    kv_request_release(&request);
}

/* ---- setting up ---- */

static int setup(void **state)
{
    static const struct raft_conf_state three = {.voters = {3, {1, 2, 3}}};
    struct rig *rig = mem_xzalloc(sizeof *rig);
    struct err err = {0};
    raftlog_init(&rig->log, 0, 0, &(struct hard_state){0}, &three);
    pending_init(&rig->pending, &rig->log);
    struct raft_config config = {.id = 1, .election_tick = 6, .heartbeat_tick = 1,
                                 .log = &rig->log.view, .mem = &rig->mem,
                                 .max_size_per_message = MESSAGE_SIZE_MAX,
                                 .max_inflight_messages = 16, .seed = 3};
    assert_ok(raft_new(&config, &rig->raft, &err));
    proposer_init(&rig->proposer, 0, NULL);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    proposer_release(&rig->proposer);
    raft_free(rig->raft);
    raftlog_release(&rig->log);
    free(rig);
    return 0;
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(what_is_not_applied_is_held),
        WITH_RIG(what_is_cut_off_is_not_held),
        WITH_RIG(what_the_log_does_not_say_is_not_held),
        WITH_RIG(who_has_no_name_is_not_held),
        WITH_RIG(a_leader_appends_no_request_twice),
        WITH_RIG(a_leader_owes_what_its_core_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
