/* Who may let a lease run out (etcd I20): the rule by itself, and a member with a real core, one of three
 * voters. The test is its clock, its log and its second peer; the third is silent. */
#include "tests/test.h"

#include "cluster/leases.h"
#include "cluster/raftlog.h"
#include "proto/base/mem.h"
#include "tests/sim/sim_worker.h"

#define TICK_NS (HEARTBEAT_DEFAULT_MS * NS_PER_MS)
#define CONTEXTS_MAX 16

/* ---- the rule ---- */

static void a_silence_voids_what_was_proven(void **state)
{
    struct activity activity;
    int64_t now = 5 * NS_PER_S;
    (void)state;
    activity_init(&activity, now);
    assert_false(activity_is_proven(&activity));
    activity_confirm(&activity, activity.epoch);
    assert_true(activity_is_proven(&activity));
    for (int i = 0; i < 100; i++)
        activity_note(&activity, now += ACTIVE_GAP_NS);
    assert_true(activity_is_proven(&activity));
    activity_note(&activity, now += ACTIVE_GAP_NS + 1);
    assert_false(activity_is_proven(&activity));
    activity_note(&activity, now + 1);          /* turning again proves nothing */
    assert_false(activity_is_proven(&activity));
}

static void a_round_from_before_the_silence_proves_nothing(void **state)
{
    struct activity activity;
    (void)state;
    activity_init(&activity, 0);
    uint64_t before = activity.epoch;
    activity_note(&activity, 10 * NS_PER_S);
    activity_confirm(&activity, before);
    assert_false(activity_is_proven(&activity));
    activity_confirm(&activity, activity.epoch);
    assert_true(activity_is_proven(&activity));
    activity_void(&activity);
    assert_false(activity_is_proven(&activity));
}

/* ---- the member ---- */

struct rig {
    struct sim_clock clock;
    struct mem mem;
    struct raft *raft;
    struct raftlog log;
    struct backend_memory *memory;
    struct store *store;
    struct proposer *proposer;
    struct leases leases;
    bool may_propose;
    bool is_deaf, holds_appends;        /* the peer: answers no heartbeats; takes entries and is silent */
    raft_index held;                    /* to answer for */
    struct bytes contexts[CONTEXTS_MAX];        /* of the rounds begun, in order */
    size_t rounds;
    size_t expired;                     /* entries of expiry that were applied */
    size_t ended;                       /* of them, those that ended a lease */
    struct arena arena;
};

static void step(struct rig *rig, struct raft_message message)
{
    message.to = 1;
    if (!message.from)
        message.from = 2;
    if (!message.term)
        message.term = raft_current_term(rig->raft);
    assert_ok(raft_step(rig->raft, &message));
}

/* Each round's heartbeats carry its context. */
static void note_round(struct rig *rig, struct bytes context)
{
    if (context.size == 0 ||
        (rig->rounds && bytes_equal(rig->contexts[rig->rounds - 1], context)))
        return;
    assert_true(rig->rounds < CONTEXTS_MAX);
    rig->contexts[rig->rounds++] = arena_copy(&rig->arena, context);
}

static void hear(struct rig *rig, struct bytes context)
{
    step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP, .context = context});
}

static void peer(struct rig *rig, const struct raft_message *message)
{
    if (message->to != 2)
        return;
    if (message->type == RAFT_MSG_VOTE) {
        step(rig, (struct raft_message){.type = RAFT_MSG_VOTE_RESP});
    } else if (message->type == RAFT_MSG_HEARTBEAT) {
        note_round(rig, message->context);
        if (!rig->is_deaf)
            hear(rig, message->context);
    } else if (message->type == RAFT_MSG_APP) {
        rig->held = message->index + message->entry_count;
        if (!rig->holds_appends)
            step(rig, (struct raft_message){.type = RAFT_MSG_APP_RESP, .index = rig->held});
    }
}

static void apply(struct rig *rig, const struct entry *entry)
{
    struct store_result result;
    struct err err = {0};
    struct arena arena = {0};
    struct entry_request request = {0};
    store_begin(rig->store);
    assert_ok(store_apply(rig->store, entry, true, &result, &err));
    assert_ok(store_commit(rig->store, &err));
    lessor_apply(rig->leases.lessor, &result.lease, rig->clock.now_ns);
    if (blob_bytes(entry->payload).size)
        assert_ok(entry_request_decode(blob_bytes(entry->payload), &arena, &request, &err));
    rig->expired += request.kind == ENTRY_LEASE_EXPIRE;
    rig->ended += request.kind == ENTRY_LEASE_EXPIRE && result.lease.event == LEASE_ENDED;
    arena_release(&arena);
    arena_release(&result.arena);
}

