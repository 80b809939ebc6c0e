/* mvcc/watch_index: every key is found by whoever watches it, against a list that is looked through. */
#include "mvcc/watch_index.h"

#include "proto/base/rand.h"
#include "tests/test.h"

#define PATTERNS 300

static struct bytes draw_key(struct rand *rand, uint8_t place[4])
{
    static const uint8_t letters[] = {0, 'a', 'b', '/', 0xff};
    size_t size = 1 + rand_below(rand, 4);
    for (size_t i = 0; i < size; i++)
        place[i] = letters[rand_below(rand, sizeof letters)];
    return bytes_of(place, size);
}

struct drawn {
    uint8_t key[4], end[4];
    struct watch_pattern pattern;
    struct list member;
    struct watch_group *group;          /* NULL: not in the index */
};

static void draw_pattern(struct rand *rand, struct drawn *drawn)
{
    *drawn = (struct drawn){0};
    list_init(&drawn->member);
    drawn->pattern.key = draw_key(rand, drawn->key);
    if (rand_chance(rand, 1, 4))
        drawn->pattern.range_end = BYTES_LITERAL("\0");
    else if (rand_chance(rand, 1, 2))
        drawn->pattern.range_end = draw_key(rand, drawn->end);
    drawn->pattern.no_put = rand_chance(rand, 1, 4);
    drawn->pattern.want_previous = rand_chance(rand, 1, 4);
}

static bool contains(const struct watch_pattern *pattern, struct bytes key)
{
    struct bytes end = pattern->range_end;
    if (end.size == 0)
        return bytes_equal(pattern->key, key);
    bool is_open = end.size == 1 && end.data[0] == 0;
    return bytes_compare(pattern->key, key) <= 0 && (is_open || bytes_compare(key, end) < 0);
}

static bool is_same(const struct watch_pattern *left, const struct watch_pattern *right)
{
    return bytes_equal(left->key, right->key) && bytes_equal(left->range_end, right->range_end) &&
           left->no_put == right->no_put && left->want_previous == right->want_previous;
}

struct found {
    struct watch_group *groups[PATTERNS];
    size_t count;
};

static void on_found(void *context, struct watch_group *group)
{
    struct found *found = context;
    for (size_t i = 0; i < found->count; i++)
        assert_ptr_not_equal(found->groups[i], group);
    found->groups[found->count++] = group;
}

static void check_key(const struct watch_index *index, const struct drawn *drawn, struct bytes key)
{
    struct found found = {.count = 0};
    watch_index_find(index, key, on_found, &found);
    for (size_t i = 0; i < found.count; i++)
        assert_true(contains(&found.groups[i]->pattern, key));
    for (size_t i = 0; i < PATTERNS; i++) {
        if (!drawn[i].group || !contains(&drawn[i].pattern, key))
            continue;
        bool is_there = false;
        for (size_t k = 0; k < found.count; k++)
            is_there |= found.groups[k] == drawn[i].group;
        assert_true(is_there);
    }
}

static void every_key_is_found_by_those_who_watch_it(void **state)
{
    static struct drawn drawn[PATTERNS];
    struct watch_index index;
    struct rand rand;
    (void)state;
    rand_init(&rand, 11);
    watch_index_init(&index, 5);
    for (size_t i = 0; i < PATTERNS; i++)
        draw_pattern(&rand, &drawn[i]);
    for (int step = 0; step < 6000; step++) {
        struct drawn *one = &drawn[rand_below(&rand, PATTERNS)];
        uint8_t place[4];
        if (one->group) {
            list_remove(&one->member);
            watch_index_leave(&index, one->group);
            one->group = NULL;
            draw_pattern(&rand, one);
        } else {
            one->group = watch_index_join(&index, &one->pattern);
            assert_true(is_same(&one->group->pattern, &one->pattern));
            list_push_back(&one->group->watchers, &one->member);
        }
        check_key(&index, drawn, draw_key(&rand, place));
        if (step % 50 == 0)
            watch_index_validate(&index);
    }
    watch_index_release(&index);
}

static void equal_patterns_are_one_group(void **state)
{
    struct watch_pattern pattern = {.key = BYTES_LITERAL("/a"), .range_end = BYTES_LITERAL("/b")};
    struct watch_index index;
    struct list one, two;
    (void)state;
    watch_index_init(&index, 5);
    struct watch_group *group = watch_index_join(&index, &pattern);
    list_push_back(&group->watchers, &one);
    assert_ptr_equal(watch_index_join(&index, &pattern), group);
    list_push_back(&group->watchers, &two);
    pattern.want_previous = true;
    assert_ptr_not_equal(watch_index_join(&index, &pattern), group);
    list_remove(&one);
    watch_index_leave(&index, group);
    assert_int_equal(index.count, 2);
    list_remove(&two);
    watch_index_leave(&index, group);
    assert_int_equal(index.count, 1);
    watch_index_release(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_found_by_those_who_watch_it),
        cmocka_unit_test(equal_patterns_are_one_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
