#include "tests/sim/sim_run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/node_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "tests/sim/checks.h"
#include "tests/sim/clients.h"
#include "tests/sim/faults_internal.h"

#define FAULTS_MAX_NS (240 * NS_PER_S)  /* simulated, with faults */
#define SETTLE_MAX_NS (120 * NS_PER_S)  /* simulated, from healing to the end */
#define RUIN_SETTLE_NS (5 * NS_PER_S)   /* what was on its way when a majority went has arrived */
#define RUIN_WATCH_NS (15 * NS_PER_S)
#define STEPS_MAX 30000000
#define ARRIVAL_NS (10 * NS_PER_S)      /* a round in which it fails and one in which it does not */
#define FORMING_NS (20 * NS_PER_S)      /* connections that back off, both ways, of the last pair */
#define FULL_DISK_NS (6 * NS_PER_S)     /* the log's writer looks again every five seconds; slow clocks */
static_assert(FULL_DISK_NS > SPACE_MEMORY_NS, "what others said of their disks is forgotten by then");

/* ---- the phases of a run ---- */

static bool step_until(struct world *world, int64_t until_ns, bool (*is_reached)(struct world *world))
{
    while (!is_reached(world)) {
        if (world->now_ns >= until_ns || world->totals.steps >= STEPS_MAX || !world_step(world))
            return false;
    }
    return true;
}

static bool has_asked_all(struct world *world) { return clients_are_done(world->clients); }

/* Hosts of the core that the leader's log no longer reaches, a bit each. */
static uint64_t hosts_without_state(struct world *world)
{
    const struct sim_host *leader = world_leader(world);
    struct raft_status status;
    uint64_t without = 0;
    if (!leader || !(world->core & bit(leader->number)))
        return 0;
    raft_status(node_raft(leader->node), &status);
    for (size_t i = 0; i < status.progress_count; i++) {
        const struct raft_progress_status *progress = &status.progress[i];
        if (world->core & bit(progress->id) &&
            (progress->state == RAFT_SNAPSHOT || progress->next < status.first_index))
            without |= bit(progress->id);
    }
    return without;
}

/* Also notes whether progress has to wait for an arrival: of a host without which nothing can be decided,
 * or that was asked. */
static bool has_progressed(struct world *world)
{
    const struct membership *membership = world_membership(world);
    uint64_t without = hosts_without_state(world);
    world->needs_snapshot |=
        without && (!membership || without & clients_asked_hosts(world->clients) ||
                    !damage_leaves_majority(&membership->configuration.voters, ~world->core | without));
    return clients_have_written(world->clients);
}

/* Or was told of one, before all was mended even: whoever leads next may raise the alarm for it. */
static bool has_full_disk(const struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++) {
        const struct node *node = world->hosts[i].node;
        if (node && (node_was_refused_room(node) || store_alarm(node->store) ||
                     node->space.is_low || node->space.low_count))
            return true;
    }
    return false;
}

/* How many entries a member that stays lacks of another's log. */
static raft_index backlog(struct world *world)
{
    const struct membership *membership = world_membership(world);
    raft_index least = UINT64_MAX, most = 0;
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (!host->node || !(world->core & bit(host->number)) || !membership ||
            !membership_find(membership, host->number))
            continue;
        raft_index last = raftlog_last(&host->node->raftlog);
        least = last < least ? last : least;
        most = last > most ? last : most;
    }
    return most > least ? most - least : 0;
}

/* A change of the membership stands in a log: it may remove whoever is elected. */
static bool core_is_changing(const struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++)
        if (world->core & bit(world->hosts[i].number) && sim_host_is_changing(&world->hosts[i]))
            return true;
    return false;
}

/* From the healing to the last client's first write:
 *   3 election timeouts, by the slowest clock: nobody notices for one that the leader is gone, and two votes may
 *     be split; and one more where the elected may have to go;
 *   what messages and flushes take after the last of them, each at its slowest. 2 for a connection, 4 for the
 *     vote before the vote and the vote, 3 for the entry of the new term and the word that it is committed; 5 for
 *     what a client still had open (to the leader, to the others, back, the word of it, the answer), and 5 for
 *     its write; and 1 for a frame that was on its way when all was mended;
 *   2 for each round of appends that bring up who is behind, so that the leader can commit: an entry in each
 *     append at worst, as many at a time as may be unanswered;
 *   the pause of a client between the two;
 *   what a member waits that sees nothing of what it sent on, twice, where a leader may have to refuse some;
 *   what a writer waits that has found a disk full; meanwhile a leader forgets what it was told of one.
 * An arrival that is waited for comes on top. */
