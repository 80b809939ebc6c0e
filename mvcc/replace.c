/* Another backend in the place of a store's own, after a snapshot was installed. */
#include "mvcc/store_internal.h"
#include "proto/base/check.h"

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
    store->is_dead = false;
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
