/* What goes wrong, and when. One fault after the other, each drawn by its weight, some time apart. Those of
 * disks that lose what they had are in damage.c, those of the membership in operator.c. */
#include "tests/sim/faults_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"

uint64_t faults_below(struct world *world, uint64_t bound) { return rand_below(&world->rand, bound); }

int64_t faults_ms(struct world *world, uint64_t low, uint64_t high)
{
    return (int64_t)(low + faults_below(world, high - low + 1)) * NS_PER_MS;
}

/* ---- whom ---- */

bool faults_is_up(struct world *world, const struct sim_host *host)
{
    (void)world;
    return host->state == HOST_UP;
}

bool faults_runs(struct world *world, const struct sim_host *host)
{
    (void)world;
    return sim_host_runs(host);
}

bool faults_is_down(struct world *world, const struct sim_host *host)
{
    (void)world;
    return host->state == HOST_DOWN;
}

struct sim_host *faults_draw_host(struct world *world, host_test test)
{
    struct sim_host *found[WORLD_HOSTS_MAX];
    size_t number = 0;
    for (size_t i = 0; i < world->host_count; i++)
        if (test(world, &world->hosts[i]))
            found[number++] = &world->hosts[i];
    return number ? found[faults_below(world, number)] : NULL;
}

/* ---- down and up ---- */

void faults_go_down(struct world *world, struct sim_host *host, bool power)
{
    world_crash_host(world, host, power);
    faults_timers(world, host)->restart_ns = world->now_ns + faults_ms(world, 1, faults_below(world, 3) ? 800 : 6000);
}

void faults_host_ended(struct world *world, struct sim_host *host)
{
    if (host->state == HOST_REFUSED) {
        faults_count(world, WORLD_refused_starts);
        operator_heard_of_refusal(world);
        return;
    }
    faults_timers(world, host)->restart_ns = world->now_ns + faults_ms(world, 1, 1500);
}

static void kill_one(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_runs);
    if (!host)
        return;
    faults_count(world, WORLD_kills);
    faults_go_down(world, host, false);
}

static void cut_power(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_runs);
    if (!host)
        return;
    faults_count(world, WORLD_power_losses);
    faults_go_down(world, host, true);
}

static void cut_everyones_power(struct world *world)
{
    bool has_cut = false;
    for (size_t i = 0; i < world->host_count; i++)
        if (sim_host_runs(&world->hosts[i])) {
            faults_go_down(world, &world->hosts[i], true);
            has_cut = true;
        }
    if (has_cut)
        faults_count(world, WORLD_everyone_lost_power);
}

static void die_in_io(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_runs);
    if (!host)
        return;
    sim_disk_stop(host->disk, sim_disk_calls(host->disk) + 1 + faults_below(world, 30));
}

static void pause_one(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_runs);
    if (faults_below(world, 3) == 0 && world_leader(world))
        host = world_leader(world);
    if (!host || host->is_paused)
        return;
    faults_count(world, WORLD_pauses);
    host->is_paused = true;
    faults_timers(world, host)->resume_ns = world->now_ns + faults_ms(world, 5, faults_below(world, 2) ? 1000 : 10000);
    world_refresh_cuts(world);
}

/* ---- the net ---- */

static bool reaches(struct world *world, uint64_t from, uint64_t to)
{
    return sim_host_runs(world_host(world, from)) && sim_host_runs(world_host(world, to)) &&
           !(world->cut[from] & bit(to));
}

/* This and what follows, true: somebody who runs reached somebody, and does not any more. */
static bool cut_way(struct world *world, uint64_t from, uint64_t to)
{
    bool did_reach = reaches(world, from, to);
    world->cut[from] |= bit(to);
    return did_reach;
}

static bool cut_pair(struct world *world, uint64_t a, uint64_t b)
{
    bool there = cut_way(world, a, b), back = cut_way(world, b, a);
    return there || back;
}

