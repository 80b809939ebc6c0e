/* Who is wrong, by what members say of their positions. */
#include "cluster/divergence.h"
#include "proto/base/mem.h"
#include "tests/test.h"

#define SELF 1
#define TERM 7
#define NOW (100 * NS_PER_S)

static const struct raft_id_set one = {1, {1}}, two = {2, {1, 2}}, three = {3, {1, 2, 3}},
                                others = {3, {2, 3, 4}};

/* It has applied up to last; the hash at an index is ten times that. */
static struct divergence *at(raft_index first, raft_index last)
{
    struct divergence *divergence = mem_xzalloc(sizeof *divergence);
    divergence_begin(divergence, (struct store_position){first, 0, 10 * first});
    for (raft_index index = first + 1; index <= last; index++)
        divergence_applied(divergence, index, 10 * index);
    return divergence;
}

static void said(struct divergence *divergence, raft_id from, raft_term term, raft_index index,
                 uint64_t hash)
{
    divergence_claim(divergence, from, &(struct divergence_word){false, term, {index, 0, hash}});
}

static void says(struct divergence *divergence, raft_id from, raft_index index, uint64_t hash)
{
    said(divergence, from, TERM, index, hash);
}

static bool is_wrong(struct divergence *divergence, const struct raft_id_set *voters, raft_id leader,
                     int64_t now, struct divergence_finding *ret)
{
    return divergence_judge(divergence, voters, SELF, leader, TERM, now, ret);
}

static void test_equal_members(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 100);
    says(divergence, 3, 10, 100);
    for (raft_id leader = 0; leader <= 3; leader++)
        assert_false(is_wrong(divergence, &three, leader, NOW, &finding));
    assert_int_equal(divergence_next_ns(divergence), INT64_MAX);
    free(divergence);
}

static void test_majority_is_right(void **state)
{
    (void)state;
    for (raft_id leader = 0; leader <= 3; leader++) {
        struct divergence *divergence = at(5, 20);
        struct divergence_finding finding;
        says(divergence, 2, 10, 101);
        if (leader != 2)
            assert_false(is_wrong(divergence, &three, leader, NOW, &finding));
        says(divergence, 3, 10, 101);
        assert_true(is_wrong(divergence, &three, leader, NOW, &finding));
        assert_int_equal(finding.own.index, 10);
        assert_int_equal(finding.own.hash, 100);
        assert_int_equal(finding.other, 101);
        assert_int_equal(finding.votes, 2);
        assert_int_equal(finding.voters, 3);
        free(divergence);
    }
}

/* Three who say three things, or two who speak of two indexes, are no majority. */
static void test_no_majority(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 101);
    says(divergence, 3, 10, 102);
    assert_false(is_wrong(divergence, &three, SELF, NOW, &finding));
    says(divergence, 2, 11, 111);
    says(divergence, 3, 12, 121);
    assert_false(is_wrong(divergence, &three, SELF, NOW, &finding));
    says(divergence, 3, 11, 111);
    assert_true(is_wrong(divergence, &three, SELF, NOW, &finding));
    assert_int_equal(finding.own.index, 11);
    free(divergence);
}

/* Who is no voter does not count, and compares all the same. */
static void test_learners(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 100);
    says(divergence, 8, 10, 101);
    says(divergence, 9, 10, 101);
    says(divergence, 7, 10, 101);
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    assert_false(is_wrong(divergence, &others, 2, NOW, &finding));
    says(divergence, 3, 11, 111);
    says(divergence, 4, 11, 111);
    assert_true(is_wrong(divergence, &others, 2, NOW, &finding));
    free(divergence);
}

/* Of two the leader is right, at once. */
static void test_two(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 101);
    assert_false(is_wrong(divergence, &two, SELF, NOW, &finding));
    assert_false(is_wrong(divergence, &two, RAFT_NOBODY, NOW, &finding));
    assert_true(is_wrong(divergence, &two, 2, NOW, &finding));
    assert_int_equal(finding.votes, 0);
    assert_int_equal(finding.other, 101);
    free(divergence);
}

/* A learner of one voter is wrong by that one's word. */
static void test_one_voter(void **state)
{
    (void)state;
    static const struct raft_id_set other = {1, {2}};
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 101);
    assert_false(is_wrong(divergence, &one, SELF, NOW, &finding));
    assert_true(is_wrong(divergence, &other, 2, NOW, &finding));
    assert_int_equal(finding.votes, 0);
    free(divergence);
}

/* What one said before it led may be of a store that it has not any more. */
static void test_a_store_of_before(void **state)
{
    (void)state;
    static const struct raft_id_set other = {1, {2}};
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    said(divergence, 2, TERM - 1, 10, 101);
    assert_false(is_wrong(divergence, &two, 2, NOW, &finding));
    assert_false(is_wrong(divergence, &other, 2, NOW, &finding));
    assert_false(is_wrong(divergence, &other, RAFT_NOBODY, NOW, &finding));
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    assert_int_equal(divergence_next_ns(divergence), INT64_MAX);
    says(divergence, 2, 15, 150);
    assert_false(is_wrong(divergence, &two, 2, NOW, &finding));
    says(divergence, 2, 16, 161);
    assert_true(is_wrong(divergence, &two, 2, NOW, &finding));
    assert_int_equal(finding.own.index, 16);
    free(divergence);
}

