/* Forgetting. Compaction at revision C keeps, of each key, the newest version at or below C, and the
 * tombstones of C itself (who watches from C must see them). Only versions written after the last floor F
 * and up to C supersede anything, so the walk looks at those changes in column r alone, from F on:
 *
 *     r 5 "/a" put      the version of /a before 5 goes
 *     r 6 "/a" delete   the version 5 goes, and the tombstone with it when 6 < C
 *     r 7 "/b" put      the version of /b before 7 goes
 *
 * F itself is walked again because its tombstones stayed; of a key that F changed twice the first version
 * is gone then. Rows of column r go when the walk has passed all their changes. When a row is looked at, everything older than
 * the version just before it is gone already: that was superseded by a row looked at earlier.
 *
 * The figure (logical bytes gone) depends on C and the log alone, not on when the walk runs: later
 * entries do not change what is superseded at or below C, and a value row that gains an owner later had
 * a live owner, so it survives this walk either way. Walks are therefore done one C after the other.
 */
#include "mvcc/store_internal.h"

#include "mvcc/changes.h"
#include "mvcc/range.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

#define MARK_SIZE_MAX 32

/* ---- rows of column m that are named by a revision ---- */

struct mark {
    uint8_t key[MARK_SIZE_MAX];
    size_t size;
};

static struct mark mark_of(const char *name, kv_rev revision)
{
    struct mark mark;
    mark.size = strlen(name);
    CHECK(mark.size + 8 <= sizeof(mark.key));
    memcpy(mark.key, name, mark.size);
    put_be64(mark.key + mark.size, (uint64_t)revision);
    mark.size += 8;
    return mark;
}

static struct bytes mark_key(const struct mark *mark)
{
    return bytes_of(mark->key, mark->size);
}

/* A figure, if the mark is there. */
static enum err_code mark_figure(struct store *store, const struct mark *mark, bool *ret_there,
                                 uint64_t *ret, struct err *err)
{
    struct bytes found;
    enum err_code code = batch_get(store->batch, mark_key(mark), &found, err);
    *ret_there = code == ERR_OK;
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    if (found.size != 8)
        return err_set(err, ERR_CORRUPT, "a compaction mark of the store does not decode");
    *ret = get_le64(found.data);
    return ERR_OK;
}

static void mark_figure_set(struct store *store, const struct mark *mark, uint64_t figure)
{
    put_le64(batch_put_place(store->batch, mark_key(mark), 8), figure);
}

