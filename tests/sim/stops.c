/* Clean stops: a process is asked to end, as an operator or an upgrade does it. It answers whoever waits, and
 * is to have ended soon, whatever it waits for itself: for a store, for room, for a state that arrives, for
 * others that are gone. Then it comes back, now and then after the machine has lost power as well: what a clean
 * stop leaves is on the disk. */
#include "tests/sim/faults_internal.h"

#include <inttypes.h>

/* A request that was proposed has its timeo, a slow disk takes a second for each of several flushes. */
#define STOP_MS 30000

static bool may_be_stopped(struct world *world, const struct sim_host *host)
{
    (void)world;
    return host->state == HOST_UP && !host->is_paused && !sim_host_is_stopping(host);
}

static void set_due(struct world *world, const struct sim_host *host)
{
    faults_timers(world, host)->stopped_ns = world->now_ns + STOP_MS * NS_PER_MS;
}

void stops_ask(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, may_be_stopped);
    if (!host)
        return;
    TRACE(world->trace, "host=%" PRIu64 " is asked to stop", host->number);
    set_due(world, host);
    sim_host_stop(host);
}

void stops_after(struct world *world, struct sim_host *host)
{
    if (!sim_host_is_stopped(host))
        return;
    bool power = faults_below(world, 3) == 0;
    TRACE(world->trace, "host=%" PRIu64 " has stopped power=%d", host->number, power);
    faults_count(world, WORLD_stops);
    world_close_host(world, host, power);
    faults_timers(world, host)->restart_ns = world->now_ns + faults_ms(world, 1, 3000);
}

void stops_late(struct world *world, const struct sim_host *host)
{
    if (host->is_paused)
        set_due(world, host);
    else
        world_stuck(world, "host %" PRIu64 " does not stop", host->number);
}
