/* See attempt.h. Which version followed the base is found by halving the revisions between: at low the
 * base was the newest version, at high it was not. */
#include "fs/attempt.h"

#include "fs/handle_internal.h"

static void look_at(struct attempt *attempt, struct fs_op *op, kv_rev revision);

/* A record that differs from that of the try before means that the one it was based on has changed: the
 * try before compares that, too, and never happens. */
void attempt_note(struct attempt *attempt, const struct save *save, struct bytes key)
{
    attempt->last_wins = save->last_wins || (attempt->is_open && attempt->last_wins);
    attempt->is_open = true;
    attempt->creates = save->creates;
    attempt->base = save->creates ? 0 : save->newest.mod_revision;
    attempt->create_revision = save->newest.create_revision;
    buf_assign(&attempt->key, key);
    buf_assign(&attempt->content, buf_bytes(&save->content));
    attempt->has_record = save->puts_meta;
    buf_clear(&attempt->record);
    if (save->puts_meta)
        meta_encode(&save->meta, &attempt->record);
}

void attempt_close(struct attempt *attempt)
{
    buf_release(&attempt->key);
    buf_release(&attempt->content);
    buf_release(&attempt->record);
    attempt->is_open = false;
}

/* ---- finding out ---- */

static struct attempt *attempt_of(struct fs_op *op)
{
    struct save *save = container_of(op, struct save, op);
    return &container_of(save, struct handle, save)->attempt;
}

static const struct kv_item *only_item(const struct fs_op *op)
{
    const struct kv_range_result *range = &op->kv.result.range;
    return range->count ? &range->items[0] : NULL;
}

static void finish(struct attempt *attempt, struct fs_op *op, enum attempt_outcome outcome)
{
    attempt->outcome = outcome;
    attempt->step(op, ERR_OK);
}

/* The same content may be someone else's; with the same record, made in the same revision, it is ours. */
static void on_record(struct fs_op *op, enum err_code code)
{
    struct attempt *attempt = attempt_of(op);
    if (code != ERR_OK && code != ERR_COMPACTED) {
        attempt->step(op, code);
        return;
    }
    const struct kv_item *item = code == ERR_OK ? only_item(op) : NULL;
    bool is_ours = item && item->mod_revision == attempt->high &&
                   bytes_equal(item->value, buf_bytes(&attempt->record));
    finish(attempt, op, is_ours ? ATTEMPT_HAPPENED : ATTEMPT_NEVER);
}

static void found(struct attempt *attempt, struct fs_op *op)
{
    if (!attempt->is_ours || !attempt->has_record) {
        finish(attempt, op, attempt->is_ours ? ATTEMPT_HAPPENED : ATTEMPT_NEVER);
        return;
    }
    struct buf key = {0};
    meta_key(&key, buf_bytes(&attempt->key));
    struct kv_request *request = op_prepare(op, KV_RANGE);
    request->range = (struct kv_range){.key = arena_copy(&op->arena, buf_bytes(&key)),
                                       .revision = attempt->high};
    buf_release(&key);
    op_submit(op, on_record);
}

static bool is_what_it_leaves(const struct attempt *attempt, const struct kv_item *item)
{
    return (attempt->creates || item->create_revision == attempt->create_revision) &&
           bytes_equal(item->value, buf_bytes(&attempt->content));
}

static void go_on(struct attempt *attempt, struct fs_op *op, bool is_there)
{
    if (attempt->creates || attempt->high - attempt->low <= 1 || (attempt->last_wins &&
        (attempt->is_ours || !is_there || ++attempt->steps == ATTEMPT_STEPS_MAX)))
        found(attempt, op);
    else if (attempt->last_wins)
        look_at(attempt, op, attempt->high - 1);
    else
        look_at(attempt, op, attempt->low + (attempt->high - attempt->low) / 2);
}

static void on_read(struct fs_op *op, enum err_code code)
{
    struct attempt *attempt = attempt_of(op);
    if (code == ERR_COMPACTED) {
        found(attempt, op);             /* by the oldest version that can be read */
        return;
    }
    if (code != ERR_OK) {
        attempt->step(op, code);
        return;
    }
    const struct kv_item *item = only_item(op);
    if (item && !attempt->creates && item->mod_revision <= attempt->base) {
        attempt->low = attempt->read;
        if (attempt->high == 0) {
            finish(attempt, op, ATTEMPT_OPEN);
            return;
        }
        go_on(attempt, op, false);
        return;
    }
    attempt->high = item ? item->mod_revision : attempt->read;
    attempt->is_ours = item && is_what_it_leaves(attempt, item);
    go_on(attempt, op, item != NULL);
}

static void look_at(struct attempt *attempt, struct fs_op *op, kv_rev revision)
{
    struct kv_request *request = op_prepare(op, KV_RANGE);
    attempt->read = revision;
    request->range = (struct kv_range){.key = buf_bytes(&attempt->key), .revision = revision};
    op_submit(op, on_read);
}

void attempt_settle(struct attempt *attempt, struct fs_op *op, kv_rev revision, op_step step)
{
    attempt->step = step;
    attempt->low = attempt->base;
    attempt->high = 0;
    attempt->is_ours = false;
    attempt->steps = 0;
    look_at(attempt, op, revision);
}
