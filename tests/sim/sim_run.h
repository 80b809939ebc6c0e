/* One simulated run from its parameters to its verdict; and runs in processes of their own, so that one that
 * aborts, or does not end, is a verdict too. */
#ifndef TESTS_SIM_SIM_RUN_H
#define TESTS_SIM_SIM_RUN_H

#include "tests/sim/sim_world.h"

struct run_result {
    bool failed;
    bool is_stuck;              /* it stands still, and that is all */
    uint64_t hash;              /* equal parameters, equal hash */
    char failure[512];          /* in words; "" */
    struct world_totals totals;
};

/* How many runs these are the totals of. */
uint64_t run_endings(const struct world_totals *totals);

/* In this process. folder: LevelDB below it instead of memory; NULL: in memory. */
void run_here(const struct sim_params *params, struct trace *trace, const char *folder,
              struct run_result *ret);

/* In a child, which has this many seconds. */
struct run_child {
    int pid, from;              /* pid 0: none */
    struct sim_params params;
    int64_t deadline_ns;        /* real time, monotonic */
};
void run_child_start(struct run_child *child, const struct sim_params *params, const char *folder,
                     int seconds);
/* Waits until one of these has ended; its place. */
size_t run_child_wait(struct run_child *children, size_t count, struct run_result *ret);

/* Makes failing parameters smaller while they fail as they did, *ret: in the same words but for numbers and names,
 * or by the same signal. Fewer members, fewer faults, shorter. *params ends as the smallest that was found, *ret as
 * its result. */
void run_shrink(struct sim_params *params, const char *folder, struct run_result *ret);

#endif
