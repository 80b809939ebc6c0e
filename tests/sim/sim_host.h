/* One member of a simulated cluster, as the program runs it: node, log, store and peers on simulated
 * doors. The owner (sim_world.h) moves its time and decides what fails.
 *
 *     a host that is up:   net -> node_turn -> jobs -> node_turn ...    whenever it is due
 *     sim_host_crash       the process dies at this instant, with or without the machine
 *     sim_host_start       it comes back from what is on its disk
 *
 * Each host has clocks of its own: monotonic time runs at its own rate, wall time may jump. Work that
 * blocks (a flush on the loop) costs time of its own: the host is not due again before it is over.
 *
 * A job of a worker is run some time after it was submitted and completed some time after that; jobs of
 * one lane in order, one at a time (two at a time in the lane WORK). What is in flight when the process
 * dies has been run or never is.
 */
#ifndef TESTS_SIM_SIM_HOST_H
#define TESTS_SIM_SIM_HOST_H

#include "cluster/node.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_folder.h"
#include "tests/sim/sim_net.h"

enum sim_host_state {
    HOST_UP,
    HOST_ASKING,        /* its process runs and has no node yet: it asks to become a member */
    HOST_DOWN,          /* it died, and may be started */
    HOST_REFUSED,       /* its start was refused: damaged, never to come back */
    HOST_GONE,          /* it is no member any more */
};

struct sim_host_costs {         /* of what blocks, in ns; each is drawn in [min, max] */
    int64_t sync_min, sync_max, job_min, job_max;
};

struct sim_job {
    struct worker_job *job;
    enum worker_lane lane;
    int64_t due_ns;             /* of the world: run, and then done */
    bool running, ran;
};

#define SIM_JOBS_MAX 64

struct sim_host_counters {
    uint64_t starts, refusals, kills, power_losses, faults, installs, reopenings, restored_folders;
    /* What its process met while it lived: */
    struct sim_disk_met disk;
    uint64_t slow_disks, full_disks;    /* one for each time: a flush was, something was refused */
};

struct sim_join;            /* sim_join.h */

struct sim_host {
    uint64_t number;            /* 1 to 63: its id, its address, its host in the net */
    enum sim_host_state state;
    struct rand rand;
    const int64_t *world_now_ns;
    struct identity identity;
    struct sim_net *net;
    struct sim_disk *disk;
    struct disk slow_disk;      /* the door in front of it, which costs time */
    struct home *home;
    struct home_memory *memory; /* NULL: LevelDB in folder */
    char *folder;
    struct sim_folder *durable; /* what of it a loss of power leaves; NULL in memory */
    size_t log_size_max;        /* of memory */
    struct node *node;          /* NULL unless UP */
    struct sim_join *join;      /* NULL unless it comes by joining: then it opens as the program does */
    char address[32];           /* its number, unless its owner says otherwise before it starts */
    struct generations *generations;    /* of its owner; NULL: hosts are taken for who they say they are */
    bool forms;                 /* the first ones meet before anybody votes; then these, kept on its disk: */
    struct generations own_generations;
    bool has_formed;            /* it was seen to be */
    struct raft_conf_state configuration;   /* what it acted by when it ended last */
    bool is_changing;           /* then its log held a configuration that was not applied yet */
    uint64_t message_size_max;  /* these four: see node_options */
    size_t inflight_messages_max;
    uint64_t inflight_bytes_max, uncommitted_bytes_max;
    struct trace *trace;

    /* time */
    struct clock clock;
    int64_t base_ns;            /* of the world when monotonic time was offset_ns */
    int64_t offset_ns;
    int64_t rate;               /* millionths: 1000000 is right */
    int64_t wall_offset_ns;
    int64_t spent_ns;           /* of the world, by what blocks, in this turn or job */
    int64_t busy_until_ns;      /* of the world */
    int64_t due_ns;             /* of the world: the next turn; INT64_MAX: never */
    bool is_paused;
    struct sim_host_costs costs;
    int64_t slow_above_ns;      /* its disk became slow, and no flush has taken longer than this yet; or 0 */
    bool full_unmet;            /* its disk became full, and nothing was refused yet */

    struct worker worker;
    struct sim_job jobs[SIM_JOBS_MAX];
    size_t job_count;
    bool is_stopping;           /* its process was asked to end */
    bool is_dying;              /* what is answered now, nobody hears */

    char last_refusal[ERR_TEXT_SIZE];
    struct sim_host_counters counters;
};

