/* Two ways through an interval. Keys in ascending order without filters are streamed: at most limit items
 * are built, the rest is counted. Everything else gathers the heads of all keys first, filters and sorts
 * them, and reads the values of what is left after the cut (sorting by value reads all of them).
 */
#include "mvcc/range.h"

#include <stdlib.h>

#include "mvcc/system.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"

#define SYSTEM_END ".concordfs0"        /* '/' + 1: the first key behind the system range */

struct gathered {
    struct kv_item item;
    struct head head;
};

struct gather {
    const struct view *view;
    const struct kv_range *range;
    struct arena *arena;
    struct gathered *items;
    size_t count, capacity;
    int64_t total;
    bool is_plain;                      /* streams: no filter, keys ascending */
};

enum err_code range_check_revision(kv_rev revision, kv_rev floor, kv_rev newest, struct err *err)
{
    if (revision == 0)
        return ERR_OK;
    if (revision > newest - MUTANT(NEWEST_IS_FUTURE))
        return err_set(err, ERR_FUTURE, "mvcc: required revision is a future revision");
    if (revision < floor || revision < 0)
        return err_set(err, ERR_COMPACTED, "mvcc: required revision has been compacted");
    return ERR_OK;
}

enum err_code range_next(struct index_cursor *cursor, struct bytes range_key, struct err *err)
{
    enum err_code code = index_cursor_next(cursor, err);
    if (code || !cursor->found || system_is_visible(range_key, index_cursor_key(cursor)))
        return code;
    index_cursor_skip_to(cursor, BYTES_LITERAL(SYSTEM_END));
    return index_cursor_next(cursor, err);
}

void range_item(struct kv_item *ret, struct bytes key, const struct head *head, bool want_times)
{
    *ret = (struct kv_item){.key = key,
                            .create_revision = head->create_revision,
                            .mod_revision = head->mod.main,
                            .version = head->version,
                            .lease = head->lease,
                            .size = head->size};
    if (want_times) {
        ret->create_time = head->create_time;
        ret->mod_time = head->mod_time;
    }
}

static bool wants_values(const struct kv_range *range)
{
    return !range->keys_only && !range->count_only && !range->sizes_only;
}

static bool has_filter(const struct kv_range *range)
{
    return range->min_mod_revision || range->max_mod_revision || range->min_create_revision ||
           range->max_create_revision;
}

static bool passes(const struct kv_range *range, const struct head *head)
{
    kv_rev mod = head->mod.main, create = head->create_revision;
    if (range->min_mod_revision && mod < range->min_mod_revision)
        return false;
    if (range->max_mod_revision && mod > range->max_mod_revision)
        return false;
    if (range->min_create_revision && create < range->min_create_revision)
        return false;
    return !range->max_create_revision || create <= range->max_create_revision;
}

static bool is_plain(const struct kv_range *range)
{
    bool by_key = range->sort_target == KV_SORT_KEY && range->sort_order != KV_SORT_DESCEND;
    return by_key && !has_filter(range);
}

static bool is_wanted(const struct gather *gather, const struct head *head)
{
    const struct kv_range *range = gather->range;
    if (range->count_only)
        return false;
    if (gather->is_plain)
        return range->limit <= 0 || gather->count < (size_t)range->limit;
    return passes(range, head);
}

static enum err_code gather_add(struct gather *gather, struct index_cursor *cursor,
                                struct err *err)
{
    const struct kv_range *range = gather->range;
    if (gather->count == gather->capacity) {
        gather->capacity = gather->capacity ? gather->capacity * 2 : 16;
        gather->items = mem_xrealloc(gather->items, gather->capacity * sizeof(*gather->items));
    }
    struct gathered *one = &gather->items[gather->count++];
    one->head = cursor->head;
    range_item(&one->item, arena_copy(gather->arena, index_cursor_key(cursor)), &cursor->head,
               range->want_times);
    bool by_value = range->sort_target == KV_SORT_VALUE && !range->count_only;
    if ((gather->is_plain && wants_values(range)) || by_value)
        return index_cursor_value(cursor, gather->arena, &one->item.value, err);
    return ERR_OK;
}

static enum err_code gather_all(struct gather *gather, struct index_cursor *cursor,
                                struct err *err)
{
    for (;;) {
        enum err_code code = range_next(cursor, gather->range->key, err);
        if (code || !cursor->found)
            return code;
        gather->total++;
        if (is_wanted(gather, &cursor->head))
            code = gather_add(gather, cursor, err);
        if (code)
            return code;
    }
}

/* ---- sorting ---- */

static int number_compare(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int item_compare(enum kv_sort_target target, const struct kv_item *a,
                        const struct kv_item *b)
{
    switch (target) {
    case KV_SORT_VERSION:
        return number_compare(a->version, b->version);
    case KV_SORT_CREATE:
        return number_compare(a->create_revision, b->create_revision);
    case KV_SORT_MOD:
        return number_compare(a->mod_revision, b->mod_revision);
    case KV_SORT_VALUE:
        return bytes_compare(a->value, b->value);
    case KV_SORT_KEY:
        break;
    }
    return bytes_compare(a->key, b->key);
}

/* Equal ones stay in the order of their keys. */
static int gathered_compare(const void *left, const void *right, void *context)
{
    const struct kv_range *range = context;
    const struct kv_item *a = &((const struct gathered *)left)->item;
    const struct kv_item *b = &((const struct gathered *)right)->item;
    int order = item_compare(range->sort_target, a, b);
    if (range->sort_order == KV_SORT_DESCEND)
        order = -order;
    return order ? order : bytes_compare(a->key, b->key);
}

static enum err_code values_read(struct gather *gather, struct err *err)
{
    for (size_t i = 0; i < gather->count; i++) {
        struct gathered *one = &gather->items[i];
        if (!wants_values(gather->range)) {
            one->item.value = BYTES_EMPTY;
            continue;
        }
        if (gather->range->sort_target == KV_SORT_VALUE)
            continue;
        enum err_code code = index_value(gather->view, one->item.key, &one->head, gather->arena,
                                         &one->item.value, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

static enum err_code gather_finish(struct gather *gather, struct kv_range_result *ret,
                                   struct err *err)
{
    const struct kv_range *range = gather->range;
    enum err_code code = ERR_OK;
    *ret = (struct kv_range_result){.total = gather->total};
    if (gather->is_plain) {
        ret->more = range->limit > 0 && !range->count_only && gather->total > range->limit;
    } else {
        if (gather->count)
            qsort_r(gather->items, gather->count, sizeof(*gather->items), gathered_compare,
                    (void *)(uintptr_t)range);
        ret->more = range->limit > 0 && gather->count > (size_t)range->limit;
        if (ret->more)
            gather->count = (size_t)range->limit;
        code = values_read(gather, err);
    }
    ret->count = gather->count;
    ret->items = ARENA_NEW_ARRAY(gather->arena, struct kv_item, gather->count);
    for (size_t i = 0; i < gather->count; i++)
        ret->items[i] = gather->items[i].item;
    return code;
}

enum err_code range_read(const struct view *view, const struct kv_range *range, kv_rev at,
                         struct arena *arena, struct kv_range_result *ret, struct err *err)
{
    struct gather gather = {
        .view = view, .range = range, .arena = arena, .is_plain = is_plain(range)};
    struct index_cursor cursor;
    index_cursor_init(&cursor, view, range->key, range->range_end, at);
    enum err_code code = gather_all(&gather, &cursor, err);
    index_cursor_release(&cursor);
    if (!code)
        code = gather_finish(&gather, ret, err);
    free(gather.items);
    return code;
}
