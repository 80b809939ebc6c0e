/* No lease ends before its time, and every one ends some time after it; a lease's keys go with it, and no
 * others.
 *
 * A lease's time begins again when a member that leads has applied its renewal, which is not before the
 * renewal was committed. So between the turn in which somebody committed it first and the end of the turn
 * in which somebody committed the expiry first, its whole time has passed by the clock of that leader,
 * which may be as fast as a clock of the world gets. That a renewal that was answered is in the log, and
 * that keys go with their lease in what members tell, is check_history's and check_watch's. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

#include "proto/base/arena.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define ROUNDING_NS 2000        /* of clock rates */
#define EXPIRY_NS (3 * NS_PER_S)    /* a round, a proposal and its commit, with tries that got lost */
#define MILLION 1000000

struct seen_lease {
    int64_t id, ttl_s, renewed_ns;      /* of the world, at the earliest */
    raft_index renewed;
};

/* ---- when they end ---- */

static struct seen_lease *find(const struct checks *checks, int64_t id)
{
    for (size_t i = 0; i < checks->lease_count; i++)
        if (checks->leases[i].id == id)
            return &checks->leases[i];
    return NULL;
}

static struct seen_lease *add(struct checks *checks)
{
    if (checks->lease_count == checks->lease_capacity) {
        checks->lease_capacity = checks->lease_capacity ? 2 * checks->lease_capacity : 64;
        checks->leases =
            mem_xrealloc(checks->leases, checks->lease_capacity * sizeof *checks->leases);
    }
    return &checks->leases[checks->lease_count++];
}

static void check_time(struct world *world, raft_index index, const struct seen_lease *lease)
{
    int64_t passed_ns = checks_of(world)->committed[index - 1].until_ns - lease->renewed_ns;
    int64_t least_ns =
        lease->ttl_s * NS_PER_S * 1000 / (MILLION + PARAM(world->params, clock_rate)) * 1000;
    if (passed_ns + ROUNDING_NS < least_ns)
        world_fail(world,
                   "lease %" PRId64 " of %" PRId64 " s, renewed by entry %" PRIu64
                   ", ended by entry %" PRIu64 ", %" PRId64 " ms later",
                   lease->id, lease->ttl_s, lease->renewed, index,
                   (int64_t)(passed_ns / NS_PER_MS));
}

static void ended(struct checks *checks, struct seen_lease *lease)
{
    *lease = checks->leases[--checks->lease_count];
}

void check_lease_entry(struct world *world, raft_index index, const struct sim_effect *effect)
{
    struct checks *checks = checks_of(world);
    struct seen_lease *lease = find(checks, effect->lease);
    switch (effect->lease_event) {
    case SIM_LEASE_GRANTED:
    case SIM_LEASE_RENEWED:
        lease = lease ? lease : add(checks);
        *lease = (struct seen_lease){effect->lease, effect->lease_ttl_s,
                                     checks->committed[index - 1].seen_ns, index};
        world->totals.faults[WORLD_lease_renewals]++;
        break;
    case SIM_LEASE_EXPIRED:
        check_time(world, index, lease);
        world->totals.faults[WORLD_lease_expiries]++;
        ended(checks, lease);
        break;
    case SIM_LEASE_REVOKED: ended(checks, lease); break;
    default: break;
    }
}

int64_t check_lease_bound_ns(const struct world *world, int64_t ttl_s)
{
    int64_t longest_ns = ttl_s * NS_PER_S + ELECTION_DEFAULT_MS * NS_PER_MS;
    return longest_ns / (MILLION - PARAM(world->params, clock_rate)) * MILLION + EXPIRY_NS;
}

/* A leader gives every lease its whole time again when it is elected. */
static void check_ended(struct world *world, const struct seen_lease *lease)
{
    const struct checks *checks = checks_of(world);
    int64_t begun_ns = lease->renewed_ns;
    for (size_t i = 0; i < checks->term_count; i++)
        if (checks->terms[i].seen_ns > begun_ns)
            begun_ns = checks->terms[i].seen_ns;
    if (world->now_ns - begun_ns > check_lease_bound_ns(world, lease->ttl_s))
        world_fail(world,
                   "lease %" PRId64 " of %" PRId64 " s is there %" PRId64
                   " ms after it was renewed or a leader elected",
                   lease->id, lease->ttl_s, (int64_t)((world->now_ns - begun_ns) / NS_PER_MS));
}

/* ---- what stores know of them ---- */

static size_t count_keys(const struct sim_model *model, int64_t id)
{
    size_t count, hanging = 0;
    const struct sim_key *const *keys = sim_model_keys(model, &count);
    for (size_t i = 0; i < count; i++) {
        const struct sim_version *version =
            sim_model_at(model, keys[i]->key, sim_model_revision(model));
        hanging += version && version->lease == id;
    }
    return hanging;
}

static bool key_hangs(const struct sim_model *model, struct bytes key, int64_t id)
{
    const struct sim_version *version = sim_model_at(model, key, sim_model_revision(model));
    return version && version->lease == id;
}

static const char *lease_differs(const struct sim_model *model, struct store *store,
                                 const struct sim_lease *lease, struct arena *arena)
{
    struct kv_lease_result result;
    struct err err = {0};
    int64_t remaining_s;
    kv_rev revision;
    if (store_lease(store, lease->id, true, 0, arena, &result, &remaining_s, &revision, &err))
        return "a lease is not there";
    if (result.granted_ttl_s != lease->ttl_s)
        return "a lease has another time";
    if (result.key_count != count_keys(model, lease->id))
        return "another number of keys hangs on a lease";
    for (size_t i = 0; i < result.key_count; i++)
        if (!key_hangs(model, result.keys[i], lease->id))
            return "a key hangs on a lease that it was not put to";
    return NULL;
}

static void check_store(struct world *world, struct sim_host *host)
{
    const struct sim_model *model = checks_of(world)->model;
    struct kv_lease_result list;
    struct err err = {0};
    kv_rev revision;
    size_t count;
    const struct sim_lease *leases = sim_model_leases(model, &count);
    struct arena arena = {0};
    const char *what = NULL;
    if (store_lease_list(host->node->store, &arena, &list, &revision, &err))
        what = err.text;
    else if (list.id_count != count)
        what = "another number of leases";
    for (size_t i = 0; i < count && !what; i++)
        what = list.ids[i] != leases[i].id
                   ? "other leases"
                   : lease_differs(model, host->node->store, &leases[i], &arena);
    if (what)
        world_fail(world, "host %" PRIu64 " at the end: %s", host->number, what);
    arena_release(&arena);
}

void check_leases_end(struct world *world, bool is_quiet)
{
    const struct checks *checks = checks_of(world);
    for (size_t i = 0; is_quiet && i < checks->lease_count; i++)
        check_ended(world, &checks->leases[i]);
    for (size_t i = 0; i < world->host_count && !world->has_failed; i++) {
        struct sim_host *host = &world->hosts[i];
        if (world_serves(world, host) && (world->core & bit(host->number)) &&
            store_applied(host->node->store) == checks->replayed)
            check_store(world, host);
    }
}