/* The lowest revision that has such a mark; NOT_FOUND. ret_value is in store->scratch. */
static enum err_code mark_first(struct store *store, const char *name, kv_rev *ret,
                                struct bytes *ret_value, struct err *err)
{
    struct view view = view_of_batch(store->batch, store->backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    struct bytes prefix = bytes_of_text(name);
    enum err_code code = ERR_NOT_FOUND;
    view_iterator_seek(iterator, prefix);
    if (!view_iterator_valid(iterator)) {
        enum err_code status = view_iterator_status(iterator, err);
        code = status ? status : code;
    } else if (bytes_starts_with(view_iterator_key(iterator), prefix) &&
               view_iterator_key(iterator).size == prefix.size + 8) {
        code = ERR_OK;
        *ret = (kv_rev)get_be64(view_iterator_key(iterator).data + prefix.size);
        *ret_value = arena_copy(&store->scratch, view_iterator_value(iterator));
    }
    view_iterator_free(iterator);
    return code;
}

static enum err_code marks_count(struct store *store, const char *name, uint64_t *ret,
                                 struct err *err)
{
    struct view view = view_of_batch(store->batch, store->backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    struct bytes prefix = bytes_of_text(name);
    uint64_t count = 0;
    view_iterator_seek(iterator, prefix);
    while (view_iterator_valid(iterator) &&
           bytes_starts_with(view_iterator_key(iterator), prefix)) {
        count++;
        view_iterator_next(iterator);
    }
    enum err_code code = view_iterator_status(iterator, err);
    view_iterator_free(iterator);
    *ret = count;
    return code;
}

/* Where a figure came or went. */
static enum err_code find_owed(struct store *store, struct err *err)
{
    struct bytes value;
    store->owed = (struct store_figure){0};
    if (store->figures == 0)
        return ERR_OK;
    enum err_code code = mark_first(store, META_FREED, &store->owed.revision, &value, err);
    if (code == ERR_NOT_FOUND || (!code && value.size != 8))
        return err_set(err, ERR_CORRUPT, "a compaction mark of the store does not decode");
    if (!code)
        store->owed.bytes = get_le64(value.data);
    return code;
}

enum err_code compact_load(struct store *store, struct err *err)
{
    enum err_code code = marks_count(store, META_WALK, &store->walks, err);
    if (!code)
        code = marks_count(store, META_FREED, &store->figures, err);
    if (!code)
        code = find_owed(store, err);
    store->is_walking = store->walks > 0;
    return code;
}

/* ---- the walk's place ---- */

struct walk {
    kv_rev target;
    kv_rev floor;                       /* where it began */
    struct revision cursor;             /* the next change in column r */
    uint64_t bytes;
};

#define WALK_SIZE (8 + REVISION_SIZE + 8)

static void walk_save(struct store *store, const struct walk *walk)
{
    struct mark mark = mark_of(META_WALK, walk->target);
    uint8_t *place = batch_put_place(store->batch, mark_key(&mark), WALK_SIZE);
    put_be64(place, (uint64_t)walk->floor);
    revision_encode(place + 8, walk->cursor);
    put_le64(place + 8 + REVISION_SIZE, walk->bytes);
}

static enum err_code walk_load(struct store *store, struct walk *ret, struct err *err)
{
    struct bytes value;
    enum err_code code = mark_first(store, META_WALK, &ret->target, &value, err);
    if (code)
        return code;
    if (value.size != WALK_SIZE)
        return err_set(err, ERR_CORRUPT, "a compaction mark of the store does not decode");
    ret->floor = (kv_rev)get_be64(value.data);
    ret->cursor = revision_decode(value.data + 8);
    ret->bytes = get_le64(value.data + 8 + REVISION_SIZE);
    return ERR_OK;
}

/* ---- the two entries ---- */

/* The time of a revision, for its snapshot once its row may be gone. */
static enum err_code time_of(struct store *store, kv_rev revision, kv_time *ret, struct err *err)
{
    struct view view = view_of_batch(store->batch, store->backend);
    struct change_row row;
    enum err_code code =
        changes_at(&view, (struct revision){revision, 0}, &store->scratch, &row, err);
    *ret = !code && row.revision.main == revision ? row.time : 0;
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

enum err_code compact_announce(struct store *store, kv_rev revision, struct err *err)
{
    kv_time time;
    if (revision <= store->state.floor)
        return err_set(err, ERR_COMPACTED, "mvcc: required revision has been compacted");
    if (revision > store->state.revision)
        return err_set(err, ERR_FUTURE, "mvcc: required revision is a future revision");
    enum err_code code = time_of(store, revision, &time, err);
    if (code)
        return code;
    struct walk walk = {.target = revision,
                        .floor = store->state.floor,
                        .cursor = {store->state.floor, 0}};
    struct mark due = mark_of(META_DUE, revision);
    walk_save(store, &walk);
    batch_put(store->batch, mark_key(&due), BYTES_EMPTY);
    store->walks++;
    store->state.floor = revision;
    store->state.floor_time = time;
    return ERR_OK;
}

static enum err_code figures_compare(kv_rev revision, uint64_t own, uint64_t theirs,
                                     struct err *err)
{
    if (own == theirs)
        return ERR_OK;
    return err_set(err, ERR_CORRUPT,
                   "this member has diverged: compaction %lld freed %llu bytes here, %llu elsewhere",
                   (long long)revision, (unsigned long long)own, (unsigned long long)theirs);
}

enum err_code compact_credit(struct store *store, kv_rev revision, uint64_t bytes, struct err *err)
{
    struct mark due = mark_of(META_DUE, revision), freed = mark_of(META_FREED, revision);
    struct mark claimed = mark_of(META_CLAIMED, revision);
    struct bytes found;
    uint64_t own;
    bool is_done;
    enum err_code code = batch_get(store->batch, mark_key(&due), &found, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    code = mark_figure(store, &freed, &is_done, &own, err);
    if (!code && is_done)
        code = figures_compare(revision, own, bytes, err);
    if (code)
        return code;
    batch_delete(store->batch, mark_key(&due));
    quota_charge(store->quota, -(int64_t)bytes);
    if (is_done) {
        batch_delete(store->batch, mark_key(&freed));
        store->figures--;
    } else {
        mark_figure_set(store, &claimed, bytes);
    }
    return find_owed(store, err);
}

/* ---- the walk ---- */

/* This version, and that of the key just before it. NOT_FOUND (no text): there is none before;
 * *ret_gone: nor this one. */
static enum err_code version_before(struct view_iterator *keys, struct bytes key,
                                    struct revision mod, bool *ret_gone, struct head *ret_this,
                                    struct head *ret, struct err *err)
{
    struct buf row = {0}, found = {0};
    *ret_gone = false;
    index_key_append(&row, key, mod);
    view_iterator_seek(keys, buf_bytes(&row));
    enum err_code code = ERR_NOT_FOUND;
    if (!view_iterator_valid(keys) || !bytes_equal(view_iterator_key(keys), buf_bytes(&row))) {
        code = view_iterator_status(keys, err);
        *ret_gone = !code;
        code = code ? code : ERR_NOT_FOUND;
        goto out;
    }
    code = index_key_decode(view_iterator_key(keys), view_iterator_value(keys), &found, ret_this,
                            NULL, err);
    if (code)
        goto out;
    view_iterator_next(keys);
    row.size -= REVISION_SIZE;
    buf_clear(&found);
    if (!view_iterator_valid(keys)) {
        code = view_iterator_status(keys, err);
        code = code ? code : ERR_NOT_FOUND;
    } else if (!bytes_starts_with(view_iterator_key(keys), buf_bytes(&row))) {
        code = ERR_NOT_FOUND;
    } else {
        code = index_key_decode(view_iterator_key(keys), view_iterator_value(keys), &found, ret,
                                NULL, err);
    }
out:
    buf_release(&row);
    buf_release(&found);
    return code;
}

static enum err_code forget(struct store *store, struct walk *walk, struct bytes key,
                            const struct head *head, struct err *err)
{
    uint64_t bytes = 0;
    enum err_code code = index_forget(store->batch, key, head, &bytes, err);
    walk->bytes += bytes;
    return code;
}

static enum err_code look_at(struct store *store, struct walk *walk, struct view_iterator *keys,
                             const struct change_row *row, struct err *err)
{
    struct head this, before;
    bool gone;
    enum err_code code =
        version_before(keys, row->key, row->revision, &gone, &this, &before, err);
    if (gone && row->revision.main == walk->floor)
        return ERR_OK;
    if (gone)
        return err_set(err, ERR_CORRUPT, "the store lacks the version of revision %lld",
                       (long long)row->revision.main);
    if (!code)
        code = forget(store, walk, row->key, &before, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    kv_rev floor = walk->target + MUTANT(COMPACTION_DROPS_TOMBSTONE);
    if (this.is_tombstone && row->revision.main < floor)
        return forget(store, walk, row->key, &this, err);
    return ERR_OK;
}

/* Gathers the next changes first, because forgetting writes to what is read. *ret_more: there are others. */
static enum err_code rows_gather(struct store *store, const struct view *view,
                                 const struct walk *walk, struct change_row *rows,
                                 size_t *ret_count, bool *ret_more, struct err *err)
{
    enum err_code code = ERR_OK;
    struct change_cursor cursor;
    change_cursor_init(&cursor, view, walk->cursor);
    size_t count = 0;
    for (; count < COMPACT_STEP_ROWS; count++) {
        code = change_cursor_next(&cursor, &store->scratch, &rows[count], err);
        kv_rev last = walk->target + MUTANT(COMPACTION_GOES_BEYOND);
        if (code || rows[count].revision.main > last)
            break;
    }
    change_cursor_release(&cursor);
    *ret_count = count;
    *ret_more = count == COMPACT_STEP_ROWS;
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static enum err_code walk_finish(struct store *store, const struct walk *walk, struct err *err)
{
    struct mark mark = mark_of(META_WALK, walk->target), freed = mark_of(META_FREED, walk->target);
    struct mark claimed = mark_of(META_CLAIMED, walk->target);
    uint64_t theirs;
    bool is_claimed;
    enum err_code code = mark_figure(store, &claimed, &is_claimed, &theirs, err);
    if (!code && is_claimed)
        code = figures_compare(walk->target, walk->bytes, theirs, err);
    if (code)
        return code;
    batch_delete(store->batch, mark_key(&mark));
    if (is_claimed)
        batch_delete(store->batch, mark_key(&claimed));
    else
        mark_figure_set(store, &freed, walk->bytes);
    store->walks--;
    store->figures += !is_claimed;
    return find_owed(store, err);
}

static enum err_code walk_step(struct store *store, struct walk *walk, bool *ret_more,
                               struct err *err)
{
    struct view view = view_of_batch(store->batch, store->backend);
    struct change_row *rows =
        ARENA_NEW_ARRAY(&store->scratch, struct change_row, COMPACT_STEP_ROWS);
    size_t count;
    enum err_code code = rows_gather(store, &view, walk, rows, &count, ret_more, err);
    if (code)
        return code;
    struct view_iterator *keys = view_iterator_new(&view);
    for (size_t i = 0; i < count && !code; i++)
        code = look_at(store, walk, keys, &rows[i], err);
    view_iterator_free(keys);
    struct revision next = {walk->target, 0}, from = walk->cursor;
    if (*ret_more) {
        walk->cursor = rows[count - 1].revision;
        walk->cursor.sub++;
        next = revision_compare(walk->cursor, next) < 0 ? walk->cursor : next;
    }
    if (!code)
        code = changes_forget(store->batch, &view, from, next, &store->scratch, err);
    if (code)
        return code;
    if (!*ret_more)
        return walk_finish(store, walk, err);
    walk_save(store, walk);
    return ERR_OK;
}

static void publish_owed(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    store->owed_published = store->owed;
    pthread_mutex_unlock(&store->lock);
}

enum err_code store_compact_step(struct store *store, bool *ret_done, kv_rev *ret_revision,
                                 uint64_t *ret_bytes, struct err *err)
{
    struct walk walk;
    bool more = false;
    CHECK(!store->is_open);
    *ret_revision = 0;
    *ret_bytes = 0;
    *ret_done = store->walks == 0;
    if (store->death)
        return store_dead(store, err);
    if (*ret_done)
        return ERR_OK;
    enum err_code code = walk_load(store, &walk, err);
    if (!code)
        code = walk_step(store, &walk, &more, err);
    size_t bytes = batch_bytes(store->batch);
    if (!code)
        code = batch_write(store->batch, err);
    batch_clear(store->batch);
    arena_clear(&store->scratch);
    if (code)
        return store_die(store, code == ERR_NOT_FOUND ? ERR_CORRUPT : code);
    checkpoint_note(store, bytes);
    publish_owed(store);
    store->is_walking = store->walks > 0;
    *ret_done = store->walks == 0;
    if (!more) {
        *ret_revision = walk.target;
        *ret_bytes = walk.bytes;
        TRACE(store->trace, "store compacted revision=%lld bytes=%llu", (long long)walk.target,
              (unsigned long long)walk.bytes);
    }
    return ERR_OK;
}

bool store_compact_pending(struct store *store)
{
    return store->is_walking;
}

bool store_compact_owes(struct store *store, kv_rev *ret_revision, uint64_t *ret_bytes)
{
    pthread_mutex_lock(&store->lock);
    struct store_figure owed = store->owed_published;
    pthread_mutex_unlock(&store->lock);
    *ret_revision = owed.revision;
    *ret_bytes = owed.bytes;
    return owed.revision != 0;
}
