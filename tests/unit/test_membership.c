/* Who belongs to the cluster: changes that are taken or refused, ids that never come back, the wire. */
#include "tests/test.h"

#include "cluster/membership.h"

static struct membership_member record(raft_id id)
{
    struct membership_member member = {.id = id};
    snprintf(member.name, sizeof member.name, "name%d", (int)id);
    snprintf(member.address, sizeof member.address, "host%d:2380", (int)id);
    return member;
}

static void ids(struct raft_id_set *set, size_t count, const raft_id *from)
{
    for (size_t i = 0; i < count; i++)
        assert_true(raft_id_set_add(set, from[i]));
}

/* Voters 1, 2, 3. */
static void begin(struct membership *membership)
{
    struct membership_context context = {.count = 3, .members = {record(1), record(2), record(3)}};
    struct raft_conf_state state = {0};
    ids(&state.voters, 3, (raft_id[]){1, 2, 3});
    *membership = (struct membership){0};
    membership_apply(membership, 1, &context, &state);
}

static struct raft_conf_change one(enum raft_change_type type, raft_id id)
{
    return (struct raft_conf_change){.count = 1, .changes = {{type, id}}};
}

static void test_members_follow_the_configuration(void **state)
{
    (void)state;
    struct membership membership;
    begin(&membership);
    assert_int_equal(membership.count, 3);
    assert_string_equal(membership_find(&membership, 2)->address, "host2:2380");
    assert_null(membership_find(&membership, 4));
    assert_true(membership_is_voter(&membership, 3));

    struct membership_context context = {.count = 2, .members = {record(4), record(9)}};
    struct raft_conf_state next = membership.configuration;
    raft_id_set_remove(&next.voters, 1);
    assert_true(raft_id_set_add(&next.learners, 4));
    membership_apply(&membership, 2, &context, &next);
    assert_int_equal(membership.count, 3);
    assert_null(membership_find(&membership, 1));
    assert_true(membership_was_removed(&membership, 1));
    assert_string_equal(membership_find(&membership, 4)->name, "name4");
    assert_false(membership_is_voter(&membership, 4));
    assert_null(membership_find(&membership, 9));   /* the context's record is no membership */
    membership_release(&membership);
}

/* One that leaves stays a member until the joint configuration is left. */
static void test_an_outgoing_voter_is_still_a_member(void **state)
{
    (void)state;
    struct membership membership;
    struct membership_context nobody = {0};
    begin(&membership);
    struct raft_conf_state joint = membership.configuration;
    joint.voters_outgoing = joint.voters;
    raft_id_set_remove(&joint.voters, 3);
    membership_apply(&membership, 2, &nobody, &joint);
    assert_non_null(membership_find(&membership, 3));
    assert_true(membership_is_voter(&membership, 3));
    assert_false(membership_was_removed(&membership, 3));
    joint.voters_outgoing = (struct raft_id_set){0};
    membership_apply(&membership, 2, &nobody, &joint);
    assert_null(membership_find(&membership, 3));
    assert_true(membership_was_removed(&membership, 3));
    membership_release(&membership);
}

static void check_refused(const struct membership *membership, struct raft_conf_change change,
                          enum err_code code, const char *text)
{
    struct err err = {0};
    struct membership_context context = {.count = 1, .members = {record(1)}};
    assert_int_equal(membership_check(membership, &change, &context, &err), code);
    assert_non_null(strstr(err.text, text));
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct membership membership;
    struct membership_context context = {.count = 1, .members = {record(4)}};
    begin(&membership);
    struct raft_conf_state without = membership.configuration;
    raft_id_set_remove(&without.voters, 1);
    membership_apply(&membership, 2, &(struct membership_context){0}, &without);

    check_refused(&membership, one(RAFT_CHANGE_ADD_VOTER, 1), ERR_INVALID, "never comes back");
    check_refused(&membership, one(RAFT_CHANGE_ADD_LEARNER, 1), ERR_INVALID, "never comes back");
    check_refused(&membership, one(RAFT_CHANGE_ADD_VOTER, 7), ERR_INVALID, "no name and address");
    check_refused(&membership, one(RAFT_CHANGE_REMOVE, 7), ERR_NOT_FOUND, "no member");
    check_refused(&membership, one(RAFT_CHANGE_UPDATE, 1), ERR_NOT_FOUND, "no member");
    struct raft_conf_change two = {
        .count = 2, .changes = {{RAFT_CHANGE_REMOVE, 2}, {RAFT_CHANGE_REMOVE, 7}}};
    check_refused(&membership, two, ERR_NOT_FOUND, "0000000000000007");

