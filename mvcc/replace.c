/* A backend in the place of a store's own: another one, after a snapshot was installed, or the same one again,
 * after the disk was full. */
#include "mvcc/store_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

#define REPLAY_BATCH_BYTES (1 * MIB)    /* of payloads; well under the write buffer with all that they write */
#define REPLAY_ENTRY_BYTES 64           /* of an entry without one */

/* What the writer keeps beside the backend. */
void store_writer_new(struct store *store)
{
    store->batch = batch_new(store->backend);
    store->sessions = sessions_new(store->backend, store->batch);
}

void store_writer_free(struct store *store)
{
    sessions_free(store->sessions);
    batch_free(store->batch);
    store->sessions = NULL;
    store->batch = NULL;
}

void store_detach(struct store *store)
{
    CHECK(!store->is_open);
    store_writer_free(store);
    backend_close(store->backend);
    store->backend = NULL;
    store->change_count = 0;
}

enum err_code store_attach(struct store *store, const struct store_options *options, struct err *err)
{
    CHECK(!store->backend);
    store->backend = options->backend;
    store_writer_new(store);
    store->death = ERR_OK;
    store->has_configuration = false;
    store->walks = store->figures = 0;
    checkpoint_restart(store);
    enum err_code code = store_load_own(store, options, err);
    batch_clear(store->batch);
    if (code)
        return store_die(store, code);
    store_publish(store);
    store->durable = store->state.applied;
    TRACE(store->trace, "store attach applied=%llu revision=%lld",
          (unsigned long long)store->state.applied, (long long)store->state.revision);
    return ERR_OK;
}

struct backend *store_backend(struct store *store) { return store->backend; }

/* ---- room again ---- */

static enum err_code entry_again(struct store *store, const struct entry *entry,
                                 struct bytes configuration, struct err *err)
{
    struct store_result result;
    if (entry->type != ENTRY_NORMAL)
        return store_apply_configuration(store, entry, configuration, err);
    enum err_code code = store_apply(store, entry, false, &result, err);
    if (!code)
        arena_release(&result.arena);
    return code;
}

static enum err_code batch_again(struct store *store, const struct store_replay *replay, size_t *at,
                                 struct err *err)
{
    enum err_code code = ERR_OK, end;
    size_t bytes = 0;
    store_begin(store);
    for (; !code && *at < replay->count && bytes < REPLAY_BATCH_BYTES; ++*at) {
        const struct entry *entry = &replay->entries[*at];
        bytes += REPLAY_ENTRY_BYTES + blob_bytes(entry->payload).size;
        if (entry->index > store->state.applied)
            code = entry_again(store, entry, replay->configurations[*at], err);
    }
    end = store_commit(store, code ? NULL : err);
    return code ? code : end;
}

/* Hashes of other beginnings say nothing of each other. */
static bool is_position(const struct store_position *have, const struct store_position *want)
{
    return have->index == want->index && (have->since != want->since || have->hash == want->hash);
}

/* A store on the backend alone, which is what `as` was when it is done. */
static enum err_code replay_into(struct store *store, const struct store_options *options,
                                 const struct store_replay *replay, struct store *as,
                                 raft_index *ret_durable, struct err *err)
{
    struct store_position want = store_position(as);
    enum err_code code = store_load_own(store, options, err);
    batch_clear(store->batch);
    if (code)
        return code;
    raft_index tables = store->state.applied;
    raft_index first = replay->count ? replay->entries[0].index : want.index + 1;
    if (tables > want.index || tables + 1 < first)
        return err_set(err, ERR_CORRUPT,
                       "the tables of the store hold entries up to %llu, those up to %llu were applied, "
                       "and the log has them from %llu on",
                       (unsigned long long)tables, (unsigned long long)want.index,
                       (unsigned long long)first);
    store_publish(store);
    code = store_forget_logs(store, err);
    for (size_t at = 0; !code && at < replay->count && !MUTANT(REOPEN_LOSES_ROWS);)
        code = batch_again(store, replay, &at, err);
    struct store_position have = store_position(store);
    if (!code && !is_position(&have, &want) && !MUTANT(REOPEN_LOSES_ROWS))
        code = err_set(err, ERR_CORRUPT,
                       "applied again, entry %llu leaves %016llx; at first it left %016llx at entry %llu",
                       (unsigned long long)have.index, (unsigned long long)have.hash,
                       (unsigned long long)want.hash, (unsigned long long)want.index);
    *ret_durable = tables;
    return code;
}

enum err_code store_reattach(struct store *store, const struct store_options *options,
                             const struct store_replay *replay, struct err *err)
{
    CHECK(!store->backend);
    raft_index durable = 0;
    struct store *again = store_new(options->backend);
    again->cluster_id = options->cluster_id;
    enum err_code code = replay_into(again, options, replay, store, &durable, err);
    if (!code)
        again->backend = NULL;          /* store has it from here on */
    store_close(again);
    if (!code)
        code = store_attach(store, options, err);
    if (!code)
        store->durable = durable;
    else if (store->backend)
        store_detach(store);
    return code;
}