struct sim_host_options {
    uint64_t number, seed, cluster_id;
    const int64_t *world_now_ns;
    struct sim_net *net;
    size_t log_size_max;        /* of the backend in memory: how far durability lags */
    uint64_t message_size_max;  /* these four: see node_options */
    size_t inflight_messages_max;
    uint64_t inflight_bytes_max, uncommitted_bytes_max;
    const char *folder;         /* of LevelDB; NULL: in memory */
    struct trace *trace;        /* may be NULL */
};

void sim_host_init(struct sim_host *host, const struct sim_host_options *options);
/* Its process ends first, if it runs. */
void sim_host_release(struct sim_host *host);
struct membership_member sim_host_record(uint64_t number);

/* First starts: log and store are made, nothing fails. members: the cluster's first ones, this host among
 * them; or none for a host that joins. */
void sim_host_format(struct sim_host *host, const struct membership_member *members, size_t count);

/* Starts it from its disk. known: for a host that does not know its cluster yet. False: it is refused; state
 * says whether for good (CORRUPT), last_refusal why. */
bool sim_host_start(struct sim_host *host, const struct membership_member *known, size_t count,
                    size_t log_keep_entries);
/* Its disk is full, or has room again: log and store. */
void sim_host_fill(struct sim_host *host, bool is_full);
/* Of sim_join.c: its process runs in this state from now on, after what the start has cost. True, always. */
bool sim_host_began(struct sim_host *host, enum sim_host_state state);
/* Likewise: a start did not come about. False, always. */
bool sim_host_refused(struct sim_host *host, enum err_code code, const struct err *err);
/* Its process runs: UP or ASKING. */
static inline bool sim_host_runs(const struct sim_host *host)
{
    return host->state == HOST_UP || host->state == HOST_ASKING;
}
/* Its flushes take up to so long from now on, which is more than they did. */
void sim_host_slow(struct sim_host *host, int64_t sync_max_ns);
/* counters.disk has all that there was until now. */
void sim_host_count_met(struct sim_host *host);
/* The process dies now. power: what was not synced may be lost; keep and torn as sim_disk_crash. The store
 * in memory loses batches behind the durable ones either way; that in a folder, as LevelDB does, what is in no
 * table, and by a loss of power, as the seed draws it, what was not synced. */
void sim_host_crash(struct sim_host *host, bool power, unsigned keep, unsigned torn);

/* It is UP, and asked to end: it goes on until it has. */
void sim_host_stop(struct sim_host *host);
static inline bool sim_host_is_stopping(const struct sim_host *host) { return host->is_stopping; }
/* It may be closed. */
bool sim_host_is_stopped(const struct sim_host *host);
/* The process of one that is stopped ends; power: so does its machine, at once. Arguments as sim_host_crash. */
void sim_host_close(struct sim_host *host, bool power, unsigned keep, unsigned torn);

/* Of both, and of sim_join.c: what becomes of disk and store. The process has ended. */
void sim_host_disks_crash(struct sim_host *host, bool power, unsigned keep, unsigned torn);

/* Its process does not run, and it forms. Nothing is left of its data folder, and its first start is made again
 * from the same list, as a unit file has it. */
void sim_host_empty(struct sim_host *host, const struct membership_member *members, size_t count);
/* It waits for the other first members, or will when it is started. */
bool sim_host_is_forming(const struct sim_host *host);

/* Its process does not run. The store is gone, the log is not. */
void sim_host_lose_store(struct sim_host *host);

/* When it has something to do (of the world; a paused one has not). */
int64_t sim_host_next_ns(const struct sim_host *host);
/* Does what is due. */
void sim_host_advance(struct sim_host *host);
/* Its log holds a configuration that it has not applied; or did when it ended, or may again after a crash: that
 * it is committed is not on its disk. */
bool sim_host_is_changing(const struct sim_host *host);
/* Its node failed by itself: the process is about to end. */
bool sim_host_has_failed(const struct sim_host *host, struct err *ret_err);

int64_t sim_host_monotonic_ns(const struct sim_host *host);
/* The first instant of the world at which the host's clock has reached ns; INT64_MAX: never. */
int64_t sim_host_world_ns(const struct sim_host *host, int64_t ns);
/* A turn is wanted; context is the host. */
void sim_host_wake(void *context);
void sim_host_set_rate(struct sim_host *host, int64_t rate);

#endif
