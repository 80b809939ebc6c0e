/* Saving: one txn that publishes what a handle has staged.
 *
 * The frozen list is replayed on the version the handle knows, and the txn compares that this version
 * still stands. When it does not, what stands now is read again:
 *
 *   gone                    the file lives on for its handle alone; the bytes are kept as a conflict
 *   truncate-and-rewrite    goes over whatever stands: the last close wins, whole
 *   appends                 are replayed on what stands: no line is lost
 *   writes in place         are replayed when every version in between was made by this mount; else
 *                           ESTALE, and the bytes are kept in .fs/conflicts/
 *
 *     save_start -> save_build -> (txn) -> save_on_committed -> save_end
 *                      ^  ^                     |
 *        save_on_loaded|  |save_on_seen <- save_look_again
 *
 * A file that this mount has renamed is followed to its new key (moves.h).
 *
 * A handle that made its name (node->pending) saves by creating it, under the rules of tree.h.
 *
 * When the outcome of a txn is not known its list stays frozen, and the next save first finds out what
 * became of it (attempt.h): what happened is saved; what may happen yet is tried again as it was; what
 * never happens any more becomes one list with what was written since.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/cache.h"
#include "fs/handle_internal.h"
#include "proto/base/check.h"

#define BUSY_MS 10
#define EAGER_TRIES 4                   /* lost races before the first wait */

static void save_build(struct handle *handle);
static void save_look_again(struct handle *handle);
static void save_look_now(struct handle *handle);
static void save_rebase(struct handle *handle);
static void save_settle(struct handle *handle, kv_rev revision);
static void save_end(struct handle *handle, enum err_code code);

static struct handle *handle_of_save(struct fs_op *op)
{
    struct save *save = container_of(op, struct save, op);
    return container_of(save, struct handle, save);
}

static void save_on_again(struct fs_timer *timer)
{
    struct save *save = container_of(timer, struct save, again);
    save_look_now(container_of(save, struct handle, save));
}

void save_init(struct handle *handle)
{
    struct save *save = &handle->save;
    save->op.fs = handle->handles->fs;
    save->op.is_waiting = true;         /* nobody in the kernel is there to interrupt it */
    save->op.request.kind = KERNEL_FLUSH;
    list_init(&save->op.link);
    list_init(&save->op.parked);
    list_init(&save->turn);
    fs_timer_init(&save->again, save_on_again);
}

void save_release(struct save *save)
{
    fs_timer_cancel(&save->again);
    arena_release(&save->op.arena);
    kv_request_release(&save->op.kv);
    blob_unref(save->newest_content);
    buf_release(&save->content);
}

static void save_set_newest(struct save *save, const struct fs_file *file)
{
    save->newest = *file;
    meta_copy(&save->newest.meta, &file->meta, &save->op.arena);
}

static void save_set_newest_content(struct save *save, struct blob *given)
{
    blob_unref(save->newest_content);
    save->newest_content = given;
}

/* Whether the version this handle knows has been replaced already, so that a txn on it would be lost. */
static bool is_behind(const struct handle *handle)
{
    const struct node *node = handle->node;
    enum staging_kind kind = handle->staging.frozen.kind;
    return (kind == STAGING_APPEND || kind == STAGING_IN_PLACE) &&
           node->own_last > handle->file.mod_revision;
}

static void save_go(struct handle *handle)
{
    struct save *save = &handle->save;
    handle->node->saver = handle;
    handle->appended = 0;
    if (!save->only_creates && !handle->attempt.is_open)
        staging_freeze(&handle->staging);
    arena_clear(&save->op.arena);
    save->op.node = handle->node;
    save->op.tries = save->tries = 0;
    save->last_wins = false;
    save->creates = handle->node->pending;
    save->until_ms = fs_now_ms() + handle->handles->fs->options.timeo_ms;
    save_set_newest(save, &handle->file);
    save_set_newest_content(save, handle->content ? blob_ref(handle->content->blob) : NULL);
    if ((handle->moves.count || handle->attempt.is_open || is_behind(handle)) && !save->creates)
        save_look_now(handle);
    else
        save_build(handle);
}

/* One of a node at a time: handles of one mount do not race each other. */
static void save_start(struct handle *handle, bool only_creates)
{
    struct save *save = &handle->save;
    CHECK(!save->running);
    save->running = true;
    save->only_creates = only_creates;
    handle->handles->saves++;
    handle_ref(handle);
    fs_timer_cancel(&handle->timer);
    if (handle->node->saver)
        list_push_back(&handle->handles->turns, &save->turn);
    else
        save_go(handle);
}

