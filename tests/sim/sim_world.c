#include "tests/sim/sim_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "tests/sim/checks.h"
#include "tests/sim/clients.h"
#include "tests/sim/faults_internal.h"

#include "cluster/frame.h"

#define CLUSTER_ID 0x5eed
#define STEPS_AT_ONCE_MAX 200000    /* at one instant */

/* ---- what everything notes ---- */

void world_note(struct world *world, uint64_t what, uint64_t value)
{
    uint64_t words[3] = {what, value, (uint64_t)world->now_ns};
    world->hash = hash_bytes(world->hash, bytes_of(words, sizeof words));
}

__attribute__((format(printf, 2, 0)))
static bool fail(struct world *world, const char *format, va_list list)
{
    if (world->has_failed)
        return false;
    world->has_failed = true;
    vsnprintf(world->failure, sizeof world->failure, format, list);
    TRACE(world->trace, "FAILED %s", world->failure);
    return true;
}

void world_fail(struct world *world, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)fail(world, format, list);
    va_end(list);
}

void world_stuck(struct world *world, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (fail(world, format, list))
        world->is_stuck = true;
    va_end(list);
}

/* ---- hosts ---- */

struct sim_host *world_host(struct world *world, uint64_t number)
{
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].number == number)
            return &world->hosts[i];
    return NULL;
}

struct sim_host *world_leader(struct world *world)
{
    struct sim_host *leader = NULL;
    for (size_t i = 0; i < world->host_count; i++) {
        struct sim_host *host = &world->hosts[i];
        if (!host->node || raft_role(node_raft(host->node)) != RAFT_LEADER)
            continue;
        if (!leader || raft_current_term(node_raft(host->node)) >
                           raft_current_term(node_raft(leader->node)))
            leader = host;
    }
    return leader;
}

const struct membership *world_membership(struct world *world)
{
    const struct membership *newest = NULL;
    raft_index applied = 0;
    for (size_t i = 0; i < world->host_count; i++) {
        struct sim_host *host = &world->hosts[i];
        if (host->node && !(world->emptied & bit(host->number)) &&
            raft_applied(node_raft(host->node)) >= applied) {
            applied = raft_applied(node_raft(host->node));
            newest = node_membership(host->node);
        }
    }
    return newest;
}

struct sim_host *world_new_host(struct world *world)
{
    if (world->host_count == WORLD_HOSTS_MAX)
        return NULL;
    struct sim_host *host = &world->hosts[world->host_count];
    uint64_t number = ++world->host_count;
    world->timers[number - 1] =
        (struct world_timers){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    char *folder = NULL;
    if (world->folder && asprintf(&folder, "%s/host%" PRIu64, world->folder, number) > 0)
        CHECK(mkdir(folder, 0700) == 0);
    struct sim_host_options options = {
        .number = number,
        .seed = rand_u64(&world->rand),
        .cluster_id = CLUSTER_ID,
        .world_now_ns = &world->now_ns,
        .net = world->net,
        .log_size_max = (size_t)PARAM(world->params, store_log_kib) * 1024,
        .message_size_max = (uint64_t)PARAM(world->params, message_bytes),
        .inflight_messages_max = (size_t)PARAM(world->params, inflight),
        .inflight_bytes_max = (uint64_t)PARAM(world->params, inflight_bytes),
        .uncommitted_bytes_max = (uint64_t)PARAM(world->params, uncommitted_bytes),
        .folder = folder,
        .trace = world->trace,
    };
    sim_host_init(host, &options);
    free(folder);
    int64_t wrong = PARAM(world->params, clock_rate);
    sim_host_set_rate(host, 1000000 - wrong + (int64_t)rand_below(&world->rand, 2 * (uint64_t)wrong + 1));
    host->costs = (struct sim_host_costs){
        .sync_min = PARAM(world->params, sync_us) * 1000,
        .sync_max = (PARAM(world->params, sync_us) + PARAM(world->params, sync_spread_us)) * 1000,
        .job_min = 1000,
        .job_max = PARAM(world->params, job_us) * 1000,
    };
    return host;
}

/* Everyone who is or was ever a member, as far as there is one: whoever joins knows whom to listen to. */
static size_t known_hosts(struct world *world, struct membership_member *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < world->host_count; i++)
        ret[count++] = sim_host_record(world->hosts[i].number);
    return count;
}

static void start_failed(struct world *world, struct sim_host *host)
{
    if (host->join)
        joiners_refused(world, host);
    if (host->state != HOST_GONE)
        faults_host_ended(world, host);
}

