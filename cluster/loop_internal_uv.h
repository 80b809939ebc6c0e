/* What loop_uv.c and open_uv.c share. Nobody else includes it. */
#ifndef CLUSTER_LOOP_INTERNAL_UV_H
#define CLUSTER_LOOP_INTERNAL_UV_H

#include <pthread.h>
#include <uv.h>

#include "cluster/loop_uv.h"
#include "cluster/opening.h"
#include "cluster/socket.h"
#include "cluster/worker.h"
#include "mvcc/home.h"

#define SIGNALS_MAX 4

struct post {
    struct list link;
    void (*call)(void *context);
    void *context;
};

struct signal_handle {
    uv_signal_t handle;
    void (*caught)(void *context, int number);
    void *context;
};

struct spin {
    bool possible;              /* there is a second core */
    int64_t until_ns;           /* 0: not spinning */
    unsigned misses;            /* in a row: nothing came before the spin ended */
    unsigned skipped;           /* occasions passed over since it was given up */
};

struct member {
    uv_loop_t loop;
    uv_async_t async;           /* the mailbox has something, or a worker is done */
    uv_check_t check;           /* after the loop has heard things: the node's turn */
    uv_idle_t idle;             /* active: the loop must not sleep */
    uv_timer_t timer;           /* the node's next wake */
    struct signal_handle signals[SIGNALS_MAX];
    size_t signal_count;

    pthread_mutex_t mutex;
    struct list mailbox;

    struct datadir folder;
    struct home *home;
    struct worker_threads *workers;
    struct net *net;                /* NULL: it listens nowhere and has no peers */
    struct opening opening;
    struct node *node;              /* NULL: not open yet */
    struct arrival arrival;
    struct socket *socket;
    char *socket_path;
    struct trace *trace;
    void (*log)(void *context, const char *line);
    void *log_context;
    void (*progress)(void *context, const char *line);
    void (*settle)(void *context, void (*settled)(void *argument), void *argument);
    void *settle_context;
    void (*asked_to_stop)(void *context);
    void *asked_context;
    struct spin spin;
    bool turn_wanted, in_turn, stopping, socket_closed, node_told_to_stop;
    bool net_closed;
    int64_t armed_ns;
};

/* ---- loop_uv.c ---- */

/* The node, a worker's completion or the mailbox has something: the loop does not sleep before the next
 * turn. */
void loop_want_turn(void *context);
void loop_say(void *context, const char *line);
/* Ends what was opened, in order, and returns when the node is stopped. */
void loop_stop(struct member *member);

/* ---- open_uv.c ---- */

/* From the folder to a node, a net, a socket: everything member_open does but the loop itself. What is open
 * when it fails is closed by whoever frees the member; the node is not. */
enum err_code open_member(struct member *member, const struct member_options *options,
                          struct err *err) MUST_USE;

#endif
