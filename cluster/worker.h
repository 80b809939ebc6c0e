/* Door: threads that take what the loop must not wait for. A job is submitted on the loop, run on the
 * thread of its lane, and completed on the loop; jobs of one lane run in order, one at a time (WORK: two
 * at a time, in order of their start). BULK's thread yields to all others: nobody may wait for its jobs, and
 * none may start a thread, which would yield for ever. The simulator runs jobs when it draws to.
 *
 * Waking an idle core costs tens of microseconds: what fits the loop's own turn stays there (token.h).
 */
#ifndef CLUSTER_WORKER_H
#define CLUSTER_WORKER_H

#include "proto/base/list.h"

enum worker_lane {
    WORKER_DISK,        /* flushes of the log */
    WORKER_APPLY,       /* the store's writer */
    WORKER_WORK,        /* long reads, checkpoints, zeroing of segments, table copies */
    WORKER_BULK,        /* the bytes of a state that travels */
    WORKER_LANE_COUNT
};

/* Embedded in the caller's struct; in flight from submit until done is called. */
struct worker_job {
    void (*run)(struct worker_job *job);        /* on the lane's thread; touches what the job owns */
    void (*done)(struct worker_job *job);       /* on the loop; the job may be submitted again */
    struct list link;
};

struct worker {
    void (*submit)(struct worker *worker, enum worker_lane lane, struct worker_job *job);
};

static inline void worker_submit(struct worker *worker, enum worker_lane lane,
                                 struct worker_job *job)
{
    worker->submit(worker, lane, job);
}

/* The real one: threads start with the first job of their lane. wake is called on a worker's thread
 * whenever a completion waits; the loop then calls worker_threads_complete. */
struct worker_threads;

struct worker_threads *worker_threads_new(void (*wake)(void *context), void *context);
struct worker *worker_threads_door(struct worker_threads *threads);
/* Calls done for each job that has run. Loop thread. */
void worker_threads_complete(struct worker_threads *threads);
/* Waits for every job submitted, calls their done, ends the threads. Loop thread. */
void worker_threads_free(struct worker_threads *threads);

#endif