bool world_start_host(struct world *world, struct sim_host *host)
{
    struct membership_member known[WORLD_HOSTS_MAX];
    size_t count = known_hosts(world, known);
    if (host->join)
        joiners_prepare(world, host);
    bool started =
        sim_host_start(host, known, count, (size_t)PARAM(world->params, log_keep));
    world_note(world, host->number, started);
    world->timers[host->number - 1].restart_ns = INT64_MAX;
    damage_check_start(world, host);
    if (started && host->join) {
        joiners_started(world, host);
        checks_join_started(world, host);
    }
    if (host->node && !world->has_failed)
        checks_started(world, host);
    else if (!started)
        start_failed(world, host);
    return started;
}

static void process_ends(struct world *world, struct sim_host *host)
{
    if (host->node)
        checks_crashed(world, host);
    if (host->join)
        joiners_died(world, host);
    world->timers[host->number - 1].resume_ns = INT64_MAX;
    world->timers[host->number - 1].stopped_ns = INT64_MAX;
}

void world_close_host(struct world *world, struct sim_host *host, bool power)
{
    process_ends(world, host);
    sim_host_close(host, power, (unsigned)PARAM(world->params, keep_unsynced),
                   (unsigned)PARAM(world->params, torn));
    world_note(world, 200 + host->number, power);
}

void world_crash_host(struct world *world, struct sim_host *host, bool power)
{
    process_ends(world, host);
    bool was_paused = host->is_paused;
    sim_host_crash(host, power, (unsigned)PARAM(world->params, keep_unsynced),
                   (unsigned)PARAM(world->params, torn));
    if (was_paused)
        world_refresh_cuts(world);
    world_note(world, 100 + host->number, power);
}

struct sim_host *world_add_host(struct world *world)
{
    struct sim_host *host = world_new_host(world);
    if (!host)
        return NULL;
    host->forms = host->has_formed = world->hosts[0].forms;
    sim_host_format(host, NULL, 0);
    world_start_host(world, host);
    return host;
}

bool world_serves(const struct world *world, const struct sim_host *host)
{
    return host->state == HOST_UP && !((world->silent | world->emptied) & bit(host->number)) &&
           !node_lacks_store(host->node);
}

/* ---- the net ---- */

/* What is cut follows from the partitions and from who is paused: a paused host neither sends nor takes. */
void world_refresh_cuts(struct world *world)
{
    sim_net_mend_all(world->net);
    for (uint64_t from = 1; from <= world->host_count; from++)
        for (uint64_t to = 1; to <= world->host_count; to++)
            if (world->cut[from] & bit(to))
                sim_net_cut(world->net, from, to);
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].is_paused) {
            sim_net_cut(world->net, world->hosts[i].number, 0);
            sim_net_cut(world->net, 0, world->hosts[i].number);
        }
}

static void set_weather(struct world *world)
{
    const struct sim_params *params = world->params;
    struct sim_net_faults faults = {
        .delay_min_ns = PARAM(params, delay_us) * 1000,
        .delay_max_ns = (PARAM(params, delay_us) + PARAM(params, delay_spread_us)) * 1000,
    };
    if (!world->is_healed) {
        faults.late = (unsigned)PARAM(params, late);
        faults.late_ns = NS_PER_S;
        faults.fragment = (unsigned)PARAM(params, fragment);
        faults.reset = (unsigned)PARAM(params, reset);
        faults.corrupt = (unsigned)PARAM(params, corrupt);
        faults.refuse = (unsigned)PARAM(params, reset);
        faults.frame_lost = (unsigned)PARAM(params, lost);
        faults.frame_doubled = (unsigned)PARAM(params, doubled);
        faults.frame_swapped = (unsigned)PARAM(params, swapped);
        faults.frame_again = (unsigned)PARAM(params, again);
        faults.silent = 500;
    }
    sim_net_set_faults(world->net, &faults);
}

/* ---- life ---- */

void world_init(struct world *world, const struct sim_params *params, struct trace *trace,
                const char *folder)
{
    *world = (struct world){.params = params, .trace = trace, .folder = folder, .hash = params->seed,
                             .flapping.next_ns = INT64_MAX, .operator.next_ns = INT64_MAX};
    rand_init(&world->rand, params->seed ^ 0xfa017);
    world->now_ns = NS_PER_S;
    world->net = sim_net_new(rand_u64(&world->rand));
    sim_net_on_frames(world->net, frame_measure);
    sim_net_on_written(world->net, checks_written, world);
    set_weather(world);
    world->checks = checks_new(world);
    world->clients = clients_new(world);
    struct membership_member members[WORLD_HOSTS_MAX];
    size_t count = (size_t)PARAM(params, members);
    bool forms = (int64_t)rand_below(&world->rand, 1000) < PARAM(params, forming);
    for (size_t i = 0; i < count; i++) {
        CHECK(world_new_host(world));
        world->hosts[i].forms = forms;
        members[i] = sim_host_record(i + 1);
    }
    for (size_t i = 0; i < count; i++)
        sim_host_format(&world->hosts[i], members, count);
    for (size_t i = 0; i < count; i++)
        world_start_host(world, &world->hosts[i]);
    world->next_fault_ns = world->now_ns + NS_PER_S;
}

