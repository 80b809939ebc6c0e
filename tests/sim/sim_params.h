/* What a seed draws: every number of a simulated run. Printed, one a line, so that a run can be looked at
 * before it is replayed; each can be set by hand (simulate --set NAME=VALUE), which is how a failing run is
 * made smaller. */
#ifndef TESTS_SIM_SIM_PARAMS_H
#define TESTS_SIM_SIM_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* name, lowest, highest, unit or meaning. A value is drawn between the two, or is 0 with the chance of one
 * in four where the lowest is 0. */
#define SIM_PARAMS(X)                                                                              \
    X(members, 1, 7, "voters at first")                                                            \
    X(members_more, 0, 4, "hosts that may be members beside them")                                 \
    X(clients, 1, 6, "writing and reading at a time")                                              \
    X(keys, 1, 24, "that clients touch")                                                           \
    X(operations, 100, 1200, "of all clients together")                                            \
    X(think_us, 200, 60000, "at most, between an answer and the next request")                     \
    X(value_bytes, 8, 3000, "at most")                                                             \
    X(watchers, 0, 4, "")                                                                          \
    X(leases, 0, 600, "of 1000 operations")                                                        \
    X(compactions, 0, 30, "of 1000 operations")                                                    \
    X(log_keep, 2, 200, "entries kept in memory below a checkpoint")                               \
    X(message_bytes, 1, 20000, "of entries in one append, at most")                                \
    X(inflight, 1, 64, "appends to one member that are not answered")                              \
    X(inflight_bytes, 20000, 200000, "of entries in them")                                         \
    X(uncommitted_bytes, 10000, 400000, "of a leader, then it takes no more")                     \
    X(store_log_kib, 2, 64, "written before the store's tables become durable")                    \
    X(delay_us, 20, 5000, "of a message, at least")                                                \
    X(delay_spread_us, 0, 60000, "more, at most")                                                  \
    X(sync_us, 20, 2000, "a flush, at least")                                                      \
    X(sync_spread_us, 0, 40000, "more, at most")                                                   \
    X(job_us, 5, 3000, "handing work to a thread, at most")                                        \
    X(clock_rate, 0, 100000, "millionths by which clocks are wrong, at most")                      \
    X(lost, 0, 150, "frames of messages, of 1000")                                                 \
    X(doubled, 0, 100, "")                                                                         \
    X(swapped, 0, 100, "")                                                                         \
    X(again, 0, 100, "much later")                                                                 \
    X(late, 0, 100, "pieces, of 1000")                                                             \
    X(corrupt, 0, 10, "")                                                                          \
    X(reset, 0, 10, "")                                                                            \
    X(fragment, 0, 300, "")                                                                        \
    X(fault_gap_ms, 50, 4000, "between two faults, on average")                                    \
    X(kill, 0, 100, "weights of the faults")                                                       \
    X(power, 0, 100, "")                                                                           \
    X(power_all, 0, 40, "everyone at once")                                                        \
    X(die_in_io, 0, 80, "in the middle of a write or flush")                                       \
    X(pause, 0, 100, "")                                                                           \
    X(half, 0, 60, "partitions: two sides")                                                        \
    X(bridge, 0, 60, "two sides, one host that reaches both")                                      \
    X(one_way, 0, 60, "")                                                                          \
    X(isolate, 0, 60, "the leader, or another one")                                                \
    X(flap, 0, 60, "")                                                                             \
    X(mend, 20, 200, "")                                                                           \
    X(clock_jump, 0, 60, "of wall time")                                                           \
    X(flush_error, 0, 40, "")                                                                      \
    X(full_disk, 0, 60, "")                                                                        \
    X(slow_disk, 0, 60, "")                                                                        \
    X(bit_flip, 0, 30, "of a log at rest")                                                         \
    X(spare_flip, 0, 30, "of a file that the log does not use yet")                                \
    X(latent_error, 0, 30, "a sector that cannot be read")                                         \
    X(lost_store, 0, 30, "")                                                                       \
    X(ruin, 0, 250, "chance, of 1000, that a majority is damaged in the end")                      \
    X(silent_flip, 0, 60, "of a row in a store, that nothing tells of")                            \
    X(add, 0, 100, "a host joins")                                                                 \
    X(remove, 0, 100, "")                                                                          \
    X(promote, 0, 100, "")                                                                         \
    X(joint, 0, 60, "two changes at once")                                                         \
    X(transfer, 0, 80, "of leadership")                                                            \
    X(emptied, 0, 40, "a voter's data folder, and its first start again; where they form")         \
    X(forming, 0, 1000, "chance, of 1000, that the first members meet before they vote")           \
    X(asks, 0, 1000, "of 1000 changes, those that the leader is asked for by frames")              \
    X(keep_unsynced, 0, 1000, "sectors that stay at a loss of power, of 1000")                     \
    X(torn, 0, 300, "of those that do not, written in part")                                       \
    X(joining, 0, 1000, "of 1000 hosts that come, those that ask to join and to vote by themselves")\
    X(io_error, 0, 40, "of a call that is no flush")                                               \
    X(stop, 0, 100, "one is asked to end")

enum sim_param {
#define X(name, low, high, text) SIM_##name,
    SIM_PARAMS(X)
#undef X
        SIM_PARAM_COUNT
};

struct sim_params {
    uint64_t seed;
    int64_t value[SIM_PARAM_COUNT];
};

static inline int64_t sim_param(const struct sim_params *params, enum sim_param param)
{
    return params->value[param];
}
#define PARAM(params, name) sim_param((params), SIM_##name)

void sim_params_draw(struct sim_params *params, uint64_t seed);
/* "name=value". False: no such name, or no number. */
bool sim_params_set(struct sim_params *params, const char *text);
const char *sim_param_name(enum sim_param param);
int64_t sim_param_low(enum sim_param param);
void sim_params_print(const struct sim_params *params, FILE *to);

#endif
