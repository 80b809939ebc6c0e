/* From a data folder to an open node: what kind of start it is, joining, log and store, identity, node. On
 * doors alone, so that the simulator opens members as the program does; open_uv.c has what is the system's.
 *
 *     opening_begin      what kind of start; a first one is cleared, what later starts need is kept
 *     opening_ask        a joiner asks; opening_turn until it is answered
 *     opening_finish     log, store, then the identity: the folder is a member's; then the node
 *     opening_undo       after the node is gone, of a folder in which nothing was promised
 *
 * What was drawn is on disk before anybody is asked, log and store before the identity; so a start that dies
 * anywhere is begun again, and is the same member.
 *
 * Never: libuv, the system's clock or chance.
 *
 * Loop thread only; waits for the disk.
 */
#ifndef CLUSTER_OPENING_H
#define CLUSTER_OPENING_H

#include "cluster/arrival.h"
#include "cluster/join.h"
#include "cluster/start.h"

struct opening_options {
    struct start_options start;
    struct datadir *folder;             /* borrowed while the node lives: open, its identity read */
    struct clock *clock;                /* monotonic alone; likewise */
    uint64_t seed;                      /* of all that a first start draws */
    uint64_t segment_size;              /* of a new log; 0: SEGMENT_SIZE_DEFAULT */
    uint64_t (*log_now_ns)(void);       /* of the log's own measurements; NULL: none */
    struct trace *trace;                /* may be NULL */
    /* Lines for the operator; progress is for a terminal, and may be NULL. */
    void (*say)(void *context, const char *line);
    void (*progress)(void *context, const char *line);
    void *context;
    /* The answer to a joiner is there, or there is none: see opening_is_asking. */
    void (*asked)(void *context);
};

struct opening {
    struct opening_options options;
    struct start start;                 /* what was chosen, and what this start is */
    struct rand rand;
    struct join *join;                  /* while it asks to become a member */
    struct join_answer joined;          /* then who the others are */
    enum err_code asked_code;
    struct err asked_err;
    struct generations generations;     /* the node's */
};

/* ret is the caller's, and stays where it is while the node lives. Errors as start_decide; IO, NO_SPACE. */
enum err_code opening_begin(struct opening *opening, const struct opening_options *options,
                            struct err *err) MUST_USE;
/* Whether the folder is nobody's yet: whoever keeps stores there clears them before they are opened. */
bool opening_is_first(const struct opening *opening);

/* A joiner begins to ask; anybody else need not. net is borrowed until the answer. */
void opening_ask(struct opening *opening, struct net *net);
bool opening_is_asking(const struct opening *opening);
void opening_turn(struct opening *opening);
int64_t opening_next_wake_ns(const struct opening *opening);

/* Nobody is asked any more. Of with, the caller fills in what is its own: clock, worker, home, net, seed, wake,
 * say, limits; the rest is filled in here. Errors: of a joiner those of join.h; as wal_open, store_open and
 * node_open; CORRUPT, IO, NO_SPACE of the folder's files. */
enum err_code opening_finish(struct opening *opening, const struct node_options *with,
                             struct node **ret, struct err *err) MUST_USE;
/* What the member does for itself from now on. */
void opening_begin_arrival(struct opening *opening, struct node *node, struct arrival *arrival);
/* The node is closed, and was one of a cluster that never formed and that others had met before: the folder is
 * nobody's again, and the next start is free to join. */
void opening_undo(struct opening *opening);
/* Whoever asks stops as if the process had been killed: for tests, as join_abandon. Harmless on a zeroed one. */
void opening_abandon(struct opening *opening);

#endif