static bool split(struct world *world, uint64_t between)
{
    uint64_t side = rand_u64(&world->rand);
    bool has_cut = false;
    for (uint64_t a = 1; a <= world->host_count; a++)
        for (uint64_t b = a + 1; b <= world->host_count; b++)
            if (((side >> a ^ side >> b) & 1) && a != between && b != between)
                has_cut |= cut_pair(world, a, b);
    world_refresh_cuts(world);
    return has_cut;
}

static void split_in_halves(struct world *world)
{
    if (split(world, 0))
        faults_count(world, WORLD_halves);
}

static bool are_joined(struct world *world, uint64_t a, uint64_t b)
{
    return reaches(world, a, b) && reaches(world, b, a);
}

/* Two that do not reach each other, and both reach the bridge. */
static bool is_bridge(struct world *world, uint64_t between)
{
    for (uint64_t a = 1; a <= world->host_count; a++)
        for (uint64_t b = 1; b <= world->host_count; b++)
            if (a != b && a != between && b != between && world->cut[a] & bit(b) &&
                world->cut[b] & bit(a) && are_joined(world, a, between) &&
                are_joined(world, b, between))
                return true;
    return false;
}

static void split_with_a_bridge(struct world *world)
{
    uint64_t between = 1 + faults_below(world, world->host_count);
    if (split(world, between) && is_bridge(world, between))
        faults_count(world, WORLD_bridges);
}

static void cut_one_way(struct world *world)
{
    uint64_t from = 1 + faults_below(world, world->host_count);
    bool is_one_way = false;
    for (uint64_t to = 1; to <= world->host_count; to++)
        if (to != from && faults_below(world, 3))
            is_one_way |= cut_way(world, from, to) && reaches(world, to, from);
    if (is_one_way)
        faults_count(world, WORLD_one_ways);
    world_refresh_cuts(world);
}

static void isolate(struct world *world)
{
    struct sim_host *host = faults_below(world, 2) ? world_leader(world) : faults_draw_host(world, faults_is_up);
    bool has_cut = false;
    if (!host)
        return;
    for (uint64_t other = 1; other <= world->host_count; other++)
        if (other != host->number)
            has_cut |= cut_pair(world, host->number, other);
    if (has_cut)
        faults_count(world, WORLD_isolations);
    world_refresh_cuts(world);
}

/* Counted when the link comes back. */
static void flap(struct world *world)
{
    if (world->host_count < 2)
        return;
    world->flapping.from = 1 + faults_below(world, world->host_count);
    world->flapping.to = 1 + faults_below(world, world->host_count - 1);
    world->flapping.to += world->flapping.to >= world->flapping.from;
    world->flapping.period_ns = faults_ms(world, 20, 700);
    world->flapping.next_ns = world->now_ns;
    world->flapping.has_cut = world->flapping.is_counted = false;
}

static bool is_whole(const struct world *world)
{
    for (uint64_t from = 1; from <= world->host_count; from++)
        if (world->cut[from])
            return false;
    return world->flapping.next_ns == INT64_MAX;
}

static void mend(struct world *world)
{
    if (!is_whole(world))
        faults_count(world, WORLD_mends);
    memset(world->cut, 0, sizeof world->cut);
    world->flapping.next_ns = INT64_MAX;
    world_refresh_cuts(world);
}

/* ---- clocks and disks ---- */

static void make_quick(struct world *world, struct sim_host *host)
{
    faults_timers(world, host)->quick_ns = INT64_MAX;
    host->slow_above_ns = 0;
    host->costs.sync_max =
        (PARAM(world->params, sync_us) + PARAM(world->params, sync_spread_us)) * 1000;
}

static void jump_clock(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_is_up);
    if (!host)
        return;
    faults_count(world, WORLD_clock_jumps);
    host->wall_offset_ns = faults_ms(world, 0, 2 * 86400000) - faults_ms(world, 0, 86400000);
}

