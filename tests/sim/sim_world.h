/* A whole cluster in one thread: hosts, the net between them, time, and everything that may go wrong. One
 * seed decides all of it.
 *
 *     world_step            the next thing that happens, happens
 *     faults.c              what goes wrong, and when; keeps a quorum of good copies (the atlas)
 *     clients.c             who writes, reads and watches
 *     check_*.c             what must hold, whatever goes wrong
 *
 * After world_heal nothing goes wrong any more: a majority is good and connected, the rest stays as broken
 * as it is, and the cluster must make progress. After world_ruin it must not.
 */
#ifndef TESTS_SIM_SIM_WORLD_H
#define TESTS_SIM_SIM_WORLD_H

#include "tests/sim/sim_host.h"
#include "tests/sim/sim_params.h"

#define WORLD_HOSTS_MAX 40      /* ever; ids never come back */

/* What happened how often; a run of many seeds in which one is zero has not tested it. Raised where it does
 * happen, and not where it is prepared: a link is cut for the two that used it, a disk's fault was met by a
 * process that lives, a change was answered, a transfer has made its leader. */
#define WORLD_FAULTS(X)                                                                            \
    X(kills) X(stops) X(power_losses) X(everyone_lost_power) X(deaths_in_io) X(pauses) X(halves)            \
    X(bridges) X(one_ways) X(isolations) X(flaps) X(mends) X(clock_jumps) X(flush_errors)          \
    X(io_errors) X(full_disks) X(slow_disks) X(bit_flips) X(spare_flips) X(latent_errors)          \
    X(lost_stores) X(refused_starts) X(joins) X(joiners) X(deaths_joining) X(joins_told)           \
    X(joined_after_death) X(joiners_voting) X(removals) X(promotions) X(joint_changes)             \
    X(transfers) X(replaced_hosts) X(installs) X(reopenings) X(restored_folders) X(alarms)         \
    X(formings) X(emptied_voters) X(asks_granted) X(asks_refused) X(silent_flips) X(fenced)        \
    X(rebuilt_stores) X(elections) X(lease_renewals) X(lease_expiries)

enum world_fault {
#define X(name) WORLD_##name,
    WORLD_FAULTS(X)
#undef X
        WORLD_FAULT_COUNT
};

/* How a run ended that did not fail: in just one of these. README.md says when. */
#define WORLD_ENDINGS(X) X(progress) X(safe_stop) X(undecided)

enum world_ending {
#define X(name) WORLD_ended_##name,
    WORLD_ENDINGS(X)
#undef X
        WORLD_ENDING_COUNT
};

struct world_totals {
    uint64_t faults[WORLD_FAULT_COUNT];
    uint64_t endings[WORLD_ENDING_COUNT];
    struct sim_net_counters net;
    uint64_t operations, acknowledged, unknown, events, entries, steps;
    int64_t simulated_ns, recovery_ns_max;
};

struct checks;
struct clients;

struct world {
    const struct sim_params *params;
    struct rand rand;           /* of faults */
    int64_t now_ns;
    struct sim_net *net;
    struct sim_host hosts[WORLD_HOSTS_MAX];
    size_t host_count;
    uint64_t cut[64];           /* by host number: whom its frames do not reach, a bit each */
    bool is_healed, is_ruined;
    bool needs_snapshot;        /* then: progress has to wait for one */
    uint64_t core;              /* of the healed: who is good and connected, a bit each */
    int64_t next_fault_ns;
    struct {
        uint64_t from, to;
        int64_t period_ns, next_ns;     /* INT64_MAX: nothing flaps */
        bool has_cut, is_counted;
    } flapping;
    struct {
        uint64_t to;            /* whom the leader was asked to hand over to; 0: nobody */
        raft_term term;         /* of the leader that was seen to try; 0: none */
    } transfer;
    struct world_timers {               /* of a host, by its number - 1; INT64_MAX: not so */
        int64_t restart_ns, resume_ns, quick_ns, room_ns, stopped_ns;
    } timers[WORLD_HOSTS_MAX];
    uint64_t damaged;           /* copies that are not what was acknowledged, a bit each */
    uint64_t emptied;           /* of them, those that begin again with an empty folder: they wait and promise
                                 * nothing, until somebody knows better. A bit each */
    uint64_t damaged_logs;      /* of them, those whose log is what was damaged */
    uint64_t silent;            /* hosts with a store in which a row has changed, a bit each */
    const struct backend_memory *silent_stores[WORLD_HOSTS_MAX];    /* of them: which store that is */
    struct {
        int64_t next_ns;        /* INT64_MAX: nothing to do */
        uint64_t owed;          /* hosts that were removed and have no successor yet */
        uint64_t doubtful;      /* voters whose leaving was asked for and not answered: a late copy of the
                                 * change may still be applied. A bit each, for the rest of the run */
        uint64_t coming;        /* likewise hosts that were to vote */
    } operator;
    uint64_t was_full;          /* hosts whose disk has been full, a bit each */
    struct fault_change *change;    /* of the membership, under way; NULL: none */
    uint64_t added, promoted, removed;  /* whom an answered ask told of, a bit each */
    uint64_t asking;                /* hosts that came to ask whether they may join, a bit each */
    uint64_t died_joining;          /* hosts that died on their way in and are not in yet, a bit each */
    uint64_t denied;                /* hosts that were not let in, a bit each */
    uint64_t voting;                /* hosts that joined and were seen to vote, a bit each */
    uint64_t demoted;               /* who was ever asked to give its vote up again, a bit each */
    struct checks *checks;
    struct clients *clients;
    struct world_totals totals;
    uint64_t hash;              /* of everything that happened */
    uint64_t steps_now;         /* at this instant */
    struct trace *trace;        /* may be NULL */
    bool has_failed;            /* a check: said on stderr, and in failure */
    bool is_stuck;              /* that is all that failed */
    char failure[512];
    const char *folder;         /* of LevelDB; NULL: in memory */
};

