/* The joiner's side of a request to join: asks one member, again and again, until it says yes or no.
 *
 * Never: keeps anything, reads clocks but options.clock, knows libuv.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_JOIN_H
#define CLUSTER_JOIN_H

#include "cluster/clock.h"
#include "cluster/join_frame.h"
#include "cluster/net.h"

struct join_options {
    struct net *net;                        /* borrowed until done */
    struct clock *clock;                    /* monotonic alone */
    const char *address;                    /* of the member that is asked; copied */
    struct membership_member member;        /* as whom */
    /* A line on who does not answer and why; NULL: nothing is said. */
    void (*say)(void *context, const char *line);
    /* Once, from the net or from join_turn; join is freed after it. Errors:
     *   DENIED   refused, for good: the sentence is that of the asked member
     *   TIMEOUT  no answer within JOIN_PATIENCE_MS; asking again is the same request
     *   INVALID  not an address */
    void (*done)(void *context, enum err_code code, const struct join_answer *answer,
                 const struct err *err);
    void *context;
};

#define JOIN_PATIENCE_MS 30000      /* a person is waiting; a service is started again */

struct join;

struct join *join_new(const struct join_options *options);
/* Timers; at least when join_next_wake_ns says so. Not after done. */
void join_turn(struct join *join);
int64_t join_next_wake_ns(const struct join *join);
/* Frees as if the process had been killed, done is not run: for tests, after the net forgot its streams. NULL is
 * fine. */
void join_abandon(struct join *join);

#endif