static void fail_flush(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_is_up);
    if (host)
        sim_disk_fail_next(host->disk, true, 1 + faults_below(world, 8), ERR_IO,
                           faults_below(world, 2));
}

/* One that is up makes few other calls; one that starts makes many, and is tried again. */
static void fail_call(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_is_up);
    struct sim_host *down = faults_draw_host(world, faults_is_down);
    if (host)
        sim_disk_fail_next(host->disk, false, 1 + faults_below(world, 3), ERR_IO,
                           faults_below(world, 2));
    if (down)
        sim_disk_fail_next(down->disk, false, 1 + faults_below(world, 20), ERR_IO, false);
}

static void fill_disk(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_runs);
    if (!host)
        return;
    world->was_full |= bit(host->number);
    sim_host_fill(host, true);
    faults_timers(world, host)->room_ns = world->now_ns + faults_ms(world, 100, 5000);
}

static void slow_disk(struct world *world)
{
    struct sim_host *host = faults_below(world, 2) ? world_leader(world)
                                                   : faults_draw_host(world, faults_is_up);
    if (!host)
        return;
    make_quick(world, host);
    sim_host_slow(host, faults_ms(world, 50, 900));
    faults_timers(world, host)->quick_ns = world->now_ns + faults_ms(world, 100, 5000);
}

/* ---- one after the other ---- */

static const struct {
    enum sim_param weight;
    void (*act)(struct world *world);
} kinds[] = {
    {SIM_kill, kill_one}, {SIM_power, cut_power}, {SIM_power_all, cut_everyones_power},
    {SIM_die_in_io, die_in_io}, {SIM_pause, pause_one}, {SIM_half, split_in_halves},
    {SIM_bridge, split_with_a_bridge}, {SIM_one_way, cut_one_way}, {SIM_isolate, isolate},
    {SIM_flap, flap}, {SIM_mend, mend}, {SIM_clock_jump, jump_clock},
    {SIM_flush_error, fail_flush}, {SIM_io_error, fail_call},
    {SIM_full_disk, fill_disk}, {SIM_slow_disk, slow_disk},
    {SIM_bit_flip, damage_flip_bit}, {SIM_spare_flip, damage_spare_log},
    {SIM_latent_error, damage_sector}, {SIM_lost_store, damage_lose_store},
    {SIM_emptied, damage_empty},
    {SIM_silent_flip, silent_damage},
    {SIM_add, operator_add}, {SIM_remove, operator_remove}, {SIM_promote, operator_promote},
    {SIM_joint, operator_change_two}, {SIM_transfer, operator_transfer},
    {SIM_stop, stops_ask},
};

static void next_fault(struct world *world)
{
    uint64_t sum = 0, gap = (uint64_t)PARAM(world->params, fault_gap_ms) * 2;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        sum += (uint64_t)sim_param(world->params, kinds[i].weight);
    world->next_fault_ns = world->now_ns + faults_ms(world, 1, gap);
    if (sum == 0)
        return;
    uint64_t drawn = faults_below(world, sum);
    size_t i = 0;
    while (drawn >= (uint64_t)sim_param(world->params, kinds[i].weight))
        drawn -= (uint64_t)sim_param(world->params, kinds[i++].weight);
    TRACE(world->trace, "fault %s", sim_param_name(kinds[i].weight));
    world_note(world, 2, i);
    kinds[i].act(world);
}

/* ---- what ends by itself ---- */

static void resume(struct world *world, struct sim_host *host)
{
    faults_timers(world, host)->resume_ns = INT64_MAX;
    host->is_paused = false;
    world_refresh_cuts(world);
}

static void make_room(struct world *world, struct sim_host *host)
{
    faults_timers(world, host)->room_ns = INT64_MAX;
    sim_host_fill(host, false);
}