/* What the core wants, until it wants nothing: messages are answered once it was closed. */
static void pump(struct rig *rig)
{
    while (raft_has_ready(rig->raft)) {
        struct raft_message *out[64];
        size_t count = 0;
        struct raft_ready ready;
        assert_ok(raft_ready(rig->raft, &ready));
        raftlog_append(&rig->log, ready.entries, ready.entry_count);
        for (size_t i = 0; i < ready.message_count; i++)
            out[count++] = raft_message_clone(&rig->mem, &ready.messages[i]);
        for (size_t i = 0; i < ready.messages_after_count; i++)
            out[count++] = raft_message_clone(&rig->mem, &ready.messages_after[i]);
        for (size_t i = 0; i < ready.read_state_count; i++)
            leases_read_state(&rig->leases, &ready.read_states[i], rig->clock.now_ns);
        for (size_t i = 0; i < ready.committed_count; i++)
            apply(rig, &ready.committed[i]);
        assert_ok(raft_advance(rig->raft));
        for (size_t i = 0; i < count; i++) {
            peer(rig, out[i]);
            raft_message_free(&rig->mem, out[i]);
        }
    }
}

static void turn(struct rig *rig)
{
    do {
        assert_ok(leases_turn(&rig->leases, rig->clock.now_ns, rig->may_propose));
        pump(rig);
        lessor_validate(rig->leases.lessor);
    } while (leases_next_ns(&rig->leases) <= rig->clock.now_ns);
}

/* A loop that ticks as it should. */
static void pass(struct rig *rig, int64_t ns)
{
    for (int64_t end = rig->clock.now_ns + ns; rig->clock.now_ns < end;) {
        int64_t left = end - rig->clock.now_ns;
        sim_clock_advance(&rig->clock, left < TICK_NS ? left : TICK_NS);
        turn(rig);
    }
}

/* A loop that is stopped meanwhile. */
static void pause_for(struct rig *rig, int64_t ns)
{
    sim_clock_advance(&rig->clock, ns);
    turn(rig);
}

static void propose(struct rig *rig, enum entry_request_kind kind, int64_t id, int64_t ttl_s)
{
    struct entry_request request = {.kind = kind, .lease = {.id = id, .ttl_s = ttl_s}};
    assert_ok(proposer_propose_own(rig->proposer, rig->raft, &request, rig->clock.wall_ns));
    turn(rig);
}

static void lead(struct rig *rig)
{
    assert_ok(raft_campaign(rig->raft));
    pump(rig);
    turn(rig);
    assert_int_equal(raft_role(rig->raft), RAFT_LEADER);
    assert_true(lessor_is_promoted(rig->leases.lessor));
}

/* Somebody leads a later term. */
static void is_deposed(struct rig *rig)
{
    step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 3,
                                    .term = raft_current_term(rig->raft) + 1});
    turn(rig);
    assert_int_equal(raft_role(rig->raft), RAFT_FOLLOWER);
    assert_false(lessor_is_promoted(rig->leases.lessor));
}

static int setup(void **state)
{
    struct rig *rig = mem_xzalloc(sizeof *rig);
    struct raft_conf_state voters = {.voters = {3, {1, 2, 3}}};
    struct hard_state none = {0};
    struct err err = {0};
    sim_clock_init(&rig->clock);
    rig->may_propose = true;
    rig->memory = backend_memory_new(0);
    struct store_options options = {.backend = backend_memory_open(rig->memory), .cluster_id = 1,
                                    .member_id = 1, .generation = 1, .create = true};
    assert_ok(store_open(&rig->store, &options, &err));
    raftlog_init(&rig->log, 0, 0, &none, &voters);
    struct raft_config config = {.id = 1, .election_tick = 6, .heartbeat_tick = 1,
                                 .log = &rig->log.view, .mem = &rig->mem,
                                 .max_size_per_message = MESSAGE_SIZE_MAX,
                                 .max_inflight_messages = 16, .seed = 3};
    assert_ok(raft_new(&config, &rig->raft, &err));
    rig->proposer = mem_xzalloc(sizeof *rig->proposer);
    proposer_init(rig->proposer, 0, NULL);
    leases_init(&rig->leases, rig->raft, rig->proposer, &rig->clock.door, 5, NULL);
    assert_ok(leases_load(&rig->leases, rig->store, &err));
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    leases_release(&rig->leases);
    proposer_release(rig->proposer);
    free(rig->proposer);
    raft_free(rig->raft);
    raftlog_release(&rig->log);
    store_close(rig->store);
    backend_memory_free(rig->memory);
    arena_release(&rig->arena);
    free(rig);
    return 0;
}

