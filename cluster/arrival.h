/* What a member does for itself once it is open: it catches up, asks for its vote, and tells the others where
 * it is reached now; and it says how far it is.
 *
 *     learner, or not yet told that it is one:  catching up -> asking to vote (unless it stays a learner)
 *     voter: nothing, but a new address is announced
 *
 * Each step is asked for again until it is so; none is remembered: what the membership says is the state.
 *
 * Loop thread only. Knows the node, not libuv.
 */
#ifndef CLUSTER_ARRIVAL_H
#define CLUSTER_ARRIVAL_H

#include "cluster/node.h"

struct arrival_options {
    struct node *node;              /* borrowed until arrival_is_idle after arrival_stop */
    struct clock *clock;
    raft_id self;
    const char *address;            /* borrowed; "": nowhere */
    bool stays_learner;
    /* A step that is done, or why it is not: for the log. */
    void (*say)(void *context, const char *line);
    /* How far it is, once a second at most: for a terminal. */
    void (*progress)(void *context, const char *line);
    void *context;
};

struct arrival {
    struct arrival_options options;
    bool is_current;                /* caught up once */
    bool in_flight;                 /* current or ask */
    bool is_stopping;
    struct kv_request current;
    struct node_ask ask;
    int64_t next_ns;                /* then the next step is tried */
    int64_t progress_ns;
    char last_line[ERR_TEXT_SIZE];
    int64_t said_ns;
};

void arrival_init(struct arrival *arrival, const struct arrival_options *options);
/* After each turn of the node, and when arrival_next_wake_ns says so. */
void arrival_turn(struct arrival *arrival);
int64_t arrival_next_wake_ns(const struct arrival *arrival);
/* It is behind: what it is asked now may wait for a state that is still on its way. */
bool arrival_is_behind(const struct arrival *arrival);
/* Nothing new is begun; what is in flight ends with the node. */
void arrival_stop(struct arrival *arrival);
bool arrival_is_idle(const struct arrival *arrival);
/* Frees what the last answer holds. Idle. */
void arrival_release(struct arrival *arrival);

#endif
