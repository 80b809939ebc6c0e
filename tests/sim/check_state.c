/* Equal applied index, equal state; and each store fits together. A hash walks the whole store, so some of
 * the states are looked at, drawn by chance, and at the end all. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

#include "proto/base/mem.h"

#define LOOK_CHANCE 24      /* one of so many states */
#define VALIDATE_CHANCE 8   /* one of so many of those */

/* Where applied stands, or would. */
static size_t place_of(const struct checks *checks, raft_index applied)
{
    size_t low = 0, high = checks->state_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (checks->states[middle].applied < applied)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void note(struct checks *checks, size_t place, struct seen_state state)
{
    if (checks->state_count == checks->state_capacity) {
        checks->state_capacity = checks->state_capacity ? 2 * checks->state_capacity : 128;
        checks->states =
            mem_xrealloc(checks->states, checks->state_capacity * sizeof *checks->states);
    }
    memmove(&checks->states[place + 1], &checks->states[place],
            (checks->state_count - place) * sizeof checks->states[0]);
    checks->states[place] = state;
    checks->state_count++;
}

static void compare(struct world *world, struct sim_host *host, raft_index applied, uint64_t hash)
{
    struct checks *checks = checks_of(world);
    size_t place = place_of(checks, applied);
    bool is_known = place < checks->state_count && checks->states[place].applied == applied;
    if (!is_known) {
        note(checks, place, (struct seen_state){applied, hash, host->number});
        return;
    }
    checks->states_compared++;
    if (checks->states[place].hash != hash)
        world_fail(world, "hosts %" PRIu64 " and %" PRIu64 " differ at applied index %" PRIu64,
                   checks->states[place].host, host->number, applied);
}

/* States that were looked at on one host are looked at on the others. */
static bool wants(struct checks *checks, raft_index applied)
{
    size_t place = place_of(checks, applied);
    bool is_known = place < checks->state_count && checks->states[place].applied == applied;
    return is_known || rand_below(&checks->rand, LOOK_CHANCE) == 0;
}

void check_state(struct world *world, struct sim_host *host, bool always)
{
    struct checks *checks = checks_of(world);
    struct seen_host *seen = &checks->hosts[host->number - 1];
    struct store *store = host->node->store;
    raft_index applied = store_applied(store);
    struct err err = {0};
    uint64_t hash;
    if (host->node->transfer.in.state == IN_INSTALLING || !world_serves(world, host) ||
        !store_backend(store) ||        /* no room to open it again */
        (!always && (applied == seen->state_checked || !wants(checks, applied))))
        return;
    enum err_code code = store_hash(store, &hash, &err);
    if (code == ERR_NO_SPACE)
        return;                         /* it waits to be opened again */
    if (code != ERR_OK) {
        world_fail(world, "host %" PRIu64 ": %s", host->number, err.text);
        return;
    }
    seen->state_checked = applied;
    compare(world, host, applied, hash);
    if ((always || rand_below(&checks->rand, VALIDATE_CHANCE) == 0) &&
        store_validate(store, &err) != ERR_OK)
        world_fail(world, "host %" PRIu64 " at %" PRIu64 ": %s", host->number, applied, err.text);
}

/* What its walk freed must have come off the quota by now, or it never will. */
static void check_credit(struct world *world, const struct sim_host *host)
{
    kv_rev revision;
    uint64_t bytes;
    if (store_compact_owes(host->node->store, &revision, &bytes))
        world_fail(world, "host %" PRIu64 ": what the compaction up to %lld freed was never credited",
                   host->number, (long long)revision);
}

void check_states_equal(struct world *world)
{
    const struct sim_host *first = NULL;
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (!host->node || !(world->core & bit(host->number)) || node_was_removed(host->node) ||
            !membership_find(world_membership(world), host->number))
            continue;
        if (first && store_applied(first->node->store) != store_applied(host->node->store))
            world_fail(world, "at the end hosts %" PRIu64 " and %" PRIu64 " have applied %" PRIu64
                       " and %" PRIu64, first->number, host->number,
                       store_applied(first->node->store), store_applied(host->node->store));
        first = first ? first : host;
        check_credit(world, host);
    }
}