void world_init(struct world *world, const struct sim_params *params, struct trace *trace,
                const char *folder);
void world_release(struct world *world);

/* The next event; false when nothing will ever happen again, or a check has failed. */
bool world_step(struct world *world);
/* Nothing goes wrong any more; see above. */
void world_heal(struct world *world);
/* As world_heal, but the disks of a majority lose what they had, for good: nothing can be decided any more,
 * and nobody may tell anything new. False: not now; the world is to be healed. */
bool world_ruin(struct world *world);

/* A check does not hold. The first one counts. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Nothing goes on that should; nothing wrong was seen. Fails likewise. */
void world_stuck(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Goes into the hash of the run. */
void world_note(struct world *world, uint64_t what, uint64_t value);

struct sim_host *world_host(struct world *world, uint64_t number);      /* NULL: there is none */
struct sim_host *world_leader(struct world *world);     /* of the highest term, that is up; or NULL */
/* The newest membership that any host has applied; borrowed until the next step. */
const struct membership *world_membership(struct world *world);
/* A new host that knows the others and waits to be added. NULL: no number is left. */
struct sim_host *world_add_host(struct world *world);
/* The same, that is in no state to start yet. */
struct sim_host *world_new_host(struct world *world);
bool world_start_host(struct world *world, struct sim_host *host);
void world_crash_host(struct world *world, struct sim_host *host, bool power);
/* It has stopped: its process ends, with the machine or not. */
void world_close_host(struct world *world, struct sim_host *host, bool power);
/* After world.cut or a host's pause has changed. */
void world_refresh_cuts(struct world *world);
/* A client may ask it: it runs, and its store is what it says it is. */
bool world_serves(const struct world *world, const struct sim_host *host);
static inline uint64_t bit(uint64_t number) { return (uint64_t)1 << number; }

/* faults.c */
int64_t faults_next_ns(const struct world *world);
void faults_step(struct world *world);
void faults_heal(struct world *world);
bool faults_ruin(struct world *world);
/* stops.c, operator.c: after a step of a host; it may have ended in the former. */
void stops_after(struct world *world, struct sim_host *host);
void operator_after(struct world *world, struct sim_host *host);
/* joiners.c: before a start of a host that joins; when its process runs; when it ended without a node, or by a
 * fault; after a step. */
void joiners_prepare(struct world *world, struct sim_host *host);
void joiners_started(struct world *world, struct sim_host *host);
void joiners_refused(struct world *world, struct sim_host *host);
void joiners_died(struct world *world, struct sim_host *host);
void joiners_after(struct world *world, struct sim_host *host);
/* It is to become a member, or to get its vote, by itself: at any time. */
bool joiners_is_pending(struct world *world, const struct sim_host *host);
/* One of the core that is pending; NULL: none. */
const struct sim_host *joiners_missing(struct world *world);
/* damage.c: an emptied host was told so (true), or (false) it is none. */
bool damage_told_emptied(struct world *world, struct sim_host *host);
/* silent.c */
void silent_fenced(struct world *world, struct sim_host *host, const struct err *err);
void silent_after(struct world *world, struct sim_host *host);

/* A host's node ended by itself, or its start was refused. */
void faults_host_ended(struct world *world, struct sim_host *host);

#endif
