/* What a leader knows of one member, and how much it dares to send to it.
 *
 *   PROBE      where the logs meet is not known: one append at a time, then wait for an answer or a
 *              heartbeat's
 *   REPLICATE  they meet at match: send ahead, as far as the window of inflights lets us
 *   SNAPSHOT   the log no longer reaches back far enough; nothing until the snapshot has arrived
 *
 *         append answered                       our log is cut above next
 *   PROBE ---------------> REPLICATE     any ---------------------------> SNAPSHOT
 *         <---------------               SNAPSHOT --- reported, done or failed ---> PROBE
 *         rejected, unreachable          SNAPSHOT --- answered within the log ---> REPLICATE
 */
#include "cluster/raft/raft_internal.h"

bool inflights_full(const struct raft *raft, const struct inflights *inflights)
{
    return inflights->count == raft->config.max_inflight_messages ||
           (raft->config.max_inflight_bytes != 0 &&
            inflights->bytes >= raft->config.max_inflight_bytes);
}

static void inflights_grow(struct raft *raft, struct inflights *inflights)
{
    size_t larger = inflights->capacity ? inflights->capacity * 2 : 8;
    if (larger > raft->config.max_inflight_messages)
        larger = raft->config.max_inflight_messages;
    struct inflight *ring = mem_alloc(raft->config.mem, larger * sizeof(*ring));
    if (!ring)
        raft_fail(raft);
    for (size_t i = 0; i < inflights->count; i++)
        ring[i] = inflights->ring[(inflights->start + i) % inflights->capacity];
    mem_free(raft->config.mem, inflights->ring);
    inflights->ring = ring;
    inflights->capacity = larger;
    inflights->start = 0;
}

void inflights_add(struct raft *raft, struct inflights *inflights, raft_index index, uint64_t bytes)
{
    CHECK(!inflights_full(raft, inflights));
    if (inflights->count == inflights->capacity)
        inflights_grow(raft, inflights);
    size_t place = (inflights->start + inflights->count) % inflights->capacity;
    inflights->ring[place] = (struct inflight){index, bytes};
    inflights->count++;
    inflights->bytes += bytes;
}

void inflights_free_to(struct inflights *inflights, raft_index index)
{
    while (inflights->count > 0 && inflights->ring[inflights->start].index <= index) {
        inflights->bytes -= inflights->ring[inflights->start].bytes;
        inflights->start = (inflights->start + 1) % inflights->capacity;
        inflights->count--;
    }
}

void inflights_reset(struct inflights *inflights)
{
    inflights->start = inflights->count = 0;
    inflights->bytes = 0;
}

static void become(struct progress *progress, enum raft_progress_state state)
{
    progress->flow_paused = false;
    progress->pending_snapshot = 0;
    progress->state = state;
    inflights_reset(&progress->inflights);
}

void progress_become_probe(struct progress *progress)
{
    /* After a snapshot: it is taken to have arrived, unless whoever calls has set it to 0. */
    raft_index snapshot = progress->state == RAFT_SNAPSHOT ? progress->pending_snapshot : 0;
    become(progress, RAFT_PROBE);
    progress->next = max_u64(progress->match + 1, snapshot + 1);
    progress->sent_commit = min_u64(progress->sent_commit, progress->next - 1);
}

void progress_become_replicate(struct progress *progress)
{
    become(progress, RAFT_REPLICATE);
    progress->next = progress->match + 1;
}

void progress_become_snapshot(struct progress *progress, raft_index index)
{
    become(progress, RAFT_SNAPSHOT);
    progress->pending_snapshot = index;
    progress->next = index + 1;
    progress->sent_commit = index;
}

void progress_sent_entries(struct raft *raft, struct progress *progress, size_t count,
                           uint64_t bytes)
{
    if (progress->state == RAFT_REPLICATE) {
        if (count > 0) {
            inflights_add(raft, &progress->inflights, progress->next + count - 1, bytes);
            progress->next += count;
        }
        /* A full window: what was sent last is a probe of whether anything arrives at all. */
        progress->flow_paused = inflights_full(raft, &progress->inflights);
    } else if (count > 0) {
        CHECK(progress->state == RAFT_PROBE);
        progress->flow_paused = true;
    }
}

void progress_sent_commit(struct progress *progress, raft_index commit)
{
    progress->sent_commit = commit;
}

bool progress_can_bump_commit(const struct progress *progress, raft_index commit)
{
    return commit > progress->sent_commit && progress->sent_commit < progress->next - 1;
}

bool progress_maybe_update(struct progress *progress, raft_index index)
{
    if (index <= progress->match)
        return false;
    progress->match = index;
    progress->next = max_u64(progress->next, index + 1);
    progress->flow_paused = false;
    return true;
}

bool progress_maybe_decrease(struct progress *progress, raft_index rejected, raft_index hint)
{
    if (progress->state == RAFT_REPLICATE) {
        if (rejected <= progress->match)
            return false; /* stale: it has acknowledged more since */
        progress->next = progress->match + 1;
        progress->sent_commit = min_u64(progress->sent_commit, progress->next - 1);
        return true;
    }
    /* A probe is about next - 1; any other answer is stale. */
    if (progress->next - 1 != rejected)
        return false;
    progress->next = max_u64(min_u64(rejected, hint + 1), progress->match + 1);
    progress->sent_commit = min_u64(progress->sent_commit, progress->next - 1);
    progress->flow_paused = false;
    return true;
}

bool progress_is_paused(const struct progress *progress)
{
    return progress->state == RAFT_SNAPSHOT || progress->flow_paused;
}
