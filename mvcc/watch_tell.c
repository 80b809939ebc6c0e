#include "mvcc/watch_tell.h"

#include <stdlib.h>

#include "mvcc/range.h"
#include "mvcc/system.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"

/* Room for one more in a growing array. */
static void *array_grow(void *array, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? 2 * *capacity : 16;
    return mem_xrealloc(array, *capacity * item_size);
}

void watch_tell_release(struct watch_tell *tell)
{
    arena_release(&tell->arena);
    free(tell->drafts);
    free(tell->found);
    free(tell->groups);
    *tell = (struct watch_tell){0};
}

void watch_group_clear(struct watch_group *group)
{
    group->events = NULL;
    group->event_count = group->event_capacity = 0;
}

void watch_tell_begin(struct watch_tell *tell, const struct watch_index *index)
{
    arena_clear(&tell->arena);
    tell->index = index;
    tell->count = tell->kept = tell->revision_start = 0;
    tell->found_count = tell->group_count = 0;
}

/* ---- adding ---- */

struct search {
    struct watch_tell *tell;
    struct bytes key;
};

static void on_found(void *context, struct watch_group *group)
{
    struct search *search = context;
    struct watch_tell *tell = search->tell;
    if (!system_is_visible(group->pattern.key, search->key))
        return;
    tell->found = array_grow(tell->found, tell->found_count, &tell->found_capacity,
                             sizeof(struct watch_group *));
    tell->found[tell->found_count++] = group;
}

struct watch_draft *watch_tell_add(struct watch_tell *tell, struct bytes key,
                                   const struct head *head)
{
    struct search search = {tell, key};
    size_t first = tell->found_count;
    watch_index_find(tell->index, key, on_found, &search);
    if (tell->found_count == first)
        return NULL;
    struct watch_draft *draft = ARENA_NEW(&tell->arena, struct watch_draft);
    draft->key = key;
    draft->head = *head;
    draft->is_last = true;
    draft->first_found = first;
    draft->found_count = tell->found_count - first;
    tell->drafts = array_grow(tell->drafts, tell->count, &tell->capacity,
                              sizeof(struct watch_draft *));
    tell->drafts[tell->count++] = draft;
    return draft;
}

static int by_key(const void *left, const void *right)
{
    const struct watch_draft *a = *(struct watch_draft *const *)left;
    const struct watch_draft *b = *(struct watch_draft *const *)right;
    int order = bytes_compare(a->key, b->key);
    return order ? order : revision_compare(a->head.mod, b->head.mod);
}

static void mark_repeated(struct watch_tell *tell)
{
    size_t count = tell->count - tell->revision_start;
    if (count < 2)
        return;
    struct watch_draft **sorted = ARENA_NEW_ARRAY(&tell->arena, struct watch_draft *, count);
    memcpy(sorted, tell->drafts + tell->revision_start, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_key);
    for (size_t i = 1; i < count; i++)
        if (bytes_equal(sorted[i - 1]->key, sorted[i]->key)) {
            sorted[i - 1]->is_last = false;
            sorted[i]->is_repeated = true;
        }
}

static bool is_filtered(const struct watch_draft *draft, const struct watch_group *group)
{
    return draft->head.is_tombstone ? group->pattern.no_delete : group->pattern.no_put;
}

void watch_tell_end_revision(struct watch_tell *tell)
{
    mark_repeated(tell);
    for (size_t i = tell->revision_start; i < tell->count; i++) {
        struct watch_draft *draft = tell->drafts[i];
        for (size_t k = 0; draft->is_last && k < draft->found_count; k++) {
            const struct watch_group *group = tell->found[draft->first_found + k];
            if (is_filtered(draft, group))
                continue;
            draft->is_wanted = true;
            draft->wants_previous |= group->pattern.want_previous;
        }
    }
    tell->revision_start = tell->count;
}

void watch_tell_drop_revision(struct watch_tell *tell)
{
    tell->count = tell->revision_start = tell->kept;
}