#define STEPS_TO_PROGRESS 20
#define ENTRY_REST_BYTES 500            /* beside the value: keys, compares, the session; or a whole change */

static int64_t progress_bound_ns(struct world *world)
{
    const struct sim_params *params = world->params;
    int64_t message = (PARAM(params, delay_us) + PARAM(params, delay_spread_us)) * 1000;
    int64_t flush = (PARAM(params, sync_us) + PARAM(params, sync_spread_us) + PARAM(params, job_us)) *
                    1000;
    int64_t election = 2 * ELECTION_DEFAULT_MS * NS_PER_MS * 1000000 /
                       (1000000 - PARAM(params, clock_rate));
    int64_t entry = PARAM(params, value_bytes) + ENTRY_REST_BYTES;
    int64_t in_bytes = 1 + PARAM(params, inflight_bytes) / entry, in_count = PARAM(params, inflight);
    int64_t rounds = (int64_t)backlog(world) / (in_bytes < in_count ? in_bytes : in_count);
    return (core_is_changing(world) ? 4 : 3) * election +
           (STEPS_TO_PROGRESS + 2 * rounds) * (message + flush) + PARAM(params, think_us) * 1000 +
           (entry * PARAM(params, clients) > PARAM(params, uncommitted_bytes) ? 2 * PROPOSAL_PATIENCE_NS : 0) +
           (has_full_disk(world) ? FULL_DISK_NS : 0) + (world->silent ? ARRIVAL_NS : 0) +
           (damage_is_forming(world) ? FORMING_NS : 0);
}

static bool is_settled(struct world *world)
{
    const struct sim_host *leader = world_leader(world);
    if (!clients_are_done(world->clients) || !leader)
        return false;
    raft_index last = raftlog_last(&leader->node->raftlog);
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (!host->node || !(world->core & bit(host->number)) || node_was_removed(host->node) ||
            !membership_find(&leader->node->membership, host->number))
            continue;
        if (raft_applied(host->node->raft) != last || host->job_count ||
            node_lacks_store(host->node))
            return false;
    }
    return !joiners_missing(world);
}

/* Why the end does not come. */
static void tell_unsettled(struct world *world, int64_t healed_ns)
{
    const struct sim_host *joiner = joiners_missing(world);
    int64_t seconds = (world->now_ns - healed_ns) / NS_PER_S;
    if (joiner)
        world_stuck(world, "host %" PRIu64 " joins and is not what it is to be %" PRId64
                    " s after everything was mended", joiner->number, seconds);
    else
        world_stuck(world, "the members are not equal %" PRId64 " s after everything was mended",
                    seconds);
}

static void settle(struct world *world)
{
    int64_t healed_ns = world->now_ns;
    int64_t bound_ns = healed_ns + progress_bound_ns(world);
    if (!step_until(world, bound_ns, has_progressed) &&
        !(world->needs_snapshot && step_until(world, bound_ns + ARRIVAL_NS, has_progressed))) {
        world_stuck(world, "no progress %" PRId64 " ms after everything was mended",
                    (int64_t)((world->now_ns - healed_ns) / NS_PER_MS));
        return;
    }
    world->totals.recovery_ns_max = world->now_ns - healed_ns;
    if (!step_until(world, healed_ns + SETTLE_MAX_NS, is_settled)) {
        tell_unsettled(world, healed_ns);
        return;
    }
    /* Watches ask how far they are every now and then. */
    int64_t end_ns = world->now_ns + 10 * NS_PER_S;
    while (world->now_ns < end_ns && world_step(world))
        ;
    if (!world->has_failed && !step_until(world, healed_ns + 2 * SETTLE_MAX_NS, is_settled))
        world_stuck(world, "the members were equal and do not stay so");
}

static bool is_never_reached(struct world *world)
{
    (void)world;
    return false;
}

/* False: not in this run. */
static bool ends_in_ruin(struct world *world)
{
    return (int64_t)rand_below(&world->rand, 1000) < PARAM(world->params, ruin) && world_ruin(world);
}

static void end_as(struct world *world, enum world_ending ending)
{
    if (!world->has_failed)
        world->totals.endings[ending]++;
}