/* ---- the tests ---- */

static void a_leader_lets_it_run_out_and_not_before(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 5);
    propose(rig, ENTRY_LEASE_GRANT, 8, 9);
    pass(rig, 5 * NS_PER_S - 1);
    assert_int_equal(rig->expired, 0);
    assert_int_equal(rig->rounds, 0);           /* nothing was due: nobody was asked */
    pass(rig, 1);
    assert_int_equal(rig->ended, 1);
    assert_int_equal(rig->rounds, 1);
    /* Active ever since: no other round. */
    pass(rig, 4 * NS_PER_S);
    assert_int_equal(rig->ended, 2);
    assert_int_equal(rig->rounds, 1);
}

static void after_a_pause_a_quorum_speaks_first(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 6, 2);
    propose(rig, ENTRY_LEASE_GRANT, 7, 8);
    pass(rig, 3 * NS_PER_S);
    assert_int_equal(rig->ended, 1);
    assert_int_equal(rig->rounds, 1);
    rig->is_deaf = true;
    raft_index last = raftlog_last(&rig->log);
    pause_for(rig, 10 * NS_PER_S);
    assert_int_equal(rig->rounds, 2);
    pass(rig, 400 * NS_PER_MS);
    assert_int_equal(raftlog_last(&rig->log), last);    /* not even proposed */
    hear(rig, rig->contexts[1]);
    turn(rig);
    assert_int_equal(rig->ended, 2);
}

static void a_round_begun_before_the_pause_does_not_count(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    rig->is_deaf = true;
    pass(rig, 2 * NS_PER_S);
    assert_int_equal(rig->rounds, 1);
    /* Its answer arrives after the pause, and is the first thing that is looked at. */
    sim_clock_advance(&rig->clock, 10 * NS_PER_S);
    hear(rig, rig->contexts[0]);
    pump(rig);
    turn(rig);
    pass(rig, 100 * NS_PER_MS);
    assert_int_equal(rig->expired, 0);
    assert_int_equal(rig->rounds, 2);
    hear(rig, rig->contexts[1]);
    turn(rig);
    assert_int_equal(rig->ended, 1);
}

static void a_round_that_is_lost_is_begun_again(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    rig->is_deaf = true;
    pass(rig, 3 * NS_PER_S);
    assert_int_equal(rig->expired, 0);
    assert_in_range(rig->rounds, 2, 4);
    rig->is_deaf = false;
    pass(rig, NS_PER_S);
    assert_int_equal(rig->ended, 1);
}

static void nobody_else_does(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    is_deposed(rig);
    raft_index last = raftlog_last(&rig->log);
    assert_true(leases_next_ns(&rig->leases) == INT64_MAX);
    pass(rig, 20 * NS_PER_S);
    pause_for(rig, 20 * NS_PER_S);
    assert_int_equal(raftlog_last(&rig->log), last);
    assert_int_equal(rig->rounds, 0);
    /* Leading again: the whole time again, and a round of this term. */
    lead(rig);
    pass(rig, 2 * NS_PER_S);
    assert_int_equal(rig->expired, 0);
    pass(rig, ELECTION_DEFAULT_MS * NS_PER_MS);
    assert_int_equal(rig->ended, 1);
    assert_int_equal(rig->rounds, 1);
}

/* Deposed while its round is under way: the answer is late whatever it says. */
static void what_a_former_leader_asked_is_void(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    rig->is_deaf = true;
    pass(rig, 2 * NS_PER_S);
    assert_int_equal(rig->rounds, 1);
    is_deposed(rig);
    assert_null(rig->leases.round);
    lead(rig);
    struct blob *context = blob_copy(rig->contexts[0]);
    leases_read_state(&rig->leases, &(struct raft_read_state){.index = 1, .context = context},
                      rig->clock.now_ns);
    blob_unref(context);
    assert_false(activity_is_proven(&rig->leases.activity));
}

