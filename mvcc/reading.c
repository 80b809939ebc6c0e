/* What readers see: each call reads one snapshot, of one revision. Beside it what the store says of itself. */
#include "mvcc/store.h"

#include "mvcc/changes.h"
#include "mvcc/lease_rows.h"
#include "mvcc/names.h"
#include "mvcc/range.h"
#include "mvcc/store_internal.h"
#include "proto/base/limits.h"

/* The revision of the state that a snapshot holds. The writer may be between its batch and publish: then
 * whoever sees the batch first publishes its revision, so that no later reader sees less. */
static enum err_code snapshot_revision(struct store *store, const struct view *view,
                                       struct arena *arena, kv_rev *ret, struct err *err)
{
    struct bytes row = {0};
    struct store_state state;
    enum err_code code = view_get(view, BYTES_LITERAL(META_STATE), arena, &row, err);
    code = store_state_found(code, row, &state, err);
    if (code)
        return code;
    kv_rev seen = store->revision;
    while (seen < state.revision &&
           !atomic_compare_exchange_weak(&store->revision, &seen, state.revision)) {
    }
    *ret = state.revision;
    return ERR_OK;
}

/* A snapshot, the revision to read it at, and the store's revision. */
struct reading {
    struct view view;
    kv_rev at, newest;
};

/* The floor is looked at after the snapshot was taken: a walk only starts when its floor is published, so
 * what the snapshot may lack is below the floor seen here. passing: see backend.h. */
static enum err_code read_begin(struct store *store, kv_rev revision, bool passing,
                                struct arena *arena, struct reading *ret, struct err *err)
{
    for (;;) {
        kv_rev newest = 0;
        struct view view = passing ? view_open_passing(store->backend) : view_open(store->backend);
        kv_rev floor = store->floor;
        enum err_code code = snapshot_revision(store, &view, arena, &newest, err);
        if (!code)
            code = range_check_revision(revision, floor, newest, err);
        if (!code && (revision || newest >= floor)) {
            kv_rev at = MUTANT(OLD_READ_SEES_NEXT) ? revision + 1 : revision;
            *ret = (struct reading){view, revision ? at : newest, newest};
            return ERR_OK;
        }
        view_release(&view);
        if (code)
            return code;
    }
}

enum err_code store_range(struct store *store, const struct kv_range *range, struct arena *arena,
                          struct kv_range_result *ret, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, range->revision, false, arena, &reading, err);
    if (code)
        return code;
    code = range_read(&reading.view, range, reading.at, arena, ret, err);
    view_release(&reading.view);
    if (!code)
        *ret_revision = reading.newest;
    return code;
}

/* Names at the newest are read from column d: what the snapshot holds of it is as of its revision. */
enum err_code store_lookup(struct store *store, const struct kv_lookup *lookup,
                           struct arena *arena, struct kv_name *ret, kv_rev *ret_revision,
                           struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, lookup->revision, false, arena, &reading, err);
    if (code)
        return code;
    code = lookup->revision ? names_lookup_at(&reading.view, lookup, reading.at, arena, ret, err)
                            : names_lookup(&reading.view, lookup, arena, ret, err);
    view_release(&reading.view);
    if (!code || code == ERR_NOT_FOUND)
        *ret_revision = reading.newest;
    return code;
}

/* A directory of so many names that they come in pieces would push everything else out of the caches. */
enum err_code store_list(struct store *store, const struct kv_list *list, struct arena *arena,
                         struct kv_list_result *ret, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, list->revision, list->has_after, arena, &reading, err);
    if (code)
        return code;
    code = list->revision ? names_list_at(&reading.view, list, reading.at, arena, ret, err)
                          : names_list(&reading.view, list, arena, ret, err);
    view_release(&reading.view);
    if (!code || code == ERR_NOT_FOUND)
        *ret_revision = reading.newest;
    return code;
}

static int64_t remaining_s(const struct kv_lease_result *lease, kv_time renewed, kv_time now)
{
    int64_t gone_s = now > renewed ? (now - renewed) / NS_PER_S : 0;
    return gone_s < lease->granted_ttl_s ? lease->granted_ttl_s - gone_s : 0;
}