    struct raft_conf_change fine = one(RAFT_CHANGE_ADD_LEARNER, 4);
    assert_int_equal(membership_check(&membership, &fine, &context, NULL), ERR_OK);
    fine = one(RAFT_CHANGE_ADD_LEARNER, 2);                 /* demoted: it is known */
    assert_int_equal(membership_check(&membership, &fine, &context, NULL), ERR_OK);
    fine = (struct raft_conf_change){0};                    /* leaving a joint configuration */
    assert_int_equal(membership_check(&membership, &fine, &context, NULL), ERR_OK);
    fine = one(RAFT_CHANGE_REMOVE, 0);                      /* passed over */
    assert_int_equal(membership_check(&membership, &fine, &context, NULL), ERR_OK);
    membership_release(&membership);
}

static enum err_code update(struct membership *membership, struct membership_member wanted,
                            struct err *err)
{
    struct raft_conf_change change = one(RAFT_CHANGE_UPDATE, wanted.id);
    struct membership_context context = {.count = 1, .members = {wanted}};
    enum err_code code = membership_check(membership, &change, &context, err);
    if (code == ERR_OK)
        membership_update(membership, &change, &context);
    return code;
}

/* M4 and M5. */
static void test_names_addresses_and_folders_are_of_one_member(void **state)
{
    (void)state;
    struct membership membership;
    struct err err = {0};
    begin(&membership);
    struct membership_member other = record(7);
    struct raft_conf_change add = one(RAFT_CHANGE_ADD_LEARNER, 7);
    snprintf(other.name, sizeof other.name, "name2");
    struct membership_context context = {.count = 1, .members = {other}};
    assert_int_equal(membership_check(&membership, &add, &context, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "the name \"name2\" is that of member 0000000000000002"));
    context.members[0] = record(7);
    snprintf(context.members[0].address, sizeof other.address, "host3:2380");
    assert_int_equal(membership_check(&membership, &add, &context, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "that of member \"name3\""));

    struct membership_member moved = record(2);
    snprintf(moved.address, sizeof moved.address, "elsewhere:1");
    assert_int_equal(update(&membership, moved, &err), ERR_OK);
    assert_string_equal(membership_find(&membership, 2)->address, "elsewhere:1");
    snprintf(moved.address, sizeof moved.address, "host3:2380");
    assert_int_equal(update(&membership, moved, &err), ERR_EXISTS);

    /* A reserved place is taken once; one of the first members is never another folder's. */
    moved = record(2);
    moved.generation = 55;
    assert_int_equal(update(&membership, moved, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "another data directory"));
    struct raft_conf_state next = membership.configuration;
    context = (struct membership_context){.count = 1, .members = {record(4)}};
    context.members[0].generation = MEMBER_RESERVED;
    assert_true(raft_id_set_add(&next.learners, 4));
    membership_apply(&membership, 2, &context, &next);
    struct membership_member taken = record(4);
    taken.generation = 55;
    assert_int_equal(update(&membership, taken, &err), ERR_OK);
    assert_int_equal(membership_find(&membership, 4)->generation, 55);
    assert_int_equal(update(&membership, taken, &err), ERR_OK);
    taken.generation = 56;
    assert_int_equal(update(&membership, taken, &err), ERR_EXISTS);

    struct membership back = {0};
    struct buf encoded = {0};
    membership_encode(&membership, &encoded);
    assert_int_equal(membership_decode(buf_bytes(&encoded), &back, NULL), ERR_OK);
    assert_int_equal(membership_find(&back, 4)->generation, 55);
    assert_int_equal(membership_find(&back, 3)->generation, 0);
    buf_release(&encoded);
    membership_release(&back);
    membership_release(&membership);
}

static void test_members_are_found_by_name_or_id(void **state)
{
    (void)state;
    struct membership membership;
    begin(&membership);
    assert_int_equal(membership_find_word(&membership, "name2")->id, 2);
    assert_int_equal(membership_find_word(&membership, "0000000000000003")->id, 3);
    assert_null(membership_find_word(&membership, "0000000000000009"));
    assert_null(membership_find_word(&membership, "3"));
    assert_null(membership_find_word(&membership, ""));
    membership_release(&membership);
}