/* Its operator starts it again. A disk that cannot be read is no disk to start from. */
static void restart(struct world *world, struct sim_host *host)
{
    faults_timers(world, host)->restart_ns = INT64_MAX;
    if (host->state == HOST_DOWN && !silent_before_start(world, host)) {
        faults_timers(world, host)->restart_ns = world->now_ns + faults_ms(world, 1, 1500);
        return;
    }
    if (host->state != HOST_DOWN || world_start_host(world, host) || host->state == HOST_REFUSED ||
        !(world->damaged & bit(host->number)))
        return;
    host->state = HOST_REFUSED;
    faults_host_ended(world, host);
    faults_timers(world, host)->restart_ns = INT64_MAX;
}

static bool due(int64_t at_ns, const struct world *world) { return at_ns <= world->now_ns; }

static void step_timers(struct world *world, struct sim_host *host)
{
    struct world_timers *timers = faults_timers(world, host);
    if (due(timers->resume_ns, world))
        resume(world, host);
    if (due(timers->quick_ns, world))
        make_quick(world, host);
    if (due(timers->room_ns, world))
        make_room(world, host);
    if (due(timers->restart_ns, world))
        restart(world, host);
    if (due(timers->stopped_ns, world))
        stops_late(world, host);
}

static void step_flapping(struct world *world)
{
    if (!due(world->flapping.next_ns, world))
        return;
    uint64_t from = world->flapping.from, to = world->flapping.to;
    bool did_reach = reaches(world, from, to);
    world->cut[from] ^= bit(to);
    world->flapping.next_ns = world->now_ns + world->flapping.period_ns;
    world->flapping.has_cut |= did_reach;
    if (world->flapping.has_cut && !world->flapping.is_counted && reaches(world, from, to)) {
        faults_count(world, WORLD_flaps);
        world->flapping.is_counted = true;
    }
    world_refresh_cuts(world);
}

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t faults_next_ns(const struct world *world)
{
    int64_t next = world->is_healed ? INT64_MAX : world->next_fault_ns;
    next = earliest(next, earliest(world->flapping.next_ns, operator_next_ns(world)));
    for (size_t i = 0; i < world->host_count; i++) {
        const struct world_timers *timers = &world->timers[i];
        next = earliest(next, earliest(timers->restart_ns, timers->resume_ns));
        next = earliest(next, earliest(timers->quick_ns, timers->room_ns));
        next = earliest(next, timers->stopped_ns);
    }
    return next;
}

void faults_step(struct world *world)
{
    step_flapping(world);
    for (size_t i = 0; i < world->host_count; i++)
        step_timers(world, &world->hosts[i]);
    operator_step(world);
    if (!world->is_healed && due(world->next_fault_ns, world))
        next_fault(world);
}

/* ---- healing ---- */

/* Who decides is not settled yet: a change is asked for, or stands in some log and is not applied. */
bool faults_is_changing(struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (host->state != HOST_GONE && host->state != HOST_REFUSED && sim_host_is_changing(host))
            return true;
        if (joiners_is_pending(world, host))
            return true;
    }
    return world->change != NULL;
}

static void begin_to_heal(struct world *world, struct sim_host *host)
{
    struct world_timers *timers = faults_timers(world, host);
    if (sim_host_is_stopping(host))     /* whoever asked it does not wait for it */
        world_crash_host(world, host, false);
    *timers = (struct world_timers){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    host->is_paused = false;
    make_quick(world, host);
    make_room(world, host);
    sim_disk_fail(host->disk, 0, ERR_OK, false);
    sim_disk_stop(host->disk, 0);
    silent_heal(world, host);
    if (host->state == HOST_DOWN && !(world->damaged & bit(host->number)))
        world_start_host(world, host);
}

/* Those who need a snapshot before they can do anything: a voter that has just come. */
static uint64_t hosts_behind(struct world *world)
{
    uint64_t behind = 0;
    raft_index first = 0;
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].node && raftlog_first(&world->hosts[i].node->raftlog) > first)
            first = raftlog_first(&world->hosts[i].node->raftlog);
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].node && raftlog_last(&world->hosts[i].node->raftlog) + 1 < first)
            behind |= bit(world->hosts[i].number);
    return behind;
}

