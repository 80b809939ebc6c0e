/* Who gets a vote and whose vote counts, timeouts, and when a leader gives up. */
#include "tests/unit/raft_fixture.h"

/* Steps it, and gives the one message that answers; NULL when there is none. */
static const struct raft_message *ask(struct fixture *fixture, enum raft_message_type type,
                                      raft_id from, raft_term term, struct entry_mark log)
{
    static struct raft_ready ready;
    struct raft_message message = {.type = type,
                                   .from = from,
                                   .to = 1,
                                   .term = term,
                                   .index = log.index,
                                   .log_term = log.term};
    assert_ok(raft_step(fixture->raft, &message));
    if (!raft_has_ready(fixture->raft))
        return NULL;
    assert_ok(raft_ready(fixture->raft, &ready));
    handle(fixture, &ready);
    for (size_t i = 0; ready.append && i < ready.append->response_count; i++)
        if (ready.append->responses[i].to == from)
            return &ready.append->responses[i];
    return NULL;
}

static void assert_vote(struct fixture *fixture, raft_id from, raft_term term, bool granted)
{
    const struct raft_message *answer =
        ask(fixture, RAFT_MSG_VOTE, from, term, (struct entry_mark){1, 1});
    assert_non_null(answer);
    assert_int_equal(answer->type, RAFT_MSG_VOTE_RESP);
    assert_int_equal(answer->reject, !granted);
    assert_int_equal(answer->term, term);
}

/* First come, first served; the same one may ask again, for its answer may have been lost. */
static void test_one_vote_per_term(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_vote(fixture, 2, 1, true);
    assert_vote(fixture, 3, 1, false);
    assert_vote(fixture, 2, 1, true);
    assert_vote(fixture, 3, 2, true);
    assert_vote(fixture, 2, 2, false);
}

/* Who has a leader in this term has nothing to vote about, though it gave its vote to nobody. */
static void test_no_vote_with_a_leader(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    ask(fixture, RAFT_MSG_HEARTBEAT, 2, 1, (struct entry_mark){0, 0});
    assert_int_equal(raft_leader(fixture->raft), 2);
    assert_vote(fixture, 3, 1, false);
    const struct raft_message *answer =
        ask(fixture, RAFT_MSG_PRE_VOTE, 3, 1, (struct entry_mark){1, 1});
    assert_true(answer->reject);
    answer = ask(fixture, RAFT_MSG_PRE_VOTE, 3, 2, (struct entry_mark){1, 1});
    assert_false(answer->reject);
    assert_int_equal(raft_leader(fixture->raft), 2); /* a pre-vote promises nothing */
}

/* A refused candidate raises the term. The vote in it is still free; when it is given, that alone
 * must be durable before the answer leaves. */
static void test_vote_after_a_refusal(void **state)
{
    struct fixture *fixture = *state;
    struct entry stored = {1, 1, ENTRY_NORMAL, NULL};
    raft_storage_append(&fixture->storage, &stored, 1);
    fixture->storage.hard = (struct hard_state){1, 0, 1};
    start(fixture);
    settle(fixture);
    const struct raft_message *answer =
        ask(fixture, RAFT_MSG_VOTE, 2, 2, (struct entry_mark){0, 0});
    assert_true(answer->reject);
    assert_int_equal(fixture->storage.hard.term, 2);
    assert_int_equal(fixture->storage.hard.vote, 0);
    struct raft_message vote = {
        .type = RAFT_MSG_VOTE, .from = 3, .to = 1, .term = 2, .index = 1, .log_term = 1};
    struct raft_ready ready;
    assert_ok(raft_step(fixture->raft, &vote));
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_true(ready.must_sync);
    assert_int_equal(ready.hard_state.vote, 3);
    assert_int_equal(ready.append->response_count, 1);
    assert_false(ready.append->responses[0].reject);
}

/* Of several answers of one member the first one counts. */
static void test_first_answer_counts(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_ok(raft_campaign(fixture->raft));
    settle(fixture);
    struct raft_message vote = {
        .type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1, .term = 1, .reject = true};
    assert_ok(raft_step(fixture->raft, &vote));
    vote.reject = false;
    assert_ok(raft_step(fixture->raft, &vote));
    assert_int_equal(raft_role(fixture->raft), RAFT_CANDIDATE);
    vote.from = 3;
    assert_ok(raft_step(fixture->raft, &vote));
    assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
    /* A leader does not stand. */
    settle(fixture);
    assert_ok(raft_campaign(fixture->raft));
    assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
    assert_int_equal(raft_current_term(fixture->raft), 1);
}

