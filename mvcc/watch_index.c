/* The tree is a treap: ordered by pattern, a heap by priority, and a priority is a hash of the seed and
 * the pattern, so that equal sets of groups have equal trees. An end is compared with "\0" above every other,
 * since it says that there is none.
 *
 *          ["/b", "/d")  highest end "/z"
 *          /                  \
 *     ["/a", "/z")        ["/c", "/d")
 *
 * Who watches "/x": left, because its highest end is above "/x"; not right, which ends at "/d".
 */
#include "mvcc/watch_index.h"

#include <stdlib.h>

#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define BUCKETS_FIRST 64

static bool is_exact(const struct watch_pattern *pattern) { return pattern->range_end.size == 0; }

static bool has_no_end(struct bytes end) { return end.size == 1 && end.data[0] == 0; }

static int end_compare(struct bytes left, struct bytes right)
{
    if (has_no_end(left) || has_no_end(right))
        return has_no_end(left) - has_no_end(right);
    return bytes_compare(left, right);
}

static bool is_below_end(struct bytes key, struct bytes end)
{
    return has_no_end(end) || bytes_compare(key, end) < 0;
}

static unsigned flags_of(const struct watch_pattern *pattern)
{
    return (pattern->want_previous ? 1U : 0) | (pattern->no_put ? 2U : 0) |
           (pattern->no_delete ? 4U : 0);
}

static int pattern_compare(const struct watch_pattern *left, const struct watch_pattern *right)
{
    int order = bytes_compare(left->key, right->key);
    if (order == 0)
        order = end_compare(left->range_end, right->range_end);
    return order ? order : (int)flags_of(left) - (int)flags_of(right);
}

static uint64_t pattern_hash(const struct watch_pattern *pattern)
{
    return hash_bytes(hash_bytes(flags_of(pattern), pattern->range_end), pattern->key);
}

void watch_index_init(struct watch_index *index, uint64_t seed)
{
    *index = (struct watch_index){.seed = seed};
    list_init(&index->groups);
}

void watch_index_release(struct watch_index *index)
{
    struct list *link;
    while ((link = list_pop_front(&index->groups)))
        free(container_of(link, struct watch_group, link));
    free(index->buckets);
    watch_index_init(index, index->seed);
}

static struct watch_group *group_new(struct watch_index *index, const struct watch_pattern *pattern)
{
    struct bytes key = pattern->key, end = pattern->range_end;
    struct watch_group *group = mem_xzalloc(sizeof *group + key.size + end.size);
    uint8_t *place = (uint8_t *)(group + 1);
    group->pattern = *pattern;
    memcpy(place, key.data, key.size);
    if (end.size)
        memcpy(place + key.size, end.data, end.size);
    group->pattern.key = bytes_of(place, key.size);
    group->pattern.range_end = bytes_of(place + key.size, end.size);
    group->highest_end = group->pattern.range_end;
    group->priority = hash_u64(index->seed ^ pattern_hash(pattern));
    list_init(&group->watchers);
    list_push_back(&index->groups, &group->link);
    index->count++;
    return group;
}

/* ---- exact keys ---- */

static struct watch_group **bucket_of(const struct watch_index *index, struct bytes key)
{
    return &index->buckets[hash_bytes(index->seed, key) & (index->bucket_count - 1)];
}

static void buckets_grow(struct watch_index *index)
{
    struct watch_group **old = index->buckets;
    size_t old_count = index->bucket_count;
    index->bucket_count = old_count ? 2 * old_count : BUCKETS_FIRST;
    index->buckets = mem_xzalloc(index->bucket_count * sizeof(struct watch_group *));
    for (size_t i = 0; i < old_count; i++)
        for (struct watch_group *group = old[i], *next; group; group = next) {
            struct watch_group **bucket = bucket_of(index, group->pattern.key);
            next = group->left;
            group->left = *bucket;
            *bucket = group;
        }
    free(old);
}

static struct watch_group *exact_join(struct watch_index *index,
                                      const struct watch_pattern *pattern)
{
    if (index->exact_count == index->bucket_count)
        buckets_grow(index);
    struct watch_group **bucket = bucket_of(index, pattern->key);
    for (struct watch_group *group = *bucket; group; group = group->left)
        if (pattern_compare(&group->pattern, pattern) == 0)
            return group;
    struct watch_group *group = group_new(index, pattern);
    group->left = *bucket;
    *bucket = group;
    index->exact_count++;
    return group;
}

static void exact_leave(struct watch_index *index, struct watch_group *group)
{
    struct watch_group **place = bucket_of(index, group->pattern.key);
    while (*place != group)
        place = &(*place)->left;
    *place = group->left;
    index->exact_count--;
}

/* ---- ranges ---- */

