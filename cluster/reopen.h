/* The store opened again, after the disk was full.
 *
 * A backend that was refused room writes nothing more until it is opened again, and then has what its tables
 * hold. What was applied behind that is in memory, down to the last checkpoint (raftlog.h), and is applied again;
 * nobody is told of it a second time, and the position that comes out is the one that was published.
 *
 *     FINE
 *       | a write of the store's was refused (apply, a step of a compaction, a checkpoint)
 *     WAITING     nothing is applied; what was applied is read; the log goes on while it has room itself
 *       | there is room
 *     WANTED      what reads or writes the store comes to its end, and nothing new begins
 *       | nothing does any more
 *     RUNNING     detached, opened, applied again (apply thread, with the apply token)
 *       |--> WAITING, with nothing to read: there was no room after all
 *     FINE        the batch that was refused is done again
 *
 * A store that arrives from another member meanwhile takes its place, and it is FINE.
 *
 * Any other error than NO_SPACE is a fault. A stop does not wait for room: what was not applied is in the log.
 *
 * Cost: the entries behind the last checkpoint applied once more, of which there are as many as after a kill.
 *
 * Loop thread, except the run of the job.
 */
#ifndef CLUSTER_REOPEN_H
#define CLUSTER_REOPEN_H

#include "cluster/worker.h"
#include "mvcc/store.h"

struct node;

#define REOPEN_PERIOD_NS (1 * NS_PER_S)         /* between two looks whether there is room */

enum reopen_state { REOPEN_FINE, REOPEN_WAITING, REOPEN_WANTED, REOPEN_RUNNING };

struct reopen {
    enum reopen_state state;
    int64_t due_ns;                     /* in WAITING */
    bool is_detached;                   /* nothing can be read */
    uint64_t times;                     /* it was opened again */
    struct worker_job job;
    struct entry *entries;              /* with a reference on each payload; these three are the job's */
    struct bytes *configurations;       /* the snapshotter's */
    size_t count;
    enum err_code code;
    struct err err;
};

void reopen_turn(struct node *node);
int64_t reopen_next_wake_ns(const struct node *node);
/* Nothing may begin to read the store or to write it. */
bool reopen_holds_store(const struct node *node);
/* Another store has taken its place. */
static inline void reopen_end(struct reopen *reopen)
{
    reopen->state = REOPEN_FINE;
    reopen->is_detached = false;
}
static inline bool reopen_is_idle(const struct reopen *reopen)      /* no job in flight */
{
    return reopen->state != REOPEN_RUNNING;
}

#endif