static void save_next_turn(struct handles *handles, struct node *node)
{
    LIST_FOR_EACH(link, &handles->turns) {
        struct save *save = container_of(link, struct save, turn);
        struct handle *handle = container_of(save, struct handle, save);
        if (handle->node != node)
            continue;
        list_remove(link);
        if (handle->removed || (save->only_creates && !node->pending))
            save_end(handle, ERR_OK);
        else
            save_go(handle);
        return;
    }
}

/* ---- the txn ---- */

static void save_set_content(struct handle *handle, struct bytes key)
{
    struct handles *handles = handle->handles;
    struct save *save = &handle->save;
    buf_assign(&handle->key, key);
    content_unref(handles, handle->content);
    handle->content = content_get(handles, buf_bytes(&handle->key), handle->file.mod_revision);
    content_fill(handles, handle->content, blob_copy(buf_bytes(&save->content)));
}

/* Reads what stands now, to replay the list on it. */
static void save_on_loaded(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    const struct kv_range_result *range = &op->kv.result.range;
    if (code != ERR_OK) {
        save_end(handle, code);
        return;
    }
    if (range->count != 1 || range->items[0].mod_revision != handle->save.newest.mod_revision) {
        save_look_again(handle);
        return;
    }
    struct bytes value = range->items[0].value;
    save_set_newest_content(&handle->save, blob_copy(value));
    save_build(handle);
}

static void save_load(struct handle *handle)
{
    struct fs_op *op = &handle->save.op;
    struct kv_request *request = op_prepare(op, KV_RANGE);
    request->range = (struct kv_range){.key = op_key(op, handle->node)};
    op_submit(op, save_on_loaded);
}

/* The content to put into save->content. False: it must be read first, or cannot be. */
static bool save_make_content(struct handle *handle)
{
    struct save *save = &handle->save;
    enum staging_kind kind = handle->staging.frozen.kind;
    buf_clear(&save->content);
    if (save->only_creates) {
        save->puts_content = true;
        return true;
    }
    save->puts_content = kind != STAGING_NONE || save->creates;
    bool depends = kind == STAGING_APPEND || kind == STAGING_IN_PLACE;
    if (depends && !save->newest_content && save->newest.attr.st_size > 0) {
        save_load(handle);
        return false;
    }
    bool is_base = save->newest.mod_revision == handle->file.mod_revision;
    enum err_code code = staging_replay(&handle->staging, blob_bytes(save->newest_content), is_base,
                                        &save->content);
    if (code != ERR_OK)
        save_end(handle, code);
    return code == ERR_OK;
}

/* The record that goes with it, when there is something to say. */
static void save_make_meta(struct handle *handle)
{
    struct save *save = &handle->save;
    const struct fs_file *newest = &save->newest;
    const struct staged_attributes *staged = &handle->staging.frozen.attributes;
    struct meta *meta = &save->meta;
    save->puts_meta = save->creates || !staged_attributes_are_empty(staged);
    if (save->creates || newest->meta_mod_revision) {
        *meta = newest->meta;
    } else {
        *meta = (struct meta){.type = META_FILE};
    }
    if (save->puts_content || !meta_times_count(meta, newest->meta_mod_revision,
                                                newest->mod_revision))
        meta->has_mtime = meta->has_atime = false;
    if (!meta->has_owner) {
        meta->uid = newest->attr.st_uid;
        meta->gid = newest->attr.st_gid;
    }
    staged_attributes_apply(staged, &save->op.arena, meta);
    meta->for_create = save->creates ? 0 : newest->create_revision;
    meta->mtime_for = save->puts_content ? 0 : newest->mod_revision;
}

/* What the record was based on still stands. One that counts for no value of ours may lie there on a
 * plain etcd; a newer one is someone's change. */
static void save_compare_meta(struct handle *handle, struct tree *tree, struct bytes key)
{
    const struct save *save = &handle->save;
    struct buf buf = {0};
    meta_key(&buf, key);
    struct bytes record = arena_copy(&tree->op->arena, buf_bytes(&buf));
    buf_release(&buf);
    if (save->newest.meta_mod_revision)
        tree_compare(tree, record, BYTES_EMPTY, KV_COMPARE_MOD, KV_EQUAL,
                     save->newest.meta_mod_revision);
    else
        tree_compare(tree, record, BYTES_EMPTY, KV_COMPARE_MOD, KV_LESS,
                     handle->store_revision + 1);
}

