/* When is what was applied in LevelDB's tables? A note (applied index, number of the log then current) is
 * kept: once that log file is gone, so is every log before it, and their rows are in synced tables. Notes
 * are taken each MiB of writes, one per log with the highest index; so an ordinary rollover is a free
 * checkpoint that lags by a MiB.
 */
#include <time.h>

#include "mvcc/store_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mutant.h"

#define NOTE_BYTES (1 * MIB)
#define FLUSH_TRIES_MAX 200
#define FLUSH_PAUSE_NS 20000000L        /* between tries; with the pauses, 4 s */

void checkpoint_init(struct store *store)
{
    pthread_mutex_init(&store->lock, NULL);
    store->unnoted_bytes = NOTE_BYTES;
}

void checkpoint_release(struct store *store)
{
    pthread_mutex_destroy(&store->lock);
}

void checkpoint_restart(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    store->note_count = 0;
    store->unnoted_bytes = NOTE_BYTES;
    pthread_mutex_unlock(&store->lock);
}

static void note_add(struct store *store, struct checkpoint_note note)
{
    pthread_mutex_lock(&store->lock);
    if (store->note_count && store->notes[store->note_count - 1].log == note.log)
        store->note_count--;
    if (store->note_count == CHECKPOINT_NOTES) {
        /* A later note stands for an earlier one: it only completes later. */
        memmove(&store->notes[0], &store->notes[1],
                (CHECKPOINT_NOTES - 1) * sizeof(store->notes[0]));
        store->note_count--;
    }
    store->notes[store->note_count++] = note;
    pthread_mutex_unlock(&store->lock);
}

/* A log that cannot be told is noted at the next occasion: store_checkpoint says what is wrong. */
void checkpoint_note(struct store *store, size_t bytes)
{
    struct checkpoint_note note = {.index = store->state.applied};
    store->unnoted_bytes += bytes;
    if (store->unnoted_bytes < NOTE_BYTES)
        return;
    if (store->backend->ops->log_current(store->backend, &note.log, NULL) != ERR_OK)
        return;
    store->unnoted_bytes = 0;
    note_add(store, note);
}

raft_index store_durable_index(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    size_t done = 0;
    while (done < store->note_count &&
           !store->backend->ops->log_exists(store->backend, store->notes[done].log))
        store->durable = store->notes[done++].index;
    memmove(&store->notes[0], &store->notes[done],
            (store->note_count - done) * sizeof(store->notes[0]));
    store->note_count -= done;
    raft_index durable = store->durable;
    pthread_mutex_unlock(&store->lock);
    return durable;
}

/* Flushing can return early and without an error beside another write: the log file is what counts. */
static enum err_code flush_until_gone(struct store *store, uint64_t log, struct err *err)
{
    struct timespec pause = {.tv_nsec = FLUSH_PAUSE_NS};
    for (int i = 0; i < FLUSH_TRIES_MAX; i++) {
        enum err_code code = store->backend->ops->flush(store->backend, err);
        if (code)
            return store_die(store, code);
        if (!store->backend->ops->log_exists(store->backend, log))
            return ERR_OK;
        if (i > 0)
            nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_IO, "the store does not become durable: its log %llu stays",
                   (unsigned long long)log);
}

enum err_code store_checkpoint(struct store *store, struct err *err)
{
    uint64_t log;
    CHECK(!store->is_open);
    if (store->death)
        return store_dead(store, err);
    enum err_code code = store->backend->ops->log_current(store->backend, &log, err);
    if (!code && !(MUTANT(CHECKPOINT_NOT_FLUSHED) && store->durable))
        code = flush_until_gone(store, log, err);
    if (code)
        return code;
    pthread_mutex_lock(&store->lock);
    store->durable = store->state.applied;
    store->note_count = 0;
    pthread_mutex_unlock(&store->lock);
    TRACE(store->trace, "store checkpoint applied=%llu",
          (unsigned long long)store->state.applied);
    return ERR_OK;
}

enum err_code store_forget_logs(struct store *store, struct err *err)
{
    return store->backend->ops->forget_logs(store->backend, err);
}