static void test_the_wire(void **state)
{
    (void)state;
    struct membership membership, back = {0}, copy = {0};
    struct buf encoded = {0}, again = {0};
    begin(&membership);
    struct raft_conf_state without = membership.configuration;
    raft_id_set_remove(&without.voters, 2);
    membership_apply(&membership, 2, &(struct membership_context){0}, &without);
    membership_encode(&membership, &encoded);
    assert_int_equal(membership_decode(buf_bytes(&encoded), &back, NULL), ERR_OK);
    membership_encode(&back, &again);
    assert_true(bytes_equal(buf_bytes(&encoded), buf_bytes(&again)));
    assert_true(membership_was_removed(&back, 2));
    assert_int_equal(back.index, 2);
    membership_copy(&copy, &back);
    assert_true(copy.removed != back.removed && membership_was_removed(&copy, 2));

    struct membership_context context = {
        .token = {7, UINT64_MAX}, .decided_on = 300, .count = 1, .members = {record(5)}}, decoded;
    buf_clear(&encoded);
    membership_context_encode(&context, &encoded);
    assert_int_equal(membership_context_decode(buf_bytes(&encoded), &decoded), ERR_OK);
    assert_int_equal(decoded.token[1], UINT64_MAX);
    assert_int_equal(decoded.decided_on, 300);
    assert_int_equal(decoded.count, 1);
    assert_string_equal(decoded.members[0].name, "name5");
    assert_int_equal(membership_context_decode(BYTES_EMPTY, &decoded), ERR_OK);
    assert_int_equal(decoded.count, 0);
    assert_int_equal(membership_decode(BYTES_EMPTY, &back, NULL), ERR_OK);
    assert_int_equal(back.count, 0);
    buf_release(&encoded);
    buf_release(&again);
    membership_release(&membership);
    membership_release(&back);
    membership_release(&copy);
}

/* Copies of a change that come after it, and after what was decided next. */
static void test_a_late_copy_is_refused(void **state)
{
    (void)state;
    struct membership membership;
    struct membership_context adds = {
        .token = {7, 1}, .decided_on = 1, .count = 1, .members = {record(4)}};
    const struct membership_context promotes = {.token = {7, 2}, .decided_on = 5}, own = {.count = 0};
    const struct raft_conf_change add = one(RAFT_CHANGE_ADD_LEARNER, 4),
                                  promote = one(RAFT_CHANGE_ADD_VOTER, 4);
    struct err err = {0};
    begin(&membership);
    struct raft_conf_state next = membership.configuration;
    assert_int_equal(membership_check(&membership, &add, &adds, NULL), ERR_OK);
    assert_true(raft_id_set_add(&next.learners, 4));
    membership_apply(&membership, 5, &adds, &next);
    assert_int_equal(membership_check(&membership, &add, &adds, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.text, "changed at entry 5"));
    assert_int_equal(membership_check(&membership, &promote, &promotes, NULL), ERR_OK);
    raft_id_set_remove(&next.learners, 4);
    assert_true(raft_id_set_add(&next.voters, 4));
    membership_apply(&membership, 9, &promotes, &next);
    assert_int_equal(membership_check(&membership, &add, &adds, NULL), ERR_CONFLICT);
    assert_int_equal(membership_check(&membership, &promote, &promotes, NULL), ERR_CONFLICT);
    assert_int_equal(membership_check(&membership, &promote, &own, NULL), ERR_OK);
    adds.decided_on = 9;        /* asked for as things are now: that is another decision */
    assert_int_equal(membership_check(&membership, &add, &adds, NULL), ERR_OK);
    membership_release(&membership);
}

/* Every cut and every flipped bit is refused, or is a sound membership. */
static void test_damage(void **state)
{
    (void)state;
    struct membership membership, back = {0};
    struct membership_context context;
    struct buf encoded = {0};
    size_t refused = 0;
    begin(&membership);
    membership_encode(&membership, &encoded);
    for (size_t bit = 0; bit < encoded.size * 8; bit++) {
        encoded.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct err err = {0};
        if (membership_decode(buf_bytes(&encoded), &back, &err) != ERR_OK) {
            assert_int_equal(err.code, ERR_CORRUPT);
            assert_int_equal(back.count, 0);
            refused++;
        }
        if (membership_context_decode(buf_bytes(&encoded), &context) == ERR_OK)
            assert_true(context.count <= RAFT_CHANGES_MAX);
        encoded.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 1; size < encoded.size; size++)
        refused += membership_decode(bytes_of(encoded.data, size), &back, NULL) != ERR_OK;
    assert_true(refused > encoded.size);
    buf_release(&encoded);
    membership_release(&membership);
    membership_release(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_follow_the_configuration),
        cmocka_unit_test(test_an_outgoing_voter_is_still_a_member),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_names_addresses_and_folders_are_of_one_member),
        cmocka_unit_test(test_members_are_found_by_name_or_id),
        cmocka_unit_test(test_the_wire),
        cmocka_unit_test(test_a_late_copy_is_refused),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