/* Some voters, fewer than would cost the majority, stay away for good; and some of the others. */
static uint64_t draw_core(struct world *world)
{
    uint64_t core = 0;
    const struct membership *membership = world_membership(world);
    for (size_t i = 0; i < world->host_count; i++)
        if (sim_host_runs(&world->hosts[i]) && !(world->damaged & bit(world->hosts[i].number)))
            core |= bit(world->hosts[i].number);
    if (!membership || damage_is_forming(world) || faults_is_changing(world) || membership->configuration.voters_outgoing.count)
        return core;
    const struct raft_id_set *ids = &membership->configuration.voters;
    uint64_t behind = hosts_behind(world) | world->silent;
    world->needs_snapshot = !damage_leaves_majority(ids, ~core | behind);
    for (size_t i = 0; i < ids->count; i++) {
        uint64_t without = core & ~bit(ids->ids[i]);
        if (faults_below(world, 3) == 0 && damage_leaves_majority(ids, ~without | behind))
            core = without;
    }
    for (size_t i = 0; i < world->host_count; i++)
        if (!raft_id_set_contains(ids, world->hosts[i].number) && faults_below(world, 4) == 0)
            core &= ~bit(world->hosts[i].number);
    return core;
}

static void trace_ids(char *text, size_t size, const struct raft_id_set *ids)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < ids->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i ? "," : "", ids->ids[i]);
}

static void trace_host(struct world *world, const struct sim_host *host)
{
    char voters[160], outgoing[160];
    if (!host->node) {
        TRACE(world->trace, "  host=%" PRIu64 " state=%d", host->number, (int)host->state);
        return;
    }
    const struct raft_conf_state *state = &node_membership(host->node)->configuration;
    trace_ids(voters, sizeof voters, &state->voters);
    trace_ids(outgoing, sizeof outgoing, &state->voters_outgoing);
    TRACE(world->trace, "  host=%" PRIu64 " state=%d removed=%d applied=%" PRIu64 " last=%" PRIu64
          " voters=%s outgoing=%s", host->number, (int)host->state, node_was_removed(host->node),
          raft_applied(host->node->raft), raftlog_last(&host->node->raftlog), voters, outgoing);
}

static void mend_all(struct world *world)
{
    memset(world->cut, 0, sizeof world->cut);
    world->flapping.next_ns = INT64_MAX;
    for (size_t i = 0; i < world->host_count; i++)
        begin_to_heal(world, &world->hosts[i]);
}

void faults_heal(struct world *world)
{
    mend_all(world);
    world->core = draw_core(world);
    for (uint64_t a = 1; a <= world->host_count; a++)
        for (uint64_t b = a + 1; b <= world->host_count; b++)
            if (!(world->core & bit(a)) != !(world->core & bit(b)))
                (void)cut_pair(world, a, b);
    world_refresh_cuts(world);
    TRACE(world->trace, "heal core=%" PRIx64 " damaged=%" PRIx64, world->core, world->damaged);
    for (size_t i = 0; i < world->host_count; i++)
        trace_host(world, &world->hosts[i]);
}

bool faults_ruin(struct world *world)
{
    mend_all(world);
    if (world->has_failed || !damage_majority(world))
        return false;
    for (size_t i = 0; i < world->host_count; i++) {
        struct sim_host *host = &world->hosts[i];
        if (host->state == HOST_DOWN)
            restart(world, host);
        if (host->state == HOST_UP)
            world->core |= bit(host->number);
    }
    world_refresh_cuts(world);
    TRACE(world->trace, "ruin damaged=%" PRIx64 " core=%" PRIx64, world->damaged, world->core);
    return true;
}
