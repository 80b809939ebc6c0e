#include "tests/sim/checks_internal.h"

#include <stdlib.h>

#include "proto/base/mem.h"

struct checks *checks_new(struct world *world)
{
    struct checks *checks = mem_xzalloc(sizeof *checks);
    checks->model = sim_model_new();
    rand_init(&checks->rand, world->params->seed + 1);
    return checks;
}

void checks_free(struct checks *checks)
{
    for (size_t i = 0; i < checks->committed_count; i++)
        blob_unref(checks->committed[i].payload);
    sim_model_free(checks->model);
    free(checks->committed);
    for (size_t i = 0; i < WORLD_HOSTS_MAX; i++)
        free(checks->hosts[i].log.terms);
    free(checks->configurations);
    free(checks->terms);
    free(checks->votes);
    free(checks->states);
    free(checks->changes);
    free(checks->floors);
    free(checks->leases);
    free(checks);
}

raft_index checks_committed(const struct world *world) { return world->checks->committed_count; }

void checks_started(struct world *world, struct sim_host *host)
{
    struct seen_host *seen = &checks_of(world)->hosts[host->number - 1];
    if (check_emptied(world, host))
        return;
    seen->checked = raftlog_first(&host->node->raftlog) - 1;
    seen->state_checked = 0;
    seen->reopenings = 0;
    seen->has_configuration = false;
    check_vote_kept(world, host);
    checks_after(world, host);
}

void checks_join_started(struct world *world, struct sim_host *host) { check_join_start(world, host); }

void checks_crashed(struct world *world, struct sim_host *host)
{
    if (check_emptied(world, host))
        return;
    check_log(world, host);
    check_log_keep(world, host);
}

void checks_after(struct world *world, struct sim_host *host)
{
    raft_validate(host->node->raft);
    check_join_members(world, host);
    if (check_emptied(world, host))
        return;
    check_leader(world, host);
    check_vote(world, host);
    check_log(world, host);
    check_count(world, host);
    check_change(world, host);
    check_state(world, host, false);
    check_count_note(world, host);
}

static void check_states(struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].node && (world->core & bit(world->hosts[i].number)))
            check_state(world, &world->hosts[i], true);
}

static void check_told(struct world *world)
{
    check_history(world);
    check_watch(world);
    world->totals.entries = checks_committed(world);
}

void checks_end(struct world *world)
{
    check_states(world);
    check_states_equal(world);
    check_asks(world);
    check_joins_end(world);
    check_told(world);
    check_left_alone(world);
    check_leases_end(world, true);
}

void checks_end_undecided(struct world *world)
{
    check_states(world);
    check_told(world);
    check_leases_end(world, false);
}

void checks_end_ruined(struct world *world, int64_t settled_ns, raft_index committed)
{
    check_stop(world, settled_ns, committed);
    checks_end_undecided(world);
}
