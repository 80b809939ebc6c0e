/* Who counts: single and joint changes of a configuration, worked out on a tracker, and what
 * majorities say. */
#include "tests/test.h"

#include "cluster/raft/print.h"
#include "cluster/raft/raft_internal.h"

#define LAST 20 /* of the log when a member is added */

static void restore(struct tracker *tracker, struct raft_conf_state state)
{
    assert_ok(tracker_restore(tracker, LAST, &state, NULL));
}

static void assert_configuration(const struct tracker *tracker, const char *expected)
{
    struct buf buf = {0};
    raft_print_configuration(&buf, &tracker->config);
    assert_bytes_equal(buf_bytes(&buf), bytes_of_text(expected));
    buf_release(&buf);
    assert_ok(tracker_check(tracker, NULL));
}

static void assert_refused(enum err_code code, const struct err *err, const char *text)
{
    assert_int_equal(code, ERR_INVALID);
    assert_non_null(strstr(err->text, text));
}

/* --- members ---------------------------------------------------------------------------------- */

static void test_members_in_any_order(void **state)
{
    (void)state;
    struct tracker tracker;
    const struct raft_change learners[] = {
        {RAFT_CHANGE_ADD_LEARNER, 9}, {RAFT_CHANGE_ADD_LEARNER, 2}, {RAFT_CHANGE_ADD_LEARNER, 7}};
    restore(&tracker, (struct raft_conf_state){.voters = {1, {5}}});
    assert_ok(tracker_simple(&tracker, LAST, learners, 3, NULL));
    assert_configuration(&tracker, "voters=(5) learners=(2 7 9)");
    for (size_t i = 1; i < tracker.count; i++)
        assert_true(tracker.progress[i - 1].id < tracker.progress[i].id);
    assert_int_equal(tracker_find(&tracker, 7)->next, LAST);
    assert_true(tracker_find(&tracker, 7)->recent_active);
    assert_null(tracker_find(&tracker, 3));
}

/* A change that was crossed out, one that carries only a context, one about somebody unknown, and
 * one that asks for what is so already: nothing. */
static void test_changes_without_effect(void **state)
{
    (void)state;
    struct tracker tracker;
    const struct raft_change changes[] = {
        {RAFT_CHANGE_ADD_VOTER, 0}, {RAFT_CHANGE_UPDATE, 1},      {RAFT_CHANGE_REMOVE, 9},
        {RAFT_CHANGE_ADD_VOTER, 2}, {RAFT_CHANGE_ADD_LEARNER, 4},
    };
    restore(&tracker, (struct raft_conf_state){.voters = {2, {1, 2}}, .learners = {1, {4}}});
    assert_ok(tracker_simple(&tracker, LAST, changes, ARRAY_COUNT(changes), NULL));
    assert_configuration(&tracker, "voters=(1 2) learners=(4)");
}

static void test_promotion_and_demotion(void **state)
{
    (void)state;
    struct tracker tracker;
    const struct raft_change promote = {RAFT_CHANGE_ADD_VOTER, 3};
    const struct raft_change demote = {RAFT_CHANGE_ADD_LEARNER, 3};
    restore(&tracker, (struct raft_conf_state){.voters = {2, {1, 2}}, .learners = {1, {3}}});
    tracker_find(&tracker, 3)->match = 5;
    assert_ok(tracker_simple(&tracker, LAST, &promote, 1, NULL));
    assert_configuration(&tracker, "voters=(1 2 3)");
    assert_false(tracker_find(&tracker, 3)->learner);
    assert_int_equal(tracker_find(&tracker, 3)->match, 5); /* what is known of it stays known */
    assert_ok(tracker_simple(&tracker, LAST, &demote, 1, NULL));
    assert_configuration(&tracker, "voters=(1 2) learners=(3)");
    assert_true(tracker_find(&tracker, 3)->learner);
    assert_int_equal(tracker_find(&tracker, 3)->match, 5);
}

/* --- simple ----------------------------------------------------------------------------------- */