static void save_on_committed(struct fs_op *op, enum err_code code);

static void save_submit(struct handle *handle)
{
    struct save *save = &handle->save;
    struct fs_op *op = &save->op;
    struct node *node = handle->node;
    struct tree tree;
    struct bytes key = op_key(op, node);
    tree_init(&tree, op);
    if (save->creates) {
        tree_parent_stands(&tree, node->parent);
        tree_absent(&tree, key);
    } else if (save->last_wins || !save->puts_content) {
        tree_compare(&tree, key, BYTES_EMPTY, KV_COMPARE_CREATE, KV_EQUAL,
                     save->newest.create_revision);
    } else {
        tree_compare(&tree, key, BYTES_EMPTY, KV_COMPARE_MOD, KV_EQUAL, save->newest.mod_revision);
    }
    if (save->puts_meta && !save->creates)
        save_compare_meta(handle, &tree, key);
    if (save->puts_content)
        tree_put(&tree, key, buf_bytes(&save->content));
    if (save->puts_meta)
        tree_put_meta(&tree, key, &save->meta);
    save->read_index = tree_read(&tree, key);
    tree_submit(&tree, save_on_committed);
}

static void save_build(struct handle *handle)
{
    if (!save_make_content(handle))
        return;
    save_make_meta(handle);
    save_submit(handle);
}

/* ---- it is saved ---- */

/* The version made was written here; right after base, which is 0 when it is not known. */
static void note_own(struct node *node, kv_rev base, kv_rev made)
{
    if (node->own_last > made) {            /* it is found out later that it was */
        if (node->own_first == made && base)
            node->own_first = base;
        return;
    }
    if (!base)
        node->own_first = made;
    else if (node->own_last != base)
        node->own_first = base;
    node->own_last = made;
}

/* The file as the txn left it, in save->newest. */
static void save_update_file(struct handle *handle, const struct kv_item *item)
{
    struct save *save = &handle->save;
    struct fs_file *file = &save->newest;
    struct stat *attr = &file->attr;
    struct timespec time = layout_timespec(item->mod_time);
    if (save->puts_content) {
        file->create_revision = item->create_revision;
        file->mod_revision = item->mod_revision;
        file->has_key = true;
        attr->st_size = (off_t)save->content.size;
        attr->st_blocks = (attr->st_size + 511) / 512;
        attr->st_mtim = attr->st_atim = attr->st_ctim = time;
    }
    if (!save->puts_meta)
        return;
    file->meta = save->meta;
    file->meta_mod_revision = save->op.kv.revision;
    if (save->meta.has_mode)
        attr->st_mode = (attr->st_mode & S_IFMT) | save->meta.mode;
    if (save->meta.has_owner) {
        attr->st_uid = save->meta.uid;
        attr->st_gid = save->meta.gid;
    }
    if (save->meta.has_mtime)
        attr->st_mtim = layout_timespec(save->meta.mtime);
    if (save->meta.has_atime)
        attr->st_atim = layout_timespec(save->meta.atime);
}

/* The frozen list is saved, as save->content. What was kept apart from it, because that was not known, is
 * to be saved now. */
static void save_on_saved(struct handle *handle)
{
    struct save *save = &handle->save;
    bool was_open = handle->attempt.is_open;
    attempt_close(&handle->attempt);
    staging_saved(&handle->staging, buf_bytes(&save->content));
    if (!was_open || !staging_is_live(&handle->staging)) {
        save_end(handle, ERR_OK);
        return;
    }
    staging_freeze(&handle->staging);
    bool is_base = save->newest.mod_revision == handle->file.mod_revision;
    save_set_newest_content(save, is_base ? blob_ref(handle->content->blob) : NULL);
    save->creates = save->last_wins = false;
    save_rebase(handle);
}

static void save_succeed(struct handle *handle)
{
    struct save *save = &handle->save;
    struct node *node = handle->node;
    struct fs *fs = handle->handles->fs;
    const struct kv_item *item = tree_item(&save->op, save->read_index);
    CHECK(item);
    if (save->puts_content)
        note_own(node, save->creates || save->last_wins ? 0 : save->newest.mod_revision,
                 item->mod_revision);
    save_update_file(handle, item);
    handle->store_revision = save->op.kv.revision;
    if (save->puts_content) {
        handle_set_file(handle, &save->newest);
        save_set_content(handle, op_key(&save->op, node));
        moves_forget(&handle->moves, item->mod_revision);
    } else {
        handle_on_attr(fs, node, &save->newest);
    }
    node->pending = false;
    cache_own_change(fs, node, &save->newest);
    if (!save->only_creates)
        save_on_saved(handle);
    else
        save_end(handle, ERR_OK);
}