/* Timeouts are drawn from [e, 2e - 1], anew for each term, and every value is drawn. */
static void test_timeouts_are_drawn(void **state)
{
    struct fixture *fixture = *state;
    bool seen[20] = {false};
    start(fixture);
    for (size_t i = 0; i < 500; i++) {
        uint32_t ticks = 0;
        raft_term term = raft_current_term(fixture->raft);
        for (; raft_current_term(fixture->raft) == term; ticks++)
            assert_ok(raft_tick(fixture->raft));
        assert_in_range(ticks, 10, 19);
        seen[ticks] = true;
        settle(fixture);
    }
    for (size_t ticks = 10; ticks < 20; ticks++)
        assert_true(seen[ticks]);
}

static size_t count_type(const struct raft_message *messages, size_t count,
                         enum raft_message_type type)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += messages[i].type == type;
    return found;
}

/* Requests for votes wait for the write of term and vote, in both modes, unless they may be eager;
 * those of a pre-vote promise nothing and never wait. */
static void test_vote_requests_wait(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned mode = 0; mode < 8; mode++) {
        bool eager = mode & 1, pre_vote = mode & 4;
        enum raft_message_type type = pre_vote ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE;
        struct raft_ready ready;
        fixture->config.eager_vote_requests = eager;
        fixture->config.async_storage_writes = mode & 2;
        fixture->config.pre_vote = pre_vote;
        raft_free(fixture->raft);
        start(fixture);
        assert_ok(raft_campaign(fixture->raft));
        assert_ok(raft_ready(fixture->raft, &ready));
        const struct raft_message *after =
            ready.append ? ready.append->responses : ready.messages_after;
        size_t after_count =
            ready.append ? ready.append->response_count : ready.messages_after_count;
        bool at_once = eager || pre_vote;
        assert_int_equal(count_type(ready.messages, ready.message_count, type), at_once ? 2 : 0);
        assert_int_equal(count_type(after, after_count, type), at_once ? 0 : 2);
        assert_int_equal(ready.must_sync, !pre_vote);
    }
}

static void tick(struct fixture *fixture, size_t count)
{
    while (count-- > 0)
        assert_ok(raft_tick(fixture->raft));
    settle(fixture);
}

static void test_heartbeats_in_their_rhythm(void **state)
{
    struct fixture *fixture = *state;
    struct raft_ready ready;
    fixture->config.heartbeat_tick = 3;
    lead(fixture);
    for (size_t round = 0; round < 4; round++) {
        assert_ok(raft_tick(fixture->raft));
        assert_ok(raft_tick(fixture->raft));
        assert_false(raft_has_ready(fixture->raft));
        assert_ok(raft_tick(fixture->raft));
        assert_ok(raft_ready(fixture->raft, &ready));
        assert_int_equal(ready.message_count, 2);
        assert_int_equal(ready.messages[0].type, RAFT_MSG_HEARTBEAT);
    }
}

/* A leader that no quorum was heard from within one timeout gives up, in the very tick, without a
 * heartbeat more; one that was goes on. The votes that made it the leader do not count. */
static void test_quorum_is_checked(void **state)
{
    struct fixture *fixture = *state;
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3, .to = 1, .term = 1};
    struct raft_ready ready;
    fixture->config.check_quorum = true;
    lead(fixture);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(raft_step(fixture->raft, &beat));
        tick(fixture, 10);
        assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
    }
    tick(fixture, 9);
    assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
    assert_ok(raft_tick(fixture->raft));
    assert_int_equal(raft_role(fixture->raft), RAFT_FOLLOWER);
    assert_int_equal(raft_leader(fixture->raft), RAFT_NOBODY);
    assert_int_equal(raft_current_term(fixture->raft), 1);
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_int_equal(ready.message_count, 0);
}

/* Without the check it leads on, whoever hears it. */
static void test_quorum_is_not_checked(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    tick(fixture, 100);
    assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_vote_per_term),  TEST(test_no_vote_with_a_leader),
        TEST(test_vote_after_a_refusal), TEST(test_first_answer_counts),
        TEST(test_timeouts_are_drawn), TEST(test_quorum_is_checked),
        TEST(test_vote_requests_wait),
        TEST(test_quorum_is_not_checked),
        TEST(test_heartbeats_in_their_rhythm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