/* One voter more or less has a majority in common with what was before; two may have none. */
static void test_two_voters_at_once(void **state)
{
    (void)state;
    struct tracker tracker, next;
    struct err err = {0};
    const struct raft_change add[] = {{RAFT_CHANGE_ADD_VOTER, 2}, {RAFT_CHANGE_ADD_VOTER, 3}};
    const struct raft_change replace[] = {{RAFT_CHANGE_REMOVE, 1}, {RAFT_CHANGE_ADD_VOTER, 2}};
    restore(&tracker, (struct raft_conf_state){.voters = {1, {1}}});
    next = tracker;
    assert_refused(tracker_simple(&next, LAST, add, 2, &err), &err, "more than one voter");
    next = tracker;
    assert_refused(tracker_simple(&next, LAST, replace, 2, &err), &err, "more than one voter");
    next = tracker;
    assert_ok(tracker_simple(&next, LAST, add, 1, &err));
    assert_configuration(&next, "voters=(1 2)");
}

/* --- joint ------------------------------------------------------------------------------------ */

static void test_joint_and_back(void **state)
{
    (void)state;
    struct tracker tracker;
    const struct raft_change changes[] = {
        {RAFT_CHANGE_ADD_VOTER, 4},
        {RAFT_CHANGE_REMOVE, 1},
        {RAFT_CHANGE_ADD_LEARNER, 2},
        {RAFT_CHANGE_ADD_LEARNER, 5},
    };
    restore(&tracker, (struct raft_conf_state){.voters = {3, {1, 2, 3}}});
    assert_ok(tracker_enter_joint(&tracker, LAST, true, changes, 4, NULL));
    assert_configuration(&tracker,
                         "voters=(3 4)&&(1 2 3) learners=(5) learners_next=(2) autoleave");
    assert_false(tracker_find(&tracker, 2)->learner); /* it still votes in the outgoing half */
    assert_non_null(tracker_find(&tracker, 1));
    assert_ok(tracker_leave_joint(&tracker, NULL));
    assert_configuration(&tracker, "voters=(3 4) learners=(2 5)");
    assert_true(tracker_find(&tracker, 2)->learner);
    assert_null(tracker_find(&tracker, 1));
}

static void test_joint_refusals(void **state)
{
    (void)state;
    struct tracker tracker;
    struct err err = {0};
    const struct raft_change add = {RAFT_CHANGE_ADD_VOTER, 2};
    const struct raft_change remove = {RAFT_CHANGE_REMOVE, 1};
    restore(&tracker, (struct raft_conf_state){.voters = {0, {0}}});
    assert_refused(tracker_enter_joint(&tracker, LAST, false, &add, 1, &err), &err, "zero-voter");
    restore(&tracker, (struct raft_conf_state){.voters = {1, {1}}});
    assert_refused(tracker_leave_joint(&tracker, &err), &err, "non-joint");
    assert_refused(tracker_enter_joint(&tracker, LAST, false, &remove, 1, &err), &err,
                   "removed all voters");
    restore(&tracker, (struct raft_conf_state){.voters = {1, {1}}});
    assert_ok(tracker_enter_joint(&tracker, LAST, false, &add, 1, &err));
    assert_refused(tracker_enter_joint(&tracker, LAST, false, &add, 1, &err), &err,
                   "already joint");
    assert_refused(tracker_simple(&tracker, LAST, &add, 1, &err), &err, "in joint config");
}

/* What an entry asks for: which transition, by how many changes and by name. */
static void test_transitions(void **state)
{
    (void)state;
    struct tracker tracker;
    struct raft_conf_change change = {.count = 1, .changes = {{RAFT_CHANGE_ADD_VOTER, 2}}};
    const struct raft_conf_state alone = {.voters = {1, {1}}};
    restore(&tracker, alone);
    assert_ok(tracker_apply(&tracker, LAST, &change, NULL));
    assert_configuration(&tracker, "voters=(1 2)");
    restore(&tracker, alone);
    change.transition = RAFT_TRANSITION_JOINT_EXPLICIT;
    assert_ok(tracker_apply(&tracker, LAST, &change, NULL));
    assert_configuration(&tracker, "voters=(1 2)&&(1)");
    restore(&tracker, alone);
    change.transition = RAFT_TRANSITION_JOINT_IMPLICIT;
    assert_ok(tracker_apply(&tracker, LAST, &change, NULL));
    assert_configuration(&tracker, "voters=(1 2)&&(1) autoleave");
    restore(&tracker, alone);
    change = (struct raft_conf_change){
        .count = 2, .changes = {{RAFT_CHANGE_ADD_VOTER, 2}, {RAFT_CHANGE_ADD_VOTER, 3}}};
    assert_ok(tracker_apply(&tracker, LAST, &change, NULL));
    assert_configuration(&tracker, "voters=(1 2 3)&&(1) autoleave");
    change.count = 0;
    assert_ok(tracker_apply(&tracker, LAST, &change, NULL));
    assert_configuration(&tracker, "voters=(1 2 3)");
}