static void save_on_committed(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    struct save *save = &handle->save;
    if (code == ERR_BUSY && fs_now_ms() < save->until_ms && !op->fs->stopping) {
        fs_timer_set(op->fs, &save->again, BUSY_MS);
        return;
    }
    if (code != ERR_OK) {
        if (err_kind(code) == ERR_KIND_UNKNOWN && save->puts_content && !save->only_creates)
            attempt_note(&handle->attempt, save, op->kv.txn.success[save->read_index].range.key);
        save_end(handle, code);
        return;
    }
    if (op->kv.result.txn.succeeded)
        save_succeed(handle);
    else
        save_look_again(handle);
}

/* ---- it has changed meanwhile ---- */

static void save_on_removed(struct handle *handle)
{
    conflict_keep(handle->handles, handle);
    handle_on_removed(handle->handles->fs, handle->node);
    attempt_close(&handle->attempt);
    staging_thaw(&handle->staging);
    save_end(handle, ERR_OK);
}

static bool is_own_history(const struct handle *handle)
{
    const struct node *node = handle->node;
    return node->own_last && node->own_last == handle->save.newest.mod_revision &&
           handle->file.mod_revision >= node->own_first;
}

static void save_on_moved(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    if (code != ERR_OK) {
        save_end(handle, code);
        return;
    }
    if (handle->file.mod_revision == handle->save.newest.mod_revision)
        handle_set_file(handle, &handle->save.newest);
    save_rebase(handle);
}

static void save_rebase(struct handle *handle)
{
    struct save *save = &handle->save;
    enum staging_kind kind = handle->staging.frozen.kind;
    bool is_base = save->newest.mod_revision == handle->file.mod_revision;
    if (moves_are_due(&handle->moves, handle->store_revision)) {
        moves_follow(handle, save_on_moved);
        return;
    }
    if (kind == STAGING_NONE || kind == STAGING_REPLACE || is_base) {
        /* A version's one successor is found again when the answer is lost: who loses no more than a
         * few races is to be that. */
        save->last_wins = !is_base && save->tries > EAGER_TRIES && !handle->attempt.is_open;
        save_build(handle);
    } else if (kind == STAGING_APPEND ||
               (kind == STAGING_IN_PLACE && is_own_history(handle))) {
        save_set_newest_content(save, NULL);
        save_build(handle);
    } else {
        save_end(handle, ERR_CONFLICT);
    }
}

/* It is not gone, or may not be: a rename of this mount is on its way, or took it away while it was looked
 * for. */
static bool save_awaits_move(struct handle *handle)
{
    struct save *save = &handle->save;
    struct fs *fs = handle->handles->fs;
    struct bytes seen = op_join(&save->op, save->op.directory, save->op.base);
    if (!bytes_equal(seen, op_key(&save->op, save->op.stat_node)))
        save_look_now(handle);
    else if (fs->renames && !fs->stopping && fs_now_ms() < save->until_ms)
        fs_timer_set(fs, &save->again, BUSY_MS);
    else
        return false;
    return true;
}

static void save_on_seen(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    if (code == ERR_NOT_FOUND) {
        if (!save_awaits_move(handle))
            save_on_removed(handle);
        return;
    }
    if (code != ERR_OK) {
        save_end(handle, code);
        return;
    }
    handle->store_revision = op->kv.revision;
    save_set_newest(&handle->save, &op->file);
    if (handle->attempt.is_open)
        save_settle(handle, handle->attempt.creates ? op->file.create_revision
                                                    : handle->store_revision);
    else
        save_rebase(handle);
}

/* ---- an attempt whose outcome was not known ---- */

/* It made this version; what stands may be newer. */
static void save_set_attempted(struct handle *handle)
{
    struct save *save = &handle->save;
    const struct attempt *attempt = &handle->attempt;
    struct fs_file file = save->newest;
    if (file.mod_revision != attempt->high) {
        file.mod_revision = attempt->high;
        file.create_revision = attempt->creates ? attempt->high : attempt->create_revision;
        file.attr.st_size = (off_t)attempt->content.size;
    }
    handle_set_file(handle, &file);
    buf_assign(&save->content, buf_bytes(&attempt->content));
    save_set_content(handle, buf_bytes(&attempt->key));
}