void world_release(struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++)
        if (sim_host_runs(&world->hosts[i]))
            world_crash_host(world, &world->hosts[i], false);
    for (size_t i = 0; i < world->host_count; i++)
        sim_host_release(&world->hosts[i]);
    clients_free(world->clients);
    checks_free(world->checks);
    sim_net_free(world->net);
}

void world_heal(struct world *world)
{
    world->is_healed = true;
    faults_heal(world);
    set_weather(world);
    clients_heal(world);
}

bool world_ruin(struct world *world)
{
    world->is_healed = true;
    if (!faults_ruin(world))
        return false;
    world->is_ruined = true;
    set_weather(world);
    clients_heal(world);
    return true;
}

/* ---- time ---- */

static struct sim_host *next_host(struct world *world, int64_t *ret_ns)
{
    struct sim_host *next = NULL;
    *ret_ns = INT64_MAX;
    for (size_t i = 0; i < world->host_count; i++) {
        int64_t due = sim_host_next_ns(&world->hosts[i]);
        if (due < *ret_ns) {
            *ret_ns = due;
            next = &world->hosts[i];
        }
    }
    return next;
}

static void note_host(struct world *world, const struct sim_host *host)
{
    const struct raft *raft = node_raft(host->node);
    world_note(world, host->number << 32 | raft_current_term(raft),
               raft_committed(raft) << 32 | raft_applied(raft));
}

/* False: it has no node, still or again. */
static bool asked(struct world *world, struct sim_host *host)
{
    if (host->state == HOST_ASKING)
        return false;
    world_note(world, host->number, host->state);
    damage_check_start(world, host);
    if (!host->node) {
        start_failed(world, host);
        return false;
    }
    checks_join_started(world, host);
    checks_started(world, host);
    return !world->has_failed;
}

static void step_host(struct world *world, struct sim_host *host)
{
    struct err err = {0};
    bool was_asking = host->state == HOST_ASKING;
    sim_host_advance(host);
    if (was_asking && !asked(world, host))
        return;
    silent_after(world, host);
    if (host->join)
        joiners_after(world, host);
    operator_after(world, host);
    checks_after(world, host);
    note_host(world, host);
    if (host->forms && !host->has_formed && !node_is_forming(host->node)) {
        host->has_formed = true;
        faults_count(world, WORLD_formings);
    }
    if (sim_host_has_failed(host, &err)) {
        TRACE(world->trace, "host=%" PRIu64 " fails: %s", host->number, err.text);
        if (err.code == ERR_DIVERGED)
            silent_fenced(world, host, &err);
        world_crash_host(world, host, rand_below(&world->rand, 2));
        if (err.code == ERR_REMOVED) {
            host->state = HOST_GONE;
        } else if (err.code == ERR_EXISTS && damage_told_emptied(world, host)) {
            host->state = HOST_REFUSED;
            faults_host_ended(world, host);
        } else {
            faults_host_ended(world, host);
        }
    } else {
        stops_after(world, host);
    }
}

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

bool world_step(struct world *world)
{
    int64_t host_ns;
    struct sim_host *host = next_host(world, &host_ns);
    int64_t net_ns = sim_net_next_ns(world->net), client_ns = clients_next_ns(world->clients);
    int64_t fault_ns = faults_next_ns(world);
    int64_t next = earliest(earliest(host_ns, net_ns), earliest(client_ns, fault_ns));
    if (next == INT64_MAX || world->has_failed)
        return false;
    if (next > world->now_ns) {
        world->totals.simulated_ns += next - world->now_ns;
        world->now_ns = next;
        world->steps_now = 0;
    }
    if (++world->steps_now > STEPS_AT_ONCE_MAX)
        world_stuck(world, "time stands still: %s", next == host_ns ? "a host turns for ever"
                                                  : next == net_ns  ? "the net"
                                                                    : "clients or faults");
    world->totals.steps++;
    if (next == net_ns)
        world_note(world, 1, sim_net_advance(world->net, world->now_ns));
    else if (next == host_ns)
        step_host(world, host);
    else if (next == client_ns)
        clients_step(world);
    else
        faults_step(world);
    return !world->has_failed;
}