/* --- majorities ------------------------------------------------------------------------------- */

/* The index that voter id has reached is reached[id]. */
static uint64_t reached_by(const void *context, raft_id id)
{
    return ((const uint64_t *)context)[id];
}

static void test_committed_by_a_majority(void **state)
{
    (void)state;
    const uint64_t reached[] = {0, 10, 30, 20, 50, 40};
    struct raft_id_set voters = {0};
    assert_int_equal(quorum_committed(&voters, reached_by, reached), UINT64_MAX);
    const uint64_t expected[] = {10, 10, 20, 20, 30};
    for (raft_id id = 1; id <= 5; id++) {
        assert_true(raft_id_set_add(&voters, id));
        assert_int_equal(quorum_committed(&voters, reached_by, reached), expected[id - 1]);
    }
    const struct raft_conf_state joint = {.voters = {3, {2, 4, 5}}, .voters_outgoing = {2, {1, 2}}};
    assert_int_equal(quorum_joint_committed(&joint, reached_by, reached), 10);
    const struct raft_conf_state swapped = {.voters = {2, {1, 2}},
                                            .voters_outgoing = {3, {2, 4, 5}}};
    assert_int_equal(quorum_joint_committed(&swapped, reached_by, reached), 10);
}

static void vote(struct raft_conf_state config, struct raft_id_set yes, struct raft_id_set no,
                 enum vote_result expected)
{
    struct raft_id_set voted = yes;
    for (size_t i = 0; i < no.count; i++)
        assert_true(raft_id_set_add(&voted, no.ids[i]));
    assert_int_equal(quorum_joint_vote(&config, &voted, &yes), expected);
    const struct raft_conf_state swapped = {.voters = config.voters_outgoing,
                                            .voters_outgoing = config.voters};
    assert_int_equal(quorum_joint_vote(&swapped, &voted, &yes), expected);
}

#define SET(...) ((struct raft_id_set){sizeof((raft_id[]){__VA_ARGS__}) / 8, {__VA_ARGS__}})
#define NONE ((struct raft_id_set){0})

static void test_votes(void **state)
{
    (void)state;
    const struct raft_conf_state three = {.voters = {3, {1, 2, 3}}};
    const struct raft_conf_state four = {.voters = {4, {1, 2, 3, 4}}};
    const struct raft_conf_state joint = {.voters = {3, {1, 2, 3}}, .voters_outgoing = {2, {4, 5}}};
    vote((struct raft_conf_state){.auto_leave = false}, NONE, NONE, VOTE_WON);
    vote(three, SET(1), NONE, VOTE_PENDING);
    vote(three, SET(1), SET(2), VOTE_PENDING);
    vote(three, SET(1, 3), SET(2), VOTE_WON);
    vote(three, SET(1), SET(2, 3), VOTE_LOST);
    vote(three, SET(1, 8, 9), SET(2, 3), VOTE_LOST); /* of others nothing counts */
    vote(four, SET(1, 2), NONE, VOTE_PENDING);
    vote(four, SET(1, 2), SET(3, 4), VOTE_LOST);
    vote(four, SET(1, 2, 3), NONE, VOTE_WON);
    vote(joint, SET(1, 2), NONE, VOTE_PENDING);
    vote(joint, SET(1, 2, 4), NONE, VOTE_PENDING);
    vote(joint, SET(1, 2, 4, 5), NONE, VOTE_WON);
    vote(joint, SET(1, 2), SET(4), VOTE_LOST);
    vote(joint, SET(4, 5), SET(1, 2), VOTE_LOST);
    vote(joint, SET(4), SET(1, 2), VOTE_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_in_any_order),
        cmocka_unit_test(test_changes_without_effect),
        cmocka_unit_test(test_promotion_and_demotion),
        cmocka_unit_test(test_two_voters_at_once),
        cmocka_unit_test(test_joint_and_back),
        cmocka_unit_test(test_joint_refusals),
        cmocka_unit_test(test_transitions),
        cmocka_unit_test(test_committed_by_a_majority),
        cmocka_unit_test(test_votes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