static void save_on_happened(struct handle *handle)
{
    struct save *save = &handle->save;
    struct node *node = handle->node;
    struct attempt *attempt = &handle->attempt;
    save_set_attempted(handle);
    moves_forget(&handle->moves, attempt->high);
    note_own(node, attempt->last_wins ? 0 : attempt->base, attempt->high);
    cache_own_change(handle->handles->fs, node, &save->newest);
    if (!staging_is_live(&handle->staging))
        handle->store_revision = attempt->high;     /* the file is that version's */
    save_on_saved(handle);
}

/* What was written since joins the list. */
static void save_on_never(struct handle *handle)
{
    attempt_close(&handle->attempt);
    staging_thaw(&handle->staging);
    if (!handle->save.only_creates)
        staging_freeze(&handle->staging);
}

static void save_on_settled(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    enum attempt_outcome outcome = handle->attempt.outcome;
    if (code != ERR_OK) {
        save_end(handle, code);
    } else if (outcome == ATTEMPT_HAPPENED) {
        save_on_happened(handle);
    } else {
        if (outcome == ATTEMPT_NEVER)
            save_on_never(handle);
        save_rebase(handle);
    }
}

static void save_settle(struct handle *handle, kv_rev revision)
{
    attempt_settle(&handle->attempt, &handle->save.op, revision, save_on_settled);
}

/* ---- a name that was to be made ---- */

static void save_on_parent(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    if (code == ERR_OK)
        save_build(handle);
    else if (code != ERR_NOT_FOUND || !save_awaits_move(handle))
        save_end(handle, code);
}

/* Someone else has made it. What was opened to be emptied or appended to goes on there, as if it had been
 * found when it was opened; writes in place were meant for an empty file. */
static void save_adopt(struct handle *handle)
{
    struct save *save = &handle->save;
    struct node *node = handle->node;
    struct stat *told = &node->told.attr;
    if (!S_ISREG(save->op.file.attr.st_mode)) {
        save_end(handle, ERR_CONFLICT);
        return;
    }
    save->creates = node->pending = false;
    save_set_newest(save, &save->op.file);
    handle_set_file(handle, &save->op.file);
    handle->store_revision = save->op.kv.revision;
    content_unref(handle->handles, handle->content);
    handle->content = NULL;
    save_set_newest_content(save, NULL);
    bool is_ours = told->st_ino == save->newest.attr.st_ino;
    if (!is_ours && handle->attempt.is_open)
        save_on_never(handle);
    told->st_ino = save->newest.attr.st_ino;
    if (save->only_creates)
        save_end(handle, ERR_OK);
    else if (is_ours && handle->attempt.is_open)
        save_settle(handle, save->newest.create_revision);
    else if (!is_ours && (handle->staging.frozen.kind == STAGING_IN_PLACE ||
                          handle->staging.frozen.kind == STAGING_FIXED))
        save_end(handle, ERR_CONFLICT);
    else
        save_build(handle);
}

static void save_on_name_seen(struct fs_op *op, enum err_code code)
{
    struct handle *handle = handle_of_save(op);
    if (code == ERR_OK)
        save_adopt(handle);
    else if (code == ERR_NOT_FOUND)
        tree_parent_again(op, handle->node->parent, save_on_parent);
    else
        save_end(handle, code);
}

static void save_look_now(struct handle *handle)
{
    struct save *save = &handle->save;
    struct node *node = handle->node;
    if (save->creates)
        op_stat_name(&save->op, node->parent, node->step, node_name(node), save_on_name_seen);
    else
        op_stat(&save->op, node, true, save_on_seen);
}

/* Another host was faster. Who loses again and again waits a little, each time for longer. */
static void save_look_again(struct handle *handle)
{
    struct save *save = &handle->save;
    struct fs *fs = handle->handles->fs;
    uint32_t over = save->tries++ < EAGER_TRIES ? 0 : save->tries - EAGER_TRIES;
    if (save->tries > OP_TRIES_MAX && (fs_now_ms() > save->until_ms || fs->stopping)) {
        save_end(handle, ERR_CONFLICT);
        return;
    }
    uint64_t spread = over < 6 ? (UINT64_C(1) << over) - 1 : 63;
    if (spread && !fs->stopping)
        fs_timer_set(fs, &save->again, 1 + (int64_t)rand_below(&handle->handles->rand, spread));
    else
        save_look_now(handle);
}

