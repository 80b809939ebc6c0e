/* What must hold in every run, whatever goes wrong. Each checker stands in a file of its own and knows of the
 * members only what they tell: logs, stores, answers, events.
 *
 *   check_leader.c    one leader per term
 *   check_vote.c      nobody votes twice in a term, nor forgets a vote; a majority elects
 *   check_count.c     what a leader counts is there, and counted by the configuration that is applied
 *   check_log.c       logs agree; what was committed never changes or vanishes; nothing is committed before
 *                     a majority holds it
 *   check_state.c     equal applied index, equal state; each store fits together
 *   check_history.c   every client's history is linearizable; acknowledged writes survive, and happened once
 *   check_lease.c     no lease ends before its time, every one ends some time after it; its keys end with it
 *   check_asks.c      who was told that the membership is changed finds it so
 *   check_change.c    what was asked for once changes the membership once at most
 *   check_emptied.c   an emptied voter never takes part again, nor one that has not met the others
 *   check_stop.c      without a majority of good copies nothing is decided, and the rest stays up
 *   check_watch.c     events ordered, unique, complete, whole; watches can be resumed
 *
 * The truth they compare with is the committed log: check_log.c collects it, entry by entry, from whoever
 * commits one first, and sim_model.c replays it in a store simple enough to be believed.
 */
#ifndef TESTS_SIM_CHECKS_H
#define TESTS_SIM_CHECKS_H

#include "tests/sim/sim_world.h"

struct checks *checks_new(struct world *world);
void checks_free(struct checks *checks);

/* Something happened to this host; it is up. After every step. */
void checks_after(struct world *world, struct sim_host *host);
/* This host has written these bytes to another one: they have left it. */
void checks_written(void *world, uint64_t host, struct bytes bytes);
/* It started, or is about to lose its memory. */
void checks_started(struct world *world, struct sim_host *host);
void checks_crashed(struct world *world, struct sim_host *host);
/* One that joins began to, or came back; it has a node or none yet. */
void checks_join_started(struct world *world, struct sim_host *host);
/* The run is over: all hosts of the core have applied the same. Everything is compared with everything. */
void checks_end(struct world *world);

/* The run is over, and it cannot be told whether anything could still be decided: what was done holds. */
void checks_end_undecided(struct world *world);
/* The run is over, and a majority lost its disks: as above, but the hosts that are left need not
 * be equal. Nothing has been decided since settled_ns, when committed entries were known. */
void checks_end_ruined(struct world *world, int64_t settled_ns, raft_index committed);

/* Entries committed so far. */
raft_index checks_committed(const struct world *world);

#endif