static void stay_stopped(struct world *world)
{
    step_until(world, world->now_ns + RUIN_SETTLE_NS, is_never_reached);
    int64_t settled_ns = world->now_ns;
    raft_index committed = checks_committed(world);
    step_until(world, world->now_ns + RUIN_WATCH_NS, is_never_reached);
    if (!world->has_failed)
        checks_end_ruined(world, settled_ns, committed);
    end_as(world, WORLD_ended_safe_stop);
}

/* A store was given up, and no other reaches to where that member's log begins: what lies between was in it
 * alone. Nothing brings that back, so nothing can go on; whoever ran them would call the giving up off.
 * A removed member has its store while it lives, and may lend it before it ends: or may not. */
static bool has_lost_state(struct world *world, bool lends_removed)
{
    raft_index begins = 0, reached = 0;         /* begins 0: nobody lacks a store */
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (!host->node || !(world->core & bit(host->number)) ||
            (node_was_removed(host->node) && (!lends_removed || node_lacks_store(host->node))))
            continue;
        raft_index first = raftlog_first(&host->node->raftlog), last = raftlog_last(&host->node->raftlog);
        if (node_lacks_store(host->node))
            begins = first > begins ? first : begins;
        else
            reached = last > reached ? last : reached;
    }
    return reached + 1 < begins;
}

/* The removed one has lent what it has, or it has ended; or nothing was lost. */
static bool is_decided(struct world *world)
{
    return has_lost_state(world, true) || !has_lost_state(world, false);
}

static void end_undecided(struct world *world)
{
    checks_end_undecided(world);
    end_as(world, WORLD_ended_undecided);
}

static void end_in_progress(struct world *world)
{
    settle(world);
    if (!world->has_failed)
        checks_end(world);
    end_as(world, WORLD_ended_progress);
}

static void end_well(struct world *world)
{
    if (!world->has_failed)
        world_heal(world);
    if (!world->has_failed)
        step_until(world, world->now_ns + RUIN_SETTLE_NS + RUIN_WATCH_NS, is_decided);
    if (world->has_failed)
        return;
    if (has_lost_state(world, true))
        stay_stopped(world);
    else if (has_lost_state(world, false))
        end_undecided(world);
    else
        end_in_progress(world);
}

/* A folder of its own for the stores of one run. */
static char *folder_new(const char *folder)
{
    char *own = NULL;
    CHECK(asprintf(&own, "%s/run-%d-XXXXXX", folder, (int)getpid()) > 0 && mkdtemp(own));
    return own;
}

static void folder_remove(char *own)
{
    char *command = NULL;
    CHECK(asprintf(&command, "rm -rf -- '%s'", own) > 0 && system(command) == 0);
    free(command);
    free(own);
}

static void count_host(struct world_totals *totals, struct sim_host *host)
{
    const struct sim_host_counters *counters = &host->counters;
    sim_host_count_met(host);
    totals->faults[WORLD_installs] += counters->installs;
    totals->faults[WORLD_reopenings] += counters->reopenings;
    totals->faults[WORLD_restored_folders] += counters->restored_folders;
    totals->faults[WORLD_deaths_in_io] += counters->disk.stops;
    totals->faults[WORLD_flush_errors] += counters->disk.flush_errors;
    totals->faults[WORLD_io_errors] += counters->disk.io_errors;
    totals->faults[WORLD_latent_errors] += counters->disk.bad_sectors;
    totals->faults[WORLD_full_disks] += counters->full_disks;
    totals->faults[WORLD_slow_disks] += counters->slow_disks;
}

uint64_t run_endings(const struct world_totals *totals)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < WORLD_ENDING_COUNT; i++)
        sum += totals->endings[i];
    return sum;
}

void run_here(const struct sim_params *params, struct trace *trace, const char *folder,
              struct run_result *ret)
{
    struct world *world = calloc(1, sizeof *world);
    char *own = folder ? folder_new(folder) : NULL;
    CHECK(world);
    world_init(world, params, trace, own);
    step_until(world, world->now_ns + FAULTS_MAX_NS, has_asked_all);
    if (!world->has_failed && ends_in_ruin(world))
        stay_stopped(world);
    else
        end_well(world);
    for (size_t i = 0; i < world->host_count; i++)
        count_host(&world->totals, &world->hosts[i]);
    world->totals.net = *sim_net_counters(world->net);
    CHECK(run_endings(&world->totals) == !world->has_failed);
    *ret = (struct run_result){.failed = world->has_failed,
                               .is_stuck = world->is_stuck,
                               .hash = world->hash,
                               .totals = world->totals};
    snprintf(ret->failure, sizeof ret->failure, "%s", world->failure);
    world_release(world);
    free(world);
    if (own)
        folder_remove(own);
}

