/* A store that came from another member. Its rows are those that every member has at that index, but for
 * the ones of column m that begin with '_':
 *
 *     _identity               whose the store is: rewritten
 *     _walk, _freed, _claimed how far compaction has come in these very tables: kept. A step's mark is
 *                             written with the deletions it tells of, so the copy has both or neither.
 *                             A walk begun anew would find rows gone that it has to count, and one
 *                             that was forgotten would leave rows for ever.
 */
#include "mvcc/store_internal.h"
#include "proto/base/check.h"

void store_mark_release(struct store_mark *mark)
{
    buf_release(&mark->configuration);
    *mark = (struct store_mark){0};
}

static void mark_of_store(struct store *store, struct store_mark *ret)
{
    *ret = (struct store_mark){.applied = store->state.applied + MUTANT(SNAPSHOT_NOT_WHOLE),
                               .term = store->state.term,
                               .revision = store->state.revision};
    buf_assign(&ret->configuration, buf_bytes(&store->configuration));
}

/* options NULL: whoever's store it is. */
static enum err_code check(struct store *store, const struct store_options *options,
                           struct err *err)
{
    struct store_identity identity;
    enum err_code code = store_identity_load(store, &identity, err);
    if (code || !options)
        return code;
    return store_identity_matches("cluster", identity.cluster_id, options->cluster_id, err);
}

enum err_code store_peek(struct backend *backend, struct store_mark *ret, struct err *err)
{
    struct store *store = store_new(backend);
    enum err_code code = check(store, NULL, err);
    if (!code)
        code = store_load_state(store, err);
    if (!code)
        mark_of_store(store, ret);
    store->backend = NULL;              /* borrowed */
    store_close(store);
    return code;
}

/* Loaded before it is written to: a store that cannot be opened must not become this member's. */
static enum err_code adopt(struct store *store, const struct store_options *options,
                           struct err *err)
{
    enum err_code code = check(store, options, err);
    if (!code)
        code = store_load(store, err);
    batch_clear(store->batch);
    if (code)
        return code;
    store_identity_put(store, options);
    code = batch_write(store->batch, err);
    batch_clear(store->batch);
    return code || MUTANT(SNAPSHOT_NOT_DURABLE) ? code : store_checkpoint(store, err);
}

enum err_code store_adopt(const struct store_options *options, struct store_mark *ret,
                          struct err *err)
{
    struct store *store = store_new(options->backend);
    store->trace = options->trace;
    enum err_code code = adopt(store, options, err);
    if (!code) {
        mark_of_store(store, ret);
        TRACE(store->trace, "store adopted applied=%llu revision=%lld",
              (unsigned long long)ret->applied, (long long)ret->revision);
    }
    store->backend = NULL;              /* borrowed */
    store_close(store);
    return code;
}