/* Of three the third is waited for. */
static void test_patience(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 101);
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    assert_int_equal(divergence_next_ns(divergence), NOW + DIVERGENCE_PATIENCE_NS);
    assert_false(is_wrong(divergence, &three, 2, NOW + DIVERGENCE_PATIENCE_NS - 1, &finding));
    assert_true(is_wrong(divergence, &three, 2, NOW + DIVERGENCE_PATIENCE_NS, &finding));
    assert_int_equal(finding.votes, 0);
    free(divergence);
}

/* The third agrees, or the leader says something else later: there is no doubt any more. */
static void test_doubt_ends(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 101);
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    says(divergence, 3, 10, 100);
    assert_false(is_wrong(divergence, &three, 2, NOW + 2 * DIVERGENCE_PATIENCE_NS, &finding));
    assert_int_equal(divergence_next_ns(divergence), INT64_MAX);
    free(divergence);
    divergence = at(5, 20);
    says(divergence, 2, 10, 101);
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    says(divergence, 2, 15, 150);
    assert_false(is_wrong(divergence, &three, 2, NOW + 2 * DIVERGENCE_PATIENCE_NS, &finding));
    free(divergence);
}

/* What is not applied yet, is forgotten, or began elsewhere says nothing. */
static void test_what_cannot_be_compared(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    struct store_position position;
    for (raft_id from = 2; from <= 3; from++) {
        says(divergence, from, 4, 41);
        says(divergence, from, 21, 211);
        divergence_claim(divergence, from, &(struct divergence_word){false, TERM, {10, 3, 101}});
    }
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    divergence_applied(divergence, 21, 210);
    assert_true(is_wrong(divergence, &three, 2, NOW, &finding));
    for (raft_index index = 22; index < 22 + DIVERGENCE_POSITIONS; index++)
        divergence_applied(divergence, index, 10 * index);
    assert_false(divergence_find(divergence, 21, &position));
    assert_true(divergence_find(divergence, 22, &position));
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    free(divergence);
}

/* Another store in the place of this one: what others said of older indexes is not about it. */
static void test_another_store(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    says(divergence, 2, 10, 101);
    says(divergence, 3, 10, 101);
    assert_true(is_wrong(divergence, &three, 2, NOW, &finding));
    divergence_begin(divergence, (struct store_position){15, 0, 151});
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    says(divergence, 2, 15, 151);
    assert_false(is_wrong(divergence, &three, 2, NOW, &finding));
    free(divergence);
}

static bool reads(const struct divergence_word *word)
{
    uint8_t frame[DIVERGENCE_WORD_SIZE];
    struct divergence_word found;
    divergence_word_encode(word, frame);
    return divergence_word_decode(bytes_of(frame, sizeof frame), &found);
}

static void test_words(void **state)
{
    (void)state;
    uint8_t frame[DIVERGENCE_WORD_SIZE + 1] = {0};
    const struct divergence_word word = {true, 9, {70000, 3, UINT64_C(0x123456789abcdef0)}};
    struct divergence_word found = {0};
    divergence_word_encode(&word, frame);
    assert_true(divergence_word_decode(bytes_of(frame, DIVERGENCE_WORD_SIZE), &found));
    assert_true(found.asks);
    assert_int_equal(found.term, word.term);
    assert_int_equal(found.position.index, word.position.index);
    assert_int_equal(found.position.since, word.position.since);
    assert_int_equal(found.position.hash, word.position.hash);
    for (size_t size = 0; size <= sizeof frame; size++)
        if (size != DIVERGENCE_WORD_SIZE)
            assert_false(divergence_word_decode(bytes_of(frame, size), &found));
    frame[1] = 2;
    assert_false(divergence_word_decode(bytes_of(frame, DIVERGENCE_WORD_SIZE), &found));
    frame[1] = 0;
    assert_true(divergence_word_decode(bytes_of(frame, DIVERGENCE_WORD_SIZE), &found));
    frame[0]++;     /* hashed otherwise */
    assert_false(divergence_word_decode(bytes_of(frame, DIVERGENCE_WORD_SIZE), &found));
    assert_true(reads(&(struct divergence_word){false, 9, {3, 3, 1}}));
    assert_false(reads(&(struct divergence_word){false, 9, {2, 3, 1}}));
    assert_false(reads(&(struct divergence_word){false, 9, {0, 0, 1}}));
}

/* More ids than can be members have spoken: nothing is written beyond the table. */
static void test_many_speakers(void **state)
{
    (void)state;
    struct divergence *divergence = at(5, 20);
    struct divergence_finding finding;
    for (raft_id from = 100; from < 100 + 3 * RAFT_MEMBERS_MAX; from++)
        says(divergence, from, 10, 101);
    assert_int_equal(divergence->claim_count, RAFT_MEMBERS_MAX);
    says(divergence, 2, 10, 101);
    says(divergence, 3, 10, 101);
    assert_true(is_wrong(divergence, &three, SELF, NOW, &finding));
    free(divergence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_members),
        cmocka_unit_test(test_majority_is_right),
        cmocka_unit_test(test_no_majority),
        cmocka_unit_test(test_learners),
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_one_voter),
        cmocka_unit_test(test_a_store_of_before),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_doubt_ends),
        cmocka_unit_test(test_what_cannot_be_compared),
        cmocka_unit_test(test_another_store),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_many_speakers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
