/* Room on the disks: what is free here, a reserve, who is low, and the alarm (design 7, "disk full").
 *
 *     plenty      the reserve is made (home.h)
 *     low         below SPACE_LOW, until twice that is free; or log or store was refused room. It is said to the
 *                 others at once, and once a second while it lasts.
 *     refused     the reserve is given back, and whoever was refused tries again
 *
 * While the leader is low, or a majority of the voters is, the leader sees to it that the alarm is raised in the
 * store (store_alarm): what needs room is refused everywhere, what frees it goes on. One low member of several is
 * left behind by the others: it stops when it is refused, stays, and catches up.
 *
 * Measured with the snapshotter's look, once a second while anything is applied, or while there is cause.
 *
 * Loop thread, except the run of the job.
 */
#ifndef CLUSTER_SPACE_H
#define CLUSTER_SPACE_H

#include "cluster/clock.h"
#include "cluster/raft/raft.h"
#include "cluster/worker.h"
#include "proto/base/limits.h"

struct node;

#define SPACE_PERIOD_NS (1 * NS_PER_S)          /* between two words of who is low */
#define SPACE_MEMORY_NS (5 * NS_PER_S)          /* a word counts so long */
#define SPACE_PLENTY (3 * (uint64_t)SPACE_LOW)  /* then the reserve is made, which leaves twice the mark */

struct space {
    bool is_low, said_low;
    int64_t said_ns;
    struct space_word {
        raft_id id;
        int64_t heard_ns;
    } low[RAFT_MEMBERS_MAX];            /* the others that have said so */
    size_t low_count;
    raft_term proposed_term;            /* in which this member, leading, proposed the alarm last, */
    bool proposed;                      /* raised, or cleared */

    struct worker_job job;              /* makes the reserve, or gives it back */
    bool in_flight, gives_back;         /* the latter is the job's */
    bool is_reserved, is_given_back;    /* neither: an earlier run's may be there */
    enum err_code code;
};

/* After the others had their turn: takes what was measured last. */
void space_turn(struct node *node);
/* Room is to be measured although nothing is applied. */
bool space_is_watched(const struct node *node);
/* Whether a member has said that its disk is low, or this one's is. */
bool space_is_low(const struct node *node, raft_id id);
int64_t space_next_wake_ns(const struct node *node);

bool space_is_frame(uint32_t kind);
void space_on_frame(struct node *node, raft_id from, struct bytes bytes);

#endif