static void group_add(struct watch_tell *tell, struct watch_group *group,
                      const struct watch_draft *draft)
{
    if (group->event_count == 0) {
        tell->groups = array_grow(tell->groups, tell->group_count, &tell->group_capacity,
                                  sizeof(struct watch_group *));
        tell->groups[tell->group_count++] = group;
    }
    if (group->event_count == group->event_capacity) {
        size_t capacity = group->event_capacity ? 2 * group->event_capacity : 4;
        const struct kv_event **events =
            arena_alloc(&tell->arena, capacity * sizeof(const struct kv_event *));
        if (group->event_count)
            memcpy(events, group->events, group->event_count * sizeof *events);
        group->events = events;
        group->event_capacity = capacity;
    }
    group->events[group->event_count++] =
        group->pattern.want_previous ? &draft->full : &draft->plain;
}

void watch_tell_keep(struct watch_tell *tell)
{
    CHECK(tell->revision_start == tell->count);
    for (; tell->kept < tell->count; tell->kept++) {
        const struct watch_draft *draft = tell->drafts[tell->kept];
        for (size_t k = 0; draft->is_wanted && k < draft->found_count; k++) {
            struct watch_group *group = tell->found[draft->first_found + k];
            if (!is_filtered(draft, group))
                group_add(tell, group, draft);
        }
    }
}

/* ---- building ---- */

static enum err_code lacks_version(const struct head *head, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the store lacks the version of revision %lld",
                   (long long)head->mod.main);
}

enum err_code watch_draft_read_row(struct watch_tell *tell, struct watch_draft *draft,
                                   const struct view *view, struct err *err)
{
    struct revision mod = draft->head.mod;
    bool is_tombstone = draft->head.is_tombstone;
    enum err_code code = index_get_row(view, draft->key, mod, &tell->arena, &draft->head,
                                       &draft->inline_value, err);
    if (code == ERR_NOT_FOUND || (!code && draft->head.is_tombstone != is_tombstone))
        return lacks_version(&draft->head, err);
    return code;
}

bool watch_draft_lacks_value(const struct watch_draft *draft)
{
    return !draft->head.is_tombstone && !draft->head.is_inline;
}

/* The version that the key had one revision earlier. NOT_FOUND: none. */
static enum err_code previous_head(struct watch_tell *tell, const struct watch_draft *draft,
                                   const struct view *view, struct head *ret,
                                   struct bytes *ret_value, struct err *err)
{
    const struct written_version *written = draft->written;
    kv_rev before = draft->head.mod.main - 1 - MUTANT(WATCH_PREVIOUS_OLDER);
    if (draft->is_repeated)
        return index_get(view, draft->key, before, &tell->arena, ret, ret_value, err);
    if (written && written->has_old) {
        *ret = written->old;
        return index_value(view, draft->key, ret, &tell->arena, ret_value, err);
    }
    if (written || (!draft->head.is_tombstone && draft->head.version == 1))
        return ERR_NOT_FOUND;
    return index_get(view, draft->key, before, &tell->arena, ret, ret_value, err);
}

static enum err_code build_previous(struct watch_tell *tell, struct watch_draft *draft,
                                    const struct view *view, kv_rev floor, struct err *err)
{
    struct head head;
    struct bytes value;
    if (draft->head.mod.main - 1 < floor || MUTANT(WATCH_PREVIOUS_MISSING))
        return ERR_OK;
    enum err_code code = previous_head(tell, draft, view, &head, &value, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    range_item(&draft->full.previous, draft->key, &head, true);
    draft->full.previous.value = value;
    draft->full.has_previous = true;
    return ERR_OK;
}

enum err_code watch_draft_build(struct watch_tell *tell, struct watch_draft *draft,
                                const struct view *view, kv_rev floor, struct err *err)
{
    enum err_code code = ERR_OK;
    struct bytes value = draft->inline_value;
    if (watch_draft_lacks_value(draft))
        code = index_value(view, draft->key, &draft->head, &tell->arena, &value, err);
    if (code)
        return code;
    draft->plain.kind = draft->head.is_tombstone ? KV_EVENT_DELETE : KV_EVENT_PUT;
    range_item(&draft->plain.item, draft->key, &draft->head, true);
    draft->plain.item.value = value;
    draft->full = draft->plain;
    return draft->wants_previous ? build_previous(tell, draft, view, floor, err) : ERR_OK;
}
