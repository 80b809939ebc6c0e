/* cluster/change_check: the arithmetic of quorums, and the sentences that tell it. */
#include "tests/test.h"

#include "cluster/change_check.h"
#include "proto/base/limits.h"

static struct membership membership;
static struct change_view view;

/* Members 1 .. voters vote, the next ones listen; all are named a, b, c ..., and none is reachable. */
static void begin(size_t voters, size_t learners)
{
    membership = (struct membership){0};
    view = (struct change_view){.membership = &membership, .last = 5000};
    for (raft_id id = 1; id <= voters + learners; id++) {
        struct membership_member *member = &membership.members[membership.count++];
        *member = (struct membership_member){.id = id, .name = {(char)('a' + id - 1)}};
        assert_true(raft_id_set_add(id <= voters ? &membership.configuration.voters
                                                 : &membership.configuration.learners, id));
    }
}

static void reachable(size_t count, const raft_id *ids)
{
    view.reachable.count = 0;
    for (size_t i = 0; i < count; i++)
        assert_true(raft_id_set_add(&view.reachable, ids[i]));
}

static void matched(raft_id id, raft_index match)
{
    view.matched = (struct raft_id_set){1, {id}};
    view.match[0] = match;
}

static const char *text_of(enum err_code (*check)(const struct change_view *, raft_id, struct err *),
                           raft_id id, enum err_code wanted)
{
    static struct err err;
    err = (struct err){0};
    assert_int_equal(check(&view, id, &err), wanted);
    return err.text;
}

static void removing(void **state)
{
    (void)state;
    begin(3, 1);
    reachable(2, (raft_id[]){1, 2});
    assert_string_equal(text_of(change_check_remove, 2, ERR_READ_ONLY),
                        "removing b leaves 2 voters, of which 1 is reachable; 2 are needed");
    assert_ok(change_check_remove(&view, 3, NULL));         /* the dead one */
    assert_ok(change_check_remove(&view, 4, NULL));         /* a learner is in no majority */
    reachable(3, (raft_id[]){1, 2, 3});
    assert_ok(change_check_remove(&view, 2, NULL));
    assert_ok(change_check_remove(&view, 1, NULL));         /* the leader itself */
    assert_string_equal(text_of(change_check_remove, 9, ERR_NOT_FOUND),
                        "there is no member 0000000000000009");

    begin(2, 0);
    reachable(1, (raft_id[]){1});
    assert_ok(change_check_remove(&view, 2, NULL));
    assert_string_equal(text_of(change_check_remove, 1, ERR_READ_ONLY),
                        "removing a leaves 1 voter, of which 0 are reachable; 1 is needed");
    begin(1, 1);
    reachable(2, (raft_id[]){1, 2});
    assert_string_equal(text_of(change_check_remove, 1, ERR_READ_ONLY),
                        "a is the only voter: nobody could be elected without it");
}

/* Of every size and every number of those reachable: a majority of those left decides. */
static void removing_by_counting(void **state)
{
    (void)state;
    for (size_t voters = 2; voters <= 9; voters++)
        for (size_t up = 1; up <= voters; up++) {
            raft_id ids[9];
            for (size_t i = 0; i < up; i++)
                ids[i] = i + 1;
            begin(voters, 0);
            reachable(up, ids);
            bool live = 2 * (up - 1) > voters - 1, dead = up < voters && 2 * up > voters - 1;
            assert_int_equal(change_check_remove(&view, 1, NULL), live ? ERR_OK : ERR_READ_ONLY);
            if (up < voters)
                assert_int_equal(change_check_remove(&view, voters, NULL),
                                 dead ? ERR_OK : ERR_READ_ONLY);
        }
}

static void promoting(void **state)
{
    (void)state;
    begin(3, 1);
    reachable(2, (raft_id[]){1, 2});
    matched(4, 5000);
    assert_string_equal(text_of(change_check_promote, 4, ERR_BUSY),
                        "d is not reachable: as a voter it would only be counted");
    reachable(3, (raft_id[]){1, 2, 4});
    assert_ok(change_check_promote(&view, 4, NULL));
    matched(4, 5000 - MEMBER_PROMOTE_LAG_MAX);
    assert_ok(change_check_promote(&view, 4, NULL));
    matched(4, 5000 - MEMBER_PROMOTE_LAG_MAX - 1);
    assert_string_equal(text_of(change_check_promote, 4, ERR_BUSY),
                        "d is 1001 entries behind; 1000 at most before it may vote");
    matched(3, 5000);                                       /* nothing is known of it */
    assert_int_equal(change_check_promote(&view, 4, NULL), ERR_BUSY);
    assert_ok(change_check_promote(&view, 3, NULL));        /* it votes already */
    assert_int_equal(change_check_promote(&view, 9, NULL), ERR_NOT_FOUND);

    begin(3, 1);
    reachable(2, (raft_id[]){1, 4});
    matched(4, 5000);
    assert_string_equal(text_of(change_check_promote, 4, ERR_READ_ONLY),
                        "promoting d makes 4 voters, of which 2 are reachable; 3 are needed");
}

static void transferring(void **state)
{
    (void)state;
    begin(2, 1);
    reachable(1, (raft_id[]){1});
    assert_string_equal(text_of(change_check_transfer, 3, ERR_READ_ONLY),
                        "c has no vote and cannot lead");
    assert_string_equal(text_of(change_check_transfer, 2, ERR_BUSY), "b is not reachable");
    assert_int_equal(change_check_transfer(&view, 9, NULL), ERR_NOT_FOUND);
    reachable(2, (raft_id[]){1, 2});
    assert_ok(change_check_transfer(&view, 2, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removing), cmocka_unit_test(removing_by_counting),
        cmocka_unit_test(promoting), cmocka_unit_test(transferring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
