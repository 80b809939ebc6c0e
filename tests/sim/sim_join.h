/* A host that comes by joining, and opens at every start as the program does: cluster/opening.h over its
 * simulated doors, then cluster/arrival.h. So its small files (what it drew, its identity) stand on the
 * simulated disk, and are lost or torn like the log.
 *
 *     DOWN -> ASKING    a start with no identity on disk: it asks join.at, as what it drew
 *     ASKING -> UP      it was told; log, store and identity were made, the node is open
 *     DOWN -> UP        later starts: nobody is asked
 *     any -> DOWN       a kill, or what it met on the way: see code
 *
 * Ids: a member's is the number of its host here. So what a first start would draw is laid down before it, by
 * start_keep, as of a start that died just then; from there on the product keeps it, or does not.
 */
#ifndef TESTS_SIM_SIM_JOIN_H
#define TESTS_SIM_SIM_JOIN_H

#include "cluster/opening.h"
#include "tests/sim/sim_host.h"

struct sim_join {
    bool stays_learner;
    char at[MEMBER_ADDRESS_SIZE];   /* whom it asks, at the next start */
    size_t log_keep_entries;

    struct datadir folder;          /* these: of this start */
    struct opening opening;
    struct arrival arrival;
    bool arrives;

    enum err_code code;             /* of the last start; OK: it goes on, or came about */
    bool was_told;                  /* some start was told that it is a member */
    bool identity_stood;            /* some start ended well: from then on the folder is a member's */
};

/* After sim_host_init: a data folder in which that start died. */
void sim_join_prepare(struct sim_host *host, bool stays_learner);

/* ---- of sim_host.c ---- */

/* As sim_host_start: true also when it begins to ask. */
bool sim_join_start(struct sim_host *host, size_t log_keep_entries);
/* A turn of one that asks. It may be DOWN or REFUSED afterwards: code and last_refusal say why. */
void sim_join_ask(struct sim_host *host);
/* After the node's turn; returns when the next is due by the host's clock: the node's, or earlier. */
int64_t sim_join_arrive(struct sim_host *host, int64_t wake_ns);
/* The process dies: before the node goes, and after it. */
void sim_join_stop(struct sim_host *host);
/* Nothing that it asked for itself is open; true of one that does not join. */
bool sim_join_is_idle(const struct sim_host *host);
void sim_join_end(struct sim_host *host);

#endif
