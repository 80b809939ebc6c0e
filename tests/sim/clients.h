/* Clients: processes that write, read and watch through members, as programs do; each has one request at a
 * time, with a tag that says what it wrote, and turns to another member when one is down. What they asked,
 * when, and what they were told is the history that check_history.c and check_watch.c look at.
 *
 * All draws come from the run's seed. Loop thread, like everything here.
 */
#ifndef TESTS_SIM_CLIENTS_H
#define TESTS_SIM_CLIENTS_H

#include "tests/sim/sim_world.h"

/* One request and its outcome. */
enum operation_outcome {
    OPERATION_OPEN,             /* no answer yet, or the member died with it: it may have happened */
    OPERATION_DONE,             /* answered, by a result: OK or a RESULT code */
    OPERATION_NOT_DONE,         /* nothing happened (RETRY kinds) */
    OPERATION_UNKNOWN,          /* UNKNOWN kinds */
};

struct clients *clients_new(struct world *world);
/* No host is up. */
void clients_free(struct clients *clients);

/* When a client wants to do something; INT64_MAX: never. */
int64_t clients_next_ns(const struct clients *clients);
void clients_step(struct world *world);
/* All operations have been asked for, none is open, and clients_have_written where all was healed. */
bool clients_are_done(const struct clients *clients);
/* After world_heal: they turn to hosts of the core alone, and nobody waits for what was asked before. */
void clients_heal(struct world *world);
/* Who has not answered yet, a bit each. */
uint64_t clients_asked_hosts(const struct clients *clients);
/* Each client was told that a write succeeded which it asked for after the healing: reads may be answered by
 * a leader that can decide nothing new, and all disks have room again, so that no refusal will do. */
bool clients_have_written(const struct clients *clients);

#endif
