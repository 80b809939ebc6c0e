/* What faults.c, damage.c and operator.c share: draws, and whom they fall on. */
#ifndef TESTS_SIM_FAULTS_INTERNAL_H
#define TESTS_SIM_FAULTS_INTERNAL_H

#include "cluster/node_internal.h"
#include "tests/sim/sim_world.h"

typedef bool (*host_test)(struct world *world, const struct sim_host *host);

/* faults.c */
uint64_t faults_below(struct world *world, uint64_t bound);
int64_t faults_ms(struct world *world, uint64_t low, uint64_t high);
/* One of those that pass the test; NULL: none does. */
struct sim_host *faults_draw_host(struct world *world, host_test test);
bool faults_is_up(struct world *world, const struct sim_host *host);
bool faults_runs(struct world *world, const struct sim_host *host);
bool faults_is_down(struct world *world, const struct sim_host *host);
/* It dies, and comes back some time later. */
void faults_go_down(struct world *world, struct sim_host *host, bool power);
/* A change of the membership is under way, or some log holds one that is not applied yet: who decides is
 * then not settled. */
bool faults_is_changing(struct world *world);

static inline void faults_count(struct world *world, enum world_fault fault)
{
    world->totals.faults[fault]++;
}

static inline struct world_timers *faults_timers(struct world *world, const struct sim_host *host)
{
    return &world->timers[host->number - 1];
}

/* damage.c */
void damage_flip_bit(struct world *world);
void damage_spare_log(struct world *world);
void damage_sector(struct world *world);
void damage_lose_store(struct world *world);
void damage_empty(struct world *world);
/* The first members have not all met. */
bool damage_is_forming(const struct world *world);
/* So many voters of each configuration, for good, that none can decide any more. False, and nothing was done:
 * a change of the membership is under way. */
bool damage_majority(struct world *world);
/* Whether the voters that are not in the set, a bit each, can decide; true where there are none. */
bool damage_leaves_majority(const struct raft_id_set *voters, uint64_t damaged);
/* Takes out the sound ones whose removal may still come (world.operator.doubtful). */
void damage_without_doubtful(const struct world *world, struct raft_id_set *voters);
/* A damaged host was started, or its start refused: what it must do, and say. */
void damage_check_start(struct world *world, struct sim_host *host);

/* At rest, and the clusters it is in can do without it; NULL: nobody. */
struct sim_host *damage_draw_victim(struct world *world);

/* stops.c */
void stops_ask(struct world *world);
/* It was to have stopped by now. */
void stops_late(struct world *world, const struct sim_host *host);

/* silent.c */
void silent_damage(struct world *world);
/* False: it was refused, as it must be. */
bool silent_before_start(struct world *world, struct sim_host *host);
/* It is to have a sound store again. */
void silent_heal(struct world *world, struct sim_host *host);

/* joiners.c: a new host that asks to become a member. NULL: no number is left. */
struct sim_host *joiners_add(struct world *world);
/* Of those that ask, how many are not members yet. */
size_t joiners_unknown(struct world *world);

/* operator.c: the membership's faults, and the operator who replaces hosts */
void operator_add(struct world *world);
void operator_remove(struct world *world);
void operator_promote(struct world *world);
void operator_change_two(struct world *world);
void operator_transfer(struct world *world);
int64_t operator_next_ns(const struct world *world);
void operator_step(struct world *world);
/* A host's start was refused for good: it will be replaced. */
void operator_heard_of_refusal(struct world *world);

#endif
