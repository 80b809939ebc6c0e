/* Workers and a clock that a test moves: jobs run when it says so, in this thread. */
#ifndef TESTS_SIM_SIM_WORKER_H
#define TESTS_SIM_SIM_WORKER_H

#include <stddef.h>

#include "cluster/clock.h"
#include "cluster/worker.h"

struct sim_worker {
    struct worker door;
    struct list queues[WORKER_LANE_COUNT];
    size_t waiting, ran;
};

void sim_worker_init(struct sim_worker *worker);
/* Runs and completes the oldest job of a lane; false when there is none. */
bool sim_worker_run_one(struct sim_worker *worker, enum worker_lane lane);
/* Until no lane has one. Returns how many ran. */
size_t sim_worker_run_all(struct sim_worker *worker);

struct sim_clock {
    struct clock door;
    int64_t now_ns, wall_ns;
};

void sim_clock_init(struct sim_clock *clock);
void sim_clock_advance(struct sim_clock *clock, int64_t ns);

#endif