/* ---- the end ---- */

/* The pending name goes with the only handle that could have saved it. */
static void save_give_up_name(struct handle *handle)
{
    handle->node->pending = false;
    node_remove(&handle->handles->fs->nodes, handle->node);
}

/* The list is whole again, unless it may have been saved. Who was not told, and will not be, finds the
 * bytes among the conflicts. */
static void save_fail(struct handle *handle, enum err_code code)
{
    bool told = !list_is_empty(&handle->waiting);
    if (!handle->attempt.is_open)
        staging_thaw(&handle->staging);
    if (told)
        handle->refused = true;
    if ((code == ERR_CONFLICT || (handle->released && !told)) && !handle->conflict_kept) {
        conflict_keep(handle->handles, handle);
        handle->conflict_kept = true;
    }
    if (!handle->released && handle->appends)
        fs_timer_set(handle->handles->fs, &handle->timer, BARE_TRUNCATE_MS);
    TRACE(handle->handles->fs->trace, "save failed=%s conflict=%d", err_name(code),
          handle->conflict_kept);
}

static void run_steps(struct list *ops, enum err_code code)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, ops);
    while (!list_is_empty(&now)) {
        struct fs_op *op = container_of(now.next, struct fs_op, parked);
        op_unpark(op);
        op->step(op, code);
    }
}

/* What was written or asked for while the save ran. False: nothing, it is over. */
static bool save_goes_on(struct handle *handle, enum err_code code)
{
    bool wanted = !list_is_empty(&handle->queued) || (handle->released && code == ERR_OK);
    if (!wanted || handle->removed || !handle_is_dirty(handle))
        return false;
    list_splice_back(&handle->waiting, &handle->queued);
    save_start(handle, false);
    return true;
}

static void save_end(struct handle *handle, enum err_code code)
{
    struct handles *handles = handle->handles;
    struct save *save = &handle->save;
    struct node *node = handle->node;
    CHECK(save->running);
    save->running = false;
    handles->saves--;
    if (node->saver == handle)
        node->saver = NULL;
    save_set_newest_content(save, NULL);
    buf_release(&save->content);
    if (handle->staging.is_frozen && !save->only_creates)
        save_fail(handle, code);
    if (code != ERR_OK && handle->released && node->pending)
        save_give_up_name(handle);
    handle_update_pins(node);
    run_steps(&handle->waiting, code);
    if (!save->running && !save_goes_on(handle, code)) {
        run_steps(&handle->queued, ERR_OK);
        if (handle->awaited) {
            handle->awaited = false;
            node->commits--;
        }
        run_steps(&handle->awaiting, ERR_OK);
        if (!handle->released && staging_is_live(&handle->staging) && code == ERR_OK)
            handle_on_staged(handle);
    }
    if (!node->saver)
        save_next_turn(handles, node);
    handle_unref(handle);
}

static void save_cancel(struct fs_op *op)
{
    op_unpark(op);
    op->step(op, ERR_CANCELED);
}

void handle_save(struct handle *handle, struct fs_op *op, op_step step)
{
    struct save *save = &handle->save;
    if (op)
        op->step = step;
    if (save->running) {
        bool started = handle->node->saver == handle;
        bool joins = save->only_creates ? !staging_is_dirty(&handle->staging)
                                        : !started || !staging_is_live(&handle->staging);
        if (op)
            op_park(op, joins ? &handle->waiting : &handle->queued, save_cancel);
        return;
    }
    if (handle->removed || !handle_is_dirty(handle)) {
        if (op)
            step(op, ERR_OK);
        return;
    }
    if (op)
        op_park(op, &handle->waiting, save_cancel);
    save_start(handle, false);
}

void handle_save_name(struct handle *handle, struct fs_op *op, op_step step)
{
    op->step = step;
    op_park(op, &handle->waiting, save_cancel);
    if (!handle->save.running)
        save_start(handle, true);
}

void handle_save_released(struct handle *handle)
{
    handle->released = true;
    fs_timer_cancel(&handle->timer);
    bool wanted = !handle->removed && handle_is_dirty(handle) && !handle->refused;
    if (wanted || handle->save.running) {
        handle->awaited = true;
        handle->node->commits++;
    }
    if (wanted && !handle->save.running)
        save_start(handle, false);
    else if (!wanted && handle->node->pending && !handle->save.running)
        save_give_up_name(handle);
}