static void a_renewal_in_the_log_comes_first(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    rig->holds_appends = true;
    propose(rig, ENTRY_LEASE_RENEW, 7, 0);
    raft_index renewal = raftlog_last(&rig->log);
    pass(rig, 2 * NS_PER_S);
    assert_int_equal(raftlog_last(&rig->log), renewal + 1);     /* proposed all the same */
    assert_int_equal(rig->expired, 0);
    rig->holds_appends = false;
    step(rig, (struct raft_message){.type = RAFT_MSG_APP_RESP, .index = rig->held});
    turn(rig);
    assert_int_equal(rig->expired, 1);
    assert_int_equal(rig->ended, 0);
    assert_int_equal(lessor_count(rig->leases.lessor), 1);
    /* And then it does run out. */
    pass(rig, 2 * NS_PER_S);
    assert_int_equal(rig->ended, 1);
}

static void not_while_applying_lags_behind(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    rig->may_propose = false;
    pass(rig, 5 * NS_PER_S);
    assert_int_equal(rig->rounds, 0);
    assert_true(leases_next_ns(&rig->leases) > rig->clock.now_ns);
    rig->may_propose = true;
    pass(rig, TICK_NS);
    assert_int_equal(rig->ended, 1);
}

/* The core takes no proposals while it hands over: what is due stays due. */
static void what_is_refused_is_tried_again(void **state)
{
    struct rig *rig = *state;
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    rig->holds_appends = true;
    propose(rig, ENTRY_SESSION_CLOSE, 0, 0);    /* the heir is behind: handing over takes a while */
    assert_ok(raft_transfer_leader(rig->raft, 2));
    pass(rig, 3 * NS_PER_S);
    assert_int_equal(rig->expired, 0);
    assert_true(activity_is_proven(&rig->leases.activity));
    for (int i = 0; i < 6; i++)                 /* given up after an election timeout */
        assert_ok(raft_tick(rig->raft));
    rig->holds_appends = false;
    step(rig, (struct raft_message){.type = RAFT_MSG_APP_RESP, .index = rig->held});
    pass(rig, 2 * TICK_NS);
    assert_int_equal(rig->ended, 1);
}

static void thousands_run_out_a_few_at_a_time(void **state)
{
    struct rig *rig = *state;
    enum { COUNT = 1500 };
    lead(rig);
    for (int i = 0; i < COUNT; i++)
        propose(rig, ENTRY_LEASE_GRANT, i + 1, 2);
    pass(rig, 2 * NS_PER_S);
    assert_in_range(rig->ended, 1, LEASE_EXPIRE_RATE);
    pass(rig, 2 * NS_PER_S);
    assert_int_equal(rig->ended, COUNT);
    assert_int_equal(rig->expired, COUNT);
}

/* What another state holds after an install is what counts. */
static void another_store_has_other_leases(void **state)
{
    struct rig *rig = *state;
    struct err err = {0};
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 2);
    lessor_apply(rig->leases.lessor, &(struct lease_change){LEASE_GRANTED, 99, 2, 1},
                 rig->clock.now_ns);
    assert_ok(leases_load(&rig->leases, rig->store, &err));
    assert_int_equal(lessor_count(rig->leases.lessor), 1);
    turn(rig);
    assert_true(lessor_is_promoted(rig->leases.lessor));
    pass(rig, 3 * NS_PER_S);
    assert_int_equal(rig->expired, 1);
    assert_int_equal(rig->ended, 1);
}

static void what_is_left_is_told_by_the_leader(void **state)
{
    struct rig *rig = *state;
    struct kv_lease_result lease = {.id = 7, .ttl_s = 12, .granted_ttl_s = 20};
    lead(rig);
    propose(rig, ENTRY_LEASE_GRANT, 7, 20);
    pass(rig, 4500 * NS_PER_MS);
    leases_fill(&rig->leases, rig->clock.now_ns, &lease);
    assert_int_equal(lease.ttl_s, 15);
    is_deposed(rig);
    lease.ttl_s = 12;
    leases_fill(&rig->leases, rig->clock.now_ns, &lease);
    assert_int_equal(lease.ttl_s, 12);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silence_voids_what_was_proven),
        cmocka_unit_test(a_round_from_before_the_silence_proves_nothing),
        TEST(a_leader_lets_it_run_out_and_not_before),
        TEST(after_a_pause_a_quorum_speaks_first),
        TEST(a_round_begun_before_the_pause_does_not_count),
        TEST(a_round_that_is_lost_is_begun_again),
        TEST(nobody_else_does),
        TEST(what_a_former_leader_asked_is_void),
        TEST(a_renewal_in_the_log_comes_first),
        TEST(not_while_applying_lags_behind),
        TEST(what_is_refused_is_tried_again),
        TEST(thousands_run_out_a_few_at_a_time),
        TEST(another_store_has_other_leases),
        TEST(what_is_left_is_told_by_the_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
