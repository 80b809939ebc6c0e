/* cluster/token: what the loop may do by itself, and for how long it may not after a slow piece. */
#include "tests/test.h"

#include "cluster/token.h"

#define MS 1000000LL

static void alone_and_small_is_done_inline(void **state)
{
    (void)state;
    struct token token = {0};
    assert_true(token_may_inline(&token, 0, 0, 100));
    assert_true(token_may_inline(&token, 0, 1, INLINE_FLUSH_BYTES_MAX));
    assert_false(token_may_inline(&token, 0, 2, 100));
    assert_false(token_may_inline(&token, 0, 1, INLINE_FLUSH_BYTES_MAX + 1));
    token_take(&token);
    assert_false(token_may_inline(&token, 0, 1, 100));
    token_give(&token);
    assert_true(token_may_inline(&token, 0, 1, 100));
}

static void a_quick_piece_changes_nothing(void **state)
{
    (void)state;
    struct token token = {0};
    token_took(&token, 10 * MS, INLINE_SLOW_NS);
    assert_true(token_may_inline(&token, 10 * MS, 1, 100));
}

static void a_slow_piece_is_followed_by_a_rest(void **state)
{
    (void)state;
    struct token token = {0};
    token_took(&token, 100 * MS, 2 * MS);
    assert_false(token_may_inline(&token, 100 * MS, 1, 100));
    assert_false(token_may_inline(&token, 100 * MS + INLINE_SLOW_REST * 2 * MS - 1, 1, 100));
    assert_true(token_may_inline(&token, 100 * MS + INLINE_SLOW_REST * 2 * MS, 1, 100));
}

static void the_rest_has_an_end(void **state)
{
    (void)state;
    struct token token = {0};
    token_took(&token, 100 * MS, INT64_MAX / 2);
    assert_false(token_may_inline(&token, 100 * MS + INLINE_SLOW_REST_MAX_NS - 1, 1, 100));
    assert_true(token_may_inline(&token, 100 * MS + INLINE_SLOW_REST_MAX_NS, 1, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_and_small_is_done_inline),
        cmocka_unit_test(a_quick_piece_changes_nothing),
        cmocka_unit_test(a_slow_piece_is_followed_by_a_rest),
        cmocka_unit_test(the_rest_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