static void note_highest(struct watch_group *node)
{
    struct watch_group *below[] = {node->left, node->right};
    node->highest_end = node->pattern.range_end;
    for (size_t i = 0; i < ARRAY_COUNT(below); i++)
        if (below[i] && end_compare(below[i]->highest_end, node->highest_end) > 0)
            node->highest_end = below[i]->highest_end;
}

static struct watch_group *rotate_right(struct watch_group *node)
{
    struct watch_group *up = node->left;
    node->left = up->right;
    up->right = node;
    note_highest(node);
    return up;
}

static struct watch_group *rotate_left(struct watch_group *node)
{
    struct watch_group *up = node->right;
    node->right = up->left;
    up->left = node;
    note_highest(node);
    return up;
}

static struct watch_group *insert(struct watch_group *node, struct watch_group *group)
{
    if (!node)
        return group;
    if (pattern_compare(&group->pattern, &node->pattern) < 0) {
        node->left = insert(node->left, group);
        if (node->left->priority > node->priority)
            node = rotate_right(node);
    } else {
        node->right = insert(node->right, group);
        if (node->right->priority > node->priority)
            node = rotate_left(node);
    }
    note_highest(node);
    return node;
}

/* What is left of two trees, all of the left one before all of the right one. */
static struct watch_group *merge(struct watch_group *left, struct watch_group *right)
{
    if (!left || !right)
        return left ? left : right;
    if (left->priority > right->priority) {
        left->right = merge(left->right, right);
        note_highest(left);
        return left;
    }
    right->left = merge(left, right->left);
    note_highest(right);
    return right;
}

static struct watch_group *take_out(struct watch_group *node, struct watch_group *group)
{
    if (node == group)
        return merge(node->left, node->right);
    if (pattern_compare(&group->pattern, &node->pattern) < 0)
        node->left = take_out(node->left, group);
    else
        node->right = take_out(node->right, group);
    note_highest(node);
    return node;
}

static struct watch_group *range_join(struct watch_index *index,
                                      const struct watch_pattern *pattern)
{
    for (struct watch_group *node = index->root; node;) {
        int order = pattern_compare(pattern, &node->pattern);
        if (order == 0)
            return node;
        node = order < 0 ? node->left : node->right;
    }
    struct watch_group *group = group_new(index, pattern);
    index->root = insert(index->root, group);
    return group;
}

static void stab(struct watch_group *node, struct bytes key,
                 void (*found)(void *context, struct watch_group *group), void *context)
{
    if (!node || !is_below_end(key, node->highest_end))
        return;
    stab(node->left, key, found, context);
    if (bytes_compare(node->pattern.key, key) > 0)
        return;
    if (is_below_end(key, node->pattern.range_end))
        found(context, node);
    stab(node->right, key, found, context);
}

/* ---- all ---- */

struct watch_group *watch_index_join(struct watch_index *index, const struct watch_pattern *pattern)
{
    return is_exact(pattern) ? exact_join(index, pattern) : range_join(index, pattern);
}

void watch_index_leave(struct watch_index *index, struct watch_group *group)
{
    if (!list_is_empty(&group->watchers))
        return;
    if (is_exact(&group->pattern))
        exact_leave(index, group);
    else
        index->root = take_out(index->root, group);
    list_remove(&group->link);
    index->count--;
    free(group);
}

void watch_index_find(const struct watch_index *index, struct bytes key,
                      void (*found)(void *context, struct watch_group *group), void *context)
{
    if (index->exact_count)
        for (struct watch_group *group = *bucket_of(index, key); group; group = group->left)
            if (bytes_equal(group->pattern.key, key))
                found(context, group);
    stab(index->root, key, found, context);
}

static size_t validate_tree(const struct watch_group *node)
{
    if (!node)
        return 0;
    CHECK(!node->left || pattern_compare(&node->left->pattern, &node->pattern) < 0);
    CHECK(!node->right || pattern_compare(&node->right->pattern, &node->pattern) > 0);
    CHECK(!node->left || node->left->priority <= node->priority);
    CHECK(!node->right || node->right->priority <= node->priority);
    struct watch_group noted = *node;
    note_highest(&noted);
    CHECK(end_compare(noted.highest_end, node->highest_end) == 0);
    return 1 + validate_tree(node->left) + validate_tree(node->right);
}

void watch_index_validate(const struct watch_index *index)
{
    size_t exact = 0;
    for (size_t i = 0; i < index->bucket_count; i++)
        for (const struct watch_group *group = index->buckets[i]; group; group = group->left) {
            CHECK(*bucket_of(index, group->pattern.key) == index->buckets[i]);
            exact++;
        }
    CHECK(exact == index->exact_count);
    CHECK(exact + validate_tree(index->root) == index->count);
}