/* ---- children ---- */

static int64_t real_ns(void) { return clock_monotonic_ns(clock_system()); }

void run_child_start(struct run_child *child, const struct sim_params *params, const char *folder,
                     int seconds)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct run_result result;
        close(ends[0]);
        run_here(params, NULL, folder, &result);
        ssize_t size = write(ends[1], &result, sizeof result);
        _exit(size == (ssize_t)sizeof result ? 0 : 1);
    }
    close(ends[1]);
    *child = (struct run_child){pid, ends[0], *params, real_ns() + seconds * NS_PER_S};
}

static void child_end(struct run_child *child, struct run_result *ret)
{
    int status = 0;
    size_t size = 0;
    ssize_t got;
    while (size < sizeof *ret &&
           (got = read(child->from, (char *)ret + size, sizeof *ret - size)) > 0)
        size += (size_t)got;
    close(child->from);
    CHECK(waitpid(child->pid, &status, 0) == child->pid);
    child->pid = 0;
    if (size == sizeof *ret)
        return;
    *ret = (struct run_result){.failed = true};
    ret->is_stuck = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (ret->is_stuck)
        snprintf(ret->failure, sizeof ret->failure, "it did not end");
    else
        snprintf(ret->failure, sizeof ret->failure, "it aborted (signal %d)", WTERMSIG(status));
}

size_t run_child_wait(struct run_child *children, size_t count, struct run_result *ret)
{
    for (;;) {
        struct pollfd polls[64];
        CHECK(count <= 64);
        for (size_t i = 0; i < count; i++)
            polls[i] = (struct pollfd){children[i].pid ? children[i].from : -1, POLLIN, 0};
        int ready = poll(polls, count, 200);
        CHECK(ready >= 0 || errno == EINTR);
        for (size_t i = 0; i < count; i++) {
            if (!children[i].pid)
                continue;
            if (real_ns() > children[i].deadline_ns)
                kill(children[i].pid, SIGKILL);
            if (ready > 0 && polls[i].revents) {
                child_end(&children[i], ret);
                return i;
            }
        }
    }
}

/* ---- shrinking ---- */

/* Past what differs from run to run: a number, also one in hexadecimal digits, or what is quoted. */
static const char *skip_detail(const char *at)
{
    size_t digits = strspn(at, "0123456789abcdef");
    const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
    if (end)
        return end + 1;
    return strcspn(at, "0123456789") < digits ? at + digits : at;
}

/* The same words, but for numbers and names: the same checker has seen the same. */
static bool is_same_kind(const struct run_result *left, const struct run_result *right)
{
    const char *a = left->failure, *b = right->failure;
    if (left->is_stuck != right->is_stuck)
        return false;
    for (;;) {
        const char *after_a = skip_detail(a), *after_b = skip_detail(b);
        if ((after_a == a) != (after_b == b))
            return false;
        if (after_a != a) {
            a = after_a;
            b = after_b;
        } else if (*a != *b || !*a) {
            return *a == *b;
        } else {
            a++;
            b++;
        }
    }
}

/* As it did; another failure is no smaller form of this one. */
static bool still_fails(const struct sim_params *params, const char *folder, struct run_result *ret)
{
    struct run_child child = {0};
    struct run_result result;
    run_child_start(&child, params, folder, 60);
    (void)run_child_wait(&child, 1, &result);
    if (!result.failed || !is_same_kind(&result, ret))
        return false;
    *ret = result;
    return true;
}

/* The least first, then halfway there. */
static bool shrink_one(struct sim_params *params, enum sim_param param, const char *folder,
                       struct run_result *ret)
{
    int64_t before = params->value[param], least = sim_param_low(param);
    int64_t tries[] = {least, (before + least) / 2};
    for (size_t i = 0; i < ARRAY_COUNT(tries); i++) {
        if (tries[i] >= before)
            continue;
        params->value[param] = tries[i];
        if (still_fails(params, folder, ret))
            return true;
        params->value[param] = before;
    }
    return false;
}

void run_shrink(struct sim_params *params, const char *folder, struct run_result *ret)
{
    bool shrunk = true;
    for (int round = 0; shrunk && round < 6; round++) {
        shrunk = false;
        for (int param = 0; param < SIM_PARAM_COUNT; param++)
            shrunk |= shrink_one(params, (enum sim_param)param, folder, ret);
    }
}