enum err_code store_lease(struct store *store, int64_t id, bool want_keys, kv_time now,
                          struct arena *arena, struct kv_lease_result *ret,
                          int64_t *ret_remaining_s, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    kv_time renewed;
    enum err_code code = read_begin(store, 0, false, arena, &reading, err);
    if (code)
        return code;
    code = lease_rows_read(&reading.view, id, want_keys, arena, ret, &renewed, err);
    view_release(&reading.view);
    if (!code)
        *ret_remaining_s = remaining_s(ret, renewed, now);
    if (!code || code == ERR_NOT_FOUND)
        *ret_revision = reading.newest;
    return code;
}

enum err_code store_lease_list(struct store *store, struct arena *arena,
                               struct kv_lease_result *ret, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, 0, false, arena, &reading, err);
    if (code)
        return code;
    code = lease_rows_list(&reading.view, arena, ret, err);
    view_release(&reading.view);
    if (!code)
        *ret_revision = reading.newest;
    return code;
}

enum err_code store_lease_load(struct store *store, struct lessor *lessor, int64_t now_ns,
                               struct err *err)
{
    struct view view = {.backend = store->backend};
    struct lease_cursor cursor;
    enum err_code code;
    lessor_clear(lessor);
    lease_cursor_init(&cursor, &view);
    while (!(code = lease_cursor_next(&cursor, err)) && cursor.found) {
        struct lease_change found = {LEASE_GRANTED, cursor.id, cursor.row.ttl_s,
                                     cursor.row.renewal};
        lessor_apply(lessor, &found, now_ns);
    }
    lease_cursor_release(&cursor);
    return code;
}

/* The version a revision wrote; most revisions write a key once, at sub 0. */
static enum err_code version_of(const struct view *view, struct bytes key, kv_rev mod_revision,
                                struct arena *arena, struct head *ret, struct bytes *ret_value,
                                struct err *err)
{
    struct revision first = {mod_revision, 0};
    enum err_code code = index_get_exact(view, key, first, arena, ret, ret_value, err);
    if (code != ERR_NOT_FOUND)
        return code;
    code = index_get(view, key, mod_revision, arena, ret, ret_value, err);
    if (!code && ret->mod.main != mod_revision)
        return ERR_NOT_FOUND;
    return code;
}

enum err_code store_get_version(struct store *store, struct bytes key, kv_rev mod_revision,
                                struct arena *arena, struct kv_item *ret, struct err *err)
{
    struct head head;
    struct bytes value;
    /* A snapshot: a walk may take the row and its value away in between. */
    struct view view = view_open(store->backend);
    enum err_code code = version_of(&view, key, mod_revision, arena, &head, &value, err);
    view_release(&view);
    if (!code && head.is_tombstone)
        code = ERR_NOT_FOUND;
    if (code == ERR_NOT_FOUND && mod_revision <= store->floor)
        return err_set(err, ERR_COMPACTED, "mvcc: required revision has been compacted");
    if (code == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "key not found");
    if (code)
        return code;
    range_item(ret, arena_copy(arena, key), &head, true);
    ret->value = value;
    return ERR_OK;
}

enum err_code store_time(struct store *store, kv_rev revision, kv_time *ret, struct err *err)
{
    struct view view = {.backend = store->backend};
    struct arena arena = {0};
    struct change_row row;
    enum err_code code = ERR_NOT_FOUND;
    if (revision > 0 && revision >= store->floor)
        code = changes_at(&view, (struct revision){revision, 0}, &arena, &row, err);
    bool is_found = !code && row.revision.main == revision;
    arena_release(&arena);
    if (code && code != ERR_NOT_FOUND)
        return code;
    if (!is_found && (revision != store->floor || store->floor_time == 0))
        return err_set(err, ERR_NOT_FOUND, "the time of revision %lld is not known",
                       (long long)revision);
    *ret = is_found ? row.time : store->floor_time;
    return ERR_OK;
}

void store_settings_get(struct store *store, struct store_settings *ret)
{
    config_get(store->config, ret);
}

void store_quota_get(struct store *store, uint64_t *ret_used, uint64_t *ret_limit,
                     uint64_t *ret_keys)
{
    struct store_settings settings;
    config_get(store->config, &settings);
    *ret_limit = settings.quota_limit;
    quota_get(store->quota, ret_used, ret_keys);
}

bool store_session_exists(struct store *store, uint64_t session)
{
    return sessions_exists(store->backend, session);
}
