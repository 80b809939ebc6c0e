/* The rolling hash of what entries did. One entry after the other,
 *
 *     hash, index, answer, revision, clock, alarm, quota, rows written    ->   hash
 *
 * Each part is a function of the entry and of the state before it, on every member alike, however entries
 * are cut into batches and however far a compaction has been walked. So columns r, s and v are left out
 * (rows of r end with their batch, rows of s are written once for each, owners in v depend on the walk), and
 * the rows that begin with '_'. What sessions keep is not in it by itself: an answer that is told again
 * instead of done, or the other way round, shows.
 */
#include "mvcc/store_internal.h"
#include "proto/base/hash.h"

#define ALARMED 0x616c61726d            /* "alarm"; where it is not raised the hash is that without it */

void position_fold(struct store *store, uint64_t answer)
{
    struct store_state *state = &store->state;
    uint64_t hash = hash_u64(state->hash ^ state->applied) ^ answer;
    hash = hash_u64(hash ^ (uint64_t)state->revision) ^ (uint64_t)state->clock;
    if (store->is_alarmed)
        hash = hash_u64(hash ^ ALARMED);
    state->hash = batch_fold(store->batch, quota_fold(store->quota, hash));
}

struct store_position store_position(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    struct store_position position = store->position;
    pthread_mutex_unlock(&store->lock);
    return position;
}
