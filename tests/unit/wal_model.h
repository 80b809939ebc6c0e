/* What a log must hold, kept beside it: the same records, in order, with what they add up to. A log
 * that comes back must be what the model was after some record, not before the last flushed one. */
#ifndef TESTS_UNIT_WAL_MODEL_H
#define TESTS_UNIT_WAL_MODEL_H

#include "tests/unit/wal_fixture.h"

#define MODEL_ENTRIES_MAX 4096
#define MODEL_STEPS_MAX 8192

enum model_kind { MODEL_STATE, MODEL_ENTRY, MODEL_MARK };

struct model_step {
    enum model_kind kind;
    struct hard_state state;
    raft_index index;
    raft_term term;
    size_t size;
    bool replace;               /* of a mark */
};

struct model_view {
    struct hard_state state;
    raft_index mark_index, last;
    raft_term mark_term;
    raft_term terms[MODEL_ENTRIES_MAX];
    size_t sizes[MODEL_ENTRIES_MAX];
};

struct model {
    struct model_step steps[MODEL_STEPS_MAX];
    size_t count;               /* appended */
    size_t flushed;             /* of them, on disk */
    struct model_view start;    /* what the steps begin from */
    struct model_view now;      /* after all of them */
};

static inline void model_apply(struct model_view *view, const struct model_step *step)
{
    if (step->kind == MODEL_STATE) {
        view->state = step->state;
    } else if (step->kind == MODEL_ENTRY) {
        assert_true(step->index < MODEL_ENTRIES_MAX);
        view->terms[step->index] = step->term;
        view->sizes[step->index] = step->size;
        view->last = step->index;
    } else {
        view->mark_index = step->index;
        view->mark_term = step->term;
        if (step->replace)
            view->last = step->index;
    }
}

static inline void model_push(struct model *model, struct model_step step)
{
    assert_true(model->count < MODEL_STEPS_MAX);
    model->steps[model->count++] = step;
    model_apply(&model->now, &step);
}

/* Whether the log came back as this view. Payloads are drawn from index, term and size. */
static inline bool model_view_matches(const struct model_view *view,
                                      const struct wal_recovery *recovery)
{
    if (!hard_state_equal(&view->state, &recovery->state) ||
        view->mark_index != recovery->mark.index || view->mark_term != recovery->mark.term ||
        view->last - view->mark_index != recovery->entry_count)
        return false;
    for (size_t i = 0; i < recovery->entry_count; i++) {
        const struct entry *entry = &recovery->entries[i];
        raft_index index = view->mark_index + 1 + i;
        if (entry->index != index || entry->term != view->terms[index] ||
            blob_bytes(entry->payload).size != view->sizes[index])
            return false;
    }
    return true;
}

/* Sets *ret_view to the view after some step from `from` on that the log came back as. */
static inline bool model_find(const struct model *model, const struct wal_recovery *recovery,
                              size_t from, struct model_view *ret_view)
{
    struct model_view *view = ret_view;
    *view = model->start;
    for (size_t step = 0; step <= model->count; step++) {
        if (step >= from && model_view_matches(view, recovery))
            return true;
        if (step < model->count)
            model_apply(view, &model->steps[step]);
    }
    return false;
}

/* The model goes on from what came back. */
static inline void model_restart(struct model *model, const struct model_view *view)
{
    model->start = model->now = *view;
    model->count = model->flushed = 0;
}

static inline void model_check_payloads(const struct wal_recovery *recovery)
{
    for (size_t i = 0; i < recovery->entry_count; i++)
        fixture_check_entry(&recovery->entries[i], recovery->entries[i].index);
}

#endif
